// Attacks: faults that aim at one weakness of the protocol, where chance alone would need many
// seeds. Each counts only when it has come to what it is named for; whoever is aimed at is whoever
// is in that role when it begins.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/configuration.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"
#include "sim/nemesis/nemesis.h"
#include "sim/oracles/describe.h"
#include "sim/oracles/rules.h"

namespace raftkv::sim {
namespace {

// How often somebody looks whether something has come.
constexpr Time kLookEvery = 2 * kMillisecond;
// A bank keeps no more than that, the first ones.
constexpr size_t kMostBanked = 200;
// So many of these come a second time as a peer with a fault of its own would send them.
constexpr size_t kBrokenOneIn = 8;

PeerBodyName NameOfFrame(const std::string& frame) {
  const auto message = wire::DecodePeer(absl::string_view(frame).substr(wire::kFrameHeaderSize));
  return message.ok() ? NameOf(message->body) : PeerBodyName{"frame", 0};
}

// Intact on its way, and without any structure: a buffer begins with where its root is.
std::string WithoutRoot(std::string frame, uint64_t number) {
  static constexpr uint32_t kBehindTheEnd[] = {0, 64, 1 << 20, 0x7ffffff0};
  const size_t size = frame.size() - wire::kFrameHeaderSize;
  const auto root =
      static_cast<uint32_t>(size) + kBehindTheEnd[number / kBrokenOneIn % std::size(kBehindTheEnd)];
  for (size_t i = 0; i < sizeof root && i < size; ++i) {
    frame[wire::kFrameHeaderSize + i] = static_cast<char>(root >> (8 * i) & 0xff);
  }
  wire::WriteFrameHeader(absl::string_view(frame).substr(wire::kFrameHeaderSize), frame.data());
  return frame;
}

Links Between(const std::vector<raft::NodeId>& some, const std::vector<raft::NodeId>& others) {
  Links links;
  for (const raft::NodeId a : some) {
    for (const raft::NodeId b : others) {
      if (a == b) continue;
      links.emplace_back(a, b);
      links.emplace_back(b, a);
    }
  }
  return links;
}

}  // namespace

raft::Term Nemesis::TermLedBy(raft::NodeId node) {
  const Process* process = cluster_->Find(node);
  if (process == nullptr || process->state() == Process::State::kDown) return 0;
  const raft::Raft& raft = process->replica()->raft();
  return raft.is_leader() ? raft.term() : 0;
}

Time Nemesis::ElectionTimeout() const {
  const replica::Options& replica = cluster_->settings().replica;
  return 2 * replica.raft.election_ticks * replica.tick_us;
}

// False when there is nobody for it.
bool Nemesis::DrawAttack(Random& random, FaultCommand* command) {
  Process* leader = cluster_->Leader();
  const std::vector<raft::NodeId> nodes = cluster_->InUse();
  if (leader == nullptr || nodes.size() < 2) return false;
  std::vector<raft::NodeId> others;
  for (const raft::NodeId node : nodes) {
    if (node != leader->id()) others.push_back(node);
  }
  const raft::NodeId other = others[random.Below(others.size())];
  // Long enough for the others to notice.
  const Time long_enough = ElectionTimeout() + random.Below(2 * ElectionTimeout());
  switch (command->fault) {
    case Fault::kLeaderInMinority: {
      std::vector<raft::NodeId> with = {leader->id()};
      std::vector<raft::NodeId> rest;
      for (const raft::NodeId node : others) {
        const bool fits = (with.size() + 1) * 2 < nodes.size();
        (fits && random.Chance(1, 2) ? with : rest).push_back(node);
      }
      command->nodes = {leader->id()};
      command->links = Between(with, rest);
      command->lasts = long_enough;
      return true;
    }
    case Fault::kOneWayLeader:
      command->nodes = {leader->id()};
      for (const raft::NodeId node : others) command->links.emplace_back(node, leader->id());
      command->lasts = long_enough;
      return true;
    case Fault::kWithheldAnswers:
      command->nodes = nodes;
      std::swap(command->nodes[0],
                *std::find(command->nodes.begin(), command->nodes.end(), leader->id()));
      command->lasts = random.Between(ElectionTimeout() / 10, ElectionTimeout());
      return true;
    case Fault::kFigure8:
      // The others elect somebody without these two.
      if (nodes.size() - 2 < nodes.size() / 2 + 1) return false;
      command->nodes = {leader->id(), other};
      command->number = random.Below(60);
      command->lasts = 12 * ElectionTimeout();
      return true;
    case Fault::kSentNotPersisted:
    case Fault::kPersistedNotSaid:
      command->nodes = {random.Chance(1, 2) ? leader->id() : other};
      return true;
    case Fault::kOutlivedLease:
      command->nodes = {leader->id()};
      command->lasts = 6 * ElectionTimeout();
      return true;
    case Fault::kDoubledSnapshots:  // there is one to be sent now and then only
      command->nodes = {leader->id()};
      command->number = random.Between(1, 3 * ElectionTimeout() / kMillisecond);
      command->lasts = 8 * ElectionTimeout();
      return true;
    case Fault::kOldMessages:
      command->nodes = {other};
      command->number = random.Between(1, 3 * ElectionTimeout() / kMillisecond);
      command->lasts = long_enough;
      return true;
    case Fault::kStuckChanges:
      command->nodes = nodes;
      command->lasts = 6 * ElectionTimeout();
      return true;
    case Fault::kOvertakenAppends:
      command->nodes = {leader->id(), other};
      command->number = random.Between(5, 50);
      command->lasts = 8 * ElectionTimeout();
      return true;
    case Fault::kReusedAddresses: {
      const raft::NodeId victim = nodes[random.Below(nodes.size())];
      raft::NodeId instead = nodes[random.Below(nodes.size())];
      if (instead == victim) return false;
      command->nodes = {victim, instead};
      return true;
    }
    default:
      return false;
  }
}

void Nemesis::Attack(const FaultCommand& command) {
  if (command.nodes.empty()) return;
  Process* process = cluster_->Find(command.nodes[0]);
  if (process == nullptr) return;
  const bool up = process->state() == Process::State::kUp;
  switch (command.fault) {
    case Fault::kLeaderInMinority:
    case Fault::kOneWayLeader:
      return CutOffLeader(command);
    case Fault::kWithheldAnswers:
      return WithholdAnswers(command);
    case Fault::kFigure8:
      return PlayFigure8(command);
    case Fault::kSentNotPersisted:
    case Fault::kPersistedNotSaid:
      if (up) DieAtMoment(command, process);
      return;
    case Fault::kOutlivedLease:
      if (up) OutliveLease(command, process);
      return;
    case Fault::kDoubledSnapshots:
      return DoubleSnapshots(command);
    case Fault::kOldMessages:
      return BankMessages(command);
    case Fault::kStuckChanges:
      return StickChange(command);
    case Fault::kOvertakenAppends:
      return OvertakeAppends(command);
    default:
      return ReuseAddress(command);
  }
}

// --- Leaders that are cut off

void Nemesis::CutOffLeader(const FaultCommand& command) {
  const raft::NodeId leader = command.nodes[0];
  const raft::Term term = TermLedBy(leader);
  const bool one_way = command.fault == Fault::kOneWayLeader;
  const raft::Index last = term == 0 ? 0 : cluster_->Find(leader)->replica()->raft().log().last();
  Say(absl::StrCat("cuts off the leader ", leader, one_way ? ", which is still heard" : ""));
  for (const auto& [from, to] : command.links) cluster_->network().Cut(from, to);
  // Looked at before it is over: whether it still led and wrote, or has lost its term.
  const auto reached = [this, leader, term, last, one_way] {
    if (term == 0) return uint64_t{0};
    const Process* process = cluster_->Find(leader);
    if (process->state() == Process::State::kDown) return uint64_t{0};
    const raft::Raft& raft = process->replica()->raft();
    const bool led_on = raft.term() == term && raft.is_leader();
    return static_cast<uint64_t>(one_way ? !led_on
                                         : raft.term() == term && raft.log().last() > last);
  };
  Hold(command.fault,
       {absl::StrCat("leader ", leader, one_way ? " hears nobody" : " is cut off"),
        {leader},
        command.links},
       command.lasts, reached, [this, links = command.links] {
         Say("mends links");
         for (const auto& [from, to] : links) cluster_->network().Mend(from, to);
       });
}

void Nemesis::WithholdAnswers(const FaultCommand& command) {
  const raft::NodeId leader = command.nodes[0];
  Say(absl::StrCat("withholds what leader ", leader, " is answered"));
  auto withheld = std::make_shared<uint64_t>(0);
  const uint64_t tap =
      cluster_->network().AddTap([this, leader, nodes = command.nodes, withheld](
                                     raft::NodeId from, raft::NodeId to, const std::string& frame) {
        if (to != leader || std::find(nodes.begin(), nodes.end(), from) == nodes.end()) {
          return false;
        }
        if (NameOfFrame(frame).kind != "append answer") return false;
        // Of entries that are not committed yet, or it is nothing that the leader would miss.
        const Process* process = cluster_->Find(leader);
        if (process->state() != Process::State::kDown) {
          const raft::Raft& raft = process->replica()->raft();
          if (raft.is_leader() && raft.commit() < raft.log().last()) ++*withheld;
        }
        return true;
      });
  Hold(
      command.fault, {absl::StrCat("answers to leader ", leader, " are withheld"), {leader}, {}},
      command.lasts, [withheld] { return *withheld; },
      [this, tap] { cluster_->network().RemoveTap(tap); });
}

// --- Moments

void Nemesis::DieAtMoment(const FaultCommand& command, Process* process) {
  const raft::NodeId node = process->id();
  const auto moment = command.fault == Fault::kSentNotPersisted
                          ? Process::Moment::kSentNotPersisted
                          : Process::Moment::kPersistedNotSaid;
  process->AwaitMoment(moment, [this, command, node] {
    Say(absl::StrCat("the moment for node ", node, " has come"));
    Count(command.fault);
    cluster_->Die(node, Process::Death::kPowerLoss);
    if (ended_) return cluster_->Restart(node, 0, /*die_in_recovery=*/false);
    Hold(command.fault, {absl::StrCat("node ", node, " is down"), {node}, {}}, command.lasts,
         nullptr, [this, node] { cluster_->Restart(node, 0, /*die_in_recovery=*/false); });
  });
}

void Nemesis::OutliveLease(const FaultCommand& command, Process* process) {
  const raft::NodeId node = process->id();
  const raft::Term term = TermLedBy(node);
  if (term == 0) return;
  Say(absl::StrCat("pauses leader ", node, " until there is another"));
  process->Pause();
  const uint64_t life = process->life();
  auto over = std::make_shared<bool>(false);
  const auto resume = [this, process, life, over] {
    if (std::exchange(*over, true) || process->life() != life) return;
    Say(absl::StrCat("lets node ", process->id(), " go on"));
    process->Resume();
  };
  // Looks until another leads; then the old one goes on at once, with all that its clients asked.
  auto look = std::make_shared<std::function<void()>>();
  *look = [this, command, term, over, resume, weak = std::weak_ptr(look)] {
    if (*over || ended_) return;
    for (const raft::NodeId other : cluster_->Up()) {
      if (TermLedBy(other) <= term) continue;
      Count(command.fault);
      return resume();
    }
    if (const auto again = weak.lock()) {
      cluster_->scheduler().After(kLookEvery, Actor::kScript, [again] { (*again)(); });
    }
  };
  Hold(command.fault, {absl::StrCat("leader ", node, " is paused"), {node}, {}}, command.lasts,
       nullptr, resume);
  (*look)();
}

// --- Voters in the middle of something

namespace {

// Neither its log nor its configuration is what it will be.
bool IsInTheMiddle(const raft::Raft& raft) {
  return raft.installing_snapshot() || UnappliedChange(raft) != 0;
}

// Its disk does not have a change of the members yet that may be committed without it.
bool IsWritingAChange(const raft::Raft& raft) {
  const raft::Log& log = raft.log();
  raft::Index index = std::max({raft.durable(), raft.applied(), log.base()}) + 1;
  while (index <= log.last() && log.At(index).type != raft::EntryType::kMembership) ++index;
  return index <= log.last();
}

}  // namespace

struct Nemesis::Stuck {
  raft::NodeId node = raft::kNoNode;  // whose disk hangs
  uint64_t life = 0;
  Links cut;
  bool silent = false;  // for an election timeout
};

void Nemesis::StickChange(const FaultCommand& command) {
  auto stuck = std::make_shared<Stuck>();
  auto over = std::make_shared<bool>(false);
  auto look = std::make_shared<std::function<void()>>();
  *look = [this, nodes = command.nodes, stuck, over, weak = std::weak_ptr(look)] {
    if (*over) return;
    LookForChange(nodes, stuck.get());
    if (const auto again = weak.lock()) {
      cluster_->scheduler().After(kLookEvery, Actor::kScript, [again] { (*again)(); });
    }
  };
  Hold(
      command.fault, {"a change is stuck", command.nodes, {}}, command.lasts,
      [stuck] { return static_cast<uint64_t>(stuck->silent); },
      [this, stuck, over] {
        *over = true;
        if (stuck->node == raft::kNoNode) return;
        Say(absl::StrCat("lets node ", stuck->node, " go on"));
        cluster_->Find(stuck->node)->disk_thread().Release();
        for (const auto& [from, to] : stuck->cut) cluster_->network().Mend(from, to);
      });
  (*look)();
}

void Nemesis::LookForChange(const std::vector<raft::NodeId>& nodes, Stuck* stuck) {
  for (const raft::NodeId node : nodes) {
    Process* process = cluster_->Find(node);
    if (process == nullptr || process->state() != Process::State::kUp ||
        process->replica()->repairing() || (stuck->node != raft::kNoNode && stuck->node != node)) {
      continue;
    }
    const raft::Raft& raft = process->replica()->raft();
    if (stuck->node == raft::kNoNode) {
      const bool begins = IsInTheMiddle(raft) || IsWritingAChange(raft);
      if (!begins || raft.is_leader() || !raft::IsVoter(raft.conf(), node)) continue;
      Say(absl::StrCat("lets the disk of node ", node, " hang in the middle of a change"));
      *stuck = {node, process->life(), {}, false};
      process->disk_thread().Hang();
    }
    if (process->life() != stuck->life || !IsInTheMiddle(raft)) continue;
    if (stuck->cut.empty()) {
      stuck->cut = Between({node}, cluster_->InUse());
      Say(absl::StrCat("leaves node ", node, " alone"));
      for (const auto& [from, to] : stuck->cut) cluster_->network().Cut(from, to);
    }
    if (raft.election_elapsed() >= raft.options().election_ticks) stuck->silent = true;
  }
}

// --- What the wire still has. Not where nodes have connections: a stream brings nothing twice.

void Nemesis::DoubleSnapshots(const FaultCommand& command) {
  const raft::NodeId node = command.nodes[0];
  const Time later = command.number * kMillisecond;
  Say(absl::StrCat("doubles pieces of snapshots of node ", node));
  auto doubled = std::make_shared<uint64_t>(0);
  const uint64_t tap = cluster_->network().AddTap(
      [this, node, later, doubled](raft::NodeId from, raft::NodeId to, const std::string& frame) {
        if (from == node && NameOfFrame(frame).kind == "snapshot piece") {
          ++*doubled;
          cluster_->network().Inject(from, to, frame, later);
        }
        return false;
      });
  Hold(
      command.fault, {absl::StrCat("snapshots of node ", node, " are doubled"), {node}, {}},
      command.lasts, [doubled] { return *doubled; },
      [this, tap] { cluster_->network().RemoveTap(tap); });
}

void Nemesis::BankMessages(const FaultCommand& command) {
  const raft::NodeId node = command.nodes[0];
  Say(absl::StrCat("keeps copies of what is sent to node ", node));
  // An order to campaign is among them if it is told to lead.
  const Process* leader = cluster_->Leader();
  if (command.number % 2 == 0 && leader != nullptr && leader->id() != node && !operator_.busy()) {
    AskOf(leader->id(), {"KV.TRANSFER", absl::StrCat(node)}, [](bool, bool) {});
  }
  struct Banked {
    raft::NodeId from;
    raft::Term term;
    std::string frame;
  };
  auto bank = std::make_shared<std::vector<Banked>>();
  // Also across a death, but what was sent to a node whose disk has been rolled back since must not
  // reach it (sim/disk/fault_atlas.h).
  const DiskFaultCounters effects = cluster_->Find(node)->disk().effects();
  const uint64_t tap = cluster_->network().AddTap(
      [node, bank](raft::NodeId from, raft::NodeId to, const std::string& frame) {
        if (to != node || bank->size() >= kMostBanked) return false;
        const PeerBodyName name = NameOfFrame(frame);
        if (name.term > 0 || name.kind == "reply") bank->push_back({from, name.term, frame});
        return false;
      });
  // All at once, or bit by bit within this time.
  const auto again = [this, node, bank, fault = command.fault, effects](Time within) {
    const Process* process = cluster_->Find(node);
    if (ended_ || process->state() == Process::State::kDown ||
        process->disk().effects() != effects || wiped_.contains(node)) {
      return;
    }
    const raft::Term term = process->replica()->raft().term();
    bool old = false;
    size_t number = 0;
    for (Banked& banked : *bank) {
      old = old || (banked.term > 0 && banked.term < term);
      const Time delay = within * number / bank->size();
      if (++number % kBrokenOneIn == 0) {
        omniscience_->Misaddressed(node);
        cluster_->network().Inject(banked.from, node, WithoutRoot(banked.frame, number), delay);
      }
      cluster_->network().Inject(banked.from, node, std::move(banked.frame), delay);
    }
    if (old) Count(fault);
  };
  const Time later = command.number * kMillisecond;
  Hold(command.fault, {absl::StrCat("what is sent to node ", node, " is copied"), {node}, {}},
       command.lasts, nullptr, [this, node, tap, later, fault = command.fault, again] {
         cluster_->network().RemoveTap(tap);
         Process* process = cluster_->Find(node);
         const bool dies =
             later / kMillisecond % 3 == 0 && !ended_ && process->state() != Process::State::kDown;
         if (!dies) {
           return cluster_->scheduler().After(later, Actor::kScript, [again] { again(0); });
         }
         cluster_->Die(node, Process::Death::kKilled);
         Hold(fault, {absl::StrCat("node ", node, " is to hear its old mail"), {node}, {}},
              later / 2, nullptr, [this, node, later, again] {
                cluster_->Restart(node, 0, /*die_in_recovery=*/false);
                // Where it asks again what it asked then.
                cluster_->scheduler().After(kLookEvery, Actor::kScript,
                                            [again, later] { again(later); });
              });
       });
}

struct Nemesis::Overtaken {
  raft::NodeId leader;
  raft::NodeId follower;
  uint64_t slowness;                 // of the follower's disk, once the snapshot is on its way
  std::vector<std::string> appends;  // held back
  bool released = false;
  bool reached = false;
};

// The entries come late enough for the snapshot to be there as well, and early enough for it not to
// be installed: some stand in front of it, what the leader goes on with behind it.
void Nemesis::OvertakeAppends(const FaultCommand& command) {
  const raft::NodeId follower = command.nodes.back();
  if (cluster_->Find(follower) == nullptr) return;
  auto overtaken = std::make_shared<Overtaken>();
  overtaken->leader = command.nodes[0];
  overtaken->follower = follower;
  overtaken->slowness = command.number;
  Say(absl::StrCat("holds back what leader ", overtaken->leader, " appends to node ", follower));
  const uint64_t tap = cluster_->network().AddTap(
      [this, overtaken](raft::NodeId from, raft::NodeId to, const std::string& frame) {
        return from == overtaken->leader && to == overtaken->follower &&
               Overtake(frame, overtaken.get());
      });
  auto over = std::make_shared<bool>(false);
  auto look = std::make_shared<std::function<void()>>();
  *look = [this, overtaken, over, weak = std::weak_ptr(look)] {
    if (*over) return;
    const Process* process = cluster_->Find(overtaken->follower);
    if (process->state() != Process::State::kDown) {
      const raft::Raft& raft = process->replica()->raft();
      overtaken->reached |= raft.installing_snapshot() && raft.log().last() > raft.log().base();
    }
    if (const auto again = weak.lock()) {
      cluster_->scheduler().After(kLookEvery, Actor::kScript, [again] { (*again)(); });
    }
  };
  Hold(
      command.fault, {absl::StrCat("appends to node ", follower, " are held back"), {follower}, {}},
      command.lasts, [overtaken] { return static_cast<uint64_t>(overtaken->reached); },
      [this, tap, over, follower] {
        *over = true;
        cluster_->network().RemoveTap(tap);
        cluster_->Find(follower)->disk_thread().set_slowness(1);
      });
  (*look)();
}

bool Nemesis::Overtake(const std::string& frame, Overtaken* overtaken) {
  if (overtaken->released) return false;
  const auto message = wire::DecodePeer(absl::string_view(frame).substr(wire::kFrameHeaderSize));
  if (!message.ok()) return false;
  if (NameOf(message->body).kind == "append") {
    if (overtaken->appends.size() < kMostBanked) overtaken->appends.push_back(frame);
    return true;
  }
  const auto* piece = std::get_if<wire::SnapshotChunk>(&message->body);
  if (piece == nullptr || !piece->last()) return false;
  overtaken->released = true;
  Say(absl::StrCat("lets node ", overtaken->follower, " hear what was held back, slowly"));
  cluster_->Find(overtaken->follower)->disk_thread().set_slowness(overtaken->slowness);
  const Time within = ElectionTimeout() / 2;
  for (size_t i = 0; i < overtaken->appends.size(); ++i) {
    cluster_->network().Inject(overtaken->leader, overtaken->follower,
                               std::move(overtaken->appends[i]),
                               within * i / overtaken->appends.size());
  }
  return false;
}

void Nemesis::ReuseAddress(const FaultCommand& command) {
  const raft::NodeId node = command.nodes[0];
  const raft::NodeId instead = command.nodes.back();
  if (node == instead || cluster_->Find(instead) == nullptr) return;
  Say(absl::StrCat("lets what is meant for node ", node, " reach node ", instead));
  if (cluster_->settings().streams) {
    cluster_->Redirect(node, instead);
    cluster_->streams().BreakThoseTo(node);
    return Hold(
        command.fault,
        {absl::StrCat("who dials node ", node, " reaches node ", instead), {node, instead}, {}},
        command.lasts, [this] { return cluster_->misled_dials(); },
        [this, node, instead] {
          cluster_->Redirect(node, node);
          // Nobody has that address there any more. A node that is paused for ever would keep who
          // has dialed it waiting for longer than there is time.
          cluster_->streams().BreakThoseTo(instead);
        });
  }
  auto reached = std::make_shared<uint64_t>(0);
  const uint64_t tap = cluster_->network().AddTap(
      [this, node, instead, reached](raft::NodeId from, raft::NodeId to, const std::string& frame) {
        if (to != node || from == instead) return false;
        ++*reached;
        omniscience_->Misaddressed(instead);
        cluster_->network().Inject(from, instead, frame, kMillisecond);
        return true;
      });
  Hold(
      command.fault,
      {absl::StrCat("node ", instead, " gets what is meant for node ", node), {node, instead}, {}},
      command.lasts, [reached] { return *reached; },
      [this, tap] { cluster_->network().RemoveTap(tap); });
}

// --- Figure 8 of the paper: entries of an old term are on a majority, and are not committed by
// that.
//
//   kAlone     the leader reaches one follower only; both have entries that nobody else has
//   kOther     both are cut off, the leader loses its power; somebody else is elected, whose
//              entries reach nobody, and is cut off
//   kBack      the old leader is back with its follower, is elected again and sends its entries
//              to the others
//   kLostAgain after a moment it loses its power; the other one is heard again

struct Nemesis::Figure8 {
  enum class Stage : uint8_t { kAlone, kOther, kBack } stage = Stage::kAlone;
  FaultCommand command;
  raft::NodeId leader;
  raft::NodeId follower;
  raft::NodeId other = raft::kNoNode;
  raft::Term term = 0;        // of the leader, at first
  raft::Term other_term = 0;  // of the other one
  Links cut;
  uint64_t tap = 0;  // 0: none
  Time stage_ends = 0;
  bool over = false;
};

void Nemesis::PlayFigure8(const FaultCommand& command) {
  if (command.nodes.size() < 2) return;
  auto play = std::make_shared<Figure8>();
  play->command = command;
  play->leader = command.nodes[0];
  play->follower = command.nodes[1];
  play->term = TermLedBy(play->leader);
  if (play->term == 0 || cluster_->Find(play->follower) == nullptr) return;
  std::vector<raft::NodeId> rest;
  for (const raft::NodeId node : cluster_->InUse()) {
    if (node != play->leader && node != play->follower) rest.push_back(node);
  }
  play->cut = Between({play->leader}, rest);
  Say(absl::StrCat("figure 8: leader ", play->leader, " reaches node ", play->follower, " only"));
  for (const auto& [from, to] : play->cut) cluster_->network().Cut(from, to);
  play->stage_ends = cluster_->scheduler().now() + ElectionTimeout() / 2;
  Hold(command.fault, {"figure 8", {play->leader, play->follower}, play->cut}, command.lasts,
       nullptr, [this, play] {
         play->over = true;
         cluster_->network().RemoveTap(play->tap);
         for (const auto& [from, to] : play->cut) cluster_->network().Mend(from, to);
         play->cut.clear();
         if (cluster_->Find(play->leader)->state() == Process::State::kDown) {
           cluster_->Restart(play->leader, 0, /*die_in_recovery=*/false);
         }
       });
  GoOn(play);
}

void Nemesis::GoOn(const std::shared_ptr<Figure8>& play) {
  if (play->over || ended_) return;
  const auto cut_instead = [&](Links links) {
    for (const auto& [from, to] : links) cluster_->network().Cut(from, to);
    for (const auto& [from, to] : play->cut) cluster_->network().Mend(from, to);
    play->cut = std::move(links);
  };
  const auto die = [&] {
    if (cluster_->Find(play->leader)->state() == Process::State::kDown) return;
    cluster_->Die(play->leader, Process::Death::kPowerLoss);
  };
  const std::vector<raft::NodeId> nodes = cluster_->InUse();
  const Time now = cluster_->scheduler().now();
  switch (play->stage) {
    case Figure8::Stage::kAlone:
      if (now < play->stage_ends) break;
      Say(absl::StrCat("figure 8: leader ", play->leader, " goes down, the others elect"));
      die();
      cut_instead(Between({play->leader, play->follower}, nodes));
      play->tap = cluster_->network().AddTap(
          [term = play->term](raft::NodeId, raft::NodeId, const std::string& frame) {
            const PeerBodyName name = NameOfFrame(frame);
            return name.kind == "append" && name.term > term;
          });
      play->stage = Figure8::Stage::kOther;
      break;
    case Figure8::Stage::kOther:
      for (const raft::NodeId node : nodes) {
        if (TermLedBy(node) <= play->term || node == play->leader || node == play->follower) {
          continue;
        }
        play->other = node;
        play->other_term = TermLedBy(node);
      }
      if (play->other == raft::kNoNode) break;
      Say(absl::StrCat("figure 8: node ", play->other, " leads, and is cut off; node ",
                       play->leader, " is back"));
      cut_instead(Between({play->other}, nodes));
      cluster_->network().RemoveTap(play->tap);
      cluster_->Restart(play->leader, 0, /*die_in_recovery=*/false);
      play->stage = Figure8::Stage::kBack;
      play->stage_ends = 0;
      break;
    case Figure8::Stage::kBack: {
      const bool back = TermLedBy(play->leader) > play->other_term ||
                        TermLedBy(play->follower) > play->other_term;
      if (!back && play->stage_ends == 0) break;
      if (play->stage_ends == 0) play->stage_ends = now + play->command.number * kMillisecond;
      if (now < play->stage_ends) break;
      Say(absl::StrCat("figure 8: and is lost again; node ", play->other, " is heard"));
      Count(play->command.fault);
      if (TermLedBy(play->follower) > 0) std::swap(play->leader, play->follower);
      die();
      cut_instead({});
      return;  // it is started again when the attack is over
    }
  }
  cluster_->scheduler().After(kLookEvery, Actor::kScript, [this, play] { GoOn(play); });
}

}  // namespace raftkv::sim
