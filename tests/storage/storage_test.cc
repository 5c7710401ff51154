#include "storage/storage.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/checksum.h"
#include "storage/encoding.h"
#include "storage/records.h"
#include "storage/snapshot_store.h"
#include "tests/storage/storage_fixture.h"

namespace raftkv::storage {
namespace {

using ::testing::HasSubstr;
using Kind = RecoveryEvent::Kind;

// --- Log
// ---------------------------------------------------------------------------------------------

TEST_F(StorageTest, ANewDirectoryRecoversToItsFounding) {
  Start();
  EXPECT_EQ(recovered_.identity, TestIdentity());
  EXPECT_EQ(recovered_.hard_state, raft::HardState{});
  EXPECT_EQ(recovered_.snapshot.meta.index, 0u);
  EXPECT_EQ(recovered_.snapshot.meta.conf.voters, (std::vector<raft::NodeId>{1, 2, 3}));
  EXPECT_EQ(SnapshotBytes(0), "founding");
  EXPECT_EQ(recovered_.commit, 0u);
  EXPECT_EQ(Log(), "");
  EXPECT_TRUE(recovered_.events.empty());
}

TEST_F(StorageTest, WhatWasPersistedSurvivesACrash) {
  Start();
  Append(1, 2, "first", 1);
  ASSERT_TRUE(Vote(2, 3).ok());
  Append(2, 1, std::string(3000, 'x'), 2);
  Crash();
  Open();
  EXPECT_EQ(Log(), "1@1 2@1 3@2");
  EXPECT_EQ(recovered_.entries[0].payload.view(), "first");
  EXPECT_EQ(recovered_.entries[2].payload.view(), std::string(3000, 'x'));
  EXPECT_EQ(recovered_.commit, 2u);
  EXPECT_EQ(recovered_.hard_state, (raft::HardState{2, 3}));
  EXPECT_EQ(storage_->last_index(), 3u);
}

TEST_F(StorageTest, ALaterBatchCutsTheLog) {
  Start();
  Append(1, 5);
  ASSERT_TRUE(Write(2, 3, 2).ok());
  Crash();
  Open();
  EXPECT_EQ(Log(), "1@1 2@1 3@3 4@3");
}

TEST_F(StorageTest, ACutWithoutEntriesIsDurable) {
  Start();
  Append(1, 5);
  ASSERT_TRUE(Write(3, 0, 0).ok());
  EXPECT_EQ(storage_->last_index(), 3u);
  Crash();
  Open();
  EXPECT_EQ(Log(), "1@1 2@1 3@1");
}

TEST_F(StorageTest, CommitIsCappedAtTheLastEntry) {
  Start();
  Append(1, 3, "x", 100);
  Crash();
  Open();
  EXPECT_EQ(recovered_.commit, 3u);
}

TEST_F(StorageTest, OneSyncPerBatch) {
  Start();
  const uint64_t before = disk_.counters().syncs;
  Append(1, 50);
  EXPECT_EQ(disk_.counters().syncs, before + 1);
  ASSERT_TRUE(Vote(1, 2).ok());
  EXPECT_EQ(disk_.counters().syncs, before + 3);
  ASSERT_TRUE(Vote(1, 2).ok());  // nothing new
  EXPECT_EQ(disk_.counters().syncs, before + 3);
  EXPECT_EQ(storage_->stats().vote_syncs, 2u);
}

// Every write that reaches fresh space takes the next zeros with it, the others only their batch.
TEST_F(StorageTest, ZerosAreWrittenAhead) {
  options_.zero_ahead_bytes = 2048;
  Start();
  std::vector<uint64_t> sizes;
  for (int i = 0; i < 8; ++i) {
    const uint64_t before = disk_.counters().bytes_written;
    Append(1, 1);
    sizes.push_back(disk_.counters().bytes_written - before - 512);  // 512: the mark
  }
  // The batch and its foot, and every fourth time what is ahead of them.
  EXPECT_EQ(sizes, (std::vector<uint64_t>{1024, 1024, 1024, 1024, 3072, 1024, 1024, 1024}));
  for (int i = 0; i < 100; ++i) Append(1, 1);
  Crash();
  Open();
  EXPECT_EQ(recovered_.entries.size(), 108u);
}

// What is ahead may be a bad sector, of the space that was kept back for a full disk for example.
TEST_F(StorageTest, ZerosAheadAreWholeBlocks) {
  options_.zero_ahead_bytes = 100;
  Start();
  Append(1, 1);
  const std::string name = Names("log-").back();
  const uint64_t end = RoundUp(FileBytes(name).find_last_not_of('\0') + 1, 512);
  ASSERT_TRUE(disk_.Inject(sim::ReadError{{name, end}}));
  for (int i = 0; i < 20; ++i) Append(1, 1);
  Crash();
  Open();
  EXPECT_EQ(recovered_.entries.size(), 21u);
}

TEST_F(StorageTest, TheLogRollsOverManySegments) {
  Start();
  for (int i = 0; i < 100; ++i) Append(1, 1, std::string(600, 'r'));
  EXPECT_GT(Names("log-").size(), 5u);
  Crash();
  Open();
  EXPECT_EQ(recovered_.entries.size(), 100u);
  EXPECT_EQ(recovered_.entries.back().index, 100u);
}

TEST(SegmentNameTest, ASegmentHasOneName) {
  EXPECT_EQ(ParseSegmentName(SegmentName(0x1a2b3c4d5e6f)), 0x1a2b3c4d5e6fu);
  EXPECT_EQ(ParseSegmentName(SegmentName(7) + ".tmp"), 7u);
  for (const char* name : {"log-000000000000000g", "log-000000000000000A", "log-00000000000000 7",
                           "log-7", "log-00000000000000007", "log-ffffffffffffffff", "log"}) {
    EXPECT_FALSE(ParseSegmentName(name)) << name;
  }
}

// A process that is started again and again must not fill its disk, nor take longer each time.
TEST_F(StorageTest, AStartThatWritesNothingLeavesNoSegment) {
  Start();
  Append(1, 2, "x", 2);
  Kill();
  Open();
  const size_t segments = Names("log-").size();
  std::string newest;
  for (int start = 0; start < 5; ++start) {
    Kill();
    Open();
    EXPECT_EQ(Names("log-").size(), segments);
    EXPECT_EQ(storage_->stats().segments, segments);
    EXPECT_TRUE(recovered_.events.empty()) << recovered_.events[0].text;
    EXPECT_NE(NewestSegment(), std::exchange(newest, NewestSegment())) << "ids are not used again";
  }
  Append(2, 1);
  Crash();
  Open();
  EXPECT_EQ(Log(), "1@1 2@1 3@2");
  EXPECT_EQ(recovered_.commit, 2u);
}

TEST_F(StorageTest, WhatAStartLeavesOutMayComeBackAndDoesNotCount) {
  Start();
  Append(1, 2);
  Kill();
  Open();
  const size_t segments = Names("log-").size();
  for (int start = 0; start < 3; ++start) {
    Crash();  // the removal of the one in front was not synced
    Open();
    EXPECT_EQ(Saw(Kind::kLeftoverRemoved), start > 0);
    EXPECT_EQ(Names("log-").size(), segments);
    EXPECT_EQ(Log(), "1@1 2@1");
  }
}

TEST_F(StorageTest, ADirectoryWhereNothingWasEverWrittenStaysSmall) {
  Start();
  for (int start = 0; start < 3; ++start) {
    Kill();
    Open();
    EXPECT_EQ(Names("log-").size(), 2u) << "the one that the manifest names, and a new one";
  }
  Append(1, 1);
  Crash();
  Open();
  EXPECT_EQ(Log(), "1@1");
}

// As they were left by versions that made one with each start.
TEST_F(StorageTest, EmptySegmentsInARowAreLeftOut) {
  Start();
  Append(1, 2);
  Kill();
  Open();
  Kill();
  const size_t segments = Names("log-").size();
  for (int more = 0; more < 4; ++more) {
    const std::string name = NewestSegment();
    SegmentHeader header = FindSegmentHeader(FileBytes(name), *ParseSegmentName(name))->header;
    header.previous_end = header.first_batch();
    header.previous_segment = header.segment++;
    std::string bytes = EncodeSegmentHeader(header);
    AppendFoot(bytes, header.seed(), bytes.size(), header.block_bytes, {1, 0, {{1, 2}}});
    bytes.resize(header.segment_bytes);
    const std::string next = SegmentName(header.segment);
    ASSERT_TRUE((*disk_.Create(next))->Write(0, bytes).ok());
  }
  ASSERT_EQ(Names("log-").size(), segments + 4);
  Open();
  EXPECT_EQ(Log(), "1@1 2@1");
  EXPECT_EQ(Names("log-").size(), segments);
  Kill();
  Open();
  EXPECT_EQ(Log(), "1@1 2@1");
}

TEST_F(StorageTest, ABatchLargerThanASegmentGetsALargerOne) {
  Start();
  Append(1, 2, std::string(100000, 'b'));
  Crash();
  Open();
  EXPECT_EQ(Log(), "1@1 2@1");
  EXPECT_EQ(recovered_.entries[1].payload.size(), 100000u);
}

TEST_F(StorageTest, AJobLargerThanABatchIsSplitAndReadBack) {
  options_.segment_bytes = 1u << 16;
  Start();
  Append(1, 5, std::string(7u << 20, 's'));
  EXPECT_EQ(storage_->stats().batches, 3u);
  Crash();
  Open();
  EXPECT_EQ(Log(), "1@1 2@1 3@1 4@1 5@1");
}

TEST_F(StorageTest, AnEntryTheLogCannotReadBackIsNotWritten) {
  Start();
  EXPECT_TRUE(absl::IsInvalidArgument(Write(0, 1, 1, std::string(kMaxEntryBytes + 1, 'x'))));
  EXPECT_TRUE(storage_->health().ok());
  Append(1, 1);
}

// --- Failed syncs
// -----------------------------------------------------------------------------------

// On ext4 the page cache shows what the failed sync dropped. Recovery must not vouch for that.
TEST_F(StorageTest, WhatAFailedSyncLeftInTheCacheIsWrittenAgain) {
  Start();
  Append(1, 2);
  disk_.InjectFault(sim::SimDisk::Operation::kSync, 0);
  EXPECT_FALSE(Write(1, 2, 2).ok());
  Kill();
  Open();
  EXPECT_EQ(Log(), "1@1 2@2 3@2");
  EXPECT_TRUE(Saw(Kind::kTailRewritten));
  Crash();
  Open();
  EXPECT_EQ(Log(), "1@1 2@2 3@2");
}

TEST_F(StorageTest, AFailedVoteSyncLeavesOldOrNewAndThenHolds) {
  for (uint64_t nth : {uint64_t{0}, uint64_t{1}}) {
    disk_ = sim::SimDisk({});
    Start();
    ASSERT_TRUE(Vote(4, 1).ok());
    disk_.InjectFault(sim::SimDisk::Operation::kSync, nth);
    EXPECT_FALSE(Vote(5, 2).ok());
    Kill();
    Open();
    EXPECT_EQ(recovered_.hard_state, (raft::HardState{5, 2}));
    Crash();
    Open();
    EXPECT_EQ(recovered_.hard_state, (raft::HardState{5, 2}));
    // Both copies are on the platter again: the next change may tear either.
    Crash();
    Flip("vote", 40);
    Open();
    EXPECT_EQ(recovered_.hard_state, (raft::HardState{5, 2}));
  }
}

// --- Errors
// ---------------------------------------------------------------------------------------------------

TEST_F(StorageTest, AFailedSyncIsFinal) {
  Start();
  disk_.InjectFault(sim::SimDisk::Operation::kSync, 0);
  const absl::Status first = Write(0, 1, 1);
  EXPECT_TRUE(absl::IsDataLoss(first));
  EXPECT_EQ(storage_->health(), first);
  EXPECT_EQ(Write(0, 1, 1), first);
  EXPECT_EQ(Vote(1, 1), first);
  EXPECT_EQ(storage_->CompactLog(0), first);
  EXPECT_EQ(storage_->BeginSnapshot(SnapshotSource::kLocal, {1, 1, {}}), first);
  EXPECT_EQ(storage_->ReadSnapshot(0, 0, 1).status(), first);
}

TEST_F(StorageTest, AFailedWriteIsFinal) {
  Start();
  disk_.InjectFault(sim::SimDisk::Operation::kWrite, 0);
  EXPECT_FALSE(Write(0, 1, 1).ok());
  EXPECT_FALSE(storage_->health().ok());
}

TEST_F(StorageTest, NoSpaceForASegmentIsNotFinal) {
  Start();
  sim::SimDisk::Options full;
  full.capacity_bytes = 40000;
  disk_.set_options(full);
  absl::Status status;
  raft::Index last = 0;
  while (status.ok()) {
    last = storage_->last_index();
    status = Write(last, 1, 1, std::string(600, 'f'));
  }
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_TRUE(storage_->health().ok());
  EXPECT_EQ(storage_->last_index(), last);
  EXPECT_TRUE(Vote(7, 1).ok()) << "elections go on: their space is preallocated";
  full.capacity_bytes = UINT64_MAX;
  disk_.set_options(full);
  Append(1, 1, std::string(600, 'f'));
  Crash();
  Open();
  EXPECT_EQ(recovered_.entries.size(), last + 1);
  EXPECT_EQ(recovered_.hard_state.term, 7u);
}

// The disk was full because of it, and nothing that is written goes on to sync the directory.
TEST_F(StorageTest, ASnapshotThatIsGivenUpLeavesItsSpace) {
  Start();
  Append(1, 1);
  const uint64_t before = disk_.used_bytes();
  ASSERT_TRUE(storage_->BeginSnapshot(SnapshotSource::kLocal, {1, 1, {}}).ok());
  std::string bytes(9000, 's');
  ASSERT_TRUE(storage_->AppendSnapshot(SnapshotSource::kLocal, 0, bytes).ok());
  EXPECT_GT(disk_.used_bytes(), before);
  ASSERT_TRUE(storage_->AbortSnapshot(SnapshotSource::kLocal).ok());
  EXPECT_EQ(disk_.used_bytes(), before);
}

TEST_F(StorageTest, OptionsAreValidated) {
  Init();
  options_.block_bytes = 1000;
  EXPECT_THAT(std::string(TryOpen().message()), HasSubstr("block_bytes"));
  options_ = SmallOptions();
  options_.segment_bytes = 512;
  EXPECT_THAT(std::string(TryOpen().message()), HasSubstr("segment_bytes"));
  options_ = SmallOptions();
  options_.snapshot_chunk_bytes = kMaxSnapshotChunk + 1;
  EXPECT_THAT(std::string(TryOpen().message()), HasSubstr("snapshot_chunk_bytes"));
  options_ = SmallOptions();
  options_.snapshot_sync_bytes = 0;
  EXPECT_THAT(std::string(TryOpen().message()), HasSubstr("snapshot_sync_bytes"));
}

TEST_F(StorageTest, ABlockSizeMayChangeBetweenRuns) {
  Start();
  Append(1, 2);
  Kill();
  options_.block_bytes = 4096;
  Open();
  Append(1, 2);
  Kill();
  options_.block_bytes = 512;
  Open();
  EXPECT_EQ(Log(), "1@1 2@1 3@1 4@1");
}

// --- Snapshots
// --------------------------------------------------------------------------------------------------

TEST_F(StorageTest, ALocalSnapshotBecomesCurrentAndTheLogStays) {
  Start();
  Append(1, 5, "x", 5);
  for (const raft::Index index : {1u, 2u, 3u}) {
    TakeSnapshot(index, 1, std::string(1000, 's'));
    EXPECT_EQ(disk_.used_bytes(), NamedBytes()) << "snapshots before that one left their space";
  }
  EXPECT_EQ(storage_->current_snapshot().meta.index, 3u);
  EXPECT_EQ(SnapshotBytes(3), std::string(1000, 's'));
  Crash();
  Open();
  EXPECT_EQ(recovered_.snapshot.meta.index, 3u);
  EXPECT_EQ(recovered_.snapshot.meta.term, 1u);
  EXPECT_EQ(recovered_.snapshot.meta.conf.learners, std::vector<raft::NodeId>{4});
  EXPECT_EQ(Log(), "4@1 5@1");
  EXPECT_EQ(recovered_.commit, 5u);
  EXPECT_EQ(SnapshotBytes(3), std::string(1000, 's'));
}

TEST_F(StorageTest, ASnapshotIsNothingUntilItIsSwitchedTo) {
  Start();
  Append(1, 5, "x", 5);
  WriteSnapshot(SnapshotSource::kLocal, 3, 1, "state");
  WriteSnapshot(SnapshotSource::kReceived, 9, 1, "other");
  EXPECT_EQ(storage_->current_snapshot().meta.index, 0u);
  Crash();
  Open();
  EXPECT_EQ(recovered_.snapshot.meta.index, 0u);
  EXPECT_EQ(Log(), "1@1 2@1 3@1 4@1 5@1");
  EXPECT_TRUE(Saw(Kind::kLeftoverRemoved));
  EXPECT_EQ(Names("snapshot-").size(), 1u);
}

TEST_F(StorageTest, AnUnfinishedSnapshotIsRemovedAtTheNextStart) {
  Start();
  Append(1, 5, "x", 5);
  for (const SnapshotSource source : {SnapshotSource::kLocal, SnapshotSource::kReceived}) {
    ASSERT_TRUE(storage_->BeginSnapshot(source, {4, 1, {}}).ok());
    ASSERT_TRUE(storage_->AppendSnapshot(source, 0, std::string(600, 's')).ok());
  }
  ASSERT_EQ(Names("snapshot-").size(), 3u);
  Kill();
  Open();
  EXPECT_EQ(Names("snapshot-").size(), 1u);
  EXPECT_TRUE(Saw(Kind::kLeftoverRemoved));
}

TEST_F(StorageTest, TheLogIsCompactedInWholeSegmentsUpToTheSnapshot) {
  Start();
  for (int i = 0; i < 100; ++i) Append(1, 1, std::string(600, 'c'), 100);
  ASSERT_TRUE(storage_->CompactLog(0).ok());  // the empty segment of the initialisation
  const uint64_t before = storage_->stats().segments;
  ASSERT_TRUE(storage_->CompactLog(90).ok());
  EXPECT_EQ(storage_->stats().segments, before) << "compacted without a snapshot";
  TakeSnapshot(60, 1, "state");
  ASSERT_TRUE(storage_->CompactLog(90).ok());
  EXPECT_LT(storage_->stats().segments, before);
  EXPECT_EQ(Names("log-").size(), storage_->stats().segments);
  Crash();
  Open();
  EXPECT_EQ(recovered_.entries.front().index, 61u);
  EXPECT_EQ(recovered_.entries.size(), 40u);
  EXPECT_EQ(recovered_.commit, 100u);
}

TEST_F(StorageTest, AReceivedSnapshotReplacesTheLog) {
  Start();
  Append(1, 5);
  const SnapshotInfo info = WriteSnapshot(SnapshotSource::kReceived, 20, 4, "received");
  raft::PersistJob job;
  job.hard_state = raft::HardState{4, 0};
  job.snapshot = info.meta;
  job.keep_through = 20;
  job.writes_log = true;
  job.entries = {MakeEntry(4, 21, "next")};
  job.commit = 20;
  ASSERT_TRUE(storage_->Persist(job).ok());
  EXPECT_EQ(storage_->last_index(), 21u);
  EXPECT_EQ(disk_.used_bytes(), NamedBytes()) << "the old log left its space";
  Crash();
  Open();
  EXPECT_EQ(recovered_.snapshot, info);
  EXPECT_EQ(recovered_.hard_state.term, 4u);
  EXPECT_EQ(recovered_.commit, 20u);
  EXPECT_EQ(Log(), "21@4");
  EXPECT_EQ(SnapshotBytes(20), "received");
  Append(4, 1);
  Crash();
  Open();
  EXPECT_EQ(Log(), "21@4 22@4");
}

TEST_F(StorageTest, OnlyAFinishedSnapshotOfThatIndexAndTermIsInstalled) {
  Start();
  WriteSnapshot(SnapshotSource::kReceived, 20, 4, "received");
  raft::PersistJob job;
  job.snapshot = raft::SnapshotMeta{20, 5, {{1, 2, 3}, {}, {4}, {}, false}};
  EXPECT_TRUE(absl::IsFailedPrecondition(storage_->Persist(job)));
  ASSERT_TRUE(storage_->BeginSnapshot(SnapshotSource::kReceived, {30, 4, {}}).ok());
  job.snapshot = raft::SnapshotMeta{30, 4, {}};
  EXPECT_TRUE(absl::IsFailedPrecondition(storage_->Persist(job)));
  EXPECT_TRUE(storage_->health().ok());
}

TEST_F(StorageTest, ALateOrRepeatedChunkChangesNothing) {
  Start();
  const SnapshotSource source = SnapshotSource::kReceived;
  EXPECT_TRUE(absl::IsFailedPrecondition(storage_->AppendSnapshot(source, 0, "x")));
  EXPECT_EQ(storage_->SnapshotOffset(source), std::nullopt);
  ASSERT_TRUE(storage_->BeginSnapshot(source, {5, 1, {}}).ok());
  ASSERT_TRUE(storage_->AppendSnapshot(source, 0, "abc").ok());
  EXPECT_TRUE(absl::IsOutOfRange(storage_->AppendSnapshot(source, 0, "abc")));
  EXPECT_TRUE(absl::IsOutOfRange(storage_->AppendSnapshot(source, 4, "e")));
  EXPECT_EQ(storage_->SnapshotOffset(source), 3u);
  ASSERT_TRUE(storage_->AppendSnapshot(source, 3, "def").ok());
  const SnapshotInfo info = Finish(source);
  EXPECT_EQ(info.size, 6u);
  Digest digest;
  digest.Add("abcdef");
  EXPECT_EQ(info.digest, digest.value());
  EXPECT_TRUE(absl::IsFailedPrecondition(storage_->AppendSnapshot(source, 6, "x")));
  EXPECT_TRUE(absl::IsInvalidArgument([&] {
    EXPECT_TRUE(storage_->BeginSnapshot(source, {6, 1, {}}).ok());
    return storage_->AppendSnapshot(source, 0, std::string(kMaxSnapshotChunk + 1, 'x'));
  }()));
}

TEST_F(StorageTest, AWrongDigestDropsTheSnapshot) {
  Start();
  const SnapshotSource source = SnapshotSource::kReceived;
  ASSERT_TRUE(storage_->BeginSnapshot(source, {5, 1, {}}).ok());
  ASSERT_TRUE(storage_->AppendSnapshot(source, 0, "abc").ok());
  EXPECT_TRUE(absl::IsDataLoss(storage_->FinishSnapshot(source, 12345).status()));
  EXPECT_EQ(storage_->SnapshotOffset(source), std::nullopt);
  EXPECT_TRUE(storage_->health().ok());
  EXPECT_EQ(Names("snapshot-").size(), 1u);
}

TEST_F(StorageTest, TwoSnapshotsAreWrittenAtOnce) {
  Start();
  Append(1, 5, "x", 5);
  const raft::SnapshotMeta local{4, 1, {}};
  const raft::SnapshotMeta received{9, 2, {}};
  ASSERT_TRUE(storage_->BeginSnapshot(SnapshotSource::kLocal, local).ok());
  ASSERT_TRUE(storage_->BeginSnapshot(SnapshotSource::kReceived, received).ok());
  ASSERT_TRUE(storage_->AppendSnapshot(SnapshotSource::kLocal, 0, "local").ok());
  ASSERT_TRUE(storage_->AppendSnapshot(SnapshotSource::kReceived, 0, "received").ok());
  Finish(SnapshotSource::kReceived);
  Finish(SnapshotSource::kLocal);
  ASSERT_TRUE(storage_->SwitchSnapshot(local).ok());
  raft::PersistJob job;
  job.snapshot = received;
  ASSERT_TRUE(storage_->Persist(job).ok());
  EXPECT_EQ(SnapshotBytes(9), "received");
  EXPECT_EQ(SnapshotBytes(4), "local") << "the previous one stays readable";
}

TEST_F(StorageTest, AnOlderSnapshotNeverReplacesANewerOne) {
  Start();
  Append(1, 9, "x", 9);
  WriteSnapshot(SnapshotSource::kReceived, 5, 1, "older");
  TakeSnapshot(7, 1, "newer");
  EXPECT_TRUE(
      absl::IsFailedPrecondition(storage_->BeginSnapshot(SnapshotSource::kLocal, {7, 1, {}})));
  raft::PersistJob job;
  job.snapshot = raft::SnapshotMeta{5, 1, {{1, 2, 3}, {}, {4}, {}, false}};
  EXPECT_TRUE(absl::IsFailedPrecondition(storage_->Persist(job)));
  EXPECT_EQ(storage_->current_snapshot().meta.index, 7u);
}

// An own snapshot is being written while a newer one is received and installed.
TEST_F(StorageTest, AnOwnSnapshotThatComesTooLateIsNotSwitchedTo) {
  Start();
  Append(1, 9, "x", 9);
  const SnapshotInfo own = WriteSnapshot(SnapshotSource::kLocal, 5, 1, "own");
  raft::PersistJob job;
  job.snapshot = WriteSnapshot(SnapshotSource::kReceived, 20, 1, "received").meta;
  job.keep_through = job.commit = 20;
  ASSERT_TRUE(storage_->Persist(job).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(storage_->SwitchSnapshot(own.meta)));
  Append(1, 1);
  Crash();
  Open();
  EXPECT_EQ(recovered_.snapshot.meta.index, 20u);
  EXPECT_EQ(Log(), "21@1");
}

TEST_F(StorageTest, ALocalSnapshotNeverRunsAheadOfTheDurableLog) {
  Start();
  Append(1, 3, "x", 3);
  const SnapshotInfo info = WriteSnapshot(SnapshotSource::kLocal, 4, 1, "ahead");
  EXPECT_TRUE(absl::IsFailedPrecondition(storage_->SwitchSnapshot(info.meta)));
}

TEST_F(StorageTest, TheSnapshotBeforeThePreviousOneIsRemoved) {
  Start();
  Append(1, 9, "x", 9);
  TakeSnapshot(3, 1, "three");
  EXPECT_EQ(SnapshotBytes(0), "founding");
  TakeSnapshot(6, 1, "six");
  EXPECT_EQ(SnapshotBytes(3), "three");
  EXPECT_TRUE(absl::IsNotFound(storage_->ReadSnapshot(0, 0, 10).status()));
  EXPECT_EQ(Names("snapshot-").size(), 2u);
}

TEST_F(StorageTest, SnapshotReadsAreVerifiedAndBounded) {
  Start();
  Append(1, 9, "x", 9);
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += static_cast<char>('a' + i % 26);
  TakeSnapshot(6, 1, bytes);
  EXPECT_EQ(*storage_->ReadSnapshot(6, 200, 500), bytes.substr(200, 500));
  EXPECT_EQ(*storage_->ReadSnapshot(6, 990, 500), bytes.substr(990));
  EXPECT_EQ(*storage_->ReadSnapshot(6, 1000, 500), "");
  EXPECT_TRUE(absl::IsOutOfRange(storage_->ReadSnapshot(6, 1001, 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      storage_->ReadSnapshot(6, 0, kMaxSnapshotChunk + uint64_t{1}).status()));
  Flip(Names("snapshot-").back(), 4096 + 2 * (32 + 256) + 100);
  EXPECT_EQ(*storage_->ReadSnapshot(6, 0, 512), bytes.substr(0, 512));
  const absl::Status status = storage_->ReadSnapshot(6, 500, 100).status();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("chunk 2"));
  EXPECT_TRUE(storage_->health().ok()) << "a peer has the same bytes";
}

TEST_F(StorageTest, ASnapshotThatReadsBackWrongIsNotFinished) {
  Start();
  const SnapshotSource source = SnapshotSource::kLocal;
  ASSERT_TRUE(storage_->BeginSnapshot(source, {5, 1, {}}).ok());
  ASSERT_TRUE(storage_->AppendSnapshot(source, 0, std::string(600, 'x')).ok());
  Flip(Names("snapshot-").back(), 4096 + 40);
  EXPECT_TRUE(absl::IsDataLoss(storage_->FinishSnapshot(source).status()));
  EXPECT_TRUE(storage_->health().ok());
  EXPECT_EQ(storage_->SnapshotOffset(source), std::nullopt);
}

// A device that acknowledged a write and did not do it: the page cache still has it.
TEST_F(StorageTest, ASnapshotIsReadBackFromTheDevice) {
  options_.snapshot_chunk_bytes = 4096;  // more than the sectors that the next write makes good
  for (uint64_t after = 0; after < 4; ++after) {
    SCOPED_TRACE(after);
    disk_ = sim::SimDisk({});
    Start();
    Append(1, 5);
    const raft::SnapshotMeta meta{5, 1, {{1, 2, 3}, {}, {}, {}, false}};
    ASSERT_TRUE(disk_.Inject(sim::LostWrite{"snapshot-", after}));
    ASSERT_TRUE(storage_->BeginSnapshot(SnapshotSource::kLocal, meta).ok());
    ASSERT_TRUE(storage_
                    ->AppendSnapshot(SnapshotSource::kLocal, 0,
                                     std::string(2 * options_.snapshot_chunk_bytes, 'x'))
                    .ok());
    const auto step = storage_->FinishSnapshot(SnapshotSource::kLocal);
    EXPECT_TRUE(absl::IsDataLoss(step.status())) << step.status();
    EXPECT_TRUE(storage_->health().ok()) << "the log has everything";
    EXPECT_FALSE(storage_->SwitchSnapshot(meta).ok());
    Crash();
    Open();
    EXPECT_EQ(recovered_.snapshot.meta.index, 0u);
    EXPECT_EQ(Log(), "1@1 2@1 3@1 4@1 5@1");
  }
}

// Most of that is done while it is written: the end takes no longer for a large one.
TEST_F(StorageTest, ASnapshotIsReadBackWhileItIsWritten) {
  options_.snapshot_chunk_bytes = kMaxSnapshotChunk;
  Start();
  Append(1, 5);
  const raft::SnapshotMeta meta{5, 1, {{1, 2, 3}, {}, {}, {}, false}};
  ASSERT_TRUE(storage_->BeginSnapshot(SnapshotSource::kLocal, meta).ok());
  const std::string piece(kMaxSnapshotChunk, 'x');
  for (uint64_t i = 0; i < 8; ++i) {
    ASSERT_TRUE(storage_->AppendSnapshot(SnapshotSource::kLocal, i * piece.size(), piece).ok());
  }
  int steps = 1;
  while (!storage_->FinishSnapshot(SnapshotSource::kLocal)->has_value()) ++steps;
  EXPECT_LE(steps, 3);
}

TEST_F(StorageTest, AnIntactSnapshotThatTheManifestDoesNotMeanIsReported) {
  Start();
  Append(1, 5, "x", 5);
  TakeSnapshot(3, 1, "other");
  const std::string name = Names("snapshot-").back();
  const std::string other = FileBytes(name);
  disk_ = sim::SimDisk({});
  Start();
  Append(1, 5, "x", 5);
  TakeSnapshot(3, 1, "state");
  Kill();
  Put(name, 0, other);
  Open();
  EXPECT_TRUE(recovered_.snapshot_damaged);
  EXPECT_TRUE(Saw(Kind::kSnapshotLost));
}

// --- Whose directory
// ------------------------------------------------------------------------------------------------

TEST_F(StorageTest, AnEmptyDirectoryStartsNothing) {
  const absl::Status status = TryOpen();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("never initialised"));
}

TEST_F(StorageTest, AnotherClusterOrNodeIsRefusedAndUntouched) {
  Start();
  Kill();
  const uint64_t hash = disk_.ContentHash();
  const absl::Status cluster = TryOpen({ClusterId{1, 2}, std::nullopt});
  EXPECT_TRUE(absl::IsFailedPrecondition(cluster));
  EXPECT_THAT(std::string(cluster.message()), HasSubstr("cluster 0123456789abcdef"));
  const absl::Status node = TryOpen({std::nullopt, 4});
  EXPECT_TRUE(absl::IsFailedPrecondition(node));
  EXPECT_THAT(std::string(node.message()), HasSubstr("node 3, not 4"));
  EXPECT_EQ(disk_.ContentHash(), hash);
  EXPECT_TRUE(TryOpen({TestIdentity().cluster, 3}).ok());
}

TEST_F(StorageTest, GarbageIsNotADataDirectory) {
  ASSERT_TRUE(disk_.Create("notes.txt").ok());
  Put("notes.txt", 0, "shopping list");
  const absl::Status status = TryOpen();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("notes.txt"));
  const absl::Status init = Storage::Init(disk_, TestIdentity(), {});
  EXPECT_TRUE(absl::IsFailedPrecondition(init));
  EXPECT_THAT(std::string(init.message()), HasSubstr("notes.txt"));
}

TEST_F(StorageTest, InitRefusesALivedInDirectory) {
  Start();
  Kill();
  EXPECT_TRUE(absl::IsAlreadyExists(Storage::Init(disk_, TestIdentity(), {})));
  ASSERT_TRUE(disk_.Remove("identity").ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Storage::Init(disk_, TestIdentity(), {})));
  EXPECT_TRUE(absl::IsDataLoss(TryOpen()));
}

TEST_F(StorageTest, InitWantsAWholeIdentity) {
  for (Identity identity :
       {Identity{{0, 0}, 1, 1}, Identity{{1, 1}, 0, 1}, Identity{{1, 1}, 1, 0}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Storage::Init(disk_, identity, {})));
  }
  EXPECT_TRUE(disk_.List()->empty());
}

TEST_F(StorageTest, InitMayCrashAnywhereAndBeRepeated) {
  uint64_t budget = 0;
  for (bool crashed = true; crashed; ++budget) {
    crashed = false;
    for (uint64_t outcome = 0; outcome < 20; ++outcome) {
      disk_ = sim::SimDisk({});
      disk_.SetOperationBudget(budget);
      const absl::Status status =
          Storage::Init(disk_, TestIdentity(), {{1, 1, {{1}, {}, {}, {}, false}}, "s"});
      crashed |= !status.ok();
      Random fate(outcome * 1000 + budget);
      disk_.Crash(fate);
      absl::Status opened = TryOpen();
      if (status.ok()) {
        EXPECT_TRUE(opened.ok()) << opened;
      }
      if (!opened.ok()) {
        EXPECT_TRUE(absl::IsNotFound(opened)) << budget << "/" << outcome << ": " << opened;
        Init();
        Open();
      }
      storage_.reset();
    }
  }
  EXPECT_GT(budget, 20u);
}

TEST_F(StorageTest, OneHolderAtATime) {
  Start();
  absl::StatusOr<std::unique_ptr<Storage>> second = Storage::Open(disk_, options_);
  EXPECT_TRUE(absl::IsUnavailable(second.status()));
  storage_.reset();
  EXPECT_TRUE(TryOpen().ok());
}

TEST_F(StorageTest, TermAndVoteSurviveOneBadCopyAndNotTwo) {
  Start();
  ASSERT_TRUE(Vote(9, 2).ok());
  Kill();
  for (uint64_t slot : {uint64_t{0}, kSlotBytes}) {
    Flip("vote", slot + 40);
    Open();
    EXPECT_EQ(recovered_.hard_state, (raft::HardState{9, 2}));
    EXPECT_TRUE(Saw(Kind::kSlotRepaired));
    Kill();
  }
  Flip("vote", 40);
  Flip("vote", kSlotBytes + 40);
  const absl::Status status = TryOpen();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("vote: both copies"));
}

TEST_F(StorageTest, AMissingFileIsReported) {
  for (absl::string_view name : {"vote", "manifest"}) {
    disk_ = sim::SimDisk({});
    Start();
    Kill();
    ASSERT_TRUE(disk_.Remove(name).ok());
    const absl::Status status = TryOpen();
    EXPECT_TRUE(absl::IsDataLoss(status));
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(name)));
  }
}

TEST_F(StorageTest, AVoteOfAnotherNodeOrLifeIsRefused) {
  for (const VoteRecord& vote : {VoteRecord{{5, 1}, 2, 1, 0}, VoteRecord{{5, 1}, 3, 2, 0},
                                 VoteRecord{{5, 1}, 3, 1, 1}, VoteRecord{{5, 1}, 3, 1, 0}}) {
    disk_ = sim::SimDisk({});
    Start();
    Kill();
    ASSERT_TRUE(CreateSlotFile(disk_, VoteFile(TestIdentity().cluster), EncodeVote(vote)).ok());
    const absl::Status status = TryOpen();
    if (vote.node == 3 && vote.incarnation == 1 && vote.group == 0) {
      EXPECT_TRUE(status.ok()) << status;
      continue;
    }
    EXPECT_TRUE(absl::IsDataLoss(status));
    EXPECT_EQ(status.message(),
              "simulated disk/vote: not the vote of this incarnation of this node");
  }
}

// A file that a newer program wrote is told from a damaged one: version and features are inside the
// checksum.
TEST_F(StorageTest, ANewerFormatIsNotCalledDamage) {
  Start();
  Append(1, 1);
  Kill();
  const SlotFile file = VoteFile(TestIdentity().cluster);
  std::string slot = FileBytes("vote").substr(0, 512);
  for (size_t field : {size_t{8}, size_t{12}}) {
    std::string newer = slot;
    newer[field] = 2;
    const size_t end = 32 + EncodeVote({}).size();
    std::string sum;
    PutU64(sum, Checksum(absl::string_view(newer).substr(0, end), file.seed));
    newer.replace(end, 8, sum);
    Put("vote", 0, newer);
    EXPECT_TRUE(absl::IsUnimplemented(TryOpen())) << field;
    Put("vote", 0, slot);
  }
  const std::string segment = NewestSegment();
  std::string header = FileBytes(segment).substr(0, kSegmentHeaderBytes);
  header[8] = 2;
  std::string sum;
  const uint64_t id = *ParseSegmentName(segment);
  PutU64(sum, Checksum(absl::string_view(header).substr(0, kSegmentHeaderBytes - 8),
                       FileSeed(TestIdentity().cluster, FileKind::kLog, id)));
  header.replace(kSegmentHeaderBytes - 8, 8, sum);
  Put(segment, 0, header);
  EXPECT_TRUE(absl::IsUnimplemented(TryOpen()));
}

// The marks are only evidence, but whoever wrote newer ones may have written newer everything.
TEST_F(StorageTest, MarksOfANewerProgramAreNamed) {
  Start();
  Kill();
  std::string slot = FileBytes("marks").substr(0, 512);
  slot[8] = 2;
  std::string sum;
  PutU64(sum, Checksum(absl::string_view(slot).substr(0, 72),
                       FileSeed(TestIdentity().cluster, FileKind::kMarks, 0)));
  slot.replace(72, 8, sum);
  Put("marks", 0, slot);
  const absl::Status status = TryOpen();
  EXPECT_TRUE(absl::IsUnimplemented(status));
  EXPECT_EQ(status.message(),
            "simulated disk/marks: format version 2 with features 0 is newer than this program");
}

// Intact, and of no log or snapshot there is.
TEST_F(StorageTest, ImpossibleTermsAndIndexesAreRefused) {
  EXPECT_TRUE(DecodeVote(EncodeVote({{raft::kMaxTermOrIndex, 1}, 3, 1, 0})));
  EXPECT_FALSE(DecodeVote(EncodeVote({{raft::kMaxTermOrIndex + 1, 1}, 3, 1, 0})));
  Manifest manifest;
  manifest.snapshot.meta = {raft::kMaxTermOrIndex, raft::kMaxTermOrIndex, {}};
  EXPECT_TRUE(DecodeManifest(*EncodeManifest(manifest)));
  manifest.snapshot.meta = {raft::kMaxTermOrIndex + 1, 1, {}};
  EXPECT_FALSE(DecodeManifest(*EncodeManifest(manifest)));
  manifest.snapshot.meta = {1, raft::kMaxTermOrIndex + 1, {}};
  EXPECT_FALSE(DecodeManifest(*EncodeManifest(manifest)));
  manifest.snapshot.meta = {1, 1, {std::vector<raft::NodeId>(256, 1), {}, {}, {}, false}};
  EXPECT_EQ(DecodeManifest(*EncodeManifest(manifest)), manifest);
  // What could not be read again is not written.
  manifest.snapshot.meta.conf.voters.push_back(1);
  EXPECT_FALSE(EncodeManifest(manifest));
  manifest.snapshot.meta = {1, 1, {}};
  manifest.first_segment = raft::kMaxTermOrIndex + 1;
  EXPECT_FALSE(DecodeManifest(*EncodeManifest(manifest)));
}

// What inspection foretells is what happens, for the same reason.
TEST_F(StorageTest, ExplainSaysWhatOpenWillSay) {
  EXPECT_EQ(Storage::Explain(disk_).status(), TryOpen());
  Start();
  Append(1, 3);
  Kill();
  const auto foretold = [&] {
    const uint64_t content = disk_.ContentHash();
    absl::StatusOr<Recovered> found = Storage::Explain(disk_, options_);
    EXPECT_EQ(disk_.ContentHash(), content);
    EXPECT_EQ(found.status(), TryOpen());
    if (!found.ok()) return std::string(found.status().message());
    EXPECT_EQ(found->entries, recovered_.entries);
    EXPECT_EQ(found->commit, recovered_.commit);
    EXPECT_EQ(found->hard_state, recovered_.hard_state);
    EXPECT_EQ(found->suspicion, recovered_.suspicion);
    EXPECT_EQ(found->snapshot, recovered_.snapshot);
    return std::string("OK");
  };
  EXPECT_EQ(foretold(), "OK");
  for (const char* file : {"manifest", "vote", "identity"}) {
    storage_.reset();
    Flip(file, 40);
    EXPECT_EQ(foretold(), "OK") << "one copy is enough for " << file;
    storage_.reset();
    Flip(file, 40);
    Flip(file, kSlotBytes + 40);
    EXPECT_THAT(foretold(), HasSubstr(absl::StrCat("simulated disk/", file, ": both copies")));
    Flip(file, 40);
    Flip(file, kSlotBytes + 40);
  }
}

}  // namespace
}  // namespace raftkv::storage
