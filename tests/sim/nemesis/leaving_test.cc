// A disk is damaged only if the others can do without it, and who was asked to leave may be gone at
// any moment.
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "sim/run/run.h"
#include "sim/scenario/scenario.h"

namespace raftkv::sim {
namespace {

// How often the disk of node 3 is damaged at 800 ms, in a cluster of five. Node 2 leads, and stands
// still from 700 ms to 1,300 ms.
uint64_t Damages(const std::string& asked) {
  std::string text = "raftkv scenario 1\nseed 1\nset founders 5\nset chaos 3s\nclient 1\n";
  for (int i = 1; i < 6; ++i) absl::StrAppend(&text, "at ", 100 * i, "ms: c1: INCR n1\n");
  absl::StrAppend(&text, "at 700ms: pause 2 for 600ms\n", asked,
                  "at 800ms: rot 3 draw 150 for 300ms\n");
  const absl::StatusOr<Scenario> scenario = ParseScenario("leaving", text);
  EXPECT_TRUE(scenario.ok()) << scenario.status();
  const RunReport report = Simulate(scenario->settings);
  EXPECT_FALSE(report.violation.has_value()) << FormatViolation(*report.violation);
  return report.counters.faults[static_cast<size_t>(Fault::kRot)];
}

TEST(LeavingTest, NothingIsDamagedWhileAVoterIsAskedToLeave) {
  EXPECT_EQ(Damages(""), 1u);
  EXPECT_EQ(Damages("at 710ms: member 1 KV.MEMBER REMOVE 4\n"), 0u);
}

// Node 4 is added again when it has been no member for a second, which is when it would be switched
// off, and that takes some time. When it is removed once more, and stays away, it is.
TEST(LeavingTest, WhoIsAskedToComeBackIsNotSwitchedOff) {
  const std::string text =
      "raftkv scenario 1\nseed 1\nset founders 5\nset chaos 5s\nclient 1\n"
      "at 100ms: c1: INCR n1\n"
      "at 500ms: member 1 KV.MEMBER REMOVE 4\n"
      "at 1690ms: pause 1 for 200ms\nat 1690ms: pause 3 for 200ms\n"
      "at 1690ms: pause 5 for 200ms\n"
      "at 1700ms: member 2 KV.MEMBER ADD 4 node-4:7401 node-4:7400 1\n";
  const auto retired = [](const std::string& scenario_text) {
    const absl::StatusOr<Scenario> scenario = ParseScenario("coming back", scenario_text);
    EXPECT_TRUE(scenario.ok()) << scenario.status();
    int switched_off = 0;
    const RunReport report = Simulate(scenario->settings, [&](Time, absl::string_view line) {
      if (absl::StrContains(line, "switches node 4 off")) ++switched_off;
    });
    EXPECT_FALSE(report.violation.has_value()) << FormatViolation(*report.violation);
    return switched_off;
  };
  EXPECT_EQ(retired(text), 0);
  EXPECT_EQ(retired(absl::StrCat(text, "at 2500ms: member 2 KV.MEMBER REMOVE 4\n")), 1);
  const std::string refused =
      absl::StrReplaceAll(text, {{"node-4:7401 node-4:7400", "node-3:7401 node-3:7400"}});
  EXPECT_EQ(retired(refused), 1);
}

}  // namespace
}  // namespace raftkv::sim
