// A few replicas in one thread over simulated disks, messages delivered at once unless a test
// interferes. Damage can be made up: what a disk would have found at the next start.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/replica/replica.h"
#include "core/wire/command.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"
#include "sim/disk/sim_disk.h"
#include "storage/run_job.h"
#include "storage/storage.h"

namespace raftkv::replica {

inline constexpr wire::ClusterId kCluster{0x1111, 0x2222};

inline std::string Resp(const std::vector<std::string>& words) {
  std::string bytes = absl::StrCat("*", words.size(), "\r\n");
  for (const std::string& word : words)
    absl::StrAppend(&bytes, "$", word.size(), "\r\n", word, "\r\n");
  return bytes;
}

inline raft::Payload IncrementOf(absl::string_view key, uint64_t session = 0,
                                 uint64_t sequence = 0) {
  kv::Command command;
  command.session = session;
  command.sequence = sequence;
  kv::Op& op = command.ops.emplace_back();
  op.kind = kv::OpKind::kIncrBy;
  op.key = key;
  op.delta = 1;
  return wire::CommandEncoder().EncodePayload(command);
}

// What a node is made to find on its disk, which in truth holds everything.
struct Damage {
  std::set<raft::Index> bad;                 // entries
  std::set<raft::Index> nameless;            // of these not even the term is known
  std::set<uint64_t> bad_pieces;             // offsets of the current snapshot
  std::optional<raft::Suspicion> suspicion;  // noted in front of the log
  raft::Suspicion::Evidence evidence = raft::Suspicion::Evidence::kSpoilt;
};

class Cluster {
 public:
  struct Node {
    std::unique_ptr<sim::SimDisk> disk;
    std::unique_ptr<storage::Storage> storage;
    std::unique_ptr<Replica> replica;
    std::deque<Job> jobs;
    std::map<ClientId, std::string> output;
    std::set<ClientId> closed;
    std::vector<Event> events;
    uint64_t life = 0;
    Damage damage;
    bool made_up = false;  // what it found at its last start was
    raft::Entries whole;   // the log as it is in truth
    std::string received;  // of a snapshot that is to repair one
  };

  explicit Cluster(size_t voters, std::function<void(Options&)> tune = {})
      : tune_(std::move(tune)) {
    Members members;
    raft::SnapshotMeta meta{1, 1, {}};
    for (raft::NodeId id = 1; id <= voters; ++id) {
      members.Set(id, MemberOf(id));
      meta.conf.voters.push_back(id);
    }
    Options options;
    if (tune_) tune_(options);
    founding_ = {meta, Replica::FoundingState(members, options.store)};
    for (raft::NodeId id = 1; id <= voters; ++id) Create(id, founding_);
  }

  static Member MemberOf(raft::NodeId id) {
    return {100 + id, absl::StrCat("127.0.0.1:", 7401 + 10 * id),
            absl::StrCat("127.0.0.1:", 7400 + 10 * id)};
  }

  void Create(raft::NodeId id, const storage::Founding& founding) {
    Node& node = nodes[id];
    node.disk = std::make_unique<sim::SimDisk>(sim::SimDisk::Options{});
    const storage::Identity identity{{kCluster.high, kCluster.low}, id, 100 + id, 0, 1};
    ASSERT_TRUE(storage::Storage::Init(*node.disk, identity, founding).ok());
    Start(id);
  }

  void Start(raft::NodeId id) {
    Node& node = nodes[id];
    storage::Options storage_options;
    storage_options.segment_bytes = 64 << 10;
    storage_options.block_bytes = 512;
    auto storage = storage::Storage::Open(*node.disk, storage_options);
    ASSERT_TRUE(storage.ok()) << storage.status();
    node.storage = *std::move(storage);
    storage::Recovered found = node.storage->TakeRecovered();
    Boot boot;
    boot.recovered = {found.hard_state, found.snapshot.meta, found.entries, found.commit,
                      node.damage.suspicion ? node.damage.suspicion : found.suspicion};
    boot.damage = found.damage;
    boot.snapshot_damaged = found.snapshot_damaged;
    node.made_up = !node.damage.bad.empty() || !node.damage.bad_pieces.empty();
    boot.snapshot_size = found.snapshot.size;
    boot.snapshot_digest = found.snapshot.digest;
    boot.read_snapshot = [&](uint64_t offset, uint64_t length) -> absl::StatusOr<std::string> {
      if (node.damage.bad_pieces.contains(offset)) return absl::DataLossError("rotten");
      return node.storage->ReadSnapshot(found.snapshot.meta.index, offset, length);
    };
    MakeUpDamage(node, &boot);
    boot.seed = id * 1000 + ++node.life;
    Options options;
    options.cluster = kCluster;
    options.incarnation = 100 + id;
    options.raft.id = id;
    options.record_applied = true;
    if (tune_) tune_(options);
    auto replica = Replica::Create(options, std::move(boot));
    started = replica.status();
    ASSERT_TRUE(replica.ok() || may_refuse) << replica.status();
    if (!replica.ok()) return;
    node.replica = *std::move(replica);
    node.replica->AdvanceTime(now_us, 1'700'000'000'000 + now_us / 1000);
  }

  void Kill(raft::NodeId id) {
    Node& node = nodes.at(id);
    node.replica.reset();
    node.jobs.clear();
    node.storage.reset();
    Random random(id);
    node.disk->Crash(random);
    node.output.clear();
  }

  Replica& operator[](raft::NodeId id) { return *nodes.at(id).replica; }

  // Carries out everything until nothing is left to do. Time stands still.
  void Settle() {
    for (int turns = 0; turns < 10'000; ++turns) {
      bool idle = true;
      for (auto& [id, node] : nodes) {
        if (node.replica == nullptr) continue;
        Work work = node.replica->TakeWork();
        idle = idle && work.empty();
        for (Work::Frame& frame : work.frames) {
          frames_sent[{id, frame.to}] += 1;
          bytes_sent[{id, frame.to}] += frame.bytes.size();
          if (tap) {
            const auto message =
                wire::DecodePeer(absl::string_view(frame.bytes).substr(wire::kFrameHeaderSize));
            ASSERT_TRUE(message.ok()) << message.status();
            tap(*message);
          }
          for (int copy = 0; copy < (duplicate ? 2 : 1); ++copy) {
            if (!drop || !drop(id, frame.to))
              network_.push_back({id, frame.to, frame.bytes, now_us + delay_us});
          }
        }
        for (Work::Output& output : work.output) {
          node.output[output.client] += output.bytes;
          node.replica->ClientWritten(output.client, output.bytes.size());
        }
        for (const ClientId client : work.close) node.closed.insert(client);
        for (Event& event : work.events) node.events.push_back(std::move(event));
        for (Job& job : work.jobs) node.jobs.push_back(std::move(job));
        if (!hold_disk.contains(id) && !node.jobs.empty()) {
          const Job job = std::move(node.jobs.front());
          node.jobs.pop_front();
          node.replica->JobDone(Run(node, job));
          idle = false;
        }
        if (work.restart) {
          restarts.insert(id);
          Kill(id);
          Start(id);
        }
      }
      for (size_t left = network_.size(); left > 0; --left) {
        Packet packet = std::move(network_.front());
        network_.pop_front();
        if (packet.arrives_us > now_us) {
          network_.push_back(std::move(packet));
          continue;
        }
        idle = false;
        const auto to = nodes.find(packet.to);
        if (to == nodes.end() || to->second.replica == nullptr) continue;
        to->second.replica->ReceivePeer(
            absl::string_view(packet.bytes).substr(wire::kFrameHeaderSize));
      }
      if (idle) return;
    }
    FAIL() << "never settles";
  }

  void Run(uint64_t ms) {
    for (uint64_t i = 0; i < ms / 10; ++i) {
      now_us += 10'000;
      for (auto& [id, node] : nodes) {
        if (node.replica != nullptr)
          node.replica->AdvanceTime(now_us, 1'700'000'000'000 + now_us / 1000);
      }
      Settle();
    }
  }

  raft::NodeId Leader() {
    for (int i = 0; i < 300; ++i) {
      for (auto& [id, node] : nodes) {
        if (node.replica != nullptr && node.replica->raft().is_leader() &&
            node.replica->raft().committed_in_term())
          return id;
      }
      Run(10);
    }
    ADD_FAILURE() << "no leader";
    return 1;
  }

  raft::NodeId Follower() {
    const raft::NodeId leader = Leader();
    for (auto& [id, node] : nodes) {
      if (id != leader && node.replica != nullptr) return id;
    }
    return raft::kNoNode;
  }

  ClientId Connect(raft::NodeId id) {
    const ClientId client = ++last_client_;
    EXPECT_TRUE((*this)[id].ClientOpened(client));
    return client;
  }
  void Say(raft::NodeId id, ClientId client, const std::vector<std::string>& words) {
    (*this)[id].ClientBytes(client, Resp(words));
  }
  std::string Heard(raft::NodeId id, ClientId client) {
    return std::exchange(nodes.at(id).output[client], {});
  }
  // What somebody else makes up, or once more what was sent. It is heard at once, and not acted on.
  void Hears(const wire::PeerMessage& message) {
    (*this)[message.envelope.to].ReceivePeer(
        wire::PeerEncoder().Encode(message).substr(wire::kFrameHeaderSize));
  }
  void Hears(raft::NodeId to, raft::NodeId from, wire::PeerBody body) {
    Hears(wire::PeerMessage{{0, from, 100 + from, to, 100 + to}, std::move(body)});
  }
  std::string OpenSession(raft::NodeId id) {
    const std::string opened = Ask(id, {"KV.SESSION", "OPEN"});
    EXPECT_TRUE(absl::StartsWith(opened, ":")) << opened;
    return opened.substr(1, opened.size() - 3);
  }
  // One command on a connection of its own, waiting at most five seconds for the answer.
  std::string Ask(raft::NodeId id, const std::vector<std::string>& words) {
    const ClientId client = Connect(id);
    Say(id, client, words);
    Settle();
    for (int i = 0; i < 600 && nodes.at(id).output[client].empty(); ++i) Run(10);
    (*this)[id].ClientClosed(client);
    return Heard(id, client);
  }

  std::map<raft::NodeId, Node> nodes;
  std::multiset<raft::NodeId> restarts;  // after a repair
  bool may_refuse = false;               // Create may fail: `started` says why
  absl::Status started;
  // What left for whom, whether it arrived or not: frames, and their bytes with headers.
  std::map<std::pair<raft::NodeId, raft::NodeId>, uint64_t> frames_sent;
  std::map<std::pair<raft::NodeId, raft::NodeId>, uint64_t> bytes_sent;
  std::function<bool(raft::NodeId from, raft::NodeId to)> drop;
  std::function<void(const wire::PeerMessage&)> tap;  // sees what is sent, arrived or not
  bool duplicate = false;
  std::set<raft::NodeId> hold_disk;
  uint64_t now_us = 1'000'000;
  uint64_t delay_us = 0;  // of each frame

 private:
  // As storage recovers: entries in front of the first bad one, and either holes or a lost end.
  void MakeUpDamage(Node& node, Boot* boot) {
    raft::Entries& entries = boot->recovered.entries;
    node.whole = entries;
    const auto bad = [&](const raft::Entry& entry) {
      return node.damage.bad.contains(entry.index);
    };
    const auto first = std::find_if(entries.begin(), entries.end(), bad);
    if (first == entries.end()) return;
    const raft::Suspicion last{entries.back().index, entries.back().term, node.damage.evidence};
    raft::LogDamage damage{{}, {}, last};
    for (auto entry = first; entry != entries.end(); ++entry) {
      if (!bad(*entry)) {
        damage.intact.push_back(*entry);
      } else {
        damage.bad.push_back(
            {entry->index, node.damage.nameless.contains(entry->index) ? 0 : entry->term});
      }
    }
    const raft::Index first_bad = first->index;
    entries.erase(first, entries.end());
    if (!damage.intact.empty()) {
      boot->damage = std::move(damage);
      return;
    }
    boot->recovered.suspicion = node.damage.suspicion = last;
    node.damage.bad.clear();
    Rewrite(node, first_bad - 1, {}, {});
  }

  void Rewrite(Node& node, raft::Index keep_through, const raft::Entries& entries,
               const std::optional<raft::SnapshotMeta>& snapshot) {
    raft::PersistJob job;
    job.ticket = 1'000'000;
    job.keep_through = keep_through;
    job.entries = entries;
    job.snapshot = snapshot;
    job.writes_log = true;
    const absl::Status status = node.storage->Persist(job);
    EXPECT_TRUE(status.ok()) << status;
  }

  // What repairs something has to be made up like the damage.
  JobResult Run(Node& node, const Job& job) {
    if (!node.replica->repairing() || !node.made_up) return storage::RunJob(*node.storage, job);
    JobResult result;
    result.id = job.id;
    const raft::SnapshotMeta& own = node.storage->current_snapshot().meta;
    if (const auto* settle = std::get_if<SettleLog>(&job.body)) {
      Rewrite(node, *node.damage.bad.begin() - 1, settle->entries, {});
      node.damage.bad.clear();
      node.damage.suspicion = settle->suspicion;
    } else if (const auto* read = std::get_if<ReadSnapshot>(&job.body)) {
      if (!node.damage.bad_pieces.contains(read->offset))
        return storage::RunJob(*node.storage, job);
      result.status = absl::DataLossError("rotten");
    } else if (const auto* begin = std::get_if<BeginSnapshot>(&job.body)) {
      repaired_by_ = begin->meta;
      node.received.clear();
      if (begin->meta.index > own.index) return storage::RunJob(*node.storage, job);
    } else if (const auto* append = std::get_if<AppendSnapshot>(&job.body)) {
      EXPECT_EQ(append->offset, node.received.size());
      node.received += append->bytes;
      if (repaired_by_.index > own.index) return storage::RunJob(*node.storage, job);
    } else if (std::holds_alternative<FinishSnapshot>(job.body)) {
      if (repaired_by_.index > own.index) return storage::RunJob(*node.storage, job);
      const storage::SnapshotInfo info = node.storage->current_snapshot();
      EXPECT_EQ(node.received, node.storage->ReadSnapshot(own.index, 0, info.size).value());
      result.finished = FinishedSnapshot{info.size, info.digest};
    } else if (const auto* restore = std::get_if<RestoreSnapshot>(&job.body)) {
      node.damage.bad_pieces.clear();
      const raft::Index index = restore->meta.index;
      if (index > own.index) {
        raft::Entries behind;
        for (const raft::Entry& entry : node.whole) {
          if (entry.index > index) behind.push_back(entry);
        }
        Rewrite(node, index, behind, restore->meta);
        std::erase_if(node.damage.bad, [&](raft::Index bad) { return bad <= index; });
      }
    } else {
      return storage::RunJob(*node.storage, job);
    }
    return result;
  }

  struct Packet {
    raft::NodeId from, to;
    std::string bytes;
    uint64_t arrives_us;
  };
  std::deque<Packet> network_;
  raft::SnapshotMeta repaired_by_;
  std::function<void(Options&)> tune_;
  storage::Founding founding_;
  ClientId last_client_ = 0;
};

// Flips a bit on the disk of the first byte of `text` in the file of that kind that has it. False:
// none has.
inline bool Spoil(Cluster::Node& node, absl::string_view prefix, absl::string_view text) {
  std::vector<std::string> names = *node.disk->List();
  std::reverse(names.begin(), names.end());  // the newest first
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, prefix)) continue;
    std::unique_ptr<storage::File> file = *node.disk->Open(name, storage::Disk::Mode::kRead);
    std::string bytes(*file->Size(), '\0');
    bytes.resize(*file->Read(0, bytes.data(), bytes.size()));
    const size_t at = bytes.find(text.data(), 0, text.size());
    if (at != std::string::npos) return node.disk->Corrupt(name, at, 4);
  }
  return false;
}

}  // namespace raftkv::replica
