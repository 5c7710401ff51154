#include "cmd/sim/junit.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cmd/sim/sweep.h"
#include "nlohmann/json.hpp"

namespace raftkv::sim {
namespace {

// What is no UTF-8 is replaced by what the library puts there.
std::string ValidUtf8(absl::string_view bytes) {
  const nlohmann::json text = std::string(bytes);
  return nlohmann::json::parse(text.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                               nullptr, false)
      .get<std::string>();
}

std::string Attribute(absl::string_view name, absl::string_view value) {
  return absl::StrCat(" ", name, "=\"", EscapeXml(value), "\"");
}

std::string Seconds(uint64_t microseconds) {
  return absl::StrFormat("%d.%03d", microseconds / 1'000'000, microseconds / 1'000 % 1'000);
}

struct Totals {
  uint64_t tests = 0;
  uint64_t failures = 0;
  uint64_t errors = 0;
  uint64_t duration_us = 0;

  std::string Attributes() const {
    return absl::StrCat(Attribute("tests", absl::StrCat(tests)),
                        Attribute("failures", absl::StrCat(failures)),
                        Attribute("errors", absl::StrCat(errors)), Attribute("skipped", "0"),
                        Attribute("time", Seconds(duration_us)));
  }
};

std::string FormatSuite(const JUnitSuite& suite, const std::string& replay, Totals* all) {
  const std::string name = absl::StrCat("raftkv-sim.", suite.profile);
  RunCounters sum;
  Totals totals;
  uint64_t fine_us = 0;
  std::string failures;
  for (const SeedResult& seed : suite.results) {
    AddCounters(seed.counters, &sum);
    totals.duration_us += seed.duration_us;
    if (seed.violation.empty()) {
      fine_us += seed.duration_us;
      continue;
    }
    ++totals.failures;
    absl::StrAppend(&failures, "    <testcase", Attribute("classname", name),
                    Attribute("name", absl::StrCat("seed ", seed.seed)),
                    Attribute("time", Seconds(seed.duration_us)), ">\n      <failure",
                    Attribute("type", absl::StrCat(seed.violation_id, " ", seed.violation_name)),
                    Attribute("message", seed.violation), ">",
                    EscapeXml(absl::StrCat(seed.violation, "\n", seed.story, "replay: ", replay,
                                           " --profile ", suite.profile, " --seed ", seed.seed,
                                           seed.violation_id == "twice" ? " --twice" : "", "\n")),
                    "</failure>\n    </testcase>\n");
  }
  totals.tests = totals.failures + 1;
  totals.errors = suite.incomplete.empty() ? 0 : 1;

  std::string properties;
  const auto add = [&properties](absl::string_view key, absl::string_view value) {
    absl::StrAppend(&properties, "      <property", Attribute("name", key),
                    Attribute("value", value), "/>\n");
  };
  add("seeds", suite.seeds);
  add("seeds_run", absl::StrCat(suite.results.size()));
  for (const auto& [key, value] : suite.properties) add(key, value);
  for (const auto& [key, value] : NamedCounters(sum)) add(key, absl::StrCat(value));

  std::string fine =
      absl::StrCat("    <testcase", Attribute("classname", name),
                   Attribute("name", absl::StrCat("all other seeds of ", suite.seeds)),
                   Attribute("time", Seconds(fine_us)));
  absl::StrAppend(
      &fine, suite.incomplete.empty()
                 ? std::string("/>\n")
                 : absl::StrCat(">\n      <error", Attribute("type", "incomplete"),
                                Attribute("message", suite.incomplete), "/>\n    </testcase>\n"));
  all->tests += totals.tests;
  all->failures += totals.failures;
  all->errors += totals.errors;
  all->duration_us += totals.duration_us;
  return absl::StrCat("  <testsuite", Attribute("name", name), totals.Attributes(),
                      ">\n    <properties>\n", properties, "    </properties>\n", fine, failures,
                      "  </testsuite>\n");
}

}  // namespace

std::string EscapeXml(absl::string_view bytes) {
  const std::string text = ValidUtf8(bytes);
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == '&') {
      out += "&amp;";
    } else if (byte == '<') {
      out += "&lt;";
    } else if (byte == '>') {
      out += "&gt;";
    } else if (byte == '"') {
      out += "&quot;";
    } else if (byte == '\n' || byte == '\t' || byte == '\r') {
      absl::StrAppend(&out, "&#", int{byte},
                      ";");  // as it stands it would become a blank somewhere
    } else if (byte < 0x20) {
      out += "\xe2\x90";
      out += static_cast<char>(0x80 + byte);
    } else if (absl::StartsWith(absl::string_view(text).substr(i), "\xef\xbf\xbe") ||
               absl::StartsWith(absl::string_view(text).substr(i), "\xef\xbf\xbf")) {
      out += "\xef\xbf\xbd";  // no characters, says XML
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string FormatJUnit(const std::vector<JUnitSuite>& suites, const std::string& replay) {
  Totals all;
  std::string text;
  for (const JUnitSuite& suite : suites) text += FormatSuite(suite, replay, &all);
  return absl::StrCat("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites",
                      Attribute("name", "raftkv-sim"), all.Attributes(), ">\n", text,
                      "</testsuites>\n");
}

}  // namespace raftkv::sim
