#include "sim/network/network.h"

#include <algorithm>

namespace raftkv::sim {

Network::Network(Scheduler* scheduler, const NetworkOptions& options, Random random,
                 Deliver deliver, Lost lost)
    : scheduler_(scheduler),
      options_(options),
      random_(random),
      deliver_(std::move(deliver)),
      lost_(std::move(lost)) {}

void Network::Send(raft::NodeId from, raft::NodeId to, std::string frame) {
  ++counters_.sent;
  // Drawn whether or not the link is cut: a fault must not shift the luck of other frames.
  const bool lost = random_.PerMille(options_.loss_per_mille);
  const bool doubled = random_.PerMille(options_.duplicate_per_mille);
  if (links_[{from, to}].cuts > 0) {
    ++counters_.cut;
    NoticeLoss(from, to);
    return;
  }
  if (lost && !options_.in_order) {
    ++counters_.lost;
    NoticeLoss(from, to);
    return;
  }
  if (doubled && !options_.in_order) {
    ++counters_.doubled;
    Launch(from, to, frame);
  }
  Launch(from, to, std::move(frame));
}

void Network::Launch(raft::NodeId from, raft::NodeId to, std::string frame) {
  Time arrival = scheduler_->now() + Draw(options_.delay, random_);
  Link& link = links_[{from, to}];
  if (options_.in_order) arrival = std::max(arrival, link.last_arrival);
  link.last_arrival = std::max(arrival, link.last_arrival);
  scheduler_->At(arrival, Actor::kNode,
                 [this, from, to, life = lives_[to], frame = std::move(frame)]() mutable {
                   Arrive(from, to, life, std::move(frame));
                 });
}

void Network::Arrive(raft::NodeId from, raft::NodeId to, uint64_t life, std::string frame) {
  if (life != lives_[to]) return;
  Link& link = links_[{from, to}];
  if (link.cuts > 0) {
    ++counters_.cut;
    return;
  }
  if (link.clogs > 0) {
    ++counters_.clogged;
    link.held.push_back(std::move(frame));
    return;
  }
  ++counters_.delivered;
  deliver_(from, to, frame);
}

void Network::Unclog(raft::NodeId from, raft::NodeId to) {
  Link& link = links_[{from, to}];
  if (--link.clogs > 0) return;
  for (std::string& frame : link.held) {
    scheduler_->After(0, Actor::kNode,
                      [this, from, to, life = lives_[to], frame = std::move(frame)]() mutable {
                        Arrive(from, to, life, std::move(frame));
                      });
  }
  link.held.clear();
}

void Network::Reset(raft::NodeId node) {
  ++lives_[node];
  for (auto& [ends, link] : links_) {
    if (ends.second == node) link.held.clear();
  }
}

void Network::NoticeLoss(raft::NodeId from, raft::NodeId to) {
  if (!random_.PerMille(options_.loss_noticed_per_mille)) return;
  scheduler_->After(Draw(options_.delay, random_), Actor::kNode,
                    [this, from, to] { lost_(from, to); });
}

}  // namespace raftkv::sim
