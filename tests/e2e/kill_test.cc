// All nodes killed with -9, again and again, under load: nothing that was acknowledged is lost,
// what clients saw has an explanation, and the cluster comes back by itself.
//
// RAFTKV_E2E_ROUNDS sets how often (5); RAFTKV_E2E_SEED draws other moments.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/raft/random.h"
#include "sim/check/history.h"
#include "sim/check/linearizability.h"
#include "sim/check/store_model.h"
#include "tests/e2e/cluster.h"

namespace raftkv::e2e {
namespace {

constexpr int kPlainClients = 3;
constexpr int kSessionClients = 3;
constexpr int kKeysPerRound = 3;
constexpr int kReplyMs = 7'000;  // longer than the node's own patience

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  uint64_t number = 0;
  return text != nullptr && absl::SimpleAtoi(text, &number) ? number : otherwise;
}

// What all clients saw, in one order of real time.
class Recorder {
 public:
  sim::Position Tick() { return ++clock_; }
  void Add(sim::Operation operation) {
    if (operation.outcome == sim::Outcome::kOk) ++acknowledged_;
    std::lock_guard<std::mutex> lock(mutex_);
    history_.operations.push_back(std::move(operation));
  }
  uint64_t acknowledged() const { return acknowledged_; }
  const sim::History& history() const { return history_; }  // when all clients are done

 private:
  std::atomic<sim::Position> clock_{0};
  std::atomic<uint64_t> acknowledged_{0};
  std::mutex mutex_;
  sim::History history_;
};

std::vector<std::string> Words(const sim::Command& command) {
  switch (command.verb) {
    case sim::Verb::kGet:
      return {"GET", command.key};
    case sim::Verb::kSet:
      return {"SET", command.key, *command.value};
    case sim::Verb::kAppend:
      return {"APPEND", command.key, *command.value};
    default:
      return {"INCRBY", command.key, absl::StrCat(command.delta)};
  }
}

// One client: keeps a connection to some node and moves on when it breaks.
class Worker {
 public:
  Worker(Cluster* cluster, Recorder* recorder, int number, bool with_session, uint64_t seed)
      : recorder_(recorder),
        name_(absl::StrCat(with_session ? "session " : "plain ", number)),
        with_session_(with_session),
        random_(Random::Stream(seed, name_)) {
    for (const uint64_t id : cluster->ids()) ports_.push_back(cluster->node(id).client_port);
  }

  void Run(const std::atomic<uint64_t>& round, const std::atomic<bool>& stop) {
    while (!stop) {
      sim::Operation operation;
      operation.process = name_;
      operation.number = ++number_;
      operation.commands = {Draw(round)};
      if (with_session_) {
        Exactly(operation, stop);
      } else {
        Once(operation);
      }
    }
  }

  // A read that is repeated until it is answered.
  bool Read(const std::string& key) {
    return Eventually([&] {
      sim::Operation operation;
      operation.process = name_;
      operation.number = ++number_;
      sim::Command get;
      get.key = key;
      operation.commands = {get};
      return Once(operation);
    });
  }

  const std::vector<std::string>& surprises() const { return surprises_; }

 private:
  sim::Command Draw(uint64_t round) {
    sim::Command command;
    const uint64_t key = random_.Below(kKeysPerRound);
    const uint64_t kind = random_.Below(4);
    // Numbers and texts live under different keys.
    command.key = absl::StrCat(kind < 2 ? "text" : "number", " ", round, " ", key);
    switch (kind) {
      case 0:
        command.verb = sim::Verb::kAppend;
        command.value = absl::StrCat(name_, "/", number_, ";");
        break;
      case 2:
        command.verb = sim::Verb::kIncrBy;
        command.delta = static_cast<int64_t>(1 + random_.Below(9));
        break;
      default:
        command.verb = sim::Verb::kGet;
    }
    if (kind == 0 && random_.Below(8) == 0) {
      command.verb = sim::Verb::kSet;
    }
    return command;
  }

  bool Connect() {
    if (client_ != nullptr) return true;
    client_ = RedisClient::Open(ports_[random_.Below(ports_.size())], 1'000);
    if (client_ == nullptr) usleep(2'000);  // nobody there: do not burn the processor
    return client_ != nullptr;
  }

  // Fills in what a reply means; false when it is an error.
  bool Understand(const wire::RespValue& reply, sim::Operation& operation) {
    if (reply.is_error()) return false;
    sim::Reply seen;
    switch (operation.commands[0].verb) {
      case sim::Verb::kGet:
        seen.kind = sim::Reply::Kind::kValue;
        if (reply.type != wire::RespValue::Type::kNull) seen.value = reply.text;
        break;
      case sim::Verb::kSet:
        seen.kind = sim::Reply::Kind::kDone;
        break;
      default:
        seen.kind = sim::Reply::Kind::kNumber;
        seen.number = reply.integer;
    }
    operation.replies = {seen};
    operation.outcome = sim::Outcome::kOk;
    return true;
  }

  // One try; true when it was answered.
  bool Once(sim::Operation& operation) {
    if (!Connect()) return false;
    operation.invoked = recorder_->Tick();
    const std::optional<wire::RespValue> reply =
        client_->Call(Words(operation.commands[0]), kReplyMs);
    operation.returned = recorder_->Tick();
    if (!reply) client_.reset();
    const bool answered = reply && Understand(*reply, operation);
    if (!answered) {
      const bool never = reply && absl::StartsWith(reply->text, "NOTAPPLIED");
      if (reply && !never && !absl::StartsWith(reply->text, "UNKNOWN")) {
        surprises_.push_back(reply->text);
      }
      operation.outcome = never || operation.commands[0].verb == sim::Verb::kGet
                              ? sim::Outcome::kFailed
                              : sim::Outcome::kUnknown;
    }
    recorder_->Add(operation);
    return answered;
  }

  // Tried with one session and sequence until it is answered: it runs exactly once.
  void Exactly(sim::Operation& operation, const std::atomic<bool>& stop) {
    if (operation.commands[0].verb == sim::Verb::kGet) {
      Once(operation);
      return;
    }
    while (session_.empty() && !stop) {
      if (!Connect()) continue;
      const std::optional<wire::RespValue> opened = client_->Call({"KV.SESSION", "OPEN"}, kReplyMs);
      if (!opened) client_.reset();
      if (opened && !opened->is_error()) session_ = absl::StrCat(opened->integer);
    }
    if (session_.empty()) return;
    ++sequence_;
    std::vector<std::string> words = {
        "KV.SESSION", "RUN", session_, absl::StrCat(sequence_), "ACK", absl::StrCat(sequence_ - 1)};
    for (const std::string& word : Words(operation.commands[0])) words.push_back(word);
    operation.invoked = recorder_->Tick();
    operation.outcome = sim::Outcome::kUnknown;
    // Also when asked to stop: it ends with an answer, or this would prove nothing.
    const bool ended = Eventually([&] {
      if (!Connect()) return false;
      const std::optional<wire::RespValue> reply = client_->Call(words, kReplyMs);
      if (!reply) {
        client_.reset();
        return false;
      }
      if (Understand(*reply, operation)) return true;
      if (absl::StartsWith(reply->text, "NOTAPPLIED") || absl::StartsWith(reply->text, "UNKNOWN")) {
        return false;
      }
      surprises_.push_back(reply->text);
      return true;
    });
    if (!ended) surprises_.push_back("a retry was never answered");
    operation.returned = recorder_->Tick();
    recorder_->Add(operation);
  }

  Recorder* recorder_;
  std::string name_;
  bool with_session_;
  Random random_;
  std::vector<uint16_t> ports_;
  std::unique_ptr<RedisClient> client_;
  int64_t number_ = 0;
  std::string session_;
  uint64_t sequence_ = 0;
  std::vector<std::string> surprises_;
};

TEST(KillMinusNine, NothingAcknowledgedIsLost) {
  const uint64_t rounds = FromEnvironment("RAFTKV_E2E_ROUNDS", 5);
  const uint64_t seed = FromEnvironment("RAFTKV_E2E_SEED", static_cast<uint64_t>(getpid()));
  SCOPED_TRACE(absl::StrCat("RAFTKV_E2E_SEED=", seed));
  Random random = Random::Stream(seed, "kills");
  // Small, so that segments, snapshots and transfers are on the way when the power goes.
  Cluster cluster(3, {"--snapshot-log-bytes", "64KiB", "--trailing-log-bytes", "32KiB",
                      "--segment-bytes", "256KiB"});
  Recorder recorder;
  std::atomic<uint64_t> round{1};
  std::atomic<bool> stop{false};
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<std::thread> threads;
  for (int i = 0; i < kPlainClients + kSessionClients; ++i) {
    workers.push_back(std::make_unique<Worker>(&cluster, &recorder, i, i >= kPlainClients, seed));
  }
  cluster.StartAll();
  for (auto& worker : workers) {
    threads.emplace_back([&, w = worker.get()] { w->Run(round, stop); });
  }
  auto reach = [&](uint64_t more) {
    const uint64_t goal = recorder.acknowledged() + more;
    return Eventually([&] { return recorder.acknowledged() >= goal; }, 60);
  };

  for (; round <= rounds; ++round) {
    if (!reach(100 + random.Below(300))) {
      ADD_FAILURE() << "no progress in round " << round;
      break;
    }
    // In any order, at once or with the others still at work for a moment.
    std::vector<uint64_t> order = cluster.ids();
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
    for (const uint64_t id : order) {
      if (random.Below(2) == 0) usleep(static_cast<useconds_t>(random.Below(50'000)));
      cluster.Kill(id);
    }
    for (const uint64_t id : order) {
      if (random.Below(2) == 0) usleep(static_cast<useconds_t>(random.Below(20'000)));
      cluster.Start(id);
    }
  }
  EXPECT_TRUE(reach(200)) << "no progress after the last round";
  stop = true;
  for (std::thread& thread : threads) thread.join();

  // Every key once more, through any node: what was acknowledged must be in there.
  Worker reader(&cluster, &recorder, 99, false, seed);
  for (uint64_t r = 1; r <= rounds + 1; ++r) {
    for (int key = 0; key < kKeysPerRound; ++key) {
      ASSERT_TRUE(reader.Read(absl::StrCat("text ", r, " ", key)));
      ASSERT_TRUE(reader.Read(absl::StrCat("number ", r, " ", key)));
    }
  }
  EXPECT_TRUE(Eventually([&] { return cluster.DigestsAgree(); }));
  for (auto& worker : workers) {
    EXPECT_EQ(absl::StrJoin(worker->surprises(), "; "), "");
  }

  uint64_t unknown = 0;
  for (const sim::Operation& operation : recorder.history().operations) {
    unknown += operation.outcome == sim::Outcome::kUnknown ? 1u : 0u;
  }
  for (const sim::HistoryPart& part : sim::SplitIntoParts(recorder.history())) {
    const sim::SearchResult result =
        sim::FindLinearization(part.operations, *part.model, sim::SearchBudget{});
    EXPECT_TRUE(result.verdict == sim::Verdict::kLinearizable)
        << sim::Name(result.verdict) << ": " << absl::StrJoin(part.keys, ", ");
  }
  std::printf("%llu rounds: %zu operations, %llu acknowledged, %llu unknown\n",
              static_cast<unsigned long long>(rounds), recorder.history().operations.size(),
              static_cast<unsigned long long>(recorder.acknowledged()),
              static_cast<unsigned long long>(unknown));
}

}  // namespace
}  // namespace raftkv::e2e
