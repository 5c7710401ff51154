// Snapshots: taking our own, sending the current one to a follower, and receiving one from a
// leader.
//
// All three are chains of small jobs: each step's completion starts the next, so that a log batch
// can go between any two.
#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/numeric/int128.h"
#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "core/replica/replica.h"

namespace raftkv::replica {

// ---- Taking ----

// Where a snapshot is taken is decided by the log alone (a count of bytes folded over its entries),
// so that equal indexes mean equal bytes on every replica that takes one there. A point that passes
// while the previous snapshot is still being written is left out. So are some while a snapshot is
// being sent that cannot be read any more when there is one more: a follower that takes longer than
// that would begin again for ever. Not many, because the log behind it grows meanwhile.
void Replica::MaybeTakeSnapshot(const raft::Entry& entry) {
  if (local_snapshot_) {
    local_snapshot_->log_bytes += raft::EntryBytes(entry);
    if (local_snapshot_->done) LocalSnapshotInTime();
  }
  if (!snapshot_points_.Fold(entry.payload.size(), machine_.store().memory_bytes())) return;
  if (local_snapshot_ || raft_.installing_snapshot()) return;
  if (SendsPreviousSnapshot() && ++points_left_out_ <= kMostPointsLeftOut) return;
  points_left_out_ = 0;
  local_snapshot_.emplace(LocalSnapshot{.number = NewId(),
                                        .meta = {entry.index, entry.term, raft_.conf()},
                                        .writer = MachineSnapshotWriter(machine_),
                                        .state_bytes = machine_.store().memory_bytes(),
                                        .done = {},
                                        .finished = {}});
  LocalSnapshotJob(BeginSnapshot{SnapshotOrigin::kLocal, local_snapshot_->meta});
}

bool Replica::SendsPreviousSnapshot() const {
  return std::any_of(sending_.begin(), sending_.end(), [this](const auto& sending) {
    return sending.second.meta.index < raft_.offered_snapshot().index;
  });
}

void Replica::LocalSnapshotJob(JobBody body) {
  StartJob({JobKind::kLocalSnapshot, raft_.id(), local_snapshot_->number}, std::move(body));
}

void Replica::LocalSnapshotStep(const JobResult& result) {
  LocalSnapshot& snapshot = *local_snapshot_;
  if (absl::IsResourceExhausted(result.status) ||
      (!snapshot.finished && absl::IsDataLoss(result.status))) {
    // No room, or not what was written when it was read back: nobody has counted on it, the log
    // simply stays longer. The next point tries again. (If it was a write or a sync that failed,
    // the storage says so to whoever comes next.)
    local_snapshot_.reset();
    StartJob({JobKind::kHousekeeping}, AbortSnapshot{SnapshotOrigin::kLocal});
    return;
  }
  if (!result.status.ok()) return Fail(result.status);
  snapshot.done = result;
  LocalSnapshotInTime();
}

// The disk is shared with what clients write, so a snapshot goes at its own pace, unless the log
// grows so fast that it would not be complete halfway to the next one.
void Replica::LocalSnapshotInTime() {
  LocalSnapshot& snapshot = *local_snapshot_;
  // A tick's worth is done ahead, because the next look at the time may be as far away.
  if (snapshot.next_us > now_us_ + options_.tick_us) {
    const uint64_t halfway = snapshot_points_.interval_bytes(snapshot.state_bytes) / 2;
    if (absl::uint128(snapshot.offset) * halfway >
        absl::uint128(snapshot.state_bytes) * snapshot.log_bytes) {
      return;
    }
  }
  const JobResult result = *std::exchange(snapshot.done, std::nullopt);
  if (snapshot.writing) {
    std::string bytes = snapshot.writer.Next(options_.snapshot_chunk_bytes);
    if (!bytes.empty()) {
      const uint64_t offset = snapshot.offset;
      snapshot.offset += bytes.size();
      if (options_.snapshot_bytes_per_s != 0) {
        snapshot.next_us = std::max(snapshot.next_us, now_us_) +
                           bytes.size() * 1'000'000 / options_.snapshot_bytes_per_s;
      }
      LocalSnapshotJob(AppendSnapshot{SnapshotOrigin::kLocal, offset, std::move(bytes)});
      return;
    }
    snapshot.writing = false;
    LocalSnapshotJob(FinishSnapshot{SnapshotOrigin::kLocal, {}});
  } else if (snapshot.finished) {
    const raft::SnapshotMeta meta = snapshot.meta;
    const FinishedSnapshot finished = *snapshot.finished;
    local_snapshot_.reset();
    SnapshotBecameCurrent(meta, finished);
  } else if (result.finished) {
    snapshot.finished = result.finished;
    LocalSnapshotJob(SwitchSnapshot{snapshot.meta});
  } else {
    LocalSnapshotJob(FinishSnapshot{SnapshotOrigin::kLocal, {}});
  }
}

void Replica::SnapshotBecameCurrent(const raft::SnapshotMeta& meta,
                                    const FinishedSnapshot& finished) {
  previous_snapshot_ = {raft_.offered_snapshot(), current_snapshot_.size, current_snapshot_.digest};
  current_snapshot_ = finished;
  raft_.SnapshotAvailable(meta);
  std::vector<raft::NodeId> lost;  // what they are being sent cannot be read any more
  for (const auto& [peer, sending] : sending_)
    if (sending.meta.index < previous_snapshot_.meta.index) lost.push_back(peer);
  for (const raft::NodeId peer : lost) EndSending(peer, false);
  // A little of the log is kept in memory for followers that lag: entries are cheaper than a
  // snapshot.
  raft::Index keep_from = raft_.log().TailWithin(meta.index, options_.trailing_log_bytes);
  // Whoever is being sent the previous one goes on behind that.
  for (const auto& [peer, sending] : sending_)
    keep_from = std::min(keep_from, std::max(sending.meta.index + 1, raft_.log().first()));
  raft_.Compact(keep_from - 1);
  StartJob({JobKind::kHousekeeping}, CompactLog{meta.index});
  work_.events.push_back(SnapshotTaken{meta.index, finished.size, finished.digest});
}

// ---- Sending ----

void Replica::StartSending(raft::NodeId peer, raft::Term term, const raft::SnapshotMeta& meta) {
  if (!raft_.is_leader() || raft_.term() != term) return;  // it was, earlier in this turn
  const auto again = offer_again_us_.find(peer);
  if (meta.index != raft_.offered_snapshot().index ||
      (again != offer_again_us_.end() && now_us_ < again->second)) {
    raft_.ReportSnapshot(peer, false);  // the core asks again with its next heartbeat
    return;
  }
  Sending& sending = sending_[peer];
  sending = Sending{.meta = meta,
                    .term = term,
                    .transfer = NewId(),
                    .size = current_snapshot_.size,
                    .digest = current_snapshot_.digest};
  ReadNextChunk(peer);
}

void Replica::ReadNextChunk(raft::NodeId peer) {
  Sending& sending = sending_.at(peer);
  if (sending.reading) return;
  sending.reading = true;
  sending.reading_us = now_us_;
  sending.reading_offset = sending.offset;
  const uint64_t length =
      std::min<uint64_t>(options_.snapshot_chunk_bytes, sending.size - sending.offset);
  StartJob({JobKind::kSendChunk, peer, sending.transfer},
           ReadSnapshot{sending.meta.index, sending.offset, length});
}

void Replica::ChunkRead(raft::NodeId peer, uint64_t transfer, const JobResult& result) {
  const auto it = sending_.find(peer);
  if (it == sending_.end() || it->second.transfer != transfer) return;
  Sending& sending = it->second;
  if (!raft_.is_leader() || raft_.term() != sending.term) {
    // Whoever hears a chunk of a term takes its sender for the leader of that term.
    sending_.erase(it);
    return;
  }
  sending.reading = false;
  // Superseded or unreadable: the core asks again and is offered the newest.
  if (!result.status.ok()) return FailSending(peer);
  // An answer to an earlier copy came while this one was read again.
  if (sending.reading_offset != sending.offset) return ReadNextChunk(peer);
  sending.sent_us = now_us_;
  if (options_.snapshot_bytes_per_s != 0) {
    sending.next_us = std::max(sending.next_us, now_us_) +
                      result.bytes.size() * 1'000'000 / options_.snapshot_bytes_per_s;
  }
  SendFrame(peer, wire::SnapshotChunk{.term = sending.term,
                                      .meta = sending.meta,
                                      .transfer = sending.transfer,
                                      .offset = sending.offset,
                                      .total_size = sending.size,
                                      .digest = sending.digest,
                                      .bytes = result.bytes});
}

void Replica::OnSnapshotAck(raft::NodeId from, const wire::SnapshotAck& ack) {
  const auto it = sending_.find(from);
  if (it == sending_.end() || it->second.transfer != ack.transfer) return;
  Sending& sending = it->second;
  switch (ack.status) {
    case wire::SnapshotAckStatus::kDone:
    case wire::SnapshotAckStatus::kRefused:  // it has come further by other means: probe it behind
                                             // the snapshot
      return EndSending(from, true);
    case wire::SnapshotAckStatus::kFailed:
      return FailSending(from);
    case wire::SnapshotAckStatus::kContinue:
      // Backwards only to the start: a follower that restarted begins anew. Anything else is a late
      // answer.
      if (ack.next_offset > sending.size ||
          (ack.next_offset <= sending.offset && ack.next_offset != 0))
        return;
      if (ack.next_offset == sending.offset) return;
      sending.offset = ack.next_offset;
      sending.resends = 0;
      return ReadNextChunkInTime(from);
  }
}

// A tick's worth is sent ahead, because the next look at the time may be as far away.
void Replica::ReadNextChunkInTime(raft::NodeId peer) {
  Sending& sending = sending_.at(peer);
  sending.paced = sending.next_us > now_us_ + options_.tick_us;
  if (!sending.paced) ReadNextChunk(peer);
}

void Replica::EndSending(raft::NodeId peer, bool delivered) {
  sending_.erase(peer);
  raft_.ReportSnapshot(peer, delivered);
}

// A disk that is full, or a snapshot that cannot be read, is so for a while. The core would ask
// again with each heartbeat.
void Replica::FailSending(raft::NodeId peer) {
  offer_again_us_[peer] = now_us_ + options_.snapshot_resend_ms * 1000;
  EndSending(peer, false);
}

void Replica::TickSending() {
  std::vector<raft::NodeId> lost;
  for (auto it = sending_.begin(); it != sending_.end();) {
    auto& [peer, sending] = *it;
    const raft::Progress* progress = raft_.is_leader() ? raft_.progress()->Find(peer) : nullptr;
    if (progress == nullptr || progress->state != raft::ProgressState::kSnapshot) {
      it = sending_.erase(it);  // no longer needed
      continue;
    }
    if (sending.paced) {
      ReadNextChunkInTime(peer);
    } else if (!sending.reading &&
               now_us_ - sending.sent_us >= options_.snapshot_resend_ms * 1000) {
      if (++sending.resends > options_.snapshot_resends) {
        lost.push_back(peer);
      } else {
        ReadNextChunk(peer);
      }
    }
    ++it;
  }
  for (const raft::NodeId peer : lost) EndSending(peer, false);
}

// ---- Receiving ----

void Replica::OnSnapshotChunk(raft::NodeId from, wire::SnapshotChunk& chunk) {
  const auto answer = [&](wire::SnapshotAckStatus status, uint64_t next_offset) {
    SendFrame(from, wire::SnapshotAck{chunk.transfer, status, next_offset});
  };
  if (chunk.term < raft_.term() || raft_.installing_snapshot()) {
    return;  // of a deposed leader, or not now: its next copy finds us ready
  }
  if (chunk.meta.index <= raft_.commit()) return answer(wire::SnapshotAckStatus::kRefused, 0);

  // Transfers are numbered upwards by each leader, leaders by their terms: a late chunk of an older
  // transfer opens nothing.
  const auto order = std::pair(chunk.term, chunk.transfer);
  const bool current = receiving_ && order == std::pair(receiving_->term, receiving_->transfer);
  if (receiving_ && !current && order < std::pair(receiving_->term, receiving_->transfer)) return;
  const bool resumed = receiving_ && !current && receiving_->stage == Receiving::Stage::kIdle &&
                       receiving_->meta == chunk.meta && receiving_->size == chunk.total_size &&
                       receiving_->digest == chunk.digest;
  if (resumed) {
    // The same bytes again, after a broken link or from a new leader: what is here stays.
    receiving_->from = from;
    std::tie(receiving_->term, receiving_->transfer) = order;
  } else if (!current) {
    if (chunk.offset != 0) return answer(wire::SnapshotAckStatus::kContinue, 0);
    DropReceived();
    receiving_ = Receiving{.from = from,
                           .term = chunk.term,
                           .transfer = chunk.transfer,
                           .meta = chunk.meta,
                           .size = chunk.total_size,
                           .digest = chunk.digest,
                           .first_bytes = {},
                           .reader = std::make_unique<MachineSnapshotReader>(options_.store),
                           .state = {}};
    FeedReceived(chunk.bytes);
    receiving_->first_bytes = std::move(chunk.bytes);
    StartJob({JobKind::kReceivedSnapshot, from, chunk.transfer},
             BeginSnapshot{SnapshotOrigin::kReceived, receiving_->meta});
    return;
  }
  Receiving& receiving = *receiving_;
  if (receiving.stage == Receiving::Stage::kDone) return AckChunk(wire::SnapshotAckStatus::kDone);
  if (receiving.stage != Receiving::Stage::kIdle)
    return;  // answered when the step that is out is done
  if (chunk.offset != receiving.offset) return AckChunk(wire::SnapshotAckStatus::kContinue);
  receiving.stage = Receiving::Stage::kWriting;
  receiving.writing = chunk.bytes.size();
  FeedReceived(chunk.bytes);
  StartJob({JobKind::kReceivedSnapshot, from, receiving.transfer},
           AppendSnapshot{SnapshotOrigin::kReceived, receiving.offset, std::move(chunk.bytes)});
}

void Replica::ReceiveStep(const JobResult& result) {
  Receiving& receiving = *receiving_;
  const JobOwner owner{JobKind::kReceivedSnapshot, receiving.from, receiving.transfer};
  if (absl::IsResourceExhausted(result.status) || absl::IsDataLoss(result.status) ||
      absl::IsFailedPrecondition(result.status)) {
    // No room, damaged on the way, or older than what is here by now. The storage is none the worse
    // for it.
    AckChunk(wire::SnapshotAckStatus::kFailed);
    DropReceived();
    receiving_.reset();
    StartJob({JobKind::kHousekeeping}, AbortSnapshot{SnapshotOrigin::kReceived});
    return;
  }
  if (!result.status.ok()) return Fail(result.status);
  switch (receiving.stage) {
    case Receiving::Stage::kBeginning:
      receiving.stage = Receiving::Stage::kWriting;
      receiving.writing = receiving.first_bytes.size();
      StartJob(owner, AppendSnapshot{SnapshotOrigin::kReceived, 0,
                                     std::exchange(receiving.first_bytes, {})});
      return;
    case Receiving::Stage::kWriting:
      receiving.offset += std::exchange(receiving.writing, 0);
      if (receiving.offset < receiving.size) {
        receiving.stage = Receiving::Stage::kIdle;
        return AckChunk(wire::SnapshotAckStatus::kContinue);
      }
      receiving.stage = Receiving::Stage::kFinishing;
      StartJob(owner, FinishSnapshot{SnapshotOrigin::kReceived, receiving.digest});
      return;
    case Receiving::Stage::kFinishing: {
      if (!result.finished) {
        StartJob(owner, FinishSnapshot{SnapshotOrigin::kReceived, receiving.digest});
        return;
      }
      receiving.stage = Receiving::Stage::kDone;
      AckChunk(wire::SnapshotAckStatus::kDone);
      received_snapshot_ = *result.finished;
      // Only now does the core hear of it: everything it may rely on is on the disk. It may still
      // find that it knows better.
      raft_.Step(raft::Message{receiving.from, raft_.id(), receiving.term,
                               raft::InstallSnapshot{receiving.meta}});
      if (!raft_.installing_snapshot()) {
        DropReceived();
      } else if (local_snapshot_) {
        local_snapshot_.reset();  // of a state that is about to be replaced
        StartJob({JobKind::kHousekeeping}, AbortSnapshot{SnapshotOrigin::kLocal});
      }
      return;
    }
    case Receiving::Stage::kIdle:
    case Receiving::Stage::kDone:
      RAFTKV_CHECK(false);  // no job is out in these
  }
}

void Replica::AckChunk(wire::SnapshotAckStatus status) {
  SendFrame(receiving_->from, wire::SnapshotAck{receiving_->transfer, status, receiving_->offset});
}

// The bytes make the state while they come, so there is nothing to load when the last one is here.
void Replica::FeedReceived(absl::string_view bytes) {
  // Whether they are the bytes that were sent, the storage finds out.
  receiving_->state.Update(receiving_->reader->Feed(bytes));
}

// The state takes the memory of a whole store: it goes when it is not needed.
void Replica::DropReceived() {
  if (!receiving_ || !receiving_->reader) return;
  machine_.Discard(std::move(*receiving_->reader));
  receiving_->reader.reset();
}

// A transfer that broke off, while what it was for came with the log.
void Replica::TickReceiving() {
  if (!receiving_ || receiving_->stage != Receiving::Stage::kIdle) return;
  if (receiving_->meta.index > raft_.commit()) return;
  DropReceived();
  receiving_.reset();
  StartJob({JobKind::kHousekeeping}, AbortSnapshot{SnapshotOrigin::kReceived});
}

void Replica::Install(raft::Index index) {
  RAFTKV_CHECK(receiving_ && receiving_->reader && receiving_->meta.index == index);
  current_snapshot_ = received_snapshot_;
  absl::StatusOr<Machine> machine =
      receiving_->state.ok() ? receiving_->reader->Finish() : receiving_->state;
  // From here there is no way back: the log that led to the old state is gone.
  if (!machine.ok()) return Fail(machine.status());
  receiving_->reader.reset();
  machine_.Install(*std::move(machine));
  snapshot_points_.Restart();
  raft_.Applied(index);
  ResolveThroughSnapshot(index);
  StartJob({JobKind::kHousekeeping}, CompactLog{index});
  work_.members_changed = true;
  work_.events.push_back(SnapshotInstalled{index});
  ServeReads();
}

}  // namespace raftkv::replica
