#include "cmd/sim/disk_table.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cmd/sim/complain.h"
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

// What was played: its name, and whether it should recover.
struct Played {
  std::string what;
  Ending wanted = Ending::kWaiting;
  // Recovered is as good as waiting: what was damaged may be whole where it matters.
  bool may_recover = false;

  bool AsItShouldBe(const SceneVerdict& verdict) const {
    return verdict.ending == wanted || (may_recover && verdict.ending == Ending::kRecovered);
  }
};

SceneVerdict Parse(const std::string* result) {
  // The first character is the ending, the rest says why.
  if (result == nullptr || result->empty()) {
    return {Ending::kUnsafe, "the process that played it ended"};
  }
  return {static_cast<Ending>(result->front() - '0'), result->substr(1)};
}

std::string InWords(const Played& played, const SceneVerdict& verdict) {
  return absl::StrCat(played.what, ": ", InWords(verdict.ending),
                      verdict.ending == played.wanted ? "" : " instead of ",
                      verdict.ending == played.wanted ? "" : InWords(played.wanted),
                      verdict.why.empty() ? "" : ": ", verdict.why);
}

void Enter(const Played& played, const SceneVerdict& verdict, Row* row) {
  ++row->count[static_cast<size_t>(verdict.ending)];
  if (played.AsItShouldBe(verdict)) return;
  ++row->wrong;
  if (row->examples.size() < kExamples) row->examples.push_back(InWords(played, verdict));
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

void PrintStory(Time now, absl::string_view line) {
  absl::PrintF("%4d.%03d ms  %s\n", now / kMillisecond, now % kMillisecond, line);
}

// Plays all of a row in child processes. `play` gives the verdict; `name` says what was played
// without playing it.
DiskTableResult PrintRow(absl::string_view title, uint64_t count,
                         const DiskTableArguments& arguments,
                         const std::function<SceneVerdict(uint64_t)>& play,
                         const std::function<Played(uint64_t)>& name) {
  Row row;
  uint64_t done = 0;
  const bool whole = Spread(
      count, arguments.jobs, [&play](uint64_t number) { return OneLine(play(number)); },
      [&](uint64_t number, const std::string* result) {
        Enter(name(number), Parse(result), &row);
        ++done;
        if (arguments.progress) PrintProgress(title, done, count);
      });
  if (!whole) return DiskTableResult::kBroken;
  if (arguments.progress) absl::PrintF("\r%70s\r", "");
  absl::PrintF("%s %13d %10d %10d %10d\n", title, count, row.count[0], row.count[1], row.count[2]);
  if (row.wrong > 0) absl::PrintF("  %d not as they should be:\n", row.wrong);
  for (const std::string& example : row.examples) absl::PrintF("  %s\n", example);
  if (done < count) absl::PrintF("  %d not played\n", count - done);
  std::fflush(stdout);
  return row.wrong == 0 && done == count ? DiskTableResult::kExact : DiskTableResult::kWrong;
}

DiskTableResult Tell(const Played& played, const SceneVerdict& verdict) {
  absl::PrintF("%s\n", InWords(played, verdict));
  return played.AsItShouldBe(verdict) ? DiskTableResult::kExact : DiskTableResult::kWrong;
}

DiskTableResult PrintFault(TableFault fault, bool marks, const DiskTableArguments& arguments) {
  const DiskTable table({arguments.nodes, arguments.entries, marks}, fault);
  const auto name = [&table](uint64_t combination) {
    return Played{absl::StrCat(combination, " (", table.Describe(combination), ")"),
                  table.Recoverable(combination) ? Ending::kRecovered : Ending::kWaiting};
  };
  if (arguments.only.has_value()) {
    return Tell(name(*arguments.only), table.Try(*arguments.only, PrintStory));
  }
  return PrintRow(
      absl::StrFormat("%-12s %-8s", Name(fault), marks ? "with" : "without"), table.combinations(),
      arguments, [&table](uint64_t combination) { return table.Try(combination); }, name);
}

DiskTableResult PrintSuite(FaultSuite suite, uint64_t count, const DiskTableArguments& arguments) {
  const RandomFaults faults(suite, arguments.nodes, arguments.entries);
  const auto name = [&faults](uint64_t seed) {
    const FaultTrial trial = faults.Plan(seed);
    return Played{absl::StrCat(seed, " (", trial.faults, ")"),
                  trial.recoverable ? Ending::kRecovered : Ending::kWaiting, /*may_recover=*/true};
  };
  if (arguments.only.has_value()) {
    return Tell(name(*arguments.only), faults.Try(*arguments.only, PrintStory).verdict);
  }
  return PrintRow(
      absl::StrFormat("%-12s %-8s", Name(suite), "either"), count, arguments,
      [&faults](uint64_t seed) { return faults.Try(seed).verdict; }, name);
}

}  // namespace

DiskTableResult PrintDiskTable(const DiskTableArguments& arguments) {
  DiskTableResult total = DiskTableResult::kExact;
  const auto add = [&total](DiskTableResult row) { total = std::max(total, row); };
  const bool random = arguments.random > 0 || arguments.snapshots > 0 || arguments.files > 0;
  const uint64_t combinations =
      DiskTable({arguments.nodes, arguments.entries, true}, TableFault::kRot).combinations();
  if (!random && arguments.only.value_or(0) >= combinations) {
    Complain(absl::StrCat("there is no combination ", *arguments.only, "; they are 0 to ",
                          combinations - 1));
    return DiskTableResult::kRefused;
  }
  absl::PrintF("%d nodes, the last %d entries of the log\n", arguments.nodes, arguments.entries);
  absl::PrintF("%-12s %-8s %13s %10s %10s %10s\n", "fault", "marks", "combinations", "recovered",
               "waiting", "unsafe");
  if (arguments.random > 0) add(PrintSuite(FaultSuite::kRecords, arguments.random, arguments));
  if (arguments.snapshots > 0) {
    add(PrintSuite(FaultSuite::kSnapshots, arguments.snapshots, arguments));
  }
  if (arguments.files > 0) add(PrintSuite(FaultSuite::kFiles, arguments.files, arguments));
  if (random) return total;
  for (const TableFault fault : arguments.faults) {
    if (arguments.with_marks) add(PrintFault(fault, true, arguments));
    if (arguments.without_marks) add(PrintFault(fault, false, arguments));
  }
  return total;
}

}  // namespace raftkv::sim
