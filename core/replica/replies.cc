// What clients are told: results of data commands, and the state of the node.
#include <algorithm>
#include <limits>
#include <string>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/kv/limits.h"
#include "core/replica/commands.h"

namespace raftkv::replica {
namespace {

// ---- Results ----

std::string ErrorOf(kv::OpError error) {
  switch (error) {
    case kv::OpError::kNotAnInteger:
      return "ERR value is not an integer or out of range";
    case kv::OpError::kOverflow:
      return "ERR increment or decrement would overflow";
    case kv::OpError::kKeyTooLarge:
      return absl::StrCat("ERR key is too large, the limit is ", kv::kMaxKeyBytes, " bytes");
    case kv::OpError::kValueTooLarge:
      return absl::StrCat("ERR value would be too large, the limit is ", kv::kMaxValueBytes,
                          " bytes");
    case kv::OpError::kReplyTooLarge:
      return absl::StrCat("ERR reply would be too large, the limit is ", kv::kMaxReplyBytes,
                          " bytes: ask for less at a time");
  }
  return "ERR unknown error of an operation";
}

std::string ErrorOf(const kv::Result& result) {
  switch (result.outcome) {
    case kv::Outcome::kOk:
      break;
    case kv::Outcome::kGuardFailed:
      return absl::StrCat("ERR guard ", result.failed_guard,
                          " failed: nothing was changed, its key has version ",
                          result.observed_version);
    case kv::Outcome::kUnknownSession:
      return "SESSIONUNKNOWN the session does not exist (expired, evicted or closed): not executed "
             "by this try";
    case kv::Outcome::kStaleSequence:
      return "UNKNOWN the session has forgotten this sequence: not executed by this try, an "
             "earlier "
             "one may have been";
    case kv::Outcome::kReplyNotKept:
      return absl::StrCat("APPLIED at index ", result.index,
                          " by an earlier try, whose reply was too large to be remembered");
    case kv::Outcome::kUnsupportedLevel:
      return "NOTAPPLIED the command needs a feature level to which this cluster has not been "
             "raised";
    case kv::Outcome::kMalformed:
      return "ERR malformed command: no node executes it";
  }
  return "UNKNOWN the result cannot be understood by this node";
}

// The result is not one that the command can have: a bug of the node that sent it.
void Misfit(wire::RespWriter* writer) {
  writer->Error("UNKNOWN the result does not fit the command");
}

void WriteInteger(uint64_t value, wire::RespWriter* writer) {
  writer->Integer(
      static_cast<int64_t>(std::min<uint64_t>(value, std::numeric_limits<int64_t>::max())));
}

// A value, or null for what does not exist.
void WriteValue(const kv::OpResult& op, wire::RespWriter* writer) {
  if (const auto* found = std::get_if<kv::VersionedValue>(&op)) {
    writer->Bulk(found->value.view());
  } else {
    writer->Null();
  }
}

bool IsValueOrNil(const kv::OpResult& op) {
  return std::holds_alternative<kv::VersionedValue>(op) || std::holds_alternative<kv::Nil>(op);
}

void WriteSum(const kv::Result& result, wire::RespWriter* writer) {
  int64_t sum = 0;
  for (const kv::OpResult& op : result.ops) {
    const int64_t* number = std::get_if<int64_t>(&op);
    if (number == nullptr || *number < 0 || *number > 1) return Misfit(writer);
    sum += *number;
  }
  writer->Integer(sum);
}

void WriteValues(const kv::Result& result, wire::RespWriter* writer) {
  if (!std::all_of(result.ops.begin(), result.ops.end(), IsValueOrNil)) return Misfit(writer);
  writer->Array(result.ops.size());
  for (const kv::OpResult& op : result.ops) WriteValue(op, writer);
}

void WritePage(const kv::Page& page, bool values, wire::RespWriter* writer) {
  writer->Array(2);
  if (page.more) {
    writer->Bulk(page.next);
  } else {
    writer->Null();
  }
  writer->Array(page.entries.size() * (values ? 2 : 1));
  for (const kv::PageEntry& entry : page.entries) {
    writer->Bulk(entry.key);
    if (values) writer->Bulk(entry.value.view());
  }
}

void WriteSwap(const kv::Result& result, wire::RespWriter* writer) {
  const bool swapped = std::holds_alternative<kv::Done>(result.ops[0]);
  const auto* not_met = std::get_if<kv::ConditionNotMet>(&result.ops[0]);
  if (!swapped && not_met == nullptr) return Misfit(writer);
  writer->Array(2);
  writer->Integer(swapped ? 1 : 0);
  WriteInteger(swapped ? result.index : not_met->observed_version, writer);
}

void WriteVersioned(const kv::OpResult& op, wire::RespWriter* writer) {
  if (std::holds_alternative<kv::Nil>(op)) return writer->Null();
  const auto* found = std::get_if<kv::VersionedValue>(&op);
  if (found == nullptr) return Misfit(writer);
  writer->Array(2);
  WriteInteger(found->version, writer);
  writer->Bulk(found->value.view());
}

// ---- The node ----

absl::string_view RoleOf(const NodeStatus& status) {
  switch (status.role) {
    case raft::RoleName::kLeader:
      return "leader";
    case raft::RoleName::kCandidate:
      return "candidate";
    case raft::RoleName::kPreCandidate:
      return "precandidate";
    case raft::RoleName::kFollower:
      break;
  }
  const auto& learners = status.conf.learners;
  return std::find(learners.begin(), learners.end(), status.node) != learners.end() ? "learner"
                                                                                    : "follower";
}

bool Contains(const std::vector<raft::NodeId>& ids, raft::NodeId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

absl::string_view MembershipOf(const raft::ConfState& conf, raft::NodeId id) {
  if (Contains(conf.voters, id)) return "voter";
  if (Contains(conf.voters_outgoing, id)) return "leaving voter";
  if (Contains(conf.learners, id) || Contains(conf.learners_next, id)) return "learner";
  return "none";
}

std::string ClientAddress(const NodeStatus& status, raft::NodeId id) {
  const Member* member = status.members == nullptr ? nullptr : status.members->Find(id);
  return member == nullptr ? std::string() : member->client_address;
}

void WriteStatusMap(const NodeStatus& status, wire::RespWriter* writer) {
  struct Field {
    absl::string_view name;
    std::variant<uint64_t, std::string> value;
  };
  // Each value is one line of text or one number, so that a script can read it.
  const Field fields[] = {
      {"node", absl::StrCat(status.node)},
      {"incarnation", absl::StrCat(status.incarnation)},
      {"cluster", status.cluster},
      {"address", ClientAddress(status, status.node)},
      {"role", std::string(RoleOf(status))},
      {"term", status.term},
      {"leader", absl::StrCat(status.leader)},
      {"leader_address", ClientAddress(status, status.leader)},
      {"commit", status.commit},
      {"applied", status.applied},
      {"digest", status.digest},
      {"durable", status.durable},
      {"first", status.first},
      {"last", status.last},
      {"snapshot", status.snapshot},
      {"keys", status.keys},
      {"store_bytes", status.store_bytes},
      {"sessions", status.sessions},
      {"clients", status.clients},
      {"voters", absl::StrJoin(status.conf.voters, ",")},
      {"learners", absl::StrJoin(status.conf.learners, ",")},
      {"stopping", uint64_t{status.stopping}},
      {"disk_full", uint64_t{status.disk_full}},
      {"repair", status.repair},
      {"scrub_passes", status.scrub.passes},
      {"scrub_bytes", status.scrub.bytes},
      {"scrub_findings", status.scrub.findings},
      {"snapshot_due_bytes", status.snapshot_due_bytes},
      {"taking_snapshot", uint64_t{status.taking_snapshot}},
      {"sending_snapshots", status.sending_snapshots},
      {"receiving_snapshot", uint64_t{status.receiving_snapshot}},
      {"longest_turn_us", status.longest_turn_us},
  };
  writer->Map(std::size(fields));
  for (const Field& field : fields) {
    writer->Bulk(field.name);
    if (const auto* text = std::get_if<std::string>(&field.value)) {
      writer->Bulk(*text);
    } else {
      WriteInteger(std::get<uint64_t>(field.value), writer);
    }
  }
}

void WriteMembers(const NodeStatus& status, wire::RespWriter* writer) {
  static const Members* const kNobody = new Members();
  const auto& all = (status.members == nullptr ? kNobody : status.members)->all();
  writer->Array(all.size());
  for (const auto& [id, member] : all) {
    writer->Map(6);
    writer->Bulk("node");
    writer->Bulk(absl::StrCat(id));
    writer->Bulk("membership");
    writer->Bulk(MembershipOf(status.conf, id));
    writer->Bulk("peer_address");
    writer->Bulk(member.peer_address);
    writer->Bulk("client_address");
    writer->Bulk(member.client_address);
    writer->Bulk("incarnation");
    writer->Bulk(absl::StrCat(member.incarnation));
    writer->Bulk("leader");
    writer->Bool(id == status.leader);
  }
}

// ---- INFO ----

void WriteInfo(StatusRequest what, const NodeStatus& status, wire::RespWriter* writer) {
  std::string text;
  const auto section = [&](StatusRequest request, absl::string_view title,
                           const std::string& lines) {
    if (what != StatusRequest::kInfo && what != request) return;
    absl::StrAppend(&text, text.empty() ? "" : "\r\n", "# ", title, "\r\n", lines);
  };
  section(StatusRequest::kInfoServer, "Server",
          absl::StrCat("redis_version:7.0.0\r\nredis_mode:cluster\r\nserver_name:raftkv\r\n",
                       "raftkv_version:", RAFTKV_VERSION, "\r\n"));
  section(StatusRequest::kInfoClients, "Clients",
          absl::StrCat("connected_clients:", status.clients, "\r\n"));
  section(StatusRequest::kInfoMemory, "Memory",
          absl::StrCat("used_memory_dataset:", status.store_bytes, "\r\n"));
  section(
      StatusRequest::kInfoPersistence, "Persistence",
      absl::StrCat(
          "loading:0\r\naof_enabled:1\r\naof_last_write_status:", status.disk_full ? "err" : "ok",
          "\r\nrepair:", status.repair, "\r\nscrub_passes:", status.scrub.passes,
          "\r\nscrub_bytes:", status.scrub.bytes, "\r\nscrub_findings:", status.scrub.findings,
          "\r\nrdb_bgsave_in_progress:", status.taking_snapshot ? 1 : 0, "\r\nsnapshot_due_bytes:",
          status.snapshot_due_bytes, "\r\nsending_snapshots:", status.sending_snapshots,
          "\r\nreceiving_snapshot:", status.receiving_snapshot ? 1 : 0, "\r\n"));
  section(StatusRequest::kInfoStatistics, "Stats",
          absl::StrCat("longest_turn_us:", status.longest_turn_us, "\r\n"));
  // Every node takes writes (followers forward them), so to a Redis client each one is a master.
  section(StatusRequest::kInfoReplication, "Replication",
          absl::StrCat("role:master\r\nconnected_slaves:0\r\nmaster_repl_offset:", status.commit,
                       "\r\n"));
  section(StatusRequest::kInfoRaft, "Raft",
          absl::StrCat("node:", status.node, "\r\nraft_role:", RoleOf(status),
                       "\r\nterm:", status.term, "\r\nleader:", status.leader,
                       "\r\ncommit:", status.commit, "\r\napplied:", status.applied,
                       "\r\ndigest:", status.digest, "\r\nsessions:", status.sessions, "\r\n"));
  section(StatusRequest::kInfoCluster, "Cluster", "cluster_enabled:1\r\n");
  section(StatusRequest::kInfoKeyspace, "Keyspace",
          status.keys == 0 ? std::string()
                           : absl::StrCat("db0:keys=", status.keys, ",expires=0,avg_ttl=0\r\n"));
  writer->Verbatim("txt", text);
}

// ---- CLUSTER ----

struct Endpoint {
  std::string host;
  uint64_t port = 0;
};

// "host:port" or "[v6]:port"; the address was checked when the member was added.
Endpoint Split(absl::string_view address) {
  Endpoint endpoint;
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return {std::string(address), 0};
  absl::string_view host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  endpoint.host = std::string(host);
  for (const char c : address.substr(colon + 1)) {
    if (c < '0' || c > '9' || endpoint.port > 65535) return {endpoint.host, 0};
    endpoint.port = endpoint.port * 10 + static_cast<uint64_t>(c - '0');
  }
  return endpoint;
}

// Redis Cluster's node ids are 40 hexadecimal digits: ours are unique in the world and stable.
std::string ClusterNodeId(const NodeStatus& status, raft::NodeId id) {
  // Short cluster ids are filled up on the left: the right end tells most.
  std::string cluster = absl::StrCat(std::string(24, '0'), status.cluster);
  cluster.erase(0, cluster.size() - 24);
  return absl::StrCat(cluster, absl::Hex(id, absl::kZeroPad16));
}

struct ClusterNode {
  raft::NodeId id = raft::kNoNode;
  const Member* member = nullptr;
  bool master = false;
};

// All members, the one to send commands to first: the leader, or this node while there is none, as
// every node serves. It is the master of all slots and the others are its replicas.
std::vector<ClusterNode> ClusterNodesOf(const NodeStatus& status) {
  std::vector<ClusterNode> nodes;
  if (status.members == nullptr) return nodes;
  const raft::NodeId first =
      status.members->Find(status.leader) != nullptr ? status.leader : status.node;
  if (const Member* member = status.members->Find(first)) nodes.push_back({first, member, true});
  for (const auto& [id, member] : status.members->all()) {
    if (id != first) nodes.push_back({id, &member, false});
  }
  return nodes;
}

void WriteClusterSlots(const NodeStatus& status, wire::RespWriter* writer) {
  const std::vector<ClusterNode> nodes = ClusterNodesOf(status);
  if (nodes.empty()) return writer->Array(0);
  writer->Array(1);
  writer->Array(2 + nodes.size());
  writer->Integer(0);
  writer->Integer(16383);
  for (const ClusterNode& node : nodes) {
    const Endpoint endpoint = Split(node.member->client_address);
    writer->Array(3);
    writer->Bulk(endpoint.host);
    WriteInteger(endpoint.port, writer);
    writer->Bulk(ClusterNodeId(status, node.id));
  }
}

void WriteClusterShards(const NodeStatus& status, wire::RespWriter* writer) {
  const std::vector<ClusterNode> nodes = ClusterNodesOf(status);
  if (nodes.empty()) return writer->Array(0);
  writer->Array(1);
  writer->Map(2);
  writer->Bulk("slots");
  writer->Array(2);
  writer->Integer(0);
  writer->Integer(16383);
  writer->Bulk("nodes");
  writer->Array(nodes.size());
  for (const ClusterNode& node : nodes) {
    const Endpoint endpoint = Split(node.member->client_address);
    writer->Map(7);
    writer->Bulk("id");
    writer->Bulk(ClusterNodeId(status, node.id));
    writer->Bulk("port");
    WriteInteger(endpoint.port, writer);
    writer->Bulk("ip");
    writer->Bulk(endpoint.host);
    writer->Bulk("endpoint");
    writer->Bulk(endpoint.host);
    writer->Bulk("role");
    writer->Bulk(node.master ? "master" : "replica");
    writer->Bulk("replication-offset");
    WriteInteger(status.commit, writer);
    writer->Bulk("health");
    writer->Bulk("online");
  }
}

void WriteClusterNodes(const NodeStatus& status, wire::RespWriter* writer) {
  std::string text;
  std::string master_id = "-";
  for (const ClusterNode& node : ClusterNodesOf(status)) {
    const Endpoint endpoint = Split(node.member->client_address);
    const std::string id = ClusterNodeId(status, node.id);
    absl::StrAppend(&text, id, " ", endpoint.host, ":", endpoint.port, "@",
                    Split(node.member->peer_address).port, " ",
                    node.id == status.node ? "myself," : "", node.master ? "master" : "slave", " ",
                    master_id, " 0 0 ", status.term, " connected", node.master ? " 0-16383" : "",
                    "\n");
    if (node.master) master_id = id;
  }
  writer->Verbatim("txt", text);
}

void WriteClusterInfo(const NodeStatus& status, wire::RespWriter* writer) {
  const bool ok = status.leader != raft::kNoNode;
  writer->Verbatim(
      "txt", absl::StrCat("cluster_enabled:1\r\ncluster_state:", ok ? "ok" : "fail",
                          "\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:", ok ? 16384 : 0,
                          "\r\ncluster_slots_pfail:0\r\ncluster_slots_fail:", ok ? 0 : 16384,
                          "\r\ncluster_known_nodes:",
                          status.members == nullptr ? 0 : status.members->all().size(),
                          "\r\ncluster_size:1\r\ncluster_current_epoch:", status.term,
                          "\r\ncluster_my_epoch:", status.term, "\r\n"));
}

}  // namespace

void WriteStatus(StatusRequest what, const NodeStatus& status, wire::RespWriter* writer) {
  switch (what) {
    case StatusRequest::kStatus:
      return WriteStatusMap(status, writer);
    case StatusRequest::kMembers:
      return WriteMembers(status, writer);
    case StatusRequest::kInfo:
    case StatusRequest::kInfoServer:
    case StatusRequest::kInfoClients:
    case StatusRequest::kInfoMemory:
    case StatusRequest::kInfoPersistence:
    case StatusRequest::kInfoStatistics:
    case StatusRequest::kInfoReplication:
    case StatusRequest::kInfoRaft:
    case StatusRequest::kInfoCluster:
    case StatusRequest::kInfoKeyspace:
    case StatusRequest::kInfoNothing:
      return WriteInfo(what, status, writer);
    case StatusRequest::kClusterSlots:
      return WriteClusterSlots(status, writer);
    case StatusRequest::kClusterShards:
      return WriteClusterShards(status, writer);
    case StatusRequest::kClusterNodes:
      return WriteClusterNodes(status, writer);
    case StatusRequest::kClusterInfo:
      return WriteClusterInfo(status, writer);
    case StatusRequest::kClusterMyId:
      return writer->Bulk(ClusterNodeId(status, status.node));
    case StatusRequest::kResetStatistics:
      return writer->Ok();
  }
}

void WriteResult(ReplyShape shape, const kv::Result& result, wire::RespWriter* writer) {
  if (result.outcome == kv::Outcome::kGuardFailed && shape == ReplyShape::kSetNx) {
    return writer->Integer(0);
  }
  if (result.outcome != kv::Outcome::kOk) return writer->Error(ErrorOf(result));
  if (result.ops.empty()) return Misfit(writer);
  for (const kv::OpResult& op : result.ops) {
    if (const auto* error = std::get_if<kv::OpError>(&op)) return writer->Error(ErrorOf(*error));
  }
  const kv::OpResult& first = result.ops[0];
  const bool not_met = std::holds_alternative<kv::ConditionNotMet>(first);
  switch (shape) {
    case ReplyShape::kOk:
      return writer->Ok();
    case ReplyShape::kSet:
      return not_met ? writer->Null() : writer->Ok();
    case ReplyShape::kSetNx:
      return writer->Integer(not_met ? 0 : 1);
    case ReplyShape::kSetGet:
    case ReplyShape::kValue:
      return IsValueOrNil(first) ? WriteValue(first, writer) : Misfit(writer);
    case ReplyShape::kInteger:
      if (const auto* number = std::get_if<int64_t>(&first)) return writer->Integer(*number);
      return Misfit(writer);
    case ReplyShape::kSum:
      return WriteSum(result, writer);
    case ReplyShape::kValues:
      return WriteValues(result, writer);
    case ReplyShape::kVersioned:
      return WriteVersioned(first, writer);
    case ReplyShape::kSwap:
      return WriteSwap(result, writer);
    case ReplyShape::kPage:
    case ReplyShape::kKeys:
      if (const auto* page = std::get_if<kv::Page>(&first)) {
        return WritePage(*page, shape == ReplyShape::kPage, writer);
      }
      return Misfit(writer);
  }
}

uint64_t ReplyBytes(const kv::Result& result) {
  constexpr uint64_t kHeader = 16;
  uint64_t bytes = kHeader;
  for (const kv::OpResult& op : result.ops) {
    bytes += kHeader;
    if (const auto* found = std::get_if<kv::VersionedValue>(&op)) bytes += found->value.size();
    if (const auto* page = std::get_if<kv::Page>(&op)) {
      for (const kv::PageEntry& entry : page->entries) {
        bytes += 2 * kHeader + entry.key.size() + entry.value.size();
      }
    }
  }
  return bytes;
}

}  // namespace raftkv::replica
