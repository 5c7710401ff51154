// How long things take, in integers: floating point may round differently in another build.
#pragma once

#include <cstdint>

#include "core/raft/random.h"
#include "sim/scheduler/scheduler.h"

namespace raftkv::sim {

// A distribution of durations.
struct Delay {
  enum class Shape : uint8_t {
    kUniform,      // from `least` to `least + spread`
    kExponential,  // `least` plus an exponential with mean `spread`
  };
  Shape shape = Shape::kUniform;
  Time least = 0;
  Time spread = 0;
  // Now and then something takes `tail` or up to twice as long as that: a lost packet sent again, a
  // disk that cleans its flash.
  uint32_t tail_per_mille = 0;
  Time tail = 0;
};

Time Draw(const Delay& delay, Random& random);

// How long something takes when nothing is unusual about it: the mean, tail aside.
Time Usual(const Delay& delay);

// Exponential with this mean, by linear interpolation between powers of two: -log2 of a uniform
// number is a geometric number of halvings and a rest. Never above 32 times the mean.
Time DrawExponential(Time mean, Random& random);

}  // namespace raftkv::sim
