// What a leader has accepted of the requests that other nodes forward to it, so that a copy is not
// taken for another request. docs/adr/0002-forward-to-the-leader-of-a-term.md
//
// A node gives its requests rising ids; those of one run of its process have their upper half in
// common, and no other run has it. It says with each request which is the oldest that it still
// waits for. Older ones need not be remembered one by one: a copy of one is late, and nobody wants
// its answer. So what is kept is what is under way, however long a leader leads. When a node that
// has restarted is heard of, what was under way in its earlier run is over, too: a few bytes
// remain. (Should that be a late request of a run before, the live one is asked again, and does not
// have an answer for what was under way.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/container/btree_map.h"
#include "core/raft/types.h"

namespace raftkv::replica {

class AcceptedForwards {
 public:
  enum class Kind : uint8_t {
    kNew,   // now it is accepted
    kCopy,  // of one that was
    kOver,  // its node does not wait for it any more
  };
  struct Verdict {
    Kind kind;
    // What the caller likes to know about it, 0 at first; null if it is over. Valid until the next
    // call.
    uint64_t* note;
  };

  // A leadership has begun, in which nothing is accepted yet.
  void Clear() { runs_.clear(); }

  // A request of `from` arrived. `oldest` is the oldest that its node waits for, at most `id`; 0 if
  // it does not say.
  Verdict Accept(raft::NodeId from, uint64_t id, uint64_t oldest);

  // Whether it was accepted once, or is over.
  bool Knows(raft::NodeId from, uint64_t id) const;

  // How many are remembered one by one.
  size_t size() const;

 private:
  struct Run {
    uint64_t oldest = 0;
    absl::btree_map<uint64_t, uint64_t> notes;  // by id
  };
  static uint64_t RunOf(uint64_t id) { return id >> 32; }

  using Runs = absl::btree_map<std::pair<raft::NodeId, uint64_t>, Run>;
  void CloseOthers(Runs::const_iterator run);

  Runs runs_;
};

}  // namespace raftkv::replica
