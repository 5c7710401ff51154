#include "sim/guidance/mutate.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "sim/guidance/knobs.h"

namespace raftkv::sim {
namespace {

// A recipe keeps no more of each; what is oldest goes.
constexpr size_t kMostTurns = 8;
constexpr size_t kMostChanged = 64;
constexpr size_t kMostFaults = 200;
constexpr Time kShortest = kMillisecond;
constexpr Time kLongest = 3 * kSecond;

template <typename Element>
const Element& OneOf(const std::vector<Element>& all, Random& random) {
  return all[random.Below(all.size())];
}

void Turn(Recipe* recipe, Time at, Random& random) {
  std::erase_if(recipe->turns, [at](const ChanceTurn& turn) { return turn.at >= at; });
  recipe->turns.push_back({at, random.Below(uint64_t{1} << 32)});
  if (recipe->turns.size() > kMostTurns) recipe->turns.erase(recipe->turns.begin());
}

void SortFaults(std::vector<CuedFault>* faults) {
  std::stable_sort(faults->begin(), faults->end(),
                   [](const CuedFault& a, const CuedFault& b) { return a.cue.at < b.cue.at; });
  if (faults->size() > kMostFaults) faults->resize(kMostFaults);
}

// Up to now the faults were perhaps drawn: they are written down, and nothing else happens.
std::vector<CuedFault>* GiveFaults(const MadeRun& run, Recipe* recipe) {
  recipe->faults = run.faults;
  recipe->draws_from.reset();
  return &*recipe->faults;
}

// From half of it to twice as much.
uint64_t About(uint64_t number, Random& random) {
  return number / 2 + random.Below(number * 3 / 2 + 1);
}

// Nodes change their names: a fault for one of them becomes one for another.
void Rename(FaultCommand* command, Random& random) {
  const raft::NodeId one = random.Between(1, 5);
  const raft::NodeId two = random.Between(1, 7);
  const auto swap = [&](raft::NodeId* node) {
    if (*node == one) {
      *node = two;
    } else if (*node == two) {
      *node = one;
    }
  };
  for (raft::NodeId& node : command->nodes) swap(&node);
  for (auto& [from, to] : command->links) {
    swap(&from);
    swap(&to);
  }
}

void ChangeFault(CuedFault* fault, Time ended, Random& random) {
  switch (random.Below(5)) {
    case 0:
      fault->cue.at = random.Below(ended + 1);
      break;
    case 1: {  // a little earlier or later
      const Time most = random.Chance(1, 2) ? 20 * kMillisecond : 500 * kMillisecond;
      const Time by = random.Below(most + 1);
      fault->cue.at =
          random.Chance(1, 2) ? fault->cue.at + by : fault->cue.at - std::min(fault->cue.at, by);
      break;
    }
    case 2:
      if (fault->command.lasts > 0) {
        fault->command.lasts = std::clamp(About(fault->command.lasts, random), kShortest, kLongest);
      }
      break;
    case 3:
      // Attacks know whom they mean.
      if (static_cast<size_t>(fault->command.fault) < kFirstAttack) {
        Rename(&fault->command, random);
      }
      break;
    default:
      if (HasDraw(fault->command.fault)) {
        fault->command.draw = random.Next();
        fault->command.damage.reset();
      }
      if (fault->command.fault == Fault::kPowerLoss || fault->command.fault == Fault::kKill) {
        fault->command.again = !fault->command.again;
      }
      break;
  }
}

void ChangeFaults(const MadeRun& run, Recipe* recipe, Random& random) {
  std::vector<CuedFault>* faults = GiveFaults(run, recipe);
  const uint64_t changes = random.Between(1, 4);
  for (uint64_t i = 0; i < changes && !faults->empty(); ++i) {
    const size_t at = random.Below(faults->size());
    switch (random.Below(4)) {
      case 0:
        faults->erase(faults->begin() + static_cast<ptrdiff_t>(at));
        break;
      case 1: {
        CuedFault again = (*faults)[at];
        ChangeFault(&again, run.ended, random);
        faults->push_back(std::move(again));
        break;
      }
      default:
        ChangeFault(&(*faults)[at], run.ended, random);
        break;
    }
  }
  SortFaults(faults);
}

// Its own faults up to some moment, then those of the other, perhaps earlier or later than there.
void Splice(const MadeRun& run, const MadeRun& other, const Moment& moment, Recipe* recipe,
            Random& random) {
  std::vector<CuedFault>* faults = GiveFaults(run, recipe);
  std::erase_if(*faults, [&moment](const CuedFault& fault) { return fault.cue.at > moment.time; });
  const Time from = random.Below(other.ended + 1);
  for (CuedFault fault : other.faults) {
    if (fault.cue.at < from) continue;
    fault.cue.at = fault.cue.at - from + moment.time;
    faults->push_back(std::move(fault));
  }
  SortFaults(faults);
}

void ChangeDecisions(const MadeRun& run, const Moment& moment, Recipe* recipe, Random& random) {
  // Most of them in the little while before and after the moment.
  const uint64_t around = random.Chance(3, 4) ? 100 : run.decisions;
  const uint64_t first = moment.decisions - std::min(moment.decisions, around);
  for (uint64_t i = random.Between(1, 8); i > 0; --i) {
    const ChangedDecision change{random.Between(first + 1, moment.decisions + around + 1),
                                 random.Below(1 << 16)};
    auto at = std::lower_bound(
        recipe->changed.begin(), recipe->changed.end(), change,
        [](const ChangedDecision& a, const ChangedDecision& b) { return a.number < b.number; });
    if (at != recipe->changed.end() && at->number == change.number) {
      *at = change;
    } else {
      recipe->changed.insert(at, change);
    }
  }
  while (recipe->changed.size() > kMostChanged) recipe->changed.erase(recipe->changed.begin());
}

bool MayHappen(const Recipe& recipe, Fault fault) {
  return HasFault(recipe.profile, fault) &&
         (recipe.attacks || static_cast<size_t>(fault) < kFirstAttack);
}

void ChangeSettings(Recipe* recipe, Random& random) {
  const RunSettings is = SettingsOf(*recipe);
  for (uint64_t i = random.Between(1, 3); i > 0; --i) {
    const Knob& knob = OneOf(AllKnobs(), random);
    if (knob.fault.has_value() && !MayHappen(*recipe, *knob.fault)) continue;
    uint64_t value = random.Between(knob.least, knob.most);
    if (!knob.even) {
      // Twice as much, or half, or something of any size.
      const uint64_t now = std::clamp(knob.get(is), knob.least, knob.most);
      if (random.Chance(2, 3)) {
        value = random.Chance(1, 2) ? now * 2 + 1 : now / 2;
      } else {
        value = value >> random.Below(16);
      }
    }
    recipe->knobs[knob.name] = std::clamp(value, knob.least, knob.most);
  }
}

// So much of `percent` of what it is.
void Scale(absl::string_view name, uint64_t percent, const RunSettings& is, Recipe* recipe) {
  const Knob& knob = *FindKnob(name);
  recipe->knobs[knob.name] = std::clamp(knob.get(is) * percent / 100, knob.least, knob.most);
}

}  // namespace

Recipe InAHurry(Recipe recipe, Random& random) {
  const RunSettings is = SettingsOf(recipe);
  Scale("between-faults-us", random.Between(10, 20), is, &recipe);
  Scale("think-us", random.Between(300, 600), is, &recipe);
  // What a run costs before its faults and behind them, it costs once.
  recipe.knobs["chaos-us"] = FindKnob("chaos-us")->most;
  return recipe;
}

Recipe GoOnOtherwise(const MadeRun& run, const Moment& moment, Random& random) {
  Recipe recipe = run.recipe;
  // From right there to half a second before.
  const Time before = random.Chance(1, 3) ? 0 : random.Below(500 * kMillisecond);
  const Time at = moment.time - std::min(moment.time, before);
  Turn(&recipe, at, random);
  if (recipe.faults.has_value()) {
    std::erase_if(*recipe.faults, [at](const CuedFault& fault) { return fault.cue.at > at; });
    recipe.draws_from = std::min(at, recipe.draws_from.value_or(at));
  }
  std::erase_if(recipe.changed,
                [&](const ChangedDecision& change) { return change.number > moment.decisions; });
  return recipe;
}

Recipe Mutate(const MadeRun& run, const Moment& moment, const MadeRun& other, Random& random) {
  Recipe recipe = run.recipe;
  uint64_t steps = random.Chance(1, 2) ? 1 : random.Between(2, 3);
  for (; steps > 0; --steps) {
    switch (random.Below(8)) {
      case 0:
        recipe = GoOnOtherwise({recipe, run.faults, run.ended, run.decisions}, moment, random);
        break;
      case 1:
      case 2: {  // the same circumstances, another run
        recipe.turns.clear();
        recipe.changed.clear();
        recipe.faults.reset();
        recipe.draws_from.reset();
        Turn(&recipe, 0, random);
        break;
      }
      case 3:
        ChangeFaults(run, &recipe, random);
        break;
      case 4:
        Splice(run, other, moment, &recipe, random);
        break;
      case 5:
        ChangeDecisions(run, moment, &recipe, random);
        break;
      default:
        ChangeSettings(&recipe, random);
        break;
    }
  }
  return recipe;
}

}  // namespace raftkv::sim
