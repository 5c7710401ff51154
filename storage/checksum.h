// Checksums of everything on disk: XXH3, 64 bits, seeded with where the bytes belong.
//
// A block that is intact but stale (an older write that was never replaced) or misdirected (written
// by the device to another place) has a perfect checksum of its own. So the seed of every record is
// made of the cluster, the kind and number of the file, and the offset in it: such a block fails.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "storage/identity.h"

namespace raftkv::storage {

enum class FileKind : uint64_t {
  kIdentity = 1,
  kVote = 2,
  kManifest = 3,
  kMarks = 4,
  kLog = 5,
  kSnapshot = 6
};

// Seed of a whole file; a record at `offset` uses FileSeed(...) + offset. `number` is the segment
// id, or 2 * index + source - 1 for snapshots, or 0.
uint64_t FileSeed(const ClusterId& cluster, FileKind kind, uint64_t number);

uint64_t Checksum(absl::string_view bytes, uint64_t seed);

// The same, fed piece by piece. With seed 0 the digest of snapshot bytes.
class Digest {
 public:
  explicit Digest(uint64_t seed = 0);
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void Add(absl::string_view bytes);
  uint64_t value() const;
  void Reset(uint64_t seed = 0);

 private:
  void* state_;  // XXH3_state_t; its header is large and stays out of ours
};

}  // namespace raftkv::storage
