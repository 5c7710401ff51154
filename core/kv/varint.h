// Numbers and byte strings in results, sessions and snapshots: base-128 varints, least significant
// group first, always in their shortest form, so that one value has one encoding and equal states
// give equal bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace raftkv::kv {

inline constexpr size_t kMaxVarintBytes = 10;

void PutVarint(uint64_t value, std::string* out);
void PutBytes(absl::string_view bytes, std::string* out);  // length as varint, then the bytes

// Zigzag: small numbers of either sign are short.
void PutSigned(int64_t value, std::string* out);

// Consumes values from the front of a byte range. Once a read fails, every later one fails too, so
// a decoder may read on and ask at the end.
class ByteReader {
 public:
  explicit ByteReader(absl::string_view bytes) : rest_(bytes) {}

  bool ReadByte(uint8_t* value);
  bool ReadVarint(uint64_t* value);
  bool ReadSigned(int64_t* value);
  bool ReadBytes(size_t limit, absl::string_view* value);  // borrowed; fails if longer than `limit`

  bool ok() const { return status_ == State::kGood; }
  // The bytes so far were fine but end in the middle of a value: more of them may help.
  bool truncated() const { return status_ == State::kTruncated; }
  // Fails the reader: the caller found a value it does not accept.
  bool Reject();
  absl::string_view rest() const { return rest_; }

 private:
  enum class State : uint8_t { kGood, kTruncated, kBad };

  bool Truncate();

  absl::string_view rest_;
  State status_ = State::kGood;
};

}  // namespace raftkv::kv
