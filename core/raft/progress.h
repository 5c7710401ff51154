// What a leader knows about one follower, and the flow control that follows from it (thesis,
// section 10.2).
//
//   probe      where the follower's log ends is unknown: one append at a time, until one is
//              accepted
//   replicate  known: appends are sent ahead, at most a window of them (messages and bytes)
//              unanswered
//   snapshot   the entries it needs are compacted away: nothing is sent until the snapshot is
//              reported
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/raft/types.h"

namespace raftkv::raft {

// The appends sent ahead and not yet answered, oldest first. A ring that grows only as far as it is
// used, so that a huge window costs nothing.
class Inflights {
 public:
  // `max_bytes` 0: no limit in bytes.
  explicit Inflights(uint64_t max_messages = 1, uint64_t max_bytes = 0)
      : max_messages_(max_messages), max_bytes_(max_bytes) {}

  bool Full() const { return count_ >= max_messages_ || (max_bytes_ != 0 && bytes_ >= max_bytes_); }
  uint64_t count() const { return count_; }

  void Add(Index last, uint64_t bytes);  // must not be Full()
  // The newest message now ends at `last` and is `bytes` larger.
  void ExtendLast(Index last, uint64_t bytes);
  void FreeThrough(Index index);  // everything up to `index` has been answered
  void Clear();

 private:
  struct Sent {
    Index last = 0;
    uint64_t bytes = 0;
  };
  Sent& At(uint64_t position) { return ring_[(start_ + position) % ring_.size()]; }

  uint64_t max_messages_;
  uint64_t max_bytes_;
  uint64_t start_ = 0;
  uint64_t count_ = 0;
  uint64_t bytes_ = 0;
  std::vector<Sent> ring_;
};

enum class ProgressState : uint8_t { kProbe, kReplicate, kSnapshot };

struct Progress {
  NodeId id = kNoNode;
  // Known to be durable there; match < next always. Grows while the leader leads, but for Lost().
  Index match = 0;
  Index next = 1;         // first entry to send next
  Index sent_commit = 0;  // highest commit index told to it
  ProgressState state = ProgressState::kProbe;
  Index pending_snapshot = 0;  // in state snapshot: index of the snapshot under way
  bool recently_active = false;
  std::optional<uint64_t> heard_at;  // tick of its newest answer; none yet in this term
  bool flow_paused = false;          // probe: one append is out; replicate: the window is full
  uint64_t try_again_at = 0;  // tick from which on a heartbeat's answer brings an append on its way
  uint64_t read_round = 0;    // newest read round it has confirmed
  uint64_t losses = 0;        // how often it lost what it had acknowledged
  Inflights inflights;

  void BecomeProbe();
  void BecomeReplicate();
  void BecomeSnapshot(Index snapshot);

  bool Paused() const { return state == ProgressState::kSnapshot || flow_paused; }
  // True when it does not yet know `commit` and has entries to which that matters.
  bool WantsCommit(Index commit) const { return commit > sent_commit && sent_commit < next - 1; }

  void SentAppend(uint64_t entries, uint64_t bytes);
  // As SentAppend, into the newest unanswered message.
  void ExtendedAppend(uint64_t entries, uint64_t bytes);
  // An append up to `index` was accepted. False when that is not news (a late or repeated answer).
  bool Accepted(Index index);
  // An append after `prev` was refused. False when the answer is stale; otherwise `next` moves
  // back, guided by `hint`, the follower's last entry that may match, but never to match or below.
  bool Rejected(Index prev, Index hint);
  // Its disk has lost what is behind `hint`. False when nothing behind that was counted; otherwise
  // `match` moves back, and probing begins there.
  bool Lost(Index hint);

 private:
  void Enter(ProgressState new_state);
};

// One Progress per member, sorted by id.
class ProgressTable {
 public:
  // Null when there is none. There are few, and they are asked for all the time.
  Progress* Find(NodeId id) {
    for (Progress& row : rows_) {
      if (row.id == id) return &row;
    }
    return nullptr;
  }
  const Progress* Find(NodeId id) const { return const_cast<ProgressTable*>(this)->Find(id); }
  void Insert(Progress progress);  // replaces an entry with the same id
  void Remove(NodeId id);

  auto begin() { return rows_.begin(); }
  auto end() { return rows_.end(); }
  auto begin() const { return rows_.begin(); }
  auto end() const { return rows_.end(); }

 private:
  std::vector<Progress> rows_;
};

}  // namespace raftkv::raft
