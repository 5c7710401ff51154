#include "sim/coverage/surveyor.h"

#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "sim/run/run.h"

namespace raftkv::sim {
namespace {

std::vector<Surveyor::Reached> Survey(const RunSettings& settings, uint64_t* hash) {
  Surveyor surveyor;
  Audience audience;
  audience.surveyor = &surveyor;
  *hash = Simulate(settings, audience).hash;
  return surveyor.reached();
}

TEST(Surveyor, TheRunIsTheSameWithoutIt) {
  for (const uint64_t seed : {3u, 4u, 5u}) {
    const RunSettings settings = DrawSettings(seed, Profile::kEverything);
    uint64_t hash = 0;
    (void)Survey(settings, &hash);
    EXPECT_EQ(hash, Simulate(settings).hash) << "seed " << seed;
  }
}

TEST(Surveyor, NotesEachStateOnceAndTheSameAgain) {
  const RunSettings settings = DrawSettings(8, Profile::kEverything);
  uint64_t hash = 0;
  const std::vector<Surveyor::Reached> first = Survey(settings, &hash);
  const std::vector<Surveyor::Reached> second = Survey(settings, &hash);
  ASSERT_GT(first.size(), 50u);
  ASSERT_EQ(first.size(), second.size());
  std::set<uint64_t> states;
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].state, second[i].state);
    EXPECT_EQ(first[i].time, second[i].time);
    EXPECT_EQ(first[i].decisions, second[i].decisions);
    EXPECT_TRUE(states.insert(first[i].state).second) << "twice";
    if (i == 0) continue;
    EXPECT_GE(first[i].time, first[i - 1].time);
    EXPECT_GE(first[i].decisions, first[i - 1].decisions);
  }
}

TEST(Surveyor, ManyStatesHaveOneOutline) {
  uint64_t hash = 0;
  std::set<uint64_t> states;
  std::set<uint64_t> outlines;
  for (const Surveyor::Reached& reached : Survey(DrawSettings(8, Profile::kEverything), &hash)) {
    states.insert(reached.state);
    outlines.insert(reached.outline);
  }
  EXPECT_GT(outlines.size(), 10u);
  EXPECT_LT(outlines.size(), states.size() / 4);
}

// A cluster of three that nothing happens to: what it must come to in any case.
TEST(Surveyor, SeesWhatANodeIs) {
  RunSettings settings = SteadySettings(1);
  settings.cluster.founders = 3;
  settings.chaos = 5 * kSecond;
  uint64_t hash = 0;
  std::set<uint64_t> states;
  for (const Surveyor::Reached& reached : Survey(settings, &hash)) states.insert(reached.state);
  const auto came_to = [&](const std::vector<std::string>& texts) {
    std::vector<AbstractNode> nodes;
    for (const std::string& text : texts) nodes.push_back(ParseNode(text).value());
    return states.contains(HashOfState(false, nodes));
  };
  EXPECT_TRUE(came_to({"follower", "follower", "follower"}));
  EXPECT_TRUE(came_to({"leader", "follower", "follower"}));
  EXPECT_TRUE(came_to({"leader, writing", "follower, log shorter, entries on the way",
                       "follower, log shorter, entries on the way"}));
  EXPECT_FALSE(came_to({"leader", "leader", "follower"}));
  EXPECT_FALSE(came_to({"leader", "follower", "down"}));
}

}  // namespace
}  // namespace raftkv::sim
