// One simulated node: the production storage over a simulated disk, the production replica, and
// around them what an operating system does to a process.
//
//   - It can lose its power (unsynced bytes are lost as sim_disk.h says) or be killed (they are
//     not); a disk job that was running at that moment is cut off between, or in the middle of, any
//     two disk operations. So can the recovery after it.
//   - It can be paused: its clocks go on, its inputs wait in the buffers of its sockets, its disk
//     finishes what it was doing; when it goes on, everything is there at once.
//   - Its turns may take time: what comes meanwhile is given to it in the next one, all together,
//     as the shipped node's loop does.
//   - Its disk can become slow or fail to sync, its clocks run at their own rate and jump.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/raft/random.h"
#include "core/replica/peer_link.h"
#include "core/replica/replica.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"
#include "sim/decisions/decisions.h"
#include "sim/disk/sim_disk.h"
#include "sim/network/streams.h"
#include "sim/node/clock.h"
#include "sim/node/disk_thread.h"
#include "sim/node/foresight.h"
#include "sim/node/witness.h"
#include "sim/scheduler/scheduler.h"
#include "sim/scheduler/trace.h"
#include "storage/storage.h"

namespace raftkv::sim {

struct ProcessSettings {
  storage::Identity identity;
  replica::Options replica;
  storage::Options storage;
  SimDisk::Options disk;
  Delay disk_delay;
  NodeClock clock{0, 0};
  Time turn = 0;  // what each takes; 0: every input has a turn of its own
  // Has connections to other nodes, as the shipped node has. Otherwise frames go one by one.
  bool streams = false;
  replica::PeerLinkOptions links;
  bool inits_are_cut_off = false;  // now and then, and tried again
  std::string peer_address;        // what it says to others of itself, with streams
};

class Process final : public Streams::Host {
 public:
  enum class State : uint8_t { kDown, kUp, kPaused };
  enum class Death : uint8_t { kPowerLoss, kKilled };

  // `random` is this node's own stream.
  Process(const ProcessSettings& settings, Scheduler* scheduler, Decisions* decisions, Trace* trace,
          Outlet* outlet, Witness* witness, Random random);

  // Makes the data directory, as `raftkv init` does; once more if the power fails meanwhile.
  absl::Status Initialise(const storage::Founding& founding);
  // The same again, by an operator who believes that nothing is there: as another incarnation of
  // this node. From kDown. An error when the directory is not one that may be initialised.
  absl::Status InitialiseAgain(const storage::Founding& founding, uint64_t incarnation);

  // From kDown. With `die_in_recovery` the process dies so somewhere in the recovery, if the
  // recovery is long enough; the result is then false and the node is down again.
  bool Start(bool die_in_recovery, Death how = Death::kPowerLoss);
  // From any state but kDown.
  void Die(Death death);
  // At the next such moment `then` is called, which must let it Die. Null: not any more. Forgotten
  // when the node goes down.
  enum class Moment : uint8_t {
    kSentNotPersisted,  // messages are on their way, what is to be written with them is not
    kPersistedNotSaid,  // it is written, and the node has not heard of it
  };
  void AwaitMoment(Moment moment, std::function<void()> then);
  void Pause();
  void Resume();

  // Inputs. Ignored while down, kept while paused.
  void ReceiveFrame(absl::string_view frame);
  void PeerUnreachable(raft::NodeId peer);
  void ClientOpened(replica::ClientId client);
  void ClientBytes(replica::ClientId client, std::string bytes);
  void ClientWritten(replica::ClientId client, uint64_t bytes);
  void ClientClosed(replica::ClientId client);

  // Streams::Host
  void PeerDialed(std::function<void(uint64_t connection)> accept) override;
  void PeerConnected(uint64_t connection) override;
  void PeerBytes(uint64_t connection, std::string bytes) override;
  void PeerWritten(uint64_t connection, size_t bytes) override;
  void PeerClosed(uint64_t connection, absl::string_view why) override;

  raft::NodeId id() const { return settings_.identity.node; }
  State state() const { return state_; }
  uint64_t life() const { return life_; }  // grows with each start and each death
  // Null while down.
  const replica::Replica* replica() const { return replica_.get(); }
  SimDisk& disk() { return disk_; }
  const SimDisk& disk() const { return disk_; }
  DiskThread& disk_thread() { return disk_thread_; }
  const DiskThread& disk_thread() const { return disk_thread_; }
  NodeClock& clock() { return settings_.clock; }

  struct Counters {
    uint64_t torn_tails = 0;  // recoveries that cut a torn tail
    uint64_t repairs = 0;     // starts with a damaged disk
    uint64_t reopened = 0;    // repairs that were completed
    uint64_t recovery_deaths = 0;
    uint64_t frames_dropped = 0;  // a paused node's buffers were full
  };
  const Counters& counters() const { return counters_; }

 private:
  using Input = std::function<void()>;

  // What becomes, when the node goes down, of what was under way on its disk. 0: the job is not
  // done, and nothing is kept that was not synced. Everything else is the seed of what happens.
  uint64_t LuckOfDeath(absl::string_view name);
  void LosePower(uint64_t luck);
  // Whoever waits for it has let the node die.
  bool MomentIs(Moment moment);

  // Gives it to the node at once, without a copy, or keeps it for one that is paused or busy.
  template <typename Give>
  void Receive(Give&& input);
  // A turn, or a part of the one under way.
  template <typename Give>
  void Turn(const Give& input);
  void BeginTurn();
  void EndTurn();
  bool Busy() const { return in_turn_ || !waiting_.empty() || scheduler_->now() < busy_until_; }
  // Keeps it for the next turn.
  void Wait(Input input);
  void ArmLoop();
  // All that has waited, in one turn.
  void TurnOfAll();
  void Hear(replica::Replica& replica, absl::string_view body);
  void CarryOut(replica::Work& work);  // takes it out of there
  // The same for what is about its connections: they are not the replica's business.
  void OnLinks(Input input);
  void CarryOutLinks();
  void UpdatePeers();
  void ArmTimer();
  void OnJobDone(const replica::Job& job, replica::JobResult result);
  void Reopen();
  void Forget();
  uint64_t DiskErrors() const {
    return disk_.counters().injected_sync_errors + disk_.counters().injected_write_errors;
  }

  // Nothing has happened to it that the last recovery has not dealt with, but losses of power.
  bool DiskIsSound() const {
    return disk_.HasOnlyLostPower() && disk_.counters().torn_sectors == torn_before_;
  }
  // By chance, tells the witness what the node would find if it lost its power now.
  void MaybeLookAhead(uint64_t one_of, bool mid_job);
  // The same, without chance, in the middle of the write that ends a repair.
  void LookAheadInRepair();

  // Reads that returned other bytes.
  uint64_t Misreads() const { return disk_.effects()[DiskFault(MisdirectedRead()).index()]; }

  ProcessSettings settings_;
  Scheduler* scheduler_;
  Decisions* decisions_;
  Trace* trace_;
  Outlet* outlet_;
  Witness* witness_;
  Random random_;
  Random crash_random_;
  Random foresight_random_;
  uint64_t looks_ahead_ = 0;
  uint64_t changes_in_repair_ = 0;    // of names, in this life
  std::optional<Readable> readable_;  // of a log that has to be repaired
  SimDisk disk_;
  DiskThread disk_thread_;

  State state_ = State::kDown;
  uint64_t life_ = 0;
  std::unique_ptr<storage::Storage> storage_;
  std::unique_ptr<replica::Replica> replica_;
  // Of the turn under way; their memory is used again.
  wire::PeerMessage heard_;
  replica::Work work_;
  std::optional<replica::PeerLinks> links_;  // none without streams, and while down
  wire::FrameReader frame_reader_;           // empty between frames
  std::deque<Input> waiting_;                // while paused or busy
  bool in_turn_ = false;                     // of several inputs, which are being given
  bool shown_ = false;                       // the turn under way, to the witness
  uint64_t inputs_ = 0;                      // of the turn under way, so far
  Time busy_until_ = 0;
  bool loop_armed_ = false;
  Moment moment_ = Moment::kSentNotPersisted;
  std::function<void()> at_moment_;  // null: nobody waits for it
  Time timer_ = 0;                   // when the timer that is armed goes off; 0: none
  uint64_t deadline_ = 0;            // the same by the node's own clock
  Counters counters_;
  uint64_t errors_before_ = 0;  // of the disk, when this run of the process began
  // Mixtures on its disk that recoveries have dealt with: nothing of them is left.
  uint64_t torn_before_ = 0;
  bool died_idle_ = true;  // its last run did, while nothing was being written
  // The same for sectors that could not be read, once recovered: recovery has to bear them.
  uint64_t unreadable_before_ = 0;
  uint64_t misreads_before_ = 0;
};

}  // namespace raftkv::sim
