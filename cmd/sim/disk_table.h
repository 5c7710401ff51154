// raftkv-sim disk-table: damaged disks, recovered or not, in a table.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sim/disk_table/disk_table.h"

namespace raftkv::sim {

struct DiskTableArguments {
  uint32_t nodes = 3;
  uint32_t entries = 4;
  std::vector<TableFault> faults = {TableFault::kRot, TableFault::kReadError};
  bool with_marks = true;
  bool without_marks = true;
  uint32_t jobs = 1;
  bool progress = false;
  std::optional<uint64_t> only;  // this combination alone, with its story
};

enum class DiskTableResult : uint8_t { kExact, kWrong, kBroken };

// Prints a row for each fault, with and without marks, then each kind of difference from what the
// table should be, with an example. kBroken: the system has no more processes or pipes to give.
DiskTableResult PrintDiskTable(const DiskTableArguments& arguments);

}  // namespace raftkv::sim
