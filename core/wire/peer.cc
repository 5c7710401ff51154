#include "core/wire/peer.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "core/wire/append_layouts.h"
#include "core/wire/command.h"
#include "core/wire/flat.h"
#include "core/wire/frame.h"
#include "core/wire/peer_generated.h"

namespace raftkv::wire {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

using Heads = flatbuffers::Vector<const fb::EntryHead*>;
using Numbers = flatbuffers::Vector<uint64_t>;

// Peer, its body, a snapshot's meta and its configuration: no message has more tables than that, or
// nests them deeper.
constexpr flatbuffers::uoffset_t kTables = 4;

// An encoder that once wrote a large frame gives the memory back.
constexpr size_t kKeepBuilder = 1024 * 1024;

// LogAnswer.flags.
constexpr uint64_t kRejected = 1;
constexpr uint64_t kLost = 2;

// Whatever may be in the log or in a reply fits one frame.
static_assert(kMaxCommandBytes + 64 * 1024 <= kMaxFrameBody);
static_assert(kv::kMaxEncodedResultBytes + 64 * 1024 <= kMaxFrameBody);

// ---- writing
// -------------------------------------------------------------------------------------------------------------------------

struct EntryVectors {
  Offset<Heads> heads;
  Offset<flatbuffers::Vector<uint8_t>> payloads;
};

EntryVectors Write(FlatBufferBuilder& builder, const raft::Entries& entries) {
  if (entries.empty()) return {};
  size_t total = 0;
  for (const raft::Entry& entry : entries) total += entry.payload.size();
  RAFTKV_CHECK(total + entries.size() * sizeof(fb::EntryHead) <= kMaxFrameBody);

  EntryVectors vectors;
  if (total > 0) {
    uint8_t* bytes = nullptr;
    vectors.payloads = builder.CreateUninitializedVector<uint8_t>(total, &bytes);
    for (const raft::Entry& entry : entries) {
      const absl::string_view payload = entry.payload.view();
      if (payload.empty()) continue;
      std::memcpy(bytes, payload.data(), payload.size());
      bytes += payload.size();
    }
  }
  vectors.heads =
      WriteStructs<fb::EntryHead>(builder, entries.size(), [entry = entries.begin()]() mutable {
        const raft::Entry& from = *entry++;
        return fb::EntryHead(from.term, static_cast<uint32_t>(from.payload.size()),
                             static_cast<uint32_t>(from.type));
      });
  return vectors;
}

Offset<Numbers> WriteMembers(FlatBufferBuilder& builder, const std::vector<NodeId>& members) {
  if (members.empty()) return 0;
  return builder.CreateVector(members);
}

Offset<fb::SnapshotMeta> Write(FlatBufferBuilder& builder, const raft::SnapshotMeta& meta) {
  const raft::ConfState& conf = meta.conf;
  const auto voters = WriteMembers(builder, conf.voters);
  const auto outgoing = WriteMembers(builder, conf.voters_outgoing);
  const auto learners = WriteMembers(builder, conf.learners);
  const auto learners_next = WriteMembers(builder, conf.learners_next);
  const auto written =
      fb::CreateConf(builder, voters, outgoing, learners, learners_next, conf.auto_leave);
  return fb::CreateSnapshotMeta(builder, meta.index, meta.term, written);
}

Offset<fb::Hello> Write(FlatBufferBuilder& builder, const Hello& hello) {
  RAFTKV_CHECK(hello.address.size() <= kMaxAddress);
  const auto address = WriteBytes(builder, hello.address);
  return fb::CreateHello(builder, hello.cluster.high, hello.cluster.low, hello.protocol_min,
                         hello.protocol_max, hello.features, address);
}

Offset<fb::AppendRequest> Write(FlatBufferBuilder& builder, const raft::AppendRequest& request) {
  const EntryVectors entries = Write(builder, request.entries);
  const fb::LogPosition at(request.prev_index, request.prev_term, request.commit);
  return fb::CreateAppendRequest(builder, &at, entries.heads, entries.payloads);
}

fb::LogAnswer ToAnswer(const raft::AppendResponse& response) {
  return fb::LogAnswer(response.index, response.hint_index, response.hint_term,
                       (response.rejected ? kRejected : 0) | (response.lost ? kLost : 0));
}

Offset<fb::AppendResponse> Write(FlatBufferBuilder& builder, const raft::AppendResponse& response) {
  const fb::LogAnswer answer = ToAnswer(response);
  return fb::CreateAppendResponse(builder, &answer);
}

Offset<fb::VoteRequest> Write(FlatBufferBuilder& builder, const raft::VoteRequest& request) {
  return fb::CreateVoteRequest(builder, request.pre_vote, request.transfer, request.last_index,
                               request.last_term, request.commit, request.commit_term);
}

Offset<fb::VoteResponse> Write(FlatBufferBuilder& builder, const raft::VoteResponse& response) {
  return fb::CreateVoteResponse(builder, response.pre_vote, response.rejected, response.commit,
                                response.commit_term);
}

Offset<fb::Heartbeat> Write(FlatBufferBuilder& builder, const raft::Heartbeat& heartbeat) {
  return fb::CreateHeartbeat(builder, heartbeat.commit, heartbeat.read_round);
}

Offset<fb::HeartbeatResponse> Write(FlatBufferBuilder& builder,
                                    const raft::HeartbeatResponse& response) {
  return fb::CreateHeartbeatResponse(builder, response.read_round);
}

Offset<fb::InstallSnapshot> Write(FlatBufferBuilder& builder,
                                  const raft::InstallSnapshot& install) {
  const auto meta = Write(builder, install.meta);
  return fb::CreateInstallSnapshot(builder, meta);
}

Offset<fb::TimeoutNow> Write(FlatBufferBuilder& builder, const raft::TimeoutNow&) {
  return fb::CreateTimeoutNow(builder);
}

Offset<fb::ForwardedProposal> Write(FlatBufferBuilder& builder,
                                    const raft::ForwardedProposal& proposal) {
  const EntryVectors entries = Write(builder, proposal.entries);
  return fb::CreateForwardedProposal(builder, entries.heads, entries.payloads);
}

Offset<fb::ForwardedTransfer> Write(FlatBufferBuilder& builder,
                                    const raft::ForwardedTransfer& transfer) {
  return fb::CreateForwardedTransfer(builder, transfer.target);
}

Offset<fb::ReadIndexRequest> Write(FlatBufferBuilder& builder,
                                   const raft::ReadIndexRequest& request) {
  return fb::CreateReadIndexRequest(builder, request.context);
}

Offset<fb::ReadIndexResponse> Write(FlatBufferBuilder& builder,
                                    const raft::ReadIndexResponse& response) {
  return fb::CreateReadIndexResponse(builder, response.context, response.index, response.rejected);
}

Offset<fb::ForwardRequest> Write(FlatBufferBuilder& builder, const ForwardRequest& request) {
  const auto command = WriteBytes(builder, request.command.view());
  return fb::CreateForwardRequest(builder, request.id, request.term,
                                  static_cast<uint8_t>(request.kind), command, request.repeated,
                                  request.oldest);
}

Offset<fb::ForwardReply> Write(FlatBufferBuilder& builder, const ForwardReply& reply) {
  RAFTKV_CHECK(reply.text.size() <= kMaxForwardText);
  const auto result = WriteBytes(builder, reply.result);
  const auto text =
      reply.text.empty() ? Offset<flatbuffers::String>() : builder.CreateString(reply.text);
  return fb::CreateForwardReply(builder, reply.id, static_cast<uint8_t>(reply.outcome),
                                static_cast<uint8_t>(reply.reason), reply.leader, reply.index,
                                result, text);
}

Offset<fb::SnapshotChunk> Write(FlatBufferBuilder& builder, const SnapshotChunk& chunk) {
  RAFTKV_CHECK(chunk.bytes.size() <= kMaxSnapshotChunk);
  const auto bytes = WriteBytes(builder, chunk.bytes);
  const auto meta = Write(builder, chunk.meta);
  return fb::CreateSnapshotChunk(builder, meta, chunk.transfer, chunk.offset, chunk.total_size,
                                 chunk.digest, bytes);
}

Offset<fb::SnapshotAck> Write(FlatBufferBuilder& builder, const SnapshotAck& ack) {
  return fb::CreateSnapshotAck(builder, ack.transfer, static_cast<uint8_t>(ack.status),
                               ack.next_offset);
}

Offset<fb::EntryQuery> Write(FlatBufferBuilder& builder, const EntryQuery& query) {
  RAFTKV_CHECK(query.wanted.size() <= kMaxWantedEntries);
  const auto wanted = WriteStructs<fb::WantedEntry>(
      builder, query.wanted.size(), [next = query.wanted.begin()]() mutable {
        const WantedEntry& entry = *next++;
        return fb::WantedEntry(entry.index, entry.term, entry.known_index, entry.known_term);
      });
  return fb::CreateEntryQuery(builder, query.round, wanted, query.next_index, query.prev_term,
                              query.through_index, query.through_term);
}

Offset<fb::EntryAnswer> Write(FlatBufferBuilder& builder, const EntryAnswer& answer) {
  RAFTKV_CHECK(answer.verdicts.size() <= kMaxWantedEntries);
  const EntryVectors entries = Write(builder, answer.entries);
  const auto verdicts = WriteStructs<fb::EntryVerdict>(
      builder, answer.verdicts.size(), [next = answer.verdicts.begin()]() mutable {
        const EntryVerdict& verdict = *next++;
        return fb::EntryVerdict(verdict.index, static_cast<uint64_t>(verdict.kind), verdict.term,
                                verdict.known_term);
      });
  const LogExtent& from = answer.extent;
  const raft::Suspicion lost = from.lost.value_or(raft::Suspicion{0, 0, {}});
  const fb::LogExtent extent(from.base, from.last_index, from.last_term, from.commit, lost.index,
                             lost.term, static_cast<uint64_t>(lost.evidence));
  return fb::CreateEntryAnswer(builder, answer.round, &extent, verdicts, entries.heads,
                               entries.payloads, from.leads);
}

Offset<fb::SnapshotPull> Write(FlatBufferBuilder& builder, const SnapshotPull& pull) {
  return fb::CreateSnapshotPull(builder, pull.index, pull.offset, pull.length);
}

Offset<fb::SnapshotPiece> Write(FlatBufferBuilder& builder, const SnapshotPiece& piece) {
  RAFTKV_CHECK(piece.bytes.size() <= kMaxSnapshotChunk);
  const auto bytes = WriteBytes(builder, piece.bytes);
  const auto meta = piece.meta ? Write(builder, *piece.meta) : Offset<fb::SnapshotMeta>();
  return fb::CreateSnapshotPiece(builder, piece.asked_index, piece.offset, meta, piece.size,
                                 piece.digest, bytes);
}

// ---- reading
// -------------------------------------------------------------------------------------------------------------------------
// Each Read gets a verified table, says what is wrong with its meaning, and otherwise fills in the
// value.

// What is wrong; nothing if all is well.
using Problem = std::optional<std::string>;

template <typename... Parts>
Problem Wrong(const Parts&... parts) {
  return absl::StrCat(parts...);
}

// "Before the log" has index 0 and term 0, and nothing else has either.
Problem CheckPosition(absl::string_view name, raft::Index index, raft::Term position_term,
                      raft::Term term) {
  if ((index == 0) != (position_term == 0)) {
    return Wrong(name, "_index is ", index, " but ", name, "_term is ", position_term);
  }
  if (position_term > term) {
    return Wrong(name, "_term ", position_term, " is above the message's term ", term);
  }
  return std::nullopt;
}

// Entries as they are in a body.
struct EntryBytes {
  const fb::EntryHead* heads = nullptr;
  size_t count = 0;
  absl::string_view payloads;
};

Problem ViewEntries(const Heads* heads, const flatbuffers::Vector<uint8_t>* payloads,
                    EntryBytes* bytes) {
  if (!IsAligned(heads)) return Wrong("the entries are not aligned");
  bytes->payloads = ViewBytes(payloads);
  if (heads == nullptr || heads->size() == 0) return std::nullopt;
  bytes->heads = heads->Get(0);
  bytes->count = heads->size();
  return std::nullopt;
}

Problem ReadEntries(const EntryBytes& bytes, raft::Index prev_index, raft::Entries* entries) {
  if (bytes.count > ~prev_index) {
    return Wrong("prev_index ", prev_index, " leaves no room for entries");
  }
  absl::string_view rest = bytes.payloads;
  entries->reserve(bytes.count);  // 16 received bytes each: in proportion to what arrived
  for (size_t i = 0; i < bytes.count; ++i) {
    const fb::EntryHead& head = bytes.heads[i];
    if (head.size() > rest.size()) {
      return Wrong("entry ", i, " claims ", head.size(), " bytes, ", rest.size(), " are left");
    }
    if (head.type() > static_cast<uint32_t>(raft::EntryType::kMembership)) {
      return Wrong("entry ", i, " has unknown type ", head.type());
    }
    raft::Entry& entry = entries->emplace_back();
    entry.term = head.term();
    entry.type = static_cast<raft::EntryType>(head.type());
    entry.payload = raft::Payload::Copy(rest.substr(0, head.size()));
    rest.remove_prefix(head.size());
  }
  if (!rest.empty()) return Wrong(rest.size(), " bytes belong to no entry");
  return std::nullopt;
}

Problem ReadMembers(absl::string_view name, const Numbers* list, std::vector<NodeId>* out) {
  if (list == nullptr) return std::nullopt;
  if (!IsAligned(list)) return Wrong(name, " is not aligned");
  if (list->size() > kMaxMembers) return Wrong(name, " has ", list->size(), " members");
  NodeId before = raft::kNoNode;
  for (const NodeId node : *list) {
    if (node <= before) {
      return Wrong(name, " holds ", node, " after ", before, ": not sorted, or twice, or no node");
    }
    out->push_back(before = node);
  }
  return std::nullopt;
}

bool Intersects(const std::vector<NodeId>& a, const std::vector<NodeId>& b) {
  return std::any_of(a.begin(), a.end(),
                     [&](NodeId node) { return std::binary_search(b.begin(), b.end(), node); });
}

Problem ReadConf(const fb::Conf* in, raft::ConfState* conf) {
  if (in == nullptr) return Wrong("the snapshot's configuration is missing");
  if (Problem p = ReadMembers("voters", in->voters(), &conf->voters)) return p;
  if (Problem p = ReadMembers("voters_outgoing", in->voters_outgoing(), &conf->voters_outgoing)) {
    return p;
  }
  if (Problem p = ReadMembers("learners", in->learners(), &conf->learners)) return p;
  if (Problem p = ReadMembers("learners_next", in->learners_next(), &conf->learners_next)) return p;
  conf->auto_leave = in->auto_leave();

  if (conf->voters.empty()) return Wrong("the snapshot's configuration has no voters");
  if (Intersects(conf->learners, conf->voters) ||
      Intersects(conf->learners, conf->voters_outgoing)) {
    return Wrong("a learner of the snapshot's configuration is also a voter");
  }
  if (!std::includes(conf->voters_outgoing.begin(), conf->voters_outgoing.end(),
                     conf->learners_next.begin(), conf->learners_next.end())) {
    return Wrong("learners_next holds a node that is not in voters_outgoing");
  }
  if (Intersects(conf->learners_next, conf->voters)) {
    return Wrong("learners_next holds a node that stays a voter");
  }
  if (conf->auto_leave && conf->voters_outgoing.empty()) {
    return Wrong("auto_leave is set in a configuration that is not joint");
  }
  return std::nullopt;
}

Problem ReadMeta(const fb::SnapshotMeta* in, raft::Term term, raft::SnapshotMeta* meta) {
  if (in == nullptr) return Wrong("the snapshot's meta data are missing");
  meta->index = in->index();
  meta->term = in->term();
  if (meta->index == 0) return Wrong("the snapshot has index 0");
  if (Problem p = CheckPosition("snapshot", meta->index, meta->term, term)) return p;
  return ReadConf(in->conf(), &meta->conf);
}

Problem ReadAppend(const fb::LogPosition& at, const EntryBytes& entries, raft::Term term,
                   raft::AppendRequest* request) {
  request->prev_index = at.prev_index();
  request->prev_term = at.prev_term();
  request->commit = at.commit();
  if (Problem p = CheckPosition("prev", request->prev_index, request->prev_term, term)) return p;
  if (Problem p = ReadEntries(entries, request->prev_index, &request->entries)) return p;
  raft::Index index = request->prev_index;
  raft::Term before = std::max<raft::Term>(request->prev_term, 1);
  for (raft::Entry& entry : request->entries) {
    entry.index = ++index;
    if (entry.term < before || entry.term > term) {
      return Wrong("the entry at index ", index, " has term ", entry.term, ", outside ", before,
                   "..", term);
    }
    before = entry.term;
  }
  return std::nullopt;
}

Problem Read(const fb::AppendRequest& in, raft::Term term, raft::AppendRequest* request) {
  EntryBytes entries;
  if (Problem p = ViewEntries(in.heads(), in.payloads(), &entries)) return p;
  return ReadAppend(*in.at(), entries, term, request);
}

Problem ReadAnswer(const fb::LogAnswer& in, raft::Term term, raft::AppendResponse* response) {
  if (in.flags() > (kRejected | kLost)) return Wrong("flags are ", in.flags());
  *response = {in.index(), (in.flags() & kRejected) != 0, in.hint_index(), in.hint_term(),
               (in.flags() & kLost) != 0};
  if (response->lost && !response->rejected) return Wrong("an accepting answer tells of a loss");
  if (!response->rejected && (in.hint_index() != 0 || in.hint_term() != 0)) {
    return Wrong("an accepting answer carries a hint");
  }
  if (in.hint_index() > in.index()) {
    return Wrong("hint_index ", in.hint_index(), " is above the refused index ", in.index());
  }
  if (in.hint_term() > term) {
    return Wrong("hint_term ", in.hint_term(), " is above the message's term ", term);
  }
  return std::nullopt;
}

Problem Read(const fb::AppendResponse& table, raft::Term term, raft::AppendResponse* response) {
  return ReadAnswer(*table.answer(), term, response);
}

Problem Read(const fb::VoteRequest& in, raft::Term term, raft::VoteRequest* request) {
  *request = {in.pre_vote(),  in.transfer(), in.last_index(),
              in.last_term(), in.commit(),   in.commit_term()};
  if (Problem problem = CheckPosition("commit", in.commit(), in.commit_term(), term))
    return problem;
  return CheckPosition("last", in.last_index(), in.last_term(), term);
}

Problem Read(const fb::VoteResponse& in, raft::Term term, raft::VoteResponse* response) {
  *response = {in.pre_vote(), in.rejected(), in.commit(), in.commit_term()};
  return CheckPosition("commit", in.commit(), in.commit_term(), term);
}

Problem Read(const fb::Heartbeat& in, raft::Term, raft::Heartbeat* heartbeat) {
  *heartbeat = {in.commit(), in.read_round()};
  return std::nullopt;
}

Problem Read(const fb::HeartbeatResponse& in, raft::Term, raft::HeartbeatResponse* response) {
  *response = {in.read_round()};
  return std::nullopt;
}

Problem Read(const fb::InstallSnapshot& in, raft::Term term, raft::InstallSnapshot* install) {
  return ReadMeta(in.meta(), term, &install->meta);
}

Problem Read(const fb::TimeoutNow&, raft::Term, raft::TimeoutNow*) { return std::nullopt; }

Problem Read(const fb::ForwardedProposal& in, raft::Term, raft::ForwardedProposal* proposal) {
  EntryBytes entries;
  if (Problem p = ViewEntries(in.heads(), in.payloads(), &entries)) return p;
  if (Problem p = ReadEntries(entries, 0, &proposal->entries)) return p;
  for (const raft::Entry& entry : proposal->entries) {
    if (entry.term != 0) return Wrong("a proposed entry has term ", entry.term, " already");
  }
  return std::nullopt;
}

Problem Read(const fb::ForwardedTransfer& in, raft::Term, raft::ForwardedTransfer* transfer) {
  *transfer = {in.target()};
  if (in.target() == raft::kNoNode) return Wrong("the target is no node");
  return std::nullopt;
}

Problem Read(const fb::ReadIndexRequest& in, raft::Term, raft::ReadIndexRequest* request) {
  *request = {in.context()};
  return std::nullopt;
}

Problem Read(const fb::ReadIndexResponse& in, raft::Term, raft::ReadIndexResponse* response) {
  *response = {in.context(), in.index(), in.rejected()};
  return std::nullopt;
}

Problem Read(const fb::Hello& in, Hello* hello) {
  hello->cluster = {in.cluster_high(), in.cluster_low()};
  hello->protocol_min = in.protocol_min();
  hello->protocol_max = in.protocol_max();
  hello->features = in.features();
  const absl::string_view address = ViewBytes(in.address());
  if (in.protocol_min() == 0 || in.protocol_min() > in.protocol_max()) {
    return Wrong("protocol versions ", in.protocol_min(), "..", in.protocol_max(), " are no range");
  }
  if (address.size() > kMaxAddress) {
    return Wrong("the address is ", address.size(), " bytes, the limit is ", kMaxAddress);
  }
  // It ends up in logs and in other nodes' configuration.
  if (!std::all_of(address.begin(), address.end(), [](char c) { return c > ' ' && c <= '~'; })) {
    return Wrong("the address holds a byte that is not printable ASCII");
  }
  hello->address.assign(address.data(), address.size());
  return std::nullopt;
}

Problem Read(const fb::ForwardRequest& in, ForwardRequest* request) {
  if (in.kind() > static_cast<uint8_t>(ForwardKind::kMembership)) {
    return Wrong("unknown kind ", in.kind());
  }
  if (in.term() == 0) return Wrong("no term");
  if (in.oldest() > in.id()) return Wrong("oldest ", in.oldest(), " is behind the id ", in.id());
  request->id = in.id();
  request->term = in.term();
  request->kind = static_cast<ForwardKind>(in.kind());
  request->command = raft::Payload::Copy(ViewBytes(in.command()));
  request->repeated = in.repeated();
  request->oldest = in.oldest();
  return std::nullopt;
}

Problem Read(const fb::ForwardReply& in, ForwardReply* reply) {
  if (in.outcome() > static_cast<uint8_t>(ForwardOutcome::kUnknown)) {
    return Wrong("unknown outcome ", in.outcome());
  }
  if (in.reason() > static_cast<uint8_t>(kLastForwardReason)) {
    return Wrong("unknown reason ", in.reason());
  }
  reply->id = in.id();
  reply->outcome = static_cast<ForwardOutcome>(in.outcome());
  reply->reason = static_cast<ForwardReason>(in.reason());
  reply->leader = in.leader();
  reply->index = in.index();
  const absl::string_view result = ViewBytes(in.result());
  const bool applied = reply->outcome == ForwardOutcome::kApplied;
  if (applied != (reply->reason == ForwardReason::kNone)) {
    return Wrong("outcome ", in.outcome(), " does not go with reason ", in.reason());
  }
  if (!applied && (reply->index != 0 || !result.empty())) {
    return Wrong("a result for a command that was not applied");
  }
  reply->result.assign(result.data(), result.size());
  if (in.text() != nullptr) {
    if (in.text()->size() > kMaxForwardText)
      return Wrong("a text of ", in.text()->size(), " bytes");
    reply->text.assign(in.text()->data(), in.text()->size());
  }
  return std::nullopt;
}

Problem Read(const fb::SnapshotChunk& in, raft::Term term, SnapshotChunk* chunk) {
  if (Problem p = ReadMeta(in.meta(), term, &chunk->meta)) return p;
  chunk->term = term;
  chunk->transfer = in.transfer();
  chunk->offset = in.offset();
  chunk->total_size = in.total_size();
  chunk->digest = in.digest();
  const absl::string_view bytes = ViewBytes(in.bytes());
  if (bytes.size() > kMaxSnapshotChunk) {
    return Wrong(bytes.size(), " bytes, the limit is ", kMaxSnapshotChunk);
  }
  if (in.offset() > in.total_size() || bytes.size() > in.total_size() - in.offset()) {
    return Wrong(bytes.size(), " bytes at offset ", in.offset(), " of a snapshot of ",
                 in.total_size());
  }
  if (bytes.empty() && in.total_size() > 0) return Wrong("no bytes");
  chunk->bytes.assign(bytes.data(), bytes.size());
  return std::nullopt;
}

Problem Read(const fb::SnapshotAck& in, SnapshotAck* ack) {
  if (in.status() > static_cast<uint8_t>(SnapshotAckStatus::kFailed)) {
    return Wrong("unknown status ", in.status());
  }
  *ack = {in.transfer(), static_cast<SnapshotAckStatus>(in.status()), in.next_offset()};
  return std::nullopt;
}

bool OutOfRange(uint64_t term_or_index) { return term_or_index > raft::kMaxTermOrIndex; }

Problem ReadWantedEnd(const fb::EntryQuery& in, EntryQuery* query) {
  query->next_index = in.next_index();
  query->prev_term = in.prev_term();
  query->through_index = in.through_index();
  query->through_term = in.through_term();
  if (OutOfRange(in.next_index()) || OutOfRange(in.prev_term()) || OutOfRange(in.through_index()) ||
      OutOfRange(in.through_term())) {
    return Wrong("a number above ", raft::kMaxTermOrIndex);
  }
  if ((in.next_index() <= 1) != (in.prev_term() == 0)) {
    return Wrong("next_index is ", in.next_index(), " but prev_term is ", in.prev_term());
  }
  if (in.through_index() < in.next_index() || (in.next_index() == 0) != (in.through_index() == 0) ||
      (in.through_index() == 0) != (in.through_term() == 0)) {
    return Wrong("next_index is ", in.next_index(), " but through_index is ", in.through_index(),
                 " and through_term ", in.through_term());
  }
  if (in.through_term() < in.prev_term()) {
    return Wrong("through_term ", in.through_term(), " is below prev_term ", in.prev_term());
  }
  return std::nullopt;
}

Problem Read(const fb::EntryQuery& in, EntryQuery* query) {
  query->round = in.round();
  if (Problem p = ReadWantedEnd(in, query)) return p;
  if (in.wanted() == nullptr) return std::nullopt;
  if (!IsAligned(in.wanted())) return Wrong("the wanted entries are not aligned");
  if (in.wanted()->size() > kMaxWantedEntries) {
    return Wrong(in.wanted()->size(), " entries, the limit is ", kMaxWantedEntries);
  }
  if (in.next_index() != 0 && in.wanted()->size() > 0) {
    return Wrong(in.wanted()->size(), " entries and the end of the log are wanted at once");
  }
  raft::Index before = 0;
  for (const fb::WantedEntry* wanted : *in.wanted()) {
    const WantedEntry entry{wanted->index(), wanted->term(), wanted->known_index(),
                            wanted->known_term()};
    if (entry.index <= before) return Wrong("index ", entry.index, " follows ", before);
    if (entry.term == 0) return Wrong("index ", entry.index, " has no term");
    if (OutOfRange(entry.index) || OutOfRange(entry.term) || OutOfRange(entry.known_index) ||
        OutOfRange(entry.known_term)) {
      return Wrong("a number above ", raft::kMaxTermOrIndex);
    }
    if ((entry.known_index == 0) != (entry.known_term == 0)) {
      return Wrong("known_index is ", entry.known_index, " but known_term is ", entry.known_term);
    }
    if (entry.known_index != 0 && entry.known_index <= entry.index) {
      return Wrong("known_index ", entry.known_index, " is not behind ", entry.index);
    }
    if (entry.known_term != 0 && entry.known_term < entry.term) {
      return Wrong("known_term ", entry.known_term, " is below term ", entry.term);
    }
    before = entry.index;
    query->wanted.push_back(entry);
  }
  return std::nullopt;
}

Problem ReadVerdicts(const flatbuffers::Vector<const fb::EntryVerdict*>* in,
                     std::vector<EntryVerdict>* verdicts) {
  if (in == nullptr) return std::nullopt;
  if (!IsAligned(in)) return Wrong("the verdicts are not aligned");
  if (in->size() > kMaxWantedEntries) {
    return Wrong(in->size(), " verdicts, the limit is ", kMaxWantedEntries);
  }
  raft::Index before = 0;
  for (const fb::EntryVerdict* verdict : *in) {
    if (verdict->index() <= before) return Wrong("index ", verdict->index(), " follows ", before);
    if (verdict->kind() > static_cast<uint64_t>(EntryVerdict::Kind::kCompacted)) {
      return Wrong("unknown verdict ", verdict->kind());
    }
    if (OutOfRange(verdict->index()) || OutOfRange(verdict->term()) ||
        OutOfRange(verdict->known_term())) {
      return Wrong("a number above ", raft::kMaxTermOrIndex);
    }
    const EntryVerdict out{verdict->index(), static_cast<EntryVerdict::Kind>(verdict->kind()),
                           verdict->term(), verdict->known_term()};
    const bool holds =
        out.kind == EntryVerdict::Kind::kHave || out.kind == EntryVerdict::Kind::kOther;
    if (holds != (out.term != 0)) {
      return Wrong("verdict ", verdict->kind(), " on index ", out.index, " with term ", out.term);
    }
    before = out.index;
    verdicts->push_back(out);
  }
  return std::nullopt;
}

Problem ReadExtent(const fb::LogExtent& in, LogExtent* extent) {
  *extent = {in.base(), in.last_index(), in.last_term(), in.commit(), std::nullopt, 0};
  if (OutOfRange(in.base()) || OutOfRange(in.last_index()) || OutOfRange(in.last_term()) ||
      OutOfRange(in.commit()) || OutOfRange(in.lost_index()) || OutOfRange(in.lost_term())) {
    return Wrong("a number above ", raft::kMaxTermOrIndex);
  }
  if (Problem p = CheckPosition("last", in.last_index(), in.last_term(), in.last_term())) return p;
  if (in.base() > in.last_index()) {
    return Wrong("base ", in.base(), " is behind the last entry, ", in.last_index());
  }
  if (in.lost_evidence() > static_cast<uint64_t>(raft::Suspicion::Evidence::kProven)) {
    return Wrong("unknown evidence ", in.lost_evidence());
  }
  if ((in.lost_index() == 0) != (in.lost_term() == 0)) {
    return Wrong("lost_index is ", in.lost_index(), " but lost_term is ", in.lost_term());
  }
  if (in.lost_index() == 0 && in.lost_evidence() != 0) return Wrong("evidence of no loss");
  if (in.lost_index() != 0) {
    extent->lost = raft::Suspicion{in.lost_index(), in.lost_term(),
                                   static_cast<raft::Suspicion::Evidence>(in.lost_evidence())};
  }
  return std::nullopt;
}

Problem Read(const fb::EntryAnswer& in, EntryAnswer* answer) {
  answer->round = in.round();
  if (Problem p = ReadExtent(*in.extent(), &answer->extent)) return p;
  answer->extent.leads = in.leads();
  if (OutOfRange(in.leads())) return Wrong("leads is above ", raft::kMaxTermOrIndex);
  if (in.leads() != 0 && in.leads() < answer->extent.last_term) {
    return Wrong("leads term ", in.leads(), " and has an entry of term ", answer->extent.last_term);
  }
  if (Problem p = ReadVerdicts(in.verdicts(), &answer->verdicts)) return p;
  EntryBytes entries;
  if (Problem p = ViewEntries(in.heads(), in.payloads(), &entries)) return p;
  if (Problem p = ReadEntries(entries, 0, &answer->entries)) return p;
  auto entry = answer->entries.begin();
  for (const EntryVerdict& verdict : answer->verdicts) {
    if (verdict.kind != EntryVerdict::Kind::kHave) continue;
    if (entry == answer->entries.end() || entry->term != verdict.term) {
      return Wrong("the entry at index ", verdict.index, " is missing or of another term");
    }
    entry++->index = verdict.index;
  }
  if (entry != answer->entries.end()) return Wrong("entries that no verdict speaks of");
  return std::nullopt;
}

Problem Read(const fb::SnapshotPull& in, SnapshotPull* pull) {
  *pull = {in.index(), in.offset(), in.length()};
  if (in.length() == 0 || in.length() > kMaxSnapshotChunk) {
    return Wrong("length ", in.length(), ", the limit is ", kMaxSnapshotChunk);
  }
  return std::nullopt;
}

Problem Read(const fb::SnapshotPiece& in, SnapshotPiece* piece) {
  piece->asked_index = in.asked_index();
  piece->offset = in.offset();
  const absl::string_view bytes = ViewBytes(in.bytes());
  if (in.meta() == nullptr) {
    if (in.size() != 0 || in.digest() != 0 || !bytes.empty()) return Wrong("bytes of no snapshot");
    return std::nullopt;
  }
  if (Problem p = ReadMeta(in.meta(), raft::kMaxTermOrIndex, &piece->meta.emplace())) return p;
  if (OutOfRange(piece->meta->index)) return Wrong("a number above ", raft::kMaxTermOrIndex);
  if (in.asked_index() != 0 && in.asked_index() != piece->meta->index) {
    return Wrong("of the snapshot at ", piece->meta->index, ", not ", in.asked_index());
  }
  piece->size = in.size();
  piece->digest = in.digest();
  if (bytes.size() > kMaxSnapshotChunk) {
    return Wrong(bytes.size(), " bytes, the limit is ", kMaxSnapshotChunk);
  }
  if (in.offset() > in.size() || bytes.size() > in.size() - in.offset()) {
    return Wrong(bytes.size(), " bytes at offset ", in.offset(), " of a snapshot of ", in.size());
  }
  if (bytes.empty() && in.size() > 0) return Wrong("no bytes");
  piece->bytes.assign(bytes.data(), bytes.size());
  return std::nullopt;
}

// Forwarded requests are not bound to a term; a node that has never heard of one may still refuse a
// pre-vote.
bool MayHaveTermZero(const raft::MessageBody& body) {
  if (const auto* vote = std::get_if<raft::VoteResponse>(&body)) {
    return vote->pre_vote && vote->rejected;
  }
  return std::holds_alternative<raft::ForwardedProposal>(body) ||
         std::holds_alternative<raft::ForwardedTransfer>(body) ||
         std::holds_alternative<raft::ReadIndexRequest>(body);
}

raft::Message& StartMessage(const fb::Envelope& envelope, PeerBody* out) {
  // Its body is made anew by the caller; what an earlier message left there goes then.
  auto* kept = std::get_if<raft::Message>(out);
  raft::Message& message = kept != nullptr ? *kept : out->emplace<raft::Message>();
  message.from = envelope.from();
  message.to = envelope.to();
  message.term = envelope.term();
  return message;
}

template <typename Value, typename Table>
Problem ReadRaft(const Table& table, const fb::Peer& peer, PeerBody* out) {
  raft::Message& message = StartMessage(*peer.envelope(), out);
  if (Problem p = Read(table, message.term, &message.body.emplace<Value>())) return p;
  if (message.term == 0 && !MayHaveTermZero(message.body)) return Wrong("term 0");
  return std::nullopt;
}

template <typename Value, typename Table>
Problem ReadPlain(const Table& table, PeerBody* out) {
  return Read(table, &out->emplace<Value>());
}

Problem ReadBody(const fb::Peer& peer, PeerBody* out) {
  if (peer.body() == nullptr) return Wrong("no body");
  switch (peer.body_type()) {
    case fb::Body::Hello:
      return ReadPlain<Hello>(*peer.body_as_Hello(), out);
    case fb::Body::AppendRequest:
      return ReadRaft<raft::AppendRequest>(*peer.body_as_AppendRequest(), peer, out);
    case fb::Body::AppendResponse:
      return ReadRaft<raft::AppendResponse>(*peer.body_as_AppendResponse(), peer, out);
    case fb::Body::VoteRequest:
      return ReadRaft<raft::VoteRequest>(*peer.body_as_VoteRequest(), peer, out);
    case fb::Body::VoteResponse:
      return ReadRaft<raft::VoteResponse>(*peer.body_as_VoteResponse(), peer, out);
    case fb::Body::Heartbeat:
      return ReadRaft<raft::Heartbeat>(*peer.body_as_Heartbeat(), peer, out);
    case fb::Body::HeartbeatResponse:
      return ReadRaft<raft::HeartbeatResponse>(*peer.body_as_HeartbeatResponse(), peer, out);
    case fb::Body::InstallSnapshot:
      return ReadRaft<raft::InstallSnapshot>(*peer.body_as_InstallSnapshot(), peer, out);
    case fb::Body::TimeoutNow:
      return ReadRaft<raft::TimeoutNow>(*peer.body_as_TimeoutNow(), peer, out);
    case fb::Body::ForwardedProposal:
      return ReadRaft<raft::ForwardedProposal>(*peer.body_as_ForwardedProposal(), peer, out);
    case fb::Body::ForwardedTransfer:
      return ReadRaft<raft::ForwardedTransfer>(*peer.body_as_ForwardedTransfer(), peer, out);
    case fb::Body::ReadIndexRequest:
      return ReadRaft<raft::ReadIndexRequest>(*peer.body_as_ReadIndexRequest(), peer, out);
    case fb::Body::ReadIndexResponse:
      return ReadRaft<raft::ReadIndexResponse>(*peer.body_as_ReadIndexResponse(), peer, out);
    case fb::Body::ForwardRequest:
      return ReadPlain<ForwardRequest>(*peer.body_as_ForwardRequest(), out);
    case fb::Body::ForwardReply:
      return ReadPlain<ForwardReply>(*peer.body_as_ForwardReply(), out);
    case fb::Body::SnapshotChunk:
      return Read(*peer.body_as_SnapshotChunk(), peer.envelope()->term(),
                  &out->emplace<SnapshotChunk>());
    case fb::Body::SnapshotAck:
      return ReadPlain<SnapshotAck>(*peer.body_as_SnapshotAck(), out);
    case fb::Body::EntryQuery:
      return ReadPlain<EntryQuery>(*peer.body_as_EntryQuery(), out);
    case fb::Body::EntryAnswer:
      return ReadPlain<EntryAnswer>(*peer.body_as_EntryAnswer(), out);
    case fb::Body::SnapshotPull:
      return ReadPlain<SnapshotPull>(*peer.body_as_SnapshotPull(), out);
    case fb::Body::SnapshotPiece:
      return ReadPlain<SnapshotPiece>(*peer.body_as_SnapshotPiece(), out);
    case fb::Body::NONE:
      break;
  }
  return Wrong("unknown kind ", static_cast<int>(peer.body_type()));
}

Problem ReadEnvelope(const fb::Envelope& in, fb::Body kind, Envelope* envelope) {
  *envelope = {in.group(), in.from(), in.from_incarnation(), in.to(), in.to_incarnation()};
  if (in.from() == raft::kNoNode) return Wrong("the sender is no node");
  if (in.from_incarnation() == 0) return Wrong("the sender's incarnation is 0");
  if (in.from() == in.to()) return Wrong("sender and receiver are the same node");
  if (in.to() == raft::kNoNode && kind != fb::Body::Hello) {
    return Wrong("the receiver is no node");
  }
  return std::nullopt;
}

const AppendLayouts& Layouts() {
  static const AppendLayouts layouts;
  return layouts;
}

Problem ReadRecognised(const AppendLayouts::Recognised& in, PeerBody* out) {
  raft::Message& message = StartMessage(*in.envelope, out);
  if (message.term == 0) return Wrong("term 0");
  if (in.answer != nullptr) {
    return ReadAnswer(*in.answer, message.term, &message.body.emplace<raft::AppendResponse>());
  }
  const AppendLayouts::Append& append = in.append;
  return ReadAppend(*append.at, {append.heads, append.count, append.payloads}, message.term,
                    &message.body.emplace<raft::AppendRequest>());
}

absl::Status Refuse(const fb::Envelope& envelope, fb::Body kind, const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat("peer message from node ", envelope.from(), ", ",
                                                 fb::EnumNameBody(kind), ": ", problem));
}

absl::Status DecodeAligned(absl::string_view body, PeerMessage* message) {
  if (const AppendLayouts::Recognised known = Layouts().Recognise(body);
      known.envelope != nullptr) {
    const fb::Body kind =
        known.answer != nullptr ? fb::Body::AppendResponse : fb::Body::AppendRequest;
    Problem problem = ReadEnvelope(*known.envelope, kind, &message->envelope);
    if (!problem) problem = ReadRecognised(known, &message->body);
    return problem ? Refuse(*known.envelope, kind, *problem) : absl::OkStatus();
  }
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(body.data()), body.size(),
                                 /*max_depth=*/kTables, /*max_tables=*/kTables);
  if (!fb::VerifyPeerBuffer(verifier)) {
    return absl::InvalidArgumentError(
        absl::StrCat("peer message: ", body.size(), " bytes without a valid structure"));
  }
  const fb::Peer& peer = *fb::GetPeer(body.data());
  Problem problem = ReadEnvelope(*peer.envelope(), peer.body_type(), &message->envelope);
  if (!problem) problem = ReadBody(peer, &message->body);
  return problem ? Refuse(*peer.envelope(), peer.body_type(), *problem) : absl::OkStatus();
}

}  // namespace

class PeerEncoder::Impl {
 public:
  absl::string_view Encode(const Envelope& envelope, const raft::Message& message);
  absl::string_view Encode(const PeerMessage& message);

 private:
  void Begin() {
    if (builder_.GetSize() > kKeepBuilder) {
      builder_.Reset();
    } else {
      builder_.Clear();
    }
    builder_.Align(kFrameAlignment);  // makes Finish pad the whole to this
  }

  static fb::Envelope ToWire(const Envelope& envelope, raft::Term term) {
    return fb::Envelope(envelope.group, envelope.from, envelope.from_incarnation, envelope.to,
                        envelope.to_incarnation, term);
  }

  // The two messages of replication mostly fit a pattern: a copy and a few numbers.
  template <typename Body>
  absl::string_view EncodeBody(const Envelope& envelope, raft::Term term, const Body& body) {
    if constexpr (std::is_same_v<Body, raft::AppendRequest>) {
      raft::Index expected = body.prev_index;
      for (const raft::Entry& entry : body.entries) RAFTKV_CHECK(entry.index == ++expected);
      if (const size_t size = layouts_.BodySize(body); size > 0) {
        layouts_.Write(ToWire(envelope, term), body, Room(size));
        return Framed(size);
      }
    } else if constexpr (std::is_same_v<Body, raft::AppendResponse>) {
      const size_t size = layouts_.AnswerSize();
      layouts_.Write(ToWire(envelope, term), ToAnswer(body), Room(size));
      return Framed(size);
    }
    Begin();
    return Finish(envelope, term, Write(builder_, body));
  }

  // Where a body of this size is written, with room for the header in front of it.
  uint8_t* Room(size_t size) {
    const size_t words = (kFrameHeaderSize + size) / sizeof(uint64_t);
    if (room_.size() < words) room_.resize(std::max(words, 2 * room_.size()));
    return reinterpret_cast<uint8_t*>(room_.data()) + kFrameHeaderSize;
  }

  absl::string_view Framed(size_t size) {
    char* frame = reinterpret_cast<char*>(room_.data());
    WriteFrameHeader({frame + kFrameHeaderSize, size}, frame);
    return {frame, kFrameHeaderSize + size};
  }

  template <typename Table>
  absl::string_view Finish(const Envelope& envelope, raft::Term term, Offset<Table> body) {
    const fb::Envelope written = ToWire(envelope, term);
    builder_.Finish(
        fb::CreatePeer(builder_, &written, fb::BodyTraits<Table>::enum_value, body.Union()));
    // The builder grows towards lower addresses, so the header goes in front without a copy.
    char header[kFrameHeaderSize];
    WriteFrameHeader(Written(), header);
    builder_.PushBytes(reinterpret_cast<const uint8_t*>(header), sizeof(header));
    return Written();
  }

  absl::string_view Written() const {
    return {reinterpret_cast<const char*>(builder_.GetBufferPointer()), builder_.GetSize()};
  }

  const AppendLayouts& layouts_ = Layouts();
  FlatBufferBuilder builder_;
  std::vector<uint64_t> room_;
};

absl::string_view PeerEncoder::Impl::Encode(const Envelope& envelope,
                                            const raft::Message& message) {
  RAFTKV_CHECK(message.from == envelope.from && message.to == envelope.to);
  return std::visit([&](const auto& body) { return EncodeBody(envelope, message.term, body); },
                    message.body);
}

absl::string_view PeerEncoder::Impl::Encode(const PeerMessage& message) {
  if (const auto* raft_message = std::get_if<raft::Message>(&message.body)) {
    return Encode(message.envelope, *raft_message);
  }
  Begin();
  return std::visit(
      [&](const auto& body) -> absl::string_view {
        using Value = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<Value, raft::Message>) {
          return {};  // handled above
        } else if constexpr (std::is_same_v<Value, SnapshotChunk>) {
          return Finish(message.envelope, body.term, Write(builder_, body));
        } else {
          return Finish(message.envelope, 0, Write(builder_, body));
        }
      },
      message.body);
}

PeerEncoder::PeerEncoder() : impl_(std::make_unique<Impl>()) {}
PeerEncoder::~PeerEncoder() = default;
PeerEncoder::PeerEncoder(PeerEncoder&&) noexcept = default;
PeerEncoder& PeerEncoder::operator=(PeerEncoder&&) noexcept = default;

absl::string_view PeerEncoder::Encode(const PeerMessage& message) { return impl_->Encode(message); }

absl::string_view PeerEncoder::Encode(const Envelope& envelope, const raft::Message& message) {
  return impl_->Encode(envelope, message);
}

void PeerEncoder::AppendTo(const PeerMessage& message, std::string* out) {
  const absl::string_view frame = Encode(message);
  out->append(frame.data(), frame.size());
}

void PeerEncoder::AppendTo(const Envelope& envelope, const raft::Message& message,
                           std::string* out) {
  const absl::string_view frame = Encode(envelope, message);
  out->append(frame.data(), frame.size());
}

absl::Status DecodePeer(absl::string_view body, PeerMessage* message) {
  if (body.size() > kMaxFrameBody || body.size() % kFrameAlignment != 0) {
    return absl::InvalidArgumentError(absl::StrCat("peer message: ", body.size(),
                                                   " bytes; the limit is ", kMaxFrameBody,
                                                   ", in multiples of ", kFrameAlignment));
  }
  if (IsAligned(body)) return DecodeAligned(body, message);
  const AlignedCopy copy(body);
  return DecodeAligned(copy.view(), message);
}

absl::StatusOr<PeerMessage> DecodePeer(absl::string_view body) {
  absl::StatusOr<PeerMessage> message(absl::in_place);
  if (absl::Status status = DecodePeer(body, &*message); !status.ok()) message = std::move(status);
  return message;
}

uint32_t AgreedProtocol(const Hello& a, const Hello& b) {
  const uint32_t highest = std::min(a.protocol_max, b.protocol_max);
  return highest >= std::max(a.protocol_min, b.protocol_min) ? highest : 0;
}

absl::string_view KindName(const PeerBody& body) {
  // In the order of the alternatives of PeerBody and raft::MessageBody.
  static constexpr const char* kBodies[] = {
      "Hello",       "Message",    "ForwardRequest", "ForwardReply", "SnapshotChunk",
      "SnapshotAck", "EntryQuery", "EntryAnswer",    "SnapshotPull", "SnapshotPiece"};
  static constexpr const char* kMessages[] = {
      "AppendRequest",     "AppendResponse",    "VoteRequest",      "VoteResponse",
      "Heartbeat",         "HeartbeatResponse", "InstallSnapshot",  "TimeoutNow",
      "ForwardedProposal", "ForwardedTransfer", "ReadIndexRequest", "ReadIndexResponse"};
  static_assert(std::size(kBodies) == std::variant_size_v<PeerBody>);
  static_assert(std::size(kMessages) == std::variant_size_v<raft::MessageBody>);
  if (const auto* message = std::get_if<raft::Message>(&body)) {
    return kMessages[message->body.index()];
  }
  return kBodies[body.index()];
}

}  // namespace raftkv::wire
