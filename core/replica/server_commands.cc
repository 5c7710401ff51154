// Commands about the node, the cluster and the commands themselves. What depends on the node's
// state becomes a StatusRequest, what changes the cluster a MemberRequest or a TransferRequest.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/replica/command_table.h"

namespace raftkv::replica {
namespace {

constexpr absl::string_view kSince = "0.1.0";

// '*' stands for any bytes, '?' for one; in any case, as names of commands and settings are.
bool Matches(absl::string_view pattern, absl::string_view name) {
  size_t p = 0, n = 0, star = absl::string_view::npos, tried = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      tried = n;
    } else if (p < pattern.size() &&
               (pattern[p] == '?' || EqualsIgnoringCase(pattern.substr(p, 1), name.substr(n, 1)))) {
      ++p;
      ++n;
    } else if (star != absl::string_view::npos) {
      p = star + 1;
      n = ++tried;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::vector<absl::string_view> FlagNames(const CommandSpec& spec) {
  std::vector<absl::string_view> names;
  for (const auto& [flag, name] : std::initializer_list<std::pair<uint32_t, absl::string_view>>{
           {kWrite, "write"},
           {kReadOnly, "readonly"},
           {kDenyOom, "denyoom"},
           {kAdmin, "admin"},
           {kFast, "fast"},
           {kMovableKeys, "movablekeys"}}) {
    if ((spec.flags & flag) != 0) names.push_back(name);
  }
  return names;
}

absl::string_view GroupName(CommandGroup group) {
  switch (group) {
    case CommandGroup::kGeneric:
      return "generic";
    case CommandGroup::kString:
      return "string";
    case CommandGroup::kConnection:
      return "connection";
    case CommandGroup::kServer:
      return "server";
    case CommandGroup::kCluster:
      return "cluster";
  }
  return "?";
}

std::vector<absl::string_view> Categories(const CommandSpec& spec) {
  std::vector<absl::string_view> names;
  if ((spec.flags & kReadOnly) != 0) names.push_back("@read");
  if ((spec.flags & kWrite) != 0) names.push_back("@write");
  if ((spec.flags & kAdmin) != 0) names.push_back("@admin");
  if (spec.group == CommandGroup::kString) names.push_back("@string");
  if (spec.group == CommandGroup::kConnection) names.push_back("@connection");
  if ((spec.flags & kData) != 0) names.push_back("@keyspace");
  names.push_back((spec.flags & kFast) != 0 ? "@fast" : "@slow");
  return names;
}

void WriteNames(const std::vector<absl::string_view>& names, wire::RespWriter* reply) {
  reply->Set(names.size());
  for (const absl::string_view name : names) reply->Simple(name);
}

void WriteKeySpecification(const CommandSpec& spec, wire::RespWriter* reply) {
  if (spec.keys.first == 0) return reply->Array(0);
  reply->Array(1);
  reply->Map(3);
  reply->Bulk("flags");
  WriteNames({(spec.flags & kWrite) != 0 ? "RW" : "RO"}, reply);
  reply->Bulk("begin_search");
  reply->Map(2);
  reply->Bulk("type");
  reply->Bulk("index");
  reply->Bulk("spec");
  reply->Map(1);
  reply->Bulk("index");
  reply->Integer(spec.keys.first);
  reply->Bulk("find_keys");
  reply->Map(2);
  reply->Bulk("type");
  reply->Bulk("range");
  reply->Bulk("spec");
  reply->Map(3);
  reply->Bulk("lastkey");
  reply->Integer(spec.keys.last < 0 ? spec.keys.last : spec.keys.last - spec.keys.first);
  reply->Bulk("keystep");
  reply->Integer(spec.keys.step);
  reply->Bulk("limit");
  reply->Integer(0);
}

void WriteInfo(const CommandSpec* container, const CommandSpec& spec, wire::RespWriter* reply) {
  reply->Array(10);
  reply->Bulk(FullName(container, spec));
  reply->Integer(spec.arity);
  WriteNames(FlagNames(spec), reply);
  reply->Integer(spec.keys.first);
  reply->Integer(spec.keys.last);
  reply->Integer(spec.keys.step);
  WriteNames(Categories(spec), reply);
  reply->Array(0);  // tips
  WriteKeySpecification(spec, reply);
  reply->Array(spec.subcommands.size());
  for (const CommandSpec& subcommand : spec.subcommands) WriteInfo(&spec, subcommand, reply);
}

void WriteDocs(const CommandSpec* container, const CommandSpec& spec, wire::RespWriter* reply) {
  reply->Bulk(FullName(container, spec));
  size_t fields = 3;
  if (!spec.syntax.empty()) ++fields;
  if (!spec.subcommands.empty()) ++fields;
  reply->Map(fields);
  reply->Bulk("summary");
  reply->Bulk(spec.summary);
  reply->Bulk("since");
  reply->Bulk(kSince);
  reply->Bulk("group");
  reply->Bulk(GroupName(spec.group));
  if (!spec.syntax.empty()) {
    // One argument that shows the whole syntax: what redis-cli prints as its hint.
    reply->Bulk("arguments");
    reply->Array(1);
    reply->Map(3);
    reply->Bulk("name");
    reply->Bulk(spec.syntax);
    reply->Bulk("type");
    reply->Bulk("string");
    reply->Bulk("display_text");
    reply->Bulk(spec.syntax);
  }
  if (!spec.subcommands.empty()) {
    reply->Bulk("subcommands");
    reply->Map(spec.subcommands.size());
    for (const CommandSpec& subcommand : spec.subcommands) WriteDocs(&spec, subcommand, reply);
  }
}

// "get" or "client|setname". Null when there is none.
const CommandSpec* FindByFullName(absl::string_view name, const CommandSpec** container) {
  *container = nullptr;
  const size_t bar = name.find('|');
  if (bar == absl::string_view::npos) return FindCommand(name);
  *container = FindCommand(name.substr(0, bar));
  return *container == nullptr ? nullptr : FindSubcommand(**container, name.substr(bar + 1));
}

void Ask(Call& call, StatusRequest what) { call.request->emplace<StatusRequest>(what); }

bool ParseNode(Call& call, absl::string_view word, raft::NodeId* node) {
  if (ParseUnsigned(word, node) && *node != raft::kNoNode) return true;
  Refuse(call, "ERR node id is not a positive integer");
  return false;
}

// "host:port" with a port that one can connect to.
bool CheckAddress(Call& call, absl::string_view what, absl::string_view address) {
  if (address.size() > kMaxAddressBytes) {
    Refuse(call, absl::StrCat("ERR ", what, " is ", address.size(), " bytes, the limit is ",
                              kMaxAddressBytes));
    return false;
  }
  const size_t colon = address.rfind(':');
  uint64_t port = 0;
  bool good = colon != absl::string_view::npos && colon > 0 &&
              ParseUnsigned(address.substr(colon + 1), &port) && port >= 1 && port <= 65535;
  for (const char c : address) good = good && c > ' ' && c <= '~';
  if (!good) {
    Refuse(call, absl::StrCat("ERR ", what, " is not host:port with a port from 1 to 65535"));
  }
  return good;
}

void Change(Call& call, MemberRequest::Kind kind) {
  MemberRequest change;
  change.kind = kind;
  if (!ParseNode(call, call.words[2], &change.node)) return;
  *call.request = std::move(change);
}

}  // namespace

// ---- COMMAND ----

void CallCommand(Call& call) {
  wire::RespWriter reply = Answer(call);
  reply.Array(CommandTable().size());
  for (const CommandSpec& spec : CommandTable()) WriteInfo(nullptr, spec, &reply);
}

void CallCommandCount(Call& call) {
  Answer(call).Integer(static_cast<int64_t>(CommandTable().size()));
}

void CallCommandInfo(Call& call) {
  if (call.words.size() == 2) return CallCommand(call);
  wire::RespWriter reply = Answer(call);
  reply.Array(call.words.size() - 2);
  for (const absl::string_view name : call.words.subspan(2)) {
    const CommandSpec* container = nullptr;
    if (const CommandSpec* spec = FindByFullName(name, &container)) {
      WriteInfo(container, *spec, &reply);
    } else {
      reply.NullArray();
    }
  }
}

void CallCommandDocs(Call& call) {
  std::vector<std::pair<const CommandSpec*, const CommandSpec*>> wanted;
  for (const absl::string_view name : call.words.subspan(2)) {
    const CommandSpec* container = nullptr;
    const CommandSpec* spec = FindByFullName(name, &container);
    if (spec != nullptr) wanted.emplace_back(container, spec);
  }
  if (call.words.size() == 2) {
    for (const CommandSpec& spec : CommandTable()) wanted.emplace_back(nullptr, &spec);
  }
  wire::RespWriter reply = Answer(call);
  reply.Map(wanted.size());
  for (const auto& [container, spec] : wanted) WriteDocs(container, *spec, &reply);
}

void CallCommandList(Call& call) {
  absl::string_view pattern = "*";
  if (call.words.size() > 2) {
    if (call.words.size() != 5 || !EqualsIgnoringCase(call.words[2], "filterby") ||
        !EqualsIgnoringCase(call.words[3], "pattern")) {
      return RefuseSyntax(call);
    }
    pattern = call.words[4];
  }
  std::vector<std::string> names;
  for (const CommandSpec& spec : CommandTable()) {
    if (Matches(pattern, spec.name)) names.emplace_back(spec.name);
    for (const CommandSpec& subcommand : spec.subcommands) {
      std::string name = FullName(&spec, subcommand);
      if (call.words.size() > 2 && Matches(pattern, name)) names.push_back(std::move(name));
    }
  }
  wire::RespWriter reply = Answer(call);
  reply.Array(names.size());
  for (const std::string& name : names) reply.Bulk(name);
}

void CallCommandGetKeys(Call& call) {
  const Words words = call.words.subspan(2);
  Request ignored;
  Call inner{words, call.connection, &ignored};
  if (!Resolve(&inner)) {
    return Refuse(call, inner.spec == nullptr
                            ? "ERR Invalid command specified"
                            : "ERR Invalid number of arguments specified for command");
  }
  std::vector<size_t> positions;
  if (!KeysOf(inner, &positions)) {
    return Refuse(call, "ERR Invalid arguments specified for command");
  }
  if (positions.empty()) return Refuse(call, "ERR The command has no key arguments");
  wire::RespWriter reply = Answer(call);
  reply.Array(positions.size());
  for (const size_t position : positions) reply.Bulk(words[position]);
}

// ---- CONFIG ----

void CallConfigGet(Call& call) {
  // What redis-benchmark, redis-cli and libraries ask for, answered with what is true here: every
  // acknowledged write is in a durable log, and nothing is evicted or expired.
  static constexpr std::pair<absl::string_view, absl::string_view> kSettings[] = {
      {"appendfsync", "always"},
      {"appendonly", "yes"},
      {"databases", "1"},
      {"maxmemory-policy", "noeviction"},
      {"proto-max-bulk-len", "16777216"},
      {"save", ""},
      {"timeout", "0"},
  };
  std::vector<size_t> wanted;
  for (size_t i = 0; i < std::size(kSettings); ++i) {
    for (const absl::string_view pattern : call.words.subspan(2)) {
      if (!Matches(pattern, kSettings[i].first)) continue;
      wanted.push_back(i);
      break;
    }
  }
  wire::RespWriter reply = Answer(call);
  reply.Map(wanted.size());
  for (const size_t i : wanted) {
    reply.Bulk(kSettings[i].first);
    reply.Bulk(kSettings[i].second);
  }
}

void CallConfigResetStat(Call& call) { Ask(call, StatusRequest::kResetStatistics); }

void CallConfigSet(Call& call) {
  Refuse(call, "ERR CONFIG SET is not supported: settings are flags of the node (raftkv --help)");
}

// ---- The node and the cluster ----

void CallInfo(Call& call) {
  static constexpr std::pair<absl::string_view, StatusRequest> kSections[] = {
      {"server", StatusRequest::kInfoServer},     {"clients", StatusRequest::kInfoClients},
      {"memory", StatusRequest::kInfoMemory},     {"persistence", StatusRequest::kInfoPersistence},
      {"stats", StatusRequest::kInfoStatistics},  {"replication", StatusRequest::kInfoReplication},
      {"raft", StatusRequest::kInfoRaft},         {"cluster", StatusRequest::kInfoCluster},
      {"keyspace", StatusRequest::kInfoKeyspace},
  };
  StatusRequest what = StatusRequest::kInfo;
  if (call.words.size() == 2) {
    for (const absl::string_view all : {"all", "default", "everything"}) {
      if (EqualsIgnoringCase(call.words[1], all)) return Ask(call, what);
    }
    what = StatusRequest::kInfoNothing;  // as in Redis, an unknown section is an empty one
    for (const auto& [name, section] : kSections) {
      if (EqualsIgnoringCase(call.words[1], name)) what = section;
    }
  }
  Ask(call, what);  // several sections: all of them
}

void CallKvStatus(Call& call) { Ask(call, StatusRequest::kStatus); }
void CallClusterInfo(Call& call) { Ask(call, StatusRequest::kClusterInfo); }
void CallClusterMyId(Call& call) { Ask(call, StatusRequest::kClusterMyId); }
void CallClusterNodes(Call& call) { Ask(call, StatusRequest::kClusterNodes); }
void CallClusterShards(Call& call) { Ask(call, StatusRequest::kClusterShards); }
void CallClusterSlots(Call& call) { Ask(call, StatusRequest::kClusterSlots); }
void CallMemberList(Call& call) { Ask(call, StatusRequest::kMembers); }

void CallClusterKeySlot(Call& call) {
  // CRC-16/XMODEM of the part between the first braces that hold something, or of the whole key.
  absl::string_view key = call.words[2];
  const size_t open = key.find('{');
  if (open != absl::string_view::npos) {
    const size_t close = key.find('}', open + 1);
    if (close != absl::string_view::npos && close > open + 1) {
      key = key.substr(open + 1, close - open - 1);
    }
  }
  uint32_t crc = 0;
  for (const char c : key) {
    crc ^= uint32_t{static_cast<unsigned char>(c)} << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc << 1) ^ ((crc & 0x8000) != 0 ? 0x11021u : 0u);
  }
  Answer(call).Integer(static_cast<int64_t>(crc % 16384));
}

void CallClusterCountKeysInSlot(Call& call) {
  Refuse(call,
         "ERR CLUSTER COUNTKEYSINSLOT is not supported: keys are not kept by slot; DBSIZE counts "
         "all of them");
}

void CallMemberAdd(Call& call) {
  MemberRequest change;
  change.kind = MemberRequest::Kind::kAdd;
  if (!ParseNode(call, call.words[2], &change.node)) return;
  if (!CheckAddress(call, "peer address", call.words[3])) return;
  if (!CheckAddress(call, "client address", call.words[4])) return;
  if (!ParseUnsigned(call.words[5], &change.member.incarnation) || change.member.incarnation == 0) {
    return Refuse(call, "ERR incarnation is not a positive integer");
  }
  change.member.peer_address = std::string(call.words[3]);
  change.member.client_address = std::string(call.words[4]);
  *call.request = std::move(change);
}

void CallMemberPromote(Call& call) { Change(call, MemberRequest::Kind::kPromote); }
void CallMemberRemove(Call& call) { Change(call, MemberRequest::Kind::kRemove); }

void CallKvTransfer(Call& call) {
  TransferRequest transfer;
  if (call.words.size() > 2) {
    return Refuse(call, "ERR wrong number of arguments for 'kv.transfer' command");
  }
  if (call.words.size() == 2 && !ParseNode(call, call.words[1], &transfer.target)) return;
  *call.request = transfer;
}

}  // namespace raftkv::replica
