// What a core of the nodes must be able to do when it is healed and the others are not: elect a
// leader, write, read, take in a new member and bring it up to date, give it a vote, and hand
// leadership over. Each of these within a number of election timeouts, or the cluster waits for
// something that never comes.
//
// In terms of the literature: I20 and I21, with the faults outside of the core left in place.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "sim/clients/operator.h"
#include "sim/cluster/cluster.h"
#include "sim/nemesis/nemesis.h"
#include "sim/oracles/omniscience.h"

namespace raftkv::sim {

class CoreDuties {
 public:
  // Of the longest election timeout there is; and besides, for recoveries and what they read.
  static constexpr uint64_t kTimeouts = 10;
  static constexpr Time kForDisks = 2 * kSecond;
  // Of those that wait for each other: there, onto a disk, and back.
  static constexpr Time kForMessage = 25 * kMillisecond;

  // Lets the run go on until the goal is reached, at most for this long; true when it was.
  using RunUntil = std::function<bool(Time span, const std::function<bool()>& goal)>;

  // All must outlive it.
  CoreDuties(std::vector<raft::NodeId> core, Cluster* cluster, const Nemesis* nemesis,
             const Omniscience* omniscience, Time election_timeout, RunUntil run_until);

  // Does all of it. What is not done in time: what it waits for, and where every node is. Nullopt
  // also when the run ends meanwhile.
  std::optional<std::string> Do();
  // What is done, and how long each took.
  const std::vector<std::string>& done() const { return done_; }

 private:
  using Words = std::vector<std::string>;
  // The leader that most of the core follows and that has committed something in its term; null
  // when there is none.
  Process* Leader() const;
  bool Wait(const std::string& what, const std::function<bool()>& goal, uint64_t messages = 0);
  // Asks one node after the other, in the words, until the answer is OK; or, with a goal, until
  // that is reached.
  bool Ask(const std::string& what, const std::function<Words()>& words,
           const std::function<bool()>& goal = nullptr, uint64_t messages = 0);
  bool TakeIn();
  struct Looked {  // at the leader, when it was asked to promote a node
    Time at;
    raft::Index last;   // of its log
    raft::Index match;  // what that node has of it
  };
  bool IsTooSlow(raft::NodeId joiner, raft::Index had, const std::vector<Looked>& looks) const;
  bool HandOver();
  raft::NodeId Successor(const Process& leader) const;
  std::string WhereEverybodyIs() const;

  std::vector<raft::NodeId> core_;
  Cluster* cluster_;
  const Nemesis* nemesis_;
  const Omniscience* omniscience_;
  Time election_timeout_;
  RunUntil run_until_;
  Time patience_ = 0;  // with what it waits for
  Operator operator_;
  Time began_;
  uint64_t asked_ = 0;
  std::string last_answer_;
  std::vector<std::string> done_;
  std::string waits_for_;
};

}  // namespace raftkv::sim
