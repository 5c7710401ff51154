#include "core/replica/accepted_forwards.h"

namespace raftkv::replica {

AcceptedForwards::Verdict AcceptedForwards::Accept(raft::NodeId from, uint64_t id,
                                                   uint64_t oldest) {
  const auto [name, met] = runs_.try_emplace({from, RunOf(id)});
  if (met) CloseOthers(name);
  Run& run = name->second;
  if (oldest > run.oldest) {
    run.oldest = oldest;
    run.notes.erase(run.notes.begin(), run.notes.lower_bound(oldest));
  }
  if (id < run.oldest) return {Kind::kOver, nullptr};
  const auto [note, first] = run.notes.try_emplace(id, 0);
  return {first ? Kind::kNew : Kind::kCopy, &note->second};
}

void AcceptedForwards::CloseOthers(Runs::const_iterator run) {
  const raft::NodeId from = run->first.first;
  for (auto other = runs_.lower_bound({from, 0}); other != runs_.end(); ++other) {
    if (other->first.first != from) return;
    auto& [oldest, notes] = other->second;
    if (other == run || notes.empty()) continue;
    oldest = notes.rbegin()->first + 1;
    notes.clear();
  }
}

bool AcceptedForwards::Knows(raft::NodeId from, uint64_t id) const {
  const auto run = runs_.find({from, RunOf(id)});
  return run != runs_.end() && (id < run->second.oldest || run->second.notes.contains(id));
}

size_t AcceptedForwards::size() const {
  size_t size = 0;
  for (const auto& [name, run] : runs_) size += run.notes.size();
  return size;
}

}  // namespace raftkv::replica
