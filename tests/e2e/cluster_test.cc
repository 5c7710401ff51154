// What a cluster promises to those who use and run it, with real processes, sockets and disks.
#include "tests/e2e/cluster.h"

#include <signal.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftkv::e2e {
namespace {

using testing::HasSubstr;

TEST(Cluster, WhatOneNodeWroteEveryOtherReads) {
  Cluster cluster(3);
  cluster.StartAll();
  ASSERT_NE(cluster.WaitForLeader(), 0u);
  for (const uint64_t writer : cluster.ids()) {
    const std::string value = absl::StrCat("from node ", writer);
    EXPECT_EQ(cluster.Ask(writer, {"SET", "key", value}), "OK");
    for (const uint64_t reader : cluster.ids()) {
      EXPECT_EQ(cluster.Ask(reader, {"GET", "key"}), value);
    }
  }
}

TEST(Cluster, AFollowerAnswersAPipelineInItsOrder) {
  Cluster cluster(3);
  cluster.StartAll();
  const uint64_t leader = cluster.WaitForLeader();
  ASSERT_NE(leader, 0u);
  const uint64_t follower = cluster.OtherThan(leader);
  ASSERT_EQ(cluster.Ask(follower, {"SET", "n", "0"}), "OK");
  std::unique_ptr<RedisClient> client = cluster.Client(follower);
  ASSERT_NE(client, nullptr);
  std::string bytes;
  for (int i = 0; i < 500; ++i) {
    client->Request({"INCR", "n"}, &bytes);
    client->Request({"ECHO", absl::StrCat("echo ", i)}, &bytes);
    if (i % 10 == 0) client->Request({"STRLEN", "n"}, &bytes);
  }
  ASSERT_TRUE(client->connection().Send(bytes));
  for (int i = 0; i < 500; ++i) {
    ASSERT_EQ(Show(client->NextReply()), absl::StrCat(i + 1));
    ASSERT_EQ(Show(client->NextReply()), absl::StrCat("echo ", i));
    if (i % 10 == 0) {
      // At least what was acknowledged before the question; later increments may be in it.
      EXPECT_THAT(Show(client->NextReply()), testing::AnyOf("1", "2", "3"));
    }
  }
}

TEST(Cluster, TheOtherTwoGoOnWhenTheLeaderIsKilledAndItComesBackEqual) {
  Cluster cluster(3);
  cluster.StartAll();
  const uint64_t leader = cluster.WaitForLeader();
  ASSERT_NE(leader, 0u);
  ASSERT_EQ(cluster.Ask(leader, {"SET", "before", "1"}), "OK");
  cluster.Kill(leader);
  const uint64_t survivor = cluster.OtherThan(leader);
  ASSERT_EQ(cluster.Ask(survivor, {"SET", "after", "2"}), "OK");
  EXPECT_EQ(cluster.Ask(survivor, {"GET", "before"}), "1");
  cluster.Start(leader);
  EXPECT_TRUE(Eventually([&] { return cluster.DigestsAgree(); }));
  EXPECT_EQ(cluster.Ask(leader, {"GET", "after"}), "2");
}

TEST(Cluster, SigtermHandsLeadershipOverAndExitsWithZero) {
  Cluster cluster(3);
  cluster.StartAll();
  const uint64_t leader = cluster.WaitForLeader();
  ASSERT_NE(leader, 0u);
  ASSERT_EQ(cluster.Ask(leader, {"SET", "key", "value"}), "OK");
  cluster.node(leader).process->Signal(SIGTERM);
  ASSERT_EQ(cluster.node(leader).process->Wait(), 0);
  const std::string log = ReadFile(cluster.node(leader).log);
  // It was a follower again before it went: the cluster did not have to find out that it is gone.
  EXPECT_GT(log.rfind("role=follower"), log.rfind("role=leader")) << log;
  EXPECT_THAT(log, HasSubstr("event=stopped code=0"));
  EXPECT_EQ(cluster.Ask(cluster.OtherThan(leader), {"GET", "key"}), "value");
}

TEST(Cluster, ASingleNodeSurvivesKillAndStopsCleanly) {
  Cluster cluster(1);
  cluster.StartAll();
  ASSERT_EQ(cluster.Ask(1, {"SET", "key", "value"}), "OK");
  cluster.Kill(1);
  cluster.Start(1);
  EXPECT_EQ(cluster.Ask(1, {"GET", "key"}), "value");
  cluster.node(1).process->Signal(SIGINT);
  EXPECT_EQ(cluster.node(1).process->Wait(), 0);
}

TEST(Cluster, AMemberJoinsLearnsVotesAndLeaves) {
  // Small snapshots: the newcomer is sent one, and more than one chunk of log after it.
  Cluster cluster(3, {"--snapshot-log-bytes", "64KiB", "--trailing-log-bytes", "16KiB",
                      "--request-timeout-ms", "1000"});
  cluster.StartAll();
  ASSERT_NE(cluster.WaitForLeader(), 0u);
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(cluster.Ask(1, {"SET", absl::StrCat("key", i), std::string(1'000, 'v')}), "OK");
  }
  const std::string incarnation = cluster.InitJoiner(4);
  cluster.Start(4);
  // Before it is a member it serves nobody, and says so.
  ASSERT_TRUE(Eventually([&] { return cluster.Status(4, "role") == "follower"; }));
  EXPECT_THAT(cluster.Ask(4, {"GET", "key1"}, 0), HasSubstr("-NOTAPPLIED"));

  auto address = [&](uint16_t port) { return absl::StrCat("127.0.0.1:", port); };
  ASSERT_EQ(cluster.Ask(2, {"KV.MEMBER", "ADD", "4", address(cluster.node(4).peer_port),
                            address(cluster.node(4).client_port), incarnation}),
            "OK");
  ASSERT_TRUE(Eventually([&] { return cluster.DigestsAgree(); }));
  EXPECT_EQ(cluster.Status(1, "learners"), "4");
  EXPECT_EQ(cluster.Ask(3, {"KV.MEMBER", "PROMOTE", "4"}), "OK");
  ASSERT_TRUE(Eventually([&] { return cluster.Status(4, "voters") == "1,2,3,4"; }));
  EXPECT_EQ(cluster.Ask(4, {"GET", "key199"}), std::string(1'000, 'v'));

  EXPECT_EQ(cluster.Ask(4, {"KV.MEMBER", "REMOVE", "1"}), "OK");
  ASSERT_TRUE(Eventually([&] { return cluster.Status(4, "voters") == "2,3,4"; }));
  cluster.Kill(1);
  cluster.Kill(2);  // 3 and 4 are a majority of what is left
  EXPECT_EQ(cluster.Ask(4, {"SET", "key", "after"}), "OK");
  EXPECT_EQ(cluster.Ask(3, {"GET", "key"}), "after");
}

TEST(Cluster, ANodeThatLagsBehindTheLogIsSentASnapshot) {
  Cluster cluster(3, {"--snapshot-log-bytes", "64KiB", "--trailing-log-bytes", "16KiB",
                      "--segment-bytes", "256KiB"});
  cluster.StartAll();
  const uint64_t leader = cluster.WaitForLeader();
  ASSERT_NE(leader, 0u);
  const uint64_t victim = cluster.OtherThan(leader);
  cluster.Kill(victim);
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(cluster.Ask(leader, {"SET", absl::StrCat("key", i % 50), std::string(2'000, 'v')}),
              "OK");
  }
  cluster.Start(victim);
  EXPECT_TRUE(Eventually([&] { return cluster.DigestsAgree(); }));
  EXPECT_TRUE(Eventually([&] {
    return absl::StrContains(ReadFile(cluster.node(victim).log), "event=\"snapshot installed\"");
  }));
}

TEST(Cluster, AClientThatClosesItsHalfGetsItsAnswers) {
  Cluster cluster(1);
  cluster.StartAll();
  ASSERT_EQ(cluster.Ask(1, {"SET", "key", "value"}), "OK");
  std::unique_ptr<Connection> connection = Connection::Open(cluster.node(1).client_port);
  ASSERT_NE(connection, nullptr);
  ASSERT_TRUE(connection->Send("SET a 1\r\nPING\r\n"));
  connection->FinishSending();
  std::string all;
  for (;;) {
    const std::optional<std::string> bytes = connection->Receive();
    ASSERT_TRUE(bytes.has_value()) << "it is not closed";
    if (bytes->empty()) break;
    all += *bytes;
  }
  EXPECT_EQ(all, "+OK\r\n+PONG\r\n");
}

}  // namespace
}  // namespace raftkv::e2e
