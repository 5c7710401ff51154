#include "sim/coverage/state.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

std::vector<AbstractNode> Nodes(const std::vector<std::string>& texts) {
  std::vector<AbstractNode> nodes;
  for (const std::string& text : texts) {
    const absl::StatusOr<AbstractNode> node = ParseNode(text);
    EXPECT_TRUE(node.ok()) << node.status();
    nodes.push_back(node.value_or(AbstractNode()));
  }
  return nodes;
}

// Figures of abstract states are compared over months. Whoever changes a hash here makes all of
// them worthless, and has to say so in docs/SIMULATOR.md.
TEST(State, HashesAreTheSameForEver) {
  struct Golden {
    bool joint;
    std::vector<std::string> nodes;
    uint64_t hash;
  };
  const Golden kGolden[] = {
      {false, {}, 0xe220a8397b1dcdaf},
      {false, {"leader", "follower", "follower"}, 0x789e0859f1a0f102},
      {false,
       {"leader, writing", "follower, log shorter, entries on the way", "down"},
       0xad395f5b9f954c09},
      {true,
       {"leader, change pending, append answer on the way", "follower, configuration outdated",
        "paused, follower, term behind, log older and longer, commit behind, old message on the "
        "way",
        "follower, learner, log cut off, installs snapshot, snapshot on the way", "down, removed"},
       0xe1578939af898187},
      {false,
       {"candidate, log newer, vote answer on the way", "pre-candidate, term one behind",
        "repairing, vote on the way", "follower, no member yet, log older, suspicion",
        "leader, term behind, log longer, commit one behind, sends snapshot",
        "follower, takes snapshot, hand-over on the way"},
       0xf3402c0d2bbcadb6},
  };
  for (const Golden& golden : kGolden) {
    EXPECT_EQ(HashOfState(golden.joint, Nodes(golden.nodes)), golden.hash)
        << std::hex << HashOfState(golden.joint, Nodes(golden.nodes));
  }
}

TEST(State, DoesNotDependOnWhichNodeIsWhich) {
  std::vector<std::string> texts = {"down", "follower", "follower, log shorter", "leader, writing"};
  const uint64_t hash = HashOfState(false, Nodes(texts));
  std::sort(texts.begin(), texts.end());
  do {
    EXPECT_EQ(HashOfState(false, Nodes(texts)), hash);
  } while (std::next_permutation(texts.begin(), texts.end()));
}

TEST(State, EveryPropertyOfANodeMakesAnotherState) {
  std::set<uint64_t> hashes;
  const std::vector<std::string> texts = {"follower",
                                          "pre-candidate",
                                          "candidate",
                                          "leader",
                                          "paused, follower",
                                          "repairing, follower",
                                          "down, follower",
                                          "follower, term one behind",
                                          "follower, term behind",
                                          "follower, log shorter",
                                          "follower, log longer",
                                          "follower, log older",
                                          "follower, log older and longer",
                                          "follower, log newer",
                                          "follower, log cut off",
                                          "follower, commit one behind",
                                          "follower, commit behind",
                                          "follower, learner",
                                          "follower, no member yet",
                                          "follower, removed",
                                          "follower, change pending",
                                          "follower, changes pending",
                                          "follower, configuration outdated",
                                          "follower, takes snapshot",
                                          "follower, sends snapshot",
                                          "follower, installs snapshot",
                                          "follower, writing",
                                          "follower, suspicion",
                                          "follower, vote on the way",
                                          "follower, vote answer on the way",
                                          "follower, snapshot on the way",
                                          "follower, hand-over on the way",
                                          "follower, old message on the way"};
  for (const std::string& text : texts) {
    const std::vector<AbstractNode> node = Nodes({text});
    EXPECT_EQ(FormatNode(node[0]), text);
    EXPECT_TRUE(hashes.insert(HashOfState(false, node)).second) << text;
  }
  EXPECT_TRUE(hashes.insert(HashOfState(true, Nodes({"follower"}))).second) << "joint";
  EXPECT_TRUE(hashes.insert(HashOfState(false, Nodes({"follower", "follower"}))).second) << "two";
}

TEST(State, MessagesAreThoseToAnybodyAndEntriesDoNotCount) {
  EXPECT_EQ(HashOfState(false, Nodes({"leader", "follower, vote on the way", "follower"})),
            HashOfState(false, Nodes({"leader, vote on the way", "follower", "follower"})));
  EXPECT_EQ(HashOfState(false, Nodes({"leader, append answer on the way", "follower"})),
            HashOfState(false, Nodes({"leader", "follower, entries on the way"})));
}

TEST(State, AnOutlineIsWhoLeadsAndWhoKnowsOfWhichMembers) {
  const auto outline = [](bool joint, const std::vector<std::string>& texts) {
    std::vector<uint32_t> codes;
    for (const AbstractNode& node : Nodes(texts)) codes.push_back(CodeOf(node));
    return OutlineOfCodes(joint, codes);
  };
  const uint64_t usual = outline(false, {"leader", "follower", "follower"});
  for (const std::vector<std::string>& same : std::vector<std::vector<std::string>>{
           {"follower", "leader", "follower"},
           {"leader", "follower"},
           {"leader", "follower", "down"},
           {"leader", "follower", "repairing, vote on the way"},
           {"leader, writing", "follower, log shorter, entries on the way", "paused, follower"},
           {"leader, takes snapshot", "follower, commit behind", "follower, suspicion"}}) {
    EXPECT_EQ(outline(false, same), usual) << same[1];
  }
  std::set<uint64_t> outlines = {usual, outline(true, {"leader", "follower", "follower"}),
                                 outline(false, {"follower", "follower"})};
  EXPECT_EQ(outlines.size(), 3u);
  for (const std::string other :
       {"candidate", "follower, term behind", "follower, learner", "follower, removed",
        "follower, change pending", "follower, changes pending", "follower, configuration outdated",
        "leader, term one behind, change pending"}) {
    EXPECT_TRUE(outlines.insert(outline(false, {"follower", other})).second) << other;
  }
}

TEST(State, WhoIsDownHasNothingButItsMembership) {
  EXPECT_EQ(HashOfState(false, Nodes({"down"})),
            HashOfState(false, Nodes({"down, leader, log newer, writing, entries on the way"})));
  EXPECT_NE(HashOfState(false, Nodes({"down"})), HashOfState(false, Nodes({"down, learner"})));
}

TEST(State, WordsThatAreSaidOfNoNodeAreNamed) {
  const absl::StatusOr<AbstractNode> node = ParseNode("leader, sleepy");
  ASSERT_FALSE(node.ok());
  EXPECT_EQ(node.status().message(), "'sleepy' is said of no node");
}

}  // namespace
}  // namespace raftkv::sim
