#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "gtest/gtest.h"
#include "sim/guidance/guide.h"
#include "sim/guidance/known_states.h"

namespace raftkv::sim {
namespace {

// A run that is a staircase: at each step, every 100 ms, chance says whether it goes on, one time
// in eight. How far it came is its state. What decides a step is chance as it turned last before
// it, as in a real run.
CameTo Climb(const Recipe& recipe) {
  CameTo outcome;
  outcome.events = 10;
  outcome.ended = 2 * kSecond;
  Random chance = Random::Stream(recipe.seed, "stairs");
  size_t turned = 0;
  for (uint64_t step = 1; step <= 20; ++step) {
    const Time now = step * 100 * kMillisecond;
    for (; turned < recipe.turns.size() && recipe.turns[turned].at < now; ++turned) {
      chance = Random::Stream(recipe.seed ^ MixHash(recipe.turns[turned].salt), "turned");
    }
    outcome.decisions = step;
    outcome.reached.push_back({step, step, now - 50 * kMillisecond, step});
    if (!chance.Chance(1, 8)) break;
  }
  return outcome;
}

uint64_t Highest(Guide* guide, int runs) {
  uint64_t highest = 0;
  for (int i = 0; i < runs; ++i) {
    const Guide::Plan plan = guide->Next();
    const CameTo outcome = Climb(plan.recipe);
    highest = std::max(highest, outcome.reached.back().state);
    guide->Learn(plan, outcome);
  }
  return highest;
}

// Step 9 is reached by one seed in 16 million.
TEST(Guide, ComesToAStateThatChanceAloneDoesNotFind) {
  for (const uint64_t first_seed : {1u, 1'000'000u}) {
    GuideOptions options;
    options.first_seed = first_seed;
    Guide guided(options);
    EXPECT_GE(Highest(&guided, 3'000), 9u);
    options.guided = false;
    Guide unguided(options);
    EXPECT_LT(Highest(&unguided, 3'000), 7u);
  }
}

// In every other seed something goes on and off, which makes twenty times as many states, all of
// one outline. The others come to a new outline with each state, and are varied as well.
TEST(Guide, ManyStatesOfOneOutlineAreNotAllThatCounts) {
  Guide guide(GuideOptions{});
  uint64_t next_state = 0;
  uint64_t flickers = 0;
  uint64_t outlines = 0;
  for (int i = 0; i < 3'000; ++i) {
    const Guide::Plan plan = guide.Next();
    const bool flicker = plan.recipe.seed % 2 == 0;
    CameTo outcome;
    outcome.events = 1'000;
    outcome.ended = kSecond;
    for (int state = flicker ? 100 : 5; state > 0; --state) {
      outcome.reached.push_back({++next_state, flicker ? 0 : next_state, 0, 1});
    }
    if (plan.parent.has_value()) ++(flicker ? flickers : outlines);
    guide.Learn(plan, outcome);
  }
  EXPECT_GT(flickers, 300u);
  EXPECT_GT(outlines, 600u);
}

TEST(Guide, MakesRoomForBothKindsOfFamilies) {
  Guide guide(GuideOptions{});
  uint64_t next_state = 0;
  const auto flickers = [](const Recipe& recipe) { return recipe.seed <= 1'000; };
  for (uint64_t seed = 1; seed <= 2'001; ++seed) {
    Guide::Plan plan;
    plan.recipe.seed = seed;
    CameTo outcome;
    outcome.events = 1'000;
    for (int state = flickers(plan.recipe) ? 100 : 5; state > 0; --state) {
      outcome.reached.push_back({++next_state, flickers(plan.recipe) ? 0 : next_state, 0, 1});
    }
    guide.Learn(plan, outcome);
  }
  const std::vector<Recipe> corpus = guide.corpus();
  EXPECT_EQ(corpus.size(), 1'000u);
  EXPECT_GE(std::count_if(corpus.begin(), corpus.end(), flickers), 500);
  EXPECT_LE(std::count_if(corpus.begin(), corpus.end(), flickers), 600);
}

// An outline that no run comes to again is not the only one that is tried.
TEST(Guide, RareOutlinesTakeTurns) {
  Guide guide(GuideOptions{});
  CameTo common;  // and what it costs leaves nobody to vary it
  common.events = 1'000'000'000;
  common.ended = kSecond;
  common.reached = {{1, 1, 0, 1}};
  for (int i = 0; i < 10; ++i) guide.Learn({}, common);
  CameTo once = common;
  once.events = 1;
  once.reached = {{2, 2, 0, 1}};
  guide.Learn({}, once);
  uint64_t to_common = 0;
  for (uint64_t i = 0; i < 1'000; ++i) {
    const Guide::Plan plan = guide.Next();
    if (plan.parent == 1u) ++to_common;
    CameTo other = once;
    other.reached = {{10 + i, 3, 0, 1}};
    guide.Learn(plan, other);
  }
  EXPECT_GT(to_common, 20u);
}

// What it costs a run to come to something decides which runs there are: those in a hurry at first,
// and later those of the corpus. Seeds as they are drawn never end.
TEST(Guide, BeginsInAHurryAndNeverForgetsSeedsAsTheyAreDrawn) {
  Guide guide(GuideOptions{});
  const auto count = [&guide](int runs) {
    struct {
      int drawn = 0, hurried = 0, varied = 0;
    } counts;
    for (int i = 0; i < runs; ++i) {
      const Guide::Plan plan = guide.Next();
      if (plan.parent.has_value()) {
        ++counts.varied;
      } else if (plan.recipe.knobs.empty()) {
        ++counts.drawn;
      } else {
        ++counts.hurried;
      }
      guide.Learn(plan, Climb(plan.recipe));
    }
    return counts;
  };
  const auto first = count(200);
  EXPECT_GT(first.hurried, 120);
  EXPECT_GT(first.drawn, 2);
  EXPECT_GT(first.varied, 2);
  (void)count(3'000);
  const auto later = count(1'000);
  EXPECT_GT(later.varied, 750);
  EXPECT_GT(later.drawn, 20);
}

TEST(InAHurry, FaultsFollowEachOtherFasterAndClientsAskLess) {
  Random random(7);
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Recipe recipe;
    recipe.seed = seed;
    const RunSettings drawn = SettingsOf(recipe);
    const RunSettings hurried = SettingsOf(InAHurry(recipe, random));
    EXPECT_LT(hurried.nemesis.between.spread, drawn.nemesis.between.spread);
    EXPECT_GE(hurried.nemesis.between.spread, 100 * kMillisecond);
    EXPECT_GT(hurried.clients[0].think.spread, drawn.clients[0].think.spread);
    EXPECT_LE(hurried.clients[0].think.spread, 300 * kMillisecond);
    EXPECT_EQ(hurried.chaos, 12 * kSecond);
    EXPECT_EQ(hurried.seed, drawn.seed);
    EXPECT_EQ(hurried.nemesis.shares, drawn.nemesis.shares);
  }
}

TEST(Guide, DoesTheSameAgain) {
  const auto digest = [](uint64_t first_seed) {
    GuideOptions options;
    options.first_seed = first_seed;
    Guide guide(options);
    (void)Highest(&guide, 500);
    return guide.Digest();
  };
  EXPECT_EQ(digest(1), digest(1));
  EXPECT_NE(digest(1), digest(2));
}

TEST(Guide, OtherStatesAreAnotherDigest) {
  const auto digest = [](uint64_t state) {
    GuideOptions options;
    options.guided = false;
    Guide guide(options);
    CameTo outcome;
    outcome.reached = {{state, 0, 0, 1}};
    guide.Learn(guide.Next(), outcome);
    return guide.Digest();
  };
  EXPECT_EQ(digest(1), digest(1));
  EXPECT_NE(digest(1), digest(2));
}

TEST(Guide, UnguidedTakesSeedAfterSeed) {
  GuideOptions options;
  options.first_seed = 40;
  options.guided = false;
  Guide guide(options);
  for (uint64_t seed = 40; seed < 60; ++seed) {
    const Guide::Plan plan = guide.Next();
    Recipe expected;
    expected.seed = seed;
    EXPECT_EQ(plan.recipe, expected);
    guide.Learn(plan, Climb(plan.recipe));
  }
  EXPECT_EQ(guide.corpus_size(), 0u);
}

TEST(Guide, BeginsWithWhatItIsOffered) {
  Guide guide(GuideOptions{});
  Recipe offered;
  offered.seed = 99;
  guide.Offer(offered);
  const Guide::Plan plan = guide.Next();
  EXPECT_EQ(plan.recipe, offered);
  EXPECT_TRUE(guide.Learn(plan, Climb(offered)));
  EXPECT_EQ(guide.corpus(), std::vector<Recipe>{offered});
  // Nothing of it is new a second time.
  EXPECT_FALSE(guide.Learn({offered, std::nullopt}, Climb(offered)));
}

TEST(Guide, KeepsNoMoreThanItCanChooseFrom) {
  Guide guide(GuideOptions{});
  for (uint64_t i = 0; i < 5'000; ++i) {
    const Guide::Plan plan = guide.Next();
    CameTo outcome;
    outcome.events = 1 + i % 7;
    outcome.ended = kSecond;
    outcome.reached = {{i, i % 100, 0, 1}};
    EXPECT_TRUE(guide.Learn(plan, outcome));
    ASSERT_LE(guide.corpus_size(), 2'000u);
  }
  EXPECT_EQ(guide.states(), 5'000u);
  EXPECT_GE(guide.corpus_size(), 1'000u);
}

// However many states and outlines there are.
TEST(Guide, BoundsWhatItKnowsAndGoesOn) {
  GuideOptions options;
  options.most_states = 1'000;
  options.most_outlines = 100;
  Guide guide(options);
  uint64_t varied = 0;
  constexpr uint64_t kRuns = 3'000;
  constexpr uint64_t kEach = 40;
  for (uint64_t i = 0; i < kRuns; ++i) {
    const Guide::Plan plan = guide.Next();
    if (plan.parent.has_value()) ++varied;
    CameTo outcome;
    outcome.events = 1'000;
    outcome.ended = kSecond;
    for (uint64_t state = 0; state < kEach; ++state) {
      outcome.reached.push_back({i * kEach + state, i % 1'000, 0, 1});
    }
    guide.Learn(plan, outcome);
    ASSERT_LE(guide.held().states, 1'000u);
    ASSERT_LE(guide.held().outlines, 101u);
    // Each outline has eight examples at most, and what may be varied is bounded as well.
    ASSERT_LE(guide.held().runs, 2'000u + 8u * 101u);
  }
  EXPECT_TRUE(guide.states_are_estimated());
  EXPECT_NEAR(static_cast<double>(guide.states()), kRuns * kEach, kRuns * kEach / 5.0);
  EXPECT_GT(varied, kRuns / 2);
}

// What is no example any more, and is not varied, is forgotten.
TEST(Guide, AnOutlineHasEightExamples) {
  Guide guide(GuideOptions{});
  for (uint64_t i = 0; i < 6'000; ++i) {
    const Guide::Plan plan = guide.Next();
    CameTo outcome;
    outcome.events = 1'000;
    outcome.ended = kSecond;
    outcome.reached = {{i, 0, 0, 1}};
    guide.Learn(plan, outcome);
    ASSERT_LE(guide.held().runs, 2'000u + 8u);
  }
}

TEST(Guide, BoundsTheRunsThatItRemembers) {
  GuideOptions options;
  options.most_runs = 2'500;
  Guide guide(options);
  uint64_t to_rare = 0;
  for (uint64_t i = 0; i < 6'000; ++i) {
    const Guide::Plan plan = guide.Next();
    if (plan.parent.has_value()) ++to_rare;
    CameTo outcome;
    outcome.events = 1'000;
    outcome.ended = kSecond;
    // Each is the only example of its outlines.
    for (uint64_t state = 0; state < 10; ++state) {
      outcome.reached.push_back({i * 10 + state, i * 10 + state, 0, 1});
    }
    guide.Learn(plan, outcome);
    ASSERT_LE(guide.held().runs, 2'500u + 1'001u);
  }
  EXPECT_GT(to_rare, 3'000u);
}

TEST(KnownStates, AllAreKnownUpToTheLimitAndAShareOfThemBehindIt) {
  KnownStates known(100);
  for (uint64_t state = 0; state < 100; ++state) EXPECT_TRUE(known.Add(state));
  EXPECT_EQ(known.count(), 100u);
  for (uint64_t state = 0; state < 100; ++state) EXPECT_FALSE(known.Add(state));
  for (uint64_t state = 100; state < 10'000; ++state) known.Add(state);
  EXPECT_GE(known.each(), 128u);
  EXPECT_NEAR(static_cast<double>(known.count()), 10'000, 3'000);
  const uint64_t count = known.count();
  for (uint64_t state = 0; state < 10'000; ++state) EXPECT_FALSE(known.Add(state));
  EXPECT_EQ(known.count(), count);
}

}  // namespace
}  // namespace raftkv::sim
