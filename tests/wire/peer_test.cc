#include "core/wire/peer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>

#include "core/wire/frame.h"
#include "tests/wire/golden.h"
#include "tests/wire/samples.h"

namespace raftkv::wire {
namespace {

using raft::Payload;
using ::testing::AllOf;
using ::testing::HasSubstr;

absl::StatusOr<PeerMessage> DecodeFrame(absl::string_view frame) {
  FrameReader reader;
  reader.Feed(frame);
  absl::string_view body;
  if (!reader.Next(&body)) return reader.status();
  return DecodePeer(body);
}

PeerMessage RoundTrip(const PeerMessage& message) {
  PeerEncoder encoder;
  const absl::StatusOr<PeerMessage> decoded = DecodeFrame(encoder.Encode(message));
  EXPECT_TRUE(decoded.ok()) << decoded.status();
  return decoded.ok() ? *decoded : PeerMessage();
}

PeerMessage Sample(absl::string_view name) {
  for (auto& [sample_name, message] : PeerSamples()) {
    if (sample_name == name) return message;
  }
  ADD_FAILURE() << "no sample " << name;
  return {};
}

template <typename Body>
PeerMessage RaftSample(absl::string_view name, void (*change)(raft::Message*, Body*)) {
  PeerMessage message = Sample(name);
  auto& raft_message = std::get<raft::Message>(message.body);
  change(&raft_message, &std::get<Body>(raft_message.body));
  return message;
}

template <typename Body>
PeerMessage PlainSample(absl::string_view name, void (*change)(Body*)) {
  PeerMessage message = Sample(name);
  change(&std::get<Body>(message.body));
  return message;
}

// What the decoder says of a message that the encoder wrote although it should not exist.
std::string Refusal(const PeerMessage& message) {
  PeerEncoder encoder;
  const absl::StatusOr<PeerMessage> decoded = DecodeFrame(encoder.Encode(message));
  EXPECT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(decoded.status().message());
}

TEST(PeerTest, GoldenBytes) {
  PeerEncoder encoder;
  for (const auto& [name, message] : PeerSamples()) {
    SCOPED_TRACE(name);
    const std::string encoded(encoder.Encode(message));
    const std::string golden = GoldenBytes("peer_" + name, encoded);
    EXPECT_EQ(HexLines(encoded), HexLines(golden));
    const absl::StatusOr<PeerMessage> decoded = DecodeFrame(golden);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, message);
  }
}

TEST(PeerTest, SamplesCoverEveryKind) {
  std::set<std::string> kinds;
  for (const auto& [name, message] : PeerSamples()) kinds.emplace(KindName(message.body));
  EXPECT_EQ(kinds.size(), kPeerKinds);
}

TEST(PeerTest, RandomMessagesOfEveryKindSurvive) {
  Random random = Random::Stream(1, "peer round trip");
  PeerEncoder encoder;  // one for all: nothing may be left over from the message before
  for (int round = 0; round < 300; ++round) {
    for (size_t kind = 0; kind < kPeerKinds; ++kind) {
      const PeerMessage message = RandomPeerMessage(kind, &random);
      const absl::StatusOr<PeerMessage> decoded = DecodeFrame(encoder.Encode(message));
      ASSERT_TRUE(decoded.ok()) << decoded.status();
      ASSERT_EQ(*decoded, message) << KindName(message.body);
    }
  }
}

TEST(PeerTest, BothFormsOfEncodingGiveTheSameBytes) {
  PeerEncoder encoder;
  for (const auto& [name, message] : PeerSamples()) {
    const std::string encoded(encoder.Encode(message));
    std::string appended = "before";
    encoder.AppendTo(message, &appended);
    EXPECT_EQ(appended, "before" + encoded) << name;
    if (const auto* raft_message = std::get_if<raft::Message>(&message.body)) {
      EXPECT_EQ(encoder.Encode(message.envelope, *raft_message), encoded) << name;
    }
  }
}

TEST(PeerTest, DecodedMessagesDoNotReferToTheInput) {
  PeerEncoder encoder;
  const PeerMessage message = Sample("append_request");
  auto bytes = std::make_unique<std::string>(encoder.Encode(message));
  const absl::StatusOr<PeerMessage> decoded = DecodeFrame(*bytes);
  std::fill(bytes->begin(), bytes->end(), 'x');
  bytes.reset();
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, message);
}

TEST(PeerTest, UnalignedBodiesDecodeToo) {
  PeerEncoder encoder;
  for (const auto& [name, message] : PeerSamples()) {
    const absl::string_view frame = encoder.Encode(message);
    for (size_t shift = 1; shift < 8; ++shift) {
      const std::string shifted =
          std::string(shift, 'x') + std::string(frame.substr(kFrameHeaderSize));
      const auto decoded = DecodePeer(absl::string_view(shifted).substr(shift));
      ASSERT_TRUE(decoded.ok()) << name << " " << decoded.status();
      EXPECT_EQ(*decoded, message);
    }
  }
}

// A body reaches the decoder only with a good checksum, but nothing here may depend on that.
TEST(PeerTest, EveryDamagedByteAndEveryPrefixIsHarmless) {
  PeerEncoder encoder;
  PeerEncoder again;
  size_t refused = 0;
  for (const auto& [name, message] : PeerSamples()) {
    const std::string body(encoder.Encode(message).substr(kFrameHeaderSize));
    for (size_t i = 0; i < body.size(); ++i) {
      EXPECT_FALSE(DecodePeer(absl::string_view(body).substr(0, i)).ok()) << name << " " << i;
      for (int value = 0; value < 256; ++value) {
        std::string damaged = body;
        damaged[i] = static_cast<char>(value);
        const absl::StatusOr<PeerMessage> decoded = DecodePeer(damaged);
        if (!decoded.ok()) {
          ++refused;
        } else {
          // Whatever is accepted is a message that our own encoder may write and read back.
          ASSERT_EQ(RoundTrip(*decoded), *decoded) << name << " byte " << i << " = " << value;
        }
      }
    }
  }
  EXPECT_GT(refused, 1000u);
}

TEST(PeerTest, RandomBytesAreRefused) {
  Random random = Random::Stream(1, "peer garbage");
  for (int i = 0; i < 20000; ++i) EXPECT_FALSE(DecodePeer(RandomBytes(300, &random)).ok());
  EXPECT_FALSE(DecodePeer("").ok());
  EXPECT_THAT(std::string(DecodePeer(std::string(kMaxFrameBody + 8, 'x')).status().message()),
              HasSubstr("the limit is"));
}

TEST(PeerTest, ErrorsNameSenderKindAndField) {
  EXPECT_EQ(Refusal(RaftSample<raft::AppendRequest>(
                "append_request",
                [](raft::Message*, raft::AppendRequest* body) { body->entries[1].term = 9; })),
            "peer message from node 1, AppendRequest: the entry at index 43 has term 9, outside "
            "6..7");
}

TEST(PeerTest, EntriesMustBeWhatALeaderCanHave) {
  using Body = raft::AppendRequest;
  const auto refusal = [](void (*change)(raft::Message*, Body*)) {
    return Refusal(RaftSample<Body>("append_request", change));
  };
  EXPECT_THAT(refusal([](raft::Message*, Body* b) { b->entries[1].term = 5; }),
              HasSubstr("term 5"));
  EXPECT_THAT(refusal([](raft::Message*, Body* b) { b->entries[0].term = 0; }),
              HasSubstr("term 0"));
  EXPECT_THAT(refusal([](raft::Message*, Body* b) { b->prev_term = 0; }),
              HasSubstr("prev_index is 41 but prev_term is 0"));
  EXPECT_THAT(refusal([](raft::Message*, Body* b) { b->prev_term = 8; }),
              HasSubstr("above the message's term"));
  EXPECT_THAT(refusal([](raft::Message* m, Body*) { m->term = 0; }), HasSubstr("term"));
  EXPECT_THAT(refusal([](raft::Message*, Body* b) {
                b->entries[0].type = static_cast<raft::EntryType>(2);
              }),
              HasSubstr("entry 0 has unknown type 2"));
  // Indexes that would wrap around.
  EXPECT_THAT(refusal([](raft::Message*, Body* b) {
                b->prev_index = ~uint64_t{0} - 1;
                b->entries[0].index = ~uint64_t{0};
                b->entries[1].index = 0;
                b->entries[2].index = 1;
              }),
              HasSubstr("leaves no room"));
}

// A verified vector may still start where its elements cannot be read in place.
TEST(PeerTest, MisplacedVectorsAreRefused) {
  PeerMessage message = Sample("append_request");
  auto& raft_message = std::get<raft::Message>(message.body);
  // Four bytes further on, the term of the first entry is a vector's length.
  raft_message.term = 1;
  raft_message.body =
      raft::AppendRequest{0, 0, 0, {{1, 1, Payload::Copy("0123456789"), {}}, {1, 2, {}, {}}}};
  PeerEncoder encoder;
  const std::string body(encoder.Encode(message).substr(kFrameHeaderSize));
  size_t refused = 0;
  for (size_t i = 0; i + 4 <= body.size(); i += 4) {
    std::string damaged = body;
    damaged[i] = static_cast<char>(damaged[i] + 4);
    const absl::StatusOr<PeerMessage> decoded = DecodePeer(damaged);
    const std::string text(decoded.status().message());
    refused += text.find("the entries are not aligned") != std::string::npos ? 1u : 0u;
  }
  EXPECT_EQ(refused, 1u);
}

TEST(PeerTest, PositionsHintsAndTermsMustFitTogether) {
  EXPECT_THAT(
      Refusal(RaftSample<raft::AppendResponse>(
          "append_response", [](raft::Message*, raft::AppendResponse* b) { b->hint_index = 1; })),
      HasSubstr("carries a hint"));
  EXPECT_THAT(
      Refusal(RaftSample<raft::AppendResponse>(
          "append_response", [](raft::Message*, raft::AppendResponse* b) { b->lost = true; })),
      HasSubstr("tells of a loss"));
  EXPECT_THAT(Refusal(RaftSample<raft::AppendResponse>(
                  "append_response_rejected",
                  [](raft::Message*, raft::AppendResponse* b) { b->hint_index = 42; })),
              HasSubstr("above the refused index 41"));
  EXPECT_THAT(Refusal(RaftSample<raft::AppendResponse>(
                  "append_response_rejected",
                  [](raft::Message*, raft::AppendResponse* b) { b->hint_term = 8; })),
              HasSubstr("hint_term 8"));
  EXPECT_THAT(Refusal(RaftSample<raft::VoteRequest>(
                  "vote_request", [](raft::Message*, raft::VoteRequest* b) { b->last_term = 9; })),
              HasSubstr("last_term 9"));
  EXPECT_THAT(Refusal(RaftSample<raft::Heartbeat>(
                  "heartbeat", [](raft::Message* m, raft::Heartbeat*) { m->term = 0; })),
              HasSubstr("term 0"));
  EXPECT_THAT(Refusal(RaftSample<raft::VoteResponse>(
                  "pre_vote_response", [](raft::Message* m, raft::VoteResponse*) { m->term = 0; })),
              HasSubstr("term 0"));
  EXPECT_THAT(
      Refusal(RaftSample<raft::ForwardedTransfer>(
          "forwarded_transfer", [](raft::Message*, raft::ForwardedTransfer* b) { b->target = 0; })),
      HasSubstr("no node"));
  EXPECT_THAT(Refusal(RaftSample<raft::ForwardedProposal>(
                  "forwarded_proposal",
                  [](raft::Message*, raft::ForwardedProposal* b) { b->entries[0].term = 1; })),
              HasSubstr("has term 1 already"));
}

TEST(PeerTest, ConfigurationsMustBeSound) {
  using Body = raft::InstallSnapshot;
  const auto refusal = [](void (*change)(raft::Message*, Body*)) {
    return Refusal(RaftSample<Body>("install_snapshot", change));
  };
  EXPECT_THAT(refusal([](raft::Message*, Body* b) { b->meta.index = 0; }), HasSubstr("index 0"));
  EXPECT_THAT(refusal([](raft::Message*, Body* b) { b->meta.term = 8; }), HasSubstr("term 8"));
  EXPECT_THAT(refusal([](raft::Message*, Body* b) { b->meta.conf.voters.clear(); }),
              HasSubstr("no voters"));
  EXPECT_THAT(refusal([](raft::Message*, Body* b) {
                b->meta.conf.voters = {2, 1};
              }),
              HasSubstr("voters holds 1 after 2"));
  EXPECT_THAT(refusal([](raft::Message*, Body* b) {
                b->meta.conf.voters = {1, 1};
              }),
              HasSubstr("voters holds 1 after 1"));
  EXPECT_THAT(refusal([](raft::Message*, Body* b) {
                b->meta.conf.voters = {0, 1};
              }),
              HasSubstr("voters holds 0"));
  EXPECT_THAT(refusal([](raft::Message*, Body* b) {
                b->meta.conf.voters.clear();
                for (NodeId node = 1; node <= 65; ++node) b->meta.conf.voters.push_back(node);
              }),
              HasSubstr("voters has 65 members"));
  EXPECT_THAT(refusal([](raft::Message*, Body* b) { b->meta.conf.learners = {3}; }),
              HasSubstr("learner"));
  EXPECT_THAT(refusal([](raft::Message*, Body* b) { b->meta.conf.learners_next = {9}; }),
              HasSubstr("not in voters_outgoing"));
  EXPECT_THAT(refusal([](raft::Message*, Body* b) { b->meta.conf.learners_next = {1}; }),
              HasSubstr("stays a voter"));
  EXPECT_THAT(refusal([](raft::Message*, Body* b) {
                b->meta.conf.voters_outgoing.clear();
                b->meta.conf.learners_next.clear();
              }),
              HasSubstr("auto_leave"));
}

TEST(PeerTest, QueriesMustAskForSomethingThatCanBe) {
  const auto refusal = [](void (*change)(EntryQuery*)) {
    return Refusal(PlainSample<EntryQuery>("entry_query", change));
  };
  EXPECT_THAT(refusal([](EntryQuery* q) { q->wanted[1].index = 41; }), HasSubstr("41 follows 41"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->wanted[0].index = 0; }), HasSubstr("0 follows 0"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->wanted[0].term = 0; }), HasSubstr("no term"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->wanted[0].known_term = 0; }),
              HasSubstr("known_index is 43 but known_term is 0"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->wanted[0].known_index = 41; }),
              HasSubstr("known_index 41 is not behind 41"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->wanted[1].known_term = 6; }),
              HasSubstr("known_term 6 is below term 7"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->wanted[2].term = raft::kMaxTermOrIndex + 1; }),
              HasSubstr("a number above"));
}

TEST(PeerTest, QueriesForAnEndMustSayBehindWhat) {
  const auto refusal = [](void (*change)(EntryQuery*)) {
    return Refusal(PlainSample<EntryQuery>("entry_query_end", change));
  };
  EXPECT_THAT(refusal([](EntryQuery* q) { q->prev_term = 0; }),
              HasSubstr("next_index is 44 but prev_term is 0"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->next_index = 1; }),
              HasSubstr("next_index is 1 but prev_term is 7"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->next_index = 0; }),
              HasSubstr("next_index is 0 but prev_term is 7"));
  EXPECT_THAT(refusal([](EntryQuery* q) {
                q->wanted = {{41, 6, 0, 0}};
              }),
              HasSubstr("1 entries and the end of the log are wanted at once"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->next_index = raft::kMaxTermOrIndex + 1; }),
              HasSubstr("a number above"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->prev_term = raft::kMaxTermOrIndex + 1; }),
              HasSubstr("a number above"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->through_index = raft::kMaxTermOrIndex + 1; }),
              HasSubstr("a number above"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->through_term = raft::kMaxTermOrIndex + 1; }),
              HasSubstr("a number above"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->through_index = 43; }),
              HasSubstr("next_index is 44 but through_index is 43"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->through_index = 0; }),
              HasSubstr("through_index is 0"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->through_term = 0; }), HasSubstr("through_term 0"));
  EXPECT_THAT(refusal([](EntryQuery* q) { q->through_term = 6; }),
              HasSubstr("through_term 6 is below prev_term 7"));
  EXPECT_THAT(refusal([](EntryQuery* q) {
                q->next_index = 0;
                q->prev_term = 0;
              }),
              HasSubstr("next_index is 0 but through_index is 46"));
}

TEST(PeerTest, AnswersMustNotContradictThemselves) {
  const auto refusal = [](void (*change)(EntryAnswer*)) {
    return Refusal(PlainSample<EntryAnswer>("entry_answer", change));
  };
  EXPECT_THAT(refusal([](EntryAnswer* a) { a->verdicts[1].index = 41; }),
              HasSubstr("41 follows 41"));
  EXPECT_THAT(
      refusal([](EntryAnswer* a) { a->verdicts[2].kind = static_cast<EntryVerdict::Kind>(5); }),
      HasSubstr("unknown verdict 5"));
  EXPECT_THAT(refusal([](EntryAnswer* a) { a->verdicts[1].term = 0; }),
              HasSubstr("verdict 1 on index 42 with term 0"));
  EXPECT_THAT(refusal([](EntryAnswer* a) { a->verdicts[2].term = 7; }),
              HasSubstr("verdict 3 on index 44 with term 7"));
  EXPECT_THAT(refusal([](EntryAnswer* a) { a->entries[0].term = 5; }),
              HasSubstr("index 41 is missing or of another term"));
  EXPECT_THAT(refusal([](EntryAnswer* a) { a->entries.clear(); }),
              HasSubstr("index 41 is missing or of another term"));
  EXPECT_THAT(refusal([](EntryAnswer* a) { a->verdicts.erase(a->verdicts.begin()); }),
              HasSubstr("entries that no verdict speaks of"));
  EXPECT_THAT(refusal([](EntryAnswer* a) { a->extent.base = 44; }), HasSubstr("base 44"));
  EXPECT_THAT(refusal([](EntryAnswer* a) { a->extent.last_term = 0; }),
              HasSubstr("last_term is 0"));
  EXPECT_THAT(refusal([](EntryAnswer* a) { a->extent.lost->term = 0; }),
              HasSubstr("lost_term is 0"));
  EXPECT_THAT(refusal([](EntryAnswer* a) {
                a->extent.lost->evidence = static_cast<raft::Suspicion::Evidence>(3);
              }),
              HasSubstr("unknown evidence 3"));
}

TEST(PeerTest, PiecesMustLieInTheirSnapshot) {
  const auto refusal = [](void (*change)(SnapshotPiece*)) {
    return Refusal(PlainSample<SnapshotPiece>("snapshot_piece", change));
  };
  EXPECT_THAT(refusal([](SnapshotPiece* p) { p->size = 1009; }),
              HasSubstr("of a snapshot of 1009"));
  EXPECT_THAT(refusal([](SnapshotPiece* p) { p->bytes.clear(); }), HasSubstr("no bytes"));
  EXPECT_THAT(refusal([](SnapshotPiece* p) { p->meta.reset(); }),
              HasSubstr("bytes of no snapshot"));
  EXPECT_THAT(refusal([](SnapshotPiece* p) { p->asked_index = 901; }), HasSubstr("not 901"));
  EXPECT_THAT(Refusal(PlainSample<SnapshotPull>("snapshot_pull",
                                                [](SnapshotPull* pull) { pull->length = 0; })),
              HasSubstr("length 0"));
  EXPECT_THAT(
      Refusal(PlainSample<SnapshotPull>(
          "snapshot_pull", [](SnapshotPull* pull) { pull->length = kMaxSnapshotChunk + 1; })),
      HasSubstr("the limit is"));
}

TEST(PeerTest, EnvelopesMustNameTwoNodes) {
  const auto refusal = [](void (*change)(Envelope*)) {
    PeerMessage message = Sample("forward_request");
    change(&message.envelope);
    return Refusal(message);
  };
  EXPECT_THAT(refusal([](Envelope* e) { e->from = 0; }), HasSubstr("the sender is no node"));
  EXPECT_THAT(refusal([](Envelope* e) { e->from_incarnation = 0; }), HasSubstr("incarnation is 0"));
  EXPECT_THAT(refusal([](Envelope* e) { e->to = e->from; }), HasSubstr("the same node"));
  EXPECT_THAT(refusal([](Envelope* e) { e->to = 0; }), HasSubstr("the receiver is no node"));
}

TEST(PeerTest, HelloMustBeReadableInALog) {
  const auto refusal = [](void (*change)(Hello*)) {
    return Refusal(PlainSample<Hello>("hello", change));
  };
  EXPECT_THAT(refusal([](Hello* h) { h->protocol_min = 0; }), HasSubstr("protocol versions 0..3"));
  EXPECT_THAT(refusal([](Hello* h) { h->protocol_min = 4; }), HasSubstr("are no range"));
  EXPECT_THAT(refusal([](Hello* h) { h->address = "a\nb:1"; }), HasSubstr("printable"));
}

TEST(PeerTest, ForwardedAnswersMustBeDefinite) {
  const auto refusal = [](void (*change)(ForwardReply*)) {
    return Refusal(PlainSample<ForwardReply>("forward_reply", change));
  };
  EXPECT_THAT(refusal([](ForwardReply* r) { r->reason = ForwardReason::kBusy; }),
              HasSubstr("does not go with"));
  EXPECT_THAT(refusal([](ForwardReply* r) { r->outcome = ForwardOutcome::kNotApplied; }),
              HasSubstr("does not go with"));
  EXPECT_THAT(refusal([](ForwardReply* r) {
                r->outcome = ForwardOutcome::kUnknown;
                r->reason = ForwardReason::kBusy;
              }),
              HasSubstr("not applied"));
  EXPECT_THAT(refusal([](ForwardReply* r) { r->outcome = static_cast<ForwardOutcome>(3); }),
              HasSubstr("unknown outcome 3"));
  EXPECT_THAT(refusal([](ForwardReply* r) { r->reason = static_cast<ForwardReason>(13); }),
              HasSubstr("unknown reason 13"));
  EXPECT_THAT(
      Refusal(PlainSample<ForwardRequest>(
          "forward_request", [](ForwardRequest* r) { r->kind = static_cast<ForwardKind>(2); })),
      HasSubstr("unknown kind 2"));
  EXPECT_THAT(Refusal(PlainSample<ForwardRequest>("forward_request",
                                                  [](ForwardRequest* r) { r->term = 0; })),
              HasSubstr("no term"));
  EXPECT_THAT(Refusal(PlainSample<ForwardRequest>("forward_request",
                                                  [](ForwardRequest* r) { r->oldest = 10; })),
              HasSubstr("oldest 10 is behind the id 9"));
}

TEST(PeerTest, SnapshotPiecesMustLieInsideTheirSnapshot) {
  const auto refusal = [](void (*change)(SnapshotChunk*)) {
    return Refusal(PlainSample<SnapshotChunk>("snapshot_chunk", change));
  };
  EXPECT_THAT(refusal([](SnapshotChunk* c) { c->offset = 1001; }),
              HasSubstr("10 bytes at offset 1001 of a snapshot of 1010"));
  EXPECT_THAT(refusal([](SnapshotChunk* c) { c->offset = ~uint64_t{0}; }), HasSubstr("at offset"));
  EXPECT_THAT(refusal([](SnapshotChunk* c) { c->bytes.clear(); }), HasSubstr("no bytes"));
  EXPECT_THAT(refusal([](SnapshotChunk* c) { c->term = 0; }),
              HasSubstr("above the message's term"));
  EXPECT_THAT(
      Refusal(PlainSample<SnapshotAck>(
          "snapshot_ack", [](SnapshotAck* a) { a->status = static_cast<SnapshotAckStatus>(4); })),
      HasSubstr("unknown status 4"));
  EXPECT_TRUE(std::get<SnapshotChunk>(Sample("snapshot_chunk").body).last());
}

TEST(PeerTest, ManyEntriesAndOneHugeEntryFit) {
  PeerMessage message = Sample("append_request");
  auto& request = std::get<raft::AppendRequest>(std::get<raft::Message>(message.body).body);
  request.entries.clear();
  for (raft::Index i = 1; i <= 100000; ++i) {
    request.entries.push_back({7, 41 + i, Payload::Copy("0123456789"), raft::EntryType::kCommand});
  }
  EXPECT_EQ(RoundTrip(message), message);
  request.entries.resize(1);
  request.entries[0].payload = Payload::Copy(std::string(kMaxFrameBody - 1024, 'x'));
  EXPECT_EQ(RoundTrip(message), message);
}

TEST(PeerTest, ProtocolVersionsAreAgreedUpon) {
  const auto agreed = [](uint32_t a_min, uint32_t a_max, uint32_t b_min, uint32_t b_max) {
    Hello a;
    a.protocol_min = a_min;
    a.protocol_max = a_max;
    Hello b;
    b.protocol_min = b_min;
    b.protocol_max = b_max;
    EXPECT_EQ(AgreedProtocol(a, b), AgreedProtocol(b, a));
    return AgreedProtocol(a, b);
  };
  EXPECT_EQ(agreed(1, 1, 1, 1), 1u);
  EXPECT_EQ(agreed(1, 5, 2, 3), 3u);
  EXPECT_EQ(agreed(1, 3, 3, 9), 3u);
  EXPECT_EQ(agreed(1, 2, 3, 9), 0u);
}

TEST(PeerDeathTest, OurOwnMistakesStopTheProgram) {
  PeerEncoder encoder;
  PeerMessage gap = Sample("append_request");
  std::get<raft::AppendRequest>(std::get<raft::Message>(gap.body).body).entries[1].index = 99;
  EXPECT_DEATH(encoder.Encode(gap), "check failed");
  PeerMessage stranger = Sample("heartbeat");
  std::get<raft::Message>(stranger.body).from = 9;
  EXPECT_DEATH(encoder.Encode(stranger), "check failed");
}

}  // namespace
}  // namespace raftkv::wire
