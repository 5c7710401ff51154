#include "sim/clients/operation.h"

#include <utility>

#include "absl/strings/match.h"
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

}  // namespace

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
