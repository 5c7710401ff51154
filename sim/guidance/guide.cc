#include "sim/guidance/guide.h"

#include <algorithm>
#include <utility>

#include "core/raft/random.h"

namespace raftkv::sim {
namespace {

constexpr size_t kMostKept = 2'000;
constexpr size_t kMostMoments = 16;
constexpr size_t kMostExamples = 8;  // of an outline
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
    if (const Example* rare = PickRare()) {
      return {GoOnOtherwise(entries_.at(rare->entry).run, rare->moment, random_), rare->entry};
    }
  }
  const uint64_t parent = PickFamily();
  const Entry& entry = entries_.at(parent);
  const Entry& other = entries_.at(PickFamily());
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

uint64_t Guide::PickFamily() {
  const bool by_worth = random_.Chance(1, 2);
  uint64_t best = kept_[random_.Below(kept_.size())];
  for (uint64_t i = 1; i < kLookedAt; ++i) {
    const uint64_t other = kept_[random_.Below(kept_.size())];
    if (IsWorse(entries_.at(best), entries_.at(other), by_worth)) best = other;
  }
  return best;
}

// Of the outlines that nearly no run came to, or was sent to, one of its states.
const Guide::Example* Guide::PickRare() {
  Outline* rarest = nullptr;
  for (uint64_t i = 0; i < kLookedAt && !outlines_.empty(); ++i) {
    Outline& other = outlines_[random_.Below(outlines_.size())];
    if (other.examples.empty()) continue;
    if (rarest == nullptr || other.runs + other.tries < rarest->runs + rarest->tries) {
      rarest = &other;
    }
  }
  if (rarest == nullptr) return nullptr;
  ++rarest->tries;
  const Example* example = nullptr;
  for (uint64_t i = 0; i < kLookedAt; ++i) {
    example = &rarest->examples[random_.Below(rarest->examples.size())];
    if (entries_.at(example->entry).kept) break;
  }
  return example;
}

bool Guide::Learn(const Plan& plan, const CameTo& outcome) {
  ++learnt_;
  if (!options_.guided) {
    bool is_new = false;
    for (const Surveyor::Reached& reached : outcome.reached) is_new |= known_.Add(reached.state);
    return is_new;
  }
  while (outlines_.size() > options_.most_outlines) ForgetOutlines();
  Entry entry;
  uint64_t found = 0;
  uint64_t worth = 0;
  for (const Surveyor::Reached& reached : outcome.reached) {
    Outline* const outline = OutlineOf(reached.outline);
    if (outline != nullptr && outline->last_run != learnt_) {
      outline->last_run = learnt_;
      ++outline->runs;
    }
    if (!known_.Add(reached.state)) continue;
    const uint64_t stands_for = known_.each();
    found += stands_for;
    // Behind the last fault everything heals, and there is less to choose.
    const Moment moment{std::min(reached.time, outcome.ended), reached.decisions};
    if (outline != nullptr) {
      outline->known += stands_for;
      worth += kWorth * stands_for * counted_.each() / outline->known;
      AddExample(*outline, reached.state, {learnt_, moment}, &entry);
    }
    if (entry.moments.size() < kMostMoments) {
      entry.moments.push_back(moment);
    } else if (const uint64_t place = random_.Below(found / stands_for); place < kMostMoments) {
      entry.moments[place] = moment;
    }
  }
  const auto parent = plan.parent ? entries_.find(*plan.parent) : entries_.end();
  if (parent != entries_.end()) {
    parent->second.found = parent->second.found * 3 / 4 + found * 64;
    parent->second.worth = parent->second.worth * 3 / 4 + worth;
    parent->second.spent = parent->second.spent * 3 / 4 + outcome.events;
  }
  if (found == 0) return false;
  entry.run = {plan.recipe, outcome.faults, outcome.ended, outcome.decisions};
  entry.found = found * 64;
  entry.worth = worth;
  entry.spent = std::max<uint64_t>(outcome.events, 1);
  entries_.emplace(learnt_, std::move(entry));
  kept_.push_back(learnt_);
  if (kept_.size() > kMostKept) MakeRoom();
  return true;
}

Guide::Outline* Guide::OutlineOf(uint64_t hash) {
  if (!counted_.Has(hash)) return nullptr;
  const auto [at, is_new] = outlined_.try_emplace(hash, outlines_.size());
  if (is_new) outlines_.emplace_back().hash = hash;
  return &outlines_[at->second];
}

void Guide::ForgetOutlines() {
  counted_.Halve();
  const std::vector<Outline> all = std::exchange(outlines_, {});
  outlined_.clear();
  for (const Outline& outline : all) {
    if (Outline* same = OutlineOf(outline.hash)) {
      *same = outline;
      continue;
    }
    for (const Example& example : outline.examples) {
      --entries_.at(example.entry).examples;
      Release(example.entry);
    }
  }
}

// What may still be varied is the better example; otherwise it is left to the state, which is as
// good as chance.
void Guide::AddExample(Outline& outline, uint64_t state, const Example& example, Entry* entry) {
  std::vector<Example>& examples = outline.examples;
  if (examples.size() < kMostExamples) {
    examples.push_back(example);
    ++entry->examples;
    return;
  }
  auto other = std::find_if(examples.begin(), examples.end(), [this](const Example& one) {
    const auto at = entries_.find(one.entry);
    return at != entries_.end() && !at->second.kept;
  });
  if (other == examples.end()) {
    const uint64_t place = MixHash(state ^ learnt_) % (outline.known / known_.each());
    if (place >= kMostExamples) return;
    other = examples.begin() + static_cast<ptrdiff_t>(place);
  }
  ++entry->examples;
  const uint64_t before = std::exchange(*other, example).entry;
  if (before == learnt_) {
    --entry->examples;
    return;
  }
  --entries_.at(before).examples;
  Release(before);
}

void Guide::Release(uint64_t entry) {
  const auto at = entries_.find(entry);
  if (!at->second.kept && at->second.examples == 0) entries_.erase(at);
}

// Half of them go. A quarter has come to the most states, and another to those of most worth.
void Guide::MakeRoom() {
  auto from = kept_.begin();
  for (const bool by_worth : {false, true}) {
    std::stable_sort(from, kept_.end(), [&](uint64_t a, uint64_t b) {
      return IsWorse(entries_.at(b), entries_.at(a), by_worth);
    });
    from += kMostKept / 4;
  }
  for (size_t i = kMostKept / 2; i < kept_.size(); ++i) {
    Entry& entry = entries_.at(kept_[i]);
    entry.kept = false;
    entry.run.faults = {};
    entry.moments = {};
    Release(kept_[i]);
  }
  kept_.resize(kMostKept / 2);
  std::sort(kept_.begin(), kept_.end());
  if (entries_.size() > options_.most_runs) ForgetRuns();
}

// Of those that are examples only, the ones of the fewest outlines.
void Guide::ForgetRuns() {
  std::vector<std::pair<uint64_t, uint64_t>> examples;  // how many, and the run
  for (const auto& [run, entry] : entries_) {
    if (!entry.kept) examples.emplace_back(entry.examples, run);
  }
  std::sort(examples.begin(), examples.end());
  for (const auto& [count, run] : examples) {
    if (entries_.size() <= options_.most_runs / 2) break;
    entries_.erase(run);
  }
  for (Outline& outline : outlines_) {
    std::erase_if(outline.examples,
                  [this](const Example& example) { return !entries_.contains(example.entry); });
  }
}

std::vector<Recipe> Guide::corpus() const {
  std::vector<Recipe> recipes;
  for (const uint64_t run : kept_) recipes.push_back(entries_.at(run).run.recipe);
  return recipes;
}

uint64_t Guide::corpus_size() const { return kept_.size(); }

uint64_t Guide::Digest() const {
  uint64_t digest = MixHash(known_.count() ^ known_.digest());
  for (const Outline& outline : outlines_) digest = MixHash(digest ^ outline.runs);
  for (const uint64_t run : kept_) {
    digest = MixHash(digest ^ HashBytes(FormatRecipe(entries_.at(run).run.recipe)));
  }
  return digest;
}

}  // namespace raftkv::sim
