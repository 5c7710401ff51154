// The text format of recorded scripts: commands with the output they must give.
//
//   # comment
//   command argument key=value key=(value, value)
//   optional input lines
//   ----
//   expected output, up to the first blank line
//
// Output that contains blank lines stands between two lines of ---- (above) and two (below). A
// command whose output is empty is recorded as "ok".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace raftkv::raft {

struct ScriptArgument {
  std::string key;
  std::vector<std::string> values;  // empty for a bare argument
};

struct ScriptCommand {
  int line = 0;
  std::string name;
  std::vector<ScriptArgument> arguments;
  std::string input;
  std::string expected;  // ends with a newline unless empty
  std::string
      preamble;  // everything since the end of the previous output, up to the ----, verbatim

  // The values of `key=`; null when it is not given.
  const std::vector<std::string>* Find(absl::string_view key) const;
  // The single value of `key=`; `fallback` when it is not given.
  absl::string_view Value(absl::string_view key, absl::string_view fallback = "") const;
  bool Flag(absl::string_view key) const { return Value(key) == "true"; }
  // The number given as `key=`; nullopt when it is not given, or is no number.
  std::optional<uint64_t> Number(absl::string_view key) const;
  // The numbers among the values of `key=`.
  std::vector<uint64_t> Numbers(absl::string_view key) const;
  // The bare arguments that are numbers, in order.
  std::vector<uint64_t> Ids() const;
};

struct Script {
  std::vector<ScriptCommand> commands;
  std::string rest;  // what follows the last output
};

// InvalidArgument naming the line.
absl::StatusOr<Script> ParseScript(absl::string_view text);

// The script again, with these outputs instead of the expected ones; one for each command.
std::string RenderScript(const Script& script, const std::vector<std::string>& outputs);

}  // namespace raftkv::raft
