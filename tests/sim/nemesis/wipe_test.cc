// A node of a quiet cluster loses all it had, in each form: what becomes of it, and that somebody
// else is there in the end.
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/raft/configuration.h"
#include "gtest/gtest.h"
#include "sim/run/run.h"
#include "sim/scenario/scenario.h"

namespace raftkv::sim {
namespace {

constexpr Time kWiped = 500 * kMillisecond;
constexpr Time kStarted = 800 * kMillisecond;
constexpr Time kChaos = 4 * kSecond;

struct Played {
  RunReport report;
  std::string said;
};

// Three nodes with `settings`, and `faults` with their times.
Played Play(const std::string& settings, const std::string& faults,
            const std::function<void(Cluster&)>& look) {
  std::string text =
      absl::StrCat("raftkv scenario 1\nseed 1\nset chaos 4s\n", settings, "client 1\nclient 2\n");
  for (int i = 1; i < 40; ++i) {
    absl::StrAppend(&text, "at ", 100 * i, "ms: c1: INCR n1\nat ", 100 * i, "ms: c2: GET r0\n");
  }
  absl::StatusOr<Scenario> scenario = ParseScenario("wipe", text + faults);
  EXPECT_TRUE(scenario.ok()) << scenario.status();
  scenario->settings.script = [look](Cluster& cluster) {
    for (Time at = 0; at < kChaos; at += kMillisecond) {
      cluster.scheduler().At(at, Actor::kScript, [&cluster, look] { look(cluster); });
    }
  };
  Played played;
  played.report = Simulate(scenario->settings, [&played](Time, absl::string_view line) {
    absl::StrAppend(&played.said, line, "\n");
  });
  EXPECT_FALSE(played.report.violation.has_value()) << FormatViolation(*played.report.violation);
  return played;
}

Played Wipe(const std::string& form, const std::function<void(Cluster&)>& look,
            const std::string& settings = "") {
  return Play(settings, absl::StrCat("at 500ms: wipe 3 ", form, " for 300ms\n"), look);
}

uint64_t Seen(const RunReport& report, RareState state) {
  return report.counters.rare[static_cast<size_t>(state)];
}
uint64_t Wipes(const RunReport& report) {
  return report.counters.faults[static_cast<size_t>(Fault::kWipe)];
}

// Node 4 is a voter instead of node 3, which is switched off.
class EndsReplaced {
 public:
  void Look(Cluster& cluster) {
    Process* leader = cluster.Leader();
    if (leader == nullptr) return;
    voters_ = leader->replica()->raft().conf().voters;
    retired_ = cluster.retired(3);
  }
  void Expect(const RunReport& report) const {
    EXPECT_EQ(voters_, (std::vector<raft::NodeId>{1, 2, 4}));
    EXPECT_TRUE(retired_);
    EXPECT_EQ(Seen(report, RareState::kWipedReplaced), 1u);
    EXPECT_EQ(Wipes(report), 1u);
    EXPECT_GT(Seen(report, RareState::kWiped), 0u);
  }

 private:
  std::vector<raft::NodeId> voters_;
  bool retired_ = false;
};

TEST(WipeTest, WithNothingANodeStaysDown) {
  EndsReplaced end;
  const Played played = Wipe("empty", [&](Cluster& cluster) {
    if (cluster.scheduler().now() > kWiped) {
      EXPECT_EQ(cluster.Find(3)->state(), Process::State::kDown);
      EXPECT_TRUE(cluster.Find(3)->disk().List()->empty());
    }
    end.Look(cluster);
  });
  end.Expect(played.report);
  EXPECT_EQ(Seen(played.report, RareState::kWiped), 1u) << "it is tried once";
}

TEST(WipeTest, WhoWasInitialisedAgainRunsAndTakesNoPart) {
  EndsReplaced end;
  bool ran = false;
  const Played played = Wipe("joiner", [&](Cluster& cluster) {
    const Process& process = *cluster.Find(3);
    if (cluster.scheduler().now() > kStarted && process.state() == Process::State::kUp) {
      ran = true;
      EXPECT_EQ(process.replica()->options().incarnation, 2u);
      EXPECT_EQ(process.replica()->raft().term(), 0u);
      EXPECT_EQ(process.replica()->raft().log().last(), 0u);
    }
    end.Look(cluster);
  });
  end.Expect(played.report);
  EXPECT_TRUE(ran);
  EXPECT_GT(Seen(played.report, RareState::kHeardForOld), 10u) << "the leader goes on asking it";
}

// It asks for votes, as often as it likes, and nobody listens.
TEST(WipeTest, NobodyListensToAFounderOfAnotherIncarnation) {
  for (const bool pre_vote : {false, true}) {
    EndsReplaced end;
    bool campaigned = false;
    std::set<raft::Term> terms;
    const Played played = Wipe(
        "founder",
        [&](Cluster& cluster) {
          const Process& process = *cluster.Find(3);
          if (cluster.scheduler().now() > kStarted && process.state() == Process::State::kUp) {
            const raft::RoleName role = process.replica()->raft().role();
            campaigned = campaigned || role == raft::RoleName::kCandidate ||
                         role == raft::RoleName::kPreCandidate;
            EXPECT_NE(role, raft::RoleName::kLeader);
          }
          if (cluster.scheduler().now() > kWiped && cluster.Leader() != nullptr) {
            terms.insert(cluster.Leader()->replica()->raft().term());
          }
          end.Look(cluster);
        },
        pre_vote ? "set pre-vote on\n" : "set pre-vote off\n");
    end.Expect(played.report);
    EXPECT_TRUE(campaigned);
    // If it led when it was wiped, there is one election more.
    EXPECT_LE(terms.size(), 2u) << "its terms are nobody else's";
  }
}

TEST(WipeTest, WithoutItsIdentityANodeStaysDownAndIsNotInitialised) {
  EndsReplaced end;
  bool has_log = false;
  const Played played = Wipe("no-identity", [&](Cluster& cluster) {
    if (cluster.scheduler().now() > kWiped) {
      EXPECT_EQ(cluster.Find(3)->state(), Process::State::kDown);
      has_log = !cluster.Find(3)->disk().List()->empty();
    }
    end.Look(cluster);
  });
  end.Expect(played.report);
  EXPECT_TRUE(has_log);
  EXPECT_TRUE(absl::StrContains(played.said, "refusing to overwrite it")) << played.said;
}

TEST(WipeTest, ADirectoryThatIsInUseIsNotInitialised) {
  const Played played = Wipe("in-use", [](Cluster& cluster) {
    if (cluster.scheduler().now() > kStarted + 10 * kMillisecond) {
      EXPECT_EQ(cluster.Find(3)->state(), Process::State::kUp);
      EXPECT_EQ(cluster.Find(3)->replica()->options().incarnation, 1u);
      EXPECT_GT(cluster.Find(3)->replica()->raft().log().last(), 1u);
    }
  });
  EXPECT_TRUE(absl::StrContains(played.said, "already initialised")) << played.said;
  EXPECT_EQ(Wipes(played.report), 0u) << "nothing is lost";
  EXPECT_EQ(Seen(played.report, RareState::kWiped), 0u);
}

TEST(WipeTest, WhatTheOthersNeedIsNotWiped) {
  // One of two, the second of three, and one of three while another has rot.
  EXPECT_EQ(
      Wipes(Play("set founders 2\n", "at 500ms: wipe 2 empty for 300ms\n", [](Cluster&) {}).report),
      0u);
  EXPECT_EQ(Wipes(Play("", "at 500ms: wipe 2 empty for 300ms\nat 600ms: wipe 3 empty for 300ms\n",
                       [](Cluster&) {})
                      .report),
            1u);
  EXPECT_EQ(Wipes(Play("set founders 5\n",
                       "at 500ms: wipe 2 empty for 300ms\nat 600ms: wipe 3 joiner for 300ms\n"
                       "at 700ms: wipe 4 empty for 300ms\n",
                       [](Cluster&) {})
                      .report),
            2u);
  const Played rotten = Play(
      "", "at 400ms: rot 2 draw 150 for 2s\nat 500ms: wipe 3 empty for 300ms\n", [](Cluster&) {});
  EXPECT_EQ(Wipes(rotten.report), 0u);
  EXPECT_TRUE(absl::StrContains(rotten.said, "the others need it")) << rotten.said;
  // The only voter of what it was founded with would not need to ask anybody.
  EXPECT_EQ(Wipes(Play("set founders 3\nset founding-learners 2\n",
                       "at 500ms: wipe 3 founder for 300ms\n", [](Cluster&) {})
                      .report),
            0u);
}

// The operator is not done when the faults are over.
TEST(WipeTest, WhoIsWipedLastIsReplaced) {
  const Played played = Play("", "at 3990ms: wipe 3 empty for 300ms\n", [](Cluster&) {});
  EXPECT_EQ(Wipes(played.report), 1u);
  EXPECT_EQ(Seen(played.report, RareState::kWipedReplaced), 1u);
}

// A learner is replaced by a learner.
TEST(WipeTest, WhoHadNoVoteIsReplacedByWhoHasNone) {
  raft::ConfState conf;
  const Played played = Wipe(
      "empty",
      [&](Cluster& cluster) {
        if (cluster.Leader() != nullptr) conf = cluster.Leader()->replica()->raft().conf();
      },
      "set founders 4\nset founding-learners 2\n");
  EXPECT_EQ(conf.voters, (std::vector<raft::NodeId>{1, 2}));
  EXPECT_EQ(conf.learners, (std::vector<raft::NodeId>{4, 5}));
  EXPECT_EQ(Seen(played.report, RareState::kWipedReplaced), 1u);
}

// From the loss until all know of it, nothing is torn; before and behind that, it may be.
TEST(WipeTest, NothingIsTornUntilAllKnow) {
  bool settled = false;
  Wipe("empty", [&](Cluster& cluster) {
    const Time now = cluster.scheduler().now();
    if (now < kWiped) {
      EXPECT_TRUE(cluster.MayTear());
    } else if (now > kWiped + kMillisecond && now < kWiped + kSecond) {
      EXPECT_FALSE(cluster.MayTear());
    } else if (cluster.retired(3)) {
      settled = true;
      EXPECT_TRUE(cluster.MayTear());
    }
  });
  EXPECT_TRUE(settled);
}

}  // namespace
}  // namespace raftkv::sim
