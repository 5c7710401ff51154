// Child processes that run seeds. A seed that ends in an abort, a sanitizer report or a loop takes
// its process along; the parent knows which seed it was, and goes on.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "sim/run/run.h"

namespace raftkv::sim {

// What a sweep keeps of a run.
struct SeedResult {
  uint64_t seed = 0;
  uint64_t hash = 0;
  RunCounters counters;
  std::string violation;  // as FormatViolation; empty when there was none
  std::string problem;    // a file that could not be written; empty when there was none
};

class Worker {
 public:
  Worker(Profile profile) : profile_(profile) {}
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Starts a process, if there is none, and gives it a seed. False when the system has no more
  // processes or pipes to give.
  bool Run(uint64_t seed);
  bool busy() const { return seed_.has_value(); }
  uint64_t seed() const { return *seed_; }

  // To be polled for reading while busy.
  int fd() const { return results_; }
  // Reads what there is; the result once it is whole. A process that ended instead gives a
  // violation of "crash-free", with what it said last.
  std::optional<SeedResult> Read();

 private:
  bool Start();
  void End();
  SeedResult Epitaph();

  Profile profile_;
  pid_t process_ = -1;
  int seeds_ = -1;    // we write
  int results_ = -1;  // we read
  int said_ = -1;     // its stderr
  std::optional<uint64_t> seed_;
  std::string buffer_;
};

// What is to be written about a run; an empty name: not that.
struct RunFiles {
  std::string history;       // what the clients saw
  std::string html;          // a picture
  std::string columns;       // the same as text, a column for each node
  std::string chrome_trace;  // the same for Perfetto
  size_t events = 10'000;    // that a picture shows: the last of the run
  std::string replay;        // the command that makes it again, for whoever is sent the picture

  bool picture() const { return !html.empty() || !columns.empty() || !chrome_trace.empty(); }
};

// Runs a seed in a child process, hands every line of its trace to `line` (if there is one), and
// writes the files. The result is as from a Worker. A run that takes its process along is run a
// second time, up to the moment before, for the sake of the files.
SeedResult RunTraced(const RunSettings& settings, const RunFiles& files,
                     const std::function<void(const std::string&)>& line);

}  // namespace raftkv::sim
