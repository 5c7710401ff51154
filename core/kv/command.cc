#include "core/kv/command.h"

#include "absl/strings/str_cat.h"
#include "core/kv/limits.h"

namespace raftkv::kv {
namespace {

bool MustBeAlone(OpKind kind) {
  return kind == OpKind::kOpenSession || kind == OpKind::kCloseSession ||
         kind == OpKind::kRaiseFeatureLevel;
}

std::optional<std::string> TooLarge(absl::string_view where, size_t position,
                                    absl::string_view what, absl::string_view bytes, size_t limit) {
  if (bytes.size() <= limit) return std::nullopt;
  return absl::StrCat(where, " ", position, ": ", what, " is ", bytes.size(),
                      " bytes, the limit is ", limit);
}

// Null if the operation may stand in this command.
const char* OpStructureError(const Command& command, const Op& op) {
  if (op.kind > kLastOpKind) return "unknown kind";
  if (op.condition > kLastCondition) return "unknown condition";
  if (op.condition != Condition::kAlways && (!IsWrite(op.kind) || MustBeAlone(op.kind))) {
    return "only a write of a key may have a condition";
  }
  if (MustBeAlone(op.kind) && (command.ops.size() > 1 || !command.guards.empty())) {
    return "must be the only operation, without guards";
  }
  if (op.kind == OpKind::kOpenSession && command.session != 0)
    return "a session cannot be opened from inside one";
  if (op.kind == OpKind::kCloseSession && command.session == 0) return "no session named to close";
  if (op.kind == OpKind::kRaiseFeatureLevel && (op.delta < 0 || op.delta > int64_t{UINT32_MAX})) {
    return "no feature level";
  }
  return nullptr;
}

}  // namespace

bool IsWrite(OpKind kind) {
  switch (kind) {
    case OpKind::kGet:
    case OpKind::kExists:
    case OpKind::kStrlen:
    case OpKind::kRange:
    case OpKind::kPrefix:
    case OpKind::kSize:
      return false;
    case OpKind::kSet:
    case OpKind::kDelete:
    case OpKind::kAppend:
    case OpKind::kIncrBy:
    case OpKind::kOpenSession:
    case OpKind::kCloseSession:
    case OpKind::kRaiseFeatureLevel:
      break;
  }
  return true;  // an unknown operation must not pass for harmless
}

bool IsReadOnly(const Command& command) {
  for (const Op& op : command.ops) {
    if (IsWrite(op.kind)) return false;
  }
  return true;
}

std::optional<std::string> StructureError(const Command& command) {
  if (command.ops.empty()) return std::string("no operation");
  if (command.ops.size() > kMaxOps) {
    return absl::StrCat(command.ops.size(), " operations, the limit is ", kMaxOps);
  }
  if (command.guards.size() > kMaxGuards) {
    return absl::StrCat(command.guards.size(), " guards, the limit is ", kMaxGuards);
  }
  for (size_t i = 0; i < command.guards.size(); ++i) {
    if (command.guards[i].kind > Guard::kLastKind) {
      return absl::StrCat("guard ", i, ": unknown kind ", static_cast<int>(command.guards[i].kind));
    }
  }
  for (size_t i = 0; i < command.ops.size(); ++i) {
    if (const char* wrong = OpStructureError(command, command.ops[i]))
      return absl::StrCat("op ", i, ": ", wrong);
  }
  const bool closes = command.ops.front().kind == OpKind::kCloseSession;
  if (command.session != 0 && command.sequence == 0 && !closes) {
    return std::string("sequences of a session start at 1");
  }
  return std::nullopt;
}

std::optional<std::string> Validate(const Command& command) {
  if (auto wrong = StructureError(command)) return wrong;
  size_t bytes = 0;
  for (size_t i = 0; i < command.guards.size(); ++i) {
    const Guard& guard = command.guards[i];
    if (auto wrong = TooLarge("guard", i, "key", guard.key, kMaxKeyBytes)) return wrong;
    if (auto wrong = TooLarge("guard", i, "value", guard.value, kMaxValueBytes)) return wrong;
    bytes += guard.key.size() + guard.value.size();
  }
  for (size_t i = 0; i < command.ops.size(); ++i) {
    const Op& op = command.ops[i];
    if (auto wrong = TooLarge("op", i, "key", op.key, kMaxKeyBytes)) return wrong;
    if (auto wrong = TooLarge("op", i, "end", op.end, kMaxKeyBytes)) return wrong;
    if (auto wrong = TooLarge("op", i, "cursor", op.cursor, kMaxKeyBytes)) return wrong;
    if (auto wrong = TooLarge("op", i, "value", op.value, kMaxValueBytes)) return wrong;
    if (op.kind == OpKind::kRaiseFeatureLevel && op.delta > int64_t{kSupportedFeatureLevel}) {
      return absl::StrCat("op ", i, ": feature level ", op.delta, ", this node knows levels up to ",
                          kSupportedFeatureLevel);
    }
    bytes += op.key.size() + op.value.size() + op.end.size() + op.cursor.size();
  }
  if (bytes > kMaxRequestBytes) {
    return absl::StrCat("keys and values are ", bytes, " bytes, the limit is ", kMaxRequestBytes);
  }
  return std::nullopt;
}

}  // namespace raftkv::kv
