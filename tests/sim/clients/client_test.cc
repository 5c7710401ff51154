#include "sim/clients/client.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "core/wire/resp.h"
#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

using Replies = std::vector<std::string>;  // RESP, to all that was asked at once; none: silence

// Nodes that answer as the test says, at once and in one piece.
class Nodes final : public CallerPorts {
 public:
  using Answer = std::function<Replies(raft::NodeId node, const std::vector<std::string>& asked)>;

  Nodes(Scheduler* scheduler, Answer answer) : scheduler_(scheduler), answer_(std::move(answer)) {}

  replica::ClientId Connect(Caller* caller, raft::NodeId node) override {
    connections_.push_back({caller, node});
    return connections_.size();
  }
  void Send(replica::ClientId connection, std::string bytes) override {
    wire::RespRequestReader reader;
    reader.Feed(bytes);
    std::vector<std::string> asked;
    std::vector<absl::string_view> words;
    while (reader.Next(&words) == wire::RespRequestReader::Outcome::kRequest) {
      asked.push_back(absl::StrJoin(words, " "));
    }
    const auto& [caller, node] = connections_.at(connection - 1);
    std::string replies = absl::StrJoin(answer_(node, asked), "");
    if (replies.empty()) return;
    scheduler_->After(1, Actor::kClient, [caller = caller, connection, replies] {
      caller->OnBytes(connection, replies);
    });
  }
  void Close(replica::ClientId /*connection*/) override {}

  std::vector<raft::NodeId> Asked() const {
    std::vector<raft::NodeId> nodes;
    for (const auto& [caller, node] : connections_) nodes.push_back(node);
    return nodes;
  }

 private:
  Scheduler* scheduler_;
  Answer answer_;
  std::vector<std::pair<Caller*, raft::NodeId>> connections_;
};

// One client that asks what its script says.
class Script {
 public:
  Script(ClientSettings settings, std::vector<std::vector<std::string>> operations,
         std::vector<raft::NodeId> nodes, uint64_t seed, Nodes::Answer answer)
      : nodes_(&scheduler_, std::move(answer)) {
    settings.script = {AskedGroup{Cue{}, std::move(operations)}};
    Client client(settings,
                  {&scheduler_, &decisions_, &trace_, &judge_, &nodes_, &workload_, &recorder_,
                   [&nodes] { return nodes; }},
                  Random(seed));
    client.Start();
    while (scheduler_.RunOne(60 * kSecond)) {
    }
    EXPECT_FALSE(judge_.failed());
  }
  const std::vector<Operation>& operations() const { return recorder_.history().operations; }
  const Nodes& nodes() const { return nodes_; }

 private:
  Scheduler scheduler_;
  Decisions decisions_;
  Trace trace_{&scheduler_};
  Judge judge_{&scheduler_};
  Workload workload_{{}, Random(1)};
  Recorder recorder_{&scheduler_};
  Nodes nodes_;
};

// A connection to a node that knows no leader, and never will, is no reason to wait for ever.
TEST(ClientTest, WhoIsRefusedAsksEveryNode) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    uint64_t asked = 0;
    const Script run({}, {{"GET", "a"}}, {1, 2, 3, 4}, seed, [&](raft::NodeId node, const auto&) {
      ++asked;
      return node == 3 ? Replies{"$-1\r\n"} : Replies{"-NOTAPPLIED no leader in time\r\n"};
    });
    ASSERT_EQ(run.operations().size(), 1u);
    ASSERT_EQ(run.operations()[0].outcome, Outcome::kOk) << "seed " << seed;
    ASSERT_LE(asked, 8u) << "seed " << seed << ": nodes "
                         << absl::StrJoin(run.nodes().Asked(), " ");
  }
}

// Two writes at once, in a session that has ended when the first one gets there. The second one may
// have overtaken it: that depends on its own answer.
class LostSessionTest : public ::testing::Test {
 protected:
  Script Ask(const std::string& second_answer) {
    ClientSettings settings;
    settings.in_session = true;
    settings.ask_twice_per_mille = 0;
    return Script(settings, {{"SET", "a", "1"}, {"SET", "b", "2"}}, {1}, 1,
                  [this, second_answer](raft::NodeId, const std::vector<std::string>& asked) {
                    if (asked[0] == "KV.SESSION OPEN") {
                      ++sessions_;
                      return Replies{absl::StrCat(":", sessions_, "\r\n")};
                    }
                    writes_.insert(writes_.end(), asked.begin(), asked.end());
                    if (sessions_ > 1) {
                      // In a session that goes on, what nobody knows is asked again.
                      Replies replies(asked.size(), "+OK\r\n");
                      if (replies.size() == 2) replies[1] = "-UNKNOWN no answer of the leader\r\n";
                      return replies;
                    }
                    return Replies{"-SESSIONUNKNOWN it has ended\r\n", second_answer};
                  });
  }
  uint64_t sessions_ = 0;
  std::vector<std::string> writes_;
};

TEST_F(LostSessionTest, WhatWasRefusedIsAskedInTheNextOne) {
  const Script run = Ask("-NOTAPPLIED no leader in time\r\n");
  EXPECT_EQ(writes_,
            (std::vector<std::string>{"KV.SESSION RUN 1 1 SET a 1", "KV.SESSION RUN 1 2 SET b 2",
                                      "KV.SESSION RUN 2 1 SET a 1", "KV.SESSION RUN 2 2 SET b 2",
                                      "KV.SESSION RUN 2 2 SET b 2"}));
  ASSERT_EQ(run.operations().size(), 2u);
  EXPECT_EQ(run.operations()[0].outcome, Outcome::kOk);
  EXPECT_EQ(run.operations()[1].outcome, Outcome::kOk);
}

TEST_F(LostSessionTest, WhatMayHaveHappenedIsNotAskedAgain) {
  const Script run = Ask("-UNKNOWN no answer of the leader\r\n");
  EXPECT_EQ(writes_,
            (std::vector<std::string>{"KV.SESSION RUN 1 1 SET a 1", "KV.SESSION RUN 1 2 SET b 2",
                                      "KV.SESSION RUN 2 1 SET a 1"}));
  ASSERT_EQ(run.operations().size(), 2u);
  EXPECT_EQ(run.operations()[0].outcome, Outcome::kOk);
  EXPECT_EQ(run.operations()[1].outcome, Outcome::kUnknown);
}

}  // namespace
}  // namespace raftkv::sim
