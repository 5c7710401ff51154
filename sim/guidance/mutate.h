// Other runs than one that was interesting, but not altogether.
#pragma once

#include <cstdint>
#include <vector>

#include "core/raft/random.h"
#include "sim/guidance/recipe.h"

namespace raftkv::sim {

// The run of a seed in a hurry: its faults follow each other faster, and there are more of them,
// and its clients ask less. What may happen is what the seed has drawn; more of it happens for the
// events that the run costs.
Recipe InAHurry(Recipe recipe, Random& random);

// A run that has been made.
struct MadeRun {
  Recipe recipe;
  std::vector<CuedFault> faults;  // what the nemesis did, given and drawn, with times
  Time ended = 0;
  uint64_t decisions = 0;
};

// A moment in a run.
struct Moment {
  Time time = 0;
  uint64_t decisions = 0;  // that had been made
};

// The same up to about `moment`, then as chance will have it.
Recipe GoOnOtherwise(const MadeRun& run, const Moment& moment, Random& random);
// One or a few of: other chance from the beginning or some moment on; decisions near `moment` that
// come out otherwise; faults left out, added, doubled, made earlier, later, longer, shorter or
// meant for others; faults of `other` behind some moment; other settings.
Recipe Mutate(const MadeRun& run, const Moment& moment, const MadeRun& other, Random& random);

}  // namespace raftkv::sim
