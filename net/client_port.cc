#include "net/client_port.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

namespace raftkv::net {

ClientPort::~ClientPort() {
  for (auto& [id, stream] : streams_) stream->Close();
}

absl::Status ClientPort::Listen(const Endpoint& endpoint) {
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Open(loop_, endpoint, this);
  if (!listener.ok()) return listener.status();
  listener_ = *std::move(listener);
  return absl::OkStatus();
}

Stream* ClientPort::Find(uint64_t id) const {
  auto it = streams_.find(id);
  return it == streams_.end() ? nullptr : it->second;
}

void ClientPort::ConnectionWaiting(uv_tcp_t* listener) {
  turn_->BeginTurn();
  // The replica has forgotten those that linger, but their descriptors are as real as any: with
  // them there are never more than it takes, and the disk finds one when it needs it.
  if (streams_.size() >= replica_->options().max_clients && !lingering_.empty()) {
    const auto sooner = [](const auto& a, const auto& b) { return a.second < b.second; };
    EndLingering(std::min_element(lingering_.begin(), lingering_.end(), sooner));
  }
  const replica::ClientId id = ++last_id_;
  Stream* stream = Stream::Create(loop_, id, this);
  if (const absl::Status accepted = stream->Accept(listener); !accepted.ok()) {
    stream->Close();
    return AcceptFailed(accepted.message());
  }
  if (!replica_->ClientOpened(id)) {
    // A few bytes always fit into a new socket.
    stream->Write("-ERR max number of clients reached\r\n");
    stream->Close();
    uint64_t suppressed = 0;
    if (limiter_.Allow(uv_now(loop_), &suppressed)) {
      Log(LogLevel::kWarn, "client refused",
          {{"reason", "max number of clients reached"}, {"suppressed", suppressed}});
    }
    return;
  }
  streams_.emplace(id, stream);
  stream->Read();
}

void ClientPort::AcceptFailed(absl::string_view reason) {
  uint64_t suppressed = 0;
  if (limiter_.Allow(uv_now(loop_), &suppressed)) {
    Log(LogLevel::kWarn, "client not accepted", {{"reason", reason}, {"suppressed", suppressed}});
  }
}

void ClientPort::StreamBytes(uint64_t id, absl::string_view bytes) {
  turn_->BeginTurn();
  replica_->ClientBytes(id, bytes);
}

void ClientPort::StreamWritten(uint64_t id, size_t bytes) {
  if (lingering_.contains(id)) return;  // the replica has forgotten it
  turn_->BeginTurn();
  replica_->ClientWritten(id, bytes);
}

void ClientPort::StreamFinished(uint64_t id) {
  turn_->BeginTurn();
  replica_->ClientFinished(id);
}

void ClientPort::StreamEnded(uint64_t id, absl::string_view) {
  turn_->BeginTurn();
  streams_.erase(id);
  if (lingering_.erase(id) == 0) replica_->ClientClosed(id);
}

void ClientPort::Write(replica::ClientId client, std::string bytes) {
  if (Stream* stream = Find(client)) stream->Write(std::move(bytes));
}

void ClientPort::SetPaused(replica::ClientId client, bool paused) {
  Stream* stream = Find(client);
  if (stream == nullptr) return;
  if (paused) {
    stream->Pause();
  } else {
    stream->Read();
  }
}

void ClientPort::Close(replica::ClientId client) {
  Stream* stream = Find(client);
  if (stream == nullptr) return;
  lingering_[client] = now_us_ + kLingerUs;
  stream->CloseWhenWritten();
}

void ClientPort::CloseAll() {
  std::vector<replica::ClientId> clients;
  for (const auto& [id, stream] : streams_) clients.push_back(id);
  for (const replica::ClientId id : clients) {
    if (!lingering_.contains(id)) Close(id);
  }
}

void ClientPort::AdvanceTime(uint64_t now_us) {
  now_us_ = now_us;
  for (auto it = lingering_.begin(); it != lingering_.end();) {
    if (it->second > now_us_) {
      ++it;
      continue;
    }
    it = EndLingering(it);
  }
}

ClientPort::Lingering::iterator ClientPort::EndLingering(Lingering::iterator client) {
  Find(client->first)->Close();
  streams_.erase(client->first);
  return lingering_.erase(client);
}

uint64_t ClientPort::next_deadline_us() const {
  uint64_t next = std::numeric_limits<uint64_t>::max();
  for (const auto& [id, deadline] : lingering_) next = std::min(next, deadline);
  return next;
}

}  // namespace raftkv::net
