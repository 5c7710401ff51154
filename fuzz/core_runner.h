// Runs programs of the fuzz targets of the consensus core, and prints those that find something.
#pragma once

#include <ostream>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace raftkv::raft {

// What a program does: empty, or the first thing that is wrong. With a stream, everything is
// written there as text while it is done.
using Program = absl::FunctionRef<std::string(absl::string_view bytes, std::ostream* text)>;

// When something is wrong, prints the program as text, what is wrong after it, and aborts; a check
// that fails inside the core is printed in the same way. With RAFTKV_FUZZ_PRINT in the environment
// it prints whatever it runs.
void RunProgram(absl::string_view bytes, Program program);

}  // namespace raftkv::raft
