// What a run did, as one number and, on request, as text.
//
// Every input of every node, everything a node puts out and every fault is folded into a 64-bit
// hash. Two runs with equal hashes did the same; builds are compared by it (scripts/determinism).
// The text costs more than the run, so it is made only for a reader: a sweep runs a seed without
// it, and a seed that failed once more with it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <utility>

#include "absl/strings/string_view.h"
#include "sim/scheduler/scheduler.h"
#include "storage/checksum.h"
#include "storage/encoding.h"

namespace raftkv::sim {

class Trace {
 public:
  using Sink = std::function<void(Time now, absl::string_view line)>;

  explicit Trace(const Scheduler* scheduler, Sink sink = nullptr)
      : scheduler_(scheduler), sink_(std::move(sink)) {}

  // `what` tells kinds of facts apart; see the constants of whoever adds them.
  void Add(uint64_t what, uint64_t a, uint64_t b = 0) {
    storage::SmallRecord<kFactBytes> fact;
    fact.U64(what).U64(scheduler_->now()).U64(a).U64(b);
    Put(fact.view());
  }
  // The same with their number, and the bytes themselves.
  void Add(uint64_t what, uint64_t a, absl::string_view bytes) {
    Add(what, a, bytes.size());
    Put(bytes);
  }

  uint64_t hash() const {
    Fold();
    return digest_.value();
  }

  // Building the text is the caller's business, and only when somebody reads it:
  //   if (trace.reading()) trace.Say(absl::StrCat(...));
  bool reading() const { return sink_ != nullptr; }
  void Say(absl::string_view line) const {
    if (sink_ != nullptr) sink_(scheduler_->now(), line);
  }

 private:
  static constexpr size_t kFactBytes = 32;
  static constexpr size_t kRoom = 4096;

  void Put(absl::string_view bytes) {
    if (bytes.size() > kRoom - size_) return PutSlowly(bytes);
    std::memcpy(room_.data() + size_, bytes.data(), bytes.size());
    size_ += bytes.size();
  }
  void PutSlowly(absl::string_view bytes);
  void Fold() const;

  const Scheduler* scheduler_;
  Sink sink_;
  // The hash of everything added, one after the other. What is added last waits until there is so
  // much of it that hashing it costs least: where it is cut makes no difference.
  mutable storage::Digest digest_;
  mutable std::array<char, kRoom> room_;
  mutable size_t size_ = 0;
};

}  // namespace raftkv::sim
