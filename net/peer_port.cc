#include "net/peer_port.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "net/endpoint.h"

namespace raftkv::net {

PeerPort::~PeerPort() { CloseAll(); }

absl::Status PeerPort::Listen(const Endpoint& endpoint) {
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Open(loop_, endpoint, this);
  if (!listener.ok()) return listener.status();
  listener_ = *std::move(listener);
  return absl::OkStatus();
}

bool PeerPort::CarryOut() {
  replica::PeerLinks::Work work = links_.TakeWork();
  if (work.empty()) return false;
  for (auto& write : work.writes) {
    auto it = streams_.find(write.connection);
    if (it != streams_.end()) it->second->Write(std::move(write.bytes));
  }
  for (const ConnectionId connection : work.close) {
    if (auto it = streams_.find(connection); it != streams_.end()) {
      it->second->Close();
      streams_.erase(it);
    }
    if (auto it = lookups_.find(connection); it != lookups_.end()) {
      it->second->port = nullptr;
      uv_cancel(reinterpret_cast<uv_req_t*>(&it->second->request));
      lookups_.erase(it);
    }
  }
  for (const auto& dial : work.dials) Dial(dial.connection, dial.address);
  for (const raft::NodeId peer : work.unreachable) replica_->PeerUnreachable(peer);
  for (const auto& event : work.events) LogEvent(event);
  return true;
}

void PeerPort::CloseAll() {
  for (auto& [id, stream] : streams_) stream->Close();
  streams_.clear();
  for (auto& [id, lookup] : lookups_) {
    lookup->port = nullptr;
    uv_cancel(reinterpret_cast<uv_req_t*>(&lookup->request));
  }
  lookups_.clear();
}

void PeerPort::Dial(ConnectionId connection, const std::string& address) {
  const absl::StatusOr<Endpoint> endpoint = ParseEndpoint(address);
  if (!endpoint.ok()) return links_.Closed(connection, endpoint.status().message());
  sockaddr_storage numeric;
  if (ParseNumeric(*endpoint, &numeric)) {
    return ConnectTo(connection, reinterpret_cast<const sockaddr*>(&numeric));
  }
  auto* lookup = new Lookup{{}, this, connection};
  lookup->request.data = lookup;
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  const int error = uv_getaddrinfo(
      loop_, &lookup->request,
      [](uv_getaddrinfo_t* request, int status, addrinfo* found) {
        const std::unique_ptr<Lookup> done(static_cast<Lookup*>(request->data));
        PeerPort* port = done->port;
        if (port != nullptr) {
          port->turn_->BeginTurn();
          port->lookups_.erase(done->connection);
          if (status == 0 && found != nullptr) {
            port->ConnectTo(done->connection, port->AnyOf(found));
          } else {
            port->links_.Closed(done->connection, uv_strerror(status));
          }
        }
        uv_freeaddrinfo(found);
      },
      endpoint->host.c_str(), absl::StrCat(endpoint->port).c_str(), &hints);
  if (error != 0) {
    delete lookup;
    return links_.Closed(connection, uv_strerror(error));
  }
  lookups_.emplace(connection, lookup);
}

// One of the addresses of a name, by lot: one that does not answer is not the only one that is ever
// tried.
const sockaddr* PeerPort::AnyOf(const addrinfo* found) {
  uint64_t count = 0;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) ++count;
  for (uint64_t lot = random_.Below(count); lot > 0; --lot) found = found->ai_next;
  return found->ai_addr;
}

void PeerPort::ConnectTo(ConnectionId connection, const sockaddr* address) {
  Stream* stream = Stream::Create(loop_, connection, this);
  if (const absl::Status status = stream->Connect(address); !status.ok()) {
    stream->Close();
    return links_.Closed(connection, status.message());
  }
  streams_.emplace(connection, stream);
}

void PeerPort::ConnectionWaiting(uv_tcp_t* listener) {
  turn_->BeginTurn();
  const ConnectionId connection = links_.Accepted();
  Stream* stream = Stream::Create(loop_, connection, this);
  if (const absl::Status accepted = stream->Accept(listener); !accepted.ok()) {
    stream->Close();
    links_.Closed(connection, accepted.message());
    return AcceptFailed(accepted.message());
  }
  streams_.emplace(connection, stream);
  stream->Read();
}

void PeerPort::AcceptFailed(absl::string_view reason) {
  uint64_t suppressed = 0;
  if (limiter_.Allow(uv_now(loop_), &suppressed)) {
    Log(LogLevel::kWarn, "peer not accepted", {{"reason", reason}, {"suppressed", suppressed}});
  }
}

void PeerPort::StreamConnected(uint64_t id) {
  turn_->BeginTurn();
  links_.Connected(id);
}

void PeerPort::StreamBytes(uint64_t id, absl::string_view bytes) {
  turn_->BeginTurn();
  links_.Received(id, bytes, [this](absl::string_view body) { replica_->ReceivePeer(body); });
}

void PeerPort::StreamWritten(uint64_t id, size_t bytes) {
  turn_->BeginTurn();
  links_.Written(id, bytes);
}

void PeerPort::StreamFinished(uint64_t id) {
  turn_->BeginTurn();
  auto it = streams_.find(id);
  if (it == streams_.end()) return;
  it->second->Close();
  streams_.erase(it);
  links_.Closed(id, "closed by the other side");
}

void PeerPort::StreamEnded(uint64_t id, absl::string_view reason) {
  turn_->BeginTurn();
  streams_.erase(id);
  links_.Closed(id, reason);
}

void PeerPort::LogEvent(const replica::PeerLinks::Event& event) {
  using Kind = replica::PeerLinks::EventKind;
  switch (event.kind) {
    case Kind::kUp:
      return Log(LogLevel::kInfo, "peer connected",
                 {{"peer", event.peer}, {"address", event.text}});
    case Kind::kDown:
      return Log(LogLevel::kWarn, "peer lost", {{"peer", event.peer}, {"reason", event.text}});
    case Kind::kFailing:
      return Log(LogLevel::kWarn, "peer not reachable",
                 {{"peer", event.peer}, {"reason", event.text}});
    case Kind::kArrived:
      return Log(LogLevel::kInfo, "peer arrived", {{"peer", event.peer}, {"address", event.text}});
    case Kind::kRefused: {
      // Anybody can cause these.
      uint64_t suppressed = 0;
      if (limiter_.Allow(uv_now(loop_), &suppressed)) {
        Log(LogLevel::kWarn, "peer refused",
            {{"peer", event.peer}, {"reason", event.text}, {"suppressed", suppressed}});
      }
      return;
    }
  }
}

}  // namespace raftkv::net
