// The replicated log on disk: a chain of segments, written once from front to back.
// docs/formats/log.md has the format and the reasons.
//
//   - Nothing is changed in place. A later batch that says "the log is cut behind entry k"
//     supersedes what earlier ones said.
//   - Every run of the process begins a new segment, whose header says where the batches of the one
//     before it end. So a torn tail is never overwritten or appended to, it just stops counting.
//   - A segment is written under a temporary name, synced, renamed, and the directory synced: a
//     segment with its final name was whole once.
//   - The log may begin anew behind an installed snapshot: a fresh segment without a predecessor,
//     which counts only once the manifest names it.
//   - What cannot be read is named, not cut off silently: the end of the log by a suspicion, which
//     the next segments carry on, holes by a damage, which Settle ends.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/raft/types.h"
#include "storage/disk.h"
#include "storage/log_format.h"
#include "storage/log_replay.h"
#include "storage/reserve.h"
#include "storage/slots.h"
#include "storage/storage.h"

namespace raftkv::storage {

std::string SegmentName(uint64_t segment);
// The id when `name` is that of a segment, finished or (with ".tmp") not.
std::optional<uint64_t> ParseSegmentName(absl::string_view name);

// What is known to be durable, noted far away from the log after each sync and without a sync of
// its own. It may be old, it never says too much: it is written after the fact.
struct Mark {
  uint64_t sequence = 0;
  raft::Index last_index = 0;
  raft::Term last_term = 0;
  uint64_t segment = 0;
  uint64_t end = 0;  // offset behind the last durable batch
};

// The marks file: the two slots take turns, so a torn write costs one mark at most.
class Marks {
 public:
  struct Found {
    Mark newest;                          // zeros when nothing was noted yet
    uint64_t generation = 0;              // of its slot; 0: neither slot is readable
    bool unreadable[2] = {false, false};  // slots that the device does not give back
  };
  // To be read only.
  explicit Marks(const Found& found) : found_(found) {}
  // Never fails for what the file holds: unreadable marks are only a loss of evidence.
  static absl::StatusOr<Marks> Open(Disk& disk, const ClusterId& cluster,
                                    std::vector<RecoveryEvent>* events);
  static absl::Status Create(Disk& disk, const ClusterId& cluster);
  static absl::StatusOr<Found> Read(Disk& disk, const ClusterId& cluster);

  const Mark& newest() const { return found_.newest; }
  absl::Status Write(const Mark& mark);  // not synced

 private:
  Marks(SlotFile file, std::unique_ptr<File> handle, const Found& found);

  SlotFile file_;
  std::unique_ptr<File> handle_;
  Found found_;
};

// Reads a segment as far as the device lets it: what it cannot read is filled with kNotRead, down
// to single sectors. DataLoss and Unimplemented name the file; then not even the header can be
// read.
//   LoadSegmentStart   its header and the note behind it, at least
//   LoadRest           goes on from there, to `limit` bytes, at most the preallocated size and no
//                      more than there are. Reads nothing when the start was the whole file
//   LoadSegment        one and the other
absl::StatusOr<LoadedSegment> LoadSegmentStart(Disk& disk, uint64_t segment);
absl::StatusOr<LoadedSegment> LoadRest(Disk& disk, LoadedSegment loaded, uint64_t limit);
absl::StatusOr<LoadedSegment> LoadSegment(Disk& disk, uint64_t segment,
                                          uint64_t limit = UINT64_MAX);

// Reads all of [offset, offset + length), in smaller and smaller pieces around what the device
// cannot read. What is missing is filled with kNotRead.
absl::StatusOr<Bytes> ReadAround(File& file, uint64_t offset, size_t length,
                                 std::vector<LoadedSegment::Range>* unreadable);

// The terms of a log: a run for each term, so that the term of any entry is known in few bytes.
class TermTable {
 public:
  // The log begins behind entry `index` of `term`.
  void Reset(raft::Index index, raft::Term term);
  void Cut(raft::Index keep_through);
  void Append(raft::Index index, raft::Term term);  // index: the next one
  raft::Term At(raft::Index index) const;           // 0: in front of the log, or not known
  // Nobody asks for entries in front of `index` any more.
  void Forget(raft::Index index);

 private:
  struct Run {
    raft::Index first = 0;
    raft::Term term = 0;
  };
  std::vector<Run> runs_;  // ascending, never empty after Reset
};

// A segment that counts.
// Bytes of a segment that recovery could not tell apart, and does not miss.
struct PassedGap {
  uint64_t begin = 0;
  uint64_t end = 0;

  friend bool operator==(const PassedGap&, const PassedGap&) = default;
};

struct LiveSegment {
  uint64_t id = 0;
  raft::Index last_index = 0;  // of the log behind its batches
  uint32_t block_bytes = 0;
  uint64_t end = 0;  // of its batches
  std::vector<PassedGap> passed;
};

class Log {
 public:
  struct Recovery {
    raft::Entries entries;   // all behind the snapshot, in front of the first bad one
    raft::Index commit = 0;  // highest found, not capped
    std::optional<raft::Suspicion> suspicion;
    std::optional<raft::LogDamage> damage;
  };
  // Where the rest of the directory says that the log must begin.
  struct Start {
    uint64_t first_segment = 1;  // as the manifest says
    raft::Index snapshot_index = 0;
    raft::Term snapshot_term = 0;
    raft::Term term = 0;  // of the hard state: no entry is newer
  };

  // The first, empty segment of a new directory, behind the snapshot of entry `base_index`.
  static absl::Status Create(Disk& disk, const Identity& owner, raft::Index base_index,
                             raft::Term base_term);

  // Leaves a new, durable segment to append to, unless there is damage: then nothing is written
  // before Settle, and only that, StartOver and AddTo may be called.
  static absl::StatusOr<std::unique_ptr<Log>> Open(Disk& disk, const Identity& owner,
                                                   const Options& options, const Start& start,
                                                   Recovery* recovery,
                                                   std::vector<RecoveryEvent>* events);

  // What Open would find and decide, without writing anything.
  static absl::Status Explain(Disk& disk, const Identity& owner, const Options& options,
                              const Start& start, Recovery* recovery,
                              std::vector<RecoveryEvent>* events);

  raft::Index last_index() const { return last_index_; }
  // True if the entry at `index` is known to be, or to have been, the one of `term`.
  bool Holds(raft::Index index, raft::Term term) const;
  const std::optional<raft::Suspicion>& suspicion() const { return suspicion_; }
  // There is damage that nobody has settled.
  bool damaged() const { return plan_.has_value(); }

  // The log is what is in front of the first bad entry, then `entries`, durably. With a snapshot of
  // `snapshot_index` at or behind the first bad entry it is `entries`, which begin behind that.
  absl::Status Settle(const raft::Entries& entries, const std::optional<raft::Suspicion>& suspicion,
                      raft::Index snapshot_index, raft::Term snapshot_term);

  // Cuts the log behind keep_through and appends `entries`; durable on return. ResourceExhausted:
  // nothing was written.
  absl::Status Append(raft::Index keep_through, const raft::Entries& entries, raft::Index commit);

  // Begins the log anew behind `base` with `entries`, durably, but the old one goes on counting
  // until the manifest names the returned segment; then call DropOld.
  // What the old one had lost is not forgotten unless the new one is at least as up to date.
  absl::StatusOr<uint64_t> StartOver(raft::Index base, raft::Term base_term,
                                     const raft::Entries& entries, raft::Index commit);
  absl::Status DropOld();

  // Removes segments all of whose entries are at or below `index`.
  absl::Status Compact(raft::Index index);

  // Space for one more segment (reserve.h).
  absl::Status FillReserve() { return reserve_.Fill(); }
  bool reserve_held() const { return reserve_.held(); }

  std::vector<LiveSegment> live() const;  // oldest first
  void AddTo(Stats* stats) const;

 private:
  struct Segment {
    uint64_t id = 0;
    raft::Index base_index = 0;  // last entry of the log before it
    uint32_t block_bytes = 0;
    uint64_t end = 0;      // where the next batch goes
    uint64_t bytes = 0;    // preallocated
    uint64_t written = 0;  // batches and the zeros written ahead of them
    std::vector<PassedGap> passed = {};
  };

  // What a new segment is to say besides what its log object knows.
  struct Beginning {
    uint64_t previous_segment = 0;
    uint64_t previous_end = 0;
    raft::Index base_index = 0;
    raft::Term base_term = 0;
    uint64_t first_sequence = 1;
    Note before;  // of the last batch in front, if it is known
    std::optional<raft::Suspicion> suspicion;
  };
  // A job as the log sees it.
  struct Change {
    raft::Index keep_through = 0;
    const raft::Entry* begin = nullptr;
    const raft::Entry* end = nullptr;
    raft::Index commit = 0;
  };

  Log(Disk& disk, const Identity& owner, const Options& options, Marks marks);

  // A segment of the log as it was found, or what is missing of it.
  struct Link {
    SegmentHeader header;
    LoadedSegment start;       // without its bytes if they are not the whole file
    std::optional<Note> note;  // at its beginning
    uint64_t lost = 0;         // a segment in front of it that is missing or useless
  };
  struct Chain {
    std::vector<Link> links;       // to be replayed, oldest first
    std::vector<Segment> covered;  // in front of them: the snapshot has everything of it
    uint64_t lost = 0;             // behind the last one; 0: nothing
  };
  // What Settle has to write.
  struct Plan {
    Beginning beginning;
    raft::Index cut = 0;
    raft::Entries entries;                   // behind the cut, in front of the first bad entry
    std::vector<raft::DamagedEntry> behind;  // all of the rest, bad or not; term 0: not known
  };

  absl::Status Recover(const Start& start, Recovery* recovery, std::vector<RecoveryEvent>* events);
  // Everything that Recover does before it writes.
  absl::StatusOr<LogReplay::Result> Judge(const Start& start, std::vector<RecoveryEvent>* events);
  absl::Status FindChain(const Start& start, Chain* chain, std::vector<RecoveryEvent>* events);
  absl::Status Replay(Chain& chain, LogReplay* replay, std::vector<RecoveryEvent>* events);
  LogReplay::Knowledge WhatMarksSay(const Chain& chain, raft::Term term) const;
  // Moves a seal that leaves nothing of its segment to the end of the segment in front.
  void SealInFront(const Chain& chain, LogReplay::Place* seal) const;
  // Writes the segment that goes on behind the seal, and removes what is behind it.
  absl::Status Seal(const Beginning& beginning, const std::optional<Change>& change,
                    std::vector<RecoveryEvent>* events);
  // `replaced` is what the seal makes superfluous; anything else of that kind is told.
  absl::Status RemoveLeftovers(const std::vector<uint64_t>& replaced,
                               std::vector<RecoveryEvent>* events);

  // Appends the batches of `change` and a foot to buffer_, whose first byte will be at `origin` of
  // the segment; returns their number. `before` is the last batch in front, and becomes the last of
  // these.
  uint32_t Encode(const Change& change, const SegmentHeader& segment, uint64_t origin,
                  uint64_t durable_sequence, Note* before);
  uint64_t EncodedBytes(const Change& change, uint32_t block_bytes) const;
  // `change` is in the log now.
  void Follow(const Change& change);
  // Makes a segment with the batches of `change` (if any), durable under its final name, and the
  // active one.
  absl::Status CreateSegment(const Beginning& beginning, const std::optional<Change>& change);
  // Extends buffer_, which ends at `end` of a segment of `bytes`, by the zeros to write ahead:
  // whole blocks.
  void ZeroAhead(uint64_t end, uint64_t bytes, uint32_t block_bytes);
  absl::Status NoteDurable();

  Disk& disk_;
  Identity owner_;
  Options options_;
  Marks marks_;
  Reserve reserve_;
  std::vector<Segment> segments_;  // the chain, oldest first; the last is written to
  std::unique_ptr<File> active_;
  std::vector<Segment> old_;      // superseded by StartOver, until DropOld
  uint64_t highest_segment_ = 0;  // ever seen, finished or not
  uint64_t sequence_ = 0;         // of the last batch
  raft::Index last_index_ = 0;
  raft::Index commit_ = 0;  // highest ever told, not capped
  TermTable terms_;
  Note note_;  // of the last batch
  std::optional<raft::Suspicion> suspicion_;
  std::optional<Plan> plan_;
  std::string buffer_;
  uint64_t batches_ = 0;
  uint64_t syncs_ = 0;
};

}  // namespace raftkv::storage
