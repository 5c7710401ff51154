#include "sim/cues/cue.h"

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace raftkv::sim {
namespace {

struct Form {
  Situation::Kind kind;
  absl::string_view verb;
  absl::string_view noun;  // in front of the number
  enum class Number : uint8_t { kNone, kMay, kMust } number;
};

constexpr Form kForms[] = {
    {Situation::Kind::kLeads, "leads", "term", Form::Number::kMay},
    {Situation::Kind::kCampaigns, "campaigns", "term", Form::Number::kMay},
    {Situation::Kind::kInTerm, "in", "term", Form::Number::kMust},
    {Situation::Kind::kHas, "has", "", Form::Number::kMust},
    {Situation::Kind::kCommits, "commits", "", Form::Number::kMust},
    {Situation::Kind::kApplies, "applies", "", Form::Number::kMust},
    {Situation::Kind::kDown, "down", "", Form::Number::kNone},
    {Situation::Kind::kUp, "up", "", Form::Number::kNone},
};

}  // namespace

std::string FormatSituation(const Situation& situation) {
  const Form& form = kForms[static_cast<size_t>(situation.kind)];
  std::string text = absl::StrCat(situation.node, " ", form.verb);
  if (form.number == Form::Number::kNone || situation.number == 0) return text;
  absl::StrAppend(&text, form.noun.empty() ? "" : " ", form.noun, " ", situation.number);
  return text;
}

absl::StatusOr<Situation> ParseSituation(absl::string_view text) {
  const auto wrong = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "': ", why));
  };
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ', absl::SkipEmpty());
  Situation situation;
  if (words.size() < 2 || !absl::SimpleAtoi(words[0], &situation.node) || situation.node == 0) {
    return wrong("a condition begins with a node and what it does, as '2 leads term 3'");
  }
  for (const Form& form : kForms) {
    if (words[1] != form.verb) continue;
    situation.kind = form.kind;
    size_t at = 2;
    if (at < words.size() && !form.noun.empty() && words[at] == form.noun) ++at;
    if (at == words.size()) {
      if (form.number == Form::Number::kMust || at > 2) return wrong("the number is missing");
      return situation;
    }
    const bool number = form.number != Form::Number::kNone && at + 1 == words.size() &&
                        (form.noun.empty() || at == 3) &&
                        absl::SimpleAtoi(words[at], &situation.number) && situation.number > 0;
    if (!number) return wrong(absl::StrCat("what stands behind '", form.verb, "' is not known"));
    return situation;
  }
  return wrong(absl::StrCat("nodes do not '", words[1], "'"));
}

std::string FormatTime(Time time) {
  if (time >= kSecond && time % kMillisecond == 0) {
    std::string text = absl::StrFormat("%d.%03d", time / kSecond, time % kSecond / kMillisecond);
    while (text.back() == '0') text.pop_back();
    if (text.back() == '.') text.pop_back();
    return absl::StrCat(text, "s");
  }
  if (time % kMillisecond == 0) return absl::StrCat(time / kMillisecond, "ms");
  return absl::StrCat(time, "us");
}

absl::StatusOr<Time> ParseTime(absl::string_view text) {
  const auto wrong = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no time; times look like 250us, 3ms and 1.2s"));
  };
  absl::string_view digits = text;
  Time unit = 0;
  if (absl::ConsumeSuffix(&digits, "us")) {
    unit = 1;
  } else if (absl::ConsumeSuffix(&digits, "ms")) {
    unit = kMillisecond;
  } else if (absl::ConsumeSuffix(&digits, "s")) {
    unit = kSecond;
  } else {
    return wrong();
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(digits, '.');
  const auto is_number = [](absl::string_view part) {
    if (part.empty() || part.size() > 12) return false;
    for (const char c : part) {
      if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return false;
    }
    return true;
  };
  if (parts.size() > 2 || !is_number(parts[0])) return wrong();
  uint64_t whole = 0;
  (void)absl::SimpleAtoi(parts[0], &whole);
  if (whole > UINT64_C(1'000'000'000'000)) return wrong();
  Time time = whole * unit;
  if (parts.size() == 1) return time;
  if (!is_number(parts[1])) return wrong();
  // Down to the microsecond, and nothing that would be rounded.
  Time weight = unit;
  for (const char c : parts[1]) {
    if (weight % 10 != 0) return wrong();
    weight /= 10;
    time += static_cast<Time>(c - '0') * weight;
  }
  return time;
}

}  // namespace raftkv::sim
