// A data directory, taken apart for people and programs. Reads only, takes no lock, repairs
// nothing: what is damaged is shown with its offset and reason, and the rest goes on. Works on a
// directory that is in use, whose newest records may then be behind.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "core/raft/types.h"
#include "storage/disk.h"

namespace raftkv::storage {

struct InspectOptions {
  raft::Index first_index = 0;          // log: only entries from here
  raft::Index last_index = UINT64_MAX;  // log: to here
  uint32_t payload_bytes = 32;          // log: how much of each payload is shown, escaped
  bool verify_snapshots = false;        // snapshot: read every chunk, not only header and trailer
  bool show_entries = true;             // log: else only what is bad
};

// One record, or one statement about a file.
struct InspectItem {
  using Value = std::variant<uint64_t, std::string, bool>;

  std::string file;  // empty: of the whole directory
  uint64_t offset = 0;
  std::string what;  // "segment", "note", "batch", "entry", "foot", "vote", "event", ...
  std::vector<std::pair<std::string, Value>> fields;
  std::string problem;  // not empty: it is bad, and this is why
};

struct Inspection {
  std::vector<InspectItem> items;

  // Some item has a problem.
  bool damaged() const;
  // A line for each item.
  std::string Text() const;
};

// Each returns NotFound for a directory that is none of ours. Damage is in the items, never in the
// status.
absl::StatusOr<Inspection> InspectIdentity(Disk& disk);
absl::StatusOr<Inspection> InspectVote(Disk& disk);
// The marks, then every segment in order: every batch, every entry, also those that later batches
// cut away, and every foot.
absl::StatusOr<Inspection> InspectLog(Disk& disk, const InspectOptions& options);
// The manifest, then every snapshot file.
absl::StatusOr<Inspection> InspectSnapshots(Disk& disk, const InspectOptions& options);
// Every byte of every file; of the log only what is bad; then what a start would make of it all:
// its recovery events, the end of the log, what it suspects, and which entries it would have
// repaired.
absl::StatusOr<Inspection> InspectAll(Disk& disk);

}  // namespace raftkv::storage
