// A cluster started on damaged disks, and what becomes of it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "sim/cluster/cluster.h"
#include "sim/disk_table/specimen.h"

namespace raftkv::sim {

enum class Ending : uint8_t {
  kRecovered,  // every node has executed all that was committed, and a new write commits
  kWaiting,    // not so, and whoever has a loss says what it waits for or why it refuses
  kUnsafe,     // something committed was lost or changed, or nobody says why nothing goes on
};

struct SceneVerdict {
  Ending ending = Ending::kUnsafe;
  std::string why;  // one line; empty when recovered
};

struct Scene {
  std::map<raft::NodeId, std::unique_ptr<SimDisk>> disks;
  std::set<raft::NodeId> damaged;
  // These may stay down for ever if they say why: what they have lost nobody can give them. The
  // rest then has to recover without them.
  std::set<raft::NodeId> may_refuse;
  std::map<raft::NodeId, Time> late;        // start only then, the others at once
  std::map<raft::NodeId, Time> power_loss;  // then, if running; they start again soon after
  uint64_t seed = 1;
};

// Plays it until the cluster has recovered, or for so long that nothing new can happen any more.
// `told`, when given, hears every line of the story.
SceneVerdict Play(const Specimen& specimen, Scene scene, const Trace::Sink& told = nullptr);

}  // namespace raftkv::sim
