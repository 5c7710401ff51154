#include "storage/log.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "core/raft/check.h"
#include "storage/checksum.h"
#include "storage/encoding.h"

namespace raftkv::storage {
namespace {

constexpr absl::string_view kPrefix = "log-";
constexpr absl::string_view kTemporary = ".tmp";
constexpr absl::string_view kMarksMagic("RKVMARK\n", 8);

SlotFile MarksFile(const ClusterId& cluster) {
  return {"marks", kMarksMagic, FileSeed(cluster, FileKind::kMarks, 0)};
}

std::string EncodeMark(const Mark& mark) {
  std::string payload;
  PutU64(payload, mark.sequence);
  PutU64(payload, mark.last_index);
  PutU64(payload, mark.segment);
  PutU64(payload, mark.end);
  return payload;
}

std::optional<Mark> DecodeMark(absl::string_view payload) {
  Reader reader(payload);
  Mark mark;
  mark.sequence = reader.U64();
  mark.last_index = reader.U64();
  mark.segment = reader.U64();
  mark.end = reader.U64();
  if (!reader.done()) return std::nullopt;
  return mark;
}

absl::Status Rotten(const Disk& disk, uint64_t segment, const SegmentReader::Problem& problem) {
  return absl::DataLossError(
      absl::StrCat(disk.Describe(), "/", SegmentName(segment), ": offset ", problem.offset, ": ",
                   problem.text, "; entry ", problem.index,
                   " was durable and may have been acknowledged, so it is not cut off"));
}

// An error after which nothing of the file is certain. "No space" would tell the caller that
// nothing was written.
absl::Status Final(absl::Status status) {
  if (!absl::IsResourceExhausted(status)) return status;
  return absl::DataLossError(absl::StrCat("in the middle of a write: ", status.message()));
}

}  // namespace

std::string SegmentName(uint64_t segment) { return absl::StrFormat("%s%016x", kPrefix, segment); }

std::optional<uint64_t> ParseSegmentName(absl::string_view name) {
  const absl::string_view bare = absl::StripSuffix(name, kTemporary);
  absl::string_view digits = bare;
  uint64_t segment = 0;
  if (!absl::ConsumePrefix(&digits, kPrefix) || digits.size() != 16 ||
      !absl::SimpleHexAtoi(digits, &segment) || SegmentName(segment) != bare) {
    return std::nullopt;
  }
  return segment;
}

Marks::Marks(SlotFile file, std::unique_ptr<File> handle, const Found& found)
    : file_(std::move(file)), handle_(std::move(handle)), found_(found) {}

absl::Status Marks::Create(Disk& disk, const ClusterId& cluster) {
  return CreateSlotFile(disk, MarksFile(cluster), EncodeMark({}));
}

absl::StatusOr<Marks::Found> Marks::Read(Disk& disk, const ClusterId& cluster) {
  absl::StatusOr<std::unique_ptr<File>> handle = disk.Open("marks", Disk::Mode::kRead);
  if (absl::IsNotFound(handle.status())) return Found{};
  if (!handle.ok()) return handle.status();
  const SlotFile file = MarksFile(cluster);
  Found found;
  for (uint64_t offset : {uint64_t{0}, kSlotBytes}) {
    std::string bytes(kSlotBytes, '\0');
    absl::StatusOr<size_t> got = (*handle)->Read(offset, bytes.data(), bytes.size());
    if (absl::IsAborted(got.status())) return got.status();
    if (!got.ok()) continue;
    absl::StatusOr<Slot> slot = DecodeSlot(file, offset, absl::string_view(bytes).substr(0, *got));
    if (absl::IsUnimplemented(slot.status())) return slot.status();
    const std::optional<Mark> mark = slot.ok() ? DecodeMark(slot->payload) : std::nullopt;
    if (mark && slot->generation > found.generation) found = {*mark, slot->generation};
  }
  return found;
}

absl::StatusOr<Marks> Marks::Open(Disk& disk, const ClusterId& cluster,
                                  std::vector<RecoveryEvent>* events) {
  absl::StatusOr<Found> found = Read(disk, cluster);
  if (!found.ok()) return found.status();
  if (found->generation == 0) {
    events->push_back({RecoveryEvent::Kind::kMarksLost, "marks", 0, 0,
                       "durable marks are unreadable and begin anew"});
    absl::Status status = Create(disk, cluster);
    if (!status.ok()) return status;
    found->generation = 1;
  }
  absl::StatusOr<std::unique_ptr<File>> handle = disk.Open("marks", Disk::Mode::kReadWrite);
  if (!handle.ok()) return handle.status();
  return Marks(MarksFile(cluster), *std::move(handle), *found);
}

absl::Status Marks::Write(const Mark& mark) {
  // The slot of the newest mark is never the one that is overwritten.
  found_ = {mark, found_.generation + 1};
  const uint64_t offset = found_.generation % 2 * kSlotBytes;
  return handle_->Write(offset, EncodeSlot(file_, offset, {found_.generation, EncodeMark(mark)}));
}

absl::StatusOr<LoadedSegment> LoadSegment(Disk& disk, uint64_t segment) {
  const std::string name = SegmentName(segment);
  absl::StatusOr<std::unique_ptr<File>> file = disk.Open(name, Disk::Mode::kRead);
  if (!file.ok()) return file.status();
  absl::StatusOr<uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  if (*size > kMaxSegmentBytes) {
    return absl::DataLossError(absl::StrCat(disk.Describe(), "/", name, ": ", *size,
                                            " bytes are more than a segment can have"));
  }
  LoadedSegment loaded;
  loaded.bytes.resize(*size);
  absl::StatusOr<size_t> got = (*file)->Read(0, loaded.bytes.data(), loaded.bytes.size());
  if (!got.ok()) return got.status();
  loaded.bytes.resize(*got);
  absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(loaded.bytes, segment);
  if (!header.ok()) {
    return absl::Status(header.status().code(),
                        absl::StrCat(disk.Describe(), "/", name, ": ", header.status().message()));
  }
  loaded.header = *header;
  return loaded;
}

Log::Log(Disk& disk, const Identity& owner, const Options& options, Marks marks)
    : disk_(disk),
      owner_(owner),
      options_(options),
      marks_(std::move(marks)),
      reserve_(disk, RoundUp(options.segment_bytes, options.block_bytes)) {}

absl::Status Log::Create(Disk& disk, const Identity& owner, raft::Index base_index) {
  const std::string name = SegmentName(1);
  const std::string temporary = absl::StrCat(name, kTemporary);
  absl::Status status = disk.Remove(temporary);
  if (!status.ok() && !absl::IsNotFound(status)) return status;
  absl::StatusOr<std::unique_ptr<File>> file = disk.Create(temporary);
  if (!file.ok()) return file.status();
  SegmentHeader header;
  header.owner = owner;
  header.segment = 1;
  header.base_index = base_index;
  header.segment_bytes = header.block_bytes;
  status = (*file)->Write(0, EncodeSegmentHeader(header));
  if (!status.ok()) return status;
  status = (*file)->Sync();
  if (!status.ok()) return status;
  return disk.Rename(temporary, name);
}

absl::StatusOr<std::unique_ptr<Log>> Log::Open(Disk& disk, const Identity& owner,
                                               const Options& options, uint64_t first_segment,
                                               raft::Index snapshot_index, Recovery* recovery,
                                               std::vector<RecoveryEvent>* events) {
  absl::StatusOr<Marks> marks = Marks::Open(disk, owner.cluster, events);
  if (!marks.ok()) return marks.status();
  std::unique_ptr<Log> log(new Log(disk, owner, options, *std::move(marks)));
  // The recovery needs a segment, and may need this one. Without it the node starts all the same.
  absl::Status status = log->FillReserve();
  if (!status.ok() && !absl::IsResourceExhausted(status)) return status;
  status = log->Recover(first_segment, snapshot_index, recovery, events);
  if (!status.ok()) return status;
  return log;
}

absl::Status Log::FindChain(uint64_t first_segment, raft::Index snapshot_index,
                            std::vector<SegmentHeader>* chain) {
  absl::StatusOr<std::vector<std::string>> names = disk_.List();
  if (!names.ok()) return names.status();
  std::vector<uint64_t> ids;
  highest_segment_ = std::max(first_segment, marks_.newest().segment);
  for (const std::string& name : *names) {
    const std::optional<uint64_t> id = ParseSegmentName(name);
    if (!id) continue;
    highest_segment_ = std::max(highest_segment_, *id);
    if (*id >= first_segment && !absl::EndsWith(name, kTemporary)) ids.push_back(*id);
  }
  std::sort(ids.begin(), ids.end());

  // From the newest back along the links. A fresh start that the manifest does not name never came
  // into force.
  std::optional<uint64_t> wanted;
  while (!ids.empty()) {
    const uint64_t id = ids.back();
    ids.pop_back();
    if (wanted && id > *wanted) continue;
    if (wanted && id < *wanted) break;
    absl::StatusOr<LoadedSegment> loaded = LoadSegment(disk_, id);
    if (!loaded.ok()) return loaded.status();
    const SegmentHeader& header = loaded->header;
    if (header.owner.cluster != owner_.cluster || header.owner.node != owner_.node ||
        header.owner.incarnation != owner_.incarnation || header.owner.group != owner_.group) {
      return absl::DataLossError(absl::StrCat(
          disk_.Describe(), "/", SegmentName(id), ": belongs to node ", header.owner.node,
          " incarnation ", header.owner.incarnation, " of cluster ", ToHex(header.owner.cluster)));
    }
    const bool fresh = header.previous_segment == 0;
    if (fresh && id != first_segment && !wanted) continue;
    chain->push_back(header);
    wanted = header.previous_segment;
    if (fresh) break;
  }
  std::reverse(chain->begin(), chain->end());
  if (chain->empty()) {
    return absl::DataLossError(absl::StrCat(disk_.Describe(), "/", SegmentName(first_segment),
                                            ": missing, the log begins there"));
  }
  const SegmentHeader& oldest = chain->front();
  const bool begins = oldest.previous_segment == 0 && oldest.segment == first_segment;
  if (!begins && oldest.base_index > snapshot_index) {
    return absl::DataLossError(
        absl::StrCat(disk_.Describe(), "/", SegmentName(oldest.previous_segment),
                     ": missing; it held entries up to ", oldest.base_index,
                     ", and the snapshot covers only those up to ", snapshot_index));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Log::JudgeTail(const LoadedSegment& newest,
                                        std::vector<RecoveryEvent>* events) {
  const uint64_t segment = newest.header.segment;
  uint64_t durable = std::max(marks_.newest().sequence, newest.header.durable_sequence());
  raft::Index last_index = newest.header.base_index;
  SegmentReader reader(newest.bytes, newest.header, newest.bytes.size());
  SegmentReader::Step step = reader.Next();
  for (; step == SegmentReader::Step::kBatch; step = reader.Next()) {
    durable = std::max(durable, reader.batch().durable_sequence);
    last_index = reader.batch().keep_through + reader.batch().count;
  }
  SegmentReader::Problem problem = reader.problem();
  if (step == SegmentReader::Step::kBad) {
    durable = std::max(durable, reader.DurableSequenceBehind());
  } else {
    problem = {reader.offset(), last_index + 1, "zeros where a batch was"};
  }
  if (reader.next_sequence() <= durable) return Rotten(disk_, segment, problem);
  if (step == SegmentReader::Step::kBad) {
    events->push_back({RecoveryEvent::Kind::kTornTail, SegmentName(segment), reader.offset(),
                       reader.DirtyBytes(),
                       absl::StrCat("cut off, never acknowledged: ", problem.text, " at offset ",
                                    problem.offset)});
  }
  return durable;
}

absl::Status Log::Recover(uint64_t first_segment, raft::Index snapshot_index, Recovery* recovery,
                          std::vector<RecoveryEvent>* events) {
  std::vector<SegmentHeader> chain;
  absl::Status status = FindChain(first_segment, snapshot_index, &chain);
  if (!status.ok()) return status;

  // The log as replayed so far ends at last_index_; entries below the first one in `entries` are
  // unknown and covered by the snapshot.
  raft::Entries entries;
  last_index_ = chain.front().base_index;
  sequence_ = chain.front().first_sequence - 1;
  raft::Index sealed_index = last_index_;  // where the batches that are vouched for leave the log
  raft::Index cut = 0;                     // the others change the log behind this entry
  uint64_t suspects = 0;
  uint64_t suspect_bytes = 0;
  for (size_t i = 0; i < chain.size(); ++i) {
    const bool newest = i + 1 == chain.size();
    absl::StatusOr<LoadedSegment> loaded = LoadSegment(disk_, chain[i].segment);
    if (!loaded.ok()) return loaded.status();
    const SegmentHeader& header = loaded->header;
    if (header.first_sequence != sequence_ + 1 || header.base_index != last_index_) {
      return absl::DataLossError(absl::StrCat(
          disk_.Describe(), "/", SegmentName(header.segment), ": begins with batch ",
          header.first_sequence, " after entry ", header.base_index,
          ", the segment before it ends with batch ", sequence_, " and entry ", last_index_));
    }
    uint64_t end = loaded->bytes.size();
    uint64_t durable = UINT64_MAX;  // an older segment was synced before its successor got its name
    if (newest) {
      absl::StatusOr<uint64_t> judged = JudgeTail(*loaded, events);
      if (!judged.ok()) return judged.status();
      durable = *judged;
    } else {
      end = chain[i + 1].previous_end;
    }

    SegmentReader reader(loaded->bytes, header, end);
    Segment segment{header.segment,     header.base_index,    header.block_bytes,
                    header.block_bytes, loaded->bytes.size(), 0};
    sealed_index = last_index_;
    SegmentReader::Step step = reader.Next();
    for (; step == SegmentReader::Step::kBatch; step = reader.Next()) {
      const BatchHeader& batch = reader.batch();
      commit_ = std::max(commit_, batch.commit);
      while (!entries.empty() && entries.back().index > batch.keep_through) entries.pop_back();
      for (const EntryView& view : reader.entries()) {
        entries.push_back({view.term, view.index, raft::Payload::Copy(view.payload), view.type});
      }
      last_index_ = batch.keep_through + batch.count;
      if (batch.sequence <= durable) {
        sequence_ = batch.sequence;
        sealed_index = last_index_;
        segment.end = reader.offset();
      } else {
        cut = std::min(suspects == 0 ? sealed_index : cut, batch.keep_through);
        ++suspects;
      }
    }
    if (!newest && reader.offset() != end) {
      SegmentReader::Problem problem = reader.problem();
      if (step != SegmentReader::Step::kBad) {
        problem = {reader.offset(), last_index_ + 1, "zeros where a batch was"};
      }
      return Rotten(disk_, header.segment, problem);
    }
    suspect_bytes = suspects > 0 ? reader.offset() - segment.end : 0;
    segments_.push_back(segment);
  }
  if (last_index_ < snapshot_index) {
    return absl::DataLossError(absl::StrCat(disk_.Describe(), ": the log ends at entry ",
                                            last_index_, ", before the snapshot of entry ",
                                            snapshot_index));
  }

  // A new segment seals the old one where the vouched batches end, and holds what came behind anew.
  const Segment sealed = segments_.back();
  std::optional<Change> rewritten;
  if (suspects > 0) {
    const raft::Entry* begin = entries.data();
    const raft::Entry* end = begin + entries.size();
    while (begin != end && begin->index <= cut) ++begin;
    rewritten = Change{cut, begin, end, commit_};
    events->push_back({RecoveryEvent::Kind::kTailRewritten, SegmentName(sealed.id), sealed.end,
                       suspect_bytes,
                       absl::StrCat(suspects, suspects == 1 ? " batch" : " batches",
                                    " not known to be durable written again")});
  }
  status = CreateSegment({sealed.id, sealed.end, sealed_index, sequence_ + 1}, rewritten);
  if (!status.ok()) return status;
  status = NoteDurable();
  if (!status.ok()) return status;
  status = RemoveLeftovers(events);
  if (!status.ok()) return status;
  if (sealed.bytes > sealed.end) {
    absl::StatusOr<std::unique_ptr<File>> file =
        disk_.Open(SegmentName(sealed.id), Disk::Mode::kReadWrite);
    if (!file.ok()) return file.status();
    status = (*file)->Truncate(sealed.end);
    if (!status.ok()) return status;
    segments_[segments_.size() - 2].bytes = sealed.end;
  }

  recovery->commit = commit_;
  auto kept = std::find_if(entries.begin(), entries.end(),
                           [&](const raft::Entry& entry) { return entry.index > snapshot_index; });
  recovery->entries.assign(std::make_move_iterator(kept), std::make_move_iterator(entries.end()));
  return absl::OkStatus();
}

absl::Status Log::RemoveLeftovers(std::vector<RecoveryEvent>* events) {
  absl::StatusOr<std::vector<std::string>> names = disk_.List();
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    const std::optional<uint64_t> id = ParseSegmentName(name);
    if (!id) continue;
    const bool live = std::any_of(segments_.begin(), segments_.end(),
                                  [&](const Segment& segment) { return segment.id == *id; });
    if (live && name == SegmentName(*id)) continue;
    absl::Status status = disk_.Remove(name);
    if (!status.ok()) return status;
    events->push_back({RecoveryEvent::Kind::kLeftoverRemoved, name, 0, 0,
                       "segment of an unfinished or superseded log removed"});
  }
  return absl::OkStatus();
}

namespace {

// Calls `batch(begin, end, body bytes)` for each piece of [begin, end) that goes into one batch;
// once for no entries at all.
template <typename Batch>
void ForEachBatch(const raft::Entry* begin, const raft::Entry* end, Batch batch) {
  do {
    const raft::Entry* stop = begin;
    size_t body = 0;
    while (stop != end && (stop == begin || body + EncodedEntryBytes(*stop) <= kMaxBatchBody)) {
      body += EncodedEntryBytes(*stop);
      ++stop;
    }
    batch(begin, stop, body);
    begin = stop;
  } while (begin != end);
}

}  // namespace

uint64_t Log::EncodedBytes(const Change& change, uint32_t block_bytes) const {
  uint64_t bytes = 0;
  ForEachBatch(change.begin, change.end, [&](const raft::Entry*, const raft::Entry*, size_t body) {
    bytes += RoundUp(kBatchHeaderBytes + body, block_bytes);
  });
  return bytes;
}

uint32_t Log::Encode(const Change& change, const SegmentHeader& segment, uint64_t origin,
                     uint64_t durable_sequence, raft::Index durable_index) {
  uint32_t batches = 0;
  const uint64_t seed = segment.seed();
  BatchHeader header;
  header.sequence = durable_sequence;
  header.durable_sequence = durable_sequence;
  header.durable_index = durable_index;
  header.keep_through = change.keep_through;
  // A commit index told once is true for ever; told again, it outlives the segment that held it.
  commit_ = std::max(commit_, change.commit);
  header.commit = commit_;
  ForEachBatch(change.begin, change.end,
               [&](const raft::Entry* begin, const raft::Entry* end, size_t) {
                 ++header.sequence;
                 AppendBatch(buffer_, seed, origin + buffer_.size(), segment.block_bytes, header,
                             begin, end);
                 header.keep_through += static_cast<raft::Index>(end - begin);
                 ++batches;
               });
  return batches;
}

absl::Status Log::CreateSegment(const Beginning& beginning, const std::optional<Change>& change) {
  SegmentHeader header;
  header.owner = owner_;
  header.segment = ++highest_segment_;
  header.first_sequence = beginning.first_sequence;
  header.base_index = beginning.base_index;
  header.previous_segment = beginning.previous_segment;
  header.previous_end = beginning.previous_end;
  header.block_bytes = options_.block_bytes;
  const uint64_t content =
      header.block_bytes + (change ? EncodedBytes(*change, header.block_bytes) : 0);
  if (content > kMaxSegmentBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a job of ", content, " bytes is more than a log segment can hold"));
  }
  header.segment_bytes = std::max(RoundUp(options_.segment_bytes, header.block_bytes), content);

  buffer_.assign(header.block_bytes, '\0');
  if (change) {
    header.initial_batches =
        Encode(*change, header, 0, beginning.first_sequence - 1, beginning.base_index);
  }
  buffer_.replace(0, header.block_bytes, EncodeSegmentHeader(header));
  ZeroAhead(content, header.segment_bytes);

  const std::string name = SegmentName(header.segment);
  const std::string temporary = absl::StrCat(name, kTemporary);
  absl::StatusOr<std::unique_ptr<File>> file = reserve_.CreateFile(temporary, header.segment_bytes);
  if (!file.ok()) return file.status();
  absl::Status status = (*file)->Write(0, buffer_);
  if (status.ok()) status = (*file)->Sync();
  if (status.ok()) status = disk_.Rename(temporary, name);
  if (absl::IsResourceExhausted(status)) {
    // Nothing counts yet. Should the removal fail too, the next start sees to it.
    (void)disk_.Remove(temporary);
    return status;
  }
  if (status.ok()) status = Final(disk_.SyncDir());
  if (!status.ok()) return status;

  ++syncs_;
  batches_ += header.initial_batches;
  sequence_ = header.durable_sequence();
  last_index_ = beginning.base_index;
  if (change) {
    last_index_ = change->keep_through + static_cast<raft::Index>(change->end - change->begin);
  }
  segments_.push_back({header.segment, beginning.base_index, header.block_bytes, content,
                       header.segment_bytes, buffer_.size()});
  active_ = *std::move(file);
  return absl::OkStatus();
}

absl::Status Log::Append(raft::Index keep_through, const raft::Entries& entries,
                         raft::Index commit) {
  RAFTKV_CHECK(keep_through <= last_index_);
  RAFTKV_CHECK(entries.empty() || entries.front().index == keep_through + 1);
  if (entries.empty() && keep_through == last_index_) return absl::OkStatus();
  const Change change{keep_through, entries.data(), entries.data() + entries.size(), commit};

  Segment& active = segments_.back();
  const uint64_t bytes = EncodedBytes(change, active.block_bytes);
  if (active.end + bytes > active.bytes) {
    absl::Status status =
        CreateSegment({active.id, active.end, last_index_, sequence_ + 1}, change);
    return status.ok() ? NoteDurable() : status;
  }
  buffer_.clear();
  SegmentHeader header;
  header.owner = owner_;
  header.segment = active.id;
  header.block_bytes = active.block_bytes;
  const uint32_t batches = Encode(change, header, active.end, sequence_, last_index_);
  RAFTKV_CHECK(buffer_.size() == bytes);
  if (active.end + bytes > active.written) ZeroAhead(active.end + bytes, active.bytes);
  absl::Status status = Final(active_->Write(active.end, buffer_));
  if (status.ok()) status = Final(active_->Sync());
  if (!status.ok()) return status;
  ++syncs_;
  batches_ += batches;
  sequence_ += batches;
  last_index_ = keep_through + entries.size();
  active.written = std::max(active.written, active.end + buffer_.size());
  active.end += bytes;
  return NoteDurable();
}

absl::StatusOr<uint64_t> Log::StartOver(raft::Index base, const raft::Entries& entries,
                                        raft::Index commit) {
  RAFTKV_CHECK(entries.empty() || entries.front().index == base + 1);
  std::optional<Change> change;
  if (!entries.empty()) {
    change = Change{base, entries.data(), entries.data() + entries.size(), commit};
  }
  absl::Status status = CreateSegment({0, 0, base, sequence_ + 1}, change);
  if (!status.ok()) return status;
  old_.insert(old_.end(), segments_.begin(), segments_.end() - 1);
  segments_.erase(segments_.begin(), segments_.end() - 1);
  return segments_.back().id;
}

absl::Status Log::DropOld() {
  absl::Status status = NoteDurable();
  // What cannot be removed now is a leftover for the next start.
  for (const Segment& segment : old_) (void)disk_.Remove(SegmentName(segment.id));
  old_.clear();
  return status;
}

absl::Status Log::Compact(raft::Index index) {
  size_t dead = 0;
  while (dead + 1 < segments_.size() && segments_[dead + 1].base_index <= index) ++dead;
  if (dead == 0) return absl::OkStatus();
  for (size_t i = 0; i < dead; ++i) {
    absl::Status status = Final(disk_.Remove(SegmentName(segments_[i].id)));
    if (!status.ok()) return status;
  }
  segments_.erase(segments_.begin(), segments_.begin() + static_cast<ptrdiff_t>(dead));
  return Final(disk_.SyncDir());
}

void Log::ZeroAhead(uint64_t end, uint64_t bytes) {
  buffer_.append(std::min(options_.zero_ahead_bytes, bytes - end), '\0');
}

absl::Status Log::NoteDurable() {
  return Final(marks_.Write({sequence_, last_index_, segments_.back().id, segments_.back().end}));
}

void Log::AddTo(Stats* stats) const {
  stats->batches += batches_;
  stats->log_syncs += syncs_;
  stats->segments += segments_.size();
  for (const Segment& segment : segments_) stats->log_bytes += segment.end;
}

}  // namespace raftkv::storage
