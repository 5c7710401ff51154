// The two smallest records: identity and vote. docs/formats/identity.md and docs/formats/vote.md.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "core/raft/types.h"
#include "storage/identity.h"
#include "storage/slots.h"

namespace raftkv::storage {

SlotFile IdentityFile();
std::string EncodeIdentity(const Identity& identity);
std::optional<Identity> DecodeIdentity(absl::string_view payload);

// Term and vote of one incarnation of one node: on another's disk they would be a lie.
struct VoteRecord {
  raft::HardState hard_state;
  raft::NodeId node = raft::kNoNode;
  uint64_t incarnation = 0;
  uint64_t group = 0;
};

SlotFile VoteFile(const ClusterId& cluster);
std::string EncodeVote(const VoteRecord& record);
std::optional<VoteRecord> DecodeVote(absl::string_view payload);

}  // namespace raftkv::storage
