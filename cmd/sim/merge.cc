#include "cmd/sim/merge.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cmd/sim/complain.h"
#include "cmd/sim/junit.h"
#include "cmd/sim/results.h"

namespace raftkv::sim {
namespace {

constexpr size_t kGapsShown = 12;
constexpr size_t kDisagreementsShown = 20;

MergeResult Cannot(absl::string_view why) {
  Complain(why);
  return MergeResult::kCannot;
}

}  // namespace

std::string MissingSeeds(const SeedRange& range, const std::vector<SeedResult>& ascending,
                         uint64_t* count) {
  std::vector<std::string> gaps;
  uint64_t more = 0;
  *count = 0;
  const auto add = [&](uint64_t first, uint64_t last) {
    *count += last - first + 1;
    if (gaps.size() == kGapsShown) {
      more += last - first + 1;
    } else {
      gaps.push_back(first == last ? absl::StrCat(first) : absl::StrCat(first, "..", last));
    }
  };
  uint64_t next = range.first;
  bool more_to_come = true;
  for (const SeedResult& result : ascending) {
    if (result.seed < next || result.seed > range.last) continue;
    if (result.seed > next) add(next, result.seed - 1);
    more_to_come = result.seed < range.last;
    if (!more_to_come) break;
    next = result.seed + 1;
  }
  if (more_to_come) add(next, range.last);
  return absl::StrCat(absl::StrJoin(gaps, ", "),
                      more == 0 ? "" : absl::StrCat(" and ", more, " more"));
}

MergeResult Merge(const MergeArguments& arguments) {
  ResultSet set;
  std::vector<std::string> cut_off;
  for (const std::string& name : arguments.files) {
    const absl::StatusOr<std::string> text = ReadWholeFile(name);
    if (!text.ok()) return Cannot(text.status().message());
    const absl::StatusOr<ResultsText> results = ParseResults(name, *text);
    if (!results.ok()) return Cannot(results.status().message());
    for (size_t i = 0; i < results->lines.size(); ++i) {
      const ResultLine& line = results->lines[i];
      if (!set.origins().empty() && set.origins().begin()->first.version != line.origin.version) {
        return Cannot(absl::StrCat(name, ":", i + 1, ": written by version ", line.origin.version,
                                   ", and there are results of version ",
                                   set.origins().begin()->first.version));
      }
      set.Add(absl::StrCat(name, ":", i + 1), line);
    }
    if (results->whole_bytes < text->size()) {
      Complain(absl::StrCat("the last line of ", name, " was cut off in writing; left out"));
      cut_off.push_back(name);
    }
  }
  if (set.origins().empty()) return Cannot("there is no result in these files");

  bool violation = !set.disagreements().empty();
  bool incomplete = false;
  std::string merged;
  std::vector<JUnitSuite> suites;
  for (const auto& [origin, seeds] : set.origins()) {
    JUnitSuite suite;
    suite.profile = std::string(Name(origin.profile));
    for (const auto& [seed, result] : seeds) {
      const SeedRange& wanted = arguments.seeds.value_or(SeedRange{seed, seed});
      if (seed < wanted.first || seed > wanted.last) continue;
      suite.results.push_back(result);
      merged += ToLine(origin, result) + "\n";
    }
    if (suite.results.empty()) {
      return Cannot(absl::StrCat("there is no result of ", suite.profile, " for these seeds"));
    }
    const SeedRange range =
        arguments.seeds.value_or(SeedRange{suite.results.front().seed, suite.results.back().seed});
    suite.seeds = absl::StrCat(range.first, "..", range.last);
    suite.properties = {{"version", origin.version},
                        {"files", absl::StrCat(arguments.files.size())}};
    uint64_t missing = 0;
    const std::string which = MissingSeeds(range, suite.results, &missing);
    absl::PrintF("merged %s  seeds %s  %d files   %s seeds%s\n%s", suite.profile, suite.seeds,
                 arguments.files.size(), Grouped(suite.results.size()),
                 set.repeated() == 0
                     ? ""
                     : absl::StrCat(", ", Grouped(set.repeated()), " of them more than once"),
                 FormatFigures(suite.results));
    for (const SeedResult& result : suite.results) {
      if (result.violation.empty()) continue;
      violation = true;
      absl::PrintF("SEED %d  profile %s  %s\n%s", result.seed, suite.profile, result.violation,
                   result.story);
      absl::PrintF("replay: %s run --profile %s --seed %d%s\n", arguments.program, suite.profile,
                   result.seed, result.violation_id == "twice" ? " --twice" : "");
    }
    if (missing > 0) {
      incomplete = true;
      suite.incomplete = absl::StrCat(Grouped(missing), " seeds are missing: ", which);
      absl::PrintF("INCOMPLETE %s: %s\n", suite.profile, suite.incomplete);
    }
    suites.push_back(std::move(suite));
  }
  for (size_t i = 0; i < set.disagreements().size() && i < kDisagreementsShown; ++i) {
    absl::PrintF("NOT DETERMINISTIC %s\n", set.disagreements()[i]);
  }
  if (set.disagreements().size() > kDisagreementsShown) {
    absl::PrintF("NOT DETERMINISTIC and %d more\n",
                 set.disagreements().size() - kDisagreementsShown);
  }
  if (!set.disagreements().empty()) {
    JUnitSuite& suite = suites.front();
    absl::StrAppend(&suite.incomplete, suite.incomplete.empty() ? "" : "; ",
                    absl::StrJoin(set.disagreements(), "; "));
  }
  // Without --seeds nobody knows how many there should be, but one more there was.
  if (!cut_off.empty() && !arguments.seeds.has_value()) {
    incomplete = true;
    JUnitSuite& suite = suites.front();
    absl::StrAppend(&suite.incomplete, suite.incomplete.empty() ? "" : "; ",
                    "the last line was cut off in ", absl::StrJoin(cut_off, ", "));
    absl::PrintF("INCOMPLETE: the last line was cut off in %s\n", absl::StrJoin(cut_off, ", "));
  }
  if (!arguments.out.empty()) {
    const absl::Status status = WriteWholeFile(arguments.out, merged);
    if (!status.ok()) return Cannot(status.message());
  }
  if (!arguments.junit.empty()) {
    const absl::Status status = WriteWholeFile(
        arguments.junit, FormatJUnit(suites, absl::StrCat(arguments.program, " run")));
    if (!status.ok()) return Cannot(status.message());
  }
  if (violation) return MergeResult::kViolation;
  return incomplete ? MergeResult::kIncomplete : MergeResult::kWhole;
}

}  // namespace raftkv::sim
