// A plain socket to a node, and a Redis client on top of it. Blocking, with deadlines.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/wire/resp.h"

namespace raftkv::e2e {

inline constexpr int kPatienceMs = 20'000;

class Connection {
 public:
  // nullptr when nobody listens or `timeout_ms` is over.
  static std::unique_ptr<Connection> Open(uint16_t port, int timeout_ms = kPatienceMs);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // False when the other side is gone or takes nothing for `timeout_ms`.
  bool Send(absl::string_view bytes, int timeout_ms = kPatienceMs);
  // As much as the kernel takes at once.
  size_t SendSome(absl::string_view bytes);
  // The next bytes; empty at the end of the stream, nullopt when none came in time.
  std::optional<std::string> Receive(int timeout_ms = kPatienceMs);
  void FinishSending();
  // Whether the other side has closed. Drops what it sent before.
  bool Closed();

 private:
  explicit Connection(int descriptor) : descriptor_(descriptor) {}
  bool WaitFor(short events, int timeout_ms);

  int descriptor_;
};

class RedisClient {
 public:
  static std::unique_ptr<RedisClient> Open(uint16_t port, int timeout_ms = kPatienceMs);

  void Request(const std::vector<std::string>& words, std::string* bytes);
  // Whatever becomes of it, a reply or nothing: then the connection is of no more use.
  std::optional<wire::RespValue> Call(const std::vector<std::string>& words,
                                      int timeout_ms = kPatienceMs);
  std::optional<wire::RespValue> NextReply(int timeout_ms = kPatienceMs);
  Connection& connection() { return *connection_; }

 private:
  std::unique_ptr<Connection> connection_;
  wire::RespReplyReader reader_;
};

// What Show says when there is no answer: the connection is gone, or it took too long.
inline constexpr absl::string_view kNoReply = "(no reply)";
// A reply as redis-cli would show it, roughly: for comparisons in tests.
std::string Show(const std::optional<wire::RespValue>& value);

}  // namespace raftkv::e2e
