// raftkv-cli: what it reads, what it prints, and how it finds its way in a cluster of which parts
// are down. The cluster is played by scripted servers on real sockets.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cmd/cli/cluster.h"
#include "cmd/cli/endpoint.h"
#include "cmd/cli/format.h"
#include "cmd/cli/session.h"
#include "cmd/cli/table.h"
#include "cmd/cli/words.h"
#include "core/wire/resp.h"

namespace raftkv::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using wire::RespValue;

// ---- Endpoints ----

TEST(Endpoint, IsHostAndPort) {
  EXPECT_EQ(ParseEndpoint("db:7410")->ToString(), "db:7410");
  EXPECT_EQ(ParseEndpoint("db")->ToString(), "db:7400");
  EXPECT_EQ(ParseEndpoint("[::1]:7410")->ToString(), "[::1]:7410");
  EXPECT_EQ(ParseEndpoint("[::1]")->host, "::1");
  EXPECT_EQ(ParseEndpoints("a:1,b")->size(), 2u);
}

TEST(Endpoint, RefusesEverythingElse) {
  for (const char* text :
       {"", ":7400", "db:", "db:0", "db:65536", "db:port", "db:+1", "db: 1", "db:-1", "::1", "[::1",
        "[::1]7400", "[::1]:", "[]:1", "db:99999999999999999999"}) {
    EXPECT_THAT(std::string(ParseEndpoint(text).status().message()),
                HasSubstr(absl::StrCat("'", text, "' is not host:port")));
  }
  EXPECT_FALSE(ParseEndpoints("a:1,,b:2").ok());
  EXPECT_FALSE(ParseEndpoints("").ok());
}

// ---- Words ----

std::string Split(absl::string_view line) {
  const auto words = SplitWords(line);
  return words.has_value() ? absl::StrJoin(*words, "|") : "refused";
}

TEST(Words, AreSeparatedByBlanks) {
  EXPECT_EQ(Split("  SET\tk  v \r"), "SET|k|v");
  EXPECT_EQ(SplitWords(" ")->size(), 0u);
}

TEST(Words, MayBeQuoted) {
  EXPECT_EQ(Split(R"(SET "a b" 'c d')"), "SET|a b|c d");
  EXPECT_EQ(Split(R"("a\nb" "q\"\\" "\x41\xZ" "\q")"), "a\nb|q\"\\|AxZ|q");
  EXPECT_EQ(Split(R"('a\nb' 'it\'s')"), "a\\nb|it's");
  EXPECT_EQ(Split(R"(SET "" '')"), "SET||");
  EXPECT_EQ(Split(R"(a"b c")"), "ab c");
}

TEST(Words, RefuseQuotesThatDoNotEndAWord) {
  for (const char* line : {"\"a", "'a", "\"a\\\"", "\"a\"b", "'a'b", "\"\\"}) {
    EXPECT_EQ(Split(line), "refused") << line;
  }
}

TEST(Words, AreWhatQuoteWrites) {
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  const auto back = SplitWords(Quote(all));
  ASSERT_TRUE(back.has_value());
  EXPECT_THAT(*back, ElementsAre(all));
}

// ---- Replies ----

RespValue Read(absl::string_view bytes) {
  wire::RespReplyReader reader;
  reader.Feed(bytes);
  RespValue value;
  EXPECT_EQ(reader.Next(&value), wire::RespReplyReader::Outcome::kReply);
  return value;
}

TEST(Format, ShowsTypesToPeople) {
  const std::pair<const char*, const char*> kCases[] = {
      {"+OK\r\n", "OK\n"},
      {"-ERR no\r\n", "(error) ERR no\n"},
      {":-5\r\n", "(integer) -5\n"},
      {"$5\r\na\"\x01\r\n\r\n", "\"a\\\"\\x01\\r\\n\"\n"},
      {"$-1\r\n", "(nil)\n"},
      {"*-1\r\n", "(nil)\n"},
      {"_\r\n", "(nil)\n"},
      {"#t\r\n", "(true)\n"},
      {",1.5\r\n", "(double) 1.5\n"},
      {"(123\r\n", "123\n"},
      {"=8\r\ntxt:a\nb\n\r\n", "a\nb\n\n"},
      {"*0\r\n", "(empty array)\n"},
      {"%0\r\n", "(empty hash)\n"},
      {"~0\r\n", "(empty set)\n"},
      {"*2\r\n$1\r\na\r\n:1\r\n", "1) \"a\"\n2) (integer) 1\n"},
      {"*2\r\n*2\r\n:1\r\n:2\r\n*1\r\n:3\r\n",
       "1) 1) (integer) 1\n   2) (integer) 2\n2) 1) (integer) 3\n"},
      {"%2\r\n+a\r\n:1\r\n+b\r\n*2\r\n:2\r\n:3\r\n",
       "1# a => (integer) 1\n2# b => 1) (integer) 2\n   2) (integer) 3\n"},
      {"~1\r\n:1\r\n", "1~ (integer) 1\n"},
  };
  for (const auto& [bytes, text] : kCases) EXPECT_EQ(FormatTyped(Read(bytes), false), text);
  std::string ten = "*10\r\n";
  for (int i = 0; i < 10; ++i) ten += ":7\r\n";
  EXPECT_THAT(FormatTyped(Read(ten), false), HasSubstr(" 9) (integer) 7\n10) (integer) 7\n"));
  EXPECT_EQ(FormatTyped(Read("-ERR no\r\n"), true), "\x1b[31m(error) ERR no\x1b[0m\n");
}

TEST(Format, IsRawForPrograms) {
  const std::pair<const char*, const char*> kCases[] = {
      {"+OK\r\n", "OK\n"},
      {"-ERR no\r\n", "ERR no\n"},
      {":-5\r\n", "-5\n"},
      {"$3\r\na\"\n\r\n", "a\"\n\n"},
      {"$-1\r\n", "\n"},
      {"*3\r\n$1\r\na\r\n$-1\r\n*2\r\n:1\r\n:2\r\n", "a\n\n1\n2\n"},
      {"%1\r\n+a\r\n#f\r\n", "a\nfalse\n"},
  };
  for (const auto& [bytes, text] : kCases) EXPECT_EQ(FormatRaw(Read(bytes)), text);
}

TEST(Table, IsAligned) {
  EXPECT_EQ(FormatTable({{"NODE", "ROLE", "TERM", "STATE"},
                         {"1", "leader", "5", "ok"},
                         {"12", "follower", "-", ""}},
                        false),
            "NODE  ROLE      TERM  STATE\n"
            "   1  leader       5  ok\n"
            "  12  follower     -\n");
  EXPECT_EQ(FormatTable({{"A"}, {"x"}}, true), "\x1b[1mA\x1b[0m\nx\n");
}

// ---- Servers ----

// Answers each request with what `serve` says; an empty answer closes the connection.
class Server {
 public:
  using Serve = std::function<std::string(const std::vector<std::string>&)>;

  explicit Server(Serve serve) : serve_(std::move(serve)) {
    listener_ = Listen(&endpoint_);
    EXPECT_EQ(pipe(stop_), 0);
    thread_ = std::thread([this] { Loop(); });
  }
  ~Server() {
    close(stop_[1]);
    thread_.join();
    close(stop_[0]);
    close(listener_);
  }

  static int Listen(Endpoint* endpoint) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(fd, 16), 0);
    socklen_t size = sizeof(address);
    EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
    *endpoint = {"127.0.0.1", ntohs(address.sin_port)};
    return fd;
  }

  const Endpoint& endpoint() const { return endpoint_; }
  std::string address() const { return endpoint_.ToString(); }
  // Only after the client is done with it.
  const std::vector<std::string>& log() const { return log_; }

 private:
  void Loop() {
    std::map<int, wire::RespRequestReader> clients;
    while (true) {
      std::vector<pollfd> waiting = {{stop_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
      for (const auto& client : clients) waiting.push_back({client.first, POLLIN, 0});
      poll(waiting.data(), waiting.size(), -1);
      if (waiting[0].revents != 0) break;
      if (waiting[1].revents != 0) clients.try_emplace(accept(listener_, nullptr, nullptr));
      for (size_t i = 2; i < waiting.size(); ++i) {
        if (waiting[i].revents == 0) continue;
        const int fd = waiting[i].fd;
        if (Talk(fd, clients.at(fd))) continue;
        close(fd);
        clients.erase(fd);
      }
    }
    for (const auto& client : clients) close(client.first);
  }

  bool Talk(int fd, wire::RespRequestReader& reader) {
    char bytes[4096];
    const ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
    if (n <= 0) return false;
    reader.Feed({bytes, static_cast<size_t>(n)});
    std::vector<absl::string_view> words;
    while (reader.Next(&words) == wire::RespRequestReader::Outcome::kRequest) {
      log_.push_back(absl::StrJoin(words, " "));
      const std::string answer = serve_(std::vector<std::string>(words.begin(), words.end()));
      if (answer.empty()) return false;
      send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
    }
    return true;
  }

  Serve serve_;
  Endpoint endpoint_;
  int listener_ = -1;
  int stop_[2];
  std::vector<std::string> log_;
  std::thread thread_;
};

// An endpoint where nobody listens.
Endpoint Nowhere() {
  Endpoint endpoint;
  close(Server::Listen(&endpoint));
  return endpoint;
}

std::string Pairs(const std::vector<std::pair<std::string, std::string>>& fields) {
  std::vector<absl::string_view> words;
  for (const auto& [name, value] : fields) {
    words.push_back(name);
    words.push_back(value);
  }
  std::string bytes;
  wire::WriteRespRequest(words, &bytes);  // an array of bulk strings is both
  return bytes;
}

// Three nodes of which the second leads and the third may be down.
class ThreeNodes : public testing::Test {
 protected:
  static constexpr int kTimeoutMs = 20'000;

  ThreeNodes()
      : first_([this](const auto& words) { return Serve(1, words); }),
        second_([this](const auto& words) { return Serve(2, words); }),
        third_(Nowhere()) {}

  std::string Serve(int id, const std::vector<std::string>& words) {
    const std::string address = id == 1 ? first_.address() : second_.address();
    if (words[0] == "KV.STATUS") {
      return Pairs({{"node", absl::StrCat(id)},
                    {"role", id == 2 ? "leader" : "follower"},
                    {"term", "5"},
                    {"leader", "2"},
                    {"leader_address", second_.address()},
                    {"commit", "90"},
                    {"applied", "89"},
                    {"digest", "cafe"}});
    }
    if (words[0] == "KV.MEMBER" && words[1] == "LIST") {
      std::string list = "*3\r\n";
      const std::pair<const char*, std::string> kMembers[] = {
          {"1", first_.address()}, {"2", second_.address()}, {"3", third_.ToString()}};
      for (const auto& [node, client] : kMembers) {
        list += Pairs({{"node", node},
                       {"membership", "voter"},
                       {"peer_address", "h:1"},
                       {"client_address", client},
                       {"incarnation", "7"},
                       {"leader", std::string(node) == "2" ? "1" : "0"}});
      }
      return list;
    }
    if (words[0] == "DIE") return "";
    if (words[0] == "FAIL") return "-NOTAPPLIED no leader\r\n";
    return absl::StrCat("+", id, " did ", absl::StrJoin(words, " "), "\r\n");
  }

  Outcome Run(std::vector<Endpoint> endpoints, const std::vector<std::string>& words) {
    Cluster cluster(std::move(endpoints), kTimeoutMs, false);
    return Session(&cluster, Style()).Run(words);
  }

  Server first_;
  Server second_;
  Endpoint third_;
};

TEST_F(ThreeNodes, ACommandGoesToTheNodeThatWasNamed) {
  const Outcome outcome = Run({first_.endpoint(), second_.endpoint()}, {"get", "k"});
  EXPECT_EQ(outcome.out, "1 did get k\n");
  EXPECT_EQ(outcome.code, kOk);
}

TEST_F(ThreeNodes, OrToTheNextWhenThatIsDown) {
  EXPECT_EQ(Run({third_, second_.endpoint()}, {"get", "k"}).out, "2 did get k\n");
}

TEST_F(ThreeNodes, NobodyThereIsAnErrorThatNamesAll) {
  const Endpoint other = Nowhere();
  const Outcome outcome = Run({third_, other}, {"get", "k"});
  EXPECT_EQ(outcome.code, kUsageOrNetwork);
  EXPECT_EQ(outcome.error, absl::StrCat("cannot connect to ", third_.ToString(),
                                        ": Connection refused\ncannot connect to ",
                                        other.ToString(), ": Connection refused\n"));
}

TEST_F(ThreeNodes, AnErrorReplyIsCodeOne) {
  const Outcome outcome = Run({first_.endpoint()}, {"FAIL"});
  EXPECT_EQ(outcome.out, "NOTAPPLIED no leader\n");
  EXPECT_EQ(outcome.code, kServerError);
}

TEST_F(ThreeNodes, ALostConnectionIsNotTriedAgainButTheNextCommandGoesElsewhere) {
  Cluster cluster({first_.endpoint(), second_.endpoint()}, kTimeoutMs, false);
  Session session(&cluster, Style());
  const Outcome lost = session.Run({"DIE"});
  EXPECT_EQ(lost.code, kUsageOrNetwork);
  EXPECT_EQ(lost.error,
            absl::StrCat("connection to ", first_.address(),
                         " lost: it closed the connection; the command may or may not have been "
                         "executed\n"));
  EXPECT_EQ(session.Run({"ping"}).out, "2 did ping\n");
}

TEST_F(ThreeNodes, MemberChangesGoToTheLeader) {
  const std::vector<Endpoint> follower = {first_.endpoint()};
  EXPECT_EQ(Run(follower, {"member", "add", "4", "h:1", "h:2", "9"}).out,
            "2 did KV.MEMBER ADD 4 h:1 h:2 9\n");
  EXPECT_EQ(Run(follower, {"member", "promote", "4"}).out, "2 did KV.MEMBER PROMOTE 4\n");
  EXPECT_EQ(Run(follower, {"MEMBER", "Remove", "4"}).out, "2 did KV.MEMBER REMOVE 4\n");
  EXPECT_EQ(Run(follower, {"transfer"}).out, "2 did KV.TRANSFER\n");
  EXPECT_EQ(Run({second_.endpoint()}, {"transfer", "1"}).out, "2 did KV.TRANSFER 1\n");
  EXPECT_EQ(Run({third_, first_.endpoint()}, {"transfer", "1"}).out, "2 did KV.TRANSFER 1\n");
}

TEST_F(ThreeNodes, WrongUsesOfOurOwnCommandsAreUsageErrors) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"member"},
                                             {"member", "add", "4"},
                                             {"member", "list", "x"},
                                             {"member", "frob", "4"},
                                             {"transfer", "1", "2"},
                                             {"status", "x"}}) {
    const Outcome outcome = Run({third_}, words);
    EXPECT_EQ(outcome.code, kUsageOrNetwork);
    EXPECT_THAT(outcome.error, HasSubstr("usage: "));
  }
}

TEST_F(ThreeNodes, MemberListIsATable) {
  const Outcome outcome = Run({first_.endpoint()}, {"member", "list"});
  EXPECT_EQ(outcome.code, kOk);
  EXPECT_THAT(outcome.out, HasSubstr("NODE  MEMBERSHIP  PEER  CLIENT"));
  EXPECT_THAT(outcome.out, HasSubstr(absl::StrCat("   2  voter       h:1   ", second_.address())));
}

TEST_F(ThreeNodes, StatusShowsEveryMemberWhoeverIsAsked) {
  const std::vector<std::vector<Endpoint>> kAsked = {
      {first_.endpoint()},
      {second_.endpoint(), first_.endpoint()},
      {third_, second_.endpoint()},
      {third_, first_.endpoint(), second_.endpoint()}};
  for (const std::vector<Endpoint>& asked : kAsked) {
    Cluster cluster(asked, kTimeoutMs, false);
    const std::vector<Cluster::Node> nodes = cluster.Survey();
    ASSERT_EQ(nodes.size(), 3u);
    EXPECT_EQ(nodes[0].id, "1");
    EXPECT_EQ(nodes[0].status.at("role"), "follower");
    EXPECT_EQ(nodes[1].status.at("role"), "leader");
    EXPECT_EQ(nodes[1].endpoint, second_.endpoint());
    EXPECT_EQ(nodes[2].id, "3");
    EXPECT_EQ(nodes[2].endpoint, third_);
    EXPECT_FALSE(nodes[2].reachable.ok());
  }
  const Outcome outcome = Run({first_.endpoint()}, {"status"});
  EXPECT_EQ(outcome.code, kOk);
  EXPECT_THAT(outcome.out,
              HasSubstr("NODE  ROLE      TERM  LEADER  COMMIT  APPLIED  DIGEST  ADDRESS"));
  EXPECT_THAT(outcome.out, HasSubstr("   2  leader       5       2      90       89  cafe    "));
  EXPECT_THAT(outcome.out, HasSubstr(absl::StrCat("cannot connect to ", third_.ToString(),
                                                  ": Connection refused")));
}

TEST_F(ThreeNodes, StatusOfNobodyIsAnError) {
  const Outcome outcome = Run({third_}, {"status"});
  EXPECT_EQ(outcome.code, kUsageOrNetwork);
  EXPECT_THAT(outcome.error, HasSubstr(third_.ToString()));
}

// A server that speaks Redis but is none of ours still serves its own commands.
TEST(Strangers, AreSpokenToAsTheyAre) {
  Server redis([](const auto& words) {
    return words[0] == "GET" ? "$1\r\nv\r\n" : "-ERR unknown command\r\n";
  });
  Cluster cluster({redis.endpoint()}, 20'000, false);
  Session session(&cluster, Style());
  EXPECT_EQ(session.Run({"GET", "k"}).out, "v\n");
  EXPECT_EQ(session.Run({"transfer"}).code, kServerError);
  const Outcome status = session.Run({"status"});
  EXPECT_EQ(status.code, kUsageOrNetwork);
  EXPECT_THAT(status.error, HasSubstr("answers: ERR unknown command"));
}

TEST(Strangers, ThatDoNotSpeakTheProtocolAreNamed) {
  Server http([](const auto&) { return "HTTP/1.1 400 Bad Request\r\n\r\n"; });
  Cluster cluster({http.endpoint()}, 20'000, false);
  const Outcome outcome = Session(&cluster, Style()).Run({"GET", "k"});
  EXPECT_EQ(outcome.code, kUsageOrNetwork);
  EXPECT_THAT(outcome.error, HasSubstr(absl::StrCat("connection to ", http.address(), " lost: ")));
}

}  // namespace
}  // namespace raftkv::cli
