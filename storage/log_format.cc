#include "storage/log_format.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "storage/checksum.h"
#include "storage/encoding.h"
#include "storage/storage.h"

namespace raftkv::storage {
namespace {

constexpr absl::string_view kSegmentMagic("RKVLOG\r\n", 8);
constexpr uint32_t kSegmentVersion = 1;
constexpr uint32_t kBatchMagic = 0x54414252;  // "RBAT"

uint64_t Padded(uint64_t bytes) { return RoundUp(bytes, 8); }

// Position behind the last byte of `bytes` that is not zero.
size_t DirtyEnd(absl::string_view bytes) {
  // The usual case, a preallocated rest of megabytes, at the speed of memcmp.
  if (bytes.empty() ||
      (bytes[0] == '\0' && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0)) {
    return 0;
  }
  const size_t last = bytes.find_last_not_of('\0');
  return last == absl::string_view::npos ? 0 : last + 1;
}

}  // namespace

uint64_t RoundUp(uint64_t bytes, uint64_t block) { return (bytes + block - 1) / block * block; }

uint64_t SegmentHeader::seed() const { return FileSeed(owner.cluster, FileKind::kLog, segment); }

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string bytes(kSegmentMagic);
  PutU32(bytes, kSegmentVersion);
  PutU32(bytes, 0);  // features
  PutU64(bytes, header.owner.cluster.high);
  PutU64(bytes, header.owner.cluster.low);
  PutU64(bytes, header.owner.node);
  PutU64(bytes, header.owner.incarnation);
  PutU64(bytes, header.owner.group);
  PutU64(bytes, header.segment);
  PutU64(bytes, header.first_sequence);
  PutU64(bytes, header.base_index);
  PutU64(bytes, header.previous_segment);
  PutU64(bytes, header.previous_end);
  PutU32(bytes, header.initial_batches);
  PutU32(bytes, header.block_bytes);
  PutU64(bytes, header.segment_bytes);
  PutU64(bytes, Checksum(bytes, header.seed()));
  RAFTKV_CHECK(bytes.size() == kSegmentHeaderBytes);
  bytes.resize(header.block_bytes, '\0');
  return bytes;
}

absl::StatusOr<SegmentHeader> DecodeSegmentHeader(absl::string_view bytes, uint64_t segment) {
  if (bytes.size() < kSegmentHeaderBytes) {
    return absl::DataLossError(absl::StrCat("only ", bytes.size(), " bytes, no segment header"));
  }
  Reader reader(bytes.substr(0, kSegmentHeaderBytes));
  if (reader.Bytes(8) != kSegmentMagic) return absl::DataLossError("not a log segment");
  const uint32_t version = reader.U32();
  const uint32_t features = reader.U32();
  SegmentHeader header;
  header.owner.cluster.high = reader.U64();
  header.owner.cluster.low = reader.U64();
  header.owner.node = reader.U64();
  header.owner.incarnation = reader.U64();
  header.owner.group = reader.U64();
  header.segment = reader.U64();
  header.first_sequence = reader.U64();
  header.base_index = reader.U64();
  header.previous_segment = reader.U64();
  header.previous_end = reader.U64();
  header.initial_batches = reader.U32();
  header.block_bytes = reader.U32();
  header.segment_bytes = reader.U64();
  if (reader.U64() != Checksum(bytes.substr(0, kSegmentHeaderBytes - 8), header.seed())) {
    return absl::DataLossError("segment header: checksum mismatch");
  }
  if (version != kSegmentVersion || features != 0) {
    return absl::UnimplementedError(absl::StrCat("format version ", version, " with features ",
                                                 features, " is newer than this program"));
  }
  const bool block_ok = header.block_bytes >= 512 && header.block_bytes <= 65536 &&
                        (header.block_bytes & (header.block_bytes - 1)) == 0;
  if (header.segment != segment || header.segment == 0 || header.first_sequence == 0 ||
      header.previous_segment >= header.segment || !block_ok ||
      header.previous_end > kMaxSegmentBytes) {
    return absl::DataLossError("segment header: impossible values");
  }
  return header;
}

size_t EncodedEntryBytes(const raft::Entry& entry) {
  return kEntryHeaderBytes + Padded(entry.payload.size());
}

void AppendBatch(std::string& out, uint64_t seed, uint64_t offset, uint32_t block_bytes,
                 BatchHeader header, const raft::Entry* begin, const raft::Entry* end) {
  size_t body = 0;
  for (const raft::Entry* entry = begin; entry != end; ++entry) body += EncodedEntryBytes(*entry);
  header.count = static_cast<uint32_t>(end - begin);
  header.body_bytes = static_cast<uint32_t>(body);

  const size_t start = out.size();
  out.reserve(start + RoundUp(kBatchHeaderBytes + body, block_bytes));
  PutU32(out, kBatchMagic);
  PutU32(out, 0);  // flags
  PutU64(out, header.sequence);
  PutU64(out, header.durable_sequence);
  PutU64(out, header.durable_index);
  PutU64(out, header.keep_through);
  PutU64(out, header.commit);
  PutU32(out, header.count);
  PutU32(out, header.body_bytes);
  PutU64(out, Checksum(absl::string_view(out).substr(start), seed + offset));

  for (const raft::Entry* entry = begin; entry != end; ++entry) {
    const size_t record = out.size();
    const uint64_t place = offset + (record - start);
    const absl::string_view payload = entry->payload.view();
    PutU64(out, entry->index);
    PutU64(out, entry->term);
    PutU32(out, static_cast<uint32_t>(payload.size()));
    PutU32(out, static_cast<uint32_t>(entry->type));
    PutU64(out, Checksum(payload, seed + place + kEntryHeaderBytes));
    PutU64(out, Checksum(absl::string_view(out).substr(record), seed + place));
    out.append(payload.data(), payload.size());
    out.resize(start + Padded(out.size() - start), '\0');
  }
  out.resize(start + RoundUp(out.size() - start, block_bytes), '\0');
}

std::optional<BatchHeader> DecodeBatchHeader(absl::string_view segment, uint64_t seed,
                                             uint64_t offset) {
  if (offset > segment.size() || segment.size() - offset < kBatchHeaderBytes) return std::nullopt;
  const absl::string_view bytes = segment.substr(offset, kBatchHeaderBytes);
  Reader reader(bytes);
  const uint32_t magic = reader.U32();
  const uint32_t flags = reader.U32();
  BatchHeader header;
  header.sequence = reader.U64();
  header.durable_sequence = reader.U64();
  header.durable_index = reader.U64();
  header.keep_through = reader.U64();
  header.commit = reader.U64();
  header.count = reader.U32();
  header.body_bytes = reader.U32();
  if (magic != kBatchMagic || flags != 0) return std::nullopt;
  if (reader.U64() != Checksum(bytes.substr(0, kBatchHeaderBytes - 8), seed + offset)) {
    return std::nullopt;
  }
  return header;
}

SegmentReader::SegmentReader(absl::string_view segment, const SegmentHeader& header, uint64_t end)
    : segment_(segment.substr(0, end)),
      seed_(header.seed()),
      block_bytes_(header.block_bytes),
      offset_(header.block_bytes),
      next_sequence_(header.first_sequence),
      last_index_(header.base_index) {}

SegmentReader::Step SegmentReader::Bad(uint64_t offset, raft::Index index, absl::string_view text) {
  entries_.clear();
  problem_ = {offset, index, std::string(text)};
  return Step::kBad;
}

SegmentReader::Step SegmentReader::Next() {
  entries_.clear();
  if (offset_ >= segment_.size()) return Step::kEnd;
  const std::optional<BatchHeader> header = DecodeBatchHeader(segment_, seed_, offset_);
  if (!header) {
    if (DirtyEnd(segment_.substr(offset_)) == 0) return Step::kEnd;
    return Bad(offset_, last_index_ + 1, "batch header: checksum mismatch");
  }
  const uint64_t room = segment_.size() - offset_ - kBatchHeaderBytes;
  if (header->sequence != next_sequence_ || header->durable_sequence >= header->sequence) {
    return Bad(
        offset_, last_index_ + 1,
        absl::StrCat("batch ", header->sequence, " where batch ", next_sequence_, " belongs"));
  }
  if (header->keep_through > last_index_) {
    return Bad(offset_, last_index_ + 1,
               absl::StrCat("batch continues after entry ", header->keep_through,
                            ", the log ends at ", last_index_));
  }
  if (header->body_bytes > room || header->body_bytes / kEntryHeaderBytes < header->count) {
    return Bad(offset_, header->keep_through + 1, "batch header: impossible length");
  }
  uint64_t place = offset_ + kBatchHeaderBytes;
  const uint64_t body_end = place + header->body_bytes;
  for (uint32_t i = 0; i < header->count; ++i) {
    const raft::Index index = header->keep_through + 1 + i;
    if (body_end - place < kEntryHeaderBytes) return Bad(place, index, "entry header: cut off");
    const absl::string_view bytes = segment_.substr(place, kEntryHeaderBytes);
    Reader reader(bytes);
    EntryView entry;
    entry.index = reader.U64();
    entry.term = reader.U64();
    const uint32_t length = reader.U32();
    const uint32_t type = reader.U32();
    const uint64_t payload_sum = reader.U64();
    if (reader.U64() != Checksum(bytes.substr(0, kEntryHeaderBytes - 8), seed_ + place)) {
      return Bad(place, index, "entry header: checksum mismatch");
    }
    if (entry.index != index || type > static_cast<uint32_t>(raft::EntryType::kMembership) ||
        length > kMaxEntryBytes || Padded(length) > body_end - place - kEntryHeaderBytes) {
      return Bad(place, index, "entry header: impossible values");
    }
    entry.type = static_cast<raft::EntryType>(type);
    entry.payload = segment_.substr(place + kEntryHeaderBytes, length);
    if (payload_sum != Checksum(entry.payload, seed_ + place + kEntryHeaderBytes)) {
      return Bad(
          place, index,
          absl::StrCat("payload of entry ", index, " of term ", entry.term, ": checksum mismatch"));
    }
    entries_.push_back(entry);
    place += kEntryHeaderBytes + Padded(length);
  }
  if (place != body_end) return Bad(place, last_index_ + 1, "batch header: impossible length");
  batch_ = *header;
  last_index_ = header->keep_through + header->count;
  ++next_sequence_;
  offset_ = offset_ + RoundUp(kBatchHeaderBytes + header->body_bytes, block_bytes_);
  return Step::kBatch;
}

uint64_t SegmentReader::DurableSequenceBehind() const {
  uint64_t durable = 0;
  for (uint64_t at = offset_ + block_bytes_; at < segment_.size(); at += block_bytes_) {
    const std::optional<BatchHeader> header = DecodeBatchHeader(segment_, seed_, at);
    if (header) durable = std::max(durable, header->durable_sequence);
  }
  return durable;
}

uint64_t SegmentReader::DirtyBytes() const {
  return offset_ < segment_.size() ? DirtyEnd(segment_.substr(offset_)) : 0;
}

}  // namespace raftkv::storage
