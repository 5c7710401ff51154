// Reads what a restart would rely on, a little at a time and from the device, so that rot is found
// while other copies exist: both copies of the small records, the current snapshot, the log.
//
// A pass goes through them in that order. What a step finds is told at once. Whether the log would
// miss it is only known when the rest has been read, because a later batch may have cut it away:
// that is told at the end of the pass.
//
// A bad copy of a record that is kept twice is written again on the spot. Everything else is left
// as it is: to open the directory anew names the damage, and the peers have what is lost.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "storage/checksum.h"
#include "storage/disk.h"
#include "storage/log.h"
#include "storage/log_format.h"
#include "storage/slots.h"
#include "storage/snapshot_store.h"
#include "storage/storage.h"

namespace raftkv::storage {

class Scrubber {
 public:
  // What there is now; it may differ from one step to the next.
  struct Target {
    Disk& disk;
    const Identity& owner;
    std::vector<SlotPair*> records;
    const SnapshotInfo& snapshot;
    std::vector<LiveSegment> segments;
  };

  // Unavailable: a file cannot be opened now, and the step may be tried again. Another error is
  // that of a write or a sync.
  absl::Status Step(const Target& target, ScrubStep* step);

 private:
  enum class Stage : uint8_t { kRecords, kSnapshot, kLog };
  // Entries that cannot be read, unless a later batch has cut them away.
  struct Lost {
    raft::Index first = 0;
    raft::Index last = 0;
  };
  // The batch that is being read.
  struct Batch {
    uint64_t begin = 0;
    uint64_t body_end = 0;
    uint64_t next = 0;           // where the one behind it begins
    raft::Index next_index = 0;  // of the next entry in it
    uint32_t entries_left = 0;
  };
  // The payload that is being read.
  struct Payload {
    uint64_t place = 0;  // of its entry
    uint64_t end = 0;
    uint64_t behind = 0;  // where the next entry begins
    raft::Index index = 0;
    uint64_t sum = 0;
  };

  absl::Status Records(const Target& target, ScrubStep* step);
  absl::Status Snapshot(const Target& target, ScrubStep* step);
  absl::Status LogStep(const Target& target, ScrubStep* step);
  absl::Status Headers(const Target& target, const LiveSegment& segment, ScrubStep* step);
  absl::Status Batches(const Target& target, const LiveSegment& segment, ScrubStep* step);
  absl::StatusOr<std::optional<Note>> NoteBehind(const Target& target, const LiveSegment& segment,
                                                 ScrubStep* step) const;
  bool Named(const std::optional<Note>& note, uint64_t place);
  void LoseGap(const LiveSegment& segment);
  // One record, or what the window has of it, from `window`, which begins at `origin` of the
  // segment. False when the window has too little of it.
  bool Advance(const LiveSegment& segment, absl::string_view window, uint64_t origin,
               ScrubStep* step);
  bool AdvancePayload(absl::string_view window, uint64_t origin, ScrubStep* step);
  bool AdvanceEntry(absl::string_view window, uint64_t origin, ScrubStep* step);
  bool AdvanceBatch(const LiveSegment& segment, absl::string_view window, uint64_t origin,
                    ScrubStep* step);
  void Begin(const Batch& batch, raft::Index keep_through);
  void Lose(raft::Index first, raft::Index last);
  void Cut(raft::Index keep_through);
  void NextSegment();
  void Finish(const Target& target, ScrubStep* step);
  void Find(uint64_t offset, raft::Index index, std::string text, ScrubStep* step) const;

  Stage stage_ = Stage::kRecords;
  std::optional<SnapshotInfo> snapshot_;  // being read
  uint64_t chunk_ = 0;
  std::optional<SnapshotInfo> bad_snapshot_;

  uint64_t segment_ = 0;  // at least this one
  bool entered_ = false;  // its headers have been read
  uint64_t seed_ = 0;
  uint32_t block_bytes_ = 0;
  uint64_t end_ = 0;
  uint64_t offset_ = 0;          // read up to here
  uint64_t next_sequence_ = 0;   // of the next batch
  std::optional<uint64_t> gap_;  // where a batch without a readable header begins
  std::optional<Batch> batch_;
  std::optional<Payload> payload_;
  Digest payload_digest_;
  std::string file_;                // for findings
  raft::Index snapshot_index_ = 0;  // of the current one, now
  raft::Index last_index_ = 0;      // of the log, as far as it has been read
  std::vector<Lost> lost_;          // ascending
};

}  // namespace raftkv::storage
