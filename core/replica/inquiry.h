// What a node can say about entries that another one has lost. Every node answers in every state:
// from its log, and while it is itself being repaired from what it can read.
// docs/adr/0007-a-lost-entry-is-still-promised.md
#pragma once

#include <cstdint>
#include <optional>

#include "core/raft/damage.h"
#include "core/raft/log.h"
#include "core/raft/types.h"
#include "core/wire/peer.h"

namespace raftkv::replica {

// A node's log as far as its disk gave it back. Borrowed.
struct Holdings {
  const raft::Log& log;  // up to the first hole
  raft::Index commit = 0;
  const raft::LogDamage* damage = nullptr;  // what is behind, if there are holes
  // What may have been behind the end of all this: the log's suspicion, or the damage's.
  std::optional<raft::Suspicion> lost;
  raft::Term leads = 0;  // 0: no leader
};

// Verdicts on the first entries asked about, as many as leave the entries found within `max_bytes`
// (raft::EntryBytes each); at least one entry always has room. The same for the end of the log.
wire::EntryAnswer AnswerQuery(const Holdings& holdings, const wire::EntryQuery& query,
                              uint64_t max_bytes);

}  // namespace raftkv::replica
