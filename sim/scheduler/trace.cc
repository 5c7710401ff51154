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
      auto& [a, b, c, d] = lanes;
      for (size_t i = 0; i < steps; ++i) {
        a.hash = (a.hash ^ static_cast<uint8_t>(a.at[i])) * kPrime;
        b.hash = (b.hash ^ static_cast<uint8_t>(b.at[i])) * kPrime;
        c.hash = (c.hash ^ static_cast<uint8_t>(c.at[i])) * kPrime;
        d.hash = (d.hash ^ static_cast<uint8_t>(d.at[i])) * kPrime;
      }
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
