// Linearizable reads at a leader (thesis, section 6.4): a read may be served at the commit index of
// its arrival once a quorum has answered a heartbeat sent after it arrived. Every such heartbeat
// carries a round number that never repeats within a leadership, so an answer to an earlier
// heartbeat, or to an earlier read of the same client, confirms nothing.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "core/raft/block_pool.h"
#include "core/raft/types.h"

namespace raftkv::raft {

struct ReadQueue {
  struct Read {
    NodeId from = kNoNode;  // who asked: this node or a follower
    uint64_t context = 0;
    Index index = 0;
    uint64_t round = 0;
  };

  std::vector<Read> waiting;  // for the first commit in this term; no index and round yet
  std::deque<Read, PoolAllocator<Read>> unconfirmed;  // rounds ascending
  uint64_t round = 0;                                 // newest round given out
  uint64_t confirmed = 0;                             // newest round confirmed by a quorum

  // With lease reads: when each unconfirmed round was sent, in ticks; a lease runs from the sending
  // of the newest confirmed round.
  struct Sent {
    uint64_t round;
    uint64_t at;
  };
  std::deque<Sent, PoolAllocator<Sent>> sent;
  uint64_t lease_start = 0;
  bool has_lease = false;

  size_t size() const { return waiting.size() + unconfirmed.size(); }
};

}  // namespace raftkv::raft
