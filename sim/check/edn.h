// Reads EDN, the data notation of Clojure, in which Jepsen and its kin write histories.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace raftkv::sim {

struct Edn {
  enum class Kind {
    kNil,
    kInteger,  // one that fits int64; `integer`
    kString,   // `text` is its contents
    kKeyword,  // `text` without the colon
    kAtom,     // anything else that is not a collection, as written: symbol, true, 1.5, \a
    kVector,   // `items`, so for the other collections
    kList,
    kSet,
    kMap,  // keys and values in turn
  };
  Kind kind = Kind::kNil;
  int line = 0;  // where it begins, 1-based
  int64_t integer = 0;
  std::string text;
  std::vector<Edn> items;

  bool IsSequence() const { return kind == Kind::kVector || kind == Kind::kList; }

  // The value for keyword `key` of a map; null if it is not a map or has no such key.
  const Edn* Find(absl::string_view key) const;

  // One text for equal values: 5, :a, "b", [1 2].
  std::string ToString() const;
};

struct EdnLimits {
  int depth = 64;             // of collections in collections
  size_t values = 8'000'000;  // in all
};

// All forms of the text, in order. A tag is dropped and its value kept; `#_` drops the next form;
// metadata is dropped. Total: any bytes give values or an error that begins with "name:line: ".
absl::StatusOr<std::vector<Edn>> ReadEdn(absl::string_view name, absl::string_view text,
                                         int first_line = 1, const EdnLimits& limits = {});

}  // namespace raftkv::sim
