// Results of seeds as JUnit XML, which continuous integration systems read and show.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "cmd/sim/seed_result.h"

namespace raftkv::sim {

// One profile. A report must stay small whatever the number of seeds: those without a violation are
// one test case together, with what they counted as properties of the suite; each of the others is
// one of its own.
struct JUnitSuite {
  std::string profile;
  std::string seeds;                                            // "1..5000", or in whatever words
  std::vector<SeedResult> results;                              // ascending
  std::vector<std::pair<std::string, std::string>> properties;  // beside those of the counters
  std::string incomplete;  // why this is not everything that was asked for; empty when it is
};

// `replay` is the command up to the profile's name: "raftkv-sim run".
std::string FormatJUnit(const std::vector<JUnitSuite>& suites, const std::string& replay);

// For text and attributes of XML 1.0, which has no way to write most control characters: they
// become their pictures (U+2400 and on), and what is no UTF-8 becomes U+FFFD.
std::string EscapeXml(absl::string_view text);

}  // namespace raftkv::sim
