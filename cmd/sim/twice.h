// The same seed in two processes must be the same run. If it was not: where they parted.
#pragma once

#include "cmd/sim/seed_result.h"
#include "cmd/sim/worker.h"

namespace raftkv::sim {

// In the environment: memory is filled (cmd/sim/memory.cc).
inline constexpr char kFillMemory[] = "RAFTKV_SIM_FILL_MEMORY";

// What an executed second process gets beside its own addresses: memory that nobody has written to
// is filled with other bytes there.
Worker::Kind SecondProcess(const std::string& program);

// `first` and `second` have just recorded the same seed, with these results. The result is the
// first one, marked as run twice. If they are not the same it is a violation called "twice", that
// names the first event in which they differ, and its story shows both sides of it.
SeedResult CompareTwo(const SeedResult& one, Worker* first, const SeedResult& other,
                      Worker* second);

}  // namespace raftkv::sim
