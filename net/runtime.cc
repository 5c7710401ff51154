#include "net/runtime.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/raft/check.h"

namespace raftkv::net {
namespace {

// For the disk, the log, the loop and names being looked up.
constexpr uint64_t kReservedFiles = 128;
// Both directions to every member there can be.
constexpr uint64_t kPeerFiles = 2 * wire::kMaxMembers;
constexpr uint64_t kDiskPatienceMs = 2'000;

uint64_t MonotonicUs() { return uv_hrtime() / 1'000; }

uint64_t WallMs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

absl::string_view NameOf(raft::RoleName role) {
  switch (role) {
    case raft::RoleName::kFollower:
      return "follower";
    case raft::RoleName::kPreCandidate:
      return "pre-candidate";
    case raft::RoleName::kCandidate:
      return "candidate";
    case raft::RoleName::kLeader:
      return "leader";
  }
  return "unknown";
}

template <typename Handle>
void CloseHandle(Handle* handle) {
  auto* base = reinterpret_cast<uv_handle_t*>(handle);
  if (!uv_is_closing(base)) uv_close(base, nullptr);
}

}  // namespace

uint64_t RaiseFileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised = limit;
    raised.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return limit.rlim_cur;
}

ConnectionLimits FitConnections(uint64_t file_limit, uint32_t clients_wanted) {
  const uint64_t fixed = kReservedFiles + kPeerFiles;
  const uint64_t free = file_limit > fixed ? file_limit - fixed : 0;
  const uint64_t strangers =
      std::clamp<uint64_t>(free / 4, 16, replica::PeerLinkOptions().max_strangers);
  const uint64_t clients =
      std::min<uint64_t>(std::max<uint64_t>(free - std::min(free, strangers), 16), clients_wanted);
  return {static_cast<uint32_t>(clients), static_cast<uint32_t>(strangers)};
}

class Runtime::Turn final : public TurnStart {
 public:
  explicit Turn(Runtime* runtime) : runtime_(runtime) {}
  void BeginTurn() override { runtime_->BeginTurn(); }

 private:
  Runtime* runtime_;
};

Runtime::Runtime(const RuntimeOptions& options, std::unique_ptr<replica::Replica> replica)
    : options_(options), replica_(std::move(replica)), turn_(std::make_unique<Turn>(this)) {
  RAFTKV_CHECK(uv_loop_init(&loop_) == 0);
  RAFTKV_CHECK(uv_prepare_init(&loop_, &prepare_) == 0);
  RAFTKV_CHECK(uv_check_init(&loop_, &check_) == 0);
  RAFTKV_CHECK(uv_idle_init(&loop_, &idle_) == 0);
  RAFTKV_CHECK(uv_timer_init(&loop_, &timer_) == 0);
  RAFTKV_CHECK(uv_signal_init(&loop_, &terminate_) == 0);
  RAFTKV_CHECK(uv_signal_init(&loop_, &interrupt_) == 0);
  prepare_.data = check_.data = timer_.data = terminate_.data = interrupt_.data = this;
}

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::Create(const RuntimeOptions& options,
                                                         std::unique_ptr<replica::Replica> replica,
                                                         DiskThread::Run run_job) {
  std::unique_ptr<Runtime> runtime(new Runtime(options, std::move(replica)));
  if (absl::Status status = runtime->Start(std::move(run_job)); !status.ok()) {
    runtime->Finish();
    return status;
  }
  return runtime;
}

absl::Status Runtime::Start(DiskThread::Run run_job) {
  std::signal(SIGPIPE, SIG_IGN);
  const replica::Options& replica_options = replica_->options();
  clients_ = std::make_unique<ClientPort>(&loop_, replica_.get(), turn_.get());
  if (absl::Status status = clients_->Listen(options_.listen_client); !status.ok()) return status;

  replica::LinkIdentity self{.cluster = replica_options.cluster,
                             .node = replica_options.raft.id,
                             .incarnation = replica_options.incarnation,
                             .group = replica_options.group,
                             .address = options_.advertise_peer};
  const replica::Member* own = replica_->members().Find(self.node);
  if (self.address.empty()) {
    self.address = own != nullptr ? own->peer_address : ToString(options_.listen_peer);
  }
  peers_ = std::make_unique<PeerPort>(&loop_, replica_.get(),
                                      replica::PeerLinks(self, options_.links, options_.seed),
                                      options_.seed, turn_.get());
  if (absl::Status status = peers_->Listen(options_.listen_peer); !status.ok()) return status;

  disk_ =
      std::make_unique<DiskThread>(&loop_, std::move(run_job), [this](replica::JobResult result) {
        BeginTurn();
        replica_->JobDone(std::move(result));
      });

  // Timers run before it, connections and results of the disk between the two: whatever a callback
  // brought in is carried out before the loop sleeps.
  uv_prepare_start(&prepare_, [](uv_prepare_t* p) { static_cast<Runtime*>(p->data)->Pump(); });
  uv_check_start(&check_, [](uv_check_t* c) { static_cast<Runtime*>(c->data)->Pump(); });
  const uv_signal_cb on_signal = [](uv_signal_t* handle, int number) {
    static_cast<Runtime*>(handle->data)->OnSignal(number);
  };
  uv_signal_start(&terminate_, on_signal, SIGTERM);
  uv_signal_start(&interrupt_, on_signal, SIGINT);
  return absl::OkStatus();
}

Runtime::~Runtime() {
  Finish();
  // Every handle is closing; what is left are close callbacks, and look-ups that cannot be
  // cancelled.
  while (uv_run(&loop_, UV_RUN_ONCE) != 0) {
  }
  RAFTKV_CHECK(uv_loop_close(&loop_) == 0);
}

absl::Status Runtime::Run() {
  Log(LogLevel::kInfo, "listening",
      {{"clients", ToString(client_endpoint())}, {"peers", ToString(peer_endpoint())}});
  uv_run(&loop_, UV_RUN_DEFAULT);
  // Everything is closing now, and hears of it in the next rounds of the loop.
  constexpr int kRounds = 16;
  for (int round = 0; disk_returned_ && round < kRounds; ++round) {
    looking_up_ = uv_run(&loop_, UV_RUN_NOWAIT) != 0;
    if (!looking_up_) break;
  }
  return replica_->health();
}

void Runtime::BeginTurn() {
  if (in_turn_) return;
  in_turn_ = true;
  now_us_ = MonotonicUs();
  replica_->AdvanceTime(now_us_, WallMs());
  peers_->links().AdvanceTime(now_us_);
  clients_->AdvanceTime(now_us_);
}

void Runtime::Pump() {
  if (finished_) return;
  BeginTurn();
  // Carrying work out makes more of it (bytes that left at once, peers that cannot be reached); it
  // runs dry quickly. If it should not, the loop looks at its sockets in between.
  constexpr int kRounds = 16;
  bool busy = true;
  for (int round = 0; busy && round < kRounds; ++round) {
    replica_->TakeWork(&work_);
    busy = !work_.empty();
    CarryOut(work_);
    busy |= peers_->CarryOut();
  }
  if (busy) {
    uv_idle_start(&idle_, [](uv_idle_t*) {});
  } else {
    uv_idle_stop(&idle_);
  }
  in_turn_ = false;
  replica_->TurnTook(MonotonicUs() - now_us_);

  if (wants_restart_) return Finish();
  if (!replica_->health().ok()) {
    Log(LogLevel::kError, "giving up", {{"reason", replica_->health().ToString()}});
    return Finish();
  }
  if (stopping_ && clients_->connections() == 0 && replica_->Stopped()) return Finish();
  if (stopping_ && now_us_ >= stop_deadline_us_) {
    Log(LogLevel::kWarn, "stopped before everything was done",
        {{"clients", clients_->connections()}, {"role", NameOf(replica_->raft().role())}});
    return Finish();
  }
  if (stopping_ && replica_->Stopped()) clients_->CloseAll();
  ArmTimer();
}

void Runtime::CarryOut(replica::Work& work) {
  for (replica::Job& job : work.jobs) disk_->Submit(std::move(job));
  if (work.members_changed) UpdatePeers();
  for (auto& frame : work.frames) peers_->links().Send(frame.to, std::move(frame.bytes));
  for (auto& output : work.output) clients_->Write(output.client, std::move(output.bytes));
  for (const auto& [client, paused] : work.pause) clients_->SetPaused(client, paused);
  for (const replica::ClientId client : work.close) clients_->Close(client);
  for (const replica::Event& event : work.events) LogEvent(event);
  wants_restart_ |= work.restart;
}

void Runtime::UpdatePeers() {
  std::map<raft::NodeId, replica::PeerLinks::Peer> peers;
  for (const auto& [id, address] : options_.first_contacts) peers[id] = {address, 0};
  for (const auto& [id, member] : replica_->members().all()) {
    peers[id] = {member.peer_address, member.incarnation};
  }
  peers_->links().SetPeers(peers);
}

void Runtime::ArmTimer() {
  uint64_t next = std::min({replica_->next_deadline_us(), peers_->links().next_deadline_us(),
                            clients_->next_deadline_us()});
  if (stopping_) next = std::min(next, stop_deadline_us_);
  if (next == armed_us_ && uv_is_active(reinterpret_cast<uv_handle_t*>(&timer_))) return;
  armed_us_ = next;
  const uint64_t now = MonotonicUs();
  uv_timer_start(
      &timer_, [](uv_timer_t* timer) { static_cast<Runtime*>(timer->data)->BeginTurn(); },
      next > now ? (next - now + 999) / 1'000 : 0, 0);
}

void Runtime::OnSignal(int number) {
  Log(LogLevel::kInfo, "signal", {{"number", number}});
  if (stopping_) {
    stop_deadline_us_ = 0;
  } else {
    Stop();
  }
}

void Runtime::Stop() {
  if (stopping_) return;
  BeginTurn();
  stopping_ = true;
  stop_deadline_us_ = now_us_ + options_.stop_timeout_ms * 1'000;
  clients_->StopListening();
  replica_->Stop();
}

// Closes everything, and Run returns.
void Runtime::Finish() {
  if (finished_) return;
  finished_ = true;
  CloseHandle(&prepare_);
  CloseHandle(&check_);
  CloseHandle(&idle_);
  CloseHandle(&timer_);
  CloseHandle(&terminate_);
  CloseHandle(&interrupt_);
  clients_.reset();
  peers_.reset();
  if (disk_ != nullptr && !disk_->Stop(kDiskPatienceMs)) {
    Log(LogLevel::kError, "the disk does not answer");
    disk_returned_ = false;
  }
  uv_stop(&loop_);
}

void Runtime::LogEvent(const replica::Event& event) {
  if (const auto* role = std::get_if<replica::RoleChanged>(&event)) {
    Log(LogLevel::kInfo, "role changed",
        {{"role", NameOf(role->role)}, {"term", role->term}, {"leader", role->leader}});
  } else if (const auto* taken = std::get_if<replica::SnapshotTaken>(&event)) {
    Log(LogLevel::kInfo, "snapshot taken",
        {{"index", taken->index},
         {"bytes", taken->size},
         {"digest", absl::StrCat(absl::Hex(taken->digest, absl::kZeroPad16))}});
  } else if (const auto* installed = std::get_if<replica::SnapshotInstalled>(&event)) {
    Log(LogLevel::kInfo, "snapshot installed", {{"index", installed->index}});
  } else if (const auto* membership = std::get_if<replica::MembershipApplied>(&event)) {
    Log(LogLevel::kInfo, "membership changed",
        {{"index", membership->index},
         {"voters", absl::StrJoin(membership->conf.voters, ",")},
         {"learners", absl::StrJoin(membership->conf.learners, ",")}});
  } else if (const auto* disk = std::get_if<replica::DiskSpace>(&event)) {
    if (disk->full) {
      Log(LogLevel::kError, "disk full", {{"outcome", "writes are refused until there is space"}});
    } else {
      Log(LogLevel::kInfo, "disk has space again", {});
    }
  } else if (const auto* started = std::get_if<replica::RepairStarted>(&event)) {
    Log(LogLevel::kWarn, "repairing",
        {{"bad_entries", started->bad_entries},
         {"first", started->first},
         {"last", started->last},
         {"snapshot", started->snapshot}});
  } else if (const auto* waiting = std::get_if<replica::RepairWaiting>(&event)) {
    Log(LogLevel::kWarn, "repair waits", {{"for", waiting->what}});
  } else if (const auto* closed = std::get_if<replica::RepairClosed>(&event)) {
    Log(LogLevel::kInfo, "repaired",
        {{"entries", closed->fetched_entries},
         {"snapshot", closed->snapshot},
         {"snapshot_bytes", closed->fetched_snapshot_bytes},
         {"last", closed->last},
         {"suspicion", closed->suspicion ? closed->suspicion->index : 0}});
  } else if (const auto* found = std::get_if<replica::RotFound>(&event)) {
    Log(LogLevel::kError, "rot on the disk",
        {{"file", found->rot.file},
         {"offset", found->rot.offset},
         {"entry", found->rot.index},
         {"what", found->rot.text}});
  } else if (std::holds_alternative<replica::RotToRepair>(event)) {
    Log(LogLevel::kWarn, "opening the data directory anew",
        {{"reason", "what is rotten is repaired from the other nodes"}});
  } else if (const auto* suspects = std::get_if<replica::SuspicionWaiting>(&event)) {
    Log(LogLevel::kWarn, "entries may be lost",
        {{"last", suspects->suspicion.index},
         {"term", suspects->suspicion.term},
         {"waits_for", suspects->what}});
  } else if (const auto* dropped = std::get_if<replica::SuspicionDropped>(&event)) {
    Log(LogLevel::kWarn, "lost entries given up",
        {{"last", dropped->suspicion.index},
         {"term", dropped->suspicion.term},
         {"kept", dropped->rest ? dropped->rest->index : 0}});
  } else if (const auto* fetched = std::get_if<replica::LostEndFetched>(&event)) {
    Log(LogLevel::kInfo, "lost entries fetched",
        {{"peer", fetched->from}, {"first", fetched->first}, {"last", fetched->last}});
  } else if (const auto* refused = std::get_if<replica::PeerRefused>(&event)) {
    uint64_t suppressed = 0;
    if (refused_limiter_.Allow(now_us_ / 1'000, &suppressed)) {
      Log(LogLevel::kWarn, "message refused",
          {{"peer", refused->from}, {"reason", refused->reason}, {"suppressed", suppressed}});
    }
  }
}

}  // namespace raftkv::net
