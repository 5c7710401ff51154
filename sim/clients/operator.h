// The person who runs the cluster: sends one administrative command at a time to any node and
// believes what comes back.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/wire/resp.h"
#include "sim/clients/ports.h"
#include "sim/scheduler/scheduler.h"

namespace raftkv::sim {

class Operator final : public Caller {
 public:
  // `ok`: it was done. Otherwise it may have been done, or not.
  using Then = std::function<void(bool ok, const std::string& text)>;

  Operator(Scheduler* scheduler, Ports* ports, Time patience)
      : scheduler_(scheduler), ports_(ports), patience_(patience) {}

  bool busy() const { return connection_.has_value(); }
  // Only when not busy.
  void Ask(raft::NodeId node, std::vector<std::string> words, Then then);

  std::string CallerName() const override { return "operator"; }
  void OnBytes(replica::ClientId connection, const std::string& bytes) override;
  void OnClosed(replica::ClientId connection) override;

 private:
  void Finish(bool ok, const std::string& text);

  Scheduler* scheduler_;
  Ports* ports_;
  Time patience_;
  std::optional<replica::ClientId> connection_;
  wire::RespReplyReader reader_;
  Then then_;
};

}  // namespace raftkv::sim
