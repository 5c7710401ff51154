#include "sim/scheduler/scheduler.h"

#include <algorithm>

#include "core/raft/check.h"

namespace raftkv::sim {
namespace {

// Puts the key at `at`, which is free, or where it belongs above.
template <size_t kChildren, typename Key>
void Raise(Key* heap, size_t at, Key key) {
  while (at > 0) {
    const size_t parent = (at - 1) / kChildren;
    if (!(key < heap[parent])) break;
    heap[at] = heap[parent];
    at = parent;
  }
  heap[at] = key;
}

}  // namespace

Scheduler::~Scheduler() {
  for (const Key& key : heap_) {
    Slot& slot = SlotOf(key.slot());
    slot.destroy(slot.room);
  }
}

uint32_t Scheduler::TakeSlot() {
  if (free_.empty()) {
    const size_t first = chunks_.size() * kChunk;
    RAFTKV_CHECK(first + kChunk <= kMostSlots);
    chunks_.push_back(std::make_unique_for_overwrite<Slot[]>(kChunk));
    for (size_t i = kChunk; i > 0; --i) free_.push_back(static_cast<uint32_t>(first + i - 1));
  }
  const uint32_t slot = free_.back();
  free_.pop_back();
  return slot;
}

void Scheduler::Push(Key key) {
  heap_.push_back(key);
  Raise<kChildren>(heap_.data(), heap_.size() - 1, key);
}

void Scheduler::Pop() {
  const Key last = heap_.back();
  heap_.pop_back();
  const size_t size = heap_.size();
  if (size == 0) return;
  Key* const heap = heap_.data();
  const auto sooner = [heap](size_t a, size_t b) { return heap[b] < heap[a] ? b : a; };
  // For neighbours the answer is a sum, of which no compiler makes a branch.
  const auto sooner_from = [heap](size_t a) { return a + size_t{heap[a + 1] < heap[a]}; };
  // The gap goes all the way down, and the last key, which was at the bottom, up from there: it
  // seldom goes far, and so is compared with few.
  size_t at = 0;
  for (;;) {
    static_assert(kChildren == 4);
    const size_t first = at * kChildren + 1;
    size_t least = first;
    if (first + kChildren <= size) {
      least = sooner(sooner_from(first), sooner_from(first + 2));
    } else if (first < size) {
      for (size_t child = first + 1; child < size; ++child) least = sooner(least, child);
    } else {
      break;
    }
    heap[at] = heap[least];
    at = least;
  }
  Raise<kChildren>(heap, at, last);
}

bool Scheduler::RunOne(Time end) {
  if (heap_.empty() || heap_.front().when > end) {
    now_ = std::max(now_, end);
    return false;
  }
  const Key key = heap_.front();
  Pop();
  Slot& slot = SlotOf(key.slot());
  now_ = key.when;
  last_actor_ = slot.actor;
  if (slot.actor != Actor::kScript) ++events_;
  slot.call(slot.room);
  slot.destroy(slot.room);
  free_.push_back(key.slot());
  return true;
}

}  // namespace raftkv::sim
