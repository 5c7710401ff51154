// Requests in, replies out in their order, and what happens to clients that send too much or read
// too little.
#include "core/replica/client_connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/raft/random.h"

namespace raftkv::replica {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Encode(const std::vector<absl::string_view>& words) {
  std::string bytes;
  wire::WriteRespRequest(words, &bytes);
  return bytes;
}

kv::Result Value(absl::string_view bytes) {
  kv::Result result;
  result.ops.push_back(kv::VersionedValue{1, raft::Payload::Copy(bytes)});
  return result;
}

// A server that answers GET k with k itself, when it is told to.
class Server {
 public:
  explicit Server(const ClientConnection::Limits& limits = {}) : connection(7, limits) {}

  // Takes what Next gives. The number of requests taken.
  size_t Accept() {
    size_t taken = 0;
    uint64_t slot = 0;
    while (connection.Next(&request_, &slot)) {
      const auto* data = std::get_if<DataRequest>(&request_);
      const std::string key = data == nullptr ? "" : std::string(data->command.ops[0].key);
      open.push_back({slot, key});
      ++taken;
    }
    return taken;
  }

  size_t Feed(absl::string_view bytes) {
    connection.Feed(bytes);
    return Accept();
  }

  void Get(absl::string_view key) { EXPECT_EQ(Feed(Encode({"GET", key})), 1u); }

  // Answers the n-th of the requests that are open.
  void Answer(size_t n) {
    const Open answered = open[n];
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(n));
    connection.Complete(answered.slot, ReplyShape::kValue, Value(answered.key));
  }
  void Answer(size_t n, absl::string_view value) {
    const Open answered = open[n];
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(n));
    connection.Complete(answered.slot, ReplyShape::kValue, Value(value));
  }

  // What leaves, all of it read by the client.
  std::string Take() {
    std::string bytes = connection.TakeOutput();
    connection.Written(bytes.size());
    return bytes;
  }

  struct Open {
    uint64_t slot;
    std::string key;
  };
  ClientConnection connection;
  std::vector<Open> open;

 private:
  Request request_;
};

std::string Bulk(absl::string_view bytes) {
  return absl::StrCat("$", bytes.size(), "\r\n", bytes, "\r\n");
}

// ---- Order ----

TEST(Order, IsThatOfTheRequests) {
  Server server;
  for (const char* key : {"a", "b", "c"}) server.Get(key);
  EXPECT_EQ(server.connection.unanswered(), 3u);
  server.Answer(2);
  EXPECT_EQ(server.Take(), "");
  server.Answer(0);
  EXPECT_EQ(server.Take(), Bulk("a"));
  EXPECT_EQ(server.connection.unanswered(), 2u);
  server.Answer(0);
  EXPECT_EQ(server.Take(), Bulk("b") + Bulk("c"));
  EXPECT_EQ(server.connection.unanswered(), 0u);
}

TEST(Order, HoldsForWhatTheConnectionAnswersItself) {
  Server server;
  EXPECT_EQ(server.Feed(Encode({"PING"}) + Encode({"GET", "a"}) + Encode({"PING", "x"}) +
                        Encode({"NOSUCH"}) + Encode({"GET", "b"})),
            2u);
  EXPECT_EQ(server.Take(), "+PONG\r\n");
  server.Answer(0);
  EXPECT_EQ(server.Take(), Bulk("a") + Bulk("x") +
                               "-ERR unknown command 'NOSUCH', with args beginning with: \r\n");
  server.Answer(0);
  EXPECT_EQ(server.Take(), Bulk("b"));
}

TEST(Order, HoldsForEveryWayToAnswer) {
  Server server;
  for (const char* key : {"a", "b", "c", "d"}) server.Get(key);
  NodeStatus status;
  status.term = 4;
  server.connection.Status(server.open[3].slot, StatusRequest::kInfoCluster, status);
  server.connection.Ok(server.open[2].slot);
  server.connection.Fail(server.open[1].slot, "NOTAPPLIED no leader");
  EXPECT_EQ(server.Take(), "");
  server.Answer(0);
  EXPECT_EQ(server.Take(), Bulk("a") + "-NOTAPPLIED no leader\r\n+OK\r\n" +
                               Bulk("# Cluster\r\ncluster_enabled:1\r\n"));

  for (const char* key : {"e", "f", "g"}) server.Get(key);
  server.connection.Fail(server.open[3 + 1].slot - 1, "UNKNOWN timed out");
  server.connection.Ok(server.open[4].slot);
  server.connection.Status(server.open[5].slot, StatusRequest::kInfoCluster, status);
  EXPECT_EQ(server.Take(),
            "-UNKNOWN timed out\r\n+OK\r\n" + Bulk("# Cluster\r\ncluster_enabled:1\r\n"));
}

TEST(Order, AReplyHasTheVersionInWhichItWasAsked) {
  Server server;
  server.Get("a");
  server.Feed(Encode({"HELLO", "3"}));
  server.Get("b");
  EXPECT_EQ(server.connection.state().version, wire::RespVersion::k3);
  kv::Result nil;
  nil.ops.push_back(kv::Nil());
  server.connection.Complete(server.open[1].slot, ReplyShape::kValue, nil);
  server.connection.Complete(server.open[0].slot, ReplyShape::kValue, nil);
  const std::string out = server.Take();
  EXPECT_THAT(out, StartsWith("$-1\r\n%7\r\n"));
  EXPECT_EQ(out.substr(out.size() - 3), "_\r\n");
}

TEST(Order, HoldsThroughThousandsInFlight) {
  Server server;
  std::string bytes, expected;
  for (int i = 0; i < 4'000; ++i) {
    bytes += Encode({"GET", absl::StrCat("key", i)});
    expected += Bulk(absl::StrCat("key", i));
  }
  EXPECT_EQ(server.Feed(bytes), 4'000u);
  // Backwards: nothing may leave before the last answer.
  while (server.open.size() > 1) server.Answer(server.open.size() - 1);
  EXPECT_EQ(server.connection.TakeOutput(), "");
  server.Answer(0);
  EXPECT_EQ(server.Take(), expected);
}

// ---- Bytes ----

TEST(Bytes, MayComeInAnyPieces) {
  const std::string bytes = Encode({"GET", "a"}) + "PING\r\n" + Encode({"SET", "b", "1\r\n2"}) +
                            Encode({"HELLO", "3"}) + Encode({"GET", ""}) + Encode({"QUIT"});
  const auto run = [](const std::vector<absl::string_view>& pieces) {
    Server server;
    for (const absl::string_view piece : pieces) server.Feed(piece);
    while (!server.open.empty()) server.Answer(0);
    EXPECT_TRUE(server.connection.closing());
    return server.Take();
  };
  const std::string whole = run({bytes});
  EXPECT_THAT(whole, StartsWith(Bulk("a") + "+PONG\r\n" + Bulk("b") + "%7\r\n"));
  EXPECT_EQ(whole.substr(whole.size() - 11), "$0\r\n\r\n+OK\r\n");
  const absl::string_view view = bytes;
  for (size_t first = 0; first <= view.size(); ++first) {
    for (size_t second = first; second <= view.size(); ++second) {
      ASSERT_EQ(
          run({view.substr(0, first), view.substr(first, second - first), view.substr(second)}),
          whole)
          << first << " " << second;
    }
  }
  std::vector<absl::string_view> single;
  for (size_t i = 0; i < view.size(); ++i) single.push_back(view.substr(i, 1));
  EXPECT_EQ(run(single), whole);
}

TEST(Bytes, HalfARequestIsNoInput) {
  Server server;
  EXPECT_FALSE(server.connection.has_input());
  const std::string bytes = Encode({"GET", "a"});
  EXPECT_EQ(server.Feed(bytes.substr(0, 10)), 0u);
  EXPECT_FALSE(server.connection.has_input());
  server.connection.Feed(bytes.substr(10));
  EXPECT_TRUE(server.connection.has_input());
  EXPECT_EQ(server.Accept(), 1u);
}

TEST(Bytes, AProtocolErrorIsToldInTurnAndEndsTheConnection) {
  Server server;
  server.Get("a");
  EXPECT_EQ(server.Feed("*1\r\n$x\r\n" + Encode({"GET", "b"})), 0u);
  EXPECT_FALSE(server.connection.closing()) << "the reply to GET a is still owed";
  EXPECT_FALSE(server.connection.has_input());
  EXPECT_TRUE(server.connection.wants_pause());
  EXPECT_EQ(server.Feed(Encode({"GET", "c"})), 0u);
  server.Answer(0);
  EXPECT_TRUE(server.connection.closing());
  EXPECT_EQ(server.Take(), Bulk("a") + "-ERR Protocol error: invalid bulk length\r\n");
}

TEST(Bytes, AProtocolErrorWithNothingOwedEndsAtOnce) {
  Server server;
  server.Feed("*1\r\n$4294967296\r\n");
  EXPECT_TRUE(server.connection.closing());
  EXPECT_EQ(server.Take(), "-ERR Protocol error: invalid bulk length\r\n");
}

TEST(Bytes, QuitEndsBehindWhatIsOwed) {
  Server server;
  server.Feed(Encode({"GET", "a"}) + Encode({"QUIT"}) + Encode({"GET", "b"}));
  EXPECT_EQ(server.open.size(), 1u);
  EXPECT_FALSE(server.connection.closing());
  server.Answer(0);
  EXPECT_TRUE(server.connection.closing());
  EXPECT_EQ(server.Take(), Bulk("a") + "+OK\r\n");
}

TEST(Bytes, AClientThatSendsNoMoreGetsWhatIsOwed) {
  Server server;
  server.Feed(Encode({"GET", "a"}) + Encode({"GET", "b"}).substr(0, 9));
  server.connection.Finish();
  EXPECT_EQ(server.Accept(), 0u);
  EXPECT_FALSE(server.connection.closing());
  server.Answer(0);
  EXPECT_TRUE(server.connection.closing());
  EXPECT_EQ(server.Take(), Bulk("a"));
}

TEST(Bytes, AClientThatSendsNoMoreIsServedThroughAFullPipeline) {
  Server server({.max_pipeline = 1});
  EXPECT_EQ(server.Feed(Encode({"GET", "a"}) + Encode({"GET", "b"})), 1u);
  server.connection.Finish();
  EXPECT_EQ(server.Accept(), 0u);
  server.Answer(0);
  EXPECT_EQ(server.Accept(), 1u);
  EXPECT_FALSE(server.connection.closing());
  server.Answer(0);
  server.Accept();
  EXPECT_TRUE(server.connection.closing());
  EXPECT_EQ(server.Take(), Bulk("a") + Bulk("b"));
}

TEST(Bytes, AWrongCommandDoesNotEndTheConnection) {
  Server server;
  const std::string value((8 << 20) + 1, 'v');
  server.Feed(Encode({"SET", "k", value}) + Encode({"GET", "a"}));
  server.Answer(0);
  EXPECT_EQ(server.Take(),
            "-ERR 'set' argument 2: value is 8388609 bytes, the limit is 8388608\r\n" + Bulk("a"));
  EXPECT_FALSE(server.connection.closing());
}

// ---- Pipelines ----

TEST(Pipeline, PausesWhenFullAndGoesOnWhenHalfEmpty) {
  Server server({.max_pipeline = 4});
  std::string bytes;
  for (int i = 0; i < 10; ++i) bytes += Encode({"GET", absl::StrCat(i)});
  EXPECT_EQ(server.Feed(bytes), 4u);
  EXPECT_TRUE(server.connection.wants_pause());
  EXPECT_FALSE(server.connection.has_input());
  server.Answer(0);
  EXPECT_TRUE(server.connection.wants_pause()) << "not for one place";
  EXPECT_EQ(server.Accept(), 0u);
  server.Answer(0);
  EXPECT_FALSE(server.connection.wants_pause());
  EXPECT_TRUE(server.connection.has_input());
  EXPECT_EQ(server.Accept(), 2u);
  std::string out = server.Take();
  while (!server.open.empty()) {
    server.Answer(server.open.size() / 2);
    out += server.Take();
    server.Accept();
  }
  std::string expected;
  for (int i = 0; i < 10; ++i) expected += Bulk(absl::StrCat(i));
  EXPECT_EQ(out, expected);
  EXPECT_FALSE(server.connection.wants_pause());
}

TEST(Pipeline, OfOneIsPossible) {
  Server server({.max_pipeline = 1});
  EXPECT_EQ(server.Feed(Encode({"GET", "a"}) + Encode({"PING"}) + Encode({"GET", "b"})), 1u);
  server.Answer(0);
  EXPECT_EQ(server.Accept(), 1u);
  server.Answer(0);
  EXPECT_EQ(server.Take(), Bulk("a") + "+PONG\r\n" + Bulk("b"));
}

// ---- Readers ----

TEST(Reader, GetsAReplyLargerThanTheOutputLimit) {
  Server server({.max_output_bytes = 100});
  server.Get("a");
  const std::string value(1000, 'v');
  server.Answer(0, value);
  EXPECT_FALSE(server.connection.closing());
  EXPECT_EQ(server.Take(), Bulk(value));
  server.Get("b");
}

TEST(Reader, ThatIsSlowGetsEverythingInTheEnd) {
  Server server({.max_output_bytes = 100});
  std::string expected;
  for (int i = 0; i < 7; ++i) server.Get(absl::StrCat(i));
  for (int i = 0; i < 7; ++i) {
    const std::string value(60, static_cast<char>('a' + i));
    expected += Bulk(value);
    server.Answer(0, value);
  }
  // Two replies are above the limit; the others wait as results.
  EXPECT_TRUE(server.connection.wants_pause());
  std::string pending = server.connection.TakeOutput();
  EXPECT_EQ(pending.size(), 2 * Bulk(std::string(60, 'a')).size());
  EXPECT_EQ(server.connection.TakeOutput(), "");
  // The client reads 7 bytes at a time.
  std::string received;
  size_t most = pending.size();
  while (!pending.empty()) {
    const size_t n = std::min<size_t>(7, pending.size());
    received += pending.substr(0, n);
    pending.erase(0, n);
    server.connection.Written(n);
    pending += server.connection.TakeOutput();
    most = std::max(most, pending.size());
  }
  EXPECT_EQ(received, expected);
  EXPECT_LE(most, 100 + Bulk(std::string(60, 'a')).size());
  EXPECT_FALSE(server.connection.closing());
  EXPECT_FALSE(server.connection.wants_pause());
  EXPECT_EQ(server.connection.unanswered(), 0u);
}

TEST(Reader, ThatIsBehindIsNotServedFurther) {
  Server server({.max_output_bytes = 100});
  server.Get("a");
  server.Answer(0, std::string(200, 'v'));
  EXPECT_TRUE(server.connection.wants_pause());
  server.connection.Feed(Encode({"PING"}));
  EXPECT_EQ(server.Accept(), 0u);
  const std::string out = server.connection.TakeOutput();
  server.connection.Written(out.size() - 100);
  EXPECT_TRUE(server.connection.wants_pause());
  server.connection.Written(1);
  EXPECT_FALSE(server.connection.wants_pause());
  server.Accept();
  EXPECT_EQ(server.connection.TakeOutput(), "+PONG\r\n");
}

TEST(Reader, ToWhomFarTooMuchIsOwedIsClosed) {
  Server server({.max_output_bytes = 100});
  for (int i = 0; i < 30; ++i) server.Get(absl::StrCat(i));
  size_t answered = 0;
  while (!server.connection.closing() && answered < 30) {
    server.connection.Complete(server.open[answered].slot, ReplyShape::kValue,
                               Value(std::string(60, 'v')));
    ++answered;
  }
  // 8 times the limit are owed after some ten replies of sixty and a few bytes.
  EXPECT_GE(answered, 8u);
  EXPECT_LE(answered, 13u);
  EXPECT_TRUE(server.connection.closing());
  EXPECT_EQ(server.connection.TakeOutput(), "") << "a client that does not read gets no more";
  // Late answers and bytes do nothing.
  server.connection.Complete(server.open[answered].slot, ReplyShape::kValue, Value("late"));
  server.connection.Ok(server.open[answered + 1].slot);
  EXPECT_EQ(server.Feed(Encode({"GET", "x"})), 0u);
  EXPECT_EQ(server.connection.TakeOutput(), "");
}

TEST(Reader, IsClosedWhenWaitingRepliesOutOfOrderGrowTooLarge) {
  Server server({.max_output_bytes = 100});
  for (int i = 0; i < 30; ++i) server.Get(absl::StrCat(i));
  NodeStatus status;
  for (size_t i = 1; i < 30; ++i) {
    server.connection.Status(server.open[i].slot, StatusRequest::kStatus, status);
  }
  EXPECT_TRUE(server.connection.closing());
}

// ---- Everything at once ----

// Random requests in random pieces, answered in a random order, read in random pieces: the client
// sees exactly the replies, in order, and nothing stays behind.
TEST(Connection, KeepsItsPromisesUnderAnySchedule) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const uint64_t max_output = random.Between(700, 3'000);
    Server server({.max_output_bytes = max_output,
                   .max_pipeline = static_cast<uint32_t>(random.Between(1, 40))});
    std::string to_send, expected;
    const uint64_t requests = random.Between(1, 300);
    const uint64_t value_limit = max_output / 8 + 1;  // never so much that the client is closed
    for (uint64_t i = 0; i < requests; ++i) {
      const std::string word(random.Below(value_limit), static_cast<char>('a' + i % 26));
      if (random.Chance(1, 3)) {
        to_send += Encode({"PING", word});
      } else {
        to_send += Encode({"GET", word});
      }
      expected += Bulk(word);
    }
    std::string received, in_flight;
    uint64_t steps = 0;
    while (received.size() < expected.size()) {
      ASSERT_LT(++steps, 200'000u) << "stuck";
      ASSERT_FALSE(server.connection.closing());
      const uint64_t action = random.Below(3);
      if (action == 0 && !server.connection.wants_pause() && !to_send.empty()) {
        const size_t n = std::min<size_t>(random.Between(1, 400), to_send.size());
        server.Feed(to_send.substr(0, n));
        to_send.erase(0, n);
      } else if (action == 1 && !server.open.empty() && in_flight.size() < 2 * max_output) {
        server.Answer(random.Below(server.open.size()));
      } else if (action == 2) {
        const size_t n = random.Below(in_flight.size() + 1);
        received += in_flight.substr(0, n);
        in_flight.erase(0, n);
        server.connection.Written(n);
      }
      server.Accept();
      in_flight += server.connection.TakeOutput();
    }
    EXPECT_EQ(received, expected);
    EXPECT_EQ(server.connection.unanswered(), 0u);
    EXPECT_FALSE(server.connection.has_input());
    EXPECT_FALSE(server.connection.wants_pause());
  }
}

}  // namespace
}  // namespace raftkv::replica
