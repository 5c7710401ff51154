#include "cmd/sim/bench.h"

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "sim/run/run.h"
#include "sim/run/settings.h"

namespace raftkv::sim {
namespace {

struct Subject {
  absl::string_view name;
  RunSettings (*settings)(uint64_t seed);
};

constexpr Subject kSubjects[] = {
    {"everything", [](uint64_t seed) { return DrawSettings(seed, Profile::kEverything); }},
    {"quiet", [](uint64_t seed) { return DrawSettings(seed, Profile::kQuiet); }},
    {"steady", SteadySettings},
};
constexpr size_t kSubjectCount = std::size(kSubjects);

// What all seeds of one subject took together, in one round.
struct Measured {
  uint64_t events = 0;
  uint64_t operations = 0;
  double simulated = 0;  // seconds
  double seconds = 0;    // of this process
};

struct Rounds {
  std::vector<Measured> with;
  std::vector<Measured> without;
};

double CpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

double Median(std::vector<double> figures) {
  std::sort(figures.begin(), figures.end());
  const size_t half = figures.size() / 2;
  return figures.size() % 2 == 1 ? figures[half] : (figures[half - 1] + figures[half]) / 2;
}

template <typename Figure>
std::vector<double> Each(const std::vector<Measured>& rounds, const Figure& figure) {
  std::vector<double> figures;
  for (const Measured& round : rounds) figures.push_back(figure(round));
  return figures;
}

double EventRate(const Measured& round) {
  return static_cast<double>(round.events) / round.seconds;
}

class Bench {
 public:
  explicit Bench(const BenchArguments& arguments)
      : arguments_(arguments), rounds_(kSubjectCount), hashes_(kSubjectCount) {}

  BenchResult Print() {
    for (uint32_t round = 0; round < arguments_.rounds; ++round) {
      for (size_t subject = 0; subject < kSubjectCount; ++subject) {
        // Who comes first changes: a processor that gets warmer, or free, favours nobody.
        for (const bool oracles : {round % 2 == 0, round % 2 != 0}) {
          if (arguments_.progress) {
            absl::PrintF("\rbench  round %d of %d: %s \x1b[K", round + 1, arguments_.rounds,
                         kSubjects[subject].name);
            std::fflush(stdout);
          }
          if (!Measure(subject, oracles)) return Complain();
        }
      }
    }
    if (arguments_.progress) absl::PrintF("\r\x1b[K");
    PrintTable();
    return BenchResult::kMeasured;
  }

 private:
  bool Measure(size_t subject, bool oracles) {
    Measured measured;
    Audience audience;
    audience.oracles = oracles;
    for (uint64_t i = 0; i < arguments_.seeds.count(); ++i) {
      const uint64_t seed = arguments_.seeds.first + i;
      const RunSettings settings = kSubjects[subject].settings(seed);
      const double start = CpuSeconds();
      const RunReport report = Simulate(settings, audience);
      measured.seconds += CpuSeconds() - start;
      measured.events += report.counters.events;
      measured.operations += report.counters.acknowledged;
      measured.simulated += static_cast<double>(report.counters.simulated_us) / 1e6;
      const auto [known, first] = hashes_[subject].emplace(seed, report.run_hash);
      if (report.violation.has_value()) {
        wrong_ = FormatViolation(*report.violation);
      } else if (!first && known->second != report.run_hash) {
        wrong_ = absl::StrCat("it went otherwise ", oracles ? "with" : "without",
                              " oracles than the first time");
      }
      if (!wrong_.empty()) {
        wrong_ = absl::StrCat(kSubjects[subject].name, ", seed ", seed, ": ", wrong_);
        return false;
      }
    }
    (oracles ? rounds_[subject].with : rounds_[subject].without).push_back(measured);
    return true;
  }

  BenchResult Complain() const {
    absl::PrintF("%s%s\n", arguments_.progress ? "\r\x1b[K" : "", wrong_);
    return BenchResult::kWrong;
  }

  static void PrintRow(absl::string_view name, absl::string_view oracles,
                       const std::vector<Measured>& rounds, uint64_t seeds) {
    const std::vector<double> rates = Each(rounds, EventRate);
    absl::PrintF(
        "%-12s %-8s %11d %9.2f  %4.2f to %4.2f %13.0f %9.1f %9.1f", name, oracles,
        rounds.front().events, Median(rates) / 1e6,
        *std::min_element(rates.begin(), rates.end()) / 1e6,
        *std::max_element(rates.begin(), rates.end()) / 1e6,
        Median(Each(rounds, [](const Measured& r) { return r.simulated / r.seconds; })),
        Median(Each(rounds,
                    [seeds](const Measured& r) { return static_cast<double>(seeds) / r.seconds; })),
        static_cast<double>(rounds.front().operations) / rounds.front().simulated);
  }

  void PrintTable() const {
    const uint64_t seeds = arguments_.seeds.count();
    absl::PrintF(
        "seeds %d..%d, %d rounds in turns, medians; seconds are of CPU time, on one core\n",
        arguments_.seeds.first, arguments_.seeds.last, arguments_.rounds);
    absl::PrintF("%-12s %-8s %11s %9s %13s %13s %9s %9s %8s\n", "run", "oracles", "events",
                 "M events/s", "min to max", "simulated s/s", "seeds/s", "op/sim s", "they cost");
    for (size_t subject = 0; subject < kSubjectCount; ++subject) {
      const Rounds& rounds = rounds_[subject];
      // Of the time with oracles, in the same round.
      std::vector<double> costs;
      for (size_t i = 0; i < rounds.with.size(); ++i) {
        costs.push_back(1 - rounds.without[i].seconds / rounds.with[i].seconds);
      }
      PrintRow(kSubjects[subject].name, "all", rounds.with, seeds);
      absl::PrintF(" %7.1f%%\n", 100 * Median(costs));
      PrintRow("", "none", rounds.without, seeds);
      absl::PrintF("\n");
    }
  }

  BenchArguments arguments_;
  std::vector<Rounds> rounds_;
  std::vector<std::map<uint64_t, uint64_t>> hashes_;  // of each subject, by seed
  std::string wrong_;
};

}  // namespace

BenchResult PrintBench(const BenchArguments& arguments) { return Bench(arguments).Print(); }

}  // namespace raftkv::sim
