#include "core/kv/result.h"

#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "core/kv/limits.h"
#include "core/kv/varint.h"
#include "core/raft/random.h"
#include "gtest/gtest.h"
#include "tests/kv/golden.h"

namespace raftkv::kv {
namespace {

using raft::Payload;

Result EveryKindOfResult() {
  Result result;
  result.outcome = Outcome::kOk;
  result.index = 300;
  result.ops = {Nil{},
                Done{},
                int64_t{-3},
                int64_t{INT64_MIN},
                VersionedValue{7, Payload::Copy("value")},
                VersionedValue{8, Payload()},
                Page{{{"a", 1, Payload::Copy("x")}, {"", 2, Payload()}}, true, "b"},
                Page{},
                ConditionNotMet{UINT64_MAX},
                OpError::kReplyTooLarge};
  return result;
}

TEST(ResultTest, RoundTrips) {
  const Result result = EveryKindOfResult();
  EXPECT_EQ(DecodeResult(EncodeResult(result)), result);

  Result guard;
  guard.outcome = Outcome::kGuardFailed;
  guard.index = UINT64_MAX;
  guard.failed_guard = kMaxGuards - 1;
  guard.observed_version = 12;
  EXPECT_EQ(DecodeResult(EncodeResult(guard)), guard);
  for (int outcome = 0; outcome <= static_cast<int>(kLastOutcome); ++outcome) {
    Result plain;
    plain.outcome = static_cast<Outcome>(outcome);
    EXPECT_EQ(DecodeResult(EncodeResult(plain)), plain);
    EXPECT_NE(Name(plain.outcome), "?");
  }
}

TEST(ResultTest, GoldenBytes) {
  const std::string golden = ReadGolden("result_v1.hex");
  ASSERT_FALSE(golden.empty());
  EXPECT_EQ(absl::BytesToHexString(EncodeResult(EveryKindOfResult())),
            absl::BytesToHexString(golden));
  EXPECT_EQ(DecodeResult(golden), EveryKindOfResult());
}

TEST(ResultTest, EveryPrefixAndEveryExtensionIsRefused) {
  const std::string bytes = EncodeResult(EveryKindOfResult());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(DecodeResult(bytes.substr(0, size)), std::nullopt) << size;
  }
  EXPECT_EQ(DecodeResult(bytes + '\0'), std::nullopt);
}

// Whatever decodes encodes to the same bytes: one value has one encoding.
TEST(ResultTest, DamagedBytesAreRefusedOrMeanWhatTheySay) {
  const std::string bytes = EncodeResult(EveryKindOfResult());
  Random random(1);
  int decoded = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string damaged = bytes;
    for (uint64_t i = random.Between(1, 3); i > 0; --i) {
      damaged[random.Below(damaged.size())] = static_cast<char>(random.Below(256));
    }
    const auto result = DecodeResult(damaged);
    if (!result) continue;
    ++decoded;
    ASSERT_EQ(EncodeResult(*result), damaged);
  }
  EXPECT_GT(decoded, 1000);
}

TEST(ResultTest, HugeCountsAllocateNothing) {
  std::string bytes("\x01\x00\x00\x00\x00", 5);
  PutVarint(kMaxOps, &bytes);
  EXPECT_EQ(DecodeResult(bytes), std::nullopt);
  bytes.resize(5);
  PutVarint(uint64_t{1} << 62, &bytes);
  EXPECT_EQ(DecodeResult(bytes), std::nullopt);
}

TEST(ResultTest, OnlyACommandThatRanHasOperations) {
  Result result;
  result.outcome = Outcome::kGuardFailed;
  result.ops = {Done{}};
  EXPECT_EQ(DecodeResult(EncodeResult(result)), std::nullopt);
}

TEST(VarintTest, OnlyTheShortestFormIsAccepted) {
  for (const uint64_t value : {uint64_t{0}, uint64_t{127}, uint64_t{128}, uint64_t{16'383},
                               uint64_t{1} << 63, UINT64_MAX}) {
    std::string bytes;
    PutVarint(value, &bytes);
    uint64_t read = 0;
    ByteReader in(bytes);
    EXPECT_TRUE(in.ReadVarint(&read));
    EXPECT_EQ(read, value);
    EXPECT_TRUE(in.rest().empty());
  }
  uint64_t read = 0;
  for (const std::string& bytes :
       {std::string("\x80\x00", 2), std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
        std::string(11, '\x80')}) {
    ByteReader in(bytes);
    EXPECT_FALSE(in.ReadVarint(&read));
    EXPECT_FALSE(in.ok());
    EXPECT_FALSE(in.truncated());
  }
  ByteReader in("\x80");
  EXPECT_FALSE(in.ReadVarint(&read));
  EXPECT_TRUE(in.truncated());
  uint8_t byte = 0;
  EXPECT_FALSE(in.ReadByte(&byte)) << "a failed reader stays failed";
}

}  // namespace
}  // namespace raftkv::kv
