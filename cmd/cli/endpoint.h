// Where a node listens for clients, as people type it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace raftkv::cli {

inline constexpr uint16_t kDefaultPort = 7400;

struct Endpoint {
  std::string host;
  uint16_t port = kDefaultPort;

  std::string ToString() const;  // "host:port", "[::1]:7400"
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// "host", "host:port", "[v6]:port", "[v6]". InvalidArgument that repeats the text.
absl::StatusOr<Endpoint> ParseEndpoint(absl::string_view text);

// The same, separated by commas; at least one.
absl::StatusOr<std::vector<Endpoint>> ParseEndpoints(absl::string_view text);

}  // namespace raftkv::cli
