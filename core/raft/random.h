// Deterministic pseudo-random numbers: the only source of chance in everything simulated.
//
// The sequence is fixed for ever (a seed in a bug report must mean the same run next year), so
// nothing here may use the standard library's distributions, whose results differ between
// implementations. Streams are split by name: a consumer that draws more numbers never shifts what
// another consumer sees.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "core/raft/check.h"

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
  // True with probability numerator/denominator.
  bool Chance(uint64_t numerator, uint64_t denominator) { return Below(denominator) < numerator; }
  bool PerMille(uint64_t chance) { return Chance(chance, 1000); }

  friend bool operator==(const Random&, const Random&) = default;

 private:
  uint64_t seed_;
  uint64_t state_[4];
};

// 64-bit mixing and hashing that every build agrees on (FNV-1a with a splitmix finish); not for
// untrusted keys.
inline uint64_t MixHash(uint64_t value) {
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}
uint64_t HashBytes(absl::string_view bytes, uint64_t seed = 0);
// The same of another kind, sixteen bytes at a time.
uint64_t HashWords(absl::string_view bytes, uint64_t seed);

inline uint64_t Random::Next() {
  const auto rotate_left = [](uint64_t value, int bits) {
    return (value << bits) | (value >> (64 - bits));
  };
  const uint64_t result = rotate_left(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = rotate_left(state_[3], 45);
  return result;
}

inline uint64_t Random::Below(uint64_t bound) {
  RAFTKV_CHECK(bound > 0);
  // Rejection keeps the result exactly uniform: values below 2^64 modulo the bound are drawn again.
  // That is less than the bound, so almost always there is nothing to divide for it.
  for (;;) {
    const uint64_t value = Next();
    if (value >= bound || value >= (0 - bound) % bound) return value % bound;
  }
}

}  // namespace raftkv
