#include "sim/oracles/disk_model.h"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

raft::Entry MakeEntry(raft::Index index, raft::Term term) {
  raft::Entry entry;
  entry.index = index;
  entry.term = term;
  entry.payload = raft::Payload::Copy(absl::StrCat(index, "@", term));
  return entry;
}

raft::Entries Entries(raft::Index first, std::vector<raft::Term> terms) {
  raft::Entries entries;
  for (const raft::Term term : terms) entries.push_back(MakeEntry(first++, term));
  return entries;
}

raft::Recovered Found(raft::HardState hard, raft::Index snapshot, std::vector<raft::Term> terms) {
  raft::Recovered found;
  found.hard_state = hard;
  found.snapshot.index = snapshot;
  found.snapshot.term = 1;
  found.entries = Entries(snapshot + 1, std::move(terms));
  return found;
}

raft::PersistJob Write(raft::Index keep, std::vector<raft::Term> terms) {
  raft::PersistJob job;
  job.writes_log = true;
  job.keep_through = keep;
  job.entries = Entries(keep + 1, std::move(terms));
  return job;
}

// A node founded with a snapshot at 1, which then wrote entries 2 to 4 of term 2 in term 2, voting
// for node 3.
class DiskModelTest : public ::testing::Test {
 protected:
  DiskModelTest() {
    EXPECT_EQ(model_.Recover(Found({1, 0}, 1, {})), "");
    raft::PersistJob job = Write(1, {2, 2, 2});
    job.hard_state = raft::HardState{2, 3};
    model_.PersistHandedOut(job);
    model_.PersistDone();
  }
  DiskModel model_;
};

TEST_F(DiskModelTest, KnowsWhatIsDurable) {
  EXPECT_EQ(model_.last(), 4u);
  EXPECT_TRUE(model_.Holds(4, 2));
  EXPECT_FALSE(model_.Holds(4, 3));
  EXPECT_FALSE(model_.Holds(5, 2));
  EXPECT_TRUE(model_.Holds(1, 99)) << "covered by the snapshot";
  EXPECT_EQ(model_.VoteIn(2), 3u);
  EXPECT_EQ(model_.VoteIn(1), 0u);
}

TEST_F(DiskModelTest, WhatIsBeingWrittenMayBeThere) {
  model_.PersistHandedOut(Write(3, {4, 4}));
  EXPECT_FALSE(model_.Holds(5, 4));
  EXPECT_TRUE(model_.MayHold(5, 4));
  EXPECT_TRUE(model_.MayHold(4, 4));
  EXPECT_TRUE(model_.MayHold(4, 2)) << "as long as it is not replaced";
  EXPECT_FALSE(model_.MayHold(5, 2));
  EXPECT_FALSE(model_.MayHold(6, 4));
}

TEST_F(DiskModelTest, WhatWasWrittenMustBeFound) {
  EXPECT_EQ(model_.Recover(Found({2, 3}, 1, {2, 2, 2})), "");
}

TEST_F(DiskModelTest, ALostEntryIsFoundOut) {
  EXPECT_EQ(model_.Recover(Found({2, 3}, 1, {2, 2})),
            "entry (4, term 2) was durable and is gone; the log ends at 3");
}

TEST_F(DiskModelTest, AnInventedEntryIsFoundOut) {
  EXPECT_NE(model_.Recover(Found({2, 3}, 1, {2, 2, 2, 2})), "");
}

TEST_F(DiskModelTest, AnotherEntryInItsPlaceIsFoundOut) {
  EXPECT_NE(model_.Recover(Found({2, 3}, 1, {2, 2, 3})), "");
}

TEST_F(DiskModelTest, ALostOrChangedVoteIsFoundOut) {
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 0}, 1, {2, 2, 2})), "");
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 1}, 1, {2, 2, 2})), "");
  EXPECT_NE(DiskModel(model_).Recover(Found({1, 0}, 1, {2, 2, 2})), "");
}

TEST_F(DiskModelTest, AWriteUnderWayMayHaveDoneAnyFirstPartOfItsWork) {
  // In term 4: entries 4 and up are replaced.
  raft::PersistJob job = Write(3, {4, 4});
  job.hard_state = raft::HardState{4, 0};
  model_.PersistHandedOut(job);
  const raft::HardState before = {2, 3}, after = {4, 0};
  for (const raft::HardState& hard : {before, after}) {
    for (const std::vector<raft::Term>& log :
         std::vector<std::vector<raft::Term>>{{2, 2, 2}, {2, 2}, {2, 2, 4}, {2, 2, 4, 4}}) {
      EXPECT_EQ(DiskModel(model_).Recover(Found(hard, 1, log)), "") << log.size();
    }
  }
  EXPECT_NE(DiskModel(model_).Recover(Found({4, 1}, 1, {2, 2, 2})), "") << "nobody's vote";
  EXPECT_NE(DiskModel(model_).Recover(Found(after, 1, {2})), "") << "below what is kept";
  EXPECT_NE(DiskModel(model_).Recover(Found(after, 1, {2, 2, 4, 4, 4})), "") << "too much";
  EXPECT_NE(DiskModel(model_).Recover(Found(after, 1, {2, 2, 2, 4})), "") << "old, then new";
}

TEST_F(DiskModelTest, WhatARecoveryFoundIsCertainFromThenOn) {
  model_.PersistHandedOut(Write(4, {2, 2}));
  EXPECT_EQ(model_.Recover(Found({2, 3}, 1, {2, 2, 2, 2})), "");
  EXPECT_EQ(model_.last(), 5u);
  EXPECT_NE(model_.Recover(Found({2, 3}, 1, {2, 2, 2})), "") << "it was found once";
}

TEST_F(DiskModelTest, ALocalSnapshotStandsForTheEntriesBelowIt) {
  raft::SnapshotMeta meta;
  meta.index = 3;
  model_.SwitchHandedOut(meta);
  EXPECT_EQ(DiskModel(model_).Recover(Found({2, 3}, 1, {2, 2, 2})), "") << "not switched yet";
  EXPECT_EQ(DiskModel(model_).Recover(Found({2, 3}, 3, {2})), "") << "or just so";
  model_.SwitchDone();
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 3}, 1, {2, 2, 2})), "");
  EXPECT_EQ(DiskModel(model_).Recover(Found({2, 3}, 3, {2})), "");
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 3}, 3, {})), "") << "entry 4 is lost";
}

TEST_F(DiskModelTest, AReceivedSnapshotReplacesTheLogOrLeavesItAlone) {
  raft::PersistJob job = Write(10, {5});
  job.snapshot.emplace();
  job.snapshot->index = 10;
  job.snapshot->term = 4;
  model_.PersistHandedOut(job);
  EXPECT_EQ(DiskModel(model_).Recover(Found({2, 3}, 1, {2, 2, 2})), "");
  EXPECT_EQ(DiskModel(model_).Recover(Found({2, 3}, 10, {5})), "");
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 3}, 10, {})), "") << "switched before its log";
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 3}, 1, {2, 2})), "") << "dropped before its time";
  model_.PersistDone();
  EXPECT_EQ(model_.last(), 11u);
  EXPECT_EQ(model_.snapshot(), 10u);
  EXPECT_NE(model_.Recover(Found({2, 3}, 1, {2, 2, 2})), "");
}

// --- Disks that have lost something

TEST_F(DiskModelTest, WhatASuspicionCoversIsPromisedUntilTheLogHasMadeUpForIt) {
  raft::Recovered found = Found({2, 3}, 1, {2});
  found.suspicion = raft::Suspicion{4, 2, {}};
  EXPECT_EQ(model_.Recover(found), "");
  EXPECT_FALSE(model_.Holds(4, 2));
  EXPECT_TRUE(model_.Promises(3, 2));
  EXPECT_TRUE(model_.Promises(4, 2));
  EXPECT_FALSE(model_.Promises(4, 3));
  EXPECT_TRUE(model_.TakeGivenUp().empty());
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 3}, 1, {2})), "") << "the suspicion is forgotten";
  model_.PersistHandedOut(Write(2, {2, 2}));
  model_.PersistDone();
  EXPECT_TRUE(model_.Holds(4, 2));
  EXPECT_FALSE(model_.Promises(4, 2));
  EXPECT_EQ(model_.Recover(Found({2, 3}, 1, {2, 2, 2})), "") << "it is over";
}

// A damaged disk finds what had been replaced in front of what it has lost, and loses that as well.
TEST_F(DiskModelTest, WhatWasReplacedIsLostAfterWhatReplacedIt) {
  raft::PersistJob job = Write(2, {3});
  job.hard_state = raft::HardState{3, 0};
  model_.PersistHandedOut(job);
  model_.PersistDone();
  raft::Recovered found = Found({3, 0}, 1, {2, 2, 2});
  found.suspicion = raft::Suspicion{9, 3, {}};
  EXPECT_EQ(model_.Recover(found), "");
  EXPECT_TRUE(model_.Promises(3, 3));
  found.entries = Entries(2, {2});
  EXPECT_EQ(model_.Recover(found), "");
  EXPECT_TRUE(model_.Promises(3, 3));
  EXPECT_FALSE(model_.Promises(3, 2));
}

TEST_F(DiskModelTest, WhatWasCutDoesNotComeBackWithoutALoss) {
  model_.PersistHandedOut(Write(2, {}));
  model_.PersistDone();
  EXPECT_EQ(DiskModel(model_).Recover(Found({2, 3}, 1, {2})), "");
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 3}, 1, {2, 2})), "");
}

// A repair knows that it was replaced, and cuts it off; then the cut is lost. Found by seed
// 13082480.
TEST_F(DiskModelTest, WhatWasReplacedComesBackWhenTheCutIsLostThatARecoveryWrote) {
  raft::PersistJob job = Write(2, {3});
  job.hard_state = raft::HardState{3, 0};
  model_.PersistHandedOut(job);
  model_.PersistDone();
  raft::Recovered found = Found({3, 0}, 1, {2});
  found.suspicion = raft::Suspicion{3, 3, {}};
  EXPECT_EQ(model_.Recover(found), "");
  found.entries = Entries(2, {2, 2});
  EXPECT_EQ(DiskModel(model_).Recover(found), "");
  found.entries = Entries(2, {2, 3});
  EXPECT_EQ(DiskModel(model_).Recover(found), "") << "or what replaced it can be read again";
  found.entries = Entries(2, {2, 1});
  EXPECT_NE(DiskModel(model_).Recover(found), "") << "it was never there";
  found.entries = Entries(2, {2, 2, 2});
  EXPECT_EQ(DiskModel(model_).Recover(found), "") << "all of what there was";
  found.entries = Entries(2, {2, 2, 2, 2});
  EXPECT_NE(DiskModel(model_).Recover(found), "") << "more than there was";
  found.entries = Entries(2, {2, 2});
  found.suspicion.reset();
  EXPECT_NE(DiskModel(model_).Recover(found), "") << "nothing is remembered";
}

// What a leader of term 6 sends around is of term 3, and what it replaces of term 5 (paper, figure
// 8). Seed 9038686 once took what was found in its place for newer, and the promise for kept.
TEST_F(DiskModelTest, WhatWasReplacedMayBeOfALaterTerm) {
  for (const auto& [term, terms] :
       std::vector<std::pair<raft::Term, std::vector<raft::Term>>>{{5, {5}}, {6, {3, 6}}}) {
    raft::PersistJob job = Write(2, terms);
    job.hard_state = raft::HardState{term, 0};
    model_.PersistHandedOut(job);
    model_.PersistDone();
  }
  raft::Recovered found = Found({6, 0}, 1, {2, 5});
  found.suspicion = raft::Suspicion{9, 6, {}};
  EXPECT_EQ(model_.Recover(found), "");
  EXPECT_TRUE(model_.Holds(3, 5));
  EXPECT_TRUE(model_.Promises(3, 3));
  EXPECT_TRUE(model_.Promises(4, 6));
  found.entries = Entries(2, {2});
  EXPECT_EQ(model_.Recover(found), "");
  EXPECT_TRUE(model_.Promises(3, 3));
  EXPECT_FALSE(model_.Promises(3, 5));
  model_.PersistHandedOut(Write(2, {2}));
  model_.PersistDone();
  EXPECT_FALSE(model_.Promises(3, 3)) << "replaced, by whatever";
  EXPECT_TRUE(model_.Promises(4, 6));
}

// Another fault may take what had hidden an older copy.
TEST_F(DiskModelTest, WhatIsLostMayBeFoundAgain) {
  raft::Recovered found = Found({2, 3}, 1, {2});
  found.suspicion = raft::Suspicion{4, 2, {}};
  EXPECT_EQ(model_.Recover(found), "");
  found.entries = Entries(2, {2, 2});
  EXPECT_EQ(model_.Recover(found), "");
  EXPECT_TRUE(model_.Holds(3, 2));
  EXPECT_TRUE(model_.Promises(4, 2));
  found.entries = Entries(2, {2, 2, 1});
  EXPECT_NE(model_.Recover(found), "") << "that one never was";
}

TEST_F(DiskModelTest, ASuspicionThatIsTooSmallCoversNothing) {
  raft::Recovered found = Found({2, 3}, 1, {2});
  found.suspicion = raft::Suspicion{3, 2, {}};
  EXPECT_NE(model_.Recover(found), "");
}

TEST_F(DiskModelTest, ADroppedSuspicionGivesUpWhatItCovered) {
  raft::Recovered found = Found({2, 3}, 1, {2});
  found.suspicion = raft::Suspicion{4, 2, {}};
  EXPECT_EQ(model_.Recover(found), "");
  model_.SuspicionDropped(raft::Suspicion{3, 2, {}});
  EXPECT_TRUE(model_.Promises(3, 2));
  EXPECT_FALSE(model_.Promises(4, 2));
  EXPECT_TRUE(model_.GaveUp(4, 2));
  EXPECT_EQ(model_.TakeGivenUp(), (std::map<raft::Index, raft::Term>{{4, 2}}));
  model_.SuspicionDropped(std::nullopt);
  EXPECT_EQ(model_.TakeGivenUp(), (std::map<raft::Index, raft::Term>{{3, 2}}));
}

TEST_F(DiskModelTest, WhatIsLeftOfASuspicionMayBeMadeUpForAlready) {
  raft::Recovered found = Found({2, 3}, 1, {2, 2});
  found.suspicion = raft::Suspicion{9, 2, {}};
  EXPECT_EQ(model_.Recover(found), "");
  DiskModel more = model_;
  more.SuspicionDropped(raft::Suspicion{4, 2, {}});
  EXPECT_EQ(more.suspicion(), (raft::Suspicion{4, 2, {}}));
  model_.SuspicionDropped(raft::Suspicion{3, 2, {}});
  EXPECT_EQ(model_.suspicion(), std::nullopt);
}

// So did seed 11134131 once: what came back is of an earlier term, and goes further.
TEST_F(DiskModelTest, ASnapshotOfItsOwnEndsASuspicion) {
  raft::Recovered found = Found({2, 3}, 1, {2});
  found.suspicion = raft::Suspicion{4, 3, {}};
  ASSERT_EQ(model_.Recover(found), "");
  model_.PersistHandedOut(Write(/*keep=*/2, {2, 2, 2}));
  model_.PersistDone();
  raft::SnapshotMeta meta;
  meta.index = 3;
  model_.SwitchHandedOut(meta);
  model_.SwitchDone();
  EXPECT_EQ(model_.suspicion(), found.suspicion);
  meta.index = 4;
  model_.SwitchHandedOut(meta);
  EXPECT_EQ(model_.suspicion(), found.suspicion);
  model_.SwitchDone();
  EXPECT_EQ(model_.suspicion(), std::nullopt);
}

TEST_F(DiskModelTest, ARepairMayGiveUpWhatWasNotKnownToBeCommitted) {
  model_.Damage(/*commit=*/2);
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 3}, 1, {})), "") << "entry 2 was committed";
  EXPECT_EQ(model_.Recover(Found({2, 3}, 1, {2})), "");
  EXPECT_EQ(model_.TakeGivenUp(), (std::map<raft::Index, raft::Term>{{3, 2}, {4, 2}}));
}

TEST_F(DiskModelTest, ARepairMayTakeASnapshotOfALaterTermWithThatTerm) {
  raft::Recovered found = Found({5, 0}, 9, {});
  found.snapshot.term = 5;
  EXPECT_NE(DiskModel(model_).Recover(found), "");
  model_.Damage(2);
  EXPECT_EQ(DiskModel(model_).Recover(found), "");
  found.hard_state = {5, 1};
  EXPECT_NE(DiskModel(model_).Recover(found), "") << "and nobody's vote";
  // It died when it had the term and not the snapshot.
  EXPECT_EQ(DiskModel(model_).Recover(Found({5, 0}, 1, {2, 2, 2})), "");
  EXPECT_NE(DiskModel(model_).Recover(Found({1, 0}, 1, {2, 2, 2})), "") << "an earlier one";
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 0}, 1, {2, 2, 2})), "") << "the vote is gone";
}

// A cut that a crash prevented, and rot behind it: the log ends where the rot begins.
TEST_F(DiskModelTest, WhatAWriteUnderWayWouldHaveCutMayBeLostToRot) {
  model_.PersistHandedOut(Write(/*keep=*/2, {4}));
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 3}, 1, {2, 2})), "");
  model_.Damage(/*commit=*/3);
  EXPECT_EQ(model_.Recover(Found({2, 3}, 1, {2, 2})), "");
}

TEST_F(DiskModelTest, ASuspicionCoversIndexAndTerm) {
  raft::Recovered found = Found({9, 0}, 1, {2});
  raft::PersistJob job;
  job.hard_state = raft::HardState{9, 0};
  model_.PersistHandedOut(job);
  model_.PersistDone();
  const auto recover = [&](raft::Index index, raft::Term term) {
    found.suspicion = raft::Suspicion{index, term, {}};
    return DiskModel(model_).Recover(found);
  };
  EXPECT_EQ(recover(4, 2), "");
  EXPECT_EQ(recover(5, 9), "");
  EXPECT_NE(recover(4, 1), "");
  EXPECT_NE(recover(3, 9), "") << "a snapshot of entry 3 would end it";
}

// --- Disks that lie

// Entries 5 and 6 and another vote, written since the watch began; entry 4 was replaced.
class LyingDiskTest : public DiskModelTest {
 protected:
  LyingDiskTest() {
    model_.Watch();
    raft::PersistJob job = Write(3, {4, 4, 4});
    job.hard_state = raft::HardState{4, 1};
    model_.PersistHandedOut(job);
    model_.PersistDone();
  }
  const raft::HardState then_ = {2, 3};
  const raft::HardState now_ = {4, 1};
  const std::vector<raft::Term> all_ = {2, 2, 4, 4, 4};
};

TEST_F(LyingDiskTest, AWatchForgivesNothing) {
  EXPECT_EQ(DiskModel(model_).Recover(Found(now_, 1, all_)), "");
  EXPECT_NE(DiskModel(model_).Recover(Found(then_, 1, all_)), "");
  EXPECT_NE(DiskModel(model_).Recover(Found(now_, 1, {2, 2, 4})), "");
  model_.EndWatch();
  EXPECT_NE(model_.Recover(Found(now_, 1, {2, 2, 4})), "");
}

TEST_F(LyingDiskTest, WhatWasWrittenSinceMayBeThereAsItWasAtAnyTime) {
  model_.Lied();
  for (const raft::HardState& hard : {then_, now_}) {
    for (const std::vector<raft::Term>& log :
         std::vector<std::vector<raft::Term>>{all_, {2, 2, 2}, {2, 2}, {2, 2, 4}}) {
      EXPECT_EQ(DiskModel(model_).Recover(Found(hard, 1, log)), "") << log.size();
    }
  }
  EXPECT_NE(DiskModel(model_).Recover(Found({3, 0}, 1, all_)), "") << "it was never in term 3";
  EXPECT_NE(DiskModel(model_).Recover(Found({4, 2}, 1, all_)), "") << "nobody's vote";
  EXPECT_NE(DiskModel(model_).Recover(Found(now_, 1, {2, 2, 4, 4, 4, 4})), "") << "invented";
  EXPECT_NE(DiskModel(model_).Recover(Found(now_, 1, {2, 2, 3})), "") << "invented";
  EXPECT_NE(DiskModel(model_).Recover(Found(now_, 2, {2, 4, 4, 4})), "") << "no such snapshot";
  EXPECT_EQ(DiskModel(model_).Recover(Found(now_, 1, {2})),
            "entry (3, term 2) was durable before the disk began to lie, and is gone");
}

// What was rotten before, and known to be, is not known any more: the file that told of it is an
// older one. So did seed 8124730 once.
TEST_F(LyingDiskTest, TheWordOfALossMayBeTakenToo) {
  DiskModel of_another = model_;
  model_.Lied(/*elsewhere=*/false, /*lost_from=*/3);
  of_another.Lied(false, 4);
  EXPECT_EQ(of_another.Recover(Found(now_, 1, {2})),
            "entry (3, term 2) was durable before the disk began to lie, and is gone");
  EXPECT_NE(DiskModel(model_).Recover(Found(now_, 1, {})), "") << "entry 2 could be read";
  EXPECT_EQ(model_.Recover(Found(now_, 1, {2})), "");
  EXPECT_TRUE(model_.TakeGivenUp().contains(3)) << "others have to have it";
}

// The blocks of one file, written over the middle of another, look like the end of the log.
TEST_F(LyingDiskTest, WhatWasWrittenElsewhereMayHaveTakenAnythingBehindTheEnd) {
  DiskModel in_its_place = model_;
  in_its_place.Lied();
  // One copy of the header is hidden by what was written, and zeros hide the rest (seed 11215616).
  DiskModel on_a_header = model_;
  on_a_header.Lied(/*elsewhere=*/true, /*lost_from=*/2);
  EXPECT_EQ(on_a_header.Recover(Found(now_, 1, {})), "");
  model_.Lied(/*elsewhere=*/true);
  EXPECT_NE(DiskModel(model_).Recover(Found(now_, 1, {})), "") << "nothing is known to be lost";
  raft::Recovered found = Found(now_, 1, {});
  found.suspicion = raft::Suspicion{2, 2, {}};
  EXPECT_NE(in_its_place.Recover(found), "") << "entry 3 was written before";
  EXPECT_EQ(model_.Recover(found), "");
  EXPECT_TRUE(model_.Promises(2, 2));
  EXPECT_EQ(model_.TakeForgotten().entries,
            (std::map<raft::Index, raft::Term>{{3, 2}, {4, 4}, {5, 4}, {6, 4}}));
  EXPECT_TRUE(model_.TakeGivenUp().empty());
}

TEST_F(LyingDiskTest, ALieIsAboutOneRecovery) {
  model_.Lied();
  model_.EndWatch();
  EXPECT_TRUE(model_.InDoubt());
  EXPECT_EQ(model_.Recover(Found(now_, 1, {2, 2, 4})), "");
  EXPECT_FALSE(model_.InDoubt());
  EXPECT_NE(model_.Recover(Found(now_, 1, {2, 2})), "");
}

TEST_F(LyingDiskTest, WhatIsForgottenIsGivenUpWithoutAProof) {
  model_.Lied();
  EXPECT_EQ(model_.Recover(Found(then_, 1, {2, 2, 4})), "");
  EXPECT_TRUE(model_.TakeGivenUp().empty());
  EXPECT_EQ(model_.TakeForgotten().entries, (std::map<raft::Index, raft::Term>{{5, 4}, {6, 4}}));
  EXPECT_TRUE(model_.GaveUp(6, 4));
  EXPECT_EQ(model_.VoteIn(2), 3u);
  EXPECT_EQ(model_.VoteIn(4), 0u) << "forgotten";
}

TEST_F(LyingDiskTest, WhatALostWriteHasReplacedIsNoSubstitute) {
  model_.Lied();
  raft::Recovered found = Found(now_, 1, {2, 2, 2});
  found.suspicion = raft::Suspicion{6, 4, {}};
  EXPECT_EQ(model_.Recover(found), "");
  EXPECT_TRUE(model_.Promises(4, 4)) << "(4, term 2) is there again";
  model_.PersistHandedOut(Write(3, {4, 4, 4}));
  model_.PersistDone();
  EXPECT_TRUE(model_.Holds(4, 4));
  EXPECT_FALSE(model_.Promises(4, 4));
}

TEST_F(LyingDiskTest, ASuspicionThatEndsTooEarlyPromisesNothing) {
  model_.Lied();
  raft::Recovered found = Found(now_, 1, {2, 2});
  found.suspicion = raft::Suspicion{5, 9, {}};
  EXPECT_EQ(model_.Recover(found), "");
  EXPECT_TRUE(model_.Promises(5, 4));
  EXPECT_FALSE(model_.Promises(6, 4));
  EXPECT_EQ(model_.TakeForgotten().entries, (std::map<raft::Index, raft::Term>{{6, 4}}));
}

TEST_F(LyingDiskTest, WhatASuspicionCoversIsNotForgotten) {
  model_.Lied();
  raft::Recovered found = Found(now_, 1, {2, 2});
  found.suspicion = raft::Suspicion{5, 4, {}};
  EXPECT_EQ(model_.Recover(found), "");
  EXPECT_TRUE(model_.Promises(4, 4));
  EXPECT_TRUE(model_.Promises(5, 4));
  EXPECT_EQ(model_.TakeForgotten().entries, (std::map<raft::Index, raft::Term>{{6, 4}}));
}

// A hole is repaired, and the end of the log is gone because of a lie.
TEST_F(LyingDiskTest, WhatARepairGivesUpAndWhatALieHasTakenAreTwoThings) {
  model_.Lied();
  model_.Damage(/*commit=*/2);
  EXPECT_EQ(model_.Recover(Found(now_, 1, {2})), "");
  EXPECT_EQ(model_.TakeGivenUp(), (std::map<raft::Index, raft::Term>{{3, 2}}));
  EXPECT_EQ(model_.TakeForgotten().entries,
            (std::map<raft::Index, raft::Term>{{4, 4}, {5, 4}, {6, 4}}));
}

// An older term is back, and the repair has raised it to one in which the node had voted. Whether
// that vote may be forgotten is for others to say.
TEST_F(LyingDiskTest, ARepairRaisesTheTermThatIsBack) {
  raft::Recovered found = Found({4, 0}, 9, {});
  found.snapshot.term = 4;
  model_.Damage(/*commit=*/2);
  EXPECT_NE(DiskModel(model_).Recover(found), "") << "nothing was lied about";
  model_.Lied();
  EXPECT_EQ(DiskModel(model_).Recover(found), "");
  found.hard_state = {2, 0};
  EXPECT_NE(DiskModel(model_).Recover(found), "") << "no later than any that was there";
  found.hard_state = {4, 2};
  EXPECT_NE(DiskModel(model_).Recover(found), "") << "and nobody's vote";
}

// The recovery has cut it away for what was lost behind it, and that cut is lost in its turn.
TEST_F(LyingDiskTest, WhatASuspicionCoversMayBeThereAgain) {
  model_.Lied();
  raft::Recovered found = Found(now_, 1, {2});
  found.suspicion = raft::Suspicion{7, 4, raft::Suspicion::Evidence::kSpoilt};
  EXPECT_EQ(model_.Recover(found), "");
  raft::Recovered again = Found(now_, 1, {2, 2});
  EXPECT_NE(DiskModel(model_).Recover(again), "") << "nothing is known to be lost";
  again.suspicion = found.suspicion;
  EXPECT_EQ(DiskModel(model_).Recover(again), "");
  raft::Recovered other = Found(now_, 1, {2, 3});
  other.suspicion = found.suspicion;
  EXPECT_NE(DiskModel(model_).Recover(other), "") << "invented";
}

// The manifest is as it was before the last snapshot, and the log in front of that is gone.
TEST_F(LyingDiskTest, ARepairMayFetchWhatALostSnapshotStoodFor) {
  raft::PersistJob job;
  job.snapshot = raft::SnapshotMeta{8, 4, {}};
  model_.PersistHandedOut(job);
  model_.PersistDone();
  model_.Lied();
  const std::vector<raft::Term> fetched = {2, 2, 4, 4, 4, 4, 4};
  EXPECT_NE(DiskModel(model_).Recover(Found(now_, 1, fetched)), "") << "nobody has repaired it";
  model_.Damage(/*commit=*/8);
  EXPECT_NE(DiskModel(model_).Recover(Found(now_, 1, {2, 2, 4, 4, 4, 4, 4, 4})), "") << "invented";
  EXPECT_EQ(model_.Recover(Found(now_, 1, fetched)), "");
}

TEST_F(LyingDiskTest, ARolledBackDiskIsExactlyWhatItWas) {
  raft::SnapshotMeta meta;
  meta.index = 3;
  model_.SwitchHandedOut(meta);
  model_.SwitchDone();
  model_.RolledBack();
  const DiskModel::Forgotten forgotten = model_.TakeForgotten();
  EXPECT_EQ(forgotten.through, 0u) << "what the snapshot stood for is in the log";
  EXPECT_EQ(forgotten.entries, (std::map<raft::Index, raft::Term>{{4, 4}, {5, 4}, {6, 4}}));
  EXPECT_EQ(model_.VoteIn(4), 0u);
  EXPECT_NE(DiskModel(model_).Recover(Found(now_, 1, {2, 2, 2})), "");
  EXPECT_NE(DiskModel(model_).Recover(Found(then_, 1, {2, 2})), "");
  EXPECT_NE(DiskModel(model_).Recover(Found(then_, 1, {2, 2, 4})), "");
  EXPECT_EQ(model_.Recover(Found(then_, 1, {2, 2, 2})), "");
}

// What the disk was suspected to have lost when it was remembered was more than there was.
TEST_F(DiskModelTest, ARolledBackDiskPromisesWhatItsSuspicionCovers) {
  raft::Recovered then = Found({2, 3}, 1, {2, 2});
  then.suspicion = raft::Suspicion{5, 2, raft::Suspicion::Evidence::kBlank};
  EXPECT_EQ(model_.Recover(then), "");
  model_.Watch();
  model_.PersistHandedOut(Write(3, {2, 2, 2}));
  model_.PersistDone();
  model_.RolledBack();
  EXPECT_TRUE(model_.RollbackOpen());
  EXPECT_EQ(model_.Recover(then), "");
  EXPECT_FALSE(model_.RollbackOpen());
  EXPECT_TRUE(model_.Promises(4, 2));
  EXPECT_TRUE(model_.Promises(5, 2));
  EXPECT_FALSE(model_.GaveUp(5, 2));
  EXPECT_TRUE(model_.GaveUp(6, 2));
  EXPECT_EQ(model_.TakeForgotten().entries, (std::map<raft::Index, raft::Term>{{6, 2}}));
}

TEST_F(DiskModelTest, ARolledBackDiskPromisesTheSnapshotThatItsSuspicionCovers) {
  raft::Recovered then = Found({2, 3}, 1, {2, 2});
  then.suspicion = raft::Suspicion{9, 2, raft::Suspicion::Evidence::kBlank};
  EXPECT_EQ(model_.Recover(then), "");
  model_.Watch();
  model_.PersistHandedOut(Write(3, {2, 2, 2}));
  model_.PersistDone();
  model_.SwitchHandedOut({6, 2, {}});
  model_.SwitchDone();
  DiskModel other = model_;
  model_.RolledBack();
  EXPECT_EQ(model_.Recover(then), "");
  EXPECT_TRUE(model_.Promises(6, 2));
  const DiskModel::Forgotten none = model_.TakeForgotten();
  EXPECT_EQ(none.through, 0u);
  EXPECT_TRUE(none.entries.empty());
  then.suspicion->index = 5;
  other.RolledBack();
  EXPECT_EQ(other.Recover(then), "");
  EXPECT_EQ(other.TakeForgotten().through, 6u);
}

// What has been lost since then is back.
TEST_F(DiskModelTest, ARolledBackDiskHoldsWhatWasLostLater) {
  model_.Watch();
  raft::Recovered lost = Found({2, 3}, 1, {2, 2});
  lost.suspicion = raft::Suspicion{4, 2, {}};
  EXPECT_EQ(model_.Recover(lost), "");
  EXPECT_TRUE(model_.Promises(4, 2));
  model_.RolledBack();
  EXPECT_EQ(model_.Recover(Found({2, 3}, 1, {2, 2, 2})), "");
  EXPECT_TRUE(model_.Holds(4, 2));
  EXPECT_FALSE(model_.GaveUp(4, 2));
  EXPECT_TRUE(model_.TakeForgotten().entries.empty());
}

TEST_F(DiskModelTest, WhoMisreadsMissesEntriesAndNothingElse) {
  model_.Misread();
  EXPECT_EQ(DiskModel(model_).Recover(Found({2, 3}, 1, {})), "");
  EXPECT_EQ(DiskModel(model_).Recover(Found({2, 3}, 1, {2, 2})), "");
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 0}, 1, {2, 2})), "") << "the vote";
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 3}, 2, {2, 2})), "") << "the snapshot";
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 3}, 1, {2, 1})), "") << "another entry";
}

// The segment that replaced an entry is taken for lost, and the one before it still has the old
// entry: what is found is an entry that once was there, and a suspicion.
TEST_F(DiskModelTest, WhatWasReplacedIsFoundByWhoMisreadsWhatReplacedIt) {
  model_.PersistHandedOut(Write(/*keep=*/3, {4}));
  model_.PersistDone();
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 3}, 1, {2, 2, 2})), "") << "without a suspicion";
  raft::Recovered suspected = Found({2, 3}, 1, {2, 2, 2});
  suspected.suspicion = raft::Suspicion{4, 4, {}};
  DiskModel rotten = model_;
  EXPECT_EQ(rotten.Recover(suspected), "") << "what replaced it cannot be read";
  EXPECT_TRUE(rotten.Promises(4, 4));
  EXPECT_FALSE(rotten.Holds(4, 4));
  suspected.entries.back().term = 1;
  EXPECT_NE(DiskModel(model_).Recover(suspected), "") << "never there";
  model_.Misread();
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 3}, 1, {2, 2, 3})), "") << "never there";
  raft::Recovered found = Found({2, 3}, 1, {2, 2, 2});
  found.suspicion = raft::Suspicion{4, 4, {}};
  EXPECT_EQ(model_.Recover(found), "");
  EXPECT_TRUE(model_.Promises(4, 4)) << "the suspicion covers what is missing";
  EXPECT_FALSE(model_.Holds(4, 4));
}

// So did seed 4067196 once: the write that replaced the entry was under way when power was lost.
TEST_F(DiskModelTest, WhatAWriteUnderWayHasReplacedIsFoundByWhoMisreadsIt) {
  model_.PersistHandedOut(Write(/*keep=*/2, {4, 4, 4}));
  ASSERT_EQ(model_.Recover(Found({2, 3}, 1, {2, 4})), "") << "it came as far as entry 3";
  model_.Misread();
  raft::Recovered found = Found({2, 3}, 1, {2, 1});
  found.suspicion = raft::Suspicion{3, 4, {}};
  EXPECT_NE(DiskModel(model_).Recover(found), "") << "never there";
  found.entries.back() = MakeEntry(3, 2);
  EXPECT_EQ(model_.Recover(found), "");
}

// So did seed 11096805 once: that write cut it, and had nothing in its place.
TEST_F(DiskModelTest, WhatAWriteUnderWayHasCutIsFoundByWhoMisreadsIt) {
  model_.PersistHandedOut(Write(/*keep=*/2, {4}));
  ASSERT_EQ(model_.Recover(Found({2, 3}, 1, {2, 4})), "") << "all of it, and nobody was told";
  model_.Misread();
  raft::Recovered found = Found({2, 3}, 1, {2, 2, 1});
  found.suspicion = raft::Suspicion{4, 4, {}};
  EXPECT_NE(DiskModel(model_).Recover(found), "") << "never there";
  found.entries.back() = MakeEntry(4, 2);
  EXPECT_EQ(model_.Recover(found), "");
}

// Cut off because a read returned something else, and nothing was written since: the next recovery
// reads what is there. So did seed 1181 once, where node 5 misread its log twice.
TEST_F(DiskModelTest, WhatWasMisreadIsThereAgainUntilItIsWrittenOver) {
  model_.Misread();
  EXPECT_EQ(model_.Recover(Found({2, 3}, 1, {2})), "");
  EXPECT_EQ(DiskModel(model_).Recover(Found({2, 3}, 1, {2})), "");
  EXPECT_EQ(DiskModel(model_).Recover(Found({2, 3}, 1, {2, 2, 2})), "") << "all of it";
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 3}, 1, {2, 1})), "") << "another entry";
  EXPECT_NE(DiskModel(model_).Recover(Found({2, 3}, 1, {2, 2, 2, 2})), "") << "more than there was";
  DiskModel twice = model_;
  twice.Misread();
  EXPECT_EQ(twice.Recover(Found({2, 3}, 1, {2, 2})), "") << "seen by a recovery that misreads, too";
  model_.PersistHandedOut(Write(/*keep=*/2, {}));
  model_.PersistDone();
  EXPECT_NE(model_.Recover(Found({2, 3}, 1, {2, 2})), "") << "it has been cut for good";
}

}  // namespace
}  // namespace raftkv::sim
