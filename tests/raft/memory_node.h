// A consensus node with a disk and a state machine in memory: the smallest driver that obeys
// ready.h to the letter. What it holds of each kind is plain data, so that a test can look at it,
// break it or copy it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/raft/raft.h"

namespace raftkv::raft {

// A snapshot of the state machine, which is the concatenation of every command applied.
struct MemorySnapshot {
  SnapshotMeta meta;
  std::string state;
};

// What survives a crash. A job is written whole or not at all, but for its term and vote, which
// come first.
struct MemoryDisk {
  HardState hard_state;
  MemorySnapshot snapshot;
  Entries entries;   // from snapshot.meta.index + 1 on
  Index commit = 0;  // highest that was stored with a batch
  // The end of the log is lost: what the disk knows of it, and, for an oracle, what it was. Both
  // end as a disk's note of it does, with the write that makes up for it.
  std::optional<Suspicion> suspicion;
  Entries lost;

  Index last() const { return snapshot.meta.index + entries.size(); }
  Term last_term() const { return entries.empty() ? snapshot.meta.term : entries.back().term; }
  void WriteHardState(const PersistJob& job);
  void WriteLog(const PersistJob& job, const MemorySnapshot& staged);
  // Loses every entry behind `keep`, which is at least the snapshot's index.
  void Lose(Index keep, Suspicion::Evidence evidence);
  // Suspects that there were entries up to this one.
  void Suspect(Suspicion suspicion);
};

// A message and, with an InstallSnapshot, the bytes that a real driver streams ahead of it.
struct Envelope {
  Message message;
  std::string snapshot_state;
};

class MemoryNode {
 public:
  MemoryNode(const Options& options, MemoryDisk disk, uint64_t seed);
  // Whether the core would begin with this disk; the constructor insists on it.
  static absl::Status CanStart(const Options& options, const MemoryDisk& disk);

  Raft& raft() { return *raft_; }
  const Raft& raft() const { return *raft_; }
  const MemoryDisk& disk() const { return disk_; }
  const std::string& state() const { return state_; }
  const std::map<Index, MemorySnapshot>& snapshots() const { return snapshots_; }
  const Entries& applied() const { return applied_; }  // since the last (re)start
  bool writing() const { return ticket_.has_value(); }
  // What it writes needs space.
  bool writes_log() const {
    return ticket_.has_value() && (ticket_->job.writes_log || ticket_->job.snapshot);
  }

  Outcome Step(const Envelope& envelope);

  // Takes a Ready and does everything that need not wait for the disk. A persist job stays out
  // until FinishWrite; without one nothing is left to do. What goes out is added to `outbox`.
  Ready Begin(std::vector<Envelope>& outbox);
  // Writes the job that is out, says so, then sends and applies what waited for it.
  void FinishWrite(std::vector<Envelope>& outbox);
  // The same on a full disk: only term and vote are written.
  void FinishWithoutSpace(std::vector<Envelope>& outbox);

  // Takes a snapshot at `through` (applied) and drops the log before it, on disk and in memory.
  void Compact(Index through);
  // Whether each applied entry makes a snapshot that is offered (as at first), or only Compact
  // does.
  void OfferEverySnapshot(bool every) { offer_every_snapshot_ = every; }

  // All nodes have given up what this one's disk lost.
  void DropSuspicion();

  // Loses everything but the disk. Of the job that is out `written` has arrived there. Torn: its
  // term and vote, and of its entries nothing but that there may have been some.
  enum class Written { kNothing, kTermAndVote, kAll, kTorn };
  MemoryDisk Crash(Written written);

 private:
  struct Ticket {
    PersistJob job;
    MemorySnapshot staged;
    Messages send_after;
  };

  void Post(Messages& messages, std::vector<Envelope>& outbox) const;
  void Apply(const Entry& entry);

  std::optional<Raft> raft_;
  MemoryDisk disk_;
  std::string state_;
  ConfState conf_;                             // as of the last applied entry
  std::map<Index, MemorySnapshot> snapshots_;  // the state after each entry applied in this life
  std::map<Index, MemorySnapshot> received_;   // verified snapshots, not yet made the current one
  Entries applied_;
  bool offer_every_snapshot_ = true;
  std::optional<Ticket> ticket_;
  Entries apply_after_;  // committed, and not on this disk yet
};

}  // namespace raftkv::raft
