#include "sim/guidance/guide.h"

#include <algorithm>

namespace raftkv::sim {
namespace {

constexpr size_t kMostKept = 2'000;
constexpr size_t kMostMoments = 16;
// In percent of all runs.
constexpr uint64_t kAsDrawn = 5;
// After so many runs half of the others are made of the corpus; then more.
constexpr uint64_t kManyRuns = 500;
// In percent of these.
constexpr uint64_t kToRareOutlines = 20;
// The best of so many is taken.
constexpr uint64_t kLookedAt = 24;
// Of the first state of an outline. The second has half of it, the third a third.
constexpr uint64_t kWorth = 1 << 16;

// a/b < c/d
bool Less(uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return a * d < c * b; }

}  // namespace

Guide::Plan Guide::Next() {
  if (!offered_.empty()) {
    Plan plan{std::move(offered_.front()), std::nullopt};
    offered_.pop_front();
    return plan;
  }
  if (!options_.guided || random_.Below(100) < kAsDrawn) return {FreshSeed(), std::nullopt};
  // The more there is to choose from, the more a choice is worth.
  if (kept_.empty() || random_.Below(learnt_ + kManyRuns) >= learnt_) {
    return {InAHurry(FreshSeed(), random_), std::nullopt};
  }
  if (random_.Below(100) < kToRareOutlines) {
    const State& rare = PickRare();
    return {GoOnOtherwise(entries_[rare.first].run, rare.moment, random_), rare.first};
  }
  const size_t parent = PickFamily();
  const Entry& entry = entries_[parent];
  const Entry& other = entries_[PickFamily()];
  const Moment moment = entry.moments[random_.Below(entry.moments.size())];
  return {Mutate(entry.run, moment, other.run, random_), parent};
}

Recipe Guide::FreshSeed() {
  Recipe recipe;
  recipe.seed = options_.first_seed + fresh_++;
  recipe.profile = options_.profile;
  recipe.attacks = options_.attacks;
  return recipe;
}

// By what they came to for what they cost: states, or what these are worth, which are not the same
// families. States alone are cheap where something goes on and off all the time.
bool Guide::IsWorse(const Entry& one, const Entry& other, bool by_worth) {
  return by_worth ? Less(one.worth, one.spent, other.worth, other.spent)
                  : Less(one.found, one.spent, other.found, other.spent);
}

size_t Guide::PickFamily() {
  const bool by_worth = random_.Chance(1, 2);
  size_t best = kept_[random_.Below(kept_.size())];
  for (uint64_t i = 1; i < kLookedAt; ++i) {
    const size_t other = kept_[random_.Below(kept_.size())];
    if (IsWorse(entries_[best], entries_[other], by_worth)) best = other;
  }
  return best;
}

// Of the outlines that nearly no run came to, or was sent to, one of its states.
const Guide::State& Guide::PickRare() {
  Outline* rarest = &outlines_[random_.Below(outlines_.size())];
  for (uint64_t i = 1; i < kLookedAt; ++i) {
    Outline& other = outlines_[random_.Below(outlines_.size())];
    if (other.runs + other.tries < rarest->runs + rarest->tries) rarest = &other;
  }
  ++rarest->tries;
  const State* state = nullptr;
  for (uint64_t i = 0; i < kLookedAt; ++i) {
    state = &states_[rarest->states[random_.Below(rarest->states.size())]];
    if (entries_[state->first].kept) break;
  }
  return *state;
}

bool Guide::Learn(const Plan& plan, const CameTo& outcome) {
  ++learnt_;
  const size_t number = entries_.size();
  std::vector<Moment> moments;
  uint64_t found = 0;
  uint64_t worth = 0;
  for (const Surveyor::Reached& reached : outcome.reached) {
    Outline& outline = OutlineOf(reached.outline);
    if (outline.last_run != learnt_) {
      outline.last_run = learnt_;
      ++outline.runs;
    }
    if (!known_.insert(reached.state).second) continue;
    outline.states.push_back(states_.size());
    worth += kWorth / outline.states.size();
    // Behind the last fault everything heals, and there is less to choose.
    const Moment moment{std::min(reached.time, outcome.ended), reached.decisions};
    states_.push_back({reached.state, number, moment});
    ++found;
    if (moments.size() < kMostMoments) {
      moments.push_back(moment);
    } else if (const uint64_t place = random_.Below(found); place < kMostMoments) {
      moments[place] = moment;
    }
  }
  if (!options_.guided) return found > 0;
  if (plan.parent.has_value()) {
    Entry& parent = entries_[*plan.parent];
    parent.found = parent.found * 3 / 4 + found * 64;
    parent.worth = parent.worth * 3 / 4 + worth;
    parent.spent = parent.spent * 3 / 4 + outcome.events;
  }
  if (found == 0) return false;
  Entry entry;
  entry.run = {plan.recipe, outcome.faults, outcome.ended, outcome.decisions};
  entry.moments = std::move(moments);
  entry.found = found * 64;
  entry.worth = worth;
  entry.spent = std::max<uint64_t>(outcome.events, 1);
  entries_.push_back(std::move(entry));
  kept_.push_back(number);
  if (kept_.size() > kMostKept) MakeRoom();
  return true;
}

Guide::Outline& Guide::OutlineOf(uint64_t hash) {
  const auto [at, is_new] = outlined_.try_emplace(hash, outlines_.size());
  if (is_new) outlines_.emplace_back();
  return outlines_[at->second];
}

// Half of them go. A quarter has come to the most states, and another to those of most worth.
void Guide::MakeRoom() {
  auto from = kept_.begin();
  for (const bool by_worth : {false, true}) {
    std::stable_sort(from, kept_.end(), [&](size_t a, size_t b) {
      return IsWorse(entries_[b], entries_[a], by_worth);
    });
    from += kMostKept / 4;
  }
  for (size_t i = kMostKept / 2; i < kept_.size(); ++i) {
    Entry& entry = entries_[kept_[i]];
    entry.kept = false;
    entry.run.faults = {};
    entry.moments = {};
  }
  kept_.resize(kMostKept / 2);
  std::sort(kept_.begin(), kept_.end());
}

std::vector<Recipe> Guide::corpus() const {
  std::vector<Recipe> recipes;
  for (const size_t number : kept_) recipes.push_back(entries_[number].run.recipe);
  return recipes;
}

uint64_t Guide::corpus_size() const { return kept_.size(); }

uint64_t Guide::Digest() const {
  uint64_t digest = states_.size();
  for (const State& state : states_) digest = MixHash(digest ^ state.state);
  for (const Outline& outline : outlines_) digest = MixHash(digest ^ outline.runs);
  for (const size_t number : kept_) {
    digest = MixHash(digest ^ HashBytes(FormatRecipe(entries_[number].run.recipe)));
  }
  return digest;
}

}  // namespace raftkv::sim
