#include "cmd/sim/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <type_traits>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "sim/check/text_format.h"
#include "sim/picture/chrome_trace.h"
#include "sim/picture/columns.h"
#include "sim/picture/page.h"
#include "sim/picture/recording.h"

namespace raftkv::sim {
namespace {

// One result on its way from child to parent: both are the same program, so memory is a format.
struct Head {
  uint64_t seed;
  uint64_t hash;
  RunCounters counters;
  uint64_t violation_bytes;
  uint64_t problem_bytes;
};
static_assert(std::is_trivially_copyable_v<Head>);

// A seed takes a fraction of a second, a few seconds with sanitizers. One that takes this long
// hangs.
constexpr unsigned kPatienceSeconds = 300;

bool WriteAll(int fd, const void* bytes, size_t size) {
  const char* at = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t written = write(fd, at, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    at += written;
    size -= static_cast<size_t>(written);
  }
  return true;
}

bool ReadAll(int fd, void* bytes, size_t size) {
  char* at = static_cast<char*>(bytes);
  while (size > 0) {
    const ssize_t got = read(fd, at, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

// Everything that is left in a pipe whose other end is closed, or at least the last of it.
std::string Drain(int fd) {
  std::string text;
  char piece[4096];
  for (;;) {
    const ssize_t got = read(fd, piece, sizeof(piece));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(piece, static_cast<size_t>(got));
  }
}

std::string Serialise(uint64_t seed, const RunReport& report, const std::string& problem) {
  const std::string violation =
      report.violation.has_value() ? FormatViolation(*report.violation) : std::string();
  const Head head{seed, report.hash, report.counters, violation.size(), problem.size()};
  std::string bytes(reinterpret_cast<const char*>(&head), sizeof(head));
  return bytes + violation + problem;
}

std::optional<SeedResult> Parse(const std::string& bytes) {
  Head head;
  if (bytes.size() < sizeof(head)) return std::nullopt;
  std::memcpy(&head, bytes.data(), sizeof(head));
  if (bytes.size() < sizeof(head) + head.violation_bytes + head.problem_bytes) return std::nullopt;
  return SeedResult{head.seed, head.hash, head.counters,
                    bytes.substr(sizeof(head), head.violation_bytes),
                    bytes.substr(sizeof(head) + head.violation_bytes, head.problem_bytes)};
}

std::string HowItEnded(int status, const std::string& said) {
  const std::string how = WIFSIGNALED(status)
                              ? absl::StrCat("ended by signal ", WTERMSIG(status), " (",
                                             strsignal(WTERMSIG(status)), ")")
                              : absl::StrCat("ended with exit code ", WEXITSTATUS(status));
  const std::string text =
      absl::StrReplaceAll(absl::StripAsciiWhitespace(said.substr(0, 2'000)), {{"\n", " | "}});
  return absl::StrCat("the process ", how, text.empty() ? "" : ": ", text);
}

std::string Violated(const std::string& how_it_ended) {
  const OracleInfo& info = InfoOf(Oracle::kCrashFree);
  return absl::StrCat("VIOLATION ", info.id, " ", info.name, ": ", how_it_ended);
}

int WaitFor(pid_t process) {
  int status = 0;
  while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

Worker::~Worker() { End(); }

void Worker::End() {
  if (process_ >= 0) {
    kill(process_, SIGKILL);
    WaitFor(process_);
  }
  for (int* fd : {&seeds_, &results_, &said_}) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
  process_ = -1;
  seed_.reset();
  buffer_.clear();
}

bool Worker::Start() {
  int seeds[2], results[2], said[2];
  if (pipe2(seeds, O_CLOEXEC) != 0) return false;
  if (pipe2(results, O_CLOEXEC) != 0) return false;
  if (pipe2(said, O_CLOEXEC) != 0) return false;
  process_ = fork();
  if (process_ < 0) return false;
  if (process_ > 0) {
    close(seeds[0]);
    close(results[1]);
    close(said[1]);
    seeds_ = seeds[1];
    results_ = results[0];
    said_ = said[0];
    return true;
  }
  // The child. It ends when the parent closes its end of the pipe, or dies.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  close(seeds[1]);
  close(results[0]);
  dup2(said[1], STDERR_FILENO);
  uint64_t seed = 0;
  while (ReadAll(seeds[0], &seed, sizeof(seed))) {
    alarm(kPatienceSeconds);
    const std::string bytes = Serialise(seed, sim::Simulate(DrawSettings(seed, profile_)), "");
    if (!WriteAll(results[1], bytes.data(), bytes.size())) break;
  }
  _exit(0);
}

bool Worker::Run(uint64_t seed) {
  if (process_ < 0 && !Start()) return false;
  seed_ = seed;
  return WriteAll(seeds_, &seed, sizeof(seed));
}

std::optional<SeedResult> Worker::Read() {
  char piece[4096];
  const ssize_t got = read(results_, piece, sizeof(piece));
  if (got < 0 && errno == EINTR) return std::nullopt;
  if (got <= 0) return Epitaph();
  buffer_.append(piece, static_cast<size_t>(got));
  std::optional<SeedResult> result = Parse(buffer_);
  if (result.has_value()) {
    buffer_.clear();
    seed_.reset();
  }
  return result;
}

SeedResult Worker::Epitaph() {
  SeedResult result;
  result.seed = *seed_;
  const int status = WaitFor(process_);
  process_ = -1;
  result.violation = Violated(HowItEnded(status, Drain(said_)));
  End();
  return result;
}

namespace {

// Memory that a child shares with us: where its run has come to, in items of the scheduler.
class SharedCount {
 public:
  SharedCount()
      : at_(mmap(nullptr, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                 0)) {}
  ~SharedCount() {
    if (get() != nullptr) munmap(at_, sizeof(uint64_t));
  }
  SharedCount(const SharedCount&) = delete;
  SharedCount& operator=(const SharedCount&) = delete;
  uint64_t* get() const { return at_ == MAP_FAILED ? nullptr : static_cast<uint64_t*>(at_); }

 private:
  void* at_;
};

// Empty, or which file could not be written.
std::string WriteFile(const std::string& name, const std::string& bytes) {
  std::ofstream file(name, std::ios::binary);
  file << bytes;
  return file.flush() ? "" : absl::StrCat("cannot write ", name);
}

std::string WriteFiles(const RunSettings& settings, const RunFiles& files, const RunReport& report,
                       const Recording& recording) {
  const Caption caption{settings.seed,
                        std::string(Name(settings.profile)),
                        DescribeSettings(settings),
                        files.replay,
                        report.violation,
                        report.explanation};
  std::string problem;
  const auto write = [&](const std::string& name, const auto& bytes) {
    if (!name.empty() && problem.empty()) problem = WriteFile(name, bytes());
  };
  write(files.history, [&] { return WriteHistoryText(report.history); });
  write(files.html, [&] { return WritePage(recording, caption); });
  write(files.columns, [&] { return WriteColumns(recording, caption); });
  write(files.chrome_trace, [&] { return WriteChromeTrace(recording, caption); });
  return problem;
}

// How a child ended that gave no result.
struct Death {
  int status = 0;
  std::string said;
};

// Runs a seed in a child process. Nothing when that died, or could not be made; see `death`.
std::optional<SeedResult> RunInChild(const RunSettings& settings, const RunFiles& files,
                                     const Audience& onlookers,
                                     const std::function<void(const std::string&)>& line,
                                     Death* death) {
  SeedResult nothing_left;
  nothing_left.seed = settings.seed;
  int lines[2], results[2], said[2];
  if (pipe2(lines, O_CLOEXEC) != 0 || pipe2(results, O_CLOEXEC) != 0 ||
      pipe2(said, O_CLOEXEC) != 0) {
    nothing_left.violation = "no more pipes";
    return nothing_left;
  }
  const pid_t process = fork();
  if (process < 0) {
    nothing_left.violation = "no more processes";
    return nothing_left;
  }
  if (process == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(kPatienceSeconds);
    dup2(said[1], STDERR_FILENO);
    FILE* out = fdopen(lines[1], "w");
    setvbuf(out, nullptr, _IOLBF, 4096);  // what was said before an abort must be read
    Audience audience = onlookers;
    if (line) {
      audience.sink = [out](Time now, absl::string_view text) {
        absl::FPrintF(out, "%4d.%06d  %s\n", now / kSecond, now % kSecond, text);
      };
    }
    Recording recording(files.events);
    if (files.picture()) audience.recording = &recording;
    const RunReport report = sim::Simulate(settings, audience);
    if (!report.explanation.empty()) absl::FPrintF(out, "%s", report.explanation);
    fclose(out);
    const std::string problem = WriteFiles(settings, files, report, recording);
    const std::string bytes = Serialise(settings.seed, report, problem);
    WriteAll(results[1], bytes.data(), bytes.size());
    _exit(0);
  }
  close(lines[1]);
  close(results[1]);
  close(said[1]);
  FILE* in = fdopen(lines[0], "r");
  char* text = nullptr;
  size_t capacity = 0;
  ssize_t length = 0;
  while ((length = getline(&text, &capacity, in)) >= 0) {
    if (!line) continue;
    line(
        std::string(absl::StripSuffix(absl::string_view(text, static_cast<size_t>(length)), "\n")));
  }
  free(text);
  fclose(in);
  const std::string bytes = Drain(results[0]);
  death->said = Drain(said[0]);
  close(results[0]);
  close(said[0]);
  death->status = WaitFor(process);
  return Parse(bytes);
}

}  // namespace

SeedResult RunTraced(const RunSettings& settings, const RunFiles& files,
                     const std::function<void(const std::string&)>& line) {
  const SharedCount count;
  Audience onlookers;
  onlookers.begun = count.get();
  Death death;
  if (std::optional<SeedResult> result = RunInChild(settings, files, onlookers, line, &death)) {
    return *result;
  }
  SeedResult result;
  result.seed = settings.seed;
  result.violation = Violated(HowItEnded(death.status, death.said));
  if (count.get() == nullptr || *count.get() == 0) return result;
  // It took its recording along. The same run again, up to the moment before, has all of it.
  Audience again;
  again.ends_before = *count.get();
  again.how_it_ended = HowItEnded(death.status, death.said);
  Death second;
  if (files.picture() || !files.history.empty()) {
    const std::optional<SeedResult> shown =
        RunInChild(settings, files, again, /*line=*/nullptr, &second);
    result.problem = shown.has_value() ? shown->problem : "the run died again on its way to a file";
  }
  return result;
}

}  // namespace raftkv::sim
