#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/wire/resp.h"
#include "core/wire/resp_number.h"

namespace raftkv::wire {
namespace {

using Type = RespValue::Type;

bool IsBigNumber(absl::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool ParseDouble(absl::string_view text, double* value) {
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  const char* end = text.data() + text.size();
  const std::from_chars_result result = std::from_chars(text.data(), end, *value);
  return result.ec == std::errc() && result.ptr == end;
}

}  // namespace

bool operator==(const RespValue& a, const RespValue& b) {
  const bool same_number = a.number == b.number || (std::isnan(a.number) && std::isnan(b.number));
  return same_number && a.type == b.type && a.integer == b.integer && a.text == b.text &&
         a.format == b.format && a.items == b.items;
}

RespReplyReader::RespReplyReader(const RespReplyLimits& limits)
    : limits_(limits), buffer_(limits.max_bulk) {}

void RespReplyReader::Feed(absl::string_view bytes) {
  if (error_.empty()) buffer_.Append(bytes);
}

RespReplyReader::Outcome RespReplyReader::Next(RespValue* reply) {
  if (!error_.empty()) return Outcome::kError;
  while (buffer_.size() > 0) {
    const Step step = ReadValue();
    if (step == Step::kError) return Outcome::kError;
    if (step == Step::kNeedMore) return Outcome::kNeedMore;
    if (complete_) {
      *reply = std::exchange(done_, RespValue());
      complete_ = false;
      elements_ = 0;
      return Outcome::kReply;
    }
  }
  buffer_.ReleaseIfEmpty();
  return Outcome::kNeedMore;
}

RespReplyReader::Step RespReplyReader::Fail(std::string error) {
  error_ = absl::StrCat("Protocol error: ", error);
  buffer_ = InputBuffer(0);
  open_.clear();
  return Step::kError;
}

// The line at the front, without its end, left in the buffer.
RespReplyReader::Step RespReplyReader::ReadLine(absl::string_view* line) {
  const absl::string_view unread = buffer_.unread();
  const size_t end = unread.find('\n', line_scanned_);
  if (std::min(end, unread.size()) > limits_.max_line) return Fail("too long line");
  if (end == absl::string_view::npos) {
    line_scanned_ = unread.size();
    return Step::kNeedMore;
  }
  line_scanned_ = end;  // found again at once if the rest of a bulk string is not here yet
  if (end == 0 || unread.find('\r') != end - 1) return Fail("a line must end with CRLF");
  *line = unread.substr(0, end - 1);
  return line->empty() ? Fail("empty line") : Step::kDone;
}

// One scalar, or the header of an aggregate.
RespReplyReader::Step RespReplyReader::ReadValue() {
  absl::string_view line;
  if (const Step step = ReadLine(&line); step != Step::kDone) return step;
  const char type = line[0];
  const absl::string_view rest = line.substr(1);
  Step step = Step::kDone;
  switch (type) {
    case '$':
    case '=':
    case '!':
      return ReadBulk(type, rest);
    case '*':
    case '%':
    case '~':
    case '>':
    case '|':
      step = Open(type, rest);
      break;
    default:
      step = ReadScalar(type, rest);
  }
  if (step == Step::kDone) {
    buffer_.Consume(line.size() + 2);
    line_scanned_ = 0;
  }
  return step;
}

RespReplyReader::Step RespReplyReader::ReadBulk(char type, absl::string_view number) {
  const size_t header = 1 + number.size() + 2;
  int64_t size = 0;
  if (!ParseDecimal(number, &size) || size < -1 || (size == -1 && type != '$')) {
    return Fail("invalid bulk length");
  }
  RespValue value;
  size_t whole = header;
  if (size >= 0) {
    const size_t length = static_cast<size_t>(size);
    if (length > limits_.max_bulk) return Fail("invalid bulk length");
    const absl::string_view unread = buffer_.unread();
    whole = header + length + 2;
    if (unread.size() < whole) return Step::kNeedMore;
    absl::string_view bytes = unread.substr(header, length);
    if (unread.substr(header + length, 2) != "\r\n")
      return Fail("a bulk string must end with CRLF");
    value.type = type == '$' ? Type::kBulk : type == '!' ? Type::kError : Type::kVerbatim;
    if (type == '=') {
      if (bytes.size() < 4 || bytes[3] != ':') return Fail("a verbatim string needs its format");
      value.format.assign(bytes.data(), 3);
      bytes.remove_prefix(4);
    }
    value.text.assign(bytes.data(), bytes.size());
  }
  buffer_.Consume(whole);
  line_scanned_ = 0;
  return Finish(std::move(value));
}

RespReplyReader::Step RespReplyReader::ReadScalar(char type, absl::string_view text) {
  RespValue value;
  switch (type) {
    case '+':
    case '-':
      value.type = type == '+' ? Type::kSimple : Type::kError;
      value.text.assign(text.data(), text.size());
      break;
    case ':':
      value.type = Type::kInteger;
      if (!ParseDecimal(text, &value.integer)) return Fail("invalid integer");
      break;
    case '_':
      if (!text.empty()) return Fail("invalid null");
      break;
    case '#':
      value.type = Type::kBool;
      if (text != "t" && text != "f") return Fail("invalid boolean");
      value.integer = text == "t" ? 1 : 0;
      break;
    case ',':
      value.type = Type::kDouble;
      if (!ParseDouble(text, &value.number)) return Fail("invalid double");
      break;
    case '(':
      value.type = Type::kBigNumber;
      if (!IsBigNumber(text)) return Fail("invalid big number");
      value.text.assign(text.data(), text.size());
      break;
    default:
      return Fail(
          absl::StrCat("unknown type '", absl::CHexEscape(absl::string_view(&type, 1)), "'"));
  }
  return Finish(std::move(value));
}

RespReplyReader::Step RespReplyReader::Open(char type, absl::string_view number) {
  int64_t count = 0;
  if (!ParseDecimal(number, &count) || count < -1 || (count == -1 && type != '*')) {
    return Fail("invalid multibulk length");
  }
  if (count == -1) return Finish(RespValue());
  const bool pairs = type == '%' || type == '|';
  const size_t left = limits_.max_elements - elements_;
  if (static_cast<uint64_t>(count) > (pairs ? left / 2 : left)) return Fail("too many values");
  const size_t missing = static_cast<size_t>(count) * (pairs ? 2 : 1);
  elements_ += missing;

  Aggregate aggregate{RespValue(), missing, type == '|'};
  aggregate.value.type = type == '*'   ? Type::kArray
                         : type == '~' ? Type::kSet
                         : type == '>' ? Type::kPush
                                       : Type::kMap;
  if (missing == 0) {
    return aggregate.attribute ? Step::kDone : Finish(std::move(aggregate.value));
  }
  if (open_.size() >= limits_.max_depth) return Fail("nested too deeply");
  open_.push_back(std::move(aggregate));
  return Step::kDone;
}

// Puts a complete value where it belongs, and every aggregate that it completes.
RespReplyReader::Step RespReplyReader::Finish(RespValue value) {
  while (!open_.empty()) {
    Aggregate& parent = open_.back();
    parent.value.items.push_back(std::move(value));
    if (--parent.missing > 0) return Step::kDone;
    const bool attribute = parent.attribute;
    value = std::move(parent.value);
    open_.pop_back();
    if (attribute) return Step::kDone;
  }
  done_ = std::move(value);
  complete_ = true;
  return Step::kDone;
}

}  // namespace raftkv::wire
