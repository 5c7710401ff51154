#include "core/wire/append_layouts.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/raft/random.h"
#include "core/wire/frame.h"

namespace raftkv::wire {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

const fb::Envelope kEnvelope(1, 2, 3, 4, 5, 6);

// Aligned as bodies are.
struct Body {
  explicit Body(absl::string_view bytes) : words((bytes.size() + 7) / 8), size(bytes.size()) {
    std::memcpy(words.data(), bytes.data(), bytes.size());
  }
  char* data() { return reinterpret_cast<char*>(words.data()); }
  absl::string_view view() { return {data(), size}; }

  std::vector<uint64_t> words;
  size_t size;
};

// What the library makes of it, as peer.cc builds every other message.
template <typename Table>
std::string Finished(FlatBufferBuilder& builder, Offset<Table> body) {
  builder.Finish(
      fb::CreatePeer(builder, &kEnvelope, fb::BodyTraits<Table>::enum_value, body.Union()));
  return std::string(reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize());
}

std::string Built(const fb::LogAnswer& answer) {
  FlatBufferBuilder builder;
  builder.Align(kFrameAlignment);
  return Finished(builder, fb::CreateAppendResponse(builder, &answer));
}

std::string Built(const raft::AppendRequest& request) {
  FlatBufferBuilder builder;
  builder.Align(kFrameAlignment);
  std::string payloads;
  std::vector<fb::EntryHead> heads;
  for (const raft::Entry& entry : request.entries) {
    const absl::string_view payload = entry.payload.view();
    payloads.append(payload.data(), payload.size());
    heads.emplace_back(entry.term, static_cast<uint32_t>(payload.size()),
                       static_cast<uint32_t>(entry.type));
  }
  Offset<flatbuffers::Vector<uint8_t>> written_payloads;
  Offset<flatbuffers::Vector<const fb::EntryHead*>> written_heads;
  if (!payloads.empty()) {
    written_payloads =
        builder.CreateVector(reinterpret_cast<const uint8_t*>(payloads.data()), payloads.size());
  }
  if (!heads.empty()) written_heads = builder.CreateVectorOfStructs(heads);
  const fb::LogPosition at(request.prev_index, request.prev_term, request.commit);
  return Finished(builder, fb::CreateAppendRequest(builder, &at, written_heads, written_payloads));
}

raft::AppendRequest Request(const std::vector<size_t>& sizes) {
  raft::AppendRequest request{.prev_index = 10, .prev_term = 3, .commit = 9, .entries = {}};
  for (const size_t size : sizes) {
    const raft::Index index = 11 + request.entries.size();
    request.entries.push_back(
        {4 + index, index,
         raft::Payload::Copy(std::string(size, static_cast<char>('a' + size % 26))),
         index % 2 == 0 ? raft::EntryType::kCommand : raft::EntryType::kMembership});
  }
  return request;
}

std::string Written(const AppendLayouts& layouts, const raft::AppendRequest& request) {
  // What was there before must not shine through the padding.
  Body body(std::string(layouts.BodySize(request), '\xee'));
  layouts.Write(kEnvelope, request, reinterpret_cast<uint8_t*>(body.data()));
  return std::string(body.view());
}

bool Verified(absl::string_view body) {
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(body.data()), body.size(), 4, 4);
  return fb::VerifyPeerBuffer(verifier);
}

TEST(AppendLayoutsTest, WritesWhatTheLibraryWrites) {
  const AppendLayouts layouts;
  EXPECT_EQ(Written(layouts, Request({})), Built(Request({})));
  for (size_t size = 1; size < 40; ++size) {
    for (const std::vector<size_t>& sizes :
         {std::vector<size_t>{size}, {size, 0}, {0, size, 5}, {1, 2, 3, 4, size}}) {
      EXPECT_EQ(Written(layouts, Request(sizes)), Built(Request(sizes))) << size;
    }
  }
  EXPECT_EQ(Written(layouts, Request({300'000, 8, 1'000})), Built(Request({300'000, 8, 1'000})));
  const fb::LogAnswer answer(7, 8, 9, 1);
  Body body(std::string(layouts.AnswerSize(), '\xee'));
  layouts.Write(kEnvelope, answer, reinterpret_cast<uint8_t*>(body.data()));
  EXPECT_EQ(body.view(), Built(answer));
}

TEST(AppendLayoutsTest, WhatFitsNoPatternHasNoSize) {
  const AppendLayouts layouts;
  EXPECT_EQ(layouts.BodySize(Request({0})), 0u);
  EXPECT_EQ(layouts.BodySize(Request({0, 0, 0})), 0u);
  EXPECT_EQ(layouts.BodySize(Request({AppendLayouts::kMaxBody})), 0u);
}

TEST(AppendLayoutsTest, ReadsWhatTheLibraryWrites) {
  const AppendLayouts layouts;
  for (const std::vector<size_t>& sizes :
       {std::vector<size_t>{}, {1}, {4}, {116}, {3, 0, 9}, {0, 8}}) {
    const raft::AppendRequest request = Request(sizes);
    Body body(Built(request));
    const AppendLayouts::Recognised known = layouts.Recognise(body.view());
    ASSERT_NE(known.envelope, nullptr);
    EXPECT_EQ(known.envelope->term(), 6u);
    ASSERT_EQ(known.answer, nullptr);
    EXPECT_EQ(known.append.at->prev_index(), 10u);
    EXPECT_EQ(known.append.at->prev_term(), 3u);
    EXPECT_EQ(known.append.at->commit(), 9u);
    ASSERT_EQ(known.append.count, sizes.size());
    size_t offset = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      EXPECT_EQ(known.append.heads[i].term(), request.entries[i].term);
      EXPECT_EQ(known.append.payloads.substr(offset, sizes[i]), request.entries[i].payload.view());
      offset += sizes[i];
    }
    EXPECT_EQ(known.append.payloads.size(), offset);
  }
  Body body(Built(fb::LogAnswer(7, 8, 9, 1)));
  const AppendLayouts::Recognised known = layouts.Recognise(body.view());
  ASSERT_NE(known.answer, nullptr);
  EXPECT_EQ(known.envelope->to(), 4u);
  EXPECT_EQ(known.answer->index(), 7u);
  EXPECT_EQ(known.answer->hint_index(), 8u);
  EXPECT_EQ(known.answer->hint_term(), 9u);
  EXPECT_EQ(known.answer->flags(), 1u);
}

// Whatever one byte, or a cut, makes of a body: what is recognised is what the verifier lets pass,
// and what it says lies inside the body.
TEST(AppendLayoutsTest, RecognisesNothingThatTheVerifierRefuses) {
  const AppendLayouts layouts;
  Random random(1);
  int recognised = 0;
  for (const std::string& built : {Built(Request({})), Built(Request({116})),
                                   Built(Request({1, 5})), Built(fb::LogAnswer(7, 8, 9, 1))}) {
    const auto check = [&](Body& body) {
      const AppendLayouts::Recognised known = layouts.Recognise(body.view());
      if (known.envelope == nullptr) return;
      ++recognised;
      EXPECT_TRUE(Verified(body.view()));
      const fb::Peer& peer = *fb::GetPeer(body.data());
      EXPECT_EQ(known.envelope, peer.envelope());
      if (known.answer != nullptr) {
        EXPECT_EQ(known.answer, peer.body_as_AppendResponse()->answer());
        return;
      }
      const fb::AppendRequest* append = peer.body_as_AppendRequest();
      ASSERT_NE(append, nullptr);
      EXPECT_EQ(known.append.at, append->at());
      ASSERT_EQ(known.append.count, append->heads() == nullptr ? 0 : append->heads()->size());
      if (known.append.count == 0) return;
      EXPECT_EQ(known.append.heads, append->heads()->Get(0));
      EXPECT_EQ(known.append.payloads.data(),
                reinterpret_cast<const char*>(append->payloads()->data()));
      EXPECT_EQ(known.append.payloads.size(), append->payloads()->size());
    };
    for (size_t i = 0; i < built.size(); ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        Body body(built);
        body.data()[i] = static_cast<char>(body.data()[i] ^ (1 << bit));
        check(body);
      }
      Body body(built);
      body.data()[i] = static_cast<char>(random.Next());
      check(body);
    }
    for (size_t size = 0; size < built.size(); size += 8) {
      Body body(absl::string_view(built).substr(0, size));
      check(body);
    }
    Body longer(built + std::string(8, '\0'));
    check(longer);
  }
  EXPECT_GT(recognised, 1'000);  // the bits of numbers and payloads
}

}  // namespace
}  // namespace raftkv::wire
