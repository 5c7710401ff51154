#include "cmd/sim/results.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cmd/sim/child.h"

namespace raftkv::sim {
namespace {

absl::Status Failed(absl::string_view what, const std::string& name) {
  const std::string text = absl::StrCat("cannot ", what, " ", name, ": ", std::strerror(errno));
  return errno == ENOENT ? absl::NotFoundError(text) : absl::UnavailableError(text);
}

constexpr size_t kMostBytes = 1 << 30;

absl::StatusOr<std::string> ReadAll(int fd, const std::string& name) {
  std::string text;
  char piece[65'536];
  for (;;) {
    const ssize_t got = read(fd, piece, sizeof(piece));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failed("read", name);
    if (got == 0) return text;
    text.append(piece, static_cast<size_t>(got));
    if (text.size() > kMostBytes) {
      return absl::InvalidArgumentError(absl::StrCat("cannot read ", name, ": more than 1 GiB"));
    }
  }
}

absl::Status WriteAll(int fd, const std::string& name, absl::string_view bytes) {
  return sim::WriteAll(fd, bytes) ? absl::OkStatus() : Failed("write", name);
}

absl::Status Refuse(const std::string& name, size_t line, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(name, ":", line, ": ", why));
}

// What a process or a machine that died leaves behind the last whole line: the beginning of a line
// of ours, or a block that was allocated and not written.
bool IsTorn(absl::string_view rest) {
  constexpr size_t kBlock = 64 << 10;
  if (rest.size() > kBlock) return false;
  const std::string ours = absl::StrCat(kResultBegins, kResultFormat, ",\"version\":\"");
  return absl::StartsWith(ours, rest.substr(0, ours.size())) ||
         rest.find_first_not_of('\0') == absl::string_view::npos;
}

bool IsDevice(const std::string& name) {
  std::error_code ignored;
  return std::filesystem::is_character_file(name, ignored);
}

// Whether they are one file, be it there or not.
bool AreOne(const std::string& one, const std::string& other) {
  std::error_code ignored;
  if (std::filesystem::equivalent(one, other, ignored)) return true;
  const auto whole = [&ignored](const std::string& name) {
    return std::filesystem::weakly_canonical(std::filesystem::absolute(name, ignored), ignored);
  };
  return whole(one) == whole(other);
}

}  // namespace

void ResultSet::Add(const std::string& where, const ResultLine& line) {
  const auto [at, first] = origins_[line.origin].try_emplace(line.result.seed, line.result);
  std::string& before = where_[line.origin][line.result.seed];
  if (first) {
    before = where;
    return;
  }
  SeedResult& known = at->second;
  ++repeated_;
  std::string difference = DifferenceOf(known, line.result);
  if (known.hash != line.result.hash) {
    difference = absl::StrFormat("hash %016x and %016x%s%s", known.hash, line.result.hash,
                                 difference.empty() ? "" : ", ", difference);
  }
  if (difference.empty()) {
    if (!known.twice && line.result.twice) known = line.result;
    return;
  }
  disagreements_.push_back(absl::StrCat("seed ", known.seed, " of ", Name(line.origin.profile),
                                        " is another run in ", before, " than in ", where, ": ",
                                        difference));
}

absl::StatusOr<ResultsText> ParseResults(const std::string& name, absl::string_view text) {
  ResultsText results;
  while (results.whole_bytes < text.size()) {
    const absl::string_view rest = text.substr(results.whole_bytes);
    const size_t end = rest.find('\n');
    const size_t number = results.lines.size() + 1;
    if (end == absl::string_view::npos) {
      if (IsTorn(rest)) break;
      return Refuse(name, number, "not a result of a sweep");
    }
    absl::StatusOr<ResultLine> line = ParseResultLine(rest.substr(0, end));
    if (!line.ok()) return Refuse(name, number, line.status().message());
    results.lines.push_back(*std::move(line));
    results.whole_bytes += end + 1;
  }
  return results;
}

absl::StatusOr<std::string> ReadWholeFile(const std::string& name) {
  const int fd = open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Failed("read", name);
  absl::StatusOr<std::string> text = ReadAll(fd, name);
  close(fd);
  return text;
}

absl::Status CheckWritable(const std::string& name) {
  if (name.empty()) return absl::OkStatus();
  int fd = open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd >= 0) {
    unlink(name.c_str());
  } else if (errno == EEXIST) {
    fd = open(name.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  }
  if (fd < 0) return Failed("write", name);
  close(fd);
  return absl::OkStatus();
}

absl::Status CheckDistinct(const std::vector<std::string>& written,
                           const std::vector<std::string>& read) {
  for (size_t i = 0; i < written.size(); ++i) {
    if (written[i].empty() || IsDevice(written[i])) continue;
    for (size_t other = i + 1; other < written.size(); ++other) {
      if (written[other].empty() || !AreOne(written[i], written[other])) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(written[i], " and ", written[other], " are one file, for two things"));
    }
    for (const std::string& name : read) {
      if (!AreOne(written[i], name)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(written[i], " is one of the files to be read, and would be overwritten"));
    }
  }
  return absl::OkStatus();
}

absl::Status WriteWholeFile(const std::string& name, absl::string_view bytes) {
  const int fd = open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return Failed("write", name);
  const absl::Status status = WriteAll(fd, name, bytes);
  if (close(fd) != 0 && status.ok()) return Failed("write", name);
  return status;
}

absl::StatusOr<std::unique_ptr<ResultsFile>> ResultsFile::Open(const std::string& name,
                                                               const ResultOrigin& origin) {
  const int fd = open(name.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) return Failed("write", name);
  std::unique_ptr<ResultsFile> file(new ResultsFile(name, fd, origin));
  struct stat about = {};
  if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is no regular file: results are read again when a sweep goes on"));
  }
  if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return absl::UnavailableError(absl::StrCat("another sweep writes to ", name));
  }
  if (absl::Status status = file->Load(); !status.ok()) return status;
  return file;
}

absl::Status ResultsFile::Load() {
  const absl::StatusOr<std::string> text = ReadAll(fd_, name_);
  if (!text.ok()) return text.status();
  absl::StatusOr<ResultsText> results = ParseResults(name_, *text);
  if (!results.ok()) return results.status();
  ResultSet set;
  for (size_t i = 0; i < results->lines.size(); ++i) {
    const ResultLine& line = results->lines[i];
    if (line.origin.version != origin_.version) {
      return Refuse(name_, i + 1,
                    absl::StrCat("written by version ", line.origin.version, ", and this is ",
                                 origin_.version));
    }
    if (line.origin.profile != origin_.profile) {
      return Refuse(name_, i + 1,
                    absl::StrCat("a result of profile ", Name(line.origin.profile),
                                 ", and this sweep is of ", Name(origin_.profile)));
    }
    set.Add(absl::StrCat(name_, ":", i + 1), line);
  }
  disagreements_ = set.disagreements();
  if (!set.origins().empty()) recorded_ = set.origins().begin()->second;
  const uint64_t torn = text->size() - results->whole_bytes;
  if (torn == 0) return absl::OkStatus();
  if (ftruncate(fd_, static_cast<off_t>(results->whole_bytes)) != 0) return Failed("cut", name_);
  remark_ = absl::StrCat("the last line of ", name_, " was cut off in writing; its ", torn,
                         " bytes are taken away, and its seed is run again");
  return absl::OkStatus();
}

ResultsFile::~ResultsFile() { close(fd_); }

absl::Status ResultsFile::Append(const SeedResult& result) {
  return WriteAll(fd_, name_, ToLine(origin_, result) + "\n");
}

}  // namespace raftkv::sim
