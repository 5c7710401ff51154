#include "net/log.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace raftkv::net {
namespace {

std::string Line(LogFormat format, std::vector<LogField> fields) {
  return FormatLogLine(format, "role changed", fields);
}

TEST(Log, TextQuotesOnlyWhatNeedsIt) {
  EXPECT_EQ(Line(LogFormat::kText, {{"role", "leader"}, {"term", 3}, {"why", ""}, {"text", "a b"}}),
            "event=\"role changed\" role=leader term=3 why=\"\" text=\"a b\"");
}

TEST(Log, JsonKeepsNumbersNumbers) {
  EXPECT_EQ(Line(LogFormat::kJson, {{"role", "leader"}, {"term", uint64_t{1} << 63}}),
            R"("event":"role changed","role":"leader","term":9223372036854775808)");
}

TEST(Log, NothingFromOutsideForgesALineOrAField) {
  const std::string hostile("x\" term=9\nlevel=error\\\x00\xff", 24);
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const std::string line = Line(format, {{"reason", hostile}});
    EXPECT_NE(line.find(R"("x\" term=9\u000alevel=error\\\u0000\u00ff")"), std::string::npos)
        << line;
    EXPECT_EQ(line.find('\n'), std::string::npos);
  }
}

TEST(LogLimiter, LetsABurstThroughAndCountsTheRest) {
  LogLimiter limiter(2, 1'000);
  uint64_t suppressed = 99;
  EXPECT_TRUE(limiter.Allow(5'000, &suppressed));
  EXPECT_EQ(suppressed, 0u);
  EXPECT_TRUE(limiter.Allow(5'001, &suppressed));
  for (int i = 0; i < 7; ++i) EXPECT_FALSE(limiter.Allow(5'500, &suppressed));
  EXPECT_TRUE(limiter.Allow(6'000, &suppressed));
  EXPECT_EQ(suppressed, 7u);
  EXPECT_TRUE(limiter.Allow(6'001, &suppressed));
  EXPECT_EQ(suppressed, 0u);
}

}  // namespace
}  // namespace raftkv::net
