// A client in a closed loop: asks, waits, thinks, asks again.
//
// It behaves as a careful program should, and no better. It keeps one connection and asks one to a
// few things at once. When an answer does not come, or says no, it may go to another node; after a
// few in a row it asks them in turn. What it may do then depends on what it knows:
//   - reads, and writes that a node promised not to have applied, are simply asked again;
//   - in a session everything is asked again, under the same sequence, until there is an answer;
//   - without a session a write without an answer has an unknown outcome, and stays that way.
// Sometimes a client in a session asks again although it has the answer: the reply must be the
// same.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/raft/random.h"
#include "core/wire/resp.h"
#include "sim/clients/ports.h"
#include "sim/clients/recorder.h"
#include "sim/clients/workload.h"
#include "sim/cues/cue.h"
#include "sim/decisions/decisions.h"
#include "sim/oracles/judge.h"
#include "sim/scheduler/scheduler.h"
#include "sim/scheduler/trace.h"

namespace raftkv::sim {

// What a client asks at once.
struct AskedGroup {
  // Not before the group before it is done. A time: nor before that. A condition: whoever watches
  // for conditions calls Prompt.
  Cue cue;
  // In the words of the Redis protocol. kSessionCounter is the key of the session's own counter.
  std::vector<std::vector<std::string>> operations;
  friend bool operator==(const AskedGroup&, const AskedGroup&) = default;
};
inline constexpr absl::string_view kSessionCounter = "o@";

struct ClientSettings {
  uint64_t number = 1;  // for people
  bool in_session = false;
  uint32_t most_at_once = 1;
  Delay think;
  Time patience = 500 * kMillisecond;  // for the answers to what was asked at once
  Delay before_retry;
  uint32_t tries = 200;  // then an operation is given up
  uint32_t ask_twice_per_mille = 50;
  // Asks this, those with a time one after the other, instead of what it would draw.
  std::optional<std::vector<AskedGroup>> script;
};

class Client final : public Caller {
 public:
  // Which nodes a client may know, in any order; asked for before each connection.
  using KnownNodes = std::function<std::vector<raft::NodeId>()>;

  struct World {
    Scheduler* scheduler;
    Decisions* decisions;
    const Trace* trace;
    Judge* judge;
    CallerPorts* ports;
    Workload* workload;
    Recorder* recorder;
    KnownNodes nodes;
  };

  Client(const ClientSettings& settings, const World& world, Random random);

  void Start();
  void Stop() { stopping_ = true; }  // asks nothing new
  // Asks this as soon as what it asks now is done.
  void Prompt(const AskedGroup& group);
  bool idle() const { return asked_.empty(); }
  // For violations: what it waits for.
  std::string Describe() const;
  const ClientSettings& settings() const { return settings_; }
  // What it has asked so far, if decisions are recorded.
  const std::vector<AskedGroup>& asked() const { return record_; }

  std::string CallerName() const override { return Name(); }

  void OnBytes(replica::ClientId connection, const std::string& bytes) override;
  void OnClosed(replica::ClientId connection) override;

 private:
  struct Asked {
    PlannedOperation operation;
    Recorder::Id record = 0;
    uint64_t sequence = 0;  // 0: not in a session, or none yet
    uint32_t tries = 0;
    bool maybe_applied = false;             // by an earlier try
    bool in_lost_session = false;           // on its way in a session that has ended
    std::optional<wire::RespValue> answer;  // kept by those who ask twice
    bool finished = false;
  };
  // The session's own counter.
  struct Count {
    int64_t started = 0;
    std::set<int64_t> seen;
  };

  void Think();
  void Ask();
  bool DrawGroup();
  bool PlanGroup(const AskedGroup& group);
  void AskPrompted();
  void Take(PlannedOperation operation);
  void Attempt();
  void WriteRequests();
  void OnReply(const wire::RespValue& reply);
  void OnSessionOpened(const wire::RespValue& reply);
  void OnAnswer(Asked& asked, const wire::RespValue& reply);
  void OnSecondAnswer(Asked& asked, const wire::RespValue& reply);
  void CheckCount(const PlannedOperation& operation, const Understood& understood);
  void NoAnswer(absl::string_view why);
  void LoseSession();
  // What became of it nobody knows.
  void GiveUp(const Asked& asked, absl::string_view why);
  void Disconnect();
  void Retry();
  bool AsksTwice();
  // One node after the other, then, so that each is asked.
  bool InVain() const { return retries_ >= 4; }
  void Settle();
  std::string Name() const;

  ClientSettings settings_;
  World world_;
  Random random_;
  bool stopping_ = false;
  int64_t last_number_ = 0;
  std::deque<Asked> asked_;
  size_t next_group_ = 0;  // of the script
  std::deque<AskedGroup> prompted_;
  std::vector<AskedGroup> record_;
  uint64_t connects_ = 0;
  uint32_t retries_ = 0;  // since the last answer

  std::optional<replica::ClientId> connection_;
  raft::NodeId node_ = raft::kNoNode;  // at its other end
  wire::RespReplyReader reader_;
  std::deque<Asked*> expected_;  // whose replies are on their way; null: that of opening a session
  uint64_t attempt_ = 0;
  uint64_t thoughts_ = 0;  // of what to ask next; a newer one replaces those before

  uint64_t session_ = 0;
  uint64_t last_sequence_ = 0;
  uint64_t acknowledged_ = 0;
  Count count_;
};

}  // namespace raftkv::sim
