#include "core/kv/varint.h"

namespace raftkv::kv {

void PutVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

void PutBytes(absl::string_view bytes, std::string* out) {
  PutVarint(bytes.size(), out);
  out->append(bytes.data(), bytes.size());
}

void PutSigned(int64_t value, std::string* out) {
  const auto bits = static_cast<uint64_t>(value);
  PutVarint((bits << 1) ^ (value < 0 ? UINT64_MAX : 0), out);
}

bool ByteReader::Truncate() {
  if (status_ == State::kGood) status_ = State::kTruncated;
  return false;
}

bool ByteReader::Reject() {
  status_ = State::kBad;
  return false;
}

bool ByteReader::ReadByte(uint8_t* value) {
  if (!ok()) return false;
  if (rest_.empty()) return Truncate();
  *value = static_cast<uint8_t>(rest_.front());
  rest_.remove_prefix(1);
  return true;
}

bool ByteReader::ReadVarint(uint64_t* value) {
  if (!ok()) return false;
  uint64_t result = 0;
  for (size_t i = 0; i < kMaxVarintBytes; ++i) {
    if (i == rest_.size()) return Truncate();
    const auto byte = static_cast<uint8_t>(rest_[i]);
    if (i == kMaxVarintBytes - 1 && byte > 1) return Reject();  // more than 64 bits
    result |= uint64_t{byte & 0x7fu} << (7 * i);
    if (byte < 0x80) {
      if (byte == 0 && i > 0) return Reject();  // not the shortest form
      rest_.remove_prefix(i + 1);
      *value = result;
      return true;
    }
  }
  return Reject();
}

bool ByteReader::ReadSigned(int64_t* value) {
  uint64_t zigzag = 0;
  if (!ReadVarint(&zigzag)) return false;
  *value = static_cast<int64_t>((zigzag >> 1) ^ (0 - (zigzag & 1)));
  return true;
}

bool ByteReader::ReadBytes(size_t limit, absl::string_view* value) {
  uint64_t size = 0;
  if (!ReadVarint(&size)) return false;
  if (size > limit) return Reject();
  if (size > rest_.size()) return Truncate();
  *value = rest_.substr(0, static_cast<size_t>(size));
  rest_.remove_prefix(static_cast<size_t>(size));
  return true;
}

}  // namespace raftkv::kv
