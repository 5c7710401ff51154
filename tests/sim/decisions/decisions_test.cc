#include "sim/decisions/decisions.h"

#include <cstdint>
#include <string>

#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

std::string Append() { return "append 1>3 term 2"; }

TEST(DecisionsTest, DrawnOnesAreDrawnAndHaveNoNames) {
  Decisions decisions;
  EXPECT_EQ(decisions.Name([]() -> std::string {
    ADD_FAILURE() << "nobody wants the name";
    return {};
  }),
            "");
  EXPECT_EQ(decisions.Decide("", "takes", 10, [] { return 11u; }), 11u);
  EXPECT_TRUE(decisions.answers().empty());
}

TEST(DecisionsTest, RecordedOnesAreKeptIfTheyAreUnusual) {
  Decisions decisions(Decisions::Source::kRecorded);
  for (const uint64_t takes : {10u, 11u, 10u, 12u}) {
    const std::string name = decisions.Name(Append);
    EXPECT_EQ(decisions.Decide(name, "takes", 10, [takes] { return takes; }), takes);
    EXPECT_EQ(decisions.Decide(name, "lost", 0, [] { return false; }), 0u);
  }
  const Decisions::Answers unusual = {{"append 1>3 term 2 #2: takes", 11},
                                      {"append 1>3 term 2 #4: takes", 12}};
  EXPECT_EQ(decisions.answers(), unusual);
}

TEST(DecisionsTest, GivenOnesAreNotDrawn) {
  Decisions decisions =
      Decisions::Given({{"append 1>3 term 2 #2: takes", 11}, {"append 1>3 term 2 #9: takes", 12}});
  const auto never = []() -> uint64_t {
    ADD_FAILURE() << "drawn";
    return 99;
  };
  EXPECT_EQ(decisions.Decide(decisions.Name(Append), "takes", 10, never), 10u);
  EXPECT_EQ(decisions.Decide(decisions.Name(Append), "takes", 10, never), 11u);
  EXPECT_EQ(
      decisions.Decide(decisions.Name([] { return "append 3>1 term 2"; }), "takes", 10, never), 10u)
      << "counted apart";
}

}  // namespace
}  // namespace raftkv::sim
