// Gets a snapshot from whoever has it, piece by piece, and has it written. The peers remember
// nothing: a piece is asked for again, or from somebody else, when it does not come.
//
// A snapshot whose bytes have rotted is fetched at its own index first: equal indexes mean equal
// bytes on every node, so only the pieces that cannot be read here are asked for, and nodes with
// different bad pieces help each other. When a piece is to be had from nobody, the newest snapshot
// of any peer takes its place.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/raft/types.h"
#include "core/replica/jobs.h"
#include "core/wire/peer.h"

namespace raftkv::replica {

class SnapshotFetch {
 public:
  struct Options {
    uint32_t piece_bytes = 256 << 10;
    uint32_t patience_ticks = 50;  // then another peer is asked
  };
  // A snapshot as its manifest describes it.
  struct Target {
    raft::SnapshotMeta meta;
    uint64_t size = 0;
    uint64_t digest = 0;
    friend bool operator==(const Target&, const Target&) = default;
  };

  // Any snapshot at `at_least` or behind.
  SnapshotFetch(std::vector<raft::NodeId> peers, raft::Index at_least, const Options& options);
  // The one that is here and damaged, or a newer one.
  SnapshotFetch(std::vector<raft::NodeId> peers, Target damaged, const Options& options);

  void Tick();
  void OnPiece(raft::NodeId from, const wire::SnapshotPiece& piece);
  // Of the job that was taken last. An error is what the disk could not do: nothing goes on then.
  absl::Status OnJob(const JobResult& result);

  std::vector<std::pair<raft::NodeId, wire::SnapshotPull>> TakePulls();
  std::optional<JobBody> TakeJob();  // at most one is out

  // Written, synced and verified, but not yet current.
  bool done() const { return stage_ == Stage::kDone; }
  const raft::SnapshotMeta& meta() const { return target_->meta; }
  // Every peer has been asked for its newest snapshot more than once, and nothing came of it; no
  // job is out.
  bool fruitless() const { return stage_ == Stage::kSearching && searches_ > 2 * peers_.size(); }
  uint64_t fetched_bytes() const { return fetched_bytes_; }

  // "a piece of snapshot 900 (at byte 4096) from nodes 2, 3".
  std::string WaitsFor() const;

 private:
  enum class Stage : uint8_t {
    kSearching,  // no target yet: peers are asked for the newest
    kBeginning,
    kReadingOwn,  // the next piece from our own disk
    kPulling,     // the next piece from a peer
    kWriting,
    kFinishing,
    kAborting,
    kDone,
  };

  void Start(Stage stage, JobBody body);
  void AskNext();
  void NextPiece();
  void Pull();
  void Write(std::string bytes);
  void StartOver();
  void Search();
  uint64_t PieceLength() const;

  std::vector<raft::NodeId> peers_;
  raft::Index at_least_;
  Options options_;
  std::optional<Target> own_;  // the damaged one; its good pieces are here
  std::optional<Target> target_;

  Stage stage_ = Stage::kSearching;
  uint64_t offset_ = 0;      // written
  uint64_t writing_ = 0;     // bytes in the job that is out
  std::string first_piece_;  // of a snapshot found by searching
  size_t next_peer_ = 0;
  size_t next_search_ = 0;  // where the next search begins, behind whoever gave the target
  size_t searches_ = 0;     // questions for the newest
  size_t refusals_ = 0;     // peers, one after the other, that do not have what is asked for
  uint32_t ticks_ = 0;      // since the question that is out
  uint64_t fetched_bytes_ = 0;
  std::vector<std::pair<raft::NodeId, wire::SnapshotPull>> pulls_;
  std::optional<JobBody> job_;
};

}  // namespace raftkv::replica
