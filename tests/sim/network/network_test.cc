#include "sim/network/network.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sim/network/delay.h"

namespace raftkv::sim {
namespace {

class NetworkTest : public ::testing::Test {
 protected:
  void Make(const NetworkOptions& options) {
    network_.emplace(
        &scheduler_, &decisions_, options, Random(7),
        [](raft::NodeId from, raft::NodeId to, const std::string& frame) {
          return absl::StrCat(frame, " ", from, ">", to);
        },
        [this](raft::NodeId from, raft::NodeId to, const std::string& frame) {
          arrived_.push_back(absl::StrCat(from, ">", to, ":", frame));
          times_.push_back(scheduler_.now());
        },
        [this](raft::NodeId from, raft::NodeId to) {
          noticed_.push_back(absl::StrCat(from, ">", to));
        });
  }
  void Run(Time until) {
    while (scheduler_.RunOne(until)) {
    }
  }
  static NetworkOptions Plain() {
    NetworkOptions options;
    options.delay = {Delay::Shape::kUniform, 100, 900, 0, 0};
    return options;
  }

  Scheduler scheduler_;
  Decisions decisions_;
  std::optional<Network> network_;
  std::vector<std::string> arrived_;
  std::vector<Time> times_;
  std::vector<std::string> noticed_;
};

TEST_F(NetworkTest, DeliversOnceWithinTheDelay) {
  Make(Plain());
  for (int i = 0; i < 100; ++i) network_->Send(1, 2, absl::StrCat(i));
  Run(10'000);
  EXPECT_EQ(arrived_.size(), 100u);
  EXPECT_GE(*std::min_element(times_.begin(), times_.end()), 100u);
  EXPECT_LE(*std::max_element(times_.begin(), times_.end()), 1'000u);
  // And some overtake others.
  EXPECT_FALSE(std::is_sorted(arrived_.begin(), arrived_.end(),
                              [](const std::string& a, const std::string& b) {
                                return std::stoi(a.substr(4)) < std::stoi(b.substr(4));
                              }));
}

TEST_F(NetworkTest, InOrderNothingOvertakesAndNothingIsLost) {
  NetworkOptions options = Plain();
  options.in_order = true;
  options.loss_per_mille = options.duplicate_per_mille = 500;
  Make(options);
  for (int i = 0; i < 100; ++i) network_->Send(1, 2, absl::StrCat(i));
  Run(10'000);
  ASSERT_EQ(arrived_.size(), 100u);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(arrived_[static_cast<size_t>(i)], absl::StrCat("1>2:", i));
  }
}

TEST_F(NetworkTest, LosesAndDoubles) {
  NetworkOptions options = Plain();
  options.loss_per_mille = 200;
  Make(options);
  for (int i = 0; i < 1'000; ++i) network_->Send(1, 2, "x");
  Run(10'000);
  EXPECT_EQ(arrived_.size() + network_->counters().lost, 1'000u);
  EXPECT_NEAR(static_cast<double>(network_->counters().lost), 200, 60);

  arrived_.clear();
  options.loss_per_mille = 0;
  options.duplicate_per_mille = 200;
  network_->set_options(options);
  for (int i = 0; i < 1'000; ++i) network_->Send(1, 2, "x");
  Run(20'000);
  EXPECT_EQ(arrived_.size(), 1'000u + network_->counters().doubled);
  EXPECT_NEAR(static_cast<double>(network_->counters().doubled), 200, 60);
}

TEST_F(NetworkTest, ACutStopsWhatIsSentAndWhatIsUnderWayInOneDirection) {
  Make(Plain());
  network_->Send(1, 2, "under way");
  network_->Cut(1, 2);
  network_->Send(1, 2, "sent into the cut");
  network_->Send(2, 1, "the other way");
  Run(5'000);
  EXPECT_EQ(arrived_, std::vector<std::string>{"2>1:the other way"});
  EXPECT_EQ(network_->counters().cut, 2u);
}

TEST_F(NetworkTest, ALinkThatWasCutTwiceNeedsTwoMends) {
  Make(Plain());
  network_->Cut(1, 2);
  network_->Cut(1, 2);
  network_->Mend(1, 2);
  network_->Send(1, 2, "still cut");
  Run(5'000);
  EXPECT_TRUE(arrived_.empty());
  network_->Mend(1, 2);
  network_->Send(1, 2, "whole");
  Run(10'000);
  EXPECT_EQ(arrived_, std::vector<std::string>{"1>2:whole"});
}

TEST_F(NetworkTest, AClogHoldsEverythingBackUntilItIsGone) {
  Make(Plain());
  network_->Clog(1, 2);
  network_->Send(1, 2, "a");
  Run(50'000);
  EXPECT_TRUE(arrived_.empty());
  network_->Unclog(1, 2);
  Run(50'001);
  EXPECT_EQ(arrived_, std::vector<std::string>{"1>2:a"});
  EXPECT_EQ(network_->counters().clogged, 1u);
}

TEST_F(NetworkTest, ARestartedNodeGetsNothingFromItsEarlierConnections) {
  Make(Plain());
  network_->Send(1, 2, "to its earlier life");
  network_->Clog(3, 2);
  network_->Send(3, 2, "held back for its earlier life");
  Run(2'000);
  arrived_.clear();
  network_->Send(1, 2, "lost");
  network_->Send(2, 1, "its last words");
  network_->Reset(2);
  network_->Unclog(3, 2);
  network_->Send(1, 2, "to its new life");
  Run(10'000);
  std::sort(arrived_.begin(), arrived_.end());
  EXPECT_EQ(arrived_, (std::vector<std::string>{"1>2:to its new life", "2>1:its last words"}));
}

TEST_F(NetworkTest, TellsTheSenderOfALossIfItIsTo) {
  NetworkOptions options = Plain();
  options.loss_noticed_per_mille = 1'000;
  Make(options);
  network_->Cut(1, 2);
  network_->Send(1, 2, "x");
  Run(5'000);
  EXPECT_EQ(noticed_, std::vector<std::string>{"1>2"});
}

TEST_F(NetworkTest, ACutDoesNotShiftTheLuckOfOtherFrames) {
  NetworkOptions options = Plain();
  options.loss_per_mille = 300;
  std::vector<std::string> without, with;
  for (std::vector<std::string>* result : {&without, &with}) {
    arrived_.clear();
    // Delays differ, because what is cut draws none; who is lost must not.
    options.delay = {Delay::Shape::kUniform, 100, 0, 0, 0};
    Make(options);
    if (result == &with) network_->Cut(1, 3);
    for (int i = 0; i < 50; ++i) {
      network_->Send(1, 3, "y");
      network_->Send(1, 2, absl::StrCat(i));
    }
    Run(scheduler_.now() + 10'000);
    for (const std::string& frame : arrived_) {
      if (frame.substr(0, 3) == "1>2") result->push_back(frame);
    }
  }
  EXPECT_EQ(without.size(), with.size());
}

TEST_F(NetworkTest, ATapTakesFramesOffTheWireAndPutsOthersOn) {
  Make(Plain());
  const uint64_t tap =
      network_->AddTap([this](raft::NodeId from, raft::NodeId to, const std::string& frame) {
        if (frame == "again") network_->Inject(from, to, "once more", 5'000);
        if (frame == "elsewhere") network_->Inject(from, 3, frame, 1);
        return frame == "taken" || frame == "elsewhere";
      });
  for (const char* frame : {"taken", "again", "elsewhere"}) network_->Send(1, 2, frame);
  Run(4'000);
  EXPECT_EQ(arrived_, (std::vector<std::string>{"1>3:elsewhere", "1>2:again"}));
  Run(6'000);
  EXPECT_EQ(arrived_.back(), "1>2:once more");
  EXPECT_EQ(network_->counters().tapped, 2u);
  EXPECT_TRUE(noticed_.empty());
  network_->RemoveTap(tap);
  network_->Send(1, 2, "taken");
  Run(10'000);
  EXPECT_EQ(arrived_.back(), "1>2:taken");
}

TEST_F(NetworkTest, WhatIsInjectedMeetsCutsAndDeaths) {
  Make(Plain());
  network_->Inject(1, 2, "cut", 100);
  network_->Cut(1, 2);
  Run(200);
  network_->Mend(1, 2);
  network_->Inject(1, 2, "to a dead one", 100);
  network_->Reset(2);
  Run(10'000);
  EXPECT_TRUE(arrived_.empty());
}

TEST_F(NetworkTest, WhatIsDecidedHappens) {
  decisions_ = Decisions::Given({{"b 1>2 #1: lost", 1},
                                 {"c 1>2 #1: takes", 7'000},
                                 {"d 1>2 #1: doubled", 1},
                                 {"d 1>2 #1: its double takes", 2'000},
                                 {"b 1>2 #1: missed", 1}});
  NetworkOptions options = Plain();
  options.loss_per_mille = options.duplicate_per_mille = options.loss_noticed_per_mille = 1'000;
  Make(options);
  for (const char* frame : {"a", "b", "c", "d"}) network_->Send(1, 2, frame);
  Run(10'000);
  EXPECT_EQ(arrived_, (std::vector<std::string>{"1>2:a", "1>2:d", "1>2:d", "1>2:c"}));
  EXPECT_EQ(times_, (std::vector<Time>{550, 550, 2'000, 7'000}));
  EXPECT_EQ(noticed_, (std::vector<std::string>{"1>2"}));
}

TEST(DelayTest, AnExponentialHasItsMean) {
  Random random(1);
  uint64_t sum = 0;
  Time most = 0;
  constexpr int kDraws = 100'000;
  for (int i = 0; i < kDraws; ++i) {
    const Time delay = DrawExponential(1'000, random);
    sum += delay;
    most = std::max(most, delay);
  }
  EXPECT_NEAR(static_cast<double>(sum) / kDraws, 1'000, 60);
  EXPECT_GT(most, 5'000u);
  EXPECT_LE(most, 32'000u);
}

TEST(DelayTest, TailsAreRareAndLong) {
  Random random(1);
  const Delay delay = {Delay::Shape::kUniform, 10, 10, 20, 1'000};
  int tails = 0;
  for (int i = 0; i < 10'000; ++i) {
    const Time drawn = Draw(delay, random);
    if (drawn > 20) {
      EXPECT_GE(drawn, 1'000u);
      EXPECT_LE(drawn, 2'000u);
      ++tails;
    } else {
      EXPECT_GE(drawn, 10u);
    }
  }
  EXPECT_NEAR(tails, 200, 60);
}

}  // namespace
}  // namespace raftkv::sim
