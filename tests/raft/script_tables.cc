#include "tests/raft/script_tables.h"

#include <algorithm>
#include <map>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/raft/configuration.h"
#include "core/raft/quorum.h"
#include "tests/raft/script_text.h"

namespace raftkv::raft {
namespace {

using Answers = std::map<NodeId, std::string>;  // what each voter said; nothing for "_"

std::string IndexText(Index index) { return index == kEverything ? "\u221e" : absl::StrCat(index); }

absl::string_view VoteText(VoteResult result) {
  switch (result) {
    case VoteResult::kPending:
      return "VotePending";
    case VoteResult::kLost:
      return "VoteLost";
    case VoteResult::kWon:
      return "VoteWon";
  }
  return "?";
}

std::optional<Index> Reached(const Answers& answers, NodeId id) {
  Index index = 0;
  const auto found = answers.find(id);
  if (found == answers.end() || !absl::SimpleAtoi(found->second, &index)) return std::nullopt;
  return index;
}

Index Committed(const ConfState& conf, const Answers& answers) {
  return JointIndex(conf, [&](NodeId id) { return Reached(answers, id).value_or(0); });
}

VoteResult Vote(const ConfState& conf, const Answers& answers) {
  return JointVote(conf, [&](NodeId id) -> std::optional<bool> {
    const auto found = answers.find(id);
    if (found == answers.end()) return std::nullopt;
    return found->second == "y";
  });
}

// One bar per voter, as long as the number of voters that have reached less.
std::string BarChart(const std::vector<NodeId>& voters, const Answers& answers) {
  if (voters.empty()) return "<empty majority quorum>";
  const size_t width = voters.size();
  std::string text = absl::StrCat(std::string(width, ' '), "    idx\n");
  for (const NodeId id : voters) {
    const std::optional<Index> index = Reached(answers, id);
    if (!index) {
      absl::StrAppend(&text, "?", std::string(width, ' '));
    } else {
      const auto below = [&](NodeId other) { return Reached(answers, other).value_or(0) < *index; };
      const auto bar = static_cast<size_t>(std::count_if(voters.begin(), voters.end(), below));
      absl::StrAppend(&text, std::string(bar, 'x'), ">", std::string(width - bar, ' '));
    }
    absl::StrAppendFormat(&text, " %5d    (id=%x)\n", index.value_or(0), id);
  }
  return text;
}

ConfState Swapped(ConfState conf) {
  std::swap(conf.voters, conf.voters_outgoing);
  return conf;
}

}  // namespace

std::string RunQuorumCommand(const ScriptCommand& command) {
  ConfState conf;
  conf.voters = command.Numbers("cfg");
  conf.voters_outgoing = command.Numbers("cfgj");  // none in "zero"
  std::vector<NodeId> order = conf.voters;         // in which the answers are listed
  for (const NodeId id : conf.voters_outgoing) {
    if (std::find(order.begin(), order.end(), id) == order.end()) order.push_back(id);
  }
  std::sort(conf.voters.begin(), conf.voters.end());
  std::sort(conf.voters_outgoing.begin(), conf.voters_outgoing.end());

  const bool counts = command.name == "committed";
  const std::vector<std::string>* listed = command.Find(counts ? "idx" : "votes");
  const size_t given = listed == nullptr ? 0 : listed->size();
  if (given != order.size()) {
    return absl::StrCat("error: ", given, " answers for ", order.size(), " voters\n");
  }
  Answers answers;
  for (size_t i = 0; i < order.size(); ++i) {
    if ((*listed)[i] != "_") answers[order[i]] = (*listed)[i];
  }

  if (counts) {
    const Index index = Committed(conf, answers);
    std::string text = absl::StrCat(BarChart(AllVoters(conf), answers), IndexText(index), "\n");
    if (const Index swapped = Committed(Swapped(conf), answers); swapped != index) {
      absl::StrAppend(&text, IndexText(swapped), " <-- with the halves exchanged\n");
    }
    return text;
  }
  const VoteResult result = Vote(conf, answers);
  std::string text = absl::StrCat(VoteText(result), "\n");
  if (const VoteResult swapped = Vote(Swapped(conf), answers); swapped != result) {
    absl::StrAppend(&text, VoteText(swapped), " <-- with the halves exchanged\n");
  }
  return text;
}

absl::StatusOr<std::vector<MemberChange>> ParseMemberChanges(absl::string_view text) {
  std::vector<MemberChange> changes;
  for (const absl::string_view word :
       absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    MemberChange change;
    constexpr absl::string_view kLetters = "vrul";  // in the order of MemberChange::Kind
    const size_t kind = kLetters.find(word[0]);
    if (kind == absl::string_view::npos || !absl::SimpleAtoi(word.substr(1), &change.node)) {
      return absl::InvalidArgumentError(absl::StrCat("unknown change '", word, "'"));
    }
    change.kind = static_cast<MemberChange::Kind>(kind);
    changes.push_back(change);
  }
  return changes;
}

std::string ConfigurationScript::Run(const ScriptCommand& command) {
  const Index last = last_index_++;
  const absl::StatusOr<std::vector<MemberChange>> changes = ParseMemberChanges(command.input);
  if (!changes.ok()) return absl::StrCat(changes.status().message(), "\n");
  ConfigurationUpdate update;
  if (command.name == "simple") {
    update = SimpleChange(conf_, *changes);
  } else if (command.name == "enter-joint") {
    update = EnterJoint(conf_, command.Flag("autoleave"), *changes);
  } else if (command.name == "leave-joint") {
    if (!changes->empty()) return "this command takes no input\n";
    update = LeaveJoint(conf_);
  } else {
    return "unknown command\n";
  }
  if (update.refused()) return absl::StrCat(update.refusal, "\n");

  for (const NodeId id : AllMembers(conf_)) {
    if (!IsMember(update.conf, id)) progress_.Remove(id);
  }
  for (const NodeId id : update.fresh) {
    Progress progress;
    progress.id = id;
    progress.next = std::max<Index>(last, 1);
    progress.recently_active = true;
    progress_.Insert(std::move(progress));
  }
  conf_ = std::move(update.conf);

  std::string text = absl::StrCat(DescribeConfiguration(conf_), "\n");
  for (const Progress& peer : progress_) {
    absl::StrAppend(&text, peer.id, ": ",
                    DescribeProgress(peer, /*is_self=*/false, IsLearner(conf_, peer.id)), "\n");
  }
  return text;
}

}  // namespace raftkv::raft
