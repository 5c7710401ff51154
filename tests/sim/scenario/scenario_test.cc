#include "sim/scenario/scenario.h"

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/nemesis/fault_text.h"
#include "sim/run/run.h"
#include "sim/scenario/fields.h"

namespace raftkv::sim {
namespace {

Scenario Recorded(uint64_t seed, Profile profile, uint64_t* hash) {
  const RunSettings settings = DrawSettings(seed, profile);
  Audience audience;
  audience.record = true;
  const RunReport report = Simulate(settings, audience);
  *hash = report.hash;
  Scenario scenario;
  scenario.settings = PlayedAgain(settings, report.record);
  return scenario;
}

class EverySeed : public ::testing::TestWithParam<uint64_t> {};

// All chance of a run is in its record: played again from there it is the same run.
TEST_P(EverySeed, IsTheSameRunWhenItsDecisionsAreGiven) {
  for (const ProfileInfo& profile : AllProfiles()) {
    uint64_t hash = 0;
    const Scenario scenario = Recorded(GetParam(), profile.profile, &hash);
    const RunReport again = Simulate(scenario.settings);
    EXPECT_EQ(again.hash, hash) << profile.name;
    EXPECT_EQ(hash, Simulate(DrawSettings(GetParam(), profile.profile)).hash) << profile.name;
  }
}

TEST_P(EverySeed, IsTheSameRunWhenItIsWrittenDownAndRead) {
  uint64_t hash = 0;
  const Scenario scenario = Recorded(GetParam(), Profile::kEverything, &hash);
  const std::string text = FormatScenario(scenario);
  const absl::StatusOr<Scenario> read = ParseScenario("seed.txt", text);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(Simulate(read->settings).hash, hash);
  EXPECT_EQ(FormatScenario(*read), text);
}

INSTANTIATE_TEST_SUITE_P(Seeds, EverySeed, ::testing::Range<uint64_t>(1, 25));

// And nothing in it is there for nothing.
TEST(ScenarioTest, AnotherDecisionIsAnotherRun) {
  uint64_t hash = 0;
  const Scenario scenario = Recorded(2, Profile::kEverything, &hash);
  Scenario without = scenario;
  without.settings.nemesis.script->clear();
  EXPECT_NE(Simulate(without.settings).hash, hash);
  without = scenario;
  for (auto& client : without.settings.clients) client.script->pop_back();
  EXPECT_NE(Simulate(without.settings).hash, hash);
  without = scenario;
  std::erase_if(*without.settings.answers,
                [](const auto& answer) { return answer.first.ends_with(" takes"); });
  EXPECT_NE(Simulate(without.settings).hash, hash);
}

constexpr char kWritten[] = R"(raftkv scenario 1
# A leader is killed while it writes.
# Nothing comes of it.

seed 5
set pre-vote off
set max-append-bytes 300
client 1
client 2 session patience 300ms retry 10ms

at 300ms: c1: SET r0 v1 | GET r0
at 350ms: s2: INCR r7
when 1 commits 3 + 5ms: s2: INCR o@
when 1 has 3: kill 1 for 300ms
when 2 has 3: pause 2 for 200ms

append 1>3 term 2 #1: lost = 1
disk 2 #2: takes = 40ms

reach 1 down
expect I16 recovery
)";

TEST(ScenarioTest, IsReadAsItIsWritten) {
  const absl::StatusOr<Scenario> scenario = ParseScenario("written.txt", kWritten);
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  EXPECT_EQ(FormatScenario(*scenario), kWritten);
  EXPECT_EQ(scenario->decisions(), 8u);
  EXPECT_EQ(scenario->settings.answers->at("disk 2 #2: takes"), 40'000u);
}

TEST(ScenarioTest, SettingsThatMakeNoClusterAreRefused) {
  const auto parse = [](absl::string_view settings) {
    return ParseScenario("s", absl::StrCat("raftkv scenario 1\nseed 1\n", settings)).status();
  };
  EXPECT_TRUE(parse("set founders 3\nset founding-learners 2\n").ok());
  EXPECT_THAT(parse("set founders 3\nset founding-learners 3\n").message(),
              testing::HasSubstr("want one voter at least"));
  EXPECT_FALSE(parse("set founders 3\nset founding-learners 5\n").ok());
  EXPECT_FALSE(parse("set least-back-off 2s\nset most-back-off 1s\n").ok());
  EXPECT_FALSE(parse("set uptime 9999999999999s\n").ok());
}

TEST(ScenarioTest, AStoryOfSeveralLinesIsReadAsOne) {
  Scenario scenario = *ParseScenario("written.txt", kWritten);
  scenario.story = {"nodes 1 2 wait for a leader\n  node 1: follower\n\n  node 2: down\n"};
  const absl::StatusOr<Scenario> read = ParseScenario("again.txt", FormatScenario(scenario));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->story, (std::vector<std::string>{"nodes 1 2 wait for a leader",
                                                   "node 1: follower", "", "node 2: down"}));
}

TEST(ScenarioTest, WhatWaitsForASituationHappensThen) {
  absl::StatusOr<Scenario> scenario = ParseScenario(
      "x",
      "raftkv scenario 1\nclient 1\nat 1s: c1: SET r0 v1\nwhen 1 leads: kill 1 for 100ms\n"
      "when 2 leads: kill 2 for 100ms\nwhen 3 leads: kill 3 for 100ms\n"
      "reach 1 up\nreach 1 leads term 77\n");
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  std::vector<Milestone> milestones;
  Audience audience;
  audience.milestones = &milestones;
  const RunReport report = Simulate(scenario->settings, audience);
  EXPECT_FALSE(report.violation.has_value()) << FormatViolation(*report.violation);
  EXPECT_EQ(report.counters.faults[static_cast<size_t>(Fault::kKill)], 3u)
      << "each once, at its first time";
  EXPECT_EQ(report.reached, (std::vector<bool>{true, false}));
  std::map<raft::NodeId, Time> led;
  for (const Milestone& milestone : milestones) {
    const Situation& situation = milestone.situation;
    if (situation.kind == Situation::Kind::kLeads) led.emplace(situation.node, milestone.time);
    if (situation.kind != Situation::Kind::kDown) continue;
    ASSERT_TRUE(led.contains(situation.node));
    EXPECT_EQ(led.at(situation.node), milestone.time);
  }
  EXPECT_EQ(led.size(), 3u);
}

// In the one case the vote of node 2 is sent and not on its disk, in the other it is there and was
// never sent. Either way node 2 comes back, and finds on its disk what was written.
TEST(ScenarioTest, ANodeDiesAtTheMomentThatIsMeant) {
  const auto play = [](const std::string& fault) {
    const absl::StatusOr<Scenario> scenario = ParseScenario(
        "x", "raftkv scenario 1\nclient 1\nat 1s: c1: SET r0 v1\nwhen 1 up: " + fault +
                 " 1 for 200ms\nwhen 2 up: " + fault + " 2 for 200ms\nwhen 3 up: " + fault +
                 " 3 for 200ms\n");
    EXPECT_TRUE(scenario.ok()) << scenario.status();
    std::vector<std::string> lines;
    const RunReport report = Simulate(
        scenario->settings, [&](Time, absl::string_view line) { lines.emplace_back(line); });
    EXPECT_FALSE(report.violation.has_value()) << FormatViolation(*report.violation);
    for (size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].find("the moment for node") == std::string::npos) continue;
      EXPECT_NE(lines[i + 1].find("loses power"), std::string::npos) << lines[i + 1];
      // Between sending and writing the job is under way; once it is written it is not.
      const bool under_way = lines[i + 1].find("disk job under way") != std::string::npos;
      EXPECT_EQ(under_way, fault == "sent-not-persisted") << lines[i + 1];
    }
    return report.counters.faults;
  };
  EXPECT_GT(play("sent-not-persisted")[static_cast<size_t>(Fault::kSentNotPersisted)], 0u);
  EXPECT_GT(play("persisted-not-said")[static_cast<size_t>(Fault::kPersistedNotSaid)], 0u);
}

// Every connection breaks while the client thinks.
TEST(ScenarioTest, AClientGoesOnWhenItsConnectionBreaksWhileItAsksNothing) {
  const absl::StatusOr<Scenario> scenario =
      ParseScenario("x",
                    "raftkv scenario 1\nclient 1\nat 1s: c1: SET r0 v1\n"
                    "at 2s: power-loss-of-all 1 2 3 for 100ms\nat 3s: c1: SET r0 v2\n");
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  const RunReport report = Simulate(scenario->settings);
  EXPECT_FALSE(report.violation.has_value());
  EXPECT_EQ(report.counters.operations, 2u);
}

TEST(ScenarioTest, WhatIsWrongIsSaidWithItsLine) {
  const auto complaint = [](const std::string& line) {
    const absl::StatusOr<Scenario> scenario =
        ParseScenario("bad.txt", "raftkv scenario 1\nclient 1\n" + line + "\n");
    return scenario.ok() ? std::string("none") : std::string(scenario.status().message());
  };
  const std::pair<std::string, std::string> kCases[] = {
      {"seed x", "bad.txt:3: 'x' is no seed"},
      {"set colour red", "bad.txt:3: set colour: there is no setting 'colour'"},
      {"set founders many", "bad.txt:3: set founders: 'many' is not a number of this size"},
      {"set pre-vote maybe", "bad.txt:3: set pre-vote: neither on nor off"},
      {"set disk-delay fast", "bad.txt:3: set disk-delay: not 'uniform'"},
      {"set founders 0", "bad.txt: founders: 0 nodes"},
      {"set segment-bytes 100", "bad.txt: "},
      {"client 1", "bad.txt:3: there is a client 1 already"},
      {"client 0", "bad.txt:3: a client has a number, from 1"},
      {"client 2 patience", "bad.txt:3: nothing stands behind 'patience'"},
      {"client 2 wings 3ms", "bad.txt:3: a client has no 'wings'"},
      {"at 3: c1: GET r0", "bad.txt:3: '3' is no time"},
      {"at 3ms", "bad.txt:3: a ':' and what is to happen are missing"},
      {"at 3ms: c9: GET r0", "bad.txt:3: 'c9: GET r0': there is no fault 'c9:'"},
      {"at 3ms: c1: PUT r0", "bad.txt:3: there is no command PUT"},
      {"at 3ms: c1: GET", "bad.txt:3: GET with 0 words behind it"},
      {"at 3ms: c1: INCR o@", "bad.txt:3: 'o@' is for INCR in a session"},
      {"at 3ms: explode 2", "bad.txt:3: 'explode 2': there is no fault 'explode'"},
      {"when 2 sleeps: kill 2 for 1ms", "bad.txt:3: '2 sleeps': nodes do not 'sleeps'"},
      {"when 2 leads + soon: kill 2 for 1ms", "bad.txt:3: 'soon' is no time"},
      {"at 3ms: kill 1 for 1ms\nat 2ms: kill 1 for 1ms",
       "bad.txt:4: this is earlier than a line above it, 3ms"},
      {"append 1>3 #1: takes = long", "bad.txt:3: 'long' is no time"},
      {"append 1>3 #1: lost = yes", "bad.txt:3: 'yes' is no number"},
      {"append 1>3 #1: lost = 1\nappend 1>3 #1: lost = 1", "bad.txt:4: 'append 1>3 #1: lost' is"},
      {"hello", "bad.txt:3: 'hello' is no line of a scenario"},
      {"expect magic", "bad.txt:3: 'magic' is neither 'nothing' nor"},
      {"reach the sky", "bad.txt:3: 'the sky': a condition begins with a node"},
  };
  for (const auto& [line, expected] : kCases) {
    EXPECT_EQ(complaint(line).substr(0, expected.size()), expected) << complaint(line);
  }
  EXPECT_FALSE(ParseScenario("x", "").ok());
  EXPECT_FALSE(ParseScenario("x", "raftkv scenario 2\n").ok());
}

}  // namespace
}  // namespace raftkv::sim
