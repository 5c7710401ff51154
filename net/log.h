// The node's log: one line per event, on stderr, as key=value text or as JSON. Levels: trace,
// debug, info, warn, error, off.
//
//   ts=2024-05-01T10:00:00.123Z level=info event="role changed" role=leader term=3
//   {"ts":"2024-05-01T10:00:00.123Z","level":"info","event":"role
//   changed","role":"leader","term":3}
//
// Event texts are fixed: what varies is in the fields. Any thread may log.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace raftkv::net {

enum class LogLevel : uint8_t { kTrace, kDebug, kInfo, kWarn, kError, kOff };
enum class LogFormat : uint8_t { kText, kJson };

struct LogField {
  template <typename Number, std::enable_if_t<std::is_integral_v<Number>, int> = 0>
  LogField(absl::string_view k, Number number)
      : key(k), value(absl::StrCat(number)), is_number(true) {}
  LogField(absl::string_view k, absl::string_view text) : key(k), value(text), is_number(false) {}

  absl::string_view key;
  std::string value;
  bool is_number;
};

// Once, before the first line. Without it lines at info and above appear as text.
void StartLog(LogLevel level, LogFormat format);

void Log(LogLevel level, absl::string_view event, std::initializer_list<LogField> fields = {});

// The line without time and level, as StartLog's format writes it.
std::string FormatLogLine(LogFormat format, absl::string_view event,
                          absl::Span<const LogField> fields);

// For events that outsiders can cause at will: lets `burst` of them through in `period_ms`, then
// counts.
class LogLimiter {
 public:
  LogLimiter(uint32_t burst, uint64_t period_ms) : burst_(burst), period_ms_(period_ms) {}

  // Whether to write one more line at `now_ms` (any origin, never backwards). *suppressed is how
  // many were not written since the last one that was.
  bool Allow(uint64_t now_ms, uint64_t* suppressed);

 private:
  uint32_t burst_;
  uint64_t period_ms_;
  uint64_t period_start_ms_ = 0;
  uint32_t in_period_ = 0;
  uint64_t suppressed_ = 0;
};

}  // namespace raftkv::net
