// Inputs that are refused or come to nothing, and what is said of them.
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/raft/test_nodes.h"

namespace raftkv::raft {
namespace {

TEST(Refusals, EveryOutcomeHasItsOwnPhrase) {
  std::set<absl::string_view> phrases;
  for (int value = 0; value <= static_cast<int>(Outcome::kLeaseReads); ++value) {
    const absl::string_view phrase = OutcomeText(static_cast<Outcome>(value));
    EXPECT_NE(phrase, "unknown outcome") << value;
    EXPECT_TRUE(phrases.insert(phrase).second) << phrase;
  }
  EXPECT_EQ(OutcomeText(static_cast<Outcome>(200)), "unknown outcome");
}

TEST(Refusals, AMajorityOfRefusalsEndsACandidacy) {
  Solo candidate(FoundingDisk({1, 2, 3}));
  ASSERT_EQ(candidate->Campaign(), Outcome::kOk);
  candidate.Settle();
  ASSERT_EQ(candidate->role(), RoleName::kCandidate);
  candidate.Hear(2, 1, VoteResponse{.rejected = true});
  EXPECT_EQ(candidate->role(), RoleName::kCandidate) << "its own vote and node 3's may do";
  candidate.Hear(3, 1, VoteResponse{.rejected = true});
  EXPECT_EQ(candidate->role(), RoleName::kFollower);
  EXPECT_EQ(candidate->term(), 1u);
  EXPECT_EQ(candidate->vote(), 1u) << "the vote of this term is given";
}

TEST(Refusals, AMembershipChangeThatIsTooLargeIsRefusedByAnybody) {
  MembershipChange crowd;
  for (NodeId id = 1; id <= kMaxMemberChanges + 1; ++id) {
    crowd.changes.push_back({MemberChange::Kind::kAddVoter, id + 10});
  }
  MembershipChange talk = OneChange(MemberChange::Kind::kAddVoter, 4);
  talk.context.assign(kMaxMembershipContext + 1, 'x');
  Solo node(FoundingDisk({1}));
  EXPECT_EQ(node->ProposeMembership(crowd).outcome, Outcome::kMembershipInvalid);
  EXPECT_EQ(node->ProposeMembership(talk).outcome, Outcome::kMembershipInvalid);
  node.BecomeLeader({});
  EXPECT_EQ(node->ProposeMembership(crowd).outcome, Outcome::kMembershipInvalid);
  EXPECT_EQ(node->ProposeMembership(talk).outcome, Outcome::kMembershipInvalid);
  EXPECT_EQ(node->log().last(), 1u) << "nothing but the first entry of its term";
}

TEST(Refusals, AForwardedTransferIsTheLeadersToDo) {
  Solo leader(FoundingDisk({1, 2, 3}));
  leader.BecomeLeader({2});
  leader.Accept(2, 1);
  leader.Settle();
  EXPECT_EQ(leader.Hear(3, 0, ForwardedTransfer{9}), Outcome::kUnknownPeer);
  EXPECT_EQ(leader.Hear(3, 0, ForwardedTransfer{2}), Outcome::kOk);
  EXPECT_EQ(leader->transfer_target(), 2u);
  EXPECT_EQ(Only<TimeoutNow>(leader.Sent()).size(), 1u);
}

TEST(Refusals, AReadThatANewNodeIsAskedForIsNotAnsweredInNoTerm) {
  Solo node(FoundingDisk({1, 2, 3}));
  ASSERT_EQ(node->term(), 0u);
  EXPECT_EQ(node.Hear(2, 0, ReadIndexRequest{7}), Outcome::kNotLeader);
  EXPECT_TRUE(node.Sent().empty()) << "no receiver takes term 0 for a term";
  ASSERT_EQ(node.Hear(3, 1, Heartbeat{}), Outcome::kOk);
  node.Settle();
  EXPECT_EQ(node.Hear(2, 0, ReadIndexRequest{7}), Outcome::kNotLeader);
  const auto refused = Only<ReadIndexResponse>(node.Sent());
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_TRUE(As<ReadIndexResponse>(refused[0]).rejected);
}

TEST(Refusals, ForwardedProposalsThatCannotBeReadAreMalformed) {
  Solo leader(FoundingDisk({1, 2, 3}));
  EXPECT_EQ(leader.Hear(2, 0, ForwardedProposal{}), Outcome::kMalformed);
  Entry nonsense;
  nonsense.type = EntryType::kMembership;
  nonsense.payload = Payload::Copy("\xff not a change");
  EXPECT_EQ(leader.Hear(2, 0, ForwardedProposal{{nonsense}}), Outcome::kMalformed);
  Entry change = Membership(0, 0, OneChange(MemberChange::Kind::kRemove, 3));
  EXPECT_EQ(leader.Hear(2, 0, ForwardedProposal{{change}}), Outcome::kNoLeader)
      << "well-formed, but for somebody else";
}

TEST(Refusals, ASnapshotThatNoLeaderCanOfferIsMalformed) {
  Solo follower(FoundingDisk({1, 2, 3}));
  const SnapshotMeta good{7, 2, {{1, 2, 3}, {}, {}, {}, false}};
  SnapshotMeta bad = good;
  bad.conf.voters = {3, 1};
  EXPECT_EQ(follower.Hear(2, 3, InstallSnapshot{bad}), Outcome::kMalformed) << "not sorted";
  bad = good;
  bad.index = 0;
  EXPECT_EQ(follower.Hear(2, 3, InstallSnapshot{bad}), Outcome::kMalformed);
  bad = good;
  bad.term = 4;
  EXPECT_EQ(follower.Hear(2, 3, InstallSnapshot{bad}), Outcome::kMalformed) << "of a later term";
  EXPECT_EQ(follower->log().last(), 0u);
  EXPECT_FALSE(follower->installing_snapshot());
}

// Without the removed voter a quorum is smaller, and what waited for it is committed.
TEST(Membership, ASmallerQuorumCommitsWhatWaited) {
  Solo leader(FoundingDisk({1, 2, 3, 4}));
  leader.BecomeLeader({2, 3});
  leader.Accept(2, 1);
  leader.Accept(3, 1);
  leader.Settle();
  ASSERT_EQ(leader->commit(), 1u);
  const Proposed removal = leader->ProposeMembership(OneChange(MemberChange::Kind::kRemove, 4));
  ASSERT_EQ(removal.outcome, Outcome::kOk);
  const Proposed command = leader->Propose(Payload::Copy("x"));
  leader.Accept(2, command.index);
  leader.Accept(3, removal.index);
  ASSERT_EQ(leader->RequestRead(1), Outcome::kOk);
  leader.Settle();
  EXPECT_EQ(leader->conf().voters, (std::vector<NodeId>{1, 2, 3}));
  EXPECT_EQ(leader->commit(), command.index) << "nodes 1 and 2 are a quorum of three";
}

TEST(Quorum, MoreVotersThanFitOnTheStack) {
  ConfState conf;
  for (NodeId id = 1; id <= 99; ++id) conf.voters.push_back(id);
  EXPECT_EQ(JointIndex(conf, [](NodeId id) { return Index{id * 10}; }), 500u);
}

}  // namespace
}  // namespace raftkv::raft
