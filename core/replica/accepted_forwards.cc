#include "core/replica/accepted_forwards.h"

namespace raftkv::replica {

AcceptedForwards::Verdict AcceptedForwards::Accept(raft::NodeId from, uint64_t id,
                                                   uint64_t oldest) {
  Run& run = runs_[{from, RunOf(id)}];
  if (RunOf(oldest) == RunOf(id) && oldest > run.oldest) {
    run.oldest = oldest;
    run.notes.erase(run.notes.begin(), run.notes.lower_bound(oldest));
  }
  if (id < run.oldest) return {Kind::kOver, nullptr};
  const auto [note, first] = run.notes.try_emplace(id, 0);
  return {first ? Kind::kNew : Kind::kCopy, &note->second};
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
