// How a snapshot is got from peers that do not all have the same one.
#include "core/replica/snapshot_fetch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"

namespace raftkv::replica {
namespace {

constexpr uint32_t kPiece = 4;

// What a peer has: at this index, with these bytes, of which some pieces cannot be read.
struct Peer {
  raft::Index index = 0;
  std::string bytes = {};
  std::vector<uint64_t> bad = {};
  bool up = true;
  uint64_t digest = 7;

  wire::SnapshotPiece Answer(const wire::SnapshotPull& pull) const {
    wire::SnapshotPiece piece;
    piece.asked_index = pull.index;
    piece.offset = pull.offset;
    const bool readable = std::find(bad.begin(), bad.end(), pull.offset) == bad.end();
    if (index == 0 || (pull.index != 0 && pull.index != index) || !readable) return piece;
    piece.meta = Meta();
    piece.size = bytes.size();
    piece.digest = digest;
    piece.bytes = bytes.substr(pull.offset, pull.length);
    return piece;
  }
  raft::SnapshotMeta Meta() const { return {index, 1, {{1, 2, 3}, {}, {}, {}, false}}; }
};

// Node 1 fetches from nodes 2, 3, ... ; jobs succeed at once.
class Case {
 public:
  Case(std::map<raft::NodeId, Peer> peers, raft::Index at_least)
      : peers_(std::move(peers)), fetch_(Ids(), at_least, Options()) {}

  // Until nothing moves, `patience` times.
  Case& Run(int patience = 1) {
    for (; patience > 0; --patience) {
      Turn();
      if (fetch_.done()) break;
      for (uint32_t i = 0; i < Options().patience_ticks; ++i) fetch_.Tick();
    }
    Turn();
    return *this;
  }
  Peer& operator[](raft::NodeId id) { return peers_.at(id); }
  SnapshotFetch& fetch() { return fetch_; }

  // "snapshot 9: the bytes", or what is waited for.
  std::string Outcome() const {
    if (!fetch_.done()) return absl::StrCat("waits for ", fetch_.WaitsFor());
    return absl::StrCat("snapshot ", fetch_.meta().index, ": ", written_);
  }
  const std::vector<raft::NodeId>& asked() const { return asked_; }

 private:
  static SnapshotFetch::Options Options() { return {.piece_bytes = kPiece, .patience_ticks = 5}; }
  std::vector<raft::NodeId> Ids() const {
    std::vector<raft::NodeId> ids;
    for (const auto& [id, peer] : peers_) ids.push_back(id);
    return ids;
  }
  void Turn() {
    for (int i = 0; i < 1000; ++i) {
      if (std::optional<JobBody> job = fetch_.TakeJob()) {
        EXPECT_TRUE(fetch_.OnJob(Do(*job)).ok());
        continue;
      }
      const auto pulls = fetch_.TakePulls();
      if (pulls.empty()) return;
      for (const auto& [to, pull] : pulls) {
        asked_.push_back(to);
        if (peers_.at(to).up) fetch_.OnPiece(to, peers_.at(to).Answer(pull));
      }
    }
    ADD_FAILURE() << "never waits";
  }
  JobResult Do(const JobBody& job) {
    JobResult result;
    if (std::holds_alternative<BeginSnapshot>(job)) written_.clear();
    if (const auto* append = std::get_if<AppendSnapshot>(&job)) {
      EXPECT_EQ(append->offset, written_.size());
      written_ += append->bytes;
    }
    if (const auto* finish = std::get_if<FinishSnapshot>(&job)) {
      if (finish->digest == 7u) {
        result.finished = FinishedSnapshot{written_.size(), 7};
      } else {
        result.status = absl::DataLossError("another digest");
      }
    }
    return result;
  }

  std::map<raft::NodeId, Peer> peers_;
  SnapshotFetch fetch_;
  std::string written_;
  std::vector<raft::NodeId> asked_;
};

TEST(SnapshotFetchTest, OnePeerGivesAllOfIt) {
  Case fetch({{2, {9, "some bytes"}}, {3, {9, "some bytes"}}}, 5);
  EXPECT_EQ(fetch.Run().Outcome(), "snapshot 9: some bytes");
  EXPECT_EQ(fetch.asked(), (std::vector<raft::NodeId>{2, 2, 2}));
  EXPECT_EQ(fetch.fetch().fetched_bytes(), 10u);
}

TEST(SnapshotFetchTest, AnOldOneIsNotEnough) {
  Case fetch({{2, {4, "old"}}, {3, {0, ""}}}, 5);
  EXPECT_EQ(fetch.Run(4).Outcome(), "waits for a snapshot at 5 or behind from nodes 2, 3");
  EXPECT_EQ(fetch.asked(), (std::vector<raft::NodeId>{2, 3, 2, 3, 2})) << "in turn";
  fetch[3] = {5, "new"};
  EXPECT_EQ(fetch.Run(2).Outcome(), "snapshot 5: new");
}

TEST(SnapshotFetchTest, AnotherPeerGivesThePieceThatOneCannotRead) {
  Case fetch({{2, {9, "some bytes", {4}}}, {3, {9, "some bytes", {8}}}}, 5);
  EXPECT_EQ(fetch.Run().Outcome(), "snapshot 9: some bytes");
}

// Whoever comes first has a snapshot that nobody can complete. What the others have would do.
TEST(SnapshotFetchTest, ASnapshotThatCannotBeHadMakesRoomForThatOfTheNextPeer) {
  for (const raft::NodeId whole : {2u, 3u, 4u}) {
    std::map<raft::NodeId, Peer> peers;
    for (const raft::NodeId id : {2u, 3u, 4u}) {
      peers[id] = id == whole ? Peer{8, "whole"} : Peer{9 + id, "not whole", {4}};
    }
    EXPECT_EQ(Case(peers, 5).Run(4).Outcome(), "snapshot 8: whole") << whole;
  }
}

TEST(SnapshotFetchTest, BytesThatAreNotWhatWasPromisedAreNotAskedForAgainAtOnce) {
  Case fetch({{2, {9, "wrong", {}, true, 8}}, {3, {9, "right"}}}, 5);
  EXPECT_EQ(fetch.Run(2).Outcome(), "snapshot 9: right");
}

TEST(SnapshotFetchTest, ALateAnswerMakesItsSenderTheOneThatIsAsked) {
  Case fetch({{2, {9, "some bytes"}}, {3, {0, ""}}}, 5);
  fetch[2].up = false;
  fetch.Run(1);
  ASSERT_EQ(fetch.asked(), (std::vector<raft::NodeId>{2, 3}));
  fetch[2].up = true;
  fetch.fetch().OnPiece(2, fetch[2].Answer({0, 0, kPiece}));
  EXPECT_EQ(fetch.Run(1).Outcome(), "snapshot 9: some bytes");
  EXPECT_EQ(fetch.asked()[2], 2u);
}

}  // namespace
}  // namespace raftkv::replica
