// The checker against the definition: thousands of small random histories, judged also by trying
// every order of every subset that the definition allows, on a store written a second time here.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/raft/random.h"
#include "gtest/gtest.h"
#include "sim/check/check_command.h"
#include "sim/check/text_format.h"

namespace raftkv::sim {
namespace {

// A store that numbers its writes. Versions are what clients were told about these numbers.
class PlainStore {
 public:
  explicit PlainStore(const Value& initial) : initial_(initial) {}

  struct Written {
    Value value;
    int write = 0;  // 0: never written
  };

  Written Get(const std::string& key) const {
    const auto found = data_.find(key);
    return found == data_.end() ? Written{initial_, 0} : found->second;
  }
  void Put(const std::string& key, const Value& value) {
    data_[key] = {value, ++writes_};
    keys_written_[key].push_back(writes_);
  }

  // Somebody was told that this write has this version. False if it has another.
  bool Tell(int write, int64_t version) {
    return versions_.try_emplace(write, version).first->second == version;
  }
  std::optional<int64_t> Told(int write) const {
    const auto found = versions_.find(write);
    if (found == versions_.end()) return std::nullopt;
    return found->second;
  }
  // Each write of a key has a larger version than the one before.
  bool VersionsGrow() const {
    for (const auto& [key, writes] : keys_written_) {
      int64_t last = 0;
      for (const int write : writes) {
        const std::optional<int64_t> version = Told(write);
        if (!version.has_value()) continue;
        if (*version <= last) return false;
        last = *version;
      }
    }
    return true;
  }

 private:
  const Value initial_;
  std::map<std::string, Written> data_;
  std::map<std::string, std::vector<int>> keys_written_;
  std::map<int, int64_t> versions_;
  int writes_ = 0;
};

std::optional<int64_t> Integer(const std::string& text) {
  if (text.empty() || text.size() > 18) return std::nullopt;
  for (size_t i = text[0] == '-' ? 1 : 0; i < text.size(); ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
  }
  if (text == "-" || absl::StrCat(std::stoll(text)) != text) return std::nullopt;
  return std::stoll(text);
}

// Nothing: it holds or not, depending on a version that nobody was told.
std::optional<bool> Holds(const PlainStore& store, const std::string& key,
                          const Condition& condition) {
  const PlainStore::Written now = store.Get(key);
  switch (condition.kind) {
    case Condition::Kind::kAlways:
      return true;
    case Condition::Kind::kAbsent:
      return !now.value.has_value();
    case Condition::Kind::kPresent:
      return now.value.has_value();
    case Condition::Kind::kValueIs:
      return now.value == condition.value;
    case Condition::Kind::kVersionIs:
      if (!now.value.has_value()) return condition.version == 0;
      if (condition.version == 0) return false;
      if (!store.Told(now.write).has_value()) return std::nullopt;
      return store.Told(now.write) == condition.version;
  }
  return false;
}

bool SameVersion(PlainStore* store, const std::string& key, const std::optional<int64_t>& seen) {
  if (!seen.has_value()) return true;
  const PlainStore::Written now = store->Get(key);
  return now.value.has_value() ? store->Tell(now.write, *seen) : *seen == 0;
}

// Runs one command. False if the client cannot have got this reply (null: it got none).
bool Run(PlainStore* store, const Command& command, const Reply* reply) {
  const auto is = [&](Reply::Kind kind) { return reply == nullptr || reply->kind == kind; };
  const auto is_number = [&](int64_t number) {
    return is(Reply::Kind::kNumber) && (reply == nullptr || reply->number == number);
  };
  const PlainStore::Written now = store->Get(command.key);
  if (command.verb == Verb::kGet) {
    return is(Reply::Kind::kValue) &&
           (reply == nullptr ||
            (reply->value == now.value && SameVersion(store, command.key, reply->version)));
  }
  if (command.verb == Verb::kExists) return is_number(now.value.has_value() ? 1 : 0);
  if (command.verb == Verb::kStrlen) {
    return is_number(static_cast<int64_t>(now.value.value_or("").size()));
  }
  if (command.verb == Verb::kRange) {
    if (!is(Reply::Kind::kEntries)) return false;
    if (reply == nullptr) return true;
    std::vector<std::pair<std::string, std::string>> expected;
    for (const std::string key : {"a", "b", "c"}) {
      const Value value = store->Get(key).value;
      if (value.has_value() && key >= command.key && (command.end.empty() || key < command.end)) {
        expected.emplace_back(key, *value);
      }
    }
    const size_t shown = reply->entries.size();
    if (reply->more ? shown >= expected.size() : shown != expected.size()) return false;
    for (size_t i = 0; i < shown; ++i) {
      if (reply->entries[i].key != expected[i].first) return false;
      if (reply->entries[i].value != expected[i].second) return false;
    }
    return true;
  }

  const std::optional<bool> holds = Holds(*store, command.key, command.condition);
  if (reply != nullptr && reply->kind == Reply::Kind::kConditionNotMet) {
    return holds != true && SameVersion(store, command.key, reply->version);
  }
  if (!holds.has_value()) store->Tell(now.write, command.condition.version);
  if (holds == false) return reply == nullptr;
  switch (command.verb) {
    case Verb::kSet:
      if (!is(Reply::Kind::kDone)) return false;
      store->Put(command.key, command.value);
      break;
    case Verb::kDelete:
      if (!is_number(now.value.has_value() ? 1 : 0)) return false;
      if (!now.value.has_value()) return true;
      store->Put(command.key, std::nullopt);
      return true;  // what the deletion's version was matters to nobody
    case Verb::kAppend: {
      const std::string joined = now.value.value_or("") + *command.value;
      if (!is_number(static_cast<int64_t>(joined.size()))) return false;
      store->Put(command.key, joined);
      break;
    }
    case Verb::kIncrBy: {
      const std::optional<int64_t> old = Integer(now.value.value_or("0"));
      if (!old.has_value()) return is(Reply::Kind::kError);
      if (!is_number(*old + command.delta)) return false;
      store->Put(command.key, absl::StrCat(*old + command.delta));
      break;
    }
    default:
      return false;
  }
  return reply == nullptr || SameVersion(store, command.key, reply->version);
}

bool RunOperation(PlainStore* store, const Operation& operation) {
  const bool told = operation.outcome == Outcome::kOk;
  bool all = true;
  for (size_t i = 0; i < operation.guards.size(); ++i) {
    const Guard& guard = operation.guards[i];
    const std::optional<bool> holds = Holds(*store, guard.key, guard.condition);
    if (told && operation.aborted && operation.guard == i) return holds != true;
    if (holds == false || (!holds.has_value() && operation.aborted && !operation.guard)) {
      all = false;
      break;
    }
    if (!holds.has_value()) store->Tell(store->Get(guard.key).write, guard.condition.version);
  }
  if (told && operation.aborted) return !operation.guard.has_value() && !all;
  if (!all) return !told;
  for (size_t i = 0; i < operation.commands.size(); ++i) {
    const Reply* reply = told && operation.replies[i].kind != Reply::Kind::kUnobserved
                             ? &operation.replies[i]
                             : nullptr;
    if (!Run(store, operation.commands[i], reply)) return false;
  }
  return true;
}

// Every order, by the definition.
bool Explainable(const History& history, const PlainStore& store, uint32_t placed) {
  bool all = true;
  for (size_t i = 0; i < history.operations.size(); ++i) {
    if ((placed >> i) & 1u) continue;
    if (history.operations[i].outcome == Outcome::kOk) all = false;
  }
  if (all) return true;
  for (size_t i = 0; i < history.operations.size(); ++i) {
    const Operation& operation = history.operations[i];
    if (((placed >> i) & 1u) != 0 || operation.outcome == Outcome::kFailed) continue;
    const bool may_be_next = std::none_of(
        history.operations.begin(), history.operations.end(), [&](const Operation& other) {
          const auto index = static_cast<size_t>(&other - history.operations.data());
          return ((placed >> index) & 1u) == 0 && other.outcome == Outcome::kOk &&
                 other.returned < operation.invoked;
        });
    if (!may_be_next) continue;
    PlainStore next = store;
    if (!RunOperation(&next, operation) || !next.VersionsGrow()) continue;
    if (Explainable(history, next, placed | (1u << i))) return true;
  }
  return false;
}

struct Flavour {
  std::string name;
  std::vector<Verb> verbs;
  int keys = 1;
  int values = 3;
  bool transactions = false;
  bool versions = false;
  bool values_compared = true;
  bool decrements = false;
  Value initial = {};

  friend std::ostream& operator<<(std::ostream& out, const Flavour& flavour) {
    return out << flavour.name;
  }
};

class Generator {
 public:
  Generator(uint64_t seed, const Flavour& flavour) : random_(seed), flavour_(flavour) {}

  History Next() {
    History history;
    history.initial = flavour_.initial;
    const uint64_t count = random_.Between(2, 8);
    const uint64_t span = random_.Between(4, 40);
    for (uint64_t i = 0; i < count; ++i) history.operations.push_back(Invoke(i, span));
    Execute(&history);
    if (random_.Chance(4, 5)) Distort(&history);
    return history;
  }

 private:
  std::string Key() {
    return std::string(
        1, static_cast<char>('a' + random_.Below(static_cast<uint64_t>(flavour_.keys))));
  }
  std::string SomeValue() {
    return absl::StrCat(random_.Below(static_cast<uint64_t>(flavour_.values)));
  }
  int64_t SomeVersion() { return static_cast<int64_t>(random_.Between(0, 8)) * 100; }

  Condition SomeCondition() {
    Condition condition;
    switch (random_.Below(4)) {
      case 0:
        condition.kind = Condition::Kind::kAbsent;
        break;
      case 1:
        condition.kind = Condition::Kind::kPresent;
        break;
      case 2:
        if (!flavour_.values_compared) break;
        condition.kind = Condition::Kind::kValueIs;
        if (random_.Chance(4, 5)) condition.value = SomeValue();
        break;
      case 3:
        if (!flavour_.versions) break;
        condition.kind = Condition::Kind::kVersionIs;
        condition.version = SomeVersion();
        break;
    }
    return condition;
  }

  Command SomeCommand() {
    Command command;
    command.verb = flavour_.verbs[random_.Below(flavour_.verbs.size())];
    command.key = Key();
    if (command.verb == Verb::kRange) {
      if (random_.Chance(1, 2)) command.end = Key();
      return command;
    }
    if (command.verb == Verb::kSet || command.verb == Verb::kAppend) command.value = SomeValue();
    if (command.verb == Verb::kIncrBy) {
      command.delta = static_cast<int64_t>(random_.Between(1, 4)) - (flavour_.decrements ? 2 : 0);
    }
    if (command.verb >= Verb::kSet && random_.Chance(1, 3)) command.condition = SomeCondition();
    return command;
  }

  Operation Invoke(uint64_t number, uint64_t span) {
    Operation operation;
    operation.process = absl::StrCat("p", number);
    operation.number = 1;
    operation.invoked = static_cast<Position>(random_.Below(span));
    operation.returned = operation.invoked + static_cast<Position>(random_.Below(span / 3 + 1));
    const uint64_t commands = flavour_.transactions ? random_.Between(1, 3) : 1;
    for (uint64_t i = 0; i < commands; ++i) operation.commands.push_back(SomeCommand());
    if (flavour_.transactions && random_.Chance(1, 3)) {
      Condition condition = SomeCondition();
      if (condition.kind == Condition::Kind::kAlways) condition.kind = Condition::Kind::kPresent;
      operation.guards.push_back({Key(), std::move(condition)});
    }
    return operation;
  }

  // Runs the operations at random instants within their times and notes what their clients see.
  void Execute(History* history) {
    std::vector<std::pair<Position, size_t>> order;
    for (size_t i = 0; i < history->operations.size(); ++i) {
      Operation& operation = history->operations[i];
      const auto length = static_cast<uint64_t>(operation.returned - operation.invoked);
      Position when = operation.invoked + static_cast<Position>(random_.Between(0, length));
      const uint64_t fate = random_.Below(10);
      if (fate < 7) {
        operation.outcome = Outcome::kOk;
      } else if (fate < 9) {
        operation.outcome = Outcome::kUnknown;
        operation.returned = kNever;
        if (random_.Chance(1, 2)) when += static_cast<Position>(random_.Below(20));
        if (random_.Chance(1, 3)) continue;
      } else {
        operation.outcome = Outcome::kFailed;
        continue;
      }
      order.emplace_back(when, i);
    }
    std::sort(order.begin(), order.end());
    std::map<std::string, std::pair<Value, int64_t>> data;
    int64_t version = 0;
    for (const auto& [when, i] : order) {
      version += 100;
      Perform(history->initial, version, &data, &history->operations[i]);
    }
  }

  void Perform(const Value& initial, int64_t version,
               std::map<std::string, std::pair<Value, int64_t>>* data, Operation* operation) {
    const auto cell = [&](const std::string& key) -> std::pair<Value, int64_t>& {
      return data->try_emplace(key, initial, 0).first->second;
    };
    const auto holds = [&](const std::string& key, const Condition& condition) {
      const auto& [value, last] = cell(key);
      switch (condition.kind) {
        case Condition::Kind::kAlways:
          return true;
        case Condition::Kind::kAbsent:
          return !value.has_value();
        case Condition::Kind::kPresent:
          return value.has_value();
        case Condition::Kind::kValueIs:
          return value == condition.value;
        case Condition::Kind::kVersionIs:
          return condition.version == (value.has_value() ? last : 0);
      }
      return false;
    };
    for (size_t i = 0; i < operation->guards.size(); ++i) {
      if (holds(operation->guards[i].key, operation->guards[i].condition)) continue;
      operation->aborted = operation->outcome == Outcome::kOk;
      if (operation->aborted && random_.Chance(1, 2)) operation->guard = i;
      return;
    }
    const bool tell_versions = flavour_.versions && random_.Chance(1, 2);
    std::vector<Reply> replies;
    for (const Command& command : operation->commands) {
      Reply reply;
      auto& [value, last] = cell(command.key);
      const auto number = [&](int64_t n) {
        reply.kind = Reply::Kind::kNumber;
        reply.number = n;
      };
      if (!holds(command.key, command.condition)) {
        reply.kind = Reply::Kind::kConditionNotMet;
        if (tell_versions) reply.version = value.has_value() ? last : 0;
        replies.push_back(reply);
        continue;
      }
      switch (command.verb) {
        case Verb::kGet:
          reply.kind = Reply::Kind::kValue;
          reply.value = value;
          if (tell_versions) reply.version = value.has_value() ? last : 0;
          break;
        case Verb::kExists:
          number(value.has_value() ? 1 : 0);
          break;
        case Verb::kStrlen:
          number(static_cast<int64_t>(value.value_or("").size()));
          break;
        case Verb::kRange: {
          reply.kind = Reply::Kind::kEntries;
          for (const std::string key : {"a", "b", "c"}) {
            const Value& held = cell(key).first;
            if (!held.has_value() || key < command.key) continue;
            if (!command.end.empty() && key >= command.end) continue;
            reply.entries.push_back({key, held, std::nullopt});
          }
          if (!reply.entries.empty() && random_.Chance(1, 4)) {
            reply.entries.pop_back();
            reply.more = true;
          }
          break;
        }
        case Verb::kSet:
          reply.kind = Reply::Kind::kDone;
          value = command.value;
          last = version;
          if (tell_versions) reply.version = version;
          break;
        case Verb::kDelete:
          number(value.has_value() ? 1 : 0);
          value.reset();
          break;
        case Verb::kAppend:
          value = value.value_or("") + *command.value;
          last = version;
          number(static_cast<int64_t>(value->size()));
          break;
        case Verb::kIncrBy:
          if (const auto old = Integer(value.value_or("0")); old.has_value()) {
            value = absl::StrCat(*old + command.delta);
            last = version;
            number(*old + command.delta);
          } else {
            reply.kind = Reply::Kind::kError;
          }
          break;
        case Verb::kSize:
          break;
      }
      // Where nobody knows whether a write on a version happened, the checker allows both.
      const bool on_version = command.condition.kind == Condition::Kind::kVersionIs;
      if (!on_version && random_.Chance(1, 12)) reply = Reply{};
      replies.push_back(reply);
    }
    if (operation->outcome == Outcome::kOk) operation->replies = std::move(replies);
  }

  // Makes it likely, but not certain, that nothing explains the history any more.
  void Distort(History* history) {
    Operation& operation = history->operations[random_.Below(history->operations.size())];
    if (operation.outcome != Outcome::kOk || operation.replies.empty() || random_.Chance(1, 4)) {
      if (operation.outcome == Outcome::kOk && random_.Chance(1, 2)) {
        operation.returned = operation.invoked;
      } else if (!operation.aborted) {
        operation.outcome = Outcome::kFailed;
        operation.replies.clear();
      }
      return;
    }
    Reply& reply = operation.replies[random_.Below(operation.replies.size())];
    switch (reply.kind) {
      case Reply::Kind::kValue:
        reply.value = random_.Chance(1, 5) ? Value() : Value(SomeValue());
        break;
      case Reply::Kind::kNumber:
        reply.number += static_cast<int64_t>(random_.Between(0, 2)) - 1;
        break;
      case Reply::Kind::kEntries:
        if (!reply.entries.empty()) reply.entries[0].value = SomeValue();
        break;
      case Reply::Kind::kDone:
        if (reply.version.has_value()) *reply.version += 100;
        break;
      default:
        break;
    }
  }

  Random random_;
  const Flavour& flavour_;
};

// What the checker offers as an explanation must be one.
void ExpectExplanation(const History& history, const std::vector<size_t>& order) {
  PlainStore store(history.initial);
  Position latest_invoke = std::numeric_limits<Position>::min();
  for (const size_t i : order) {
    const Operation& operation = history.operations[i];
    latest_invoke = std::max(latest_invoke, operation.invoked);
    if (operation.outcome == Outcome::kOk) {
      EXPECT_LE(latest_invoke, operation.returned) << "placed after it returned: " << i;
    }
    EXPECT_TRUE(RunOperation(&store, operation)) << "operation " << i << " does not fit";
    EXPECT_TRUE(store.VersionsGrow());
  }
}

class BruteForceTest : public testing::TestWithParam<Flavour> {};

TEST_P(BruteForceTest, AgreesOnSmallHistories) {
  constexpr int kHistories = 4000;
  int explained = 0;
  Generator generator(20240611, GetParam());
  for (int i = 0; i < kHistories; ++i) {
    const History history = generator.Next();
    const bool expected = Explainable(history, PlainStore(history.initial), 0);
    CheckOptions options;
    options.budget.greedy_steps = i % 2 == 0 ? 0 : 100'000;  // breadth first, depth first
    const CheckReport report = CheckHistory("random", HistoryFormat::kRaftkv, history, options);
    ASSERT_EQ(Name(report.verdict),
              Name(expected ? Verdict::kLinearizable : Verdict::kNotLinearizable))
        << "history " << i << "\n"
        << WriteHistoryText(history) << FormatReport(report, false);
    explained += expected ? 1 : 0;
    for (const PartProblem& problem : report.problems) {
      ExpectExplanation(history, problem.longest_order);
    }
    // Writing and reading lose nothing that matters.
    const absl::StatusOr<CheckReport> again = CheckHistoryText("random", WriteHistoryText(history));
    ASSERT_TRUE(again.ok()) << again.status() << "\n" << WriteHistoryText(history);
    ASSERT_EQ(Name(again->verdict), Name(report.verdict)) << WriteHistoryText(history);
    if (HasFailure()) FAIL() << WriteHistoryText(history);
  }
  // The test is worth something only if both verdicts are common.
  EXPECT_GT(explained, kHistories / 15);
  EXPECT_GT(kHistories - explained, kHistories / 15);
}

const std::vector<Verb> kAllOnOneKey = {Verb::kGet,    Verb::kSet,    Verb::kDelete, Verb::kAppend,
                                        Verb::kIncrBy, Verb::kExists, Verb::kStrlen};
const std::vector<Verb> kAll = {Verb::kGet,    Verb::kSet,    Verb::kDelete, Verb::kAppend,
                                Verb::kIncrBy, Verb::kExists, Verb::kStrlen, Verb::kRange};

INSTANTIATE_TEST_SUITE_P(
    Flavours, BruteForceTest,
    testing::Values(
        Flavour{.name = "Register",
                .verbs = {Verb::kGet, Verb::kSet, Verb::kSet},
                .values = 3,
                .initial = "0"},
        Flavour{.name = "RareValues", .verbs = {Verb::kGet, Verb::kSet, Verb::kSet}, .values = 9},
        Flavour{.name = "Appends",
                .verbs = {Verb::kGet, Verb::kAppend, Verb::kAppend, Verb::kStrlen},
                .values = 4},
        Flavour{.name = "AppendsAndSets",
                .verbs = {Verb::kGet, Verb::kAppend, Verb::kSet, Verb::kDelete},
                .initial = ""},
        Flavour{.name = "Counter", .verbs = {Verb::kGet, Verb::kIncrBy, Verb::kIncrBy}},
        Flavour{.name = "UpAndDown",
                .verbs = {Verb::kGet, Verb::kIncrBy, Verb::kIncrBy},
                .decrements = true},
        Flavour{.name = "CounterWithDelete",
                .verbs = {Verb::kGet, Verb::kIncrBy, Verb::kIncrBy, Verb::kDelete},
                .decrements = true},
        Flavour{.name = "Everything", .verbs = kAllOnOneKey, .keys = 2},
        Flavour{.name = "Versions",
                .verbs = {Verb::kGet, Verb::kSet, Verb::kSet, Verb::kDelete},
                .versions = true},
        Flavour{.name = "Transactions",
                .verbs = {Verb::kGet, Verb::kSet, Verb::kDelete, Verb::kRange},
                .keys = 3,
                .transactions = true},
        Flavour{.name = "EverythingInTransactions",
                .verbs = kAll,
                .keys = 3,
                .transactions = true,
                .decrements = true},
        Flavour{.name = "Mutex",
                .verbs = {Verb::kSet, Verb::kDelete},
                .values = 1,
                .values_compared = false}),
    [](const testing::TestParamInfo<Flavour>& test) { return test.param.name; });

}  // namespace
}  // namespace raftkv::sim
