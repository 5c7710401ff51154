#include "cmd/sim/child.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

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

int WaitFor(pid_t process) {
  int status = 0;
  while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

std::string HowItEnded(int status, const std::string& said) {
  const std::string how = WIFSIGNALED(status)
                              ? absl::StrCat("ended by signal ", WTERMSIG(status), " (",
                                             strsignal(WTERMSIG(status)), ")")
                              : absl::StrCat("ended with exit code ", WEXITSTATUS(status));
  const std::string text =
      absl::StrReplaceAll(absl::StripAsciiWhitespace(said.substr(0, 2'000)), {{"\n", " | "}});
  return absl::StrCat("the process ", how, text.empty() ? "" : ": ", text);
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
