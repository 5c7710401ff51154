// A typed line to words, with the quoting of redis-cli.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace raftkv::cli {

// Words are separated by blanks. "..." understands \n \r \t \b \a \\ \" and \xHH, '...' only \'.
// A quote ends its word. Nothing when a quote is not closed or something is glued to its end.
std::optional<std::vector<std::string>> SplitWords(absl::string_view line);

}  // namespace raftkv::cli
