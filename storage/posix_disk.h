// Real files in one directory. The one part of storage that is not simulated.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "storage/disk.h"

namespace raftkv::storage {

class PosixDisk final : public Disk {
 public:
  enum class IfMissing { kFail, kCreate };

  // Opens the directory. NotFound when it does not exist and `if_missing` is kFail; with kCreate
  // the last component of the path is created and its parent synced. FailedPrecondition when it is
  // not a directory.
  static absl::StatusOr<std::unique_ptr<PosixDisk>> Open(const std::string& directory,
                                                         IfMissing if_missing);
  ~PosixDisk() override;

  absl::StatusOr<std::unique_ptr<File>> Open(absl::string_view name, Mode mode) override;
  absl::StatusOr<std::unique_ptr<File>> Create(absl::string_view name) override;
  absl::Status Rename(absl::string_view from, absl::string_view to) override;
  absl::Status Remove(absl::string_view name) override;
  absl::Status SyncDir() override;
  absl::StatusOr<std::vector<std::string>> List() override;
  // An flock on the file "lock", which is created when missing and stays. Gone with the process,
  // whatever ends it.
  absl::StatusOr<std::unique_ptr<DirectoryLock>> Lock() override;
  std::string Describe() const override;

 private:
  class Remover;

  PosixDisk(std::string directory, int descriptor);

  std::string directory_;
  int descriptor_;            // of the directory; every name is resolved against it
  std::vector<int> removed_;  // descriptors of large files that have no name since the last SyncDir
  // Gives the space of large files back that have no name any more; made when there is one.
  std::shared_ptr<Remover> remover_;
};

}  // namespace raftkv::storage
