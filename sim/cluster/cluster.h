// All nodes of a run and what lies between them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/raft/random.h"
#include "core/replica/options.h"
#include "sim/clients/ports.h"
#include "sim/decisions/decisions.h"
#include "sim/disk/fault_atlas.h"
#include "sim/network/network.h"
#include "sim/network/streams.h"
#include "sim/node/process.h"
#include "sim/node/witness.h"
#include "sim/scheduler/scheduler.h"
#include "sim/scheduler/trace.h"

namespace raftkv::sim {

struct ClusterSettings {
  uint32_t founders = 3;           // nodes 1 to this
  uint32_t founding_learners = 0;  // of these, the last ones; at least one is none
  replica::Options replica;
  storage::Options storage;
  SimDisk::Options disk;
  Delay disk_delay;
  Time turn = 0;  // ProcessSettings
  NetworkOptions network;
  // Nodes have connections, with the production code at both ends, instead of frames that go one by
  // one. Then frames are neither doubled nor reordered.
  bool streams = false;
  StreamOptions stream;
  replica::PeerLinkOptions links;
  PortOptions ports;
  uint32_t most_election_rank = 0;  // nodes have ranks from 0 to this, in turn
  int64_t most_drift_ppm = 0;       // of each node's clocks, either way
  uint64_t most_wall_skew_ms = 0;
  // What the monotonic clocks show at first: nodes that have been up for long.
  uint64_t uptime_us = 0;
  Time restart_delay = 200 * kMillisecond;  // of a process that ended by itself
  bool inits_are_cut_off = false;           // ProcessSettings
};

class Cluster final : public Outlet {
 public:
  // Nodes get streams of their own out of `random`, by their ids.
  Cluster(const ClusterSettings& settings, Scheduler* scheduler, Decisions* decisions, Trace* trace,
          Witness* witness, Random random);

  // What every founder starts with: a snapshot of an empty store.
  static raft::SnapshotMeta FoundingSnapshot(const ClusterSettings& settings);

  // The founders with their disks as `raftkv init` makes them, not started.
  void MakeFounders();
  void StartFounders();
  // A new node with an empty log, running. It waits to be added.
  raft::NodeId StartJoiner();
  raft::NodeId NextJoiner() const { return last_node_ + 1; }  // what it would be called
  // Switched off for good.
  void Retire(raft::NodeId node);
  // What becomes of the data directory of a node that is down. The process finds out when it is
  // started, and is not tried again by itself.
  void Wipe(raft::NodeId node);  // everything is gone
  // The name of the file with its identity is gone. False: it was not there.
  bool LoseIdentity(raft::NodeId node);
  // As `raftkv init` with --join, or as a founder, under the same id: as a life of its own, of this
  // incarnation. Its error when it refuses.
  absl::Status InitialiseAgain(raft::NodeId node, bool as_founder, uint64_t incarnation);
  // False: from now on power losses take all that was not synced, and leave nothing torn.
  void set_may_tear(bool may_tear) { may_tear_ = may_tear; }

  // Null when there is no such node.
  Process* Find(raft::NodeId node);
  const std::map<raft::NodeId, std::unique_ptr<Process>>& processes() const { return processes_; }
  bool retired(raft::NodeId node) const { return retired_.contains(node); }
  std::vector<raft::NodeId> InUse() const;  // not retired, ascending
  std::vector<raft::NodeId> Up() const;     // running and not paused
  // Whoever leads the highest term among those that run; null when nobody leads.
  Process* Leader();

  // Starts a node that is down, after `delay`. With `die_in_recovery` it dies once more on the way
  // up, so.
  void Restart(raft::NodeId node, Time delay, bool die_in_recovery,
               Process::Death how = Process::Death::kPowerLoss);
  void Die(raft::NodeId node, Process::Death death);

  Network& network() { return network_; }
  const Network& network() const { return network_; }
  Streams& streams() { return streams_; }
  const Streams& streams() const { return streams_; }
  // Who dials `node` reaches `instead`, until the two are the same again.
  void Redirect(raft::NodeId node, raft::NodeId instead) { redirected_[node] = instead; }
  uint64_t misled_dials() const { return misled_dials_; }
  Ports& ports() { return ports_; }
  Trace& trace() { return *trace_; }
  Scheduler& scheduler() { return *scheduler_; }
  const ClusterSettings& settings() const { return settings_; }
  // Of disks of this cluster, for every atlas.
  FaultAtlas::Memory& surveys() { return surveys_; }
  uint64_t exits() const { return exits_; }  // processes that ended because their disk failed

  // Outlet
  void SendFrame(raft::NodeId from, raft::NodeId to, std::string frame) override;
  bool TakeFrame(raft::NodeId from, raft::NodeId to, const std::string& frame) override;
  void DialPeer(raft::NodeId from, uint64_t connection, const std::string& address) override;
  void WriteToPeer(raft::NodeId from, uint64_t connection, std::string bytes) override;
  void ClosePeer(raft::NodeId from, uint64_t connection) override;
  void BodyArrived(raft::NodeId at, const std::string& body) override;
  void SendToClient(replica::ClientId client, std::string bytes) override;
  void CloseClient(replica::ClientId client) override;
  void PauseClient(replica::ClientId client, bool paused) override;
  void Exited(raft::NodeId node, const absl::Status& reason) override;
  bool MayTear() const override { return may_tear_; }
  // If the others are a majority by themselves, whoever of those that run is asked who the voters
  // are: they run, too, and doubt nothing that they have.
  bool MayMix(raft::NodeId node) const override;
  // If nobody is in doubt of more, and nobody may be who is down.
  bool MaySplit() const override;
  void Reopened(raft::NodeId node) override;

 private:
  void SayFrame(raft::NodeId from, raft::NodeId to, const std::string& frame);
  Process& AddProcess(raft::NodeId node, const storage::Founding& founding);
  storage::Founding Founding() const;

  ClusterSettings settings_;
  Scheduler* scheduler_;
  Decisions* decisions_;
  Trace* trace_;
  Witness* witness_;
  Random random_;
  std::map<raft::NodeId, std::unique_ptr<Process>> processes_;
  std::map<raft::NodeId, Time> retired_;
  std::set<raft::NodeId> without_directory_;  // or it is not one that a process can open
  mutable FaultAtlas::Memory surveys_;
  bool may_tear_ = true;
  raft::NodeId last_node_ = 0;
  uint64_t exits_ = 0;
  Network network_;
  Streams streams_;
  std::map<raft::NodeId, raft::NodeId> redirected_;
  uint64_t misled_dials_ = 0;
  Ports ports_;
};

// "node-3:7401": nobody resolves it.
std::string PeerAddress(raft::NodeId node);
std::string ClientAddress(raft::NodeId node);

}  // namespace raftkv::sim
