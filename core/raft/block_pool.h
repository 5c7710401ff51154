// Blocks of memory that are used again: what payloads and the vectors of the hot path are made of.
//
// A proposal's life touches some twenty short-lived blocks on three nodes. Each thread keeps those
// it no longer needs, by size, and hands them out again; in steady state nothing is asked of the
// allocator. What is kept is bounded for each size and for all, so that a burst gives its memory
// back and leaves the other sizes room.
//
// A block may be returned on another thread than the one that took it; it then serves that one.
// Builds with AddressSanitizer or ThreadSanitizer keep nothing, so that both see every use of freed
// memory.
#pragma once

#include <cstddef>

namespace raftkv::raft {

class BlockPool {
 public:
  static constexpr size_t kMaxPooledBytes = 64 * 1024;  // larger blocks are not kept
  static constexpr size_t kSizes = 45;
  // By each thread, of each size and of all together.
  static constexpr size_t kMaxKeptBytes = 4 * 1024 * 1024;
  static constexpr size_t kMaxKeptBytesOfAll = 32 * 1024 * 1024;

  // At least `bytes` bytes, aligned to 16.
  static void* Take(size_t bytes);
  // `bytes` as in Take.
  static void Return(void* block, size_t bytes) noexcept;

  // What this thread keeps, in bytes, of all sizes.
  static size_t KeptBytes();
};

// For standard containers.
template <typename T>
class PoolAllocator {
 public:
  using value_type = T;

  PoolAllocator() = default;
  template <typename U>
  PoolAllocator(const PoolAllocator<U>&) noexcept {}  // NOLINT: allocators convert

  T* allocate(size_t count) {
    static_assert(alignof(T) <= 16);
    return static_cast<T*>(BlockPool::Take(count * sizeof(T)));
  }
  void deallocate(T* block, size_t count) noexcept { BlockPool::Return(block, count * sizeof(T)); }

  friend bool operator==(const PoolAllocator&, const PoolAllocator&) { return true; }
};

}  // namespace raftkv::raft
