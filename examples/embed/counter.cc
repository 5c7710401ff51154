// A replicated counter: three nodes of the consensus core in one process, with a queue for a
// network and a struct for a disk. Commands add a number. It elects a leader, counts, loses the
// leader, counts on, and brings the lost node back from its disk and a snapshot.
//
// Node::Run is the whole driver. A real one sends over sockets and writes files, in the same order:
// docs/EMBEDDING.md says why each line stands where it stands.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/raft/raft.h"

using namespace raftkv::raft;  // NOLINT: an example

namespace {

void Require(bool condition, const char* what) {
  if (!condition) std::fprintf(stderr, "counter: %s\n", what), std::exit(1);
}

struct Snapshot {
  SnapshotMeta meta;
  int64_t total = 0;
};

// What survives a crash.
struct Disk {
  HardState hard_state;
  Snapshot snapshot;
  Entries log;  // behind the snapshot
  Index commit = 0;

  // One PersistJob, atomically: a real disk writes one checksummed record and syncs it.
  void Write(const PersistJob& job, const Snapshot& received) {
    if (job.hard_state) hard_state = *job.hard_state;
    if (job.snapshot) {
      snapshot = received;
      log.clear();
    }
    if (job.writes_log) {
      log.resize(job.keep_through - snapshot.meta.index);
      log.insert(log.end(), job.entries.begin(), job.entries.end());
    }
    commit = job.commit;
  }
};

class Node {
 public:
  Node(NodeId id, Disk* disk) : disk_(disk), total_(disk->snapshot.total) {
    Options options;
    options.id = id;
    Recovered recovered{disk->hard_state, disk->snapshot.meta, disk->log, disk->commit, {}};
    auto created = Raft::Create(options, std::move(recovered), /*seed=*/id);
    Require(created.ok(), "the disk contradicts itself");
    raft_.emplace(*std::move(created));
  }

  Raft& raft() { return *raft_; }
  int64_t total() const { return total_; }

  // A snapshot's bytes come ahead of the message that names it; here they are one number.
  void Receive(Message message, const Snapshot& with) {
    if (const auto* install = std::get_if<InstallSnapshot>(&message.body)) {
      if (with.meta != install->meta) return;  // it will be offered again
      received_ = with;
    }
    raft_->Step(std::move(message));
  }

  // Carries out everything the core wants done. The order is that of ready.h.
  template <typename Network>
  void Run(Network& network) {
    while (raft_->HasReady()) {
      Ready ready = raft_->TakeReady();
      network.Send(ready.send_now);
      if (ready.persist) {
        disk_->Write(*ready.persist, received_);
        raft_->Persisted(ready.persist->ticket);
        if (ready.persist->snapshot) {
          total_ = disk_->snapshot.total;
          raft_->Applied(disk_->snapshot.meta.index);
        }
      }
      network.Send(ready.send_after_persist);
      for (const Entry& entry : ready.committed) Apply(entry);
    }
  }

 private:
  void Apply(const Entry& entry) {
    if (entry.type == EntryType::kMembership) {
      raft_->ApplyMembership(entry.index);
    } else if (!entry.payload.empty()) {  // the first entry of each leader is empty
      total_ += std::atoll(std::string(entry.payload.view()).c_str());
    }
    raft_->Applied(entry.index);
    if (entry.index % 8 == 0) TakeSnapshot(entry);
  }

  void TakeSnapshot(const Entry& last) {
    const auto dropped = static_cast<ptrdiff_t>(last.index - disk_->snapshot.meta.index);
    disk_->snapshot = {{last.index, last.term, raft_->conf()}, total_};
    disk_->log.erase(disk_->log.begin(), disk_->log.begin() + dropped);
    raft_->SnapshotAvailable(disk_->snapshot.meta);
    raft_->Compact(last.index);
  }

  Disk* disk_;
  Snapshot received_;
  int64_t total_;
  std::optional<Raft> raft_;
};

class Cluster {
 public:
  Cluster() {
    // A cluster is founded by a snapshot that names its voters, the same on every disk.
    const Snapshot founding{{1, 1, {{1, 2, 3}, {}, {}, {}, false}}, 0};
    for (NodeId id = 1; id <= 3; ++id) {
      disks_[id].snapshot = founding;
      Start(id);
    }
  }

  void Start(NodeId id) { nodes_.emplace(id, Node(id, &disks_[id])); }
  void Crash(NodeId id) { nodes_.erase(id); }
  Node& node(NodeId id) { return nodes_.at(id); }

  void Send(Messages& messages) {
    for (Message& message : messages) {
      const NodeId from = message.from;
      network_.emplace_back(std::move(message), disks_[from].snapshot);
    }
  }

  // Time passes: ticks of every node, and all that comes of them.
  void Tick(int count) {
    for (; count > 0; --count, Settle()) {
      for (auto& [id, node] : nodes_) node.raft().Tick();
    }
  }

  NodeId Leader() {
    for (int patience = 0; patience < 100; ++patience, Tick(10)) {
      for (auto& [id, node] : nodes_) {
        if (node.raft().is_leader() && node.raft().committed_in_term()) return id;
      }
    }
    return Require(false, "no leader"), kNoNode;
  }

  void Add(int64_t number) {
    Raft& raft = node(Leader()).raft();
    const Proposed proposed = raft.Propose(Payload::Copy(std::to_string(number)));
    Require(proposed.outcome == Outcome::kOk, "the proposal was refused");
    Settle();
    // Done if the entry applied at that index is the one proposed: its term says so.
    Require(raft.applied() >= proposed.index && raft.term() == proposed.term, "not committed");
  }

 private:
  void Settle() {
    for (;;) {
      for (auto& [id, node] : nodes_) node.Run(*this);
      if (network_.empty()) return;
      for (auto& [message, with] : std::exchange(network_, {})) {
        const auto to = nodes_.find(message.to);
        if (to != nodes_.end()) to->second.Receive(std::move(message), with);
      }
    }
  }

  std::map<NodeId, Disk> disks_;
  std::map<NodeId, Node> nodes_;
  std::vector<std::pair<Message, Snapshot>> network_;
};

}  // namespace

int main() {
  Cluster cluster;
  for (int number = 1; number <= 10; ++number) cluster.Add(number);
  const NodeId first = cluster.Leader();
  cluster.Crash(first);
  for (int number = 11; number <= 40; ++number) cluster.Add(number);
  cluster.Start(first);
  cluster.Tick(100);
  for (NodeId id = 1; id <= 3; ++id) {
    const auto total = static_cast<long long>(cluster.node(id).total());
    std::printf("node %d: %lld\n", static_cast<int>(id), total);
    Require(total == 40 * 41 / 2, "a replica counted wrong");
  }
}
