#include "sim/check/linearizability.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "core/raft/check.h"
#include "sim/check/sequence_interner.h"

namespace raftkv::sim {

void Model::Needs(State, Action, std::vector<Need>*) {}
absl::Span<const Action> Model::Providers(Need) { return {}; }

absl::string_view Name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kLinearizable:
      return "linearizable";
    case Verdict::kNotLinearizable:
      return "not linearizable";
    case Verdict::kUndecided:
      return "undecided";
  }
  return "";
}

namespace {

// Why nothing is lost. Call a configuration *solvable* if some sequence of operations places all
// required ones from there. Let D dominate C if both have the same frontier, the same placed open
// operations and the same state, and D has used a subset of the optional operations used by C.
// Everything that is possible from C is possible from D.
//
// Looking early. If an action that only looks fits and changes nothing, move it here from its later
// place in a solution: it changes nothing here, and without it the others still fit.
//
// Interchangeable. If a solution uses the later invoked of two optional operations with the same
// action and not the earlier, use the earlier instead: it is open whenever the later one is.
//
// Domination and bypassing. Claim: if the search ends without a solution, every reachable
// configuration X is dominated by one that was expanded. By induction on the length of a path to X.
// Let v lead from P to X; by assumption an expanded D dominates P, and v is possible there. If D
// tried v, the result was expanded or is dominated by one that was, and either dominates X. If D
// did not try v, then D was reached from an expanded D' by an optional u, at the same frontier,
// with the same placed open operations, and v leads from the state of D' to the state of X. So what
// v leads to from D' dominates X with one optional operation fewer; repeat with D'. The number of
// used operations falls each time, so this ends at one that tried v.
//
// Unmet needs. Until the frontier's operation is placed only operations that are open now can be.
// If it needs what none of them provides, it can never be placed.

using Index = uint32_t;
constexpr Index kNone = std::numeric_limits<Index>::max();

// A list of operations from which one can be taken out and, in the opposite order, put back in
// constant time. Holds 0..n-1 in the order given at the start.
class OperationList {
 public:
  explicit OperationList(const std::vector<Index>& order, size_t operations)
      : next_(operations + 1, kNone), previous_(operations + 1, kNone) {
    head_ = static_cast<Index>(operations);
    Index last = head_;
    for (const Index op : order) {
      next_[last] = op;
      previous_[op] = last;
      last = op;
    }
    next_[last] = head_;
    previous_[head_] = last;
  }

  bool empty() const { return next_[head_] == head_; }
  Index front() const { return Next(head_); }
  // kNone at the end.
  Index Next(Index op) const { return next_[op] == head_ ? kNone : next_[op]; }

  void Remove(Index op) {
    next_[previous_[op]] = next_[op];
    previous_[next_[op]] = previous_[op];
  }
  void PutBack(Index op) {
    next_[previous_[op]] = op;
    previous_[next_[op]] = op;
  }

 private:
  Index head_;
  std::vector<Index> next_;
  std::vector<Index> previous_;
};

// Optional operations with one action, in the order of their invokes.
struct OptionalGroup {
  Action action;
  std::vector<Index> members;
};

class Search {
 public:
  Search(absl::Span<const SearchOperation> operations, Model& model, const SearchBudget& budget)
      : operations_(operations),
        model_(model),
        budget_(budget),
        invokes_(Required(&SearchOperation::invoked), operations.size()),
        returns_(Required(&SearchOperation::returned), operations.size()),
        return_rank_(operations.size(), 0) {
    for (Index op = Frontier(), rank = 0; op != kNone; op = returns_.Next(op)) {
      return_rank_[op] = rank++;
    }
    CollectOptional();
  }

  SearchResult Run();

 private:
  // One expanded configuration on the path from the start to where the search is.
  struct Frame {
    State state;
    SequenceId open_placed;  // required operations that are placed and have not returned yet
    SequenceId used;         // optional groups, once for each member used, ascending
    State bypassed;          // state before the last operation if that was optional and nothing
                             // was placed with it, else kNoState
    size_t undo_to;          // length of the order before the move that led here
    // Where to go on: the frontier first, then the other open operations, then optional groups.
    enum class Stage { kFrontier, kOpen, kOptional, kDone } stage = Stage::kFrontier;
    Index cursor = kNone;
  };

  struct Configuration {
    Index frontier;
    SequenceId open_placed;
    State state;

    friend bool operator==(const Configuration&, const Configuration&) = default;
    template <typename H>
    friend H AbslHashValue(H hash, const Configuration& c) {
      return H::combine(std::move(hash), c.frontier, c.open_placed, c.state);
    }
  };
  // The smallest sets of used optional operations with which a configuration was expanded.
  using Antichain = absl::InlinedVector<SequenceId, 2>;

  struct Candidate {
    Index op;
    Index group;  // kNone if required
    Action action;
  };

  std::vector<Index> Required(Position SearchOperation::*key) const;
  void CollectOptional();

  State Step(State state, Action action);
  Index Frontier() const { return returns_.empty() ? kNone : returns_.front(); }
  // Invoked before, or as, the frontier returns.
  bool IsOpen(Index op, Index frontier) const {
    return operations_[op].invoked <= operations_[frontier].returned;
  }

  std::optional<Candidate> NextCandidate(Frame& frame);
  // The next member of the group to use, or kNone if there is none at this frontier.
  Index NextMember(Index group, SequenceId used, Index frontier) const;
  void Try(const Frame& from, const Candidate& candidate);
  void Place(Index op);
  void UndoTo(size_t length);
  void PlaceWhatOnlyLooks(State state);
  SequenceId OpenPlaced(SequenceId before, size_t newly_placed_from);
  SequenceId WithUsed(SequenceId used, Index group);
  bool Hopeless(State state, SequenceId used, Index frontier);
  bool IsSubset(SequenceId small, SequenceId large) const;
  bool Remember(const Configuration& configuration, SequenceId used);
  void NoteProgress(State state);
  bool OverBudget();
  SearchResult Finish(Verdict verdict);

  const absl::Span<const SearchOperation> operations_;
  Model& model_;
  const SearchBudget budget_;

  OperationList invokes_;  // required operations not placed yet, by invoke
  OperationList returns_;  // the same, by return
  std::vector<Index> return_rank_;
  std::vector<OptionalGroup> groups_;  // by first invoke
  absl::flat_hash_map<Action, Index> group_of_action_;

  std::vector<Frame> path_;
  std::vector<Index> order_;  // what is placed, in order
  SequenceInterner sets_;
  absl::flat_hash_map<Configuration, Antichain> seen_;
  uint64_t extra_seen_ = 0;  // sets beyond the first of their configuration
  absl::flat_hash_map<uint64_t, State> steps_taken_;
  std::vector<uint32_t> scratch_;
  std::vector<Need> needs_;
  bool solved_ = false;
  bool out_of_memory_ = false;
  uint64_t steps_ = 0;

  // The furthest so far. best_order_ agrees with order_ up to common_.
  Index best_frontier_ = kNone;
  size_t common_ = 0;
  std::vector<Index> best_order_;
  std::vector<State> stuck_states_;
};

std::vector<Index> Search::Required(Position SearchOperation::*key) const {
  std::vector<Index> sorted;
  for (Index i = 0; i < operations_.size(); ++i) {
    if (operations_[i].required) sorted.push_back(i);
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](Index a, Index b) { return operations_[a].*key < operations_[b].*key; });
  return sorted;
}

void Search::CollectOptional() {
  std::vector<Index> optional;
  for (Index i = 0; i < operations_.size(); ++i) {
    RAFTKV_CHECK(!operations_[i].required || operations_[i].invoked <= operations_[i].returned);
    if (!operations_[i].required && !model_.OnlyLooks(operations_[i].action)) optional.push_back(i);
  }
  std::stable_sort(optional.begin(), optional.end(), [&](Index a, Index b) {
    return operations_[a].invoked < operations_[b].invoked;
  });
  for (const Index op : optional) {
    const Action action = operations_[op].action;
    const auto [found, added] =
        group_of_action_.try_emplace(action, static_cast<Index>(groups_.size()));
    if (added) groups_.push_back({action, {}});
    groups_[found->second].members.push_back(op);
  }
}

State Search::Step(State state, Action action) {
  const uint64_t key = (uint64_t{state} << 32) | action;
  const auto [found, added] = steps_taken_.try_emplace(key, kNoState);
  if (added) found->second = model_.Step(state, action);
  return found->second;
}

SearchResult Search::Run() {
  const State initial = model_.Initial();
  const SequenceId nothing = sets_.Intern({});
  PlaceWhatOnlyLooks(initial);
  if (returns_.empty()) return Finish(Verdict::kLinearizable);
  const SequenceId open_placed = OpenPlaced(nothing, 0);
  Remember({Frontier(), open_placed, initial}, nothing);
  NoteProgress(initial);
  if (!Hopeless(initial, nothing, Frontier())) {
    path_.push_back({initial, open_placed, nothing, kNoState, 0});
  }

  while (!path_.empty()) {
    const std::optional<Candidate> candidate = NextCandidate(path_.back());
    if (!candidate.has_value()) {
      UndoTo(path_.back().undo_to);
      path_.pop_back();
      continue;
    }
    ++steps_;
    if (OverBudget()) return Finish(Verdict::kUndecided);
    Try(path_.back(), *candidate);
    if (solved_) return Finish(Verdict::kLinearizable);
  }
  return Finish(Verdict::kNotLinearizable);
}

std::optional<Search::Candidate> Search::NextCandidate(Frame& frame) {
  const Index frontier = Frontier();
  if (frame.stage == Frame::Stage::kFrontier) {
    frame.stage = Frame::Stage::kOpen;
    frame.cursor = invokes_.front();
    return Candidate{frontier, kNone, operations_[frontier].action};
  }
  if (frame.stage == Frame::Stage::kOpen) {
    while (frame.cursor != kNone && IsOpen(frame.cursor, frontier)) {
      const Index op = frame.cursor;
      frame.cursor = invokes_.Next(op);
      if (op != frontier) return Candidate{op, kNone, operations_[op].action};
    }
    frame.stage = Frame::Stage::kOptional;
    frame.cursor = 0;
  }
  if (frame.stage == Frame::Stage::kOptional) {
    while (frame.cursor < groups_.size() && IsOpen(groups_[frame.cursor].members[0], frontier)) {
      const Index group = frame.cursor++;
      const Index op = NextMember(group, frame.used, frontier);
      if (op != kNone) return Candidate{op, group, groups_[group].action};
    }
    frame.stage = Frame::Stage::kDone;
  }
  return std::nullopt;
}

Index Search::NextMember(Index group, SequenceId used, Index frontier) const {
  const SequenceInterner::Sequence uses = sets_.Get(used);
  const auto [first, last] = std::equal_range(uses.begin(), uses.end(), group);
  const std::vector<Index>& members = groups_[group].members;
  const auto count = static_cast<size_t>(last - first);
  return count < members.size() && IsOpen(members[count], frontier) ? members[count] : kNone;
}

// Makes the move and enters the configuration it leads to, unless that is pointless.
void Search::Try(const Frame& from, const Candidate& candidate) {
  const State state = Step(from.state, candidate.action);
  if (state == kNoState) return;
  const bool optional = candidate.group != kNone;
  if (optional && state == from.state) return;
  if (from.bypassed != kNoState && Step(from.bypassed, candidate.action) == state) return;

  Frame next{state, from.open_placed, from.used, kNoState, order_.size()};
  Place(candidate.op);
  PlaceWhatOnlyLooks(state);
  if (optional) {
    next.used = WithUsed(from.used, candidate.group);
    // If somebody saw its effect, it must not be bypassed.
    if (order_.size() == next.undo_to + 1) next.bypassed = from.state;
  }
  if (returns_.empty()) {
    solved_ = true;
    return;
  }
  next.open_placed = OpenPlaced(from.open_placed, next.undo_to);
  if (!Remember({Frontier(), next.open_placed, state}, next.used)) {
    UndoTo(next.undo_to);
    return;
  }
  NoteProgress(state);
  if (Hopeless(state, next.used, Frontier())) {
    UndoTo(next.undo_to);
    return;
  }
  path_.push_back(next);
}

void Search::Place(Index op) {
  order_.push_back(op);
  if (!operations_[op].required) return;
  invokes_.Remove(op);
  returns_.Remove(op);
}

void Search::UndoTo(size_t length) {
  for (; order_.size() > length; order_.pop_back()) {
    const Index op = order_.back();
    if (!operations_[op].required) continue;
    returns_.PutBack(op);
    invokes_.PutBack(op);
  }
  common_ = std::min(common_, length);
}

void Search::PlaceWhatOnlyLooks(State state) {
  for (Index op = invokes_.empty() ? kNone : invokes_.front();
       op != kNone && IsOpen(op, returns_.front());) {
    const Index next = invokes_.Next(op);
    const Action action = operations_[op].action;
    if (model_.OnlyLooks(action) && Step(state, action) == state) Place(op);
    op = next;
  }
}

SequenceId Search::OpenPlaced(SequenceId before, size_t newly_placed_from) {
  const Position now = operations_[Frontier()].returned;
  scratch_.clear();
  const auto add = [&](Index op) {
    if (operations_[op].required && operations_[op].returned >= now) scratch_.push_back(op);
  };
  for (const Index op : sets_.Get(before)) add(op);
  for (size_t i = newly_placed_from; i < order_.size(); ++i) add(order_[i]);
  std::sort(scratch_.begin(), scratch_.end());
  return sets_.Intern(scratch_);
}

SequenceId Search::WithUsed(SequenceId used, Index group) {
  const SequenceInterner::Sequence uses = sets_.Get(used);
  scratch_.assign(uses.begin(), uses.end());
  scratch_.insert(std::upper_bound(scratch_.begin(), scratch_.end(), group), group);
  return sets_.Intern(scratch_);
}

bool Search::Hopeless(State state, SequenceId used, Index frontier) {
  const Action blocked = operations_[frontier].action;
  if (Step(state, blocked) != kNoState) return false;
  needs_.clear();
  model_.Needs(state, blocked, &needs_);
  return std::any_of(needs_.begin(), needs_.end(), [&](Need need) {
    const absl::Span<const Action> providers = model_.Providers(need);
    for (Index op = invokes_.front(); op != kNone && IsOpen(op, frontier); op = invokes_.Next(op)) {
      if (op != frontier &&
          std::binary_search(providers.begin(), providers.end(), operations_[op].action)) {
        return false;
      }
    }
    return std::none_of(providers.begin(), providers.end(), [&](Action action) {
      const auto group = group_of_action_.find(action);
      return group != group_of_action_.end() && NextMember(group->second, used, frontier) != kNone;
    });
  });
}

bool Search::IsSubset(SequenceId small, SequenceId large) const {
  if (small == large) return true;
  const SequenceInterner::Sequence a = sets_.Get(small);
  const SequenceInterner::Sequence b = sets_.Get(large);
  return a.size() < b.size() && std::includes(b.begin(), b.end(), a.begin(), a.end());
}

// False if it was seen before with no more used than now.
bool Search::Remember(const Configuration& configuration, SequenceId used) {
  const auto [found, added] = seen_.try_emplace(configuration);
  Antichain& sets = found->second;
  for (const SequenceId other : sets) {
    if (IsSubset(other, used)) return false;
  }
  const size_t before = sets.size();
  sets.erase(std::remove_if(sets.begin(), sets.end(),
                            [&](SequenceId other) { return IsSubset(used, other); }),
             sets.end());
  sets.push_back(used);
  if (!added) extra_seen_ += sets.size() - before;
  return true;
}

void Search::NoteProgress(State state) {
  const Index frontier = Frontier();
  if (best_frontier_ == kNone || return_rank_[frontier] > return_rank_[best_frontier_]) {
    best_frontier_ = frontier;
    best_order_.resize(common_);
    best_order_.insert(best_order_.end(), order_.begin() + static_cast<ptrdiff_t>(common_),
                       order_.end());
    common_ = order_.size();
    stuck_states_.clear();
  }
  if (frontier == best_frontier_ && stuck_states_.size() < kMaxStuckStates &&
      std::find(stuck_states_.begin(), stuck_states_.end(), state) == stuck_states_.end()) {
    stuck_states_.push_back(state);
  }
}

bool Search::OverBudget() {
  if (steps_ > budget_.steps) return true;
  constexpr uint64_t kStepsBetweenLooks = 256;
  if (steps_ % kStepsBetweenLooks != 0) return false;
  const uint64_t bytes = seen_.capacity() * (sizeof(std::pair<Configuration, Antichain>) + 1) +
                         extra_seen_ * 2 * sizeof(SequenceId) +
                         steps_taken_.capacity() * (sizeof(std::pair<uint64_t, State>) + 1) +
                         path_.capacity() * sizeof(Frame) + sets_.MemoryBytes() +
                         model_.MemoryBytes();
  out_of_memory_ = bytes > budget_.memory_bytes;
  return out_of_memory_;
}

SearchResult Search::Finish(Verdict verdict) {
  SearchResult result;
  result.verdict = verdict;
  result.steps = steps_;
  result.configurations = seen_.size() + extra_seen_;
  result.out_of_memory = out_of_memory_;
  if (verdict == Verdict::kLinearizable) {
    result.order = order_;
    return result;
  }
  result.order = best_order_;
  result.blocked = best_frontier_;
  result.stuck_states = stuck_states_;
  std::vector<bool> placed(operations_.size(), false);
  for (const Index op : best_order_) placed[op] = true;
  for (Index op = 0; op < operations_.size(); ++op) {
    if (operations_[op].required && !placed[op] && IsOpen(op, best_frontier_)) {
      result.not_placed.push_back(op);
    }
  }
  return result;
}

}  // namespace

SearchResult FindLinearization(absl::Span<const SearchOperation> operations, Model& model,
                               const SearchBudget& budget) {
  return Search(operations, model, budget).Run();
}

}  // namespace raftkv::sim
