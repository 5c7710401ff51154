#include "sim/cues/cue.h"

#include <string>

#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

TEST(CueTest, SituationsAreWhatTheySay) {
  for (const std::string text :
       {"2 leads term 3", "2 leads", "1 campaigns term 7", "1 campaigns", "3 in term 4", "1 has 7",
        "1 commits 8", "5 applies 9", "4 down", "4 up"}) {
    const absl::StatusOr<Situation> situation = ParseSituation(text);
    ASSERT_TRUE(situation.ok()) << situation.status();
    EXPECT_EQ(FormatSituation(*situation), text);
  }
  EXPECT_EQ(ParseSituation("2 leads term 3")->number, 3u);
  EXPECT_EQ(ParseSituation("2 leads term 3")->node, 2u);
}

TEST(CueTest, WhatIsNoSituationIsSaid) {
  for (const std::string text :
       {"", "2", "leads term 3", "0 leads", "2 sleeps", "2 leads term", "2 leads 3", "2 commits",
        "2 commits x", "2 commits 0", "2 commits 7 8", "2 up 1", "2 in 3", "2 has term 3",
        "-1 leads", "2 leads term 3 4"}) {
    EXPECT_FALSE(ParseSituation(text).ok()) << text;
  }
}

TEST(CueTest, TimesKeepTheirMicroseconds) {
  for (const Time time :
       {Time{0}, Time{1}, Time{999}, Time{1'000}, Time{1'001}, Time{250'000}, Time{999'999},
        kSecond, Time{1'200'000}, Time{1'200'001}, 3'600 * kSecond}) {
    const absl::StatusOr<Time> again = ParseTime(FormatTime(time));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*again, time) << FormatTime(time);
  }
  EXPECT_EQ(FormatTime(1'200'000), "1.2s");
  EXPECT_EQ(FormatTime(250'000), "250ms");
  EXPECT_EQ(FormatTime(1'001), "1001us");
  EXPECT_EQ(*ParseTime("0.25ms"), 250u);
  for (const std::string text : {"", "3", "s", "ms", "1.s", ".5s", "1.5us", "1.0000001s", "-1s",
                                 "1.2.3s", "1e3s", "99999999999999999999s", "1 s"}) {
    EXPECT_FALSE(ParseTime(text).ok()) << text;
  }
}

}  // namespace
}  // namespace raftkv::sim
