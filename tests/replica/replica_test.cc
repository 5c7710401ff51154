// The replica as its drivers see it: a few of them in one thread over simulated disks, messages
// delivered at once unless a test interferes.
#include "core/replica/replica.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"
#include "storage/snapshot_store.h"
#include "tests/replica/replica_cluster.h"

namespace raftkv::replica {
namespace {

TEST(ReplicaTest, OneNodeServes) {
  Cluster cluster(1);
  cluster.Leader();
  EXPECT_EQ(cluster.Ask(1, {"SET", "k", "v"}), "+OK\r\n");
  EXPECT_EQ(cluster.Ask(1, {"GET", "k"}), "$1\r\nv\r\n");
  EXPECT_EQ(cluster.Ask(1, {"INCR", "n"}), ":1\r\n");
}

TEST(ReplicaTest, EveryNodeServesWritesAndReads) {
  Cluster cluster(3);
  cluster.Leader();
  int i = 0;
  for (const raft::NodeId writer : {1u, 2u, 3u}) {
    for (const raft::NodeId reader : {1u, 2u, 3u}) {
      const std::string value = absl::StrCat(++i);
      EXPECT_EQ(cluster.Ask(writer, {"SET", "k", value}), "+OK\r\n");
      EXPECT_EQ(cluster.Ask(reader, {"GET", "k"}), absl::StrCat("$1\r\n", value, "\r\n"));
    }
  }
  cluster.Run(200);
  EXPECT_EQ(cluster[1].Status().digest, cluster[2].Status().digest);
  EXPECT_EQ(cluster[1].Status().digest, cluster[3].Status().digest);
}

// Wherever a round trip takes longer than the patience for one question, an answer always comes to
// one that has been asked again meanwhile. It is as good.
TEST(ReplicaTest, AReadPointMayTakeLongerThanTheNextQuestion) {
  Cluster cluster(3, [](Options& options) {
    options.read_retry_ms = 20;
    options.raft.election_ticks = 100;
  });
  const raft::NodeId leader = cluster.Leader();
  const raft::NodeId follower = cluster.Follower();
  cluster.Settle();
  cluster.delay_us = 40'000;
  EXPECT_EQ(cluster.Ask(follower, {"GET", "k"}), "$-1\r\n");
  EXPECT_EQ(cluster.Ask(leader, {"GET", "k"}), "$-1\r\n");
}

// The first questions, or their answers, are lost.
TEST(ReplicaTest, AReadPointIsAskedForAgain) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  const raft::NodeId follower = cluster.Follower();
  const ClientId client = cluster.Connect(follower);
  for (const bool question : {true, false}) {
    cluster.drop = [&](raft::NodeId from, raft::NodeId to) {
      return question ? from == follower && to == leader : from == leader && to == follower;
    };
    cluster.Say(follower, client, {"GET", "k"});
    cluster.Run(50);
    EXPECT_EQ(cluster.Heard(follower, client), "");
    cluster.drop = {};
    cluster.Run(200);
    EXPECT_EQ(cluster.Heard(follower, client), "$-1\r\n");
  }
}

TEST(ReplicaTest, NothingOfATurnThatIsOverIsInTheWorkOfTheNext) {
  Cluster cluster(1);
  cluster.Settle();
  Work work{.frames = {{2, "frame"}},
            .jobs = {Job{7, ReserveSpace{}}},
            .output = {{1, "output"}},
            .close = {1},
            .pause = {{1, true}},
            .events = {DiskSpace{true}},
            .members_changed = true,
            .restart = true};
  cluster[1].TakeWork(&work);
  EXPECT_TRUE(work.empty());
}

TEST(ReplicaTest, RepliesKeepTheOrderOfRequests) {
  Cluster cluster(3);
  for (const raft::NodeId id : {cluster.Leader(), cluster.Follower()}) {
    const ClientId client = cluster.Connect(id);
    cluster.Say(id, client, {"SET", "a", "1"});
    cluster.Say(id, client, {"PING"});
    cluster.Say(id, client, {"GET", "a"});
    cluster.Say(id, client, {"INCRBY", "a", "41"});
    cluster.Say(id, client, {"NOSUCH"});
    cluster.Run(500);
    const std::string heard = cluster.Heard(id, client);
    EXPECT_TRUE(absl::StartsWith(heard, "+OK\r\n+PONG\r\n")) << heard;
    EXPECT_TRUE(absl::StrContains(heard, ":42\r\n-ERR unknown command")) << heard;
  }
}

TEST(ReplicaTest, APipelineSeesItsOwnRequestsInOrder) {
  Cluster cluster(3);
  for (const raft::NodeId id : {cluster.Leader(), cluster.Follower()}) {
    const ClientId client = cluster.Connect(id);
    std::string expected;
    for (int i = 1; i <= 30; ++i) {
      cluster.Say(id, client, {"SET", "k", absl::StrCat(i)});
      cluster.Say(id, client, {"GET", "k"});
      cluster.Say(id, client, {"GET", "k"});
      cluster.Say(id, client, {"DEL", "k"});
      cluster.Say(id, client, {"GET", "k"});
      const std::string value = absl::StrCat("$", i < 10 ? 1 : 2, "\r\n", i, "\r\n");
      absl::StrAppend(&expected, "+OK\r\n", value, value, ":1\r\n$-1\r\n");
    }
    cluster.Run(1'000);
    EXPECT_EQ(cluster.Heard(id, client), expected);
  }
}

TEST(ReplicaTest, ABrokenLinkToTheLeaderIsToldAtOnceAndSessionsCarryOn) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  const raft::NodeId follower = cluster.Follower();
  const std::string session = cluster.OpenSession(follower);
  const ClientId plain = cluster.Connect(follower);
  const ClientId in_session = cluster.Connect(follower);
  cluster.drop = [&](raft::NodeId from, raft::NodeId to) { return from == leader || to == leader; };
  cluster.Say(follower, plain, {"INCR", "n"});
  cluster.Say(follower, in_session, {"KV.SESSION", "RUN", session, "1", "INCR", "m"});
  cluster.Settle();
  cluster[follower].PeerUnreachable(leader);
  cluster.Settle();
  EXPECT_TRUE(absl::StartsWith(cluster.Heard(follower, plain), "-UNKNOWN "));
  EXPECT_EQ(cluster.Heard(follower, in_session), "");
  cluster.Run(3'000);
  EXPECT_EQ(cluster.Heard(follower, in_session), ":1\r\n") << "by the next leader";
}

// A simulation found this one: the node repeated a forwarded command by itself, the session had
// been evicted in between, and the client was told that its one try had not been executed, while
// the first copy had been.
TEST(ReplicaTest, WhatIsSaidOfASecondCopyIsNotSaidOfTheCommand) {
  Cluster cluster(3, [](Options& options) { options.store.sessions.max_sessions = 1; });
  const raft::NodeId leader = cluster.Leader();
  const raft::NodeId follower = cluster.Follower();
  const std::string session = cluster.OpenSession(follower);
  const ClientId client = cluster.Connect(follower);
  cluster.drop = [&](raft::NodeId from, raft::NodeId to) {
    return from == leader && to == follower;
  };
  cluster.Say(follower, client, {"KV.SESSION", "RUN", session, "1", "INCR", "n"});
  cluster.Settle();
  cluster.drop = {};
  EXPECT_EQ(cluster.Ask(leader, {"GET", "n"}), "$1\r\n1\r\n") << "applied, but the answer was lost";
  EXPECT_TRUE(absl::StartsWith(cluster.Ask(leader, {"KV.SESSION", "OPEN"}), ":"))
      << "evicts the first session";
  cluster[follower].PeerUnreachable(leader);
  cluster.Run(1'000);
  EXPECT_TRUE(absl::StartsWith(cluster.Heard(follower, client), "-UNKNOWN "));
}

// A simulation found this one: a link that loses a message now and then had the node send
// everything again each time, the leader appended each copy, and its log grew faster than the
// cluster could commit.
TEST(ReplicaTest, ALeaderAtWorkOnAForwardDoesNotBeginAgainWithACopy) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  const raft::NodeId follower = cluster.Follower();
  const std::string session = cluster.OpenSession(follower);
  const ClientId client = cluster.Connect(follower);
  for (raft::NodeId id = 1; id <= 3; ++id) {
    if (id != leader) cluster.hold_disk.insert(id);
  }
  const raft::Index before = cluster[leader].raft().log().last();
  cluster.Say(follower, client, {"KV.SESSION", "RUN", session, "1", "INCR", "n"});
  cluster.Settle();
  int repeated = 0;
  cluster.tap = [&](const wire::PeerMessage& message) {
    if (std::holds_alternative<wire::ForwardRequest>(message.body)) ++repeated;
  };
  for (int i = 0; i < 50; ++i) {
    cluster.Run(10);
    cluster[follower].PeerUnreachable(leader);
  }
  EXPECT_EQ(cluster[leader].raft().log().last(), before + 1);
  EXPECT_EQ(repeated, 5) << "every 100 ms";
  cluster.hold_disk.clear();
  cluster.Settle();
  EXPECT_EQ(cluster.Heard(follower, client), ":1\r\n");
}

TEST(ReplicaTest, AnAnswerThatIsLostIsGivenOnceMoreByTheSameLeader) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  const raft::NodeId follower = cluster.Follower();
  const std::string session = cluster.OpenSession(follower);
  const ClientId client = cluster.Connect(follower);
  const auto answers_are_lost = [&](raft::NodeId from, raft::NodeId to) {
    return from == leader && to == follower;
  };
  cluster.drop = answers_are_lost;
  cluster.Say(follower, client, {"KV.SESSION", "RUN", session, "1", "INCR", "n"});
  cluster.Settle();
  for (int i = 0; i < 3; ++i) {
    cluster[follower].PeerUnreachable(leader);
    cluster.Run(200);
    EXPECT_EQ(cluster.Heard(follower, client), "") << "this answer is lost, too";
  }
  const raft::Term term = cluster[leader].raft().term();
  cluster.drop = {};
  cluster[follower].PeerUnreachable(leader);
  cluster.Run(100);
  EXPECT_EQ(cluster.Heard(follower, client), ":1\r\n");
  EXPECT_EQ(cluster[leader].raft().term(), term);
  EXPECT_EQ(cluster.Ask(leader, {"GET", "n"}), "$1\r\n1\r\n");
}

// So that its leader need not remember the others.
TEST(ReplicaTest, AForwardSaysWhichIsTheOldestThatIsWaitedFor) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  const raft::NodeId follower = cluster.Follower();
  std::vector<wire::ForwardRequest> sent;
  cluster.tap = [&](const wire::PeerMessage& message) {
    if (const auto* request = std::get_if<wire::ForwardRequest>(&message.body))
      sent.push_back(*request);
  };
  for (int i = 0; i < 3; ++i) cluster.Ask(follower, {"INCR", "n"});
  ASSERT_EQ(sent.size(), 3u);
  for (const wire::ForwardRequest& request : sent) EXPECT_EQ(request.oldest, request.id);
  sent.clear();
  cluster.drop = [&](raft::NodeId from, raft::NodeId) { return from == leader; };
  for (int i = 0; i < 3; ++i) cluster.Say(follower, cluster.Connect(follower), {"INCR", "n"});
  cluster.Settle();
  ASSERT_EQ(sent.size(), 3u);
  for (const wire::ForwardRequest& request : sent) EXPECT_EQ(request.oldest, sent.front().id);
  EXPECT_NE(sent.front().id, sent.back().id);
}

// The leader learns from each forward which ones it can forget; a copy of those comes too late.
TEST(ReplicaTest, ALateCopyOfAForwardThatIsOverDoesNothing) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  const raft::NodeId follower = cluster.Follower();
  std::optional<wire::PeerMessage> forward;
  cluster.tap = [&](const wire::PeerMessage& message) {
    if (!forward && std::holds_alternative<wire::ForwardRequest>(message.body)) forward = message;
  };
  for (int i = 0; i < 3; ++i) cluster.Ask(follower, {"INCR", "n"});
  const raft::Index before = cluster[leader].raft().log().last();
  cluster.Hears(forward.value());
  cluster.Run(100);
  EXPECT_EQ(cluster[leader].raft().log().last(), before);
}

TEST(ReplicaTest, OnlyWhatIsInASessionAndCalledRepeatedIsRunAgainForItsAnswer) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  const raft::NodeId follower = cluster.Follower();
  uint64_t session = 0;
  ASSERT_TRUE(absl::SimpleAtoi(cluster.OpenSession(leader), &session));
  raft::MembershipChange update;
  update.changes.push_back({raft::MemberChange::Kind::kUpdate, follower});
  struct Case {
    wire::ForwardKind kind;
    raft::Payload command;
    bool repeated;
    raft::Index appended;  // by three copies
  };
  const Case cases[] = {
      {wire::ForwardKind::kCommand, IncrementOf("n"), true, 1},
      {wire::ForwardKind::kCommand, IncrementOf("n", session, 1), false, 1},
      {wire::ForwardKind::kCommand, IncrementOf("n", session, 1), true, 3},
      {wire::ForwardKind::kMembership, raft::Payload::Copy(raft::EncodeMembershipChange(update)),
       true, 2}};  // with the one behind a change
  uint64_t forward_id = 1'000'000;
  for (const Case& tried : cases) {
    ++forward_id;
    const raft::Index before = cluster[leader].raft().log().last();
    for (int copy = 0; copy < 3; ++copy) {
      cluster.Hears(leader, follower,
                    wire::ForwardRequest{forward_id, cluster[leader].raft().term(), tried.kind,
                                         tried.command, tried.repeated, forward_id});
      cluster.Run(100);
    }
    EXPECT_EQ(cluster[leader].raft().log().last(), before + tried.appended) << forward_id;
  }
  EXPECT_EQ(cluster.Ask(leader, {"GET", "n"}), "$1\r\n2\r\n");
}

TEST(ReplicaTest, NothingIsAcknowledgedBeforeAMajorityHasItOnDisk) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  const ClientId client = cluster.Connect(leader);
  for (raft::NodeId id = 1; id <= 3; ++id) {
    if (id != leader) cluster.hold_disk.insert(id);
  }
  cluster.Say(leader, client, {"SET", "k", "v"});
  cluster.Run(100);
  EXPECT_EQ(cluster.Heard(leader, client), "");
  cluster.hold_disk.clear();
  cluster.Settle();
  EXPECT_EQ(cluster.Heard(leader, client), "+OK\r\n");
}

TEST(ReplicaTest, AMajorityMayAcknowledgeBeforeTheLeadersOwnDisk) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  const ClientId client = cluster.Connect(leader);
  cluster.hold_disk.insert(leader);
  cluster.Say(leader, client, {"SET", "k", "v"});
  cluster.Settle();
  // Committed, but applied only once its own write is done: a crash must not take the log behind
  // the state.
  EXPECT_GT(cluster[leader].raft().commit(), cluster[leader].raft().applied());
  EXPECT_EQ(cluster.Heard(leader, client), "");
  cluster.hold_disk.clear();
  cluster.Settle();
  EXPECT_EQ(cluster.Heard(leader, client), "+OK\r\n");
}

TEST(ReplicaTest, AForwardedCommandThatIsDuplicatedRunsOnce) {
  Cluster cluster(3);
  const raft::NodeId follower = cluster.Follower();
  cluster.duplicate = true;
  for (int i = 1; i <= 20; ++i)
    EXPECT_EQ(cluster.Ask(follower, {"INCR", "n"}), absl::StrCat(":", i, "\r\n"));
}

TEST(ReplicaTest, WithoutALeaderACommandIsDefinitelyNotApplied) {
  Cluster cluster(3);
  const raft::NodeId survivor = cluster.Follower();
  for (raft::NodeId id = 1; id <= 3; ++id) {
    if (id != survivor) cluster.Kill(id);
  }
  cluster.Run(1'000);
  EXPECT_TRUE(absl::StartsWith(cluster.Ask(survivor, {"SET", "k", "v"}), "-NOTAPPLIED "))
      << "no leader is known";
  EXPECT_TRUE(absl::StartsWith(cluster.Ask(survivor, {"GET", "k"}), "-NOTAPPLIED "));
}

TEST(ReplicaTest, ADeposedLeaderSaysUnknownOrWhatBecameOfIt) {
  Cluster cluster(3);
  const raft::NodeId old_leader = cluster.Leader();
  cluster.drop = [&](raft::NodeId from, raft::NodeId to) {
    return from == old_leader || to == old_leader;
  };
  const ClientId client = cluster.Connect(old_leader);
  cluster.Say(old_leader, client, {"SET", "k", "lost"});
  cluster.Run(1'500);
  EXPECT_FALSE(cluster[old_leader].raft().is_leader()) << "steps down without a quorum";
  EXPECT_EQ(cluster.Heard(old_leader, client), "");
  EXPECT_EQ(cluster.Ask(cluster.Follower() == old_leader ? cluster.Leader() : cluster.Follower(),
                        {"SET", "k", "kept"}),
            "+OK\r\n");
  cluster.drop = {};
  cluster.Run(1'000);
  const std::string heard = cluster.Heard(old_leader, client);
  EXPECT_TRUE(absl::StartsWith(heard, "-NOTAPPLIED ")) << "another entry took its place: " << heard;
  EXPECT_EQ(cluster.Ask(old_leader, {"GET", "k"}), "$4\r\nkept\r\n");
}

TEST(ReplicaTest, SessionsMakeRetriesSafe) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  const std::string session = cluster.OpenSession(leader);
  for (int attempt = 0; attempt < 3; ++attempt) {
    for (raft::NodeId id = 1; id <= 3; ++id) {
      EXPECT_EQ(cluster.Ask(id, {"KV.SESSION", "RUN", session, "1", "INCR", "n"}), ":1\r\n");
    }
  }
  EXPECT_EQ(cluster.Ask(leader, {"KV.SESSION", "RUN", session, "2", "INCR", "n"}), ":2\r\n");
  EXPECT_TRUE(absl::StartsWith(
      cluster.Ask(leader, {"KV.SESSION", "RUN", "999999", "1", "INCR", "n"}), "-SESSIONUNKNOWN"));
}

void SmallSnapshots(Options& options) {
  options.snapshots.minimum_bytes = 4'000;
  options.snapshots.state_percent = 0;
  options.trailing_log_bytes = 500;
  options.snapshot_chunk_bytes = 256;
}

TEST(ReplicaTest, ANodeThatMissedTooMuchGetsASnapshot) {
  Cluster cluster(3, SmallSnapshots);
  const raft::NodeId lagging = cluster.Follower();
  cluster.Kill(lagging);
  const raft::NodeId leader = cluster.Leader();
  const std::string session = cluster.Ask(leader, {"KV.SESSION", "OPEN"});
  const std::string id = session.substr(1, session.size() - 3);
  for (int i = 1; i <= 200; ++i) {
    ASSERT_EQ(cluster.Ask(leader, {"SET", absl::StrCat("key", i % 50), std::string(100, 'a')}),
              "+OK\r\n");
  }
  ASSERT_EQ(cluster.Ask(leader, {"KV.SESSION", "RUN", id, "1", "INCR", "n"}), ":1\r\n");
  EXPECT_GT(cluster[leader].raft().log().first(), 100u);
  cluster.Start(lagging);
  cluster.Run(3'000);
  bool installed = false;
  for (const Event& event : cluster.nodes[lagging].events)
    installed = installed || std::holds_alternative<SnapshotInstalled>(event);
  EXPECT_TRUE(installed);
  EXPECT_EQ(cluster[lagging].Status().digest, cluster[leader].Status().digest);
  EXPECT_EQ(cluster.Ask(lagging, {"KV.SESSION", "RUN", id, "1", "INCR", "n"}), ":1\r\n")
      << "sessions travel with snapshots";
}

template <typename Kind>
size_t Count(const Cluster::Node& node) {
  size_t count = 0;
  for (const Event& event : node.events) count += std::holds_alternative<Kind>(event);
  return count;
}

// A follower that has missed so much that it needs a snapshot of 100 chunks or more.
class SnapshotSendingTest : public ::testing::Test {
 protected:
  void Lag(std::function<void(Options&)> tune) {
    cluster_ = std::make_unique<Cluster>(3, [tune](Options& options) {
      SmallSnapshots(options);
      options.snapshots.minimum_bytes = 20'000;
      options.snapshot_resend_ms = 100;
      if (tune) tune(options);
    });
    lagging_ = cluster_->Follower();
    cluster_->Kill(lagging_);
    leader_ = cluster_->Leader();
    for (int i = 1; i <= 400; ++i) {
      ASSERT_EQ(cluster_->Ask(leader_, {"SET", absl::StrCat("key", i), std::string(150, 'a')}),
                "+OK\r\n");
    }
    for (int i = 0; i < 100 && (i < 2 || (*cluster_)[leader_].Status().taking_snapshot); ++i)
      cluster_->Run(100);
  }
  const Cluster::Node& node() const { return cluster_->nodes.at(lagging_); }
  // Bytes of the snapshot that the follower has written, if it is receiving one.
  uint64_t Written() const {
    return node().storage->SnapshotOffset(storage::SnapshotSource::kReceived).value_or(0);
  }
  uint64_t Size() const { return cluster_->nodes.at(leader_).storage->current_snapshot().size; }
  bool Installed() const { return Count<SnapshotInstalled>(node()) > 0; }

  std::unique_ptr<Cluster> cluster_;
  raft::NodeId lagging_ = 0, leader_ = 0;
};

TEST_F(SnapshotSendingTest, TheRateIsKept) {
  Lag([](Options& options) { options.snapshot_bytes_per_s = 20'000; });
  ASSERT_GT(Size(), 40'000u);
  cluster_->Start(lagging_);
  cluster_->Run(1'000);
  EXPECT_FALSE(Installed());
  EXPECT_GT(Written(), 15'000u);
  EXPECT_LT(Written(), 20'700u);
  cluster_->Run(Size() * 1'000 / 20'000);
  EXPECT_TRUE(Installed());
}

// The log behind the snapshot that is being sent stays until it has arrived, even when a newer one
// is taken meanwhile: otherwise a follower would need one after the other for ever.
TEST_F(SnapshotSendingTest, ATransferThatOutlivesASnapshotIsEnough) {
  Lag([](Options& options) {
    options.snapshot_bytes_per_s = 20'000;
    options.trailing_log_bytes = 0;
  });
  cluster_->Start(lagging_);
  cluster_->Run(500);
  ASSERT_GT(Written(), 0u);
  const size_t taken = Count<SnapshotTaken>(cluster_->nodes.at(leader_));
  for (int i = 0; Count<SnapshotTaken>(cluster_->nodes.at(leader_)) == taken && i < 400; ++i)
    ASSERT_EQ(cluster_->Ask(leader_, {"SET", "k", std::string(150, 'b')}), "+OK\r\n");
  ASSERT_EQ(Count<SnapshotTaken>(cluster_->nodes.at(leader_)), taken + 1);
  ASSERT_FALSE(Installed());
  cluster_->Run(2 * Size() * 1'000 / 20'000);
  EXPECT_EQ(Count<SnapshotInstalled>(node()), 1u);
  EXPECT_EQ((*cluster_)[lagging_].Status().digest, (*cluster_)[leader_].Status().digest);
}

// A transfer that takes longer than many snapshots would is waited for: the one that is sent can be
// read until the next but one is there, and a follower would begin again and again.
TEST_F(SnapshotSendingTest, ATransferThatWouldOutliveManySnapshotsIsWaitedFor) {
  Lag([](Options& options) {
    options.snapshot_bytes_per_s = 20'000;
    options.trailing_log_bytes = 0;
  });
  cluster_->Start(lagging_);
  cluster_->Run(100);
  const Cluster::Node& leader = cluster_->nodes.at(leader_);
  const size_t taken = Count<SnapshotTaken>(leader);
  // Some 25,000 bytes of log a second: an interval of 20,000 to 30,000 bytes for each second that
  // the transfer takes.
  uint64_t written = 0;
  for (int second = 0; second < 10 && !Installed(); ++second) {
    EXPECT_GE(Written(), written) << "it has begun again";
    written = Written();
    for (int i = 0; i < 125; ++i)
      ASSERT_EQ(cluster_->Ask(leader_, {"SET", "k", std::string(150, 'b')}), "+OK\r\n");
    EXPECT_LE(Count<SnapshotTaken>(leader), taken + 1);
    cluster_->Run(1'000);
  }
  EXPECT_EQ(Count<SnapshotInstalled>(node()), 1u);
  EXPECT_EQ((*cluster_)[lagging_].Status().digest, (*cluster_)[leader_].Status().digest);
  for (int i = 0; i < 300; ++i)
    ASSERT_EQ(cluster_->Ask(leader_, {"SET", "k", std::string(150, 'b')}), "+OK\r\n");
  EXPECT_GT(Count<SnapshotTaken>(leader), taken + 1) << "nobody is waited for any more";
}

// Not for ever: the log must not grow without bound behind a link that is hardly one.
TEST_F(SnapshotSendingTest, ATransferIsNotWaitedForWithoutBound) {
  Lag([](Options& options) {
    options.snapshot_bytes_per_s = 100;
    options.trailing_log_bytes = 0;
  });
  cluster_->Start(lagging_);
  cluster_->Run(100);
  ASSERT_GT(Written(), 0u);
  const Cluster::Node& leader = cluster_->nodes.at(leader_);
  const size_t taken = Count<SnapshotTaken>(leader);
  uint64_t longest = 0;
  for (int i = 0; i < 4'000; ++i) {
    ASSERT_EQ(cluster_->Ask(leader_, {"SET", "k", std::string(150, 'b')}), "+OK\r\n");
    longest = std::max(longest,
                       leader.replica->raft().log().last() - leader.replica->raft().log().first());
  }
  EXPECT_GE(Count<SnapshotTaken>(leader), taken + 3);
  EXPECT_LT(longest, 2'500u);
}

// The leader is gone in the middle of a transfer, and the next one still has the log: what has been
// received is of no use, and takes neither memory nor space.
TEST_F(SnapshotSendingTest, WhatTheLogBringsIsNotReceivedToTheEnd) {
  Lag([](Options& options) {
    options.snapshot_bytes_per_s = 20'000;
    options.trailing_log_bytes = options.raft.id == 1 ? 0 : 1 << 30;
    options.raft.election_rank = options.raft.id == 1 ? 0 : 3;
  });
  ASSERT_EQ(leader_, 1u);
  cluster_->Start(lagging_);
  cluster_->Run(1'000);
  ASSERT_GT(Written(), 10'000u);
  ASSERT_TRUE((*cluster_)[lagging_].Status().receiving_snapshot);
  cluster_->Kill(leader_);
  leader_ = cluster_->Leader();
  cluster_->Run(2'000);
  EXPECT_FALSE(Installed());
  EXPECT_EQ((*cluster_)[lagging_].Status().digest, (*cluster_)[leader_].Status().digest);
  EXPECT_FALSE((*cluster_)[lagging_].Status().receiving_snapshot);
  EXPECT_EQ(node().storage->SnapshotOffset(storage::SnapshotSource::kReceived), std::nullopt);
  for (int i = 0; i < 1'000; ++i) (*cluster_)[lagging_].TakeWork();
  const kv::Store& store = (*cluster_)[lagging_].machine().store();
  EXPECT_EQ(store.live_entries(), store.size());
}

TEST(ReplicaTest, TheLongestTurnIsToldAndForgotten) {
  Cluster cluster(1);
  cluster.Leader();
  cluster[1].TurnTook(5'000);
  cluster[1].TurnTook(4'000);
  EXPECT_TRUE(absl::StrContains(cluster.Ask(1, {"INFO", "stats"}), "longest_turn_us:5000\r\n"));
  EXPECT_EQ(cluster.Ask(1, {"CONFIG", "RESETSTAT"}), "+OK\r\n");
  EXPECT_TRUE(absl::StrContains(cluster.Ask(1, {"INFO", "stats"}), "longest_turn_us:0\r\n"));
}

// Nobody writes: it takes its time. The log grows: it is complete before half of what makes the
// next one due has come.
TEST(SnapshotPace, IsItsOwnOrThatOfTheLog) {
  Cluster cluster(1, [](Options& options) {
    options.snapshots = {.minimum_bytes = 40'000, .state_percent = 0};
    options.snapshot_chunk_bytes = 1'000;
    options.snapshot_bytes_per_s = 10'000;
  });
  const raft::NodeId leader = cluster.Leader();
  const auto taking = [&] { return cluster[leader].Status().taking_snapshot; };
  int written = 0;
  const auto write = [&] {
    ++written;
    ASSERT_EQ(cluster.Ask(leader, {"SET", absl::StrCat("key", written), std::string(900, 'a')}),
              "+OK\r\n");
  };
  while (!taking() && written < 100) write();
  ASSERT_TRUE(taking());
  const raft::Index first = cluster[leader].Status().snapshot;
  cluster.Run(2'000);
  EXPECT_TRUE(taking()) << "40 kB at 10 kB/s";
  cluster.Run(3'000);
  EXPECT_FALSE(taking());
  EXPECT_GT(cluster[leader].Status().snapshot, first);

  while (!taking() && written < 200) write();
  ASSERT_TRUE(taking());
  const uint64_t due = cluster[leader].Status().snapshot_due_bytes;
  for (int i = 0; i < 100 && taking(); ++i) write();
  const uint64_t left = cluster[leader].Status().snapshot_due_bytes;
  EXPECT_FALSE(taking());
  EXPECT_GT(left, due / 3) << "of " << due << " bytes of log";
}

TEST_F(SnapshotSendingTest, WithoutARateItGoesAtOnce) {
  Lag([](Options& options) { options.snapshot_bytes_per_s = 0; });
  cluster_->Start(lagging_);
  cluster_->Run(200);
  EXPECT_TRUE(Installed());
}

// A chunk that the network kept for a while says nothing about the transfer that is under way, and
// begins none.
TEST_F(SnapshotSendingTest, ALateChunkChangesNothing) {
  Lag([](Options& options) { options.snapshot_bytes_per_s = 20'000; });
  wire::PeerEncoder encoder;
  // Of a transfer that was begun before the one that is under way, of other bytes.
  const auto late_chunk = [&](uint64_t offset) {
    const Replica& leader = (*cluster_)[leader_];
    const wire::SnapshotChunk chunk{.term = leader.raft().term(),
                                    .meta = leader.raft().offered_snapshot(),
                                    .transfer = 1,
                                    .offset = offset,
                                    .total_size = Size() + 1,
                                    .digest = 4711,
                                    .bytes = std::string(256, 'l')};
    const std::string frame(encoder.Encode(wire::PeerMessage{
        wire::Envelope{0, leader_, 100 + leader_, lagging_, 100 + lagging_}, chunk}));
    (*cluster_)[lagging_].ReceivePeer(absl::string_view(frame).substr(wire::kFrameHeaderSize));
    cluster_->Settle();
  };
  cluster_->Start(lagging_);
  for (const uint64_t offset : {256u, 25'600u}) {
    late_chunk(offset);
    EXPECT_EQ(node().storage->SnapshotOffset(storage::SnapshotSource::kReceived), std::nullopt)
        << "nothing is begun in the middle";
  }
  cluster_->Run(1'000);
  const uint64_t before = Written();
  ASSERT_GT(before, 10'000u);
  for (const uint64_t offset : {uint64_t{0}, uint64_t{256}, before}) {
    late_chunk(offset);
    EXPECT_EQ(Written(), before) << offset;
  }
  cluster_->Run(Size() * 1'000 / 20'000);
  EXPECT_TRUE(Installed());
}

// Frames in both directions are lost for a while: what was acknowledged is not sent again, neither
// when the same transfer goes on nor when it was given up and a new one begins.
TEST_F(SnapshotSendingTest, ABrokenLinkResumesBehindWhatIsThere) {
  for (const uint64_t broken_ms : {uint64_t{300}, uint64_t{5'000}}) {
    SCOPED_TRACE(broken_ms);
    Lag([](Options& options) {
      options.snapshot_bytes_per_s = 20'000;
      options.snapshot_resends = 5;
      options.raft.pre_vote = true;
    });
    cluster_->Start(lagging_);
    cluster_->Run(1'500);
    const uint64_t before = Written();
    ASSERT_GT(before, 20'000u);
    cluster_->drop = [this](raft::NodeId from, raft::NodeId to) {
      return from == lagging_ || to == lagging_;
    };
    cluster_->Run(broken_ms);
    EXPECT_EQ(Written(), before);
    cluster_->drop = nullptr;
    uint64_t least = before;
    uint64_t run_ms = 0;
    for (; run_ms < 20'000 && !Installed(); run_ms += 10) {
      cluster_->Run(10);
      if (!Installed()) least = std::min(least, Written());
    }
    EXPECT_TRUE(Installed());
    EXPECT_EQ(least, before) << "it never began anew";
    EXPECT_LT(run_ms, (Size() - before) * 1'000 / 20'000 + 600);
  }
}

// The snapshot rots while it is being sent: the transfer ends there, and nothing goes out in place
// of what cannot be read.
TEST_F(SnapshotSendingTest, AChunkThatCannotBeReadEndsTheTransfer) {
  Lag([](Options& options) { options.snapshot_bytes_per_s = 20'000; });
  cluster_->Start(lagging_);
  cluster_->Run(1'000);
  const uint64_t before = Written();
  ASSERT_GT(before, 15'000u);
  ASSERT_LT(before, Size() / 2);
  const std::string name = storage::SnapshotName(
      (*cluster_)[leader_].raft().offered_snapshot().index, storage::SnapshotSource::kLocal);
  ASSERT_TRUE(cluster_->nodes.at(leader_).disk->Corrupt(name, Size() * 3 / 4, 4));
  cluster_->Run(Size() * 1'000 / 20'000);
  EXPECT_FALSE(Installed());
  EXPECT_LT(Written(), Size() * 3 / 4);
  EXPECT_EQ(Count<PeerRefused>(node()), 0u) << "all that was sent can be read";
}

TEST(ReplicaTest, EverybodyCrashesAndNothingIsLost) {
  Cluster cluster(3, SmallSnapshots);
  for (int round = 0; round < 5; ++round) {
    const raft::NodeId leader = cluster.Leader();
    for (int i = 0; i < 40; ++i) {
      ASSERT_EQ(cluster.Ask(leader, {"SET", absl::StrCat("k", round, ".", i), absl::StrCat(i)}),
                "+OK\r\n");
    }
    for (raft::NodeId id = 1; id <= 3; ++id) cluster.Kill(id);
    for (raft::NodeId id = 1; id <= 3; ++id) cluster.Start(id);
    EXPECT_EQ(cluster.Ask(cluster.Leader(), {"DBSIZE"}),
              absl::StrCat(":", 40 * (round + 1), "\r\n"));
  }
}

TEST(ReplicaTest, ANewNodeJoinsLearnsAndVotes) {
  Cluster cluster(3, SmallSnapshots);
  const raft::NodeId leader = cluster.Leader();
  ASSERT_EQ(cluster.Ask(leader, {"SET", "k", "v"}), "+OK\r\n");
  cluster.Create(4, {});
  EXPECT_EQ(cluster.Ask(cluster.Follower(),
                        {"KV.MEMBER", "ADD", "4", "127.0.0.1:7441", "127.0.0.1:7440", "104"}),
            "+OK\r\n");
  cluster.Run(2'000);
  EXPECT_EQ(cluster.Ask(4, {"GET", "k"}), "$1\r\nv\r\n");
  EXPECT_TRUE(raft::IsLearner(cluster[leader].raft().conf(), 4));
  EXPECT_EQ(cluster.Ask(leader, {"KV.MEMBER", "PROMOTE", "4"}), "+OK\r\n");
  cluster.Run(200);
  EXPECT_TRUE(raft::IsVoter(cluster[4].raft().conf(), 4));
  EXPECT_TRUE(absl::StrContains(
      cluster.Ask(leader, {"KV.MEMBER", "ADD", "4", "127.0.0.1:1", "127.0.0.1:2", "7"}),
      "is a member already"));
  EXPECT_EQ(
      cluster.Ask(leader, {"KV.MEMBER", "ADD", "5", "127.0.0.1:7441", "127.0.0.1:7450", "105"}),
      "-NOTAPPLIED node 5 cannot have the peer address 127.0.0.1:7441, which is that of node "
      "4\r\n");
  EXPECT_EQ(cluster.Ask(leader, {"KV.MEMBER", "REMOVE", "4"}), "+OK\r\n");
  cluster.Run(500);
  EXPECT_EQ(
      cluster.Ask(leader, {"KV.MEMBER", "ADD", "5", "127.0.0.1:7441", "127.0.0.1:7450", "105"}),
      "+OK\r\n")
      << "it is free again";
  EXPECT_EQ(cluster.Ask(leader, {"KV.MEMBER", "REMOVE", "5"}), "+OK\r\n");
  cluster.Run(500);
  EXPECT_FALSE(raft::IsMember(cluster[leader].raft().conf(), 4));
  EXPECT_EQ(cluster[leader].members().all().size(), 3u);
}

std::string AddNode(Cluster& cluster, raft::NodeId id) {
  return cluster.Ask(cluster.Follower(), {"KV.MEMBER", "ADD", absl::StrCat(id), "127.0.0.1:7441",
                                          "127.0.0.1:7440", absl::StrCat(100 + id)});
}

TEST(ReplicaTest, ALearnerThatDoesNotAnswerIsNotPromoted) {
  Cluster cluster(3);
  ASSERT_EQ(AddNode(cluster, 4), "+OK\r\n");  // but nobody has started it
  const std::vector<std::string> promote = {"KV.MEMBER", "PROMOTE", "4"};
  const std::string silent = "-NOTAPPLIED node 4 does not answer: promote it when it does\r\n";
  EXPECT_EQ(cluster.Ask(cluster.Leader(), promote), silent);
  EXPECT_EQ(cluster.Ask(cluster.Follower(), promote), silent) << "wherever it is asked for";
  cluster.Create(4, {});
  cluster.Run(500);
  cluster.Kill(4);
  cluster.Run(2'000);  // it had caught up
  EXPECT_EQ(cluster.Ask(cluster.Leader(), promote), silent);
  cluster.Start(4);
  cluster.Run(200);
  EXPECT_EQ(cluster.Ask(cluster.Leader(), promote), "+OK\r\n");
}

TEST(ReplicaTest, ALearnerThatLagsIsNotPromoted) {
  Cluster cluster(3, [](Options& options) { options.trailing_log_bytes = 1 << 20; });
  ASSERT_EQ(AddNode(cluster, 4), "+OK\r\n");
  cluster.Create(4, {});
  cluster.Run(500);
  const raft::NodeId leader = cluster.Leader();
  const raft::Index had = cluster[4].raft().log().last();
  ASSERT_EQ(had, cluster[leader].raft().log().last());
  bool appends = false;
  cluster.tap = [&appends](const wire::PeerMessage& message) {
    const auto* core = std::get_if<raft::Message>(&message.body);
    appends = core != nullptr && std::holds_alternative<raft::AppendRequest>(core->body);
  };
  cluster.drop = [&appends](raft::NodeId, raft::NodeId to) { return to == 4 && appends; };
  for (int i = 0; i < 3; ++i) ASSERT_EQ(cluster.Ask(leader, {"SET", "k", "v"}), "+OK\r\n");
  cluster.Run(2'000);  // it answers heartbeats
  EXPECT_EQ(cluster.Ask(leader, {"KV.MEMBER", "PROMOTE", "4"}),
            absl::StrCat("-NOTAPPLIED node 4 does not keep up: it has ", had, " of ", had + 3,
                         " entries; promote it when it has caught up\r\n"));
  const auto lose_appends = std::exchange(cluster.drop, nullptr);
  cluster.Run(500);
  // What has been written within the last election timeout need not be there yet.
  cluster.drop = lose_appends;
  ASSERT_EQ(cluster.Ask(leader, {"SET", "k", "v"}), "+OK\r\n");
  const Options& options = cluster[leader].options();
  cluster.Run(options.raft.election_ticks * options.tick_us / 1'000);
  EXPECT_EQ(cluster.Ask(leader, {"KV.MEMBER", "PROMOTE", "4"}), "+OK\r\n");
}

// Nobody has written anything since. Found by seed 20112955.
TEST(ReplicaTest, WhoWasRemovedIsNotNeededAfterARestart) {
  Cluster cluster(2);
  const raft::NodeId leader = cluster.Leader();
  const raft::NodeId other = 3 - leader;
  ASSERT_EQ(cluster.Ask(leader, {"SET", "k", "v"}), "+OK\r\n");
  EXPECT_EQ(cluster.Ask(leader, {"KV.MEMBER", "REMOVE", absl::StrCat(other)}), "+OK\r\n");
  cluster.Kill(other);
  cluster.Kill(leader);
  cluster.Start(leader);
  EXPECT_EQ(cluster.Leader(), leader);
  EXPECT_EQ(cluster.Ask(leader, {"GET", "k"}), "$1\r\nv\r\n");
}

// It is done when a majority of those who stay would know it after a restart.
TEST(ReplicaTest, AChangeIsDoneWhenItIsNoted) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  const raft::NodeId other = cluster.Follower();
  const raft::NodeId third = 6 - leader - other;
  const ClientId client = cluster.Connect(leader);
  // What makes the change committed comes from the one that goes.
  cluster.drop = [&](raft::NodeId from, raft::NodeId) { return from == third; };
  cluster.Say(leader, client, {"KV.MEMBER", "REMOVE", absl::StrCat(other)});
  cluster.Settle();
  EXPECT_FALSE(raft::IsMember(cluster[leader].raft().conf(), other));
  EXPECT_EQ(cluster.Heard(leader, client), "");
  cluster.drop = nullptr;
  cluster.Run(200);
  EXPECT_EQ(cluster.Heard(leader, client), "+OK\r\n");
}

// Another leader's entry takes the place of the one behind it: it is done all the same.
TEST(ReplicaTest, AChangeThatIsAppliedIsNotTakenBackWithItsNote) {
  for (const bool snapshot : {false, true}) {
    Cluster cluster(3, SmallSnapshots);
    const raft::NodeId old = cluster.Leader();
    const ClientId client = cluster.Connect(old);
    const raft::Index change = cluster[old].raft().log().last() + 1;
    bool noted = false;
    cluster.tap = [&](const wire::PeerMessage& message) {
      const auto* core = std::get_if<raft::Message>(&message.body);
      const auto* append =
          core == nullptr ? nullptr : std::get_if<raft::AppendRequest>(&core->body);
      if (message.envelope.from == old && append != nullptr && !append->entries.empty()) {
        noted = noted || append->entries.back().index > change;
      }
    };
    cluster.drop = [&](raft::NodeId from, raft::NodeId to) {
      return noted && (from == old || to == old);
    };
    cluster.Say(old, client, {"KV.MEMBER", "ADD", "4", "127.0.0.1:7441", "127.0.0.1:7440", "104"});
    cluster.Settle();
    ASSERT_TRUE(noted);
    EXPECT_EQ(cluster.Heard(old, client), "");
    cluster.Run(500);
    const raft::NodeId leader = cluster.Leader();
    ASSERT_NE(leader, old);
    for (int i = 0; i < (snapshot ? 200 : 1); ++i) {
      ASSERT_EQ(cluster.Ask(leader, {"SET", "k", std::string(100, 'v')}), "+OK\r\n");
    }
    cluster.drop = nullptr;
    cluster.tap = nullptr;
    cluster.Run(1'000);
    EXPECT_EQ(cluster.Heard(old, client), "+OK\r\n") << "by a snapshot: " << snapshot;
  }
}

TEST(ReplicaTest, NobodyIsRemovedWhomTheOthersCannotDoWithout) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  const raft::NodeId down = cluster.Follower();
  const raft::NodeId other = 6 - leader - down;
  cluster.Kill(down);
  cluster.Run(2'000);
  ASSERT_EQ(cluster.Leader(), leader);
  const std::string left = absl::StrCat(std::min(leader, down), ",", std::max(leader, down));
  EXPECT_EQ(cluster.Ask(leader, {"KV.MEMBER", "REMOVE", absl::StrCat(other)}),
            absl::StrCat("-NOTAPPLIED of the voters that there would be, ", left,
                         ", no majority answers: silent are ", down, "\r\n"));
  EXPECT_EQ(cluster.Ask(leader, {"KV.MEMBER", "REMOVE", absl::StrCat(down)}), "+OK\r\n");
}

TEST(ReplicaTest, AnotherIncarnationIsRefused) {
  Cluster cluster(3);
  cluster.Leader();
  raft::Message message{2, 1, 1'000'000,
                        raft::VoteRequest{false, true, 1'000'000, 1'000'000, 0, 0}};
  wire::PeerEncoder encoder;
  const auto deliver = [&](wire::Envelope envelope) {
    const std::string frame(encoder.Encode(envelope, message));
    cluster[1].ReceivePeer(absl::string_view(frame).substr(wire::kFrameHeaderSize));
  };
  const raft::Term before = cluster[1].raft().term();
  deliver({0, 2, 999, 1, 101});  // node 2 with another disk
  deliver({0, 2, 102, 1, 999});  // meant for another life of node 1
  deliver({5, 2, 102, 1, 101});  // another group
  EXPECT_EQ(cluster[1].raft().term(), before);
  deliver({0, 2, 102, 1, 101});
  EXPECT_EQ(cluster[1].raft().term(), 1'000'000u) << "the same, rightly addressed, counts";
}

TEST(ReplicaTest, StoppingHandsLeadershipOver) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  cluster[leader].Stop();
  for (int i = 0; i < 20 && !cluster[leader].Stopped(); ++i) cluster.Run(10);
  EXPECT_TRUE(cluster[leader].Stopped());
  EXPECT_NE(cluster.Leader(), leader);
  EXPECT_TRUE(absl::StartsWith(cluster.Ask(leader, {"SET", "k", "v"}), "-NOTAPPLIED "));
}

TEST(ReplicaTest, AFailedDiskEndsItAllBeforeAnythingElseIsSaid) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  const ClientId client = cluster.Connect(leader);
  cluster.nodes[leader].disk->InjectFault(sim::SimDisk::Operation::kSync, 0);
  cluster.Say(leader, client, {"SET", "k", "v"});
  cluster.Settle();
  EXPECT_FALSE(cluster[leader].health().ok());
  EXPECT_EQ(cluster.Heard(leader, client), "");
  const uint64_t sent = cluster.frames_sent[{leader, cluster.Follower()}];
  cluster.Run(100);
  EXPECT_EQ((cluster.frames_sent[{leader, cluster.Follower()}]), sent) << "silent from then on";
}

// ---- Full and hung disks

void Fill(Cluster& cluster, raft::NodeId id, bool full = true) {
  sim::SimDisk::Options options;
  if (full) options.capacity_bytes = 0;
  cluster.nodes[id].disk->set_options(options);
}

bool DiskFull(Cluster& cluster, raft::NodeId id) { return cluster[id].Status().disk_full; }

// Writes through `via` until `node` has used up what its log has reserved, and with `to_the_end`
// what is kept back besides.
void WriteUntilFull(Cluster& cluster, raft::NodeId via, raft::NodeId node,
                    bool to_the_end = false) {
  const ClientId client = cluster.Connect(via);
  const auto full = [&] {
    return to_the_end ? cluster[node].raft().log_refused() : DiskFull(cluster, node);
  };
  for (int i = 0; i < 300 && !full(); ++i) {
    cluster.Say(via, client, {"SET", "filler", std::string(600, 'f')});
    cluster.Settle();
  }
  EXPECT_TRUE(full());
  cluster[via].ClientClosed(client);
}

// With nothing to write it does not see that its disk hangs: a majority waits for a snapshot before
// anything is committed, and it cannot read its own.
class LeaderWithLateFollowers {
 public:
  // So many of `nodes` need a snapshot, one that did not is dead.
  LeaderWithLateFollowers(size_t nodes, size_t late, bool steps_down)
      : cluster(nodes, [steps_down](Options& options) {
          SmallSnapshots(options);
          options.raft.step_down_on_hung_disk = steps_down;
        }) {
    leader = cluster.Leader();
    for (raft::NodeId id = 1; id <= nodes; ++id) {
      if (id != leader) followers.push_back(id);
    }
    const std::set<raft::NodeId> cut(followers.begin(),
                                     followers.begin() + static_cast<ptrdiff_t>(late));
    cluster.drop = [cut](raft::NodeId from, raft::NodeId to) {
      return cut.contains(from) || cut.contains(to);
    };
    for (int i = 0; i < 200; ++i)
      EXPECT_EQ(cluster.Ask(leader, {"SET", "k", std::string(100, 'v')}), "+OK\r\n");
    cluster.Run(100);
    EXPECT_EQ(cluster.Leader(), leader);
    cluster.Kill(followers[late]);
  }
  void BeginToHang(raft::NodeId id) { cluster.hold_disk.insert(id); }
  // They are heard again; something is written, if `writes`, and a while passes.
  void GoOn(bool writes) {
    cluster.drop = {};
    const ClientId client = cluster.Connect(leader);
    if (writes) cluster.Say(leader, client, {"SET", "k", "w"});
    cluster.Run(20'000);
  }

  Cluster cluster;
  raft::NodeId leader = 0;
  std::vector<raft::NodeId> followers;  // the late ones first, then the dead one
};

TEST(HungDisk, ALeaderThatCannotReadItsSnapshotGivesWay) {
  for (const bool steps_down : {true, false}) {
    LeaderWithLateFollowers five(5, 2, steps_down);
    five.BeginToHang(five.leader);
    five.GoOn(/*writes=*/true);
    EXPECT_EQ(five.cluster[five.leader].raft().is_leader(), !steps_down);
    EXPECT_EQ(five.cluster[five.followers[3]].raft().is_leader(), steps_down);
    if (steps_down) {
      EXPECT_EQ(five.cluster.Ask(five.followers[0], {"SET", "k", "x"}), "+OK\r\n");
    }
  }
}

TEST(HungDisk, ALeaderThatKeepsNobodyWaitingStays) {
  LeaderWithLateFollowers four(4, 1, /*steps_down=*/true);
  four.BeginToHang(four.leader);
  four.GoOn(/*writes=*/false);
  EXPECT_TRUE(four.cluster[four.leader].raft().is_leader()) << "all is committed";

  LeaderWithLateFollowers five(5, 2, /*steps_down=*/true);
  five.BeginToHang(five.followers[0]);
  five.BeginToHang(five.followers[1]);
  five.GoOn(/*writes=*/true);
  EXPECT_TRUE(five.cluster[five.leader].raft().is_leader()) << "others have disks that hang";
}

TEST(FullDisk, ALeaderHandsOverAndTheClusterGoesOn) {
  Cluster cluster(3);
  const raft::NodeId full = cluster.Leader();
  EXPECT_EQ(cluster.Ask(full, {"SET", "k", "before"}), "+OK\r\n");
  Fill(cluster, full);
  WriteUntilFull(cluster, full, full);
  cluster.Run(100);
  const raft::NodeId leader = cluster.Leader();
  EXPECT_NE(leader, full);
  EXPECT_EQ(cluster.Ask(leader, {"SET", "k", "after"}), "+OK\r\n");
  EXPECT_EQ(cluster.Ask(full, {"SET", "j", "through the full one"}), "+OK\r\n");
  EXPECT_EQ(cluster.Ask(leader, {"GET", "j"}), "$20\r\nthrough the full one\r\n");
  EXPECT_EQ(cluster.Ask(full, {"GET", "k"}), "$5\r\nafter\r\n") << "thanks to what it kept back";
  EXPECT_EQ(Count<DiskSpace>(cluster.nodes[full]), 1u);

  WriteUntilFull(cluster, leader, full, /*to_the_end=*/true);
  EXPECT_EQ(cluster.Ask(full, {"SET", "k", "later"}), "+OK\r\n");
  EXPECT_EQ(cluster.Ask(full, {"GET", "k"}),
            "-NOTAPPLIED the disk of this node is full, it lags behind\r\n");
  EXPECT_TRUE(cluster[full].health().ok());

  Fill(cluster, full, false);
  cluster.Run(1'000);
  EXPECT_FALSE(DiskFull(cluster, full));
  EXPECT_EQ(cluster.Ask(full, {"GET", "k"}), "$5\r\nlater\r\n");
  EXPECT_EQ(cluster[full].Status().digest, cluster[leader].Status().digest);
  EXPECT_EQ(Count<DiskSpace>(cluster.nodes[full]), 2u) << "full once, and once not any more";
}

// Found by seed 20201218: a leader whose offer was lost refused writes for half a minute.
TEST(FullDisk, ALeaderWhoseOfferIsLostTriesAgain) {
  Cluster cluster(3);
  const raft::NodeId full = cluster.Leader();
  uint64_t offers = 0;
  bool offer = false;
  cluster.tap = [&](const wire::PeerMessage& message) {
    const auto* core = std::get_if<raft::Message>(&message.body);
    offer = core != nullptr && std::holds_alternative<raft::TimeoutNow>(core->body);
    offers += offer;
  };
  cluster.drop = [&](raft::NodeId, raft::NodeId) { return offer; };
  Fill(cluster, full);
  WriteUntilFull(cluster, full, full);
  cluster.Run(1'000);
  ASSERT_EQ(cluster.Leader(), full);
  EXPECT_EQ(offers, 1u);
  cluster.drop = nullptr;
  cluster.Run(3'000);
  EXPECT_NE(cluster.Leader(), full);
  EXPECT_EQ(offers, 2u);
}

// A disk may hang and be full: it is asked once.
TEST(FullDisk, ADiskThatHangsIsAskedForSpaceOnce) {
  Cluster cluster(3);
  const raft::NodeId full = cluster.Follower();
  Fill(cluster, full);
  WriteUntilFull(cluster, cluster.Leader(), full);
  cluster.hold_disk.insert(full);
  cluster.Run(5'000);
  const auto asked = [&] {
    return std::count_if(
        cluster.nodes[full].jobs.begin(), cluster.nodes[full].jobs.end(),
        [](const Job& job) { return std::holds_alternative<ReserveSpace>(job.body); });
  };
  EXPECT_EQ(asked(), 1);
  cluster.hold_disk.clear();
  Fill(cluster, full, false);
  cluster.Run(2'000);
  EXPECT_FALSE(DiskFull(cluster, full));
}

TEST(FullDisk, AFollowerAcknowledgesNothingAndVotes) {
  Cluster cluster(3);
  const raft::NodeId first = cluster.Leader();
  const raft::NodeId full = cluster.Follower();
  Fill(cluster, full);
  WriteUntilFull(cluster, first, full, /*to_the_end=*/true);
  cluster.Run(100);
  const raft::Index durable = cluster[full].raft().durable();
  EXPECT_EQ(cluster[first].raft().progress()->Find(full)->match, durable);
  EXPECT_EQ(cluster.Ask(first, {"SET", "k", "v"}), "+OK\r\n");
  EXPECT_EQ(cluster[first].raft().progress()->Find(full)->match, durable);

  cluster.Kill(first);
  const raft::NodeId second = 6 - first - full;  // only it has everything
  for (int i = 0; i < 300 && !cluster[second].raft().is_leader(); ++i) cluster.Run(10);
  ASSERT_TRUE(cluster[second].raft().is_leader());
  EXPECT_EQ(cluster[full].raft().leader(), second);
  EXPECT_EQ(cluster[full].raft().vote(), second);
  EXPECT_EQ(cluster.nodes[full].storage->hard_state().vote, second) << "and its disk knows it";
  EXPECT_EQ(cluster[full].raft().durable(), durable);

  // It is needed for a majority now: nothing is committed before it has space.
  const ClientId client = cluster.Connect(second);
  cluster.Say(second, client, {"SET", "k", "w"});
  cluster.Run(4'000);
  EXPECT_EQ(cluster.Heard(second, client), "");
  EXPECT_EQ(cluster.Ask(second, {"SET", "k", "x"}),
            "-NOTAPPLIED the disks of a majority are full or hang\r\n");
  Fill(cluster, full, false);
  cluster.Run(1'000);
  EXPECT_EQ(cluster.Heard(second, client), "+OK\r\n");
}

TEST(FullDisk, WithoutSpaceAnywhereReadsGoOnAndWritesAreRefused) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  EXPECT_EQ(cluster.Ask(leader, {"SET", "k", "v"}), "+OK\r\n");
  for (const raft::NodeId id : {1u, 2u, 3u}) Fill(cluster, id);
  for (int i = 0; i < 3; ++i) {  // each hands over to one that might have space
    if (!DiskFull(cluster, cluster.Leader()))
      WriteUntilFull(cluster, cluster.Leader(), cluster.Leader());
    cluster.Run(200);
  }
  const raft::Term term = cluster[cluster.Leader()].raft().term();
  for (const raft::NodeId id : {1u, 2u, 3u}) {
    EXPECT_EQ(cluster.Ask(id, {"SET", "k", "w"}), "-NOTAPPLIED the disk is full\r\n") << id;
    EXPECT_EQ(cluster.Ask(id, {"GET", "k"}), "$1\r\nv\r\n") << id;
  }
  cluster.Run(20'000);
  EXPECT_EQ(cluster[cluster.Leader()].raft().term(), term) << "nobody can do better";
  cluster.Kill(cluster.Leader());
  EXPECT_EQ(cluster.Ask(cluster.Leader(), {"GET", "k"}), "$1\r\nv\r\n") << "elections go on";
  EXPECT_EQ(cluster.Ask(cluster.Leader(), {"SET", "k", "w"}), "-NOTAPPLIED the disk is full\r\n");
  for (const raft::NodeId id : {1u, 2u, 3u}) {
    Fill(cluster, id, false);
    if (cluster.nodes[id].replica == nullptr) cluster.Start(id);
  }
  cluster.Run(1'000);
  for (const raft::NodeId id : {1u, 2u, 3u})
    EXPECT_EQ(cluster.Ask(id, {"SET", "k", absl::StrCat(id)}), "+OK\r\n");
  cluster.Run(200);
  EXPECT_EQ(cluster[1].Status().digest, cluster[2].Status().digest);
  EXPECT_EQ(cluster[1].Status().digest, cluster[3].Status().digest);
}

TEST(FullDisk, ANodeStartsWithTheSpaceItKeptBack) {
  Cluster cluster(1);
  cluster.Leader();
  EXPECT_EQ(cluster.Ask(1, {"SET", "k", "v"}), "+OK\r\n");
  Fill(cluster, 1);
  cluster.Kill(1);
  cluster.Start(1);  // which needs a new segment
  cluster.Leader();
  EXPECT_EQ(cluster.Ask(1, {"GET", "k"}), "$1\r\nv\r\n");
  EXPECT_EQ(cluster.Ask(1, {"SET", "k", "w"}), "-NOTAPPLIED the disk is full\r\n");
  Fill(cluster, 1, false);
  cluster.Run(1'000);
  EXPECT_EQ(cluster.Ask(1, {"SET", "k", "w"}), "+OK\r\n");
}

TEST(FullDisk, ABatchLargerThanWhatIsKeptBackWaitsForSpace) {
  Cluster cluster(1);
  cluster.Leader();
  Fill(cluster, 1);
  const ClientId client = cluster.Connect(1);
  cluster.Say(1, client, {"SET", "large", std::string(100 << 10, 'l')});
  cluster.Run(1'000);
  EXPECT_EQ(cluster.Heard(1, client), "");
  EXPECT_EQ(cluster.Ask(1, {"SET", "k", "v"}), "-NOTAPPLIED the disk is full\r\n");
  Fill(cluster, 1, false);
  cluster.Run(1'000);
  EXPECT_EQ(cluster.Heard(1, client), "+OK\r\n");
  EXPECT_EQ(cluster.Ask(1, {"SET", "k", "v"}), "+OK\r\n");
}

TEST(FullDisk, SnapshotsAreGivenUpAndTakenLater) {
  Cluster cluster(1, [](Options& options) { options.snapshots.minimum_bytes = 10'000; });
  cluster.Leader();
  EXPECT_EQ(cluster.Ask(1, {"SET", "k", "v"}), "+OK\r\n");
  Fill(cluster, 1);
  WriteUntilFull(cluster, 1, 1);
  EXPECT_GT(cluster.nodes[1].disk->counters().full_errors, 2u) << "snapshots and the log";
  EXPECT_EQ(Count<SnapshotTaken>(cluster.nodes[1]), 0u);
  EXPECT_TRUE(cluster[1].health().ok());
  cluster.Run(6'000);
  EXPECT_EQ(cluster.Ask(1, {"SET", "k", "w"}), "-NOTAPPLIED the disk is full\r\n");
  EXPECT_EQ(cluster.Ask(1, {"GET", "k"}), "$1\r\nv\r\n");

  Fill(cluster, 1, false);
  cluster.Run(1'000);
  for (int i = 0; i < 40; ++i)
    EXPECT_EQ(cluster.Ask(1, {"SET", "k", std::string(600, 'x')}), "+OK\r\n");
  EXPECT_GT(Count<SnapshotTaken>(cluster.nodes[1]), 0u);
}

// One read by which a new snapshot is verified returns other bytes. Nobody has counted on it yet.
TEST(MisreadDisk, ASnapshotThatDoesNotReadBackIsTakenLater) {
  Cluster cluster(1, SmallSnapshots);
  cluster.Leader();
  sim::SimDisk& disk = *cluster.nodes[1].disk;
  const sim::MisdirectedRead lie{"snapshot-", 0, "identity", 0};
  disk.Inject(lie);
  for (int i = 0; i < 40; ++i)
    EXPECT_EQ(cluster.Ask(1, {"SET", "k", std::string(600, 'x')}), "+OK\r\n");
  EXPECT_EQ(disk.effects()[sim::DiskFault(lie).index()], 1u);
  EXPECT_TRUE(cluster[1].health().ok()) << cluster[1].health();
  EXPECT_GT(Count<SnapshotTaken>(cluster.nodes[1]), 0u);
}

TEST(MisreadDisk, ASnapshotThatCannotBeWrittenEndsTheNode) {
  Cluster cluster(1, SmallSnapshots);
  cluster.Leader();
  using Refusal = sim::SimDisk::Refusal;
  cluster.nodes[1].disk->Refuse(Refusal{Refusal::Kind::kError, {"snapshot-"}});
  const ClientId client = cluster.Connect(1);
  for (int i = 0; i < 40; ++i) cluster.Say(1, client, {"SET", "k", std::string(600, 'x')});
  cluster.Run(1'000);
  EXPECT_TRUE(absl::IsDataLoss(cluster[1].health())) << cluster[1].health();
}

TEST(HungDisk, ALeaderIsReplacedAndComesBack) {
  Cluster cluster(3);
  const raft::NodeId hung = cluster.Leader();
  const raft::NodeId other = cluster.Follower();
  cluster.hold_disk.insert(hung);
  const ClientId client = cluster.Connect(hung);
  cluster.Say(hung, client, {"SET", "k", "v"});
  cluster.Settle();
  const uint64_t sent = cluster.frames_sent[{hung, other}];
  cluster.Run(200);
  EXPECT_TRUE(cluster[hung].raft().is_leader());
  EXPECT_GT((cluster.frames_sent[{hung, other}]), sent) << "heartbeats do not wait for the disk";
  cluster.Run(2'000);
  EXPECT_FALSE(cluster[hung].raft().is_leader());
  EXPECT_NE(cluster.Leader(), hung);
  EXPECT_EQ(cluster.Ask(other, {"GET", "k"}), "$1\r\nv\r\n") << "two of three had it";
  EXPECT_EQ(cluster.Ask(other, {"SET", "k", "w"}), "+OK\r\n");
  EXPECT_EQ(cluster.Heard(hung, client), "") << "which its own disk does not yet";
  cluster.hold_disk.clear();
  cluster.Run(500);
  EXPECT_EQ(cluster.Heard(hung, client), "+OK\r\n");
  EXPECT_EQ(cluster.Ask(hung, {"GET", "k"}), "$1\r\nw\r\n");
}

TEST(ReplicaTest, ALongPauseIsNotManyTicks) {
  Cluster cluster(3);
  const raft::NodeId leader = cluster.Leader();
  const raft::Term term = cluster[leader].raft().term();
  cluster.now_us += 60'000'000;  // the whole machine was asleep
  cluster.Run(1'000);
  EXPECT_EQ(cluster[leader].raft().term(), term);
  EXPECT_TRUE(cluster[leader].raft().is_leader());
}

TEST(ReplicaTest, TooManyClientsAreTurnedAway) {
  Cluster cluster(1, [](Options& options) { options.max_clients = 2; });
  EXPECT_TRUE(cluster[1].ClientOpened(1001));
  EXPECT_TRUE(cluster[1].ClientOpened(1002));
  EXPECT_FALSE(cluster[1].ClientOpened(1003));
  cluster[1].ClientClosed(1001);
  EXPECT_TRUE(cluster[1].ClientOpened(1004));
}

TEST(ReplicaTest, OptionsAreCheckedByName) {
  Options options;
  options.raft.id = 1;
  EXPECT_TRUE(absl::StrContains(ValidateOptions(options).message(), "incarnation"));
  options.incarnation = 1;
  EXPECT_TRUE(ValidateOptions(options).ok());
  options.tick_us = 0;
  EXPECT_TRUE(absl::StrContains(ValidateOptions(options).message(), "tick_us"));
}

}  // namespace
}  // namespace raftkv::replica
