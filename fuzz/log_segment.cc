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
#include "storage/log_replay.h"

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
  const uint64_t block = std::max<uint64_t>(512, U32At(bytes, 108));
  if (bytes.size() >= block + kSegmentHeaderBytes) {
    Seal(bytes, block, block + kSegmentHeaderBytes - 8, seed + block);
  }
  uint64_t next = 0;
  for (uint64_t at = 2 * block; at + kBatchHeadBytes <= bytes.size(); at = next) {
    next = at + block;
    if (bytes.compare(at, 4, "RNOT") == 0) Seal(bytes, at, at + kNoteBytes - 8, seed + at);
    const uint64_t head = at + kNoteBytes;
    if (bytes.compare(head, 4, "RBAT") != 0) continue;
    Seal(bytes, head, head + kBatchHeaderBytes - 8, seed + head);
    uint64_t place = at + kBatchHeadBytes;
    for (uint32_t i = 0; i < U32At(bytes, head + 48); ++i) {
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

// A whole batch must be what its own writer makes of it, padding aside.
void CheckEncodesBack(absl::string_view segment, const SegmentHeader& header,
                      const SegmentReader& reader) {
  raft::Entries entries;
  for (const EntryView& view : reader.entries()) {
    entries.push_back({view.term, view.index, raft::Payload::Copy(view.payload), view.type});
  }
  std::string again;
  AppendBatch(again, header.seed(), reader.begin(), header.block_bytes, {}, reader.batch(),
              entries.data(), entries.data() + entries.size());
  RAFTKV_CHECK(reader.begin() + again.size() == reader.offset());
  RAFTKV_CHECK(again.compare(kNoteBytes, kBatchHeaderBytes,
                             segment.data() + reader.begin() + kNoteBytes, kBatchHeaderBytes) == 0);
}

// What holds for every batch, also for what is left of a bad one.
void CheckEntries(absl::string_view segment, const SegmentReader& reader) {
  RAFTKV_CHECK(reader.entries().size() == reader.batch().count);
  bool bad = false;
  for (size_t i = 0; i < reader.entries().size(); ++i) {
    const EntryView& entry = reader.entries()[i];
    RAFTKV_CHECK(entry.index == reader.batch().keep_through + 1 + i);
    RAFTKV_CHECK(entry.intact || entry.payload.empty());
    bad |= !entry.intact;
    RAFTKV_CHECK(entry.payload.empty() ||
                 (entry.payload.data() > segment.data() &&
                  entry.payload.data() + entry.payload.size() <= segment.data() + segment.size()));
  }
  RAFTKV_CHECK(!bad || reader.hurt());
  RAFTKV_CHECK(reader.hurt() || !reader.head_lost());
}

// Whatever the bytes are, what recovery makes of them is a log: contiguous, with its holes named.
void Replay(absl::string_view segment, const SegmentHeader& header) {
  LoadedSegment loaded;
  loaded.header = header;
  loaded.bytes = std::string(segment);
  LogReplay replay(header.base_index, header.base_term);
  replay.Add(loaded, 0, true, segment.size(), std::nullopt);
  if (!replay.status().ok()) return;
  LogReplay::Knowledge knowledge;
  knowledge.term = raft::kMaxTermOrIndex;
  const LogReplay::Result result = replay.Finish(knowledge);
  raft::Index last = header.base_index;
  for (const raft::Entry& entry : result.entries) RAFTKV_CHECK(entry.index == ++last);
  RAFTKV_CHECK(result.cut <= result.seal.base_index);
  RAFTKV_CHECK(!(result.damage && result.suspicion));
  if (!result.damage) return;
  RAFTKV_CHECK(!result.damage->bad.empty() && result.damage->bad.front().index == last + 1);
  RAFTKV_CHECK(!result.damage->intact.empty());
  const raft::Index known =
      std::max(result.damage->bad.back().index, result.damage->intact.back().index);
  RAFTKV_CHECK(known - last == result.damage->bad.size() + result.damage->intact.size());
}

void Walk(absl::string_view segment) {
  if (segment.size() < kSegmentHeaderBytes) return;
  const uint64_t id = Reader(segment.substr(56, 8)).U64();
  const absl::StatusOr<FoundHeader> found = FindSegmentHeader(segment, id);
  if (!found.ok()) {
    RAFTKV_CHECK(!found.status().message().empty());
    return;
  }
  const SegmentHeader& header = found->header;
  SegmentReader reader(segment, header, segment.size());
  uint64_t offset = reader.offset();
  uint64_t sequence = reader.next_sequence();
  for (SegmentReader::Step step = reader.Next(); step != SegmentReader::Step::kEnd;
       step = reader.Next()) {
    RAFTKV_CHECK(reader.begin() == offset && reader.offset() > offset);
    if (step == SegmentReader::Step::kBatch) {
      CheckEntries(segment, reader);
      if (!reader.hurt()) CheckEncodesBack(segment, header, reader);
      RAFTKV_CHECK(reader.batch().sequence == sequence);
    } else {
      RAFTKV_CHECK(reader.hurt());
      RAFTKV_CHECK(reader.to_end() || reader.next_sequence() > sequence);
      RAFTKV_CHECK(reader.dirty_bytes() <= segment.size() - offset);
    }
    if (reader.hurt()) {
      RAFTKV_CHECK(!reader.problem().text.empty());
      RAFTKV_CHECK(reader.problem().offset >= offset);
    }
    offset = reader.offset();
    sequence = reader.next_sequence();
  }
  Replay(segment, header);
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
