#include "tests/raft/script_text.h"

#include <variant>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace raftkv::raft {
namespace {

absl::string_view ChangeLetter(MemberChange::Kind kind) {
  switch (kind) {
    case MemberChange::Kind::kAddVoter:
      return "v";
    case MemberChange::Kind::kAddLearner:
      return "l";
    case MemberChange::Kind::kRemove:
      return "r";
    case MemberChange::Kind::kUpdate:
      return "u";
  }
  return "?";
}

struct Body {
  absl::string_view type;
  Term log_term = 0;
  Index index = 0;
  bool rejected = false;
  Index hint = 0;
  Index commit = 0;
  absl::Span<const Entry> entries;
  const SnapshotMeta* snapshot = nullptr;
  std::string more;  // what the recorded scripts never show

  Body(const AppendRequest& m)
      : type("MsgApp"),
        log_term(m.prev_term),
        index(m.prev_index),
        commit(m.commit),
        entries(m.entries) {}
  Body(const AppendResponse& m)
      : type("MsgAppResp"),
        log_term(m.hint_term),
        index(m.index),
        rejected(m.rejected),
        hint(m.hint_index),
        more(m.lost ? " Lost" : "") {}
  Body(const VoteRequest& m)
      : type(m.pre_vote ? "MsgPreVote" : "MsgVote"), log_term(m.last_term), index(m.last_index) {}
  Body(const VoteResponse& m)
      : type(m.pre_vote ? "MsgPreVoteResp" : "MsgVoteResp"), rejected(m.rejected) {}
  Body(const Heartbeat& m) : type("MsgHeartbeat"), commit(m.commit), more(Round(m.read_round)) {}
  Body(const HeartbeatResponse& m) : type("MsgHeartbeatResp"), more(Round(m.read_round)) {}
  Body(const InstallSnapshot& m) : type("MsgSnap"), snapshot(&m.meta) {}
  Body(const TimeoutNow&) : type("MsgTimeoutNow") {}
  Body(const ForwardedProposal& m) : type("MsgProp"), entries(m.entries) {}
  Body(const ForwardedTransfer& m)
      : type("MsgTransferLeader"), more(absl::StrCat(" Target:", m.target)) {}
  Body(const ReadIndexRequest& m)
      : type("MsgReadIndex"), more(absl::StrCat(" Context:", m.context)) {}
  Body(const ReadIndexResponse& m)
      : type("MsgReadIndexResp"),
        index(m.index),
        rejected(m.rejected),
        more(absl::StrCat(" Context:", m.context)) {}

  static std::string Round(uint64_t round) {
    return round == 0 ? "" : absl::StrCat(" Round:", round);
  }
};

Body BodyOf(const MessageBody& body) {
  return std::visit([](const auto& alternative) { return Body(alternative); }, body);
}

std::string List(const std::vector<NodeId>& ids) {
  return absl::StrCat("[", absl::StrJoin(ids, " "), "]");
}

}  // namespace

std::string DescribeRole(RoleName role) {
  switch (role) {
    case RoleName::kFollower:
      return "StateFollower";
    case RoleName::kPreCandidate:
      return "StatePreCandidate";
    case RoleName::kCandidate:
      return "StateCandidate";
    case RoleName::kLeader:
      return "StateLeader";
  }
  return "?";
}

std::string DescribeEntry(const Entry& entry) {
  const std::string place = absl::StrCat(entry.term, "/", entry.index);
  if (entry.type == EntryType::kCommand) {
    return absl::StrCat(place, " EntryNormal \"", absl::CEscape(entry.payload.view()), "\"");
  }
  const std::optional<MembershipChange> change = DecodeMembershipChange(entry.payload.view());
  if (!change) return absl::StrCat(place, " undecodable membership change");
  std::string text = absl::StrCat(
      place, change->context == kOldFormMembership ? " EntryConfChange" : " EntryConfChangeV2");
  for (const MemberChange& member : change->changes) {
    absl::StrAppend(&text, " ", ChangeLetter(member.kind), member.node);
  }
  return text;
}

std::string DescribeEntries(absl::Span<const Entry> entries) {
  std::string text;
  for (const Entry& entry : entries) absl::StrAppend(&text, DescribeEntry(entry), "\n");
  return text;
}

std::string DescribeMessageType(const MessageBody& body) { return std::string(BodyOf(body).type); }

std::string DescribeMessage(const Message& message) {
  const Body body = BodyOf(message.body);
  std::string text =
      absl::StrCat(absl::Hex(message.from), "->", absl::Hex(message.to), " ", body.type,
                   " Term:", message.term, " Log:", body.log_term, "/", body.index);
  if (body.rejected) absl::StrAppend(&text, " Rejected (Hint: ", body.hint, ")");
  if (body.commit != 0) absl::StrAppend(&text, " Commit:", body.commit);
  absl::StrAppend(&text, body.more);
  if (body.entries.size() == 1) {
    absl::StrAppend(&text, " Entries:[", DescribeEntry(body.entries[0]), "]");
  } else if (body.entries.size() > 1) {
    absl::StrAppend(&text, " Entries:[");
    for (const Entry& entry : body.entries) absl::StrAppend(&text, "\n  ", DescribeEntry(entry));
    absl::StrAppend(&text, "\n]");
  }
  if (body.snapshot != nullptr) {
    absl::StrAppend(&text, "\n  Snapshot: ", DescribeSnapshot(*body.snapshot));
  }
  return text;
}

std::string DescribeSuspicion(const std::optional<Suspicion>& suspicion) {
  if (!suspicion) return "";
  return absl::StrCat(" lost up to ", suspicion->term, "/", suspicion->index);
}

std::string DescribeSnapshot(const SnapshotMeta& meta) {
  const ConfState& conf = meta.conf;
  return absl::StrCat("Index:", meta.index, " Term:", meta.term,
                      " ConfState:Voters:", List(conf.voters),
                      " VotersOutgoing:", List(conf.voters_outgoing),
                      " Learners:", List(conf.learners), " LearnersNext:", List(conf.learners_next),
                      " AutoLeave:", conf.auto_leave ? "true" : "false");
}

std::string DescribeProgress(const Progress& progress, bool is_self, bool is_learner) {
  constexpr absl::string_view kStates[] = {"StateProbe", "StateReplicate", "StateSnapshot"};
  // To itself a leader sends nothing: its own `next` has no meaning but to follow `match`.
  const Index next = is_self ? progress.match + 1 : progress.next;
  std::string text = absl::StrCat(kStates[static_cast<size_t>(progress.state)],
                                  " match=", progress.match, " next=", next);
  if (is_learner) absl::StrAppend(&text, " learner");
  if (progress.Paused()) absl::StrAppend(&text, " paused");
  if (progress.pending_snapshot > 0) {
    absl::StrAppend(&text, " pendingSnap=", progress.pending_snapshot);
  }
  if (!progress.recently_active) absl::StrAppend(&text, " inactive");
  if (progress.inflights.count() > 0) {
    absl::StrAppend(&text, " inflight=", progress.inflights.count(),
                    progress.inflights.Full() ? "[full]" : "");
  }
  return text;
}

}  // namespace raftkv::raft
