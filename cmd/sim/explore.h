// Sweeps that look at what runs come to: count the abstract states of the cluster, and let them
// guide what is run next (sim/guidance).
//
// Runs are numbered from 1. What is run under a number depends on what all runs came to that are
// kWindow or more before it, and on no other: not on how many processes there are, nor on which of
// them was faster.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cmd/sim/seed_result.h"
#include "sim/guidance/guide.h"

namespace raftkv::sim {

inline constexpr uint64_t kWindow = 16;

struct ExploreFailure {
  uint64_t run = 0;
  Recipe recipe;
  SeedResult result;
};

struct ExploreOptions {
  GuideOptions guide;
  bool count_states = true;  // needed for guidance
  uint64_t runs = std::numeric_limits<uint64_t>::max();
  // Of all processes together; no run begins later. 0: no limit.
  uint64_t cpu_seconds = 0;
  uint32_t jobs = 1;  // processes, at most kWindow
  bool keep_going = false;
  bool progress = false;  // a line that is rewritten, on stdout
  // Recipes of runs that came to new states: those that are there are run first, new ones are
  // added. Empty: none.
  std::string corpus;
  std::string failures;  // a folder, made before the first run, for scenarios of failures
  // Is told of each failure, in the order of runs, as soon as it is learnt: what has been found is
  // not to be lost with whatever comes behind it.
  std::function<void(const ExploreFailure&)> failed;
};

struct ExploreResult {
  absl::Status status;           // not OK: the system, or one of the two folders, is the reason
  std::vector<SeedResult> runs;  // `seed` is the number of the run
  bool interrupted = false;      // by the user: there would have been more
  uint64_t failures = 0;
  uint64_t states = 0;
  bool estimated = false;  // the states: there are more than are kept (GuideOptions)
  uint64_t corpus = 0;
  uint64_t digest = 0;  // Guide::Digest
  double seconds = 0;   // of wall clock
  double cpu_seconds = 0;
};

ExploreResult Explore(const ExploreOptions& options);

std::string FormatExplored(const ExploreOptions& options, const ExploreResult& result);

// Writes what the run did as a scenario, which plays without chance, and says in a few lines what
// it is, whether it breaks the same again, and how to look at it.
std::string KeepFailure(const std::string& program, const ExploreOptions& options,
                        const ExploreFailure& failure);

}  // namespace raftkv::sim
