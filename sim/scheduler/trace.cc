#include "sim/scheduler/trace.h"

#include <algorithm>
#include <array>

namespace raftkv::sim {
namespace {

// HashBytes (core/raft/random.h) is FNV-1a between two mixes. Each step waits for the
// multiplication before it, and a processor can have four of those under way.
constexpr uint64_t kPrime = 0x100000001b3u;
constexpr uint64_t kBasis = 0xcbf29ce484222325u;
constexpr size_t kLanes = 4;

struct Lane {
  const char* at = nullptr;
  size_t left = 0;
  uint64_t hash = 0;
  size_t piece = 0;
};

}  // namespace

void Trace::Add(uint64_t what, uint64_t a, absl::string_view bytes) {
  bytes_.append(bytes.data(), bytes.size());
  pieces_.push_back({facts_.size(), bytes_.size()});
  const bool full = bytes_.size() >= kMostBytes;
  Add(what, a);
  if (full) Fold();
}

void Trace::Fold() const {
  const uint64_t begin = kBasis ^ MixHash(0);
  std::array<Lane, kLanes> lanes;
  size_t next = 0;
  const auto refill = [&](Lane& lane) {
    while (lane.left == 0 && next < pieces_.size()) {
      const size_t from = next == 0 ? 0 : pieces_[next - 1].end;
      lane = {bytes_.data() + from, pieces_[next].end - from, begin, next};
      if (lane.left == 0) facts_[pieces_[next].fact].b = MixHash(begin);
      ++next;
    }
    return lane.left > 0;
  };
  for (;;) {
    bool all = true;
    size_t steps = SIZE_MAX;
    for (Lane& lane : lanes) {
      all = refill(lane) && all;
      if (lane.left > 0) steps = std::min(steps, lane.left);
    }
    if (steps == SIZE_MAX) break;
    if (all) {
      static_assert(kLanes == 4);
      uint64_t a = lanes[0].hash, b = lanes[1].hash, c = lanes[2].hash, d = lanes[3].hash;
      const char* const in_a = lanes[0].at;
      const char* const in_b = lanes[1].at;
      const char* const in_c = lanes[2].at;
      const char* const in_d = lanes[3].at;
      const auto step = [&](size_t i) {
        a = (a ^ static_cast<uint8_t>(in_a[i])) * kPrime;
        b = (b ^ static_cast<uint8_t>(in_b[i])) * kPrime;
        c = (c ^ static_cast<uint8_t>(in_c[i])) * kPrime;
        d = (d ^ static_cast<uint8_t>(in_d[i])) * kPrime;
      };
      size_t i = 0;
      for (; i + 4 <= steps; i += 4) {
        step(i);
        step(i + 1);
        step(i + 2);
        step(i + 3);
      }
      for (; i < steps; ++i) step(i);
      lanes[0].hash = a, lanes[1].hash = b, lanes[2].hash = c, lanes[3].hash = d;
    } else {
      for (Lane& lane : lanes) {
        for (size_t i = 0; i < std::min(steps, lane.left); ++i) {
          lane.hash = (lane.hash ^ static_cast<uint8_t>(lane.at[i])) * kPrime;
        }
      }
    }
    for (Lane& lane : lanes) {
      if (lane.left == 0) continue;
      lane.at += steps;
      lane.left -= steps;
      if (lane.left == 0) facts_[pieces_[lane.piece].fact].b = MixHash(lane.hash);
    }
  }
  for (const Fact& fact : facts_) hash_ = MixHash(hash_ ^ fact.mixed ^ fact.b);
  facts_.clear();
  pieces_.clear();
  bytes_.clear();
}

}  // namespace raftkv::sim
