// A fuzzer's bytes read as a program: numbers, bytes, and edits to something that was valid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace raftkv {

// Reading is total: behind the end there are zeros.
class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  uint8_t U8();
  uint16_t U16();
  // Up to `bytes` of them.
  absl::string_view Bytes(size_t bytes);
  absl::string_view Rest() { return Bytes(rest_.size()); }
  bool empty() const { return rest_.empty(); }

 private:
  absl::string_view rest_;
};

// What a program does to the bytes of a file, an instruction at a time. It flips and sets, fills,
// cuts, extends, and moves pieces about; it cannot put down eight bytes of its choice, so a fuzzer
// that watches comparisons cannot forge a checksum with it.
// Changes one thing; false when the program has ended or says so.
bool Edit(FuzzInput& program, std::string* bytes);

// One of the numbers at which formats break: 0, 1, powers of two and their neighbours.
uint64_t EdgeNumber(uint8_t which);

}  // namespace raftkv
