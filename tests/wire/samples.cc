#include "tests/wire/samples.h"

#include <algorithm>
#include <set>

namespace raftkv::wire {
namespace {

using raft::Payload;

constexpr Envelope kEnvelope{0, 1, 0x1111111111111111, 2, 0x2222222222222222};

PeerMessage Message(raft::Term term, raft::MessageBody body) {
  return {kEnvelope, raft::Message{kEnvelope.from, kEnvelope.to, term, std::move(body)}};
}

PeerMessage Plain(PeerBody body) { return {kEnvelope, std::move(body)}; }

raft::SnapshotMeta JointMeta() { return {900, 6, {{1, 2, 3}, {1, 2, 4}, {5}, {4}, true}}; }

uint64_t RandomNumber(Random* random) {
  return random->Next() >> random->Below(64);  // small and large ones alike
}

std::vector<NodeId> RandomMembers(Random* random, size_t max_size, NodeId parity) {
  std::set<NodeId> members;
  for (uint64_t left = random->Below(max_size + 1); left > 0; --left) {
    members.insert(2 * random->Between(1, 1000) + parity);
  }
  return {members.begin(), members.end()};
}

raft::SnapshotMeta RandomMeta(raft::Term term, Random* random) {
  raft::SnapshotMeta meta;
  meta.index = random->Between(1, ~uint64_t{0});
  meta.term = random->Between(1, term);
  meta.conf.voters = RandomMembers(random, 9, 0);
  if (meta.conf.voters.empty()) meta.conf.voters = {2002};  // learners are odd
  meta.conf.learners = RandomMembers(random, 20, 1);
  if (random->Chance(1, 2)) {
    // Outgoing: a voter that stays, and 3000, which becomes a learner.
    meta.conf.voters_outgoing = {meta.conf.voters.back(), 3000};
    if (random->Chance(1, 2)) meta.conf.learners_next = {3000};
    meta.conf.auto_leave = random->Chance(1, 2);
  }
  return meta;
}

raft::Entries RandomEntries(raft::Index prev_index, raft::Term low, raft::Term high,
                            Random* random) {
  raft::Entries entries;
  for (uint64_t left = random->Below(20); left > 0; --left) {
    if (high > 0) low = random->Between(low, high);
    entries.push_back(
        {low, high > 0 ? ++prev_index : 0, Payload::Copy(RandomBytes(100, random)),
         random->Chance(1, 8) ? raft::EntryType::kMembership : raft::EntryType::kCommand});
  }
  return entries;
}

raft::MessageBody RandomMessageBody(size_t kind, raft::Term term, Random* random) {
  const raft::Index index = RandomNumber(random) >> 1;
  const raft::Term position_term = index == 0 ? 0 : random->Between(1, term);
  switch (kind) {
    case 0:
      return raft::AppendRequest{
          index, position_term, RandomNumber(random),
          RandomEntries(index, std::max<raft::Term>(position_term, 1), term, random)};
    case 1:
      if (random->Chance(1, 2)) return raft::AppendResponse{index, false, 0, 0};
      return raft::AppendResponse{index, true, random->Between(0, index), random->Between(0, term),
                                  random->Chance(1, 2)};
    case 2:
      return raft::VoteRequest{
          random->Chance(1, 2), random->Chance(1, 2), index, position_term, index, position_term};
    case 3:
      return raft::VoteResponse{random->Chance(1, 2), random->Chance(1, 2), index, position_term};
    case 4:
      return raft::Heartbeat{index, RandomNumber(random)};
    case 5:
      return raft::HeartbeatResponse{RandomNumber(random)};
    case 6:
      return raft::InstallSnapshot{RandomMeta(term, random)};
    case 7:
      return raft::TimeoutNow{};
    case 8:
      return raft::ForwardedProposal{RandomEntries(0, 0, 0, random)};
    case 9:
      return raft::ForwardedTransfer{random->Between(1, 100)};
    case 10:
      return raft::ReadIndexRequest{RandomNumber(random)};
    default:
      return raft::ReadIndexResponse{RandomNumber(random), index, random->Chance(1, 2)};
  }
}

EntryQuery RandomQuery(Random* random) {
  EntryQuery query{RandomNumber(random), {}};
  if (random->Chance(1, 4)) {
    query.next_index = random->Between(1, 100);
    if (query.next_index > 1) query.prev_term = random->Between(1, 100);
    query.through_index = query.next_index + random->Below(10);
    query.through_term = query.prev_term + random->Between(1, 3);
    return query;
  }
  raft::Index index = 0;
  for (uint64_t left = random->Below(20); left > 0; --left) {
    WantedEntry wanted{.index = index += random->Between(1, 1000)};
    wanted.term = random->Between(1, 10);
    if (random->Chance(1, 2)) {
      wanted.known_index = index + random->Between(1, 10);
      wanted.known_term = wanted.term + random->Below(3);
    }
    query.wanted.push_back(wanted);
  }
  return query;
}

EntryAnswer RandomAnswer(Random* random) {
  EntryAnswer answer{RandomNumber(random), {}, {}, {}};
  LogExtent& extent = answer.extent;
  extent.base = random->Below(100);
  extent.last_index = extent.base + random->Below(100);
  extent.last_term = extent.last_index == 0 ? 0 : random->Between(1, 100);
  extent.commit = random->Below(100);
  if (random->Chance(1, 2)) {
    extent.lost = raft::Suspicion{random->Between(1, 100), random->Between(1, 100),
                                  static_cast<raft::Suspicion::Evidence>(random->Below(3))};
  }
  if (random->Chance(1, 2)) extent.leads = extent.last_term + random->Below(3);
  raft::Index index = 0;
  for (uint64_t left = random->Below(20); left > 0; --left) {
    EntryVerdict verdict{.index = index += random->Between(1, 1000),
                         .kind = static_cast<EntryVerdict::Kind>(random->Below(5)),
                         .known_term = random->Below(5)};
    if (verdict.kind == EntryVerdict::Kind::kOther) verdict.term = random->Between(1, 100);
    if (verdict.kind == EntryVerdict::Kind::kHave) {
      verdict.term = random->Between(1, 100);
      answer.entries.push_back(
          {verdict.term, index, Payload::Copy(RandomBytes(100, random)),
           random->Chance(1, 8) ? raft::EntryType::kMembership : raft::EntryType::kCommand});
    }
    answer.verdicts.push_back(verdict);
  }
  return answer;
}

PeerBody RandomBody(size_t kind, const Envelope& envelope, Random* random) {
  const raft::Term term = RandomNumber(random) / 2 + 1;
  if (kind < std::variant_size_v<raft::MessageBody>) {
    return raft::Message{envelope.from, envelope.to, term, RandomMessageBody(kind, term, random)};
  }
  switch (kind - std::variant_size_v<raft::MessageBody>) {
    case 0: {
      const uint32_t low = static_cast<uint32_t>(random->Between(1, 100));
      return Hello{{random->Next(), random->Next()},
                   low,
                   low + static_cast<uint32_t>(random->Below(5)),
                   random->Next(),
                   std::string(random->Below(kMaxAddress + 1), 'h')};
    }
    case 1: {
      const uint64_t id = RandomNumber(random);
      return ForwardRequest{id,
                            random->Between(1, 1000),
                            random->Chance(1, 2) ? ForwardKind::kCommand : ForwardKind::kMembership,
                            Payload::Copy(RandomBytes(300, random)),
                            random->Chance(1, 2),
                            id - random->Below(std::min<uint64_t>(id, 1000) + 1)};
    }
    case 2:
      if (random->Chance(1, 2)) {
        return ForwardReply{RandomNumber(random),
                            ForwardOutcome::kApplied,
                            ForwardReason::kNone,
                            RandomNumber(random),
                            RandomNumber(random),
                            RandomBytes(300, random),
                            ""};
      }
      return ForwardReply{
          RandomNumber(random),
          random->Chance(1, 2) ? ForwardOutcome::kNotApplied : ForwardOutcome::kUnknown,
          static_cast<ForwardReason>(random->Between(1, static_cast<uint64_t>(kLastForwardReason))),
          RandomNumber(random),
          0,
          "",
          RandomBytes(kMaxForwardText, random)};
    case 3: {
      const std::string bytes = "x" + RandomBytes(2000, random);
      const uint64_t offset = RandomNumber(random) / 2;
      return SnapshotChunk{term,
                           RandomMeta(term, random),
                           random->Next(),
                           offset,
                           offset + bytes.size() + random->Below(2) * 1000,
                           random->Next(),
                           bytes};
    }
    case 4:
      return SnapshotAck{random->Next(), static_cast<SnapshotAckStatus>(random->Below(4)),
                         RandomNumber(random)};
    case 5:
      return RandomQuery(random);
    case 6:
      return RandomAnswer(random);
    case 7:
      return SnapshotPull{RandomNumber(random), RandomNumber(random),
                          random->Between(1, kMaxSnapshotChunk)};
    default: {
      SnapshotPiece piece{RandomNumber(random), RandomNumber(random) / 2, {}, 0, 0, {}};
      if (random->Chance(1, 4)) return piece;  // not to be had
      piece.meta = RandomMeta(term, random);
      piece.meta->index = piece.meta->index / 4 + 1;
      piece.meta->term = piece.meta->term / 4 + 1;
      piece.asked_index = random->Chance(1, 2) ? 0 : piece.meta->index;
      piece.bytes = "x" + RandomBytes(2000, random);
      piece.size = piece.offset + piece.bytes.size() + random->Below(2) * 1000;
      piece.digest = random->Next();
      return piece;
    }
  }
}

kv::Command Single(kv::Op op) {
  kv::Command command;
  command.time_ms = 1700000000000;
  command.ops = {op};
  return command;
}

kv::Op MakeOp(kv::OpKind kind, absl::string_view key = "", absl::string_view value = "") {
  kv::Op op;
  op.kind = kind;
  op.key = key;
  op.value = value;
  return op;
}

}  // namespace

std::string RandomBytes(size_t max_size, Random* random) {
  std::string bytes(random->Below(max_size + 1), '\0');
  for (char& byte : bytes) byte = static_cast<char>(random->Next());
  return bytes;
}

PeerMessage RandomPeerMessage(size_t kind, Random* random) {
  PeerMessage message;
  message.envelope.group = RandomNumber(random);
  message.envelope.from = random->Between(1, 50);
  message.envelope.to = random->Between(51, 100);
  message.envelope.from_incarnation = random->Between(1, ~uint64_t{0});
  message.envelope.to_incarnation = RandomNumber(random);
  message.body = RandomBody(kind, message.envelope, random);
  return message;
}

Named<PeerMessage> PeerSamples() {
  PeerMessage first_contact = Plain(Hello{{3, 4}, 1, 1, 0, ""});
  first_contact.envelope.to = raft::kNoNode;
  first_contact.envelope.to_incarnation = 0;
  return {
      {"hello",
       Plain(Hello{{0x0123456789abcdef, 0xfedcba9876543210}, 1, 3, 5, "node1.example:7401"})},
      {"hello_first_contact", first_contact},
      {"append_request",
       Message(7, raft::AppendRequest{41,
                                      6,
                                      40,
                                      {{6, 42, Payload::Copy("first"), raft::EntryType::kCommand},
                                       {7, 43, Payload(), raft::EntryType::kCommand},
                                       {7, 44, Payload::Copy("change"),
                                        raft::EntryType::kMembership}}})},
      {"append_request_empty", Message(7, raft::AppendRequest{0, 0, 0, {}})},
      {"append_response", Message(7, raft::AppendResponse{44, false, 0, 0})},
      {"append_response_rejected", Message(7, raft::AppendResponse{41, true, 30, 5})},
      {"append_response_lost", Message(7, raft::AppendResponse{41, true, 30, 5, true})},
      {"vote_request", Message(8, raft::VoteRequest{false, true, 44, 7, 40, 6})},
      {"pre_vote_request", Message(8, raft::VoteRequest{true, false, 44, 7, 40, 6})},
      {"vote_response", Message(8, raft::VoteResponse{false, true, 45, 7})},
      {"pre_vote_response", Message(8, raft::VoteResponse{true, false, 0, 0})},
      {"heartbeat", Message(7, raft::Heartbeat{44, 3})},
      {"heartbeat_response", Message(7, raft::HeartbeatResponse{3})},
      {"install_snapshot", Message(7, raft::InstallSnapshot{JointMeta()})},
      {"timeout_now", Message(7, raft::TimeoutNow{})},
      {"forwarded_proposal", Message(0, raft::ForwardedProposal{{{0, 0, Payload::Copy("proposal"),
                                                                  raft::EntryType::kCommand}}})},
      {"forwarded_transfer", Message(0, raft::ForwardedTransfer{3})},
      {"read_index_request", Message(0, raft::ReadIndexRequest{17})},
      {"read_index_response", Message(7, raft::ReadIndexResponse{17, 44, false})},
      {"forward_request", Plain(ForwardRequest{9, 7, ForwardKind::kCommand, Payload::Copy("SET")})},
      {"forward_membership",
       Plain(ForwardRequest{10, 7, ForwardKind::kMembership, Payload::Copy("ADD")})},
      {"forward_request_repeated",
       Plain(ForwardRequest{9, 7, ForwardKind::kCommand, Payload::Copy("SET"), true, 5})},
      {"forward_reply",
       Plain(ForwardReply{9, ForwardOutcome::kApplied, ForwardReason::kNone, 2, 45, "result", ""})},
      {"forward_reply_unknown",
       Plain(ForwardReply{9, ForwardOutcome::kUnknown, ForwardReason::kLostLeadership, 3, 0, "",
                          "a new leader was elected"})},
      {"snapshot_chunk", Plain(SnapshotChunk{7, JointMeta(), 77, 1000, 1010, 0xd1, "tenletters"})},
      {"snapshot_ack", Plain(SnapshotAck{77, SnapshotAckStatus::kDone, 1010})},
      {"entry_query", Plain(EntryQuery{3, {{41, 6, 43, 7}, {42, 7, 43, 7}, {44, 7, 0, 0}}})},
      {"entry_query_extent", Plain(EntryQuery{4, {}})},
      {"entry_query_end", Plain(EntryQuery{5, {}, 44, 7, 46, 8})},
      {"entry_answer",
       Plain(
           EntryAnswer{3,
                       {30, 43, 7, 42, raft::Suspicion{45, 7, raft::Suspicion::Evidence::kProven}},
                       {{41, EntryVerdict::Kind::kHave, 6, 7},
                        {42, EntryVerdict::Kind::kOther, 7, 7},
                        {44, EntryVerdict::Kind::kLost, 0, 0}},
                       {{6, 41, Payload::Copy("found"), raft::EntryType::kCommand}}})},
      {"snapshot_pull", Plain(SnapshotPull{900, 1000, 4096})},
      {"snapshot_piece", Plain(SnapshotPiece{900, 1000, JointMeta(), 1010, 0xd1, "tenletters"})},
      {"snapshot_piece_none", Plain(SnapshotPiece{900, 1000, std::nullopt, 0, 0, ""})},
  };
}

Named<kv::Command> CommandSamples() {
  using kv::OpKind;
  Named<kv::Command> samples;
  const auto add = [&](const char* name, kv::Op op) { samples.emplace_back(name, Single(op)); };
  add("get", MakeOp(OpKind::kGet, "key"));
  add("exists", MakeOp(OpKind::kExists, "key"));
  add("strlen", MakeOp(OpKind::kStrlen, "key"));
  kv::Op range = MakeOp(OpKind::kRange, "a");
  range.end = "m";
  range.cursor = "c";
  range.limit = 10;
  range.keys_only = true;
  add("range", range);
  kv::Op prefix = MakeOp(OpKind::kPrefix, "user:");
  prefix.limit = 100;
  add("prefix", prefix);
  add("size", MakeOp(OpKind::kSize));
  add("set", MakeOp(OpKind::kSet, "key", "value"));
  kv::Op compare_and_set = MakeOp(OpKind::kSet, "key", "value");
  compare_and_set.condition = kv::Condition::kIfVersionIs;
  compare_and_set.version = 4711;
  add("set_if_version", compare_and_set);
  kv::Op set_if_absent = MakeOp(OpKind::kSet, "", "");
  set_if_absent.condition = kv::Condition::kIfAbsent;
  add("set_if_absent", set_if_absent);
  add("delete", MakeOp(OpKind::kDelete, "key"));
  add("append", MakeOp(OpKind::kAppend, "key", "more"));
  kv::Op incr_by = MakeOp(OpKind::kIncrBy, "counter");
  incr_by.delta = -3;
  add("incr_by", incr_by);
  add("open_session", MakeOp(OpKind::kOpenSession));
  kv::Command close = Single(MakeOp(OpKind::kCloseSession));
  close.session = 12;
  samples.emplace_back("close_session", close);
  kv::Op raise = MakeOp(OpKind::kRaiseFeatureLevel);
  raise.delta = 1;
  add("raise_feature_level", raise);

  kv::Command guarded = Single(MakeOp(OpKind::kSet, "a", "1"));
  guarded.session = 12;
  guarded.sequence = 5;
  guarded.acknowledged = 4;
  guarded.feature_level = 1;
  guarded.ops.push_back(MakeOp(OpKind::kSet, "b", "2"));
  guarded.ops.push_back(incr_by);
  guarded.guards = {{kv::Guard::Kind::kExists, "a", "", 0},
                    {kv::Guard::Kind::kAbsent, "b", "", 0},
                    {kv::Guard::Kind::kVersionIs, "c", "", 99},
                    {kv::Guard::Kind::kValueIs, "d", "expected", 0}};
  samples.emplace_back("guarded_list", guarded);
  return samples;
}

Named<std::string> RespSamples() {
  return {
      {"set", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n"},
      {"pipeline",
       "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n*2\r\n$4\r\nINCR\r\n$1\r\nc\r\n"},
      {"inline", "SET key \"a \\x41\\n b\" 'it\\'s'\r\nPING\n\r\n"},
      {"hello", "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"},
      {"empty", "*0\r\n*-1\r\n\r\n*1\r\n$4\r\nPING\r\n"},
      {"half", "*2\r\n$3\r\nGET\r\n$10\r\nabc"},
      {"huge_length", "*2\r\n$3\r\nGET\r\n$4294967296\r\n"},
      {"huge_count", "*4294967296\r\n"},
      {"bad_length", "*1\r\n$-5\r\n"},
      {"bad_end", "*1\r\n$4\r\nPINGxx"},
      {"unbalanced", "SET \"a b\r\n"},
      {"reply_resp2", "+OK\r\n-ERR no\r\n:-42\r\n$3\r\nabc\r\n$-1\r\n*2\r\n:1\r\n*0\r\n*-1\r\n"},
      {"reply_resp3",
       "_\r\n#t\r\n,3.25\r\n,-inf\r\n(12345678901234567890\r\n=8\r\ntxt:text\r\n!5\r\nERR x\r\n"
       "%1\r\n+k\r\n~2\r\n:1\r\n:2\r\n>2\r\n+push\r\n_\r\n|1\r\n+ttl\r\n:1\r\n+value\r\n"},
  };
}

kv::Command RandomCommand(Random* random, std::deque<std::string>* strings) {
  const auto string = [&](size_t max_size) -> absl::string_view {
    return strings->emplace_back(RandomBytes(max_size, random));
  };
  kv::Command command;
  command.session = RandomNumber(random);
  command.sequence = RandomNumber(random);
  command.acknowledged = RandomNumber(random);
  command.time_ms = RandomNumber(random);
  command.feature_level = static_cast<uint32_t>(random->Next());
  for (uint64_t left = random->Below(5); left > 0; --left) {
    kv::Guard& guard = command.guards.emplace_back();
    guard.kind = static_cast<kv::Guard::Kind>(
        random->Below(static_cast<uint64_t>(kv::Guard::kLastKind) + 1));
    guard.key = string(20);
    if (random->Chance(1, 3)) guard.value = string(50);
    if (random->Chance(1, 3)) guard.version = random->Next();
  }
  for (uint64_t left = random->Below(20); left > 0; --left) {
    kv::Op& op = command.ops.emplace_back();
    op.kind = static_cast<kv::OpKind>(random->Below(static_cast<uint64_t>(kv::kLastOpKind) + 1));
    op.condition =
        static_cast<kv::Condition>(random->Below(static_cast<uint64_t>(kv::kLastCondition) + 1));
    op.key = string(20);
    op.value = string(100);
    op.keys_only = random->Chance(1, 4);
    if (random->Chance(1, 4)) op.end = string(20);
    if (random->Chance(1, 4)) op.cursor = string(20);
    if (random->Chance(1, 4)) op.delta = static_cast<int64_t>(random->Next());
    if (random->Chance(1, 4)) op.version = random->Next();
    if (random->Chance(1, 4)) op.limit = static_cast<uint32_t>(random->Next());
  }
  return command;
}

}  // namespace raftkv::wire
