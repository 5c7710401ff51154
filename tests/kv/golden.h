// Golden bytes: files under tests/golden/kv that hold bytes as hexadecimal text, one line per
// field, '#' starts a comment. They are written once per format version and never changed: a
// program must go on reading what its predecessors wrote.
#pragma once

#include <fstream>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace raftkv::kv {

inline std::string ReadGolden(absl::string_view name) {
  std::ifstream file(std::string(RAFTKV_SOURCE_DIR "/tests/golden/kv/") + std::string(name));
  std::string digits;
  for (std::string line; std::getline(file, line);) {
    for (const char c : line.substr(0, line.find('#'))) {
      if (c != ' ') digits.push_back(c);
    }
  }
  return absl::HexStringToBytes(digits);
}

}  // namespace raftkv::kv
