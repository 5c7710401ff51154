// A data directory as text, for people. Reads only, takes no lock, repairs nothing: what is damaged
// is shown as "BAD" with its offset and reason, and the rest goes on. Works on a directory that is
// in use, whose newest lines may then be behind.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "core/raft/types.h"
#include "storage/disk.h"

namespace raftkv::storage {

struct InspectOptions {
  raft::Index first_index = 0;          // log: only entries from here
  raft::Index last_index = UINT64_MAX;  // log: to here
  uint32_t payload_bytes = 32;          // log: how much of each payload is shown, escaped
  bool verify_snapshots = false;        // snapshot: read every chunk, not only header and trailer
};

// Each returns NotFound for a directory without an identity. Damage is in the text, not in the
// status; `damaged` tells whether there is any.
struct Inspection {
  std::string text;
  bool damaged = false;
};

absl::StatusOr<Inspection> InspectIdentity(Disk& disk);
absl::StatusOr<Inspection> InspectVote(Disk& disk);
// Every segment in order, every batch, every entry, also those that later batches cut away.
absl::StatusOr<Inspection> InspectLog(Disk& disk, const InspectOptions& options);
// The manifest, then every snapshot file.
absl::StatusOr<Inspection> InspectSnapshots(Disk& disk, const InspectOptions& options);
// All of the above.
absl::StatusOr<Inspection> InspectAll(Disk& disk, const InspectOptions& options);

}  // namespace raftkv::storage
