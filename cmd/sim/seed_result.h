// What is kept of a run, and its form as a line of JSON: in a file of results, and between the
// processes of a sweep.
//
//   {"format":1,"version":"0.1.0","profile":"everything","seed":17,"hash":"8d0c...","steps":98211,
//    "events":61027,"simulated_us":14203118,"duration_us":81034,"twice":false,"violation":null,
//    "counters":{"operations":812,...},"faults":{"partitions":3,...}}
//
// A violation is {"id":"I5","name":"state-machine safety","text":"VIOLATION I5 ..."}, and has a
// "story" when there is more to say than a line. Counters that are 0 are left out. The order of the
// keys is fixed, so that the first of them tells a line of ours that was cut off from anything
// else.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sim/run/run.h"

namespace raftkv::sim {

// Of the lines. A reader refuses others.
inline constexpr uint64_t kResultFormat = 1;
// Every line begins with this.
inline constexpr absl::string_view kResultBegins = "{\"format\":";

struct SeedResult {
  uint64_t seed = 0;
  uint64_t hash = 0;
  uint64_t steps = 0;  // items of the scheduler, scripts and ends of phases included
  uint64_t path = 0;   // of a recorded run: a hash of the time and the hash of each step
  RunCounters counters;
  std::string violation_id;  // of its oracle: "I5"; "twice" when two processes did not do the same
  std::string violation_name;  // "state-machine safety"
  std::string violation;       // as FormatViolation; empty when there was none
  std::string story;           // lines about the violation that nobody could make again, or empty
  std::string problem;         // a file that could not be written; empty when there was none
  uint64_t duration_us = 0;    // of wall clock
  bool twice = false;          // a second process has done the same
};

// The violation of a process that did not survive its run.
void SetCrashFreeViolation(const std::string& how_it_ended, SeedResult* result);

// What a run that lasted so long leaves. Steps are what the caller has counted.
SeedResult ResultOf(const RunSettings& settings, const RunReport& report, uint64_t steps,
                    uint64_t duration_us);

// Which program, and what it ran.
struct ResultOrigin {
  std::string version;
  Profile profile = Profile::kEverything;
  friend bool operator==(const ResultOrigin&, const ResultOrigin&) = default;
  friend bool operator<(const ResultOrigin& a, const ResultOrigin& b) {
    return a.version != b.version ? a.version < b.version : a.profile < b.profile;
  }
};
ResultOrigin OriginHere(Profile profile);  // of this program

// Without a line feed.
std::string ToLine(const ResultOrigin& origin, const SeedResult& result);

struct ResultLine {
  ResultOrigin origin;
  SeedResult result;
};
// The error says what is not as it should be.
absl::StatusOr<ResultLine> ParseResultLine(absl::string_view line);

// `*sum` grows by each counter.
void AddCounters(const RunCounters& counters, RunCounters* sum);

// By the names that they have in a line, faults in words: "partitions".
std::vector<std::pair<std::string, uint64_t>> NamedCounters(const RunCounters& counters);

// Empty, or the first thing in which two runs of a seed differ beside the hash: "elections: 3 and
// 4".
std::string DifferenceOf(const SeedResult& a, const SeedResult& b);

}  // namespace raftkv::sim
