#include "cmd/sim/twice.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace raftkv::sim {
namespace {

// Lines of each side that are shown from the first that differs on.
constexpr size_t kLinesShown = 4;

std::string Seconds(Time time) {
  return absl::StrFormat("%d.%06d", time / kSecond, time % kSecond);
}

std::string FormatLine(absl::string_view who, const ToldLine& line) {
  return absl::StrFormat("  %-7s %9d %12s  %s\n", who, line.step, Seconds(line.time), line.text);
}

// The lines that lead to a difference, then both sides in turn.
std::string FormatSides(const Told& one, const Told& other) {
  std::vector<ToldLine> a = one.before, b = other.before;
  a.insert(a.end(), one.lines.begin(), one.lines.end());
  b.insert(b.end(), other.lines.begin(), other.lines.end());
  const size_t together =
      static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  std::string text = absl::StrFormat("  %-7s %9s %12s\n", "process", "event", "second");
  for (size_t i = together < 4 ? 0 : together - 4; i < together; ++i) {
    text += FormatLine("both", a[i]);
  }
  if (together == a.size() && together == b.size()) {
    return text +
           "  The trace says the same in both: what differs is in bytes that it does not show.\n";
  }
  for (size_t i = together; i < std::max(a.size(), b.size()) && i < together + kLinesShown; ++i) {
    text += i < a.size() ? FormatLine("first", a[i]) : "  first   (says nothing more)\n";
    text += i < b.size() ? FormatLine("second", b[i]) : "  second  (says nothing more)\n";
  }
  return text;
}

// Both sides of step `at`, told by the processes that ran it.
std::string TellBoth(uint64_t seed, uint64_t at, Worker* first, const std::vector<Step>& one,
                     Worker* second, const std::vector<Step>& other) {
  const std::optional<Told> a = first->Tell(seed, at);
  const std::optional<Told> b = second->Tell(seed, at);
  if (!a.has_value() || !b.has_value()) {
    return absl::StrCat("  The ", a.has_value() ? "second" : "first",
                        " process ended when it was to tell it again.\n");
  }
  std::string text = FormatSides(*a, *b);
  const auto warn = [&](absl::string_view who, const Told& told, const std::vector<Step>& steps) {
    if (at >= steps.size() || told.hash == steps[at].hash) return;
    absl::StrAppend(&text, "  When it told this, the ", who,
                    " process did not do what it had done before: its lines may be of another "
                    "event.\n");
  };
  warn("first", *a, one);
  warn("second", *b, other);
  return text;
}

}  // namespace

Worker::Kind SecondProcess(const std::string& program) {
  return {{program, "worker"}, {absl::StrCat(kFillMemory, "=1")}, nullptr};
}

SeedResult CompareTwo(const SeedResult& one, Worker* first, const SeedResult& other,
                      Worker* second) {
  SeedResult result = one;
  result.twice = true;
  result.path = 0;
  const std::string difference = DifferenceOf(one, other);
  if (one.hash == other.hash && one.path == other.path && difference.empty()) return result;

  result.violation_id = "twice";
  result.violation_name = "determinism";
  const auto violate = [&result](absl::string_view text) {
    result.violation =
        absl::StrCat("VIOLATION ", result.violation_id, " ", result.violation_name, text);
  };
  result.story = absl::StrFormat("  first   %9d events  hash %016x  %s\n", one.steps, one.hash,
                                 one.violation.empty() ? "no violation" : one.violation);
  absl::StrAppendFormat(&result.story, "  second  %9d events  hash %016x  %s\n", other.steps,
                        other.hash, other.violation.empty() ? "no violation" : other.violation);

  const std::optional<std::vector<Step>> a = first->Steps();
  const std::optional<std::vector<Step>> b = second->Steps();
  if (!a.has_value() || !b.has_value() || a->empty() || b->empty()) {
    violate(absl::StrCat(": two processes did not do the same", difference.empty() ? "" : ": ",
                         difference));
    return result;
  }
  const auto at = static_cast<uint64_t>(
      std::mismatch(a->begin(), a->end(), b->begin(), b->end()).first - a->begin());
  if (at == a->size() && at == b->size()) {
    violate(absl::StrCat(": two processes did the same and counted otherwise: ", difference));
    return result;
  }
  const std::vector<Step>& longer = a->size() > b->size() ? *a : *b;
  const Time time = longer[at].time;
  const bool ended = at == a->size() || at == b->size();
  violate(absl::StrFormat(
      " at %d.%03d s: event %d is the first in which two processes differ%s", time / kSecond,
      time % kSecond / kMillisecond, at,
      ended ? absl::StrCat(", the ", a->size() < b->size() ? "first" : "second", " has ended there")
      : at + 1 == a->size() && at + 1 == b->size() ? ", the verdict on the run"
                                                   : ""));
  result.story += TellBoth(one.seed, at, first, *a, second, *b);
  return result;
}

}  // namespace raftkv::sim
