// What the core asks its driver to do. The order is part of the type: nothing else has to be
// remembered.
//
//   1. send every message of `send_now`;
//   2. apply the committed entries up to `apply_now` (they are on this node's disk already);
//   3. if there is a `persist`, write it (term and vote first, then the commit index and the
//      entries, one sync), then call Persisted(ticket); at most one ticket is out, what arrives
//      meanwhile is the next batch;
//   4. then send every message of `send_after_persist` and apply the remaining committed entries.
//
// When the disk has no space for what 3 asks, call PersistedWithoutLog(ticket) instead; then 4
// holds for the messages that do not vouch for the log, and committed entries above durable() go on
// waiting.
//
// 1 and 3 may overlap: the leader writes its disk in parallel with its followers (thesis,
// section 10.2.1), and heartbeats never wait for a sync. Without a `persist` everything may be done
// at once.
#pragma once

#include <optional>
#include <vector>

#include "core/raft/message.h"
#include "core/raft/types.h"

namespace raftkv::raft {

// One atomic write to the disk log. Lent to the disk until Persisted(ticket): see payload.h.
struct PersistJob {
  // Written out, in these two, so that only what has a value is set: else all 200 bytes are zeroed
  // first, which costs as much as everything else a Ready does.
  PersistJob() {}  // NOLINT(modernize-use-equals-default)

  uint64_t ticket = 0;                  // 1, 2, 3, ... in order
  std::optional<HardState> hard_state;  // set when term or vote changed
  // The snapshot whose bytes are already on disk and verified, to be made the current one. The
  // whole disk log is dropped with it and begins anew after snapshot->index.
  std::optional<SnapshotMeta> snapshot;
  // The disk log is cut so that `keep_through` is its last entry (no effect when it ends there),
  // even when `entries` is empty.
  Index keep_through = 0;
  // Contiguous, the first at keep_through + 1.
  Entries entries;
  // Commit index known when the batch was cut. Stored in the same record as the entries or before
  // them. May be above the last entry of the disk log; recovery caps it.
  Index commit = 0;

  // True when nothing has to reach the disk: the ticket only orders the core's answers to itself.
  bool nothing_to_write() const { return !hard_state && !snapshot && !writes_log; }
  bool writes_log = false;  // keep_through and entries change the disk log
};

// True when `message` says that its sender's disk holds entries.
bool VouchesForLog(const Message& message);

// A read that may be served once `index` is applied.
struct ReadPoint {
  uint64_t context = 0;
  Index index = 0;
  friend bool operator==(const ReadPoint&, const ReadPoint&) = default;
};

using ReadPoints = std::vector<ReadPoint, PoolAllocator<ReadPoint>>;

enum class ReadFailure : uint8_t {
  kLostLeadership,   // the node that had to confirm it is leader no more
  kRefusedByLeader,  // the leader could not give a read point (forwarded reads)
};

struct FailedRead {
  uint64_t context = 0;
  ReadFailure reason = ReadFailure::kLostLeadership;
  friend bool operator==(const FailedRead&, const FailedRead&) = default;
};

using FailedReads = std::vector<FailedRead, PoolAllocator<FailedRead>>;

struct Ready {
  Ready() {}  // NOLINT(modernize-use-equals-default)

  Messages send_now;
  std::optional<PersistJob> persist;
  Messages send_after_persist;
  // Newly committed entries in order, each handed out exactly once per run of the process.
  Entries committed;
  Index apply_now = 0;
  ReadPoints reads;
  FailedReads failed_reads;
};

}  // namespace raftkv::raft
