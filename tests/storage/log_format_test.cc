#include "storage/log_format.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "storage/checksum.h"
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
  header.block_bytes = 512;
  header.segment_bytes = 8192;
  return header;
}

// A segment with two batches of two entries, then zeros.
std::string TestSegment() {
  const SegmentHeader header = TestHeader();
  std::string bytes = EncodeSegmentHeader(header);
  const raft::Entries entries = {MakeEntry(3, 21, "abc"), MakeEntry(3, 22, ""),
                                 MakeEntry(4, 22, "xyz"), MakeEntry(4, 23, "end")};
  BatchHeader batch{10, 9, 20, 20, 7, 0, 0};
  AppendBatch(bytes, header.seed(), bytes.size(), 512, batch, &entries[0], &entries[2]);
  batch = {11, 10, 22, 21, 8, 0, 0};
  AppendBatch(bytes, header.seed(), bytes.size(), 512, batch, &entries[2], &entries[2] + 2);
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
  SegmentReader reader(bytes, *header, bytes.size());
  ASSERT_EQ(reader.Next(), Step::kBatch);
  EXPECT_EQ(reader.batch().sequence, 10u);
  EXPECT_EQ(reader.batch().commit, 7u);
  ASSERT_EQ(reader.entries().size(), 2u);
  EXPECT_EQ(reader.entries()[0].payload, "abc");
  EXPECT_EQ(reader.entries()[1].index, 22u);
  EXPECT_EQ(reader.offset(), 1024u);
  ASSERT_EQ(reader.Next(), Step::kBatch);
  EXPECT_EQ(reader.batch().keep_through, 21u);
  EXPECT_EQ(reader.batch().durable_sequence, 10u);
  EXPECT_EQ(reader.batch().durable_index, 22u);
  EXPECT_EQ(reader.entries()[1].term, 4u);
  EXPECT_EQ(reader.Next(), Step::kEnd);
  EXPECT_EQ(reader.offset(), 1536u);
  EXPECT_EQ(reader.Next(), Step::kEnd) << "the end stays the end";
}

TEST(LogFormatTest, BatchesBeginOnBlocksOfTheirOwn) {
  for (uint32_t block : {512u, 4096u}) {
    std::string bytes;
    const raft::Entry entry = MakeEntry(1, 1, std::string(600, 'x'));
    AppendBatch(bytes, 1, 0, block, {}, &entry, &entry + 1);
    EXPECT_EQ(bytes.size() % block, 0u);
    EXPECT_EQ(bytes.size(), RoundUp(kBatchHeaderBytes + EncodedEntryBytes(entry), block));
  }
}

TEST(LogFormatTest, EveryFlippedBitOfARecordIsNoticed) {
  const std::string good = TestSegment();
  const SegmentHeader header = TestHeader();
  constexpr size_t kContent = kBatchHeaderBytes + 2 * kEntryHeaderBytes + 3;
  for (size_t byte = 512; byte < 512 + kContent; ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = good;
      bytes[byte] = static_cast<char>(bytes[byte] ^ (1 << bit));
      SegmentReader reader(bytes, header, bytes.size());
      const Step step = reader.Next();
      // Padding between "abc" and the next header is not part of any record.
      const size_t padding = 512 + kBatchHeaderBytes + kEntryHeaderBytes + 3;
      if (byte >= padding && byte < padding + 5) {
        EXPECT_EQ(step, Step::kBatch);
      } else if (byte < 512 + kContent - 3 + 5) {
        EXPECT_EQ(step, Step::kBad) << byte;
        EXPECT_EQ(reader.DurableSequenceBehind(), 10u) << "batch 11 vouches for batch 10";
        EXPECT_GT(reader.DirtyBytes(), 512u);
      }
    }
  }
}

TEST(LogFormatTest, TermIndexAndLengthSurviveABadPayload) {
  std::string bytes = TestSegment();
  bytes[512 + kBatchHeaderBytes + kEntryHeaderBytes] = 'Z';
  SegmentReader reader(bytes, TestHeader(), bytes.size());
  ASSERT_EQ(reader.Next(), Step::kBad);
  EXPECT_EQ(reader.problem().index, 21u);
  EXPECT_EQ(reader.problem().text, "payload of entry 21 of term 3: checksum mismatch");
  EXPECT_EQ(reader.problem().offset, 512 + kBatchHeaderBytes);
}

TEST(LogFormatTest, EveryTruncationIsSafe) {
  const std::string good = TestSegment();
  const SegmentHeader header = TestHeader();
  for (size_t length = 0; length <= 1600; ++length) {
    const absl::string_view bytes = absl::string_view(good).substr(0, length);
    EXPECT_EQ(DecodeSegmentHeader(bytes, 5).ok(), length >= kSegmentHeaderBytes);
    SegmentReader reader(bytes, header, bytes.size());
    int batches = 0;
    while (reader.Next() == Step::kBatch) ++batches;
    const int whole1 = 512 + kBatchHeaderBytes + 2 * kEntryHeaderBytes + 8;
    const int whole2 = 1024 + kBatchHeaderBytes + 2 * kEntryHeaderBytes + 16;
    EXPECT_EQ(batches, (length >= whole1) + (length >= whole2)) << length;
  }
}

TEST(LogFormatTest, ARecordOfAnotherPlaceIsRefused) {
  const std::string good = TestSegment();
  SegmentHeader header = TestHeader();
  // Another segment, another cluster.
  EXPECT_TRUE(absl::IsDataLoss(DecodeSegmentHeader(good, 6).status()));
  header.segment = 6;
  EXPECT_EQ(SegmentReader(good, header, good.size()).Next(), Step::kBad);
  header = TestHeader();
  header.owner.cluster.low ^= 1;
  EXPECT_EQ(SegmentReader(good, header, good.size()).Next(), Step::kBad);
  // Another offset: batch 11 copied to where batch 10 is.
  std::string moved = good;
  moved.replace(512, 512, good, 1024, 512);
  EXPECT_EQ(SegmentReader(moved, TestHeader(), moved.size()).Next(), Step::kBad);
}

TEST(LogFormatTest, TheBoundOfASealedSegmentHidesWhatIsBehind) {
  const std::string bytes = TestSegment();
  SegmentReader reader(bytes, TestHeader(), 1024);
  EXPECT_EQ(reader.Next(), Step::kBatch);
  EXPECT_EQ(reader.Next(), Step::kEnd);
  EXPECT_EQ(reader.offset(), 1024u);
}

// Records with intact checksums that no writer of ours makes.
TEST(LogFormatTest, ImpossibleButIntactRecordsAreRefused) {
  const SegmentHeader header = TestHeader();
  const raft::Entry entry = MakeEntry(3, 21, "abc");
  struct Case {
    BatchHeader batch;
    raft::Index entry_index;
  };
  const Case cases[] = {
      {{11, 9, 20, 20, 7, 0, 0}, 21},   // a batch is missing
      {{10, 10, 20, 20, 7, 0, 0}, 21},  // vouches for itself
      {{10, 9, 20, 21, 7, 0, 0}, 22},   // leaves a hole
      {{10, 9, 20, 20, 7, 0, 0}, 25},   // entry out of place
  };
  for (const Case& test : cases) {
    std::string bytes = EncodeSegmentHeader(header);
    raft::Entry placed = entry;
    placed.index = test.entry_index;
    AppendBatch(bytes, header.seed(), bytes.size(), 512, test.batch, &placed, &placed + 1);
    EXPECT_EQ(SegmentReader(bytes, header, bytes.size()).Next(), Step::kBad);
  }
}

TEST(LogFormatTest, HeaderValuesAreChecked) {
  for (auto spoil : {+[](SegmentHeader& h) { h.block_bytes = 768; },
                     +[](SegmentHeader& h) { h.first_sequence = 0; },
                     +[](SegmentHeader& h) { h.previous_segment = 5; },
                     +[](SegmentHeader& h) { h.previous_end = kMaxSegmentBytes + 1; }}) {
    SegmentHeader header = TestHeader();
    spoil(header);
    EXPECT_TRUE(absl::IsDataLoss(DecodeSegmentHeader(EncodeSegmentHeader(header), 5).status()));
  }
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
