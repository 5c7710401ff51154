// Many short random schedules of a few nodes. The full simulation (sim/) drives the whole node;
// this one is fast, knows only the core, and finds most of what can be wrong with it.
#include "tests/raft/schedule.h"

#include <gtest/gtest.h>

#include <string>

namespace raftkv::raft {
namespace {

constexpr uint64_t kSeeds = 2000;
constexpr int kEvents = 3000;

TEST(Schedule, ManySeedsAreSafeAndComeToRest) {
  ScheduleCounts total;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Schedule schedule(seed);
    const std::string wrong = schedule.Run(kEvents);
    ASSERT_EQ(wrong, "") << "seed " << seed;
    total.Add(schedule.counts());
  }
  // None of these may be a rare event, or the runs prove nothing.
  EXPECT_GT(total.elections, 2 * kSeeds);
  EXPECT_GT(total.applied, 20 * kSeeds);
  EXPECT_GT(total.crashes, kSeeds);
  EXPECT_GT(total.full_disks, kSeeds);
  EXPECT_GT(total.truncations, kSeeds / 5);
  EXPECT_GT(total.snapshots_installed, kSeeds / 2);
  EXPECT_GT(total.membership_changes, kSeeds);
  EXPECT_GT(total.reads, kSeeds);
  EXPECT_GT(total.lost, 10 * kSeeds);
  EXPECT_GT(total.repeated, 10 * kSeeds);
  RecordProperty("elections", std::to_string(total.elections));
  RecordProperty("applied", std::to_string(total.applied));
  RecordProperty("crashes", std::to_string(total.crashes));
  RecordProperty("full_disks", std::to_string(total.full_disks));
  RecordProperty("truncations", std::to_string(total.truncations));
  RecordProperty("snapshots_installed", std::to_string(total.snapshots_installed));
  RecordProperty("membership_changes", std::to_string(total.membership_changes));
  RecordProperty("reads", std::to_string(total.reads));
}

TEST(Schedule, TheSameSeedIsTheSameRun) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Schedule first(seed);
    Schedule second(seed);
    EXPECT_EQ(first.Run(kEvents), second.Run(kEvents));
    EXPECT_EQ(first.counts().applied, second.counts().applied);
    EXPECT_EQ(first.counts().lost, second.counts().lost);
    EXPECT_EQ(first.counts().reads, second.counts().reads);
  }
}

}  // namespace
}  // namespace raftkv::raft
