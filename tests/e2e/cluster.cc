#include "tests/e2e/cluster.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"

namespace raftkv::e2e {
namespace {

constexpr size_t kLogTail = 3'000;

bool IsFree(uint16_t port) {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const bool free =
      bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  close(descriptor);
  return free;
}

}  // namespace

std::string NodeProgram() { return RAFTKV_PROGRAM; }

uint16_t FreePort() {
  // Programs that run at the same time start at different places.
  static uint32_t next = static_cast<uint32_t>(getpid()) * 97;
  for (;;) {
    const auto port = static_cast<uint16_t>(12'000 + next++ % 20'000);
    if (IsFree(port)) return port;
  }
}

Cluster::Cluster(int size, std::vector<std::string> flags,
                 const std::function<void(Node&)>& prepare)
    : flags_(std::move(flags)) {
  std::vector<std::string> members;
  for (uint64_t id = 1; id <= static_cast<uint64_t>(size); ++id) {
    Node& node = nodes_[id];
    node.id = id;
    node.client_port = FreePort();
    node.peer_port = FreePort();
    node.data = absl::StrCat(directory(), "/", id);
    node.log = absl::StrCat(directory(), "/", id, ".log");
    if (prepare) prepare(node);
    members.push_back(
        absl::StrCat(id, "=127.0.0.1:", node.peer_port, "/127.0.0.1:", node.client_port));
  }
  for (auto& [id, node] : nodes_) {
    const Finished init =
        RunToEnd({NodeProgram(), "init", "--data", node.data, "--node-id", absl::StrCat(id),
                  "--cluster-id", kClusterId, "--members", absl::StrJoin(members, ",")});
    EXPECT_EQ(init.code, 0) << init.output;
  }
}

Cluster::~Cluster() {
  if (!testing::Test::HasFailure()) return;
  for (auto& [id, node] : nodes_) {
    const std::string log = ReadFile(node.log);
    std::fprintf(stderr, "--- the end of the log of node %llu\n%s\n",
                 static_cast<unsigned long long>(id),
                 log.substr(log.size() > kLogTail ? log.size() - kLogTail : 0).c_str());
  }
}

std::vector<uint64_t> Cluster::ids() const {
  std::vector<uint64_t> ids;
  for (const auto& [id, node] : nodes_) ids.push_back(id);
  return ids;
}

std::string Cluster::InitJoiner(uint64_t id) {
  Node& node = nodes_[id];
  node.id = id;
  node.client_port = FreePort();
  node.peer_port = FreePort();
  node.data = absl::StrCat(directory(), "/", id);
  node.log = absl::StrCat(directory(), "/", id, ".log");
  const Finished init =
      RunToEnd({NodeProgram(), "init", "--join", "--data", node.data, "--node-id", absl::StrCat(id),
                "--cluster-id", kClusterId, "--address",
                absl::StrCat("127.0.0.1:", node.peer_port, "/127.0.0.1:", node.client_port)});
  EXPECT_EQ(init.code, 0) << init.output;
  // "  raftkv-cli member add ID PEER CLIENT INCARNATION"
  const std::vector<std::string> words =
      absl::StrSplit(init.output, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  return words.empty() ? "" : words.back();
}

void Cluster::Start(uint64_t id) {
  Node& node = nodes_.at(id);
  Command command;
  command.output = node.log;
  command.environment = node.environment;
  command.arguments = {NodeProgram(),
                       "--data",
                       node.data,
                       "--listen-client",
                       absl::StrCat("127.0.0.1:", node.client_port),
                       "--listen-peer",
                       absl::StrCat("127.0.0.1:", node.peer_port)};
  for (const auto& flags : {flags_, node.flags}) {
    command.arguments.insert(command.arguments.end(), flags.begin(), flags.end());
  }
  node.process = std::make_unique<Process>(command);
}

void Cluster::StartAll() {
  for (auto& [id, node] : nodes_) Start(id);
}

void Cluster::Kill(uint64_t id) {
  Process& process = *nodes_.at(id).process;
  process.Signal(SIGKILL);
  EXPECT_EQ(process.Wait(), 128 + SIGKILL);
}

std::unique_ptr<RedisClient> Cluster::Client(uint64_t id) {
  return RedisClient::Open(nodes_.at(id).client_port);
}

std::string Cluster::Ask(uint64_t id, const std::vector<std::string>& words, int seconds) {
  std::string answer;
  Eventually(
      [&] {
        std::unique_ptr<RedisClient> client = Client(id);
        if (client == nullptr) {
          answer = "(no connection)";
          return false;
        }
        answer = Show(client->Call(words));
        // A node that opens its repaired directory lets go of its clients: that says nothing,
        // either.
        return answer != kNoReply && !absl::StartsWith(answer, "-NOTAPPLIED") &&
               !absl::StartsWith(answer, "-UNKNOWN");
      },
      seconds);
  return answer;
}

std::string Cluster::Status(uint64_t id, const std::string& field) {
  std::unique_ptr<RedisClient> client = RedisClient::Open(nodes_.at(id).client_port, 1'000);
  if (client == nullptr) return "";
  const std::optional<wire::RespValue> status = client->Call({"KV.STATUS"}, 2'000);
  if (!status) return "";
  for (size_t i = 0; i + 1 < status->items.size(); i += 2) {
    if (status->items[i].text == field) return Show(status->items[i + 1]);
  }
  return "";
}

uint64_t Cluster::WaitForLeader(int seconds) {
  uint64_t leader = 0;
  Eventually(
      [&] {
        for (auto& [id, node] : nodes_) {
          if (node.process != nullptr && node.process->running() &&
              Status(id, "role") == "leader") {
            leader = id;
            return true;
          }
        }
        return false;
      },
      seconds);
  return leader;
}

bool Cluster::DigestsAgree() {
  std::set<std::string> seen;
  for (auto& [id, node] : nodes_) {
    if (node.process == nullptr || !node.process->running()) continue;
    seen.insert(absl::StrCat(Status(id, "applied"), " ", Status(id, "digest")));
  }
  return seen.size() == 1 && seen.begin()->size() > 1;
}

}  // namespace raftkv::e2e
