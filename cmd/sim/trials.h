// Trials of a shrinker, each in a child process: one that aborts, or does not end, takes nobody
// along.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/shrink/shrink.h"

namespace raftkv::sim {

// Plays the trials, `jobs` at once. One that ends its process has broken "crash-free". One that
// takes more than so many `seconds` of CPU, that is killed (for want of memory), or that the system
// has no process or pipe for, has broken nothing, and says so in `unplayed`.
std::vector<TrialResult> PlayInChildren(const std::vector<Trial>& trials, uint32_t jobs,
                                        uint32_t seconds);

}  // namespace raftkv::sim
