// What `raftkv-sim check` does with one file: read a history, judge it, say it so that a person can
// see why. Reading files, measuring time and exit codes are the program's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sim/check/formats.h"
#include "sim/check/history.h"
#include "sim/check/linearizability.h"

namespace raftkv::sim {

struct CheckOptions {
  SearchBudget budget;  // for each part (store_model.h) of a history
};

// One part that was not found linearizable.
struct PartProblem {
  std::vector<std::string> keys;
  Verdict verdict = Verdict::kUndecided;
  bool out_of_memory = false;  // kUndecided: which limit was hit

  // Up to `blocked`'s return there are orders that explain what was seen, after it there is none
  // (kUndecided: none was found within the budget). Numbers are positions in History::operations.
  size_t blocked = 0;
  std::vector<size_t> longest_order;      // one that gets as far as any
  std::vector<size_t> not_placed;         // open at that return and not in `longest_order`
  std::vector<std::string> stuck_states;  // what the keys may hold there
};

struct CheckReport {
  std::string name;
  HistoryFormat format = HistoryFormat::kRaftkv;
  History history;
  Verdict verdict = Verdict::kUndecided;
  size_t parts = 0;
  uint64_t steps = 0;
  uint64_t configurations = 0;
  std::vector<PartProblem> problems;
};

// Not linearizable if any part is not; else undecided if any part is. `name` and the format are for
// the report.
CheckReport CheckHistory(absl::string_view name, HistoryFormat format, History history,
                         const CheckOptions& options = {});

// The same for a text in any format of formats.h; an error if it cannot be read ("name:line: ...").
absl::StatusOr<CheckReport> CheckHistoryText(absl::string_view name, absl::string_view text,
                                             const CheckOptions& options = {});

// One line with the verdict and the figures; for each problem some more, indented. Ends in a
// newline. `color`: with ANSI escapes for a terminal.
std::string FormatReport(const CheckReport& report, bool color);

}  // namespace raftkv::sim
