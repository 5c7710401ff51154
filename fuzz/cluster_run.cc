// Whole clusters of the simulator, from bytes: see cluster_run_program.h.
//
// Beside the code that is reached, libFuzzer is told the abstract states that the cluster comes to:
// an input that reaches a new one is kept. RAFTKV_FUZZ_PRINT=1 prints each input as a recipe.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "fuzz/cluster_run_program.h"

namespace {

// A place for many states; two that fall on the same are one.
constexpr size_t kCounters = 1 << 16;
// libFuzzer looks for its further counters in a section of this name, and clears them before each
// input; elsewhere nobody does either.
#ifdef __linux__
__attribute__((section("__libfuzzer_extra_counters"), used))
#endif
uint8_t counters[kCounters];

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool kPrint = std::getenv("RAFTKV_FUZZ_PRINT") != nullptr;
  const raftkv::sim::Recipe recipe = raftkv::RecipeOf(
      absl::string_view(size == 0 ? "" : reinterpret_cast<const char*>(data), size));
  if (kPrint) std::fprintf(stderr, "%s", raftkv::sim::FormatRecipe(recipe).c_str());
  const std::string broken =
      raftkv::PlayRecipe(recipe, [](uint64_t state) { counters[state % kCounters] = 1; });
  if (broken.empty()) return 0;
  std::fprintf(stderr, "%sFINDING: %s\n", raftkv::sim::FormatRecipe(recipe).c_str(),
               broken.c_str());
  std::abort();
}
