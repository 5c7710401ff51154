#include "sim/clients/operation.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace raftkv::sim {
namespace {

using Type = wire::RespValue::Type;

Reply Done() {
  Reply reply;
  reply.kind = Reply::Kind::kDone;
  return reply;
}

Reply NotMet() {
  Reply reply;
  reply.kind = Reply::Kind::kConditionNotMet;
  return reply;
}

Reply Number(int64_t number) {
  Reply reply;
  reply.kind = Reply::Kind::kNumber;
  reply.number = number;
  return reply;
}

bool IsValue(const wire::RespValue& value) {
  return value.type == Type::kBulk || value.type == Type::kNull;
}

Reply ValueOf(const wire::RespValue& value) {
  Reply reply;
  reply.kind = Reply::Kind::kValue;
  if (value.type == Type::kBulk) reply.value = value.text;
  return reply;
}

bool IsOk(const wire::RespValue& value) {
  return value.type == Type::kSimple && value.text == "OK";
}

Understood Happened(std::vector<Reply> replies) {
  Understood understood;
  understood.kind = Understood::Kind::kDone;
  understood.replies = std::move(replies);
  return understood;
}

Understood Nonsense(absl::string_view text) {
  Understood understood;
  understood.text = std::string(text);
  return understood;
}

// The first word of an error is a promise; see core/replica/commands.h.
Understood UnderstandError(const PlannedOperation& operation, const std::string& text) {
  Understood understood;
  understood.text = text;
  if (absl::StartsWith(text, "NOTAPPLIED ")) {
    understood.kind = Understood::Kind::kNotApplied;
  } else if (absl::StartsWith(text, "UNKNOWN ")) {
    understood.kind = Understood::Kind::kUnknown;
  } else if (absl::StartsWith(text, "SESSIONUNKNOWN ")) {
    understood.kind = Understood::Kind::kSessionUnknown;
  } else if (absl::StartsWith(text, "APPLIED ")) {
    // By an earlier try, whose answer is lost.
    understood.kind = Understood::Kind::kDone;
    understood.replies.resize(operation.commands.size());
  } else if (operation.commands.size() == 1 && operation.commands[0].verb == Verb::kIncrBy &&
             absl::StartsWith(text, "ERR ")) {
    understood.kind = Understood::Kind::kDone;
    understood.replies.resize(1);
    understood.replies[0].kind = Reply::Kind::kError;
  }
  return understood;
}

Understood UnderstandPage(const wire::RespValue& reply) {
  if (reply.type != Type::kArray || reply.items.size() != 2 || !IsValue(reply.items[0]) ||
      reply.items[1].type != Type::kArray || reply.items[1].items.size() % 2 != 0) {
    return Nonsense("not a page");
  }
  Reply page;
  page.kind = Reply::Kind::kEntries;
  page.more = reply.items[0].type == Type::kBulk;
  const std::vector<wire::RespValue>& items = reply.items[1].items;
  for (size_t i = 0; i < items.size(); i += 2) {
    page.entries.push_back({items[i].text, items[i + 1].text, std::nullopt});
  }
  return Happened({std::move(page)});
}

Understood UnderstandPair(const PlannedOperation& operation, const wire::RespValue& reply) {
  const bool versioned = operation.form == ReplyForm::kVersioned;
  if (versioned && reply.type == Type::kNull) {
    Reply absent;
    absent.kind = Reply::Kind::kValue;
    absent.version = 0;
    return Happened({std::move(absent)});
  }
  if (reply.type != Type::kArray || reply.items.size() != 2 ||
      reply.items[0].type != Type::kInteger ||
      reply.items[1].type != (versioned ? Type::kBulk : Type::kInteger)) {
    return Nonsense("not a version and what goes with it");
  }
  if (versioned) {
    Reply value = ValueOf(reply.items[1]);
    value.version = reply.items[0].integer;
    return Happened({std::move(value)});
  }
  Reply swap = reply.items[0].integer == 1 ? Done() : NotMet();
  swap.version = reply.items[1].integer;
  return Happened({std::move(swap)});
}

Understood UnderstandNumber(const PlannedOperation& operation, int64_t number) {
  const auto count = static_cast<int64_t>(operation.commands.size());
  switch (operation.form) {
    case ReplyForm::kNumber:
      return Happened({Number(number)});
    case ReplyForm::kOneOrZero:
      return Happened({number == 1 ? Done() : NotMet()});
    case ReplyForm::kAllOrNothing: {
      if (number == 1) return Happened(std::vector<Reply>(operation.commands.size(), Done()));
      Understood aborted = Happened({});
      aborted.aborted = true;
      return aborted;
    }
    case ReplyForm::kEach:
      if (number != 0 && number != count) {
        // Whoever asks this way knows that the keys only come and go together.
        return Nonsense(absl::StrCat(number, " of ", count, " keys: half of what is one"));
      }
      return Happened(std::vector<Reply>(operation.commands.size(), Number(number == 0 ? 0 : 1)));
    default:
      return Nonsense("a number");
  }
}

// --- From words to meaning

Command Of(Verb verb, std::string key) {
  Command command;
  command.verb = verb;
  command.key = std::move(key);
  return command;
}

Command Set(std::string key, std::string value,
            Condition::Kind condition = Condition::Kind::kAlways) {
  Command command = Of(Verb::kSet, std::move(key));
  command.value = std::move(value);
  command.condition.kind = condition;
  return command;
}

Command Add(std::string key, int64_t delta) {
  Command command = Of(Verb::kIncrBy, std::move(key));
  command.delta = delta;
  return command;
}

// The first key behind all that begin with `prefix`.
std::string Successor(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (!prefix.empty()) ++prefix.back();
  return prefix;
}

using Words = std::vector<std::string>;
using Planned = absl::StatusOr<PlannedOperation>;

Planned Make(ReplyForm form, std::vector<Command> commands, bool read_only = false) {
  PlannedOperation plan;
  plan.form = form;
  plan.commands = std::move(commands);
  plan.read_only = read_only;
  return plan;
}

Planned MakeRead(ReplyForm form, std::vector<Command> commands) {
  return Make(form, std::move(commands), /*read_only=*/true);
}

Planned Wrong(absl::string_view why) { return absl::InvalidArgumentError(why); }

Planned OfEachKey(const Words& words, Verb verb, ReplyForm of_one, ReplyForm of_many) {
  std::vector<Command> commands;
  for (size_t i = 1; i < words.size(); ++i) commands.push_back(Of(verb, words[i]));
  return Make(words.size() == 2 ? of_one : of_many, std::move(commands), verb != Verb::kDelete);
}

Planned PlanSet(const Words& words) {
  if (words.size() == 3) return Make(ReplyForm::kDone, {Set(words[1], words[2])});
  if (words[3] != "NX" && words[3] != "XX") return Wrong("the last word is neither NX nor XX");
  const auto condition = words[3] == "NX" ? Condition::Kind::kAbsent : Condition::Kind::kPresent;
  return Make(ReplyForm::kDoneOrNull, {Set(words[1], words[2], condition)});
}

Planned PlanSwap(const Words& words) {
  Command swap = Set(words[1], words[3], Condition::Kind::kVersionIs);
  if (!absl::SimpleAtoi(words[2], &swap.condition.version))
    return Wrong("the version is no number");
  return Make(ReplyForm::kSwap, {std::move(swap)});
}

Planned PlanAppend(const Words& words) {
  Command append = Of(Verb::kAppend, words[1]);
  append.value = words[2];
  return Make(ReplyForm::kNumber, {std::move(append)});
}

Planned PlanIncrBy(const Words& words) {
  int64_t delta = 0;
  if (!absl::SimpleAtoi(words[2], &delta)) return Wrong("what is to be added is no number");
  return Make(ReplyForm::kNumber, {Add(words[1], delta)});
}

Planned PlanRange(const Words& words, std::string end) {
  Command range = Of(Verb::kRange, words[1]);
  range.end = std::move(end);
  return MakeRead(ReplyForm::kPage, {std::move(range)});
}

Planned PlanSetMany(const Words& words, bool if_none) {
  if (words.size() % 2 == 0) return Wrong("a key without a value");
  std::vector<Command> commands;
  std::vector<Guard> guards;
  Condition absent;
  absent.kind = Condition::Kind::kAbsent;
  for (size_t i = 1; i < words.size(); i += 2) {
    commands.push_back(Set(words[i], words[i + 1]));
    if (if_none) guards.push_back({words[i], absent});
  }
  Planned plan = Make(if_none ? ReplyForm::kAllOrNothing : ReplyForm::kDone, std::move(commands));
  plan->guards = std::move(guards);
  return plan;
}

struct Grammar {
  absl::string_view name;
  size_t least;  // words behind the name
  size_t most;
  Planned (*plan)(const Words& words);
};
constexpr size_t kMany = 100;

constexpr Grammar kGrammar[] = {
    {"GET", 1, 1,
     [](const Words& w) { return MakeRead(ReplyForm::kValue, {Of(Verb::kGet, w[1])}); }},
    {"KV.GET", 1, 1,
     [](const Words& w) { return MakeRead(ReplyForm::kVersioned, {Of(Verb::kGet, w[1])}); }},
    {"STRLEN", 1, 1,
     [](const Words& w) { return MakeRead(ReplyForm::kNumber, {Of(Verb::kStrlen, w[1])}); }},
    {"EXISTS", 1, kMany,
     [](const Words& w) {
       return OfEachKey(w, Verb::kExists, ReplyForm::kNumber, ReplyForm::kEach);
     }},
    {"MGET", 1, kMany,
     [](const Words& w) {
       return OfEachKey(w, Verb::kGet, ReplyForm::kValues, ReplyForm::kValues);
     }},
    {"KV.PREFIX", 1, 1, [](const Words& w) { return PlanRange(w, Successor(w[1])); }},
    {"KV.RANGE", 4, 4,
     [](const Words& w) {
       return w[3] == "LIMIT" ? PlanRange(w, w[2]) : Wrong("the third word is not LIMIT");
     }},
    {"SET", 2, 3, PlanSet},
    {"SETNX", 2, 2,
     [](const Words& w) {
       return Make(ReplyForm::kOneOrZero, {Set(w[1], w[2], Condition::Kind::kAbsent)});
     }},
    {"KV.CAS", 3, 3, PlanSwap},
    {"APPEND", 2, 2, PlanAppend},
    {"GETSET", 2, 2,
     [](const Words& w) {
       return Make(ReplyForm::kOldAndDone, {Of(Verb::kGet, w[1]), Set(w[1], w[2])});
     }},
    {"GETDEL", 1, 1,
     [](const Words& w) {
       return Make(ReplyForm::kOldAndDone, {Of(Verb::kGet, w[1]), Of(Verb::kDelete, w[1])});
     }},
    {"DEL", 1, kMany,
     [](const Words& w) {
       return OfEachKey(w, Verb::kDelete, ReplyForm::kNumber, ReplyForm::kEach);
     }},
    {"INCR", 1, 1, [](const Words& w) { return Make(ReplyForm::kNumber, {Add(w[1], 1)}); }},
    {"INCRBY", 2, 2, PlanIncrBy},
    {"MSET", 2, kMany, [](const Words& w) { return PlanSetMany(w, /*if_none=*/false); }},
    {"MSETNX", 2, kMany, [](const Words& w) { return PlanSetMany(w, /*if_none=*/true); }},
};

}  // namespace

absl::StatusOr<PlannedOperation> PlanOperation(std::vector<std::string> words) {
  if (words.empty()) return Wrong("no command");
  for (const Grammar& grammar : kGrammar) {
    if (words[0] != grammar.name) continue;
    if (words.size() - 1 < grammar.least || words.size() - 1 > grammar.most) {
      return Wrong(absl::StrCat(grammar.name, " with ", words.size() - 1, " words behind it"));
    }
    Planned plan = grammar.plan(words);
    if (plan.ok()) plan->words = std::move(words);
    return plan;
  }
  return Wrong(absl::StrCat("there is no command ", words[0]));
}

Understood Understand(const PlannedOperation& operation, const wire::RespValue& reply) {
  if (reply.is_error()) return UnderstandError(operation, reply.text);
  switch (operation.form) {
    case ReplyForm::kDone:
      if (!IsOk(reply)) break;
      return Happened(std::vector<Reply>(operation.commands.size(), Done()));
    case ReplyForm::kDoneOrNull:
      if (!IsOk(reply) && reply.type != Type::kNull) break;
      return Happened({IsOk(reply) ? Done() : NotMet()});
    case ReplyForm::kOldAndDone: {
      if (!IsValue(reply)) break;
      Reply write = Done();
      if (operation.commands[1].verb == Verb::kDelete) {
        write = Number(reply.type == Type::kNull ? 0 : 1);
      }
      return Happened({ValueOf(reply), std::move(write)});
    }
    case ReplyForm::kOneOrZero:
    case ReplyForm::kAllOrNothing:
    case ReplyForm::kNumber:
    case ReplyForm::kEach:
      if (reply.type != Type::kInteger) break;
      return UnderstandNumber(operation, reply.integer);
    case ReplyForm::kValue:
      if (!IsValue(reply)) break;
      return Happened({ValueOf(reply)});
    case ReplyForm::kValues: {
      if (reply.type != Type::kArray || reply.items.size() != operation.commands.size()) break;
      std::vector<Reply> replies;
      for (const wire::RespValue& item : reply.items) replies.push_back(ValueOf(item));
      return Happened(std::move(replies));
    }
    case ReplyForm::kVersioned:
    case ReplyForm::kSwap:
      return UnderstandPair(operation, reply);
    case ReplyForm::kPage:
      return UnderstandPage(reply);
  }
  return Nonsense("a reply of another kind");
}

}  // namespace raftkv::sim
