// What is wrong with a command line.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"

namespace raftkv {

// The parser looks for what is missing before it looks at what is too much; but what is missing is
// often there, with a slip in its name.
inline std::string WhatIsWrong(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
  if (unknown.empty()) return error.what();
  std::string wrong = absl::StrCat(unknown.front(), " is not known");
  const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  if (missing) return absl::StrCat(wrong, ", and ", error.what());
  const bool too_much = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
  return too_much ? wrong : error.what();
}

// The exit code of a program whose command line was not run: 0 after --help, otherwise `wrong`, and
// stderr says why.
inline int EndOfParsing(const CLI::App& app, const CLI::ParseError& error, const char* program,
                        int wrong) {
  if (error.get_exit_code() == 0) return app.exit(error);
  std::fprintf(stderr, "%s: %s (see %s --help)\n", program, WhatIsWrong(app, error).c_str(),
               program);
  return wrong;
}

}  // namespace raftkv
