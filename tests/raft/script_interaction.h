// Runs interaction scripts: a whole cluster, driven command by command, with everything it says as
// output. The grammar is that of the recorded scripts of etcd-io/raft with additions of our own
// (tests/scenarios/README.md lists all commands).
#pragma once

#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/raft/cluster_oracle.h"
#include "tests/raft/memory_node.h"
#include "tests/raft/script_parser.h"

namespace raftkv::raft {

class InteractionScript {
 public:
  struct Settings {
    bool merge_messages = false;
  };
  explicit InteractionScript(Settings settings) : settings_(settings) {}

  // The output of one command; empty when it has nothing to say.
  std::string Run(const ScriptCommand& command);

  // What the oracle says after the last command; empty when nothing is wrong.
  const std::string& violation() const { return violation_; }

  // Delivers everything there is, with heartbeats, until nothing moves, and prints what must not
  // depend on how messages are cut: the state and the log of every node.
  std::string FinalState();

 private:
  struct HardStateShown {
    HardState state;
    Index commit = 0;
    friend bool operator==(const HardStateShown&, const HardStateShown&) = default;
  };
  struct SoftStateShown {
    NodeId leader = kNoNode;
    RoleName role = RoleName::kFollower;
    friend bool operator==(const SoftStateShown&, const SoftStateShown&) = default;
  };
  struct Member {
    Options options;
    bool offer_every_snapshot = true;
    std::optional<MemoryNode> node;  // empty while it is crashed
    MemoryDisk disk;                 // of a crashed one
    HardStateShown hard;
    SoftStateShown soft;
  };
  using Handler = void (InteractionScript::*)(const ScriptCommand&);

  static const std::map<std::string, Handler>& Handlers();
  void AddNodes(const ScriptCommand& command);
  void Campaign(const ScriptCommand& command);
  void CompactLog(const ScriptCommand& command);
  void Crash(const ScriptCommand& command);
  void DeliverMessages(const ScriptCommand& command);
  void DropSuspicion(const ScriptCommand& command);
  void Explain(const ScriptCommand& command);
  void ForgetLeader(const ScriptCommand& command);
  void LogLevel(const ScriptCommand& command);
  void NodeState(const ScriptCommand& command);
  void Persist(const ScriptCommand& command);
  void ProcessReady(const ScriptCommand& command);
  void Propose(const ScriptCommand& command);
  void ProposeMembership(const ScriptCommand& command);
  void RaftLog(const ScriptCommand& command);
  void RaftState(const ScriptCommand& command);
  void ReadIndex(const ScriptCommand& command);
  void RegainLostEnd(const ScriptCommand& command);
  void ReportUnreachable(const ScriptCommand& command);
  void ReportSnapshot(const ScriptCommand& command);
  void Restart(const ScriptCommand& command);
  void SendSnapshot(const ScriptCommand& command);
  void SetElectionTimeout(const ScriptCommand& command);
  void Stabilize(const ScriptCommand& command);
  void Status(const ScriptCommand& command);
  void TakeReady(const ScriptCommand& command);
  void Tick(const ScriptCommand& command);
  void TickElection(const ScriptCommand& command);
  void TickHeartbeat(const ScriptCommand& command);
  void TransferLeadership(const ScriptCommand& command);

  // The living node with this id; null, and an error, when there is none.
  MemoryNode* Living(uint64_t id);
  MemoryNode* First(const ScriptCommand& command);
  void Start(Member& member, MemoryDisk disk);
  bool HasReady(const Member& member) const;
  void HandleReady(Member& member, bool finish_write);
  void Post(const MemoryNode& sender, std::vector<Envelope> sent);
  static std::string DescribeStates(Member& member);
  void StabilizeNodes(const std::vector<uint64_t>& ids);
  // Which of the messages under way, and what becomes of them.
  struct Delivery {
    std::optional<std::string> type;
    std::optional<uint64_t> from;
    std::optional<uint64_t> meant_for;  // another node than the one that gets them
    uint64_t count = std::numeric_limits<uint64_t>::max();
    bool drop = false;
    bool keep = false;
    bool Takes(const Envelope& envelope, uint64_t to) const;
  };
  size_t Deliver(uint64_t to, const Delivery& delivery);
  void PrintLog(const MemoryNode& node);
  void Refused(Outcome outcome);
  void Judge();

  void Write(absl::string_view text);
  template <typename Body>
  void Indented(Body body);
  void Fail(std::string error) { error_ = std::move(error); }

  Settings settings_;
  std::vector<Member> members_;     // node i + 1
  std::vector<Envelope> messages_;  // under way, oldest first
  ClusterOracle oracle_;
  std::string output_;
  std::string error_;
  std::string violation_;
  bool quiet_ = false;
  bool explain_ = false;
};

}  // namespace raftkv::raft
