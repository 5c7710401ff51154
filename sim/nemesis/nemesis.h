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
#include <memory>
#include <string>
#include <vector>

#include "core/raft/random.h"
#include "sim/clients/operator.h"
#include "sim/cluster/cluster.h"
#include "sim/disk/fault_atlas.h"
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
  kRot,                // bits, garbage or zeros in a file of a node that is down
  kReadErrors,         // sectors of such a file that cannot be read
  kHungDisk,           // answers nothing for a while
  kLostWrites,         // one that the disk pretends to have done, and the node loses power
  kMisdirectedWrites,  // the same, and the bytes are somewhere else
  kMisdirectedReads,   // one that returns the bytes of another place
  kStaleFiles,         // one that is back as it was a while ago
  kAmnesia,            // the same for the whole disk
};
inline constexpr size_t kFaultKinds = static_cast<size_t>(Fault::kAmnesia) + 1;
// From here on, faults of disks at rest and disks that hang: chosen apart from the others, so that
// they come on top of what the seed has anyway.
inline constexpr size_t kFirstDiskFault = static_cast<size_t>(Fault::kRot);
// From here on, disks that lie: chosen apart from both.
inline constexpr size_t kFirstLie = static_cast<size_t>(Fault::kLostWrites);

absl::string_view Name(Fault fault);  // plural: "partitions"

struct NemesisSettings {
  std::array<uint32_t, kFaultKinds> shares = {};  // 0: not in this run
  Delay between;                                  // from one fault to the next
  Delay between_disk_faults;                      // the same for kFirstDiskFault to kFirstLie
  Delay between_lies;                             // the same for those from kFirstLie on
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

  // `omniscience` is told which disks lie.
  Nemesis(const NemesisSettings& settings, Cluster* cluster, Omniscience* omniscience,
          Random random);

  void set_watcher(Watcher* watcher) { watcher_ = watcher; }  // null: nobody

  void Start();
  // Takes back every fault, starts what is down, and causes no more.
  void End();

  // Faults that took effect: a partition that stopped a frame, a disk that was slow while somebody
  // wrote, a write that was lost and that somebody has missed, ...
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
  // Null while it is a matter of opinion which majority is to survive, or what is on all disks, or
  // if the node is no member.
  std::unique_ptr<FaultAtlas> AtlasFor(raft::NodeId node);
  // A recovery of the node has misread its disk, and what it believes to be bad will be written
  // over when the others have told what they know. Until then the disk has more than the node.
  bool Misled(raft::NodeId node);
  // A node of which only one thing at a time is a lie.
  struct Liar {
    Fault fault;
    std::vector<std::string> remembered;  // names of files
  };
  void CauseLie(Fault fault, Random& random);
  void LieAboutWrites(Fault fault, raft::NodeId node, Time lasts);
  bool MayComeOut(raft::NodeId node, SimDisk& kept, SimDisk& left);
  void BringToLight(raft::NodeId node, Time down);
  void LieToARunningNode(raft::NodeId node, Time lasts);
  void LieToARecovery(raft::NodeId node, Time down);
  void Remember(Fault fault, raft::NodeId node, Time lasts);
  void BringBack(raft::NodeId node, uint32_t tries);
  void EndLie(raft::NodeId node);
  void Transfer();
  void ChangeMembership();
  void Ask(Fault fault, std::vector<std::string> words, raft::NodeId to);
  void SweepUp();

  NemesisSettings settings_;
  Cluster* cluster_;
  Omniscience* omniscience_;
  Watcher* watcher_ = nullptr;
  Random random_;
  Random disk_random_;
  Random lie_random_;
  Course faults_;
  Course disk_faults_;
  Course lies_;
  Operator operator_;
  NetworkOptions calm_network_;
  bool ended_ = false;
  uint64_t last_active_ = 0;
  std::map<uint64_t, Active> active_;
  std::map<raft::NodeId, Time> removed_;  // seen outside the configuration since
  FaultAtlas::Memory atlas_memory_;
  std::map<raft::NodeId, Liar> liars_;
  std::map<raft::NodeId, uint64_t> misled_;  // lives that begin with a misread disk
  Counters counters_ = {};
};

}  // namespace raftkv::sim
