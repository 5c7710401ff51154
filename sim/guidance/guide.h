// What to run next: keeps the recipes of runs that came to abstract states nobody had seen, and
// makes others out of them.
//
// A part of the runs are seeds as they are drawn, so that nothing is ever out of reach. While there
// is little to choose from, most of the others are seeds in a hurry (mutate.h). Of the rest some go
// back to an outline that few runs have come to, and go on from there in another way; the others
// vary a run out of a family that lately came to many new states for what it cost, or to states of
// outlines that have few. Costs are events, not time: everything here is a function of the first
// seed and of what the runs came to.
//
// What it keeps is bounded, however long it goes on: so many states, outlines, runs to vary.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/raft/random.h"
#include "sim/coverage/surveyor.h"
#include "sim/guidance/known_states.h"
#include "sim/guidance/mutate.h"
#include "sim/guidance/recipe.h"

namespace raftkv::sim {

struct GuideOptions {
  uint64_t first_seed = 1;  // fresh runs have this and those behind it; it also decides the rest
  Profile profile = Profile::kEverything;
  bool attacks = true;
  bool guided = true;  // otherwise every run is a fresh seed, and states are only counted
  // So many are known at most: 9 to 32 bytes each, and some 300. Beyond that a part of them stands
  // for all (known_states.h).
  size_t most_states = 28'000'000;
  size_t most_outlines = 500'000;
  // So many runs are remembered, to be varied or as examples of outlines: some 20 KB each.
  size_t most_runs = 10'000;
};

// What a run came to.
struct CameTo {
  uint64_t events = 0;
  uint64_t decisions = 0;
  Time ended = 0;
  std::vector<CuedFault> faults;
  std::vector<Surveyor::Reached> reached;
};

class Guide {
 public:
  explicit Guide(const GuideOptions& options)
      : options_(options),
        random_(Random::Stream(options.first_seed, "guidance")),
        known_(options.most_states) {}

  const GuideOptions& options() const { return options_; }

  struct Plan {
    Recipe recipe;
    std::optional<uint64_t> parent;  // the run that it is made of, if it may still be varied
  };
  Plan Next();
  // To be run before anything else: a corpus of before.
  void Offer(Recipe recipe) { offered_.push_back(std::move(recipe)); }
  // To be called for each run, in an order that depends on nothing but the plans. True: the run
  // came to new states, and is in the corpus.
  bool Learn(const Plan& plan, const CameTo& outcome);

  // Abstract states that any run came to; an estimate when there are more than are kept.
  uint64_t states() const { return known_.count(); }
  bool states_are_estimated() const { return known_.each() > 1; }
  // Recipes of the corpus, oldest first, without those that made room for better ones.
  std::vector<Recipe> corpus() const;
  uint64_t corpus_size() const;
  // What is held in memory, by number.
  struct Held {
    uint64_t states, outlines, runs;
  };
  Held held() const { return {known_.held(), outlines_.size(), entries_.size()}; }
  // Of all states and the corpus, to compare guides.
  uint64_t Digest() const;

 private:
  // Where a run came to a new state.
  struct Example {
    uint64_t entry = 0;
    Moment moment;
  };
  struct Outline {
    uint64_t hash = 0;
    uint64_t runs = 0;      // that came to it
    uint64_t tries = 0;     // to come to it again
    uint64_t last_run = 0;  // of these, from 1
    uint64_t known = 0;     // states
    // Where some of them were found. None if none of its states counts.
    std::vector<Example> examples;
  };
  struct Entry {
    MadeRun run;
    std::vector<Moment> moments;  // at which it came to new states; a sample
    // What it and its children came to and cost, the older the less.
    uint64_t found = 0;     // states
    uint64_t worth = 0;     // of these, the less the more states their outlines had before
    uint64_t spent = 1;     // events
    uint64_t examples = 0;  // of outlines, that are in it
    bool kept = true;       // may be varied
  };

  uint64_t PickFamily();
  const Example* PickRare();  // null: there is none
  Recipe FreshSeed();
  // Null when it is none of those that count.
  Outline* OutlineOf(uint64_t hash);
  void ForgetOutlines();
  void ForgetRuns();
  // Of the run that is being learnt from, which becomes `entry`, unless there are enough others.
  void AddExample(Outline& outline, uint64_t state, const Example& example, Entry* entry);
  void Release(uint64_t entry);
  static bool IsWorse(const Entry& one, const Entry& other, bool by_worth);
  void MakeRoom();

  GuideOptions options_;
  Random random_;
  uint64_t fresh_ = 0;
  std::deque<Recipe> offered_;
  KnownStates known_;
  Share counted_;                                   // of all outlines
  absl::flat_hash_map<uint64_t, size_t> outlined_;  // by hash, in outlines_; only asked for one
  std::vector<Outline> outlines_;
  uint64_t learnt_ = 0;                // runs
  std::map<uint64_t, Entry> entries_;  // by the run, from 1: what may be varied, or is an example
  std::vector<uint64_t> kept_;         // of these, what may be varied
};

}  // namespace raftkv::sim
