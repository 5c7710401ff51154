// Bytes between two ends arrive in order, whole or up to where the connection broke, and both ends
// hear of its end.
#include "sim/network/streams.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

// Numbers its connections 1, 2, 3, ... and keeps what it hears.
class Ear final : public Streams::Host {
 public:
  void PeerDialed(std::function<void(uint64_t)> accept) override {
    if (asleep_) {
      waiting_.push_back(std::move(accept));
    } else {
      accept(++last_);
    }
  }
  void PeerConnected(uint64_t connection) override { connected_.push_back(connection); }
  void PeerBytes(uint64_t connection, std::string bytes) override {
    heard_[connection] += bytes;
    pieces_.push_back(bytes.size());
  }
  void PeerWritten(uint64_t, size_t bytes) override { written_ += bytes; }
  void PeerClosed(uint64_t connection, absl::string_view why) override {
    closed_[connection] = std::string(why);
  }
  void Wake() {
    asleep_ = false;
    for (auto& accept : std::exchange(waiting_, {})) accept(++last_);
  }

  uint64_t last_ = 100;  // so that the two ends' numbers differ
  bool asleep_ = false;
  std::vector<std::function<void(uint64_t)>> waiting_;
  std::vector<uint64_t> connected_;
  std::map<uint64_t, std::string> heard_;
  std::vector<size_t> pieces_;
  std::map<uint64_t, std::string> closed_;
  size_t written_ = 0;
};

class StreamsTest : public ::testing::Test {
 protected:
  StreamsTest() { Make({}, 0); }
  void Make(const StreamOptions& options, uint32_t loss_per_mille) {
    NetworkOptions network;
    network.delay = {Delay::Shape::kUniform, 100, 900, 0, 0};
    network.loss_per_mille = loss_per_mille;
    network_.emplace(
        &scheduler_, &decisions_, network, Random(7),
        [](raft::NodeId, raft::NodeId, const std::string& frame) { return frame; },
        [](raft::NodeId, raft::NodeId, const std::string&) {}, [](raft::NodeId, raft::NodeId) {});
    streams_.emplace(&scheduler_, &decisions_, &*network_, options, Random(8),
                     [this](raft::NodeId node) -> Streams::Host* {
                       return down_ == node || node > 2 ? nullptr : &ears_[node];
                     });
  }
  void Run(Time span) {
    const Time end = scheduler_.now() + span;
    while (scheduler_.RunOne(end)) {
    }
  }
  // A connection that node 1 has dialed to node 2: 1 there, and as a rule 101 here.
  void Connect(uint64_t number = 1) {
    streams_->Dial(1, number, 2);
    Run(10 * kMillisecond);
  }

  Scheduler scheduler_;
  Decisions decisions_;
  std::optional<Network> network_;
  std::optional<Streams> streams_;
  std::map<raft::NodeId, Ear> ears_;
  raft::NodeId down_ = raft::kNoNode;
  Ear& one_ = ears_[1];
  Ear& two_ = ears_[2];
};

TEST_F(StreamsTest, BringsEverythingInOrderInPiecesOfAnySize) {
  Make({.split_per_mille = 500}, /*loss_per_mille=*/200);
  Connect();
  EXPECT_EQ(one_.connected_, std::vector<uint64_t>{1});
  std::string sent, back;
  for (int i = 0; i < 300; ++i) {
    const std::string bytes = absl::StrCat("frame ", i, ";");
    streams_->Write(1, 1, bytes);
    streams_->Write(2, 101, "ok");
    sent += bytes;
    back += "ok";
    Run(50);
  }
  Run(kSecond);
  EXPECT_EQ(two_.heard_[101], sent);
  EXPECT_EQ(one_.heard_[1], back);
  EXPECT_EQ(one_.written_, sent.size());
  EXPECT_GT(two_.pieces_.size(), 400u) << "half of them are in two pieces";
  EXPECT_TRUE(one_.closed_.empty() && two_.closed_.empty());
}

TEST_F(StreamsTest, BreaksSomewhereAndBothHearOfIt) {
  Make({.break_per_mille = 1'000}, 0);
  size_t cut_short = 0;
  for (uint64_t number = 1; number <= 50; ++number) {
    Connect(number);
    streams_->Write(1, number, "0123456789");
    streams_->Write(1, number, "behind");
    Run(kSecond);
    const std::string& heard = two_.heard_[100 + number];
    EXPECT_TRUE(absl::StartsWith("0123456789", heard)) << heard;
    cut_short += heard.size() < 10;
    EXPECT_EQ(one_.closed_[number], "connection reset");
    EXPECT_EQ(two_.closed_[100 + number], "connection reset");
  }
  EXPECT_GT(cut_short, 30u);
  EXPECT_EQ(streams_->counters().broken, 50u);
}

TEST_F(StreamsTest, ACutLinkBreaksOnlyWhatIsSentOn) {
  Connect(1);
  Connect(2);
  streams_->Write(1, 1, "before");
  Run(10 * kMillisecond);
  network_->Cut(1, 2);
  streams_->Write(1, 1, "lost");
  Run(2 * kMillisecond);
  network_->Mend(1, 2);
  streams_->Write(1, 1, "behind");
  streams_->Write(1, 2, "on another one");
  Run(kSecond);
  EXPECT_EQ(two_.heard_[101], "before");
  EXPECT_EQ(two_.heard_[102], "on another one");
  EXPECT_EQ(one_.closed_, (std::map<uint64_t, std::string>{{1, "connection reset"}}));
  EXPECT_EQ(two_.closed_, (std::map<uint64_t, std::string>{{101, "connection reset"}}));
}

TEST_F(StreamsTest, ACloggedLinkHoldsBackAndKeepsTheOrder) {
  Connect();
  network_->Clog(1, 2);
  std::string sent;
  for (int i = 0; i < 100; ++i) {
    streams_->Write(1, 1, absl::StrCat(i, " "));
    absl::StrAppend(&sent, i, " ");
    Run(20);
  }
  EXPECT_EQ(two_.heard_[101], "");
  network_->Unclog(1, 2);
  for (int i = 100; i < 110; ++i) {
    streams_->Write(1, 1, absl::StrCat(i, " "));
    absl::StrAppend(&sent, i, " ");
  }
  Run(kSecond);
  EXPECT_EQ(two_.heard_[101], sent);
}

// What arrives at the very instant at which a link is whole again is behind what was held back.
TEST_F(StreamsTest, WhatIsLetGoIsNotOvertaken) {
  Connect();
  NetworkOptions network;
  network.delay = {Delay::Shape::kUniform, kMillisecond, 0, 0, 0};
  network_->set_options(network);
  network_->Clog(1, 2);
  streams_->Write(1, 1, "held");
  Run(2 * kMillisecond);
  streams_->Write(1, 1, " behind");
  scheduler_.After(kMillisecond, Actor::kScript, [this] { network_->Unclog(1, 2); });
  Run(kSecond);
  EXPECT_EQ(two_.heard_[101], "held behind");
}

TEST_F(StreamsTest, ClosingIsHeardBehindWhatWasWritten) {
  Connect();
  streams_->Write(1, 1, "last words");
  streams_->Close(1, 1);
  streams_->Write(1, 1, "too late");
  streams_->Write(2, 101, "nobody hears this");
  Run(kSecond);
  EXPECT_EQ(two_.heard_[101], "last words");
  EXPECT_EQ(two_.closed_[101], "closed by the other side");
  EXPECT_TRUE(one_.closed_.empty()) << "it knows";
  EXPECT_TRUE(one_.heard_.empty());
}

TEST_F(StreamsTest, WhoIsNotThereIsNotReached) {
  down_ = 2;
  Connect();
  Run(kSecond);
  EXPECT_EQ(one_.closed_[1], "nobody answers");
  down_ = raft::kNoNode;
  network_->Cut(2, 1);
  Connect(2);
  Run(kSecond);
  EXPECT_EQ(one_.closed_[2], "the answer is lost");
  EXPECT_EQ(two_.closed_[101], "the answer is lost");
  streams_->Dial(1, 3, 9);
  Run(kSecond);
  EXPECT_EQ(one_.closed_[3], "nobody answers");
}

TEST_F(StreamsTest, ADeathIsHeardOfLaterAndWhatCameBeforeArrives) {
  Connect();
  streams_->Write(2, 101, "sent before");
  streams_->NodeDied(2);
  streams_->Write(1, 1, "for whoever lives there now");
  Run(kSecond);
  EXPECT_EQ(one_.heard_[1], "sent before");
  EXPECT_EQ(one_.closed_[1], "connection reset");
  EXPECT_TRUE(two_.heard_.empty());
  EXPECT_TRUE(two_.closed_.empty()) << "that was another life";
}

TEST_F(StreamsTest, WhoSleepsAcceptsLaterAndHearsEverything) {
  two_.asleep_ = true;
  Connect();
  streams_->Write(1, 1, "good ");
  streams_->Write(1, 1, "morning");
  Run(kSecond);
  EXPECT_TRUE(two_.heard_.empty());
  two_.Wake();
  EXPECT_EQ(two_.heard_[101], "good morning");
}

TEST_F(StreamsTest, ANodeThatMovesLosesWhatOthersHaveDialed) {
  Connect();
  streams_->Dial(2, 50, 1);
  Run(10 * kMillisecond);
  streams_->BreakThoseTo(2);
  Run(kSecond);
  EXPECT_EQ(one_.closed_[1], "connection reset");
  EXPECT_EQ(two_.closed_[101], "connection reset");
  EXPECT_FALSE(two_.closed_.contains(50));
}

}  // namespace
}  // namespace raftkv::sim
