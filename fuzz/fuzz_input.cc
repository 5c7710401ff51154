#include "fuzz/fuzz_input.h"

#include <algorithm>

namespace raftkv {
namespace {

// Longer files show nothing new.
constexpr size_t kMaxEdited = size_t{1} << 20;

}  // namespace

absl::string_view FuzzInput::Bytes(size_t bytes) {
  const absl::string_view taken = rest_.substr(0, bytes);
  rest_.remove_prefix(taken.size());
  return taken;
}

uint8_t FuzzInput::U8() {
  const absl::string_view taken = Bytes(1);
  return taken.empty() ? 0 : static_cast<uint8_t>(taken[0]);
}

uint16_t FuzzInput::U16() {
  const unsigned low = U8();
  return static_cast<uint16_t>(low | unsigned{U8()} << 8);
}

uint64_t EdgeNumber(uint8_t which) {
  constexpr uint64_t kPowers[] = {0, 1, 6, 9, 16, 26, 31, 32, 40, 62, 63};
  const uint64_t power = uint64_t{1} << kPowers[which / 3 % 11];
  return power - 1 + which % 3;
}

bool Edit(FuzzInput& program, std::string* bytes) {
  if (program.empty()) return false;
  const uint8_t instruction = program.U8();
  const size_t at = program.U16();
  const size_t there = at < bytes->size() ? bytes->size() - at : 0;
  // In bytes, or in sectors.
  const size_t length = size_t{program.U8()} << (instruction >= 128 ? 9 : 0);
  switch (instruction % 8) {
    case 0:
      return false;
    case 1:  // flips a bit
      if (there > 0) (*bytes)[at] = static_cast<char>((*bytes)[at] ^ 1 << length % 8);
      break;
    case 2:  // sets a byte
      if (there > 0) (*bytes)[at] = static_cast<char>(length);
      break;
    case 3:
      std::fill_n(bytes->begin() + static_cast<ptrdiff_t>(at), std::min(length, there), '\0');
      break;
    case 4:  // garbage, always the same
      for (size_t i = 0; i < std::min(length, there); ++i) {
        (*bytes)[at + i] = static_cast<char>(0x9d * (i + 1) + 0x35);
      }
      break;
    case 5:
      bytes->resize(std::min(at, bytes->size()));
      break;
    case 6:
      bytes->resize(std::min(kMaxEdited, bytes->size() + length),
                    static_cast<char>(instruction / 8));
      break;
    case 7: {  // a piece, to another place
      const std::string piece = bytes->substr(std::min(at, bytes->size()), length);
      const size_t to = std::min<size_t>(program.U16(), bytes->size());
      bytes->replace(to, piece.size(), piece);
      break;
    }
  }
  return true;
}

}  // namespace raftkv
