// Writes compact JSON, a value at a time.
//
// The text is ASCII and can stand inside a <script> element: `<`, `>` and `&` are escaped, and each
// byte above 126 becomes the code point of that number, so that any bytes give valid JSON.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace raftkv::sim {

class JsonWriter {
 public:
  void BeginArray() { Open('['); }
  void EndArray() { Close(']'); }
  void BeginObject() { Open('{'); }
  void EndObject() { Close('}'); }
  void Key(absl::string_view key);  // in an object, before each value
  void Number(int64_t number);
  void Unsigned(uint64_t number);
  void String(absl::string_view text);
  void Bool(bool value);
  void Null();

  const std::string& text() const { return text_; }
  std::string Take() { return std::move(text_); }

 private:
  void Separate();
  void Open(char bracket);
  void Close(char bracket);
  void Quote(absl::string_view text);

  std::string text_;
  bool first_ = true;  // in the innermost array or object
};

}  // namespace raftkv::sim
