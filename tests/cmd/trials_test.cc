#include "cmd/sim/trials.h"

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

TEST(TrialsTest, OneThatDoesNotEndHasBrokenNothing) {
  const TrialResult result = PlayInChildren({Ending([](Cluster&) {
                                              for (;;) pause();
                                            })},
                                            1, 1)[0];
  EXPECT_FALSE(result.violation.has_value());
}

}  // namespace
}  // namespace raftkv::sim
