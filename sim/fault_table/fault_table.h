// One fault on one disk of a cluster under load: no loss, no wrong answer, and writes go on.
//
// Everything that judges a run (sim/run/run.h) judges these: the oracles, the history of the
// clients, liveness and convergence. There is no other fault.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "sim/fault_table/blocks.h"
#include "sim/scheduler/trace.h"

namespace raftkv::sim {

enum class BlockFault : uint8_t {
  kZeros,       // at rest: the process is killed and starts again on what is left
  kGarbage,     //
  kReadError,   //
  kWriteError,  // whatever is written there, and there in files like it, fails for a while
  kNoSpace,     // no such file is made or made longer for a while
};
inline constexpr size_t kBlockFaults = static_cast<size_t>(BlockFault::kNoSpace) + 1;
absl::string_view Name(BlockFault fault);  // "zeros", "garbage", "EIO read", ...

struct FaultCell {
  Block block = Block::kIdentity0;
  BlockFault fault = BlockFault::kZeros;
  bool leader = false;  // its disk, or that of a follower
};

struct CellVerdict {
  std::string wrong;    // empty: nothing
  bool effect = false;  // the fault changed, or refused, something
  uint64_t writes = 0;  // acknowledged while it was in place, or in the same time after it
};

// Deterministic. `told`, when given, hears every line of the story.
CellVerdict TryCell(const FaultCell& cell, uint64_t seed, const Trace::Sink& told = nullptr);

}  // namespace raftkv::sim
