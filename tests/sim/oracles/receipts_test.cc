#include "sim/oracles/receipts.h"

#include <string>

#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

using Status = wire::SnapshotAckStatus;

class ReceiptsTest : public ::testing::Test {
 protected:
  // A piece of a snapshot of 100 bytes.
  void Hears(uint64_t transfer, uint64_t offset, size_t bytes, raft::Index index = 7) {
    wire::SnapshotChunk chunk;
    chunk.meta.index = index;
    chunk.transfer = transfer;
    chunk.offset = offset;
    chunk.total_size = 100;
    chunk.bytes = std::string(bytes, 's');
    receipts_.Hears(chunk);
  }
  std::string Says(uint64_t transfer, uint64_t next, Status status = Status::kContinue) {
    return receipts_.Says({transfer, status, next});
  }

  Receipts receipts_;
};

TEST_F(ReceiptsTest, PiecesInTheirOrder) {
  for (uint64_t offset = 0; offset < 100; offset += 40) {
    const size_t bytes = offset == 80 ? 20 : 40;
    Hears(1, offset, bytes);
    Hears(1, offset, bytes);
    EXPECT_EQ(Says(1, offset), "") << "the one before once more";
    const uint64_t end = offset + bytes;
    EXPECT_EQ(Says(1, end, end == 100 ? Status::kDone : Status::kContinue), "");
  }
  EXPECT_EQ(Says(1, 100, Status::kDone), "");
}

TEST_F(ReceiptsTest, APieceThatCameTwiceCountsOnce) {
  Hears(1, 0, 40);
  Hears(1, 0, 40);
  EXPECT_EQ(Says(1, 40), "");
  EXPECT_EQ(Says(1, 80),
            "acknowledges 80 bytes of the snapshot of entry 7 after 40, and has not heard the "
            "piece in between");
}

TEST_F(ReceiptsTest, APieceFromTheMiddleIsNoBeginning) {
  Hears(1, 40, 40);
  EXPECT_EQ(Says(1, 0), "");
  EXPECT_NE(Says(1, 40), "");
  EXPECT_NE(Says(1, 80), "");
}

TEST_F(ReceiptsTest, TheNextTransferOfASnapshotGoesOnOrBeginsAnew) {
  Hears(1, 0, 40);
  EXPECT_EQ(Says(1, 40), "");
  Hears(2, 0, 40);
  EXPECT_EQ(Says(2, 40), "");
  Hears(2, 40, 60);
  EXPECT_EQ(Says(2, 100, Status::kDone), "");
  Hears(3, 0, 40);
  EXPECT_EQ(Says(3, 40), "") << "the received one was dropped";
}

TEST_F(ReceiptsTest, SnapshotsAreNotMixed) {
  Hears(1, 0, 40);
  EXPECT_EQ(Says(1, 40), "");
  Hears(2, 40, 40, /*index=*/9);
  EXPECT_NE(Says(2, 80), "");
}

// Pieces that were on their way for long: no reason to forget what is on its way now. Found by seed
// 13237816.
TEST_F(ReceiptsTest, LatePiecesOfOldSnapshotsHideNothing) {
  constexpr raft::Index kNew = 50;
  Hears(1, 0, 40, kNew);
  EXPECT_EQ(Says(1, 40), "");
  for (raft::Index old = 10; old < 30; ++old) Hears(old, 0, 40, old);
  Hears(1, 40, 40, kNew);
  EXPECT_EQ(Says(1, 80), "");
  for (raft::Index next = kNew + 1; next < kNew + 30; ++next) {
    Hears(next, 0, 40, next);
    EXPECT_EQ(Says(next, 40), "");
    EXPECT_NE(Says(next, 80), "") << "a few are enough, as long as the last one is among them";
  }
}

TEST_F(ReceiptsTest, AfterARestartThereIsNothing) {
  Hears(1, 0, 40);
  EXPECT_EQ(Says(1, 40), "");
  receipts_.Restarted();
  Hears(1, 40, 40);
  EXPECT_NE(Says(1, 80), "");
}

TEST_F(ReceiptsTest, DoneIsAllOfIt) {
  Hears(1, 0, 40);
  EXPECT_EQ(Says(1, 40, Status::kDone),
            "says that it has the snapshot of entry 7, and 40 of its 100 bytes");
}

TEST_F(ReceiptsTest, WhatEndsATransferSaysNothingAboutBytes) {
  Hears(1, 40, 40);
  EXPECT_EQ(Says(1, 80, Status::kRefused), "");
  EXPECT_EQ(Says(1, 80, Status::kFailed), "");
}

}  // namespace
}  // namespace raftkv::sim
