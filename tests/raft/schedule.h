// A tiny simulation: a few nodes in memory, a network that loses, repeats and reorders, disks that
// forget what they were not asked to sync, and oracles that look after every event. All of it
// follows from the seed.
#pragma once

#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "core/raft/random.h"
#include "tests/raft/cluster_oracle.h"
#include "tests/raft/memory_node.h"

namespace raftkv::raft {

// What happened in a run, so that a test can see that it was not a quiet one.
struct ScheduleCounts {
  uint64_t elections = 0;  // terms that had a leader
  uint64_t applied = 0;    // highest index that some node applied
  uint64_t crashes = 0;
  uint64_t full_disks = 0;  // writes of the log that found no space
  uint64_t truncations = 0;
  uint64_t snapshots_installed = 0;
  uint64_t membership_changes = 0;  // applied by some node
  uint64_t reads = 0;
  uint64_t lost = 0;
  uint64_t repeated = 0;

  void Add(const ScheduleCounts& other);
};

class Schedule {
 public:
  // With `trace`, every event is written there: slow, to look at one seed.
  explicit Schedule(uint64_t seed, std::ostream* trace = nullptr);

  // Plays `events` random events, then heals everything and lets the cluster come to rest. Empty,
  // or the first thing that was wrong.
  std::string Run(int events);

  const ScheduleCounts& counts() const { return counts_; }

 private:
  struct Member {
    Options options;
    std::optional<MemoryNode> node;  // empty while crashed
    MemoryDisk disk;                 // of a crashed one
  };
  struct Read {
    NodeId node;
    Index floor;  // highest index known to be committed when it was asked
  };

  void Event();
  void DeliverOne();
  void DriveOne();
  void AskOne();
  void CrashOrRestart();
  void Start(Member& member, MemoryDisk disk);
  void Begin(Member& member);
  void Finish(Member& member);
  void Post(std::vector<Envelope>& sent);
  bool CutOff(NodeId id) const { return cut_off_ == id; }
  void Check(Member& member);
  void CheckReads(NodeId node, const Ready& ready);
  std::string ComeToRest();
  void Fail(std::string what) {
    if (failure_.empty()) failure_ = std::move(what);
  }
  Member* Pick();
  Member* PickLeader();
  void Trace(const Member& member, absl::string_view what) const;

  std::ostream* trace_;
  Random random_;
  Options shared_;
  uint64_t loss_per_mille_ = 0;
  uint64_t repeat_per_mille_ = 0;
  uint64_t crash_per_mille_ = 0;
  uint64_t full_per_mille_ = 0;
  uint64_t tick_per_mille_ = 0;
  uint64_t cut_per_mille_ = 0;
  std::vector<Member> members_;
  std::vector<Envelope> messages_;
  ClusterOracle oracle_;
  NodeId cut_off_ = kNoNode;
  std::map<uint64_t, Read> reads_;
  uint64_t next_context_ = 1;
  uint64_t next_command_ = 1;
  Index committed_ = 0;  // highest commit index any node has reported
  ScheduleCounts counts_;
  std::string failure_;
};

}  // namespace raftkv::raft
