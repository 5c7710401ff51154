// Each attack is played in a quiet cluster, at whom it is meant for, and counts; at somebody else
// it comes to nothing, and does not.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/substitute.h"
#include "gtest/gtest.h"
#include "sim/run/run.h"
#include "sim/scenario/scenario.h"

namespace raftkv::sim {
namespace {

struct Attack {
  Fault fault;
  // L leads, A and B follow.
  std::string at_leader;
  std::string at_follower;  // empty: it is as good there
};

const Attack kAttacks[] = {
    {Fault::kLeaderInMinority, "leader-in-minority L L>A A>L L>B B>L for 300ms",
     "leader-in-minority A A>L L>A A>B B>A for 300ms"},
    {Fault::kOneWayLeader, "one-way-leader L A>L B>L for 500ms",
     "one-way-leader A L>A B>A for 500ms"},
    {Fault::kWithheldAnswers, "withheld-answers L A B for 300ms",
     "withheld-answers A L B for 300ms"},
    {Fault::kFigure8, "figure-8 L A after-ms 5 for 4s", "figure-8 A L after-ms 5 for 4s"},
    {Fault::kOutlivedLease, "outlived-lease L for 3s", "outlived-lease A for 3s"},
    {Fault::kOldMessages, "old-messages A after-ms 1999 for 100ms", ""},
    {Fault::kReusedAddresses, "reused-address A B for 300ms", ""},
    {Fault::kStuckChanges, "stuck-change L A B for 4s", ""},
    {Fault::kOvertakenAppends, "overtaken-appends L A times 20 for 4s",
     "overtaken-appends A L times 20 for 4s"},
};

uint64_t Counted(Fault fault, const std::string& attack, const std::vector<std::string>& more = {},
                 uint64_t seed = 1) {
  // Whoever leads first: a line for each that may, and the other two are never due.
  std::string text = absl::StrCat("raftkv scenario 1\nseed ", seed,
                                  "\nset chaos 8s\nclient 1\nclient 2\nclient 3\n");
  for (const char* number : {"1", "2", "3"}) {
    for (int i = 1; i < 60; ++i) {
      absl::StrAppend(&text, "at ", 100 * i, "ms: c", number, ": INCR n", number, "\n");
    }
  }
  const int nodes = fault == Fault::kFigure8 ? 5 : 3;
  if (nodes == 5) absl::StrAppend(&text, "set founders 5\n");
  if (fault == Fault::kOvertakenAppends) {
    // Whoever lags needs a snapshot soon, and its leader notices.
    absl::StrAppend(&text,
                    "set snapshot-minimum-bytes 300\nset snapshot-state-percent 0\n"
                    "set trailing-log-bytes 0\nset max-inflight-messages 2\n");
  }
  for (int leader = 0; leader < nodes; ++leader) {
    const auto node = [&](int behind) { return absl::StrCat((leader + behind) % nodes + 1); };
    const std::vector<std::string> cast = {node(0), node(1), node(2)};
    absl::StrAppend(&text, "when ", cast[0], " leads term 2 + 500ms: ",
                    absl::StrReplaceAll(attack, {{"L", cast[0]}, {"A", cast[1]}, {"B", cast[2]}}),
                    "\n");
    for (const std::string& line : more) {
      absl::StrAppend(&text, "when ", cast[0],
                      " leads term 2 + 700ms: ", absl::Substitute(line, cast[0], cast[1]), "\n");
    }
  }
  const absl::StatusOr<Scenario> scenario = ParseScenario("attack", text);
  EXPECT_TRUE(scenario.ok()) << scenario.status();
  const RunReport report = Simulate(scenario->settings);
  EXPECT_FALSE(report.violation.has_value()) << FormatViolation(*report.violation);
  return report.counters.faults[static_cast<size_t>(fault)];
}

TEST(AttacksTest, CountOnlyWhenTheyComeToWhatTheyAreNamedFor) {
  for (const Attack& attack : kAttacks) {
    // For old messages there has to be a later term, for a stuck change a change and time to see
    // it.
    std::vector<std::string> more;
    if (attack.fault == Fault::kOldMessages) more = {"kill $0 for 500ms"};
    if (attack.fault == Fault::kStuckChanges) {
      more = {"slow-disk $1 times 50 for 3s",
              "member $0 KV.MEMBER ADD 4 node-4:7401 node-4:7400 1"};
    }
    uint64_t counted = 0;
    // Who is elected in the middle of figure 8 is a matter of luck.
    const uint64_t seeds = attack.fault == Fault::kFigure8 ? 8 : 1;
    for (uint64_t seed = 1; seed <= seeds; ++seed) {
      counted += Counted(attack.fault, attack.at_leader, more, seed);
    }
    EXPECT_GE(counted, 1u) << Name(attack.fault);
    EXPECT_LE(counted, seeds) << Name(attack.fault);
    if (attack.at_follower.empty()) continue;
    EXPECT_EQ(Counted(attack.fault, attack.at_follower), 0u) << Name(attack.fault);
  }
  EXPECT_EQ(Counted(Fault::kOldMessages, "old-messages A after-ms 1999 for 100ms"), 0u)
      << "they are of the term that still is";
  EXPECT_EQ(Counted(Fault::kStuckChanges, "stuck-change L A B for 4s"), 0u) << "nothing changes";
}

}  // namespace
}  // namespace raftkv::sim
