#include "sim/crash_points/durable_state.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/raft/random.h"
#include "storage/log_replay.h"

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
  for (const raft::Entry& entry : state.behind) {
    absl::StrAppend(&text, " behind a hole ", entry.index, "@", entry.term);
  }
  if (state.snapshot_lost) absl::StrAppend(&text, " snapshot lost");
  if (state.suspicion) {
    absl::StrAppend(&text, " suspicion ", state.suspicion->index, "@", state.suspicion->term, "/",
                    static_cast<int>(state.suspicion->evidence));
  }
  return text;
}

bool Matches(const DurableState& wanted, const DurableState& found) {
  using Evidence = raft::Suspicion::Evidence;
  const raft::Index floor =
      std::min(std::max(wanted.commit, wanted.snapshot.index), wanted.last_index());
  if (wanted.suspicion.has_value() != found.suspicion.has_value()) return false;
  if (found.suspicion) {
    if (found.suspicion->evidence == Evidence::kProven &&
        wanted.suspicion->evidence != Evidence::kProven) {
      return false;
    }
    if (found.suspicion->evidence != Evidence::kBlank &&
        !raft::UpToDate(found.suspicion->index, found.suspicion->term, *wanted.suspicion)) {
      return false;
    }
  }
  return wanted.hard_state == found.hard_state && wanted.snapshot == found.snapshot &&
         wanted.snapshot_lost == found.snapshot_lost &&
         wanted.snapshot_bytes == found.snapshot_bytes && wanted.entries == found.entries &&
         (wanted.behind.empty() || wanted.behind == found.behind) && found.commit >= floor &&
         found.commit <= found.last_index();
}

std::vector<DurableState> WhileWriting(const DurableState& before, raft::Index keep_through,
                                       const raft::Entries& entries) {
  std::optional<raft::Suspicion> suspicion = before.suspicion;
  storage::Merge(entries.empty() ? raft::Suspicion{}
                                 : raft::Suspicion{entries.back().index, entries.back().term, {}},
                 &suspicion);
  std::vector<DurableState> states = {before};
  DurableState partly = before;
  partly.entries.resize(keep_through - before.snapshot.index);
  states.push_back(partly);
  for (const raft::Entry& entry : entries) {
    partly.entries.push_back(entry);
    states.push_back(partly);
  }
  for (DurableState& state : states) state.suspicion = suspicion;
  if (entries.empty()) {
    // What is left of the batch may tell of the cut and not of the commit index.
    partly.suspicion = before.suspicion;
    states.push_back(partly);
  }
  return states;
}

void EndSuspicion(DurableState* state) {
  if (!state->suspicion) return;
  const raft::Term term =
      state->entries.empty() ? state->snapshot.term : state->entries.back().term;
  if (raft::UpToDate(state->last_index(), term, *state->suspicion)) state->suspicion.reset();
}

absl::StatusOr<DurableState> WhatWasFound(storage::Storage& storage) {
  storage::Recovered recovered = storage.TakeRecovered();
  DurableState found;
  found.hard_state = recovered.hard_state;
  found.snapshot = recovered.snapshot.meta;
  found.entries = std::move(recovered.entries);
  found.commit = recovered.commit;
  found.suspicion = recovered.suspicion;
  if (recovered.damage) {
    found.behind = std::move(recovered.damage->intact);
    const absl::Status status = storage.Settle({}, recovered.damage->last);
    if (!status.ok()) return status;
    found.suspicion = recovered.damage->last;
  }
  found.snapshot_lost = recovered.snapshot_damaged;
  for (uint64_t offset = 0; !found.snapshot_lost && offset < recovered.snapshot.size;) {
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
