// A log segment as recovery finds it after a crash, on a rotten disk or in the wrong hands.
//
// The input is used twice. As it is, it is the file. And because hardly any mutation survives a
// checksum, it is also taken with all its checksums made right, so that lengths, counts and
// sequence numbers of any value reach the code behind them. What the reader accepts must encode to
// the same records.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/raft/check.h"
#include "storage/checksum.h"
#include "storage/encoding.h"
#include "storage/log_format.h"

namespace raftkv::storage {
namespace {

uint32_t U32At(const std::string& bytes, uint64_t at) {
  return Reader(absl::string_view(bytes).substr(at, 4)).U32();
}
uint64_t U64At(const std::string& bytes, uint64_t at) {
  return Reader(absl::string_view(bytes).substr(at, 8)).U64();
}

void Seal(std::string& bytes, uint64_t begin, uint64_t end, uint64_t seed) {
  std::string sum;
  PutU64(sum, Checksum(absl::string_view(bytes).substr(begin, end - begin), seed));
  bytes.replace(end, sum.size(), sum);
}

// Makes every checksum right that lengths lead to; docs/formats/log.md has the offsets.
void SealAll(std::string& bytes) {
  if (bytes.size() < kSegmentHeaderBytes) return;
  const ClusterId cluster{U64At(bytes, 16), U64At(bytes, 24)};
  const uint64_t seed = FileSeed(cluster, FileKind::kLog, U64At(bytes, 56));
  Seal(bytes, 0, kSegmentHeaderBytes - 8, seed);
  const uint64_t block = std::max<uint64_t>(512, U32At(bytes, 100));
  uint64_t next = 0;
  for (uint64_t at = block; at + kBatchHeaderBytes <= bytes.size(); at = next) {
    next = at + block;
    if (bytes.compare(at, 4, "RBAT") != 0) continue;
    Seal(bytes, at, at + kBatchHeaderBytes - 8, seed + at);
    uint64_t place = at + kBatchHeaderBytes;
    for (uint32_t i = 0; i < U32At(bytes, at + 48); ++i) {
      if (place + kEntryHeaderBytes > bytes.size()) break;
      const uint64_t payload = place + kEntryHeaderBytes;
      const uint64_t length = std::min<uint64_t>(U32At(bytes, place + 16), bytes.size() - payload);
      std::string sum;
      PutU64(sum, Checksum(absl::string_view(bytes).substr(payload, length), seed + payload));
      bytes.replace(place + 24, sum.size(), sum);
      Seal(bytes, place, place + kEntryHeaderBytes - 8, seed + place);
      place = RoundUp(payload + length, 8);
    }
    next = at + RoundUp(std::max<uint64_t>(1, place - at), block);
  }
}

// The batch must be what its own writer makes of it, padding aside.
void CheckEncodesBack(absl::string_view segment, const SegmentHeader& header, uint64_t offset,
                      const SegmentReader& reader) {
  raft::Entries entries;
  for (const EntryView& view : reader.entries()) {
    entries.push_back({view.term, view.index, raft::Payload::Copy(view.payload), view.type});
  }
  RAFTKV_CHECK(entries.size() == reader.batch().count);
  std::string again;
  AppendBatch(again, header.seed(), offset, header.block_bytes, reader.batch(), entries.data(),
              entries.data() + entries.size());
  RAFTKV_CHECK(offset + again.size() == reader.offset());
  RAFTKV_CHECK(again.compare(0, kBatchHeaderBytes, segment.data() + offset, kBatchHeaderBytes) ==
               0);
  for (size_t i = 0; i < entries.size(); ++i) {
    const absl::string_view payload = reader.entries()[i].payload;
    RAFTKV_CHECK(entries[i].index == reader.batch().keep_through + 1 + i);
    RAFTKV_CHECK(payload.empty() ||
                 (payload.data() > segment.data() &&
                  payload.data() + payload.size() <= segment.data() + segment.size()));
  }
}

void Walk(absl::string_view segment) {
  if (segment.size() < kSegmentHeaderBytes) return;
  const uint64_t id = Reader(segment.substr(56, 8)).U64();
  const absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(segment, id);
  if (!header.ok()) {
    RAFTKV_CHECK(!header.status().message().empty());
    return;
  }
  SegmentReader reader(segment, *header, segment.size());
  uint64_t offset = reader.offset();
  SegmentReader::Step step = reader.Next();
  for (; step == SegmentReader::Step::kBatch; step = reader.Next()) {
    CheckEncodesBack(segment, *header, offset, reader);
    RAFTKV_CHECK(reader.offset() > offset);
    offset = reader.offset();
  }
  if (step == SegmentReader::Step::kBad) {
    RAFTKV_CHECK(!reader.problem().text.empty());
    RAFTKV_CHECK(reader.problem().offset >= offset && reader.problem().offset < segment.size());
    RAFTKV_CHECK(reader.DirtyBytes() <= segment.size() - offset);
    (void)reader.DurableSequenceBehind();
  }
}

}  // namespace
}  // namespace raftkv::storage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  raftkv::storage::Walk(bytes);
  raftkv::storage::SealAll(bytes);
  raftkv::storage::Walk(bytes);
  return 0;
}
