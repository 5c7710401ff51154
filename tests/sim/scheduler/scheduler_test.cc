#include "sim/scheduler/scheduler.h"

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/raft/random.h"
#include "gtest/gtest.h"
#include "sim/scheduler/trace.h"

namespace raftkv::sim {
namespace {

TEST(SchedulerTest, RunsInOrderOfTime) {
  Scheduler scheduler;
  std::string order;
  scheduler.At(30, Actor::kNode, [&] { order += "c"; });
  scheduler.At(10, Actor::kNode, [&] { order += "a"; });
  scheduler.At(20, Actor::kNode, [&] { order += "b"; });
  while (scheduler.RunOne(100)) {
  }
  EXPECT_EQ(order, "abc");
  EXPECT_EQ(scheduler.now(), 100u);
}

TEST(SchedulerTest, TiesRunInTheOrderInWhichTheyWereAskedFor) {
  Scheduler scheduler;
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    scheduler.At(7, Actor::kNode, [&order, i] { order.push_back(i); });
  }
  while (scheduler.RunOne(7)) {
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST(SchedulerTest, WhatIsDueInThePastHappensNow) {
  Scheduler scheduler;
  scheduler.At(50, Actor::kNode,
               [&] { scheduler.At(10, Actor::kNode, [&] { EXPECT_EQ(scheduler.now(), 50u); }); });
  EXPECT_TRUE(scheduler.RunOne(100));
  EXPECT_TRUE(scheduler.RunOne(100));
  EXPECT_FALSE(scheduler.RunOne(100));
}

TEST(SchedulerTest, StopsBeforeWhatLiesBehindTheEnd) {
  Scheduler scheduler;
  bool ran = false;
  scheduler.At(101, Actor::kNode, [&] { ran = true; });
  EXPECT_FALSE(scheduler.RunOne(100));
  EXPECT_FALSE(ran);
  EXPECT_TRUE(scheduler.RunOne(101));
  EXPECT_TRUE(ran);
}

TEST(SchedulerTest, AnItemMayHoldWhatItLikesAndLetsGoOfIt) {
  const auto held = std::make_shared<int>(0);
  {
    Scheduler scheduler;
    scheduler.At(1, Actor::kNode, [held] { ++*held; });
    scheduler.At(2, Actor::kNode, [held, much = std::array<uint64_t, 100>{}] { ++*held; });
    scheduler.At(3, Actor::kNode,
                 [held = std::make_unique<std::shared_ptr<int>>(held)] { ++**held; });
    scheduler.At(50, Actor::kNode, [held] { ++*held; });
    scheduler.At(51, Actor::kNode, [held, much = std::array<uint64_t, 100>{}] { ++*held; });
    while (scheduler.RunOne(10)) {
    }
    EXPECT_EQ(*held, 3);
    EXPECT_EQ(held.use_count(), 3) << "two still wait";
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(SchedulerTest, KeepsItsOrderThroughAnyMixOfTimes) {
  Scheduler scheduler;
  Random random(7);
  Time last = 0;
  uint64_t ran = 0;
  std::function<void(uint64_t)> ask = [&](uint64_t depth) {
    scheduler.After(random.Below(50), Actor::kNode, [&, depth, when = scheduler.now()] {
      EXPECT_GE(scheduler.now(), when);
      EXPECT_GE(scheduler.now(), last);
      last = scheduler.now();
      ++ran;
      for (uint64_t i = 0; depth > 0 && i < 3; ++i) ask(depth - 1);
    });
  };
  for (int i = 0; i < 20; ++i) ask(4);
  while (scheduler.RunOne(1'000)) {
  }
  EXPECT_EQ(ran, 20u * (1 + 3 + 9 + 27 + 81));
}

TEST(SchedulerTest, TheScriptIsNoEvent) {
  Scheduler scheduler;
  scheduler.At(1, Actor::kScript, [] {});
  scheduler.At(2, Actor::kNode, [] {});
  scheduler.At(3, Actor::kClient, [] {});
  scheduler.At(4, Actor::kDisk, [] {});
  while (scheduler.RunOne(10)) {
  }
  EXPECT_EQ(scheduler.events(), 3u);
}

TEST(TraceTest, HashTellsWhatWhenAndInWhichOrder) {
  const auto hash = [](Time when, std::initializer_list<uint64_t> facts) {
    Scheduler scheduler;
    Trace trace(&scheduler);
    scheduler.At(when, Actor::kNode, [&] {
      for (const uint64_t fact : facts) trace.Add(fact, 1, 2);
    });
    scheduler.RunOne(when);
    return trace.hash();
  };
  EXPECT_EQ(hash(5, {1, 2}), hash(5, {1, 2}));
  EXPECT_NE(hash(5, {1, 2}), hash(5, {2, 1}));
  EXPECT_NE(hash(5, {1, 2}), hash(6, {1, 2}));
  EXPECT_NE(hash(5, {1}), hash(5, {1, 1}));
}

TEST(TraceTest, HashesAsMuchHoweverOftenItIsAsked) {
  Scheduler scheduler;
  Trace asked(&scheduler);
  Trace not_asked(&scheduler);
  Random random(1);
  // Of no bytes, few, and more than are kept.
  for (uint64_t i = 0; i < 2'000; ++i) {
    const uint64_t size = i % 7 == 0 ? 0 : i == 1'000 ? 200'000 : random.Below(300);
    std::string piece;
    for (uint64_t at = 0; at < size; ++at) piece.push_back(static_cast<char>(random.Next()));
    for (Trace* trace : {&asked, &not_asked}) {
      if (i % 5 == 0) trace->Add(1, i, i);
      trace->Add(2, i, absl::string_view(piece));
    }
    asked.hash();
    if (i % 333 == 0) {
      ASSERT_EQ(asked.hash(), not_asked.hash()) << i;
    }
  }
  EXPECT_EQ(asked.hash(), not_asked.hash());
}

TEST(TraceTest, EachByteCounts) {
  Scheduler scheduler;
  const auto hash = [&](absl::string_view first, absl::string_view second) {
    Trace trace(&scheduler);
    trace.Add(1, 2, first);
    trace.Add(1, 2, second);
    return trace.hash();
  };
  EXPECT_EQ(hash("ab", "c"), hash("ab", "c"));
  EXPECT_NE(hash("ab", "c"), hash("a", "bc"));
  EXPECT_NE(hash("ab", "c"), hash("ab", "d"));
  EXPECT_NE(hash("ab", ""), hash("", "ab"));
}

TEST(TraceTest, ReadingDoesNotChangeTheHash) {
  Scheduler scheduler;
  std::vector<std::string> lines;
  Trace quiet(&scheduler);
  Trace read(&scheduler, [&](Time, absl::string_view line) { lines.push_back(std::string(line)); });
  for (Trace* trace : {&quiet, &read}) {
    trace->Add(1, 2, absl::string_view("bytes"));
    trace->Say("something happened");
  }
  EXPECT_EQ(quiet.hash(), read.hash());
  EXPECT_EQ(lines, std::vector<std::string>{"something happened"});
}

}  // namespace
}  // namespace raftkv::sim
