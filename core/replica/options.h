// How one replica behaves, and every limit that clients and peers meet. Defaults are those of the
// shipped node; the simulator draws its own.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "core/kv/snapshot_points.h"
#include "core/kv/store.h"
#include "core/raft/options.h"
#include "core/wire/peer.h"

namespace raftkv::replica {

struct Options {
  // Who we are. raft.id is the node id.
  wire::ClusterId cluster;
  uint64_t incarnation = 0;  // not 0
  uint64_t group = 0;
  raft::Options raft;
  kv::StoreOptions store;        // the same on every replica
  kv::SnapshotPolicy snapshots;  // the same on every replica

  uint64_t tick_us = 10'000;
  uint64_t request_timeout_ms = 5'000;  // a client waits no longer for an answer
  uint64_t full_disk_retry_ms = 500;    // a full disk is asked for space again after this
  uint64_t read_retry_ms = 100;         // an unanswered read point is asked for again after this,
                                        // and so is what a link may have lost
  // Of the log in memory kept behind a snapshot, for followers that lag a little.
  uint64_t trailing_log_bytes = 16 << 20;
  uint32_t snapshot_chunk_bytes = 256 << 10;
  uint64_t snapshot_resend_ms = 1'000;  // a chunk without an answer is sent again after this,
  uint32_t snapshot_resends = 10;       // and given up after so many times
  // A snapshot is sent to each follower, and our own is written and read back, at this pace (0: as
  // fast as it goes); our own faster when the log grows faster. What is due within a tick is done
  // at once.
  uint64_t snapshot_bytes_per_s = 10 << 20;
  // The disk is read through for rot at this pace, at most one step of 256 KiB in a tick (0: not at
  // all), and then again after a pause. A start reads everything, so the first pass waits, too.
  uint64_t scrub_bytes_per_s = 4 << 20;
  uint64_t scrub_pause_ms = 3'600'000;
  // Repair: what peers do not answer is asked again after so many ticks, and so many bytes of
  // entries are in one answer (one entry always).
  uint32_t repair_patience_ticks = 50;
  uint64_t repair_answer_bytes = 1 << 20;
  // Commands that may grow the store are refused above this.
  uint64_t max_store_bytes = uint64_t{4} << 30;
  uint64_t max_waiting_bytes = 256 << 20;  // of commands admitted and not yet answered
  uint32_t max_clients = 10'000;
  uint64_t max_client_output_bytes = 8 << 20;  // unread replies of one client; more closes it
  uint32_t max_client_pipeline = 4'096;  // unanswered requests of one client; more waits unparsed

  bool record_applied = false;  // report every applied entry in Work::events
};

// InvalidArgument naming the field.
absl::Status ValidateOptions(const Options& options);

}  // namespace raftkv::replica
