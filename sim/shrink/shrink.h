// Makes the smallest scenario it can find of a run that broke an oracle: one that still breaks the
// same oracle.
//
//   roll      chance is still there: settings are made gentler one by one (fewer nodes, clients,
//             kinds of faults, a steady network), each if one of a few seeds still fails. What is
//             left is usually a run of a second or two
//   record    every decision of that run is written down (sim/decisions); what came behind the
//             violation is left out
//   remove    decisions that are not needed: whole kinds of them, then halves, quarters, ...,
//   single
//             ones, until none can be missed. A decision that is left out is the usual one
//   simplify  settings become plain, times round, and "at 3.204 s" becomes "when 2 leads term 3"
//
// Every step is kept only if the oracle still fires, so the result is true by construction; how
// small it is depends on the time there is.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sim/oracles/judge.h"
#include "sim/run/run.h"
#include "sim/run/settings.h"
#include "sim/scenario/scenario.h"

namespace raftkv::sim {

struct Trial {
  RunSettings settings;
  bool record = false;      // TrialResult::record is wanted
  bool milestones = false;  // TrialResult::milestones are
};

struct TrialResult {
  // Why it has not been played to its end, so that nothing is known; empty: it has been.
  std::string unplayed;
  std::optional<Violation> violation;
  uint64_t events = 0;
  RunRecord record;
  std::vector<Milestone> milestones;
  std::vector<bool> reached;         // RunSettings::reach
  std::vector<FaultCommand> spoilt;  // Nemesis::spoilt
};

// Plays runs, each by itself: one that takes its process along has broken "crash-free". As many
// results as trials, in their order.
using PlayTrials = std::function<std::vector<TrialResult>(const std::vector<Trial>& trials)>;

class Shrinker {
 public:
  struct Options {
    size_t at_once = 4;  // trials handed over together
    size_t seeds = 24;   // that are tried before a gentler setting is given up
    // Asked whether more than so many hundredths of the time are left.
    std::function<bool(uint32_t percent)> may_go_on;
    // Told what is being done, and how many decisions there are (0: not known yet).
    std::function<void(absl::string_view step, size_t decisions)> progress;
  };

  Shrinker(Options options, PlayTrials play)
      : options_(std::move(options)), play_(std::move(play)) {}

  // `settings` break an oracle, with chance or as a scenario. FailedPrecondition if they do not, or
  // if the record of the run does not break the same one.
  absl::StatusOr<Scenario> Shrink(const RunSettings& settings);

 private:
  // A decision that may be left out.
  struct Item {
    enum class Kind : uint8_t { kFault, kOperation, kAnswer };
    Kind kind = Kind::kAnswer;
    std::string name;     // kAnswer
    uint64_t answer = 0;  // kAnswer
    CuedFault fault;      // kFault
    size_t client = 0;    // kOperation: a place in settings.clients,
    size_t group = 0;     // what it is asked together with,
    Cue cue;              // when,
    std::vector<std::string> words;
  };
  using Items = std::vector<Item>;

  std::vector<TrialResult> Play(const std::vector<Trial>& trials);
  // The same oracle, and it says the same of it, numbers aside.
  bool Breaks(const TrialResult& result) const;
  bool MayGoOn(uint32_t percent) const {
    return !options_.may_go_on || options_.may_go_on(percent);
  }
  void Tell(absl::string_view step) const {
    if (options_.progress) options_.progress(step, items_.size());
  }

  void Roll();
  bool RollTo(const RunSettings& gentler);
  absl::Status Record();
  void RemoveKinds();
  bool RemoveChunks(size_t least);
  void Simplify();
  void MakeSettingsPlain();
  void RoundTimes();
  void GiveCues();
  void PinDown();
  Scenario Finish();

  // Removes every candidate set that can be removed, as far as they can be together.
  bool RemoveSets(const std::vector<std::vector<bool>>& removed_sets);
  // Takes the first of these in place of base_ and items_ that still breaks the oracle.
  bool TakeFirst(const std::vector<std::pair<RunSettings, Items>>& candidates);
  RunSettings Build(const RunSettings& base, const Items& items) const;
  static std::string KindOf(const Item& item);

  Options options_;
  PlayTrials play_;
  uint64_t trials_ = 0;
  Oracle oracle_ = Oracle::kCrashFree;
  std::string gist_;   // of the violation
  RunSettings drawn_;  // while there is chance
  RunSettings base_;   // without decisions
  Items items_;
  TrialResult last_;  // of what is kept
};

}  // namespace raftkv::sim
