// Turns of a replica that hear more than one thing, as the drivers of a busy node have them, and
// frames that an honest peer does not send.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"
#include "tests/replica/replica_cluster.h"

namespace raftkv::replica {
namespace {

class TurnTest : public ::testing::Test {
 protected:
  explicit TurnTest(size_t nodes = 3, std::function<void(Options&)> tune = {})
      : cluster_(nodes, std::move(tune)), leader_(cluster_.Leader()) {
    for (const auto& [id, node] : cluster_.nodes) {
      if (id != leader_) followers_.push_back(id);
    }
    cluster_.Settle();
  }

  Replica& leader() { return cluster_[leader_]; }
  raft::Term term() { return leader().raft().term(); }

  void Hears(raft::NodeId to, raft::NodeId from, wire::PeerBody body) {
    cluster_.Hears(to, from, std::move(body));
  }
  void Hears(raft::NodeId to, raft::NodeId from, raft::Term term, raft::MessageBody body) {
    Hears(to, from, raft::Message{from, to, term, std::move(body)});
  }

  // What the turn of a node says, of one kind.
  template <typename Body>
  std::vector<Body> Says(const Work& work) {
    std::vector<Body> said;
    for (const Work::Frame& frame : work.frames) {
      absl::StatusOr<wire::PeerMessage> message =
          wire::DecodePeer(absl::string_view(frame.bytes).substr(wire::kFrameHeaderSize));
      EXPECT_TRUE(message.ok()) << message.status();
      if (!message.ok()) continue;
      if constexpr (std::is_constructible_v<raft::MessageBody, Body>) {
        const auto* consensus = std::get_if<raft::Message>(&message->body);
        if (consensus == nullptr) continue;
        if (const auto* body = std::get_if<Body>(&consensus->body)) said.push_back(*body);
      } else {
        if (const auto* body = std::get_if<Body>(&message->body)) said.push_back(*body);
      }
    }
    return said;
  }

  Cluster cluster_;
  raft::NodeId leader_;
  std::vector<raft::NodeId> followers_;
};

// --- A leader that hears of the next one, and something else before it can look up

class SendingTurnTest : public TurnTest {
 protected:
  SendingTurnTest()
      : TurnTest(3, [](Options& options) {
          options.snapshots.minimum_bytes = 4'000;
          options.snapshots.state_percent = 0;
          options.trailing_log_bytes = 0;
          options.snapshot_chunk_bytes = 1'024;
        }) {
    lagging_ = followers_.back();
    cluster_.Kill(lagging_);
    for (int i = 0; i < 100; ++i)
      EXPECT_EQ(cluster_.Ask(leader_, {"SET", "k", std::string(150, 'a')}), "+OK\r\n");
    EXPECT_GT(leader().raft().log().first(), 2u) << "it needs a snapshot";
    cluster_.hold_disk.insert(leader_);
  }
  void HearOfTheNext() { Hears(leader_, followers_.front(), term() + 1, raft::Heartbeat{}); }
  // A late answer of who lags: the leader offers it a snapshot.
  void HearWhoLags() {
    Hears(leader_, lagging_, term(),
          raft::AppendResponse{
              .index = leader().raft().log().last(), .rejected = true, .hint_index = 1});
  }

  raft::NodeId lagging_ = 0;
};

// Its follower would have taken it for the leader of that term.
TEST_F(SendingTurnTest, AChunkThatIsReadIsOfTheTermInWhichItWasAskedFor) {
  HearWhoLags();
  Work work = leader().TakeWork();
  ASSERT_EQ(work.jobs.size(), 1u);
  ASSERT_TRUE(std::holds_alternative<ReadSnapshot>(work.jobs[0].body));
  const JobResult read = storage::RunJob(*cluster_.nodes.at(leader_).storage, work.jobs[0]);
  ASSERT_TRUE(read.status.ok()) << read.status;
  HearOfTheNext();
  leader().JobDone(read);
  EXPECT_TRUE(Says<wire::SnapshotChunk>(leader().TakeWork()).empty());
}

TEST_F(SendingTurnTest, AChunkIsSentByWhoStillLeads) {
  HearWhoLags();
  Work work = leader().TakeWork();
  ASSERT_EQ(work.jobs.size(), 1u);
  leader().JobDone(storage::RunJob(*cluster_.nodes.at(leader_).storage, work.jobs[0]));
  const std::vector<wire::SnapshotChunk> chunks = Says<wire::SnapshotChunk>(leader().TakeWork());
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].term, term());
}

TEST_F(SendingTurnTest, NoTransferBeginsThatTheNextLeaderWouldNotKnowOf) {
  HearWhoLags();
  HearOfTheNext();
  const Work work = leader().TakeWork();
  for (const Job& job : work.jobs) EXPECT_FALSE(std::holds_alternative<ReadSnapshot>(job.body));
}

// A follower whose disk is full says so of each first chunk.
TEST_F(SendingTurnTest, AfterATransferThatFailedThereIsAPause) {
  cluster_.hold_disk.clear();
  uint64_t chunks = 0;
  cluster_.tap = [&](const wire::PeerMessage& message) {
    const auto* chunk = std::get_if<wire::SnapshotChunk>(&message.body);
    if (chunk == nullptr) return;
    ++chunks;
    Hears(leader_, lagging_,
          wire::SnapshotAck{chunk->transfer, wire::SnapshotAckStatus::kFailed, 0});
  };
  HearWhoLags();
  for (int i = 0; i < 300; ++i) {
    cluster_.Run(10);
    Hears(leader_, lagging_, term(), raft::HeartbeatResponse{});
  }
  EXPECT_GE(chunks, 3u);
  EXPECT_LE(chunks, 4u) << "one a second, as chunks are sent again";
}

// --- Forwarding

// Whoever says no may have to say no again: it may lead that term yet.
TEST_F(TurnTest, WhoMayStillLeadATermDoesNotRefuseForIt) {
  const raft::NodeId node = followers_[0], other = followers_[1];
  uint64_t id = 1'000'000;
  const auto answers = [&](raft::Term term) {
    Hears(node, other,
          wire::ForwardRequest{++id, term, wire::ForwardKind::kCommand, IncrementOf("n")});
    return Says<wire::ForwardReply>(cluster_[node].TakeWork());
  };
  ASSERT_EQ(answers(term()).size(), 1u) << "another one leads it";
  EXPECT_TRUE(answers(term() + 1).empty()) << "of which it knows nothing";
  Hears(node, leader_, term(), raft::TimeoutNow{});
  (void)cluster_[node].TakeWork();
  ASSERT_EQ(cluster_[node].raft().role(), raft::RoleName::kCandidate);
  EXPECT_TRUE(answers(cluster_[node].raft().term()).empty()) << "which it may win";
}

// Nobody looks at what is in it.
TEST_F(TurnTest, AProposalThatIsForwardedToTheCoreItselfIsNotTaken) {
  const raft::Index before = leader().raft().log().last();
  Hears(leader_, followers_[0], 0,
        raft::ForwardedProposal{
            {raft::Entry{0, 0, raft::Payload::Copy("anything"), raft::EntryType::kCommand}}});
  cluster_.Settle();
  EXPECT_EQ(leader().raft().log().last(), before);
}

// Numbers of which an honest leader gives none.
TEST_F(TurnTest, AnAnswerOfWhichTheSumMeansNothingIsNotAdded) {
  const raft::NodeId node = followers_[0];
  const ClientId client = cluster_.Connect(node);
  cluster_.Say(node, client, {"DEL", "a", "b"});
  const std::vector<wire::ForwardRequest> asked =
      Says<wire::ForwardRequest>(cluster_[node].TakeWork());
  ASSERT_EQ(asked.size(), 1u);
  kv::Result result;
  result.index = 9;
  result.ops = {INT64_MAX, INT64_MAX};
  Hears(node, leader_,
        wire::ForwardReply{.id = asked[0].id,
                           .outcome = wire::ForwardOutcome::kApplied,
                           .reason = wire::ForwardReason::kNone,
                           .leader = leader_,
                           .index = 9,
                           .result = kv::EncodeResult(result),
                           .text = {}});
  cluster_.Settle();
  EXPECT_TRUE(absl::StartsWith(cluster_.Heard(node, client), "-"));
}

// What a client asks later does not overtake what it asked before, when the turn that brings it
// brings the next leader, too.
TEST_F(TurnTest, WhatWaitsForALeaderGoesFirst) {
  const raft::NodeId node = followers_[0], next = followers_[1];
  const ClientId client = cluster_.Connect(node);
  cluster_.Kill(leader_);
  cluster_.Kill(next);
  cluster_.Run(1'000);
  ASSERT_EQ(cluster_[node].raft().leader(), raft::kNoNode);
  cluster_.Say(node, client, {"SET", "k", "first"});
  (void)cluster_[node].TakeWork();
  Hears(node, next, cluster_[node].raft().term() + 1, raft::Heartbeat{});
  cluster_.Say(node, client, {"SET", "k", "second"});
  const std::vector<wire::ForwardRequest> sent =
      Says<wire::ForwardRequest>(cluster_[node].TakeWork());
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_TRUE(absl::StrContains(sent[0].command.view(), "first"));
  EXPECT_TRUE(absl::StrContains(sent[1].command.view(), "second"));
}

// --- Reads

// Otherwise the two go on as fast as the network does, for as long as nobody can be elected.
TEST_F(TurnTest, ARefusedReadIsAskedForAgainWithTheNextTick) {
  const raft::NodeId node = followers_[0];
  const ClientId client = cluster_.Connect(node);
  cluster_.Say(node, client, {"GET", "k"});
  const auto asked = [&] { return Says<raft::ReadIndexRequest>(cluster_[node].TakeWork()); };
  const std::vector<raft::ReadIndexRequest> first = asked();
  ASSERT_EQ(first.size(), 1u);
  Hears(node, leader_, term(), raft::ReadIndexResponse{first[0].context, 0, true});
  EXPECT_TRUE(asked().empty());
  cluster_.now_us += 20'000;
  cluster_[node].AdvanceTime(cluster_.now_us, 1'700'000'000'000 + cluster_.now_us / 1000);
  EXPECT_EQ(asked().size(), 1u);
  cluster_.Run(200);
  EXPECT_EQ(cluster_.Heard(node, client), "$-1\r\n");
}

TEST_F(TurnTest, ARefusedReadIsAskedOfTheNextLeaderAtOnce) {
  const raft::NodeId node = followers_[0], next = followers_[1];
  const ClientId client = cluster_.Connect(node);
  cluster_.Say(node, client, {"GET", "k"});
  const std::vector<raft::ReadIndexRequest> first =
      Says<raft::ReadIndexRequest>(cluster_[node].TakeWork());
  ASSERT_EQ(first.size(), 1u);
  Hears(node, leader_, term(), raft::ReadIndexResponse{first[0].context, 0, true});
  EXPECT_TRUE(Says<raft::ReadIndexRequest>(cluster_[node].TakeWork()).empty());
  Hears(node, next, term() + 1, raft::Heartbeat{});
  EXPECT_EQ(Says<raft::ReadIndexRequest>(cluster_[node].TakeWork()).size(), 1u);
}

// --- Members

TEST_F(TurnTest, AClusterHasAtMostAsManyMembersAsItsMessagesHold) {
  const auto add = [&](raft::NodeId id) {
    return cluster_.Ask(leader_,
                        {"KV.MEMBER", "ADD", absl::StrCat(id), absl::StrCat("127.0.0.1:", id),
                         "127.0.0.1:99", absl::StrCat(id)});
  };
  for (raft::NodeId id = 4; id <= wire::kMaxMembers; ++id) ASSERT_EQ(add(id), "+OK\r\n") << id;
  EXPECT_TRUE(absl::StrContains(add(wire::kMaxMembers + 1), "at most 64 members"));
  EXPECT_EQ(cluster_.Ask(leader_, {"KV.MEMBER", "REMOVE", "9"}), "+OK\r\n");
  EXPECT_EQ(add(wire::kMaxMembers + 1), "+OK\r\n");
}

}  // namespace
}  // namespace raftkv::replica
