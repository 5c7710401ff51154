// Results of many machines, put together.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cmd/sim/sweep.h"

namespace raftkv::sim {

struct MergeArguments {
  std::vector<std::string> files;
  std::optional<SeedRange>
      seeds;            // all of which must be there; otherwise the least to the greatest
  std::string out;      // all results, by seed; empty: not written
  std::string junit;    // empty: not written
  std::string program;  // for the commands that replay a seed
};

enum class MergeResult {
  kWhole,       // all seeds are there, no violation
  kViolation,   // or a seed that was not the same run everywhere
  kIncomplete,  // seeds are missing
  kCannot,      // a file is something else, or cannot be read or written
};

// Prints a table for each profile, and what is missing.
MergeResult Merge(const MergeArguments& arguments);

// The seeds of the range that are not there: "17, 21..25 and 3 more".
std::string MissingSeeds(const SeedRange& range, const std::vector<SeedResult>& ascending,
                         uint64_t* count);

}  // namespace raftkv::sim
