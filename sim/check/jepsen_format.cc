#include "sim/check/jepsen_format.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "sim/check/edn.h"

namespace raftkv::sim {
namespace {

constexpr absl::string_view kRegisterKey = "register";
constexpr absl::string_view kMutexKey = "mutex";

// One event of a client, in the terms that all these formats share.
struct Event {
  enum class Type { kInvoke, kOk, kFail, kInfo };
  Type type = Type::kInvoke;
  int64_t process = 0;
  std::string f;
  Edn value;
  Value key;  // of `:f :get` and the like
  int64_t time = 0;
  int line = 0;
};

std::optional<Event::Type> ParseType(absl::string_view word) {
  if (word == "invoke") return Event::Type::kInvoke;
  if (word == "ok") return Event::Type::kOk;
  if (word == "fail") return Event::Type::kFail;
  if (word == "info") return Event::Type::kInfo;
  return std::nullopt;
}

// Words and strings stand for themselves, so that "" is empty; everything else for how it prints.
std::string Plain(const Edn& value) {
  const bool verbatim = value.kind == Edn::Kind::kString || value.kind == Edn::Kind::kKeyword;
  return verbatim ? value.text : value.ToString();
}

Value RegisterValue(const Edn& value) {
  if (value.kind == Edn::Kind::kNil) return std::nullopt;
  return value.ToString();
}

bool IsPair(const Edn& value) { return value.IsSequence() && value.items.size() == 2; }

// What the workloads of these systems have in common, and where they differ.
enum class Workload { kStore, kRegister, kTransactions, kMutex };

std::optional<Workload> WorkloadOf(absl::string_view f) {
  if (f == "get" || f == "put" || f == "append") return Workload::kStore;
  if (f == "read" || f == "write" || f == "cas") return Workload::kRegister;
  if (f == "txn") return Workload::kTransactions;
  if (f == "acquire" || f == "release") return Workload::kMutex;
  return std::nullopt;
}

struct Dialect {
  bool failed_cas_saw_another_value = false;
  bool read_of_nil_saw_nothing = false;
};

// Pairs events and says what they mean as operations on a store.
class Translator {
 public:
  Translator(absl::string_view name, const Dialect& dialect) : name_(name), dialect_(dialect) {}

  absl::Status Add(const Event& event) {
    if (absl::Status status = CheckWorkload(event); !status.ok()) return status;
    ++position_;
    const auto open = open_.find(event.process);
    if (event.type == Event::Type::kInvoke) return Invoke(event);
    if (open == open_.end()) {
      if (event.type != Event::Type::kOk) return absl::OkStatus();
      return Error(event, absl::StrCat("process ", event.process,
                                       " completes an operation that it has not invoked"));
    }
    Operation& operation = history_.operations[open->second.operation];
    const Event& invoke = open->second.invoke;
    if (invoke.f != event.f) {
      return Error(event, absl::StrCat("process ", event.process, " completes :", event.f,
                                       " but invoked :", invoke.f, " in line ", invoke.line));
    }
    operation.return_line = event.line;
    operation.return_time_us = event.time / 1000;
    if (absl::Status status = Complete(invoke, event, &operation); !status.ok()) return status;
    open_.erase(open);
    return absl::OkStatus();
  }

  absl::StatusOr<History> Finish() {
    // What was never completed was invoked with all that is needed to have happened.
    for (const auto& [process, open] : open_) {
      Operation& operation = history_.operations[open.operation];
      if (absl::Status status = SetCommands(open.invoke, open.invoke, &operation); !status.ok()) {
        return status;
      }
    }
    return std::move(history_);
  }

 private:
  struct Open {
    size_t operation;
    Event invoke;
  };

  absl::Status Error(const Event& event, absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(name_, ":", event.line, ": ", what));
  }

  absl::Status CheckWorkload(const Event& event) {
    const std::optional<Workload> workload = WorkloadOf(event.f);
    if (!workload.has_value()) return Error(event, absl::StrCat("unknown :f :", event.f));
    if (!workload_.has_value()) {
      workload_ = workload;
      if (*workload == Workload::kStore) history_.initial = "";
      const bool zero = *workload == Workload::kTransactions || *workload == Workload::kRegister;
      if (zero && dialect_.read_of_nil_saw_nothing) history_.initial = "0";
    }
    if (*workload_ != *workload) {
      return Error(event,
                   absl::StrCat(":f :", event.f, " does not belong to the operations before"));
    }
    return absl::OkStatus();
  }

  absl::Status Invoke(const Event& event) {
    const auto open = open_.find(event.process);
    if (open != open_.end()) {
      Operation& before = history_.operations[open->second.operation];
      if (absl::Status status = SetCommands(open->second.invoke, open->second.invoke, &before);
          !status.ok()) {
        return status;
      }
      open_.erase(open);
    }
    Operation operation;
    operation.process = absl::StrCat(event.process);
    operation.number = ++operations_of_[event.process];
    operation.invoked = position_;
    operation.invoke_time_us = event.time / 1000;
    operation.invoke_line = event.line;
    open_.try_emplace(event.process, Open{history_.operations.size(), event});
    history_.operations.push_back(std::move(operation));
    return absl::OkStatus();
  }

  absl::Status Complete(const Event& invoke, const Event& event, Operation* operation) {
    const bool told = event.type == Event::Type::kOk;
    if (absl::Status status = SetCommands(invoke, told ? event : invoke, operation); !status.ok()) {
      return status;
    }
    operation->returned = position_;
    switch (event.type) {
      case Event::Type::kInvoke:
      case Event::Type::kInfo:
        operation->outcome = Outcome::kUnknown;
        return absl::OkStatus();
      case Event::Type::kFail:
        operation->outcome = Outcome::kFailed;
        if (dialect_.failed_cas_saw_another_value && event.f == "cas" && IsPair(event.value)) {
          operation->outcome = Outcome::kOk;
          operation->replies = {Simple(Reply::Kind::kConditionNotMet)};
        }
        return absl::OkStatus();
      case Event::Type::kOk:
        operation->outcome = Outcome::kOk;
        SetReplies(event, operation);
        return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  // `told` is the completion if there is one that repeats what was asked for, else the invoke.
  absl::Status SetCommands(const Event& invoke, const Event& told, Operation* operation) {
    const Edn& value = invoke.value.kind == Edn::Kind::kNil ? told.value : invoke.value;
    operation->commands.clear();
    switch (*workload_) {
      case Workload::kStore:
        return SetStoreCommand(invoke, value, operation);
      case Workload::kRegister:
        return SetRegisterCommand(invoke, value, operation);
      case Workload::kTransactions:
        return SetTransaction(invoke, told, value, operation);
      case Workload::kMutex: {
        Command command;
        command.key = std::string(kMutexKey);
        const bool acquire = invoke.f == "acquire";
        command.verb = acquire ? Verb::kSet : Verb::kDelete;
        if (acquire) command.value = "held";
        command.condition.kind = acquire ? Condition::Kind::kAbsent : Condition::Kind::kPresent;
        operation->commands.push_back(std::move(command));
        return absl::OkStatus();
      }
    }
    return absl::OkStatus();
  }

  absl::Status SetStoreCommand(const Event& invoke, const Edn& value, Operation* operation) {
    if (!invoke.key.has_value())
      return Error(invoke, absl::StrCat(":f :", invoke.f, " needs a :key"));
    Command command;
    command.key = *invoke.key;
    command.verb = invoke.f == "get" ? Verb::kGet : invoke.f == "put" ? Verb::kSet : Verb::kAppend;
    if (command.verb != Verb::kGet) {
      if (value.kind == Edn::Kind::kNil) {
        return Error(invoke, absl::StrCat(":f :", invoke.f, " needs a :value"));
      }
      command.value = Plain(value);
    }
    operation->commands.push_back(std::move(command));
    return absl::OkStatus();
  }

  absl::Status SetRegisterCommand(const Event& invoke, const Edn& value, Operation* operation) {
    Command command;
    command.key = std::string(kRegisterKey);
    if (invoke.f == "write") {
      command.verb = Verb::kSet;
      command.value = RegisterValue(value);
    } else if (invoke.f == "cas") {
      if (!IsPair(value)) return Error(invoke, "the :value of a :cas is [old new]");
      command.verb = Verb::kSet;
      command.value = RegisterValue(value.items[1]);
      command.condition.kind = Condition::Kind::kValueIs;
      command.condition.value = RegisterValue(value.items[0]);
    }
    operation->commands.push_back(std::move(command));
    return absl::OkStatus();
  }

  absl::Status SetTransaction(const Event& invoke, const Event& told, const Edn& value,
                              Operation* operation) {
    if (!value.IsSequence()) {
      return Error(invoke, "the :value of a :txn is a vector of [:read k v] and [:write k v]");
    }
    const bool repeated = told.value.IsSequence();
    if (repeated && told.value.items.size() != value.items.size()) {
      return Error(told, "a :txn completes with another number of operations than it began with");
    }
    for (size_t i = 0; i < value.items.size(); ++i) {
      Command command;
      if (!TransactionCommand(value.items[i], &command)) {
        return Error(invoke, absl::StrCat("operation ", i + 1,
                                          " of this :txn is not [:read k v] or [:write k v]"));
      }
      Command again;
      if (repeated && (!TransactionCommand(told.value.items[i], &again) || again != command)) {
        return Error(told, absl::StrCat("operation ", i + 1,
                                        " of this :txn is not the one that was invoked"));
      }
      operation->commands.push_back(std::move(command));
    }
    return absl::OkStatus();
  }

  static bool TransactionCommand(const Edn& item, Command* command) {
    if (!item.IsSequence() || item.items.size() != 3) return false;
    const Edn& f = item.items[0];
    if (f.kind != Edn::Kind::kKeyword) return false;
    command->key = item.items[1].ToString();
    if (f.text == "read" || f.text == "r") return true;
    command->verb = Verb::kSet;
    command->value = RegisterValue(item.items[2]);
    return f.text == "write" || f.text == "w";
  }

  static Reply Simple(Reply::Kind kind) {
    Reply reply;
    reply.kind = kind;
    return reply;
  }

  Reply ReadReply(const Edn& seen) const {
    if (seen.kind == Edn::Kind::kNil && dialect_.read_of_nil_saw_nothing) {
      return Simple(Reply::Kind::kUnobserved);
    }
    Reply reply = Simple(Reply::Kind::kValue);
    reply.value = RegisterValue(seen);
    return reply;
  }

  void SetReplies(const Event& event, Operation* operation) {
    for (size_t i = 0; i < operation->commands.size(); ++i) {
      Reply reply;
      switch (operation->commands[i].verb) {
        case Verb::kGet:
          if (*workload_ == Workload::kStore) {
            reply = Simple(Reply::Kind::kValue);
            reply.value = event.value.kind == Edn::Kind::kNil ? "" : Plain(event.value);
          } else if (*workload_ == Workload::kRegister) {
            reply = ReadReply(event.value);
          } else if (event.value.IsSequence()) {
            reply = ReadReply(event.value.items[i].items[2]);
          }
          break;
        case Verb::kSet:
          reply = Simple(Reply::Kind::kDone);
          break;
        case Verb::kDelete:
          reply = Simple(Reply::Kind::kNumber);
          reply.number = 1;
          break;
        default:  // an append, which answers nothing in these systems
          break;
      }
      operation->replies.push_back(std::move(reply));
    }
  }

  const absl::string_view name_;
  const Dialect dialect_;
  std::optional<Workload> workload_;
  Position position_ = 0;
  std::map<int64_t, Open> open_;
  std::map<int64_t, int64_t> operations_of_;
  History history_;
};

// --- Jepsen logs

// `3 :invoke :read nil`, after what the logger puts before it. False if the line is something else.
bool SplitLogLine(absl::string_view line, bool* from_client,
                  std::vector<absl::string_view>* words) {
  static constexpr absl::string_view kLogger = "jepsen.util";
  const size_t logger = line.find(kLogger);
  if (logger != absl::string_view::npos) {
    line = absl::StripLeadingAsciiWhitespace(line.substr(logger + kLogger.size()));
    if (!line.empty() && line[0] == '-') line.remove_prefix(1);
  }
  words->clear();
  for (int i = 0; i < 3; ++i) {
    line = absl::StripLeadingAsciiWhitespace(line);
    const size_t end = std::min(line.find_first_of(" \t"), line.size());
    if (end == 0) return false;
    words->push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
  words->push_back(absl::StripAsciiWhitespace(line));
  *from_client = absl::ascii_isdigit(static_cast<unsigned char>((*words)[0][0])) != 0;
  return (*words)[1][0] == ':' && (*words)[2][0] == ':';
}

absl::StatusOr<Event> ParseLogLine(absl::string_view name, int line,
                                   const std::vector<absl::string_view>& words) {
  const auto error = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(name, ":", line, ": ", what));
  };
  Event event;
  event.line = line;
  if (!absl::SimpleAtoi(words[0], &event.process)) {
    return error(absl::StrCat("process '", words[0], "' is not a number"));
  }
  const std::optional<Event::Type> type = ParseType(words[1].substr(1));
  if (!type.has_value()) {
    return error(absl::StrCat("'", words[1], "' is none of :invoke, :ok, :fail and :info"));
  }
  event.type = *type;
  event.f = std::string(words[2].substr(1));
  absl::StatusOr<std::vector<Edn>> value = ReadEdn(name, words[3], line);
  if (!value.ok()) return value.status();
  // What follows the value, if anything, is a message for people.
  if (!value->empty()) event.value = std::move(value->front());
  return event;
}

// --- EDN

absl::StatusOr<std::optional<Event>> ParseMap(absl::string_view name, const Edn& map) {
  const auto error = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(name, ":", map.line, ": ", what));
  };
  const Edn* process = map.Find("process");
  const Edn* type = map.Find("type");
  const Edn* f = map.Find("f");
  if (process == nullptr) return error("an operation without :process");
  if (process->kind != Edn::Kind::kInteger) return std::optional<Event>();  // the nemesis
  if (type == nullptr) return error("an operation without :type");
  if (f == nullptr) return error("an operation without :f");
  const std::optional<Event::Type> parsed_type = ParseType(Plain(*type));
  if (!parsed_type.has_value()) {
    return error(absl::StrCat("'", type->ToString(), "' is none of :invoke, :ok, :fail and :info"));
  }
  Event event;
  event.line = map.line;
  event.process = process->integer;
  event.type = *parsed_type;
  event.f = Plain(*f);
  if (const Edn* value = map.Find("value"); value != nullptr) event.value = *value;
  if (const Edn* key = map.Find("key"); key != nullptr && key->kind != Edn::Kind::kNil) {
    event.key = Plain(*key);
  }
  if (const Edn* time = map.Find("time"); time != nullptr) event.time = time->integer;
  return std::optional<Event>(std::move(event));
}

}  // namespace

absl::StatusOr<History> ReadJepsenLog(absl::string_view name, absl::string_view text) {
  Translator translator(name, {.failed_cas_saw_another_value = true});
  int number = 0;
  bool any = false;
  std::vector<absl::string_view> words;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    bool from_client = false;
    if (!SplitLogLine(line, &from_client, &words)) continue;
    any = true;
    if (!from_client) continue;
    absl::StatusOr<Event> event = ParseLogLine(name, number, words);
    if (!event.ok()) return event.status();
    if (absl::Status status = translator.Add(*event); !status.ok()) return status;
  }
  if (!any) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ":", number, ": no history in any known format"));
  }
  return translator.Finish();
}

absl::StatusOr<History> ReadEdnHistory(absl::string_view name, absl::string_view text) {
  absl::StatusOr<std::vector<Edn>> forms = ReadEdn(name, text);
  if (!forms.ok()) return forms.status();
  Translator translator(name, {.read_of_nil_saw_nothing = true});
  // Sequences of operations may lie in sequences; an explicit stack keeps the order.
  std::vector<const Edn*> todo;
  const auto push = [&](const std::vector<Edn>& items) {
    for (auto item = items.rbegin(); item != items.rend(); ++item) todo.push_back(&*item);
  };
  push(*forms);
  while (!todo.empty()) {
    const Edn& form = *todo.back();
    todo.pop_back();
    if (form.IsSequence()) {
      push(form.items);
    } else if (const Edn* history = form.Find("history"); history != nullptr) {
      todo.push_back(history);
    } else if (form.kind == Edn::Kind::kMap) {
      absl::StatusOr<std::optional<Event>> event = ParseMap(name, form);
      if (!event.ok()) return event.status();
      if (!event->has_value()) continue;
      if (absl::Status status = translator.Add(**event); !status.ok()) return status;
    } else {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ":", form.line, ": ", form.ToString().substr(0, 40), " is not an operation"));
    }
  }
  return translator.Finish();
}

}  // namespace raftkv::sim
