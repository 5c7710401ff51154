#include "sim/oracles/describe.h"

#include <variant>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/raft/configuration.h"
#include "core/raft/membership.h"
#include "core/raft/random.h"
#include "core/wire/command.h"

namespace raftkv::sim {
namespace {

constexpr size_t kShownBytes = 24;

std::string Quoted(absl::string_view bytes) {
  if (bytes.size() <= kShownBytes) return absl::StrCat("\"", absl::CHexEscape(bytes), "\"");
  return absl::StrCat("\"", absl::CHexEscape(bytes.substr(0, kShownBytes)), "\"... (", bytes.size(),
                      " bytes)");
}

std::string DescribeOp(const kv::Op& op) {
  switch (op.kind) {
    case kv::OpKind::kGet:
      return absl::StrCat("GET ", Quoted(op.key));
    case kv::OpKind::kExists:
      return absl::StrCat("EXISTS ", Quoted(op.key));
    case kv::OpKind::kStrlen:
      return absl::StrCat("STRLEN ", Quoted(op.key));
    case kv::OpKind::kRange:
      return absl::StrCat("RANGE ", Quoted(op.key));
    case kv::OpKind::kPrefix:
      return absl::StrCat("PREFIX ", Quoted(op.key));
    case kv::OpKind::kSize:
      return "SIZE";
    case kv::OpKind::kSet: {
      std::string text = absl::StrCat("SET ", Quoted(op.key), " ", Quoted(op.value));
      if (op.condition == kv::Condition::kIfAbsent) text += " if absent";
      if (op.condition == kv::Condition::kIfPresent) text += " if present";
      if (op.condition == kv::Condition::kIfVersionIs) absl::StrAppend(&text, " if @", op.version);
      return text;
    }
    case kv::OpKind::kDelete:
      return absl::StrCat("DEL ", Quoted(op.key));
    case kv::OpKind::kAppend:
      return absl::StrCat("APPEND ", Quoted(op.key), " ", Quoted(op.value));
    case kv::OpKind::kIncrBy:
      return absl::StrCat("INCRBY ", Quoted(op.key), " ", op.delta);
    case kv::OpKind::kOpenSession:
      return "OPEN SESSION";
    case kv::OpKind::kCloseSession:
      return "CLOSE SESSION";
    case kv::OpKind::kRaiseFeatureLevel:
      return absl::StrCat("FEATURE LEVEL ", op.delta);
  }
  return "?";
}

template <typename... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <typename... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

std::string DescribeRaftBody(const raft::MessageBody& body) {
  return std::visit(
      Overloaded{
          [](const raft::AppendRequest& m) {
            return absl::StrCat("append (", m.prev_index, ", term ", m.prev_term, ")+",
                                m.entries.size(), " commit ", m.commit);
          },
          [](const raft::AppendResponse& m) {
            if (!m.rejected) return absl::StrCat("append accepted up to ", m.index);
            return absl::StrCat("append rejected at ", m.index, ", hint (", m.hint_index, ", term ",
                                m.hint_term, ")");
          },
          [](const raft::VoteRequest& m) {
            return absl::StrCat(m.pre_vote ? "pre-vote" : "vote", " request", m.transfer ? "!" : "",
                                ", last (", m.last_index, ", term ", m.last_term, ")");
          },
          [](const raft::VoteResponse& m) {
            return absl::StrCat(m.pre_vote ? "pre-vote " : "vote ",
                                m.rejected ? "refused" : "granted");
          },
          [](const raft::Heartbeat& m) {
            return absl::StrCat("heartbeat commit ", m.commit, " round ", m.read_round);
          },
          [](const raft::HeartbeatResponse& m) {
            return absl::StrCat("heartbeat answer, round ", m.read_round);
          },
          [](const raft::InstallSnapshot& m) {
            return absl::StrCat("install snapshot ", m.meta.index);
          },
          [](const raft::TimeoutNow&) { return std::string("campaign now"); },
          [](const raft::ForwardedProposal& m) {
            return absl::StrCat("forwarded proposals: ", m.entries.size());
          },
          [](const raft::ForwardedTransfer& m) {
            return absl::StrCat("forwarded transfer to ", m.target);
          },
          [](const raft::ReadIndexRequest& m) {
            return absl::StrCat("read point please, ", m.context);
          },
          [](const raft::ReadIndexResponse& m) {
            if (m.rejected) return absl::StrCat("no read point, ", m.context);
            return absl::StrCat("read point ", m.index, ", ", m.context);
          },
      },
      body);
}

absl::string_view KindOf(const raft::MessageBody& body) {
  return std::visit(Overloaded{
                        [](const raft::AppendRequest&) { return "append"; },
                        [](const raft::AppendResponse&) { return "append answer"; },
                        [](const raft::VoteRequest& m) { return m.pre_vote ? "pre-vote" : "vote"; },
                        [](const raft::VoteResponse& m) {
                          return m.pre_vote ? "pre-vote answer" : "vote answer";
                        },
                        [](const raft::Heartbeat&) { return "heartbeat"; },
                        [](const raft::HeartbeatResponse&) { return "heartbeat answer"; },
                        [](const raft::InstallSnapshot&) { return "snapshot"; },
                        [](const raft::TimeoutNow&) { return "campaign now"; },
                        [](const raft::ForwardedProposal&) { return "forwarded proposal"; },
                        [](const raft::ForwardedTransfer&) { return "forwarded transfer"; },
                        [](const raft::ReadIndexRequest&) { return "read"; },
                        [](const raft::ReadIndexResponse&) { return "read answer"; },
                    },
                    body);
}

}  // namespace

PeerBodyName NameOf(const wire::PeerBody& body) {
  return std::visit(Overloaded{
                        [](const raft::Message& m) {
                          return PeerBodyName{KindOf(m.body), m.term};
                        },
                        [](const wire::ForwardRequest& m) {
                          return PeerBodyName{"request", m.term};
                        },
                        [](const wire::ForwardReply&) {
                          return PeerBodyName{"reply", 0};
                        },
                        [](const wire::SnapshotChunk& m) {
                          return PeerBodyName{"snapshot piece", m.term};
                        },
                        [](const wire::SnapshotAck&) {
                          return PeerBodyName{"snapshot answer", 0};
                        },
                        [](const auto&) {
                          return PeerBodyName{"frame", 0};
                        },
                    },
                    body);
}

uint64_t HashEntry(const raft::Entry& entry) {
  return HashWords(entry.payload.view(), static_cast<uint64_t>(entry.type));
}

std::string DescribePayload(const raft::Entry& entry) {
  if (entry.type == raft::EntryType::kMembership) {
    const auto change = raft::DecodeMembershipChange(entry.payload.view());
    if (!change.has_value()) return "a membership change that does not decode";
    if (change->leaves_joint()) return "LEAVE JOINT";
    std::string text = "MEMBERS";
    for (const raft::MemberChange& member : change->changes) {
      constexpr absl::string_view kVerbs[] = {" promote ", " remove ", " update ", " add "};
      absl::StrAppend(&text, kVerbs[static_cast<size_t>(member.kind)], member.node);
    }
    return text;
  }
  if (entry.payload.empty()) return "no-op";
  kv::Command command;
  if (wire::DecodeCommand(entry.payload.view(), &command) != wire::CommandDecode::kOk) {
    return "a command that does not decode";
  }
  std::string text;
  if (command.session != 0) {
    text = absl::StrCat("session ", command.session, " #", command.sequence, " ");
  }
  if (!command.guards.empty()) absl::StrAppend(&text, command.guards.size(), " guards, ");
  absl::StrAppend(&text, absl::StrJoin(command.ops, "; ", [](std::string* out, const kv::Op& op) {
    out->append(DescribeOp(op));
  }));
  return text;
}

std::string DescribeEntry(const raft::Entry& entry) {
  return absl::StrCat("(", entry.index, ", term ", entry.term, ") = ", DescribePayload(entry));
}

std::string DescribePeerBody(const wire::PeerBody& body) {
  return std::visit(
      Overloaded{
          [](const wire::Hello&) { return std::string("hello"); },
          [](const raft::Message& m) {
            return absl::StrCat(DescribeRaftBody(m.body), ", term ", m.term);
          },
          [](const wire::ForwardRequest& m) { return absl::StrCat("forward request ", m.id); },
          [](const wire::ForwardReply& m) {
            return absl::StrCat("forward reply ", m.id, ", outcome ",
                                static_cast<uint64_t>(m.outcome), ", index ", m.index);
          },
          [](const wire::SnapshotChunk& m) {
            return absl::StrCat("snapshot ", m.meta.index, " bytes ", m.offset, "+", m.bytes.size(),
                                " of ", m.total_size, ", term ", m.term);
          },
          [](const wire::SnapshotAck& m) {
            return absl::StrCat("snapshot answer ", static_cast<uint64_t>(m.status), ", next ",
                                m.next_offset);
          },
          [](const wire::EntryQuery& m) {
            if (m.next_index != 0) {
              return absl::StrCat("what is between (", m.next_index - 1, ", term ", m.prev_term,
                                  ") and (", m.through_index, ", term ", m.through_term, ")");
            }
            std::string text = absl::StrCat("who has ", m.wanted.size(), " entries");
            if (!m.wanted.empty()) absl::StrAppend(&text, " from ", m.wanted.front().index);
            return text;
          },
          [](const wire::EntryAnswer& m) {
            return absl::StrCat("has ", m.entries.size(), " entries of ", m.verdicts.size(),
                                ", last (", m.extent.last_index, ", term ", m.extent.last_term,
                                "), commit ", m.extent.commit,
                                m.extent.lost ? absl::StrCat(", lost up to (", m.extent.lost->index,
                                                             ", term ", m.extent.lost->term, ")")
                                              : "");
          },
          [](const wire::SnapshotPull& m) {
            return absl::StrCat("asks for snapshot ", m.index, " bytes ", m.offset, "+", m.length);
          },
          [](const wire::SnapshotPiece& m) {
            return m.meta ? absl::StrCat("piece of snapshot ", m.meta->index, " bytes ", m.offset,
                                         "+", m.bytes.size(), " of ", m.size)
                          : absl::StrCat("has no snapshot ", m.asked_index);
          },
      },
      body);
}

}  // namespace raftkv::sim
