#include "sim/check/linearizability.h"

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "core/raft/check.h"
#include "sim/check/sequence_interner.h"

namespace raftkv::sim {

absl::Span<const Need> Model::Asks(Action) const { return {}; }
bool Model::Holds(State, Need) const { return true; }
absl::Span<const Action> Model::Providers(Need) { return {}; }
bool Model::Commute(Action, Action) const { return false; }
void Model::Losses(State, State, std::vector<Loss>*) {}
State Model::Forget(State state, absl::FunctionRef<bool(Need)>) { return state; }

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

// Why nothing is lost. Call a configuration *solvable* if some sequence of open operations places
// all required ones from there: its solution. A configuration dominates another if both have the
// same frontier, the same placed open operations and the same state, and it has used a subset of
// the optional operations used by the other; then every solution of the other is one of its own.
//
// Claim: if the search ends without a solution, no configuration that was expanded is solvable; so
// the first was not. Suppose some were. Take the one with the shortest solution and, among those
// with equally short ones, with the fewest optional operations used; call it C and its solution S.
// One after the other, what the search leaves out:
//
// Irrelevant operations. The search tries a set T of open operations with three properties: the
// frontier's operation is in T; if an operation in T is possible now, every open operation that
// does not commute with it is in T; if one in T is not possible now, T has all open operations of a
// kind of which one must be placed before it is possible (a stubborn set: Valmari, 1991). Let d be
// the first operation of S that is in T; there is one, for S places the frontier's operation before
// any that is not open now. d is possible now, else some operation in T would have come before it.
// So it commutes with all operations before it, and S with d moved to its front is a solution, too.
// Let that be S.
//
// Interchangeable operations. If S uses the later invoked of two optional operations with the same
// action and not the earlier, let it use the earlier: that is open whenever the other is.
//
// Operations without effect. If d is optional and changes nothing, S without d is shorter.
//
// Bypassing. If C was reached from C' by an optional operation u, with the same frontier and the
// same placed open operations, and d leads from the state of C' to where it leads from the state of
// C, then S is a solution of C', which has used one less. C' was expanded, or something that
// dominates it was.
//
// What is left is that d was tried, and the result X has a shorter solution, S without d. Placing
// what only looks makes it shorter still: moved to the front it changes nothing there, and without
// it the others still fit. Forgetting takes nothing away: only required operations ask, those not
// placed are the same in configurations with equal frontier and placed operations, and what was
// forgotten none of them can tell. X was not given up for want of what it needs: until the
// frontier's operation is placed only operations that are open now can be placed, and what an
// operation asks for must hold right before it. So X was expanded, or it was seen before, dominated
// by one that was; either has a shorter solution than C, which had the shortest.

// A required operation, by the rank of its return among all required ones; an optional operation,
// by its place in the input.
using Index = uint32_t;
constexpr Index kNone = std::numeric_limits<Index>::max();

struct RequiredOperation {
  uint32_t source;  // place in the input
  Action action;
  Position invoked;
  Position returned;
};

// Optional operations with one action.
struct OptionalGroup {
  Action action;
  std::vector<uint32_t> members;  // places in the input, by invoke
};

class Search {
 public:
  Search(absl::Span<const SearchOperation> operations, Model& model, const SearchBudget& budget)
      : operations_(operations), model_(model), budget_(budget) {
    CollectRequired();
    CollectOptional();
  }

  SearchResult Run();

 private:
  struct Configuration {
    Index frontier;          // the first operation, by return, that is not placed
    SequenceId open_placed;  // those placed that return after it, ascending
    State state;

    friend bool operator==(const Configuration&, const Configuration&) = default;
    template <typename H>
    friend H AbslHashValue(H hash, const Configuration& c) {
      return H::combine(std::move(hash), c.frontier, c.open_placed, c.state);
    }
  };
  // The smallest sets of used optional operations with which a configuration was met.
  using Antichain = absl::InlinedVector<SequenceId, 2>;

  // A configuration that is still to be expanded, wholly or but for the frontier's operation.
  struct Node {
    Configuration configuration;
    SequenceId used;  // optional groups, once for each member used, ascending
    uint32_t used_count;
    State bypassed;       // state before the last operation if that was optional and nothing was
                          // placed with it, else kNoState
    uint32_t placements;  // how it was reached
    uint32_t number;      // of nodes made before this one
    bool tried_frontier;
  };

  struct Candidate {
    Index op;     // kNone if optional
    Index group;  // kNone if required
    Action action;
  };

  // A configuration on its way to becoming a node: what is placed and used, in the open.
  struct Draft {
    Index frontier;
    std::vector<Index> placed;  // not returned before the frontier, ascending
    SequenceId used;

    bool IsPlaced(Index op) const {
      return op < frontier || std::binary_search(placed.begin(), placed.end(), op);
    }
    void Place(Index op) { placed.insert(std::upper_bound(placed.begin(), placed.end(), op), op); }
  };

  // One step of how a node was reached.
  struct Placement {
    uint32_t before;  // an earlier one, or kNone
    uint32_t source;
  };

  void CollectRequired();
  void CollectOptional();
  void CollectOpen();
  bool IsOpen(Position invoked, Index frontier) const {
    return invoked <= required_[frontier].returned;
  }
  absl::Span<const Index> OpenAt(Index frontier) const {
    const size_t begin = frontier == 0 ? 0 : open_ends_[frontier - 1];
    return absl::MakeSpan(open_).subspan(begin, open_ends_[frontier] - begin);
  }

  State Step(State state, Action action);
  State Forget(State state, const Draft& draft);
  bool AnyLeft(const std::vector<Index>& ascending, const Draft& draft) const;
  bool IsAsked(Need need, const Draft& draft) const;
  bool CanBeProvided(Need need, const Draft& draft);
  bool LosesWhatIsNeeded(State before, State after, const Draft& draft);
  bool IsHopeless(const Node& node);
  uint32_t NextMember(Index group, SequenceId used, Index frontier) const;

  void Expand(Node node);
  void CollectCandidates(const Node& node);
  template <typename Predicate>
  void AdmitIf(Predicate wanted);
  void AdmitWhatMayEnable(State state, Action action);
  void Try(const Node& from, const Candidate& candidate);
  void Enter(State state, Draft* draft, uint32_t used_count, State bypassed, uint32_t placements);
  SequenceId WithUsed(SequenceId used, Index group);
  uint32_t Log(uint32_t before, uint32_t source);

  bool IsSubset(SequenceId small, SequenceId large) const;
  bool Remember(const Configuration& configuration, SequenceId used);
  bool IsOutdated(const Node& node) const;
  void Push(const Node& node);
  Node Pop();
  bool Later(const Node& a, const Node& b) const;
  void NoteProgress(const Node& node);
  bool OverBudget();
  SearchResult Finish(Verdict verdict) const;
  std::vector<uint32_t> OrderOf(uint32_t placements) const;

  const absl::Span<const SearchOperation> operations_;
  Model& model_;
  const SearchBudget budget_;

  std::vector<RequiredOperation> required_;  // by return
  std::vector<Index> open_;                  // see OpenAt
  std::vector<size_t> open_ends_;
  std::vector<OptionalGroup> groups_;  // by first invoke
  absl::flat_hash_map<Action, Index> group_of_action_;
  std::vector<std::vector<Index>> performers_;  // by action: required operations, ascending
  std::vector<std::vector<Index>> askers_;      // by need: required operations, ascending

  std::vector<Node> agenda_;  // a heap, by Later
  bool patient_ = false;
  uint32_t nodes_ = 0;
  std::vector<Placement> placements_;
  SequenceInterner sets_;
  absl::flat_hash_map<Configuration, Antichain> seen_;
  uint64_t extra_seen_ = 0;  // sets beyond the first of their configuration
  absl::flat_hash_map<uint64_t, State> steps_taken_;
  uint64_t steps_ = 0;
  bool out_of_memory_ = false;
  bool solved_ = false;
  uint32_t solution_ = kNone;  // in placements_

  // The furthest so far.
  Index best_frontier_ = 0;
  uint32_t best_placements_ = kNone;
  std::vector<State> stuck_states_;

  // Scratch space.
  std::vector<Candidate> candidates_;  // that may have to be placed next
  std::vector<Candidate> others_;      // open, but not among them
  std::vector<uint32_t> set_;
  std::vector<Model::Loss> losses_;
};

// --- What does not change during the search

void Search::CollectRequired() {
  for (uint32_t i = 0; i < operations_.size(); ++i) {
    const SearchOperation& operation = operations_[i];
    if (!operation.required) continue;
    RAFTKV_CHECK(operation.invoked <= operation.returned);
    required_.push_back({i, operation.action, operation.invoked, operation.returned});
  }
  std::sort(required_.begin(), required_.end(),
            [](const RequiredOperation& a, const RequiredOperation& b) {
              return std::tie(a.returned, a.source) < std::tie(b.returned, b.source);
            });
  const auto append = [](std::vector<std::vector<Index>>& lists, uint32_t list, Index op) {
    if (list >= lists.size()) lists.resize(list + 1);
    lists[list].push_back(op);
  };
  for (Index op = 0; op < required_.size(); ++op) {
    append(performers_, required_[op].action, op);
    for (const Need need : model_.Asks(required_[op].action)) append(askers_, need, op);
  }
}

void Search::CollectOptional() {
  std::vector<uint32_t> optional;
  for (uint32_t i = 0; i < operations_.size(); ++i) {
    if (!operations_[i].required && !model_.NeverHelps(operations_[i].action)) {
      optional.push_back(i);
    }
  }
  std::sort(optional.begin(), optional.end(), [&](uint32_t a, uint32_t b) {
    return std::tie(operations_[a].invoked, a) < std::tie(operations_[b].invoked, b);
  });
  for (const uint32_t i : optional) {
    const Action action = operations_[i].action;
    const auto [found, added] =
        group_of_action_.try_emplace(action, static_cast<Index>(groups_.size()));
    if (added) groups_.push_back({action, {}});
    groups_[found->second].members.push_back(i);
  }
}

// For each frontier, the required operations that are open there unless placed, in the order of
// their returns. Those open at a return are as many as there are clients, so this is small.
void Search::CollectOpen() {
  std::vector<Index> first(required_.size());  // the first frontier at which an operation is open
  open_ends_.assign(required_.size(), 0);
  for (Index op = 0; op < required_.size(); ++op) {
    const auto begin = std::lower_bound(
        required_.begin(), required_.end(), required_[op].invoked,
        [](const RequiredOperation& other, Position invoked) { return other.returned < invoked; });
    first[op] = static_cast<Index>(begin - required_.begin());
    for (Index frontier = first[op]; frontier <= op; ++frontier) ++open_ends_[frontier];
  }
  size_t total = 0;
  for (size_t& end : open_ends_) {
    const size_t count = std::exchange(end, total);
    total += count;
  }
  open_.resize(total);
  for (Index op = 0; op < required_.size(); ++op) {
    for (Index frontier = first[op]; frontier <= op; ++frontier) {
      open_[open_ends_[frontier]++] = op;
    }
  }
}

// --- Questions about a configuration

State Search::Step(State state, Action action) {
  const uint64_t key = (uint64_t{state} << 32) | action;
  const auto [found, added] = steps_taken_.try_emplace(key, kNoState);
  if (added) found->second = model_.Step(state, action);
  return found->second;
}

bool Search::AnyLeft(const std::vector<Index>& ascending, const Draft& draft) const {
  for (auto op = ascending.rbegin(); op != ascending.rend() && *op >= draft.frontier; ++op) {
    if (!draft.IsPlaced(*op)) return true;
  }
  return false;
}

bool Search::IsAsked(Need need, const Draft& draft) const {
  return need < askers_.size() && AnyLeft(askers_[need], draft);
}

bool Search::CanBeProvided(Need need, const Draft& draft) {
  const absl::Span<const Action> providers = model_.Providers(need);
  return std::any_of(providers.begin(), providers.end(), [&](Action action) {
    if (action < performers_.size() && AnyLeft(performers_[action], draft)) return true;
    const auto group = group_of_action_.find(action);
    if (group == group_of_action_.end()) return false;
    const SequenceInterner::Sequence uses = sets_.Get(draft.used);
    const auto [first, last] = std::equal_range(uses.begin(), uses.end(), group->second);
    return static_cast<size_t>(last - first) < groups_[group->second].members.size();
  });
}

State Search::Forget(State state, const Draft& draft) {
  return model_.Forget(state, [&](Need need) { return IsAsked(need, draft); });
}

bool Search::LosesWhatIsNeeded(State before, State after, const Draft& draft) {
  if (before == after) return false;
  losses_.clear();
  model_.Losses(before, after, &losses_);
  return std::any_of(losses_.begin(), losses_.end(), [&](const Model::Loss& loss) {
    return IsAsked(loss.need, draft) && (loss.for_good || !CanBeProvided(loss.need, draft));
  });
}

// True if the frontier's operation needs what no operation that is open provides.
bool Search::IsHopeless(const Node& node) {
  const Configuration& at = node.configuration;
  const Action blocked = required_[at.frontier].action;
  if (Step(at.state, blocked) != kNoState) return false;
  const absl::Span<const Need> asks = model_.Asks(blocked);
  const SequenceInterner::Sequence placed = sets_.Get(at.open_placed);
  return std::any_of(asks.begin(), asks.end(), [&](Need need) {
    if (model_.Holds(at.state, need)) return false;
    const absl::Span<const Action> providers = model_.Providers(need);
    const auto provides = [&](Action action) {
      return std::binary_search(providers.begin(), providers.end(), action);
    };
    for (const Index op : OpenAt(at.frontier)) {
      if (op != at.frontier && provides(required_[op].action) &&
          !std::binary_search(placed.begin(), placed.end(), op)) {
        return false;
      }
    }
    return std::none_of(providers.begin(), providers.end(), [&](Action action) {
      const auto group = group_of_action_.find(action);
      return group != group_of_action_.end() &&
             NextMember(group->second, node.used, at.frontier) != kNone;
    });
  });
}

// The next member of the group to use, or kNone if none is open.
uint32_t Search::NextMember(Index group, SequenceId used, Index frontier) const {
  const SequenceInterner::Sequence uses = sets_.Get(used);
  const auto [first, last] = std::equal_range(uses.begin(), uses.end(), group);
  const std::vector<uint32_t>& members = groups_[group].members;
  const auto count = static_cast<size_t>(last - first);
  if (count == members.size()) return kNone;
  return IsOpen(operations_[members[count]].invoked, frontier) ? members[count] : kNone;
}

// --- The search

// Greedily at first: depth first, from the configuration that is furthest. A history that can be
// explained mostly is so at once. But going back from the furthest may lead to the same
// configurations again and again, each time with fewer optional operations used than the time
// before. So if it takes long, patiently: from the configuration that is least far and has used the
// fewest. Then none is expanded that another dominates, and what counts is only how many there are
// at each return.
SearchResult Search::Run() {
  if (required_.empty()) return Finish(Verdict::kLinearizable);
  CollectOpen();
  Draft draft{0, {}, sets_.Intern({})};
  Enter(model_.Initial(), &draft, 0, kNoState, kNone);
  while (!solved_ && !agenda_.empty()) {
    if (OverBudget()) return Finish(Verdict::kUndecided);
    if (!patient_ && steps_ >= budget_.greedy_steps) {
      patient_ = true;
      std::make_heap(agenda_.begin(), agenda_.end(),
                     [this](const Node& a, const Node& b) { return Later(a, b); });
    }
    Expand(Pop());
  }
  return Finish(solved_ ? Verdict::kLinearizable : Verdict::kNotLinearizable);
}

void Search::Expand(Node node) {
  if (IsOutdated(node)) return;
  if (!node.tried_frontier) {
    const Index frontier = node.configuration.frontier;
    Try(node, {frontier, kNone, required_[frontier].action});
    node.tried_frontier = true;
    Push(node);
    return;
  }
  CollectCandidates(node);
  // The first is the frontier's. Backwards, so that greedily the second is the first to be
  // expanded.
  for (size_t i = candidates_.size(); i-- > 1 && !solved_;) Try(node, candidates_[i]);
}

// Fills candidates_ with operations that may have to be placed next, beginning with the frontier's:
// the smallest set with the properties of T above that is easily found.
void Search::CollectCandidates(const Node& node) {
  const Configuration& at = node.configuration;
  const SequenceInterner::Sequence placed = sets_.Get(at.open_placed);
  candidates_.clear();
  others_.clear();
  for (const Index op : OpenAt(at.frontier)) {
    if (std::binary_search(placed.begin(), placed.end(), op)) continue;
    (op == at.frontier ? candidates_ : others_).push_back({op, kNone, required_[op].action});
  }
  for (Index group = 0; group < groups_.size(); ++group) {
    if (!IsOpen(operations_[groups_[group].members[0]].invoked, at.frontier)) break;
    if (NextMember(group, node.used, at.frontier) != kNone) {
      others_.push_back({kNone, group, groups_[group].action});
    }
  }
  for (size_t next = 0; next < candidates_.size() && !others_.empty(); ++next) {
    const Action action = candidates_[next].action;
    if (Step(at.state, action) == kNoState) {
      AdmitWhatMayEnable(at.state, action);
    } else {
      AdmitIf([&](Action other) { return !model_.Commute(action, other); });
    }
  }
}

// Moves operations from others_ to candidates_, in order.
template <typename Predicate>
void Search::AdmitIf(Predicate wanted) {
  size_t kept = 0;
  for (const Candidate& candidate : others_) {
    if (wanted(candidate.action)) {
      candidates_.push_back(candidate);
    } else {
      others_[kept++] = candidate;
    }
  }
  others_.resize(kept);
}

// For an action that is not possible in this state. All that may provide one thing that it lacks
// will do; if it does not say what it lacks, all that have anything to do with it.
void Search::AdmitWhatMayEnable(State state, Action action) {
  for (const Need need : model_.Asks(action)) {
    if (model_.Holds(state, need)) continue;
    const absl::Span<const Action> providers = model_.Providers(need);
    AdmitIf([&](Action other) {
      return std::binary_search(providers.begin(), providers.end(), other);
    });
    return;
  }
  AdmitIf([&](Action other) { return !model_.Commute(action, other); });
}

// Places the candidate and enters the configuration that this leads to, unless it is pointless.
void Search::Try(const Node& from, const Candidate& candidate) {
  ++steps_;
  const Configuration& at = from.configuration;
  const State stepped = Step(at.state, candidate.action);
  if (stepped == kNoState) return;

  const bool optional = candidate.group != kNone;
  const SequenceInterner::Sequence placed = sets_.Get(at.open_placed);
  Draft draft{at.frontier, {placed.begin(), placed.end()}, from.used};
  uint32_t source;
  if (optional) {
    source = NextMember(candidate.group, from.used, at.frontier);
    draft.used = WithUsed(from.used, candidate.group);
  } else {
    source = required_[candidate.op].source;
    draft.Place(candidate.op);
  }
  const State state = Forget(stepped, draft);
  if (optional && state == at.state) return;
  if (from.bypassed != kNoState) {
    const State without = Step(from.bypassed, candidate.action);
    if (without != kNoState && Forget(without, draft) == state) return;
  }
  if (LosesWhatIsNeeded(at.state, state, draft)) return;
  Enter(state, &draft, from.used_count + (optional ? 1 : 0), optional ? at.state : kNoState,
        Log(from.placements, source));
}

// Places what only looks, moves the frontier, and puts the configuration on the agenda if it is
// new.
void Search::Enter(State state, Draft* draft, uint32_t used_count, State bypassed,
                   uint32_t placements) {
  while (true) {
    for (const Index op : OpenAt(draft->frontier)) {
      const Action action = required_[op].action;
      if (!model_.OnlyLooks(action) || draft->IsPlaced(op) || Step(state, action) != state)
        continue;
      draft->Place(op);
      placements = Log(placements, required_[op].source);
      bypassed = kNoState;  // somebody saw what the operation before it did
    }
    if (!draft->IsPlaced(draft->frontier)) break;
    while (draft->frontier < required_.size() && draft->IsPlaced(draft->frontier)) {
      ++draft->frontier;
    }
    draft->placed.erase(
        draft->placed.begin(),
        std::lower_bound(draft->placed.begin(), draft->placed.end(), draft->frontier));
    if (draft->frontier == required_.size()) {
      solved_ = true;
      solution_ = placements;
      return;
    }
  }
  Node node;
  node.configuration = {draft->frontier, sets_.Intern(draft->placed), Forget(state, *draft)};
  node.used = draft->used;
  node.used_count = used_count;
  node.bypassed = bypassed;
  node.placements = placements;
  node.number = nodes_++;
  node.tried_frontier = false;
  if (!Remember(node.configuration, node.used)) return;
  NoteProgress(node);
  if (!IsHopeless(node)) Push(node);
}

SequenceId Search::WithUsed(SequenceId used, Index group) {
  const SequenceInterner::Sequence uses = sets_.Get(used);
  set_.assign(uses.begin(), uses.end());
  set_.insert(std::upper_bound(set_.begin(), set_.end(), group), group);
  return sets_.Intern(set_);
}

uint32_t Search::Log(uint32_t before, uint32_t source) {
  placements_.push_back({before, source});
  return static_cast<uint32_t>(placements_.size() - 1);
}

// --- What was seen, and what is next

bool Search::IsSubset(SequenceId small, SequenceId large) const {
  if (small == large) return true;
  const SequenceInterner::Sequence a = sets_.Get(small);
  const SequenceInterner::Sequence b = sets_.Get(large);
  return a.size() < b.size() && std::includes(b.begin(), b.end(), a.begin(), a.end());
}

// False if it was met before with no more used than now.
bool Search::Remember(const Configuration& configuration, SequenceId used) {
  const auto [found, added] = seen_.try_emplace(configuration);
  Antichain& sets = found->second;
  steps_ += sets.size();
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

// True if it was met again, with less used, after it was put on the agenda.
bool Search::IsOutdated(const Node& node) const {
  const Antichain& sets = seen_.find(node.configuration)->second;
  return std::find(sets.begin(), sets.end(), node.used) == sets.end();
}

// True if `b` is to be expanded before `a`.
bool Search::Later(const Node& a, const Node& b) const {
  const Index a_frontier = a.configuration.frontier;
  const Index b_frontier = b.configuration.frontier;
  if (a_frontier != b_frontier) return patient_ ? a_frontier > b_frontier : a_frontier < b_frontier;
  if (!patient_) return a.number < b.number;  // the last made is the first
  return std::tie(a.used_count, a.tried_frontier, a.number) >
         std::tie(b.used_count, b.tried_frontier, b.number);
}

void Search::Push(const Node& node) {
  agenda_.push_back(node);
  std::push_heap(agenda_.begin(), agenda_.end(),
                 [this](const Node& a, const Node& b) { return Later(a, b); });
}

Search::Node Search::Pop() {
  std::pop_heap(agenda_.begin(), agenda_.end(),
                [this](const Node& a, const Node& b) { return Later(a, b); });
  const Node node = agenda_.back();
  agenda_.pop_back();
  return node;
}

bool Search::OverBudget() {
  if (steps_ > budget_.steps) return true;
  const uint64_t bytes =
      seen_.capacity() * (sizeof(std::pair<Configuration, Antichain>) + 1) +
      extra_seen_ * 2 * sizeof(SequenceId) +
      steps_taken_.capacity() * (sizeof(std::pair<uint64_t, State>) + 1) +
      agenda_.capacity() * sizeof(Node) + placements_.capacity() * sizeof(Placement) +
      open_.capacity() * sizeof(Index) + sets_.MemoryBytes() + model_.MemoryBytes();
  out_of_memory_ = bytes > budget_.memory_bytes;
  return out_of_memory_;
}

// --- What comes of it

void Search::NoteProgress(const Node& node) {
  const Configuration& at = node.configuration;
  if (best_placements_ == kNone || at.frontier > best_frontier_) {
    best_frontier_ = at.frontier;
    best_placements_ = node.placements;
    stuck_states_.clear();
  }
  if (at.frontier == best_frontier_ && stuck_states_.size() < kMaxStuckStates &&
      std::find(stuck_states_.begin(), stuck_states_.end(), at.state) == stuck_states_.end()) {
    stuck_states_.push_back(at.state);
  }
}

std::vector<uint32_t> Search::OrderOf(uint32_t placements) const {
  std::vector<uint32_t> order;
  for (uint32_t i = placements; i != kNone; i = placements_[i].before) {
    order.push_back(placements_[i].source);
  }
  std::reverse(order.begin(), order.end());
  return order;
}

SearchResult Search::Finish(Verdict verdict) const {
  SearchResult result;
  result.verdict = verdict;
  result.steps = steps_;
  result.configurations = seen_.size() + extra_seen_;
  result.out_of_memory = out_of_memory_;
  if (verdict == Verdict::kLinearizable) {
    result.order = OrderOf(solution_);
    return result;
  }
  result.order = OrderOf(best_placements_);
  result.blocked = required_[best_frontier_].source;
  result.stuck_states = stuck_states_;
  std::vector<bool> placed(operations_.size(), false);
  for (const uint32_t i : result.order) placed[i] = true;
  for (const Index op : OpenAt(best_frontier_)) {
    if (!placed[required_[op].source]) result.not_placed.push_back(required_[op].source);
  }
  return result;
}

}  // namespace

SearchResult FindLinearization(absl::Span<const SearchOperation> operations, Model& model,
                               const SearchBudget& budget) {
  return Search(operations, model, budget).Run();
}

}  // namespace raftkv::sim
