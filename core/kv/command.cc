#include "core/kv/command.h"

#include "absl/strings/str_cat.h"
#include "core/kv/limits.h"

namespace raftkv::kv {
namespace {

bool IsSessionOrLevel(OpKind kind) { return kind >= OpKind::kOpenSession; }

std::optional<std::string> TooLarge(absl::string_view where, size_t position,
                                    absl::string_view what, size_t size, size_t limit) {
  return absl::StrCat(where, " ", position, ": ", what, " is ", size, " bytes, the limit is ",
                      limit);
}

std::optional<std::string> ValidateGuard(const Guard& guard, size_t position) {
  if (guard.kind > Guard::kLastKind) {
    return absl::StrCat("guard ", position, ": unknown kind ", static_cast<int>(guard.kind));
  }
  if (guard.key.size() > kMaxKeyBytes) {
    return TooLarge("guard", position, "key", guard.key.size(), kMaxKeyBytes);
  }
  if (guard.value.size() > kMaxValueBytes) {
    return TooLarge("guard", position, "value", guard.value.size(), kMaxValueBytes);
  }
  return std::nullopt;
}

std::optional<std::string> ValidateOp(const Op& op, size_t position) {
  if (op.kind > kLastOpKind) {
    return absl::StrCat("op ", position, ": unknown kind ", static_cast<int>(op.kind));
  }
  if (op.condition > kLastCondition) {
    return absl::StrCat("op ", position, ": unknown condition ", static_cast<int>(op.condition));
  }
  if (op.condition != Condition::kAlways && (!IsWrite(op.kind) || IsSessionOrLevel(op.kind))) {
    return absl::StrCat("op ", position, ": only a write of a key may have a condition");
  }
  if (op.key.size() > kMaxKeyBytes)
    return TooLarge("op", position, "key", op.key.size(), kMaxKeyBytes);
  if (op.end.size() > kMaxKeyBytes)
    return TooLarge("op", position, "end", op.end.size(), kMaxKeyBytes);
  if (op.cursor.size() > kMaxKeyBytes) {
    return TooLarge("op", position, "cursor", op.cursor.size(), kMaxKeyBytes);
  }
  if (op.value.size() > kMaxValueBytes) {
    return TooLarge("op", position, "value", op.value.size(), kMaxValueBytes);
  }
  if (op.kind == OpKind::kRaiseFeatureLevel &&
      (op.delta < 0 || op.delta > int64_t{kSupportedFeatureLevel})) {
    return absl::StrCat("op ", position, ": feature level ", op.delta, " is not between 0 and ",
                        kSupportedFeatureLevel);
  }
  return std::nullopt;
}

}  // namespace

bool IsWrite(OpKind kind) { return kind >= OpKind::kSet; }

bool IsReadOnly(const Command& command) {
  for (const Op& op : command.ops) {
    if (IsWrite(op.kind)) return false;
  }
  return true;
}

std::optional<std::string> Validate(const Command& command) {
  if (command.ops.empty()) return std::string("no operation");
  if (command.ops.size() > kMaxOps) {
    return absl::StrCat(command.ops.size(), " operations, the limit is ", kMaxOps);
  }
  if (command.guards.size() > kMaxGuards) {
    return absl::StrCat(command.guards.size(), " guards, the limit is ", kMaxGuards);
  }
  size_t bytes = 0;
  for (size_t i = 0; i < command.guards.size(); ++i) {
    if (auto wrong = ValidateGuard(command.guards[i], i)) return wrong;
    bytes += command.guards[i].key.size() + command.guards[i].value.size();
  }
  const bool alone = command.ops.size() == 1 && command.guards.empty();
  OpKind only = OpKind::kGet;
  for (size_t i = 0; i < command.ops.size(); ++i) {
    const Op& op = command.ops[i];
    if (auto wrong = ValidateOp(op, i)) return wrong;
    if (IsSessionOrLevel(op.kind)) {
      if (!alone) return absl::StrCat("op ", i, ": must be the only operation, without guards");
      only = op.kind;
    }
    bytes += op.key.size() + op.value.size() + op.end.size() + op.cursor.size();
  }
  if (bytes > kMaxRequestBytes) {
    return absl::StrCat("keys and values are ", bytes, " bytes, the limit is ", kMaxRequestBytes);
  }
  if (only == OpKind::kOpenSession && command.session != 0) {
    return std::string("a session cannot be opened from inside one");
  }
  if (only == OpKind::kCloseSession && command.session == 0) {
    return std::string("no session named to close");
  }
  if (command.session != 0 && command.sequence == 0 && only != OpKind::kCloseSession) {
    return std::string("sequences of a session start at 1");
  }
  return std::nullopt;
}

}  // namespace raftkv::kv
