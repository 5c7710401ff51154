// What all who run something in a child process need: bytes through pipes, and how it ended.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace raftkv::sim {

// False when the other end is gone.
bool WriteAll(int fd, absl::string_view bytes);
// Adds what there is; false when there will be no more.
bool ReadSome(int fd, std::string* into);
// Everything that is left in a pipe whose other end is closed.
std::string Drain(int fd);

// The status of a child, once it has ended.
int WaitFor(pid_t process);
// "the process ended by signal 6 (Aborted): " and what it said last.
std::string HowItEnded(int status, const std::string& said);

// A number that a child shares with us: what it was when the child died is there.
class SharedCount {
 public:
  SharedCount();
  ~SharedCount();
  SharedCount(const SharedCount&) = delete;
  SharedCount& operator=(const SharedCount&) = delete;
  uint64_t* get() const;  // null when the system has none to give

 private:
  void* at_;
};

}  // namespace raftkv::sim
