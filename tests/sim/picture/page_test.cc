#include "sim/picture/page.h"

#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "sim/picture/chrome_trace.h"
#include "sim/picture/columns.h"
#include "sim/run/run.h"
#include "tests/sim/picture/example.h"

namespace raftkv::sim {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

bool IsPrintableAscii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string DataOf(const std::string& page) {
  const std::string mark = "id=\"data\">";
  const size_t begin = page.find(mark) + mark.size();
  return page.substr(begin, page.find("</script>", begin) - begin);
}

// What ends a script or a comment in HTML, a line in JavaScript, or a string in JSON; what is no
// UTF-8; and every control character.
std::string Hostile() {
  std::string text = "</script><script>alert(1)</script><!--<script>]]>&amp;\"\\\\u003c";
  text += "\xe2\x80\xa8\xe2\x80\xa9\xf0\x9f\x98\x80";  // U+2028, U+2029, U+1F600
  for (char c = 0; c < 0x20; ++c) text += c;
  return text + "\x7f";
}

TEST(HostileText, IsWholeInTheData) {
  Caption caption = ExampleCaption();
  caption.about = Hostile();
  const std::string data = EncodePicture(ExampleRecording(), caption);
  EXPECT_TRUE(IsPrintableAscii(data));
  EXPECT_EQ(json::parse(data)["about"], Hostile());
}

TEST(HostileText, IsWholeInThePageAndEndsNothingThere) {
  Caption caption = ExampleCaption();
  caption.about = Hostile();
  const std::string page = WritePage(ExampleRecording(), caption);
  const std::string data = DataOf(page);
  ASSERT_TRUE(json::accept(data)) << data;
  EXPECT_TRUE(IsPrintableAscii(data));
  EXPECT_THAT(data, Not(HasSubstr("<")));
  EXPECT_EQ(json::parse(data)["about"], Hostile());
  // The same page otherwise: as many scripts, whatever the text.
  const auto scripts = [](const std::string& text) {
    size_t count = 0;
    for (size_t at = 0; (at = text.find("</script", at)) != std::string::npos; ++at) ++count;
    return count;
  };
  EXPECT_EQ(scripts(page), scripts(WritePage(ExampleRecording(), ExampleCaption())));
}

TEST(HostileText, IsWholeInTheTrace) {
  Caption caption = ExampleCaption();
  caption.profile = Hostile();
  const std::string trace = WriteChromeTrace(ExampleRecording(), caption);
  EXPECT_TRUE(IsPrintableAscii(trace));
  EXPECT_EQ(json::parse(trace)["otherData"]["profile"], Hostile());
}

// A value may hold any bytes; what is no UTF-8 becomes the character that stands for such.
TEST(HostileText, OtherBytesBecomeReplacementCharacters) {
  for (const auto& [bytes, shown] : std::map<std::string, std::string>{
           {"a\xff"
            "b",
            "a\xef\xbf\xbd"
            "b"},                                                          // never in UTF-8
           {"a\xe2\x80", "a\xef\xbf\xbd"},                                 // cut off
           {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                       // too long a form of '/'
           {"\xed\xa0\x80<", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd<"}}) {  // half of a pair
    Caption caption = ExampleCaption();
    caption.about = bytes;
    EXPECT_EQ(json::parse(DataOf(WritePage(ExampleRecording(), caption)))["about"], shown);
  }
  const json data = json::parse(EncodePicture(ExampleRecording(), ExampleCaption()));
  EXPECT_THAT(data["strings"].dump(), HasSubstr("</script><!--\\\" \\\"&\\\\\\\"\xef\xbf\xbd"));
}

TEST(PageTest, TheDataIsWholeAndItsNumbersArePlaces) {
  const json data = json::parse(EncodePicture(ExampleRecording(), ExampleCaption()));
  EXPECT_EQ(data["seed"], "4711");
  EXPECT_EQ(data["violation"]["id"], "I8");
  EXPECT_EQ(data["nodes"], json({1, 2, 3}));
  EXPECT_EQ(data["messages"].size(), 7u);
  EXPECT_EQ(data["faults"].size(), 1u);
  EXPECT_EQ(data["operations"].size(), 1u);
  EXPECT_EQ(data["story"].back(), data["broken"]);
  const size_t strings = data["strings"].size();
  uint64_t now = 0;
  for (const json& event : data["events"]) {
    now += event[0].get<uint64_t>();
    const auto kind = event[1].get<size_t>();
    ASSERT_LT(kind, kEventKinds);
    const uint64_t subject = event.size() > 3 ? event[3].get<uint64_t>() : 0;
    if (kind <= static_cast<size_t>(EventKind::kReset)) {
      EXPECT_LT(subject, data["messages"].size());
    }
    if (event.size() > 4) {
      EXPECT_LE(event[4].get<size_t>(), strings);
    }
  }
  EXPECT_EQ(now, ExampleRecording().events().back().time);
  for (const json& message : data["messages"]) EXPECT_LT(message[8].get<size_t>(), strings);
  const json& last = data["events"][data["broken"].get<size_t>() - 1];
  EXPECT_EQ(last[5], json({{"v", 3}}));  // the vote that broke it
}

TEST(PageTest, NothingThatAClientWroteCanEndTheScript) {
  const std::string page = WritePage(ExampleRecording(), ExampleCaption());
  ASSERT_THAT(page, HasSubstr("id=\"data\">"));
  const std::string data = DataOf(page);
  EXPECT_TRUE(json::accept(data));
  EXPECT_THAT(data, HasSubstr("u003c/script"));
  EXPECT_THAT(page, Not(HasSubstr("/*DATA*/")));
  EXPECT_THAT(page, Not(HasSubstr("/*PAGE.")));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
}

TEST(PageTest, ARingKeepsTheDataWhole) {
  for (size_t most = 1; most < 40; ++most) {
    const Recording recording = ExampleRecording(most);
    EXPECT_TRUE(json::accept(EncodePicture(recording, ExampleCaption()))) << most;
    EXPECT_FALSE(WriteColumns(recording, ExampleCaption()).empty());
    EXPECT_TRUE(json::accept(WriteChromeTrace(recording, ExampleCaption()))) << most;
  }
}

TEST(PageTest, AnEmptyRecordingIsAPage) {
  const Recording recording(10);
  EXPECT_TRUE(json::accept(EncodePicture(recording, Caption())));
  EXPECT_TRUE(json::accept(WriteChromeTrace(recording, Caption())));
}

TEST(ColumnsTest, EachEventIsInTheColumnOfItsNode) {
  const std::string text = WriteColumns(ExampleRecording(), ExampleCaption());
  EXPECT_THAT(text, HasSubstr("VIOLATION I8 promise memory at 1.028 s: node 2 votes for node 3"));
  // The last vote, in the second of three columns: node 1 leads, node 3 is a candidate.
  EXPECT_THAT(text, HasSubstr("|L                                             |F from 3: vote "
                              "request, last (1, term 1), term|C "));
  EXPECT_THAT(text, HasSubstr("|x loses power"));
  size_t rows = 0;
  for (const char c : text) rows += c == '\n' ? 1u : 0u;
  EXPECT_GT(rows, ExampleRecording().events().size());
}

TEST(ChromeTraceTest, RolesAreSlicesAndMessagesAreArrows) {
  const json trace = json::parse(WriteChromeTrace(ExampleRecording(), ExampleCaption()));
  int leader = 0, begun = 0, ended = 0, instants = 0, named = 0;
  for (const json& event : trace["traceEvents"]) {
    const std::string phase = event["ph"];
    const std::string name = event["name"];
    if (phase == "X" && name == "leader, term 2") {
      ++leader;
      EXPECT_EQ(event["tid"], 1);
      EXPECT_GT(event["dur"], 1'000);
    }
    if (phase == "s") ++begun;
    if (phase == "f") ++ended;
    if (phase == "i") ++instants;
    if (phase == "M") ++named;
    if (phase == "i" && name.starts_with("VIOLATION")) {
      EXPECT_EQ(event["tid"], 2);
    }
  }
  EXPECT_EQ(leader, 1);
  EXPECT_EQ(begun, 7);
  EXPECT_EQ(ended, 3);
  EXPECT_GE(instants, 7);
  EXPECT_EQ(named, 2 + 3 + 1);
}

// --- Whole runs

Caption CaptionOf(const RunReport& report) {
  Caption caption;
  caption.violation = report.violation;
  return caption;
}

TEST(PictureOfARunTest, DoesNotChangeTheRun) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    const RunSettings settings = DrawSettings(seed, Profile::kEverything);
    Recording recording(10'000);
    Audience audience;
    audience.recording = &recording;
    const RunReport seen = Simulate(settings, audience);
    const RunReport unseen = Simulate(settings);
    EXPECT_EQ(seen.hash, unseen.hash) << seed;
    EXPECT_EQ(seen.history, unseen.history) << seed;
    EXPECT_GT(recording.events().size(), 1'000u);
  }
}

TEST(PictureOfARunTest, SameSeedSameBytesAndBelowTwoMegabytes) {
  for (const Profile profile : {Profile::kEverything, Profile::kDisk, Profile::kMembership}) {
    RunSettings settings = DrawSettings(4, profile);
    settings.chaos = 60 * kSecond;  // more events than are kept, whatever the seed is
    std::string pages[2];
    for (std::string& page : pages) {
      Recording recording(10'000);
      Audience audience;
      audience.recording = &recording;
      const RunReport report = Simulate(settings, audience);
      ASSERT_EQ(recording.events().size(), 10'000u);
      page = WritePage(recording, CaptionOf(report)) + WriteColumns(recording, CaptionOf(report)) +
             WriteChromeTrace(recording, CaptionOf(report));
      EXPECT_LT(WritePage(recording, CaptionOf(report)).size(), 2'000'000u);
    }
    EXPECT_TRUE(pages[0] == pages[1]) << Name(profile);
  }
}

// The changes of a whole run, applied one after the other, end where the nodes ended.
TEST(PictureOfARunTest, ChangesAddUpToWhatTheNodesAre) {
  RunSettings settings = DrawSettings(5, Profile::kEverything);
  Recording recording(1'000);
  Audience audience;
  audience.recording = &recording;
  uint64_t compared = 0;
  settings.script = [&](Cluster& cluster) {
    // Between two events, again and again.
    const std::function<void()> look = [&recording, &compared, &cluster] {
      std::map<raft::NodeId, NodeView> views = recording.start();
      for (const PictureEvent& event : recording.events()) {
        if (!event.change.empty()) Apply(event.change, &views[event.node]);
      }
      for (const auto& [id, process] : cluster.processes()) {
        if (process->state() != Process::State::kUp || process->replica()->repairing()) continue;
        const raft::Raft& raft = process->replica()->raft();
        const NodeView& view = views.at(id);
        EXPECT_EQ(view.run, RunState::kUp);
        EXPECT_EQ(view.role, raft.role());
        EXPECT_EQ(view.term, raft.term());
        EXPECT_EQ(view.vote, raft.vote());
        EXPECT_EQ(view.commit, raft.commit());
        EXPECT_EQ(view.durable, raft.durable());
        EXPECT_EQ(view.base, raft.log().base());
        ASSERT_EQ(view.last(), raft.log().last());
        for (raft::Index i = view.base + 1; i <= view.last(); ++i) {
          const PictureEntry& entry = recording.entries()[view.log[i - view.base - 1]];
          EXPECT_EQ(entry.index, i);
          EXPECT_EQ(entry.term, raft.log().At(i).term);
        }
        ++compared;
      }
    };
    for (Time when = 50 * kMillisecond; when < 6 * kSecond; when += 50 * kMillisecond) {
      cluster.scheduler().At(when, Actor::kScript, look);
    }
  };
  Simulate(settings, audience);
  EXPECT_GT(compared, 100u);
}

TEST(PictureOfARunTest, ARunThatTakesItsProcessAlongIsShownUpToThere) {
  const RunSettings settings = DrawSettings(2, Profile::kEverything);
  Recording recording(10'000);
  uint64_t begun = 0;
  Audience audience;
  audience.recording = &recording;
  audience.begun = &begun;
  audience.ends_before = 1'000;
  audience.how_it_ended = "the process ended by signal 6";
  const RunReport report = Simulate(settings, audience);
  EXPECT_EQ(begun, 1'000u);
  ASSERT_TRUE(report.violation.has_value());
  EXPECT_EQ(report.violation->oracle, Oracle::kCrashFree);
  ASSERT_TRUE(recording.violation().has_value());
  EXPECT_EQ(recording.events()[*recording.violation()].text, "the process ended by signal 6");
}

}  // namespace
}  // namespace raftkv::sim
