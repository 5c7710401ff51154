#include "cmd/sim/shrink.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cmd/sim/complain.h"
#include "cmd/sim/interrupt.h"
#include "cmd/sim/results.h"
#include "cmd/sim/trials.h"
#include "sim/scenario/scenario.h"
#include "sim/shrink/shrink.h"

namespace raftkv::sim {
namespace {

constexpr uint32_t kSecondsPerTrial = 20;  // of CPU

CommandResult Cannot(absl::string_view why) {
  Complain(why);
  return CommandResult::kCannot;
}

absl::StatusOr<Scenario> ReadScenario(const std::string& name) {
  const absl::StatusOr<std::string> text = ReadWholeFile(name);
  if (!text.ok()) return text.status();
  return ParseScenario(name, *text);
}

using RunLine = std::function<void(const std::string&)>;

std::string Describe(const Violation& violation) {
  // Of a process that died nobody knows the time.
  if (violation.time < std::numeric_limits<Time>::max()) return FormatViolation(violation);
  const OracleInfo& info = InfoOf(violation.oracle);
  return absl::StrCat("VIOLATION ", info.id, " ", info.name, ": ", violation.text);
}

// Whether it went as it should, and how it went.
std::pair<bool, std::string> HowItWent(const Scenario& scenario, const TrialResult& result,
                                       bool broken) {
  if (broken) {
    if (!scenario.expect.has_value()) return {false, "it expects nothing"};
    if (!result.violation.has_value()) return {false, "the violation that it expects did not come"};
    return {result.violation->oracle == *scenario.expect, Describe(*result.violation)};
  }
  if (result.violation.has_value()) return {false, Describe(*result.violation)};
  std::string missed;
  for (size_t i = 0; i < scenario.settings.reach.size(); ++i) {
    if (i < result.reached.size() && result.reached[i]) continue;
    absl::StrAppend(&missed, missed.empty() ? "stale: it never came to '" : ", '",
                    FormatSituation(scenario.settings.reach[i]), "'");
  }
  if (!missed.empty()) return {false, missed};
  return {true, "nothing is broken"};
}

}  // namespace

CommandResult ShrinkRun(const ShrinkArguments& arguments) {
  RunSettings settings = DrawSettings(arguments.seed, arguments.profile);
  std::vector<std::string> story;
  // Said before the work, not after it.
  if (absl::Status status = CheckWritable(arguments.out); !status.ok()) {
    return Cannot(status.message());
  }
  if (!arguments.file.empty()) {
    const absl::StatusOr<Scenario> scenario = ReadScenario(arguments.file);
    if (!scenario.ok()) return Cannot(scenario.status().message());
    settings = scenario->settings;
    story = scenario->story;
  }
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  const auto spent = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  uint64_t trials = 0;
  double longest = 0;  // of those that are played together, in seconds
  const auto play = [&](const std::vector<Trial>& some) {
    trials += some.size();
    const double before = spent();
    std::vector<TrialResult> results = PlayInChildren(some, arguments.jobs, kSecondsPerTrial);
    longest = std::max(longest, spent() - before);
    return results;
  };
  Shrinker::Options options;
  options.at_once = 4 * arguments.jobs;
  options.may_go_on = [&](uint32_t percent) {
    // What is begun is played to its end.
    if (Interrupted()) return false;
    return arguments.seconds - longest - spent() > percent / 100.0 * arguments.seconds;
  };
  options.progress = [&](absl::string_view step, size_t decisions) {
    if (!arguments.progress) return;
    absl::FPrintF(stderr, "\r\033[K%5.1f s  %6d runs  %s%s", spent(), trials, step,
                  decisions > 0 ? absl::StrCat(", ", decisions, " decisions") : "");
    std::fflush(stderr);
  };
  CatchInterrupts();  // what is smallest so far is written all the same
  Shrinker shrinker(options, play);
  absl::StatusOr<Scenario> scenario = shrinker.Shrink(settings);
  if (arguments.progress) absl::FPrintF(stderr, "\r\033[K");
  if (!scenario.ok()) {
    return Cannot(absl::StrCat(
        arguments.file.empty() ? absl::StrCat("seed ", arguments.seed) : arguments.file, ": ",
        scenario.status().message()));
  }
  for (const std::string& line : story) {
    if (line != scenario->story.front()) scenario->story.push_back(line);
  }
  const std::string text = FormatScenario(*scenario);
  if (arguments.out.empty()) {
    absl::PrintF("%s", text);
  } else {
    if (absl::Status status = WriteWholeFile(arguments.out, text); !status.ok()) {
      absl::PrintF("%s", text);
      return Cannot(status.message());
    }
  }
  const OracleInfo& info = InfoOf(*scenario->expect);
  absl::FPrintF(stderr, "%s %s: %d decisions, %d nodes; %d runs in %.1f s\n", info.id, info.name,
                scenario->decisions(), scenario->settings.cluster.founders, trials, spent());
  return CommandResult::kFine;
}

CommandResult Replay(const ReplayArguments& arguments) {
  const RunFiles& wanted = arguments.run_files;
  const std::vector<std::string> written = {wanted.history, wanted.html, wanted.columns};
  absl::Status writable = CheckDistinct(written, arguments.files);
  for (const std::string& name : written) {
    if (writable.ok()) writable = CheckWritable(name);
  }
  if (!writable.ok()) return Cannot(writable.message());
  CommandResult outcome = CommandResult::kFine;
  for (const std::string& name : arguments.files) {
    const absl::StatusOr<Scenario> scenario = ReadScenario(name);
    if (!scenario.ok()) {
      (void)Cannot(scenario.status().message());
      outcome = CommandResult::kCannot;
      continue;
    }
    const TrialResult result = PlayInChildren({{scenario->settings}}, 1, kSecondsPerTrial)[0];
    if (!result.unplayed.empty()) {
      (void)Cannot(absl::StrCat(name, ": ", result.unplayed));
      outcome = CommandResult::kCannot;
      continue;
    }
    RunFiles files = arguments.run_files;
    if (arguments.trace || files.picture() || !files.history.empty()) {
      files.replay = absl::StrCat("raftkv-sim replay ", name);
      const auto line = [](const std::string& text) { absl::PrintF("%s\n", text); };
      const SeedResult shown =
          RunTraced(scenario->settings, files, arguments.trace ? line : RunLine());
      if (!shown.problem.empty()) return Cannot(shown.problem);
    }
    const auto [good, verdict] = HowItWent(*scenario, result, arguments.broken);
    absl::PrintF("%s  %s: %s\n", good ? "ok    " : "FAILED", name, verdict);
    if (!good && outcome == CommandResult::kFine) outcome = CommandResult::kViolation;
  }
  return outcome;
}

}  // namespace raftkv::sim
