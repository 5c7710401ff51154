// ReadIndex on leader and followers, and lease reads (thesis, section 6.4).
#include <algorithm>

#include "core/raft/raft.h"

namespace raftkv::raft {

Outcome Raft::RequestRead(uint64_t context) {
  if (leading() != nullptr) return LeaderRead(options_.id, context);
  if (leader_ == kNoNode || !std::holds_alternative<Follower>(role_)) return Outcome::kNoLeader;
  SendInTerm(leader_, 0, ReadIndexRequest{context});
  return Outcome::kForwarded;
}

Outcome Raft::On(const Message& message, const ReadIndexRequest& request) {
  const Outcome outcome =
      leading() == nullptr ? Outcome::kNotLeader : LeaderRead(message.from, request.context);
  // Who has never heard of a term has none to answer in: it is taken for the node that it was
  // before its disk was wiped, by somebody who followed that one.
  if (outcome != Outcome::kOk && hard_.term > 0)
    Send(message.from, ReadIndexResponse{.context = request.context, .rejected = true});
  return outcome;
}

Outcome Raft::On(const Message&, const ReadIndexResponse& response) {
  if (response.rejected) {
    failed_reads_.push_back(FailedRead{response.context, ReadFailure::kRefusedByLeader});
  } else {
    reads_.push_back(ReadPoint{response.context, response.index});
  }
  return Outcome::kOk;
}

Outcome Raft::LeaderRead(NodeId from, uint64_t context) {
  Leader& leader = *leading();
  if (leader.reads.size() >= options_.max_pending_reads) return Outcome::kTooManyReads;
  leader.reads.waiting.push_back(ReadQueue::Read{from, context});
  StartWaitingReads(leader);
  return Outcome::kOk;
}

bool Raft::holds_lease() const {
  const Leader* leader = leading();
  return options_.read_mode == ReadMode::kLease && leader != nullptr && leader->reads.has_lease &&
         leader->transfer_target == kNoNode && !leader->offered_leadership &&
         now_ - leader->reads.lease_start + options_.lease_drift_ticks < options_.election_ticks;
}

// Gives every waiting read its index and its round, once the commit index is known to be current: a
// new leader learns that only with the first entry of its own term (thesis, section 6.4, step 1).
void Raft::StartWaitingReads(Leader& leader) {
  ReadQueue& reads = leader.reads;
  if (reads.waiting.empty() || !committed_in_term()) return;
  if (holds_lease()) {
    for (const ReadQueue::Read& read : reads.waiting) AnswerRead(read.from, read.context, commit_);
    reads.waiting.clear();
    return;
  }
  // Reads that arrive together share a round of heartbeats.
  if (options_.read_mode == ReadMode::kQuorum) ++reads.round;
  const uint64_t round = options_.read_mode == ReadMode::kQuorum ? reads.round : reads.round + 1;
  for (ReadQueue::Read read : reads.waiting) {
    read.index = commit_;
    read.round = round;
    reads.unconfirmed.push_back(read);
  }
  reads.waiting.clear();
  BroadcastHeartbeat(leader);
  ConfirmReads(leader);
}

void Raft::ConfirmReads(Leader& leader) {
  ReadQueue& reads = leader.reads;
  const uint64_t confirmed = JointIndex(conf_, [&](NodeId id) -> uint64_t {
    const Progress* peer = leader.progress.Find(id);
    return peer == nullptr ? 0 : peer->read_round;
  });
  if (confirmed == kEverything || confirmed <= reads.confirmed) return;
  reads.confirmed = confirmed;
  while (!reads.unconfirmed.empty() && reads.unconfirmed.front().round <= confirmed) {
    const ReadQueue::Read& read = reads.unconfirmed.front();
    AnswerRead(read.from, read.context, read.index);
    reads.unconfirmed.pop_front();
  }
  // The lease runs from when the confirmed round was *sent*: followers have been loyal since then
  // at the latest.
  while (!reads.sent.empty() && reads.sent.front().round <= confirmed) {
    reads.lease_start = reads.sent.front().at;
    reads.has_lease = true;
    reads.sent.pop_front();
  }
}

void Raft::AnswerRead(NodeId from, uint64_t context, Index index) {
  if (from == options_.id) {
    reads_.push_back(ReadPoint{context, index});
  } else {
    Send(from, ReadIndexResponse{.context = context, .index = index});
  }
}

// A leader that steps down can confirm nothing any more.
void Raft::AbandonReads() {
  Leader* leader = leading();
  if (leader == nullptr) return;
  const auto abandon = [this](const ReadQueue::Read& read) {
    if (read.from == options_.id) {
      failed_reads_.push_back(FailedRead{read.context, ReadFailure::kLostLeadership});
    } else {
      Send(read.from, ReadIndexResponse{.context = read.context, .rejected = true});
    }
  };
  for (const ReadQueue::Read& read : leader->reads.unconfirmed) abandon(read);
  for (const ReadQueue::Read& read : leader->reads.waiting) abandon(read);
  leader->reads.unconfirmed.clear();
  leader->reads.waiting.clear();
}

}  // namespace raftkv::raft
