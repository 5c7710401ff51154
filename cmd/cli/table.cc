#include "cmd/cli/table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace raftkv::cli {
namespace {

bool IsNumber(const std::string& cell) {
  return !cell.empty() && cell.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

std::string FormatTable(const std::vector<std::vector<std::string>>& rows, bool colours) {
  std::vector<size_t> widths;
  std::vector<bool> numbers;  // every cell below the head that says something is a number
  for (size_t r = 0; r < rows.size(); ++r) {
    widths.resize(std::max(widths.size(), rows[r].size()));
    numbers.resize(widths.size(), true);
    for (size_t c = 0; c < rows[r].size(); ++c) {
      widths[c] = std::max(widths[c], rows[r][c].size());
      if (r > 0 && rows[r][c] != "-" && !IsNumber(rows[r][c])) numbers[c] = false;
    }
  }
  std::string out;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (size_t c = 0; c < rows[r].size(); ++c) {
      const std::string& cell = rows[r][c];
      const std::string padding(widths[c] - cell.size(), ' ');
      absl::StrAppend(&line, c == 0 ? "" : "  ", numbers[c] ? padding : "", cell,
                      numbers[c] ? "" : padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    const bool bold = colours && r == 0;
    absl::StrAppend(&out, bold ? "\x1b[1m" : "", line, bold ? "\x1b[0m" : "", "\n");
  }
  return out;
}

}  // namespace raftkv::cli
