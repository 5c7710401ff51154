#include "core/kv/sessions.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/kv/store_fixture.h"

namespace raftkv::kv {
namespace {

using Results = std::vector<OpResult>;

StoreOptions SmallTable() {
  StoreOptions options;
  options.sessions.max_sessions = 3;
  options.sessions.results_kept = 4;
  options.sessions.kept_result_bytes = 100;
  options.sessions.idle_ms = 1000;
  return options;
}

class SessionsTest : public StoreTest {
 protected:
  SessionsTest() : StoreTest(SmallTable()) {}

  int64_t Counter() { return std::get<int64_t>(Do(IncrBy("counter", 0))); }
  Result Increment(uint64_t session, uint64_t sequence, uint64_t acknowledged = 0,
                   uint64_t time_ms = 0) {
    return InSession(session, sequence, {IncrBy("counter", 1)}, acknowledged, time_ms);
  }
};

TEST_F(SessionsTest, ARetryGetsTheFirstAnswerAndRunsNothing) {
  const uint64_t session = Open();
  const Result first = Increment(session, 1);
  EXPECT_EQ(first.ops, Results{int64_t{1}});
  EXPECT_EQ(first.index, index_);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Increment(session, 1), first);
  EXPECT_EQ(Counter(), 1);
}

TEST_F(SessionsTest, EachPipelinedSequenceHasItsOwnAnswer) {
  const uint64_t session = Open();
  const Result third = Increment(session, 3);  // the log need not keep the order of sending
  const Result first = Increment(session, 1);
  const Result second = Increment(session, 2);
  EXPECT_EQ(third.ops, Results{int64_t{1}});
  EXPECT_EQ(second.ops, Results{int64_t{3}});
  EXPECT_EQ(Increment(session, 1), first);
  EXPECT_EQ(Increment(session, 2), second);
  EXPECT_EQ(Increment(session, 3), third);
  EXPECT_EQ(Counter(), 3);
}

TEST_F(SessionsTest, SequencesBelowTheWindowAreStaleWhetherTheyRanOrNot) {
  const uint64_t session = Open();
  Increment(session, 2);
  Increment(session, 6);  // window of 4: 3 to 6
  EXPECT_EQ(Increment(session, 2).outcome, Outcome::kStaleSequence) << "ran, forgotten";
  EXPECT_EQ(Increment(session, 1).outcome, Outcome::kStaleSequence) << "never ran";
  EXPECT_EQ(Increment(session, 3).outcome, Outcome::kOk);
  EXPECT_EQ(Counter(), 3);
}

TEST_F(SessionsTest, AWindowFullOfCommandsInFlightIsNeverStale) {
  const uint64_t session = Open();
  for (uint64_t base = 0; base < 40; base += 4) {
    for (uint64_t i = 4; i > 0; --i) {
      EXPECT_EQ(Increment(session, base + i).outcome, Outcome::kOk);
      EXPECT_EQ(Increment(session, base + 4).outcome, Outcome::kOk);
    }
  }
  EXPECT_EQ(Counter(), 40);
}

TEST_F(SessionsTest, AcknowledgedResultsAreForgotten) {
  const uint64_t session = Open();
  Increment(session, 1);
  Increment(session, 2);
  const uint64_t before = store_.memory_bytes();
  EXPECT_EQ(Increment(session, 3, 2).outcome, Outcome::kOk);
  EXPECT_LT(store_.memory_bytes(), before);
  EXPECT_EQ(Increment(session, 2).outcome, Outcome::kStaleSequence);
  EXPECT_EQ(Increment(session, 1).outcome, Outcome::kStaleSequence);
  const Result third = Increment(session, 3);
  EXPECT_EQ(third.outcome, Outcome::kOk);
  EXPECT_EQ(Increment(session, 3, 99), third)
      << "nobody can have acknowledged what they are asking for";
  EXPECT_EQ(Increment(session, 3, 3), third);
  EXPECT_EQ(Counter(), 3);
}

TEST_F(SessionsTest, RefusalsAreRememberedToo) {
  const uint64_t session = Open();
  Command guarded = Of({IncrBy("counter", 1)}, {{Guard::Kind::kExists, "gate", {}, 0}});
  guarded.session = session;
  guarded.sequence = 1;
  const Result refused = Apply(guarded);
  EXPECT_EQ(refused.outcome, Outcome::kGuardFailed);
  Apply({Set("gate", "open")});
  EXPECT_EQ(Apply(guarded), refused);

  Command early = Of({IncrBy("counter", 1)});
  early.session = session;
  early.sequence = 2;
  early.feature_level = 2;
  EXPECT_EQ(Apply(early).outcome, Outcome::kUnsupportedLevel);
  Op raise = MakeOp(OpKind::kRaiseFeatureLevel);
  raise.delta = 2;
  Apply({raise});
  EXPECT_EQ(Apply(early).outcome, Outcome::kUnsupportedLevel);
  EXPECT_EQ(Counter(), 0);
}

TEST_F(SessionsTest, ALargeReplyIsNotKeptButItsCommandNeverRunsAgain) {
  const uint64_t session = Open();
  const std::string large(100, 'x');
  const Result first = InSession(session, 1, {IncrBy("counter", 1), Set("k", large), Get("k")});
  EXPECT_EQ(first.outcome, Outcome::kOk);
  const raft::Index ran_at = index_;
  const Result retry = InSession(session, 1, {IncrBy("counter", 1), Set("k", large), Get("k")});
  EXPECT_EQ(retry.outcome, Outcome::kReplyNotKept);
  EXPECT_EQ(retry.index, ran_at);
  EXPECT_EQ(Counter(), 1);
}

TEST_F(SessionsTest, UnknownSessionsRunNothing) {
  EXPECT_EQ(Increment(77, 1).outcome, Outcome::kUnknownSession);
  EXPECT_EQ(Close(77).outcome, Outcome::kUnknownSession);
  const uint64_t session = Open();
  Increment(session, 1);
  EXPECT_EQ(Close(session).ops, Results{Done{}});
  EXPECT_EQ(Close(session).outcome, Outcome::kUnknownSession);
  EXPECT_EQ(Increment(session, 1).outcome, Outcome::kUnknownSession) << "an old retry";
  EXPECT_EQ(Increment(session, 2).outcome, Outcome::kUnknownSession);
  EXPECT_EQ(store_.session_count(), 0u);
  const uint64_t reopened = Open();
  EXPECT_NE(reopened, session);
  EXPECT_EQ(Increment(session, 1).outcome, Outcome::kUnknownSession);
  EXPECT_EQ(Increment(reopened, 1).ops, Results{int64_t{2}});
  EXPECT_EQ(Counter(), 2);
}

TEST_F(SessionsTest, ClosingFreesEverything) {
  const uint64_t before = store_.memory_bytes();
  const uint64_t session = Open();
  const uint64_t neighbour = Open();
  for (uint64_t i = 1; i <= 4; ++i) InSession(session, i, {Get("k")});
  const Result kept = InSession(neighbour, 1, {Get("k")});
  Close(session);
  EXPECT_EQ(InSession(neighbour, 1, {Get("k")}), kept);
  Close(neighbour);
  EXPECT_EQ(store_.memory_bytes(), before);
}

TEST_F(SessionsTest, TheLeastRecentlyUsedSessionMakesRoom) {
  const uint64_t a = Open();
  const uint64_t b = Open();
  const uint64_t c = Open();
  Increment(b, 1);
  Increment(a, 1);
  const uint64_t d = Open();  // c has been quiet for longest
  EXPECT_EQ(store_.session_count(), 3u);
  EXPECT_EQ(Increment(c, 1).outcome, Outcome::kUnknownSession);
  EXPECT_EQ(Increment(b, 1).outcome, Outcome::kOk);  // a retry is a use
  Open();                                            // a makes room
  EXPECT_EQ(Increment(a, 1).outcome, Outcome::kUnknownSession);
  EXPECT_EQ(Increment(b, 2).outcome, Outcome::kOk);
  EXPECT_EQ(Increment(d, 1).outcome, Outcome::kOk);
  EXPECT_EQ(Counter(), 4);
}

TEST_F(SessionsTest, IdleSessionsExpireByLogTime) {
  const uint64_t session = Open(5000);
  EXPECT_EQ(Increment(session, 1, 0, 5999).outcome, Outcome::kOk);
  EXPECT_EQ(Increment(session, 2, 0, 6998).outcome, Outcome::kOk);
  EXPECT_EQ(Increment(session, 3, 0, 6500).outcome, Outcome::kOk) << "log time stays where it is";
  EXPECT_EQ(Increment(session, 4, 0, 7998).outcome, Outcome::kUnknownSession);
  EXPECT_EQ(Increment(session, 3, 0, 0).outcome, Outcome::kUnknownSession) << "expired is for ever";
  EXPECT_EQ(store_.session_count(), 0u);
  EXPECT_EQ(Counter(), 3);
}

TEST(SessionExpiryTest, ManyExpireGraduallyButAllAtOnceInEffect) {
  StoreOptions options;
  options.sessions.idle_ms = 1000;
  Store store(options);
  raft::Index index = 0;
  Command command = Of({MakeOp(OpKind::kOpenSession)});
  command.time_ms = 1;
  for (int i = 0; i < 100; ++i) store.Apply(++index, command);
  command = Of({Set("k", "v")});
  command.time_ms = 1001;
  store.Apply(++index, command);
  EXPECT_GT(store.session_count(), 50u) << "one command does a bounded amount of cleaning";
  command.sequence = 1;
  for (uint64_t session = 100; session > 80; --session) {
    command.session = session;
    EXPECT_EQ(store.Apply(++index, command).outcome, Outcome::kUnknownSession);
  }
  command = Of({MakeOp(OpKind::kCloseSession)});
  command.session = 90;
  EXPECT_EQ(store.Apply(++index, command).outcome, Outcome::kUnknownSession);
  for (int i = 0; i < 30; ++i) store.Apply(++index, Of({Get("k")}));
  EXPECT_EQ(store.session_count(), 0u);
}

TEST_F(SessionsTest, RestoreRefusesWhatNoTableCouldHold) {
  const uint64_t session = Open();
  InSession(session, 5, {Get("k")});
  std::vector<std::pair<std::string, std::string>> entries;
  std::vector<Version> versions;
  for (TreeCursor cursor = store_.View().sessions.Seek(""); cursor.valid(); cursor.Next()) {
    entries.emplace_back(cursor.entry().key, cursor.entry().value->view());
    versions.push_back(cursor.entry().version);
  }
  ASSERT_EQ(entries.size(), 2u);
  const auto restore = [&](const auto& change) {
    auto changed = entries;
    auto changed_versions = versions;
    change(changed, changed_versions);
    Sessions sessions(SmallTable().sessions);
    bool good = true;
    for (size_t i = 0; i < changed.size(); ++i) {
      good = good && sessions.Restore(changed[i].first, changed[i].second, changed_versions[i]);
    }
    return good;
  };
  EXPECT_TRUE(restore([](auto&, auto&) {}));
  EXPECT_FALSE(restore([](auto& e, auto&) { e[0].first.pop_back(); })) << "key size";
  EXPECT_FALSE(restore([](auto& e, auto&) { e[0].first = std::string(8, '\0'); })) << "session 0";
  EXPECT_FALSE(restore([](auto& e, auto&) { e[0].second.push_back('x'); })) << "record size";
  EXPECT_FALSE(restore([](auto&, auto& v) { v[0] = 0; })) << "used before it was opened";
  EXPECT_FALSE(restore([](auto& e, auto&) { e[0].second[16] = 6; })) << "floor above highest";
  EXPECT_FALSE(restore([](auto& e, auto&) { e[0].second[8] = 9; }))
      << "window wider than the option";
  EXPECT_FALSE(restore([](auto& e, auto&) { e[1].first[7] ^= 1; })) << "result of another session";
  EXPECT_FALSE(restore([](auto& e, auto&) { e[1].first[15] = 6; })) << "above highest";
  EXPECT_FALSE(restore([](auto& e, auto&) { e[1].first[15] = 1; })) << "not above floor";
  EXPECT_FALSE(restore([](auto& e, auto&) { e[1].second[1] = 99; })) << "not a result";
  EXPECT_FALSE(restore([](auto&, auto& v) { v[1] = 1; })) << "not that result's index";
  EXPECT_FALSE(restore([](auto& e, auto& v) {
    e.erase(e.begin());
    v.erase(v.begin());
  })) << "result before its session";
}

}  // namespace
}  // namespace raftkv::kv
