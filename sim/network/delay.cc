#include "sim/network/delay.h"

#include <bit>

namespace raftkv::sim {

Time DrawExponential(Time mean, Random& random) {
  const uint64_t bits = random.Next();
  const uint64_t halvings = static_cast<uint64_t>(std::countl_zero((bits >> 32 << 32) | 1u << 31));
  const uint64_t rest = bits & 0xffff;  // of the next halving, in 1/65536
  // ln 2 is 45426/65536.
  return mean * 45'426 / 65'536 * halvings + (mean * 45'426 / 65'536) * rest / 65'536;
}

Time Usual(const Delay& delay) {
  const bool uniform = delay.shape == Delay::Shape::kUniform;
  return delay.least + (uniform ? delay.spread / 2 : delay.spread);
}

Time Draw(const Delay& delay, Random& random) {
  if (delay.tail_per_mille > 0 && random.PerMille(delay.tail_per_mille)) {
    return random.Between(delay.tail, 2 * delay.tail);
  }
  if (delay.shape == Delay::Shape::kExponential) {
    return delay.least + DrawExponential(delay.spread, random);
  }
  return random.Between(delay.least, delay.least + delay.spread);
}

}  // namespace raftkv::sim
