// The commands that clients know: words of the Redis protocol to requests, results to replies.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/kv/command.h"
#include "core/kv/result.h"
#include "core/raft/raft.h"
#include "core/replica/members.h"
#include "core/wire/resp.h"

namespace raftkv::replica {

// How the result of a data command is told to a client.
enum class ReplyShape : uint8_t {
  kOk,         // +OK: MSET, KV.SESSION CLOSE
  kSet,        // +OK, or null when the condition did not hold: SET
  kSetGet,     // the value before, or null: SET ... GET, GETSET, GETDEL
  kSetNx,      // 1 or 0: SETNX, MSETNX
  kValue,      // bytes or null: GET
  kInteger,    // APPEND, STRLEN, INCRBY, DBSIZE, KV.SESSION OPEN
  kSum,        // sum of all results: DEL, EXISTS
  kValues,     // array of bytes or null: MGET
  kVersioned,  // [version, value] or null: KV.GET
  kSwap,       // [1, new version] or [0, version found]: KV.CAS
  kPage,       // [next cursor or null, [key, value, key, value, ...]]: KV.RANGE, KV.PREFIX
  kKeys,       // the same without values
};

struct DataRequest {
  kv::Command command;  // views into the request's arguments; time_ms unset
  ReplyShape shape = ReplyShape::kOk;
  bool read_only = false;
};

struct MemberRequest {
  enum class Kind : uint8_t { kAdd, kPromote, kRemove };
  Kind kind = Kind::kAdd;
  raft::NodeId node = raft::kNoNode;
  Member member;  // kAdd
};

struct TransferRequest {
  raft::NodeId target = raft::kNoNode;  // kNoNode: whichever follower is furthest
};

// Answered from this node's own state, not through the log.
enum class StatusRequest : uint8_t {
  kStatus,   // KV.STATUS: a map of field and value
  kMembers,  // KV.MEMBER LIST
  kInfo,     // INFO: all sections, or the one that was asked for
  kInfoServer,
  kInfoClients,
  kInfoMemory,
  kInfoPersistence,
  kInfoStatistics,
  kInfoReplication,
  kInfoRaft,
  kInfoCluster,
  kInfoKeyspace,
  kInfoNothing,   // a section that does not exist
  kClusterSlots,  // CLUSTER SLOTS
  kClusterShards,
  kClusterNodes,
  kClusterInfo,
  kClusterMyId,
  kResetStatistics,  // CONFIG RESETSTAT; answered with OK
};

// Answered by the connection itself; nothing else has to be done.
struct Answered {
  std::string reply;   // RESP, in the connection's version
  bool close = false;  // after the reply: QUIT, protocol errors
};

using Request = std::variant<Answered, DataRequest, MemberRequest, TransferRequest, StatusRequest>;

// What commands may ask and change about their connection.
struct ConnectionState {
  uint64_t id = 0;
  wire::RespVersion version = wire::RespVersion::k2;
  std::string name;          // CLIENT SETNAME
  std::string library_name;  // CLIENT SETINFO
  std::string library_version;
};

// Total: whatever the words, the answer is a Request (an Answered with an error when they make
// none).
Request ParseCommand(absl::Span<const absl::string_view> words, ConnectionState* connection);
// The same into a request that is used again and again: a data command reuses the memory of the one
// before.
void ParseCommand(absl::Span<const absl::string_view> words, ConnectionState* connection,
                  Request* request);

// Since the start of the node, or its last repair.
struct ScrubCounters {
  uint64_t passes = 0;    // complete ones
  uint64_t bytes = 0;     // read
  uint64_t findings = 0;  // places that were not what was written
};

// Everything a client can ask about a node.
struct NodeStatus {
  raft::NodeId node = raft::kNoNode;
  uint64_t incarnation = 0;
  std::string cluster;  // 32 hexadecimal digits
  raft::RoleName role = raft::RoleName::kFollower;
  raft::Term term = 0;
  raft::NodeId leader = raft::kNoNode;
  raft::Index commit = 0, applied = 0, durable = 0, first = 0, last = 0, snapshot = 0;
  std::string
      digest;  // of the store at `applied`: equal digests at equal indexes mean equal stores
  uint64_t keys = 0, store_bytes = 0, sessions = 0, clients = 0;
  bool stopping = false;
  bool disk_full = false;
  // "repairing: waits for ..." or "suspicion: ...": what the disk lost and what is done about it.
  // Empty when nothing is lost.
  std::string repair;
  ScrubCounters scrub;
  // Log that may still come before the next snapshot, and what is being done with snapshots now.
  uint64_t snapshot_due_bytes = 0;
  bool taking_snapshot = false, receiving_snapshot = false;
  uint64_t sending_snapshots = 0;  // to so many peers
  // The longest turn of the driver's loop since the start or CONFIG RESETSTAT: nobody was listened
  // to for so long.
  uint64_t longest_turn_us = 0;
  raft::ConfState conf;
  const Members* members = nullptr;
};

void WriteStatus(StatusRequest what, const NodeStatus& status, wire::RespWriter* writer);

// Any outcome gives one reply: the value, or an error whose first word tells what the client may
// conclude.
//   -NOTAPPLIED ...      definitely not applied, now or later: trying again is safe
//   -UNKNOWN ...         may have been applied: only a session makes trying again safe
//   -APPLIED ...         applied by an earlier try of the session; only the reply is no longer
//   known -SESSIONUNKNOWN ...  the session does not exist (expired, evicted, closed); the command
//   was not executed by this try -ERR, -WRONGTYPE ... the command itself is wrong
void WriteResult(ReplyShape shape, const kv::Result& result, wire::RespWriter* writer);

// About how many bytes that reply takes.
uint64_t ReplyBytes(const kv::Result& result);

}  // namespace raftkv::replica
