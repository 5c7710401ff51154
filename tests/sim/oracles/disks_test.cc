// What the oracles say of a disk: told by hand, so that it can be what none of ours does.
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/replica/replica.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/oracles/omniscience.h"

namespace raftkv::sim {
namespace {

using ::testing::HasSubstr;

constexpr raft::NodeId kNode = 1;

class DisksTest : public ::testing::Test {
 protected:
  DisksTest() {
    founding_.index = founding_.term = 1;
    founding_.conf.voters = {kNode, 2, 3};
    omniscience_.emplace(&judge_, &trace_, founding_, [](const kv::Store&) { return ""; });
    replica::Members members;
    for (const raft::NodeId id : founding_.conf.voters) members.Set(id, {1, "peer", "client"});
    state_ = replica::Replica::FoundingState(members, {});
    recovered_.snapshot = founding_;
    recovered_.hard_state = {4, 2};
    for (raft::Index index = 2; index <= 5; ++index) {
      recovered_.entries.push_back({4, index, {}, raft::EntryType::kCommand});
    }
    Start();
  }

  // With what was recovered.
  void Start() {
    replica::Options options;
    options.cluster = {1, 2};
    options.incarnation = 1;
    options.raft.id = kNode;
    replica::Boot boot;
    boot.recovered = recovered_;
    boot.snapshot_size = state_.size();
    boot.read_snapshot = [this](uint64_t offset, uint64_t length) -> absl::StatusOr<std::string> {
      return state_.substr(offset, length);
    };
    auto created = replica::Replica::Create(options, std::move(boot));
    ASSERT_TRUE(created.ok()) << created.status();
    replica_ = *std::move(created);
    omniscience_->Recovered(*replica_, recovered_);
    (void)replica_->TakeWork();
  }
  // The job is handed out in a turn, and comes back so.
  void Done(replica::JobBody body, absl::Status status = absl::OkStatus()) {
    replica::Job job{1, std::move(body)};
    replica::Work work;
    work.jobs.push_back(job);
    omniscience_->BeforeTurn(*replica_);
    omniscience_->AfterTurn(*replica_, work);
    replica::JobResult result;
    result.status = std::move(status);
    omniscience_->JobDone(kNode, job, result);
  }
  void SwitchTo(raft::Index index) { Done(replica::SwitchSnapshot{{index, 4, founding_.conf}}); }
  void FailToRead(raft::Index index) {
    Done(replica::ReadSnapshot{index, 0, 100}, absl::NotFoundError("gone"));
  }
  void ExpectViolation(Oracle oracle, const std::string& text) {
    ASSERT_TRUE(judge_.failed());
    EXPECT_EQ(judge_.violation()->oracle, oracle) << judge_.violation()->text;
    EXPECT_THAT(judge_.violation()->text, HasSubstr(text));
  }
  void ExpectNothing() { EXPECT_FALSE(judge_.failed()) << judge_.violation()->text; }

  Scheduler scheduler_;
  Judge judge_{&scheduler_};
  Trace trace_{&scheduler_, nullptr};
  raft::SnapshotMeta founding_;
  std::optional<Omniscience> omniscience_;
  std::string state_;
  raft::Recovered recovered_;
  std::unique_ptr<replica::Replica> replica_;
};

TEST_F(DisksTest, WhatAPowerLossWouldLeaveIsWhatIsThere) {
  EXPECT_TRUE(omniscience_->LooksAhead(kNode));
  omniscience_->Foresees(kNode, "", recovered_);
  ExpectNothing();
  // Of the disk that is, nothing is forgotten by that.
  recovered_.entries.pop_back();
  omniscience_->Foresees(kNode, "", recovered_);
  ExpectViolation(Oracle::kRecovery, "if node 1 lost its power at this moment: ");
}

TEST_F(DisksTest, AWriteThatIsUnderWayMayBeThereOrNot) {
  raft::PersistJob job;
  job.hard_state = raft::HardState{5, raft::kNoNode};
  replica::Work work;
  work.jobs.push_back({1, job});
  omniscience_->BeforeTurn(*replica_);
  omniscience_->AfterTurn(*replica_, work);
  omniscience_->Foresees(kNode, "", recovered_);
  raft::Recovered after = recovered_;
  after.hard_state = {5, raft::kNoNode};
  omniscience_->Foresees(kNode, "", after);
  ExpectNothing();
  omniscience_->JobDone(kNode, {1, job}, replica::JobResult());
  omniscience_->Foresees(kNode, "", after);
  ExpectNothing();
  omniscience_->Foresees(kNode, "", recovered_);
  ExpectViolation(Oracle::kRecovery, "term 5 with vote 0 was durable, found is term 4");
}

TEST_F(DisksTest, WhatIsWrongWhateverWasWrittenIsPassedOn) {
  omniscience_->Foresees(kNode, "it does not start again", {});
  ExpectViolation(Oracle::kRecovery,
                  "if node 1 lost its power at this moment: it does not start again");
}

TEST_F(DisksTest, DamageMayTakeNothingWithoutAWord) {
  raft::Recovered less = recovered_;
  less.entries.pop_back();
  less.suspicion = raft::Suspicion{5, 4, {}};
  omniscience_->ForeseesDamage(kNode, "zeros somewhere", less);
  ExpectNothing();
  less.suspicion.reset();
  omniscience_->ForeseesDamage(kNode, "zeros somewhere", less);
  ExpectViolation(Oracle::kRecovery,
                  "if this happened to node 1 at this moment (zeros somewhere): ");
}

TEST_F(DisksTest, NobodyLooksAheadForWhoWasWiped) {
  omniscience_->DiskWiped(kNode);
  EXPECT_FALSE(omniscience_->LooksAhead(kNode));
}

TEST_F(DisksTest, SnapshotsGoForward) {
  SwitchTo(4);
  SwitchTo(5);
  ExpectNothing();
  SwitchTo(4);
  ExpectViolation(Oracle::kSnapshots, "goes back from the snapshot of entry 5 to that of entry 4");
}

TEST_F(DisksTest, ASnapshotCanBeReadUntilThereAreTwoNewerOnes) {
  SwitchTo(3);
  SwitchTo(4);
  FailToRead(1);
  ExpectNothing();
  FailToRead(3);
  ExpectViolation(Oracle::kSnapshots, "cannot read the snapshot of entry 3 any more");
}

TEST_F(DisksTest, SoCanOneThatWasInstalledAndTheOneBefore) {
  raft::PersistJob job;
  job.snapshot = raft::SnapshotMeta{9, 4, founding_.conf};
  job.writes_log = true;
  job.keep_through = 9;
  SwitchTo(3);
  Done(job);
  FailToRead(1);
  ExpectNothing();
  FailToRead(3);
  ExpectViolation(Oracle::kSnapshots, "cannot read the snapshot of entry 3 any more");
}

TEST_F(DisksTest, TheCurrentSnapshotCanBeRead) {
  FailToRead(1);
  ExpectViolation(Oracle::kSnapshots, "cannot read the snapshot of entry 1 any more");
}

// The one before is not known to a new life of the process.
TEST_F(DisksTest, AStartLeavesOneSnapshot) {
  SwitchTo(3);
  omniscience_->Died(kNode, /*lost_power=*/false);
  recovered_.snapshot.index = 3;
  recovered_.snapshot.term = 4;
  recovered_.entries.erase(recovered_.entries.begin(), recovered_.entries.begin() + 2);
  Start();
  FailToRead(1);
  ExpectNothing();
}

TEST_F(DisksTest, OfDamagedSnapshotsNothingIsCertain) {
  SwitchTo(3);
  Done(replica::ReadSnapshot{3, 0, 100}, absl::DataLossError("rot"));
  FailToRead(1);
  FailToRead(3);
  ExpectNothing();
}

}  // namespace
}  // namespace raftkv::sim
