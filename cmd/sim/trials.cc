#include "cmd/sim/trials.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cmd/sim/child.h"
#include "cmd/sim/interrupt.h"
#include "nlohmann/json.hpp"
#include "sim/nemesis/fault_text.h"
#include "sim/run/run.h"
#include "sim/scenario/scenario.h"

namespace raftkv::sim {
namespace {

using Json = nlohmann::json;

// A record travels as the scenario that it makes.
std::string Serialise(const Trial& trial, const RunReport& report,
                      const std::vector<Milestone>& milestones) {
  Json json;
  json["events"] = report.counters.events;
  if (report.violation.has_value()) {
    json["oracle"] = static_cast<int>(report.violation->oracle);
    json["time"] = report.violation->time;
    json["text"] = report.violation->text;
  }
  if (trial.record) {
    Scenario scenario;
    scenario.settings = PlayedAgain(trial.settings, report.record);
    json["scenario"] = FormatScenario(scenario);
  }
  json["reached"] = report.reached;
  for (const FaultCommand& command : report.spoilt) json["spoilt"].push_back(FormatFault(command));
  for (const Milestone& milestone : milestones) {
    json["milestones"].push_back({milestone.time, FormatSituation(milestone.situation)});
  }
  return json.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

std::optional<TrialResult> Parse(const Trial& trial, const std::string& bytes) {
  const Json json = Json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  TrialResult result;
  result.events = json["events"];
  if (json.contains("oracle")) {
    result.violation = Violation{static_cast<Oracle>(json["oracle"].get<int>()), json["time"],
                                 json["text"].get<std::string>()};
  }
  if (trial.record) {
    const absl::StatusOr<Scenario> scenario =
        ParseScenario("record", json["scenario"].get<std::string>());
    if (!scenario.ok()) return std::nullopt;
    result.record.answers = *scenario->settings.answers;
    result.record.faults = *scenario->settings.nemesis.script;
    for (const ClientSettings& client : scenario->settings.clients) {
      result.record.asked.push_back(*client.script);
    }
  }
  result.reached = json["reached"].get<std::vector<bool>>();
  if (json.contains("spoilt")) {
    for (const Json& text : json["spoilt"]) {
      absl::StatusOr<FaultCommand> command = ParseFault(text.get<std::string>());
      if (command.ok()) result.spoilt.push_back(*std::move(command));
    }
  }
  if (json.contains("milestones")) {
    for (const Json& milestone : json["milestones"]) {
      const absl::StatusOr<Situation> situation =
          ParseSituation(milestone.at(1).get<std::string>());
      if (situation.ok()) result.milestones.push_back({milestone.at(0), *situation});
    }
  }
  return result;
}

struct Child {
  size_t trial = 0;
  pid_t process = -1;
  int results = -1;
  int said = -1;
  std::string bytes;
  std::string last_words;
  std::unique_ptr<SharedCount> begun;
};

// False when the system has no more to give.
bool Start(const Trial& trial, uint64_t ends_before, const std::string& how_it_ended,
           uint32_t seconds, Child* child) {
  int results[2], said[2];
  if (pipe2(results, O_CLOEXEC) != 0) return false;
  if (pipe2(said, O_CLOEXEC) != 0) {
    close(results[0]);
    close(results[1]);
    return false;
  }
  child->begun = std::make_unique<SharedCount>();
  child->process = fork();
  if (child->process < 0) {
    for (const int fd : {results[0], results[1], said[0], said[1]}) close(fd);
    return false;
  }
  if (child->process == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    LeaveInterruptsToParent();
    EndAfterCpu(seconds);
    dup2(said[1], STDERR_FILENO);
    std::vector<Milestone> milestones;
    Audience audience;
    audience.record = trial.record;
    if (trial.milestones) audience.milestones = &milestones;
    audience.begun = child->begun->get();
    audience.ends_before = ends_before;
    audience.how_it_ended = how_it_ended;
    const RunReport report = Simulate(trial.settings, audience);
    WriteAll(results[1], Serialise(trial, report, milestones));
    EndChild();
  }
  close(results[1]);
  close(said[1]);
  child->results = results[0];
  child->said = said[0];
  return true;
}

int End(Child* child) {
  child->bytes += Drain(child->results);
  close(child->results);
  if (child->said >= 0) {
    child->last_words += Drain(child->said);
    close(child->said);
  }
  return WaitFor(child->process);
}

// What a process that ended without a result has broken.
TrialResult Epitaph(const Trial& trial, int status, uint32_t seconds, const Child& child) {
  TrialResult result;
  const std::string how = HowItEnded(status, child.last_words);
  const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  if (signal == SIGPROF) {
    result.unplayed = absl::StrCat("it has not come to an end in ", seconds, " s of CPU");
  } else if (signal == SIGKILL) {
    result.unplayed = how;
  }
  if (!result.unplayed.empty()) return result;
  result.violation = Violation{Oracle::kCrashFree, std::numeric_limits<Time>::max(), how};
  // As far as anybody knows, nothing had been decided.
  result.record.asked.resize(trial.settings.clients.size());
  const uint64_t* begun = child.begun->get();
  if ((!trial.record && !trial.milestones) || begun == nullptr || *begun == 0) return result;
  // It took its record along. The same run again, up to the moment before, has all of it.
  Child again;
  if (!Start(trial, *begun, how, seconds, &again)) return result;
  (void)End(&again);
  return Parse(trial, again.bytes).value_or(result);
}

}  // namespace

std::vector<TrialResult> PlayInChildren(const std::vector<Trial>& trials, uint32_t jobs,
                                        uint32_t seconds) {
  TrialResult unplayed;
  unplayed.unplayed = "the system has no more processes or pipes to give";
  std::vector<TrialResult> results(trials.size(), unplayed);
  std::deque<Child> children;
  size_t next = 0;
  bool may_start = true;
  while (next < trials.size() || !children.empty()) {
    while (may_start && next < trials.size() && children.size() < jobs) {
      Child child;
      child.trial = next;
      may_start = Start(trials[next], 0, "", seconds, &child);
      if (may_start) children.push_back(std::move(child));
      ++next;
    }
    if (children.empty()) break;
    std::vector<pollfd> polled;
    for (const Child& child : children) {
      polled.push_back({child.results, POLLIN, 0});
      polled.push_back({child.said, POLLIN, 0});
    }
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    for (size_t i = children.size(); i-- > 0;) {
      Child& child = children[i];
      if (polled[2 * i + 1].revents != 0 && !ReadSome(child.said, &child.last_words)) {
        close(std::exchange(child.said, -1));
      }
      if (polled[2 * i].revents == 0 || ReadSome(child.results, &child.bytes)) continue;
      const int status = End(&child);
      const Trial& trial = trials[child.trial];
      std::optional<TrialResult> result = Parse(trial, child.bytes);
      results[child.trial] =
          result.has_value() ? *std::move(result) : Epitaph(trial, status, seconds, child);
      children.erase(children.begin() + static_cast<ptrdiff_t>(i));
    }
  }
  return results;
}

}  // namespace raftkv::sim
