// Virtual time: a queue of things that will happen, taken in order.
//
// Nothing in a simulation waits; time is the number at the head of this queue. Two things due at
// the same microsecond happen in the order in which they were asked for, so a run is a function of
// its seed and nothing else. What the script does goes before them: whoever plays a run again asks
// for that in another order.
//
// Everything that happens goes through here, so it is built for that: what is to be called lies in
// a slot that does not move, and is made, called and destroyed there; the queue itself is a heap of
// small keys.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace raftkv::sim {

using Time = uint64_t;  // microseconds since the run began

inline constexpr Time kMillisecond = 1'000;
inline constexpr Time kSecond = 1'000'000;

// Whom an item calls.
enum class Actor : uint8_t {
  kNode,
  kClient,
  kDisk,
  kScript,  // faults and the run's own phases: they move the pieces but are not part of the system
};

class Scheduler {
 public:
  Scheduler() = default;
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  Time now() const { return now_; }

  // `when` in the past means now. An item cannot be taken back: whoever may lose interest checks
  // when it is called.
  template <typename Action>
  void At(Time when, Actor actor, Action action);
  template <typename Action>
  void After(Time delay, Actor actor, Action action) {
    At(now_ + delay, actor, std::move(action));
  }

  // Runs the next item. False, and nothing done, when there is none at or before `end`; time then
  // is `end`.
  bool RunOne(Time end);

  // Items run so far that called a node, a client or a disk.
  uint64_t events() const { return events_; }
  Actor last_actor() const { return last_actor_; }

 private:
  // Room for what an item captures: a frame on its way, with what is to be known of it. What is
  // larger lies elsewhere.
  static constexpr size_t kRoom = 80;
  struct Slot {
    alignas(std::max_align_t) unsigned char room[kRoom];
    void (*call)(void* action);
    void (*destroy)(void* action);
    Actor actor;
  };
  struct Key {
    Time when;
    // The order in which items were asked for, above; the slot, below.
    uint64_t order;
    uint32_t slot() const { return static_cast<uint32_t>(order & (kMostSlots - 1)); }
    // As one number, without a branch: which of two is first is a matter of chance, and a processor
    // that guesses is wrong every other time.
    friend bool operator<(const Key& a, const Key& b) { return a.number() < b.number(); }

   private:
    __extension__ using Wide = unsigned __int128;
    Wide number() const { return Wide{when} << 64 | order; }
  };
  static constexpr uint64_t kMostSlots = 1 << 24;  // items waiting at the same time
  static constexpr uint64_t kBehindTheScript = uint64_t{1}
                                               << 39;  // and more items than this there are never
  static constexpr size_t kChildren = 4;
  static constexpr size_t kChunk = 64;

  Slot& SlotOf(uint32_t slot) { return chunks_[slot / kChunk][slot % kChunk]; }
  uint32_t TakeSlot();
  void Push(Key key);
  void Pop();

  Time now_ = 0;
  uint64_t sequence_ = 0;
  uint64_t events_ = 0;
  Actor last_actor_ = Actor::kScript;
  std::vector<Key> heap_;
  std::vector<std::unique_ptr<Slot[]>> chunks_;
  std::vector<uint32_t> free_;
};

template <typename Action>
void Scheduler::At(Time when, Actor actor, Action action) {
  if constexpr (sizeof(Action) > kRoom || alignof(Action) > alignof(std::max_align_t)) {
    auto elsewhere = std::make_unique<Action>(std::move(action));
    At(when, actor, [elsewhere = std::move(elsewhere)] { (*elsewhere)(); });
  } else {
    const uint32_t number = TakeSlot();
    Slot& slot = SlotOf(number);
    new (slot.room) Action(std::move(action));
    slot.call = [](void* what) { (*static_cast<Action*>(what))(); };
    slot.destroy = [](void* what) { static_cast<Action*>(what)->~Action(); };
    slot.actor = actor;
    const uint64_t late = actor == Actor::kScript ? 0 : kBehindTheScript;
    Push({when < now_ ? now_ : when, (++sequence_ | late) * kMostSlots | number});
  }
}

}  // namespace raftkv::sim
