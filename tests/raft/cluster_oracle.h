// Judges nodes that are driven together. It remembers what it has seen of each and of all, so that
// what may never happen twice, or differently, is noticed when it does.
//
//   election safety        at most one leader in a term (paper, figure 3)
//   one vote per term      also across restarts (paper, section 5.2)
//   log matching           same index and term: same entry, and the same before it (figure 3)
//   leader completeness    who becomes leader has every entry that was ever applied (figure 3)
//   state machine safety   one entry per index is ever applied, in order, by everybody (figure 3)
//
// and the invariants of one node and one step (core/raft/invariants.h).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "core/raft/invariants.h"
#include "tests/raft/memory_node.h"

namespace raftkv::raft {

class ClusterOracle {
 public:
  // Looks at a node after something happened to it. Empty, or the first thing that is wrong.
  std::string Check(const MemoryNode& node);
  // Looks at what a node sends.
  std::string Check(const Message& sent);
  // The logs of two nodes against each other.
  static std::string CheckLogs(const Raft& a, const Raft& b);
  // The node begins a new life: only its disk, and what it promised, still binds it.
  void Restarted(NodeId id) { seen_.erase(id); }

  Index highest_applied() const { return applied_.empty() ? 0 : applied_.rbegin()->first; }

 private:
  struct Seen {
    StepInvariants invariants;
    size_t applied = 0;  // entries of MemoryNode::applied() looked at
    Term led = 0;        // newest term in which it was seen leading
  };

  std::string CheckLeader(const MemoryNode& node);
  std::string CheckApplied(const MemoryNode& node, size_t from);

  std::map<NodeId, Seen> seen_;
  std::map<Term, NodeId> leaders_;
  std::map<std::pair<NodeId, Term>, NodeId> votes_;
  std::map<Index, Entry> applied_;
};

}  // namespace raftkv::raft
