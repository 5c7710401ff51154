// What clients ask for. Three small workloads, mixed in shares that the seed draws:
//
//   registers  few keys, all verbs of one key: each is judged as a register of its own
//   counters   few keys with numbers: an increment that is lost or runs twice shows in every later
//              reply
//   pairs      two accounts each, between which amounts are transferred: one MSET writes both, and
//              their sum is always the same. Whoever sees another sum, or one of the two without
//              the other, has seen half of an MSET (PairFault). Scans read all pairs at one instant
//
// and, in sessions, a counter of the session's own, whose replies must be 1, 2, 3, ... (exactly
// once).
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/kv/store.h"
#include "core/raft/random.h"
#include "sim/clients/operation.h"

namespace raftkv::sim {

struct WorkloadOptions {
  uint32_t registers = 3;
  uint32_t counters = 1;
  uint32_t pairs = 2;
  // Shares, out of their sum.
  uint32_t register_share = 5;
  uint32_t counter_share = 2;
  uint32_t pair_share = 3;
  uint32_t read_percent = 40;
  uint32_t large_value_per_mille = 0;
  uint32_t large_value_bytes = 1'000;
};

class Workload {
 public:
  Workload(const WorkloadOptions& options, Random random) : options_(options), random_(random) {}

  // `writes_only`: for a command that is to run in a session. `session`: whose own counter may be
  // counted; 0: none.
  PlannedOperation Draw(bool writes_only, uint64_t session);

  // Tells what a read found: later operations compare and swap with it.
  void Learn(const PlannedOperation& operation, const Understood& understood);

 private:
  PlannedOperation DrawRegister(bool write);
  PlannedOperation DrawCounter(bool write);
  PlannedOperation DrawPairs(bool write);
  std::string FreshValue();

  WorkloadOptions options_;
  Random random_;
  uint64_t last_value_ = 0;
  std::map<std::string, int64_t> versions_;
};

// What both accounts of a pair hold together.
inline constexpr int64_t kPairSum = 1'000'000;

// What is wrong with what a reader of pairs saw, in a sentence; empty when nothing, or when the
// operation reads no pairs.
std::string PairFault(const PlannedOperation& operation, const Understood& understood);

// The same for the state of a replica, where both accounts must also have the same version.
std::string PairFault(const kv::Store& store, uint32_t pairs);

}  // namespace raftkv::sim
