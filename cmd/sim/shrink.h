// raftkv-sim shrink and replay.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cmd/sim/worker.h"
#include "sim/run/settings.h"

namespace raftkv::sim {

struct ShrinkArguments {
  uint64_t seed = 1;
  Profile profile = Profile::kEverything;
  std::string file;  // a scenario to be shrunk further instead of the seed
  std::string out;   // where the scenario goes; empty: stdout
  uint32_t jobs = 1;
  uint32_t seconds = 60;
  bool progress = false;
};

// How a command ended, for its exit code.
enum class CommandResult : uint8_t { kFine, kViolation, kCannot };

// kFine: a scenario has been written. kViolation is never: that there is one is what it begins
// with.
CommandResult ShrinkRun(const ShrinkArguments& arguments);

struct ReplayArguments {
  std::vector<std::string> files;
  bool broken = false;  // the bug is there: the violation that is expected has to come
  bool trace = false;
  RunFiles run_files;  // with one file only
};

// Plays scenarios. Each must come to what it has to reach (else it is stale) and break nothing; or,
// with `broken`, exactly the oracle that it expects.
CommandResult Replay(const ReplayArguments& arguments);

}  // namespace raftkv::sim
