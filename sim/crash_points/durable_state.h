// What a storage holds, as its callers see it: the state that a model expects and that a recovery
// finds, in one form, so that the two can be compared.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/raft/types.h"
#include "storage/storage.h"

namespace raftkv::sim {

struct DurableState {
  raft::HardState hard_state;
  raft::SnapshotMeta snapshot;
  std::string snapshot_bytes;
  raft::Entries entries;  // behind the snapshot
  // Behind a hole that follows them: what can be read. Wanted: what must not be lost; an
  // interrupted write may leave holes of its own.
  raft::Entries behind;
  raft::Index commit = 0;  // of the completed jobs; a crash may leave any more recent one
  // Found: as it is. Wanted: what has to be promised at least, with whatever evidence.
  std::optional<raft::Suspicion> suspicion;
  bool snapshot_lost = false;  // its file is bad; there are no bytes

  raft::Index last_index() const { return snapshot.index + entries.size(); }
  friend bool operator==(const DurableState&, const DurableState&) = default;
};

std::string Describe(const DurableState& state);

// True if a recovery that may find `wanted` may find `found`. The commit index of a batch that is
// there must not be lost; a batch that a crash interrupted may add its own. A crash loses nothing
// that is proven to have been durable: that is found only where it is wanted. What is blank was
// never acknowledged: it may promise less.
bool Matches(const DurableState& wanted, const DurableState& found);

// The states of which a crash may leave one, besides those before and after, while the log of
// `before` is cut behind `keep_through` and `entries` are appended.
std::vector<DurableState> WhileWriting(const DurableState& before, raft::Index keep_through,
                                       const raft::Entries& entries);
// Ends the suspicion of a state whose log is at least as up to date.
void EndSuspicion(DurableState* state);

// What a storage that was just opened found. Damage is then settled as a node without peers would:
// the log ends in front of the first bad entry, with a suspicion, and `behind` is no more. An error
// if it contradicts itself, or if the snapshot cannot be read.
absl::StatusOr<DurableState> WhatWasFound(storage::Storage& storage);

}  // namespace raftkv::sim
