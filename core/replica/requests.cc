// One request's way: admitted, proposed here or forwarded to the leader or parked until there is
// one, and answered exactly once.
//
// What an error says is a promise. NOTAPPLIED: the command will never take effect; everything that
// was at most parked, or refused by a leader that never put it into its log. UNKNOWN: it was in
// somebody's log, or on the way there, when patience ended.
#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/raft/check.h"
#include "core/raft/configuration.h"
#include "core/raft/quorum.h"
#include "core/replica/replica.h"

namespace raftkv::replica {
namespace {

bool MayGrowStore(const kv::Command& command) {
  return std::any_of(command.ops.begin(), command.ops.end(), [](const kv::Op& op) {
    return op.kind == kv::OpKind::kSet || op.kind == kv::OpKind::kAppend ||
           op.kind == kv::OpKind::kIncrBy || op.kind == kv::OpKind::kOpenSession;
  });
}

// However often it is run.
bool RunsOnce(const kv::Command& command) { return command.session != 0 && command.sequence != 0; }

absl::string_view ReasonText(wire::ForwardReason reason) {
  switch (reason) {
    case wire::ForwardReason::kNone:
      return "no reason given";
    case wire::ForwardReason::kNotLeader:
      return "no leader";
    case wire::ForwardReason::kBusy:
      return "too many commands are waiting";
    case wire::ForwardReason::kTooLarge:
      return "the command is too large";
    case wire::ForwardReason::kStoreFull:
      return "the store has reached its memory limit";
    case wire::ForwardReason::kDiskFull:
      return "the disk is full";
    case wire::ForwardReason::kMalformed:
      return "the command does not decode";
    case wire::ForwardReason::kUnsupported:
      return "the command needs a later feature level";
    case wire::ForwardReason::kStopping:
      return "the leader is stopping";
    case wire::ForwardReason::kLostLeadership:
      return "the leader lost its leadership";
    case wire::ForwardReason::kTransferring:
      return "leadership is being transferred";
    case wire::ForwardReason::kRefused:
      return "the leader refused it";
    case wire::ForwardReason::kTimeout:
      return "no answer in time";
  }
  return "unknown reason";
}

}  // namespace

// ---- Admission ----

void Replica::Admit(ClientConnection& client, uint64_t slot, Request& request) {
  if (const auto* status = std::get_if<StatusRequest>(&request)) {
    if (*status == StatusRequest::kResetStatistics) longest_turn_us_ = 0;
    return client.Status(slot, *status, Status());
  }
  if (stopping_) return client.Fail(slot, "NOTAPPLIED this node is stopping");
  if (repairing()) return client.Fail(slot, absl::StrCat("NOTAPPLIED this node is ", RepairText()));
  if (waiting_bytes_ > options_.max_waiting_bytes)
    return client.Fail(slot, "NOTAPPLIED too many commands are waiting");
  const ClientId id = client.state().id;
  if (const auto* data = std::get_if<DataRequest>(&request)) {
    AdmitData(ClientOrigin{id, slot, data->shape}, *data);
  } else if (const auto* member = std::get_if<MemberRequest>(&request)) {
    AdmitMembership(ClientOrigin{id, slot, ReplyShape::kOk}, *member);
  } else if (const auto* transfer = std::get_if<TransferRequest>(&request)) {
    AdmitTransfer(client, slot, *transfer);
  }
}

void Replica::AdmitData(const Origin& origin, const DataRequest& request) {
  if (const std::optional<std::string> fault = kv::Validate(request.command)) {
    const auto& asker = std::get<ClientOrigin>(origin);
    return FindClient(asker.client)->Fail(asker.slot, absl::StrCat("ERR ", *fault));
  }
  if (request.read_only && request.command.session == 0) {
    // Kept as bytes: the words it was made of live no longer than this turn.
    return TakeTurn(origin, AddPending(origin, Pending::Kind::kRead,
                                       command_encoder_.EncodePayload(request.command)));
  }
  kv::Command command = request.command;
  command.time_ms = last_stamp_ms_ = std::max(last_stamp_ms_, wall_ms_);
  const PendingId id =
      AddPending(origin, Pending::Kind::kWrite, command_encoder_.EncodePayload(command));
  if (raft_.is_leader() && MayGrowStore(command) &&
      machine_.store().memory_bytes() >= options_.max_store_bytes) {
    return Refuse(id, wire::ForwardReason::kStoreFull, ReasonText(wire::ForwardReason::kStoreFull));
  }
  pending_.at(id).in_session = RunsOnce(command);
  TakeTurn(origin, id);
}

void Replica::AdmitMembership(const Origin& origin, const MemberRequest& request) {
  raft::MembershipChange change;
  Members added;
  switch (request.kind) {
    case MemberRequest::Kind::kAdd:
      // New members learn first; a voter that has nothing yet would only make the quorum larger.
      change.changes.push_back({raft::MemberChange::Kind::kAddLearner, request.node});
      added.Set(request.node, request.member);
      change.context = added.Encode();
      break;
    case MemberRequest::Kind::kPromote:
      change.changes.push_back({raft::MemberChange::Kind::kAddVoter, request.node});
      break;
    case MemberRequest::Kind::kRemove:
      change.changes.push_back({raft::MemberChange::Kind::kRemove, request.node});
      break;
  }
  TakeTurn(origin, AddPending(origin, Pending::Kind::kMembership,
                              raft::Payload::Copy(raft::EncodeMembershipChange(change))));
}

void Replica::AdmitTransfer(ClientConnection& client, uint64_t slot,
                            const TransferRequest& request) {
  raft::NodeId target = request.target;
  if (target == raft::kNoNode) {
    if (!raft_.is_leader())
      return client.Fail(slot, "ERR name a node, or ask the leader to choose one");
    raft::Index best = 0;
    for (const raft::Progress& peer : *raft_.progress()) {
      if (peer.id == raft_.id() || !raft::IsVoter(raft_.conf(), peer.id) || peer.match < best)
        continue;
      best = peer.match;
      target = peer.id;
    }
    if (target == raft::kNoNode) return client.Fail(slot, "ERR no other voter");
  }
  const raft::Outcome outcome = raft_.TransferLeadership(target);
  if (outcome == raft::Outcome::kOk || outcome == raft::Outcome::kForwarded ||
      outcome == raft::Outcome::kTransferring) {
    return client.Ok(slot);
  }
  client.Fail(slot, absl::StrCat("ERR leadership is not transferred to node ", target, ": ",
                                 raft::OutcomeText(outcome)));
}

Replica::PendingId Replica::AddPending(Origin origin, Pending::Kind kind, raft::Payload command) {
  const PendingId id = ++last_pending_;
  waiting_bytes_ += command.size();
  pending_.emplace(id, Pending{std::move(origin), kind, Pending::Stage::kParked, std::move(command),
                               now_us_ + options_.request_timeout_ms * 1000});
  by_age_.push_back(id);
  return id;
}

// ---- Routing ----

void Replica::TakeTurn(const Origin& origin, PendingId id) {
  Client& client = clients_.at(std::get<ClientOrigin>(origin).client);
  client.waiting.push_back(id);
  AdvanceTurn(client);
}

void Replica::AdvanceTurn(Client& client) {
  while (!client.waiting.empty()) {
    const PendingId id = client.waiting.front();
    const auto it = pending_.find(id);
    if (it != pending_.end()) {
      const bool read = it->second.kind == Pending::Kind::kRead;
      if ((read ? client.writes : client.reads) > 0) return;
      it->second.started = true;
      ++(read ? client.reads : client.writes);
    }
    client.waiting.pop_front();
    if (it == pending_.end()) continue;  // its patience ended before its turn came
    if (it->second.kind == Pending::Kind::kRead) {
      new_reads_.push_back(id);
    } else {
      Route(id);
    }
  }
}

void Replica::AdvanceTurns() {
  while (!turns_.empty()) {
    for (const ClientId id : std::exchange(turns_, {})) {
      if (const auto client = clients_.find(id); client != clients_.end())
        AdvanceTurn(client->second);
    }
  }
}

// What was on its way to `peer`, or its answer on the way back, may be lost. Within a session it is
// sent again soon; otherwise the client is told at once rather than when its patience ends.
void Replica::LoseForwards(raft::NodeId peer) {
  for (auto row = forwarded_.begin(); row != forwarded_.end();) {
    Forwarded& forwarded = row->second;
    if (forwarded.to != peer) {
      ++row;
    } else if (pending_.at(forwarded.pending).in_session) {
      forwarded.lost = forwards_lost_ = true;
      ++row;
    } else {
      const PendingId id = forwarded.pending;
      row = forwarded_.erase(row);
      Unknown(id, wire::ForwardReason::kLostLeadership, "the link to the leader broke");
    }
  }
}

// It goes to the same leader as the same request: one that is still at work on it need not do it
// twice. A simulation showed what becomes of it otherwise: a link that loses now and then filled
// the log with copies faster than the cluster could commit them. Not with each tick, because a link
// that is down says so of each copy.
void Replica::RepeatLostForwards() {
  if (!forwards_lost_ || now_us_ < next_repeat_us_) return;
  forwards_lost_ = false;
  next_repeat_us_ = now_us_ + options_.read_retry_ms * 1000;
  for (auto& [forward_id, forwarded] : forwarded_) {
    if (!std::exchange(forwarded.lost, false)) continue;
    pending_.at(forwarded.pending).repeated = true;
    Forward(forward_id, /*repeated=*/true);
  }
}

// There is another leader: what the one before was sent within sessions is sent again, whatever
// became of it there. The others can only wait for its answer.
void Replica::RepeatForwards() {
  std::erase_if(forwarded_, [this](const auto& row) {
    const auto it = pending_.find(row.second.pending);
    if (it == pending_.end()) return true;
    if (!it->second.in_session || row.second.term == raft_.term()) return false;
    it->second.stage = Pending::Stage::kParked;
    it->second.repeated = true;
    parked_.push_back(row.second.pending);
    return true;
  });
}

void Replica::Route(PendingId id) {
  Pending& pending = pending_.at(id);
  // Nobody overtakes those that wait already.
  if (raft_.leader() == raft::kNoNode || !parked_.empty()) {
    pending.stage = Pending::Stage::kParked;
    parked_.push_back(id);
    return;
  }
  if (raft_.is_leader()) return ProposeHere(id, pending);
  const bool own_client = std::holds_alternative<ClientOrigin>(pending.origin);
  RAFTKV_CHECK(own_client);  // a forwarded request is never forwarded again
  const uint64_t forward_id = NewId();
  forwarded_[forward_id] = Forwarded{id, raft_.leader(), raft_.term()};
  pending.stage = Pending::Stage::kForwarded;
  Forward(forward_id, /*repeated=*/false);
}

void Replica::Forward(uint64_t forward_id, bool repeated) {
  const Forwarded& forwarded = forwarded_.at(forward_id);
  const Pending& pending = pending_.at(forwarded.pending);
  SendFrame(forwarded.to, wire::ForwardRequest{.id = forward_id,
                                               .term = forwarded.term,
                                               .kind = pending.kind == Pending::Kind::kMembership
                                                           ? wire::ForwardKind::kMembership
                                                           : wire::ForwardKind::kCommand,
                                               .command = pending.command,
                                               .repeated = repeated,
                                               .oldest = forwarded_.begin()->first});
}

void Replica::ProposeHere(PendingId id, Pending& pending) {
  // While leadership is handed over, the core says so: the next leader will take it.
  if (disk_full_ && raft_.transfer_target() == raft::kNoNode)
    return Refuse(id, wire::ForwardReason::kDiskFull, ReasonText(wire::ForwardReason::kDiskFull));
  if (CommitsStand())
    return Refuse(id, wire::ForwardReason::kBusy, "the disks of a majority are full or hang");
  raft::Proposed proposed;
  if (pending.kind == Pending::Kind::kMembership) {
    const std::optional<raft::MembershipChange> change =
        raft::DecodeMembershipChange(pending.command.view());
    if (!change)
      return Refuse(id, wire::ForwardReason::kMalformed,
                    ReasonText(wire::ForwardReason::kMalformed));
    if (const std::string fault = MembershipFault(*change); !fault.empty()) {
      return Refuse(id, wire::ForwardReason::kRefused, fault);
    }
    proposed = raft_.ProposeMembership(*change);
  } else {
    proposed = raft_.Propose(pending.command);
  }
  switch (proposed.outcome) {
    case raft::Outcome::kOk:
      pending.stage = Pending::Stage::kProposed;
      proposed_.emplace(proposed.index, ProposedEntry{id, proposed.term});
      return;
    case raft::Outcome::kTransferring:
    case raft::Outcome::kNotMember:
      // The next leader will take it.
      if (std::holds_alternative<ClientOrigin>(pending.origin)) {
        parked_.push_back(id);
      } else {
        Refuse(id, wire::ForwardReason::kTransferring, raft::OutcomeText(proposed.outcome));
      }
      return;
    case raft::Outcome::kQuotaExceeded:
      return Refuse(id, wire::ForwardReason::kBusy, raft::OutcomeText(proposed.outcome));
    default:
      return Refuse(id, wire::ForwardReason::kRefused, raft::OutcomeText(proposed.outcome));
  }
}

// What a person who asked for this change got wrong, as far as the configuration in force tells;
// empty when nothing.
std::string Replica::MembershipFault(const raft::MembershipChange& change) const {
  std::vector<raft::NodeId> promoted;
  const Members told = Members::Decode(change.context).value_or(Members());
  for (const raft::MemberChange& member : change.changes) {
    const auto fault = [&](absl::string_view text) {
      return absl::StrCat("node ", member.node, " ", text);
    };
    const bool is_member = raft::IsMember(raft_.conf(), member.node);
    switch (member.kind) {
      case raft::MemberChange::Kind::kAddLearner:
        if (is_member) return fault("is a member already");
        if (raft::MemberCount(raft_.conf()) + change.changes.size() > wire::kMaxMembers) {
          return fault(absl::StrCat("would be one too many: a cluster has at most ",
                                    wire::kMaxMembers, " members, learners included"));
        }
        // Of two at one address only one can be reached: who takes the place of another is added
        // when that one has been removed.
        if (const Member* added = told.Find(member.node)) {
          for (const auto& [id, other] : members().all()) {
            if (other.peer_address != added->peer_address) continue;
            return fault(absl::StrCat("cannot have the peer address ", other.peer_address,
                                      ", which is that of node ", id));
          }
        }
        break;
      case raft::MemberChange::Kind::kAddVoter:
        if (!is_member) return fault("is not a member: add it first");
        if (raft::IsVoter(raft_.conf(), member.node)) return fault("is a voter already");
        promoted.push_back(member.node);
        break;
      case raft::MemberChange::Kind::kRemove:
        if (!is_member) return fault("is not a member");
        break;
      case raft::MemberChange::Kind::kUpdate:
        break;
    }
  }
  return WhyNotReady(change, promoted);
}

// Why the voters that there would be might not be able to commit anything, the next change of
// members included; empty when they are. The core does not ask: what it is told to do is safe.
std::string Replica::WhyNotReady(const raft::MembershipChange& change,
                                 absl::Span<const raft::NodeId> promoted) const {
  for (const raft::NodeId node : promoted) {
    if (!raft_.HearsFrom(node)) {
      return absl::StrCat("node ", node, " does not answer: promote it when it does");
    }
    if (!raft_.KeepsUp(node)) {
      return absl::StrCat("node ", node, " does not keep up: it has ",
                          raft_.progress()->Find(node)->match, " of ", raft_.log().last(),
                          " entries; promote it when it has caught up");
    }
  }
  const raft::ConfigurationUpdate update = raft::ApplyChange(raft_.conf(), change);
  if (update.refused() || update.conf.voters == raft_.conf().voters) return {};
  std::vector<raft::NodeId> silent;
  absl::c_copy_if(update.conf.voters, std::back_inserter(silent),
                  [this](raft::NodeId voter) { return !raft_.HearsFrom(voter); });
  const size_t voters = update.conf.voters.size();
  if (voters - silent.size() >= raft::MajoritySize(voters)) return {};
  return absl::StrCat("of the voters that there would be, ", absl::StrJoin(update.conf.voters, ","),
                      ", no majority answers: silent are ", absl::StrJoin(silent, ","));
}

void Replica::RouteParked() {
  if (raft_.leader() == raft::kNoNode) return;
  if (raft_.is_leader() && raft_.transfer_target() != raft::kNoNode) return;
  for (const PendingId id : std::exchange(parked_, {})) {
    if (pending_.contains(id)) Route(id);
  }
}

// ---- Forwarding ----
//
// A request is forwarded to the leader of a term, and only that leader in that term may accept it.
// So a duplicate or late copy can do nothing that the leader's memory of the term does not catch,
// and a refusal is definite.

void Replica::OnForward(raft::NodeId from, const wire::ForwardRequest& request) {
  const PeerOrigin origin{from, request.id};
  NoticeLeadership();
  const bool leads = raft_.is_leader() && raft_.term() == request.term;
  if (!leads) {
    // Had this node led that term and forgotten, it could not promise anything.
    if (request.term < led_term_ || (request.term <= boot_term_ && request.term != led_term_))
      return;
    // If it may still lead that term, a later copy may be accepted.
    if (request.term > raft_.term() ||
        (request.term == raft_.term() && raft_.role() == raft::RoleName::kCandidate)) {
      return;
    }
    if (request.term == led_term_ && accepted_forwards_.Knows(from, request.id)) return;
    return AnswerForward(origin, wire::ForwardOutcome::kNotApplied, wire::ForwardReason::kNotLeader,
                         "not the leader of that term");
  }
  const AcceptedForwards::Verdict accepted =
      accepted_forwards_.Accept(from, request.id, request.oldest);
  if (accepted.kind == AcceptedForwards::Kind::kOver) return;
  // A copy needs no answer of its own, unless the one it had may be lost: then it is run once more
  // within its session, which knows the answer.
  const bool copy = accepted.kind == AcceptedForwards::Kind::kCopy;
  if (copy && (!request.repeated || pending_.contains(*accepted.note))) return;
  if (copy && request.kind == wire::ForwardKind::kMembership) return;
  wire::ForwardReason refusal = wire::ForwardReason::kNone;
  raft::Payload command = request.command;
  if (stopping_) {
    refusal = wire::ForwardReason::kStopping;
  } else if (waiting_bytes_ > options_.max_waiting_bytes) {
    refusal = wire::ForwardReason::kBusy;
  } else if (request.kind == wire::ForwardKind::kCommand) {
    kv::Command decoded;
    const wire::CommandDecode decode = wire::DecodeCommand(command.view(), &decoded);
    if (decode == wire::CommandDecode::kUnsupported) {
      refusal = wire::ForwardReason::kUnsupported;
    } else if (decode == wire::CommandDecode::kMalformed || kv::Validate(decoded)) {
      refusal = wire::ForwardReason::kMalformed;
    } else if (copy && !RunsOnce(decoded)) {
      return;  // whoever asks for this does not know what it asks for
    } else if (MayGrowStore(decoded) &&
               machine_.store().memory_bytes() >= options_.max_store_bytes) {
      refusal = wire::ForwardReason::kStoreFull;
    } else {
      // Log time is the leader's time, whoever took the command.
      decoded.time_ms = last_stamp_ms_ = std::max(last_stamp_ms_, wall_ms_);
      command = command_encoder_.EncodePayload(decoded);
    }
  }
  if (refusal != wire::ForwardReason::kNone) {
    return AnswerForward(origin, wire::ForwardOutcome::kNotApplied, refusal, ReasonText(refusal));
  }
  const Pending::Kind kind = request.kind == wire::ForwardKind::kMembership
                                 ? Pending::Kind::kMembership
                                 : Pending::Kind::kWrite;
  const PendingId id = *accepted.note = AddPending(origin, kind, std::move(command));
  ProposeHere(id, pending_.at(id));
}

void Replica::OnForwardReply(raft::NodeId, const wire::ForwardReply& reply) {
  const auto it = forwarded_.find(reply.id);
  if (it == forwarded_.end()) return;  // answered or given up
  const PendingId id = it->second.pending;
  forwarded_.erase(it);
  const auto pending = pending_.find(id);
  if (pending == pending_.end()) return;
  const absl::string_view text =
      reply.text.empty() ? ReasonText(reply.reason) : absl::string_view(reply.text);
  switch (reply.outcome) {
    case wire::ForwardOutcome::kApplied:
      if (pending->second.kind == Pending::Kind::kMembership)
        return FinishMembership(id, reply.index);
      if (const std::optional<kv::Result> result = kv::DecodeResult(reply.result))
        return Finish(id, *result);
      return Unknown(id, wire::ForwardReason::kMalformed, "the leader's answer does not decode");
    case wire::ForwardOutcome::kUnknown:
      return Unknown(id, reply.reason, text);
    case wire::ForwardOutcome::kNotApplied:
      break;
  }
  const bool next_leader_may = reply.reason == wire::ForwardReason::kNotLeader ||
                               reply.reason == wire::ForwardReason::kTransferring ||
                               reply.reason == wire::ForwardReason::kStopping;
  if (!next_leader_may || stopping_) return Refuse(id, reply.reason, text);
  // Tried again with the next tick, or as soon as there is another leader.
  pending->second.stage = Pending::Stage::kParked;
  parked_.push_back(id);
}

void Replica::AnswerForward(const PeerOrigin& origin, wire::ForwardOutcome outcome,
                            wire::ForwardReason reason, absl::string_view text) {
  SendFrame(origin.node,
            wire::ForwardReply{.id = origin.forward_id,
                               .outcome = outcome,
                               .reason = reason,
                               .leader = raft_.leader(),
                               .index = 0,
                               .result = {},
                               .text = std::string(text.substr(0, wire::kMaxForwardText))});
}

void Replica::AnswerApplied(const PeerOrigin& origin, const kv::Result& result) {
  SendFrame(origin.node, wire::ForwardReply{.id = origin.forward_id,
                                            .outcome = wire::ForwardOutcome::kApplied,
                                            .reason = wire::ForwardReason::kNone,
                                            .leader = raft_.leader(),
                                            .index = result.index,
                                            .result = kv::EncodeResult(result),
                                            .text = {}});
}

// ---- Answers ----

Replica::Pending Replica::Take(PendingId id) {
  const auto it = pending_.find(id);
  RAFTKV_CHECK(it != pending_.end());
  Pending pending = std::move(it->second);
  pending_.erase(it);
  waiting_bytes_ -= pending.command.size();
  if (const auto* asker = std::get_if<ClientOrigin>(&pending.origin);
      asker != nullptr && pending.started) {
    if (const auto client = clients_.find(asker->client); client != clients_.end()) {
      --(pending.kind == Pending::Kind::kRead ? client->second.reads : client->second.writes);
      if (!client->second.waiting.empty()) turns_.push_back(asker->client);
    }
  }
  return pending;
}

void Replica::Finish(PendingId id, const kv::Result& result) {
  if (pending_.at(id).repeated && (result.outcome == kv::Outcome::kUnknownSession ||
                                   result.outcome == kv::Outcome::kStaleSequence)) {
    return Unknown(id, wire::ForwardReason::kLostLeadership,
                   "the session ended while the command was under way");
  }
  const Pending pending = Take(id);
  if (const auto* asker = std::get_if<ClientOrigin>(&pending.origin)) {
    if (ClientConnection* client = FindClient(asker->client)) {
      client->Complete(asker->slot, asker->shape, result);
      Touch(asker->client);
    }
    return;
  }
  AnswerApplied(std::get<PeerOrigin>(pending.origin), result);
}

void Replica::FinishMembership(PendingId id, raft::Index index) {
  const Pending pending = Take(id);
  if (const auto* asker = std::get_if<ClientOrigin>(&pending.origin)) {
    if (ClientConnection* client = FindClient(asker->client)) {
      client->Ok(asker->slot);
      Touch(asker->client);
    }
    return;
  }
  kv::Result done;
  done.index = index;
  AnswerApplied(std::get<PeerOrigin>(pending.origin), done);
}

void Replica::Refuse(PendingId id, wire::ForwardReason reason, absl::string_view text) {
  if (pending_.at(id).repeated) return Unknown(id, reason, text);
  const Pending pending = Take(id);
  if (const auto* asker = std::get_if<ClientOrigin>(&pending.origin)) {
    if (ClientConnection* client = FindClient(asker->client)) {
      client->Fail(asker->slot, absl::StrCat("NOTAPPLIED ", text));
      Touch(asker->client);
    }
    return;
  }
  AnswerForward(std::get<PeerOrigin>(pending.origin), wire::ForwardOutcome::kNotApplied, reason,
                text);
}

void Replica::Unknown(PendingId id, wire::ForwardReason reason, absl::string_view text) {
  const Pending pending = Take(id);
  if (const auto* asker = std::get_if<ClientOrigin>(&pending.origin)) {
    if (ClientConnection* client = FindClient(asker->client)) {
      client->Fail(asker->slot, absl::StrCat("UNKNOWN ", text));
      Touch(asker->client);
    }
    return;
  }
  AnswerForward(std::get<PeerOrigin>(pending.origin), wire::ForwardOutcome::kUnknown, reason, text);
}

// Who proposed an entry at `index` learns whether it was this one. Another entry there means that
// theirs will never be committed: indexes are decided once.
void Replica::ResolveIndex(raft::Index index, raft::Term term, const kv::Result* result) {
  while (!proposed_.empty() && proposed_.begin()->first <= index) {
    const ProposedEntry entry = proposed_.begin()->second;
    RAFTKV_CHECK(proposed_.begin()->first == index);
    proposed_.erase(proposed_.begin());
    const auto pending = pending_.find(entry.pending);
    if (pending == pending_.end()) continue;  // gave up waiting
    if (entry.applied) {
      FinishMembership(entry.pending, index);
    } else if (entry.term != term) {
      Refuse(entry.pending, wire::ForwardReason::kNotLeader,
             "another leader's entry took its place");
    } else if (pending->second.kind == Pending::Kind::kMembership) {
      FinishMembership(entry.pending, index);
    } else {
      RAFTKV_CHECK(result != nullptr);
      Finish(entry.pending, *result);
    }
  }
}

// A snapshot covers `index`: whether an entry of ours is in it cannot be told any more.
void Replica::ResolveThroughSnapshot(raft::Index index) {
  while (!proposed_.empty() && proposed_.begin()->first <= index) {
    const auto [id, term, applied] = proposed_.begin()->second;
    proposed_.erase(proposed_.begin());
    if (!pending_.contains(id)) continue;
    if (applied) {
      FinishMembership(id, index);
    } else {
      Unknown(id, wire::ForwardReason::kLostLeadership, "a snapshot replaced the log it was in");
    }
  }
}

void Replica::ServeReads() {
  while (!pointed_reads_.empty() && pointed_reads_.begin()->first <= raft_.applied()) {
    const PendingId id = pointed_reads_.begin()->second;
    pointed_reads_.erase(pointed_reads_.begin());
    if (pending_.contains(id)) ServeRead(id);
  }
  // The others would wait for entries that this node cannot write.
  while (!pointed_reads_.empty() && CannotApply(pointed_reads_.rbegin()->first)) {
    const auto last = std::prev(pointed_reads_.end());
    const PendingId id = last->second;
    pointed_reads_.erase(last);
    if (pending_.contains(id))
      Refuse(id, wire::ForwardReason::kDiskFull, "the disk of this node is full, it lags behind");
  }
}

bool Replica::CannotApply(raft::Index index) const {
  return raft_.log_refused() && index > raft_.durable();
}

void Replica::ServeRead(PendingId id) {
  kv::Command command;
  const raft::Payload bytes = pending_.at(id).command;
  RAFTKV_CHECK(wire::DecodeCommand(bytes.view(), &command) == wire::CommandDecode::kOk);
  Finish(id, machine_.Read(command));
}

void Replica::ExpirePending() {
  bool expired = false;
  while (!by_age_.empty()) {
    const PendingId id = by_age_.front();
    const auto pending = pending_.find(id);
    if (pending != pending_.end()) {
      if (pending->second.deadline_us > now_us_) break;
      expired = true;
      if (std::holds_alternative<ClientOrigin>(pending->second.origin) &&
          !pending->second.started) {
        Refuse(id, wire::ForwardReason::kTimeout, "requests before it were not answered in time");
      } else if (pending->second.kind == Pending::Kind::kRead) {
        Refuse(id, wire::ForwardReason::kNotLeader, "no quorum confirmed the read in time");
      } else if (pending->second.stage == Pending::Stage::kParked) {
        Refuse(id, wire::ForwardReason::kNotLeader, "no leader in time");
      } else {
        Unknown(id, wire::ForwardReason::kTimeout, ReasonText(wire::ForwardReason::kTimeout));
      }
    }
    by_age_.pop_front();
  }
  if (expired) {
    const auto given_up = [this](PendingId id) { return !pending_.contains(id); };
    std::erase_if(new_reads_, given_up);
    std::erase_if(refused_reads_, given_up);
    std::erase_if(parked_, given_up);
    for (ReadBatch& batch : read_batches_) std::erase_if(batch.reads, given_up);
    std::erase_if(read_batches_, [](const ReadBatch& batch) { return batch.reads.empty(); });
    std::erase_if(pointed_reads_, [&](const auto& row) { return given_up(row.second); });
    std::erase_if(forwarded_, [&](const auto& row) { return given_up(row.second.pending); });
  }
  AskAgainForReadPoints();
  RepeatLostForwards();
  RouteParked();
}

}  // namespace raftkv::replica
