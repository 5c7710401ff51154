// The disk as storage sees it: one flat directory, blocking calls, no hidden cache of ours.
//
// Two implementations: PosixDisk (real files) and sim::SimDisk (memory, with a crash model). The
// contract is what POSIX promises and no more, because the simulated disk takes away everything
// else at a crash:
//   - bytes written are durable only after Sync() of that file returned OK; before that any sector
//     of them may be lost, kept or torn, in any combination;
//   - a name that was created, renamed or removed is durable only after SyncDir() returned OK;
//   - a failed Sync() is final: what was written since the last good one may be gone although reads
//     still show it, and a later Sync() that returns OK proves nothing about it.
//
// Errors: NotFound, AlreadyExists (names); PermissionDenied (read-only file system, rights);
// ResourceExhausted (no space, no quota); Unavailable (locked by another process); DataLoss (the
// device reported an I/O error). Aborted is reserved for the simulator: the power went off (see
// sim::IsCrash). A call that failed may have done part of its work.
//
// Threads: a Disk and its files belong to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace raftkv::storage {

// What was read. Copies of it share the bytes, which stay as they are whatever becomes of the file.
class Bytes {
 public:
  Bytes() = default;
  // As long as somebody holds `owner`, `view` is there and does not change.
  Bytes(std::shared_ptr<const void> owner, absl::string_view view)
      : owner_(std::move(owner)), view_(view) {}
  explicit Bytes(std::string bytes) {
    const auto owner = std::make_shared<const std::string>(std::move(bytes));
    view_ = *owner;
    owner_ = owner;
  }

  // Whoever reads bytes takes a view of them.
  operator absl::string_view() const { return view_; }  // NOLINT(google-explicit-constructor)
  size_t size() const { return view_.size(); }
  // The first `size` of them, or all when there are not so many.
  Bytes First(size_t size) const { return {owner_, view_.substr(0, size)}; }

 private:
  std::shared_ptr<const void> owner_;
  absl::string_view view_;
};

// An open file. Stays usable when its name is renamed; when it is removed, its bytes may go at any
// time after the SyncDir that makes this durable. Closing does not sync.
class File {
 public:
  virtual ~File() = default;

  // Reads up to `length` bytes at `offset`; less only at the end of the file (0 at or behind it).
  virtual absl::StatusOr<size_t> Read(uint64_t offset, char* buffer, size_t length) = 0;
  // The same, and the file says where the bytes are: what a disk has in memory is not copied.
  virtual absl::StatusOr<Bytes> ReadBytes(uint64_t offset, size_t length) {
    const std::shared_ptr<char[]> buffer = std::make_shared_for_overwrite<char[]>(length);
    const absl::StatusOr<size_t> got = Read(offset, buffer.get(), length);
    if (!got.ok()) return got.status();
    return Bytes(buffer, {buffer.get(), *got});
  }
  // Writes all of `bytes` at `offset`, extending the file with zeros when needed.
  virtual absl::Status Write(uint64_t offset, absl::string_view bytes) = 0;
  // Makes contents and size durable (fdatasync).
  virtual absl::Status Sync() = 0;
  virtual absl::Status Truncate(uint64_t size) = 0;
  // Reserves space for the first `size` bytes and makes the file at least that long; new bytes read
  // as zeros. Afterwards a write inside that range does not fail for lack of space on file systems
  // that can promise it.
  virtual absl::Status Allocate(uint64_t size) = 0;
  virtual absl::StatusOr<uint64_t> Size() = 0;
  // The device begins to write what was written of these bytes, and nobody waits for it: a later
  // Sync has less to do. Promises nothing.
  virtual void StartWriting(uint64_t /*offset*/, uint64_t /*length*/) {}
  // They will be read soon: the device begins now. Promises nothing.
  virtual void StartReading(uint64_t /*offset*/, uint64_t /*length*/) {}
  // What was synced of these bytes is read from the device next time, not from a cache, as far as
  // the system can do that.
  virtual void Forget(uint64_t /*offset*/, uint64_t /*length*/) {}
};

// Held until destroyed.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

// One directory. Names have no slashes.
class Disk {
 public:
  enum class Mode { kRead, kReadWrite };

  virtual ~Disk() = default;

  virtual absl::StatusOr<std::unique_ptr<File>> Open(absl::string_view name, Mode mode) = 0;
  // A new empty file; AlreadyExists when the name is taken.
  virtual absl::StatusOr<std::unique_ptr<File>> Create(absl::string_view name) = 0;
  // Atomic; replaces `to` if it exists.
  virtual absl::Status Rename(absl::string_view from, absl::string_view to) = 0;
  virtual absl::Status Remove(absl::string_view name) = 0;
  virtual absl::Status SyncDir() = 0;
  // Sorted names of the regular files.
  virtual absl::StatusOr<std::vector<std::string>> List() = 0;
  // Keeps other processes out. Unavailable when another holder exists.
  virtual absl::StatusOr<std::unique_ptr<DirectoryLock>> Lock() = 0;
  // For error messages: the path of the directory.
  virtual std::string Describe() const = 0;
};

}  // namespace raftkv::storage
