#include "core/replica/accepted_forwards.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace raftkv::replica {
namespace {

using Kind = AcceptedForwards::Kind;

constexpr uint64_t kRun = uint64_t{7} << 32;

TEST(AcceptedForwardsTest, ACopyIsKnownWithWhatWasNoted) {
  AcceptedForwards accepted;
  const AcceptedForwards::Verdict first = accepted.Accept(2, kRun + 5, kRun + 5);
  EXPECT_EQ(first.kind, Kind::kNew);
  EXPECT_EQ(*first.note, 0u);
  *first.note = 17;
  const AcceptedForwards::Verdict copy = accepted.Accept(2, kRun + 5, kRun + 5);
  EXPECT_EQ(copy.kind, Kind::kCopy);
  EXPECT_EQ(*copy.note, 17u);
  EXPECT_EQ(accepted.Accept(3, kRun + 5, kRun + 5).kind, Kind::kNew) << "of another node";
  EXPECT_TRUE(accepted.Knows(2, kRun + 5));
  EXPECT_FALSE(accepted.Knows(2, kRun + 6));
  EXPECT_FALSE(accepted.Knows(4, kRun + 5));
}

TEST(AcceptedForwardsTest, RequestsMayOvertakeEachOther) {
  AcceptedForwards accepted;
  EXPECT_EQ(accepted.Accept(2, kRun + 9, kRun + 3).kind, Kind::kNew);
  EXPECT_EQ(accepted.Accept(2, kRun + 3, kRun + 3).kind, Kind::kNew);
  EXPECT_EQ(accepted.Accept(2, kRun + 4, kRun + 3).kind, Kind::kNew);
  EXPECT_EQ(accepted.Accept(2, kRun + 9, kRun + 3).kind, Kind::kCopy);
  EXPECT_EQ(accepted.size(), 3u);
}

TEST(AcceptedForwardsTest, WhatNobodyWaitsForIsNotRememberedAndNotAccepted) {
  AcceptedForwards accepted;
  for (uint64_t id = kRun + 1; id <= kRun + 10'000; ++id) {
    ASSERT_EQ(accepted.Accept(2, id, id - std::min<uint64_t>(id - kRun - 1, 3)).kind, Kind::kNew);
  }
  EXPECT_EQ(accepted.size(), 4u);
  const AcceptedForwards::Verdict late = accepted.Accept(2, kRun + 50, kRun + 47);
  EXPECT_EQ(late.kind, Kind::kOver);
  EXPECT_EQ(late.note, nullptr);
  EXPECT_TRUE(accepted.Knows(2, kRun + 50));
  EXPECT_EQ(accepted.Accept(2, kRun + 9'997, kRun + 47).kind, Kind::kCopy) << "the oldest";
  EXPECT_EQ(accepted.Accept(2, kRun + 9'996, kRun + 47).kind, Kind::kOver);
}

// A late request of an earlier run has another upper half, and what is said of the one is not said
// of the other.
TEST(AcceptedForwardsTest, RunsOfANodeAreToldApart) {
  constexpr uint64_t kNext = uint64_t{3} << 32;
  AcceptedForwards accepted;
  EXPECT_EQ(accepted.Accept(2, kRun + 8, kRun + 8).kind, Kind::kNew);
  EXPECT_EQ(accepted.Accept(3, kRun + 8, kRun + 8).kind, Kind::kNew);
  EXPECT_EQ(accepted.Accept(2, kNext + 1, kNext + 1).kind, Kind::kNew);
  EXPECT_EQ(accepted.size(), 2u) << "nobody waits for what the earlier run of node 2 asked";
  EXPECT_EQ(accepted.Accept(2, kRun + 8, kRun + 8).kind, Kind::kOver);
  EXPECT_EQ(accepted.Accept(2, kRun + 9, kNext + 9).kind, Kind::kNew);
  EXPECT_EQ(accepted.Accept(2, kRun + 9, 0).kind, Kind::kCopy) << "it says nothing";
  EXPECT_EQ(accepted.Accept(2, kNext + 1, 0).kind, Kind::kCopy) << "it is known";
}

TEST(AcceptedForwardsTest, ALeadershipBeginsWithNothing) {
  AcceptedForwards accepted;
  accepted.Accept(2, kRun + 8, kRun + 8);
  accepted.Clear();
  EXPECT_FALSE(accepted.Knows(2, kRun + 8));
  EXPECT_EQ(accepted.Accept(2, kRun + 7, kRun + 7).kind, Kind::kNew);
}

}  // namespace
}  // namespace raftkv::replica
