#include "tests/raft/memory_node.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"

namespace raftkv::raft {

void MemoryDisk::WriteHardState(const PersistJob& job) {
  if (job.hard_state) hard_state = *job.hard_state;
}

void MemoryDisk::WriteLog(const PersistJob& job, const MemorySnapshot& staged) {
  WriteHardState(job);
  commit = std::max(commit, job.commit);
  if (job.snapshot) {
    RAFTKV_CHECK(staged.meta == *job.snapshot);
    snapshot = staged;
    entries.clear();
  }
  if (!job.writes_log) return;
  RAFTKV_CHECK(job.keep_through >= snapshot.meta.index && job.keep_through <= last());
  entries.resize(job.keep_through - snapshot.meta.index);
  for (const Entry& entry : job.entries) {
    RAFTKV_CHECK(entry.index == last() + 1);
    entries.push_back(entry);
  }
  if (suspicion && Redeems(snapshot.meta.index, last(), last_term(), *suspicion)) {
    suspicion.reset();
    lost.clear();
  }
}

void MemoryDisk::Lose(Index keep, Suspicion::Evidence evidence) {
  RAFTKV_CHECK(keep >= snapshot.meta.index);
  if (keep >= last()) return;
  Suspect(Suspicion{last(), last_term(), evidence});
  const auto from = entries.begin() + static_cast<std::ptrdiff_t>(keep - snapshot.meta.index);
  lost.insert(lost.end(), from, entries.end());
  entries.erase(from, entries.end());
}

void MemoryDisk::Suspect(Suspicion further) {
  if (suspicion) {
    // One note of both losses: as far as either, and as hard to give up.
    further.evidence = std::max(further.evidence, suspicion->evidence);
    if (UpToDate(suspicion->index, suspicion->term, further)) {
      further.index = suspicion->index;
      further.term = suspicion->term;
    }
  }
  suspicion = further;
}

namespace {
absl::StatusOr<Raft> CreateFrom(const Options& options, const MemoryDisk& disk, uint64_t seed) {
  return Raft::Create(
      options,
      Recovered{disk.hard_state, disk.snapshot.meta, disk.entries, disk.commit, disk.suspicion},
      seed);
}
}  // namespace

absl::Status MemoryNode::CanStart(const Options& options, const MemoryDisk& disk) {
  return CreateFrom(options, disk, /*seed=*/1).status();
}

MemoryNode::MemoryNode(const Options& options, MemoryDisk disk, uint64_t seed)
    : disk_(std::move(disk)), state_(disk_.snapshot.state), conf_(disk_.snapshot.meta.conf) {
  snapshots_[disk_.snapshot.meta.index] = disk_.snapshot;
  absl::StatusOr<Raft> raft = CreateFrom(options, disk_, seed);
  RAFTKV_CHECK(raft.ok());
  raft_.emplace(*std::move(raft));
  if (!raft_->suspicion()) DropSuspicion();
}

Outcome MemoryNode::Step(const Envelope& envelope) {
  const Outcome outcome = raft_->Step(envelope.message);
  const auto* install = std::get_if<InstallSnapshot>(&envelope.message.body);
  if (install != nullptr && outcome == Outcome::kOk) {  // the core installs it
    received_[install->meta.index] = MemorySnapshot{install->meta, envelope.snapshot_state};
  }
  return outcome;
}

Ready MemoryNode::Begin(std::vector<Envelope>& outbox) {
  Ready ready = raft_->TakeReady();
  Messages send_now = ready.send_now;
  Post(send_now, outbox);

  // A Ready taken while a ticket is out may hand out entries of that ticket.
  if (ready.persist) {
    RAFTKV_CHECK(!ticket_.has_value());
    ticket_.emplace();
    ticket_->job = *ready.persist;
    if (ready.persist->snapshot) ticket_->staged = received_.at(ready.persist->snapshot->index);
  }
  Messages after = ready.send_after_persist;
  if (ticket_.has_value()) {
    std::move(after.begin(), after.end(), std::back_inserter(ticket_->send_after));
  } else {
    Post(after, outbox);
  }
  for (const Entry& entry : ready.committed) {
    if (entry.index <= ready.apply_now) {
      Apply(entry);
    } else {
      RAFTKV_CHECK(ticket_.has_value());
      apply_after_.push_back(entry);
    }
  }
  return ready;
}

void MemoryNode::FinishWrite(std::vector<Envelope>& outbox) {
  RAFTKV_CHECK(ticket_.has_value());
  Ticket ticket = *std::exchange(ticket_, std::nullopt);
  disk_.WriteLog(ticket.job, ticket.staged);
  raft_->Persisted(ticket.job.ticket);
  Post(ticket.send_after, outbox);
  if (ticket.job.snapshot) {
    state_ = ticket.staged.state;
    conf_ = ticket.staged.meta.conf;
    snapshots_[ticket.staged.meta.index] = ticket.staged;
    received_.erase(received_.begin(), received_.upper_bound(ticket.staged.meta.index));
    raft_->Applied(ticket.staged.meta.index);
  }
  const Entries waited = std::exchange(apply_after_, {});
  if (ticket.job.snapshot) return;  // it stands for them
  for (const Entry& entry : waited) {
    if (entry.index <= raft_->durable()) {
      Apply(entry);
    } else {
      apply_after_.push_back(entry);
    }
  }
}

void MemoryNode::FinishWithoutSpace(std::vector<Envelope>& outbox) {
  RAFTKV_CHECK(ticket_.has_value());
  Ticket ticket = *std::exchange(ticket_, std::nullopt);
  disk_.WriteHardState(ticket.job);
  raft_->PersistedWithoutLog(ticket.job.ticket);
  std::erase_if(ticket.send_after, VouchesForLog);
  Post(ticket.send_after, outbox);
}

void MemoryNode::Compact(Index through) {
  if (!offer_every_snapshot_) raft_->SnapshotAvailable(snapshots_.at(through).meta);
  raft_->Compact(through);
  const Index base = disk_.snapshot.meta.index;
  if (through <= base) return;
  RAFTKV_CHECK(through <= disk_.last());
  disk_.entries.erase(disk_.entries.begin(),
                      disk_.entries.begin() + static_cast<std::ptrdiff_t>(through - base));
  disk_.snapshot = snapshots_.at(through);
}

void MemoryNode::DropSuspicion() {
  raft_->DropSuspicion();
  disk_.suspicion.reset();
  disk_.lost.clear();
}

MemoryDisk MemoryNode::Crash(Written written) {
  if (ticket_.has_value()) {
    if (written == Written::kTermAndVote || written == Written::kTorn)
      disk_.WriteHardState(ticket_->job);
    if (written == Written::kTorn && !ticket_->job.entries.empty()) {
      const Entry& last = ticket_->job.entries.back();
      disk_.Suspect(Suspicion{last.index, last.term, Suspicion::Evidence::kBlank});
    }
    if (written == Written::kAll) disk_.WriteLog(ticket_->job, ticket_->staged);
  }
  return std::move(disk_);
}

void MemoryNode::Post(Messages& messages, std::vector<Envelope>& outbox) const {
  for (Message& message : messages) {
    Envelope envelope{std::move(message), {}};
    if (const auto* install = std::get_if<InstallSnapshot>(&envelope.message.body)) {
      envelope.snapshot_state = snapshots_.at(install->meta.index).state;
    }
    outbox.push_back(std::move(envelope));
  }
}

void MemoryNode::Apply(const Entry& entry) {
  if (entry.type == EntryType::kMembership) {
    conf_ = raft_->ApplyMembership(entry.index);
  } else {
    absl::StrAppend(&state_, entry.payload.view());
  }
  applied_.push_back(entry);
  raft_->Applied(entry.index);
  const SnapshotMeta meta{entry.index, entry.term, conf_};
  snapshots_[entry.index] = MemorySnapshot{meta, state_};
  if (offer_every_snapshot_) raft_->SnapshotAvailable(meta);
}

}  // namespace raftkv::raft
