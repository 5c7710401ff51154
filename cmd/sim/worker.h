// Child processes that run seeds. A seed that ends in an abort, a sanitizer report or a loop takes
// its process along; the parent knows which seed it was, and goes on.
//
// A child is a copy of the parent, or a program that is executed: that one has its own addresses,
// its own memory and its own seeds of hash tables, and would show if any of these made a
// difference. It may be another build. Both answer the same requests, a line each:
//
//   run PROFILE SEED            the line of seed_result.h
//   record PROFILE SEED         the same, and time and hash of each step are kept
//   steps                       {"times":[...],"hashes":["...",...]} of what was recorded last
//   tell PROFILE SEED STEP      {"hash":"...","before":[[step,time,text],...],"lines":[...]}: the
//                               seed once more, and the trace around a step
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cmd/sim/child.h"
#include "cmd/sim/seed_result.h"
#include "sim/run/run.h"

namespace raftkv::sim {

using Simulator = std::function<RunReport(const RunSettings&, const Audience&)>;

// The work of a child: answers requests until there are no more. Tests have their own `simulate`.
void ServeSeeds(int requests, int answers, const Simulator& simulate);

// Step 0 is what happens before the first item of the scheduler, step N is the item N, and the last
// is the verdict.
struct Step {
  Time time = 0;
  uint64_t hash = 0;  // of everything up to its end
  friend bool operator==(const Step&, const Step&) = default;
};

struct ToldLine {
  uint64_t step = 0;
  Time time = 0;
  std::string text;
  friend bool operator==(const ToldLine&, const ToldLine&) = default;
};

// The trace around a step.
struct Told {
  uint64_t hash = 0;             // when the step had been done
  std::vector<ToldLine> before;  // the last lines before the step
  std::vector<ToldLine> lines;   // the first lines from the step on
};

class Worker {
 public:
  struct Kind {
    std::vector<std::string> program;  // to be executed, with its arguments; empty: a copy of this
    // "NAME=value" for an executed one.
    std::vector<std::string> environment;
    Simulator simulate;  // of a copy; null: the simulator
  };

  explicit Worker(Profile profile) : profile_(profile) {}
  Worker(Profile profile, Kind kind) : profile_(profile), kind_(std::move(kind)) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Starts a process, if there is none, and gives it a seed. `record`: Steps() will be asked for.
  // False when the system has no more processes or pipes to give.
  bool Run(uint64_t seed, bool record = false);
  bool busy() const { return seed_.has_value(); }

  // To be polled for reading while busy.
  int fd() const { return child_.fd(); }
  // Reads what there is; the result once it is whole. A process that ended instead gives a
  // violation of "crash-free", with what it said last.
  std::optional<SeedResult> Read();

  // Both wait for the answer. Nothing when there is no process any more.
  std::optional<std::vector<Step>> Steps();
  std::optional<Told> Tell(uint64_t seed, uint64_t step);

  // Ends the process; the next seed gets a new one.
  void End();

 private:
  void Serve(int requests, int answers);
  bool Ask(const std::string& request);
  std::optional<std::string> Answer();
  SeedResult Epitaph(const std::string& instead);

  Profile profile_;
  Kind kind_;
  ChildServer child_;
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
