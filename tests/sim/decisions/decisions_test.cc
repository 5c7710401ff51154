#include "sim/decisions/decisions.h"

#include <cstdint>
#include <string>
#include <vector>

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

// Or the record has the second alone, and is of another run.
TEST(DecisionsDeathTest, RecordedOnesAreMadeOnce) {
  Decisions decisions(Decisions::Source::kRecorded);
  const std::string name = decisions.Name(Append);
  decisions.Decide(name, "takes", 10, [] { return 11u; });
  decisions.Decide(name, "lost", 0, [] { return false; });
  EXPECT_DEATH(decisions.Decide(name, "takes", 10, [] { return 12u; }), "check failed: decided_");
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

TEST(DecisionsTest, ThoseWithANumberComeOutOtherwise) {
  for (const auto source : {Decisions::Source::kDrawn, Decisions::Source::kRecorded}) {
    Decisions decisions(source);
    decisions.set_changed({{2, 1}, {3, 5}, {5, 3}});
    const auto decide = [&decisions](absl::string_view aspect, uint64_t drawn) {
      return decisions.Decide(decisions.Name(Append), aspect, 0, [drawn] { return drawn; });
    };
    EXPECT_EQ(decide("lost", 0), 0u);
    EXPECT_EQ(decide("lost", 0), 1u);
    EXPECT_EQ(decide("doubled", 1), 0u);
    EXPECT_EQ(decide("takes", 1'000), 1'000u);
    const uint64_t takes = decide("takes", 1'000);
    EXPECT_NE(takes, 1'000u);
    EXPECT_LE(takes, 16'000u);
    EXPECT_EQ(decide("lost", 1), 1u);
    EXPECT_EQ(decisions.made(), 6u);
    if (source == Decisions::Source::kRecorded) {
      EXPECT_EQ(decisions.answers().at("append 1>3 term 2 #2: lost"), 1u) << "what came out";
    }
  }
}

TEST(DecisionsTest, ATurnBeginsAllStreamsAnew) {
  const auto numbers = [](uint64_t salt, uint64_t drawn_before) {
    Decisions decisions;
    Random one(1), two(2);
    decisions.Own(&one);
    decisions.Own(&two);
    for (uint64_t i = 0; i < drawn_before; ++i) one.Next();
    decisions.Turn(salt);
    return std::vector<uint64_t>{one.Next(), two.Next(), one.Next()};
  };
  EXPECT_EQ(numbers(7, 0), numbers(7, 3)) << "whatever was drawn before";
  EXPECT_NE(numbers(7, 0), numbers(8, 0));
  EXPECT_NE(numbers(7, 0)[0], numbers(7, 0)[1]);
}

}  // namespace
}  // namespace raftkv::sim
