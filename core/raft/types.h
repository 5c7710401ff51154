// The vocabulary of the consensus core. Names are those of the Raft paper (Ongaro & Ousterhout
// 2014) and of Ongaro's thesis.
#pragma once

#include <cstdint>
#include <vector>

#include "core/raft/block_pool.h"
#include "core/raft/payload.h"

namespace raftkv::raft {

using NodeId = uint64_t;  // 0 is no node
using Term = uint64_t;    // 0 before the first election
using Index = uint64_t;   // the first entry of a log has index 1; 0 is "before the log"

inline constexpr NodeId kNoNode = 0;
// No honest cluster counts this far: a million elections, or entries, a second take 146,000 years.
// What a peer says above it is refused, so that the next term and the next index always exist.
inline constexpr uint64_t kMaxTermOrIndex = uint64_t{1} << 62;

enum class EntryType : uint8_t {
  // Opaque to the core; an empty payload is the no-op that opens a term (paper, section 8).
  kCommand = 0,
  // The payload is EncodeMembershipChange (membership.h).
  kMembership = 1,
};

struct Entry {
  Term term = 0;
  Index index = 0;
  Payload payload;
  EntryType type = EntryType::kCommand;

  friend bool operator==(const Entry&, const Entry&) = default;
};

using Entries = std::vector<Entry, PoolAllocator<Entry>>;

// What must survive a crash besides the log (paper, figure 2 "persistent state"). The commit index
// is stored with each batch of entries instead: losing it costs only time.
struct HardState {
  Term term = 0;
  NodeId vote = kNoNode;  // candidate that got our vote in `term`

  friend bool operator==(const HardState&, const HardState&) = default;
};

// A configuration as stored in snapshots. Every list is sorted and free of duplicates.
// `voters_outgoing` is non-empty exactly while the configuration is joint (thesis, section 4.3);
// `learners_next` are voters of the outgoing half that become learners on leaving.
struct ConfState {
  std::vector<NodeId> voters;
  std::vector<NodeId> voters_outgoing;
  std::vector<NodeId> learners;
  std::vector<NodeId> learners_next;
  bool auto_leave = false;

  friend bool operator==(const ConfState&, const ConfState&) = default;
};

// Names a snapshot: the state after applying every entry up to `index`, and the configuration in
// force there.
struct SnapshotMeta {
  Index index = 0;  // 0: no snapshot
  Term term = 0;    // term of the entry at `index`
  ConfState conf;

  friend bool operator==(const SnapshotMeta&, const SnapshotMeta&) = default;
};

}  // namespace raftkv::raft
