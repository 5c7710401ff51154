// Who is in the cluster and where: the part of the replicated state that membership entries write.
//
// Every membership entry carries, for each node it adds, the node's incarnation and addresses (its
// MembershipChange::context), so that all replicas agree on them at every index, and a snapshot has
// them too. Flags only help a node to find its first peer.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/raft/types.h"

namespace raftkv::replica {

inline constexpr size_t kMaxAddressBytes = 255;

struct Member {
  // Which life of the node's disk; messages of any other are refused. Never 0.
  uint64_t incarnation = 0;
  std::string peer_address;    // "host:port"
  std::string client_address;  // "host:port"
  friend bool operator==(const Member&, const Member&) = default;
};

class Members {
 public:
  // nullptr when unknown.
  const Member* Find(raft::NodeId id) const;
  const std::map<raft::NodeId, Member>& all() const { return members_; }

  void Set(raft::NodeId id, Member member) { members_[id] = std::move(member); }
  // Keeps only the members of `conf`.
  void Retain(const raft::ConfState& conf);

  // Canonical: equal tables give equal bytes. Decode is total; nullopt for anything Encode cannot
  // have written.
  std::string Encode() const;
  static std::optional<Members> Decode(absl::string_view bytes);

  friend bool operator==(const Members&, const Members&) = default;

 private:
  std::map<raft::NodeId, Member> members_;
};

}  // namespace raftkv::replica
