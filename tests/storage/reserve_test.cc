#include "storage/reserve.h"

#include <gtest/gtest.h>

#include "sim/disk/sim_disk.h"

namespace raftkv::storage {
namespace {

constexpr uint64_t kBytes = 8192;

class ReserveTest : public testing::Test {
 protected:
  void LeaveSpace(uint64_t bytes) {
    sim::SimDisk::Options options;
    options.capacity_bytes = bytes;
    disk_.set_options(options);
  }
  bool Exists(absl::string_view name) { return disk_.Open(name, Disk::Mode::kRead).ok(); }

  sim::SimDisk disk_{sim::SimDisk::Options{}};
};

TEST_F(ReserveTest, BecomesAFileWhenNothingElseIsLeft) {
  Reserve reserve(disk_, kBytes);
  ASSERT_TRUE(reserve.Fill().ok());
  LeaveSpace(2 * kBytes);
  EXPECT_TRUE(reserve.CreateFile("first", kBytes).ok());
  EXPECT_TRUE(reserve.held()) << "there was other space";
  EXPECT_TRUE(reserve.CreateFile("second", kBytes).ok());
  EXPECT_FALSE(reserve.held());
  EXPECT_FALSE(Exists(kReserveName));
  EXPECT_TRUE(absl::IsResourceExhausted(reserve.CreateFile("third", kBytes).status()));
  EXPECT_FALSE(Exists("third"));
  EXPECT_TRUE(absl::IsResourceExhausted(reserve.Fill()));
  EXPECT_FALSE(Exists(kReserveName));
  LeaveSpace(3 * kBytes);
  EXPECT_TRUE(reserve.Fill().ok());
  EXPECT_TRUE(reserve.held());
}

TEST_F(ReserveTest, IsTooSmallForALargeFile) {
  Reserve reserve(disk_, kBytes);
  ASSERT_TRUE(reserve.Fill().ok());
  LeaveSpace(kBytes);
  EXPECT_TRUE(absl::IsResourceExhausted(reserve.CreateFile("large", kBytes + 1).status()));
  EXPECT_TRUE(reserve.held()) << "and is not wasted on it";
}

// A disk that is filled bit by bit would otherwise never be left by the files that did not fit.
TEST_F(ReserveTest, WhatDidNotFitLeavesNothing) {
  Reserve reserve(disk_, kBytes);
  LeaveSpace(kBytes - 1);
  const uint64_t before = disk_.used_bytes();
  EXPECT_TRUE(absl::IsResourceExhausted(reserve.Fill()));
  EXPECT_EQ(disk_.used_bytes(), before);
}

TEST_F(ReserveTest, OutlivesACrashAndAFullDisk) {
  {
    Reserve reserve(disk_, kBytes);
    ASSERT_TRUE(reserve.Fill().ok());
  }
  disk_ = std::move(*disk_.DurableImage());  // nothing survives that was not synced
  LeaveSpace(0);
  Reserve again(disk_, kBytes);
  EXPECT_TRUE(again.Fill().ok());
  EXPECT_TRUE(again.CreateFile("file", kBytes).ok());
}

// Whoever made it may have been killed before it was synced; seed 9090969.
TEST_F(ReserveTest, OfAnEarlierProcessIsSyncedBeforeItCounts) {
  for (const uint64_t operations : {1u, 2u, 3u}) {
    disk_.Wipe();
    disk_.SetOperationBudget(operations);
    Reserve killed(disk_, kBytes);
    EXPECT_FALSE(killed.Fill().ok());
    disk_.ProcessCrash();
    Reserve reserve(disk_, kBytes);
    ASSERT_TRUE(reserve.Fill().ok());
    disk_ = std::move(*disk_.DurableImage());
    LeaveSpace(0);
    Reserve again(disk_, kBytes);
    EXPECT_TRUE(again.Fill().ok()) << operations;
    LeaveSpace(UINT64_MAX);
  }
}

TEST_F(ReserveTest, OfAnotherSizeIsMadeAnew) {
  {
    Reserve reserve(disk_, kBytes);
    ASSERT_TRUE(reserve.Fill().ok());
  }
  Reserve larger(disk_, 2 * kBytes);
  ASSERT_TRUE(larger.Fill().ok());
  EXPECT_EQ(*(*disk_.Open(kReserveName, Disk::Mode::kRead))->Size(), 2 * kBytes);
}

}  // namespace
}  // namespace raftkv::storage
