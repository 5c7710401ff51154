#include "sim/nemesis/nemesis.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/raft/configuration.h"
#include "core/raft/membership.h"
#include "core/raft/quorum.h"
#include "core/wire/peer.h"
#include "sim/disk/disk_fault.h"
#include "sim/disk/fault_atlas.h"
#include "sim/node/foresight.h"
#include "storage/log.h"

namespace raftkv::sim {
namespace {

constexpr absl::string_view kNames[] = {
    "partitions",
    "isolations",
    "one-way partitions",
    "clogs",
    "storms",
    "power losses",
    "kills",
    "power losses of all",
    "pauses",
    "slow disks",
    "sync errors",
    "full disks",
    "clock jumps",
    "transfers",
    "membership requests",
    "slow nodes",
    "restart storms",
    "rolling restarts",
    "rot",
    "read errors",
    "hung disks",
    "lost writes",
    "misdirected writes",
    "misdirected reads",
    "stale files",
    "amnesia",
    "wipes",
    "leaders in a minority",
    "one-way leaders",
    "withheld answers",
    "figure 8",
    "deaths between sending and writing",
    "deaths between writing and saying",
    "outlived leases",
    "doubled snapshots",
    "old messages",
    "reused addresses",
    "stuck changes",
    "overtaken appends",
};
static_assert(std::size(kNames) == kFaultKinds);

// Of every node that is added (cluster.cc has the same for founders).
constexpr uint64_t kIncarnation = 1;
// No node numbers what it forwards like this.
constexpr uint64_t kForwardIds = uint64_t{1} << 62;
// A removed node is switched off by its operator after this.
constexpr Time kSweepUpEvery = 250 * kMillisecond;
constexpr Time kSweepUpAfter = kSecond;
// A node whose disk is to be of an earlier time waits, down, until the others can do without what
// it forgets: often until they have elected somebody.
constexpr Time kBringBackEvery = 50 * kMillisecond;
constexpr uint32_t kBringBackTries = 40;

// So many are judged without being done, where one is.
constexpr int kForeseenDamages = 4;

// Some place in some file: a byte, a few, a block, or what is left of the file.
DiskFault PickDamage(Fault fault, SimDisk& disk, Random& random) {
  const std::vector<std::string> files = *disk.List();
  const std::string& file = files[random.Below(files.size())];
  const auto opened = disk.Open(file, storage::Disk::Mode::kRead);
  const uint64_t size = opened.ok() ? *(*opened)->Size() : 0;
  DiskPlace place{file, random.Below(size + 1), 0};
  switch (random.Below(4)) {
    case 0:
      place.length = 1;
      break;
    case 1:
      place.length = random.Between(2, 100);
      break;
    case 2:
      place.offset = place.offset / 512 * 512;
      place.length = 512 * random.Between(1, 8);
      break;
    default:
      place.length = kToTheEnd;
      break;
  }
  const uint64_t how = random.Below(8);
  const uint64_t seed = random.Next();
  if (fault == Fault::kReadErrors) return ReadError{place};
  if (how == 7) return TruncatedFile{file, place.offset};
  if (how < 3) return BitRot{place, 1 + seed % 8, seed};
  if (how < 5) return Garbage{place, seed};
  return Zeros{place};
}

// What a write or read is of, by the beginning of its name.
std::string PickPrefix(Random& random) {
  static constexpr absl::string_view kPrefixes[] = {"log-",      "log-",  "log-",     "log-", "",
                                                    "snapshot-", "marks", "manifest", "vote"};
  return std::string(kPrefixes[random.Below(std::size(kPrefixes))]);
}

}  // namespace

bool HasDraw(Fault fault) {
  return fault >= Fault::kRot && fault <= Fault::kAmnesia && fault != Fault::kHungDisk;
}

absl::string_view Name(Fault fault) { return kNames[static_cast<size_t>(fault)]; }

Nemesis::Nemesis(const NemesisSettings& settings, Cluster* cluster, Decisions* decisions,
                 Omniscience* omniscience, Random random)
    : settings_(settings),
      cluster_(cluster),
      decisions_(decisions),
      omniscience_(omniscience),
      random_(random),
      disk_random_(random.Split("disk faults")),
      lie_random_(random.Split("lies")),
      wipe_random_(random.Split("wipes")),
      attack_random_(random.Split("attacks")),
      faults_{0, kFirstDiskFault, settings.between, &random_},
      disk_faults_{kFirstDiskFault, kFirstLie, settings.between_disk_faults, &disk_random_},
      lies_{kFirstLie, kFirstWipe, settings.between_lies, &lie_random_},
      wipes_{kFirstWipe, kFirstAttack, settings.between_wipes, &wipe_random_},
      attacks_{kFirstAttack, kFaultKinds, settings.between_attacks, &attack_random_},
      operator_(&cluster->scheduler(), &cluster->ports(), settings.operator_patience),
      calm_network_(cluster->network().options()),
      core_random_(random.Split("core")),
      hand_over_random_(random.Split("hand-overs")) {
  for (Random* stream : {&random_, &disk_random_, &lie_random_, &wipe_random_, &attack_random_,
                         &core_random_, &hand_over_random_}) {
    decisions_->Own(stream);
  }
}

uint64_t Nemesis::total() const {
  return std::accumulate(counters_.begin(), counters_.end(), uint64_t{0});
}

void Nemesis::Say(absl::string_view text) {
  if (cluster_->trace().reading()) cluster_->trace().Say(absl::StrCat("nemesis: ", text));
}

void Nemesis::Remark(absl::string_view text) {
  Say(text);
  if (watcher_ != nullptr) watcher_->NemesisSays(text);
}

void Nemesis::Start() {
  SweepUp();
  if (settings_.script.has_value()) NextOfScript(0);
  if (settings_.draws_from.has_value()) {
    cluster_->scheduler().At(*settings_.draws_from, Actor::kScript, [this] { DrawAll(); });
  } else if (!settings_.script.has_value()) {
    DrawAll();
  }
}

void Nemesis::DrawAll() {
  if (ended_) return;
  Next(faults_);
  Next(disk_faults_);
  Next(lies_);
  Next(wipes_);
  Next(attacks_);
}

void Nemesis::Next(Course& course) {
  const auto begin = settings_.shares.begin();
  const uint32_t shares = std::accumulate(begin + course.begin, begin + course.end, 0u);
  if (shares == 0) return;
  const Time after = sim::Draw(course.between, *course.random);
  cluster_->scheduler().After(after, Actor::kScript, [this, &course, shares] {
    if (ended_) return;
    uint64_t draw = course.random->Below(shares);
    size_t kind = course.begin;
    while (draw >= settings_.shares[kind]) draw -= settings_.shares[kind++];
    if (const auto command = Draw(static_cast<Fault>(kind), *course.random)) {
      record_.push_back({{std::nullopt, cluster_->scheduler().now()}, *command});
      Do(*command);
    }
    Next(course);
  });
}

void Nemesis::NextOfScript(size_t number) {
  const std::vector<CuedFault>& script = *settings_.script;
  while (number < script.size() && script[number].cue.when.has_value()) ++number;
  if (number == script.size()) return;
  cluster_->scheduler().At(script[number].cue.at, Actor::kScript, [this, number] {
    const FaultCommand& command = (*settings_.script)[number].command;
    if (!ended_) record_.push_back({{std::nullopt, cluster_->scheduler().now()}, command});
    Do(command);
    NextOfScript(number + 1);
  });
}

// --- What to do

// Two groups; two groups and somebody who hears both; a ring, in which everybody hears two; or one
// pair that does not hear each other. All links both ways.
Links Nemesis::DrawPartition(const std::vector<raft::NodeId>& nodes, Random& random) {
  std::vector<uint32_t> side;  // 2: hears both
  for (size_t i = 0; i < nodes.size(); ++i) {
    side.push_back(static_cast<uint32_t>(random.Below(2)));
  }
  const uint64_t shape = random.Below(5);
  const size_t one = random.Below(nodes.size());
  const size_t other = random.Below(nodes.size());
  if (shape == 1) side[one] = 2;
  Links links;
  for (size_t a = 0; a < nodes.size(); ++a) {
    for (size_t b = 0; b < a; ++b) {
      bool cut = side[a] + side[b] == 1;  // one on each side
      if (shape == 2) cut = a - b != 1 && a - b != nodes.size() - 1;
      if (shape == 3) cut = (a == one && b == other) || (a == other && b == one);
      if (!cut) continue;
      links.emplace_back(nodes[a], nodes[b]);
      links.emplace_back(nodes[b], nodes[a]);
    }
  }
  return links;
}

std::optional<FaultCommand> Nemesis::Draw(Fault fault, Random& random) {
  const std::vector<raft::NodeId> nodes = cluster_->InUse();
  const raft::NodeId victim = PickUp(random);
  if (victim == raft::kNoNode) return std::nullopt;
  FaultCommand command;
  command.fault = fault;
  command.lasts = sim::Draw(settings_.lasts, random);
  const auto both_ways = [&](const std::vector<raft::NodeId>& group) {
    Links links;
    for (const raft::NodeId a : group) {
      for (const raft::NodeId b : nodes) {
        if (std::find(group.begin(), group.end(), b) != group.end()) continue;
        links.emplace_back(a, b);
        links.emplace_back(b, a);
      }
    }
    return links;
  };
  const auto some_of = [&](const Links& links) {
    return links.empty() ? std::nullopt : std::optional(command);
  };
  switch (fault) {
    case Fault::kPartition:
      command.links = DrawPartition(nodes, random);
      return some_of(command.links);
    case Fault::kIsolation:
      command.links = both_ways({victim});
      return some_of(command.links);
    case Fault::kOneWay: {
      const std::vector<raft::NodeId> group =
          random.Chance(1, 2) ? std::vector<raft::NodeId>{victim} : PickGroup(nodes, random);
      const bool deaf = random.Chance(1, 2);
      for (const auto& [a, b] : both_ways(group)) {
        const bool leaves = std::find(group.begin(), group.end(), a) != group.end();
        if (leaves != deaf) command.links.emplace_back(a, b);
      }
      return some_of(command.links);
    }
    case Fault::kClog:
      for (const Link& link : both_ways({victim})) {
        if (random.Chance(1, 2)) command.links.push_back(link);
      }
      return some_of(command.links);
    case Fault::kStorm:
      command.number = random.Between(50, 400);
      command.draw = random.Between(50, 400);
      return command;
    case Fault::kPowerLossOfAll:
      command.nodes = nodes;
      return command;
    case Fault::kPowerLoss:
    case Fault::kKill:
      command.nodes = {victim};
      command.again = random.Chance(1, 8);
      return command;
    case Fault::kPause:
    case Fault::kFullDisk:
    case Fault::kHungDisk:
      command.nodes = {victim};
      return command;
    case Fault::kSlowNode:
      command.nodes = {victim};
      command.number = random.Between(1, ElectionTimeout() / kMillisecond);
      return command;
    case Fault::kRestartStorms:
      command.nodes = {victim};
      command.number = random.Between(1, ElectionTimeout() / kMillisecond);
      return command;
    case Fault::kRollingRestarts:
      command.nodes = nodes;
      command.number = random.Between(1, ElectionTimeout() / kMillisecond);
      command.lasts = 2 * nodes.size() * command.number * kMillisecond;
      return command;
    case Fault::kSlowDisk:
      command.nodes = {victim};
      command.number = random.Between(5, 200);
      return command;
    case Fault::kSyncError:
      command.nodes = {victim};
      command.number = random.Below(3);
      return command;
    case Fault::kClockJump:
      command.nodes = {victim};
      command.number = random.Between(1, 120'000);
      command.back = random.Chance(1, 2);
      return command;
    case Fault::kTransfer: {
      const std::vector<raft::NodeId>& voters = omniscience_->newest_conf().voters;
      Process* leader = cluster_->Leader();
      if (operator_.busy() || leader == nullptr || voters.empty()) return std::nullopt;
      command.nodes = {leader->id()};
      command.words = {"KV.TRANSFER", absl::StrCat(voters[random.Below(voters.size())])};
      return command;
    }
    case Fault::kMembership:
      if (operator_.busy() || Replacing()) return std::nullopt;
      if (!DrawMembership(random, &command)) return std::nullopt;
      return command;
    case Fault::kWipe: {
      static constexpr WipeForm kForms[] = {
          WipeForm::kEmpty,   WipeForm::kEmpty,      WipeForm::kJoiner, WipeForm::kJoiner,
          WipeForm::kFounder, WipeForm::kNoIdentity, WipeForm::kInUse};
      command.nodes = {victim};
      command.number = static_cast<uint64_t>(kForms[random.Below(std::size(kForms))]);
      return command;
    }
    default:
      if (HasDraw(fault)) {
        command.nodes = {victim};
        command.draw = random.Next();
        return command;
      }
      return DrawAttack(random, &command) ? std::optional(command) : std::nullopt;
  }
}

bool Nemesis::DrawMembership(Random& random, FaultCommand* command) {
  const raft::ConfState& conf = omniscience_->newest_conf();
  command->nodes = {PickUp(random)};
  // Nobody could vote any more: it must be refused.
  if (conf.voters.size() == 1 && random.Chance(1, 4)) {
    command->words = {"KV.MEMBER", "REMOVE", absl::StrCat(conf.voters[0])};
    return true;
  }
  const size_t members = raft::MemberCount(conf);
  // Only where some are exchanged for others do two majorities differ: learners come first.
  const bool more_learners = settings_.joint && members < settings_.most_members &&
                             conf.learners.size() < 2 && random.Chance(1, 2);
  if (settings_.joint && !conf.learners.empty() && !more_learners) {
    DrawJointChange(random, command);
    return true;
  }
  if (!conf.learners.empty() && !more_learners && random.Chance(3, 4)) {
    const raft::NodeId learner = conf.learners[random.Below(conf.learners.size())];
    command->words = {"KV.MEMBER", random.Chance(4, 5) ? "PROMOTE" : "REMOVE",
                      absl::StrCat(learner)};
    return true;
  }
  if (members < settings_.most_members &&
      (settings_.joint || random.Chance(1, 2) || conf.voters.size() <= settings_.least_voters)) {
    // Somebody who waits to be added, or a new node. Who was removed is on its way out.
    raft::NodeId joiner = cluster_->NextJoiner();
    for (const raft::NodeId node : cluster_->InUse()) {
      if (!omniscience_->WasEverMember(node)) joiner = node;
    }
    command->words = {"KV.MEMBER",           "ADD", absl::StrCat(joiner), PeerAddress(joiner),
                      ClientAddress(joiner), "1"};
    return true;
  }
  if (conf.voters.size() <= settings_.least_voters) return false;
  raft::NodeId voter = conf.voters[random.Below(conf.voters.size())];
  // The leader goes more often than chance would have it: it has to commit that without itself.
  const Process* leader = cluster_->Leader();
  if (random.Chance(1, 3) && leader != nullptr && raft::IsMember(conf, leader->id())) {
    voter = leader->id();
  }
  command->words = {"KV.MEMBER", "REMOVE", absl::StrCat(voter)};
  return true;
}

// Several members at once. One learner at least is made a voter, so that voters do not run out.
void Nemesis::DrawJointChange(Random& random, FaultCommand* command) {
  const raft::ConfState& conf = omniscience_->newest_conf();
  if (const Process* leader = cluster_->Leader()) command->nodes = {leader->id()};
  command->words = {"JOINT"};
  const size_t sure = random.Below(conf.learners.size());
  for (size_t i = 0; i < conf.learners.size(); ++i) {
    if (i != sure && random.Chance(1, 3)) continue;
    command->words.insert(command->words.end(), {"PROMOTE", absl::StrCat(conf.learners[i])});
  }
  if (conf.voters.size() < settings_.least_voters || random.Chance(1, 3)) return;
  command->words.insert(command->words.end(),
                        {"REMOVE", absl::StrCat(conf.voters[random.Below(conf.voters.size())])});
}

void Nemesis::Do(const FaultCommand& command) {
  if (ended_) return;
  std::vector<Process*> victims;
  for (const raft::NodeId node : command.nodes) {
    Process* process = cluster_->Find(node);
    if (process == nullptr) continue;
    // What is given in so many words may be one of several, on a node that is down for the first.
    const bool is_up = process->state() != Process::State::kDown;
    if (is_up || command.damage) victims.push_back(process);
  }
  switch (command.fault) {
    case Fault::kPartition:
    case Fault::kIsolation:
    case Fault::kOneWay:
      return CutLinks(command);
    case Fault::kClog:
      return ClogLinks(command);
    case Fault::kStorm:
      return Storm(command);
    case Fault::kTransfer:
    case Fault::kMembership:
      return Ask(command);
    default:
      break;
  }
  if (static_cast<size_t>(command.fault) >= kFirstAttack) return Attack(command);
  if (command.fault == Fault::kRestartStorms || command.fault == Fault::kRollingRestarts) {
    return Restarts(command);
  }
  for (Process* victim : victims) {
    const raft::NodeId node = victim->id();
    switch (command.fault) {
      case Fault::kPowerLoss:
      case Fault::kPowerLossOfAll:
        Down(command, node, Process::Death::kPowerLoss);
        break;
      case Fault::kKill:
        Down(command, node, Process::Death::kKilled);
        break;
      case Fault::kPause:
        Pause(command, victim);
        break;
      case Fault::kSlowNode:
        if (victim->state() == Process::State::kUp) SlowDown(command, victim);
        break;
      case Fault::kHungDisk:
        Hang(node, command.lasts);
        break;
      case Fault::kRot:
      case Fault::kReadErrors:
        Spoil(command, node);
        break;
      case Fault::kLostWrites:
      case Fault::kMisdirectedWrites:
      case Fault::kMisdirectedReads:
      case Fault::kStaleFiles:
      case Fault::kAmnesia:
        Lie(command);
        break;
      case Fault::kWipe:
        Wipe(command);
        break;
      default:
        Disk(command, victim);
        break;
    }
  }
}

raft::NodeId Nemesis::PickUp(Random& random) {
  const std::vector<raft::NodeId> up = cluster_->Up();
  if (up.empty()) return raft::kNoNode;
  const raft::NodeId any = up[random.Below(up.size())];
  Process* leader = cluster_->Leader();
  const bool at_leader = random.Chance(settings_.at_leader_percent, 100);
  return at_leader && leader != nullptr ? leader->id() : any;
}

std::vector<raft::NodeId> Nemesis::PickGroup(const std::vector<raft::NodeId>& nodes,
                                             Random& random) {
  std::vector<raft::NodeId> group;
  for (const raft::NodeId node : nodes) {
    if (random.Chance(1, 2)) group.push_back(node);
  }
  return group;
}

// --- Faults that last

void Nemesis::Hold(Fault fault, const Aim& aim, Time lasts, std::function<uint64_t()> effect,
                   std::function<void()> take_back) {
  const uint64_t id = ++last_active_;
  if (watcher_ != nullptr) watcher_->FaultBegan(id, fault, aim);
  const uint64_t before = effect ? effect() : 0;
  active_.emplace(id, Active{fault, aim, std::move(take_back), std::move(effect), before});
  cluster_->scheduler().After(lasts, Actor::kScript, [this, id] {
    if (!stopped_) TakeBack(id);
  });
}

void Nemesis::TakeBack(uint64_t id) {
  const auto it = active_.find(id);
  if (it == active_.end()) return;
  Active active = std::move(it->second);
  active_.erase(it);
  if (watcher_ != nullptr) watcher_->FaultOver(id);
  if (active.effect && active.effect() > active.effect_before) Count(active.fault);
  active.take_back();
}

void Nemesis::CutLinks(const FaultCommand& command) {
  const Links& links = command.links;
  const std::string which = absl::StrJoin(links, " ", absl::PairFormatter(">"));
  Say(absl::StrCat("cuts ", which));
  for (const auto& [from, to] : links) cluster_->network().Cut(from, to);
  Hold(
      command.fault, {absl::StrCat("cut: ", which), {}, links}, command.lasts,
      [this] { return cluster_->network().counters().cut; },
      [this, links] {
        Say("mends links");
        for (const auto& [from, to] : links) cluster_->network().Mend(from, to);
      });
}

void Nemesis::ClogLinks(const FaultCommand& command) {
  const Links& links = command.links;
  const std::string which = absl::StrJoin(links, " ", absl::PairFormatter(">"));
  Say(absl::StrCat("clogs ", which));
  for (const auto& [from, to] : links) cluster_->network().Clog(from, to);
  Hold(
      Fault::kClog, {absl::StrCat("clogged: ", which), {}, links}, command.lasts,
      [this] { return cluster_->network().counters().clogged; },
      [this, links] {
        Say("unclogs links");
        for (const auto& [from, to] : links) cluster_->network().Unclog(from, to);
      });
}

// Where decisions are given, what it did to each frame is among them.
void Nemesis::Storm(const FaultCommand& command) {
  Say("lets a storm rise");
  NetworkOptions worse = calm_network_;
  worse.loss_per_mille = static_cast<uint32_t>(command.number);
  worse.duplicate_per_mille = static_cast<uint32_t>(command.draw);
  worse.delay.tail_per_mille = 200;
  worse.delay.tail = std::max<Time>(10 * worse.delay.spread, 20 * kMillisecond);
  cluster_->network().set_options(worse);
  Hold(
      Fault::kStorm,
      {absl::StrCat("storm: ", worse.loss_per_mille, " of 1000 lost, ", worse.duplicate_per_mille,
                    " doubled, many late"),
       {},
       {}},
      command.lasts,
      [this] {
        return cluster_->network().counters().lost + cluster_->network().counters().doubled;
      },
      [this] { cluster_->network().set_options(calm_network_); });
}

void Nemesis::Down(const FaultCommand& command, raft::NodeId node, Process::Death death) {
  cluster_->Die(node, death);
  Count(command.fault);
  const Aim aim{absl::StrCat("node ", node, " is down"), {node}, {}};
  Hold(command.fault, aim, command.lasts, nullptr,
       [this, node, death, again = command.again] { cluster_->Restart(node, 0, again, death); });
}

void Nemesis::Pause(const FaultCommand& command, Process* process) {
  if (process->state() != Process::State::kUp) return;
  const raft::NodeId node = process->id();
  Say(absl::StrCat("pauses node ", node));
  process->Pause();
  Count(command.fault);
  const Aim aim{absl::StrCat("node ", node, " is paused"), {node}, {}};
  Hold(command.fault, aim, command.lasts, nullptr, [this, process, life = process->life()] {
    if (process->life() != life) return;  // it died meanwhile
    Say(absl::StrCat("lets node ", process->id(), " go on"));
    process->Resume();
  });
}

// A process that hardly gets to run: it stands still as long as it runs.
void Nemesis::SlowDown(const FaultCommand& command, Process* process) {
  struct Standstill {
    bool over = false;
    bool pauses = false;  // and nobody else has paused it
  };
  auto standstill = std::make_shared<Standstill>();
  Say(absl::StrCat("slows node ", process->id(), " down"));
  Count(command.fault);
  const Time each = std::max<Time>(command.number, 1) * kMillisecond;
  const auto resume = [process, standstill, life = process->life()] {
    if (!std::exchange(standstill->pauses, false) || process->life() != life) return;
    if (process->state() == Process::State::kPaused) process->Resume();
  };
  auto next = std::make_shared<std::function<void()>>();
  *next = [this, process, standstill, resume, each, life = process->life(),
           weak = std::weak_ptr(next)] {
    if (standstill->over || process->life() != life) return;
    if (standstill->pauses) {
      resume();
    } else if (process->state() == Process::State::kUp) {
      process->Pause();
      standstill->pauses = true;
    }
    const auto again = weak.lock();
    cluster_->scheduler().After(each, Actor::kScript, [again] { (*again)(); });
  };
  Hold(command.fault, {"slow", {process->id()}, {}}, command.lasts, nullptr,
       [standstill, resume, next] {
         standstill->over = true;
         resume();
       });
  (*next)();
}

// One node again and again, without power; or one after the other, in good order.
void Nemesis::Restarts(const FaultCommand& command) {
  if (command.nodes.empty()) return;
  struct Round {
    bool over = false;
    size_t next = 0;
  };
  auto round = std::make_shared<Round>();
  const bool storm = command.fault == Fault::kRestartStorms;
  const Time each = std::max<Time>(command.number, 1) * kMillisecond;
  auto next = std::make_shared<std::function<void()>>();
  *next = [this, command, storm, round, each, weak = std::weak_ptr(next)] {
    if (round->over || (!storm && round->next == command.nodes.size())) return;
    const raft::NodeId node = command.nodes[round->next++ % command.nodes.size()];
    const Process* process = cluster_->Find(node);
    if (process != nullptr && process->state() != Process::State::kDown) {
      cluster_->Die(node, storm ? Process::Death::kPowerLoss : Process::Death::kKilled);
      cluster_->Restart(node, each, /*die_in_recovery=*/false);
    }
    const auto again = weak.lock();
    cluster_->scheduler().After(2 * each, Actor::kScript, [again] { (*again)(); });
  };
  Say(absl::StrCat(storm ? "restarts node " : "restarts, one after the other, nodes ",
                   absl::StrJoin(command.nodes, " ")));
  Count(command.fault);
  Hold(command.fault, {storm ? "restarts again and again" : "restarts in turn", command.nodes, {}},
       command.lasts, nullptr, [round, next] { round->over = true; });
  (*next)();
}

void Nemesis::Disk(const FaultCommand& command, Process* process) {
  const raft::NodeId node = process->id();
  switch (command.fault) {
    case Fault::kSlowDisk:
      Say(absl::StrCat("makes the disk of node ", node, " ", command.number, " times slower"));
      process->disk_thread().set_slowness(command.number);
      return Hold(
          command.fault, {absl::StrCat("disk ", command.number, " times slower"), {node}, {}},
          command.lasts, [process] { return process->disk().counters().operations; },
          [process] { process->disk_thread().set_slowness(1); });
    case Fault::kSyncError:
      if (Bereaved()) return;  // the platter may be torn where it failed
      Say(absl::StrCat("lets a sync of node ", node, " fail"));
      process->disk().InjectFault(SimDisk::Operation::kSync, command.number);
      return Hold(
          command.fault, {"a sync fails", {node}, {}}, command.lasts,
          [process] { return process->disk().counters().injected_sync_errors; }, [] {});
    case Fault::kFullDisk: {
      Say(absl::StrCat("fills the disk of node ", node));
      SimDisk::Options full = process->disk().options();
      full.capacity_bytes = 0;
      process->disk().set_options(full);
      return Hold(
          command.fault, {"disk full", {node}, {}}, command.lasts,
          [process] { return process->disk().counters().full_errors; },
          [this, process] { process->disk().set_options(cluster_->settings().disk); });
    }
    default: {  // clock jumps
      const auto jump = static_cast<int64_t>(command.number);
      process->clock().Jump(command.back ? -jump : jump);
      Remark(absl::StrCat("moves the wall clock of node ", node, command.back ? " back" : "",
                          " by ", jump, " ms"));
      return Count(command.fault);
    }
  }
}

// --- Disks that forget, and disks that hang

void Nemesis::Hang(raft::NodeId node, Time lasts) {
  Process* process = cluster_->Find(node);
  Say(absl::StrCat("lets the disk of node ", node, " hang"));
  process->disk_thread().Hang();
  Hold(
      Fault::kHungDisk, {"disk hangs", {node}, {}}, lasts,
      [process] { return process->disk_thread().hung_jobs(); },
      [this, process] {
        Say(absl::StrCat("lets the disk of node ", process->id(), " answer again"));
        process->disk_thread().Release();
      });
}

const SimDisk* Nemesis::DiskOf(raft::NodeId node) const {
  return wiped_.contains(node) ? nullptr : &cluster_->Find(node)->disk();
}

std::unique_ptr<FaultAtlas> Nemesis::AtlasFor(raft::NodeId node) {
  const raft::ConfState& conf = omniscience_->newest_conf();
  if (raft::IsJoint(conf) || conf.voters.empty() || !raft::IsMember(conf, node)) return nullptr;
  for (const raft::NodeId voter : conf.voters) {
    if (voter != node && Misled(voter)) return nullptr;
    // It may be gone at any moment. That the others can do without it was judged with the disks
    // that there were when this was asked.
    if (voter != node && leaving_.contains(voter)) return nullptr;
  }
  FaultAtlas::Disks voters;
  for (const raft::NodeId voter : conf.voters) voters[voter] = DiskOf(voter);
  // What a learner loses is nobody's last copy, once it is asked as if it were one more voter.
  voters.try_emplace(node, DiskOf(node));
  FaultAtlas::Disks bystanders;
  for (const raft::NodeId other : cluster_->InUse()) {
    if (!voters.contains(other)) bystanders[other] = DiskOf(other);
  }
  return std::make_unique<FaultAtlas>(std::move(voters), cluster_->settings().storage,
                                      std::move(bystanders), &cluster_->surveys());
}

bool Nemesis::Misled(raft::NodeId node) {
  const auto at = misled_.find(node);
  if (at == misled_.end()) return false;
  const Process& process = *cluster_->Find(node);
  if (process.life() < at->second) return true;  // about to start
  return process.life() == at->second && process.replica() != nullptr &&
         process.replica()->repairing();
}

// The atlas believes the recovery that is judged here: what that gets wrong it does not allow. A
// copy of a disk may be damaged in any way.
void Nemesis::Foresee(raft::NodeId node, const DiskFault& damage) {
  const SimDisk& disk = cluster_->Find(node)->disk();
  if (!disk.HasOnlyLostPower() || !omniscience_->LooksAhead(node)) return;
  const auto found = ForeseeDamage(disk, damage, cluster_->settings().storage);
  if (found) omniscience_->ForeseesDamage(node, Describe(damage), *found);
}

// The process is killed first and started again behind it, so that what is damaged is read.
void Nemesis::Spoil(FaultCommand command, raft::NodeId node) {
  if (Bereaved()) return;
  const Fault fault = command.fault;
  if (!command.damage) {
    Random random(command.draw);
    command.damage = PickDamage(fault, cluster_->Find(node)->disk(), random);
    // By its power it might lose the mark that tells of the loss, which is as if it had lied: it is
    // killed.
    command.again = random.Chance(1, 3);
  }
  spoilt_.push_back(command);
  const DiskFault& spoilt = *command.damage;
  const std::unique_ptr<FaultAtlas> atlas = AtlasFor(node);
  if (atlas == nullptr) return;
  const bool is_up = cluster_->Find(node)->state() != Process::State::kDown;
  if (is_up) cluster_->Die(node, Process::Death::kKilled);
  // The cluster might do without this node, but all of them are to be there in the end.
  const absl::Status allowed = atlas->MayInject(node, spoilt, FaultAtlas::Node::kMustStart);
  Say(absl::StrCat("node ", node, is_up ? " is killed; " : " is down; ", Describe(spoilt),
                   allowed.ok() ? "" : absl::StrCat(", is not done: ", allowed.message())));
  if (!allowed.ok()) Foresee(node, spoilt);
  // What might have happened instead.
  Random instead = Random::Stream(command.draw, "instead");
  SimDisk& disk = cluster_->Find(node)->disk();
  for (int i = 0; i < kForeseenDamages && command.draw != 0; ++i) {
    Foresee(node, PickDamage(fault, disk, instead));
  }
  if (allowed.ok() && disk.Inject(spoilt)) Count(fault);
  if (!is_up) return;
  const Aim aim{absl::StrCat("node ", node, " is down: ", Describe(spoilt)), {node}, {}};
  Hold(fault, aim, command.lasts, nullptr, [this, node, again = command.again] {
    cluster_->Restart(node, 0, again && !ended_, Process::Death::kKilled);
  });
}

// --- Disks that lie

void Nemesis::Lie(const FaultCommand& command) {
  const raft::NodeId victim = command.nodes[0];
  Process* process = cluster_->Find(victim);
  // One lie at a time, so that the oracles know what it may have taken; and none for a node that is
  // still finding out what it has.
  if (process->state() != Process::State::kUp || liars_.contains(victim) || Bereaved() ||
      omniscience_->DiskInDoubt(victim) || process->replica()->repairing() ||
      process->replica()->raft().term() == 0) {
    return;
  }
  const Time lasts = command.lasts;
  liars_.insert_or_assign(victim, Liar{command.fault, {}, Random(command.draw)});
  switch (command.fault) {
    case Fault::kLostWrites:
    case Fault::kMisdirectedWrites:
      return LieAboutWrites(command.fault, victim, lasts);
    case Fault::kMisdirectedReads:
      if (liars_.at(victim).random.Chance(1, 3)) return LieToARunningNode(victim, lasts);
      return LieToARecovery(victim, lasts);
    default:
      return Remember(command.fault, victim, lasts);
  }
}

// A liar's disk has told the truth from now on, and all that it has left out before.
void Nemesis::EndLie(raft::NodeId node) {
  if (liars_.erase(node) == 0) return;
  SimDisk& disk = cluster_->Find(node)->disk();
  disk.Disarm();
  disk.ComeClean();
  disk.AskBeforeForgetting(nullptr);
  omniscience_->EndWatch(node);
}

void Nemesis::LieAboutWrites(Fault fault, raft::NodeId node, Time lasts) {
  SimDisk& disk = cluster_->Find(node)->disk();
  Random& random = liars_.at(node).random;
  const std::string prefix = PickPrefix(random);
  const uint64_t after = random.Below(4);
  DiskFault lie = LostWrite{prefix, after};
  if (fault == Fault::kMisdirectedWrites) {
    const std::vector<std::string> files = *disk.List();
    const std::string& to = files[random.Below(files.size())];
    const auto opened = disk.Open(to, storage::Disk::Mode::kRead);
    const uint64_t size = opened.ok() ? *(*opened)->Size() : 0;
    const uint64_t offset = random.Below(size + 1);
    lie = MisdirectedWrite{prefix, after, to, offset};
    liars_.at(node).on_a_header = storage::ParseSegmentName(to).has_value() &&
                                  offset < 2 * uint64_t{cluster_->settings().storage.block_bytes};
  }
  Say(absl::StrCat("node ", node, " gets ", Describe(lie)));
  omniscience_->WatchDisk(node);
  disk.AskBeforeForgetting(
      [this, node](SimDisk& kept, SimDisk& left) { return MayComeOut(node, kept, left); });
  disk.Inject(lie);
  const Time down = sim::Draw(settings_.lasts, random);
  Hold(fault, {"the disk lies", {node}, {}}, lasts, nullptr,
       [this, node, down] { BringToLight(node, down); });
}

bool Nemesis::MayComeOut(raft::NodeId node, SimDisk& kept, SimDisk& left) {
  const std::unique_ptr<FaultAtlas> atlas = AtlasFor(node);
  absl::Status allowed = absl::FailedPreconditionError("the members change");
  if (atlas != nullptr && !Bereaved()) {
    allowed = atlas->MayForget(node, kept, left, FaultAtlas::Node::kMustStart);
  }
  Say(absl::StrCat(
      "what the disk of node ", node, " has lied about ",
      allowed.ok() ? "comes to light" : absl::StrCat("is there after all: ", allowed.message())));
  if (!allowed.ok()) return false;
  Liar& liar = liars_.at(node);
  // What is written is mostly zeros. If these cover the log, and what is not zeros covers one copy
  // of the header, the log ends there as if nobody had ever written to it.
  std::optional<raft::Index> lost_from;
  if (liar.on_a_header) lost_from = atlas->FirstLost(left);
  omniscience_->DiskLied(node, /*elsewhere=*/liar.fault == Fault::kMisdirectedWrites, lost_from);
  Count(liar.fault);
  // A node that runs does not know of the hole, and would go on to write behind it what no recovery
  // will reach. That was not judged, so the process ends here.
  Process* process = cluster_->Find(node);
  const Time down = sim::Draw(settings_.lasts, liar.random);
  cluster_->scheduler().After(
      0, Actor::kScript, [this, process, life = process->life(), fault = liar.fault, down] {
        if (process->life() != life || process->state() == Process::State::kDown) return;
        const raft::NodeId id = process->id();
        cluster_->Die(id, Process::Death::kKilled);
        if (ended_) return cluster_->Restart(id, 0, /*die_in_recovery=*/false);
        Hold(fault, {"down, after a lie", {id}, {}}, down, nullptr,
             [this, id] { cluster_->Restart(id, 0, /*die_in_recovery=*/false); });
      });
  return true;
}

void Nemesis::BringToLight(raft::NodeId node, Time down) {
  Process* process = cluster_->Find(node);
  const bool power = liars_.at(node).random.Chance(3, 4);
  if (!ended_ && process->disk().Lies()) {
    if (process->state() != Process::State::kDown) {
      cluster_->Die(node, power ? Process::Death::kPowerLoss : Process::Death::kKilled);
      Hold(liars_.at(node).fault, {"down, after a lie", {node}, {}}, down, nullptr,
           [this, node] { cluster_->Restart(node, 0, /*die_in_recovery=*/false); });
    }
    process->disk().DropCache();
  }
  EndLie(node);
}

void Nemesis::LieToARunningNode(raft::NodeId node, Time lasts) {
  SimDisk& disk = cluster_->Find(node)->disk();
  Random& random = liars_.at(node).random;
  const std::vector<std::string> files = *disk.List();
  const std::string& from = files[random.Below(files.size())];
  const MisdirectedRead lie{PickPrefix(random), random.Below(4), from, random.Below(8'192)};
  Say(absl::StrCat("node ", node, " gets ", Describe(lie)));
  disk.Inject(lie);
  Hold(
      Fault::kMisdirectedReads, {"reads come from elsewhere", {node}, {}}, lasts,
      [&disk] { return disk.effects()[DiskFault(MisdirectedRead()).index()]; },
      [this, node] { EndLie(node); });
}

void Nemesis::LieToARecovery(raft::NodeId node, Time down) {
  cluster_->Die(node, Process::Death::kKilled);
  Hold(Fault::kMisdirectedReads, {"reads come from elsewhere", {node}, {}}, down, nullptr,
       [this, node] {
         Process* process = cluster_->Find(node);
         const std::unique_ptr<FaultAtlas> atlas = AtlasFor(node);
         const bool possible = !ended_ && atlas != nullptr && !Bereaved() &&
                               !cluster_->retired(node) &&
                               process->state() == Process::State::kDown;
         if (possible) {
           // One of all the reads that there would be.
           const std::unique_ptr<SimDisk> rehearsal = process->disk().Clone();
           (void)storage::Storage::Open(*rehearsal, cluster_->settings().storage);
           Random& random = liars_.at(node).random;
           const std::vector<std::string> files = *process->disk().List();
           const MisdirectedRead lie{"", random.Below(rehearsal->counters().reads + 1),
                                     files[random.Below(files.size())], random.Below(8'192)};
           const absl::Status allowed = atlas->MayMisread(node, lie);
           Say(absl::StrCat("node ", node, " gets ", Describe(lie),
                            allowed.ok() ? "" : absl::StrCat("; not so: ", allowed.message())));
           if (allowed.ok()) {
             cluster_->network().Reset(node);
             omniscience_->DiskMisread(node);
             misled_[node] = process->life() + 1;
             process->disk().Inject(lie);
             Count(Fault::kMisdirectedReads);
           }
         }
         liars_.erase(node);
         cluster_->Restart(node, 0, /*die_in_recovery=*/false);
       });
}

void Nemesis::Remember(Fault fault, raft::NodeId node, Time lasts) {
  SimDisk& disk = cluster_->Find(node)->disk();
  Say(absl::StrCat("the disk of node ", node, " is remembered"));
  disk.Remember();
  omniscience_->WatchDisk(node);
  liars_.at(node).remembered = *disk.List();
  Hold(fault, {"the disk keeps what it has now", {node}, {}}, lasts, nullptr,
       [this, node] { BringBack(node, kBringBackTries); });
}

void Nemesis::BringBack(raft::NodeId node, uint32_t tries) {
  const auto give_up = [this, node] {
    EndLie(node);
    cluster_->Restart(node, 0, /*die_in_recovery=*/false);
  };
  if (ended_ || cluster_->retired(node)) return give_up();
  Process* process = cluster_->Find(node);
  if (process->state() != Process::State::kDown) {
    cluster_->Die(node, Process::Death::kKilled);
  }
  Liar& liar = liars_.at(node);
  DiskFault old = Amnesia{};
  if (liar.fault == Fault::kStaleFiles) {
    old = StaleFile{liar.remembered[liar.random.Below(liar.remembered.size())]};
  }
  const std::unique_ptr<FaultAtlas> atlas = AtlasFor(node);
  absl::Status allowed = absl::FailedPreconditionError("the members change");
  if (atlas != nullptr && !Bereaved()) {
    allowed = atlas->MayInject(node, old, FaultAtlas::Node::kMustStart);
  }
  Say(absl::StrCat("node ", node, " is down; ", Describe(old),
                   allowed.ok() ? "" : absl::StrCat(", is not done: ", allowed.message())));
  if (allowed.ok()) {
    const raft::Index lost_from = atlas->FirstLost(process->disk());
    process->disk().Inject(old);
    Count(liar.fault);
    // Nothing of what was meant for the node that it was may reach the one it is now.
    cluster_->network().Reset(node);
    if (liar.fault == Fault::kAmnesia) {
      omniscience_->DiskRolledBack(node);
    } else {
      omniscience_->DiskLied(node, /*elsewhere=*/false, lost_from);
    }
    return give_up();
  }
  if (tries == 0) return give_up();
  Hold(liar.fault, {"the disk keeps what it had", {node}, {}}, kBringBackEvery, nullptr,
       [this, node, tries] { BringBack(node, tries - 1); });
}

// --- Requests of the operator

// The client port takes one change at a time. What joint consensus is for is in the core, in the
// log and in what nodes forward, so somebody forwards it, as a node with a newer client port would.
// It is there at once: whether it is under way is then a matter of logs, and nobody has to guess.
void Nemesis::AskForJoint(const FaultCommand& command) {
  std::vector<raft::MemberChange> changes;
  for (size_t i = 1; i + 1 < command.words.size(); i += 2) {
    raft::MemberChange member;
    member.kind = command.words[i] == "PROMOTE" ? raft::MemberChange::Kind::kAddVoter
                                                : raft::MemberChange::Kind::kRemove;
    if (absl::SimpleAtoi(command.words[i + 1], &member.node)) changes.push_back(member);
  }
  ForwardJoint(command.nodes[0], std::move(changes));
  // Somebody is impatient, and asks whoever believes to lead for another change (of nothing) while
  // this one is on its way.
  for (const Time later :
       {kMillisecond, 10 * kMillisecond, 100 * kMillisecond, 400 * kMillisecond}) {
    cluster_->scheduler().After(later, Actor::kScript, [this] {
      if (ended_ || stopped_) return;
      for (const raft::NodeId node : cluster_->InUse()) {
        ForwardJoint(node, {{raft::MemberChange::Kind::kUpdate, node}});
      }
    });
  }
}

namespace {

std::string DescribeChanges(const std::vector<raft::MemberChange>& changes) {
  std::string text;
  for (const raft::MemberChange& change : changes) {
    const bool promotes = change.kind == raft::MemberChange::Kind::kAddVoter;
    const bool removes = change.kind == raft::MemberChange::Kind::kRemove;
    absl::StrAppend(&text,
                    promotes  ? " promote "
                    : removes ? " remove "
                              : " leave as it is ",
                    change.node);
  }
  return text;
}

}  // namespace

bool Nemesis::ForwardJoint(raft::NodeId to, std::vector<raft::MemberChange> changes) {
  Process* leader = cluster_->Find(to);
  const std::vector<raft::NodeId> members = raft::AllMembers(omniscience_->newest_conf());
  const auto other =
      std::find_if(members.begin(), members.end(), [to](raft::NodeId node) { return node != to; });
  if (leader == nullptr || leader->state() != Process::State::kUp || other == members.end()) {
    return false;
  }
  // Nothing is forwarded to who leads no term.
  if (leader->replica()->repairing() || !leader->replica()->raft().is_leader()) return false;
  raft::MembershipChange change;
  change.transition = raft::MembershipChange::Transition::kJointImplicit;
  change.changes = std::move(changes);
  Remark(absl::StrCat("node ", *other, " forwards to node ", to,
                      ", as a joint change:", DescribeChanges(change.changes)));
  wire::PeerMessage message;
  message.envelope.from = *other;
  message.envelope.from_incarnation = message.envelope.to_incarnation = kIncarnation;
  message.envelope.to = leader->id();
  message.body = wire::ForwardRequest{kForwardIds + ++forwarded_, leader->replica()->raft().term(),
                                      wire::ForwardKind::kMembership,
                                      raft::Payload::Copy(raft::EncodeMembershipChange(change))};
  std::string frame;
  wire::PeerEncoder().AppendTo(message, &frame);
  leader->ReceiveFrame(frame);
  return true;
}

void Nemesis::Ask(const FaultCommand& command) {
  if (operator_.busy()) return;
  // Nobody takes members away where one is missing already.
  if (command.fault == Fault::kMembership && Replacing()) return;
  const std::vector<std::string>& words = command.words;
  std::vector<raft::NodeId> leaving;
  std::vector<raft::NodeId> promoted;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    raft::NodeId node = raft::kNoNode;
    if (command.fault != Fault::kMembership || !absl::SimpleAtoi(words[i + 1], &node)) continue;
    if (words[i] == "PROMOTE") promoted.push_back(node);
    if (words[i] != "REMOVE") continue;
    if (!IsLastVoter(node) && !CanDoWithout(node)) return;
    leaving.push_back(node);
  }
  if (!promoted.empty() && !MayVote(promoted, leaving)) return;
  leaving_.insert(leaving.begin(), leaving.end());
  if (words[0] == "JOINT") return AskForJoint(command);
  const bool adds = words.size() > 2 && words[0] == "KV.MEMBER" && words[1] == "ADD";
  if (adds && words[2] == absl::StrCat(cluster_->NextJoiner())) cluster_->StartJoiner();
  // Nobody adds what is not there, or was switched off: it would be waited for in vain.
  raft::NodeId added = raft::kNoNode;
  if (adds && (!absl::SimpleAtoi(words[2], &added) || cluster_->Find(added) == nullptr ||
               cluster_->retired(added))) {
    return;
  }
  if (adds && omniscience_->WasEverMember(added)) returning_.insert(added);
  AskOf(command.nodes[0], words, [this, command, leaving, added](bool ok, bool in_doubt) {
    if (ok) Count(command.fault);
    if (!ok && !in_doubt) returning_.erase(added);
    // By a leader that is there to stay he has been told the truth, and looks no further.
    const Process* leader = cluster_->Leader();
    if (ok && leader != nullptr && leader->replica()->raft().transfer_target() == raft::kNoNode &&
        raft::IsMember(omniscience_->newest_conf(), leader->id())) {
      told_done_.insert(leaving.begin(), leaving.end());
    }
    // A refusal is final, and who was removed has left.
    for (const raft::NodeId node : leaving) {
      if (!in_doubt) leaving_.erase(node);
    }
    if (in_doubt && command.fault == Fault::kMembership) change_in_doubt_ = true;
    if (ok && command.words.size() == 3 && command.words[1] == "PROMOTE") {
      HandOverTo(command.words[2]);
    }
  });
}

// At once, when the new voter need not know yet that it is one.
void Nemesis::HandOverTo(const std::string& voter) {
  Process* leader = cluster_->Leader();
  if (ended_ || leader == nullptr || operator_.busy()) return;
  const std::string name =
      decisions_->Name([&] { return absl::StrCat("node ", voter, " is promoted"); });
  const bool hands_over = decisions_->Decide(name, "hands over to it", 0,
                                             [this] { return hand_over_random_.Chance(1, 3); });
  if (!hands_over) return;
  AskOf(leader->id(), {"KV.TRANSFER", voter}, [this](bool ok, bool /*in_doubt*/) {
    if (ok) Count(Fault::kTransfer);
  });
}

// And will be, until what is asked of its leader now is done.
bool Nemesis::IsLastVoter(raft::NodeId node) const {
  const raft::ConfState& conf = omniscience_->newest_conf();
  return conf.voters == std::vector<raft::NodeId>{node} && !raft::IsJoint(conf) &&
         !change_in_doubt_;
}

// Whether, without that voter, a majority of the others has all that it ever had. Who doubts that
// gives its vote only to a log that may be longer than any there is.
bool Nemesis::CanDoWithout(raft::NodeId removed) {
  const raft::ConfState& conf = omniscience_->newest_conf();
  if (!raft::IsVoter(conf, removed)) return true;
  const std::unique_ptr<FaultAtlas> atlas = AtlasFor(removed);
  if (atlas == nullptr) return false;
  const auto whole = std::count_if(conf.voters.begin(), conf.voters.end(), [&](raft::NodeId voter) {
    return voter != removed && atlas->IsWhole(voter).ok();
  });
  return static_cast<size_t>(whole) >= raft::MajoritySize(conf.voters.size() - 1);
}

// The same of learners that become voters, by themselves or instead of others.
bool Nemesis::MayVote(const std::vector<raft::NodeId>& promoted,
                      const std::vector<raft::NodeId>& leaving) {
  const auto leaves = [&](raft::NodeId node) { return absl::c_linear_search(leaving, node); };
  FaultAtlas::Disks voters;
  for (const raft::NodeId node : omniscience_->newest_conf().voters) {
    if (!leaves(node)) voters[node] = DiskOf(node);
  }
  for (const raft::NodeId node : promoted) {
    if (cluster_->Find(node) != nullptr) voters[node] = DiskOf(node);
  }
  const FaultAtlas atlas(voters, cluster_->settings().storage, {}, &cluster_->surveys());
  const auto whole = absl::c_count_if(voters, [&](const auto& voter) {
    return !Misled(voter.first) && atlas.IsWhole(voter.first).ok();
  });
  return static_cast<size_t>(whole) >= raft::MajoritySize(voters.size());
}

void Nemesis::AskOf(raft::NodeId node, const std::vector<std::string>& words,
                    const std::function<void(bool ok, bool in_doubt)>& told) {
  Remark(absl::StrCat("operator asks node ", node, ": ", absl::StrJoin(words, " ")));
  operator_.Ask(node, words, [this, told](bool ok, const std::string& text) {
    Remark(absl::StrCat("operator is told: ", ok ? "done" : text));
    const bool refused = absl::StartsWith(text, "NOTAPPLIED ") || absl::StartsWith(text, "ERR ");
    told(ok, !ok && !refused);
  });
}

// Whether a majority would still know, if all started again now, that the last change of the
// members is committed. Otherwise they may need who was removed by it.
bool Nemesis::ChangeIsNoted() {
  const raft::ConfState& conf = omniscience_->newest_conf();
  if (raft::IsJoint(conf)) return false;
  FaultAtlas::Disks voters;
  for (const raft::NodeId voter : conf.voters) voters[voter] = DiskOf(voter);
  const FaultAtlas atlas(voters, cluster_->settings().storage, {}, &cluster_->surveys());
  const auto know = absl::c_count_if(conf.voters, [&](raft::NodeId voter) {
    return atlas.KnownCommitted(voter) >= omniscience_->newest_conf_index();
  });
  return static_cast<size_t>(know) >= raft::MajoritySize(conf.voters.size());
}

// A careful operator looks at the others first. Who does not know yet that the node is gone may
// want its vote. Who does not know what its disk had may need its answer, and would wait for ever;
// but if it may have been durable no answer helps, it waits for a leader, which may take until
// there is another one.
bool Nemesis::IsMissedByNobody(raft::NodeId node) {
  const std::vector<raft::NodeId> members = raft::AllMembers(omniscience_->newest_conf());
  return std::all_of(members.begin(), members.end(), [&](raft::NodeId member) {
    // It takes part in nothing until it is replaced, and that may be asked of who leads without
    // being a member, and does nothing more.
    if (wiped_.contains(member)) return true;
    const Process* process = cluster_->Find(member);
    if (process == nullptr || process->state() != Process::State::kUp) return false;
    const raft::Raft& raft = process->replica()->raft();
    const bool asks = process->replica()->repairing() ||
                      (raft.suspicion().has_value() &&
                       raft.suspicion()->evidence == raft::Suspicion::Evidence::kBlank);
    return !asks && !raft::IsMember(raft.conf(), node);
  });
}

// Switches removed nodes off, some time after their removal.
void Nemesis::SweepUp() {
  const raft::ConfState& conf = omniscience_->newest_conf();
  for (const raft::NodeId node : cluster_->InUse()) {
    if (raft::IsMember(conf, node)) {
      removed_.erase(node);
      returning_.erase(node);
      continue;
    }
    if (!omniscience_->WasEverMember(node)) continue;  // it waits to be added
    const Time since = removed_.try_emplace(node, cluster_->scheduler().now()).first->second;
    if (cluster_->scheduler().now() - since < kSweepUpAfter || !IsMissedByNobody(node)) continue;
    if (returning_.contains(node)) continue;  // it is waited for
    // Whoever leads on without being a member writes nothing more: that is for the next leader.
    const Process* leader = cluster_->Leader();
    const bool leads = leader != nullptr && leader->id() == node;
    if (!leads && !told_done_.contains(node) && !ChangeIsNoted()) continue;
    Remark(absl::StrCat("switches node ", node, " off, which is no member any more"));
    cluster_->Retire(node);
  }
  cluster_->scheduler().After(kSweepUpEvery, Actor::kScript, [this] { SweepUp(); });
}

void Nemesis::End() {
  ended_ = true;
  healed_ = true;
  Say("is done");
  for (const auto& [node, process] : cluster_->processes()) process->AwaitMoment({}, nullptr);
  while (!active_.empty()) TakeBack(active_.begin()->first);
  for (const raft::NodeId node : cluster_->InUse()) {
    cluster_->Find(node)->disk().TakeBackFaults();
    if (cluster_->Find(node)->state() == Process::State::kDown) {
      cluster_->Restart(node, 0, /*die_in_recovery=*/false);
    }
  }
}

}  // namespace raftkv::sim
