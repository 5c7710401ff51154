// The consensus core: one node of one Raft group as a pure state machine.
//
// It does no I/O, reads no clock, takes no lock and logs nothing. Inputs are methods; what is to be
// done about them is collected in a Ready (ready.h), which the driver takes and carries out. A Raft
// is a value: copying it copies the node.
//
//   for (;;) {
//     raft.Step(message) / raft.Propose(...) / raft.Tick() / ...       any number of inputs
//     Ready ready = raft.TakeReady();        then carry it out, in the order ready.h says
//   }
//
// Semantics are those of the Raft paper and of Ongaro's thesis; where etcd's library has a
// documented rule for something the paper leaves open, they are that library's, because its
// recorded runs check this code. Not thread-safe: one owner.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/raft/configuration.h"
#include "core/raft/damage.h"
#include "core/raft/log.h"
#include "core/raft/membership.h"
#include "core/raft/message.h"
#include "core/raft/options.h"
#include "core/raft/outcome.h"
#include "core/raft/progress.h"
#include "core/raft/quorum.h"
#include "core/raft/random.h"
#include "core/raft/reads.h"
#include "core/raft/ready.h"
#include "core/raft/types.h"

namespace raftkv::raft {

// What a node finds on its disk. All of it must be durable.
struct Recovered {
  HardState hard_state;
  // Index 0: none. The state machine must hold exactly this state. The configuration that founds a
  // cluster comes in a snapshot of index 1 or more: a node that joins later with nothing must be
  // sent it, for replaying the membership changes onto nothing gives another configuration.
  SnapshotMeta snapshot;
  Entries entries;  // contiguous, the first at snapshot.index + 1
  // The highest commit index found; raised to the snapshot's and capped at the last entry.
  Index commit = 0;
  // What the disk lost behind the last entry. Until the log is at least as up to date, this node
  // votes as if it still had it, and does not campaign. A single voter has nobody to ask: an end
  // that was proven to be durable is DataLoss, any other counts as never written.
  std::optional<Suspicion> suspicion;
};

enum class RoleName : uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

// When the outcome is kOk, where the entry went: the proposal succeeded if and only if the entry
// that is applied at `index` has this term.
struct Proposed {
  Outcome outcome = Outcome::kOk;
  Term term = 0;
  Index index = 0;
};

class Raft {
 public:
  // InvalidArgument for impossible options, DataLoss when `recovered` contradicts itself. `seed`
  // decides the election timeouts.
  static absl::StatusOr<Raft> Create(const Options& options, Recovered recovered, uint64_t seed);

  // ---- Inputs ----
  void Tick();
  // So many ticks have passed in which this node did not run (its process was stopped). Leases end
  // with time, whoever counts it; no timer goes on, because nobody was listening.
  void SkipTicks(uint64_t count) { now_ += count; }
  Outcome Step(Message&& message);  // takes the entries out of it
  Outcome Step(const Message& message) { return Step(Message(message)); }
  Proposed Propose(Payload command);
  Proposed ProposeMembership(const MembershipChange& change);
  // A linearizable read point for `context`, in a later Ready (reads or failed_reads), unless
  // refused at once. A forwarded read can also be lost without an answer: the caller limits its own
  // patience. Contexts must not repeat, also not after a restart.
  Outcome RequestRead(uint64_t context);
  Outcome TransferLeadership(NodeId target);
  Outcome Campaign();  // start an election now; with lease reads not while a lease may run
  Outcome ForgetLeader();
  void StepDown();  // it leads, and its driver knows that it cannot do what a leader does
  // The transport lost something for `peer` / a snapshot sent to `peer` arrived whole or did not.
  Outcome ReportUnreachable(NodeId peer);
  Outcome ReportSnapshot(NodeId peer, bool delivered);
  // All members together have given up what this node's disk lost: none of them has it, and it was
  // never acknowledged, or an operator says so. Whoever calls this answers for that.
  void DropSuspicion() { suspicion_.reset(); }
  // The same for its end: `rest` is still promised, which is less than before.
  void LowerSuspicion(const Suspicion& rest) {
    suspicion_ = rest;
    EndSuspicion();
  }
  // Entries that follow this node's last one in the log of another member that has the suspicion's
  // own entry, (index, term), while that is in force and no leader is known: this node had them, or
  // may have had, and lost them. kIgnored when it is not so (any more); kMalformed when they cannot
  // be these. That the other log has that entry is up to the caller.
  Outcome RegainLostEnd(Entries&& entries);

  // ---- Completions ----
  void Persisted(uint64_t ticket);  // the ticket that is out
  // The same when the disk has no space: term and vote are durable, the rest of the job is not. Of
  // send_after_persist, everything but what VouchesForLog may be sent, and what it vouched for must
  // never be. Tickets hold only term and vote from here on, and appends of a leader are as good as
  // lost, until the log has been written after RetryLog.
  void PersistedWithoutLog(uint64_t ticket);
  void RetryLog();  // the next ticket tries to write the log; no effect unless log_refused
  // The membership entry at `index` is being applied: switches to its configuration and returns it.
  // In order, before Applied(index).
  const ConfState& ApplyMembership(Index index);
  // Every entry up to `index`, or the snapshot at `index`, is in the state machine.
  void Applied(Index index);
  // `meta` names the newest snapshot that may be offered to followers; `meta.index` is at most the
  // applied index.
  void SnapshotAvailable(const SnapshotMeta& meta);
  void Compact(Index through);  // at most the applied index and the offered snapshot's index

  // ---- Output ----
  bool HasReady() const;
  Ready TakeReady();

  // ---- Observers ----
  NodeId id() const { return options_.id; }
  Term term() const { return hard_.term; }
  NodeId vote() const { return hard_.vote; }
  HardState hard_state() const { return hard_; }
  NodeId leader() const { return leader_; }  // kNoNode when unknown
  // Ticks since it heard its leader, voted or campaigned; since it last asked who hears it, if it
  // leads.
  uint32_t election_elapsed() const { return election_elapsed_; }
  uint64_t ticks() const { return now_; }  // that have passed, those skipped included
  RoleName role() const { return static_cast<RoleName>(role_.index()); }
  bool is_leader() const { return role() == RoleName::kLeader; }
  Index commit() const { return commit_; }
  Index applied() const { return applied_; }
  Index handed_out() const { return handed_out_; }  // committed entries given out in a Ready so far
  Index durable() const { return durable_; }        // entries up to here are on this node's disk
  const Log& log() const { return log_; }
  const ConfState& conf() const { return conf_; }
  const Options& options() const { return options_; }
  bool ticket_out() const { return ticket_out_; }
  bool log_refused() const { return log_refused_; }  // see PersistedWithoutLog
  bool committed_in_term() const { return log_.Has(commit_, hard_.term); }
  // A leader with lease reads: a quorum was loyal to it so lately that nobody else leads yet, as
  // long as clocks keep what ReadMode::kLease asks of them.
  bool holds_lease() const;
  const ProgressTable* progress() const;  // null unless leader
  // Of a leader: `node` is itself, or a member that has answered within the last election timeout.
  bool HearsFrom(NodeId node) const;
  // Of a leader: `node` has all entries that there were one to two election timeouts ago, or when
  // its leadership began (thesis, section 4.2.1: what is new reaches it fast enough for a voter).
  bool KeepsUp(NodeId node) const;
  NodeId transfer_target() const;   // kNoNode when no transfer is under way
  uint64_t transfer_began() const;  // as ticks() was; 0 when none is under way
  // Of a leader, otherwise 0: the newest round of heartbeats that a quorum has answered, and the
  // tick from which its lease runs.
  uint64_t confirmed_round() const;
  uint64_t lease_start() const;
  const SnapshotMeta& offered_snapshot() const { return offer_; }
  bool installing_snapshot() const { return installing_.has_value(); }
  // What this node may have acknowledged and lost; ends with the write that makes up for it, when
  // its leader has sent it again.
  const std::optional<Suspicion>& suspicion() const { return suspicion_; }

  // Test hook: replaces the election timeout in force until the next one is drawn.
  void SetElectionTimeout(uint32_t ticks) { election_timeout_ = ticks; }

 private:
  // What only one role needs lives in that role and ends with it. The known leader, the election
  // timer and the outbox do not.
  struct Follower {};
  class VoteTally {
   public:
    void Record(NodeId from, bool granted);  // the first answer of each node counts
    VoteResult Result(const ConfState& conf) const;

   private:
    std::vector<std::pair<NodeId, bool>> answers_;
  };
  struct PreCandidate {
    VoteTally votes;
  };
  struct Candidate {
    VoteTally votes;
  };
  // Appends and heartbeats queued for a peer since the last Ready, so that the next can be merged
  // into them.
  struct QueuedFor {
    NodeId peer = kNoNode;
    std::optional<size_t> append;  // position in send_now_
    uint64_t append_bytes = 0;
    std::optional<size_t> heartbeat;
  };
  struct Leader {
    ProgressTable progress;
    Index last_membership = 0;  // no membership change is proposed until this index is applied
    uint64_t uncommitted_bytes = 0;
    NodeId transfer_target = kNoNode;
    uint64_t transfer_began = 0;  // tick
    // A TimeoutNow is under way, and may arrive long after the transfer was given up.
    bool offered_leadership = false;
    uint32_t heartbeat_elapsed = 0;
    // Its last entry when the election timeout before the present one began, and when this one did.
    Index last_before = 0;
    Index last_now = 0;
    ReadQueue reads;
    std::vector<QueuedFor> queued;
  };
  using Role = std::variant<Follower, PreCandidate, Candidate, Leader>;

  // The core's answers to itself wait for the disk like everybody's.
  struct OwnVote {
    bool pre_vote;
    Term term;
  };
  struct OwnAppend {
    Term term;
    Index index;
  };
  using OwnAnswer = std::variant<OwnVote, OwnAppend>;

  struct Installing {
    SnapshotMeta meta;
    uint64_t ticket = 0;  // 0 until the switch is handed out
    bool persisted = false;
  };

  explicit Raft(const Options& options, uint64_t seed);

  // raft.cc: roles and dispatch
  Leader* leading() { return std::get_if<Leader>(&role_); }
  const Leader* leading() const { return std::get_if<Leader>(&role_); }
  void EnterTerm(Term term);
  void BecomeFollower(Term term, NodeId leader);
  void BecomeLeader();
  void AbandonReads();
  Outcome StepHigherTerm(const Message& message, bool& done);
  Outcome StepLowerTerm(const Message& message);
  bool HearFromLeader(const Message& message);
  template <typename Body>
  Body& Queue(Messages& list, NodeId to, Term term);
  template <typename Body>
  void Send(NodeId to, Body body);
  template <typename Body>
  void SendInTerm(NodeId to, Term term, Body body);
  template <typename Body>
  void SendAfterPersist(NodeId to, Term term, Body body);

  void InferCommit();
  bool IsAlone(std::vector<NodeId> (*of)(const ConfState&)) const;

  // election.cc
  enum class CampaignKind : uint8_t { kPreVote, kElection, kTransfer };
  void TickElection();
  CampaignKind UsualCampaign() const;
  Outcome StartCampaign(CampaignKind kind);
  void RunCampaign(CampaignKind kind);
  bool Promotable() const;
  bool MembershipUnapplied() const;
  bool OwnVotePending() const;
  Outcome On(const Message& message, const VoteRequest& request);
  Outcome On(const Message& message, const VoteResponse& response);
  Outcome On(const Message& message, const TimeoutNow&);
  void RejectVote(NodeId candidate, bool pre_vote);
  void LearnCommit(Index commit, Term term);
  void CountVote(NodeId from, bool pre_vote, bool granted);

  // follower.cc
  Outcome On(const Message& message, AppendRequest& request);
  Outcome On(const Message& message, const Heartbeat& heartbeat);
  Outcome On(const Message& message, const InstallSnapshot& install);
  Outcome AcceptAppend(NodeId leader, AppendRequest& request);
  void AnswerAppend(NodeId leader, const AppendResponse& answer);
  bool MayFollow(Index index, Term term, const Entries& entries) const;
  bool Restore(const SnapshotMeta& meta);
  void TruncateLog(Index after);

  // leader.cc
  void TickLeader(Leader& leader);
  Proposed AppendProposals(absl::Span<Entry> entries);
  Outcome CheckMembership(const MembershipChange& change) const;
  bool AppendOwn(Leader& leader, absl::Span<Entry> entries);
  Outcome On(const Message& message, const AppendResponse& response);
  Outcome On(const Message& message, const HeartbeatResponse& response);
  Outcome On(const Message& message, ForwardedProposal& forwarded);
  Outcome On(const Message& message, const ForwardedTransfer& forwarded);
  void OnAccepted(Leader& leader, Progress& peer, Index index);
  bool AdvanceCommit(Leader& leader);
  void BroadcastAppend(Leader& leader);
  bool SendAppend(Leader& leader, Progress& peer, bool even_if_empty);
  bool SendSnapshot(Progress& peer);
  bool ExtendQueuedAppend(Leader& leader, Progress& peer, bool room);
  bool MayTryAgain(Progress& peer) const;
  void BroadcastHeartbeat(Leader& leader);
  void SwitchConfiguration(ConfigurationUpdate update);
  QueuedFor& QueuedTo(Leader& leader, NodeId peer);
  void OfferLeadership(Leader& leader, NodeId target);
  void EndTransfer(Leader& leader);
  void LeaveJointIfDue();

  // reads.cc
  Outcome On(const Message& message, const ReadIndexRequest& request);
  Outcome On(const Message& message, const ReadIndexResponse& response);
  Outcome LeaderRead(NodeId from, uint64_t context);
  void StartWaitingReads(Leader& leader);
  void ConfirmReads(Leader& leader);
  void AnswerRead(NodeId from, uint64_t context, Index index);

  // ready.cc
  bool NeedsTicket() const;
  void CutJob(PersistJob& job);
  void EndTicket(uint64_t ticket);
  void EndSuspicion();
  Index HandOutLimit() const;

  Options options_;
  Random random_;

  HardState hard_;
  Log log_;
  ConfState conf_;
  Index commit_ = 0;
  Index applied_ = 0;
  Index handed_out_ = 0;         // committed entries up to here were given to the driver
  uint64_t applying_bytes_ = 0;  // handed out and not yet applied

  Role role_;
  NodeId leader_ = kNoNode;
  uint64_t now_ = 0;  // ticks seen, and those skipped
  uint32_t election_elapsed_ = 0;
  uint32_t election_timeout_ = 0;
  uint32_t election_delay_ = 0;  // on top of the timeout, for the rank; see Options
  // A term is durable, so that a restart would know that it is one.
  bool knows_restarts_ = false;
  // No vote is given for so long: a lease given before a restart may still run.
  uint32_t silent_ticks_ = 0;

  // The disk as the core knows it: what its log holds once the ticket that is out, if any, is
  // written.
  TermRuns disk_;
  HardState disk_hard_;
  Index written_ = 0;  // entries up to here are in disk_ and in log_ alike
  Index durable_ = 0;  // the same for the disk without the ticket that is out
  uint64_t last_ticket_ = 0;
  bool ticket_out_ = false;
  bool log_refused_ = false;
  bool retry_log_ = false;                     // in the next ticket, although it was refused
  bool ticket_with_log_ = false;               // the ticket that is out may write the log,
  TermRuns disk_before_;                       // and this is disk_ when it finds no space
  uint32_t ticket_ticks_ = 0;                  // age of the ticket that is out
  std::vector<OwnAnswer> own_answers_;         // wait for the next ticket
  std::vector<OwnAnswer> ticket_own_answers_;  // belong to the ticket that is out

  SnapshotMeta offer_;
  std::optional<Installing> installing_;

  std::optional<Suspicion> suspicion_;
  // Appends of this term's leader have shown that the log is like its own up to here.
  Index matched_ = 0;

  Messages send_now_;
  Messages send_after_persist_;
  ReadPoints reads_;
  FailedReads failed_reads_;
};

// A body is made in its place: moving a MessageBody means asking which one it is. That is also why
// a list begins with room for a broadcast. Whatever is sent for every entry is filled in there,
// too: a copy right after it was put together waits until the processor has written it.
inline constexpr size_t kUsualMessages = 4;

template <typename Body>
Body& Raft::Queue(Messages& list, NodeId to, Term term) {
  if (list.capacity() == 0) list.reserve(kUsualMessages);
  return std::get<Body>(list.emplace_back(options_.id, to, term, std::in_place_type<Body>).body);
}

template <typename Body>
void Raft::SendInTerm(NodeId to, Term term, Body body) {
  Queue<Body>(send_now_, to, term) = std::move(body);
}

template <typename Body>
void Raft::Send(NodeId to, Body body) {
  SendInTerm(to, hard_.term, std::move(body));
}

template <typename Body>
void Raft::SendAfterPersist(NodeId to, Term term, Body body) {
  Queue<Body>(send_after_persist_, to, term) = std::move(body);
}

}  // namespace raftkv::raft
