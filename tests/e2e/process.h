// Real programs under test: started with their own log, never left behind.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace raftkv::e2e {

// Repeats `condition` until it holds (true) or `seconds` have passed (false).
bool Eventually(const std::function<bool()>& condition, int seconds = 30);

// A directory that goes with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Command {
  std::vector<std::string> arguments;  // the program first
  std::map<std::string, std::string> environment;
  std::string output;      // file that stdout and stderr are appended to
  bool as_nobody = false;  // give up root's rights first
};

// One child process. Killed, with -9, when the object goes or the test dies.
class Process {
 public:
  explicit Process(const Command& command);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void Signal(int number);
  // The exit code, or 128 + the signal that ended it; nullopt when it still runs after `seconds`.
  std::optional<int> Wait(int seconds = 30);
  bool running() { return !Poll().has_value(); }
  pid_t pid() const { return pid_; }

 private:
  std::optional<int> Poll();

  pid_t pid_ = -1;
  std::optional<int> ended_;
};

// Runs a program to its end.
struct Finished {
  int code = -1;  // -1: it did not end in time and was killed
  std::string output;
};
Finished RunToEnd(std::vector<std::string> arguments,
                  std::map<std::string, std::string> environment = {}, bool as_nobody = false);

std::string ReadFile(const std::string& path);
void WriteFile(const std::string& path, const std::string& text);

}  // namespace raftkv::e2e
