// A disk with sectors that the device cannot read: every read that touches one fails as a whole, as
// reads of real devices do. It can also run out of space where some was promised: in the middle of
// a file.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "storage/disk.h"

namespace raftkv::storage {

class UnreadableDisk final : public Disk {
 public:
  explicit UnreadableDisk(Disk& disk) : disk_(disk) {}

  void Spoil(absl::string_view name, uint64_t offset, uint64_t bytes) {
    bad_[std::string(name)].push_back({offset, offset + bytes});
  }
  void Heal() { bad_.clear(); }
  // Writes to files whose names begin so find no space; empty: no more.
  void FindNoSpaceIn(absl::string_view prefix) { no_space_ = std::string(prefix); }
  uint64_t failed_reads() const { return failed_reads_; }

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
  absl::Status SyncDir() override { return disk_.SyncDir(); }
  absl::StatusOr<std::vector<std::string>> List() override { return disk_.List(); }
  absl::StatusOr<std::unique_ptr<DirectoryLock>> Lock() override { return disk_.Lock(); }
  std::string Describe() const override { return disk_.Describe(); }

 private:
  class BadFile final : public File {
   public:
    BadFile(UnreadableDisk& disk, std::string name, std::unique_ptr<File> file)
        : disk_(disk), name_(std::move(name)), file_(std::move(file)) {}
    absl::StatusOr<size_t> Read(uint64_t offset, char* buffer, size_t length) override {
      const auto bad = disk_.bad_.find(name_);
      if (bad != disk_.bad_.end()) {
        for (const auto& [begin, end] : bad->second) {
          if (offset >= end || offset + length <= begin) continue;
          ++disk_.failed_reads_;
          return absl::DataLossError("unreadable sector");
        }
      }
      return file_->Read(offset, buffer, length);
    }
    absl::Status Write(uint64_t offset, absl::string_view bytes) override {
      if (!disk_.no_space_.empty() && absl::StartsWith(name_, disk_.no_space_)) {
        return absl::ResourceExhaustedError("no space");
      }
      return file_->Write(offset, bytes);
    }
    absl::Status Sync() override { return file_->Sync(); }
    absl::Status Truncate(uint64_t size) override { return file_->Truncate(size); }
    absl::Status Allocate(uint64_t size) override { return file_->Allocate(size); }
    absl::StatusOr<uint64_t> Size() override { return file_->Size(); }

   private:
    UnreadableDisk& disk_;
    std::string name_;
    std::unique_ptr<File> file_;
  };

  absl::StatusOr<std::unique_ptr<File>> Wrap(absl::string_view name,
                                             absl::StatusOr<std::unique_ptr<File>> file) {
    if (!file.ok()) return file.status();
    return std::make_unique<BadFile>(*this, std::string(name), *std::move(file));
  }

  Disk& disk_;
  std::map<std::string, std::vector<std::pair<uint64_t, uint64_t>>> bad_;
  std::string no_space_;
  uint64_t failed_reads_ = 0;
};

}  // namespace raftkv::storage
