// Everything a node must remember, behind one door: term and vote, the log, snapshots, and whose
// they are.
//
// Both drivers (the disk thread of the node, the simulator) call the same straight-line code over a
// Disk. The core never reads the disk after recovery, so this is write-only but for snapshot
// chunks. One directory holds
//
//   identity   cluster, node, incarnation, group         docs/formats/identity.md
//   vote       term and vote                             docs/formats/vote.md
//   manifest   which snapshot is current, where the log begins   docs/formats/snapshot.md
//   snapshot-* the bytes of snapshots                    docs/formats/snapshot.md
//   log-*      segments of the log, marks: what is known to be durable   docs/formats/log.md
//   reserve    space for one more segment
//
// Rules that callers can rely on
//   - What a call that returned OK has written survives any crash. What a call that failed has
//     written may be there or not, whole records only.
//   - A failed write or sync is final: the object is poisoned and every later call returns that
//     first error. The caller stops, a new process recovers. The exceptions return an error and
//     poison nothing: ResourceExhausted (no space for a new segment or a snapshot: nothing of the
//     log was written, the same job may be tried again), an unreadable snapshot chunk, a caller's
//     own mistake.
//   - Open vouches only for what it knows to be on the platter; the rest of what it can read it
//     writes again first, because after a failed sync the page cache shows bytes that the disk does
//     not have.
//   - What cannot be read is named: the end of the log by a suspicion, with which a node can start;
//     holes by a damage, which the caller repairs and ends with Settle; a bad snapshot file by
//     `snapshot_damaged`. docs/formats/log.md says what is decided when. Nothing is repaired
//     silently, everything is an event.
//
// Threads: one at a time. Entries handed out by TakeRecovered belong to the caller alone; entries
// lent to Persist are only read.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/raft/damage.h"
#include "core/raft/ready.h"
#include "core/raft/types.h"
#include "storage/disk.h"
#include "storage/identity.h"

namespace raftkv::storage {

// A snapshot never travels or is written in bigger pieces.
inline constexpr uint32_t kMaxSnapshotChunk = 256 * 1024;
// The largest payload of one entry that the log stores (and therefore reads back).
inline constexpr uint32_t kMaxEntryBytes = 64u << 20;

struct Options {
  // Preallocated size of a log segment, two blocks to 1 GiB; what does not fit gets a bigger
  // segment.
  uint64_t segment_bytes = 64u << 20;
  // Batches begin on multiples of this and a block that holds synced bytes is never written again,
  // so a torn write cannot hurt them. A power of two, 512 to 65,536.
  uint32_t block_bytes = 4096;
  // The segment is written with zeros this far ahead of the last batch, in the same write. File
  // systems keep space that was reserved apart from space that was written, and a sync that has to
  // turn one into the other takes about half as long again (ext4, measured). Rounded up to whole
  // blocks; 0 turns it off.
  uint64_t zero_ahead_bytes = 1u << 20;
  // What one checksum of a snapshot covers: 64 to kMaxSnapshotChunk bytes.
  uint32_t snapshot_chunk_bytes = kMaxSnapshotChunk;
  // A snapshot being written is synced after so many bytes: no sync is very long.
  uint64_t snapshot_sync_bytes = 256u << 10;

  // InvalidArgument names the field that is out of range.
  absl::Status Validate() const;
};

// How a snapshot came here. Two may be written at once, one of each.
enum class SnapshotSource : uint8_t { kLocal = 1, kReceived = 2 };

struct SnapshotInfo {
  raft::SnapshotMeta meta;  // index 0: none yet, as on a node that is to join
  uint64_t size = 0;        // bytes
  uint64_t digest = 0;      // XXH3 (64 bits, seed 0) of the bytes
  SnapshotSource source = SnapshotSource::kLocal;

  friend bool operator==(const SnapshotInfo&, const SnapshotInfo&) = default;
};

// What a node starts with. A founding member has the founding snapshot, equal on all of them: index
// 1, term 1, the configuration, and the state machine's bytes. So the log of every cluster begins
// at index 2, and a node that joins later (no snapshot: the default) cannot mistake an empty log
// for a short one; it is sent a snapshot, which tells it who is in the cluster.
struct Founding {
  raft::SnapshotMeta meta;
  std::string state;
};

// Something that recovery noticed and dealt with; for logs, for tests and for the simulator's
// counters.
struct RecoveryEvent {
  enum class Kind : uint8_t {
    kTornTail = 1,  // a write at the end of the log was visibly not complete: cut, and remembered
                    // as a blank suspicion
    kTailRewritten = 2,    // valid batches above every durable mark were written again
    kSlotRepaired = 3,     // one of the two copies of identity, vote or manifest was bad or old and
                           // was written again
    kMarksLost = 4,        // the far-away durable marks were unreadable and were begun anew
    kLeftoverRemoved = 5,  // a file of an unfinished or superseded operation was removed
    kTailLost = 6,  // the end of the log is bad, torn or rotten: cut, and remembered as a suspicion
    kHole = 7,      // entries are bad and readable ones are behind them: Recovered::damage
    kSegmentLost = 8,    // a segment is missing, not ours, or without a readable header
    kUnreadable = 9,     // bytes the device cannot read, or that are missing at the end of a file
    kDamagePassed = 10,  // something is bad that the log does not need (any more)
    kSnapshotLost = 11,  // the current snapshot's file is bad: Recovered::snapshot_damaged
  };
  Kind kind;
  std::string file;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  std::string text;  // one sentence for a person

  friend bool operator==(const RecoveryEvent&, const RecoveryEvent&) = default;
};

struct Recovered {
  Identity identity;
  raft::HardState hard_state;
  // Highest commit index found, at least the snapshot's, at most the last entry's.
  raft::Index commit = 0;
  SnapshotInfo snapshot;
  // The file of that snapshot is missing or not what the manifest says: its bytes have to be
  // fetched again (RestoreSnapshot). Single bad chunks of a file that is otherwise whole are found
  // by ReadSnapshot.
  bool snapshot_damaged = false;
  raft::Entries entries;  // contiguous, the first at snapshot.meta.index + 1
  // The end of the log is lost, or may be: what a vote has to take into account. The lost end may
  // have replaced some of `entries` by newer ones, so they are a log of this node, of now or
  // earlier.
  std::optional<raft::Suspicion> suspicion;
  // The log has holes behind `entries`. Nothing has been written and nothing can be until Settle.
  std::optional<raft::LogDamage> damage;
  std::vector<RecoveryEvent> events;
};

struct Stats {
  uint64_t batches = 0;     // log batches written
  uint64_t log_syncs = 0;   // fdatasync calls on the log
  uint64_t vote_syncs = 0;  // fdatasync calls for term and vote: two per change
  uint64_t log_bytes = 0;   // bytes of all live segments that hold batches
  uint64_t segments = 0;    // live segments
};

// One step of the scrubber reads at most so many bytes, and what tells where they belong (a few
// KiB).
inline constexpr uint64_t kMaxScrubBytes = 256 * 1024;

struct ScrubFinding {
  std::string file;
  uint64_t offset = 0;
  raft::Index index = 0;  // the first entry it has to do with, or the snapshot's; 0: none
  std::string text;       // one sentence for a person
};

struct ScrubStep {
  uint64_t bytes = 0;  // read
  std::vector<ScrubFinding> findings;
  bool finished = false;  // a pass
  // With that: of what the pass has found, the log or the snapshot misses something. Open would
  // name it, for peers to repair.
  bool repairable = false;
};

class Storage {
 public:
  // Makes an empty directory the home of `identity`. Safe to repeat after a crash in the middle.
  // AlreadyExists when the directory has an identity; FailedPrecondition when it holds files that
  // are not ours or a log without an identity.
  static absl::Status Init(Disk& disk, const Identity& identity, const Founding& founding);

  // Recovers. `disk` must outlive the result. Errors, all naming directory and file:
  //   NotFound             never initialised
  //   FailedPrecondition   belongs to another cluster or another node
  //   Unavailable          another process has it open
  //   PermissionDenied     read-only
  //   DataLoss             garbage, or both copies of identity, vote or manifest are bad
  //   Unimplemented        written by a newer version
  static absl::StatusOr<std::unique_ptr<Storage>> Open(Disk& disk, const Options& options,
                                                       const ExpectedIdentity& expected = {});
  // What Open would recover, or why it would refuse, without writing anything or taking the lock.
  // The events are those of snapshot and log: slots and leftovers are dealt with by writing.
  static absl::StatusOr<Recovered> Explain(Disk& disk, const Options& options = {});
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  // What Open found; once.
  Recovered TakeRecovered();

  const Identity& identity() const;
  const raft::HardState& hard_state() const;
  raft::Index last_index()
      const;  // of the durable log; the snapshot's index when no entry follows it
  Stats stats() const;
  // The error that poisoned this object, or OK.
  const absl::Status& health() const;

  // Writes one job (core/raft/ready.h): term and vote, then the log, then the snapshot switch.
  // Returns when all of it is durable: one sync for the log, two more when term or vote changed.
  // `job.snapshot` names a snapshot finished before by FinishSnapshot, else FailedPrecondition.
  absl::Status Persist(const raft::PersistJob& job);

  // Ends a repair (Recovered::damage): the log is what is in front of the first bad entry, then
  // `entries`; durable on return, and the old bytes do not count any more. `entries` are contiguous
  // and begin with the first bad entry, or behind the current snapshot if that covers it (after
  // RestoreSnapshot); they may be empty. `suspicion` is what may have been on this disk and is not
  // in them. InvalidArgument when `entries` begin elsewhere, FailedPrecondition without damage.
  // Until then Persist and CompactLog are FailedPrecondition; snapshots can be read, written and
  // restored.
  absl::Status Settle(const raft::Entries& entries,
                      const std::optional<raft::Suspicion>& suspicion);

  // --- Snapshots, written in steps of at most kMaxSnapshotChunk so that a log batch can go between
  // two of them. -----------------------

  // Starts a writer; an unfinished or finished but not yet current one of the same source is
  // dropped. FailedPrecondition when `meta` is not newer than the current snapshot. A received one
  // may be of the same index if `meta` is the same and the bytes of the current one are bad, be it
  // that Open said so or that ReadSnapshot did.
  absl::Status BeginSnapshot(SnapshotSource source, const raft::SnapshotMeta& meta);
  // Appends 0 to kMaxSnapshotChunk bytes. `offset` must equal SnapshotOffset(source), so a late or
  // repeated chunk is OutOfRange and changes nothing; FailedPrecondition without a writer.
  absl::Status AppendSnapshot(SnapshotSource source, uint64_t offset, absl::string_view bytes);
  // Bytes taken so far; nullopt without a writer.
  std::optional<uint64_t> SnapshotOffset(SnapshotSource source) const;
  // One step of: write the end, sync, read everything back and verify, rename, sync the directory.
  // Call again while the result is nullopt. Afterwards the snapshot is durable but not current.
  // `expected_digest`, when known, is compared with SnapshotInfo::digest: on a mismatch, as on a
  // failed verification, the writer is dropped and DataLoss returned. One of the index of the
  // current snapshot is always compared with that.
  absl::StatusOr<std::optional<SnapshotInfo>> FinishSnapshot(
      SnapshotSource source, std::optional<uint64_t> expected_digest = {});
  // Drops a writer and its file; no effect without one.
  absl::Status AbortSnapshot(SnapshotSource source);
  // Makes the finished local snapshot the current one; the log stays (CompactLog). Durable on
  // return. The snapshot that was current stays readable until the next switch, for transfers that
  // are under way.
  absl::Status SwitchSnapshot(const raft::SnapshotMeta& meta);

  // Makes the finished received snapshot the current one, in place of one whose bytes are bad, or
  // of an older one. Of the same index (it has the same digest, FinishSnapshot sees to that): the
  // log is not touched. Of a newer one: the entries at or below it fall away; those behind it stay
  // if the log is known to hold the entry of its index and term, also with damage (Settle then
  // begins behind it, at the earliest). Else the log is empty behind the snapshot, a damage is
  // over, and what may have been there stays as suspicion(). Durable on return. FailedPrecondition
  // without such a snapshot.
  absl::Status RestoreSnapshot(const raft::SnapshotMeta& meta);
  // What the log has lost and has not made up for yet.
  const std::optional<raft::Suspicion>& suspicion() const;

  const SnapshotInfo& current_snapshot() const;
  // Verified bytes [offset, offset + length) of the current or the previous snapshot, shorter only
  // at its end; length at most kMaxSnapshotChunk. NotFound when `index` is neither, OutOfRange
  // behind the end, DataLoss when the bytes fail their checksum.
  absl::StatusOr<std::string> ReadSnapshot(raft::Index index, uint64_t offset, uint64_t length);

  // Removes segments whose entries are all at or below `index` and below the current snapshot;
  // whole segments only, so entries below `index` may stay. No effect when nothing qualifies.
  absl::Status CompactLog(raft::Index index);

  // Reads a little more of what a restart would rely on, from the device (scrub.h). What is
  // unreadable is a finding. FailedPrecondition with damage; Unavailable: try again later.
  absl::StatusOr<ScrubStep> Scrub();

  // --- Space ---
  // True when the space kept back for one more segment (reserve.h) is used up: what is on its way
  // can still be written, and nothing new should be begun.
  bool short_of_space() const;
  // Tries to keep that space back again; ResourceExhausted when there is none.
  absl::Status ReserveSpace();

 private:
  class Impl;
  explicit Storage(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace raftkv::storage
