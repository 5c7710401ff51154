// Replicas whose disks have lost something: they are repaired by each other, or wait and say so.
#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/replica/replica.h"
#include "tests/replica/replica_cluster.h"

namespace raftkv::replica {
namespace {

using Evidence = raft::Suspicion::Evidence;

template <typename Kind>
std::vector<Kind> Events(const Cluster::Node& node) {
  std::vector<Kind> found;
  for (const Event& event : node.events) {
    if (const auto* one = std::get_if<Kind>(&event)) found.push_back(*one);
  }
  return found;
}

void Quiet(Options& options) { options.raft.election_ticks = 10; }

// Three nodes with the same log, whose last four entries are the writes of a, b, c and d.
class FourEntries {
 public:
  explicit FourEntries(std::function<void(Options&)> tune = Quiet) : cluster(3, std::move(tune)) {
    const raft::NodeId leader = cluster.Leader();
    for (const char* key : {"a", "b", "c", "d"})
      EXPECT_EQ(cluster.Ask(leader, {"SET", key, absl::StrCat("v", key)}), "+OK\r\n");
    cluster.Run(200);
    first = cluster[1].raft().log().last() - 3;
  }
  // All nodes start anew and find what they are made to find.
  void Restart() {
    for (raft::NodeId id = 1; id <= 3; ++id) cluster.Kill(id);
    for (raft::NodeId id = 1; id <= 3; ++id) cluster.Start(id);
  }
  bool Led() {
    for (auto& [id, node] : cluster.nodes) {
      if (node.replica != nullptr && node.replica->raft().is_leader() &&
          node.replica->raft().committed_in_term())
        return true;
    }
    return false;
  }
  bool Complete() {
    for (const char* key : {"a", "b", "c", "d"}) {
      if (cluster.Ask(cluster.Leader(), {"GET", key}) != absl::StrCat("$2\r\nv", key, "\r\n"))
        return false;
    }
    return true;
  }

  Cluster cluster;
  raft::Index first = 0;  // index of a's write
};

// Every combination of which node has lost which of the last four entries: those of which each
// entry has one intact copy are repaired completely, whatever else is lost; in the others nothing
// is served, ever.
TEST(ReplicaRepairTest, EveryCombinationOfLostEntries) {
  int repaired = 0, waiting = 0;
  for (int lost = 0; lost < 4096; ++lost) {
    SCOPED_TRACE(lost);
    FourEntries four;
    bool everything_somewhere = true;
    for (int i = 0; i < 4; ++i) {
      int copies = 3;
      for (int node = 0; node < 3; ++node) {
        if ((lost >> (4 * node + i) & 1) == 0) continue;
        four.cluster.nodes[static_cast<raft::NodeId>(node + 1)].damage.bad.insert(
            four.first + static_cast<raft::Index>(i));
        --copies;
      }
      everything_somewhere = everything_somewhere && copies > 0;
    }
    four.Restart();
    if (everything_somewhere) {
      ASSERT_TRUE(four.Complete());
      ++repaired;
      continue;
    }
    four.cluster.Run(5'000);
    ASSERT_FALSE(four.Led());
    bool said = false;
    for (auto& [id, node] : four.cluster.nodes)
      said = said || absl::StrContains(node.replica->Status().repair, "waits for");
    ASSERT_TRUE(said);
    ++waiting;
  }
  EXPECT_EQ(repaired, 2401);
  EXPECT_EQ(waiting, 1695);
}

TEST(ReplicaRepairTest, TermsThatAreNotKnownDoNotMatterWhereOneCopyIsIntact) {
  for (int lost = 1; lost < 8; ++lost) {
    FourEntries four;
    Damage& damage = four.cluster.nodes[2].damage;
    for (int i = 0; i < 3; ++i) {
      if ((lost >> i & 1) == 0) continue;
      damage.bad.insert(four.first + static_cast<raft::Index>(i));
      damage.nameless.insert(four.first + static_cast<raft::Index>(i));
    }
    four.Restart();
    EXPECT_TRUE(four.Complete());
    EXPECT_EQ(four.cluster.restarts.count(2), 1u) << lost;
  }
}

TEST(ReplicaRepairTest, WhileItWaitsItTakesPartInNothingAndSaysWhatItWaitsFor) {
  FourEntries four;
  Cluster& cluster = four.cluster;
  cluster.nodes[1].damage.bad = {four.first};
  cluster.nodes[2].damage.bad = {four.first};
  cluster.Kill(3);
  for (const raft::NodeId id : {1u, 2u}) {
    cluster.Kill(id);
    cluster.Start(id);
  }
  const raft::Term term = cluster[1].raft().term();
  cluster.Run(3'000);
  EXPECT_TRUE(cluster[1].repairing());
  EXPECT_EQ(cluster[1].raft().term(), term) << "no ticks, no elections";
  const std::string entry = absl::StrCat("entry (", four.first, ", term ", term, ")");
  const std::string waits =
      absl::StrCat("repairing: waits for ", entry, " from node 3, lost by node 2 too");
  EXPECT_EQ(cluster[1].Status().repair, waits);
  EXPECT_EQ(cluster.Ask(1, {"SET", "k", "v"}),
            absl::StrCat("-NOTAPPLIED this node is ", waits, "\r\n"));
  EXPECT_EQ(cluster.Ask(1, {"GET", "a"}), absl::StrCat("-NOTAPPLIED this node is ", waits, "\r\n"));
  EXPECT_TRUE(absl::StrContains(cluster.Ask(1, {"KV.STATUS"}), waits));
  EXPECT_TRUE(absl::StrContains(cluster.Ask(1, {"INFO"}), waits));
  const auto said = Events<RepairWaiting>(cluster.nodes[1]);
  ASSERT_EQ(said.size(), 1u) << "once, as nothing changes";
  EXPECT_TRUE(absl::StrContains(said[0].what, entry));

  // A vote that it is asked for is not given.
  wire::PeerEncoder encoder;
  const raft::Message ask{3, 1, 1'000, raft::VoteRequest{false, true, 1'000, 1'000, 0, 0}};
  const std::string frame(encoder.Encode(wire::Envelope{0, 3, 103, 1, 101}, ask));
  const uint64_t sent = cluster.frames_sent[{1, 3}];
  cluster[1].ReceivePeer(absl::string_view(frame).substr(wire::kFrameHeaderSize));
  cluster.Settle();
  EXPECT_EQ(cluster[1].raft().term(), term);
  EXPECT_EQ((cluster.frames_sent[{1, 3}]), sent);

  cluster.Start(3);
  EXPECT_TRUE(four.Complete());
  const auto closed = Events<RepairClosed>(cluster.nodes[1]);
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_EQ(closed[0].fetched_entries, 1u);
  EXPECT_EQ(closed[0].last, four.first + 3);
}

TEST(ReplicaRepairTest, ANodeThatNobodyCanHelpRefusesToStart) {
  Cluster cluster(1);
  cluster.Leader();
  for (const char* key : {"a", "b"}) EXPECT_EQ(cluster.Ask(1, {"SET", key, "v"}), "+OK\r\n");
  cluster.nodes[1].damage.bad = {cluster[1].raft().log().last() - 1};
  cluster.Kill(1);
  cluster.may_refuse = true;
  cluster.Start(1);
  EXPECT_TRUE(absl::IsDataLoss(cluster.started)) << cluster.started;
  EXPECT_TRUE(absl::StrContains(cluster.started.message(), "no other member"));
}

// ---- What a repair costs ----

constexpr int kManyEntries = 30'000;
constexpr size_t kValueBytes = 1'024;

std::string LargeValue(int number) {
  std::string value = absl::StrCat("value<", number, ">");
  value.resize(kValueBytes, static_cast<char>('a' + number % 26));
  return value;
}

std::string LargeKey(int number) { return absl::StrCat("key:", number); }

// Logs of `kManyEntries` entries on all three nodes, and no snapshot.
void WriteManyEntries(Cluster& cluster, raft::NodeId through) {
  const ClientId client = cluster.Connect(through);
  std::string heard;
  for (int i = 0; i < kManyEntries; ++i) {
    cluster.Say(through, client, {"SET", LargeKey(i), LargeValue(i)});
    if (i % 500 != 499) continue;
    cluster.Run(20);
    heard += cluster.Heard(through, client);
  }
  cluster.Run(200);
  heard += cluster.Heard(through, client);
  ASSERT_EQ(heard.size(), kManyEntries * std::string("+OK\r\n").size());
  for (auto& [id, node] : cluster.nodes) {
    ASSERT_GT(cluster[id].raft().log().last() - cluster[id].raft().log().base(),
              raft::Index{kManyEntries})
        << id;
    ASSERT_TRUE(Events<SnapshotTaken>(node).empty());
  }
}

// Everything that leaves for and from the node is counted, from the moment it is up with its rotten
// disk until it serves again: questions, answers, heartbeats, an election where it led.
class RepairTraffic : public testing::TestWithParam<bool> {};

TEST_P(RepairTraffic, OneRottenEntryAmongManyCostsLittle) {
  constexpr uint64_t kLimit = 64 << 10;
  Cluster cluster(3, Quiet);
  const raft::NodeId leader = cluster.Leader();
  ASSERT_NO_FATAL_FAILURE(WriteManyEntries(cluster, leader));
  const raft::NodeId rotten = GetParam() ? leader : cluster.Follower();
  const raft::Index last = cluster[rotten].raft().log().last();
  constexpr int kRotten = kManyEntries / 2;
  cluster.Kill(rotten);
  ASSERT_TRUE(Spoil(cluster.nodes[rotten], "log-", LargeValue(kRotten)));
  cluster.bytes_sent.clear();
  cluster.Start(rotten);
  ASSERT_TRUE(cluster[rotten].repairing());
  for (int i = 0; i < 500 && cluster.restarts.count(rotten) == 0; ++i) cluster.Run(10);
  ASSERT_EQ(cluster.restarts.count(rotten), 1u);
  EXPECT_EQ(cluster.Ask(rotten, {"GET", LargeKey(kRotten)}),
            absl::StrCat("$", kValueBytes, "\r\n", LargeValue(kRotten), "\r\n"));
  const auto closed = Events<RepairClosed>(cluster.nodes[rotten]);
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_EQ(closed[0].fetched_entries, 1u);
  EXPECT_EQ(closed[0].last, last);
  EXPECT_TRUE(Events<SnapshotInstalled>(cluster.nodes[rotten]).empty());
  // Also what may follow it: a leader that probes its followers' logs.
  cluster.Run(1'000);
  EXPECT_EQ(cluster[rotten].machine().Digest(), cluster[cluster.Leader()].machine().Digest());
  uint64_t bytes = 0;
  for (const auto& [link, sent] : cluster.bytes_sent) bytes += sent;
  RecordProperty("bytes", std::to_string(bytes));
  EXPECT_GT(bytes, kValueBytes) << "the entry itself";
  EXPECT_LT(bytes, kLimit);
}

INSTANTIATE_TEST_SUITE_P(ReplicaRepairTest, RepairTraffic, testing::Bool(),
                         [](const auto& which) { return which.param ? "Leader" : "Follower"; });

// ---- What everybody lost ----

TEST(ReplicaRepairTest, WhatEverybodyLostBlankIsGivenUp) {
  FourEntries four;
  for (raft::NodeId id = 1; id <= 3; ++id) {
    four.cluster.nodes[id].damage.bad = {four.first + 3};
    four.cluster.nodes[id].damage.evidence = Evidence::kBlank;
  }
  four.Restart();
  const raft::NodeId leader = four.cluster.Leader();
  EXPECT_EQ(four.cluster.Ask(leader, {"GET", "c"}), "$2\r\nvc\r\n");
  EXPECT_EQ(four.cluster.Ask(leader, {"GET", "d"}), "$-1\r\n");
  const auto dropped = Events<SuspicionDropped>(four.cluster.nodes[leader]);
  ASSERT_EQ(dropped.size(), 1u);
  EXPECT_EQ(dropped[0].suspicion.index, four.first + 3);
  EXPECT_FALSE(dropped[0].rest);
}

TEST(ReplicaRepairTest, WhatOneOfThemStillHasIsNotGivenUp) {
  for (raft::NodeId longer = 1; longer <= 3; ++longer) {
    FourEntries four;
    for (raft::NodeId id = 1; id <= 3; ++id) {
      four.cluster.nodes[id].damage.bad = {four.first + 3};
      if (id != longer) four.cluster.nodes[id].damage.bad.insert(four.first + 2);
      four.cluster.nodes[id].damage.evidence = Evidence::kBlank;
    }
    four.Restart();
    EXPECT_EQ(four.cluster.Ask(four.cluster.Leader(), {"GET", "c"}), "$2\r\nvc\r\n");
    EXPECT_EQ(four.cluster.Ask(four.cluster.Leader(), {"GET", "d"}), "$-1\r\n");
  }
}

TEST(ReplicaRepairTest, NothingIsGivenUpWhileSomebodyIsSilentOrItMayHaveBeenDurable) {
  for (const bool silent : {true, false}) {
    FourEntries four;
    for (raft::NodeId id = 1; id <= 3; ++id) {
      four.cluster.nodes[id].damage.bad = {four.first + 3};
      four.cluster.nodes[id].damage.evidence =
          silent || id != 3 ? Evidence::kBlank : Evidence::kSpoilt;
    }
    four.Restart();
    if (silent) four.cluster.Kill(3);
    four.cluster.Run(5'000);
    EXPECT_FALSE(four.Led());
    EXPECT_TRUE(Events<SuspicionDropped>(four.cluster.nodes[1]).empty());
    EXPECT_TRUE(absl::StrContains(four.cluster[1].Status().repair,
                                  silent ? "a word about" : "may have been durable on node 3"))
        << four.cluster[1].Status().repair;
  }
}

// ---- What only a member has that cannot lead ----

TEST(ReplicaRepairTest, WhatOnlyALearnerHasIsTakenFromIt) {
  for (const uint64_t answer_bytes : {uint64_t{1}, uint64_t{1} << 20}) {
    FourEntries four([&](Options& options) {
      Quiet(options);
      options.repair_answer_bytes = answer_bytes;
    });
    Cluster& cluster = four.cluster;
    cluster.Create(4, {});
    ASSERT_EQ(cluster.Ask(cluster.Leader(),
                          {"KV.MEMBER", "ADD", "4", "127.0.0.1:7441", "127.0.0.1:7440", "104"}),
              "+OK\r\n");
    for (const char* key : {"e", "f"})
      ASSERT_EQ(cluster.Ask(cluster.Leader(), {"SET", key, absl::StrCat("v", key)}), "+OK\r\n");
    cluster.Run(200);
    const raft::Index last = cluster[4].raft().log().last();
    for (raft::NodeId id = 1; id <= 3; ++id) cluster.nodes[id].damage.bad = {last - 1, last};
    for (raft::NodeId id = 1; id <= 4; ++id) cluster.Kill(id);
    for (raft::NodeId id = 1; id <= 3; ++id) cluster.Start(id);
    cluster.Run(2'000);
    EXPECT_FALSE(four.Led()) << "nobody has it";
    for (auto& [id, node] : cluster.nodes) node.events.clear();
    cluster.Start(4);
    EXPECT_TRUE(four.Complete());
    const raft::NodeId leader = cluster.Leader();
    EXPECT_NE(leader, 4u);
    EXPECT_EQ(cluster.Ask(leader, {"GET", "f"}), "$2\r\nvf\r\n");
    const auto fetched = Events<LostEndFetched>(cluster.nodes[leader]);
    ASSERT_EQ(fetched.size(), answer_bytes == 1 ? 2u : 1u);
    EXPECT_EQ(fetched.front().from, 4u);
    EXPECT_EQ(fetched.front().first, last - 1);
    EXPECT_EQ(fetched.back().last, last);
    cluster.Run(500);
    for (raft::NodeId id = 1; id <= 3; ++id) EXPECT_EQ(cluster[id].Status().repair, "") << id;
  }
}

// ---- Snapshots ----

void SmallSnapshots(Options& options) {
  options.snapshots.minimum_bytes = 4'000;
  options.snapshots.state_percent = 0;
  options.trailing_log_bytes = 500;
  options.snapshot_chunk_bytes = 256;
}

void Fill(Cluster& cluster, int keys) {
  const raft::NodeId leader = cluster.Leader();
  for (int i = 1; i <= keys; ++i) {
    ASSERT_EQ(cluster.Ask(leader, {"SET", absl::StrCat("key", i % 50), std::string(100, 'a')}),
              "+OK\r\n");
  }
  cluster.Run(200);
}

void ExpectSameState(Cluster& cluster) {
  cluster.Leader();
  cluster.Run(3'000);
  const std::string digest = cluster[1].Status().digest;
  for (auto& [id, node] : cluster.nodes) {
    ASSERT_NE(node.replica, nullptr);
    EXPECT_EQ(node.replica->Status().digest, digest) << id;
    EXPECT_EQ(node.replica->Status().repair, "") << id;
  }
}

TEST(ReplicaRepairTest, OnlyTheBadPiecesOfASnapshotAreFetched) {
  Cluster cluster(3, SmallSnapshots);
  Fill(cluster, 200);
  cluster.nodes[2].damage.bad_pieces = {512, 2048};
  cluster.Kill(2);
  cluster.Start(2);
  EXPECT_TRUE(cluster[2].repairing());
  EXPECT_EQ(cluster[2].members().all().size(), 3u) << "they come first";
  ExpectSameState(cluster);
  const auto closed = Events<RepairClosed>(cluster.nodes[2]);
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_EQ(closed[0].fetched_snapshot_bytes, 512u);
}

TEST(ReplicaRepairTest, NodesWithDifferentBadPiecesHelpEachOther) {
  Cluster cluster(3, SmallSnapshots);
  Fill(cluster, 200);
  for (raft::NodeId id = 1; id <= 3; ++id) cluster.Kill(id);
  cluster.nodes[1].damage.bad_pieces = {0, 512};
  cluster.nodes[2].damage.bad_pieces = {1024};
  cluster.nodes[3].damage.bad_pieces = {768};
  for (raft::NodeId id = 1; id <= 3; ++id) cluster.Start(id);
  EXPECT_TRUE(cluster[1].members().all().empty());
  ExpectSameState(cluster);
  EXPECT_EQ(cluster.restarts, (std::multiset<raft::NodeId>{1, 2, 3}));
}

TEST(ReplicaRepairTest, APieceThatCannotBeReadIsNotSentEmpty) {
  Cluster cluster(3, SmallSnapshots);
  Fill(cluster, 200);
  Replica& asked = cluster[1];
  wire::PeerEncoder encoder;
  for (const bool readable : {true, false}) {
    const std::string frame(encoder.Encode(
        wire::PeerMessage{wire::Envelope{0, 2, 102, 1, 101}, wire::SnapshotPull{0, 512, 256}}));
    asked.ReceivePeer(absl::string_view(frame).substr(wire::kFrameHeaderSize));
    Work work = asked.TakeWork();
    ASSERT_EQ(work.jobs.size(), 1u);
    JobResult result;
    if (readable) {
      result = storage::RunJob(*cluster.nodes[1].storage, work.jobs[0]);
    } else {
      result.status = absl::DataLossError("rotten");
    }
    result.id = work.jobs[0].id;
    asked.JobDone(std::move(result));
    work = asked.TakeWork();
    ASSERT_EQ(work.frames.size(), 1u);
    const absl::StatusOr<wire::PeerMessage> answer =
        wire::DecodePeer(absl::string_view(work.frames[0].bytes).substr(wire::kFrameHeaderSize));
    ASSERT_TRUE(answer.ok()) << answer.status();
    const auto& piece = std::get<wire::SnapshotPiece>(answer->body);
    EXPECT_EQ(piece.meta.has_value(), readable) << "who asked goes on to the next peer";
    EXPECT_EQ(piece.bytes.size(), readable ? 256u : 0u);
  }
}

TEST(ReplicaRepairTest, AnOldSnapshotIsReplacedByTheNewestOfAPeer) {
  Cluster cluster(3, SmallSnapshots);
  Fill(cluster, 100);
  const raft::NodeId old = cluster.Follower();
  const raft::Index index = cluster[old].raft().offered_snapshot().index;
  cluster.Kill(old);
  cluster.nodes[old].damage.bad_pieces = {512};
  Fill(cluster, 200);
  cluster.Start(old);
  ExpectSameState(cluster);
  const auto closed = Events<RepairClosed>(cluster.nodes[old]);
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_GT(closed[0].snapshot, index);
}

TEST(ReplicaRepairTest, AHoleThatNoLogHasIsFilledByASnapshot) {
  Cluster cluster(3, SmallSnapshots);
  Fill(cluster, 100);
  const raft::NodeId old = cluster.Follower();
  const raft::Index last = cluster[old].raft().log().last();
  ASSERT_GT(last, cluster[old].raft().offered_snapshot().index + 2);
  cluster.Kill(old);
  cluster.nodes[old].damage.bad = {last - 1};
  Fill(cluster, 200);
  cluster.Start(old);
  EXPECT_TRUE(cluster[old].repairing());
  ExpectSameState(cluster);
  const auto closed = Events<RepairClosed>(cluster.nodes[old]);
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_GT(closed[0].snapshot, last);
}

}  // namespace
}  // namespace raftkv::replica
