#include "cmd/cluster_flags.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/raft/random.h"
#include "net/endpoint.h"

namespace raftkv {

absl::StatusOr<storage::ClusterId> ParseClusterIdFlag(absl::string_view text) {
  const std::string padded =
      text.size() < 32 ? absl::StrCat(std::string(32 - text.size(), '0'), text) : std::string(text);
  const std::optional<storage::ClusterId> id =
      storage::ParseClusterId(absl::AsciiStrToLower(padded));
  if (text.empty() || !id || id->empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", text, "' is no cluster id (1 to 32 hexadecimal digits, not all of them zero)"));
  }
  return *id;
}

absl::StatusOr<MemberAddresses> ParseMemberAddresses(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(text, absl::MaxSplits('/', 1));
  const absl::StatusOr<net::Endpoint> peer = net::ParseEndpoint(halves.first);
  if (!peer.ok()) return peer.status();
  net::Endpoint client{peer->host, static_cast<uint16_t>(peer->port - 1)};
  if (text.size() != halves.first.size()) {
    const absl::StatusOr<net::Endpoint> given = net::ParseEndpoint(halves.second);
    if (!given.ok()) return given.status();
    client = *given;
  }
  if (peer->port == 0 || client.port == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "': a member cannot be reached at port 0"));
  }
  return MemberAddresses{net::ToString(*peer), net::ToString(client)};
}

absl::StatusOr<std::map<raft::NodeId, MemberAddresses>> ParseMemberList(absl::string_view text) {
  std::map<raft::NodeId, MemberAddresses> list;
  std::set<std::string> addresses;
  if (absl::StripAsciiWhitespace(text).empty()) {
    return absl::InvalidArgumentError("the list names nobody");
  }
  for (absl::string_view item : absl::StrSplit(text, ',')) {
    item = absl::StripAsciiWhitespace(item);
    const size_t equals = item.find('=');
    raft::NodeId id = raft::kNoNode;
    if (equals == absl::string_view::npos || !absl::SimpleAtoi(item.substr(0, equals), &id) ||
        id == raft::kNoNode) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", item, "' is no member (expected id=host:port, id from 1)"));
    }
    absl::StatusOr<MemberAddresses> parsed = ParseMemberAddresses(item.substr(equals + 1));
    if (!parsed.ok()) return parsed.status();
    for (const std::string& address : {parsed->peer, parsed->client}) {
      if (!addresses.insert(address).second) {
        return absl::InvalidArgumentError(absl::StrCat("the address ", address, " is there twice"));
      }
    }
    if (!list.emplace(id, *std::move(parsed)).second) {
      return absl::InvalidArgumentError(absl::StrCat("node ", id, " is there twice"));
    }
  }
  if (list.size() > kMaxVoters) {
    return absl::InvalidArgumentError(
        absl::StrCat(list.size(), " founding members, the limit is ", kMaxVoters));
  }
  return list;
}

uint64_t FoundingIncarnation(const storage::ClusterId& cluster, raft::NodeId node) {
  const std::string name =
      absl::StrCat("founding incarnation ", storage::ToHex(cluster), " ", node);
  return std::max<uint64_t>(1, HashBytes(name));
}

replica::Members FoundingMembers(const storage::ClusterId& cluster,
                                 const std::map<raft::NodeId, MemberAddresses>& list) {
  replica::Members members;
  for (const auto& [id, addresses] : list) {
    members.Set(id, {FoundingIncarnation(cluster, id), addresses.peer, addresses.client});
  }
  return members;
}

}  // namespace raftkv
