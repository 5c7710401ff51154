// What a storage holds, as its callers see it: the state that a model expects and that a recovery
// finds, in one form, so that the two can be compared.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/raft/types.h"
#include "storage/storage.h"

namespace raftkv::sim {

struct DurableState {
  raft::HardState hard_state;
  raft::SnapshotMeta snapshot;
  std::string snapshot_bytes;
  raft::Entries entries;   // behind the snapshot
  raft::Index commit = 0;  // of the completed jobs; a crash may leave any more recent one

  raft::Index last_index() const { return snapshot.index + entries.size(); }
  friend bool operator==(const DurableState&, const DurableState&) = default;
};

std::string Describe(const DurableState& state);

// True if a recovery that may find `wanted` may find `found`. The commit index of a batch that is
// there must not be lost; a batch that a crash interrupted may add its own.
bool Matches(const DurableState& wanted, const DurableState& found);

// What a storage that was just opened found. An error if it contradicts itself, or if the snapshot
// cannot be read.
absl::StatusOr<DurableState> WhatWasFound(storage::Storage& storage);

}  // namespace raftkv::sim
