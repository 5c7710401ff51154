// strace on a running node: system calls fail or take long as a test wants, or are written down
// with the moments at which they began and returned.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/process.h"

namespace raftkv::e2e {

// Empty, or why no process can be traced here: a sentence for the one who reads the test's result.
std::string WhyNoStrace();

// Attached to all threads of a process from the moment the constructor returns.
class Strace {
 public:
  // `options` are strace's own; what it prints goes to `log`.
  Strace(pid_t pid, std::vector<std::string> options, const std::string& log);

  bool attached() const { return attached_; }
  // Lets go of the process: it goes on undisturbed. No effect when the process has ended.
  void Detach();

 private:
  std::string messages_;  // of strace itself
  std::unique_ptr<Process> process_;
  bool attached_ = false;
};

// One finished system call.
struct SystemCall {
  std::string name;
  std::string arguments;  // as strace prints them, file names with descriptors
  int64_t result = 0;
  // Nanoseconds of one clock for all processes. The thread stands still while strace looks at the
  // clock, so what comes of a call that returned carries a later number, in whatever process.
  uint64_t began = 0;
  uint64_t returned = 0;
};

// The options that make strace write what ReadTrace reads, for calls of these names.
std::vector<std::string> TraceOptions(const std::string& names);
// In the order in which the calls returned. Calls that were cut off are left out.
std::vector<SystemCall> ReadTrace(const std::string& log);

}  // namespace raftkv::e2e
