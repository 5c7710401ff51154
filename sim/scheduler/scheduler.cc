#include "sim/scheduler/scheduler.h"

#include <algorithm>
#include <utility>

namespace raftkv::sim {

void Scheduler::At(Time when, Actor actor, Action action) {
  queue_.push(Item{std::max(when, now_), ++sequence_, actor, std::move(action)});
}

bool Scheduler::RunOne(Time end) {
  if (queue_.empty() || queue_.top().when > end) {
    now_ = std::max(now_, end);
    return false;
  }
  // The queue only lends its top as const; it is removed before anybody can look at it again.
  Item item = std::move(const_cast<Item&>(queue_.top()));
  queue_.pop();
  now_ = item.when;
  last_actor_ = item.actor;
  if (item.actor != Actor::kScript) ++events_;
  item.action();
  return true;
}

}  // namespace raftkv::sim
