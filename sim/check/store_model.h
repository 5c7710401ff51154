// The sequential specification of a key-value store, and how a history is cut into independent
// parts that can be judged one by one.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "sim/check/history.h"
#include "sim/check/linearizability.h"

namespace raftkv::sim {

class StoreModel : public Model {
 public:
  // For people: `"k1"="v" "k2"=nil`. A value that nobody read or compared with is "(never seen)".
  virtual std::string Describe(State state) const = 0;
};

// Operations that share no key with operations of other parts. A history is linearizable exactly if
// each of its parts is (locality: Herlihy and Wing, section 3.2).
struct HistoryPart {
  std::vector<std::string> keys;  // ascending
  std::vector<size_t> source;     // of each operation, in History::operations
  std::vector<SearchOperation> operations;
  std::unique_ptr<StoreModel> model;
};

// Parts in the order of their smallest keys; failed operations are in none. Only the operations'
// positions, outcome, commands and replies are looked at.
//
// The model does not tell apart values that no operation of the history could tell apart: a value
// that nobody read and nobody compared with is as good as any other. So writes whose value was
// never seen are one action, and appends in an order that nobody can have seen lead to one state.
std::vector<HistoryPart> SplitIntoParts(const History& history);

}  // namespace raftkv::sim
