#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "core/wire/resp.h"

namespace raftkv::wire {
namespace {

constexpr absl::string_view kEndOfLine = "\r\n";

void AppendLine(char type, absl::string_view text, std::string* out) {
  out->push_back(type);
  const size_t start = out->size();
  out->append(text.data(), text.size());
  for (size_t i = start; i < out->size(); ++i) {
    char& c = (*out)[i];
    if (c == '\r' || c == '\n') c = ' ';
  }
  out->append(kEndOfLine.data(), kEndOfLine.size());
}

// What every reply and every argument begins with: as one piece, because each costs a call.
void AppendHeader(char type, int64_t number, std::string* out) {
  char line[32] = {type};
  char* end = std::to_chars(line + 1, line + sizeof(line), number).ptr;
  end = std::copy(kEndOfLine.begin(), kEndOfLine.end(), end);
  out->append(line, end);
}

void AppendBulk(absl::string_view bytes, std::string* out) {
  AppendHeader('$', static_cast<int64_t>(bytes.size()), out);
  out->append(bytes.data(), bytes.size());
  out->append(kEndOfLine.data(), kEndOfLine.size());
}

// The shortest digits that read back as the same number.
std::string FormatDouble(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char digits[64];
  const std::to_chars_result end = std::to_chars(digits, digits + sizeof(digits), value);
  RAFTKV_CHECK(end.ec == std::errc());
  return std::string(digits, end.ptr);
}

}  // namespace

void RespWriter::Header(char type, int64_t number) { AppendHeader(type, number, out_); }

void RespWriter::Simple(absl::string_view text) { AppendLine('+', text, out_); }

void RespWriter::Error(absl::string_view text) { AppendLine('-', text, out_); }

void RespWriter::Integer(int64_t value) { Header(':', value); }

void RespWriter::Bulk(absl::string_view bytes) { AppendBulk(bytes, out_); }

void RespWriter::Null() { out_->append(version_ == RespVersion::k3 ? "_\r\n" : "$-1\r\n"); }

void RespWriter::NullArray() { out_->append(version_ == RespVersion::k3 ? "_\r\n" : "*-1\r\n"); }

void RespWriter::Bool(bool value) {
  if (version_ == RespVersion::k3) {
    out_->append(value ? "#t\r\n" : "#f\r\n");
  } else {
    Integer(value ? 1 : 0);
  }
}

void RespWriter::Double(double value) {
  const std::string text = FormatDouble(value);
  if (version_ == RespVersion::k3) {
    AppendLine(',', text, out_);
  } else {
    Bulk(text);
  }
}

void RespWriter::Verbatim(absl::string_view format, absl::string_view text) {
  RAFTKV_CHECK(format.size() == 3);
  if (version_ == RespVersion::k3) {
    absl::StrAppend(out_, "=", format.size() + 1 + text.size(), kEndOfLine, format, ":", text,
                    kEndOfLine);
  } else {
    Bulk(text);
  }
}

void RespWriter::Array(size_t elements) { Header('*', static_cast<int64_t>(elements)); }

void RespWriter::Map(size_t pairs) {
  if (version_ == RespVersion::k3) {
    Header('%', static_cast<int64_t>(pairs));
  } else {
    Array(2 * pairs);
  }
}

void RespWriter::Set(size_t elements) {
  Header(version_ == RespVersion::k3 ? '~' : '*', static_cast<int64_t>(elements));
}

void RespWriter::Push(size_t elements) {
  Header(version_ == RespVersion::k3 ? '>' : '*', static_cast<int64_t>(elements));
}

void RespWriter::BigNumber(absl::string_view digits) {
  if (version_ == RespVersion::k3) {
    AppendLine('(', digits, out_);
  } else {
    Bulk(digits);
  }
}

void WriteRespRequest(absl::Span<const absl::string_view> arguments, std::string* out) {
  AppendHeader('*', static_cast<int64_t>(arguments.size()), out);
  for (const absl::string_view argument : arguments) AppendBulk(argument, out);
}

void WriteRespValue(const RespValue& value, RespWriter* writer) {
  using Type = RespValue::Type;
  switch (value.type) {
    case Type::kNull:
      return writer->Null();
    case Type::kSimple:
      return writer->Simple(value.text);
    case Type::kError:
      return writer->Error(value.text);
    case Type::kInteger:
      return writer->Integer(value.integer);
    case Type::kBulk:
      return writer->Bulk(value.text);
    case Type::kBool:
      return writer->Bool(value.integer != 0);
    case Type::kDouble:
      return writer->Double(value.number);
    case Type::kBigNumber:
      return writer->BigNumber(value.text);
    case Type::kVerbatim:
      return writer->Verbatim(value.format, value.text);
    case Type::kArray:
      writer->Array(value.items.size());
      break;
    case Type::kMap:
      writer->Map(value.items.size() / 2);
      break;
    case Type::kSet:
      writer->Set(value.items.size());
      break;
    case Type::kPush:
      writer->Push(value.items.size());
      break;
  }
  for (const RespValue& item : value.items) WriteRespValue(item, writer);
}

}  // namespace raftkv::wire
