// The oracles ask about a node's own invariants only when something that these are about has
// changed. Whatever is broken, at whatever moment, they notice at the end of the next turn.
#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/run/run.h"
#include "sim/run/settings.h"
#include "sim/scenario/scenario.h"

namespace raftkv::sim {
namespace {

using ::testing::HasSubstr;

constexpr Time kBreaksAt = 5 * kSecond;

// What a bug of the core may do to its own state: the objects are no constants.
template <typename T>
T& Spoil(const T& state) {
  return const_cast<T&>(state);
}

raft::Progress& FollowerOf(const raft::Raft& leader) {
  const auto row = std::find_if(leader.progress()->begin(), leader.progress()->end(),
                                [&](const raft::Progress& peer) { return peer.id != leader.id(); });
  return Spoil(*row);
}

struct Break {
  std::string sentence;  // a part of the invariant
  bool of_leader;        // or of a follower
  std::function<void(const raft::Raft&)> of;
};

std::vector<Break> Breaks() {
  return {
      {"A leader sends only entries it has", true,
       [](const raft::Raft& raft) { FollowerOf(raft).next = raft.log().last() + 2; }},
      {"No append is under way to a follower that needs a snapshot", true,
       [](const raft::Raft& raft) {
         FollowerOf(raft).state = raft::ProgressState::kSnapshot;
         FollowerOf(raft).inflights.Add(raft.log().last(), 1);
       }},
      {"What is known to match lies before what is sent next", true,
       [](const raft::Raft& raft) { FollowerOf(raft).next = FollowerOf(raft).match; }},
      {"What a follower has acknowledged and not lost stays acknowledged", true,
       [](const raft::Raft& raft) { --FollowerOf(raft).match; }},
      {"Progress is kept for every member", true,
       [](const raft::Raft& raft) { Spoil(*raft.progress()).Remove(FollowerOf(raft).id); }},
      {"The configuration is well-formed", false,
       [](const raft::Raft& raft) { Spoil(raft.conf()).auto_leave = true; }},
      {"A snapshot holds only what is applied", false,
       [](const raft::Raft& raft) { Spoil(raft.offered_snapshot()).index = raft.applied() + 1; }},
      {"What a disk lost is found when its node starts", false,
       [](const raft::Raft& raft) {
         Spoil(raft.suspicion()) = raft::Suspicion{raft.log().last() + 5, raft.term(), {}};
       }},
  };
}

RunSettings SettingsOf(absl::string_view scenario) {
  const absl::StatusOr<Scenario> parsed =
      ParseScenario("test", absl::StrCat("raftkv scenario 1\nseed 1\n", scenario));
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed->settings;
}

std::optional<Violation> RunWith(const Break& broken) {
  RunSettings settings = SettingsOf("set chaos 8s\nclient 1\nat 1s: c1: INCR n1\n");
  settings.script = [&broken](Cluster& cluster) {
    cluster.scheduler().At(kBreaksAt, Actor::kScript, [&cluster, &broken] {
      const Process* leader = cluster.Leader();
      ASSERT_NE(leader, nullptr);
      for (const auto& [id, process] : cluster.processes()) {
        if ((process.get() == leader) != broken.of_leader) continue;
        broken.of(process->replica()->raft());
        return;
      }
    });
  };
  return Simulate(settings).violation;
}

TEST(OmniscienceTest, NoticesAnInvariantThatBreaksBetweenQuietTurns) {
  EXPECT_FALSE(RunWith({"nothing", true, [](const raft::Raft&) {}}).has_value());
  for (const Break& broken : Breaks()) {
    const std::optional<Violation> violation = RunWith(broken);
    EXPECT_TRUE(violation.has_value()) << broken.sentence;
    if (!violation.has_value()) continue;
    EXPECT_EQ(violation->oracle, Oracle::kNodeInvariants) << FormatViolation(*violation);
    EXPECT_THAT(violation->text, HasSubstr(broken.sentence));
    EXPECT_GE(violation->time, kBreaksAt);
    EXPECT_LE(violation->time, kBreaksAt + 200 * kMillisecond) << broken.sentence;
  }
}

// Node 2 comes back with a torn end of its log at 1.002 s, and gets it back from the learner.
TEST(OmniscienceTest, NoticesALossThatIsNotPromisedAnyMore) {
  const RunSettings lossy = SettingsOf(R"(set founders 2
set chaos 2s
client 1
at 300ms: member 1 KV.MEMBER ADD 3 node-3:7401 node-3:7400 1
at 600ms: c1: SET k v1
at 750ms: cut 2>1 for 200ms
at 750ms: slow-disk 2 times 20 for 200ms
at 800ms: c1: SET k v2
when 3 has 6: power-loss 2 for 200ms

node 2 goes down #1: luck = 12
)");
  const auto run = [&](const std::function<void(const raft::Raft&)>& spoil) {
    RunSettings settings = lossy;
    settings.script = [&spoil](Cluster& cluster) {
      cluster.scheduler().At(1005 * kMillisecond, Actor::kScript, [&cluster, &spoil] {
        const raft::Raft& raft = cluster.Find(2)->replica()->raft();
        ASSERT_TRUE(raft.suspicion().has_value());
        EXPECT_EQ(raft.suspicion()->index, 6u);
        spoil(raft);
      });
    };
    return Simulate(settings).violation;
  };
  EXPECT_FALSE(run([](const raft::Raft&) {}).has_value());
  for (const bool some : {false, true}) {
    const std::optional<Violation> violation = run([&](const raft::Raft& raft) {
      if (some) {
        --Spoil(raft.suspicion())->index;
      } else {
        Spoil(raft.suspicion()).reset();
      }
    });
    ASSERT_TRUE(violation.has_value());
    EXPECT_EQ(violation->oracle, Oracle::kPromises) << FormatViolation(*violation);
    EXPECT_THAT(violation->text, HasSubstr("the disk of node 2 has lost entries up to (6, term 2), "
                                           "and the node promises"));
    EXPECT_THAT(violation->text, HasSubstr(some ? "no more than (5, term 2)" : "nothing of that"));
  }
}

// The disk of node 3 lied about entry 6, which 1 and 2 have: two of three. When it starts there are
// four voters. Two are no majority of them any more, but none is without them.
TEST(OmniscienceTest, WhatWasOnAMajorityIsStillThereWhenTheMembersAreMore) {
  RunSettings settings = SettingsOf(R"(set founders 3
set chaos 3s
client 1
at 300ms: member 1 KV.MEMBER ADD 4 node-4:7401 node-4:7400 1
at 600ms: c1: SET k v1
at 750ms: lost-writes 3 draw 4 for 150ms
at 780ms: isolate 4>1 1>4 4>2 2>4 4>3 3>4 for 620ms
at 800ms: c1: SET k v2
at 849ms: member 2 KV.MEMBER PROMOTE 4
at 849500us: cut 1>2 2>1 1>3 3>1 2>3 3>2 for 52ms
)");
  bool seen = false;
  settings.script = [&seen](Cluster& cluster) {
    cluster.scheduler().At(1190 * kMillisecond, Actor::kScript, [&cluster, &seen] {
      EXPECT_EQ(cluster.Find(3)->replica(), nullptr);
      EXPECT_EQ(cluster.Find(2)->replica()->raft().conf().voters.size(), 4u);
      EXPECT_EQ(cluster.Find(4)->replica()->raft().log().last(), 5u);
      seen = true;
    });
  };
  const std::optional<Violation> violation = Simulate(settings).violation;
  EXPECT_FALSE(violation.has_value()) << FormatViolation(*violation);
  EXPECT_TRUE(seen);
}

}  // namespace
}  // namespace raftkv::sim
