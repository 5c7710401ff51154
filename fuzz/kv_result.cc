// What came of a command, as sessions remember it and replies carry it: docs/formats/store.md.
#include <cstdint>
#include <optional>
#include <string>

#include "core/kv/limits.h"
#include "core/kv/result.h"
#include "core/raft/check.h"
#include "fuzz/allocations.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace raftkv::kv;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const raftkv::AllocationWatch watch;
  const std::optional<Result> result = DecodeResult(bytes);
  // The smallest operation of two bytes becomes one in memory, and a vector grows to twice that; it
  // begins with a few.
  constexpr size_t kInMemory =
      sizeof(OpResult) > sizeof(PageEntry) ? sizeof(OpResult) : sizeof(PageEntry);
  RAFTKV_CHECK(watch.largest() <= 2 * kInMemory * (size + 64));
  if (!result) return 0;
  RAFTKV_CHECK(EncodeResult(*result) == bytes);
  RAFTKV_CHECK(Name(result->outcome) != "?");
  RAFTKV_CHECK(result->outcome == Outcome::kOk || result->ops.empty());
  RAFTKV_CHECK(result->failed_guard < kMaxGuards && result->ops.size() <= kMaxOps);
  return 0;
}
