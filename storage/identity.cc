#include "storage/identity.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"

namespace raftkv::storage {

std::string ToHex(const ClusterId& id) { return absl::StrFormat("%016x%016x", id.high, id.low); }

std::optional<ClusterId> ParseClusterId(absl::string_view hex) {
  if (hex.size() != 32) return std::nullopt;
  ClusterId id;
  for (size_t i = 0; i < hex.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(hex[i]);
    if (!absl::ascii_isxdigit(c)) return std::nullopt;
    const unsigned digit =
        absl::ascii_isdigit(c) ? c - unsigned{'0'} : (c | unsigned{0x20}) - unsigned{'a'} + 10;
    uint64_t& half = i < 16 ? id.high : id.low;
    half = half << 4 | digit;
  }
  return id;
}

}  // namespace raftkv::storage
