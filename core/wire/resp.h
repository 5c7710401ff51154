// RESP2 and RESP3, the Redis protocol: requests in, replies out, and the other way round for
// clients.
//
// Everything is incremental (any split of the bytes gives the same result), total (any bytes give
// values or an error) and bounded. A protocol error is final: nothing after it can be trusted to
// start where it seems to, so the connection is answered and closed. The texts are those that Redis
// users know ("Protocol error: invalid bulk length").
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/wire/input_buffer.h"

namespace raftkv::wire {

// ---- Server side: requests ----

struct RespRequestLimits {
  size_t max_arguments = 1024 * 1024;
  // An argument larger than this ends the connection. Above the limit for values, so that a value
  // one byte too long gets an ordinary error from the command layer and the connection lives on.
  size_t max_bulk = 16 * 1024 * 1024;
  size_t max_request = 16 * 1024 * 1024;  // all bytes of one request, protocol included
  size_t max_inline = 64 * 1024;          // one request typed as a line
};

// Cuts a byte stream into requests: arrays of bulk strings, or lines ("inline commands") as one
// types them into netcat.
//
//   reader.Feed(received);
//   while (reader.Next(&arguments) == RespRequestReader::Outcome::kRequest) { serve(arguments); }
//   on kError: answer "-ERR " + reader.error(), close.
//
// Arguments are views into the reader's buffer: no copy per argument. A request in pieces is not
// parsed again from its start when the next piece arrives. Memory: at most one request plus the
// bytes of one Feed (and 8 bytes per argument), if Next is called until it stops returning kRequest
// after every Feed.
class RespRequestReader {
 public:
  enum class Outcome : uint8_t { kRequest, kNeedMore, kError };

  explicit RespRequestReader(const RespRequestLimits& limits = {});

  // Ignored after an error.
  void Feed(absl::string_view bytes);

  // On kRequest, `arguments` (at least one) are valid until the next call of Feed or Next. Empty
  // requests are skipped, as in Redis.
  Outcome Next(std::vector<absl::string_view>* arguments);

  const std::string& error() const { return error_; }     // without the "ERR " in front
  size_t buffered() const { return buffer_.size(); }      // received and not returned yet
  size_t capacity() const { return buffer_.capacity(); }  // bytes held for this connection

 private:
  // Relative to the first byte of the request, which moves when the buffer does.
  struct Slice {
    uint32_t offset;
    uint32_t size;
  };
  enum class Step : uint8_t { kDone, kNeedMore, kError };

  Step Fail(std::string error);
  Step ParseArray();
  Step ParseInline();
  // The number in the line that starts with a type byte at `parsed_`; leaves parsed_ behind the
  // line.
  Step ParseLength(int64_t* value, absl::string_view too_long, absl::string_view invalid);
  bool SplitQuoted(char* line, size_t size);
  void StartRequest();

  RespRequestLimits limits_;
  InputBuffer buffer_;
  std::string error_;
  // The request being parsed, which starts at the first unread byte.
  size_t parsed_ = 0;        // bytes of it understood so far
  size_t line_scanned_ = 0;  // bytes behind parsed_ known to hold no end of line (inline requests)
  bool in_array_ = false;    // its count has been read
  size_t missing_ = 0;       // arguments still to come
  int64_t bulk_ = -1;        // length of the argument whose header has been read; -1: none
  std::vector<Slice> slices_;
};

// ---- Server side: replies ----

enum class RespVersion : uint8_t { k2 = 2, k3 = 3 };

// Appends replies to a string. Types that RESP2 lacks are written as RESP2 clients expect them.
// Aggregates announce their size; the caller then writes that many values (twice as many for a
// map).
class RespWriter {
 public:
  RespWriter(std::string* out, RespVersion version) : out_(out), version_(version) {}

  // Line breaks in the text become spaces: bytes from elsewhere cannot forge a second reply.
  void Simple(absl::string_view text);
  void Ok() { Simple("OK"); }
  void Error(
      absl::string_view text);  // "ERR no such thing", "MOVED 0 host:port"; starts with its code
  void Integer(int64_t value);
  void Bulk(absl::string_view bytes);
  void Null();                // RESP2: null bulk string
  void NullArray();           // RESP2: null array, which EXEC and blocking commands answer
  void Bool(bool value);      // RESP2: 1 or 0
  void Double(double value);  // RESP2: bulk string
  void Verbatim(absl::string_view format,
                absl::string_view text);     // format: three letters; RESP2: bulk
  void BigNumber(absl::string_view digits);  // RESP2: bulk
  void Array(size_t elements);
  void Map(size_t pairs);  // RESP2: an array of twice the size
  void Set(size_t elements);
  void Push(size_t elements);  // out-of-band; RESP2: an array

  RespVersion version() const { return version_; }

 private:
  void Header(char type, int64_t number);

  std::string* out_;
  RespVersion version_;
};

// ---- Client side ----

// Appends a request: an array of bulk strings.
void WriteRespRequest(absl::Span<const absl::string_view> arguments, std::string* out);

// A reply as a tree.
struct RespValue {
  enum class Type : uint8_t {
    kNull,
    kSimple,
    kError,  // also RESP3's bulk error
    kInteger,
    kBulk,
    kBool,
    kDouble,
    kBigNumber,  // digits in `text`
    kVerbatim,   // `text` without its format
    kArray,
    kMap,  // keys and values alternate in `items`
    kSet,
    kPush,
  };

  Type type = Type::kNull;
  int64_t integer = 0;           // kInteger; kBool: 0 or 1
  double number = 0;             // kDouble
  std::string text;              // kSimple, kError, kBulk, kBigNumber, kVerbatim
  std::string format;            // kVerbatim: three letters
  std::vector<RespValue> items;  // kArray, kMap, kSet, kPush

  bool is_error() const { return type == Type::kError; }
  // Two NaNs are equal here: this compares what was said.
  friend bool operator==(const RespValue& a, const RespValue& b);
};

// Writes a value; RESP2 as RespWriter does.
void WriteRespValue(const RespValue& value, RespWriter* writer);

struct RespReplyLimits {
  size_t max_line = 64 * 1024;
  size_t max_bulk = 64 * 1024 * 1024;
  size_t max_elements = 4 * 1024 * 1024;  // values in one reply, all levels together
  size_t max_depth = 32;                  // nested aggregates
};

// Cuts a byte stream into replies of either version. Attributes (RESP3) are read and dropped;
// streamed types are refused. Memory follows the bytes received, not the counts they claim.
class RespReplyReader {
 public:
  enum class Outcome : uint8_t { kReply, kNeedMore, kError };

  explicit RespReplyReader(const RespReplyLimits& limits = {});

  void Feed(absl::string_view bytes);  // ignored after an error
  Outcome Next(RespValue* reply);      // call until it does not return kReply

  const std::string& error() const { return error_; }

 private:
  enum class Step : uint8_t { kDone, kNeedMore, kError };
  struct Aggregate {
    RespValue value;
    uint64_t missing;  // values still to come
    bool attribute;    // dropped when complete
  };

  Step Fail(std::string error);
  Step ReadLine(absl::string_view* line);
  Step ReadValue();
  Step ReadBulk(char type, absl::string_view number);
  Step Open(char type, absl::string_view number);
  Step ReadScalar(char type, absl::string_view text);
  Step Finish(RespValue value);

  RespReplyLimits limits_;
  InputBuffer buffer_;
  std::string error_;
  size_t line_scanned_ = 0;
  size_t elements_ = 0;
  std::vector<Aggregate> open_;  // outermost first
  RespValue done_;
  bool complete_ = false;
};

}  // namespace raftkv::wire
