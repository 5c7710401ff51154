// Checks for our own bugs. They stay on in release builds: a replica that has lost its own logic
// must stop before it acknowledges anything more. Faults of the environment (a disk, a peer, a
// client) are never checked this way; they are values.
#pragma once

namespace raftkv {

// Writes "file:line: check failed: text" to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* text);

}  // namespace raftkv

#define RAFTKV_CHECK(condition)                              \
  do {                                                       \
    if (!(condition)) [[unlikely]] {                         \
      ::raftkv::CheckFailed(__FILE__, __LINE__, #condition); \
    }                                                        \
  } while (false)
