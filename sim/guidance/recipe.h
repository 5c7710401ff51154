// A run, as the few things in which it differs from what its seed would do.
//
// All decisions of a run are a record of megabytes; this is the same record in a form that is short
// and can be changed: a seed decides everything, unless settings were changed, faults are given,
// chance turns at some moment, or a single decision comes out in another way. So it costs nothing
// to make the run again up to some moment and to let it go on otherwise.
//
//   raftkv recipe 1
//   seed 17
//   profile everything
//   without attacks
//   set loss 40
//   turn 2.4s 7781
//   change 18273 5
//   faults until 3s
//   at 1.2s: kill 2 for 300ms
//
// The last two: the nemesis does what follows, and from 3 s on what it draws. "faults only": it
// draws nothing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sim/run/settings.h"

namespace raftkv::sim {

struct Recipe {
  uint64_t seed = 1;
  Profile profile = Profile::kEverything;
  bool attacks = true;
  std::map<std::string, uint64_t> knobs;  // by name (knobs.h)
  std::vector<ChanceTurn> turns;          // ascending
  std::vector<ChangedDecision> changed;   // ascending
  // Not given: the nemesis draws all of them.
  std::optional<std::vector<CuedFault>> faults;
  std::optional<Time> draws_from;

  friend bool operator==(const Recipe&, const Recipe&) = default;
};

// A knob that the settings of the seed have no room for is left as it was drawn.
RunSettings SettingsOf(const Recipe& recipe);

std::string FormatRecipe(const Recipe& recipe);
// InvalidArgument names the line and what is wrong with it.
absl::StatusOr<Recipe> ParseRecipe(absl::string_view name, absl::string_view text);

}  // namespace raftkv::sim
