// A snapshot's file: docs/formats/snapshot.md.
//
//   mode 0  the fuzzer's bytes, the header apart from the rest
//   mode 1  the same with right checksums and digest
//   mode 2  a file as it was written, with damage
//
// Whatever is accepted is, byte for byte, what the writer makes of it; of a written file nothing
// but its own bytes ever comes back, and what was not touched does.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "fuzz/allocations.h"
#include "fuzz/fuzz_input.h"
#include "fuzz/seals.h"
#include "fuzz/slot_oracle.h"
#include "storage/snapshot_store.h"

namespace raftkv::storage {
namespace {

constexpr ClusterId kCluster{0x0123456789abcdef, 0xfedcba9876543210};
constexpr uint64_t kChunkHeader = 32;
constexpr uint64_t kTrailer = 48;

// A snapshot as its writer knows it.
struct Written {
  Identity owner{kCluster, 3, 1, 0, 0};
  raft::SnapshotMeta meta;
  SnapshotSource source = SnapshotSource::kLocal;
  uint32_t chunk_bytes = 64;
  std::string state;
};

Written MakeSnapshot(FuzzInput& input) {
  Written written;
  written.meta = {input.U16(), 1 + uint64_t{input.U8()}, {{1, 2, 3}, {}, {}, {}, false}};
  const uint8_t flags = input.U8();
  if ((flags & 1) != 0) written.source = SnapshotSource::kReceived;
  if ((flags & 2) != 0) written.meta.conf.learners = {4, 5};
  written.meta.conf.auto_leave = (flags & 4) != 0;
  written.chunk_bytes = 64 + (flags >> 3);
  const size_t size = input.U16() % 1000;
  for (size_t i = 0; i < size; ++i) written.state.push_back(static_cast<char>(i * 7 + flags));
  return written;
}

// What the writer makes of it.
std::string FileOf(const Written& written) {
  sim::SimDisk disk{sim::SimDisk::Options{}};
  Options options;
  options.snapshot_chunk_bytes = written.chunk_bytes;
  absl::StatusOr<std::unique_ptr<SnapshotWriter>> writer =
      SnapshotWriter::Create(disk, written.owner, options, written.source, written.meta);
  RAFTKV_CHECK(writer.ok() && (*writer)->Append(written.state).ok());
  while (!(*writer)->finished()) RAFTKV_CHECK((*writer)->FinishStep(std::nullopt).ok());
  const std::string name = SnapshotName(written.meta.index, written.source);
  std::unique_ptr<File> file = *disk.Open(name, Disk::Mode::kRead);
  std::string bytes(*file->Size(), '\0');
  RAFTKV_CHECK(*file->Read(0, bytes.data(), bytes.size()) == bytes.size());
  return bytes;
}

uint64_t HeaderBytes(absl::string_view file) {
  return 32 + uint64_t{static_cast<uint8_t>(file[16])} +
         (uint64_t{static_cast<uint8_t>(file[17])} << 8);
}

bool Same(absl::string_view one, absl::string_view other, uint64_t at, uint64_t bytes) {
  return at + bytes <= one.size() && at + bytes <= other.size() &&
         one.substr(at, bytes) == other.substr(at, bytes);
}

// All that can be read, and nullopt where a chunk is bad.
std::vector<std::optional<std::string>> ReadChunks(const SnapshotFile& snapshot, uint64_t there) {
  std::vector<std::optional<std::string>> chunks;
  for (uint64_t number = 0; number < snapshot.chunks(); ++number) {
    const AllocationWatch watch;
    absl::StatusOr<std::string> chunk = snapshot.ReadChunk(number);
    RAFTKV_CHECK(watch.largest() <= there + 512);
    if (!chunk.ok()) {
      RAFTKV_CHECK(absl::IsDataLoss(chunk.status()));
      RAFTKV_CHECK(absl::StrContains(
          chunk.status().message(),
          absl::StrCat(": offset ", snapshot.ChunkOffset(number), ": chunk ", number, " ")));
    }
    chunks.push_back(chunk.ok() ? std::optional<std::string>(*std::move(chunk)) : std::nullopt);
  }
  return chunks;
}

// Any piece: what the chunks in it say, or an error when one of them is bad.
void CheckPieces(const SnapshotFile& snapshot,
                 const std::vector<std::optional<std::string>>& chunks, FuzzInput& input) {
  const uint64_t size = snapshot.info().size;
  const uint64_t chunk_bytes = snapshot.header().chunk_bytes;
  for (int i = 0; i < 3; ++i) {
    const uint64_t offset = input.U16() % (size + 2);
    const uint64_t length = input.U16();
    const absl::StatusOr<std::string> piece = snapshot.Read(offset, length);
    if (offset > size) {
      RAFTKV_CHECK(absl::IsOutOfRange(piece.status()));
      continue;
    }
    std::string wanted;
    bool good = true;
    const uint64_t end = offset + std::min(length, size - offset);
    for (uint64_t n = offset / chunk_bytes; n * chunk_bytes < end && offset < end; ++n) {
      good &= chunks[n].has_value();
      if (!good) break;
      const uint64_t from = std::max(offset, n * chunk_bytes) - n * chunk_bytes;
      wanted += chunks[n]->substr(from, end - n * chunk_bytes - from);
    }
    RAFTKV_CHECK(piece.ok() == good);
    RAFTKV_CHECK(good ? *piece == wanted : absl::IsDataLoss(piece.status()));
  }
  RAFTKV_CHECK(absl::IsInvalidArgument(snapshot.Read(0, kMaxSnapshotChunk + 1).status()));
}

std::string AnyFile(FuzzInput& input) {
  const size_t header = input.U16() % kSnapshotHeaderBytes;
  std::string bytes(input.Bytes(header));
  const absl::string_view rest = input.Rest();
  if (rest.empty()) return bytes;
  bytes.resize(kSnapshotHeaderBytes, '\0');
  return bytes + std::string(rest);
}

// Nobody's but the writer's: encoded again it is the same.
void CheckEncodesBack(const SnapshotFile& snapshot, const std::string& bytes,
                      const std::vector<std::optional<std::string>>& chunks) {
  const SnapshotHeader& header = snapshot.header();
  Written found{header.owner, header.meta, header.source, header.chunk_bytes, ""};
  Digest digest;
  for (const std::optional<std::string>& chunk : chunks) {
    if (!chunk) return;
    digest.Add(*chunk);
    found.state += *chunk;
  }
  RAFTKV_CHECK(found.state.size() == snapshot.info().size);
  if (digest.value() != snapshot.info().digest) return;
  std::string again = FileOf(found);
  // Padding is not looked at.
  const uint64_t from = HeaderBytes(bytes);
  again.replace(from, kSnapshotHeaderBytes - from, bytes, from, kSnapshotHeaderBytes - from);
  RAFTKV_CHECK(again == bytes);
}

// `before` is what was written, `bytes` what became of it.
void CheckDamaged(const Written& written, const std::string& before, const std::string& bytes,
                  const absl::StatusOr<SnapshotFile>& opened,
                  const std::vector<std::optional<std::string>>& chunks) {
  const bool whole = bytes.size() == before.size() && Same(bytes, before, 0, HeaderBytes(before)) &&
                     Same(bytes, before, before.size() - kTrailer, kTrailer);
  RAFTKV_CHECK(opened.ok() == whole);
  if (!whole) return;
  const SnapshotHeader& header = opened->header();
  RAFTKV_CHECK(header.meta == written.meta && header.source == written.source);
  RAFTKV_CHECK(header.owner == written.owner && header.chunk_bytes == written.chunk_bytes);
  RAFTKV_CHECK(opened->info().size == written.state.size());
  for (uint64_t n = 0; n < chunks.size(); ++n) {
    const std::string chunk = written.state.substr(n * written.chunk_bytes, written.chunk_bytes);
    const bool touched = !Same(bytes, before, opened->ChunkOffset(n), kChunkHeader + chunk.size());
    RAFTKV_CHECK(chunks[n].has_value() == !touched);
    RAFTKV_CHECK(touched || *chunks[n] == chunk);
  }
}

}  // namespace
}  // namespace raftkv::storage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace raftkv::storage;
  raftkv::FuzzInput input(data, size);
  const uint8_t mode = input.U8() % 3;
  std::string pieces(input.Bytes(12));
  Written written;
  std::string before;
  std::string bytes;
  if (mode == 2) {
    written = MakeSnapshot(input);
    bytes = before = FileOf(written);
    while (raftkv::Edit(input, &bytes)) {
    }
  } else {
    bytes = AnyFile(input);
    if (mode == 1) SealSnapshot(&bytes);
  }
  const std::string name = SnapshotName(7, SnapshotSource::kLocal);
  raftkv::sim::SimDisk disk{raftkv::sim::SimDisk::Options{}};
  PutFile(disk, name, bytes);
  const raftkv::AllocationWatch watch;
  absl::StatusOr<SnapshotFile> opened = SnapshotFile::Open(disk, name, kCluster);
  RAFTKV_CHECK(watch.largest() <= 2 * kSnapshotHeaderBytes);
  std::vector<std::optional<std::string>> chunks;
  if (opened.ok()) {
    RAFTKV_CHECK(opened->header().owner.cluster == kCluster);
    // Nothing is between the last chunk and the trailer, and nothing behind that.
    const uint64_t inside = kChunkHeader * opened->chunks() + opened->info().size;
    RAFTKV_CHECK(inside <= bytes.size() && opened->end() == kSnapshotHeaderBytes + inside);
    RAFTKV_CHECK(opened->end() + kTrailer == bytes.size());
    chunks = ReadChunks(*opened, bytes.size());
    raftkv::FuzzInput places(reinterpret_cast<const uint8_t*>(pieces.data()), pieces.size());
    CheckPieces(*opened, chunks, places);
    CheckEncodesBack(*opened, bytes, chunks);
  } else {
    const absl::Status& status = opened.status();
    RAFTKV_CHECK(absl::IsDataLoss(status) || absl::IsUnimplemented(status));
    RAFTKV_CHECK(
        absl::StartsWith(status.message(), absl::StrCat(disk.Describe(), "/", name, ": ")));
  }
  if (mode == 2) CheckDamaged(written, before, bytes, opened, chunks);
  return 0;
}
