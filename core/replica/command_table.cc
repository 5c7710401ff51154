#include "core/replica/command_table.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace raftkv::replica {
namespace {

constexpr KeyRange kNoKeys = {};
constexpr KeyRange kOneKey = {1, 1, 1};
constexpr KeyRange kAllKeys = {1, -1, 1};
constexpr KeyRange kPairs = {1, -1, 2};

constexpr uint32_t kRead = kData | kReadOnly;
constexpr uint32_t kChange = kData | kWrite;
constexpr uint32_t kGrow = kData | kWrite | kDenyOom;

constexpr CommandGroup kGeneric = CommandGroup::kGeneric;
constexpr CommandGroup kString = CommandGroup::kString;
constexpr CommandGroup kConnection = CommandGroup::kConnection;
constexpr CommandGroup kServer = CommandGroup::kServer;
constexpr CommandGroup kCluster = CommandGroup::kCluster;

constexpr CommandSpec kHelp = {"help",   2,        0,  kNoKeys,
                               kGeneric, CallHelp, "", "Lists the subcommands"};

constexpr CommandSpec kClient[] = {
    {"getname", 2, kFast, kNoKeys, kConnection, CallClientGetName, "",
     "The name of this connection"},
    kHelp,
    {"id", 2, kFast, kNoKeys, kConnection, CallClientId, "", "The number of this connection"},
    {"info", 2, 0, kNoKeys, kConnection, CallClientInfo, "", "What is known of this connection"},
    {"kill", -3, kAdmin, kNoKeys, kConnection, CallClientKill, "filter...",
     "Refused: connections are not closed from outside"},
    {"list", -2, 0, kNoKeys, kConnection, CallClientInfo, "",
     "What is known of this connection; others are not listed"},
    {"no-evict", 3, 0, kNoKeys, kConnection, CallClientOnOff, "ON|OFF",
     "Accepted without effect: clients are not evicted"},
    {"no-touch", 3, 0, kNoKeys, kConnection, CallClientOnOff, "ON|OFF",
     "Accepted without effect: reading changes nothing"},
    {"reply", 3, 0, kNoKeys, kConnection, CallClientReply, "ON",
     "Only ON: replies are always given"},
    {"setinfo", 4, 0, kNoKeys, kConnection, CallClientSetInfo, "LIB-NAME name | LIB-VER version",
     "Names the client library"},
    {"setname", 3, 0, kNoKeys, kConnection, CallClientSetName, "name", "Names this connection"},
};

constexpr CommandSpec kClusterCommands[] = {
    {"countkeysinslot", 3, 0, kNoKeys, kCluster, CallClusterCountKeysInSlot, "slot",
     "Refused: keys are not kept by slot"},
    kHelp,
    {"info", 2, 0, kNoKeys, kCluster, CallClusterInfo, "", "State of the cluster as fields"},
    {"keyslot", 3, 0, kNoKeys, kCluster, CallClusterKeySlot, "key", "The hash slot of a key"},
    {"myid", 2, 0, kNoKeys, kCluster, CallClusterMyId, "", "The id of this node, 40 digits"},
    {"nodes", 2, 0, kNoKeys, kCluster, CallClusterNodes, "", "All nodes, a line each"},
    {"shards", 2, 0, kNoKeys, kCluster, CallClusterShards, "", "The nodes behind the slots"},
    {"slots", 2, 0, kNoKeys, kCluster, CallClusterSlots, "", "The nodes behind the slots"},
};

constexpr CommandSpec kCommandCommands[] = {
    {"count", 2, 0, kNoKeys, kServer, CallCommandCount, "", "How many commands there are"},
    {"docs", -2, 0, kNoKeys, kServer, CallCommandDocs, "[command...]", "What commands are for"},
    {"getkeys", -3, 0, kNoKeys, kServer, CallCommandGetKeys, "command [arguments...]",
     "The keys in a command"},
    kHelp,
    {"info", -2, 0, kNoKeys, kServer, CallCommandInfo, "[command...]",
     "Arity, flags and keys of commands"},
    {"list", -2, 0, kNoKeys, kServer, CallCommandList, "[FILTERBY PATTERN pattern]",
     "The names of commands"},
};

constexpr CommandSpec kConfig[] = {
    {"get", -3, kAdmin, kNoKeys, kServer, CallConfigGet, "pattern...",
     "Settings that Redis clients ask for"},
    kHelp,
    {"resetstat", 2, kAdmin, kNoKeys, kServer, CallConfigResetStat, "",
     "Starts the statistics of INFO anew"},
    {"set", -4, kAdmin, kNoKeys, kServer, CallConfigSet, "name value...",
     "Refused: settings are flags of the node"},
};

constexpr CommandSpec kMember[] = {
    {"add", 6, kAdmin, kNoKeys, kCluster, CallMemberAdd,
     "id peer-address client-address incarnation", "Adds a node, as a learner without a vote"},
    kHelp,
    {"list", 2, kAdmin, kNoKeys, kCluster, CallMemberList, "", "The members and their addresses"},
    {"promote", 3, kAdmin, kNoKeys, kCluster, CallMemberPromote, "id", "Makes a learner a voter"},
    {"remove", 3, kAdmin, kNoKeys, kCluster, CallMemberRemove, "id", "Removes a member"},
};

constexpr CommandSpec kSession[] = {
    {"close", 3, kChange, kNoKeys, kGeneric, CallSessionClose, "session",
     "Ends a session and forgets its replies"},
    kHelp,
    {"open", 2, kGrow, kNoKeys, kGeneric, CallSessionOpen, "",
     "Opens a session, in which retried writes run once"},
    {"run", -5, kGrow | kMovableKeys, kNoKeys, kGeneric, CallSessionRun,
     "session sequence [ACK sequence] command [arguments...]",
     "Runs a write once per sequence; a retry gets the first reply"},
};

constexpr CommandSpec kCommands[] = {
    {"append", 3, kGrow | kFast, kOneKey, kString, CallAppend, "key value",
     "Appends to a value, makes the key if there is none"},
    {"auth", -2, kFast, kNoKeys, kConnection, CallAuth, "[user] password",
     "Accepts the default user only, which needs no password"},
    {"client", -2, 0, kNoKeys, kConnection, nullptr, "", "About this connection",
     absl::MakeConstSpan(kClient)},
    {"cluster", -2, 0, kNoKeys, kCluster, nullptr, "", "The cluster in the words of Redis Cluster",
     absl::MakeConstSpan(kClusterCommands)},
    {"command", -1, 0, kNoKeys, kServer, CallCommand, "", "About the commands",
     absl::MakeConstSpan(kCommandCommands)},
    {"config", -2, kAdmin, kNoKeys, kServer, nullptr, "", "Settings that Redis clients ask for",
     absl::MakeConstSpan(kConfig)},
    {"dbsize", 1, kRead | kFast, kNoKeys, kServer, CallDbsize, "", "How many keys there are"},
    {"decr", 2, kGrow | kFast, kOneKey, kString, CallDecr, "key", "Subtracts 1 from a number"},
    {"decrby", 3, kGrow | kFast, kOneKey, kString, CallDecrBy, "key decrement",
     "Subtracts from a number"},
    {"del", -2, kChange, kAllKeys, kGeneric, CallDel, "key...",
     "Deletes keys; answers how many there were"},
    {"echo", 2, kFast, kNoKeys, kConnection, CallEcho, "message", "Answers its argument"},
    {"exists", -2, kRead | kFast, kAllKeys, kGeneric, CallExists, "key...",
     "How many of the keys exist"},
    {"get", 2, kRead | kFast, kOneKey, kString, CallGet, "key", "The value of a key"},
    {"getdel", 2, kChange | kFast, kOneKey, kString, CallGetDel, "key",
     "The value of a key, which is deleted"},
    {"getset", 3, kGrow | kFast, kOneKey, kString, CallGetSet, "key value",
     "Sets a value; answers the one before"},
    {"hello", -1, kFast, kNoKeys, kConnection, CallHello,
     "[2|3 [AUTH user password] [SETNAME name]]", "Greets, and chooses the protocol version"},
    {"incr", 2, kGrow | kFast, kOneKey, kString, CallIncr, "key", "Adds 1 to a number"},
    {"incrby", 3, kGrow | kFast, kOneKey, kString, CallIncrBy, "key increment", "Adds to a number"},
    {"info", -1, 0, kNoKeys, kServer, CallInfo, "[section...]", "State of the node as fields"},
    {"kv.cas", 4, kGrow | kFast, kOneKey, kString, CallKvCas, "key version value",
     "Sets a value if the key still has this version (0: does not exist)"},
    {"kv.get", 2, kRead | kFast, kOneKey, kString, CallKvGet, "key",
     "The version and the value of a key"},
    {"kv.member", -2, kAdmin, kNoKeys, kCluster, nullptr, "", "Who is in the cluster",
     absl::MakeConstSpan(kMember)},
    {"kv.prefix", -2, kRead, kNoKeys, kGeneric, CallKvPrefix,
     "prefix [LIMIT n] [CURSOR cursor] [KEYS]", "A page of the keys that start with a prefix"},
    {"kv.range", -3, kRead, kNoKeys, kGeneric, CallKvRange,
     "start end [LIMIT n] [CURSOR cursor] [KEYS]",
     "A page of the keys from start up to before end (empty: no end)"},
    {"kv.session", -2, kChange, kNoKeys, kGeneric, nullptr, "", "Retries that run exactly once",
     absl::MakeConstSpan(kSession)},
    {"kv.status", 1, kFast, kNoKeys, kCluster, CallKvStatus, "",
     "This node: role, term, indexes, digest"},
    {"kv.transfer", -1, kAdmin, kNoKeys, kCluster, CallKvTransfer, "[id]",
     "Hands leadership to another node"},
    {"mget", -2, kRead | kFast, kAllKeys, kString, CallMget, "key...", "The values of keys"},
    {"mset", -3, kGrow, kPairs, kString, CallMset, "key value [key value...]",
     "Sets several values at once"},
    {"msetnx", -3, kGrow, kPairs, kString, CallMsetNx, "key value [key value...]",
     "Sets several values at once if none of the keys exists"},
    {"ping", -1, kFast, kNoKeys, kConnection, CallPing, "[message]", "Answers PONG"},
    {"quit", -1, kFast, kNoKeys, kConnection, CallQuit, "", "Closes the connection"},
    {"readonly", 1, kFast, kNoKeys, kCluster, CallReadOnly, "",
     "Refused: every read is linearizable"},
    {"readwrite", 1, kFast, kNoKeys, kCluster, CallReadWrite, "", "What is always so"},
    {"reset", 1, kFast, kNoKeys, kConnection, CallReset, "", "Makes the connection as new"},
    {"select", 2, kFast, kNoKeys, kConnection, CallSelect, "0", "There is one database"},
    {"set", -3, kGrow, kOneKey, kString, CallSet, "key value [NX | XX] [GET]", "Sets a value"},
    {"setnx", 3, kGrow | kFast, kOneKey, kString, CallSetNx, "key value",
     "Sets a value if the key does not exist"},
    {"strlen", 2, kRead | kFast, kOneKey, kString, CallStrlen, "key", "The length of a value"},
    {"unlink", -2, kChange | kFast, kAllKeys, kGeneric, CallDel, "key...", "The same as DEL"},
};

constexpr bool IsSorted(absl::Span<const CommandSpec> table) {
  for (size_t i = 1; i < table.size(); ++i) {
    if (!(table[i - 1].name < table[i].name)) return false;
  }
  for (const CommandSpec& spec : table) {
    if (!IsSorted(spec.subcommands)) return false;
  }
  return true;
}
static_assert(IsSorted(absl::MakeConstSpan(kCommands)), "looked up by halving");

// Commands that every Redis user knows and that would be dangerous to misunderstand here: a word on
// what to do instead is worth more than "unknown".
struct Refused {
  absl::string_view name;
  absl::string_view reason;
};

constexpr absl::string_view kNoTransactions =
    "is not supported; MSET, MSETNX, KV.CAS and KV.SESSION RUN are atomic";
constexpr absl::string_view kNoExpiry = "is not supported: keys do not expire";

constexpr Refused kRefused[] = {
    {"multi", kNoTransactions},
    {"exec", kNoTransactions},
    {"discard", kNoTransactions},
    {"watch", kNoTransactions},
    {"unwatch", kNoTransactions},
    {"expire", kNoExpiry},
    {"pexpire", kNoExpiry},
    {"expireat", kNoExpiry},
    {"pexpireat", kNoExpiry},
    {"setex", kNoExpiry},
    {"psetex", kNoExpiry},
    {"getex", kNoExpiry},
    {"keys", "is not supported; KV.PREFIX with KEYS lists keys page by page"},
    {"scan", "is not supported; KV.PREFIX with KEYS lists keys page by page"},
};

const CommandSpec* FindIn(absl::Span<const CommandSpec> table, absl::string_view name) {
  char lower[24];
  if (name.size() > sizeof(lower)) return nullptr;
  for (size_t i = 0; i < name.size(); ++i) {
    lower[i] = absl::ascii_tolower(static_cast<unsigned char>(name[i]));
  }
  const absl::string_view wanted(lower, name.size());
  const auto* found =
      std::lower_bound(table.begin(), table.end(), wanted,
                       [](const CommandSpec& spec, absl::string_view n) { return spec.name < n; });
  return found != table.end() && found->name == wanted ? found : nullptr;
}

// In the words of Redis: at most 128 bytes of the name and about as many of the arguments.
std::string UnknownCommand(Words words) {
  constexpr size_t kShown = 128;
  std::string error = absl::StrCat("ERR unknown command '", words[0].substr(0, kShown),
                                   "', with args beginning with: ");
  size_t shown = 0;
  for (size_t i = 1; i < words.size() && shown < kShown; ++i) {
    const absl::string_view word = words[i].substr(0, kShown - shown);
    absl::StrAppend(&error, "'", word, "' ");
    shown += word.size() + 3;
  }
  return error;
}

}  // namespace

absl::Span<const CommandSpec> CommandTable() { return absl::MakeConstSpan(kCommands); }

const CommandSpec* FindCommand(absl::string_view name) { return FindIn(CommandTable(), name); }

const CommandSpec* FindSubcommand(const CommandSpec& container, absl::string_view name) {
  return FindIn(container.subcommands, name);
}

std::string FullName(const CommandSpec* container, const CommandSpec& spec) {
  if (container == nullptr) return std::string(spec.name);
  return absl::StrCat(container->name, "|", spec.name);
}

bool ArityFits(const CommandSpec& spec, size_t words) {
  return spec.arity >= 0 ? words == static_cast<size_t>(spec.arity)
                         : words >= static_cast<size_t>(-spec.arity);
}

bool Resolve(Call* call) {
  if (call->words.empty()) {
    Refuse(*call, "ERR empty request");
    return false;
  }
  const CommandSpec* spec = FindCommand(call->words[0]);
  if (spec == nullptr) {
    for (const Refused& refused : kRefused) {
      if (EqualsIgnoringCase(call->words[0], refused.name)) {
        Refuse(*call,
               absl::StrCat("ERR ", absl::AsciiStrToUpper(refused.name), " ", refused.reason));
        return false;
      }
    }
    Refuse(*call, UnknownCommand(call->words));
    return false;
  }
  const CommandSpec* container = nullptr;
  if (!spec->subcommands.empty() && call->words.size() > 1) {
    container = spec;
    spec = FindSubcommand(*container, call->words[1]);
    if (spec == nullptr) {
      Refuse(*call, absl::StrCat("ERR unknown subcommand '", call->words[1].substr(0, 128),
                                 "'. Try ", absl::AsciiStrToUpper(container->name), " HELP."));
      return false;
    }
  }
  call->container = container;
  call->spec = spec;
  if (spec->handler == nullptr || !ArityFits(*spec, call->words.size())) {
    Refuse(*call, absl::StrCat("ERR wrong number of arguments for '", FullName(container, *spec),
                               "' command"));
    return false;
  }
  return true;
}

wire::RespWriter Answer(Call& call) {
  Answered* answered = std::get_if<Answered>(call.request);
  if (answered == nullptr) {
    answered = &call.request->emplace<Answered>();
  } else {
    answered->reply.clear();
    answered->close = false;
  }
  return wire::RespWriter(&answered->reply, call.connection->version);
}

void Refuse(Call& call, absl::string_view error) { Answer(call).Error(error); }

void RefuseSyntax(Call& call) { Refuse(call, "ERR syntax error"); }

DataRequest& Data(Call& call, ReplyShape shape) {
  DataRequest* data = std::get_if<DataRequest>(call.request);
  if (data == nullptr) {
    data = &call.request->emplace<DataRequest>();
  } else {
    // The lists keep their memory from one request to the next.
    kv::Command& command = data->command;
    command.session = command.sequence = command.acknowledged = command.time_ms = 0;
    command.feature_level = 0;
    command.guards.clear();
    command.ops.clear();
  }
  data->shape = shape;
  data->read_only = (call.spec->flags & kReadOnly) != 0;
  return *data;
}

bool EqualsIgnoringCase(absl::string_view word, absl::string_view lower_or_upper) {
  return word.size() == lower_or_upper.size() &&
         std::equal(word.begin(), word.end(), lower_or_upper.begin(), [](char a, char b) {
           return absl::ascii_tolower(static_cast<unsigned char>(a)) ==
                  absl::ascii_tolower(static_cast<unsigned char>(b));
         });
}

bool ParseUnsigned(absl::string_view text, uint64_t* value) {
  if (text.empty() || text.size() > 20) return false;
  uint64_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    const uint64_t digit = static_cast<uint64_t>(c - '0');
    if (number > (UINT64_MAX - digit) / 10) return false;
    number = number * 10 + digit;
  }
  *value = number;
  return true;
}

bool KeysOf(const Call& call, std::vector<size_t>* positions) {
  positions->clear();
  if ((call.spec->flags & kMovableKeys) != 0) {
    // KV.SESSION RUN session sequence [ACK n] command...: the keys are those of the command.
    size_t start = 4;
    if (call.words.size() > start + 2 && EqualsIgnoringCase(call.words[start], "ack")) start += 2;
    if (start >= call.words.size()) return false;
    Request ignored;
    Call inner{call.words.subspan(start), call.connection, &ignored};
    if (!Resolve(&inner) || (inner.spec->flags & kMovableKeys) != 0) return false;
    if (!KeysOf(inner, positions)) return false;
    for (size_t& position : *positions) position += start;
    return true;
  }
  const KeyRange& keys = call.spec->keys;
  if (keys.first == 0) return true;
  const size_t last = keys.last < 0 ? call.words.size() - static_cast<size_t>(-keys.last)
                                    : static_cast<size_t>(keys.last);
  for (size_t i = static_cast<size_t>(keys.first); i <= last; i += static_cast<size_t>(keys.step)) {
    positions->push_back(i);
  }
  return true;
}

}  // namespace raftkv::replica
