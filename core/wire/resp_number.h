// Decimal numbers in RESP headers.
#pragma once

#include <cstdint>
#include <limits>

#include "absl/strings/string_view.h"

namespace raftkv::wire {

// The one way to write an int64 in decimal: no spaces, no plus sign, no leading zeros, no "-0".
// False for anything else.
inline bool ParseDecimal(absl::string_view text, int64_t* value) {
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) text.remove_prefix(1);
  if (text.empty() || text.size() > 19) return false;
  if (text[0] == '0' && (text.size() > 1 || negative)) return false;
  uint64_t magnitude = 0;  // 19 digits fit
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    magnitude = magnitude * 10 + static_cast<uint64_t>(c - '0');
  }
  const uint64_t largest = uint64_t{std::numeric_limits<int64_t>::max()} + (negative ? 1 : 0);
  if (magnitude > largest) return false;
  *value = static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
  return true;
}

}  // namespace raftkv::wire
