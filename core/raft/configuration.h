// What a membership change does to a configuration, as pure functions (thesis, chapter 4).
//
// A simple change alters at most one voter, so that any majority of the old configuration meets any
// majority of the new. A larger one goes through a joint configuration, in which both halves must
// agree to everything, and leaves it by a second change.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/raft/membership.h"
#include "core/raft/types.h"

namespace raftkv::raft {

struct ConfigurationUpdate {
  ConfState conf;             // meaningless when refused
  std::vector<NodeId> fresh;  // members about whom nothing is known yet (new ones, and ones removed
                              // and added again), in order
  absl::string_view refusal;  // static text; empty when the change is possible

  bool refused() const { return !refusal.empty(); }
};

ConfigurationUpdate SimpleChange(const ConfState& conf, absl::Span<const MemberChange> changes);
ConfigurationUpdate EnterJoint(const ConfState& conf, bool auto_leave,
                               absl::Span<const MemberChange> changes);
ConfigurationUpdate LeaveJoint(const ConfState& conf);
// Whichever of the three `change` asks for.
ConfigurationUpdate ApplyChange(const ConfState& conf, const MembershipChange& change);

inline bool IsJoint(const ConfState& conf) { return !conf.voters_outgoing.empty(); }
bool IsVoter(const ConfState& conf, NodeId id);    // of either half
bool IsLearner(const ConfState& conf, NodeId id);  // and not a voter of the outgoing half
bool IsMember(const ConfState& conf, NodeId id);
std::vector<NodeId> AllVoters(const ConfState& conf);   // both halves, sorted
std::vector<NodeId> AllMembers(const ConfState& conf);  // voters and learners, sorted
size_t MemberCount(const ConfState& conf);              // of AllMembers

// Empty when every list is sorted, without duplicates and node 0, and the lists do not contradict
// each other; else what is wrong.
absl::string_view ConfStateFault(const ConfState& conf);

// "voters=(1 2)&&(1 3) learners=(4) learners_next=(5) autoleave"
std::string DescribeConfiguration(const ConfState& conf);

}  // namespace raftkv::raft
