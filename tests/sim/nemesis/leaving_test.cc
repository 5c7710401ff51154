// A disk is damaged only if the others can do without it, and who was asked to leave may be gone at
// any moment.
#include <string>

#include "absl/strings/str_cat.h"
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

}  // namespace
}  // namespace raftkv::sim
