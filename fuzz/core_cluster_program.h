// A few consensus cores driven by a byte string: the bytes are a program over a cluster in memory.
//
// Every byte string is a program. The first kHeaderBytes choose the cluster (missing ones are 0);
// then each byte is one instruction, five bits of what and three bits of which, and four kinds take
// one byte more. Nothing depends on where an instruction stands, so that a mutation changes what it
// touches and leaves the meaning of the rest. What would be without effect (a crashed node ticks)
// is skipped. Length, messages under way and proposals are bounded.
//
// After every instruction the nodes that it touched are judged (tests/raft/cluster_oracle.h), and
// at the end everything is healed: then somebody must lead, a proposal commit, a read be answered,
// and all members agree. Disks that lost the end of their log endanger none of what is judged on
// the way; at the end such a cluster may have to wait, if no node with all that was lost has a
// majority.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/raft/random.h"
#include "tests/raft/cluster_oracle.h"
#include "tests/raft/memory_node.h"

namespace raftkv::raft {

// The upper five bits of an instruction. The lower three are an argument: of the kinds that name a
// node, 0 to 4 count the nodes, 5 is the newest leader, 6 another that believes to lead or else any
// other, and 7 the node that was touched last.
enum class Op : uint8_t {
  kDeliverOldest,   // node: the oldest message for it
  kDeliverNewest,   // node: the newest
  kDeliverFront,    // place: the argument-th oldest of all
  kLate,            // place among those that were put aside: it comes at last
  kDeliverTo,       // node: everything under way to it
  kDeliverFrom,     // node: everything under way from it
  kRun,             // argument + 1 rounds: all drive their disks, everything is delivered
  kDrop,            // place, argument % 4; from 4 on it is put aside instead
  kDropTo,          // node: everything under way to it
  kRepeat,          // place, argument % 4: delivered, and still under way; from 4 on a copy of it
                    // is put aside
  kLie,             // place, and how: see Lie; in an honest cluster the message is delivered
  kTick,            // node
  kTickToElection,  // node: until its role or term changes, or two election timeouts passed
  kElect,           // node: all but leaders wait an election timeout, it campaigns, four rounds
  kTickAll,         // argument + 1 times
  kBegin,           // node takes a Ready; what it asks to write is being written
  kFinish,          // node: what it writes is written
  kDrive,           // node: both, until it has nothing more to do; once if its disk is slow
  kDriveAll,        // all nodes, in an order that the argument turns
  kCrash,           // node: nothing of what it was writing has arrived; restarts a crashed one
  kCrashWritten,    // as kCrash: all has
  kRestart,         // node, or the next crashed one
  kPropose,         // node
  kProposeMany,     // argument + 1 at the newest leader
  kMembership,      // node, and what: see ChangeOf
  kTransfer,        // to node, asked of the newest leader
  kRead,            // node
  kCampaign,        // node
  kCompact,         // node
  kCut,             // node: from all others, or not any more
  kPartition,       // argument: nodes of the first three, apart from the rest; 0 heals everything
  kOther,           // one byte more: see Other
};
inline constexpr unsigned kOps = 32;
inline constexpr size_t kHeaderBytes = 5;
inline constexpr size_t kMaxInstructions = 512;

constexpr uint8_t Instruction(Op op, unsigned argument) {
  return static_cast<uint8_t>((static_cast<unsigned>(op) << 3) | (argument & 7));
}

// What happened in a program, to see that programs are not trivial.
struct ClusterCounts {
  uint64_t programs = 0;
  uint64_t instructions = 0;
  uint64_t delivered = 0;
  uint64_t lost = 0;
  uint64_t repeated = 0;
  uint64_t lies = 0;
  uint64_t crashes = 0;
  uint64_t crashes_writing = 0;  // while a job was out
  uint64_t losses = 0;           // disks that lost the end of their log
  uint64_t regained = 0;         // times that something of it was taken from another node
  uint64_t torn = 0;             // disks that only suspect so
  uint64_t waits = 0;            // healed clusters in which no node with everything has a majority
  uint64_t elections = 0;        // terms that had a leader, before the cluster was healed
  uint64_t commits = 0;          // highest index known to be committed, before it was healed
  uint64_t truncations = 0;      // logs that lost entries
  uint64_t membership = 0;       // changes applied by the first node to do so
  uint64_t joint = 0;            // of these into a joint configuration
  uint64_t snapshots = 0;        // installed
  uint64_t compactions = 0;
  uint64_t transfers = 0;    // started
  uint64_t reads = 0;        // read points given
  uint64_t rest_rounds = 0;  // until the healed cluster had come to rest

  // Programs in which it happened at all.
  uint64_t with_election = 0;
  uint64_t with_commit = 0;
  uint64_t with_crash = 0;
  uint64_t with_loss = 0;
  uint64_t with_truncation = 0;
  uint64_t with_membership = 0;
  uint64_t with_snapshot = 0;
  uint64_t with_read = 0;

  void Add(const ClusterCounts& other);
  std::string Describe() const;  // a table, averages per program
};

class ClusterProgram {
 public:
  // With `text` everything is written there as it is done, one line for each instruction and,
  // indented, what became of it.
  explicit ClusterProgram(absl::string_view bytes, std::ostream* text = nullptr);

  // Runs it. Empty, or the first thing that is wrong.
  std::string Run();
  const ClusterCounts& counts() const { return counts_; }

 private:
  struct Member {
    Options options;
    std::optional<MemoryNode> node;  // empty while crashed
    MemoryDisk disk;                 // of a crashed one
    bool slow = false;               // the disk finishes a job when the node is driven again
  };
  struct Read {
    NodeId node;
    Index floor;  // highest index known to be committed when it was asked
  };

  // The cluster, from the header.
  void Found();
  uint8_t Take();  // the next byte; 0 behind the last

  void Execute();
  void Other(uint8_t which);
  bool Lie(Message& message, uint8_t how) const;

  // Nodes
  Member& At(NodeId id) { return members_[id - 1]; }
  NodeId Named(unsigned argument) const;
  NodeId NewestLeader() const;
  void Start(Member& member, MemoryDisk disk);
  void Crash(NodeId id, MemoryNode::Written written);
  void Restart(NodeId id);
  void LoseEnd(NodeId id, uint64_t entries);
  Outcome Regain(NodeId id, NodeId from, uint64_t most);
  void Tick(NodeId id);
  void TickEverywhere();
  void TickToElection(NodeId id);
  void Elect(NodeId id);
  void RunRounds(unsigned rounds);
  void Begin(NodeId id);
  void Finish(NodeId id);
  void Drive(NodeId id);
  void DriveAll(unsigned first);
  void Propose(NodeId id);
  void ChangeMembership(NodeId id, uint8_t what);
  void AskRead(NodeId id);
  void Compact(NodeId id, Index keep);

  // The network
  bool Blocked(NodeId from, NodeId to) const { return blocked_[from - 1] & (1u << (to - 1)); }
  void Block(NodeId from, NodeId to, bool blocked);
  // Late: it had passed the network before this was cut.
  enum class How { kOnce, kKeep, kLate };
  void Deliver(size_t place, How how = How::kOnce);
  void DeliverAll(NodeId from, NodeId to);  // kNoNode: any; what is under way now
  void Drop(size_t place);
  void PutAside(const Envelope& envelope);
  void Lose(const Envelope& envelope);
  void Post(NodeId sender, std::vector<Envelope>& sent);

  // What is looked at
  void Check(NodeId id);
  void CheckReads(NodeId id, const Ready& ready);
  void ComeToRest();
  bool AtRest(NodeId leader);
  bool Waits();
  std::string Describe() const;
  std::string DescribeNode(NodeId id) const;

  void Fail(std::string what) {
    if (failure_.empty()) failure_ = std::move(what);
  }
  template <typename... Parts>
  void Say(const Parts&... parts);
  template <typename... Parts>
  void Became(const Parts&... parts);

  absl::string_view bytes_;
  size_t next_ = 0;
  std::ostream* text_;

  bool lying_ = false;
  bool lockstep_ = false;  // lease reads: all clocks run at the same rate
  std::vector<Member> members_;
  std::vector<Envelope> messages_;  // under way
  std::vector<Envelope> late_;      // put aside
  std::vector<unsigned> blocked_;   // by sender, a bit for each receiver
  NodeId touched_ = 1;
  ClusterOracle oracle_;
  uint64_t seed_ = 0;  // of the next node's election timeouts
  uint64_t commands_ = 0;
  uint64_t contexts_ = 0;
  std::map<uint64_t, Read> reads_;
  Index committed_ = 0;   // highest commit index any node has reported
  Index configured_ = 0;  // highest membership entry that any node has applied

  // While coming to rest
  Index rest_index_ = 0;    // of the proposal that must commit
  uint64_t rest_read_ = 0;  // the context of the read that must be answered
  bool rest_read_done_ = false;

  ClusterCounts counts_;
  std::string failure_;
};

// core_runner.h; adds what happened to `counts`.
void RunClusterProgram(absl::string_view bytes, ClusterCounts* counts = nullptr);

}  // namespace raftkv::raft
