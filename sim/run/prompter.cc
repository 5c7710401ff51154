#include "sim/run/prompter.h"

#include <utility>

namespace raftkv::sim {

bool Holds(const Situation& situation, Cluster& cluster) {
  Process* process = cluster.Find(situation.node);
  const bool up = process != nullptr && process->state() != Process::State::kDown;
  if (situation.kind == Situation::Kind::kDown) return !up;
  if (!up) return false;
  if (situation.kind == Situation::Kind::kUp) return true;
  const raft::Raft& raft = process->replica()->raft();
  const bool of_term = situation.number == 0 || raft.term() == situation.number;
  switch (situation.kind) {
    case Situation::Kind::kLeads:
      return raft.is_leader() && of_term;
    case Situation::Kind::kCampaigns:
      return of_term && (raft.role() == raft::RoleName::kCandidate ||
                         raft.role() == raft::RoleName::kPreCandidate);
    case Situation::Kind::kInTerm:
      return raft.term() >= situation.number;
    case Situation::Kind::kHas:
      return raft.log().last() >= situation.number;
    case Situation::Kind::kCommits:
      return raft.commit() >= situation.number;
    case Situation::Kind::kApplies:
      return raft.applied() >= situation.number;
    case Situation::Kind::kDown:
    case Situation::Kind::kUp:
      break;
  }
  return false;
}

void Chronicle::Look(std::vector<Milestone>* milestones) {
  for (const auto& one : cluster_->processes()) {
    const raft::NodeId node = one.first;
    const auto& process = one.second;
    Seen now;
    now.up = process->state() != Process::State::kDown;
    if (now.up) {
      const raft::Raft& raft = process->replica()->raft();
      now.role = raft.role();
      now.term = raft.term();
      now.commit = raft.commit();
      now.last = raft.log().last();
    }
    Seen& before = seen_[node];
    const auto note = [&](Situation::Kind kind, uint64_t number) {
      milestones->push_back({scheduler_->now(), {kind, node, number}});
    };
    if (now.up != before.up) note(now.up ? Situation::Kind::kUp : Situation::Kind::kDown, 0);
    const bool new_role = now.role != before.role || now.term != before.term;
    if (new_role && now.role == raft::RoleName::kLeader) note(Situation::Kind::kLeads, now.term);
    if (new_role && now.role == raft::RoleName::kCandidate) {
      note(Situation::Kind::kCampaigns, now.term);
    }
    if (now.term > before.term) note(Situation::Kind::kInTerm, now.term);
    if (now.last > before.last) note(Situation::Kind::kHas, now.last);
    if (now.commit > before.commit) note(Situation::Kind::kCommits, now.commit);
    before = now;
  }
}

void Prompter::Await(const Cue& cue, std::function<void()> then) {
  waiting_.push_back({cue, std::move(then)});
}

void Prompter::LookAtAll() {
  for (size_t i = 0; i < noticed_.size(); ++i) {
    if (!reached_[i] && Holds(noticed_[i], *cluster_)) reached_[i] = true;
  }
  for (size_t i = 0; i < waiting_.size();) {
    if (!Holds(*waiting_[i].cue.when, *cluster_)) {
      ++i;
      continue;
    }
    scheduler_->After(waiting_[i].cue.at, Actor::kScript, std::move(waiting_[i].then));
    waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(i));
  }
}

}  // namespace raftkv::sim
