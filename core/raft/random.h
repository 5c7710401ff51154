// Deterministic pseudo-random numbers: the only source of chance in everything simulated.
//
// The sequence is fixed for ever (a seed in a bug report must mean the same run next year), so
// nothing here may use the standard library's distributions, whose results differ between
// implementations. Streams are split by name: a consumer that draws more numbers never shifts what
// another consumer sees.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace raftkv {

// xoshiro256** seeded through splitmix64. A value: copies continue independently with the same
// sequence.
class Random {
 public:
  explicit Random(uint64_t seed);

  // The stream called `name` of the run with this seed; different names give unrelated sequences.
  static Random Stream(uint64_t seed, absl::string_view name);

  // A new, unrelated stream, derived from this generator's seed and `name`; does not advance this
  // generator.
  Random Split(absl::string_view name) const;

  uint64_t Next();                                // uniform over all 64-bit values
  uint64_t Below(uint64_t bound);                 // uniform in [0, bound); bound > 0
  uint64_t Between(uint64_t low, uint64_t high);  // uniform in [low, high], both included
  bool Chance(uint64_t numerator,
              uint64_t denominator);  // true with probability numerator/denominator
  bool PerMille(uint64_t chance) { return Chance(chance, 1000); }

  friend bool operator==(const Random&, const Random&) = default;

 private:
  uint64_t seed_;
  uint64_t state_[4];
};

// 64-bit mixing and hashing that every build agrees on (FNV-1a with a splitmix finish); not for
// untrusted keys.
uint64_t MixHash(uint64_t value);
uint64_t HashBytes(absl::string_view bytes, uint64_t seed = 0);

}  // namespace raftkv
