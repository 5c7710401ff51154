// Judges nodes that are driven together. It remembers what it has seen of each and of all, so that
// what may never happen twice, or differently, is noticed when it does.
//
//   election safety        at most one leader in a term (paper, figure 3)
//   one vote per term      also across restarts (paper, section 5.2)
//   persist before send    what a message asserts is on its sender's disk (paper, figure 2)
//   log matching           same index and term: same entry, and the same before it (figure 3)
//   leader completeness    who becomes leader has every entry that was ever applied (figure 3)
//   commit on a quorum     what a leader commits is on the disks of a quorum (section 5.3), or was
//   match is true          what a leader takes for replicated is on that disk (section 5.3), or was
//                          and is lost, and its node has not yet made up for it
//   state machine safety   one entry per index is ever applied, in order, by everybody, and leads
//                          to the same state and configuration (figure 3)
//
// and the invariants of one node and one step (core/raft/invariants.h).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/raft/invariants.h"
#include "tests/raft/memory_node.h"

namespace raftkv::raft {

class ClusterOracle {
 public:
  // The disk of a node, running or crashed; null when there is no such node.
  using DiskOf = absl::FunctionRef<const MemoryDisk*(NodeId)>;

  // Among liars only what one node owes to itself is looked at: its invariants, its votes, its
  // disk before its word.
  enum class Peers { kHonest, kLying };
  explicit ClusterOracle(Peers peers = Peers::kHonest) : honest_(peers == Peers::kHonest) {}

  // Looks at a node after something happened to it. Empty, or the first thing that is wrong.
  std::string Check(const MemoryNode& node, DiskOf disk_of);
  // Looks at what a node sends, when it sends it.
  std::string Check(const MemoryNode& sender, const Message& sent);
  // Looks at a node that was just started: it has what its disk has.
  static std::string CheckStarted(const MemoryNode& node);
  // The logs of two nodes against each other. Check has done so already, entry by entry.
  static std::string CheckLogs(const Raft& a, const Raft& b);
  // The node begins a new life: only its disk, and what it promised, still binds it.
  void Restarted(NodeId id) { seen_.erase(id); }

  Index highest_applied() const { return applied_.empty() ? 0 : applied_.rbegin()->first; }
  // Terms that had a leader, and who it was.
  const std::map<Term, NodeId>& leaders() const { return leaders_; }

 private:
  struct Seen {
    StepInvariants invariants;
    size_t applied = 0;  // entries of MemoryNode::applied() looked at
    Term led = 0;        // newest term in which it was seen leading
    bool leads = false;
    Index commit = 0;
    ConfState conf;
    TermRuns log;
  };
  // The first node that applied an index; everybody else has to end up with the same.
  struct Applied {
    Entry entry;
    ConfState conf;
    std::string state;
  };
  // The first sight of an entry, and the term of the one before it.
  struct Logged {
    Entry entry;
    std::optional<Term> before;
  };

  std::string CheckLog(const Raft& raft, Index from);
  std::string CheckNewLeader(const MemoryNode& node);
  std::string CheckApplied(const MemoryNode& node, size_t from);
  std::string CheckCommit(const MemoryNode& leader, const Seen* before, DiskOf disk_of);
  static std::string CheckMatches(const Raft& leader, DiskOf disk_of);
  std::string CheckOnDisk(const MemoryNode& sender, const Message& sent);

  bool honest_;
  std::map<NodeId, Seen> seen_;
  std::map<Term, NodeId> leaders_;
  std::map<std::pair<NodeId, Term>, NodeId> votes_;  // (voter, term) -> candidate
  std::map<Index, Applied> applied_;
  std::map<std::pair<Index, Term>, Logged> logged_;
};

}  // namespace raftkv::raft
