#include "cmd/sim/sweep.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace raftkv::sim {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string Grouped(uint64_t number) {
  std::string digits = absl::StrCat(number);
  for (size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::string Magnitude(double number) {
  if (number >= 1e9) return absl::StrFormat("%.2f G", number / 1e9);
  if (number >= 1e6) return absl::StrFormat("%.2f M", number / 1e6);
  if (number >= 1e4) return absl::StrFormat("%.1f k", number / 1e3);
  return absl::StrFormat("%.0f", number);
}

std::string Span(double seconds) {
  const auto whole = static_cast<uint64_t>(seconds);
  if (whole >= 86'400) return absl::StrFormat("%d d %02d h", whole / 86'400, whole / 3'600 % 24);
  if (whole >= 3'600) return absl::StrFormat("%d h %02d m", whole / 3'600, whole / 60 % 60);
  return absl::StrFormat("%02d:%02d", whole / 60, whole % 60);
}

void ShowProgress(const SweepOptions& options, uint64_t done, Clock::time_point start) {
  constexpr uint64_t kWidth = 24;
  const uint64_t all = options.seeds.count();
  const double seconds = SecondsSince(start);
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  const uint64_t filled = done * kWidth / all;
  absl::PrintF("\rsweep %s  [%s%s]  %s/%s  %.1f seeds/s  ETA %s \x1b[K", Name(options.profile),
               std::string(filled, '#'), std::string(kWidth - filled, '.'), Grouped(done),
               Grouped(all), rate,
               rate > 0 ? Span(static_cast<double>(all - done) / rate) : "--:--");
  std::fflush(stdout);
}

struct Spread {
  uint64_t least = 0;
  uint64_t median = 0;
  uint64_t most = 0;
};

template <typename Figure>
Spread SpreadOf(const std::vector<SeedResult>& seeds, const Figure& figure) {
  std::vector<uint64_t> figures;
  for (const SeedResult& seed : seeds) figures.push_back(figure(seed.counters));
  if (figures.empty()) return {};
  std::sort(figures.begin(), figures.end());
  return {figures.front(), figures[figures.size() / 2], figures.back()};
}

uint64_t AcknowledgedPercent(const RunCounters& counters) {
  return counters.operations == 0 ? 100 : counters.acknowledged * 100 / counters.operations;
}

}  // namespace

std::optional<SeedRange> ParseSeedRange(const std::string& text) {
  const std::vector<std::string> ends = absl::StrSplit(text, "..");
  SeedRange range;
  if (ends.empty() || ends.size() > 2) return std::nullopt;
  if (!absl::SimpleAtoi(ends.front(), &range.first)) return std::nullopt;
  if (!absl::SimpleAtoi(ends.back(), &range.last)) return std::nullopt;
  if (range.first > range.last || range.count() == 0) return std::nullopt;
  return range;
}

SweepResult Sweep(const SweepOptions& options) {
  const Clock::time_point start = Clock::now();
  SweepResult result;
  std::vector<std::unique_ptr<Worker>> workers;
  for (uint32_t i = 0; i < options.jobs; ++i) {
    workers.push_back(std::make_unique<Worker>(options.profile));
  }
  uint64_t given = 0;
  bool stop = false;
  Clock::time_point shown = start;
  for (;;) {
    std::vector<pollfd> waiting;
    std::vector<Worker*> busy;
    for (const auto& worker : workers) {
      if (!worker->busy() && !stop && given < options.seeds.count()) {
        if (!worker->Run(options.seeds.first + given)) {
          result.broken = true;
          result.broken = true;
          return result;
        }
        ++given;
      }
      if (!worker->busy()) continue;
      waiting.push_back({worker->fd(), POLLIN, 0});
      busy.push_back(worker.get());
    }
    if (busy.empty()) break;
    if (poll(waiting.data(), waiting.size(), 500) > 0) {
      for (size_t i = 0; i < waiting.size(); ++i) {
        if (waiting[i].revents == 0) continue;
        if (std::optional<SeedResult> seed = busy[i]->Read()) {
          stop = stop || (!seed->violation.empty() && !options.keep_going);
          result.seeds.push_back(*std::move(seed));
        }
      }
    }
    if (options.progress && Clock::now() - shown > std::chrono::milliseconds(100)) {
      shown = Clock::now();
      ShowProgress(options, result.seeds.size(), start);
    }
  }
  if (options.progress) absl::PrintF("\r\x1b[K");
  std::sort(result.seeds.begin(), result.seeds.end(),
            [](const SeedResult& a, const SeedResult& b) { return a.seed < b.seed; });
  result.seconds = SecondsSince(start);
  return result;
}

std::string FormatSummary(const SweepOptions& options, const SweepResult& result) {
  RunCounters sum;
  uint64_t violations = 0;
  for (const SeedResult& seed : result.seeds) {
    const RunCounters& c = seed.counters;
    if (!seed.violation.empty()) ++violations;
    sum.events += c.events;
    sum.simulated_us += c.simulated_us;
    sum.operations += c.operations;
    sum.acknowledged += c.acknowledged;
    sum.unknown += c.unknown;
    sum.failed += c.failed;
    sum.elections += c.elections;
    sum.committed += c.committed;
    sum.torn_writes += c.torn_writes;
    sum.snapshots_taken += c.snapshots_taken;
    sum.snapshots_installed += c.snapshots_installed;
    sum.membership_changes += c.membership_changes;
    sum.frames += c.frames;
    sum.frames_lost += c.frames_lost;
    sum.undecided += c.undecided;
    for (size_t i = 0; i < kFaultKinds; ++i) sum.faults[i] += c.faults[i];
  }
  const double seconds = std::max(result.seconds, 1e-3);
  const double simulated = static_cast<double>(sum.simulated_us) / 1e6;
  std::string out = absl::StrFormat(
      "sweep %s  seeds %d..%d  %d jobs   %s seeds in %s (%.1f seeds/s)\n", Name(options.profile),
      options.seeds.first, options.seeds.last, options.jobs, Grouped(result.seeds.size()),
      Span(result.seconds), static_cast<double>(result.seeds.size()) / seconds);
  absl::StrAppendFormat(
      &out,
      " simulated %s (%.0fx)   events %s (%s/s/core)   operations %s (%.1f %% acknowledged)\n",
      Span(simulated), simulated / seconds, Magnitude(static_cast<double>(sum.events)),
      Magnitude(static_cast<double>(sum.events) / seconds / options.jobs),
      Magnitude(static_cast<double>(sum.operations)),
      sum.operations == 0
          ? 100.0
          : 100.0 * static_cast<double>(sum.acknowledged) / static_cast<double>(sum.operations));
  absl::StrAppendFormat(
      &out, " elections %s   log entries %s   snapshots taken %s, installed %s   memberships %s\n",
      Grouped(sum.elections), Grouped(sum.committed), Grouped(sum.snapshots_taken),
      Grouped(sum.snapshots_installed), Grouped(sum.membership_changes));
  absl::StrAppendFormat(&out, " messages %s (%s lost)   torn writes %s   unknown outcomes %s\n",
                        Magnitude(static_cast<double>(sum.frames)),
                        Magnitude(static_cast<double>(sum.frames_lost)), Grouped(sum.torn_writes),
                        Grouped(sum.unknown));
  std::string faults;
  for (size_t i = 0; i < kFaultKinds; ++i) {
    if (sum.faults[i] == 0) continue;
    const std::string fault =
        absl::StrCat(Name(static_cast<Fault>(i)), " ", Grouped(sum.faults[i]));
    const size_t line =
        faults.size() - (faults.rfind('\n') == std::string::npos ? 0 : faults.rfind('\n') + 1);
    if (faults.empty()) {
      faults = " faults: ";
    } else {
      faults += line + fault.size() > 92 ? ",\n         " : ", ";
    }
    faults += fault;
  }
  if (!faults.empty()) absl::StrAppend(&out, faults, "\n");
  absl::StrAppendFormat(&out, " %-18s %10s %10s %10s\n", "per seed", "least", "median", "most");
  const auto row = [&](absl::string_view name, const Spread& spread, absl::string_view unit) {
    absl::StrAppendFormat(
        &out, "   %-16s %10s %10s %10s\n", name, absl::StrCat(Grouped(spread.least), unit),
        absl::StrCat(Grouped(spread.median), unit), absl::StrCat(Grouped(spread.most), unit));
  };
  row("events", SpreadOf(result.seeds, [](const RunCounters& c) { return c.events; }), "");
  row("operations", SpreadOf(result.seeds, [](const RunCounters& c) { return c.operations; }), "");
  row("acknowledged", SpreadOf(result.seeds, AcknowledgedPercent), " %");
  row("faults in effect",
      SpreadOf(result.seeds, [](const RunCounters& c) { return c.faults_in_effect; }), "");
  if (sum.undecided > 0) {
    std::string seeds;
    for (const SeedResult& seed : result.seeds) {
      if (seed.counters.undecided > 0) absl::StrAppend(&seeds, " ", seed.seed);
    }
    absl::StrAppend(&out, " histories too hard for the checker, of seeds", seeds, "\n");
  }
  absl::StrAppendFormat(&out, " violations %d\n", violations);
  return out;
}

}  // namespace raftkv::sim
