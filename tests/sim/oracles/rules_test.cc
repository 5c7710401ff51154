// A node that keeps the rules is left alone; one that has not done with a message what it should
// have is found. The second is a real node, too: the message is shown to the rules and not to it,
// or the turn is said to have begun with another node.
#include "sim/oracles/rules.h"

#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/raft/test_nodes.h"

namespace raftkv::sim {
namespace {

using raft::AppendRequest;
using raft::AppendResponse;
using raft::Heartbeat;
using raft::HeartbeatResponse;
using raft::Message;
using raft::NodeId;
using raft::ReadIndexRequest;
using raft::ReadIndexResponse;
using raft::Solo;
using raft::Term;
using raft::TimeoutNow;
using raft::VoteRequest;
using raft::VoteResponse;
using ::testing::HasSubstr;
using ::testing::Not;

class RulesTest : public ::testing::Test {
 protected:
  // A turn of node 1 in which it really does `deed`, and is said to have heard `message`.
  std::string Turn(const Message* message, const std::function<void()>& deed, bool mute = false) {
    const raft::StepInvariants before(node_.raft());
    rules_.BeforeTurn(node_.raft());
    if (message != nullptr) rules_.Hears(*message);
    deed();
    for (const Message& said : node_.Sent()) {
      if (!mute) rules_.Says(said);
    }
    return rules_
        .AfterTurn(node_.raft(), before, /*moved=*/true, /*refused=*/false, /*persists=*/false)
        .value_or("");
  }
  // A turn about all of them.
  std::string HearsTogether(const std::vector<Message>& messages) {
    const raft::StepInvariants before(node_.raft());
    rules_.BeforeTurn(node_.raft());
    for (const Message& message : messages) {
      if (&message != &messages.front()) rules_.AnotherInput();
      rules_.Hears(message);
      node_.Hear(message.from, message.term, message.body);
    }
    for (const Message& said : node_.Sent()) rules_.Says(said);
    return rules_
        .AfterTurn(node_.raft(), before, /*moved=*/true, /*refused=*/false, /*persists=*/false)
        .value_or("");
  }
  // A turn that makes `one` of node_.
  std::string Becomes(Solo& one) {
    const raft::StepInvariants before(node_.raft());
    rules_.BeforeTurn(node_.raft());
    return rules_
        .AfterTurn(one.raft(), before, /*moved=*/true, /*refused=*/false, /*persists=*/false)
        .value_or("");
  }
  std::string Hears(NodeId from, Term term, raft::MessageBody body) {
    const Message message(from, 1, term, body);
    return Turn(&message, [&] { node_.Hear(from, term, std::move(body)); });
  }
  std::string Ignores(NodeId from, Term term, raft::MessageBody body) {
    const Message message(from, 1, term, std::move(body));
    return Turn(&message, [] {});
  }
  std::string HearsAndIsMute(NodeId from, Term term, raft::MessageBody body) {
    const Message message(from, 1, term, body);
    return Turn(
        &message, [&] { node_.Hear(from, term, std::move(body)); }, /*mute=*/true);
  }

  Solo node_{raft::FoundingDisk({1, 2, 3})};
  Rules rules_;
};

TEST_F(RulesTest, ANodeThatKeepsThemIsLeftAlone) {
  EXPECT_EQ(Hears(2, 1, VoteRequest{}), "");
  EXPECT_EQ(Hears(2, 1, AppendRequest{}), "");
  EXPECT_EQ(Hears(2, 1, Heartbeat{}), "");
  EXPECT_EQ(Hears(3, 0, ReadIndexRequest{7}), "");
  EXPECT_EQ(Hears(2, 1, TimeoutNow{}), "");
  EXPECT_EQ(node_->term(), 2u);
  EXPECT_EQ(Hears(3, 1, VoteRequest{}), "") << "of a term that is over";
  EXPECT_EQ(Hears(3, 2, VoteResponse{}), "");
  ASSERT_TRUE(node_->is_leader());
  EXPECT_EQ(Hears(3, 0, ReadIndexRequest{8}), "");
  EXPECT_EQ(Hears(2, 3, AppendResponse{}), "") << "it steps down, and says so to who reads";
}

// Alone each would be something that it may not do.
TEST_F(RulesTest, WhatOneOfSeveralMessagesLeadsToIsNotHeldAgainstAnother) {
  EXPECT_EQ(HearsTogether({Message(2, 1, 4, Heartbeat{}), Message(3, 1, 5, Heartbeat{})}), "");
  EXPECT_EQ(node_->term(), 5u);
  const Message late(2, 1, 4, VoteRequest{});
  EXPECT_EQ(HearsTogether({Message(2, 1, 6, VoteRequest{}), late}), "");
  EXPECT_EQ(node_->vote(), 2u);
  const Message request(3, 1, 6, VoteRequest{});
  EXPECT_EQ(HearsTogether({request, Message(2, 1, 6, AppendRequest{})}), "");
  node_.Ticks(3);
  EXPECT_EQ(HearsTogether({Message(2, 1, 6, Heartbeat{}), Message(3, 1, 5, Heartbeat{})}), "")
      << "the first one starts the election timer again, not the second";
}

TEST_F(RulesTest, AHigherTermIsHeeded) {
  EXPECT_THAT(Ignores(2, 4, Heartbeat{}), HasSubstr("hears of term 4 from node 2"));
  EXPECT_THAT(Ignores(3, 4, AppendResponse{}), HasSubstr("stays in term 0"));
  EXPECT_EQ(Ignores(9, 4, AppendResponse{}), "") << "it is no member";
}

TEST_F(RulesTest, WhoHearsALeaderMovesForNobodyElse) {
  raft::Options options = raft::TestOptions();
  Solo moves(raft::FoundingDisk({1, 2, 3}), options);
  options.check_quorum = true;
  Solo loyal(raft::FoundingDisk({1, 2, 3}), options);
  for (Solo* node : {&moves, &loyal}) {
    node->Hear(2, 1, Heartbeat{});
    node->Settle();
  }
  moves.Hear(3, 4, AppendResponse{});
  const raft::StepInvariants before(loyal.raft());
  const auto hears = [&](raft::MessageBody body) {
    const Message message(3, 1, 4, std::move(body));
    rules_ = Rules();
    rules_.BeforeTurn(loyal.raft());
    rules_.Hears(message);
    return rules_.AfterTurn(moves.raft(), before, /*moved=*/true, false, false).value_or("");
  };
  EXPECT_THAT(hears(AppendResponse{}), HasSubstr("hears the leader of term 1, and goes to term 4"));
  EXPECT_THAT(hears(VoteRequest{}), HasSubstr("for what node 3 says"));
  EXPECT_THAT(hears(VoteRequest{.transfer = true}), Not(HasSubstr("which leads nobody")));
  EXPECT_THAT(hears(Heartbeat{}), Not(HasSubstr("which leads nobody")));
}

TEST_F(RulesTest, EveryRequestIsAnswered) {
  EXPECT_THAT(HearsAndIsMute(2, 1, AppendRequest{}), HasSubstr("the append of node 2"));
}

TEST_F(RulesTest, HeartbeatsAreAnswered) {
  EXPECT_THAT(HearsAndIsMute(2, 1, Heartbeat{}), HasSubstr("the heartbeat of node 2"));
}

TEST_F(RulesTest, ALateCandidateIsAnswered) {
  ASSERT_EQ(Hears(2, 3, Heartbeat{}), "");
  EXPECT_THAT(HearsAndIsMute(3, 1, VoteRequest{}), HasSubstr("the request for a vote of node 3"));
}

TEST_F(RulesTest, ALeaderIsASignOfLife) {
  ASSERT_EQ(Hears(2, 1, Heartbeat{}), "");
  node_->Tick();
  EXPECT_THAT(Ignores(2, 1, AppendRequest{}), HasSubstr("its election timer goes on"));
}

TEST_F(RulesTest, AVoteIsNotWithheld) {
  ASSERT_EQ(Hears(2, 1, VoteResponse{.rejected = true}), "");
  ASSERT_EQ(node_->term(), 1u);
  EXPECT_THAT(Ignores(3, 1, VoteRequest{}), HasSubstr("refuses node 3"));
  EXPECT_EQ(Hears(3, 1, VoteRequest{}), "");
}

TEST_F(RulesTest, ACandidateThatWasAskedToCampaignSaysSo) {
  ASSERT_EQ(Hears(2, 1, Heartbeat{}), "");
  ASSERT_EQ(Hears(2, 1, TimeoutNow{}), "");
  const raft::StepInvariants before(node_.raft());
  rules_.BeforeTurn(node_.raft());
  rules_.Says(Message(1, 3, 2, VoteRequest{}));
  EXPECT_THAT(rules_.AfterTurn(node_.raft(), before, /*moved=*/true, false, false).value_or(""),
              HasSubstr("does not tell node 3"));
}

TEST_F(RulesTest, AReadIsGivenUpWithTheLeadership) {
  node_.BecomeLeader({2});
  ASSERT_EQ(Hears(2, node_->term(), AppendResponse{}), "");
  ASSERT_EQ(Hears(3, 0, ReadIndexRequest{8}), "");
  EXPECT_THAT(HearsAndIsMute(2, node_->term() + 1, AppendResponse{}), HasSubstr("its read 8"));
}

TEST_F(RulesTest, AnElectionTimerIsNotForAnOldLeader) {
  ASSERT_EQ(Hears(2, 3, Heartbeat{}), "");
  node_->Tick();
  node_->Tick();
  const Message late(3, 1, 1, Heartbeat{});
  EXPECT_THAT(Turn(&late, [&] { node_.Hear(2, 3, Heartbeat{}); }),
              HasSubstr("lets a leader of term 1, node 3"));
}

// With a change of the members committed and not applied it does not campaign when its time is up,
// and waits once more.
TEST_F(RulesTest, AnElectionTimerThatHasRunOutStartsAgainForNobody) {
  const raft::Entry removal =
      raft::Membership(3, 1, raft::OneChange(raft::MemberChange::Kind::kRemove, 2));
  node_.Hear(2, 3, AppendRequest{.commit = 1, .entries = {removal}});
  const Message late(3, 1, 1, Heartbeat{});
  bool again = false;
  for (int turn = 0; turn < 100 && !again; ++turn) {
    const uint32_t silence = node_->election_elapsed();
    const raft::StepInvariants before(node_.raft());
    rules_.BeforeTurn(node_.raft());
    rules_.Hears(late);
    node_->Tick();
    node_.Hear(3, 1, Heartbeat{});
    EXPECT_EQ(rules_.AfterTurn(node_.raft(), before, /*moved=*/true, false, false).value_or(""),
              "");
    again = node_->election_elapsed() < silence;
  }
  EXPECT_TRUE(again);
  EXPECT_EQ(node_->term(), 3u) << "it has not campaigned";
}

TEST_F(RulesTest, ARefusalSaysWhatIsCommitted) {
  ASSERT_EQ(Hears(2, 1, AppendRequest{.entries = {raft::Command(1, 1, "x")}}), "");
  const VoteResponse refusal{.rejected = true, .commit = 1, .commit_term = 1};
  EXPECT_THAT(Ignores(3, 1, refusal), HasSubstr("still takes 0 for the last"));
  EXPECT_EQ(Ignores(9, 1, refusal), "") << "it is no member";
  const VoteResponse further{.rejected = true, .commit = 9, .commit_term = 1};
  EXPECT_THAT(Ignores(3, 1, further), HasSubstr("has it up to 1, and still takes 0"));
  EXPECT_EQ(Hears(3, 1, refusal), "");
}

TEST_F(RulesTest, WhoHearsALeaderNeedNotLearnFromARefusal) {
  for (const bool check_quorum : {false, true}) {
    raft::Options options = raft::TestOptions();
    options.check_quorum = check_quorum;
    Solo node(raft::FoundingDisk({1, 2, 3}), options);
    node.Hear(2, 1, AppendRequest{.entries = {raft::Command(1, 1, "x")}});
    node.Settle();
    const raft::StepInvariants before(node.raft());
    const Message refusal(3, 1, 2, VoteResponse{.rejected = true, .commit = 1, .commit_term = 1});
    rules_ = Rules();
    rules_.BeforeTurn(node.raft());
    rules_.Hears(refusal);
    EXPECT_NE(rules_.AfterTurn(node.raft(), before, /*moved=*/true, false, false).has_value(),
              check_quorum);
  }
}

TEST_F(RulesTest, AnOrderOfAnOldLeaderIsNone) {
  ASSERT_EQ(Hears(2, 3, Heartbeat{}), "");
  const Message late(3, 1, 1, TimeoutNow{});
  EXPECT_THAT(Turn(&late, [&] { node_.Hear(2, 3, TimeoutNow{}); }),
              HasSubstr("because a leader of term 1, node 3"));
}

TEST_F(RulesTest, ARefusedCandidateDoesNotStartTheElectionTimerAgain) {
  node_.Hear(3, 1, AppendRequest{.entries = {raft::Command(1, 1, "x")}});
  node_.Settle();
  node_->ForgetLeader();
  node_.Ticks(3);
  const Message useless(2, 1, 3, VoteRequest{});
  EXPECT_EQ(Hears(2, 3, VoteRequest{}), "");
  EXPECT_EQ(node_->election_elapsed(), 3u) << "although it moves to another term";
  // As if the request that got a vote had been one that did not.
  node_.Ticks(1);
  EXPECT_THAT(
      Turn(&useless, [&] { node_.Hear(3, 3, VoteRequest{.last_index = 1, .last_term = 1}); }),
      HasSubstr("gives node 2 no vote, and lets it start its election timer again"));
}

TEST_F(RulesTest, AHandOverEnds) {
  node_.BecomeLeader({2});
  ASSERT_EQ(node_->TransferLeadership(2), raft::Outcome::kOk);
  std::string wrong;
  uint32_t ticks = 0;
  const uint32_t timeout = node_->options().election_ticks;
  // Time that passes, and that the node does not hear of.
  while (wrong.empty() && ++ticks < 2 * timeout) {
    wrong = Turn(nullptr, [&] { node_->SkipTicks(1); });
  }
  EXPECT_THAT(wrong, HasSubstr("hands over to node 2 for"));
  EXPECT_GT(ticks, timeout);
}

TEST_F(RulesTest, OneHandOverMayFollowAnother) {
  node_.BecomeLeader({2});
  for (uint32_t ticks = 0; ticks < 5 * node_->options().election_ticks; ++ticks) {
    EXPECT_EQ(Turn(nullptr,
                   [&] {
                     node_->Tick();
                     if (ticks % 2 == 0) node_.Accept(3, 1);  // somebody hears it
                     if (node_->transfer_target() == raft::kNoNode) node_->TransferLeadership(2);
                   }),
              "");
  }
}

TEST_F(RulesTest, NothingIsAppendedDuringAHandOver) {
  node_.BecomeLeader({2});
  ASSERT_EQ(node_->TransferLeadership(2), raft::Outcome::kOk);
  Solo appended(raft::FoundingDisk({1, 2, 3}));
  appended.BecomeLeader({2});
  appended->Propose(raft::Payload::Copy("x"));
  ASSERT_EQ(appended->TransferLeadership(2), raft::Outcome::kOk);
  EXPECT_THAT(Becomes(appended), HasSubstr("appends entry 2 while it hands over to node 2"));
}

TEST_F(RulesTest, ANewLeaderWaitsForAnswersAsLongAsOthersDo) {
  Solo leader(raft::FoundingDisk({1, 2, 3}));
  leader.BecomeLeader({2});
  EXPECT_EQ(Becomes(leader), "");
  leader->Tick();
  EXPECT_THAT(Becomes(leader), HasSubstr("less than an election timeout"));
}

TEST_F(RulesTest, ProbingDoesNotGoForward) {
  Solo fresh(raft::FoundingDisk({1, 2, 3}));
  for (Solo* leader : {&node_, &fresh}) {
    leader->Hear(3, 1,
                 AppendRequest{.entries = {raft::Command(1, 1, "x"), raft::Command(1, 2, "y")}});
    leader->Settle();
    leader->BecomeLeader({2});
  }
  EXPECT_EQ(Becomes(fresh), "");
  node_.Hear(2, 2, AppendResponse{.index = 2, .rejected = true, .hint_index = 0});
  node_.Settle();
  EXPECT_THAT(Becomes(fresh), HasSubstr("goes on at entry 3"));
}

TEST_F(RulesTest, ALateRefusalIsNoNews) {
  node_.BecomeLeader({2});
  node_.Accept(2, 1);
  node_.Settle();
  const auto* peer = node_->progress()->Find(2);
  ASSERT_EQ(peer->state, raft::ProgressState::kReplicate);
  const AppendResponse late{.index = 1, .rejected = true, .hint_index = 0};
  EXPECT_EQ(Hears(2, 1, late), "");
  const Message message(2, 1, 1, late);
  EXPECT_THAT(Turn(&message, [peer] { const_cast<raft::Progress*>(peer)->BecomeProbe(); }),
              HasSubstr("refused entry 1 once, and it has acknowledged entry 1 since"));
}

// A node whose disk has lost the end of its log, up to entry 7 of term 1.
class DamagedNodeTest : public RulesTest {
 protected:
  DamagedNodeTest() {
    raft::MemoryDisk disk = raft::FoundingDisk({1, 2, 3});
    disk.hard_state.term = 1;
    disk.entries = raft::Commands(1, {1, 1, 1});
    disk.suspicion = raft::Suspicion{7, 1, {}};
    node_.node() = raft::MemoryNode(raft::TestOptions(), std::move(disk), /*seed=*/1);
  }
};

TEST_F(DamagedNodeTest, ARefusalTellsOfTheLoss) {
  const Message append(2, 1, 1, AppendRequest{/*prev_index=*/5, /*prev_term=*/1, /*commit=*/0, {}});
  EXPECT_EQ(Hears(2, 1, append.body), "");
  const Message hides(1, 2, 1, AppendResponse{.index = 5, .rejected = true});
  EXPECT_THAT(Turn(&append,
                   [&] {
                     node_.Hear(2, 1, append.body);
                     rules_.Says(hides);
                   }),
              HasSubstr("does not say that its disk has lost entries up to 7"));
}

TEST_F(DamagedNodeTest, AVoteIsForWhoHasWhatIsLost) {
  const auto votes = [&](raft::Index last, Term last_term) {
    // It is said to have been asked by one that has less than who gets its vote.
    const Term term = node_->term() + 1;
    const Message asks(2, 1, term, VoteRequest{.last_index = last, .last_term = last_term});
    return Turn(&asks, [&] {
      node_.Hear(2, term, VoteRequest{.last_index = 7, .last_term = 1});
      EXPECT_EQ(node_->vote(), 2u);
    });
  };
  EXPECT_EQ(votes(7, 1), "");
  EXPECT_EQ(votes(1, 2), "");
  EXPECT_EQ(Hears(3, 1, VoteRequest{.last_index = 3, .last_term = 1}), "") << "gets no vote";
  EXPECT_EQ(Hears(2, node_->term(), VoteRequest{.last_index = 3, .last_term = 1}), "") << "has it";
  EXPECT_THAT(votes(6, 1), HasSubstr("may have lost entries up to (7, term 1), and votes for node "
                                     "2, whose log ends with (6, term 1)"));
}

TEST_F(DamagedNodeTest, AHeartbeatTellsOnlyOfWhatAppendsHaveShown) {
  const auto append = [](raft::Index prev, raft::Index commit, raft::Entries entries = {}) {
    return AppendRequest{prev, /*prev_term=*/1, commit, std::move(entries)};
  };
  // It is said to have learnt it from a heartbeat, and has from an append.
  const auto learns = [&](Term term, raft::Index commit) {
    const Message heartbeat(2, 1, term, Heartbeat{.commit = commit});
    return Turn(&heartbeat, [&] {
      node_.Hear(2, term, append(commit, commit));
      node_.Hear(2, term, Heartbeat{});
    });
  };
  EXPECT_EQ(Hears(2, 1, append(1, 0)), "");
  EXPECT_EQ(learns(1, 1), "");
  const Rules before = rules_;
  EXPECT_THAT(learns(1, 2), HasSubstr("takes from a heartbeat of node 2 that entry 2 is committed, "
                                      "and the leader of term 1 has shown it none behind 1"));
  rules_ = before;
  EXPECT_EQ(Hears(2, 1, append(3, 0, {raft::Command(1, 4, "x")})), "");
  EXPECT_EQ(learns(1, 4), "");
  EXPECT_EQ(Hears(2, 1, append(6, 0)), "") << "not there";
  EXPECT_EQ(Hears(2, 1, append(4, 0, {raft::Command(1, 5, "x")})), "");
  EXPECT_EQ(Hears(2, 2, AppendRequest{/*prev_index=*/4, /*prev_term=*/2, /*commit=*/0, {}}), "")
      << "another log";
  EXPECT_EQ(Hears(3, 1, append(3, 0)), "") << "of a leader that is none any more";
  EXPECT_THAT(learns(2, 5), HasSubstr("the leader of term 2 has shown it none behind 0"));
}

TEST_F(DamagedNodeTest, AppendsThatComeTogetherShowAsMuch) {
  const auto append = [](raft::Index prev, raft::Entries entries) {
    return Message(2, 1, 1, AppendRequest{prev, /*prev_term=*/1, /*commit=*/0, std::move(entries)});
  };
  EXPECT_EQ(
      HearsTogether({append(3, {raft::Command(1, 4, "x")}), append(4, {raft::Command(1, 5, "x")}),
                     Message(3, 1, 1, ReadIndexRequest{7})}),
      "");
  EXPECT_EQ(Hears(2, 1, Heartbeat{.commit = 5}), "");
  EXPECT_EQ(node_->commit(), 5u);
}

TEST_F(RulesTest, AnAppendTellsOfNothingBehindIt) {
  ASSERT_EQ(Hears(2, 1, AppendRequest{.entries = raft::Commands(1, {1, 1})}), "");
  const Message shorter(2, 1, 1,
                        AppendRequest{/*prev_index=*/1, /*prev_term=*/1, /*commit=*/2, {}});
  EXPECT_EQ(Hears(2, 1, shorter.body), "");
  EXPECT_EQ(node_->commit(), 1u);
  EXPECT_THAT(
      Turn(&shorter,
           [&] {
             node_.Hear(2, 1, AppendRequest{/*prev_index=*/2, /*prev_term=*/1, /*commit=*/2, {}});
           }),
      HasSubstr("takes from an append of node 2 up to entry 1 that entry 2 is committed"));
}

TEST_F(RulesTest, AHeartbeatTellsOfAllThatWasAcknowledged) {
  ASSERT_EQ(Hears(2, 1, AppendRequest{.entries = {raft::Command(1, 1, "x")}}), "");
  node_.Settle();
  EXPECT_EQ(Hears(3, 2, Heartbeat{.commit = 1}), "");
  EXPECT_EQ(node_->commit(), 1u);
}

TEST_F(RulesTest, ANewerSnapshotStaysOnOffer) {
  Solo other(raft::FoundingDisk({1, 2, 3}));
  EXPECT_EQ(Becomes(other), "");
  node_.Hear(2, 1, AppendRequest{.commit = 1, .entries = {raft::Command(1, 1, "x")}});
  node_.Settle();
  ASSERT_EQ(node_->offered_snapshot().index, 1u);
  EXPECT_THAT(Becomes(other), HasSubstr("offers the snapshot of entry 0 after that of entry 1"));
}

TEST_F(RulesTest, AnAnswerConfirmsTheRoundThatItNames) {
  ASSERT_EQ(Hears(2, 1, Heartbeat{}), "");
  node_.BecomeLeader({2});
  node_.Accept(2, 1);
  node_.Settle();
  ASSERT_EQ(node_->RequestRead(1), raft::Outcome::kOk);
  const Message old(2, 1, 2, HeartbeatResponse{0});
  EXPECT_THAT(Turn(&old, [&] { node_.Hear(2, 2, HeartbeatResponse{1}); }),
              HasSubstr("counts the answer of node 2 to round 0 of term 2 as one to round 1"));
  // Rounds begin anew with each leader.
  EXPECT_EQ(Hears(3, 1, HeartbeatResponse{1}), "");
  const Message older(3, 1, 1, HeartbeatResponse{1});
  EXPECT_THAT(Turn(&older, [&] { node_.Hear(3, 2, HeartbeatResponse{1}); }),
              HasSubstr("counts the answer of node 3 to round 1 of term 1 as one to round 1"));
  EXPECT_EQ(Hears(3, 2, HeartbeatResponse{1}), "");
}

TEST_F(RulesTest, WhoNeedsASnapshotIsOfferedIt) {
  ASSERT_EQ(Hears(2, 1, Heartbeat{}), "");
  node_.BecomeLeader({2});
  node_.Accept(3, 1);
  node_->Propose(raft::Payload::Copy("x"));
  node_.Settle();
  node_.Accept(2, 2);
  node_.Settle();
  node_.node().Compact(2);
  ASSERT_EQ(node_->log().base(), node_->log().last());
  node_->ReportUnreachable(3);
  // What it said to an earlier leader does not count.
  EXPECT_EQ(Hears(3, 1, HeartbeatResponse{}), "");
  EXPECT_THAT(Ignores(3, 2, HeartbeatResponse{}),
              HasSubstr("hears from node 3, which needs a snapshot, and offers none"));
  EXPECT_EQ(Hears(3, 2, HeartbeatResponse{}), "");
}

TEST_F(RulesTest, WhoCanGoOnWithTheLogIsSentIt) {
  node_.BecomeLeader({2});
  node_.Accept(2, 1);
  node_.Accept(3, 1);
  node_.Settle();
  node_.node().Compact(1);
  ASSERT_EQ(node_->log().base(), 1u);
  auto* peer = const_cast<raft::Progress*>(node_->progress()->Find(3));
  const Message message(3, 1, 1, AppendResponse{.index = 1});
  EXPECT_THAT(Turn(&message, [peer] { peer->state = raft::ProgressState::kSnapshot; }),
              HasSubstr("sends node 3 nothing but a snapshot, although that one has acknowledged "
                        "entry 1"));
}

TEST_F(RulesTest, AnOldSnapshotIsNotInstalled) {
  raft::MemoryDisk disk = raft::FoundingDisk({1, 2, 3});
  disk.snapshot.meta.index = 5;
  disk.snapshot.meta.term = 1;
  Solo older(disk);
  disk.snapshot.meta.index = 7;
  Solo newer(disk);
  const raft::StepInvariants before(newer.raft());
  const Message message(2, 1, 1, raft::InstallSnapshot{older->offered_snapshot()});
  rules_.BeforeTurn(newer.raft());
  rules_.Hears(message);
  EXPECT_THAT(rules_.AfterTurn(older.raft(), before, /*moved=*/true, false, false).value_or(""),
              HasSubstr("installs the snapshot of entry 5, and has committed entry 7"));
}

TEST_F(RulesTest, AConfigurationIsThatOfWhatIsApplied) {
  Solo others(raft::FoundingDisk({1, 2}));
  EXPECT_THAT(Becomes(others), HasSubstr("changes its configuration and has applied nothing"));
  Solo nobody(raft::FoundingDisk({}));
  EXPECT_THAT(Becomes(nobody), HasSubstr("without voters"));
}

TEST_F(RulesTest, WhoIsRemovedLeadsNoMore) {
  Solo removed(raft::FoundingDisk({1, 2, 3}));
  removed.BecomeLeader({2});
  const_cast<raft::ConfState&>(removed->conf()).voters = {2, 3};
  EXPECT_THAT(Becomes(removed), HasSubstr("applies its own removal and goes on leading term 1"));
  const_cast<raft::Options&>(removed->options()).step_down_on_removal = false;
  EXPECT_THAT(Becomes(removed), Not(HasSubstr("own removal"))) << "it is told to go on";
}

TEST_F(RulesTest, ACommitIsWhatAMajorityHasSaid) {
  node_.BecomeLeader({2});
  Solo later(raft::FoundingDisk({1, 2, 3}));
  later.BecomeLeader({2});
  later.Accept(2, 1);
  later.Settle();
  ASSERT_EQ(later->commit(), 1u);
  EXPECT_EQ(Becomes(later), "");
  later.Hear(2, 1, AppendResponse{.index = 1, .rejected = true, .hint_index = 0, .lost = true});
  later.Settle();
  EXPECT_THAT(Becomes(later), HasSubstr("commits entry 1; its voters have shown to have no more "
                                        "than entry 0"));
}

TEST_F(RulesTest, WhoIsRemovedByItsOwnAnswerIsHeardInItsTerm) {
  ASSERT_EQ(Hears(2, 1, Heartbeat{}), "");
  node_.BecomeLeader({2});
  node_.Accept(2, 1);
  node_.Settle();
  const raft::MembershipChange removal = raft::OneChange(raft::MemberChange::Kind::kRemove, 3);
  ASSERT_EQ(node_->ProposeMembership(removal).outcome, raft::Outcome::kOk);
  node_.Settle();
  const Message old(3, 1, 1, AppendResponse{.index = 2});
  EXPECT_THAT(Turn(&old, [&] { node_.Hear(3, 2, AppendResponse{.index = 2}); }),
              HasSubstr("commits entry 2; its voters have shown to have no more than entry 1"));
  EXPECT_EQ(node_->conf().voters, (std::vector<NodeId>{1, 2}));
}

TEST_F(RulesTest, WhatIsRefusedIsNotHeard) {
  const Message message(2, 1, 4, Heartbeat{});
  const raft::StepInvariants before(node_.raft());
  rules_.BeforeTurn(node_.raft());
  rules_.Hears(message);
  EXPECT_EQ(
      rules_.AfterTurn(node_.raft(), before, /*moved=*/true, /*refused=*/true, false).value_or(""),
      "");
}

}  // namespace
}  // namespace raftkv::sim
