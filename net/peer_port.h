// The connections between nodes: carries out what replica::PeerLinks decides.
#pragma once

#include <uv.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/raft/random.h"
#include "core/replica/peer_link.h"
#include "core/replica/replica.h"
#include "net/client_port.h"
#include "net/log.h"
#include "net/stream.h"

namespace raftkv::net {

class PeerPort final : public StreamOwner, public Listener::Owner {
 public:
  PeerPort(uv_loop_t* loop, replica::Replica* replica, replica::PeerLinks links, uint64_t seed,
           TurnStart* turn)
      : loop_(loop),
        replica_(replica),
        links_(std::move(links)),
        random_(Random::Stream(seed, "addresses of peers")),
        turn_(turn),
        limiter_(20, 10'000) {}
  ~PeerPort() override;

  absl::Status Listen(const Endpoint& endpoint);
  void StopListening() { listener_.reset(); }
  const Listener* listener() const { return listener_.get(); }

  replica::PeerLinks& links() { return links_; }

  // Carries out what the links want done. False when they wanted nothing.
  bool CarryOut();
  void CloseAll();

  size_t connections() const { return streams_.size(); }

 private:
  using ConnectionId = replica::PeerLinks::ConnectionId;

  void Dial(ConnectionId connection, const std::string& address);
  const sockaddr* AnyOf(const addrinfo* found);
  void ConnectTo(ConnectionId connection, const sockaddr* address);
  void LogEvent(const replica::PeerLinks::Event& event);

  void ConnectionWaiting(uv_tcp_t* listener) override;
  void AcceptFailed(absl::string_view reason) override;
  void StreamConnected(uint64_t id) override;
  void StreamBytes(uint64_t id, absl::string_view bytes) override;
  void StreamWritten(uint64_t id, size_t bytes) override;
  void StreamFinished(uint64_t id) override;
  void StreamEnded(uint64_t id, absl::string_view reason) override;

  // A name being looked up. Outlives the port when the port goes first.
  struct Lookup {
    uv_getaddrinfo_t request;
    PeerPort* port;  // null when nobody wants the answer any more
    ConnectionId connection;
  };

  uv_loop_t* loop_;
  replica::Replica* replica_;
  replica::PeerLinks links_;
  Random random_;
  TurnStart* turn_;
  LogLimiter limiter_;
  std::unique_ptr<Listener> listener_;
  std::map<ConnectionId, Stream*> streams_;
  std::map<ConnectionId, Lookup*> lookups_;
};

}  // namespace raftkv::net
