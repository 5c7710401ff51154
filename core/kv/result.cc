// Encoding of a Result (numbers are varints, see varint.h):
//
//   result := version:byte(1) outcome:byte index failed_guard observed_version op_count op*
//   op     := tag:byte body            the tag is the alternative's position in OpResult
//   body   := (nothing)                Nil, Done
//           | zigzag                   int64_t
//           | version bytes            VersionedValue
//           | count entry* more:byte(0|1) [next:bytes if more]     Page
//           | version                  ConditionNotMet
//           | code:byte                OpError
//   entry  := key:bytes version value:bytes
//   bytes  := length, then so many bytes
#include "core/kv/result.h"

#include <algorithm>
#include <utility>

#include "core/kv/limits.h"
#include "core/kv/varint.h"

namespace raftkv::kv {
namespace {

constexpr uint8_t kResultVersion = 1;

enum Tag : uint8_t {
  kNil = 0,
  kDone = 1,
  kInteger = 2,
  kValue = 3,
  kPage = 4,
  kConditionNotMet = 5,
  kError = 6,
};
static_assert(std::variant_size_v<OpResult> == 7);

struct Encoder {
  std::string* out;

  void operator()(const Nil&) const {}
  void operator()(const Done&) const {}
  void operator()(int64_t value) const { PutSigned(value, out); }
  void operator()(const VersionedValue& value) const {
    PutVarint(value.version, out);
    PutBytes(value.value.view(), out);
  }
  void operator()(const Page& page) const {
    PutVarint(page.entries.size(), out);
    for (const PageEntry& entry : page.entries) {
      PutBytes(entry.key, out);
      PutVarint(entry.version, out);
      PutBytes(entry.value.view(), out);
    }
    out->push_back(page.more ? 1 : 0);
    if (page.more) PutBytes(page.next, out);
  }
  void operator()(const ConditionNotMet& result) const { PutVarint(result.observed_version, out); }
  void operator()(OpError error) const { out->push_back(static_cast<char>(error)); }
};

// Grows a vector only as the input proves that it holds so many elements: a count alone allocates
// nothing.
constexpr size_t kReserveAtMost = 64;

bool DecodePage(ByteReader& in, Page* page) {
  uint64_t count = 0;
  if (!in.ReadVarint(&count)) return false;
  if (count > kMaxPageEntries) return in.Reject();
  page->entries.reserve(std::min<size_t>(static_cast<size_t>(count), kReserveAtMost));
  absl::string_view bytes;
  for (uint64_t i = 0; i < count; ++i) {
    PageEntry entry;
    if (!in.ReadBytes(kMaxKeyBytes, &bytes)) return false;
    entry.key.assign(bytes.data(), bytes.size());
    if (!in.ReadVarint(&entry.version) || !in.ReadBytes(kMaxValueBytes, &bytes)) return false;
    entry.value = raft::Payload::Copy(bytes);
    page->entries.push_back(std::move(entry));
  }
  uint8_t more = 0;
  if (!in.ReadByte(&more)) return false;
  if (more > 1) return in.Reject();
  page->more = more == 1;
  if (page->more) {
    if (!in.ReadBytes(kMaxKeyBytes, &bytes)) return false;
    page->next.assign(bytes.data(), bytes.size());
  }
  return true;
}

bool DecodeOp(ByteReader& in, OpResult* result) {
  uint8_t tag = 0;
  if (!in.ReadByte(&tag)) return false;
  switch (tag) {
    case kNil:
      *result = Nil{};
      return true;
    case kDone:
      *result = Done{};
      return true;
    case kInteger: {
      int64_t value = 0;
      if (!in.ReadSigned(&value)) return false;
      *result = value;
      return true;
    }
    case kValue: {
      VersionedValue value;
      absl::string_view bytes;
      if (!in.ReadVarint(&value.version) || !in.ReadBytes(kMaxValueBytes, &bytes)) return false;
      value.value = raft::Payload::Copy(bytes);
      *result = std::move(value);
      return true;
    }
    case kPage: {
      Page page;
      if (!DecodePage(in, &page)) return false;
      *result = std::move(page);
      return true;
    }
    case kConditionNotMet: {
      ConditionNotMet unmet;
      if (!in.ReadVarint(&unmet.observed_version)) return false;
      *result = unmet;
      return true;
    }
    case kError: {
      uint8_t error = 0;
      if (!in.ReadByte(&error)) return false;
      if (error > static_cast<uint8_t>(kLastOpError)) return in.Reject();
      *result = static_cast<OpError>(error);
      return true;
    }
    default:
      return in.Reject();
  }
}

}  // namespace

std::string EncodeResult(const Result& result) {
  std::string out;
  out.push_back(static_cast<char>(kResultVersion));
  out.push_back(static_cast<char>(result.outcome));
  PutVarint(result.index, &out);
  PutVarint(result.failed_guard, &out);
  PutVarint(result.observed_version, &out);
  PutVarint(result.ops.size(), &out);
  for (const OpResult& op : result.ops) {
    out.push_back(static_cast<char>(op.index()));
    std::visit(Encoder{&out}, op);
  }
  return out;
}

std::optional<Result> DecodeResult(absl::string_view bytes) {
  if (bytes.size() > kMaxEncodedResultBytes) return std::nullopt;
  ByteReader in(bytes);
  Result result;
  uint8_t version = 0;
  uint8_t outcome = 0;
  uint64_t guard = 0;
  uint64_t count = 0;
  if (!in.ReadByte(&version) || version != kResultVersion) return std::nullopt;
  if (!in.ReadByte(&outcome) || outcome > static_cast<uint8_t>(kLastOutcome)) return std::nullopt;
  result.outcome = static_cast<Outcome>(outcome);
  in.ReadVarint(&result.index);
  in.ReadVarint(&guard);
  in.ReadVarint(&result.observed_version);
  if (!in.ReadVarint(&count) || guard >= kMaxGuards || count > kMaxOps) return std::nullopt;
  if (count > 0 && result.outcome != Outcome::kOk) return std::nullopt;
  result.failed_guard = static_cast<uint32_t>(guard);
  result.ops.reserve(std::min<size_t>(static_cast<size_t>(count), kReserveAtMost));
  for (uint64_t i = 0; i < count; ++i) {
    OpResult op;
    if (!DecodeOp(in, &op)) return std::nullopt;
    result.ops.push_back(std::move(op));
  }
  if (!in.rest().empty()) return std::nullopt;
  return result;
}

absl::string_view Name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOk:
      return "ok";
    case Outcome::kGuardFailed:
      return "guard failed";
    case Outcome::kUnknownSession:
      return "unknown session";
    case Outcome::kStaleSequence:
      return "stale sequence";
    case Outcome::kReplyNotKept:
      return "reply not kept";
    case Outcome::kUnsupportedLevel:
      return "unsupported feature level";
    case Outcome::kMalformed:
      return "malformed";
  }
  return "?";
}

absl::string_view Name(OpError error) {
  switch (error) {
    case OpError::kNotAnInteger:
      return "not an integer";
    case OpError::kOverflow:
      return "overflow";
    case OpError::kKeyTooLarge:
      return "key too large";
    case OpError::kValueTooLarge:
      return "value too large";
    case OpError::kReplyTooLarge:
      return "reply too large";
  }
  return "?";
}

}  // namespace raftkv::kv
