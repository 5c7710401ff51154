// The port that clients of the Redis protocol connect to: their bytes go to the replica, its
// answers come back.
#pragma once

#include <uv.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/replica/replica.h"
#include "net/log.h"
#include "net/stream.h"

namespace raftkv::net {

// Called before anything is told to a replica or to links: a turn of the loop begins with the time.
class TurnStart {
 public:
  virtual ~TurnStart() = default;
  virtual void BeginTurn() = 0;
};

class ClientPort final : public StreamOwner, public Listener::Owner {
 public:
  ClientPort(uv_loop_t* loop, replica::Replica* replica, TurnStart* turn)
      : loop_(loop), replica_(replica), turn_(turn), limiter_(20, 10'000) {}
  ~ClientPort() override;

  absl::Status Listen(const Endpoint& endpoint);
  void StopListening() { listener_.reset(); }
  const Listener* listener() const { return listener_.get(); }

  // What the replica wants done (replica::Work). Clients that have gone meanwhile are ignored.
  void Write(replica::ClientId client, std::string bytes);
  void SetPaused(replica::ClientId client, bool paused);
  // Writes what is left, for a while, then closes; at once when others need the room.
  void Close(replica::ClientId client);
  void CloseAll();

  // Ends those whose time to take their last bytes is over.
  void AdvanceTime(uint64_t now_us);
  uint64_t next_deadline_us() const;

  size_t connections() const { return streams_.size(); }

 private:
  static constexpr uint64_t kLingerUs = 2'000'000;

  void ConnectionWaiting(uv_tcp_t* listener) override;
  void AcceptFailed(absl::string_view reason) override;
  void StreamConnected(uint64_t) override {}
  void StreamBytes(uint64_t id, absl::string_view bytes) override;
  void StreamWritten(uint64_t id, size_t bytes) override;
  void StreamFinished(uint64_t id) override;
  void StreamEnded(uint64_t id, absl::string_view reason) override;
  Stream* Find(uint64_t id) const;
  using Lingering = std::map<replica::ClientId, uint64_t>;
  Lingering::iterator EndLingering(Lingering::iterator client);

  uv_loop_t* loop_;
  replica::Replica* replica_;
  TurnStart* turn_;
  LogLimiter limiter_;
  std::unique_ptr<Listener> listener_;
  replica::ClientId last_id_ = 0;
  std::map<replica::ClientId, Stream*> streams_;
  Lingering lingering_;  // closing, and until when
  uint64_t now_us_ = 0;
};

}  // namespace raftkv::net
