// A cluster of real nodes on loopback, each with its own directory, log and two free ports.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/e2e/connection.h"
#include "tests/e2e/process.h"

namespace raftkv::e2e {

// The program under test.
std::string NodeProgram();

// A port that nobody uses now, outside the range from which the system gives ports to those who
// dial.
uint16_t FreePort();

class Cluster {
 public:
  struct Node {
    uint64_t id = 0;
    uint16_t client_port = 0;
    uint16_t peer_port = 0;
    std::string data;
    std::string log;
    std::vector<std::string> flags;
    std::map<std::string, std::string> environment;
    std::unique_ptr<Process> process;
  };

  // Founding members 1 to `size`, initialised and not started. `flags` go to every node. `prepare`
  // may change where a node's data will be, before it is initialised.
  explicit Cluster(int size, std::vector<std::string> flags = {},
                   const std::function<void(Node&)>& prepare = nullptr);
  // Prints the ends of the logs if the test has failed.
  ~Cluster();

  Node& node(uint64_t id) { return nodes_.at(id); }
  std::vector<uint64_t> ids() const;
  // Initialises a node that is to join. Returns its incarnation as the program printed it.
  std::string InitJoiner(uint64_t id);

  void Start(uint64_t id);
  void StartAll();
  void Kill(uint64_t id);  // -9

  // A connected client, or nullptr.
  std::unique_ptr<RedisClient> Client(uint64_t id);
  // One command through one node; tried again until it is known to have been applied, or `seconds`
  // are over. So only for commands that do no harm twice.
  std::string Ask(uint64_t id, const std::vector<std::string>& words, int seconds = 30);
  // A field of KV.STATUS; empty when the node does not answer.
  std::string Status(uint64_t id, const std::string& field);
  // Waits for a leader that knows itself to be one; 0 when there is none in time.
  uint64_t WaitForLeader(int seconds = 30);
  uint64_t OtherThan(uint64_t id) const { return id == 1 ? 2 : 1; }
  // All running nodes at one index with one digest.
  bool DigestsAgree();

  const std::string& directory() const { return directory_.path(); }
  static constexpr char kClusterId[] = "00000000000000000000000000e2ee2e";

 private:
  TemporaryDirectory directory_;
  std::vector<std::string> flags_;
  std::map<uint64_t, Node> nodes_;
};

}  // namespace raftkv::e2e
