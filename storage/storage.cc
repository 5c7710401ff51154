#include "storage/storage.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/raft/check.h"
#include "storage/log.h"
#include "storage/records.h"
#include "storage/scrub.h"
#include "storage/slots.h"
#include "storage/snapshot_store.h"

namespace raftkv::storage {
namespace {

constexpr absl::string_view kSlotFileNames[] = {"identity", "vote", "manifest", "marks"};

bool IsSlotTemporary(absl::string_view name) {
  if (!absl::ConsumeSuffix(&name, ".tmp")) return false;
  return std::find(std::begin(kSlotFileNames), std::end(kSlotFileNames), name) !=
         std::end(kSlotFileNames);
}

bool IsOurs(absl::string_view name) {
  for (absl::string_view slot_file : kSlotFileNames) {
    if (name == slot_file) return true;
  }
  return IsSlotTemporary(name) || name == "lock" || name == kReserveName || IsSnapshotName(name) ||
         ParseSegmentName(name).has_value();
}

// Which life of a directory its names tell of.
struct Look {
  bool has_identity = false;
  bool has_log = false;  // more than what Init itself makes
  bool empty = true;
  std::string foreign;  // a file that is none of ours
  std::vector<std::string> names;
};

absl::StatusOr<Look> LookAround(Disk& disk) {
  absl::StatusOr<std::vector<std::string>> names = disk.List();
  if (!names.ok()) return names.status();
  Look look;
  look.names = *std::move(names);
  for (const std::string& name : look.names) {
    if (name == "lock") continue;
    look.empty = false;
    look.has_identity |= name == "identity";
    look.has_log |= ParseSegmentName(name).value_or(0) > 1;
    if (!IsOurs(name) && look.foreign.empty()) look.foreign = name;
  }
  return look;
}

// The identity as it stands, without writing anything: the directory may be somebody else's.
absl::StatusOr<Identity> ReadIdentity(Disk& disk, const ExpectedIdentity& expected) {
  absl::StatusOr<Look> look = LookAround(disk);
  if (!look.ok()) return look.status();
  if (!look->has_identity) {
    if (look->empty) {
      return absl::NotFoundError(
          absl::StrCat(disk.Describe(), ": empty, never initialised as a data directory"));
    }
    if (!look->foreign.empty()) {
      return absl::DataLossError(absl::StrCat(disk.Describe(), ": not a data directory, it holds '",
                                              look->foreign, "' and no identity"));
    }
    if (look->has_log) {
      return absl::DataLossError(
          absl::StrCat(disk.Describe(), ": holds a log, but its identity is missing"));
    }
    return absl::NotFoundError(
        absl::StrCat(disk.Describe(), ": never initialised to the end, initialise it again"));
  }
  absl::StatusOr<SlotsRead> read = ReadSlots(disk, IdentityFile());
  if (!read.ok()) return read.status();
  const std::optional<Identity> identity = DecodeIdentity(read->slot.payload);
  if (!identity) {
    return absl::DataLossError(absl::StrCat(disk.Describe(), "/identity: impossible values"));
  }
  if (expected.cluster && *expected.cluster != identity->cluster) {
    return absl::FailedPreconditionError(absl::StrCat(disk.Describe(), ": belongs to cluster ",
                                                      ToHex(identity->cluster), ", not ",
                                                      ToHex(*expected.cluster)));
  }
  if (expected.node && *expected.node != identity->node) {
    return absl::FailedPreconditionError(absl::StrCat(disk.Describe(), ": belongs to node ",
                                                      identity->node, ", not ", *expected.node));
  }
  return *identity;
}

// A slot file of an initialised directory is there.
absl::Status Missing(const Disk& disk, const SlotFile& file, const absl::Status& status) {
  if (!absl::IsNotFound(status)) return status;
  return absl::DataLossError(absl::StrCat(disk.Describe(), "/", file.name, ": missing"));
}

absl::StatusOr<SlotPair> OpenSlots(Disk& disk, const SlotFile& file,
                                   std::vector<RecoveryEvent>* events) {
  absl::StatusOr<SlotPair> pair = SlotPair::Open(disk, file, events);
  if (!pair.ok()) return Missing(disk, file, pair.status());
  return pair;
}

absl::StatusOr<std::string> ReadRecord(Disk& disk, const SlotFile& file) {
  absl::StatusOr<SlotsRead> read = ReadSlots(disk, file);
  if (!read.ok()) return Missing(disk, file, read.status());
  return std::move(read->slot.payload);
}

absl::StatusOr<raft::HardState> TakeVote(const Disk& disk, const Identity& identity,
                                         absl::string_view payload) {
  const std::optional<VoteRecord> vote = DecodeVote(payload);
  if (!vote || vote->node != identity.node || vote->incarnation != identity.incarnation ||
      vote->group != identity.group) {
    return absl::DataLossError(
        absl::StrCat(disk.Describe(), "/vote: not the vote of this incarnation of this node"));
  }
  return vote->hard_state;
}

absl::StatusOr<Manifest> TakeManifest(const Disk& disk, absl::string_view payload) {
  std::optional<Manifest> manifest = DecodeManifest(payload);
  if (!manifest) {
    return absl::DataLossError(absl::StrCat(disk.Describe(), "/manifest: impossible values"));
  }
  return *std::move(manifest);
}

// The file of the current snapshot. nullopt, and an event, when it cannot be used.
absl::StatusOr<std::optional<SnapshotFile>> OpenSnapshot(Disk& disk, const Identity& identity,
                                                         const SnapshotInfo& snapshot,
                                                         std::vector<RecoveryEvent>* events) {
  const std::string name = SnapshotName(snapshot.meta.index, snapshot.source);
  absl::StatusOr<SnapshotFile> file = SnapshotFile::Open(disk, name, identity.cluster);
  absl::Status status = file.status();
  if (file.ok() && file->info() != snapshot) {
    status = absl::DataLossError("not the snapshot that the manifest names");
  }
  if (status.ok()) return std::optional<SnapshotFile>(*std::move(file));
  if (!absl::IsNotFound(status) && !absl::IsDataLoss(status)) return status;
  events->push_back({RecoveryEvent::Kind::kSnapshotLost, name, 0, snapshot.size,
                     absl::StrCat("the snapshot of entry ", snapshot.meta.index,
                                  " has to be fetched from a peer: ", status.message())});
  return std::optional<SnapshotFile>();
}

Log::Start WhereTheLogBegins(const Manifest& manifest, const raft::HardState& hard_state) {
  const raft::SnapshotMeta& snapshot = manifest.snapshot.meta;
  return {manifest.first_segment, snapshot.index, snapshot.term, hard_state.term};
}

absl::Status WriteFoundingSnapshot(Disk& disk, const Identity& identity, const Founding& founding,
                                   SnapshotInfo* info) {
  absl::StatusOr<std::unique_ptr<SnapshotWriter>> writer =
      SnapshotWriter::Create(disk, identity, Options{}, SnapshotSource::kLocal, founding.meta);
  if (!writer.ok()) return writer.status();
  absl::Status status = (*writer)->Append(founding.state);
  if (!status.ok()) return status;
  while (!(*writer)->finished()) {
    status = (*writer)->FinishStep(std::nullopt).status();
    if (!status.ok()) return status;
  }
  *info = *(*writer)->finished();
  return absl::OkStatus();
}

Recovered Describe(const Identity& identity, const raft::HardState& hard_state,
                   const SnapshotInfo& snapshot, bool snapshot_bad, Log::Recovery recovery) {
  Recovered found;
  found.identity = identity;
  found.hard_state = hard_state;
  found.snapshot = snapshot;
  found.snapshot_damaged = snapshot_bad;
  found.entries = std::move(recovery.entries);
  const raft::Index last = found.entries.empty() ? snapshot.meta.index : found.entries.back().index;
  found.commit = std::min(std::max(recovery.commit, snapshot.meta.index), last);
  found.suspicion = recovery.suspicion;
  found.damage = std::move(recovery.damage);
  return found;
}

}  // namespace

absl::Status Options::Validate() const {
  auto power_of_two = [](uint64_t value) { return value != 0 && (value & (value - 1)) == 0; };
  if (!power_of_two(block_bytes) || block_bytes < 512 || block_bytes > 65536) {
    return absl::InvalidArgumentError(
        absl::StrCat("block_bytes: ", block_bytes, ", want a power of two from 512 to 65536"));
  }
  if (segment_bytes < 2 * uint64_t{block_bytes} || segment_bytes > kMaxSegmentBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("segment_bytes: ", segment_bytes, ", want two blocks to ", kMaxSegmentBytes));
  }
  if (snapshot_chunk_bytes < 64 || snapshot_chunk_bytes > kMaxSnapshotChunk) {
    return absl::InvalidArgumentError(absl::StrCat("snapshot_chunk_bytes: ", snapshot_chunk_bytes,
                                                   ", want 64 to ", kMaxSnapshotChunk));
  }
  if (snapshot_sync_bytes == 0) {
    return absl::InvalidArgumentError("snapshot_sync_bytes: 0, want at least 1");
  }
  return absl::OkStatus();
}

class Storage::Impl {
 public:
  Impl(Disk& disk, const Options& options, std::unique_ptr<DirectoryLock> lock,
       const Identity& identity, SlotPair identity_slots, SlotPair vote, SlotPair manifest)
      : disk_(disk),
        options_(options),
        lock_(std::move(lock)),
        identity_(identity),
        identity_slots_(std::move(identity_slots)),
        vote_(std::move(vote)),
        manifest_slots_(std::move(manifest)) {}

  absl::Status Recover(std::vector<RecoveryEvent> events);
  absl::Status Persist(const raft::PersistJob& job);
  absl::Status BeginSnapshot(SnapshotSource source, const raft::SnapshotMeta& meta);
  absl::Status AppendSnapshot(SnapshotSource source, uint64_t offset, absl::string_view bytes);
  absl::StatusOr<std::optional<SnapshotInfo>> FinishSnapshot(
      SnapshotSource source, std::optional<uint64_t> expected_digest);
  absl::Status AbortSnapshot(SnapshotSource source);
  absl::Status SwitchSnapshot(const raft::SnapshotMeta& meta);
  absl::StatusOr<std::string> ReadSnapshot(raft::Index index, uint64_t offset, uint64_t length);
  absl::Status RestoreSnapshot(const raft::SnapshotMeta& meta);
  absl::Status CompactLog(raft::Index index);
  absl::Status Settle(const raft::Entries& entries,
                      const std::optional<raft::Suspicion>& suspicion);
  absl::Status ReserveSpace();
  absl::StatusOr<ScrubStep> Scrub();

  std::unique_ptr<SnapshotWriter>& writer(SnapshotSource source) {
    return writers_[source == SnapshotSource::kLocal ? 0 : 1];
  }
  Stats GatherStats() const {
    Stats stats;
    stats.vote_syncs = vote_syncs_;
    log_->AddTo(&stats);
    return stats;
  }

  // The first error that leaves it unknown what the disk holds stays. No space, or a job no segment
  // can hold, is not one: whoever returns it has written nothing that counts.
  absl::Status Fail(absl::Status status) {
    const bool harmless =
        status.ok() || absl::IsResourceExhausted(status) || absl::IsInvalidArgument(status);
    return harmless ? status : Poison(std::move(status));
  }
  // No space in the middle of a write is final too, and must not look as if it were not.
  absl::Status Poison(absl::Status status) {
    if (absl::IsResourceExhausted(status)) status = absl::DataLossError(status.message());
    return health_ = std::move(status);
  }

  // A finished snapshot of that index and term, from whatever source; null when there is none.
  SnapshotWriter* Finished(const raft::SnapshotMeta& meta);
  absl::Status WriteHardState(const raft::HardState& hard_state);
  absl::Status InstallSnapshot(const raft::PersistJob& job);
  // The manifest names `writer`'s snapshot from here on.
  absl::Status MakeCurrent(SnapshotSource source, uint64_t first_segment);
  // Nothing may be written to the log before its damage is settled.
  absl::Status Writable() const {
    if (!health_.ok() || !log_->damaged()) return health_;
    return absl::FailedPreconditionError(
        absl::StrCat(disk_.Describe(), ": the log is damaged and not repaired yet"));
  }
  absl::Status RemoveLeftovers(std::vector<RecoveryEvent>* events);

  Disk& disk_;
  Options options_;
  std::unique_ptr<DirectoryLock> lock_;
  Identity identity_;
  SlotPair identity_slots_;
  SlotPair vote_;
  SlotPair manifest_slots_;
  raft::HardState hard_state_;
  Manifest manifest_;
  std::unique_ptr<Log> log_;
  std::optional<SnapshotFile> current_;
  bool snapshot_bad_ = false;             // of the current one; then it may be received again
  std::optional<SnapshotFile> previous_;  // readable until the next switch
  std::unique_ptr<SnapshotWriter> writers_[2];
  std::optional<Recovered> recovered_;
  Scrubber scrubber_;
  uint64_t vote_syncs_ = 0;
  absl::Status health_;
};

absl::Status Storage::Impl::Recover(std::vector<RecoveryEvent> events) {
  absl::StatusOr<raft::HardState> hard_state = TakeVote(disk_, identity_, vote_.payload());
  if (!hard_state.ok()) return hard_state.status();
  hard_state_ = *hard_state;
  absl::StatusOr<Manifest> manifest = TakeManifest(disk_, manifest_slots_.payload());
  if (!manifest.ok()) return manifest.status();
  manifest_ = *std::move(manifest);
  const SnapshotInfo& snapshot = manifest_.snapshot;
  absl::StatusOr<std::optional<SnapshotFile>> file =
      OpenSnapshot(disk_, identity_, snapshot, &events);
  if (!file.ok()) return file.status();
  current_ = *std::move(file);
  snapshot_bad_ = !current_.has_value();

  Log::Recovery recovery;
  absl::StatusOr<std::unique_ptr<Log>> log = Log::Open(
      disk_, identity_, options_, WhereTheLogBegins(manifest_, hard_state_), &recovery, &events);
  if (!log.ok()) return log.status();
  log_ = *std::move(log);
  absl::Status status = RemoveLeftovers(&events);
  if (!status.ok()) return status;
  recovered_ = Describe(identity_, hard_state_, snapshot, snapshot_bad_, std::move(recovery));
  recovered_->events = std::move(events);
  return absl::OkStatus();
}

absl::Status Storage::Impl::RemoveLeftovers(std::vector<RecoveryEvent>* events) {
  absl::StatusOr<std::vector<std::string>> names = disk_.List();
  if (!names.ok()) return names.status();
  const std::string current =
      SnapshotName(manifest_.snapshot.meta.index, manifest_.snapshot.source);
  for (const std::string& name : *names) {
    const bool stale_snapshot = IsSnapshotName(name) && name != current;
    if (!stale_snapshot && !IsSlotTemporary(name)) continue;
    absl::Status status = disk_.Remove(name);
    if (!status.ok()) return status;
    events->push_back({RecoveryEvent::Kind::kLeftoverRemoved, name, 0, 0,
                       "file of an unfinished or superseded operation removed"});
  }
  return absl::OkStatus();
}

absl::Status Storage::Impl::WriteHardState(const raft::HardState& hard_state) {
  RAFTKV_CHECK(hard_state.term >= hard_state_.term);
  if (hard_state == hard_state_) return absl::OkStatus();
  absl::Status status =
      vote_.Write(EncodeVote({hard_state, identity_.node, identity_.incarnation, identity_.group}));
  // The slots are preallocated, so even "no space" comes from the middle of a write here.
  if (!status.ok()) return Poison(std::move(status));
  vote_syncs_ += 2;
  hard_state_ = hard_state;
  return absl::OkStatus();
}

absl::Status Storage::Impl::Persist(const raft::PersistJob& job) {
  if (absl::Status status = Writable(); !status.ok()) return status;
  for (const raft::Entry& entry : job.entries) {
    if (entry.payload.size() > kMaxEntryBytes) {
      return absl::InvalidArgumentError(absl::StrCat("entry ", entry.index, " has ",
                                                     entry.payload.size(), " bytes, the log takes ",
                                                     kMaxEntryBytes));
    }
  }
  if (job.snapshot && (Finished(*job.snapshot) == nullptr ||
                       job.snapshot->index <= manifest_.snapshot.meta.index)) {
    return absl::FailedPreconditionError(absl::StrCat("no finished snapshot of entry ",
                                                      job.snapshot->index, " and term ",
                                                      job.snapshot->term, " to switch to"));
  }
  if (job.hard_state) {
    absl::Status status = WriteHardState(*job.hard_state);
    if (!status.ok()) return status;
  }
  if (job.snapshot) return InstallSnapshot(job);
  if (!job.writes_log) return absl::OkStatus();
  RAFTKV_CHECK(job.keep_through >= manifest_.snapshot.meta.index);
  return Fail(log_->Append(job.keep_through, job.entries, job.commit));
}

absl::Status Storage::Impl::InstallSnapshot(const raft::PersistJob& job) {
  const raft::Index index = job.snapshot->index;
  absl::StatusOr<uint64_t> first_segment =
      log_->StartOver(index, job.snapshot->term, job.entries, job.commit);
  if (!first_segment.ok()) return Fail(first_segment.status());
  absl::Status status = MakeCurrent(Finished(*job.snapshot)->header().source, *first_segment);
  if (status.ok()) status = Fail(log_->DropOld());
  return status;
}

SnapshotWriter* Storage::Impl::Finished(const raft::SnapshotMeta& meta) {
  for (SnapshotSource source : {SnapshotSource::kReceived, SnapshotSource::kLocal}) {
    SnapshotWriter* candidate = writer(source).get();
    if (candidate != nullptr && candidate->finished() && candidate->finished()->meta == meta) {
      return candidate;
    }
  }
  return nullptr;
}

absl::Status Storage::Impl::MakeCurrent(SnapshotSource source, uint64_t first_segment) {
  Manifest next{*writer(source)->finished(), first_segment};
  // It fits: the snapshot's header, which holds more, did.
  const std::optional<std::string> payload = EncodeManifest(next);
  RAFTKV_CHECK(payload.has_value());
  const std::string name = SnapshotName(next.snapshot.meta.index, source);
  absl::StatusOr<SnapshotFile> file = SnapshotFile::Open(disk_, name, identity_.cluster);
  if (!file.ok()) return Poison(file.status());
  absl::Status status = manifest_slots_.Write(*payload);
  if (!status.ok()) return Poison(std::move(status));
  writer(source).reset();
  if (previous_) {
    // What cannot be removed now is a leftover for the next start.
    const SnapshotInfo& gone = previous_->info();
    (void)disk_.Remove(SnapshotName(gone.meta.index, gone.source));
  }
  if (snapshot_bad_) {
    // It is of no use to anybody, and may have the name of the new one.
    const std::string bad = SnapshotName(manifest_.snapshot.meta.index, manifest_.snapshot.source);
    if (bad != name) (void)disk_.Remove(bad);
    current_.reset();
    snapshot_bad_ = false;
  }
  previous_ = std::move(current_);
  current_ = *std::move(file);
  manifest_ = std::move(next);
  // The space of what went is free with that.
  status = disk_.SyncDir();
  return status.ok() ? status : Poison(std::move(status));
}

absl::Status Storage::Impl::BeginSnapshot(SnapshotSource source, const raft::SnapshotMeta& meta) {
  if (!health_.ok()) return health_;
  const bool again =
      snapshot_bad_ && source == SnapshotSource::kReceived && meta == manifest_.snapshot.meta;
  if (meta.index <= manifest_.snapshot.meta.index && !again) {
    return absl::FailedPreconditionError(absl::StrCat("a snapshot of entry ", meta.index,
                                                      " is not newer than the current one of ",
                                                      manifest_.snapshot.meta.index));
  }
  absl::Status status = AbortSnapshot(source);
  if (!status.ok()) return status;
  absl::StatusOr<std::unique_ptr<SnapshotWriter>> made =
      SnapshotWriter::Create(disk_, identity_, options_, source, meta);
  if (absl::IsInvalidArgument(made.status())) return made.status();
  if (!made.ok()) return Fail(made.status());
  writer(source) = *std::move(made);
  return absl::OkStatus();
}

absl::Status Storage::Impl::AppendSnapshot(SnapshotSource source, uint64_t offset,
                                           absl::string_view bytes) {
  if (!health_.ok()) return health_;
  SnapshotWriter* target = writer(source).get();
  if (target == nullptr || target->finished()) {
    return absl::FailedPreconditionError("no snapshot is being written");
  }
  if (bytes.size() > kMaxSnapshotChunk) {
    return absl::InvalidArgumentError(
        absl::StrCat("a snapshot chunk of ", bytes.size(), " bytes, at most ", kMaxSnapshotChunk));
  }
  if (offset != target->size()) {
    return absl::OutOfRangeError(
        absl::StrCat("snapshot chunk at offset ", offset, ", expected ", target->size()));
  }
  absl::Status status = target->Append(bytes);
  if (status.ok()) return status;
  // What the file holds is unknown now; a disk that was only full may take another snapshot later.
  const bool device_failed = target->device_failed();
  if (device_failed) return Fail(status);
  (void)AbortSnapshot(source);
  return status;
}

absl::StatusOr<std::optional<SnapshotInfo>> Storage::Impl::FinishSnapshot(
    SnapshotSource source, std::optional<uint64_t> expected_digest) {
  if (!health_.ok()) return health_;
  SnapshotWriter* target = writer(source).get();
  if (target == nullptr) return absl::FailedPreconditionError("no snapshot is being written");
  // One that replaces a bad file must have its bytes.
  const SnapshotInfo& current = manifest_.snapshot;
  if (target->header().meta.index == current.meta.index) expected_digest = current.digest;
  absl::StatusOr<std::optional<SnapshotInfo>> step = target->FinishStep(expected_digest);
  if (step.ok()) return step;
  const bool device_failed = target->device_failed() || absl::IsAborted(step.status());
  if (device_failed) return Fail(step.status());
  (void)AbortSnapshot(source);
  return step;
}

absl::Status Storage::Impl::AbortSnapshot(SnapshotSource source) {
  if (!health_.ok()) return health_;
  if (writer(source) == nullptr) return absl::OkStatus();
  absl::Status status = writer(source)->Discard();
  writer(source).reset();
  // Its space is free with that. Nobody may come to it on a full disk, where the log waits for it.
  if (status.ok()) status = disk_.SyncDir();
  return Fail(status);
}

absl::Status Storage::Impl::SwitchSnapshot(const raft::SnapshotMeta& meta) {
  if (!health_.ok()) return health_;
  const SnapshotWriter* finished = writer(SnapshotSource::kLocal).get();
  if (finished == nullptr || !finished->finished() || finished->finished()->meta != meta) {
    return absl::FailedPreconditionError(
        absl::StrCat("no finished local snapshot of entry ", meta.index));
  }
  if (meta.index <= manifest_.snapshot.meta.index) {
    return absl::FailedPreconditionError(absl::StrCat("the current snapshot of entry ",
                                                      manifest_.snapshot.meta.index,
                                                      " is newer than that of entry ", meta.index));
  }
  if (meta.index > log_->last_index()) {
    return absl::FailedPreconditionError(absl::StrCat("a local snapshot of entry ", meta.index,
                                                      ", the durable log ends at ",
                                                      log_->last_index()));
  }
  return MakeCurrent(SnapshotSource::kLocal, manifest_.first_segment);
}

absl::StatusOr<std::string> Storage::Impl::ReadSnapshot(raft::Index index, uint64_t offset,
                                                        uint64_t length) {
  if (!health_.ok()) return health_;
  for (const std::optional<SnapshotFile>* candidate : {&current_, &previous_}) {
    if (!*candidate || (*candidate)->info().meta.index != index) continue;
    absl::StatusOr<std::string> bytes = (*candidate)->Read(offset, length);
    if (absl::IsDataLoss(bytes.status()) && candidate == &current_) snapshot_bad_ = true;
    return bytes;
  }
  if (index == manifest_.snapshot.meta.index && snapshot_bad_) {
    return absl::DataLossError(absl::StrCat("the file of the snapshot of entry ", index,
                                            " is bad, it has to be fetched from a peer"));
  }
  return absl::NotFoundError(absl::StrCat(
      "no snapshot of entry ", index, "; the current one is of ", manifest_.snapshot.meta.index));
}

absl::Status Storage::Impl::RestoreSnapshot(const raft::SnapshotMeta& meta) {
  if (!health_.ok()) return health_;
  const SnapshotInfo& current = manifest_.snapshot;
  const SnapshotWriter* finished = writer(SnapshotSource::kReceived).get();
  const bool again = snapshot_bad_ && meta == current.meta;
  if (finished == nullptr || !finished->finished() || finished->finished()->meta != meta ||
      (meta.index <= current.meta.index && !again)) {
    return absl::FailedPreconditionError(
        absl::StrCat("no finished received snapshot of entry ", meta.index, " to restore"));
  }
  // Nothing on a disk is of a later term than the node's own. This snapshot did not come from a
  // leader, whose term would have been written first.
  if (meta.term > hard_state_.term) {
    absl::Status status = WriteHardState({meta.term, raft::kNoNode});
    if (!status.ok()) return status;
  }
  // The log goes on behind the snapshot if it has the very entry that the snapshot ends with.
  if (again || log_->Holds(meta.index, meta.term)) {
    return MakeCurrent(SnapshotSource::kReceived, manifest_.first_segment);
  }
  absl::StatusOr<uint64_t> first_segment = log_->StartOver(meta.index, meta.term, {}, meta.index);
  if (!first_segment.ok()) return Fail(first_segment.status());
  absl::Status status = MakeCurrent(SnapshotSource::kReceived, *first_segment);
  if (status.ok()) status = Fail(log_->DropOld());
  return status;
}

absl::Status Storage::Impl::Settle(const raft::Entries& entries,
                                   const std::optional<raft::Suspicion>& suspicion) {
  if (!health_.ok()) return health_;
  if (!log_->damaged()) return absl::FailedPreconditionError("the log is not damaged");
  const raft::SnapshotMeta& snapshot = manifest_.snapshot.meta;
  const raft::Index first = std::max(log_->last_index(), snapshot.index) + 1;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].index == first + i && entries[i].payload.size() <= kMaxEntryBytes) continue;
    return absl::InvalidArgumentError(absl::StrCat("entry ", entries[i].index, " of ",
                                                   entries[i].payload.size(), " bytes where entry ",
                                                   first + i, " belongs"));
  }
  return Fail(log_->Settle(entries, suspicion, snapshot.index, snapshot.term));
}

absl::Status Storage::Impl::CompactLog(raft::Index index) {
  if (absl::Status status = Writable(); !status.ok()) return status;
  return Fail(log_->Compact(std::min(index, manifest_.snapshot.meta.index)));
}

absl::Status Storage::Impl::ReserveSpace() {
  if (!health_.ok()) return health_;
  return Fail(log_->FillReserve());
}

absl::StatusOr<ScrubStep> Storage::Impl::Scrub() {
  if (absl::Status status = Writable(); !status.ok()) return status;
  ScrubStep step;
  absl::Status status = scrubber_.Step({disk_,
                                        identity_,
                                        {&identity_slots_, &vote_, &manifest_slots_},
                                        manifest_.snapshot,
                                        log_->live()},
                                       &step);
  if (absl::IsUnavailable(status)) return status;
  if (!status.ok()) return Poison(std::move(status));
  return step;
}

absl::Status Storage::Init(Disk& disk, const Identity& identity, const Founding& founding) {
  if (!DecodeIdentity(EncodeIdentity(identity))) {
    return absl::InvalidArgumentError("identity: cluster, node and incarnation must not be zero");
  }
  absl::StatusOr<std::unique_ptr<DirectoryLock>> lock = disk.Lock();
  if (!lock.ok()) return lock.status();
  absl::StatusOr<Look> look = LookAround(disk);
  if (!look.ok()) return look.status();
  if (look->has_identity) {
    return absl::AlreadyExistsError(
        absl::StrCat(disk.Describe(), ": already initialised as a data directory"));
  }
  if (!look->foreign.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(disk.Describe(), ": not empty, it holds '",
                                                      look->foreign, "' that is not ours"));
  }
  if (look->has_log) {
    return absl::FailedPreconditionError(absl::StrCat(
        disk.Describe(), ": holds a log without an identity; refusing to overwrite it"));
  }
  for (const std::string& name : look->names) {
    if (name == "lock") continue;
    absl::Status status = disk.Remove(name);
    if (!status.ok()) return status;
  }

  Manifest manifest;
  absl::Status status = WriteFoundingSnapshot(disk, identity, founding, &manifest.snapshot);
  if (!status.ok()) return status;
  const std::optional<std::string> encoded = EncodeManifest(manifest);
  RAFTKV_CHECK(encoded.has_value());
  status = CreateSlotFile(disk, ManifestFile(identity.cluster), *encoded);
  if (!status.ok()) return status;
  status = CreateSlotFile(disk, VoteFile(identity.cluster),
                          EncodeVote({raft::HardState{founding.meta.term, raft::kNoNode},
                                      identity.node, identity.incarnation, identity.group}));
  if (!status.ok()) return status;
  status = Marks::Create(disk, identity.cluster);
  if (!status.ok()) return status;
  status = Log::Create(disk, identity, founding.meta.index, founding.meta.term);
  if (!status.ok()) return status;
  status = disk.SyncDir();
  if (!status.ok()) return status;
  // The identity is what makes it a data directory, so it comes when everything else is there to
  // stay.
  status = CreateSlotFile(disk, IdentityFile(), EncodeIdentity(identity));
  if (!status.ok()) return status;
  return disk.SyncDir();
}

absl::StatusOr<std::unique_ptr<Storage>> Storage::Open(Disk& disk, const Options& options,
                                                       const ExpectedIdentity& expected) {
  absl::Status status = options.Validate();
  if (!status.ok()) return status;
  absl::StatusOr<Identity> identity = ReadIdentity(disk, expected);
  if (!identity.ok()) return identity.status();
  absl::StatusOr<std::unique_ptr<DirectoryLock>> lock = disk.Lock();
  if (!lock.ok()) return lock.status();

  std::vector<RecoveryEvent> events;
  absl::StatusOr<SlotPair> identity_slots = OpenSlots(disk, IdentityFile(), &events);
  if (!identity_slots.ok()) return identity_slots.status();
  absl::StatusOr<SlotPair> vote = OpenSlots(disk, VoteFile(identity->cluster), &events);
  if (!vote.ok()) return vote.status();
  absl::StatusOr<SlotPair> manifest = OpenSlots(disk, ManifestFile(identity->cluster), &events);
  if (!manifest.ok()) return manifest.status();
  auto impl =
      std::make_unique<Impl>(disk, options, *std::move(lock), *identity, *std::move(identity_slots),
                             *std::move(vote), *std::move(manifest));
  status = impl->Recover(std::move(events));
  if (!status.ok()) return status;
  return std::unique_ptr<Storage>(new Storage(std::move(impl)));
}

absl::StatusOr<Recovered> Storage::Explain(Disk& disk, const Options& options) {
  absl::StatusOr<Identity> identity = ReadIdentity(disk, {});
  if (!identity.ok()) return identity.status();
  // In the order of Open, so that of several reasons to refuse it is the same.
  absl::StatusOr<std::string> vote = ReadRecord(disk, VoteFile(identity->cluster));
  if (!vote.ok()) return vote.status();
  absl::StatusOr<std::string> record = ReadRecord(disk, ManifestFile(identity->cluster));
  if (!record.ok()) return record.status();
  absl::StatusOr<raft::HardState> hard_state = TakeVote(disk, *identity, *vote);
  if (!hard_state.ok()) return hard_state.status();
  absl::StatusOr<Manifest> manifest = TakeManifest(disk, *record);
  if (!manifest.ok()) return manifest.status();
  std::vector<RecoveryEvent> events;
  absl::StatusOr<std::optional<SnapshotFile>> file =
      OpenSnapshot(disk, *identity, manifest->snapshot, &events);
  if (!file.ok()) return file.status();
  Log::Recovery recovery;
  absl::Status status = Log::Explain(disk, *identity, options,
                                     WhereTheLogBegins(*manifest, *hard_state), &recovery, &events);
  if (!status.ok()) return status;
  Recovered found =
      Describe(*identity, *hard_state, manifest->snapshot, !file->has_value(), std::move(recovery));
  found.events = std::move(events);
  return found;
}

Storage::Storage(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Storage::~Storage() = default;

Recovered Storage::TakeRecovered() {
  RAFTKV_CHECK(impl_->recovered_.has_value());
  Recovered recovered = *std::move(impl_->recovered_);
  impl_->recovered_.reset();
  return recovered;
}

const Identity& Storage::identity() const { return impl_->identity_; }
const raft::HardState& Storage::hard_state() const { return impl_->hard_state_; }
raft::Index Storage::last_index() const {
  return std::max(impl_->log_->last_index(), impl_->manifest_.snapshot.meta.index);
}
Stats Storage::stats() const { return impl_->GatherStats(); }
const absl::Status& Storage::health() const { return impl_->health_; }
const SnapshotInfo& Storage::current_snapshot() const { return impl_->manifest_.snapshot; }

absl::Status Storage::Settle(const raft::Entries& entries,
                             const std::optional<raft::Suspicion>& suspicion) {
  return impl_->Settle(entries, suspicion);
}

absl::Status Storage::Persist(const raft::PersistJob& job) { return impl_->Persist(job); }
absl::Status Storage::BeginSnapshot(SnapshotSource source, const raft::SnapshotMeta& meta) {
  return impl_->BeginSnapshot(source, meta);
}
absl::Status Storage::AppendSnapshot(SnapshotSource source, uint64_t offset,
                                     absl::string_view bytes) {
  return impl_->AppendSnapshot(source, offset, bytes);
}
std::optional<uint64_t> Storage::SnapshotOffset(SnapshotSource source) const {
  const SnapshotWriter* target = impl_->writer(source).get();
  if (target == nullptr) return std::nullopt;
  return target->size();
}
absl::StatusOr<std::optional<SnapshotInfo>> Storage::FinishSnapshot(
    SnapshotSource source, std::optional<uint64_t> expected_digest) {
  return impl_->FinishSnapshot(source, expected_digest);
}
absl::Status Storage::AbortSnapshot(SnapshotSource source) { return impl_->AbortSnapshot(source); }
absl::Status Storage::SwitchSnapshot(const raft::SnapshotMeta& meta) {
  return impl_->SwitchSnapshot(meta);
}
absl::StatusOr<std::string> Storage::ReadSnapshot(raft::Index index, uint64_t offset,
                                                  uint64_t length) {
  return impl_->ReadSnapshot(index, offset, length);
}
absl::Status Storage::RestoreSnapshot(const raft::SnapshotMeta& meta) {
  return impl_->RestoreSnapshot(meta);
}
const std::optional<raft::Suspicion>& Storage::suspicion() const {
  return impl_->log_->suspicion();
}
absl::Status Storage::CompactLog(raft::Index index) { return impl_->CompactLog(index); }
absl::Status Storage::ReserveSpace() { return impl_->ReserveSpace(); }
absl::StatusOr<ScrubStep> Storage::Scrub() { return impl_->Scrub(); }
bool Storage::short_of_space() const { return !impl_->log_->reserve_held(); }

}  // namespace raftkv::storage
