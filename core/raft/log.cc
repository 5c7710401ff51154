#include "core/raft/log.h"

#include <algorithm>

#include "core/raft/check.h"
#include "core/raft/options.h"

namespace raftkv::raft {

size_t TermRuns::RunOf(Index index) const {
  size_t position = runs_.size() - 1;
  if (runs_[position].first <= index) return position;
  const auto after =
      std::upper_bound(runs_.begin(), runs_.end(), index,
                       [](Index wanted, const Run& run) { return wanted < run.first; });
  return static_cast<size_t>(after - runs_.begin()) - 1;
}

bool TermRuns::FindOlder(Index index, Term* term) const {
  if (index < base()) return false;
  *term = runs_[RunOf(index)].term;
  return true;
}

Index TermRuns::LastAtMost(Index from, Term term) const {
  RAFTKV_CHECK(from <= last_);
  if (from < base()) return from;
  for (size_t position = RunOf(from) + 1; position-- > 0;) {
    if (runs_[position].term <= term) return from;
    if (runs_[position].first == 0) return 0;
    from = runs_[position].first - 1;
  }
  return from;
}

void TermRuns::Append(Term term) {
  RAFTKV_CHECK(term >= last_term());
  ++last_;
  if (term != last_term()) runs_.push_back(Run{last_, term});
}

void TermRuns::TruncateAfter(Index index) {
  RAFTKV_CHECK(index >= base() && index <= last_);
  while (runs_.back().first > index) runs_.pop_back();
  last_ = index;
}

void TermRuns::DropBefore(Index index) {
  RAFTKV_CHECK(index >= base() && index <= last_);
  const size_t position = RunOf(index);
  runs_.erase(runs_.begin(), runs_.begin() + static_cast<std::ptrdiff_t>(position));
  runs_.front().first = index;
}

void TermRuns::Reset(Index base, Term base_term) {
  runs_.clear();
  runs_.push_back(Run{base, base_term});
  last_ = base;
}

Index TermRuns::CommonPrefix(const TermRuns& a, const TermRuns& b) {
  const Index last = std::min(a.last_, b.last_);
  Index index = std::max(a.base(), b.base());  // equal so far, by agreement
  if (last < index) return last;
  size_t in_a = a.RunOf(index);
  size_t in_b = b.RunOf(index);
  for (;;) {
    if (a.runs_[in_a].term != b.runs_[in_b].term) {
      return index == std::max(a.base(), b.base()) ? index : index - 1;
    }
    // Both stay in these runs up to just before the nearer end.
    const Index end_a = in_a + 1 < a.runs_.size() ? a.runs_[in_a + 1].first : a.last_ + 1;
    const Index end_b = in_b + 1 < b.runs_.size() ? b.runs_[in_b + 1].first : b.last_ + 1;
    index = std::min(end_a, end_b);
    if (index > last) return last;
    if (end_a == index) ++in_a;
    if (end_b == index) ++in_b;
  }
}

const Entry& Log::At(Index index) const {
  RAFTKV_CHECK(index >= first() && index <= last());
  return Slot(index);
}

void Log::CopyTo(Index from, Index through, uint64_t max_bytes, Entries& out) const {
  RAFTKV_CHECK(from >= first() && through <= last());
  // First how many: so the copy has its memory at once and is no larger than it.
  Index end = through + 1;
  if (max_bytes != kNoLimit) {
    uint64_t bytes = 0;
    for (end = from; end <= through; ++end) {
      bytes += EntryBytes(Slot(end));
      if (bytes > max_bytes && end > from) break;
    }
  }
  out.reserve(out.size() + (end - from));
  for (Index index = from; index < end; ++index) out.push_back(Slot(index));
}

void Log::Append(Entry entry) {
  RAFTKV_CHECK(entry.index == last() + 1);
  if (last() - base() == ring_.size()) Grow();
  terms_.Append(entry.term);
  Slot(entry.index) = std::move(entry);
}

void Log::Grow() {
  std::vector<Entry> old = std::move(ring_);
  ring_ = std::vector<Entry>(std::max<size_t>(16, old.size() * 2));
  for (Index index = first(); index <= last(); ++index)
    Slot(index) = std::move(old[index & (old.size() - 1)]);
}

void Log::TruncateAfter(Index index) {
  for (Index dropped = index + 1; dropped <= last(); ++dropped) Slot(dropped) = Entry();
  terms_.TruncateAfter(index);
}

void Log::Compact(Index through) {
  for (Index dropped = first(); dropped <= through; ++dropped) Slot(dropped) = Entry();
  terms_.DropBefore(through);
}

void Log::Reset(Index base, Term base_term) {
  ring_.clear();
  terms_.Reset(base, base_term);
}

}  // namespace raftkv::raft
