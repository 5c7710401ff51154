// Histories of other systems, whose verdicts are known. They are not part of this repository: the
// environment variable RAFTKV_SHARED names the folder with data/histories. Without it the program
// ends with the exit code that ctest takes for "skipped".
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <string>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "sim/check/check_command.h"

namespace raftkv::sim {
namespace {

constexpr int kSkipped = 77;

std::string Folder() { return std::string(std::getenv("RAFTKV_SHARED")) + "/data/histories/"; }

std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// By file name.
std::map<std::string, Verdict> ExpectedVerdicts() {
  std::map<std::string, Verdict> verdicts;
  const std::optional<std::string> table = ReadFile(Folder() + "VERDICTS.tsv");
  EXPECT_TRUE(table.has_value()) << "no VERDICTS.tsv in " << Folder();
  for (const absl::string_view line : absl::StrSplit(table.value_or(""), '\n')) {
    const std::pair<std::string, std::string> fields = absl::StrSplit(line, '\t');
    if (fields.second == "true") verdicts[fields.first] = Verdict::kLinearizable;
    if (fields.second == "false") verdicts[fields.first] = Verdict::kNotLinearizable;
  }
  return verdicts;
}

TEST(HistoriesTest, EveryVerdictIsTheKnownOne) {
  const std::map<std::string, Verdict> verdicts = ExpectedVerdicts();
  EXPECT_GE(verdicts.size(), 100u);
  for (const auto& [file, verdict] : verdicts) {
    const std::optional<std::string> text = ReadFile(Folder() + file);
    ASSERT_TRUE(text.has_value()) << file;
    const absl::StatusOr<CheckReport> report = CheckHistoryText(file, *text);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->verdict, verdict) << FormatReport(*report, false);
    EXPECT_EQ(report->problems.empty(), verdict == Verdict::kLinearizable) << file;
  }
}

}  // namespace
}  // namespace raftkv::sim

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (std::getenv("RAFTKV_SHARED") == nullptr) {
    std::cout << "RAFTKV_SHARED is not set: skipped\n";
    return raftkv::sim::kSkipped;
  }
  return RUN_ALL_TESTS();
}
