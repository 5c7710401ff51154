#include "cmd/sim/seed_result.h"

#include <array>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace raftkv::sim {
namespace {

// Nothing here depends on the library's exceptions: rooms that are compiled without them use it,
// too, and then a linker may choose their copy of a function.
using Json = nlohmann::ordered_json;

struct Counter {
  const char* name;
  uint64_t RunCounters::*field;
};

// The first two stand beside the others in a line: they are what one looks for.
constexpr Counter kCounters[] = {
    {"events", &RunCounters::events},
    {"simulated_us", &RunCounters::simulated_us},
    {"operations", &RunCounters::operations},
    {"acknowledged", &RunCounters::acknowledged},
    {"unknown", &RunCounters::unknown},
    {"failed", &RunCounters::failed},
    {"elections", &RunCounters::elections},
    {"committed", &RunCounters::committed},
    {"crashes", &RunCounters::crashes},
    {"partitions", &RunCounters::partitions},
    {"torn_writes", &RunCounters::torn_writes},
    {"lost_sectors", &RunCounters::lost_sectors},
    {"snapshots_taken", &RunCounters::snapshots_taken},
    {"snapshots_installed", &RunCounters::snapshots_installed},
    {"membership_changes", &RunCounters::membership_changes},
    {"frames", &RunCounters::frames},
    {"frames_lost", &RunCounters::frames_lost},
    {"connections", &RunCounters::connections},
    {"connections_broken", &RunCounters::connections_broken},
    {"cores", &RunCounters::cores},
    {"undecided", &RunCounters::undecided},
    {"faults_in_effect", &RunCounters::faults_in_effect},
};
constexpr size_t kBeside = 2;
static_assert(sizeof(RunCounters) ==
                  (std::size(kCounters) + kFaultKinds + kRareStates) * sizeof(uint64_t),
              "a counter of a run is missing here: it would not leave the process that counted it");

bool Read(const Json& object, const char* key, uint64_t* number) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return false;
  *number = found->get<uint64_t>();
  return true;
}

bool Read(const Json& object, const char* key, std::string* text) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return false;
  *text = found->get_ref<const std::string&>();
  return true;
}

absl::Status Wrong(absl::string_view why) { return absl::InvalidArgumentError(why); }

// An array with a number for each of an enumeration's values, as an object with their names.
template <typename Value, size_t kCount>
absl::Status ReadNamed(const Json& line, const char* key, std::array<uint64_t, kCount>* numbers) {
  const auto object = line.find(key);
  if (object == line.end() || !object->is_object()) return Wrong(absl::StrCat("no ", key));
  size_t known = 0;
  for (size_t i = 0; i < kCount; ++i) {
    const std::string name(Name(static_cast<Value>(i)));
    if (!object->contains(name)) continue;
    ++known;
    if (!Read(*object, name.c_str(), &(*numbers)[i])) {
      return Wrong(absl::StrCat("'", name, "' is no number"));
    }
  }
  return known == object->size() ? absl::OkStatus()
                                 : Wrong(absl::StrCat("one of ", key, " that is not known here"));
}

template <typename Value, size_t kCount>
Json WriteNamed(const std::array<uint64_t, kCount>& numbers) {
  Json object = Json::object();
  for (size_t i = 0; i < kCount; ++i) {
    if (numbers[i] != 0) object[std::string(Name(static_cast<Value>(i)))] = numbers[i];
  }
  return object;
}

absl::Status ReadCounters(const Json& line, RunCounters* counters) {
  const auto others = line.find("counters");
  if (others == line.end() || !others->is_object()) return Wrong("no counters");
  size_t known = 0;
  for (size_t i = 0; i < std::size(kCounters); ++i) {
    const Counter& counter = kCounters[i];
    if (i < kBeside) {
      if (!Read(line, counter.name, &(counters->*counter.field))) {
        return Wrong(absl::StrCat("no number '", counter.name, "'"));
      }
    } else if (others->contains(counter.name)) {
      ++known;
      if (!Read(*others, counter.name, &(counters->*counter.field))) {
        return Wrong(absl::StrCat("'", counter.name, "' is no number"));
      }
    }
  }
  if (known != others->size()) return Wrong("a counter that is not known here");
  if (absl::Status s = ReadNamed<RareState>(line, "rare", &counters->rare); !s.ok()) return s;
  return ReadNamed<Fault>(line, "faults", &counters->faults);
}

}  // namespace

void SetCrashFreeViolation(const std::string& how_it_ended, SeedResult* result) {
  const OracleInfo& info = InfoOf(Oracle::kCrashFree);
  result->violation_id = std::string(info.id);
  result->violation_name = std::string(info.name);
  result->violation = absl::StrCat("VIOLATION ", info.id, " ", info.name, ": ", how_it_ended);
}

SeedResult ResultOf(const RunSettings& settings, const RunReport& report, uint64_t steps,
                    uint64_t duration_us) {
  SeedResult result;
  result.seed = settings.seed;
  result.hash = report.hash;
  result.steps = steps;
  result.counters = report.counters;
  result.duration_us = duration_us;
  if (report.violation.has_value()) {
    const OracleInfo& info = InfoOf(report.violation->oracle);
    result.violation_id = std::string(info.id);
    result.violation_name = std::string(info.name);
    result.violation = FormatViolation(*report.violation);
  }
  return result;
}

ResultOrigin OriginHere(Profile profile) { return {RAFTKV_VERSION, profile}; }

std::string ToLine(const ResultOrigin& origin, const SeedResult& result) {
  Json line;
  line["format"] = kResultFormat;
  line["version"] = origin.version;
  line["profile"] = std::string(Name(origin.profile));
  line["seed"] = result.seed;
  line["hash"] = absl::StrFormat("%016x", result.hash);
  line["steps"] = result.steps;
  if (result.path != 0) line["path"] = result.path;
  for (size_t i = 0; i < kBeside; ++i) {
    line[kCounters[i].name] = result.counters.*kCounters[i].field;
  }
  line["duration_us"] = result.duration_us;
  line["twice"] = result.twice;
  Json violation;  // null
  if (!result.violation.empty()) {
    violation["id"] = result.violation_id;
    violation["name"] = result.violation_name;
    violation["text"] = result.violation;
    if (!result.story.empty()) violation["story"] = result.story;
  }
  line["violation"] = std::move(violation);
  Json counters = Json::object();
  for (size_t i = kBeside; i < std::size(kCounters); ++i) {
    const uint64_t number = result.counters.*kCounters[i].field;
    if (number != 0) counters[kCounters[i].name] = number;
  }
  line["counters"] = std::move(counters);
  line["rare"] = WriteNamed<RareState>(result.counters.rare);
  line["faults"] = WriteNamed<Fault>(result.counters.faults);
  if (!result.problem.empty()) line["problem"] = result.problem;
  return line.dump(/*indent=*/-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

absl::StatusOr<ResultLine> ParseResultLine(absl::string_view text) {
  const Json line = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!line.is_object()) return Wrong("no object of JSON");
  uint64_t format = 0;
  if (!Read(line, "format", &format)) return Wrong("no number 'format': no result of a sweep");
  if (format != kResultFormat) {
    return Wrong(absl::StrCat("format ", format, ", and this program writes ", kResultFormat));
  }
  ResultLine parsed;
  SeedResult& result = parsed.result;
  if (!Read(line, "version", &parsed.origin.version)) return Wrong("no text 'version'");
  std::string profile;
  if (!Read(line, "profile", &profile)) return Wrong("no text 'profile'");
  bool known = false;
  for (const ProfileInfo& info : AllProfiles()) {
    if (info.name != profile) continue;
    parsed.origin.profile = info.profile;
    known = true;
  }
  if (!known) return Wrong(absl::StrCat("the profile '", profile, "' is not known here"));
  if (!Read(line, "seed", &result.seed)) return Wrong("no number 'seed'");
  std::string hash;
  if (!Read(line, "hash", &hash) || hash.size() != 16 || !absl::SimpleHexAtoi(hash, &result.hash)) {
    return Wrong("no 'hash' of 16 hexadecimal digits");
  }
  if (!Read(line, "steps", &result.steps)) return Wrong("no number 'steps'");
  Read(line, "path", &result.path);
  if (!Read(line, "duration_us", &result.duration_us)) return Wrong("no number 'duration_us'");
  const auto twice = line.find("twice");
  if (twice == line.end() || !twice->is_boolean())
    return Wrong("'twice' is neither true nor false");
  result.twice = twice->get<bool>();
  const auto violation = line.find("violation");
  if (violation == line.end()) return Wrong("no 'violation'");
  if (!violation->is_null()) {
    if (!violation->is_object() || !Read(*violation, "id", &result.violation_id) ||
        !Read(*violation, "name", &result.violation_name) ||
        !Read(*violation, "text", &result.violation) || result.violation.empty()) {
      return Wrong("a violation without id, name or text");
    }
    Read(*violation, "story", &result.story);
  }
  Read(line, "problem", &result.problem);
  if (absl::Status status = ReadCounters(line, &result.counters); !status.ok()) return status;
  return parsed;
}

void AddCounters(const RunCounters& counters, RunCounters* sum) {
  for (const Counter& counter : kCounters) sum->*counter.field += counters.*counter.field;
  for (size_t i = 0; i < kFaultKinds; ++i) sum->faults[i] += counters.faults[i];
  for (size_t i = 0; i < kRareStates; ++i) sum->rare[i] += counters.rare[i];
}

std::vector<std::pair<std::string, uint64_t>> NamedCounters(const RunCounters& counters) {
  std::vector<std::pair<std::string, uint64_t>> named;
  for (const Counter& counter : kCounters) {
    named.emplace_back(counter.name, counters.*counter.field);
  }
  for (size_t i = 0; i < kFaultKinds; ++i) {
    named.emplace_back(Name(static_cast<Fault>(i)), counters.faults[i]);
  }
  for (size_t i = 0; i < kRareStates; ++i) {
    named.emplace_back(Name(static_cast<RareState>(i)), counters.rare[i]);
  }
  return named;
}

std::string DifferenceOf(const SeedResult& a, const SeedResult& b) {
  // How a process died is told in words that hold addresses and ids.
  const bool died = a.violation_id == InfoOf(Oracle::kCrashFree).id && a.steps == 0;
  if (a.violation_id != b.violation_id || (!died && a.violation != b.violation)) {
    const auto say = [](const SeedResult& result) {
      return result.violation.empty() ? std::string("no violation") : result.violation;
    };
    return absl::StrCat(say(a), ", and ", say(b));
  }
  if (a.steps != b.steps) return absl::StrCat("steps: ", a.steps, " and ", b.steps);
  const auto x = NamedCounters(a.counters);
  const auto y = NamedCounters(b.counters);
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] != y[i]) return absl::StrCat(x[i].first, ": ", x[i].second, " and ", y[i].second);
  }
  return "";
}

}  // namespace raftkv::sim
