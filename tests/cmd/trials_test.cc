#include "cmd/sim/trials.h"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "sim/nemesis/fault_text.h"
#include "sim/scenario/fields.h"

namespace raftkv::sim {
namespace {

Trial Ending(std::function<void(Cluster&)> script) {
  Trial trial;
  trial.settings = PlainSettings();
  trial.settings.chaos = kSecond;
  trial.settings.script = std::move(script);
  return trial;
}

TEST(TrialsTest, OneThatDiesIsAViolationAndTakesNobodyAlong) {
  const std::vector<TrialResult> results = PlayInChildren(
      {Ending(nullptr), Ending([](Cluster&) { std::abort(); }), Ending(nullptr)}, 2, 60);
  ASSERT_EQ(results.size(), 3u);
  EXPECT_FALSE(results[0].violation.has_value());
  EXPECT_GT(results[0].events, 100u);
  ASSERT_TRUE(results[1].violation.has_value());
  EXPECT_EQ(results[1].violation->oracle, Oracle::kCrashFree);
  EXPECT_TRUE(absl::StrContains(results[1].violation->text, "signal 6"))
      << results[1].violation->text;
  EXPECT_FALSE(results[2].violation.has_value());
  EXPECT_EQ(results[2].events, results[0].events);
}

// Its record is of everything up to the moment before.
TEST(TrialsTest, OneThatDiesLateHasARecord) {
  Trial trial = Ending([](Cluster& cluster) {
    cluster.scheduler().At(500 * kMillisecond, Actor::kScript, [] { std::abort(); });
  });
  trial.settings.answers.reset();
  trial.settings.nemesis.script.reset();
  trial.settings.cluster.network.delay.spread = kMillisecond;
  trial.record = trial.milestones = true;
  const TrialResult result = PlayInChildren({trial}, 1, 60)[0];
  ASSERT_TRUE(result.violation.has_value());
  EXPECT_EQ(result.violation->oracle, Oracle::kCrashFree);
  EXPECT_LE(result.violation->time, 500 * kMillisecond);
  EXPECT_FALSE(result.record.answers.empty());
  EXPECT_FALSE(result.milestones.empty());
}

TEST(TrialsTest, WhatRottedIsTold) {
  Trial trial = Ending(nullptr);
  const FaultCommand rot =
      *ParseFault("rot 2 draw 77 bits 3 seed 9 in vote from 0 to end for 100ms again");
  trial.settings.nemesis.script = {{{std::nullopt, 500 * kMillisecond}, rot}};
  const TrialResult result = PlayInChildren({trial}, 1, 60)[0];
  EXPECT_FALSE(result.violation.has_value()) << result.violation->text;
  EXPECT_EQ(result.spoilt, std::vector<FaultCommand>{rot});
}

TEST(TrialsTest, OneThatDoesNotEndHasBrokenNothingAndSaysSo) {
  const auto hang = [](Cluster&) {
    for (;;) sched_yield();
  };
  const TrialResult result = PlayInChildren({Ending(hang)}, 1, 1)[0];
  EXPECT_FALSE(result.violation.has_value());
  EXPECT_EQ(result.unplayed, "it has not come to an end in 1 s of CPU");
}

TEST(TrialsTest, OneThatIsKilledHasBrokenNothingAndSaysSo) {
  const TrialResult result = PlayInChildren({Ending([](Cluster&) { raise(SIGKILL); })}, 1, 60)[0];
  EXPECT_FALSE(result.violation.has_value());
  EXPECT_EQ(result.unplayed, "the process ended by signal 9 (Killed)");
}

// Somebody has stopped it for a while, or does not read what it says.
TEST(TrialsTest, OneThatRestsDoesNotHang) {
  const TrialResult result = PlayInChildren({Ending([](Cluster&) { usleep(1'500'000); })}, 1, 1)[0];
  EXPECT_EQ(result.unplayed, "");
  EXPECT_GT(result.events, 100u);
}

// As the shrinker takes it for a run without chance.
TEST(TrialsTest, OneThatDiesAtOnceHasARecordOfNothing) {
  Trial trial = Ending([](Cluster&) { std::abort(); });
  trial.settings.clients.resize(3);
  trial.record = true;
  const TrialResult result = PlayInChildren({trial}, 1, 60)[0];
  ASSERT_TRUE(result.violation.has_value());
  EXPECT_EQ(PlayedAgain(trial.settings, result.record).clients.size(), 3u);
}

}  // namespace
}  // namespace raftkv::sim
