#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "core/wire/resp.h"
#include "core/wire/resp_number.h"

namespace raftkv::wire {
namespace {

// A type byte, a sign and 19 digits, the end of line, and some patience.
constexpr size_t kMaxLengthLine = 32;

// The table of argument slices of an unusually long request is not kept for the life of the
// connection.
constexpr size_t kKeepSlices = 1024;

constexpr absl::string_view kTooBigRequest = "Protocol error: too big request";

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::optional<unsigned> HexDigit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
  return std::nullopt;
}

// Undoes the escape sequence behind a backslash inside double quotes; returns how many of its bytes
// it took.
size_t Unescape(const char* sequence, size_t size, char* out) {
  if (size >= 3 && sequence[0] == 'x') {
    const auto high = HexDigit(sequence[1]);
    const auto low = HexDigit(sequence[2]);
    if (high && low) {
      *out = static_cast<char>(*high * 16 + *low);
      return 3;
    }
  }
  switch (sequence[0]) {
    case 'n':
      *out = '\n';
      break;
    case 'r':
      *out = '\r';
      break;
    case 't':
      *out = '\t';
      break;
    case 'b':
      *out = '\b';
      break;
    case 'a':
      *out = '\a';
      break;
    default:
      *out = sequence[0];
  }
  return 1;
}

}  // namespace

RespRequestReader::RespRequestReader(const RespRequestLimits& limits)
    : limits_(limits), buffer_(limits.max_request) {
  // Slices are 32 bits wide.
  RAFTKV_CHECK(limits.max_request <= std::numeric_limits<uint32_t>::max() / 2);
}

void RespRequestReader::Feed(absl::string_view bytes) {
  if (error_.empty()) buffer_.Append(bytes);
}

RespRequestReader::Outcome RespRequestReader::Next(std::vector<absl::string_view>* arguments) {
  arguments->clear();
  if (!error_.empty()) return Outcome::kError;
  while (buffer_.size() > 0) {
    const char* start = buffer_.data();
    const Step step = *start == '*' ? ParseArray() : ParseInline();
    if (step == Step::kError) return Outcome::kError;
    if (step == Step::kNeedMore) {
      // All that is buffered belongs to this one request.
      if (buffer_.size() <= limits_.max_request) return Outcome::kNeedMore;
      Fail(std::string(kTooBigRequest));
      return Outcome::kError;
    }
    for (const Slice& slice : slices_) arguments->emplace_back(start + slice.offset, slice.size);
    buffer_.Consume(parsed_);
    StartRequest();
    if (!arguments->empty()) return Outcome::kRequest;
  }
  buffer_.ReleaseIfEmpty();
  return Outcome::kNeedMore;
}

void RespRequestReader::StartRequest() {
  parsed_ = line_scanned_ = 0;
  in_array_ = false;
  if (slices_.capacity() > kKeepSlices) {
    slices_ = std::vector<Slice>();
  } else {
    slices_.clear();
  }
}

RespRequestReader::Step RespRequestReader::Fail(std::string error) {
  error_ = std::move(error);
  buffer_ = InputBuffer(0);
  slices_ = std::vector<Slice>();
  return Step::kError;
}

RespRequestReader::Step RespRequestReader::ParseLength(int64_t* value, absl::string_view too_long,
                                                       absl::string_view invalid) {
  const absl::string_view line = buffer_.unread().substr(parsed_, kMaxLengthLine);
  const size_t end = line.find('\r');
  if (end == absl::string_view::npos) {
    return line.size() < kMaxLengthLine ? Step::kNeedMore : Fail(std::string(too_long));
  }
  if (end + 1 == line.size()) {
    return line.size() < kMaxLengthLine ? Step::kNeedMore : Fail(std::string(too_long));
  }
  if (line[end + 1] != '\n' || !ParseDecimal(line.substr(1, end - 1), value)) {
    return Fail(std::string(invalid));
  }
  parsed_ += end + 2;
  return Step::kDone;
}

RespRequestReader::Step RespRequestReader::ParseArray() {
  if (!in_array_) {
    constexpr absl::string_view kInvalid = "Protocol error: invalid multibulk length";
    int64_t count = 0;
    const Step step = ParseLength(&count, "Protocol error: too big mbulk count string", kInvalid);
    if (step != Step::kDone) return step;
    if (count > 0 && static_cast<uint64_t>(count) > limits_.max_arguments) {
      return Fail(std::string(kInvalid));
    }
    in_array_ = true;
    missing_ = count > 0 ? static_cast<size_t>(count) : 0;
  }
  const absl::string_view unread = buffer_.unread();
  for (; missing_ > 0; --missing_) {
    if (bulk_ < 0) {
      if (parsed_ == unread.size()) return Step::kNeedMore;
      if (unread[parsed_] != '$') {
        return Fail(absl::StrCat("Protocol error: expected '$', got '",
                                 absl::CHexEscape(unread.substr(parsed_, 1)), "'"));
      }
      constexpr absl::string_view kInvalid = "Protocol error: invalid bulk length";
      int64_t size = 0;
      const Step step = ParseLength(&size, "Protocol error: too big bulk count string", kInvalid);
      if (step != Step::kDone) return step;
      if (size < 0 || static_cast<uint64_t>(size) > limits_.max_bulk) {
        return Fail(std::string(kInvalid));
      }
      if (parsed_ + static_cast<size_t>(size) + 2 > limits_.max_request) {
        return Fail(std::string(kTooBigRequest));
      }
      bulk_ = size;
    }
    const size_t size = static_cast<size_t>(bulk_);
    if (unread.size() - parsed_ < size + 2) return Step::kNeedMore;
    if (unread[parsed_ + size] != '\r' || unread[parsed_ + size + 1] != '\n') {
      return Fail("Protocol error: expected CRLF after a bulk string");
    }
    slices_.push_back({static_cast<uint32_t>(parsed_), static_cast<uint32_t>(size)});
    parsed_ += size + 2;
    bulk_ = -1;
  }
  return Step::kDone;
}

RespRequestReader::Step RespRequestReader::ParseInline() {
  const absl::string_view unread = buffer_.unread();
  const size_t end = unread.find('\n', line_scanned_);
  if (std::min(end, unread.size()) > limits_.max_inline) {
    return Fail("Protocol error: too big inline request");
  }
  if (end == absl::string_view::npos) {
    line_scanned_ = unread.size();
    return Step::kNeedMore;
  }
  parsed_ = end + 1;
  const size_t size = end > 0 && unread[end - 1] == '\r' ? end - 1 : end;
  if (!SplitQuoted(buffer_.data(), size)) {
    return Fail("Protocol error: unbalanced quotes in request");
  }
  return Step::kDone;
}

// Words are separated by white space; "..." takes escapes, '...' only \'; a closing quote ends its
// word. Unescaped bytes are written over the line itself: they are never more than what was read.
bool RespRequestReader::SplitQuoted(char* line, size_t size) {
  size_t read = 0;
  while (true) {
    while (read < size && IsSpace(line[read])) ++read;
    if (read == size) return true;
    const size_t word = read;
    size_t write = read;
    char quote = 0;
    while (read < size) {
      const char c = line[read];
      if (quote == 0) {
        if (IsSpace(c)) break;
        ++read;
        if (c == '"' || c == '\'') {
          quote = c;
        } else {
          line[write++] = c;
        }
      } else if (c == quote) {
        ++read;
        if (read < size && !IsSpace(line[read])) return false;
        quote = 0;
        break;
      } else if (c == '\\' && quote == '"' && read + 1 < size) {
        ++read;
        char unescaped = 0;
        read += Unescape(line + read, size - read, &unescaped);
        line[write++] = unescaped;
      } else if (c == '\\' && quote == '\'' && read + 1 < size && line[read + 1] == '\'') {
        read += 2;
        line[write++] = '\'';
      } else {
        ++read;
        line[write++] = c;
      }
    }
    if (quote != 0) return false;
    slices_.push_back({static_cast<uint32_t>(word), static_cast<uint32_t>(write - word)});
  }
}

}  // namespace raftkv::wire
