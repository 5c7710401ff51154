// What is wrong with a command line.
#pragma once

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"

namespace raftkv {

// The parser looks for what is missing before it looks at what is too much; but what is missing is
// often there, with a slip in its name.
inline std::string WhatIsWrong(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
  const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  return missing && !unknown.empty()
             ? absl::StrCat(unknown.front(), " is not known, and ", error.what())
             : error.what();
}

}  // namespace raftkv
