// Frames: how peer messages are cut out of a byte stream.
//
//   offset  size  field, little-endian
//        0     4  magic: 'R' 'K' 'F' and the version of this layout (1)
//        4     4  length of the body in bytes: a multiple of 8, at most kMaxFrameBody
//        8     8  XXH3 of the body, 64 bits, seeded with the eight bytes before it
//       16     n  body
//
// The seed makes the checksum cover the header too. TCP's own checksum is 16 bits wide and a proxy
// or a bad memory bank is not covered by it at all: a frame that fails is an error of the whole
// connection, never a message to skip, because nothing after it can be trusted to start where it
// seems to start. Header and body are multiples of 8 bytes so that every body in a stream is
// aligned for in-place reading.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/wire/input_buffer.h"

namespace raftkv::wire {

inline constexpr size_t kFrameHeaderSize = 16;
inline constexpr size_t kFrameAlignment = 8;
// 16 MiB of keys and values in one command, the heads of as many operations as a command may have,
// and an envelope.
inline constexpr size_t kMaxFrameBody = 20 * 1024 * 1024;

// Writes the header of a frame with this body to `header` (kFrameHeaderSize bytes). The body's size
// is a multiple of 8 and at most kMaxFrameBody.
void WriteFrameHeader(absl::string_view body, char* header);

// Cuts a byte stream, fed in pieces of any size, into bodies.
//
//   reader.Feed(received);
//   absl::string_view body;
//   while (reader.Next(&body)) { ... }
//   if (!reader.status().ok()) { close the connection; the status says why }
//
// Memory: at most one frame and the bytes of one Feed, if Next is called until it returns false
// after every Feed.
class FrameReader {
 public:
  // `max_body` may be lowered, for instance until a hello has been seen.
  explicit FrameReader(size_t max_body = kMaxFrameBody)
      : max_body_(max_body), buffer_(kFrameHeaderSize + max_body) {}

  // Ignored after an error.
  void Feed(absl::string_view bytes);

  // True: `body` is the next complete body, 8-byte aligned, valid until the next call of Feed or
  // Next. False: more bytes are needed, or status() is an error.
  bool Next(absl::string_view* body);

  // Sticky. InvalidArgument: these bytes are not our frames, or a length is out of range; DataLoss:
  // a frame is damaged.
  const absl::Status& status() const { return status_; }

  void set_max_body(size_t max_body) { max_body_ = max_body; }
  size_t buffered() const { return buffer_.size(); }
  size_t capacity() const { return buffer_.capacity(); }  // bytes held for this connection

 private:
  bool Fail(absl::Status status);

  size_t max_body_;
  InputBuffer buffer_;
  absl::Status status_;
};

}  // namespace raftkv::wire
