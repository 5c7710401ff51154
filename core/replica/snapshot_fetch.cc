#include "core/replica/snapshot_fetch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/raft/check.h"

namespace raftkv::replica {

SnapshotFetch::SnapshotFetch(std::vector<raft::NodeId> peers, raft::Index at_least,
                             const Options& options)
    : peers_(std::move(peers)), at_least_(at_least), options_(options) {
  AskNext();
}

SnapshotFetch::SnapshotFetch(std::vector<raft::NodeId> peers, Target damaged,
                             const Options& options)
    : peers_(std::move(peers)),
      at_least_(damaged.meta.index),
      options_(options),
      own_(damaged),
      target_(std::move(damaged)) {
  Start(Stage::kBeginning, BeginSnapshot{SnapshotOrigin::kReceived, target_->meta});
}

void SnapshotFetch::Tick() {
  if (stage_ != Stage::kSearching && stage_ != Stage::kPulling) return;
  if (++ticks_ < options_.patience_ticks) return;
  AskNext();
}

// One question at a time, to the peers in turn.
void SnapshotFetch::AskNext() {
  ticks_ = 0;
  if (peers_.empty()) return;
  const raft::NodeId peer = peers_[next_peer_++ % peers_.size()];
  if (stage_ == Stage::kSearching) {
    ++searches_;
    pulls_.emplace_back(peer, wire::SnapshotPull{0, 0, options_.piece_bytes});
  } else {
    pulls_.emplace_back(peer, wire::SnapshotPull{target_->meta.index, offset_, PieceLength()});
  }
}

uint64_t SnapshotFetch::PieceLength() const {
  return std::clamp<uint64_t>(target_->size - offset_, 1, options_.piece_bytes);
}

void SnapshotFetch::OnPiece(raft::NodeId from, const wire::SnapshotPiece& piece) {
  const auto peer = std::find(peers_.begin(), peers_.end(), from);
  if (peer == peers_.end()) return;
  if (stage_ == Stage::kSearching) {
    if (piece.asked_index != 0 || piece.offset != 0) return;   // late, of an earlier search
    if (!piece.meta || piece.meta->index < at_least_) return;  // patience asks the next one
    target_ = Target{*piece.meta, piece.size, piece.digest};
    first_piece_ = piece.bytes;
    fetched_bytes_ += piece.bytes.size();
    // Whoever has the first piece has the others. If that turns out to be wrong, what the next one
    // has may do better.
    next_peer_ = static_cast<size_t>(peer - peers_.begin());
    next_search_ = next_peer_ + 1;
    Start(Stage::kBeginning, BeginSnapshot{SnapshotOrigin::kReceived, target_->meta});
    return;
  }
  if (stage_ != Stage::kPulling || piece.asked_index != target_->meta.index ||
      piece.offset != offset_) {
    return;  // late
  }
  const bool fits = piece.meta && *piece.meta == target_->meta && piece.size == target_->size &&
                    piece.digest == target_->digest && piece.bytes.size() <= PieceLength();
  if (!fits) {
    if (++refusals_ < peers_.size()) return AskNext();
    return StartOver();
  }
  refusals_ = 0;
  --next_peer_;
  fetched_bytes_ += piece.bytes.size();
  Write(piece.bytes);
}

absl::Status SnapshotFetch::OnJob(const JobResult& result) {
  if (stage_ == Stage::kReadingOwn) {
    if (result.status.ok() && !result.bytes.empty()) {
      Write(result.bytes);
    } else {
      Pull();
    }
    return absl::OkStatus();
  }
  if (stage_ == Stage::kAborting) {
    if (result.status.ok()) Search();
    return result.status;
  }
  if (absl::IsResourceExhausted(result.status) || absl::IsDataLoss(result.status)) {
    // No room at the moment, or not the bytes that its digest promised.
    StartOver();
    return absl::OkStatus();
  }
  if (!result.status.ok()) return result.status;
  switch (stage_) {
    case Stage::kBeginning:
      if (!first_piece_.empty()) {
        Write(std::exchange(first_piece_, {}));
      } else {
        NextPiece();
      }
      break;
    case Stage::kWriting:
      offset_ += std::exchange(writing_, 0);
      NextPiece();
      break;
    case Stage::kFinishing:
      if (result.finished) {
        stage_ = Stage::kDone;
      } else {
        Start(Stage::kFinishing, FinishSnapshot{SnapshotOrigin::kReceived, target_->digest});
      }
      break;
    default:
      RAFTKV_CHECK(false);  // no job is out in the others
  }
  return absl::OkStatus();
}

void SnapshotFetch::NextPiece() {
  if (offset_ >= target_->size) {
    Start(Stage::kFinishing, FinishSnapshot{SnapshotOrigin::kReceived, target_->digest});
  } else if (own_ == target_) {
    Start(Stage::kReadingOwn, ReadSnapshot{target_->meta.index, offset_, PieceLength()});
  } else {
    Pull();
  }
}

void SnapshotFetch::Pull() {
  stage_ = Stage::kPulling;
  refusals_ = 0;
  AskNext();
}

void SnapshotFetch::Write(std::string bytes) {
  writing_ = bytes.size();
  Start(Stage::kWriting, AppendSnapshot{SnapshotOrigin::kReceived, offset_, std::move(bytes)});
}

// What was begun does not lead anywhere: whatever is newest somewhere takes its place.
void SnapshotFetch::StartOver() {
  target_.reset();
  offset_ = writing_ = 0;
  Start(Stage::kAborting, AbortSnapshot{SnapshotOrigin::kReceived});
}

// The next question waits for patience to end: there may have been no room.
void SnapshotFetch::Search() {
  stage_ = Stage::kSearching;
  next_peer_ = next_search_;
  ticks_ = 0;
}

void SnapshotFetch::Start(Stage stage, JobBody body) {
  stage_ = stage;
  job_ = std::move(body);
}

std::vector<std::pair<raft::NodeId, wire::SnapshotPull>> SnapshotFetch::TakePulls() {
  return std::exchange(pulls_, {});
}

std::optional<JobBody> SnapshotFetch::TakeJob() { return std::exchange(job_, std::nullopt); }

std::string SnapshotFetch::WaitsFor() const {
  const std::string from = absl::StrCat(peers_.size() == 1 ? " from node " : " from nodes ",
                                        absl::StrJoin(peers_, ", "));
  if (!target_) return absl::StrCat("a snapshot at ", at_least_, " or behind", from);
  if (stage_ == Stage::kPulling) {
    return absl::StrCat("snapshot ", target_->meta.index, " from byte ", offset_, " of ",
                        target_->size, from);
  }
  return absl::StrCat("snapshot ", target_->meta.index, " to be written");
}

}  // namespace raftkv::replica
