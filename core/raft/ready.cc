// What leaves the core and what comes back: Ready, tickets, applying, compaction.
#include "core/raft/ready.h"

#include <algorithm>
#include <utility>

#include "core/raft/check.h"
#include "core/raft/invariants.h"
#include "core/raft/raft.h"

namespace raftkv::raft {

bool VouchesForLog(const Message& message) {
  const auto* response = std::get_if<AppendResponse>(&message.body);
  return response != nullptr && !response->rejected && response->index > 0;
}

bool Raft::NeedsTicket() const {
  if (log_refused_ && !retry_log_) return hard_ != disk_hard_ || !own_answers_.empty();
  return hard_ != disk_hard_ || written_ < log_.last() || written_ < disk_.last() ||
         (installing_ && installing_->ticket == 0) || !own_answers_.empty();
}

void Raft::CutJob(PersistJob& job) {
  job.ticket = ++last_ticket_;
  ticket_out_ = true;
  ticket_ticks_ = 0;
  std::swap(ticket_own_answers_, own_answers_);
  own_answers_.clear();
  if (hard_ != disk_hard_) job.hard_state = disk_hard_ = hard_;
  job.commit = commit_;
  ticket_with_log_ = !log_refused_ || std::exchange(retry_log_, false);
  if (!ticket_with_log_) return;
  // What was said of the log in tickets that could not write it is said again.
  if (log_refused_ && leading() != nullptr)
    ticket_own_answers_.push_back(OwnAppend{hard_.term, log_.last()});
  if (installing_ && installing_->ticket == 0) {
    job.snapshot = installing_->meta;
    installing_->ticket = job.ticket;
    job.keep_through = log_.base();
    job.writes_log = true;
  } else {
    // What is on disk already is never written again.
    job.keep_through = TermRuns::CommonPrefix(disk_, log_.terms());
    job.writes_log = job.keep_through < log_.last() || job.keep_through < disk_.last();
  }
  if (job.keep_through < log_.last())
    log_.CopyTo(job.keep_through + 1, log_.last(), kNoLimit, job.entries);
  std::swap(disk_before_, disk_);
  disk_ = log_.terms();
  written_ = log_.last();
}

// Committed entries are handed out once the disk has them or is being given them: applying what
// only other nodes hold would let a crash take this node's log behind its state.
Index Raft::HandOutLimit() const { return installing_ ? handed_out_ : std::min(commit_, written_); }

bool Raft::HasReady() const {
  if (!send_now_.empty() || !reads_.empty() || !failed_reads_.empty()) return true;
  if (!ticket_out_ && (!send_after_persist_.empty() || NeedsTicket())) return true;
  return applying_bytes_ < options_.max_committed_bytes && handed_out_ < HandOutLimit();
}

Ready Raft::TakeReady() {
#ifdef RAFTKV_CHECK_INVARIANTS
  // Every sentence is a literal.
  const absl::string_view broken = BrokenInvariant(*this);
  if (!broken.empty()) CheckFailed(__FILE__, __LINE__, broken.data());
#endif
  Ready ready;
  ready.send_now = std::exchange(send_now_, {});
  ready.reads = std::exchange(reads_, {});
  ready.failed_reads = std::exchange(failed_reads_, {});
  if (Leader* leader = leading()) leader->queued.clear();
  if (!ticket_out_) {
    if (NeedsTicket()) CutJob(ready.persist.emplace());
    // Whoever was to hear it asks again, and hears what is true by then.
    const bool with_log = !log_refused_ || (ready.persist && ticket_with_log_);
    if (!with_log) std::erase_if(send_after_persist_, VouchesForLog);
    ready.send_after_persist = std::exchange(send_after_persist_, {});
  }
  const Index limit = HandOutLimit();
  if (handed_out_ < limit && applying_bytes_ < options_.max_committed_bytes) {
    log_.CopyTo(handed_out_ + 1, limit, options_.max_committed_bytes - applying_bytes_,
                ready.committed);
    handed_out_ = ready.committed.back().index;
    for (const Entry& entry : ready.committed) applying_bytes_ += EntryBytes(entry);
  }
  ready.apply_now = std::min(handed_out_, durable_);
  return ready;
}

void Raft::Persisted(uint64_t ticket) {
  RAFTKV_CHECK(ticket_out_ && ticket == last_ticket_);
  if (ticket_with_log_) log_refused_ = false;
  EndTicket(ticket);
}

void Raft::PersistedWithoutLog(uint64_t ticket) {
  RAFTKV_CHECK(ticket_out_ && ticket == last_ticket_ && ticket_with_log_);
  log_refused_ = true;
  std::swap(disk_, disk_before_);
  written_ = durable_;
  if (installing_ && installing_->ticket == ticket) installing_->ticket = 0;
  EndTicket(ticket);
}

void Raft::RetryLog() { retry_log_ = log_refused_; }

void Raft::EndTicket(uint64_t ticket) {
  ticket_out_ = false;
  knows_restarts_ = disk_hard_.term > 0;
  // A ticket older than the switch to a snapshot says nothing about the log that begins with it.
  const bool before_switch =
      installing_ && (installing_->ticket == 0 || ticket < installing_->ticket);
  if (!before_switch) durable_ = written_;
  if (installing_ && installing_->ticket == ticket) installing_->persisted = true;
  EndSuspicion();

  std::vector<OwnAnswer> answers;  // no longer pending while they are counted
  answers.swap(ticket_own_answers_);
  for (const OwnAnswer& answer : answers) {
    if (const auto* vote = std::get_if<OwnVote>(&answer)) {
      election_elapsed_ = 0;
      const bool asked = vote->pre_vote ? std::holds_alternative<PreCandidate>(role_)
                                        : std::holds_alternative<Candidate>(role_);
      if (asked && vote->term == hard_.term)
        CountVote(options_.id, vote->pre_vote, /*granted=*/true);
    } else if (const auto* append = std::get_if<OwnAppend>(&answer)) {
      Leader* leader = leading();
      if (leader == nullptr || append->term != hard_.term) continue;
      // What was replaced since, or not written by this ticket, is not vouched for.
      Progress* self = leader->progress.Find(options_.id);
      if (self != nullptr) OnAccepted(*leader, *self, std::min(append->index, durable_));
    }
  }
  answers.clear();
  ticket_own_answers_.swap(answers);  // its memory is for the next ticket
}

// Only what is durable counts, so that a node which crashes right away finds the same on its disk:
// either the log is long enough there, or the suspicion is still noted in front of it. Once it has
// ended it does not come back in this life, though the log may be cut again: what a leader cuts was
// not committed. A restart may find it once more, if its note is still there and what replaced the
// end is of a lower term; that costs votes and candidacies, never safety.
void Raft::EndSuspicion() {
  if (!suspicion_ || durable_ < log_.base()) return;  // the snapshot in front is not durable yet
  if (Redeems(log_.base(), durable_, log_.TermAt(durable_).value_or(0), *suspicion_)) {
    suspicion_.reset();
  }
}

void Raft::Applied(Index index) {
  if (installing_ && index == installing_->meta.index) {
    RAFTKV_CHECK(installing_->persisted);
    installing_.reset();
    applying_bytes_ = 0;
    applied_ = index;
  }
  RAFTKV_CHECK(index >= applied_ && index <= handed_out_);
  uint64_t payload_bytes = 0;
  for (Index i = std::max(applied_, log_.base()) + 1; i <= index; ++i) {
    const Entry& entry = log_.At(i);
    payload_bytes += entry.payload.size();
    applying_bytes_ -= std::min(applying_bytes_, EntryBytes(entry));
  }
  applied_ = index;
  Leader* leader = leading();
  if (leader == nullptr) return;
  leader->uncommitted_bytes -= std::min(leader->uncommitted_bytes, payload_bytes);
  LeaveJointIfDue();
}

void Raft::SnapshotAvailable(const SnapshotMeta& meta) {
  RAFTKV_CHECK(meta.index <= applied_);
  if (meta.index > offer_.index) offer_ = meta;
}

void Raft::Compact(Index through) {
  RAFTKV_CHECK(through <= applied_ && through <= offer_.index);
  if (through > log_.base()) log_.Compact(through);
}

}  // namespace raftkv::raft
