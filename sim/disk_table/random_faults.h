// Damage to disks as chance wants it, where the table is only about whole records that all nodes
// have: some nodes lag, come late or lose their power in the middle of the repair; snapshots are
// bad, or whole files.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "sim/disk_table/scene.h"
#include "sim/disk_table/specimen.h"

namespace raftkv::sim {

enum class FaultSuite : uint8_t {
  kRecords,    // rot and read errors in records, on nodes that lag, come late or lose their power
  kSnapshots,  // the snapshot, or a part of it, on some nodes
  kFiles,      // one file of one node: missing, cut, longer, unreadable
};
absl::string_view Name(FaultSuite suite);  // "records", "snapshots", "files"

struct FaultTrial {
  SceneVerdict verdict;
  // Each committed entry, and the snapshot, is intact on a node, and a majority has term and vote.
  bool recoverable = false;
  std::string faults;  // what was done, in one line
};

class RandomFaults {
 public:
  RandomFaults(FaultSuite suite, uint32_t nodes, uint32_t entries);

  // Deterministic.
  FaultTrial Try(uint64_t seed, const Trace::Sink& told = nullptr) const;
  // As Try, without a verdict: nothing is played.
  FaultTrial Plan(uint64_t seed) const;

 private:
  const Specimen& Prepare(uint64_t seed, Scene* scene, FaultTrial* trial) const;
  void DamageRecords(const Specimen& specimen, Random random, Scene* scene,
                     FaultTrial* trial) const;
  void DamageSnapshots(Random random, Scene* scene, FaultTrial* trial) const;
  void DamageFile(Random random, Scene* scene, FaultTrial* trial) const;

  FaultSuite suite_;
  Specimen with_marks_;
  Specimen without_marks_;
};

}  // namespace raftkv::sim
