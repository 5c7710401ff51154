#include "tests/e2e/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

extern char** environ;

namespace raftkv::e2e {
namespace {

constexpr uid_t kNobody = 65534;
constexpr useconds_t kPollUs = 5'000;

}  // namespace

bool Eventually(const std::function<bool()>& condition, int seconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    usleep(kPollUs);
  }
  return true;
}

TemporaryDirectory::TemporaryDirectory() {
  path_ = (std::filesystem::temp_directory_path() / "raftkv-e2e-XXXXXX").string();
  if (mkdtemp(path_.data()) == nullptr) std::abort();
  // Nodes without rights must be able to find their directories.
  std::filesystem::permissions(path_, std::filesystem::perms(0755));
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Process::Process(const Command& command) {
  std::vector<char*> arguments;
  for (const std::string& argument : command.arguments) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  // Whatever RAFTKV_* the developer has set is none of the node's business here.
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text(*variable);
    if (text.rfind("RAFTKV_", 0) != 0) variables.push_back(text);
  }
  for (const auto& [name, value] : command.environment) {
    variables.push_back(absl::StrCat(name, "=", value));
  }
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);

  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) std::abort();
  if (pid_ > 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);
  const int output = open(command.output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  const int input = open("/dev/null", O_RDONLY);
  if (output < 0 || input < 0) _exit(126);
  dup2(input, 0);
  dup2(output, 1);
  dup2(output, 2);
  if (command.as_nobody && (setgid(kNobody) != 0 || setuid(kNobody) != 0)) _exit(126);
  execve(arguments[0], arguments.data(), environment.data());
  _exit(127);
}

Process::~Process() {
  if (running()) {
    Signal(SIGKILL);
    Wait();
  }
}

void Process::Signal(int number) {
  if (!ended_) kill(pid_, number);
}

std::optional<int> Process::Poll() {
  if (ended_) return ended_;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  ended_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ended_;
}

std::optional<int> Process::Wait(int seconds) {
  Eventually([&] { return Poll().has_value(); }, seconds);
  return ended_;
}

Finished RunToEnd(std::vector<std::string> arguments,
                  std::map<std::string, std::string> environment, bool as_nobody) {
  TemporaryDirectory directory;
  Command command;
  command.arguments = std::move(arguments);
  command.environment = std::move(environment);
  command.output = directory.path() + "/output";
  command.as_nobody = as_nobody;
  Process process(command);
  const int code = process.Wait().value_or(-1);
  return {code, ReadFile(command.output)};
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace raftkv::e2e
