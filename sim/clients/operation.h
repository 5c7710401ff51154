// One thing that a client asks, in three languages: the words of the Redis protocol, the vocabulary
// of the history, and what its reply means.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/wire/resp.h"
#include "sim/check/history.h"

namespace raftkv::sim {

// How a reply is to be read.
enum class ReplyForm : uint8_t {
  kDone,          // +OK
  kDoneOrNull,    // +OK, or null when the condition did not hold
  kOldAndDone,    // the value before (commands: get, then a write)
  kOneOrZero,     // 1: written, 0: the condition did not hold
  kAllOrNothing,  // 1: all written, 0: a guard did not hold
  kValue,         // bytes or null
  kNumber,
  kEach,       // number of commands that each answer 1 or 0, when it is all or none of them
  kValues,     // an array of bytes or null, one per command
  kVersioned,  // [version, bytes] or null
  kSwap,       // [1, new version] or [0, version found]
  kPage,       // [cursor or null, [key, value, ...]]
};

struct PlannedOperation {
  std::vector<std::string> words;
  std::vector<Guard> guards;
  std::vector<Command> commands;
  ReplyForm form = ReplyForm::kDone;
  bool read_only = false;
  // Adds 1 to a counter that only this session touches: the replies must be 1, 2, 3, ...
  bool counts_once = false;
};

// What asking these words means. InvalidArgument, with the reason, for words that no client of a
// simulation knows. Several keys of one EXISTS or DEL must come and go together.
absl::StatusOr<PlannedOperation> PlanOperation(std::vector<std::string> words);

// What a reply told the client.
struct Understood {
  enum class Kind : uint8_t {
    kDone,            // happened; `aborted` and `replies` say what came of it
    kNotApplied,      // did not happen and never will
    kUnknown,         // may have happened
    kSessionUnknown,  // not executed by this try; an earlier try may have been
    kUnintelligible,  // no correct node answers this
  };
  Kind kind = Kind::kUnintelligible;
  bool aborted = false;
  std::vector<Reply> replies;
  std::string text;  // of an error
};

Understood Understand(const PlannedOperation& operation, const wire::RespValue& reply);

}  // namespace raftkv::sim
