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
  ASSERT_TRUE(disk_.Remove("vote").ok());
  EXPECT_THAT(Wrong(), HasSubstr("it does not start again: "));
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

}  // namespace
}  // namespace raftkv::sim
