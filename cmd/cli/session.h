// What raftkv-cli does with a command, typed at its prompt or given as arguments.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cmd/cli/cluster.h"

namespace raftkv::cli {

// Exit codes of raftkv-cli.
inline constexpr int kOk = 0;
inline constexpr int kServerError = 1;     // the server answered with an error
inline constexpr int kUsageOrNetwork = 2;  // a wrong command line, or no server to talk to

struct Style {
  bool typed = false;    // as for people; otherwise raw
  bool colours = false;  // on a terminal
};

// Text for the two streams, and the code to end with if nothing follows.
struct Outcome {
  int code = kOk;
  std::string out;
  std::string error;
};

class Session {
 public:
  Session(Cluster* cluster, const Style& style) : cluster_(*cluster), style_(style) {}

  // `words`: at least one. Our own commands are status, member, transfer and help; everything else
  // goes to the server as it is.
  Outcome Run(const std::vector<std::string>& words);

 private:
  Outcome Status();
  Outcome Member(const std::vector<std::string>& words);
  Outcome MemberList();
  Outcome Transfer(const std::vector<std::string>& words);
  Outcome Help(const std::vector<std::string>& words);
  Outcome ToLeader(const std::vector<std::string>& words);
  Outcome ToServer(const std::vector<std::string>& words);
  Outcome Show(const absl::StatusOr<wire::RespValue>& reply) const;

  Cluster& cluster_;
  Style style_;
};

// What our own commands are, for --help and the prompt.
extern const char kOwnCommands[];

}  // namespace raftkv::cli
