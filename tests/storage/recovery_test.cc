// Recovery refinement: whatever a node was told is durable is there after every crash, and nothing
// that was never written ever is. The model and the workload are in recovery_model.h, the crashes
// in sim/disk/sim_disk.h.
#include <memory>
#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "tests/storage/lying_disk.h"
#include "tests/storage/recovery_model.h"

namespace raftkv::storage {
namespace {

TEST(RecoveryTest, ManyLivesWithRandomCrashes) {
  uint64_t lost = 0;
  uint64_t torn = 0;
  int recoveries = 0;
  for (uint64_t seed = 1; seed <= 1500; ++seed) {
    sim::SimDisk disk(
        {.sector_bytes = seed % 3 == 0 ? 4096u : 512u, .ordered_directory = seed % 2 == 0});
    Life life(disk, disk, seed);
    const std::optional<std::string> problem = life.Run(12);
    ASSERT_FALSE(problem) << "seed " << seed << ": " << *problem;
    lost += disk.counters().lost_sectors + disk.counters().lost_names;
    torn += disk.counters().torn_sectors;
    recoveries += life.recoveries();
  }
  EXPECT_GT(recoveries, 1500 * 12);
  EXPECT_GT(lost, 10000u) << "the crashes took nothing away, so nothing was tested";
  EXPECT_GT(torn, 1000u);
}

// A fixed piece of work, cut off at each of its operations in turn.
TEST(RecoveryTest, CrashAtEveryOperation) {
  uint64_t operations = 0;
  {
    sim::SimDisk disk({});
    Life life(disk, disk, 7);
    ASSERT_FALSE(life.Start());
    const uint64_t before = disk.counters().operations;
    for (int i = 0; i < 40; ++i) ASSERT_FALSE(life.Step());
    operations = disk.counters().operations - before;
  }
  ASSERT_GT(operations, 100u);
  for (uint64_t budget = 0; budget <= operations; ++budget) {
    for (uint64_t outcome = 0; outcome < 12; ++outcome) {
      sim::SimDisk disk({});
      Life life(disk, disk, 7);
      ASSERT_FALSE(life.Start());
      disk.SetOperationBudget(budget);
      for (int i = 0; i < 40 && !disk.powered_off(); ++i) ASSERT_FALSE(life.Step());
      Random fate = Random::Stream(budget, "fate").Split(std::to_string(outcome));
      disk.PowerOff();
      disk.Crash(fate);
      std::optional<std::string> problem = life.Recover();
      ASSERT_FALSE(problem) << "operation " << budget << " outcome " << outcome << ": " << *problem;
      // Recovery has decided; a further crash changes nothing.
      disk.PowerOff();
      disk.Crash(fate);
      problem = life.Recover();
      ASSERT_FALSE(problem) << "second crash: " << *problem;
    }
  }
}

TEST(RecoveryTest, SameSeedSameBytes) {
  for (uint64_t seed : {3u, 4u, 5u}) {
    sim::SimDisk first({});
    sim::SimDisk second({});
    Life a(first, first, seed);
    Life b(second, second, seed);
    ASSERT_FALSE(a.Run(10));
    ASSERT_FALSE(b.Run(10));
    EXPECT_EQ(first.ContentHash(), second.ContentHash());
    EXPECT_EQ(first.counters().operations, second.counters().operations);
  }
}

// --- Is the check able to fail? A disk that lies must be found out.
// ---------------------------------

// Number of the first seed in which the lie shows, or nullopt.
std::optional<uint64_t> FoundOutAt(absl::string_view prefix, bool directory) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    sim::SimDisk disk({});
    LyingDisk liar(disk, prefix, directory);
    Life life(liar, disk, seed);
    if (life.Run(12)) return seed;
  }
  return std::nullopt;
}

TEST(RecoverySensitivityTest, AnHonestWrapperPasses) {
  EXPECT_EQ(FoundOutAt("", false), std::nullopt);
}
TEST(RecoverySensitivityTest, LogWithoutSync) {
  EXPECT_NE(FoundOutAt("log-", false), std::nullopt);
}
TEST(RecoverySensitivityTest, VoteWithoutSync) {
  EXPECT_NE(FoundOutAt("vote", false), std::nullopt);
}
TEST(RecoverySensitivityTest, ManifestWithoutSync) {
  EXPECT_NE(FoundOutAt("manifest", false), std::nullopt);
}
TEST(RecoverySensitivityTest, SnapshotWithoutSync) {
  EXPECT_NE(FoundOutAt("snapshot-", false), std::nullopt);
}
TEST(RecoverySensitivityTest, DirectoryWithoutSync) {
  EXPECT_NE(FoundOutAt("", true), std::nullopt);
}

}  // namespace
}  // namespace raftkv::storage
