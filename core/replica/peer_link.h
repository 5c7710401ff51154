// Connections between nodes without their sockets: hello, framing, outboxes, time limits and
// back-off. The node on libuv and the simulator move the bytes; everything else is decided here.
//
//   - A node dials every peer it knows and sends on those connections only; connections that others
//     dialed to it only deliver. So two nodes that dial each other at once need no tie-break, and
//     messages from one node to another never overtake each other while one connection lives.
//   - The first frame in each direction is a Hello. The dialer sends its own at once and nothing
//     else before it has the other's, so no message ever reaches whoever happens to own an address
//     today. A Hello that does not fit is answered with our own before the connection is closed:
//     the reason can then be read in the logs of both sides.
//   - A frame is sent whole or its connection is closed. A full outbox drops whole frames, the
//     newest first, and the replica is told: the core repeats what mattered.
//   - The newest connection from a peer replaces the older ones: what an old one still holds (of a
//     life before a restart, say) is never delivered after it.
//
// Nothing here blocks or knows a clock. Not thread-safe: one owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/raft/random.h"
#include "core/raft/types.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"

namespace raftkv::replica {

// What a node says about itself in its Hello.
struct LinkIdentity {
  wire::ClusterId cluster;
  raft::NodeId node = raft::kNoNode;
  uint64_t incarnation = 0;
  uint64_t group = 0;
  std::string address;  // where peers reach this node, "host:port"; may be empty
};

// One connection: cuts its bytes into bodies and lets none through before the Hello.
class PeerLink {
 public:
  enum class Direction : uint8_t { kIncoming, kOutgoing };

  // Larger than any Hello; nobody makes us hold more before we know who it is.
  static constexpr size_t kMaxHelloBody = 4096;

  // `expected` and `expected_incarnation` are whom an outgoing connection is for; the incarnation
  // is 0 when not known. Incoming connections leave both 0.
  PeerLink(Direction direction, const LinkIdentity& self, raft::NodeId expected = raft::kNoNode,
           uint64_t expected_incarnation = 0);

  // Our first frame. On an incoming connection only when the other's Hello has been read, as it
  // names whom it is for.
  std::string Hello() const;

  // Ignored after an error.
  void Receive(absl::string_view bytes) { reader_.Feed(bytes); }

  // True: `body` is the next body after the Hello, valid until the next call of Receive or Next.
  // False: more bytes are needed, or status() is an error. After reading the Hello it returns false
  // once, with established() just become true, so that the owner can look at it first.
  bool Next(absl::string_view* body);

  // Sticky: bytes that are no frames, a damaged frame, a Hello that does not fit. The text names
  // what is wrong and what was expected.
  const absl::Status& status() const { return status_.ok() ? reader_.status() : status_; }
  bool established() const { return established_; }

  Direction direction() const { return direction_; }
  // Whom the connection is for (outgoing) or from (incoming, once there was a Hello that decodes).
  raft::NodeId peer() const { return peer_; }
  uint64_t peer_incarnation() const { return peer_incarnation_; }
  const std::string& peer_address() const { return peer_address_; }  // as its Hello says; may be ""
  uint32_t protocol() const { return protocol_; }
  size_t capacity() const { return reader_.capacity(); }  // bytes held for this connection

 private:
  absl::Status ReadHello(absl::string_view body);

  Direction direction_;
  const LinkIdentity* self_;
  wire::FrameReader reader_;
  absl::Status status_;
  bool established_ = false;
  raft::NodeId peer_;
  uint64_t peer_incarnation_;
  std::string peer_address_;
  uint32_t protocol_ = 0;
};

// How long to wait before the next try: doubles from `min_us` to `max_us`, each delay drawn from
// the upper half of its step so that nodes that failed together do not return together.
class Backoff {
 public:
  Backoff(uint64_t min_us, uint64_t max_us, Random random)
      : min_us_(min_us), max_us_(max_us), step_us_(min_us), random_(random) {}

  uint64_t Next();
  void Reset() { step_us_ = min_us_; }

 private:
  uint64_t min_us_;
  uint64_t max_us_;
  uint64_t step_us_;
  Random random_;
};

struct PeerLinkOptions {
  uint64_t hello_timeout_us = 5'000'000;  // from the dial or the accept to the other's Hello
  // An outgoing connection on which bytes wait and none leaves is closed after this.
  uint64_t stall_timeout_us = 10'000'000;
  uint64_t min_backoff_us = 50'000;
  uint64_t max_backoff_us = 2'000'000;
  // Frames waiting for one peer, in bytes. One frame always fits into an empty outbox.
  size_t max_outbox_bytes = 64 << 20;
  // Bytes given to the driver and not yet reported as written. What is beyond waits as whole
  // frames.
  size_t max_handed_over_bytes = 1 << 20;
  // Incoming connections without a Hello; one more ends the oldest of them.
  size_t max_strangers = 8'192;
};

// All connections of a node.
//
//   AdvanceTime(now)            first in every turn
//   inputs                      any number
//   TakeWork()                  then carry it out: writes, closes, dials, in this order
//
// Connections are named by numbers given out here. An input about a connection that was closed here
// meanwhile is ignored, so the driver need not keep account of what crosses on the way.
class PeerLinks {
 public:
  using ConnectionId = uint64_t;
  // Gets each body that arrives on an established connection; the view dies with the call.
  using Deliver = absl::FunctionRef<void(absl::string_view body)>;

  struct Peer {
    std::string address;       // "host:port"
    uint64_t incarnation = 0;  // 0: not known
    friend bool operator==(const Peer&, const Peer&) = default;
  };

  enum class EventKind : uint8_t {
    kUp,       // an outgoing connection is ready for messages
    kDown,     // one that was up has ended
    kFailing,  // a peer cannot be reached; said once until it is up again
    kArrived,  // a peer's connection to us has been accepted
    kRefused,  // an incoming connection was closed because of what it sent or did not send
  };
  struct Event {
    EventKind kind;
    raft::NodeId peer = raft::kNoNode;  // kNoNode: nobody knows
    std::string text;                   // address or reason
  };

  struct Work {
    struct Write {
      ConnectionId connection;
      std::string bytes;  // in order; must leave whole, or the connection must be closed
    };
    struct Dial {
      ConnectionId connection;
      raft::NodeId peer;
      std::string address;
    };
    std::vector<Write> writes;
    // To be closed after trying to write what `writes` has for them. They are forgotten here.
    std::vector<ConnectionId> close;
    std::vector<Dial> dials;
    std::vector<raft::NodeId> unreachable;  // ascending: frames for them were lost
    std::vector<Event> events;

    bool empty() const {
      return writes.empty() && close.empty() && dials.empty() && unreachable.empty() &&
             events.empty();
    }
  };

  // `seed` decides the jitter of the back-off only.
  PeerLinks(LinkIdentity self, const PeerLinkOptions& options, uint64_t seed);

  // Monotonic time, in microseconds since any origin.
  void AdvanceTime(uint64_t now_us);

  // Whom to keep connections to. A peer whose address or incarnation changed is dialed anew. This
  // node itself may be in the map. Nodes that are not in it and dial us are answered at the address
  // that their Hello says: a node that joins knows nobody yet.
  void SetPeers(const std::map<raft::NodeId, Peer>& peers);

  // Sends one whole frame (wire/frame.h) or drops it and reports the peer as unreachable.
  void Send(raft::NodeId to, std::string frame);

  void Connected(ConnectionId connection);  // a dial succeeded
  ConnectionId Accepted();
  void Received(ConnectionId connection, absl::string_view bytes, Deliver deliver);
  void Written(ConnectionId connection, size_t bytes);  // so many more of its bytes have left
  // A dial failed, the other side closed, or the driver had to.
  void Closed(ConnectionId connection, absl::string_view reason);

  // TakeWork would give something.
  bool HasWork() const;
  Work TakeWork();

  // When AdvanceTime wants to be called next; the maximum when nothing is waited for.
  uint64_t next_deadline_us() const;

  // ---- Observers
  // next_deadline_us(), found again: tests compare the two.
  uint64_t FindDeadlineUs() const;
  bool IsUp(raft::NodeId peer) const;
  size_t connections() const { return connections_.size(); }
  size_t strangers() const { return awaiting_hello_.size(); }  // incoming and outgoing alike
  size_t outbox_bytes(raft::NodeId peer) const;

 private:
  // A learnt peer is one that dialed us and is not among those set.
  static constexpr size_t kMaxLearnt = wire::kMaxMembers;
  // Small frames are given to the driver in pieces of about this size.
  static constexpr size_t kWriteBytes = 64 << 10;

  struct Connection {
    explicit Connection(PeerLink l) : link(std::move(l)) {}
    PeerLink link;
    size_t handed_over = 0;    // bytes given to the driver, not yet written
    uint64_t progress_us = 0;  // when bytes last left, or began to wait
  };

  // Everything about sending to one node.
  struct Outgoing {
    Peer peer;
    bool learnt = false;
    ConnectionId connection = 0;  // 0: none
    bool up = false;
    uint64_t up_since_us = 0;
    uint64_t dial_at_us = 0;  // with no connection
    Backoff backoff;
    bool failing = false;  // kFailing was said
    std::deque<std::string> outbox = {};
    size_t outbox_bytes = 0;
  };

  // Who ends a connection: then the driver has to be asked to close it, or knows already.
  enum class EndedBy : uint8_t { kUs, kDriver };

  // With every change that next_deadline_us() may depend on.
  void Change() { deadline_us_.reset(); }
  Outgoing& AddOutgoing(raft::NodeId id, const Peer& peer, bool learnt);
  void Dial(raft::NodeId id, Outgoing& out);
  void DialDue();
  // False when the connection has been ended.
  bool OnHello(ConnectionId id, Connection& connection);
  absl::Status Admit(const PeerLink& link);
  bool MakeRoomToLearn();
  void Write(ConnectionId id, Connection& connection, std::string bytes);
  void Flush(Outgoing& out);
  void End(ConnectionId id, absl::string_view reason, EndedBy by);
  void EndOutgoing(raft::NodeId id, Outgoing& out, absl::string_view reason);
  void Drop(raft::NodeId id, Outgoing& out);
  void Say(EventKind kind, raft::NodeId peer, std::string text);

  // On the heap: links point to it, and a PeerLinks may be moved.
  std::unique_ptr<const LinkIdentity> self_;
  PeerLinkOptions options_;
  Random random_;
  uint64_t now_us_ = 0;
  ConnectionId last_connection_ = 0;
  std::map<ConnectionId, Connection> connections_;
  // Connections without a Hello and when their time is over. All have the same time, so ascending
  // ids are ascending deadlines.
  std::map<ConnectionId, uint64_t> awaiting_hello_;
  std::map<raft::NodeId, Outgoing> outgoing_;
  std::map<raft::NodeId, ConnectionId> incoming_;  // the newest established one of each
  std::set<raft::NodeId> unreachable_;
  // next_deadline_us(), as long as nothing has changed: it is asked for with every turn.
  mutable std::optional<uint64_t> deadline_us_;
  Work work_;
};

}  // namespace raftkv::replica
