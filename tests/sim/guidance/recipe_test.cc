#include "sim/guidance/recipe.h"

#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "sim/guidance/knobs.h"
#include "sim/guidance/mutate.h"
#include "sim/nemesis/fault_text.h"
#include "sim/run/run.h"
#include "sim/scenario/fields.h"

namespace raftkv::sim {
namespace {

constexpr char kText[] =
    "raftkv recipe 1\n"
    "seed 17\n"
    "profile membership\n"
    "without attacks\n"
    "set founders 5\n"
    "set loss 40\n"
    "turn 0ms 3\n"
    "turn 2.4s 7781\n"
    "change 900 1\n"
    "change 18273 5\n"
    "faults until 3s\n"
    "at 1.2s: kill 2 for 300ms\n"
    "at 1.3s: partition 1>2 2>1 for 300ms\n";

TEST(Recipe, IsTextAndBack) {
  const absl::StatusOr<Recipe> recipe = ParseRecipe("it", kText);
  ASSERT_TRUE(recipe.ok()) << recipe.status();
  EXPECT_EQ(recipe->seed, 17u);
  EXPECT_EQ(recipe->draws_from, 3 * kSecond);
  EXPECT_EQ(recipe->faults->size(), 2u);
  EXPECT_EQ(FormatRecipe(*recipe), kText);
}

TEST(Recipe, SaysWhatIsWrongAndWhere) {
  const std::pair<std::string, std::string> kWrong[] = {
      {"raftkv recipe 2\n", "it:1: the first line is not 'raftkv recipe 1'"},
      {"raftkv recipe 1\nseed x\n", "it:2: no seed"},
      {"raftkv recipe 1\nprofile all\n", "it:2: no profile"},
      {"raftkv recipe 1\nset nodes 3\n", "it:2: 'nodes' is not to be set"},
      {"raftkv recipe 1\nset founders 8\n", "it:2: not a number from 1 to 7"},
      {"raftkv recipe 1\nturn 2s 1\nturn 1s 1\n", "it:3: earlier than the turn before it"},
      {"raftkv recipe 1\nchange 2 1\nchange 2 1\n", "it:3: not behind the decision before it"},
      {"raftkv recipe 1\nat 1s: kill 2 for 1s\n",
       "it:2: 'faults only' or 'faults until' is missing above it"},
      {"raftkv recipe 1\nfaults only\nat 2s: kill 2 for 1s\nat 1s: kill 2 for 1s\n",
       "it:4: earlier than the fault before it"},
      {"raftkv recipe 1\nfoo\n", "it:2: no line of a recipe"},
  };
  for (const auto& [text, message] : kWrong) {
    const absl::StatusOr<Recipe> recipe = ParseRecipe("it", text);
    ASSERT_FALSE(recipe.ok()) << text;
    EXPECT_EQ(recipe.status().message(), message);
  }
}

TEST(Recipe, OfNothingButASeedIsTheRunOfTheSeed) {
  Recipe recipe;
  recipe.seed = 6;
  EXPECT_EQ(Simulate(SettingsOf(recipe)).hash, Simulate(DrawSettings(6, recipe.profile)).hash);
}

std::vector<std::string> Lines(const RunSettings& settings) {
  std::vector<std::string> lines;
  Simulate(settings, [&](Time now, absl::string_view line) {
    lines.push_back(std::to_string(now) + " " + std::string(line));
  });
  return lines;
}

Time TimeOf(const std::string& line) { return std::stoull(line); }

TEST(Recipe, ChanceTurnsWhereItSays) {
  Recipe recipe;
  recipe.seed = 6;
  recipe.attacks = false;
  const std::vector<std::string> before = Lines(SettingsOf(recipe));
  recipe.turns = {{3 * kSecond, 1}};
  const std::vector<std::string> turned = Lines(SettingsOf(recipe));
  recipe.turns = {{3 * kSecond, 2}};
  const std::vector<std::string> other = Lines(SettingsOf(recipe));
  const auto first_difference = [](const auto& a, const auto& b) {
    size_t at = 0;
    while (at < a.size() && at < b.size() && a[at] == b[at]) ++at;
    return at < a.size() ? TimeOf(a[at]) : 0;
  };
  for (const Time time : {first_difference(before, turned), first_difference(turned, other)}) {
    EXPECT_GE(time, 3 * kSecond);
    EXPECT_LT(time, 4 * kSecond);
  }
}

TEST(Recipe, SettingsAreThoseItSets) {
  Recipe recipe;
  recipe.seed = 6;
  recipe.knobs = {{"loss", 37}, {"window", 5}};
  EXPECT_EQ(SettingsOf(recipe).cluster.network.loss_per_mille, 37u);
  EXPECT_EQ(SettingsOf(recipe).cluster.replica.raft.max_inflight_messages, 5u);
  // There is no room for one founder where more than that have no vote.
  while (SettingsOf(recipe).cluster.founding_learners == 0) ++recipe.seed;
  recipe.knobs["founders"] = 1;
  EXPECT_EQ(SettingsOf(recipe).cluster.founders,
            DrawSettings(recipe.seed, recipe.profile).cluster.founders);
}

TEST(Recipe, ADecisionComesOutOtherwise) {
  Recipe recipe;
  recipe.seed = 6;
  const uint64_t hash = Simulate(SettingsOf(recipe)).hash;
  recipe.changed = {{2'000, 7}};
  EXPECT_NE(Simulate(SettingsOf(recipe)).hash, hash);
}

MadeRun Make(const Recipe& recipe) {
  const RunSettings settings = SettingsOf(recipe);
  const RunReport report = Simulate(settings);
  return {recipe, report.faults, settings.chaos, report.decisions};
}

TEST(Mutation, MakesRecipesThatCanBePlayedAndSaid) {
  Random random(5);
  Recipe one, two;
  one.seed = 11;
  two.seed = 12;
  MadeRun run = Make(one);
  const MadeRun other = Make(two);
  ASSERT_FALSE(run.faults.empty());
  for (int i = 0; i < 2'000; ++i) {
    const Moment moment{random.Below(run.ended), random.Below(run.decisions)};
    Recipe recipe =
        i % 4 == 0 ? GoOnOtherwise(run, moment, random) : Mutate(run, moment, other, random);
    const absl::StatusOr<Recipe> again = ParseRecipe("it", FormatRecipe(recipe));
    ASSERT_TRUE(again.ok()) << again.status() << "\n" << FormatRecipe(recipe);
    // Not *again and recipe: what a fault has and does not need is not said.
    EXPECT_EQ(FormatRecipe(*again), FormatRecipe(recipe));
    EXPECT_TRUE(ValidateSettings(SettingsOf(recipe)).ok()) << FormatRecipe(recipe);
    run.recipe = std::move(recipe);
    if (i % 100 == 0) run = Make(run.recipe);
  }
}

TEST(Mutation, GoesOnOtherwiseFromAboutTheMoment) {
  Random random(5);
  Recipe recipe;
  recipe.turns = {{kSecond, 1}, {4 * kSecond, 2}};
  recipe.changed = {{50, 1}, {900, 2}};
  const MadeRun run{recipe, {}, 5 * kSecond, 1'000};
  for (int i = 0; i < 100; ++i) {
    const Recipe on = GoOnOtherwise(run, {3 * kSecond, 100}, random);
    ASSERT_EQ(on.turns.size(), 2u) << "what comes behind the new one is gone";
    EXPECT_EQ(on.turns[0].at, kSecond);
    EXPECT_GE(on.turns[1].at, 2'500 * kMillisecond);
    EXPECT_LE(on.turns[1].at, 3 * kSecond);
    EXPECT_EQ(on.changed, (std::vector<ChangedDecision>{{50, 1}}));
  }
}

TEST(Mutation, OfASwarmWithoutAttacksHasNone) {
  Random random(5);
  Recipe recipe;
  recipe.attacks = false;
  const MadeRun run{recipe, {}, 5 * kSecond, 1'000};
  for (int i = 0; i < 2'000; ++i) {
    const RunSettings settings = SettingsOf(Mutate(run, {kSecond, 100}, run, random));
    for (size_t kind = kFirstAttack; kind < kFaultKinds; ++kind) {
      ASSERT_EQ(settings.nemesis.shares[kind], 0u);
    }
  }
}

// A damage that is given counts whatever the draw is: another draw is another damage.
TEST(Mutation, RotIsDrawnAnew) {
  Random random(5);
  CuedFault rot;
  rot.cue.at = kSecond;
  rot.command = *ParseFault("rot 2 draw 77 zeros in vote from 0 to 8 for 300ms");
  const MadeRun run{{}, {rot}, 5 * kSecond, 1'000};
  bool drawn = false;
  for (int i = 0; i < 2'000; ++i) {
    const Recipe recipe = Mutate(run, {2 * kSecond, 100}, run, random);
    for (const CuedFault& fault : recipe.faults.value_or(std::vector<CuedFault>())) {
      EXPECT_EQ(fault.command.damage.has_value(), fault.command.draw == 77)
          << FormatFault(fault.command);
      drawn = drawn || fault.command.draw != 77;
    }
  }
  EXPECT_TRUE(drawn);
}

TEST(Knobs, SetWhatTheyGet) {
  for (const Knob& knob : AllKnobs()) {
    RunSettings run = DrawSettings(1, Profile::kEverything);
    for (const uint64_t value : {knob.least, knob.most}) {
      knob.set(value, &run);
      EXPECT_EQ(knob.get(run), value) << knob.name;
    }
    EXPECT_EQ(FindKnob(knob.name), &knob);
  }
}

}  // namespace
}  // namespace raftkv::sim
