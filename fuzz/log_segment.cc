// A log segment as recovery finds it after a crash, on a rotten disk or in the wrong hands.
//
// The input is used twice. As it is, it is the file. And because hardly any mutation survives a
// checksum, it is also taken with all its checksums made right, so that lengths, counts and
// sequence numbers of any value reach the code behind them. What the reader accepts must encode to
// the same records.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/raft/check.h"
#include "fuzz/allocations.h"
#include "fuzz/seals.h"
#include "storage/encoding.h"
#include "storage/log_format.h"
#include "storage/log_replay.h"

namespace raftkv::storage {
namespace {

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
  const absl::string_view found = segment.substr(reader.begin());
  const auto same = [&](size_t at, size_t bytes) {
    RAFTKV_CHECK(again.compare(at, bytes, found.data() + at, bytes) == 0);
  };
  same(kNoteBytes, kBatchHeaderBytes);
  size_t at = kBatchHeadBytes;
  for (const raft::Entry& entry : entries) {
    same(at, kEntryHeaderBytes + entry.payload.size());
    at += EncodedEntryBytes(entry);
  }
}

void CheckNote(absl::string_view segment, const SegmentHeader& header, uint64_t offset) {
  const std::optional<Note> note = DecodeNote(segment, header.seed(), offset);
  if (!note) return;
  std::string again;
  AppendFoot(again, header.seed(), offset, 512, *note);
  RAFTKV_CHECK(again.substr(0, kNoteBytes) == segment.substr(offset, kNoteBytes));
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
    if (entry.payload.empty()) continue;
    // Inside the batch, and nowhere else.
    const uint64_t from = static_cast<uint64_t>(entry.payload.data() - segment.data());
    RAFTKV_CHECK(from >= reader.begin() + kBatchHeadBytes);
    RAFTKV_CHECK(from + entry.payload.size() <= reader.offset());
  }
  RAFTKV_CHECK(!bad || reader.hurt());
  RAFTKV_CHECK(reader.hurt() || !reader.head_lost());
}

// Whatever the bytes are, what recovery makes of them is a log: contiguous, with its holes named.
void Replay(absl::string_view segment, const SegmentHeader& header) {
  LoadedSegment loaded;
  loaded.header = header;
  loaded.bytes = Bytes(std::string(segment));
  loaded.size = segment.size();
  const AllocationWatch watch;
  LogReplay replay(header.base_index, header.base_term);
  replay.Add(loaded, 0, true, segment.size(), std::nullopt);
  if (!replay.status().ok()) return;
  LogReplay::Knowledge knowledge;
  knowledge.term = raft::kMaxTermOrIndex;
  const LogReplay::Result result = replay.Finish(knowledge);
  // An entry takes no fewer bytes in the segment than in memory; those that are said to be missing
  // although no bytes are have a limit. A vector grows to twice that.
  constexpr uint64_t kMadeUp = 65'536;
  RAFTKV_CHECK(watch.largest() <= 4 * segment.size() + 4 * kMadeUp * sizeof(raft::Entry) + 4096);
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
  const std::string again = EncodeSegmentHeader(header);
  for (const uint64_t copy : {uint64_t{0}, uint64_t{1}}) {
    if (found->bad[copy]) continue;
    const uint64_t at = copy * header.block_bytes;
    RAFTKV_CHECK(again.compare(at, kSegmentHeaderBytes, segment.data() + at, kSegmentHeaderBytes) ==
                 0);
  }
  for (uint64_t at = header.first_batch(); at < segment.size(); at += header.block_bytes) {
    CheckNote(segment, header, at);
  }
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
  raftkv::storage::SealSegment(&bytes);
  raftkv::storage::Walk(bytes);
  return 0;
}
