// What a run did, as one number and, on request, as text.
//
// Every input of every node, everything a node puts out and every fault is folded into a 64-bit
// hash. Two runs with equal hashes did the same; builds are compared by it (scripts/determinism).
// The text costs more than the run, so it is made only for a reader: a sweep runs a seed without
// it, and a seed that failed once more with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

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
    facts_.push_back({MixHash(what + scheduler_->now()) ^ MixHash(a) * 3, b});
    if (facts_.size() == kMostFacts) Fold();
  }
  // The same with HashBytes(bytes), which need not outlive the call.
  void Add(uint64_t what, uint64_t a, absl::string_view bytes);

  uint64_t hash() const {
    Fold();
    return hash_;
  }

  // Building the text is the caller's business, and only when somebody reads it:
  //   if (trace.reading()) trace.Say(absl::StrCat(...));
  bool reading() const { return sink_ != nullptr; }
  void Say(absl::string_view line) const {
    if (sink_ != nullptr) sink_(scheduler_->now(), line);
  }

 private:
  // HashBytes takes byte after byte, and waits for each; several at a time take no longer. So facts
  // are kept until there are some.
  struct Fact {
    uint64_t mixed;
    uint64_t b;
  };
  struct Bytes {
    size_t fact;  // whose `b` is their hash
    size_t end;   // in bytes_; they begin where those before them end
  };
  static constexpr size_t kMostFacts = 256;
  static constexpr size_t kMostBytes = 64 << 10;

  void Fold() const;

  const Scheduler* scheduler_;
  Sink sink_;
  mutable uint64_t hash_ = 0;
  mutable std::vector<Fact> facts_;
  mutable std::vector<Bytes> pieces_;
  mutable std::string bytes_;
};

}  // namespace raftkv::sim
