#include "sim/crash_points/durable_state.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/raft/random.h"

namespace raftkv::sim {

std::string Describe(const DurableState& state) {
  std::string text =
      absl::StrFormat("term %d vote %d snapshot %d@%d (%d bytes) commit %d log",
                      state.hard_state.term, state.hard_state.vote, state.snapshot.index,
                      state.snapshot.term, state.snapshot_bytes.size(), state.commit);
  for (const raft::Entry& entry : state.entries) {
    absl::StrAppend(&text, " ", entry.index, "@", entry.term, "#",
                    HashBytes(entry.payload.view()) % 1000);
  }
  return text;
}

bool Matches(const DurableState& wanted, const DurableState& found) {
  const raft::Index floor =
      std::min(std::max(wanted.commit, wanted.snapshot.index), wanted.last_index());
  return wanted.hard_state == found.hard_state && wanted.snapshot == found.snapshot &&
         wanted.snapshot_bytes == found.snapshot_bytes && wanted.entries == found.entries &&
         found.commit >= floor && found.commit <= found.last_index();
}

absl::StatusOr<DurableState> WhatWasFound(storage::Storage& storage) {
  storage::Recovered recovered = storage.TakeRecovered();
  DurableState found;
  found.hard_state = recovered.hard_state;
  found.snapshot = recovered.snapshot.meta;
  found.entries = std::move(recovered.entries);
  found.commit = recovered.commit;
  for (uint64_t offset = 0; offset < recovered.snapshot.size;) {
    absl::StatusOr<std::string> bytes = storage.ReadSnapshot(found.snapshot.index, offset, 300);
    if (!bytes.ok()) return bytes.status();
    if (bytes->empty()) return absl::InternalError("the snapshot ends early");
    found.snapshot_bytes += *bytes;
    offset += bytes->size();
  }
  for (size_t i = 0; i < found.entries.size(); ++i) {
    if (found.entries[i].index != found.snapshot.index + 1 + i) {
      return absl::InternalError(absl::StrCat("a hole in the log: ", Describe(found)));
    }
  }
  if (storage.last_index() != found.last_index()) {
    return absl::InternalError("last_index() is not that of the last entry");
  }
  return found;
}

}  // namespace raftkv::sim
