#include "core/raft/random.h"

#include "core/raft/check.h"

namespace raftkv {
namespace {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;

uint64_t RotateLeft(uint64_t value, int bits) { return (value << bits) | (value >> (64 - bits)); }

}  // namespace

uint64_t MixHash(uint64_t value) {
  value += kGolden;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

uint64_t HashBytes(absl::string_view bytes, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325u ^ MixHash(seed);
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3u;
  }
  return MixHash(hash);
}

Random::Random(uint64_t seed) : seed_(seed) {
  uint64_t x = seed;
  for (uint64_t& word : state_) {
    word = MixHash(x);
    x += kGolden;
  }
}

Random Random::Stream(uint64_t seed, absl::string_view name) {
  return Random(HashBytes(name, seed));
}

Random Random::Split(absl::string_view name) const { return Stream(seed_, name); }

uint64_t Random::Next() {
  const uint64_t result = RotateLeft(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = RotateLeft(state_[3], 45);
  return result;
}

uint64_t Random::Below(uint64_t bound) {
  RAFTKV_CHECK(bound > 0);
  // Rejection keeps the result exactly uniform: values above the largest multiple of `bound` are
  // drawn again.
  const uint64_t threshold = (0 - bound) % bound;
  for (;;) {
    const uint64_t value = Next();
    if (value >= threshold) return value % bound;
  }
}

uint64_t Random::Between(uint64_t low, uint64_t high) {
  RAFTKV_CHECK(low <= high);
  if (low == 0 && high == UINT64_MAX) return Next();
  return low + Below(high - low + 1);
}

bool Random::Chance(uint64_t numerator, uint64_t denominator) {
  return Below(denominator) < numerator;
}

}  // namespace raftkv
