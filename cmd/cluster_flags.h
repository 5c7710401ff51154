// The identities that `raftkv init` writes: cluster ids and founding members, as people type them.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/raft/types.h"
#include "core/replica/members.h"
#include "storage/identity.h"

namespace raftkv {

// 1 to 32 hexadecimal digits, not all zero; short ones are filled up with zeros on the left.
absl::StatusOr<storage::ClusterId> ParseClusterIdFlag(absl::string_view text);

struct MemberAddresses {
  std::string peer;
  std::string client;
};

// "host:port" or "host:port/client_host:client_port". Without a client address it is the same host,
// one port below.
absl::StatusOr<MemberAddresses> ParseMemberAddresses(absl::string_view text);

// "1=127.0.0.1:7401,2=127.0.0.1:7411/db2.example.com:7410". Refuses an empty list, the id 0, an id
// or an address that is there twice, and more than kMaxVoters.
inline constexpr size_t kMaxVoters = 9;
absl::StatusOr<std::map<raft::NodeId, MemberAddresses>> ParseMemberList(absl::string_view text);

// Founding members are initialised one by one, on machines that know nothing of each other yet, and
// must come to the same table: so their incarnations follow from cluster and node. A node that
// joins later draws its own.
uint64_t FoundingIncarnation(const storage::ClusterId& cluster, raft::NodeId node);

replica::Members FoundingMembers(const storage::ClusterId& cluster,
                                 const std::map<raft::NodeId, MemberAddresses>& list);

}  // namespace raftkv
