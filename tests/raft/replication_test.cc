// Figure 2 of the paper, rule by rule: what a follower does with an append, and what a leader does
// with the answers. Each test names the bug that others have shipped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/raft/test_nodes.h"

namespace raftkv::raft {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

std::vector<Term> Terms(const Raft& raft) {
  std::vector<Term> terms;
  for (Index index = raft.log().first(); index <= raft.log().last(); ++index) {
    terms.push_back(*raft.log().TermAt(index));
  }
  return terms;
}

// A follower in {1,2,3} with entries of these terms on its disk.
Solo FollowerWith(const std::vector<Term>& terms, Index commit = 0) {
  MemoryDisk disk = FoundingDisk({1, 2, 3});
  disk.hard_state.term = terms.empty() ? 0 : terms.back();
  disk.entries = Commands(1, terms);
  disk.commit = commit;
  Solo solo(disk);
  solo.Settle();
  return solo;
}

// What it answers to this append.
AppendResponse Answer(Solo& follower, Term term, AppendRequest request) {
  follower.Hear(2, term, std::move(request));
  const Messages answers = Only<AppendResponse>(follower.Sent());
  EXPECT_THAT(answers, SizeIs(1));
  return answers.empty() ? AppendResponse() : As<AppendResponse>(answers.back());
}

TEST(Follower, R01_ALateShorterAppendCutsNothing) {
  Solo follower = FollowerWith({1, 1, 1});
  const AppendRequest late{
      .prev_index = 0, .prev_term = 0, .commit = 0, .entries = Commands(1, {1})};
  EXPECT_EQ(Answer(follower, 1, late).index, 1u);
  EXPECT_THAT(Terms(follower.raft()), ElementsAre(1, 1, 1));
}

TEST(Follower, R02_AnEmptyAppendCutsNothing) {
  Solo follower = FollowerWith({1, 1, 2, 2});
  EXPECT_EQ(
      Answer(follower, 3, {.prev_index = 2, .prev_term = 1, .commit = 0, .entries = {}}).index, 2u);
  EXPECT_THAT(Terms(follower.raft()), ElementsAre(1, 1, 2, 2));
}

TEST(Follower, R03_TheTermBeforeMustMatchToo) {
  Solo follower = FollowerWith({1, 1, 2});
  const AppendResponse answer = Answer(
      follower, 4, {.prev_index = 3, .prev_term = 3, .commit = 0, .entries = Commands(4, {4})});
  EXPECT_TRUE(answer.rejected);
  EXPECT_EQ(answer.index, 3u);
  EXPECT_EQ(answer.hint_index, 3u) << "its last entry of a term that the leader may have there";
  EXPECT_EQ(answer.hint_term, 2u);
  EXPECT_THAT(Terms(follower.raft()), ElementsAre(1, 1, 2));
}

TEST(Follower, R04_OnlyTheConflictIsReplaced) {
  Solo follower = FollowerWith({1, 1, 2, 2});
  EXPECT_EQ(Answer(follower, 3,
                   {.prev_index = 1, .prev_term = 1, .commit = 0, .entries = Commands(2, {1, 3})})
                .index,
            3u);
  EXPECT_THAT(Terms(follower.raft()), ElementsAre(1, 1, 3));
}

TEST(Follower, R05_CommitsOnlyWhatTheAppendHasShownToMatch) {
  Solo follower = FollowerWith({1, 1, 2, 2});
  Answer(follower, 3, {.prev_index = 1, .prev_term = 1, .commit = 4, .entries = Commands(2, {1})});
  EXPECT_EQ(follower->commit(), 2u)
      << "3 and 4 may differ from what the leader has committed there";
}

TEST(Follower, R06_ItsCommitIndexDoesNotGoBack) {
  Solo follower = FollowerWith({1, 1, 1}, /*commit=*/2);
  Answer(follower, 1, {.prev_index = 3, .prev_term = 1, .commit = 1, .entries = {}});
  EXPECT_EQ(follower->commit(), 2u);
  follower.Hear(2, 1, Heartbeat{.commit = 1});
  EXPECT_EQ(follower->commit(), 2u);
}

TEST(Follower, R07_AHeartbeatThatCommitsTooMuchIsRefused) {
  Solo follower = FollowerWith({1, 1});
  EXPECT_EQ(follower.Hear(2, 1, Heartbeat{.commit = 3}), Outcome::kIgnored);
  EXPECT_EQ(follower->commit(), 0u);
}

TEST(Follower, R09_AcknowledgesWhatTheAppendHadNotWhatItHas) {
  Solo follower = FollowerWith({1, 1, 2, 2});
  EXPECT_EQ(Answer(follower, 3,
                   {.prev_index = 1, .prev_term = 1, .commit = 0, .entries = Commands(2, {1})})
                .index,
            2u);
}

TEST(Follower, R14_TheHintSkipsWhatCannotMatch) {
  // The paper's example, figure 7 (f): the leader's entry before is of term 6.
  Solo follower = FollowerWith({1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3});
  const AppendResponse far =
      Answer(follower, 8, {.prev_index = 20, .prev_term = 6, .commit = 0, .entries = {}});
  EXPECT_EQ(far.hint_index, 11u);
  EXPECT_EQ(far.hint_term, 3u);
  const AppendResponse near =
      Answer(follower, 8, {.prev_index = 9, .prev_term = 1, .commit = 0, .entries = {}});
  EXPECT_EQ(near.hint_index, 3u) << "entries of terms above the leader's cannot match";
  EXPECT_EQ(near.hint_term, 1u);
}

TEST(Follower, R20_AnAppendBelowItsCommitIndexIsAcknowledgedUpToThere) {
  Solo follower = FollowerWith({1, 1, 1}, /*commit=*/3);
  const AppendResponse answer = Answer(
      follower, 1, {.prev_index = 1, .prev_term = 1, .commit = 0, .entries = Commands(2, {1})});
  EXPECT_FALSE(answer.rejected);
  EXPECT_EQ(answer.index, 3u);
}

TEST(Follower, R24_ADeposedLeaderIsNotObeyed) {
  Solo follower = FollowerWith({1, 2});
  EXPECT_EQ(
      follower.Hear(
          3, 1,
          AppendRequest{.prev_index = 1, .prev_term = 1, .commit = 2, .entries = Commands(2, {1})}),
      Outcome::kIgnored);
  EXPECT_THAT(Terms(follower.raft()), ElementsAre(1, 2));
  EXPECT_EQ(follower->leader(), kNoNode);
}

TEST(Follower, AnAppendThatContradictsItselfOrWhatIsCommittedIsRefused) {
  Solo follower = FollowerWith({1, 1, 1}, /*commit=*/2);
  const auto hear = [&](AppendRequest request) { return follower.Hear(2, 2, std::move(request)); };
  EXPECT_EQ(hear({.prev_index = 3, .prev_term = 1, .commit = 0, .entries = Commands(5, {1})}),
            Outcome::kMalformed)
      << "a gap";
  EXPECT_EQ(hear({.prev_index = 3, .prev_term = 1, .commit = 0, .entries = Commands(4, {2, 1})}),
            Outcome::kMalformed)
      << "terms that go back";
  EXPECT_EQ(hear({.prev_index = 3, .prev_term = 1, .commit = 0, .entries = Commands(4, {3})}),
            Outcome::kMalformed)
      << "an entry from the future";
  EXPECT_EQ(hear({.prev_index = 3, .prev_term = 3, .commit = 0, .entries = {}}),
            Outcome::kMalformed)
      << "the same before it";
  EXPECT_THAT(Terms(follower.raft()), ElementsAre(1, 1, 1));
}

// ---- Leader

TEST(Leader, C01_AnEntryOfAnEarlierTermIsNotCommittedByCounting) {
  MemoryDisk disk = FoundingDisk({1, 2, 3, 4, 5});
  disk.hard_state.term = 2;
  disk.entries = Commands(1, {1, 2});
  Solo leader(disk);
  leader.BecomeLeader({2, 3});  // of term 3; its own entry has index 3
  leader.Accept(2, 2);
  leader.Accept(3, 2);
  leader.Accept(4, 2);
  EXPECT_EQ(leader->commit(), 0u) << "paper, figure 8";
  leader.Accept(2, 3);
  EXPECT_EQ(leader->commit(), 0u);
  leader.Accept(3, 3);
  EXPECT_EQ(leader->commit(), 3u) << "an entry of its own term commits those before it";
}

TEST(Leader, C05_LearnersAreNotCounted) {
  Solo leader(FoundingDisk({1, 2, 3}, {4, 5}));
  leader.BecomeLeader({2});
  leader.Accept(4, 1);
  leader.Accept(5, 1);
  EXPECT_EQ(leader->commit(), 0u);
  leader.Accept(3, 1);
  EXPECT_EQ(leader->commit(), 1u);
}

TEST(Leader, C07_ARemovedLeaderDoesNotCountItself) {
  Options options = TestOptions();
  options.step_down_on_removal = false;
  Solo leader(FoundingDisk({1, 2, 3}), options);
  leader.BecomeLeader({2});
  leader.Accept(2, 1);
  leader.Settle();
  leader->ProposeMembership(OneChange(MemberChange::Kind::kRemove, 1));
  leader->Propose(Payload::Copy("behind its own removal"));
  leader.Settle();
  leader.Accept(2, 2);
  leader.Settle();
  ASSERT_FALSE(IsMember(leader->conf(), 1));
  leader.Accept(2, 3);
  EXPECT_EQ(leader->commit(), 2u) << "2 of {2, 3} has it, and a node that is no member";
  leader.Accept(3, 3);
  EXPECT_EQ(leader->commit(), 3u);
}

TEST(Leader, R08_ReorderedAnswersDoNotLowerMatch) {
  Solo leader(FoundingDisk({1, 2, 3}));
  leader.BecomeLeader({2});
  leader->Propose(Payload::Copy("a"));
  leader.Settle();
  leader.Accept(2, 2);
  leader.Accept(2, 1);
  EXPECT_EQ(leader->progress()->Find(2)->match, 2u);
  leader.Hear(2, 1, AppendResponse{.index = 1, .rejected = true, .hint_index = 0, .hint_term = 0});
  EXPECT_EQ(leader->progress()->Find(2)->match, 2u) << "R10: a late refusal";
  EXPECT_EQ(leader->progress()->Find(2)->next, 3u);
}

TEST(Leader, AnAnswerAboutEntriesItDoesNotHaveIsRefused) {
  Solo leader(FoundingDisk({1, 2, 3}));
  leader.BecomeLeader({2});
  EXPECT_EQ(leader.Hear(2, 1, AppendResponse{.index = 9}), Outcome::kMalformed);
  EXPECT_EQ(leader->progress()->Find(2)->match, 0u);
}

TEST(Leader, M01_NoMembershipChangeBeforeWhatItFoundIsApplied) {
  // What a new leader finds may hold a change that is committed under another configuration.
  MemoryDisk disk = FoundingDisk({1, 2, 3, 4});
  disk.hard_state.term = 1;
  disk.entries = {Command(1, 1), Membership(1, 2, OneChange(MemberChange::Kind::kRemove, 4))};
  Solo leader(disk);
  leader.BecomeLeader({2, 3});
  const MembershipChange change = OneChange(MemberChange::Kind::kRemove, 3);
  EXPECT_EQ(leader->ProposeMembership(change).outcome, Outcome::kMembershipPending);
  leader.Accept(2, 3);
  leader.Accept(3, 3);
  leader.Settle();
  ASSERT_EQ(leader->applied(), 3u);
  EXPECT_EQ(leader->ProposeMembership(change).outcome, Outcome::kOk);
}

TEST(Leader, M13_AddingAMemberAgainKeepsItsProgress) {
  Solo leader(FoundingDisk({1, 2, 3}));
  leader.BecomeLeader({2});
  leader.Accept(2, 1);
  leader.Settle();
  leader->ProposeMembership(OneChange(MemberChange::Kind::kAddVoter, 2));
  leader.Settle();
  leader.Accept(3, 2);
  leader.Settle();
  EXPECT_EQ(leader->applied(), 2u);
  EXPECT_EQ(leader->progress()->Find(2)->match, 1u);
}

// Seen on a link that was slower than what was said: reads send heartbeats of their own, their
// answers came late and many at once, and each brought one more append on its way. The link stayed
// full for as long as anybody read (seed 25910).
TEST(Leader, ManyAnswersAtOnceBringOneAppend) {
  Options options = TestOptions();
  options.heartbeat_ticks = 4;
  Solo leader(FoundingDisk({1, 2, 3}), options);
  leader.BecomeLeader({2});
  leader.Accept(2, 1);
  leader.Settle();
  leader->Propose(Payload::Copy("x"));
  ASSERT_THAT(Only<AppendRequest>(leader.Sent()), SizeIs(1)) << "node 3 is still probed";
  const auto answered = [&](NodeId from) {
    for (int i = 0; i < 5; ++i) leader.Hear(from, 1, HeartbeatResponse{});
    size_t appends = 0;
    for (const Message& message : Only<AppendRequest>(leader.Sent())) {
      appends += message.to == from ? 1 : 0;
    }
    return appends;
  };
  EXPECT_EQ(answered(2), 1u) << "what was sent may be lost";
  EXPECT_EQ(answered(2), 0u);
  EXPECT_EQ(answered(3), 1u) << "a probe as well";
  leader.Ticks(1);
  EXPECT_EQ(answered(2), 0u);
  leader.Ticks(1);
  EXPECT_EQ(answered(2), 1u) << "answers of two heartbeats may be closer than the heartbeats";
  EXPECT_EQ(answered(3), 1u);
}

TEST(Leader, S08_ASnapshotThatDidNotArriveIsTriedAgain) {
  Solo leader(FoundingDisk({1, 2, 3}));
  leader.BecomeLeader({2});
  leader.Accept(2, 1);
  leader.Settle();
  leader.node().Compact(1);
  leader.Hear(3, 1, HeartbeatResponse{});
  ASSERT_THAT(Only<InstallSnapshot>(leader.Sent()), SizeIs(1));
  leader.Hear(3, 1, HeartbeatResponse{});
  EXPECT_THAT(Only<InstallSnapshot>(leader.Sent()), SizeIs(0)) << "one at a time";
  leader->ReportSnapshot(3, /*delivered=*/false);
  leader.Hear(3, 1, HeartbeatResponse{});
  EXPECT_THAT(Only<InstallSnapshot>(leader.Sent()), SizeIs(1));
  leader.Accept(3, 1);
  EXPECT_EQ(leader->progress()->Find(3)->state, ProgressState::kReplicate)
      << "its own answer is as good as a report";
}

// ---- Votes

TEST(Votes, E01_AVoteOfAnEarlierTermIsNotCounted) {
  Solo candidate(FoundingDisk({1, 2, 3}));
  candidate->Campaign();
  candidate.Settle();
  candidate->Campaign();
  candidate.Settle();
  ASSERT_EQ(candidate->term(), 2u);
  candidate.Hear(2, 1, VoteResponse{});
  EXPECT_FALSE(candidate->is_leader());
  candidate.Hear(2, 2, VoteResponse{.rejected = true});
  candidate.Hear(2, 2, VoteResponse{});  // it has answered already
  EXPECT_FALSE(candidate->is_leader());
  candidate.Hear(3, 2, VoteResponse{});
  EXPECT_TRUE(candidate->is_leader());
}

// A candidate of the leader's own term cannot have the entry with which that term began, so its log
// alone is reason enough to refuse it. The leader must not depend on that.
TEST(Votes, E02_ALeaderKeepsItsVote) {
  Solo leader(FoundingDisk({1, 2, 3}));
  leader.BecomeLeader({2});
  leader.Hear(3, 1, VoteRequest{.last_index = 9, .last_term = 1});
  EXPECT_EQ(leader->vote(), 1u);
  const Messages answers = Only<VoteResponse>(leader.Sent());
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_TRUE(As<VoteResponse>(answers[0]).rejected);
}

TEST(Votes, E03_OneVoteInATermWhateverHappens) {
  Solo voter(FoundingDisk({1, 2, 3}));
  voter.Hear(2, 5, VoteRequest{});
  EXPECT_EQ(voter->vote(), 2u);
  voter.Hear(3, 5, VoteRequest{});
  EXPECT_EQ(voter->vote(), 2u);
  voter.Hear(2, 5, Heartbeat{});
  voter->ForgetLeader();
  voter.Hear(3, 5, VoteRequest{});
  EXPECT_EQ(voter->vote(), 2u);
  voter.Hear(2, 5, VoteRequest{});
  EXPECT_EQ(Only<VoteResponse>(voter.Sent()).size(), 4u) << "a repeated request is answered again";
}

struct UpToDateCase {
  Term last_term;
  Index last_index;
  bool granted;
};

TEST(Votes, E06_OnlyForALogThatIsAtLeastAsUpToDate) {
  const UpToDateCase cases[] = {{3, 1, true},  {2, 3, true},  {2, 4, true}, {2, 2, false},
                                {1, 9, false}, {3, 99, true}, {0, 0, false}};
  for (const UpToDateCase& test : cases) {
    Solo voter = FollowerWith({1, 2, 2});
    voter.Hear(2, 9, VoteRequest{.last_index = test.last_index, .last_term = test.last_term});
    EXPECT_EQ(voter->vote(), test.granted ? 2u : kNoNode)
        << test.last_term << "/" << test.last_index;
  }
}

TEST(Votes, E11_AGrantedPreVoteCarriesTheTermAskedAbout) {
  Solo voter = FollowerWith({1});
  voter.Hear(2, 7, VoteRequest{.pre_vote = true, .last_index = 5, .last_term = 3});
  const Messages answers = Only<VoteResponse>(voter.Sent());
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].term, 7u);
  EXPECT_EQ(voter->term(), 1u);
  EXPECT_EQ(voter->vote(), kNoNode);
}

TEST(Votes, E12_APreVoteFromBehindIsAnsweredWithTheNewerTerm) {
  Solo voter = FollowerWith({1, 5});
  voter.Hear(2, 3, VoteRequest{.pre_vote = true});
  const Messages answers = Only<VoteResponse>(voter.Sent());
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_TRUE(As<VoteResponse>(answers[0]).rejected);
  EXPECT_EQ(answers[0].term, 5u);
}

TEST(Votes, ARefusalTellsWhatIsCommitted) {
  Solo voter = FollowerWith({1, 1, 2}, /*commit=*/2);
  voter.Hear(2, 9, VoteRequest{.last_index = 1, .last_term = 1});
  const Messages answers = Only<VoteResponse>(voter.Sent());
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(As<VoteResponse>(answers[0]).commit, 2u);
  EXPECT_EQ(As<VoteResponse>(answers[0]).commit_term, 1u);

  Solo candidate = FollowerWith({1, 1});
  candidate->Campaign();
  candidate.Settle();
  candidate.Hear(3, 2, VoteResponse{.rejected = true, .commit = 2, .commit_term = 7});
  EXPECT_EQ(candidate->commit(), 0u) << "that is another entry";
  candidate.Hear(3, 2, VoteResponse{.rejected = true, .commit = 9, .commit_term = 2});
  EXPECT_EQ(candidate->commit(), 0u) << "that is not here";
  candidate.Hear(3, 2, VoteResponse{.rejected = true, .commit = 2, .commit_term = 1});
  EXPECT_EQ(candidate->commit(), 2u);
}

// All logs with an entry of a term grow from the log of its leader: the end of this one is in front
// of what is committed there.
TEST(Votes, ARefusalTellsOfMoreThanTheCandidateHas) {
  for (const Term last_term : {1u, 2u}) {
    Solo candidate = FollowerWith({1, 1, last_term});
    candidate->Campaign();
    candidate.Settle();
    candidate.Hear(2, candidate->term(),
                   VoteResponse{.rejected = true, .commit = 9, .commit_term = 2});
    EXPECT_EQ(candidate->commit(), last_term == 2 ? 3u : 0u);
  }
}

// The only voter of the newest configuration restarts and knows an older one only, in which node 3
// votes, too. Node 3 refuses, for its log is longer, and does so in its own, older term. (Found by
// random programs: nobody could ever lead.)
TEST(Votes, ARefusalTellsWhatIsCommittedInAnyTerm) {
  MemoryDisk disk = FoundingDisk({1, 3});
  disk.hard_state.term = 3;
  disk.entries = Commands(1, {2});
  disk.entries.push_back(Membership(2, 2, OneChange(MemberChange::Kind::kAddLearner, 3)));
  Options options = TestOptions();
  options.pre_vote = true;
  Solo node(disk, options);
  ASSERT_EQ(node->Campaign(), Outcome::kOk);
  node.Settle();
  ASSERT_EQ(node->role(), RoleName::kPreCandidate);
  node.Hear(3, 2, VoteResponse{.pre_vote = true, .rejected = true, .commit = 2, .commit_term = 2});
  EXPECT_EQ(node->commit(), 2u);
  EXPECT_EQ(node->role(), RoleName::kFollower) << "votes are not counted by what is history";
  node.Settle();
  EXPECT_EQ(node->conf().voters, (std::vector<NodeId>{1}));
  ASSERT_EQ(node->Campaign(), Outcome::kOk);
  node.Settle();
  EXPECT_TRUE(node->is_leader());
}

TEST(Votes, E21_NoCampaignWhileACommittedMembershipChangeIsNotApplied) {
  MemoryDisk disk = FoundingDisk({1, 2, 3});
  disk.hard_state.term = 1;
  disk.entries = {Command(1, 1), Membership(1, 2, OneChange(MemberChange::Kind::kRemove, 3))};
  disk.commit = 2;
  Solo node(disk);
  EXPECT_EQ(node->Campaign(), Outcome::kMembershipUnapplied);
  node.Settle();
  EXPECT_EQ(node->Campaign(), Outcome::kOk);
}

TEST(Votes, E19_ALearnerIsNobodysSuccessor) {
  Solo learner(FoundingDisk({2, 3}, {1}));
  learner.Ticks(100);
  EXPECT_EQ(learner->role(), RoleName::kFollower);
  EXPECT_EQ(learner.Hear(2, 1, TimeoutNow{}), Outcome::kNotPromotable);
  EXPECT_EQ(learner->term(), 1u);
}

}  // namespace
}  // namespace raftkv::raft
