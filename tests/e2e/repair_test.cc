// Bytes of real files rot, while their node is stopped or under it.
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cmd/exit_codes.h"
#include "gtest/gtest.h"
#include "tests/e2e/cluster.h"

namespace raftkv::e2e {
namespace {

// Spoils one byte of the first file of `data` that begins with `prefix` and holds `text`.
bool Rot(const std::string& data, const std::string& prefix, const std::string& text) {
  for (const auto& entry : std::filesystem::directory_iterator(data)) {
    if (!absl::StartsWith(entry.path().filename().string(), prefix)) continue;
    std::string bytes = ReadFile(entry.path().string());
    const size_t at = bytes.find(text);
    if (at == std::string::npos) continue;
    // In place: the node may have it open.
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(bytes[at] ^ 1));
    return file.flush().good();
  }
  return false;
}

TEST(Repair, ARottenEntryIsFetchedAndTheNodeGoesOnInTheSameProcess) {
  Cluster cluster(3);
  cluster.StartAll();
  const uint64_t node = cluster.OtherThan(cluster.WaitForLeader());
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(cluster.Ask(node, {"SET", absl::StrCat("key", i), absl::StrCat("value<", i, ">")}),
              "OK");
  }
  cluster.Kill(node);
  ASSERT_TRUE(Rot(cluster.node(node).data, "log-", "value<10>"));
  ASSERT_TRUE(Rot(cluster.node(node).data, "log-", "value<20>"));
  cluster.Start(node);
  EXPECT_EQ(cluster.Ask(node, {"GET", "key10"}), "value<10>");
  EXPECT_EQ(cluster.Ask(node, {"GET", "key20"}), "value<20>");
  EXPECT_EQ(cluster.Status(node, "repair"), "");
  const std::string log = ReadFile(cluster.node(node).log);
  EXPECT_TRUE(absl::StrContains(log, "event=repaired entries=2")) << log;
}

TEST(Repair, ARottenSnapshotIsFetched) {
  Cluster cluster(3);
  cluster.StartAll();
  const uint64_t node = cluster.OtherThan(cluster.WaitForLeader());
  ASSERT_EQ(cluster.Ask(node, {"SET", "key", "value"}), "OK");
  cluster.Kill(node);
  ASSERT_TRUE(Rot(cluster.node(node).data, "snapshot-", "RKSTATE1"));
  cluster.Start(node);
  EXPECT_EQ(cluster.Ask(node, {"GET", "key"}), "value");
  const std::string log = ReadFile(cluster.node(node).log);
  EXPECT_TRUE(absl::StrContains(log, "event=repaired entries=0 snapshot=1")) << log;
}

TEST(Repair, ASingleVoterRefusesWhatNobodyElseHas) {
  Cluster cluster(1);
  cluster.StartAll();
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(cluster.Ask(1, {"SET", "key", absl::StrCat("value<", i, ">")}), "OK");
  }
  cluster.Kill(1);
  ASSERT_TRUE(Rot(cluster.node(1).data, "log-", "value<5>"));
  const Finished end = RunToEnd({NodeProgram(), "--data", cluster.node(1).data});
  EXPECT_EQ(end.code, kExitLost) << end.output;
  EXPECT_TRUE(absl::StrContains(end.output, "no other member has a copy")) << end.output;
}

// Found by the scrubber of a node that nobody stops, leader or not.
TEST(Scrub, RotUnderARunningNodeIsRepaired) {
  Cluster cluster(3, {"--scrub-pause-ms", "300"});
  cluster.StartAll();
  const uint64_t leader = cluster.WaitForLeader();
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(cluster.Ask(leader, {"SET", absl::StrCat("key", i), absl::StrCat("value<", i, ">")}),
              "OK");
  }
  for (const uint64_t node : {cluster.OtherThan(leader), leader}) {
    SCOPED_TRACE(absl::StrCat("node ", node, ", leader ", leader));
    ASSERT_TRUE(Rot(cluster.node(node).data, "log-", "value<10>"));
    EXPECT_TRUE(Eventually(
        [&] {
          return absl::StrContains(ReadFile(cluster.node(node).log), "event=repaired entries=1");
        },
        20));
    EXPECT_EQ(cluster.Ask(node, {"GET", "key10"}), "value<10>");
    const std::string log = ReadFile(cluster.node(node).log);
    EXPECT_TRUE(absl::StrContains(log, "rot on the disk")) << log;
    EXPECT_TRUE(cluster.node(node).process->running());
  }
  EXPECT_TRUE(Eventually(
      [&] {
        return cluster.Status(leader, "scrub_passes") > "1" &&
               cluster.Status(leader, "scrub_findings") == "0";
      },
      20));
}

}  // namespace
}  // namespace raftkv::e2e
