#include "sim/run/run.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/raft/configuration.h"
#include "sim/check/check_command.h"
#include "sim/clients/client.h"
#include "sim/clients/recorder.h"
#include "sim/clients/visitor.h"
#include "sim/clients/workload.h"
#include "sim/cluster/cluster.h"
#include "sim/oracles/omniscience.h"
#include "sim/picture/camera.h"
#include "sim/run/core_duties.h"

namespace raftkv::sim {
namespace {

// What the checker may spend on one run. Enough for all but freak histories.
constexpr SearchBudget kCheckBudget = {5'000'000, 512u << 20};

class Simulation {
 public:
  Simulation(const RunSettings& settings, const Audience& audience)
      : settings_(settings),
        random_(Random::Stream(settings.seed, "run")),
        core_random_(random_.Split("core")),
        audience_(audience),
        decisions_(MakeDecisions(settings, audience)),
        trace_(&scheduler_, audience.sink),
        judge_(&scheduler_),
        omniscience_(
            &judge_, &trace_, Cluster::FoundingSnapshot(settings.cluster),
            [](const kv::Store& store) { return PairFault(store); }, audience.oracles),
        camera_(MakeCamera()),
        cluster_(settings.cluster, &scheduler_, &decisions_, &trace_,
                 camera_ != nullptr ? static_cast<Witness*>(camera_.get()) : &omniscience_,
                 random_.Split("cluster")),
        recorder_(&scheduler_),
        workload_(settings.workload, random_.Split("workload")),
        nemesis_(settings.nemesis, &cluster_, &decisions_, &omniscience_, random_.Split("nemesis")),
        prompter_(&scheduler_, &cluster_),
        chronicle_(&scheduler_, &cluster_) {
    decisions_.set_changed(settings.changed);
    decisions_.Own(workload_.random());
    decisions_.Own(&core_random_);
    if (audience_.surveyor != nullptr) {
      audience_.surveyor->Watch(&scheduler_, &cluster_, &decisions_, camera_.get());
      cluster_.network().set_watcher(audience_.surveyor);
    } else {
      cluster_.network().set_watcher(camera_.get());
    }
    if (camera_ == nullptr) return;
    nemesis_.set_watcher(camera_.get());
    recorder_.set_watcher(camera_.get());
  }

  RunReport Run();

 private:
  using Goal = std::function<bool()>;

  static Decisions MakeDecisions(const RunSettings& settings, const Audience& audience) {
    if (settings.answers.has_value()) return Decisions::Given(*settings.answers);
    return Decisions(audience.record ? Decisions::Source::kRecorded : Decisions::Source::kDrawn);
  }
  std::unique_ptr<Camera> MakeCamera() {
    if (audience_.recording == nullptr) return nullptr;
    return std::make_unique<Camera>(&scheduler_, &judge_, &omniscience_, audience_.recording);
  }
  void Remark(absl::string_view text) {
    trace_.Say(absl::StrCat("----- ", text));
    if (camera_ != nullptr) camera_->Remark(text);
  }
  // Counts the next item; false, with a violation, when it must not be run.
  bool MayGoOn();
  void StartClients();
  void AwaitCues();
  void RunFor(Time span);
  // True when `goal` was reached within `span`. Without a violation it may still be too late.
  bool RunUntil(Time span, const Goal& goal);
  void HealCore();
  std::vector<raft::NodeId> ChooseCore(const std::vector<raft::NodeId>& fit);
  void Heal();
  void HealNetwork();
  void FindLeader();
  void FinishOperations();
  void Converge();
  std::string WhyNotConverged();
  void GoThroughJoint();
  void Rest();
  void JudgeHistory(RunReport* report);
  RunCounters Count() const;

  // Twice the longest election timeout there is: what one election may take if all goes well.
  Time ElectionTimeout() const {
    const replica::Options& replica = settings_.cluster.replica;
    return 2 * replica.raft.election_ticks * replica.tick_us;
  }

  RunSettings settings_;
  Random random_;
  Random core_random_;
  Scheduler scheduler_;
  Audience audience_;
  uint64_t begun_ = 0;  // items of the scheduler
  size_t turned_ = 0;   // of the turns of chance
  Decisions decisions_;
  Trace trace_;
  Judge judge_;
  Omniscience omniscience_;
  std::unique_ptr<Camera> camera_;  // null: nobody wants a picture
  Cluster cluster_;
  Recorder recorder_;
  Workload workload_;
  Nemesis nemesis_;
  Prompter prompter_;
  Chronicle chronicle_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::optional<Visitor> visitor_;
  std::optional<CoreDuties> duties_;  // what it has asked may be answered when they are done
};

RunReport Simulation::Run() {
  cluster_.StartFounders();
  StartClients();
  AwaitCues();
  nemesis_.Start();
  if (settings_.script) settings_.script(cluster_);
  RunFor(settings_.chaos);
  HealCore();
  Heal();
  FindLeader();
  RunFor(settings_.calm);
  FinishOperations();
  Converge();
  GoThroughJoint();
  Rest();

  RunReport report;
  report.counters = Count();
  report.history = recorder_.TakeHistory();
  report.run_hash = trace_.hash();
  if (!judge_.failed() && audience_.oracles) JudgeHistory(&report);
  trace_.Add(0, cluster_.network().counters().delivered, recorder_.counters().acknowledged);
  report.hash = trace_.hash();
  report.reached = prompter_.reached();
  report.faults = nemesis_.done();
  report.spoilt = nemesis_.spoilt();
  report.decisions = decisions_.made();
  if (audience_.record) {
    report.record.answers = decisions_.answers();
    report.record.faults = nemesis_.done();
    for (const auto& client : clients_) report.record.asked.push_back(client->asked());
  }
  if (audience_.step) audience_.step(scheduler_.now(), report.hash);
  report.violation = judge_.violation();
  if (camera_ != nullptr) camera_->Finish();
  return report;
}

void Simulation::StartClients() {
  const Client::World world{
      &scheduler_,       &decisions_, &trace_,    &judge_,
      &cluster_.ports(), &workload_,  &recorder_, [this] {
        return cluster_.InUse(); }};
  for (const ClientSettings& client : settings_.clients) {
    clients_.push_back(std::make_unique<Client>(
        client, world, random_.Split(absl::StrCat("client ", client.number))));
    clients_.back()->Start();
  }
  if (settings_.visit_every == 0) return;
  visitor_.emplace(settings_.visit_every, settings_.seed, &scheduler_, &cluster_.ports(), &judge_,
                   [this] { return cluster_.InUse(); });
  visitor_->Start();
}

void Simulation::AwaitCues() {
  if (settings_.nemesis.script.has_value()) {
    for (const CuedFault& fault : *settings_.nemesis.script) {
      if (!fault.cue.when.has_value()) continue;
      prompter_.Await(fault.cue, [this, command = fault.command] { nemesis_.Do(command); });
    }
  }
  for (const auto& client : clients_) {
    if (!client->settings().script.has_value()) continue;
    for (const AskedGroup& group : *client->settings().script) {
      if (!group.cue.when.has_value()) continue;
      prompter_.Await(group.cue, [client = client.get(), group] { client->Prompt(group); });
    }
  }
  for (const Situation& situation : settings_.reach) prompter_.Notice(situation);
  prompter_.Look();
}

void Simulation::RunFor(Time span) {
  RunUntil(span, [] { return false; });
}

bool Simulation::RunUntil(Time span, const Goal& goal) {
  const Time end = scheduler_.now() + span;
  while (!judge_.failed()) {
    if (goal()) return true;
    if (!MayGoOn()) return false;
    if (!scheduler_.RunOne(end)) return goal();
    prompter_.Look();
    if (audience_.milestones != nullptr) chronicle_.Look(audience_.milestones);
    if (audience_.surveyor != nullptr) audience_.surveyor->Look(omniscience_.newest_conf());
    while (turned_ < settings_.turns.size() && settings_.turns[turned_].at <= scheduler_.now()) {
      decisions_.Turn(settings_.turns[turned_++].salt);
    }
  }
  return false;
}

bool Simulation::MayGoOn() {
  ++begun_;
  if (audience_.step) audience_.step(scheduler_.now(), trace_.hash());
  if (audience_.begun != nullptr) *audience_.begun = begun_;
  if (audience_.ends_before != begun_) return true;
  judge_.Fail(Oracle::kCrashFree, audience_.how_it_ended);
  return false;
}

// --- Healing

void Simulation::HealCore() {
  if (judge_.failed() || !settings_.heals_core) return;
  nemesis_.Stop();
  const std::vector<raft::NodeId> core = ChooseCore(nemesis_.FitForCore());
  if (core.empty() || !nemesis_.CanElectAlone(core)) return;
  Remark(absl::StrCat("healing: nodes ", absl::StrJoin(core, " "), " alone"));
  nemesis_.HealCore(core);
  HealNetwork();
  duties_.emplace(core, &cluster_, &nemesis_, &omniscience_, ElectionTimeout(),
                  [this](Time span, const Goal& goal) { return RunUntil(span, goal); });
  const std::optional<std::string> failed = duties_->Do();
  if (judge_.failed()) return;
  if (failed.has_value()) return judge_.Fail(Oracle::kLiveness, *failed);
  Remark(absl::StrCat("the core has done: ", absl::StrJoin(duties_->done(), ", ")));
}

std::vector<raft::NodeId> Simulation::ChooseCore(const std::vector<raft::NodeId>& fit) {
  const size_t majority = omniscience_.newest_conf().voters.size() / 2 + 1;
  const std::vector<raft::NodeId> nodes = cluster_.InUse();
  // Usually everybody is healed at once, which is no core.
  const uint64_t everybody = 0;
  const uint64_t chosen = decisions_.Decide("core", "nodes", everybody, [&] {
    if (fit.size() < majority || nodes.size() <= majority) return everybody;
    std::vector<raft::NodeId> some = fit;
    const uint64_t size = core_random_.Between(majority, fit.size());
    while (some.size() > size) {
      std::swap(some[core_random_.Below(some.size())], some.back());
      some.pop_back();
    }
    uint64_t bits = 0;
    for (const raft::NodeId node : some) bits |= uint64_t{1} << node;
    return bits;
  });
  std::vector<raft::NodeId> core;
  for (const raft::NodeId node : fit) {
    if ((chosen >> node & 1) != 0) core.push_back(node);
  }
  const bool usable = core.size() >= majority && core.size() < nodes.size();
  return usable ? core : std::vector<raft::NodeId>();
}

void Simulation::Heal() {
  if (judge_.failed()) return;
  Remark("healing: every fault is taken back");
  nemesis_.End();
  HealNetwork();
}

void Simulation::HealNetwork() {
  cluster_.network().set_options(settings_.healed_network);
  PortOptions ports = settings_.cluster.ports;
  ports.reset_per_mille = 0;
  cluster_.ports().set_options(ports);
  StreamOptions stream = settings_.cluster.stream;
  stream.break_per_mille = 0;
  cluster_.streams().set_options(stream);
}

void Simulation::FindLeader() {
  // Several elections may fail by split votes, and disks may be slow; never this many.
  const Time patience = 20 * ElectionTimeout() + 5 * kSecond;
  const bool found = RunUntil(patience, [this] {
    Process* leader = cluster_.Leader();
    return leader != nullptr && leader->replica()->raft().committed_in_term();
  });
  if (found) return;
  judge_.Fail(Oracle::kLiveness, absl::StrCat("no leader ", patience / kMillisecond,
                                              " ms after every fault was taken back"));
}

void Simulation::FinishOperations() {
  for (const auto& client : clients_) client->Stop();
  if (visitor_.has_value()) visitor_->Stop();
  const Time patience = 10 * kSecond + 20 * ElectionTimeout() +
                        5 * settings_.cluster.replica.request_timeout_ms * kMillisecond;
  const auto busy = [](const std::unique_ptr<Client>& client) { return !client->idle(); };
  const bool done =
      RunUntil(patience, [&] { return std::none_of(clients_.begin(), clients_.end(), busy); });
  if (done || judge_.failed()) return;
  const auto waiting = std::find_if(clients_.begin(), clients_.end(), busy);
  judge_.Fail(Oracle::kLiveness, (*waiting)->Describe());
}

void Simulation::Converge() {
  const Time patience = 20 * kSecond + 20 * ElectionTimeout();
  // Asked for after each event would cost more than the run.
  const Time end = scheduler_.now() + patience;
  while (!judge_.failed()) {
    const std::string why_not = WhyNotConverged();
    if (why_not.empty()) return;
    if (scheduler_.now() >= end) return judge_.Fail(Oracle::kConvergence, why_not);
    RunFor(20 * kMillisecond);
  }
}

std::string Simulation::WhyNotConverged() {
  Process* leader = cluster_.Leader();
  if (leader == nullptr) return "nobody leads";
  if (std::string missing = nemesis_.NotReplaced(); !missing.empty()) return missing;
  const raft::Raft& leading = leader->replica()->raft();
  const raft::ConfState& conf = leading.conf();
  if (raft::IsJoint(conf)) return "the configuration is still joint";
  if (leading.commit() != leading.log().last()) return "the leader's log is not all committed";
  for (const raft::NodeId id : raft::AllMembers(conf)) {
    Process* member = cluster_.Find(id);
    if (member == nullptr || member->state() != Process::State::kUp) {
      return absl::StrCat("member ", id, " does not run");
    }
    const raft::Raft& raft = member->replica()->raft();
    if (raft.log().last() != leading.log().last() || raft.applied() != leading.commit()) {
      return absl::StrCat("member ", id, " has entries up to ", raft.log().last(), " and applied ",
                          raft.applied(), "; leader ", leading.id(), " has ", leading.log().last());
    }
    if (raft.conf() != conf) return absl::StrCat("member ", id, " has another configuration");
    if (member->replica()->machine().Digest() != leader->replica()->machine().Digest()) {
      return absl::StrCat("the states of nodes ", id, " and ", leading.id(), " differ");
    }
  }
  return {};
}

// A joint configuration is left by itself as soon as it is in force: here nothing else is asked for
// that could bring it on. (Both halves are what the configuration was.)
void Simulation::GoThroughJoint() {
  if (judge_.failed()) return;
  const raft::NodeId leader = cluster_.Leader()->id();
  const raft::Index before = omniscience_.newest_conf_index();
  const raft::MemberChange stays{raft::MemberChange::Kind::kUpdate, leader};
  if (!raft::IsVoter(omniscience_.newest_conf(), leader)) return;
  if (!nemesis_.ForwardJoint(leader, {stays})) return;
  // If the leader is lost the change may be, too; if it is there, the next one leaves it.
  RunUntil(CoreDuties::kTimeouts * ElectionTimeout() + CoreDuties::kForDisks, [&] {
    return omniscience_.newest_conf_index() > before && !raft::IsJoint(omniscience_.newest_conf());
  });
  if (judge_.failed() || !raft::IsJoint(omniscience_.newest_conf())) return Converge();
  judge_.Fail(Oracle::kConvergence,
              absl::StrCat("nobody leaves the joint configuration of entry ",
                           omniscience_.newest_conf_index(), ": ",
                           raft::DescribeConfiguration(omniscience_.newest_conf())));
}

// Everybody has everything and nobody asks for anything: the leader stays, and there is little to
// say. (Who was removed and has not been switched off yet may campaign, and keeps others awake
// where nobody is loyal.)
void Simulation::Rest() {
  if (judge_.failed()) return;
  const raft::Raft& leading = cluster_.Leader()->replica()->raft();
  const raft::NodeId leader = leading.id();
  const raft::Term term = leading.term();
  const std::vector<raft::NodeId> nodes = cluster_.InUse();
  if (raft::MemberCount(leading.conf()) != nodes.size()) return;
  const replica::Options& replica = settings_.cluster.replica;
  const uint64_t beats = 3 * replica.raft.election_ticks / replica.raft.heartbeat_ticks;
  // A heartbeat and its answer for each follower; as much again for what else may have to be said,
  // and a word with everybody.
  const uint64_t most = (beats + 2) * (nodes.size() - 1) * 4 + 40 * nodes.size();
  const auto rest = [&] {
    const uint64_t sent = cluster_.network().counters().sent;
    RunFor(beats * replica.raft.heartbeat_ticks * replica.tick_us);
    return cluster_.network().counters().sent - sent;
  };
  // What was asked of it before may still be on slow links, and has to be answered.
  uint64_t said = rest();
  if (said > most && !judge_.failed()) said = rest();
  if (judge_.failed()) return;
  // A scrubber may find that its own disk has rotted, and a leader then hands over before it opens
  // it anew; and where two heartbeats nearly make an election timeout, a fast clock is enough.
  const Nemesis::Counters& faults = nemesis_.counters();
  const bool rot = replica.scrub_bytes_per_s != 0 &&
                   std::any_of(faults.begin() + kFirstDiskFault, faults.begin() + kFirstWipe,
                               [](uint64_t count) { return count > 0; });
  const bool tight = replica.raft.election_ticks < 3 * replica.raft.heartbeat_ticks;
  const Process* now = cluster_.Leader();
  const bool stays = now != nullptr && now->id() == leader && now->replica()->raft().term() == term;
  if (!stays && !rot && !tight) {
    return judge_.Fail(
        Oracle::kStability,
        absl::StrCat("a healthy cluster at rest loses its leader ", leader, " of term ", term));
  }
  if (!stays) return;
  if (said <= most) return;
  judge_.Fail(Oracle::kBounds,
              absl::StrCat(nodes.size(), " nodes at rest send ", said, " messages in ", beats,
                           " heartbeats; ", most, " would be many"));
}

// --- The end

void Simulation::JudgeHistory(RunReport* report) {
  CheckReport check = CheckHistory(absl::StrCat("seed ", settings_.seed), HistoryFormat::kRaftkv,
                                   std::move(report->history), {kCheckBudget});
  trace_.Add(1, check.steps, check.configurations);
  if (check.verdict == Verdict::kUndecided) report->counters.undecided = 1;
  const bool wrong = check.verdict == Verdict::kNotLinearizable;
  if (wrong) report->explanation = FormatReport(check, /*color=*/false);
  report->history = std::move(check.history);
  if (!wrong) return;
  std::string keys;
  for (const PartProblem& problem : check.problems) {
    for (const std::string& key : problem.keys) absl::StrAppend(&keys, " ", key);
  }
  judge_.Fail(Oracle::kLinearizability,
              absl::StrCat("no order of the operations explains what clients saw of:", keys));
}

RunCounters Simulation::Count() const {
  RunCounters counters;
  counters.events = scheduler_.events();
  counters.simulated_us = scheduler_.now();
  counters.operations = recorder_.counters().invoked;
  counters.acknowledged = recorder_.counters().acknowledged;
  counters.unknown = recorder_.counters().unknown;
  counters.failed = recorder_.counters().failed;
  counters.elections = omniscience_.counters().elections;
  counters.committed = omniscience_.counters().committed;
  counters.snapshots_taken = omniscience_.counters().snapshots_taken;
  counters.snapshots_installed = omniscience_.counters().snapshots_installed;
  counters.membership_changes = omniscience_.counters().membership_changes;
  counters.rare = omniscience_.counters().rare;
  counters.cores = duties_.has_value() ? 1 : 0;
  counters.faults = nemesis_.counters();
  counters.faults_in_effect = nemesis_.total();
  for (const Fault fault : {Fault::kPowerLoss, Fault::kKill, Fault::kPowerLossOfAll}) {
    counters.crashes += counters.faults[static_cast<size_t>(fault)];
  }
  for (const Fault fault : {Fault::kPartition, Fault::kIsolation, Fault::kOneWay}) {
    counters.partitions += counters.faults[static_cast<size_t>(fault)];
  }
  for (const auto& [id, process] : cluster_.processes()) {
    counters.torn_writes += process->disk().counters().torn_writes;
    counters.lost_sectors += process->disk().counters().lost_sectors;
  }
  const Network::Counters& network = cluster_.network().counters();
  counters.frames = network.sent;
  counters.frames_lost = network.lost + network.cut;
  counters.connections = cluster_.streams().counters().accepted;
  counters.connections_broken = cluster_.streams().counters().broken;
  return counters;
}

}  // namespace

RunReport Simulate(const RunSettings& settings, const Audience& audience) {
  return Simulation(settings, audience).Run();
}

RunSettings PlayedAgain(const RunSettings& settings, const RunRecord& record) {
  RunSettings again = settings;
  again.answers = record.answers;
  again.turns.clear();
  again.changed.clear();
  again.nemesis.draws_from.reset();
  again.nemesis.script = record.faults;
  for (size_t i = 0; i < again.clients.size(); ++i) again.clients[i].script = record.asked.at(i);
  return again;
}

RunReport Simulate(const RunSettings& settings, Trace::Sink sink) {
  Audience audience;
  audience.sink = std::move(sink);
  return Simulate(settings, audience);
}

}  // namespace raftkv::sim
