#include "core/raft/invariants.h"

#include <algorithm>

namespace raftkv::raft {
namespace {

absl::string_view BrokenOrder(const Raft& raft) {
  const Log& log = raft.log();
  // Paper, figure 2; a snapshot that is being installed runs ahead of what is applied.
  if (!raft.installing_snapshot() && log.base() > raft.applied())
    return "An entry is compacted only after it is applied (paper, section 7).";
  if (raft.applied() > raft.handed_out())
    return "An entry is applied only after it was handed out (ready.h).";
  if (raft.handed_out() > raft.commit())
    return "An entry is handed out only after it is committed (paper, section 5.3).";
  if (raft.commit() > log.last())
    return "The commit index names an entry of this log (paper, figure 2).";
  if (raft.durable() > log.last())
    return "What is vouched for as durable is in the log (paper, section 5.3).";
  if (log.last() > log.base() && log.last_term() > raft.term())
    return "No entry has a term above the node's own (paper, section 5.1).";
  if (raft.installing_snapshot() && raft.role() != RoleName::kFollower)
    return "A node that installs a snapshot is a follower (paper, section 7).";
  if (raft.suspicion() && raft.role() != RoleName::kFollower)
    return "A node that lost the end of its log is a follower (docs/adr/0007).";
  if (!raft.installing_snapshot() && raft.offered_snapshot().index > raft.applied())
    return "A snapshot holds only what is applied (paper, section 7).";
  return {};
}

absl::string_view BrokenRole(const Raft& raft) {
  const bool leads_itself = raft.leader() == raft.id();
  switch (raft.role()) {
    case RoleName::kFollower:
      if (leads_itself) return "Only a leader follows itself (paper, section 5.1).";
      break;
    case RoleName::kPreCandidate:
      if (raft.leader() != kNoNode) return "A pre-candidate has no leader (thesis, section 9.6).";
      break;
    case RoleName::kCandidate:
      if (raft.leader() != kNoNode) return "A candidate has no leader (paper, section 5.2).";
      if (raft.vote() != raft.id()) return "A candidate votes for itself (paper, section 5.2).";
      break;
    case RoleName::kLeader:
      if (!leads_itself) return "A leader knows that it leads (paper, section 5.2).";
      if (raft.vote() != raft.id()) return "A leader has its own vote (paper, section 5.2).";
      if (raft.log().last_term() != raft.term())
        return "A leader's log ends with an entry of its own term (paper, section 8).";
      break;
  }
  return {};
}

absl::string_view BrokenProgress(const Raft& raft, const Progress& peer) {
  const Log& log = raft.log();
  if (peer.match >= peer.next)
    return "What is known to match lies before what is sent next (paper, figure 2).";
  if (peer.next > log.last() + 1) return "A leader sends only entries it has (paper, figure 2).";
  if (peer.match > log.last())
    return "A follower matches only entries that the leader has (paper, section 5.3).";
  if (peer.id == raft.id() && peer.match > raft.durable())
    return "A leader counts its own entries only once they are durable (thesis, section 10.2.1).";
  if (peer.sent_commit > raft.commit())
    return "A follower is told only a commit index that was reached (paper, section 5.3).";
  if (peer.state == ProgressState::kSnapshot && peer.inflights.count() > 0)
    return "No append is under way to a follower that needs a snapshot (thesis, section 10.2).";
  return {};
}

absl::string_view BrokenLeadership(const Raft& raft) {
  const ProgressTable* progress = raft.progress();
  if (progress == nullptr) return {};
  NodeId previous = kNoNode;
  size_t rows = 0;
  for (const Progress& peer : *progress) {
    if (peer.id <= previous) return "Progress is kept once per member, in order (progress.h).";
    previous = peer.id;
    ++rows;
    if (!IsMember(raft.conf(), peer.id))
      return "Progress is kept for members only (thesis, section 4.1).";
    if (const absl::string_view broken = BrokenProgress(raft, peer); !broken.empty()) return broken;
  }
  if (rows != MemberCount(raft.conf()))
    return "Progress is kept for every member (thesis, section 4.1).";
  const NodeId target = raft.transfer_target();
  if (target != kNoNode && (target == raft.id() || !IsVoter(raft.conf(), target)))
    return "Leadership is transferred to another voter (thesis, section 3.10).";
  return {};
}

}  // namespace

absl::string_view BrokenInvariant(const Raft& raft) {
  if (const absl::string_view broken = BrokenOrder(raft); !broken.empty()) return broken;
  if (const absl::string_view broken = BrokenRole(raft); !broken.empty()) return broken;
  if (!ConfStateFault(raft.conf()).empty())
    return "The configuration is well-formed (thesis, section 4.3).";
  return BrokenLeadership(raft);
}

void StepInvariants::Take(const Raft& before) {
  hard_ = before.hard_state();
  role_ = before.role();
  commit_ = before.commit();
  applied_ = before.applied();
  handed_out_ = before.handed_out();
  log_ = before.log().terms();
  suspicion_ = before.suspicion();
  if (conf_ != before.conf()) conf_ = before.conf();
  acknowledged_.clear();
  if (const ProgressTable* progress = before.progress()) {
    for (const Progress& peer : *progress) acknowledged_.push_back(AcknowledgedBy(peer));
  }
}

bool StepInvariants::IsOf(const Raft& raft) const {
  // What most steps move comes first.
  if (commit_ != raft.commit() || applied_ != raft.applied() || log_ != raft.log().terms() ||
      handed_out_ != raft.handed_out() || hard_ != raft.hard_state() || role_ != raft.role() ||
      suspicion_ != raft.suspicion() || conf_ != raft.conf()) {
    return false;
  }
  const ProgressTable* progress = raft.progress();
  if (progress == nullptr) return acknowledged_.empty();
  return std::equal(acknowledged_.begin(), acknowledged_.end(), progress->begin(), progress->end(),
                    [](const Acknowledged& taken, const Progress& peer) {
                      return taken == AcknowledgedBy(peer);
                    });
}

absl::string_view StepInvariants::Broken(const Raft& after) const {
  if (after.term() < hard_.term) return "A term never goes back (paper, section 5.1).";
  const bool same_term = after.term() == hard_.term;
  if (same_term && hard_.vote != kNoNode && after.vote() != hard_.vote)
    return "A vote is given once in a term (paper, section 5.2).";
  if (after.commit() < commit_) return "The commit index never goes back (paper, figure 2).";
  if (after.applied() < applied_) return "What is applied stays applied (paper, figure 2).";
  if (after.handed_out() < handed_out_)
    return "A committed entry is handed out exactly once (ready.h).";
  if (after.suspicion() &&
      (!suspicion_ || !UpToDate(suspicion_->index, suspicion_->term, *after.suspicion())))
    return "What a disk lost is found when its node starts, and then only ends (docs/adr/0007).";
  const TermRuns& log = after.log().terms();
  if (log.base() < log_.base()) return "What is compacted does not come back (paper, section 7).";
  const Index unchanged = TermRuns::CommonPrefix(log_, log);
  if (unchanged < commit_)
    return "A committed entry is never rewritten (paper, section 5.4, state machine safety).";
  if (!same_term || role_ != RoleName::kLeader || after.role() != RoleName::kLeader) return {};

  if (unchanged < log_.last())
    return "A leader never overwrites or deletes its entries (paper, section 5.3).";
  if (after.conf() != conf_) return {};  // a member removed and added again begins anew
  for (const Acknowledged& before : acknowledged_) {
    const Progress* peer = after.progress()->Find(before.id);
    if (peer == nullptr) return "Progress is kept for every member (thesis, section 4.1).";
    if (peer->match < before.match && peer->losses == before.losses)
      return "What a follower has acknowledged and not lost stays acknowledged (paper, section "
             "5.3).";
  }
  return {};
}

}  // namespace raftkv::raft
