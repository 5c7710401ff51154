#include "sim/node/foresight.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/log.h"

namespace raftkv::sim {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr uint64_t kTries = 40;

// A disk with the storage of a node, which has term 3 and entries 2 to 6.
class ForesightTest : public ::testing::Test {
 protected:
  ForesightTest() {
    options_.segment_bytes = 64 * 1024;
    raft::SnapshotMeta meta{1, 1, {}};
    meta.conf.voters = {1};
    EXPECT_TRUE(storage::Storage::Init(disk_, {{1, 2}, 1, 1, 0, 0}, {meta, "state"}).ok());
    auto opened = storage::Storage::Open(disk_, options_, {});
    EXPECT_TRUE(opened.ok()) << opened.status();
    storage_ = *std::move(opened);
    (void)storage_->TakeRecovered();
    raft::PersistJob job;
    job.hard_state = raft::HardState{3, 1};
    job.writes_log = true;
    job.keep_through = 1;
    for (raft::Index index = 2; index <= 6; ++index) {
      job.entries.push_back({3, index, {}, raft::EntryType::kCommand});
    }
    EXPECT_TRUE(storage_->Persist(job).ok());
  }

  Foresight Look(bool mid_job = false, bool full = false) {
    return Foresee(disk_, options_, {}, mid_job, full, &chance_);
  }
  // What is wrong in some of the ways in which the power may fail.
  std::string Wrong(bool mid_job = false, bool full = false) {
    for (uint64_t i = 0; i < kTries; ++i) {
      if (std::string wrong = Look(mid_job, full).wrong; !wrong.empty()) return wrong;
    }
    return {};
  }
  void Write(absl::string_view name, absl::string_view bytes) {
    auto file = disk_.Create(name);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Write(0, bytes).ok());
    ASSERT_TRUE((*file)->Sync().ok());
  }

  SimDisk disk_{SimDisk::Options()};
  storage::Options options_;
  std::unique_ptr<storage::Storage> storage_;
  Random chance_{7};
};

TEST_F(ForesightTest, WhatWasSyncedIsFoundAndTheDiskIsLeftAlone) {
  const uint64_t before = disk_.ContentHash();
  for (uint64_t i = 0; i < kTries; ++i) {
    const Foresight foresight = Look(i % 2 == 0, i % 4 == 1);
    EXPECT_EQ(foresight.wrong, "");
    EXPECT_EQ(foresight.found.hard_state.term, 3u);
    EXPECT_THAT(foresight.found.entries, SizeIs(5));
  }
  EXPECT_EQ(disk_.ContentHash(), before);
  EXPECT_EQ(disk_.counters().crashes, 0u);
  // Neither is the storage disturbed.
  raft::PersistJob job;
  job.hard_state = raft::HardState{4, 1};
  EXPECT_TRUE(storage_->Persist(job).ok());
  EXPECT_EQ(Look().found.hard_state.term, 4u);
}

TEST_F(ForesightTest, WhatWasNotSyncedMayBeMissing) {
  ASSERT_TRUE(disk_.Create("unknown").ok());
  EXPECT_EQ(Wrong(), "");
  // The name is there, and not synced.
  std::string bytes;
  {
    const auto file = *disk_.Open("vote", storage::Disk::Mode::kRead);
    bytes.resize(*file->Size());
    ASSERT_TRUE(file->Read(0, bytes.data(), bytes.size()).ok());
  }
  ASSERT_TRUE(disk_.Remove("vote").ok());
  ASSERT_TRUE(disk_.SyncDir().ok());
  Write("vote", bytes);
  EXPECT_THAT(Wrong(), HasSubstr("it does not start again: "));
  ASSERT_TRUE(disk_.SyncDir().ok());
  EXPECT_EQ(Wrong(), "");
}

TEST_F(ForesightTest, DamageIsNothingThatAPowerLossDoes) {
  ASSERT_TRUE(disk_.Corrupt("vote", 20, 1));
  EXPECT_THAT(Wrong(/*mid_job=*/false), HasSubstr("it finds damage in vote: "));
  // As the half of a write.
  EXPECT_EQ(Wrong(/*mid_job=*/true), "");
}

TEST_F(ForesightTest, WhatNobodyWillFinishIsRemoved) {
  Write("snapshot-00000000000000000009.local.tmp", "half of it");
  EXPECT_EQ(Wrong(), "");
  Write("something.tmp", "half of it");
  EXPECT_EQ(Wrong(), "it keeps something.tmp, which nobody will ever finish");
}

TEST_F(ForesightTest, SpaceIsKeptBackForAStart) {
  EXPECT_EQ(Wrong(/*mid_job=*/false, /*full=*/true), "");
  ASSERT_TRUE(disk_.Remove("reserve").ok());
  ASSERT_TRUE(disk_.SyncDir().ok());
  EXPECT_EQ(Wrong(/*mid_job=*/false, /*full=*/false), "");
  EXPECT_THAT(Wrong(/*mid_job=*/false, /*full=*/true),
              HasSubstr("it does not start again on a full disk: "));
}

// --- Damage

class DamageForesightTest : public ForesightTest {
 protected:
  DamageForesightTest() {
    storage_.reset();
    disk_.ProcessCrash();
  }
  std::optional<raft::Recovered> After(const DiskFault& damage) {
    return ForeseeDamage(disk_, damage, options_);
  }
  std::string LogName() {
    const std::vector<std::string> names = *disk_.List();
    for (const std::string& name : names) {
      if (storage::ParseSegmentName(name)) newest_ = name;
    }
    return newest_;
  }
  std::string newest_;
};

TEST_F(DamageForesightTest, WhatIsLeftIsTold) {
  const uint64_t before = disk_.ContentHash();
  // One copy is enough.
  auto found = After(Zeros{{"vote", 0, 512}});
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->hard_state.term, 3u);
  EXPECT_THAT(found->entries, SizeIs(5));
  EXPECT_FALSE(found->suspicion.has_value());
  // The log is not what it was, and knows it.
  found = After(Garbage{{LogName(), 2 * options_.block_bytes, 1024}, 1});
  ASSERT_TRUE(found.has_value());
  EXPECT_THAT(found->entries, SizeIs(0));
  EXPECT_TRUE(found->suspicion.has_value());
  EXPECT_EQ(disk_.ContentHash(), before);
  EXPECT_TRUE(disk_.HasOnlyLostPower());
}

TEST_F(DamageForesightTest, WhatWouldDoNothingOrEndIsForOthersToJudge) {
  EXPECT_FALSE(After(Zeros{{"no such file", 0, 512}}).has_value());
  EXPECT_FALSE(After(Zeros{{"vote", 0, kToTheEnd}}).has_value()) << "it does not start";
  EXPECT_FALSE(After(Zeros{{"snapshot-00000000000000000001.local", 0, kToTheEnd}}).has_value())
      << "it has to be repaired";
}

// --- Repair

// Entries 2 to 31 in several segments; one in the middle is bad.
class RepairForesightTest : public ::testing::Test {
 protected:
  RepairForesightTest() {
    options_.segment_bytes = 32 * 1024;
    raft::SnapshotMeta meta{1, 1, {}};
    meta.conf.voters = {1, 2, 3};
    EXPECT_TRUE(storage::Storage::Init(disk_, {{1, 2}, 1, 1, 0, 0}, {meta, "state"}).ok());
    {
      const auto storage = *storage::Storage::Open(disk_, options_, {});
      (void)storage->TakeRecovered();
      for (raft::Index index = 2; index <= 31; ++index) {
        raft::PersistJob job;
        job.writes_log = true;
        job.keep_through = index - 1;
        job.commit = index - 2;
        job.entries.push_back({1, index, raft::Payload::Copy(std::string(3'000, 'x')), {}});
        EXPECT_TRUE(storage->Persist(job).ok());
      }
    }
    disk_.ProcessCrash();
    std::vector<std::string> segments;
    const std::vector<std::string> names = *disk_.List();
    for (const std::string& name : names) {
      if (storage::ParseSegmentName(name)) segments.push_back(name);
    }
    EXPECT_GE(segments.size(), 4u);
    last_segment_ = segments.back();
    // Its second batch.
    EXPECT_TRUE(disk_.Inject(Garbage{{segments[1], 4 * uint64_t{options_.block_bytes}, 4096}, 1}));
    storage_ = *storage::Storage::Open(disk_, options_, {});
    storage::Recovered found = storage_->TakeRecovered();
    EXPECT_TRUE(found.damage.has_value());
    readable_ = Readable::Of(found, disk_, options_);
    for (const raft::DamagedEntry& bad : found.damage->bad) {
      settle_.entries.push_back({1, bad.index, raft::Payload::Copy(std::string(3'000, 'x')), {}});
    }
    // A repair settles all that follows, too.
    for (const raft::Entry& entry : found.damage->intact) settle_.entries.push_back(entry);
  }
  std::string Wrong() {
    for (uint64_t i = 0; i < kTries; ++i) {
      std::string wrong = ForeseeInRepair(disk_, options_, readable_, settle_, &chance_);
      if (!wrong.empty()) return wrong;
    }
    return {};
  }

  SimDisk disk_{SimDisk::Options()};
  storage::Options options_;
  std::string last_segment_;
  std::unique_ptr<storage::Storage> storage_;
  Readable readable_;
  replica::SettleLog settle_;
  Random chance_{7};
};

TEST_F(RepairForesightTest, WhatCanBeReadStaysUntilTheRepairIsDone) {
  EXPECT_GE(readable_.entries.size(), 20u);
  EXPECT_GT(readable_.first_bad, 2u);
  EXPECT_EQ(Wrong(), "");
  // In the middle of it, at each change of a name.
  int looks = 0;
  disk_.CallBeforeNamesChange([&] {
    ++looks;
    EXPECT_EQ(Wrong(), "") << looks;
  });
  EXPECT_TRUE(storage_->Settle(settle_.entries, settle_.suspicion).ok());
  EXPECT_GT(looks, 3);
  EXPECT_EQ(Wrong(), "");
}

TEST_F(RepairForesightTest, WhoRemovesFirstIsFoundOut) {
  ASSERT_TRUE(disk_.Remove(last_segment_).ok());
  EXPECT_THAT(Wrong(), HasSubstr("its repair is not done, and entry ("));
}

// What is not there in full has to be what was there before.
TEST_F(RepairForesightTest, ARepairThatLeavesSomethingOutIsNotDone) {
  raft::Entries less = settle_.entries;
  less.resize(3);
  EXPECT_TRUE(storage_->Settle(less, settle_.suspicion).ok());
  EXPECT_THAT(Wrong(), HasSubstr("its repair is not done, and entry ("));
  settle_.entries = less;
  EXPECT_EQ(Wrong(), "");
}

// A power loss takes it anyway. Here the name of the last segment is not synced.
TEST_F(RepairForesightTest, WhatIsNotSyncedIsNotReadable) {
  const std::unique_ptr<SimDisk> disk = disk_.Clone();
  std::string bytes;
  {
    const auto file = *disk->Open(last_segment_, storage::Disk::Mode::kRead);
    bytes.resize(*file->Size());
    ASSERT_TRUE(file->Read(0, bytes.data(), bytes.size()).ok());
  }
  ASSERT_TRUE(disk->Remove(last_segment_).ok());
  ASSERT_TRUE(disk->SyncDir().ok());
  const auto file = *disk->Create(last_segment_);
  ASSERT_TRUE(file->Write(0, bytes).ok());
  ASSERT_TRUE(file->Sync().ok());
  const auto found = *storage::Storage::Explain(*disk, options_);
  ASSERT_TRUE(found.damage.has_value());
  const Readable readable = Readable::Of(found, *disk, options_);
  EXPECT_FALSE(readable.entries.empty());
  EXPECT_LT(readable.entries.size(), readable_.entries.size());
  // What the lost write replaced nobody knows, unless it was committed.
  const auto durable = *storage::Storage::Explain(*disk->DurableImage(), options_);
  EXPECT_EQ(readable.entries.back().index, durable.commit);
  EXPECT_EQ(durable.commit, readable.first_bad - 1);
}

}  // namespace
}  // namespace raftkv::sim
