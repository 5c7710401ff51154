#include "sim/fault_table/fault_table.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

class EveryBlock : public ::testing::TestWithParam<Block> {};

TEST_P(EveryBlock, MayBeHurtOnOneNode) {
  for (size_t fault = 0; fault < kBlockFaults; ++fault) {
    // One seed has sectors of 512 bytes, the other one of 4,096.
    for (const bool leader : {false, true}) {
      const FaultCell cell{GetParam(), static_cast<BlockFault>(fault), leader};
      const CellVerdict verdict = TryCell(cell, /*seed=*/leader ? 1 : 2);
      const std::string what = absl::StrCat(Name(cell.fault), leader ? ", leader" : ", follower");
      EXPECT_EQ(verdict.wrong, "") << what;
      EXPECT_GT(verdict.writes, 0u) << what;
      // Zeros are what the reserve holds.
      const bool nothing = cell.block == Block::kReserve && cell.fault == BlockFault::kZeros;
      if (cell.fault < BlockFault::kWriteError) {
        EXPECT_EQ(verdict.effect, !nothing) << what;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Blocks, EveryBlock,
                         ::testing::ValuesIn(AllBlocks().begin(), AllBlocks().end()));

TEST(FaultTableTest, WritesAreRefusedWhereTheyAreMade) {
  for (const Block block : {Block::kHeader0, Block::kFirstBatch, Block::kSnapshotChunk}) {
    EXPECT_TRUE(TryCell({block, BlockFault::kWriteError, false}, 1).effect) << Name(block);
    EXPECT_TRUE(TryCell({block, BlockFault::kNoSpace, false}, 1).effect) << Name(block);
  }
}

}  // namespace
}  // namespace raftkv::sim
