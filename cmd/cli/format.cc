#include "cmd/cli/format.h"

#include "absl/strings/str_cat.h"

namespace raftkv::cli {
namespace {

using wire::RespValue;

std::string DoubleText(const RespValue& value) {
  std::string text;
  wire::RespWriter(&text, wire::RespVersion::k3).Double(value.number);
  return text.substr(1, text.size() - 3);  // ",1.5\r\n"
}

char Marker(RespValue::Type type) {
  switch (type) {
    case RespValue::Type::kMap:
      return '#';
    case RespValue::Type::kSet:
      return '~';
    case RespValue::Type::kPush:
      return '>';
    default:
      return ')';
  }
}

absl::string_view EmptyName(RespValue::Type type) {
  switch (type) {
    case RespValue::Type::kMap:
      return "(empty hash)\n";
    case RespValue::Type::kSet:
      return "(empty set)\n";
    case RespValue::Type::kPush:
      return "(empty push)\n";
    default:
      return "(empty array)\n";
  }
}

void Typed(const RespValue& value, const std::string& indent, bool colours, std::string* out);

// 1) "a"
// 2) 1) "nested"
void TypedElements(const RespValue& value, const std::string& indent, bool colours,
                   std::string* out) {
  if (value.items.empty()) {
    absl::StrAppend(out, EmptyName(value.type));
    return;
  }
  const size_t step = value.type == RespValue::Type::kMap ? 2 : 1;
  const size_t width = absl::StrCat(value.items.size() / step).size();
  const std::string deeper = indent + std::string(width + 2, ' ');
  for (size_t i = 0; i < value.items.size(); i += step) {
    const std::string number = absl::StrCat(i / step + 1);
    if (i > 0) absl::StrAppend(out, indent);
    absl::StrAppend(out, std::string(width - number.size(), ' '), number,
                    std::string(1, Marker(value.type)), " ");
    if (step == 1) {
      Typed(value.items[i], deeper, colours, out);
      continue;
    }
    Typed(value.items[i], deeper, colours, out);
    out->pop_back();  // its newline
    absl::StrAppend(out, " => ");
    Typed(value.items[i + 1], deeper, colours, out);
  }
}

void Typed(const RespValue& value, const std::string& indent, bool colours, std::string* out) {
  switch (value.type) {
    case RespValue::Type::kNull:
      absl::StrAppend(out, "(nil)\n");
      return;
    case RespValue::Type::kSimple:
    case RespValue::Type::kVerbatim:
      absl::StrAppend(out, value.text, "\n");
      return;
    case RespValue::Type::kError:
      absl::StrAppend(out, colours ? "\x1b[31m" : "", "(error) ", value.text,
                      colours ? "\x1b[0m" : "", "\n");
      return;
    case RespValue::Type::kInteger:
      absl::StrAppend(out, "(integer) ", value.integer, "\n");
      return;
    case RespValue::Type::kBulk:
      absl::StrAppend(out, Quote(value.text), "\n");
      return;
    case RespValue::Type::kBool:
      absl::StrAppend(out, value.integer != 0 ? "(true)\n" : "(false)\n");
      return;
    case RespValue::Type::kDouble:
      absl::StrAppend(out, "(double) ", DoubleText(value), "\n");
      return;
    case RespValue::Type::kBigNumber:
      absl::StrAppend(out, value.text, "\n");
      return;
    case RespValue::Type::kArray:
    case RespValue::Type::kMap:
    case RespValue::Type::kSet:
    case RespValue::Type::kPush:
      TypedElements(value, indent, colours, out);
      return;
  }
}

void Raw(const RespValue& value, std::string* out) {
  switch (value.type) {
    case RespValue::Type::kNull:
      return;
    case RespValue::Type::kSimple:
    case RespValue::Type::kError:
    case RespValue::Type::kBulk:
    case RespValue::Type::kVerbatim:
    case RespValue::Type::kBigNumber:
      absl::StrAppend(out, value.text);
      return;
    case RespValue::Type::kInteger:
      absl::StrAppend(out, value.integer);
      return;
    case RespValue::Type::kBool:
      absl::StrAppend(out, value.integer != 0 ? "true" : "false");
      return;
    case RespValue::Type::kDouble:
      absl::StrAppend(out, DoubleText(value));
      return;
    case RespValue::Type::kArray:
    case RespValue::Type::kMap:
    case RespValue::Type::kSet:
    case RespValue::Type::kPush:
      for (size_t i = 0; i < value.items.size(); ++i) {
        if (i > 0) absl::StrAppend(out, "\n");
        Raw(value.items[i], out);
      }
      return;
  }
}

}  // namespace

std::string FormatTyped(const RespValue& value, bool colours) {
  std::string out;
  Typed(value, "", colours, &out);
  return out;
}

std::string FormatRaw(const RespValue& value) {
  std::string out;
  Raw(value, &out);
  out.push_back('\n');
  return out;
}

std::string Quote(absl::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : bytes) {
    switch (c) {
      case '\\':
      case '"':
        out.push_back('\\');
        out.push_back(c);
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\a':
        out += "\\a";
        break;
      case '\b':
        out += "\\b";
        break;
      default:
        if (c >= ' ' && c <= '~') {
          out.push_back(c);
        } else {
          const auto byte = static_cast<unsigned char>(c);
          out += "\\x";
          out.push_back(kDigits[byte >> 4]);
          out.push_back(kDigits[byte & 15]);
        }
    }
  }
  out.push_back('"');
  return out;
}

}  // namespace raftkv::cli
