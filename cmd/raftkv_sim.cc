// raftkv-sim: chaos from a seed, judged; and the judge alone, for histories of any system.
//
//   run      one seed, with its story
//   sweep    many seeds, one shard of them on each machine
//   merge    the results of many machines, put together
//   profiles what seeds draw
//   shrink   the smallest scenario of a seed that breaks an oracle
//   replay   scenarios, as they are written down
//   hash     a number for what each seed did, to compare builds
//   check    is this history linearizable?
//   bench    how fast all this is, and what the oracles cost
//   crash-points   every crash in every job of the storage
//   disk-table     every combination of lost entries, recovered or waiting
//   fault-table    one fault in every kind of block: no loss, and writes go on
//
// Exit codes: 0 nothing wrong, 1 a violation (or a history that is not linearizable, or undecided),
// 2 it could not be done.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cmd/parse_error.h"
#include "cmd/sim/bench.h"
#include "cmd/sim/complain.h"
#include "cmd/sim/disk_table.h"
#include "cmd/sim/explore.h"
#include "cmd/sim/fault_table.h"
#include "cmd/sim/interrupt.h"
#include "cmd/sim/junit.h"
#include "cmd/sim/merge.h"
#include "cmd/sim/profiles.h"
#include "cmd/sim/results.h"
#include "cmd/sim/shrink.h"
#include "cmd/sim/sweep.h"
#include "cmd/sim/twice.h"
#include "cmd/sim/worker.h"
#include "cmd/standard_files.h"
#include "sim/check/check_command.h"
#include "sim/crash_points/crash_points.h"
#include "sim/run/run.h"
#include "sim/run/settings.h"

namespace raftkv::sim {
namespace {

constexpr int kFine = 0;
constexpr int kViolation = 1;
constexpr int kCannot = 2;

// Even when another file has taken its name since.
constexpr char kThisProgram[] = "/proc/self/exe";

// Lines of a trace that are shown with a violation.
constexpr size_t kLastLines = 40;

std::string program = "raftkv-sim";

// What runs seeds for the second time.
std::string other_program = kThisProgram;

// That a seed was not the same run in two processes is not to be seen in one.
std::string ReplayTwiceCommand(Profile profile, uint64_t seed) {
  return absl::StrFormat(
      "%s run --profile %s --seed %d --twice%s", program, Name(profile), seed,
      other_program == kThisProgram ? "" : absl::StrCat(" --other ", other_program));
}

std::string ReplayCommand(const RunSettings& settings) {
  return absl::StrFormat("%s run --profile %s --seed %d --html seed-%d.html", program,
                         Name(settings.profile), settings.seed, settings.seed);
}

// The story of a seed that failed, from its first line to the command that tells it again.
void PrintFailure(const RunSettings& settings, const SeedResult& failure) {
  absl::PrintF("SEED %d  profile %s  %s\n", settings.seed, Name(settings.profile),
               failure.violation);
  absl::PrintF("%s", DescribeSettings(settings));
  if (!failure.story.empty()) {
    absl::PrintF("%sreplay: %s\n", failure.story,
                 ReplayTwiceCommand(settings.profile, settings.seed));
    return;
  }
  std::deque<std::string> last;
  uint64_t lines = 0;
  const SeedResult again = RunTraced(settings, RunFiles(), [&](const std::string& line) {
    ++lines;
    last.push_back(line);
    if (last.size() > kLastLines) last.pop_front();
  });
  absl::PrintF("  ... the last of %d events\n", lines);
  for (const std::string& line : last) absl::PrintF("%s\n", line);
  if (again.violation != failure.violation) {
    absl::PrintF("WARNING: told again it went otherwise: %s\n",
                 again.violation.empty() ? "no violation" : again.violation);
  }
  absl::PrintF("replay: %s\n", ReplayCommand(settings));
}

struct Arguments {
  std::string seeds = "1..500";
  uint64_t seed = 1;
  Profile profile = Profile::kEverything;
  uint32_t jobs = std::max(1u, std::thread::hardware_concurrency());
  bool keep_going = false;
  bool list = false;
  bool trace = false;
  bool twice = false;
  std::string shard = "1/1";
  std::string out;    // results as lines of JSON
  std::string junit;  // results for continuous integration
  RunFiles run_files;
  std::vector<std::string> files;
};

int Cannot(absl::string_view why) {
  Complain(why);
  return kCannot;
}

bool OnColourTerminal() { return isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr; }

SweepOptions OptionsOf(const Arguments& arguments) {
  SweepOptions options;
  options.seeds = *ParseSeedRange(arguments.seeds);
  options.profile = arguments.profile;
  options.jobs = arguments.jobs;
  options.twice = arguments.twice;
  options.second = SecondProcess(other_program);
  return options;
}

bool CanExecute(const std::string& name) {
  std::error_code ignored;
  if (std::filesystem::is_directory(name, ignored)) {
    errno = EISDIR;
    return false;
  }
  return access(name.c_str(), X_OK) == 0;
}

void PrintLine(const SeedResult& result) {
  absl::PrintF(
      "seed %d  hash %016x  events %d  operations %d (%d acknowledged, %d unknown)  elections %d  "
      "faults in effect %d  %s\n",
      result.seed, result.hash, result.counters.events, result.counters.operations,
      result.counters.acknowledged, result.counters.unknown, result.counters.elections,
      result.counters.faults_in_effect,
      result.violation.empty() ? "no violation" : result.violation);
}

// Both processes that ran the seed did the same, or the story of how they did not.
int RunSeedTwice(const Arguments& arguments, const RunSettings& settings) {
  if (!CanExecute(other_program)) {
    return Cannot(absl::StrCat("cannot execute ", other_program, ": ", std::strerror(errno)));
  }
  SweepOptions options = OptionsOf(arguments);
  options.seeds = {settings.seed, settings.seed};
  const SweepResult result = Sweep(options);
  if (!result.status.ok()) return Cannot(result.status.message());
  const SeedResult& seed = result.seeds.front();
  if (seed.violation_id != "twice") return kFine;
  PrintFailure(settings, seed);
  return kViolation;
}

int RunSeed(const Arguments& arguments) {
  const RunSettings settings = DrawSettings(arguments.seed, arguments.profile);
  if (arguments.trace) absl::PrintF("%s", DescribeSettings(settings));
  RunFiles files = arguments.run_files;
  if (absl::Status status =
          CheckDistinct({files.history, files.html, files.columns, files.chrome_trace}, {});
      !status.ok()) {
    return Cannot(status.message());
  }
  for (const std::string* name :
       {&files.history, &files.html, &files.columns, &files.chrome_trace}) {
    if (absl::Status status = CheckWritable(*name); !status.ok()) return Cannot(status.message());
  }
  if (arguments.twice) {
    const int code = RunSeedTwice(arguments, settings);
    if (code != kFine) return code;
  }
  files.replay = ReplayCommand(settings);
  std::function<void(const std::string&)> line;
  if (arguments.trace) line = [](const std::string& text) { absl::PrintF("%s\n", text); };
  const SeedResult result = RunTraced(settings, files, line);
  if (!result.problem.empty()) (void)Cannot(result.problem);
  if (!result.violation.empty()) {
    if (arguments.trace) {
      absl::PrintF("SEED %d  profile %s  %s\n", settings.seed, Name(settings.profile),
                   result.violation);
    } else {
      PrintFailure(settings, result);
    }
    return kViolation;
  }
  if (!result.problem.empty()) return kCannot;
  PrintLine(result);
  if (arguments.twice) absl::PrintF("two processes did the same\n");
  return kFine;
}

// Whether the results of a file are of the same runs as ours would be. The version does not say it:
// it may have been another commit. A sentence if they are not.
absl::StatusOr<std::string> FindOtherBuild(const SweepOptions& options,
                                           const ResultSet::Seeds& recorded) {
  const auto it = std::find_if(recorded.rbegin(), recorded.rend(),
                               [](const auto& each) { return each.second.violation.empty(); });
  if (it == recorded.rend()) return std::string();
  SweepOptions one = options;
  one.seeds = {it->first, it->first};
  one.shard = Shard();
  one.jobs = 1;
  one.twice = false;
  const SweepResult again = Sweep(one);
  if (!again.status.ok()) return again.status;
  const SeedResult& now = again.seeds.front();
  if (now.hash == it->second.hash && DifferenceOf(it->second, now).empty()) return std::string();
  return absl::StrFormat(
      "seed %d has hash %016x there and %016x here: those results are of another build. Take "
      "another file",
      it->first, it->second.hash, now.hash);
}

JUnitSuite SuiteOf(const SweepOptions& options, const SweepResult& result) {
  JUnitSuite suite;
  suite.profile = std::string(Name(options.profile));
  suite.seeds = absl::StrCat(
      options.seeds.first, "..", options.seeds.last,
      options.shard.whole() ? ""
                            : absl::StrCat(" shard ", options.shard.part, "/", options.shard.of));
  suite.results = result.seeds;
  suite.properties = {{"version", RAFTKV_VERSION}, {"jobs", absl::StrCat(options.jobs)}};
  const uint64_t all = ShardSeeds(options.seeds, options.shard).count();
  if (result.seeds.size() < all) {
    suite.incomplete =
        absl::StrCat(Grouped(all - result.seeds.size()), " of ", Grouped(all), " seeds not run");
  }
  return suite;
}

int RunSweep(const Arguments& arguments) {
  SweepOptions options = OptionsOf(arguments);
  options.shard = *ParseShard(arguments.shard);
  options.keep_going = arguments.keep_going;
  options.progress = isatty(STDOUT_FILENO) != 0;
  if (arguments.twice && !CanExecute(other_program)) {
    return Cannot(absl::StrCat("cannot execute ", other_program, ": ", std::strerror(errno)));
  }
  absl::Status writable = CheckDistinct({arguments.out, arguments.junit}, {});
  if (writable.ok()) writable = CheckWritable(arguments.junit);
  if (!writable.ok()) return Cannot(writable.message());
  std::unique_ptr<ResultsFile> file;
  if (!arguments.out.empty()) {
    absl::StatusOr<std::unique_ptr<ResultsFile>> opened =
        ResultsFile::Open(arguments.out, OriginHere(options.profile));
    if (!opened.ok()) return Cannot(opened.status().message());
    file = *std::move(opened);
    if (!file->remark().empty()) Complain(file->remark());
    for (const std::string& sentence : file->disagreements()) {
      absl::PrintF("NOT DETERMINISTIC %s\n", sentence);
    }
    if (!file->disagreements().empty()) return kViolation;
    const absl::StatusOr<std::string> other_build = FindOtherBuild(options, file->recorded());
    if (!other_build.ok()) return Cannot(other_build.status().message());
    if (!other_build->empty()) return Cannot(absl::StrCat(arguments.out, ": ", *other_build));
    options.recorded = &file->recorded();
    options.finished = [&file](const SeedResult& seed) { return file->Append(seed); };
  }
  CatchInterrupts();
  const SweepResult result = Sweep(options);
  absl::Status status = result.status;
  if (status.ok() && !arguments.junit.empty()) {
    status = WriteWholeFile(arguments.junit,
                            FormatJUnit({SuiteOf(options, result)}, absl::StrCat(program, " run")));
  }
  // What was found is said, whatever else went wrong.
  if (!status.ok()) {
    for (const SeedResult& seed : result.seeds) {
      if (seed.violation.empty()) continue;
      absl::PrintF("SEED %d  profile %s  %s\n", seed.seed, Name(options.profile), seed.violation);
    }
    return Cannot(status.message());
  }
  bool failed = false;
  for (const SeedResult& seed : result.seeds) {
    if (arguments.list) PrintLine(seed);
    if (seed.violation.empty()) continue;
    const RunSettings settings = DrawSettings(seed.seed, options.profile);
    if (!options.keep_going) {
      PrintFailure(settings, seed);
      return kViolation;
    }
    absl::PrintF("SEED %d  profile %s  %s\n%s", seed.seed, Name(options.profile), seed.violation,
                 seed.story);
    failed = true;
  }
  absl::PrintF("%s", FormatSummary(options, result));
  if (!failed) return kFine;
  for (const SeedResult& seed : result.seeds) {
    if (seed.violation.empty()) continue;
    absl::PrintF("replay: %s\n", seed.violation_id == "twice"
                                     ? ReplayTwiceCommand(options.profile, seed.seed)
                                     : ReplayCommand(DrawSettings(seed.seed, options.profile)));
    break;
  }
  return kViolation;
}

int RunExploration(ExploreOptions options) {
  options.progress = isatty(STDOUT_FILENO) != 0;
  options.failed = [&options, first = true](const ExploreFailure& failure) mutable {
    if (!first && !options.keep_going) return;
    first = false;
    absl::PrintF("%s%s", options.progress ? "\r\x1b[K" : "",
                 KeepFailure(program, options, failure));
    std::fflush(stdout);
  };
  CatchInterrupts();
  const ExploreResult result = Explore(options);
  if (!result.status.ok()) return Cannot(result.status.message());
  absl::PrintF("%s", FormatExplored(options, result));
  return result.failures == 0 ? kFine : kViolation;
}

int PrintHashes(const Arguments& arguments) {
  SweepOptions options = OptionsOf(arguments);
  options.keep_going = true;
  if (arguments.twice && !CanExecute(other_program)) {
    return Cannot(absl::StrCat("cannot execute ", other_program, ": ", std::strerror(errno)));
  }
  const SweepResult result = Sweep(options);
  if (!result.status.ok()) return Cannot(result.status.message());
  bool failed = false;
  for (const SeedResult& seed : result.seeds) {
    absl::PrintF("%d %016x\n", seed.seed, seed.hash);
    if (seed.violation.empty()) continue;
    absl::FPrintF(stderr, "SEED %d  %s\n%s", seed.seed, seed.violation, seed.story);
    failed = true;
  }
  return failed ? kViolation : kFine;
}

int ExitCode(MergeResult result) {
  switch (result) {
    case MergeResult::kWhole:
      return kFine;
    case MergeResult::kViolation:
      return kViolation;
    case MergeResult::kIncomplete:
    case MergeResult::kCannot:
      break;
  }
  return kCannot;
}

int MergeFiles(MergeArguments merge, const std::string& seeds) {
  if (!seeds.empty()) merge.seeds = *ParseSeedRange(seeds);
  merge.program = program;
  if (absl::Status status = CheckDistinct({merge.out, merge.junit}, merge.files); !status.ok()) {
    return Cannot(status.message());
  }
  for (const std::string* name : {&merge.out, &merge.junit}) {
    if (absl::Status status = CheckWritable(*name); !status.ok()) return Cannot(status.message());
  }
  return ExitCode(Merge(merge));
}

int CheckFiles(const Arguments& arguments) {
  const bool color = OnColourTerminal();
  int code = kFine;
  for (const std::string& name : arguments.files) {
    const absl::StatusOr<std::string> text = ReadWholeFile(name);
    if (!text.ok()) {
      code = Cannot(text.status().message());
      continue;
    }
    const auto start = std::chrono::steady_clock::now();
    const absl::StatusOr<CheckReport> report = CheckHistoryText(name, *text);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (!report.ok()) {
      code = Cannot(report.status().message());
      continue;
    }
    absl::PrintF("%7.3f s  %s", seconds, FormatReport(*report, color));
    if (report->verdict != Verdict::kLinearizable && code == kFine) code = kViolation;
  }
  return code;
}

int ListCrashPoints(const CrashPointOptions& options, const std::string& only) {
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  absl::PrintF("%-30s %6s %10s %12s %8s\n", "job of the storage", "cuts", "states", "undecided",
               "sampled");
  uint64_t states = 0;
  int code = kFine;
  for (const std::string& job : CrashPointJobs()) {
    if (!only.empty() && job != only) continue;
    if (terminal) {
      absl::PrintF("%-30s ...\r", job);
      std::fflush(stdout);
    }
    const CrashPointResult result = ExploreCrashPoints(job, options);
    states += result.states;
    absl::PrintF("%-30s %6d %10d %12s %8d\n", job, result.cuts, result.states,
                 absl::StrCat("up to ", result.most_undecided), result.sampled_cuts);
    if (result.failure.empty()) continue;
    absl::PrintF("FAILURE %s\n", result.failure);
    code = kViolation;
  }
  absl::PrintF("%d states recovered, %s\n", states,
               code == kFine ? "0 failures" : "some of them wrongly");
  return code;
}

int ExitCode(DiskTableResult result) {
  switch (result) {
    case DiskTableResult::kExact:
      return kFine;
    case DiskTableResult::kWrong:
      return kViolation;
    case DiskTableResult::kRefused:
      return kCannot;
    case DiskTableResult::kBroken:
      break;
  }
  return Cannot("the system has no more processes or pipes to give");
}

int ExitCode(CommandResult result) {
  switch (result) {
    case CommandResult::kFine:
      return kFine;
    case CommandResult::kViolation:
      return kViolation;
    case CommandResult::kCannot:
      break;
  }
  return kCannot;
}

int RunBench(const std::string& seeds, BenchArguments bench) {
  bench.seeds = *ParseSeedRange(seeds);
  bench.progress = isatty(STDOUT_FILENO) != 0;
  return PrintBench(bench) == BenchResult::kMeasured ? kFine : kViolation;
}

int ListFaultTable(FaultTableArguments table, const Arguments& arguments) {
  constexpr uint64_t kMostSeeds = 1'000'000;
  table.seeds = *ParseSeedRange(arguments.seeds);
  if (table.seeds.count() > kMostSeeds) {
    return Cannot(absl::StrCat("--seeds: more than ", kMostSeeds, " for each cell"));
  }
  table.jobs = arguments.jobs;
  table.progress = isatty(STDOUT_FILENO) != 0;
  return ExitCode(PrintFaultTable(table));
}

int ListDiskTable(DiskTableArguments table, const Arguments& arguments) {
  if (table.nodes * table.entries > 20) {
    return Cannot("nodes times entries must not be above 20");
  }
  table.jobs = arguments.jobs;
  table.progress = isatty(STDOUT_FILENO) != 0;
  return ExitCode(PrintDiskTable(table));
}

// Words that stand for values: the error says which there are.
template <typename Value>
CLI::Validator OneOf(const char* what, const std::map<std::string, Value>& values) {
  const auto choose = [what, values](std::string& text) -> std::string {
    const auto it = values.find(text);
    if (it != values.end()) {
      text = absl::StrCat(static_cast<int>(it->second));
      return "";
    }
    return absl::StrCat("there is no ", what, " '", text, "'; there are ",
                        absl::StrJoin(values, ", ", [](std::string* out, const auto& value) {
                          out->append(value.first);
                        }));
  };
  return CLI::Validator(choose, "");
}

// In decimal, as it is written everywhere else: nothing is cut to fit, or taken for octal.
CLI::Validator WholeNumber(uint64_t least = 0,
                           uint64_t most = std::numeric_limits<uint64_t>::max()) {
  const auto check = [least, most](std::string& text) -> std::string {
    uint64_t number = 0;
    const bool plain = !text.empty() && absl::c_all_of(text, absl::ascii_isdigit) &&
                       (text[0] != '0' || text.size() == 1);
    if (plain && absl::SimpleAtoi(text, &number) && number >= least && number <= most) return "";
    return absl::StrCat("'", text, "' is no whole number from ", least, " to ", most);
  };
  return CLI::Validator(check, "");
}

// A variable of a script that is empty is no wish for nothing.
CLI::Validator SomeName() {
  const auto check = [](std::string& text) -> std::string {
    return text.empty() ? "the name is empty" : "";
  };
  return CLI::Validator(check, "");
}

int Main(int argc, char** argv) {
  program = argv[0];
  Arguments arguments;
  CLI::App app("Deterministic chaos over the code of the raftkv node.");
  app.require_subcommand(1);
  app.set_version_flag("--version", RAFTKV_VERSION);

  std::map<std::string, Profile> profiles;
  std::string about = "Which faults: ";
  for (const ProfileInfo& info : AllProfiles()) {
    profiles.emplace(std::string(info.name), info.profile);
    absl::StrAppend(&about, about.back() == ' ' ? "" : "; ", info.name, " (", info.about, ")");
  }
  const auto seed_range = [](const std::string& text) {
    return ParseSeedRange(text).has_value() ? std::string()
                                            : absl::StrCat("'", text, "' is no seed or range A..B");
  };
  const auto add_profile = [&](CLI::App* command) {
    command->add_option("--profile", arguments.profile, about)
        ->transform(OneOf("profile", profiles))
        ->default_str("everything");
  };
  const auto add_sweep = [&](CLI::App* command) {
    add_profile(command);
    command->add_option("--seeds", arguments.seeds, "Seeds A..B, both included")
        ->check(seed_range)
        ->capture_default_str();
    command->add_option("--jobs", arguments.jobs, "Processes at once")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
  };

  const auto add_twice = [&](CLI::App* command) {
    CLI::Option* twice = command->add_flag(
        "--twice", arguments.twice,
        "Run each seed a second time in another process: it must be the same run");
    command
        ->add_option("--other", other_program,
                     "With --twice: the second process is this build of raftkv-sim")
        ->needs(twice);
  };

  CLI::App* run = app.add_subcommand("run", "Run one seed and say what happened");
  run->add_option("--seed", arguments.seed, "The seed")->required()->check(WholeNumber());
  add_profile(run);
  add_twice(run);
  run->add_flag("--trace", arguments.trace, "Print every event");
  run->add_option("--history", arguments.run_files.history,
                  "Write what the clients saw to this file");
  run->add_option("--html", arguments.run_files.html,
                  "Draw the run: a page with everything in it, for any browser");
  run->add_option("--trace-columns", arguments.run_files.columns,
                  "Write the run as text with a column for each node");
  run->add_option("--chrome-trace", arguments.run_files.chrome_trace,
                  "Write the run for Perfetto (ui.perfetto.dev)");
  run->add_option("--html-events", arguments.run_files.events,
                  "So many events are shown by these three, the last of the run")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();

  ShrinkArguments shrunk;
  CLI::App* shrink =
      app.add_subcommand("shrink", "Make the smallest scenario of a seed that breaks an oracle");
  CLI::Option* shrink_seed =
      shrink->add_option("--seed", shrunk.seed, "The seed")->check(WholeNumber());
  add_profile(shrink);
  shrink->add_option("--scenario", shrunk.file, "Shrink this scenario further instead of a seed")
      ->excludes(shrink_seed);
  shrink->add_option("--out", shrunk.out, "Write the scenario to this file");
  shrink->add_option("--seconds", shrunk.seconds, "So long it may take")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str();
  shrink->add_option("--jobs", arguments.jobs, "Processes at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();

  ReplayArguments replayed;
  CLI::App* replay = app.add_subcommand("replay", "Play scenarios (docs/formats/scenario.md)");
  replay->add_option("files", replayed.files, "Scenarios")->required();
  replay->add_flag("--broken", replayed.broken,
                   "The bug is there: what each of them expects has to be broken");
  replay->add_flag("--trace", replayed.trace, "Print every event");
  replay->add_option("--html", replayed.run_files.html, "Draw the run, as 'run' does");
  replay->add_option("--trace-columns", replayed.run_files.columns,
                     "Write it as text with a column for each node");
  replay->add_option("--history", replayed.run_files.history,
                     "Write what the clients saw to this file");

  CLI::App* sweep = app.add_subcommand("sweep", "Run many seeds, stop at the first violation");
  add_sweep(sweep);
  add_twice(sweep);
  sweep->add_flag("--keep-going", arguments.keep_going, "Do not stop at a violation");
  sweep->add_flag("--list", arguments.list, "Print a line for each seed");
  const auto shard_of = [](const std::string& text) {
    return ParseShard(text).has_value()
               ? std::string()
               : absl::StrCat("'", text, "' is no shard I/N with I from 1 to N");
  };
  sweep
      ->add_option("--shard", arguments.shard,
                   "Only every N-th of the seeds, from the I-th on: I/N")
      ->check(shard_of)
      ->capture_default_str();
  sweep->add_option("--out", arguments.out,
                    "Write a line of JSON for each seed to this file as it finishes; seeds that "
                    "are there already are not run");
  sweep->add_option("--junit", arguments.junit, "Write JUnit XML to this file");
  ExploreOptions explored;
  explored.guide.guided = false;
  bool no_attacks = false, count_states = false;
  CLI::Option_group* exploring = sweep->add_option_group("What runs come to");
  CLI::Option* guided = exploring->add_flag(
      "--guided", explored.guide.guided,
      "Vary runs that came to states of the cluster that were new or rare; as many "
      "runs as there are seeds, which are used as fresh ones are needed");
  exploring->add_flag("--count-states", count_states,
                      "Count the abstract states of the cluster that the seeds come to");
  exploring->add_flag("--no-attacks", no_attacks, "The nemesis has no attacks");
  exploring
      ->add_option("--cpu-seconds", explored.cpu_seconds,
                   "Begin no more runs after so much time of CPU, of all processes together")
      ->check(WholeNumber(1, 1'000'000'000));
  exploring
      ->add_option("--corpus", explored.corpus,
                   "With --guided: recipes in this folder are run first, new ones are added")
      ->needs(guided)
      ->check(SomeName());
  exploring
      ->add_option("--failures", explored.failures,
                   "Scenarios of what these runs break are written to this folder (default: the "
                   "current one)")
      ->check(SomeName());
  for (const char* other : {"--twice", "--shard", "--out", "--junit", "--list"}) {
    exploring->excludes(sweep->get_option(other));
  }

  CLI::App* hash = app.add_subcommand("hash", "Print a line 'seed hash' for each seed");
  add_sweep(hash);
  add_twice(hash);

  CLI::App* merge_command = app.add_subcommand("merge", "Put results of many machines together");
  MergeArguments merge;
  std::string merged_seeds;
  merge_command->add_option("files", merge.files, "Written by sweep --out")->required();
  merge_command
      ->add_option("--seeds", merged_seeds,
                   "Seeds A..B, all of which must be there (default: the least to the greatest)")
      ->check(seed_range);
  merge_command->add_option("--out", merge.out, "Write all results to this file, by seed");
  merge_command->add_option("--junit", merge.junit, "Write JUnit XML to this file");

  CLI::App* profiles_command =
      app.add_subcommand("profiles", "Which faults and sizes the seeds of each profile draw");

  // What sweep --twice starts; not for people.
  CLI::App* worker = app.add_subcommand("worker", "Answer requests for seeds")->group("");

  BenchArguments measured;
  std::string bench_seeds = "1..20";
  CLI::App* bench = app.add_subcommand(
      "bench",
      "Measure events and simulated time per second of one core, with and without oracles");
  bench->add_option("--seeds", bench_seeds, "Seeds A..B of each profile, both included")
      ->check(seed_range)
      ->capture_default_str();
  bench->add_option("--rounds", measured.rounds, "So many times each, in turns")
      ->check(CLI::Range(1, 1'000))
      ->capture_default_str();

  CLI::App* check = app.add_subcommand("check", "Judge recorded histories");
  check->add_option("files", arguments.files, "Histories: Jepsen logs, EDN, or our own format")
      ->required();

  CLI::App* crash_points = app.add_subcommand(
      "crash-points", "Cut each job of the storage after each of its operations, and recover");
  CrashPointOptions crash;
  std::string only_job;
  crash_points
      ->add_option("--exhaustive", crash.exhaustive,
                   "So many things that are not synced are tried in all combinations")
      ->check(CLI::Range(0, 20))
      ->capture_default_str();
  crash_points
      ->add_option("--samples", crash.samples,
                   "With more of them: so many combinations, for each cut")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  crash_points->add_option("--only", only_job, "One job, by its name")
      ->check(CLI::IsMember(CrashPointJobs()).description(""));

  DiskTableArguments table;
  CLI::App* disk_table = app.add_subcommand(
      "disk-table", "Damage every combination of the last entries' copies, and recover");
  disk_table->add_option("--nodes", table.nodes, "Members of the cluster; one alone asks nobody")
      ->check(CLI::Range(2, 9))
      ->capture_default_str();
  disk_table->add_option("--entries", table.entries, "The last entries of the log")
      ->check(CLI::Range(1, 16))
      ->capture_default_str();
  std::map<std::string, TableFault> faults;
  for (const TableFault fault :
       {TableFault::kRot, TableFault::kGarbage, TableFault::kZeros, TableFault::kReadError}) {
    faults.emplace(std::string(Name(fault)), fault);
  }
  disk_table
      ->add_option("--fault", table.faults,
                   "What happens to a record: rot, garbage, zeros, read-error (several)")
      ->transform(OneOf("fault", faults))
      ->default_str("rot read-error");
  std::string marks = "both";
  disk_table
      ->add_option("--marks", marks, "The durable marks know of the entries: with, without, both")
      ->check(CLI::IsMember({"with", "without", "both"}).description(""))
      ->capture_default_str();
  const CLI::Validator count = WholeNumber(1, std::numeric_limits<uint32_t>::max());
  for (const auto& [name, suite, about_it] :
       {std::tuple("--random", &table.random,
                   "Instead: so many random faults in records, on nodes that lag or crash"),
        std::tuple("--snapshots", &table.snapshots, "Instead: so many faults in snapshots"),
        std::tuple("--files", &table.files, "Instead: so many faults of whole files")}) {
    disk_table->add_option(name, *suite, about_it)
        ->check(count)
        ->excludes(disk_table->get_option("--fault"))
        ->excludes(disk_table->get_option("--marks"));
  }
  disk_table->add_option("--only", table.only, "Play one combination or trial, and tell its story")
      ->check(WholeNumber());
  disk_table->add_option("--jobs", arguments.jobs, "Processes at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();

  FaultTableArguments fault;
  std::string fault_seeds = "1..2";
  CLI::App* fault_table = app.add_subcommand(
      "fault-table", "One fault on one node, in every kind of block: no loss, and writes go on");
  fault_table->add_option("--seeds", fault_seeds, "Seeds A..B, both included, for each cell")
      ->check(seed_range)
      ->capture_default_str();
  fault_table->add_option("--only", fault.only,
                          "Play one cell, as 'vote, copy 1/zeros/leader', and tell its story");
  fault_table->add_option("--jobs", arguments.jobs, "Processes at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();

  for (CLI::App* command : app.get_subcommands(nullptr)) {
    for (const char* name : {"--history", "--html", "--trace-columns", "--chrome-trace", "--out",
                             "--junit", "--scenario", "--other"}) {
      if (CLI::Option* option = command->get_option_no_throw(name)) option->check(SomeName());
    }
  }
  std::vector<std::string> commands;
  bool known = argc < 2 || argv[1][0] == '-';
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    known = known || command->get_name() == argv[1];
    if (!command->get_group().empty()) commands.push_back(command->get_name());
  }
  if (!known) {
    return Cannot(absl::StrCat("there is no command '", argv[1], "'; there are ",
                               absl::StrJoin(commands, ", ")));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    return Cannot(absl::StrCat(WhatIsWrong(app, error), " (see raftkv-sim --help)"));
  }
  if (worker->parsed()) {
    ServeSeeds(STDIN_FILENO, STDOUT_FILENO,
               [](const RunSettings& settings, const Audience& audience) {
                 return Simulate(settings, audience);
               });
    return kFine;
  }
  if (merge_command->parsed()) return MergeFiles(std::move(merge), merged_seeds);
  if (profiles_command->parsed()) {
    absl::PrintF("%s", FormatProfiles(OnColourTerminal()));
    return kFine;
  }
  if (run->parsed()) return RunSeed(arguments);
  if (shrink->parsed()) {
    if (shrink_seed->empty() && shrunk.file.empty()) {
      return Cannot("shrink needs --seed or --scenario");
    }
    shrunk.profile = arguments.profile;
    shrunk.jobs = arguments.jobs;
    shrunk.progress = isatty(STDERR_FILENO) != 0;
    return ExitCode(ShrinkRun(shrunk));
  }
  if (replay->parsed()) {
    const RunFiles& files = replayed.run_files;
    if (replayed.files.size() > 1 && (files.picture() || !files.history.empty())) {
      return Cannot("files are written about one scenario at a time");
    }
    return ExitCode(Replay(replayed));
  }
  if (sweep->parsed()) {
    if (exploring->count_all() == 0) return RunSweep(arguments);
    const SeedRange seeds = *ParseSeedRange(arguments.seeds);
    explored.guide.first_seed = seeds.first;
    explored.guide.profile = arguments.profile;
    explored.guide.attacks = !no_attacks;
    explored.count_states = count_states || explored.guide.guided;
    const bool until_time = explored.cpu_seconds > 0 && sweep->count("--seeds") == 0;
    explored.runs = until_time ? std::numeric_limits<uint64_t>::max() : seeds.count();
    explored.jobs = arguments.jobs;
    explored.keep_going = arguments.keep_going;
    return RunExploration(explored);
  }
  if (hash->parsed()) return PrintHashes(arguments);
  if (bench->parsed()) return RunBench(bench_seeds, measured);
  if (crash_points->parsed()) return ListCrashPoints(crash, only_job);
  if (fault_table->parsed()) {
    arguments.seeds = fault_seeds;
    return ListFaultTable(std::move(fault), arguments);
  }
  if (disk_table->parsed()) {
    table.with_marks = marks != "without";
    table.without_marks = marks != "with";
    return ListDiskTable(std::move(table), arguments);
  }
  return CheckFiles(arguments);
}

}  // namespace
}  // namespace raftkv::sim

int main(int argc, char** argv) {
  raftkv::KeepStandardFiles();
  const int code = raftkv::sim::Main(argc, argv);
  // A result that is cut off (a full disk) is not one.
  const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  raftkv::sim::EndIfInterrupted();
  if (written) return code;
  return raftkv::sim::Cannot(absl::StrCat("cannot write to stdout: ", std::strerror(errno)));
}
