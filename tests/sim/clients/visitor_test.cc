#include "sim/clients/visitor.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

using ::testing::HasSubstr;

constexpr Time kEvery = 400 * kMillisecond;

// Nodes that answer when the test says so.
class Nodes final : public CallerPorts {
 public:
  replica::ClientId Connect(Caller* to, raft::NodeId node) override {
    caller = to;
    visited.insert(node);
    return ++connection;
  }
  void Send(replica::ClientId to, std::string bytes) override {
    EXPECT_EQ(to, connection);
    asked = std::move(bytes);
  }
  void Close(replica::ClientId closed) override {
    EXPECT_EQ(closed, connection);
    ++closes;
  }

  Caller* caller = nullptr;
  replica::ClientId connection = 0;
  std::string asked;
  std::set<raft::NodeId> visited;
  int closes = 0;
};

class VisitorTest : public ::testing::Test {
 protected:
  VisitorTest() { visitor_.Start(); }
  void Visit() {
    const Time end = (scheduler_.now() / kEvery + 1) * kEvery;
    while (scheduler_.RunOne(end)) {
    }
  }
  // Until a visit begins with an echo.
  void VisitAndEcho() {
    do {
      Visit();
    } while (!absl::StartsWith(nodes_.asked, "*2\r\n$4\r\nECHO") &&
             !absl::StartsWith(nodes_.asked, "ECHO hello\r\n") &&
             !absl::StartsWith(nodes_.asked, R"(ECHO "hel\x6c\x6F")"));
  }
  void Answer(const std::string& bytes) { visitor_.OnBytes(nodes_.connection, bytes); }
  std::string Wrong() { return judge_.failed() ? judge_.violation()->text : ""; }

  Scheduler scheduler_;
  Judge judge_{&scheduler_};
  Nodes nodes_;
  Visitor visitor_{kEvery,  1,       &scheduler_,
                   &nodes_, &judge_, [] {
                     return std::vector<raft::NodeId>{1, 2, 3}; }};
};

TEST_F(VisitorTest, ComesToEverybodyAndGoes) {
  for (int i = 0; i < 40; ++i) {
    Visit();
    EXPECT_EQ(nodes_.connection, static_cast<replica::ClientId>(i) + 1);
    EXPECT_FALSE(nodes_.asked.empty());
  }
  EXPECT_EQ(nodes_.visited, (std::set<raft::NodeId>{1, 2, 3}));
  EXPECT_EQ(nodes_.closes, 39) << "nobody answers, and it is not patient";
  visitor_.Stop();
  EXPECT_EQ(nodes_.closes, 40);
  Visit();
  EXPECT_EQ(nodes_.connection, 40u);
  EXPECT_EQ(Wrong(), "");
}

TEST_F(VisitorTest, IsNotPatient) {
  Visit();
  const Time end = scheduler_.now() + kEvery - kMillisecond;
  while (scheduler_.RunOne(end)) {
  }
  EXPECT_EQ(nodes_.connection, 1u) << "the next visit has not begun";
  EXPECT_EQ(nodes_.closes, 1);
}

TEST_F(VisitorTest, AnAnswerToEachIsRight) {
  for (int i = 0; i < 200; ++i) {
    VisitAndEcho();
    Answer("$5\r\nhello\r\n");
    // In pieces, errors and maps among them.
    while (nodes_.closes < static_cast<int>(nodes_.connection)) {
      Answer("-ERR n");
      Answer("o\r\n");
      if (nodes_.closes < static_cast<int>(nodes_.connection)) Answer("%1\r\n+a\r\n:1\r\n");
      if (judge_.failed()) break;
    }
    // The last of some visits is a farewell, to which nothing but OK is right.
    if (judge_.failed()) {
      EXPECT_THAT(Wrong(), HasSubstr("QUIT, and answers"));
      return;
    }
  }
  EXPECT_GT(visitor_.answers(), 200u);
}

TEST_F(VisitorTest, AnEchoIsWhatWasSaid) {
  VisitAndEcho();
  Answer("-ERR not now\r\n");
  EXPECT_EQ(Wrong(), "");
  VisitAndEcho();
  Answer("$5\r\nworld\r\n");
  EXPECT_THAT(Wrong(), HasSubstr("is asked by a visitor, ECHO hello, and answers world"));
}

TEST_F(VisitorTest, NobodyAnswersWhatWasNotAsked) {
  VisitAndEcho();
  std::string answers = "$5\r\nhello\r\n";
  for (int i = 0; i < 10; ++i) absl::StrAppend(&answers, "+OK\r\n");
  Answer(answers);
  EXPECT_THAT(Wrong(), HasSubstr("and answers more than it was asked"));
}

TEST_F(VisitorTest, AnAnswerDecodes) {
  VisitAndEcho();
  Answer("what?\r\n");
  EXPECT_THAT(Wrong(), HasSubstr("and what it answers is no reply"));
}

TEST_F(VisitorTest, WhatComesTooLateIsNotHeard) {
  VisitAndEcho();
  const replica::ClientId before = nodes_.connection;
  Visit();
  visitor_.OnBytes(before, "what?\r\n");
  visitor_.OnClosed(before);
  EXPECT_EQ(Wrong(), "");
  visitor_.OnClosed(nodes_.connection);
  const int closes = nodes_.closes;
  Visit();
  EXPECT_EQ(nodes_.closes, closes) << "it was closed already";
}

}  // namespace
}  // namespace raftkv::sim
