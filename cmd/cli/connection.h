// A blocking connection to one node.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cmd/cli/endpoint.h"
#include "core/wire/resp.h"

namespace raftkv::cli {

class Connection {
 public:
  // Every error names the endpoint. `timeout_ms` bounds connecting, and later each wait for bytes.
  static absl::StatusOr<Connection> Open(const Endpoint& endpoint, int timeout_ms);

  Connection(Connection&& other) noexcept;
  Connection& operator=(Connection&& other) noexcept;
  ~Connection();

  // One request, one reply (an error reply is a reply). After any other failure the connection is
  // of no use; the command may have been executed.
  absl::StatusOr<wire::RespValue> Call(absl::Span<const absl::string_view> words);
  absl::StatusOr<wire::RespValue> Call(std::initializer_list<absl::string_view> words) {
    return Call(absl::MakeConstSpan(words.begin(), words.size()));
  }

  const Endpoint& endpoint() const { return endpoint_; }

 private:
  Connection(Endpoint endpoint, int socket) : endpoint_(std::move(endpoint)), socket_(socket) {}
  absl::Status Lost(absl::string_view what) const;

  Endpoint endpoint_;
  int socket_ = -1;
  wire::RespReplyReader reader_;
};

}  // namespace raftkv::cli
