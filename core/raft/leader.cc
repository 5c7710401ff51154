// What a leader does: proposals, replication with flow control, the commit rule, membership,
// transfer (paper, sections 5.3 and 5.4; thesis, chapters 3, 4 and 10).
#include <algorithm>
#include <iterator>
#include <utility>

#include "core/raft/check.h"
#include "core/raft/raft.h"

namespace raftkv::raft {

void Raft::TickLeader(Leader& leader) {
  ++leader.heartbeat_elapsed;
  ++election_elapsed_;
  if (options_.step_down_on_hung_disk && ticket_out_ && ticket_ticks_ >= options_.election_ticks) {
    BecomeFollower(hard_.term, kNoNode);  // its own copy of what it commits is not being made
    return;
  }
  if (election_elapsed_ >= options_.election_ticks) {
    election_elapsed_ = 0;
    leader.last_before = std::exchange(leader.last_now, log_.last());
    if (options_.check_quorum) {
      const bool quorum_active =
          JointVote(conf_, [&](NodeId id) -> std::optional<bool> {
            const Progress* peer = leader.progress.Find(id);
            return id == options_.id || (peer != nullptr && peer->recently_active);
          }) == VoteResult::kWon;
      if (!quorum_active) {
        BecomeFollower(hard_.term, kNoNode);
        return;
      }
      for (Progress& peer : leader.progress) peer.recently_active = peer.id == options_.id;
    }
    EndTransfer(leader);  // an election timeout is enough for a transfer (thesis, section 3.10)
  }
  if (leader.heartbeat_elapsed >= options_.heartbeat_ticks) {
    leader.heartbeat_elapsed = 0;
    BroadcastHeartbeat(leader);
  }
}

// ---- Proposals ----

Proposed Raft::Propose(Payload command) {
  Entry entry;
  entry.payload = std::move(command);
  return AppendProposals(absl::MakeSpan(&entry, 1));
}

Proposed Raft::ProposeMembership(const MembershipChange& change) {
  if (change.changes.size() > kMaxMemberChanges || change.context.size() > kMaxMembershipContext) {
    return {Outcome::kMembershipInvalid};
  }
  if (leading() != nullptr) {
    if (const Outcome refusal = CheckMembership(change); refusal != Outcome::kOk) return {refusal};
  }
  Entry entry;
  entry.type = EntryType::kMembership;
  entry.payload = Payload::Copy(EncodeMembershipChange(change));
  return AppendProposals(absl::MakeSpan(&entry, 1));
}

Outcome Raft::CheckMembership(const MembershipChange& change) const {
  if (!options_.validate_membership) return Outcome::kOk;
  if (leading()->last_membership > applied_) return Outcome::kMembershipPending;
  const bool joint = IsJoint(conf_);
  if (joint && !change.leaves_joint()) return Outcome::kMembershipJoint;
  if (!joint && change.leaves_joint()) return Outcome::kMembershipNotJoint;
  // With nothing pending, the configuration in force is the one the change will meet.
  if (ApplyChange(conf_, change).refused()) return Outcome::kMembershipInvalid;
  return Outcome::kOk;
}

Proposed Raft::AppendProposals(absl::Span<Entry> entries) {
  Leader* leader = leading();
  if (leader == nullptr) {
    if (leader_ == kNoNode || !std::holds_alternative<Follower>(role_)) return {Outcome::kNoLeader};
    if (!options_.forward_proposals) return {Outcome::kNotLeader};
    SendInTerm(leader_, 0,
               ForwardedProposal{Entries(std::make_move_iterator(entries.begin()),
                                         std::make_move_iterator(entries.end()))});
    return {Outcome::kForwarded};
  }
  if (!IsMember(conf_, options_.id)) return {Outcome::kNotMember};
  if (leader->transfer_target != kNoNode) return {Outcome::kTransferring};
  const Proposed proposed{Outcome::kOk, hard_.term, log_.last() + 1};
  if (!AppendOwn(*leader, entries)) return {Outcome::kQuotaExceeded};
  for (Index index = proposed.index; index <= log_.last(); ++index) {
    if (log_.At(index).type == EntryType::kMembership) leader->last_membership = index;
  }
  BroadcastAppend(*leader);
  return proposed;
}

// A leader only ever appends to its own log (paper, figure 3, leader append-only).
bool Raft::AppendOwn(Leader& leader, absl::Span<Entry> entries) {
  uint64_t bytes = 0;
  for (const Entry& entry : entries) bytes += entry.payload.size();
  // One proposal always fits, so that a large one is not refused for ever; empty ones are the
  // core's own and never refused.
  if (leader.uncommitted_bytes > 0 && bytes > 0 &&
      bytes > options_.max_uncommitted_bytes -
                  std::min(leader.uncommitted_bytes, options_.max_uncommitted_bytes)) {
    return false;
  }
  leader.uncommitted_bytes += bytes;
  for (Entry& entry : entries) {
    entry.term = hard_.term;
    entry.index = log_.last() + 1;
    log_.Append(std::move(entry));
  }
  // Entries that wait for the same ticket are vouched for together, unless every answer is wanted.
  auto* waiting = own_answers_.empty() ? nullptr : std::get_if<OwnAppend>(&own_answers_.back());
  if (options_.merge_messages && waiting != nullptr && waiting->term == hard_.term) {
    waiting->index = log_.last();
  } else {
    own_answers_.push_back(OwnAppend{hard_.term, log_.last()});
  }
  return true;
}

Outcome Raft::On(const Message&, ForwardedProposal& forwarded) {
  if (forwarded.entries.empty()) return Outcome::kMalformed;
  bool has_change = false;
  for (Entry& entry : forwarded.entries) {
    if (entry.type != EntryType::kMembership) continue;
    const std::optional<MembershipChange> change = DecodeMembershipChange(entry.payload.view());
    if (!change) return Outcome::kMalformed;
    if (leading() == nullptr) continue;
    // A batch holds one change at most; a refused one leaves an empty entry, so that the others
    // keep their places.
    const bool second = has_change && options_.validate_membership;
    if (second || CheckMembership(*change) != Outcome::kOk) entry = Entry();
    has_change = has_change || entry.type == EntryType::kMembership;
  }
  return AppendProposals(absl::MakeSpan(forwarded.entries)).outcome;
}

// ---- Replication ----

Outcome Raft::On(const Message& message, const AppendResponse& response) {
  Leader* leader = leading();
  if (leader == nullptr) return Outcome::kIgnored;
  Progress* peer = leader->progress.Find(message.from);
  if (peer == nullptr) return Outcome::kUnknownPeer;
  if (response.index > log_.last()) return Outcome::kMalformed;
  peer->recently_active = true;
  peer->heard_at = now_;
  if (!response.rejected) {
    OnAccepted(*leader, *peer, response.index);
    return Outcome::kOk;
  }
  Index hint = std::min(response.hint_index, log_.last());
  // Symmetric to what the follower did: skip every entry of ours that cannot match its hint's term.
  if (response.hint_term > 0) hint = log_.terms().LastAtMost(hint, response.hint_term);
  // What a follower acknowledged and lost counts no more for what is not committed yet. What is
  // committed stays so: the follower votes as if it still had it (election.cc), so its vote helps
  // nobody who does not. For the same reason no harm is done when an acknowledgement that was on
  // its way since before the crash arrives after this and is counted: the follower keeps that
  // promise, too, and its next refusal says again what it has. A refusal that is late takes back
  // too much, which probing makes good.
  const bool lost = response.lost && peer->Lost(hint);
  if (!lost && !peer->Rejected(response.index, hint)) return Outcome::kIgnored;
  if (peer->state == ProgressState::kReplicate) peer->BecomeProbe();
  SendAppend(*leader, *peer, /*even_if_empty=*/true);
  return Outcome::kOk;
}

void Raft::OnAccepted(Leader& leader, Progress& peer, Index index) {
  const bool self = peer.id == options_.id;
  const bool news = peer.Accepted(index);
  if (!news && !(peer.match == index && peer.state == ProgressState::kProbe)) return;
  switch (peer.state) {
    case ProgressState::kProbe:
      peer.BecomeReplicate();
      break;
    case ProgressState::kSnapshot:
      // Caught up by whatever means with what this log still holds: the snapshot under way is no
      // longer needed.
      if (peer.match >= log_.base()) {
        peer.BecomeProbe();
        peer.BecomeReplicate();
      }
      break;
    case ProgressState::kReplicate:
      peer.inflights.FreeThrough(index);
      break;
  }
  // Who has only what is committed anyway moves nothing.
  if (peer.match > commit_ && AdvanceCommit(leader)) {
    StartWaitingReads(leader);
    BroadcastAppend(leader);
  } else if (!self && peer.WantsCommit(commit_)) {
    SendAppend(leader, peer, /*even_if_empty=*/true);
  }
  if (self) return;
  // The window has room again.
  while (SendAppend(leader, peer, /*even_if_empty=*/false)) {
  }
  if (peer.id == leader.transfer_target && peer.match == log_.last())
    OfferLeadership(leader, peer.id);
}

// The commit rule (paper, section 5.4.2): an index counts when a quorum has it *and* its entry is
// of this term. Entries of earlier terms are committed by what follows them.
bool Raft::AdvanceCommit(Leader& leader) {
  const Index agreed = JointIndex(conf_, [&](NodeId id) -> Index {
    const Progress* peer = leader.progress.Find(id);
    return peer == nullptr ? 0 : peer->match;
  });
  if (agreed <= commit_ || !log_.Has(agreed, hard_.term)) return false;
  commit_ = agreed;
  return true;
}

void Raft::BroadcastAppend(Leader& leader) {
  for (Progress& peer : leader.progress) {
    if (peer.id != options_.id) SendAppend(leader, peer, /*even_if_empty=*/true);
  }
}

bool Raft::SendAppend(Leader& leader, Progress& peer, bool even_if_empty) {
  if (peer.Paused()) return false;
  const Index prev = peer.next - 1;
  Term prev_term = 0;
  if (!log_.FindTerm(prev, &prev_term)) return SendSnapshot(peer);

  const bool room = peer.state != ProgressState::kReplicate || !peer.inflights.Full();
  const bool has_entries = room && peer.next <= log_.last();
  if (!has_entries && !even_if_empty) return false;
  if (options_.merge_messages && ExtendQueuedAppend(leader, peer, room)) return true;

  const size_t place = send_now_.size();
  auto& request = Queue<AppendRequest>(send_now_, peer.id, hard_.term);
  request.prev_index = prev;
  request.prev_term = prev_term;
  request.commit = commit_;
  uint64_t payload_bytes = 0;
  if (has_entries) {
    log_.CopyTo(peer.next, log_.last(), options_.max_append_bytes, request.entries);
    for (const Entry& entry : request.entries) payload_bytes += EntryBytes(entry);
  }
  const uint64_t sent = request.entries.size();
  if (options_.merge_messages) {
    QueuedFor& queued = QueuedTo(leader, peer.id);
    queued.append = place;
    queued.append_bytes = payload_bytes;
  }
  peer.SentAppend(sent, payload_bytes);
  peer.sent_commit = commit_;
  return true;
}

// Adds what is new to the append that is still queued for `peer`. Without this, proposals that
// arrive one by one would each take a place in the window before the driver has sent anything.
bool Raft::ExtendQueuedAppend(Leader& leader, Progress& peer, bool room) {
  if (peer.state != ProgressState::kReplicate) return false;
  QueuedFor& queued = QueuedTo(leader, peer.id);
  if (!queued.append) return false;
  auto& request = std::get<AppendRequest>(send_now_[*queued.append].body);
  if (request.prev_index + request.entries.size() + 1 != peer.next) return false;
  // Without a place in the window of its own, what is added takes one.
  const bool has_place = !request.entries.empty() && peer.inflights.count() > 0;
  uint64_t added = 0;
  uint64_t added_bytes = 0;
  while (room && peer.next + added <= log_.last()) {
    const Entry& entry = log_.At(peer.next + added);
    const uint64_t bytes = EntryBytes(entry);
    const bool first = request.entries.empty();
    if (!first && queued.append_bytes + added_bytes + bytes > options_.max_append_bytes) break;
    request.entries.push_back(entry);
    ++added;
    added_bytes += bytes;
  }
  if (room && added == 0 && peer.next <= log_.last()) return false;  // full: begin another message
  queued.append_bytes += added_bytes;
  request.commit = commit_;
  peer.sent_commit = commit_;
  if (added > 0 && has_place) {
    peer.ExtendedAppend(added, added_bytes);
  } else {
    peer.SentAppend(added, added_bytes);
  }
  return true;
}

Raft::QueuedFor& Raft::QueuedTo(Leader& leader, NodeId peer) {
  for (QueuedFor& queued : leader.queued) {
    if (queued.peer == peer) return queued;
  }
  leader.queued.push_back(
      QueuedFor{.peer = peer, .append = {}, .append_bytes = 0, .heartbeat = {}});
  return leader.queued.back();
}

bool Raft::SendSnapshot(Progress& peer) {
  // To a silent node a snapshot is wasted; its first answer to a heartbeat makes it active.
  if (!peer.recently_active) return false;
  if (offer_.index < log_.base()) return false;  // the driver has not offered a usable one yet
  peer.BecomeSnapshot(offer_.index);
  Send(peer.id, InstallSnapshot{offer_});
  return true;
}

void Raft::BroadcastHeartbeat(Leader& leader) {
  uint64_t round = leader.reads.unconfirmed.empty() ? 0 : leader.reads.round;
  if (options_.read_mode == ReadMode::kLease) {
    round = ++leader.reads.round;
    leader.reads.sent.push_back(ReadQueue::Sent{round, now_});
  }
  for (Progress& peer : leader.progress) {
    if (peer.id == options_.id) {
      peer.read_round = leader.reads.round;
      continue;
    }
    // Never more than it is known to have: its log may end or differ behind that (paper, figure 2,
    // "index of last new entry").
    const Index commit = std::min(peer.match, commit_);
    peer.sent_commit = commit;
    if (options_.merge_messages) {
      QueuedFor& queued = QueuedTo(leader, peer.id);
      if (queued.heartbeat) {
        auto& heartbeat = std::get<Heartbeat>(send_now_[*queued.heartbeat].body);
        heartbeat = Heartbeat{commit, std::max(round, heartbeat.read_round)};
        continue;
      }
      queued.heartbeat = send_now_.size();
    }
    Send(peer.id, Heartbeat{commit, round});
  }
  if (options_.read_mode == ReadMode::kLease)
    ConfirmReads(leader);  // a single voter needs nobody else
}

Outcome Raft::On(const Message& message, const HeartbeatResponse& response) {
  Leader* leader = leading();
  if (leader == nullptr) return Outcome::kIgnored;
  Progress* peer = leader->progress.Find(message.from);
  if (peer == nullptr) return Outcome::kUnknownPeer;
  if (response.read_round > leader->reads.round) return Outcome::kMalformed;
  peer->recently_active = true;
  peer->heard_at = now_;
  const bool behind = peer->match < log_.last() || peer->state == ProgressState::kProbe;
  if (!behind) {
    peer->flow_paused = false;
  } else if (MayTryAgain(*peer)) {
    peer->flow_paused = false;
    SendAppend(*leader, *peer, /*even_if_empty=*/true);
  }
  if (response.read_round > peer->read_round) {
    peer->read_round = response.read_round;
    ConfirmReads(*leader);
  }
  return Outcome::kOk;
}

// Whatever was lost, it is time to send again: with each heartbeat, but not with each answer. Reads
// send heartbeats of their own, and over a link that is slower than what is said answers come late
// and many at once; as many appends again would be what keeps it full.
bool Raft::MayTryAgain(Progress& peer) const {
  if (now_ < peer.try_again_at) return false;
  peer.try_again_at = now_ + (options_.heartbeat_ticks + 1) / 2;  // answers do not come evenly
  return true;
}

Outcome Raft::ReportUnreachable(NodeId id) {
  Leader* leader = leading();
  if (leader == nullptr) return Outcome::kIgnored;
  Progress* peer = leader->progress.Find(id);
  if (peer == nullptr || id == options_.id) return Outcome::kUnknownPeer;
  // Appends sent ahead are probably lost: find out where it is.
  if (peer->state == ProgressState::kReplicate) peer->BecomeProbe();
  return Outcome::kOk;
}

Outcome Raft::ReportSnapshot(NodeId id, bool delivered) {
  Leader* leader = leading();
  if (leader == nullptr) return Outcome::kIgnored;
  Progress* peer = leader->progress.Find(id);
  if (peer == nullptr || id == options_.id) return Outcome::kUnknownPeer;
  if (peer->state != ProgressState::kSnapshot) return Outcome::kIgnored;
  if (!delivered) peer->pending_snapshot = 0;
  peer->BecomeProbe();
  // Delivered: its own answer will say so. Failed: wait for the next heartbeat's answer before
  // trying again.
  peer->flow_paused = true;
  return Outcome::kOk;
}

// ---- Transfer ----

Outcome Raft::TransferLeadership(NodeId target) {
  Leader* leader = leading();
  if (leader == nullptr) {
    if (leader_ == kNoNode || !std::holds_alternative<Follower>(role_)) return Outcome::kNoLeader;
    SendInTerm(leader_, 0, ForwardedTransfer{target});
    return Outcome::kForwarded;
  }
  Progress* peer = leader->progress.Find(target);
  if (peer == nullptr) return Outcome::kUnknownPeer;
  if (IsLearner(conf_, target)) return Outcome::kLearner;
  if (leader->transfer_target == target) return Outcome::kTransferring;
  EndTransfer(*leader);
  if (target == options_.id) return Outcome::kAlreadyLeader;
  election_elapsed_ = 0;  // the transfer has one election timeout
  leader->transfer_target = target;
  leader->transfer_began = now_;
  if (peer->match == log_.last()) {
    OfferLeadership(*leader, target);
  } else {
    SendAppend(*leader, *peer, /*even_if_empty=*/true);
  }
  return Outcome::kOk;
}

void Raft::OfferLeadership(Leader& leader, NodeId target) {
  leader.offered_leadership = true;
  Send(target, TimeoutNow());
}

Outcome Raft::On(const Message&, const ForwardedTransfer& forwarded) {
  return TransferLeadership(forwarded.target);
}

void Raft::StepDown() {
  if (leading() != nullptr) BecomeFollower(hard_.term, kNoNode);
}

Outcome Raft::ForgetLeader() {
  if (!std::holds_alternative<Follower>(role_)) return Outcome::kIgnored;
  if (options_.read_mode == ReadMode::kLease) return Outcome::kLeaseReads;
  if (leader_ == kNoNode) return Outcome::kIgnored;
  leader_ = kNoNode;
  return Outcome::kOk;
}

// ---- Membership ----

const ConfState& Raft::ApplyMembership(Index index) {
  RAFTKV_CHECK(index > applied_ && index <= handed_out_);
  // Handed out before a snapshot replaced the log: the snapshot's configuration knows of it.
  if (index <= log_.base()) return conf_;
  const Entry& entry = log_.At(index);
  RAFTKV_CHECK(entry.type == EntryType::kMembership);
  // An entry that no configuration can follow is skipped, on every node alike.
  if (const std::optional<MembershipChange> change = DecodeMembershipChange(entry.payload.view())) {
    ConfigurationUpdate update = ApplyChange(conf_, *change);
    if (!update.refused()) SwitchConfiguration(std::move(update));
  }
  return conf_;
}

void Raft::SwitchConfiguration(ConfigurationUpdate update) {
  if (Leader* leader = leading()) {
    for (const NodeId id : AllMembers(conf_)) {
      if (!IsMember(update.conf, id)) leader->progress.Remove(id);
    }
    for (const NodeId id : update.fresh) {
      Progress progress;
      progress.id = id;
      // One entry back: a new node's log is shorter in any case, and the refusal tells where it
      // ends.
      progress.next = std::max<Index>(log_.last(), 1);
      progress.inflights = Inflights(options_.max_inflight_messages, options_.max_inflight_bytes);
      progress.recently_active = true;  // gets one election timeout to answer
      leader->progress.Insert(std::move(progress));
    }
  }
  conf_ = std::move(update.conf);
  Leader* leader = leading();
  if (leader == nullptr) return;
  if (!IsVoter(conf_, leader->transfer_target)) EndTransfer(*leader);
  if (!IsVoter(conf_, options_.id)) {
    if (options_.step_down_on_removal) BecomeFollower(hard_.term, kNoNode);
    return;
  }
  // The new quorum may be smaller than the old one.
  if (AdvanceCommit(*leader)) {
    StartWaitingReads(*leader);
    BroadcastAppend(*leader);
  } else {
    for (Progress& peer : leader->progress) {
      if (peer.id != options_.id) SendAppend(*leader, peer, /*even_if_empty=*/false);
    }
  }
  ConfirmReads(*leader);
}

void Raft::EndTransfer(Leader& leader) {
  if (leader.transfer_target == kNoNode) return;
  leader.transfer_target = kNoNode;
  LeaveJointIfDue();
}

// A joint configuration that is left automatically is left as soon as the entry that entered it is
// applied, unless proposals are refused just then, as during a transfer.
void Raft::LeaveJointIfDue() {
  const Leader* leader = leading();
  if (leader != nullptr && conf_.auto_leave && applied_ >= leader->last_membership) {
    ProposeMembership(MembershipChange());
  }
}

}  // namespace raftkv::raft
