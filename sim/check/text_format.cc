#include "sim/check/text_format.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"
#include "core/raft/check.h"

namespace raftkv::sim {
namespace {

constexpr absl::string_view kHeader = "raftkv-history 1";

struct VerbWord {
  absl::string_view word;
  Verb verb;
};
constexpr VerbWord kVerbs[] = {
    {"get", Verb::kGet},     {"exists", Verb::kExists}, {"strlen", Verb::kStrlen},
    {"range", Verb::kRange}, {"size", Verb::kSize},     {"set", Verb::kSet},
    {"del", Verb::kDelete},  {"append", Verb::kAppend}, {"incrby", Verb::kIncrBy},
};

// --- Writing

std::string Quote(absl::string_view bytes) {
  return absl::StrCat("\"", absl::CEscape(bytes), "\"");
}

std::string QuoteValue(const Value& value) { return value.has_value() ? Quote(*value) : "nil"; }

std::string ConditionText(const Condition& condition) {
  switch (condition.kind) {
    case Condition::Kind::kAlways:
      return "";
    case Condition::Kind::kAbsent:
      return "absent";
    case Condition::Kind::kPresent:
      return "present";
    case Condition::Kind::kVersionIs:
      return absl::StrCat("version ", condition.version);
    case Condition::Kind::kValueIs:
      return absl::StrCat("value ", QuoteValue(condition.value));
  }
  return "";
}

std::string CommandText(const Command& command) {
  const auto* verb = std::find_if(std::begin(kVerbs), std::end(kVerbs),
                                  [&](const VerbWord& v) { return v.verb == command.verb; });
  std::string text(verb->word);
  if (command.verb != Verb::kSize) absl::StrAppend(&text, " ", Quote(command.key));
  if (command.verb == Verb::kRange) absl::StrAppend(&text, " ", Quote(command.end));
  if (command.verb == Verb::kSet || command.verb == Verb::kAppend) {
    absl::StrAppend(&text, " ", QuoteValue(command.value));
  }
  if (command.verb == Verb::kIncrBy) absl::StrAppend(&text, " ", command.delta);
  if (command.condition.kind != Condition::Kind::kAlways) {
    absl::StrAppend(&text, " if ", ConditionText(command.condition));
  }
  return text;
}

std::string VersionText(const std::optional<int64_t>& version) {
  return version.has_value() ? absl::StrCat(" @", *version) : "";
}

std::string ReplyText(const Reply& reply) {
  std::string text;
  switch (reply.kind) {
    case Reply::Kind::kUnobserved:
      text = "-";
      break;
    case Reply::Kind::kDone:
      text = "ok";
      break;
    case Reply::Kind::kConditionNotMet:
      text = "unmet";
      break;
    case Reply::Kind::kValue:
      text = QuoteValue(reply.value);
      break;
    case Reply::Kind::kNumber:
      text = absl::StrCat(reply.number);
      break;
    case Reply::Kind::kError:
      text = "error";
      break;
    case Reply::Kind::kEntries:
      text = "[";
      for (const RangeEntry& entry : reply.entries) {
        absl::StrAppend(&text, " ", Quote(entry.key), " ",
                        entry.value.has_value() ? Quote(*entry.value) : "-",
                        VersionText(entry.version));
      }
      absl::StrAppend(&text, reply.more ? " ] more" : " ]");
      break;
  }
  return text + VersionText(reply.version);
}

std::string Note(absl::string_view note) {
  std::string text(absl::StripAsciiWhitespace(note));
  for (char& c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = ' ';
  }
  return text.empty() ? text : absl::StrCat(" ", text);
}

// --- Reading

enum class TokenKind { kWord, kString, kSemicolon };

struct Token {
  TokenKind kind = TokenKind::kWord;
  std::string text;
};

// What is wrong with a line; empty: nothing.
using Complaint = std::string;

Complaint Tokenize(absl::string_view line, std::vector<Token>* tokens) {
  while (true) {
    line = absl::StripLeadingAsciiWhitespace(line);
    if (line.empty()) return "";
    if (line[0] == '"') {
      size_t end = 1;
      while (end < line.size() && line[end] != '"') end += line[end] == '\\' ? 2u : 1u;
      if (end >= line.size()) return "a string is not closed";
      Token token{TokenKind::kString, ""};
      std::string error;
      if (!absl::CUnescape(line.substr(1, end - 1), &token.text, &error)) return error;
      tokens->push_back(std::move(token));
      line.remove_prefix(end + 1);
      if (!line.empty() && !absl::ascii_isspace(static_cast<unsigned char>(line[0]))) {
        return "a space must follow a string";
      }
      continue;
    }
    size_t end = 0;
    while (end < line.size() && !absl::ascii_isspace(static_cast<unsigned char>(line[end]))) ++end;
    const absl::string_view word = line.substr(0, end);
    const TokenKind kind = word == ";" ? TokenKind::kSemicolon : TokenKind::kWord;
    tokens->push_back({kind, std::string(word)});
    line.remove_prefix(end);
  }
}

// Takes tokens from the front; the first thing that does not fit is the complaint.
class LineReader {
 public:
  explicit LineReader(absl::Span<const Token> tokens) : tokens_(tokens) {}

  const Complaint& complaint() const { return complaint_; }
  bool ok() const { return complaint_.empty(); }
  bool AtEnd() const { return tokens_.empty(); }

  bool TakeWord(absl::string_view word) { return TakeIf(TokenKind::kWord, word); }
  bool TakeSemicolon() { return TakeIf(TokenKind::kSemicolon, ";"); }

  void Complain(absl::string_view wanted) {
    if (!ok()) return;
    complaint_ = AtEnd() ? absl::StrCat(wanted, " is missing")
                         : absl::StrCat(wanted, " expected, not '",
                                        absl::CEscape(tokens_[0].text).substr(0, 60), "'");
  }

  std::string String(absl::string_view what) {
    if (AtEnd() || tokens_[0].kind != TokenKind::kString) {
      Complain(absl::StrCat(what, " in quotes"));
      return "";
    }
    return Take();
  }

  Value StringOrNil() {
    if (TakeWord("nil")) return std::nullopt;
    return String("a value (nil or a string)");
  }

  int64_t Number(absl::string_view what) {
    int64_t number = 0;
    if (AtEnd() || tokens_[0].kind != TokenKind::kWord ||
        !absl::SimpleAtoi(tokens_[0].text, &number)) {
      Complain(what);
      return 0;
    }
    tokens_.remove_prefix(1);
    return number;
  }

  bool NextIsNumber() const {
    int64_t number;
    return !AtEnd() && tokens_[0].kind == TokenKind::kWord &&
           absl::SimpleAtoi(tokens_[0].text, &number);
  }
  bool NextIsString() const { return !AtEnd() && tokens_[0].kind == TokenKind::kString; }

  std::optional<int64_t> Version() {
    if (AtEnd() || tokens_[0].kind != TokenKind::kWord || tokens_[0].text[0] != '@') {
      return std::nullopt;
    }
    int64_t version;
    if (!absl::SimpleAtoi(tokens_[0].text.substr(1), &version) || version < 0) {
      Complain("a version such as @41");
      return std::nullopt;
    }
    tokens_.remove_prefix(1);
    return version;
  }

  Condition ReadCondition() {
    Condition condition;
    if (TakeWord("absent")) {
      condition.kind = Condition::Kind::kAbsent;
    } else if (TakeWord("present")) {
      condition.kind = Condition::Kind::kPresent;
    } else if (TakeWord("version")) {
      condition.kind = Condition::Kind::kVersionIs;
      condition.version = Number("the number of a version");
    } else if (TakeWord("value")) {
      condition.kind = Condition::Kind::kValueIs;
      condition.value = StringOrNil();
    } else {
      Complain("absent, present, version or value");
    }
    return condition;
  }

  Command ReadCommand() {
    Command command;
    const auto* verb = std::find_if(std::begin(kVerbs), std::end(kVerbs),
                                    [&](const VerbWord& v) { return TakeWord(v.word); });
    if (verb == std::end(kVerbs)) {
      Complain("a command");
      return command;
    }
    command.verb = verb->verb;
    if (command.verb == Verb::kSize) return command;
    command.key = String("a key");
    if (command.verb == Verb::kRange) command.end = String("the end of the range");
    if (command.verb == Verb::kSet) command.value = StringOrNil();
    if (command.verb == Verb::kAppend) command.value = String("a value");
    if (command.verb == Verb::kIncrBy) command.delta = Number("a number");
    if (command.verb >= Verb::kSet && TakeWord("if")) command.condition = ReadCondition();
    return command;
  }

  Reply ReadReply(Verb verb) {
    Reply reply;
    const bool write = verb >= Verb::kSet;
    const bool counts = verb != Verb::kGet && verb != Verb::kRange && verb != Verb::kSet;
    if (TakeWord("-")) {
      return reply;
    } else if (verb == Verb::kSet && TakeWord("ok")) {
      reply.kind = Reply::Kind::kDone;
    } else if (write && TakeWord("unmet")) {
      reply.kind = Reply::Kind::kConditionNotMet;
    } else if (verb == Verb::kIncrBy && TakeWord("error")) {
      reply.kind = Reply::Kind::kError;
    } else if (counts && NextIsNumber()) {
      reply.kind = Reply::Kind::kNumber;
      reply.number = Number("a number");
    } else if (verb == Verb::kGet) {
      reply.kind = Reply::Kind::kValue;
      reply.value = StringOrNil();
    } else if (verb == Verb::kRange && TakeWord("[")) {
      reply.kind = Reply::Kind::kEntries;
      while (NextIsString()) reply.entries.push_back(ReadEntry());
      if (ok() && !TakeWord("]")) Complain("a key or ]");
      reply.more = TakeWord("more");
    } else {
      Complain("the reply to a command");
    }
    reply.version = Version();
    return reply;
  }

 private:
  bool TakeIf(TokenKind kind, absl::string_view text) {
    if (AtEnd() || tokens_[0].kind != kind || tokens_[0].text != text) return false;
    tokens_.remove_prefix(1);
    return true;
  }

  std::string Take() {
    std::string text = tokens_[0].text;
    tokens_.remove_prefix(1);
    return text;
  }

  RangeEntry ReadEntry() {
    RangeEntry entry;
    entry.key = String("a key");
    if (!TakeWord("-")) entry.value = String("a value");
    entry.version = Version();
    return entry;
  }

  absl::Span<const Token> tokens_;
  Complaint complaint_;
};

class HistoryReader {
 public:
  Complaint Line(absl::string_view line) {
    ++number_;
    line = absl::StripAsciiWhitespace(line);
    if (number_ == 1) {
      return line == kHeader ? "" : absl::StrCat("this version reads '", kHeader, "' only");
    }
    if (line.empty() || line[0] == '#') return "";
    if (absl::ConsumePrefix(&line, "initial ")) return Initial(line);
    return Event(line);
  }

  int number() const { return number_; }
  History TakeHistory() { return std::move(history_); }

 private:
  Complaint Initial(absl::string_view line) {
    if (!history_.operations.empty()) return "'initial' comes before all events";
    std::vector<Token> tokens;
    if (Complaint complaint = Tokenize(line, &tokens); !complaint.empty()) return complaint;
    LineReader reader(tokens);
    history_.initial = reader.StringOrNil();
    if (!reader.AtEnd()) reader.Complain("the end of the line");
    return reader.complaint();
  }

  static absl::string_view TakeField(absl::string_view* line) {
    const size_t end = std::min(line->find_first_of(" \t"), line->size());
    const absl::string_view field = line->substr(0, end);
    *line = absl::StripLeadingAsciiWhitespace(line->substr(end));
    return field;
  }

  Complaint Event(absl::string_view line) {
    const absl::string_view time_field = TakeField(&line);
    int64_t time;
    if (!absl::SimpleAtoi(time_field, &time)) {
      return absl::StrCat("time '", time_field, "' is not a number of microseconds");
    }
    if (time < time_) return absl::StrCat("time ", time, " after time ", time_);
    time_ = time;
    ++position_;

    const std::string process(TakeField(&line));
    const absl::string_view number_field = TakeField(&line);
    int64_t number;
    if (!absl::SimpleAtoi(number_field, &number)) {
      return absl::StrCat("'", number_field, "' is not the number of an operation");
    }
    const absl::string_view event = TakeField(&line);
    const auto known = operations_.find({process, number});
    if (event == "invoke") {
      if (known != operations_.end()) {
        return absl::StrCat("operation ", process, " ", number, " was invoked in line ",
                            history_.operations[known->second].invoke_line);
      }
      return Invoke(process, number, line);
    }
    if (event != "ok" && event != "fail" && event != "unknown") {
      return absl::StrCat("'", event, "' is none of invoke, ok, fail and unknown");
    }
    if (known == operations_.end()) {
      return absl::StrCat("operation ", process, " ", number, " was not invoked");
    }
    Operation& operation = history_.operations[known->second];
    if (operation.return_line != 0) {
      return absl::StrCat("operation ", process, " ", number, " ended in line ",
                          operation.return_line);
    }
    operation.returned = position_;
    operation.return_time_us = time;
    operation.return_line = number_;
    if (event == "ok") return Ok(line, &operation);
    operation.outcome = event == "fail" ? Outcome::kFailed : Outcome::kUnknown;
    operation.note = std::string(line);
    return "";
  }

  Complaint Invoke(const std::string& process, int64_t number, absl::string_view line) {
    std::vector<Token> tokens;
    if (Complaint complaint = Tokenize(line, &tokens); !complaint.empty()) return complaint;
    Operation operation;
    operation.process = process;
    operation.number = number;
    operation.invoked = position_;
    operation.invoke_time_us = time_;
    operation.invoke_line = number_;
    LineReader reader(tokens);
    bool more = true;
    while (more && reader.TakeWord("check")) {
      Guard guard;
      guard.key = reader.String("a key");
      guard.condition = reader.ReadCondition();
      operation.guards.push_back(std::move(guard));
      more = reader.TakeSemicolon();
    }
    while (more && reader.ok()) {
      operation.commands.push_back(reader.ReadCommand());
      more = reader.TakeSemicolon();
    }
    if (!reader.AtEnd()) reader.Complain("; or the end of the line");
    if (!reader.ok()) return reader.complaint();
    operations_.try_emplace({process, number}, history_.operations.size());
    history_.operations.push_back(std::move(operation));
    return "";
  }

  static Complaint Ok(absl::string_view line, Operation* operation) {
    std::vector<Token> tokens;
    if (Complaint complaint = Tokenize(line, &tokens); !complaint.empty()) return complaint;
    operation->outcome = Outcome::kOk;
    LineReader reader(tokens);
    if (reader.TakeWord("aborted")) {
      operation->aborted = true;
      if (operation->guards.empty()) return "an operation without guards cannot be aborted";
      if (reader.NextIsNumber()) {
        const int64_t guard = reader.Number("a number");
        if (guard < 0 || static_cast<uint64_t>(guard) >= operation->guards.size()) {
          return absl::StrCat("there is no guard ", guard, " in this operation");
        }
        operation->guard = static_cast<size_t>(guard);
      }
    } else {
      for (size_t i = 0; i < operation->commands.size() && reader.ok(); ++i) {
        if (i > 0 && !reader.TakeSemicolon())
          reader.Complain("; and the reply to the next command");
        operation->replies.push_back(reader.ReadReply(operation->commands[i].verb));
      }
    }
    if (!reader.AtEnd()) reader.Complain("the end of the line");
    return reader.complaint();
  }

  int number_ = 0;
  int64_t time_ = 0;
  Position position_ = 0;
  std::map<std::pair<std::string, int64_t>, size_t> operations_;
  History history_;
};

}  // namespace

absl::StatusOr<History> ReadHistoryText(absl::string_view name, absl::string_view text) {
  HistoryReader reader;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (const Complaint complaint = reader.Line(line); !complaint.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ":", reader.number(), ": ", complaint));
    }
  }
  return reader.TakeHistory();
}

std::string DescribeCommands(const Operation& operation) {
  std::vector<std::string> commands;
  for (const Guard& guard : operation.guards) {
    commands.push_back(
        absl::StrCat("check ", Quote(guard.key), " ", ConditionText(guard.condition)));
  }
  for (const Command& command : operation.commands) commands.push_back(CommandText(command));
  return absl::StrJoin(commands, " ; ");
}

std::string DescribeOutcome(const Operation& operation) {
  switch (operation.outcome) {
    case Outcome::kFailed:
      return absl::StrCat("fail", Note(operation.note));
    case Outcome::kUnknown:
      return absl::StrCat("unknown", Note(operation.note));
    case Outcome::kOk:
      break;
  }
  if (operation.aborted) {
    return operation.guard.has_value() ? absl::StrCat("ok aborted ", *operation.guard)
                                       : "ok aborted";
  }
  std::vector<std::string> replies;
  for (const Reply& reply : operation.replies) replies.push_back(ReplyText(reply));
  return absl::StrCat("ok ", absl::StrJoin(replies, " ; "));
}

std::string WriteHistoryText(const History& history) {
  // Invokes before returns at the same position: they are concurrent.
  using Event = std::tuple<Position, bool, size_t>;
  std::vector<Event> events;
  for (size_t i = 0; i < history.operations.size(); ++i) {
    const Operation& operation = history.operations[i];
    RAFTKV_CHECK(operation.invoked <= operation.returned);
    events.emplace_back(operation.invoked, false, i);
    // An unknown one that was not given up by its client needs no second line.
    if (operation.outcome != Outcome::kUnknown || operation.returned != kNever) {
      events.emplace_back(operation.returned, true, i);
    }
  }
  std::sort(events.begin(), events.end());

  std::string text = absl::StrCat(kHeader, "\n");
  if (history.initial.has_value())
    absl::StrAppend(&text, "initial ", Quote(*history.initial), "\n");
  for (const auto& [position, is_return, i] : events) {
    const Operation& operation = history.operations[i];
    absl::StrAppend(&text, is_return ? operation.return_time_us : operation.invoke_time_us, " ",
                    operation.process, " ", operation.number, " ",
                    is_return ? DescribeOutcome(operation)
                              : absl::StrCat("invoke ", DescribeCommands(operation)),
                    "\n");
  }
  return text;
}

}  // namespace raftkv::sim
