// Memory that comes filled when the environment says so (kFillMemory, cmd/sim/twice.h): whatever
// reads what nobody has written then differs from a process in which it does not. The C library can
// do that, too, but not when another allocator stands in for it.
#include <malloc.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "cmd/sim/twice.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace {

constexpr int kFresh = 0xa5;
constexpr int kGone = 0x5a;

bool Fills() {
  static const bool fills = std::getenv(raftkv::sim::kFillMemory) != nullptr;
  return fills;
}

}  // namespace

void* operator new(std::size_t bytes) {
  void* const block = std::malloc(bytes == 0 ? 1 : bytes);
  if (block == nullptr) std::abort();
  if (Fills()) std::memset(block, kFresh, bytes);
  return block;
}

void operator delete(void* block) noexcept {
  if (block != nullptr && Fills()) std::memset(block, kGone, malloc_usable_size(block));
  std::free(block);
}

void operator delete(void* block, std::size_t) noexcept { operator delete(block); }

#endif
