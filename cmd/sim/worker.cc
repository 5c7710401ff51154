#include "cmd/sim/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cmd/sim/child.h"
#include "core/raft/random.h"
#include "nlohmann/json.hpp"
#include "sim/check/text_format.h"
#include "sim/picture/chrome_trace.h"
#include "sim/picture/columns.h"
#include "sim/picture/page.h"
#include "sim/picture/recording.h"

namespace raftkv::sim {
namespace {

// Of CPU. A seed takes a fraction of a second, a few seconds with sanitizers. One that takes this
// long hangs.
constexpr unsigned kPatienceSeconds = 300;

// Bytes of a result, and much more.
constexpr size_t kLongestLine = 16 << 20;

// --- The child

uint64_t Microseconds() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

std::optional<Profile> ProfileCalled(absl::string_view name) {
  for (const ProfileInfo& info : AllProfiles()) {
    if (info.name == name) return info.profile;
  }
  return std::nullopt;
}

constexpr size_t kLinesBefore = 3;
constexpr size_t kLinesFrom = 40;

class Server {
 public:
  explicit Server(const Simulator& simulate) : simulate_(simulate) {}

  // Nothing when the request is not understood.
  std::optional<std::string> Answer(const std::string& request) {
    const std::vector<std::string> words = absl::StrSplit(request, ' ');
    if (words[0] == "steps") return SayRecorded();
    const std::optional<Profile> profile =
        words.size() > 2 ? ProfileCalled(words[1]) : std::nullopt;
    uint64_t seed = 0, step = 0;
    if (!profile.has_value() || !absl::SimpleAtoi(words[2], &seed)) return std::nullopt;
    const RunSettings settings = DrawSettings(seed, *profile);
    if (words[0] == "run") return Run(settings, /*record=*/false);
    if (words[0] == "record") return Run(settings, /*record=*/true);
    if (words[0] != "tell" || words.size() != 4 || !absl::SimpleAtoi(words[3], &step)) {
      return std::nullopt;
    }
    return Tell(settings, step);
  }

 private:
  std::string Run(const RunSettings& settings, bool record) {
    recorded_.clear();
    uint64_t begun = 0;
    Audience audience;
    audience.begun = &begun;
    uint64_t path = 0;
    if (record) {
      audience.step = [this, &path](Time now, uint64_t hash) {
        recorded_.push_back({now, hash});
        path = MixHash(path ^ now) ^ hash;
      };
    }
    const uint64_t start = Microseconds();
    const RunReport report = simulate_(settings, audience);
    SeedResult result = ResultOf(settings, report, begun, Microseconds() - start);
    result.path = path;
    return ToLine(OriginHere(settings.profile), result);
  }

  std::string SayRecorded() {
    nlohmann::ordered_json answer;
    nlohmann::ordered_json& times = answer["times"] = nlohmann::ordered_json::array();
    for (const Step& step : recorded_) times.push_back(step.time);
    nlohmann::ordered_json& hashes = answer["hashes"] = nlohmann::ordered_json::array();
    for (const Step& step : recorded_) hashes.push_back(step.hash);
    return answer.dump();
  }

  std::string Tell(const RunSettings& settings, uint64_t wanted) {
    uint64_t at = 0;  // the step that is being done
    uint64_t hash = 0;
    std::deque<ToldLine> before;
    std::vector<ToldLine> from;
    Audience audience;
    audience.step = [&](Time, uint64_t now) {
      if (at == wanted) hash = now;
      ++at;
    };
    audience.sink = [&](Time now, absl::string_view text) {
      if (at < wanted) {
        before.push_back({at, now, std::string(text)});
        if (before.size() > kLinesBefore) before.pop_front();
      } else if (from.size() < kLinesFrom) {
        from.push_back({at, now, std::string(text)});
      }
    };
    simulate_(settings, audience);
    nlohmann::ordered_json answer;
    answer["hash"] = hash;
    const auto add = [&answer](const char* key, const auto& lines) {
      nlohmann::ordered_json& all = answer[key] = nlohmann::ordered_json::array();
      for (const ToldLine& line : lines) {
        all.push_back(nlohmann::ordered_json::array({line.step, line.time, line.text}));
      }
    };
    add("before", before);
    add("lines", from);
    return answer.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
  }

  const Simulator& simulate_;
  std::vector<Step> recorded_;
};

RunReport SimulateHere(const RunSettings& settings, const Audience& audience) {
  return Simulate(settings, audience);
}

}  // namespace

void ServeSeeds(int requests, int answers, const Simulator& simulate) {
  Server server(simulate);
  std::string buffer;
  for (;;) {
    size_t end;
    while ((end = buffer.find('\n')) == std::string::npos) {
      if (!ReadSome(requests, &buffer)) return;
    }
    EndAfterCpu(kPatienceSeconds);
    std::optional<std::string> answer = server.Answer(buffer.substr(0, end));
    EndAfterCpu(0);
    if (!answer.has_value()) return;
    buffer.erase(0, end + 1);
    *answer += '\n';
    if (!WriteAll(answers, *answer)) return;
  }
}

// --- The parent

void Worker::End() {
  child_.End();
  seed_.reset();
  buffer_.clear();
}

// In the child.
void Worker::Serve(int requests, int answers) {
  if (kind_.program.empty()) {
    return ServeSeeds(requests, answers, kind_.simulate ? kind_.simulate : SimulateHere);
  }
  dup2(requests, STDIN_FILENO);
  dup2(answers, STDOUT_FILENO);
  for (std::string& variable : kind_.environment) putenv(variable.data());
  std::vector<char*> words;
  for (std::string& word : kind_.program) words.push_back(word.data());
  words.push_back(nullptr);
  execv(words[0], words.data());
  absl::FPrintF(stderr, "cannot execute %s: %s\n", kind_.program[0], std::strerror(errno));
  _exit(127);
}

bool Worker::Ask(const std::string& request) {
  if (!child_.runs() &&
      !child_.Start([this](int requests, int answers) { Serve(requests, answers); })) {
    return false;
  }
  child_.Send(request + "\n");
  return true;
}

bool Worker::Run(uint64_t seed, bool record) {
  seed_ = seed;
  return Ask(absl::StrCat(record ? "record " : "run ", Name(profile_), " ", seed));
}

std::optional<SeedResult> Worker::Read() {
  if (!child_.Read(&buffer_)) return Epitaph("");
  const size_t end = buffer_.find('\n');
  if (end == std::string::npos && buffer_.size() > kLongestLine) {
    return Epitaph("the process gave no result: what it says has no end");
  }
  if (end == std::string::npos) return std::nullopt;
  absl::StatusOr<ResultLine> line = ParseResultLine(buffer_.substr(0, end));
  if (!line.ok()) {
    return Epitaph(absl::StrCat("the process gave no result: ", line.status().message()));
  }
  buffer_.erase(0, end + 1);
  seed_.reset();
  return std::move(line->result);
}

SeedResult Worker::Epitaph(const std::string& instead) {
  SeedResult result;
  result.seed = *seed_;
  SetCrashFreeViolation(instead.empty() ? child_.Epitaph() : instead, &result);
  End();
  return result;
}

std::optional<std::string> Worker::Answer() {
  std::string answer;
  while (answer.empty() || answer.back() != '\n') {
    if (!child_.Read(&answer)) return std::nullopt;
  }
  return answer;
}

std::optional<std::vector<Step>> Worker::Steps() {
  if (!child_.runs() || !Ask("steps")) return std::nullopt;
  const std::optional<std::string> answer = Answer();
  if (!answer.has_value()) return std::nullopt;
  const nlohmann::ordered_json json = nlohmann::ordered_json::parse(*answer, nullptr, false);
  if (!json.is_object() || !json.contains("times") || !json.contains("hashes")) return std::nullopt;
  const nlohmann::ordered_json& times = json["times"];
  const nlohmann::ordered_json& hashes = json["hashes"];
  if (times.size() != hashes.size()) return std::nullopt;
  std::vector<Step> steps;
  for (size_t i = 0; i < times.size(); ++i) {
    if (!times[i].is_number_unsigned() || !hashes[i].is_number_unsigned()) return std::nullopt;
    steps.push_back({times[i].get<Time>(), hashes[i].get<uint64_t>()});
  }
  return steps;
}

std::optional<Told> Worker::Tell(uint64_t seed, uint64_t step) {
  if (!Ask(absl::StrCat("tell ", Name(profile_), " ", seed, " ", step))) return std::nullopt;
  const std::optional<std::string> answer = Answer();
  if (!answer.has_value()) return std::nullopt;
  const nlohmann::ordered_json json = nlohmann::ordered_json::parse(*answer, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  Told told;
  const auto read = [&json](const char* key, std::vector<ToldLine>* lines) {
    if (!json.contains(key) || !json[key].is_array()) return;
    for (const auto& line : json[key]) {
      if (line.size() != 3 || !line[0].is_number_unsigned() || !line[1].is_number_unsigned() ||
          !line[2].is_string()) {
        continue;
      }
      lines->push_back({line[0].get<uint64_t>(), line[1].get<Time>(), line[2].get<std::string>()});
    }
  };
  read("before", &told.before);
  read("lines", &told.lines);
  if (json.contains("hash") && json["hash"].is_number_unsigned()) {
    told.hash = json["hash"].get<uint64_t>();
  }
  return told;
}

namespace {

// Empty, or which file could not be written.
std::string WriteFile(const std::string& name, const std::string& bytes) {
  std::ofstream file(name, std::ios::binary);
  file << bytes;
  return file.flush() ? "" : absl::StrCat("cannot write ", name);
}

std::string WriteFiles(const RunSettings& settings, const RunFiles& files, const RunReport& report,
                       const Recording& recording) {
  const Caption caption{settings.seed,
                        std::string(Name(settings.profile)),
                        DescribeSettings(settings),
                        files.replay,
                        report.violation,
                        report.explanation};
  std::string problem;
  const auto write = [&](const std::string& name, const auto& bytes) {
    if (!name.empty() && problem.empty()) problem = WriteFile(name, bytes());
  };
  write(files.history, [&] { return WriteHistoryText(report.history); });
  write(files.html, [&] { return WritePage(recording, caption); });
  write(files.columns, [&] { return WriteColumns(recording, caption); });
  write(files.chrome_trace, [&] { return WriteChromeTrace(recording, caption); });
  return problem;
}

// How a child ended that gave no result.
struct Death {
  int status = 0;
  std::string said;
};

// Runs a seed in a child process. Nothing when that died, or could not be made; see `death`.
std::optional<SeedResult> RunInChild(const RunSettings& settings, const RunFiles& files,
                                     const Audience& onlookers,
                                     const std::function<void(const std::string&)>& line,
                                     Death* death) {
  SeedResult nothing_left;
  nothing_left.seed = settings.seed;
  int lines[2], results[2], said[2];
  nothing_left.problem = "the system has no more processes or pipes to give";
  if (pipe2(lines, O_CLOEXEC) != 0 || pipe2(results, O_CLOEXEC) != 0 ||
      pipe2(said, O_CLOEXEC) != 0) {
    return nothing_left;
  }
  const pid_t process = fork();
  if (process < 0) return nothing_left;
  if (process == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    EndAfterCpu(kPatienceSeconds);
    dup2(said[1], STDERR_FILENO);
    FILE* out = fdopen(lines[1], "w");
    setvbuf(out, nullptr, _IOLBF, 4096);  // what was said before an abort must be read
    Audience audience = onlookers;
    if (line) {
      audience.sink = [out](Time now, absl::string_view text) {
        absl::FPrintF(out, "%4d.%06d  %s\n", now / kSecond, now % kSecond, text);
      };
    }
    Recording recording(files.events);
    if (files.picture()) audience.recording = &recording;
    uint64_t begun = 0;
    if (audience.begun == nullptr) audience.begun = &begun;
    const uint64_t start = Microseconds();
    const RunReport report = sim::Simulate(settings, audience);
    SeedResult result = ResultOf(settings, report, *audience.begun, Microseconds() - start);
    if (!report.explanation.empty()) absl::FPrintF(out, "%s", report.explanation);
    fclose(out);
    result.problem = WriteFiles(settings, files, report, recording);
    const std::string bytes = ToLine(OriginHere(settings.profile), result);
    WriteAll(results[1], bytes);
    EndChild();
  }
  close(lines[1]);
  close(results[1]);
  close(said[1]);
  FILE* in = fdopen(lines[0], "r");
  char* text = nullptr;
  size_t capacity = 0;
  ssize_t length = 0;
  while ((length = getline(&text, &capacity, in)) >= 0) {
    if (!line) continue;
    line(
        std::string(absl::StripSuffix(absl::string_view(text, static_cast<size_t>(length)), "\n")));
  }
  free(text);
  fclose(in);
  const std::string bytes = Drain(results[0]);
  death->said = Drain(said[0]);
  close(results[0]);
  close(said[0]);
  death->status = WaitFor(process);
  absl::StatusOr<ResultLine> parsed = ParseResultLine(bytes);
  if (!parsed.ok()) return std::nullopt;
  return std::move(parsed->result);
}

}  // namespace

SeedResult RunTraced(const RunSettings& settings, const RunFiles& files,
                     const std::function<void(const std::string&)>& line) {
  const SharedCount count;
  Audience onlookers;
  onlookers.begun = count.get();
  Death death;
  if (std::optional<SeedResult> result = RunInChild(settings, files, onlookers, line, &death)) {
    return *result;
  }
  SeedResult result;
  result.seed = settings.seed;
  SetCrashFreeViolation(HowItEnded(death.status, death.said), &result);
  if (count.get() == nullptr || *count.get() == 0) return result;
  // It took its recording along. The same run again, up to the moment before, has all of it.
  Audience again;
  again.ends_before = *count.get();
  again.how_it_ended = HowItEnded(death.status, death.said);
  Death second;
  if (files.picture() || !files.history.empty()) {
    const std::optional<SeedResult> shown =
        RunInChild(settings, files, again, /*line=*/nullptr, &second);
    result.problem = shown.has_value() ? shown->problem : "the run died again on its way to a file";
  }
  return result;
}

}  // namespace raftkv::sim
