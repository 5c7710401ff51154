// A recording as one page: HTML with everything in it, that opens in any browser without a network.
//
// The data goes into the page as compact JSON (its form is at the top of page.cc); page.html,
// page.css and page.js, which draw it, are built into the program. The same recording gives the
// same bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/oracles/judge.h"
#include "sim/picture/recording.h"

namespace raftkv::sim {

// What is said about a run beside its events.
struct Caption {
  uint64_t seed = 0;
  std::string profile;
  std::string about;                   // lines about the settings
  std::string replay;                  // the command that shows it again
  std::optional<Violation> violation;  // as the judge has it
  std::string explanation;             // of a history that is not linearizable
};

// The data alone.
std::string EncodePicture(const Recording& recording, const Caption& caption);

std::string WritePage(const Recording& recording, const Caption& caption);

}  // namespace raftkv::sim
