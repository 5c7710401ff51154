// Little-endian integers into and out of byte strings. Reading is total: a Reader that runs out of
// bytes returns zeros and says so once at the end, so decoders check a single flag.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "core/raft/check.h"

namespace raftkv::storage {

inline void PutU64(std::string& out, uint64_t value) {
  char bytes[8];
  for (char& byte : bytes) {
    byte = static_cast<char>(value & 0xff);
    value >>= 8;
  }
  out.append(bytes, sizeof(bytes));
}

inline void PutU32(std::string& out, uint32_t value) {
  char bytes[4];
  for (char& byte : bytes) {
    byte = static_cast<char>(value & 0xff);
    value >>= 8;
  }
  out.append(bytes, sizeof(bytes));
}

// A record of at most kMost bytes, put together where it is: most records are small, and written
// for every batch.
template <size_t kMost>
class SmallRecord {
 public:
  SmallRecord& U64(uint64_t value) { return Unsigned(value, 8); }
  SmallRecord& U32(uint32_t value) { return Unsigned(value, 4); }
  SmallRecord& Bytes(absl::string_view bytes) {
    RAFTKV_CHECK(bytes.size() <= kMost - size_);
    bytes.copy(bytes_ + size_, bytes.size());
    size_ += bytes.size();
    return *this;
  }
  // Zeros up to this size.
  SmallRecord& ZerosTo(size_t size) {
    RAFTKV_CHECK(size_ <= size && size <= kMost);
    for (; size_ < size; ++size_) bytes_[size_] = '\0';
    return *this;
  }
  absl::string_view view() const { return {bytes_, size_}; }

 private:
  SmallRecord& Unsigned(uint64_t value, size_t width) {
    RAFTKV_CHECK(width <= kMost - size_);
    for (size_t i = 0; i < width; ++i) bytes_[size_ + i] = static_cast<char>(value >> (8 * i));
    size_ += width;
    return *this;
  }

  size_t size_ = 0;
  char bytes_[kMost];
};

class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {}

  uint64_t U64() { return Unsigned(8); }
  uint32_t U32() { return static_cast<uint32_t>(Unsigned(4)); }
  uint8_t U8() { return static_cast<uint8_t>(Unsigned(1)); }
  absl::string_view Bytes(size_t length) {
    if (bytes_.size() < length) {
      ok_ = false;
      bytes_ = absl::string_view();
      return absl::string_view();
    }
    const absl::string_view taken = bytes_.substr(0, length);
    bytes_.remove_prefix(length);
    return taken;
  }

  bool ok() const { return ok_; }
  // Nothing was missing and nothing is left.
  bool done() const { return ok_ && bytes_.empty(); }

 private:
  uint64_t Unsigned(size_t width) {
    const absl::string_view taken = Bytes(width);
    uint64_t value = 0;
    for (size_t i = taken.size(); i > 0; --i) {
      value = value << 8 | static_cast<unsigned char>(taken[i - 1]);
    }
    return value;
  }

  absl::string_view bytes_;
  bool ok_ = true;
};

}  // namespace raftkv::storage
