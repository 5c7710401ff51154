#include "sim/node/process.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/replica/members.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Silence final : public Outlet {
 public:
  void SendFrame(raft::NodeId, raft::NodeId, std::string) override {}
  void SendToClient(replica::ClientId, std::string) override {}
  void CloseClient(replica::ClientId) override {}
  void PauseClient(replica::ClientId, bool) override {}
  void Exited(raft::NodeId, const absl::Status&) override {}
  void Reopened(raft::NodeId) override {}
};

class Observer final : public Witness {
 public:
  void Damaged(const replica::Replica&) override {}
  void Recovered(const replica::Replica&, const raft::Recovered&) override {}
  void RecoveryRefused(raft::NodeId, const absl::Status& reason) override {
    ADD_FAILURE() << reason;
  }
  void FoundDamage(raft::NodeId, absl::string_view text) override { found.emplace_back(text); }
  void Ended(raft::NodeId, const absl::Status& reason, bool) override { ADD_FAILURE() << reason; }
  void BeforeTurn(const replica::Replica&) override { ++turns; }
  void AnotherInput(const replica::Replica&) override { ++more_inputs; }
  void AfterTurn(const replica::Replica&, const replica::Work&) override {}
  void JobDone(raft::NodeId, const replica::Job&, const replica::JobResult&) override {}

  bool LooksAhead(raft::NodeId) const override { return curious; }
  void Foresees(raft::NodeId, absl::string_view wrong, const raft::Recovered&) override {
    ++foreseen;
    if (!wrong.empty()) foreseen_wrong = std::string(wrong);
  }

  std::vector<std::string> found;
  uint64_t turns = 0;
  uint64_t more_inputs = 0;  // than one a turn
  bool curious = true;
  uint64_t foreseen = 0;
  std::string foreseen_wrong;
};

ProcessSettings Settings() {
  ProcessSettings settings;
  settings.identity = {{1, 2}, 1, 1, 0, 0};
  settings.replica.cluster = {1, 2};
  settings.replica.incarnation = 1;
  settings.replica.raft.id = 1;
  settings.storage.segment_bytes = 16 * 1024;
  settings.disk_delay = {Delay::Shape::kUniform, kMillisecond, 0};
  return settings;
}

storage::Founding Alone() {
  replica::Members members;
  members.Set(1, {1, "node-1:7401", "node-1:7400"});
  raft::SnapshotMeta meta{1, 1, {}};
  meta.conf.voters = {1};
  return {meta, replica::Replica::FoundingState(members, {})};
}

// A cluster of one node, which leads and has written something.
class ProcessTest : public ::testing::Test {
 protected:
  ProcessTest() {
    EXPECT_TRUE(process_.Initialise(Alone()).ok());
    Start();
    RunFor(2 * kSecond);
    EXPECT_TRUE(process_.replica()->raft().is_leader());
  }

  void Start() { ASSERT_TRUE(process_.Start(/*die_in_recovery=*/false)); }
  void RunFor(Time time) {
    const Time end = scheduler_.now() + time;
    while (scheduler_.RunOne(end)) {
    }
  }

  Scheduler scheduler_;
  Decisions decisions_;
  Trace trace_{&scheduler_};
  Silence outlet_;
  Observer observer_;
  Process process_{Settings(), &scheduler_, &decisions_, &trace_, &outlet_, &observer_, Random(1)};
};

TEST_F(ProcessTest, ADiskThatOnlyLosesPowerGivesBackWhatWasWritten) {
  for (const auto death : {Process::Death::kPowerLoss, Process::Death::kKilled}) {
    ASSERT_FALSE(process_.disk_thread().busy());
    process_.Die(death);
    Start();
    RunFor(2 * kSecond);
  }
  EXPECT_THAT(observer_.found, IsEmpty());
}

// As a node would that had not synced it.
TEST_F(ProcessTest, ACopyThatIsNotThereIsMissedIfNothingWasBeingWritten) {
  process_.Die(Process::Death::kKilled);
  ASSERT_TRUE(process_.disk().Corrupt("vote", 20, 1));
  Start();
  EXPECT_THAT(observer_.found, ElementsAre(HasSubstr("vote")));
}

TEST_F(ProcessTest, ACopyMayBeMissingIfSomethingWasBeingWritten) {
  const replica::ClientId client = 1;
  process_.ClientOpened(client);
  process_.ClientBytes(client, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n");
  ASSERT_TRUE(process_.disk_thread().busy());
  process_.Die(Process::Death::kPowerLoss);
  ASSERT_TRUE(process_.disk().Corrupt("vote", 20, 1));
  Start();
  EXPECT_THAT(observer_.found, IsEmpty());
}

class BusyProcessTest : public ProcessTest {
 protected:
  static ProcessSettings Slow() {
    ProcessSettings settings = Settings();
    settings.turn = kMillisecond;
    settings.replica.tick_us = kSecond;  // nothing else happens
    settings.disk_delay = {Delay::Shape::kUniform, 20 * kMillisecond, 0};
    return settings;
  }
  void SetUp() override {
    ASSERT_TRUE(busy_.Initialise(Alone()).ok());
    ASSERT_TRUE(busy_.Start(/*die_in_recovery=*/false));
    RunFor(60 * kSecond);
    ASSERT_TRUE(busy_.replica()->raft().is_leader());
    busy_.ClientOpened(1);
    RunFor(2 * kMillisecond);
    observer_.turns = observer_.more_inputs = 0;
    last_ = busy_.replica()->raft().log().last();
  }
  void Write() { busy_.ClientBytes(1, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"); }
  raft::Index Written() const { return busy_.replica()->raft().log().last() - last_; }

  Process busy_{Slow(), &scheduler_, &decisions_, &trace_, &outlet_, &observer_, Random(2)};
  raft::Index last_ = 0;
};

TEST_F(BusyProcessTest, WhatComesDuringATurnHasTheNextOneTogether) {
  Write();
  EXPECT_EQ(Written(), 1u) << "it was idle";
  for (int i = 0; i < 3; ++i) Write();
  EXPECT_EQ(Written(), 1u);
  EXPECT_EQ(observer_.turns, 1u);
  RunFor(kMillisecond);
  EXPECT_EQ(Written(), 4u);
  EXPECT_EQ(observer_.turns, 2u);
  EXPECT_EQ(observer_.more_inputs, 2u);
  Write();
  EXPECT_EQ(Written(), 4u) << "busy again";
  RunFor(kMillisecond);
  EXPECT_EQ(Written(), 5u);
}

TEST_F(BusyProcessTest, WhatCameDuringAPauseHasOneTurn) {
  busy_.Pause();
  for (int i = 0; i < 3; ++i) Write();
  busy_.Resume();
  EXPECT_EQ(Written(), 3u);
  EXPECT_EQ(observer_.turns, 1u);
}

TEST_F(BusyProcessTest, APauseGoesOnAfterTheTurn) {
  Write();
  Write();
  busy_.Pause();
  RunFor(5 * kMillisecond);
  EXPECT_EQ(Written(), 1u);
  busy_.Resume();
  EXPECT_EQ(Written(), 2u);
}

TEST_F(BusyProcessTest, WhatADeadNodeHasNotHeardIsLost) {
  Write();
  Write();
  busy_.Die(Process::Death::kKilled);
  ASSERT_TRUE(busy_.Start(/*die_in_recovery=*/false));
  RunFor(60 * kSecond);
  ASSERT_TRUE(busy_.replica()->raft().is_leader()) << "its turns go on";
  busy_.ClientOpened(1);
  RunFor(2 * kMillisecond);
  last_ = busy_.replica()->raft().log().last();
  Write();
  Write();
  RunFor(5 * kMillisecond);
  EXPECT_EQ(Written(), 2u);
}

// Wherever the power fails while a directory is made, it is made in the end.
TEST(ProcessInitTest, ADirectoryIsMadeInTheEnd) {
  uint64_t made_at_once = 0;
  for (uint64_t run = 0; run < 60 * 8; ++run) {
    const uint64_t operations = run / 8 + 1, luck = run % 8;  // 0: nothing is kept
    Scheduler scheduler;
    Decisions decisions =
        Decisions::Given({{"node 1 is initialised #1: behind operations", operations},
                          {"node 1 is initialised #1: luck", luck}});
    Trace trace(&scheduler);
    Silence outlet;
    Observer observer;
    Process process(Settings(), &scheduler, &decisions, &trace, &outlet, &observer, Random(1));
    EXPECT_TRUE(process.Initialise(Alone()).ok()) << operations;
    EXPECT_EQ(process.disk().counters().crashes, 1u);
    if (process.disk().counters().operations <= operations) ++made_at_once;
    EXPECT_TRUE(process.Start(/*die_in_recovery=*/false)) << operations;
    EXPECT_THAT(observer.found, IsEmpty()) << operations;
  }
  EXPECT_GT(made_at_once, 0u) << "the power never fails behind the last operation";
}

// A client that writes so much that segments follow each other.
class LookingAheadTest : public ProcessTest {
 protected:
  void WriteMuch() {
    const replica::ClientId client = 1;
    process_.ClientOpened(client);
    const std::string value(1'000, 'v');
    for (int i = 0; i < 300; ++i) {
      process_.ClientBytes(client,
                           absl::StrCat("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\n", value, "\r\n"));
      RunFor(20 * kMillisecond);
    }
  }
};

TEST_F(LookingAheadTest, PowerLossesAreForeseen) {
  WriteMuch();
  EXPECT_GT(observer_.foreseen, 0u);
  EXPECT_EQ(observer_.foreseen_wrong, "");
  EXPECT_EQ(process_.disk().counters().crashes, 0u);
}

TEST_F(LookingAheadTest, NobodyWantsToKnow) {
  observer_.curious = false;
  WriteMuch();
  EXPECT_EQ(observer_.foreseen, 0u);
}

// What becomes of it when the power fails is not about the power alone.
TEST_F(LookingAheadTest, OfADamagedDiskNothingIsForeseen) {
  process_.Die(Process::Death::kKilled);
  ASSERT_TRUE(process_.disk().Inject(Zeros{{"vote", 0, 512}}));
  observer_.foreseen = 0;
  Start();
  RunFor(2 * kSecond);
  WriteMuch();
  EXPECT_EQ(observer_.foreseen, 0u);
}

TEST_F(ProcessTest, WhatWasDoneToADiskIsNoSurprise) {
  process_.Die(Process::Death::kKilled);
  ASSERT_TRUE(process_.disk().Inject(Zeros{{"vote", 0, 512}}));
  EXPECT_FALSE(process_.disk().HasOnlyLostPower());
  Start();
  EXPECT_THAT(observer_.found, IsEmpty());
}

}  // namespace
}  // namespace raftkv::sim
