#include "sim/oracles/omniscience.h"

#include <algorithm>
#include <variant>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "core/raft/configuration.h"
#include "core/raft/quorum.h"
#include "core/raft/random.h"
#include "core/replica/repair.h"
#include "core/wire/frame.h"
#include "sim/oracles/describe.h"

namespace raftkv::sim {
namespace {

// True if `holds` is true for a majority of the voters, of both halves while the configuration is
// joint. Written here once more, on purpose: an oracle must not count as the code it judges counts.
template <typename Holds>
bool Majority(const raft::ConfState& conf, const Holds& holds) {
  const auto half = [&](const std::vector<raft::NodeId>& voters) {
    const auto count = std::count_if(voters.begin(), voters.end(), holds);
    return static_cast<size_t>(count) > voters.size() / 2;
  };
  return half(conf.voters) && (conf.voters_outgoing.empty() || half(conf.voters_outgoing));
}

std::string At(raft::Index index, raft::Term term) {
  return absl::StrCat("(", index, ", term ", term, ")");
}

bool Led(const raft::StepInvariants& before, raft::Term term) {
  return before.role() == raft::RoleName::kLeader && before.hard_state().term == term;
}

}  // namespace

Omniscience::Omniscience(Judge* judge, const Trace* trace, const raft::SnapshotMeta& founding,
                         StateFault state_fault, bool judging)
    : judge_(judge), trace_(trace), state_fault_(std::move(state_fault)), judging_(judging) {
  confs_[founding.index] = founding.conf;
  // What the snapshot stands for counts as committed before the first term; no log holds it.
  for (raft::Index i = 1; i <= founding.index; ++i) {
    ghost_.push_back({raft::Entry{founding.term, i, {}, {}}, 0, 0, raft::kNoNode});
  }
}

// --- The life of a node

Omniscience::Node& Omniscience::AddNode(raft::NodeId id) {
  if (id >= nodes_.size()) nodes_.resize(id + 1);
  nodes_[id] = std::make_unique<Node>();
  return *nodes_[id];
}

void Omniscience::Damaged(const replica::Replica& replica) {
  if (SecondLife* life = FindSecondLife(replica.raft().id())) {
    return StartedAfterWipe(replica.raft().id(), *life, nullptr);
  }
  NodeOf(replica.raft().id()).disk.Damage(replica.raft().commit());
}

// Whether every majority has somebody other than `id` who has the entry or promises it, so that
// nobody is elected past it. Those who have it need not be a majority themselves: there may be a
// voter more by now than when it was committed. Who was wiped since keeps its promise by silence:
// it votes for nobody.
bool Omniscience::OthersHold(raft::NodeId id, const raft::Entry& entry) const {
  return !Majority(newest_conf(), [&](raft::NodeId other) {
    const Node* at = FindNode(other);
    return other == id || at == nullptr ||
           (!at->disk.MayHold(entry.index, entry.term) &&
            !at->disk.Promises(entry.index, entry.term));
  });
}

// Whoever gives an entry up vouches for it no more, and needs a proof that nobody has counted on
// it: it may be committed by others alone (paper, figure 8).
void Omniscience::CheckGivenUp(raft::NodeId id, Node& node) {
  if (!node.disk.has_given_up()) return;
  for (const auto& [index, term] : node.disk.TakeGivenUp()) {
    node.acknowledged = std::min(node.acknowledged, index - 1);
    if (index > ghost_.size() || ghost_[index - 1].entry.term != term) continue;
    if (OthersHold(id, ghost_[index - 1].entry)) continue;
    judge_->Fail(Oracle::kPromises,
                 absl::StrCat("node ", id, " gives up ", DescribeEntry(ghost_[index - 1].entry),
                              ", which is committed, and a majority may do without it"));
  }
}

void Omniscience::DiskRolledBack(raft::NodeId node) { NodeOf(node).disk.RolledBack(); }

void Omniscience::CheckForgotten(raft::NodeId id, Node& node) {
  const raft::HardState& hard = node.disk.hard_state();
  for (auto it = node.granted.lower_bound(hard.term); it != node.granted.end();) {
    if (it->first == hard.term && it->second == hard.vote) {
      ++it;
      continue;
    }
    node.forgotten_votes.insert(*it);
    it = node.granted.erase(it);
  }
  const DiskModel::Forgotten forgotten = node.disk.TakeForgotten();
  const auto check = [&](raft::Index index) {
    const raft::Entry& entry = ghost_[index - 1].entry;
    if (OthersHold(id, entry)) return;
    judge_->Fail(Oracle::kPromises,
                 absl::StrCat("the disk of node ", id, " forgets ", DescribeEntry(entry),
                              ", which is committed, and a majority may do without it"));
  };
  const raft::Index committed = ghost_.size();
  if (forgotten.through > 0) check(std::min(forgotten.through, committed));
  for (const auto& [index, term] : forgotten.entries) {
    node.acknowledged = std::min(node.acknowledged, index - 1);
    if (index <= committed && ghost_[index - 1].entry.term == term) check(index);
  }
  if (forgotten.through > node.disk.last()) {
    node.acknowledged = std::min(node.acknowledged, node.disk.last());
  }
}

namespace {

// In each configuration that may be in force, as far as the disk tells.
bool HasAlwaysVotedAlone(raft::NodeId node, const raft::Recovered& recovered) {
  const auto behind = std::find_if(
      recovered.entries.begin(), recovered.entries.end(),
      [&recovered](const raft::Entry& entry) { return entry.index > recovered.commit; });
  const raft::ConfState in_force =
      replica::ConfigurationsBehind(recovered.snapshot.conf, recovered.snapshot.index,
                                    raft::Entries(recovered.entries.begin(), behind))
          .back();
  const std::vector<raft::ConfState> confs = replica::ConfigurationsBehind(
      in_force, recovered.commit, raft::Entries(behind, recovered.entries.end()));
  return std::all_of(confs.begin(), confs.end(), [node](const raft::ConfState& conf) {
    return raft::AllVoters(conf) == std::vector<raft::NodeId>{node};
  });
}

}  // namespace

void Omniscience::Recovered(const replica::Replica& replica, const raft::Recovered& recovered) {
  const raft::Raft& raft = replica.raft();
  if (SecondLife* life = FindSecondLife(raft.id())) {
    return StartedAfterWipe(raft.id(), *life, &recovered);
  }
  Node& node = NodeOf(raft.id());
  const bool forgets = node.disk.InDoubt() || node.disk.RollbackOpen();
  const std::string wrong = node.disk.Recover(recovered);
  if (!judging_) {
    if (recovered.snapshot.index > 0) {
      FollowMembership(recovered.snapshot.index, recovered.snapshot.conf);
    }
    return;
  }
  // Whatever its state was: a repair begins anew without a death.
  node.moved = true;
  node.sound.reset();
  if (!wrong.empty()) {
    judge_->Fail(Oracle::kRecovery, absl::StrCat("node ", raft.id(), ": ", wrong));
  }
  if (raft.hard_state() != recovered.hard_state) {
    judge_->Fail(Oracle::kRecovery,
                 absl::StrCat("node ", raft.id(), " found term ", recovered.hard_state.term,
                              " and vote ", recovered.hard_state.vote, " and runs with term ",
                              raft.term(), " and vote ", raft.vote()));
  }
  if (recovered.snapshot.index > 0) {
    CheckMembership(raft.id(), recovered.snapshot.index, recovered.snapshot.conf);
  }
  if (forgets) CheckForgotten(raft.id(), node);
  CheckGivenUp(raft.id(), node);
  node.compared_commit = raft.log().base();
  node.applied = raft.applied();
  node.digest_at.reset();
  node.rules.Restarted();
  node.receipts.Restarted();
  node.readable = {recovered.snapshot.index};
  CheckPromises(raft, node);
  // A torn write of the only voter was not acknowledged by anybody.
  const std::optional<raft::Suspicion>& lost = node.disk.suspicion();
  if (lost && lost->evidence != raft::Suspicion::Evidence::kProven && !raft.suspicion() &&
      HasAlwaysVotedAlone(raft.id(), recovered)) {
    node.disk.SuspicionDropped(std::nullopt);
    CheckGivenUp(raft.id(), node);
  }
  CheckSuspicion(raft, node);
}

void Omniscience::RecoveryRefused(raft::NodeId node, const absl::Status& reason) {
  if (const SecondLife* life = FindSecondLife(node); life != nullptr && life->incarnation == 0) {
    if (judging_) See(RareState::kWiped);
    return;
  }
  judge_->Fail(Oracle::kRecovery,
               absl::StrCat("node ", node, " does not start again: ", reason.ToString()));
}

void Omniscience::FoundDamage(raft::NodeId node, absl::string_view text) {
  judge_->Fail(Oracle::kRecovery, absl::StrCat("node ", node, ", whose disk has only lost power, ",
                                               "does not find what it wrote: ", text));
}

bool Omniscience::LooksAhead(raft::NodeId node) const { return judging_ && !wiped_.contains(node); }

void Omniscience::Foresees(raft::NodeId node, absl::string_view wrong,
                           const raft::Recovered& found) {
  DiskModel disk = NodeOf(node).disk;
  const std::string lost = wrong.empty() ? disk.Recover(found) : std::string(wrong);
  if (lost.empty()) return;
  judge_->Fail(Oracle::kRecovery,
               absl::StrCat("if node ", node, " lost its power at this moment: ", lost));
}

void Omniscience::ForeseesDamage(raft::NodeId node, absl::string_view damage,
                                 const raft::Recovered& found) {
  DiskModel disk = NodeOf(node).disk;
  if (disk.InDoubt() || disk.RollbackOpen()) return;
  const std::string lost = disk.Recover(found);
  if (lost.empty()) return;
  judge_->Fail(Oracle::kRecovery, absl::StrCat("if this happened to node ", node,
                                               " at this moment (", damage, "): ", lost));
}

void Omniscience::Ended(raft::NodeId node, const absl::Status& reason, bool disk_failed) {
  if (disk_failed) return;
  judge_->Fail(Oracle::kRecovery,
               absl::StrCat("node ", node,
                            " ends although its disk reported no error: ", reason.ToString()));
}

void Omniscience::FollowTurn(const replica::Work& work) {
  for (const replica::Event& event : work.events) {
    const auto* member = std::get_if<replica::MembershipApplied>(&event);
    if (member != nullptr) FollowMembership(member->index, member->conf);
  }
}

void Omniscience::BeforeTurn(const replica::Replica& replica) {
  if (!judging_) return;
  heard_ = {};
  from_new_.clear();
  several_ = false;
  const raft::Raft& raft = replica.raft();
  if (SecondLife* life = FindSecondLife(raft.id())) {
    life->hard = raft.hard_state();
    life->last = raft.log().last();
    life->commit = raft.commit();
    return;
  }
  Node& node = NodeOf(raft.id());
  // Nothing happens to a node between its turns: AfterTurn has compared, or Recovered knows.
  if (!node.before.has_value()) {
    node.before.emplace(raft);
    node.sound.reset();
  } else if (node.moved) {
    node.before->Take(raft);
  }
  node.leader = raft.leader();
  node.silence = raft.election_elapsed();
  node.rules.BeforeTurn(raft);
}

void Omniscience::Sound::Take(const raft::Raft& raft) {
  leader = raft.leader();
  durable = raft.durable();
  offered_snapshot = raft.offered_snapshot().index;
  installing_snapshot = raft.installing_snapshot();
  transfer_target = raft.transfer_target();
  rows.clear();
  if (raft.progress() == nullptr) return;
  for (const raft::Progress& peer : *raft.progress()) rows.push_back(RowOf(peer));
}

bool Omniscience::Sound::IsOf(const raft::Raft& raft) const {
  if (leader != raft.leader() || durable != raft.durable() ||
      offered_snapshot != raft.offered_snapshot().index ||
      installing_snapshot != raft.installing_snapshot() ||
      transfer_target != raft.transfer_target()) {
    return false;
  }
  if (raft.progress() == nullptr) return rows.empty();
  return std::equal(rows.begin(), rows.end(), raft.progress()->begin(), raft.progress()->end(),
                    [](const Row& row, const raft::Progress& peer) { return row == RowOf(peer); });
}

void Omniscience::AfterTurn(const replica::Replica& replica, const replica::Work& work) {
  if (!judging_) return FollowTurn(work);
  const raft::Raft& raft = replica.raft();
  if (SecondLife* life = FindSecondLife(raft.id())) {
    return CheckSecondLife(replica, *life, work, heard_);
  }
  Node& node = NodeOf(raft.id());
  for (const replica::Event& event : work.events) {
    const auto* dropped = std::get_if<replica::SuspicionDropped>(&event);
    if (dropped != nullptr) node.disk.SuspicionDropped(dropped->rest);
    if (std::holds_alternative<replica::LostEndFetched>(event)) See(RareState::kRegained);
  }
  CheckGivenUp(raft.id(), node);
  node.moved = !node.before->IsOf(raft);
  CheckNode(raft, node);
  // These are about the way from `before` to now: a new role, term, vote or entry. If there is
  // nothing of that they have nothing to judge.
  if (node.moved) {
    CheckElection(raft, node);
    CheckConsent(raft, node);
    CheckLoyalty(raft, node);
    CheckOneChange(raft, node);
  }
  CheckLease(raft);
  if (raft.commit() > node.compared_commit) CheckCommit(raft, node, work);
  if (replica.health().ok()) CheckHeard(raft.id(), work, heard_);
  CheckApplied(replica, node, work);
  CheckIdentity(replica, node);
  CheckPromises(raft, node);
  CheckSuspicion(raft, node);
  CheckFrames(replica, node, work);
  CheckRules(replica, node, work);
  CheckProgress(raft, node, work);
  SeeRareStates(raft, node);
  NoteJobs(raft, node, work);
}

void Omniscience::Died(raft::NodeId node, bool /*lost_power*/) { NodeOf(node).before.reset(); }

// --- Disks that are wiped: I16, I28

void Omniscience::Initialised(raft::NodeId node, uint64_t incarnation, bool alone) {
  SecondLife& life = wiped_.at(node);
  life.incarnation = incarnation;
  life.alone = alone;
}

// What is said about it is what people go by: a directory that is in use is left alone, one that
// has lost its identity is kept and looked at.
void Omniscience::InitialisedOver(raft::NodeId node, bool has_identity,
                                  const absl::Status& status) {
  const auto fail = [&](const auto&... what) {
    judge_->Fail(Oracle::kRecovery,
                 absl::StrCat("the data directory of node ", node, " is ", what...));
  };
  if (status.ok()) return fail("initialised over what is in it");
  const absl::StatusCode code =
      has_identity ? absl::StatusCode::kAlreadyExists : absl::StatusCode::kFailedPrecondition;
  if (status.code() == code) return;
  fail("not initialised, but for the wrong reason: ", status.ToString());
}

void Omniscience::StartedAfterWipe(raft::NodeId node, SecondLife& life,
                                   const raft::Recovered* recovered) {
  if (!judging_) return;
  if (life.incarnation == 0) {
    return judge_->Fail(Oracle::kRecovery,
                        absl::StrCat("node ", node, " has lost its data directory and starts"));
  }
  See(RareState::kWiped);
  const bool as_made = recovered != nullptr && recovered->entries.empty() &&
                       recovered->snapshot.index == 0 && recovered->hard_state == raft::HardState();
  if (life.alone && !life.talked_to && !as_made) {
    judge_->Fail(Oracle::kRecovery, absl::StrCat("node ", node, ", initialised as incarnation ",
                                                 life.incarnation, ", finds what it never had"));
  }
}

void Omniscience::AnotherInput(const replica::Replica& replica) {
  if (!judging_) return;
  several_ = true;
  if (FindSecondLife(replica.raft().id()) == nullptr) {
    NodeOf(replica.raft().id()).rules.AnotherInput();
  }
}

// What a message says about itself is looked at here once more, beside the code that refuses it.
void Omniscience::Hears(const replica::Replica& replica, const wire::PeerMessage* message,
                        bool connected) {
  if (!judging_) return;
  heard_ = {};
  heard_.for_nobody = message == nullptr || message->envelope.to != replica.raft().id();
  if (heard_.for_nobody) return;
  const wire::Envelope& envelope = message->envelope;
  if (const auto* core = std::get_if<raft::Message>(&message->body)) {
    NodeOf(envelope.to).rules.Hears(*core);
  } else if (const auto* chunk = std::get_if<wire::SnapshotChunk>(&message->body)) {
    NodeOf(envelope.to).receipts.Hears(*chunk);
  }
  if (wiped_.empty()) return;
  heard_.from = envelope.from;
  heard_.connected = connected;
  if (SecondLife* life = FindSecondLife(replica.raft().id())) {
    if (envelope.to_incarnation == 0) life->talked_to = true;
    heard_.for_old = envelope.to_incarnation != 0 && envelope.to_incarnation != life->incarnation;
    heard_.incarnation = envelope.to_incarnation;
  }
  const SecondLife* sender = FindSecondLife(envelope.from);
  if (sender == nullptr || envelope.from_incarnation != sender->incarnation) return;
  const replica::Member* known = replica.members().Find(envelope.from);
  if (known == nullptr || known->incarnation == sender->incarnation || heard_.for_old) return;
  heard_.from_new = true;
  from_new_.push_back(envelope.from);
  heard_.incarnation = known->incarnation;
}

namespace {

bool Refuses(const replica::Work& work) {
  return std::any_of(work.events.begin(), work.events.end(), [](const replica::Event& event) {
    return std::holds_alternative<replica::PeerRefused>(event);
  });
}

}  // namespace

// The hello at its beginning says who is meant, and both ends have to look at it.
void Omniscience::FailConnection(raft::NodeId node, const Heard& heard) {
  judge_->Fail(Oracle::kAddressing,
               absl::StrCat("nodes ", heard.from, " and ", node,
                            " have a connection, and one of them was wiped and is not the "
                            "incarnation ",
                            heard.incarnation, " that the other one knows"));
}

void Omniscience::CheckHeard(raft::NodeId node, const replica::Work& work, const Heard& heard) {
  if (several_) return;  // which of them it has refused, nobody can tell
  if (heard.for_nobody && !Refuses(work)) {
    judge_->Fail(Oracle::kAddressing,
                 absl::StrCat("node ", node, " listens to what is not meant for it"));
  }
  if (!heard.from_new) return;
  if (heard.connected) FailConnection(node, heard);
  if (Refuses(work)) return;
  judge_->Fail(Oracle::kAddressing,
               absl::StrCat("node ", node, " listens to incarnation ",
                            wiped_.at(heard.from).incarnation, " of node ", heard.from,
                            ", which was wiped, as if it were incarnation ", heard.incarnation));
}

// The node that it was keeps its promises by saying nothing: whoever says something for it, or acts
// on what was meant for it, breaks them.
void Omniscience::CheckSecondLife(const replica::Replica& replica, SecondLife& life,
                                  const replica::Work& work, const Heard& heard) {
  const raft::Raft& raft = replica.raft();
  const auto fail = [&](const auto&... what) {
    judge_->Fail(Oracle::kAddressing,
                 absl::StrCat("node ", raft.id(), ", which was wiped and is incarnation ",
                              life.incarnation, " now, ", what...));
  };
  if (heard.for_old) {
    See(RareState::kHeardForOld);
    if (heard.connected) FailConnection(raft.id(), heard);
    if (!several_ && !Refuses(work)) {
      return fail("takes what node ", heard.from, " sends incarnation ", heard.incarnation);
    }
  }
  if (raft.is_leader()) return fail("leads term ", raft.term());
  for (const replica::Work::Frame& frame : work.frames) {
    const absl::Status decoded =
        wire::DecodePeer(absl::string_view(frame.bytes).substr(wire::kFrameHeaderSize), &decoded_);
    if (!decoded.ok()) return fail("sends a frame that does not decode: ", decoded.message());
    if (decoded_.envelope.from_incarnation == life.incarnation) continue;
    return fail("speaks for incarnation ", decoded_.envelope.from_incarnation);
  }
  if (!life.alone || life.talked_to) return;
  if (!work.frames.empty()) {
    return fail("knows nobody and sends node ", work.frames.front().to, " something");
  }
  if (raft.hard_state() != life.hard || raft.log().last() != life.last ||
      raft.commit() != life.commit) {
    fail("goes from term ", life.hard.term, ", vote ", life.hard.vote, ", log up to ", life.last,
         " to term ", raft.term(), ", vote ", raft.vote(), ", log up to ", raft.log().last(),
         " although nobody has talked to it");
  }
}

// --- Rare states

void Omniscience::SeeRareStates(const raft::Raft& raft, const Node& node) {
  const raft::Index commit = raft.commit();
  const raft::Index last = raft.log().last();
  if (node.before->role() == raft::RoleName::kLeader && !raft.is_leader() && last > commit) {
    See(RareState::kDeposedWithEntries);
  }
  if (!raft.is_leader()) return;
  if (raft::IsJoint(raft.conf())) See(RareState::kJoint);
  if (!raft::IsMember(raft.conf(), raft.id())) See(RareState::kLeaderNoMember);
  if (last == commit) return;
  const raft::Term term = raft.log().TermAt(commit + 1).value_or(raft.term());
  if (term < raft.term() && AcknowledgedByQuorum(raft.conf(), commit + 1, term)) {
    See(RareState::kOldTermOnMajority);
  }
}

void Omniscience::SeeElection(const raft::Raft& raft) {
  bool two = false, losses = false;
  for (const auto& other : nodes_) {
    if (other == nullptr || !other->before.has_value()) continue;
    const raft::StepInvariants& before = *other->before;
    two =
        two || (before.role() == raft::RoleName::kLeader && before.hard_state().term < raft.term());
    losses = losses || before.suspicion().has_value();
  }
  if (two) See(RareState::kTwoLeaders);
  if (losses) See(RareState::kElectedWithLosses);
}

void Omniscience::CheckNode(const raft::Raft& raft, Node& node) {
  const auto fail = [&](absl::string_view sentence) {
    judge_->Fail(Oracle::kNodeInvariants, absl::StrCat("node ", raft.id(), " breaks: ", sentence));
  };
  // Both are functions of the state, and many turns leave it as it was.
  if (node.moved || !node.sound.has_value() || !node.sound->IsOf(raft)) {
    if (const absl::string_view broken = raft::BrokenInvariant(raft); !broken.empty()) fail(broken);
    if (node.sound.has_value()) {
      node.sound->Take(raft);
    } else {
      node.sound.emplace(raft);
    }
  }
  if (!node.moved) return;
  if (const absl::string_view broken = node.before->Broken(raft); !broken.empty()) {
    fail(broken);
  }
}

// --- Elections: I1, I4, I22

// Only a campaign that a leader has asked for begins without a pre-vote, and that begins as a
// follower: what the leader says first makes it one.
void Omniscience::CheckConsent(const raft::Raft& raft, const Node& node) {
  if (Campaigns(raft.role()) && !Campaigns(node.before->role()) &&
      !raft::IsVoter(raft.conf(), raft.id()) && !raft::IsVoter(node.before->conf(), raft.id())) {
    judge_->Fail(Oracle::kStability,
                 absl::StrCat("node ", raft.id(), " campaigns and is no voter of ",
                              raft::DescribeConfiguration(raft.conf())));
  }
  const bool begins = raft.role() == raft::RoleName::kCandidate &&
                      node.before->role() == raft::RoleName::kPreCandidate;
  if (!begins || (several_ && node.asked.contains(raft.term() - 1))) return;
  const auto asked = node.consents.find(raft.term());
  const auto consents = [&](raft::NodeId id) {
    return id == raft.id() || (asked != node.consents.end() && asked->second.contains(id));
  };
  if (Majority(node.before->conf(), consents) || Majority(raft.conf(), consents)) return;
  judge_->Fail(Oracle::kStability,
               absl::StrCat("node ", raft.id(), " campaigns in term ", raft.term(),
                            " without the pre-votes of a quorum of ",
                            raft::DescribeConfiguration(raft.conf())));
}

// Who hears a leader votes for nobody else, and campaigns only after an election timeout in which
// it has listened in vain: what passed while its process was stopped is none (thesis, section
// 4.2.3). Leadership that is handed over is the exception to both.
void Omniscience::CheckLoyalty(const raft::Raft& raft, const Node& node) {
  if (node.silence + kTicksInATurn >= raft.options().election_ticks) return;
  const raft::StepInvariants& before = *node.before;
  const auto fail = [&](absl::string_view does) {
    judge_->Fail(
        Oracle::kStability,
        absl::StrCat("node ", raft.id(), " ", does, " in term ", raft.term(), ", ", node.silence,
                     " ticks after it last heard of a leader (node ", node.leader, ", term ",
                     before.hard_state().term, "), voted or campaigned; ",
                     "its election timeout is ", raft.options().election_ticks));
  };
  const bool asked =
      raft.role() == raft::RoleName::kCandidate && node.asked.contains(raft.term() - 1);
  if (before.role() == raft::RoleName::kFollower && Campaigns(raft.role()) && !asked) {
    fail("campaigns");
  }
  // Who leads may lay it down at the beginning of the turn, as when its disk hangs. One of several
  // messages may be of a leader whom nobody hears any more when the next one comes.
  if (several_ || !raft.options().check_quorum || node.leader == raft::kNoNode ||
      node.leader == raft.id() || raft.term() == before.hard_state().term ||
      raft.vote() == raft::kNoNode || raft.vote() == raft.id()) {
    return;
  }
  const Node* candidate = FindNode(raft.vote());
  if (candidate != nullptr && candidate->transfers.contains(raft.term())) return;
  fail(absl::StrCat("votes for node ", raft.vote()));
}

// A lease is a claim that nobody else leads: reads are answered by it without asking anybody
// (thesis, section 6.4.1).
void Omniscience::CheckLease(const raft::Raft& raft) {
  if (leaders_.empty() || leaders_.rbegin()->first <= raft.term() || !raft.holds_lease()) return;
  const auto& [term, leader] = *leaders_.rbegin();
  judge_->Fail(Oracle::kStability,
               absl::StrCat("leader ", raft.id(), " of term ", raft.term(),
                            " still has a lease, and node ", leader, " leads term ", term));
}

void Omniscience::CheckElection(const raft::Raft& raft, const Node& node) {
  const bool led = Led(*node.before, raft.term());
  if (!raft.is_leader() || led) return;
  const raft::Term term = raft.term();
  const auto [it, first] = leaders_.emplace(term, raft.id());
  ++counters_.elections;
  SeeElection(raft);
  if (!first) {
    judge_->Fail(Oracle::kElectionSafety,
                 absl::StrCat("nodes ", it->second, " and ", raft.id(), " both lead term ", term));
  }
  const auto voted = [&](raft::NodeId id) {
    const Node* voter = FindNode(id);
    if (voter == nullptr) return false;
    if (id == raft.id()) return voter->disk.VoteIn(term) == id;
    const auto granted = voter->granted.find(term);
    return (granted != voter->granted.end() && granted->second == raft.id()) ||
           voter->forgotten_votes.contains({term, raft.id()});
  };
  if (!Majority(node.before->conf(), voted) && !Majority(raft.conf(), voted)) {
    judge_->Fail(Oracle::kElectionSafety, absl::StrCat("node ", raft.id(), " leads term ", term,
                                                       " without the votes of a quorum of ",
                                                       raft::DescribeConfiguration(raft.conf())));
  }
  for (raft::Index i = raft.log().first(); i <= ghost_.size(); ++i) {
    const Committed& committed = ghost_[i - 1];
    if (committed.leader_term >= term) break;
    if (raft.log().Has(i, committed.entry.term)) continue;
    judge_->Fail(Oracle::kLeaderCompleteness,
                 absl::StrCat("node ", raft.id(), " leads term ", term, " without ",
                              DescribeEntry(committed.entry), ", which node ", committed.leader,
                              " committed in term ", committed.leader_term));
    return;
  }
}

// --- Commit and apply: I5, I6

void Omniscience::CheckCommit(const raft::Raft& raft, Node& node, const replica::Work& work) {
  const raft::Log& log = raft.log();
  raft::Index i = std::max(node.compared_commit, log.base());
  for (; i < raft.commit(); ++i) {
    const raft::Entry& entry = log.At(i + 1);
    if (i >= ghost_.size()) {
      const raft::Term led = CheckFirstCommit(raft, node, work);
      for (raft::Index j = i + 1; j <= raft.commit(); ++j) {
        ghost_.push_back({log.At(j), HashFor(log.At(j)), led, raft.id()});
        ++counters_.committed;
        if (log.At(j).term < led) See(RareState::kCommittedAlong);
        if (trace_->reading()) {
          trace_->Say(absl::StrCat("node ", raft.id(), " commits ", DescribeEntry(log.At(j))));
        }
      }
      i = raft.commit();
      break;
    }
    const Committed& committed = ghost_[i];
    if (committed.entry == entry) continue;
    judge_->Fail(Oracle::kStateMachineSafety,
                 absl::StrCat("node ", raft.id(), " committed ", DescribeEntry(entry), ", node ",
                              committed.leader, " had ", DescribeEntry(committed.entry)));
    return;
  }
  node.compared_commit = i;
}

raft::Term Omniscience::CheckFirstCommit(const raft::Raft& raft, const Node& node,
                                         const replica::Work& work) {
  const raft::Index index = raft.commit();
  const raft::Term term = raft.log().TermAt(index).value_or(0);
  // A leader may step down in the very turn in which it commits its own removal, or hear of a later
  // term in it.
  const raft::Term before = node.before->hard_state().term;
  const bool steps_down = Led(*node.before, before) && (several_ || before == raft.term());
  if (!raft.is_leader() && !steps_down) {
    judge_->Fail(Oracle::kCommitOnQuorum,
                 absl::StrCat("node ", raft.id(), ", which does not lead, is the first to commit ",
                              At(index, term)));
    return raft.term();
  }
  const raft::Term led = raft.is_leader() ? raft.term() : before;
  if (term != led) {
    judge_->Fail(Oracle::kCommitOnQuorum,
                 absl::StrCat("leader ", raft.id(), " of term ", led, " commits ", At(index, term),
                              " of an older term (paper, section 5.4.2)"));
  }
  // The configuration may have changed while this turn applied entries; the commit counted by one
  // of those that were in force.
  bool acknowledged = AcknowledgedByQuorum(node.before->conf(), index, term);
  if (!node.disk.Holds(index, term)) See(RareState::kCommittedBeforeLeader);
  for (const replica::Event& event : work.events) {
    const auto* applied = std::get_if<replica::MembershipApplied>(&event);
    acknowledged =
        acknowledged || (applied != nullptr && AcknowledgedByQuorum(applied->conf, index, term));
  }
  if (acknowledged) return led;
  std::string holders;
  for (raft::NodeId id = 0; id < nodes_.size(); ++id) {
    if (FindNode(id) && FindNode(id)->disk.Holds(index, term)) absl::StrAppend(&holders, " ", id);
  }
  judge_->Fail(Oracle::kCommitOnQuorum,
               absl::StrCat("leader ", raft.id(), " commits ", At(index, term), " of ",
                            raft::DescribeConfiguration(node.before->conf()),
                            ", durable only on:", holders.empty() ? " nobody" : holders));
  return led;
}

// An entry that was on a disk when it was acknowledged counts even if the disk has lost it since,
// as long as the node keeps the promise: the leader need not have heard of the loss.
bool Omniscience::AcknowledgedByQuorum(const raft::ConfState& conf, raft::Index index,
                                       raft::Term term) const {
  raft::Entry entry;
  entry.index = index;
  entry.term = term;
  return Majority(conf, [&](raft::NodeId id) {
    const Node* node = FindNode(id);
    if (node == nullptr) return false;
    if (node->disk.Holds(index, term) || node->disk.Promises(index, term)) return true;
    // Acknowledged and forgotten. That was allowed because no majority can do without the others
    // who have it, maybe from a write in which one of them died.
    return node->disk.GaveUp(index, term) && OthersHold(id, entry);
  });
}

void Omniscience::CheckApplied(const replica::Replica& replica, Node& node,
                               const replica::Work& work) {
  const raft::NodeId id = replica.raft().id();
  for (const replica::Event& event : work.events) {
    if (const auto* applied = std::get_if<replica::EntryApplied>(&event)) {
      if (applied->index != node.applied + 1) {
        judge_->Fail(Oracle::kStateMachineSafety,
                     absl::StrCat("node ", id, " applies ", At(applied->index, applied->term),
                                  " after ", node.applied));
        return;
      }
      node.applied = applied->index;
      if (applied->index > ghost_.size()) {
        judge_->Fail(Oracle::kStateMachineSafety,
                     absl::StrCat("node ", id, " applies ", At(applied->index, applied->term),
                                  ", which nobody has committed"));
        return;
      }
      const Committed& committed = ghost_[applied->index - 1];
      if (committed.entry.term != applied->term || committed.hash != applied->hash) {
        judge_->Fail(
            Oracle::kStateMachineSafety,
            absl::StrCat("node ", id, " applies ", At(applied->index, applied->term), ", but node ",
                         committed.leader, " committed ", DescribeEntry(committed.entry)));
        return;
      }
      // Or a crash leaves a node whose state is ahead of its log.
      if (!node.disk.Holds(applied->index, applied->term)) {
        judge_->Fail(Oracle::kPersistBeforeSend,
                     absl::StrCat("node ", id, " applies ", At(applied->index, applied->term),
                                  ", which is not on its disk"));
        return;
      }
    } else if (const auto* installed = std::get_if<replica::SnapshotInstalled>(&event)) {
      ++counters_.snapshots_installed;
      node.applied = installed->index;
      if (installed->index > ghost_.size()) {
        judge_->Fail(Oracle::kStateMachineSafety,
                     absl::StrCat("node ", id, " installs a snapshot of ", installed->index,
                                  ", which nobody has committed"));
      }
    } else if (const auto* member = std::get_if<replica::MembershipApplied>(&event)) {
      CheckMembership(id, member->index, member->conf);
    } else if (const auto* taken = std::get_if<replica::SnapshotTaken>(&event)) {
      CheckSnapshot(id, *taken);
    } else if (const auto* refused = std::get_if<replica::PeerRefused>(&event)) {
      if (absl::c_linear_search(from_new_, refused->from)) continue;
      if (misaddressed_[id] > 0) {
        --misaddressed_[id];
        continue;
      }
      judge_->Fail(Oracle::kAddressing, absl::StrCat("node ", id, " refuses a message of node ",
                                                     refused->from, ": ", refused->reason));
    }
  }
  if (node.applied != replica.raft().applied()) {
    judge_->Fail(Oracle::kStateMachineSafety,
                 absl::StrCat("node ", id, " says it has applied ", replica.raft().applied(),
                              " and has applied ", node.applied));
  }
}

// --- Membership, snapshots, states: I13, I14, I15, I26

bool Omniscience::WasEverMember(raft::NodeId node) const {
  return std::any_of(confs_.begin(), confs_.end(),
                     [node](const auto& conf) { return raft::IsMember(conf.second, node); });
}

const raft::ConfState& Omniscience::ConfAt(raft::Index index) const {
  return std::prev(confs_.upper_bound(index))->second;
}

void Omniscience::FollowMembership(raft::Index index, const raft::ConfState& conf) {
  if (index > confs_.rbegin()->first && conf != newest_conf()) confs_[index] = conf;
}

// A leader appends a change of the configuration only when all others in its log are applied, also
// those that it has from leaders before it: so there is never more than one that others may not
// know of, and the configurations that are in force share quorums.
void Omniscience::CheckOneChange(const raft::Raft& raft, const Node& node) {
  if (!raft.is_leader()) return;
  const raft::Log& log = raft.log();
  const auto is_change = [&log](raft::Index index) {
    return log.At(index).type == raft::EntryType::kMembership;
  };
  for (raft::Index i = std::max(node.before->log().last(), log.base()) + 1; i <= log.last(); ++i) {
    if (!is_change(i)) continue;
    for (raft::Index j = std::max(raft.applied(), log.base()) + 1; j < i; ++j) {
      if (!is_change(j)) continue;
      return judge_->Fail(
          Oracle::kMembership,
          absl::StrCat("leader ", raft.id(), " of term ", raft.term(), " appends ",
                       DescribeEntry(log.At(i)), " and has not applied ", DescribeEntry(log.At(j)),
                       " (applied up to ", raft.applied(), ")"));
    }
  }
}

void Omniscience::CheckMembership(raft::NodeId node, raft::Index index,
                                  const raft::ConfState& conf) {
  if (index > confs_.rbegin()->first) {
    const raft::ConfState& before = confs_.rbegin()->second;
    if (conf == before) return;  // a snapshot, or a change that changed nothing
    std::vector<raft::NodeId> moved;
    std::set_symmetric_difference(before.voters.begin(), before.voters.end(), conf.voters.begin(),
                                  conf.voters.end(), std::back_inserter(moved));
    if (!raft::IsJoint(conf) && !raft::IsJoint(before) && moved.size() > 1) {
      judge_->Fail(Oracle::kMembership,
                   absl::StrCat("entry ", index, " goes from ", raft::DescribeConfiguration(before),
                                " to ", raft::DescribeConfiguration(conf),
                                " in one step: their majorities need not meet"));
    }
    confs_[index] = conf;
    ++counters_.membership_changes;
    return;
  }
  if (ConfAt(index) != conf) {
    judge_->Fail(
        Oracle::kMembership,
        absl::StrCat("at ", index, " node ", node, " has ", raft::DescribeConfiguration(conf),
                     ", others have ", raft::DescribeConfiguration(ConfAt(index))));
  }
}

void Omniscience::CheckSnapshot(raft::NodeId node, const replica::SnapshotTaken& taken) {
  ++counters_.snapshots_taken;
  const auto [it, first] = snapshots_.try_emplace(taken.index, taken.size, taken.digest);
  if (first || it->second == std::pair(taken.size, taken.digest)) return;
  judge_->Fail(Oracle::kSnapshots, absl::StrCat("node ", node, " took a snapshot at ", taken.index,
                                                " with other bytes than another node there"));
}

void Omniscience::CheckIdentity(const replica::Replica& replica, Node& node) {
  const raft::Raft& raft = replica.raft();
  const raft::Index applied = raft.applied();
  if (node.digest_at == applied || raft.installing_snapshot()) return;
  node.digest_at = applied;
  if (const std::string fault = state_fault_(replica.machine().store()); !fault.empty()) {
    judge_->Fail(Oracle::kAtomicity,
                 absl::StrCat("node ", raft.id(), " at ", applied, ": ", fault));
  }
  // Store and members: what Machine::Digest writes out, without writing it.
  const replica::Members& members = replica.machine().members();
  if (!node.members.has_value() || *node.members != members) {
    node.members = members;
    node.members_hash = HashBytes(members.Encode());
  }
  const Digest digest{MixHash(replica.machine().store().Digest()), node.members_hash, raft.id()};
  if (applied >= digests_.size()) digests_.resize(applied + 1);
  Digest& known = digests_[applied];
  if (known.node == raft::kNoNode) known = digest;
  if (known.store == digest.store && known.members == digest.members) return;
  judge_->Fail(Oracle::kReplicaIdentity,
               absl::StrCat("at ", applied, " the state of node ", raft.id(), " is ",
                            replica.machine().Digest(), ", that of node ", known.node, " was ",
                            absl::Hex(known.store ^ known.members, absl::kZeroPad16)));
}

// --- Promises: I8, I9, I10

void Omniscience::CheckPromises(const raft::Raft& raft, const Node& node) {
  if (raft.term() != node.acknowledged_term || raft.log().last() >= node.acknowledged) return;
  if (raft.suspicion() && raft.suspicion()->index >= node.acknowledged) return;
  judge_->Fail(Oracle::kPromises, absl::StrCat("node ", raft.id(), " acknowledged entries up to ",
                                               node.acknowledged, " in term ", raft.term(),
                                               " and now has entries up to ", raft.log().last()));
}

// It ends with a write that makes up for it, or when all members have given it up, and not before.
void Omniscience::CheckSuspicion(const raft::Raft& raft, const Node& node) {
  const std::optional<raft::Suspicion>& lost = node.disk.suspicion();
  if (!lost) return;
  const std::optional<raft::Suspicion>& kept = raft.suspicion();
  if (kept && raft::UpToDate(kept->index, kept->term, *lost)) return;
  judge_->Fail(
      Oracle::kPromises,
      absl::StrCat("the disk of node ", raft.id(), " has lost entries up to (", lost->index,
                   ", term ", lost->term, "), and the node promises ",
                   kept ? absl::StrCat("no more than (", kept->index, ", term ", kept->term, ")")
                        : "nothing of that"));
}

void Omniscience::CheckFrames(const replica::Replica& replica, Node& node,
                              const replica::Work& work) {
  const raft::Raft& raft = replica.raft();
  for (const replica::Work::Frame& frame : work.frames) {
    const absl::Status decoded =
        wire::DecodePeer(absl::string_view(frame.bytes).substr(wire::kFrameHeaderSize), &decoded_);
    if (!decoded.ok()) {
      judge_->Fail(Oracle::kAddressing,
                   absl::StrCat("node ", raft.id(),
                                " sends a frame that does not decode: ", decoded.message()));
      return;
    }
    CheckEnvelope(replica, decoded_.envelope, work);
    if (const auto* ack = std::get_if<wire::SnapshotAck>(&decoded_.body)) {
      const std::string wrong = node.receipts.Says(*ack);
      if (wrong.empty()) continue;
      judge_->Fail(Oracle::kRules, absl::StrCat("node ", raft.id(), " ", wrong));
    }
    const auto* core = std::get_if<raft::Message>(&decoded_.body);
    if (core == nullptr) continue;
    CheckClaims(raft, node, *core);
    node.rules.Says(*core);
  }
}

// Nobody else can tell whom a message is from and for.
void Omniscience::CheckEnvelope(const replica::Replica& replica, const wire::Envelope& envelope,
                                const replica::Work& work) {
  const auto fail = [&](absl::string_view which, uint64_t said, uint64_t is) {
    judge_->Fail(Oracle::kAddressing,
                 absl::StrCat("node ", replica.raft().id(), " sends node ", envelope.to,
                              " something ", which, " incarnation ", said, ", which is ", is));
  };
  const uint64_t own = replica.options().incarnation;
  if (envelope.from_incarnation != own) fail("from its", envelope.from_incarnation, own);
  if (work.members_changed) return;  // it may have been sent before or behind that
  const replica::Member* to = replica.members().Find(envelope.to);
  const uint64_t known = to == nullptr ? 0 : to->incarnation;
  if (envelope.to_incarnation != known) fail("for its", envelope.to_incarnation, known);
}

void Omniscience::CheckClaims(const raft::Raft& raft, Node& node, const raft::Message& message) {
  const DiskModel& disk = node.disk;
  const auto fail = [&](absl::string_view missing) {
    judge_->Fail(Oracle::kPersistBeforeSend,
                 absl::StrCat("node ", raft.id(), " sends node ", message.to, " \"",
                              DescribePeerBody(message), "\" before ", missing,
                              " is on its disk (term ", disk.hard_state().term, ", vote ",
                              disk.hard_state().vote, ", log up to ", disk.last(), ")"));
  };
  const bool term_durable = disk.hard_state().term >= message.term;
  // A vote in a term that the disk has left behind needs no record: it cannot be given again.
  const auto vote_durable = [&](raft::NodeId candidate) {
    return disk.hard_state().term > message.term || disk.VoteIn(message.term) == candidate;
  };
  if (const auto* request = std::get_if<raft::VoteRequest>(&message.body)) {
    if (request->pre_vote) return;
    if (request->transfer) node.transfers.insert(message.term);
    if (!vote_durable(raft.id())) fail("its own vote");
    NoteVote(raft.id(), node, message.term, raft.id());
  } else if (const auto* response = std::get_if<raft::VoteResponse>(&message.body)) {
    // A granted pre-vote names the candidate's term, not its sender's.
    if (response->pre_vote && !response->rejected) {
      NodeOf(message.to).consents[message.term].insert(raft.id());
      return;
    }
    if (!term_durable) fail("the term");
    if (response->rejected) return;
    if (!vote_durable(message.to)) fail("the vote");
    NoteVote(raft.id(), node, message.term, message.to);
  } else if (const auto* append = std::get_if<raft::AppendResponse>(&message.body)) {
    if (!term_durable) fail("the term");
    if (append->rejected || append->index == 0) return;
    CheckAcknowledgement(raft, message, append->index);
    // In a later term the log may have been replaced, whatever was said about it in this one.
    const bool same_term = disk.hard_state().term == message.term;
    if (same_term && disk.last() < append->index && disk.snapshot() < append->index) {
      fail("the log");
    }
    if (message.term == raft.term()) {
      if (node.acknowledged_term != message.term) node.acknowledged = 0;
      node.acknowledged_term = message.term;
      node.acknowledged = std::max(node.acknowledged, append->index);
    }
  } else if (const auto* entries = std::get_if<raft::AppendRequest>(&message.body)) {
    if (disk.VoteIn(message.term) != raft.id()) fail("the vote that made it leader");
    NoteTold(node, message, entries->prev_index + entries->entries.size());
  } else if (std::holds_alternative<raft::Heartbeat>(message.body)) {
    if (disk.VoteIn(message.term) != raft.id()) fail("the vote that made it leader");
  } else if (std::holds_alternative<raft::TimeoutNow>(message.body)) {
    NodeOf(message.to).asked.insert(message.term);
  }
}

void Omniscience::NoteTold(Node& leader, const raft::Message& message, raft::Index index) {
  if (leader.told_term != message.term) {
    leader.told_term = message.term;
    leader.told.clear();
  }
  if (leader.told.size() <= message.to) leader.told.resize(message.to + 1);
  leader.told[message.to] = std::max(leader.told[message.to], index);
}

// An acknowledgement says that two logs agree. Of what its leader has not spoken about, and what is
// not committed, a node cannot know that (paper, section 5.3).
void Omniscience::CheckAcknowledgement(const raft::Raft& raft, const raft::Message& message,
                                       raft::Index index) {
  const Node* leader = FindNode(message.to);
  if (leader == nullptr || leader->told_term != message.term || index <= raft.commit()) return;
  const raft::Index told = raft.id() < leader->told.size() ? leader->told[raft.id()] : 0;
  if (index <= told) return;
  judge_->Fail(Oracle::kProgress,
               absl::StrCat("node ", raft.id(), " acknowledges entries up to ", index,
                            " to the leader of term ", message.term, ", node ", message.to,
                            ", which has told it of no more than ", told));
}

void Omniscience::NoteVote(raft::NodeId voter, Node& node, raft::Term term,
                           raft::NodeId candidate) {
  const auto [it, first] = node.granted.emplace(term, candidate);
  if (first && candidate == voter) {
    for (size_t other = 0; other < nodes_.size(); ++other) {
      if (other == voter || nodes_[other] == nullptr) continue;
      const auto own = nodes_[other]->granted.find(term);
      if (own != nodes_[other]->granted.end() && own->second == other) See(RareState::kSplitVote);
    }
  }
  if (first || it->second == candidate) return;
  judge_->Fail(Oracle::kPromises,
               absl::StrCat("node ", voter, " votes for node ", candidate, " in term ", term,
                            " and has voted for node ", it->second));
}

void Omniscience::CheckRules(const replica::Replica& replica, Node& node,
                             const replica::Work& work) {
  if (!replica.health().ok()) return;
  const raft::Raft& raft = replica.raft();
  const bool persists = std::any_of(
      work.jobs.begin(), work.jobs.end(),
      [](const replica::Job& job) { return std::holds_alternative<raft::PersistJob>(job.body); });
  const Rules::Wrong wrong =
      node.rules.AfterTurn(raft, *node.before, node.moved, Refuses(work), persists);
  if (wrong) judge_->Fail(Oracle::kRules, absl::StrCat("node ", raft.id(), " ", *wrong));
}

void Omniscience::CheckProgress(const raft::Raft& raft, const Node& node,
                                const replica::Work& work) {
  if (raft.progress() == nullptr) return;
  // Who was a member and is one was not removed in between, if there was one change at most.
  const auto changes =
      std::count_if(work.events.begin(), work.events.end(), [](const replica::Event& event) {
        return std::holds_alternative<replica::MembershipApplied>(event);
      });
  if (changes == 1 && Led(*node.before, raft.term()) && raft.is_leader()) {
    for (const raft::StepInvariants::Acknowledged& before : node.before->acknowledged()) {
      const raft::Progress* peer = raft.progress()->Find(before.id);
      if (peer == nullptr || peer->losses != before.losses || peer->match >= before.match) continue;
      judge_->Fail(Oracle::kProgress,
                   absl::StrCat("leader ", raft.id(), " of term ", raft.term(),
                                " forgets that node ", before.id, " has entries up to ",
                                before.match, " when its configuration changes"));
    }
  }
  for (const raft::Progress& peer : *raft.progress()) {
    const std::optional<raft::Term> term = raft.log().TermAt(peer.match);
    if (peer.match == 0 || !term.has_value()) continue;
    const Node* follower = FindNode(peer.id);
    // A follower that has gone on to a later term may have replaced what it once had.
    if (follower == nullptr || follower->disk.hard_state().term > raft.term()) continue;
    const DiskModel& disk = follower->disk;
    // Lost and promised, or given up with a proof that no quorum had it: until the leader hears of
    // it, it believes what was true. That it commits nothing by such a belief is for I6 to see.
    if (disk.Holds(peer.match, *term) || disk.Promises(peer.match, *term)) continue;
    if (disk.GaveUp(peer.match, *term)) continue;
    judge_->Fail(
        Oracle::kProgress,
        absl::StrCat("leader ", raft.id(), " of term ", raft.term(), " believes that node ",
                     peer.id, " has ", At(peer.match, *term), "; its disk ends at ", disk.last()));
    return;
  }
}

// --- Disks: I3, I16

void Omniscience::NoteJobs(const raft::Raft& raft, Node& node, const replica::Work& work) {
  for (const replica::Job& job : work.jobs) {
    if (const auto* persist = std::get_if<raft::PersistJob>(&job.body)) {
      hashes_.clear();
      CheckLogMatching(raft.id(), node.disk, *persist, &hashes_);
      if (persist->writes_log && !persist->snapshot && persist->keep_through < node.disk.last()) {
        See(RareState::kReplaced);
      }
      node.disk.PersistHandedOut(*persist, hashes_);
    } else if (const auto* change = std::get_if<replica::SwitchSnapshot>(&job.body)) {
      node.disk.SwitchHandedOut(change->meta);
    }
  }
}

const Omniscience::Lineage* Omniscience::LineageOf(const raft::Entry& entry) const {
  if (entry.index >= lineage_.size()) return nullptr;
  for (const Lineage& lineage : lineage_[entry.index]) {
    if (lineage.entry.term == entry.term) return &lineage;
  }
  return nullptr;
}

// To compare bytes is faster than to hash them, and most entries have been seen before.
uint64_t Omniscience::HashFor(const raft::Entry& entry) const {
  const Lineage* known = LineageOf(entry);
  return known != nullptr && known->entry == entry ? known->hash : HashEntry(entry);
}

void Omniscience::CheckLogMatching(raft::NodeId id, const DiskModel& disk,
                                   const raft::PersistJob& job, std::vector<uint64_t>* hashes) {
  std::optional<raft::Term> previous =
      job.snapshot.has_value() ? job.snapshot->term : disk.TermAt(job.keep_through);
  for (const raft::Entry& entry : job.entries) {
    const Lineage* found = LineageOf(entry);
    if (found == nullptr) {
      if (entry.index >= lineage_.size()) lineage_.resize(entry.index + 1);
      found = &lineage_[entry.index].emplace_back(Lineage{entry, HashEntry(entry), previous, id});
    }
    const Lineage& known = *found;
    hashes->push_back(known.hash);
    if (known.entry != entry) {
      judge_->Fail(Oracle::kLogMatching,
                   absl::StrCat("node ", id, " writes ", DescribeEntry(entry), "; node ",
                                known.seen_on, " wrote another entry of that index and term"));
      return;
    }
    if (previous.has_value() && known.previous_term.has_value() &&
        *previous != *known.previous_term) {
      judge_->Fail(Oracle::kLogMatching,
                   absl::StrCat("node ", id, " writes ", DescribeEntry(entry),
                                " behind an entry of term ", *previous, "; node ", known.seen_on,
                                " wrote it behind one of term ", *known.previous_term));
      return;
    }
    previous = entry.term;
  }
}

void Omniscience::JobDone(raft::NodeId id, const replica::Job& job,
                          const replica::JobResult& result) {
  if (!judging_ || FindSecondLife(id) != nullptr) return;
  Node& node = NodeOf(id);
  if (job.is_persist()) {
    if (result.status.ok()) {
      node.disk.PersistDone();
      const auto& snapshot = std::get<raft::PersistJob>(job.body).snapshot;
      if (snapshot) node.readable.Switched(snapshot->index);
    } else if (absl::IsResourceExhausted(result.status)) {
      node.disk.PersistFoundNoSpace();
    }
  } else if (const auto* change = std::get_if<replica::SwitchSnapshot>(&job.body)) {
    if (result.status.ok()) {
      if (change->meta.index < node.disk.snapshot()) {
        judge_->Fail(Oracle::kSnapshots,
                     absl::StrCat("node ", id, " goes back from the snapshot of entry ",
                                  node.disk.snapshot(), " to that of entry ", change->meta.index));
      }
      node.disk.SwitchDone();
      node.readable.Switched(change->meta.index);
    } else if (absl::IsFailedPrecondition(result.status)) {
      node.disk.SwitchRefused();
    }
  } else if (const auto* read = std::get_if<replica::ReadSnapshot>(&job.body)) {
    if (absl::IsDataLoss(result.status)) node.readable.Damaged();
    if (absl::IsNotFound(result.status) && node.readable.Has(read->index)) {
      judge_->Fail(Oracle::kSnapshots,
                   absl::StrCat("node ", id, " cannot read the snapshot of entry ", read->index,
                                " any more, and there are no two newer ones"));
    }
  } else if (std::holds_alternative<replica::RestoreSnapshot>(job.body) ||
             !result.scrubbed.found.empty()) {
    node.readable.Damaged();
  }
}

}  // namespace raftkv::sim
