#include "sim/picture/recording.h"

#include <algorithm>
#include <iterator>

#include "core/raft/check.h"

namespace raftkv::sim {
namespace {

// Messages are looked through once in so many events.
constexpr uint64_t kForgetEvery = 16'384;
// A message that nobody has spoken of for so many events is not under way any more, or nobody will
// miss it: clogs and pauses last seconds, not minutes.
constexpr uint64_t kForgetAfter = 50'000;

constexpr absl::string_view kMessageNames[] = {
    "append",      "append answer", "heartbeat",       "heartbeat answer", "vote",
    "vote answer", "pre-vote",      "pre-vote answer", "snapshot",         "read",
    "forward",     "transfer",      "repair",
};
static_assert(std::size(kMessageNames) == kMessageKinds);

template <typename Field>
void Compare(const Field& before, const Field& after, std::optional<Field>* change) {
  if (before != after) *change = after;
}

template <typename Field>
void Take(const std::optional<Field>& change, Field* field) {
  if (change.has_value()) *field = *change;
}

bool IsAboutMessage(EventKind kind) { return kind <= EventKind::kReset; }

}  // namespace

absl::string_view Name(MessageKind kind) { return kMessageNames[static_cast<size_t>(kind)]; }

NodeChange FieldsThatDiffer(const NodeView& before, const NodeView& after) {
  NodeChange change;
  Compare(before.run, after.run, &change.run);
  Compare(before.role, after.role, &change.role);
  Compare(before.term, after.term, &change.term);
  Compare(before.vote, after.vote, &change.vote);
  Compare(before.leader, after.leader, &change.leader);
  Compare(before.commit, after.commit, &change.commit);
  Compare(before.applied, after.applied, &change.applied);
  Compare(before.durable, after.durable, &change.durable);
  Compare(before.snapshot, after.snapshot, &change.snapshot);
  Compare(before.promised, after.promised, &change.promised);
  Compare(before.match, after.match, &change.match);
  Compare(before.conf, after.conf, &change.conf);
  return change;
}

void Apply(const NodeChange& change, NodeView* view) {
  Take(change.run, &view->run);
  Take(change.role, &view->role);
  Take(change.term, &view->term);
  Take(change.vote, &view->vote);
  Take(change.leader, &view->leader);
  Take(change.commit, &view->commit);
  Take(change.applied, &view->applied);
  Take(change.durable, &view->durable);
  Take(change.snapshot, &view->snapshot);
  Take(change.promised, &view->promised);
  Take(change.match, &view->match);
  Take(change.conf, &view->conf);
  if (!change.log.has_value()) return;
  const NodeChange::Log& log = *change.log;
  if (log.base < view->base || log.base > view->last()) {
    view->log.clear();
  } else {
    const auto gone = static_cast<std::ptrdiff_t>(log.base - view->base);
    view->log.erase(view->log.begin(), view->log.begin() + gone);
  }
  view->base = log.base;
  RAFTKV_CHECK(log.keep >= log.base && log.keep - log.base <= view->log.size());
  view->log.resize(log.keep - log.base);
  view->log.insert(view->log.end(), log.appended.begin(), log.appended.end());
}

Recording::Recording(size_t most_events) : most_events_(most_events) {
  RAFTKV_CHECK(most_events > 0);
}

void Recording::Add(PictureEvent event) {
  if (IsAboutMessage(event.kind)) last_mention_[event.subject] = total_;
  if (event.node != raft::kNoNode) seen_.insert(event.node);
  if (event.kind == EventKind::kViolation && !violation_.has_value()) violation_ = total_;
  events_.push_back(std::move(event));
  ++total_;
  if (events_.size() > most_events_) {
    const PictureEvent& oldest = events_.front();
    if (!oldest.change.empty()) Apply(oldest.change, &start_[oldest.node]);
    events_.pop_front();
  }
  if (total_ % kForgetEvery == 0) Forget();
}

void Recording::Forget() {
  const uint64_t first = total_ - events_.size();
  for (auto it = last_mention_.begin(); it != last_mention_.end();) {
    if (it->second < first && total_ - it->second > kForgetAfter) {
      messages_.erase(it->first);
      it = last_mention_.erase(it);
    } else {
      ++it;
    }
  }
}

bool Recording::ChangeByLast(Time now, raft::NodeId node, NodeChange* change) {
  if (events_.empty()) return false;
  PictureEvent& last = events_.back();
  const bool cause = last.kind == EventKind::kArrived || last.kind == EventKind::kDisk;
  if (!cause || last.time != now || last.node != node || !last.change.empty()) return false;
  last.change = std::move(*change);
  return true;
}

EntryNumber Recording::Number(const PictureEntry& entry, uint64_t hash) {
  const auto [it, first] = numbers_.try_emplace({{entry.index, entry.term}, hash},
                                                static_cast<EntryNumber>(entries_.size()));
  if (first) entries_.push_back(entry);
  return it->second;
}

void Recording::AddMessage(uint64_t number, PictureMessage message) {
  messages_[number] = std::move(message);
}

std::vector<raft::NodeId> Recording::nodes() const { return {seen_.begin(), seen_.end()}; }

std::optional<size_t> Recording::violation() const {
  if (!violation_.has_value() || *violation_ < total_ - events_.size()) return std::nullopt;
  return *violation_ - (total_ - events_.size());
}

}  // namespace raftkv::sim
