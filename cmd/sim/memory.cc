// The memory of raftkv-sim.
//
// A run is made of small blocks that live for a moment. A general allocator hands out the one that
// has been free longest, or lies beside the last; here it is the one that was given back last and
// is still in the cache.
//
// When the environment says so (kFillMemory, cmd/sim/twice.h), memory comes filled: whatever reads
// what nobody has written then differs from a process in which it does not. The C library can do
// that, too, but not when another allocator stands in for it.
#include <malloc.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "cmd/sim/twice.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace {

constexpr int kFresh = 0xa5;
constexpr int kGone = 0x5a;

// Asked once, before main: every allocation passes here. What comes before that is not filled.
const bool fills = std::getenv(raftkv::sim::kFillMemory) != nullptr;

// Blocks of up to kLargestKept bytes, which were given back: for each multiple of kStep a list, the
// last one first. They are never given further back, so there are as many as there were in use at
// once.
constexpr std::size_t kStep = 16;
constexpr std::size_t kLargestKept = 1024;
struct FreeBlock {
  FreeBlock* next;
};
constinit thread_local FreeBlock* free_blocks[kLargestKept / kStep + 1] = {};

std::size_t KindOf(std::size_t bytes) { return bytes == 0 ? 1 : (bytes + kStep - 1) / kStep; }

void* Take(std::size_t bytes) {
  if (bytes <= kLargestKept) {
    FreeBlock*& last = free_blocks[KindOf(bytes)];
    if (last != nullptr) return std::exchange(last, last->next);
    bytes = KindOf(bytes) * kStep;
  }
  void* const block = std::malloc(bytes);
  if (block == nullptr) std::abort();
  return block;
}

}  // namespace

void* operator new(std::size_t bytes) {
  void* const block = Take(bytes);
  if (fills) std::memset(block, kFresh, bytes);
  return block;
}

// Of unknown size: it goes back to where all blocks come from.
void operator delete(void* block) noexcept {
  if (fills && block != nullptr) std::memset(block, kGone, malloc_usable_size(block));
  std::free(block);
}

void operator delete(void* block, std::size_t bytes) noexcept {
  if (bytes > kLargestKept || block == nullptr) return operator delete(block);
  if (fills) std::memset(block, kGone, bytes);
  FreeBlock*& last = free_blocks[KindOf(bytes)];
  last = new (block) FreeBlock{last};
}

#endif
