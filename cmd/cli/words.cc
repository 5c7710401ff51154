#include "cmd/cli/words.h"

#include "absl/strings/ascii.h"

namespace raftkv::cli {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The escape behind a backslash at `at`; moves `at` behind it.
char Unescape(absl::string_view line, size_t* at) {
  const char c = line[*at + 1];
  if (c == 'x' && *at + 3 < line.size() && HexValue(line[*at + 2]) >= 0 &&
      HexValue(line[*at + 3]) >= 0) {
    const int byte = HexValue(line[*at + 2]) * 16 + HexValue(line[*at + 3]);
    *at += 4;
    return static_cast<char>(byte);
  }
  *at += 2;
  switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'b':
      return '\b';
    case 'a':
      return '\a';
    default:
      return c;
  }
}

// Reads the rest of a word from its opening quote at `at`. False when it is not closed, or not by
// the end of the word.
bool ReadQuoted(absl::string_view line, size_t* at, std::string* word) {
  const char quote = line[(*at)++];
  while (*at < line.size() && line[*at] != quote) {
    const bool escape =
        line[*at] == '\\' && *at + 1 < line.size() && (quote == '"' || line[*at + 1] == '\'');
    if (escape) {
      word->push_back(quote == '"' ? Unescape(line, at) : '\'');
      if (quote == '\'') *at += 2;
    } else {
      word->push_back(line[(*at)++]);
    }
  }
  if (*at == line.size()) return false;
  ++*at;
  return *at == line.size() || absl::ascii_isspace(static_cast<unsigned char>(line[*at]));
}

}  // namespace

std::optional<std::vector<std::string>> SplitWords(absl::string_view line) {
  std::vector<std::string> words;
  size_t at = 0;
  while (true) {
    while (at < line.size() && absl::ascii_isspace(static_cast<unsigned char>(line[at]))) ++at;
    if (at == line.size()) return words;
    std::string& word = words.emplace_back();
    while (at < line.size() && !absl::ascii_isspace(static_cast<unsigned char>(line[at]))) {
      if (line[at] == '"' || line[at] == '\'') {
        if (!ReadQuoted(line, &at, &word)) return std::nullopt;
      } else {
        word.push_back(line[at++]);
      }
    }
  }
}

}  // namespace raftkv::cli
