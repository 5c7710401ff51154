// Trials of a shrinker, each in a child process: one that aborts, or does not end, takes nobody
// along.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/shrink/shrink.h"

namespace raftkv::sim {

// Plays the trials, `jobs` at once. One that ends its process has broken "crash-free"; one that
// takes longer than `seconds` has broken nothing. Nothing has been broken, either, when the system
// has no more processes or pipes to give.
std::vector<TrialResult> PlayInChildren(const std::vector<Trial>& trials, uint32_t jobs,
                                        uint32_t seconds);

}  // namespace raftkv::sim
