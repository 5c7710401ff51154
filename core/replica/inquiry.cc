#include "core/replica/inquiry.h"

#include <algorithm>

namespace raftkv::replica {
namespace {

using Verdict = wire::EntryVerdict;

template <typename List>
auto FindIndex(const List& list, raft::Index index) {
  const auto it =
      std::lower_bound(list.begin(), list.end(), index,
                       [](const auto& entry, raft::Index wanted) { return entry.index < wanted; });
  return it != list.end() && it->index == index ? &*it : nullptr;
}

const raft::Entry* FindEntry(const Holdings& holdings, raft::Index index) {
  const raft::Log& log = holdings.log;
  if (index > log.base() && index <= log.last()) return &log.At(index);
  return holdings.damage == nullptr ? nullptr : FindIndex(holdings.damage->intact, index);
}

// The term of the entry at `index`, readable or not; 0 when it is not known or there is none.
raft::Term TermAt(const Holdings& holdings, raft::Index index) {
  if (const std::optional<raft::Term> term = holdings.log.TermAt(index)) return *term;
  if (holdings.damage == nullptr) return 0;
  if (const raft::Entry* intact = FindIndex(holdings.damage->intact, index)) return intact->term;
  const raft::DamagedEntry* bad = FindIndex(holdings.damage->bad, index);
  return bad == nullptr ? 0 : bad->term;
}

Verdict Judge(const Holdings& holdings, const wire::WantedEntry& wanted) {
  Verdict verdict{.index = wanted.index, .kind = Verdict::Kind::kNever};
  if (wanted.known_index != 0) verdict.known_term = TermAt(holdings, wanted.known_index);
  if (wanted.index <= holdings.log.base()) {
    verdict.kind = Verdict::Kind::kCompacted;
    return verdict;
  }
  // Two logs that hold the same entry hold the same entries in front of it (paper, 5.3).
  const bool follows_from_known =
      wanted.known_index != 0 && verdict.known_term == wanted.known_term;
  const raft::Term term = TermAt(holdings, wanted.index);
  const bool same = term == wanted.term || follows_from_known;
  if (term != 0 && !same) {
    verdict.kind = Verdict::Kind::kOther;
    verdict.term = term;
  } else if (FindEntry(holdings, wanted.index) != nullptr) {
    verdict.kind = Verdict::Kind::kHave;
    verdict.term = term;
  } else if (term != 0 || (holdings.lost && holdings.lost->index >= wanted.index)) {
    verdict.kind = Verdict::Kind::kLost;
  }
  return verdict;
}

wire::LogExtent ExtentOf(const Holdings& holdings) {
  const raft::Log& log = holdings.log;
  wire::LogExtent extent{log.base(),      log.last(),    log.last_term(),
                         holdings.commit, holdings.lost, holdings.leads};
  if (holdings.damage != nullptr && !holdings.damage->intact.empty()) {
    extent.last_index = holdings.damage->intact.back().index;
    extent.last_term = holdings.damage->intact.back().term;
  }
  return extent;
}

void AnswerWithEnd(const Holdings& holdings, const wire::EntryQuery& query, uint64_t max_bytes,
                   wire::EntryAnswer* answer) {
  const raft::Log& log = holdings.log;
  if (!log.Has(query.next_index - 1, query.prev_term)) return;
  // Of a log with the same last entry everything, of another one what every log has that counts.
  const raft::Index through = log.Has(query.through_index, query.through_term)
                                  ? query.through_index
                                  : std::min({query.through_index, holdings.commit, log.last()});
  uint64_t bytes = 0;
  for (raft::Index next = query.next_index;
       next <= through && answer->verdicts.size() < wire::kMaxWantedEntries; ++next) {
    const raft::Entry& entry = log.At(next);
    if (entry.term > query.through_term) break;
    bytes += raft::EntryBytes(entry);
    if (bytes > max_bytes && !answer->entries.empty()) break;
    answer->entries.push_back(entry);
    answer->verdicts.push_back({.index = next, .kind = Verdict::Kind::kHave, .term = entry.term});
  }
}

}  // namespace

wire::EntryAnswer AnswerQuery(const Holdings& holdings, const wire::EntryQuery& query,
                              uint64_t max_bytes) {
  wire::EntryAnswer answer{query.round, ExtentOf(holdings), {}, {}};
  if (query.next_index != 0) {
    AnswerWithEnd(holdings, query, max_bytes, &answer);
    return answer;
  }
  uint64_t bytes = 0;
  for (const wire::WantedEntry& wanted : query.wanted) {
    const Verdict verdict = Judge(holdings, wanted);
    if (verdict.kind == Verdict::Kind::kHave) {
      const raft::Entry& entry = *FindEntry(holdings, wanted.index);
      bytes += raft::EntryBytes(entry);
      if (bytes > max_bytes && !answer.entries.empty()) break;
      answer.entries.push_back(entry);
    }
    answer.verdicts.push_back(verdict);
  }
  return answer;
}

}  // namespace raftkv::replica
