// Notes which abstract states a cluster comes to in a run.
//
// It looks at all nodes after each event and at frames when they are sent and when they meet their
// fate, and nothing depends on it: the run is the same without. Most events change nothing that it
// knows of a node; then looking is all it costs.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "core/wire/peer.h"
#include "sim/cluster/cluster.h"
#include "sim/coverage/state.h"
#include "sim/network/network.h"
#include "sim/scheduler/scheduler.h"

namespace raftkv::sim {

class Surveyor final : public Network::Watcher {
 public:
  // A state when the run came to it for the first time.
  struct Reached {
    uint64_t state = 0;    // HashOfCodes
    uint64_t outline = 0;  // OutlineOfCodes
    Time time = 0;
    uint64_t decisions = 0;  // so many had been made
  };

  // Everything must outlive its last Look. What it hears as a Watcher goes on to `next`, if that is
  // not null.
  void Watch(const Scheduler* scheduler, const Cluster* cluster, const Decisions* decisions,
             Network::Watcher* next);
  // After each event. `newest`: the newest configuration that any node has applied.
  void Look(const raft::ConfState& newest);

  // In the order in which the run came to them.
  const std::vector<Reached>& reached() const { return reached_; }

  // Network::Watcher
  void FrameSent(uint64_t number, raft::NodeId from, raft::NodeId to,
                 const std::string& frame) override;
  void FrameDoubled(uint64_t number) override;
  void FrameMet(uint64_t number, Network::Fate fate) override;

 private:
  // Frames of one term on their way to a node, by kind: the bit of AbstractNode::Message.
  struct OfTerm {
    raft::Term term = 0;
    uint32_t counts[6] = {};
  };
  // What is compared from one look to the next.
  struct Facts {
    AbstractNode::Run run = AbstractNode::Run::kDown;
    raft::RoleName role = raft::RoleName::kFollower;
    raft::Term term = 0;
    raft::Term last_term = 0;
    raft::Index first = 0;
    raft::Index last = 0;
    raft::Index commit = 0;
    raft::Index applied = 0;
    AbstractNode::Snapshot snapshot = AbstractNode::Snapshot::kNone;
    bool writing = false;
    bool suspicion = false;
    friend bool operator==(const Facts&, const Facts&) = default;
  };
  struct Node {
    bool in_use = false;
    Facts facts;
    AbstractNode::Pending pending = AbstractNode::Pending::kNone;
    bool outdated = false;
    bool was_member = false;
    AbstractNode::Member member = AbstractNode::Member::kNotYet;
    std::vector<OfTerm> messages;
  };
  struct Flight {
    raft::NodeId to = raft::kNoNode;
    raft::Term term = 0;
    uint8_t kind = 0;    // an index of OfTerm::counts
    uint8_t copies = 0;  // 0: not followed, or it has met its fate
  };

  static Facts FactsOf(const Process& process);
  void SortMembers(const raft::ConfState& newest);
  static AbstractNode::Pending FindPending(const raft::Raft& raft);
  void Count(const Flight& flight, bool more);
  static uint8_t MessagesTo(const Node& node);
  void Note();

  Node& NodeOf(raft::NodeId id) {
    if (id >= nodes_.size()) nodes_.resize(id + 1);
    return nodes_[id];
  }

  const Scheduler* scheduler_ = nullptr;
  const Cluster* cluster_ = nullptr;
  const Decisions* decisions_ = nullptr;
  Network::Watcher* next_ = nullptr;
  bool changed_ = false;
  std::vector<Node> nodes_;  // by id
  raft::ConfState newest_;
  std::deque<Flight> flights_;  // of the frames from first_flight_ on
  uint64_t first_flight_ = 1;
  wire::PeerMessage decoded_;
  std::vector<uint32_t> codes_;
  std::vector<Reached> reached_;
  absl::flat_hash_set<uint64_t> seen_;  // only asked whether a state is there
};

}  // namespace raftkv::sim
