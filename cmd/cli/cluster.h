// The cluster as a client sees it: several endpoints of which some may be down, and one leader.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cmd/cli/connection.h"
#include "cmd/cli/endpoint.h"
#include "core/wire/resp.h"

namespace raftkv::cli {

// A reply that is a list of names and values, in either protocol version.
using Fields = std::map<std::string, std::string>;
Fields ReadFields(const wire::RespValue& reply);

class Cluster {
 public:
  // `endpoints`: at least one, tried in this order. `resp3`: connections say HELLO 3.
  Cluster(std::vector<Endpoint> endpoints, int timeout_ms, bool resp3)
      : endpoints_(std::move(endpoints)), timeout_ms_(timeout_ms), resp3_(resp3) {}

  // One command to the node we are connected to, or the first one that can be reached. When a
  // connection is lost the command is not repeated: it may have been executed. The next call goes
  // to another node.
  absl::StatusOr<wire::RespValue> Call(absl::Span<const absl::string_view> words);

  // One command to the leader, as far as the nodes know one; otherwise to any node.
  absl::StatusOr<wire::RespValue> CallLeader(absl::Span<const absl::string_view> words);

  // What a node says of itself, or why it does not.
  struct Node {
    Endpoint endpoint;
    std::string id;  // "-": only the endpoint is known
    absl::Status reachable;
    Fields status;  // of KV.STATUS; empty when it has not answered
  };
  // All members and all endpoints given, ordered by id.
  std::vector<Node> Survey();

  // Where the next Call goes; nothing before the first.
  std::optional<Endpoint> connected() const;

 private:
  // A connection to any endpoint, beginning behind the one that failed last.
  absl::Status Connect();
  absl::StatusOr<Connection> Open(const Endpoint& endpoint) const;

  std::vector<Endpoint> endpoints_;
  int timeout_ms_;
  bool resp3_;
  size_t first_ = 0;  // endpoint to try first
  std::optional<Connection> connection_;
};

}  // namespace raftkv::cli
