// A node that keeps the rules is left alone; one that has not done with a message what it should
// have is found. The second is a real node, too: the message is shown to the rules and not to it.
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

class RulesTest : public ::testing::Test {
 protected:
  // A turn of node 1 in which it really does `deed`, and is said to have heard `message`.
  std::string Turn(const Message* message, const std::function<void()>& deed, bool mute = false) {
    const raft::ConfState conf = node_->conf();
    rules_.BeforeTurn(node_.raft());
    if (message != nullptr) rules_.Hears(*message);
    deed();
    for (const Message& said : node_.Sent()) {
      if (!mute) rules_.Says(said);
    }
    return rules_.AfterTurn(node_.raft(), /*refused=*/false, conf, /*persists=*/false);
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

TEST_F(RulesTest, AHigherTermIsHeeded) {
  EXPECT_THAT(Ignores(2, 4, Heartbeat{}), HasSubstr("hears of term 4 from node 2"));
  EXPECT_THAT(Ignores(3, 4, AppendResponse{}), HasSubstr("stays in term 0"));
  EXPECT_EQ(Ignores(9, 4, AppendResponse{}), "") << "it is no member";
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
  rules_.BeforeTurn(node_.raft());
  rules_.Says(Message(1, 3, 2, VoteRequest{}));
  EXPECT_THAT(rules_.AfterTurn(node_.raft(), false, node_->conf(), false),
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

TEST_F(RulesTest, WhatIsRefusedIsNotHeard) {
  const Message message(2, 1, 4, Heartbeat{});
  rules_.BeforeTurn(node_.raft());
  rules_.Hears(message);
  EXPECT_EQ(rules_.AfterTurn(node_.raft(), /*refused=*/true, node_->conf(), false), "");
}

}  // namespace
}  // namespace raftkv::sim
