// What happens to processes, seen every millisecond.
#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sim/run/run.h"
#include "sim/scenario/scenario.h"

namespace raftkv::sim {
namespace {

constexpr Time kBegins = 500 * kMillisecond;
constexpr Time kEnds = 1'500 * kMillisecond;

// A quiet cluster of three nodes in which `fault` happens from kBegins on.
RunReport Play(const std::string& fault, const std::function<void(Cluster&)>& look) {
  absl::StatusOr<Scenario> scenario = ParseScenario(
      "processes", absl::StrCat("raftkv scenario 1\nseed 1\nset chaos 3s\nclient 1\nat 100ms: c1: "
                                "SET r0 a\nat 2500ms: c1: GET r0\nat ",
                                kBegins / kMillisecond, "ms: ", fault, "\n"));
  EXPECT_TRUE(scenario.ok()) << scenario.status();
  scenario->settings.script = [look](Cluster& cluster) {
    for (Time at = 0; at < 3 * kSecond; at += kMillisecond) {
      cluster.scheduler().At(at, Actor::kScript, [&cluster, look] { look(cluster); });
    }
  };
  const RunReport report = Simulate(scenario->settings);
  EXPECT_FALSE(report.violation.has_value()) << FormatViolation(*report.violation);
  return report;
}

TEST(ProcessesTest, ASlowNodeStandsStillAsLongAsItRuns) {
  size_t runs = 0, stands = 0, changes = 0;
  bool stood = false;
  const RunReport report = Play("slow-node 2 each-ms 70 for 1s", [&](Cluster& cluster) {
    const bool stands_now = cluster.Find(2)->state() == Process::State::kPaused;
    const Time now = cluster.scheduler().now();
    if (now < kBegins || now > kEnds) {
      EXPECT_FALSE(stands_now) << now;
      return;
    }
    ++(stands_now ? stands : runs);
    changes += std::exchange(stood, stands_now) != stands_now;
  });
  EXPECT_EQ(report.counters.faults[static_cast<size_t>(Fault::kSlowNode)], 1u);
  EXPECT_GE(runs, 475u);
  EXPECT_GE(stands, 475u);
  EXPECT_EQ(changes, 15u);  // it stands when it is over
}

// Whoever else pauses it, or kills it, is not undone by that.
TEST(ProcessesTest, ASlowNodeThatIsKilledIsNoLongerSlow) {
  const RunReport report =
      Play("slow-node 2 each-ms 20 for 1s\nat 700ms: kill 2 for 100ms", [](Cluster& cluster) {
        if (cluster.scheduler().now() < 710 * kMillisecond) return;
        EXPECT_NE(cluster.Find(2)->state(), Process::State::kPaused);
      });
  EXPECT_EQ(report.counters.crashes, 1u);
}

TEST(ProcessesTest, ARestartStormTakesThePowerAgainAndAgain) {
  uint64_t first = 0, last = 0;
  const RunReport report = Play("restart-storm 2 each-ms 50 for 1s", [&](Cluster& cluster) {
    const Process& process = *cluster.Find(2);
    if (cluster.scheduler().now() < kBegins) first = process.life();
    last = process.life();
    if (cluster.scheduler().now() > kEnds + 60 * kMillisecond) {
      EXPECT_EQ(process.state(), Process::State::kUp);
    }
    EXPECT_EQ(cluster.Find(1)->life(), 1u);
  });
  // A death and a start every 100 ms.
  EXPECT_EQ(last - first, 20u);
  EXPECT_EQ(report.counters.faults[static_cast<size_t>(Fault::kRestartStorms)], 1u);
}

TEST(ProcessesTest, ARollingRestartTakesOneAfterTheOther) {
  std::map<raft::NodeId, uint64_t> lives;
  size_t most_down = 0;
  const RunReport report =
      Play("rolling-restart 1 2 3 each-ms 50 for 300ms", [&](Cluster& cluster) {
        size_t down = 0;
        for (const auto& [node, process] : cluster.processes()) {
          lives[node] = process->life();
          down += process->state() == Process::State::kDown;
        }
        most_down = std::max(most_down, down);
      });
  EXPECT_EQ(lives, (std::map<raft::NodeId, uint64_t>{{1, 3}, {2, 3}, {3, 3}}));
  EXPECT_EQ(most_down, 1u);
  EXPECT_EQ(report.counters.faults[static_cast<size_t>(Fault::kRollingRestarts)], 1u);
}

// Drawn partitions have all their shapes, and each says nothing of links that are whole.
TEST(ProcessesTest, PartitionsHaveFourShapes) {
  // By how many of the ten pairs of five nodes do not hear each other.
  std::map<size_t, size_t> pairs;
  bool bridge = false, ring = false;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    RunSettings settings = DrawSettings(seed, Profile::kNetwork);
    settings.cluster.founders = 5;
    settings.cluster.founding_learners = 0;
    settings.nemesis.shares = {};
    settings.nemesis.shares[static_cast<size_t>(Fault::kPartition)] = 1;
    settings.chaos = 3 * kSecond;
    Audience audience;
    audience.record = true;
    for (const CuedFault& fault : Simulate(settings, audience).record.faults) {
      std::map<raft::NodeId, size_t> cut;
      for (const Link& link : fault.command.links) ++cut[link.first];
      const size_t count = fault.command.links.size() / 2;
      ++pairs[count];
      // Four nodes in two groups, and one that hears all; or everybody hears two.
      bridge = bridge || (cut.size() == 4 && count >= 3);
      ring = ring || (cut.size() == 5 && count == 5 && cut[1] == 2 && cut[2] == 2);
    }
    if (bridge && ring && pairs.contains(1) && pairs.contains(6)) break;
  }
  EXPECT_TRUE(bridge);
  EXPECT_TRUE(ring);
  EXPECT_GT(pairs[1], 0u) << "one pair";
  EXPECT_GT(pairs[6], 0u) << "two against three";
}

}  // namespace
}  // namespace raftkv::sim
