#include "sim/scenario/scenario.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "sim/clients/operation.h"
#include "sim/nemesis/fault_text.h"
#include "sim/scenario/fields.h"

namespace raftkv::sim {
namespace {

constexpr absl::string_view kFirstLine = "raftkv scenario 1";

// What is counted in microseconds.
bool IsTime(absl::string_view aspect) {
  return aspect == "takes" || aspect == "take" || aspect == "its double takes" ||
         aspect == "after" || aspect == "missed after" || aspect == "is sent again after" ||
         aspect == "is heard of after";
}

std::string FormatCue(const Cue& cue) {
  if (!cue.when.has_value()) return absl::StrCat("at ", FormatTime(cue.at));
  std::string text = absl::StrCat("when ", FormatSituation(*cue.when));
  if (cue.at > 0) absl::StrAppend(&text, " + ", FormatTime(cue.at));
  return text;
}

std::string ClientName(const ClientSettings& client) {
  return absl::StrCat(client.in_session ? "s" : "c", client.number);
}

std::string FormatGroup(const AskedGroup& group) {
  return absl::StrJoin(group.operations, " | ", [](std::string* out, const auto& words) {
    absl::StrAppend(out, absl::StrJoin(words, " "));
  });
}

std::string FormatClient(const ClientSettings& client) {
  const ClientSettings usual;
  std::string text = absl::StrCat("client ", client.number);
  if (client.in_session) absl::StrAppend(&text, " session");
  if (client.patience != usual.patience) {
    absl::StrAppend(&text, " patience ", FormatTime(client.patience));
  }
  if (Usual(client.before_retry) > 0) {
    absl::StrAppend(&text, " retry ", FormatTime(Usual(client.before_retry)));
  }
  if (client.tries != usual.tries) absl::StrAppend(&text, " tries ", client.tries);
  return text;
}

// Sorted by when it happens, as far as that is known.
struct Line {
  Cue cue;
  std::string text;
};

class Parser {
 public:
  Parser(absl::string_view name, absl::string_view text) : name_(name), text_(text) {
    scenario_.settings = PlainSettings();
  }

  absl::StatusOr<Scenario> Parse() {
    bool first = true;
    for (absl::string_view line : absl::StrSplit(text_, '\n')) {
      ++number_;
      line = absl::StripAsciiWhitespace(line);
      if (first && line != kFirstLine) return Wrong("the first line is not '", kFirstLine, "'");
      if (first) {
        first = false;
        continue;
      }
      if (line.empty()) continue;
      if (absl::ConsumePrefix(&line, "#")) {
        scenario_.story.emplace_back(absl::StripAsciiWhitespace(line));
        continue;
      }
      if (absl::Status status = ParseLine(line); !status.ok()) return status;
    }
    const absl::Status status = ValidateSettings(scenario_.settings);
    if (!status.ok())
      return absl::InvalidArgumentError(absl::StrCat(name_, ": ", status.message()));
    return std::move(scenario_);
  }

 private:
  template <typename... Pieces>
  absl::Status Wrong(const Pieces&... pieces) const {
    return absl::InvalidArgumentError(absl::StrCat(name_, ":", number_, ": ", pieces...));
  }

  absl::Status ParseLine(absl::string_view line) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    const absl::string_view rest = absl::StripAsciiWhitespace(parts.second);
    if (parts.first == "seed" || parts.first == "expect") {
      if (!once_.insert(parts.first).second) return Wrong("'", parts.first, "' stands there twice");
    }
    if (parts.first == "seed") {
      if (!absl::SimpleAtoi(rest, &scenario_.settings.seed))
        return Wrong("'", rest, "' is no seed");
      return absl::OkStatus();
    }
    if (parts.first == "set") return ParseSetting(rest);
    if (parts.first == "client") return ParseClient(rest);
    if (parts.first == "at" || parts.first == "when") return ParseCued(parts.first, rest);
    if (parts.first == "reach") {
      const absl::StatusOr<Situation> situation = ParseSituation(rest);
      if (!situation.ok()) return Wrong(situation.status().message());
      scenario_.settings.reach.push_back(*situation);
      return absl::OkStatus();
    }
    if (parts.first == "expect") return ParseExpectation(rest);
    return ParseAnswer(line);
  }

  absl::Status ParseSetting(absl::string_view rest) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(rest, absl::MaxSplits(' ', 1));
    const absl::Status status =
        SetField(parts.first, absl::StripAsciiWhitespace(parts.second), &scenario_.settings);
    if (!status.ok()) return Wrong("set ", parts.first, ": ", status.message());
    if (!once_.insert(parts.first).second) return Wrong("'", parts.first, "' is set already");
    return absl::OkStatus();
  }

  absl::Status ParseClient(absl::string_view rest) {
    const std::vector<absl::string_view> words = absl::StrSplit(rest, ' ', absl::SkipEmpty());
    ClientSettings client;
    client.script.emplace();
    if (words.empty() || !absl::SimpleAtoi(words[0], &client.number) || client.number == 0) {
      return Wrong("a client has a number, from 1");
    }
    for (size_t at = 1; at < words.size(); ++at) {
      if (words[at] == "session") {
        client.in_session = true;
        continue;
      }
      const absl::string_view key = words[at];
      if (++at == words.size()) return Wrong("nothing stands behind '", key, "'");
      if (key == "tries") {
        if (!absl::SimpleAtoi(words[at], &client.tries)) {
          return Wrong("'", words[at], "' is no number of tries");
        }
        continue;
      }
      if (key != "patience" && key != "retry") return Wrong("a client has no '", key, "'");
      const absl::StatusOr<Time> time = ParseTime(words[at]);
      if (!time.ok()) return Wrong(time.status().message());
      if (key == "patience") {
        client.patience = *time;
      } else {
        client.before_retry.least = *time;
      }
    }
    for (const ClientSettings& other : scenario_.settings.clients) {
      if (other.number == client.number)
        return Wrong("there is a client ", other.number, " already");
    }
    scenario_.settings.clients.push_back(std::move(client));
    return absl::OkStatus();
  }

  absl::Status ParseCued(absl::string_view how, absl::string_view rest) {
    std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(rest, absl::MaxSplits(':', 1));
    if (parts.second.empty()) return Wrong("a ':' and what is to happen are missing");
    Cue cue;
    absl::string_view time = parts.first;
    if (how == "when") {
      const std::pair<absl::string_view, absl::string_view> pieces =
          absl::StrSplit(parts.first, absl::MaxSplits('+', 1));
      const absl::StatusOr<Situation> situation =
          ParseSituation(absl::StripAsciiWhitespace(pieces.first));
      if (!situation.ok()) return Wrong(situation.status().message());
      cue.when = *situation;
      time = pieces.second;
      if (!absl::StrContains(parts.first, "+")) time = "0us";
    }
    const absl::StatusOr<Time> at = ParseTime(absl::StripAsciiWhitespace(time));
    if (!at.ok()) return Wrong(at.status().message());
    cue.at = *at;
    absl::string_view what = absl::StripAsciiWhitespace(parts.second);
    for (ClientSettings& client : scenario_.settings.clients) {
      if (absl::ConsumePrefix(&what, absl::StrCat(ClientName(client), ": "))) {
        return ParseGroup(cue, what, &client);
      }
    }
    const absl::StatusOr<FaultCommand> fault = ParseFault(what);
    if (!fault.ok()) return Wrong(fault.status().message());
    return AddInOrder({cue, *fault}, &*scenario_.settings.nemesis.script);
  }

  absl::Status ParseGroup(const Cue& cue, absl::string_view text, ClientSettings* client) {
    AskedGroup group;
    group.cue = cue;
    for (const absl::string_view operation : absl::StrSplit(text, '|')) {
      std::vector<std::string> words = absl::StrSplit(operation, ' ', absl::SkipEmpty());
      const bool counts = words.size() > 1 && words[1] == kSessionCounter;
      if (counts && (!client->in_session || words[0] != "INCR")) {
        return Wrong("'", kSessionCounter, "' is for INCR in a session");
      }
      const absl::StatusOr<PlannedOperation> plan = PlanOperation(words);
      if (!plan.ok()) return Wrong(plan.status().message());
      group.operations.push_back(std::move(words));
    }
    return AddInOrder(std::move(group), &*client->script);
  }

  // Nobody goes back in time: of what has times the later stands behind the earlier.
  template <typename Cued>
  absl::Status AddInOrder(Cued cued, std::vector<Cued>* script) {
    if (!cued.cue.when.has_value()) {
      for (const Cued& other : *script) {
        if (!other.cue.when.has_value() && other.cue.at > cued.cue.at) {
          return Wrong("this is earlier than a line above it, ", FormatTime(other.cue.at));
        }
      }
    }
    script->push_back(std::move(cued));
    return absl::OkStatus();
  }

  absl::Status ParseExpectation(absl::string_view rest) {
    if (rest == "nothing") return absl::OkStatus();
    for (const OracleInfo& info : AllOracles()) {
      if (rest != absl::StrCat(info.id, " ", info.name)) continue;
      scenario_.expect = info.oracle;
      return absl::OkStatus();
    }
    return Wrong("'", rest, "' is neither 'nothing' nor the id and name of an oracle");
  }

  absl::Status ParseAnswer(absl::string_view line) {
    const std::vector<absl::string_view> sides = absl::StrSplit(line, " = ");
    const std::vector<absl::string_view> parts = absl::StrSplit(sides[0], ": ");
    if (sides.size() != 2 || parts.size() != 2) {
      return Wrong("'", line, "' is no line of a scenario");
    }
    const absl::string_view aspect = absl::StripAsciiWhitespace(parts[1]);
    uint64_t value = 0;
    if (IsTime(aspect)) {
      const absl::StatusOr<Time> time = ParseTime(absl::StripAsciiWhitespace(sides[1]));
      if (!time.ok()) return Wrong(time.status().message());
      value = *time;
    } else if (!absl::SimpleAtoi(sides[1], &value)) {
      return Wrong("'", sides[1], "' is no number");
    }
    const std::string name = absl::StrCat(absl::StripAsciiWhitespace(parts[0]), ": ", aspect);
    if (!scenario_.settings.answers->emplace(name, value).second) {
      return Wrong("'", name, "' is decided already");
    }
    return absl::OkStatus();
  }

  std::string name_;
  absl::string_view text_;
  size_t number_ = 0;
  std::set<absl::string_view> once_;  // what stands in one line only
  Scenario scenario_;
};

}  // namespace

size_t Scenario::decisions() const {
  size_t count = settings.answers->size() + settings.nemesis.script->size();
  for (const ClientSettings& client : settings.clients) {
    for (const AskedGroup& group : *client.script) count += group.operations.size();
  }
  return count;
}

std::string FormatScenario(const Scenario& scenario) {
  const RunSettings& run = scenario.settings;
  std::string text = absl::StrCat(kFirstLine, "\n");
  for (const std::string& story : scenario.story) {
    for (const absl::string_view line : absl::StrSplit(absl::StripSuffix(story, "\n"), '\n')) {
      absl::StrAppend(&text, line.empty() ? "#" : "# ", line, "\n");
    }
  }
  absl::StrAppend(&text, "\nseed ", run.seed, "\n");
  for (const auto& [name, value] : UnplainFields(run)) {
    absl::StrAppend(&text, "set ", name, " ", value, "\n");
  }
  for (const ClientSettings& client : run.clients) {
    absl::StrAppend(&text, FormatClient(client), "\n");
  }
  std::vector<Line> lines;
  for (const ClientSettings& client : run.clients) {
    for (const AskedGroup& group : *client.script) {
      lines.push_back({group.cue, absl::StrCat(ClientName(client), ": ", FormatGroup(group))});
    }
  }
  for (const CuedFault& fault : *run.nemesis.script) {
    lines.push_back({fault.cue, FormatFault(fault.command)});
  }
  // What waits for a condition stays behind what it stood behind: nobody knows its time.
  std::stable_sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) {
    if (a.cue.when.has_value() != b.cue.when.has_value()) return b.cue.when.has_value();
    return !a.cue.when.has_value() && a.cue.at < b.cue.at;
  });
  if (!lines.empty()) absl::StrAppend(&text, "\n");
  for (const Line& line : lines) {
    absl::StrAppend(&text, FormatCue(line.cue), ": ", line.text, "\n");
  }
  if (!run.answers->empty()) absl::StrAppend(&text, "\n");
  for (const auto& [name, value] : *run.answers) {
    const absl::string_view aspect = absl::string_view(name).substr(name.rfind(": ") + 2);
    absl::StrAppend(&text, name, " = ", IsTime(aspect) ? FormatTime(value) : absl::StrCat(value),
                    "\n");
  }
  absl::StrAppend(&text, "\n");
  for (const Situation& situation : run.reach) {
    absl::StrAppend(&text, "reach ", FormatSituation(situation), "\n");
  }
  if (scenario.expect.has_value()) {
    const OracleInfo& info = InfoOf(*scenario.expect);
    absl::StrAppend(&text, "expect ", info.id, " ", info.name, "\n");
  } else {
    absl::StrAppend(&text, "expect nothing\n");
  }
  return text;
}

absl::StatusOr<Scenario> ParseScenario(absl::string_view name, absl::string_view text) {
  return Parser(name, text).Parse();
}

}  // namespace raftkv::sim
