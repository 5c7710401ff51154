#include "core/raft/block_pool.h"

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

namespace raftkv::raft {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kPooling = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
constexpr bool kPooling = false;
#else
constexpr bool kPooling = true;
#endif
#else
constexpr bool kPooling = true;
#endif

// Four sizes to each doubling: 32, 40, 48, 56, 64, 80, ... So a block is at most a quarter larger
// than what was asked for.
constexpr size_t kLeastBytes = 32;

constexpr size_t SizeClass(size_t bytes) {
  const size_t top_index = std::max(bytes, kLeastBytes) - 1;
  const auto shift = static_cast<size_t>(std::bit_width(top_index)) - 3;
  return shift * 4 + (top_index >> shift) - 4 - 11;  // 11: that of the smallest
}

constexpr size_t SizeOfClass(size_t size_class) {
  const size_t number = size_class + 11;
  return (number % 4 + 5) << (number / 4);
}

static_assert(SizeClass(1) == 0 && SizeOfClass(0) == kLeastBytes);
static_assert(SizeOfClass(SizeClass(33)) == 40 && SizeOfClass(SizeClass(132)) == 160);
static_assert(SizeClass(BlockPool::kMaxPooledBytes) + 1 == BlockPool::kSizes);
static_assert(SizeOfClass(BlockPool::kSizes - 1) == BlockPool::kMaxPooledBytes);

struct FreeBlock {
  FreeBlock* next;
};

struct FreeList {
  FreeBlock* first;
  size_t bytes;
};

struct Kept {
  FreeList lists[BlockPool::kSizes];
  size_t bytes;  // in all lists
  size_t limit;  // for each list; 0 until the thread's first return, and again when the thread ends
  bool ended;

  bool HasRoom(const FreeList& list, size_t size) const {
    return list.bytes + size <= limit && bytes + size <= BlockPool::kMaxKeptBytesOfAll;
  }
};
// Without a constructor or destructor of its own: it can be used as long as the thread runs, also
// by the destructors of other objects.
constinit thread_local Kept kept = {};

struct AtThreadEnd {
  ~AtThreadEnd() {
    kept.limit = 0;
    kept.ended = true;
    for (FreeList& list : kept.lists) {
      while (list.first != nullptr) {
        ::operator delete(std::exchange(list.first, list.first->next));
      }
      list.bytes = 0;
    }
    kept.bytes = 0;
  }
};

// The thread's first return comes here, and those that find no room.
bool MakeRoom(const FreeList& list, size_t size) {
  if (kept.limit == 0 && !kept.ended) {
    thread_local AtThreadEnd at_thread_end;
    (void)at_thread_end;
    kept.limit = BlockPool::kMaxKeptBytes;
  }
  return kept.HasRoom(list, size);
}

}  // namespace

void* BlockPool::Take(size_t bytes) {
  if (!kPooling || bytes > kMaxPooledBytes) return ::operator new(bytes);
  const size_t size_class = SizeClass(bytes);
  FreeList& list = kept.lists[size_class];
  const size_t size = SizeOfClass(size_class);
  if (list.first == nullptr) return ::operator new(size);
  list.bytes -= size;
  kept.bytes -= size;
  return std::exchange(list.first, list.first->next);
}

void BlockPool::Return(void* block, size_t bytes) noexcept {
  if (kPooling && bytes <= kMaxPooledBytes && block != nullptr) {
    const size_t size_class = SizeClass(bytes);
    FreeList& list = kept.lists[size_class];
    const size_t size = SizeOfClass(size_class);
    if (kept.HasRoom(list, size) || MakeRoom(list, size)) {
      list.bytes += size;
      kept.bytes += size;
      list.first = new (block) FreeBlock{list.first};
      return;
    }
  }
  ::operator delete(block);
}

size_t BlockPool::KeptBytes() { return kept.bytes; }

}  // namespace raftkv::raft
