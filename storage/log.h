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
  uint64_t segment = 0;
  uint64_t end = 0;  // offset behind the last durable batch
};

// The marks file: the two slots take turns, so a torn write costs one mark at most.
class Marks {
 public:
  // Never fails for what the file holds: unreadable marks are only a loss of evidence.
  static absl::StatusOr<Marks> Open(Disk& disk, const ClusterId& cluster,
                                    std::vector<RecoveryEvent>* events);
  static absl::Status Create(Disk& disk, const ClusterId& cluster);
  struct Found {
    Mark newest;              // zeros when nothing was noted yet
    uint64_t generation = 0;  // of its slot; 0: neither slot is readable
  };
  static absl::StatusOr<Found> Read(Disk& disk, const ClusterId& cluster);

  const Mark& newest() const { return found_.newest; }
  absl::Status Write(const Mark& mark);  // not synced

 private:
  Marks(SlotFile file, std::unique_ptr<File> handle, const Found& found);

  SlotFile file_;
  std::unique_ptr<File> handle_;
  Found found_;
};

// A whole segment in memory.
struct LoadedSegment {
  SegmentHeader header;
  std::string bytes;
};
// DataLoss and Unimplemented name the file.
absl::StatusOr<LoadedSegment> LoadSegment(Disk& disk, uint64_t segment);

class Log {
 public:
  struct Recovery {
    raft::Entries entries;   // all behind `snapshot_index`
    raft::Index commit = 0;  // highest found, not capped
  };

  // The first, empty segment of a new directory, behind the snapshot of entry `base_index`.
  static absl::Status Create(Disk& disk, const Identity& owner, raft::Index base_index);

  // `first_segment` and `snapshot_index` come from the manifest. Leaves a new, durable segment to
  // append to.
  static absl::StatusOr<std::unique_ptr<Log>> Open(Disk& disk, const Identity& owner,
                                                   const Options& options, uint64_t first_segment,
                                                   raft::Index snapshot_index, Recovery* recovery,
                                                   std::vector<RecoveryEvent>* events);

  raft::Index last_index() const { return last_index_; }

  // Cuts the log behind keep_through and appends `entries`; durable on return. ResourceExhausted:
  // nothing was written.
  absl::Status Append(raft::Index keep_through, const raft::Entries& entries, raft::Index commit);

  // Begins the log anew behind `base` with `entries`, durably, but the old one goes on counting
  // until the manifest names the returned segment; then call DropOld.
  absl::StatusOr<uint64_t> StartOver(raft::Index base, const raft::Entries& entries,
                                     raft::Index commit);
  absl::Status DropOld();

  // Removes segments all of whose entries are at or below `index`.
  absl::Status Compact(raft::Index index);

  // Space for one more segment (reserve.h).
  absl::Status FillReserve() { return reserve_.Fill(); }
  bool reserve_held() const { return reserve_.held(); }

  void AddTo(Stats* stats) const;

 private:
  struct Segment {
    uint64_t id = 0;
    raft::Index base_index = 0;  // last entry of the log before it
    uint32_t block_bytes = 0;
    uint64_t end = 0;      // where the next batch goes
    uint64_t bytes = 0;    // preallocated
    uint64_t written = 0;  // batches and the zeros written ahead of them
  };

  // What a new segment is to say besides what its log object knows.
  struct Beginning {
    uint64_t previous_segment = 0;
    uint64_t previous_end = 0;
    raft::Index base_index = 0;
    uint64_t first_sequence = 1;
  };
  // A job as the log sees it.
  struct Change {
    raft::Index keep_through = 0;
    const raft::Entry* begin = nullptr;
    const raft::Entry* end = nullptr;
    raft::Index commit = 0;
  };

  Log(Disk& disk, const Identity& owner, const Options& options, Marks marks);

  absl::Status Recover(uint64_t first_segment, raft::Index snapshot_index, Recovery* recovery,
                       std::vector<RecoveryEvent>* events);
  // The segments that make up the log, oldest first.
  absl::Status FindChain(uint64_t first_segment, raft::Index snapshot_index,
                         std::vector<SegmentHeader>* chain);
  // Highest sequence number known to be durable, judged by all there is to see, before the newest
  // segment is replayed. DataLoss when the segment ends before that.
  absl::StatusOr<uint64_t> JudgeTail(const LoadedSegment& newest,
                                     std::vector<RecoveryEvent>* events);
  absl::Status RemoveLeftovers(std::vector<RecoveryEvent>* events);

  // Appends the batches of `change` to buffer_, whose first byte will be at `origin` of the
  // segment; returns their number.
  uint32_t Encode(const Change& change, const SegmentHeader& segment, uint64_t origin,
                  uint64_t durable_sequence, raft::Index durable_index);
  uint64_t EncodedBytes(const Change& change, uint32_t block_bytes) const;
  // Makes a segment with the batches of `change` (if any), durable under its final name, and the
  // active one.
  absl::Status CreateSegment(const Beginning& beginning, const std::optional<Change>& change);
  // Extends buffer_, which ends at `end` of a segment of `bytes`, by the zeros to write ahead.
  void ZeroAhead(uint64_t end, uint64_t bytes);
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
  std::string buffer_;
  uint64_t batches_ = 0;
  uint64_t syncs_ = 0;
};

}  // namespace raftkv::storage
