// raftkv-sim bench: how fast simulated time passes, and what the oracles take of it.
#pragma once

#include <cstdint>

#include "cmd/sim/sweep.h"

namespace raftkv::sim {

struct BenchArguments {
  SeedRange seeds{1, 20};
  uint32_t rounds = 5;
  bool progress = false;  // a line that is rewritten, on stdout
};

enum class BenchResult : uint8_t { kMeasured, kWrong };

// Runs the seeds of everything and of quiet, and the steady cluster, each with all oracles and with
// none, one after the other in this process, and then again, and prints the medians of the rounds.
// Rates are per second of this process's own CPU time, so they are of one core, and of a busy
// machine as of an idle one as far as caches allow. kWrong: a run was not the same without oracles
// or in another round, or broke an oracle; then that is printed instead.
BenchResult PrintBench(const BenchArguments& arguments);

}  // namespace raftkv::sim
