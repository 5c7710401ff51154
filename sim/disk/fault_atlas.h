// Which disk fault the cluster can still survive.
//
// An oracle that demands safety always, and liveness whenever it is possible, is exact only if the
// faults stay within what the protocol promises to survive. So whoever injects faults asks first.
// The atlas keeps no books: it makes the fault happen on a copy of the disk, lets the production
// recovery read copies of all disks, and compares.
//
// What a member holds is what recovery makes of its platter: term and vote, a snapshot, entries
// that can be read. What it *promises* is more: also the entries that it knows it has lost
// (docs/adr/0007-a-lost-entry-is-still-promised.md). Everything that reads showed before the fault
// counts as promised, because it may have been acknowledged. A fault is survivable if
//
//   1. a majority of the members still starts, with term and vote;
//   2. each entry that it takes is intact on another member that starts, or nobody else has ever
//      promised it (then it is not committed and nobody needs it, unless the member is alone);
//   3. if the member does not know that it lost entries, each of them is on a majority of the
//      *others*, or dead. On a majority: every quorum of an election then has a voter who refuses a
//      log without it, this member's acknowledgement counts for nothing that the others do not
//      have, and of those asked for a copy too few say that they never had it. A promise without
//      the entry is not enough here, because it may be of more than there was. The same holds for
//      the next such fault, so lies, stale files and amnesia stay on a minority and never meet in
//      one entry. Dead: somebody has, at its index or before, an entry of a later term than this
//      member had ever seen. So a leader was elected without the entry while it was still promised
//      here, and by leader completeness it is not committed and never will be in a term in which
//      this member has acknowledged it;
//   4. if the member does not know that it voted, or was in a term, nobody can use its vote again:
//      a majority of the others is in a later term, or has voted in the last one for somebody else
//      than this member, so that no new candidate of a forgotten term wins, nor the member itself;
//   5. nobody leads, or may still be elected, in a term that was forgotten, or in that of the last
//      promise. A candidate may have this member's old vote for another on its side and needs only
//      the new one to be the second leader; a leader of a term that the member has left behind
//      would have it acknowledge once more what its vote has ruled out since. There is one
//      exception, the common one: who leads the last term stays if the member has voted for it, or
//      for nobody, and if what is left of the log is the beginning of what there was. Then all that
//      this leader says is committed is either in that log, or behind its end, where the member
//      notices that it is missing and asks for it. If what is left were *other* entries, replaced
//      since, it would commit those;
//   6. what it does not know that it lost has no change of the configuration: the majority of a
//      configuration that was left behind could elect it;
//   7. a member that starts, has lost nothing and knows the last change of the configuration to be
//      committed has a log as up to date as what a majority promises, itself included. A suspicion
//      may be about more than there ever was (no bound but the node's term is left), and when a
//      majority holds such ones the cluster waits for ever.
//
// A member that was wiped is lost for good: it has no copy, it promises nothing, it neither starts
// nor is elected, whoever else may run under its id. That is no promise that is broken: it is kept
// by silence, so what it acknowledged and voted still counts where it was counted, and only what
// it would be needed for is asked (1, 2 and 7). Whether nobody speaks for it is for the oracles.
//
// Only what is certain to survive a crash counts as a copy of the others, and lies of their disks
// that are not out yet count as if they were; but what they promise counts although they would
// forget it with their power. A fault is judged both ways, with that power loss and without. What
// is under way in the network is not looked at: 4 and 5 hold for answers that were sent to others
// before, but nothing sent *to* the member in its old life may reach the new one. Its connections
// have died with it; whoever rolls back a node that is down has to see to that again
// (Network::Reset).
//
// Reading a disk as a recovery does is what all this costs, so it is put off until a rule asks for
// that member, and most rules ask for no more than a majority.
//
// A lie (LostWrite, MisdirectedWrite) cannot be judged when it is armed: nobody knows yet which
// bytes it will take. It is judged when it would come to light (SimDisk::AskBeforeForgetting):
// MayForget. A read that returns other bytes is judged before the recovery that reads them:
// MayMisread. It is as good as rot, because a recovery acts on what it has seen. A live node's
// reads are all checked against what it knows, and decide nothing.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/raft/types.h"
#include "sim/disk/sim_disk.h"
#include "storage/storage.h"

namespace raftkv::sim {

class FaultAtlas {
  // What recovery makes of a disk.
  struct Holding {
    absl::Status starts = absl::UnknownError("not surveyed");  // or why it does not
    raft::HardState hard_state;
    raft::Index snapshot = 0;  // 0 if its bytes are not all there
    raft::Term snapshot_term = 0;
    raft::ConfState conf;  // of the snapshot
    raft::Index commit = 0;
    std::map<raft::Index, raft::Term> intact;
    std::set<raft::Index> changes;  // of the configuration, among them
    raft::Index promised = 0;       // up to which index and term entries are promised
    raft::Term promised_term = 0;
    // Term and index of the last entry with which it campaigns, at least.
    std::pair<raft::Term, raft::Index> asks_with;
    bool whole = false;    // it has lost nothing, so its log ends with what it promises
    bool blanks = false;   // what it has lost, if anything, was most likely never written
    bool reserve = false;  // holds nothing, and can be read: it will not be a loss in a segment

    bool Has(raft::Index index, raft::Term term) const;
    bool Promises(raft::Index index, raft::Term term) const;
  };
  using Found = std::shared_ptr<const Holding>;

 public:
  using Disks = std::map<raft::NodeId, const SimDisk*>;  // null: it was wiped

  // What recoveries have found, for the next atlas of the same cluster: a disk that reads as one
  // did before is not recovered once more (SimDisk::ReadsLike).
  class Memory {
    friend class FaultAtlas;
    struct Survey {
      std::unique_ptr<SimDisk> disk;
      Found found;
    };
    std::deque<Survey> surveys;  // the last ones
  };

  // `members`: the voters and their disks, which must outlive the atlas. `bystanders`: other nodes
  // that may think that they are members. `memory`, if there is one, must outlive it too, and is
  // for one set of options.
  FaultAtlas(Disks members, const storage::Options& options, Disks bystanders = {},
             Memory* memory = nullptr);

  // OK, or FailedPrecondition with the reason why not, or why it would have no effect. The fault is
  // not injected. Lies that are armed are always OK. kMustStart: the cluster might do without the
  // node, but it is to start all the same.
  enum class Node : uint8_t { kMayFail, kMustStart };
  absl::Status MayInject(raft::NodeId node, const DiskFault& fault,
                         Node then = Node::kMayFail) const;
  // Whether the member may lose everything, for good.
  absl::Status MayWipe(raft::NodeId node) const;
  // Whether the node's disk may lose, now, what it only pretends to have.
  absl::Status MayForget(raft::NodeId node) const;
  // The same for a moment that is not now: whether `kept`, what would be certain to be there
  // without the lies, may become `left`.
  absl::Status MayForget(raft::NodeId node, const SimDisk& kept, const SimDisk& left,
                         Node then = Node::kMayFail) const;
  // Whether the recovery of the node, which is down, may read as `lie` says. FailedPrecondition
  // also if it would not notice a difference, or refuse to start: the next one would not.
  absl::Status MayMisread(raft::NodeId node, const MisdirectedRead& lie) const;
  // Whether a node starts with that disk, which is used up; if not, why.
  static absl::Status Starts(SimDisk& disk, const storage::Options& options);
  // Whether what a node with that disk has lost, if anything, was most likely never written.
  static bool HasLostNothingButBlanks(const SimDisk& disk, const storage::Options& options,
                                      Memory* memory);
  // OK if the member starts and has lost nothing: without any other it has all that it promised.
  absl::Status IsWhole(raft::NodeId node) const;
  // Of the last change of the configuration that is on the member's disk; 0 if there is none.
  raft::Index LastChange(raft::NodeId node) const;
  // The first entry behind the snapshot on that disk that cannot be read, or is not there.
  raft::Index FirstLost(const SimDisk& disk) const;
  // Up to where the member knows, when it has lost its power, that entries are committed.
  raft::Index KnownCommitted(raft::NodeId node) const;
  // Whether the log of `candidate` is good enough for the vote of `voter`, and it would ask for it.
  bool WouldElect(raft::NodeId candidate, raft::NodeId voter) const;

 private:
  class Change;  // of one member

  Found Survey(const SimDisk& disk) const;
  // Of the member, as it is; not of one that was wiped.
  Found SurveyMember(raft::NodeId node) const;
  // Of any node: what it has for certain, and all that it may promise. A mark that nobody has
  // synced may be all that it knows a loss from.
  Found SurveyOther(const SimDisk& disk) const;
  static Found SurveyWiped();
  // The same without a memory. What the disk holds stays as it is.
  Holding Read(SimDisk& disk) const;
  // What a whole recovery makes of it for which the lie is armed. The disk is used up.
  Holding RecoverMisled(SimDisk& disk, const MisdirectedRead& lie) const;
  static Holding Refused(const absl::Status& reason);
  // `snapshot`: it can be read from beginning to end.
  static Holding HoldingOf(const storage::Recovered& found, bool snapshot);
  // Judges what a fault makes of a disk as reads show it, and what a loss of power would leave of
  // both then: what a node knows of a loss it may know from a mark that nobody has synced.
  absl::Status MayBecome(raft::NodeId node, const SimDisk& before, const SimDisk& after,
                         Node then) const;
  absl::Status Judge(raft::NodeId node, const Holding& before, const Holding& after) const;
  absl::Status JudgeEntries(const Change& change) const;
  absl::Status JudgeVote(const Change& change) const;
  absl::Status JudgeLeaders(const Change& change) const;
  absl::Status JudgeConfiguration(const Change& change) const;
  bool SomebodyCanLead(const Change& change) const;
  size_t Majority() const { return members_.size() / 2 + 1; }

  Disks members_;
  storage::Options options_;
  Disks bystanders_;
  Memory* memory_;
};

}  // namespace raftkv::sim
