#include "sim/disk_table/disk_table.h"

#include "gtest/gtest.h"

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

}  // namespace
}  // namespace raftkv::sim
