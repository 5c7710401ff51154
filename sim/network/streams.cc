#include "sim/network/streams.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"

namespace raftkv::sim {
namespace {

// Until both ends of a broken connection have heard of it.
constexpr Time kLeastUntilHeard = kMillisecond;
constexpr Time kMostUntilHeard = 400 * kMillisecond;
constexpr Time kUsuallyUntilHeard = 20 * kMillisecond;

}  // namespace

Streams::Streams(Scheduler* scheduler, Decisions* decisions, Network* network,
                 const StreamOptions& options, Random random, Find find)
    : scheduler_(scheduler),
      decisions_(decisions),
      network_(network),
      options_(options),
      random_(random),
      find_(std::move(find)) {
  decisions_->Own(&random_);
}

Streams::Connection* Streams::FindConnection(uint64_t number) {
  const auto at = connections_.find(number);
  return at == connections_.end() ? nullptr : &at->second;
}

Streams::Connection* Streams::FindEnd(raft::NodeId node, uint64_t connection, uint64_t* number,
                                      size_t* side) {
  const auto at = open_.find({node, connection});
  if (at == open_.end()) return nullptr;
  std::tie(*number, *side) = at->second;
  return &connections_.at(*number);
}

std::string Streams::NameOfLink(absl::string_view what, const Connection& connection, size_t side) {
  return decisions_->Name([&] {
    return absl::StrCat(what, " ", connection.ends[side].node, ">", connection.ends[1 - side].node);
  });
}

Time Streams::Takes(absl::string_view name) {
  const NetworkOptions& network = network_->options();
  const Time takes = decisions_->Decide(name, "takes", Usual(network.delay),
                                        [&] { return Draw(network.delay, random_); });
  // Of a packet that was lost; it takes its time to notice.
  const Time again = decisions_->Decide(name, "is sent again after", 0, [&]() -> uint64_t {
    if (!random_.PerMille(network.loss_per_mille)) return 0;
    return DrawExponential(4 * Usual(network.delay), random_);
  });
  return takes + again;
}

// --- From one end to the other

void Streams::Dial(raft::NodeId from, uint64_t connection, raft::NodeId to) {
  ++counters_.dials;
  const uint64_t number = ++last_;
  Connection& made = connections_[number];
  made.ends[0].node = from;
  made.ends[0].connection = connection;
  made.ends[0].open = true;
  made.ends[1].node = to;
  open_[{from, connection}] = {number, 0};
  const std::string name = NameOfLink("dial", made, 0);
  const Time takes = Takes(name);
  network_->Carry(from, to, scheduler_->now() + takes, [this, number, takes](bool arrived) {
    Connection* dialed = FindConnection(number);
    if (dialed == nullptr) return;
    Host* host = arrived ? find_(dialed->ends[1].node) : nullptr;
    if (host == nullptr) {
      // A machine that is there says no at once; a network that is not says nothing.
      const Time patience = arrived ? takes : 10 * takes;
      return scheduler_->After(patience, Actor::kNode,
                               [this, number] { Refuse(number, "nobody answers"); });
    }
    ++counters_.accepted;
    network_->Carry(dialed->ends[1].node, dialed->ends[0].node, scheduler_->now() + takes,
                    [this, number](bool answered) {
                      Connection* connected = FindConnection(number);
                      if (connected == nullptr) return;
                      if (!answered) return Refuse(number, "the answer is lost");
                      if (Host* there = HostOf(connected->ends[0])) {
                        there->PeerConnected(connected->ends[0].connection);
                      }
                    });
    host->PeerDialed([this, number](uint64_t accepted) {
      Connection* waiting = FindConnection(number);
      if (waiting == nullptr) return;
      End& end = waiting->ends[1];
      end.connection = accepted;
      end.open = true;
      open_[{end.node, accepted}] = {number, 1};
      Pass(number, 0);
    });
  });
}

void Streams::Write(raft::NodeId from, uint64_t connection, std::string bytes) {
  uint64_t number = 0;
  size_t side = 0;
  Connection* written = FindEnd(from, connection, &number, &side);
  if (written == nullptr || bytes.empty()) return;
  ++counters_.writes;
  const std::string name = NameOfLink("wire", *written, side);
  const uint64_t size = bytes.size();
  if (decisions_->Decide(name, "breaks", 0,
                         [this] { return random_.PerMille(options_.break_per_mille); })) {
    const uint64_t arrives =
        decisions_->Decide(name, "breaks behind", 0, [&] { return random_.Below(size + 1); });
    bytes.resize(std::min(arrives, size));
    if (!bytes.empty()) Launch(number, side, name, std::move(bytes));
    FindConnection(number)->ends[side].cut = true;
    return BreakLater(number);
  }
  // 0: in one piece.
  const uint64_t first = decisions_->Decide(name, "is split behind", 0, [&]() -> uint64_t {
    if (size < 2 || !random_.PerMille(options_.split_per_mille)) return 0;
    return random_.Between(1, size - 1);
  });
  if (first > 0 && first < size) {
    Launch(number, side, name, bytes.substr(0, first));
    bytes.erase(0, first);
    return Launch(number, side, NameOfLink("rest", *FindConnection(number), side),
                  std::move(bytes));
  }
  Launch(number, side, name, std::move(bytes));
}

// An empty piece says that the end has closed.
void Streams::Launch(uint64_t number, size_t side, absl::string_view name, std::string bytes) {
  Connection& connection = connections_.at(number);
  End& end = connection.ends[side];
  if (end.cut) return;
  end.last_arrival = std::max(end.last_arrival, scheduler_->now() + Takes(name));
  network_->Carry(end.node, connection.ends[1 - side].node, end.last_arrival,
                  [this, number, side, piece = end.sent++, bytes = std::move(bytes)](bool arrived) {
                    Connection* carried = FindConnection(number);
                    if (carried == nullptr) return;
                    End& from = carried->ends[side];
                    if (!arrived) {
                      from.cut = true;
                      return BreakLater(number);
                    }
                    from.arrived[piece] = bytes;
                    Pass(number, side);
                  });
}

// Gives the other end what has come, in order. Each piece may end the connection, or a process.
void Streams::Pass(uint64_t number, size_t side) {
  for (;;) {
    Connection* connection = FindConnection(number);
    if (connection == nullptr || !connection->ends[1 - side].open) return;
    End& from = connection->ends[side];
    const auto next = from.arrived.find(from.passed);
    if (next == from.arrived.end()) return;
    const std::string bytes = std::move(next->second);
    from.arrived.erase(next);
    ++from.passed;
    Host* to = HostOf(connection->ends[1 - side]);
    const uint64_t there = connection->ends[1 - side].connection;
    if (bytes.empty()) {
      Forget(number);
      if (to != nullptr) to->PeerClosed(there, "closed by the other side");
      return;
    }
    if (Host* writer = HostOf(from)) writer->PeerWritten(from.connection, bytes.size());
    if (to != nullptr) to->PeerBytes(there, bytes);
  }
}

// --- The end

void Streams::Close(raft::NodeId from, uint64_t connection) {
  uint64_t number = 0;
  size_t side = 0;
  Connection* closed = FindEnd(from, connection, &number, &side);
  if (closed == nullptr) return;
  End& end = closed->ends[side];
  end.open = false;
  open_.erase({end.node, end.connection});
  const End& other = closed->ends[1 - side];
  if (!other.open && other.connection != 0) return Forget(number);  // it has closed, too
  const std::string name = NameOfLink("wire", *closed, side);
  Launch(number, side, name, std::string());
}

void Streams::NodeDied(raft::NodeId node) {
  std::vector<uint64_t> numbers;
  for (auto& [number, connection] : connections_) {
    for (End& end : connection.ends) {
      if (end.node != node) continue;
      if (end.open) open_.erase({end.node, end.connection});
      end.open = false;
      numbers.push_back(number);
    }
  }
  for (const uint64_t number : numbers) BreakLater(number);
}

void Streams::BreakThoseTo(raft::NodeId node) {
  std::vector<uint64_t> numbers;
  for (const auto& [number, connection] : connections_) {
    if (connection.ends[1].node == node) numbers.push_back(number);
  }
  for (const uint64_t number : numbers) BreakLater(number);
}

void Streams::BreakLater(uint64_t number) {
  Connection* connection = FindConnection(number);
  if (connection == nullptr || std::exchange(connection->breaks, true)) return;
  ++counters_.broken;
  const std::string name = NameOfLink("broken", *connection, 0);
  const Time after = decisions_->Decide(name, "is heard of after", kUsuallyUntilHeard, [this] {
    return random_.Between(kLeastUntilHeard, kMostUntilHeard);
  });
  scheduler_->After(after, Actor::kNode, [this, number] { EndBoth(number, "connection reset"); });
}

void Streams::Refuse(uint64_t number, absl::string_view why) { EndBoth(number, why); }

void Streams::EndBoth(uint64_t number, absl::string_view why) {
  Connection* connection = FindConnection(number);
  if (connection == nullptr) return;
  const std::array<End, 2> ends = std::move(connection->ends);
  Forget(number);
  for (const End& end : ends) {
    if (Host* host = HostOf(end)) host->PeerClosed(end.connection, why);
  }
}

void Streams::Forget(uint64_t number) {
  const auto at = connections_.find(number);
  for (const End& end : at->second.ends) {
    if (end.open) open_.erase({end.node, end.connection});
  }
  connections_.erase(at);
}

}  // namespace raftkv::sim
