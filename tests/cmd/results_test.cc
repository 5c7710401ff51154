// Results of seeds as lines, files and reports.
#include "cmd/sim/results.h"

#include <limits>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "cmd/sim/junit.h"
#include "cmd/sim/merge.h"
#include "cmd/sim/sweep.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr uint64_t kLargest = std::numeric_limits<uint64_t>::max();

SeedResult Example(uint64_t seed) {
  SeedResult result;
  result.seed = seed;
  result.hash = 0xfedcba9876543210 + seed;
  result.steps = 99;
  result.duration_us = 81'034;
  result.twice = true;
  uint64_t value = 1;
  // A place for each counter, so that none may be lost or take the place of another.
  auto* counters = reinterpret_cast<uint64_t*>(&result.counters);
  for (size_t i = 0; i < sizeof(RunCounters) / sizeof(uint64_t); ++i) counters[i] = value++;
  return result;
}

std::string Line(uint64_t seed, uint64_t hash = 7) {
  SeedResult result;
  result.seed = seed;
  result.hash = hash;
  return ToLine(OriginHere(Profile::kEverything), result) + "\n";
}

std::string ErrorOf(const std::string& text) {
  const absl::StatusOr<ResultsText> results = ParseResults("r.jsonl", text);
  return results.ok() ? "none" : std::string(results.status().message());
}

TEST(ResultLineTest, HoldsEverything) {
  const SeedResult result = Example(kLargest - 1);
  const std::string line = ToLine(OriginHere(Profile::kDisk), result);
  EXPECT_TRUE(absl::StartsWith(line, kResultBegins));
  EXPECT_THAT(line, Not(HasSubstr("\n")));
  const absl::StatusOr<ResultLine> parsed = ParseResultLine(line);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->origin, OriginHere(Profile::kDisk));
  EXPECT_EQ(parsed->result.seed, result.seed);
  EXPECT_EQ(parsed->result.hash, result.hash);
  EXPECT_EQ(parsed->result.duration_us, result.duration_us);
  EXPECT_TRUE(parsed->result.twice);
  EXPECT_EQ(DifferenceOf(parsed->result, result), "");
  EXPECT_EQ(NamedCounters(parsed->result.counters), NamedCounters(result.counters));
}

TEST(ResultLineTest, AViolationSurvivesWhateverItsBytes) {
  SeedResult result = Example(1);
  result.violation_id = "I5";
  result.violation_name = "state-machine safety";
  result.violation = "VIOLATION \"\\\n\x01\xe2\x80\xa8</script>";
  result.story = "one\ntwo\n";
  const absl::StatusOr<ResultLine> parsed =
      ParseResultLine(ToLine(OriginHere(Profile::kEverything), result));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->result.violation, result.violation);
  EXPECT_EQ(parsed->result.violation_id, "I5");
  EXPECT_EQ(parsed->result.violation_name, "state-machine safety");
  EXPECT_EQ(parsed->result.story, result.story);
  result.violation = "a\xff";
  EXPECT_EQ(ParseResultLine(ToLine(OriginHere(Profile::kEverything), result))->result.violation,
            "a\xef\xbf\xbd");
}

TEST(ResultLineTest, WhatIsMissingOrOddIsSaid) {
  const std::string line = Line(3);
  const auto error = [&line](const char* from, const char* to) {
    const std::string changed = absl::StrReplaceAll(line, {{from, to}});
    EXPECT_NE(changed, line) << from;
    const absl::StatusOr<ResultLine> parsed = ParseResultLine(changed);
    return parsed.ok() ? "none" : std::string(parsed.status().message());
  };
  EXPECT_THAT(error("\"format\":1", "\"format\":2"), HasSubstr("format 2"));
  EXPECT_THAT(error("\"seed\":3", "\"seed\":-3"), HasSubstr("'seed'"));
  EXPECT_THAT(error("\"seed\":3", "\"seed\":18446744073709551616"), HasSubstr("'seed'"));
  EXPECT_THAT(error("\"seed\":3,", ""), HasSubstr("'seed'"));
  EXPECT_THAT(error("\"hash\":\"0", "\"hash\":\""), HasSubstr("'hash'"));
  EXPECT_THAT(error("everything", "nothing"), HasSubstr("profile 'nothing'"));
  EXPECT_THAT(error("\"violation\":null", "\"violation\":{}"), HasSubstr("violation"));
  EXPECT_THAT(error("\"counters\":{", "\"counters\":{\"wonders\":1"), HasSubstr("counter"));
  EXPECT_THAT(error("\"faults\":{", "\"faults\":{\"wonders\":1"), HasSubstr("fault"));
  EXPECT_THAT(error("\"twice\":false", "\"twice\":0"), HasSubstr("'twice'"));
  EXPECT_THAT(std::string(ParseResultLine("[1]").status().message()), HasSubstr("object"));
  EXPECT_THAT(std::string(ParseResultLine("{\"a\":1}").status().message()), HasSubstr("no result"));
}

TEST(ParseResultsTest, ALineThatWasCutOffIsLeftOut) {
  const std::string whole = Line(1) + Line(2);
  for (size_t cut = 0; cut < Line(3).size(); ++cut) {
    const absl::StatusOr<ResultsText> results =
        ParseResults("r.jsonl", whole + Line(3).substr(0, cut));
    ASSERT_TRUE(results.ok()) << cut << results.status();
    EXPECT_EQ(results->lines.size(), 2u);
    EXPECT_EQ(results->whole_bytes, whole.size());
  }
  const absl::StatusOr<ResultsText> zeros = ParseResults("r.jsonl", whole + std::string(50, '\0'));
  ASSERT_TRUE(zeros.ok());
  EXPECT_EQ(zeros->whole_bytes, whole.size());
}

TEST(ParseResultsTest, SomethingElseIsRefusedWithItsLine) {
  EXPECT_EQ(ErrorOf(""), "none");
  EXPECT_THAT(ErrorOf("a letter"), HasSubstr("r.jsonl:1: "));
  EXPECT_THAT(ErrorOf("{\"for\":"), HasSubstr("r.jsonl:1: "));
  EXPECT_THAT(ErrorOf(Line(1) + "a letter\n" + Line(2)), HasSubstr("r.jsonl:2: "));
  EXPECT_THAT(ErrorOf(Line(1) + "\n" + Line(2)), HasSubstr("r.jsonl:2: "));
  EXPECT_THAT(ErrorOf(Line(1) + Line(2).substr(0, 40) + "\n" + Line(3)), HasSubstr("r.jsonl:2: "));
}

ResultLine Parsed(const std::string& line) {
  return *ParseResultLine(absl::StripSuffix(line, "\n"));
}

TEST(ResultSetTest, TheSameAgainCountsOnce) {
  ResultSet set;
  set.Add("a:1", Parsed(Line(1)));
  ResultLine twice = Parsed(Line(1));
  twice.result.twice = true;
  set.Add("b:1", twice);
  set.Add("a:2", Parsed(Line(1)));
  EXPECT_EQ(set.repeated(), 2u);
  EXPECT_THAT(set.disagreements(), IsEmpty());
  ASSERT_EQ(set.origins().size(), 1u);
  ASSERT_EQ(set.origins().begin()->second.size(), 1u);
  EXPECT_TRUE(set.origins().begin()->second.at(1).twice);
}

TEST(ResultSetTest, AnotherRunOfTheSameSeedIsNamed) {
  ResultSet set;
  set.Add("a:1", Parsed(Line(17, 1)));
  set.Add("b:5", Parsed(Line(17, 2)));
  EXPECT_THAT(set.disagreements(),
              ElementsAre("seed 17 of everything is another run in a:1 than in b:5: hash "
                          "0000000000000001 and 0000000000000002"));
}

TEST(ShardTest, ShardsShareTheSeedsOut) {
  for (const uint64_t of : {1u, 2u, 3u, 7u, 20u}) {
    for (const SeedRange range :
         {SeedRange{1, 1}, SeedRange{5, 16}, SeedRange{0, 6}, SeedRange{kLargest - 9, kLargest}}) {
      std::map<uint64_t, int> times;
      for (uint64_t part = 1; part <= of; ++part) {
        const ShardSeeds seeds(range, {part, of});
        for (uint64_t i = 0; i < seeds.count(); ++i) {
          ++times[seeds.At(i)];
          EXPECT_TRUE(seeds.Contains(seeds.At(i)));
          EXPECT_EQ(ShardSeeds(range, {part % of + 1, of}).Contains(seeds.At(i)), of == 1);
        }
      }
      EXPECT_EQ(times.size(), range.count());
      EXPECT_EQ(times.begin()->first, range.first);
      EXPECT_EQ(times.rbegin()->first, range.last);
    }
  }
  EXPECT_FALSE(ShardSeeds({5, 16}, {1, 1}).Contains(4));
  EXPECT_FALSE(ShardSeeds({5, 16}, {1, 1}).Contains(17));
}

TEST(ShardTest, IsWritten) {
  EXPECT_EQ(ParseShard("2/4")->part, 2u);
  EXPECT_EQ(ParseShard("2/4")->of, 4u);
  for (const char* wrong : {"", "1", "0/4", "5/4", "1/0", "a/4", "1/2/3", "-1/2", "1/"}) {
    EXPECT_FALSE(ParseShard(wrong).has_value()) << wrong;
  }
}

std::string Missing(SeedRange range, const std::vector<uint64_t>& there) {
  std::vector<SeedResult> results;
  for (const uint64_t seed : there) results.emplace_back().seed = seed;
  uint64_t count = 0;
  const std::string text = MissingSeeds(range, results, &count);
  return absl::StrCat(count, ": ", text);
}

TEST(MissingSeedsTest, GapsAreNamed) {
  EXPECT_EQ(Missing({1, 3}, {1, 2, 3}), "0: ");
  EXPECT_EQ(Missing({1, 3}, {}), "3: 1..3");
  EXPECT_EQ(Missing({1, 9}, {2, 3, 5, 8}), "5: 1, 4, 6..7, 9");
  EXPECT_EQ(Missing({3, 5}, {1, 4, 9}), "2: 3, 5");
  EXPECT_EQ(Missing({kLargest - 2, kLargest}, {kLargest}),
            absl::StrCat("2: ", kLargest - 2, "..", kLargest - 1));
  EXPECT_EQ(Missing({kLargest - 2, kLargest}, {kLargest - 1}),
            absl::StrCat("2: ", kLargest - 2, ", ", kLargest));
  std::vector<uint64_t> even;
  for (uint64_t seed = 2; seed <= 40; seed += 2) even.push_back(seed);
  EXPECT_EQ(Missing({1, 40}, even), "20: 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23 and 8 more");
}

TEST(EscapeXmlTest, EverythingBecomesCharactersOfXml) {
  EXPECT_EQ(EscapeXml("<a b=\"c\">&]]>"), "&lt;a b=&quot;c&quot;&gt;&amp;]]&gt;");
  EXPECT_EQ(EscapeXml("\n\t\r"), "&#10;&#9;&#13;");
  EXPECT_EQ(EscapeXml(std::string("\0\x1b", 2)), "\xe2\x90\x80\xe2\x90\x9b");
  EXPECT_EQ(EscapeXml("\xc3\xa4\xf0\x9f\x98\x80"), "\xc3\xa4\xf0\x9f\x98\x80");
  EXPECT_EQ(EscapeXml("a\xff"), "a\xef\xbf\xbd");
  EXPECT_EQ(EscapeXml("\xef\xbf\xbe\xef\xbf\xbf!"), "\xef\xbf\xbd\xef\xbf\xbd!");
}

}  // namespace
}  // namespace raftkv::sim
