#include "sim/decisions/decisions.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace raftkv::sim {

Decisions Decisions::Given(Answers answers) {
  Decisions decisions(Source::kGiven);
  decisions.answers_ = std::move(answers);
  return decisions;
}

std::string Decisions::Count(std::string what) {
  const uint64_t number = ++counts_[what];
  return absl::StrCat(what, " #", number);
}

uint64_t Decisions::DecideByName(absl::string_view name, absl::string_view aspect, uint64_t usual,
                                 absl::FunctionRef<uint64_t()> draw) {
  std::string key = absl::StrCat(name, ": ", aspect);
  if (source_ == Source::kGiven) {
    const auto at = answers_.find(key);
    return at == answers_.end() ? usual : at->second;
  }
  const uint64_t answer = draw();
  if (answer != usual) answers_.insert_or_assign(std::move(key), answer);
  return answer;
}

}  // namespace raftkv::sim
