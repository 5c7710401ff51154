#include "sim/decisions/decisions.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"

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

void Decisions::set_changed(std::vector<ChangedDecision> changed) {
  changed_ = std::move(changed);
  at_changed_ = 0;
  next_changed_ = changed_.empty() ? kNever : changed_.front().number;
}

void Decisions::Turn(uint64_t salt) {
  for (Random* random : owned_) *random = random->Split(absl::StrCat("turn ", salt));
}

// What may come out of a decision is told by what it is about.
uint64_t Decisions::Changed(absl::string_view aspect, uint64_t answer) {
  Random how(changed_[at_changed_].how);
  ++at_changed_;
  next_changed_ = at_changed_ < changed_.size() ? changed_[at_changed_].number : kNever;
  if (aspect == "takes" || aspect == "take" || aspect == "its double takes" || aspect == "after" ||
      aspect == "missed after" || aspect == "is sent again after" ||
      aspect == "is heard of after") {
    // From nothing to sixteen times as long.
    return answer * how.Below(64) / 4;
  }
  if (aspect == "luck" || aspect == "foreseen" || aspect == "behind operations")
    return how.Below(answer + 1);
  if (aspect == "to node" || aspect == "is split behind" || aspect == "breaks behind") {
    return how.Between(1, 7);
  }
  return answer == 0 ? 1 : 0;
}

uint64_t Decisions::DecideByName(absl::string_view name, absl::string_view aspect, uint64_t usual,
                                 bool changed, absl::FunctionRef<uint64_t()> draw) {
  if (source_ == Source::kDrawn) return changed ? Changed(aspect, draw()) : draw();
  std::string key = absl::StrCat(name, ": ", aspect);
  if (source_ == Source::kGiven) {
    const auto at = answers_.find(key);
    return at == answers_.end() ? usual : at->second;
  }
  RAFTKV_CHECK(decided_.insert(key).second);
  const uint64_t answer = changed ? Changed(aspect, draw()) : draw();
  if (answer != usual) answers_.insert_or_assign(std::move(key), answer);
  return answer;
}

}  // namespace raftkv::sim
