#include "cmd/sim/spread.h"

#include <poll.h>
#include <sys/types.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "cmd/sim/child.h"

namespace raftkv::sim {
namespace {

struct Child {
  pid_t process = -1;
  int results = -1;
  uint64_t next = 0;  // the task it is at
  std::string buffer;
};

[[noreturn]] void WorkOff(uint64_t first, uint64_t step, uint64_t count, const Task& task, int fd) {
  for (uint64_t number = first; number < count; number += step) {
    if (!WriteAll(fd, absl::StrCat(task(number), "\n"))) break;
  }
  EndChild();
}

// False when the child has said its last.
bool Read(Child* child, uint64_t step, const TaskDone& done) {
  if (!ReadSome(child->results, &child->buffer)) return false;
  for (size_t end; (end = child->buffer.find('\n')) != std::string::npos;) {
    const std::string line = child->buffer.substr(0, end);
    child->buffer.erase(0, end + 1);
    done(child->next, &line);
    child->next += step;
  }
  return true;
}

}  // namespace

bool Spread(uint64_t count, uint32_t jobs, const Task& task, const TaskDone& done) {
  std::vector<Child> children;
  bool whole = true;
  for (uint64_t first = 0; first < jobs && first < count; ++first) {
    int ends[2];
    if (pipe(ends) != 0) {
      whole = false;
      break;
    }
    const pid_t process = fork();
    if (process == 0) {
      for (const Child& other : children) close(other.results);
      close(ends[0]);
      WorkOff(first, jobs, count, task, ends[1]);
    }
    close(ends[1]);
    if (process < 0) {
      close(ends[0]);
      whole = false;
      break;
    }
    children.push_back({process, ends[0], first, ""});
  }
  if (!whole) {
    // What runs already finds its pipe closed and ends.
    for (const Child& child : children) close(child.results);
  }
  while (whole) {
    std::vector<pollfd> polled;
    std::vector<Child*> who;
    for (Child& child : children) {
      if (child.results < 0) continue;
      polled.push_back({child.results, POLLIN, 0});
      who.push_back(&child);
    }
    if (polled.empty()) break;
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    for (size_t i = 0; i < polled.size(); ++i) {
      if (polled[i].revents == 0 || Read(who[i], jobs, done)) continue;
      close(who[i]->results);
      who[i]->results = -1;
      if (who[i]->next < count) done(who[i]->next, nullptr);
    }
  }
  for (const Child& child : children) WaitFor(child.process);
  return whole;
}

}  // namespace raftkv::sim
