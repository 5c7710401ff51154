// A client connection: RESP requests, and the replies that our own clients read, out of any bytes
// in any pieces.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/raft/check.h"
#include "core/wire/resp.h"

namespace raftkv::wire {
namespace {

// Small limits, so that inputs of a fuzzer's size reach them.
RespRequestLimits RequestLimits() {
  RespRequestLimits limits;
  limits.max_arguments = 64;
  limits.max_bulk = 512;
  limits.max_request = 1024;
  limits.max_inline = 256;
  return limits;
}

RespReplyLimits ReplyLimits() {
  RespReplyLimits limits;
  limits.max_line = 256;
  limits.max_bulk = 512;
  limits.max_elements = 64;
  limits.max_depth = 4;
  return limits;
}

using Request = std::vector<std::string>;

struct Requests {
  std::vector<Request> requests;
  bool failed = false;
  friend bool operator==(const Requests&, const Requests&) = default;
};

Requests ReadRequests(absl::string_view stream, size_t piece) {
  const RespRequestLimits limits = RequestLimits();
  RespRequestReader reader(limits);
  Requests heard;
  for (size_t at = 0; at < stream.size(); at += piece) {
    reader.Feed(stream.substr(at, piece));
    std::vector<absl::string_view> arguments;
    RespRequestReader::Outcome outcome;
    while ((outcome = reader.Next(&arguments)) == RespRequestReader::Outcome::kRequest) {
      RAFTKV_CHECK(!arguments.empty());
      heard.requests.emplace_back(arguments.begin(), arguments.end());
    }
    heard.failed = outcome == RespRequestReader::Outcome::kError;
    RAFTKV_CHECK(heard.failed == !reader.error().empty());
    RAFTKV_CHECK(reader.buffered() <= limits.max_request);
  }
  return heard;
}

struct Replies {
  std::vector<RespValue> values;
  bool failed = false;
  friend bool operator==(const Replies&, const Replies&) = default;
};

Replies ReadReplies(absl::string_view stream, size_t piece) {
  RespReplyReader reader(ReplyLimits());
  Replies heard;
  for (size_t at = 0; at < stream.size(); at += piece) {
    reader.Feed(stream.substr(at, piece));
    RespValue value;
    RespReplyReader::Outcome outcome;
    while ((outcome = reader.Next(&value)) == RespReplyReader::Outcome::kReply) {
      heard.values.push_back(value);
    }
    heard.failed = outcome == RespReplyReader::Outcome::kError;
    RAFTKV_CHECK(heard.failed == !reader.error().empty());
  }
  return heard;
}

void CheckRequests(absl::string_view stream, size_t piece) {
  const Requests whole = ReadRequests(stream, stream.size());
  RAFTKV_CHECK(ReadRequests(stream, piece) == whole);
  // Written as arrays, with the default limits, they read the same.
  std::string written;
  for (const Request& request : whole.requests) {
    const std::vector<absl::string_view> arguments(request.begin(), request.end());
    WriteRespRequest(arguments, &written);
  }
  RespRequestReader reader;
  reader.Feed(written);
  std::vector<absl::string_view> arguments;
  for (const Request& request : whole.requests) {
    RAFTKV_CHECK(reader.Next(&arguments) == RespRequestReader::Outcome::kRequest);
    RAFTKV_CHECK(Request(arguments.begin(), arguments.end()) == request);
  }
  RAFTKV_CHECK(reader.Next(&arguments) == RespRequestReader::Outcome::kNeedMore);
}

// RESP3's bulk errors may hold line breaks; the errors that we write cannot.
RespValue Writable(RespValue value) {
  if (value.is_error()) {
    for (char& c : value.text) {
      if (c == '\r' || c == '\n') c = ' ';
    }
  }
  for (RespValue& item : value.items) item = Writable(std::move(item));
  return value;
}

void CheckReplies(absl::string_view stream, size_t piece) {
  const Replies whole = ReadReplies(stream, stream.size());
  RAFTKV_CHECK(ReadReplies(stream, piece) == whole);
  std::string written;
  RespWriter writer(&written, RespVersion::k3);
  for (const RespValue& value : whole.values) WriteRespValue(value, &writer);
  RespReplyReader reader;
  reader.Feed(written);
  for (const RespValue& value : whole.values) {
    RespValue again;
    RAFTKV_CHECK(reader.Next(&again) == RespReplyReader::Outcome::kReply);
    RAFTKV_CHECK(again == Writable(value));
  }
  RespValue none;
  RAFTKV_CHECK(reader.Next(&none) == RespReplyReader::Outcome::kNeedMore);
}

}  // namespace
}  // namespace raftkv::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view stream(reinterpret_cast<const char*>(data), size);
  const size_t piece = 1 + data[size - 1] % 24;
  raftkv::wire::CheckRequests(stream, piece);
  raftkv::wire::CheckReplies(stream, piece);
  return 0;
}
