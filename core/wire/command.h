// The payload of a log entry: a kv::Command as bytes, and back. (Results have their codec in
// core/kv/result.h.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "core/kv/command.h"
#include "core/kv/limits.h"
#include "core/raft/payload.h"

namespace raftkv::wire {

// No encoded command is longer: kv's limit for keys and values together, and the heads of as many
// operations and guards as kv allows.
inline constexpr size_t kMaxCommandBytes =
    kv::kMaxRequestBytes + kv::kMaxOps * (12 + 32) + kv::kMaxGuards * 24 + 1024;

// Values to bytes. Keeps its memory from command to command.
class CommandEncoder {
 public:
  CommandEncoder();
  ~CommandEncoder();
  CommandEncoder(CommandEncoder&&) noexcept;
  CommandEncoder& operator=(CommandEncoder&&) noexcept;

  // The command must have passed kv::Validate: more operations, guards or bytes than kv allows are
  // a bug of the caller and checked. The same command always gives the same bytes. Valid until the
  // next call.
  absl::string_view Encode(const kv::Command& command);
  raft::Payload EncodePayload(const kv::Command& command);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

enum class CommandDecode : uint8_t {
  kOk = 0,
  // A layout, an operation, a condition or a guard that this binary does not know, in bytes that
  // are otherwise sound. A cluster whose feature level was raised properly never shows it to an old
  // binary: whoever applies such an entry must stop, not skip it.
  kUnsupported = 1,
  // Not something any encoder wrote.
  kMalformed = 2,
};

// Total and bounded: any bytes are safe; nothing is allocated beyond a small multiple of the input,
// at most kMaxGuards guards and kMaxOps operations. Keys and values of the result point into
// `bytes`, which must start 8-byte aligned (a raft::Payload does; so does ForwardRequest::command).
// Key and value limits are not judged here: kv::Validate does before a command is proposed, and the
// store answers for what is in the log.
//
// kUnsupported fills in what precedes the operations (session, sequence, acknowledged, time,
// feature level) if the layout is known, and leaves guards and ops empty. `problem`, if not null,
// gets what is wrong and where, unless the result is kOk.
CommandDecode DecodeCommand(absl::string_view bytes, kv::Command* command,
                            std::string* problem = nullptr);

}  // namespace raftkv::wire
