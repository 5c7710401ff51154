#include "storage/log_format.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "storage/checksum.h"
#include "storage/encoding.h"
#include "storage/log_replay.h"
#include "tests/storage/recovery_model.h"

namespace raftkv::storage {
namespace {

using Step = SegmentReader::Step;

SegmentHeader TestHeader() {
  SegmentHeader header;
  header.owner = TestIdentity();
  header.owner.created_ms = 0;
  header.segment = 5;
  header.first_sequence = 10;
  header.base_index = 20;
  header.previous_segment = 4;
  header.previous_end = 1024;
  header.base_term = 2;
  header.block_bytes = 512;
  header.segment_bytes = 8192;
  header.commit = 6;
  header.suspicion = raft::Suspicion{24, 4, raft::Suspicion::Evidence::kSpoilt};
  return header;
}

constexpr uint64_t kFirst = 1024;                                         // where the batches begin
constexpr size_t kContent = kBatchHeadBytes + 2 * kEntryHeaderBytes + 3;  // of the first batch

// A segment with two batches of two entries, a foot, then zeros.
std::string TestSegment() {
  const SegmentHeader header = TestHeader();
  std::string bytes = EncodeSegmentHeader(header);
  const raft::Entries entries = {MakeEntry(3, 21, "abc"), MakeEntry(3, 22, ""),
                                 MakeEntry(4, 22, "xyz"), MakeEntry(4, 23, "end")};
  BatchHeader batch{10, 9, 20, 2, 7, 0, 0};
  AppendBatch(bytes, header.seed(), bytes.size(), 512, {9, 18, {{2, 2}}}, batch, &entries[0],
              &entries[2]);
  const Note first = NoteOf(batch, &entries[0], &entries[2]);
  batch = {11, 10, 21, 3, 8, 0, 0};
  AppendBatch(bytes, header.seed(), bytes.size(), 512, first, batch, &entries[2], &entries[2] + 2);
  AppendFoot(bytes, header.seed(), bytes.size(), 512, NoteOf(batch, &entries[2], &entries[2] + 2));
  bytes.resize(8192, '\0');
  return bytes;
}

TEST(LogFormatTest, ASegmentReadsBack) {
  const std::string bytes = TestSegment();
  absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(bytes, 5);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->owner, TestHeader().owner);
  EXPECT_EQ(header->first_sequence, 10u);
  EXPECT_EQ(header->previous_segment, 4u);
  EXPECT_EQ(header->previous_end, 1024u);
  EXPECT_EQ(header->base_index, 20u);
  EXPECT_EQ(header->base_term, 2u);
  EXPECT_EQ(header->commit, 6u);
  EXPECT_EQ(header->suspicion, TestHeader().suspicion);
  SegmentReader reader(bytes, *header, bytes.size());
  ASSERT_EQ(reader.Next(), Step::kBatch);
  EXPECT_FALSE(reader.hurt());
  EXPECT_EQ(reader.batch().sequence, 10u);
  EXPECT_EQ(reader.batch().commit, 7u);
  ASSERT_EQ(reader.entries().size(), 2u);
  EXPECT_EQ(reader.entries()[0].payload, "abc");
  EXPECT_EQ(reader.entries()[1].index, 22u);
  EXPECT_EQ(reader.offset(), kFirst + 512);
  ASSERT_EQ(reader.Next(), Step::kBatch);
  EXPECT_EQ(reader.batch().keep_through, 21u);
  EXPECT_EQ(reader.batch().keep_term, 3u);
  EXPECT_EQ(reader.batch().durable_sequence, 10u);
  EXPECT_EQ(reader.entries()[1].term, 4u);
  EXPECT_EQ(reader.note(), (Note{11, 21, {{4, 2}}}));
  EXPECT_EQ(reader.Next(), Step::kEnd);
  EXPECT_TRUE(reader.has_foot());
  EXPECT_EQ(reader.offset(), kFirst + 1024);
  EXPECT_EQ(reader.Next(), Step::kEnd) << "the end stays the end";
}

TEST(LogFormatTest, BatchesBeginOnBlocksOfTheirOwn) {
  for (uint32_t block : {512u, 4096u}) {
    std::string bytes;
    const raft::Entry entry = MakeEntry(1, 1, std::string(600, 'x'));
    AppendBatch(bytes, 1, 0, block, {}, {}, &entry, &entry + 1);
    EXPECT_EQ(bytes.size() % block, 0u);
    EXPECT_EQ(bytes.size(), RoundUp(kBatchHeadBytes + EncodedEntryBytes(entry), block));
  }
}

TEST(LogFormatTest, EveryFlippedBitOfARecordIsNoticed) {
  const std::string good = TestSegment();
  for (size_t byte = kFirst; byte < kFirst + kContent; ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = good;
      bytes[byte] = static_cast<char>(bytes[byte] ^ (1 << bit));
      SegmentReader reader(bytes, TestHeader(), bytes.size());
      ASSERT_EQ(reader.Next(), Step::kBatch) << "which batch it was is known in any case";
      ASSERT_EQ(reader.entries().size(), 2u);
      const size_t place = byte - kFirst;
      // Padding between "abc" and the next header is not part of any record.
      const size_t padding = kBatchHeadBytes + kEntryHeaderBytes + 3;
      EXPECT_EQ(reader.note_lost(), place < kNoteBytes);
      EXPECT_EQ(reader.head_lost(), place >= kNoteBytes && place < kBatchHeadBytes);
      EXPECT_EQ(reader.entries()[0].intact, place < kBatchHeadBytes || place >= padding);
      EXPECT_EQ(reader.entries()[1].intact, place < padding + 5);
      EXPECT_EQ(reader.hurt(), place >= kNoteBytes && (place < padding || place >= padding + 5));
      EXPECT_FALSE(reader.blank());
      EXPECT_EQ(reader.note(), (Note{10, 20, {{3, 2}}}));
      EXPECT_EQ(reader.Next(), Step::kBatch);
      EXPECT_FALSE(reader.hurt());
    }
  }
}

TEST(LogFormatTest, ALostNoteIsNoNewsWhereTheHeaderIsLostToo) {
  std::string bytes = TestSegment();
  bytes[kFirst + 30] ^= 1;
  bytes[kFirst + kNoteBytes + 20] ^= 1;
  SegmentReader reader(bytes, TestHeader(), bytes.size());
  ASSERT_EQ(reader.Next(), Step::kBatch);
  EXPECT_TRUE(reader.head_lost());
  EXPECT_FALSE(reader.note_lost());
}

TEST(LogFormatTest, TermAndIndexSurviveABadPayload) {
  std::string bytes = TestSegment();
  bytes[kFirst + kBatchHeadBytes + kEntryHeaderBytes] = 'Z';
  SegmentReader reader(bytes, TestHeader(), bytes.size());
  ASSERT_EQ(reader.Next(), Step::kBatch);
  EXPECT_EQ(reader.problem().index, 21u);
  EXPECT_EQ(reader.problem().text, "payload of entry 21 of term 3: checksum mismatch");
  EXPECT_EQ(reader.problem().offset, kFirst + kBatchHeadBytes);
}

TEST(LogFormatTest, TheNextHeadNamesABatchThatIsLostWhole) {
  std::string bytes = TestSegment();
  bytes.replace(kFirst, 512, 512, '\x11');
  SegmentReader reader(bytes, TestHeader(), bytes.size());
  ASSERT_EQ(reader.Next(), Step::kBatch);
  EXPECT_TRUE(reader.head_lost());
  EXPECT_EQ(reader.note(), (Note{10, 20, {{3, 2}}}));
  EXPECT_FALSE(reader.entries()[0].intact || reader.entries()[1].intact);
  ASSERT_EQ(reader.Next(), Step::kBatch);
  EXPECT_FALSE(reader.hurt());
}

TEST(LogFormatTest, TheFootNamesTheLastBatch) {
  std::string bytes = TestSegment();
  bytes.replace(kFirst + 512, 512, 512, '\x11');
  SegmentReader reader(bytes, TestHeader(), bytes.size());
  ASSERT_EQ(reader.Next(), Step::kBatch);
  EXPECT_FALSE(reader.hurt());
  ASSERT_EQ(reader.Next(), Step::kBatch);
  EXPECT_EQ(reader.note(), (Note{11, 21, {{4, 2}}}));
  EXPECT_EQ(reader.Next(), Step::kEnd);
}

TEST(LogFormatTest, TheNextSegmentNamesTheLastBatchOfASealedOne) {
  std::string bytes = TestSegment();
  bytes.replace(kFirst + 512, 512, 512, '\x11');
  SegmentReader reader(bytes, TestHeader(), kFirst + 1024, Note{11, 21, {{4, 2}}});
  ASSERT_EQ(reader.Next(), Step::kBatch);
  ASSERT_EQ(reader.Next(), Step::kBatch);
  EXPECT_EQ(reader.note(), (Note{11, 21, {{4, 2}}}));
  EXPECT_EQ(reader.Next(), Step::kEnd);
}

TEST(LogFormatTest, BothBlocksOfABatchAndItsNameAreAGap) {
  std::string bytes = TestSegment();
  bytes.replace(kFirst, 1024, 1024, '\x11');
  SegmentReader reader(bytes, TestHeader(), bytes.size());
  ASSERT_EQ(reader.Next(), Step::kGap);
  EXPECT_EQ(reader.lost(), (Note{11, 21, {{4, 2}}}));
  EXPECT_FALSE(reader.to_end());
  EXPECT_EQ(reader.next_sequence(), 12u);
  EXPECT_EQ(reader.Next(), Step::kEnd);
}

// A segment without a batch, behind one of which nothing is known.
TEST(LogFormatTest, ANoteAboutNothingIsAFootAtTheBeginning) {
  const SegmentHeader header = TestHeader();
  for (const uint64_t batches : {uint64_t{0}, uint64_t{1}}) {
    std::string bytes = EncodeSegmentHeader(header);
    const raft::Entries entries = {MakeEntry(3, 21, "abc")};
    if (batches == 1) {
      AppendBatch(bytes, header.seed(), bytes.size(), 512, {0, 20, {}}, {10, 9, 20, 2, 7, 0, 0},
                  &entries[0], &entries[0] + 1);
    }
    AppendFoot(bytes, header.seed(), bytes.size(), 512, {0, 20, {}});
    bytes.resize(8192, '\0');
    SegmentReader reader(bytes, header, bytes.size());
    if (batches == 0) {
      EXPECT_EQ(reader.Next(), Step::kEnd);
      EXPECT_TRUE(reader.has_foot());
    } else {
      ASSERT_EQ(reader.Next(), Step::kBatch);
      EXPECT_FALSE(reader.hurt() || reader.note_lost());
      // Behind a batch it is none: that batch is known.
      EXPECT_EQ(reader.Next(), Step::kGap);
    }
  }
}

TEST(LogFormatTest, ABatchWithoutAFootIsTheEnd) {
  std::string bytes = TestSegment();
  bytes.replace(kFirst + 1024, 512, 512, '\0');
  SegmentReader reader(bytes, TestHeader(), bytes.size());
  ASSERT_EQ(reader.Next(), Step::kBatch);
  ASSERT_EQ(reader.Next(), Step::kBatch);
  EXPECT_FALSE(reader.hurt());
  EXPECT_EQ(reader.Next(), Step::kEnd);
  EXPECT_FALSE(reader.has_foot());
}

TEST(LogFormatTest, AnEntryIsFoundAgainBehindOneWhoseLengthIsLost) {
  const SegmentHeader header = TestHeader();
  std::string bytes = EncodeSegmentHeader(header);
  const raft::Entries entries = {MakeEntry(3, 21, std::string(900, 'a')), MakeEntry(3, 22, "b"),
                                 MakeEntry(3, 23, "c")};
  const BatchHeader batch{10, 9, 20, 2, 7, 0, 0};
  AppendBatch(bytes, header.seed(), bytes.size(), 512, {}, batch, entries.data(),
              entries.data() + 3);
  bytes[kFirst + kBatchHeadBytes + 16] ^= 1;  // the length of the first
  bytes.resize(8192, '\0');
  SegmentReader reader(bytes, header, bytes.size());
  ASSERT_EQ(reader.Next(), Step::kBatch);
  EXPECT_FALSE(reader.entries()[0].intact);
  EXPECT_EQ(reader.entries()[1].payload, "b");
  EXPECT_EQ(reader.entries()[2].payload, "c");
}

TEST(LogFormatTest, EveryTruncationIsSafe) {
  const std::string good = TestSegment();
  for (size_t length = 0; length <= 2600; ++length) {
    const absl::string_view bytes = absl::string_view(good).substr(0, length);
    EXPECT_EQ(DecodeSegmentHeader(bytes, 5).ok(), length >= kSegmentHeaderBytes);
    SegmentReader reader(bytes, TestHeader(), bytes.size());
    int batches = 0;
    while (reader.Next() == Step::kBatch) batches += reader.hurt() ? 0 : 1;
    EXPECT_EQ(batches, (length >= kFirst + kContent - 3 + 8 - 0) +
                           (length >= kFirst + 512 + kBatchHeadBytes + 2 * kEntryHeaderBytes + 16))
        << length;
  }
}

TEST(LogFormatTest, ARecordOfAnotherPlaceIsRefused) {
  const std::string good = TestSegment();
  SegmentHeader header = TestHeader();
  // Another segment, another cluster.
  EXPECT_TRUE(absl::IsDataLoss(DecodeSegmentHeader(good, 6).status()));
  header.segment = 6;
  EXPECT_EQ(SegmentReader(good, header, good.size()).Next(), Step::kGap);
  header = TestHeader();
  header.owner.cluster.low ^= 1;
  EXPECT_EQ(SegmentReader(good, header, good.size()).Next(), Step::kGap);
  // Another offset: batch 11 copied to where batch 10 is.
  std::string moved = good;
  moved.replace(kFirst, 512, good, kFirst + 512, 512);
  SegmentReader reader(moved, TestHeader(), moved.size());
  ASSERT_EQ(reader.Next(), Step::kBatch);
  EXPECT_TRUE(reader.head_lost());
  EXPECT_FALSE(reader.entries()[0].intact);
}

TEST(LogFormatTest, TheBoundOfASealedSegmentHidesWhatIsBehind) {
  const std::string bytes = TestSegment();
  SegmentReader reader(bytes, TestHeader(), kFirst + 512);
  EXPECT_EQ(reader.Next(), Step::kBatch);
  EXPECT_EQ(reader.Next(), Step::kEnd);
  EXPECT_EQ(reader.offset(), kFirst + 512);
}

// Records with intact checksums that no writer of ours makes.
TEST(LogFormatTest, ImpossibleButIntactRecordsAreNoBatches) {
  const SegmentHeader header = TestHeader();
  struct Case {
    BatchHeader batch;
    raft::Index entry_index;
  };
  const Case cases[] = {
      {{9, 8, 20, 2, 7, 0, 0}, 21},    // an old batch
      {{10, 10, 20, 2, 7, 0, 0}, 21},  // vouches for itself
      {{10, 9, 20, 2, 7, 0, 0}, 25},   // entry out of place
  };
  for (const Case& test : cases) {
    std::string bytes = EncodeSegmentHeader(header);
    const raft::Entry placed = MakeEntry(3, test.entry_index, "abc");
    AppendBatch(bytes, header.seed(), bytes.size(), 512, {}, test.batch, &placed, &placed + 1);
    SegmentReader reader(bytes, header, bytes.size());
    (void)reader.Next();
    EXPECT_TRUE(reader.hurt());
    for (const EntryView& entry : reader.entries()) EXPECT_FALSE(entry.intact);
  }
}

TEST(LogFormatTest, HeaderValuesAreChecked) {
  for (auto spoil : {+[](SegmentHeader& h) { h.block_bytes = 768; },
                     +[](SegmentHeader& h) { h.first_sequence = 0; },
                     +[](SegmentHeader& h) { h.previous_segment = 5; },
                     +[](SegmentHeader& h) { h.segment_bytes = kMaxSegmentBytes + 1; },
                     +[](SegmentHeader& h) { h.previous_end = kMaxSegmentBytes + 1; }}) {
    SegmentHeader header = TestHeader();
    spoil(header);
    EXPECT_TRUE(absl::IsDataLoss(DecodeSegmentHeader(EncodeSegmentHeader(header), 5).status()));
  }
}

TEST(LogFormatTest, EitherCopyOfTheHeaderWillDo) {
  for (uint32_t block = 512; block <= 65536; block *= 2) {
    SegmentHeader header = TestHeader();
    header.block_bytes = block;
    header.segment_bytes = 1 << 20;
    for (const uint64_t bad : {uint64_t{0}, uint64_t{block}}) {
      std::string bytes = EncodeSegmentHeader(header);
      bytes[bad + 70] ^= 4;
      absl::StatusOr<FoundHeader> found = FindSegmentHeader(bytes, 5);
      ASSERT_TRUE(found.ok()) << found.status();
      EXPECT_EQ(found->header.block_bytes, block);
      EXPECT_EQ(found->bad[0], bad == 0);
      EXPECT_EQ(found->bad[1], bad != 0);
      bytes[70] ^= 4;
      bytes[block + 70] ^= 4;
      EXPECT_EQ(FindSegmentHeader(bytes, 5).ok(), true) << "the other way round";
    }
  }
  EXPECT_TRUE(absl::IsDataLoss(FindSegmentHeader(std::string(4096, '\0'), 5).status()));
}

TEST(LogFormatTest, ACopyOfTheHeaderThatSaysSomethingElseIsBad) {
  SegmentHeader other = TestHeader();
  other.owner.node = 4;
  std::string bytes = EncodeSegmentHeader(TestHeader());
  bytes.replace(512, 512, EncodeSegmentHeader(other), 512, 512);
  absl::StatusOr<FoundHeader> found = FindSegmentHeader(bytes, 5);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->header.owner.node, 3u);
  EXPECT_FALSE(found->bad[0]);
  EXPECT_TRUE(found->bad[1]);
}

// The number behind the last one that is read would not be read again.
TEST(LogFormatTest, NumbersHaveALimit) {
  const uint64_t far = kMaxNumber + 1;
  for (auto spoil : {+[](SegmentHeader& h) { h.first_sequence = kMaxNumber + 1; },
                     +[](SegmentHeader& h) { h.base_term = kMaxNumber + 1; },
                     +[](SegmentHeader& h) { h.commit = kMaxNumber + 1; },
                     +[](SegmentHeader& h) { h.suspicion->index = kMaxNumber + 1; },
                     +[](SegmentHeader& h) { h.suspicion->term = kMaxNumber + 1; }}) {
    SegmentHeader header = TestHeader();
    spoil(header);
    EXPECT_TRUE(absl::IsDataLoss(DecodeSegmentHeader(EncodeSegmentHeader(header), 5).status()));
  }
  const auto note = [](const Note& note_of_batch) {
    std::string bytes;
    AppendFoot(bytes, 1, 0, 512, note_of_batch);
    return DecodeNote(bytes, 1, 0).has_value();
  };
  EXPECT_TRUE(note({kMaxNumber, kMaxNumber - 2, {{kMaxNumber, 2}}}));
  EXPECT_FALSE(note({far, 1, {{1, 2}}}));
  EXPECT_FALSE(note({1, kMaxNumber - 1, {{1, 2}}}));
  EXPECT_FALSE(note({1, 1, {{far, 2}}}));
  const auto batch = [](const BatchHeader& header, const raft::Entries& entries) {
    std::string bytes;
    AppendBatch(bytes, 1, 0, 512, {}, header, entries.data(), entries.data() + entries.size());
    return DecodeBatchHeader(bytes, 1, 0).has_value();
  };
  const raft::Entries one = {MakeEntry(1, 1, "")};
  EXPECT_TRUE(batch({kMaxNumber, 1, kMaxNumber - 1, kMaxNumber, kMaxNumber, 0, 0}, one));
  EXPECT_FALSE(batch({far, 1, 1, 1, 1, 0, 0}, one));
  EXPECT_FALSE(batch({1, 1, kMaxNumber, 1, 1, 0, 0}, one));
  EXPECT_FALSE(batch({1, 1, 1, far, 1, 0, 0}, one));
  EXPECT_FALSE(batch({1, 1, 1, 1, far, 0, 0}, one));
}

// What decodes is what was encoded: nothing hides where there should be zeros.
TEST(LogFormatTest, ZerosBelongToTheRecord) {
  const auto sealed = [](std::string bytes, size_t at, size_t end, uint64_t seed) {
    bytes[at] = 1;
    std::string sum;
    PutU64(sum, Checksum(absl::string_view(bytes).substr(0, end), seed));
    bytes.replace(end, 8, sum);
    return bytes;
  };
  std::string foot;
  AppendFoot(foot, 1, 0, 512, {1, 1, {{1, 2}}});
  EXPECT_TRUE(DecodeNote(foot, 1, 0));
  EXPECT_FALSE(DecodeNote(sealed(foot, 40, kNoteBytes - 8, 1), 1, 0)) << "a seventh run";
  SegmentHeader header = TestHeader();
  header.suspicion.reset();
  const std::string bytes = EncodeSegmentHeader(header);
  const uint64_t seed = header.seed();
  EXPECT_TRUE(DecodeSegmentHeader(bytes, 5).ok());
  for (const size_t at : {size_t{128}, size_t{136}, size_t{149}}) {
    EXPECT_FALSE(DecodeSegmentHeader(sealed(bytes, at, kSegmentHeaderBytes - 8, seed), 5).ok());
  }
}

// 512 bytes of garbage, and behind them a batch that says where the log had got to before it.
absl::Status ReplayWithGap(raft::Index keep_through, LogReplay::Result* result) {
  SegmentHeader header = TestHeader();
  header.suspicion.reset();
  LoadedSegment loaded;
  loaded.header = header;
  std::string bytes = EncodeSegmentHeader(header) + std::string(512, '\x5a');
  const raft::Entry entry = MakeEntry(3, keep_through + 1, "abc");
  AppendBatch(bytes, header.seed(), bytes.size(), 512, {}, {12, 9, keep_through, 2, 7, 0, 0},
              &entry, &entry + 1);
  loaded.size = bytes.size();
  loaded.bytes = Bytes(std::move(bytes));
  LogReplay replay(header.base_index, header.base_term);
  replay.Add(loaded, 0, true, loaded.size, std::nullopt);
  if (replay.status().ok()) *result = replay.Finish({});
  return replay.status();
}

// A record of a few bytes must not make up a log of millions of entries, each of which takes
// memory.
TEST(LogReplayTest, LostEntriesHaveBeenSomewhere) {
  LogReplay::Result result;
  ASSERT_TRUE(ReplayWithGap(20 + 12, &result).ok());
  ASSERT_TRUE(result.damage || result.suspicion);
  EXPECT_TRUE(ReplayWithGap(20 + 12 + 65'536, &result).ok());
  const absl::Status status = ReplayWithGap(20 + 13 + 65'536, &result);
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_EQ(status.message(),
            "entries 21 to 65569 are said to be between two records, which is impossible");
}

TEST(ChecksumTest, TheAlgorithmIsFixed) {
  EXPECT_EQ(Checksum("", 0), 0x2d06800538d394c2u);  // of the XXH3 specification's reference code
  EXPECT_EQ(FileSeed({1, 2}, FileKind::kLog, 3), 329794793964977161u);
  Digest digest;
  digest.Add("ab");
  digest.Add("c");
  EXPECT_EQ(digest.value(), Checksum("abc", 0));
}

}  // namespace
}  // namespace raftkv::storage
