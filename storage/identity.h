// Who a data directory belongs to. Written once, by Storage::Init, and checked at every start: a
// node that comes up on another node's disk, on a disk of another cluster or on an empty one must
// not vote (thesis, section 11.7.3 and the catalogue of real failures).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "core/raft/types.h"

namespace raftkv::storage {

// 128 bits drawn at `raftkv init`, never zero.
struct ClusterId {
  uint64_t high = 0;
  uint64_t low = 0;

  bool empty() const { return high == 0 && low == 0; }
  friend bool operator==(const ClusterId&, const ClusterId&) = default;
};

std::string ToHex(const ClusterId& id);  // 32 lower-case hexadecimal digits
std::optional<ClusterId> ParseClusterId(absl::string_view hex);

struct Identity {
  ClusterId cluster;
  raft::NodeId node = raft::kNoNode;
  uint64_t incarnation = 0;  // one life of a node's disk: 1 for the first, higher after a wipe
  uint64_t group = 0;        // which Raft group of the node; 0 today
  uint64_t created_ms = 0;   // Unix time in milliseconds, for people only; the caller supplies it

  friend bool operator==(const Identity&, const Identity&) = default;
};

// What the caller believes about the directory; unset fields are not checked.
struct ExpectedIdentity {
  std::optional<ClusterId> cluster;
  std::optional<raft::NodeId> node;
};

}  // namespace raftkv::storage
