// The oracles ask about a node's own invariants only when something that these are about has
// changed. Whatever is broken, at whatever moment, they notice at the end of the next turn.
#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

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

std::optional<Violation> RunWith(const Break& broken) {
  const absl::StatusOr<Scenario> scenario = ParseScenario(
      "breaks", "raftkv scenario 1\nseed 1\nset chaos 8s\nclient 1\nat 1s: c1: INCR n1\n");
  EXPECT_TRUE(scenario.ok()) << scenario.status();
  RunSettings settings = scenario->settings;
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

}  // namespace
}  // namespace raftkv::sim
