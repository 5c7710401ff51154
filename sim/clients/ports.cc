#include "sim/clients/ports.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace raftkv::sim {

Time Ports::Arrival(const Connection& connection, Time* last) {
  const std::string name =
      decisions_->Name([&] { return absl::StrCat("bytes of ", connection.caller->CallerName()); });
  const Time takes = decisions_->Decide(name, "take", Usual(options_.delay),
                                        [this] { return Draw(options_.delay, random_); });
  *last = std::max(*last, scheduler_->now() + takes);
  return *last;
}

Process* Ports::Accepting(const Connection& connection) {
  Process* process = find_(connection.node);
  if (process == nullptr || !connection.accepted || process->life() != connection.life) {
    return nullptr;
  }
  return process;
}

replica::ClientId Ports::Connect(Caller* caller, raft::NodeId node) {
  const replica::ClientId id = ++last_id_;
  Connection& connection = connections_[id];
  connection.caller = caller;
  connection.node = node;
  scheduler_->At(Arrival(connection, &connection.last_to_node), Actor::kNode, [this, id] {
    const auto it = connections_.find(id);
    if (it == connections_.end()) return;
    Process* process = find_(it->second.node);
    if (process == nullptr || process->state() == Process::State::kDown) return Break(id);
    it->second.accepted = true;
    it->second.life = process->life();
    process->ClientOpened(id);
  });
  return id;
}

void Ports::Send(replica::ClientId id, std::string bytes) {
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;
  const std::string name = decisions_->Name(
      [&] { return absl::StrCat("request of ", it->second.caller->CallerName()); });
  const auto up_to = [&](size_t most) { return std::min<uint64_t>(most, bytes.size()); };
  if (decisions_->Decide(name, "breaks", 0,
                         [this] { return random_.PerMille(options_.reset_per_mille); })) {
    // Some of it may still arrive.
    const uint64_t arrives = decisions_->Decide(name, "breaks behind", 0,
                                                [&] { return random_.Below(bytes.size() + 1); });
    Launch(id, it->second, bytes.substr(0, up_to(arrives)));
    return Break(id);
  }
  if (bytes.size() > 1) {
    // 0: in one piece.
    const uint64_t first = decisions_->Decide(name, "is split behind", 0, [&]() -> uint64_t {
      if (!random_.PerMille(options_.split_per_mille)) return 0;
      return random_.Between(1, bytes.size() - 1);
    });
    if (first > 0 && first < bytes.size()) {
      Launch(id, it->second, bytes.substr(0, first));
      bytes.erase(0, first);
    }
  }
  Launch(id, it->second, std::move(bytes));
}

void Ports::Launch(replica::ClientId id, Connection& connection, std::string bytes) {
  scheduler_->At(Arrival(connection, &connection.last_to_node), Actor::kNode,
                 [this, id, bytes = std::move(bytes)] { ToNode(id, bytes); });
}

void Ports::ToNode(replica::ClientId id, std::string bytes) {
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;
  Connection& connection = it->second;
  Process* process = Accepting(connection);
  if (process == nullptr) return;
  if (connection.paused || !connection.held.empty()) {
    connection.held.push_back(std::move(bytes));
    return;
  }
  process->ClientBytes(id, std::move(bytes));
}

void Ports::Drain(replica::ClientId id) {
  for (;;) {
    // Each piece may pause the connection again, or end it.
    const auto it = connections_.find(id);
    if (it == connections_.end() || it->second.paused || it->second.held.empty()) return;
    std::string bytes = std::move(it->second.held.front());
    it->second.held.pop_front();
    if (Process* process = Accepting(it->second)) process->ClientBytes(id, std::move(bytes));
  }
}

void Ports::Close(replica::ClientId id) {
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;
  const Time arrival = Arrival(it->second, &it->second.last_to_node);
  scheduler_->At(arrival, Actor::kNode, [this, connection = std::move(it->second), id] {
    if (Process* process = Accepting(connection)) process->ClientClosed(id);
  });
  connections_.erase(it);
}

void Ports::SendToCaller(replica::ClientId id, std::string bytes) {
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;
  const Time arrival = Arrival(it->second, &it->second.last_to_caller);
  scheduler_->At(arrival, Actor::kClient, [this, id, bytes = std::move(bytes)] {
    const auto open = connections_.find(id);
    if (open == connections_.end()) return;
    if (Process* process = Accepting(open->second)) process->ClientWritten(id, bytes.size());
    // That may have been the end of the connection, or of the node.
    if (const auto still = connections_.find(id); still != connections_.end()) {
      still->second.caller->OnBytes(id, bytes);
    }
  });
}

void Ports::CloseByNode(replica::ClientId id) {
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;
  const Time arrival = Arrival(it->second, &it->second.last_to_caller);
  scheduler_->At(arrival, Actor::kClient, [this, id] {
    const auto open = connections_.find(id);
    if (open == connections_.end()) return;
    Caller* caller = open->second.caller;
    connections_.erase(open);
    caller->OnClosed(id);
  });
}

void Ports::Break(replica::ClientId id) {
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;
  scheduler_->At(Arrival(it->second, &it->second.last_to_node), Actor::kNode,
                 [this, c = it->second, id] {
                   if (Process* process = Accepting(c)) process->ClientClosed(id);
                 });
  CloseByNode(id);
}

void Ports::Pause(replica::ClientId id, bool paused) {
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;
  it->second.paused = paused;
  if (!paused && !it->second.held.empty()) {
    scheduler_->After(0, Actor::kNode, [this, id] { Drain(id); });
  }
}

void Ports::NodeDied(raft::NodeId node) {
  for (const auto& [id, connection] : connections_) {
    if (connection.node == node && connection.accepted) CloseByNode(id);
  }
}

}  // namespace raftkv::sim
