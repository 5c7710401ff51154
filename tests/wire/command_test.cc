#include "core/wire/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <set>
#include <string>

#include "tests/wire/golden.h"
#include "tests/wire/samples.h"

namespace raftkv::wire {
namespace {

using raft::Payload;
using ::testing::HasSubstr;

struct Decoded {
  CommandDecode verdict;
  kv::Command command;
  std::string problem;
};

Decoded Decode(const Payload& payload) {
  Decoded decoded;
  decoded.verdict = DecodeCommand(payload.view(), &decoded.command, &decoded.problem);
  return decoded;
}

Decoded DecodeCopy(absl::string_view bytes) {
  static Payload kept;  // the command points into it
  kept = Payload::Copy(bytes);
  return Decode(kept);
}

TEST(CommandTest, GoldenBytes) {
  CommandEncoder encoder;
  for (const auto& [name, command] : CommandSamples()) {
    SCOPED_TRACE(name);
    const std::string encoded(encoder.Encode(command));
    const std::string golden = GoldenBytes("command_" + name, encoded);
    EXPECT_EQ(HexLines(encoded), HexLines(golden));
    const Decoded decoded = DecodeCopy(golden);
    ASSERT_EQ(decoded.verdict, CommandDecode::kOk) << decoded.problem;
    EXPECT_EQ(decoded.command, command);
  }
}

TEST(CommandTest, SamplesCoverEveryKind) {
  std::set<kv::OpKind> kinds;
  std::set<kv::Guard::Kind> guards;
  for (const auto& [name, command] : CommandSamples()) {
    for (const kv::Op& op : command.ops) kinds.insert(op.kind);
    for (const kv::Guard& guard : command.guards) guards.insert(guard.kind);
  }
  EXPECT_EQ(kinds.size(), static_cast<size_t>(kv::kLastOpKind) + 1);
  EXPECT_EQ(guards.size(), static_cast<size_t>(kv::Guard::kLastKind) + 1);
}

TEST(CommandTest, RandomCommandsSurvive) {
  Random random = Random::Stream(1, "command round trip");
  CommandEncoder encoder;
  for (int i = 0; i < 5000; ++i) {
    std::deque<std::string> strings;
    const kv::Command command = RandomCommand(&random, &strings);
    const Payload payload = encoder.EncodePayload(command);
    const Decoded decoded = Decode(payload);
    ASSERT_EQ(decoded.verdict, CommandDecode::kOk) << decoded.problem;
    ASSERT_EQ(decoded.command, command);
    ASSERT_EQ(encoder.Encode(decoded.command), payload.view()) << "one command, one encoding";
  }
}

TEST(CommandTest, DecodingBorrowsFromThePayload) {
  CommandEncoder encoder;
  const Payload payload = encoder.EncodePayload(CommandSamples().back().second);
  const Decoded decoded = Decode(payload);
  const char* begin = payload.view().data();
  const char* end = begin + payload.size();
  for (const kv::Op& op : decoded.command.ops) {
    EXPECT_TRUE(op.key.data() >= begin && op.key.data() + op.key.size() <= end);
    EXPECT_TRUE(op.value.data() >= begin && op.value.data() + op.value.size() <= end);
  }
}

TEST(CommandTest, EveryDamagedByteAndEveryPrefixIsHarmless) {
  CommandEncoder encoder;
  CommandEncoder again;
  size_t verdicts[3] = {};
  for (const auto& [name, command] : CommandSamples()) {
    const std::string encoded(encoder.Encode(command));
    for (size_t i = 0; i < encoded.size(); ++i) {
      EXPECT_NE(DecodeCopy(encoded.substr(0, i)).verdict, CommandDecode::kOk) << name << " " << i;
      for (int value = 0; value < 256; ++value) {
        std::string damaged = encoded;
        damaged[i] = static_cast<char>(value);
        const Payload payload = Payload::Copy(damaged);
        const Decoded decoded = Decode(payload);
        ++verdicts[static_cast<size_t>(decoded.verdict)];
        if (decoded.verdict == CommandDecode::kOk) {
          const Payload second = again.EncodePayload(decoded.command);
          const Decoded reread = Decode(second);
          ASSERT_EQ(reread.verdict, CommandDecode::kOk) << name << " " << reread.problem;
          ASSERT_EQ(reread.command, decoded.command) << name << " byte " << i << " = " << value;
        } else {
          EXPECT_FALSE(decoded.problem.empty());
          EXPECT_TRUE(decoded.command.ops.empty() && decoded.command.guards.empty());
        }
      }
    }
  }
  for (const size_t count : verdicts) EXPECT_GT(count, 1000u);
}

TEST(CommandTest, RandomBytesAreMalformed) {
  Random random = Random::Stream(1, "command garbage");
  for (int i = 0; i < 20000; ++i) {
    EXPECT_EQ(DecodeCopy(RandomBytes(300, &random)).verdict, CommandDecode::kMalformed);
  }
  EXPECT_EQ(DecodeCopy("").verdict, CommandDecode::kMalformed);
}

TEST(CommandTest, WhatALaterVersionWroteIsUnsupportedAndKeepsItsSession) {
  CommandEncoder encoder;
  kv::Command command = CommandSamples().back().second;
  const auto decode = [&] { return DecodeCopy(encoder.Encode(command)); };
  command.ops[1].kind = static_cast<kv::OpKind>(200);
  Decoded decoded = decode();
  EXPECT_EQ(decoded.verdict, CommandDecode::kUnsupported);
  EXPECT_THAT(decoded.problem, HasSubstr("operation 1 has unknown kind 200"));
  EXPECT_EQ(decoded.command.session, 12u);
  EXPECT_EQ(decoded.command.sequence, 5u);
  EXPECT_TRUE(decoded.command.ops.empty());

  command.ops[1].kind = kv::OpKind::kSet;
  command.ops[1].condition = static_cast<kv::Condition>(4);
  EXPECT_EQ(decode().verdict, CommandDecode::kUnsupported);

  command.ops[1].condition = kv::Condition::kAlways;
  command.guards[2].kind = static_cast<kv::Guard::Kind>(4);
  EXPECT_THAT(decode().problem, HasSubstr("guard 2 has unknown kind 4"));

  command.guards[2].kind = kv::Guard::Kind::kAbsent;
  std::string later_layout(encoder.Encode(command));
  later_layout[7] = '2';  // "RKC2"
  decoded = DecodeCopy(later_layout);
  EXPECT_EQ(decoded.verdict, CommandDecode::kUnsupported);
  EXPECT_THAT(decoded.problem, HasSubstr("RKC2"));
}

// The bytes of a sample with one place changed.
std::string Patched(absl::string_view sample, absl::string_view from, absl::string_view to) {
  CommandEncoder encoder;
  for (const auto& [name, command] : CommandSamples()) {
    if (name != sample) continue;
    std::string bytes(encoder.Encode(command));
    const size_t at = bytes.find(from.data(), 0, from.size());
    EXPECT_NE(at, std::string::npos) << sample;
    return bytes.replace(at, to.size(), to.data(), to.size());
  }
  ADD_FAILURE() << "no sample " << sample;
  return "";
}

TEST(CommandTest, ExtrasBelongToTheOperationsThatNeedThem) {
  // The tail of an operation's head: kind, condition, flags, reserved.
  const absl::string_view incr_by("\x09\0\x02\0", 4);
  EXPECT_THAT(DecodeCopy(Patched("incr_by", incr_by, {"\x09\0\0\0", 4})).problem,
              HasSubstr("1 extras belong to no operation"));
  EXPECT_THAT(DecodeCopy(Patched("set", {"\x06\0\0\0", 4}, {"\x06\0\x02\0", 4})).problem,
              HasSubstr("operation 0 misses its extra"));
  const std::string minus_three = "\xfd" + std::string(7, '\xff');
  EXPECT_THAT(DecodeCopy(Patched("incr_by", minus_three, std::string(8, '\0'))).problem,
              HasSubstr("operation 0 has an empty extra"));
}

// A verified vector may still start where its elements cannot be read in place.
TEST(CommandTest, MisplacedVectorsAreRefused) {
  kv::Command command;
  command.ops.resize(1);
  command.ops[0].kind = kv::OpKind::kIncrBy;
  command.ops[0].key = "a key long enough to be mistaken for an extra";
  command.ops[0].delta = 1;  // four bytes further on, this is a vector of one element
  CommandEncoder encoder;
  const std::string encoded(encoder.Encode(command));
  size_t refused = 0;
  for (size_t i = 0; i + 4 <= encoded.size(); i += 4) {
    std::string damaged = encoded;
    damaged[i] = static_cast<char>(damaged[i] + 4);
    refused += DecodeCopy(damaged).problem == "the extras are not aligned" ? 1u : 0u;
  }
  EXPECT_EQ(refused, 1u);
}

TEST(CommandTest, UnalignedBytesAreRefusedRatherThanCopiedBehindTheCallersBack) {
  CommandEncoder encoder;
  const absl::string_view encoded = encoder.Encode(CommandSamples().front().second);
  const Payload shifted = Payload::Copy("xxxx" + std::string(encoded));
  kv::Command command;
  std::string problem;
  EXPECT_EQ(DecodeCommand(shifted.view().substr(4), &command, &problem), CommandDecode::kMalformed);
  EXPECT_THAT(problem, HasSubstr("aligned"));
  // Without a place for the problem.
  EXPECT_EQ(DecodeCommand(shifted.view().substr(4), &command), CommandDecode::kMalformed);
}

TEST(CommandTest, TheLargestCommandOfTheStoreFits) {
  const std::string value(kv::kMaxRequestBytes - kv::kMaxOps, 'v');
  kv::Command command;
  command.ops.resize(kv::kMaxOps);
  for (kv::Op& op : command.ops) {
    op.kind = kv::OpKind::kIncrBy;
    op.key = "k";
    op.delta = 1;
  }
  command.ops.back().value = value;
  command.guards.resize(kv::kMaxGuards);
  CommandEncoder encoder;
  const Payload payload = encoder.EncodePayload(command);
  EXPECT_LE(payload.size(), kMaxCommandBytes);
  const Decoded decoded = Decode(payload);
  ASSERT_EQ(decoded.verdict, CommandDecode::kOk) << decoded.problem;
  EXPECT_EQ(decoded.command, command);
  EXPECT_THAT(DecodeCopy(std::string(kMaxCommandBytes + 1, 'x')).problem,
              HasSubstr("the limit is"));
}

TEST(CommandDeathTest, MoreThanTheStoreAllowsIsABugOfTheCaller) {
  CommandEncoder encoder;
  kv::Command command;
  command.ops.resize(kv::kMaxOps + 1);
  EXPECT_DEATH(encoder.Encode(command), "check failed");
}

}  // namespace
}  // namespace raftkv::wire
