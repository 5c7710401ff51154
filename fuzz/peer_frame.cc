// A peer connection: frames out of a byte stream, messages out of frames.
//
// The input is used twice. As it is, it is the stream; pieces must give what the whole gives. And
// because hardly any mutation survives a checksum, it is also taken as the body of a frame. What
// decodes must encode to something that decodes to the same message.
#include <cstdint>
#include <string>
#include <vector>

#include "core/raft/check.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"

namespace raftkv::wire {
namespace {

void CheckBody(absl::string_view body) {
  const absl::StatusOr<PeerMessage> message = DecodePeer(body);
  if (!message.ok()) {
    RAFTKV_CHECK(!message.status().message().empty());
    return;
  }
  PeerEncoder encoder;
  FrameReader reader;
  reader.Feed(encoder.Encode(*message));
  absl::string_view again;
  RAFTKV_CHECK(reader.Next(&again));
  const absl::StatusOr<PeerMessage> reread = DecodePeer(again);
  RAFTKV_CHECK(reread.ok());
  RAFTKV_CHECK(*reread == *message);
}

struct Heard {
  std::vector<std::string> bodies;
  absl::Status status;
};

Heard Listen(absl::string_view stream, size_t piece) {
  FrameReader reader;
  Heard heard;
  for (size_t at = 0; at < stream.size(); at += piece) {
    reader.Feed(stream.substr(at, piece));
    absl::string_view body;
    while (reader.Next(&body)) heard.bodies.emplace_back(body);
    RAFTKV_CHECK(reader.buffered() <= kFrameHeaderSize + kMaxFrameBody);
  }
  heard.status = reader.status();
  return heard;
}

void CheckStream(absl::string_view stream) {
  const Heard whole = Listen(stream, stream.size());
  for (const std::string& body : whole.bodies) CheckBody(body);
  // The text of an error may show more of the stream when more of it was there.
  const Heard pieces = Listen(stream, 1 + static_cast<uint8_t>(stream.back()) % 40);
  RAFTKV_CHECK(pieces.bodies == whole.bodies);
  RAFTKV_CHECK(pieces.status.code() == whole.status.code());
}

}  // namespace
}  // namespace raftkv::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  raftkv::wire::CheckBody(input);
  if (!input.empty()) raftkv::wire::CheckStream(input);
  return 0;
}
