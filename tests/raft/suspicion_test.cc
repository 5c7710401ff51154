// A node that lost the end of its log: what it keeps of its promises, when that ends, and what its
// leader makes of it (core/raft/damage.h, docs/adr/0007-a-lost-entry-is-still-promised.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/status/status.h"
#include "tests/raft/test_nodes.h"

namespace raftkv::raft {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Evidence = Suspicion::Evidence;

// Node 1 of three, in term 2, with entries of these terms, that had one of `suspicion`.
MemoryDisk Shortened(const std::vector<Term>& terms, const Suspicion& suspicion) {
  MemoryDisk disk = FoundingDisk({1, 2, 3});
  disk.hard_state.term = 2;
  disk.entries = Commands(1, terms);
  disk.suspicion = suspicion;
  return disk;
}

ConfState Conf(const std::vector<NodeId>& voters, const std::vector<NodeId>& outgoing = {},
               const std::vector<NodeId>& learners = {}) {
  ConfState conf;
  conf.voters = voters;
  conf.voters_outgoing = outgoing;
  conf.learners = learners;
  return conf;
}

AppendRequest Append(Index prev_index, Term prev_term, Entries entries = {}) {
  return AppendRequest{prev_index, prev_term, /*commit=*/0, std::move(entries)};
}

constexpr Suspicion kLostTo7{.index = 7, .term = 2};

// What node 1 says to node 2, which asks for its vote.
bool Grants(Solo& node, Index last, Term last_term, bool pre_vote = false) {
  node.Hear(2, node->term() + 1,
            VoteRequest{.pre_vote = pre_vote, .last_index = last, .last_term = last_term});
  const Messages answers = Only<VoteResponse>(node.Sent());
  RAFTKV_CHECK(answers.size() == 1);
  return !As<VoteResponse>(answers[0]).rejected;
}

AppendResponse AnswerTo(Solo& node, MessageBody body) {
  node.Hear(2, node->term(), std::move(body));
  const Messages answers = Only<AppendResponse>(node.Sent());
  RAFTKV_CHECK(answers.size() == 1);
  return As<AppendResponse>(answers[0]);
}

// ---- Elections

TEST(Suspicion, AVoteNeedsALogWithWhatWasLost) {
  for (const bool pre_vote : {false, true}) {
    for (const auto& [last, last_term, granted] :
         std::vector<std::tuple<Index, Term, bool>>{{5, 1, false},
                                                    {9, 1, false},
                                                    {6, 2, false},
                                                    {7, 2, true},
                                                    {8, 2, true},
                                                    {3, 3, true}}) {
      Solo node(Shortened({1, 1, 1, 1, 1}, kLostTo7));
      node.Hear(3, 4, VoteRequest{});  // so that the candidate may have entries of term 3
      node.Sent();
      EXPECT_EQ(Grants(node, last, last_term, pre_vote), granted) << last << "/" << last_term;
    }
  }
}

TEST(Suspicion, AVoteNeedsWhatIsThereToo) {
  Solo node(Shortened({1, 1, 1, 1, 1}, kLostTo7));
  node.Hear(3, 2, Append(5, 1, Commands(6, {2, 2, 2})));
  node.Begin();
  EXPECT_EQ(node->suspicion(), kLostTo7);  // not written yet
  EXPECT_FALSE(Grants(node, 7, 2));
}

TEST(Suspicion, NoCampaign) {
  Solo node(Shortened({1, 1, 1}, kLostTo7));
  EXPECT_EQ(node->Campaign(), Outcome::kSuspicious);
  EXPECT_EQ(node.Hear(2, 2, TimeoutNow()), Outcome::kSuspicious);
  node.Ticks(100);
  EXPECT_THAT(node.Sent(), IsEmpty());
  EXPECT_EQ(node->role(), RoleName::kFollower);
  EXPECT_EQ(node->term(), 2u);
}

TEST(Suspicion, NoCampaignOfALearnerEither) {
  MemoryDisk disk = Shortened({1}, kLostTo7);
  disk.snapshot.meta.conf = Conf({2, 3}, {}, {1});
  Solo node(disk);
  EXPECT_EQ(node->Campaign(), Outcome::kSuspicious);
  EXPECT_FALSE(Grants(node, 6, 2));
}

TEST(Suspicion, GivenUpByAllItIsForgotten) {
  Solo node(Shortened({1, 1, 1}, kLostTo7));
  node->DropSuspicion();
  EXPECT_EQ(node->suspicion(), std::nullopt);
  EXPECT_TRUE(Grants(node, 3, 1));
  node.Ticks(100);
  EXPECT_EQ(node->role(), RoleName::kCandidate);
}

// ---- How it ends

TEST(Suspicion, EndsWithTheWriteThatMakesUpForIt) {
  Solo node(Shortened({1, 1, 1}, kLostTo7));
  node.Hear(2, 2, Append(3, 1, Commands(4, {1, 2, 2})));
  node.Settle();
  EXPECT_EQ(node->suspicion(), kLostTo7);  // one is still missing
  node.Hear(2, 2, Append(6, 2, Commands(7, {2})));
  node.Begin();
  EXPECT_EQ(node->suspicion(), kLostTo7);  // not on the disk yet
  EXPECT_EQ(node->Campaign(), Outcome::kSuspicious);
  node.Finish();
  EXPECT_EQ(node->suspicion(), std::nullopt);
  EXPECT_EQ(node->Campaign(), Outcome::kOk);
}

// Only a learner has it, say: nobody can lead before a voter has it again.
TEST(Suspicion, EndsWithWhatAMemberHasWhenNobodyLeads) {
  Solo node(Shortened({1, 1, 1}, kLostTo7));
  EXPECT_EQ(node->RegainLostEnd(Commands(4, {1, 2, 2})), Outcome::kOk);
  node.Settle();
  EXPECT_EQ(node->suspicion(), kLostTo7);  // one is still missing
  EXPECT_FALSE(Grants(node, 6, 2));
  EXPECT_EQ(node->RegainLostEnd(Commands(7, {2})), Outcome::kOk);
  node.Begin();
  EXPECT_EQ(node->suspicion(), kLostTo7);  // not on the disk yet
  node.Finish();
  EXPECT_EQ(node->suspicion(), std::nullopt);
  EXPECT_EQ(node->Campaign(), Outcome::kOk);
  EXPECT_EQ(node->RegainLostEnd(Commands(8, {2})), Outcome::kIgnored) << "nothing is lost";
}

// It led, and is gone, or was removed. Nobody who campaigns can take its place.
TEST(Suspicion, ALeaderThatIsGoneIsNotWaitedFor) {
  Solo node(Shortened({1, 1, 1}, kLostTo7));
  node.Hear(2, 2, Heartbeat{});
  EXPECT_EQ(node->leader(), 2u);
  EXPECT_EQ(node->RegainLostEnd(Commands(4, {1, 2, 2})), Outcome::kIgnored) << "somebody leads";
  node.Ticks(2);
  EXPECT_EQ(node->leader(), 2u);
  node.Ticks(100);
  EXPECT_EQ(node->leader(), kNoNode);
  EXPECT_EQ(node->role(), RoleName::kFollower);
  EXPECT_EQ(node->RegainLostEnd(Commands(4, {1, 2, 2})), Outcome::kOk);
  node.Hear(2, 2, Heartbeat{});
  EXPECT_EQ(node->leader(), 2u);

  // Who has lost nothing and may not campaign goes on forwarding to it.
  MemoryDisk whole = Shortened({1, 1, 1}, kLostTo7);
  whole.suspicion.reset();
  whole.snapshot.meta.conf = Conf({2, 3}, {}, {1});
  Solo learner(whole);
  learner.Hear(2, 2, Heartbeat{});
  learner.Ticks(100);
  EXPECT_EQ(learner->leader(), 2u);
}

TEST(Suspicion, NothingElseIsTakenWithoutALeader) {
  Solo node(Shortened({1, 1, 1}, kLostTo7));
  EXPECT_EQ(node->RegainLostEnd({}), Outcome::kIgnored);
  EXPECT_EQ(node->RegainLostEnd(Commands(3, {1, 1})), Outcome::kIgnored) << "it has something else";
  EXPECT_EQ(node->RegainLostEnd(Commands(5, {1})), Outcome::kIgnored) << "a gap";
  EXPECT_EQ(node->RegainLostEnd(Commands(4, {2, 1})), Outcome::kMalformed);
  Entries gap = Commands(4, {1, 1});
  gap[1].index = 6;
  EXPECT_EQ(node->RegainLostEnd(std::move(gap)), Outcome::kMalformed);
  EXPECT_EQ(node->log().last(), 3u);
  node.Hear(2, 2, Heartbeat{});
  EXPECT_EQ(node->RegainLostEnd(Commands(4, {1})), Outcome::kIgnored) << "its leader will send it";
  EXPECT_EQ(node->log().last(), 3u);
}

// A log of a later term would do for a leader's vote; but it may have something else where this
// node had what is committed.
TEST(Suspicion, OnlyWhatWasLostIsTaken) {
  MemoryDisk disk = Shortened({1, 1, 1}, {.index = 5, .term = 1});
  disk.hard_state.term = 3;
  Solo node(disk);
  EXPECT_EQ(node->RegainLostEnd(Commands(4, {2})), Outcome::kMalformed);
  EXPECT_EQ(node->RegainLostEnd(Commands(4, {1, 1, 1})), Outcome::kMalformed);
  EXPECT_EQ(node->RegainLostEnd(Commands(4, {1, 1})), Outcome::kOk);
  node.Settle();
  EXPECT_EQ(node->suspicion(), std::nullopt);
}

// Node 1, the only voter, has added node 2 and removed itself, and has lost the end of its log:
// that this is committed, too. In the configuration that it knows to be in force it could elect
// itself.
TEST(Suspicion, ALaterChangeOfTheMembersTellsThatTheOneBeforeIsCommitted) {
  const auto change = [](MemberChange::Kind kind, NodeId node) {
    MembershipChange one;
    one.changes = {{kind, node}};
    return one;
  };
  const Entry adds = Membership(1, 2, change(MemberChange::Kind::kAddVoter, 2));
  const Entry removes = Membership(1, 3, change(MemberChange::Kind::kRemove, 1));
  MemoryDisk disk = FoundingDisk({1});
  disk.snapshot.meta.conf.learners = {2};
  disk.hard_state.term = 1;
  disk.entries = Commands(1, {1});
  disk.entries.push_back(adds);
  MemoryDisk whole = disk;
  whole.entries.push_back(removes);
  EXPECT_EQ(Solo(disk)->commit(), 0u) << "one may be pending";
  EXPECT_EQ(Solo(whole)->commit(), 2u);
  Options unchecked = TestOptions();
  unchecked.validate_membership = false;
  EXPECT_EQ(Solo(whole, unchecked)->commit(), 0u) << "then several may be";

  disk.suspicion = Suspicion{.index = 3, .term = 1};
  Solo node(disk);
  ASSERT_EQ(node->commit(), 0u);
  EXPECT_EQ(node->RegainLostEnd({removes}), Outcome::kOk);
  EXPECT_EQ(node->commit(), 2u);
  node.Settle();
  EXPECT_EQ(node->suspicion(), std::nullopt);
  EXPECT_EQ(node->Campaign(), Outcome::kOk);
  node.Settle();
  EXPECT_EQ(node->role(), RoleName::kCandidate) << "it needs the vote of node 2";
}

// What it took is no acknowledgement: a leader that has something else there replaces it.
TEST(Suspicion, ALeaderReplacesWhatWasTaken) {
  Solo node(Shortened({1, 1, 1}, kLostTo7));
  ASSERT_EQ(node->RegainLostEnd(Commands(4, {1, 1})), Outcome::kOk);
  node.Settle();
  EXPECT_FALSE(AnswerTo(node, Append(3, 1, Commands(4, {2}))).rejected);
  EXPECT_EQ(node->log().last(), 4u);
  EXPECT_EQ(node->log().TermAt(4), 2u);
}

TEST(Suspicion, OutlivesACrashBeforeThatWrite) {
  Solo node(Shortened({1, 1, 1, 1, 1}, kLostTo7));
  node.Hear(2, 2, Append(5, 1, Commands(6, {2, 2})));
  node.Begin();
  Solo again(node.node().Crash(MemoryNode::Written::kNothing));
  EXPECT_EQ(again->suspicion(), kLostTo7);
  again.Hear(2, 2, Append(5, 1, Commands(6, {2, 2})));
  again.Begin();
  Solo written(again.node().Crash(MemoryNode::Written::kAll));
  EXPECT_EQ(written->suspicion(), std::nullopt);
}

TEST(Suspicion, AnEntryOfALaterTermMakesUpForALongerLog) {
  Solo node(Shortened({1, 1, 1}, kLostTo7));
  node.Hear(2, 3, Append(3, 1, Commands(4, {3})));
  node.Settle();
  EXPECT_EQ(node->suspicion(), std::nullopt);
}

TEST(Suspicion, ASnapshotBehindItEndsItWhateverItsTerm) {
  const ConfState conf = Conf({1, 2, 3});
  Solo node(Shortened({1, 1, 1}, kLostTo7));
  node.Hear(2, 2, InstallSnapshot{SnapshotMeta{6, 1, conf}}, "state");
  node.Settle();
  EXPECT_EQ(node->log().base(), 6u);
  EXPECT_EQ(node->suspicion(), kLostTo7);
  // What is committed at 7 is of term 1, so what this node had there never was.
  node.Hear(2, 2, InstallSnapshot{SnapshotMeta{7, 1, conf}}, "state");
  node.Begin();
  EXPECT_EQ(node->suspicion(), kLostTo7);  // nor is this a promise before it is durable
  node.Finish();
  EXPECT_EQ(node->suspicion(), std::nullopt);
}

// ---- At the start

absl::StatusOr<Raft> Start(const MemoryDisk& disk) {
  return Raft::Create(
      TestOptions(),
      Recovered{disk.hard_state, disk.snapshot.meta, disk.entries, disk.commit, disk.suspicion}, 1);
}

TEST(Suspicion, IsNoneWhenTheLogMakesUpForIt) {
  EXPECT_EQ(Start(Shortened({1, 1, 2}, Suspicion{.index = 3, .term = 2}))->suspicion(),
            std::nullopt);
  EXPECT_EQ(Start(Shortened({2}, Suspicion{.index = 9, .term = 1}))->suspicion(), std::nullopt);
  MemoryDisk disk = Shortened({}, kLostTo7);
  disk.snapshot.meta = SnapshotMeta{7, 1, Conf({1, 2, 3})};
  EXPECT_EQ(Start(disk)->suspicion(), std::nullopt);
}

TEST(Suspicion, OfATermThatIsNotYetIsRefused) {
  const auto raft = Start(Shortened({1}, Suspicion{.index = 7, .term = 3}));
  EXPECT_TRUE(absl::IsDataLoss(raft.status()));
  EXPECT_EQ(raft.status().message(),
            "term and vote are older than the log: the term of its lost end 3 is above the node's "
            "own, 2");
  MemoryDisk old = Shortened({1, 1, 3}, kLostTo7);
  old.suspicion.reset();
  EXPECT_EQ(Start(old).status().message(),
            "term and vote are older than the log: its term 3 is above the node's own, 2");
}

TEST(Suspicion, ASingleVoterHasNobodyToAsk) {
  MemoryDisk disk = Shortened({1, 1, 1}, kLostTo7);
  disk.snapshot.meta.conf = Conf({1});
  for (const Evidence evidence : {Evidence::kBlank, Evidence::kSpoilt}) {
    disk.suspicion->evidence = evidence;
    EXPECT_EQ(Start(disk)->suspicion(), std::nullopt);
  }
  disk.suspicion->evidence = Evidence::kProven;
  const auto raft = Start(disk);
  EXPECT_TRUE(absl::IsDataLoss(raft.status()));
  EXPECT_THAT(std::string(raft.status().message()), HasSubstr("up to (7, term 2)"));
  EXPECT_THAT(std::string(raft.status().message()), HasSubstr("restore"));
}

// What it has lost may have made the learner a voter, and there may be a leader without it.
TEST(Suspicion, ASingleVoterWithALearnerWaitsForALeader) {
  MemoryDisk disk = Shortened({1, 1, 1}, kLostTo7);
  disk.snapshot.meta.conf = Conf({1}, {}, {2});
  disk.suspicion->evidence = Evidence::kProven;
  const auto raft = Start(disk);
  ASSERT_TRUE(raft.ok()) << raft.status();
  EXPECT_EQ(raft->suspicion(), disk.suspicion);
  Solo node(disk);
  node.Ticks(100);
  EXPECT_EQ(node->role(), RoleName::kFollower);
  EXPECT_EQ(node->Campaign(), Outcome::kSuspicious);
}

TEST(Suspicion, OneOfTwoHalvesHasSomebodyToAsk) {
  MemoryDisk disk = Shortened({1, 1, 1}, kLostTo7);
  disk.snapshot.meta.conf = Conf({1}, {1, 2});
  EXPECT_EQ(Start(disk)->suspicion(), kLostTo7);
  disk.snapshot.meta.conf = Conf({1}, {1});
  EXPECT_EQ(Start(disk)->suspicion(), std::nullopt);
  disk.snapshot.meta.conf = Conf({2});  // no voter itself
  EXPECT_EQ(Start(disk)->suspicion(), kLostTo7);
}

TEST(Suspicion, WhoIsAloneIsDecidedByTheChangesInTheLog) {
  MemoryDisk disk = Shortened({1, 1, 1}, kLostTo7);
  disk.snapshot.meta.conf = Conf({1});
  disk.entries[1] = Membership(1, 2, OneChange(MemberChange::Kind::kAddVoter, 2));
  EXPECT_EQ(Start(disk)->suspicion(), kLostTo7);
  disk.commit = 3;
  EXPECT_EQ(Start(disk)->suspicion(), kLostTo7);

  disk.snapshot.meta.conf = Conf({1, 2});
  disk.entries[1] = Membership(1, 2, OneChange(MemberChange::Kind::kRemove, 2));
  EXPECT_EQ(Start(disk)->suspicion(), std::nullopt);  // the removal is committed
  disk.commit = 1;
  EXPECT_EQ(Start(disk)->suspicion(), kLostTo7);
}

// ---- What it tells its leader

TEST(Suspicion, ARefusalTellsOfTheLossAndAnAcceptanceDoesNot) {
  Solo node(Shortened({1, 1, 1}, kLostTo7));
  const AppendResponse refused = AnswerTo(node, Append(7, 2));
  EXPECT_EQ(refused,
            (AppendResponse{
                .index = 7, .rejected = true, .hint_index = 3, .hint_term = 1, .lost = true}));
  const AppendResponse accepted = AnswerTo(node, Append(3, 1, Commands(4, {1})));
  EXPECT_EQ(accepted, AppendResponse{.index = 4});
}

TEST(Suspicion, WithoutOneARefusalTellsOfNoLoss) {
  MemoryDisk disk = Shortened({1, 1, 1}, kLostTo7);
  disk.suspicion.reset();
  Solo node(disk);
  EXPECT_FALSE(AnswerTo(node, Append(7, 2)).lost);
}

TEST(Suspicion, AHeartbeatThatCountsOnMoreIsAnswered) {
  MemoryDisk disk = Shortened({1, 1, 1}, kLostTo7);
  disk.commit = 2;
  Solo node(disk);
  EXPECT_EQ(AnswerTo(node, Heartbeat{.commit = 7}),
            (AppendResponse{
                .index = 7, .rejected = true, .hint_index = 2, .hint_term = 1, .lost = true}));
  EXPECT_EQ(node->commit(), 2u);
  node.Hear(2, 2, Heartbeat{.commit = 2});
  EXPECT_THAT(Only<AppendResponse>(node.Sent()), IsEmpty());
}

// Somebody has put an older copy of the disk back: nothing tells that entries 4 to 7 were there.
TEST(Suspicion, AHeartbeatThatCountsOnMoreIsAnsweredWithoutOne) {
  MemoryDisk disk = Shortened({1, 1, 1}, kLostTo7);
  disk.suspicion.reset();
  Solo node(disk);
  EXPECT_EQ(AnswerTo(node, Heartbeat{.commit = 7}),
            (AppendResponse{
                .index = 7, .rejected = true, .hint_index = 3, .hint_term = 1, .lost = true}));
  EXPECT_EQ(node->commit(), 0u) << "nothing is committed by it";
  node.Hear(2, 2, Append(3, 1, Commands(4, {1, 1, 1, 1})));
  node.Settle();
  EXPECT_EQ(node.Hear(2, 2, Heartbeat{.commit = 7}), Outcome::kOk);
  EXPECT_EQ(node->commit(), 7u);
}

TEST(Suspicion, OnlyWhatAnAppendOfTheTermHasShownIsCommittedByAHeartbeat) {
  Solo node(Shortened({1, 1, 1, 1}, kLostTo7));
  // Entry 3 is there, but the leader speaks of what it was told before the crash.
  EXPECT_TRUE(AnswerTo(node, Heartbeat{.commit = 3}).lost);
  EXPECT_EQ(node->commit(), 0u);
  EXPECT_FALSE(AnswerTo(node, Append(4, 1)).rejected);
  EXPECT_EQ(node.Hear(2, 2, Heartbeat{.commit = 3}), Outcome::kOk);
  EXPECT_EQ(node->commit(), 3u);
  // Another leader has shown nothing yet.
  EXPECT_EQ(node.Hear(3, 3, Heartbeat{.commit = 4}), Outcome::kIgnored);
  EXPECT_EQ(node->commit(), 3u);
  node.Hear(3, 3, Append(4, 1));
  node.Hear(3, 3, Heartbeat{.commit = 4});
  EXPECT_EQ(node->commit(), 4u);
}

// ---- What a leader makes of it

const Progress& Peer(Solo& leader, NodeId id) { return *leader->progress()->Find(id); }

// Node 1 leads five, entry 1 opens its term; 2 has acknowledged everything, nobody else has.
Solo LeaderOfFive() {
  Solo leader(FoundingDisk({1, 2, 3, 4, 5}));
  leader.BecomeLeader({2, 3});
  for (int i = 0; i < 3; ++i) leader->Propose(Payload::Copy("x"));
  leader.Settle();
  leader.Accept(2, 4);
  return leader;
}

constexpr AppendResponse kLost{
    .index = 4, .rejected = true, .hint_index = 2, .hint_term = 1, .lost = true};

TEST(Suspicion, TheLeaderCountsNoLongerWhatWasLostAndSendsItAgain) {
  Solo leader = LeaderOfFive();
  leader.Settle();
  EXPECT_EQ(leader.Hear(2, 1, kLost), Outcome::kOk);
  EXPECT_EQ(Peer(leader, 2).match, 2u);
  EXPECT_EQ(Peer(leader, 2).losses, 1u);
  EXPECT_EQ(Peer(leader, 2).state, ProgressState::kProbe);
  const Messages sent = Only<AppendRequest>(leader.Sent());
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(As<AppendRequest>(sent[0]).prev_index, 2u);
  EXPECT_THAT(As<AppendRequest>(sent[0]).entries, SizeIs(2));

  leader.Accept(3, 4);
  EXPECT_EQ(leader->commit(), 2u);  // 1 and 3 have more, 2 has not
  leader.Accept(2, 4);
  EXPECT_EQ(leader->commit(), 4u);
}

TEST(Suspicion, WithoutTheFlagARefusalOfWhatIsAcknowledgedIsOld) {
  Solo leader = LeaderOfFive();
  AppendResponse refusal = kLost;
  refusal.lost = false;
  EXPECT_EQ(leader.Hear(2, 1, refusal), Outcome::kIgnored);
  EXPECT_EQ(Peer(leader, 2).match, 4u);
}

TEST(Suspicion, WhatIsCommittedStaysSo) {
  Solo leader = LeaderOfFive();
  leader.Accept(3, 4);
  EXPECT_EQ(leader->commit(), 4u);
  leader.Hear(2, 1, kLost);
  EXPECT_EQ(Peer(leader, 2).match, 2u);
  EXPECT_EQ(leader->commit(), 4u);
}

TEST(Suspicion, ALateAcknowledgementCountsUntilTheNextRefusal) {
  Solo leader = LeaderOfFive();
  leader.Hear(2, 1, kLost);
  leader.Accept(2, 4);  // from before the crash
  EXPECT_EQ(Peer(leader, 2).match, 4u);
  EXPECT_EQ(leader.Hear(2, 1, kLost), Outcome::kOk);
  EXPECT_EQ(Peer(leader, 2).match, 2u);
  EXPECT_EQ(Peer(leader, 2).losses, 2u);
}

TEST(Suspicion, ALossBelowWhatIsCompactedAsksForASnapshot) {
  Solo leader = LeaderOfFive();
  leader.Accept(3, 4);
  leader.Settle();
  leader.node().Compact(4);
  leader.Hear(2, 1, kLost);
  EXPECT_EQ(Peer(leader, 2).state, ProgressState::kSnapshot);
  EXPECT_EQ(Peer(leader, 2).match, 2u);
  // It loses more while the snapshot is under way: which stays under way.
  leader.Hear(2, 1, AppendResponse{.index = 4, .rejected = true, .lost = true});
  EXPECT_EQ(Peer(leader, 2).state, ProgressState::kSnapshot);
  EXPECT_EQ(Peer(leader, 2).match, 0u);
  EXPECT_THAT(Only<InstallSnapshot>(leader.Sent()), SizeIs(1));
}

TEST(Suspicion, ALossThatTouchesNothingCountedIsAnOrdinaryRefusal) {
  Solo leader = LeaderOfFive();
  leader.Hear(2, 1, kLost);
  leader.Settle();
  EXPECT_EQ(leader.Hear(2, 1, kLost), Outcome::kIgnored);  // once more: not the probe that is out
  EXPECT_EQ(Peer(leader, 2).losses, 1u);
  EXPECT_THAT(Only<AppendRequest>(leader.Sent()), IsEmpty());
}

}  // namespace
}  // namespace raftkv::raft
