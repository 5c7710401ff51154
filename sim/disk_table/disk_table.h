// Every combination of {intact, damaged} over the copies of the last few committed entries, each
// played with the production recovery and protocol.
//
// After Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage" (FAST 2018): of the
// 4,096 combinations of four entries on three nodes 2,401 leave a copy of each entry. Those have to
// be recovered; in all the others the cluster has to wait, and to say so.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "sim/disk_table/scene.h"
#include "sim/disk_table/specimen.h"

namespace raftkv::sim {

// What happens to the record of an entry, all of it. Zeros over the last record on *every* node,
// without marks, look like a write that never happened, and are given up by all together: that is
// in the decision (docs/adr/0007-a-lost-entry-is-still-promised.md), and unsafe in this table.
enum class TableFault : uint8_t { kRot, kGarbage, kZeros, kReadError };
absl::string_view Name(TableFault fault);  // "rot", "garbage", "zeros", "read-error"

class DiskTable {
 public:
  DiskTable(const SpecimenOptions& options, TableFault fault) : specimen_(options), fault_(fault) {}

  // 2 to the power of nodes times entries. Bit node * entries + entry of a combination: damaged.
  uint64_t combinations() const;
  // An intact copy of each entry is left.
  bool Recoverable(uint64_t combination) const;
  SceneVerdict Try(uint64_t combination, const Trace::Sink& told = nullptr) const;
  // "node 1 ..x., node 2 ...., node 3 xxxx": x is damaged.
  std::string Describe(uint64_t combination) const;

 private:
  bool Damaged(uint64_t combination, raft::NodeId node, uint32_t entry) const;

  Specimen specimen_;
  TableFault fault_;
};

}  // namespace raftkv::sim
