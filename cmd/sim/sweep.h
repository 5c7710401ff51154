// Many seeds: which are left, who runs them, what came of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cmd/sim/worker.h"

namespace raftkv::sim {

// "17" or "1..5000", both ends included.
struct SeedRange {
  uint64_t first = 1;
  uint64_t last = 1;
  uint64_t count() const { return last - first + 1; }
};
std::optional<SeedRange> ParseSeedRange(const std::string& text);

struct SweepOptions {
  SeedRange seeds;
  Profile profile = Profile::kEverything;
  uint32_t jobs = 1;
  bool keep_going = false;  // after a violation
  bool progress = false;    // a line that is rewritten, on stdout
};

struct SweepResult {
  std::vector<SeedResult> seeds;  // ascending; those that were run
  double seconds = 0;             // of wall clock
  bool broken = false;            // the system could not run it
};

SweepResult Sweep(const SweepOptions& options);

// The table that a sweep ends with.
std::string FormatSummary(const SweepOptions& options, const SweepResult& result);

}  // namespace raftkv::sim
