// Elections (paper, section 5.2; pre-vote: thesis, section 9.6; transfer: thesis, section 3.10).
#include <algorithm>

#include "core/raft/check.h"
#include "core/raft/raft.h"

namespace raftkv::raft {

void Raft::VoteTally::Record(NodeId from, bool granted) {
  const auto same = [from](const auto& answer) { return answer.first == from; };
  if (std::none_of(answers_.begin(), answers_.end(), same)) answers_.emplace_back(from, granted);
}

VoteResult Raft::VoteTally::Result(const ConfState& conf) const {
  return JointVote(conf, [this](NodeId id) -> std::optional<bool> {
    for (const auto& [from, granted] : answers_) {
      if (from == id) return granted;
    }
    return std::nullopt;
  });
}

void Raft::TickElection() {
  ++election_elapsed_;
  // With a disk slower than the election timeout, each new campaign would throw away the vote that
  // is just being written.
  if (OwnVotePending()) return;
  if (election_elapsed_ < election_timeout_ + election_delay_) return;
  // What its disk has lost a node asks the others for if it knows no leader (RegainLostEnd). One
  // that is gone must not keep it waiting.
  if (suspicion_) leader_ = kNoNode;
  if (!Promotable()) return;
  election_elapsed_ = 0;
  StartCampaign(UsualCampaign());
}

bool Raft::OwnVotePending() const {
  const auto is_vote = [](const OwnAnswer& answer) {
    return std::holds_alternative<OwnVote>(answer);
  };
  return std::any_of(own_answers_.begin(), own_answers_.end(), is_vote) ||
         std::any_of(ticket_own_answers_.begin(), ticket_own_answers_.end(), is_vote);
}

bool Raft::Promotable() const { return IsVoter(conf_, options_.id) && !installing_ && !suspicion_; }

// True when a committed membership entry waits to be applied: campaigning now would count votes by
// a configuration that may already be history.
bool Raft::MembershipUnapplied() const {
  for (Index index = std::max(applied_, log_.base()) + 1; index <= commit_; ++index) {
    if (log_.At(index).type == EntryType::kMembership) return true;
  }
  return false;
}

Raft::CampaignKind Raft::UsualCampaign() const {
  return options_.pre_vote ? CampaignKind::kPreVote : CampaignKind::kElection;
}

Outcome Raft::Campaign() {
  // Its own vote counts too: who has just confirmed a lease must not give it.
  const bool loyal = leader_ != kNoNode && election_elapsed_ < options_.election_ticks;
  if (options_.read_mode == ReadMode::kLease && leading() == nullptr && !installing_ &&
      (loyal || silent_ticks_ > 0)) {
    return Outcome::kLeaseReads;
  }
  return StartCampaign(UsualCampaign());
}

Outcome Raft::StartCampaign(CampaignKind kind) {
  if (leading() != nullptr) return Outcome::kAlreadyLeader;
  if (installing_) return Outcome::kSnapshotPending;
  if (suspicion_) return Outcome::kSuspicious;
  if (!Promotable()) return Outcome::kNotPromotable;
  if (MembershipUnapplied()) return Outcome::kMembershipUnapplied;
  RunCampaign(kind);
  return Outcome::kOk;
}

void Raft::RunCampaign(CampaignKind kind) {
  const bool pre_vote = kind == CampaignKind::kPreVote;
  Term term = hard_.term + 1;
  if (pre_vote) {
    leader_ = kNoNode;
    role_ = PreCandidate();
  } else {
    EnterTerm(term);
    hard_.vote = options_.id;
    role_ = Candidate();
  }
  const VoteRequest request{.pre_vote = pre_vote,
                            .transfer = kind == CampaignKind::kTransfer,
                            .last_index = log_.last(),
                            .last_term = log_.last_term(),
                            .commit = commit_,
                            .commit_term = log_.TermAt(commit_).value_or(0)};
  for (const NodeId voter : AllVoters(conf_)) {
    if (voter == options_.id) {
      own_answers_.push_back(OwnVote{pre_vote, hard_.term});
    } else if (pre_vote) {
      SendInTerm(voter, term, request);
    } else {
      SendAfterPersist(voter, term, request);  // it asserts a term and our own vote
    }
  }
}

Outcome Raft::On(const Message& message, const VoteRequest& request) {
  const bool may_vote = hard_.vote == message.from ||
                        (hard_.vote == kNoNode && leader_ == kNoNode) ||
                        (request.pre_vote && message.term > hard_.term);
  // A lost entry is still promised: whoever committed it may have counted this node, and elections
  // rest on such a node voting for nobody without it (paper, section 5.4.3).
  const bool kept = !suspicion_ || UpToDate(request.last_index, request.last_term, *suspicion_);
  const bool up_to_date =
      request.last_term > log_.last_term() ||
      (request.last_term == log_.last_term() && request.last_index >= log_.last());
  if (!may_vote || !up_to_date || !kept || (silent_ticks_ > 0 && !request.transfer)) {
    RejectVote(message.from, request.pre_vote);
    LearnCommit(request.commit, request.commit_term);
    return Outcome::kOk;
  }
  // The answer to a pre-vote carries the term asked about: the responder's own may be lower, and
  // would be ignored.
  SendAfterPersist(message.from, message.term, VoteResponse{.pre_vote = request.pre_vote});
  if (!request.pre_vote) {
    election_elapsed_ = 0;
    hard_.vote = message.from;
  }
  return Outcome::kOk;
}

void Raft::RejectVote(NodeId candidate, bool pre_vote) {
  SendAfterPersist(candidate, hard_.term,
                   VoteResponse{.pre_vote = pre_vote,
                                .rejected = true,
                                .commit = commit_,
                                .commit_term = log_.TermAt(commit_).value_or(0)});
}

// Without this a cluster can be stuck for ever: {1, 2} removes 2, which leads; 2 applies that,
// steps down, and its last message is lost; 1 has the change and asks 2 for a vote, whose log is
// longer (etcd issue 12359 tells of a larger case).
//
// The logs of a term all grow from the one of its leader, so a log whose last entry is of that term
// is a beginning of what is committed: who has the change that makes the other one a voter, and not
// what came behind it, would never ask that one for its vote, and keep it from winning.
void Raft::LearnCommit(Index commit, Term term) {
  const Index known = std::min(commit, log_.last());
  if (leading() != nullptr || known <= commit_ || !log_.Has(known, term)) return;
  commit_ = known;
  // Votes are not counted by a configuration that may already be history.
  if (!std::holds_alternative<Follower>(role_) && MembershipUnapplied()) {
    BecomeFollower(hard_.term, kNoNode);
  }
}

Outcome Raft::On(const Message& message, const VoteResponse& response) {
  if (response.rejected) LearnCommit(response.commit, response.commit_term);
  const bool asked = response.pre_vote ? std::holds_alternative<PreCandidate>(role_)
                                       : std::holds_alternative<Candidate>(role_);
  if (!asked) return Outcome::kIgnored;
  // A granted pre-vote of an earlier campaign names an earlier term.
  if (response.pre_vote && !response.rejected && message.term != hard_.term + 1)
    return Outcome::kIgnored;
  CountVote(message.from, response.pre_vote, !response.rejected);
  return Outcome::kOk;
}

void Raft::CountVote(NodeId from, bool pre_vote, bool granted) {
  VoteTally& votes =
      pre_vote ? std::get<PreCandidate>(role_).votes : std::get<Candidate>(role_).votes;
  votes.Record(from, granted);
  switch (votes.Result(conf_)) {
    case VoteResult::kWon:
      if (pre_vote) {
        RunCampaign(CampaignKind::kElection);
      } else {
        BecomeLeader();
        BroadcastAppend(*leading());
      }
      break;
    case VoteResult::kLost:
      BecomeFollower(hard_.term, kNoNode);
      break;
    case VoteResult::kPending:
      break;
  }
}

Outcome Raft::On(const Message&, const TimeoutNow&) {
  // Only a follower: a candidate is campaigning already, and the request of a leader it has left
  // behind.
  if (!std::holds_alternative<Follower>(role_)) return Outcome::kIgnored;
  return StartCampaign(CampaignKind::kTransfer);
}

}  // namespace raftkv::raft
