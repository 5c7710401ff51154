#include "sim/check/check_command.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "sim/check/store_model.h"
#include "sim/check/text_format.h"

namespace raftkv::sim {
namespace {

std::vector<size_t> InHistory(const HistoryPart& part, const std::vector<uint32_t>& operations) {
  std::vector<size_t> result;
  for (const uint32_t op : operations) result.push_back(part.source[op]);
  return result;
}

PartProblem Explain(const HistoryPart& part, const SearchResult& result) {
  PartProblem problem;
  problem.keys = part.keys;
  problem.verdict = result.verdict;
  problem.out_of_memory = result.out_of_memory;
  problem.blocked = part.source[result.blocked];
  problem.longest_order = InHistory(part, result.order);
  problem.not_placed = InHistory(part, result.not_placed);
  for (const State state : result.stuck_states) {
    problem.stuck_states.push_back(part.model->Describe(state));
  }
  return problem;
}

std::string Count(size_t count, absl::string_view noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

class ReportWriter {
 public:
  ReportWriter(const CheckReport& report, bool color) : report_(report), color_(color) {}

  std::string Write() {
    Summary();
    for (const PartProblem& problem : report_.problems) Problem(problem);
    return std::move(text_);
  }

 private:
  static constexpr size_t kLastOfOrder = 8;  // operations of the longest order that are shown
  static constexpr size_t kMostListed = 20;

  std::string Painted(Verdict verdict) const {
    if (!color_) return std::string(Name(verdict));
    const absl::string_view paint = verdict == Verdict::kLinearizable      ? "\x1b[32m"
                                    : verdict == Verdict::kNotLinearizable ? "\x1b[1;31m"
                                                                           : "\x1b[33m";
    return absl::StrCat(paint, Name(verdict), "\x1b[0m");
  }

  size_t CountOutcome(Outcome outcome) const {
    return static_cast<size_t>(
        std::count_if(report_.history.operations.begin(), report_.history.operations.end(),
                      [&](const Operation& operation) { return operation.outcome == outcome; }));
  }

  void Line(int indent, absl::string_view line) {
    absl::StrAppend(&text_, std::string(static_cast<size_t>(indent), ' '), line, "\n");
  }

  void Summary() {
    Line(0, absl::StrCat(report_.name, ": ", Painted(report_.verdict), "  (", Name(report_.format),
                         ", ", Count(report_.history.operations.size(), "operation"), ": ",
                         CountOutcome(Outcome::kOk), " ok, ", CountOutcome(Outcome::kFailed),
                         " failed, ", CountOutcome(Outcome::kUnknown), " unknown; ",
                         Count(report_.parts, "part"), ", ", Count(report_.steps, "step"), ")"));
  }

  std::string OperationLine(size_t index) const {
    const Operation& operation = report_.history.operations[index];
    std::string place;
    if (operation.invoke_line != 0) {
      place =
          absl::StrCat("lines ", operation.invoke_line, "-",
                       operation.return_line != 0 ? absl::StrCat(operation.return_line) : "", "  ");
    }
    return absl::StrCat(place, "process ", operation.process, "  ", DescribeCommands(operation),
                        "  -> ", DescribeOutcome(operation));
  }

  void List(const std::vector<size_t>& operations) {
    for (size_t i = 0; i < std::min(operations.size(), kMostListed); ++i) {
      Line(6, OperationLine(operations[i]));
    }
    if (operations.size() > kMostListed) {
      Line(6, absl::StrCat("and ", operations.size() - kMostListed, " more"));
    }
  }

  void Problem(const PartProblem& problem) {
    const std::string keys = absl::StrJoin(
        problem.keys.begin(),
        problem.keys.begin() + static_cast<ptrdiff_t>(std::min(problem.keys.size(), kMostListed)),
        " ", [](std::string* out, const std::string& key) {
          absl::StrAppend(out, "\"", absl::CEscape(key), "\"");
        });
    Line(2, absl::StrCat("keys ", keys, problem.keys.size() > kMostListed ? " ..." : "", ": ",
                         Painted(problem.verdict)));
    if (problem.verdict == Verdict::kUndecided) {
      Line(4, absl::StrCat("the search ended at its limit of ",
                           problem.out_of_memory ? "memory" : "steps", "; it did not get past"));
    } else {
      Line(4, "what returns here has no place in any order of the operations so far:");
    }
    Line(6, OperationLine(problem.blocked));
    if (problem.not_placed.size() > 1) {
      Line(4, "open at that return, and not placed either:");
      std::vector<size_t> others;
      for (const size_t op : problem.not_placed) {
        if (op != problem.blocked) others.push_back(op);
      }
      List(others);
    }
    Line(4, absl::StrCat("the state there", problem.stuck_states.size() > 1 ? ", one of" : "",
                         problem.stuck_states.size() >= kMaxStuckStates ? " (among others)" : "",
                         ":"));
    for (const std::string& state : problem.stuck_states) Line(6, state);
    Line(4,
         absl::StrCat("an order that gets as far as any, ",
                      Count(problem.longest_order.size(), "operation"),
                      problem.longest_order.size() > kLastOfOrder ? ", the last of them:" : ":"));
    const size_t skipped =
        problem.longest_order.size() - std::min(problem.longest_order.size(), kLastOfOrder);
    List({problem.longest_order.begin() + static_cast<ptrdiff_t>(skipped),
          problem.longest_order.end()});
  }

  const CheckReport& report_;
  const bool color_;
  std::string text_;
};

}  // namespace

CheckReport CheckHistory(absl::string_view name, HistoryFormat format, History history,
                         const CheckOptions& options) {
  CheckReport report;
  report.name = std::string(name);
  report.format = format;
  report.history = std::move(history);
  report.verdict = Verdict::kLinearizable;
  std::vector<HistoryPart> parts = SplitIntoParts(report.history);
  report.parts = parts.size();
  for (HistoryPart& part : parts) {
    const SearchResult result = FindLinearization(part.operations, *part.model, options.budget);
    report.steps += result.steps;
    report.configurations += result.configurations;
    if (result.verdict != Verdict::kLinearizable) {
      report.problems.push_back(Explain(part, result));
      if (report.verdict != Verdict::kNotLinearizable) report.verdict = result.verdict;
    }
    part.model.reset();  // what it remembers helps nobody else
  }
  return report;
}

absl::StatusOr<CheckReport> CheckHistoryText(absl::string_view name, absl::string_view text,
                                             const CheckOptions& options) {
  absl::StatusOr<ParsedHistory> parsed = ParseHistory(name, text);
  if (!parsed.ok()) return parsed.status();
  return CheckHistory(name, parsed->format, std::move(parsed->history), options);
}

std::string FormatReport(const CheckReport& report, bool color) {
  return ReportWriter(report, color).Write();
}

}  // namespace raftkv::sim
