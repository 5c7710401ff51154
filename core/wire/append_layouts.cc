#include "core/wire/append_layouts.h"

#include <cstring>
#include <new>

#include "core/raft/check.h"
#include "core/wire/frame.h"

namespace raftkv::wire {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;
using flatbuffers::ReadScalar;
using flatbuffers::uoffset_t;
using flatbuffers::WriteScalar;

constexpr size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// The payloads' length and bytes; the length is at a multiple of four, the end at one of eight.
constexpr size_t PayloadSpace(size_t bytes) {
  return RoundUp(sizeof(uoffset_t) + RoundUp(bytes, sizeof(uoffset_t)), sizeof(uint64_t));
}
constexpr size_t PayloadLengthFromEnd(size_t bytes) {
  return sizeof(uoffset_t) + RoundUp(bytes, sizeof(uoffset_t));
}

size_t PayloadBytes(const raft::Entries& entries) {
  size_t bytes = 0;
  for (const raft::Entry& entry : entries) bytes += entry.payload.size();
  return bytes;
}

template <typename Table>
absl::string_view Finish(FlatBufferBuilder& builder, Offset<Table> body) {
  const fb::Envelope envelope;
  builder.Finish(
      fb::CreatePeer(builder, &envelope, fb::BodyTraits<Table>::enum_value, body.Union()));
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

size_t OffsetIn(absl::string_view body, const void* part) {
  return static_cast<size_t>(static_cast<const char*>(part) - body.data());
}

}  // namespace

AppendLayouts::Pattern::Pattern(absl::string_view body, const std::vector<Range>& free)
    : words_(body.size() / sizeof(uint64_t)) {
  RAFTKV_CHECK(body.size() % sizeof(uint64_t) == 0);
  std::vector<uint64_t> masks(words_.size(), ~uint64_t{0});
  std::memcpy(words_.data(), body.data(), body.size());
  for (const Range& range : free) {
    std::memset(reinterpret_cast<char*>(words_.data()) + range.offset, 0, range.size);
    std::memset(reinterpret_cast<char*>(masks.data()) + range.offset, 0, range.size);
  }
  for (size_t i = 0; i < words_.size(); ++i) {
    if (masks[i] != 0) structure_.push_back({i * sizeof(uint64_t), masks[i], words_[i]});
  }
}

void AppendLayouts::Pattern::CopyTo(uint8_t* out) const { std::memcpy(out, words_.data(), size()); }

bool AppendLayouts::Pattern::BeginsLike(absl::string_view body) const {
  if (body.size() < size()) return false;
  uint64_t different = 0;
  for (const Structure& structure : structure_) {
    uint64_t word;
    std::memcpy(&word, body.data() + structure.offset, sizeof(word));
    different |= (word & structure.mask) ^ structure.word;
  }
  return different == 0;
}

AppendLayouts::AppendLayouts() {
  const auto kind = [](absl::string_view body, const void* numbers, size_t numbers_size,
                       size_t pattern_size, std::vector<Pattern::Range> free) {
    Kind result;
    result.envelope = OffsetIn(body, fb::GetPeer(body.data())->envelope());
    result.numbers = OffsetIn(body, numbers);
    free.push_back({result.envelope, sizeof(fb::Envelope)});
    free.push_back({result.numbers, numbers_size});
    result.pattern = Pattern(body.substr(0, pattern_size), free);
    return result;
  };

  FlatBufferBuilder builder;
  const fb::LogAnswer answer;
  builder.Align(kFrameAlignment);
  absl::string_view body = Finish(builder, fb::CreateAppendResponse(builder, &answer));
  answer_ = kind(body, fb::GetPeer(body.data())->body_as_AppendResponse()->answer(),
                 sizeof(fb::LogAnswer), body.size(), {});

  const fb::LogPosition at;
  builder.Clear();
  builder.Align(kFrameAlignment);
  body = Finish(builder, fb::CreateAppendRequest(builder, &at));
  empty_ = kind(body, fb::GetPeer(body.data())->body_as_AppendRequest()->at(),
                sizeof(fb::LogPosition), body.size(), {});

  const fb::EntryHead head(0, 1, 0);
  const uint8_t byte = 0;
  builder.Clear();
  builder.Align(kFrameAlignment);
  const auto payloads = builder.CreateVector(&byte, 1);
  const auto heads = builder.CreateVectorOfStructs(&head, 1);
  body = Finish(builder, fb::CreateAppendRequest(builder, &at, heads, payloads));
  const fb::AppendRequest& append = *fb::GetPeer(body.data())->body_as_AppendRequest();
  const size_t first_head = OffsetIn(body, append.heads()->Data());
  // The generated class hides that it is a table.
  const auto& table = reinterpret_cast<const flatbuffers::Table&>(append);
  payloads_field_ = OffsetIn(body, table.GetAddressOf(fb::AppendRequest::VT_PAYLOADS));
  RAFTKV_CHECK(OffsetIn(body, append.payloads()) == body.size() - PayloadLengthFromEnd(1));
  RAFTKV_CHECK(body.size() == first_head + sizeof(fb::EntryHead) + PayloadSpace(1));
  entries_ = kind(
      body, append.at(), sizeof(fb::LogPosition), first_head,
      {{payloads_field_, sizeof(uoffset_t)}, {first_head - sizeof(uoffset_t), sizeof(uoffset_t)}});
}

size_t AppendLayouts::BodySize(const raft::AppendRequest& request) const {
  if (request.entries.empty()) return empty_.size();
  const size_t payloads = PayloadBytes(request.entries);
  const size_t size =
      entries_.size() + request.entries.size() * sizeof(fb::EntryHead) + PayloadSpace(payloads);
  return payloads == 0 || size > kMaxBody ? 0 : size;
}

void AppendLayouts::Write(const fb::Envelope& envelope, const raft::AppendRequest& request,
                          uint8_t* out) const {
  const fb::LogPosition at(request.prev_index, request.prev_term, request.commit);
  if (request.entries.empty()) return empty_.Write(envelope, at, out);
  entries_.Write(envelope, at, out);

  const size_t payloads = PayloadBytes(request.entries);
  uint8_t* head = out + entries_.size();
  uint8_t* end = head + request.entries.size() * sizeof(fb::EntryHead) + PayloadSpace(payloads);
  // What fills up to a word, in front of the length or behind the bytes, is zeros.
  WriteScalar(end - PayloadSpace(payloads), uint64_t{0});
  WriteScalar(end - sizeof(uint64_t), uint64_t{0});
  uint8_t* length = end - PayloadLengthFromEnd(payloads);
  WriteScalar(head - sizeof(uoffset_t), static_cast<uoffset_t>(request.entries.size()));
  WriteScalar(out + payloads_field_, static_cast<uoffset_t>(length - (out + payloads_field_)));
  WriteScalar(length, static_cast<uoffset_t>(payloads));
  uint8_t* bytes = length + sizeof(uoffset_t);
  for (const raft::Entry& entry : request.entries) {
    const absl::string_view payload = entry.payload.view();
    new (head) fb::EntryHead(entry.term, static_cast<uint32_t>(payload.size()),
                             static_cast<uint32_t>(entry.type));
    head += sizeof(fb::EntryHead);
    if (payload.empty()) continue;
    std::memcpy(bytes, payload.data(), payload.size());
    bytes += payload.size();
  }
}

AppendLayouts::Recognised AppendLayouts::Recognise(absl::string_view body) const {
  const char* begin = body.data();
  if (body.size() == answer_.size() && answer_.pattern.BeginsLike(body)) {
    return {answer_.EnvelopeIn(begin), answer_.NumbersIn<fb::LogAnswer>(begin)};
  }
  if (body.size() == empty_.size() && empty_.pattern.BeginsLike(body)) {
    return {empty_.EnvelopeIn(begin),
            nullptr,
            {empty_.NumbersIn<fb::LogPosition>(begin), nullptr, 0, {}}};
  }
  if (!entries_.pattern.BeginsLike(body)) return {};

  const char* heads = begin + entries_.size();
  const size_t count = ReadScalar<uoffset_t>(heads - sizeof(uoffset_t));
  const size_t behind = body.size() - entries_.size();
  if (count == 0 || count > behind / sizeof(fb::EntryHead)) return {};
  // The payloads' length must be where it makes them end with the body.
  const size_t space = behind - count * sizeof(fb::EntryHead);
  const size_t length = payloads_field_ + ReadScalar<uoffset_t>(begin + payloads_field_);
  if (length < body.size() - space || length > body.size() - sizeof(uoffset_t)) return {};
  const size_t bytes = ReadScalar<uoffset_t>(begin + length);
  if (bytes > space || space != PayloadSpace(bytes) ||
      length != body.size() - PayloadLengthFromEnd(bytes)) {
    return {};
  }
  return {
      entries_.EnvelopeIn(begin),
      nullptr,
      {entries_.NumbersIn<fb::LogPosition>(begin), reinterpret_cast<const fb::EntryHead*>(heads),
       count, absl::string_view(begin + length + sizeof(uoffset_t), bytes)}};
}

}  // namespace raftkv::wire
