// "host:port", as it stands in flags, in membership entries and in hellos.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace raftkv::net {

struct Endpoint {
  std::string host;  // a name, an IPv4 address, or an IPv6 address without its brackets
  uint16_t port = 0;

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// "127.0.0.1:7400", "[::1]:7400", "db1.example.com:7400". Port 0 is allowed: the system chooses one
// to listen on. InvalidArgument says what is wrong with which text.
absl::StatusOr<Endpoint> ParseEndpoint(absl::string_view text);

std::string ToString(const Endpoint& endpoint);

}  // namespace raftkv::net
