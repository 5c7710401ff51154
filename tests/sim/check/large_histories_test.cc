// Histories of the size and the kind that a simulated run leaves behind must be decided, with room
// to spare: clients that never hear of their operations again are the hard part.
#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/raft/random.h"
#include "gtest/gtest.h"
#include "sim/check/check_command.h"

namespace raftkv::sim {
namespace {

enum class Load {
  kRegister,          // every write has its own value
  kSmallRegister,     // five values, with compare-and-set
  kAppends,           // read back whole
  kLengths,           // appends that tell the length
  kCounter,           // INCRBY 1
  kUnevenCounter,     // INCRBY of different numbers
  kOverwrites,        // MSET of some keys, MGET of all
  kGuardedTransfers,  // MGET of all, then MSET of two if their versions are still the same
  kBlindTransfers,    // INCRBY -n and INCRBY n at once, MGET of all
  kMixed,             // single keys, MSET, DEL and range over all
};

struct Shape {
  const char* name;
  Load load;
  int operations = 2000;
  int clients = 10;
  int keys = 1;
  uint64_t unknown_per_mille = 150;
  uint64_t max_steps = 2000000;

  friend std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    return out << shape.name;
  }
};

// Plays clients against a store that is linearizable: every operation happens at one instant
// between its invoke and its return, an unknown one some time after its invoke, or never.
class Play {
 public:
  Play(uint64_t seed, const Shape& shape) : random_(seed), shape_(shape) {}

  History Run() {
    for (int client = 0; client < shape_.clients; ++client) {
      Schedule(static_cast<Position>(random_.Below(100)), kInvoke, static_cast<size_t>(client));
    }
    while (!agenda_.empty()) {
      const auto [when, what] = *agenda_.begin();
      agenda_.erase(agenda_.begin());
      now_ = when.first;
      switch (what.first) {
        case kInvoke:
          Invoke(what.second);
          break;
        case kHappen:
          Happen(&history_.operations[what.second]);
          break;
        case kReturn:
          Return(what.second);
          break;
      }
    }
    return std::move(history_);
  }

 private:
  enum What { kInvoke, kHappen, kReturn };
  using Entry = std::pair<What, size_t>;

  void Schedule(Position when, What what, size_t index) {
    agenda_.emplace(std::make_pair(when, ++scheduled_), Entry{what, index});
  }

  std::string Key(uint64_t key) const { return absl::StrCat("k", key); }
  std::string SomeKey() { return Key(random_.Below(static_cast<uint64_t>(shape_.keys))); }
  std::string Fresh() { return absl::StrCat(++values_); }

  static Command Make(Verb verb, std::string key, Value value = {}, int64_t delta = 0) {
    Command command;
    command.verb = verb;
    command.key = std::move(key);
    command.value = std::move(value);
    command.delta = delta;
    return command;
  }

  std::vector<Command> GetAll() const {
    std::vector<Command> commands;
    for (int key = 0; key < shape_.keys; ++key) {
      commands.push_back(Make(Verb::kGet, Key(static_cast<uint64_t>(key))));
    }
    return commands;
  }

  void Choose(size_t client, Operation* operation) {
    const bool look = random_.Chance(2, 5);
    const std::string key = SomeKey();
    std::string other = SomeKey();
    while (shape_.keys > 1 && other == key) other = SomeKey();
    switch (shape_.load) {
      case Load::kRegister:
        operation->commands = {look ? Make(Verb::kGet, key) : Make(Verb::kSet, key, Fresh())};
        break;
      case Load::kSmallRegister:
        operation->commands = {look ? Make(Verb::kGet, key)
                                    : Make(Verb::kSet, key, absl::StrCat(random_.Below(5)))};
        if (!look && random_.Chance(1, 2)) {
          operation->commands[0].condition.kind = Condition::Kind::kValueIs;
          operation->commands[0].condition.value = absl::StrCat(random_.Below(5));
        }
        break;
      case Load::kAppends:
      case Load::kLengths:
        operation->commands = {
            look ? Make(Verb::kGet, key)
                 : Make(Verb::kAppend, key, absl::StrCat("<", client, ":", Fresh(), ">"))};
        break;
      case Load::kCounter:
      case Load::kUnevenCounter: {
        const bool uneven = shape_.load == Load::kUnevenCounter;
        const auto delta = static_cast<int64_t>(uneven ? random_.Between(1, 9) : 1);
        operation->commands = {look ? Make(Verb::kGet, key)
                                    : Make(Verb::kIncrBy, key, std::nullopt, delta)};
        break;
      }
      case Load::kOverwrites:
        operation->commands = look ? GetAll()
                                   : std::vector<Command>{Make(Verb::kSet, key, Fresh()),
                                                          Make(Verb::kSet, other, Fresh())};
        break;
      case Load::kGuardedTransfers:
        if (look || !last_seen_.contains(client)) {
          operation->commands = GetAll();
          break;
        }
        for (const std::string& account : {key, other}) {
          Guard guard{account, {}};
          guard.condition.kind = Condition::Kind::kVersionIs;
          guard.condition.version = last_seen_[client].at(account).second;
          operation->guards.push_back(std::move(guard));
        }
        operation->commands = {
            Make(Verb::kSet, key, absl::StrCat(Balance(last_seen_[client].at(key).first) - 1)),
            Make(Verb::kSet, other, absl::StrCat(Balance(last_seen_[client].at(other).first) + 1))};
        break;
      case Load::kBlindTransfers: {
        const auto amount = static_cast<int64_t>(random_.Between(1, 5));
        operation->commands =
            look ? GetAll()
                 : std::vector<Command>{Make(Verb::kIncrBy, key, std::nullopt, -amount),
                                        Make(Verb::kIncrBy, other, std::nullopt, amount)};
        break;
      }
      case Load::kMixed:
        switch (random_.Below(8)) {
          case 0:
            operation->commands = {Make(Verb::kRange, "")};
            break;
          case 1:
            operation->commands = {Make(Verb::kDelete, key)};
            break;
          case 2:
          case 3:
            operation->commands = {Make(Verb::kGet, key)};
            break;
          case 4:
            operation->commands = {Make(Verb::kSet, key, Fresh()),
                                   Make(Verb::kSet, other, Fresh())};
            break;
          default:
            operation->commands = {Make(Verb::kSet, key, Fresh())};
            break;
        }
        break;
    }
  }

  static int64_t Balance(const Value& value) {
    int64_t balance = 0;
    return value.has_value() && absl::SimpleAtoi(*value, &balance) ? balance : 0;
  }

  void Invoke(size_t client) {
    if (history_.operations.size() >= static_cast<size_t>(shape_.operations)) return;
    const size_t index = history_.operations.size();
    Operation operation;
    operation.process = absl::StrCat("c", client);
    operation.number = static_cast<int64_t>(index);
    operation.invoked = ++position_;
    Choose(client, &operation);
    const Position duration = 1 + static_cast<Position>(random_.Below(100));
    if (random_.PerMille(shape_.unknown_per_mille)) {
      // The client gives up and goes on; what it asked for may happen much later.
      if (random_.Chance(1, 2)) {
        Schedule(now_ + static_cast<Position>(random_.Below(300)), kHappen, index);
      }
      Schedule(now_ + 100, kInvoke, client);
    } else {
      operation.outcome = Outcome::kOk;
      const auto before = static_cast<Position>(random_.Below(static_cast<uint64_t>(duration)));
      Schedule(now_ + before, kHappen, index);
      Schedule(now_ + duration, kReturn, index);
      clients_[index] = client;
    }
    history_.operations.push_back(std::move(operation));
  }

  void Return(size_t index) {
    Operation& operation = history_.operations[index];
    operation.returned = ++position_;
    const size_t client = clients_[index];
    for (size_t i = 0; i < operation.replies.size(); ++i) {
      if (operation.commands[i].verb != Verb::kGet) continue;
      last_seen_[client][operation.commands[i].key] = {operation.replies[i].value,
                                                       operation.replies[i].version.value_or(0)};
    }
    Schedule(now_ + 1 + static_cast<Position>(random_.Below(20)), kInvoke, client);
  }

  void Happen(Operation* operation) {
    ++version_;
    const bool versions = shape_.load == Load::kGuardedTransfers;
    for (size_t i = 0; i < operation->guards.size(); ++i) {
      const Guard& guard = operation->guards[i];
      if (data_[guard.key].second == guard.condition.version) continue;
      operation->aborted = operation->outcome == Outcome::kOk;
      return;
    }
    std::vector<Reply> replies;
    for (const Command& command : operation->commands) {
      Reply reply;
      auto& [value, version] = data_[command.key];
      if (command.condition.kind == Condition::Kind::kValueIs && value != command.condition.value) {
        reply.kind = Reply::Kind::kConditionNotMet;
        replies.push_back(std::move(reply));
        continue;
      }
      switch (command.verb) {
        case Verb::kGet:
          reply.kind = Reply::Kind::kValue;
          reply.value = value;
          if (versions) reply.version = version;
          break;
        case Verb::kRange:
          reply.kind = Reply::Kind::kEntries;
          data_.erase(command.key);
          for (const auto& [key, cell] : data_) {
            if (cell.first.has_value()) reply.entries.push_back({key, cell.first, std::nullopt});
          }
          break;
        case Verb::kDelete:
          reply.kind = Reply::Kind::kNumber;
          reply.number = value.has_value() ? 1 : 0;
          value.reset();
          break;
        case Verb::kAppend:
          value = value.value_or("") + *command.value;
          if (shape_.load == Load::kLengths) {
            reply.kind = Reply::Kind::kNumber;
            reply.number = static_cast<int64_t>(value->size());
          }
          break;
        case Verb::kIncrBy:
          value = absl::StrCat(Balance(value) + command.delta);
          if (random_.Chance(1, 2)) {
            reply.kind = Reply::Kind::kNumber;
            reply.number = Balance(value);
          }
          break;
        default:
          value = command.value;
          version = version_;
          reply.kind = Reply::Kind::kDone;
          if (versions) reply.version = version;
          break;
      }
      replies.push_back(std::move(reply));
    }
    if (operation->outcome == Outcome::kOk) operation->replies = std::move(replies);
  }

  Random random_;
  const Shape& shape_;
  std::map<std::pair<Position, uint64_t>, Entry> agenda_;
  uint64_t scheduled_ = 0;
  Position now_ = 0;
  Position position_ = 0;
  int64_t version_ = 0;
  int64_t values_ = 0;
  std::map<std::string, std::pair<Value, int64_t>> data_;
  std::map<size_t, size_t> clients_;
  std::map<size_t, std::map<std::string, std::pair<Value, int64_t>>> last_seen_;
  History history_;
};

class LargeHistoryTest : public testing::TestWithParam<Shape> {
 protected:
  CheckReport Check(History history) const {
    CheckOptions options;
    options.budget.steps = GetParam().max_steps;
    return CheckHistory("large", HistoryFormat::kRaftkv, std::move(history), options);
  }
};

TEST_P(LargeHistoryTest, IsExplained) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const CheckReport report = Check(Play(seed, GetParam()).Run());
    EXPECT_EQ(report.verdict, Verdict::kLinearizable) << "seed " << seed << "\n"
                                                      << FormatReport(report, false);
    RecordProperty(absl::StrCat("steps_", seed), static_cast<int>(report.steps));
  }
}

// A reader late in the history is given what an earlier reader of the same keys saw.
TEST_P(LargeHistoryTest, StaleReadIsFound) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    History history = Play(seed, GetParam()).Run();
    const auto reads = [](const Operation& operation) {
      return operation.outcome == Outcome::kOk && !operation.aborted &&
             (operation.commands[0].verb == Verb::kGet ||
              operation.commands[0].verb == Verb::kRange);
    };
    const size_t count = history.operations.size();
    bool done = false;
    for (size_t late = count * 3 / 4; late < count && !done; ++late) {
      for (size_t early = count / 2; early < late && !done; ++early) {
        if (!reads(history.operations[late]) || !reads(history.operations[early])) continue;
        if (history.operations[late].commands != history.operations[early].commands) continue;
        if (history.operations[late].replies == history.operations[early].replies) continue;
        history.operations[late].replies = history.operations[early].replies;
        done = true;
      }
    }
    ASSERT_TRUE(done);
    const CheckReport report = Check(std::move(history));
    // With five values for everybody an old value may be a new one as well.
    if (GetParam().load == Load::kSmallRegister) {
      EXPECT_NE(report.verdict, Verdict::kUndecided);
    } else {
      EXPECT_EQ(report.verdict, Verdict::kNotLinearizable) << "seed " << seed << "\n"
                                                           << FormatReport(report, false);
    }
    RecordProperty(absl::StrCat("steps_", seed), static_cast<int>(report.steps));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, LargeHistoryTest,
    testing::Values(Shape{"Register", Load::kRegister},
                    Shape{"SmallRegister", Load::kSmallRegister},
                    Shape{"Appends", Load::kAppends, 1000}, Shape{"Lengths", Load::kLengths, 1000},
                    Shape{"Counter", Load::kCounter},
                    Shape{"UnevenCounter", Load::kUnevenCounter, 400, 10, 1, 50},
                    Shape{"ManyRegisters", Load::kRegister, 5000, 20, 20},
                    Shape{"Overwrites", Load::kOverwrites, 2000, 10, 8},
                    Shape{"GuardedTransfers", Load::kGuardedTransfers, 2000, 10, 8},
                    Shape{"BlindTransfers", Load::kBlindTransfers, 400, 6, 5, 50},
                    Shape{"Mixed", Load::kMixed, 1000, 10, 8, 30}),
    [](const testing::TestParamInfo<Shape>& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace raftkv::sim
