#include "storage/slots.h"

#include <string>

#include "gtest/gtest.h"
#include "sim/disk/sim_disk.h"
#include "storage/storage.h"

namespace raftkv::storage {
namespace {

const SlotFile kFile = {"record", "RECORD!\n", 77};

class SlotsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(CreateSlotFile(disk_, kFile, "one").ok());
    ASSERT_TRUE(disk_.SyncDir().ok());
  }
  void PutSlot(uint64_t number, const Slot& slot) {
    std::unique_ptr<File> file = *disk_.Open("record", Disk::Mode::kReadWrite);
    const uint64_t offset = number * kSlotBytes;
    ASSERT_TRUE(file->Write(offset, EncodeSlot(kFile, offset, slot)).ok());
    ASSERT_TRUE(file->Sync().ok());
  }
  void Spoil(uint64_t number) { ASSERT_TRUE(disk_.Corrupt("record", number * kSlotBytes + 20, 1)); }
  std::string OpenRecord() {
    events_.clear();
    absl::StatusOr<SlotPair> pair = SlotPair::Open(disk_, kFile, &events_);
    return pair.ok() ? pair->payload() : std::string(pair.status().message());
  }
  // After a repair both copies say the same, on the platter.
  void ExpectBothHold(const std::string& payload) {
    std::unique_ptr<sim::SimDisk> durable = disk_.DurableImage();
    absl::StatusOr<SlotsRead> read = ReadSlots(*durable, kFile);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_TRUE(read->equal);
    EXPECT_EQ(read->slot.payload, payload);
  }

  sim::SimDisk disk_{sim::SimDisk::Options{}};
  std::vector<RecoveryEvent> events_;
};

// A sector that cannot be read is made good by writing all of it, also when it is as large as a
// slot.
TEST_F(SlotsTest, AnUnreadableSlotIsWrittenAgainWhateverTheSizeOfASector) {
  for (const uint64_t number : {0, 1}) {
    disk_ = sim::SimDisk(sim::SimDisk::Options{.sector_bytes = 4'096});
    SetUp();
    ASSERT_TRUE(disk_.Inject(sim::ReadError{{"record", number * kSlotBytes + 700, 1}}));
    EXPECT_EQ(OpenRecord(), "one");
    ExpectBothHold("one");
  }
}

TEST_F(SlotsTest, WriteReachesBothCopiesInTwoSyncs) {
  absl::StatusOr<SlotPair> pair = SlotPair::Open(disk_, kFile, &events_);
  ASSERT_TRUE(pair.ok());
  const uint64_t before = disk_.counters().syncs;
  ASSERT_TRUE(pair->Write("two").ok());
  EXPECT_EQ(disk_.counters().syncs, before + 2);
  ExpectBothHold("two");
  EXPECT_TRUE(events_.empty());
}

TEST_F(SlotsTest, EveryRowOfTheTable) {
  struct Row {
    std::optional<Slot> first;
    std::optional<Slot> second;
    std::string expected;
  };
  const Slot old_slot{4, "old"};
  const Slot new_slot{5, "new"};
  const Row rows[] = {
      {new_slot, new_slot, "new"},     {new_slot, old_slot, "new"},     {old_slot, new_slot, "new"},
      {std::nullopt, old_slot, "old"}, {new_slot, std::nullopt, "new"},
  };
  for (const Row& row : rows) {
    PutSlot(0, row.first.value_or(old_slot));
    PutSlot(1, row.second.value_or(old_slot));
    if (!row.first) Spoil(0);
    if (!row.second) Spoil(1);
    EXPECT_EQ(OpenRecord(), row.expected);
    EXPECT_EQ(events_.empty(), row.first == row.second);
    ExpectBothHold(row.expected);
    EXPECT_EQ(OpenRecord(), row.expected);
    EXPECT_TRUE(events_.empty()) << "repaired once";
  }
  Spoil(0);
  Spoil(1);
  EXPECT_EQ(OpenRecord(), "simulated disk/record: both copies of the record are unreadable");
}

TEST_F(SlotsTest, TwoTruthsOfOneGenerationAreRefused) {
  PutSlot(0, {4, "this"});
  PutSlot(1, {4, "that"});
  EXPECT_NE(OpenRecord().find("the two copies of generation 4 differ"), std::string::npos);
}

TEST_F(SlotsTest, ACopyInTheWrongPlaceIsNotBelieved) {
  std::unique_ptr<File> file = *disk_.Open("record", Disk::Mode::kReadWrite);
  // The device put slot 1 where slot 0 belongs.
  ASSERT_TRUE(file->Write(0, EncodeSlot(kFile, kSlotBytes, {9, "misdirected"})).ok());
  EXPECT_EQ(OpenRecord(), "one");
}

TEST_F(SlotsTest, EveryShorterOrFlippedSlotIsRefused) {
  const std::string bytes = EncodeSlot(kFile, 0, {3, "payload"});
  ASSERT_TRUE(DecodeSlot(kFile, 0, bytes).ok());
  const size_t end = kSlotOverhead + 7;
  for (size_t length = 0; length < end; ++length) {
    EXPECT_FALSE(DecodeSlot(kFile, 0, absl::string_view(bytes).substr(0, length)).ok()) << length;
  }
  for (size_t at = 0; at < end; ++at) {
    std::string flipped = bytes;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
    EXPECT_TRUE(absl::IsDataLoss(DecodeSlot(kFile, 0, flipped).status())) << at;
  }
}

// Whatever the power failure leaves of a change, one of the two records is there, and it stays.
TEST_F(SlotsTest, AChangeMayCrashAnywhere) {
  for (uint64_t budget = 0; budget < 4; ++budget) {
    for (uint64_t seed = 0; seed < 100; ++seed) {
      disk_ = sim::SimDisk({});
      SetUp();
      absl::StatusOr<SlotPair> pair = SlotPair::Open(disk_, kFile, &events_);
      ASSERT_TRUE(pair.ok());
      ASSERT_TRUE(pair->Write("two").ok());
      disk_.SetOperationBudget(budget);
      EXPECT_FALSE(pair->Write("three").ok());
      Random random(seed);
      disk_.Crash(random);
      const std::string found = OpenRecord();
      EXPECT_TRUE(found == "two" || found == "three") << found;
      disk_.Crash(random);
      EXPECT_EQ(OpenRecord(), found);
    }
  }
}

// A failed sync leaves slot 0 in the cache only. The repair must not touch slot 1, the only record
// that is certain, before slot 0 is durable.
TEST_F(SlotsTest, ARepairMayCrashAnywhere) {
  for (uint64_t failing : {uint64_t{0}, uint64_t{1}}) {
    for (uint64_t budget = 0; budget < 4; ++budget) {
      for (uint64_t seed = 0; seed < 200; ++seed) {
        disk_ = sim::SimDisk({});
        SetUp();
        absl::StatusOr<SlotPair> pair = SlotPair::Open(disk_, kFile, &events_);
        ASSERT_TRUE(pair.ok());
        ASSERT_TRUE(pair->Write("two").ok());
        disk_.InjectFault(sim::SimDisk::Operation::kSync, failing);
        EXPECT_FALSE(pair->Write("three").ok());
        disk_.ProcessCrash();
        disk_.SetOperationBudget(budget);
        (void)OpenRecord();
        disk_.PowerOff();
        Random random(seed);
        disk_.Crash(random);
        const std::string found = OpenRecord();
        ASSERT_TRUE(found == "two" || found == "three") << found << " seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace raftkv::storage
