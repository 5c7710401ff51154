#include <cstdint>
#include <optional>
#include <vector>

#include "gtest/gtest.h"
#include "sim/guidance/guide.h"

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
    outcome.reached.push_back({step, now - 50 * kMillisecond, step});
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
    outcome.reached = {{i, 0, 1}};
    EXPECT_TRUE(guide.Learn(plan, outcome));
    ASSERT_LE(guide.corpus_size(), 2'000u);
  }
  EXPECT_EQ(guide.states(), 5'000u);
  EXPECT_GE(guide.corpus_size(), 1'000u);
}

}  // namespace
}  // namespace raftkv::sim
