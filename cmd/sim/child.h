// What all who run something in a child process need: bytes through pipes, and how it ended.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"

namespace raftkv::sim {

// False when the other end is gone.
bool WriteAll(int fd, absl::string_view bytes);
// Adds what there is; false when there will be no more.
bool ReadSome(int fd, std::string* into);
// Everything that is left in a pipe whose other end is closed.
std::string Drain(int fd);

// Ends this process by a signal (SIGPROF) once it has used so much more CPU time; 0: it may go on.
// Not time of a clock: a process that is stopped, or whose reader takes a rest, does not hang.
void EndAfterCpu(unsigned seconds);

// The end of a child: nothing of the parent is written a second time. What the compiler was asked
// to count (RAFTKV_COUNTERS; scripts/coverage) is written down.
[[noreturn]] void EndChild();
// The status of a child, once it has ended.
int WaitFor(pid_t process);
// "the process ended by signal 6 (Aborted): " and what it said last.
std::string HowItEnded(int status, const std::string& said);

// A process that answers requests: a copy of this one that serves until there are no more, or
// becomes another program. It ends with its parent.
class ChildServer {
 public:
  // Called in the child, which ends when it returns. Its stderr is what it has said last, should it
  // end by itself.
  using Serve = std::function<void(int requests, int answers)>;

  ChildServer() = default;
  ~ChildServer() { End(); }
  ChildServer(const ChildServer&) = delete;
  ChildServer& operator=(const ChildServer&) = delete;

  // False when the system has no more processes or pipes to give. Only while it does not run.
  bool Start(const Serve& serve);
  bool runs() const { return process_ >= 0; }
  // To be polled for reading.
  int fd() const { return answers_; }

  // That the child is gone is noticed when its answer is read.
  void Send(absl::string_view request);
  // Adds what there is of its answers; false when it is gone.
  bool Read(std::string* into) { return ReadSome(answers_, into); }
  // Of a child that is gone: waits for its end, and tells of it.
  std::string Epitaph();
  // Ends it, if it runs.
  void End();

 private:
  pid_t process_ = -1;
  int requests_ = -1;  // we write
  int answers_ = -1;   // we read
  int said_ = -1;      // its stderr
};

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
