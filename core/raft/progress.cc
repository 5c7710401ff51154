#include "core/raft/progress.h"

#include <algorithm>

#include "core/raft/check.h"

namespace raftkv::raft {

void Inflights::Add(Index last, uint64_t bytes) {
  RAFTKV_CHECK(!Full());
  if (count_ == ring_.size()) {
    std::vector<Sent> larger(
        std::min<uint64_t>(std::max<uint64_t>(4, ring_.size() * 2), max_messages_));
    for (uint64_t i = 0; i < count_; ++i) larger[i] = At(i);
    ring_ = std::move(larger);
    start_ = 0;
  }
  At(count_) = Sent{last, bytes};
  ++count_;
  bytes_ += bytes;
}

void Inflights::ExtendLast(Index last, uint64_t bytes) {
  RAFTKV_CHECK(count_ > 0);
  Sent& newest = At(count_ - 1);
  newest.last = last;
  newest.bytes += bytes;
  bytes_ += bytes;
}

void Inflights::FreeThrough(Index index) {
  while (count_ > 0 && At(0).last <= index) {
    bytes_ -= At(0).bytes;
    start_ = (start_ + 1) % ring_.size();
    --count_;
  }
}

void Inflights::Clear() {
  start_ = 0;
  count_ = 0;
  bytes_ = 0;
}

void Progress::Enter(ProgressState new_state) {
  flow_paused = false;
  try_again_at = 0;
  pending_snapshot = 0;
  state = new_state;
  inflights.Clear();
}

void Progress::BecomeProbe() {
  // After a snapshot the follower has at least that snapshot: begin behind it.
  const Index from = state == ProgressState::kSnapshot ? std::max(match, pending_snapshot) : match;
  Enter(ProgressState::kProbe);
  next = from + 1;
  sent_commit = std::min(sent_commit, next - 1);
}

void Progress::BecomeReplicate() {
  Enter(ProgressState::kReplicate);
  next = match + 1;
}

void Progress::BecomeSnapshot(Index snapshot) {
  Enter(ProgressState::kSnapshot);
  pending_snapshot = snapshot;
  next = snapshot + 1;
  sent_commit = snapshot;
}

void Progress::SentAppend(uint64_t entries, uint64_t bytes) {
  if (state == ProgressState::kReplicate) {
    if (entries > 0) {
      next += entries;
      inflights.Add(next - 1, bytes);
    }
    flow_paused = inflights.Full();
  } else {
    RAFTKV_CHECK(state == ProgressState::kProbe);
    if (entries > 0) flow_paused = true;
  }
}

void Progress::ExtendedAppend(uint64_t entries, uint64_t bytes) {
  RAFTKV_CHECK(state == ProgressState::kReplicate);
  next += entries;
  inflights.ExtendLast(next - 1, bytes);
  flow_paused = inflights.Full();
}

bool Progress::Accepted(Index index) {
  if (index <= match) return false;
  match = index;
  next = std::max(next, index + 1);
  flow_paused = false;
  return true;
}

bool Progress::Rejected(Index prev, Index hint) {
  if (state == ProgressState::kReplicate) {
    if (prev <= match) return false;  // answered before something newer was accepted
    next = match + 1;
    sent_commit = std::min(sent_commit, next - 1);
    return true;
  }
  if (next - 1 != prev) return false;  // not the probe that is out
  const Index back = std::max(std::min(prev, hint + 1), match + 1);
  // It refuses what it has acknowledged: the answer is late, or its disk has lost entries without a
  // word, which a heartbeat will tell. To ask the same again at once would get the same answer, and
  // where the network doubles messages each of them would have twice as many children.
  if (back == next) return false;
  next = back;
  sent_commit = std::min(sent_commit, next - 1);
  flow_paused = false;
  return true;
}

bool Progress::Lost(Index hint) {
  if (hint >= match) return false;
  match = hint;
  ++losses;
  // A snapshot that is under way is still what it needs, or its end will be reported.
  if (state != ProgressState::kSnapshot) BecomeProbe();
  return true;
}

namespace {
template <typename Rows>
auto Position(Rows& rows, NodeId id) {
  return std::lower_bound(rows.begin(), rows.end(), id,
                          [](const Progress& row, NodeId wanted) { return row.id < wanted; });
}
}  // namespace

void ProgressTable::Insert(Progress progress) {
  auto it = Position(rows_, progress.id);
  if (it != rows_.end() && it->id == progress.id) {
    *it = std::move(progress);
  } else {
    rows_.insert(it, std::move(progress));
  }
}

void ProgressTable::Remove(NodeId id) {
  auto it = Position(rows_, id);
  if (it != rows_.end() && it->id == id) rows_.erase(it);
}

}  // namespace raftkv::raft
