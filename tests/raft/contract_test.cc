// What the core promises its driver, clause by clause. The driver's half is in ready.h.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "core/raft/invariants.h"
#include "tests/raft/test_nodes.h"

namespace raftkv::raft {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

std::vector<NodeId> Receivers(const Messages& messages) {
  std::vector<NodeId> ids;
  for (const Message& message : messages) ids.push_back(message.to);
  return ids;
}

std::vector<Index> Indexes(const Entries& entries) {
  std::vector<Index> indexes;
  for (const Entry& entry : entries) indexes.push_back(entry.index);
  return indexes;
}

AppendRequest Append(Index prev_index, Term prev_term, Index commit, Entries entries) {
  return AppendRequest{prev_index, prev_term, commit, std::move(entries)};
}

// A leader of term 1 in {1,2,3} with its first entry on its own disk only.
Solo LeaderOfThree(Options options = TestOptions()) {
  Solo solo(FoundingDisk({1, 2, 3}), options);
  solo.BecomeLeader({2});
  return solo;
}

// ---- Clause 1: who gets a ticket

TEST(Contract, Clause01_ATicketMeansSomethingToWriteOrAnOwnAnswer) {
  Solo follower(FoundingDisk({1, 2, 3}));
  EXPECT_FALSE(follower->HasReady());
  follower.Hear(2, 1, AppendRequest{.entries = Commands(1, {1, 1})});
  const Ready entries = follower.Begin();
  ASSERT_TRUE(entries.persist);
  EXPECT_TRUE(entries.persist->hard_state);
  EXPECT_THAT(entries.persist->entries, SizeIs(2));
  follower.Settle();

  follower.Hear(2, 1, Heartbeat{.commit = 2});
  const Ready commit_only = follower.Begin();
  EXPECT_FALSE(commit_only.persist) << "a commit index alone is not worth a write";
  EXPECT_THAT(Indexes(commit_only.committed), ElementsAre(1, 2));

  follower.Hear(2, 1, Append(7, 1, 0, {}));
  EXPECT_FALSE(follower.Begin().persist) << "a refusal changes nothing";

  Options pre_vote = TestOptions();
  pre_vote.pre_vote = true;
  Solo candidate(FoundingDisk({1, 2, 3}), pre_vote);
  candidate->Campaign();
  const Ready own_answer = candidate.Begin();
  ASSERT_TRUE(own_answer.persist) << "its own pre-vote is an answer to itself";
  EXPECT_TRUE(own_answer.persist->nothing_to_write());
}

TEST(Contract, Clause01_WhileATicketIsOutNothingElseIsWrittenOrAnswered) {
  Solo follower(FoundingDisk({1, 2, 3}));
  follower.Hear(2, 1, AppendRequest{.entries = Commands(1, {1})});
  ASSERT_TRUE(follower.Begin().persist);

  follower.Hear(2, 1, AppendRequest{.prev_index = 1, .prev_term = 1, .entries = Commands(2, {1})});
  follower.Hear(2, 1, Heartbeat{});
  const Ready meanwhile = follower.Begin();
  EXPECT_FALSE(meanwhile.persist);
  EXPECT_THAT(meanwhile.send_after_persist, IsEmpty());
  EXPECT_THAT(Only<HeartbeatResponse>(meanwhile.send_now), SizeIs(1));
  EXPECT_FALSE(follower->HasReady());

  EXPECT_THAT(Only<AppendResponse>(follower.Finish()), SizeIs(1));
  const Ready next = follower.Begin();
  ASSERT_TRUE(next.persist);
  EXPECT_THAT(Indexes(next.persist->entries), ElementsAre(2));
  EXPECT_THAT(Only<AppendResponse>(next.send_after_persist), SizeIs(1));
}

TEST(Contract, Clause01_WithoutATicketAnswersLeaveAtOnce) {
  Solo follower(FoundingDisk({1, 2, 3}));
  follower.Hear(2, 1, Heartbeat{});
  follower.Settle();
  follower.Hear(2, 1, Append(7, 1, 0, {}));
  const Ready ready = follower.Begin();
  EXPECT_FALSE(ready.persist);
  ASSERT_THAT(ready.send_after_persist, SizeIs(1));
  EXPECT_TRUE(As<AppendResponse>(ready.send_after_persist[0]).rejected);
}

// ---- Clause 2: which list

TEST(Contract, Clause02_VoteRequestsWaitForTheDiskAndPreVoteRequestsDoNot) {
  Options options = TestOptions();
  options.pre_vote = true;
  Solo node(FoundingDisk({1, 2, 3, 4}), options);
  node->Campaign();
  const Ready asking = node.Begin();
  EXPECT_THAT(Receivers(Only<VoteRequest>(asking.send_now)), ElementsAre(2, 3, 4));
  EXPECT_THAT(asking.send_after_persist, IsEmpty());
  node.Settle();

  node.Hear(4, 1, VoteResponse{.pre_vote = true});
  node.Hear(3, 1, VoteResponse{.pre_vote = true});
  const Ready campaigning = node.Begin();
  EXPECT_THAT(campaigning.send_now, IsEmpty());
  EXPECT_THAT(Receivers(Only<VoteRequest>(campaigning.send_after_persist)), ElementsAre(2, 3, 4));
}

TEST(Contract, Clause02_EveryAnswerThatPromisesWaitsRejectionsIncluded) {
  Solo node(FoundingDisk({1, 2, 3}));
  node.Hear(2, 2, AppendRequest{.entries = Commands(1, {1})});
  node.Hear(3, 2, VoteRequest{.last_index = 0});  // refused: has a leader
  node.Hear(3, 2, Append(9, 2, 0, {}));           // refused: a gap
  node.Hear(3, 3, VoteRequest{.pre_vote = true, .last_index = 9, .last_term = 2});
  node.Hear(2, 2, Heartbeat{});
  node->Propose(Payload::Copy("forwarding is off"));
  node->RequestRead(7);
  const Ready ready = node.Begin();
  EXPECT_THAT(ready.send_after_persist, SizeIs(4));
  EXPECT_THAT(Only<AppendResponse>(ready.send_after_persist), SizeIs(2));
  EXPECT_THAT(Only<VoteResponse>(ready.send_after_persist), SizeIs(2));
  ASSERT_THAT(ready.send_now, SizeIs(2));
  EXPECT_TRUE(std::holds_alternative<HeartbeatResponse>(ready.send_now[0].body));
  EXPECT_TRUE(std::holds_alternative<ReadIndexRequest>(ready.send_now[1].body));
}

TEST(Contract, Clause02_WhatALeaderSendsNeverWaitsAndGoesInOrderOfIds) {
  Solo leader(FoundingDisk({1, 2, 3, 4, 5}));
  leader.BecomeLeader({4, 5});
  for (const NodeId id : {NodeId{5}, NodeId{3}, NodeId{2}, NodeId{4}}) leader.Accept(id, 1);
  leader.Settle();
  leader->Propose(Payload::Copy("a"));
  ASSERT_TRUE(leader.Begin().persist);
  leader->Propose(Payload::Copy("b"));
  leader->Tick();
  leader->TransferLeadership(3);
  leader.Accept(3, 3);
  const Ready ready = leader.Begin();
  EXPECT_FALSE(ready.persist) << "the first write is still out";
  EXPECT_THAT(Receivers(Only<AppendRequest>(ready.send_now)), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(Receivers(Only<Heartbeat>(ready.send_now)), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(Receivers(Only<TimeoutNow>(ready.send_now)), ElementsAre(3));
}

TEST(Contract, Clause02_WhatIsPassedOnOrOfferedDoesNotWait) {
  Options options = TestOptions();
  options.forward_proposals = true;
  Solo follower(FoundingDisk({1, 2, 3}), options);
  follower.Hear(2, 1, AppendRequest{.entries = Commands(1, {1})});
  ASSERT_TRUE(follower.Begin().persist);
  follower->Propose(Payload::Copy("a"));
  follower->TransferLeadership(3);
  const Ready passed_on = follower.Begin();
  EXPECT_THAT(Only<ForwardedProposal>(passed_on.send_now), SizeIs(1));
  EXPECT_THAT(Only<ForwardedTransfer>(passed_on.send_now), SizeIs(1));

  Solo leader = LeaderOfThree();
  leader.Accept(2, 1);
  leader.Settle();
  leader->Compact(1);
  leader->Propose(Payload::Copy("a"));
  ASSERT_TRUE(leader.Begin().persist);
  leader.Hear(3, 1, HeartbeatResponse{});
  leader.Hear(2, 0, ReadIndexRequest{.context = 7});
  leader.Hear(2, 1, HeartbeatResponse{1});
  const Ready ready = leader.Begin();
  EXPECT_THAT(Only<InstallSnapshot>(ready.send_now), SizeIs(1));
  EXPECT_THAT(Only<ReadIndexResponse>(ready.send_now), SizeIs(1));
  EXPECT_TRUE(leader->ticket_out());
}

// ---- Clause 3: the core's answers to itself

TEST(Contract, Clause03_ItsOwnVoteCountsOncePersisted) {
  Solo alone(FoundingDisk({1}));
  alone->Campaign();
  ASSERT_TRUE(alone.Begin().persist);
  EXPECT_EQ(alone->role(), RoleName::kCandidate);
  alone.Finish();
  EXPECT_TRUE(alone->is_leader());

  Solo of_three(FoundingDisk({1, 2, 3}));
  of_three->Campaign();
  ASSERT_TRUE(of_three.Begin().persist);
  of_three.Hear(2, 1, VoteResponse{});
  EXPECT_FALSE(of_three->is_leader()) << "one answer of three is no quorum, its own is not durable";
  of_three.Finish();
  EXPECT_TRUE(of_three->is_leader());
}

TEST(Contract, Clause03_ItsOwnPreVoteCountsOncePersisted) {
  Options options = TestOptions();
  options.pre_vote = true;
  Solo alone(FoundingDisk({1}), options);
  alone->Campaign();
  ASSERT_TRUE(alone.Begin().persist);
  EXPECT_EQ(alone->role(), RoleName::kPreCandidate);
  alone.Finish();
  EXPECT_EQ(alone->role(), RoleName::kCandidate) << "its own vote is the next ticket's";
  alone.Settle();
  EXPECT_TRUE(alone->is_leader());
}

TEST(Contract, Clause03_ALeadersOwnMatchMovesAtPersisted) {
  Solo leader = LeaderOfThree();
  leader->Propose(Payload::Copy("a"));
  const auto own_match = [&] { return leader->progress()->Find(1)->match; };
  EXPECT_EQ(own_match(), 1u);
  ASSERT_TRUE(leader.Begin().persist);
  leader.Accept(2, 2);
  EXPECT_EQ(own_match(), 1u);
  EXPECT_EQ(leader->commit(), 1u) << "one durable copy of three";
  leader.Finish();
  EXPECT_EQ(own_match(), 2u);
  EXPECT_EQ(leader->commit(), 2u);
}

TEST(Contract, Clause03_EachProposalHasItsAnswerUnlessTheyAreMerged) {
  for (const bool merge : {false, true}) {
    Options options = TestOptions();
    options.merge_messages = merge;
    Solo leader = LeaderOfThree(options);
    leader.Accept(2, 1);
    leader.Settle();
    leader->Propose(Payload::Copy("a"));
    leader->Propose(Payload::Copy("b"));
    ASSERT_TRUE(leader.Begin().persist);
    leader.Accept(2, 3);
    leader.Finish();
    std::vector<Index> told;  // commit indexes, as each of the answers raised them
    for (const Message& message : Only<AppendRequest>(leader.Begin().send_now)) {
      if (message.to == 2) told.push_back(As<AppendRequest>(message).commit);
    }
    EXPECT_EQ(told, merge ? std::vector<Index>({3}) : std::vector<Index>({2, 3}));
  }
}

TEST(Contract, Clause03_AnswersOfTwoTermsAreTwo) {
  Solo node(FoundingDisk({1, 2, 3}));
  node.Hear(2, 1, AppendRequest{.entries = Commands(1, {1})});
  ASSERT_TRUE(node.Begin().persist);
  node.Hear(2, 1, AppendRequest{.prev_index = 1, .prev_term = 1, .entries = Commands(2, {1})});
  node.Hear(2, 3, AppendRequest{.prev_index = 2, .prev_term = 1, .entries = Commands(3, {3})});
  node.Finish();
  ASSERT_TRUE(node.Begin().persist);
  std::vector<std::pair<Term, Index>> answers;
  for (const Message& message : Only<AppendResponse>(node.Finish())) {
    answers.emplace_back(message.term, As<AppendResponse>(message).index);
  }
  EXPECT_THAT(answers, ElementsAre(Pair(1, 2), Pair(3, 3)));
}

// While a disk hangs for hours its leader asks again and again.
TEST(Contract, Clause03_AnswersThatWaitForTheDiskAreMerged) {
  for (const bool merge : {false, true}) {
    Options options = TestOptions();
    options.merge_messages = merge;
    Solo node(FoundingDisk({1, 2, 3}), options);
    const auto append = [](Index prev, Term prev_term, Entries entries = {}) {
      return AppendRequest{prev, prev_term, /*commit=*/0, std::move(entries)};
    };
    node.Hear(2, 1, append(0, 0, Commands(1, {1})));
    ASSERT_TRUE(node.Begin().persist);
    for (Index last = 1; last < 4; ++last) {
      node.Hear(2, 1, append(last, 1, {Command(1, last + 1, "x")}));
    }
    node.Hear(2, 1, append(2, 1));
    for (int i = 0; i < 3; ++i) node.Hear(2, 1, append(9, 1));
    node.Hear(2, 1, append(4, 1));
    node.Finish();
    ASSERT_TRUE(node.Begin().persist);
    std::vector<std::pair<Index, bool>> answers;  // and whether it refuses
    for (const Message& message : Only<AppendResponse>(node.Finish())) {
      const auto& answer = As<AppendResponse>(message);
      answers.emplace_back(answer.index, answer.rejected);
    }
    if (merge) {
      EXPECT_THAT(answers, ElementsAre(Pair(4, false), Pair(9, true), Pair(4, false)));
    } else {
      EXPECT_EQ(answers.size(), 8u);
    }
  }
}

TEST(Contract, Clause03_ACompletionOfAnOlderTermVouchesForNothing) {
  Solo node = LeaderOfThree();
  node->Propose(Payload::Copy("old"));
  ASSERT_TRUE(node.Begin().persist);  // index 2 of term 1 is being written
  // Deposed, its entry replaced, elected again in another term with the same length of log.
  node.Hear(2, 2, AppendRequest{.prev_index = 1, .prev_term = 1, .entries = Commands(2, {2})});
  node->Campaign();
  EXPECT_EQ(node->term(), 3u);
  node.Finish();
  EXPECT_EQ(node->durable(), 1u);
  node.Settle();
  node.Hear(3, 3, VoteResponse{});
  ASSERT_TRUE(node->is_leader());
  EXPECT_EQ(node->progress()->Find(1)->match, 2u) << "the entry of term 2, written since";
}

TEST(Contract, Clause03_AnOwnVoteOfAnEarlierCampaignIsNotCountedInALaterOne) {
  Solo node(FoundingDisk({1, 2, 3}));
  node->Campaign();
  ASSERT_TRUE(node.Begin().persist);
  node->Campaign();
  EXPECT_EQ(node->term(), 2u);
  node.Hear(2, 2, VoteResponse{});
  node.Finish();  // the vote of term 1
  EXPECT_EQ(node->role(), RoleName::kCandidate);
  node.Settle();  // the vote of term 2
  EXPECT_TRUE(node->is_leader());
}

// ---- Clause 4: the commit index travels with the batch

TEST(Contract, Clause04_CommitTravelsWithTheBatch) {
  Solo leader = LeaderOfThree();
  leader.Accept(2, 1);
  EXPECT_EQ(leader->commit(), 1u);
  leader.Settle();
  EXPECT_EQ(leader.node().disk().commit, 0u) << "a commit-only change makes no ticket";
  leader->Propose(Payload::Copy("a"));
  const Ready ready = leader.Begin();
  ASSERT_TRUE(ready.persist);
  EXPECT_EQ(ready.persist->commit, 1u);
}

TEST(Contract, Clause04_ItIsTheCommitIndexKnownWhenTheBatchIsCut) {
  Solo node(FoundingDisk({1, 2, 3}));
  node.Hear(2, 1, AppendRequest{.entries = Commands(1, {1, 1})});
  node.Settle();
  // Nothing of this was handed out before, and 3 is not on any disk here yet.
  node.Hear(2, 1, Append(2, 1, 3, Commands(3, {1})));
  const Ready ready = node.Begin();
  ASSERT_TRUE(ready.persist);
  EXPECT_EQ(ready.persist->commit, 3u);
}

TEST(Contract, Clause04_RecoveryTakesTheHighestCommitFoundCappedAtTheLastEntry) {
  MemoryDisk disk = FoundingDisk({1, 2, 3});
  disk.hard_state = {1, 2};
  disk.entries = Commands(1, {1, 1, 1});
  disk.commit = 2;
  EXPECT_EQ(Solo(disk)->commit(), 2u);
  disk.commit = 9;
  EXPECT_EQ(Solo(disk)->commit(), 3u);
  disk.snapshot.meta.index = 5;
  disk.snapshot.meta.term = 1;
  disk.entries = Commands(6, {1});
  disk.commit = 2;
  EXPECT_EQ(Solo(disk)->commit(), 5u);
}

// ---- Clause 5: where the disk log is cut

TEST(Contract, Clause05_ABatchSaysWhereToCutEvenWithoutEntries) {
  MemoryDisk disk = FoundingDisk({1, 2, 3, 4, 5});
  disk.hard_state = {1, kNoNode};
  disk.entries = Commands(1, {1, 1});
  Solo node(disk);
  // A second leader's tail is being written when a third leader replaces it; then the second comes
  // back with less than it once sent.
  node.Hear(2, 2,
            AppendRequest{.prev_index = 2, .prev_term = 1, .entries = Commands(3, {2, 2, 2})});
  ASSERT_TRUE(node.Begin().persist);
  node.Hear(3, 3, AppendRequest{.prev_index = 2, .prev_term = 1, .entries = Commands(3, {3})});
  node.Hear(2, 4, AppendRequest{.prev_index = 2, .prev_term = 1, .entries = Commands(3, {2})});
  node.Finish();
  EXPECT_EQ(node->durable(), 2u);
  EXPECT_THAT(node.node().disk().entries, SizeIs(5));

  const Ready ready = node.Begin();
  ASSERT_TRUE(ready.persist);
  EXPECT_TRUE(ready.persist->writes_log);
  EXPECT_EQ(ready.persist->keep_through, 3u);
  EXPECT_THAT(ready.persist->entries, IsEmpty());
  node.Finish();
  EXPECT_EQ(node->durable(), 3u);
  EXPECT_THAT(Indexes(node.node().disk().entries), ElementsAre(1, 2, 3));
}

TEST(Contract, Clause05_DurableIsWhatDiskAndLogHaveInCommon) {
  Solo node(FoundingDisk({1, 2, 3}));
  node.Hear(2, 1, AppendRequest{.entries = Commands(1, {1, 1, 1})});
  ASSERT_TRUE(node.Begin().persist);
  node.Hear(3, 2, AppendRequest{.prev_index = 1, .prev_term = 1, .entries = Commands(2, {2})});
  EXPECT_EQ(node->durable(), 0u);
  node.Finish();
  EXPECT_EQ(node->durable(), 1u) << "2 and 3 of term 1 are on disk, and in the log no more";
}

TEST(Contract, Clause05_WhatWasAcknowledgedIsNotWrittenAgain) {
  Solo node(FoundingDisk({1, 2, 3}));
  const AppendRequest append{.entries = Commands(1, {1, 1})};
  node.Hear(2, 1, append);
  node.Settle();
  node.Hear(2, 1, append);
  const Ready again = node.Begin();
  EXPECT_FALSE(again.persist);
  ASSERT_THAT(again.send_after_persist, SizeIs(1));
  EXPECT_EQ(As<AppendResponse>(again.send_after_persist[0]).index, 2u);
}

// ---- Clause 6: handing out, applying

TEST(Contract, Clause06_EntriesInTheBatchAreHandedOutButAppliedAfterIt) {
  Solo node(FoundingDisk({1, 2, 3}));
  node.Hear(2, 1, AppendRequest{.entries = Commands(1, {1, 1})});
  node.Settle();
  node.Hear(
      2, 1,
      AppendRequest{.prev_index = 2, .prev_term = 1, .commit = 3, .entries = Commands(3, {1})});
  const Ready ready = node.Begin();
  ASSERT_TRUE(ready.persist);
  EXPECT_THAT(Indexes(ready.committed), ElementsAre(1, 2, 3));
  EXPECT_EQ(ready.apply_now, 2u);
}

TEST(Contract, Clause06_WhatOnlyOthersHaveOnDiskIsNotHandedOut) {
  Solo node(FoundingDisk({1, 2, 3}));
  node.Hear(2, 1, AppendRequest{.entries = Commands(1, {1})});
  ASSERT_TRUE(node.Begin().persist);
  node.Hear(
      2, 1,
      AppendRequest{.prev_index = 1, .prev_term = 1, .commit = 2, .entries = Commands(2, {1})});
  EXPECT_THAT(Indexes(node.Begin().committed), ElementsAre(1)) << "2 is not being written yet";
  node.Finish();
  EXPECT_THAT(Indexes(node.Begin().committed), ElementsAre(2));
}

TEST(Contract, Clause06_AMembershipChangeTakesEffectWhenItIsApplied) {
  Solo leader(FoundingDisk({1}));
  leader.BecomeLeader({});
  ASSERT_EQ(leader->ProposeMembership(OneChange(MemberChange::Kind::kAddVoter, 2)).outcome,
            Outcome::kOk);
  leader->TakeReady();
  leader->Persisted(3);
  EXPECT_EQ(leader->commit(), 2u);
  EXPECT_THAT(leader->conf().voters, ElementsAre(1));
  EXPECT_EQ(leader->ProposeMembership(OneChange(MemberChange::Kind::kAddVoter, 3)).outcome,
            Outcome::kMembershipPending);
  const Ready ready = leader->TakeReady();
  EXPECT_THAT(Indexes(ready.committed), ElementsAre(2));
  EXPECT_THAT(leader->ApplyMembership(2).voters, ElementsAre(1, 2));
  EXPECT_THAT(leader->conf().voters, ElementsAre(1, 2));
}

TEST(Contract, Clause06_AutoLeaveStartsAtAppliedAndIsTriedAgainAfterATransfer) {
  Solo leader(FoundingDisk({1, 2, 3}));
  leader.BecomeLeader({2});
  leader.Accept(2, 1);
  leader.Settle();
  MembershipChange joint = OneChange(MemberChange::Kind::kAddVoter, 4);
  joint.transition = MembershipChange::Transition::kJointImplicit;
  ASSERT_EQ(leader->ProposeMembership(joint).outcome, Outcome::kOk);
  ASSERT_EQ(leader->TransferLeadership(3), Outcome::kOk);  // 3 never answers
  leader.Accept(2, 2);
  leader.Settle();
  EXPECT_TRUE(IsJoint(leader->conf()));
  EXPECT_EQ(leader->log().last(), 2u) << "no proposals during a transfer";
  leader.Ticks(10);  // the transfer gives up
  EXPECT_EQ(leader->transfer_target(), kNoNode);
  ASSERT_EQ(leader->log().last(), 3u);
  EXPECT_EQ(leader->log().At(3).type, EntryType::kMembership);
}

// ---- Clause 7: slow disks

TEST(Contract, Clause07_NoCampaignWhileItsOwnVoteIsBeingWritten) {
  Solo node(FoundingDisk({1, 2, 3}));
  node->SetElectionTimeout(10);
  node.Ticks(10);
  ASSERT_EQ(node->role(), RoleName::kCandidate);
  ASSERT_TRUE(node.Begin().persist);
  node.Ticks(100);
  EXPECT_EQ(node->term(), 1u) << "a disk slower than the election timeout must still get a leader";
  node.Finish();
  node->SetElectionTimeout(10);
  node.Ticks(9);
  EXPECT_EQ(node->term(), 1u) << "the election timer begins anew when the vote is durable";
  node.Ticks(1);
  EXPECT_EQ(node->term(), 2u);
}

// ---- Clause 8: messages are complete values

TEST(Contract, Clause08_QueuedMessagesSurviveRoleChanges) {
  Solo leader = LeaderOfThree();
  leader.Accept(2, 1);
  leader.Settle();
  leader->Propose(Payload::Copy("precious"));
  leader.Hear(3, 9, Heartbeat{});
  leader.Hear(3, 9, AppendRequest{.prev_index = 1, .prev_term = 1, .entries = Commands(2, {9})});
  EXPECT_EQ(leader->role(), RoleName::kFollower);
  const Messages appends = Only<AppendRequest>(leader.Begin().send_now);
  ASSERT_FALSE(appends.empty());
  EXPECT_EQ(appends[0].term, 1u) << "of the term in which it was said";
  EXPECT_EQ(As<AppendRequest>(appends[0]).entries.at(0).payload.view(), "precious");
}

TEST(Contract, Clause08_ProgressChangesWhenTheInputIsHandled) {
  Solo leader = LeaderOfThree();
  leader.Accept(2, 1);
  leader.Settle();
  leader->Propose(Payload::Copy("a"));
  EXPECT_EQ(leader->progress()->Find(2)->next, 3u);
  EXPECT_EQ(leader->progress()->Find(2)->inflights.count(), 1u);
}

// ---- Clause 9: payload references

TEST(Contract, Clause09_AJobKeepsItsBytesWhateverHappensToTheLog) {
  Solo node(FoundingDisk({1, 2, 3}));
  node.Hear(2, 1, AppendRequest{.entries = {Command(1, 1, "first")}});
  const Ready ready = node->TakeReady();
  ASSERT_TRUE(ready.persist);
  const absl::string_view lent = ready.persist->entries[0].payload.view();
  node.Hear(3, 2, AppendRequest{.entries = {Command(2, 1, "other")}});
  EXPECT_EQ(node->log().At(1).payload.view(), "other");
  EXPECT_EQ(lent, "first");
}

// ---- A full disk: the log is refused, term and vote are not

TEST(Contract, FullDisk_TermAndVoteAreWrittenAndTheLogIsNotVouchedFor) {
  Solo follower(FoundingDisk({1, 2, 3}));
  follower.Hear(2, 1, AppendRequest{.entries = Commands(1, {1, 1})});
  ASSERT_TRUE(follower.Begin().persist->hard_state);
  follower.Hear(2, 1, Append(2, 1, 0, Commands(3, {1})));  // its answer waits for the next ticket
  EXPECT_THAT(follower.FindNoSpace(), IsEmpty());
  EXPECT_TRUE(follower->log_refused());
  EXPECT_EQ(follower->durable(), 0u);
  EXPECT_EQ(follower.node().disk().hard_state.term, 1u);
  EXPECT_THAT(follower.Sent(), IsEmpty()) << "and nobody is told that it has the entries";

  follower.Hear(3, 2, VoteRequest{.last_index = 9, .last_term = 1});
  const Ready vote = follower.Begin();
  ASSERT_TRUE(vote.persist && vote.persist->hard_state) << "it votes";
  EXPECT_FALSE(vote.persist->writes_log);
  EXPECT_THAT(Only<VoteResponse>(follower.Finish()), SizeIs(1));
  EXPECT_EQ(follower.node().disk().hard_state, (HardState{2, 3}));
  EXPECT_EQ(follower->durable(), 0u) << "a vote alone says nothing about the log";

  follower.Hear(3, 2, Heartbeat{});
  EXPECT_THAT(Only<HeartbeatResponse>(follower.Sent()), SizeIs(1)) << "and follows";
  EXPECT_EQ(follower.Hear(3, 2, Append(3, 1, 0, Commands(4, {2}))), Outcome::kIgnored);
  EXPECT_EQ(follower->log().last(), 3u) << "what cannot be written is not collected either";
}

TEST(Contract, FullDisk_TheLogIsWrittenWhenItIsTriedAgain) {
  Solo follower(FoundingDisk({1, 2, 3}));
  follower.Hear(2, 1, AppendRequest{.commit = 2, .entries = Commands(1, {1, 1})});
  const Ready refused = follower.Begin();
  EXPECT_THAT(Indexes(refused.committed), ElementsAre(1, 2));
  follower.FindNoSpace();
  EXPECT_EQ(follower->applied(), 0u);
  EXPECT_FALSE(follower->HasReady()) << "not again before it is asked to";

  follower->RetryLog();
  ASSERT_TRUE(follower.Begin().persist->writes_log);
  follower.FindNoSpace();
  EXPECT_FALSE(follower->HasReady()) << "one try for each time it is asked";

  follower->RetryLog();
  EXPECT_THAT(follower.Begin().persist->entries, SizeIs(2));
  follower.Finish();
  EXPECT_FALSE(follower->log_refused());
  EXPECT_EQ(follower->durable(), 2u);
  EXPECT_EQ(follower->applied(), 2u) << "what was handed out before is applied, once";
  EXPECT_THAT(follower.node().applied(), SizeIs(2));
  follower.Hear(2, 1, Append(2, 1, 2, {}));
  EXPECT_THAT(Only<AppendResponse>(follower.Sent()), SizeIs(1)) << "it acknowledges again";
}

TEST(Contract, FullDisk_ALeaderCountsItsOwnEntriesWhenTheyAreWritten) {
  Solo leader = LeaderOfThree();
  const Index before = leader->durable();
  leader->Propose(Payload::Copy("a"));
  leader.Begin();
  leader.FindNoSpace();
  EXPECT_EQ(leader->progress()->Find(1)->match, before);
  leader->Propose(Payload::Copy("b"));
  leader.Settle();
  EXPECT_EQ(leader->progress()->Find(1)->match, before);
  leader.Ticks(10 * leader->options().election_ticks);
  leader->RetryLog();
  leader.Settle();
  EXPECT_EQ(leader->durable(), before + 2);
}

TEST(Contract, FullDisk_IsNoHungDisk) {
  Options options = TestOptions();
  options.check_quorum = false;
  options.step_down_on_hung_disk = true;
  Solo leader = LeaderOfThree(options);
  leader->Propose(Payload::Copy("a"));
  leader.Begin();
  leader.FindNoSpace();
  leader.Ticks(5 * options.election_ticks);
  EXPECT_TRUE(leader->is_leader()) << "reads go on";
  leader->RetryLog();
  leader.Settle();
  EXPECT_EQ(leader->progress()->Find(1)->match, leader->log().last());
}

// ---- Clause 10: snapshots and compaction

TEST(Contract, Clause10_OfferingASnapshotCompactsNothing) {
  Solo leader(FoundingDisk({1}));
  leader.BecomeLeader({});
  for (int i = 0; i < 4; ++i) leader->Propose(Payload::Copy("a"));
  leader.Settle();
  EXPECT_EQ(leader->offered_snapshot().index, 5u);
  EXPECT_EQ(leader->log().base(), 0u);
  leader->Compact(3);
  EXPECT_EQ(leader->log().base(), 3u);
  EXPECT_EQ(leader->log().TermAt(3), 1u) << "the term of the compacted index is kept";
  EXPECT_EQ(leader->log().TermAt(2), std::nullopt);
}

TEST(Contract, Clause10_AFollowerAtTheCompactedIndexNeedsNoSnapshot) {
  Solo leader = LeaderOfThree();
  leader.Accept(2, 1);
  leader.Accept(3, 1);
  leader->Propose(Payload::Copy("a"));
  leader.Settle();
  leader.Accept(2, 2);
  leader.Settle();
  leader->Compact(1);
  // 3 says that its log ends at 1.
  leader.Hear(3, 1, AppendResponse{.index = 2, .rejected = true, .hint_index = 1, .hint_term = 1});
  const Messages sent = leader.Sent();
  EXPECT_THAT(Only<InstallSnapshot>(sent), IsEmpty());
  const Messages appends = Only<AppendRequest>(sent);
  ASSERT_FALSE(appends.empty());
  EXPECT_EQ(As<AppendRequest>(appends.back()).prev_index, 1u);
}

TEST(Contract, Clause10_TheNewestSnapshotIsOffered) {
  Solo leader = LeaderOfThree();
  leader.Accept(2, 1);
  for (int i = 0; i < 3; ++i) leader->Propose(Payload::Copy("a"));
  leader.Settle();
  leader.Accept(2, 4);
  leader.Settle();
  leader->Compact(2);
  leader.Hear(3, 1, HeartbeatResponse{});
  const Messages offers = Only<InstallSnapshot>(leader.Sent());
  ASSERT_THAT(offers, SizeIs(1));
  EXPECT_EQ(As<InstallSnapshot>(offers[0]).meta.index, 4u);
  EXPECT_EQ(leader->progress()->Find(3)->state, ProgressState::kSnapshot);
}

TEST(Contract, Clause10_AnOlderSnapshotNamedLaterIsNotOffered) {
  Solo leader(FoundingDisk({1}));
  leader.BecomeLeader({});
  for (int i = 0; i < 4; ++i) leader->Propose(Payload::Copy("a"));
  leader.Settle();
  leader->SnapshotAvailable(leader.node().snapshots().at(2).meta);
  EXPECT_EQ(leader->offered_snapshot().index, 5u);
}

TEST(ContractDeathTest, Clause10_CompactingWhatIsNotAppliedOrNotOfferedIsABug) {
  Solo leader = LeaderOfThree();
  EXPECT_DEATH(leader->Compact(1), "check failed");

  MemoryDisk disk = FoundingDisk({1, 2, 3});
  disk.hard_state = {1, kNoNode};
  disk.entries = Commands(1, {1, 1});
  disk.commit = 2;
  Solo node(disk);
  node->TakeReady();
  node->Applied(2);
  EXPECT_DEATH(node->Compact(1), "check failed") << "applied, but no snapshot is offered";
}

TEST(ContractDeathTest, Clause10_NamingASnapshotOfWhatIsNotAppliedIsABug) {
  Solo leader = LeaderOfThree();
  SnapshotMeta ahead{1, 1, {}};
  ahead.conf.voters = {1, 2, 3};
  EXPECT_DEATH(leader->SnapshotAvailable(ahead), "check failed");
}

// ---- Clause 11: an incoming snapshot

SnapshotMeta MetaAt(Index index, Term term) {
  SnapshotMeta meta{index, term, {}};
  meta.conf.voters = {1, 2, 3, 4};
  return meta;
}

TEST(Contract, Clause11_FromInstallToAppliedNothingIsHandedOutAndNobodyCampaigns) {
  Solo node(FoundingDisk({1, 2, 3}));
  node.Hear(2, 1, AppendRequest{.commit = 1, .entries = Commands(1, {1, 1})});
  node.Settle();
  ASSERT_EQ(node.Hear(2, 3, InstallSnapshot{MetaAt(10, 2)}, "state"), Outcome::kOk);
  EXPECT_TRUE(node->installing_snapshot());
  EXPECT_EQ(node->log().base(), 10u);
  EXPECT_EQ(node->log().last(), 10u);
  EXPECT_THAT(node->conf().voters, ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(node->Campaign(), Outcome::kSnapshotPending);
  node.Hear(
      2, 3,
      AppendRequest{.prev_index = 10, .prev_term = 2, .commit = 11, .entries = Commands(11, {3})});

  const Ready ready = node->TakeReady();
  ASSERT_TRUE(ready.persist);
  ASSERT_TRUE(ready.persist->snapshot);
  EXPECT_EQ(ready.persist->snapshot->index, 10u);
  EXPECT_EQ(ready.persist->keep_through, 10u);
  EXPECT_THAT(ready.committed, IsEmpty());
  const Messages answers = Only<AppendResponse>(ready.send_after_persist);
  ASSERT_THAT(answers, SizeIs(1)) << "one for both";
  EXPECT_EQ(As<AppendResponse>(answers[0]).index, 11u);
  node->Persisted(ready.persist->ticket);
  EXPECT_THAT(node->TakeReady().committed, IsEmpty()) << "the state machine is not there yet";
  EXPECT_EQ(node->Campaign(), Outcome::kSnapshotPending);
  node->Applied(10);
  EXPECT_THAT(Indexes(node->TakeReady().committed), ElementsAre(11));
  EXPECT_EQ(node->applied(), 10u);
}

TEST(Contract, Clause11_ACompletionFromBeforeTheSnapshotIsIgnored) {
  Solo node(FoundingDisk({1, 2, 3}));
  node.Hear(2, 1, AppendRequest{.entries = Commands(1, {1, 1, 1})});
  const Ready before = node->TakeReady();
  ASSERT_TRUE(before.persist);
  node.Hear(2, 3, InstallSnapshot{MetaAt(2, 3)}, "state");  // conflicts with what is being written
  node->Persisted(before.persist->ticket);
  EXPECT_EQ(node->durable(), 0u);
  const Ready install = node->TakeReady();
  ASSERT_TRUE(install.persist && install.persist->snapshot);
  node->Persisted(install.persist->ticket);
  EXPECT_EQ(node->durable(), 2u);
}

TEST(Contract, Clause11_EntriesHandedOutBeforeTheSnapshotMayStillBeApplied) {
  Solo node(FoundingDisk({1, 2, 3}));
  node.Hear(
      2, 1,
      AppendRequest{.commit = 2,
                    .entries = {Command(1, 1),
                                Membership(1, 2, OneChange(MemberChange::Kind::kAddVoter, 5))}});
  const Ready before = node->TakeReady();
  ASSERT_TRUE(before.persist);
  ASSERT_THAT(Indexes(before.committed), ElementsAre(1, 2));
  node.Hear(2, 3, InstallSnapshot{MetaAt(10, 2)}, "state");
  node->Persisted(before.persist->ticket);
  node->Applied(1);
  EXPECT_THAT(node->ApplyMembership(2).voters, ElementsAre(1, 2, 3, 4))
      << "the snapshot's configuration is newer";
  node->Applied(2);
  const Ready install = node->TakeReady();
  ASSERT_TRUE(install.persist && install.persist->snapshot);
  node->Persisted(install.persist->ticket);
  node->Applied(10);
  EXPECT_EQ(node->applied(), 10u);
  EXPECT_EQ(BrokenInvariant(node.raft()), "");
}

TEST(Contract, Clause11_WhatFollowsTheSwitchIsDurableBeforeTheSnapshotIsApplied) {
  Solo node(FoundingDisk({1, 2, 3}));
  node.Hear(2, 3, InstallSnapshot{MetaAt(10, 2)}, "state");
  const Ready install = node->TakeReady();
  ASSERT_TRUE(install.persist && install.persist->snapshot);
  node->Persisted(install.persist->ticket);
  // Loading the snapshot takes its time; meanwhile entries arrive.
  node.Hear(2, 3, Append(10, 2, 10, Commands(11, {3, 3})));
  const Ready append = node->TakeReady();
  ASSERT_TRUE(append.persist);
  EXPECT_FALSE(append.persist->snapshot);
  node->Persisted(append.persist->ticket);
  EXPECT_EQ(node->durable(), 12u);
  node->Applied(10);
  node.Hear(2, 3, Heartbeat{.commit = 12});
  const Ready committed = node->TakeReady();
  EXPECT_FALSE(committed.persist);
  EXPECT_EQ(committed.apply_now, 12u);
}

TEST(Contract, Clause11_ASnapshotThatDoesNotKnowThisNodeIsInstalledAllTheSame) {
  Solo joiner{MemoryDisk()};
  SnapshotMeta meta{10, 2, {}};
  meta.conf.voters = {2, 3};  // older than the entry that adds this node
  EXPECT_EQ(joiner.Hear(2, 3, InstallSnapshot{meta}, "state"), Outcome::kOk);
  joiner.Settle();
  EXPECT_EQ(joiner.node().state(), "state");
  EXPECT_EQ(joiner->Campaign(), Outcome::kNotPromotable);
}

TEST(Contract, Clause11_ASnapshotThatContradictsWhatIsCommittedIsIgnored) {
  MemoryDisk disk = FoundingDisk({1, 2, 3});
  disk.hard_state = {1, kNoNode};
  disk.entries = Commands(1, {1, 1});
  disk.commit = 2;
  Solo node(disk);
  EXPECT_EQ(node.Hear(2, 3, InstallSnapshot{MetaAt(2, 2)}, "state"), Outcome::kIgnored);
  EXPECT_FALSE(node->installing_snapshot());
  EXPECT_EQ(node->log().TermAt(2), 1u);
}

TEST(Contract, Clause11_ASnapshotWithoutAPlaceIsRefused) {
  Solo node(FoundingDisk({1, 2, 3}));
  EXPECT_EQ(node.Hear(2, 3, InstallSnapshot{MetaAt(0, 1)}, "state"), Outcome::kMalformed);
  EXPECT_EQ(node.Hear(2, 3, InstallSnapshot{MetaAt(5, 0)}, "state"), Outcome::kMalformed);
  EXPECT_FALSE(node->installing_snapshot());
}

TEST(Contract, Clause11_ASnapshotOfWhatIsThereAlreadyOnlyCommits) {
  Solo node(FoundingDisk({1, 2, 3}));
  node.Hear(2, 1, AppendRequest{.entries = Commands(1, {1, 1, 1})});
  node.Settle();
  EXPECT_EQ(node.Hear(2, 1, InstallSnapshot{MetaAt(2, 1)}, "state"), Outcome::kIgnored);
  EXPECT_FALSE(node->installing_snapshot());
  EXPECT_EQ(node->commit(), 2u);
  EXPECT_EQ(node->log().last(), 3u) << "a matching tail is kept (paper, figure 13, rule 6)";
  const Index commit = node->commit();
  EXPECT_EQ(node.Hear(2, 1, InstallSnapshot{MetaAt(1, 1)}, "state"), Outcome::kIgnored);
  EXPECT_EQ(node->commit(), commit);
}

// ---- Clause 12: limits let one through

TEST(Contract, Clause12_EveryLimitLetsAtLeastOneEntryThrough) {
  Options options = TestOptions();
  options.max_append_bytes = 1;
  options.max_committed_bytes = 1;
  options.max_uncommitted_bytes = 1;
  options.max_inflight_bytes = 1;
  Solo leader(FoundingDisk({1, 2, 3}), options);
  leader.BecomeLeader({2});
  leader.Accept(2, 1);
  leader.Settle();
  ASSERT_EQ(leader->Propose(Payload::Copy("much more than one byte")).outcome, Outcome::kOk);
  EXPECT_EQ(leader->Propose(Payload::Copy("too much now")).outcome, Outcome::kQuotaExceeded);
  const Messages appends = Only<AppendRequest>(leader.Begin().send_now);
  ASSERT_FALSE(appends.empty());
  EXPECT_THAT(As<AppendRequest>(appends[0]).entries, SizeIs(1));
  leader.Finish();
  leader.Accept(2, 2);
  EXPECT_THAT(Indexes(leader.Begin().committed), ElementsAre(2));
  EXPECT_EQ(leader->Propose(Payload::Copy("again")).outcome, Outcome::kOk);
}

TEST(Contract, Clause12_CommittedEntriesComeInBatchesOfTheLimit) {
  Options options = TestOptions();
  options.max_committed_bytes = 2 * (kEntryOverheadBytes + 1);
  MemoryDisk disk = FoundingDisk({1, 2, 3});
  disk.hard_state = {1, kNoNode};
  disk.entries = Commands(1, {1, 1, 1, 1, 1});
  disk.commit = 5;
  Solo node(disk, options);
  EXPECT_THAT(Indexes(node->TakeReady().committed), ElementsAre(1, 2));
  EXPECT_FALSE(node->HasReady()) << "the limit counts until entries are applied";
  node->Applied(1);
  EXPECT_THAT(Indexes(node->TakeReady().committed), ElementsAre(3));
  node->Applied(3);
  EXPECT_THAT(Indexes(node->TakeReady().committed), ElementsAre(4, 5));
}

// ---- Clause 13: who may speak

TEST(Contract, Clause13_RequestsAreJudgedByTermAndLogAlone) {
  Solo fresh{MemoryDisk()};  // knows no configuration
  EXPECT_EQ(fresh.Hear(7, 3, Heartbeat{}), Outcome::kOk);
  EXPECT_EQ(fresh->leader(), 7u);
  EXPECT_EQ(fresh.Hear(7, 3, AppendRequest{.entries = Commands(1, {3})}), Outcome::kOk);
  EXPECT_EQ(fresh.Hear(8, 4, VoteRequest{.last_index = 1, .last_term = 3}), Outcome::kOk);
  EXPECT_EQ(fresh->vote(), 8u);
}

// Paper, figure 2: "reply false if term < currentTerm". Without the answer two candidates, of which
// one needs the other's vote, may go on campaigning in terms of their own.
TEST(Contract, Clause13_ACandidateOfAnOlderTermIsToldTheTerm) {
  MemoryDisk disk = FoundingDisk({1, 2, 3});
  disk.hard_state = {5, 3};
  Solo voter(disk);
  EXPECT_EQ(voter.Hear(2, 4, VoteRequest{}), Outcome::kIgnored);
  const Messages answers = voter.Sent();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_TRUE(As<VoteResponse>(answers[0]).rejected);

  Solo candidate(FoundingDisk({1, 2, 3}));
  candidate->Campaign();
  candidate.Settle();
  candidate.Hear(2, answers[0].term, answers[0].body);
  EXPECT_EQ(candidate->term(), 5u);
  EXPECT_EQ(candidate->role(), RoleName::kFollower);
}

TEST(Contract, Clause13_ALearnerVotesWhenAsked) {
  Solo learner(FoundingDisk({2, 3}, {1}));
  learner.Hear(3, 1, VoteRequest{});
  EXPECT_EQ(learner->vote(), 3u);
  EXPECT_EQ(learner->Campaign(), Outcome::kNotPromotable);
}

TEST(Contract, Clause13_AnswersFromOutsideAreRefusedBeforeTheirTermIsRead) {
  Solo leader = LeaderOfThree();
  EXPECT_EQ(leader.Hear(9, 100, AppendResponse{.index = 1}), Outcome::kUnknownPeer);
  EXPECT_EQ(leader.Hear(9, 100, HeartbeatResponse{}), Outcome::kUnknownPeer);
  EXPECT_EQ(leader.Hear(9, 100, VoteResponse{}), Outcome::kUnknownPeer);
  EXPECT_EQ(leader.Hear(9, 100, ReadIndexResponse{}), Outcome::kUnknownPeer);
  EXPECT_TRUE(leader->is_leader());
  EXPECT_EQ(leader->term(), 1u);
}

TEST(Contract, Clause13_AMessageForSomebodyElseIsNotRead) {
  Solo node(FoundingDisk({1, 2, 3}));
  EXPECT_EQ(node->Step(Message{2, 3, 9, Heartbeat{}}), Outcome::kNotForMe);
  EXPECT_EQ(node->Step(Message{1, 1, 9, Heartbeat{}}), Outcome::kMalformed) << "from itself";
  EXPECT_EQ(node->Step(Message{kNoNode, 1, 9, Heartbeat{}}), Outcome::kMalformed);
  EXPECT_EQ(node->Step(Message{2, 1, 0, Heartbeat{}}), Outcome::kMalformed) << "without a term";
  EXPECT_EQ(node->Step(Message{2, 1, 1, ReadIndexRequest{}}), Outcome::kMalformed) << "with one";
  const VoteResponse refusal{.pre_vote = true, .rejected = true};
  EXPECT_EQ(node->Step(Message{2, 1, 0, refusal}), Outcome::kIgnored) << "it may know of no term";
  EXPECT_EQ(node->term(), 0u);
}

// ---- Clause 14: refusals say why

// A node that believed it could not campaign ever again: the next term would be 0.
TEST(Contract, Clause13_ATermOrIndexThatLeavesNoNextOneIsRefused) {
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  Solo node(FoundingDisk({1, 2}));
  EXPECT_EQ(node.Hear(2, kMost, VoteRequest{}), Outcome::kMalformed);
  const SnapshotMeta meta{kMost, 1, ConfState{{1, 2}, {}, {}, {}, false}};
  EXPECT_EQ(node.Hear(2, 1, InstallSnapshot{meta}), Outcome::kMalformed);
  EXPECT_EQ(node->log().last(), 0u);
  EXPECT_EQ(node->Campaign(), Outcome::kOk);
  node.Settle();
  EXPECT_LT(node->term(), 3u);
  node.Hear(2, node->term(), VoteResponse{});
  EXPECT_TRUE(node->is_leader());
}

TEST(Contract, Clause14_EveryRefusalHasItsReason) {
  Solo follower(FoundingDisk({1, 2, 3}));
  EXPECT_EQ(follower->Propose(Payload()).outcome, Outcome::kNoLeader);
  EXPECT_EQ(follower->RequestRead(1), Outcome::kNoLeader);
  EXPECT_EQ(follower->TransferLeadership(1), Outcome::kNoLeader);
  EXPECT_EQ(follower->ForgetLeader(), Outcome::kIgnored);
  follower.Hear(2, 1, Heartbeat{});
  EXPECT_EQ(follower->Propose(Payload()).outcome, Outcome::kNotLeader);
  EXPECT_EQ(follower->RequestRead(1), Outcome::kForwarded);
  EXPECT_EQ(follower->TransferLeadership(1), Outcome::kForwarded);
  EXPECT_EQ(follower->ReportUnreachable(2), Outcome::kIgnored);

  Solo leader(FoundingDisk({1, 2, 3}, {4}));
  leader.BecomeLeader({2});
  using Kind = MemberChange::Kind;
  EXPECT_EQ(leader->ProposeMembership(OneChange(Kind::kRemove, 3)).outcome, Outcome::kOk)
      << "nothing was left unapplied by an earlier term";
  EXPECT_EQ(leader->ProposeMembership(OneChange(Kind::kRemove, 2)).outcome,
            Outcome::kMembershipPending);
  leader.Accept(2, 2);
  leader.Settle();
  EXPECT_EQ(leader->ProposeMembership(MembershipChange()).outcome, Outcome::kMembershipNotJoint);
  MembershipChange nobody;
  nobody.changes = {{Kind::kRemove, 1}, {Kind::kRemove, 2}};
  EXPECT_EQ(leader->ProposeMembership(nobody).outcome, Outcome::kMembershipInvalid);
  EXPECT_EQ(leader->Campaign(), Outcome::kAlreadyLeader);
  EXPECT_EQ(leader->TransferLeadership(9), Outcome::kUnknownPeer);
  EXPECT_EQ(leader->TransferLeadership(4), Outcome::kLearner);
  EXPECT_EQ(leader->TransferLeadership(1), Outcome::kAlreadyLeader);
  EXPECT_EQ(leader->TransferLeadership(2), Outcome::kOk);
  EXPECT_EQ(leader->TransferLeadership(2), Outcome::kTransferring);
  EXPECT_EQ(leader->Propose(Payload()).outcome, Outcome::kTransferring);
}

TEST(Contract, Clause14_ARefusalIsToldAcrossForwarding) {
  Solo node(FoundingDisk({1, 2, 3}));
  node.Hear(2, 1, Heartbeat{});
  node.Settle();
  EXPECT_EQ(node.Hear(3, 0, ReadIndexRequest{.context = 7}), Outcome::kNotLeader);
  const Messages answers = Only<ReadIndexResponse>(node.Sent());
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_TRUE(As<ReadIndexResponse>(answers[0]).rejected);
  EXPECT_EQ(As<ReadIndexResponse>(answers[0]).context, 7u);

  node.Hear(2, 1, ReadIndexResponse{.context = 8, .rejected = true});
  EXPECT_THAT(node.Begin().failed_reads, ElementsAre(FailedRead{8, ReadFailure::kRefusedByLeader}));
}

TEST(Contract, Clause14_AForwardedBatchHoldsOneMembershipChangeAtMost) {
  Solo leader = LeaderOfThree();
  leader.Accept(2, 1);
  leader.Settle();
  ForwardedProposal batch;
  batch.entries.push_back(Membership(0, 0, OneChange(MemberChange::Kind::kAddVoter, 4)));
  batch.entries.push_back(Membership(0, 0, OneChange(MemberChange::Kind::kAddVoter, 5)));
  EXPECT_EQ(leader.Hear(2, 0, batch), Outcome::kOk);
  ASSERT_EQ(leader->log().last(), 3u);
  EXPECT_EQ(leader->log().At(2).type, EntryType::kMembership);
  EXPECT_EQ(leader->log().At(3).type, EntryType::kCommand) << "an empty entry keeps its place";
}

TEST(Contract, Clause14_ARefusedProposalLeavesNothingBehind) {
  Options options = TestOptions();
  options.max_uncommitted_bytes = 4;
  Solo leader(FoundingDisk({1, 2, 3}), options);
  leader.BecomeLeader({2});
  leader.Accept(2, 1);
  leader.Settle();
  ASSERT_EQ(leader->Propose(Payload::Copy("full")).outcome, Outcome::kOk);
  EXPECT_EQ(leader->ProposeMembership(OneChange(MemberChange::Kind::kAddVoter, 4)).outcome,
            Outcome::kQuotaExceeded);
  leader.Settle();
  leader.Accept(2, 2);
  leader.Settle();
  EXPECT_EQ(leader->ProposeMembership(OneChange(MemberChange::Kind::kAddVoter, 4)).outcome,
            Outcome::kOk)
      << "a change that was never appended is not pending";
}

// ---- Clause 15: reads

TEST(Contract, Clause15_NoReadBeforeTheFirstCommitOfTheTermSingleVoterIncluded) {
  Solo alone(FoundingDisk({1}));
  alone->Campaign();
  alone->TakeReady();
  alone->Persisted(1);
  ASSERT_TRUE(alone->is_leader());
  EXPECT_EQ(alone->RequestRead(7), Outcome::kOk);
  EXPECT_THAT(alone->TakeReady().reads, IsEmpty());
  alone->Persisted(2);
  EXPECT_THAT(alone->TakeReady().reads, ElementsAre(ReadPoint{7, 1}));
}

TEST(Contract, Clause15_AReadIsConfirmedByAQuorumOfItsOwnRound) {
  Solo leader(FoundingDisk({1, 2, 3, 4, 5}));
  leader.BecomeLeader({2, 3});
  leader.Accept(2, 1);
  leader.Accept(3, 1);
  leader.Settle();
  leader->RequestRead(7);
  const Messages first = Only<Heartbeat>(leader.Begin().send_now);
  leader->RequestRead(8);
  const Messages second = Only<Heartbeat>(leader.Begin().send_now);
  ASSERT_THAT(second, SizeIs(4));
  const uint64_t round7 = As<Heartbeat>(first[0]).read_round;
  const uint64_t round8 = As<Heartbeat>(second[0]).read_round;
  EXPECT_LT(round7, round8);

  leader.Hear(2, 1, HeartbeatResponse{});  // of an earlier heartbeat
  leader.Hear(3, 1, HeartbeatResponse{});
  leader.Hear(2, 1, HeartbeatResponse{round7});
  EXPECT_THAT(leader.Begin().reads, IsEmpty());
  leader.Hear(2, 1, HeartbeatResponse{round7});  // the same node again
  EXPECT_THAT(leader.Begin().reads, IsEmpty());
  leader.Hear(3, 1, HeartbeatResponse{round7});
  EXPECT_THAT(leader.Begin().reads, ElementsAre(ReadPoint{7, 1}));
  leader.Hear(4, 1, HeartbeatResponse{round8});
  leader.Hear(5, 1, HeartbeatResponse{round8});
  EXPECT_THAT(leader.Begin().reads, ElementsAre(ReadPoint{8, 1}));
  EXPECT_EQ(leader.Hear(5, 1, HeartbeatResponse{round8 + 1}), Outcome::kMalformed);
}

TEST(Contract, Clause15_ALearnersAnswerConfirmsNothing) {
  Solo leader(FoundingDisk({1, 2, 3}, {4, 5}));
  leader.BecomeLeader({2});
  leader.Accept(2, 1);
  leader.Settle();
  leader->RequestRead(7);
  const uint64_t round = As<Heartbeat>(Only<Heartbeat>(leader.Begin().send_now)[0]).read_round;
  leader.Hear(4, 1, HeartbeatResponse{round});
  leader.Hear(5, 1, HeartbeatResponse{round});
  EXPECT_THAT(leader.Begin().reads, IsEmpty());
  leader.Hear(3, 1, HeartbeatResponse{round});
  EXPECT_THAT(leader.Begin().reads, SizeIs(1));
}

TEST(Contract, Clause15_SteppingDownFailsPendingReadsWithAReason) {
  Solo leader = LeaderOfThree();
  leader->RequestRead(6);  // waits for the first commit
  leader.Hear(2, 0, ReadIndexRequest{.context = 9});
  leader.Accept(2, 1);
  leader->RequestRead(7);  // waits for its round
  leader.Hear(3, 5, Heartbeat{});
  const Ready ready = leader.Begin();
  EXPECT_THAT(ready.reads, IsEmpty());
  EXPECT_THAT(ready.failed_reads, ElementsAre(FailedRead{6, ReadFailure::kLostLeadership},
                                              FailedRead{7, ReadFailure::kLostLeadership}));
  const Messages answers = Only<ReadIndexResponse>(ready.send_now);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_TRUE(As<ReadIndexResponse>(answers[0]).rejected);
}

TEST(Contract, Clause15_HeartbeatsAndReadPointsDoNotWaitForTheDisk) {
  Solo leader = LeaderOfThree();
  leader.Accept(2, 1);
  leader.Settle();
  leader->Propose(Payload::Copy("a"));
  ASSERT_TRUE(leader.Begin().persist);
  leader->RequestRead(7);
  const Messages heartbeats = Only<Heartbeat>(leader.Begin().send_now);
  ASSERT_THAT(heartbeats, SizeIs(2));
  leader.Hear(2, 1, HeartbeatResponse{As<Heartbeat>(heartbeats[0]).read_round});
  EXPECT_THAT(leader.Begin().reads, ElementsAre(ReadPoint{7, 1}));
  EXPECT_TRUE(leader->ticket_out());
}

TEST(Contract, Clause15_AReadOfWhatIsBeingWrittenIsServedOnceItIsWritten) {
  Solo leader = LeaderOfThree();
  leader.Accept(2, 1);
  leader.Settle();
  leader->Propose(Payload::Copy("a"));
  ASSERT_TRUE(leader.Begin().persist);
  leader.Accept(2, 2);
  leader.Accept(3, 2);  // committed without its own copy
  leader->RequestRead(7);
  const Messages heartbeats = Only<Heartbeat>(leader.Begin().send_now);
  ASSERT_FALSE(heartbeats.empty());
  leader.Hear(2, 1, HeartbeatResponse{As<Heartbeat>(heartbeats.back()).read_round});
  EXPECT_THAT(leader.Begin().reads, ElementsAre(ReadPoint{7, 2})) << "the point does not wait";
  EXPECT_EQ(leader->applied(), 1u) << "serving it does";
  leader.Finish();
  EXPECT_EQ(leader->applied(), 2u);
}

TEST(Contract, Clause15_TheNumberOfPendingReadsIsBounded) {
  Options options = TestOptions();
  options.max_pending_reads = 2;
  Solo leader = LeaderOfThree(options);
  EXPECT_EQ(leader->RequestRead(1), Outcome::kOk);
  EXPECT_EQ(leader->RequestRead(2), Outcome::kOk);
  EXPECT_EQ(leader->RequestRead(3), Outcome::kTooManyReads);
}

// ---- Clause 16: leases

Options LeaseOptions() {
  Options options = TestOptions();
  options.check_quorum = true;
  options.read_mode = ReadMode::kLease;
  options.lease_drift_ticks = 2;
  return options;
}

TEST(Contract, Clause16_ARestartedNodeGivesNoVoteForAnElectionTimeout) {
  MemoryDisk disk = FoundingDisk({1, 2, 3});
  disk.hard_state = {3, kNoNode};
  Solo node(disk, LeaseOptions());
  EXPECT_EQ(node.Hear(2, 4, VoteRequest{.last_index = 9, .last_term = 3}), Outcome::kIgnored);
  EXPECT_EQ(node.Hear(2, 4, VoteRequest{.pre_vote = true, .last_index = 9, .last_term = 3}),
            Outcome::kIgnored);
  node.Hear(2, 3, VoteRequest{.last_index = 9, .last_term = 3});
  EXPECT_EQ(node->vote(), kNoNode);
  EXPECT_EQ(node->term(), 3u);
  node.Ticks(9);
  EXPECT_EQ(node.Hear(2, 4, VoteRequest{.last_index = 9, .last_term = 3}), Outcome::kIgnored);
  node.Ticks(1);
  EXPECT_EQ(node.Hear(2, 4, VoteRequest{.last_index = 9, .last_term = 3}), Outcome::kOk);
  EXPECT_EQ(node->vote(), 2u);

  Solo new_life(FoundingDisk({1, 2, 3}), LeaseOptions());
  new_life.Hear(2, 1, VoteRequest{});
  EXPECT_EQ(new_life->vote(), 2u) << "who never followed anybody owes no lease";
}

// Heartbeat answers do not wait for the disk. After a crash an empty one votes at once.
TEST(Contract, Clause16_NoLeaseIsConfirmedBeforeATermIsDurable) {
  Solo node(FoundingDisk({1, 2, 3}), LeaseOptions());
  const auto confirmed = [&] {
    const Messages answers = Only<HeartbeatResponse>(node.Begin().send_now);
    return answers.empty() ? 99 : As<HeartbeatResponse>(answers[0]).read_round;
  };
  node.Hear(2, 1, Heartbeat{.read_round = 7});
  EXPECT_EQ(confirmed(), 0u);
  node.Hear(2, 1, Heartbeat{.read_round = 8});
  EXPECT_EQ(confirmed(), 0u) << "still being written";
  node.Finish();
  node.Hear(2, 1, Heartbeat{.read_round = 9});
  EXPECT_EQ(confirmed(), 9u);
}

TEST(Contract, Clause16_NobodyCampaignsWhileALeaseItConfirmedMayRun) {
  MemoryDisk disk = FoundingDisk({1, 2, 3});
  disk.hard_state = {3, kNoNode};
  Solo restarted(disk, LeaseOptions());
  EXPECT_EQ(restarted->Campaign(), Outcome::kLeaseReads);

  Solo node(FoundingDisk({1, 2, 3}), LeaseOptions());
  node->SetElectionTimeout(30);
  node.Hear(2, 1, Heartbeat{});
  node->SetElectionTimeout(30);
  node.Ticks(9);
  EXPECT_EQ(node->Campaign(), Outcome::kLeaseReads);
  node.Ticks(1);
  EXPECT_EQ(node->Campaign(), Outcome::kOk);
}

// A leader of {1,2,3} whose lease was confirmed by a heartbeat sent just now.
Solo LeaseHolder() {
  Solo leader = LeaderOfThree(LeaseOptions());
  leader.Accept(2, 1);
  leader.Settle();
  leader->Tick();
  const Messages heartbeats = Only<Heartbeat>(leader.Sent());
  leader.Hear(2, 1, HeartbeatResponse{As<Heartbeat>(heartbeats[0]).read_round});
  return leader;
}

TEST(Contract, Clause16_ALeaseServesReadsUntilItRunsOut) {
  Solo leader = LeaseHolder();
  leader->RequestRead(1);
  EXPECT_THAT(leader.Begin().reads, SizeIs(1));
  leader.Ticks(7);  // 10 - drift of 2 is the end of it
  leader->RequestRead(2);
  EXPECT_THAT(leader.Begin().reads, SizeIs(1));
  leader.Ticks(1);
  leader->RequestRead(3);
  const Ready ready = leader.Begin();
  EXPECT_THAT(ready.reads, IsEmpty()) << "asks the quorum";
  const Messages heartbeats = Only<Heartbeat>(ready.send_now);
  ASSERT_FALSE(heartbeats.empty());
  leader.Hear(2, 1, HeartbeatResponse{As<Heartbeat>(heartbeats.back()).read_round});
  EXPECT_THAT(leader.Begin().reads, ElementsAre(ReadPoint{3, 1}));
}

// A stopped process counts no ticks, and on waking up hears answers to what it sent before.
TEST(Contract, Clause16_ALeaseRunsOutWhileTheProcessIsStopped) {
  Solo leader = LeaseHolder();
  leader->Tick();
  const Messages heartbeats = Only<Heartbeat>(leader.Sent());
  leader->SkipTicks(100);
  leader->RequestRead(1);
  EXPECT_THAT(leader.Begin().reads, IsEmpty());
  leader.Hear(2, 1, HeartbeatResponse{As<Heartbeat>(heartbeats[0]).read_round});
  leader->RequestRead(2);
  EXPECT_THAT(leader.Begin().reads, IsEmpty()) << "the round was sent before";
}

TEST(Contract, Clause16_NoLeaseReadWhileATransferIsUnderWay) {
  Solo leader = LeaseHolder();
  ASSERT_EQ(leader->TransferLeadership(3), Outcome::kOk);
  leader->RequestRead(1);
  EXPECT_THAT(leader.Begin().reads, IsEmpty());
}

// A TimeoutNow makes its receiver campaign, and the others vote, whenever it arrives.
TEST(Contract, Clause16_NoLeaseReadOnceLeadershipWasOffered) {
  Solo leader = LeaseHolder();
  leader.Accept(3, leader->log().last());
  leader.Settle();
  ASSERT_EQ(leader->TransferLeadership(3), Outcome::kOk);
  ASSERT_EQ(Only<TimeoutNow>(leader.Sent()).size(), 1u);
  for (int i = 0; i < 10; ++i) {
    leader->Tick();
    for (const Message& message : Only<Heartbeat>(leader.Sent())) {
      leader.Hear(message.to, 1, HeartbeatResponse{As<Heartbeat>(message).read_round});
    }
  }
  ASSERT_TRUE(leader->is_leader());
  ASSERT_EQ(leader->transfer_target(), kNoNode) << "given up";
  leader->RequestRead(1);
  EXPECT_THAT(leader.Begin().reads, IsEmpty());
}

TEST(Contract, Clause16_ALeaseRunsFromWhenItsHeartbeatWasSent) {
  Solo leader = LeaderOfThree(LeaseOptions());
  leader.Accept(2, 1);
  leader.Settle();
  leader->Tick();
  const Messages heartbeats = Only<Heartbeat>(leader.Sent());
  leader.Ticks(8);
  leader.Hear(2, 1, HeartbeatResponse{As<Heartbeat>(heartbeats[0]).read_round});
  leader->RequestRead(1);
  EXPECT_THAT(leader.Begin().reads, IsEmpty()) << "the answer took almost an election timeout";
}

}  // namespace
}  // namespace raftkv::raft
