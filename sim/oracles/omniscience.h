// The oracles that judge a run while it goes on: they see every node's state, every message when it
// is sent and every write when it is on a disk, and compare them with what must be.
//
// A clean split: each node's own invariants are core/raft/invariants.h; what only somebody who sees
// all nodes can know is here. The ground truth is kept in three places: what has been committed
// (ghost log), what is certain to be on each disk (DiskModel), and who led which term.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/raft/invariants.h"
#include "core/replica/replica.h"
#include "core/wire/peer.h"
#include "sim/node/witness.h"
#include "sim/oracles/disk_model.h"
#include "sim/oracles/judge.h"
#include "sim/oracles/rare_states.h"
#include "sim/oracles/receipts.h"
#include "sim/oracles/rules.h"
#include "sim/scheduler/trace.h"

namespace raftkv::sim {

class Omniscience final : public Witness {
 public:
  struct Counters {
    uint64_t elections = 0;  // leaders
    uint64_t committed = 0;  // log entries
    uint64_t snapshots_taken = 0;
    uint64_t snapshots_installed = 0;
    uint64_t membership_changes = 0;
    RareStateCounters rare = {};
  };

  // What is wrong with the state of a replica, in a sentence; empty when nothing.
  using StateFault = std::function<std::string(const kv::Store& store)>;

  // `founding` is the snapshot that every founder starts with; `state_fault` is asked whenever a
  // node has applied something. Without `judging` it follows only what the nemesis asks it for
  // (configurations, and disks in doubt), judges and counts nothing, and the run is the same.
  Omniscience(Judge* judge, const Trace* trace, const raft::SnapshotMeta& founding,
              StateFault state_fault, bool judging = true);

  void Damaged(const replica::Replica& replica) override;
  void Recovered(const replica::Replica& replica, const raft::Recovered& recovered) override;
  void RecoveryRefused(raft::NodeId node, const absl::Status& reason) override;
  void FoundDamage(raft::NodeId node, absl::string_view text) override;
  void Ended(raft::NodeId node, const absl::Status& reason, bool disk_failed) override;
  void BeforeTurn(const replica::Replica& replica) override;
  void AfterTurn(const replica::Replica& replica, const replica::Work& work) override;
  void AnotherInput(const replica::Replica& replica) override;
  void Hears(const replica::Replica& replica, const wire::PeerMessage* message,
             bool connected) override;
  void JobDone(raft::NodeId node, const replica::Job& job,
               const replica::JobResult& result) override;
  bool LooksAhead(raft::NodeId node) const override;
  void Foresees(raft::NodeId node, absl::string_view wrong, const raft::Recovered& found) override;
  // What the node, which is down, would find if its disk were damaged so.
  void ForeseesDamage(raft::NodeId node, absl::string_view damage, const raft::Recovered& found);
  void Died(raft::NodeId node, bool lost_power) override;

  // What whoever makes disks lie has to tell, at the instant at which it happens: DiskModel's calls
  // of these names. The promises that a lie takes are no longer asked for; that nobody needed them
  // is checked.
  void WatchDisk(raft::NodeId node) { NodeOf(node).disk.Watch(); }
  void EndWatch(raft::NodeId node) { NodeOf(node).disk.EndWatch(); }
  bool DiskInDoubt(raft::NodeId node) { return NodeOf(node).disk.InDoubt(); }
  void DiskLied(raft::NodeId node, bool elsewhere = false,
                std::optional<raft::Index> lost_from = std::nullopt) {
    NodeOf(node).disk.Lied(elsewhere, lost_from);
  }
  void DiskMisread(raft::NodeId node) { NodeOf(node).disk.Misread(); }
  void DiskRolledBack(raft::NodeId node);

  // --- Disks that are wiped ---
  // The node, which is down, has lost all it had, or who it is. It must not start. What it has
  // promised until now counts as before, because it will never say anything else: what is known
  // of it and of its disk stays as it is for ever.
  void DiskWiped(raft::NodeId node) { wiped_.emplace(node, SecondLife()); }
  // There is now a data directory again, of another incarnation: it may start, and is not the
  // node that it was. What it does is not done by that one. `alone`: it knows of nobody, and has
  // nothing to say.
  void Initialised(raft::NodeId node, uint64_t incarnation, bool alone);
  // Somebody has tried to do that to a directory with something in it, its identity or all but
  // that.
  void InitialisedOver(raft::NodeId node, bool has_identity, const absl::Status& status);
  // Somebody else is there instead of a node that was wiped.
  void Replaced() { See(RareState::kWipedReplaced); }

  // A frame that is meant for another node, or has no meaning, is about to reach this one.
  void Misaddressed(raft::NodeId node) { ++misaddressed_[node]; }

  const Counters& counters() const { return counters_; }
  raft::Index committed() const { return ghost_.size(); }
  // The newest configuration that any node has applied.
  const raft::ConfState& newest_conf() const { return confs_.rbegin()->second; }
  raft::Index newest_conf_index() const { return confs_.rbegin()->first; }
  bool WasEverMember(raft::NodeId node) const;

 private:
  struct Committed {
    raft::Entry entry;
    uint64_t hash;
    raft::Term leader_term;  // of the leader that committed it
    raft::NodeId leader;
  };
  // What BrokenInvariant looks at, but for what StepInvariants holds already. As long as all of it
  // stays as it is there is nothing to ask. Whoever adds to BrokenInvariant adds it here.
  struct Sound {
    struct Row {
      raft::Index next;
      raft::Index sent_commit;
      uint64_t inflights;
      raft::ProgressState state;
      friend bool operator==(const Row&, const Row&) = default;
    };
    static Row RowOf(const raft::Progress& peer) {
      return {peer.next, peer.sent_commit, peer.inflights.count(), peer.state};
    }

    explicit Sound(const raft::Raft& raft) { Take(raft); }
    void Take(const raft::Raft& raft);
    bool IsOf(const raft::Raft& raft) const;

    raft::NodeId leader = raft::kNoNode;
    raft::Index durable = 0;
    raft::Index offered_snapshot = 0;
    bool installing_snapshot = false;
    raft::NodeId transfer_target = raft::kNoNode;
    std::vector<Row> rows;
  };
  // The snapshots that a process must be able to read, because it may be sending them: the current
  // one, and the one before, if it was this process that replaced it. With a damaged one nothing is
  // certain.
  struct Readable {
    raft::Index current = 0;
    raft::Index previous = 0;  // 0: none
    bool certain = true;

    void Switched(raft::Index index) { previous = std::exchange(current, index); }
    void Damaged() { certain = false; }
    bool Has(raft::Index index) const {
      return certain && index != 0 && (index == current || index == previous);
    }
  };
  // What this oracle knows about one node.
  struct Node {
    DiskModel disk;
    // Its state before the turn under way. Many turns change nothing of it: then it is that before
    // the next turn, too.
    std::optional<raft::StepInvariants> before;
    bool moved = true;                // `before` is not the state that the last turn has left
    std::optional<Sound> sound;       // with `before`: of what BrokenInvariant was asked about last
    raft::Index compared_commit = 0;  // its log agrees with the ghost up to here
    raft::Index applied = 0;          // by what it reported
    // When its turn began: whom it followed, and the ticks since it heard of a leader.
    raft::NodeId leader = raft::kNoNode;
    uint32_t silence = 0;
    // The terms in which a leader has asked it to campaign at once, and those of its campaigns that
    // say so.
    std::set<raft::Term> asked;
    std::set<raft::Term> transfers;
    std::optional<raft::Index> digest_at;
    std::optional<replica::Members> members;  // at that index, and their hash
    uint64_t members_hash = 0;
    // The highest index that it has acknowledged to the leader of this term.
    raft::Term acknowledged_term = 0;
    raft::Index acknowledged = 0;
    // As the leader of a term, how far it has spoken about its log, to each node by number: as far
    // as what it sent, or what that is said to follow.
    raft::Term told_term = 0;
    std::vector<raft::Index> told;
    Rules rules;
    Receipts receipts;
    Readable readable;
    std::map<raft::Term, raft::NodeId> granted;  // votes it has given, its own included
    std::set<std::pair<raft::Term, raft::NodeId>> forgotten_votes;  // given, and lied away
    // Who has told it that a campaign for a term may succeed. It may ask about a lower one again,
    // when it has lost its power in between.
    std::map<raft::Term, std::set<raft::NodeId>> consents;
  };
  // Of a node that was wiped.
  struct SecondLife {
    uint64_t incarnation = 0;  // 0: there is none
    bool alone = false;        // see Initialised
    bool talked_to = false;    // by somebody who does not know which incarnation it talks to
    raft::HardState hard;      // before the turn under way
    raft::Index last = 0;
    raft::Index commit = 0;
  };
  // What the turn under way was given.
  struct Heard {
    bool for_nobody = false;  // for another node, or without a meaning
    bool for_old = false;     // meant for the node that the receiver was before it was wiped
    bool from_new = false;    // by a node that was wiped, to one that knows the one it was
    bool connected = false;   // see Witness
    raft::NodeId from = raft::kNoNode;
    uint64_t incarnation = 0;  // for_old: that one; from_new: the one the receiver knows
  };
  struct Lineage {
    raft::Entry entry;
    uint64_t hash;
    std::optional<raft::Term> previous_term;  // of the entry before it
    raft::NodeId seen_on;
  };
  struct Digest {
    uint64_t store = 0;
    uint64_t members = 0;
    raft::NodeId node = raft::kNoNode;  // none: not known yet
  };

  void See(RareState state) { ++counters_.rare[static_cast<size_t>(state)]; }
  void SeeRareStates(const raft::Raft& raft, const Node& node);
  void SeeElection(const raft::Raft& raft);

  // Null when the node lives its first life.
  SecondLife* FindSecondLife(raft::NodeId node) {
    if (wiped_.empty()) return nullptr;
    const auto it = wiped_.find(node);
    return it == wiped_.end() ? nullptr : &it->second;
  }
  void StartedAfterWipe(raft::NodeId node, SecondLife& life, const raft::Recovered* recovered);
  void CheckSecondLife(const replica::Replica& replica, SecondLife& life, const replica::Work& work,
                       const Heard& heard);

  // One oracle each; names as in judge.h.
  void CheckNode(const raft::Raft& raft, Node& node);
  void CheckElection(const raft::Raft& raft, const Node& node);
  void CheckConsent(const raft::Raft& raft, const Node& node);
  void CheckLoyalty(const raft::Raft& raft, const Node& node);
  void CheckLease(const raft::Raft& raft);
  void CheckCommit(const raft::Raft& raft, Node& node, const replica::Work& work);
  // Returns the term whose leader has committed it.
  raft::Term CheckFirstCommit(const raft::Raft& raft, const Node& node, const replica::Work& work);
  void CheckApplied(const replica::Replica& replica, Node& node, const replica::Work& work);
  void CheckOneChange(const raft::Raft& raft, const Node& node);
  void FailConnection(raft::NodeId node, const Heard& heard);
  void CheckHeard(raft::NodeId node, const replica::Work& work, const Heard& heard);
  void CheckMembership(raft::NodeId node, raft::Index index, const raft::ConfState& conf);
  void CheckSnapshot(raft::NodeId node, const replica::SnapshotTaken& taken);
  void CheckIdentity(const replica::Replica& replica, Node& node);
  void CheckPromises(const raft::Raft& raft, const Node& node);
  void CheckSuspicion(const raft::Raft& raft, const Node& node);
  void CheckFrames(const replica::Replica& replica, Node& node, const replica::Work& work);
  void CheckEnvelope(const replica::Replica& replica, const wire::Envelope& envelope,
                     const replica::Work& work);
  void CheckClaims(const raft::Raft& raft, Node& node, const raft::Message& message);
  void CheckAcknowledgement(const raft::Raft& raft, const raft::Message& message,
                            raft::Index index);
  void NoteTold(Node& leader, const raft::Message& message, raft::Index index);
  void NoteVote(raft::NodeId voter, Node& node, raft::Term term, raft::NodeId candidate);
  void CheckProgress(const raft::Raft& raft, const Node& node, const replica::Work& work);
  void CheckRules(const replica::Replica& replica, Node& node, const replica::Work& work);
  void NoteJobs(const raft::Raft& raft, Node& node, const replica::Work& work);
  // Appends the hashes of the entries to `hashes`, up to the first that is wrong.
  void CheckLogMatching(raft::NodeId id, const DiskModel& disk, const raft::PersistJob& job,
                        std::vector<uint64_t>* hashes);

  // The part of AfterTurn and CheckMembership that is needed without judging.
  void FollowTurn(const replica::Work& work);
  void FollowMembership(raft::Index index, const raft::ConfState& conf);

  // What the node has given up is not committed.
  bool OthersHold(raft::NodeId id, const raft::Entry& entry) const;
  void CheckGivenUp(raft::NodeId id, Node& node);
  // What the node's disk has lied away is needed by nobody.
  void CheckForgotten(raft::NodeId id, Node& node);

  Node& NodeOf(raft::NodeId id) {
    return id < nodes_.size() && nodes_[id] != nullptr ? *nodes_[id] : AddNode(id);
  }
  Node& AddNode(raft::NodeId id);
  // Null when nothing has been heard of it.
  const Node* FindNode(raft::NodeId id) const {
    return id < nodes_.size() ? nodes_[id].get() : nullptr;
  }
  const Lineage* LineageOf(const raft::Entry& entry) const;  // by index and term
  uint64_t HashFor(const raft::Entry& entry) const;          // HashEntry
  const raft::ConfState& ConfAt(raft::Index index) const;
  bool AcknowledgedByQuorum(const raft::ConfState& conf, raft::Index index, raft::Term term) const;

  Judge* judge_;
  const Trace* trace_;
  StateFault state_fault_;
  bool judging_;
  Counters counters_;
  std::vector<std::unique_ptr<Node>> nodes_;  // by id
  std::map<raft::Term, raft::NodeId> leaders_;
  std::vector<Committed> ghost_;                  // [i] is index i + 1
  std::vector<std::vector<Lineage>> lineage_;     // by index, one for each term
  std::map<raft::Index, raft::ConfState> confs_;  // by the index that made them
  std::vector<Digest> digests_;                   // by index
  std::map<raft::NodeId, uint64_t> misaddressed_;
  std::map<raft::NodeId, SecondLife> wiped_;
  std::map<raft::Index, std::pair<uint64_t, uint64_t>> snapshots_;  // size and digest
  // Of the turn under way: the last message that it has heard, all whose senders are no more whom
  // the node takes them for, and whether it has several inputs.
  Heard heard_;
  std::vector<raft::NodeId> from_new_;
  bool several_ = false;
  // Room that is used again from turn to turn.
  wire::PeerMessage decoded_;
  std::vector<uint64_t> hashes_;
};

}  // namespace raftkv::sim
