#include "sim/picture/story.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace raftkv::sim {
namespace {

// How much an event tells. Zero: nothing.
enum Weight : int {
  kNothing = 0,
  kFaultNearby,  // or a refusal, where nothing else is known
  kBecameDurable,
  kOperation,
  kSaid,  // by a node, of what has no state: what it has lost, what it waits for
  kLife,  // of a node: ends, starts, pauses
  kRole,
  kEntryMoved,
  kBroken,
};

// Of what tells less, only the last few are told.
constexpr size_t kMostOf[] = {0, 3, 4, kMostSteps, 4, 4, 12, 14, 1};

std::vector<std::string> Words(absl::string_view text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    const auto c = static_cast<unsigned char>(text[at]);
    size_t end = at + 1;
    if (c == '"') {  // bytes of a client, whatever they look like
      while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2u : 1u;
      end = std::min(end + 1, text.size());
    } else if (absl::ascii_isalnum(c)) {
      while (end < text.size() && absl::ascii_isalnum(static_cast<unsigned char>(text[end]))) ++end;
    }
    if (!absl::ascii_isspace(c)) words.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

std::optional<uint64_t> NumberAt(const std::vector<std::string>& words, size_t at) {
  uint64_t number = 0;
  if (at >= words.size() || !absl::SimpleAtoi(words[at], &number)) return std::nullopt;
  return number;
}

// Goes through the events with the state of every node before each.
class Teller {
 public:
  Teller(const Recording& recording, Clues clues, absl::string_view explanation)
      : recording_(recording), clues_(std::move(clues)), views_(recording.start()) {
    for (const auto& [number, operation] : recording.operations()) {
      const std::string line =
          absl::StrCat("process ", operation.client, "  ", operation.text, "  -> ");
      if (absl::StrContains(explanation, absl::StrCat(line, operation.outcome))) {
        named_.insert(number);
        begin_ = std::min(begin_, operation.begin);
        end_ = std::max(end_, operation.end.value_or(operation.begin));
      }
    }
  }

  // To be asked about each event in order.
  Weight Weigh(const PictureEvent& event) {
    NodeView& view = views_[event.node];
    const NodeView before = event.change.empty() ? NodeView() : view;
    if (!event.change.empty()) Apply(event.change, &view);
    const Weight changed = event.change.empty() ? kNothing : WeighChange(event, before, view);
    const bool during = named_.empty() || (begin_ <= event.time && event.time <= end_);
    if (!during && event.kind != EventKind::kViolation) return kNothing;
    if (event.kind == EventKind::kStarted && before.run == RunState::kAbsent) return kNothing;
    return std::max(changed, WeighKind(event, view));
  }

 private:
  bool Speaks(raft::NodeId node) const {
    return clues_.nodes.empty() || clues_.nodes.contains(node);
  }
  // "no leader": of interest is who refuses whom.
  bool SpeaksOfNothing() const {
    return clues_.nodes.empty() && clues_.terms.empty() && clues_.indexes.empty() &&
           clues_.keys.empty() && clues_.clients.empty();
  }
  static std::optional<EntryNumber> EntryAt(const NodeView& view, raft::Index index) {
    if (index <= view.base || index > view.last()) return std::nullopt;
    return view.log[index - view.base - 1];
  }
  static bool Crosses(raft::Index before, raft::Index after, raft::Index index) {
    return before < index && index <= after;
  }

  Weight WeighChange(const PictureEvent& event, const NodeView& before,
                     const NodeView& after) const {
    const NodeChange& change = event.change;
    const bool term_matters = clues_.terms.empty() || clues_.terms.contains(after.term);
    const bool campaigns = change.role.has_value() && (*change.role == raft::RoleName::kLeader ||
                                                       *change.role == raft::RoleName::kCandidate);
    if (campaigns && (term_matters || clues_.nodes.contains(event.node))) return kRole;
    const raft::NodeId vote = change.vote.value_or(raft::kNoNode);
    if (vote != raft::kNoNode && !clues_.terms.empty()) {
      // In an older term, too: such a vote may have been counted.
      if (term_matters || clues_.nodes.contains(vote)) return kRole;
    }
    Weight weight = kNothing;
    for (const raft::Index index : clues_.indexes) {
      if (Crosses(before.commit, after.commit, index) && before.run != RunState::kAbsent) {
        weight = std::max(weight, kEntryMoved);
      }
      // Compaction takes entries away, too, and says nothing about them.
      if (EntryAt(before, index) != EntryAt(after, index) && index > after.base) {
        weight = std::max(weight, kEntryMoved);
      }
      if (Speaks(event.node) && Crosses(before.durable, after.durable, index)) {
        weight = std::max(weight, kBecameDurable);
      }
    }
    return weight;
  }

  Weight WeighKind(const PictureEvent& event, const NodeView& view) const {
    switch (event.kind) {
      case EventKind::kViolation:
        return kBroken;
      case EventKind::kStarted:
      case EventKind::kKilled:
      case EventKind::kPowerLoss:
      case EventKind::kPaused:
      case EventKind::kResumed:
        return Speaks(event.node) ? kLife : kNothing;
      case EventKind::kSays:
        return Speaks(event.node) ? kSaid : kNothing;
      case EventKind::kArrived: {
        const auto it = recording_.messages().find(event.subject);
        if (it == recording_.messages().end()) return kNothing;
        const PictureMessage& message = it->second;
        const bool vote = message.kind == MessageKind::kVoteAnswer;
        if (message.refusal && (vote || message.kind == MessageKind::kPreVoteAnswer)) {
          return SpeaksOfNothing() ? kFaultNearby : kNothing;
        }
        const bool matters = clues_.terms.contains(message.term) ||
                             (clues_.nodes.contains(message.to) && !clues_.terms.empty() &&
                              clues_.terms.contains(view.term));
        return vote && matters ? kRole : kNothing;
      }
      case EventKind::kFault: {
        const PictureFault& fault = recording_.faults().at(event.subject);
        // A node that is down or paused has an event that says so.
        if (absl::StartsWith(fault.text, "node ")) return kNothing;
        bool near = false;
        for (const raft::NodeId node : fault.nodes) near |= clues_.nodes.contains(node);
        for (const auto& [from, to] : fault.links) {
          near |= clues_.nodes.contains(from) || clues_.nodes.contains(to);
        }
        return near ? kFaultNearby : kNothing;
      }
      case EventKind::kInvoked:
      case EventKind::kReturned: {
        const PictureOperation& operation = recording_.operations().at(event.subject);
        // Hundreds of operations have these keys; a few of them make the contradiction.
        if (!named_.empty()) return named_.contains(event.subject) ? kOperation : kNothing;
        bool matters = clues_.clients.contains(operation.client);
        for (const std::string& key : operation.keys) matters |= clues_.keys.contains(key);
        return matters ? kOperation : kNothing;
      }
      default:
        return kNothing;
    }
  }

  const Recording& recording_;
  const Clues clues_;
  std::set<uint64_t> named_;  // operations; with them, nothing else matters before or after
  Time begin_ = ~Time{0};     // the first of them is called
  Time end_ = 0;              // the last of them has its answer
  std::map<raft::NodeId, NodeView> views_;
};

}  // namespace

Clues FindClues(absl::string_view violation) {
  Clues clues;
  constexpr absl::string_view kKeys = "what clients saw of:";
  if (const size_t at = violation.find(kKeys); at != absl::string_view::npos) {
    for (const absl::string_view key :
         absl::StrSplit(violation.substr(at + kKeys.size()), ' ', absl::SkipEmpty())) {
      clues.keys.emplace(key);
    }
    return clues;
  }
  const std::vector<std::string> words = Words(violation);
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const std::optional<uint64_t> number = NumberAt(words, i + 1);
    if (word == "node" || word == "nodes" || word == "leader" || word == "member") {
      // "nodes 1 and 2", "nodes 1, 2"
      for (size_t at = i + 1; NumberAt(words, at).has_value(); at += 2) {
        if (at + 1 < words.size() && words[at + 1] == "ms") break;  // "no leader 9000 ms after"
        clues.nodes.insert(*NumberAt(words, at));
        if (word != "nodes" || at + 1 >= words.size()) break;
        if (words[at + 1] != "and" && words[at + 1] != ",") break;
      }
    } else if (absl::StartsWith(word, "\"") && i > 1 && words[i - 2] == "node") {
      // What a node sends another, in quotes. Other quotes are the bytes of clients.
      Clues inside = FindClues(absl::string_view(word).substr(1, word.size() - 2));
      clues.nodes.merge(inside.nodes);
      clues.indexes.merge(inside.indexes);
      clues.terms.merge(inside.terms);
    } else if (word == "client" && i + 1 < words.size()) {
      clues.clients.insert(words[i + 1]);
    } else if (!number.has_value()) {
      continue;
    } else if (word == "term") {
      clues.terms.insert(*number);
    } else if (word == "(") {  // "(12, term 4)", and not "(1 2 3)"
      if (i + 3 < words.size() && words[i + 2] == "," && words[i + 3] == "term") {
        clues.indexes.insert(*number);
      }
    } else if (word == "to" || word == "at" || word == "entry" || word == "after") {
      clues.indexes.insert(*number);  // "entries up to 12", "at 12", "after 11"
    }
  }
  return clues;
}

std::vector<size_t> TellStory(const Recording& recording, absl::string_view explanation) {
  const std::optional<size_t> broken = recording.violation();
  if (!broken.has_value()) return {};
  Teller teller(recording, FindClues(recording.events()[*broken].text), explanation);
  std::map<Weight, std::vector<size_t>> by_weight;
  for (size_t i = 0; i <= *broken; ++i) {
    const Weight weight = teller.Weigh(recording.events()[i]);
    if (weight != kNothing) by_weight[weight].push_back(i);
  }
  // What tells most comes first, and of that what happened last.
  std::vector<size_t> steps;
  for (auto it = by_weight.rbegin(); it != by_weight.rend(); ++it) {
    const std::vector<size_t>& events = it->second;
    const size_t room = std::min(
        {kMostSteps - steps.size(), events.size(), kMostOf[static_cast<size_t>(it->first)]});
    steps.insert(steps.end(), events.end() - static_cast<std::ptrdiff_t>(room), events.end());
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

}  // namespace raftkv::sim
