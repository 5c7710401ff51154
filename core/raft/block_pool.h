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

#include <algorithm>
#include <bit>
#include <cstddef>
#include <new>

namespace raftkv::raft {

class BlockPool {
 public:
  static constexpr size_t kMaxPooledBytes = 64 * 1024;  // larger blocks are not kept
  static constexpr size_t kSizes = 45;
  // By each thread, of each size and of all together.
  static constexpr size_t kMaxKeptBytes = 4 * 1024 * 1024;
  static constexpr size_t kMaxKeptBytesOfAll = 32 * 1024 * 1024;

  // At least `bytes` bytes, aligned to 16.
  static void* Take(size_t bytes) {
    if (bytes > kMaxPooledBytes) return TakeNew(bytes);
    const size_t size_class = SizeClass(bytes);
    FreeList& list = kept_.lists[size_class];
    FreeBlock* block = list.first;
    if (block == nullptr) return TakeNew(SizeOfClass(size_class));
    list.first = block->next;
    list.room += SizeOfClass(size_class);
    kept_.room += SizeOfClass(size_class);
    return block;
  }
  // `bytes` as in Take.
  static void Return(void* block, size_t bytes) noexcept {
    if (bytes > kMaxPooledBytes || block == nullptr) return Free(block);
    const size_t size_class = SizeClass(bytes);
    FreeList& list = kept_.lists[size_class];
    const size_t size = SizeOfClass(size_class);
    if ((list.room < size || kept_.room < size) && !MakeRoom(list, size)) return Free(block);
    list.room -= size;
    kept_.room -= size;
    list.first = new (block) FreeBlock{list.first};
  }

  // What this thread keeps, in bytes, of all sizes.
  static size_t KeptBytes();

 private:
  // Four sizes to each doubling: 32, 40, 48, 56, 64, 80, ... So a block is at most a quarter larger
  // than what was asked for.
  static constexpr size_t kLeastBytes = 32;
  static constexpr size_t SizeClass(size_t bytes) {
    const size_t top_index = std::max(bytes, kLeastBytes) - 1;
    const auto shift = static_cast<size_t>(std::bit_width(top_index)) - 3;
    return shift * 4 + (top_index >> shift) - 4 - 11;  // 11: that of the smallest
  }
  static constexpr size_t SizeOfClass(size_t size_class) {
    const size_t number = size_class + 11;
    return (number % 4 + 5) << (number / 4);
  }

  struct FreeBlock {
    FreeBlock* next;
  };
  struct FreeList {
    FreeBlock* first;
    size_t room;  // bytes that may still be kept; 0 until the thread's first return
  };
  // Without a constructor or destructor of its own: it can be used as long as the thread runs, also
  // by the destructors of other objects.
  struct Kept {
    FreeList lists[kSizes];
    size_t room;
    bool begun;
    bool ended;
  };
  struct AtThreadEnd;

  static void* TakeNew(size_t bytes);
  static void Free(void* block) noexcept;
  static bool MakeRoom(const FreeList& list, size_t size);

  static constinit thread_local Kept kept_;
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
