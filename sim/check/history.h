// What clients asked and what they were told: the evidence that the checker judges.
//
// One vocabulary for everything that is checked. A register is a store with one key,
// compare-and-set is a write with a condition, a mutex is a key that is created if absent and
// deleted if present, a transaction is several commands at one instant. So there is one model to
// get right, and histories of other systems are translated into it when they are read (formats.h).
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace raftkv::sim {

// The bytes a key holds; nothing if the key does not exist.
using Value = std::optional<std::string>;

// A place in real time: any number that grows along the history (an event's rank, virtual time).
// Operation a happened before operation b exactly if a.returned < b.invoked.
using Position = int64_t;
inline constexpr Position kNever = std::numeric_limits<Position>::max();

struct Condition {
  enum class Kind { kAlways, kAbsent, kPresent, kVersionIs, kValueIs };
  Kind kind = Kind::kAlways;
  int64_t version = 0;  // kVersionIs; 0 asks for absence
  Value value;          // kValueIs; nothing asks for absence

  friend bool operator==(const Condition&, const Condition&) = default;
};

struct Guard {
  std::string key;
  Condition condition;

  friend bool operator==(const Guard&, const Guard&) = default;
};

enum class Verb {
  // Reads.
  kGet,
  kExists,  // 1 or 0
  kStrlen,  // bytes in the value, 0 if absent
  kRange,   // keys in [key, end) in byte order; an empty `end` is no upper bound
  kSize,    // number of keys in the store
  // Writes. One whose condition does not hold changes nothing.
  kSet,
  kDelete,  // 1 if the key existed, else 0
  kAppend,  // length afterwards; an absent key counts as empty
  kIncrBy,  // number afterwards; an absent key counts as 0; a value that is not a canonical decimal
            // int64 and a sum that is not an int64 are errors and change nothing
};

struct Command {
  Verb verb = Verb::kGet;
  std::string key;
  std::string end;      // kRange
  Value value;          // kSet (nothing deletes), kAppend
  int64_t delta = 0;    // kIncrBy
  Condition condition;  // writes

  friend bool operator==(const Command&, const Command&) = default;
};

// A version is the store's own number for one write of one key. The checker knows only that each
// write of a key gets a larger one than the write before it, and that an absent key has version 0.
struct RangeEntry {
  std::string key;
  Value value;  // nothing if only keys were asked for
  std::optional<int64_t> version;

  friend bool operator==(const RangeEntry&, const RangeEntry&) = default;
};

struct Reply {
  enum class Kind {
    kUnobserved,       // whatever it was, nobody looked
    kDone,             // kSet
    kConditionNotMet,  // any write
    kValue,            // kGet
    kNumber,           // kExists, kStrlen, kSize, kDelete, kAppend, kIncrBy
    kError,            // kIncrBy
    kEntries,          // kRange: the first entries of the range, in order
  };
  Kind kind = Kind::kUnobserved;
  Value value;
  int64_t number = 0;
  std::vector<RangeEntry> entries;
  bool more = false;               // kEntries: the range holds more keys than these
  std::optional<int64_t> version;  // reads: of what was read; writes: of what was written

  friend bool operator==(const Reply&, const Reply&) = default;
};

enum class Outcome {
  kOk,       // happened once, between invoke and return; `replies` say what it saw
  kFailed,   // did not happen, now or ever
  kUnknown,  // happens at any one time after the invoke, or never
};

struct Operation {
  std::string process;  // client or session, for people; the order is in the positions
  int64_t number = 0;   // of the operation within the process, for people
  Position invoked = 0;
  Position returned = kNever;  // looked at only if kOk
  int64_t invoke_time_us = 0;  // virtual time, for people
  int64_t return_time_us = 0;
  int invoke_line = 0;  // in the file it was read from, 1-based; 0 if none
  int return_line = 0;

  // All guards are looked at, then all commands run in order, at one instant.
  std::vector<Guard> guards;
  std::vector<Command> commands;

  Outcome outcome = Outcome::kUnknown;
  std::vector<Reply> replies;  // kOk and not aborted: one per command
  bool aborted = false;        // kOk: a guard did not hold and no command ran
  std::optional<size_t>
      guard;         // aborted: the first guard that did not hold, if the client was told
  std::string note;  // why it failed or is unknown, for people

  friend bool operator==(const Operation&, const Operation&) = default;
};

struct History {
  // What every key holds before the first operation (version 0).
  Value initial;
  std::vector<Operation> operations;

  friend bool operator==(const History&, const History&) = default;
};

}  // namespace raftkv::sim
