// Connections between nodes as streams of bytes: what is left of a network when TCP has done what
// it can. The ends are the production code (core/replica/peer_link.h): hello, framing, outboxes,
// back-off.
//
// The fault model
//
// Bytes arrive in order, late, in pieces of any size. Nothing is lost out of the middle of a
// stream; instead a connection breaks, in the middle of anything: some of what was written before
// still arrives, and both ends hear of it some time later, which may be long after they have
// another. It breaks
//   - by chance;
//   - when bytes are to pass a link that is cut (sim/network/network.h). A cut link breaks nothing
//   on
//     which nobody sends;
//   - when the process at one end dies. What it has sent may still arrive.
// A clogged link holds bytes back; a lost packet is sent again and makes what is behind it late.
// Who dials while a link is cut, or nobody is there, hears so after a while.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "core/raft/random.h"
#include "core/raft/types.h"
#include "sim/decisions/decisions.h"
#include "sim/network/network.h"
#include "sim/scheduler/scheduler.h"

namespace raftkv::sim {

struct StreamOptions {
  uint32_t split_per_mille = 0;  // of writes: arrives in two pieces
  uint32_t break_per_mille = 0;  // of writes: the connection breaks somewhere in it
};

class Streams {
 public:
  // A process that has connections. It numbers them, those that others have dialed, too.
  class Host {
   public:
    virtual ~Host() = default;
    // Somebody has dialed. `accept` is to be called with the number, at once or later.
    virtual void PeerDialed(std::function<void(uint64_t connection)> accept) = 0;
    virtual void PeerConnected(uint64_t connection) = 0;
    virtual void PeerBytes(uint64_t connection, std::string bytes) = 0;
    virtual void PeerWritten(uint64_t connection, size_t bytes) = 0;
    virtual void PeerClosed(uint64_t connection, absl::string_view why) = 0;
  };
  // Null: nobody runs there.
  using Find = std::function<Host*(raft::NodeId node)>;

  struct Counters {
    uint64_t dials = 0;
    uint64_t accepted = 0;
    uint64_t writes = 0;
    uint64_t broken = 0;  // connections that did not end because somebody closed them
  };

  // Delays and losses are those of `network`, which must outlive it.
  Streams(Scheduler* scheduler, Decisions* decisions, Network* network,
          const StreamOptions& options, Random random, Find find);

  // What a host asks for, by its own numbers. What is about a connection that has ended is ignored.
  void Dial(raft::NodeId from, uint64_t connection, raft::NodeId to);
  void Write(raft::NodeId from, uint64_t connection, std::string bytes);
  // Behind everything that was written.
  void Close(raft::NodeId from, uint64_t connection);

  // Its process has ended.
  void NodeDied(raft::NodeId node);
  // Every connection that others have dialed to it breaks.
  void BreakThoseTo(raft::NodeId node);

  void set_options(const StreamOptions& options) { options_ = options; }
  const Counters& counters() const { return counters_; }

 private:
  // One end, and what is on the way from there to the other one.
  struct End {
    raft::NodeId node = raft::kNoNode;
    uint64_t connection = 0;  // its number there
    bool open = false;
    uint64_t sent = 0;    // pieces
    uint64_t passed = 0;  // of these, given to the other end
    bool cut = false;     // nothing passes any more
    Time last_arrival = 0;
    std::map<uint64_t, std::string> arrived;  // and not given yet, by number; empty: it has closed
  };
  struct Connection {
    std::array<End, 2> ends;  // the first one has dialed
    bool breaks = false;      // both will hear so
  };

  Connection* FindConnection(uint64_t number);
  // The other end of it in `side`; null when there is no such connection.
  Connection* FindEnd(raft::NodeId node, uint64_t connection, uint64_t* number, size_t* side);
  std::string NameOfLink(absl::string_view what, const Connection& connection, size_t side);
  Host* HostOf(const End& end) { return end.open ? find_(end.node) : nullptr; }
  Time Takes(absl::string_view name);
  void Launch(uint64_t number, size_t side, absl::string_view name, std::string bytes);
  void Pass(uint64_t number, size_t side);
  void Refuse(uint64_t number, absl::string_view why);
  void BreakLater(uint64_t number);
  void EndBoth(uint64_t number, absl::string_view why);
  void Forget(uint64_t number);

  Scheduler* scheduler_;
  Decisions* decisions_;
  Network* network_;
  StreamOptions options_;
  Random random_;
  Find find_;
  Counters counters_;
  uint64_t last_ = 0;
  std::map<uint64_t, Connection> connections_;
  std::map<std::pair<raft::NodeId, uint64_t>, std::pair<uint64_t, size_t>> open_;
};

}  // namespace raftkv::sim
