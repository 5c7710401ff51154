#include "sim/node/process.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"

namespace raftkv::sim {
namespace {

// A paused node's sockets hold this many frames; what comes on top is lost.
constexpr size_t kMaxWaiting = 2'000;

// Enough operations for every job to end by itself now and then.
constexpr uint64_t kMaxJobBudget = 12;
constexpr uint64_t kMaxRecoveryBudget = 24;
// So much as to initialise a directory, and a little more.
constexpr uint64_t kMaxInitBudget = 60;

// One of so many changes of names is looked beyond, and of so many jobs of this kind that are done:
// the rarer they are, the more. After n looks it is one of n + 1 times as many, because a run with
// tiny segments is full of them, and its last ones are like its first.
constexpr uint64_t kNamesForesight = 192;
// In a repair the first ones all are, and of those behind them fewer and fewer: a long log is
// removed file by file, and each look reads all of them.
constexpr uint64_t kLooksInRepair = 8;

uint64_t ForesightOf(const replica::Job& job) {
  constexpr uint64_t kCommon = 2048;
  if (const auto* persist = std::get_if<raft::PersistJob>(&job.body)) {
    return persist->snapshot ? 1 : kCommon;
  }
  if (std::holds_alternative<replica::SwitchSnapshot>(job.body)) return 4;
  return std::holds_alternative<replica::ReserveSpace>(job.body) ? 1 : kCommon;
}

// What the trace is told: kinds of facts.
enum Fact : uint64_t {
  kStarted = 0x100,
  kDied,
  kFrameIn,
  kFrameOut,
  kClientIn,
  kClientOut,
  kJobOut,
  kJobIn,
  kTick,
  kPeerBytesIn,
};

}  // namespace

Process::Process(const ProcessSettings& settings, Scheduler* scheduler, Decisions* decisions,
                 Trace* trace, Outlet* outlet, Witness* witness, Random random)
    : settings_(settings),
      scheduler_(scheduler),
      decisions_(decisions),
      trace_(trace),
      outlet_(outlet),
      witness_(witness),
      random_(random.Split("process")),
      crash_random_(random.Split("crash")),
      foresight_random_(random.Split("foresight")),
      disk_(settings.disk, random.Split("disk errors")),
      disk_thread_(settings.identity.node, scheduler, decisions, settings.disk_delay,
                   random.Split("disk delay"),
                   [this](const replica::Job& job, replica::JobResult result) {
                     OnJobDone(job, std::move(result));
                   }) {
  // Not random_: the timeouts that a node draws follow from the seed alone.
  decisions_->Own(&crash_random_);
}

absl::Status Process::Initialise(const storage::Founding& founding) {
  const std::string name =
      decisions_->Name([this] { return absl::StrCat("node ", id(), " is initialised"); });
  const uint64_t operations = decisions_->Decide(name, "behind operations", 0, [this] {
    const bool cut_off = settings_.inits_are_cut_off && crash_random_.Chance(1, 4);
    return cut_off ? crash_random_.Between(1, kMaxInitBudget) : 0;
  });
  if (operations == 0) return storage::Storage::Init(disk_, settings_.identity, founding);
  disk_.SetOperationBudget(operations);
  const absl::Status first = storage::Storage::Init(disk_, settings_.identity, founding);
  const uint64_t luck = LuckOfDeath(name);
  Random chance = Random::Stream(luck, "sectors");
  disk_.Crash(chance, luck == 0 ? SimDisk::Tearing::kNothingKept : SimDisk::Tearing::kWhole);
  if (first.ok()) return first;
  const absl::Status again = storage::Storage::Init(disk_, settings_.identity, founding);
  // Its last step may have been done, and nobody heard of it.
  return absl::IsAlreadyExists(again) ? absl::OkStatus() : again;
}

absl::Status Process::InitialiseAgain(const storage::Founding& founding, uint64_t incarnation) {
  RAFTKV_CHECK(state_ == State::kDown);
  storage::Identity identity = settings_.identity;
  identity.incarnation = incarnation;
  const absl::Status status = storage::Storage::Init(disk_, identity, founding);
  disk_.ProcessCrash();  // whoever does it is a process of its own
  return status;
}

bool Process::Start(bool die_in_recovery, Death how) {
  RAFTKV_CHECK(state_ == State::kDown);
  ++life_;
  std::string name;
  if (die_in_recovery) {
    name = decisions_->Name([this] { return absl::StrCat("node ", id(), " dies in recovery"); });
    disk_.SetOperationBudget(decisions_->Decide(
        name, "behind operations", 0, [this] { return random_.Below(kMaxRecoveryBudget); }));
  }
  errors_before_ = DiskErrors();
  absl::StatusOr<std::unique_ptr<storage::Storage>> opened = storage::Storage::Open(
      disk_, settings_.storage, {settings_.identity.cluster, settings_.identity.node});
  if (!opened.ok() && IsCrash(opened.status())) {
    ++counters_.recovery_deaths;
    died_idle_ = false;
    const bool power = how == Death::kPowerLoss;
    if (power) {
      LosePower(LuckOfDeath(name));
    } else {
      disk_.ProcessCrash();
    }
    witness_->DiedInRecovery(id());
    if (trace_->reading()) {
      trace_->Say(
          absl::StrCat("node ", id(), power ? " loses power" : " is killed", " while it recovers"));
    }
    return false;
  }
  disk_.SetOperationBudget(std::nullopt);
  if (!opened.ok()) {
    // A disk that fails or is full is tried again later. Any other reason is one that must not be.
    const bool disk_failed =
        DiskErrors() > errors_before_ || absl::IsResourceExhausted(opened.status());
    if (!disk_failed) witness_->RecoveryRefused(id(), opened.status());
    disk_.ProcessCrash();
    return false;
  }
  storage_ = *std::move(opened);
  settings_.replica.incarnation = storage_->identity().incarnation;
  unreadable_before_ = disk_.counters().unreadable;
  misreads_before_ = Misreads();
  storage::Recovered found = storage_->TakeRecovered();
  const bool sound = DiskIsSound();
  const bool idle = std::exchange(died_idle_, true);
  for (const storage::RecoveryEvent& event : found.events) {
    if (event.kind == storage::RecoveryEvent::Kind::kTornTail) ++counters_.torn_tails;
    if (sound && !MayBeFound(event.kind, idle))
      witness_->FoundDamage(id(), absl::StrCat(event.file, ": ", event.text));
    witness_->RecoverySays(id(), event.text);
    if (trace_->reading()) trace_->Say(absl::StrCat("node ", id(), " recovery: ", event.text));
  }

  replica::Boot boot;
  readable_.reset();
  if (found.damage) readable_ = Readable::Of(found, disk_, settings_.storage);
  boot.recovered = TakeFor(&found);
  boot.damage = std::move(found.damage);
  boot.snapshot_damaged = found.snapshot_damaged;
  boot.snapshot_size = found.snapshot.size;
  boot.snapshot_digest = found.snapshot.digest;
  boot.read_snapshot = [this, index = found.snapshot.meta.index](uint64_t offset, uint64_t length) {
    return storage_->ReadSnapshot(index, offset, length);
  };
  // By the life and not by turns: what happened before must not change which timeouts are drawn.
  boot.seed = random_.Split(absl::StrCat("life ", life_)).Next();
  const raft::Recovered recovered = boot.recovered;
  absl::StatusOr<std::unique_ptr<replica::Replica>> created =
      replica::Replica::Create(settings_.replica, std::move(boot));
  if (!created.ok()) {
    witness_->RecoveryRefused(id(), created.status());
    storage_.reset();
    return false;
  }
  replica_ = *std::move(created);
  state_ = State::kUp;
  if (settings_.streams) {
    const replica::Options& self = settings_.replica;
    links_.emplace(
        replica::LinkIdentity{self.cluster, id(), self.incarnation, 0, settings_.peer_address},
        settings_.links, random_.Split(absl::StrCat("links ", life_)).Next());
    links_->AdvanceTime(settings_.clock.MonotonicUs(scheduler_->now()));
    UpdatePeers();
  }
  disk_thread_.Start(storage_.get());
  trace_->Add(kStarted, id(), replica_->raft().log().last());
  if (trace_->reading()) {
    trace_->Say(absl::StrCat("node ", id(), " starts: term ", recovered.hard_state.term, ", vote ",
                             recovered.hard_state.vote, ", snapshot ", recovered.snapshot.index,
                             ", last ", replica_->raft().log().last()));
  }
  if (replica_->repairing()) {
    ++counters_.repairs;
    witness_->Damaged(*replica_);
    changes_in_repair_ = 0;
    disk_.CallBeforeNamesChange([this] { LookAheadInRepair(); });
  } else {
    torn_before_ = disk_.counters().torn_sectors;
    witness_->Recovered(*replica_, recovered);
    disk_.CallBeforeNamesChange([this] { MaybeLookAhead(kNamesForesight, /*mid_job=*/true); });
  }
  Turn([](replica::Replica&) {});
  return true;
}

void Process::Die(Death death) {
  RAFTKV_CHECK(state_ != State::kDown);
  trace_->Add(kDied, id(), static_cast<uint64_t>(death));
  witness_->Died(id(), death == Death::kPowerLoss);
  if (trace_->reading()) {
    trace_->Say(absl::StrCat("node ", id(),
                             death == Death::kPowerLoss ? " loses power" : " is killed",
                             disk_thread_.busy() ? " with a disk job under way" : ""));
  }
  uint64_t luck = 0;
  if (death == Death::kPowerLoss || disk_thread_.busy()) {
    luck =
        LuckOfDeath(decisions_->Name([this] { return absl::StrCat("node ", id(), " goes down"); }));
  }
  if (disk_thread_.busy()) died_idle_ = false;
  std::optional<uint64_t> budget;
  if (Random job(luck); luck != 0 && job.Chance(2, 3)) budget = job.Below(kMaxJobBudget);
  disk_thread_.Stop(&disk_, budget);
  Forget();
  if (death == Death::kPowerLoss) {
    LosePower(luck);
  } else {
    disk_.ProcessCrash();
  }
}

uint64_t Process::LuckOfDeath(absl::string_view name) {
  return decisions_->Decide(name, "luck", 0, [this] { return crash_random_.Next(); });
}

void Process::LosePower(uint64_t luck) {
  Random chance = Random::Stream(luck, "sectors");
  SimDisk::Tearing tearing = SimDisk::Tearing::kNothingKept;
  if (luck != 0 && outlet_->MayTear()) {
    if (chance.Chance(1, 2) && outlet_->MayMix(id())) {
      tearing = SimDisk::Tearing::kAny;
    } else if (outlet_->MaySplit()) {
      tearing = SimDisk::Tearing::kWhole;
    }
  }
  disk_.Crash(chance, tearing);
}

void Process::Forget() {
  ++life_;
  state_ = State::kDown;
  replica_.reset();
  links_.reset();
  storage_.reset();
  waiting_.clear();
  in_turn_ = false;
  busy_until_ = 0;
  loop_armed_ = false;
  at_moment_ = nullptr;
  timer_ = 0;
}

void Process::AwaitMoment(Moment moment, std::function<void()> then) {
  moment_ = moment;
  at_moment_ = std::move(then);
}

bool Process::MomentIs(Moment moment) {
  if (at_moment_ == nullptr || moment_ != moment) return false;
  std::exchange(at_moment_, nullptr)();
  return true;
}

void Process::Pause() {
  RAFTKV_CHECK(state_ == State::kUp);
  state_ = State::kPaused;
  witness_->Paused(id());
}

void Process::Resume() {
  RAFTKV_CHECK(state_ == State::kPaused);
  state_ = State::kUp;
  witness_->Resumed(id());
  if (settings_.turn > 0) {
    waiting_.emplace_back([this] { Turn([](replica::Replica&) {}); });
    return TurnOfAll();
  }
  std::deque<Input> waiting = std::exchange(waiting_, {});
  const uint64_t life = life_;
  // What waited longest comes first: the node acts on it before it has heard what happened since.
  for (const Input& input : waiting) {
    if (life == life_) input();
  }
  if (life == life_) Turn([](replica::Replica&) {});
}

template <typename Give>
void Process::Receive(Give&& input) {
  if (state_ == State::kUp && !Busy()) return Turn(input);
  if (state_ == State::kDown) return;
  Wait([this, give = std::forward<Give>(input)] { Turn(give); });
}

void Process::Wait(Input input) {
  if (waiting_.size() >= kMaxWaiting) {
    ++counters_.frames_dropped;
    return;
  }
  waiting_.push_back(std::move(input));
  if (state_ == State::kUp) ArmLoop();
}

void Process::ArmLoop() {
  if (std::exchange(loop_armed_, true)) return;
  const Time when = std::max(busy_until_, scheduler_->now());
  scheduler_->At(when, Actor::kNode, [this, life = life_] {
    if (life != life_) return;
    loop_armed_ = false;
    if (state_ == State::kUp) TurnOfAll();
  });
}

void Process::TurnOfAll() {
  if (waiting_.empty()) return;
  if (scheduler_->now() < busy_until_) return ArmLoop();
  const std::deque<Input> inputs = std::exchange(waiting_, {});
  const uint64_t life = life_;
  BeginTurn();
  in_turn_ = true;
  for (const Input& input : inputs) {
    input();
    if (life != life_) return;
  }
  in_turn_ = false;
  EndTurn();
}

void Process::ReceiveFrame(absl::string_view frame) {
  trace_->Add(kFrameIn, id(), frame.size());
  frame_reader_.Feed(frame);
  absl::string_view body;
  RAFTKV_CHECK(frame_reader_.Next(&body));  // the network does not change bytes
  if (state_ == State::kUp && !Busy()) {
    return Turn([this, body](replica::Replica& r) { Hear(r, body); });
  }
  Receive([this, bytes = std::string(body)](replica::Replica& replica) { Hear(replica, bytes); });
}

void Process::Hear(replica::Replica& replica, absl::string_view body) {
  // Once for everybody who wants to know what it says.
  const absl::Status decoded = wire::DecodePeer(body, &heard_);
  if (!replica.repairing()) {
    witness_->Hears(replica, decoded.ok() ? &heard_ : nullptr, links_.has_value());
  }
  replica.ReceivePeer(decoded, heard_);
}

void Process::PeerUnreachable(raft::NodeId peer) {
  Receive([peer](replica::Replica& replica) { replica.PeerUnreachable(peer); });
}

// --- Connections to other nodes

void Process::OnLinks(Input input) {
  if (state_ == State::kDown) return;
  if (state_ == State::kPaused || Busy()) return Wait(std::move(input));
  if (settings_.turn > 0) {
    waiting_.push_back(std::move(input));
    return TurnOfAll();
  }
  const uint64_t life = life_;
  links_->AdvanceTime(settings_.clock.MonotonicUs(scheduler_->now()));
  input();
  if (life != life_) return;
  CarryOutLinks();
  ArmTimer();
}

void Process::PeerDialed(std::function<void(uint64_t connection)> accept) {
  OnLinks([this, accept = std::move(accept)] { accept(links_->Accepted()); });
}

void Process::PeerConnected(uint64_t connection) {
  OnLinks([this, connection] { links_->Connected(connection); });
}

void Process::PeerBytes(uint64_t connection, std::string bytes) {
  trace_->Add(kPeerBytesIn, id(), bytes.size());
  OnLinks([this, connection, bytes = std::move(bytes)] {
    std::vector<std::string> bodies;
    links_->Received(connection, bytes,
                     [&bodies](absl::string_view body) { bodies.emplace_back(body); });
    const uint64_t life = life_;
    for (const std::string& body : bodies) {
      if (life != life_) return;
      outlet_->BodyArrived(id(), body);
      Turn([this, &body](replica::Replica& replica) { Hear(replica, body); });
    }
  });
}

void Process::PeerWritten(uint64_t connection, size_t bytes) {
  OnLinks([this, connection, bytes] { links_->Written(connection, bytes); });
}

void Process::PeerClosed(uint64_t connection, absl::string_view why) {
  OnLinks([this, connection, why = std::string(why)] { links_->Closed(connection, why); });
}

void Process::UpdatePeers() {
  std::map<raft::NodeId, replica::PeerLinks::Peer> peers;
  for (const auto& [node, member] : replica_->members().all()) {
    peers[node] = {member.peer_address, member.incarnation};
  }
  links_->SetPeers(peers);
}

void Process::CarryOutLinks() {
  if (!links_->HasWork()) return;
  replica::PeerLinks::Work work = links_->TakeWork();
  for (replica::PeerLinks::Work::Write& write : work.writes) {
    outlet_->WriteToPeer(id(), write.connection, std::move(write.bytes));
  }
  for (const uint64_t connection : work.close) outlet_->ClosePeer(id(), connection);
  for (const auto& dial : work.dials) outlet_->DialPeer(id(), dial.connection, dial.address);
  for (const raft::NodeId peer : work.unreachable) {
    scheduler_->After(0, Actor::kNode, [this, peer, life = life_] {
      if (life == life_) PeerUnreachable(peer);
    });
  }
  if (!trace_->reading()) return;
  for (const replica::PeerLinks::Event& event : work.events) {
    static constexpr absl::string_view kWords[] = {"reaches", "does not reach any more",
                                                   "cannot reach", "is reached by", "refuses"};
    trace_->Say(absl::StrCat("node ", id(), " ", kWords[static_cast<size_t>(event.kind)], " node ",
                             event.peer, " (", event.text, ")"));
  }
}

void Process::ClientOpened(replica::ClientId client) {
  Receive([client](replica::Replica& replica) {
    const bool opened = replica.ClientOpened(client);
    RAFTKV_CHECK(opened || !replica.health().ok());
  });
}

void Process::ClientBytes(replica::ClientId client, std::string bytes) {
  trace_->Add(kClientIn, id(), bytes);
  Receive([client, bytes = std::move(bytes)](replica::Replica& replica) {
    replica.ClientBytes(client, bytes);
  });
}

void Process::ClientWritten(replica::ClientId client, uint64_t bytes) {
  Receive([client, bytes](replica::Replica& replica) { replica.ClientWritten(client, bytes); });
}

void Process::ClientClosed(replica::ClientId client) {
  Receive([client](replica::Replica& replica) { replica.ClientClosed(client); });
}

template <typename Give>
void Process::Turn(const Give& input) {
  if (in_turn_) {
    if (++inputs_ > 1 && shown_) witness_->AnotherInput(*replica_);
    return input(*replica_);
  }
  BeginTurn();
  input(*replica_);
  EndTurn();
}

void Process::BeginTurn() {
  const Time now = scheduler_->now();
  inputs_ = 0;
  shown_ = !replica_->repairing();
  if (shown_) witness_->BeforeTurn(*replica_);
  replica_->AdvanceTime(settings_.clock.MonotonicUs(now), settings_.clock.WallMs(now));
  if (links_.has_value()) links_->AdvanceTime(settings_.clock.MonotonicUs(now));
}

void Process::EndTurn() {
  replica_->TakeWork(&work_);
  if (shown_) witness_->AfterTurn(*replica_, work_);
  busy_until_ = scheduler_->now() + settings_.turn;
  CarryOut(work_);
}

void Process::CarryOut(replica::Work& work) {
  if (work.members_changed && links_.has_value()) UpdatePeers();
  for (replica::Work::Frame& frame : work.frames) {
    trace_->Add(kFrameOut, id() << 32 | frame.to, frame.bytes);
    if (!links_.has_value()) {
      outlet_->SendFrame(id(), frame.to, std::move(frame.bytes));
    } else if (!outlet_->TakeFrame(id(), frame.to, frame.bytes)) {
      links_->Send(frame.to, std::move(frame.bytes));
    }
  }
  if (links_.has_value()) CarryOutLinks();
  const bool sends = !work.frames.empty();
  const bool persists = std::any_of(work.jobs.begin(), work.jobs.end(),
                                    [](const replica::Job& job) { return job.is_persist(); });
  for (replica::Job& job : work.jobs) {
    trace_->Add(kJobOut, id(), job.body.index());
    disk_thread_.Enqueue(std::move(job));
  }
  for (replica::Work::Output& output : work.output) {
    trace_->Add(kClientOut, output.client, output.bytes);
    outlet_->SendToClient(output.client, std::move(output.bytes));
  }
  for (const auto& [client, paused] : work.pause) outlet_->PauseClient(client, paused);
  for (const replica::ClientId client : work.close) outlet_->CloseClient(client);
  if (const absl::Status& health = replica_->health(); !health.ok()) {
    // As the shipped node does: stop at once, let a new process recover.
    const absl::Status reason = health;
    const bool disk_failed = DiskErrors() > errors_before_ ||
                             disk_.counters().unreadable > unreadable_before_ ||
                             Misreads() > misreads_before_;
    witness_->Ended(id(), reason, disk_failed);
    Die(Death::kKilled);
    outlet_->Exited(id(), reason);
    return;
  }
  if (work.restart) return Reopen();
  if (sends && persists && MomentIs(Moment::kSentNotPersisted)) return;
  ArmTimer();
}

// As the shipped node does after a repair: the same process opens its data directory again.
void Process::Reopen() {
  ++counters_.reopened;
  if (trace_->reading()) trace_->Say(absl::StrCat("node ", id(), " is repaired"));
  disk_thread_.Stop(&disk_, std::nullopt);
  Forget();
  disk_.ProcessCrash();  // its files are closed; nothing is lost
  outlet_->Reopened(id());
  if (!Start(/*die_in_recovery=*/false)) {
    outlet_->Exited(id(), absl::UnavailableError("its data directory does not open again"));
  }
}

void Process::ArmTimer() {
  uint64_t deadline = replica_->next_deadline_us();
  if (links_.has_value()) deadline = std::min(deadline, links_->next_deadline_us());
  if (timer_ != 0 && deadline == deadline_) return;
  deadline_ = deadline;
  const Time when = settings_.clock.When(deadline);
  if (timer_ == when) return;
  timer_ = when;
  scheduler_->At(when, Actor::kNode, [this, when, life = life_] {
    if (life != life_ || timer_ != when) return;
    timer_ = 0;
    trace_->Add(kTick, id());
    // A paused process misses its ticks; it notices when it goes on.
    if (state_ == State::kUp) Receive([](replica::Replica&) {});
  });
}

void Process::MaybeLookAhead(uint64_t one_of, bool mid_job) {
  const std::string name = decisions_->Name(
      [&] { return absl::StrCat("node ", id(), mid_job ? " changes a name" : " ends a job"); });
  const uint64_t luck = decisions_->Decide(name, "foreseen", 0, [&] {
    return foresight_random_.Chance(1, one_of * (looks_ahead_ + 1)) ? foresight_random_.Next() : 0;
  });
  if (luck == 0 || !DiskIsSound()) return;
  ++looks_ahead_;
  if (!witness_->LooksAhead(id())) return;
  Random chance = Random::Stream(luck, "foreseen");
  const bool full = !mid_job && !storage_->short_of_space();
  const Foresight foresight =
      Foresee(disk_, settings_.storage, {settings_.identity.cluster, settings_.identity.node},
              mid_job, full, &chance);
  witness_->Foresees(id(), foresight.wrong, foresight.found);
}

void Process::LookAheadInRepair() {
  const replica::Job* job = disk_thread_.running();
  const auto* settle = job == nullptr ? nullptr : std::get_if<replica::SettleLog>(&job->body);
  if (settle == nullptr || !readable_) return;
  const std::string name =
      decisions_->Name([this] { return absl::StrCat("node ", id(), " ends its repair"); });
  const uint64_t luck = decisions_->Decide(name, "foreseen", 1, [this]() -> uint64_t {
    const bool looks = foresight_random_.Chance(kLooksInRepair, ++changes_in_repair_);
    return looks ? foresight_random_.Next() : 0;
  });
  if (luck == 0 || disk_.Lies() || !witness_->LooksAhead(id())) return;
  Random chance = Random::Stream(luck, "foreseen");
  const std::string wrong = ForeseeInRepair(disk_, settings_.storage, *readable_, *settle, &chance);
  if (!wrong.empty()) witness_->Foresees(id(), wrong, {});
}

void Process::OnJobDone(const replica::Job& job, replica::JobResult result) {
  trace_->Add(kJobIn, id() << 32 | job.body.index(), static_cast<uint64_t>(result.status.code()));
  witness_->JobDone(id(), job, result);
  if (result.status.ok()) MaybeLookAhead(ForesightOf(job), /*mid_job=*/false);
  if (job.is_persist() && result.status.ok() && MomentIs(Moment::kPersistedNotSaid)) return;
  if (state_ == State::kUp && !Busy()) {
    return Turn([&result](replica::Replica& replica) { replica.JobDone(std::move(result)); });
  }
  Receive([result = std::move(result)](replica::Replica& replica) { replica.JobDone(result); });
}

}  // namespace raftkv::sim
