#include "tests/e2e/powercut_ledger.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/raft/random.h"

namespace raftkv::e2e {
namespace {

constexpr uint64_t kKeysWrittenAgain = 8;
constexpr uint64_t kNumbersPerCollection = 512;
constexpr size_t kShown = 40;

std::string Shown(const std::string& value) {
  return absl::StrCat(": '", value.substr(0, kShown), value.size() > kShown ? "'..." : "'", " (",
                      value.size(), " bytes)");
}

bool Numbers(absl::string_view text, std::vector<uint64_t>* numbers) {
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    uint64_t number = 0;
    if (!absl::SimpleAtoi(word, &number)) return false;
    numbers->push_back(number);
  }
  return true;
}

}  // namespace

PowercutWrite::Kind PowercutWrite::kind() const {
  switch (number % 8) {
    case 5:
    case 6:
      return Kind::kAgain;
    case 7:
      return Kind::kCount;
    case 0:
      return Kind::kCollect;
    default:
      return Kind::kOnce;
  }
}

std::string PowercutWrite::key() const {
  const std::string whose = absl::StrCat(boot, ":", client, ":", life);
  switch (kind()) {
    case Kind::kOnce:
      return absl::StrCat("once:", whose, ":", number);
    case Kind::kAgain:
      return absl::StrCat("again:", whose, ":", number % kKeysWrittenAgain, ":",
                          number / 8 % kKeysWrittenAgain);
    case Kind::kCount:
      return absl::StrCat("count:", whose);
    case Kind::kCollect:
      return absl::StrCat("collect:", whose, ":", number / kNumbersPerCollection);
  }
  return whose;
}

std::string PowercutWrite::value() const {
  if (kind() == Kind::kCollect) return absl::StrCat(number, ";");
  std::string value = absl::StrCat(number, ":");
  Random random(HashBytes(absl::StrCat(boot, ":", client, ":", life, ":", number)));
  const size_t size = random.Below(16) == 0 ? 4096 : random.Between(16, 1200);
  while (value.size() < size) {
    const uint64_t bits = random.Next();
    for (int shift = 0; shift < 64; shift += 8) {
      value.push_back(static_cast<char>('!' + (bits >> shift) % 90));
    }
  }
  return value;
}

std::vector<std::string> PowercutWrite::command() const {
  switch (kind()) {
    case Kind::kCount:
      return {"INCR", key()};
    case Kind::kCollect:
      return {"APPEND", key(), value()};
    default:
      return {"SET", key(), value()};
  }
}

std::string PowercutWrite::Acknowledged(uint64_t reply) const {
  return absl::StrCat("+", boot, " ", client, " ", life, " ", number, " ", reply, "\n");
}

bool PowercutLedger::Add(absl::string_view lines) {
  for (size_t end; (end = lines.find('\n')) != absl::string_view::npos;
       lines.remove_prefix(end + 1)) {
    absl::string_view line = lines.substr(0, end);
    std::vector<uint64_t> numbers;
    if (absl::ConsumePrefix(&line, "+")) {
      if (!Numbers(line, &numbers) || numbers.size() != 5) return false;
      const PowercutWrite write{numbers[0], numbers[1], numbers[2], numbers[3]};
      Expected& expected = expected_[write.key()];
      if (write.number >= expected.write.number) expected.write = write;
      expected.count = std::max(expected.count, numbers[4]);
      if (write.kind() == PowercutWrite::Kind::kCollect) expected.collected.insert(write.number);
      ++acknowledged_;
    } else if (absl::ConsumePrefix(&line, "=")) {
      const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
      const auto found = words.empty() ? expected_.end() : expected_.find(std::string(words[0]));
      if (words.size() != 2 || found == expected_.end()) return false;
      if (!Numbers(words[1], &numbers)) return false;
      found->second.digest = numbers[0];
    } else if (!absl::StartsWith(line, "#") && !absl::StartsWith(line, "!")) {
      return false;
    }
  }
  return true;
}

std::vector<std::string> PowercutLedger::keys() const {
  std::vector<std::string> keys;
  keys.reserve(expected_.size());
  for (const auto& [key, expected] : expected_) keys.push_back(key);
  return keys;
}

std::string PowercutLedger::WhatIsLost(const Expected& expected,
                                       const std::optional<std::string>& value) const {
  if (!value) return "nothing is there";
  PowercutWrite write = expected.write;
  uint64_t number = 0;
  switch (write.kind()) {
    case PowercutWrite::Kind::kOnce:
      return *value == write.value() ? "" : "another value is there";
    case PowercutWrite::Kind::kAgain: {
      const absl::string_view all = *value;
      const size_t end = all.find(':');
      if (end == absl::string_view::npos || !absl::SimpleAtoi(all.substr(0, end), &number)) {
        return "not a value that was written";
      }
      if (number < write.number) return absl::StrCat("an older value is there, number ", number);
      const std::string key = write.key();
      write.number = number;
      return write.kind() == PowercutWrite::Kind::kAgain && write.key() == key &&
                     write.value() == *value
                 ? ""
                 : "not a value that was written";
    }
    case PowercutWrite::Kind::kCount:
      if (!absl::SimpleAtoi(*value, &number)) return "no number";
      return number >= expected.count ? "" : absl::StrCat("counted were ", expected.count);
    case PowercutWrite::Kind::kCollect: {
      std::set<uint64_t> found;
      absl::string_view rest = *value;
      uint64_t last = 0;
      while (!rest.empty()) {
        const size_t end = rest.find(';');
        if (end == absl::string_view::npos || !absl::SimpleAtoi(rest.substr(0, end), &number)) {
          return "not a list that was written";
        }
        if (number <= last) return absl::StrCat("number ", number, " comes after ", last);
        found.insert(last = number);
        rest.remove_prefix(end + 1);
      }
      for (const uint64_t wanted : expected.collected) {
        if (!found.contains(wanted)) return absl::StrCat("number ", wanted, " is not there");
      }
      return "";
    }
  }
  return "";
}

PowercutLedger::Judgement PowercutLedger::Judge(const std::string& key,
                                                const std::optional<std::string>& value) const {
  const Expected& expected = expected_.at(key);
  Judgement judgement;
  std::string wrong = WhatIsLost(expected, value);
  if (wrong.empty()) {
    const uint64_t digest = HashBytes(*value);
    if (!expected.digest) {
      // A key that is written once has the value that was acknowledged: there is nothing to add.
      if (expected.write.kind() != PowercutWrite::Kind::kOnce) {
        judgement.seen = absl::StrCat("=", key, " ", digest, "\n");
      }
    } else if (*expected.digest != digest) {
      wrong = "another value has been read after an earlier cut";
    }
  }
  if (!wrong.empty()) {
    judgement.lost =
        absl::StrCat(key, " of boot ", expected.write.boot, ", acknowledged with number ",
                     expected.write.number, ": ", wrong, value ? Shown(*value) : "");
  }
  return judgement;
}

}  // namespace raftkv::e2e
