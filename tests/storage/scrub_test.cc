// The scrubber: rot in every kind of block is found, where it is, and nowhere else.
#include "storage/scrub.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/posix_disk.h"
#include "tests/storage/storage_fixture.h"
#include "tests/storage/unreadable_disk.h"

namespace raftkv::storage {
namespace {

using ::testing::ElementsAre;

struct Pass {
  std::vector<ScrubFinding> findings;
  uint64_t bytes = 0;
  uint64_t steps = 0;
  bool repairable = false;
};

Pass ScrubAll(Storage& storage) {
  Pass pass;
  for (bool finished = false; !finished && pass.steps < 100'000; ++pass.steps) {
    absl::StatusOr<ScrubStep> step = storage.Scrub();
    EXPECT_TRUE(step.ok()) << step.status();
    if (!step.ok()) break;
    EXPECT_LE(step->bytes, kMaxScrubBytes + 8192);
    pass.bytes += step->bytes;
    for (ScrubFinding& finding : step->findings) pass.findings.push_back(std::move(finding));
    finished = step->finished;
    pass.repairable = step->repairable;
  }
  return pass;
}

std::string Text(const Pass& pass) {
  std::string text;
  for (const ScrubFinding& finding : pass.findings) {
    absl::StrAppend(&text, finding.file, ":", finding.offset, " (", finding.index, ") ",
                    finding.text, "\n");
  }
  return text;
}

// A disk that counts what is read from it.
class CountingDisk final : public Disk {
 public:
  explicit CountingDisk(Disk& disk) : disk_(disk) {}

  uint64_t TakeBytes() { return std::exchange(bytes_, 0); }

  absl::StatusOr<std::unique_ptr<File>> Open(absl::string_view name, Mode mode) override {
    return Wrap(disk_.Open(name, mode));
  }
  absl::StatusOr<std::unique_ptr<File>> Create(absl::string_view name) override {
    return Wrap(disk_.Create(name));
  }
  absl::Status Rename(absl::string_view from, absl::string_view to) override {
    return disk_.Rename(from, to);
  }
  absl::Status Remove(absl::string_view name) override { return disk_.Remove(name); }
  absl::Status SyncDir() override { return disk_.SyncDir(); }
  absl::StatusOr<std::vector<std::string>> List() override { return disk_.List(); }
  absl::StatusOr<std::unique_ptr<DirectoryLock>> Lock() override { return disk_.Lock(); }
  std::string Describe() const override { return disk_.Describe(); }

 private:
  class CountingFile final : public File {
   public:
    CountingFile(CountingDisk& disk, std::unique_ptr<File> file)
        : disk_(disk), file_(std::move(file)) {}
    absl::StatusOr<size_t> Read(uint64_t offset, char* buffer, size_t length) override {
      disk_.bytes_ += length;
      return file_->Read(offset, buffer, length);
    }
    absl::Status Write(uint64_t offset, absl::string_view bytes) override {
      return file_->Write(offset, bytes);
    }
    absl::Status Sync() override { return file_->Sync(); }
    absl::Status Truncate(uint64_t size) override { return file_->Truncate(size); }
    absl::Status Allocate(uint64_t size) override { return file_->Allocate(size); }
    absl::StatusOr<uint64_t> Size() override { return file_->Size(); }
    void Forget(uint64_t offset, uint64_t length) override { file_->Forget(offset, length); }

   private:
    CountingDisk& disk_;
    std::unique_ptr<File> file_;
  };

  absl::StatusOr<std::unique_ptr<File>> Wrap(absl::StatusOr<std::unique_ptr<File>> file) {
    if (!file.ok()) return file.status();
    return std::make_unique<CountingFile>(*this, *std::move(file));
  }

  Disk& disk_;
  uint64_t bytes_ = 0;
};

// Behind the snapshot of entry 10 with ten chunks, entries 11 to 60 in some segments.
class ScrubTest : public StorageTest {
 protected:
  void Fill() {
    Start();
    Append(1, 10, std::string(100, 'a'));
    TakeSnapshot(10, 1, std::string(2'500, 's'));
    for (int i = 0; i < 25; ++i) Append(2, 2, absl::StrCat("entry-", i, std::string(600, 'x')));
  }
  // Where entry `text` is: its payload.
  struct Place {
    std::string file;
    uint64_t offset = 0;
  };
  Place Find(const std::string& text) {
    for (const std::string& name : Names("log-")) {
      const size_t at = FileBytes(name).find(text);
      if (at != std::string::npos) return {name, at};
    }
    ADD_FAILURE() << text;
    return {};
  }
};

TEST_F(ScrubTest, AWholeDiskGivesNoFindingPassAfterPass) {
  Fill();
  const uint64_t hash = disk_.ContentHash();
  const Pass first = ScrubAll(*storage_);
  EXPECT_EQ(Text(first), "");
  EXPECT_FALSE(first.repairable);
  EXPECT_GT(first.bytes, 25u * 1200 + 2500);
  const Pass second = ScrubAll(*storage_);
  EXPECT_EQ(second.bytes, first.bytes);
  EXPECT_EQ(Text(second), "");
  EXPECT_EQ(disk_.ContentHash(), hash) << "nothing is written";
}

TEST_F(ScrubTest, AWholeDiskWithCutsAndRestartsGivesNone) {
  Fill();
  for (raft::Term term = 3; term < 20; ++term) {
    const raft::Index keep =
        std::max(storage_->last_index() - term % 4, storage_->current_snapshot().meta.index);
    ASSERT_TRUE(Write(keep, term, term % 5 + 1, std::string(90 * term, 'c')).ok());
    if (term % 3 == 0) {
      Kill();
      Open();
    }
    if (term % 4 == 0) TakeSnapshot(storage_->last_index() - 4, term, "again");
    const Pass pass = ScrubAll(*storage_);
    EXPECT_EQ(Text(pass), "") << term;
    EXPECT_FALSE(pass.repairable);
  }
}

TEST_F(ScrubTest, APassGoesOnWhileTheLogGrowsAndSnapshotsChange) {
  Fill();
  for (int i = 0; i < 400; ++i) {
    const absl::StatusOr<ScrubStep> step = storage_->Scrub();
    ASSERT_TRUE(step.ok());
    for (const ScrubFinding& finding : step->findings) ADD_FAILURE() << finding.text;
    ASSERT_FALSE(step->repairable);
    Append(3, 1, std::string(static_cast<size_t>(i) * 13 % 900, 'g'));
    if (i % 7 == 0) {
      TakeSnapshot(storage_->last_index() - 3, 3, std::string(static_cast<size_t>(900 + i), 't'));
      ASSERT_TRUE(storage_->CompactLog(storage_->last_index() - 3).ok());
    }
  }
}

TEST_F(ScrubTest, ABadCopyOfARecordIsWrittenAgain) {
  for (const char* name : {"identity", "vote", "manifest"}) {
    for (const uint64_t copy : {uint64_t{0}, uint64_t{1}}) {
      SCOPED_TRACE(absl::StrCat(name, " ", copy));
      disk_.Wipe();
      storage_.reset();
      Fill();
      const uint64_t hash = disk_.ContentHash();
      Flip(name, copy * kSlotBytes + 33);
      const Pass pass = ScrubAll(*storage_);
      ASSERT_EQ(pass.findings.size(), 1u) << Text(pass);
      EXPECT_EQ(pass.findings[0].file, name);
      EXPECT_EQ(pass.findings[0].offset, copy * kSlotBytes);
      EXPECT_FALSE(pass.repairable);
      EXPECT_EQ(disk_.ContentHash(), hash);
      EXPECT_EQ(disk_.UnsyncedSectors(name), 0u);
      EXPECT_EQ(Text(ScrubAll(*storage_)), "");
    }
  }
}

TEST_F(ScrubTest, BothCopiesOfTheVoteAreWrittenAgainFromMemory) {
  Fill();
  ASSERT_TRUE(Vote(7, 2).ok());
  Flip("vote", 40);
  Flip("vote", kSlotBytes + 40);
  EXPECT_EQ(ScrubAll(*storage_).findings.size(), 2u);
  Crash();
  Open();
  EXPECT_EQ(recovered_.hard_state, (raft::HardState{7, 2}));
}

// Before its header has been read in this pass, between the header and the batches, or behind them.
TEST_F(ScrubTest, ASegmentThatIsGoneIsAFinding) {
  std::set<std::string> findings;
  for (int before = 0; before < 30; ++before) {
    disk_.Wipe();
    storage_.reset();
    Fill();
    const std::string name = Find("entry-12").file;
    ScrubStep step;
    std::string text;
    for (int i = 0; i < 400 && !step.finished; ++i) {
      if (i == before) {
        ASSERT_TRUE(disk_.Remove(name).ok());
      }
      absl::StatusOr<ScrubStep> next = storage_->Scrub();
      ASSERT_TRUE(next.ok()) << next.status();
      step = *std::move(next);
      for (const ScrubFinding& finding : step.findings) {
        EXPECT_EQ(finding.file, name);
        absl::StrAppend(&text, finding.offset, " ", finding.text, "; ");
      }
    }
    EXPECT_TRUE(step.finished);
    EXPECT_EQ(step.repairable, !text.empty());
    findings.insert(text);
  }
  EXPECT_THAT(findings, ElementsAre("",
                                    "0 both copies of the segment's header are bad; the directory "
                                    "has to be opened anew; ",
                                    "1024 header of a batch: checksum mismatch; "));
}

TEST_F(ScrubTest, ABadCopyOfASegmentHeaderIsWrittenAgain) {
  Fill();
  const std::string name = Find("entry-12").file;
  for (const uint64_t copy : {uint64_t{0}, uint64_t{1}}) {
    const uint64_t hash = disk_.ContentHash();
    Flip(name, copy * 512 + 30);
    const Pass pass = ScrubAll(*storage_);
    ASSERT_EQ(pass.findings.size(), 1u) << Text(pass);
    EXPECT_EQ(pass.findings[0].file, name);
    EXPECT_EQ(pass.findings[0].offset, copy * 512);
    EXPECT_FALSE(pass.repairable);
    EXPECT_EQ(disk_.ContentHash(), hash);
    EXPECT_EQ(disk_.UnsyncedSectors(name), 0u);
  }
  Flip(name, 30);
  Flip(name, 512 + 30);
  const Pass pass = ScrubAll(*storage_);
  ASSERT_EQ(pass.findings.size(), 1u) << Text(pass);
  EXPECT_TRUE(pass.repairable);
}

TEST_F(ScrubTest, RotOfAnyChunkHeaderOrTrailerOfTheSnapshotIsFound) {
  Fill();
  const std::string name = Names("snapshot-").back();
  const uint64_t size = FileBytes(name).size();
  std::map<std::string, int> seen;
  for (uint64_t at = 8; at < size; at += at < 4096 ? 4000 : 57) {
    if (at > 200 && at < 4096) continue;  // zeros that no checksum covers
    Flip(name, at);
    const Pass pass = ScrubAll(*storage_);
    ASSERT_EQ(pass.findings.size(), 1u) << at << "\n" << Text(pass);
    EXPECT_EQ(pass.findings[0].file, name);
    EXPECT_EQ(pass.findings[0].index, 10u);
    EXPECT_TRUE(pass.repairable);
    if (at >= 4096 && at < size - 48) {
      EXPECT_LE(pass.findings[0].offset, at);
      EXPECT_GT(pass.findings[0].offset + 256 + 32, at);
    }
    Flip(name, at);
  }
  storage_.reset();
}

// Two entries of 608 bytes, so that nothing is between the first and the last byte that no checksum
// covers.
TEST_F(ScrubTest, RotOfAnyByteOfABatchIsFoundWhereItIs) {
  Fill();
  const Place place = Find("entry-12");
  const uint64_t begin = place.offset - kBatchHeadBytes - kEntryHeaderBytes;
  const raft::Index first = 11 + 24;
  uint64_t needed = 0;
  for (uint64_t at = begin; at < place.offset + 1'200; at += 7) {
    SCOPED_TRACE(at - begin);
    Flip(place.file, at);
    const Pass pass = ScrubAll(*storage_);
    const uint64_t in_batch = at - begin;
    ASSERT_EQ(pass.findings.size(), 1u) << Text(pass);
    EXPECT_EQ(pass.findings[0].file, place.file);
    EXPECT_LE(pass.findings[0].offset, at);
    if (in_batch < kBatchHeadBytes) {
      EXPECT_EQ(pass.findings[0].offset, begin);
      EXPECT_FALSE(pass.repairable) << "the entries have headers of their own";
    } else {
      EXPECT_TRUE(pass.repairable);
      EXPECT_GE(pass.findings[0].index, first);
      EXPECT_LE(pass.findings[0].index, first + 1);
      ++needed;
    }
    Flip(place.file, at);
  }
  EXPECT_GT(needed, 100u);
  EXPECT_EQ(Text(ScrubAll(*storage_)), "");
}

TEST_F(ScrubTest, TheLastBatchOfALogIsLookedAtLikeAnyOther) {
  Fill();
  const Place place = Find("entry-24");
  Flip(place.file, place.offset - kEntryHeaderBytes - 60);  // its header; the foot names it
  Pass pass = ScrubAll(*storage_);
  ASSERT_EQ(pass.findings.size(), 1u) << Text(pass);
  EXPECT_FALSE(pass.repairable);
  Flip(place.file, place.offset + 5);
  pass = ScrubAll(*storage_);
  ASSERT_EQ(pass.findings.size(), 2u) << Text(pass);
  EXPECT_EQ(pass.findings[1].index, 59u);
  EXPECT_TRUE(pass.repairable);
  // Nothing is left that tells.
  const uint64_t foot = FileBytes(place.file).find_last_not_of('\0');
  Flip(place.file, foot);
  EXPECT_TRUE(ScrubAll(*storage_).repairable);
}

TEST_F(ScrubTest, WhatTheLogDoesNotNeedIsOnlyReported) {
  Fill();
  const Place cut = Find("entry-20");
  const Place old = Find(std::string(100, 'a'));
  ASSERT_TRUE(Write(40, 3, 1, "instead").ok());
  Flip(cut.file, cut.offset + 5);
  Pass pass = ScrubAll(*storage_);
  EXPECT_EQ(pass.findings.size(), 1u) << Text(pass);
  EXPECT_FALSE(pass.repairable) << "the log was cut in front of it";
  Flip(cut.file, cut.offset + 5);
  Flip(old.file, old.offset + 5);
  EXPECT_FALSE(ScrubAll(*storage_).repairable) << "the snapshot has it";
}

// A batch without a header, in front of one that cut it away and has lost the note about it: only
// recovery can tell that nothing of it is missing. To say otherwise for ever would be to open the
// directory anew for ever.
TEST_F(ScrubTest, WhatRecoveryHasPassedIsNotOpenedAnewForEver) {
  Fill();
  const uint64_t header = kBatchHeadBytes + kEntryHeaderBytes;  // behind it is the first payload
  const Place cut = Find("entry-24");
  ASSERT_TRUE(Write(58, 3, 1, "instead").ok());
  const Place behind = Find("instead");
  ASSERT_EQ(behind.file, cut.file);
  Flip(cut.file, cut.offset - header + kNoteBytes + 4);
  Flip(behind.file, behind.offset - header + 4);
  EXPECT_TRUE(ScrubAll(*storage_).repairable) << "it may have held anything";
  for (int restart = 0; restart < 2; ++restart) {
    Kill();
    Open();
    EXPECT_FALSE(recovered_.damage || recovered_.suspicion);
    EXPECT_EQ(storage_->last_index(), 59u);
    const Pass pass = ScrubAll(*storage_);
    EXPECT_EQ(pass.findings.size(), 1u) << Text(pass);
    EXPECT_FALSE(pass.repairable);
  }
  // It grows: the next batch is lost with it.
  Flip(behind.file, behind.offset - header + kNoteBytes + 4);
  EXPECT_TRUE(ScrubAll(*storage_).repairable);
}

// A segment that is gone, and was cut away: where the one in front of it ends is lost with it, and
// what is behind its last batch is zeros. Found by seed 20280132.
TEST_F(ScrubTest, ALostSegmentThatNobodyNeedsIsNotOpenedAnewForEver) {
  Fill();
  const std::string in_front = NewestSegment();
  Kill();
  Open();
  ASSERT_TRUE(Write(58, 2, 1, "lost").ok());
  ASSERT_TRUE(Write(58, 2, 1, "lost, too").ok());
  const Place lost = Find("lost");
  Kill();
  Open();
  ASSERT_TRUE(Write(58, 3, 1, "instead").ok());
  ASSERT_NE(Find("instead").file, lost.file);
  ASSERT_TRUE(disk_.Inject(sim::MissingFile{lost.file}));
  ASSERT_TRUE(disk_.Inject(sim::ExtendedFile{in_front, 16 * 1024}));
  for (int restart = 0; restart < 3; ++restart) {
    Kill();
    Open();
    EXPECT_FALSE(recovered_.damage || recovered_.suspicion);
    EXPECT_EQ(storage_->last_index(), 59u);
    const Pass pass = ScrubAll(*storage_);
    EXPECT_FALSE(pass.repairable) << Text(pass);
  }
}

// What the last batch of a segment was is said again where the next one would begin, be it some
// segments later: those in between, of which none had a batch, have been cut at their end.
TEST_F(ScrubTest, ANoteIsLookedForBehindSegmentsWithoutABatch) {
  Fill();
  const Place last = Find("entry-24");
  for (int restart = 0; restart < 3; ++restart) {
    Kill();
    Open();
  }
  Flip(last.file, last.offset - kEntryHeaderBytes - kBatchHeadBytes + kNoteBytes + 4);
  EXPECT_FALSE(ScrubAll(*storage_).repairable)
      << "the entries are there, and their number is known";
  Flip(last.file, last.offset + 5);
  EXPECT_TRUE(ScrubAll(*storage_).repairable);
}

// What has lost its end is to be made longer, and the disk is full: the other copy is still there.
TEST_F(ScrubTest, ACopyForWhichThereIsNoSpaceIsOnlyReported) {
  Fill();
  const std::string log = NewestSegment();
  ASSERT_TRUE(disk_.Inject(sim::TruncatedFile{"vote", kSlotBytes}));
  ASSERT_TRUE(disk_.Inject(sim::TruncatedFile{log, options_.block_bytes}));
  disk_.Refuse(sim::SimDisk::Refusal{sim::SimDisk::Refusal::Kind::kFull, {}});
  const Pass pass = ScrubAll(*storage_);
  std::vector<std::string> unwritten;
  for (const ScrubFinding& finding : pass.findings) {
    if (absl::StrContains(finding.text, "cannot be written")) unwritten.push_back(finding.file);
  }
  EXPECT_EQ(unwritten, (std::vector<std::string>{"vote", log})) << Text(pass);
  EXPECT_TRUE(storage_->health().ok()) << storage_->health();
}

TEST_F(ScrubTest, UnreadableSectorsAreFindings) {
  Init();
  UnreadableDisk bad(disk_);
  absl::StatusOr<std::unique_ptr<Storage>> opened = Storage::Open(bad, options_);
  ASSERT_TRUE(opened.ok());
  storage_ = *std::move(opened);
  recovered_ = storage_->TakeRecovered();
  Append(1, 3, "before");
  Append(1, 3, absl::StrCat("here", std::string(2'000, 'x')));
  Append(1, 3, "behind");
  const Place place = Find("here");
  bad.Spoil(place.file, (place.offset / 512 + 1) * 512, 512);
  const Pass pass = ScrubAll(*storage_);
  ASSERT_EQ(pass.findings.size(), 2u) << Text(pass);
  EXPECT_EQ(pass.findings[0].offset, (place.offset / 512 + 1) * 512);
  EXPECT_TRUE(absl::StrContains(pass.findings[0].text, "cannot be read")) << Text(pass);
  EXPECT_EQ(pass.findings[1].index, 4u);
  EXPECT_TRUE(pass.repairable);
  bad.Spoil("vote", 0, 512);
  EXPECT_EQ(ScrubAll(*storage_).findings.size(), 3u);
  EXPECT_TRUE(storage_->health().ok());
}

// A device that acknowledged a write and did not do it: the page cache still has it.
TEST_F(ScrubTest, ItReadsTheDeviceAndNotTheCache) {
  Fill();
  ASSERT_TRUE(disk_.Inject(sim::LostWrite{NewestSegment()}));
  Append(2, 1, "never written");
  ASSERT_NE(Find("never written").offset, 0u) << "reads show it";
  const Pass pass = ScrubAll(*storage_);
  EXPECT_TRUE(pass.repairable) << Text(pass);
}

// What it calls repairable, recovery misses; what it does not, recovery has.
TEST_F(ScrubTest, ItAgreesWithRecovery) {
  Fill();
  ASSERT_TRUE(Write(45, 3, 2, "instead").ok());
  Append(3, 5, std::string(300, 'z'));
  Kill();
  const std::unique_ptr<sim::SimDisk> whole = disk_.Clone();
  Random random(7);
  int repairable = 0, harmless = 0;
  for (int round = 0; round < 400; ++round) {
    SCOPED_TRACE(round);
    disk_ = std::move(*whole->Clone());
    Open();
    const raft::Index last = storage_->last_index();
    // The newest segment is empty: what is wrong behind the end of the log is overwritten.
    std::vector<std::string> names = Names("log-");
    names.pop_back();
    const std::string& name = names[random.Below(names.size())];
    const uint64_t at = random.Below(FileBytes(name).size());
    Flip(name, at);
    const Pass pass = ScrubAll(*storage_);
    Kill();
    Open();
    const bool missed =
        recovered_.damage.has_value() || recovered_.suspicion || storage_->last_index() != last;
    EXPECT_EQ(pass.repairable, missed) << name << ":" << at << "\n" << Text(pass);
    (pass.repairable ? repairable : harmless) += 1;
    storage_.reset();
  }
  EXPECT_GT(repairable, 50);
  EXPECT_GT(harmless, 50);
}

TEST(ScrubBoundTest, AStepReadsLittleHoweverLargeTheBatch) {
  sim::SimDisk inner{sim::SimDisk::Options{}};
  CountingDisk disk(inner);
  ASSERT_TRUE(
      Storage::Init(disk, TestIdentity(), {{0, 0, {{1, 2, 3}, {}, {}, {}, false}}, "state"}).ok());
  absl::StatusOr<std::unique_ptr<Storage>> storage = Storage::Open(disk, Options{});
  ASSERT_TRUE(storage.ok());
  raft::PersistJob job;
  job.writes_log = true;
  for (raft::Index index = 1; index <= 3; ++index)
    job.entries.push_back(MakeEntry(1, index, std::string(3'000'000 + index, 'b')));
  for (raft::Index index = 4; index <= 3'000; ++index)
    job.entries.push_back(MakeEntry(1, index, std::string(index % 700, 'c')));
  ASSERT_TRUE((*storage)->Persist(job).ok());
  uint64_t most = 0, all = 0;
  disk.TakeBytes();
  for (bool finished = false; !finished;) {
    const absl::StatusOr<ScrubStep> step = (*storage)->Scrub();
    ASSERT_TRUE(step.ok());
    ASSERT_TRUE(step->findings.empty()) << step->findings[0].text;
    const uint64_t bytes = disk.TakeBytes();
    most = std::max(most, bytes);
    all += bytes;
    finished = step->finished;
  }
  EXPECT_GT(all, 10'000'000u);
  EXPECT_LE(most, kMaxScrubBytes + 8192);
}

// The same on real files, behind the page cache.
TEST(ScrubPosixTest, RotInAFileIsFound) {
  const std::string directory = absl::StrCat(::testing::TempDir(), "/scrub-", ::getpid());
  absl::StatusOr<std::unique_ptr<PosixDisk>> disk =
      PosixDisk::Open(directory, PosixDisk::IfMissing::kCreate);
  ASSERT_TRUE(disk.ok()) << disk.status();
  ASSERT_TRUE(
      Storage::Init(**disk, TestIdentity(), {{0, 0, {{1}, {}, {}, {}, false}}, "state"}).ok());
  absl::StatusOr<std::unique_ptr<Storage>> storage = Storage::Open(**disk, SmallOptions());
  ASSERT_TRUE(storage.ok());
  raft::PersistJob job;
  job.writes_log = true;
  job.entries.push_back(MakeEntry(1, 1, "the entry"));
  ASSERT_TRUE((*storage)->Persist(job).ok());
  EXPECT_EQ(Text(ScrubAll(**storage)), "");
  const std::vector<std::string> names = *(*disk)->List();
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, "log-")) continue;
    std::unique_ptr<File> file = *(*disk)->Open(name, Disk::Mode::kReadWrite);
    std::string bytes(*file->Size(), '\0');
    ASSERT_TRUE(file->Read(0, bytes.data(), bytes.size()).ok());
    const size_t at = bytes.find("the entry");
    if (at == std::string::npos) continue;
    ASSERT_TRUE(file->Write(at, "THE").ok());
  }
  const Pass pass = ScrubAll(**storage);
  EXPECT_EQ(pass.findings.size(), 1u) << Text(pass);
  EXPECT_TRUE(pass.repairable);
  storage->reset();
  for (const std::string& name : names) EXPECT_TRUE((*disk)->Remove(name).ok());
  ::rmdir(directory.c_str());
}

}  // namespace
}  // namespace raftkv::storage
