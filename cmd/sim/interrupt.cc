#include "cmd/sim/interrupt.h"

#include <signal.h>

#include <cstdio>
#include <initializer_list>

namespace raftkv::sim {
namespace {

volatile sig_atomic_t noted = 0;

void Note(int signal) { noted = signal; }

}  // namespace

void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = Note;
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGINT, SIGTERM}) {
    struct sigaction before = {};
    // Who was started in the background, or by nohup, ignores them.
    if (sigaction(signal, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) continue;
    sigaction(signal, &action, nullptr);
  }
}

bool Interrupted() { return noted != 0; }

void EndIfInterrupted() {
  if (noted == 0) return;
  std::fflush(nullptr);
  signal(noted, SIG_DFL);
  raise(noted);
}

void LeaveInterruptsToParent() {
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
}

}  // namespace raftkv::sim
