// The replicated log since the last compaction, in memory (paper, section 5.3). The core owns it
// whole and asks storage nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "core/raft/types.h"

namespace raftkv::raft {

// The terms of a stretch of log, kept as runs of equal terms: terms never decrease along a log, so
// a log of millions of entries has a handful of runs, and comparing two logs means comparing these.
class TermRuns {
 public:
  TermRuns() = default;
  TermRuns(Index base, Term base_term) : last_(base), runs_{{base, base_term}} {}

  Index base() const { return runs_.front().first; }  // the lowest index whose term is known
  Index last() const { return last_; }
  Term last_term() const { return runs_.back().term; }
  // False outside [base, last].
  bool Find(Index index, Term* term) const {
    *term = runs_.back().term;
    // Almost every question is about the newest run.
    return index <= last_ && (index >= runs_.back().first || FindOlder(index, term));
  }
  std::optional<Term> At(Index index) const {
    Term term;
    return Find(index, &term) ? std::optional<Term>(term) : std::nullopt;
  }
  // The highest index <= `from` whose term is at most `term`, or the highest index whose term is
  // not known.
  Index LastAtMost(Index from, Term term) const;

  void Append(Term term);           // at last + 1
  void TruncateAfter(Index index);  // index in [base, last]
  void DropBefore(Index index);     // index in [base, last] becomes the base
  void Reset(Index base, Term base_term);

  // The highest index up to which both hold the same terms, taking indexes up to either base for
  // equal.
  static Index CommonPrefix(const TermRuns& a, const TermRuns& b);

  friend bool operator==(const TermRuns&, const TermRuns&) = default;

 private:
  struct Run {
    Index first;
    Term term;
    friend bool operator==(const Run&, const Run&) = default;
  };
  size_t RunOf(Index index) const;  // position of the run that holds `index`
  bool FindOlder(Index index, Term* term) const;

  Index last_ = 0;
  std::vector<Run> runs_{{0, 0}};
};

// What one entry counts towards limits in bytes: its payload and what surrounds it.
inline constexpr uint64_t kEntryOverheadBytes = 16;
inline uint64_t EntryBytes(const Entry& entry) {
  return entry.payload.size() + kEntryOverheadBytes;
}

// Leaving the log is cheap for any number of entries: what Compact and Reset drop is only put
// aside, and freed little by little by Append and ReleaseSome, so that no single call takes long.
class Log {
 public:
  Log() = default;
  Log(Log&&) = default;
  Log& operator=(Log&&) = default;

  Index base() const { return terms_.base(); }  // last compacted index; its term is still known
  Index first() const { return terms_.base() + 1; }
  Index last() const { return terms_.last(); }
  Term last_term() const { return terms_.last_term(); }
  const TermRuns& terms() const { return terms_; }

  std::optional<Term> TermAt(Index index) const { return terms_.At(index); }
  bool FindTerm(Index index, Term* term) const { return terms_.Find(index, term); }
  bool Has(Index index, Term term) const {
    Term found;
    return terms_.Find(index, &found) && found == term;
  }
  const Entry& At(Index index) const;  // index in [first, last]

  // Appends to `out` the entries from `from` on that fit in `max_bytes` (EntryBytes each), up to
  // and including `through`; at least one when there is any.
  void CopyTo(Index from, Index through, uint64_t max_bytes, Entries& out) const;

  // The lowest index in [first, through + 1] such that the entries from it to `through` weigh
  // `max_bytes` (EntryBytes each) or less together; `through` in [base, last]. Looks at two blocks
  // of entries at most.
  Index TailWithin(Index through, uint64_t max_bytes) const;

  void Append(Entry entry);         // entry.index == last + 1
  void TruncateAfter(Index index);  // index in [base, last]
  void Compact(Index through);      // through in [base, last]
  void Reset(Index base, Term base_term);

  // Frees up to `budget` of the entries that have left the log. Returns how many; 0 when none is
  // left.
  size_t ReleaseSome(size_t budget);

 private:
  static constexpr size_t kBlockEntries = 256;
  // Emptied blocks that are kept for entries to come, so that a log that is compacted as it grows
  // allocates nothing.
  static constexpr size_t kSpareBlocks = 64;

  // The entries whose index divided by kBlockEntries is the block's number.
  struct Block {
    uint64_t bytes = 0;  // EntryBytes of those that are in the log
    size_t emptied = 0;  // so many were freed since the block was dropped
    std::array<Entry, kBlockEntries> entries;
  };

  std::unique_ptr<Block>& BlockPointer(Index index) {
    return ring_[(index / kBlockEntries) & (ring_.size() - 1)];
  }
  Block& BlockOf(Index index) { return *BlockPointer(index); }
  const Block& BlockOf(Index index) const {
    return *ring_[(index / kBlockEntries) & (ring_.size() - 1)];
  }
  const Entry& Slot(Index index) const { return BlockOf(index).entries[index % kBlockEntries]; }
  void OpenBlock(Index index);
  void Remove(Index from, Index through, Index rest);

  TermRuns terms_;
  // A ring of the blocks of [first, last]: blocks enter at the back and leave at both ends without
  // moving the others. Its size is 0 or a power of two.
  std::vector<std::unique_ptr<Block>> ring_;
  std::vector<std::unique_ptr<Block>> dropped_;  // to be emptied, the last one first
  std::vector<std::unique_ptr<Block>> spare_;    // empty
};

}  // namespace raftkv::raft
