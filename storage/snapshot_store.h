// Snapshots on disk, and the manifest that says which one is current and where the log begins.
// docs/formats/snapshot.md has the formats.
//
// A snapshot is written under a temporary name in chunks, each with its own checksum; finishing it
// means: sync, read everything back, rename, sync the directory. Only the manifest makes it
// current, in one atomic step.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/checksum.h"
#include "storage/disk.h"
#include "storage/slots.h"
#include "storage/storage.h"

namespace raftkv::storage {

struct Manifest {
  SnapshotInfo snapshot;
  uint64_t first_segment = 1;  // the log consists of segments from this one on
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

SlotFile ManifestFile(const ClusterId& cluster);
// nullopt when a list of the configuration has more than 256 members, or all do not fit into a
// slot.
std::optional<std::string> EncodeManifest(const Manifest& manifest);
std::optional<Manifest> DecodeManifest(absl::string_view payload);

std::string SnapshotName(raft::Index index, SnapshotSource source);
// True for the name of any snapshot file, finished or not.
bool IsSnapshotName(absl::string_view name);

// The first block of a snapshot file.
struct SnapshotHeader {
  Identity owner;  // created_ms is not stored
  raft::SnapshotMeta meta;
  SnapshotSource source = SnapshotSource::kLocal;
  uint32_t chunk_bytes = kMaxSnapshotChunk;

  uint64_t seed() const;
};

inline constexpr uint64_t kSnapshotHeaderBytes = 4096;

// A finished snapshot file.
class SnapshotFile {
 public:
  // Reads and verifies header and trailer. DataLoss and Unimplemented name the file.
  // `from_device`: this and all later reads see what the device has, not a cache.
  static absl::StatusOr<SnapshotFile> Open(Disk& disk, const std::string& name,
                                           const ClusterId& cluster, bool from_device = false);

  const SnapshotHeader& header() const { return header_; }
  const SnapshotInfo& info() const { return info_; }
  uint64_t chunks() const;
  uint64_t ChunkOffset(uint64_t number) const;  // in the file
  uint64_t end() const { return end_; }         // of the last chunk in it
  // Payload of chunk `number`, verified.
  absl::StatusOr<std::string> ReadChunk(uint64_t number) const;
  // As Storage::ReadSnapshot.
  absl::StatusOr<std::string> Read(uint64_t offset, uint64_t length) const;

 private:
  SnapshotFile() = default;

  std::string path_;
  std::unique_ptr<File> file_;
  bool from_device_ = false;
  uint64_t end_ = 0;
  SnapshotHeader header_;
  SnapshotInfo info_;
};

// Writes one snapshot file, in steps.
class SnapshotWriter {
 public:
  static absl::StatusOr<std::unique_ptr<SnapshotWriter>> Create(Disk& disk, const Identity& owner,
                                                                const Options& options,
                                                                SnapshotSource source,
                                                                const raft::SnapshotMeta& meta);

  uint64_t size() const { return size_; }
  const SnapshotHeader& header() const { return header_; }
  absl::Status Append(absl::string_view bytes);
  // One step; see Storage::FinishSnapshot. DataLoss: what was read back, or the digest, is wrong.
  absl::StatusOr<std::optional<SnapshotInfo>> FinishStep(std::optional<uint64_t> expected_digest);
  // Set once finished.
  const std::optional<SnapshotInfo>& finished() const { return finished_; }
  // True when the last error came from writing or syncing (and not from a full disk): the device is
  // not to be trusted any more.
  bool device_failed() const { return device_failed_; }
  // Removes the file. The writer must not be used afterwards.
  absl::Status Discard();

 private:
  SnapshotWriter(Disk& disk, const Options& options, SnapshotHeader header);
  absl::Status WriteChunk();
  void Refetch(uint64_t end);
  uint64_t ChunksBefore(uint64_t position) const;  // whole ones
  absl::Status Verify(uint64_t chunks);            // the first so many
  absl::Status WriteEnd();
  absl::Status Note(absl::Status status);  // remembers a failed device

  Disk& disk_;
  Options options_;
  SnapshotHeader header_;
  std::string name_;  // final
  std::unique_ptr<File> file_;
  std::string chunk_;      // bytes of the chunk that is not full yet
  uint64_t size_ = 0;      // payload bytes taken
  uint64_t position_ = 0;  // in the file
  uint64_t unsynced_ = 0;
  uint64_t refetched_ = 0;  // the device was asked for what is before this
  bool device_failed_ = false;
  Digest digest_;
  std::optional<SnapshotFile> reading_;  // set while the end is verified
  uint64_t verified_ = 0;                // chunks
  Digest verified_digest_;
  std::optional<SnapshotInfo> finished_;
};

}  // namespace raftkv::storage
