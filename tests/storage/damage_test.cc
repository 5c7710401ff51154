// What a node loses of its log or its snapshot, and what recovery makes of it: named, promised or
// to be repaired, never cut off silently. docs/formats/log.md has the same cases as a table.
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/encoding.h"
#include "storage/snapshot_store.h"
#include "tests/storage/storage_fixture.h"
#include "tests/storage/unreadable_disk.h"

namespace raftkv::storage {
namespace {

using ::testing::HasSubstr;
using Evidence = raft::Suspicion::Evidence;
using Kind = RecoveryEvent::Kind;

constexpr uint64_t kBlock = 512;
// Offsets inside a batch of one block.
constexpr uint64_t kHeader = kNoteBytes;
constexpr uint64_t kFirstEntry = kBatchHeadBytes;
constexpr uint64_t kFirstPayload = kBatchHeadBytes + kEntryHeaderBytes;

// The `number`-th batch (from 1) of a segment whose batches have one block each.
uint64_t Batch(uint64_t number) { return (1 + number) * kBlock; }

class DamageTest : public StorageTest {
 protected:
  DamageTest() { options_.zero_ahead_bytes = 0; }

  absl::Status TryOpen() {
    storage_.reset();
    absl::StatusOr<std::unique_ptr<Storage>> opened = Storage::Open(bad_disk_, options_);
    if (!opened.ok()) return opened.status();
    storage_ = *std::move(opened);
    recovered_ = storage_->TakeRecovered();
    return absl::OkStatus();
  }
  void Open() {
    const absl::Status status = TryOpen();
    ASSERT_TRUE(status.ok()) << status;
  }
  void Start(raft::Term term = 1) {
    Init();
    Open();
    ASSERT_TRUE(Vote(term, 0).ok());
  }
  // `count` batches of one entry each.
  void AppendEach(raft::Term term, uint64_t count, absl::string_view payload = "payload") {
    for (uint64_t i = 0; i < count; ++i) Append(term, 1, payload);
  }
  void Garble(absl::string_view name, uint64_t offset, uint64_t bytes = kBlock) {
    Put(name, offset, std::string(bytes, '\x5a'));
  }
  void Zero(absl::string_view name, uint64_t offset, uint64_t bytes = kBlock) {
    Put(name, offset, std::string(bytes, '\0'));
  }
  void TearNextWrite() { disk_.InjectFault(sim::SimDisk::Operation::kSync, 0); }

  // "3@2 4@?": what is bad. "-" without damage.
  std::string Holes() const {
    if (!recovered_.damage) return "-";
    std::vector<std::string> words;
    for (const raft::DamagedEntry& bad : recovered_.damage->bad) {
      words.push_back(absl::StrCat(bad.index, "@", bad.term == 0 ? "?" : absl::StrCat(bad.term)));
    }
    return absl::StrJoin(words, " ");
  }
  std::string Behind() const {
    std::vector<std::string> words;
    for (const raft::Entry& entry : recovered_.damage->intact) {
      words.push_back(absl::StrCat(entry.index, "@", entry.term));
    }
    return absl::StrJoin(words, " ");
  }
  static std::string Text(const std::optional<raft::Suspicion>& suspicion) {
    constexpr const char* kEvidence[] = {"blank", "spoilt", "proven"};
    if (!suspicion) return "-";
    return absl::StrCat(suspicion->index, "@", suspicion->term, " ",
                        kEvidence[static_cast<size_t>(suspicion->evidence)]);
  }
  std::string Suspected() const { return Text(recovered_.suspicion); }
  std::string Last() const { return Text(recovered_.damage->last); }

  raft::Entries Entries(raft::Term term, raft::Index from, uint64_t count) {
    raft::Entries entries;
    for (uint64_t i = 0; i < count; ++i) {
      entries.push_back(MakeEntry(term, from + i, absl::StrCat("repaired ", from + i)));
    }
    return entries;
  }
  void Settle(const raft::Entries& entries,
              const std::optional<raft::Suspicion>& suspicion = std::nullopt) {
    const absl::Status status = storage_->Settle(entries, suspicion);
    ASSERT_TRUE(status.ok()) << status;
  }

  UnreadableDisk bad_disk_{disk_};
};

// --- One bad block ------------------------------------------------------------------------------

enum class Blow { kPayload, kEntryHeader, kBatchHeader, kNote, kZeros, kGarbage, kUnreadable };
struct Hit {
  Blow blow;
  const char* name;
};
constexpr Hit kHits[] = {
    {Blow::kPayload, "payload"},
    {Blow::kEntryHeader, "entry header"},
    {Blow::kBatchHeader, "batch header"},
    {Blow::kNote, "note"},
    {Blow::kZeros, "zeros"},
    {Blow::kGarbage, "garbage"},
    {Blow::kUnreadable, "unreadable"},
};

class OneBlockTest : public DamageTest {
 protected:
  void Strike(Blow blow, const std::string& segment, uint64_t offset) {
    switch (blow) {
      case Blow::kPayload:
        return Flip(segment, offset + kFirstPayload + 3);
      case Blow::kEntryHeader:
        return Flip(segment, offset + kFirstEntry + 9);
      case Blow::kBatchHeader:
        return Flip(segment, offset + kHeader + 9);
      case Blow::kNote:
        return Flip(segment, offset + 9);
      case Blow::kZeros:
        return Zero(segment, offset);
      case Blow::kGarbage:
        return Garble(segment, offset);
      case Blow::kUnreadable:
        return bad_disk_.Spoil(segment, offset, kBlock);
    }
  }
};

TEST_F(OneBlockTest, WhatIsLostIsKnownByName) {
  for (const bool marks : {true, false}) {
    for (const Hit& hit : kHits) {
      for (uint64_t position = 1; position <= 4; ++position) {
        SCOPED_TRACE(absl::StrCat(hit.name, " of batch ", position, marks ? "" : ", no marks"));
        disk_ = sim::SimDisk({});
        bad_disk_.Heal();
        Start(3);
        AppendEach(3, 4);
        if (!marks) LoseMarks();
        Kill();
        const std::string segment = NewestSegment();
        Strike(hit.blow, segment, Batch(position));
        Open();
        if (hit.blow == Blow::kNote || hit.blow == Blow::kBatchHeader) {
          // Each is said twice, or found without.
          EXPECT_EQ(Log(), "1@3 2@3 3@3 4@3");
          EXPECT_EQ(Holes(), "-");
          EXPECT_EQ(Suspected(), "-");
          continue;
        }
        EXPECT_EQ(recovered_.entries.size(), position - 1);
        if (position < 4) {
          EXPECT_EQ(Holes(), absl::StrCat(position, "@3"));
          EXPECT_EQ(recovered_.damage->intact.size(), 4 - position);
          EXPECT_EQ(Last(), "4@3 proven");
          EXPECT_EQ(Suspected(), "-");
          EXPECT_TRUE(Saw(Kind::kHole));
          EXPECT_EQ(NewestSegment(), segment) << "something was written before the repair";
        } else {
          EXPECT_EQ(Holes(), "-");
          EXPECT_EQ(Suspected(), marks                      ? "4@3 proven"
                                 : hit.blow == Blow::kZeros ? "4@3 blank"
                                                            : "4@3 spoilt");
          EXPECT_TRUE(Saw(Suspected() == "4@3 blank" ? Kind::kTornTail : Kind::kTailLost));
        }
        EXPECT_EQ(Saw(Kind::kUnreadable), hit.blow == Blow::kUnreadable);
      }
    }
  }
}

TEST_F(OneBlockTest, ASettledLogIsWholeAgain) {
  for (const Hit& hit : kHits) {
    for (uint64_t position = 1; position <= 3; ++position) {
      SCOPED_TRACE(absl::StrCat(hit.name, " of batch ", position));
      disk_ = sim::SimDisk({});
      bad_disk_.Heal();
      Start();
      AppendEach(1, 4);
      Kill();
      Strike(hit.blow, NewestSegment(), Batch(position));
      Open();
      if (!recovered_.damage) continue;
      EXPECT_TRUE(absl::IsFailedPrecondition(Write(position - 1, 1, 1)));
      EXPECT_TRUE(absl::IsFailedPrecondition(storage_->CompactLog(1)));
      raft::Entries entries = Entries(1, position, 1);
      for (const raft::Entry& entry : recovered_.damage->intact) entries.push_back(entry);
      Settle(entries);
      EXPECT_EQ(storage_->last_index(), 4u);
      Append(1, 1);
      Crash();
      Open();
      EXPECT_EQ(Log(), "1@1 2@1 3@1 4@1 5@1");
      EXPECT_EQ(recovered_.entries[position - 1].payload.view(),
                absl::StrCat("repaired ", position));
      EXPECT_EQ(Holes(), "-");
      EXPECT_EQ(Suspected(), "-");
    }
  }
}

// A batch of three entries over seven sectors.
TEST_F(OneBlockTest, OneBadSectorOfALargeBatchCostsTheEntriesInIt) {
  std::string payload(1000, 'p');
  for (uint64_t sector = 1; sector <= 6; ++sector) {
    SCOPED_TRACE(sector);
    disk_ = sim::SimDisk({});
    bad_disk_.Heal();
    Start();
    Append(1, 3, payload);
    Append(1, 1);
    Kill();
    bad_disk_.Spoil(NewestSegment(), Batch(1) + sector * kBlock, kBlock);
    Open();
    EXPECT_THAT(Holes(), ::testing::AnyOf("1@1", "1@1 2@1", "2@1", "2@1 3@1", "3@1"));
    EXPECT_LE(recovered_.damage->bad.size(), 2u);
    EXPECT_EQ(recovered_.entries.size() + recovered_.damage->bad.size() +
                  recovered_.damage->intact.size(),
              4u);
  }
}

// --- The end of the log -------------------------------------------------------------------------

// A batch whose sync failed was never acknowledged. Any byte of it may be wrong after a restart.
TEST_F(DamageTest, AnyByteOfAnUnacknowledgedBatchMayBeWrong) {
  constexpr uint64_t kContent = kBatchHeadBytes + 2 * (kEntryHeaderBytes + 8);
  for (uint64_t byte = 0; byte < kBlock; ++byte) {
    SCOPED_TRACE(byte);
    disk_ = sim::SimDisk({});
    Start(2);
    Append(1, 2);
    TearNextWrite();
    EXPECT_FALSE(Write(2, 2, 2).ok());
    Kill();
    Flip(NewestSegment(), Batch(2) + byte);
    Open();
    const uint64_t second = kFirstEntry + kEntryHeaderBytes + 8;
    if (byte < kFirstEntry || byte >= kContent - 1 || byte == second - 1) {
      EXPECT_EQ(Log(), "1@1 2@1 3@2 4@2");
      EXPECT_EQ(Suspected(), "-");
      EXPECT_TRUE(Saw(Kind::kTailRewritten));
    } else if (byte < second) {
      // Nothing shows that the write was not complete, and entry 4 may be the only copy.
      EXPECT_EQ(Holes(), "3@2");
      EXPECT_EQ(Behind(), "4@2");
      EXPECT_EQ(Last(), "4@2 spoilt");
    } else {
      EXPECT_EQ(Log(), "1@1 2@1 3@2");
      EXPECT_EQ(Suspected(), "4@2 spoilt");
      EXPECT_TRUE(Saw(Kind::kTailLost));
    }
  }
}

TEST_F(DamageTest, AWriteThatIsVisiblyNotCompleteIsCutOff) {
  for (uint64_t sector = 0; sector <= 5; ++sector) {
    SCOPED_TRACE(sector);
    disk_ = sim::SimDisk({});
    Start(2);
    Append(1, 1);
    TearNextWrite();
    EXPECT_FALSE(Write(1, 2, 3, std::string(600, 'w')).ok());
    Kill();
    if (sector == 0) {
      Zero(NewestSegment(), Batch(2) + kNoteBytes, kBlock - kNoteBytes);  // the foot is back
    } else {
      Zero(NewestSegment(), Batch(2) + sector * kBlock);
    }
    Open();
    EXPECT_EQ(Holes(), "-");
    EXPECT_TRUE(Saw(Kind::kTornTail) || sector == 5);
    if (sector < 5) {
      EXPECT_EQ(Suspected(), "4@2 blank");
      const char* const kKept[] = {"1@1", "1@1", "1@1 2@2", "1@1 2@2 3@2", "1@1 2@2 3@2"};
      EXPECT_EQ(Log(), kKept[sector]);
    } else {
      // Only the foot is missing: all entries are there, and nothing can be behind them.
      EXPECT_EQ(Log(), "1@1 2@2 3@2 4@2");
      EXPECT_EQ(Suspected(), "-");
    }
    Crash();
    const std::string log = Log();
    const std::string suspected = Suspected();
    Open();
    EXPECT_EQ(Log(), log);
    EXPECT_EQ(Suspected(), suspected) << "the suspicion is not on disk";
  }
}

TEST_F(DamageTest, ASuspicionEndsWhenTheLogIsAsUpToDate) {
  Start(2);
  AppendEach(2, 3);
  Kill();
  Garble(NewestSegment(), Batch(2), 2 * kBlock);
  Open();
  ASSERT_EQ(Suspected(), "3@2 proven");
  EXPECT_EQ(Log(), "1@2");
  Append(2, 1);
  EXPECT_EQ(Text(storage_->suspicion()), "3@2 proven");
  Crash();
  Open();
  EXPECT_EQ(Suspected(), "3@2 proven");
  Append(2, 1);
  EXPECT_EQ(Text(storage_->suspicion()), "-");
  Crash();
  Open();
  EXPECT_EQ(Suspected(), "-");
  EXPECT_EQ(Log(), "1@2 2@2 3@2");
}

TEST_F(DamageTest, ASuspicionIsCarriedFromSegmentToSegment) {
  Start(5);
  AppendEach(1, 3);
  Kill();
  Garble(NewestSegment(), Batch(3), 2 * kBlock);  // with the foot: only the term bounds it
  Open();
  ASSERT_THAT(Suspected(), HasSubstr("@5 proven"));
  for (int i = 0; i < 60; ++i) Append(4, 1, std::string(600, 'r'));
  EXPECT_NE(Text(storage_->suspicion()), "-");
  Crash();
  Open();
  EXPECT_THAT(Suspected(), HasSubstr("@5 proven"));
  Append(6, 1);
  EXPECT_EQ(Text(storage_->suspicion()), "-");
}

TEST_F(DamageTest, OfTwoSuspicionsBothBoundsStayWithTheWeakerClaim) {
  Start(9);
  AppendEach(3, 2);
  LoseMarks();
  Kill();
  Zero(NewestSegment(), Batch(2));
  Open();
  ASSERT_EQ(Suspected(), "2@3 blank");
  Append(1, 2);
  LoseMarks();
  Kill();
  // Batch 1 there is entry 1, written again.
  Flip(NewestSegment(), Batch(2) + kFirstPayload);
  Flip(NewestSegment(), Batch(2) + kFirstPayload + kEntryHeaderBytes + 8);
  Open();
  EXPECT_EQ(Suspected(), "3@3 spoilt");
  EXPECT_EQ(Log(), "1@3");
}

// A write went to the wrong place and left a few bytes and zeros where the end of the log was. What
// is left has room for two entries, of a term up to the node's own; a mark has seen six, of term 3.
// Of these two bounds (5, term 9) refuses the same votes as both, but a snapshot of entry 5 would
// end it, and with it the promise of entry 6.
TEST_F(DamageTest, OfTwoBoundsOfOneLossTheFartherIndexAndTheLaterTermStay) {
  Start(9);
  AppendEach(3, 6);
  Kill();
  Zero(NewestSegment(), Batch(4), 4 * kBlock);
  Put(NewestSegment(), Batch(4), std::string(2 * kEntryHeaderBytes, 'v'));
  Open();
  EXPECT_EQ(Log(), "1@3 2@3 3@3");
  EXPECT_EQ(Suspected(), "6@9 proven");
}

// A leader replaces entry 3 and says that it is committed. The batch is written again at the next
// start, at the beginning of a segment whose header tells of that commit, and is lost with the
// batch behind it. The old entry 3, in front, must not pass for the committed one.
TEST_F(DamageTest, WhatTheFirstBatchOfASegmentReplacedIsNotCommittedByItsHeader) {
  Start(9);
  AppendEach(1, 3);
  ASSERT_TRUE(Write(/*keep_through=*/2, 2, 2, "payload", /*commit=*/4).ok());
  LoseMarks();
  Crash();
  Open();
  ASSERT_EQ(Log(), "1@1 2@1 3@2 4@2");
  AppendEach(2, 2);
  Kill();
  Garble(NewestSegment(), Batch(1), 2 * kBlock);
  Open();
  EXPECT_EQ(Log(), "1@1 2@1");
  EXPECT_EQ(Holes(), "3@? 4@? 5@2");
}

TEST_F(DamageTest, AppendingBehindATornTailDoesNotReviveIt) {
  Start(3);
  Append(1, 2);
  TearNextWrite();
  EXPECT_FALSE(Write(2, 2, 20, std::string(200, 't')).ok());
  Kill();
  const std::string torn = NewestSegment();
  Zero(torn, Batch(2) + kNoteBytes, 2 * kBlock);
  Open();
  EXPECT_EQ(Suspected(), "22@2 blank");
  Append(3, 1);
  Kill();
  Open();
  EXPECT_EQ(Log(), "1@1 2@1 3@3");
  EXPECT_EQ(FileBytes(torn).size(), Batch(2)) << "the torn bytes still take space";
}

TEST_F(DamageTest, AnEmptyEndIsOne) {
  Start();
  Append(1, 2);
  LoseMarks();
  Kill();
  Open();
  EXPECT_EQ(Suspected(), "-");
  Kill();
  Open();
  EXPECT_EQ(Suspected(), "-");
  EXPECT_EQ(Log(), "1@1 2@1");
}

// Batch and foot are one fault apart from nothing to go by.
TEST_F(DamageTest, WithoutTheFootOnlyTheTermBoundsWhatIsLost) {
  Start(7);
  AppendEach(1, 3);
  LoseMarks();
  Kill();
  Garble(NewestSegment(), Batch(3), 2 * kBlock);
  Open();
  EXPECT_EQ(Log(), "1@1 2@1");
  ASSERT_TRUE(recovered_.suspicion);
  EXPECT_EQ(recovered_.suspicion->term, 7u);
  EXPECT_GE(recovered_.suspicion->index, 3u);
  EXPECT_EQ(recovered_.suspicion->evidence, Evidence::kSpoilt);
}

// Its log is an empty segment.
TEST_F(DamageTest, ANodeThatHasNoTermHasLostNothing) {
  Init();
  Open();
  Kill();
  for (const uint64_t blocks : {1u, 3u}) {
    Garble(NewestSegment(), Batch(1), blocks * kBlock);
    Open();
    EXPECT_EQ(Suspected(), "-");
    EXPECT_EQ(Log(), "");
    Kill();
    Open();
    EXPECT_EQ(Suspected(), "-") << "and it is not noted";
    Kill();
  }
}

TEST_F(DamageTest, MarksNameWhatZerosHide) {
  Start(7);
  AppendEach(1, 3);
  Kill();
  Zero(NewestSegment(), Batch(2), 3 * kBlock);
  Open();
  EXPECT_EQ(Log(), "1@1");
  EXPECT_EQ(Suspected(), "3@1 proven");
}

TEST_F(DamageTest, ARottenFootIsABlankSuspicion) {
  Start(7);
  AppendEach(1, 3);
  Kill();
  Garble(NewestSegment(), Batch(4));
  Open();
  EXPECT_EQ(Log(), "1@1 2@1 3@1");
  ASSERT_TRUE(recovered_.suspicion);
  EXPECT_EQ(recovered_.suspicion->term, 7u);
  EXPECT_EQ(recovered_.suspicion->evidence, Evidence::kBlank);
}

// --- Holes --------------------------------------------------------------------------------------

TEST_F(DamageTest, TwoBadBlocksInARow) {
  Start(3);
  AppendEach(1, 2);
  AppendEach(2, 1);
  AppendEach(3, 2);
  Kill();
  // Batches 3 and 4: the ids of the first were in the head of the second.
  Garble(NewestSegment(), Batch(3), 2 * kBlock);
  Open();
  EXPECT_EQ(Log(), "");
  EXPECT_EQ(Holes(), "1@? 2@? 3@? 4@3") << "nothing says that batch 3 cut nothing off";
  EXPECT_EQ(Behind(), "5@3");
}

TEST_F(DamageTest, TwoBadBlocksInARowOfOneTermCutNothing) {
  Start(3);
  AppendEach(3, 6);
  Kill();
  Garble(NewestSegment(), Batch(3), 2 * kBlock);
  Open();
  EXPECT_EQ(Log(), "1@3 2@3");
  EXPECT_EQ(Holes(), "3@3 4@3");
  EXPECT_EQ(Behind(), "5@3 6@3");
}

TEST_F(DamageTest, WhatIsCommittedIsCertainBehindLostBytes) {
  Start(3);
  Append(1, 1, "payload", 0);
  Append(1, 1, "payload", 2);
  Append(2, 1);
  AppendEach(3, 2);
  Kill();
  Garble(NewestSegment(), Batch(3), 2 * kBlock);
  Open();
  EXPECT_EQ(Log(), "1@1 2@1");
  EXPECT_EQ(Holes(), "3@? 4@3");
}

TEST_F(DamageTest, ABadEntryThatWasCutAwayIsNone) {
  Start(2);
  AppendEach(1, 3);
  ASSERT_TRUE(Write(1, 2, 1).ok());
  Kill();
  Garble(NewestSegment(), Batch(2), kBlock);
  Flip(NewestSegment(), Batch(3) + kFirstPayload);
  Open();
  EXPECT_EQ(Log(), "1@1 2@2");
  EXPECT_EQ(Holes(), "-");
  EXPECT_EQ(Suspected(), "-");
  EXPECT_TRUE(Saw(Kind::kDamagePassed));
}

TEST_F(DamageTest, ABadEntryBelowTheSnapshotIsNone) {
  Start();
  for (int i = 1; i <= 4; ++i) Append(1, 1, "x", 4);
  TakeSnapshot(3, 1, "state");
  Kill();
  Garble(NewestSegment(), Batch(1), 3 * kBlock);
  Open();
  EXPECT_EQ(Log(), "4@1");
  EXPECT_EQ(Holes(), "-");
  EXPECT_EQ(Suspected(), "-");
}

TEST_F(DamageTest, AHoleIsSettledWithoutItsEntry) {
  Start(2);
  AppendEach(1, 4);
  Kill();
  Garble(NewestSegment(), Batch(2));
  Open();
  ASSERT_EQ(Holes(), "2@1");
  const raft::Suspicion last = recovered_.damage->last;
  EXPECT_TRUE(absl::IsInvalidArgument(storage_->Settle(Entries(1, 3, 1), last)));
  Settle({}, last);
  EXPECT_TRUE(absl::IsFailedPrecondition(storage_->Settle({}, last)));
  EXPECT_EQ(storage_->last_index(), 1u);
  Crash();
  Open();
  EXPECT_EQ(Log(), "1@1");
  EXPECT_EQ(Suspected(), "4@1 proven");
  Append(2, 1);
  EXPECT_FALSE(storage_->suspicion());
}

TEST_F(DamageTest, AHoleIsNotClosedWithWhatCannotBeReadBack) {
  Start();
  AppendEach(1, 4);
  Kill();
  Garble(NewestSegment(), Batch(2));
  Open();
  raft::Entries entries = Entries(1, 2, 3);
  entries[1].payload = raft::Payload::Copy(std::string(kMaxEntryBytes + 1, 'x'));
  EXPECT_TRUE(absl::IsInvalidArgument(storage_->Settle(entries, {})));
  Settle(Entries(1, 2, 3));
  Crash();
  Open();
  EXPECT_EQ(Log(), "1@1 2@1 3@1 4@1");
}

// Space was promised there. The write may have been cut short anywhere, so nothing is certain.
// The end of the marks is missing, and there is no space for it: to be tried again, not a failure.
TEST_F(DamageTest, MarksThatHaveLostTheirEndNeedSpaceAtTheStart) {
  Start();
  Append(1, 3);
  Kill();
  ASSERT_TRUE(disk_.Inject(sim::TruncatedFile{"marks", kSlotBytes}));
  disk_.Refuse(sim::SimDisk::Refusal{sim::SimDisk::Refusal::Kind::kFull, {"marks"}});
  EXPECT_TRUE(absl::IsResourceExhausted(Storage::Open(disk_, options_).status()));
  disk_.Refuse(std::nullopt);
  Open();
  disk_.Refuse(sim::SimDisk::Refusal{sim::SimDisk::Refusal::Kind::kFull, {"marks"}});
  for (int i = 0; i < 4; ++i) Append(1, 3);
  EXPECT_EQ(storage_->last_index(), 15u);
}

TEST_F(DamageTest, NoSpaceInTheMiddleOfAFileIsFinal) {
  for (const absl::string_view name : {"log-", "vote", "marks"}) {
    SCOPED_TRACE(name);
    disk_ = sim::SimDisk({});
    Start();
    Append(1, 2);
    bad_disk_.FindNoSpaceIn(name);
    const absl::Status status = name == "vote" ? Vote(7, 1) : Write(2, 1, 1);
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_EQ(storage_->health(), status);
    bad_disk_.FindNoSpaceIn("");
    EXPECT_EQ(Write(2, 1, 1), status) << "not even when there is space again";
    EXPECT_EQ(Vote(8, 1), status);
    Kill();
  }
}

TEST_F(DamageTest, AHoleAndATornTail) {
  Start(2);
  AppendEach(1, 3);
  TearNextWrite();
  EXPECT_FALSE(Write(3, 2, 1).ok());
  Kill();
  Garble(NewestSegment(), Batch(1));
  Zero(NewestSegment(), Batch(4) + kNoteBytes, kBlock - kNoteBytes);
  Open();
  EXPECT_EQ(Holes(), "1@1") << "the torn entry was never acknowledged: nobody is asked for it";
  EXPECT_EQ(Behind(), "2@1 3@1");
  EXPECT_EQ(Last(), "4@2 proven");
}

TEST_F(DamageTest, ASettledLogSpansSegments) {
  Start();
  for (int i = 0; i < 60; ++i) Append(1, 1, std::string(600, 's'));
  Kill();
  ASSERT_GT(Names("log-").size(), 3u);
  Garble(Names("log-")[2], Batch(1), kBlock);
  Open();
  ASSERT_TRUE(recovered_.damage);
  ASSERT_EQ(recovered_.damage->bad.size(), 1u);
  raft::Entries entries = Entries(1, recovered_.damage->bad[0].index, 1);
  for (const raft::Entry& entry : recovered_.damage->intact) entries.push_back(entry);
  Settle(entries);
  const size_t segments = Names("log-").size();
  EXPECT_EQ(segments, 3u) << "segments behind the seal stay: " << segments;
  Crash();
  Open();
  EXPECT_EQ(recovered_.entries.size(), 60u);
  EXPECT_EQ(Holes(), "-");
}

TEST_F(DamageTest, ARepairThatWasNotFinishedIsBegunAgain) {
  Start();
  AppendEach(1, 4);
  Kill();
  Garble(NewestSegment(), Batch(2));
  for (uint64_t operations = 0; operations < 4; ++operations) {
    Open();
    ASSERT_EQ(Holes(), "2@1");
    disk_.SetOperationBudget(operations);
    EXPECT_FALSE(storage_->Settle(Entries(1, 2, 3), {}).ok());
    storage_.reset();
    Random random(operations);
    disk_.PowerOff();
    disk_.Crash(random);
  }
}

// --- Whole files --------------------------------------------------------------------------------

class SegmentFileTest : public DamageTest {
 protected:
  // Some segments of entries of term 1.
  void Fill(int entries = 60) {
    Start();
    for (int i = 0; i < entries; ++i) Append(1, 1, std::string(600, 'm'), 0);
    Kill();
    names_ = Names("log-");
    ASSERT_GE(names_.size(), 4u);
  }
  void ExpectAHole() {
    Open();
    ASSERT_TRUE(recovered_.damage);
    EXPECT_FALSE(recovered_.damage->intact.empty());
    EXPECT_EQ(recovered_.entries.size() + recovered_.damage->bad.size() +
                  recovered_.damage->intact.size(),
              60u);
    for (const raft::DamagedEntry& bad : recovered_.damage->bad) EXPECT_EQ(bad.term, 1u);
    EXPECT_TRUE(Saw(Kind::kSegmentLost));
    raft::Entries entries =
        Entries(1, recovered_.damage->bad[0].index, recovered_.damage->bad.size());
    for (const raft::Entry& entry : recovered_.damage->intact) entries.push_back(entry);
    Settle(entries);
    Crash();
    Open();
    EXPECT_EQ(recovered_.entries.size(), 60u);
    EXPECT_EQ(Holes(), "-");
    EXPECT_EQ(Suspected(), "-");
  }
  void ExpectALostEnd() {
    Open();
    EXPECT_EQ(Holes(), "-");
    EXPECT_LT(recovered_.entries.size(), 60u);
    ASSERT_TRUE(recovered_.suspicion);
    EXPECT_TRUE(
        raft::UpToDate(recovered_.suspicion->index, recovered_.suspicion->term, {60, 1, {}}));
    EXPECT_EQ(recovered_.suspicion->evidence, Evidence::kProven);
    const std::string suspected = Suspected();
    Crash();
    Open();
    EXPECT_EQ(Suspected(), suspected);
    Append(2, 1);
    EXPECT_FALSE(storage_->suspicion());
  }

  std::vector<std::string> names_;
};

TEST_F(SegmentFileTest, OneInTheMiddleIsMissing) {
  Fill();
  ASSERT_TRUE(disk_.Remove(names_[2]).ok());
  ExpectAHole();
}

TEST_F(SegmentFileTest, TwoInTheMiddleAreMissing) {
  Fill();
  ASSERT_TRUE(disk_.Remove(names_[2]).ok());
  ASSERT_TRUE(disk_.Remove(names_[3]).ok());
  ExpectAHole();
}

TEST_F(SegmentFileTest, TheOldestAreMissing) {
  Fill();
  ASSERT_TRUE(disk_.Remove(names_[0]).ok());
  ASSERT_TRUE(disk_.Remove(names_[1]).ok());
  Open();
  ASSERT_TRUE(recovered_.damage);
  EXPECT_TRUE(recovered_.entries.empty());
  EXPECT_EQ(recovered_.damage->bad.front().index, 1u);
  raft::Entries entries = Entries(1, 1, recovered_.damage->bad.size());
  for (const raft::Entry& entry : recovered_.damage->intact) entries.push_back(entry);
  Settle(entries);
  Crash();
  Open();
  EXPECT_EQ(recovered_.entries.size(), 60u);
  Append(1, 1);
  Crash();
  Open();
  EXPECT_EQ(recovered_.entries.size(), 61u);
}

TEST_F(SegmentFileTest, OneInTheMiddleIsEmptyGarbageOrForeign) {
  // The same segment of another node of the cluster: its records are as good as ours.
  Identity another = TestIdentity();
  another.node = 4;
  ASSERT_TRUE(
      Storage::Init(disk_, another, {{0, 0, {{1, 2, 3}, {}, {}, {}, false}}, "founding"}).ok());
  Open();
  for (int i = 0; i < 60; ++i) Append(1, 1, std::string(600, 'm'), 0);
  Kill();
  const std::string foreign = FileBytes(Names("log-")[2]);
  for (int what = 0; what < 5; ++what) {
    SCOPED_TRACE(what);
    disk_ = sim::SimDisk({});
    Fill();
    if (what == 4) Put(names_[2], 0, foreign);
    if (what == 0) Shrink(names_[2], 0);
    if (what == 1) Garble(names_[2], 0, 4 * kBlock);
    if (what == 2) Put(names_[2], 0, FileBytes(names_[1]));
    if (what == 3) Shrink(names_[2], 100);
    ExpectAHole();
  }
}

TEST_F(SegmentFileTest, OneInTheMiddleIsTooShort) {
  Fill();
  Shrink(names_[2], kBlock + 100);
  Open();
  ASSERT_TRUE(recovered_.damage);
  EXPECT_TRUE(Saw(Kind::kUnreadable));
  for (const raft::DamagedEntry& bad : recovered_.damage->bad) EXPECT_EQ(bad.term, 1u);
}

// A header of 160 bytes may claim a gigabyte; what a file does not have is not kept in memory.
TEST_F(SegmentFileTest, NoMoreIsReadThanAFileHas) {
  SegmentHeader header;
  header.owner = TestIdentity();
  header.segment = 77;
  header.block_bytes = 512;
  header.segment_bytes = kMaxSegmentBytes;
  ASSERT_TRUE(disk_.Create(SegmentName(77)).ok());
  Put(SegmentName(77), 0, EncodeSegmentHeader(header));
  absl::StatusOr<LoadedSegment> loaded = LoadSegment(disk_, 77);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->bytes.size(), 1024u);
  EXPECT_EQ(loaded->size, kMaxSegmentBytes);
  ASSERT_EQ(loaded->unreadable.size(), 1u);
  EXPECT_EQ(loaded->unreadable[0].offset, 1024u);
  EXPECT_EQ(loaded->unreadable[0].bytes, kMaxSegmentBytes - 1024);
  // It is garbage to its end, and not "never written".
  SegmentReader reader(loaded->bytes, loaded->header, loaded->size);
  ASSERT_EQ(reader.Next(), SegmentReader::Step::kGap);
  EXPECT_TRUE(reader.to_end());
  EXPECT_FALSE(reader.blank());
  EXPECT_EQ(reader.dirty_bytes(), kMaxSegmentBytes - 1024);
}

// The start of a short file is all of it, and is not read again.
TEST_F(SegmentFileTest, ALongOneIsReadToItsEnd) {
  for (const auto& [size, block_bytes, whole] : std::vector<std::tuple<uint64_t, uint32_t, bool>>{
           {10'000, 512, true},
           {kUsualHeaderReach, 4'096, true},
           {kUsualHeaderReach + 1, 4'096, false},
           {100'000, 512, false},
           {100'000, 8'192, true},
           {kSegmentHeaderReach, 65'536, true},
           {kSegmentHeaderReach + 1, 65'536, false},
           {1'000'000, 4'096, false},
           {1'000'000, 65'536, false},
       }) {
    SegmentHeader header;
    header.owner = TestIdentity();
    header.segment = 77;
    header.block_bytes = block_bytes;
    header.segment_bytes = size;
    const std::string name = SegmentName(77);
    ASSERT_TRUE(disk_.Create(name).ok());
    std::string bytes = EncodeSegmentHeader(header);
    while (bytes.size() < size) bytes.push_back(static_cast<char>(bytes.size() * 7 / 5));
    Put(name, 0, bytes);
    absl::StatusOr<LoadedSegment> start = LoadSegmentStart(disk_, 77);
    ASSERT_TRUE(start.ok()) << start.status();
    EXPECT_EQ(start->whole, whole) << size << " " << block_bytes;
    EXPECT_FALSE(start->bad_header[0] || start->bad_header[1]);
    EXPECT_GE(start->bytes.size(), std::min(size, header.first_batch() + kNoteBytes));
    EXPECT_TRUE(start->unreadable.empty());
    for (const uint64_t limit : {uint64_t{9'000}, size, UINT64_MAX}) {
      absl::StatusOr<LoadedSegment> loaded = LoadRest(disk_, *start, limit);
      ASSERT_TRUE(loaded.ok()) << loaded.status();
      EXPECT_EQ(loaded->size, std::min(limit, size));
      EXPECT_TRUE(absl::string_view(loaded->bytes) == bytes.substr(0, loaded->size))
          << size << " " << limit;
      EXPECT_TRUE(loaded->unreadable.empty());
    }
    ASSERT_TRUE(disk_.Remove(name).ok());
  }
}

// Lost together: the last batch of a segment, and all that is behind the next header, the note
// about it included. The new segment seals the log in between, and knows no more of that batch.
TEST_F(SegmentFileTest, ABatchIsLostAndTheNoteAboutIt) {
  Start(2);
  const auto add = [this](raft::Term term) {
    Append(term, 1, std::string(600, 'm'), storage_->last_index());
  };
  while (Names("log-").size() < 3) add(1);
  while (Names("log-").size() < 6) add(2);
  const raft::Index last = storage_->last_index();
  Kill();
  names_ = Names("log-");

  const std::string bytes = FileBytes(names_[1]);
  const absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(bytes, 2);
  const absl::StatusOr<SegmentHeader> next = DecodeSegmentHeader(FileBytes(names_[2]), 3);
  const absl::StatusOr<SegmentHeader> behind = DecodeSegmentHeader(FileBytes(names_[4]), 5);
  ASSERT_TRUE(header.ok() && next.ok() && behind.ok());
  SegmentReader reader(bytes, *header, next->previous_end);
  uint64_t begin = 0;
  while (reader.Next() == SegmentReader::Step::kBatch) begin = reader.begin();
  Garble(names_[1], begin, next->previous_end - begin);
  Garble(names_[2], next->first_batch(), FileBytes(names_[2]).size() - next->first_batch());
  ASSERT_TRUE(disk_.Remove(names_[3]).ok());

  Open();
  ASSERT_TRUE(recovered_.damage);
  const raft::Index first_bad = recovered_.damage->bad.front().index;
  EXPECT_EQ(first_bad, next->base_index);
  EXPECT_EQ(recovered_.damage->bad.back().index, behind->base_index);
  raft::Entries entries = Entries(1, first_bad, 2);
  for (const raft::Entry& entry : Entries(2, first_bad + 2, recovered_.damage->bad.size() - 2)) {
    entries.push_back(entry);
  }
  for (const raft::Entry& entry : recovered_.damage->intact) entries.push_back(entry);
  Settle(entries);
  for (int i = 0; i < 2; ++i) {
    Crash();
    Open();
    EXPECT_EQ(Holes(), "-");
    EXPECT_EQ(Suspected(), "-");
    EXPECT_EQ(recovered_.entries.size(), last);
  }
}

// A segment whose first write was too large for it holds nothing but the note about the batch in
// front. The next one begins with that note, too, and with a batch that replaces some of what is
// there. Both batches are lost, and the second note: the repaired log still knows that entry 7 is
// in front of both.
TEST_F(SegmentFileTest, ANoteIsKnownFromTheSegmentInFront) {
  Start(3);
  AppendEach(1, 7);
  Append(2, 1);
  Kill();
  Open();
  ASSERT_TRUE(Write(7, 3, 3, std::string(options_.segment_bytes / 3, 'm')).ok());
  Append(3, 1);
  Kill();
  names_ = Names("log-");
  ASSERT_EQ(names_.size(), 5u);
  Garble(names_[1], Batch(8));
  Garble(names_[3], Batch(1), FileBytes(names_[3]).size() - Batch(1));

  Open();
  EXPECT_EQ(Holes(), "8@3 9@3 10@3");
  EXPECT_EQ(Behind(), "11@3");
  Settle(Entries(3, 8, 4));
  for (int i = 0; i < 2; ++i) {
    Crash();
    Open();
    EXPECT_EQ(Holes(), "-");
    EXPECT_EQ(Log(), "1@1 2@1 3@1 4@1 5@1 6@1 7@1 8@3 9@3 10@3 11@3");
  }
}

TEST_F(SegmentFileTest, WhatCannotBeReadIsReadAround) {
  std::string bytes(20'000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 / 5);
  ASSERT_TRUE(disk_.Create("a").ok());
  Put("a", 0, bytes);
  const std::unique_ptr<File> file = *disk_.Open("a", Disk::Mode::kRead);
  const auto read = [&file](uint64_t offset, size_t length) {
    std::vector<LoadedSegment::Range> unreadable;
    const absl::StatusOr<Bytes> got = ReadAround(*file, offset, length, &unreadable);
    EXPECT_TRUE(got.ok()) << got.status();
    std::string text{absl::string_view(*got)};
    for (const LoadedSegment::Range& range : unreadable) {
      absl::StrAppend(&text, " without ", range.offset, "+", range.bytes);
    }
    return text;
  };
  EXPECT_EQ(read(300, 1'000), bytes.substr(300, 1'000));
  // Behind the end.
  EXPECT_EQ(read(19'990, 20),
            absl::StrCat(bytes.substr(19'990), std::string(10, kNotRead), " without 20000+10"));
  EXPECT_EQ(read(30'000, 3), absl::StrCat(std::string(3, kNotRead), " without 30000+3"));
  // Sectors in the middle, and all of them.
  ASSERT_TRUE(disk_.Inject(sim::ReadError{{"a", 5'000, 600}}));
  EXPECT_EQ(read(0, 20'100),
            absl::StrCat(bytes.substr(0, 4'608), std::string(1'024, kNotRead), bytes.substr(5'632),
                         std::string(100, kNotRead), " without 4608+1024 without 20000+100"));
  EXPECT_EQ(read(4'700, 100), absl::StrCat(std::string(100, kNotRead), " without 4700+100"));
}

// What could not be read of a start is tried once more: devices change their minds.
TEST_F(SegmentFileTest, AStartThatCouldNotBeReadIsNotTheWholeFile) {
  SegmentHeader header;
  header.owner = TestIdentity();
  header.segment = 77;
  header.block_bytes = 512;
  header.segment_bytes = 10'000;
  const std::string name = SegmentName(77);
  ASSERT_TRUE(disk_.Create(name).ok());
  std::string bytes = EncodeSegmentHeader(header);
  bytes.resize(10'000, 'x');
  Put(name, 0, bytes);
  ASSERT_TRUE(disk_.Inject(sim::ReadError{{name, 5'000, 1}}));
  absl::StatusOr<LoadedSegment> start = LoadSegmentStart(disk_, 77);
  ASSERT_TRUE(start.ok()) << start.status();
  EXPECT_EQ(start->bytes.size(), 10'000u);
  EXPECT_EQ(start->unreadable.size(), 1u);
  EXPECT_FALSE(start->whole);
  Put(name, 0, bytes);
  absl::StatusOr<LoadedSegment> loaded = LoadRest(disk_, *std::move(start), UINT64_MAX);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE(loaded->unreadable.empty());
  EXPECT_TRUE(absl::string_view(loaded->bytes) == bytes);
}

// The segment after the last one would have a name that nobody reads.
TEST_F(DamageTest, AStrayFileWithTheLastNameOfAllIsNamed) {
  Start();
  Kill();
  const std::string name = SegmentName(kMaxNumber);
  ASSERT_TRUE(disk_.Create(name).ok());
  const absl::Status status = TryOpen();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(status.message(), HasSubstr("simulated disk/" + name + ": "));
  ASSERT_TRUE(disk_.Remove(name).ok());
  // And one above is no name of ours.
  ASSERT_TRUE(disk_.Create("log-ffffffffffffffff").ok());
  EXPECT_TRUE(TryOpen().ok());
}

TEST_F(SegmentFileTest, TheNewestIsMissing) {
  Fill();
  ASSERT_TRUE(disk_.Remove(names_.back()).ok());
  ExpectALostEnd();
}

TEST_F(SegmentFileTest, TheNewestIsEmpty) {
  Fill();
  Shrink(names_.back(), 0);
  ExpectALostEnd();
}

TEST_F(SegmentFileTest, TheNewestIsTooShort) {
  Fill();
  Shrink(names_.back(), 5 * kBlock);
  ExpectALostEnd();
}

TEST_F(SegmentFileTest, AllAreMissing) {
  Fill();
  for (const std::string& name : names_) ASSERT_TRUE(disk_.Remove(name).ok());
  ExpectALostEnd();
}

TEST_F(SegmentFileTest, ExtraBytesAreNoDamage) {
  Fill();
  for (const std::string& name : names_) Garble(name, FileBytes(name).size(), 3000);
  Open();
  EXPECT_EQ(recovered_.entries.size(), 60u);
  EXPECT_EQ(Holes(), "-");
  EXPECT_EQ(Suspected(), "-");
}

TEST_F(SegmentFileTest, AnyCopyOfTheHeaderWillDo) {
  for (const uint64_t copy : {uint64_t{0}, uint64_t{1}}) {
    for (const bool unreadable : {false, true}) {
      disk_ = sim::SimDisk({});
      bad_disk_.Heal();
      Fill();
      for (const std::string& name : names_) {
        if (unreadable) {
          bad_disk_.Spoil(name, copy * kBlock, kBlock);
        } else if (name != names_[0]) {
          Garble(name, copy * kBlock);
        }
      }
      Open();
      EXPECT_EQ(recovered_.entries.size(), 60u);
      EXPECT_EQ(Holes(), "-");
      EXPECT_EQ(Suspected(), "-");
      EXPECT_TRUE(Saw(Kind::kDamagePassed));
    }
  }
}

TEST_F(SegmentFileTest, RotAtTheEndOfASealedSegmentIsNamedByTheNext) {
  Start(2);
  AppendEach(2, 3);
  Kill();
  Open();
  Kill();
  Open();  // two empty segments, then one more entry
  Append(2, 1);
  Kill();
  Garble(Names("log-")[1], Batch(3));
  Open();
  EXPECT_EQ(Log(), "1@2 2@2");
  EXPECT_EQ(Holes(), "3@2");
  EXPECT_EQ(Behind(), "4@2");
}

TEST_F(SegmentFileTest, AStaleBlockFailsAlthoughItIsIntact) {
  Start();
  Append(1, 1, "one");
  Append(1, 1, "two");
  Append(1, 1, "six");
  Kill();
  const std::string segment = NewestSegment();
  const std::string bytes = FileBytes(segment);
  // The device wrote batch 3 where batch 2 belongs.
  Put(segment, Batch(2), absl::string_view(bytes).substr(Batch(3), kBlock));
  Open();
  EXPECT_EQ(Log(), "1@1");
  EXPECT_EQ(Holes(), "2@1");
}

// One unreadable sector does not hide the rest, and is not asked for again and again.
TEST_F(SegmentFileTest, ReadsGoAroundABadSector) {
  options_.segment_bytes = 8u << 20;
  Start();
  for (int i = 0; i < 40; ++i) Append(1, 1, std::string(100'000, 'b'));
  Kill();
  bad_disk_.Spoil(NewestSegment(), 1'000'448, kBlock);
  Open();
  EXPECT_EQ(recovered_.entries.size() + recovered_.damage->intact.size(), 39u);
  EXPECT_LT(bad_disk_.failed_reads(), 20u);
}

// --- Any faults at all --------------------------------------------------------------------------

// A log as Raft makes it (terms rise, what is committed is never cut), then some bad blocks. What
// is read must be what was last written; what is not read must be named or promised; and with the
// bad entries from elsewhere the log is what it was.
class ManyFaultsTest : public DamageTest {
 protected:
  void Write(Random& random) {
    raft::Index keep = log_.empty() ? 0 : log_.back().index;
    if (random.Chance(1, 4)) ++term_;
    if (random.Chance(1, 5) && keep > commit_) keep = random.Between(commit_, keep);
    if (keep < log_.size() && log_.back().term == term_) ++term_;
    ASSERT_TRUE(Vote(term_, 0).ok());
    log_.resize(keep);
    raft::PersistJob job;
    job.writes_log = true;
    job.keep_through = keep;
    const uint64_t count = random.Between(1, 4);
    for (uint64_t i = 1; i <= count; ++i) {
      const size_t bytes = random.Chance(1, 4) ? random.Below(2500) : random.Below(80);
      log_.push_back(MakeEntry(term_, keep + i, std::string(bytes, 'z')));
      written_[{keep + i, term_}] = log_.back();
    }
    job.entries.assign(log_.begin() + static_cast<ptrdiff_t>(keep), log_.end());
    if (random.Chance(1, 3)) commit_ = random.Between(commit_, log_.size());
    job.commit = commit_;
    ASSERT_TRUE(storage_->Persist(job).ok());
  }
  // Never zeros: those may be taken for what was never written.
  void Fault(Random& random) {
    const std::vector<std::string> names = Names("log-");
    const std::string name = names[random.Between(1, names.size() - 1)];
    const uint64_t size = std::min<uint64_t>(FileBytes(name).size(), 20 * kBlock);
    const uint64_t block = random.Below(size / kBlock) * kBlock;
    const uint64_t blocks = random.Between(1, 3) * kBlock;
    if (random.Chance(1, 3)) {
      Flip(name, block + random.Below(kBlock));
    } else if (random.Chance(1, 2)) {
      Garble(name, block, std::min(blocks, FileBytes(name).size() - block));
    } else {
      bad_disk_.Spoil(name, block, blocks);
    }
  }
  // With a promise that goes beyond all that is known, the lost end of the log may have cut away
  // and replaced some of what is read: then it is a log of an earlier time.
  void ExpectTheTruth() {
    std::optional<raft::Suspicion> promise = recovered_.suspicion;
    raft::Entries read = recovered_.entries;
    std::vector<raft::DamagedEntry> known;
    if (recovered_.damage) {
      promise = recovered_.damage->last;
      known = recovered_.damage->bad;
      read.insert(read.end(), recovered_.damage->intact.begin(), recovered_.damage->intact.end());
    }
    for (const raft::Entry& entry : read) known.push_back({entry.index, entry.term});
    raft::DamagedEntry last;
    for (const raft::DamagedEntry& id : known) last = id.index > last.index ? id : last;
    beyond_ = promise && !raft::UpToDate(last.index, last.term, *promise);
    for (const raft::Entry& entry : read) {
      const std::pair id(entry.index, entry.term);
      EXPECT_EQ(entry, written_[id]);
    }
    for (const raft::DamagedEntry& id : known) {
      if (id.term == 0 || beyond_) continue;
      ASSERT_LE(id.index, log_.size());
      EXPECT_EQ(id.term, log_[id.index - 1].term) << "of entry " << id.index;
    }
    if (last.index == log_.size() && last.term == log_.back().term) return;
    ASSERT_TRUE(promise);
    EXPECT_TRUE(raft::UpToDate(promise->index, promise->term, {log_.size(), log_.back().term, {}}))
        << Text(promise) << " for " << log_.size() << "@" << log_.back().term;
    EXPECT_GE(promise->index, log_.size()) << "a snapshot would end it too early";
    EXPECT_NE(promise->evidence, Evidence::kBlank);
  }
  void Repair() {
    if (!recovered_.damage) return;
    raft::Entries entries;
    if (!beyond_) {
      ++repaired_;
      entries.assign(log_.begin() + static_cast<ptrdiff_t>(recovered_.entries.size()), log_.end());
    }
    const std::optional<raft::Suspicion> last =
        beyond_ ? std::optional(recovered_.damage->last) : std::nullopt;
    const raft::Entries front = recovered_.entries;
    Settle(entries, last);
    Crash();
    bad_disk_.Heal();
    Open();
    EXPECT_EQ(recovered_.entries, beyond_ ? front : log_);
    EXPECT_EQ(Suspected(), Text(last));
  }

  raft::Entries log_;
  std::map<std::pair<raft::Index, raft::Term>, raft::Entry> written_;
  bool beyond_ = false;
  raft::Term term_ = 1;
  raft::Index commit_ = 0;
  int repaired_ = 0;
};

TEST_F(ManyFaultsTest, NeverMakeItLie) {
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    disk_ = sim::SimDisk({});
    bad_disk_.Heal();
    log_.clear();
    written_.clear();
    term_ = 1;
    commit_ = 0;
    Init();
    Open();
    const uint64_t writes = random.Between(3, 25);
    for (uint64_t i = 0; i < writes; ++i) {
      Write(random);
      if (!random.Chance(1, 10)) continue;
      Kill();
      Open();
    }
    const bool marks = random.Chance(2, 3);
    if (!marks) LoseMarks();
    Kill();
    const uint64_t faults = random.Between(1, 3);
    for (uint64_t i = 0; i < faults; ++i) Fault(random);
    Open();
    ExpectTheTruth();
    Repair();
    if (HasFailure()) return;
  }
  EXPECT_GT(repaired_, 500);
}

// --- Snapshots ----------------------------------------------------------------------------------

class SnapshotDamageTest : public DamageTest {
 protected:
  // Entries 1 to 5, and a snapshot of 3 whose file is lost.
  void LoseSnapshot(int how) {
    Start();
    Append(1, 5, "x", 5);
    TakeSnapshot(3, 1, std::string(1000, 's'));
    Kill();
    const std::string name = Names("snapshot-").back();
    if (how == 0) {
      ASSERT_TRUE(disk_.Remove(name).ok());
    }
    if (how == 1) Flip(name, 50);
    if (how == 2) Flip(name, FileBytes(name).size() - 1);
    if (how == 3) Shrink(name, 100);
    Open();
  }
  absl::Status Restore(raft::Index index, raft::Term term, absl::string_view bytes) {
    const SnapshotInfo info = WriteSnapshot(SnapshotSource::kReceived, index, term, bytes);
    return storage_->RestoreSnapshot(info.meta);
  }
};

TEST_F(SnapshotDamageTest, ALostFileIsFetchedAgain) {
  for (int how = 0; how < 4; ++how) {
    SCOPED_TRACE(how);
    disk_ = sim::SimDisk({});
    LoseSnapshot(how);
    EXPECT_TRUE(recovered_.snapshot_damaged);
    EXPECT_EQ(recovered_.snapshot.meta.index, 3u);
    EXPECT_EQ(recovered_.snapshot.size, 1000u);
    EXPECT_EQ(Log(), "4@1 5@1");
    EXPECT_TRUE(Saw(Kind::kSnapshotLost));
    EXPECT_TRUE(absl::IsDataLoss(storage_->ReadSnapshot(3, 0, 10).status()));
    const absl::Status status = Restore(3, 1, std::string(1000, 's'));
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(SnapshotBytes(3), std::string(1000, 's'));
    Append(1, 1);
    Crash();
    Open();
    EXPECT_FALSE(recovered_.snapshot_damaged);
    EXPECT_EQ(SnapshotBytes(3), std::string(1000, 's'));
    EXPECT_EQ(Log(), "4@1 5@1 6@1");
  }
}

// The header is parsed before its checksum is compared: whatever stands there, it is only damage.
TEST_F(SnapshotDamageTest, AnyFieldOfTheHeaderMayBeHuge) {
  Start();
  Append(1, 5, "x", 5);
  TakeSnapshot(3, 1, "state");
  const std::string name = Names("snapshot-").back();
  const std::string header = FileBytes(name).substr(0, 256);
  const uint64_t body = Reader(absl::string_view(header).substr(16, 4)).U32();
  ASSERT_LT(24 + body + 8, header.size());
  Kill();
  for (uint64_t offset = 0; offset + 4 <= header.size(); offset += 4) {
    SCOPED_TRACE(offset);
    Put(name, offset, std::string(4, '\xff'));
    Open();
    // Behind the checksum there is nothing that counts.
    const bool counts = offset < 24 + body + 8;
    EXPECT_EQ(recovered_.snapshot_damaged, counts);
    Kill();
    Put(name, 0, header);
  }
}

TEST_F(SnapshotDamageTest, AFileThatIsCutWhileItIsOpen) {
  Start();
  Append(1, 5, "x", 5);
  TakeSnapshot(3, 1, std::string(1'000, 's'));
  const std::string name = Names("snapshot-").back();
  const absl::StatusOr<SnapshotFile> file = SnapshotFile::Open(disk_, name, TestIdentity().cluster);
  ASSERT_TRUE(file.ok()) << file.status();
  for (const uint64_t left : {uint64_t{5}, uint64_t{0}}) {
    Shrink(name, file->ChunkOffset(0) + left);
    const absl::Status read = file->ReadChunk(0).status();
    EXPECT_TRUE(absl::IsDataLoss(read)) << read;
    EXPECT_THAT(read.message(),
                HasSubstr(absl::StrCat("file ends at ", file->ChunkOffset(0) + left)));
  }
}

TEST_F(SnapshotDamageTest, AnIntactChunkInAnotherPlaceIsNotRead) {
  Start();
  Append(1, 5, "x", 5);
  TakeSnapshot(3, 1, std::string(256, 'a') + std::string(256, 'b'));
  const std::string name = Names("snapshot-").back();
  constexpr uint64_t kFirst = 4096;
  constexpr uint64_t kChunk = 32 + 256;
  Put(name, kFirst, FileBytes(name).substr(kFirst + kChunk, kChunk));
  EXPECT_TRUE(absl::IsDataLoss(storage_->ReadSnapshot(3, 0, 10).status()));
  EXPECT_EQ(*storage_->ReadSnapshot(3, 256, 10), std::string(10, 'b'));
}

// It comes from any peer, and not with the term of a leader.
TEST_F(SnapshotDamageTest, ASnapshotOfALaterTermBringsThatTerm) {
  LoseSnapshot(0);
  const raft::Term later = storage_->hard_state().term + 3;
  ASSERT_TRUE(Restore(9, later, "nine").ok());
  EXPECT_EQ(storage_->hard_state(), (raft::HardState{later, raft::kNoNode}));
  Crash();
  Open();
  EXPECT_EQ(recovered_.hard_state, (raft::HardState{later, raft::kNoNode}));
  EXPECT_EQ(recovered_.snapshot.meta.index, 9u);
}

TEST_F(SnapshotDamageTest, OtherBytesOfTheSameIndexAreRefused) {
  LoseSnapshot(0);
  const raft::SnapshotMeta meta{3, 1, {{1, 2, 3}, {}, {4}, {}, false}};
  ASSERT_TRUE(storage_->BeginSnapshot(SnapshotSource::kReceived, meta).ok());
  ASSERT_TRUE(storage_->AppendSnapshot(SnapshotSource::kReceived, 0, "lies").ok());
  EXPECT_TRUE(absl::IsDataLoss(storage_->FinishSnapshot(SnapshotSource::kReceived).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(storage_->RestoreSnapshot(meta)));
}

TEST_F(SnapshotDamageTest, ABadChunkIsFoundByReadingAndRestored) {
  Start();
  Append(1, 5, "x", 5);
  TakeSnapshot(3, 1, std::string(1000, 's'));
  const raft::SnapshotMeta meta = storage_->current_snapshot().meta;
  EXPECT_TRUE(absl::IsFailedPrecondition(storage_->BeginSnapshot(SnapshotSource::kReceived, meta)));
  Flip(Names("snapshot-").back(), kSnapshotHeaderBytes + 32 + 300);
  EXPECT_TRUE(absl::IsDataLoss(storage_->ReadSnapshot(3, 300, 100).status()));
  EXPECT_TRUE(storage_->ReadSnapshot(3, 0, 100).ok()) << "the other chunks are still of use";
  EXPECT_TRUE(storage_->health().ok());
  const absl::Status status = Restore(3, 1, std::string(1000, 's'));
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(SnapshotBytes(3), std::string(1000, 's'));
}

TEST_F(SnapshotDamageTest, ANewerOneKeepsTheLogThatGoesOnBehindIt) {
  LoseSnapshot(0);
  ASSERT_TRUE(Restore(4, 1, "four").ok());
  EXPECT_EQ(storage_->last_index(), 5u);
  Append(1, 1);
  Crash();
  Open();
  EXPECT_EQ(recovered_.snapshot.meta.index, 4u);
  EXPECT_EQ(Log(), "5@1 6@1");
}

TEST_F(SnapshotDamageTest, ANewerOneReplacesALogThatDoesNotGoOnBehindIt) {
  for (const raft::Index index : {raft::Index{4}, raft::Index{9}}) {
    disk_ = sim::SimDisk({});
    LoseSnapshot(0);
    ASSERT_TRUE(Restore(index, 2, "other").ok());
    EXPECT_EQ(storage_->last_index(), index);
    Append(2, 1);
    Crash();
    Open();
    EXPECT_EQ(recovered_.snapshot.meta.index, index);
    EXPECT_EQ(Log(), absl::StrCat(index + 1, "@2"));
    EXPECT_EQ(Suspected(), "-");
  }
}

TEST_F(SnapshotDamageTest, ASnapshotCoversAHole) {
  Start();
  AppendEach(1, 5);
  Kill();
  Garble(NewestSegment(), Batch(2));
  Open();
  ASSERT_EQ(Holes(), "2@1");
  raft::Entries behind = recovered_.damage->intact;
  ASSERT_TRUE(Restore(3, 1, "three").ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Write(3, 1, 1))) << "not settled yet";
  behind.erase(behind.begin());
  Settle(behind);
  EXPECT_EQ(storage_->last_index(), 5u);
  Append(1, 1);
  Crash();
  Open();
  EXPECT_EQ(recovered_.snapshot.meta.index, 3u);
  EXPECT_EQ(Log(), "4@1 5@1 6@1");
  EXPECT_EQ(Holes(), "-");
}

TEST_F(SnapshotDamageTest, ASnapshotThatDoesNotMeetTheLogEndsTheDamageAndKeepsThePromise) {
  Start(4);
  AppendEach(3, 5);
  Kill();
  Garble(NewestSegment(), Batch(2));
  Open();
  ASSERT_EQ(Holes(), "2@3");
  ASSERT_TRUE(Restore(4, 2, "of another branch").ok());
  EXPECT_EQ(Text(storage_->suspicion()), "5@3 proven");
  EXPECT_TRUE(absl::IsFailedPrecondition(storage_->Settle({}, {})));
  Append(2, 1);
  Crash();
  Open();
  EXPECT_EQ(recovered_.snapshot.meta.index, 4u);
  EXPECT_EQ(Log(), "5@2");
  EXPECT_EQ(Suspected(), "5@3 proven");
}

// The file of an earlier term has come back, and the log is gone. What is promised must not be less
// than the snapshot, or the next start would take it for made up.
TEST_F(SnapshotDamageTest, AnOldVoteDoesNotShortenAPromise) {
  Start();
  const std::string old_vote = FileBytes("vote");
  ASSERT_TRUE(Vote(4, 1).ok());
  AppendEach(4, 3);
  ASSERT_TRUE(Write(3, 4, 1, "x", 4).ok());
  TakeSnapshot(2, 4, "two");
  Kill();
  Put("vote", 0, old_vote);
  const std::vector<std::string> segments = Names("log-");
  for (const std::string& name : segments) ASSERT_TRUE(disk_.Remove(name).ok());
  Open();
  ASSERT_TRUE(recovered_.suspicion.has_value());
  EXPECT_EQ(recovered_.suspicion->term, 4u);
  const std::optional<raft::Suspicion> promised = recovered_.suspicion;
  Crash();
  Open();
  EXPECT_EQ(recovered_.suspicion, promised);
}

TEST_F(SnapshotDamageTest, ALogThatEndsBeforeTheSnapshotBeginsBehindIt) {
  Start();
  AppendEach(1, 3);
  ASSERT_TRUE(Write(3, 1, 1, "x", 4).ok());
  TakeSnapshot(4, 1, "four");
  Kill();
  Garble(NewestSegment(), Batch(2), 5 * kBlock);
  Open();
  EXPECT_EQ(Log(), "");
  EXPECT_EQ(storage_->last_index(), 4u);
  Append(1, 2);
  Crash();
  Open();
  EXPECT_EQ(Log(), "5@1 6@1");
}

}  // namespace
}  // namespace raftkv::storage
