// raftkv-cli: one command, or a prompt for many.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cmd/cli/cluster.h"
#include "cmd/cli/endpoint.h"
#include "cmd/cli/session.h"
#include "cmd/cli/words.h"
#include "cmd/standard_files.h"

namespace raftkv::cli {
namespace {

struct Flags {
  std::string host = "127.0.0.1";
  int port = kDefaultPort;
  std::string endpoints;
  int timeout_ms = 6'000;  // a little longer than a node lets a request wait
  bool raw = false;
  bool no_raw = false;
  bool resp3 = false;
  std::vector<std::string> command;
};

int Wrong(absl::string_view what) {
  std::cerr << "raftkv-cli: " << what << "\nRun with --help for more information.\n";
  return kUsageOrNetwork;
}

bool OnTerminal(int descriptor) { return isatty(descriptor) == 1; }

int Report(const Outcome& outcome) {
  if (!(std::cout << outcome.out << std::flush)) {
    std::cerr << "raftkv-cli: cannot write to the standard output\n";
    return kUsageOrNetwork;
  }
  if (!outcome.error.empty()) std::cerr << "raftkv-cli: " << outcome.error << std::flush;
  return outcome.code;
}

// Lines from the standard input, until its end. With a terminal there is a prompt, and an error
// means little; from a script the worst code is the one to end with.
int Converse(Cluster* cluster, Session* session, const Endpoint& first) {
  const bool prompt = OnTerminal(STDIN_FILENO);
  int worst = kOk;
  std::string line;
  while (true) {
    if (prompt) {
      std::cout << cluster->connected().value_or(first).ToString() << "> " << std::flush;
    }
    if (!std::getline(std::cin, line)) break;
    const auto words = SplitWords(line);
    if (!words.has_value()) {
      worst = kUsageOrNetwork;
      std::cerr << "raftkv-cli: unbalanced quotes\n";
      continue;
    }
    if (words->empty()) continue;
    const std::string name = absl::AsciiStrToLower((*words)[0]);
    if (name == "exit" || name == "quit") break;
    worst = std::max(worst, Report(session->Run(*words)));
  }
  if (prompt) std::cout << "\n";
  return prompt ? kOk : worst;
}

int Run(const Flags& flags) {
  std::vector<Endpoint> endpoints = {{flags.host, static_cast<uint16_t>(flags.port)}};
  if (!flags.endpoints.empty()) {
    absl::StatusOr<std::vector<Endpoint>> parsed = ParseEndpoints(flags.endpoints);
    if (!parsed.ok()) return Wrong(absl::StrCat("--endpoints: ", parsed.status().message()));
    endpoints = *std::move(parsed);
  }
  const bool terminal = OnTerminal(STDOUT_FILENO);
  Style style;
  style.typed = (terminal || flags.no_raw) && !flags.raw;
  style.colours = terminal && std::getenv("NO_COLOR") == nullptr;
  const Endpoint first = endpoints[0];
  Cluster cluster(std::move(endpoints), flags.timeout_ms, flags.resp3);
  Session session(&cluster, style);
  if (flags.command.empty()) return Converse(&cluster, &session, first);
  return Report(session.Run(flags.command));
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app(
      "Talks to a raftkv cluster: one command as arguments, or many at a prompt.\n"
      "Data commands go to the given node, which forwards them; member changes and transfer go to "
      "the leader.");
  app.name("raftkv-cli");
  app.set_help_flag("--help", "prints this and exits");
  app.set_version_flag("--version", std::string("raftkv-cli ") + RAFTKV_VERSION);
  app.prefix_command();  // what follows the first word is the command's, even if it starts with '-'
  app.add_option("-h,--host", flags.host, "host of the node")->capture_default_str();
  app.add_option("-p,--port", flags.port, "client port of the node")
      ->check(CLI::Range(1, 65'535))
      ->capture_default_str();
  app.add_option("--endpoints", flags.endpoints,
                 "host:port[,host:port...] instead of host and port; if one is down the next is "
                 "used")
      ->envname("RAFTKV_ENDPOINTS");
  app.add_option("--timeout-ms", flags.timeout_ms, "longest wait for a connection or for a reply")
      ->check(CLI::Range(1, 3'600'000))
      ->capture_default_str();
  app.add_flag("--raw", flags.raw, "prints replies as they are (what is done without a terminal)");
  app.add_flag("--no-raw", flags.no_raw, "prints replies with their types");
  app.add_flag("-3", flags.resp3, "speaks RESP3");
  app.footer(std::string("Commands, beside all of the server's:\n") + kOwnCommands +
             "Exit status: 0 done, 1 the server answered with an error, 2 wrong usage or no "
             "connection.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return Wrong(error.what());
  }
  flags.command = app.remaining();
  // A host or port said twice, in two ways, is a mistake.
  if (app.count("--endpoints") > 0 && (app.count("--host") > 0 || app.count("--port") > 0)) {
    return Wrong("--endpoints stands for --host and --port: give one or the other");
  }
  if (app.count("--host") + app.count("--port") > 0) flags.endpoints.clear();
  if (!flags.command.empty() && flags.command[0].size() > 1 && flags.command[0][0] == '-') {
    return Wrong(absl::StrCat("unknown option ", flags.command[0]));
  }
  return Run(flags);
}

}  // namespace
}  // namespace raftkv::cli

int main(int argc, char** argv) {
  raftkv::KeepStandardFiles();
  return raftkv::cli::Main(argc, argv);
}
