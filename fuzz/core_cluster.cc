// Programs over a cluster of consensus cores: see core_cluster_program.h.
//
// RAFTKV_FUZZ_PRINT=1 prints each input as text while it runs:
//   RAFTKV_FUZZ_PRINT=1 fuzz_core_cluster FILE      (fuzz_core_cluster_replay without libFuzzer)
#include <cstdint>

#include "fuzz/core_cluster_program.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  raftkv::raft::RunClusterProgram(
      absl::string_view(size == 0 ? "" : reinterpret_cast<const char*>(data), size));
  return 0;
}
