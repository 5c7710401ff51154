// Whatever arrives on a port, the node says what is wrong, closes what it must, and goes on serving
// everybody else.
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/kv/limits.h"
#include "core/raft/random.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/cluster.h"

namespace raftkv::e2e {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr int kIdleConnections = 5'000;

std::string RandomBytes(Random& random, size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.Below(256));
  return bytes;
}

// Everything until the other side closes; "(open)" at the end if it does not.
std::string ReadAll(Connection& connection) {
  std::string all;
  for (;;) {
    const std::optional<std::string> bytes = connection.Receive();
    if (!bytes) return all + "(open)";
    if (bytes->empty()) return all;
    all += *bytes;
  }
}

std::string Hello(uint64_t to) {
  std::string frame;
  wire::PeerMessage message;
  message.envelope = {.from = 77, .from_incarnation = 7, .to = to};
  message.body = wire::Hello{.cluster = {0, 0xe2ee2e}, .address = ""};
  wire::PeerEncoder().AppendTo(message, &frame);
  return frame;
}

class BadInput : public testing::Test {
 protected:
  BadInput() : cluster_(1) {}

  void SetUp() override {
    cluster_.StartAll();
    ASSERT_EQ(cluster_.Ask(1, {"SET", "key", "value"}), "OK");
  }

  void TearDown() override {
    ExpectService();
    // Alive from the first moment to the last.
    EXPECT_TRUE(cluster_.node(1).process->running());
  }

  void ExpectService() {
    EXPECT_EQ(cluster_.Ask(1, {"GET", "key"}), "value");
    EXPECT_EQ(cluster_.Ask(1, {"SET", "other", "x"}), "OK");
  }

  std::unique_ptr<Connection> Open(uint16_t port) {
    std::unique_ptr<Connection> connection = Connection::Open(port);
    EXPECT_NE(connection, nullptr);
    return connection;
  }

  uint64_t MemoryKiB() {
    const std::string status =
        ReadFile(absl::StrCat("/proc/", cluster_.node(1).process->pid(), "/status"));
    uint64_t kib = 0;
    for (absl::string_view line : absl::StrSplit(status, '\n')) {
      if (absl::ConsumePrefix(&line, "VmRSS:")) {
        const std::vector<absl::string_view> words =
            absl::StrSplit(line, ' ', absl::SkipWhitespace());
        EXPECT_TRUE(absl::SimpleAtoi(absl::StripAsciiWhitespace(words.at(0)), &kib));
      }
    }
    return kib;
  }

  uint16_t client_port() { return cluster_.node(1).client_port; }
  uint16_t peer_port() { return cluster_.node(1).peer_port; }

  Cluster cluster_;
};

TEST_F(BadInput, RandomBytesOnEachPort) {
  Random random(1);
  for (const uint16_t port : {client_port(), peer_port()}) {
    for (int i = 0; i < 60; ++i) {
      std::unique_ptr<Connection> connection = Open(port);
      ASSERT_NE(connection, nullptr);
      connection->Send(RandomBytes(random, 1 + random.Below(5'000)));
      if (i % 2 == 0) connection->FinishSending();
    }
    ExpectService();
  }
}

TEST_F(BadInput, HalfMessagesOnEachPort) {
  std::vector<std::unique_ptr<Connection>> kept;
  const std::string hello = Hello(1);
  const std::string request = "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nwrong\r\n";
  for (const auto& [port, message] : {std::pair{client_port(), request}, {peer_port(), hello}}) {
    for (size_t cut = 1; cut < message.size(); ++cut) {
      std::unique_ptr<Connection> connection = Open(port);
      ASSERT_NE(connection, nullptr);
      connection->Send(message.substr(0, cut));
      if (cut % 2 == 0) kept.push_back(std::move(connection));  // some stay open
    }
  }
  ExpectService();
}

TEST_F(BadInput, FourGigabytesOnTheClientPort) {
  for (const char* bytes : {"*1\r\n$4294967296\r\n", "*4294967296\r\n", "*1\r\n$-4294967296\r\n",
                            "*2\r\n$3\r\nGET\r\n$99999999999999999999\r\n"}) {
    std::unique_ptr<Connection> connection = Open(client_port());
    ASSERT_NE(connection, nullptr);
    connection->Send(bytes);
    const std::string answer = ReadAll(*connection);
    EXPECT_THAT(answer, StartsWith("-ERR Protocol error: ")) << bytes;
    EXPECT_FALSE(absl::EndsWith(answer, "(open)")) << bytes;
  }
  EXPECT_LT(MemoryKiB(), 512u << 10);
}

TEST_F(BadInput, FourGigabytesOnThePeerPort) {
  const std::string hello = Hello(1);
  for (const bool after_hello : {false, true}) {
    std::unique_ptr<Connection> connection = Open(peer_port());
    ASSERT_NE(connection, nullptr);
    std::string header = hello.substr(0, wire::kFrameHeaderSize);
    header.replace(4, 4, "\xf8\xff\xff\xff");
    connection->Send((after_hello ? hello : "") + header);
    EXPECT_TRUE(Eventually([&] { return connection->Closed(); }));
  }
  EXPECT_TRUE(Eventually(
      [&] { return absl::StrContains(ReadFile(cluster_.node(1).log), "peer refused"); }));
  EXPECT_LT(MemoryKiB(), 512u << 10);
}

TEST_F(BadInput, APeerOfAnotherClusterIsToldWhoWeAre) {
  std::string frame;
  wire::PeerMessage message;
  message.envelope = {.from = 2, .from_incarnation = 7, .to = 1};
  message.body = wire::Hello{.cluster = {1, 1}, .address = ""};
  wire::PeerEncoder().AppendTo(message, &frame);
  std::unique_ptr<Connection> connection = Open(peer_port());
  ASSERT_NE(connection, nullptr);
  connection->Send(frame);
  wire::FrameReader reader;
  reader.Feed(ReadAll(*connection));
  absl::string_view body;
  ASSERT_TRUE(reader.Next(&body));
  const auto answer = wire::DecodePeer(body);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(std::get<wire::Hello>(answer->body).cluster.low, 0xe2ee2eu);
  // The answer may be here before the line is in the file.
  EXPECT_TRUE(Eventually([&] {
    return absl::StrContains(ReadFile(cluster_.node(1).log), "node 2 belongs to cluster");
  }));
}

class ManyConnections : public BadInput {
 protected:
  void SetUp() override {
    rlimit limit = {};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < 2 * kIdleConnections) GTEST_SKIP() << "the hard limit of files is too low";
    // A node raises its own soft limit: it must not need ours.
    limit.rlim_cur = 256;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    BadInput::SetUp();
    limit.rlim_cur = limit.rlim_max;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  }

  std::vector<std::unique_ptr<Connection>> OpenIdle(uint16_t port) {
    std::vector<std::unique_ptr<Connection>> connections;
    for (int i = 0; i < kIdleConnections; ++i) {
      connections.push_back(Open(port));
      if (connections.back() == nullptr) break;
    }
    return connections;
  }
};

TEST_F(ManyConnections, FiveThousandIdleClients) {
  const uint64_t before = MemoryKiB();
  std::vector<std::unique_ptr<Connection>> idle = OpenIdle(client_port());
  ASSERT_EQ(idle.size(), size_t{kIdleConnections});
  ExpectService();
  EXPECT_EQ(cluster_.Status(1, "clients"), absl::StrCat(kIdleConnections + 1));
  EXPECT_LT(MemoryKiB() - before, 100u << 10) << "20 KiB for each is too much";
  // They were waiting, not lost.
  ASSERT_TRUE(idle.front()->Send("PING\r\n"));
  EXPECT_EQ(idle.front()->Receive(), "+PONG\r\n");
  idle.clear();
  EXPECT_TRUE(Eventually([&] { return cluster_.Status(1, "clients") == "1"; }));
}

TEST_F(ManyConnections, FiveThousandIdlePeersAreClosedAfterAWhile) {
  std::vector<std::unique_ptr<Connection>> idle = OpenIdle(peer_port());
  ASSERT_EQ(idle.size(), size_t{kIdleConnections});
  ExpectService();
  EXPECT_TRUE(Eventually([&] {
    std::erase_if(idle, [](const auto& connection) { return connection->Closed(); });
    return idle.empty();
  }));
}

TEST_F(BadInput, ClientsThatNeverReadTheirAnswers) {
  const std::string big(1 << 20, 'x');
  ASSERT_EQ(cluster_.Ask(1, {"SET", "big", big}), "OK");
  std::string requests;
  for (int i = 0; i < 1'000; ++i) requests += "GET big\r\n";
  std::vector<std::unique_ptr<Connection>> deaf;
  for (int i = 0; i < 20; ++i) {
    deaf.push_back(Open(client_port()));
    ASSERT_NE(deaf.back(), nullptr);
    deaf.back()->SendSome(requests);
  }
  for (int i = 0; i < 20; ++i) ExpectService();
  // 20 GiB of answers were asked for.
  EXPECT_LT(MemoryKiB(), 1u << 20);
}

TEST_F(BadInput, AClientThatReadsSlowlyGetsEverything) {
  const std::string big(1 << 20, 'x');
  ASSERT_EQ(cluster_.Ask(1, {"SET", "big", big}), "OK");
  std::unique_ptr<RedisClient> client = cluster_.Client(1);
  ASSERT_NE(client, nullptr);
  std::string requests;
  for (int i = 0; i < 50; ++i) client->Request({"GET", "big"}, &requests);
  ASSERT_TRUE(client->connection().Send(requests));
  ExpectService();
  for (int i = 0; i < 50; ++i) ASSERT_EQ(Show(client->NextReply()).size(), big.size()) << i;
}

TEST_F(BadInput, OneClientTooMany) {
  Cluster small(1, {"--max-clients", "3"});
  small.StartAll();
  ASSERT_EQ(small.Ask(1, {"SET", "key", "value"}), "OK");
  std::vector<std::unique_ptr<RedisClient>> clients;
  // The clients that Ask used may not be gone yet.
  ASSERT_TRUE(Eventually([&] {
    std::unique_ptr<RedisClient> client = small.Client(1);
    if (client != nullptr && Show(client->Call({"PING"})) == "PONG") {
      clients.push_back(std::move(client));
    }
    return clients.size() == 3;
  }));
  std::unique_ptr<Connection> fourth = Connection::Open(small.node(1).client_port);
  ASSERT_NE(fourth, nullptr);
  EXPECT_EQ(ReadAll(*fourth), "-ERR max number of clients reached\r\n");
  EXPECT_EQ(Show(clients[0]->Call({"GET", "key"})), "value");
}

// Each of them leaves without having read what it asked for, and makes room for the next, who does
// the same.
TEST_F(BadInput, ClientsThatLingerHaveNoMoreDescriptorsThanClients) {
  Cluster small(1, {"--max-clients", "1", "--max-client-output-bytes", "64MiB"});
  small.StartAll();
  const std::string big(1 << 20, 'x');
  ASSERT_EQ(small.Ask(1, {"SET", "big", big}), "OK");
  const auto descriptors = [&] {
    const auto files = std::filesystem::directory_iterator(
        absl::StrCat("/proc/", small.node(1).process->pid(), "/fd"));
    return std::distance(files, std::filesystem::directory_iterator());
  };
  const auto next_client = [&] {
    std::unique_ptr<RedisClient> client;
    EXPECT_TRUE(Eventually([&] {
      client = small.Client(1);
      return client != nullptr && Show(client->Call({"PING"})) == "PONG";
    }));
    return client;
  };
  std::vector<std::unique_ptr<RedisClient>> deaf = {};
  deaf.push_back(next_client());
  const auto with_one_client = descriptors();
  for (int i = 0; i < 8; ++i) {
    std::string requests;
    for (int n = 0; n < 30; ++n) requests += "GET big\r\n";
    ASSERT_TRUE(deaf.back()->connection().Send(requests + "QUIT\r\n"));
    deaf.push_back(next_client());
    EXPECT_LE(descriptors(), with_one_client + 2);
  }
}

TEST_F(BadInput, KeysAndValuesAtTheirLimits) {
  const std::string longest_key(kv::kMaxKeyBytes, 'k');
  const std::string longest_value(kv::kMaxValueBytes, 'v');
  EXPECT_EQ(cluster_.Ask(1, {"SET", "", ""}), "OK");
  EXPECT_EQ(cluster_.Ask(1, {"GET", ""}), "");
  EXPECT_EQ(cluster_.Ask(1, {"SET", longest_key, longest_value}), "OK");
  EXPECT_EQ(cluster_.Ask(1, {"GET", longest_key}), longest_value);
  EXPECT_THAT(cluster_.Ask(1, {"SET", longest_key + "k", "v"}),
              testing::AllOf(StartsWith("-ERR"), HasSubstr("65537"), HasSubstr("65536")));
  EXPECT_THAT(cluster_.Ask(1, {"SET", "k", longest_value + "v"}),
              testing::AllOf(StartsWith("-ERR"), HasSubstr("8388609"), HasSubstr("8388608")));
  EXPECT_THAT(cluster_.Ask(1, {"APPEND", longest_key, "v"}), StartsWith("-ERR"));
  EXPECT_EQ(cluster_.Ask(1, {"GET", longest_key}), longest_value);
}

}  // namespace
}  // namespace raftkv::e2e
