// Where in the log snapshots are taken: decided by the log, so that every replica takes them at the
// same indices and equal snapshots have equal bytes (a damaged piece of one can then be fetched
// from any peer).
//
// The driver folds in the size of every entry it applies, of whatever type, and takes a snapshot
// when told to. A snapshot is due once the entries since the last one weigh a fixed share of the
// state, or `minimum_bytes` if that is more: writing snapshots then costs a bounded number of bytes
// per byte of log, however large the state is. The options must be equal on every replica.
#pragma once

#include <algorithm>
#include <cstdint>

namespace raftkv::kv {

struct SnapshotPolicy {
  uint64_t minimum_bytes = 64 << 20;
  uint32_t state_percent = 25;  // of Store::memory_bytes; 0: minimum_bytes alone decides

  friend bool operator==(const SnapshotPolicy&, const SnapshotPolicy&) = default;
};

class SnapshotPoints {
 public:
  // What an entry counts besides its payload: empty entries move the count too, as they take room
  // in the log.
  static constexpr uint64_t kEntryOverheadBytes = 32;

  explicit SnapshotPoints(const SnapshotPolicy& policy) : policy_(policy) {}

  // Call after applying each entry, with the size of its payload and the store's memory_bytes then.
  // True: the state right now is a snapshot point, and the count starts again from zero.
  bool Fold(uint64_t payload_bytes, uint64_t state_bytes) {
    folded_ += payload_bytes + kEntryOverheadBytes;
    if (folded_ < interval_bytes(state_bytes)) return false;
    folded_ = 0;
    return true;
  }

  // The state was replaced by a snapshot, which was taken at such a point.
  void Restart() { folded_ = 0; }

  uint64_t folded_bytes() const { return folded_; }
  // From one snapshot of such a state to the next.
  uint64_t interval_bytes(uint64_t state_bytes) const {
    // Divided first: state_bytes * percent could overflow.
    return std::max(policy_.minimum_bytes, state_bytes / 100 * policy_.state_percent);
  }
  // What may still be folded in before a snapshot of such a state is due.
  uint64_t due_bytes(uint64_t state_bytes) const {
    return interval_bytes(state_bytes) - std::min(folded_, interval_bytes(state_bytes));
  }

 private:
  SnapshotPolicy policy_;
  uint64_t folded_ = 0;
};

}  // namespace raftkv::kv
