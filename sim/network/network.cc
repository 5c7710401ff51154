#include "sim/network/network.h"

#include <algorithm>

#include "absl/strings/match.h"

namespace raftkv::sim {

Network::Network(Scheduler* scheduler, Decisions* decisions, const NetworkOptions& options,
                 Random random, NameFrame name_frame, Deliver deliver, Lost lost)
    : scheduler_(scheduler),
      decisions_(decisions),
      options_(options),
      random_(random),
      name_frame_(std::move(name_frame)),
      deliver_(std::move(deliver)),
      lost_(std::move(lost)) {
  decisions_->Own(&random_);
}

void Network::Send(raft::NodeId from, raft::NodeId to, std::string frame) {
  const uint64_t number = ++counters_.sent;
  if (watcher_ != nullptr) watcher_->FrameSent(number, from, to, frame);
  const std::string name = decisions_->Name([&] { return name_frame_(from, to, frame); });
  // Decided whether or not the link is cut: a fault must not shift the luck of other frames.
  const bool lost = decisions_->Decide(
      name, "lost", 0, [this] { return random_.PerMille(options_.loss_per_mille); });
  const bool doubled = decisions_->Decide(
      name, "doubled", 0, [this] { return random_.PerMille(options_.duplicate_per_mille); });
  if (Taken(from, to, frame)) return Tell(number, Fate::kCut);
  if (LinkOf(from, to).cuts > 0) {
    ++counters_.cut;
    Tell(number, Fate::kCut);
    NoticeLoss(from, to, name);
    return;
  }
  if (lost && !options_.in_order) {
    ++counters_.lost;
    Tell(number, Fate::kLost);
    NoticeLoss(from, to, name);
    return;
  }
  if (doubled && !options_.in_order) {
    ++counters_.doubled;
    if (watcher_ != nullptr) watcher_->FrameDoubled(number);
    Launch(from, to, number, name, "its double takes", std::string(frame));
  }
  Launch(from, to, number, name, "takes", std::move(frame));
}

Network::Link& Network::AddLink(raft::NodeId from, raft::NodeId to) {
  if (from >= links_.size()) links_.resize(from + 1);
  links_[from].resize(to + 1);
  return links_[from][to];
}

bool Network::Taken(raft::NodeId from, raft::NodeId to, const std::string& frame) {
  bool taken = false;
  for (const auto& [number, tap] : taps_) taken = tap(from, to, frame) || taken;
  counters_.tapped += taken;
  return taken;
}

bool Network::Stream(raft::NodeId from, raft::NodeId to, const std::string& frame) {
  const uint64_t number = ++counters_.sent;
  if (watcher_ != nullptr) watcher_->FrameSent(number, from, to, frame);
  if (Taken(from, to, frame)) {
    Tell(number, Fate::kCut);
    return true;
  }
  if (watcher_ != nullptr) LinkOf(from, to).streaming.emplace_back(number, frame);
  return false;
}

void Network::StreamArrived(raft::NodeId to, absl::string_view body) {
  ++counters_.delivered;
  if (watcher_ == nullptr) return;
  for (std::vector<Link>& from : links_) {
    if (to >= from.size()) continue;
    auto& streaming = from[to].streaming;
    const auto it = std::find_if(streaming.begin(), streaming.end(), [body](const auto& frame) {
      return absl::EndsWith(frame.second, body);
    });
    if (it == streaming.end()) continue;
    for (auto before = streaming.begin(); before != it; ++before) {
      Tell(before->first, Fate::kReset);
    }
    Tell(it->first, Fate::kArrived);
    streaming.erase(streaming.begin(), it + 1);
    return;
  }
}

void Network::Launch(raft::NodeId from, raft::NodeId to, uint64_t number, absl::string_view name,
                     absl::string_view takes, std::string&& frame) {
  Time arrival = scheduler_->now() + decisions_->Decide(name, takes, Usual(options_.delay), [this] {
    return Draw(options_.delay, random_);
  });
  Link& link = LinkOf(from, to);
  if (options_.in_order) arrival = std::max(arrival, link.last_arrival);
  link.last_arrival = std::max(arrival, link.last_arrival);
  scheduler_->At(arrival, Actor::kNode,
                 [this, from, to, life = LifeOf(to), number, frame = std::move(frame)]() mutable {
                   Arrive(from, to, life, number, std::move(frame));
                 });
}

uint64_t Network::AddTap(Tap tap) {
  taps_.emplace(++last_tap_, std::move(tap));
  return last_tap_;
}

void Network::Inject(raft::NodeId from, raft::NodeId to, std::string frame, Time takes) {
  const uint64_t number = ++counters_.sent;
  if (watcher_ != nullptr) watcher_->FrameSent(number, from, to, frame);
  scheduler_->After(
      takes, Actor::kNode,
      [this, from, to, life = LifeOf(to), number, frame = std::move(frame)]() mutable {
        Arrive(from, to, life, number, std::move(frame));
      });
}

void Network::Arrive(raft::NodeId from, raft::NodeId to, uint64_t life, uint64_t number,
                     std::string&& frame) {
  if (life != LifeOf(to)) return Tell(number, Fate::kReset);
  Link& link = LinkOf(from, to);
  if (link.cuts > 0) {
    ++counters_.cut;
    return Tell(number, Fate::kCut);
  }
  if (link.clogs > 0) {
    ++counters_.clogged;
    link.held.emplace_back(number, std::move(frame));
    return Tell(number, Fate::kHeld);
  }
  ++counters_.delivered;
  Tell(number, Fate::kArrived);
  deliver_(from, to, frame);
}

void Network::Carry(raft::NodeId from, raft::NodeId to, Time arrival, Carried then) {
  scheduler_->At(arrival, Actor::kNode,
                 [this, from, to, then = std::move(then)] { Pass(from, to, then); });
}

void Network::Pass(raft::NodeId from, raft::NodeId to, const Carried& then) {
  Link& link = LinkOf(from, to);
  if (link.cuts > 0) {
    ++counters_.cut;
    return then(false);
  }
  if (link.clogs > 0) {
    ++counters_.clogged;
    link.held_carried.push_back(then);
    return;
  }
  then(true);
}

void Network::Unclog(raft::NodeId from, raft::NodeId to) {
  Link& link = LinkOf(from, to);
  if (--link.clogs > 0) return;
  for (Carried& then : link.held_carried) Carry(from, to, scheduler_->now(), std::move(then));
  link.held_carried.clear();
  for (auto& held : link.held) {
    scheduler_->After(0, Actor::kNode,
                      [this, from, to, life = LifeOf(to), number = held.first,
                       frame = std::move(held.second)]() mutable {
                        Arrive(from, to, life, number, std::move(frame));
                      });
  }
  link.held.clear();
}

void Network::Reset(raft::NodeId node) {
  ++LifeOf(node);
  for (std::vector<Link>& from : links_) {
    if (node >= from.size()) continue;
    Link& link = from[node];
    for (const auto& [number, frame] : link.held) Tell(number, Fate::kReset);
    link.held.clear();
  }
}

void Network::NoticeLoss(raft::NodeId from, raft::NodeId to, absl::string_view name) {
  const bool noticed = decisions_->Decide(
      name, "missed", 0, [this] { return random_.PerMille(options_.loss_noticed_per_mille); });
  if (!noticed) return;
  const Time after = decisions_->Decide(name, "missed after", Usual(options_.delay),
                                        [this] { return Draw(options_.delay, random_); });
  scheduler_->After(after, Actor::kNode, [this, from, to] { lost_(from, to); });
}

}  // namespace raftkv::sim
