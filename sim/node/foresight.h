// A power loss that does not happen: what a node would find on its disk if it came now.
//
// A run has a handful of power losses. The moments at which a crash is hardest to survive are known
// and many more: in front of each change of a name, and when a job has said that it is done. At
// some of them the disk is copied, the copy loses its power, and the storage that ships recovers
// it. Nothing of the run changes; whoever knows what must be there compares.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/raft/raft.h"
#include "core/raft/random.h"
#include "core/replica/jobs.h"
#include "sim/disk/sim_disk.h"
#include "storage/storage.h"

namespace raftkv::sim {

// Whether a recovery may find this on a disk that has only lost power. `idle`: while nothing was
// being written. The marks are never waited for, and files of several jobs may be there without
// their end.
bool MayBeFound(storage::RecoveryEvent::Kind kind, bool idle);

// As a replica would be given it.
raft::Recovered TakeFor(storage::Recovered* found);

struct Foresight {
  std::string wrong;  // in one sentence, whatever was written; empty: nothing
  raft::Recovered found;
};

// What becomes of what is not synced, `chance` says: nothing of it is kept, or some. `mid_job`: a
// job is under way. `full`: there is no space on the disk but what its files have; the storage must
// have some kept back. For disks that have only lost power so far.
Foresight Foresee(const SimDisk& disk, const storage::Options& options,
                  const storage::ExpectedIdentity& identity, bool mid_job, bool full,
                  Random* chance);

// The same for damage to the disk of a node that is down. nullopt: it would do nothing, or the node
// would not start, or would have to be repaired first; whether it may is for others to say.
std::optional<raft::Recovered> ForeseeDamage(const SimDisk& disk, const DiskFault& damage,
                                             const storage::Options& options);

// What a node that has to repair its log can read of it, whatever happens to its power.
struct Readable {
  raft::Entries entries;  // ascending, with gaps
  raft::Index first_bad = 0;

  // `found` on the disk, which has not been written to since.
  static Readable Of(const storage::Recovered& found, const SimDisk& disk,
                     const storage::Options& options);
};

// What a power loss would take in the middle of `settle`, which ends the repair: nothing that could
// be read before, or else all of it is done. Returns what is wrong in one sentence, or nothing.
std::string ForeseeInRepair(const SimDisk& disk, const storage::Options& options,
                            const Readable& readable, const replica::SettleLog& settle,
                            Random* chance);

}  // namespace raftkv::sim
