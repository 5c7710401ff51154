// Every command, its right and wrong uses, and what clients are told about results and the node.
#include "core/replica/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <map>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/kv/limits.h"
#include "core/replica/command_table.h"

namespace raftkv::replica {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using wire::RespValue;
using wire::RespVersion;

// ---- What a request is, in words ----

// Words are separated by blanks; '' is the empty word.
std::vector<absl::string_view> Split(absl::string_view line) {
  std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
  for (absl::string_view& word : words) {
    if (word == "''") word = "";
  }
  return words;
}

absl::string_view ShapeName(ReplyShape shape) {
  static constexpr absl::string_view kNames[] = {"ok",      "set",  "setget", "setnx",
                                                 "value",   "int",  "sum",    "values",
                                                 "version", "swap", "page",   "keys"};
  return kNames[static_cast<size_t>(shape)];
}

std::string DescribeOp(const kv::Op& op) {
  static constexpr absl::string_view kKinds[] = {"get",  "exists", "strlen", "range",  "prefix",
                                                 "size", "set",    "delete", "append", "incr",
                                                 "open", "close",  "level"};
  static constexpr absl::string_view kConditions[] = {"", "?absent", "?present", "?version"};
  std::string text = absl::StrCat(kKinds[static_cast<size_t>(op.kind)],
                                  kConditions[static_cast<size_t>(op.condition)]);
  if (op.condition == kv::Condition::kIfVersionIs) absl::StrAppend(&text, op.version);
  absl::StrAppend(&text, "(", op.key);
  if (!op.value.empty()) absl::StrAppend(&text, "=", op.value);
  if (!op.end.empty()) absl::StrAppend(&text, "..", op.end);
  if (op.delta != 0) absl::StrAppend(&text, " by ", op.delta);
  if (op.limit != 0) absl::StrAppend(&text, " limit ", op.limit);
  if (!op.cursor.empty()) absl::StrAppend(&text, " from ", op.cursor);
  if (op.keys_only) absl::StrAppend(&text, " keys");
  return text + ")";
}

// "read value: get(k)", "write set: set?absent(k=v)", "-ERR ...", "status 3", ...
std::string Describe(const Request& request) {
  if (const auto* answered = std::get_if<Answered>(&request)) {
    return absl::StrCat(absl::StripTrailingAsciiWhitespace(answered->reply),
                        answered->close ? " (close)" : "");
  }
  if (const auto* data = std::get_if<DataRequest>(&request)) {
    const kv::Command& command = data->command;
    EXPECT_EQ(data->read_only, kv::IsReadOnly(command));
    EXPECT_EQ(kv::Validate(command), std::nullopt);
    EXPECT_EQ(command.time_ms, 0u);
    std::string text =
        absl::StrCat(data->read_only ? "read " : "write ", ShapeName(data->shape), ":");
    if (command.session != 0) {
      absl::StrAppend(&text, " session ", command.session, "/", command.sequence, "/",
                      command.acknowledged);
    }
    for (const kv::Guard& guard : command.guards) {
      EXPECT_EQ(guard.kind, kv::Guard::Kind::kAbsent);
      absl::StrAppend(&text, " absent(", guard.key, ")");
    }
    for (const kv::Op& op : command.ops) absl::StrAppend(&text, " ", DescribeOp(op));
    return text;
  }
  if (const auto* change = std::get_if<MemberRequest>(&request)) {
    static constexpr absl::string_view kKinds[] = {"add", "promote", "remove"};
    std::string text =
        absl::StrCat("member ", kKinds[static_cast<size_t>(change->kind)], " ", change->node);
    if (change->kind == MemberRequest::Kind::kAdd) {
      absl::StrAppend(&text, " ", change->member.peer_address, " ", change->member.client_address,
                      " ", change->member.incarnation);
    }
    return text;
  }
  if (const auto* transfer = std::get_if<TransferRequest>(&request)) {
    return absl::StrCat("transfer ", transfer->target);
  }
  return absl::StrCat("status ", static_cast<int>(std::get<StatusRequest>(request)));
}

std::string StatusText(StatusRequest what) {
  return absl::StrCat("status ", static_cast<int>(what));
}

std::string Parse(absl::string_view line, ConnectionState* connection) {
  const std::vector<absl::string_view> words = Split(line);
  return Describe(ParseCommand(words, connection));
}

std::string Parse(absl::string_view line) {
  ConnectionState connection;
  connection.id = 7;
  return Parse(line, &connection);
}

RespValue Read(const std::string& bytes) {
  wire::RespReplyReader reader;
  reader.Feed(bytes);
  RespValue value;
  EXPECT_EQ(reader.Next(&value), wire::RespReplyReader::Outcome::kReply) << bytes;
  RespValue more;
  EXPECT_EQ(reader.Next(&more), wire::RespReplyReader::Outcome::kNeedMore) << "more than one reply";
  return value;
}

RespValue Ask(absl::string_view line, RespVersion version = RespVersion::k3) {
  ConnectionState connection;
  connection.version = version;
  const std::vector<absl::string_view> words = Split(line);
  const Request request = ParseCommand(words, &connection);
  const auto* answered = std::get_if<Answered>(&request);
  if (answered == nullptr) {
    ADD_FAILURE() << line << " is not answered by the connection";
    return {};
  }
  return Read(answered->reply);
}

const RespValue* Field(const RespValue& map, absl::string_view name) {
  for (size_t i = 0; i + 1 < map.items.size(); i += 2) {
    if (map.items[i].text == name) return &map.items[i + 1];
  }
  return nullptr;
}

// ---- Right and wrong uses ----

struct Case {
  absl::string_view line;
  std::string expected;
};

std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.line; }

constexpr absl::string_view kNotInteger = "-ERR value is not an integer or out of range";
constexpr absl::string_view kSyntax = "-ERR syntax error";

std::string WrongNumber(absl::string_view name) {
  return absl::StrCat("-ERR wrong number of arguments for '", name, "' command");
}

std::vector<Case> DataCases() {
  return {
      {"GET k", "read value: get(k)"},
      {"get ''", "read value: get()"},
      {"SET k v", "write set: set(k=v)"},
      {"SET k ''", "write set: set(k)"},
      {"SET k v NX", "write set: set?absent(k=v)"},
      {"set k v xx", "write set: set?present(k=v)"},
      {"SET k v GET", "write setget: get(k) set(k=v)"},
      {"SET k v GET XX", "write setget: get(k) set?present(k=v)"},
      {"SET k v NX GET", "write setget: get(k) set?absent(k=v)"},
      {"SET k v NX XX", std::string(kSyntax)},
      {"SET k v NX NX", std::string(kSyntax)},
      {"SET k v GET GET", std::string(kSyntax)},
      {"SET k v SOON", std::string(kSyntax)},
      {"SET k v EX 10", "-ERR SET: the option EX is not supported: keys do not expire"},
      {"SET k v px 10", "-ERR SET: the option PX is not supported: keys do not expire"},
      {"SET k v NX EXAT 10", "-ERR SET: the option EXAT is not supported: keys do not expire"},
      {"SET k v PXAT 10", "-ERR SET: the option PXAT is not supported: keys do not expire"},
      {"SET k v KEEPTTL", "-ERR SET: the option KEEPTTL is not supported: keys do not expire"},
      {"SETNX k v", "write setnx: set?absent(k=v)"},
      {"GETSET k v", "write setget: get(k) set(k=v)"},
      {"GETDEL k", "write setget: get(k) delete(k)"},
      {"DEL a", "write sum: delete(a)"},
      {"DEL a b a", "write sum: delete(a) delete(b) delete(a)"},
      {"UNLINK a b", "write sum: delete(a) delete(b)"},
      {"EXISTS a b a", "read sum: exists(a) exists(b) exists(a)"},
      {"APPEND k v", "write int: append(k=v)"},
      {"STRLEN k", "read int: strlen(k)"},
      {"INCR n", "write int: incr(n by 1)"},
      {"DECR n", "write int: incr(n by -1)"},
      {"INCRBY n 5", "write int: incr(n by 5)"},
      {"INCRBY n -9223372036854775808", "write int: incr(n by -9223372036854775808)"},
      {"INCRBY n 9223372036854775808", std::string(kNotInteger)},
      {"INCRBY n five", std::string(kNotInteger)},
      {"INCRBY n +5", std::string(kNotInteger)},
      {"INCRBY n 05", std::string(kNotInteger)},
      {"INCRBY n ''", std::string(kNotInteger)},
      {"DECRBY n 5", "write int: incr(n by -5)"},
      {"DECRBY n -5", "write int: incr(n by 5)"},
      {"DECRBY n -9223372036854775808", "-ERR decrement would overflow"},
      {"DECRBY n x", std::string(kNotInteger)},
      {"MGET a b a", "read values: get(a) get(b) get(a)"},
      {"MSET a 1 b 2", "write ok: set(a=1) set(b=2)"},
      {"MSET a 1 b", WrongNumber("mset")},
      {"MSETNX a 1 b 2", "write setnx: absent(a) absent(b) set(a=1) set(b=2)"},
      {"MSETNX a 1 b", WrongNumber("msetnx")},
      {"DBSIZE", "read int: size()"},
      {"KV.GET k", "read version: get(k)"},
      {"KV.CAS k 0 v", "write swap: set?version0(k=v)"},
      {"KV.CAS k 9223372036854775807 v", "write swap: set?version9223372036854775807(k=v)"},
      {"KV.CAS k -1 v", "-ERR version is not an integer or out of range"},
      {"KV.CAS k v v", "-ERR version is not an integer or out of range"},
      {"KV.RANGE a b", "read page: range(a..b)"},
      {"KV.RANGE a ''", "read page: range(a)"},
      {"KV.RANGE a b LIMIT 5 CURSOR c KEYS", "read keys: range(a..b limit 5 from c keys)"},
      {"KV.RANGE a b keys cursor '' limit 5", "read keys: range(a..b limit 5 keys)"},
      {"KV.RANGE a b LIMIT 99999999",
       absl::StrCat("read page: range(a..b limit ", kv::kMaxPageEntries, ")")},
      {"KV.RANGE a b LIMIT", std::string(kSyntax)},
      {"KV.RANGE a b LIMIT 1 LIMIT 2", std::string(kSyntax)},
      {"KV.RANGE a b CURSOR c CURSOR c", std::string(kSyntax)},
      {"KV.RANGE a b KEYS KEYS", std::string(kSyntax)},
      {"KV.RANGE a b REVERSE", std::string(kSyntax)},
      {"KV.RANGE a b LIMIT many", std::string(kNotInteger)},
      {"KV.RANGE a b LIMIT 0", "-ERR LIMIT must be at least 1"},
      {"KV.RANGE a b LIMIT -1", "-ERR LIMIT must be at least 1"},
      {"KV.PREFIX user:", "read page: prefix(user:)"},
      {"KV.PREFIX '' KEYS LIMIT 2", "read keys: prefix( limit 2 keys)"},
      {"KV.PREFIX p CURSOR", std::string(kSyntax)},
  };
}

std::vector<Case> SessionCases() {
  return {
      {"KV.SESSION OPEN", "write int: open()"},
      {"KV.SESSION CLOSE 12", "write ok: session 12/0/0 close()"},
      {"KV.SESSION CLOSE 0", "-ERR session is not a positive integer"},
      {"KV.SESSION CLOSE x", "-ERR session is not a positive integer"},
      {"KV.SESSION RUN 12 1 SET k v", "write set: session 12/1/0 set(k=v)"},
      {"kv.session run 12 5 ack 4 incr n", "write int: session 12/5/4 incr(n by 1)"},
      {"KV.SESSION RUN 12 5 ACK 0 DEL a b", "write sum: session 12/5/0 delete(a) delete(b)"},
      {"KV.SESSION RUN 12 5 MSETNX a 1", "write setnx: session 12/5/0 absent(a) set(a=1)"},
      {"KV.SESSION RUN 18446744073709551615 18446744073709551615 INCR n",
       "write int: session 18446744073709551615/18446744073709551615/0 incr(n by 1)"},
      {"KV.SESSION RUN 18446744073709551616 1 INCR n", "-ERR session is not a positive integer"},
      {"KV.SESSION RUN 0 1 INCR n", "-ERR session is not a positive integer"},
      {"KV.SESSION RUN 1 0 INCR n", "-ERR sequence is not a positive integer"},
      {"KV.SESSION RUN 1 -1 INCR n", "-ERR sequence is not a positive integer"},
      {"KV.SESSION RUN 1 5 ACK x INCR n",
       "-ERR the acknowledged sequence is not an integer or out of range"},
      {"KV.SESSION RUN 1 5 ACK 5 INCR n",
       "-ERR sequence 5 is run and acknowledged (5) at the same time"},
      {"KV.SESSION RUN 1 5 ACK 4", std::string(kSyntax)},
      {"KV.SESSION RUN 1 5 ACK", std::string(kSyntax)},
      {"KV.SESSION RUN 1 5", WrongNumber("kv.session|run")},
      {"KV.SESSION RUN 1 5 INCR", WrongNumber("incr")},
      {"KV.SESSION RUN 1 5 INCRBY n x", std::string(kNotInteger)},
      {"KV.SESSION RUN 1 5 NOSUCH n",
       "-ERR unknown command 'NOSUCH', with args beginning with: 'n'"},
      {"KV.SESSION RUN 1 5 GET k",
       "-ERR 'get' cannot run in a session: it writes no data, so there is nothing to run only "
       "once"},
      {"KV.SESSION RUN 1 5 PING",
       "-ERR 'ping' cannot run in a session: it writes no data, so there is nothing to run only "
       "once"},
      {"KV.SESSION RUN 1 5 KV.SESSION OPEN",
       "-ERR 'kv.session|open' cannot run in a session: it writes no data, so there is nothing to "
       "run only once"},
      {"KV.SESSION", WrongNumber("kv.session")},
      {"KV.SESSION HELP",
       "*9\r\n+KV.SESSION <subcommand> [<arg> ...]. Subcommands are:\r\n"
       "+CLOSE session\r\n+    Ends a session and forgets its replies.\r\n"
       "+HELP\r\n+    Lists the subcommands.\r\n"
       "+OPEN\r\n+    Opens a session, in which retried writes run once.\r\n"
       "+RUN session sequence [ACK sequence] command [arguments...]\r\n"
       "+    Runs a write once per sequence; a retry gets the first reply."},
      {"KV.SESSION AGAIN", "-ERR unknown subcommand 'AGAIN'. Try KV.SESSION HELP."},
  };
}

std::vector<Case> ClusterCases() {
  const std::string bad_node = "-ERR node id is not a positive integer";
  return {
      {"KV.STATUS", StatusText(StatusRequest::kStatus)},
      {"KV.STATUS now", WrongNumber("kv.status")},
      {"KV.MEMBER LIST", StatusText(StatusRequest::kMembers)},
      {"KV.MEMBER ADD 4 host:7431 [::1]:7430 99", "member add 4 host:7431 [::1]:7430 99"},
      {"KV.MEMBER ADD 0 h:1 h:2 9", bad_node},
      {"KV.MEMBER ADD four h:1 h:2 9", bad_node},
      {"KV.MEMBER ADD 4 h:1 h:2 0", "-ERR incarnation is not a positive integer"},
      {"KV.MEMBER ADD 4 h:1 h:2 0x9", "-ERR incarnation is not a positive integer"},
      {"KV.MEMBER ADD 4 h h:2 9", "-ERR peer address is not host:port with a port from 1 to 65535"},
      {"KV.MEMBER ADD 4 :1 h:2 9",
       "-ERR peer address is not host:port with a port from 1 to 65535"},
      {"KV.MEMBER ADD 4 h:1 h:0 9",
       "-ERR client address is not host:port with a port from 1 to 65535"},
      {"KV.MEMBER ADD 4 h:1 h:65536 9",
       "-ERR client address is not host:port with a port from 1 to 65535"},
      {"KV.MEMBER ADD 4 h:1 h\t:1 9",
       "-ERR client address is not host:port with a port from 1 to 65535"},
      {"KV.MEMBER ADD 4 h:1 h:2", WrongNumber("kv.member|add")},
      {"KV.MEMBER PROMOTE 4", "member promote 4"},
      {"KV.MEMBER PROMOTE -4", bad_node},
      {"KV.MEMBER REMOVE 4", "member remove 4"},
      {"KV.MEMBER REMOVE ''", bad_node},
      {"KV.MEMBER", WrongNumber("kv.member")},
      {"KV.TRANSFER", "transfer 0"},
      {"KV.TRANSFER 3", "transfer 3"},
      {"KV.TRANSFER 0", bad_node},
      {"KV.TRANSFER 1 2", WrongNumber("kv.transfer")},
      {"CLUSTER SLOTS", StatusText(StatusRequest::kClusterSlots)},
      {"CLUSTER SHARDS", StatusText(StatusRequest::kClusterShards)},
      {"CLUSTER NODES", StatusText(StatusRequest::kClusterNodes)},
      {"CLUSTER INFO", StatusText(StatusRequest::kClusterInfo)},
      {"CLUSTER MYID", StatusText(StatusRequest::kClusterMyId)},
      // Values from a Redis Cluster.
      {"CLUSTER KEYSLOT foo", ":12182"},
      {"CLUSTER KEYSLOT 123456789", ":12739"},
      {"CLUSTER KEYSLOT a{foo}b", ":12182"},
      {"CLUSTER KEYSLOT ''", ":0"},
      {"CLUSTER KEYSLOT {}foo", ":9500"},
      {"CLUSTER COUNTKEYSINSLOT 1",
       "-ERR CLUSTER COUNTKEYSINSLOT is not supported: keys are not kept by slot; DBSIZE counts "
       "all of them"},
      {"CLUSTER MEET h 1", "-ERR unknown subcommand 'MEET'. Try CLUSTER HELP."},
      {"INFO", StatusText(StatusRequest::kInfo)},
      {"INFO everything", StatusText(StatusRequest::kInfo)},
      {"INFO server clients", StatusText(StatusRequest::kInfo)},
      {"INFO Server", StatusText(StatusRequest::kInfoServer)},
      {"INFO replication", StatusText(StatusRequest::kInfoReplication)},
      {"INFO stats", StatusText(StatusRequest::kInfoStatistics)},
      {"CONFIG RESETSTAT", StatusText(StatusRequest::kResetStatistics)},
      {"CONFIG RESETSTAT now", "-ERR wrong number of arguments for 'config|resetstat' command"},
      {"INFO weather", StatusText(StatusRequest::kInfoNothing)},
      {"READONLY", "-ERR READONLY is not supported: every node's reads are linearizable"},
      {"READWRITE", "+OK"},
  };
}

std::vector<Case> ConnectionCases() {
  return {
      {"PING", "+PONG"},
      {"PING hi", "$2\r\nhi"},
      {"PING a b", WrongNumber("ping")},
      {"ECHO hi", "$2\r\nhi"},
      {"QUIT", "+OK (close)"},
      {"RESET", "+RESET"},
      {"SELECT 0", "+OK"},
      {"SELECT 1", "-ERR SELECT is not allowed in cluster mode"},
      {"SELECT x", std::string(kNotInteger)},
      {"AUTH secret",
       "-ERR AUTH <password> called without any password configured for the default user. Are you "
       "sure your configuration is correct?"},
      {"AUTH default secret", "+OK"},
      {"AUTH root secret", "-WRONGPASS invalid username-password pair or user is disabled."},
      {"AUTH a b c", std::string(kSyntax)},
      {"HELLO x", "-ERR Protocol version is not an integer or out of range"},
      {"HELLO 4", "-NOPROTO unsupported protocol version"},
      {"HELLO 1", "-NOPROTO unsupported protocol version"},
      {"HELLO 3 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'"},
      {"HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'"},
      {"HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'"},
      {"HELLO 3 AUTH root pw", "-WRONGPASS invalid username-password pair or user is disabled."},
      {"CLIENT ID", ":7"},
      {"CLIENT GETNAME", "$-1"},
      {"CLIENT SETNAME me", "+OK"},
      {"CLIENT SETNAME m\ne",
       "-ERR Client names cannot contain spaces, newlines or special characters."},
      {"CLIENT SETINFO LIB-NAME lib", "+OK"},
      {"CLIENT SETINFO lib-ver 1.2", "+OK"},
      {"CLIENT SETINFO lib-ver 1\t2",
       "-ERR lib-ver cannot contain spaces, newlines or special characters."},
      {"CLIENT SETINFO colour red", "-ERR Unrecognized option 'colour'"},
      {"CLIENT INFO", "$42\r\nid=7 name= db=0 resp=2 lib-name= lib-ver="},
      {"CLIENT LIST", "$42\r\nid=7 name= db=0 resp=2 lib-name= lib-ver="},
      {"CLIENT LIST TYPE normal",
       "-ERR CLIENT LIST takes no filter: it lists this connection only"},
      {"CLIENT NO-EVICT on", "+OK"},
      {"CLIENT NO-EVICT maybe", std::string(kSyntax)},
      {"CLIENT NO-TOUCH OFF", "+OK"},
      {"CLIENT REPLY ON", "+OK"},
      {"CLIENT REPLY OFF",
       "-ERR CLIENT REPLY OFF and SKIP are not supported: replies are always given"},
      {"CLIENT REPLY SKIP",
       "-ERR CLIENT REPLY OFF and SKIP are not supported: replies are always given"},
      {"CLIENT REPLY x", std::string(kSyntax)},
      {"CLIENT KILL ID 3",
       "-ERR CLIENT KILL is not supported: a connection is closed by its own client"},
      {"CLIENT TRACKING ON", "-ERR unknown subcommand 'TRACKING'. Try CLIENT HELP."},
      {"CLIENT", WrongNumber("client")},
      {"CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0"},
      {"CONFIG GET appendonly", "*2\r\n$10\r\nappendonly\r\n$3\r\nyes"},
      {"CONFIG GET APPEND?nly s*", "*4\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n$4\r\nsave\r\n$0"},
      {"CONFIG GET nothing", "*0"},
      {"CONFIG SET save x",
       "-ERR CONFIG SET is not supported: settings are flags of the node (raftkv --help)"},
      {"COMMAND COUNT", absl::StrCat(":", CommandTable().size())},
      {"COMMAND LIST FILTERBY PATTERN *tset", "*1\r\n$6\r\ngetset"},
      {"COMMAND LIST FILTERBY PATTERN client|get*", "*1\r\n$14\r\nclient|getname"},
      {"COMMAND LIST FILTERBY MODULE m", std::string(kSyntax)},
      {"COMMAND GETKEYS GET k", "*1\r\n$1\r\nk"},
      {"COMMAND GETKEYS MSET a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb"},
      {"COMMAND GETKEYS DEL a b", "*2\r\n$1\r\na\r\n$1\r\nb"},
      {"COMMAND GETKEYS KV.SESSION RUN 1 2 ACK 1 MSET a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb"},
      {"COMMAND GETKEYS KV.SESSION RUN 1 2 SET a 1", "*1\r\n$1\r\na"},
      {"COMMAND GETKEYS KV.SESSION RUN 1 2 KV.SESSION RUN 1 2 SET a 1",
       "-ERR Invalid arguments specified for command"},
      {"COMMAND GETKEYS PING", "-ERR The command has no key arguments"},
      {"COMMAND GETKEYS NOSUCH", "-ERR Invalid command specified"},
      {"COMMAND GETKEYS GET", "-ERR Invalid number of arguments specified for command"},
      {"COMMAND INFO nosuch", "*1\r\n*-1"},
      {"COMMAND INFO client|nosuch", "*1\r\n*-1"},
      {"COMMAND DOCS nosuch", "*0"},
  };
}

std::vector<Case> UnknownCases() {
  const std::string no_transactions =
      " is not supported; MSET, MSETNX, KV.CAS and KV.SESSION RUN are atomic";
  return {
      {"NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with:"},
      {"nosuch a b", "-ERR unknown command 'nosuch', with args beginning with: 'a' 'b'"},
      {"''", "-ERR unknown command '', with args beginning with:"},
      {"no\r\nsuch", "-ERR unknown command 'no  such', with args beginning with:"},
      {"GETX", "-ERR unknown command 'GETX', with args beginning with:"},
      {"MULTI", "-ERR MULTI" + no_transactions},
      {"exec", "-ERR EXEC" + no_transactions},
      {"WATCH k", "-ERR WATCH" + no_transactions},
      {"DISCARD", "-ERR DISCARD" + no_transactions},
      {"EXPIRE k 1", "-ERR EXPIRE is not supported: keys do not expire"},
      {"SETEX k 1 v", "-ERR SETEX is not supported: keys do not expire"},
      {"KEYS *", "-ERR KEYS is not supported; KV.PREFIX with KEYS lists keys page by page"},
  };
}

class Commands : public testing::TestWithParam<Case> {};

TEST_P(Commands, BecomeRequestsOrErrors) { EXPECT_EQ(Parse(GetParam().line), GetParam().expected); }

INSTANTIATE_TEST_SUITE_P(Data, Commands, testing::ValuesIn(DataCases()));
INSTANTIATE_TEST_SUITE_P(Session, Commands, testing::ValuesIn(SessionCases()));
INSTANTIATE_TEST_SUITE_P(Cluster, Commands, testing::ValuesIn(ClusterCases()));
INSTANTIATE_TEST_SUITE_P(Connection, Commands, testing::ValuesIn(ConnectionCases()));
INSTANTIATE_TEST_SUITE_P(Unknown, Commands, testing::ValuesIn(UnknownCases()));

// ---- The table as a whole ----

// Each command and subcommand with its words of name.
template <typename Function>
void ForEachCommand(const Function& function) {
  for (const CommandSpec& spec : CommandTable()) {
    function(nullptr, spec, std::vector<absl::string_view>{spec.name});
    for (const CommandSpec& subcommand : spec.subcommands) {
      function(&spec, subcommand, std::vector<absl::string_view>{spec.name, subcommand.name});
    }
  }
}

TEST(CommandTable, HasATestedUseOfEachCommand) {
  std::set<std::string> used;
  for (const auto& cases :
       {DataCases(), SessionCases(), ClusterCases(), ConnectionCases(), UnknownCases()}) {
    for (const Case& c : cases) {
      const std::vector<absl::string_view> words = Split(c.line);
      const CommandSpec* spec = FindCommand(words[0]);
      if (spec == nullptr) continue;
      used.insert(std::string(spec->name));
      if (words.size() < 2) continue;
      if (const CommandSpec* subcommand = FindSubcommand(*spec, words[1])) {
        used.insert(FullName(spec, *subcommand));
      }
    }
  }
  // Tested on their own below.
  for (const char* name : {"hello", "command", "command|list", "command|docs", "command|info"}) {
    used.insert(name);
  }
  ForEachCommand([&](const CommandSpec* container, const CommandSpec& spec, const auto&) {
    if (spec.name == "help") return;  // one handler for all
    EXPECT_TRUE(used.contains(FullName(container, spec))) << FullName(container, spec);
  });
}

TEST(CommandTable, RefusesTooFewAndTooManyWords) {
  ForEachCommand([](const CommandSpec* container, const CommandSpec& spec,
                    std::vector<absl::string_view> words) {
    const std::string error = WrongNumber(FullName(container, spec));
    ConnectionState connection;
    const size_t least = static_cast<size_t>(std::abs(spec.arity));
    const size_t named = words.size();
    ASSERT_GE(least, spec.handler == nullptr ? named + 1 : named) << error;
    for (size_t n = named; n < least; ++n) {
      words.resize(n, "1");
      EXPECT_EQ(Describe(ParseCommand(words, &connection)), error);
    }
    if (spec.arity < 0) return;
    words.resize(least + 1, "1");
    EXPECT_EQ(Describe(ParseCommand(words, &connection)), error);
  });
}

// What a command means does not depend on how its name is written.
TEST(CommandTable, KnowsNamesInAnyCase) {
  for (const auto& cases : {DataCases(), SessionCases(), ClusterCases(), ConnectionCases()}) {
    for (const Case& c : cases) {
      SCOPED_TRACE(c.line);
      const std::vector<absl::string_view> words = Split(c.line);
      const CommandSpec* spec = FindCommand(words[0]);
      ASSERT_NE(spec, nullptr);
      const size_t named = words.size() > 1 && FindSubcommand(*spec, words[1]) != nullptr ? 2 : 1;
      std::vector<std::string> lower(words.begin(), words.end()), upper = lower;
      for (size_t i = 0; i < named; ++i) {
        absl::AsciiStrToLower(&lower[i]);
        absl::AsciiStrToUpper(&upper[i]);
      }
      ConnectionState a, b;
      EXPECT_EQ(
          Describe(ParseCommand(std::vector<absl::string_view>(lower.begin(), lower.end()), &a)),
          Describe(ParseCommand(std::vector<absl::string_view>(upper.begin(), upper.end()), &b)));
    }
  }
}

// Whatever follows a command's name, there is an answer, and a data request that may be proposed.
TEST(CommandTable, IsTotal) {
  const std::string large(70'000, 'x');
  const absl::string_view kWords[] = {"", "1", "-1", "key", "LIMIT", "ACK", "NX", "\r\n", large};
  ForEachCommand([&](const CommandSpec*, const CommandSpec&, std::vector<absl::string_view> words) {
    const size_t named = words.size();
    for (size_t count = 0; count < 6; ++count) {
      for (size_t first = 0; first < std::size(kWords); ++first) {
        for (size_t step = 0; step < 3; ++step) {
          words.resize(named);
          for (size_t i = 0; i < count; ++i) {
            words.push_back(kWords[(first + i * step) % std::size(kWords)]);
          }
          ConnectionState connection;
          const Request request = ParseCommand(words, &connection);
          if (const auto* answered = std::get_if<Answered>(&request)) Read(answered->reply);
          Describe(request);
        }
      }
    }
  });
  ConnectionState connection;
  EXPECT_EQ(Describe(ParseCommand({}, &connection)), "-ERR empty request");
}

TEST(CommandTable, IsWhatCommandAnswers) {
  for (const RespVersion version : {RespVersion::k2, RespVersion::k3}) {
    const RespValue all = Ask("COMMAND", version);
    ASSERT_EQ(all.items.size(), CommandTable().size());
    for (size_t i = 0; i < all.items.size(); ++i) {
      const CommandSpec& spec = CommandTable()[i];
      const std::vector<RespValue>& entry = all.items[i].items;
      ASSERT_EQ(entry.size(), 10u);
      EXPECT_EQ(entry[0].text, spec.name);
      EXPECT_EQ(entry[1].integer, spec.arity);
      EXPECT_EQ(entry[3].integer, spec.keys.first);
      EXPECT_EQ(entry[9].items.size(), spec.subcommands.size());
    }
    EXPECT_EQ(Ask("COMMAND INFO", version), all);
    const RespValue docs = Ask("COMMAND DOCS", version);
    EXPECT_EQ(docs.items.size(), 2 * CommandTable().size());
    EXPECT_EQ(Ask("COMMAND LIST", version).items.size(), CommandTable().size());
  }
}

TEST(CommandTable, TellsWhatGetIs) {
  const RespValue info = Ask("COMMAND INFO GET client|setname", RespVersion::k2);
  ASSERT_EQ(info.items.size(), 2u);
  const std::vector<RespValue>& get = info.items[0].items;
  EXPECT_EQ(get[0].text, "get");
  EXPECT_EQ(get[1].integer, 2);
  ASSERT_EQ(get[2].items.size(), 2u);
  EXPECT_EQ(get[2].items[0].text, "readonly");
  EXPECT_EQ(get[2].items[1].text, "fast");
  EXPECT_EQ(get[3].integer, 1);
  EXPECT_EQ(get[4].integer, 1);
  EXPECT_EQ(get[5].integer, 1);
  EXPECT_EQ(info.items[1].items[0].text, "client|setname");
  EXPECT_EQ(info.items[1].items[1].integer, 3);

  const RespValue docs = Ask("COMMAND DOCS mset");
  ASSERT_EQ(docs.items.size(), 2u);
  EXPECT_EQ(docs.items[0].text, "mset");
  EXPECT_EQ(Field(docs.items[1], "summary")->text, "Sets several values at once");
  EXPECT_EQ(Field(docs.items[1], "arguments")->items[0].items.back().text,
            "key value [key value...]");
}

// ---- The connection's state ----

TEST(Hello, ChoosesTheVersionOfItsOwnReply) {
  ConnectionState connection;
  connection.id = 9;
  EXPECT_THAT(Parse("HELLO", &connection), StartsWith("*14\r\n$6\r\nserver\r\n$6\r\nraftkv\r\n"));
  EXPECT_EQ(connection.version, RespVersion::k2);
  const std::string reply = Parse("HELLO 3 AUTH default pw SETNAME me", &connection);
  EXPECT_THAT(reply, StartsWith("%7\r\n"));
  EXPECT_THAT(reply, HasSubstr("$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:9\r\n"));
  EXPECT_EQ(connection.version, RespVersion::k3);
  EXPECT_EQ(connection.name, "me");
  EXPECT_EQ(Parse("CLIENT GETNAME", &connection), "$2\r\nme");
  EXPECT_THAT(Parse("HELLO 2", &connection), StartsWith("*14\r\n"));
  EXPECT_EQ(connection.version, RespVersion::k2);
}

TEST(Hello, ChangesNothingWhenRefused) {
  ConnectionState connection;
  EXPECT_THAT(Parse("HELLO 3 SETNAME me FOO", &connection), StartsWith("-ERR"));
  EXPECT_EQ(connection.version, RespVersion::k2);
  EXPECT_EQ(connection.name, "");
}

TEST(Client, TellsWhatItWasTold) {
  ConnectionState connection;
  connection.id = 3;
  Parse("HELLO 3 SETNAME me", &connection);
  Parse("CLIENT SETINFO LIB-NAME lib", &connection);
  Parse("CLIENT SETINFO LIB-VER 1.2", &connection);
  EXPECT_THAT(Parse("CLIENT INFO", &connection),
              HasSubstr("id=3 name=me db=0 resp=3 lib-name=lib lib-ver=1.2"));
  Parse("RESET", &connection);
  EXPECT_EQ(Parse("CLIENT INFO", &connection), "$42\r\nid=3 name= db=0 resp=2 lib-name= lib-ver=");
}

TEST(Client, NamesAreBounded) {
  ConnectionState connection;
  EXPECT_EQ(Parse(absl::StrCat("CLIENT SETNAME ", std::string(256, 'n')), &connection), "+OK");
  EXPECT_EQ(Parse(absl::StrCat("CLIENT SETNAME ", std::string(257, 'n')), &connection),
            "-ERR Client names is 257 bytes, the limit is 256");
  EXPECT_EQ(connection.name.size(), 256u);
}

// ---- Limits ----

std::string ParseWords(const std::vector<absl::string_view>& words) {
  ConnectionState connection;
  const Request request = ParseCommand(words, &connection);
  return std::holds_alternative<DataRequest>(request) ? "data" : Describe(request);
}

TEST(Limits, OfKeysAndValuesNameTheArgument) {
  const std::string key(kv::kMaxKeyBytes, 'k'), long_key = key + "k";
  const std::string value(kv::kMaxValueBytes, 'v'), long_value = value + "v";
  EXPECT_EQ(ParseWords({"SET", key, value}), "data");
  EXPECT_EQ(ParseWords({"SET", long_key, "v"}),
            "-ERR 'set' argument 1: key is 65537 bytes, the limit is 65536");
  EXPECT_EQ(ParseWords({"SET", "k", long_value}),
            "-ERR 'set' argument 2: value is 8388609 bytes, the limit is 8388608");
  EXPECT_EQ(ParseWords({"MSET", "a", "1", "b", long_value}),
            "-ERR 'mset' argument 4: value is 8388609 bytes, the limit is 8388608");
  EXPECT_EQ(ParseWords({"GET", long_key}),
            "-ERR 'get' argument 1: key is 65537 bytes, the limit is 65536");
  EXPECT_EQ(ParseWords({"KV.RANGE", "a", long_key}),
            "-ERR 'kv.range' argument 2: end is 65537 bytes, the limit is 65536");
  EXPECT_EQ(ParseWords({"KV.PREFIX", "a", "CURSOR", long_key}),
            "-ERR 'kv.prefix' argument 3: cursor is 65537 bytes, the limit is 65536");
  EXPECT_EQ(ParseWords({"KV.SESSION", "RUN", "1", "2", "SET", long_key, "v"}),
            "-ERR 'kv.session|run' argument 5: key is 65537 bytes, the limit is 65536");
  EXPECT_EQ(ParseWords({"MSETNX", long_key, "v"}),
            "-ERR 'msetnx' argument 1: key is 65537 bytes, the limit is 65536");
}

TEST(Limits, OfWholeCommands) {
  std::vector<absl::string_view> words(1 + kv::kMaxOps, "k");
  words[0] = "MGET";
  EXPECT_EQ(ParseWords(words), "data");
  words.push_back("k");
  EXPECT_EQ(ParseWords(words), "-ERR 'mget' 65537 operations, the limit is 65536");
  const std::string value(kv::kMaxValueBytes, 'v');
  EXPECT_EQ(ParseWords({"MSET", "a", value, "b", value}),
            "-ERR 'mset' keys and values are 16777218 bytes, the limit is 16777216");
}

TEST(Limits, OfWhatAnErrorRepeats) {
  const std::string word(100'000, 'x');
  EXPECT_LT(ParseWords({word, word, word}).size(), 400u);
  EXPECT_LT(ParseWords({"CLIENT", word}).size(), 400u);
  EXPECT_LT(ParseWords({"HELLO", "3", word}).size(), 400u);
  EXPECT_LT(ParseWords({"CLIENT", "SETINFO", word, "1"}).size(), 400u);
}

// A request that is used again keeps nothing of the one before.
TEST(Request, IsUsedAgain) {
  ConnectionState connection;
  Request request;
  const auto run = [&](absl::string_view line) {
    const std::vector<absl::string_view> words = Split(line);
    ParseCommand(words, &connection, &request);
    return Describe(request);
  };
  EXPECT_EQ(run("KV.SESSION RUN 1 3 ACK 2 MSETNX a 1 b 2"),
            "write setnx: session 1/3/2 absent(a) absent(b) set(a=1) set(b=2)");
  EXPECT_EQ(run("GET k"), "read value: get(k)");
  EXPECT_EQ(run("QUIT"), "+OK (close)");
  EXPECT_EQ(run("PING"), "+PONG");
  EXPECT_EQ(run("KV.TRANSFER 3"), "transfer 3");
  EXPECT_EQ(run("SET k v"), "write set: set(k=v)");
}

// ---- Results ----

kv::VersionedValue Value(kv::Version version, absl::string_view bytes) {
  return {version, raft::Payload::Copy(bytes)};
}

std::string Told(ReplyShape shape, const kv::Result& result,
                 RespVersion version = RespVersion::k2) {
  std::string out;
  wire::RespWriter writer(&out, version);
  WriteResult(shape, result, &writer);
  Read(out);
  return out;
}

std::string Told(ReplyShape shape, std::vector<kv::OpResult> ops) {
  kv::Result result;
  result.index = 12;
  result.ops = std::move(ops);
  return Told(shape, result);
}

TEST(Result, HasItsShape) {
  EXPECT_EQ(Told(ReplyShape::kOk, {kv::Done(), kv::Done()}), "+OK\r\n");
  EXPECT_EQ(Told(ReplyShape::kSet, {kv::Done()}), "+OK\r\n");
  EXPECT_EQ(Told(ReplyShape::kSet, {kv::ConditionNotMet{3}}), "$-1\r\n");
  EXPECT_EQ(Told(ReplyShape::kSetGet, {Value(1, "old"), kv::Done()}), "$3\r\nold\r\n");
  EXPECT_EQ(Told(ReplyShape::kSetGet, {kv::Nil(), kv::ConditionNotMet{0}}), "$-1\r\n");
  EXPECT_EQ(Told(ReplyShape::kSetNx, {kv::Done()}), ":1\r\n");
  EXPECT_EQ(Told(ReplyShape::kSetNx, {kv::ConditionNotMet{3}}), ":0\r\n");
  EXPECT_EQ(Told(ReplyShape::kValue, {Value(1, "v")}), "$1\r\nv\r\n");
  EXPECT_EQ(Told(ReplyShape::kValue, {Value(1, "")}), "$0\r\n\r\n");
  EXPECT_EQ(Told(ReplyShape::kValue, {kv::Nil()}), "$-1\r\n");
  EXPECT_EQ(Told(ReplyShape::kInteger, {int64_t{-5}}), ":-5\r\n");
  EXPECT_EQ(Told(ReplyShape::kSum, {int64_t{1}, int64_t{0}, int64_t{1}}), ":2\r\n");
  EXPECT_EQ(Told(ReplyShape::kValues, {Value(1, "a"), kv::Nil(), Value(2, "b")}),
            "*3\r\n$1\r\na\r\n$-1\r\n$1\r\nb\r\n");
  EXPECT_EQ(Told(ReplyShape::kVersioned, {Value(7, "v")}), "*2\r\n:7\r\n$1\r\nv\r\n");
  EXPECT_EQ(Told(ReplyShape::kVersioned, {kv::Nil()}), "$-1\r\n");
  EXPECT_EQ(Told(ReplyShape::kSwap, {kv::Done()}), "*2\r\n:1\r\n:12\r\n");
  EXPECT_EQ(Told(ReplyShape::kSwap, {kv::ConditionNotMet{5}}), "*2\r\n:0\r\n:5\r\n");
}

TEST(Result, OfAScanIsAPage) {
  kv::Page page;
  page.entries.push_back({"a", 1, raft::Payload::Copy("1")});
  page.entries.push_back({"b", 2, raft::Payload::Copy("")});
  EXPECT_EQ(Told(ReplyShape::kPage, {page}),
            "*2\r\n$-1\r\n*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$0\r\n\r\n");
  page.more = true;
  page.next = "c";
  EXPECT_EQ(Told(ReplyShape::kKeys, {page}), "*2\r\n$1\r\nc\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
  EXPECT_EQ(Told(ReplyShape::kPage, {kv::Page()}), "*2\r\n$-1\r\n*0\r\n");
  kv::Result empty;
  empty.ops = {kv::Page()};
  EXPECT_EQ(Told(ReplyShape::kPage, empty, RespVersion::k3), "*2\r\n_\r\n*0\r\n");
}

TEST(Result, OfAFailedOperationIsItsError) {
  const std::map<kv::OpError, absl::string_view> kTexts = {
      {kv::OpError::kNotAnInteger, "-ERR value is not an integer or out of range\r\n"},
      {kv::OpError::kOverflow, "-ERR increment or decrement would overflow\r\n"},
      {kv::OpError::kKeyTooLarge, "-ERR key is too large, the limit is 65536 bytes\r\n"},
      {kv::OpError::kValueTooLarge,
       "-ERR value would be too large, the limit is 8388608 bytes\r\n"},
      {kv::OpError::kReplyTooLarge,
       "-ERR reply would be too large, the limit is 13631488 bytes: ask for less at a time\r\n"},
  };
  ASSERT_EQ(kTexts.size(), static_cast<size_t>(kv::kLastOpError) + 1);
  for (const auto& [error, text] : kTexts) {
    EXPECT_EQ(Told(ReplyShape::kInteger, {error}), text);
    EXPECT_EQ(Told(ReplyShape::kValues, {Value(1, "a"), error}), text) << "never half an answer";
  }
}

TEST(Result, OfEachOutcomeSaysWhatMayBeConcluded) {
  const std::map<kv::Outcome, absl::string_view> kCodes = {
      {kv::Outcome::kGuardFailed, "-ERR guard 1 failed"},
      {kv::Outcome::kUnknownSession, "-SESSIONUNKNOWN "},
      {kv::Outcome::kStaleSequence, "-UNKNOWN "},
      {kv::Outcome::kReplyNotKept, "-APPLIED at index 12 "},
      {kv::Outcome::kUnsupportedLevel, "-NOTAPPLIED "},
      {kv::Outcome::kMalformed, "-ERR malformed"},
  };
  ASSERT_EQ(kCodes.size(), static_cast<size_t>(kv::kLastOutcome));  // all but kOk
  for (const auto& [outcome, code] : kCodes) {
    kv::Result result;
    result.outcome = outcome;
    result.index = 12;
    result.failed_guard = 1;
    for (int shape = 0; shape <= static_cast<int>(ReplyShape::kKeys); ++shape) {
      const std::string told = Told(static_cast<ReplyShape>(shape), result);
      if (outcome == kv::Outcome::kGuardFailed &&
          static_cast<ReplyShape>(shape) == ReplyShape::kSetNx) {
        EXPECT_EQ(told, ":0\r\n");
      } else {
        EXPECT_THAT(told, StartsWith(std::string(code))) << shape;
      }
    }
  }
}

// Results also come from other nodes: one that does not fit is an error, not half a reply.
TEST(Result, ThatDoesNotFitIsAnError) {
  const std::vector<std::vector<kv::OpResult>> kOdd = {{},
                                                       {kv::Nil()},
                                                       {kv::Done()},
                                                       {int64_t{1}},
                                                       {Value(1, "v")},
                                                       {kv::Page()},
                                                       {kv::ConditionNotMet{1}},
                                                       {int64_t{1}, kv::Page()}};
  for (int shape = 0; shape <= static_cast<int>(ReplyShape::kKeys); ++shape) {
    for (const auto& ops : kOdd) Told(static_cast<ReplyShape>(shape), ops);  // reads it back
  }
  for (const ReplyShape shape : {ReplyShape::kInteger, ReplyShape::kSum, ReplyShape::kValues,
                                 ReplyShape::kSwap, ReplyShape::kVersioned, ReplyShape::kKeys}) {
    EXPECT_THAT(Told(shape, {Value(1, "v"), kv::Done()}).substr(0, 9),
                shape == ReplyShape::kVersioned ? "*2\r\n:1\r\n$" : "-UNKNOWN ");
  }
}

TEST(Result, SizeIsAboutRight) {
  kv::Result result;
  result.ops = {Value(1, std::string(1000, 'v')), kv::Nil(), Value(2, std::string(2000, 'v'))};
  EXPECT_GE(ReplyBytes(result), Told(ReplyShape::kValues, result).size());
  EXPECT_LE(ReplyBytes(result), 3100u);
}

// ---- The node ----

class Status : public testing::Test {
 protected:
  Status() {
    members_.Set(1, {11, "10.0.0.1:7401", "10.0.0.1:7400"});
    members_.Set(2, {22, "[::1]:7411", "[::1]:7410"});
    members_.Set(3, {33, "node3:7421", "node3:7420"});
    status_.node = 1;
    status_.incarnation = 11;
    status_.cluster = "00112233445566778899aabbccddeeff";
    status_.role = raft::RoleName::kFollower;
    status_.term = 5;
    status_.leader = 2;
    status_.commit = 90;
    status_.applied = 89;
    status_.digest = "cafe";
    status_.keys = 4;
    status_.conf.voters = {1, 2};
    status_.conf.learners = {3};
    status_.members = &members_;
  }

  RespValue Tell(StatusRequest what, RespVersion version = RespVersion::k3) {
    std::string out;
    wire::RespWriter writer(&out, version);
    WriteStatus(what, status_, &writer);
    return Read(out);
  }
  std::string Text(StatusRequest what) { return Tell(what).text; }

  Members members_;
  NodeStatus status_;
};

TEST_F(Status, IsAFlatMap) {
  const RespValue map = Tell(StatusRequest::kStatus);
  EXPECT_EQ(map.type, RespValue::Type::kMap);
  EXPECT_EQ(Field(map, "node")->text, "1");
  EXPECT_EQ(Field(map, "role")->text, "follower");
  EXPECT_EQ(Field(map, "term")->integer, 5);
  EXPECT_EQ(Field(map, "leader")->text, "2");
  EXPECT_EQ(Field(map, "leader_address")->text, "[::1]:7410");
  EXPECT_EQ(Field(map, "address")->text, "10.0.0.1:7400");
  EXPECT_EQ(Field(map, "commit")->integer, 90);
  EXPECT_EQ(Field(map, "applied")->integer, 89);
  EXPECT_EQ(Field(map, "digest")->text, "cafe");
  EXPECT_EQ(Field(map, "voters")->text, "1,2");
  EXPECT_EQ(Field(map, "learners")->text, "3");
  // Scripts read names and values line by line.
  const RespValue flat = Tell(StatusRequest::kStatus, RespVersion::k2);
  ASSERT_EQ(flat.items.size(), map.items.size());
  for (const RespValue& item : flat.items) {
    EXPECT_TRUE(item.items.empty());
    EXPECT_EQ(item.text.find('\n'), std::string::npos);
  }
}

TEST_F(Status, NamesEachRole) {
  const std::map<raft::RoleName, std::string> kRoles = {
      {raft::RoleName::kFollower, "follower"},
      {raft::RoleName::kPreCandidate, "precandidate"},
      {raft::RoleName::kCandidate, "candidate"},
      {raft::RoleName::kLeader, "leader"}};
  for (const auto& [role, name] : kRoles) {
    status_.role = role;
    EXPECT_EQ(Field(Tell(StatusRequest::kStatus), "role")->text, name);
  }
  status_.role = raft::RoleName::kFollower;
  status_.node = 3;
  EXPECT_EQ(Field(Tell(StatusRequest::kStatus), "role")->text, "learner");
}

TEST_F(Status, ListsMembers) {
  const RespValue list = Tell(StatusRequest::kMembers);
  ASSERT_EQ(list.items.size(), 3u);
  EXPECT_EQ(Field(list.items[1], "node")->text, "2");
  EXPECT_EQ(Field(list.items[1], "membership")->text, "voter");
  EXPECT_EQ(Field(list.items[1], "peer_address")->text, "[::1]:7411");
  EXPECT_EQ(Field(list.items[1], "client_address")->text, "[::1]:7410");
  EXPECT_EQ(Field(list.items[1], "incarnation")->text, "22");
  EXPECT_EQ(Field(list.items[1], "leader")->integer, 1);
  EXPECT_EQ(Field(list.items[2], "membership")->text, "learner");
  EXPECT_EQ(Field(list.items[2], "leader")->integer, 0);
}

TEST_F(Status, SlotsNameTheLeaderFirst) {
  const RespValue slots = Tell(StatusRequest::kClusterSlots, RespVersion::k2);
  ASSERT_EQ(slots.items.size(), 1u);
  const std::vector<RespValue>& range = slots.items[0].items;
  ASSERT_EQ(range.size(), 5u);
  EXPECT_EQ(range[0].integer, 0);
  EXPECT_EQ(range[1].integer, 16383);
  EXPECT_EQ(range[2].items[0].text, "::1");
  EXPECT_EQ(range[2].items[1].integer, 7410);
  EXPECT_EQ(range[2].items[2].text, "445566778899aabbccddeeff0000000000000002");
  EXPECT_EQ(range[3].items[0].text, "10.0.0.1");
  EXPECT_EQ(range[4].items[0].text, "node3");
}

TEST_F(Status, SlotsNameThisNodeWhileThereIsNoLeader) {
  status_.leader = raft::kNoNode;
  const RespValue slots = Tell(StatusRequest::kClusterSlots);
  EXPECT_EQ(slots.items[0].items[2].items[0].text, "10.0.0.1");
  EXPECT_THAT(Text(StatusRequest::kClusterInfo), HasSubstr("cluster_state:fail\r\n"));
}

TEST_F(Status, NodesAreLines) {
  const std::string head = "445566778899aabbccddeeff000000000000000";
  EXPECT_EQ(Text(StatusRequest::kClusterNodes),
            absl::StrCat(head, "2 ::1:7410@7411 master - 0 0 5 connected 0-16383\n",  //
                         head, "1 10.0.0.1:7400@7401 myself,slave ", head, "2 0 0 5 connected\n",
                         head, "3 node3:7420@7421 slave ", head, "2 0 0 5 connected\n"));
  EXPECT_EQ(Text(StatusRequest::kClusterMyId), head + "1");
  EXPECT_THAT(Text(StatusRequest::kClusterInfo), HasSubstr("cluster_state:ok\r\n"));
  EXPECT_THAT(Text(StatusRequest::kClusterInfo), HasSubstr("cluster_known_nodes:3\r\n"));
}

TEST_F(Status, ShardsHaveAllNodes) {
  const RespValue shards = Tell(StatusRequest::kClusterShards);
  ASSERT_EQ(shards.items.size(), 1u);
  const RespValue* nodes = Field(shards.items[0], "nodes");
  ASSERT_EQ(nodes->items.size(), 3u);
  EXPECT_EQ(Field(nodes->items[0], "role")->text, "master");
  EXPECT_EQ(Field(nodes->items[0], "port")->integer, 7410);
  EXPECT_EQ(Field(nodes->items[1], "role")->text, "replica");
}

TEST_F(Status, InfoHasSections) {
  const std::string all = Text(StatusRequest::kInfo);
  EXPECT_THAT(all, StartsWith("# Server\r\nredis_version:"));
  EXPECT_THAT(all, HasSubstr("# Raft\r\nnode:1\r\nraft_role:follower\r\nterm:5\r\nleader:2\r\n"));
  EXPECT_THAT(all, HasSubstr("# Keyspace\r\ndb0:keys=4,"));
  EXPECT_EQ(Text(StatusRequest::kInfoCluster), "# Cluster\r\ncluster_enabled:1\r\n");
  EXPECT_EQ(Text(StatusRequest::kInfoNothing), "");
}

TEST_F(Status, OfANodeThatKnowsNobody) {
  status_.members = nullptr;
  status_.conf = {};
  for (int what = 0; what <= static_cast<int>(StatusRequest::kClusterMyId); ++what) {
    for (const RespVersion version : {RespVersion::k2, RespVersion::k3}) {
      Tell(static_cast<StatusRequest>(what), version);
    }
  }
  EXPECT_TRUE(Tell(StatusRequest::kClusterSlots).items.empty());
}

}  // namespace
}  // namespace raftkv::replica
