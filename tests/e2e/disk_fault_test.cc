// Real nodes on disks that fail, are full, slow or hang, under load: nothing that was acknowledged
// is lost, the cluster goes on, and each fault has the outcome that docs/OPERATIONS.md promises.
//
// Faults come from strace (system calls of a running node fail or take long) and from small file
// systems in memory that only this test sees. RAFTKV_E2E_ROUNDS sets how often each is repeated.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cmd/exit_codes.h"
#include "core/raft/random.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/strace.h"

namespace raftkv::e2e {
namespace {

constexpr int kWorkers = 4;
constexpr int kReplyMs = 7'000;           // longer than the node's own patience
constexpr uint64_t kAppendsPerKey = 500;  // values stay small

uint64_t Rounds(uint64_t otherwise) {
  const char* text = std::getenv("RAFTKV_E2E_ROUNDS");
  uint64_t number = 0;
  return text != nullptr && absl::SimpleAtoi(text, &number) ? number : otherwise;
}

// Clients that append numbers to texts, each number once, and remember which were acknowledged.
class Load {
 public:
  explicit Load(Cluster* cluster) : cluster_(cluster) {
    for (const uint64_t id : cluster->ids()) ports_.push_back(cluster->node(id).client_port);
    for (int i = 0; i < kWorkers; ++i) threads_.emplace_back([this, i] { Work(i); });
  }
  ~Load() { Stop(); }

  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  uint64_t acknowledged() const { return acknowledged_; }
  // Waits for so many more acknowledgements.
  bool Reach(uint64_t more) {
    const uint64_t goal = acknowledged_ + more;
    return Eventually([&] { return acknowledged_ >= goal; }, 60);
  }

  // Stops, and reads everything back through every node that runs.
  void CheckThatNothingIsLost() {
    Stop();
    EXPECT_EQ(absl::StrJoin(surprises_, "; "), "");
    for (const uint64_t id : cluster_->ids()) {
      if (!cluster_->node(id).process->running()) continue;
      for (const auto& [key, numbers] : acknowledged_numbers_) {
        std::map<std::string, int> found;
        const std::string text = cluster_->Ask(id, {"GET", key});
        for (const absl::string_view number : absl::StrSplit(text, ',', absl::SkipEmpty()))
          ++found[std::string(number)];
        for (const uint64_t number : numbers) {
          ASSERT_EQ(found[absl::StrCat(number)], 1)
              << "append " << number << " to " << key << ", acknowledged, read through node " << id;
        }
      }
    }
    std::printf("%llu writes acknowledged, %llu definitely not applied, %llu unknown\n",
                static_cast<unsigned long long>(acknowledged_.load()),
                static_cast<unsigned long long>(refused_.load()),
                static_cast<unsigned long long>(unknown_.load()));
  }

 private:
  void Work(int worker) {
    Random random = Random::Stream(static_cast<uint64_t>(getpid()), absl::StrCat(worker));
    std::unique_ptr<RedisClient> client;
    for (uint64_t number = 0; !stop_; ++number) {
      if (client == nullptr || random.Below(200) == 0)
        client = RedisClient::Open(ports_[random.Below(ports_.size())], 1'000);
      if (client == nullptr) {
        usleep(2'000);  // nobody there: do not burn the processor
        continue;
      }
      const std::string key = absl::StrCat("text ", worker, " ", number / kAppendsPerKey);
      const std::optional<wire::RespValue> reply =
          client->Call({"APPEND", key, absl::StrCat(number, ",")}, kReplyMs);
      if (reply && !reply->is_error()) {
        std::lock_guard<std::mutex> lock(mutex_);
        acknowledged_numbers_[key].push_back(number);
        ++acknowledged_;
        continue;
      }
      const std::string error = reply ? reply->text : "UNKNOWN the connection broke";
      const bool definite = absl::StartsWith(error, "NOTAPPLIED");
      ++(definite ? refused_ : unknown_);
      if (!definite && !absl::StartsWith(error, "UNKNOWN")) {
        std::lock_guard<std::mutex> lock(mutex_);
        surprises_.push_back(error);
      }
      client = nullptr;
      usleep(5'000);
    }
  }

  Cluster* cluster_;
  std::vector<uint16_t> ports_;
  std::vector<std::thread> threads_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> acknowledged_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> unknown_{0};
  std::mutex mutex_;
  std::map<std::string, std::vector<uint64_t>> acknowledged_numbers_;
  std::vector<std::string> surprises_;
};

// A leader, or one of its followers.
uint64_t Pick(Cluster& cluster, bool leader) {
  const uint64_t leads = cluster.WaitForLeader();
  return leader ? leads : cluster.OtherThan(leads);
}

class StraceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoStrace(); !why.empty()) GTEST_SKIP() << why;
  }
  std::string Log() const { return absl::StrCat(directory_.path(), "/strace"); }

 private:
  TemporaryDirectory directory_;
};

// ---- A disk that fails

struct Failure {
  const char* name;
  const char* inject;
  bool leader;
};

class FailingDisk : public StraceTest, public testing::WithParamInterface<Failure> {};

TEST_P(FailingDisk, EndsItsNodeWhichRecovers) {
  Cluster cluster(3);
  cluster.StartAll();
  Load load(&cluster);
  const uint64_t rounds = Rounds(1);
  for (uint64_t round = 0; round < rounds; ++round) {
    ASSERT_TRUE(load.Reach(50));
    const uint64_t victim = Pick(cluster, GetParam().leader);
    ASSERT_NE(victim, 0u);
    Cluster::Node& node = cluster.node(victim);
    const Strace strace(node.process->pid(), {"-e", GetParam().inject}, Log());
    ASSERT_TRUE(strace.attached());
    EXPECT_EQ(node.process->Wait(), kExitDiskFailed);
    EXPECT_TRUE(absl::StrContains(ReadFile(node.log), "giving up")) << ReadFile(node.log);
    EXPECT_TRUE(absl::StrContains(ReadFile(node.log), node.data)) << "the file is named";
    EXPECT_TRUE(load.Reach(50)) << "two of three go on";
    cluster.Start(victim);
    EXPECT_TRUE(load.Reach(50));
  }
  load.CheckThatNothingIsLost();
  EXPECT_TRUE(Eventually([&] { return cluster.DigestsAgree(); }));
}

constexpr Failure kFailures[] = {
    {"SyncOfALeader", "inject=fdatasync:error=EIO:when=3", true},
    {"SyncOfAFollower", "inject=fdatasync:error=EIO:when=3", false},
    {"WriteOfALeader", "inject=pwrite64:error=EIO:when=3", true},
    {"WriteOfAFollower", "inject=pwrite64:error=EIO:when=3", false},
    // Where space was reserved there must be some: this is no full disk.
    {"NoSpaceWhereItWasReservedByALeader", "inject=pwrite64:error=ENOSPC:when=3", true},
    {"NoSpaceWhereItWasReservedByAFollower", "inject=pwrite64:error=ENOSPC:when=3", false},
};
INSTANTIATE_TEST_SUITE_P(All, FailingDisk, testing::ValuesIn(kFailures),
                         [](const auto& test) { return std::string(test.param.name); });

// ---- A disk that is slow, or hangs

TEST_F(StraceTest, ASlowDiskOfOneNodeStopsNobody) {
  Cluster cluster(3);
  cluster.StartAll();
  Load load(&cluster);
  for (const bool leader : {true, false}) {
    ASSERT_TRUE(load.Reach(50));
    Cluster::Node& node = cluster.node(Pick(cluster, leader));
    Strace strace(node.process->pid(), {"-e", "inject=fdatasync:delay_enter=30000"}, Log());
    ASSERT_TRUE(strace.attached());
    EXPECT_TRUE(load.Reach(50));
    strace.Detach();
    EXPECT_TRUE(node.process->running());
  }
  load.CheckThatNothingIsLost();
  EXPECT_TRUE(Eventually([&] { return cluster.DigestsAgree(); }));
}

TEST_F(StraceTest, ALeaderWhoseDiskHangsIsReplacedAndComesBack) {
  Cluster cluster(3);
  cluster.StartAll();
  Load load(&cluster);
  const uint64_t rounds = Rounds(1);
  for (uint64_t round = 0; round < rounds; ++round) {
    ASSERT_TRUE(load.Reach(50));
    const uint64_t hung = cluster.WaitForLeader();
    Cluster::Node& node = cluster.node(hung);
    // Until it is let go.
    Strace strace(node.process->pid(), {"-e", "inject=fdatasync:delay_enter=600000000"}, Log());
    ASSERT_TRUE(strace.attached());
    EXPECT_TRUE(Eventually([&] {
      const std::string role = cluster.Status(hung, "role");  // it answers
      return !role.empty() && role != "leader";
    }));
    EXPECT_NE(cluster.WaitForLeader(), hung);
    EXPECT_TRUE(load.Reach(50)) << "the others go on";
    EXPECT_NE(cluster.Status(hung, "role"), "") << "and it still answers";
    strace.Detach();
    EXPECT_TRUE(Eventually([&] {
      return cluster.Status(hung, "durable") == cluster.Status(hung, "last") &&
             cluster.Status(hung, "leader") != "0";
    }));
    EXPECT_TRUE(node.process->running());
  }
  load.CheckThatNothingIsLost();
  EXPECT_TRUE(Eventually([&] { return cluster.DigestsAgree(); }));
}

// ---- A disk that is full

// Small, so that the log reaches the end of what it has reserved soon, and snapshots are taken.
const std::vector<std::string> kSmall = {
    "--snapshot-log-bytes", "128KiB", "--trailing-log-bytes", "32KiB", "--segment-bytes", "256KiB"};

bool SaysDiskFull(Cluster& cluster, uint64_t id, bool full) {
  return Eventually([&] { return cluster.Status(id, "disk_full") == (full ? "1" : "0"); }, 60);
}

// It has applied what the leader has by now.
bool CatchesUp(Cluster& cluster, uint64_t id) {
  const std::string commit = cluster.Status(cluster.WaitForLeader(), "commit");
  uint64_t goal = 0;
  if (!absl::SimpleAtoi(commit, &goal)) return false;
  return Eventually(
      [&] {
        uint64_t applied = 0;
        return absl::SimpleAtoi(cluster.Status(id, "applied"), &applied) && applied >= goal;
      },
      60);
}

TEST_F(StraceTest, ANodeThatCannotReserveSpaceRefusesAndServesAgain) {
  Cluster cluster(3, kSmall);
  cluster.StartAll();
  Load load(&cluster);
  const uint64_t rounds = Rounds(1);
  for (uint64_t round = 0; round < rounds; ++round) {
    for (const bool leader : {true, false}) {
      ASSERT_TRUE(load.Reach(50));
      const uint64_t full = Pick(cluster, leader);
      Cluster::Node& node = cluster.node(full);
      Strace strace(node.process->pid(), {"-e", "inject=fallocate:error=ENOSPC"}, Log());
      ASSERT_TRUE(strace.attached());
      ASSERT_TRUE(SaysDiskFull(cluster, full, true));
      EXPECT_TRUE(load.Reach(50)) << "the others go on";
      EXPECT_NE(cluster.WaitForLeader(), full) << "it has handed leadership over";
      strace.Detach();
      EXPECT_TRUE(SaysDiskFull(cluster, full, false)) << "by itself";
      EXPECT_TRUE(CatchesUp(cluster, full));
      EXPECT_TRUE(node.process->running());
    }
  }
  load.CheckThatNothingIsLost();
  EXPECT_TRUE(Eventually([&] { return cluster.DigestsAgree(); }));
}

// Nodes on file systems of their own, in memory, which nobody but this process and its children
// sees. They go with it.
class FullDisk : public testing::Test {
 protected:
  static constexpr uint64_t kBytes = 48u << 20;

  void SetUp() override {
    // Of this thread only, which starts the nodes.
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      GTEST_SKIP() << "no file system may be mounted here: " << std::strerror(errno);
    }
  }

  // Moves the data of a node, before it is initialised.
  static void Mount(Cluster::Node& node) {
    ASSERT_EQ(mkdir(node.data.c_str(), 0755), 0);
    ASSERT_EQ(
        mount("raftkv-test", node.data.c_str(), "tmpfs", 0, absl::StrCat("size=", kBytes).c_str()),
        0)
        << std::strerror(errno);
    node.data += "/data";
  }
  static std::string FillerOf(const Cluster::Node& node) { return node.data + "/../filler"; }
  static void Fill(const Cluster::Node& node) {
    std::FILE* filler = std::fopen(FillerOf(node).c_str(), "a");
    ASSERT_NE(filler, nullptr);
    std::setvbuf(filler, nullptr, _IONBF, 0);
    const std::string bytes(4'096, 'f');
    while (std::fwrite(bytes.data(), 1, bytes.size(), filler) == bytes.size()) {
    }
    EXPECT_EQ(errno, ENOSPC);
    std::fclose(filler);
  }
  static void Free(const Cluster::Node& node) {
    EXPECT_EQ(unlink(FillerOf(node).c_str()), 0) << std::strerror(errno);
  }
};

TEST_F(FullDisk, OneNodeFilledAndFreedAgainAndAgain) {
  Cluster cluster(3, kSmall, [](Cluster::Node& node) {
    if (node.id == 1) Mount(node);
  });
  cluster.StartAll();
  Load load(&cluster);
  Cluster::Node& node = cluster.node(1);
  const uint64_t rounds = Rounds(3);
  uint64_t led = 0;
  for (uint64_t round = 0; round < rounds; ++round) {
    ASSERT_TRUE(load.Reach(50)) << "round " << round;
    if (round % 2 == 0) cluster.Ask(cluster.WaitForLeader(), {"KV.TRANSFER", "1"});
    led += Eventually([&] { return cluster.Status(1, "role") == "leader"; }, 1) ? 1u : 0u;
    ASSERT_NO_FATAL_FAILURE(Fill(node));
    ASSERT_TRUE(SaysDiskFull(cluster, 1, true)) << "round " << round;
    EXPECT_TRUE(load.Reach(50)) << "the others go on in round " << round;
    EXPECT_NE(cluster.WaitForLeader(), 1u);
    Free(node);
    ASSERT_TRUE(SaysDiskFull(cluster, 1, false)) << "round " << round;
    ASSERT_TRUE(CatchesUp(cluster, 1)) << "round " << round;
    ASSERT_TRUE(node.process->running()) << "round " << round;
  }
  load.CheckThatNothingIsLost();
  EXPECT_TRUE(Eventually([&] { return cluster.DigestsAgree(); }));
  std::printf("filled %llu times, %llu of them as leader\n",
              static_cast<unsigned long long>(rounds), static_cast<unsigned long long>(led));
}

TEST_F(FullDisk, AllNodesRefuseWritesServeReadsAndGoOnWhenThereIsSpace) {
  Cluster cluster(3, kSmall, &Mount);
  cluster.StartAll();
  const uint64_t rounds = Rounds(1);
  Load load(&cluster);
  for (uint64_t round = 0; round < rounds; ++round) {
    ASSERT_TRUE(load.Reach(50));
    EXPECT_EQ(cluster.Ask(1, {"SET", "k", absl::StrCat(round)}), "OK");
    for (const uint64_t id : cluster.ids()) ASSERT_NO_FATAL_FAILURE(Fill(cluster.node(id)));
    // The load drives the logs to the end of what is reserved and kept back.
    const auto write = [&](uint64_t id) {
      const auto client = cluster.Client(id);
      return client == nullptr ? "" : Show(client->Call({"SET", "other", "x"}));
    };
    for (const uint64_t id : cluster.ids()) {
      EXPECT_TRUE(
          Eventually([&] { return absl::StartsWith(write(id), "-NOTAPPLIED the disk"); }, 60))
          << "through node " << id << ": " << write(id);
    }
    // "-NOTAPPLIED the disk of this node is full" when it lags; the leader never does.
    for (const uint64_t id : cluster.ids()) {
      const auto client = cluster.Client(id);
      ASSERT_NE(client, nullptr);
      const std::string value = Show(client->Call({"GET", "k"}));
      if (!absl::StartsWith(value, "-NOTAPPLIED the disk of this node is full")) {
        EXPECT_EQ(value, absl::StrCat(round)) << "through node " << id;
      }
    }
    EXPECT_EQ(cluster.Ask(cluster.WaitForLeader(), {"GET", "k"}), absl::StrCat(round));
    for (const uint64_t id : cluster.ids()) Free(cluster.node(id));
    EXPECT_TRUE(load.Reach(50)) << "round " << round;
    for (const uint64_t id : cluster.ids()) {
      EXPECT_EQ(cluster.Ask(id, {"SET", "other", absl::StrCat(id)}), "OK");
      EXPECT_TRUE(cluster.node(id).process->running());
    }
  }
  load.CheckThatNothingIsLost();
  EXPECT_TRUE(Eventually([&] { return cluster.DigestsAgree(); }));
}

// ---- Every acknowledgement is behind a sync

// The numbers in `text` that stand between `before` and `after`.
std::vector<int64_t> NumbersIn(absl::string_view text, absl::string_view before,
                               absl::string_view after) {
  std::vector<int64_t> numbers;
  for (size_t at = text.find(before); at != absl::string_view::npos;
       at = text.find(before, at + 1)) {
    const absl::string_view rest = text.substr(at + before.size());
    int64_t number = 0;
    if (absl::SimpleAtoi(rest.substr(0, rest.find(after)), &number)) numbers.push_back(number);
  }
  return numbers;
}

class SyncBeforeAnswer : public StraceTest, public testing::WithParamInterface<int> {};

bool OnLog(const SystemCall& call) { return absl::StrContains(call.arguments, "/log-"); }

TEST_P(SyncBeforeAnswer, AndOneSyncForEachBatch) {
  const int nodes = GetParam();
  const size_t quorum = static_cast<size_t>(nodes) / 2 + 1;
  constexpr int64_t kFirst = 1'000'000;
  const int64_t requests = 300 * static_cast<int64_t>(Rounds(1));
  Cluster cluster(nodes);
  cluster.StartAll();
  const uint64_t leader = cluster.WaitForLeader();
  ASSERT_NE(leader, 0u);
  std::map<uint64_t, std::unique_ptr<Strace>> straces;
  for (const uint64_t id : cluster.ids()) {
    straces[id] = std::make_unique<Strace>(cluster.node(id).process->pid(),
                                           TraceOptions("pwrite64,fdatasync,write,writev,sendmsg"),
                                           absl::StrCat(Log(), id));
    ASSERT_TRUE(straces[id]->attached());
  }
  // Some clients, each some requests ahead. Request N names a key of its own and is answered with
  // N.
  const auto key_of = [](int64_t number) { return absl::StrCat("key-", number, "."); };
  std::vector<std::thread> clients;
  std::atomic<int64_t> wrong{0};
  constexpr int kClients = 3;
  for (int c = 0; c < kClients; ++c) {
    clients.emplace_back([&, c] {
      const auto client = cluster.Client(leader);
      for (int64_t begin = c; begin < requests; begin += kClients * 5) {
        std::string bytes;
        std::vector<int64_t> numbers;
        for (int64_t i = begin; i < std::min<int64_t>(requests, begin + kClients * 5);
             i += kClients) {
          numbers.push_back(kFirst + i);
          client->Request({"INCRBY", key_of(kFirst + i), absl::StrCat(kFirst + i)}, &bytes);
        }
        client->connection().Send(bytes);
        for (const int64_t number : numbers) {
          const auto reply = client->NextReply();
          if (!reply || reply->integer != number) ++wrong;
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
  // A tracer writes down what has returned, and a client may have its answer before the call that
  // sent it has. So there is one more thing to do for each node, once nothing is left to be synced.
  for (const uint64_t id : cluster.ids()) {
    EXPECT_TRUE(Eventually([&, id = id] {
      const std::string last = cluster.Status(leader, "last");
      return cluster.Status(id, "last") == last && cluster.Status(id, "durable") == last;
    }));
  }
  for (auto& [id, strace] : straces) strace->Detach();

  // When each node had each request on its disk, and the counts.
  std::map<int64_t, std::vector<uint64_t>> durable;
  std::map<int64_t, uint64_t> answered;
  uint64_t batches = 0;
  for (const uint64_t id : cluster.ids()) {
    std::vector<int64_t> written;  // and not synced yet
    bool dirty = false;
    for (const SystemCall& call : ReadTrace(absl::StrCat(Log(), id))) {
      if (call.name == "pwrite64" && OnLog(call)) {
        EXPECT_FALSE(dirty) << "node " << id << " writes a batch before the last one is synced";
        dirty = true;
        ++batches;
        for (const int64_t number : NumbersIn(call.arguments, "key-", "."))
          written.push_back(number);
      } else if (call.name == "fdatasync" && OnLog(call)) {
        EXPECT_EQ(call.result, 0);
        EXPECT_TRUE(dirty) << "node " << id << " syncs what is synced";
        dirty = false;
        for (const int64_t number : written) durable[number].push_back(call.returned);
        written.clear();
      } else if (call.name != "pwrite64" && call.name != "fdatasync" && id == leader) {
        for (const int64_t number : NumbersIn(call.arguments, ":", "\\r\\n"))
          if (number >= kFirst && number < kFirst + requests) answered[number] = call.began;
      }
    }
    EXPECT_FALSE(dirty);
  }
  EXPECT_EQ(answered.size(), static_cast<size_t>(requests));
  for (const auto& [number, when] : answered) {
    const std::vector<uint64_t>& disks = durable[number];
    const auto before = std::count_if(disks.begin(), disks.end(),
                                      [when = when](uint64_t synced) { return synced < when; });
    EXPECT_GE(static_cast<size_t>(before), quorum) << "request " << number;
  }
  EXPECT_LT(batches, static_cast<uint64_t>(requests) * static_cast<uint64_t>(nodes))
      << "what arrives together is synced together";
  std::printf("%lld answers, %llu batches and as many syncs on %d nodes\n",
              static_cast<long long>(answered.size()), static_cast<unsigned long long>(batches),
              nodes);
}

INSTANTIATE_TEST_SUITE_P(Clusters, SyncBeforeAnswer, testing::Values(1, 3));

// ---- Every name is behind a sync of its directory

class DirectorySync : public StraceTest {
 protected:
  // Of the data directory, or of where it is.
  static bool Syncs(const SystemCall& call, const std::string& directory) {
    return call.name == "fsync" && call.result == 0 &&
           absl::StrContains(call.arguments, absl::StrCat("<", directory, ">"));
  }
  static bool Names(const SystemCall& call, absl::string_view name) {
    return absl::StrContains(call.arguments, absl::StrCat("\"", name));
  }
};

TEST_F(DirectorySync, OfANewOneBeforeAndAfterItsIdentity) {
  const TemporaryDirectory home;
  const std::string parent = absl::StrCat(home.path(), "/nodes");
  const std::string data = absl::StrCat(parent, "/1");
  std::vector<std::string> words = {"/usr/bin/strace", "-f", "-o", Log()};
  for (const std::string& option : TraceOptions("mkdir,mkdirat,rename,renameat,renameat2,fsync"))
    words.push_back(option);
  for (const std::string& word :
       {NodeProgram(), std::string("init"), std::string("--data"), data, std::string("--node-id"),
        std::string("1"), std::string("--members"), std::string("1=127.0.0.1:7401/127.0.0.1:7400")})
    words.push_back(word);
  const Finished init = RunToEnd(words);
  ASSERT_EQ(init.code, 0) << init.output;

  const std::vector<SystemCall> calls = ReadTrace(Log());
  // What is synced behind call number `from`, and in front of `to`.
  const auto synced = [&](size_t from, size_t to, const std::string& directory) {
    return std::any_of(calls.begin() + static_cast<ptrdiff_t>(from),
                       calls.begin() + static_cast<ptrdiff_t>(to),
                       [&](const SystemCall& call) { return Syncs(call, directory); });
  };
  std::optional<size_t> last_name;
  std::optional<size_t> identity;
  size_t made = 0;
  for (size_t i = 0; i < calls.size(); ++i) {
    if (absl::StartsWith(calls[i].name, "mkdir") && calls[i].result == 0) {
      ++made;
      const bool inner = Names(calls[i], absl::StrCat(data, "\""));
      EXPECT_TRUE(synced(i, calls.size(), inner ? parent : home.path())) << calls[i].arguments;
    }
    if (!absl::StartsWith(calls[i].name, "rename")) continue;
    (Names(calls[i], "identity\"") ? identity : last_name) = i;
  }
  EXPECT_EQ(made, 2u);
  ASSERT_TRUE(last_name && identity);
  EXPECT_LT(*last_name, *identity) << "it comes last";
  EXPECT_TRUE(synced(*last_name, *identity, data)) << "in front of the identity";
  EXPECT_TRUE(synced(*identity, calls.size(), data)) << "behind the identity";
}

// There is one disk thread: what follows a name is the sync of its directory.
TEST_F(DirectorySync, FollowsEachNewNameOfARunningNode) {
  Cluster cluster(3, kSmall);
  cluster.StartAll();
  Load load(&cluster);
  ASSERT_TRUE(load.Reach(20));
  Cluster::Node& node = cluster.node(cluster.WaitForLeader());
  Strace strace(node.process->pid(),
                TraceOptions("pwrite64,fdatasync,fsync,rename,renameat,renameat2,unlinkat"), Log());
  ASSERT_TRUE(strace.attached());
  const auto snapshots = [&] {
    uint64_t index = 0;
    return absl::SimpleAtoi(cluster.Status(node.id, "snapshot"), &index) ? index : 0;
  };
  const uint64_t before = snapshots();
  EXPECT_TRUE(Eventually([&] { return snapshots() > before + 500; }, 60));
  load.Stop();
  strace.Detach();
  std::map<std::string, int> named;
  const SystemCall* name = nullptr;
  const std::vector<SystemCall> calls = ReadTrace(Log());
  for (const SystemCall& call : calls) {
    if (!absl::StrContains(call.arguments, node.data)) continue;
    if (name != nullptr) {
      EXPECT_TRUE(Syncs(call, node.data))
          << name->arguments << " is followed by " << call.name << "(" << call.arguments << ")";
    }
    name = absl::StartsWith(call.name, "rename") && call.result == 0 ? &call : nullptr;
    if (name != nullptr) ++named[Names(call, "log-") ? "log" : "snapshot"];
  }
  EXPECT_GT(named["log"], 0);
  EXPECT_GT(named["snapshot"], 0);
  load.CheckThatNothingIsLost();
}

}  // namespace
}  // namespace raftkv::e2e
