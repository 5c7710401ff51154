// What a run did, as one number and, on request, as text.
//
// Every input of every node, everything a node puts out and every fault is folded into a 64-bit
// hash. Two runs with equal hashes did the same; builds are compared by it (scripts/determinism).
// The text costs more than the run, so it is made only for a reader: a sweep runs a seed without
// it, and a seed that failed once more with it.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/strings/string_view.h"
#include "core/raft/random.h"
#include "sim/scheduler/scheduler.h"

namespace raftkv::sim {

class Trace {
 public:
  using Sink = std::function<void(Time now, absl::string_view line)>;

  explicit Trace(const Scheduler* scheduler, Sink sink = nullptr)
      : scheduler_(scheduler), sink_(std::move(sink)) {}

  // `what` tells kinds of facts apart; see the constants of whoever adds them.
  void Add(uint64_t what, uint64_t a, uint64_t b = 0) {
    hash_ = MixHash(hash_ ^ MixHash(what + scheduler_->now()) ^ MixHash(a) * 3 ^ b);
  }
  void Add(uint64_t what, uint64_t a, absl::string_view bytes) { Add(what, a, HashBytes(bytes)); }

  uint64_t hash() const { return hash_; }

  // Building the text is the caller's business, and only when somebody reads it:
  //   if (trace.reading()) trace.Say(absl::StrCat(...));
  bool reading() const { return sink_ != nullptr; }
  void Say(absl::string_view line) const {
    if (sink_ != nullptr) sink_(scheduler_->now(), line);
  }

 private:
  const Scheduler* scheduler_;
  Sink sink_;
  uint64_t hash_ = 0;
};

}  // namespace raftkv::sim
