#include "fuzz/allocations.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define RAFTKV_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RAFTKV_ASAN 1
#endif
#endif

namespace raftkv {
namespace {

size_t largest_allocation = 0;

void Note(size_t bytes) { largest_allocation = std::max(largest_allocation, bytes); }

}  // namespace
}  // namespace raftkv

#ifdef RAFTKV_ASAN

// Of the sanitizers' runtime; gcc has it without the header.
extern "C" int __sanitizer_install_malloc_and_free_hooks(
    void (*allocated)(const volatile void* block, size_t bytes),
    void (*freed)(const volatile void* block));

// AddressSanitizer has an operator new of its own, which checks more than ours would.
namespace raftkv {
namespace {

void NoteAllocated(const volatile void* /*block*/, size_t bytes) { Note(bytes); }
void NoteFreed(const volatile void* /*block*/) {}

}  // namespace

AllocationWatch::AllocationWatch() {
  static const int installed = __sanitizer_install_malloc_and_free_hooks(NoteAllocated, NoteFreed);
  if (installed == 0) std::abort();
  largest_allocation = 0;
}

}  // namespace raftkv

#else

namespace raftkv {

AllocationWatch::AllocationWatch() { largest_allocation = 0; }

}  // namespace raftkv

void* operator new(size_t bytes) {
  raftkv::Note(bytes);
  void* block = std::malloc(bytes == 0 ? 1 : bytes);
  if (block == nullptr) std::abort();
  return block;
}
void* operator new[](size_t bytes) { return ::operator new(bytes); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete[](void* block, size_t) noexcept { std::free(block); }

#endif

// NOLINTNEXTLINE(readability-convert-member-functions-to-static)
size_t raftkv::AllocationWatch::largest() const { return largest_allocation; }
