#include "storage/posix_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace raftkv::storage {
namespace {

constexpr mode_t kFileMode = 0640;
constexpr mode_t kDirectoryMode = 0750;

absl::Status ErrnoStatus(int error, absl::string_view path, absl::string_view doing) {
  const std::string text = absl::StrCat(path, ": ", doing, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(text);
    case EEXIST:
      return absl::AlreadyExistsError(text);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(text);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(text);
    case ENOTDIR:
      return absl::FailedPreconditionError(text);
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::UnavailableError(text);
    default:
      return absl::DataLossError(text);
  }
}

// Calls `call` until no signal interrupts it.
template <typename Call>
auto Uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

class PosixFile final : public File {
 public:
  PosixFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  ~PosixFile() override { ::close(descriptor_); }
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;

  absl::StatusOr<size_t> Read(uint64_t offset, char* buffer, size_t length) override {
    size_t done = 0;
    while (done < length) {
      const ssize_t got = Uninterrupted([&] {
        return ::pread(descriptor_, buffer + done, length - done,
                       static_cast<off_t>(offset + done));
      });
      if (got < 0) return Failed("read");
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  absl::Status Write(uint64_t offset, absl::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t put = Uninterrupted([&] {
        return ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      });
      if (put < 0) return Failed("write");
      if (put == 0) return ErrnoStatus(EIO, path_, "write");  // no progress and no reason given
      offset += static_cast<uint64_t>(put);
      bytes.remove_prefix(static_cast<size_t>(put));
    }
    return absl::OkStatus();
  }

  // No second try, whatever the error: the kernel may have dropped the pages.
  absl::Status Sync() override {
    return ::fdatasync(descriptor_) == 0 ? absl::OkStatus() : Failed("fdatasync");
  }

  absl::Status Truncate(uint64_t size) override {
    const int result =
        Uninterrupted([&] { return ::ftruncate(descriptor_, static_cast<off_t>(size)); });
    return result == 0 ? absl::OkStatus() : Failed("truncate");
  }

  absl::Status Allocate(uint64_t size) override {
    const int result =
        Uninterrupted([&] { return ::fallocate(descriptor_, 0, 0, static_cast<off_t>(size)); });
    if (result == 0) return absl::OkStatus();
    if (errno != EOPNOTSUPP && errno != ENOSYS) return Failed("fallocate");
    // This file system cannot reserve. What is written has its space, on most of them.
    absl::StatusOr<uint64_t> now = Size();
    if (!now.ok()) return now.status();
    const std::string zeros(size_t{1} << 20, '\0');
    for (uint64_t at = *now; at < size; at += zeros.size()) {
      const uint64_t piece = std::min<uint64_t>(zeros.size(), size - at);
      if (absl::Status status = Write(at, absl::string_view(zeros).substr(0, piece)); !status.ok())
        return status;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Size() override {
    struct stat info;
    if (::fstat(descriptor_, &info) != 0) return Failed("stat");
    return static_cast<uint64_t>(info.st_size);
  }

  void StartWriting(uint64_t offset, uint64_t length) override {
    (void)::sync_file_range(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(length),
                            SYNC_FILE_RANGE_WRITE);
  }

  void Forget(uint64_t offset, uint64_t length) override {
    (void)::posix_fadvise(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(length),
                          POSIX_FADV_DONTNEED);
  }

  void StartReading(uint64_t offset, uint64_t length) override {
    (void)::posix_fadvise(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(length),
                          POSIX_FADV_WILLNEED);
  }

 private:
  absl::Status Failed(absl::string_view doing) const { return ErrnoStatus(errno, path_, doing); }

  std::string path_;
  int descriptor_;
};

class PosixLock final : public DirectoryLock {
 public:
  explicit PosixLock(int descriptor) : descriptor_(descriptor) {}
  ~PosixLock() override { ::close(descriptor_); }
  PosixLock(const PosixLock&) = delete;
  PosixLock& operator=(const PosixLock&) = delete;

 private:
  int descriptor_;
};

absl::Status SyncDirectory(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return ErrnoStatus(errno, path, "open");
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, path, "fsync");
}

std::string Parent(const std::string& directory) {
  size_t end = directory.size();
  while (end > 1 && directory[end - 1] == '/') --end;
  const size_t slash = directory.rfind('/', end - 1);
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : directory.substr(0, slash);
}

// Makes `directory` and the parents it lacks, each durably in its own parent.
absl::Status MakeDirectory(const std::string& directory) {
  if (::mkdir(directory.c_str(), kDirectoryMode) == 0) return SyncDirectory(Parent(directory));
  if (errno == EEXIST) return absl::OkStatus();
  const std::string parent = Parent(directory);
  if (errno != ENOENT || parent == directory || parent == "." || parent == "/") {
    return ErrnoStatus(errno, directory, "create directory");
  }
  absl::Status status = MakeDirectory(parent);
  return status.ok() ? MakeDirectory(directory) : status;
}

}  // namespace

// A file system takes a third of a second to free a gigabyte (ext4, measured), and whoever asked
// for it waits. So files without a name are cut shorter and shorter on a thread of their own, which
// the end of the process may overtake: what is open without a name is freed then.
class PosixDisk::Remover {
 public:
  static constexpr off_t kStepBytes = 1 << 20;
  // A gigabyte takes half a minute: where freeing space is work for the device, too, others wait
  // for that. With so many files waiting there is no pause.
  static constexpr std::chrono::milliseconds kPause{30};
  static constexpr size_t kManyFiles = 4;

  static std::shared_ptr<Remover> Start() {
    auto remover = std::make_shared<Remover>();
    // Detached: a device that hangs must not keep the process.
    std::thread([remover] { remover->Run(); }).detach();
    return remover;
  }

  void Take(int descriptor) {
    std::lock_guard<std::mutex> lock(mutex_);
    descriptors_.push_back(descriptor);
    changed_.notify_one();
  }

  void Stop() {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    changed_.notify_one();
  }

 private:
  void Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stop_ || !descriptors_.empty(); });
      if (descriptors_.empty()) return;
      const int descriptor = descriptors_.front();
      const bool hurry = stop_;
      lock.unlock();
      const bool more = !hurry && Shorten(descriptor);
      if (!more) ::close(descriptor);
      lock.lock();
      if (!more) descriptors_.pop_front();
      if (more && descriptors_.size() < kManyFiles)
        changed_.wait_for(lock, kPause, [this] { return stop_; });
    }
  }

  // False when the rest goes with the descriptor.
  static bool Shorten(int descriptor) {
    struct stat info;
    return ::fstat(descriptor, &info) == 0 && info.st_size > kStepBytes &&
           ::ftruncate(descriptor, info.st_size - kStepBytes) == 0;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<int> descriptors_;  // guarded by mutex_, like stop_
  bool stop_ = false;
};

absl::StatusOr<std::unique_ptr<PosixDisk>> PosixDisk::Open(const std::string& directory,
                                                           IfMissing if_missing) {
  if (if_missing == IfMissing::kCreate) {
    if (absl::Status status = MakeDirectory(directory); !status.ok()) return status;
  }
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return ErrnoStatus(errno, directory, "open directory");
  return std::unique_ptr<PosixDisk>(new PosixDisk(directory, descriptor));
}

PosixDisk::PosixDisk(std::string directory, int descriptor)
    : directory_(std::move(directory)), descriptor_(descriptor) {}

PosixDisk::~PosixDisk() {
  for (const int descriptor : removed_) ::close(descriptor);
  if (remover_ != nullptr) remover_->Stop();
  ::close(descriptor_);
}

absl::StatusOr<std::unique_ptr<File>> PosixDisk::Open(absl::string_view name, Mode mode) {
  const int flags = (mode == Mode::kRead ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW;
  const std::string file(name);
  const std::string path = absl::StrCat(directory_, "/", name);
  const int descriptor = Uninterrupted([&] { return ::openat(descriptor_, file.c_str(), flags); });
  if (descriptor < 0) return ErrnoStatus(errno, path, "open");
  return std::make_unique<PosixFile>(path, descriptor);
}

absl::StatusOr<std::unique_ptr<File>> PosixDisk::Create(absl::string_view name) {
  const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  const std::string file(name);
  const std::string path = absl::StrCat(directory_, "/", name);
  const int descriptor =
      Uninterrupted([&] { return ::openat(descriptor_, file.c_str(), flags, kFileMode); });
  if (descriptor < 0) return ErrnoStatus(errno, path, "create");
  return std::make_unique<PosixFile>(path, descriptor);
}

absl::Status PosixDisk::Rename(absl::string_view from, absl::string_view to) {
  const std::string old_name(from);
  const std::string new_name(to);
  if (::renameat(descriptor_, old_name.c_str(), descriptor_, new_name.c_str()) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus(errno, absl::StrCat(directory_, "/", from), absl::StrCat("rename to ", to));
}

absl::Status PosixDisk::Remove(absl::string_view name) {
  const std::string file(name);
  // Opened so that the name's going is not the file's going.
  const int descriptor =
      ::openat(descriptor_, file.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  const int error = ::unlinkat(descriptor_, file.c_str(), 0) == 0 ? 0 : errno;
  struct stat info;
  if (error == 0 && descriptor >= 0 && ::fstat(descriptor, &info) == 0 && info.st_nlink == 0 &&
      S_ISREG(info.st_mode) && info.st_size > Remover::kStepBytes) {
    removed_.push_back(descriptor);
  } else if (descriptor >= 0) {
    ::close(descriptor);
  }
  return error == 0 ? absl::OkStatus()
                    : ErrnoStatus(error, absl::StrCat(directory_, "/", name), "remove");
}

absl::Status PosixDisk::SyncDir() {
  if (::fsync(descriptor_) != 0) return ErrnoStatus(errno, directory_, "fsync");
  // Not before: a name that comes back after a crash comes back with all of its file.
  if (!removed_.empty() && remover_ == nullptr) remover_ = Remover::Start();
  for (const int descriptor : std::exchange(removed_, {})) remover_->Take(descriptor);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> PosixDisk::List() {
  // A descriptor of its own: reading moves its position.
  const int descriptor = ::openat(descriptor_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return ErrnoStatus(errno, directory_, "open directory");
  DIR* stream = ::fdopendir(descriptor);
  if (stream == nullptr) {
    const int error = errno;
    ::close(descriptor);
    return ErrnoStatus(error, directory_, "list");
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    struct stat info;
    if (::fstatat(descriptor_, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(info.st_mode)) {
      names.push_back(name);
    }
    errno = 0;
  }
  const int error = errno;
  ::closedir(stream);
  if (error != 0) return ErrnoStatus(error, directory_, "list");
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::unique_ptr<DirectoryLock>> PosixDisk::Lock() {
  const std::string path = absl::StrCat(directory_, "/lock");
  const int descriptor = Uninterrupted([&] {
    return ::openat(descriptor_, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kFileMode);
  });
  if (descriptor < 0) return ErrnoStatus(errno, path, "open");
  const int result = Uninterrupted([&] { return ::flock(descriptor, LOCK_EX | LOCK_NB); });
  if (result != 0) {
    const int error = errno;
    ::close(descriptor);
    if (error == EWOULDBLOCK) {
      return absl::UnavailableError(
          absl::StrCat(directory_, ": in use by another process, which holds ", path));
    }
    return ErrnoStatus(error, path, "lock");
  }
  return std::make_unique<PosixLock>(descriptor);
}

std::string PosixDisk::Describe() const { return directory_; }

}  // namespace raftkv::storage
