#include "sim/disk/fault_atlas.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
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
    Found(3);
  }

  void Found(raft::NodeId nodes) {
    storage::Founding founding;
    founding.meta = {1, 1, {}};
    for (raft::NodeId node = 1; node <= nodes; ++node) founding.meta.conf.voters.push_back(node);
    for (raft::NodeId node = 1; node <= nodes; ++node) {
      disks_[node] = std::make_unique<SimDisk>(SimDisk::Options());
      founding.state = "founding";
      EXPECT_TRUE(storage::Storage::Init(*disks_[node], {{1, 2}, node, 1, 0, 0}, founding).ok());
    }
  }

  // A life of the node that writes entries [2, through] it does not have, and its vote. What it has
  // behind `keep` is replaced.
  void Write(raft::NodeId node, raft::Index through, raft::HardState hard_state,
             raft::Index keep = UINT64_MAX, raft::Term term = 0) {
    SimDisk& disk = *disks_.at(node);
    const auto opened = storage::Storage::Open(disk, options_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    (*opened)->TakeRecovered();
    raft::PersistJob job;
    job.hard_state = hard_state;
    ASSERT_TRUE((*opened)->Persist(job).ok());
    for (raft::Index index = std::min((*opened)->last_index(), keep) + 1; index <= through;
         ++index) {
      raft::PersistJob append;
      append.writes_log = true;
      append.keep_through = index - 1;
      append.entries.push_back({term == 0 ? hard_state.term : term, index, {}, type_});
      ASSERT_TRUE((*opened)->Persist(append).ok());
    }
  }
  void WriteAll(raft::Index through, raft::HardState hard_state) {
    for (const auto& [node, disk] : disks_) Write(node, through, hard_state);
  }

  FaultAtlas Atlas(FaultAtlas::Memory* memory = nullptr) const {
    std::map<raft::NodeId, const SimDisk*> members;
    for (const auto& [node, disk] : disks_) {
      members[node] = wiped_.contains(node) ? nullptr : disk.get();
    }
    return FaultAtlas(members, options_, {}, memory);
  }
  // Whoever remembers what there was before must not say anything else.
  absl::Status MayInject(raft::NodeId node, const DiskFault& fault) {
    const absl::Status status = Atlas().MayInject(node, fault);
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(Atlas(&memory_).MayInject(node, fault), status) << Describe(fault);
    }
    return status;
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
  raft::EntryType type_ = raft::EntryType::kCommand;  // of what is written
  std::map<raft::NodeId, std::unique_ptr<SimDisk>> disks_;
  std::set<raft::NodeId> wiped_;
  FaultAtlas::Memory memory_;
};

TEST_F(FaultAtlasTest, WhoeverMustStartIsNotLeftToTheOthers) {
  WriteAll(5, {2, 1});
  const Garbage both_votes{{"vote"}, 7};
  EXPECT_TRUE(MayInject(1, both_votes).ok()) << "a majority starts without it";
  const absl::Status status =
      Atlas(&memory_).MayInject(1, both_votes, FaultAtlas::Node::kMustStart);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
}

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
  EXPECT_EQ(status.message(), "node 3 would forget entry 6, which no majority of the others has");
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

// A node that has replaced what it remembers, by a leader that still leads: it would take that for
// what the leader says is committed.
TEST_F(FaultAtlasTest, WhatIsLeftMustBeTheBeginningOfTheLogWhileItsLeaderLeads) {
  WriteAll(3, {2, 1});
  Write(3, 5, {2, 1});
  disks_.at(3)->Remember();
  Write(3, 5, {3, 1}, /*keep=*/3);
  Write(1, 5, {3, 1});
  Write(2, 5, {3, 1});
  EXPECT_EQ(MayInject(3, Amnesia()).message(),
            "node 3 would forget what it promised in term 3, which node 1 may lead");
  disks_.at(3)->Remember();
  Write(3, 6, {3, 1});
  Write(1, 6, {3, 1});
  Write(2, 6, {3, 1});
  EXPECT_TRUE(MayInject(3, Amnesia()).ok()) << "the beginning: " << MayInject(3, Amnesia());
}

// A log of a later term is as good a promise in elections; but what a leader counts on is not in
// it.
TEST_F(FaultAtlasTest, EntriesOfALaterTermAreNoSubstitute) {
  WriteAll(3, {2, 1});
  Write(3, 5, {3, 3});
  disks_.at(3)->Remember();
  Write(1, 5, {2, 1});
  for (const raft::NodeId node : {1u, 2u, 3u}) Write(node, 5, {4, 1}, /*keep=*/3, /*term=*/2);
  EXPECT_EQ(MayInject(3, Amnesia()).message(),
            "node 3 would forget what it promised in term 4, which node 1 may lead");
}

TEST_F(FaultAtlasTest, OtherEntriesMayBeLeftOnceTheLeaderIsGone) {
  WriteAll(3, {2, 1});
  Write(3, 5, {2, 1});
  disks_.at(3)->Remember();
  Write(3, 5, {3, 1}, /*keep=*/3);
  Write(1, 5, {3, 1});
  Write(2, 5, {3, 1});
  Write(1, 5, {4, 2});
  Write(2, 5, {4, 2});
  EXPECT_TRUE(MayInject(3, Amnesia()).ok()) << MayInject(3, Amnesia());
}

// Node 3 has voted for 1. Node 2 is a candidate of the same term: with the vote once more it leads
// a term that 1 has led.
TEST_F(FaultAtlasTest, AnotherCandidateMustNotGetTheVoteToo) {
  WriteAll(3, {2, 1});
  disks_.at(3)->Remember();
  Write(1, 3, {3, 1});
  Write(2, 3, {3, 2});
  Write(3, 3, {3, 1});
  EXPECT_EQ(MayInject(3, Amnesia()).message(),
            "node 3 would forget what it promised in term 3, which node 2 may lead");
  Write(2, 3, {4, 0});
  EXPECT_TRUE(MayInject(3, Amnesia()).ok()) << MayInject(3, Amnesia());
}

// Node 1 still leads term 3; node 3 has voted in 4 since, and is not to acknowledge in 3 again.
TEST_F(FaultAtlasTest, ALeaderThatWasLeftBehindMustNotFindItsFollowerAgain) {
  Found(5);
  WriteAll(3, {2, 1});
  disks_.at(3)->Remember();
  Write(1, 3, {3, 1});
  for (const raft::NodeId node : {2u, 3u, 4u, 5u}) Write(node, 3, {4, 2});
  EXPECT_EQ(MayInject(3, Amnesia()).message(),
            "node 3 would forget what it promised in term 3, which node 1 may lead");
  Write(1, 3, {4, 0});
  EXPECT_TRUE(MayInject(3, Amnesia()).ok()) << MayInject(3, Amnesia());
}

TEST_F(FaultAtlasTest, WhatALaterLeaderHasReplacedMayBeForgotten) {
  WriteAll(3, {2, 1});
  disks_.at(3)->Remember();
  Write(3, 5, {2, 1});  // of a leader that had nobody else
  EXPECT_EQ(MayInject(3, Amnesia()).message(),
            "node 3 would forget entry 4, which no majority of the others has");
  Write(1, 5, {3, 1});
  EXPECT_TRUE(MayInject(3, Amnesia()).ok()) << MayInject(3, Amnesia());
  // Once node 3 has been in that term it may have acknowledged what its leader brings back.
  Write(3, 5, {3, 1});
  EXPECT_FALSE(MayInject(3, Amnesia()).ok());
}

TEST_F(FaultAtlasTest, AChangeOfTheConfigurationIsNotForgotten) {
  WriteAll(3, {2, 1});
  disks_.at(3)->Remember();
  WriteAll(4, {2, 1});
  ASSERT_TRUE(MayInject(3, Amnesia()).ok()) << MayInject(3, Amnesia());
  type_ = raft::EntryType::kMembership;
  WriteAll(5, {2, 1});
  EXPECT_EQ(MayInject(3, Amnesia()).message(),
            "node 3 would forget a change of the configuration at 5");
}

// Of what it has lost nothing is left that could be taken, but the promise.
TEST_F(FaultAtlasTest, ALossIsNotForgotten) {
  WriteAll(2, {2, 1});
  disks_[1]->Remember();
  WriteAll(4, {2, 1});
  EXPECT_TRUE(MayInject(1, Amnesia{}).ok()) << "all others have entries 3 and 4";
  // The last batch and what is behind it: the node does not know how much there was.
  Inject(1, BitRot{{Segment(1), 4 * 512}, 20'000});
  const absl::Status status = MayInject(1, Amnesia{});
  EXPECT_TRUE(absl::StrContains(status.message(), "would forget that it has lost entry")) << status;
}

// That what is behind it has been replaced by a later leader says nothing about the lost entry.
TEST_F(FaultAtlasTest, ALossBeforeWhatIsDeadIsNotForgotten) {
  WriteAll(2, {2, 1});
  disks_.at(3)->Remember();
  Write(1, 3, {2, 1});  // committed, by nodes 1 and 3
  Write(3, 4, {2, 1});
  Write(1, 4, {3, 1});
  Inject(3, BitRot{{Segment(3), 2 * 512, 512}, 20'000});  // the first of its last life
  EXPECT_EQ(MayInject(3, Amnesia()).message(), "node 3 would forget that it has lost entry 3");
}

TEST_F(FaultAtlasTest, WhoKnowsNobodyToAskDoesNotStart) {
  Found(1);
  WriteAll(5, {2, 1});
  const std::unique_ptr<SimDisk> whole = disks_.at(1)->Clone();
  EXPECT_TRUE(FaultAtlas::Starts(*whole, options_).ok());
  Inject(1, BitRot{{Segment(1), 3 * 512, 512}, 20'000});
  EXPECT_TRUE(absl::IsDataLoss(FaultAtlas::Starts(*disks_.at(1)->Clone(), options_)));
  Found(3);
  WriteAll(5, {2, 1});
  Inject(1, BitRot{{Segment(1), 3 * 512, 512}, 20'000});
  EXPECT_TRUE(FaultAtlas::Starts(*disks_.at(1), options_).ok());
}

// The vote is older than the entries: the core sees that, and does not start.
TEST_F(FaultAtlasTest, WhoHasEntriesOfALaterTermThanItsOwnDoesNotStart) {
  WriteAll(3, {2, 1});
  disks_.at(3)->Remember();
  WriteAll(5, {3, 1});
  Inject(3, StaleFile{"vote"});
  EXPECT_TRUE(absl::IsDataLoss(FaultAtlas::Starts(*disks_.at(3), options_)));
}

TEST_F(FaultAtlasTest, AFullDiskHoldsWhatItHolds) {
  WriteAll(3, {2, 1});
  disks_.at(3)->Remember();
  Write(2, 5, {2, 1});
  Write(3, 5, {2, 1});
  Inject(3, MissingFile{"reserve"});
  disks_.at(3)->set_options({.capacity_bytes = 0});
  ASSERT_TRUE(
      absl::IsResourceExhausted(storage::Storage::Open(*disks_.at(3)->Clone(), options_).status()));
  EXPECT_EQ(MayInject(3, Amnesia()).message(),
            "node 3 would forget entry 4, which no majority of the others has");
}

TEST_F(FaultAtlasTest, OnlyWhatSurvivesItsPowerLossIsACopy) {
  WriteAll(3, {2, 1});
  disks_.at(3)->Remember();
  Write(1, 5, {2, 1});
  Write(3, 5, {2, 1});
  {
    // Node 2 has lied about its copy.
    SimDisk& disk = *disks_.at(2);
    const auto opened = storage::Storage::Open(disk, options_);
    ASSERT_TRUE(opened.ok());
    Inject(2, LostWrite{"log-"});
    raft::PersistJob append;
    append.writes_log = true;
    append.keep_through = 3;
    for (const raft::Index index : {4u, 5u}) {
      append.entries.push_back({2, index, {}, raft::EntryType::kCommand});
    }
    ASSERT_TRUE((*opened)->Persist(append).ok());
  }
  Inject(2, MissingFile{"marks"});
  EXPECT_EQ(MayInject(3, Amnesia()).message(),
            "node 3 would forget entry 4, which no majority of the others has");
  disks_.at(2)->ComeClean();
  EXPECT_TRUE(MayInject(3, Amnesia()).ok()) << MayInject(3, Amnesia());
}

TEST_F(FaultAtlasTest, WhatARecoveryMisreadsIsJudgedAsRot) {
  WriteAll(5, {2, 1});
  // All bytes of its log are elsewhere, in the first read of it.
  const MisdirectedRead lie{"log-", 0, "identity", 0};
  EXPECT_TRUE(Atlas().MayMisread(1, lie).ok()) << Atlas().MayMisread(1, lie);
  EXPECT_FALSE(Atlas().MayMisread(1, {"no such file", 0, "identity", 0}).ok()) << "no effect";
  EXPECT_FALSE(Atlas().MayMisread(1, {"log-", 1'000, "identity", 0}).ok()) << "no effect";
  Inject(2, Garbage{{Segment(2)}});
  Inject(3, Garbage{{Segment(3)}});
  EXPECT_FALSE(Atlas().MayMisread(1, lie).ok()) << "it has the last copies";
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
  EXPECT_EQ(Atlas().MayForget(3).message(),
            "node 3 would forget entry 4, which no majority of the others has")
      << "a mark proves that it was there, but goes with the next power loss";
  {
    const auto opened = disks_.at(3)->Open("marks", storage::Disk::Mode::kReadWrite);
    ASSERT_TRUE(opened.ok());
    ASSERT_TRUE((*opened)->Sync().ok());
  }
  EXPECT_TRUE(Atlas().MayForget(3).ok()) << Atlas().MayForget(3);
  Inject(3, MissingFile{"marks"});
  EXPECT_FALSE(Atlas().MayForget(3).ok()) << "nobody else has entry 4 yet";
  Write(1, 4, {2, 1});
  EXPECT_FALSE(Atlas().MayForget(3).ok());
  Write(2, 4, {2, 1});
  EXPECT_TRUE(Atlas().MayForget(3).ok()) << Atlas().MayForget(3);
}

TEST_F(FaultAtlasTest, WholeIsWhoStartsAndHasLostNothing) {
  WriteAll(5, {2, 1});
  EXPECT_TRUE(Atlas().IsWhole(1).ok());
  const std::string segment = Segment(1);
  ASSERT_TRUE(disks_.at(1)->Inject(Zeros{{segment, 0, kToTheEnd}}));
  EXPECT_FALSE(Atlas().IsWhole(1).ok());
  EXPECT_TRUE(Atlas().IsWhole(2).ok());
  ASSERT_TRUE(disks_.at(2)->Inject(Zeros{{"vote", 0, kToTheEnd}}));
  EXPECT_FALSE(Atlas().IsWhole(2).ok()) << "it does not start";
}

// Once a full disk makes a segment of it, it may hide a batch.
TEST_F(FaultAtlasTest, WhoHasABadReserveIsNotWhole) {
  WriteAll(5, {2, 1});
  Inject(1, ReadError{{"reserve", 4096, 1}});
  EXPECT_FALSE(Atlas().IsWhole(1).ok());
  Inject(2, BitRot{{"reserve", 4096, 1}, 1, 7});
  EXPECT_FALSE(Atlas().IsWhole(2).ok());
  const auto reserve = *disks_.at(2)->Open("reserve", storage::Disk::Mode::kReadWrite);
  ASSERT_TRUE(reserve->Write(0, std::string(*reserve->Size(), '\0')).ok());
  EXPECT_TRUE(Atlas().IsWhole(2).ok());
  ASSERT_TRUE(reserve->Write(0, std::string(*reserve->Size(), '\xff')).ok());
  EXPECT_FALSE(Atlas().IsWhole(2).ok());
  Inject(3, MissingFile{"reserve"});
  EXPECT_TRUE(Atlas().IsWhole(3).ok());
  EXPECT_FALSE(MayInject(3, Zeros{{Segment(3), 1024, kToTheEnd}}).ok()) << "nobody could lead";
}

// It may come to doubt whether what it would vote for is enough.
TEST_F(FaultAtlasTest, WhoHasABadReserveIsNoVoterToCountOn) {
  WriteAll(5, {2, 1});
  // How much there was it does not know.
  const BitRot lost{{Segment(2), 4 * 512}, 20'000};
  EXPECT_TRUE(MayInject(2, lost).ok()) << MayInject(2, lost);
  Inject(1, ReadError{{"reserve", 4096, 1}});
  EXPECT_EQ(MayInject(2, lost).message(), "node 2 would leave nobody whom a majority can elect");
}

TEST_F(FaultAtlasTest, TheLastChangeOfTheConfigurationIsKnown) {
  WriteAll(3, {2, 1});
  EXPECT_EQ(Atlas().LastChange(1), 0u);
  type_ = raft::EntryType::kMembership;
  Write(1, 4, {2, 1});
  type_ = raft::EntryType::kCommand;
  Write(1, 6, {2, 1});
  EXPECT_EQ(Atlas().LastChange(1), 4u);
  EXPECT_EQ(Atlas().LastChange(2), 0u);
}

TEST_F(FaultAtlasTest, TheFirstLostEntryIsKnown) {
  WriteAll(5, {2, 1});
  EXPECT_EQ(Atlas().FirstLost(*disks_.at(2)), 6u) << "there is no more";
  Inject(2, BitRot{{Segment(2), 1024, 512}, 20'000});
  const raft::Index lost = Atlas().FirstLost(*disks_.at(2));
  EXPECT_GT(lost, 1u);
  EXPECT_LT(lost, 6u);
  EXPECT_EQ(Atlas().FirstLost(*disks_.at(1)), 6u);
}

TEST_F(FaultAtlasTest, WhatIsWipedMustBeOnSomebodyElsesDisk) {
  WriteAll(5, {2, 1});
  EXPECT_TRUE(Atlas().MayWipe(3).ok()) << Atlas().MayWipe(3);
  // Nobody else has entry 6, and nobody has promised it: it is not committed.
  Write(3, 6, {2, 1});
  EXPECT_TRUE(Atlas().MayWipe(3).ok()) << Atlas().MayWipe(3);
  // Node 2 has lost its copy and knows it: the one of node 3 is the last.
  Write(2, 6, {2, 1});
  Inject(2, Garbage{{Segment(2), 6 * 512, 512}});
  EXPECT_FALSE(Atlas().MayWipe(3).ok());
}

// Its promises are kept by its silence, so they are nobody's business; its voice in a majority is.
TEST_F(FaultAtlasTest, AVoteIsKeptBySilence) {
  WriteAll(3, {2, 1});
  Write(2, 3, {3, 2});
  Write(3, 3, {3, 2});
  EXPECT_TRUE(Atlas().MayWipe(3).ok()) << "forgotten, it would elect node 1 in term 3";
  wiped_ = {3};
  EXPECT_EQ(Atlas().MayWipe(2).message(), "node 2 is needed for a majority that starts");
  EXPECT_FALSE(Atlas().MayWipe(3).ok()) << "twice";
}

TEST_F(FaultAtlasTest, WhoWasWipedIsNoHelpEver) {
  WriteAll(5, {2, 1});
  const auto rot = [this](raft::NodeId node) {
    return BitRot{{Segment(node), 3 * 512, 512}, 20'000};
  };
  ASSERT_TRUE(MayInject(1, rot(1)).ok());
  wiped_ = {3};
  EXPECT_TRUE(MayInject(1, rot(1)).ok()) << "node 2 has it: " << MayInject(1, rot(1));
  Inject(2, rot(2));
  EXPECT_TRUE(absl::StrContains(MayInject(1, rot(1)).message(), "has the last copy of entry"));
  EXPECT_FALSE(MayInject(3, rot(3)).ok()) << "there is nothing that could rot";
  EXPECT_TRUE(absl::IsNotFound(Atlas().IsWhole(3)));
  EXPECT_EQ(Atlas().LastChange(3), 0u);
  EXPECT_EQ(Atlas().KnownCommitted(3), 0u);
}

// Somebody must be left whom all that are left elect.
TEST_F(FaultAtlasTest, AWipeLeavesSomebodyWhoCanLead) {
  WriteAll(5, {2, 1});
  // What node 2 has lost is of no known end, so it votes for nobody of its term.
  Inject(2, BitRot{{Segment(2), 512}, 20'000});
  EXPECT_EQ(Atlas().MayWipe(3).message(), "node 3 would leave nobody whom a majority can elect");
}

// An entry that is forgotten must be on a majority of the others, and one of them is lost.
TEST_F(FaultAtlasTest, LiesAndWipesDoNotMeetInOneEntry) {
  WriteAll(3, {2, 1});
  disks_.at(3)->Remember();
  WriteAll(5, {2, 1});
  ASSERT_TRUE(MayInject(3, Amnesia()).ok());
  wiped_ = {2};
  EXPECT_EQ(MayInject(3, Amnesia()).message(),
            "node 3 would forget entry 4, which no majority of the others has");
}

TEST_F(FaultAtlasTest, WhatIsKnownToBeCommittedIsOnTheDisk) {
  WriteAll(3, {2, 1});
  EXPECT_EQ(Atlas().KnownCommitted(1), 1u) << "what it was founded with";
  const auto opened = storage::Storage::Open(*disks_.at(1), options_);
  ASSERT_TRUE(opened.ok());
  raft::PersistJob append;
  append.writes_log = true;
  append.keep_through = 3;
  append.commit = 3;
  append.entries.push_back({2, 4, {}, raft::EntryType::kCommand});
  ASSERT_TRUE((*opened)->Persist(append).ok());
  EXPECT_EQ(Atlas().KnownCommitted(1), 3u);
}

// Reads of the disk of node 2 show what a failed sync has not written: whichever of the two logs
// counts, it asks for votes with one of them, not with the index of one and the term of the other.
TEST_F(FaultAtlasTest, WhoIsTornBetweenTwoLogsAsksWithOne) {
  WriteAll(5, {2, 1});
  for (const raft::NodeId node : {1u, 3u}) Write(node, 4, {3, 1}, /*keep=*/3, /*term=*/3);
  {
    const auto opened = storage::Storage::Open(*disks_[2], options_);
    ASSERT_TRUE(opened.ok());
    (*opened)->TakeRecovered();
    raft::PersistJob append;
    append.writes_log = true;
    append.keep_through = 2;
    append.entries.push_back({3, 3, {}, raft::EntryType::kCommand});
    raft::PersistJob vote;
    vote.hard_state = raft::HardState{3, 1};
    ASSERT_TRUE((*opened)->Persist(vote).ok());
    disks_[2]->InjectFault(SimDisk::Operation::kSync, 0);
    ASSERT_FALSE((*opened)->Persist(append).ok());
  }
  const BitRot rot{{Segment(3), 1024, 512}, 20'000};
  const auto may_rot = [&] {
    return FaultAtlas({{2, disks_[2].get()}, {3, disks_[3].get()}}, options_,
                      {{1, disks_[1].get()}})
        .MayInject(3, rot);
  };
  EXPECT_EQ(may_rot().message(), "node 3 would leave nobody whom a majority can elect");
  Write(2, 4, {3, 1}, /*keep=*/3, /*term=*/3);
  EXPECT_TRUE(may_rot().ok()) << may_rot();
}

TEST_F(FaultAtlasTest, WhoIsElectedHasAsMuchAsItsVoters) {
  WriteAll(3, {2, 1});
  EXPECT_TRUE(Atlas().WouldElect(1, 2));
  Write(2, 4, {2, 1});
  EXPECT_FALSE(Atlas().WouldElect(1, 2));
  EXPECT_TRUE(Atlas().WouldElect(2, 1));
  Inject(2, BitRot{{Segment(2), 3 * 512, 512}, 20'000});
  EXPECT_FALSE(Atlas().WouldElect(2, 1)) << "it has lost something";
}

}  // namespace
}  // namespace raftkv::sim
