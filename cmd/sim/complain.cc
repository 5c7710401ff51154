#include "cmd/sim/complain.h"

#include <cstdio>
#include <string>

#include "absl/strings/str_format.h"

namespace raftkv::sim {

void Complain(absl::string_view why) {
  std::string printable(why);
  for (char& c : printable) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) c = '?';
  }
  absl::FPrintF(stderr, "raftkv-sim: %s\n", printable);
}

}  // namespace raftkv::sim
