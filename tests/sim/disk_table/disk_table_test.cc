#include "sim/disk_table/disk_table.h"

#include <tuple>

#include "gtest/gtest.h"
#include "sim/disk_table/random_faults.h"

namespace raftkv::sim {
namespace {

TEST(DiskTableTest, IntactDisksRecover) {
  const DiskTable table({.nodes = 3, .entries = 4}, TableFault::kRot);
  const SceneVerdict verdict = table.Try(0);
  EXPECT_EQ(verdict.ending, Ending::kRecovered) << verdict.why;
}

TEST(DiskTableTest, CombinationsAreCounted) {
  const DiskTable table({.nodes = 3, .entries = 4}, TableFault::kRot);
  ASSERT_EQ(table.combinations(), 4096u);
  uint64_t recoverable = 0;
  for (uint64_t each = 0; each < 4096; ++each) recoverable += table.Recoverable(each) ? 1u : 0u;
  EXPECT_EQ(recoverable, 2401u);
  EXPECT_EQ(table.Describe(1 | 1 << 7), "node 1 x..., node 2 ...x, node 3 ....");
}

// Every fault in every combination, of one entry.
class OneEntryTest : public ::testing::TestWithParam<std::tuple<TableFault, /*marks=*/bool>> {};

TEST_P(OneEntryTest, IsRecoveredExactlyWhenACopyIsLeft) {
  const auto [fault, marks] = GetParam();
  const DiskTable table({.nodes = 3, .entries = 1, .marks = marks}, fault);
  for (uint64_t each = 0; each < table.combinations(); ++each) {
    // Zeros on all disks, and nothing that tells of a write: docs/adr/0007.
    if (fault == TableFault::kZeros && !marks && !table.Recoverable(each)) continue;
    const SceneVerdict verdict = table.Try(each);
    EXPECT_EQ(verdict.ending, table.Recoverable(each) ? Ending::kRecovered : Ending::kWaiting)
        << table.Describe(each) << ": " << verdict.why;
    EXPECT_EQ(verdict.why.empty(), verdict.ending == Ending::kRecovered);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Faults, OneEntryTest,
    ::testing::Combine(::testing::Values(TableFault::kRot, TableFault::kGarbage, TableFault::kZeros,
                                         TableFault::kReadError),
                       ::testing::Bool()));

class RandomFaultsTest : public ::testing::TestWithParam<FaultSuite> {};

TEST_P(RandomFaultsTest, RecoverWhatCanBeRecovered) {
  const RandomFaults faults(GetParam(), 3, 2);
  uint64_t damaged = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const FaultTrial trial = faults.Try(seed);
    damaged += trial.faults.empty() ? 0u : 1u;
    EXPECT_NE(trial.verdict.ending, Ending::kUnsafe)
        << seed << " (" << trial.faults << "): " << trial.verdict.why;
    if (!trial.recoverable) continue;
    EXPECT_EQ(trial.verdict.ending, Ending::kRecovered)
        << seed << " (" << trial.faults << "): " << trial.verdict.why;
  }
  EXPECT_GT(damaged, 25u);
}

INSTANTIATE_TEST_SUITE_P(Suites, RandomFaultsTest,
                         ::testing::Values(FaultSuite::kRecords, FaultSuite::kSnapshots,
                                           FaultSuite::kFiles));

}  // namespace
}  // namespace raftkv::sim
