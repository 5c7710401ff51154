#include "sim/shrink/shrink.h"

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sim/nemesis/fault_text.h"
#include "sim/scenario/fields.h"

namespace raftkv::sim {
namespace {

// A world in which it is known what breaks an oracle, without any run: node 2 is killed, client 2
// asks for r1, and one append is lost.
class KnownBug {
 public:
  std::vector<TrialResult> Play(const std::vector<Trial>& trials) {
    std::vector<TrialResult> results;
    for (const Trial& trial : trials) results.push_back(PlayOne(trial));
    return results;
  }

  bool shy = false;              // does not show a second time what it has recorded
  bool rots = false;             // something has to rot besides
  bool needs_again = false;      // and in the recovery it is killed once more
  bool needs_draw = false;       // and what else it might have been counts, too
  bool other_place = false;      // what it is said to have been is something else
  bool played_nonsense = false;  // settings that no cluster can run with

 private:
  static constexpr Time kWhen = 2 * kSecond;

  static Violation Broken(Time time) {
    return {Oracle::kStateMachineSafety, time, "node 3 applied 17, node 1 had 16"};
  }

  TrialResult PlayOne(const Trial& trial) {
    TrialResult result;
    result.events = 1'000;
    const RunSettings& run = trial.settings;
    played_nonsense = played_nonsense || !ValidateSettings(run).ok();
    if (!run.answers.has_value()) {
      const uint32_t kills = run.nemesis.shares[static_cast<size_t>(Fault::kKill)];
      if (kills == 0 || run.clients.size() < 2 || run.seed % 3 != 0) return result;
      result.violation = Broken(kWhen);
      if (trial.record) result.record = Everything(run.clients.size());
      if (trial.record && rots) result.record.faults.push_back(Rot());
      return result;
    }
    bool killed = false, asked = false, rotten = !rots;
    for (const CuedFault& fault : *run.nemesis.script) {
      const bool kill = fault.command.fault == Fault::kKill && fault.command.nodes[0] == 2;
      killed = killed || kill;
      if (fault.command.fault != Fault::kRot) continue;
      rotten = rotten || (fault.command.damage ? !other_place : fault.command.draw == 77);
      if (needs_draw && fault.command.draw != 77) rotten = false;
      if (needs_again && fault.command.damage && !fault.command.again) rotten = false;
      FaultCommand& spoilt = result.spoilt.emplace_back(fault.command);
      spoilt.damage = BitRot{{"log-0000000000000002", 1'024, 10}, 3, 9};
      spoilt.again = true;
    }
    for (const ClientSettings& client : run.clients) {
      for (const AskedGroup& group : *client.script) {
        for (const auto& words : group.operations) {
          asked = asked || (client.number == 2 && words.back() == "r1");
        }
      }
    }
    if (killed && asked && rotten && run.answers->contains("append 1>3 term 2 #4: lost") && !shy) {
      result.violation = Broken(kWhen);
    } else if (killed) {
      // The same oracle, for another reason.
      result.violation = Broken(kWhen);
      result.violation->text = "node 2 does not start";
    }
    if (trial.milestones) result.milestones.push_back({kSecond, {Situation::Kind::kLeads, 2, 3}});
    return result;
  }

  static CuedFault Rot() {
    CuedFault rot;
    rot.cue.at = 1'500 * kMillisecond;
    rot.command.fault = Fault::kRot;
    rot.command.nodes = {1};
    rot.command.draw = 77;
    rot.command.lasts = 200 * kMillisecond;
    return rot;
  }

  static RunRecord Everything(size_t clients) {
    RunRecord record;
    for (uint64_t i = 1; i <= 300; ++i) {
      record.answers[absl::StrCat("append 1>3 term 2 #", i, ": lost")] = 1;
      record.answers[absl::StrCat("disk 2 #", i, ": takes")] = 1'234 + i;
    }
    for (uint64_t i = 0; i < 20; ++i) {
      CuedFault fault;
      fault.cue.at = 10 * kMillisecond + i * 100 * kMillisecond;
      fault.command.fault = i % 2 == 0 ? Fault::kPause : Fault::kKill;
      fault.command.nodes = {1 + i % 3};
      fault.command.lasts = 123'456;
      record.faults.push_back(fault);
    }
    CuedFault late;
    late.cue.at = kWhen + 1;
    late.command.fault = Fault::kKill;
    late.command.nodes = {2};
    record.faults.push_back(late);
    for (size_t client = 0; client < clients; ++client) {
      std::vector<AskedGroup>& groups = record.asked.emplace_back();
      for (uint64_t i = 0; i < 40; ++i) {
        groups.push_back({{std::nullopt, i * 40 * kMillisecond},
                          {{"SET", "r0", absl::StrCat("v", i)}, {"GET", i == 7 ? "r1" : "r2"}}});
      }
    }
    return record;
  }
};

RunSettings Drawn() {
  RunSettings run = PlainSettings();
  run.answers.reset();
  run.nemesis.script.reset();
  run.nemesis.shares.fill(1);
  run.cluster.founders = 5;
  run.seed = 3;
  for (const uint64_t number : {1u, 2u, 3u}) {
    run.clients.emplace_back();
    run.clients.back().number = number;
  }
  return run;
}

TEST(ShrinkTest, LeavesWhatIsNeededAndNothingElse) {
  KnownBug bug;
  Shrinker shrinker({}, [&bug](const auto& trials) { return bug.Play(trials); });
  const absl::StatusOr<Scenario> scenario = shrinker.Shrink(Drawn());
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  EXPECT_EQ(scenario->decisions(), 3u) << FormatScenario(*scenario);
  EXPECT_EQ(scenario->expect, Oracle::kStateMachineSafety);
  EXPECT_EQ(scenario->settings.cluster.founders, 3u);
  ASSERT_EQ(scenario->settings.clients.size(), 1u);
  EXPECT_EQ(scenario->settings.clients[0].number, 2u);
  ASSERT_EQ(scenario->settings.nemesis.script->size(), 1u);
  const CuedFault& kill = scenario->settings.nemesis.script->front();
  EXPECT_EQ(kill.command.lasts, 200 * kMillisecond) << "round";
  ASSERT_TRUE(kill.cue.when.has_value()) << "a condition instead of a time";
  EXPECT_EQ(FormatSituation(*kill.cue.when), "2 leads term 3");
  // And it can be written down and played.
  const absl::StatusOr<Scenario> read = ParseScenario("x", FormatScenario(*scenario));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(bug.Play({{read->settings}})[0].violation.has_value());
}

// One setting made plain, the other not.
TEST(ShrinkTest, SettingsThatNobodyCanRunWithAreNotPlayed) {
  KnownBug bug;
  RunSettings run = Drawn();
  run.cluster.storage.block_bytes = 512;
  run.cluster.storage.segment_bytes = 2'048;
  Shrinker::Options options;
  options.may_go_on = [](uint32_t percent) { return percent < 20; };
  Shrinker shrinker(options, [&bug](const auto& trials) { return bug.Play(trials); });
  const absl::StatusOr<Scenario> scenario = shrinker.Shrink(run);
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  EXPECT_FALSE(bug.played_nonsense);
}

// A draw means something else as soon as there are other files.
TEST(ShrinkTest, WhatRottedIsSaid) {
  const auto rot = [](const KnownBug& bug) {
    KnownBug world = bug;
    world.rots = true;
    Shrinker shrinker({}, [&world](const auto& trials) { return world.Play(trials); });
    const absl::StatusOr<Scenario> scenario = shrinker.Shrink(Drawn());
    EXPECT_TRUE(scenario.ok()) << scenario.status();
    if (!scenario.ok()) return std::string();
    EXPECT_EQ(scenario->decisions(), 4u) << FormatScenario(*scenario);
    for (const CuedFault& fault : *scenario->settings.nemesis.script) {
      if (fault.command.fault == Fault::kRot) return FormatFault(fault.command);
    }
    return std::string();
  };
  KnownBug bug;
  EXPECT_EQ(rot(bug), "rot 1 bits 3 seed 9 in log-0000000000000002 from 1024 to 1034 for 200ms");
  bug.needs_again = true;
  EXPECT_EQ(rot(bug),
            "rot 1 bits 3 seed 9 in log-0000000000000002 from 1024 to 1034 for 200ms again");
  bug.needs_draw = true;
  EXPECT_EQ(
      rot(bug),
      "rot 1 draw 77 bits 3 seed 9 in log-0000000000000002 from 1024 to 1034 for 200ms again");
  bug.other_place = true;
  EXPECT_EQ(rot(bug), "rot 1 draw 77 for 200ms");
}

TEST(ShrinkTest, AScenarioCanBeShrunkFurther) {
  KnownBug bug;
  const auto play = [&bug](const auto& trials) { return bug.Play(trials); };
  const absl::StatusOr<Scenario> scenario = Shrinker({}, play).Shrink(Drawn());
  ASSERT_TRUE(scenario.ok());
  Scenario more = *scenario;
  more.settings.answers->emplace("append 1>3 term 2 #5: lost", 1);
  const absl::StatusOr<Scenario> again = Shrinker({}, play).Shrink(more.settings);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->decisions(), 3u);
  // Nothing is asked for twice.
  EXPECT_FALSE(scenario->settings.reach.empty());
  EXPECT_EQ(again->settings.reach, scenario->settings.reach);
}

TEST(ShrinkTest, WithoutTimeItIsWhatWasRecorded) {
  KnownBug bug;
  Shrinker::Options options;
  options.may_go_on = [](uint32_t) { return false; };
  Shrinker shrinker(options, [&bug](const auto& trials) { return bug.Play(trials); });
  const absl::StatusOr<Scenario> scenario = shrinker.Shrink(Drawn());
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  EXPECT_EQ(scenario->decisions(), 600u + 20 + 3 * 80) << "without what came behind the violation";
}

TEST(ShrinkTest, WhatIsNotBrokenIsNotShrunk) {
  KnownBug bug;
  RunSettings run = Drawn();
  run.seed = 4;
  Shrinker shrinker({}, [&bug](const auto& trials) { return bug.Play(trials); });
  EXPECT_EQ(shrinker.Shrink(run).status().code(), absl::StatusCode::kFailedPrecondition);
  bug.shy = true;
  EXPECT_EQ(shrinker.Shrink(Drawn()).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace raftkv::sim
