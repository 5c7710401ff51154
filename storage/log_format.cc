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
constexpr uint32_t kNoteMagic = 0x544f4e52;   // "RNOT"
constexpr size_t kNoteFixedBytes = 24;        // in front of its runs
constexpr size_t kRunBytes = 16;
constexpr uint64_t kMinBlock = 512;
constexpr uint64_t kMaxBlock = 65536;

uint64_t Padded(uint64_t bytes) { return RoundUp(bytes, 8); }

}  // namespace

size_t DirtyEnd(absl::string_view bytes) {
  // A preallocated rest is megabytes of zeros: at the speed of memcmp.
  static constexpr char kZeros[512] = {};
  for (const size_t step : {size_t{512}, size_t{64}, size_t{8}, size_t{1}}) {
    while (bytes.size() >= step &&
           std::memcmp(bytes.data() + bytes.size() - step, kZeros, step) == 0) {
      bytes.remove_suffix(step);
    }
  }
  return bytes.size();
}

uint64_t RoundUp(uint64_t bytes, uint64_t block) { return (bytes + block - 1) / block * block; }

uint64_t SegmentHeader::seed() const { return FileSeed(owner.cluster, FileKind::kLog, segment); }

void WriteSegmentHeader(const SegmentHeader& header, char* zeros) {
  SmallRecord<kSegmentHeaderBytes - 8> said;
  said.Bytes(kSegmentMagic).U32(kSegmentVersion);
  said.U32(0);  // features
  said.U64(header.owner.cluster.high).U64(header.owner.cluster.low);
  said.U64(header.owner.node).U64(header.owner.incarnation).U64(header.owner.group);
  said.U64(header.segment).U64(header.first_sequence);
  said.U64(header.base_index).U64(header.base_term);
  said.U64(header.previous_segment).U64(header.previous_end);
  said.U32(header.initial_batches).U32(header.block_bytes);
  said.U64(header.segment_bytes).U64(header.commit);
  const raft::Suspicion suspicion = header.suspicion.value_or(raft::Suspicion{});
  said.U64(suspicion.index).U64(suspicion.term);
  said.U32(header.suspicion ? 1 : 0).U32(static_cast<uint32_t>(suspicion.evidence));
  RAFTKV_CHECK(said.view().size() == kSegmentHeaderBytes - 8);
  for (const uint64_t offset : {uint64_t{0}, uint64_t{header.block_bytes}}) {
    SmallRecord<kSegmentHeaderBytes> copy;
    copy.Bytes(said.view()).U64(Checksum(said.view(), header.seed() + offset));
    copy.view().copy(zeros + offset, kSegmentHeaderBytes);
  }
}

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string bytes(2 * size_t{header.block_bytes}, '\0');
  WriteSegmentHeader(header, bytes.data());
  return bytes;
}

absl::StatusOr<SegmentHeader> DecodeSegmentHeader(absl::string_view bytes, uint64_t segment,
                                                  uint64_t offset) {
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
  header.base_term = reader.U64();
  header.previous_segment = reader.U64();
  header.previous_end = reader.U64();
  header.initial_batches = reader.U32();
  header.block_bytes = reader.U32();
  header.segment_bytes = reader.U64();
  header.commit = reader.U64();
  raft::Suspicion suspicion;
  suspicion.index = reader.U64();
  suspicion.term = reader.U64();
  const uint32_t has_suspicion = reader.U32();
  const uint32_t evidence = reader.U32();
  suspicion.evidence = static_cast<raft::Suspicion::Evidence>(evidence);
  if (has_suspicion == 1) header.suspicion = suspicion;
  if (reader.U64() != Checksum(bytes.substr(0, kSegmentHeaderBytes - 8), header.seed() + offset)) {
    return absl::DataLossError("segment header: checksum mismatch");
  }
  if (version != kSegmentVersion || features != 0) {
    return absl::UnimplementedError(absl::StrCat("format version ", version, " with features ",
                                                 features, " is newer than this program"));
  }
  const bool block_ok = header.block_bytes >= kMinBlock && header.block_bytes <= kMaxBlock &&
                        (header.block_bytes & (header.block_bytes - 1)) == 0;
  const bool suspicion_ok =
      has_suspicion == 0
          ? suspicion.index == 0 && suspicion.term == 0 &&
                evidence == static_cast<uint32_t>(raft::Suspicion{}.evidence)
          : has_suspicion == 1 &&
                evidence <= static_cast<uint32_t>(raft::Suspicion::Evidence::kProven);
  const uint64_t largest =
      std::max({header.segment, header.first_sequence, header.base_index, header.base_term,
                header.commit, suspicion.index, suspicion.term});
  if (header.segment != segment || header.segment == 0 || header.first_sequence == 0 ||
      header.previous_segment >= header.segment || !block_ok || !suspicion_ok ||
      header.previous_end > kMaxSegmentBytes || header.segment_bytes > kMaxSegmentBytes ||
      header.segment_bytes < header.first_batch() || largest > kMaxNumber ||
      (offset != 0 && offset != header.block_bytes)) {
    return absl::DataLossError("segment header: impossible values");
  }
  return header;
}

absl::StatusOr<FoundHeader> FindSegmentHeader(absl::string_view bytes, uint64_t segment) {
  absl::StatusOr<SegmentHeader> first = DecodeSegmentHeader(bytes, segment);
  if (absl::IsUnimplemented(first.status())) return first.status();
  FoundHeader found;
  found.bad[0] = !first.ok();
  if (first.ok()) {
    found.header = *first;
    const uint64_t offset = first->block_bytes;
    // One that says something else is none of this segment.
    constexpr size_t kSaid = kSegmentHeaderBytes - 8;
    const absl::string_view said = bytes.substr(0, kSaid);
    found.bad[1] =
        bytes.size() < offset + kSegmentHeaderBytes || bytes.substr(offset, kSaid) != said ||
        Reader(bytes.substr(offset + kSaid, 8)).U64() != Checksum(said, first->seed() + offset);
    return found;
  }
  // Where the second copy is only the first one says; so everywhere it may be.
  for (uint64_t offset = kMinBlock; offset <= kMaxBlock && offset < bytes.size(); offset *= 2) {
    absl::StatusOr<SegmentHeader> second =
        DecodeSegmentHeader(bytes.substr(offset), segment, offset);
    if (absl::IsUnimplemented(second.status())) return second.status();
    if (!second.ok()) continue;
    found.header = *second;
    return found;
  }
  return first.status();
}

uint64_t Note::count() const {
  uint64_t count = 0;
  for (const TermRun& run : runs) count += run.count;
  return count;
}

Note NoteOf(const BatchHeader& header, const raft::Entry* begin, const raft::Entry* end) {
  Note note{header.sequence, header.keep_through, {}};
  for (const raft::Entry* entry = begin; entry != end; ++entry) {
    if (note.runs.empty() || note.runs.back().term != entry->term) {
      note.runs.push_back({entry->term, 0});
    }
    ++note.runs.back().count;
  }
  return note;
}

size_t EncodedEntryBytes(const raft::Entry& entry) {
  return kEntryHeaderBytes + Padded(entry.payload.size());
}

namespace {

void AppendNote(std::string& out, uint64_t seed, uint64_t offset, const Note& note) {
  RAFTKV_CHECK(note.runs.size() <= kMaxTermRuns);
  SmallRecord<kNoteBytes> record;
  record.U32(kNoteMagic).U32(static_cast<uint32_t>(note.runs.size()));
  record.U64(note.sequence).U64(note.keep_through);
  for (const TermRun& run : note.runs) record.U64(run.term).U64(run.count);
  record.ZerosTo(kNoteBytes - 8);
  record.U64(Checksum(record.view(), seed + offset));
  out.append(record.view().data(), kNoteBytes);
}

}  // namespace

void AppendBatch(std::string& out, uint64_t seed, uint64_t offset, uint32_t block_bytes,
                 const Note& before, BatchHeader header, const raft::Entry* begin,
                 const raft::Entry* end) {
  size_t body = 0;
  for (const raft::Entry* entry = begin; entry != end; ++entry) body += EncodedEntryBytes(*entry);
  header.count = static_cast<uint32_t>(end - begin);
  header.body_bytes = static_cast<uint32_t>(body);

  const size_t start = out.size();
  out.reserve(start + RoundUp(kBatchHeadBytes + body, block_bytes) + block_bytes);
  AppendNote(out, seed, offset, before);
  SmallRecord<kBatchHeaderBytes> head;
  head.U32(kBatchMagic);
  head.U32(0);  // flags
  head.U64(header.sequence).U64(header.durable_sequence);
  head.U64(header.keep_through).U64(header.keep_term).U64(header.commit);
  head.U32(header.count).U32(header.body_bytes);
  head.U64(Checksum(head.view(), seed + offset + kNoteBytes));
  out.append(head.view().data(), kBatchHeaderBytes);

  for (const raft::Entry* entry = begin; entry != end; ++entry) {
    const uint64_t place = offset + (out.size() - start);
    const absl::string_view payload = entry->payload.view();
    SmallRecord<kEntryHeaderBytes> record;
    record.U64(entry->index).U64(entry->term);
    record.U32(static_cast<uint32_t>(payload.size())).U32(static_cast<uint32_t>(entry->type));
    record.U64(Checksum(payload, seed + place + kEntryHeaderBytes));
    record.U64(Checksum(record.view(), seed + place));
    out.append(record.view().data(), kEntryHeaderBytes);
    out.append(payload.data(), payload.size());
    out.resize(start + Padded(out.size() - start), '\0');
  }
  out.resize(start + RoundUp(out.size() - start, block_bytes), '\0');
}

void AppendFoot(std::string& out, uint64_t seed, uint64_t offset, uint32_t block_bytes,
                const Note& before) {
  const size_t start = out.size();
  AppendNote(out, seed, offset, before);
  out.resize(start + block_bytes, '\0');
}

std::optional<Note> DecodeNote(absl::string_view segment, uint64_t seed, uint64_t offset) {
  if (offset > segment.size() || segment.size() - offset < kNoteBytes) return std::nullopt;
  const absl::string_view bytes = segment.substr(offset, kNoteBytes);
  Reader reader(bytes);
  if (reader.U32() != kNoteMagic) return std::nullopt;
  const uint32_t runs = reader.U32();
  Note note;
  note.sequence = reader.U64();
  note.keep_through = reader.U64();
  if (runs > kMaxTermRuns || std::max(note.sequence, note.keep_through) > kMaxNumber) {
    return std::nullopt;
  }
  for (uint32_t i = 0; i < runs; ++i) {
    TermRun run;
    run.term = reader.U64();
    run.count = reader.U64();
    if (run.count == 0 || run.count > kMaxSegmentBytes / kEntryHeaderBytes ||
        run.term > kMaxNumber) {
      return std::nullopt;
    }
    note.runs.push_back(run);
  }
  if (note.last_index() > kMaxNumber) return std::nullopt;
  const size_t used = kNoteFixedBytes + runs * kRunBytes;
  if (DirtyEnd(bytes.substr(used, kNoteBytes - 8 - used)) != 0) return std::nullopt;
  Reader sum(bytes.substr(kNoteBytes - 8));
  if (sum.U64() != Checksum(bytes.substr(0, kNoteBytes - 8), seed + offset)) return std::nullopt;
  return note;
}

std::optional<BatchHeader> DecodeBatchHeader(absl::string_view segment, uint64_t seed,
                                             uint64_t offset) {
  if (offset > segment.size() || segment.size() - offset < kBatchHeadBytes) return std::nullopt;
  const absl::string_view bytes = segment.substr(offset + kNoteBytes, kBatchHeaderBytes);
  Reader reader(bytes);
  const uint32_t magic = reader.U32();
  const uint32_t flags = reader.U32();
  if (magic != kBatchMagic || flags != 0) return std::nullopt;
  BatchHeader header;
  header.sequence = reader.U64();
  header.durable_sequence = reader.U64();
  header.keep_through = reader.U64();
  header.keep_term = reader.U64();
  header.commit = reader.U64();
  header.count = reader.U32();
  header.body_bytes = reader.U32();
  if (reader.U64() !=
      Checksum(bytes.substr(0, kBatchHeaderBytes - 8), seed + offset + kNoteBytes)) {
    return std::nullopt;
  }
  if (std::max({header.sequence, header.keep_term, header.commit}) > kMaxNumber ||
      header.keep_through > kMaxNumber - header.count) {
    return std::nullopt;
  }
  return header;
}

uint64_t EntryHeader::padded_bytes() const { return Padded(payload_bytes); }

std::optional<EntryHeader> DecodeEntryHeader(absl::string_view bytes, uint64_t seed,
                                             uint64_t place) {
  if (bytes.size() < kEntryHeaderBytes) return std::nullopt;
  bytes = bytes.substr(0, kEntryHeaderBytes);
  Reader reader(bytes);
  EntryHeader header;
  header.index = reader.U64();
  header.term = reader.U64();
  header.payload_bytes = reader.U32();
  const uint32_t type = reader.U32();
  header.payload_sum = reader.U64();
  if (type > static_cast<uint32_t>(raft::EntryType::kMembership) ||
      header.payload_bytes > kMaxEntryBytes || header.term > kMaxNumber ||
      reader.U64() != Checksum(bytes.substr(0, kEntryHeaderBytes - 8), seed + place)) {
    return std::nullopt;
  }
  header.type = static_cast<raft::EntryType>(type);
  return header;
}

SegmentReader::SegmentReader(absl::string_view segment, const SegmentHeader& header, uint64_t end,
                             std::optional<Note> behind)
    : segment_(segment.substr(0, end)),
      size_(end),
      seed_(header.seed()),
      block_bytes_(header.block_bytes),
      behind_(std::move(behind)),
      begin_(header.first_batch()),
      offset_(header.first_batch()),
      next_sequence_(header.first_sequence),
      last_index_(header.base_index) {}

// Position behind the last byte of [begin, end) that is not zero, counted from `begin`. What is
// missing is not zero.
uint64_t SegmentReader::Dirty(uint64_t begin, uint64_t end) const {
  end = std::min(end, size_);
  begin = std::min(begin, end);
  if (end > segment_.size() && begin < end) return end - begin;
  return DirtyEnd(segment_.substr(begin, end - begin));
}

bool SegmentReader::Zero(uint64_t begin, uint64_t end) const { return Dirty(begin, end) == 0; }

// Of those that have a byte of [begin, end) in them.
bool SegmentReader::HasZeroSector(uint64_t begin, uint64_t end) const {
  end = std::min<uint64_t>(end, segment_.size());
  for (uint64_t at = begin / kSectorBytes * kSectorBytes; at < end; at += kSectorBytes) {
    if (Zero(at, at + kSectorBytes)) return true;
  }
  return false;
}

// The header of the batch that is expected at `at`, or of a later one.
std::optional<BatchHeader> SegmentReader::HeaderAt(uint64_t at) const {
  std::optional<BatchHeader> header = DecodeBatchHeader(segment_, seed_, at);
  if (!header || header->sequence < next_sequence_ ||
      header->durable_sequence >= header->sequence ||
      header->body_bytes > size_ - at - kBatchHeadBytes ||
      header->body_bytes / kEntryHeaderBytes < header->count) {
    return std::nullopt;
  }
  return header;
}

// The note at `at`, which may be the one at the beginning of the next segment.
std::optional<Note> SegmentReader::NoteAt(uint64_t at) const {
  if (at >= size_) return behind_;
  return DecodeNote(segment_, seed_, at);
}

// An entry with an intact header and an index from `low` to `high`, or nothing. `next` is where the
// one behind it begins.
std::optional<EntryView> SegmentReader::EntryAt(uint64_t place, uint64_t end, raft::Index low,
                                                raft::Index high, uint64_t* next) const {
  if (place > end || end - place < kEntryHeaderBytes || place > segment_.size()) {
    return std::nullopt;
  }
  const std::optional<EntryHeader> header = DecodeEntryHeader(segment_.substr(place), seed_, place);
  if (!header || header->index < low || header->index > high ||
      header->padded_bytes() > end - place - kEntryHeaderBytes) {
    return std::nullopt;
  }
  EntryView entry;
  entry.index = header->index;
  entry.term = header->term;
  const uint64_t begin = place + kEntryHeaderBytes;
  const absl::string_view payload = segment_.substr(begin, header->payload_bytes);
  entry.intact = payload.size() == header->payload_bytes &&
                 header->payload_sum == Checksum(payload, seed_ + begin);
  if (entry.intact) {
    entry.type = header->type;
    entry.payload = payload;
  }
  *next = begin + header->padded_bytes();
  return entry;
}

void SegmentReader::Hurt(uint64_t offset, raft::Index index, std::string text) {
  if (!hurt_) problem_ = {offset, index, std::move(text)};
  hurt_ = true;
}

bool SegmentReader::note_lost() const { return !head_lost_ && !NoteAt(begin_); }

Note SegmentReader::note() const {
  Note note{batch_.sequence, batch_.keep_through, {}};
  for (const EntryView& entry : entries_) {
    if (note.runs.empty() || note.runs.back().term != entry.term) {
      if (note.runs.size() == kMaxTermRuns) break;
      note.runs.push_back({entry.term, 0});
    }
    ++note.runs.back().count;
  }
  return note;
}

SegmentReader::Step SegmentReader::Next() {
  entries_.clear();
  head_lost_ = hurt_ = blank_ = to_end_ = false;
  has_foot_ = true;
  lost_.reset();
  dirty_bytes_ = 0;
  const bool first = offset_ == begin_;
  begin_ = offset_;
  if (offset_ >= size_) return Step::kEnd;

  const std::optional<BatchHeader> header = HeaderAt(offset_);
  if (header && header->sequence == next_sequence_) {
    const uint64_t body_end = offset_ + kBatchHeadBytes + header->body_bytes;
    ReadBatch(*header, body_end,
              offset_ + RoundUp(kBatchHeadBytes + header->body_bytes, block_bytes_));
    return Step::kBatch;
  }
  const uint64_t dirty = Dirty(offset_, size_);
  // A segment without a batch that seals what cannot be read begins with a note about nothing.
  const std::optional<Note> front = NoteAt(offset_);
  const bool foot =
      front && (front->sequence + 1 == next_sequence_ || (first && front->sequence == 0));
  if (dirty == 0 || (foot && dirty <= kNoteBytes)) {
    has_foot_ = foot || first;
    return Step::kEnd;
  }
  // What is here is not what belongs here. Behind it, the next thing that says where it belongs.
  const uint64_t stop = offset_ + RoundUp(dirty, block_bytes_);
  uint64_t at = offset_ + block_bytes_;
  const auto tells = [&](uint64_t place) {
    const std::optional<Note> note = NoteAt(place);
    if (note && note->sequence >= next_sequence_) return true;
    const std::optional<BatchHeader> later = HeaderAt(place);
    return later && later->sequence > next_sequence_;
  };
  while (at < stop && at < segment_.size() && !tells(at)) at += block_bytes_;
  // Nothing is known of what is missing.
  if (at >= segment_.size() && !tells(at)) at = std::max(at, stop);
  at = std::min(at, size_);
  if (tells(at)) return ReadLost(at);

  to_end_ = true;
  dirty_bytes_ = dirty;
  Hurt(offset_, last_index_ + 1, "no batch and no foot");
  blank_ = Zero(begin_ + kNoteBytes, begin_ + kBatchHeadBytes) || dirty <= block_bytes_;
  offset_ = size_;
  return Step::kGap;
}

// From offset_ up to `found`, where an intact note or batch header is, nothing says what it is.
SegmentReader::Step SegmentReader::ReadLost(uint64_t found) {
  const std::optional<Note> note = NoteAt(found);
  const bool named = note && note->sequence >= next_sequence_ &&
                     note->count() <= (found - begin_) / kEntryHeaderBytes;
  if (named && note->sequence == next_sequence_) {
    BatchHeader header;
    header.sequence = note->sequence;
    header.keep_through = note->keep_through;
    header.count = static_cast<uint32_t>(note->count());
    head_lost_ = true;
    Hurt(begin_, header.keep_through + 1, "batch header: checksum mismatch");
    blank_ = Zero(begin_ + kNoteBytes, begin_ + kBatchHeadBytes);
    ReadBatch(header, found, found);
    return Step::kBatch;
  }
  Hurt(begin_, last_index_ + 1, "batch header: checksum mismatch");
  dirty_bytes_ = found - begin_;
  blank_ = Zero(begin_ + kNoteBytes, begin_ + kBatchHeadBytes);
  if (named) {
    lost_ = note;
    next_sequence_ = note->sequence + 1;
    last_index_ = note->last_index();
  } else if (const std::optional<BatchHeader> later = HeaderAt(found)) {
    next_sequence_ = later->sequence;
    last_index_ = later->keep_through;
  } else {
    // A note that cannot be true.
    to_end_ = true;
    offset_ = size_;
    return Step::kGap;
  }
  offset_ = found;
  return Step::kGap;
}

// The entries of a batch whose body is in front of `body_end`; the next one begins at `next`.
void SegmentReader::ReadBatch(const BatchHeader& header, uint64_t body_end, uint64_t next) {
  batch_ = header;
  const raft::Index last = header.keep_through + header.count;
  uint64_t place = begin_ + kBatchHeadBytes;
  uint64_t bad_from = place;  // where the first of the bad entries in a row begins
  const auto lose = [&](raft::Index through, uint64_t until) {
    for (raft::Index index = header.keep_through + 1 + entries_.size(); index <= through; ++index) {
      entries_.push_back({0, index, raft::EntryType::kCommand, {}, false});
    }
    blank_ |= HasZeroSector(bad_from, until);
  };
  while (entries_.size() < header.count) {
    const raft::Index index = header.keep_through + 1 + entries_.size();
    uint64_t behind = 0;
    uint64_t at = place;
    std::optional<EntryView> entry = EntryAt(at, body_end, index, index, &behind);
    if (!entry) {
      Hurt(place, index, "entry header: checksum mismatch");
      blank_ |= body_end - place >= kEntryHeaderBytes && Zero(place, place + kEntryHeaderBytes);
      // The next one that is readable, wherever it is.
      while (!entry && body_end - at > kEntryHeaderBytes && at < segment_.size()) {
        at += 8;
        entry = EntryAt(at, body_end, index + 1, last, &behind);
      }
      bad_from = place;
      if (!entry) {
        const uint64_t dirty = Dirty(place, body_end);
        lose(last, head_lost_ ? place + dirty : body_end);
        place = body_end;
        break;
      }
      lose(entry->index - 1, at);
    }
    if (!entry->intact) {
      Hurt(at, entry->index,
           absl::StrCat("payload of entry ", entry->index, " of term ", entry->term,
                        ": checksum mismatch"));
      blank_ |= HasZeroSector(at, behind);
    }
    entries_.push_back(*entry);
    place = behind;
  }
  if (place != body_end && !head_lost_) {
    // Intact, and impossible: nobody of ours has written this.
    Hurt(begin_, header.keep_through + 1, "batch header: impossible length");
    for (EntryView& entry : entries_) entry = {entry.term, entry.index, entry.type, {}, false};
  }

  const std::optional<Note> behind = hurt_ ? NoteAt(next) : std::nullopt;
  if (behind && behind->sequence == header.sequence &&
      behind->keep_through == header.keep_through && behind->count() == header.count) {
    size_t i = 0;
    for (const TermRun& run : behind->runs) {
      for (uint64_t n = 0; n < run.count; ++n) entries_[i++].term = run.term;
    }
  }
  if (hurt_ && next < size_) blank_ |= Zero(next, next + kNoteBytes);
  last_index_ = last;
  next_sequence_ = header.sequence + 1;
  offset_ = next;
}

}  // namespace raftkv::storage
