#include "tests/raft/script_parser.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/raft/check.h"

namespace raftkv::raft {
namespace {

constexpr absl::string_view kSeparator = "----";

std::optional<uint64_t> AsNumber(absl::string_view text) {
  uint64_t value = 0;
  if (!absl::SimpleAtoi(text, &value)) return std::nullopt;
  return value;
}

std::vector<std::string> ParseValues(absl::string_view text) {
  if (text.size() < 2 || text.front() != '(' || text.back() != ')') return {std::string(text)};
  text = text.substr(1, text.size() - 2);
  std::vector<std::string> values;
  for (const absl::string_view value :
       absl::StrSplit(text, absl::ByAnyChar(", "), absl::SkipEmpty())) {
    values.emplace_back(value);
  }
  return values;
}

// Splits at blanks outside parentheses.
std::vector<std::string> Words(absl::string_view line) {
  std::vector<std::string> words;
  bool in_word = false;
  int depth = 0;
  for (const char c : line) {
    if (c == '(') ++depth;
    if (c == ')') --depth;
    if (absl::ascii_isspace(static_cast<unsigned char>(c)) && depth == 0) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    words.back().push_back(c);
  }
  return words;
}

void ParseDirective(absl::string_view line, ScriptCommand& command) {
  std::vector<std::string> words = Words(line);
  command.name = words.front();
  for (size_t i = 1; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    ScriptArgument argument;
    argument.key = words[i].substr(0, equals);
    if (equals != std::string::npos) argument.values = ParseValues(words[i].substr(equals + 1));
    command.arguments.push_back(std::move(argument));
  }
}

class Lines {
 public:
  explicit Lines(absl::string_view text) : rest_(text) {}
  bool done() const { return rest_.empty(); }
  int number() const { return number_; }

  absl::string_view Peek() const { return rest_.substr(0, rest_.find('\n')); }
  absl::string_view Next() {
    const absl::string_view line = Peek();
    rest_.remove_prefix(std::min(rest_.size(), line.size() + 1));
    ++number_;
    return line;
  }

 private:
  absl::string_view rest_;
  int number_ = 0;
};

bool Blank(absl::string_view line) { return absl::StripAsciiWhitespace(line).empty(); }

absl::Status ReadExpected(Lines& lines, ScriptCommand& command) {
  if (lines.done() || lines.Peek() != kSeparator) {
    while (!lines.done() && !Blank(lines.Peek())) {
      absl::StrAppend(&command.expected, lines.Next(), "\n");
    }
    return absl::OkStatus();
  }
  lines.Next();
  while (!lines.done()) {
    const absl::string_view line = lines.Next();
    if (line == kSeparator && lines.Peek() == kSeparator) {
      lines.Next();
      return absl::OkStatus();
    }
    absl::StrAppend(&command.expected, line, "\n");
  }
  return absl::InvalidArgumentError(
      absl::StrCat("line ", command.line, ": the output does not end"));
}

}  // namespace

const std::vector<std::string>* ScriptCommand::Find(absl::string_view key) const {
  for (const ScriptArgument& argument : arguments) {
    if (argument.key == key && !argument.values.empty()) return &argument.values;
  }
  return nullptr;
}

absl::string_view ScriptCommand::Value(absl::string_view key, absl::string_view fallback) const {
  const std::vector<std::string>* values = Find(key);
  return values == nullptr ? fallback : absl::string_view(values->front());
}

std::optional<uint64_t> ScriptCommand::Number(absl::string_view key) const {
  return AsNumber(Value(key));
}

std::vector<uint64_t> ScriptCommand::Numbers(absl::string_view key) const {
  std::vector<uint64_t> numbers;
  if (const std::vector<std::string>* values = Find(key)) {
    for (const std::string& value : *values) {
      if (const std::optional<uint64_t> number = AsNumber(value)) numbers.push_back(*number);
    }
  }
  return numbers;
}

std::vector<uint64_t> ScriptCommand::Ids() const {
  std::vector<uint64_t> ids;
  for (const ScriptArgument& argument : arguments) {
    if (!argument.values.empty()) continue;
    if (const std::optional<uint64_t> id = AsNumber(argument.key)) ids.push_back(*id);
  }
  return ids;
}

absl::StatusOr<Script> ParseScript(absl::string_view text) {
  Script script;
  Lines lines(text);
  std::string preamble;
  while (!lines.done()) {
    std::string line(lines.Next());
    absl::StrAppend(&preamble, line, "\n");
    if (Blank(line) || absl::StartsWith(line, "#")) continue;
    if (absl::StartsWith(line, "subtest")) continue;  // only names a group of commands

    ScriptCommand command;
    command.line = lines.number();
    while (absl::EndsWith(line, "\\") && !lines.done()) {
      line.pop_back();
      absl::StrAppend(&preamble, lines.Peek(), "\n");
      absl::StrAppend(&line, lines.Next());
    }
    ParseDirective(line, command);
    bool separated = false;
    while (!lines.done() && !separated) {
      const absl::string_view next = lines.Next();
      separated = next == kSeparator;
      if (separated) break;
      absl::StrAppend(&preamble, next, "\n");
      absl::StrAppend(&command.input, next, "\n");
    }
    if (!separated) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", command.line, ": no ---- after '", command.name, "'"));
    }
    if (absl::Status status = ReadExpected(lines, command); !status.ok()) return status;
    command.preamble = std::move(preamble);
    preamble.clear();
    script.commands.push_back(std::move(command));
  }
  script.rest = std::move(preamble);
  return script;
}

std::string RenderScript(const Script& script, const std::vector<std::string>& outputs) {
  RAFTKV_CHECK(outputs.size() == script.commands.size());
  std::string text;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const bool blank_lines =
        absl::StrContains(outputs[i], "\n\n") || absl::StartsWith(outputs[i], "\n");
    absl::StrAppend(&text, script.commands[i].preamble, kSeparator, "\n",
                    blank_lines ? "----\n" : "", outputs[i], blank_lines ? "----\n----\n" : "");
  }
  absl::StrAppend(&text, script.rest);
  return text;
}

}  // namespace raftkv::raft
