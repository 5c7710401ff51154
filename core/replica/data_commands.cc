// Commands that the store executes: words to operations. Sizes are checked for all of them together
// afterwards (ParseCommand).
#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/kv/limits.h"
#include "core/replica/command_table.h"
#include "core/wire/resp_number.h"

namespace raftkv::replica {
namespace {

constexpr absl::string_view kNotAnInteger = "ERR value is not an integer or out of range";

kv::Op& AddOp(DataRequest& data, kv::OpKind kind, absl::string_view key) {
  kv::Op& op = data.command.ops.emplace_back();
  op.kind = kind;
  op.key = key;
  return op;
}

kv::Op& AddSet(DataRequest& data, absl::string_view key, absl::string_view value) {
  kv::Op& op = AddOp(data, kv::OpKind::kSet, key);
  op.value = value;
  return op;
}

void OneKey(Call& call, kv::OpKind kind, ReplyShape shape) {
  AddOp(Data(call, shape), kind, call.words[1]);
}

void EachKey(Call& call, kv::OpKind kind, ReplyShape shape) {
  DataRequest& data = Data(call, shape);
  data.command.ops.reserve(call.words.size() - 1);
  for (const absl::string_view key : call.words.subspan(1)) AddOp(data, kind, key);
}

void Increment(Call& call, int64_t delta) {
  AddOp(Data(call, ReplyShape::kInteger), kv::OpKind::kIncrBy, call.words[1]).delta = delta;
}

// The pairs of MSET and MSETNX. Null, and refused, when a value is missing.
DataRequest* Pairs(Call& call, ReplyShape shape) {
  if (call.words.size() % 2 == 0) {
    Refuse(call, absl::StrCat("ERR wrong number of arguments for '", call.spec->name, "' command"));
    return nullptr;
  }
  DataRequest& data = Data(call, shape);
  data.command.ops.reserve(call.words.size() / 2);
  for (size_t i = 1; i < call.words.size(); i += 2) {
    AddSet(data, call.words[i], call.words[i + 1]);
  }
  return &data;
}

// [LIMIT n] [CURSOR cursor] [KEYS], each at most once, behind a scan.
void Scan(Call& call, kv::OpKind kind, size_t options) {
  kv::Op scan;
  scan.kind = kind;
  scan.key = call.words[1];
  if (kind == kv::OpKind::kRange) scan.end = call.words[2];
  bool has_limit = false, has_cursor = false;
  for (size_t i = options; i < call.words.size(); ++i) {
    const absl::string_view option = call.words[i];
    const bool has_value = i + 1 < call.words.size();
    if (EqualsIgnoringCase(option, "limit") && has_value && !has_limit) {
      int64_t limit = 0;
      if (!wire::ParseDecimal(call.words[++i], &limit)) return Refuse(call, kNotAnInteger);
      if (limit < 1) return Refuse(call, "ERR LIMIT must be at least 1");
      scan.limit = static_cast<uint32_t>(std::min<int64_t>(limit, kv::kMaxPageEntries));
      has_limit = true;
    } else if (EqualsIgnoringCase(option, "cursor") && has_value && !has_cursor) {
      scan.cursor = call.words[++i];
      has_cursor = true;
    } else if (EqualsIgnoringCase(option, "keys") && !scan.keys_only) {
      scan.keys_only = true;
    } else {
      return RefuseSyntax(call);
    }
  }
  const ReplyShape shape = scan.keys_only ? ReplyShape::kKeys : ReplyShape::kPage;
  Data(call, shape).command.ops.push_back(scan);
}

bool IsExpiry(absl::string_view option) {
  for (const absl::string_view name : {"ex", "px", "exat", "pxat", "keepttl"}) {
    if (EqualsIgnoringCase(option, name)) return true;
  }
  return false;
}

// A session or a sequence: never 0.
bool ParsePositive(Call& call, absl::string_view what, absl::string_view word, uint64_t* value) {
  if (ParseUnsigned(word, value) && *value != 0) return true;
  Refuse(call, absl::StrCat("ERR ", what, " is not a positive integer"));
  return false;
}

}  // namespace

void CallGet(Call& call) { OneKey(call, kv::OpKind::kGet, ReplyShape::kValue); }
void CallKvGet(Call& call) { OneKey(call, kv::OpKind::kGet, ReplyShape::kVersioned); }
void CallStrlen(Call& call) { OneKey(call, kv::OpKind::kStrlen, ReplyShape::kInteger); }
void CallMget(Call& call) { EachKey(call, kv::OpKind::kGet, ReplyShape::kValues); }
void CallExists(Call& call) { EachKey(call, kv::OpKind::kExists, ReplyShape::kSum); }
void CallDel(Call& call) { EachKey(call, kv::OpKind::kDelete, ReplyShape::kSum); }

void CallDbsize(Call& call) {
  AddOp(Data(call, ReplyShape::kInteger), kv::OpKind::kSize, absl::string_view());
}

void CallSet(Call& call) {
  kv::Condition condition = kv::Condition::kAlways;
  bool get = false;
  for (const absl::string_view option : call.words.subspan(3)) {
    const bool nx = EqualsIgnoringCase(option, "nx");
    const bool xx = EqualsIgnoringCase(option, "xx");
    if ((nx || xx) && condition == kv::Condition::kAlways) {
      condition = nx ? kv::Condition::kIfAbsent : kv::Condition::kIfPresent;
    } else if (EqualsIgnoringCase(option, "get") && !get) {
      get = true;
    } else if (IsExpiry(option)) {
      return Refuse(call, absl::StrCat("ERR SET: the option ", absl::AsciiStrToUpper(option),
                                       " is not supported: keys do not expire"));
    } else {
      return RefuseSyntax(call);
    }
  }
  DataRequest& data = Data(call, get ? ReplyShape::kSetGet : ReplyShape::kSet);
  if (get) AddOp(data, kv::OpKind::kGet, call.words[1]);
  AddSet(data, call.words[1], call.words[2]).condition = condition;
}

void CallSetNx(Call& call) {
  AddSet(Data(call, ReplyShape::kSetNx), call.words[1], call.words[2]).condition =
      kv::Condition::kIfAbsent;
}

void CallGetSet(Call& call) {
  DataRequest& data = Data(call, ReplyShape::kSetGet);
  AddOp(data, kv::OpKind::kGet, call.words[1]);
  AddSet(data, call.words[1], call.words[2]);
}

void CallGetDel(Call& call) {
  DataRequest& data = Data(call, ReplyShape::kSetGet);
  AddOp(data, kv::OpKind::kGet, call.words[1]);
  AddOp(data, kv::OpKind::kDelete, call.words[1]);
}

void CallAppend(Call& call) {
  AddOp(Data(call, ReplyShape::kInteger), kv::OpKind::kAppend, call.words[1]).value = call.words[2];
}

void CallIncr(Call& call) { Increment(call, 1); }
void CallDecr(Call& call) { Increment(call, -1); }

void CallIncrBy(Call& call) {
  int64_t delta = 0;
  if (!wire::ParseDecimal(call.words[2], &delta)) return Refuse(call, kNotAnInteger);
  Increment(call, delta);
}

void CallDecrBy(Call& call) {
  int64_t delta = 0;
  if (!wire::ParseDecimal(call.words[2], &delta)) return Refuse(call, kNotAnInteger);
  if (delta == std::numeric_limits<int64_t>::min()) {
    return Refuse(call, "ERR decrement would overflow");
  }
  Increment(call, -delta);
}

void CallMset(Call& call) { Pairs(call, ReplyShape::kOk); }

void CallMsetNx(Call& call) {
  DataRequest* data = Pairs(call, ReplyShape::kSetNx);
  if (data == nullptr) return;
  data->command.guards.reserve(data->command.ops.size());
  for (const kv::Op& op : data->command.ops) {
    kv::Guard& guard = data->command.guards.emplace_back();
    guard.kind = kv::Guard::Kind::kAbsent;
    guard.key = op.key;
  }
}

void CallKvCas(Call& call) {
  int64_t version = 0;
  if (!wire::ParseDecimal(call.words[2], &version) || version < 0) {
    return Refuse(call, "ERR version is not an integer or out of range");
  }
  kv::Op& op = AddSet(Data(call, ReplyShape::kSwap), call.words[1], call.words[3]);
  op.condition = kv::Condition::kIfVersionIs;
  op.version = static_cast<kv::Version>(version);
}

void CallKvRange(Call& call) { Scan(call, kv::OpKind::kRange, 3); }
void CallKvPrefix(Call& call) { Scan(call, kv::OpKind::kPrefix, 2); }

void CallSessionOpen(Call& call) {
  AddOp(Data(call, ReplyShape::kInteger), kv::OpKind::kOpenSession, absl::string_view());
}

void CallSessionClose(Call& call) {
  uint64_t session = 0;
  if (!ParsePositive(call, "session", call.words[2], &session)) return;
  DataRequest& data = Data(call, ReplyShape::kOk);
  AddOp(data, kv::OpKind::kCloseSession, absl::string_view());
  data.command.session = session;
}

void CallSessionRun(Call& call) {
  uint64_t session = 0, sequence = 0, acknowledged = 0;
  if (!ParsePositive(call, "session", call.words[2], &session)) return;
  if (!ParsePositive(call, "sequence", call.words[3], &sequence)) return;
  size_t start = 4;
  if (EqualsIgnoringCase(call.words[start], "ack")) {
    if (call.words.size() < start + 3) return RefuseSyntax(call);
    if (!ParseUnsigned(call.words[start + 1], &acknowledged)) {
      return Refuse(call, "ERR the acknowledged sequence is not an integer or out of range");
    }
    if (acknowledged >= sequence) {
      return Refuse(call, absl::StrCat("ERR sequence ", sequence, " is run and acknowledged (",
                                       acknowledged, ") at the same time"));
    }
    start += 2;
  }
  Call inner{call.words.subspan(start), call.connection, call.request};
  if (!Resolve(&inner)) return;
  if ((inner.spec->flags & kData) == 0 || (inner.spec->flags & kWrite) == 0 ||
      inner.container != nullptr) {
    return Refuse(call, absl::StrCat("ERR '", FullName(inner.container, *inner.spec),
                                     "' cannot run in a session: it writes no data, so there is "
                                     "nothing to run only once"));
  }
  inner.spec->handler(inner);
  if (DataRequest* data = std::get_if<DataRequest>(call.request)) {
    data->command.session = session;
    data->command.sequence = sequence;
    data->command.acknowledged = acknowledged;
  }
}

}  // namespace raftkv::replica
