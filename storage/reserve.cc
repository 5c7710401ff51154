#include "storage/reserve.h"

namespace raftkv::storage {
namespace {

absl::StatusOr<std::unique_ptr<File>> CreateWithSpace(Disk& disk, const std::string& name,
                                                      uint64_t bytes) {
  absl::StatusOr<std::unique_ptr<File>> file = disk.Create(name);
  if (!file.ok()) return file;
  absl::Status status = (*file)->Allocate(bytes);
  if (status.ok()) return file;
  if (!absl::IsResourceExhausted(status)) return status;
  // Should the removal fail too, the next start sees to it. What it got goes with its name, and
  // that with the sync.
  if (disk.Remove(name).ok()) {
    if (absl::Status synced = disk.SyncDir(); !synced.ok()) return synced;
  }
  return status;
}

}  // namespace

absl::Status Reserve::Fill() {
  if (held_) return absl::OkStatus();
  // One of an earlier run of the process may be there. A crash may have taken its space away.
  absl::StatusOr<std::unique_ptr<File>> file = disk_.Open(kReserveName, Disk::Mode::kReadWrite);
  if (file.ok()) {
    absl::StatusOr<uint64_t> size = (*file)->Size();
    if (!size.ok()) return size.status();
    if (*size == bytes_) {
      absl::Status status = (*file)->Allocate(bytes_);
      if (!absl::IsResourceExhausted(status)) return status.ok() ? Hold(**file) : status;
    }
    if (absl::Status status = disk_.Remove(kReserveName); !status.ok()) return status;
  } else if (!absl::IsNotFound(file.status())) {
    return file.status();
  }
  file = CreateWithSpace(disk_, kReserveName, bytes_);
  if (!file.ok()) return file.status();
  return Hold(**file);
}

// Whoever made it may have been killed in front of this.
absl::Status Reserve::Hold(File& file) {
  absl::Status status = file.Sync();
  if (status.ok()) status = disk_.SyncDir();
  held_ = status.ok();
  return status;
}

absl::StatusOr<std::unique_ptr<File>> Reserve::CreateFile(const std::string& name, uint64_t bytes) {
  absl::StatusOr<std::unique_ptr<File>> file = CreateWithSpace(disk_, name, bytes);
  if (!absl::IsResourceExhausted(file.status()) || !held_ || bytes > bytes_) return file;
  if (absl::Status status = disk_.Rename(kReserveName, name); !status.ok()) return status;
  held_ = false;
  return disk_.Open(name, Disk::Mode::kReadWrite);
}

}  // namespace raftkv::storage
