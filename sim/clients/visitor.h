// Whoever comes by without business: a library that finds out whom it talks to, a monitor, a person
// with a terminal. A visit is a few requests about everything but the data, rightly asked and
// wrongly, in any framing. What is answered must decode, and an echo must be what was said. Whether
// there is an answer at all is not asked: nodes go down, and a visitor is not patient.
//
// What visits ask, when and whom, follows from the seed and their number alone.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/raft/random.h"
#include "core/wire/resp.h"
#include "sim/clients/ports.h"
#include "sim/oracles/judge.h"
#include "sim/scheduler/scheduler.h"

namespace raftkv::sim {

class Visitor final : public Caller {
 public:
  // Which nodes may be visited; one of them at least.
  using KnownNodes = std::function<std::vector<raft::NodeId>()>;

  // Comes every `every`, which is positive. All that is borrowed must outlive it.
  Visitor(Time every, uint64_t seed, Scheduler* scheduler, CallerPorts* ports, Judge* judge,
          KnownNodes nodes);

  void Start();
  void Stop();  // goes, and does not come back
  uint64_t answers() const { return answers_; }

  std::string CallerName() const override { return "visitor"; }
  void OnBytes(replica::ClientId connection, const std::string& bytes) override;
  void OnClosed(replica::ClientId connection) override;

 private:
  struct Asked {
    std::string request;                // for people
    std::optional<std::string> answer;  // what it must be
  };

  void Come();
  void Go();
  void Fail(absl::string_view what);

  Time every_;
  uint64_t seed_;
  Scheduler* scheduler_;
  CallerPorts* ports_;
  Judge* judge_;
  KnownNodes nodes_;
  bool stopped_ = false;
  uint64_t visits_ = 0;
  uint64_t answers_ = 0;
  raft::NodeId node_ = raft::kNoNode;
  std::optional<replica::ClientId> connection_;
  wire::RespReplyReader reader_;
  std::deque<Asked> asked_;  // without an answer yet, oldest first
};

}  // namespace raftkv::sim
