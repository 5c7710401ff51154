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
  struct Acknowledged {
    NodeId id;
    Index match;
    uint64_t losses;
    friend bool operator==(const Acknowledged&, const Acknowledged&) = default;
  };

  explicit StepInvariants(const Raft& before) { Take(before); }

  // Becomes what it would be if it were constructed now, in the memory that it has.
  void Take(const Raft& before);
  // Nothing of what was taken is different in `raft`.
  bool IsOf(const Raft& raft) const;

  // As BrokenInvariant, about the way from the state that was taken to `after`: the same process of
  // the same node, any number of inputs later. A restart is not a step.
  absl::string_view Broken(const Raft& after) const;

  // What was taken.
  const HardState& hard_state() const { return hard_; }
  RoleName role() const { return role_; }
  const TermRuns& log() const { return log_; }
  const std::optional<Suspicion>& suspicion() const { return suspicion_; }
  const ConfState& conf() const { return conf_; }
  // By every member; of a leader, otherwise empty.
  const std::vector<Acknowledged>& acknowledged() const { return acknowledged_; }

 private:
  static Acknowledged AcknowledgedBy(const Progress& peer) {
    return {peer.id, peer.match, peer.losses};
  }

  HardState hard_;
  RoleName role_ = RoleName::kFollower;
  Index commit_ = 0;
  Index applied_ = 0;
  Index handed_out_ = 0;
  TermRuns log_;
  std::optional<Suspicion> suspicion_;
  ConfState conf_;
  std::vector<Acknowledged> acknowledged_;
};

}  // namespace raftkv::raft
