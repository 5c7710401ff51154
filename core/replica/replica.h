// The server without I/O: consensus, store, sessions, pending replies and client connections of one
// node. The node on libuv and the simulator both drive exactly this.
//
//   loop:  AdvanceTime(now)                          what time it is, first in every turn
//          ReceivePeer / ClientBytes / JobDone / ...  any number of inputs
//          Work work = TakeWork()                    then carry it out: write, send, run jobs; in
//          any order
//
// Nothing in here blocks, reads a clock or touches a file. Jobs come back through JobDone; until
// then the driver owns nothing but the right to read what a job lent it. Not thread-safe: one
// owner, and payloads in jobs must not be copied on another thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/raft/raft.h"
#include "core/replica/accepted_forwards.h"
#include "core/replica/client_connection.h"
#include "core/replica/commands.h"
#include "core/replica/jobs.h"
#include "core/replica/machine.h"
#include "core/replica/members.h"
#include "core/replica/options.h"
#include "core/replica/repair_mode.h"
#include "core/replica/suspicion_review.h"
#include "core/wire/command.h"
#include "core/wire/peer.h"

namespace raftkv::replica {

// What happened, for logs, metrics and oracles.
struct RoleChanged {
  raft::RoleName role;
  raft::Term term;
  raft::NodeId leader;
};
struct EntryApplied {  // only with Options::record_applied
  raft::Index index;
  raft::Term term;
  uint64_t hash;  // of type and payload
};
struct SnapshotTaken {
  raft::Index index;
  uint64_t size;
  uint64_t digest;
};
struct SnapshotInstalled {
  raft::Index index;
};
struct MembershipApplied {
  raft::Index index;
  raft::ConfState conf;
};
struct PeerRefused {  // a frame that is not for us, or not from whom it says
  raft::NodeId from;
  std::string reason;
};
struct DiskSpace {  // whether the disk is full, when that changes
  bool full;
};
struct RotFound {
  Rot rot;
};
// Rot that peers can repair: the node is going to open its data directory anew.
struct RotToRepair {};
struct SuspicionWaiting {  // said again when it changes
  raft::Suspicion suspicion;
  std::string what;
};
struct SuspicionDropped {  // everybody lost it, or there was no more: it is given up
  raft::Suspicion suspicion;
  std::optional<raft::Suspicion> rest;  // what is still promised
};
struct LostEndFetched {  // from a member that has it, because there is no leader to send it
  raft::NodeId from;
  raft::Index first, last;
};
using Event =
    std::variant<RoleChanged, EntryApplied, SnapshotTaken, SnapshotInstalled, MembershipApplied,
                 PeerRefused, DiskSpace, RepairStarted, RepairWaiting, RepairClosed,
                 SuspicionWaiting, SuspicionDropped, LostEndFetched, RotFound, RotToRepair>;

struct Work {
  struct Frame {
    raft::NodeId to;
    std::string bytes;  // a whole frame (wire/frame.h)
  };
  struct Output {
    ClientId client;
    std::string bytes;
  };
  std::vector<Frame> frames;
  std::vector<Job> jobs;
  std::vector<Output> output;
  // Write what `output` has for them, then close.
  std::vector<ClientId> close;
  // Clients whose reading must stop (true) or may go on (false): they are too far ahead with
  // requests.
  std::vector<std::pair<ClientId, bool>> pause;
  std::vector<Event> events;
  bool members_changed = false;  // members() differs from before: links have to be made or dropped
  // A repair is complete, or rot was found that needs one: this object does nothing any more. The
  // data directory is to be opened anew, by the same process, and a new Replica made of what is
  // found.
  bool restart = false;

  bool empty() const {
    return frames.empty() && jobs.empty() && output.empty() && close.empty() && pause.empty() &&
           events.empty() && !members_changed && !restart;
  }
  // Empty, and keeps its memory for the next turn.
  void Clear() {
    frames.clear();
    jobs.clear();
    output.clear();
    close.clear();
    pause.clear();
    events.clear();
    members_changed = restart = false;
  }
};

// What a node finds on its disk when it starts.
struct Boot {
  raft::Recovered recovered;
  // The log has holes behind `recovered.entries`, or bytes of the snapshot cannot be read (which
  // Create notices, too): the replica repairs that, and does nothing else.
  std::optional<raft::LogDamage> damage;
  bool snapshot_damaged = false;
  uint64_t snapshot_size = 0;
  uint64_t snapshot_digest = 0;
  // Reads up to `length` bytes of the recovered snapshot at `offset`. Called during Create only.
  std::function<absl::StatusOr<std::string>(uint64_t offset, uint64_t length)> read_snapshot;
  // Decides election timeouts and makes identifiers of this run of the process unlike those of
  // every other: never the same twice.
  uint64_t seed = 0;
};

class Replica {
 public:
  // Loads the snapshot and is ready to run, or to be repaired: repairing(). DataLoss when there is
  // something to repair and no other member who could help.
  static absl::StatusOr<std::unique_ptr<Replica>> Create(const Options& options, Boot boot);

  // The bytes of the state machine every founding member starts with (storage::Founding::state).
  static std::string FoundingState(const Members& members, const kv::StoreOptions& options);

  // ---- Inputs ----
  // Monotonic time since any origin, and the wall clock (Unix epoch) that a leader stamps commands
  // with. Time may jump: a long pause counts as at most two ticks, because the node has not
  // listened meanwhile.
  void AdvanceTime(uint64_t now_us, uint64_t wall_ms);

  // The body of one frame from a peer, checked for integrity by FrameReader. Whom it is from and
  // for is checked here.
  void ReceivePeer(absl::string_view body);
  // The same for a driver that has looked into it: what wire::DecodePeer said of the body, and made
  // of it. Entries and bytes are taken out of the message, all else stays as it is.
  void ReceivePeer(const absl::Status& decoded, wire::PeerMessage& message);
  // Frames for this node could not be delivered (no link, link broken, outbox full).
  void PeerUnreachable(raft::NodeId peer);

  // False, and nothing kept, when there are max_clients already. `id` is the driver's and must not
  // be used again.
  bool ClientOpened(ClientId id);
  void ClientBytes(ClientId id, absl::string_view bytes);
  void ClientWritten(ClientId id, uint64_t bytes);  // so many bytes of its output have left
  // It sends no more and still wants its answers: it is in Work::close when it has them.
  void ClientFinished(ClientId id);
  void ClientClosed(ClientId id);

  void JobDone(JobResult result);

  // For the statistics only: carrying out what one TakeWork gave, and what led to it, took so long.
  void TurnTook(uint64_t us) { longest_turn_us_ = std::max(longest_turn_us_, us); }

  // Refuses new requests, hands leadership over when leading. The driver goes on turning until
  // Stopped() or until it has had enough.
  void Stop();
  bool Stopped()
      const;  // Stop was called, no leadership is held and every accepted request is answered

  // ---- Output ----
  Work TakeWork() {
    Work work;
    TakeWork(&work);
    return work;
  }
  // The same, in the place of what is in `work`, whose memory serves a later turn: a driver that
  // gives the same object each time asks the allocator for little.
  void TakeWork(Work* work);

  // When AdvanceTime wants to be called next at the latest.
  uint64_t next_deadline_us() const { return next_tick_us_; }

  // ---- Observers ----
  const raft::Raft& raft() const { return raft_; }
  const Machine& machine() const { return machine_; }
  uint64_t snapshot_bytes() const { return current_snapshot_.size; }  // of the current one
  const Members& members() const { return machine_.members(); }
  const Options& options() const { return options_; }
  // Not OK once the disk has failed or the log holds what this binary cannot execute: nothing is
  // acknowledged any more and the process must end with this error.
  const absl::Status& health() const { return health_; }
  // It takes no part in anything, answers what peers ask about the log, and refuses clients, until
  // Work::restart. raft() is then what could be read in front of the first hole, and stands still.
  bool repairing() const { return repair_mode_ != nullptr; }
  NodeStatus Status() const;

 private:
  // Who asked: a client of this node, or another node on behalf of a client of its own.
  struct ClientOrigin {
    ClientId client;
    uint64_t slot;
    ReplyShape shape;
  };
  struct PeerOrigin {
    raft::NodeId node;
    uint64_t forward_id;
  };
  using Origin = std::variant<ClientOrigin, PeerOrigin>;

  // A request on its way. `command` is the log payload it becomes: a kv command, or a membership
  // change.
  struct Pending {
    enum class Kind : uint8_t { kWrite, kMembership, kRead };
    // What may be said when patience ends: a parked request and a read are definitely not applied,
    // the others may be.
    enum class Stage : uint8_t { kParked, kProposed, kForwarded };
    Origin origin;
    Kind kind = Kind::kWrite;
    Stage stage = Stage::kParked;
    raft::Payload command;
    uint64_t deadline_us = 0;
    bool in_session = false;  // running it twice does nothing the second time
    // An earlier copy was sent to a leader that did not answer, so nothing said about a later copy
    // is definite for the command.
    bool repeated = false;
    bool started = false;  // its turn on its connection has come
  };
  using PendingId = uint64_t;
  struct ProposedEntry {
    PendingId pending;
    raft::Term term;
    bool applied = false;  // what was asked for is: this is the entry behind it (NoteChange)
  };
  // Reads that share a read point. Any answer to any of its questions will do: each was asked after
  // the last of these reads had come.
  struct ReadBatch {
    std::vector<PendingId> reads;
    std::vector<uint64_t> contexts;  // of its questions
    uint64_t asked_us = 0;           // the last of them
  };
  // What waits for the ticket that is out.
  struct AfterPersist {
    uint64_t ticket = 0;
    raft::Messages messages;
    raft::Entries committed;
    std::optional<raft::Index> snapshot;
  };
  enum class JobKind : uint8_t {
    kPersist,
    kLocalSnapshot,
    kReceivedSnapshot,
    kSendChunk,
    kHousekeeping,
    kServePiece,
    kRepair,
    kScrub
  };
  struct JobOwner {
    JobKind kind;
    raft::NodeId peer = raft::kNoNode;  // kSendChunk, kServePiece
    // Which one: kSendChunk, kReceivedSnapshot, kLocalSnapshot, kServePiece.
    uint64_t transfer = 0;
  };

  struct Client;

  Replica(const Options& options, raft::Raft raft, Machine machine, const Boot& boot);

  // replica.cc: the loop
  void Parse();
  void AskForReadPoints();
  bool AskForReadPoint(ReadBatch& batch);
  void AskAgainForReadPoints();
  void AskAgainForRefusedReads();
  std::vector<PendingId> TakeReads(uint64_t context);
  void Persist(raft::Ready& ready);
  void Send(raft::Messages& messages);
  void Apply(absl::Span<const raft::Entry> entries);
  void ApplyCommand(const raft::Entry& entry);
  void ApplyMembership(const raft::Entry& entry);
  void NoteChange(const raft::Entry& change);
  void Reply();
  void NoticeRole();
  void NoticeLeadership();
  void Tick();
  void GoOn(const JobOwner& owner, const JobResult& result);
  void PersistDone(const JobResult& result);
  void LogFoundNoSpace();
  void NoticeSpace(const JobResult& result);
  void TickDisk();
  bool CommitsStand() const;
  bool SnapshotReadHangs() const;
  const raft::Progress* BestSuccessor() const;
  uint64_t NewId() { return ++last_id_; }
  uint64_t StartJob(JobOwner owner, JobBody body);  // returns its id
  void SendFrame(raft::NodeId to, wire::PeerBody body);
  wire::Envelope EnvelopeTo(raft::NodeId to) const;
  void Fail(absl::Status status);

  // requests.cc: from admission to answer
  void Admit(ClientConnection& client, uint64_t slot, Request& request);
  void AdmitData(const Origin& origin, const DataRequest& request);
  void AdmitMembership(const Origin& origin, const MemberRequest& request);
  void AdmitTransfer(ClientConnection& client, uint64_t slot, const TransferRequest& request);
  PendingId AddPending(Origin origin, Pending::Kind kind, raft::Payload command);
  void TakeTurn(const Origin& origin, PendingId id);
  void AdvanceTurn(Client& client);
  void AdvanceTurns();
  void LoseForwards(raft::NodeId peer);
  void RepeatForwards();
  void RepeatLostForwards();
  void Route(PendingId id);
  void Forward(uint64_t forward_id, bool repeated);
  void ProposeHere(PendingId id, Pending& pending);
  std::string MembershipFault(const raft::MembershipChange& change) const;
  std::string WhyNotReady(const raft::MembershipChange& change,
                          absl::Span<const raft::NodeId> promoted) const;
  void RouteParked();
  void ExpirePending();
  void ResolveIndex(raft::Index index, raft::Term term, const kv::Result* result);
  void ResolveThroughSnapshot(raft::Index index);
  void ServeReads();
  bool CannotApply(raft::Index index) const;
  void ServeRead(PendingId id);
  void Finish(PendingId id, const kv::Result& result);
  void FinishMembership(PendingId id, raft::Index index);
  // Definitely not applied, now or later.
  void Refuse(PendingId id, wire::ForwardReason reason, absl::string_view text);
  void Unknown(PendingId id, wire::ForwardReason reason, absl::string_view text);
  Pending Take(PendingId id);
  void OnForward(raft::NodeId from, const wire::ForwardRequest& request);
  void OnForwardReply(raft::NodeId from, const wire::ForwardReply& reply);
  void AnswerForward(const PeerOrigin& origin, wire::ForwardOutcome outcome,
                     wire::ForwardReason reason, absl::string_view text);
  void AnswerApplied(const PeerOrigin& origin, const kv::Result& result);
  ClientConnection* FindClient(ClientId id);
  void Touch(ClientId id) { touched_clients_.push_back(id); }

  // snapshots.cc: taking, sending, receiving
  void MaybeTakeSnapshot(const raft::Entry& entry);
  bool SendsPreviousSnapshot() const;
  void LocalSnapshotJob(JobBody body);
  void LocalSnapshotInTime();
  void LocalSnapshotStep(const JobResult& result);
  void SnapshotBecameCurrent(const raft::SnapshotMeta& meta, const FinishedSnapshot& finished);
  void StartSending(raft::NodeId peer, raft::Term term, const raft::SnapshotMeta& meta);
  void ReadNextChunk(raft::NodeId peer);
  void ReadNextChunkInTime(raft::NodeId peer);
  void ChunkRead(raft::NodeId peer, uint64_t transfer, const JobResult& result);
  void OnSnapshotAck(raft::NodeId from, const wire::SnapshotAck& ack);
  void EndSending(raft::NodeId peer, bool delivered);
  void FailSending(raft::NodeId peer);
  void TickSending();
  void OnSnapshotChunk(raft::NodeId from, wire::SnapshotChunk& chunk);
  void ReceiveStep(const JobResult& result);
  void AckChunk(wire::SnapshotAckStatus status);
  void FeedReceived(absl::string_view bytes);
  void DropReceived();
  void TickReceiving();
  void Install(raft::Index index);

  // scrubbing.cc: looking for rot
  void TickScrub();
  void ScrubStep(const JobResult& result);
  void GoToRepair();
  void StopServing();

  // repairing.cc: a damaged disk, this node's or a peer's
  static absl::StatusOr<bool> LoadAtStart(const Options& options, const Boot& boot,
                                          Machine* machine);
  absl::Status EnterRepair(std::optional<raft::LogDamage> damage, bool snapshot_damaged);
  void Mend();
  void OnEntryQuery(raft::NodeId from, const wire::EntryQuery& query);
  void OnEntryAnswer(raft::NodeId from, wire::EntryAnswer& answer);
  void OnSnapshotPull(raft::NodeId from, const wire::SnapshotPull& pull);
  void PieceRead(uint64_t number, const JobResult& result);
  void ReviewSuspicion();
  std::string RepairText() const;

  struct LocalSnapshot {
    uint64_t number = 0;
    raft::SnapshotMeta meta;
    MachineSnapshotWriter writer;
    uint64_t state_bytes = 0;       // about what there is to write
    uint64_t offset = 0;            // written
    uint64_t log_bytes = 0;         // applied since it was begun
    uint64_t next_us = 0;           // when the next step is due at its own pace
    std::optional<JobResult> done;  // a step that was carried out, while the next one waits
    bool writing = true;            // then finishing, then switching
    std::optional<FinishedSnapshot> finished;
  };
  struct Sending {
    raft::SnapshotMeta meta;
    raft::Term term = 0;  // that its sender leads
    uint64_t transfer = 0;
    uint64_t offset = 0;  // acknowledged
    uint64_t size = 0;
    uint64_t digest = 0;
    bool reading = false;         // a chunk is being read,
    uint64_t reading_offset = 0;  // this one,
    uint64_t reading_us = 0;      // since then
    uint64_t sent_us = 0;         // when the chunk at `offset` was sent last
    uint64_t next_us = 0;         // when the pace allows the next one
    bool paced = false;           // it waits for that
    uint32_t resends = 0;
  };
  struct Receiving {
    raft::NodeId from = raft::kNoNode;
    raft::Term term = 0;
    uint64_t transfer = 0;
    raft::SnapshotMeta meta;
    uint64_t size = 0;
    uint64_t digest = 0;
    uint64_t offset = 0;   // written
    uint64_t writing = 0;  // bytes in the job that is out
    enum class Stage : uint8_t {
      kBeginning,
      kIdle,
      kWriting,
      kFinishing,
      kDone
    } stage = Stage::kBeginning;
    std::string
        first_bytes;  // of the chunk that began the transfer, written once BeginSnapshot is done
    // The state that the bytes so far make, null once it is installed or not needed; and why they
    // make none.
    std::unique_ptr<MachineSnapshotReader> reader;
    absl::Status state;
  };

  // A piece of a snapshot on its way to a peer that asked for it.
  struct Serving {
    raft::NodeId peer = raft::kNoNode;
    wire::SnapshotPiece piece;
  };

  Options options_;
  raft::Raft raft_;
  Machine machine_;
  kv::SnapshotPoints snapshot_points_;
  absl::Status health_;
  bool stopping_ = false;

  uint64_t now_us_ = 0;
  uint64_t wall_ms_ = 0;
  uint64_t next_tick_us_ = 0;
  bool clock_started_ = false;
  uint64_t last_stamp_ms_ = 0;  // a leader's stamps never run backwards
  uint64_t last_id_;  // ids of jobs, reads, forwards and transfers: their upper half is unique to
                      // this run

  Work work_;
  wire::PeerEncoder peer_encoder_;
  wire::CommandEncoder command_encoder_;
  std::map<uint64_t, JobOwner> jobs_;
  AfterPersist after_persist_;
  uint64_t longest_turn_us_ = 0;
  bool disk_full_ = false;
  uint64_t reserve_job_ = 0;       // the last one
  uint64_t retry_space_us_ = 0;    // while disk_full_: when to ask again whether there is space,
  uint64_t handed_over_us_ = 0;    // and when leadership was handed over last,
  raft::Term handed_over_in_ = 0;  // in this term; 0: not since the disk is full
  raft::Index noticed_commit_ = 0;
  uint64_t commit_moved_us_ = 0;  // or there was nothing to commit

  // A client that pipelines sees its own requests in order, as with Redis: a read begins when the
  // writes before it are answered, a write when the reads before it are. Writes follow writes and
  // reads follow reads without waiting.
  struct Client {
    std::unique_ptr<ClientConnection> connection;
    uint32_t reads = 0;   // begun and not answered
    uint32_t writes = 0;  // the same
    std::deque<PendingId> waiting;
  };
  struct Forwarded {
    PendingId pending;
    raft::NodeId to;
    raft::Term term;
    bool lost = false;  // it or its answer may be: to be sent once more, as the same one
  };

  std::map<ClientId, Client> clients_;
  std::vector<ClientId> turns_;            // clients whose next request may be able to begin
  std::vector<ClientId> touched_clients_;  // with new input or new replies
  std::vector<ClientId> seen_to_;          // those that Parse or Reply is about
  absl::flat_hash_set<ClientId> paused_clients_;

  absl::flat_hash_map<PendingId, Pending> pending_;
  std::deque<PendingId> by_age_;  // every pending request, oldest first; finished ones are skipped
  uint64_t waiting_bytes_ = 0;
  PendingId last_pending_ = 0;
  std::vector<PendingId> parked_;
  std::multimap<raft::Index, ProposedEntry> proposed_;
  std::map<uint64_t, Forwarded> forwarded_;  // by forward id
  bool forwards_lost_ = false;               // some of them
  uint64_t next_repeat_us_ = 0;              // when these may be sent again
  std::vector<PendingId> new_reads_;         // no read point asked for yet
  std::vector<PendingId> refused_reads_;     // their read point was refused
  std::vector<ReadBatch> read_batches_;      // read point asked for; a few, oldest first
  std::multimap<raft::Index, PendingId> pointed_reads_;  // wait until the index is applied

  // Forwarded requests this node accepted while leading `led_term_`, noted as what they last waited
  // as.
  raft::Term led_term_ = 0;
  raft::Term boot_term_ = 0;  // an earlier run of this process may have led terms up to this
  AcceptedForwards accepted_forwards_;

  FinishedSnapshot current_snapshot_;   // of raft_.offered_snapshot()
  FinishedSnapshot received_snapshot_;  // of the one received last, until it is switched to
  std::optional<LocalSnapshot> local_snapshot_;
  // Of snapshots, one after the other.
  static constexpr uint32_t kMostPointsLeftOut = 8;
  uint32_t points_left_out_ = 0;
  std::map<raft::NodeId, Sending> sending_;
  std::map<raft::NodeId, uint64_t> offer_again_us_;  // after a transfer that failed
  std::optional<Receiving> receiving_;

  ScrubCounters scrubbed_;
  uint64_t next_scrub_us_ = 0;  // 0: not decided yet
  bool scrub_out_ = false;
  bool rot_to_repair_ = false;
  uint64_t next_hand_over_us_ = 0;  // while rot_to_repair_
  std::unique_ptr<RepairMode> repair_mode_;
  SuspicionReview suspicion_review_;
  std::string suspicion_waits_for_;
  std::map<uint64_t, Serving> serving_;
  // The snapshot before the current one, which can still be read: a peer may be fetching it.
  SnapshotFetch::Target previous_snapshot_;
  RoleChanged last_role_{raft::RoleName::kFollower, 0, raft::kNoNode};
};

}  // namespace raftkv::replica
