#include "cmd/sim/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cmd/sim/interrupt.h"

#ifdef RAFTKV_COUNTERS
extern "C" void __gcov_dump();
#endif

namespace raftkv::sim {

bool WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

bool ReadSome(int fd, std::string* into) {
  char piece[65'536];
  const ssize_t got = read(fd, piece, sizeof(piece));
  if (got < 0 && errno == EINTR) return true;
  if (got <= 0) return false;
  into->append(piece, static_cast<size_t>(got));
  return true;
}

std::string Drain(int fd) {
  std::string text;
  while (ReadSome(fd, &text)) {
  }
  return text;
}

void EndAfterCpu(unsigned seconds) {
  itimerval limit = {};
  limit.it_value.tv_sec = static_cast<time_t>(seconds);
  setitimer(ITIMER_PROF, &limit, nullptr);
}

void EndChild() {
#ifdef RAFTKV_COUNTERS
  __gcov_dump();
#endif
  _exit(0);
}

int WaitFor(pid_t process) {
  int status = 0;
  while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

std::string HowItEnded(int status, const std::string& said) {
  const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  const std::string how =
      signal == SIGPROF ? "did not come to an end: it has used more CPU time than a run may"
      : signal != 0     ? absl::StrCat("ended by signal ", signal, " (", strsignal(signal), ")")
                        : absl::StrCat("ended with exit code ", WEXITSTATUS(status));
  const std::string text =
      absl::StrReplaceAll(absl::StripAsciiWhitespace(said.substr(0, 2'000)), {{"\n", " | "}});
  return absl::StrCat("the process ", how, text.empty() ? "" : ": ", text);
}

bool ChildServer::Start(const Serve& serve) {
  // A socket, because writing to one whose reader is gone need not be a signal.
  int requests[2], answers[2], said[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, requests) != 0) return false;
  const auto give_up = [](std::initializer_list<int> fds) {
    for (const int fd : fds) close(fd);
    return false;
  };
  if (pipe2(answers, O_CLOEXEC) != 0) return give_up({requests[0], requests[1]});
  if (pipe2(said, O_CLOEXEC) != 0) {
    return give_up({requests[0], requests[1], answers[0], answers[1]});
  }
  process_ = fork();
  if (process_ < 0) {
    return give_up({requests[0], requests[1], answers[0], answers[1], said[0], said[1]});
  }
  if (process_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    LeaveInterruptsToParent();
    dup2(said[1], STDERR_FILENO);
    close(requests[1]);
    close(answers[0]);
    serve(requests[0], answers[1]);
    EndChild();
  }
  close(requests[0]);
  close(answers[1]);
  close(said[1]);
  requests_ = requests[1];
  answers_ = answers[0];
  said_ = said[0];
  return true;
}

void ChildServer::Send(absl::string_view request) {
  while (!request.empty()) {
    const ssize_t count = send(requests_, request.data(), request.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    request.remove_prefix(static_cast<size_t>(count));
  }
}

std::string ChildServer::Epitaph() {
  const int status = WaitFor(process_);
  process_ = -1;
  return HowItEnded(status, Drain(said_));
}

void ChildServer::End() {
  if (process_ >= 0) {
    kill(process_, SIGKILL);
    WaitFor(process_);
  }
  for (int* fd : {&requests_, &answers_, &said_}) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
  process_ = -1;
}

SharedCount::SharedCount()
    : at_(mmap(nullptr, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
               0)) {}

SharedCount::~SharedCount() {
  if (get() != nullptr) munmap(at_, sizeof(uint64_t));
}

uint64_t* SharedCount::get() const {
  return at_ == MAP_FAILED ? nullptr : static_cast<uint64_t*>(at_);
}

}  // namespace raftkv::sim
