#include "core/kv/store.h"

#include <algorithm>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/kv/limits.h"
#include "core/raft/check.h"
#include "core/raft/random.h"

namespace raftkv::kv {
namespace {

constexpr uint32_t kMaxSessions = 1'000'000;
constexpr uint32_t kMaxResultsKept = 4096;
constexpr uint32_t kMinKeptResultBytes =
    64;  // room for any result without values, such as that of an INCRBY
constexpr uint32_t kMaxKeptResultBytes = 1 << 20;

// What an entry of a page counts besides its key and value, at least the overhead of its encoding:
// keeps pages of tiny keys bounded.
constexpr size_t kPageEntryOverhead = 32;

// Bytes that the operations of one command may still return.
class ReplyBudget {
 public:
  bool Take(size_t bytes) {
    if (bytes > left_) return false;
    left_ -= bytes;
    return true;
  }

 private:
  size_t left_ = kMaxReplyBytes;
};

// The half-open range of keys that a scan may return; `end` empty: no upper bound.
bool InScan(const Op& op, absl::string_view key) {
  if (op.kind == OpKind::kPrefix) return absl::StartsWith(key, op.key);
  return op.end.empty() || key < op.end;
}

OpResult Scan(const TreeView& data, const Op& op, ReplyBudget& budget) {
  const uint32_t limit = std::min(op.limit == 0 ? kDefaultPageEntries : op.limit, kMaxPageEntries);
  Page page;
  size_t page_bytes = 0;
  TreeCursor cursor = data.Seek(std::max(op.key, op.cursor));
  for (; cursor.valid() && InScan(op, cursor.entry().key); cursor.Next()) {
    const TreeEntry entry = cursor.entry();
    const size_t bytes =
        kPageEntryOverhead + entry.key.size() + (op.keys_only ? 0 : entry.value->size());
    const bool full = page.entries.size() == limit ||
                      (!page.entries.empty() && page_bytes + bytes > kMaxPageBytes);
    if (full) {
      if (!budget.Take(entry.key.size())) return OpError::kReplyTooLarge;
      page.more = true;
      page.next = std::string(entry.key);
      break;
    }
    if (!budget.Take(bytes)) return OpError::kReplyTooLarge;
    page_bytes += bytes;
    page.entries.push_back(
        {std::string(entry.key), entry.version, op.keys_only ? raft::Payload() : *entry.value});
  }
  return page;
}

OpResult ReadOp(const TreeView& data, const Op& op, ReplyBudget& budget) {
  switch (op.kind) {
    case OpKind::kGet: {
      const auto entry = data.Find(op.key);
      if (!entry) return Nil{};
      if (!budget.Take(entry->value->size())) return OpError::kReplyTooLarge;
      return VersionedValue{entry->version, *entry->value};
    }
    case OpKind::kExists:
      return int64_t{data.Find(op.key).has_value()};
    case OpKind::kStrlen: {
      const auto entry = data.Find(op.key);
      return entry ? static_cast<int64_t>(entry->value->size()) : int64_t{0};
    }
    case OpKind::kRange:
    case OpKind::kPrefix:
      return Scan(data, op, budget);
    case OpKind::kSize:
      return static_cast<int64_t>(data.size());
    default:
      break;
  }
  RAFTKV_CHECK(false);  // callers have told reads from writes
}

Version ObservedVersion(const std::optional<TreeEntry>& entry) {
  return entry ? entry->version : kAbsentVersion;
}

bool Holds(const Guard& guard, const std::optional<TreeEntry>& entry) {
  switch (guard.kind) {
    case Guard::Kind::kExists:
      return entry.has_value();
    case Guard::Kind::kAbsent:
      return !entry.has_value();
    case Guard::Kind::kVersionIs:
      return ObservedVersion(entry) == guard.version;
    case Guard::Kind::kValueIs:
      return entry.has_value() && entry->value->view() == guard.value;
  }
  return false;
}

bool Holds(const Op& op, const std::optional<TreeEntry>& entry) {
  switch (op.condition) {
    case Condition::kAlways:
      return true;
    case Condition::kIfAbsent:
      return !entry.has_value();
    case Condition::kIfPresent:
      return entry.has_value();
    case Condition::kIfVersionIs:
      return ObservedVersion(entry) == op.version;
  }
  return false;
}

// True, with the result filled in, if a guard fails.
bool GuardFails(const TreeView& data, const Command& command, Result* result) {
  for (size_t i = 0; i < command.guards.size(); ++i) {
    const auto entry = data.Find(command.guards[i].key);
    if (Holds(command.guards[i], entry)) continue;
    result->outcome = Outcome::kGuardFailed;
    result->failed_guard = static_cast<uint32_t>(i);
    result->observed_version = ObservedVersion(entry);
    return true;
  }
  return false;
}

// The numbers INCRBY reads are those it writes: an optional minus and digits without leading zeros,
// within int64.
std::optional<int64_t> ParseInteger(absl::string_view text) {
  const bool negative = absl::StartsWith(text, "-");
  absl::string_view digits = text;
  if (negative) digits.remove_prefix(1);
  if (digits.empty() || digits.size() > 19) return std::nullopt;
  if (digits.front() == '0' && text.size() > 1) return std::nullopt;
  uint64_t magnitude = 0;
  for (const char digit : digits) {
    if (digit < '0' || digit > '9') return std::nullopt;
    magnitude = magnitude * 10 + static_cast<uint64_t>(digit - '0');  // 19 digits fit 64 bits
  }
  if (magnitude > static_cast<uint64_t>(INT64_MAX) + (negative ? 1 : 0)) return std::nullopt;
  return static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
}

Result Refused(raft::Index index, Outcome outcome) {
  Result result;
  result.outcome = outcome;
  result.index = index;
  return result;
}

}  // namespace

absl::Status Validate(const StoreOptions& options) {
  const auto check = [](absl::string_view name, uint64_t value, uint64_t low, uint64_t high) {
    if (value >= low && value <= high) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is ", value, ", it must be between ", low, " and ", high));
  };
  const SessionOptions& sessions = options.sessions;
  absl::Status status = check("max_sessions", sessions.max_sessions, 1, kMaxSessions);
  status.Update(check("results_kept", sessions.results_kept, 1, kMaxResultsKept));
  status.Update(check("kept_result_bytes", sessions.kept_result_bytes, kMinKeptResultBytes,
                      kMaxKeptResultBytes));
  return status;
}

namespace {

uint64_t DigestOf(const StoreOptions& options, const TreeView& data, const TreeView& sessions,
                  uint64_t log_time_ms, uint32_t feature_level) {
  uint64_t hash = 0;
  for (const uint64_t part :
       {data.digest(), uint64_t{data.size()}, sessions.digest(), uint64_t{sessions.size()},
        log_time_ms, uint64_t{feature_level}, uint64_t{options.sessions.max_sessions},
        uint64_t{options.sessions.results_kept}, uint64_t{options.sessions.kept_result_bytes},
        options.sessions.idle_ms}) {
    hash = MixHash(hash ^ part);
  }
  return hash;
}

}  // namespace

uint64_t StoreView::Digest() const {
  return DigestOf(options, data, sessions, log_time_ms, feature_level);
}

uint64_t Store::Digest() const {
  return DigestOf(options_, data_.view(), sessions_.view(), log_time_ms_, feature_level_);
}

Store::Store(const StoreOptions& options) : options_(options), sessions_(options.sessions) {
  RAFTKV_CHECK(Validate(options).ok());
}

StoreView Store::View() const {
  return {options_, data_.view(), sessions_.view(), log_time_ms_, feature_level_};
}

Result Store::Apply(raft::Index index, const Command& command) {
  log_time_ms_ = std::max(log_time_ms_, command.time_ms);
  sessions_.ExpireIdle(log_time_ms_);
  if (StructureError(command)) return Refused(index, Outcome::kMalformed);

  const OpKind first = command.ops.front().kind;
  if (command.session != 0 && first != OpKind::kCloseSession) return ApplyInSession(index, command);
  return Execute(index, command);
}

Result Store::ApplyInSession(raft::Index index, const Command& command) {
  Result result;
  switch (sessions_.Admit(index, command.session, command.sequence, command.acknowledged,
                          log_time_ms_, &result)) {
    case Sessions::Verdict::kUnknown:
      return Refused(index, Outcome::kUnknownSession);
    case Sessions::Verdict::kStale:
      return Refused(index, Outcome::kStaleSequence);
    case Sessions::Verdict::kRetry:
      return result;
    case Sessions::Verdict::kExecute:
      break;
  }
  // Refusals are remembered as well: a duplicate of a refused command must not run later, when the
  // client has long been told that it did not.
  result = Execute(index, command);
  sessions_.Remember(command.session, command.sequence, result);
  return result;
}

Result Store::Execute(raft::Index index, const Command& command) {
  if (command.feature_level > feature_level_) return Refused(index, Outcome::kUnsupportedLevel);
  Result result;
  result.index = index;
  if (GuardFails(data_.view(), command, &result)) return result;
  result.ops.reserve(command.ops.size());
  ReplyBudget budget;
  for (const Op& op : command.ops) {
    switch (op.kind) {
      case OpKind::kOpenSession:
        sessions_.Open(index, log_time_ms_);
        result.ops.emplace_back(static_cast<int64_t>(index));
        break;
      case OpKind::kCloseSession:
        if (!sessions_.Close(command.session, log_time_ms_))
          return Refused(index, Outcome::kUnknownSession);
        result.ops.emplace_back(Done{});
        break;
      case OpKind::kRaiseFeatureLevel:
        result.ops.push_back(RaiseFeatureLevel(op));
        break;
      default:
        result.ops.push_back(IsWrite(op.kind) ? Write(index, op)
                                              : ReadOp(data_.view(), op, budget));
    }
  }
  return result;
}

OpResult Store::Write(raft::Index index, const Op& op) {
  if (op.key.size() > kMaxKeyBytes) return OpError::kKeyTooLarge;
  if (op.value.size() > kMaxValueBytes) return OpError::kValueTooLarge;
  // A plain SET or DELETE need not look first.
  if (op.condition == Condition::kAlways) {
    if (op.kind == OpKind::kSet) {
      data_.Set(op.key, raft::Payload::Copy(op.value), index);
      return Done{};
    }
    if (op.kind == OpKind::kDelete) return int64_t{data_.Erase(op.key)};
  }
  const auto old = data_.view().Find(op.key);
  if (!Holds(op, old)) return ConditionNotMet{ObservedVersion(old)};
  switch (op.kind) {
    case OpKind::kSet:
      data_.Set(op.key, raft::Payload::Copy(op.value), index);
      return Done{};
    case OpKind::kDelete:
      return int64_t{data_.Erase(op.key)};
    case OpKind::kAppend:
      return Append(index, op, old);
    case OpKind::kIncrBy:
      return IncrBy(index, op, old);
    default:
      break;
  }
  RAFTKV_CHECK(false);
}

OpResult Store::Append(raft::Index index, const Op& op, const std::optional<TreeEntry>& old) {
  const absl::string_view head = old ? old->value->view() : absl::string_view();
  if (head.size() + op.value.size() > kMaxValueBytes) return OpError::kValueTooLarge;
  const std::string joined = absl::StrCat(head, op.value);
  data_.Set(op.key, raft::Payload::Copy(joined), index);
  return static_cast<int64_t>(joined.size());
}

OpResult Store::IncrBy(raft::Index index, const Op& op, const std::optional<TreeEntry>& old) {
  int64_t number = 0;
  if (old) {
    const auto parsed = ParseInteger(old->value->view());
    if (!parsed) return OpError::kNotAnInteger;
    number = *parsed;
  }
  int64_t sum = 0;
  if (__builtin_add_overflow(number, op.delta, &sum)) return OpError::kOverflow;
  data_.Set(op.key, raft::Payload::Copy(absl::StrCat(sum)), index);
  return sum;
}

OpResult Store::RaiseFeatureLevel(const Op& op) {
  feature_level_ = std::max(feature_level_, static_cast<uint32_t>(op.delta));
  return int64_t{feature_level_};
}

Result Store::Read(const Command& command) const {
  if (StructureError(command) || !IsReadOnly(command)) return Refused(0, Outcome::kMalformed);
  if (command.feature_level > feature_level_) return Refused(0, Outcome::kUnsupportedLevel);
  Result result;
  if (GuardFails(data_.view(), command, &result)) return result;
  result.ops.reserve(command.ops.size());
  ReplyBudget budget;
  for (const Op& op : command.ops) result.ops.push_back(ReadOp(data_.view(), op, budget));
  return result;
}

void Store::Install(Store fresh) {
  options_ = fresh.options_;
  data_.Replace(std::move(fresh.data_));
  sessions_.Replace(std::move(fresh.sessions_));
  log_time_ms_ = fresh.log_time_ms_;
  feature_level_ = fresh.feature_level_;
}

void Store::Discard(Store other) {
  data_.Discard(std::move(other.data_));
  sessions_.Discard(std::move(other.sessions_));
}

size_t Store::ReleaseSome(size_t budget) {
  const size_t released = data_.ReleaseSome(budget);
  return released + (released < budget ? sessions_.ReleaseSome(budget - released) : 0);
}

}  // namespace raftkv::kv
