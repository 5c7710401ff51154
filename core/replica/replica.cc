// The loop: bytes to requests to decisions to jobs, messages, state and replies. TakeWork reads as
// the flow does; what happens to one request is in requests.cc, what happens to snapshots in
// snapshots.cc.
#include "core/replica/replica.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/raft/check.h"
#include "core/raft/random.h"

namespace raftkv::replica {

std::string Replica::FoundingState(const Members& members, const kv::StoreOptions& options) {
  const Machine machine(kv::Store(options), members);
  MachineSnapshotWriter writer(machine);
  std::string bytes;
  for (std::string piece = writer.Next(64 << 10); !piece.empty(); piece = writer.Next(64 << 10))
    bytes += piece;
  return bytes;
}

absl::StatusOr<std::unique_ptr<Replica>> Replica::Create(const Options& options, Boot boot) {
  if (absl::Status status = ValidateOptions(options); !status.ok()) return status;
  Machine machine(options.store);
  const absl::StatusOr<bool> loaded = LoadAtStart(options, boot, &machine);
  if (!loaded.ok()) return loaded.status();
  absl::StatusOr<raft::Raft> core =
      raft::Raft::Create(options.raft, std::move(boot.recovered), boot.seed);
  if (!core.ok()) return core.status();
  std::unique_ptr<Replica> replica(
      new Replica(options, *std::move(core), std::move(machine), boot));
  if (boot.damage || !*loaded) {
    if (absl::Status status = replica->EnterRepair(std::move(boot.damage), !*loaded); !status.ok())
      return status;
  }
  return replica;
}

Replica::Replica(const Options& options, raft::Raft raft, Machine machine, const Boot& boot)
    : options_(options),
      raft_(std::move(raft)),
      machine_(std::move(machine)),
      snapshot_points_(options.snapshots),
      // Identifiers must not repeat in a later run of this process: a late answer to an earlier
      // run's question would be taken for ours.
      last_id_(Random::Stream(boot.seed, "identifiers").Next() & ~uint64_t{0xffffffff}),
      boot_term_(raft_.term()),
      current_snapshot_{boot.snapshot_size, boot.snapshot_digest},
      suspicion_review_(options.repair_patience_ticks, last_id_) {
  work_.members_changed = true;
  last_role_ = RoleChanged{raft_.role(), raft_.term(), raft_.leader()};
}

// ---- Inputs ----

void Replica::AdvanceTime(uint64_t now_us, uint64_t wall_ms) {
  wall_ms_ = wall_ms;
  now_us_ = std::max(now_us_, now_us);
  if (!clock_started_) {
    clock_started_ = true;
    next_tick_us_ = now_us_ + options_.tick_us;
  }
  if (now_us_ < next_tick_us_) return;
  // After a pause the ticks that were missed are not made up for: nobody was listening while they
  // passed, and delivering them at once would let a follower campaign before it has read what its
  // leader sent meanwhile. Only leases have run on: the others have elected somebody.
  const uint64_t due = (now_us_ - next_tick_us_) / options_.tick_us + 1;
  const uint64_t ticks = std::min<uint64_t>(due, 2);
  raft_.SkipTicks(due - ticks);
  for (uint64_t i = 0; i < ticks; ++i) Tick();
  next_tick_us_ += due * options_.tick_us;
}

void Replica::Tick() {
  if (!health_.ok()) return;
  if (repairing()) return repair_mode_->Tick();
  raft_.Tick();
  TickDisk();
  if (local_snapshot_ && local_snapshot_->done) LocalSnapshotInTime();
  TickSending();
  TickReceiving();
  ExpirePending();
  ReviewSuspicion();
  TickScrub();
}

void Replica::ReceivePeer(absl::string_view body) {
  wire::PeerMessage message;
  ReceivePeer(wire::DecodePeer(body, &message), message);
}

void Replica::ReceivePeer(const absl::Status& decoded, wire::PeerMessage& message) {
  if (!health_.ok()) return;
  if (!decoded.ok()) {
    work_.events.push_back(PeerRefused{raft::kNoNode, std::string(decoded.message())});
    return;
  }
  const wire::Envelope& envelope = message.envelope;
  const Member* sender = members().Find(envelope.from);
  // The address may have had another owner, and a node that lost its disk must not speak for the
  // one it was.
  const char* refusal = nullptr;
  if (envelope.group != options_.group) {
    refusal = "for another group";
  } else if (envelope.to != raft_.id()) {
    refusal = "for another node";
  } else if (envelope.to_incarnation != 0 && envelope.to_incarnation != options_.incarnation) {
    refusal = "for another incarnation of this node";
  } else if (sender != nullptr && sender->incarnation != envelope.from_incarnation) {
    refusal = "from another incarnation of that node";
  }
  if (refusal != nullptr) {
    work_.events.push_back(PeerRefused{envelope.from, refusal});
    return;
  }
  if (const auto* query = std::get_if<wire::EntryQuery>(&message.body)) {
    OnEntryQuery(envelope.from, *query);
  } else if (const auto* pull = std::get_if<wire::SnapshotPull>(&message.body)) {
    OnSnapshotPull(envelope.from, *pull);
  } else if (auto* answer = std::get_if<wire::EntryAnswer>(&message.body)) {
    OnEntryAnswer(envelope.from, *answer);
  } else if (repairing()) {
    // It takes part in nothing else.
    if (const auto* piece = std::get_if<wire::SnapshotPiece>(&message.body))
      repair_mode_->OnPiece(envelope.from, *piece);
  } else if (auto* consensus = std::get_if<raft::Message>(&message.body)) {
    // A snapshot enters the core only through our own hands, once every byte of it is on the disk;
    // a command only as ForwardRequest, which is looked at.
    if (!std::holds_alternative<raft::InstallSnapshot>(consensus->body) &&
        !std::holds_alternative<raft::ForwardedProposal>(consensus->body)) {
      raft_.Step(*std::move(consensus));
    }
  } else if (const auto* request = std::get_if<wire::ForwardRequest>(&message.body)) {
    OnForward(envelope.from, *request);
  } else if (const auto* reply = std::get_if<wire::ForwardReply>(&message.body)) {
    OnForwardReply(envelope.from, *reply);
  } else if (auto* chunk = std::get_if<wire::SnapshotChunk>(&message.body)) {
    OnSnapshotChunk(envelope.from, *chunk);
  } else if (const auto* ack = std::get_if<wire::SnapshotAck>(&message.body)) {
    OnSnapshotAck(envelope.from, *ack);
  }
}

void Replica::PeerUnreachable(raft::NodeId peer) {
  if (!health_.ok() || repairing()) return;
  raft_.ReportUnreachable(peer);
  LoseForwards(peer);
}

bool Replica::ClientOpened(ClientId id) {
  if (clients_.size() >= options_.max_clients || !health_.ok()) return false;
  const ClientConnection::Limits limits{options_.max_client_output_bytes,
                                        options_.max_client_pipeline};
  return clients_
      .emplace(id,
               Client{.connection = std::make_unique<ClientConnection>(id, limits), .waiting = {}})
      .second;
}

void Replica::ClientBytes(ClientId id, absl::string_view bytes) {
  if (ClientConnection* client = FindClient(id)) {
    client->Feed(bytes);
    Touch(id);
  }
}

void Replica::ClientWritten(ClientId id, uint64_t bytes) {
  if (ClientConnection* client = FindClient(id)) {
    client->Written(bytes);
    Touch(id);
  }
}

void Replica::ClientFinished(ClientId id) {
  if (ClientConnection* client = FindClient(id)) {
    client->Finish();
    Touch(id);
  }
}

void Replica::ClientClosed(ClientId id) {
  clients_.erase(id);
  paused_clients_.erase(id);
}

void Replica::JobDone(JobResult result) {
  const auto it = jobs_.find(result.id);
  RAFTKV_CHECK(it != jobs_.end());
  const JobOwner owner = it->second;
  jobs_.erase(it);
  if (!health_.ok()) return;
  GoOn(owner, result);
  NoticeSpace(result);
}

void Replica::GoOn(const JobOwner& owner, const JobResult& result) {
  switch (owner.kind) {
    case JobKind::kPersist:
      return PersistDone(result);
    case JobKind::kLocalSnapshot:
      // The same for a step of a snapshot that was given up.
      if (local_snapshot_ && local_snapshot_->number == owner.transfer) LocalSnapshotStep(result);
      return;
    case JobKind::kReceivedSnapshot:
      // A step of a transfer that was replaced meanwhile says nothing about the one that replaced
      // it.
      if (receiving_ && receiving_->transfer == owner.transfer) ReceiveStep(result);
      return;
    case JobKind::kSendChunk:
      return ChunkRead(owner.peer, owner.transfer, result);
    case JobKind::kServePiece:
      return PieceRead(owner.transfer, result);
    case JobKind::kRepair:
      repair_mode_->OnJob(result);
      return Fail(repair_mode_->health());
    case JobKind::kScrub:
      return ScrubStep(result);
    case JobKind::kHousekeeping:
      // Some file systems need space to remove a file; the next start sees to what stays.
      if (!result.status.ok() && !absl::IsResourceExhausted(result.status)) Fail(result.status);
      return;
  }
}

void Replica::Stop() {
  rot_to_repair_ = false;  // the next start sees to it
  StopServing();
}

void Replica::StopServing() {
  if (stopping_) return;
  stopping_ = true;
  for (const PendingId id : std::exchange(parked_, {})) {
    if (pending_.contains(id)) Refuse(id, wire::ForwardReason::kStopping, "this node is stopping");
  }
}

bool Replica::Stopped() const {
  if (!stopping_) return false;
  if (!health_.ok()) return true;
  const bool somebody_else = raft::AllVoters(raft_.conf()).size() > 1;
  return pending_.empty() && (!raft_.is_leader() || !somebody_else);
}

// ---- The flow ----

void Replica::TakeWork(Work* work) {
  Parse();  // 1 parse, 2 admit
  if (repairing()) Mend();
  if (rot_to_repair_) GoToRepair();
  while (!repairing()) {
    NoticeRole();
    AdvanceTurns();
    AskForReadPoints();
    if (!health_.ok() || !raft_.HasReady()) break;
    raft::Ready ready = raft_.TakeReady();  // 3 decide
    Persist(ready);          // 4 persist: the disk begins first, everything else overlaps with it
    Send(ready.send_now);    // 5 send
    Apply(ready.committed);  // 6 apply, what may be applied before the write
    for (const raft::ReadPoint& read : ready.reads) {
      for (const PendingId id : TakeReads(read.context)) pointed_reads_.emplace(read.index, id);
    }
    for (const raft::FailedRead& read : ready.failed_reads) {
      const std::vector<PendingId> reads = TakeReads(read.context);
      refused_reads_.insert(refused_reads_.end(), reads.begin(), reads.end());
    }
    ServeReads();
  }
  Reply();  // 7 reply
  constexpr size_t kReleasedPerTurn = 1024;
  machine_.ReleaseSome(kReleasedPerTurn);
  work->Clear();
  std::swap(*work, work_);
}

void Replica::Parse() {
  // In the order in which the driver delivered.
  seen_to_.clear();
  seen_to_.swap(touched_clients_);
  for (const ClientId id : seen_to_) {
    ClientConnection* client = FindClient(id);
    if (client == nullptr) continue;
    Request request;
    uint64_t slot = 0;
    while (health_.ok() && client->Next(&request, &slot)) Admit(*client, slot, request);
    Touch(id);
  }
}

void Replica::AskForReadPoints() {
  // A few rounds at once keep the pipe full; what arrives meanwhile shares the next one.
  constexpr size_t kRoundsOut = 4;
  if (new_reads_.empty() || read_batches_.size() >= kRoundsOut) return;
  ReadBatch batch;
  if (!AskForReadPoint(batch)) return;  // tried again with every turn
  batch.reads = std::exchange(new_reads_, {});
  read_batches_.push_back(std::move(batch));
}

bool Replica::AskForReadPoint(ReadBatch& batch) {
  const uint64_t context = NewId();
  const raft::Outcome outcome = raft_.RequestRead(context);
  if (outcome != raft::Outcome::kOk && outcome != raft::Outcome::kForwarded) return false;
  batch.contexts.push_back(context);
  batch.asked_us = now_us_;
  return true;
}

// Who refused may be asked again with the next tick, and whoever leads next at once.
void Replica::AskAgainForRefusedReads() {
  new_reads_.insert(new_reads_.end(), refused_reads_.begin(), refused_reads_.end());
  refused_reads_.clear();
}

// A question or its answer may be lost, so it is asked again. The answer may also be late, wherever
// a round trip takes longer than that: the batch goes on waiting for it, too.
void Replica::AskAgainForReadPoints() {
  AskAgainForRefusedReads();
  for (ReadBatch& batch : read_batches_) {
    if (now_us_ - batch.asked_us >= options_.read_retry_ms * 1000) AskForReadPoint(batch);
  }
}

// The reads that wait for the answer to this question; none when they have had one.
std::vector<Replica::PendingId> Replica::TakeReads(uint64_t context) {
  const auto batch =
      std::find_if(read_batches_.begin(), read_batches_.end(), [&](const ReadBatch& b) {
        return std::find(b.contexts.begin(), b.contexts.end(), context) != b.contexts.end();
      });
  if (batch == read_batches_.end()) return {};
  std::vector<PendingId> reads = std::move(batch->reads);
  read_batches_.erase(batch);
  return reads;
}

// Starts the write, if there is one, and puts aside what has to wait for it.
void Replica::Persist(raft::Ready& ready) {
  const bool write = ready.persist && !ready.persist->nothing_to_write();
  if (ready.persist && !write) raft_.Persisted(ready.persist->ticket);
  if (write) {
    after_persist_.ticket = ready.persist->ticket;
    after_persist_.messages = std::move(ready.send_after_persist);
    if (ready.persist->snapshot) after_persist_.snapshot = ready.persist->snapshot->index;
    StartJob({JobKind::kPersist}, *std::move(ready.persist));
  } else {
    std::move(ready.send_after_persist.begin(), ready.send_after_persist.end(),
              std::back_inserter(ready.send_now));
  }
  // Entries that this write, or the one that is out already, puts on the disk are applied after it.
  const auto waits =
      std::find_if(ready.committed.begin(), ready.committed.end(),
                   [&](const raft::Entry& entry) { return entry.index > ready.apply_now; });
  std::move(waits, ready.committed.end(), std::back_inserter(after_persist_.committed));
  ready.committed.erase(waits, ready.committed.end());
}

void Replica::PersistDone(const JobResult& result) {
  if (absl::IsResourceExhausted(result.status)) return LogFoundNoSpace();
  if (!result.status.ok()) return Fail(result.status);
  AfterPersist after = std::exchange(after_persist_, {});
  raft_.Persisted(after.ticket);
  Send(after.messages);
  // A snapshot that arrived meanwhile already stands for them.
  if (!raft_.installing_snapshot()) {
    // While the disk is full, some go on waiting.
    const auto waits =
        std::find_if(after.committed.begin(), after.committed.end(),
                     [this](const raft::Entry& entry) { return entry.index > raft_.durable(); });
    after_persist_.committed.assign(waits, after.committed.end());
    after.committed.erase(waits, after.committed.end());
    Apply(after.committed);
  }
  if (after.snapshot) Install(*after.snapshot);
}

// Term and vote are written, the log is not, what was kept back is used up too. So this node votes,
// answers heartbeats and serves reads as far as it has applied; it acknowledges no entry.
void Replica::LogFoundNoSpace() {
  raft_.PersistedWithoutLog(after_persist_.ticket);
  std::erase_if(after_persist_.messages, raft::VouchesForLog);
  Send(after_persist_.messages);
  after_persist_.messages.clear();
  after_persist_.snapshot.reset();
  handed_over_in_ = 0;  // it can do nothing for a cluster that it leads
}

void Replica::NoticeSpace(const JobResult& result) {
  // A batch that is larger than what is kept back is refused before that is used up.
  const bool full = result.short_of_space || raft_.log_refused();
  if (full == disk_full_) return;
  disk_full_ = full;
  handed_over_in_ = 0;
  retry_space_us_ = now_us_ + options_.full_disk_retry_ms * 1000;
  work_.events.push_back(DiskSpace{disk_full_});
}

// A quorum listens and writes nothing, for half as long as a client waits: its disks are full, or
// hang. More of the same would only end as UNKNOWN.
bool Replica::CommitsStand() const {
  return now_us_ - commit_moved_us_ > options_.request_timeout_ms * 1000 / 2;
}

bool Replica::SnapshotReadHangs() const {
  const uint64_t patience_us = raft_.options().election_ticks * options_.tick_us;
  return std::any_of(sending_.begin(), sending_.end(), [&](const auto& row) {
    return row.second.reading && now_us_ - row.second.reading_us >= patience_us;
  });
}

void Replica::TickDisk() {
  if (raft_.commit() != noticed_commit_ || raft_.commit() == raft_.log().last() ||
      !raft_.is_leader()) {
    noticed_commit_ = raft_.commit();
    commit_moved_us_ = now_us_;
  }
  // The core sees a write that hangs. There is none where a majority waits for a snapshot that this
  // leader cannot read: nothing is committed, so nothing more is proposed.
  if (raft_.options().step_down_on_hung_disk && CommitsStand() && SnapshotReadHangs())
    raft_.StepDown();
  if (!disk_full_) return;
  if (now_us_ >= retry_space_us_) {
    retry_space_us_ = now_us_ + options_.full_disk_retry_ms * 1000;
    if (raft_.log_refused()) {
      raft_.RetryLog();
    } else if (!jobs_.contains(reserve_job_)) {  // the disk may hang, too
      reserve_job_ = StartJob({JobKind::kHousekeeping}, ReserveSpace{});
    }
  }
  if (!raft_.is_leader() || raft_.transfer_target() != raft::kNoNode) return;
  // Whoever has written everything there is has, as far as can be told, space for more. When that
  // is wrong, it hands over too: not all the time, because each leader begins with an entry. Who
  // leads still has not handed over, and may well have been misheard.
  constexpr uint64_t kHandOverEveryUs = 30'000'000;
  constexpr uint64_t kTryAgainUs = 2'000'000;
  const uint64_t pause = raft_.term() == handed_over_in_ ? kTryAgainUs : kHandOverEveryUs;
  if (handed_over_in_ != 0 && now_us_ < handed_over_us_ + pause) return;
  const raft::Progress* best = BestSuccessor();
  if (best == nullptr || best->match != raft_.log().last()) return;
  if (raft_.TransferLeadership(best->id) != raft::Outcome::kOk) return;
  handed_over_us_ = now_us_;
  handed_over_in_ = raft_.term();
}

// Whoever has most of the log needs least time to take over; null when nobody else could.
const raft::Progress* Replica::BestSuccessor() const {
  const raft::Progress* best = nullptr;
  for (const raft::Progress& peer : *raft_.progress()) {
    if (peer.id == raft_.id() || !raft::IsVoter(raft_.conf(), peer.id) || !peer.recently_active)
      continue;
    if (best == nullptr || peer.match > best->match) best = &peer;
  }
  return best;
}

void Replica::Send(raft::Messages& messages) {
  if (work_.frames.empty()) work_.frames.reserve(messages.size());
  for (raft::Message& message : messages) {
    if (const auto* offer = std::get_if<raft::InstallSnapshot>(&message.body)) {
      StartSending(message.to, message.term, offer->meta);
      continue;
    }
    work_.frames.push_back(
        {message.to, std::string(peer_encoder_.Encode(EnvelopeTo(message.to), message))});
  }
}

void Replica::Apply(absl::Span<const raft::Entry> entries) {
  if (entries.empty()) return;
  for (const raft::Entry& entry : entries) {
    if (entry.type == raft::EntryType::kMembership) {
      ApplyMembership(entry);
    } else {
      ApplyCommand(entry);
    }
    if (!health_.ok()) return;
    if (options_.record_applied) {
      const uint64_t hash = HashWords(entry.payload.view(), static_cast<uint64_t>(entry.type));
      work_.events.push_back(EntryApplied{entry.index, entry.term, hash});
    }
    raft_.Applied(entry.index);
    MaybeTakeSnapshot(entry);
  }
}

void Replica::ApplyCommand(const raft::Entry& entry) {
  if (entry.payload.empty()) {  // of a new leader, or behind a change of the members
    ResolveIndex(entry.index, entry.term, nullptr);
    return;
  }
  kv::Command command;
  std::string problem;
  kv::Result result;
  switch (wire::DecodeCommand(entry.payload.view(), &command, &problem)) {
    case wire::CommandDecode::kOk:
      result = machine_.Apply(entry.index, command);
      if (!machine_.store().Supported()) {
        return Fail(absl::UnimplementedError(absl::StrCat(
            "entry ", entry.index, " raised the cluster to feature level ",
            machine_.store().feature_level(), ", which needs a newer version of this program")));
      }
      break;
    case wire::CommandDecode::kMalformed:
      result.outcome = kv::Outcome::kMalformed;  // on every replica alike
      break;
    case wire::CommandDecode::kUnsupported:
      // Skipping it would let this replica's state differ from the others'.
      Fail(absl::UnimplementedError(absl::StrCat(
          "entry ", entry.index, " needs a newer version of this program: ", problem)));
      return;
  }
  ResolveIndex(entry.index, entry.term, &result);
}

void Replica::ApplyMembership(const raft::Entry& entry) {
  const raft::ConfState& conf = raft_.ApplyMembership(entry.index);
  if (const std::optional<raft::MembershipChange> change =
          raft::DecodeMembershipChange(entry.payload.view())) {
    if (const std::optional<Members> added = Members::Decode(change->context)) {
      for (const auto& [id, member] : added->all()) machine_.members().Set(id, member);
    }
  }
  machine_.members().Retain(conf);
  work_.members_changed = true;
  work_.events.push_back(MembershipApplied{entry.index, conf});
  NoteChange(entry);
  ResolveIndex(entry.index, entry.term, nullptr);
}

// How far entries are committed is on a disk only with the next entry (core/raft/ready.h). Members
// that start again without having had one are in the configuration before the last change, and may
// need the vote of who was removed by it, and whose machine is gone. So there is one at once, and
// the change is done when that is on a majority of the disks. The end of a joint configuration is
// such an entry itself. Who leads no more leaves it to the next leader, which begins with one.
void Replica::NoteChange(const raft::Entry& change) {
  if (!raft_.is_leader() || raft::IsJoint(raft_.conf())) return;
  const raft::Proposed note = raft_.Propose(raft::Payload());
  if (note.outcome != raft::Outcome::kOk) return;
  const auto asked = proposed_.find(change.index);
  if (asked == proposed_.end() || asked->second.term != change.term) return;
  proposed_.emplace(note.index, ProposedEntry{asked->second.pending, note.term, /*applied=*/true});
  proposed_.erase(asked);
}

void Replica::Reply() {
  seen_to_.clear();
  seen_to_.swap(touched_clients_);
  for (const ClientId id : seen_to_) {
    ClientConnection* client = FindClient(id);
    if (client == nullptr) continue;
    if (std::string bytes = client->TakeOutput(); !bytes.empty())
      work_.output.push_back({id, std::move(bytes)});
    if (client->closing()) {
      work_.close.push_back(id);
      ClientClosed(id);
      continue;
    }
    const bool pause = client->wants_pause();
    if (pause ? paused_clients_.insert(id).second : paused_clients_.erase(id) > 0)
      work_.pause.emplace_back(id, pause);
    // Requests that waited for room in the pipeline are parsed in the next turn.
    if (client->has_input()) Touch(id);
  }
}

// Forwarded requests are remembered from the first moment of a leadership to its last.
void Replica::NoticeLeadership() {
  if (!raft_.is_leader() || led_term_ == raft_.term()) return;
  led_term_ = raft_.term();
  accepted_forwards_.Clear();
}

// What a change of leader means for requests and transfers.
void Replica::NoticeRole() {
  const RoleChanged role{raft_.role(), raft_.term(), raft_.leader()};
  if (role.role != last_role_.role || role.term != last_role_.term ||
      role.leader != last_role_.leader) {
    last_role_ = role;
    work_.events.push_back(role);
    NoticeLeadership();
    if (!raft_.is_leader()) {
      sending_.clear();
      offer_again_us_.clear();
    }
    if (raft_.leader() != raft::kNoNode) RepeatForwards();
    RouteParked();
    AskAgainForRefusedReads();
  }
  if (stopping_ && raft_.is_leader() && raft_.transfer_target() == raft::kNoNode) {
    const raft::Progress* best = BestSuccessor();
    if (best != nullptr) raft_.TransferLeadership(best->id);
  }
}

// ---- Small things ----

uint64_t Replica::StartJob(JobOwner owner, JobBody body) {
  Job job{NewId(), std::move(body)};
  const uint64_t id = job.id;
  jobs_[id] = owner;
  work_.jobs.push_back(std::move(job));
  return id;
}

wire::Envelope Replica::EnvelopeTo(raft::NodeId to) const {
  const Member* member = members().Find(to);
  return wire::Envelope{options_.group, raft_.id(), options_.incarnation, to,
                        member == nullptr ? 0 : member->incarnation};
}

void Replica::SendFrame(raft::NodeId to, wire::PeerBody body) {
  const wire::PeerMessage message{EnvelopeTo(to), std::move(body)};
  work_.frames.push_back({to, std::string(peer_encoder_.Encode(message))});
}

// From here on nothing is acknowledged: what this node believes and what its disk holds may differ.
void Replica::Fail(absl::Status status) {
  if (health_.ok()) health_ = std::move(status);
}

ClientConnection* Replica::FindClient(ClientId id) {
  const auto it = clients_.find(id);
  return it == clients_.end() ? nullptr : it->second.connection.get();
}

NodeStatus Replica::Status() const {
  NodeStatus status;
  status.node = raft_.id();
  status.incarnation = options_.incarnation;
  status.cluster = absl::StrFormat("%016x%016x", options_.cluster.high, options_.cluster.low);
  status.role = raft_.role();
  status.term = raft_.term();
  status.leader = raft_.leader();
  status.commit = raft_.commit();
  status.applied = raft_.applied();
  status.durable = raft_.durable();
  status.first = raft_.log().first();
  status.last = raft_.log().last();
  status.snapshot = raft_.offered_snapshot().index;
  status.digest = machine_.Digest();
  status.keys = machine_.store().size();
  status.store_bytes = machine_.store().memory_bytes();
  status.sessions = machine_.store().session_count();
  status.clients = clients_.size();
  status.stopping = stopping_;
  status.disk_full = disk_full_;
  status.repair = RepairText();
  status.scrub = scrubbed_;
  status.snapshot_due_bytes = snapshot_points_.due_bytes(machine_.store().memory_bytes());
  status.taking_snapshot = local_snapshot_.has_value();
  status.receiving_snapshot = receiving_ && receiving_->stage != Receiving::Stage::kDone;
  status.sending_snapshots = sending_.size();
  status.longest_turn_us = longest_turn_us_;
  status.conf = raft_.conf();
  status.members = &members();
  return status;
}

}  // namespace raftkv::replica
