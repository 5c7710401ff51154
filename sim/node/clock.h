// The two clocks of one node. Neither is right, and the wall clock may jump.
#pragma once

#include <algorithm>
#include <cstdint>

#include "sim/scheduler/scheduler.h"

namespace raftkv::sim {

class NodeClock {
 public:
  // `fast_ppm`: how much faster than virtual time both clocks run, in millionths; negative: slower.
  // `wall_ms` is what the wall clock shows at time 0, `uptime_us` the monotonic one.
  NodeClock(int64_t fast_ppm, uint64_t wall_ms, uint64_t uptime_us = 0)
      : fast_ppm_(fast_ppm), wall_ms_(wall_ms), uptime_us_(uptime_us) {}

  uint64_t MonotonicUs(Time now) const { return uptime_us_ + Passed(now); }
  uint64_t WallMs(Time now) const {
    return static_cast<uint64_t>(static_cast<int64_t>(wall_ms_ + Passed(now) / 1'000) + jump_ms_);
  }
  // The first moment at which the monotonic clock shows at least `local_us`, or has gone on for more
  // than ten thousand years.
  Time When(uint64_t local_us) const {
    if (local_us <= uptime_us_) return 0;
    const uint64_t ahead = std::min(local_us - uptime_us_, kFar);
    const auto speed = static_cast<uint64_t>(1'000'000 + fast_ppm_);
    Time when = ahead / speed * 1'000'000 + ahead % speed * 1'000'000 / speed;
    while (Passed(when) < ahead) ++when;
    return when;
  }

  void Jump(int64_t ms) { jump_ms_ += ms; }

 private:
  static constexpr uint64_t kFar = uint64_t{1} << 60;

  // In two parts, because the product of both would not fit for a moment that is far away.
  uint64_t Passed(Time now) const {
    const auto whole = static_cast<int64_t>(now / 1'000'000);
    const auto rest = static_cast<int64_t>(now % 1'000'000);
    return now + static_cast<uint64_t>(whole * fast_ppm_ + rest * fast_ppm_ / 1'000'000);
  }

  int64_t fast_ppm_;
  uint64_t wall_ms_;
  uint64_t uptime_us_;
  int64_t jump_ms_ = 0;
};

}  // namespace raftkv::sim
