// Every crash that can hit a job of the storage, tried one after the other.
//
// Each job is cut short after each of its operations on the disk. What is then not synced (sectors,
// sizes, names) may be on the platter or not, each by itself: up to a dozen such things in every
// combination, more by a sample of them. In each combination each new sector is also torn: half of
// it new, garbage, zeros. Of each state that this leaves, a recovery must make one
// that the job's contract names: the state before it, one of the steps in between, or the state
// after it, and that one alone if the job had returned OK. What a recovery has decided must be
// there after one more crash.
//
// Where the random crashes of a simulation find the likely failures, this finds the rare ones: they
// need one sector of many to be lost, or two names in the wrong order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sim/disk/sim_disk.h"
#include "storage/disk.h"

namespace raftkv::sim {

struct CrashPointOptions {
  // So many undecided things are tried in all combinations; with more, `samples` of them, besides
  // all, none, each alone, and all but each.
  uint32_t exhaustive = 12;
  uint32_t samples = 4'096;
  bool tear = true;
  // Puts something between the storage and its disk: a test's lies. Empty: nothing.
  std::function<std::unique_ptr<storage::Disk>(SimDisk& disk)> wrap;
};

struct CrashPointResult {
  std::string job;
  uint64_t cuts = 0;            // operations after which it was cut, and none
  uint64_t states = 0;          // recoveries checked
  uint64_t most_undecided = 0;  // of one cut
  uint64_t sampled_cuts = 0;    // cuts with too many undecided things for all combinations
  std::string failure;          // empty: none. Else what is wrong, and how to get there
};

// The names of the jobs, in order.
std::vector<std::string> CrashPointJobs();

// Explores one of them, until the first failure. Deterministic.
CrashPointResult ExploreCrashPoints(const std::string& job, const CrashPointOptions& options);

}  // namespace raftkv::sim
