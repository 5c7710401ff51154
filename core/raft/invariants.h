// What is true of every node at every moment, as code. A test, a simulator or a fuzzer asks after
// each input; one node and its own past are enough to answer. What needs the view of more than one
// node (one leader per term, equal logs, equal states) is the business of whoever holds them all.
// Debug builds of the core ask with every Ready.
#pragma once

#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/raft/raft.h"

namespace raftkv::raft {

// One English sentence, static, that names a broken invariant of this state; empty when all hold.
absl::string_view BrokenInvariant(const Raft& raft);

// What a step may not undo. Small: taken before every input, it costs a few vectors and no entries.
class StepInvariants {
 public:
  explicit StepInvariants(const Raft& before);

  // As BrokenInvariant, about the way from the state at construction to `after`: the same process
  // of the same node, any number of inputs later. A restart is not a step.
  absl::string_view Broken(const Raft& after) const;

 private:
  HardState hard_;
  RoleName role_;
  Index commit_;
  Index applied_;
  Index handed_out_;
  TermRuns log_;
  std::optional<Suspicion> suspicion_;
  ConfState conf_;
  struct Acknowledged {
    NodeId id;
    Index match;
    uint64_t losses;
  };
  std::vector<Acknowledged> acknowledged_;  // by every member, when leader
};

}  // namespace raftkv::raft
