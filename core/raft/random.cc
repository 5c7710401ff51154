#include "core/raft/random.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/raft/check.h"

namespace raftkv {
namespace {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;

__extension__ using Wide = unsigned __int128;

uint64_t Fold(uint64_t a, uint64_t b) {
  const Wide product = Wide{a} * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t LoadLittleEndian(const char* bytes, size_t size) {
  uint64_t word = 0;
  if (size > 0) std::memcpy(&word, bytes, size);
  return std::endian::native == std::endian::big ? __builtin_bswap64(word) : word;
}

}  // namespace

uint64_t HashBytes(absl::string_view bytes, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325u ^ MixHash(seed);
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3u;
  }
  return MixHash(hash);
}

// 16 bytes per multiplication: the digest must not be what an 8 MiB write waits for.
uint64_t HashWords(absl::string_view bytes, uint64_t seed) {
  constexpr uint64_t kOdd1 = 0xd6e8feb86659fd93u;
  constexpr uint64_t kOdd2 = 0xa0761d6478bd642fu;
  uint64_t hash = Fold(seed ^ kOdd1, bytes.size() + kOdd2);
  while (bytes.size() >= 16) {
    hash = Fold(LoadLittleEndian(bytes.data(), 8) ^ kOdd1,
                LoadLittleEndian(bytes.data() + 8, 8) ^ kOdd2 ^ hash);
    bytes.remove_prefix(16);
  }
  const size_t low = std::min<size_t>(bytes.size(), 8);
  return Fold(LoadLittleEndian(bytes.data(), low) ^ kOdd1,
              LoadLittleEndian(bytes.data() + low, bytes.size() - low) ^ kOdd2 ^ hash);
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

uint64_t Random::Between(uint64_t low, uint64_t high) {
  RAFTKV_CHECK(low <= high);
  if (low == 0 && high == UINT64_MAX) return Next();
  return low + Below(high - low + 1);
}

}  // namespace raftkv
