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
  // As between most states of a log that grows.
  if (a.runs_ == b.runs_) return last;
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

Index Log::TailWithin(Index through, uint64_t max_bytes) const {
  RAFTKV_CHECK(through >= base() && through <= last());
  Index from = through + 1;
  while (from > first()) {
    const Index block_first = std::max(first(), (from - 1) / kBlockEntries * kBlockEntries);
    const bool whole_block = (from - 1 == last() || from % kBlockEntries == 0);
    if (whole_block && BlockOf(from - 1).bytes <= max_bytes) {
      max_bytes -= BlockOf(from - 1).bytes;
      from = block_first;
      continue;
    }
    for (; from > block_first; --from) {
      const uint64_t bytes = EntryBytes(Slot(from - 1));
      if (bytes > max_bytes) return from;
      max_bytes -= bytes;
    }
  }
  return from;
}

void Log::OpenBlock(Index index) {
  const size_t number = index / kBlockEntries;
  const size_t in_use = last() > base() ? number - first() / kBlockEntries : 0;
  if (in_use == ring_.size()) {
    std::vector<std::unique_ptr<Block>> old = std::move(ring_);
    ring_.resize(std::max<size_t>(4, old.size() * 2));
    for (size_t moved = number - in_use; moved < number; ++moved)
      ring_[moved & (ring_.size() - 1)] = std::move(old[moved & (old.size() - 1)]);
  }
  std::unique_ptr<Block>& block = BlockPointer(index);
  if (spare_.empty()) {
    block = std::make_unique<Block>();
  } else {
    block = std::move(spare_.back());
    spare_.pop_back();
  }
}

void Log::Append(Entry entry) {
  RAFTKV_CHECK(entry.index == last() + 1);
  // Faster than entries come, so that what has left does not pile up.
  ReleaseSome(2);
  if (last() == base() || entry.index % kBlockEntries == 0) OpenBlock(entry.index);
  terms_.Append(entry.term);
  Block& block = BlockOf(entry.index);
  block.bytes += EntryBytes(entry);
  block.entries[entry.index % kBlockEntries] = std::move(entry);
}

// Takes an end of the log, or all of it, out of the blocks. `rest` is the index beside it, which
// stays if there is one: its block stays, too.
void Log::Remove(Index from, Index through, Index rest) {
  for (Index begin = from; begin <= through;) {
    const Index end = std::min(through, begin - begin % kBlockEntries + kBlockEntries - 1);
    if (begin / kBlockEntries != rest / kBlockEntries || rest < first() || rest > last()) {
      dropped_.push_back(std::move(BlockPointer(begin)));
    } else {
      Block& block = BlockOf(begin);
      for (Index index = begin; index <= end; ++index) {
        Entry& entry = block.entries[index % kBlockEntries];
        block.bytes -= EntryBytes(entry);
        entry = Entry();
      }
    }
    begin = end + 1;
  }
}

void Log::TruncateAfter(Index index) {
  RAFTKV_CHECK(index >= base() && index <= last());
  Remove(index + 1, last(), index);
  terms_.TruncateAfter(index);
}

void Log::Compact(Index through) {
  RAFTKV_CHECK(through >= base() && through <= last());
  Remove(first(), through, through + 1);
  terms_.DropBefore(through);
}

void Log::Reset(Index base, Term base_term) {
  Remove(first(), last(), first() - 1);
  terms_.Reset(base, base_term);
}

size_t Log::ReleaseSome(size_t budget) {
  size_t released = 0;
  while (released < budget && !dropped_.empty()) {
    Block& block = *dropped_.back();
    block.entries[block.emptied] = Entry();
    ++released;
    if (++block.emptied < kBlockEntries) continue;
    block.bytes = block.emptied = 0;
    if (spare_.size() < kSpareBlocks) spare_.push_back(std::move(dropped_.back()));
    dropped_.pop_back();
  }
  return released;
}

}  // namespace raftkv::raft
