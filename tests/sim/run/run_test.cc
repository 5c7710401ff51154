#include "sim/run/run.h"

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "sim/check/check_command.h"
#include "sim/check/text_format.h"

namespace raftkv::sim {
namespace {

class EverySeed : public ::testing::TestWithParam<uint64_t> {};

TEST_P(EverySeed, HoldsAndIsNotTrivial) {
  const RunReport report = Simulate(DrawSettings(GetParam(), Profile::kEverything));
  EXPECT_FALSE(report.violation.has_value()) << FormatViolation(*report.violation);
  EXPECT_GT(report.counters.events, 1'000u);
  EXPECT_GT(report.counters.acknowledged, 0u);
  EXPECT_GT(report.counters.elections, 0u);
  EXPECT_EQ(report.counters.undecided, 0u);
  EXPECT_EQ(report.counters.operations,
            report.counters.acknowledged + report.counters.unknown + report.counters.failed);
}

INSTANTIATE_TEST_SUITE_P(Seeds, EverySeed, ::testing::Range<uint64_t>(1, 31));

TEST(RunTest, ASeedIsARun) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const RunSettings settings = DrawSettings(seed, Profile::kEverything);
    const RunReport once = Simulate(settings);
    const RunReport again = Simulate(settings);
    EXPECT_EQ(once.hash, again.hash) << seed;
    EXPECT_EQ(once.counters.events, again.counters.events) << seed;
    EXPECT_EQ(once.history, again.history) << seed;
  }
}

TEST(RunTest, BeingReadDoesNotChangeARun) {
  const RunSettings settings = DrawSettings(6, Profile::kEverything);
  uint64_t lines = 0;
  const RunReport read = Simulate(settings, [&](Time, absl::string_view) { ++lines; });
  EXPECT_EQ(read.hash, Simulate(settings).hash);
  EXPECT_GT(lines, 1'000u);
}

TEST(RunTest, SeedsDiffer) {
  std::set<uint64_t> hashes;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    hashes.insert(Simulate(DrawSettings(seed, Profile::kEverything)).hash);
  }
  EXPECT_EQ(hashes.size(), 10u);
}

TEST(RunTest, InQuietNothingIsLostAndNobodyIsDeposed) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const RunReport report = Simulate(DrawSettings(seed, Profile::kQuiet));
    EXPECT_FALSE(report.violation.has_value()) << FormatViolation(*report.violation);
    EXPECT_EQ(report.counters.faults_in_effect, 0u);
    EXPECT_EQ(report.counters.crashes, 0u);
    EXPECT_GE(report.counters.acknowledged * 100, report.counters.operations * 90) << seed;
  }
}

TEST(RunTest, ProfilesHaveTheFaultsTheyAreNamedFor) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const RunSettings network = DrawSettings(seed, Profile::kNetwork);
    EXPECT_EQ(network.nemesis.shares[static_cast<size_t>(Fault::kPowerLoss)], 0u);
    const RunSettings crashes = DrawSettings(seed, Profile::kCrashes);
    EXPECT_EQ(crashes.nemesis.shares[static_cast<size_t>(Fault::kPartition)], 0u);
    const RunSettings all = DrawSettings(seed, Profile::kEverything);
    // A profile leaves out faults and changes nothing else about them.
    for (size_t kind = 0; kind < kFaultKinds; ++kind) {
      if (network.nemesis.shares[kind] != 0) {
        EXPECT_EQ(network.nemesis.shares[kind], all.nemesis.shares[kind]);
      }
    }
    EXPECT_EQ(network.cluster.founders, all.cluster.founders);
  }
}

// What a quiet run of one second of chaos and one of calm is told when `disturb` happens while it
// rests.
std::string AtRest(const std::function<void(Cluster&)>& disturb) {
  RunSettings settings;
  settings.chaos = kSecond;
  settings.script = [disturb](Cluster& cluster) {
    cluster.scheduler().At(2'100 * kMillisecond, Actor::kScript, [&] { disturb(cluster); });
  };
  const RunReport report = Simulate(settings);
  if (!report.violation.has_value()) return "nothing";
  return std::string(InfoOf(report.violation->oracle).id);
}

TEST(RunTest, AClusterAtRestKeepsItsLeaderAndSaysLittle) {
  EXPECT_EQ(AtRest([](Cluster&) {}), "nothing");
  EXPECT_EQ(AtRest([](Cluster& cluster) {
              const raft::NodeId leader = cluster.Leader()->id();
              for (const raft::NodeId other : cluster.InUse()) {
                if (other != leader) cluster.network().Cut(leader, other);
              }
            }),
            "I22");
  const auto talk = [](Cluster& cluster) {
    for (int i = 0; i < 1'000; ++i) cluster.network().Stream(1, 2, "one more");
  };
  EXPECT_EQ(AtRest(talk), "nothing") << "it may be about what was before";
  EXPECT_EQ(AtRest([talk](Cluster& cluster) {
              for (Time later = 0; later < 10 * kSecond; later += 100 * kMillisecond) {
                cluster.scheduler().After(later, Actor::kScript,
                                          [talk, &cluster] { talk(cluster); });
              }
            }),
            "I23");
}

TEST(RunTest, TheHistoryCanBeWrittenAndJudgedByTheTool) {
  const RunReport report = Simulate(DrawSettings(7, Profile::kEverything));
  const absl::StatusOr<CheckReport> check =
      CheckHistoryText("seed-7", WriteHistoryText(report.history));
  ASSERT_TRUE(check.ok()) << check.status();
  EXPECT_EQ(check->verdict, Verdict::kLinearizable);
  EXPECT_EQ(check->history.operations.size(), report.history.operations.size());
}

// A hundred seeds together reach every kind of fault and what faults are for, with a few more for
// what only changes of the members bring about.
TEST(RunTest, TheFaultsTakeEffect) {
  RunCounters sum;
  for (uint64_t seed = 300; seed < 450; ++seed) {
    const Profile profile = seed < 400 ? Profile::kEverything : Profile::kMembership;
    const RunCounters counters = Simulate(DrawSettings(seed, profile)).counters;
    for (size_t kind = 0; kind < kFaultKinds; ++kind) sum.faults[kind] += counters.faults[kind];
    sum.torn_writes += counters.torn_writes;
    sum.snapshots_taken += counters.snapshots_taken;
    sum.snapshots_installed += counters.snapshots_installed;
    sum.membership_changes += counters.membership_changes;
    for (size_t i = 0; i < kRareStates; ++i) sum.rare[i] += counters.rare[i];
    sum.unknown += counters.unknown;
    sum.cores += counters.cores;
    sum.connections += counters.connections;
    sum.connections_broken += counters.connections_broken;
  }
  for (size_t kind = 0; kind < kFaultKinds; ++kind) {
    EXPECT_GT(sum.faults[kind], 0u) << Name(static_cast<Fault>(kind));
  }
  EXPECT_GT(sum.torn_writes, 0u);
  EXPECT_GT(sum.snapshots_taken, 100u);
  EXPECT_GT(sum.snapshots_installed, 0u);
  EXPECT_GT(sum.membership_changes, 0u);
  EXPECT_GT(sum.unknown, 0u);
  EXPECT_GT(sum.cores, 10u);
  EXPECT_GT(sum.connections, 100u);
  EXPECT_GT(sum.connections_broken, 10u);
  for (size_t i = 0; i < kRareStates; ++i) {
    EXPECT_GT(sum.rare[i], 0u) << Name(static_cast<RareState>(i));
  }
}

}  // namespace
}  // namespace raftkv::sim
