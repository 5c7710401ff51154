#include "fuzz/core_runner.h"

#include <csignal>
#include <cstdlib>
#include <iostream>

namespace raftkv::raft {
namespace {

struct Running {
  absl::string_view bytes;
  Program program;
};
const Running* running = nullptr;
struct sigaction before;

void Print() {
  const std::string wrong = running->program(running->bytes, &std::cerr);
  if (!wrong.empty()) std::cerr << "FINDING: " << wrong << std::endl;
}

// Whoever was there first, like libFuzzer, handles the abort that follows.
void OnAbort(int) {
  sigaction(SIGABRT, &before, nullptr);
  if (running != nullptr) Print();
  std::abort();
}

}  // namespace

void RunProgram(absl::string_view bytes, Program program) {
  static const bool kPrint = [] {
    struct sigaction action = {};
    action.sa_handler = OnAbort;
    action.sa_flags = SA_NODEFER;
    sigaction(SIGABRT, &action, &before);
    return std::getenv("RAFTKV_FUZZ_PRINT") != nullptr;
  }();
  const Running now{bytes, program};
  running = &now;
  if (kPrint) {
    Print();
  } else if (!program(bytes, nullptr).empty()) {
    std::abort();  // prints it
  }
  running = nullptr;
}

}  // namespace raftkv::raft
