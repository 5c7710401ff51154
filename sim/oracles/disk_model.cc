#include "sim/oracles/disk_model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "sim/oracles/describe.h"

namespace raftkv::sim {
namespace {

// The suspicion keeps the promise of the entry until the log has made up for it. A lie may make it
// too small: of a later term it refuses the same votes, but of a smaller index it may end too
// early.
bool Outlasts(const std::optional<raft::Suspicion>& suspicion, raft::Index index, raft::Term term) {
  return suspicion && suspicion->index >= index &&
         raft::UpToDate(suspicion->index, suspicion->term, {index, term, {}});
}

}  // namespace

DiskModel::Slot DiskModel::SlotOf(const raft::Entry& entry) {
  return Slot{entry.term, HashEntry(entry)};
}

const DiskModel::Slot* DiskModel::Certain::Find(raft::Index index) const {
  return index > base && index <= last() ? &slots[index - base - 1] : nullptr;
}

bool DiskModel::Holds(raft::Index index, raft::Term term) const {
  if (index <= is_.snapshot) return true;
  const Slot* slot = is_.Find(index);
  return slot != nullptr && slot->term == term;
}

bool DiskModel::MayHold(raft::Index index, raft::Term term) const {
  if (Holds(index, term)) return true;
  if (!job_) return false;
  if (job_->snapshot && index <= job_->snapshot->index) return true;
  const raft::Index begin = job_->snapshot ? job_->snapshot->index : job_->keep;
  return index > begin && index - begin <= job_->slots.size() &&
         job_->slots[index - begin - 1].term == term;
}

bool DiskModel::Promises(raft::Index index, raft::Term term) const {
  const auto it = is_.lost.find(index);
  return it != is_.lost.end() && it->second == term;
}

bool DiskModel::GaveUp(raft::Index index, raft::Term term) const {
  if (index <= forgotten_through_) return true;
  const auto it = given_up_.find(index);
  return it != given_up_.end() && it->second == term;
}

std::map<raft::Index, raft::Term> DiskModel::TakeGivenUp() {
  return std::exchange(newly_given_up_, {});
}

std::optional<raft::Term> DiskModel::Certain::TermAt(raft::Index index) const {
  if (index == base) return base_term;
  const Slot* slot = Find(index);
  if (slot == nullptr) return std::nullopt;
  return slot->term;
}

raft::NodeId DiskModel::VoteIn(raft::Term term) const {
  const auto it = votes_.find(term);
  return it == votes_.end() ? raft::kNoNode : it->second;
}

void DiskModel::NoteVote() {
  if (is_.hard.vote != raft::kNoNode) votes_[is_.hard.term] = is_.hard.vote;
}

void DiskModel::PersistHandedOut(const raft::PersistJob& job) { PersistHandedOut(job, {}); }

void DiskModel::PersistHandedOut(const raft::PersistJob& job, const std::vector<uint64_t>& hashes) {
  RAFTKV_CHECK(!job_.has_value());  // one ticket is out at most
  Write& write =
      job_.emplace(Write{job.hard_state, job.snapshot, job.writes_log, job.keep_through, {}});
  write.slots.reserve(job.entries.size());
  for (size_t i = 0; i < job.entries.size(); ++i) {
    const raft::Entry& entry = job.entries[i];
    write.slots.push_back({entry.term, i < hashes.size() ? hashes[i] : HashEntry(entry)});
  }
}

void DiskModel::PersistDone() {
  RAFTKV_CHECK(job_.has_value());
  Write write = *std::exchange(job_, std::nullopt);
  if (watched_) {
    if (write.hard) watched_->hard.push_back(*write.hard);
    if (write.snapshot) watched_->snapshots.insert(write.snapshot->index);
    raft::Index index = write.snapshot ? write.snapshot->index : write.keep;
    for (const Slot& slot : write.slots) watched_->slots[++index].push_back(slot);
  }
  if (write.hard.has_value()) {
    is_.hard = *write.hard;
    NoteVote();
  }
  if (write.snapshot.has_value()) {
    is_.snapshot = is_.base = write.snapshot->index;
    is_.base_term = write.snapshot->term;
    is_.slots = std::move(write.slots);
    unread_.clear();
  } else if (write.log) {
    for (raft::Index i = std::max(write.keep, is_.base) + 1; i <= last(); ++i) {
      replaced_[i].push_back(*is_.Find(i));
    }
    unread_.erase(unread_.upper_bound(write.keep), unread_.end());
    is_.slots.resize(write.keep - is_.base);
    is_.slots.insert(is_.slots.end(), write.slots.begin(), write.slots.end());
    is_.lost.erase(is_.lost.upper_bound(write.keep), is_.lost.upper_bound(last()));
  }
  EndSuspicion();
}

void DiskModel::PersistFoundNoSpace() {
  RAFTKV_CHECK(job_.has_value());
  const Write write = *std::exchange(job_, std::nullopt);
  if (!write.hard.has_value()) return;
  if (watched_) watched_->hard.push_back(*write.hard);
  is_.hard = *write.hard;
  NoteVote();
}

void DiskModel::SwitchDone() {
  RAFTKV_CHECK(switch_.has_value());
  is_.snapshot = std::max(is_.snapshot, switch_->index);
  if (watched_) watched_->snapshots.insert(is_.snapshot);
  switch_.reset();
  EndSuspicion();
}

std::string DiskModel::CompareLog(const raft::Recovered& found,
                                  const std::vector<Slot>& slots) const {
  const raft::Index first = found.snapshot.index + 1;
  const raft::Index found_last = found.snapshot.index + slots.size();
  const auto found_at = [&](raft::Index index) { return slots[index - first]; };

  // A repair has replaced everything by a newer snapshot of a peer.
  if (damaged_from_ && slots.empty() && found.snapshot.index >= last()) return {};
  if (job_ && job_->snapshot && found.snapshot.index == job_->snapshot->index) {
    if (slots == job_->slots) return {};
    return absl::StrCat("the snapshot at ", found.snapshot.index,
                        " was switched to, but its log was not there whole");
  }
  // The log as it certainly was, or cut and continued by a part of the write that was under way.
  const bool may_be_cut = job_ && job_->log && !job_->snapshot;
  const raft::Index kept = may_be_cut ? std::min(last(), job_->keep) : last();
  for (raft::Index i = first; i <= kept; ++i) {
    if (i > found_last) {
      if (MayBeGone(i, found)) return {};
      return absl::StrCat("entry (", i, ", term ", TermAt(i).value_or(0),
                          ") was durable and is gone; the log ends at ", found_last);
    }
    const Slot* slot = is_.Find(i);
    if (slot == nullptr) return absl::StrCat("entry ", i, " was never written, and is there");
    if (*slot != found_at(i)) {
      // What replaced it is lost with a suspicion; the file before still has what there was.
      if (MayBeGone(i, found) && WereReplaced(i, found_last, slots, first)) return {};
      return absl::StrCat("entry ", i, " was durable with term ", slot->term,
                          " and is now another one, of term ", found_at(i).term);
    }
  }
  if (found_last <= kept) return {};
  // Behind that: the old entries, all of them or up to what is lost, or the first few of the new
  // ones.
  bool old_tail = found_last >= last() || MayBeGone(found_last + 1, found);
  bool new_tail = may_be_cut && found_last - kept <= job_->slots.size();
  for (raft::Index i = std::max(kept + 1, first); i <= found_last; ++i) {
    const Slot* slot = i <= last() ? is_.Find(i) : FindUnread(i);
    // Or what had been there before, if the cut that removed it is lost, too (see above).
    const bool is_back = i > last() && MayBeGone(i, found) && WereReplaced(i, i, slots, first);
    old_tail = old_tail && (is_back || (slot != nullptr && *slot == found_at(i)));
    new_tail = new_tail && job_->slots[i - kept - 1] == found_at(i);
  }
  if (old_tail || new_tail) return {};
  return absl::StrCat("the log ends at ", found_last, " with entries that are neither the ", last(),
                      " that were durable nor the beginning of the write that was under way");
}

// A suspicion covers everything that was durable, or it is too small.
bool DiskModel::Covers(const std::optional<raft::Suspicion>& suspicion) const {
  return Outlasts(suspicion, last(), TermAt(last()).value_or(0));
}

bool DiskModel::MayBeGone(raft::Index index, const raft::Recovered& found) const {
  return (damaged_from_ && index >= *damaged_from_) || Covers(found.suspicion);
}

// A suspicion is written down and ends when the log has made up for it, not by a crash.
std::string DiskModel::CompareSuspicion(const raft::Recovered& found) const {
  if (!is_.suspicion || found.suspicion || damaged_from_) return {};
  const raft::Index base = found.snapshot.index;
  const raft::Index end = found.entries.empty() ? base : found.entries.back().index;
  const raft::Term term = found.entries.empty() ? found.snapshot.term : found.entries.back().term;
  if (raft::Redeems(base, end, term, *is_.suspicion)) return {};
  return absl::StrCat("the loss of entries up to (", is_.suspicion->index, ", term ",
                      is_.suspicion->term, ") was known and is forgotten; the log ends at ", end);
}

// What was durable and is not found.
void DiskModel::NoteLosses(const raft::Recovered& found, const std::vector<Slot>& slots) {
  const raft::Index found_last = found.snapshot.index + slots.size();
  const bool cut = job_ && job_->log && !job_->snapshot;
  const bool promised = Covers(found.suspicion);
  for (raft::Index i = std::max(found.snapshot.index, is_.base) + 1; i <= last(); ++i) {
    if (i <= found_last && slots[i - found.snapshot.index - 1] == *is_.Find(i)) continue;
    const raft::Term term = *TermAt(i);
    if (promised) {
      Lose(i, term);
      if (i > found_last) unread_.insert_or_assign(i, *is_.Find(i));
    } else if (!(cut && i > job_->keep)) {
      GiveUp(i, term);
    }
  }
}

// What was found in its place, and is lost as well, had been replaced by it. Of which term it is
// does not matter: a new leader may send around an entry of an older term (paper, figure 8).
void DiskModel::Lose(raft::Index index, raft::Term term) { is_.lost.try_emplace(index, term); }

void DiskModel::GiveUp(raft::Index index, raft::Term term) {
  given_up_[index] = term;
  newly_given_up_[index] = term;
}

void DiskModel::EndSuspicion() {
  if (last() >= forgotten_through_) forgotten_through_ = 0;
  // Back again. Another one in its place is what it had replaced.
  std::erase_if(is_.lost, [this](const auto& entry) {
    const Slot* slot = is_.Find(entry.first);
    return entry.first <= is_.base || (slot != nullptr && slot->term == entry.second);
  });
  if (!is_.suspicion) return;
  const raft::Term last_term = TermAt(last()).value_or(0);
  // A snapshot of its own, too: the log may be compacted up to there now.
  if (!raft::Redeems(is_.snapshot, last(), last_term, *is_.suspicion)) return;
  is_.suspicion.reset();
  is_.lost.clear();
}

void DiskModel::SuspicionDropped(const std::optional<raft::Suspicion>& rest) {
  const auto begin = is_.lost.upper_bound(rest ? rest->index : 0);
  for (auto it = begin; it != is_.lost.end(); ++it) GiveUp(it->first, it->second);
  is_.lost.erase(begin, is_.lost.end());
  is_.suspicion = rest;
  EndSuspicion();  // the log may have made up for the rest
}

// --- Disks that lie

void DiskModel::Watch() {
  RAFTKV_CHECK(!InDoubt());
  watched_ = Watched{is_, {is_.hard}, {is_.snapshot}, {}};
}

void DiskModel::EndWatch() {
  if (lie_ == Lie::kNone) watched_.reset();
}

void DiskModel::Lied(bool elsewhere, std::optional<raft::Index> lost_from) {
  RAFTKV_CHECK(watched_.has_value());
  lie_ = elsewhere ? Lie::kWritesElsewhere : Lie::kWrites;
  lost_from_ = lost_from;
}

void DiskModel::Misread() {
  Watch();
  lie_ = Lie::kReads;
}

void DiskModel::RolledBack() {
  RAFTKV_CHECK(watched_.has_value());
  const Certain was = std::exchange(is_, watched_->then);
  watched_.reset();
  job_.reset();
  switch_.reset();
  // An older snapshot is no loss if the entries behind it are there.
  const Slot* slot_then = is_.Find(was.snapshot);
  const bool reaches = slot_then != nullptr && slot_then->term == was.TermAt(was.snapshot);
  if (was.snapshot > is_.snapshot && !reaches) {
    ForgetThrough(was.snapshot, was.TermAt(was.snapshot).value_or(0));
  }
  for (raft::Index i = was.base + 1; i <= was.last(); ++i) {
    const Slot* slot = is_.Find(i);
    if (slot == nullptr || *slot != *was.Find(i)) ForgetEntry(i, was.Find(i)->term);
  }
  for (const auto& [index, term] : was.lost) {
    if (!is_.lost.contains(index) && !Holds(index, term)) ForgetEntry(index, term);
  }
  rolled_back_ = true;
  ForgetVotes();
}

DiskModel::Forgotten DiskModel::TakeForgotten() { return std::exchange(newly_forgotten_, {}); }

void DiskModel::ForgetEntry(raft::Index index, raft::Term term) {
  given_up_[index] = term;
  newly_forgotten_.entries[index] = term;
}

void DiskModel::ForgetThrough(raft::Index index, raft::Term term) {
  forgotten_through_ = std::max(forgotten_through_, index);
  if (index <= newly_forgotten_.through) return;
  newly_forgotten_.through = index;
  newly_forgotten_.through_term = term;
}

// A suspicion that the disk had at that time, of more than there was, is back as well. It promises
// what was only written, and forgotten, later.
void DiskModel::PromiseAgain(const raft::Suspicion& suspicion) {
  std::erase_if(newly_forgotten_.entries, [&](const auto& entry) {
    const auto [index, term] = entry;
    if (!Outlasts(suspicion, index, term)) return false;
    Lose(index, term);
    given_up_.erase(index);
    return true;
  });
  const raft::Index through = newly_forgotten_.through;
  const raft::Term term = newly_forgotten_.through_term;
  if (through == 0 || !Outlasts(suspicion, through, term)) return;
  Lose(through, term);
  newly_forgotten_.through = 0;
}

void DiskModel::ForgetVotes() {
  votes_.erase(votes_.upper_bound(is_.hard.term), votes_.end());
  const auto last = votes_.find(is_.hard.term);
  if (last != votes_.end() && last->second != is_.hard.vote) votes_.erase(last);
}

// A repair that takes a snapshot of a peer takes its term first. The node may die before the
// snapshot is there (a sync of the term that fails is enough), and has promised nothing by it.
// What it had then may be what a lie has brought back.
bool DiskModel::Raised(const raft::HardState& hard) const {
  if (!damaged_from_ || hard.vote != raft::kNoNode) return false;
  const auto from = [&hard](const raft::HardState& other) { return hard.term > other.term; };
  return from(is_.hard) ||
         (lie_ != Lie::kNone && std::any_of(watched_->hard.begin(), watched_->hard.end(), from));
}

bool DiskModel::WasReplaced(raft::Index index, const Slot& slot) const {
  const auto at = replaced_.find(index);
  return at != replaced_.end() &&
         std::find(at->second.begin(), at->second.end(), slot) != at->second.end();
}

bool DiskModel::WereReplaced(raft::Index begin, raft::Index last, const std::vector<Slot>& slots,
                             raft::Index first) const {
  for (raft::Index i = begin; i <= last; ++i) {
    if (!WasReplaced(i, slots[i - first])) return false;
  }
  return true;
}

const DiskModel::Slot* DiskModel::FindUnread(raft::Index index) const {
  const auto at = unread_.find(index);
  return at == unread_.end() ? nullptr : &at->second;
}

// The entry was at this index at some time since Watch, or would have been.
bool DiskModel::MayHaveHeld(raft::Index index, const Slot& slot) const {
  const auto is = [&slot](const Slot* other) { return other != nullptr && *other == slot; };
  if (is(watched_->then.Find(index)) || is(is_.Find(index)) || is(FindUnread(index))) return true;
  if (const auto at = watched_->slots.find(index); at != watched_->slots.end()) {
    if (std::find(at->second.begin(), at->second.end(), slot) != at->second.end()) return true;
  }
  if (lie_ == Lie::kReads && WasReplaced(index, slot)) return true;
  if (!job_) return false;
  const raft::Index begin = job_->snapshot ? job_->snapshot->index : job_->keep;
  return index > begin && index - begin <= job_->slots.size() &&
         job_->slots[index - begin - 1] == slot;
}

// As CompareCertain, for a disk of which something is not what the node was told.
std::string DiskModel::CompareLied(const raft::Recovered& found,
                                   const std::vector<Slot>& slots) const {
  const raft::HardState& hard = found.hard_state;
  const raft::Index at = found.snapshot.index;
  // By a peer's, which need not be newer than the last of its own: what it believed to have was
  // older.
  const bool replaced = damaged_from_.has_value();
  const bool was =
      std::find(watched_->hard.begin(), watched_->hard.end(), hard) != watched_->hard.end();
  if (!was && !Raised(hard) && !(job_ && job_->hard && *job_->hard == hard)) {
    return absl::StrCat("term ", hard.term, " with vote ", hard.vote,
                        " is found, and was never durable since the disk began to lie");
  }
  const bool current = watched_->snapshots.contains(at) || (switch_ && switch_->index == at) ||
                       (job_ && job_->snapshot && job_->snapshot->index == at);
  if (!current && !replaced) {
    return absl::StrCat("snapshot ", at,
                        " is found, and was never current since the disk began to lie");
  }
  const raft::Index found_last = at + slots.size();
  for (raft::Index i = at + 1; i <= found_last; ++i) {
    if (MayHaveHeld(i, slots[i - at - 1])) continue;
    // A peer had what the snapshot stood for that the disk does not know of any more.
    if (replaced && i <= is_.snapshot) continue;
    return absl::StrCat("entry (", i, ", term ", slots[i - at - 1].term,
                        ") was never written, and is there");
  }
  if (lie_ == Lie::kReads) return {};
  // What was certain before the first lie, and has not been replaced since.
  const Certain& then = watched_->then;
  for (raft::Index i = then.base + 1; i <= then.last(); ++i) {
    const Slot* slot = is_.Find(i);
    if (i <= at || slot == nullptr || *slot != *then.Find(i)) continue;
    const auto between = watched_->slots.find(i);
    if (between != watched_->slots.end() &&
        std::any_of(between->second.begin(), between->second.end(),
                    [slot](const Slot& other) { return other != *slot; })) {
      continue;  // replaced, and back
    }
    if (i <= found_last && slots[i - at - 1] == *slot) continue;
    const bool known = lie_ == Lie::kWritesElsewhere ? found.suspicion.has_value()
                                                     : Outlasts(found.suspicion, i, slot->term);
    if (i > found_last && (known || (damaged_from_ && i >= *damaged_from_))) continue;
    if (i > found_last && lost_from_ && i >= *lost_from_) continue;
    // A write that was under way, or a lie, may have cut it.
    if (job_ && job_->log && i > job_->keep) continue;
    return absl::StrCat("entry (", i, ", term ", slot->term,
                        ") was durable before the disk began to lie, and is gone");
  }
  return {};
}

void DiskModel::NoteForgotten(const raft::Recovered& found, const std::vector<Slot>& slots) {
  const raft::Index at = found.snapshot.index;
  // An older snapshot is no loss if the entries behind it are there.
  const bool reaches = at + slots.size() >= is_.snapshot && at < is_.snapshot &&
                       slots[is_.snapshot - at - 1].term == TermAt(is_.snapshot);
  const auto promised = [&found](raft::Index index, raft::Term term) {
    return Outlasts(found.suspicion, index, term);
  };
  if (at < is_.snapshot && !reaches) {
    // The terms of what the snapshot stood for are not known here.
    const raft::Term term = TermAt(is_.snapshot).value_or(0);
    if (promised(is_.snapshot, term)) {
      Lose(is_.snapshot, term);
      forgotten_through_ = std::max(forgotten_through_, is_.snapshot);
    } else {
      ForgetThrough(is_.snapshot, term);
    }
  }
  for (raft::Index i = std::max(is_.base, at) + 1; i <= last(); ++i) {
    const Slot& slot = *is_.Find(i);
    if (i <= at + slots.size() && slots[i - at - 1] == slot) continue;
    if (promised(i, slot.term)) {
      Lose(i, slot.term);
      if (i > at + slots.size()) unread_.insert_or_assign(i, slot);
    } else if (lie_ == Lie::kWrites && watched_->then.Find(i) != nullptr &&
               *watched_->then.Find(i) == slot) {
      GiveUp(i, slot.term);  // no lie has taken it
    } else if (!(job_ && job_->log && i > job_->keep)) {
      ForgetEntry(i, slot.term);
    }
  }
  for (auto it = is_.lost.begin(); it != is_.lost.end();) {
    const auto [index, term] = *it;
    if (promised(index, term)) {
      ++it;
      continue;
    }
    if (index > at + slots.size()) ForgetEntry(index, term);
    it = is_.lost.erase(it);
  }
}

// --- Recovery

std::string DiskModel::CompareCertain(const raft::Recovered& found,
                                      const std::vector<Slot>& slots) const {
  const raft::HardState& hard = found.hard_state;
  if (hard != is_.hard && !Raised(hard) && !(job_ && job_->hard && *job_->hard == hard)) {
    return absl::StrCat("term ", is_.hard.term, " with vote ", is_.hard.vote,
                        " was durable, found is term ", hard.term, " with vote ", hard.vote);
  }
  const raft::Index at = found.snapshot.index;
  const bool replaced = damaged_from_ && at > is_.snapshot;  // by a peer's
  if (at != is_.snapshot && !replaced && !(switch_ && switch_->index == at) &&
      !(job_ && job_->snapshot && job_->snapshot->index == at)) {
    return absl::StrCat("snapshot ", is_.snapshot, " was current, found is ", at);
  }
  const std::string wrong = CompareLog(found, slots);
  return wrong.empty() ? CompareSuspicion(found) : wrong;
}

std::string DiskModel::Recover(const raft::Recovered& found) {
  std::vector<Slot> slots;
  slots.reserve(found.entries.size());
  for (const raft::Entry& entry : found.entries) slots.push_back(SlotOf(entry));
  std::string wrong;
  if (founded_) {
    wrong = CompareCertain(found, slots);
    // What can be explained without a lie needs none.
    if (!wrong.empty() && lie_ != Lie::kNone) wrong = CompareLied(found, slots);
    if (lie_ == Lie::kNone) {
      NoteLosses(found, slots);
    } else {
      NoteForgotten(found, slots);
    }
    if (lie_ == Lie::kReads) {
      for (raft::Index i = found.snapshot.index + slots.size() + 1; i <= last(); ++i) {
        if (const Slot* slot = is_.Find(i)) unread_.insert_or_assign(i, *slot);
      }
    }
  }

  // The write that was under way has replaced it, or cut it, as far as it has got.
  const bool cut = job_ && job_->log && !job_->snapshot;
  for (raft::Index i = std::max(is_.base, found.snapshot.index) + 1; founded_ && i <= last(); ++i) {
    const size_t at = i - found.snapshot.index - 1;
    const bool gone = at < slots.size() ? slots[at] != *is_.Find(i) : cut && i > job_->keep;
    if (gone) replaced_[i].push_back(*is_.Find(i));
  }

  founded_ = true;
  is_.hard = found.hard_state;
  if (lie_ != Lie::kNone) ForgetVotes();
  NoteVote();
  is_.snapshot = is_.base = found.snapshot.index;
  is_.base_term = found.snapshot.term;
  is_.slots = std::move(slots);
  damaged_from_.reset();
  lost_from_.reset();
  unread_.erase(unread_.begin(), unread_.upper_bound(last()));
  replaced_.erase(replaced_.begin(), replaced_.upper_bound(is_.base));
  if (lie_ != Lie::kNone) watched_.reset();
  lie_ = Lie::kNone;
  if (watched_) {
    watched_->hard.push_back(is_.hard);
    watched_->snapshots.insert(is_.snapshot);
    for (raft::Index i = is_.base + 1; i <= last(); ++i) {
      watched_->slots[i].push_back(*is_.Find(i));
    }
  }
  job_.reset();
  switch_.reset();
  if (std::exchange(rolled_back_, false) && found.suspicion) PromiseAgain(*found.suspicion);
  is_.suspicion = found.suspicion;
  EndSuspicion();
  if (!is_.suspicion) is_.lost.clear();
  return wrong;
}

}  // namespace raftkv::sim
