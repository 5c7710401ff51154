#include "sim/clients/visitor.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/kv/limits.h"

namespace raftkv::sim {
namespace {

constexpr Time kPatience = 300 * kMillisecond;
constexpr uint64_t kMostRequests = 8;
// Words are separated by blanks. Nothing here changes what a node holds or does for others; its
// only key is one that nobody has.
constexpr absl::string_view kRequests[] = {
    "PING",
    "PING hello",
    "PING hello again",
    "ECHO hello",
    "HELLO",
    "HELLO 2",
    "HELLO 3",
    "HELLO 3 SETNAME visitor",
    "HELLO 3 AUTH default word",
    "HELLO 4",
    "HELLO three",
    "HELLO 3 WHAT",
    "AUTH word",
    "AUTH default word",
    "AUTH nobody word",
    "AUTH",
    "CLIENT",
    "CLIENT ID",
    "CLIENT GETNAME",
    "CLIENT SETNAME visitor",
    "CLIENT SETINFO LIB-NAME some",
    "CLIENT SETINFO LIB-VER 1",
    "CLIENT SETINFO LIB-WHAT 1",
    "CLIENT INFO",
    "CLIENT LIST",
    "CLIENT LIST TYPE normal",
    "CLIENT KILL ID 1",
    "CLIENT NO-EVICT ON",
    "CLIENT NO-EVICT WHAT",
    "CLIENT NO-TOUCH OFF",
    "CLIENT REPLY ON",
    "CLIENT REPLY OFF",
    "CLIENT REPLY WHAT",
    "CLIENT HELP",
    "CLIENT NOSUCH",
    "CLUSTER COUNTKEYSINSLOT 1",
    "CLUSTER HELP",
    "CLUSTER INFO",
    "CLUSTER KEYSLOT a{b}c",
    "CLUSTER KEYSLOT a",
    "CLUSTER MYID",
    "CLUSTER NODES",
    "CLUSTER SHARDS",
    "CLUSTER SLOTS",
    "COMMAND",
    "COMMAND COUNT",
    "COMMAND DOCS",
    "COMMAND DOCS get nosuch client",
    "COMMAND GETKEYS mset a 1 b 2",
    "COMMAND GETKEYS ping",
    "COMMAND GETKEYS nosuch a",
    "COMMAND GETKEYS get",
    "COMMAND HELP",
    "COMMAND INFO",
    "COMMAND INFO get nosuch config|get",
    "COMMAND LIST",
    "COMMAND LIST FILTERBY PATTERN k*",
    "COMMAND LIST FILTERBY PATTERN [a-c]?n*",
    "COMMAND LIST WHAT",
    "CONFIG GET *",
    "CONFIG GET maxm* nosuch",
    "CONFIG SET a b",
    "CONFIG RESETSTAT",
    "CONFIG HELP",
    "DBSIZE",
    "INFO",
    "INFO all",
    "INFO everything",
    "INFO server",
    "INFO clients",
    "INFO memory",
    "INFO persistence",
    "INFO stats",
    "INFO replication",
    "INFO keyspace",
    "INFO nosuch",
    "INFO a b",
    "SELECT 0",
    "SELECT 1",
    "SELECT x",
    "READONLY",
    "READWRITE",
    "RESET",
    "KV.STATUS",
    "KV.STATUS x",
    "KV.MEMBER LIST",
    "KV.MEMBER HELP",
    "KV.MEMBER ADD x",
    "KV.MEMBER ADD x a b 1",
    "KV.MEMBER PROMOTE x",
    "KV.MEMBER REMOVE x",
    "KV.TRANSFER x",
    "KV.SESSION HELP",
    "KV.SESSION RUN x 1 GET nobody",
    "KV.SESSION RUN 1 x SET nobody 1",
    "KV.SESSION RUN 1 2 ACK x SET nobody 1",
    "KV.SESSION RUN 1 2 ACK 2 SET nobody 1",
    "KV.SESSION RUN 1 2 GET nobody",
    "KV.SESSION RUN 1 2 NOSUCH",
    "KV.SESSION CLOSE x",
    "COMMAND GETKEYS kv.session run 1 1 ack 1 set a b",
    "COMMAND GETKEYS kv.session run 1 1 nosuch",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH nobody",
    "UNWATCH",
    "EXPIRE nobody 1",
    "SETEX nobody 1 x",
    "KEYS *",
    "SCAN 0",
    "GET",
    "GET nobody",
    "STRLEN nobody",
    "EXISTS nobody",
    "MGET nobody",
    "KV.GET nobody",
    "KV.PREFIX nobody",
    "KV.PREFIX nobody LIMIT x",
    "KV.PREFIX nobody CURSOR nobody1 LIMIT 3",
    "KV.PREFIX nobody KEYS",
    "KV.PREFIX nobody WHAT",
    "KV.RANGE nobody nobodz LIMIT 2",
    "KV.RANGE nobody",
    "KV.CAS nobody x y",
    "MSET nobody",
    "SET nobody",
    "SET nobody x WHAT",
    "SET nobody x NX XX",
    "SET nobody x EX 10",
    "INCRBY nobody x",
    "INCRBY nobody 99999999999999999999",
    "DECRBY nobody -9223372036854775808",
    "NOSUCH",
    "NOSUCH with words",
};

// As a person types them: in one line, with quotes. The first ones say hello.
constexpr size_t kTypedHello = 2;
constexpr absl::string_view kTyped[] = {
    R"(ECHO "hel\x6c\x6F")",
    R"(ECHO 'hello')",
    R"(ECHO "\n\r\t\b\a\"\\ \q \xzz")",
    R"(ECHO 'it\'s')",
    R"(ECHO "hello" hello)",
    R"(ECHO "hello"hello)",
    R"(CLIENT SETNAME "a visitor")",
    R"(CLIENT SETINFO LIB-NAME "a b")",
    R"(ECHO "hello)",
    R"(  PING   "hello"  )",
    "",
};

// A key that is too long, in each of its places.
std::vector<std::string> AskTooMuch(Random& chance) {
  std::string long_key(kv::kMaxKeyBytes + 1, 'k');
  switch (chance.Below(3)) {
    case 0:
      return {"GET", std::move(long_key)};
    case 1:
      return {"KV.RANGE", "nobody", std::move(long_key)};
    default:
      return {"SET", std::move(long_key), "value"};
  }
}

// What comes behind is not read any more.
constexpr absl::string_view kLast[] = {
    "*1\r\n$-5\r\n", "*1\r\n:1\r\n", "*99999999\r\n", "*1\r\n$4\r\nPINGxx", "*x\r\n",
};

}  // namespace

Visitor::Visitor(Time every, uint64_t seed, Scheduler* scheduler, CallerPorts* ports, Judge* judge,
                 KnownNodes nodes)
    : every_(every),
      seed_(seed),
      scheduler_(scheduler),
      ports_(ports),
      judge_(judge),
      nodes_(std::move(nodes)) {}

void Visitor::Start() {
  scheduler_->After(every_, Actor::kClient, [this] {
    if (stopped_) return;
    Come();
    Start();
  });
}

void Visitor::Stop() {
  stopped_ = true;
  Go();
}

void Visitor::Go() {
  asked_.clear();
  if (connection_.has_value()) ports_->Close(*std::exchange(connection_, std::nullopt));
}

void Visitor::Come() {
  Go();
  Random chance = Random::Stream(seed_, absl::StrCat("visit ", ++visits_));
  const std::vector<raft::NodeId> nodes = nodes_();
  node_ = nodes[chance.Below(nodes.size())];
  reader_ = wire::RespReplyReader();
  std::string bytes;
  const uint64_t count = chance.Between(1, kMostRequests);
  for (uint64_t i = 0; i < count; ++i) {
    if (chance.Chance(1, 20)) {
      const std::vector<std::string> words = AskTooMuch(chance);
      asked_.push_back({absl::StrCat(words[0], " with a long key"), std::nullopt});
      wire::WriteRespRequest(std::vector<absl::string_view>(words.begin(), words.end()), &bytes);
      continue;
    }
    if (chance.Chance(1, 10)) {
      const uint64_t which = chance.Below(std::size(kTyped));
      const absl::string_view typed = kTyped[which];
      if (!typed.empty())
        asked_.push_back({std::string(typed), std::nullopt});  // no line, no answer
      if (which < kTypedHello && i == 0) asked_.back().answer = "hello";
      absl::StrAppend(&bytes, typed, "\r\n");
      continue;
    }
    const absl::string_view request = kRequests[chance.Below(std::size(kRequests))];
    const std::vector<absl::string_view> words = absl::StrSplit(request, ' ');
    asked_.push_back({std::string(request), std::nullopt});
    // A transaction or a reset says something else to that.
    if (words[0] == "ECHO" && i == 0) asked_.back().answer = std::string(words[1]);
    if (chance.Chance(1, 4)) {
      absl::StrAppend(&bytes, request, "\r\n");
    } else {
      wire::WriteRespRequest(words, &bytes);
    }
  }
  if (chance.Chance(1, 8)) {
    asked_.push_back({"something that is no request", std::nullopt});
    absl::StrAppend(&bytes, kLast[chance.Below(std::size(kLast))]);
  } else if (chance.Chance(1, 8)) {
    asked_.push_back({"QUIT", "OK"});
    wire::WriteRespRequest({"QUIT"}, &bytes);
  }
  connection_ = ports_->Connect(this, node_);
  ports_->Send(*connection_, std::move(bytes));
  scheduler_->After(kPatience, Actor::kClient, [this, connection = *connection_] {
    if (connection_ == connection) Go();
  });
}

void Visitor::Fail(absl::string_view what) {
  judge_->Fail(Oracle::kAddressing, absl::StrCat("node ", node_, " is asked by a visitor, ", what));
}

void Visitor::OnBytes(replica::ClientId connection, const std::string& bytes) {
  if (connection_ != connection) return;
  reader_.Feed(bytes);
  wire::RespValue reply;
  for (;;) {
    const wire::RespReplyReader::Outcome outcome = reader_.Next(&reply);
    if (outcome == wire::RespReplyReader::Outcome::kNeedMore) break;
    if (outcome == wire::RespReplyReader::Outcome::kError) {
      Fail("and what it answers is no reply");
      return Go();
    }
    if (asked_.empty()) {
      Fail("and answers more than it was asked");
      return Go();
    }
    const Asked asked = std::move(asked_.front());
    asked_.pop_front();
    ++answers_;
    if (asked.answer.has_value() && !reply.is_error() && reply.text != *asked.answer) {
      Fail(absl::StrCat(asked.request, ", and answers ", reply.text));
    }
  }
  if (asked_.empty()) Go();
}

void Visitor::OnClosed(replica::ClientId connection) {
  if (connection_ != connection) return;
  connection_.reset();
  asked_.clear();
}

}  // namespace raftkv::sim
