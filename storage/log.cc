#include "storage/log.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
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
  SmallRecord<40> payload;
  payload.U64(mark.sequence).U64(mark.last_index).U64(mark.last_term);
  payload.U64(mark.segment).U64(mark.end);
  return std::string(payload.view());
}

std::optional<Mark> DecodeMark(absl::string_view payload) {
  Reader reader(payload);
  Mark mark;
  mark.sequence = reader.U64();
  mark.last_index = reader.U64();
  mark.last_term = reader.U64();
  mark.segment = reader.U64();
  mark.end = reader.U64();
  const uint64_t largest =
      std::max({mark.sequence, mark.last_index, mark.last_term, mark.segment, mark.end});
  if (!reader.done() || largest > kMaxNumber) return std::nullopt;
  return mark;
}

// An error after which nothing of the file is certain. "No space" would tell the caller that
// nothing was written.
absl::Status Final(absl::Status status) {
  if (!absl::IsResourceExhausted(status)) return status;
  return absl::DataLossError(absl::StrCat("in the middle of a write: ", status.message()));
}

raft::Entries DeepCopy(const raft::Entry* begin, const raft::Entry* end) {
  raft::Entries copies;
  for (const raft::Entry* entry = begin; entry != end; ++entry) {
    copies.push_back(
        {entry->term, entry->index, raft::Payload::Copy(entry->payload.view()), entry->type});
  }
  return copies;
}

void AddRange(LoadedSegment::Range range, std::vector<LoadedSegment::Range>* ranges) {
  if (!ranges->empty() && ranges->back().offset + ranges->back().bytes == range.offset) {
    ranges->back().bytes += range.bytes;
  } else {
    ranges->push_back(range);
  }
}

// What a read of it all has come to, or in smaller pieces what it could not give, into the buffer.
absl::Status PutTogether(File& file, uint64_t offset, char* buffer, size_t length,
                         const absl::StatusOr<Bytes>& read,
                         std::vector<LoadedSegment::Range>* unreadable) {
  if (!read.ok() && !absl::IsDataLoss(read.status())) return read.status();
  if (!read.ok() && length > kSectorBytes) {
    const size_t piece = RoundUp(std::max<size_t>(length / 16, 1), kSectorBytes);
    for (size_t at = 0; at < length; at += piece) {
      const size_t bytes = std::min(piece, length - at);
      absl::Status status = PutTogether(file, offset + at, buffer + at, bytes,
                                        file.ReadBytes(offset + at, bytes), unreadable);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  const size_t got = read.ok() ? absl::string_view(*read).copy(buffer, length) : 0;
  if (got == length) return absl::OkStatus();
  std::fill(buffer + got, buffer + length, kNotRead);
  AddRange({offset + got, length - got}, unreadable);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Bytes> ReadAround(File& file, uint64_t offset, size_t length,
                                 std::vector<LoadedSegment::Range>* unreadable) {
  absl::StatusOr<Bytes> read = file.ReadBytes(offset, length);
  if (read.ok() && read->size() == length) return read;
  const std::shared_ptr<char[]> buffer = std::make_shared_for_overwrite<char[]>(length);
  absl::Status status = PutTogether(file, offset, buffer.get(), length, read, unreadable);
  if (!status.ok()) return status;
  return Bytes(buffer, {buffer.get(), length});
}

void TermTable::Reset(raft::Index index, raft::Term term) { runs_ = {{index, term}}; }

void TermTable::Cut(raft::Index keep_through) {
  while (runs_.size() > 1 && runs_.back().first > keep_through) runs_.pop_back();
}

void TermTable::Append(raft::Index index, raft::Term term) {
  if (runs_.back().term != term) runs_.push_back({index, term});
}

raft::Term TermTable::At(raft::Index index) const {
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    if (run->first <= index) return run->term;
  }
  return 0;
}

void TermTable::Forget(raft::Index index) {
  size_t dead = 0;
  while (dead + 1 < runs_.size() && runs_[dead + 1].first <= index) ++dead;
  runs_.erase(runs_.begin(), runs_.begin() + static_cast<ptrdiff_t>(dead));
}

std::string SegmentName(uint64_t segment) {
  return absl::StrCat(kPrefix, absl::Hex(segment, absl::kZeroPad16));
}

std::optional<uint64_t> ParseSegmentName(absl::string_view name) {
  // As SegmentName writes them: no other name is one of this number.
  absl::string_view digits = absl::StripSuffix(name, kTemporary);
  if (!absl::ConsumePrefix(&digits, kPrefix) || digits.size() != 16) return std::nullopt;
  uint64_t segment = 0;
  for (const char c : digits) {
    const bool decimal = c >= '0' && c <= '9';
    if (!decimal && (c < 'a' || c > 'f')) return std::nullopt;
    segment = segment << 4 | static_cast<uint64_t>(decimal ? c - '0' : c - 'a' + 10);
  }
  if (segment > kMaxNumber) return std::nullopt;
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
    const absl::StatusOr<Bytes> bytes = (*handle)->ReadBytes(offset, kSlotBytes);
    if (absl::IsAborted(bytes.status())) return bytes.status();
    if (!bytes.ok()) {
      found.unreadable[offset / kSlotBytes] = true;
      continue;
    }
    absl::StatusOr<Slot> slot = DecodeSlot(file, offset, *bytes);
    if (absl::IsUnimplemented(slot.status())) {
      return absl::UnimplementedError(
          absl::StrCat(disk.Describe(), "/", file.name, ": ", slot.status().message()));
    }
    const std::optional<Mark> mark = slot.ok() ? DecodeMark(slot->payload) : std::nullopt;
    if (mark && slot->generation > found.generation && slot->generation <= kMaxGeneration / 2) {
      found.newest = *mark;
      found.generation = slot->generation;
    }
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
    *found = Found{};
    found->generation = 1;
  }
  absl::StatusOr<std::unique_ptr<File>> handle = disk.Open("marks", Disk::Mode::kReadWrite);
  if (!handle.ok()) return handle.status();
  // What has lost its end gets it back now: in the middle of a write there may be no space for it.
  absl::StatusOr<uint64_t> size = (*handle)->Size();
  if (!size.ok()) return size.status();
  if (*size < 2 * kSlotBytes) {
    absl::Status status = (*handle)->Allocate(2 * kSlotBytes);
    if (!status.ok()) return status;
  }
  // A mark is shorter than a sector may be, and a sector that cannot be read takes no part of one.
  for (const uint64_t number : {uint64_t{0}, uint64_t{1}}) {
    if (!found->unreadable[number]) continue;
    const std::string zeros(kSlotBytes, '\0');
    absl::Status status = (*handle)->Write(number * kSlotBytes, zeros);
    if (!status.ok()) return status;
  }
  return Marks(MarksFile(cluster), *std::move(handle), *found);
}

absl::Status Marks::Write(const Mark& mark) {
  // The slot of the newest mark is never the one that is overwritten.
  found_ = {mark, found_.generation + 1};
  const uint64_t offset = found_.generation % 2 * kSlotBytes;
  return handle_->Write(offset, EncodeSlot(file_, offset, {found_.generation, EncodeMark(mark)}));
}

absl::StatusOr<LoadedSegment> LoadSegmentStart(Disk& disk, uint64_t segment) {
  const std::string name = SegmentName(segment);
  absl::StatusOr<std::unique_ptr<File>> file = disk.Open(name, Disk::Mode::kRead);
  if (!file.ok()) return file.status();
  absl::StatusOr<uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  LoadedSegment loaded;
  absl::StatusOr<FoundHeader> found = absl::UnknownError("not read");
  // A little is enough, unless blocks are long or the first copy of the header is bad.
  for (const uint64_t reach : {kUsualHeaderReach, kSegmentHeaderReach}) {
    loaded.unreadable.clear();
    absl::StatusOr<Bytes> read =
        ReadAround(**file, 0, std::min<uint64_t>(*size, reach), &loaded.unreadable);
    if (!read.ok()) return read.status();
    loaded.bytes = *std::move(read);
    found = FindSegmentHeader(loaded.bytes, segment);
    if (loaded.bytes.size() == *size) break;
    if (found.ok() && found->header.first_batch() + kNoteBytes <= loaded.bytes.size()) break;
  }
  if (!found.ok()) {
    return absl::Status(found.status().code(),
                        absl::StrCat(disk.Describe(), "/", name, ": ", found.status().message()));
  }
  loaded.header = found->header;
  std::copy(std::begin(found->bad), std::end(found->bad), loaded.bad_header);
  loaded.whole = loaded.bytes.size() == *size && loaded.unreadable.empty();
  return loaded;
}

absl::StatusOr<LoadedSegment> LoadRest(Disk& disk, LoadedSegment loaded, uint64_t limit) {
  loaded.size = std::min(loaded.header.segment_bytes, limit);
  if (loaded.whole) {
    loaded.bytes = loaded.bytes.First(loaded.size);
  } else {
    const std::string name = SegmentName(loaded.header.segment);
    absl::StatusOr<std::unique_ptr<File>> file = disk.Open(name, Disk::Mode::kRead);
    if (!file.ok()) return file.status();
    absl::StatusOr<uint64_t> size = (*file)->Size();
    if (!size.ok()) return size.status();
    loaded.unreadable.clear();
    absl::StatusOr<Bytes> read =
        ReadAround(**file, 0, std::min(loaded.size, *size), &loaded.unreadable);
    if (!read.ok()) return read.status();
    loaded.bytes = *std::move(read);
  }
  if (const uint64_t missing = loaded.size - loaded.bytes.size(); missing != 0) {
    AddRange({loaded.bytes.size(), missing}, &loaded.unreadable);
  }
  return loaded;
}

absl::StatusOr<LoadedSegment> LoadSegment(Disk& disk, uint64_t segment, uint64_t limit) {
  absl::StatusOr<LoadedSegment> start = LoadSegmentStart(disk, segment);
  if (!start.ok()) return start;
  return LoadRest(disk, *std::move(start), limit);
}

Log::Log(Disk& disk, const Identity& owner, const Options& options, Marks marks)
    : disk_(disk),
      owner_(owner),
      options_(options),
      marks_(std::move(marks)),
      reserve_(disk, RoundUp(options.segment_bytes, options.block_bytes)) {}

absl::Status Log::Create(Disk& disk, const Identity& owner, raft::Index base_index,
                         raft::Term base_term) {
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
  header.base_term = base_term;
  header.segment_bytes = header.first_batch();
  status = (*file)->Write(0, EncodeSegmentHeader(header));
  if (!status.ok()) return status;
  status = (*file)->Sync();
  if (!status.ok()) return status;
  return disk.Rename(temporary, name);
}

absl::StatusOr<std::unique_ptr<Log>> Log::Open(Disk& disk, const Identity& owner,
                                               const Options& options, const Start& start,
                                               Recovery* recovery,
                                               std::vector<RecoveryEvent>* events) {
  absl::StatusOr<Marks> marks = Marks::Open(disk, owner.cluster, events);
  if (!marks.ok()) return marks.status();
  std::unique_ptr<Log> log(new Log(disk, owner, options, *std::move(marks)));
  // The recovery needs a segment, and may need this one. Without it the node starts all the same.
  absl::Status status = log->FillReserve();
  if (!status.ok() && !absl::IsResourceExhausted(status)) return status;
  status = log->Recover(start, recovery, events);
  if (!status.ok()) return status;
  return log;
}

absl::Status Log::FindChain(const Start& start, Chain* chain, std::vector<RecoveryEvent>* events) {
  absl::StatusOr<std::vector<std::string>> names = disk_.List();
  if (!names.ok()) return names.status();
  std::vector<uint64_t> ids;
  highest_segment_ = std::max(start.first_segment, marks_.newest().segment);
  for (const std::string& name : *names) {
    const std::optional<uint64_t> id = ParseSegmentName(name);
    if (!id) continue;
    highest_segment_ = std::max(highest_segment_, *id);
    if (*id >= start.first_segment && !absl::EndsWith(name, kTemporary)) ids.push_back(*id);
  }
  std::sort(ids.begin(), ids.end());

  // What is missing in front of the oldest link, or behind all of them.
  const auto lose = [&](uint64_t id, absl::string_view why) {
    uint64_t& lost = chain->links.empty() ? chain->lost : chain->links.back().lost;
    if (lost == 0) lost = id;
    events->push_back({RecoveryEvent::Kind::kSegmentLost, SegmentName(id), 0, 0,
                       absl::StrCat("the whole segment is lost: ", why)});
  };
  // From the newest back along the links. A fresh start that the manifest does not name never came
  // into force.
  std::optional<uint64_t> wanted;  // exactly this one, or when lost, the next below it
  uint64_t end = 0;
  bool begins = false;
  for (; !ids.empty() && !begins; ids.pop_back()) {
    const uint64_t id = ids.back();
    if (wanted && id > *wanted) continue;
    const bool bookkeeping =
        !chain->links.empty() && chain->links.back().header.base_index <= start.snapshot_index;
    if (wanted && id < *wanted && chain->links.back().lost == 0) {
      if (bookkeeping) break;
      lose(*wanted, "the file is missing");
    }
    absl::StatusOr<LoadedSegment> loaded = LoadSegmentStart(disk_, id);
    if (absl::IsDataLoss(loaded.status())) {
      if (bookkeeping) break;
      lose(id, loaded.status().message());
      continue;
    }
    if (!loaded.ok()) return loaded.status();
    const SegmentHeader header = loaded->header;
    if (header.owner.cluster != owner_.cluster || header.owner.node != owner_.node ||
        header.owner.incarnation != owner_.incarnation || header.owner.group != owner_.group) {
      if (bookkeeping) break;
      lose(id, absl::StrCat("it belongs to node ", header.owner.node, " incarnation ",
                            header.owner.incarnation, " of cluster ", ToHex(header.owner.cluster)));
      continue;
    }
    const bool fresh = header.previous_segment == 0;
    if (fresh && id != start.first_segment && id != wanted) continue;
    begins = fresh;
    if (bookkeeping) {
      chain->covered.push_back({id, header.base_index, header.block_bytes, end, end, 0});
    } else {
      std::optional<Note> note = DecodeNote(loaded->bytes, header.seed(), header.first_batch());
      if (note && note->sequence + 1 != header.first_sequence) note.reset();
      // Of a long one the rest is read with its start once more: there may be many of them.
      if (!loaded->whole) loaded->bytes = {};
      chain->links.push_back({header, *std::move(loaded), std::move(note), 0});
    }
    wanted = header.previous_segment;
    end = header.previous_end;
  }
  std::reverse(chain->links.begin(), chain->links.end());
  std::reverse(chain->covered.begin(), chain->covered.end());
  if (chain->links.empty()) {
    if (chain->lost == 0) lose(start.first_segment, "the log begins there, and it is missing");
    return absl::OkStatus();
  }
  Link& oldest = chain->links.front();
  if (oldest.header.base_index > start.snapshot_index && oldest.lost == 0 &&
      !(begins && oldest.header.segment == start.first_segment)) {
    oldest.lost =
        oldest.header.previous_segment != 0 ? oldest.header.previous_segment : start.first_segment;
    events->push_back({RecoveryEvent::Kind::kSegmentLost, SegmentName(oldest.lost), 0, 0,
                       "the whole segment is lost: the file is missing"});
  }
  return absl::OkStatus();
}

absl::Status Log::Replay(Chain& chain, LogReplay* replay, std::vector<RecoveryEvent>* events) {
  for (size_t i = 0; i < chain.links.size(); ++i) {
    Link& link = chain.links[i];
    const bool newest = i + 1 == chain.links.size();
    // Where the segment in front of a lost one was sealed is lost, too.
    const bool sealed = !newest && chain.links[i + 1].lost == 0;
    const uint64_t end = sealed ? chain.links[i + 1].header.previous_end : UINT64_MAX;
    absl::StatusOr<LoadedSegment> loaded = LoadRest(disk_, std::move(link.start), end);
    if (!loaded.ok()) return loaded.status();
    const std::string name = SegmentName(link.header.segment);
    for (const uint64_t copy : {uint64_t{0}, uint64_t{1}}) {
      if (!loaded->bad_header[copy]) continue;
      events->push_back({RecoveryEvent::Kind::kDamagePassed, name, copy * link.header.block_bytes,
                         kSegmentHeaderBytes,
                         "one copy of the segment's header is bad, the other one counts"});
    }
    for (const LoadedSegment::Range& range : loaded->unreadable) {
      events->push_back({RecoveryEvent::Kind::kUnreadable, name, range.offset, range.bytes,
                         "cannot be read, or is missing at the end of the file"});
    }
    // The note of the last batch is in the first of the next segments that has one.
    std::optional<Note> behind;
    for (size_t next = i + 1; sealed && next < chain.links.size() && !behind; ++next) {
      if (chain.links[next].lost != 0 ||
          chain.links[next].header.first_sequence != chain.links[i + 1].header.first_sequence) {
        break;
      }
      behind = chain.links[next].note;
    }
    replay->Add(*loaded, link.lost, newest, loaded->size, std::move(behind));
    if (!replay->status().ok()) {
      return absl::DataLossError(absl::StrCat(
          disk_.Describe(), "/", name, ": ", replay->status().message(),
          "; the directory is no log of ours: remove the node from the cluster, and let it come "
          "back with a new one"));
    }
    segments_.push_back({link.header.segment, link.header.base_index, link.header.block_bytes,
                         loaded->size, loaded->size, 0});
  }
  return absl::OkStatus();
}

LogReplay::Knowledge Log::WhatMarksSay(const Chain& chain, raft::Term term) const {
  const Mark& mark = marks_.newest();
  const uint64_t newest = chain.links.empty() ? 0 : chain.links.back().header.segment;
  LogReplay::Knowledge knowledge;
  knowledge.term = term;
  knowledge.lost_segment = chain.lost;
  // A mark of an older segment says nothing that its successor does not say better.
  if (mark.segment >= newest && mark.segment != 0) {
    knowledge.durable_sequence = mark.segment == newest ? mark.sequence : 0;
    knowledge.marked = {mark.last_index, mark.last_term, raft::Suspicion::Evidence::kProven};
    if (mark.segment > newest) {
      knowledge.lost_segment = std::max(knowledge.lost_segment, mark.segment);
    }
  }
  knowledge.lost_entries = options_.segment_bytes / kEntryHeaderBytes;
  return knowledge;
}

namespace {

// What recovery has decided about one batch or gap.
RecoveryEvent Decision(const LogReplay::Piece& piece) {
  RecoveryEvent event{RecoveryEvent::Kind::kDamagePassed, SegmentName(piece.place.segment),
                      piece.place.offset, piece.bytes, ""};
  absl::string_view verdict = "the log does not need it any more";
  if (piece.blamed && piece.evidence == raft::Suspicion::Evidence::kBlank) {
    event.kind = RecoveryEvent::Kind::kTornTail;
    verdict = "cut off and remembered; the write was not complete";
  } else if (piece.hole) {
    event.kind = RecoveryEvent::Kind::kHole;
    verdict = "to be repaired before anything is written, for readable entries are behind it";
  } else if (piece.blamed) {
    event.kind = RecoveryEvent::Kind::kTailLost;
    verdict = "cut off and remembered; it may have been acknowledged";
  }
  event.text =
      absl::StrCat("batch ", piece.place.sequence, " behind entry ", piece.place.base_index, ": ",
                   piece.text, " at offset ", piece.problem, "; ", verdict);
  return event;
}

}  // namespace

absl::StatusOr<LogReplay::Result> Log::Judge(const Start& start,
                                             std::vector<RecoveryEvent>* events) {
  Chain chain;
  absl::Status status = FindChain(start, &chain, events);
  if (!status.ok()) return status;
  segments_ = std::move(chain.covered);
  LogReplay replay(start.snapshot_index, start.snapshot_term);
  status = Replay(chain, &replay, events);
  if (!status.ok()) return status;
  const LogReplay::Knowledge knowledge = WhatMarksSay(chain, start.term);
  highest_segment_ = std::max(highest_segment_, knowledge.lost_segment);
  if (knowledge.lost_segment != 0 && chain.lost == 0) {
    events->push_back({RecoveryEvent::Kind::kSegmentLost, SegmentName(knowledge.lost_segment), 0, 0,
                       "the whole segment is lost: the durable marks name it, and it is missing"});
  }
  LogReplay::Result result = replay.Finish(knowledge);
  raft::Index last = result.seal.base_index;
  if (!result.entries.empty()) last = std::max(last, result.entries.back().index);
  if (result.damage) last = std::max(last, result.damage->last.index);
  if (std::max({highest_segment_, result.seal.sequence, last}) > kMaxNumber / 2) {
    return absl::DataLossError(
        absl::StrCat(disk_.Describe(), "/", SegmentName(highest_segment_), ": segment ",
                     highest_segment_, ", batch ", result.seal.sequence, " and entry ", last,
                     " are said to be the last ones, and no log gets that far"));
  }
  for (const LogReplay::Piece& piece : replay.pieces()) {
    if (!piece.hurt) continue;
    events->push_back(Decision(piece));
    if (piece.gap_end == 0 || piece.blamed) continue;
    const auto segment = std::find_if(segments_.begin(), segments_.end(), [&](const Segment& s) {
      return s.id == piece.place.segment;
    });
    if (segment != segments_.end()) {
      segment->passed.push_back({piece.place.offset, piece.gap_end});
    }
  }
  if (!result.damage && result.rewritten > 0) {
    events->push_back({RecoveryEvent::Kind::kTailRewritten, SegmentName(result.seal.segment),
                       result.seal.offset, result.rewritten_bytes,
                       absl::StrCat(result.rewritten, result.rewritten == 1 ? " batch" : " batches",
                                    " not known to be durable written again")});
  }
  SealInFront(chain, &result.seal);
  return result;
}

// A segment that is sealed in front of its first batch says nothing that the next one does not say,
// too. Who is started again and again would have one more of them each time.
void Log::SealInFront(const Chain& chain, LogReplay::Place* seal) const {
  for (auto link = chain.links.rbegin(); link != chain.links.rend(); ++link) {
    const SegmentHeader& header = link->header;
    if (header.segment != seal->segment) continue;
    if (seal->offset != header.first_batch()) return;
    // Not if the one in front is lost, or there is none: then this is all that tells of it.
    const auto at = std::find_if(segments_.begin(), segments_.end(), [&](const Segment& segment) {
      return segment.id == header.previous_segment;
    });
    if (at == segments_.end()) return;
    seal->segment = header.previous_segment;
    seal->offset = header.previous_end;
  }
}

absl::Status Log::Explain(Disk& disk, const Identity& owner, const Options& options,
                          const Start& start, Recovery* recovery,
                          std::vector<RecoveryEvent>* events) {
  absl::StatusOr<Marks::Found> found = Marks::Read(disk, owner.cluster);
  if (!found.ok()) return found.status();
  Log log(disk, owner, options, Marks(*found));
  absl::StatusOr<LogReplay::Result> result = log.Judge(start, events);
  if (!result.ok()) return result.status();
  recovery->commit = result->commit;
  recovery->entries = std::move(result->entries);
  recovery->suspicion = result->suspicion;
  recovery->damage = std::move(result->damage);
  return absl::OkStatus();
}

absl::Status Log::Recover(const Start& start, Recovery* recovery,
                          std::vector<RecoveryEvent>* events) {
  absl::StatusOr<LogReplay::Result> judged = Judge(start, events);
  if (!judged.ok()) return judged.status();
  LogReplay::Result& result = *judged;

  commit_ = result.commit;
  last_index_ = start.snapshot_index;
  terms_.Reset(start.snapshot_index, start.snapshot_term);
  for (const raft::Entry& entry : result.entries) {
    if (entry.index <= start.snapshot_index) continue;
    last_index_ = entry.index;
    terms_.Append(entry.index, entry.term);
  }
  suspicion_ = result.damage ? result.damage->last : result.suspicion;
  const raft::Entry* begin = result.entries.data();
  const raft::Entry* end = begin + result.entries.size();
  while (begin != end && begin->index <= result.cut) ++begin;
  const LogReplay::Place& seal = result.seal;
  const Beginning beginning{seal.segment,  seal.offset, seal.base_index, seal.base_term,
                            seal.sequence, seal.note,   suspicion_};
  if (result.damage) {
    plan_ = Plan{beginning, result.cut, DeepCopy(begin, end), result.damage->bad};
    for (const raft::Entry& entry : result.damage->intact) {
      plan_->behind.push_back({entry.index, entry.term});
    }
  } else {
    std::optional<Change> change;
    if (begin != end || result.cut < seal.base_index) {
      change = Change{result.cut, begin, end, commit_};
    }
    const absl::Status status = Seal(beginning, change, events);
    if (!status.ok()) return status;
  }

  recovery->commit = commit_;
  recovery->suspicion = result.suspicion;
  recovery->damage = std::move(result.damage);
  auto kept =
      std::find_if(result.entries.begin(), result.entries.end(),
                   [&](const raft::Entry& entry) { return entry.index > start.snapshot_index; });
  recovery->entries.assign(std::make_move_iterator(kept),
                           std::make_move_iterator(result.entries.end()));
  return absl::OkStatus();
}

bool Log::Holds(raft::Index index, raft::Term term) const {
  if (index <= last_index_) return terms_.At(index) == term;
  return plan_ && std::find(plan_->behind.begin(), plan_->behind.end(),
                            raft::DamagedEntry{index, term}) != plan_->behind.end();
}

absl::Status Log::Seal(const Beginning& beginning, const std::optional<Change>& change,
                       std::vector<RecoveryEvent>* events) {
  std::vector<uint64_t> replaced;
  while (!segments_.empty() && segments_.back().id > beginning.previous_segment) {
    replaced.push_back(segments_.back().id);
    segments_.pop_back();
  }
  absl::Status status = CreateSegment(beginning, change);
  if (!status.ok()) return status;
  status = NoteDurable();
  if (!status.ok()) return status;
  status = RemoveLeftovers(replaced, events);
  if (!status.ok() || segments_.size() < 2) return status;
  Segment& sealed = segments_[segments_.size() - 2];
  if (sealed.id != beginning.previous_segment) return absl::OkStatus();
  sealed.end = beginning.previous_end;
  absl::StatusOr<std::unique_ptr<File>> file =
      disk_.Open(SegmentName(sealed.id), Disk::Mode::kReadWrite);
  if (!file.ok()) return file.status();
  absl::StatusOr<uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  if (*size > sealed.end) status = (*file)->Truncate(sealed.end);
  sealed.bytes = sealed.end;
  return status;
}

absl::Status Log::Settle(const raft::Entries& entries,
                         const std::optional<raft::Suspicion>& suspicion,
                         raft::Index snapshot_index, raft::Term snapshot_term) {
  RAFTKV_CHECK(plan_.has_value());
  Beginning beginning = plan_->beginning;
  raft::Index cut = plan_->cut;
  raft::Entries all;
  if (snapshot_index > last_index_) {
    // The snapshot covers what is in front, and goes on behind it.
    beginning.base_index = cut = snapshot_index;
    beginning.base_term = snapshot_term;
    beginning.before = {0, snapshot_index, {}};
    terms_.Reset(snapshot_index, snapshot_term);
  } else {
    all = DeepCopy(plan_->entries.data(), plan_->entries.data() + plan_->entries.size());
  }
  const raft::Entries settled = DeepCopy(entries.data(), entries.data() + entries.size());
  all.insert(all.end(), settled.begin(), settled.end());
  beginning.suspicion = suspicion_ = suspicion;
  std::optional<Change> change;
  if (!all.empty() || cut < beginning.base_index) {
    change = Change{cut, all.data(), all.data() + all.size(), commit_};
  }
  absl::Status status = Seal(beginning, change, nullptr);
  if (!status.ok()) return status;
  plan_.reset();
  return absl::OkStatus();
}

absl::Status Log::RemoveLeftovers(const std::vector<uint64_t>& replaced,
                                  std::vector<RecoveryEvent>* events) {
  absl::StatusOr<std::vector<std::string>> names = disk_.List();
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    const std::optional<uint64_t> id = ParseSegmentName(name);
    if (!id) continue;
    const bool live = std::any_of(segments_.begin(), segments_.end(),
                                  [&](const Segment& segment) { return segment.id == *id; });
    if (live && !absl::EndsWith(name, kTemporary)) continue;
    absl::Status status = disk_.Remove(name);
    if (!status.ok()) return status;
    const bool expected = std::find(replaced.begin(), replaced.end(), *id) != replaced.end();
    if (events == nullptr || expected) continue;
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
    size_t runs = 0;
    for (; stop != end; ++stop) {
      const bool new_run = stop == begin || stop[-1].term != stop->term;
      if (stop != begin &&
          (body + EncodedEntryBytes(*stop) > kMaxBatchBody || (new_run && runs == kMaxTermRuns))) {
        break;
      }
      body += EncodedEntryBytes(*stop);
      runs += new_run ? 1 : 0;
    }
    batch(begin, stop, body);
    begin = stop;
  } while (begin != end);
}

}  // namespace

uint64_t Log::EncodedBytes(const Change& change, uint32_t block_bytes) const {
  uint64_t bytes = 0;
  ForEachBatch(change.begin, change.end, [&](const raft::Entry*, const raft::Entry*, size_t body) {
    bytes += RoundUp(kBatchHeadBytes + body, block_bytes);
  });
  return bytes;
}

uint32_t Log::Encode(const Change& change, const SegmentHeader& segment, uint64_t origin,
                     uint64_t durable_sequence, Note* before) {
  uint32_t batches = 0;
  const uint64_t seed = segment.seed();
  BatchHeader header;
  header.sequence = durable_sequence;
  header.durable_sequence = durable_sequence;
  header.keep_through = change.keep_through;
  header.keep_term = terms_.At(change.keep_through);
  // A commit index told once is true for ever; told again, it outlives the segment that held it.
  commit_ = std::max(commit_, change.commit);
  header.commit = commit_;
  ForEachBatch(change.begin, change.end,
               [&](const raft::Entry* begin, const raft::Entry* end, size_t) {
                 ++header.sequence;
                 AppendBatch(buffer_, seed, origin + buffer_.size(), segment.block_bytes, *before,
                             header, begin, end);
                 *before = NoteOf(header, begin, end);
                 header.keep_through += static_cast<raft::Index>(end - begin);
                 if (begin != end) header.keep_term = end[-1].term;
                 ++batches;
               });
  AppendFoot(buffer_, seed, origin + buffer_.size(), segment.block_bytes, *before);
  return batches;
}

void Log::Follow(const Change& change) {
  terms_.Cut(change.keep_through);
  for (const raft::Entry* entry = change.begin; entry != change.end; ++entry) {
    terms_.Append(entry->index, entry->term);
  }
  last_index_ = change.keep_through + static_cast<raft::Index>(change.end - change.begin);
  if (suspicion_ && raft::UpToDate(last_index_, terms_.At(last_index_), *suspicion_))
    suspicion_.reset();
}

absl::Status Log::CreateSegment(const Beginning& beginning, const std::optional<Change>& change) {
  SegmentHeader header;
  header.owner = owner_;
  header.segment = ++highest_segment_;
  header.first_sequence = beginning.first_sequence;
  header.base_index = beginning.base_index;
  header.base_term = beginning.base_term;
  header.previous_segment = beginning.previous_segment;
  header.previous_end = beginning.previous_end;
  header.block_bytes = options_.block_bytes;
  header.suspicion = beginning.suspicion;
  // Of what was there before. The first batch may replace the end of that; when it cannot be read,
  // what it has replaced must not pass for committed.
  header.commit = std::min(commit_, change ? change->keep_through : beginning.base_index);
  // The headers, the batches, the foot.
  const uint64_t end =
      header.first_batch() + (change ? EncodedBytes(*change, header.block_bytes) : 0);
  const uint64_t content = end + header.block_bytes;
  if (content > kMaxSegmentBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a job of ", content, " bytes is more than a log segment can hold"));
  }
  header.segment_bytes = std::max(RoundUp(options_.segment_bytes, header.block_bytes), content);

  Note before = beginning.before;
  buffer_.assign(header.first_batch(), '\0');
  if (change) {
    header.initial_batches = Encode(*change, header, 0, beginning.first_sequence - 1, &before);
  } else {
    AppendFoot(buffer_, header.seed(), buffer_.size(), header.block_bytes, before);
  }
  RAFTKV_CHECK(buffer_.size() == content);
  WriteSegmentHeader(header, buffer_.data());
  ZeroAhead(content, header.segment_bytes, header.block_bytes);

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
  note_ = std::move(before);
  last_index_ = beginning.base_index;
  if (change) Follow(*change);
  segments_.push_back({header.segment, beginning.base_index, header.block_bytes, end,
                       header.segment_bytes, buffer_.size()});
  active_ = *std::move(file);
  return absl::OkStatus();
}

absl::Status Log::Append(raft::Index keep_through, const raft::Entries& entries,
                         raft::Index commit) {
  RAFTKV_CHECK(!damaged() && keep_through <= last_index_);
  RAFTKV_CHECK(entries.empty() || entries.front().index == keep_through + 1);
  if (entries.empty() && keep_through == last_index_) return absl::OkStatus();
  const Change change{keep_through, entries.data(), entries.data() + entries.size(), commit};

  Segment& active = segments_.back();
  const uint64_t bytes = EncodedBytes(change, active.block_bytes);
  const uint64_t with_foot = active.end + bytes + active.block_bytes;
  if (with_foot > active.bytes) {
    absl::Status status = CreateSegment({active.id, active.end, last_index_, terms_.At(last_index_),
                                         sequence_ + 1, note_, suspicion_},
                                        change);
    return status.ok() ? NoteDurable() : status;
  }
  buffer_.clear();
  SegmentHeader header;
  header.owner = owner_;
  header.segment = active.id;
  header.block_bytes = active.block_bytes;
  Note before = note_;
  const uint32_t batches = Encode(change, header, active.end, sequence_, &before);
  RAFTKV_CHECK(active.end + buffer_.size() == with_foot);
  if (with_foot > active.written) ZeroAhead(with_foot, active.bytes, active.block_bytes);
  absl::Status status = Final(active_->Write(active.end, buffer_));
  if (status.ok()) status = Final(active_->Sync());
  if (!status.ok()) return status;
  ++syncs_;
  batches_ += batches;
  sequence_ += batches;
  note_ = std::move(before);
  active.written = std::max(active.written, active.end + buffer_.size());
  active.end += bytes;
  Follow(change);
  return NoteDurable();
}

absl::StatusOr<uint64_t> Log::StartOver(raft::Index base, raft::Term base_term,
                                        const raft::Entries& entries, raft::Index commit) {
  RAFTKV_CHECK(entries.empty() || entries.front().index == base + 1);
  std::optional<Change> change;
  if (!entries.empty()) {
    change = Change{base, entries.data(), entries.data() + entries.size(), commit};
  }
  std::optional<raft::Suspicion> carried = suspicion_;
  if (carried && raft::UpToDate(base, base_term, *carried)) carried.reset();
  const TermTable old_terms = terms_;
  terms_.Reset(base, base_term);
  absl::Status status =
      CreateSegment({0, 0, base, base_term, sequence_ + 1, {sequence_, base, {}}, carried}, change);
  if (!status.ok()) {
    terms_ = old_terms;
    return status;
  }
  if (!carried) suspicion_.reset();
  plan_.reset();
  old_.insert(old_.end(), segments_.begin(), segments_.end() - 1);
  segments_.erase(segments_.begin(), segments_.end() - 1);
  return segments_.back().id;
}

absl::Status Log::DropOld() {
  absl::Status status = NoteDurable();
  // What cannot be removed now is a leftover for the next start.
  for (const Segment& segment : old_) (void)disk_.Remove(SegmentName(segment.id));
  old_.clear();
  return status.ok() ? Final(disk_.SyncDir()) : status;
}

absl::Status Log::Compact(raft::Index index) {
  terms_.Forget(index);
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

void Log::ZeroAhead(uint64_t end, uint64_t bytes, uint32_t block_bytes) {
  // Whole blocks: what cannot be read is made good by a write that covers it, and fails one that
  // covers a part.
  const uint64_t zeros = RoundUp(options_.zero_ahead_bytes, block_bytes);
  buffer_.append(std::min(zeros, bytes - end), '\0');
}

absl::Status Log::NoteDurable() {
  return Final(marks_.Write(
      {sequence_, last_index_, terms_.At(last_index_), segments_.back().id, segments_.back().end}));
}

std::vector<LiveSegment> Log::live() const {
  std::vector<LiveSegment> live;
  live.reserve(segments_.size());
  for (size_t i = 0; i < segments_.size(); ++i) {
    const Segment& segment = segments_[i];
    // Where the next one begins; the log may have been cut below it since.
    const raft::Index last = i + 1 < segments_.size() ? segments_[i + 1].base_index : last_index_;
    live.push_back({segment.id, last, segment.block_bytes, segment.end, segment.passed});
  }
  return live;
}

void Log::AddTo(Stats* stats) const {
  stats->batches += batches_;
  stats->log_syncs += syncs_;
  stats->segments += segments_.size();
  for (const Segment& segment : segments_) stats->log_bytes += segment.end;
}

}  // namespace raftkv::storage
