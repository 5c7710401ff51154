// What the clients of scripts/powercut write, what of it was acknowledged, and what a store must
// therefore hold after the power has been cut.
//
// The ledger is text, a line for each acknowledgement, kept by somebody whom the cut does not hit.
// Only whole lines count. Keys and values follow from a few numbers, so nothing else is kept.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace raftkv::e2e {

// One write of one client. A client whose write is in doubt goes on with a new `life`, and with
// other keys: the write in doubt may still come, after those that follow it.
struct PowercutWrite {
  uint64_t boot = 0;  // how often the machine had been switched on
  uint64_t client = 0;
  uint64_t life = 0;
  uint64_t number = 0;  // counts within a life, from 1

  enum class Kind {
    kOnce,     // SET of a key that is never written again: is each write there?
    kAgain,    // SET of one of a few keys, in turn: is the last value there?
    kCount,    // INCR: is each one counted?
    kCollect,  // APPEND of the number: are all there, in their order?
  };
  Kind kind() const;
  std::string key() const;
  // What is set or appended: 16 bytes to 4 KiB that nothing else would have written.
  std::string value() const;
  std::vector<std::string> command() const;
  // The line that says that the store has answered with `reply` (the number, for INCR).
  std::string Acknowledged(uint64_t reply) const;
};

class PowercutLedger {
 public:
  // Adds the lines of one boot. A last line without its end has not arrived. False when a line is
  // none that a client or a judgement writes; other lines begin with '#' or '!' and are passed
  // over.
  bool Add(absl::string_view lines);

  // In order.
  std::vector<std::string> keys() const;
  uint64_t acknowledged() const { return acknowledged_; }

  struct Judgement {
    std::string lost;  // what is wrong, for a person; empty: nothing
    std::string seen;  // a line for the ledger: what was read stays so from now on. May be empty
  };
  // `value`: what the store has for this key of keys(), read after the boot in which it was
  // written. nullopt: nothing.
  Judgement Judge(const std::string& key, const std::optional<std::string>& value) const;

 private:
  struct Expected {
    PowercutWrite write;             // the last one acknowledged
    uint64_t count = 0;              // kCount: the highest reply
    std::set<uint64_t> collected;    // kCollect: the numbers acknowledged
    std::optional<uint64_t> digest;  // of the value, once somebody has read it
  };

  std::string WhatIsLost(const Expected& expected, const std::optional<std::string>& value) const;

  std::map<std::string, Expected> expected_;
  uint64_t acknowledged_ = 0;
};

}  // namespace raftkv::e2e
