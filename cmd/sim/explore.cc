#include "cmd/sim/explore.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cmd/sim/child.h"
#include "cmd/sim/interrupt.h"
#include "cmd/sim/results.h"
#include "cmd/sim/sweep.h"
#include "cmd/sim/trials.h"
#include "nlohmann/json.hpp"
#include "sim/nemesis/fault_text.h"
#include "sim/scenario/scenario.h"

namespace raftkv::sim {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr unsigned kPatienceSeconds = 300;  // of CPU, as in worker.cc
constexpr uint32_t kSecondsPerTrial = 60;
constexpr absl::string_view kSuffix = ".recipe";

uint64_t CpuMicroseconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1'000;
}

// --- The child. Requests and answers are a length of eight bytes and so many bytes.

void AddFramed(absl::string_view bytes, std::string* to) {
  const uint64_t size = bytes.size();
  to->append(reinterpret_cast<const char*>(&size), sizeof(size));
  to->append(bytes.data(), bytes.size());
}

// Nothing while there is less than a whole one.
std::optional<std::string> TakeFramed(std::string* from) {
  uint64_t size = 0;
  if (from->size() < sizeof(size)) return std::nullopt;
  std::memcpy(&size, from->data(), sizeof(size));
  if (from->size() - sizeof(size) < size) return std::nullopt;
  std::string bytes = from->substr(sizeof(size), size);
  from->erase(0, sizeof(size) + size);
  return bytes;
}

std::string RunRecipe(const Recipe& recipe, bool count_states) {
  const uint64_t begin = CpuMicroseconds();
  const RunSettings settings = SettingsOf(recipe);
  Surveyor surveyor;
  uint64_t begun = 0;
  Audience audience;
  audience.begun = &begun;
  if (count_states) audience.surveyor = &surveyor;
  const RunReport report = Simulate(settings, audience);
  Json json;
  json["decisions"] = report.decisions;
  json["ended"] = std::min<Time>(settings.chaos, report.counters.simulated_us);
  Json& faults = json["faults"] = Json::array();
  for (const CuedFault& fault : report.faults) {
    faults.push_back({fault.cue.at, FormatFault(fault.command)});
  }
  std::vector<uint8_t> reached;
  for (const Surveyor::Reached& state : surveyor.reached()) {
    for (const uint64_t number : {state.state, state.outline, state.time, state.decisions}) {
      for (int byte = 0; byte < 8; ++byte) {
        reached.push_back(static_cast<uint8_t>(number >> (8 * byte)));
      }
    }
  }
  json["reached"] = Json::binary(std::move(reached));
  const uint64_t took = CpuMicroseconds() - begin;
  json["line"] = ToLine(OriginHere(settings.profile), ResultOf(settings, report, begun, took));
  json["cpu"] = CpuMicroseconds() - begin;
  const std::vector<uint8_t> packed = Json::to_msgpack(json);
  return std::string(packed.begin(), packed.end());
}

void ServeRecipes(int requests, int answers, bool count_states) {
  std::string buffer;
  for (;;) {
    std::optional<std::string> text;
    while (!(text = TakeFramed(&buffer)).has_value()) {
      if (!ReadSome(requests, &buffer)) return;
    }
    const absl::StatusOr<Recipe> recipe = ParseRecipe("request", *text);
    if (!recipe.ok()) return;
    EndAfterCpu(kPatienceSeconds);
    std::string answer;
    AddFramed(RunRecipe(*recipe, count_states), &answer);
    EndAfterCpu(0);
    if (!WriteAll(answers, answer)) return;
  }
}

// --- The parent

struct Ran {
  CameTo outcome;
  SeedResult result;
  uint64_t cpu_us = 0;
};

std::optional<Ran> Unpack(const std::string& bytes) {
  const Json json = Json::from_msgpack(bytes, /*strict=*/true, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  Ran ran;
  absl::StatusOr<ResultLine> line = ParseResultLine(json["line"].get<std::string>());
  if (!line.ok()) return std::nullopt;
  ran.result = std::move(line->result);
  ran.cpu_us = json["cpu"];
  ran.outcome.events = ran.result.counters.events;
  ran.outcome.decisions = json["decisions"];
  ran.outcome.ended = json["ended"];
  for (const Json& each : json["faults"]) {
    absl::StatusOr<FaultCommand> command = ParseFault(each.at(1).get<std::string>());
    if (!command.ok()) return std::nullopt;
    ran.outcome.faults.push_back({{std::nullopt, each.at(0)}, *std::move(command)});
  }
  const Json::binary_t& reached = json["reached"].get_binary();
  const auto number = [&reached](size_t at) {
    uint64_t value = 0;
    for (size_t byte = 0; byte < 8; ++byte) value |= uint64_t{reached[at + byte]} << (8 * byte);
    return value;
  };
  for (size_t at = 0; at + 32 <= reached.size(); at += 32) {
    ran.outcome.reached.push_back({number(at), number(at + 8), number(at + 16), number(at + 24)});
  }
  return ran;
}

class Runner {
 public:
  explicit Runner(bool count_states) : count_states_(count_states) {}

  bool busy() const { return run_.has_value(); }
  uint64_t run() const { return *run_; }
  int fd() const { return child_.fd(); }

  // False when the system has no more to give.
  bool Run(uint64_t run, const Recipe& recipe) {
    if (!child_.runs() && !child_.Start([this](int requests, int answers) {
          ServeRecipes(requests, answers, count_states_);
        })) {
      return false;
    }
    run_ = run;
    std::string request;
    AddFramed(FormatRecipe(recipe), &request);
    child_.Send(request);
    return true;
  }

  // When there is something to read: what came of the run, once it is whole.
  std::optional<Ran> Read() {
    if (!child_.Read(&buffer_)) return Died(child_.Epitaph());
    const std::optional<std::string> answer = TakeFramed(&buffer_);
    if (!answer.has_value()) return std::nullopt;
    run_.reset();
    if (std::optional<Ran> ran = Unpack(*answer)) return ran;
    return Died("the process gave no result");
  }

 private:
  Ran Died(const std::string& how) {
    Ran ran;
    SetCrashFreeViolation(how, &ran.result);
    child_.End();
    run_.reset();
    buffer_.clear();
    return ran;
  }

  bool count_states_;
  ChildServer child_;
  std::optional<uint64_t> run_;
  std::string buffer_;
};

absl::Status LoadCorpus(const std::string& folder, Guide* guide) {
  std::error_code error;
  fs::create_directories(folder, error);
  std::set<std::string> names;
  for (const fs::directory_entry& file : fs::directory_iterator(folder, error)) {
    if (file.path().extension() != std::string(kSuffix)) continue;
    if (file.is_regular_file()) names.insert(file.path().string());
  }
  if (error) return absl::UnavailableError(absl::StrCat(folder, ": ", error.message()));
  for (const std::string& name : names) {
    const absl::StatusOr<std::string> text = ReadWholeFile(name);
    if (!text.ok()) return text.status();
    absl::StatusOr<Recipe> recipe = ParseRecipe(name, *text);
    if (!recipe.ok()) return recipe.status();
    if (recipe->profile != guide->options().profile) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": a recipe of profile ", Name(recipe->profile),
                       ", and this sweep is of ", Name(guide->options().profile)));
    }
    guide->Offer(*std::move(recipe));
  }
  return absl::OkStatus();
}

// Whole or not at all: a recipe that was cut off in writing would spoil the folder.
absl::Status AddToCorpus(const std::string& folder, const Recipe& recipe) {
  const std::string text = FormatRecipe(recipe);
  const std::string name = absl::StrFormat("%s/%016x%s", folder, HashBytes(text), kSuffix);
  const std::string unfinished = absl::StrCat(name, ".", getpid());
  std::error_code error;
  absl::Status status = WriteWholeFile(unfinished, text);
  if (status.ok()) {
    fs::rename(unfinished, name, error);
    if (error) status = absl::UnavailableError(absl::StrCat(name, ": ", error.message()));
  }
  if (!status.ok()) fs::remove(unfinished, error);
  return status;
}

absl::Status MakeFolder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return absl::UnavailableError(absl::StrCat(folder, ": ", error.message()));
  if (access(folder.c_str(), W_OK | X_OK) == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(folder, ": ", std::strerror(errno)));
}

class Exploration {
 public:
  explicit Exploration(const ExploreOptions& options)
      : options_(options), guide_(options.guide), start_(Clock::now()) {
    for (uint32_t i = 0; i < std::clamp<uint32_t>(options.jobs, 1, kWindow); ++i) {
      runners_.push_back(std::make_unique<Runner>(options.count_states));
    }
  }

  ExploreResult Run() {
    if (!options_.failures.empty()) result_.status = MakeFolder(options_.failures);
    if (result_.status.ok() && !options_.corpus.empty()) {
      result_.status = LoadCorpus(options_.corpus, &guide_);
    }
    Clock::time_point shown = start_;
    while (result_.status.ok() && !Interrupted()) {
      GiveOut();
      std::vector<pollfd> waiting;
      std::vector<Runner*> busy;
      for (const auto& runner : runners_) {
        if (!runner->busy()) continue;
        waiting.push_back({runner->fd(), POLLIN, 0});
        busy.push_back(runner.get());
      }
      if (busy.empty()) break;
      if (poll(waiting.data(), waiting.size(), 500) > 0) {
        for (size_t i = 0; i < waiting.size(); ++i) {
          if (waiting[i].revents != 0) Collect(busy[i]);
        }
      }
      if (options_.progress && Clock::now() - shown > std::chrono::milliseconds(200)) {
        shown = Clock::now();
        ShowProgress();
      }
    }
    while (!plans_.empty()) LearnOldest();
    if (options_.progress) absl::PrintF("\r\x1b[K");
    result_.interrupted = Interrupted();
    result_.states = guide_.states();
    result_.estimated = guide_.states_are_estimated();
    result_.corpus = guide_.corpus_size();
    result_.digest = guide_.Digest();
    result_.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    result_.cpu_seconds = static_cast<double>(CpuSoFar()) / 1e6;
    return std::move(result_);
  }

 private:
  using Clock = std::chrono::steady_clock;
  struct Given {
    Guide::Plan plan;
    std::optional<Ran> ran;
  };

  uint64_t CpuSoFar() const { return children_cpu_us_ + CpuMicroseconds() - own_before_; }

  void GiveOut() {
    for (const auto& runner : runners_) {
      if (runner->busy()) continue;
      if (stop_ || given_ >= options_.runs) return;
      if (options_.cpu_seconds > 0 && CpuSoFar() >= options_.cpu_seconds * 1'000'000) return;
      // Exactly those that this one may depend on.
      if (plans_.size() == kWindow) {
        if (!plans_.front().ran.has_value()) return;
        LearnOldest();
        if (!result_.status.ok() || stop_) return;
      }
      plans_.push_back({guide_.Next(), std::nullopt});
      if (!runner->Run(++given_, plans_.back().plan.recipe)) {
        result_.status =
            absl::ResourceExhaustedError("the system has no more processes or pipes to give");
        return;
      }
    }
  }

  void Collect(Runner* runner) {
    const uint64_t run = runner->run();
    std::optional<Ran> ran = runner->Read();
    if (!ran.has_value()) return;
    ran->result.seed = run;
    children_cpu_us_ += ran->cpu_us;
    // Found is found, whatever is still to be learnt before it.
    if (!ran->result.violation.empty() && !options_.keep_going) stop_ = true;
    plans_[run - learnt_ - 1].ran = std::move(ran);
  }

  void LearnOldest() {
    Given given = std::move(plans_.front());
    plans_.pop_front();
    ++learnt_;
    if (!given.ran.has_value()) return;  // the system let it down
    Ran& ran = *given.ran;
    if (guide_.Learn(given.plan, ran.outcome) && !options_.corpus.empty() &&
        options_.guide.guided && result_.status.ok()) {
      result_.status = AddToCorpus(options_.corpus, given.plan.recipe);
    }
    if (!ran.result.violation.empty()) {
      ++result_.failures;
      if (options_.failed) options_.failed({learnt_, given.plan.recipe, ran.result});
    }
    result_.runs.push_back(std::move(ran.result));
  }

  void ShowProgress() const {
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    absl::PrintF("\r%s  %s runs  %.1f runs/s  %s states  corpus %s \x1b[K",
                 Name(options_.guide.profile), Grouped(learnt_),
                 static_cast<double>(learnt_) / std::max(seconds, 1e-3), Grouped(guide_.states()),
                 Grouped(guide_.corpus_size()));
    std::fflush(stdout);
  }

  ExploreOptions options_;
  Guide guide_;
  Clock::time_point start_;
  uint64_t own_before_ = CpuMicroseconds();
  uint64_t children_cpu_us_ = 0;
  std::vector<std::unique_ptr<Runner>> runners_;
  std::deque<Given> plans_;  // given out and not learnt from, in order
  uint64_t given_ = 0;
  uint64_t learnt_ = 0;
  bool stop_ = false;
  ExploreResult result_;
};

}  // namespace

ExploreResult Explore(const ExploreOptions& options) { return Exploration(options).Run(); }

std::string FormatExplored(const ExploreOptions& options, const ExploreResult& result) {
  const double runs = static_cast<double>(result.runs.size());
  std::string text = absl::StrFormat(
      "sweep %s  %s%s from seed %d  %d jobs   %s runs in %s (%.1f runs/s, %.1f s of CPU, %.1f "
      "runs/s of CPU)%s\n",
      Name(options.guide.profile), options.guide.guided ? "guided" : "unguided",
      options.guide.attacks ? "" : ", without attacks,", options.guide.first_seed, options.jobs,
      Grouped(result.runs.size()), Span(result.seconds), runs / std::max(result.seconds, 1e-3),
      result.cpu_seconds, runs / std::max(result.cpu_seconds, 1e-3),
      result.interrupted ? ", interrupted" : "");
  if (options.count_states) {
    absl::StrAppendFormat(&text, " abstract states %s%s   corpus %s   digest %016x\n",
                          result.estimated ? "about " : "", Grouped(result.states),
                          Grouped(result.corpus), result.digest);
  }
  return text + FormatFigures(result.runs);
}

std::string KeepFailure(const std::string& program, const ExploreOptions& options,
                        const ExploreFailure& failure) {
  const std::string place =
      absl::StrCat(options.failures.empty() ? "" : absl::StrCat(options.failures, "/"));
  std::string base = absl::StrFormat("%s%s-%d-run-%d", place, Name(options.guide.profile),
                                     options.guide.first_seed, failure.run);
  // Another corpus makes another run of the same number.
  const std::string first = base;
  for (int i = 2; fs::exists(absl::StrCat(base, kSuffix)) || fs::exists(absl::StrCat(base, ".txt"));
       ++i) {
    base = absl::StrCat(first, "-", i);
  }
  std::string text = absl::StrFormat("RUN %d  profile %s  %s\n", failure.run,
                                     Name(options.guide.profile), failure.result.violation);
  const std::string recipe = absl::StrCat(base, kSuffix);
  if (absl::Status status = WriteWholeFile(recipe, FormatRecipe(failure.recipe)); !status.ok()) {
    return absl::StrCat(text, "it could not be kept: ", status.message(), "\n");
  }
  const RunSettings settings = SettingsOf(failure.recipe);
  const TrialResult recorded =
      PlayInChildren({{settings, /*record=*/true, /*milestones=*/false}}, 1, kSecondsPerTrial)[0];
  if (!recorded.violation.has_value()) {
    return absl::StrCat(text, "the run of ", recipe, " did not break anything again",
                        recorded.unplayed.empty() ? "" : absl::StrCat(": ", recorded.unplayed),
                        "\n");
  }
  Scenario scenario;
  scenario.story = {recorded.violation->text};
  scenario.settings = PlayedAgain(settings, recorded.record);
  scenario.expect = recorded.violation->oracle;
  const std::string name = absl::StrCat(base, ".txt");
  if (absl::Status status = WriteWholeFile(name, FormatScenario(scenario)); !status.ok()) {
    return absl::StrCat(text, "it could not be kept: ", status.message(), "\n");
  }
  const TrialResult again = PlayInChildren({{scenario.settings}}, 1, kSecondsPerTrial)[0];
  if (!again.violation.has_value() || again.violation->oracle != recorded.violation->oracle) {
    absl::StrAppend(&text, "WARNING: played from its record it does not break the same oracle\n");
  }
  absl::StrAppend(&text, "replay: ", program, " replay --broken ", name, "\n", "shrink: ", program,
                  " shrink --scenario ", name, " --out smaller.txt\n");
  return text;
}

}  // namespace raftkv::sim
