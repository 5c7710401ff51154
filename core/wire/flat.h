// What the FlatBuffers code of this room shares. For .cc files of core/wire only.
//
// The library's verifier checks offsets and lengths, but two things are left to us: an element of a
// vector may sit at any multiple of four bytes even if it needs eight, and a buffer may start
// anywhere. Reading such a value in place is undefined behaviour.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/strings/string_view.h"
#include "flatbuffers/flatbuffers.h"

namespace raftkv::wire {

inline bool IsAligned(const void* bytes, size_t alignment) {
  return reinterpret_cast<uintptr_t>(bytes) % alignment == 0;
}

inline bool IsAligned(absl::string_view buffer) {
  return IsAligned(buffer.data(), sizeof(uint64_t));
}

// Of the elements of a vector that may be absent.
template <typename T>
bool IsAligned(const flatbuffers::Vector<T>* vector) {
  return vector == nullptr || vector->size() == 0 || IsAligned(vector->Data(), sizeof(uint64_t));
}

class AlignedCopy {
 public:
  explicit AlignedCopy(absl::string_view bytes)
      : words_((bytes.size() + sizeof(uint64_t) - 1) / sizeof(uint64_t)), size_(bytes.size()) {
    if (!bytes.empty()) std::memcpy(words_.data(), bytes.data(), bytes.size());
  }
  absl::string_view view() const { return {reinterpret_cast<const char*>(words_.data()), size_}; }

 private:
  std::vector<uint64_t> words_;
  size_t size_;
};

// An absent vector is an empty one: nothing is written for no bytes.
inline flatbuffers::Offset<flatbuffers::Vector<uint8_t>> WriteBytes(
    flatbuffers::FlatBufferBuilder& builder, absl::string_view bytes) {
  if (bytes.empty()) return 0;
  return builder.CreateVector(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

// `next` is called `count` times and returns the elements in order. (The library's
// CreateUninitializedVectorOfStructs takes the size of the struct for its alignment, which breaks
// the buffer for every size that is no power of two.)
template <typename T, typename Next>
flatbuffers::Offset<flatbuffers::Vector<const T*>> WriteStructs(
    flatbuffers::FlatBufferBuilder& builder, size_t count, Next next) {
  if (count == 0) return 0;
  return builder.CreateVectorOfStructs<T>(
      count, [](size_t, T* element, Next* state) { *element = (*state)(); }, &next);
}

inline absl::string_view ViewBytes(const flatbuffers::Vector<uint8_t>* vector) {
  if (vector == nullptr) return {};
  return {reinterpret_cast<const char*>(vector->data()), vector->size()};
}

}  // namespace raftkv::wire
