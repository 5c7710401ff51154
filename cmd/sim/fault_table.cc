#include "cmd/sim/fault_table.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "cmd/sim/complain.h"
#include "cmd/sim/spread.h"
#include "sim/fault_table/fault_table.h"

namespace raftkv::sim {
namespace {

constexpr size_t kColumns = 2 * kBlockFaults;
constexpr size_t kExamples = 20;

struct CellCount {
  uint64_t wrong = 0;
  uint64_t effects = 0;
};

FaultCell CellOf(uint64_t number) {
  return {AllBlocks()[number / kColumns], static_cast<BlockFault>(number % kColumns / 2),
          number % 2 == 0};
}

std::string NameOf(const FaultCell& cell) {
  return absl::StrCat(Name(cell.block), "/", Name(cell.fault), "/",
                      cell.leader ? "leader" : "follower");
}

// "effect writes text", in one line.
std::string Pack(const CellVerdict& verdict) {
  std::string line = absl::StrCat(verdict.effect ? 1 : 0, " ", verdict.writes, " ", verdict.wrong);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

CellVerdict Unpack(const std::string* line) {
  CellVerdict verdict;
  if (line == nullptr) {
    verdict.wrong = "the process that played it ended";
    return verdict;
  }
  const std::vector<std::string> parts = absl::StrSplit(*line, absl::MaxSplits(' ', 2));
  verdict.effect = parts[0] == "1";
  if (parts.size() < 3 || !absl::SimpleAtoi(parts[1], &verdict.writes)) {
    verdict.wrong = "no answer";
    return verdict;
  }
  verdict.wrong = parts[2];
  return verdict;
}

void PrintBar(uint64_t done, uint64_t of) {
  constexpr uint64_t kWidth = 24;
  const uint64_t filled = done * kWidth / of;
  absl::PrintF("\r[%s%s] %d/%d", std::string(filled, '#'), std::string(kWidth - filled, '.'), done,
               of);
  std::fflush(stdout);
}

DiskTableResult PrintOne(const FaultTableArguments& arguments) {
  for (uint64_t number = 0; number < AllBlocks().size() * kColumns; ++number) {
    if (NameOf(CellOf(number)) != arguments.only) continue;
    const CellVerdict verdict =
        TryCell(CellOf(number), arguments.seeds.first, [](Time now, absl::string_view line) {
          absl::PrintF("%4d.%06d  %s\n", now / kSecond, now % kSecond, line);
        });
    absl::PrintF("%s: %s; %d writes acknowledged\n", arguments.only,
                 !verdict.wrong.empty() ? verdict.wrong
                 : verdict.effect       ? "ok"
                                        : "no effect",
                 verdict.writes);
    return verdict.wrong.empty() ? DiskTableResult::kExact : DiskTableResult::kWrong;
  }
  Complain(absl::StrCat("there is no cell '", arguments.only, "'; they are called like '",
                        NameOf(CellOf(0)), "'"));
  return DiskTableResult::kRefused;
}

}  // namespace

DiskTableResult PrintFaultTable(const FaultTableArguments& arguments) {
  if (!arguments.only.empty()) return PrintOne(arguments);
  const uint64_t seeds = arguments.seeds.count();
  const uint64_t cells = AllBlocks().size() * kColumns;
  std::vector<CellCount> counts(cells);
  std::vector<std::string> examples;
  uint64_t done = 0;
  uint64_t wrong = 0;
  uint64_t writes = 0;
  uint64_t fewest = UINT64_MAX;
  const bool whole = Spread(
      cells * seeds, arguments.jobs,
      [&](uint64_t number) {
        return Pack(TryCell(CellOf(number % cells), arguments.seeds.first + number / cells));
      },
      [&](uint64_t number, const std::string* line) {
        const CellVerdict verdict = Unpack(line);
        CellCount& count = counts[number % cells];
        count.effects += verdict.effect ? 1 : 0;
        writes += verdict.writes;
        ++done;
        if (arguments.progress) PrintBar(done, cells * seeds);
        if (verdict.wrong.empty()) {
          fewest = std::min(fewest, verdict.writes);
          return;
        }
        ++count.wrong;
        ++wrong;
        if (examples.size() >= kExamples) return;
        examples.push_back(absl::StrCat(NameOf(CellOf(number % cells)), ", seed ",
                                        arguments.seeds.first + number / cells, ": ",
                                        verdict.wrong));
      });
  if (arguments.progress) absl::PrintF("\r%60s\r", "");
  if (!whole) return DiskTableResult::kBroken;

  absl::PrintF("3 nodes under load, one fault, seeds %d..%d\n%-24s", arguments.seeds.first,
               arguments.seeds.last, "");
  for (size_t fault = 0; fault < kBlockFaults; ++fault) {
    absl::PrintF(" %15s  ", Name(static_cast<BlockFault>(fault)));
  }
  absl::PrintF("\n%-24s", "block");
  for (size_t fault = 0; fault < kBlockFaults; ++fault)
    absl::PrintF(" %8s %8s", "leader", "follow.");
  absl::PrintF("\n");
  for (uint64_t number = 0; number < cells; ++number) {
    const CellCount& count = counts[number];
    if (number % kColumns == 0) absl::PrintF("%-24s", Name(CellOf(number).block));
    absl::PrintF(" %8s", count.wrong > 0     ? absl::StrCat(count.wrong, " BAD")
                         : count.effects > 0 ? "ok"
                                             : "-");
    if (number % kColumns == kColumns - 1) absl::PrintF("\n");
  }
  for (const std::string& example : examples) absl::PrintF("%s\n", example);
  absl::PrintF("%d runs, %d wrong; %d writes acknowledged under a fault, at least %d in each\n",
               done, wrong, writes, fewest == UINT64_MAX ? 0 : fewest);
  absl::PrintF("-: the fault has no effect there, as nothing is written or made longer\n");
  return wrong == 0 && done == cells * seeds ? DiskTableResult::kExact : DiskTableResult::kWrong;
}

}  // namespace raftkv::sim
