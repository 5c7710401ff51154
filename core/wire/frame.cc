#include "core/wire/frame.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "core/wire/little_endian.h"

namespace raftkv::wire {
namespace {

constexpr absl::string_view kMagic("RKF\x01", 4);

// The whole header depends on magic and length; so does the seed.
uint64_t Checksum(absl::string_view body, const char* header) {
  return XXH3_64bits_withSeed(body.data(), body.size(), LoadLittle64(header));
}

}  // namespace

void WriteFrameHeader(absl::string_view body, char* header) {
  RAFTKV_CHECK(body.size() % kFrameAlignment == 0 && body.size() <= kMaxFrameBody);
  std::memcpy(header, kMagic.data(), kMagic.size());
  StoreLittle32(static_cast<uint32_t>(body.size()), header + 4);
  StoreLittle64(Checksum(body, header), header + 8);
}

void FrameReader::Feed(absl::string_view bytes) {
  if (status_.ok()) buffer_.Append(bytes);
}

// Every field is judged as soon as its bytes are there: a stranger's first bytes, or a length out
// of range, are refused before anything is collected for them.
bool FrameReader::Next(absl::string_view* body) {
  if (!status_.ok()) return false;
  const absl::string_view unread = buffer_.unread();
  const size_t magic_seen = std::min(unread.size(), kMagic.size());
  if (unread.substr(0, magic_seen) != kMagic.substr(0, magic_seen)) {
    return Fail(absl::InvalidArgumentError(
        absl::StrCat("frame: expected magic \"RKF\\x01\", got \"",
                     absl::CHexEscape(unread.substr(0, magic_seen)), "\"")));
  }
  if (unread.size() >= 8) {
    const size_t length = LoadLittle32(unread.data() + 4);
    if (length > max_body_) {
      return Fail(absl::InvalidArgumentError(
          absl::StrCat("frame: length ", length, " is above the limit of ", max_body_)));
    }
    if (length % kFrameAlignment != 0) {
      return Fail(absl::InvalidArgumentError(
          absl::StrCat("frame: length ", length, " is not a multiple of ", kFrameAlignment)));
    }
    if (unread.size() >= kFrameHeaderSize + length) {
      const absl::string_view candidate = unread.substr(kFrameHeaderSize, length);
      if (Checksum(candidate, unread.data()) != LoadLittle64(unread.data() + 8)) {
        return Fail(absl::DataLossError(
            absl::StrCat("frame: checksum of a body of ", length, " bytes does not match")));
      }
      buffer_.Consume(kFrameHeaderSize + length);
      *body = candidate;
      return true;
    }
  }
  buffer_.ReleaseIfEmpty();
  return false;
}

bool FrameReader::Fail(absl::Status status) {
  status_ = std::move(status);
  buffer_ = InputBuffer(0);
  return false;
}

}  // namespace raftkv::wire
