// A disk that says it has synced and has not: what tests of durability must notice.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "storage/disk.h"

namespace raftkv::storage {

class LyingFile final : public File {
 public:
  LyingFile(std::unique_ptr<File> file, bool swallow) : file_(std::move(file)), swallow_(swallow) {}
  absl::StatusOr<size_t> Read(uint64_t offset, char* buffer, size_t length) override {
    return file_->Read(offset, buffer, length);
  }
  absl::Status Write(uint64_t offset, absl::string_view bytes) override {
    return file_->Write(offset, bytes);
  }
  absl::Status Sync() override { return swallow_ ? absl::OkStatus() : file_->Sync(); }
  absl::Status Truncate(uint64_t size) override { return file_->Truncate(size); }
  absl::Status Allocate(uint64_t size) override { return file_->Allocate(size); }
  absl::StatusOr<uint64_t> Size() override { return file_->Size(); }

 private:
  std::unique_ptr<File> file_;
  bool swallow_;
};

// Swallows the syncs of files whose name begins with a prefix, or those of the directory.
class LyingDisk final : public Disk {
 public:
  LyingDisk(Disk& disk, absl::string_view prefix, bool directory)
      : disk_(disk), prefix_(prefix), directory_(directory) {}

  absl::StatusOr<std::unique_ptr<File>> Open(absl::string_view name, Mode mode) override {
    return Wrap(name, disk_.Open(name, mode));
  }
  absl::StatusOr<std::unique_ptr<File>> Create(absl::string_view name) override {
    return Wrap(name, disk_.Create(name));
  }
  absl::Status Rename(absl::string_view from, absl::string_view to) override {
    return disk_.Rename(from, to);
  }
  absl::Status Remove(absl::string_view name) override { return disk_.Remove(name); }
  absl::Status SyncDir() override { return directory_ ? absl::OkStatus() : disk_.SyncDir(); }
  absl::StatusOr<std::vector<std::string>> List() override { return disk_.List(); }
  absl::StatusOr<std::unique_ptr<DirectoryLock>> Lock() override { return disk_.Lock(); }
  std::string Describe() const override { return disk_.Describe(); }

 private:
  absl::StatusOr<std::unique_ptr<File>> Wrap(absl::string_view name,
                                             absl::StatusOr<std::unique_ptr<File>> file) {
    if (!file.ok()) return file.status();
    const bool swallow = !prefix_.empty() && absl::StartsWith(name, prefix_);
    return std::make_unique<LyingFile>(*std::move(file), swallow);
  }

  Disk& disk_;
  std::string prefix_;
  bool directory_;
};

}  // namespace raftkv::storage
