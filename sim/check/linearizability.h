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
//       - those that only look constrain nothing and are left out;
//       - those with the same action are interchangeable: only the one invoked first is tried;
//       - a configuration that differs from one seen before only by having used up more of them is
//         not expanded (whatever it can do, the other can);
//       - one is not placed where the next operation would give the same state without it.
//   * An operation that can only look is placed as soon as it fits: it is in nobody's way.
//   * A configuration whose frontier operation needs what no open operation provides is given up.
//
// The reasons why none of these can lose an explanation stand in linearizability.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

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

// Something about the state that an action asks for before it can happen.
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

  // Called when Step(state, action) is kNoState. Appends needs each of which must be provided by
  // some other operation before `action` can happen; appending nothing is always right.
  virtual void Needs(State state, Action action, std::vector<Need>* needs);

  // All actions that may provide `need`, ascending.
  virtual absl::Span<const Action> Providers(Need need);

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
  uint64_t steps = 200'000'000;      // operations tried
  uint64_t memory_bytes = 2u << 30;  // of the search and its model, estimated
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
