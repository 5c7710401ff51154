#include "sim/cluster/cluster.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "core/raft/quorum.h"
#include "sim/disk/fault_atlas.h"
#include "sim/oracles/describe.h"

namespace raftkv::sim {
namespace {

constexpr storage::ClusterId kCluster = {0x7261'6674'6b76'2073, 0x696d'756c'6174'696f};
// Nodes that have lived before this one would count higher.
constexpr uint64_t kFirstIncarnation = 1;
// Wall clocks of a run start somewhere in 2024.
constexpr uint64_t kEpochMs = 1'700'000'000'000;

// "append 1>3 term 2".
std::string NameFrame(raft::NodeId from, raft::NodeId to, const std::string& frame) {
  const auto message = wire::DecodePeer(absl::string_view(frame).substr(wire::kFrameHeaderSize));
  const PeerBodyName name = message.ok() ? NameOf(message->body) : PeerBodyName{"frame", 0};
  std::string text = absl::StrCat(name.kind, " ", from, ">", to);
  if (name.term > 0) absl::StrAppend(&text, " term ", name.term);
  return text;
}

}  // namespace

std::string PeerAddress(raft::NodeId node) { return absl::StrCat("node-", node, ":7401"); }
std::string ClientAddress(raft::NodeId node) { return absl::StrCat("node-", node, ":7400"); }

Cluster::Cluster(const ClusterSettings& settings, Scheduler* scheduler, Decisions* decisions,
                 Trace* trace, Witness* witness, Random random)
    : settings_(settings),
      scheduler_(scheduler),
      decisions_(decisions),
      trace_(trace),
      witness_(witness),
      random_(random),
      network_(
          scheduler, decisions, settings.network, random.Split("network"), NameFrame,
          [this](raft::NodeId, raft::NodeId to, const std::string& frame) {
            if (Process* process = Find(to)) process->ReceiveFrame(frame);
          },
          [this](raft::NodeId from, raft::NodeId to) {
            if (Process* process = Find(from)) process->PeerUnreachable(to);
          }),
      streams_(scheduler, decisions, &network_, settings.stream, random.Split("streams"),
               [this](raft::NodeId node) -> Streams::Host* {
                 Process* process = Find(node);
                 return process == nullptr || process->state() == Process::State::kDown ? nullptr
                                                                                        : process;
               }),
      ports_(scheduler, decisions, settings.ports, random.Split("ports"),
             [this](raft::NodeId node) { return Find(node); }) {}

raft::SnapshotMeta Cluster::FoundingSnapshot(const ClusterSettings& settings) {
  raft::SnapshotMeta meta;
  meta.index = 1;
  meta.term = 1;
  for (raft::NodeId id = 1; id <= settings.founders; ++id) {
    const bool learns = id > settings.founders - settings.founding_learners;
    (learns ? meta.conf.learners : meta.conf.voters).push_back(id);
  }
  return meta;
}

storage::Founding Cluster::Founding() const {
  replica::Members members;
  for (raft::NodeId id = 1; id <= settings_.founders; ++id) {
    members.Set(id, {kFirstIncarnation, PeerAddress(id), ClientAddress(id)});
  }
  return {FoundingSnapshot(settings_),
          replica::Replica::FoundingState(members, settings_.replica.store)};
}

Process& Cluster::AddProcess(raft::NodeId node, const storage::Founding& founding) {
  Random random = random_.Split(absl::StrCat("node ", node));
  ProcessSettings process;
  process.identity = {kCluster, node, kFirstIncarnation, /*group=*/0, kEpochMs};
  process.replica = settings_.replica;
  process.replica.cluster = {kCluster.high, kCluster.low};
  process.replica.incarnation = kFirstIncarnation;
  process.replica.raft.id = node;
  process.replica.raft.election_rank =
      static_cast<uint32_t>(node % (uint64_t{settings_.most_election_rank} + 1));
  process.replica.record_applied = true;
  process.storage = settings_.storage;
  process.disk = settings_.disk;
  process.disk_delay = settings_.disk_delay;
  process.turn = settings_.turn;
  process.streams = settings_.streams;
  process.links = settings_.links;
  process.inits_are_cut_off = settings_.inits_are_cut_off;
  process.peer_address = PeerAddress(node);
  Random clock = random.Split("clock");
  const auto most = static_cast<uint64_t>(settings_.most_drift_ppm);
  const int64_t drift =
      static_cast<int64_t>(clock.Between(0, 2 * most)) - static_cast<int64_t>(most);
  process.clock = NodeClock(drift, kEpochMs + clock.Between(0, settings_.most_wall_skew_ms),
                            settings_.uptime_us);
  auto& slot = processes_[node];
  slot = std::make_unique<Process>(process, scheduler_, decisions_, trace_, this, witness_, random);
  RAFTKV_CHECK(slot->Initialise(founding).ok());
  last_node_ = std::max(last_node_, node);
  return *slot;
}

void Cluster::MakeFounders() {
  for (raft::NodeId id = 1; id <= settings_.founders; ++id) AddProcess(id, Founding());
}

void Cluster::StartFounders() {
  MakeFounders();
  for (auto& [id, process] : processes_) process->Start(/*die_in_recovery=*/false);
}

raft::NodeId Cluster::StartJoiner() {
  const raft::NodeId id = last_node_ + 1;
  AddProcess(id, storage::Founding()).Start(/*die_in_recovery=*/false);
  return id;
}

bool Cluster::MayMix(raft::NodeId node) const {
  std::set<raft::NodeId> sound;
  for (const auto& [id, process] : processes_) {
    if (id == node || process->state() != Process::State::kUp) continue;
    const replica::Replica& replica = *process->replica();
    if (!replica.repairing() && !replica.raft().suspicion().has_value()) sound.insert(id);
  }
  return !sound.empty() && std::all_of(sound.begin(), sound.end(), [&](raft::NodeId id) {
    const raft::ConfState& conf = processes_.at(id)->replica()->raft().conf();
    return raft::JointVote(conf, [&](raft::NodeId voter) -> std::optional<bool> {
             return sound.contains(voter);
           }) == raft::VoteResult::kWon;
  });
}

bool Cluster::MaySplit() const {
  const auto may = [this](const auto& each) {
    const auto& [id, process] = each;
    if (retired_.contains(id) || without_directory_.contains(id)) return true;
    if (process->replica() == nullptr) {
      return FaultAtlas::HasLostNothingButBlanks(process->disk(), settings_.storage, &surveys_);
    }
    const std::optional<raft::Suspicion>& suspicion = process->replica()->raft().suspicion();
    return !process->replica()->repairing() &&
           (!suspicion.has_value() || suspicion->evidence == raft::Suspicion::Evidence::kBlank);
  };
  // The disk of one that is down is asked last: that takes a recovery.
  for (const bool down : {false, true}) {
    for (const auto& each : processes_) {
      if ((each.second->replica() == nullptr) == down && !may(each)) return false;
    }
  }
  return true;
}

void Cluster::Retire(raft::NodeId node) {
  if (!retired_.emplace(node, scheduler_->now()).second) return;
  if (processes_.at(node)->state() != Process::State::kDown) Die(node, Process::Death::kKilled);
}

void Cluster::Wipe(raft::NodeId node) {
  Process& process = *processes_.at(node);
  RAFTKV_CHECK(process.state() == Process::State::kDown);
  process.disk().Wipe();
  without_directory_.insert(node);
}

bool Cluster::LoseIdentity(raft::NodeId node) {
  Process& process = *processes_.at(node);
  RAFTKV_CHECK(process.state() == Process::State::kDown);
  if (!process.disk().Inject(MissingFile{"identity"})) return false;
  without_directory_.insert(node);
  return true;
}

absl::Status Cluster::InitialiseAgain(raft::NodeId node, bool as_founder, uint64_t incarnation) {
  absl::Status status = processes_.at(node)->InitialiseAgain(
      as_founder ? Founding() : storage::Founding(), incarnation);
  if (status.ok()) without_directory_.erase(node);
  return status;
}

Process* Cluster::Find(raft::NodeId node) {
  const auto it = processes_.find(node);
  return it == processes_.end() ? nullptr : it->second.get();
}

std::vector<raft::NodeId> Cluster::InUse() const {
  std::vector<raft::NodeId> nodes;
  for (const auto& [id, process] : processes_) {
    if (!retired_.contains(id)) nodes.push_back(id);
  }
  return nodes;
}

std::vector<raft::NodeId> Cluster::Up() const {
  std::vector<raft::NodeId> nodes;
  for (const auto& [id, process] : processes_) {
    if (process->state() == Process::State::kUp) nodes.push_back(id);
  }
  return nodes;
}

Process* Cluster::Leader() {
  Process* leader = nullptr;
  for (auto& [id, process] : processes_) {
    if (process->state() != Process::State::kUp || !process->replica()->raft().is_leader()) {
      continue;
    }
    if (leader == nullptr || process->replica()->raft().term() > leader->replica()->raft().term()) {
      leader = process.get();
    }
  }
  return leader;
}

void Cluster::Die(raft::NodeId node, Process::Death death) {
  processes_.at(node)->Die(death);
  network_.Reset(node);
  streams_.NodeDied(node);
  ports_.NodeDied(node);
}

void Cluster::Restart(raft::NodeId node, Time delay, bool die_in_recovery, Process::Death how) {
  scheduler_->After(delay, Actor::kNode, [this, node, die_in_recovery, how] {
    Process& process = *processes_.at(node);
    if (process.state() != Process::State::kDown || retired_.contains(node)) return;
    if (process.Start(die_in_recovery, how) || without_directory_.contains(node)) return;
    Restart(node, settings_.restart_delay, false);
  });
}

void Cluster::SayFrame(raft::NodeId from, raft::NodeId to, const std::string& frame) {
  if (!trace_->reading()) return;
  const auto message = wire::DecodePeer(absl::string_view(frame).substr(wire::kFrameHeaderSize));
  trace_->Say(absl::StrCat("node ", from, " -> ", to, "  ",
                           message.ok() ? DescribePeerBody(message->body) : "?"));
}

void Cluster::SendFrame(raft::NodeId from, raft::NodeId to, std::string frame) {
  SayFrame(from, to, frame);
  network_.Send(from, to, std::move(frame));
}

bool Cluster::TakeFrame(raft::NodeId from, raft::NodeId to, const std::string& frame) {
  SayFrame(from, to, frame);
  return network_.Stream(from, to, frame);
}

void Cluster::BodyArrived(raft::NodeId at, const std::string& body) {
  network_.StreamArrived(at, body);
}

void Cluster::DialPeer(raft::NodeId from, uint64_t connection, const std::string& address) {
  raft::NodeId to = raft::kNoNode;
  for (const auto& [node, process] : processes_) {
    if (PeerAddress(node) == address) to = node;
  }
  const auto redirected = redirected_.find(to);
  if (redirected != redirected_.end() && redirected->second != to && redirected->second != from) {
    to = redirected->second;
    ++misled_dials_;
  }
  streams_.Dial(from, connection, to);
}

void Cluster::WriteToPeer(raft::NodeId from, uint64_t connection, std::string bytes) {
  streams_.Write(from, connection, std::move(bytes));
}

void Cluster::ClosePeer(raft::NodeId from, uint64_t connection) {
  streams_.Close(from, connection);
}

void Cluster::SendToClient(replica::ClientId client, std::string bytes) {
  ports_.SendToCaller(client, std::move(bytes));
}

void Cluster::CloseClient(replica::ClientId client) { ports_.CloseByNode(client); }

void Cluster::PauseClient(replica::ClientId client, bool paused) { ports_.Pause(client, paused); }

void Cluster::Exited(raft::NodeId node, const absl::Status& reason) {
  ++exits_;
  if (trace_->reading()) trace_->Say(absl::StrCat("node ", node, " exits: ", reason.ToString()));
  network_.Reset(node);
  streams_.NodeDied(node);
  ports_.NodeDied(node);
  Restart(node, settings_.restart_delay, false);
}

void Cluster::Reopened(raft::NodeId node) {
  network_.Reset(node);
  streams_.NodeDied(node);
  ports_.NodeDied(node);
}

}  // namespace raftkv::sim
