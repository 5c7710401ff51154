#include "sim/picture/recording.h"

#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "sim/picture/camera.h"
#include "sim/scheduler/scheduler.h"
#include "tests/sim/picture/example.h"

namespace raftkv::sim {
namespace {

std::map<raft::NodeId, NodeView> StatesAtTheEnd(const Recording& recording) {
  std::map<raft::NodeId, NodeView> views = recording.start();
  for (const PictureEvent& event : recording.events()) {
    if (!event.change.empty()) Apply(event.change, &views[event.node]);
  }
  return views;
}

TEST(RecordingTest, KeepsTheLastEventsAndTheStateBeforeThem) {
  const Recording whole = ExampleRecording();
  const size_t total = whole.events().size();
  const std::map<raft::NodeId, NodeView> end = StatesAtTheEnd(whole);
  for (size_t most = 1; most <= total + 1; ++most) {
    const Recording some = ExampleRecording(most);
    EXPECT_EQ(some.events().size(), std::min(most, total));
    EXPECT_EQ(some.total(), total);
    EXPECT_EQ(StatesAtTheEnd(some), end) << most;
    EXPECT_EQ(some.nodes(), whole.nodes());
  }
  EXPECT_TRUE(whole.start().empty());
  EXPECT_EQ(end.at(2).vote, 3u);
  EXPECT_EQ(end.at(1).role, raft::RoleName::kLeader);
}

TEST(RecordingTest, TheViolationIsFoundAsLongAsItIsKept) {
  const Recording whole = ExampleRecording();
  ASSERT_TRUE(whole.violation().has_value());
  EXPECT_EQ(whole.events()[*whole.violation()].kind, EventKind::kViolation);
  EXPECT_EQ(ExampleRecording(2).violation(), 0u);
  EXPECT_EQ(ExampleRecording(1).violation(), std::nullopt);
}

TEST(RecordingTest, MessagesOfTheEventsThatAreKeptAreThere) {
  const Recording some = ExampleRecording(12);
  for (const PictureEvent& event : some.events()) {
    if (event.kind > EventKind::kReset) continue;
    EXPECT_TRUE(some.messages().contains(event.subject));
  }
}

TEST(RecordingTest, MessagesThatAreLongGoneAreForgotten) {
  Recording recording(10);
  for (uint64_t number = 1; number <= 80'000; ++number) {
    recording.AddMessage(number, PictureMessage());
    recording.Add({number, EventKind::kSent, 1, number, {}, {}});
  }
  EXPECT_FALSE(recording.messages().contains(1));
  EXPECT_TRUE(recording.messages().contains(79'999));
  EXPECT_LT(recording.messages().size(), 70'000u);
}

// Long gone, and still under way: on a connection over which nothing was said since.
TEST(RecordingTest, WhatBecomesOfAForgottenMessageIsNoEvent) {
  Scheduler scheduler;
  Recording recording(10);
  Camera camera(&scheduler, nullptr, nullptr, &recording);
  using Fate = Network::Fate;
  for (const Fate fate : {Fate::kArrived, Fate::kLost, Fate::kCut, Fate::kHeld, Fate::kReset}) {
    camera.FrameMet(1, fate);
    EXPECT_EQ(recording.total(), 0u);
  }
}

TEST(RecordingTest, AChangeBelongsToWhatCausedIt) {
  Recording recording(10);
  NodeChange change;
  change.term = 4;
  EXPECT_FALSE(recording.ChangeByLast(5, 2, &change));  // nothing has happened
  recording.Add({5, EventKind::kArrived, 2, 1, {}, {}});
  EXPECT_FALSE(recording.ChangeByLast(5, 3, &change));  // at another node
  EXPECT_FALSE(recording.ChangeByLast(6, 2, &change));  // at another time
  EXPECT_TRUE(recording.ChangeByLast(5, 2, &change));
  NodeChange second;
  second.term = 5;
  EXPECT_FALSE(recording.ChangeByLast(5, 2, &second));  // it has changed something already
  EXPECT_EQ(recording.events().back().change.term, 4u);
  recording.Add({7, EventKind::kSent, 2, 1, {}, {}});
  EXPECT_FALSE(recording.ChangeByLast(7, 2, &second));  // to send changes nobody
}

TEST(RecordingTest, EqualEntriesHaveOneNumber) {
  Recording recording(10);
  const EntryNumber first = recording.Number({5, 2, "SET"}, 1);
  EXPECT_EQ(recording.Number({5, 2, "SET"}, 1), first);
  EXPECT_NE(recording.Number({5, 3, "SET"}, 1), first);
  EXPECT_NE(recording.Number({5, 2, "INCR"}, 2), first);  // which must not be, and is seen
  EXPECT_EQ(recording.entries().size(), 3u);
}

NodeView WithLog(raft::Index base, std::vector<EntryNumber> log) {
  NodeView view;
  view.base = base;
  view.log = std::move(log);
  return view;
}
NodeView AfterLog(NodeView view, raft::Index base, raft::Index keep,
                  std::vector<EntryNumber> appended) {
  NodeChange change;
  change.log = NodeChange::Log{base, keep, std::move(appended)};
  Apply(change, &view);
  return view;
}

TEST(NodeChangeTest, ALogGrowsIsCutCompactedAndReplaced) {
  const NodeView view = WithLog(10, {1, 2, 3});  // 11, 12, 13
  EXPECT_EQ(AfterLog(view, 10, 13, {4}), WithLog(10, {1, 2, 3, 4}));
  EXPECT_EQ(AfterLog(view, 10, 11, {5, 6}), WithLog(10, {1, 5, 6}));
  EXPECT_EQ(AfterLog(view, 12, 13, {}), WithLog(12, {3}));
  EXPECT_EQ(AfterLog(view, 13, 13, {7}), WithLog(13, {7}));
  EXPECT_EQ(AfterLog(view, 20, 20, {8}), WithLog(20, {8}));     // a snapshot ahead of it
  EXPECT_EQ(AfterLog(view, 5, 5, {9, 9}), WithLog(5, {9, 9}));  // compacted in memory only
  EXPECT_EQ(AfterLog(view, 10, 10, {}), WithLog(10, {}));
}

TEST(NodeChangeTest, FieldsThatDifferAreExactlyThose) {
  NodeView before = WithLog(1, {});
  before.term = 3;
  NodeView after = before;
  EXPECT_TRUE(FieldsThatDiffer(before, after).empty());
  after.term = 4;
  after.vote = 2;
  after.match = {{1, 5}};
  const NodeChange change = FieldsThatDiffer(before, after);
  EXPECT_EQ(change.term, 4u);
  EXPECT_EQ(change.vote, 2u);
  EXPECT_TRUE(change.match.has_value());
  EXPECT_FALSE(change.role.has_value());
  Apply(change, &before);
  EXPECT_EQ(before, after);
}

}  // namespace
}  // namespace raftkv::sim
