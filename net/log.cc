#include "net/log.h"

#include <memory>
#include <utility>

#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace raftkv::net {
namespace {

LogFormat format_in_use = LogFormat::kText;

spdlog::level::level_enum Translate(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return spdlog::level::trace;
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      break;
  }
  return spdlog::level::off;
}

const char* Pattern(LogFormat format) {
  // Times are UTC (the formatter is told so), hence the Z.
  return format == LogFormat::kText ? "ts=%Y-%m-%dT%H:%M:%S.%eZ level=%l %v"
                                    : R"({"ts":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})";
}

std::shared_ptr<spdlog::logger> MakeLogger(LogFormat format) {
  auto logger =
      std::make_shared<spdlog::logger>("raftkv", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_formatter(
      std::make_unique<spdlog::pattern_formatter>(Pattern(format), spdlog::pattern_time_type::utc));
  logger->flush_on(spdlog::level::trace);
  return logger;
}

std::shared_ptr<spdlog::logger>& Logger() {
  static auto* logger = new std::shared_ptr<spdlog::logger>(MakeLogger(LogFormat::kText));
  return *logger;
}

bool IsPlain(unsigned char c) { return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\'; }

// Between quotes in both formats; whatever the bytes, the line stays one line of ASCII.
std::string Escape(absl::string_view text) {
  std::string out;
  for (const char byte : text) {
    const auto c = static_cast<unsigned char>(byte);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += byte;
    } else if (c < ' ' || c >= 0x7f) {
      absl::StrAppend(&out, "\\u", absl::Hex(c, absl::kZeroPad4));
    } else {
      out += byte;
    }
  }
  return out;
}

void AppendText(absl::string_view key, absl::string_view value, std::string* out) {
  if (!out->empty()) *out += ' ';
  absl::StrAppend(out, key, "=");
  bool plain = !value.empty();
  for (const char c : value) plain = plain && IsPlain(static_cast<unsigned char>(c));
  if (plain) {
    absl::StrAppend(out, value);
  } else {
    absl::StrAppend(out, "\"", Escape(value), "\"");
  }
}

void AppendJson(absl::string_view key, absl::string_view value, bool is_number, std::string* out) {
  if (!out->empty()) *out += ',';
  const char* quote = is_number ? "" : "\"";
  absl::StrAppend(out, "\"", key, "\":", quote, Escape(value), quote);
}

}  // namespace

void StartLog(LogLevel level, LogFormat format) {
  format_in_use = format;
  Logger() = MakeLogger(format);
  Logger()->set_level(Translate(level));
}

std::string FormatLogLine(LogFormat format, absl::string_view event,
                          absl::Span<const LogField> fields) {
  std::string line;
  if (format == LogFormat::kText) {
    AppendText("event", event, &line);
    for (const LogField& field : fields) AppendText(field.key, field.value, &line);
  } else {
    AppendJson("event", event, false, &line);
    for (const LogField& field : fields) AppendJson(field.key, field.value, field.is_number, &line);
  }
  return line;
}

void Log(LogLevel level, absl::string_view event, std::initializer_list<LogField> fields) {
  if (!Logger()->should_log(Translate(level))) return;
  const std::string line = FormatLogLine(format_in_use, event,
                                         absl::Span<const LogField>(fields.begin(), fields.size()));
  Logger()->log(Translate(level), spdlog::string_view_t(line.data(), line.size()));
}

bool LogLimiter::Allow(uint64_t now_ms, uint64_t* suppressed) {
  if (now_ms - period_start_ms_ >= period_ms_) {
    period_start_ms_ = now_ms;
    in_period_ = 0;
  }
  if (in_period_ >= burst_) {
    ++suppressed_;
    return false;
  }
  ++in_period_;
  *suppressed = std::exchange(suppressed_, 0);
  return true;
}

}  // namespace raftkv::net
