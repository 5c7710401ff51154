// Construction, roles, and who may speak: the checks of sender and term that come before any
// message is looked at.
#include "core/raft/raft.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"

namespace raftkv::raft {

absl::string_view OutcomeText(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOk:
      return "ok";
    case Outcome::kForwarded:
      return "forwarded to the leader";
    case Outcome::kIgnored:
      return "ignored";
    case Outcome::kNotForMe:
      return "addressed to another node";
    case Outcome::kUnknownPeer:
      return "not a member of the configuration";
    case Outcome::kMalformed:
      return "malformed message";
    case Outcome::kNoLeader:
      return "no leader";
    case Outcome::kNotLeader:
      return "not the leader";
    case Outcome::kNotMember:
      return "removed from the configuration";
    case Outcome::kTransferring:
      return "leadership is being transferred";
    case Outcome::kQuotaExceeded:
      return "too many uncommitted bytes";
    case Outcome::kTooManyReads:
      return "too many pending reads";
    case Outcome::kLearner:
      return "the target is a learner";
    case Outcome::kAlreadyLeader:
      return "already the leader";
    case Outcome::kMembershipPending:
      return "another membership change is pending";
    case Outcome::kMembershipJoint:
      return "the joint configuration must be left first";
    case Outcome::kMembershipNotJoint:
      return "not in a joint configuration";
    case Outcome::kMembershipInvalid:
      return "the configuration does not allow this change";
    case Outcome::kNotPromotable:
      return "not a voter";
    case Outcome::kMembershipUnapplied:
      return "a membership change is not applied yet";
    case Outcome::kSnapshotPending:
      return "a snapshot is being installed";
    case Outcome::kSuspicious:
      return "its disk lost the end of its log";
    case Outcome::kLeaseReads:
      return "lease reads are enabled";
  }
  return "unknown outcome";
}

Raft::Raft(const Options& options, uint64_t seed)
    : options_(options), random_(Random::Stream(seed, "election timeout")) {}

absl::StatusOr<Raft> Raft::Create(const Options& options, Recovered recovered, uint64_t seed) {
  if (absl::Status status = ValidateOptions(options); !status.ok()) return status;
  if (const absl::string_view fault = ConfStateFault(recovered.snapshot.conf); !fault.empty()) {
    return absl::DataLossError(absl::StrCat("recovered configuration: ", fault));
  }
  Raft raft(options, seed);
  raft.hard_ = recovered.hard_state;
  raft.conf_ = recovered.snapshot.conf;
  raft.log_.Reset(recovered.snapshot.index, recovered.snapshot.term);
  for (Entry& entry : recovered.entries) {
    if (entry.index != raft.log_.last() + 1 || entry.term < raft.log_.last_term()) {
      return absl::DataLossError(absl::StrCat("recovered log: entry (", entry.index, ", term ",
                                              entry.term, ") follows (", raft.log_.last(),
                                              ", term ", raft.log_.last_term(), ")"));
    }
    raft.log_.Append(std::move(entry));
  }
  // A term is written before what is of it. Only the snapshot that founds a node is of term 1
  // before there was any.
  const Term founded = recovered.entries.empty() ? 1 : 0;
  const auto older_than = [&](absl::string_view what, Term term) {
    return absl::DataLossError(absl::StrCat("term and vote are older than the log: ", what, term,
                                            " is above the node's own, ", raft.hard_.term));
  };
  if (raft.log_.last_term() > std::max(raft.hard_.term, founded)) {
    return older_than("its term ", raft.log_.last_term());
  }
  if (recovered.suspicion && recovered.suspicion->term > std::max(raft.hard_.term, founded)) {
    return older_than("the term of its lost end ", recovered.suspicion->term);
  }
  raft.commit_ = std::min(std::max(recovered.commit, recovered.snapshot.index), raft.log_.last());
  raft.InferCommit();
  raft.applied_ = raft.handed_out_ = recovered.snapshot.index;
  raft.offer_ = std::move(recovered.snapshot);
  raft.disk_ = raft.log_.terms();
  raft.disk_hard_ = raft.hard_;
  raft.written_ = raft.durable_ = raft.log_.last();
  raft.suspicion_ = recovered.suspicion;
  raft.EndSuspicion();
  if (raft.suspicion_ && raft.IsAlone(AllVoters)) {
    if (raft.suspicion_->evidence != Suspicion::Evidence::kProven) {
      raft.suspicion_.reset();
    } else if (raft.IsAlone(AllMembers)) {
      return absl::DataLossError(
          absl::StrCat("entries up to (", raft.suspicion_->index, ", term ", raft.suspicion_->term,
                       ") were durable and the disk has lost those behind (", raft.log_.last(),
                       ", term ", raft.log_.last_term(),
                       "); no other voter has them: restore this node's disk from a copy, "
                       "or give the entries up"));
    }
  }
  raft.knows_restarts_ = raft.hard_.term > 0;
  if (options.read_mode == ReadMode::kLease && raft.knows_restarts_)
    raft.silent_ticks_ = options.election_ticks;
  raft.BecomeFollower(raft.hard_.term, kNoNode);
  raft.election_delay_ = options.election_rank * options.election_ticks;
  return raft;
}

// What a disk has lost may be how far entries are known to be committed, though they are there, or
// have been got from another node. Without that a node may campaign in a configuration that is
// history, and win. But no log gets a change of the members before the one in front of it has been
// applied by the leader: so of all changes but the last it is known.
void Raft::InferCommit() {
  if (!options_.validate_membership) return;
  bool later = false;
  for (Index index = log_.last(); index > commit_; --index) {
    if (log_.At(index).type != EntryType::kMembership) continue;
    if (later) {
      commit_ = index;
      return;
    }
    later = true;
  }
}

// Whether this node is the only one of its kind (AllVoters, AllMembers) in the configuration of the
// last index that is known to be committed, and in those that the entries behind it lead to. Nobody
// else can then have been asked for a vote or for an acknowledgement, or can be now, unless what
// was lost held the change that made a second voter. For a torn write that is a risk worth taking;
// an end that was durable once, and a learner who may be a voter by now: then a leader may yet come
// (docs/adr/0007).
bool Raft::IsAlone(std::vector<NodeId> (*of)(const ConfState&)) const {
  const auto is_alone = [this, of](const ConfState& conf) {
    return of(conf) == std::vector<NodeId>{options_.id};
  };
  ConfState conf = conf_;
  bool alone = is_alone(conf);
  for (Index index = log_.first(); index <= log_.last(); ++index) {
    const Entry& entry = log_.At(index);
    if (entry.type != EntryType::kMembership) continue;
    const std::optional<MembershipChange> change = DecodeMembershipChange(entry.payload.view());
    if (!change) continue;
    ConfigurationUpdate update = ApplyChange(conf, *change);
    if (update.refused()) continue;
    conf = std::move(update.conf);
    alone = is_alone(conf) && (alone || index <= commit_);
  }
  return alone;
}

// ---- Roles ----

void Raft::EnterTerm(Term term) {
  RAFTKV_CHECK(term >= hard_.term);
  if (term != hard_.term) hard_ = HardState{term, kNoNode};
  leader_ = kNoNode;
  election_elapsed_ = 0;
  matched_ = 0;
  election_timeout_ =
      options_.election_ticks + static_cast<uint32_t>(random_.Below(options_.election_ticks));
  election_delay_ = 0;
  AbandonReads();
}

void Raft::BecomeFollower(Term term, NodeId leader) {
  EnterTerm(term);
  leader_ = leader;
  role_ = Follower();
}

void Raft::BecomeLeader() {
  RAFTKV_CHECK(std::holds_alternative<Candidate>(role_));
  EnterTerm(hard_.term);
  Leader leader;
  for (const NodeId id : AllMembers(conf_)) {
    Progress progress;
    progress.id = id;
    progress.next = log_.last() + 1;
    progress.inflights = Inflights(options_.max_inflight_messages, options_.max_inflight_bytes);
    if (id == options_.id) {
      progress.match = durable_;
      progress.BecomeReplicate();
      progress.recently_active = true;
    }
    leader.progress.Insert(std::move(progress));
  }
  // Entries of earlier leaders may hold a membership change: none may be proposed before they are
  // applied.
  leader.last_membership = log_.last();
  leader.last_before = leader.last_now = log_.last();
  leader_ = options_.id;
  role_ = std::move(leader);
  // The no-op that lets this leader commit what its predecessors left (paper, section 8).
  Entry no_op;
  RAFTKV_CHECK(AppendOwn(*leading(), absl::MakeSpan(&no_op, 1)));
}

const ProgressTable* Raft::progress() const {
  return leading() == nullptr ? nullptr : &leading()->progress;
}

uint64_t Raft::transfer_began() const {
  return transfer_target() == kNoNode ? 0 : leading()->transfer_began;
}

uint64_t Raft::confirmed_round() const {
  return leading() == nullptr ? 0 : leading()->reads.confirmed;
}

uint64_t Raft::lease_start() const {
  return leading() == nullptr ? 0 : leading()->reads.lease_start;
}

bool Raft::HearsFrom(NodeId node) const {
  if (leading() == nullptr) return false;
  if (node == options_.id) return true;
  const Progress* peer = leading()->progress.Find(node);
  return peer != nullptr && peer->heard_at && now_ - *peer->heard_at <= options_.election_ticks;
}

bool Raft::KeepsUp(NodeId node) const {
  if (leading() == nullptr) return false;
  const Progress* peer = leading()->progress.Find(node);
  return peer != nullptr && peer->match >= leading()->last_before;
}

NodeId Raft::transfer_target() const {
  return leading() == nullptr ? kNoNode : leading()->transfer_target;
}

// ---- Dispatch ----

void Raft::Tick() {
  constexpr size_t kReleasedPerTick = 4096;  // well below a millisecond
  log_.ReleaseSome(kReleasedPerTick);
  ++now_;
  if (silent_ticks_ > 0) --silent_ticks_;
  if (ticket_out_) ++ticket_ticks_;
  if (Leader* leader = leading()) {
    TickLeader(*leader);
  } else {
    TickElection();
  }
}

namespace {

template <typename... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <typename... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

template <typename Body>
bool Is(const Message& message) {
  return std::holds_alternative<Body>(message.body);
}

bool IsResponse(const Message& message) {
  return Is<AppendResponse>(message) || Is<VoteResponse>(message) ||
         Is<HeartbeatResponse>(message) || Is<ReadIndexResponse>(message);
}

bool IsForwarded(const Message& message) {
  return Is<ForwardedProposal>(message) || Is<ForwardedTransfer>(message) ||
         Is<ReadIndexRequest>(message);
}

bool SpeaksAsLeader(const Message& message) {
  return Is<AppendRequest>(message) || Is<Heartbeat>(message) || Is<InstallSnapshot>(message);
}

// Its sender may never have heard of a term.
bool IsPreVoteRefusal(const Message& message) {
  const auto* response = std::get_if<VoteResponse>(&message.body);
  return response != nullptr && response->pre_vote && response->rejected;
}

bool IsPreVoteRequest(const Message& message) {
  const auto* request = std::get_if<VoteRequest>(&message.body);
  return request != nullptr && request->pre_vote;
}

}  // namespace

Outcome Raft::Step(Message&& message) {
  if (message.to != options_.id) return Outcome::kNotForMe;
  if (message.from == kNoNode || message.from == options_.id) return Outcome::kMalformed;
  if (message.term > kMaxTermOrIndex) return Outcome::kMalformed;
  // Requests are judged by term and log alone: the sender may be in a configuration this node has
  // not heard of. Answers count towards quorums, so they are taken from members only, and before
  // their term can do anything.
  if (IsResponse(message) && !IsMember(conf_, message.from)) return Outcome::kUnknownPeer;

  if (IsForwarded(message)) {
    if (message.term != 0) return Outcome::kMalformed;
  } else if (message.term == 0 && !IsPreVoteRefusal(message)) {
    return Outcome::kMalformed;
  } else if (message.term > hard_.term) {
    bool done = false;
    const Outcome outcome = StepHigherTerm(message, done);
    if (done) return outcome;
  } else if (message.term < hard_.term) {
    return StepLowerTerm(message);
  }
  return std::visit([&](auto& body) { return On(message, body); }, message.body);
}

Outcome Raft::StepHigherTerm(const Message& message, bool& done) {
  // Leader stickiness (thesis, section 4.2.3): while a leader is heard, its followers neither vote
  // nor move to another term, so that a removed or half-connected node cannot disturb.
  const bool loyal =
      options_.check_quorum && leader_ != kNoNode && election_elapsed_ < options_.election_ticks;
  if (const auto* request = std::get_if<VoteRequest>(&message.body)) {
    if ((loyal || silent_ticks_ > 0) && !request->transfer) {
      done = true;
      return Outcome::kIgnored;
    }
  } else if (loyal && leading() == nullptr && !SpeaksAsLeader(message) &&
             !Is<TimeoutNow>(message)) {
    // Late answers move nobody either: they may be of a candidate, whose request for a vote would
    // then find a node without a leader, while that leader counts on its lease. A read point is as
    // good in any term.
    done = !Is<ReadIndexResponse>(message);
    return done ? Outcome::kIgnored : Outcome::kOk;
  }
  // A pre-vote changes nobody's term; a granted one carries the term its candidate asked about.
  if (IsPreVoteRequest(message)) return Outcome::kOk;
  if (const auto* response = std::get_if<VoteResponse>(&message.body)) {
    if (response->pre_vote && !response->rejected) return Outcome::kOk;
  }
  // Only a vote that is given restarts the election timer (paper, figure 2, rules for followers).
  // Otherwise a candidate who cannot win would keep those quiet who can.
  const bool keeps_timer =
      leading() == nullptr && std::holds_alternative<VoteRequest>(message.body);
  const auto timer = std::tuple(election_elapsed_, election_timeout_);
  BecomeFollower(message.term, SpeaksAsLeader(message) ? message.from : kNoNode);
  if (keeps_timer) std::tie(election_elapsed_, election_timeout_) = timer;
  return Outcome::kOk;
}

Outcome Raft::StepLowerTerm(const Message& message) {
  // Without pre-vote and check-quorum a deposed leader hears of the term from this node's campaign,
  // if this node may campaign and would ask it: by an older configuration it may ask others.
  const bool asked_for_a_vote =
      !options_.check_quorum && !options_.pre_vote && Promotable() && IsVoter(conf_, message.from);
  if (!asked_for_a_vote && (Is<Heartbeat>(message) || Is<AppendRequest>(message))) {
    // One who leads no more, or whom this node outgrew while cut off: only hearing the term frees
    // both of them.
    SendAfterPersist(message.from, hard_.term, AppendResponse());
  } else if (const auto* request = std::get_if<VoteRequest>(&message.body)) {
    // A candidate that is told nothing would go on in terms that are over (paper, figure 2): for
    // long, when this node, which it needs, campaigns as often by an older configuration.
    RejectVote(message.from, request->pre_vote);
  } else if (const auto* response = std::get_if<VoteResponse>(&message.body)) {
    // The refusal of a pre-vote comes in the term of who refuses, which may be behind.
    if (response->rejected) LearnCommit(response->commit, response->commit_term);
  }
  return Outcome::kIgnored;
}

// Follows the sender of a leader's message of this term. False when this node leads the term
// itself.
bool Raft::HearFromLeader(const Message& message) {
  if (leading() != nullptr) return false;
  if (std::holds_alternative<Follower>(role_)) {
    election_elapsed_ = 0;
    leader_ = message.from;
  } else {
    BecomeFollower(message.term, message.from);
  }
  election_delay_ = options_.election_rank * options_.election_ticks;
  return true;
}

}  // namespace raftkv::raft
