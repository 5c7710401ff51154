#include "storage/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "storage/encoding.h"

namespace raftkv::storage {

uint64_t FileSeed(const ClusterId& cluster, FileKind kind, uint64_t number) {
  SmallRecord<32> place;
  place.U64(cluster.high).U64(cluster.low).U64(static_cast<uint64_t>(kind)).U64(number);
  return Checksum(place.view(), 0);
}

uint64_t Checksum(absl::string_view bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

Digest::Digest(uint64_t seed) : state_(XXH3_createState()) { Reset(seed); }
Digest::~Digest() { XXH3_freeState(static_cast<XXH3_state_t*>(state_)); }

void Digest::Add(absl::string_view bytes) {
  XXH3_64bits_update(static_cast<XXH3_state_t*>(state_), bytes.data(), bytes.size());
}

uint64_t Digest::value() const {
  return XXH3_64bits_digest(static_cast<const XXH3_state_t*>(state_));
}

void Digest::Reset(uint64_t seed) {
  XXH3_64bits_reset_withSeed(static_cast<XXH3_state_t*>(state_), seed);
}

}  // namespace raftkv::storage
