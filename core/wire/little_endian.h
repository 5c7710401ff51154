// Integers in headers that are not FlatBuffers: little-endian at any alignment, on any machine.
#pragma once

#include <cstdint>

namespace raftkv::wire {

inline uint32_t LoadLittle32(const char* bytes) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = (value << 8) | static_cast<uint8_t>(bytes[i]);
  return value;
}

inline uint64_t LoadLittle64(const char* bytes) {
  return LoadLittle32(bytes) | (uint64_t{LoadLittle32(bytes + 4)} << 32);
}

inline void StoreLittle32(uint32_t value, char* bytes) {
  for (int i = 0; i < 4; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
}

inline void StoreLittle64(uint64_t value, char* bytes) {
  StoreLittle32(static_cast<uint32_t>(value), bytes);
  StoreLittle32(static_cast<uint32_t>(value >> 32), bytes + 4);
}

}  // namespace raftkv::wire
