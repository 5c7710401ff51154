#include "sim/check/formats.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "sim/check/jepsen_format.h"
#include "sim/check/text_format.h"

namespace raftkv::sim {
namespace {

HistoryFormat Detect(absl::string_view text) {
  const absl::string_view rest = absl::StripLeadingAsciiWhitespace(text);
  if (absl::StartsWith(rest, kHistoryTextMark)) return HistoryFormat::kRaftkv;
  // A log line begins with a level, a date or a process; an EDN text with a collection, a comment
  // or a tag.
  const bool edn =
      !rest.empty() && absl::string_view("[({;#^,").find(rest[0]) != absl::string_view::npos;
  return edn ? HistoryFormat::kEdn : HistoryFormat::kJepsenLog;
}

absl::StatusOr<History> Read(HistoryFormat format, absl::string_view name, absl::string_view text) {
  switch (format) {
    case HistoryFormat::kRaftkv:
      return ReadHistoryText(name, text);
    case HistoryFormat::kJepsenLog:
      return ReadJepsenLog(name, text);
    case HistoryFormat::kEdn:
      return ReadEdnHistory(name, text);
  }
  return absl::InternalError("no such format");
}

}  // namespace

absl::string_view Name(HistoryFormat format) {
  switch (format) {
    case HistoryFormat::kRaftkv:
      return "raftkv history";
    case HistoryFormat::kJepsenLog:
      return "jepsen log";
    case HistoryFormat::kEdn:
      return "EDN";
  }
  return "";
}

absl::StatusOr<ParsedHistory> ParseHistory(absl::string_view name, absl::string_view text) {
  if (text.size() > kMaxHistoryBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ":1: ", text.size(), " bytes, the limit is ", kMaxHistoryBytes));
  }
  const HistoryFormat format = Detect(text);
  absl::StatusOr<History> history = Read(format, name, text);
  if (!history.ok()) return history.status();
  return ParsedHistory{format, *std::move(history)};
}

}  // namespace raftkv::sim
