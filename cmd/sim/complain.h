// What could not be done, on stderr.
#pragma once

#include "absl/strings/string_view.h"

namespace raftkv::sim {

// "raftkv-sim: " and why. What it quotes may come from a file: nothing of it is a
// command to the terminal.
void Complain(absl::string_view why);

}  // namespace raftkv::sim
