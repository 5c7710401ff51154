// Writes down what clients did, as the checker wants it.
#pragma once

#include <cstdint>
#include <string>

#include "sim/check/history.h"
#include "sim/clients/operation.h"
#include "sim/scheduler/scheduler.h"

namespace raftkv::sim {

class Recorder {
 public:
  using Id = size_t;

  struct Counters {
    uint64_t invoked = 0;
    uint64_t acknowledged = 0;  // got an answer
    uint64_t unknown = 0;
    uint64_t failed = 0;  // told, or sure for other reasons, that it did not happen
  };

  explicit Recorder(const Scheduler* scheduler) : scheduler_(scheduler) {}

  Id Invoke(absl::string_view process, int64_t number, const PlannedOperation& operation);
  // Each operation ends at most once; one that never does is unknown.
  void Done(Id id, const Understood& understood);
  void Failed(Id id, absl::string_view why);
  void Unknown(Id id, absl::string_view why);

  const History& history() const { return history_; }
  const Counters& counters() const { return counters_; }

 private:
  Operation& End(Id id, Outcome outcome);

  const Scheduler* scheduler_;
  History history_;
  Counters counters_;
  Position position_ = 0;  // the order of events is finer than their times
};

}  // namespace raftkv::sim
