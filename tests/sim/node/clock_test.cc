#include "sim/node/clock.h"

#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

TEST(NodeClockTest, WhenIsTheFirstMomentAtWhichItShowsThat) {
  for (const int64_t drift : {-100'000, -1'000, 0, 1'000, 100'000}) {
    for (const uint64_t uptime : {uint64_t{0}, (uint64_t{1} << 32) - 5 * kSecond,
                                  (uint64_t{1} << 32) * kMillisecond - 5 * kSecond}) {
      const NodeClock clock(drift, 1'700'000'000'000, uptime);
      EXPECT_EQ(clock.MonotonicUs(0), uptime);
      EXPECT_EQ(clock.WallMs(0), 1'700'000'000'000u);
      EXPECT_EQ(clock.When(uptime / 2), 0u) << "it has shown that for long";
      for (uint64_t later = 1; later < (uint64_t{1} << 60); later = later * 3 + 7) {
        const Time when = clock.When(uptime + later);
        EXPECT_GE(clock.MonotonicUs(when), uptime + later);
        EXPECT_LT(clock.MonotonicUs(when - 1), uptime + later);
      }
    }
  }
}

TEST(NodeClockTest, NeverIsAMomentToo) {
  for (const int64_t drift : {-100'000, 0, 100'000}) {
    const NodeClock clock(drift, 0, 5 * kSecond);
    EXPECT_GT(clock.When(UINT64_MAX), uint64_t{1} << 59);
    EXPECT_LT(clock.When(UINT64_MAX), uint64_t{1} << 61);
  }
}

TEST(NodeClockTest, OnlyTheWallClockJumps) {
  NodeClock clock(0, 1'000, 5 * kSecond);
  clock.Jump(-300);
  EXPECT_EQ(clock.WallMs(2 * kSecond), 2'700u);
  EXPECT_EQ(clock.MonotonicUs(2 * kSecond), 7 * kSecond);
}

}  // namespace
}  // namespace raftkv::sim
