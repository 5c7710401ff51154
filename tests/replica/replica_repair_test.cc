// Replicas whose disks have lost something: they are repaired by each other, or wait and say so.
#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/replica/replica.h"
#include "tests/replica/replica_cluster.h"

namespace raftkv::replica {
namespace {

using Evidence = raft::Suspicion::Evidence;

template <typename Kind>
std::vector<Kind> Events(const Cluster::Node& node) {
  std::vector<Kind> found;
  for (const Event& event : node.events) {
    if (const auto* one = std::get_if<Kind>(&event)) found.push_back(*one);
  }
  return found;
}

void Quiet(Options& options) { options.raft.election_ticks = 10; }

// Three nodes with the same log, whose last four entries are the writes of a, b, c and d.
class FourEntries {
 public:
  explicit FourEntries(std::function<void(Options&)> tune = Quiet) : cluster(3, std::move(tune)) {
    const raft::NodeId leader = cluster.Leader();
    for (const char* key : {"a", "b", "c", "d"})
      EXPECT_EQ(cluster.Ask(leader, {"SET", key, absl::StrCat("v", key)}), "+OK\r\n");
    cluster.Run(200);
    first = cluster[1].raft().log().last() - 3;
  }
  // All nodes start anew and find what they are made to find.
  void Restart() {
    for (raft::NodeId id = 1; id <= 3; ++id) cluster.Kill(id);
    for (raft::NodeId id = 1; id <= 3; ++id) cluster.Start(id);
  }
  bool Led() {
    for (auto& [id, node] : cluster.nodes) {
      if (node.replica != nullptr && node.replica->raft().is_leader() &&
          node.replica->raft().committed_in_term())
        return true;
    }
    return false;
  }
  bool Complete() {
    for (const char* key : {"a", "b", "c", "d"}) {
      if (cluster.Ask(cluster.Leader(), {"GET", key}) != absl::StrCat("$2\r\nv", key, "\r\n"))
        return false;
    }
    return true;
  }

  Cluster cluster;
  raft::Index first = 0;  // index of a's write
};

// Every combination of which node has lost which of the last four entries: those of which each
// entry has one intact copy are repaired completely, whatever else is lost; in the others nothing
// is served, ever.
TEST(ReplicaRepairTest, EveryCombinationOfLostEntries) {
  int repaired = 0, waiting = 0;
  for (int lost = 0; lost < 4096; ++lost) {
    SCOPED_TRACE(lost);
    FourEntries four;
    bool everything_somewhere = true;
    for (int i = 0; i < 4; ++i) {
      int copies = 3;
      for (int node = 0; node < 3; ++node) {
        if ((lost >> (4 * node + i) & 1) == 0) continue;
        four.cluster.nodes[static_cast<raft::NodeId>(node + 1)].damage.bad.insert(
            four.first + static_cast<raft::Index>(i));
        --copies;
      }
      everything_somewhere = everything_somewhere && copies > 0;
    }
    four.Restart();
    if (everything_somewhere) {
      ASSERT_TRUE(four.Complete());
      ++repaired;
      continue;
    }
    four.cluster.Run(5'000);
    ASSERT_FALSE(four.Led());
    bool said = false;
    for (auto& [id, node] : four.cluster.nodes)
      said = said || absl::StrContains(node.replica->Status().repair, "waits for");
    ASSERT_TRUE(said);
    ++waiting;
  }
  EXPECT_EQ(repaired, 2401);
  EXPECT_EQ(waiting, 1695);
}

}  // namespace
}  // namespace raftkv::replica
