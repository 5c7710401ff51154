// The connections between clients and nodes: streams of bytes that arrive in order, in pieces of
// any size, late, and that break.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "core/raft/random.h"
#include "core/replica/client_connection.h"
#include "sim/decisions/decisions.h"
#include "sim/network/delay.h"
#include "sim/node/process.h"
#include "sim/scheduler/scheduler.h"

namespace raftkv::sim {

// Whoever holds the other end of a connection to a node.
class Caller {
 public:
  virtual ~Caller() = default;
  virtual std::string CallerName() const = 0;  // "c3"
  virtual void OnBytes(replica::ClientId connection, const std::string& bytes) = 0;
  // Broken, refused, or closed by the node.
  virtual void OnClosed(replica::ClientId connection) = 0;
};

// What callers do.
class CallerPorts {
 public:
  virtual ~CallerPorts() = default;
  virtual replica::ClientId Connect(Caller* caller, raft::NodeId node) = 0;
  virtual void Send(replica::ClientId connection, std::string bytes) = 0;
  virtual void Close(replica::ClientId connection) = 0;
};

struct PortOptions {
  Delay delay;
  uint32_t split_per_mille = 0;  // of writes: arrives in two pieces
  uint32_t reset_per_mille = 0;  // of writes: the connection breaks instead
};

class Ports final : public CallerPorts {
 public:
  // `find` gives the process of a node that exists, up or not.
  using Find = std::function<Process*(raft::NodeId)>;

  Ports(Scheduler* scheduler, Decisions* decisions, const PortOptions& options, Random random,
        Find find)
      : scheduler_(scheduler),
        decisions_(decisions),
        options_(options),
        random_(random),
        find_(std::move(find)) {
    decisions_->Own(&random_);
  }

  replica::ClientId Connect(Caller* caller, raft::NodeId node) override;
  void Send(replica::ClientId connection, std::string bytes) override;
  void Close(replica::ClientId connection) override;

  // For nodes.
  void SendToCaller(replica::ClientId connection, std::string bytes);
  void CloseByNode(replica::ClientId connection);
  void Pause(replica::ClientId connection, bool paused);
  void NodeDied(raft::NodeId node);

  void set_options(const PortOptions& options) { options_ = options; }

 private:
  struct Connection {
    Caller* caller = nullptr;
    raft::NodeId node = raft::kNoNode;
    uint64_t life = 0;  // of the process, once it has accepted
    bool accepted = false;
    bool paused = false;
    std::deque<std::string> held;  // arrived while paused
    Time last_to_node = 0;
    Time last_to_caller = 0;
  };

  Time Arrival(const Connection& connection, Time* last);
  Process* Accepting(const Connection& connection);
  void Launch(replica::ClientId id, Connection& connection, std::string bytes);
  void ToNode(replica::ClientId id, std::string bytes);
  void Drain(replica::ClientId id);
  void Break(replica::ClientId id);

  Scheduler* scheduler_;
  Decisions* decisions_;
  PortOptions options_;
  Random random_;
  Find find_;
  replica::ClientId last_id_ = 0;
  std::map<replica::ClientId, Connection> connections_;
};

}  // namespace raftkv::sim
