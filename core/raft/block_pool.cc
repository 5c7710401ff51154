#include "core/raft/block_pool.h"

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

}  // namespace

constinit thread_local BlockPool::Kept BlockPool::kept_ = {};

struct BlockPool::AtThreadEnd {
  ~AtThreadEnd() {
    kept_.ended = true;
    kept_.room = 0;
    for (FreeList& list : kept_.lists) {
      list.room = 0;
      while (list.first != nullptr) Free(std::exchange(list.first, list.first->next));
    }
  }
};

void* BlockPool::TakeNew(size_t bytes) { return ::operator new(bytes); }

void BlockPool::Free(void* block) noexcept { ::operator delete(block); }

// The thread's first return comes here, and those that find no room.
bool BlockPool::MakeRoom(const FreeList& list, size_t size) {
  static_assert(SizeClass(1) == 0 && SizeOfClass(0) == kLeastBytes);
  static_assert(SizeOfClass(SizeClass(33)) == 40 && SizeOfClass(SizeClass(132)) == 160);
  static_assert(SizeClass(kMaxPooledBytes) + 1 == kSizes);
  static_assert(SizeOfClass(kSizes - 1) == kMaxPooledBytes);

  if (!kPooling || kept_.begun || kept_.ended) return false;
  thread_local AtThreadEnd at_thread_end;
  (void)at_thread_end;
  kept_.begun = true;
  kept_.room = kMaxKeptBytesOfAll;
  for (FreeList& each : kept_.lists) each.room = kMaxKeptBytes;
  return list.room >= size;
}

size_t BlockPool::KeptBytes() {
  return kept_.begun && !kept_.ended ? kMaxKeptBytesOfAll - kept_.room : 0;
}

}  // namespace raftkv::raft
