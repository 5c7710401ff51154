// Replays recorded scripts against the core and compares every line.
//
//   raft_scripts [--merge | --record] [--shared] FILE|FOLDER...
//
// --merge   runs each interaction script twice, without and with merging of messages, and compares
//           where the two end: the state and the log of every node.
// --record  writes what the core says now into the scripts. To be read as a diff before it is kept.
//
// --shared  adds the folder data/raft-scripts of $RAFTKV_SHARED.
//
// Exit code: 0 when all agree, 1 with a diff when one does not, 2 for a file that cannot be read,
// 77 when --shared is given and RAFTKV_SHARED is not set.
// Lines that begin with a log level are commentary of the library that recorded them and are not
// compared; neither are the files named in kNotApplicable.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/raft/script_interaction.h"
#include "tests/raft/script_parser.h"
#include "tests/raft/script_tables.h"

namespace raftkv::raft {
namespace {

// Recorded with another storage handshake: two appends in flight, votes sent before the sync.
constexpr std::array<absl::string_view, 2> kNotApplicable = {
    "async_storage_writes.txt", "async_storage_writes_append_aba_race.txt"};

constexpr int kDiffers = 1;
constexpr int kUnreadable = 2;
constexpr int kSkipped = 77;

enum class Mode { kCompare, kMerge, kRecord };

struct Counts {
  int files = 0;
  int commands = 0;
  int differing = 0;
  int skipped = 0;
};

bool Commentary(absl::string_view line) {
  line = absl::StripLeadingAsciiWhitespace(line);
  for (const absl::string_view level : {"DEBUG ", "INFO ", "WARN ", "ERROR ", "FATAL "}) {
    if (absl::StartsWith(line, level)) return true;
  }
  return false;
}

std::vector<std::string> Comparable(absl::string_view output) {
  std::vector<std::string> lines;
  for (const absl::string_view line : absl::StrSplit(absl::StripSuffix(output, "\n"), '\n')) {
    if (!Commentary(line) && !(lines.empty() && line.empty())) lines.emplace_back(line);
  }
  if (lines.empty()) lines.emplace_back("ok");
  return lines;
}

// The lines of both, those that only one has marked, by longest common subsequence.
std::string Diff(const std::vector<std::string>& expected, const std::vector<std::string>& actual) {
  const size_t rows = expected.size();
  const size_t columns = actual.size();
  std::vector<std::vector<size_t>> common(rows + 1, std::vector<size_t>(columns + 1, 0));
  for (size_t i = rows; i-- > 0;) {
    for (size_t j = columns; j-- > 0;) {
      common[i][j] = expected[i] == actual[j] ? common[i + 1][j + 1] + 1
                                              : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::string text;
  size_t i = 0;
  size_t j = 0;
  while (i < rows || j < columns) {
    if (i < rows && j < columns && expected[i] == actual[j]) {
      absl::StrAppend(&text, " ", expected[i], "\n");
      ++i, ++j;
    } else if (j == columns || (i < rows && common[i + 1][j] >= common[i][j + 1])) {
      absl::StrAppend(&text, "-", expected[i++], "\n");
    } else {
      absl::StrAppend(&text, "+", actual[j++], "\n");
    }
  }
  return text;
}

bool IsQuorumScript(const Script& script) {
  return !script.commands.empty() &&
         (script.commands[0].name == "committed" || script.commands[0].name == "vote");
}

bool IsConfigurationScript(const Script& script) {
  return !script.commands.empty() &&
         (script.commands[0].name == "simple" || absl::EndsWith(script.commands[0].name, "-joint"));
}

// Empty, or where the two ways end differently.
std::string DifferenceByMerging(const Script& script) {
  InteractionScript plain({.merge_messages = false});
  InteractionScript merged({.merge_messages = true});
  for (const ScriptCommand& command : script.commands) {
    plain.Run(command);
    merged.Run(command);
  }
  const std::vector<std::string> expected = Comparable(plain.FinalState());
  const std::vector<std::string> actual = Comparable(merged.FinalState());
  if (!merged.violation().empty()) return absl::StrCat(merged.violation(), "\n");
  return expected == actual ? "" : Diff(expected, actual);
}

// Runs a script; its outputs, one for each command. `violation` says what an oracle found.
std::vector<std::string> RunScript(const Script& script, std::string& violation) {
  std::vector<std::string> outputs;
  InteractionScript interaction({.merge_messages = false});
  ConfigurationScript configuration;
  for (const ScriptCommand& command : script.commands) {
    if (IsQuorumScript(script)) {
      outputs.push_back(RunQuorumCommand(command));
    } else if (IsConfigurationScript(script)) {
      outputs.push_back(configuration.Run(command));
    } else {
      outputs.push_back(interaction.Run(command));
      if (violation.empty() && !interaction.violation().empty()) {
        violation = absl::StrCat("line ", command.line, ": ", interaction.violation());
      }
    }
    if (outputs.back().empty()) outputs.back() = "ok\n";
  }
  return outputs;
}

int Compare(const std::string& path, const Script& script, const std::vector<std::string>& outputs,
            Counts& counts) {
  int result = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const ScriptCommand& command = script.commands[i];
    const std::vector<std::string> expected = Comparable(command.expected);
    const std::vector<std::string> actual = Comparable(outputs[i]);
    if (expected == actual) continue;
    std::cout << path << ":" << command.line << ": " << command.name << "\n"
              << Diff(expected, actual);
    ++counts.differing;
    result = kDiffers;
  }
  return result;
}

int RunFile(const std::string& path, Mode mode, Counts& counts) {
  const std::string name = std::filesystem::path(path).filename().string();
  if (std::find(kNotApplicable.begin(), kNotApplicable.end(), name) != kNotApplicable.end()) {
    std::cout << path << ": not applicable, describes another storage handshake\n";
    ++counts.skipped;
    return 0;
  }
  std::ifstream in(path);
  if (!in) {
    std::cerr << path << ": cannot be read\n";
    return kUnreadable;
  }
  std::ostringstream text;
  text << in.rdbuf();
  const absl::StatusOr<Script> script = ParseScript(text.str());
  if (!script.ok()) {
    std::cerr << path << ": " << script.status().message() << "\n";
    return kUnreadable;
  }
  ++counts.files;
  counts.commands += static_cast<int>(script->commands.size());

  if (mode == Mode::kMerge) {
    if (IsQuorumScript(*script) || IsConfigurationScript(*script)) return 0;
    const std::string difference = DifferenceByMerging(*script);
    if (difference.empty()) return 0;
    std::cout << path << ": ends differently when messages are merged\n" << difference;
    ++counts.differing;
    return kDiffers;
  }
  std::string violation;
  const std::vector<std::string> outputs = RunScript(*script, violation);
  if (!violation.empty()) {
    std::cout << path << ": " << violation << "\n";
    ++counts.differing;
    return kDiffers;  // is never recorded either
  }
  if (mode == Mode::kRecord) {
    std::ofstream(path) << RenderScript(*script, outputs);
    return 0;
  }
  return Compare(path, *script, outputs, counts);
}

std::vector<std::string> Files(const std::string& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

int Main(const std::vector<std::string>& arguments) {
  Mode mode = Mode::kCompare;
  std::vector<std::string> files;
  for (const std::string& argument : arguments) {
    if (argument == "--merge") {
      mode = Mode::kMerge;
    } else if (argument == "--record") {
      mode = Mode::kRecord;
    } else if (argument == "--shared") {
      const char* shared = std::getenv("RAFTKV_SHARED");
      if (shared == nullptr || *shared == '\0') {
        std::cout << "RAFTKV_SHARED is not set: skipped\n";
        return kSkipped;
      }
      const std::vector<std::string> found = Files(absl::StrCat(shared, "/data/raft-scripts"));
      files.insert(files.end(), found.begin(), found.end());
    } else if (absl::StartsWith(argument, "-")) {
      std::cerr << "unknown option " << argument << "\n";
      return kUnreadable;
    } else {
      const std::vector<std::string> found = Files(argument);
      files.insert(files.end(), found.begin(), found.end());
    }
  }
  if (files.empty()) {
    std::cerr << "usage: raft_scripts [--merge | --record] [--shared] FILE|FOLDER...\n";
    return kUnreadable;
  }
  int result = 0;
  Counts counts;
  for (const std::string& file : files) {
    result = std::max(result, RunFile(file, mode, counts));
  }
  std::cout << counts.files << " scripts, " << counts.commands << " commands, " << counts.differing
            << " differences, " << counts.skipped << " files not applicable\n";
  return result;
}

}  // namespace
}  // namespace raftkv::raft

int main(int argc, char** argv) {
  return raftkv::raft::Main(std::vector<std::string>(argv + 1, argv + argc));
}
