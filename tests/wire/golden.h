// Bytes that a released version wrote, kept as hexadecimal text under tests/golden/wire.
//
// A format that is on disks and between nodes of different versions must not change by accident: a
// test encodes the sample again and decodes the stored bytes. After a deliberate change, run the
// test once with RAFTKV_UPDATE_GOLDEN=1 and look at the diff.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace raftkv::wire {

inline std::string HexLines(absl::string_view bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 16) {
    absl::StrAppend(&text, absl::BytesToHexString(bytes.substr(i, 16)), "\n");
  }
  return text;
}

// The stored bytes of `name`; writes `encoded` there first if updating was asked for.
inline std::string GoldenBytes(const std::string& name, absl::string_view encoded) {
  const std::string path = absl::StrCat(RAFTKV_SOURCE_DIR, "/tests/golden/wire/", name, ".hex");
  if (std::getenv("RAFTKV_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << HexLines(encoded);
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << path;
  std::string hex;
  for (std::string line; std::getline(file, line);) hex += line;
  return absl::HexStringToBytes(hex);
}

}  // namespace raftkv::wire
