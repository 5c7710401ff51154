// What a replica asks of its disk, and what comes back. The driver runs jobs against
// storage::Storage (storage/run_job.h) one at a time: a Persist goes before every waiting job of
// another kind, otherwise in order. Every other job is one step of at most 256 KiB.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "core/raft/damage.h"
#include "core/raft/ready.h"
#include "core/raft/types.h"

namespace raftkv::replica {

enum class SnapshotOrigin : uint8_t { kLocal, kReceived };

struct BeginSnapshot {
  SnapshotOrigin origin = SnapshotOrigin::kLocal;
  raft::SnapshotMeta meta;
};
struct AppendSnapshot {
  SnapshotOrigin origin = SnapshotOrigin::kLocal;
  uint64_t offset = 0;
  std::string bytes;
};
// One step; asked again until the result has `finished`.
struct FinishSnapshot {
  SnapshotOrigin origin = SnapshotOrigin::kLocal;
  std::optional<uint64_t> digest;  // expected
};
struct AbortSnapshot {
  SnapshotOrigin origin = SnapshotOrigin::kLocal;
};
// Makes the finished local snapshot the current one.
struct SwitchSnapshot {
  raft::SnapshotMeta meta;
};
// Makes the finished received snapshot the current one without a persist job: in place of one whose
// bytes are bad, or of an older one while the log is repaired.
struct RestoreSnapshot {
  raft::SnapshotMeta meta;
};
struct ReadSnapshot {
  raft::Index index = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
};
struct CompactLog {
  raft::Index through = 0;
};
// Ends the repair of a damaged log: it is what is in front of the first bad entry, then these. With
// a suspicion, more may have been there.
struct SettleLog {
  raft::Entries entries;  // contiguous, the first one the first that was bad; may be empty
  std::optional<raft::Suspicion> suspicion;
};

// Tries to keep space back for bad times again; the result says how that went.
struct ReserveSpace {};

// Reads a little more of what is on the disk, looking for rot. Its error Unavailable means nothing:
// another time.
struct Scrub {};

using JobBody = std::variant<raft::PersistJob, BeginSnapshot, AppendSnapshot, FinishSnapshot,
                             AbortSnapshot, SwitchSnapshot, RestoreSnapshot, ReadSnapshot,
                             CompactLog, SettleLog, ReserveSpace, Scrub>;

struct Job {
  uint64_t id = 0;  // unique within a run of the process
  JobBody body;

  bool is_persist() const { return std::holds_alternative<raft::PersistJob>(body); }
};

struct FinishedSnapshot {
  uint64_t size = 0;
  uint64_t digest = 0;
};

// Something on the disk that is not what was written.
struct Rot {
  std::string file;
  uint64_t offset = 0;
  raft::Index index = 0;  // the first entry it has to do with, or the snapshot's; 0: none
  std::string text;
};

struct Scrubbed {
  uint64_t bytes = 0;  // read
  std::vector<Rot> found;
  bool pass_finished = false;
  // With that: the log or the snapshot misses something of what the pass has found. To open the
  // data directory anew names it, for peers to repair.
  bool repairable = false;
};

struct JobResult {
  uint64_t id = 0;
  absl::Status status;
  // After the job: the disk is full but for a little that is kept back.
  bool short_of_space = false;
  std::string bytes;                         // ReadSnapshot
  std::optional<FinishedSnapshot> finished;  // FinishSnapshot
  Scrubbed scrubbed;                         // Scrub
};

}  // namespace raftkv::replica
