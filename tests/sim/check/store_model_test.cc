// The parts of a history, and what each command may have answered.
#include "sim/check/store_model.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/check/check_command.h"
#include "sim/check/text_format.h"

namespace raftkv::sim {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

// One client does one thing after the other: "commands -> replies".
std::string Text(const std::vector<std::string>& operations) {
  std::string text = "raftkv-history 1\n";
  for (size_t i = 0; i < operations.size(); ++i) {
    const size_t arrow = operations[i].find(" -> ");
    absl::StrAppend(&text, i, " c ", i, " invoke ", operations[i].substr(0, arrow), "\n");
    absl::StrAppend(&text, i, " c ", i, " ", operations[i].substr(arrow + 4), "\n");
  }
  return text;
}

bool Fits(const std::vector<std::string>& operations) {
  const absl::StatusOr<CheckReport> report = CheckHistoryText("test", Text(operations));
  EXPECT_TRUE(report.ok()) << report.status();
  EXPECT_NE(report->verdict, Verdict::kUndecided);
  return report.ok() && report->verdict == Verdict::kLinearizable;
}

std::vector<HistoryPart> Parts(const std::vector<std::string>& operations) {
  const absl::StatusOr<History> history = ReadHistoryText("test", Text(operations));
  EXPECT_TRUE(history.ok()) << history.status();
  return SplitIntoParts(*history);
}

TEST(SplitIntoPartsTest, KeysThatShareNoOperationAreApart) {
  const auto parts = Parts({R"(set "a" "1" -> ok ok)", R"(set "b" "1" ; set "d" "1" -> ok ok ; ok)",
                            R"(get "c" -> ok nil)", R"(get "d" -> ok "1")"});
  ASSERT_THAT(parts, SizeIs(3));
  EXPECT_THAT(parts[0].keys, ElementsAre("a"));
  EXPECT_THAT(parts[1].keys, ElementsAre("b", "d"));
  EXPECT_THAT(parts[1].source, ElementsAre(1, 3));
  EXPECT_THAT(parts[2].keys, ElementsAre("c"));
}

TEST(SplitIntoPartsTest, ARangeHoldsItsKeysTogether) {
  const auto parts =
      Parts({R"(set "a" "1" -> ok ok)", R"(set "b" "1" -> ok ok)", R"(set "c" "1" -> ok ok)",
             R"(range "b" "" -> ok [ "b" "1" "c" "1" ])"});
  ASSERT_THAT(parts, SizeIs(2));
  EXPECT_THAT(parts[1].keys, ElementsAre("b", "c"));
}

TEST(SplitIntoPartsTest, WhatSaysNothingIsLeftOut) {
  EXPECT_THAT(Parts({R"(set "a" "1" -> fail)", R"(get "b" -> unknown)", R"(get "c" -> ok -)"}),
              SizeIs(0));
}

TEST(StoreModelTest, Reads) {
  EXPECT_TRUE(Fits({R"(set "k" "abc" -> ok ok)", R"(get "k" -> ok "abc")", R"(exists "k" -> ok 1)",
                    R"(strlen "k" -> ok 3)", R"(size -> ok 1)"}));
  EXPECT_TRUE(Fits({R"(get "k" -> ok nil)", R"(exists "k" -> ok 0)", R"(strlen "k" -> ok 0)"}));
  EXPECT_FALSE(Fits({R"(set "k" "abc" -> ok ok)", R"(get "k" -> ok nil)"}));
  EXPECT_FALSE(Fits({R"(set "k" "abc" -> ok ok)", R"(exists "k" -> ok 0)"}));
  EXPECT_FALSE(Fits({R"(set "k" "abc" -> ok ok)", R"(strlen "k" -> ok 2)"}));
  EXPECT_FALSE(Fits({R"(set "k" "abc" -> ok ok)", R"(size -> ok 2)"}));
}

TEST(StoreModelTest, ConditionalWrites) {
  EXPECT_TRUE(Fits({R"(set "k" "1" if absent -> ok ok)", R"(set "k" "2" if absent -> ok unmet)",
                    R"(set "k" "3" if present -> ok ok)", R"(set "k" "4" if value "1" -> ok unmet)",
                    R"(set "k" "4" if value "3" -> ok ok)", R"(get "k" -> ok "4")",
                    R"(del "k" if value "5" -> ok unmet)", R"(del "k" if present -> ok 1)",
                    R"(del "k" -> ok 0)", R"(set "k" "9" if present -> ok unmet)",
                    R"(get "k" -> ok nil)"}));
  EXPECT_FALSE(Fits({R"(set "k" "1" if absent -> ok ok)", R"(set "k" "2" if absent -> ok ok)"}));
  EXPECT_FALSE(Fits({R"(set "k" "1" if present -> ok ok)"}));
  EXPECT_FALSE(Fits({R"(set "k" "1" if value nil -> ok unmet)"}));
  EXPECT_FALSE(Fits({R"(set "k" "1" -> ok ok)", R"(del "k" -> ok 0)"}));
}

TEST(StoreModelTest, AppendAndIncrement) {
  EXPECT_TRUE(Fits({R"(append "k" "ab" -> ok 2)", R"(append "k" "c" -> ok 3)",
                    R"(get "k" -> ok "abc")", R"(incrby "k" 1 -> ok error)"}));
  EXPECT_FALSE(Fits({R"(append "k" "ab" -> ok 2)", R"(append "k" "c" -> ok 4)"}));
  EXPECT_TRUE(Fits({R"(incrby "n" 5 -> ok 5)", R"(incrby "n" -7 -> ok -2)", R"(get "n" -> ok "-2")",
                    R"(append "n" "0" -> ok 3)", R"(incrby "n" 1 -> ok -19)"}));
  EXPECT_TRUE(Fits({R"(set "n" "9223372036854775807" -> ok ok)", R"(incrby "n" 1 -> ok error)",
                    R"(incrby "n" 0 -> ok 9223372036854775807)"}));
  EXPECT_TRUE(Fits({R"(set "n" "007" -> ok ok)", R"(incrby "n" 1 -> ok error)"}));
  EXPECT_FALSE(Fits({R"(incrby "n" 5 -> ok error)"}));
}

TEST(StoreModelTest, Ranges) {
  const std::string abc = R"(set "a" "1" ; set "b" "2" ; set "c" "3" -> ok ok ; ok ; ok)";
  EXPECT_TRUE(Fits({abc, R"(range "a" "c" -> ok [ "a" "1" "b" "2" ])",
                    R"(range "" "" -> ok [ "a" "1" "b" - ] more)", R"(range "x" "" -> ok [ ])",
                    R"(range "c" "a" -> ok [ ])"}));
  EXPECT_FALSE(Fits({abc, R"(range "a" "c" -> ok [ "a" "1" ])"}));
  EXPECT_FALSE(Fits({abc, R"(range "a" "c" -> ok [ "a" "1" "b" "2" ] more)"}));
  EXPECT_FALSE(Fits({abc, R"(range "a" "" -> ok [ "b" "2" "c" "3" ])"}));
  EXPECT_FALSE(Fits({abc, R"(range "a" "" -> ok [ "a" "1" "b" "2" "c" "3" "d" "4" ])"}));
  EXPECT_FALSE(Fits({R"(range "a" "" -> ok [ ] more)"}));
  // No store can answer with entries out of order, twice, or out of the range.
  EXPECT_FALSE(Fits({abc, R"(range "a" "" -> ok [ "b" "2" "a" "1" "c" "3" ])"}));
  EXPECT_FALSE(Fits({abc, R"(range "a" "b" -> ok [ "a" "1" "a" "1" ])"}));
  EXPECT_FALSE(Fits({abc, R"(range "b" "c" -> ok [ "b" "2" "c" "3" ])"}));
  EXPECT_FALSE(Fits({abc, R"(range "b" "c" -> ok [ "a" "1" "b" "2" ])"}));
}

TEST(StoreModelTest, Guards) {
  const std::string one = R"(set "k" "1" -> ok ok)";
  EXPECT_TRUE(Fits({one, R"(check "k" value "1" ; check "l" absent ; set "l" "2" -> ok ok)",
                    R"(check "k" present ; check "l" absent ; set "k" "3" -> ok aborted 1)",
                    R"(get "k" -> ok "1")", R"(get "l" -> ok "2")"}));
  EXPECT_FALSE(Fits({one, R"(check "k" absent ; set "l" "2" -> ok ok)"}));
  EXPECT_FALSE(Fits({one, R"(check "k" present ; set "l" "2" -> ok aborted)"}));
  // The first that does not hold is named.
  EXPECT_FALSE(Fits({one, R"(check "k" absent ; check "l" present ; get "k" -> ok aborted 1)"}));
  // Nothing of it happened.
  EXPECT_FALSE(
      Fits({one, R"(check "k" absent ; set "k" "2" -> ok aborted)", R"(get "k" -> ok "2")"}));
}

TEST(StoreModelTest, VersionsGrowWithEachWrite) {
  EXPECT_TRUE(
      Fits({R"(set "k" "1" -> ok ok @5)", R"(get "k" -> ok "1" @5)", R"(set "k" "1" -> ok ok @9)",
            R"(get "k" -> ok "1" @9)", R"(set "k" "2" if version 5 -> ok unmet @9)",
            R"(set "k" "2" if version 9 -> ok ok @10)", R"(del "k" -> ok 1)",
            R"(get "k" -> ok nil @0)", R"(set "k" "3" if version 0 -> ok ok @12)"}));
  EXPECT_FALSE(Fits({R"(set "k" "1" -> ok ok @5)", R"(set "k" "1" -> ok ok @5)"}));
  EXPECT_FALSE(Fits({R"(set "k" "1" -> ok ok @5)", R"(get "k" -> ok "1" @4)"}));
  EXPECT_FALSE(Fits({R"(set "k" "1" -> ok ok @5)", R"(set "k" "2" if version 4 -> ok ok @6)"}));
  EXPECT_FALSE(Fits({R"(set "k" "1" -> ok ok @5)", R"(set "k" "2" if version 5 -> ok unmet)"}));
  EXPECT_FALSE(Fits({R"(set "k" "1" if version 0 -> ok unmet)"}));
  // A deleted key does not start again from below.
  EXPECT_FALSE(
      Fits({R"(set "k" "1" -> ok ok @5)", R"(del "k" -> ok 1)", R"(set "k" "1" -> ok ok @3)"}));
}

TEST(StoreModelTest, AVersionNobodyToldIsLearntByTheFirstWhoSeesIt) {
  EXPECT_TRUE(Fits({R"(set "k" "1" -> ok ok @5)", R"(set "k" "2" -> unknown)",
                    R"(get "k" -> ok "2" @8)", R"(get "k" -> ok "2" @8)"}));
  EXPECT_FALSE(Fits({R"(set "k" "1" -> ok ok @5)", R"(set "k" "2" -> unknown)",
                     R"(get "k" -> ok "2" @8)", R"(get "k" -> ok "2" @9)"}));
  EXPECT_FALSE(
      Fits({R"(set "k" "1" -> ok ok @5)", R"(set "k" "2" -> unknown)", R"(get "k" -> ok "2" @3)"}));
  EXPECT_TRUE(Fits({R"(set "k" "1" -> ok ok)", R"(set "k" "2" if version 7 -> ok ok @8)",
                    R"(get "k" -> ok "2" @8)"}));
}

TEST(StoreModelTest, TheCommandsOfOneOperationShareAVersion) {
  EXPECT_TRUE(Fits({R"(set "k" "1" ; set "k" "2" ; get "k" -> ok ok @4 ; ok @4 ; "2" @4)",
                    R"(get "k" -> ok "2" @4)"}));
  EXPECT_FALSE(Fits({R"(set "k" "1" ; set "k" "2" -> ok ok @4 ; ok @5)"}));
}

TEST(StoreModelTest, AWriteOnAVersionWithoutAnAnswerMayNotHaveHappened) {
  const std::string unclear = R"(set "k" "2" if version 7 -> ok -)";
  EXPECT_TRUE(Fits({R"(set "k" "1" -> ok ok)", unclear, R"(get "k" -> ok "1" @7)"}));
  EXPECT_TRUE(Fits({R"(set "k" "1" -> ok ok)", unclear, R"(get "k" -> ok "2" @8)"}));
}

TEST(StoreModelTest, DescribesStates) {
  auto parts = Parts({R"(set "k" "x" ; set "l" "1" -> ok ok @5 ; ok)", R"(get "k" -> ok "x")"});
  ASSERT_THAT(parts, SizeIs(1));
  StoreModel& model = *parts[0].model;
  const State initial = model.Initial();
  EXPECT_EQ(model.Describe(initial), R"("k"=nil "l"=nil)");
  EXPECT_EQ(model.Describe(model.Step(initial, parts[0].operations[0].action)),
            R"("k"="x" @5 "l"=(never seen) @>0)");
}

}  // namespace
}  // namespace raftkv::sim
