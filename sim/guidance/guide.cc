#include "sim/guidance/guide.h"

#include <algorithm>

namespace raftkv::sim {
namespace {

constexpr size_t kMostKept = 2'000;
constexpr size_t kMostMoments = 16;
// In percent of all runs.
constexpr uint64_t kFresh = 10;
constexpr uint64_t kToRareStates = 20;
// The best of so many is taken.
constexpr uint64_t kFamiliesLookedAt = 24;
constexpr uint64_t kStatesLookedAt = 24;

// a/b < c/d
bool Less(uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return a * d < c * b; }

}  // namespace

Guide::Plan Guide::Next() {
  if (!offered_.empty()) {
    Plan plan{std::move(offered_.front()), std::nullopt};
    offered_.pop_front();
    return plan;
  }
  const bool fresh = !options_.guided || kept_.empty() || random_.Below(100) < kFresh;
  if (fresh) {
    Plan plan;
    plan.recipe.seed = options_.first_seed + fresh_++;
    plan.recipe.profile = options_.profile;
    plan.recipe.attacks = options_.attacks;
    return plan;
  }
  if (random_.Below(100) < kToRareStates) {
    const State& rare = PickRare();
    const size_t first = rare.first;
    return {GoOnOtherwise(entries_[first].run, rare.moment, random_), first};
  }
  const size_t parent = PickFamily();
  const Entry& entry = entries_[parent];
  const Entry& other = entries_[PickFamily()];
  const Moment moment = entry.moments[random_.Below(entry.moments.size())];
  return {Mutate(entry.run, moment, other.run, random_), parent};
}

size_t Guide::PickFamily() {
  size_t best = kept_[random_.Below(kept_.size())];
  for (uint64_t i = 1; i < kFamiliesLookedAt; ++i) {
    const size_t other = kept_[random_.Below(kept_.size())];
    if (Less(entries_[best].found, entries_[best].spent, entries_[other].found,
             entries_[other].spent)) {
      best = other;
    }
  }
  return best;
}

const Guide::State& Guide::PickRare() {
  const State* best = &states_[random_.Below(states_.size())];
  for (uint64_t i = 1; i < kStatesLookedAt; ++i) {
    const State& other = states_[random_.Below(states_.size())];
    if (other.runs < best->runs && entries_[other.first].kept) best = &other;
  }
  return *best;
}

bool Guide::Learn(const Plan& plan, const CameTo& outcome) {
  const size_t number = entries_.size();
  std::vector<Moment> moments;
  uint64_t found = 0;
  for (const Surveyor::Reached& reached : outcome.reached) {
    const auto [at, is_new] = known_.try_emplace(reached.state, states_.size());
    if (!is_new) {
      ++states_[at->second].runs;
      continue;
    }
    // Behind the last fault everything heals, and there is less to choose.
    const Moment moment{std::min(reached.time, outcome.ended), reached.decisions};
    states_.push_back({reached.state, 1, number, moment});
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
    parent.spent = parent.spent * 3 / 4 + outcome.events;
  }
  if (found == 0) return false;
  Entry entry;
  entry.run = {plan.recipe, outcome.faults, outcome.ended, outcome.decisions};
  entry.moments = std::move(moments);
  entry.found = found * 64;
  entry.spent = std::max<uint64_t>(outcome.events, 1);
  entries_.push_back(std::move(entry));
  kept_.push_back(number);
  if (kept_.size() > kMostKept) MakeRoom();
  return true;
}

// The worse half goes.
void Guide::MakeRoom() {
  std::stable_sort(kept_.begin(), kept_.end(), [this](size_t a, size_t b) {
    return Less(entries_[b].found, entries_[b].spent, entries_[a].found, entries_[a].spent);
  });
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
  for (const State& state : states_) digest = MixHash(digest ^ state.state) + state.runs;
  for (const size_t number : kept_) {
    digest = MixHash(digest ^ HashBytes(FormatRecipe(entries_[number].run.recipe)));
  }
  return digest;
}

}  // namespace raftkv::sim
