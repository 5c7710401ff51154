#include "sim/picture/story.h"

#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/picture/example.h"

namespace raftkv::sim {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TEST(CluesTest, NodesTermsAndEntriesAreFoundInWhatOraclesSay) {
  Clues clues = FindClues("node 2 votes for node 3 in term 5 and has voted for node 1");
  EXPECT_THAT(clues.nodes, UnorderedElementsAre(1, 2, 3));
  EXPECT_THAT(clues.terms, UnorderedElementsAre(5));
  EXPECT_THAT(clues.indexes, IsEmpty());

  clues = FindClues(
      "node 3 committed (12, term 4) = SET \"node 9\" \"(7, term 8)\", node 1 had (12, term 3) = "
      "INCRBY \"c\" 5");
  EXPECT_THAT(clues.nodes, UnorderedElementsAre(1, 3));
  EXPECT_THAT(clues.terms, UnorderedElementsAre(3, 4));
  EXPECT_THAT(clues.indexes, UnorderedElementsAre(12));

  clues = FindClues("nodes 1 and 4 both lead term 6");
  EXPECT_THAT(clues.nodes, UnorderedElementsAre(1, 4));
  EXPECT_THAT(clues.terms, UnorderedElementsAre(6));

  clues = FindClues("node 2 leads term 5 without the votes of a quorum of (1 2 3)");
  EXPECT_THAT(clues.nodes, UnorderedElementsAre(2));
  EXPECT_THAT(clues.indexes, IsEmpty());

  clues = FindClues("node 4 acknowledged entries up to 31 in term 7 and now has entries up to 29");
  EXPECT_THAT(clues.nodes, UnorderedElementsAre(4));
  EXPECT_THAT(clues.indexes, UnorderedElementsAre(29, 31));

  clues = FindClues(
      "node 2 sends node 3 \"append accepted up to 86, term 2\" before the log is on its disk "
      "(term "
      "2, vote 3, log up to 85)");
  EXPECT_THAT(clues.nodes, UnorderedElementsAre(2, 3));
  EXPECT_THAT(clues.indexes, UnorderedElementsAre(85, 86));
  EXPECT_THAT(clues.terms, UnorderedElementsAre(2));

  clues = FindClues("session 8 of client s3 added 1 for the 4. time at most and was told 9");
  EXPECT_THAT(clues.clients, UnorderedElementsAre("s3"));

  clues = FindClues("no order of the operations explains what clients saw of: k1 \"k2");
  EXPECT_THAT(clues.keys, UnorderedElementsAre("k1", "\"k2"));
  EXPECT_THAT(clues.nodes, IsEmpty());

  clues = FindClues("no leader 9000 ms after every fault was taken back");
  EXPECT_THAT(clues.nodes, IsEmpty());

  clues = FindClues("");
  EXPECT_THAT(clues.nodes, IsEmpty());
  FindClues("node");           // nothing behind the last word
  FindClues("nodes 1 and");    // nor behind this
  FindClues("leader \"open");  // a quote that does not end
  FindClues("node 1 \"");
  FindClues("at 99999999999999999999999");
}

std::vector<EventKind> Kinds(const Recording& recording, const std::vector<size_t>& steps) {
  std::vector<EventKind> kinds;
  for (const size_t step : steps) kinds.push_back(recording.events()[step].kind);
  return kinds;
}

TEST(StoryTest, ToldFromTheFirstVoteToTheSecond) {
  const Recording recording = ExampleRecording();
  const std::vector<size_t> story = TellStory(recording);
  EXPECT_THAT(Kinds(recording, story),
              ElementsAre(EventKind::kTurn,       // node 1 campaigns
                          EventKind::kArrived,    // node 2 votes for it
                          EventKind::kArrived,    // node 1 hears that and leads
                          EventKind::kPowerLoss,  // node 2
                          EventKind::kStarted,    // without its vote
                          EventKind::kTurn,       // node 3 campaigns
                          EventKind::kArrived,    // node 2 votes for it
                          EventKind::kViolation));
}

TEST(StoryTest, EndsWithTheViolationAndIsBounded) {
  Recording recording(1'000);
  for (uint64_t i = 0; i < 300; ++i) {
    NodeChange change;
    change.role = i % 2 == 0 ? raft::RoleName::kCandidate : raft::RoleName::kFollower;
    recording.Add({i, EventKind::kTurn, 1, 0, {}, change});
  }
  EXPECT_THAT(TellStory(recording), IsEmpty());  // nothing is wrong
  recording.Add({300, EventKind::kViolation, 1, 0, "node 1 breaks: this", {}});
  recording.Add({301, EventKind::kPowerLoss, 1, 0, {}, {}});
  const std::vector<size_t> story = TellStory(recording);
  EXPECT_EQ(story.size(), 13u);  // twelve campaigns, and the violation
  EXPECT_LE(story.size(), kMostSteps);
  EXPECT_EQ(story.back(), 300u);
  EXPECT_THAT(story, Contains(298u));  // the last campaign, not the first
  EXPECT_TRUE(std::is_sorted(story.begin(), story.end()));
}

// A violation that names nothing is told by who came and went, what they said, and who refuses whom.
TEST(StoryTest, WithoutALeaderItIsWhoWaitsForWhat) {
  const auto tell = [](const std::string& violation) {
    Recording recording(1'000);
    for (uint64_t i = 0; i < 40; ++i) {
      PictureMessage answer;
      answer.from = 2;
      answer.to = 1;
      answer.kind = i % 2 == 0 ? MessageKind::kPreVoteAnswer : MessageKind::kVoteAnswer;
      answer.refusal = true;
      recording.AddMessage(i, answer);
      recording.Add({i, EventKind::kArrived, 1, i, {}, {}});
    }
    recording.Add({40, EventKind::kPowerLoss, 2, 0, {}, {}});
    recording.Add({41, EventKind::kSays, 2, 0, "may have lost entries up to 5", {}});
    recording.Add({42, EventKind::kViolation, raft::kNoNode, 0, violation, {}});
    return TellStory(recording);
  };
  EXPECT_THAT(tell("no leader 9000 ms after every fault was taken back"),
              ElementsAre(37u, 38u, 39u, 40u, 41u, 42u));
  EXPECT_THAT(tell("node 2 breaks: this"), ElementsAre(40u, 41u, 42u));
  EXPECT_THAT(tell("node 1 breaks: this"), ElementsAre(42u));
}

TEST(StoryTest, OfAllOperationsThoseThatTheCheckerNamesAreTold) {
  Recording recording(1'000);
  for (uint64_t i = 0; i < 20; ++i) {
    const std::string value = std::to_string(i);
    recording.AddOperation(
        i, {"c1", "set \"k\" \"" + value + "\"", {"k"}, i, i, true, "ok ok @" + value});
    recording.Add({i, EventKind::kInvoked, raft::kNoNode, i, {}, {}});
    recording.Add({i, EventKind::kReturned, raft::kNoNode, i, {}, {}});
  }
  NodeChange leads;
  leads.role = raft::RoleName::kLeader;
  recording.Add({20, EventKind::kTurn, 1, 0, {}, leads});  // when they are over
  recording.Add({20,
                 EventKind::kViolation,
                 raft::kNoNode,
                 0,
                 "no order of the operations explains what clients saw of: k",
                 {}});
  EXPECT_EQ(TellStory(recording).size(), kMostSteps);
  EXPECT_THAT(TellStory(recording, "    process c1  set \"k\" \"3\"  -> ok ok @3\n"),
              ElementsAre(6u, 7u, 41u));
}

TEST(StoryTest, FollowsAnEntryOntoTheLogsAndOffThem) {
  Recording recording(1'000);
  const EntryNumber good = recording.Number({5, 2, "SET"}, 1);
  const EntryNumber bad = recording.Number({5, 3, "INCR"}, 2);
  const auto log = [&](uint64_t time, raft::NodeId node, raft::Index keep,
                       std::vector<EntryNumber> appended) {
    NodeChange change;
    change.run = RunState::kUp;
    change.log = NodeChange::Log{4, keep, std::move(appended)};
    recording.Add({time, EventKind::kTurn, node, 0, {}, change});
  };
  log(0, 1, 4, {});
  log(1, 1, 4, {good});  // told
  log(2, 1, 5, {recording.Number({6, 2, "SET"}, 3)});
  NodeChange commit;
  commit.commit = 5;
  recording.Add({3, EventKind::kTurn, 1, 0, {}, commit});  // told
  NodeChange other;
  other.commit = 6;
  recording.Add({4, EventKind::kTurn, 1, 0, {}, other});
  log(5, 3, 4, {bad});  // told
  recording.Add({6,
                 EventKind::kViolation,
                 3,
                 0,
                 "node 3 committed (5, term 3) = INCR, node 1 had (5, term 2) = SET",
                 {}});
  EXPECT_THAT(TellStory(recording), ElementsAre(1u, 3u, 5u, 6u));
}

}  // namespace
}  // namespace raftkv::sim
