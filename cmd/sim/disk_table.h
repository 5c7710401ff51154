// raftkv-sim disk-table: damaged disks, recovered or not, in a table.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sim/disk_table/disk_table.h"
#include "sim/disk_table/random_faults.h"

namespace raftkv::sim {

struct DiskTableArguments {
  uint32_t nodes = 3;
  uint32_t entries = 4;
  std::vector<TableFault> faults = {TableFault::kRot, TableFault::kReadError};
  bool with_marks = true;
  bool without_marks = true;
  uint32_t jobs = 1;
  bool progress = false;
  // So many trials of each suite of random faults, instead of the table if any is not 0.
  uint64_t random = 0;
  uint64_t snapshots = 0;
  uint64_t files = 0;
  std::optional<uint64_t> only;  // this combination alone, with its story
};

enum class DiskTableResult : uint8_t { kExact, kWrong, kRefused, kBroken };

// Prints the rows of random faults, or, without any, a row for each fault, with and without marks,
// then each kind of difference from what the table should be, with an example. kRefused: what is
// asked for is not there, and that has been said. kBroken: the system has no more processes or
// pipes to give.
DiskTableResult PrintDiskTable(const DiskTableArguments& arguments);

}  // namespace raftkv::sim
