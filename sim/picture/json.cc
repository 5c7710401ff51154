#include "sim/picture/json.h"

#include "absl/strings/str_cat.h"

namespace raftkv::sim {

void JsonWriter::Separate() {
  if (!first_) text_ += ',';
  first_ = false;
}

void JsonWriter::Open(char bracket) {
  Separate();
  text_ += bracket;
  first_ = true;
}

void JsonWriter::Close(char bracket) {
  text_ += bracket;
  first_ = false;
}

void JsonWriter::Key(absl::string_view key) {
  Separate();
  Quote(key);
  text_ += ':';
  first_ = true;
}

void JsonWriter::Number(int64_t number) {
  Separate();
  absl::StrAppend(&text_, number);
}

void JsonWriter::Unsigned(uint64_t number) {
  Separate();
  absl::StrAppend(&text_, number);
}

void JsonWriter::String(absl::string_view text) {
  Separate();
  Quote(text);
}

void JsonWriter::Bool(bool value) {
  Separate();
  text_ += value ? "true" : "false";
}

void JsonWriter::Null() {
  Separate();
  text_ += "null";
}

void JsonWriter::Quote(absl::string_view text) {
  text_ += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x20 && byte < 0x7f;
    if (c == '"' || c == '\\') {
      text_ += '\\';
      text_ += c;
    } else if (plain && c != '<' && c != '>' && c != '&') {
      text_ += c;
    } else {
      constexpr char kHex[] = "0123456789abcdef";
      absl::StrAppend(&text_, "\\u00");
      text_ += kHex[byte >> 4];
      text_ += kHex[byte & 15];
    }
  }
  text_ += '"';
}

}  // namespace raftkv::sim
