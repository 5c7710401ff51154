#include "core/replica/peer_link.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "core/raft/check.h"

namespace raftkv::replica {

using raft::NodeId;

// ---- PeerLink

PeerLink::PeerLink(Direction direction, const LinkIdentity& self, NodeId expected,
                   uint64_t expected_incarnation)
    : direction_(direction),
      self_(&self),
      peer_(expected),
      peer_incarnation_(expected_incarnation) {
  reader_.set_max_body(kMaxHelloBody);
}

std::string PeerLink::Hello() const {
  wire::PeerMessage message;
  message.envelope = {.group = self_->group,
                      .from = self_->node,
                      .from_incarnation = self_->incarnation,
                      .to = peer_,
                      .to_incarnation = peer_incarnation_};
  message.body = wire::Hello{.cluster = self_->cluster, .address = self_->address};
  std::string frame;
  wire::PeerEncoder().AppendTo(message, &frame);
  return frame;
}

bool PeerLink::Next(absl::string_view* body) {
  if (!status_.ok() || !reader_.Next(body)) return false;
  if (established_) return true;
  status_ = ReadHello(*body);
  if (status_.ok()) {
    established_ = true;
    reader_.set_max_body(wire::kMaxFrameBody);
  }
  return false;
}

absl::Status PeerLink::ReadHello(absl::string_view body) {
  absl::StatusOr<wire::PeerMessage> message = wire::DecodePeer(body);
  if (!message.ok()) return message.status();
  const wire::Hello* hello = std::get_if<wire::Hello>(&message->body);
  if (hello == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("the first message is a ", wire::KindName(message->body), ", not a Hello"));
  }
  const wire::Envelope& envelope = message->envelope;
  const NodeId expected = peer_;
  const uint64_t expected_incarnation = peer_incarnation_;
  peer_ = envelope.from;
  peer_incarnation_ = envelope.from_incarnation;
  peer_address_ = hello->address;

  const std::string who = absl::StrCat("node ", envelope.from);
  if (hello->cluster != self_->cluster) {
    return absl::FailedPreconditionError(
        absl::StrCat(who, " belongs to cluster ", absl::Hex(hello->cluster.high, absl::kZeroPad16),
                     absl::Hex(hello->cluster.low, absl::kZeroPad16), ", this is cluster ",
                     absl::Hex(self_->cluster.high, absl::kZeroPad16),
                     absl::Hex(self_->cluster.low, absl::kZeroPad16)));
  }
  if (envelope.group != self_->group) {
    return absl::FailedPreconditionError(
        absl::StrCat(who, " speaks for group ", envelope.group, ", this is group ", self_->group));
  }
  if (envelope.from == self_->node) {
    return absl::FailedPreconditionError(
        envelope.from_incarnation == self_->incarnation
            ? absl::StrCat("this is ", who, " itself")
            : absl::StrCat("another process also claims to be ", who));
  }
  if (expected != raft::kNoNode && envelope.from != expected) {
    return absl::FailedPreconditionError(
        absl::StrCat("node ", expected, " was expected there, found ", who));
  }
  if (expected_incarnation != 0 && envelope.from_incarnation != expected_incarnation) {
    return absl::FailedPreconditionError(absl::StrCat(who, " has incarnation ",
                                                      envelope.from_incarnation, ", ",
                                                      expected_incarnation, " was expected"));
  }
  if (envelope.to != raft::kNoNode && envelope.to != self_->node) {
    return absl::FailedPreconditionError(
        absl::StrCat(who, " wants node ", envelope.to, ", this is node ", self_->node));
  }
  if (envelope.to_incarnation != 0 && envelope.to_incarnation != self_->incarnation) {
    return absl::FailedPreconditionError(absl::StrCat(who, " wants incarnation ",
                                                      envelope.to_incarnation, " of this node, ",
                                                      "this is incarnation ", self_->incarnation));
  }
  protocol_ = wire::AgreedProtocol(wire::Hello{}, *hello);
  if (protocol_ == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(who, " speaks protocol ", hello->protocol_min, " to ", hello->protocol_max,
                     ", this node ", wire::kProtocolMin, " to ", wire::kProtocolMax));
  }
  return absl::OkStatus();
}

// ---- Backoff

uint64_t Backoff::Next() {
  const uint64_t delay = random_.Between(step_us_ - step_us_ / 2, step_us_);
  step_us_ = std::min(max_us_, 2 * step_us_);
  return delay;
}

// ---- PeerLinks

PeerLinks::PeerLinks(LinkIdentity self, const PeerLinkOptions& options, uint64_t seed)
    : self_(std::make_unique<const LinkIdentity>(std::move(self))),
      options_(options),
      random_(Random::Stream(seed, "peer links")) {}

void PeerLinks::AdvanceTime(uint64_t now_us) {
  now_us_ = std::max(now_us_, now_us);
  if (now_us_ < next_deadline_us()) return;
  while (!awaiting_hello_.empty() && awaiting_hello_.begin()->second <= now_us_) {
    End(awaiting_hello_.begin()->first, "no hello in time", EndedBy::kUs);
  }
  for (auto& [id, out] : outgoing_) {
    if (!out.up) continue;
    const Connection& connection = connections_.at(out.connection);
    if (connection.handed_over > 0 &&
        now_us_ - connection.progress_us >= options_.stall_timeout_us) {
      End(out.connection, "it takes no more bytes", EndedBy::kUs);
    }
  }
}

void PeerLinks::SetPeers(const std::map<NodeId, Peer>& peers) {
  Change();
  for (auto it = outgoing_.begin(); it != outgoing_.end();) {
    auto& [id, out] = *it;
    auto wanted = peers.find(id);
    const bool gone = wanted == peers.end() && !out.learnt;
    const bool moved = wanted != peers.end() && wanted->second != out.peer;
    if ((gone || moved) && out.connection != 0) {
      End(out.connection, gone ? "no peer any more" : "it has another address or incarnation now",
          EndedBy::kUs);
    }
    if (moved) {
      out.peer = wanted->second;
      out.backoff.Reset();
      out.dial_at_us = now_us_;
      auto incoming = incoming_.find(id);
      if (incoming != incoming_.end() && out.peer.incarnation != 0 &&
          connections_.at(incoming->second).link.peer_incarnation() != out.peer.incarnation) {
        End(incoming->second, "it has another incarnation now", EndedBy::kUs);
      }
    }
    if (wanted != peers.end()) out.learnt = false;
    it = gone ? outgoing_.erase(it) : std::next(it);
  }
  for (const auto& [id, peer] : peers) {
    if (id != self_->node && !outgoing_.contains(id)) AddOutgoing(id, peer, false);
  }
}

PeerLinks::Outgoing& PeerLinks::AddOutgoing(NodeId id, const Peer& peer, bool learnt) {
  Outgoing out{.peer = peer,
               .learnt = learnt,
               .dial_at_us = now_us_,
               .backoff = Backoff(options_.min_backoff_us, options_.max_backoff_us,
                                  random_.Split(absl::StrCat("back-off ", id)))};
  return outgoing_.emplace(id, std::move(out)).first->second;
}

void PeerLinks::Send(NodeId to, std::string frame) {
  auto it = outgoing_.find(to);
  if (it == outgoing_.end()) {
    unreachable_.insert(to);
    return;
  }
  Outgoing& out = it->second;
  const bool dialable = now_us_ >= out.dial_at_us && !out.peer.address.empty();
  const bool room =
      out.outbox.empty() || out.outbox_bytes + frame.size() <= options_.max_outbox_bytes;
  if ((out.connection == 0 && !dialable) || !room) {
    unreachable_.insert(to);
    return;
  }
  out.outbox_bytes += frame.size();
  out.outbox.push_back(std::move(frame));
  if (out.connection == 0) Dial(to, out);
  Flush(out);
}

void PeerLinks::Dial(NodeId id, Outgoing& out) {
  Change();
  out.connection = ++last_connection_;
  connections_.try_emplace(
      out.connection, PeerLink(PeerLink::Direction::kOutgoing, *self_, id, out.peer.incarnation));
  awaiting_hello_[out.connection] = now_us_ + options_.hello_timeout_us;
  work_.dials.push_back({out.connection, id, out.peer.address});
}

void PeerLinks::DialDue() {
  for (auto& [id, out] : outgoing_) {
    if (out.connection == 0 && !out.learnt && !out.peer.address.empty() &&
        out.dial_at_us <= now_us_) {
      Dial(id, out);
    }
  }
}

void PeerLinks::Connected(ConnectionId connection) {
  auto it = connections_.find(connection);
  if (it == connections_.end()) return;
  Write(connection, it->second, it->second.link.Hello());
}

PeerLinks::ConnectionId PeerLinks::Accepted() {
  Change();
  if (awaiting_hello_.size() >= options_.max_strangers) {
    auto oldest = std::find_if(awaiting_hello_.begin(), awaiting_hello_.end(), [&](const auto& a) {
      return connections_.at(a.first).link.direction() == PeerLink::Direction::kIncoming;
    });
    if (oldest != awaiting_hello_.end()) {
      End(oldest->first, "too many connections without a hello", EndedBy::kUs);
    }
  }
  const ConnectionId id = ++last_connection_;
  connections_.try_emplace(id, PeerLink(PeerLink::Direction::kIncoming, *self_));
  awaiting_hello_[id] = now_us_ + options_.hello_timeout_us;
  return id;
}

void PeerLinks::Received(ConnectionId connection, absl::string_view bytes, Deliver deliver) {
  auto it = connections_.find(connection);
  if (it == connections_.end()) return;
  PeerLink& link = it->second.link;
  link.Receive(bytes);
  absl::string_view body;
  if (!link.established()) {
    link.Next(&body);
    if (link.established() && !OnHello(connection, it->second)) return;
  }
  while (link.established() && link.Next(&body)) {
    if (link.direction() == PeerLink::Direction::kOutgoing) {
      End(connection, "it sends messages on a connection that is ours to send on", EndedBy::kUs);
      return;
    }
    deliver(body);
  }
  if (link.status().ok()) return;
  // A Hello that was understood but does not fit is answered, so that the other side can say why.
  if (link.direction() == PeerLink::Direction::kIncoming && !link.established() &&
      link.peer() != raft::kNoNode) {
    Write(connection, it->second, link.Hello());
  }
  End(connection, link.status().message(), EndedBy::kUs);
}

bool PeerLinks::OnHello(ConnectionId id, Connection& connection) {
  Change();
  const PeerLink& link = connection.link;
  const NodeId peer = link.peer();
  if (link.direction() == PeerLink::Direction::kOutgoing) {
    awaiting_hello_.erase(id);
    Outgoing& out = outgoing_.at(peer);
    out.up = true;
    out.up_since_us = now_us_;
    out.failing = false;
    Say(EventKind::kUp, peer, out.peer.address);
    Flush(out);
    return true;
  }
  Write(id, connection, link.Hello());
  const absl::Status admitted = Admit(link);
  if (!admitted.ok()) {
    End(id, admitted.message(), EndedBy::kUs);
    return false;
  }
  awaiting_hello_.erase(id);
  auto [newest, first] = incoming_.try_emplace(peer, id);
  if (!first) {
    const ConnectionId old = std::exchange(newest->second, id);
    End(old, "a newer connection from it replaces this one", EndedBy::kUs);
  }
  Say(EventKind::kArrived, peer, link.peer_address());
  return true;
}

// Whether a node that says a fitting Hello may talk to us, as far as we know about it.
absl::Status PeerLinks::Admit(const PeerLink& link) {
  const Peer said{.address = link.peer_address(), .incarnation = link.peer_incarnation()};
  auto it = outgoing_.find(link.peer());
  if (it == outgoing_.end()) {
    if (!MakeRoomToLearn()) {
      return absl::ResourceExhaustedError(
          absl::StrCat("node ", link.peer(), " is one unknown node too many"));
    }
    AddOutgoing(link.peer(), said, true);
    return absl::OkStatus();
  }
  Outgoing& out = it->second;
  if (out.learnt && said != out.peer) {
    if (out.connection != 0) {
      End(out.connection, "it has another address or incarnation now", EndedBy::kUs);
    }
    out.peer = said;
  }
  if (out.peer.incarnation != 0 && out.peer.incarnation != said.incarnation) {
    return absl::FailedPreconditionError(absl::StrCat("node ", link.peer(), " has incarnation ",
                                                      said.incarnation, ", the members say ",
                                                      out.peer.incarnation));
  }
  // It lives: no reason to wait with our own connection to it.
  if (out.connection == 0) out.dial_at_us = now_us_;
  return absl::OkStatus();
}

bool PeerLinks::MakeRoomToLearn() {
  size_t learnt = 0;
  auto idle = outgoing_.end();
  for (auto it = outgoing_.begin(); it != outgoing_.end(); ++it) {
    if (!it->second.learnt) continue;
    ++learnt;
    if (it->second.connection == 0 && !incoming_.contains(it->first)) idle = it;
  }
  if (learnt < kMaxLearnt) return true;
  if (idle == outgoing_.end()) return false;
  outgoing_.erase(idle);
  return true;
}

void PeerLinks::Write(ConnectionId id, Connection& connection, std::string bytes) {
  Change();
  if (connection.handed_over == 0) connection.progress_us = now_us_;
  connection.handed_over += bytes.size();
  if (!work_.writes.empty() && work_.writes.back().connection == id &&
      work_.writes.back().bytes.size() + bytes.size() <= kWriteBytes) {
    work_.writes.back().bytes += bytes;
  } else {
    work_.writes.push_back({id, std::move(bytes)});
  }
}

void PeerLinks::Flush(Outgoing& out) {
  if (!out.up) return;
  Connection& connection = connections_.at(out.connection);
  while (!out.outbox.empty() && connection.handed_over < options_.max_handed_over_bytes) {
    std::string frame = std::move(out.outbox.front());
    out.outbox.pop_front();
    out.outbox_bytes -= frame.size();
    Write(out.connection, connection, std::move(frame));
  }
}

void PeerLinks::Written(ConnectionId connection, size_t bytes) {
  Change();
  auto it = connections_.find(connection);
  if (it == connections_.end()) return;
  RAFTKV_CHECK(bytes <= it->second.handed_over);
  it->second.handed_over -= bytes;
  it->second.progress_us = now_us_;
  if (it->second.link.direction() == PeerLink::Direction::kOutgoing) {
    Flush(outgoing_.at(it->second.link.peer()));
  }
}

void PeerLinks::Closed(ConnectionId connection, absl::string_view reason) {
  if (connections_.contains(connection)) End(connection, reason, EndedBy::kDriver);
}

void PeerLinks::End(ConnectionId id, absl::string_view reason, EndedBy by) {
  Change();
  auto it = connections_.find(id);
  RAFTKV_CHECK(it != connections_.end());
  const PeerLink& link = it->second.link;
  if (by == EndedBy::kUs) work_.close.push_back(id);
  awaiting_hello_.erase(id);
  if (link.direction() == PeerLink::Direction::kOutgoing) {
    // Not link.peer(): that is who answered.
    auto out = std::find_if(outgoing_.begin(), outgoing_.end(),
                            [&](const auto& o) { return o.second.connection == id; });
    RAFTKV_CHECK(out != outgoing_.end());
    EndOutgoing(out->first, out->second, reason);
  } else {
    auto newest = incoming_.find(link.peer());
    if (newest != incoming_.end() && newest->second == id) incoming_.erase(newest);
    if (by == EndedBy::kUs) Say(EventKind::kRefused, link.peer(), std::string(reason));
  }
  connections_.erase(it);
}

void PeerLinks::EndOutgoing(NodeId id, Outgoing& out, absl::string_view reason) {
  if (out.up) {
    // One that ends as soon as it is up (we are not who they expect) must not be tried in a hurry.
    if (now_us_ - out.up_since_us >= options_.max_backoff_us) out.backoff.Reset();
    unreachable_.insert(id);
    Say(EventKind::kDown, id, std::string(reason));
  } else if (!out.failing) {
    out.failing = true;
    Say(EventKind::kFailing, id, absl::StrCat(out.peer.address, ": ", reason));
  }
  out.up = false;
  out.connection = 0;
  out.dial_at_us = now_us_ + out.backoff.Next();
  Drop(id, out);
}

void PeerLinks::Drop(NodeId id, Outgoing& out) {
  if (out.outbox.empty()) return;
  unreachable_.insert(id);
  out.outbox.clear();
  out.outbox_bytes = 0;
}

void PeerLinks::Say(EventKind kind, NodeId peer, std::string text) {
  work_.events.push_back({kind, peer, std::move(text)});
}

bool PeerLinks::HasWork() const {
  return !work_.empty() || !unreachable_.empty() || now_us_ >= next_deadline_us();
}

PeerLinks::Work PeerLinks::TakeWork() {
  if (now_us_ >= next_deadline_us()) DialDue();
  work_.unreachable.assign(unreachable_.begin(), unreachable_.end());
  unreachable_.clear();
  return std::exchange(work_, Work());
}

uint64_t PeerLinks::next_deadline_us() const {
  if (!deadline_us_.has_value()) deadline_us_ = FindDeadlineUs();
  return *deadline_us_;
}

uint64_t PeerLinks::FindDeadlineUs() const {
  uint64_t next = std::numeric_limits<uint64_t>::max();
  if (!awaiting_hello_.empty()) next = awaiting_hello_.begin()->second;
  for (const auto& [id, out] : outgoing_) {
    if (out.connection == 0) {
      if (!out.learnt && !out.peer.address.empty()) next = std::min(next, out.dial_at_us);
    } else if (out.up) {
      const Connection& connection = connections_.at(out.connection);
      if (connection.handed_over > 0) {
        next = std::min(next, connection.progress_us + options_.stall_timeout_us);
      }
    }
  }
  return next;
}

bool PeerLinks::IsUp(NodeId peer) const {
  auto it = outgoing_.find(peer);
  return it != outgoing_.end() && it->second.up;
}

size_t PeerLinks::outbox_bytes(NodeId peer) const {
  auto it = outgoing_.find(peer);
  return it == outgoing_.end() ? 0 : it->second.outbox_bytes;
}

}  // namespace raftkv::replica
