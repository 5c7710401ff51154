// What a log entry asks the store to do: a guarded list of operations.
//
// One shape carries every client command. SET is one operation; SET NX is one operation with a
// condition; SET GET is {Get, Set}; MSET is many Sets; compare-and-set is a condition on a version;
// WATCH/MULTI/EXEC is guards plus the queued operations. The list is applied at one log index, so
// no other command ever sees a part of it. If any guard fails, no operation runs. An operation that
// fails (INCRBY on a word) says so in its own result and the others go on, as between MULTI and
// EXEC in Redis.
//
// Every byte field is borrowed: it points into the buffer the command was decoded from (the log
// entry's payload) and must not outlive it. Apply copies what it stores and nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace raftkv::kv {

// The version of a key is the log index of the command that last wrote it; 0 is the version of a
// key that does not exist.
using Version = uint64_t;
inline constexpr Version kAbsentVersion = 0;

struct Guard {
  enum class Kind : uint8_t {
    kExists = 0,
    kAbsent = 1,
    kVersionIs = 2,  // kAbsentVersion asks for absence
    kValueIs = 3,    // exists and holds exactly `value`
  };
  static constexpr Kind kLastKind = Kind::kValueIs;

  Kind kind = Kind::kExists;
  absl::string_view key;
  absl::string_view value;  // kValueIs
  Version version = 0;      // kVersionIs

  friend bool operator==(const Guard&, const Guard&) = default;
};

// Numbers are part of the log format: never reuse one.
enum class OpKind : uint8_t {
  // Reads.
  kGet = 0,     // key -> VersionedValue, or Nil
  kExists = 1,  // key -> 1 or 0
  kStrlen = 2,  // key -> bytes in its value, 0 if absent
  kRange = 3,   // [key, end) in byte order, `end` empty: no upper bound -> Page
  kPrefix = 4,  // every key that starts with `key` -> Page
  kSize = 5,    // number of keys in the store
  // Writes. Each looks at `condition` first.
  kSet = 6,     // key, value -> Done
  kDelete = 7,  // key -> 1 or 0
  kAppend = 8,  // key, value -> bytes in the value afterwards; creates the key
  kIncrBy = 9,  // key, delta -> the new number; an absent key counts as 0
  // Each of these must be the only operation of a command without guards.
  kOpenSession = 10,   // -> the id, which is this command's log index. Command::session must be 0
  kCloseSession = 11,  // closes Command::session -> Done
  kRaiseFeatureLevel = 12,  // `delta` is the level -> the level afterwards; it never goes down
};
inline constexpr OpKind kLastOpKind = OpKind::kRaiseFeatureLevel;

// A write whose condition does not hold changes nothing and answers ConditionNotMet; the rest of
// the list goes on.
enum class Condition : uint8_t {
  kAlways = 0,
  kIfAbsent = 1,     // SET NX
  kIfPresent = 2,    // SET XX
  kIfVersionIs = 3,  // compare-and-set by `version`
};
inline constexpr Condition kLastCondition = Condition::kIfVersionIs;

struct Op {
  OpKind kind = OpKind::kGet;
  Condition condition = Condition::kAlways;
  bool keys_only = false;    // kRange, kPrefix: leave the values out
  absl::string_view key;     // kRange: the first key wanted; kPrefix: the prefix
  absl::string_view value;   // kSet, kAppend
  absl::string_view end;     // kRange
  absl::string_view cursor;  // kRange, kPrefix: Page::next of the page before; empty at first
  int64_t delta = 0;         // kIncrBy, kRaiseFeatureLevel
  Version version = 0;       // Condition::kIfVersionIs
  uint32_t limit = 0;        // kRange, kPrefix: entries per page; 0: kDefaultPageEntries

  friend bool operator==(const Op&, const Op&) = default;
};

struct Command {
  // Exactly-once: a command with a session runs at most once per (session, sequence), and a retry
  // gets the first answer. Session 0 is none. Sequences start at 1 and may be pipelined;
  // `acknowledged` says that the client has the answers to every sequence up to it and will not
  // retry them, so the store may forget those.
  uint64_t session = 0;
  uint64_t sequence = 0;
  uint64_t acknowledged = 0;
  // The proposing leader's clock, ms since the Unix epoch. The store's time is the largest seen.
  uint64_t time_ms = 0;
  uint32_t feature_level = 0;  // refused by a store whose cluster has not been raised to it
  std::vector<Guard> guards;
  std::vector<Op> ops;

  friend bool operator==(const Command&, const Command&) = default;
};

// True if the operation can change the store.
bool IsWrite(OpKind kind);

// True if the command only looks: it may be answered by Store::Read at a read point instead of
// through the log.
bool IsReadOnly(const Command& command);

// What is wrong with the shape of the command (counts, kinds, operations that may not stand
// together), or nothing. Sizes of keys and values are not looked at: Store::Apply answers those per
// operation, and anything with a wrong shape with kMalformed.
std::optional<std::string> StructureError(const Command& command);

// Nothing if the command may be proposed; otherwise what is wrong with it and where, for the client
// ("op 2: key is 65537 bytes, the limit is 65536"). Includes StructureError. Admission calls this;
// Store::Apply does not rely on it.
std::optional<std::string> Validate(const Command& command);

}  // namespace raftkv::kv
