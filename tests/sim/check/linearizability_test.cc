// The search itself, on a model that has nothing to do with key-value stores, and small histories
// that a reader can judge without a computer.
#include "sim/check/linearizability.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/check/check_command.h"

namespace raftkv::sim {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// --- A queue of small numbers. Action 2n puts n at the end, action 2n+1 took n from the front.

constexpr Action Put(uint32_t n) { return 2 * n; }
constexpr Action Took(uint32_t n) { return 2 * n + 1; }

class Queue : public Model {
 public:
  State Initial() override { return Number(""); }
  State Step(State state, Action action) override {
    std::string queue = queues_[state];
    const char item = static_cast<char>('a' + action / 2);
    if (action % 2 == 0) return Number(queue + item);
    if (queue.empty() || queue[0] != item) return kNoState;
    return Number(queue.substr(1));
  }
  bool OnlyLooks(Action) const override { return false; }
  uint64_t MemoryBytes() const override { return bytes_; }

 private:
  State Number(const std::string& queue) {
    const auto [found, added] = numbers_.try_emplace(queue, static_cast<State>(queues_.size()));
    if (added) {
      queues_.push_back(queue);
      bytes_ += queue.size() + 100;
    }
    return found->second;
  }

  std::map<std::string, State> numbers_;
  std::vector<std::string> queues_;
  uint64_t bytes_ = 0;
};

SearchResult Search(const std::vector<SearchOperation>& operations,
                    const SearchBudget& budget = {}) {
  Queue queue;
  return FindLinearization(operations, queue, budget);
}

SearchOperation Optional(Position invoked, Action action) {
  return {invoked, kNever, action, false};
}

TEST(FindLinearizationTest, NothingIsLinearizable) {
  EXPECT_EQ(Search({}).verdict, Verdict::kLinearizable);
  EXPECT_EQ(Search({Optional(1, Took(0))}).verdict, Verdict::kLinearizable);
}

TEST(FindLinearizationTest, GivesTheOrder) {
  // Both puts overlap; what was taken first tells which came first.
  const SearchResult result =
      Search({{1, 10, Put(0)}, {2, 9, Put(1)}, {11, 12, Took(1)}, {13, 14, Took(0)}});
  EXPECT_EQ(result.verdict, Verdict::kLinearizable);
  EXPECT_THAT(result.order, ElementsAre(1, 0, 2, 3));
}

TEST(FindLinearizationTest, RealTimeOrderCounts) {
  const SearchResult result =
      Search({{1, 2, Put(0)}, {3, 4, Put(1)}, {5, 6, Took(1)}, {7, 8, Took(0)}});
  EXPECT_EQ(result.verdict, Verdict::kNotLinearizable);
  EXPECT_THAT(result.order, ElementsAre(0, 1));
  EXPECT_EQ(result.blocked, 2u);
  EXPECT_THAT(result.not_placed, ElementsAre(2));
}

TEST(FindLinearizationTest, AReturnAndAnInvokeAtOneInstantAreConcurrent) {
  EXPECT_EQ(Search({{1, 5, Took(0)}, {5, 6, Put(0)}}).verdict, Verdict::kLinearizable);
  EXPECT_EQ(Search({{1, 5, Took(0)}, {6, 7, Put(0)}}).verdict, Verdict::kNotLinearizable);
}

TEST(FindLinearizationTest, AnOptionalOperationHappensLateOrNever) {
  EXPECT_EQ(Search({Optional(1, Put(0)), {50, 51, Took(0)}}).verdict, Verdict::kLinearizable);
  EXPECT_EQ(Search({Optional(1, Put(0)), {50, 51, Put(1)}, {52, 53, Took(1)}}).verdict,
            Verdict::kLinearizable);
  // Not before its invoke, and not twice.
  EXPECT_EQ(Search({{50, 51, Took(0)}, Optional(52, Put(0))}).verdict, Verdict::kNotLinearizable);
  EXPECT_EQ(Search({Optional(1, Put(0)), {50, 51, Took(0)}, {52, 53, Took(0)}}).verdict,
            Verdict::kNotLinearizable);
  EXPECT_EQ(Search({Optional(1, Put(0)), Optional(2, Put(0)), {50, 51, Took(0)}, {52, 53, Took(0)}})
                .verdict,
            Verdict::kLinearizable);
}

TEST(FindLinearizationTest, SaysWhatStandsInTheWay) {
  const SearchResult result = Search({{1, 2, Put(0)}, {3, 20, Put(1)}, {4, 10, Took(2)}});
  EXPECT_EQ(result.verdict, Verdict::kNotLinearizable);
  EXPECT_EQ(result.blocked, 2u);
  EXPECT_THAT(result.not_placed, UnorderedElementsAre(1, 2));
  EXPECT_FALSE(result.stuck_states.empty());
}

// Twelve puts at once and then a take of something that was never put.
std::vector<SearchOperation> Hard() {
  std::vector<SearchOperation> operations;
  for (uint32_t n = 0; n < 12; ++n) operations.push_back({1, 100, Put(n)});
  operations.push_back({101, 102, Took(20)});
  return operations;
}

TEST(FindLinearizationTest, EndsAtTheBudgetOfSteps) {
  const SearchResult result = Search(Hard(), {.steps = 1000, .memory_bytes = 1u << 30});
  EXPECT_EQ(result.verdict, Verdict::kUndecided);
  EXPECT_FALSE(result.out_of_memory);
  EXPECT_LT(result.steps, 1100u);
}

TEST(FindLinearizationTest, EndsAtTheBudgetOfMemory) {
  const SearchResult result = Search(Hard(), {.steps = 1u << 30, .memory_bytes = 1u << 20});
  EXPECT_EQ(result.verdict, Verdict::kUndecided);
  EXPECT_TRUE(result.out_of_memory);
}

TEST(FindLinearizationTest, DoesTheSameEachTime) {
  const SearchResult a = Search(Hard(), {.steps = 200'000, .memory_bytes = 1u << 30});
  const SearchResult b = Search(Hard(), {.steps = 200'000, .memory_bytes = 1u << 30});
  EXPECT_EQ(a.steps, b.steps);
  EXPECT_EQ(a.configurations, b.configurations);
  EXPECT_EQ(a.order, b.order);
  EXPECT_EQ(a.stuck_states, b.stuck_states);
}

// --- Histories of a store

// The events of our own format, without the first line and without times.
Verdict Judge(const std::vector<std::string>& events) {
  std::string text = "raftkv-history 1\n";
  for (size_t i = 0; i < events.size(); ++i) absl::StrAppend(&text, i, " ", events[i], "\n");
  const absl::StatusOr<CheckReport> report = CheckHistoryText("test", text);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? report->verdict : Verdict::kUndecided;
}

TEST(StoreHistoryTest, StaleRead) {
  EXPECT_EQ(Judge({R"(a 1 invoke set "k" "1")", R"(a 1 ok ok)", R"(a 2 invoke set "k" "2")",
                   R"(a 2 ok ok)", R"(b 1 invoke get "k")", R"(b 1 ok "1")"}),
            Verdict::kNotLinearizable);
  // The same read, begun before the second write returned.
  EXPECT_EQ(Judge({R"(a 1 invoke set "k" "1")", R"(a 1 ok ok)", R"(a 2 invoke set "k" "2")",
                   R"(b 1 invoke get "k")", R"(a 2 ok ok)", R"(b 1 ok "1")"}),
            Verdict::kLinearizable);
}

TEST(StoreHistoryTest, TwoReadsCannotGoBack) {
  EXPECT_EQ(Judge({R"(a 1 invoke set "k" "1")", R"(b 1 invoke get "k")", R"(b 1 ok "1")",
                   R"(c 1 invoke get "k")", R"(c 1 ok nil)", R"(a 1 ok ok)"}),
            Verdict::kNotLinearizable);
}

TEST(StoreHistoryTest, LostUpdate) {
  EXPECT_EQ(Judge({R"(a 1 invoke incrby "n" 1)", R"(b 1 invoke incrby "n" 1)", R"(a 1 ok 1)",
                   R"(b 1 ok 1)"}),
            Verdict::kNotLinearizable);
  EXPECT_EQ(Judge({R"(a 1 invoke incrby "n" 1)", R"(b 1 invoke incrby "n" 1)", R"(a 1 ok 2)",
                   R"(b 1 ok 1)"}),
            Verdict::kLinearizable);
}

TEST(StoreHistoryTest, AnUnknownWriteMayShowUpLateButOnlyOnce) {
  const std::vector<std::string> seen_late = {R"(a 1 invoke set "k" "1")", R"(a 1 unknown timeout)",
                                              R"(b 1 invoke get "k")",     R"(b 1 ok nil)",
                                              R"(b 2 invoke get "k")",     R"(b 2 ok "1")"};
  EXPECT_EQ(Judge(seen_late), Verdict::kLinearizable);
  std::vector<std::string> twice = seen_late;
  for (const char* event :
       {R"(b 3 invoke set "k" "2")", R"(b 3 ok ok)", R"(b 4 invoke get "k")", R"(b 4 ok "1")"}) {
    twice.push_back(event);
  }
  EXPECT_EQ(Judge(twice), Verdict::kNotLinearizable);
}

TEST(StoreHistoryTest, AFailedWriteNeverHappened) {
  EXPECT_EQ(Judge({R"(a 1 invoke set "k" "1")", R"(b 1 invoke get "k")", R"(b 1 ok "1")",
                   R"(a 1 fail not the leader)"}),
            Verdict::kNotLinearizable);
}

TEST(StoreHistoryTest, ATransactionIsSeenWholeOrNotAtAll) {
  const std::vector<std::string> half = {R"(a 1 invoke set "x" "1" ; set "y" "1")",
                                         R"(b 1 invoke get "x" ; get "y")", R"(b 1 ok "1" ; nil)",
                                         R"(a 1 ok ok ; ok)"};
  EXPECT_EQ(Judge(half), Verdict::kNotLinearizable);
  // Also if nobody ever heard of it again.
  EXPECT_EQ(Judge({half[0], half[1], half[2]}), Verdict::kNotLinearizable);
  // Two reads may see it one after the other.
  EXPECT_EQ(Judge({half[0], R"(b 1 invoke get "x")", R"(c 1 invoke get "y")", R"(b 1 ok "1")",
                   R"(c 1 ok nil)", half[3]}),
            Verdict::kLinearizable);
}

TEST(StoreHistoryTest, Mutex) {
  const std::string acquire = R"( invoke set "lock" "held" if absent)";
  EXPECT_EQ(Judge({"a 1" + acquire, "a 1 ok ok", "b 1" + acquire, "b 1 ok ok"}),
            Verdict::kNotLinearizable);
  EXPECT_EQ(Judge({"a 1" + acquire, "a 1 ok ok", "b 1" + acquire, "b 1 ok unmet",
                   R"(a 2 invoke del "lock")", "a 2 ok 1", "b 2" + acquire, "b 2 ok ok"}),
            Verdict::kLinearizable);
}

TEST(StoreHistoryTest, OneBadKeyAmongManyIsFound) {
  std::vector<std::string> events;
  for (int key = 0; key < 20; ++key) {
    events.push_back(absl::StrCat("a ", key, " invoke set \"k", key, "\" \"v\""));
    events.push_back(absl::StrCat("a ", key, " ok ok"));
    events.push_back(absl::StrCat("b ", key, " invoke get \"k", key, "\""));
    events.push_back(absl::StrCat("b ", key, " ok ", key == 13 ? "nil" : "\"v\""));
  }
  EXPECT_EQ(Judge(events), Verdict::kNotLinearizable);
}

TEST(ReportTest, NamesWhatCannotBePlacedAndWhy) {
  const absl::StatusOr<CheckReport> report = CheckHistoryText("run.txt",
                                                              "raftkv-history 1\n"
                                                              "10 a 1 invoke set \"k\" \"1\"\n"
                                                              "20 a 1 ok ok\n"
                                                              "25 c 1 invoke get \"other\"\n"
                                                              "30 b 1 invoke get \"k\"\n"
                                                              "40 b 1 ok \"7\"\n"
                                                              "50 c 1 ok nil\n");
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->problems.size(), 1u);
  EXPECT_EQ(report->parts, 2u);
  EXPECT_THAT(report->problems[0].keys, ElementsAre("k"));
  EXPECT_EQ(report->problems[0].blocked, 2u);
  EXPECT_THAT(report->problems[0].longest_order, ElementsAre(0));
  EXPECT_THAT(report->problems[0].not_placed, ElementsAre(2));

  const std::string text = FormatReport(*report, false);
  EXPECT_THAT(text, HasSubstr("run.txt: not linearizable"));
  EXPECT_THAT(text, HasSubstr("3 operations: 3 ok, 0 failed, 0 unknown; 2 parts"));
  EXPECT_THAT(text, HasSubstr("lines 5-6  process b  get \"k\"  -> ok \"7\""));
  EXPECT_THAT(text, HasSubstr("lines 2-3  process a  set \"k\" \"1\"  -> ok ok"));
  EXPECT_THAT(text, testing::Not(HasSubstr("\x1b[")));
  EXPECT_THAT(FormatReport(*report, true), HasSubstr("\x1b["));
}

TEST(ReportTest, ALinearizableHistoryIsOneLine) {
  const absl::StatusOr<CheckReport> report =
      CheckHistoryText("run.txt", "raftkv-history 1\n10 a 1 invoke get \"k\"\n20 a 1 ok nil\n");
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->problems, IsEmpty());
  const std::string text = FormatReport(*report, false);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_THAT(text, HasSubstr("run.txt: linearizable"));
}

}  // namespace
}  // namespace raftkv::sim
