#include "sim/run/run.h"

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/check/check_command.h"
#include "sim/check/text_format.h"
#include "sim/scenario/scenario.h"

namespace raftkv::sim {
namespace {

using ::testing::ElementsAre;

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

// A scenario with what rotted in so many words is the run with the draws.
TEST(RunTest, WhatADrawSpoiltCanBeGiven) {
  size_t spoilt = 0, again = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Audience audience;
    audience.record = true;
    const RunSettings drawn = DrawSettings(seed, Profile::kDisk);
    RunSettings played = PlayedAgain(drawn, Simulate(drawn, audience).record);
    const RunReport report = Simulate(played);
    for (const FaultCommand& command : report.spoilt) {
      FaultCommand as_drawn = command;
      as_drawn.damage.reset();
      as_drawn.again = false;
      for (CuedFault& fault : *played.nemesis.script) {
        if (fault.command == as_drawn) fault.command = command;
      }
      EXPECT_TRUE(command.damage.has_value());
      ++spoilt;
      again += command.again ? 1 : 0;
    }
    const RunReport given = Simulate(played);
    EXPECT_EQ(given.hash, report.hash) << seed;
    EXPECT_EQ(given.spoilt, report.spoilt) << seed;
  }
  EXPECT_GT(spoilt, again);
  EXPECT_GT(again, 0u);
}

// In a repair, of each node's first one, which the record counts from 1.
TEST(RunTest, ARepairIsLookedAheadInAtFirstAndSeldomLater) {
  uint64_t first = 0, looked = 0, later = 0, looked_later = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Audience audience;
    audience.record = true;
    const RunReport report = Simulate(DrawSettings(seed, Profile::kDisk), audience);
    for (const auto& [name, answer] : report.record.answers) {
      const size_t number = name.find(" ends its repair #");
      if (number == std::string::npos) continue;
      const uint64_t nth = std::stoull(name.substr(number + 18));
      ++(nth <= 8 ? first : later);
      if (answer != 0) ++(nth <= 8 ? looked : looked_later);
    }
  }
  EXPECT_GT(first, 0u);
  EXPECT_EQ(looked, first);
  EXPECT_GT(looked_later, 0u);
  EXPECT_LT(looked_later, later);
}

// The second strikes a node that is down, which comes up when it would have come up anyhow. The
// third is of a place that no file has.
TEST(RunTest, SeveralDamagesAtOnce) {
  const absl::StatusOr<Scenario> scenario = ParseScenario("x",
                                                          R"(raftkv scenario 1
seed 1
set chaos 4s
client 1
at 500ms: c1: SET r0 v1
at 1s: rot 2 garbage seed 7 in vote from 0 to 4096 for 500ms
at 1.2s: read-errors 2 in marks from 0 to end for 100ms
at 1.3s: rot 2 zeros in vote from 1000000 to end for 2s
at 2s: c1: SET r0 v2
)");
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  std::vector<std::string> lines;
  const RunReport report = Simulate(scenario->settings, [&](Time at, absl::string_view line) {
    if (!absl::StrContains(line, "nemesis: node 2 is ") &&
        !absl::StartsWith(line, "node 2 starts")) {
      return;
    }
    lines.push_back(absl::StrCat(at / kMillisecond, " ms ", line.substr(0, line.find(';'))));
  });
  EXPECT_FALSE(report.violation.has_value()) << FormatViolation(*report.violation);
  EXPECT_EQ(report.counters.faults[static_cast<size_t>(Fault::kRot)], 1u);
  EXPECT_EQ(report.counters.faults[static_cast<size_t>(Fault::kReadErrors)], 1u);
  EXPECT_EQ(report.spoilt.size(), 3u);
  EXPECT_THAT(lines,
              ElementsAre("0 ms node 2 starts: term 1, vote 0, snapshot 1, last 1",
                          "1000 ms nemesis: node 2 is killed", "1200 ms nemesis: node 2 is down",
                          "1300 ms nemesis: node 2 is down",
                          "1500 ms node 2 starts: term 2, vote 2, snapshot 1, last 3"));
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
