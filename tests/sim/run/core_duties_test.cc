// A core that is healed alone does all it must, whatever the others are left as; and whoever cannot
// is told of, with what it waits for.
#include "sim/run/core_duties.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sim/run/run.h"
#include "sim/scenario/scenario.h"

namespace raftkv::sim {
namespace {

constexpr Time kHealed = 2 * kSecond;

// Nodes 1 to 5, of which 1 to 3 are the core; what nodes 4 and 5 are left as.
RunSettings Settings(Nemesis::Left four, Nemesis::Left five) {
  const std::string text = absl::StrCat(
      "raftkv scenario 1\nseed 1\nset founders 5\nset heals-core on\nset chaos 2s\n"
      "set pre-vote on\nset check-quorum on\nset step-down-on-hung-disk on\n"
      "client 1\nclient 2\nat 100ms: c1: SET r0 a\nat 200ms: c2: GET r0\n"
      "core: nodes = ",
      0b1110, "\nnode 4 outside #1: is left = ", static_cast<int>(four),
      "\nnode 5 outside #1: is left = ", static_cast<int>(five), "\n");
  const absl::StatusOr<Scenario> scenario = ParseScenario("core", text);
  EXPECT_TRUE(scenario.ok()) << scenario.status();
  return scenario->settings;
}

// Looks every millisecond from shortly before the healing, in a run with `settings`.
RunReport WatchedRun(RunSettings settings, const std::function<void(Cluster&)>& look) {
  settings.script = [look](Cluster& cluster) {
    for (Time at = kHealed - kSecond; at < kHealed + 10 * kSecond; at += kMillisecond) {
      cluster.scheduler().At(at, Actor::kScript, [&cluster, look] { look(cluster); });
    }
  };
  return Simulate(settings);
}

void CutFrom(Cluster& cluster, raft::NodeId node, bool* cut) {
  if (std::exchange(*cut, true)) return;
  for (const raft::NodeId other : cluster.InUse()) {
    if (other == node) continue;
    cluster.network().Cut(node, other);
    cluster.network().Cut(other, node);
  }
}

bool IsVoter(Cluster& cluster, raft::NodeId node) {
  const Process* leader = cluster.Leader();
  if (leader == nullptr) return false;
  const auto& voters = leader->replica()->raft().conf().voters;
  return std::find(voters.begin(), voters.end(), node) != voters.end();
}

TEST(CoreDutiesTest, ACoreDoesItAllWhateverTheOthersAreLeftAs) {
  for (int left = 0; left <= static_cast<int>(Nemesis::Left::kPaused); ++left) {
    const RunReport report =
        Simulate(Settings(static_cast<Nemesis::Left>(left), Nemesis::Left::kDown));
    EXPECT_FALSE(report.violation.has_value()) << FormatViolation(*report.violation);
    EXPECT_EQ(report.counters.cores, 1u);
    EXPECT_EQ(report.counters.membership_changes, 4u)
        << "a learner, and its vote; at the end of a run into a joint configuration, and out of it";
  }
}

TEST(CoreDutiesTest, WhatIsOutsideStaysAsItIs) {
  bool was_down = false, was_deaf = false, was_whole = false;
  const RunReport report =
      WatchedRun(Settings(Nemesis::Left::kDeaf, Nemesis::Left::kDown), [&](Cluster& cluster) {
        if (IsVoter(cluster, 6)) return;  // soon all are healed
        was_down = cluster.Find(5)->state() == Process::State::kDown;
        was_deaf = !cluster.network().IsWhole(1, 4) && cluster.network().IsWhole(4, 1);
        was_whole = cluster.network().IsWhole(1, 2) && cluster.network().IsWhole(2, 1);
      });
  EXPECT_FALSE(report.violation.has_value()) << FormatViolation(*report.violation);
  EXPECT_TRUE(was_down);
  EXPECT_TRUE(was_deaf);
  EXPECT_TRUE(was_whole);
}

TEST(CoreDutiesTest, NobodyIsLeftAloneWithoutPreVoteWhileADeafNodeCampaigns) {
  RunSettings settings = Settings(Nemesis::Left::kDeaf, Nemesis::Left::kDown);
  settings.cluster.replica.raft.pre_vote = false;
  bool heard = true;
  const RunReport report = WatchedRun(settings, [&](Cluster& cluster) {
    if (!IsVoter(cluster, 6)) heard = cluster.network().IsWhole(4, 1);
  });
  EXPECT_FALSE(report.violation.has_value()) << FormatViolation(*report.violation);
  EXPECT_FALSE(heard);
}

// What the run is told to have failed at when `look` breaks something.
std::string Told(const std::function<void(Cluster&, bool* cut)>& look,
                 const RunSettings& settings = Settings(Nemesis::Left::kDown,
                                                        Nemesis::Left::kDown)) {
  bool cut = false;
  const RunReport report = WatchedRun(settings, [&](Cluster& cluster) { look(cluster, &cut); });
  EXPECT_TRUE(cut);
  if (!report.violation.has_value()) return "nothing";
  EXPECT_EQ(report.violation->oracle, Oracle::kLiveness);
  EXPECT_TRUE(absl::StrContains(report.violation->text, "node 5, left down: down"));
  return report.violation->text;
}

TEST(CoreDutiesTest, WhatIsNotDoneInTimeIsToldOf) {
  const auto cut_two = [](Cluster& cluster, bool* cut) {
    if (*cut) return;
    CutFrom(cluster, 1, cut);
    *cut = false;
    CutFrom(cluster, 2, cut);
  };
  const std::string leader = Told(cut_two);
  EXPECT_TRUE(absl::StrContains(leader, "have done: nothing; wait 4000 ms for a leader\n"))
      << leader;

  // Without pre-vote two nodes may campaign in turns. Found by seed 17029987: 17 elections, each in
  // a term that the other one had voted in.
  RunSettings settings = Settings(Nemesis::Left::kDown, Nemesis::Left::kDown);
  settings.cluster.replica.raft.pre_vote = false;
  const std::string in_turns = Told(cut_two, settings);
  EXPECT_TRUE(absl::StrContains(in_turns, "have done: nothing; wait 8000 ms for a leader\n"))
      << in_turns;

  // Whoever was dialled before the healing may be waited for so long. Found by seed 13083331.
  settings = Settings(Nemesis::Left::kDown, Nemesis::Left::kDown);
  settings.cluster.streams = true;
  settings.cluster.links.hello_timeout_us = 3 * kSecond;
  const std::string dialled = Told(cut_two, settings);
  EXPECT_TRUE(absl::StrContains(dialled, "have done: nothing; wait 7000 ms for a leader\n"))
      << dialled;

  const std::string learner = Told([](Cluster& cluster, bool* cut) {
    if (cluster.Find(6) != nullptr) CutFrom(cluster, 6, cut);
  });
  EXPECT_TRUE(absl::StrContains(learner, " ms for node 6 to be up to date\n")) << learner;
  EXPECT_FALSE(absl::StrContains(learner, "wait 4000 ms")) << "there are entries to be sent";

  // It is who does not lead; the others lead or wait for it.
  const std::string transfer = Told([](Cluster& cluster, bool* cut) {
    if (!IsVoter(cluster, 6)) return;
    CutFrom(cluster, cluster.Leader()->id() == 1 ? 2 : 1, cut);
  });
  EXPECT_TRUE(absl::StrContains(transfer, " to lead\n")) << transfer;
}

// With a window of one message clients may be faster than a learner. Nobody makes a voter of it
// then, and nobody has to. Found by seed 20022307.
TEST(CoreDutiesTest, WhoIsTooSlowGetsNoVote) {
  RunSettings settings = Settings(Nemesis::Left::kDown, Nemesis::Left::kDown);
  settings.cluster.replica.raft.max_inflight_messages = 1;
  settings.cluster.replica.raft.max_append_bytes = 1;
  settings.answers.reset();  // the clients draw what they ask
  settings.workload.read_percent = 0;
  for (ClientSettings& client : settings.clients) {
    client.script.reset();
    client.think = {Delay::Shape::kExponential, kMillisecond, 0};
  }
  bool promoted = false, clogged = false;
  uint64_t behind = 0;  // milliseconds
  const RunReport report = WatchedRun(settings, [&](Cluster& cluster) {
    const Process* joiner = cluster.Find(6);
    const Process* leader = cluster.Leader();
    if (joiner == nullptr || leader == nullptr || joiner->replica() == nullptr) return;
    const raft::Index has = joiner->replica()->raft().log().last();
    promoted = promoted || IsVoter(cluster, 6);
    behind += has < leader->replica()->raft().log().last();
    const bool hears = cluster.scheduler().now() % (40 * kMillisecond) < 10 * kMillisecond;
    if (std::exchange(clogged, !hears) == clogged) return;
    for (raft::NodeId node = 1; node <= 5; ++node) {
      if (clogged) cluster.network().Clog(node, 6);
      if (!clogged) cluster.network().Unclog(node, 6);
    }
  });
  EXPECT_FALSE(report.violation.has_value()) << FormatViolation(*report.violation);
  EXPECT_GT(behind, 1'000u);
  EXPECT_FALSE(promoted);
}

TEST(CoreDutiesTest, EveryProfileHasCores) {
  for (const Profile profile : {Profile::kEverything, Profile::kNetwork, Profile::kCrashes,
                                Profile::kMembership, Profile::kDisk}) {
    uint64_t cores = 0;
    for (uint64_t seed = 1; seed <= 40 && cores == 0; ++seed) {
      cores += Simulate(DrawSettings(seed, profile)).counters.cores;
    }
    EXPECT_GT(cores, 0u) << Name(profile);
  }
}

}  // namespace
}  // namespace raftkv::sim
