// Watches for what the cluster comes to, and lets what waits for it happen.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "sim/cluster/cluster.h"
#include "sim/cues/cue.h"
#include "sim/scheduler/scheduler.h"

namespace raftkv::sim {

bool Holds(const Situation& situation, Cluster& cluster);

// The first time that something became true, again after it had not been.
struct Milestone {
  Time time = 0;
  Situation situation;
};

// Writes down what each node comes to.
class Chronicle {
 public:
  Chronicle(const Scheduler* scheduler, Cluster* cluster)
      : scheduler_(scheduler), cluster_(cluster) {}

  // To be called after each event; adds to `milestones`.
  void Look(std::vector<Milestone>* milestones);

 private:
  struct Seen {
    bool up = false;
    raft::RoleName role = raft::RoleName::kFollower;
    raft::Term term = 0;
    raft::Index commit = 0;
    raft::Index last = 0;
  };

  const Scheduler* scheduler_;
  Cluster* cluster_;
  std::map<raft::NodeId, Seen> seen_;
};

class Prompter {
 public:
  Prompter(Scheduler* scheduler, Cluster* cluster) : scheduler_(scheduler), cluster_(cluster) {}

  // `then` is called once: cue.at after the first instant, from now on, at which cue.when holds,
  // which there must be.
  void Await(const Cue& cue, std::function<void()> then);
  // Remembers whether it ever holds, from now on: Reached, in the order of the calls.
  void Notice(const Situation& situation) {
    noticed_.push_back(situation), reached_.push_back(false);
  }
  const std::vector<bool>& reached() const { return reached_; }
  // To be called after each event.
  void Look() {
    if (!waiting_.empty() || !noticed_.empty()) LookAtAll();
  }

 private:
  struct Waiting {
    Cue cue;
    std::function<void()> then;
  };
  void LookAtAll();

  Scheduler* scheduler_;
  Cluster* cluster_;
  std::vector<Waiting> waiting_;
  std::vector<Situation> noticed_;
  std::vector<bool> reached_;
};

}  // namespace raftkv::sim
