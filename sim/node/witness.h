// Where a simulated process shows what it does: to the world, which acts on it, and to the oracles,
// which judge it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/replica/replica.h"
#include "core/wire/peer.h"
#include "storage/storage.h"

namespace raftkv::sim {

// What leaves a process.
class Outlet {
 public:
  virtual ~Outlet() = default;
  virtual void SendFrame(raft::NodeId from, raft::NodeId to, std::string frame) = 0;
  // Of a node with connections, in front of them: true if it goes nowhere.
  virtual bool TakeFrame(raft::NodeId /*from*/, raft::NodeId /*to*/, const std::string& /*frame*/) {
    return false;
  }
  virtual void DialPeer(raft::NodeId /*from*/, uint64_t /*connection*/,
                        const std::string& /*address*/) {}
  virtual void WriteToPeer(raft::NodeId /*from*/, uint64_t /*connection*/, std::string /*bytes*/) {}
  virtual void ClosePeer(raft::NodeId /*from*/, uint64_t /*connection*/) {}
  virtual void BodyArrived(raft::NodeId /*at*/, const std::string& /*body*/) {}
  virtual void SendToClient(replica::ClientId client, std::string bytes) = 0;
  virtual void CloseClient(replica::ClientId client) = 0;
  virtual void PauseClient(replica::ClientId client, bool paused) = 0;
  // The process ended by itself, because its disk failed.
  virtual void Exited(raft::NodeId node, const absl::Status& reason) = 0;
  // Whether a power loss may leave sectors that were not synced, whole or torn. Otherwise all of
  // them are as they were.
  virtual bool MayTear() const { return true; }
  // Whether those of the node may also be mixtures of old and new, if it loses its power now.
  // Nobody can tell whether such a record was acknowledged, so its node lets nobody lead who has
  // less, and leads nobody itself.
  virtual bool MayMix(raft::NodeId /*node*/) const { return true; }
  // Whether they may be new in a part of a record and old in the rest. What that takes is given up
  // when everybody has lost it in this way, and waited for when somebody may have had it.
  virtual bool MaySplit() const { return true; }
  // The process has begun anew by itself, with what a repair has left on its disk: its connections
  // are gone.
  virtual void Reopened(raft::NodeId node) = 0;
};

// What an omniscient observer sees. Calls come in the order of events; everything passed is
// borrowed for the call.
class Witness {
 public:
  virtual ~Witness() = default;

  // The node is up, but its disk has holes: it takes part in nothing, and no turn of it is shown,
  // until it has recovered.
  virtual void Damaged(const replica::Replica& replica) = 0;
  // The node is up again with what its disk gave back.
  virtual void Recovered(const replica::Replica& replica, const raft::Recovered& recovered) = 0;
  // A disk that only crashes and fails to sync must never look rotten or foreign.
  virtual void RecoveryRefused(raft::NodeId node, const absl::Status& reason) = 0;

  // The recovery under way has found something wrong on a disk that has only lost power: a write
  // that was not complete is all that may be, and that only if one was under way.
  virtual void FoundDamage(raft::NodeId /*node*/, absl::string_view /*text*/) {}

  // The process ended by itself. Only a disk that reported an error, or read something else than
  // what is there, is a reason.
  virtual void Ended(raft::NodeId node, const absl::Status& reason, bool disk_failed) = 0;

  // One input is about to be given / has been given, and its work taken.
  virtual void BeforeTurn(const replica::Replica& replica) = 0;
  virtual void AfterTurn(const replica::Replica& replica, const replica::Work& work) = 0;

  // In between, if the turn has several: another one is about to be given. What the oracles
  // conclude from one input they cannot conclude from several.
  virtual void AnotherInput(const replica::Replica& /*replica*/) {}

  // In between, if the input is a message of another node: the node is about to be given it. Null:
  // it does not decode. It lives until AfterTurn or AnotherInput, but for its entries and bytes,
  // which the node takes. `connected`: by a connection, both ends of which have said who they are.
  virtual void Hears(const replica::Replica& /*replica*/, const wire::PeerMessage* /*message*/,
                     bool /*connected*/) {}

  // At the instant at which the job's effects are on the disk, before the node hears of it.
  virtual void JobDone(raft::NodeId node, const replica::Job& job,
                       const replica::JobResult& result) = 0;

  // True: it wants to be told now and then what a power loss at that moment would leave, on disks
  // that have only lost power so far. `wrong`: what is, whatever was written; empty: nothing.
  virtual bool LooksAhead(raft::NodeId /*node*/) const { return false; }
  virtual void Foresees(raft::NodeId /*node*/, absl::string_view /*wrong*/,
                        const raft::Recovered& /*found*/) {}

  // What an operating system does to a process. No oracle judges by it.
  virtual void Died(raft::NodeId /*node*/, bool /*lost_power*/) {}
  virtual void DiedInRecovery(raft::NodeId /*node*/) {}
  virtual void Paused(raft::NodeId /*node*/) {}
  virtual void Resumed(raft::NodeId /*node*/) {}
  // Something that the recovery under way has to say, for people.
  virtual void RecoverySays(raft::NodeId /*node*/, const std::string& /*text*/) {}
};

}  // namespace raftkv::sim
