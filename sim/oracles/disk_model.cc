#include "sim/oracles/disk_model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "sim/oracles/describe.h"

namespace raftkv::sim {

DiskModel::Slot DiskModel::SlotOf(const raft::Entry& entry) {
  return Slot{entry.term, HashEntry(entry)};
}

const DiskModel::Slot* DiskModel::Find(raft::Index index) const {
  return index > base_ && index <= last() ? &slots_[index - base_ - 1] : nullptr;
}

bool DiskModel::Holds(raft::Index index, raft::Term term) const {
  if (index <= snapshot_) return true;
  const Slot* slot = Find(index);
  return slot != nullptr && slot->term == term;
}

bool DiskModel::Promises(raft::Index index, raft::Term term) const {
  const auto it = lost_.find(index);
  return it != lost_.end() && it->second == term;
}

bool DiskModel::GaveUp(raft::Index index, raft::Term term) const {
  const auto it = given_up_.find(index);
  return it != given_up_.end() && it->second == term;
}

std::map<raft::Index, raft::Term> DiskModel::TakeGivenUp() {
  return std::exchange(newly_given_up_, {});
}

std::optional<raft::Term> DiskModel::TermAt(raft::Index index) const {
  if (index == base_) return base_term_;
  const Slot* slot = Find(index);
  if (slot == nullptr) return std::nullopt;
  return slot->term;
}

raft::NodeId DiskModel::VoteIn(raft::Term term) const {
  const auto it = votes_.find(term);
  return it == votes_.end() ? raft::kNoNode : it->second;
}

void DiskModel::NoteVote() {
  if (hard_.vote != raft::kNoNode) votes_[hard_.term] = hard_.vote;
}

void DiskModel::PersistHandedOut(const raft::PersistJob& job) {
  RAFTKV_CHECK(!job_.has_value());  // one ticket is out at most
  Write write{job.hard_state, job.snapshot, job.writes_log, job.keep_through, {}};
  write.slots.reserve(job.entries.size());
  for (const raft::Entry& entry : job.entries) write.slots.push_back(SlotOf(entry));
  job_ = std::move(write);
}

void DiskModel::PersistDone() {
  RAFTKV_CHECK(job_.has_value());
  Write write = *std::exchange(job_, std::nullopt);
  if (write.hard.has_value()) {
    hard_ = *write.hard;
    NoteVote();
  }
  if (write.snapshot.has_value()) {
    snapshot_ = base_ = write.snapshot->index;
    base_term_ = write.snapshot->term;
    slots_ = std::move(write.slots);
  } else if (write.log) {
    slots_.resize(write.keep - base_);
    slots_.insert(slots_.end(), write.slots.begin(), write.slots.end());
  }
  EndSuspicion();
}

void DiskModel::PersistFoundNoSpace() {
  RAFTKV_CHECK(job_.has_value());
  const Write write = *std::exchange(job_, std::nullopt);
  if (!write.hard.has_value()) return;
  hard_ = *write.hard;
  NoteVote();
}

void DiskModel::SwitchDone() {
  RAFTKV_CHECK(switch_.has_value());
  snapshot_ = std::max(snapshot_, switch_->index);
  switch_.reset();
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
    const Slot* slot = Find(i);
    if (slot == nullptr) return absl::StrCat("entry ", i, " was never written, and is there");
    if (*slot != found_at(i)) {
      return absl::StrCat("entry ", i, " was durable with term ", slot->term,
                          " and is now another one, of term ", found_at(i).term);
    }
  }
  if (found_last <= kept) return {};
  // Behind that: the old entries, all of them, or the first few of the new ones.
  bool old_tail = found_last == last();
  bool new_tail = may_be_cut && found_last - kept <= job_->slots.size();
  for (raft::Index i = std::max(kept + 1, first); i <= found_last; ++i) {
    const Slot* slot = Find(i);
    old_tail = old_tail && slot != nullptr && *slot == found_at(i);
    new_tail = new_tail && job_->slots[i - kept - 1] == found_at(i);
  }
  if (old_tail || new_tail) return {};
  return absl::StrCat("the log ends at ", found_last, " with entries that are neither the ", last(),
                      " that were durable nor the beginning of the write that was under way");
}

// A suspicion covers everything that was durable, or it is too small.
bool DiskModel::Covers(const std::optional<raft::Suspicion>& suspicion) const {
  return suspicion && raft::UpToDate(suspicion->index, suspicion->term,
                                     raft::Suspicion{last(), TermAt(last()).value_or(0), {}});
}

bool DiskModel::MayBeGone(raft::Index index, const raft::Recovered& found) const {
  return (damaged_from_ && index >= *damaged_from_) || Covers(found.suspicion);
}

// A suspicion is written down and ends when the log has made up for it, not by a crash.
std::string DiskModel::CompareSuspicion(const raft::Recovered& found) const {
  if (!suspicion_ || found.suspicion || damaged_from_) return {};
  const raft::Index base = found.snapshot.index;
  const raft::Index end = found.entries.empty() ? base : found.entries.back().index;
  const raft::Term term = found.entries.empty() ? found.snapshot.term : found.entries.back().term;
  if (raft::Redeems(base, end, term, *suspicion_)) return {};
  return absl::StrCat("the loss of entries up to (", suspicion_->index, ", term ", suspicion_->term,
                      ") was known and is forgotten; the log ends at ", end);
}

// What was durable and is not found.
void DiskModel::NoteLosses(const raft::Recovered& found, size_t slots_found) {
  const raft::Index found_last = found.snapshot.index + slots_found;
  const bool cut = job_ && job_->log && !job_->snapshot;
  const bool promised = Covers(found.suspicion);
  for (raft::Index i = std::max(found_last, base_) + 1; i <= last(); ++i) {
    const raft::Term term = *TermAt(i);
    if (promised) {
      lost_[i] = term;
    } else if (!(cut && i > job_->keep)) {
      GiveUp(i, term);
    }
  }
}

void DiskModel::GiveUp(raft::Index index, raft::Term term) {
  given_up_[index] = term;
  newly_given_up_[index] = term;
}

void DiskModel::EndSuspicion() {
  // Back again, or replaced by a later leader's.
  lost_.erase(lost_.begin(), lost_.upper_bound(last()));
  if (!suspicion_) return;
  const raft::Term last_term = TermAt(last()).value_or(0);
  if (!raft::Redeems(base_, last(), last_term, *suspicion_)) return;
  suspicion_.reset();
  lost_.clear();
}

void DiskModel::SuspicionDropped(const std::optional<raft::Suspicion>& rest) {
  const auto begin = lost_.upper_bound(rest ? rest->index : 0);
  for (auto it = begin; it != lost_.end(); ++it) GiveUp(it->first, it->second);
  lost_.erase(begin, lost_.end());
  suspicion_ = rest;
}

std::string DiskModel::Recover(const raft::Recovered& found) {
  std::string wrong;
  const raft::HardState& hard = found.hard_state;
  // A repair that takes a snapshot of a later term takes that term.
  const bool raised = damaged_from_ && found.snapshot.index > snapshot_ && hard.term > hard_.term &&
                      hard.term == found.snapshot.term && hard.vote == raft::kNoNode;
  if (founded_ && hard != hard_ && !raised && !(job_ && job_->hard && *job_->hard == hard)) {
    wrong = absl::StrCat("term ", hard_.term, " with vote ", hard_.vote,
                         " was durable, found is term ", hard.term, " with vote ", hard.vote);
  }
  const raft::Index at = found.snapshot.index;
  const bool replaced = damaged_from_ && at > snapshot_;  // by a peer's
  if (founded_ && wrong.empty() && at != snapshot_ && !replaced &&
      !(switch_ && switch_->index == at) &&
      !(job_ && job_->snapshot && job_->snapshot->index == at)) {
    wrong = absl::StrCat("snapshot ", snapshot_, " was current, found is ", at);
  }
  std::vector<Slot> slots;
  slots.reserve(found.entries.size());
  for (const raft::Entry& entry : found.entries) slots.push_back(SlotOf(entry));
  if (founded_ && wrong.empty()) wrong = CompareLog(found, slots);
  if (founded_ && wrong.empty()) wrong = CompareSuspicion(found);
  if (founded_) NoteLosses(found, slots.size());

  founded_ = true;
  hard_ = hard;
  NoteVote();
  snapshot_ = base_ = at;
  base_term_ = found.snapshot.term;
  slots_ = std::move(slots);
  damaged_from_.reset();
  job_.reset();
  switch_.reset();
  suspicion_ = found.suspicion;
  EndSuspicion();
  if (!suspicion_) lost_.clear();
  return wrong;
}

}  // namespace raftkv::sim
