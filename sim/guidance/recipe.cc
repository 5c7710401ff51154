#include "sim/guidance/recipe.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "sim/cues/cue.h"
#include "sim/guidance/knobs.h"
#include "sim/nemesis/fault_text.h"
#include "sim/scenario/fields.h"

namespace raftkv::sim {
namespace {

constexpr absl::string_view kFirstLine = "raftkv recipe 1";

// True, and the rest of the line in `rest`, when it begins with the word.
bool Consume(absl::string_view line, absl::string_view word, absl::string_view* rest) {
  if (!absl::ConsumePrefix(&line, word) || !absl::ConsumePrefix(&line, " ")) return false;
  *rest = line;
  return true;
}

class Parser {
 public:
  // An empty text: what is wrong with the line otherwise.
  std::string Parse(absl::string_view line) {
    absl::string_view rest;
    if (Consume(line, "seed", &rest)) {
      return absl::SimpleAtoi(rest, &recipe.seed) ? "" : "no seed";
    }
    if (Consume(line, "profile", &rest)) return ParseProfile(rest);
    if (line == "without attacks") {
      recipe.attacks = false;
      return "";
    }
    if (Consume(line, "set", &rest)) return ParseKnob(rest);
    if (Consume(line, "turn", &rest)) return ParseTurn(rest);
    if (Consume(line, "change", &rest)) return ParseChange(rest);
    if (line == "faults only") {
      recipe.faults.emplace();
      return "";
    }
    if (Consume(line, "faults until", &rest)) {
      recipe.faults.emplace();
      return ParseMoment(rest, &recipe.draws_from.emplace());
    }
    if (Consume(line, "at", &rest)) return ParseAt(rest);
    return "no line of a recipe";
  }

  Recipe recipe;

 private:
  static std::string ParseMoment(absl::string_view text, Time* time) {
    const absl::StatusOr<Time> parsed = ParseTime(text);
    if (!parsed.ok()) return std::string(parsed.status().message());
    *time = *parsed;
    return "";
  }

  std::string ParseProfile(absl::string_view name) {
    for (const ProfileInfo& info : AllProfiles()) {
      if (info.name != name) continue;
      recipe.profile = info.profile;
      return "";
    }
    return "no profile";
  }

  std::string ParseKnob(absl::string_view rest) {
    const std::vector<absl::string_view> words = absl::StrSplit(rest, ' ');
    uint64_t value = 0;
    const Knob* knob = FindKnob(words[0]);
    if (knob == nullptr) return absl::StrCat("'", words[0], "' is not to be set");
    if (words.size() != 2 || !absl::SimpleAtoi(words[1], &value) || value < knob->least ||
        value > knob->most) {
      return absl::StrCat("not a number from ", knob->least, " to ", knob->most);
    }
    recipe.knobs[knob->name] = value;
    return "";
  }

  std::string ParseTurn(absl::string_view rest) {
    const std::vector<absl::string_view> words = absl::StrSplit(rest, ' ');
    ChanceTurn turn;
    if (words.size() != 2 || !absl::SimpleAtoi(words[1], &turn.salt)) return "no time and number";
    if (std::string wrong = ParseMoment(words[0], &turn.at); !wrong.empty()) return wrong;
    if (!recipe.turns.empty() && recipe.turns.back().at > turn.at) {
      return "earlier than the turn before it";
    }
    recipe.turns.push_back(turn);
    return "";
  }

  std::string ParseChange(absl::string_view rest) {
    const std::vector<absl::string_view> words = absl::StrSplit(rest, ' ');
    ChangedDecision change;
    if (words.size() != 2 || !absl::SimpleAtoi(words[0], &change.number) ||
        !absl::SimpleAtoi(words[1], &change.how)) {
      return "not two numbers";
    }
    if (!recipe.changed.empty() && recipe.changed.back().number >= change.number) {
      return "not behind the decision before it";
    }
    recipe.changed.push_back(change);
    return "";
  }

  std::string ParseAt(absl::string_view rest) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(rest, absl::MaxSplits(": ", 1));
    CuedFault fault;
    if (std::string wrong = ParseMoment(parts.first, &fault.cue.at); !wrong.empty()) return wrong;
    const absl::StatusOr<FaultCommand> command = ParseFault(parts.second);
    if (!command.ok()) return std::string(command.status().message());
    fault.command = *command;
    if (!recipe.faults.has_value()) return "'faults only' or 'faults until' is missing above it";
    if (!recipe.faults->empty() && recipe.faults->back().cue.at > fault.cue.at) {
      return "earlier than the fault before it";
    }
    recipe.faults->push_back(std::move(fault));
    return "";
  }
};

}  // namespace

RunSettings SettingsOf(const Recipe& recipe) {
  RunSettings run = DrawSettings(recipe.seed, recipe.profile);
  if (!recipe.attacks) LeaveOutAttacks(&run);
  for (const auto& [name, value] : recipe.knobs) {
    const Knob* knob = FindKnob(name);
    if (knob == nullptr) continue;
    RunSettings changed = run;
    knob->set(value, &changed);
    if (ValidateSettings(changed).ok()) run = std::move(changed);
  }
  run.turns = recipe.turns;
  run.changed = recipe.changed;
  if (recipe.faults.has_value()) {
    run.nemesis.script = recipe.faults;
    run.nemesis.draws_from = recipe.draws_from;
  }
  return run;
}

std::string FormatRecipe(const Recipe& recipe) {
  std::string text =
      absl::StrCat(kFirstLine, "\nseed ", recipe.seed, "\nprofile ", Name(recipe.profile), "\n");
  if (!recipe.attacks) absl::StrAppend(&text, "without attacks\n");
  for (const auto& [name, value] : recipe.knobs) {
    absl::StrAppend(&text, "set ", name, " ", value, "\n");
  }
  for (const ChanceTurn& turn : recipe.turns) {
    absl::StrAppend(&text, "turn ", FormatTime(turn.at), " ", turn.salt, "\n");
  }
  for (const ChangedDecision& change : recipe.changed) {
    absl::StrAppend(&text, "change ", change.number, " ", change.how, "\n");
  }
  if (!recipe.faults.has_value()) return text;
  if (recipe.draws_from.has_value()) {
    absl::StrAppend(&text, "faults until ", FormatTime(*recipe.draws_from), "\n");
  } else {
    absl::StrAppend(&text, "faults only\n");
  }
  for (const CuedFault& fault : *recipe.faults) {
    absl::StrAppend(&text, "at ", FormatTime(fault.cue.at), ": ", FormatFault(fault.command), "\n");
  }
  return text;
}

absl::StatusOr<Recipe> ParseRecipe(absl::string_view name, absl::string_view text) {
  Parser parser;
  size_t number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    std::string wrong;
    if (number == 1) {
      if (line != kFirstLine) wrong = absl::StrCat("the first line is not '", kFirstLine, "'");
    } else if (!line.empty()) {
      wrong = parser.Parse(line);
    }
    if (!wrong.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ":", number, ": ", wrong));
    }
  }
  return std::move(parser.recipe);
}

}  // namespace raftkv::sim
