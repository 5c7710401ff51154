// What scripts/powercut takes for a loss.
#include "tests/e2e/powercut_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace raftkv::e2e {
namespace {

using Kind = PowercutWrite::Kind;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

PowercutWrite Write(uint64_t number, uint64_t boot = 3) { return {boot, 2, 1, number}; }

PowercutLedger LedgerOf(const std::vector<uint64_t>& numbers, uint64_t reply = 0) {
  PowercutLedger ledger;
  for (const uint64_t number : numbers) EXPECT_TRUE(ledger.Add(Write(number).Acknowledged(reply)));
  return ledger;
}

std::string Lost(const PowercutLedger& ledger, uint64_t number,
                 const std::optional<std::string>& value) {
  return ledger.Judge(Write(number).key(), value).lost;
}

TEST(PowercutLedger, AWriteThatIsThereIsNotLost) {
  const PowercutLedger ledger = LedgerOf({1, 2});
  EXPECT_THAT(ledger.keys(), testing::ElementsAre("once:3:2:1:1", "once:3:2:1:2"));
  EXPECT_EQ(ledger.acknowledged(), 2u);
  EXPECT_THAT(Lost(ledger, 1, Write(1).value()), IsEmpty());
  EXPECT_THAT(Lost(ledger, 2, Write(2).value()), IsEmpty());
}

TEST(PowercutLedger, NothingAndAnotherValueAreALoss) {
  const PowercutLedger ledger = LedgerOf({1});
  EXPECT_THAT(Lost(ledger, 1, std::nullopt), HasSubstr("once:3:2:1:1 of boot 3"));
  EXPECT_THAT(Lost(ledger, 1, Write(2).value()), HasSubstr("another value"));
  EXPECT_THAT(Lost(ledger, 1, Write(1, 4).value()), HasSubstr("another value"));
  EXPECT_THAT(Lost(ledger, 1, ""), HasSubstr("another value"));
}

TEST(PowercutLedger, ANewerValueThanTheAcknowledgedMayBeThere) {
  // 69 is the next after 5 under the same key.
  ASSERT_EQ(Write(5).key(), Write(69).key());
  ASSERT_NE(Write(5).key(), Write(13).key());
  EXPECT_THAT(Lost(LedgerOf({5}), 5, Write(69).value()), IsEmpty());
  EXPECT_THAT(Lost(LedgerOf({5, 69}), 5, Write(69).value()), IsEmpty());
}

TEST(PowercutLedger, AnOlderValueIsALoss) {
  EXPECT_THAT(Lost(LedgerOf({5, 69}), 5, Write(5).value()), HasSubstr("an older value"));
}

TEST(PowercutLedger, AValueOfAnotherKeyIsALoss) {
  EXPECT_THAT(Lost(LedgerOf({5}), 5, Write(13).value()), HasSubstr("not a value"));
  EXPECT_THAT(Lost(LedgerOf({5}), 5, Write(69).value() + "!"), HasSubstr("not a value"));
  EXPECT_THAT(Lost(LedgerOf({5}), 5, Write(69, 4).value()), HasSubstr("not a value"));
}

TEST(PowercutLedger, ACounterKeepsWhatItCounted) {
  const PowercutLedger ledger = LedgerOf({7, 15}, 2);
  EXPECT_THAT(Lost(ledger, 7, "2"), IsEmpty());
  EXPECT_THAT(Lost(ledger, 7, "3"), IsEmpty());
  EXPECT_THAT(Lost(ledger, 7, "1"), HasSubstr("counted were 2"));
}

TEST(PowercutLedger, EachOfACollectionIsMissed) {
  const PowercutLedger ledger = LedgerOf({8, 16, 24});
  EXPECT_THAT(Lost(ledger, 8, "8;16;24;"), IsEmpty());
  EXPECT_THAT(Lost(ledger, 8, "8;16;24;32;"), IsEmpty());
  EXPECT_THAT(Lost(ledger, 8, "8;24;32;"), HasSubstr("number 16 is not there"));
  EXPECT_THAT(Lost(ledger, 8, "16;8;24;"), HasSubstr("8 comes after 16"));
  EXPECT_THAT(Lost(ledger, 8, "8;16;24"), HasSubstr("not a list"));
}

TEST(PowercutLedger, WhatWasReadStays) {
  PowercutLedger ledger = LedgerOf({5});
  const std::string seen = ledger.Judge(Write(5).key(), Write(69).value()).seen;
  ASSERT_TRUE(ledger.Add(seen));
  EXPECT_THAT(Lost(ledger, 5, Write(69).value()), IsEmpty());
  EXPECT_THAT(Lost(ledger, 5, Write(5).value()), HasSubstr("read after an earlier cut"));
}

TEST(PowercutLedger, OnlyWholeLinesHaveArrived) {
  PowercutLedger ledger;
  const std::string line = Write(1).Acknowledged(0);
  EXPECT_TRUE(ledger.Add("# verified\n! a node has ended\n"));
  EXPECT_TRUE(ledger.Add(absl::StrCat(line, line.substr(0, line.size() - 1))));
  EXPECT_EQ(ledger.acknowledged(), 1u);
}

TEST(PowercutLedger, ALineOfNobodyIsAnError) {
  EXPECT_FALSE(PowercutLedger().Add("hello\n"));
  EXPECT_FALSE(PowercutLedger().Add("+1 2 3 4\n"));
  EXPECT_FALSE(PowercutLedger().Add("+1 2 3 four 5\n"));
  EXPECT_FALSE(PowercutLedger().Add("=once:3:2:1:1 5\n"));
}

}  // namespace
}  // namespace raftkv::e2e
