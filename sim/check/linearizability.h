// Decides whether a concurrent history has an explanation: one instant for each operation, between
// its invoke and its return, such that the operations, run one by one at those instants, give what
// was seen (Herlihy and Wing, TOPLAS 1990, section 2).
//
// The search is Wing and Gong's (JPDC 1993) with Lowe's improvements (CPE 2017): operations are
// placed just in time, and what was tried is remembered. In short:
//
//   * Returns are taken in real-time order. The earliest return whose operation is not placed is
//     the *frontier*: its operation must be placed now, perhaps after others that are also open.
//     Once it is placed, nothing else is until the next return asks for it.
//   * A *configuration* is all that the future depends on: the frontier, which operations that are
//     still open are placed already, the model's state, and which optional operations are used up.
//     None is expanded twice.
//   * Operations with unknown outcome are *optional*: they stay open for ever and may be placed or
//     not, so n of them could mean 2^n configurations. Four things keep them cheap:
//       - those that only look, or that nobody can have noticed, are left out;
//       - those with the same action are interchangeable: only the one invoked first is tried;
//       - a configuration that differs from one seen before only by having used up more of them is
//         not expanded (whatever it can do, the other can);
//       - one is not placed where the next operation would give the same state without it.
//   * What no operation that is still to be placed can tell is forgotten (a value that all who read
//     it have read), so that configurations which differ in nothing else are one.
//   * An operation that can only look is placed as soon as it fits: it is in nobody's way.
//   * Operations that have nothing to do with what keeps the frontier's operation from its place
//     are not tried before it: they can as well be placed after it.
//   * A configuration is given up if the frontier's operation needs what no open operation
//     provides, or if any operation that is still to be placed needs what is lost and nobody can
//     bring back: typically a value that a later read saw, overwritten too early.
//
// The reasons why none of these can lose an explanation stand in linearizability.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "sim/check/history.h"

namespace raftkv::sim {

// A model's state, by number: equal states must have equal numbers.
using State = uint32_t;
inline constexpr State kNoState = std::numeric_limits<State>::max();

// What an operation does together with what it saw. Two operations with the same action are the
// same to the model. Small numbers: tables are indexed with them.
using Action = uint32_t;

// Something that must be true of a state for some action to happen in it.
using Need = uint32_t;

// A sequential specification. Deterministic; calls may fill caches, hence not const.
class Model {
 public:
  virtual ~Model() = default;

  virtual State Initial() = 0;

  // The state after `action`, or kNoState if in `state` it cannot have seen what it saw.
  virtual State Step(State state, Action action) = 0;

  // True if the action can do nothing but narrow down what is known: if Step(s, action) == s, then
  // in no state reachable from s does placing the action allow anything that is not also allowed
  // without it. Plain reads are the main case.
  virtual bool OnlyLooks(Action action) const = 0;

  // True if an optional operation with this action can be left out: whatever can be explained with
  // it can be explained without. May be false for want of knowledge.
  virtual bool NeverHelps(Action action) const { return OnlyLooks(action); }

  // Needs, each of which must hold in any state in which `action` can happen. None is always right,
  // but the more are told the less is searched.
  virtual absl::Span<const Need> Asks(Action action) const;
  virtual bool Holds(State state, Need need) const;
  // All actions that can make `need` hold where it does not, ascending.
  virtual absl::Span<const Action> Providers(Need need);

  // True if in every state the two can be exchanged: both orders are possible or neither, and they
  // lead to the same state. False is always right.
  virtual bool Commute(Action a, Action b) const;

  struct Loss {
    Need need;
    bool for_good;  // no sequence of actions can make it hold again
  };
  // Appends needs that could still be met in `before` and are not met in `after`, its successor by
  // one action. A loss may go unmentioned.
  virtual void Losses(State before, State after, std::vector<Loss>* losses);

  // A state in which exactly those sequences of actions are possible that are possible in `state`,
  // provided that no action in them asks for a need that is not `asked`. The fewer different states
  // it gives the better.
  virtual State Forget(State state, absl::FunctionRef<bool(Need)> asked);

  // Of everything that grows with the search.
  virtual uint64_t MemoryBytes() const = 0;
};

struct SearchOperation {
  Position invoked = 0;
  Position returned = kNever;  // looked at only if required
  Action action = 0;
  bool required = true;  // false: optional, may happen any time after the invoke, or never
};

// Deterministic limits: the same input gives the same verdict on every machine.
struct SearchBudget {
  uint64_t steps = 50'000'000;       // operations tried, and sets of used optional ones compared
  uint64_t memory_bytes = 2u << 30;  // of the search and its model, estimated
  // After so many steps the search turns from depth first to breadth first. It changes no verdict,
  // only how soon it is found: see Search::Run.
  uint64_t greedy_steps = 100'000;
};

enum class Verdict { kLinearizable, kNotLinearizable, kUndecided };

absl::string_view Name(Verdict verdict);

struct SearchResult {
  Verdict verdict = Verdict::kUndecided;
  uint64_t steps = 0;
  uint64_t configurations = 0;  // kept at the end
  bool out_of_memory = false;   // kUndecided: which limit was hit

  // Indices of operations in an order that explains what was seen. kLinearizable: all required ones
  // and the optional ones it takes. Otherwise: one that gets as far as any that was found.
  std::vector<uint32_t> order;

  // Unless kLinearizable, what stops at the furthest return that any order reached:
  uint32_t blocked = 0;  // the operation that returns there
  std::vector<uint32_t>
      not_placed;                   // all required operations open there that `order` does not hold
  std::vector<State> stuck_states;  // what the state may be there, for orders that get so far; at
                                    // most kMaxStuckStates of them, the first is that of `order`
};

inline constexpr size_t kMaxStuckStates = 8;

// Operations may come in any order. A required one must not return before it is invoked; one that
// returns at the position at which another is invoked is concurrent with it.
SearchResult FindLinearization(absl::Span<const SearchOperation> operations, Model& model,
                               const SearchBudget& budget);

}  // namespace raftkv::sim
