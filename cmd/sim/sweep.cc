#include "cmd/sim/sweep.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <set>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "cmd/sim/interrupt.h"
#include "cmd/sim/twice.h"

namespace raftkv::sim {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string Magnitude(double number) {
  if (number >= 1e9) return absl::StrFormat("%.2f G", number / 1e9);
  if (number >= 1e6) return absl::StrFormat("%.2f M", number / 1e6);
  if (number >= 1e4) return absl::StrFormat("%.1f k", number / 1e3);
  return absl::StrFormat("%.0f", number);
}

std::string InWords(const Shard& shard) {
  return shard.whole() ? "" : absl::StrCat(" shard ", shard.part, "/", shard.of);
}

// One place for a seed: a process, and a second one for those that are run twice.
class Slot {
 public:
  explicit Slot(const SweepOptions& options)
      : twice_(options.twice),
        first_(options.profile, options.first),
        second_(options.profile, options.second) {}

  bool busy() const { return first_.busy() || second_.busy(); }
  int fd() const { return first_.busy() ? first_.fd() : second_.fd(); }
  bool Run(uint64_t seed) { return first_.Run(seed, /*record=*/twice_); }

  // To be called when there is something to read. The result of a seed when it is done.
  absl::StatusOr<std::optional<SeedResult>> Read() {
    if (first_.busy()) {
      std::optional<SeedResult> result = first_.Read();
      if (!result.has_value() || !twice_) return result;
      one_ = *std::move(result);
      // A new one for each seed: it owes nothing to the seeds before.
      second_.End();
      if (!second_.Run(one_.seed, /*record=*/true)) return NoMoreProcesses();
      return std::nullopt;
    }
    const std::optional<SeedResult> other = second_.Read();
    if (!other.has_value()) return std::nullopt;
    return CompareTwo(one_, &first_, *other, &second_);
  }

  static absl::Status NoMoreProcesses() {
    return absl::ResourceExhaustedError("the system has no more processes or pipes to give");
  }

 private:
  bool twice_;
  Worker first_, second_;
  SeedResult one_;
};

// `before` seeds were there already: they are part of the way and say nothing about its speed.
void ShowProgress(const SweepOptions& options, uint64_t before, uint64_t done, uint64_t all,
                  Clock::time_point start) {
  constexpr uint64_t kWidth = 24;
  const double seconds = SecondsSince(start);
  const double rate = seconds > 0 ? static_cast<double>(done - before) / seconds : 0;
  const uint64_t filled = done * kWidth / all;
  absl::PrintF("\rsweep %s%s  [%s%s]  %s/%s  %.1f seeds/s  ETA %s \x1b[K", Name(options.profile),
               InWords(options.shard), std::string(filled, '#'), std::string(kWidth - filled, '.'),
               Grouped(done), Grouped(all), rate,
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

std::string Grouped(uint64_t number) {
  std::string digits = absl::StrCat(number);
  for (size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::string Span(double seconds) {
  const auto whole = static_cast<uint64_t>(seconds);
  if (whole >= 86'400) return absl::StrFormat("%d d %02d h", whole / 86'400, whole / 3'600 % 24);
  if (whole >= 3'600) return absl::StrFormat("%d h %02d m", whole / 3'600, whole / 60 % 60);
  return absl::StrFormat("%02d:%02d", whole / 60, whole % 60);
}

std::optional<SeedRange> ParseSeedRange(const std::string& text) {
  const std::vector<std::string> ends = absl::StrSplit(text, "..");
  SeedRange range;
  if (ends.empty() || ends.size() > 2) return std::nullopt;
  if (!absl::SimpleAtoi(ends.front(), &range.first)) return std::nullopt;
  if (!absl::SimpleAtoi(ends.back(), &range.last)) return std::nullopt;
  if (range.first > range.last || range.count() == 0) return std::nullopt;
  return range;
}

std::optional<Shard> ParseShard(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  Shard shard;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &shard.part) ||
      !absl::SimpleAtoi(parts[1], &shard.of) || shard.part < 1 || shard.part > shard.of) {
    return std::nullopt;
  }
  return shard;
}

uint64_t ShardSeeds::count() const {
  if (range_.count() < shard_.part) return 0;
  return (range_.count() - shard_.part) / shard_.of + 1;
}

bool ShardSeeds::Contains(uint64_t seed) const {
  return seed >= range_.first && seed <= range_.last &&
         (seed - range_.first) % shard_.of == shard_.part - 1;
}

SweepResult Sweep(const SweepOptions& options) {
  const Clock::time_point start = Clock::now();
  const ShardSeeds seeds(options.seeds, options.shard);
  SweepResult result;
  std::set<uint64_t> there;
  bool stop = false;
  if (options.recorded != nullptr) {
    for (const auto& [seed, recorded] : *options.recorded) {
      if (!seeds.Contains(seed) || (options.twice && !recorded.twice)) continue;
      there.insert(seed);
      stop = stop || (!recorded.violation.empty() && !options.keep_going);
      result.seeds.push_back(recorded);
    }
  }
  result.recorded = there.size();
  std::vector<std::unique_ptr<Slot>> slots;
  for (uint32_t i = 0; i < options.jobs; ++i) slots.push_back(std::make_unique<Slot>(options));
  uint64_t given = 0;
  Clock::time_point shown = start;
  while (result.status.ok() && !Interrupted()) {
    std::vector<pollfd> waiting;
    std::vector<Slot*> busy;
    for (const auto& slot : slots) {
      while (given < seeds.count() && there.contains(seeds.At(given))) ++given;
      if (!slot->busy() && !stop && given < seeds.count()) {
        if (!slot->Run(seeds.At(given))) {
          result.status = Slot::NoMoreProcesses();
          break;
        }
        ++given;
      }
      if (!slot->busy()) continue;
      waiting.push_back({slot->fd(), POLLIN, 0});
      busy.push_back(slot.get());
    }
    if (busy.empty()) break;
    if (poll(waiting.data(), waiting.size(), 500) > 0) {
      for (size_t i = 0; i < waiting.size() && result.status.ok(); ++i) {
        if (waiting[i].revents == 0) continue;
        absl::StatusOr<std::optional<SeedResult>> seed = busy[i]->Read();
        result.status = seed.status();
        if (!seed.ok() || !seed->has_value()) continue;
        stop = stop || (!(*seed)->violation.empty() && !options.keep_going);
        if (options.finished) result.status = options.finished(**seed);
        result.seeds.push_back(**std::move(seed));
      }
    }
    if (options.progress && Clock::now() - shown > std::chrono::milliseconds(100)) {
      shown = Clock::now();
      ShowProgress(options, result.recorded, result.seeds.size(), seeds.count(), start);
    }
  }
  if (options.progress) absl::PrintF("\r\x1b[K");
  std::sort(result.seeds.begin(), result.seeds.end(),
            [](const SeedResult& a, const SeedResult& b) { return a.seed < b.seed; });
  result.seconds = SecondsSince(start);
  result.interrupted = Interrupted();
  return result;
}

std::string FormatSummary(const SweepOptions& options, const SweepResult& result) {
  const uint64_t run = result.seeds.size() - result.recorded;
  return absl::StrFormat(
             "sweep %s%s  seeds %d..%d  %d jobs   %s seeds in %s (%.1f seeds/s)%s%s\n",
             Name(options.profile), InWords(options.shard), options.seeds.first, options.seeds.last,
             options.jobs, Grouped(run), Span(result.seconds),
             static_cast<double>(run) / std::max(result.seconds, 1e-3),
             result.recorded == 0 ? "" : absl::StrCat(", ", Grouped(result.recorded), " before"),
             result.interrupted ? ", interrupted" : "") +
         FormatFigures(result.seeds);
}

namespace {

// Behind `head`, which is left out when there is nothing; lines that go on are indented.
std::string InLines(absl::string_view head, const std::vector<std::string>& pieces) {
  constexpr size_t kWidth = 92;
  std::string text;
  size_t line = head.size();
  for (const std::string& piece : pieces) {
    if (text.empty()) {
      absl::StrAppend(&text, head);
    } else if (line + piece.size() > kWidth) {
      absl::StrAppend(&text, ",\n         ");
      line = 9;
    } else {
      absl::StrAppend(&text, ", ");
      line += 2;
    }
    absl::StrAppend(&text, piece);
    line += piece.size();
  }
  return text.empty() ? text : absl::StrCat(text, "\n");
}

}  // namespace

std::string FormatFigures(const std::vector<SeedResult>& seeds) {
  RunCounters sum;
  uint64_t violations = 0, twice = 0, duration_us = 0;
  for (const SeedResult& seed : seeds) {
    AddCounters(seed.counters, &sum);
    duration_us += seed.duration_us;
    if (!seed.violation.empty()) ++violations;
    if (seed.twice) ++twice;
  }
  // Of one core: what each run took, whatever ran beside it.
  const double seconds = std::max(static_cast<double>(duration_us) / 1e6, 1e-3);
  const double simulated = static_cast<double>(sum.simulated_us) / 1e6;
  std::string out;
  absl::StrAppendFormat(
      &out,
      " simulated %s (%.0fx/core)   events %s (%s/s/core)   operations %s (%.1f %% "
      "acknowledged)\n",
      Span(simulated), simulated / seconds, Magnitude(static_cast<double>(sum.events)),
      Magnitude(static_cast<double>(sum.events) / seconds),
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
  if (sum.connections > 0) {
    absl::StrAppendFormat(&out, " connections between nodes %s (%s broken)\n",
                          Grouped(sum.connections), Grouped(sum.connections_broken));
  }
  std::vector<std::string> faults, attacks, rare;
  // How often is less than in how many runs.
  const auto share = [&](absl::string_view name, const auto& count) {
    const auto reached = std::count_if(seeds.begin(), seeds.end(), [&](const SeedResult& seed) {
      return count(seed.counters) > 0;
    });
    return absl::StrFormat(
        "%s %.1f %%", name,
        100.0 * static_cast<double>(reached) / static_cast<double>(seeds.size()));
  };
  for (size_t i = 0; i < kFaultKinds; ++i) {
    if (sum.faults[i] == 0) continue;
    const absl::string_view name = Name(static_cast<Fault>(i));
    if (i < kFirstAttack) {
      faults.push_back(absl::StrCat(name, " ", Grouped(sum.faults[i])));
      continue;
    }
    attacks.push_back(share(name, [i](const RunCounters& c) { return c.faults[i]; }));
  }
  for (size_t i = 0; i < kRareStates; ++i) {
    if (sum.rare[i] == 0) continue;
    const absl::string_view name = Name(static_cast<RareState>(i));
    rare.push_back(share(name, [i](const RunCounters& c) { return c.rare[i]; }));
  }
  absl::StrAppend(&out, InLines(" faults: ", faults),
                  InLines(" attacks, in so many seeds: ", attacks),
                  InLines(" rare states, in so many seeds: ", rare));
  if (sum.cores > 0) {
    absl::StrAppend(&out, " healed first, and left alone with all they had to do: ",
                    share("a core of the nodes", [](const RunCounters& c) { return c.cores; }),
                    "\n");
  }
  absl::StrAppendFormat(&out, " %-18s %10s %10s %10s\n", "per seed", "least", "median", "most");
  const auto row = [&](absl::string_view name, const Spread& spread, absl::string_view unit) {
    absl::StrAppendFormat(
        &out, "   %-16s %10s %10s %10s\n", name, absl::StrCat(Grouped(spread.least), unit),
        absl::StrCat(Grouped(spread.median), unit), absl::StrCat(Grouped(spread.most), unit));
  };
  row("events", SpreadOf(seeds, [](const RunCounters& c) { return c.events; }), "");
  row("operations", SpreadOf(seeds, [](const RunCounters& c) { return c.operations; }), "");
  row("acknowledged", SpreadOf(seeds, AcknowledgedPercent), " %");
  row("faults in effect", SpreadOf(seeds, [](const RunCounters& c) { return c.faults_in_effect; }),
      "");
  if (sum.undecided > 0) {
    std::string which;
    for (const SeedResult& seed : seeds) {
      if (seed.counters.undecided > 0) absl::StrAppend(&which, " ", seed.seed);
    }
    absl::StrAppend(&out, " histories too hard for the checker, of seeds", which, "\n");
  }
  if (twice > 0) {
    absl::StrAppendFormat(&out, " run twice, the second time by a new process: %s\n",
                          Grouped(twice));
  }
  absl::StrAppendFormat(&out, " violations %d\n", violations);
  return out;
}

}  // namespace raftkv::sim
