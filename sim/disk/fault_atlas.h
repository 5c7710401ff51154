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
//   3. if the member does not know that it lost entries, a majority of the *others* promises each
//      of them: every quorum of an election then has a voter who refuses a log without them. The
//      same holds for the next such fault, so lies, stale files and amnesia stay on a minority and
//      never meet in one entry;
//   4. if the member does not know that it voted, nobody can win an election in a forgotten term
//      any more: a majority of the others is in a later term, or has voted in the same one for the
//      same third node;
//   5. a member that starts and has lost nothing has a log as up to date as what a majority
//      promises, itself included. A suspicion may be about more than there ever was (no bound but
//      the node's term is left), and when a majority holds such ones the cluster waits for ever.
//
// A lie (LostWrite, MisdirectedWrite) cannot be judged when it is armed: nobody knows yet which
// bytes it will take. It is judged when it would come to light, that is before a power loss or
// DropCache: MayForget; if the answer is no, SimDisk::ComeClean first.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/raft/types.h"
#include "sim/disk/sim_disk.h"
#include "storage/storage.h"

namespace raftkv::sim {

class FaultAtlas {
 public:
  // `members`: the voters and their disks, which must outlive the atlas.
  FaultAtlas(std::map<raft::NodeId, const SimDisk*> members, const storage::Options& options);

  // OK, or FailedPrecondition with the reason why not, or why it would have no effect. The fault is
  // not injected. Lies that are armed are always OK.
  absl::Status MayInject(raft::NodeId node, const DiskFault& fault) const;
  // Whether the node's disk may lose, now, what it only pretends to have.
  absl::Status MayForget(raft::NodeId node) const;
  // Whether a power loss of these nodes may leave torn sectors that are neither old nor new
  // (SimDisk::Tearing): not if it hits a majority, because then no one can tell which of the torn
  // records were acknowledged.
  bool MayTear(const std::vector<raft::NodeId>& nodes) const;

 private:
  // What recovery makes of a disk.
  struct Holding {
    bool starts = false;
    raft::HardState hard_state;
    raft::Index snapshot = 0;
    std::map<raft::Index, raft::Term> intact;
    raft::Index promised = 0;  // last entry promised, and its term
    raft::Term promised_term = 0;
    bool whole = false;  // it has lost nothing, so its log ends with what it promises

    bool Has(raft::Index index, raft::Term term) const;
    bool Promises(raft::Index index, raft::Term term) const;
  };

  // `disk` is used up.
  Holding Survey(SimDisk& disk) const;
  absl::Status Judge(raft::NodeId node, SimDisk& after) const;
  bool SomebodyCanLead(const std::vector<Holding>& members) const;
  size_t Majority() const { return members_.size() / 2 + 1; }

  std::map<raft::NodeId, const SimDisk*> members_;
  storage::Options options_;
};

}  // namespace raftkv::sim
