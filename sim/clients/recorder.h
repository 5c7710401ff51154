// Writes down what clients did, as the checker wants it.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "core/raft/types.h"
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

  // Follows operations while they run; `id` is a place in history().operations. It is told and not
  // asked: nothing depends on it.
  class Watcher {
   public:
    virtual ~Watcher() = default;
    virtual void Invoked(Id id, const Operation& operation) = 0;
    // One try to have it done; there may be many.
    virtual void Asked(Id id, raft::NodeId node) = 0;
    virtual void Returned(Id id, const Operation& operation) = 0;
  };

  explicit Recorder(const Scheduler* scheduler) : scheduler_(scheduler) {}

  void set_watcher(Watcher* watcher) { watcher_ = watcher; }  // null: nobody

  Id Invoke(absl::string_view process, int64_t number, const PlannedOperation& operation);
  void Asks(Id id, raft::NodeId node) const {
    if (watcher_ != nullptr) watcher_->Asked(id, node);
  }
  // Each operation ends at most once; one that never does is unknown.
  void Done(Id id, const Understood& understood);
  void Failed(Id id, absl::string_view why);
  void Unknown(Id id, absl::string_view why);

  const History& history() const { return history_; }
  History TakeHistory() { return std::move(history_); }  // when nothing happens any more
  const Counters& counters() const { return counters_; }

 private:
  Operation& End(Id id, Outcome outcome);
  void Tell(Id id) const {
    if (watcher_ != nullptr) watcher_->Returned(id, history_.operations[id]);
  }

  const Scheduler* scheduler_;
  Watcher* watcher_ = nullptr;
  History history_;
  Counters counters_;
  Position position_ = 0;  // the order of events is finer than their times
};

}  // namespace raftkv::sim
