#include "core/replica/repair.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/raft/configuration.h"
#include "core/raft/membership.h"
#include "core/raft/quorum.h"

namespace raftkv::replica {
namespace {

using Kind = wire::EntryVerdict::Kind;

constexpr raft::Index kNoEnd = std::numeric_limits<raft::Index>::max();

std::string Nodes(const std::vector<raft::NodeId>& nodes) {
  return absl::StrCat(nodes.size() == 1 ? "node " : "nodes ", absl::StrJoin(nodes, ", "));
}

}  // namespace

std::vector<raft::ConfState> ConfigurationsBehind(const raft::ConfState& conf, raft::Index applied,
                                                  const raft::Entries& entries) {
  std::vector<raft::ConfState> confs = {conf};
  for (const raft::Entry& entry : entries) {
    if (entry.index <= applied || entry.type != raft::EntryType::kMembership) continue;
    const std::optional<raft::MembershipChange> change =
        raft::DecodeMembershipChange(entry.payload.view());
    if (!change) continue;  // changes nothing, on every node alike
    raft::ConfigurationUpdate update = raft::ApplyChange(confs.back(), *change);
    if (!update.refused()) confs.push_back(std::move(update.conf));
  }
  return confs;
}

Repair::Repair(raft::NodeId self, const raft::Log& log, const raft::ConfState& conf,
               raft::Index commit, raft::LogDamage damage, const Options& options)
    : self_(self),
      log_(log),
      conf_(conf),
      commit_(commit),
      damage_(std::move(damage)),
      options_(options) {
  for (const raft::DamagedEntry& bad : damage_.bad) {
    Hole& hole = holes_.emplace_back();
    hole.index = bad.index;
    hole.lowest = hole.highest = bad.term;
  }
  Bound();
  for (raft::Index i = log_.first(); i <= log_.last(); ++i) {
    if (log_.At(i).type == raft::EntryType::kMembership) memberships_.push_back(log_.At(i));
  }
  raft::Entries all = memberships_;
  all.insert(all.end(), damage_.intact.begin(), damage_.intact.end());
  for (const raft::ConfState& each : ConfigurationsBehind(conf_, log_.base(), all)) {
    for (const raft::NodeId id : raft::AllMembers(each)) {
      if (id != self_) peers_.push_back(id);
    }
  }
  std::sort(peers_.begin(), peers_.end());
  peers_.erase(std::unique(peers_.begin(), peers_.end()), peers_.end());
  Decide();
  if (!decision_) Tick();
}

// Terms never decrease along a log: what is known of one entry bounds its neighbours.
void Repair::Bound() {
  const auto known = [](const Hole& hole) {
    return hole.lowest == hole.highest && hole.lowest > 0;
  };
  raft::Term before = std::max<raft::Term>(log_.last_term(), 1);
  auto intact = damage_.intact.begin();
  for (Hole& hole : holes_) {
    while (intact != damage_.intact.end() && intact->index < hole.index) before = (intact++)->term;
    if (!known(hole)) hole.lowest = before;
    before = hole.lowest;
  }
  raft::Index next_index = 0;
  raft::Term next_term = 0;
  auto behind = damage_.intact.rbegin();
  for (auto hole = holes_.rbegin(); hole != holes_.rend(); ++hole) {
    for (; behind != damage_.intact.rend() && behind->index > hole->index; ++behind) {
      next_index = behind->index;
      next_term = behind->term;
    }
    // What peers are asked about stays what it is: they answer for that entry, and an answer may be
    // old when a nearer one is known.
    if (!asked_) {
      hole->known_index = next_index;
      hole->known_term = next_term;
    }
    if (!known(*hole)) {
      hole->highest = std::max(hole->lowest, next_index != 0 ? next_term : damage_.last.term);
    }
    if (known(*hole)) {
      next_index = hole->index;
      next_term = hole->lowest;
    }
  }
  asked_ = true;
}

void Repair::Tick() {
  if (decision_ || ticks_++ % std::max(options_.patience_ticks, 1u) != 0) return;
  ++round_;
  // Also after all that was said is void: who could read nothing then may have been repaired since.
  for (const raft::NodeId peer : peers_) Ask(peer);
  Decide();
}

void Repair::Ask(raft::NodeId peer) {
  wire::EntryQuery query{round_, {}};
  for (const Hole& hole : holes_) {
    if (hole.found) continue;
    if (query.wanted.size() >= options_.entries_per_query) break;
    query.wanted.push_back({hole.index, hole.highest, hole.known_index, hole.known_term});
  }
  queries_.emplace_back(peer, std::move(query));
}

std::vector<std::pair<raft::NodeId, wire::EntryQuery>> Repair::TakeQueries() {
  return std::exchange(queries_, {});
}

void Repair::OnAnswer(raft::NodeId from, const wire::EntryAnswer& answer) {
  if (decision_ || !std::binary_search(peers_.begin(), peers_.end(), from)) return;
  auto entry = answer.entries.begin();
  bool brought = false;
  for (const wire::EntryVerdict& verdict : answer.verdicts) {
    const raft::Entry* copy = verdict.kind == Kind::kHave ? &*entry++ : nullptr;
    const auto hole =
        std::lower_bound(holes_.begin(), holes_.end(), verdict.index,
                         [](const Hole& each, raft::Index index) { return each.index < index; });
    if (hole == holes_.end() || hole->index != verdict.index || hole->found) continue;
    hole->said[from] =
        Said{verdict, answer.extent.commit, answer.extent.last_term, answer.extent.lost};
    Take(*hole, verdict, copy);
    brought |= hole->found.has_value();
  }
  if (brought) Bound();
  Decide();
  // Whoever had something may have more that had no room, or that is far behind.
  if (!decision_ && brought && answer.round == round_) Ask(from);
}

// A copy is right if its index and term are ours (paper, 5.3: no two entries of the same index and
// term differ, whoever holds them). When our term is not known, it is the same entry if
//
//   - the peer's log also holds our next known entry: then the logs are equal up to there; or
//   - its term is the highest that ours can have had, which is the term T of our next known entry.
//     The leader of T had our entry at this index when it made that one; the peer's copy says that
//     the leader of T made an entry at this index; and no leader changes its log.
//
// With nothing known behind it, it is the lost end of the log, and nothing is taken for it.
void Repair::Take(Hole& hole, const wire::EntryVerdict& verdict, const raft::Entry* entry) {
  if (entry == nullptr || verdict.term < hole.lowest || verdict.term > hole.highest) return;
  if (hole.lowest != hole.highest) {
    const bool follows_from_known = verdict.known_term == hole.known_term;
    if (hole.known_index == 0 || (verdict.term != hole.highest && !follows_from_known)) return;
  }
  hole.found = *entry;
  hole.lowest = hole.highest = entry->term;
  ++fetched_;
}

// Where the log ends because what stood there was never committed and never will be: then nobody
// needs it, nor what follows it, and no promise about it binds. kNoEnd: not shown by this.
//
//   - Another entry is committed at the index.
//   - An entry stands there of a term T above everything our disk may have vouched for. The leader
//     of T did not have ours. Had anything of our log from here on been committed with our help, it
//     would have been in a term of an entry of our log, below T, and the leader of T would have it.
//     (A later term than that of the entry alone would not do: figure 8 of the paper commits an old
//     entry although one of a later term was at its index elsewhere.)
//   - A log that ends in front of the index ends with an entry of such a term T. The leader of T
//     made that one, and whatever it has behind it is of T, too.
raft::Index Repair::EndByProof(const Hole& hole) const {
  raft::Index end = kNoEnd;
  for (const auto& [peer, said] : hole.said) {
    const wire::EntryVerdict& verdict = said.verdict;
    const bool other =
        verdict.kind == Kind::kOther && (verdict.term < hole.lowest || verdict.term > hole.highest);
    if (other && (verdict.term > damage_.last.term || said.commit >= hole.index)) {
      end = std::min(end, hole.index);
    }
    if (verdict.kind == Kind::kNever && said.last_term > damage_.last.term) {
      end = std::min(end, hole.index);
    }
    const bool next_is_other =
        hole.known_index != 0 && verdict.known_term != 0 && verdict.known_term != hole.known_term;
    if (next_is_other &&
        (verdict.known_term > damage_.last.term || said.commit >= hole.known_index)) {
      end = std::min(end, hole.known_index);
    }
  }
  return end;
}

raft::Index Repair::EndByProof() const {
  raft::Index end = kNoEnd;
  for (const Hole& hole : holes_) end = std::min(end, EndByProof(hole));
  return end;
}

// False only if what the peer said rules it out: it does not have our entry, so it has never
// acknowledged it, or a leader that did not have it either has overwritten it since.
bool Repair::MayHaveHad(const Hole& hole, raft::NodeId peer) const {
  const auto it = hole.said.find(peer);
  if (it == hole.said.end()) return true;
  const Said& said = it->second;
  switch (said.verdict.kind) {
    case Kind::kNever:
      return false;
    case Kind::kOther:
      return said.verdict.term >= hole.lowest && said.verdict.term <= hole.highest;
    case Kind::kLost:
      return !said.lost || said.lost->term >= hole.lowest;
    case Kind::kHave:
    case Kind::kCompacted:
      break;
  }
  return true;
}

// Every configuration that may have decided about it is asked, also those whose membership entries
// are known to be committed later than the entry's: entries in front of it are all known.
bool Repair::NoQuorumCanHaveHad(const Hole& hole) const {
  raft::Entries entries = memberships_;
  for (const Hole& each : holes_) {
    if (each.index < hole.index && each.found) entries.push_back(*each.found);
  }
  for (const raft::Entry& entry : damage_.intact) {
    if (entry.index < hole.index) entries.push_back(entry);
  }
  std::sort(entries.begin(), entries.end(),
            [](const raft::Entry& a, const raft::Entry& b) { return a.index < b.index; });
  // Configurations in front of the one that is known to be in force are past.
  const auto uncommitted =
      std::find_if(entries.begin(), entries.end(),
                   [this](const raft::Entry& entry) { return entry.index > commit_; });
  const raft::Entries committed(entries.begin(), uncommitted);
  const raft::ConfState in_force = ConfigurationsBehind(conf_, log_.base(), committed).back();
  const std::vector<raft::ConfState> confs =
      ConfigurationsBehind(in_force, std::max(commit_, log_.base()), entries);
  return std::all_of(confs.begin(), confs.end(), [&](const raft::ConfState& conf) {
    return raft::JointVote(conf, [&](raft::NodeId id) {
             return std::optional<bool>(MayHaveHad(hole, id));
           }) == raft::VoteResult::kLost;
  });
}

bool Repair::StandsInSnapshot(const Hole& hole) const {
  return std::any_of(hole.said.begin(), hole.said.end(),
                     [](const auto& said) { return said.second.verdict.kind == Kind::kCompacted; });
}

const Repair::Hole* Repair::FirstOpen() const {
  const auto hole = std::find_if(holes_.begin(), holes_.end(),
                                 [](const Hole& each) { return !each.found.has_value(); });
  return hole == holes_.end() ? nullptr : &*hole;
}

size_t Repair::open() const {
  return static_cast<size_t>(std::count_if(
      holes_.begin(), holes_.end(), [](const Hole& hole) { return !hole.found.has_value(); }));
}

void Repair::Decide() {
  if (decision_) return;
  const raft::Index end = EndByProof();
  const Hole* const hole = FirstOpen();
  if (hole == nullptr || hole->index >= end) {
    return Settle(end, end != kNoEnd && !MoreWasLost());
  }
  // Without readable entries behind it that may count, this is the lost end of a log and no hole:
  // nothing is kept from anybody, and the suspicion keeps the promise.
  const bool tail = std::none_of(
      damage_.intact.begin(), damage_.intact.end(),
      [&](const raft::Entry& entry) { return entry.index > hole->index && entry.index < end; });
  if (tail || NoQuorumCanHaveHad(*hole)) return Settle(hole->index, false);
  // A copy would do with less, so everybody gets a chance to answer first.
  if (StandsInSnapshot(*hole) &&
      (hole->said.size() == peers_.size() || ticks_ > options_.patience_ticks)) {
    decision_ = NeedsSnapshot{hole->index};
  }
}

// Whether the disk may have vouched for more than what is listed of it. Then the lost end may have
// cut the log further in front and begun it anew: what is listed is a log of an earlier time, and a
// proof about it says nothing about what replaced it.
bool Repair::MoreWasLost() const {
  raft::DamagedEntry last = damage_.bad.back();
  if (!damage_.intact.empty() && damage_.intact.back().index > last.index) {
    last = {damage_.intact.back().index, damage_.intact.back().term};
  }
  return last != raft::DamagedEntry{damage_.last.index, damage_.last.term};
}

void Repair::Settle(raft::Index end, bool proven) {
  Settled settled;
  auto intact = damage_.intact.begin();
  for (const Hole& hole : holes_) {
    for (; intact != damage_.intact.end() && intact->index < hole.index; ++intact) {
      if (intact->index < end) settled.entries.push_back(*intact);
    }
    if (hole.index < end) settled.entries.push_back(*hole.found);
  }
  for (; intact != damage_.intact.end(); ++intact) {
    if (intact->index < end) settled.entries.push_back(*intact);
  }
  const raft::Index last = settled.entries.empty() ? log_.last() : settled.entries.back().index;
  const raft::Term last_term =
      settled.entries.empty() ? log_.last_term() : settled.entries.back().term;
  const bool redeemed = raft::Redeems(log_.base(), last, last_term, damage_.last);
  if (!proven && !redeemed) settled.suspicion = damage_.last;
  decision_ = std::move(settled);
}

std::string Repair::WaitsFor() const {
  const Hole* const hole = FirstOpen();
  if (hole == nullptr) return {};
  std::string text = absl::StrCat("entry (", hole->index, ", term ", hole->lowest);
  if (hole->lowest != hole->highest) absl::StrAppend(&text, " to ", hole->highest);
  absl::StrAppend(&text, ")");
  std::vector<raft::NodeId> silent, lost;
  for (const raft::NodeId peer : peers_) {
    const auto said = hole->said.find(peer);
    if (said == hole->said.end()) {
      silent.push_back(peer);
    } else if (said->second.verdict.kind == Kind::kLost) {
      lost.push_back(peer);
    }
  }
  if (!silent.empty()) absl::StrAppend(&text, " from ", Nodes(silent));
  if (!lost.empty()) absl::StrAppend(&text, ", lost by ", Nodes(lost), " too");
  if (silent.empty() && lost.empty()) absl::StrAppend(&text, ", which nobody has");
  const size_t more = open() - 1;
  if (more > 0) absl::StrAppend(&text, ", and ", more, " more");
  return text;
}

}  // namespace raftkv::replica
