// A small vocabulary for tests of the store: commands in one line.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/kv/snapshot.h"
#include "core/kv/store.h"
#include "gtest/gtest.h"

namespace raftkv::kv {

inline Op MakeOp(OpKind kind, absl::string_view key = {}, absl::string_view value = {}) {
  Op op;
  op.kind = kind;
  op.key = key;
  op.value = value;
  return op;
}
inline Op Get(absl::string_view key) { return MakeOp(OpKind::kGet, key); }
inline Op Set(absl::string_view key, absl::string_view value) {
  return MakeOp(OpKind::kSet, key, value);
}
inline Op Delete(absl::string_view key) { return MakeOp(OpKind::kDelete, key); }
inline Op Exists(absl::string_view key) { return MakeOp(OpKind::kExists, key); }
inline Op AppendTo(absl::string_view key, absl::string_view value) {
  return MakeOp(OpKind::kAppend, key, value);
}
inline Op Strlen(absl::string_view key) { return MakeOp(OpKind::kStrlen, key); }
inline Op IncrBy(absl::string_view key, int64_t delta) {
  Op op = MakeOp(OpKind::kIncrBy, key);
  op.delta = delta;
  return op;
}
inline Op Range(absl::string_view first, absl::string_view end, uint32_t limit = 0,
                absl::string_view cursor = {}) {
  Op op = MakeOp(OpKind::kRange, first);
  op.end = end;
  op.limit = limit;
  op.cursor = cursor;
  return op;
}
inline Op Prefix(absl::string_view prefix, uint32_t limit = 0, absl::string_view cursor = {}) {
  Op op = MakeOp(OpKind::kPrefix, prefix);
  op.limit = limit;
  op.cursor = cursor;
  return op;
}
inline Op If(Condition condition, Op op, Version version = 0) {
  op.condition = condition;
  op.version = version;
  return op;
}
inline Command Of(std::vector<Op> ops, std::vector<Guard> guards = {}) {
  Command command;
  command.ops = std::move(ops);
  command.guards = std::move(guards);
  return command;
}

inline OpResult Value(Version version, absl::string_view value) {
  return VersionedValue{version, raft::Payload::Copy(value)};
}

inline std::string SnapshotOf(const Store& store, size_t slice = 1 << 20) {
  SnapshotWriter writer(store.View());
  std::string bytes;
  while (!writer.done()) writer.Next(slice, &bytes);
  return bytes;
}

class StoreTest : public testing::Test {
 protected:
  explicit StoreTest(const StoreOptions& options = {}) : store_(options) {}

  Result Apply(const Command& command) { return store_.Apply(++index_, command); }
  Result Apply(std::vector<Op> ops) { return Apply(Of(std::move(ops))); }

  // The single result of a command of one operation that ran.
  OpResult Do(const Op& op) {
    Result result = Apply({op});
    EXPECT_EQ(result.outcome, Outcome::kOk);
    return result.ops.size() == 1 ? result.ops[0] : OpResult(OpError::kReplyTooLarge);
  }
  OpResult See(const Op& op) const {
    Result result = store_.Read(Of({op}));
    EXPECT_EQ(result.outcome, Outcome::kOk);
    return result.ops.size() == 1 ? result.ops[0] : OpResult(OpError::kReplyTooLarge);
  }

  uint64_t Open(uint64_t time_ms = 0) {
    Command command = Of({MakeOp(OpKind::kOpenSession)});
    command.time_ms = time_ms;
    const Result result = Apply(command);
    EXPECT_EQ(result.outcome, Outcome::kOk);
    EXPECT_EQ(result.ops, std::vector<OpResult>{static_cast<int64_t>(index_)});
    return index_;
  }
  Result InSession(uint64_t session, uint64_t sequence, std::vector<Op> ops,
                   uint64_t acknowledged = 0, uint64_t time_ms = 0) {
    Command command = Of(std::move(ops));
    command.session = session;
    command.sequence = sequence;
    command.acknowledged = acknowledged;
    command.time_ms = time_ms;
    return Apply(command);
  }
  Result Close(uint64_t session) {
    Command command = Of({MakeOp(OpKind::kCloseSession)});
    command.session = session;
    return Apply(command);
  }

  Store store_;
  raft::Index index_ = 0;
};

}  // namespace raftkv::kv
