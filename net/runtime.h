// One node on a libuv loop: sockets, timer, signals and the disk thread around a Replica.
//
// Everything but the jobs of the disk runs on the thread that calls Run. A turn of the loop is: the
// time is told, then what arrived, then the work that came of it is carried out, all of it before
// the loop sleeps again. So whatever arrived together shares one write to the disk.
#pragma once

#include <uv.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/replica/peer_link.h"
#include "core/replica/replica.h"
#include "net/client_port.h"
#include "net/disk_thread.h"
#include "net/log.h"
#include "net/peer_port.h"

namespace raftkv::net {

struct RuntimeOptions {
  Endpoint listen_client{"127.0.0.1", 7400};
  Endpoint listen_peer{"127.0.0.1", 7401};
  // Where peers reach this node, said in hellos; empty: what its membership entry says, else
  // listen_peer.
  std::string advertise_peer;
  // Where to find a peer before the cluster's own table is known.
  std::map<raft::NodeId, std::string> first_contacts;
  uint64_t stop_timeout_ms = 5'000;  // for handing leadership over and answering what was accepted
  replica::PeerLinkOptions links;
  uint64_t seed = 0;  // of the jitter of dials, and of which address of a name they go to
};

// How many descriptors the process may open, after raising the soft limit to the hard one.
uint64_t RaiseFileLimit();

// How many clients and strangers on the peer port fit, so that the disk never finds no descriptor.
struct ConnectionLimits {
  uint32_t clients;
  uint32_t strangers;
};
ConnectionLimits FitConnections(uint64_t file_limit, uint32_t clients_wanted);

class Runtime {
 public:
  // Listens on both ports; Unavailable when that is not possible. `run_job` is called on the disk
  // thread only.
  static absl::StatusOr<std::unique_ptr<Runtime>> Create(const RuntimeOptions& options,
                                                         std::unique_ptr<replica::Replica> replica,
                                                         DiskThread::Run run_job);
  ~Runtime();

  // Until SIGTERM or SIGINT, or a call of Stop, has been carried out (OK), or the replica had to
  // give up (its health), or has repaired its disk (OK, wants_restart()). A second signal ends the
  // waiting.
  absl::Status Run();

  // True when Run ended because a repair is complete, or is to be begun: the data directory is to
  // be opened anew. Never when it was to stop.
  bool wants_restart() const { return wants_restart_ && !stopping_; }

  // As SIGTERM does. From the loop's thread.
  void Stop();

  const Endpoint& client_endpoint() const { return clients_->listener()->endpoint(); }
  const Endpoint& peer_endpoint() const { return peers_->listener()->endpoint(); }

  // False when a job is still with the disk after Run: the caller must end the process at once,
  // without destroying the Runtime.
  bool disk_returned() const { return disk_returned_; }
  // True when a peer's name is still being looked up after Run, which nobody can stop: to destroy
  // the Runtime waits for it. A process that ends had better end at once.
  bool looking_up() const { return looking_up_; }

 private:
  class Turn;

  Runtime(const RuntimeOptions& options, std::unique_ptr<replica::Replica> replica);

  absl::Status Start(DiskThread::Run run_job);
  void BeginTurn();
  void Pump();
  void CarryOut(replica::Work& work);
  void UpdatePeers();
  void LogEvent(const replica::Event& event);
  void ArmTimer();
  void OnSignal(int number);
  void Finish();

  RuntimeOptions options_;
  std::unique_ptr<replica::Replica> replica_;
  replica::Work work_;  // what is being carried out; its memory is used again
  std::unique_ptr<TurnStart> turn_;
  bool in_turn_ = false;
  uint64_t now_us_ = 0;

  uv_loop_t loop_;
  uv_prepare_t prepare_;
  uv_check_t check_;
  uv_idle_t idle_;
  uv_timer_t timer_;
  uv_signal_t terminate_;
  uv_signal_t interrupt_;
  uint64_t armed_us_ = 0;

  std::unique_ptr<ClientPort> clients_;
  std::unique_ptr<PeerPort> peers_;
  std::unique_ptr<DiskThread> disk_;
  LogLimiter refused_limiter_{20, 10'000};

  bool stopping_ = false;
  bool finished_ = false;
  bool wants_restart_ = false;
  bool disk_returned_ = true;
  bool looking_up_ = false;
  uint64_t stop_deadline_us_ = 0;
};

}  // namespace raftkv::net
