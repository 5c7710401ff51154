#include "storage/slots.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sim/disk/sim_disk.h"
#include "storage/checksum.h"
#include "storage/encoding.h"
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
  for (const uint64_t number : {uint64_t{0}, uint64_t{1}}) {
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

// The file came back as it was once, or half of it did: the event names the copy that was old.
TEST_F(SlotsTest, TheEventNamesTheCopyThatIsWrittenAgain) {
  for (const uint64_t bad : {uint64_t{0}, uint64_t{1}}) {
    for (const bool spoilt : {false, true}) {
      PutSlot(bad, {4, "old"});
      PutSlot(1 - bad, {5, "new"});
      if (spoilt) Spoil(bad);
      EXPECT_EQ(OpenRecord(), "new");
      ASSERT_EQ(events_.size(), 1u);
      EXPECT_EQ(events_[0].offset, bad * kSlotBytes);
      EXPECT_EQ(events_[0].bytes, kSlotBytes);
      EXPECT_EQ(events_[0].file, "record");
    }
  }
}

// Intact, and nobody of ours has written it: after the largest generation none would be newer.
TEST_F(SlotsTest, ImpossibleValuesAreRefusedThoughTheChecksumIsRight) {
  const auto decode = [](uint64_t generation, char reserved) {
    std::string bytes = EncodeSlot(kFile, 0, {generation, "payload"});
    bytes[28] = reserved;
    std::string sum;
    PutU64(sum, Checksum(absl::string_view(bytes).substr(0, 39), kFile.seed));
    bytes.replace(39, 8, sum);
    return DecodeSlot(kFile, 0, bytes).status();
  };
  EXPECT_TRUE(decode(1, 0).ok());
  EXPECT_TRUE(decode(kMaxGeneration, 0).ok());
  for (const absl::Status& status :
       {decode(0, 0), decode(kMaxGeneration + 1, 0), decode(UINT64_MAX, 0), decode(1, 1)}) {
    EXPECT_EQ(status.message(), "impossible values");
  }
}

// The next generation would not be believed, and the record that is written with it be forgotten.
TEST_F(SlotsTest, AFileNearTheLastGenerationIsNotGoneOnWith) {
  PutSlot(0, {kMaxGeneration / 2, "old"});
  PutSlot(1, {kMaxGeneration / 2, "old"});
  EXPECT_EQ(OpenRecord(), "old");
  PutSlot(0, {kMaxGeneration / 2 + 1, "new"});
  EXPECT_EQ(OpenRecord(), absl::StrCat("simulated disk/record: generation ", kMaxGeneration / 2 + 1,
                                       ", which none gets to"));
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
