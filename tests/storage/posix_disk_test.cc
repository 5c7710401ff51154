#include "storage/posix_disk.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/storage.h"
#include "tests/storage/recovery_model.h"

namespace raftkv::storage {
namespace {

using ::testing::HasSubstr;

class PosixDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "raftkv-disk-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    absl::StatusOr<std::unique_ptr<PosixDisk>> disk =
        PosixDisk::Open(directory_, PosixDisk::IfMissing::kFail);
    ASSERT_TRUE(disk.ok()) << disk.status();
    disk_ = *std::move(disk);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string directory_;
  std::unique_ptr<PosixDisk> disk_;
};

TEST_F(PosixDiskTest, FilesAreCreatedWrittenReadAndListed) {
  absl::StatusOr<std::unique_ptr<File>> file = disk_->Create("b");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Write(3, "hello").ok());
  ASSERT_TRUE((*file)->Sync().ok());
  EXPECT_EQ(*(*file)->Size(), 8u);
  char buffer[16];
  EXPECT_EQ(*(*file)->Read(0, buffer, sizeof(buffer)), 8u);
  EXPECT_EQ(std::string(buffer, 8), std::string("\0\0\0hello", 8));
  EXPECT_EQ(*(*file)->Read(8, buffer, sizeof(buffer)), 0u);
  EXPECT_EQ(*(*file)->Read(100, buffer, sizeof(buffer)), 0u);
  ASSERT_TRUE((*file)->Allocate(10000).ok());
  EXPECT_EQ(*(*file)->Size(), 10000u);
  ASSERT_TRUE((*file)->Allocate(50).ok());
  EXPECT_EQ(*(*file)->Size(), 10000u) << "allocating never shrinks";
  ASSERT_TRUE((*file)->Truncate(5).ok());
  EXPECT_EQ(*(*file)->Size(), 5u);

  ASSERT_TRUE(disk_->Create("a").ok());
  EXPECT_TRUE(absl::IsAlreadyExists(disk_->Create("a").status()));
  EXPECT_EQ(*disk_->List(), (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(disk_->Rename("b", "a").ok());
  EXPECT_EQ(*disk_->List(), std::vector<std::string>{"a"});
  EXPECT_EQ(*(*file)->Size(), 5u) << "an open file survives its name";
  ASSERT_TRUE(disk_->Remove("a").ok());
  EXPECT_TRUE(absl::IsNotFound(disk_->Remove("a")));
  EXPECT_TRUE(absl::IsNotFound(disk_->Open("a", Disk::Mode::kRead).status()));
  EXPECT_TRUE(absl::IsNotFound(disk_->Rename("a", "b")));
  EXPECT_TRUE(disk_->SyncDir().ok());
}

TEST_F(PosixDiskTest, ErrorsNameTheFile) {
  EXPECT_THAT(std::string(disk_->Open("nothing", Disk::Mode::kRead).status().message()),
              HasSubstr(directory_ + "/nothing"));
  absl::StatusOr<std::unique_ptr<PosixDisk>> missing =
      PosixDisk::Open(directory_ + "/x/y", PosixDisk::IfMissing::kFail);
  EXPECT_TRUE(absl::IsNotFound(missing.status()));
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("x/y"));
  std::ofstream(directory_ + "/plain") << "file";
  EXPECT_TRUE(absl::IsFailedPrecondition(
      PosixDisk::Open(directory_ + "/plain", PosixDisk::IfMissing::kFail).status()));
}

TEST_F(PosixDiskTest, MissingParentsAreMadeToo) {
  EXPECT_TRUE(PosixDisk::Open(directory_ + "/p/q/r", PosixDisk::IfMissing::kCreate).ok());
  EXPECT_TRUE(PosixDisk::Open(directory_ + "/p/q/r", PosixDisk::IfMissing::kFail).ok());
  std::ofstream(directory_ + "/plain") << "file";
  EXPECT_FALSE(PosixDisk::Open(directory_ + "/plain/r", PosixDisk::IfMissing::kCreate).ok());
}

TEST_F(PosixDiskTest, TheDirectoryIsMadeOnRequest) {
  const std::string inner = directory_ + "/inner";
  EXPECT_TRUE(absl::IsNotFound(PosixDisk::Open(inner, PosixDisk::IfMissing::kFail).status()));
  EXPECT_TRUE(PosixDisk::Open(inner, PosixDisk::IfMissing::kCreate).ok());
  EXPECT_TRUE(PosixDisk::Open(inner, PosixDisk::IfMissing::kCreate).ok());
  EXPECT_TRUE(disk_->List()->empty()) << "directories are not files";
}

TEST_F(PosixDiskTest, ASymbolicLinkIsNotFollowed) {
  ASSERT_EQ(::symlink("/etc/passwd", (directory_ + "/vote").c_str()), 0);
  EXPECT_FALSE(disk_->Open("vote", Disk::Mode::kRead).ok());
}

TEST_F(PosixDiskTest, AFullDeviceIsResourceExhausted) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  absl::StatusOr<std::unique_ptr<PosixDisk>> dev =
      PosixDisk::Open("/dev", PosixDisk::IfMissing::kFail);
  ASSERT_TRUE(dev.ok());
  absl::StatusOr<std::unique_ptr<File>> full = (*dev)->Open("full", Disk::Mode::kReadWrite);
  ASSERT_TRUE(full.ok()) << full.status();
  EXPECT_TRUE(absl::IsResourceExhausted((*full)->Write(0, "x")));
}

// A limit of the process takes the first part of a write, says so, and refuses the rest.
TEST_F(PosixDiskTest, AWriteThatIsCutShortIsNoSuccess) {
  std::unique_ptr<File> file = *disk_->Create("short");
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit limit = before;
  limit.rlim_cur = 1000;
  ASSERT_NE(::signal(SIGXFSZ, SIG_IGN), SIG_ERR);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  const absl::Status status = file->Write(600, std::string(1000, 'w'));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(*file->Size(), 1000u) << "the system has taken the first part";
}

// Files of /proc give a page or so at a time, however much is asked for.
TEST_F(PosixDiskTest, AReadGoesOnUntilTheBufferIsFullOrTheFileEnds) {
  constexpr char kLong[] = "smaps";
  std::string buffer(64 << 10, '\0');
  const int descriptor = ::open((std::string("/proc/self/") + kLong).c_str(), O_RDONLY);
  if (descriptor < 0) GTEST_SKIP() << "no /proc here";
  const ssize_t once = ::pread(descriptor, buffer.data(), buffer.size(), 0);
  const ssize_t more = ::pread(descriptor, buffer.data(), 100, once);
  ::close(descriptor);
  if (once <= 0 || more < 100 || static_cast<size_t>(once) + 100 > buffer.size())
    GTEST_SKIP() << "one call reads all of it here";
  std::unique_ptr<PosixDisk> proc = *PosixDisk::Open("/proc/self", PosixDisk::IfMissing::kFail);
  std::unique_ptr<File> file = *proc->Open(kLong, Disk::Mode::kRead);
  absl::StatusOr<size_t> got = file->Read(0, buffer.data(), static_cast<size_t>(once) + 100);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(*got, static_cast<size_t>(once) + 100);
}

TEST_F(PosixDiskTest, WhatWasReadStaysAsItWas) {
  const std::unique_ptr<File> file = *disk_->Create("a");
  ASSERT_TRUE(file->Write(0, "0123456789").ok());
  const Bytes middle = *file->ReadBytes(3, 4);
  const Bytes end = *file->ReadBytes(6, 100);
  EXPECT_EQ((*file->ReadBytes(10, 100)).size(), 0u);
  EXPECT_EQ((*file->ReadBytes(11, 100)).size(), 0u);
  ASSERT_TRUE(file->Write(0, "abcdefghij").ok());
  EXPECT_EQ(absl::string_view(middle), "3456");
  EXPECT_EQ(absl::string_view(end), "6789");
  EXPECT_EQ(absl::string_view(*file->ReadBytes(0, 10)), "abcdefghij");
}

// The space of a large file comes back bit by bit, and not before its name is gone for good: a
// crash may bring the name back.
TEST_F(PosixDiskTest, ALargeFileIsFreedOnceItsRemovalIsDurable) {
  constexpr uint64_t kSize = 5 << 20;
  for (const char* name : {"large", "small"}) {
    std::unique_ptr<File> made = *disk_->Create(name);
    ASSERT_TRUE(made->Write(0, std::string(name[0] == 'l' ? kSize : 100, 'x')).ok());
  }
  std::unique_ptr<File> large = *disk_->Open("large", Disk::Mode::kRead);
  std::unique_ptr<File> small = *disk_->Open("small", Disk::Mode::kRead);
  ASSERT_TRUE(disk_->Remove("large").ok());
  ASSERT_TRUE(disk_->Remove("small").ok());
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(*large->Size(), kSize);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_TRUE(disk_->SyncDir().ok());
  for (int i = 0; i < 1'000 && *large->Size() > kSize / 2; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_LE(*large->Size(), kSize / 2);
  EXPECT_EQ(*small->Size(), 100u);
  disk_.reset();  // with something left to be freed
}

TEST_F(PosixDiskTest, TheLockKeepsOthersOut) {
  absl::StatusOr<std::unique_ptr<DirectoryLock>> first = disk_->Lock();
  ASSERT_TRUE(first.ok());
  std::unique_ptr<PosixDisk> other = *PosixDisk::Open(directory_, PosixDisk::IfMissing::kFail);
  absl::StatusOr<std::unique_ptr<DirectoryLock>> second = other->Lock();
  EXPECT_TRUE(absl::IsUnavailable(second.status()));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(directory_));
  first->reset();
  EXPECT_TRUE(other->Lock().ok());
}

TEST_F(PosixDiskTest, StorageLivesOnRealFiles) {
  const raft::SnapshotMeta founding{1, 1, {{1}, {}, {}, {}, false}};
  ASSERT_TRUE(Storage::Init(*disk_, TestIdentity(), {founding, "state"}).ok());
  for (raft::Index round = 0; round < 3; ++round) {
    absl::StatusOr<std::unique_ptr<Storage>> storage = Storage::Open(*disk_, SmallOptions());
    ASSERT_TRUE(storage.ok()) << storage.status();
    Recovered recovered = (*storage)->TakeRecovered();
    EXPECT_EQ(recovered.entries.size(), 50 * round);
    for (int i = 0; i < 50; ++i) {
      raft::PersistJob job;
      job.hard_state = raft::HardState{round + 1, 1};
      job.writes_log = true;
      job.keep_through = (*storage)->last_index();
      job.entries = {MakeEntry(round + 1, job.keep_through + 1, std::string(500, 'e'))};
      ASSERT_TRUE((*storage)->Persist(job).ok());
    }
  }
}

TEST_F(PosixDiskTest, ALockedDirectoryIsRefused) {
  ASSERT_TRUE(Storage::Init(*disk_, TestIdentity(), {}).ok());
  absl::StatusOr<std::unique_ptr<Storage>> first = Storage::Open(*disk_, SmallOptions());
  ASSERT_TRUE(first.ok());
  std::unique_ptr<PosixDisk> other = *PosixDisk::Open(directory_, PosixDisk::IfMissing::kFail);
  EXPECT_TRUE(absl::IsUnavailable(Storage::Open(*other, SmallOptions()).status()));
  EXPECT_TRUE(absl::IsUnavailable(Storage::Init(*other, TestIdentity(), {})));
}

// Root may write to any directory of a real file system, but not to sysfs.
TEST_F(PosixDiskTest, AReadOnlyDirectoryIsRefused) {
  absl::StatusOr<std::unique_ptr<PosixDisk>> disk;
  if (::geteuid() == 0) {
    disk = PosixDisk::Open("/sys/kernel", PosixDisk::IfMissing::kFail);
    if (!disk.ok()) GTEST_SKIP() << "root, and no sysfs to be refused by";
  } else {
    ASSERT_EQ(::chmod(directory_.c_str(), 0500), 0);
    disk = PosixDisk::Open(directory_, PosixDisk::IfMissing::kFail);
  }
  ASSERT_TRUE(disk.ok()) << disk.status();
  const absl::Status status = Storage::Init(**disk, TestIdentity(), {});
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr((*disk)->Describe()));
  ::chmod(directory_.c_str(), 0700);
}

TEST_F(PosixDiskTest, GarbageIsRefused) {
  std::ofstream(directory_ + "/holiday.jpg") << "not a log";
  EXPECT_TRUE(absl::IsDataLoss(Storage::Open(*disk_, SmallOptions()).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(Storage::Init(*disk_, TestIdentity(), {})));
}

TEST_F(PosixDiskTest, AnEmptyDirectoryIsNotInitialised) {
  EXPECT_TRUE(absl::IsNotFound(Storage::Open(*disk_, SmallOptions()).status()));
}

}  // namespace
}  // namespace raftkv::storage
