#include "core/kv/command.h"

#include <string>

#include "core/kv/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftkv::kv {
namespace {

using testing::HasSubstr;
using testing::Optional;

Op MakeOp(OpKind kind, absl::string_view key = {}, absl::string_view value = {}) {
  Op op;
  op.kind = kind;
  op.key = key;
  op.value = value;
  return op;
}

Command Of(std::vector<Op> ops) {
  Command command;
  command.ops = std::move(ops);
  return command;
}

TEST(CommandTest, PlainCommandsAreValid) {
  for (int kind = 0; kind <= static_cast<int>(OpKind::kIncrBy); ++kind) {
    EXPECT_EQ(Validate(Of({MakeOp(static_cast<OpKind>(kind), "k", "v")})), std::nullopt) << kind;
  }
  EXPECT_EQ(Validate(Of({MakeOp(OpKind::kOpenSession)})), std::nullopt);
  Command close = Of({MakeOp(OpKind::kCloseSession)});
  close.session = 7;
  EXPECT_EQ(Validate(close), std::nullopt);
  Op raise = MakeOp(OpKind::kRaiseFeatureLevel);
  raise.delta = kSupportedFeatureLevel;
  EXPECT_EQ(Validate(Of({raise})), std::nullopt);
}

TEST(CommandTest, EmptyKeysAndValuesAreValid) {
  EXPECT_EQ(Validate(Of({MakeOp(OpKind::kSet, "", "")})), std::nullopt);
}

TEST(CommandTest, TheLargestKeysAndValuesAreValidAndOneByteMoreIsNot) {
  const std::string key(kMaxKeyBytes + 1, 'k');
  const std::string value(kMaxValueBytes + 1, 'v');
  const absl::string_view max_key(key.data(), kMaxKeyBytes);
  const absl::string_view max_value(value.data(), kMaxValueBytes);
  EXPECT_EQ(Validate(Of({MakeOp(OpKind::kSet, max_key, max_value)})), std::nullopt);
  EXPECT_THAT(Validate(Of({MakeOp(OpKind::kGet), MakeOp(OpKind::kSet, key)})),
              Optional(std::string("op 1: key is 65537 bytes, the limit is 65536")));
  EXPECT_THAT(Validate(Of({MakeOp(OpKind::kSet, "k", value)})),
              Optional(std::string("op 0: value is 8388609 bytes, the limit is 8388608")));
  Op range = MakeOp(OpKind::kRange);
  range.end = key;
  EXPECT_THAT(Validate(Of({range})), Optional(HasSubstr("op 0: end is")));
  range.end = {};
  range.cursor = key;
  EXPECT_THAT(Validate(Of({range})), Optional(HasSubstr("op 0: cursor is")));

  Command guarded = Of({MakeOp(OpKind::kGet)});
  guarded.guards = {{Guard::Kind::kExists, max_key, {}, 0}, {Guard::Kind::kExists, key, {}, 0}};
  EXPECT_THAT(Validate(guarded), Optional(HasSubstr("guard 1: key is")));
  guarded.guards = {{Guard::Kind::kValueIs, "k", value, 0}};
  EXPECT_THAT(Validate(guarded), Optional(HasSubstr("guard 0: value is")));
}

TEST(CommandTest, TheWholeRequestIsBounded) {
  const std::string value(kMaxValueBytes, 'v');
  EXPECT_EQ(Validate(Of({MakeOp(OpKind::kSet, "", value), MakeOp(OpKind::kSet, "", value)})),
            std::nullopt);
  EXPECT_THAT(Validate(Of({MakeOp(OpKind::kSet, "", value), MakeOp(OpKind::kSet, "k", value)})),
              Optional(HasSubstr("16777217 bytes, the limit is 16777216")));
}

TEST(CommandTest, CountsAreBounded) {
  EXPECT_THAT(Validate(Command()), Optional(std::string("no operation")));
  Command command = Of(std::vector<Op>(kMaxOps));
  EXPECT_EQ(Validate(command), std::nullopt);
  command.ops.emplace_back();
  EXPECT_THAT(Validate(command), Optional(HasSubstr("65537 operations")));
  command.ops.resize(1);
  command.guards.resize(kMaxGuards);
  EXPECT_EQ(Validate(command), std::nullopt);
  command.guards.emplace_back();
  EXPECT_THAT(Validate(command), Optional(HasSubstr("4097 guards")));
}

TEST(CommandTest, ShapesThatMakeNoSenseAreNamed) {
  EXPECT_THAT(Validate(Of({MakeOp(static_cast<OpKind>(13))})),
              Optional(HasSubstr("op 0: unknown kind")));
  Op op = MakeOp(OpKind::kSet);
  op.condition = static_cast<Condition>(4);
  EXPECT_THAT(Validate(Of({op})), Optional(HasSubstr("op 0: unknown condition")));
  op = MakeOp(OpKind::kGet);
  op.condition = Condition::kIfAbsent;
  EXPECT_THAT(Validate(Of({op})), Optional(HasSubstr("only a write")));
  Command command = Of({MakeOp(OpKind::kGet)});
  command.guards.push_back({static_cast<Guard::Kind>(4), "k", {}, 0});
  EXPECT_THAT(Validate(command), Optional(HasSubstr("guard 0: unknown kind 4")));

  EXPECT_THAT(Validate(Of({MakeOp(OpKind::kGet), MakeOp(OpKind::kOpenSession)})),
              Optional(HasSubstr("op 1: must be the only operation")));
  command = Of({MakeOp(OpKind::kRaiseFeatureLevel)});
  command.guards.push_back({Guard::Kind::kExists, "k", {}, 0});
  EXPECT_THAT(Validate(command), Optional(HasSubstr("without guards")));
  command = Of({MakeOp(OpKind::kOpenSession)});
  command.session = 3;
  EXPECT_THAT(Validate(command), Optional(HasSubstr("from inside one")));
  EXPECT_THAT(Validate(Of({MakeOp(OpKind::kCloseSession)})),
              Optional(HasSubstr("no session named")));
  command = Of({MakeOp(OpKind::kSet)});
  command.session = 3;
  EXPECT_THAT(Validate(command), Optional(HasSubstr("sequences of a session start at 1")));
  op = MakeOp(OpKind::kRaiseFeatureLevel);
  op.delta = -1;
  EXPECT_TRUE(Validate(Of({op})).has_value());
  op.delta = kSupportedFeatureLevel + 1;
  EXPECT_THAT(Validate(Of({op})), Optional(HasSubstr("this node knows levels up to 1")));
}

TEST(CommandTest, ReadOnlyMeansNoWriteAnywhere) {
  EXPECT_TRUE(IsReadOnly(Of({MakeOp(OpKind::kGet), MakeOp(OpKind::kSize)})));
  EXPECT_FALSE(IsReadOnly(Of({MakeOp(OpKind::kGet), MakeOp(OpKind::kAppend)})));
  EXPECT_FALSE(IsReadOnly(Of({MakeOp(OpKind::kOpenSession)})));
}

}  // namespace
}  // namespace raftkv::kv
