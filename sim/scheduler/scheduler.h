// Virtual time: a queue of things that will happen, taken in order.
//
// Nothing in a simulation waits; time is the number at the head of this queue. Two things due at
// the same microsecond happen in the order in which they were asked for, so a run is a function of
// its seed and nothing else. What the script does goes before them: whoever plays a run again asks
// for that in another order.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
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
  using Action = std::function<void()>;

  Time now() const { return now_; }

  // `when` in the past means now. An item cannot be taken back: whoever may lose interest checks
  // when it is called.
  void At(Time when, Actor actor, Action action);
  void After(Time delay, Actor actor, Action action) { At(now_ + delay, actor, std::move(action)); }

  // Runs the next item. False, and nothing done, when there is none at or before `end`; time then
  // is `end`.
  bool RunOne(Time end);

  // Items run so far that called a node, a client or a disk.
  uint64_t events() const { return events_; }
  Actor last_actor() const { return last_actor_; }

 private:
  struct Item {
    Time when;
    uint64_t sequence;
    Actor actor;
    Action action;
  };
  struct Later {
    bool operator()(const Item& a, const Item& b) const {
      if (a.when != b.when) return a.when > b.when;
      if ((a.actor == Actor::kScript) != (b.actor == Actor::kScript)) {
        return b.actor == Actor::kScript;
      }
      return a.sequence > b.sequence;
    }
  };

  Time now_ = 0;
  uint64_t sequence_ = 0;
  uint64_t events_ = 0;
  Actor last_actor_ = Actor::kScript;
  std::priority_queue<Item, std::vector<Item>, Later> queue_;
};

}  // namespace raftkv::sim
