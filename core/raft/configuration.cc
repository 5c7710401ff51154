#include "core/raft/configuration.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace raftkv::raft {
namespace {

bool Contains(const std::vector<NodeId>& ids, NodeId id) {
  return std::binary_search(ids.begin(), ids.end(), id);
}

void Insert(std::vector<NodeId>& ids, NodeId id) {
  const auto at = std::lower_bound(ids.begin(), ids.end(), id);
  if (at == ids.end() || *at != id) ids.insert(at, id);
}

void Erase(std::vector<NodeId>& ids, NodeId id) {
  const auto at = std::lower_bound(ids.begin(), ids.end(), id);
  if (at != ids.end() && *at == id) ids.erase(at);
}

void Remove(ConfigurationUpdate& update, NodeId id) {
  ConfState& conf = update.conf;
  Erase(conf.voters, id);
  Erase(conf.learners, id);
  Erase(conf.learners_next, id);
  if (!IsMember(conf, id)) Erase(update.fresh, id);
}

void MakeVoter(ConfigurationUpdate& update, NodeId id) {
  ConfState& conf = update.conf;
  if (!IsMember(conf, id)) Insert(update.fresh, id);
  Erase(conf.learners, id);
  Erase(conf.learners_next, id);
  Insert(conf.voters, id);
}

void MakeLearner(ConfigurationUpdate& update, NodeId id) {
  ConfState& conf = update.conf;
  if (IsLearner(conf, id)) return;
  if (!IsMember(conf, id)) {
    Insert(update.fresh, id);
    Insert(conf.learners, id);
    return;
  }
  Erase(conf.voters, id);
  // A voter of the outgoing half keeps its vote there until the joint configuration is left.
  Insert(Contains(conf.voters_outgoing, id) ? conf.learners_next : conf.learners, id);
}

absl::string_view Apply(ConfigurationUpdate& update, absl::Span<const MemberChange> changes) {
  for (const MemberChange& change : changes) {
    if (change.node == kNoNode)
      continue;  // a change that was proposed and then withdrawn keeps its place
    switch (change.kind) {
      case MemberChange::Kind::kAddVoter:
        MakeVoter(update, change.node);
        break;
      case MemberChange::Kind::kAddLearner:
        MakeLearner(update, change.node);
        break;
      case MemberChange::Kind::kRemove:
        Remove(update, change.node);
        break;
      case MemberChange::Kind::kUpdate:
        break;
    }
  }
  return update.conf.voters.empty() ? "removed all voters" : "";
}

ConfigurationUpdate Refuse(absl::string_view why) {
  ConfigurationUpdate update;
  update.refusal = why;
  return update;
}

size_t Difference(const std::vector<NodeId>& a, const std::vector<NodeId>& b) {
  std::vector<NodeId> difference;
  std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(),
                                std::back_inserter(difference));
  return difference.size();
}

}  // namespace

ConfigurationUpdate SimpleChange(const ConfState& conf, absl::Span<const MemberChange> changes) {
  if (IsJoint(conf)) return Refuse("can't apply simple config change in joint config");
  ConfigurationUpdate update{conf, {}, {}};
  if (const absl::string_view why = Apply(update, changes); !why.empty()) return Refuse(why);
  if (Difference(conf.voters, update.conf.voters) > 1) {
    return Refuse("more than one voter changed without entering joint config");
  }
  return update;
}

ConfigurationUpdate EnterJoint(const ConfState& conf, bool auto_leave,
                               absl::Span<const MemberChange> changes) {
  if (IsJoint(conf)) return Refuse("config is already joint");
  if (conf.voters.empty()) return Refuse("can't make a zero-voter config joint");
  ConfigurationUpdate update{conf, {}, {}};
  update.conf.voters_outgoing = conf.voters;
  if (const absl::string_view why = Apply(update, changes); !why.empty()) return Refuse(why);
  update.conf.auto_leave = auto_leave;
  return update;
}

ConfigurationUpdate LeaveJoint(const ConfState& conf) {
  if (!IsJoint(conf)) return Refuse("can't leave a non-joint config");
  ConfigurationUpdate update{conf, {}, {}};
  for (const NodeId id : conf.learners_next) Insert(update.conf.learners, id);
  update.conf.learners_next.clear();
  update.conf.voters_outgoing.clear();
  update.conf.auto_leave = false;
  return update;
}

ConfigurationUpdate ApplyChange(const ConfState& conf, const MembershipChange& change) {
  if (change.leaves_joint()) return LeaveJoint(conf);
  if (change.transition != MembershipChange::Transition::kAuto || change.changes.size() > 1) {
    return EnterJoint(conf, change.transition != MembershipChange::Transition::kJointExplicit,
                      change.changes);
  }
  return SimpleChange(conf, change.changes);
}

bool IsVoter(const ConfState& conf, NodeId id) {
  return Contains(conf.voters, id) || Contains(conf.voters_outgoing, id);
}

bool IsLearner(const ConfState& conf, NodeId id) { return Contains(conf.learners, id); }

bool IsMember(const ConfState& conf, NodeId id) { return IsVoter(conf, id) || IsLearner(conf, id); }

std::vector<NodeId> AllVoters(const ConfState& conf) {
  std::vector<NodeId> ids;
  std::set_union(conf.voters.begin(), conf.voters.end(), conf.voters_outgoing.begin(),
                 conf.voters_outgoing.end(), std::back_inserter(ids));
  return ids;
}

std::vector<NodeId> AllMembers(const ConfState& conf) {
  const std::vector<NodeId> voters = AllVoters(conf);
  std::vector<NodeId> ids;
  std::set_union(voters.begin(), voters.end(), conf.learners.begin(), conf.learners.end(),
                 std::back_inserter(ids));
  return ids;
}

size_t MemberCount(const ConfState& conf) {
  size_t count = conf.voters.size() + conf.learners.size();
  for (const NodeId id : conf.voters_outgoing) count += !Contains(conf.voters, id);
  return count;
}

absl::string_view ConfStateFault(const ConfState& conf) {
  for (const std::vector<NodeId>* ids :
       {&conf.voters, &conf.voters_outgoing, &conf.learners, &conf.learners_next}) {
    NodeId previous = kNoNode;
    for (const NodeId id : *ids) {
      if (id <= previous) return "member ids are not sorted, repeated, or 0";
      previous = id;
    }
  }
  for (const NodeId id : conf.learners) {
    if (IsVoter(conf, id)) return "a learner is also a voter";
  }
  for (const NodeId id : conf.learners_next) {
    if (!Contains(conf.voters_outgoing, id)) return "a next learner is not an outgoing voter";
    if (Contains(conf.voters, id)) return "a next learner is an incoming voter";
  }
  if (!IsJoint(conf) && conf.auto_leave) return "auto-leave without a joint configuration";
  if (IsJoint(conf) && conf.voters.empty()) return "a joint configuration without incoming voters";
  return {};
}

std::string DescribeConfiguration(const ConfState& conf) {
  std::string text = absl::StrCat("voters=(", absl::StrJoin(conf.voters, " "), ")");
  if (IsJoint(conf)) absl::StrAppend(&text, "&&(", absl::StrJoin(conf.voters_outgoing, " "), ")");
  if (!conf.learners.empty())
    absl::StrAppend(&text, " learners=(", absl::StrJoin(conf.learners, " "), ")");
  if (!conf.learners_next.empty()) {
    absl::StrAppend(&text, " learners_next=(", absl::StrJoin(conf.learners_next, " "), ")");
  }
  if (conf.auto_leave) absl::StrAppend(&text, " autoleave");
  return text;
}

}  // namespace raftkv::raft
