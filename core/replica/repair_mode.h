// A node whose disk has holes: what it does instead of taking part, until they are closed.
//
// It asks its peers, and has written what it gets: the log (repair.h), then the snapshot
// (snapshot_fetch.h), one job at a time. When that is done the data directory is to be opened anew,
// as if nothing had been. Sans-I/O like everything here; the replica moves its messages and jobs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "core/raft/damage.h"
#include "core/raft/log.h"
#include "core/replica/jobs.h"
#include "core/replica/repair.h"
#include "core/replica/snapshot_fetch.h"
#include "core/wire/peer.h"

namespace raftkv::replica {

// What happened, for logs, metrics and oracles.
struct RepairStarted {
  uint64_t bad_entries = 0;
  raft::Index first = 0, last = 0;  // of the bad entries; 0: none
  raft::Index snapshot = 0;         // whose bytes are bad; 0: it is whole
};
struct RepairWaiting {
  std::string what;  // "entry (5, term 2) from nodes 2, 3"; said again when it changes
};
struct RepairClosed {
  uint64_t fetched_entries = 0;
  uint64_t fetched_snapshot_bytes = 0;
  raft::Index last = 0;      // where the log ends now
  raft::Index snapshot = 0;  // that was fetched; 0: none
  std::optional<raft::Suspicion> suspicion;
};
using RepairEvent = std::variant<RepairStarted, RepairWaiting, RepairClosed>;

class RepairMode {
 public:
  struct Options {
    Repair::Options log;
    SnapshotFetch::Options snapshot;
  };
  struct Findings {
    raft::Index commit = 0;                 // known to be committed
    std::optional<raft::LogDamage> damage;  // of the log
    SnapshotFetch::Target snapshot;         // the current one
    bool snapshot_damaged = false;          // at least one of these two
  };

  // `log` is what is in front of the first hole and must outlive this.
  RepairMode(raft::NodeId self, const raft::Log& log, Findings findings, const Options& options);

  // Nobody can help: there is no other member.
  bool hopeless() const;

  void Tick();
  void OnAnswer(raft::NodeId from, const wire::EntryAnswer& answer);
  void OnPiece(raft::NodeId from, const wire::SnapshotPiece& piece);
  void OnJob(const JobResult& result);  // of the job that was taken last

  struct Output {
    std::vector<std::pair<raft::NodeId, wire::PeerBody>> messages;
    std::optional<JobBody> job;  // the next one only after OnJob
    std::vector<RepairEvent> events;
    bool restart = false;  // all is done
  };
  Output TakeOutput();

  // Not OK once a job has failed.
  const absl::Status& health() const { return health_; }
  // "entry (5, term 2) from nodes 2, 3".
  std::string WaitsFor() const;
  // What cannot be read of the log, for answers to others; null if all of it can.
  const raft::LogDamage* damage() const { return repair_ ? &repair_->damage() : nullptr; }

 private:
  // What comes next is decided whenever an input has been taken and no job is out.
  void Advance();
  void AskForEntries();
  void IssueLastJob();
  void Close(raft::Index snapshot, const std::optional<raft::Suspicion>& suspicion,
             raft::Index last);

  enum class Stage : uint8_t { kAsking, kSettling, kFetching, kRestoring, kDone };

  raft::NodeId self_;
  const raft::Log& log_;
  Findings findings_;
  Options options_;
  std::vector<raft::NodeId> peers_;
  std::optional<Repair> repair_;
  std::optional<SnapshotFetch> fetch_;
  Stage stage_ = Stage::kAsking;
  Settled settled_;
  bool no_space_ = false;  // for the last job; it is issued again
  uint32_t ticks_ = 0;
  std::string said_;  // what was reported last as being waited for
  absl::Status health_;
  Output output_;
};

}  // namespace raftkv::replica
