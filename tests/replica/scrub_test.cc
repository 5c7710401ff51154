// Rot on real (simulated) disks under running replicas: it is found before anybody needs what is
// lost, and repaired by the others.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/replica/replica.h"
#include "tests/replica/replica_cluster.h"

namespace raftkv::replica {
namespace {

constexpr uint64_t kPauseMs = 500;

void Scrubbing(Options& options) {
  options.raft.election_ticks = 10;
  options.scrub_pause_ms = kPauseMs;
}

template <typename Kind>
std::vector<Kind> Events(const Cluster::Node& node) {
  std::vector<Kind> found;
  for (const Event& event : node.events) {
    if (const auto* one = std::get_if<Kind>(&event)) found.push_back(*one);
  }
  return found;
}

struct Writes {
  explicit Writes(Cluster& written) : cluster(written) {
    const raft::NodeId leader = cluster.Leader();
    for (int i = 0; i < 8; ++i) {
      EXPECT_EQ(cluster.Ask(leader, {"SET", absl::StrCat("k", i), absl::StrCat("precious-", i)}),
                "+OK\r\n");
    }
    cluster.Run(100);
  }
  bool Complete() {
    for (int i = 0; i < 8; ++i) {
      if (!absl::StrContains(cluster.Ask(cluster.Leader(), {"GET", absl::StrCat("k", i)}),
                             absl::StrCat("precious-", i)))
        return false;
    }
    return true;
  }
  Cluster& cluster;
};

TEST(ReplicaScrubTest, WholeDisksAreReadOverAndOverAndNothingHappens) {
  Cluster cluster(3, Scrubbing);
  Writes writes(cluster);
  cluster.Run(5'000);
  for (auto& [id, node] : cluster.nodes) {
    const ScrubCounters scrub = node.replica->Status().scrub;
    EXPECT_GE(scrub.passes, 5u);
    EXPECT_LE(scrub.passes, 10u) << "a pause is in front of each";
    EXPECT_GT(scrub.bytes, 10'000u);
    EXPECT_EQ(scrub.findings, 0u);
  }
  EXPECT_TRUE(cluster.restarts.empty());
  EXPECT_TRUE(absl::StrContains(cluster.Ask(1, {"INFO"}), "scrub_findings:0\r\n"));
  EXPECT_TRUE(absl::StrContains(cluster.Ask(1, {"KV.STATUS"}), "scrub_passes"));
}

TEST(ReplicaScrubTest, ItIsTurnedOffAndPaced) {
  Cluster off(1, [](Options& options) {
    Scrubbing(options);
    options.scrub_bytes_per_s = 0;
  });
  off.Leader();
  off.Run(3'000);
  EXPECT_EQ(off[1].Status().scrub.bytes, 0u);

  Cluster slow(1, [](Options& options) {
    Scrubbing(options);
    options.scrub_bytes_per_s = 4'000;
  });
  slow.Leader();
  slow.Run(10'500);
  EXPECT_GT(slow[1].Status().scrub.bytes, 15'000u);
  EXPECT_LT(slow[1].Status().scrub.bytes, 75'000u) << "at most one step ahead";
}

TEST(ReplicaScrubTest, RotOfAFollowersEntryIsRepairedFromPeers) {
  Cluster cluster(3, Scrubbing);
  Writes writes(cluster);
  const raft::NodeId leader = cluster.Leader();
  const raft::NodeId follower = cluster.Follower();
  ASSERT_TRUE(Spoil(cluster.nodes[follower], "log-", "precious-3"));
  cluster.Run(3'000);
  EXPECT_EQ(cluster.restarts.count(follower), 2u) << "to be repaired, and when it was";
  EXPECT_EQ(cluster.restarts.size(), 2u);
  EXPECT_EQ(cluster.Leader(), leader);
  const std::vector<RotFound> found = Events<RotFound>(cluster.nodes[follower]);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(absl::StartsWith(found[0].rot.file, "log-"));
  EXPECT_NE(found[0].rot.index, 0u);
  const std::vector<RepairClosed> closed = Events<RepairClosed>(cluster.nodes[follower]);
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_EQ(closed[0].fetched_entries, 1u);
  // The others may lose everything now.
  EXPECT_FALSE(Spoil(cluster.nodes[follower], "log-", "nothing like it"));
  EXPECT_TRUE(Spoil(cluster.nodes[follower], "log-", "precious-3")) << "it is on the disk again";
  EXPECT_TRUE(writes.Complete());
}

TEST(ReplicaScrubTest, ALeaderHandsOverFirst) {
  Cluster cluster(3, Scrubbing);
  Writes writes(cluster);
  const raft::NodeId leader = cluster.Leader();
  const raft::Term term = cluster[leader].raft().term();
  ASSERT_TRUE(Spoil(cluster.nodes[leader], "log-", "precious-3"));
  raft::NodeId led_at_restart = raft::kNoNode;
  for (int i = 0; i < 300 && cluster.restarts.empty(); ++i) {
    cluster.Run(10);
    for (auto& [id, node] : cluster.nodes) {
      if (node.replica->raft().is_leader()) led_at_restart = id;
    }
  }
  EXPECT_NE(led_at_restart, leader);
  EXPECT_NE(led_at_restart, raft::kNoNode);
  cluster.Run(2'000);
  EXPECT_EQ(cluster.restarts.count(leader), 2u);
  EXPECT_EQ(cluster.restarts.size(), 2u);
  EXPECT_EQ(Events<RepairClosed>(cluster.nodes[leader]).size(), 1u);
  EXPECT_EQ(cluster[leader].raft().term(), term + 1) << "handed over, not timed out";
  EXPECT_TRUE(writes.Complete());
}

TEST(ReplicaScrubTest, ALeaderWithoutAnybodyToHandOverToGoesOn) {
  Cluster cluster(3, [](Options& options) {
    Scrubbing(options);
    options.raft.check_quorum = false;
  });
  Writes writes(cluster);
  const raft::NodeId leader = cluster.Leader();
  for (raft::NodeId id = 1; id <= 3; ++id) {
    if (id != leader) cluster.Kill(id);
  }
  cluster.Run(200);
  ASSERT_TRUE(Spoil(cluster.nodes[leader], "log-", "precious-3"));
  cluster.Run(4'000);
  EXPECT_EQ(Events<RotToRepair>(cluster.nodes[leader]).size(), 1u);
  EXPECT_TRUE(cluster[leader].raft().is_leader());
  EXPECT_FALSE(cluster[leader].Status().stopping);
  EXPECT_TRUE(cluster.restarts.empty());
  for (raft::NodeId id = 1; id <= 3; ++id) {
    if (id != leader && cluster.nodes[id].replica == nullptr) cluster.Start(id);
  }
  cluster.Run(4'000);
  EXPECT_TRUE(writes.Complete());
  EXPECT_EQ(Events<RepairClosed>(cluster.nodes[leader]).size(), 1u);
}

TEST(ReplicaScrubTest, RotOfASnapshotIsRepairedFromPeers) {
  Cluster cluster(3, [](Options& options) {
    Scrubbing(options);
    options.snapshots.minimum_bytes = 300;
  });
  Writes writes(cluster);
  const raft::NodeId follower = cluster.Follower();
  ASSERT_TRUE(Spoil(cluster.nodes[follower], "snapshot-", "precious-0"));
  cluster.Run(3'000);
  EXPECT_EQ(cluster.restarts.count(follower), 2u);
  EXPECT_EQ(cluster.restarts.size(), 2u);
  ASSERT_EQ(Events<RepairClosed>(cluster.nodes[follower]).size(), 1u);
  EXPECT_GT(Events<RepairClosed>(cluster.nodes[follower])[0].fetched_snapshot_bytes, 0u);
  EXPECT_TRUE(writes.Complete());
}

TEST(ReplicaScrubTest, ABadCopyIsWrittenAgainWithoutARestart) {
  Cluster cluster(3, Scrubbing);
  Writes writes(cluster);
  ASSERT_TRUE(cluster.nodes[1].disk->Corrupt("vote", 40, 1));
  cluster.Run(3'000);
  EXPECT_EQ(Events<RotFound>(cluster.nodes[1]).size(), 1u);
  EXPECT_EQ(cluster[1].Status().scrub.findings, 1u);
  EXPECT_TRUE(cluster.restarts.empty());
}

TEST(ReplicaScrubTest, ASingleVoterOnlyReports) {
  Cluster cluster(1, Scrubbing);
  Writes writes(cluster);
  ASSERT_TRUE(Spoil(cluster.nodes[1], "log-", "precious-3"));
  cluster.Run(3'000);
  EXPECT_TRUE(cluster.restarts.empty());
  EXPECT_GE(Events<RotFound>(cluster.nodes[1]).size(), 2u) << "with every pass";
  EXPECT_TRUE(Events<RotToRepair>(cluster.nodes[1]).empty());
  EXPECT_TRUE(writes.Complete());
}

// A device that spoils the same place whatever is written there.
TEST(ReplicaScrubTest, RotThatComesBackCostsOneRestartForEachPass) {
  Cluster cluster(3, Scrubbing);
  Writes writes(cluster);
  const raft::NodeId follower = cluster.Follower();
  size_t spoilt = 0;
  for (int i = 0; i < 400; ++i) {
    // As soon as it is whole again.
    if (cluster.restarts.size() == 2 * spoilt && spoilt < 100) {
      ASSERT_TRUE(Spoil(cluster.nodes[follower], "log-", "precious-3"));
      ++spoilt;
    }
    cluster.Run(10);
  }
  EXPECT_GE(spoilt, 3u);
  EXPECT_LE(spoilt, 4'000 / kPauseMs + 1);
  EXPECT_TRUE(writes.Complete());
}

TEST(ReplicaScrubTest, StoppingMeanwhileStopsAndDoesNotRestart) {
  Cluster cluster(3, Scrubbing);
  Writes writes(cluster);
  const raft::NodeId leader = cluster.Leader();
  for (raft::NodeId id = 1; id <= 3; ++id) cluster.hold_disk.insert(id == leader ? 0 : id);
  ASSERT_TRUE(Spoil(cluster.nodes[leader], "log-", "precious-3"));
  for (int i = 0; i < 200 && Events<RotToRepair>(cluster.nodes[leader]).empty(); ++i)
    cluster.Run(10);
  ASSERT_EQ(Events<RotToRepair>(cluster.nodes[leader]).size(), 1u);
  cluster[leader].Stop();
  cluster.hold_disk.clear();
  cluster.Run(3'000);
  EXPECT_TRUE(cluster[leader].Stopped());
  EXPECT_EQ(cluster.restarts.count(leader), 0u);
}

}  // namespace
}  // namespace raftkv::replica
