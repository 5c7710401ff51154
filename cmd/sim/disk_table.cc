#include "cmd/sim/disk_table.h"

#include <array>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cmd/sim/spread.h"

namespace raftkv::sim {
namespace {

constexpr uint64_t kExamples = 3;  // of one row, in words

// One row of the table as it is filled.
struct Row {
  std::array<uint64_t, 3> count = {};  // by Ending
  uint64_t wrong = 0;                  // should have recovered and did not, or the other way round
  std::vector<std::string> examples;
};

absl::string_view InWords(Ending ending) {
  switch (ending) {
    case Ending::kRecovered:
      return "recovered";
    case Ending::kWaiting:
      return "waiting";
    case Ending::kUnsafe:
      return "unsafe";
  }
  return "?";
}

void Enter(const DiskTable& table, uint64_t combination, const std::string* result, Row* row) {
  // The first character is the ending, the rest says why.
  const SceneVerdict verdict =
      result == nullptr || result->empty()
          ? SceneVerdict{Ending::kUnsafe, "the process that played it ended"}
          : SceneVerdict{static_cast<Ending>(result->front() - '0'), result->substr(1)};
  ++row->count[static_cast<size_t>(verdict.ending)];
  const Ending wanted = table.Recoverable(combination) ? Ending::kRecovered : Ending::kWaiting;
  if (verdict.ending == wanted) return;
  ++row->wrong;
  if (row->examples.size() >= kExamples) return;
  row->examples.push_back(absl::StrFormat(
      "  %d (%s): %s instead of %s%s%s", combination, table.Describe(combination),
      InWords(verdict.ending), InWords(wanted), verdict.why.empty() ? "" : ": ", verdict.why));
}

void PrintProgress(absl::string_view what, uint64_t done, uint64_t of) {
  constexpr uint64_t kWidth = 24;
  const uint64_t filled = of == 0 ? kWidth : done * kWidth / of;
  absl::PrintF("\r%s [%s%s] %d/%d", what, std::string(filled, '#'),
               std::string(kWidth - filled, '.'), done, of);
  std::fflush(stdout);
}

std::string OneLine(const SceneVerdict& verdict) {
  std::string line = absl::StrCat(static_cast<int>(verdict.ending), verdict.why);
  for (char& each : line) {
    if (each == '\n') each = ' ';
  }
  return line;
}

DiskTableResult TellOne(const DiskTable& table, uint64_t combination) {
  const SceneVerdict verdict = table.Try(combination, [](Time now, absl::string_view line) {
    absl::PrintF("%9.3f ms  %s\n", static_cast<double>(now) / kMillisecond, line);
  });
  absl::PrintF("combination %d, %s: %s%s%s\n", combination, table.Describe(combination),
               InWords(verdict.ending), verdict.why.empty() ? "" : ": ", verdict.why);
  const Ending wanted = table.Recoverable(combination) ? Ending::kRecovered : Ending::kWaiting;
  return verdict.ending == wanted ? DiskTableResult::kExact : DiskTableResult::kWrong;
}

}  // namespace

DiskTableResult PrintDiskTable(const DiskTableArguments& arguments) {
  DiskTableResult total = DiskTableResult::kExact;
  absl::PrintF("%d nodes, the last %d entries of the log\n", arguments.nodes, arguments.entries);
  absl::PrintF("%-12s %-8s %13s %10s %10s %10s\n", "fault", "marks", "combinations", "recovered",
               "waiting", "unsafe");
  for (const TableFault fault : arguments.faults) {
    for (const bool marks : {true, false}) {
      if (marks ? !arguments.with_marks : !arguments.without_marks) continue;
      const DiskTable table({arguments.nodes, arguments.entries, marks}, fault);
      if (arguments.only.has_value()) {
        if (TellOne(table, *arguments.only) != DiskTableResult::kExact) {
          total = DiskTableResult::kWrong;
        }
        continue;
      }
      const std::string name =
          absl::StrFormat("%-12s %-8s", Name(fault), marks ? "with" : "without");
      Row row;
      uint64_t done = 0;
      const bool whole = Spread(
          table.combinations(), arguments.jobs,
          [&table](uint64_t combination) { return OneLine(table.Try(combination)); },
          [&](uint64_t combination, const std::string* result) {
            Enter(table, combination, result, &row);
            ++done;
            if (arguments.progress) PrintProgress(name, done, table.combinations());
          });
      if (!whole) return DiskTableResult::kBroken;
      if (arguments.progress) absl::PrintF("\r%70s\r", "");
      absl::PrintF("%s %13d %10d %10d %10d\n", name, table.combinations(), row.count[0],
                   row.count[1], row.count[2]);
      std::fflush(stdout);
      if (row.wrong == 0 && done == table.combinations()) continue;
      total = DiskTableResult::kWrong;
      absl::PrintF("  %d not as they should be", row.wrong);
      if (done < table.combinations()) {
        absl::PrintF(", %d not played", table.combinations() - done);
      }
      absl::PrintF("%s\n", row.examples.empty() ? "" : ":");
      for (const std::string& example : row.examples) absl::PrintF("%s\n", example);
    }
  }
  return total;
}

}  // namespace raftkv::sim
