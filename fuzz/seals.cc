#include "fuzz/seals.h"

#include <algorithm>

#include "storage/checksum.h"
#include "storage/encoding.h"

namespace raftkv::storage {
namespace {

uint32_t U32At(const std::string& bytes, uint64_t at) {
  return Reader(absl::string_view(bytes).substr(at, 4)).U32();
}
uint64_t U64At(const std::string& bytes, uint64_t at) {
  return Reader(absl::string_view(bytes).substr(at, 8)).U64();
}

void PutU64At(std::string& bytes, uint64_t at, uint64_t value) {
  std::string encoded;
  PutU64(encoded, value);
  bytes.replace(at, encoded.size(), encoded);
}

// The checksum of [begin, end) goes to `end`.
void Seal(std::string& bytes, uint64_t begin, uint64_t end, uint64_t seed) {
  PutU64At(bytes, end, Checksum(absl::string_view(bytes).substr(begin, end - begin), seed));
}

constexpr uint64_t kSegmentHeader = 160;
constexpr uint64_t kNote = 128;
constexpr uint64_t kBatchHeader = 64;
constexpr uint64_t kEntryHeader = 40;

uint64_t Up(uint64_t bytes, uint64_t block) { return (bytes + block - 1) / block * block; }

}  // namespace

void SealSlots(const SlotFile& file, std::string* bytes) {
  for (const uint64_t slot : {uint64_t{0}, uint64_t{4096}}) {
    if (bytes->size() < slot + 40) continue;
    const uint64_t length = U32At(*bytes, slot + 24);
    if (length > 4056 || bytes->size() < slot + 40 + length) continue;
    Seal(*bytes, slot, slot + 32 + length, file.seed + slot);
  }
}

void SealSegment(std::string* segment) {
  std::string& bytes = *segment;
  if (bytes.size() < kSegmentHeader) return;
  const ClusterId cluster{U64At(bytes, 16), U64At(bytes, 24)};
  const uint64_t seed = FileSeed(cluster, FileKind::kLog, U64At(bytes, 56));
  Seal(bytes, 0, kSegmentHeader - 8, seed);
  const uint64_t block = std::max<uint64_t>(512, U32At(bytes, 108));
  if (bytes.size() >= block + kSegmentHeader) {
    Seal(bytes, block, block + kSegmentHeader - 8, seed + block);
  }
  uint64_t next = 0;
  for (uint64_t at = 2 * block; at + kNote + kBatchHeader <= bytes.size(); at = next) {
    next = at + block;
    if (bytes.compare(at, 4, "RNOT") == 0) Seal(bytes, at, at + kNote - 8, seed + at);
    const uint64_t head = at + kNote;
    if (bytes.compare(head, 4, "RBAT") != 0) continue;
    Seal(bytes, head, head + kBatchHeader - 8, seed + head);
    uint64_t place = head + kBatchHeader;
    for (uint32_t i = 0; i < U32At(bytes, head + 48); ++i) {
      if (place + kEntryHeader > bytes.size()) break;
      const uint64_t payload = place + kEntryHeader;
      const uint64_t length = std::min<uint64_t>(U32At(bytes, place + 16), bytes.size() - payload);
      PutU64At(bytes, place + 24,
               Checksum(absl::string_view(bytes).substr(payload, length), seed + payload));
      Seal(bytes, place, place + kEntryHeader - 8, seed + place);
      place = Up(payload + length, 8);
    }
    next = at + Up(std::max<uint64_t>(1, place - at), block);
  }
}

void SealSnapshot(std::string* snapshot) {
  std::string& bytes = *snapshot;
  if (bytes.size() < 4096 + 48) return;
  const uint64_t length = U32At(bytes, 16);
  if (length > 4096 - 32) return;
  const ClusterId cluster{U64At(bytes, 24), U64At(bytes, 32)};
  const uint64_t source = U32At(bytes, 64);
  const uint64_t seed = FileSeed(cluster, FileKind::kSnapshot, 2 * U64At(bytes, 72) + source - 1);
  Seal(bytes, 0, 24 + length, seed);
  const uint64_t end = bytes.size() - 48;
  const uint64_t chunk_bytes = U32At(bytes, 68);
  uint64_t size = U64At(bytes, end + 8);
  Digest digest;
  for (uint64_t at = 4096; at + 32 <= end; at += 32 + chunk_bytes) {
    const uint64_t payload = at + 32;
    const absl::string_view chunk = absl::string_view(bytes).substr(
        payload, std::min({chunk_bytes, end - payload, uint64_t{U32At(bytes, at + 4)}}));
    PutU64At(bytes, at + 16, Checksum(chunk, seed + payload));
    Seal(bytes, at, at + 24, seed + at);
    digest.Add(chunk.substr(0, size));
    size -= std::min<uint64_t>(size, chunk.size());
  }
  PutU64At(bytes, end + 16, digest.value());
  Seal(bytes, end, end + 40, seed + end);
}

}  // namespace raftkv::storage
