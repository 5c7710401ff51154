// What each profile is for, and what its seeds draw.
#pragma once

#include <cstdint>
#include <string>

namespace raftkv::sim {

// Tables for a terminal. The figures are counted over the settings of seeds 1 to `seeds`, so they
// are what a sweep meets, not what somebody once wrote down. `colours`: heads are bold.
std::string FormatProfiles(bool colours, uint64_t seeds = 1'000);

}  // namespace raftkv::sim
