#include "core/kv/store.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/kv/limits.h"
#include "core/kv/snapshot_points.h"
#include "core/raft/random.h"
#include "gtest/gtest.h"
#include "tests/kv/store_fixture.h"

namespace raftkv::kv {
namespace {

using Results = std::vector<OpResult>;

// ---- operations ----

TEST_F(StoreTest, SetGetDeleteExistsStrlen) {
  EXPECT_EQ(Do(Get("k")), OpResult(Nil{}));
  EXPECT_EQ(Do(Set("k", "hello")), OpResult(Done{}));
  EXPECT_EQ(See(Get("k")), Value(2, "hello"));
  EXPECT_EQ(Do(Set("k", "bye")), OpResult(Done{}));
  EXPECT_EQ(Do(Get("k")), Value(3, "bye"));
  EXPECT_EQ(Do(Exists("k")), OpResult(int64_t{1}));
  EXPECT_EQ(Do(Exists("l")), OpResult(int64_t{0}));
  EXPECT_EQ(Do(Strlen("k")), OpResult(int64_t{3}));
  EXPECT_EQ(Do(Strlen("l")), OpResult(int64_t{0}));
  EXPECT_EQ(See(MakeOp(OpKind::kSize)), OpResult(int64_t{1}));
  EXPECT_EQ(Do(Delete("k")), OpResult(int64_t{1}));
  EXPECT_EQ(Do(Delete("k")), OpResult(int64_t{0}));
  EXPECT_EQ(See(Get("k")), OpResult(Nil{}));
  EXPECT_EQ(store_.size(), 0u);
}

TEST_F(StoreTest, TheListRunsAtOneIndexInOrder) {
  const Result result =
      Apply({Set("a", "1"), Set("b", "2"), Get("a"), Delete("a"), Get("a"), Set("b", "3")});
  EXPECT_EQ(result.index, 1u);
  EXPECT_EQ(result.ops, (Results{Done{}, Done{}, Value(1, "1"), int64_t{1}, Nil{}, Done{}}));
  EXPECT_EQ(See(Get("b")), Value(1, "3"));
}

TEST_F(StoreTest, EmptyKeysAndValues) {
  EXPECT_EQ(Do(Set("", "")), OpResult(Done{}));
  EXPECT_EQ(See(Get("")), Value(1, ""));
  EXPECT_EQ(Do(AppendTo("", "")), OpResult(int64_t{0}));
  EXPECT_EQ(Do(AppendTo("new", "")), OpResult(int64_t{0}));
  EXPECT_EQ(See(Exists("new")), OpResult(int64_t{1}));
  EXPECT_EQ(Do(Delete("")), OpResult(int64_t{1}));
}

TEST_F(StoreTest, LargestSizesAreStoredAndOneByteMoreIsAnError) {
  const std::string key(kMaxKeyBytes, 'k');
  const std::string value(kMaxValueBytes, 'v');
  EXPECT_EQ(Do(Set(key, value)), OpResult(Done{}));
  EXPECT_EQ(See(Get(key)), Value(1, value));
  EXPECT_EQ(Do(Set(key + "k", "v")), OpResult(OpError::kKeyTooLarge));
  EXPECT_EQ(Do(AppendTo(key + "k", "v")), OpResult(OpError::kKeyTooLarge));
  EXPECT_EQ(Do(IncrBy(key + "k", 1)), OpResult(OpError::kKeyTooLarge));
  EXPECT_EQ(Do(Get(key + "k")), OpResult(Nil{}));
  EXPECT_EQ(Do(Set("k", value + "v")), OpResult(OpError::kValueTooLarge));
  EXPECT_EQ(Do(AppendTo(key, "")), OpResult(int64_t{kMaxValueBytes}));
  EXPECT_EQ(Do(AppendTo(key, "v")), OpResult(OpError::kValueTooLarge));
  EXPECT_EQ(store_.size(), 1u);
}

TEST_F(StoreTest, AppendJoins) {
  EXPECT_EQ(Do(AppendTo("k", "ab")), OpResult(int64_t{2}));
  EXPECT_EQ(Do(AppendTo("k", "cde")), OpResult(int64_t{5}));
  EXPECT_EQ(See(Get("k")), Value(2, "abcde"));
}

TEST_F(StoreTest, IncrByCounts) {
  EXPECT_EQ(Do(IncrBy("n", 5)), OpResult(int64_t{5}));
  EXPECT_EQ(Do(IncrBy("n", -7)), OpResult(int64_t{-2}));
  EXPECT_EQ(See(Get("n")), Value(2, "-2"));
  EXPECT_EQ(Do(IncrBy("n", 0)), OpResult(int64_t{-2}));
  EXPECT_EQ(See(Get("n")), Value(3, "-2"));
}

TEST_F(StoreTest, IncrByRefusesWhatIsNoCanonicalNumber) {
  for (const absl::string_view text :
       {"", "-", "+1", " 1", "1 ", "01", "-01", "-0", "00", "1.0", "1e3", "0x10", "a", "1a", "--1",
        "9223372036854775808", "-9223372036854775809", "99999999999999999999"}) {
    Do(Set("n", text));
    EXPECT_EQ(Do(IncrBy("n", 1)), OpResult(OpError::kNotAnInteger)) << text;
    EXPECT_EQ(See(Get("n")), Value(index_ - 1, text));
  }
  Do(Set("n", absl::string_view("1\0", 2)));
  EXPECT_EQ(Do(IncrBy("n", 1)), OpResult(OpError::kNotAnInteger));
}

TEST_F(StoreTest, IncrByStopsAtTheEndsOfInt64) {
  Do(Set("n", "9223372036854775806"));
  EXPECT_EQ(Do(IncrBy("n", 1)), OpResult(INT64_MAX));
  EXPECT_EQ(Do(IncrBy("n", 1)), OpResult(OpError::kOverflow));
  EXPECT_EQ(Do(IncrBy("n", INT64_MIN)), OpResult(int64_t{-1}));
  Do(Set("n", "-9223372036854775808"));
  EXPECT_EQ(Do(IncrBy("n", -1)), OpResult(OpError::kOverflow));
  EXPECT_EQ(Do(IncrBy("n", 0)), OpResult(INT64_MIN));
  EXPECT_EQ(Do(IncrBy("n", INT64_MAX)), OpResult(int64_t{-1}));
}

TEST_F(StoreTest, AFailedOperationDoesNotStopTheOthers) {
  const Result result = Apply({Set("word", "w"), IncrBy("word", 1), Set("after", "x")});
  EXPECT_EQ(result.outcome, Outcome::kOk);
  EXPECT_EQ(result.ops, (Results{Done{}, OpError::kNotAnInteger, Done{}}));
  EXPECT_EQ(See(Get("after")), Value(1, "x"));
}

// ---- conditions and guards ----

TEST_F(StoreTest, ConditionsOfOneOperation) {
  EXPECT_EQ(Do(If(Condition::kIfPresent, Set("k", "1"))), OpResult(ConditionNotMet{0}));
  EXPECT_EQ(Do(If(Condition::kIfAbsent, Set("k", "2"))), OpResult(Done{}));
  EXPECT_EQ(Do(If(Condition::kIfAbsent, Set("k", "3"))), OpResult(ConditionNotMet{2}));
  EXPECT_EQ(Do(If(Condition::kIfPresent, Set("k", "4"))), OpResult(Done{}));
  EXPECT_EQ(Do(If(Condition::kIfVersionIs, Set("k", "5"), 2)), OpResult(ConditionNotMet{4}));
  EXPECT_EQ(Do(If(Condition::kIfVersionIs, Set("k", "6"), 4)), OpResult(Done{}));
  EXPECT_EQ(Do(If(Condition::kIfVersionIs, Delete("k"), 4)), OpResult(ConditionNotMet{6}));
  EXPECT_EQ(Do(If(Condition::kIfVersionIs, Delete("k"), 6)), OpResult(int64_t{1}));
  EXPECT_EQ(Do(If(Condition::kIfVersionIs, Set("k", "7"), kAbsentVersion)), OpResult(Done{}));
  EXPECT_EQ(Do(If(Condition::kIfAbsent, AppendTo("k", "x"))), OpResult(ConditionNotMet{9}));
  EXPECT_EQ(Do(If(Condition::kIfPresent, IncrBy("k", 1))), OpResult(int64_t{8}));
  EXPECT_EQ(Do(If(Condition::kIfPresent, IncrBy("l", 1))), OpResult(ConditionNotMet{0}));
}

TEST_F(StoreTest, AFailedGuardStopsEverythingAndIsNamed) {
  Apply({Set("a", "1")});
  Apply({Set("b", "2")});
  const Guard a_is_1{Guard::Kind::kValueIs, "a", "1", 0};
  struct Case {
    Guard guard;
    bool holds;
    Version observed;
  };
  for (const Case& c : {Case{{Guard::Kind::kExists, "b", {}, 0}, true, 0},
                        Case{{Guard::Kind::kExists, "c", {}, 0}, false, 0},
                        Case{{Guard::Kind::kAbsent, "c", {}, 0}, true, 0},
                        Case{{Guard::Kind::kAbsent, "b", {}, 0}, false, 2},
                        Case{{Guard::Kind::kVersionIs, "b", {}, 2}, true, 0},
                        Case{{Guard::Kind::kVersionIs, "b", {}, 1}, false, 2},
                        Case{{Guard::Kind::kVersionIs, "c", {}, 0}, true, 0},
                        Case{{Guard::Kind::kVersionIs, "c", {}, 1}, false, 0},
                        Case{{Guard::Kind::kValueIs, "b", "2", 0}, true, 0},
                        Case{{Guard::Kind::kValueIs, "b", "", 0}, false, 2},
                        Case{{Guard::Kind::kValueIs, "c", "", 0}, false, 0}}) {
    const Result result = Apply(Of({Set("effect", "x"), Get("a")}, {a_is_1, c.guard}));
    EXPECT_EQ(result.outcome, c.holds ? Outcome::kOk : Outcome::kGuardFailed);
    EXPECT_EQ(result.ops.size(), c.holds ? 2u : 0u);
    EXPECT_EQ(result.failed_guard, c.holds ? 0u : 1u);
    EXPECT_EQ(result.observed_version, c.observed);
    EXPECT_EQ(Do(Delete("effect")), OpResult(int64_t{c.holds}));
  }
}

TEST_F(StoreTest, ReadsHonourGuardsAndRefuseWrites) {
  Apply({Set("a", "1")});
  EXPECT_EQ(store_.Read(Of({Get("a")}, {{Guard::Kind::kVersionIs, "a", {}, 1}})).ops,
            Results{Value(1, "1")});
  EXPECT_EQ(store_.Read(Of({Get("a")}, {{Guard::Kind::kVersionIs, "a", {}, 9}})).outcome,
            Outcome::kGuardFailed);
  EXPECT_EQ(store_.Read(Of({Get("a"), Set("a", "2")})).outcome, Outcome::kMalformed);
  EXPECT_EQ(store_.Read(Of({MakeOp(OpKind::kOpenSession)})).outcome, Outcome::kMalformed);
  EXPECT_EQ(store_.Read(Command()).outcome, Outcome::kMalformed);
}

// ---- scans ----

std::vector<std::string> Keys(const OpResult& result) {
  std::vector<std::string> keys;
  for (const PageEntry& entry : std::get<Page>(result).entries) keys.push_back(entry.key);
  return keys;
}

TEST_F(StoreTest, RangeIsHalfOpenAndOrdered) {
  for (const absl::string_view key : {"b", "a", "", "ab", "c"})
    Apply({Set(key, absl::StrCat("=", key))});
  EXPECT_EQ(Keys(See(Range("", ""))), (std::vector<std::string>{"", "a", "ab", "b", "c"}));
  EXPECT_EQ(Keys(See(Range("a", "b"))), (std::vector<std::string>{"a", "ab"}));
  EXPECT_EQ(Keys(See(Range("aa", "bb"))), (std::vector<std::string>{"ab", "b"}));
  EXPECT_EQ(Keys(See(Range("b", "a"))), (std::vector<std::string>{}));
  EXPECT_EQ(Keys(See(Range("d", ""))), (std::vector<std::string>{}));
  EXPECT_EQ(Keys(See(Prefix("a"))), (std::vector<std::string>{"a", "ab"}));
  EXPECT_EQ(Keys(See(Prefix(""))).size(), 5u);
  EXPECT_EQ(Keys(See(Prefix("d"))), (std::vector<std::string>{}));
  const Page page = std::get<Page>(See(Prefix("ab")));
  EXPECT_EQ(page, (Page{{{"ab", 4, raft::Payload::Copy("=ab")}}, false, ""}));
  Op keys_only = Prefix("ab");
  keys_only.keys_only = true;
  EXPECT_EQ(std::get<Page>(See(keys_only)), (Page{{{"ab", 4, raft::Payload()}}, false, ""}));
}

TEST_F(StoreTest, PagesContinueAtTheirCursor) {
  std::vector<std::string> expected;
  for (int i = 0; i < 250; ++i) {
    expected.push_back(absl::StrCat("p/", 1000 + i));
    Apply({Set(expected.back(), "v")});
  }
  Apply({Set("o", "v"), Set("q", "v")});
  for (const uint32_t limit : {0u, 1u, 7u, 249u, 250u, 251u, UINT32_MAX}) {
    for (const bool prefix : {false, true}) {
      std::vector<std::string> keys;
      std::string cursor;
      for (bool more = true; more;) {
        const Page page = std::get<Page>(
            See(prefix ? Prefix("p/", limit, cursor) : Range("p/", "p0", limit, cursor)));
        EXPECT_LE(page.entries.size(), limit == 0 ? kDefaultPageEntries : limit);
        for (const PageEntry& entry : page.entries) keys.push_back(entry.key);
        more = page.more;
        cursor = page.next;
        EXPECT_EQ(cursor.empty(), !more);
      }
      EXPECT_EQ(keys, expected) << limit;
    }
  }
}

TEST_F(StoreTest, PagesAreBoundedInBytesButNeverEmpty) {
  const std::string big(kMaxPageBytes / 2, 'v');
  const std::string huge(kMaxValueBytes, 'v');
  Apply({Set("a", big), Set("b", big), Set("c", huge), Set("d", "v")});
  Page page = std::get<Page>(See(Range("", "")));
  EXPECT_EQ(page.entries.size(), 1u);
  EXPECT_EQ(page.next, "b");
  page = std::get<Page>(See(Range("", "", 0, "c")));
  EXPECT_EQ(page.entries.size(), 1u);
  EXPECT_EQ(page.entries[0].value.size(), kMaxValueBytes);
  EXPECT_EQ(page.next, "d");
}

TEST_F(StoreTest, ReplyOfOneCommandIsBoundedAndStillEncodes) {
  const std::string value(kMaxValueBytes, 'v');
  Apply({Set("k", value), Set("small", "s")});
  const Result result = Apply({Get("k"), Get("k"), Get("small"), Range("", ""), Set("after", "1")});
  EXPECT_EQ(result.ops[0], Value(1, value));
  EXPECT_EQ(result.ops[1], OpResult(OpError::kReplyTooLarge));
  EXPECT_EQ(result.ops[2], Value(1, "s"));
  EXPECT_EQ(result.ops[3], OpResult(OpError::kReplyTooLarge));
  EXPECT_EQ(result.ops[4], OpResult(Done{}));

  // The worst case for the encoding: as many operations and pages of tiny entries as there may be.
  for (int i = 0; i < 2000; ++i) Apply({Set(absl::StrCat("tiny", i), "")});
  Op scan = Prefix("tiny", kMaxPageEntries);
  std::vector<Op> ops(kMaxOps, Get("small"));
  for (size_t i = 0; i < 1000; ++i) ops[i] = scan;
  ops.back() = Get("k");
  const Result many = Apply(ops);
  EXPECT_TRUE(std::holds_alternative<Page>(many.ops.front()));
  EXPECT_EQ(many.ops[999], OpResult(OpError::kReplyTooLarge));
  const std::string encoded = EncodeResult(many);
  EXPECT_LE(encoded.size(), kMaxEncodedResultBytes);
  EXPECT_EQ(DecodeResult(encoded), many);
}

// ---- shape, level, time ----

TEST_F(StoreTest, MalformedCommandsChangeNothing) {
  Apply({Set("k", "v")});
  const uint64_t digest = store_.Digest();
  Command two_opens = Of({MakeOp(OpKind::kOpenSession), MakeOp(OpKind::kOpenSession)});
  Command unknown = Of({Set("k", "w"), MakeOp(static_cast<OpKind>(200))});
  Command too_many = Of(std::vector<Op>(kMaxOps + 1, Set("k", "w")));
  for (const Command& command : {Command(), two_opens, unknown, too_many}) {
    const Result result = Apply(command);
    EXPECT_EQ(result.outcome, Outcome::kMalformed);
    EXPECT_EQ(result.index, index_);
  }
  EXPECT_EQ(store_.Digest(), digest);
}

TEST_F(StoreTest, FeatureLevelIsRaisedByTheLogAndNeverLowered) {
  Command command = Of({Set("k", "v")});
  command.feature_level = 2;
  EXPECT_EQ(Apply(command).outcome, Outcome::kUnsupportedLevel);
  EXPECT_EQ(store_.size(), 0u);
  EXPECT_EQ(store_.Read(command).outcome, Outcome::kMalformed);
  Command read = Of({Get("k")});
  read.feature_level = 2;
  EXPECT_EQ(store_.Read(read).outcome, Outcome::kUnsupportedLevel);

  Op raise = MakeOp(OpKind::kRaiseFeatureLevel);
  raise.delta = 2;
  EXPECT_TRUE(store_.Supported());
  EXPECT_EQ(Do(raise), OpResult(int64_t{2}));
  EXPECT_FALSE(store_.Supported()) << "this program knows level 1 only";
  raise.delta = 1;
  EXPECT_EQ(Do(raise), OpResult(int64_t{2}));
  EXPECT_EQ(store_.feature_level(), 2u);
  EXPECT_EQ(Apply(command).outcome, Outcome::kOk);
}

TEST_F(StoreTest, LogTimeNeverRunsBackwards) {
  Command command = Of({Get("k")});
  for (const uint64_t time : {uint64_t{5}, uint64_t{9}, uint64_t{3}}) {
    command.time_ms = time;
    Apply(command);
  }
  EXPECT_EQ(store_.log_time_ms(), 9u);
}

TEST(StoreOptionsTest, OutOfRangeOptionsAreNamed) {
  StoreOptions options;
  EXPECT_TRUE(Validate(options).ok());
  options.sessions.max_sessions = 0;
  EXPECT_EQ(Validate(options).message(), "max_sessions is 0, it must be between 1 and 1000000");
  options = {};
  options.sessions.results_kept = 4097;
  EXPECT_EQ(Validate(options).message(), "results_kept is 4097, it must be between 1 and 4096");
  options = {};
  options.sessions.kept_result_bytes = 63;
  EXPECT_FALSE(Validate(options).ok());
}

// ---- identity of replicas ----

TEST(StoreDigestTest, EveryPartOfTheStateIsSeen) {
  const auto digest = [](const auto& change) {
    Store store((StoreOptions()));
    store.Apply(1, Of({Set("k", "v")}));
    store.Apply(2, Of({MakeOp(OpKind::kOpenSession)}));
    change(store);
    return store.Digest();
  };
  const uint64_t base = digest([](Store&) {});
  EXPECT_EQ(base, digest([](Store& store) { store.Apply(3, Of({Get("k")})); }))
      << "reads change nothing";
  EXPECT_NE(base, digest([](Store& store) { store.Apply(3, Of({Set("k", "v")})); })) << "version";
  EXPECT_NE(base, digest([](Store& store) { store.Apply(3, Of({Set("l", "v")})); }));
  EXPECT_NE(base, digest([](Store& store) { store.Apply(3, Of({Delete("k")})); }));
  EXPECT_NE(base, digest([](Store& store) { store.Apply(3, Of({MakeOp(OpKind::kOpenSession)})); }));
  EXPECT_NE(base, digest([](Store& store) {
              Command command = Of({Get("k")});
              command.session = 2;
              command.sequence = 1;
              store.Apply(3, command);
            }))
      << "a remembered result";
  EXPECT_NE(base, digest([](Store& store) {
              Command command = Of({Get("k")});
              command.time_ms = 1;
              store.Apply(3, command);
            }));
  EXPECT_NE(base, digest([](Store& store) {
              Op raise = MakeOp(OpKind::kRaiseFeatureLevel);
              raise.delta = 9;
              store.Apply(3, Of({raise}));
            }));
  StoreOptions options;
  options.sessions.idle_ms = 1;
  EXPECT_NE(Store(options).Digest(), Store(StoreOptions()).Digest());
}

// Random commands on two stores, one of which is replaced by its own snapshot now and then: they
// must stay equal in every way that can be seen.
class TwinTest : public testing::TestWithParam<uint64_t> {};

Command RandomCommand(Random& random, const std::vector<uint64_t>& opened,
                      std::vector<std::string>& texts, raft::Index index) {
  const auto text = [&](uint64_t space) -> absl::string_view {
    texts.push_back(absl::StrCat(random.Below(space)));
    return texts.back();
  };
  Command command;
  command.time_ms = index * 10 + random.Below(30);
  if (random.PerMille(30)) return Of({MakeOp(OpKind::kOpenSession)});
  if (!opened.empty() && random.PerMille(600)) {
    // Mostly one of the latest, which may have ended all the same.
    command.session = opened[opened.size() - 1 - random.Below(std::min<size_t>(opened.size(), 30))];
    command.sequence = random.Between(1, 20);
    command.acknowledged = random.Below(command.sequence);
  }
  if (command.session != 0 && random.PerMille(20)) {
    command.ops = {MakeOp(OpKind::kCloseSession)};
    return command;
  }
  for (uint64_t i = random.Below(3); i > 0; --i) {
    command.guards.push_back(
        {static_cast<Guard::Kind>(random.Below(4)), text(50), text(10), random.Below(index)});
  }
  for (uint64_t i = random.Between(1, 5); i > 0; --i) {
    Op op;
    op.kind = static_cast<OpKind>(random.Below(10));
    op.key = text(50);
    op.value = text(10);
    op.end = random.PerMille(500) ? text(50) : absl::string_view();
    op.delta = static_cast<int64_t>(random.Below(100)) - 50;
    op.limit = static_cast<uint32_t>(random.Below(20));
    if (IsWrite(op.kind)) op.condition = static_cast<Condition>(random.Below(4));
    op.version = random.Below(index);
    command.ops.push_back(op);
  }
  return command;
}

TEST_P(TwinTest, SnapshotsAndReplayAgree) {
  Random random(GetParam());
  StoreOptions options;
  options.sessions.max_sessions = 20;
  options.sessions.results_kept = 8;
  options.sessions.kept_result_bytes = 100;
  options.sessions.idle_ms = 2000;
  Store steady(options);
  Store moved(options);
  std::vector<uint64_t> opened;
  int outcomes[static_cast<int>(kLastOutcome) + 1] = {};
  for (raft::Index index = 1; index <= 3000; ++index) {
    std::vector<std::string> texts;
    texts.reserve(100);  // the command points into them
    const Command command = RandomCommand(random, opened, texts, index);
    const Result result = steady.Apply(index, command);
    ASSERT_EQ(result, moved.Apply(index, command));
    if (command.ops[0].kind == OpKind::kOpenSession) opened.push_back(index);
    ASSERT_EQ(DecodeResult(EncodeResult(result)), result);
    ++outcomes[static_cast<int>(result.outcome)];
    ASSERT_EQ(steady.Digest(), moved.Digest());
    ASSERT_EQ(steady.memory_bytes(), moved.memory_bytes());
    if (random.PerMille(10)) {
      const std::string bytes = SnapshotOf(steady);
      ASSERT_EQ(bytes, SnapshotOf(moved, 7));
      SnapshotReader reader(options);
      ASSERT_TRUE(reader.Add(bytes).ok());
      auto fresh = reader.Finish();
      ASSERT_TRUE(fresh.ok());
      ASSERT_EQ(fresh->session_count(), steady.session_count());
      moved.Install(*std::move(fresh));
    }
    moved.ReleaseSome(10);
  }
  for (const Outcome outcome : {Outcome::kOk, Outcome::kGuardFailed, Outcome::kUnknownSession,
                                Outcome::kStaleSequence, Outcome::kReplyNotKept}) {
    EXPECT_GT(outcomes[static_cast<int>(outcome)], 0) << Name(outcome);
  }
  while (moved.ReleaseSome(100) > 0) {
  }
  EXPECT_EQ(moved.live_entries(), moved.size());
}

INSTANTIATE_TEST_SUITE_P(Seeds, TwinTest, testing::Range<uint64_t>(1, 9));

// ---- snapshot points ----

TEST(SnapshotPointsTest, APointIsDueWhenTheLogOutweighsTheLargerLimit) {
  SnapshotPoints points({.minimum_bytes = 1000, .state_percent = 50});
  EXPECT_FALSE(points.Fold(900 - SnapshotPoints::kEntryOverheadBytes, 0));
  EXPECT_EQ(points.folded_bytes(), 900u);
  EXPECT_EQ(points.due_bytes(100), 100u) << "of the smallest interval";
  EXPECT_EQ(points.due_bytes(4000), 1100u) << "of half the state";
  EXPECT_FALSE(points.Fold(200, 4000)) << "half of the state is more than has been folded";
  EXPECT_TRUE(points.Fold(900, 4000));
  EXPECT_EQ(points.folded_bytes(), 0u);
  EXPECT_FALSE(points.Fold(10, UINT64_MAX));
  points.Restart();
  EXPECT_EQ(points.folded_bytes(), 0u);
}

TEST(SnapshotPointsTest, EmptyEntriesCountToo) {
  SnapshotPoints points(
      {.minimum_bytes = 10 * SnapshotPoints::kEntryOverheadBytes, .state_percent = 0});
  for (int i = 1; i < 10; ++i) EXPECT_FALSE(points.Fold(0, 1 << 30));
  EXPECT_TRUE(points.Fold(0, 1 << 30));
}

}  // namespace
}  // namespace raftkv::kv
