#include "sim/nemesis/fault_text.h"

#include <cstdint>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace raftkv::sim {
namespace {

constexpr absl::string_view kVerbs[] = {
    "partition",
    "isolate",
    "cut",
    "clog",
    "storm",
    "power-loss",
    "kill",
    "power-loss-of-all",
    "pause",
    "slow-disk",
    "sync-error",
    "full-disk",
    "clock-jump",
    "transfer",
    "member",
    "slow-node",
    "restart-storm",
    "rolling-restart",
    "rot",
    "read-errors",
    "hang-disk",
    "lost-writes",
    "misdirected-writes",
    "misdirected-reads",
    "stale-files",
    "amnesia",
    "wipe",
    "leader-in-minority",
    "one-way-leader",
    "withheld-answers",
    "figure-8",
    "sent-not-persisted",
    "persisted-not-said",
    "outlived-lease",
    "doubled-snapshots",
    "old-messages",
    "reused-address",
    "stuck-change",
    "overtaken-appends",
};
static_assert(std::size(kVerbs) == kFaultKinds);

bool HasLinks(Fault fault) {
  return fault == Fault::kPartition || fault == Fault::kIsolation || fault == Fault::kOneWay ||
         fault == Fault::kClog || fault == Fault::kLeaderInMinority ||
         fault == Fault::kOneWayLeader;
}
// A node that the attack is about stands in front of the links.
bool HasLinksAndNode(Fault fault) {
  return fault == Fault::kLeaderInMinority || fault == Fault::kOneWayLeader;
}
bool HasWords(Fault fault) { return fault == Fault::kTransfer || fault == Fault::kMembership; }
// How many nodes it is about, from least to most.
struct NodeCount {
  size_t least;
  size_t most;
};
NodeCount NodesOf(Fault fault) {
  constexpr size_t kMany = std::numeric_limits<size_t>::max();
  switch (fault) {
    case Fault::kPartition:
    case Fault::kIsolation:
    case Fault::kOneWay:
    case Fault::kClog:
    case Fault::kStorm:
      return {0, 0};
    case Fault::kWithheldAnswers:
    case Fault::kFigure8:
    case Fault::kReusedAddresses:
      return {2, kMany};
    case Fault::kOvertakenAppends:
      return {2, 2};
    case Fault::kLostWrites:
    case Fault::kMisdirectedWrites:
    case Fault::kMisdirectedReads:
    case Fault::kStaleFiles:
    case Fault::kAmnesia:
    case Fault::kWipe:
      return {1, 1};
    default:
      return {1, kMany};
  }
}
bool MayComeAgain(Fault fault) { return fault == Fault::kPowerLoss || fault == Fault::kKill; }
bool Lasts(Fault fault) { return !HasWords(fault) && fault != Fault::kClockJump; }

// How the numbers of a kind are called; empty: it has none.
struct NumberNames {
  absl::string_view number;
  absl::string_view draw;
};
NumberNames NumbersOf(Fault fault) {
  switch (fault) {
    case Fault::kStorm:
      return {"lost", "doubled"};
    case Fault::kSlowNode:
    case Fault::kRestartStorms:
    case Fault::kRollingRestarts:
      return {"each-ms", ""};
    case Fault::kSlowDisk:
    case Fault::kOvertakenAppends:
      return {"times", ""};
    case Fault::kSyncError:
      return {"after", ""};
    case Fault::kClockJump:
      return {"by", ""};
    case Fault::kDoubledSnapshots:
    case Fault::kOldMessages:
    case Fault::kFigure8:
      return {"after-ms", ""};
    default:
      return {"", HasDraw(fault) ? "draw" : ""};
  }
}

bool MayBeGiven(Fault fault) { return fault == Fault::kRot || fault == Fault::kReadErrors; }

// --- A damage, and where it is

struct DamageInWords {
  std::string text;

  void Where(const DiskPlace& place) {
    absl::StrAppend(&text, " in ", place.file, " from ", place.offset, " to ");
    if (place.length == kToTheEnd) {
      absl::StrAppend(&text, "end");
    } else {
      absl::StrAppend(&text, place.offset + place.length);
    }
  }
  void operator()(const ReadError& damage) { Where(damage.at); }
  void operator()(const BitRot& damage) {
    absl::StrAppend(&text, " bits ", damage.bits, " seed ", damage.seed);
    Where(damage.at);
  }
  void operator()(const Garbage& damage) {
    absl::StrAppend(&text, " garbage seed ", damage.seed);
    Where(damage.at);
  }
  void operator()(const Zeros& damage) {
    absl::StrAppend(&text, " zeros");
    Where(damage.at);
  }
  void operator()(const TruncatedFile& damage) {
    absl::StrAppend(&text, " cut in ", damage.file, " from ", damage.size);
  }
  // No other one is rot or a read error.
  template <typename Other>
  void operator()(const Other&) {}
};

// What stands of it in a text.
struct DamageWords {
  absl::string_view kind;  // bits, garbage, zeros, cut; empty: a read error
  std::optional<std::string> file;
  std::optional<uint64_t> bits, seed, from, to;

  bool any() const { return !kind.empty() || file || seed || from || to; }
  // True if the word, with the value behind it or alone, belongs here. `wrong` says what is wrong
  // with it.
  bool TakeAlone(absl::string_view word) {
    if (word != "garbage" && word != "zeros" && word != "cut") return false;
    if (!kind.empty()) return false;
    kind = word;
    return true;
  }
  bool TakePair(absl::string_view word, absl::string_view value, std::string* wrong) {
    if (word == "in" && !file) {
      file = std::string(value);
      return true;
    }
    std::optional<uint64_t>* number = word == "bits" && kind.empty() ? &bits
                                      : word == "seed"               ? &seed
                                      : word == "from"               ? &from
                                      : word == "to"                 ? &to
                                                                     : nullptr;
    if (number == nullptr || number->has_value()) return false;
    if (word == "bits") kind = word;
    uint64_t parsed = kToTheEnd;
    if (!(word == "to" && value == "end") && !absl::SimpleAtoi(value, &parsed)) {
      *wrong = absl::StrCat("'", value, "' is no number");
    }
    *number = parsed;
    return true;
  }
  // Empty, or what is wrong.
  std::string Build(Fault fault, DiskFault* damage) const {
    if ((fault == Fault::kRot) == kind.empty()) {
      return kind.empty() ? "what rots is missing: bits, garbage, zeros or cut"
                          : absl::StrCat("'", kind, "' has no place here");
    }
    const bool random = kind == "bits" || kind == "garbage";
    if (random != seed.has_value()) {
      return random ? "'seed' and a number are missing" : "'seed' has no place here";
    }
    if (!file || !from) return "'in' with a file and 'from' with an offset are missing";
    if (kind == "cut") {
      if (to) return "'to' has no place here";
      *damage = TruncatedFile{*file, *from};
      return "";
    }
    if (!to) return "'to' and an offset, or end, are missing";
    if (*to <= *from) return "the place is empty";
    const DiskPlace place{*file, *from, *to == kToTheEnd ? kToTheEnd : *to - *from};
    if (kind == "bits") {
      if (*bits == 0) return "no bit rots";
      *damage = BitRot{place, *bits, *seed};
    } else if (kind == "garbage") {
      *damage = Garbage{place, *seed};
    } else if (kind == "zeros") {
      *damage = Zeros{place};
    } else {
      *damage = ReadError{place};
    }
    return "";
  }
};

}  // namespace

std::string FormatFault(const FaultCommand& command) {
  std::string text(kVerbs[static_cast<size_t>(command.fault)]);
  if (HasLinks(command.fault)) {
    if (HasLinksAndNode(command.fault)) absl::StrAppend(&text, " ", command.nodes.front());
    absl::StrAppend(&text, " ", absl::StrJoin(command.links, " ", absl::PairFormatter(">")));
  } else if (!command.nodes.empty()) {
    absl::StrAppend(&text, " ", absl::StrJoin(command.nodes, " "));
  }
  if (HasWords(command.fault)) {
    return absl::StrCat(text, " ", absl::StrJoin(command.words, " "));
  }
  const NumberNames names = NumbersOf(command.fault);
  if (!names.number.empty()) absl::StrAppend(&text, " ", names.number, " ", command.number);
  if (!names.draw.empty() && (command.draw != 0 || !command.damage)) {
    absl::StrAppend(&text, " ", names.draw, " ", command.draw);
  }
  if (command.damage) {
    DamageInWords words;
    std::visit(words, *command.damage);
    absl::StrAppend(&text, words.text);
  }
  if (command.fault == Fault::kWipe) {
    absl::StrAppend(&text, " ", Name(static_cast<WipeForm>(command.number)));
  }
  if (command.back) absl::StrAppend(&text, " back");
  if (Lasts(command.fault)) absl::StrAppend(&text, " for ", FormatTime(command.lasts));
  if (command.again) absl::StrAppend(&text, " again");
  return text;
}

absl::StatusOr<FaultCommand> ParseFault(absl::string_view text) {
  const auto wrong = [&](const auto&... why) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "': ", why...));
  };
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ', absl::SkipEmpty());
  if (words.empty()) return wrong("no fault");
  size_t kind = 0;
  while (kind < kFaultKinds && kVerbs[kind] != words[0]) ++kind;
  if (kind == kFaultKinds) {
    return wrong("there is no fault '", words[0], "'; known are ", absl::StrJoin(kVerbs, ", "));
  }
  FaultCommand command;
  command.fault = static_cast<Fault>(kind);
  size_t at = 1;
  if (HasLinksAndNode(command.fault)) {
    raft::NodeId node = raft::kNoNode;
    if (words.size() < 2 || !absl::SimpleAtoi(words[1], &node)) return wrong("no node");
    command.nodes.push_back(node);
    ++at;
  }
  for (; at < words.size(); ++at) {
    raft::NodeId node = raft::kNoNode;
    if (HasLinks(command.fault)) {
      const std::vector<absl::string_view> ends = absl::StrSplit(words[at], '>');
      Link link;
      if (ends.size() != 2 || !absl::SimpleAtoi(ends[0], &link.first) ||
          !absl::SimpleAtoi(ends[1], &link.second)) {
        break;
      }
      command.links.push_back(link);
    } else if (absl::SimpleAtoi(words[at], &node)) {
      command.nodes.push_back(node);
      if (HasWords(command.fault)) {
        ++at;
        break;
      }
    } else {
      break;
    }
  }
  if (HasLinks(command.fault) && command.links.empty()) return wrong("no link, as 1>2");
  const NodeCount count = NodesOf(command.fault);
  if (command.nodes.size() < count.least) {
    return wrong(count.least == 1 ? "no node" : "two nodes are needed");
  }
  if (command.nodes.size() > count.most) {
    return wrong(count.most == 0   ? "it is about no node"
                 : count.most == 1 ? "it is about one node"
                                   : "it is about two nodes");
  }
  for (size_t i = 0; i < command.nodes.size(); ++i) {
    if (command.nodes[i] == raft::kNoNode) return wrong("there is no node 0");
    for (size_t other = 0; other < i; ++other) {
      if (command.nodes[i] == command.nodes[other]) {
        return wrong("node ", command.nodes[i], " stands there twice");
      }
    }
  }
  if (HasWords(command.fault)) {
    for (; at < words.size(); ++at) command.words.emplace_back(words[at]);
    if (command.words.empty()) return wrong("nothing is asked");
    return command;
  }
  const NumberNames names = NumbersOf(command.fault);
  if (command.fault == Fault::kWipe) {
    size_t form = 0;
    while (form < kWipeForms &&
           (at == words.size() || Name(static_cast<WipeForm>(form)) != words[at])) {
      ++form;
    }
    if (form == kWipeForms) return wrong("what is wiped, and what is done about it, is missing");
    command.number = form;
    ++at;
  }
  bool has_number = names.number.empty(), has_draw = names.draw.empty();
  bool has_lasts = !Lasts(command.fault);
  DamageWords damage;
  for (; at < words.size(); ++at) {
    const absl::string_view word = words[at];
    const bool may_be_given = MayBeGiven(command.fault);
    if (word == "again" && (MayComeAgain(command.fault) || may_be_given)) {
      command.again = true;
      continue;
    }
    if (may_be_given && damage.TakeAlone(word)) continue;
    if (word == "back" && command.fault == Fault::kClockJump) {
      command.back = true;
      continue;
    }
    if (at + 1 == words.size()) return wrong("nothing stands behind '", word, "'");
    const absl::string_view value = words[++at];
    if (word == "for" && !has_lasts) {
      const absl::StatusOr<Time> time = ParseTime(value);
      if (!time.ok()) return wrong(time.status().message());
      command.lasts = *time;
      has_lasts = true;
    } else if (word == names.number && !has_number) {
      if (!absl::SimpleAtoi(value, &command.number)) return wrong("'", value, "' is no number");
      has_number = true;
    } else if (word == names.draw && !has_draw) {
      if (!absl::SimpleAtoi(value, &command.draw)) return wrong("'", value, "' is no number");
      has_draw = true;
    } else if (std::string why; may_be_given && damage.TakePair(word, value, &why)) {
      if (!why.empty()) return wrong(why);
    } else {
      return wrong("'", word, "' has no place here");
    }
  }
  if (damage.any()) {
    DiskFault built;
    if (const std::string why = damage.Build(command.fault, &built); !why.empty()) {
      return wrong(why);
    }
    command.damage = std::move(built);
    has_draw = true;
  } else if (command.again && MayBeGiven(command.fault)) {
    return wrong("'again' has no place beside a draw, which says that, too");
  }
  if (!has_number) return wrong("'", names.number, "' and a number are missing");
  if (!has_draw) return wrong("'", names.draw, "' and a number are missing");
  if (!has_lasts) return wrong("'for' and a time are missing");
  return command;
}

}  // namespace raftkv::sim
