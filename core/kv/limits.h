// Every bound of the replicated state machine in one place. Admission refuses what is above them
// with a message (Validate in command.h); apply refuses it again with a plain outcome, because the
// log may hold anything. They are part of the state machine: two binaries that disagree about one
// of them would apply one log to two states, so a change needs a new feature level.
#pragma once

#include <cstddef>
#include <cstdint>

namespace raftkv::kv {

inline constexpr size_t kMaxKeyBytes = 64 << 10;      // 0-byte keys are keys like any other
inline constexpr size_t kMaxValueBytes = 8 << 20;     // however the value came to be (APPEND too)
inline constexpr size_t kMaxRequestBytes = 16 << 20;  // all keys and values of one command together
inline constexpr size_t kMaxOps = 65'536;    // operations in one command: an MSET of so many pairs
inline constexpr size_t kMaxGuards = 4'096;  // guards in one command: a WATCH of so many keys

inline constexpr uint32_t kDefaultPageEntries = 100;  // when a scan names no limit
inline constexpr uint32_t kMaxPageEntries = 10'000;   // larger limits are cut to this
inline constexpr size_t kMaxPageBytes = 1 << 20;      // of one page; it holds at least one entry

// All keys and values one command may return. Operations past it answer kReplyTooLarge in place.
// Chosen so that an encoded Result, with the overhead of kMaxOps operations, stays below
// kMaxEncodedResultBytes and so fits one peer frame.
inline constexpr size_t kMaxReplyBytes = 13 << 20;
inline constexpr size_t kMaxEncodedResultBytes = (16 << 20) - (64 << 10);

// The newest command features this binary can apply. A cluster is raised to it by
// kRaiseFeatureLevel once every member runs it.
inline constexpr uint32_t kSupportedFeatureLevel = 1;

}  // namespace raftkv::kv
