// Causes faults, as the seed says: which kinds exist in this run, when, against whom, how long.
//
// Each seed has its own subset (a swarm): a run in which everything happens at once hides what a
// run with pauses and snapshots only would find. A fault is aimed at the leader half of the time,
// because that is where it hurts. What a disk loses is never more than the cluster promises to
// survive (sim/disk/fault_atlas.h), so that every oracle may demand everything. When the time for
// faults is over, End takes back all of them.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/raft/random.h"
#include "sim/clients/operator.h"
#include "sim/cluster/cluster.h"
#include "sim/oracles/omniscience.h"

namespace raftkv::sim {

enum class Fault : uint8_t {
  kPartition,       // two groups that do not hear each other
  kIsolation,       // one node alone
  kOneWay,          // some nodes are not heard by the others, or do not hear them
  kClog,            // links that deliver late, all at once
  kStorm,           // much is lost, doubled and delayed; only delayed if links keep order
  kPowerLoss,       // of one node
  kKill,            // of one process
  kPowerLossOfAll,  // of all nodes at once
  kPause,           // of one process
  kSlowDisk,
  kSyncError,
  kFullDisk,
  kClockJump,  // of one node's wall clock
  kTransfer,   // of leadership
  kMembership,
  kRot,         // bits, garbage or zeros in a file of a node that is down
  kReadErrors,  // sectors of such a file that cannot be read
  kHungDisk,    // answers nothing for a while
};
inline constexpr size_t kFaultKinds = static_cast<size_t>(Fault::kHungDisk) + 1;
// From here on, faults of disks at rest and disks that hang: chosen apart from the others, so that
// they come on top of what the seed has anyway.
inline constexpr size_t kFirstDiskFault = static_cast<size_t>(Fault::kRot);

absl::string_view Name(Fault fault);  // plural: "partitions"

struct NemesisSettings {
  std::array<uint32_t, kFaultKinds> shares = {};  // 0: not in this run
  Delay between;                                  // from one fault to the next
  Delay between_disk_faults;                      // the same for those from kFirstDiskFault on
  Delay lasts;
  uint32_t at_leader_percent = 50;
  uint32_t most_members = 7;
  uint32_t least_voters = 2;
  Time operator_patience = 2 * kSecond;
};

class Nemesis {
 public:
  using Counters = std::array<uint64_t, kFaultKinds>;
  using Links = std::vector<std::pair<raft::NodeId, raft::NodeId>>;

  // Whom a fault is aimed at, and in words.
  struct Aim {
    std::string text;
    std::vector<raft::NodeId> nodes;
    Links links;
  };
  // Follows faults while they last. It is told and not asked: nothing depends on it.
  class Watcher {
   public:
    virtual ~Watcher() = default;
    virtual void FaultBegan(uint64_t id, Fault fault, const Aim& aim) = 0;
    virtual void FaultOver(uint64_t id) = 0;
    // About what does not last.
    virtual void NemesisSays(absl::string_view text) = 0;
  };

  Nemesis(const NemesisSettings& settings, Cluster* cluster, const Omniscience* omniscience,
          Random random);

  void set_watcher(Watcher* watcher) { watcher_ = watcher; }  // null: nobody

  void Start();
  // Takes back every fault, starts what is down, and causes no more.
  void End();

  // Faults that took effect: a partition that stopped a frame, a disk that was slow while somebody
  // wrote, ...
  const Counters& counters() const { return counters_; }
  uint64_t total() const;

 private:
  // A fault that lasts.
  struct Active {
    Fault fault;
    std::function<void()> take_back;
    // Grows while the fault has an effect; compared with its value at the beginning.
    std::function<uint64_t()> effect;
    uint64_t effect_before;
  };

  // Faults that are chosen together, out of a stream of their own.
  struct Course {
    size_t begin;
    size_t end;
    Delay between;
    Random* random;
  };
  void Next(Course& course);
  void Cause(Fault fault);
  void CauseDiskFault(Fault fault, Random& random);
  void Hold(Fault fault, const Aim& aim, std::function<uint64_t()> effect,
            std::function<void()> take_back);
  void Hold(Fault fault, const Aim& aim, Time lasts, std::function<uint64_t()> effect,
            std::function<void()> take_back);
  void TakeBack(uint64_t id);
  void Count(Fault fault) { ++counters_[static_cast<size_t>(fault)]; }
  void Say(absl::string_view text);
  void Remark(absl::string_view text);  // said to the watcher, too

  raft::NodeId PickUp(Random& random);  // a running node; kNoNode when there is none
  std::vector<raft::NodeId> PickGroup(const std::vector<raft::NodeId>& nodes);
  void CutLinks(Fault fault, const Links& links);
  void ClogLinks(const Links& links);
  void Down(Fault fault, raft::NodeId node, Process::Death death);
  void Storm();
  void Disk(Fault fault, raft::NodeId node);
  void Spoil(Fault fault, raft::NodeId node, Time lasts, Random& random);
  void Hang(raft::NodeId node, Time lasts);
  void Transfer();
  void ChangeMembership();
  void Ask(Fault fault, std::vector<std::string> words, raft::NodeId to);
  void SweepUp();

  NemesisSettings settings_;
  Cluster* cluster_;
  const Omniscience* omniscience_;
  Watcher* watcher_ = nullptr;
  Random random_;
  Random disk_random_;
  Course faults_;
  Course disk_faults_;
  Operator operator_;
  NetworkOptions calm_network_;
  bool ended_ = false;
  uint64_t last_active_ = 0;
  std::map<uint64_t, Active> active_;
  std::map<raft::NodeId, Time> removed_;  // seen outside the configuration since
  Counters counters_ = {};
};

}  // namespace raftkv::sim
