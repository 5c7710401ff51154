// What a disk has lost of a log: what the core has to remember of it in elections, and what a node
// asks its peers for.
// docs/adr/0007-a-lost-entry-is-still-promised.md
#pragma once

#include <cstdint>
#include <vector>

#include "core/raft/types.h"

namespace raftkv::raft {

// The end of a log that a disk has lost: entries up to `index`, the last of term `term`, may have
// been on it, and this node may have acknowledged them. Both are upper bounds when more is not
// known. docs/adr/0007-a-lost-entry-is-still-promised.md
struct Suspicion {
  enum class Evidence : uint8_t {
    kBlank =
        0,  // every bad sector holds what was there before the write: most likely never written
    kSpoilt = 1,  // torn or rotten, nothing tells which
    kProven = 2,  // it was durable once, so it is rot
  };
  Index index = 0;
  Term term = 0;
  Evidence evidence = Evidence::kSpoilt;

  friend bool operator==(const Suspicion&, const Suspicion&) = default;
};

// Whether a log that ends with (last, last_term) is at least as up to date as one with everything
// that was lost (paper, section 5.4.1).
inline bool UpToDate(Index last, Term last_term, const Suspicion& suspicion) {
  return last_term > suspicion.term || (last_term == suspicion.term && last >= suspicion.index);
}

// Whether a durable log that begins behind `base`, an index that is committed, and ends with (last,
// last_term) leaves nothing to suspect.
//
// The log's end: an entry E that this node acknowledged is of a term up to suspicion.term. If E is
// committed, every leader of a later term has it, and whatever this log holds of such a term came
// after E. If the log ends in the same term, at or behind suspicion.index, it holds E because two
// logs with the same last entry are equal. If it ends below, E may be missing.
//
// The base: E's index is at most suspicion.index, so at most `base`. What is committed at an index
// is committed there for ever, and is in the snapshot. An E that is not in it is not committed, and
// will not be: the leader of its term has it there and would have to have the committed one.
// That the log's last term may be lower than the suspicion's does no harm: nobody waits for E.
inline bool Redeems(Index base, Index last, Term last_term, const Suspicion& suspicion) {
  return base >= suspicion.index || UpToDate(last, last_term, suspicion);
}

struct DamagedEntry {
  Index index = 0;
  Term term =
      0;  // 0: not known; at least that of the entry before, at most that of the next intact one

  friend bool operator==(const DamagedEntry&, const DamagedEntry&) = default;
};

// Holes: entries that cannot be read with readable ones behind them. The entries in front of the
// first hole are a log as always.
struct LogDamage {
  std::vector<DamagedEntry> bad;  // ascending, never empty
  Entries intact;                 // the readable entries behind the first bad one, ascending
  // Everything the disk may have vouched for, intact or not: at least as far as both lists. If it
  // goes beyond both, the end of the log is lost, too, and may have replaced some of the entries
  // here by newer ones: they are a log of an earlier time, and this remains a suspicion after the
  // repair.
  Suspicion last;

  friend bool operator==(const LogDamage&, const LogDamage&) = default;
};

}  // namespace raftkv::raft
