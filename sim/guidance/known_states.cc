#include "sim/guidance/known_states.h"

#include "core/raft/random.h"

namespace raftkv::sim {

bool KnownStates::Add(uint64_t state) {
  if (!share_.Has(state) || !states_.insert(state).second) return false;
  digest_ = MixHash(digest_ ^ state);
  while (states_.size() > most_) {
    share_.Halve();
    // In whatever order: what is left is the same.
    absl::erase_if(states_, [this](uint64_t known) { return !share_.Has(known); });
  }
  return true;
}

}  // namespace raftkv::sim
