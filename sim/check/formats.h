// Histories as text: those of other systems, and our own.
//
// Read, told apart by their content:
//
//   jepsen log    `INFO  jepsen.util - 3<tab>:invoke<tab>:cas<tab>[2 4]`, one register that holds
//                 nil at first. A failed cas saw another value (it is an operation like any other);
//                 other failures and lines of other loggers say nothing.
//   EDN           maps {:process 1, :type :invoke, :f :read, :value nil} in a vector, a list, or
//                 bare. What is tested shows in :f:
//                   get put append        a store, keys in :key; a missing key reads ""
//                   read write cas        a register that holds 0 at first
//                   txn                   :value [[:read :x nil] [:write :y 2]], all keys hold 0
//                   acquire release       a mutex
//                 A read of nil saw nothing. Processes that are not numbers (:nemesis) are ignored.
//   our own       see text_format.h.
//
// In all of them the order of the lines is the real-time order, an operation that never returns and
// one of type :info is unknown, and a process whose operation is unknown may go on with another.
#pragma once

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sim/check/history.h"

namespace raftkv::sim {

enum class HistoryFormat { kRaftkv, kJepsenLog, kEdn };

absl::string_view Name(HistoryFormat format);

struct ParsedHistory {
  HistoryFormat format = HistoryFormat::kRaftkv;
  History history;
};

// Longer texts are refused.
inline constexpr size_t kMaxHistoryBytes = 64u << 20;

// Total: any bytes give a history or an error that begins with "name:line: ". `name` is used for
// nothing else.
absl::StatusOr<ParsedHistory> ParseHistory(absl::string_view name, absl::string_view text);

}  // namespace raftkv::sim
