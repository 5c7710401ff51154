// raftkv-sim fault-table: one fault on one disk, block by block.
#pragma once

#include <cstdint>
#include <string>

#include "cmd/sim/disk_table.h"
#include "cmd/sim/sweep.h"

namespace raftkv::sim {

struct FaultTableArguments {
  SeedRange seeds{1, 2};
  uint32_t jobs = 1;
  bool progress = false;
  std::string only;  // "vote, copy 1/zeros/leader": this cell alone, with its story
};

// Prints a row for each block and a column for each fault and role, then what went wrong. A cell
// is "ok", "-" if nothing of that kind can happen there, or how many seeds went wrong.
DiskTableResult PrintFaultTable(const FaultTableArguments& arguments);

}  // namespace raftkv::sim
