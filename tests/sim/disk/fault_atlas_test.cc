#include "sim/disk/fault_atlas.h"

#include <map>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

class FaultAtlasTest : public ::testing::Test {
 protected:
  FaultAtlasTest() {
    options_.segment_bytes = 16'384;
    options_.block_bytes = 512;
    options_.zero_ahead_bytes = 0;
    for (raft::NodeId node = 1; node <= 3; ++node) {
      disks_[node] = std::make_unique<SimDisk>(SimDisk::Options());
      storage::Founding founding;
      founding.meta = {1, 1, {{1, 2, 3}, {}, {}, {}, false}};
      founding.state = "founding";
      EXPECT_TRUE(storage::Storage::Init(*disks_[node], {{1, 2}, node, 1, 0, 0}, founding).ok());
    }
  }

  // A life of the node that writes entries [2, through] it does not have, and its vote.
  void Write(raft::NodeId node, raft::Index through, raft::HardState hard_state) {
    SimDisk& disk = *disks_.at(node);
    const auto opened = storage::Storage::Open(disk, options_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    (*opened)->TakeRecovered();
    raft::PersistJob job;
    job.hard_state = hard_state;
    ASSERT_TRUE((*opened)->Persist(job).ok());
    for (raft::Index index = (*opened)->last_index() + 1; index <= through; ++index) {
      raft::PersistJob append;
      append.writes_log = true;
      append.keep_through = index - 1;
      append.entries.push_back({hard_state.term, index, {}, raft::EntryType::kCommand});
      ASSERT_TRUE((*opened)->Persist(append).ok());
    }
  }
  void WriteAll(raft::Index through, raft::HardState hard_state) {
    for (const auto& [node, disk] : disks_) Write(node, through, hard_state);
  }

  FaultAtlas Atlas() const {
    std::map<raft::NodeId, const SimDisk*> members;
    for (const auto& [node, disk] : disks_) members[node] = disk.get();
    return FaultAtlas(members, options_);
  }
  absl::Status MayInject(raft::NodeId node, const DiskFault& fault) const {
    return Atlas().MayInject(node, fault);
  }
  std::string Segment(raft::NodeId node) {
    std::string newest;
    const std::vector<std::string> names = *disks_.at(node)->List();
    for (const std::string& name : names) {
      if (absl::StartsWith(name, "log-")) newest = name;
    }
    return newest;
  }
  void Inject(raft::NodeId node, const DiskFault& fault) {
    ASSERT_TRUE(disks_.at(node)->Inject(fault)) << Describe(fault);
  }

  storage::Options options_;
  std::map<raft::NodeId, std::unique_ptr<SimDisk>> disks_;
};

TEST_F(FaultAtlasTest, AFaultWithoutEffectIsNotForFree) {
  const absl::Status status = MayInject(1, MissingFile{"no such file"});
  EXPECT_TRUE(absl::StrContains(status.message(), "no effect")) << status;
}

TEST_F(FaultAtlasTest, RotIsSurvivedWhileTheEntryIsElsewhere) {
  WriteAll(5, {2, 1});
  // Of the second batch, so that what is lost is known by its index and term.
  const auto rot = [this](raft::NodeId node) {
    return BitRot{{Segment(node), 3 * 512, 512}, 20'000};
  };
  EXPECT_TRUE(MayInject(1, rot(1)).ok()) << MayInject(1, rot(1));
  Inject(1, rot(1));
  EXPECT_TRUE(MayInject(2, rot(2)).ok()) << MayInject(2, rot(2));
  Inject(2, rot(2));
  const absl::Status third = MayInject(3, rot(3));
  EXPECT_TRUE(absl::StrContains(third.message(), "has the last copy of entry")) << third;
}

// Nothing but the node's term bounds what they have lost: they elect nobody of that term.
TEST_F(FaultAtlasTest, AMajorityMustNotLoseItDoesNotKnowWhat) {
  WriteAll(5, {2, 1});
  const auto rot = [this](raft::NodeId node) { return BitRot{{Segment(node), 512}, 20'000}; };
  EXPECT_TRUE(MayInject(1, rot(1)).ok()) << MayInject(1, rot(1));
  Inject(1, rot(1));
  EXPECT_EQ(MayInject(2, rot(2)).message(), "node 2 would leave nobody whom a majority can elect");
}

TEST_F(FaultAtlasTest, AMajorityHasToStart) {
  WriteAll(3, {2, 1});
  EXPECT_TRUE(MayInject(1, Garbage{{"vote"}}).ok());
  Inject(1, Garbage{{"vote"}});
  const absl::Status second = MayInject(2, Garbage{{"vote"}});
  EXPECT_EQ(second.message(), "node 2 is needed for a majority that starts");
}

TEST_F(FaultAtlasTest, WhatAMajorityOfTheOthersHasMayBeForgotten) {
  WriteAll(3, {2, 1});
  for (const auto& [node, disk] : disks_) disk->Remember();
  WriteAll(5, {2, 1});
  EXPECT_TRUE(MayInject(3, Amnesia()).ok()) << MayInject(3, Amnesia());
  // Only one other has entry 6: with node 3 it may have committed it.
  Write(2, 6, {2, 1});
  Write(3, 6, {2, 1});
  const absl::Status status = MayInject(3, Amnesia());
  EXPECT_EQ(status.message(),
            "node 3 would forget entry 6, which no majority of the others promises");
}

TEST_F(FaultAtlasTest, TwoMayNotForgetTheSameEntry) {
  WriteAll(3, {2, 1});
  for (const auto& [node, disk] : disks_) disk->Remember();
  WriteAll(5, {2, 1});
  ASSERT_TRUE(MayInject(3, Amnesia()).ok());
  Inject(3, Amnesia());
  EXPECT_FALSE(MayInject(2, Amnesia()).ok());
}

TEST_F(FaultAtlasTest, AVoteMayBeForgottenOnceTheElectionIsOver) {
  WriteAll(3, {2, 1});
  for (const auto& [node, disk] : disks_) disk->Remember();
  // In term 3 only nodes 2 and 3 have voted, for 2: node 1 could still win with 3.
  Write(2, 3, {3, 2});
  Write(3, 3, {3, 2});
  const absl::Status status = MayInject(3, Amnesia());
  EXPECT_EQ(status.message(), "node 3 would forget its vote in term 3");
  Write(1, 3, {3, 2});
  EXPECT_TRUE(MayInject(3, Amnesia()).ok());
  EXPECT_FALSE(MayInject(2, Amnesia()).ok()) << "the candidate itself would be elected again";
  Write(1, 3, {4, 1});
  Write(3, 3, {4, 1});
  EXPECT_TRUE(MayInject(2, Amnesia()).ok());
}

TEST_F(FaultAtlasTest, ALieIsJudgedBeforeItComesToLight) {
  WriteAll(3, {2, 1});
  EXPECT_TRUE(MayInject(3, LostWrite{"log-"}).ok());
  {
    SimDisk& disk = *disks_.at(3);
    const auto opened = storage::Storage::Open(disk, options_);
    ASSERT_TRUE(opened.ok());
    Inject(3, LostWrite{"log-"});
    raft::PersistJob append;
    append.writes_log = true;
    append.keep_through = 3;
    append.entries.push_back({2, 4, {}, raft::EntryType::kCommand});
    ASSERT_TRUE((*opened)->Persist(append).ok());
    EXPECT_EQ(disk.effects()[DiskFault(LostWrite()).index()], 1u);
  }
  EXPECT_TRUE(Atlas().MayForget(3).ok()) << "its marks prove that something was there";
  Inject(3, MissingFile{"marks"});
  EXPECT_FALSE(Atlas().MayForget(3).ok()) << "nobody else has entry 4 yet";
  Write(1, 4, {2, 1});
  EXPECT_FALSE(Atlas().MayForget(3).ok());
  Write(2, 4, {2, 1});
  EXPECT_TRUE(Atlas().MayForget(3).ok()) << Atlas().MayForget(3);
}

TEST_F(FaultAtlasTest, AMajorityMustNotTear) {
  EXPECT_TRUE(Atlas().MayTear({1}));
  EXPECT_FALSE(Atlas().MayTear({1, 2}));
}

}  // namespace
}  // namespace raftkv::sim
