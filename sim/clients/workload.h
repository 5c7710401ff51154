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
//
// Each write whose outcome nobody knows may double what the checker has to consider for its key. So
// a key that has gathered some is retired: new writes go to a successor, and only readers come back
// to it now and then.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
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
  // Of a register or counter; then it is retired.
  uint32_t most_unknown_writes = 8;
};

class Workload {
 public:
  Workload(const WorkloadOptions& options, Random random);

  Random* random() { return &random_; }  // what it draws from

  // `writes_only`: for a command that is to run in a session. `session`: whose own counter may be
  // counted; 0: none.
  PlannedOperation Draw(bool writes_only, uint64_t session);

  // Tells what a read found: later operations compare and swap with it.
  void Learn(const PlannedOperation& operation, const Understood& understood);

  // Tells that nobody knows what became of a write.
  void LoseTrack(const PlannedOperation& operation);

 private:
  // One after the other, "r0", "r0.1", "r0.2", ...; the last one is in use.
  struct Line {
    std::string first;
    uint32_t retired = 0;
    uint32_t unknown_writes = 0;  // to the one in use

    std::string Key(uint64_t number) const;
  };

  std::vector<Line> MakeLines(absl::string_view prefix, uint32_t count);
  std::string DrawKey(const std::vector<Line>& lines, bool write);
  PlannedOperation DrawRegister(bool write);
  PlannedOperation DrawCounter(bool write);
  PlannedOperation DrawPairs(bool write);
  std::string FreshValue();

  WorkloadOptions options_;
  Random random_;
  uint64_t last_value_ = 0;
  std::map<std::string, int64_t> versions_;
  std::vector<Line> registers_;
  std::vector<Line> counters_;
};

// The key that a session counts on.
std::string SessionCounter(uint64_t session);

// What both accounts of a pair hold together.
inline constexpr int64_t kPairSum = 1'000'000;

// What is wrong with what a reader of pairs saw, in a sentence; empty when nothing, or when the
// operation reads no pairs.
std::string PairFault(const PlannedOperation& operation, const Understood& understood);

// The same for the state of a replica, where both accounts must also have the same version.
std::string PairFault(const kv::Store& store);

}  // namespace raftkv::sim
