// What came of a command: one outcome for the whole, and one result per operation.
//
// Values are shared with the store by reference count, not copied (raft::Payload, owner thread
// only). Results are cached in sessions, live in snapshots and travel in replies to forwarded
// commands, hence the codec: versioned, canonical (one value has one encoding) and total (any bytes
// either decode or are refused; nothing is allocated beyond a small multiple of the input).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/kv/command.h"
#include "core/raft/payload.h"
#include "core/raft/types.h"

namespace raftkv::kv {

// Numbers are part of the snapshot and reply formats: never reuse one. Every outcome but kOk,
// kReplyNotKept and kStaleSequence means that the command definitely changed nothing.
enum class Outcome : uint8_t {
  kOk = 0,              // the operations ran; see each one's result
  kGuardFailed = 1,     // `failed_guard` and `observed_version` say which and why
  kUnknownSession = 2,  // never opened, closed, expired or evicted: not executed, now or ever. An
                        // earlier try may have been
  kStaleSequence = 3,   // the session no longer remembers this sequence: not executed now; an
                        // earlier try may have been
  kReplyNotKept = 4,    // a retry: it ran at `index`, but its reply was too large to be remembered
  kUnsupportedLevel = 5,  // needs a feature level to which this cluster has not been raised
  kMalformed = 6,  // no store executes this (Validate says why); never proposed by a correct node
};
inline constexpr Outcome kLastOutcome = Outcome::kMalformed;

enum class OpError : uint8_t {
  kNotAnInteger = 0,   // INCRBY: the value is not a canonical decimal int64
  kOverflow = 1,       // INCRBY: the sum does not fit int64
  kKeyTooLarge = 2,    // above kMaxKeyBytes
  kValueTooLarge = 3,  // above kMaxValueBytes
  kReplyTooLarge = 4,  // the command's reply would exceed kMaxReplyBytes; ask for less at a time
};
inline constexpr OpError kLastOpError = OpError::kReplyTooLarge;

// The key does not exist.
struct Nil {
  friend bool operator==(const Nil&, const Nil&) = default;
};

// Written; the key's version is now Result::index.
struct Done {
  friend bool operator==(const Done&, const Done&) = default;
};

// The write's condition did not hold; nothing was changed by this operation.
struct ConditionNotMet {
  Version observed_version = 0;  // kAbsentVersion if the key does not exist
  friend bool operator==(const ConditionNotMet&, const ConditionNotMet&) = default;
};

struct VersionedValue {
  Version version = 0;
  raft::Payload value;
  friend bool operator==(const VersionedValue&, const VersionedValue&) = default;
};

struct PageEntry {
  std::string key;
  Version version = 0;
  raft::Payload value;  // empty if only keys were asked for
  friend bool operator==(const PageEntry&, const PageEntry&) = default;
};

// Entries in ascending byte order of their keys. If `more`, the same operation with cursor = `next`
// gives the page that follows; `next` is the first key that was left out.
struct Page {
  std::vector<PageEntry> entries;
  bool more = false;
  std::string next;
  friend bool operator==(const Page&, const Page&) = default;
};

// The alternatives' positions are part of the encoding: append only.
using OpResult = std::variant<Nil, Done, int64_t, VersionedValue, Page, ConditionNotMet, OpError>;

struct Result {
  Outcome outcome = Outcome::kOk;
  // Where the command ran; for a retry, where the first try ran; 0 for Store::Read.
  raft::Index index = 0;
  uint32_t failed_guard = 0;  // kGuardFailed: position of the first guard that failed
  // kGuardFailed: version of that guard's key, kAbsentVersion if it does not exist.
  Version observed_version = 0;
  std::vector<OpResult> ops;  // kOk: one per operation, in order; otherwise empty

  friend bool operator==(const Result&, const Result&) = default;
};

// At most kMaxEncodedResultBytes for anything a Store returned.
std::string EncodeResult(const Result& result);

// Nothing if the bytes are not exactly one encoded Result.
std::optional<Result> DecodeResult(absl::string_view bytes);

// For logs, tests and tools: "unknown session", "not an integer".
absl::string_view Name(Outcome outcome);
absl::string_view Name(OpError error);

}  // namespace raftkv::kv
