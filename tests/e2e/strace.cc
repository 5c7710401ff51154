#include "tests/e2e/strace.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace raftkv::e2e {
namespace {

constexpr char kProgram[] = "/usr/bin/strace";
constexpr absl::string_view kUnfinished = " <unfinished ...>";

// "1700000000.123456789"
uint64_t Nanoseconds(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  uint64_t seconds = 0;
  uint64_t rest = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &seconds) ||
      !absl::SimpleAtoi(parts[1], &rest)) {
    return 0;
  }
  return seconds * 1'000'000'000 + rest;
}

}  // namespace

std::string WhyNoStrace() {
  if (access(kProgram, X_OK) != 0) return absl::StrCat(kProgram, " is not installed");
  const TemporaryDirectory directory;
  Command sleeper;
  sleeper.arguments = {"/bin/sleep", "60"};
  sleeper.output = directory.path() + "/sleeper";
  const Process process(sleeper);
  const std::string log = directory.path() + "/log";
  if (Strace(process.pid(), {}, log).attached()) return "";
  return absl::StrCat("no process may be traced here: ", ReadFile(log + ".messages"));
}

Strace::Strace(pid_t pid, std::vector<std::string> options, const std::string& log)
    : messages_(log + ".messages") {
  Command command;
  command.arguments = {kProgram, "-f", "-o", log, "-p", absl::StrCat(pid)};
  command.arguments.insert(command.arguments.end(), options.begin(), options.end());
  command.output = messages_;
  process_ = std::make_unique<Process>(command);
  Eventually([&] {
    attached_ = absl::StrContains(ReadFile(messages_), "attached");
    return attached_ || !process_->running();
  });
}

void Strace::Detach() {
  process_->Signal(SIGTERM);
  process_->Wait();
}

std::vector<std::string> TraceOptions(const std::string& names) {
  return {"-e",
          absl::StrCat("trace=", names),
          "-e",
          "signal=none",
          "-y",
          "-s",
          "100000",
          "--absolute-timestamps=format:unix,precision:ns",
          "--syscall-times=ns"};
}

std::vector<SystemCall> ReadTrace(const std::string& log) {
  std::vector<SystemCall> calls;
  std::map<std::string, SystemCall> unfinished;  // by thread
  const std::string text = ReadFile(log);
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    // "THREAD  TIME name(arguments) = result", or that in two parts.
    const std::vector<std::string> head =
        absl::StrSplit(line, absl::MaxSplits(absl::ByAnyChar(" "), 1));
    if (head.size() != 2) continue;
    const std::string& thread = head[0];
    absl::string_view rest = absl::StripLeadingAsciiWhitespace(head[1]);
    const size_t space = rest.find(' ');
    if (space == absl::string_view::npos) continue;
    const uint64_t when = Nanoseconds(rest.substr(0, space));
    rest.remove_prefix(space + 1);

    SystemCall call;
    if (absl::ConsumePrefix(&rest, "<... ")) {
      const auto begun = unfinished.find(thread);
      if (begun == unfinished.end()) continue;
      call = std::move(begun->second);
      unfinished.erase(begun);
    } else {
      const size_t open = rest.find('(');
      if (open == absl::string_view::npos) continue;  // a signal, an exit
      call.name = std::string(rest.substr(0, open));
      call.began = when;
      rest.remove_prefix(open + 1);
    }
    if (absl::ConsumeSuffix(&rest, kUnfinished)) {
      call.arguments = std::string(rest);
      unfinished[thread] = std::move(call);
      continue;
    }
    const size_t equals = rest.rfind(" = ");
    if (equals == absl::string_view::npos) continue;
    absl::StrAppend(&call.arguments, rest.substr(0, equals));
    const absl::string_view result = rest.substr(equals + 3);
    if (!absl::SimpleAtoi(result.substr(0, result.find(' ')), &call.result)) continue;
    // In one line, the moment is that of the beginning, and "<0.000123456>" ends it.
    const size_t bracket = result.rfind('<');
    if (bracket == absl::string_view::npos || !absl::EndsWith(result, ">")) continue;
    const uint64_t took = Nanoseconds(result.substr(bracket + 1, result.size() - bracket - 2));
    call.returned = std::max(when, call.began + took);
    calls.push_back(std::move(call));
  }
  return calls;
}

}  // namespace raftkv::e2e
