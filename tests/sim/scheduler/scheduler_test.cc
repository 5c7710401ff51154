#include "sim/scheduler/scheduler.h"

#include <string>
#include <vector>

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
