#include "storage/scrub.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"

namespace raftkv::storage {
namespace {

constexpr absl::string_view kHelp = "; the directory has to be opened anew";

}  // namespace

absl::Status Scrubber::Step(const Target& target, ScrubStep* step) {
  snapshot_index_ = target.snapshot.meta.index;
  switch (stage_) {
    case Stage::kRecords:
      return Records(target, step);
    case Stage::kSnapshot:
      return Snapshot(target, step);
    case Stage::kLog:
      return LogStep(target, step);
  }
  RAFTKV_CHECK(false);
}

void Scrubber::Find(uint64_t offset, raft::Index index, std::string text, ScrubStep* step) const {
  step->findings.push_back({file_, offset, index, std::move(text)});
}

// ---- Records ----

absl::Status Scrubber::Records(const Target& target, ScrubStep* step) {
  for (SlotPair* record : target.records) {
    file_ = record->name();
    const absl::StatusOr<std::vector<SlotPair::BadCopy>> bad = record->Scrub();
    if (!bad.ok()) return bad.status();
    step->bytes += 2 * kSlotBytes;
    for (const SlotPair::BadCopy& copy : *bad) {
      Find(copy.number * kSlotBytes, 0,
           copy.written.ok() ? std::string("a copy of the record is bad; written again")
                             : absl::StrCat("a copy of the record is bad, and cannot be written: ",
                                            copy.written.message()),
           step);
    }
  }
  stage_ = Stage::kSnapshot;
  return absl::OkStatus();
}

// ---- The snapshot ----

absl::Status Scrubber::Snapshot(const Target& target, ScrubStep* step) {
  const SnapshotInfo& current = target.snapshot;
  if (snapshot_ && *snapshot_ != current) {
    // A new one was read back when it was made.
    snapshot_.reset();
    stage_ = Stage::kLog;
    return absl::OkStatus();
  }
  if (!snapshot_) {
    snapshot_ = current;
    chunk_ = 0;
  }
  file_ = SnapshotName(current.meta.index, current.source);
  const auto bad = [&](uint64_t offset, absl::string_view why) {
    Find(offset, current.meta.index, absl::StrCat("the snapshot is bad: ", why), step);
    bad_snapshot_ = current;
  };
  absl::StatusOr<SnapshotFile> file =
      SnapshotFile::Open(target.disk, file_, target.owner.cluster, /*from_device=*/true);
  absl::Status status = file.status();
  if (file.ok() && file->info() != current) {
    status = absl::DataLossError("not the one that the manifest names");
  }
  step->bytes += kSnapshotHeaderBytes;
  bool more = status.ok();
  if (absl::IsDataLoss(status) || absl::IsNotFound(status)) {
    bad(0, status.message());
  } else if (!status.ok()) {
    return status;
  }
  while (more && chunk_ < file->chunks()) {
    const uint64_t offset = file->ChunkOffset(chunk_);
    const uint64_t bytes = std::min(file->ChunkOffset(chunk_ + 1), file->end()) - offset;
    if (step->bytes > kSnapshotHeaderBytes && step->bytes + bytes > kMaxScrubBytes) {
      return absl::OkStatus();
    }
    const absl::StatusOr<std::string> chunk = file->ReadChunk(chunk_);
    if (absl::IsDataLoss(chunk.status())) {
      bad(offset, chunk.status().message());
    } else if (!chunk.ok()) {
      return chunk.status();
    }
    step->bytes += bytes;
    ++chunk_;
  }
  snapshot_.reset();
  stage_ = Stage::kLog;
  return absl::OkStatus();
}

// ---- The log ----

absl::Status Scrubber::LogStep(const Target& target, ScrubStep* step) {
  for (size_t i = 0; i < target.segments.size(); ++i) {
    const LiveSegment& segment = target.segments[i];
    if (segment.id < segment_) continue;
    const bool newest = i + 1 == target.segments.size();
    // Recovery would not read those in front of the snapshot either.
    if (!newest && segment.last_index <= snapshot_index_) continue;
    if (segment.id != segment_) NextSegment();
    segment_ = segment.id;
    file_ = SegmentName(segment_);
    end_ = segment.end;
    if (!entered_) return Headers(target, segment, step);
    if (offset_ < end_) return Batches(target, segment, step);
    NextSegment();
  }
  Finish(target, step);
  return absl::OkStatus();
}

void Scrubber::NextSegment() {
  ++segment_;
  entered_ = false;
  batch_.reset();
  payload_.reset();
  gap_.reset();
}

absl::Status Scrubber::Headers(const Target& target, const LiveSegment& segment, ScrubStep* step) {
  entered_ = true;
  block_bytes_ = segment.block_bytes;
  offset_ = 2 * uint64_t{block_bytes_};
  absl::StatusOr<std::unique_ptr<File>> file = target.disk.Open(file_, Disk::Mode::kReadWrite);
  Bytes window;
  if (file.ok()) {
    (*file)->Forget(0, offset_);
    std::vector<LoadedSegment::Range> unreadable;
    absl::StatusOr<Bytes> read = ReadAround(**file, 0, offset_, &unreadable);
    if (!read.ok()) return read.status();
    window = *std::move(read);
  } else if (!absl::IsNotFound(file.status()) && !absl::IsDataLoss(file.status())) {
    return file.status();
  } else {
    window = Bytes(std::string(offset_, kNotRead));
  }
  step->bytes += window.size();
  std::optional<SegmentHeader> header;
  std::vector<uint64_t> bad;
  for (const uint64_t offset : {uint64_t{0}, uint64_t{block_bytes_}}) {
    absl::StatusOr<SegmentHeader> copy =
        DecodeSegmentHeader(absl::string_view(window).substr(offset), segment.id, offset);
    if (copy.ok() && copy->owner.cluster == target.owner.cluster) {
      header = *std::move(copy);
    } else {
      bad.push_back(offset);
    }
  }
  if (!header) {
    Find(0, snapshot_index_ + 1, absl::StrCat("both copies of the segment's header are bad", kHelp),
         step);
    Lose(snapshot_index_ + 1, UINT64_MAX);
    offset_ = UINT64_MAX;
    return absl::OkStatus();
  }
  seed_ = header->seed();
  last_index_ = header->base_index;
  next_sequence_ = header->first_sequence;
  if (bad.empty()) return absl::OkStatus();
  // Nothing but the copy is in its block.
  const std::string both = EncodeSegmentHeader(*header);
  const uint64_t offset = bad.front();
  absl::Status written =
      (*file)->Write(offset, absl::string_view(both).substr(offset, block_bytes_));
  // A file that has been cut is made longer by it: the disk may be full.
  if (!written.ok() && !absl::IsDataLoss(written) && !absl::IsResourceExhausted(written)) {
    return written;
  }
  if (absl::Status status = (*file)->Sync(); !status.ok()) return status;
  Find(offset, 0,
       written.ok() ? std::string("a copy of the segment's header is bad; written again")
                    : absl::StrCat("a copy of the segment's header is bad, and cannot be written: ",
                                   written.message()),
       step);
  return absl::OkStatus();
}

absl::Status Scrubber::Batches(const Target& target, const LiveSegment& segment, ScrubStep* step) {
  const uint64_t origin = offset_;
  const size_t bytes = std::min<uint64_t>(kMaxScrubBytes, segment.end - origin);
  Bytes window;
  absl::StatusOr<std::unique_ptr<File>> file = target.disk.Open(file_, Disk::Mode::kRead);
  if (file.ok()) {
    (*file)->Forget(origin, bytes);
    std::vector<LoadedSegment::Range> unreadable;
    absl::StatusOr<Bytes> read = ReadAround(**file, origin, bytes, &unreadable);
    if (!read.ok()) return read.status();
    window = *std::move(read);
    for (const LoadedSegment::Range& range : unreadable) {
      Find(range.offset, 0, absl::StrCat(range.bytes, " bytes cannot be read, or are missing"),
           step);
    }
  } else if (!absl::IsNotFound(file.status()) && !absl::IsDataLoss(file.status())) {
    return file.status();
  } else {
    window = Bytes(std::string(bytes, kNotRead));
  }
  step->bytes += window.size();
  while (offset_ < end_ && offset_ >= origin && Advance(segment, window, origin, step)) {
  }
  // A record that ends behind the segment's end is none; the window can only be too small for one
  // that begins late in it.
  if (offset_ == origin) offset_ = end_;
  if (offset_ < end_ || !gap_) return absl::OkStatus();
  absl::StatusOr<std::optional<Note>> behind = NoteBehind(target, segment, step);
  if (!behind.ok()) return behind.status();
  if (!Named(*behind, end_)) LoseGap(segment);
  return absl::OkStatus();
}

// The note about the last batch of a segment: the foot, or what comes next begins with it.
absl::StatusOr<std::optional<Note>> Scrubber::NoteBehind(const Target& target,
                                                         const LiveSegment& segment,
                                                         ScrubStep* step) const {
  const auto read = [&](uint64_t id, uint64_t offset) -> absl::StatusOr<std::optional<Note>> {
    absl::StatusOr<std::unique_ptr<File>> file =
        target.disk.Open(SegmentName(id), Disk::Mode::kRead);
    if (!file.ok()) return file.status();
    (*file)->Forget(offset, kNoteBytes);
    const absl::StatusOr<Bytes> bytes = (*file)->ReadBytes(offset, kNoteBytes);
    if (!bytes.ok()) return bytes.status();
    step->bytes += kNoteBytes;
    return DecodeNote(*bytes, FileSeed(target.owner.cluster, FileKind::kLog, id) + offset, 0);
  };
  absl::StatusOr<std::optional<Note>> note = read(segment.id, segment.end);
  if (note.ok() && *note) return note;
  // Segments without a batch begin with the same note, and may know nothing of it.
  for (const LiveSegment& later : target.segments) {
    if (later.id <= segment.id) continue;
    const uint64_t begin = 2 * uint64_t{later.block_bytes};
    note = read(later.id, begin);
    if ((note.ok() && *note) || later.end > begin) break;
  }
  if (absl::IsDataLoss(note.status()) || absl::IsNotFound(note.status())) return std::nullopt;
  return note;
}

// True if `note`, found at `place`, tells what the batch was whose header is lost. Its entries have
// headers of their own, and are read.
bool Scrubber::Named(const std::optional<Note>& note, uint64_t place) {
  if (!gap_ || !note || note->sequence != next_sequence_ ||
      note->count() > (place - *gap_) / kEntryHeaderBytes) {
    return false;
  }
  const Batch batch{*gap_, place, place, note->keep_through + 1,
                    static_cast<uint32_t>(note->count())};
  gap_.reset();
  offset_ = batch.begin + kBatchHeadBytes;
  Begin(batch, note->keep_through);
  return true;
}

// What it held, and cut away, is not known. If it has been like this since the directory was
// opened, recovery, which knows more, has found that nothing of it is missing: to open it anew
// would change nothing.
void Scrubber::LoseGap(const LiveSegment& segment) {
  const bool passed = std::find(segment.passed.begin(), segment.passed.end(),
                                PassedGap{*gap_, std::min(offset_, end_)}) != segment.passed.end();
  if (!passed) Lose(snapshot_index_ + 1, UINT64_MAX);
  gap_.reset();
}

bool Scrubber::Advance(const LiveSegment& segment, absl::string_view window, uint64_t origin,
                       ScrubStep* step) {
  if (payload_) return AdvancePayload(window, origin, step);
  if (batch_) return AdvanceEntry(window, origin, step);
  return AdvanceBatch(segment, window, origin, step);
}

bool Scrubber::AdvancePayload(absl::string_view window, uint64_t origin, ScrubStep* step) {
  if (offset_ < payload_->end) {
    const absl::string_view here = window.substr(offset_ - origin, payload_->end - offset_);
    if (here.empty()) return false;
    payload_digest_.Add(here);
    offset_ += here.size();
    if (offset_ < payload_->end) return false;
  }
  if (payload_digest_.value() != payload_->sum) {
    Find(payload_->place, payload_->index, "payload of an entry: checksum mismatch", step);
    Lose(payload_->index, payload_->index);
  }
  offset_ = payload_->behind;
  payload_.reset();
  return true;
}

bool Scrubber::AdvanceEntry(absl::string_view window, uint64_t origin, ScrubStep* step) {
  if (batch_->entries_left == 0) {
    offset_ = batch_->next;
    batch_.reset();
    return true;
  }
  const uint64_t place = offset_;
  const bool room = batch_->body_end >= place && batch_->body_end - place >= kEntryHeaderBytes;
  if (room &&
      (place - origin > window.size() || window.size() - (place - origin) < kEntryHeaderBytes))
    return false;
  const std::optional<EntryHeader> header =
      room ? DecodeEntryHeader(window.substr(place - origin), seed_, place) : std::nullopt;
  if (!header || header->index != batch_->next_index ||
      header->padded_bytes() > batch_->body_end - place - kEntryHeaderBytes) {
    Find(place, batch_->next_index, "header of an entry: checksum mismatch", step);
    // Where the next one begins is lost with it.
    Lose(batch_->next_index, batch_->next_index + batch_->entries_left - 1);
    offset_ = batch_->next;
    batch_.reset();
    return true;
  }
  offset_ = place + kEntryHeaderBytes;
  payload_ = Payload{place, offset_ + header->payload_bytes, offset_ + header->padded_bytes(),
                     header->index, header->payload_sum};
  payload_digest_.Reset(seed_ + offset_);
  ++batch_->next_index;
  --batch_->entries_left;
  return true;
}

// At the beginning of a block.
bool Scrubber::AdvanceBatch(const LiveSegment& segment, absl::string_view window, uint64_t origin,
                            ScrubStep* step) {
  const uint64_t at = offset_ - origin;
  if (at > window.size() || window.size() - at < kBatchHeadBytes) return false;
  const absl::string_view head = window.substr(at, kBatchHeadBytes);
  // Both are seeded with their place in the segment, and decoded as if this were the only part of
  // it that there is.
  const std::optional<Note> note = DecodeNote(head, seed_ + offset_, 0);
  const std::optional<BatchHeader> header = DecodeBatchHeader(head, seed_ + offset_, 0);
  if (Named(note, offset_)) return true;
  const bool right =
      header && (gap_ ? header->sequence > next_sequence_ : header->sequence == next_sequence_) &&
      header->body_bytes <= end_ - offset_ - kBatchHeadBytes &&
      header->body_bytes / kEntryHeaderBytes >= header->count;
  if (!right) {
    if (!gap_) {
      Find(offset_, last_index_ + 1, "header of a batch: checksum mismatch", step);
      gap_ = offset_;
    }
    offset_ += block_bytes_;
    return true;
  }
  if (gap_) {
    LoseGap(segment);
  } else if (!note) {
    Find(offset_, 0, "note about the batch before: checksum mismatch; nothing is lost with it",
         step);
  }
  const uint64_t body_end = offset_ + kBatchHeadBytes + header->body_bytes;
  next_sequence_ = header->sequence;
  const Batch batch{offset_, body_end,
                    offset_ + RoundUp(kBatchHeadBytes + header->body_bytes, block_bytes_),
                    header->keep_through + 1, header->count};
  offset_ += kBatchHeadBytes;
  Begin(batch, header->keep_through);
  return true;
}

void Scrubber::Begin(const Batch& batch, raft::Index keep_through) {
  Cut(keep_through);
  last_index_ = keep_through + batch.entries_left;
  ++next_sequence_;
  batch_ = batch;
}

void Scrubber::Lose(raft::Index first, raft::Index last) { lost_.push_back({first, last}); }

void Scrubber::Cut(raft::Index keep_through) {
  for (Lost& lost : lost_) lost.last = std::min(lost.last, keep_through);
  std::erase_if(lost_, [](const Lost& lost) { return lost.first > lost.last; });
}

void Scrubber::Finish(const Target& target, ScrubStep* step) {
  step->finished = true;
  const raft::Index snapshot = target.snapshot.meta.index;
  step->repairable = snapshot != 0 && bad_snapshot_ == target.snapshot;
  for (const Lost& lost : lost_) step->repairable |= lost.last > snapshot;
  stage_ = Stage::kRecords;
  bad_snapshot_.reset();
  lost_.clear();
  NextSegment();
  segment_ = 0;
}

}  // namespace raftkv::storage
