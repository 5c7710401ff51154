// Healing a core alone: a majority of the voters that has everything it needs, while what is wrong
// with the others stays wrong.
//
// What is outside may be dead, deaf, slow, or quite well. It must not be what a Raft cluster cannot
// live with: a node that can be elected by some of the core and is not heard by all of it leads,
// and those who do not hear it wait for ever (without it they are no majority, and whoever hears it
// does not vote for them). So an outsider is whole with all of the core, or deaf to it, or mute, or
// cut off. A deaf one asks for votes again and again; only pre-vote and check-quorum together keep
// a cluster from following it.
#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/raft/configuration.h"
#include "core/raft/quorum.h"
#include "sim/nemesis/nemesis.h"

namespace raftkv::sim {
namespace {

// These last when others are over: one node is hurt, and nobody else.
bool MayStay(Fault fault) {
  switch (fault) {
    case Fault::kPowerLoss:
    case Fault::kPowerLossOfAll:
    case Fault::kKill:
    case Fault::kPause:
    case Fault::kSlowDisk:
    case Fault::kSyncError:
    case Fault::kFullDisk:
    case Fault::kHungDisk:
    case Fault::kRot:
    case Fault::kReadErrors:
      return true;
    default:
      return false;
  }
}

bool IsOfLinks(Fault fault) {
  return fault == Fault::kPartition || fault == Fault::kIsolation || fault == Fault::kOneWay ||
         fault == Fault::kClog;
}

constexpr absl::string_view kLefts[] = {
    "as it is", "down", "cut off", "deaf", "mute", "with a disk that hangs", "paused",
};
static_assert(std::size(kLefts) == static_cast<size_t>(Nemesis::Left::kPaused) + 1);

}  // namespace

absl::string_view Name(Nemesis::Left left) { return kLefts[static_cast<size_t>(left)]; }

void Nemesis::Stop() {
  ended_ = true;
  stopped_ = true;
  Say("causes no more");
  for (const auto& [node, process] : cluster_->processes()) process->AwaitMoment({}, nullptr);
  std::vector<uint64_t> over;
  for (const auto& [id, active] : active_) {
    if (!MayStay(active.fault) && !IsOfLinks(active.fault)) over.push_back(id);
  }
  for (const uint64_t id : over) TakeBack(id);
}

std::vector<raft::NodeId> Nemesis::FitForCore() {
  const raft::ConfState& conf = omniscience_->newest_conf();
  if (raft::IsJoint(conf) || conf.voters.empty() || operator_.busy() || change_in_doubt_) return {};
  const raft::Index settled = omniscience_->newest_conf_index();
  const std::unique_ptr<FaultAtlas> atlas = AtlasFor(conf.voters[0]);
  if (atlas == nullptr) return {};
  std::vector<raft::NodeId> fit;
  for (const raft::NodeId voter : conf.voters) {
    if (atlas->LastChange(voter) > settled) return {};
    const Process& process = *cluster_->Find(voter);
    if (process.replica() != nullptr) {
      const raft::Log& log = process.replica()->raft().log();
      for (raft::Index index = std::max(settled + 1, log.first()); index <= log.last(); ++index) {
        if (log.At(index).type == raft::EntryType::kMembership) return {};
      }
    }
    const bool in_doubt =
        Misled(voter) || omniscience_->DiskInDoubt(voter) ||
        (process.replica() != nullptr &&
         (process.replica()->repairing() || process.replica()->raft().suspicion().has_value()));
    if (!in_doubt && atlas->IsWhole(voter).ok()) fit.push_back(voter);
  }
  return fit;
}

bool Nemesis::CanElectAlone(const std::vector<raft::NodeId>& core) {
  const std::unique_ptr<FaultAtlas> atlas = AtlasFor(core.front());
  if (atlas == nullptr) return false;
  const size_t majority = raft::MajoritySize(omniscience_->newest_conf().voters.size());
  const raft::Index settled = omniscience_->newest_conf_index();
  return std::any_of(core.begin(), core.end(), [&](raft::NodeId candidate) {
    const Process& process = *cluster_->Find(candidate);
    const bool runs = process.state() == Process::State::kUp;
    const raft::Index commit = runs ? process.replica()->raft().commit() : 0;
    if (std::max(commit, atlas->KnownCommitted(candidate)) < settled) return false;
    const auto votes = std::count_if(core.begin(), core.end(), [&](raft::NodeId voter) {
      return atlas->WouldElect(candidate, voter);
    });
    return static_cast<size_t>(votes) >= majority;
  });
}

void Nemesis::HealCore(const std::vector<raft::NodeId>& core) {
  const auto inside = [&core](raft::NodeId node) {
    return std::find(core.begin(), core.end(), node) != core.end();
  };
  std::map<raft::NodeId, bool> hurt_links;  // of those outside
  for (const raft::NodeId node : cluster_->InUse()) {
    if (inside(node)) continue;
    hurt_links[node] = std::any_of(core.begin(), core.end(), [&](raft::NodeId of_core) {
      return !cluster_->network().IsWhole(node, of_core) ||
             !cluster_->network().IsWhole(of_core, node);
    });
  }
  std::vector<uint64_t> over;
  for (const auto& [id, active] : active_) {
    const std::vector<raft::NodeId>& nodes = active.aim.nodes;
    if (IsOfLinks(active.fault) || std::any_of(nodes.begin(), nodes.end(), inside)) {
      over.push_back(id);
    }
  }
  for (const uint64_t id : over) TakeBack(id);
  for (const raft::NodeId node : core) {
    cluster_->Find(node)->disk().TakeBackFaults();
    if (cluster_->Find(node)->state() == Process::State::kDown) {
      cluster_->Restart(node, 0, /*die_in_recovery=*/false);
    }
  }
  std::vector<std::string> outside;
  for (const auto& [node, hurt] : hurt_links) {
    Leave(node, DecideLeft(node, hurt), core);
    outside.push_back(absl::StrCat("node ", node, " ", Name(left_[node])));
  }
  Remark(absl::StrCat("heals nodes ", absl::StrJoin(core, " "),
                      "; stays for ever: ", absl::StrJoin(outside, ", ")));
}

Nemesis::Left Nemesis::DecideLeft(raft::NodeId node, bool hurt_link) {
  const Left usual = hurt_link ? Left::kCutOff : Left::kThere;
  const auto drawn = static_cast<Left>(decisions_->Decide(
      decisions_->Name([node] { return absl::StrCat("node ", node, " outside"); }), "is left",
      static_cast<uint64_t>(usual), [&]() -> uint64_t {
        if (core_random_.Chance(1, 3)) return static_cast<uint64_t>(usual);
        return core_random_.Below(std::size(kLefts));
      }));
  const Left left = static_cast<uint64_t>(drawn) < std::size(kLefts) ? drawn : usual;
  if (left == Left::kDown || left == Left::kCutOff || left == Left::kMute) return left;
  const raft::Options& raft = cluster_->settings().replica.raft;
  if (left == Left::kDeaf) return raft.pre_vote && raft.check_quorum ? left : Left::kCutOff;
  return MayLead(node, left) ? left : Left::kCutOff;
}

// What leads although it cannot do what a leader does, and does not give way, keeps everybody
// waiting.
bool Nemesis::MayLead(raft::NodeId node, Left left) const {
  const raft::Options& raft = cluster_->settings().replica.raft;
  if (!raft::IsMember(omniscience_->newest_conf(), node) && !raft.step_down_on_removal) {
    return false;
  }
  const auto has = [&](Fault fault) {
    return std::any_of(active_.begin(), active_.end(), [&](const auto& active) {
      return active.second.fault == fault && active.second.aim.nodes.front() == node;
    });
  };
  if (has(Fault::kFullDisk)) return false;
  // It goes on, but hardly: what it has not written it does not count as proposed.
  if (has(Fault::kSlowDisk)) return false;
  const bool hangs = left == Left::kHanging || has(Fault::kHungDisk);
  return !hangs || raft.step_down_on_hung_disk;
}

void Nemesis::Leave(raft::NodeId node, Left left, const std::vector<raft::NodeId>& core) {
  left_[node] = left;
  Process& process = *cluster_->Find(node);
  const auto cut = [&](bool from_it, bool to_it) {
    Links links;
    for (const raft::NodeId other : core) {
      if (from_it) links.emplace_back(node, other);
      if (to_it) links.emplace_back(other, node);
    }
    FaultCommand command;
    command.links = std::move(links);
    CutLinks(command);
  };
  FaultCommand command;
  switch (left) {
    case Left::kThere:
      return;
    case Left::kDown:
      if (process.state() != Process::State::kDown) {
        command.fault = Fault::kPowerLoss;
        Down(command, node, Process::Death::kPowerLoss);
      }
      return;
    case Left::kCutOff:
      return cut(true, true);
    case Left::kDeaf:
      return cut(false, true);
    case Left::kMute:
      return cut(true, false);
    case Left::kHanging:
      return Hang(node, 0);
    case Left::kPaused:
      command.fault = Fault::kPause;
      return Pause(command, &process);
  }
}

}  // namespace raftkv::sim
