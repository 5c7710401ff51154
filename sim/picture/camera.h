// Watches a run and writes down what a picture of it needs.
//
// It stands between the nodes and the oracles: each node's state is looked at after each turn and
// compared with what it was before, and then the oracles judge the turn, so that the turn that
// breaks something is the last one before the violation. Frames, faults and operations are heard of
// from those who move them. A run that is not recorded has no camera and pays nothing; one that is
// recorded does exactly the same (sim/picture has no stream of the seed and folds nothing into the
// hash).
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/raft/log.h"
#include "sim/clients/recorder.h"
#include "sim/nemesis/nemesis.h"
#include "sim/network/network.h"
#include "sim/node/witness.h"
#include "sim/oracles/judge.h"
#include "sim/picture/recording.h"

namespace raftkv::sim {

class Camera final : public Witness,
                     public Network::Watcher,
                     public Nemesis::Watcher,
                     public Recorder::Watcher {
 public:
  // All must outlive it. What a Witness hears goes on to `next`.
  Camera(const Scheduler* scheduler, const Judge* judge, Witness* next, Recording* recording)
      : scheduler_(scheduler), judge_(judge), next_(next), recording_(recording) {}

  // Of the run as a whole.
  void Remark(absl::string_view text);
  // The run is over: notes a violation that no turn of a node made.
  void Finish() { NoticeVerdict(raft::kNoNode); }

  // Witness
  void Damaged(const replica::Replica& replica) override;
  void Recovered(const replica::Replica& replica, const raft::Recovered& recovered) override;
  void RecoveryRefused(raft::NodeId node, const absl::Status& reason) override;
  void FoundDamage(raft::NodeId node, absl::string_view text) override {
    next_->FoundDamage(node, text);
  }
  bool LooksAhead(raft::NodeId node) const override { return next_->LooksAhead(node); }
  void Foresees(raft::NodeId node, absl::string_view wrong, const raft::Recovered& found) override {
    next_->Foresees(node, wrong, found);
  }
  void Ended(raft::NodeId node, const absl::Status& reason, bool disk_failed) override;
  void BeforeTurn(const replica::Replica& replica) override;
  void AfterTurn(const replica::Replica& replica, const replica::Work& work) override;
  void AnotherInput(const replica::Replica& replica) override { next_->AnotherInput(replica); }
  void Hears(const replica::Replica& replica, const wire::PeerMessage* message,
             bool connected) override;
  void JobDone(raft::NodeId node, const replica::Job& job,
               const replica::JobResult& result) override;
  void Died(raft::NodeId node, bool lost_power) override;
  void DiedInRecovery(raft::NodeId node) override;
  void Paused(raft::NodeId node) override;
  void Resumed(raft::NodeId node) override;
  void RecoverySays(raft::NodeId node, const std::string& text) override;

  // Network::Watcher
  void FrameSent(uint64_t number, raft::NodeId from, raft::NodeId to,
                 const std::string& frame) override;
  void FrameDoubled(uint64_t number) override;
  void FrameMet(uint64_t number, Network::Fate fate) override;

  // Nemesis::Watcher
  void FaultBegan(uint64_t id, Fault fault, const Nemesis::Aim& aim) override;
  void FaultOver(uint64_t id) override;
  void NemesisSays(absl::string_view text) override;

  // Recorder::Watcher
  void Invoked(Recorder::Id id, const Operation& operation) override;
  void Asked(Recorder::Id id, raft::NodeId node) override;
  void Returned(Recorder::Id id, const Operation& operation) override;

 private:
  struct Node {
    NodeView view;
    raft::TermRuns terms;  // of its log
    raft::ConfState conf;
    bool repairing = false;
  };

  void Add(EventKind kind, raft::NodeId node, uint64_t subject, absl::string_view text = {},
           NodeChange change = {});
  void Started(const replica::Replica& replica, RunState run, absl::string_view text);
  void Say(raft::NodeId node, absl::string_view text) { Add(EventKind::kSays, node, 0, text); }
  // What is different since the last look, which this one becomes.
  NodeChange Look(const raft::Raft& raft, RunState run);
  NodeChange LookAtRun(raft::NodeId node, RunState run);
  NodeChange::Log CompareLogs(const raft::Log& log, const Node& node);
  void NoticeVerdict(raft::NodeId node);

  const Scheduler* scheduler_;
  const Judge* judge_;
  Witness* next_;
  Recording* recording_;
  std::map<raft::NodeId, Node> nodes_;
  bool noticed_ = false;
};

}  // namespace raftkv::sim
