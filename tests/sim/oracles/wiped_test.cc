// What the oracles say of a node that was wiped, and of whoever runs under its id: told by hand, so
// that it can be what no node does.
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "core/replica/replica.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/oracles/omniscience.h"

namespace raftkv::sim {
namespace {

using ::testing::HasSubstr;

constexpr raft::NodeId kLost = 3;
constexpr uint64_t kOld = 1;
constexpr uint64_t kNew = 2;

class WipedTest : public ::testing::Test {
 protected:
  WipedTest() {
    founding_.index = founding_.term = 1;
    founding_.conf.voters = {1, 2, kLost};
    omniscience_.emplace(&judge_, &trace_, founding_, [](const kv::Store&) { return ""; });
  }

  // With nothing, or as a founder.
  std::unique_ptr<replica::Replica> Make(raft::NodeId node, uint64_t incarnation, bool founder) {
    replica::Options options;
    options.cluster = {1, 2};
    options.incarnation = incarnation;
    options.raft.id = node;
    replica::Boot boot;
    boot.seed = node;
    if (founder) {
      replica::Members members;
      for (const raft::NodeId id : founding_.conf.voters) members.Set(id, {kOld, "peer", "client"});
      state_ = replica::Replica::FoundingState(members, options.store);
      boot.recovered.snapshot = founding_;
      boot.recovered.hard_state.term = 1;
      boot.snapshot_size = state_.size();
      boot.read_snapshot = [this](uint64_t offset, uint64_t length) -> absl::StatusOr<std::string> {
        return state_.substr(offset, length);
      };
    }
    recovered_ = boot.recovered;
    auto created = replica::Replica::Create(options, std::move(boot));
    EXPECT_TRUE(created.ok()) << created.status();
    return *std::move(created);
  }
  // Node 3 is wiped, initialised again, and up.
  std::unique_ptr<replica::Replica> Reborn(bool alone = true) {
    omniscience_->DiskWiped(kLost);
    omniscience_->Initialised(kLost, kNew, alone);
    auto replica = Make(kLost, kNew, !alone);
    omniscience_->Recovered(*replica, recovered_);
    (void)replica->TakeWork();
    return replica;
  }
  // Node 1, which knows the node that was, while its second life goes on.
  std::unique_ptr<replica::Replica> OldMember() {
    auto member = Make(1, kOld, true);
    omniscience_->Recovered(*member, recovered_);
    (void)member->TakeWork();
    (void)Reborn(/*alone=*/false);
    return member;
  }
  static std::string Heartbeat(raft::NodeId from, uint64_t from_incarnation, raft::NodeId to,
                               uint64_t to_incarnation) {
    const wire::PeerMessage message{{0, from, from_incarnation, to, to_incarnation},
                                    raft::Message{from, to, 5, raft::Heartbeat{}}};
    return std::string(wire::PeerEncoder().Encode(message).substr(wire::kFrameHeaderSize));
  }
  // A turn in which it is given that, and does `work` about it, or what it really does.
  void Turn(replica::Replica& replica, const std::string& body,
            std::optional<replica::Work> work = std::nullopt, bool connected = false) {
    omniscience_->BeforeTurn(replica);
    wire::PeerMessage message;
    const absl::Status decoded = wire::DecodePeer(body, &message);
    omniscience_->Hears(replica, decoded.ok() ? &message : nullptr, connected);
    if (!work.has_value()) {
      replica.ReceivePeer(decoded, message);
      work = replica.TakeWork();
    }
    omniscience_->AfterTurn(replica, *work);
  }
  static replica::Work Refusal(raft::NodeId from) {
    replica::Work work;
    work.events.push_back(replica::PeerRefused{from, "for somebody else"});
    return work;
  }
  void ExpectViolation(Oracle oracle, const std::string& text) {
    ASSERT_TRUE(judge_.failed());
    EXPECT_EQ(judge_.violation()->oracle, oracle) << judge_.violation()->text;
    EXPECT_THAT(judge_.violation()->text, HasSubstr(text));
  }
  void ExpectNothing() { EXPECT_FALSE(judge_.failed()) << judge_.violation()->text; }
  uint64_t Seen(RareState state) {
    return omniscience_->counters().rare[static_cast<size_t>(state)];
  }

  Scheduler scheduler_;
  Judge judge_{&scheduler_};
  Trace trace_{&scheduler_, nullptr};
  raft::SnapshotMeta founding_;
  raft::Recovered recovered_;
  std::string state_;
  std::optional<Omniscience> omniscience_;
};

TEST_F(WipedTest, WithNothingItMustNotStart) {
  omniscience_->DiskWiped(kLost);
  omniscience_->RecoveryRefused(kLost, absl::NotFoundError("empty"));
  ExpectNothing();
  EXPECT_EQ(Seen(RareState::kWiped), 1u);
  const auto replica = Make(kLost, kOld, false);
  omniscience_->Recovered(*replica, recovered_);
  ExpectViolation(Oracle::kRecovery, "node 3 has lost its data directory and starts");
}

TEST_F(WipedTest, WhoHasADirectoryAgainMustStart) {
  omniscience_->DiskWiped(kLost);
  omniscience_->Initialised(kLost, kNew, /*alone=*/true);
  omniscience_->RecoveryRefused(kLost, absl::NotFoundError("empty"));
  ExpectViolation(Oracle::kRecovery, "node 3 does not start again");
}

TEST_F(WipedTest, WhatWasNotWipedIsNoSecondLife) {
  omniscience_->DiskWiped(kLost);
  omniscience_->RecoveryRefused(2, absl::NotFoundError("empty"));
  ExpectViolation(Oracle::kRecovery, "node 2 does not start again");
}

TEST_F(WipedTest, ADirectoryWithSomethingInItIsNotInitialised) {
  omniscience_->InitialisedOver(kLost, true, absl::AlreadyExistsError("in use"));
  omniscience_->InitialisedOver(kLost, false, absl::FailedPreconditionError("a log"));
  ExpectNothing();
  omniscience_->InitialisedOver(kLost, true, absl::OkStatus());
  ExpectViolation(Oracle::kRecovery, "initialised over what is in it");
}

TEST_F(WipedTest, WhyItIsNotInitialisedIsSaid) {
  omniscience_->InitialisedOver(kLost, true, absl::FailedPreconditionError("a log"));
  ExpectViolation(Oracle::kRecovery, "for the wrong reason");
}

TEST_F(WipedTest, ItRefusesWhatIsMeantForTheNodeItWas) {
  const auto replica = Reborn();
  Turn(*replica, Heartbeat(1, kOld, kLost, kOld));
  ExpectNothing();
  EXPECT_EQ(Seen(RareState::kHeardForOld), 1u);
  Turn(*replica, Heartbeat(1, kOld, kLost, kOld), replica::Work());
  ExpectViolation(Oracle::kAddressing, "takes what node 1 sends incarnation 1");
}

TEST_F(WipedTest, NoConnectionBringsItWhatIsMeantForTheNodeItWas) {
  const auto replica = Reborn();
  Turn(*replica, Heartbeat(1, kOld, kLost, kOld), Refusal(1), /*connected=*/true);
  ExpectViolation(Oracle::kAddressing, "nodes 1 and 3 have a connection");
}

TEST_F(WipedTest, NoConnectionBringsAMemberWhatItSays) {
  const auto member = OldMember();
  Turn(*member, Heartbeat(kLost, kNew, 1, kOld), Refusal(kLost), /*connected=*/true);
  ExpectViolation(Oracle::kAddressing, "nodes 3 and 1 have a connection");
}

TEST_F(WipedTest, ARefusalIsAllThereIs) {
  const auto replica = Reborn();
  replica::Work work = Refusal(1);
  const wire::PeerMessage answer{{0, kLost, kNew, 1, 0},
                                 raft::Message{kLost, 1, 5, raft::HeartbeatResponse{}}};
  work.frames.push_back({1, std::string(wire::PeerEncoder().Encode(answer))});
  Turn(*replica, Heartbeat(1, kOld, kLost, kOld), std::move(work));
  ExpectViolation(Oracle::kAddressing, "knows nobody and sends node 1 something");
}

TEST_F(WipedTest, ItDoesNotSpeakForTheNodeItWas) {
  const auto replica = Reborn(/*alone=*/false);
  replica::Work work;
  const wire::PeerMessage answer{{0, kLost, kOld, 1, kOld},
                                 raft::Message{kLost, 1, 5, raft::HeartbeatResponse{}}};
  work.frames.push_back({1, std::string(wire::PeerEncoder().Encode(answer))});
  omniscience_->BeforeTurn(*replica);
  omniscience_->AfterTurn(*replica, work);
  ExpectViolation(Oracle::kAddressing, "speaks for incarnation 1");
}

// It is given a message that nobody has sent it: whatever changes it must have been something else.
TEST_F(WipedTest, ItsTermIsNotChangedByNobody) {
  const auto replica = Reborn();
  omniscience_->BeforeTurn(*replica);
  replica->ReceivePeer(Heartbeat(1, kOld, kLost, kNew));
  replica::Work work = replica->TakeWork();
  ASSERT_EQ(replica->raft().term(), 5u);
  work.frames.clear();
  omniscience_->AfterTurn(*replica, work);
  ExpectViolation(Oracle::kAddressing, "goes from term 0");
}

TEST_F(WipedTest, ItDoesNotLead) {
  const auto replica = Reborn(/*alone=*/false);
  const auto hears = [&](raft::NodeId from, raft::Term term, raft::MessageBody body) {
    const wire::PeerMessage message{{0, from, kOld, kLost, kNew},
                                    raft::Message{from, kLost, term, std::move(body)}};
    replica->ReceivePeer(wire::PeerEncoder().Encode(message).substr(wire::kFrameHeaderSize));
  };
  hears(1, 1, raft::TimeoutNow{});
  hears(1, 2, raft::VoteResponse{});
  hears(2, 2, raft::VoteResponse{});
  ASSERT_TRUE(replica->raft().is_leader());
  omniscience_->BeforeTurn(*replica);
  omniscience_->AfterTurn(*replica, replica::Work());
  ExpectViolation(Oracle::kAddressing, "leads term 2");
}

// Whoever does not know it cannot say for which incarnation its answer is.
TEST_F(WipedTest, WhoDoesNotKnowItMayTalkToIt) {
  const auto replica = Reborn();
  Turn(*replica, Heartbeat(7, kOld, kLost, 0));
  EXPECT_EQ(replica->raft().term(), 5u);
  ExpectNothing();
}

TEST_F(WipedTest, ItFindsWhatItWasMadeWith) {
  const auto replica = Reborn();
  raft::Recovered more = recovered_;
  more.hard_state = {4, 1};
  omniscience_->Recovered(*replica, more);
  ExpectViolation(Oracle::kRecovery, "finds what it never had");
}

TEST_F(WipedTest, AMemberMustNotListenToIt) {
  const auto member = OldMember();
  Turn(*member, Heartbeat(kLost, kNew, 1, kOld));
  ExpectNothing();
  Turn(*member, Heartbeat(kLost, kNew, 1, kOld), replica::Work());
  ExpectViolation(Oracle::kAddressing, "node 1 listens to incarnation 2 of node 3");
}

// A refusal for any other reason is none that a member may give.
TEST_F(WipedTest, WhatItSaidBeforeIsNotRefused) {
  const auto member = Make(1, kOld, true);
  omniscience_->Recovered(*member, recovered_);
  (void)member->TakeWork();
  (void)Reborn();
  Turn(*member, Heartbeat(kLost, kOld, 1, kOld), Refusal(kLost));
  ExpectViolation(Oracle::kAddressing, "node 1 refuses a message of node 3");
}

TEST_F(WipedTest, EachMessageSaysForWhichIncarnationItIs) {
  const auto member = Make(1, kOld, true);
  omniscience_->Recovered(*member, recovered_);
  (void)member->TakeWork();
  const auto send = [&](uint64_t from_incarnation, uint64_t to_incarnation) {
    replica::Work work;
    const wire::PeerMessage message{{0, 1, from_incarnation, 2, to_incarnation},
                                    wire::EntryQuery{1, {{1, 1, 0, 0}}}};
    work.frames.push_back({2, std::string(wire::PeerEncoder().Encode(message))});
    omniscience_->BeforeTurn(*member);
    omniscience_->AfterTurn(*member, work);
  };
  send(kOld, kOld);
  ExpectNothing();
  send(kOld, 0);
  ExpectViolation(Oracle::kAddressing, "something for its incarnation 0, which is 1");
}

}  // namespace
}  // namespace raftkv::sim
