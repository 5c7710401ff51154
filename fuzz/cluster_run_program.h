// Bytes as a whole run of the simulator: a recipe (sim/guidance/recipe.h), played with all oracles.
//
//   two bytes     the seed
//   one byte      the profile: crashes, network or membership; never attacks, nor disks that lie
//   then, again and again, one byte that says what follows:
//     a knob and its value; a turn of chance; a decision that comes out otherwise; a fault
//
// Any bytes are such a program, and what is cut off is zeros. Runs are short, two seconds with
// faults at most, so that there can be many of them.
#pragma once

#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "sim/guidance/recipe.h"

namespace raftkv {

sim::Recipe RecipeOf(absl::string_view bytes);

// What oracle the run breaks; empty when none. `reached` is told each abstract state.
std::string PlayRecipe(const sim::Recipe& recipe, const std::function<void(uint64_t)>& reached);

}  // namespace raftkv
