// Which abstract states have been seen, in a memory that is bounded.
//
// States are hashes, so what is asked is a set of numbers; and a search that goes on for a night
// comes to more of them than a machine can hold. Up to a limit all are kept. Beyond it every other
// hash is left out, of those that are known and of those to come; then every other of these, and so
// on. So which states are new is known of a part of them, which is as good as all to tell a run
// that came to much from one that came to little, and how many there are becomes an estimate.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_set.h"
#include "core/raft/random.h"

namespace raftkv::sim {

// A part of all hashes: at first all of them, then half, a quarter, and so on.
class Share {
 public:
  bool Has(uint64_t hash) const { return (MixHash(hash) & (each() - 1)) == 0; }
  // For how many hashes each that it has stands: 1, 2, 4, ...
  uint64_t each() const { return uint64_t{1} << halved_; }
  // What it has from now on it had before.
  void Halve() { ++halved_; }

 private:
  uint32_t halved_ = 0;
};

class KnownStates {
 public:
  // `most`: of those that are kept, at least 2.
  explicit KnownStates(size_t most) : most_(std::max<size_t>(most, 2)) {}

  // True: it is new, and counts.
  bool Add(uint64_t state);

  // All that were added, if it is no estimate.
  uint64_t count() const { return states_.size() * each(); }
  uint64_t held() const { return states_.size(); }
  // For how many states each that counts stands.
  uint64_t each() const { return share_.each(); }
  // Of what was added, in its order.
  uint64_t digest() const { return digest_; }

 private:
  size_t most_;
  Share share_;
  uint64_t digest_ = 0;
  absl::flat_hash_set<uint64_t> states_;  // only asked whether one is there
};

}  // namespace raftkv::sim
