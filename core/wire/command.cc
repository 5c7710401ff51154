#include "core/wire/command.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "core/wire/command_generated.h"
#include "core/wire/flat.h"

namespace raftkv::wire {
namespace {

using flatbuffers::uoffset_t;

constexpr uint8_t kKeysOnly = 1;
constexpr uint8_t kHasExtra = 2;
constexpr uint8_t kKnownFlags = kKeysOnly | kHasExtra;

constexpr size_t kKeepBuilder = 1024 * 1024;

static_assert(sizeof(fb::OpHead) == 12 && sizeof(fb::OpExtra) == 32 && sizeof(fb::GuardHead) == 24);

bool NeedsExtra(const kv::Op& op) {
  return op.delta != 0 || op.version != 0 || op.limit != 0 || !op.end.empty() || !op.cursor.empty();
}

uint32_t Size(absl::string_view bytes) { return static_cast<uint32_t>(bytes.size()); }

template <typename T>
uint8_t Number(T enumerator) {
  static_assert(std::is_enum_v<T>);
  return static_cast<uint8_t>(enumerator);
}

// Every string of the command in the order of the format.
template <typename Visit>
void ForEachString(const kv::Command& command, Visit visit) {
  for (const kv::Guard& guard : command.guards) {
    visit(guard.key);
    visit(guard.value);
  }
  for (const kv::Op& op : command.ops) {
    visit(op.key);
    visit(op.value);
    visit(op.end);
    visit(op.cursor);
  }
}

// Hands out the strings in the order of the format.
class StringCutter {
 public:
  explicit StringCutter(absl::string_view bytes) : rest_(bytes) {}

  bool Cut(uint32_t size, absl::string_view* out) {
    if (size > rest_.size()) return false;
    *out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  size_t left() const { return rest_.size(); }

 private:
  absl::string_view rest_;
};

class Reader {
 public:
  Reader(const fb::Command& in, kv::Command* out)
      : in_(in), out_(*out), strings_(ViewBytes(in.bytes())) {}

  CommandDecode Read(std::string* problem) {
    out_.session = in_.session();
    out_.sequence = in_.sequence();
    out_.acknowledged = in_.acknowledged();
    out_.time_ms = in_.time_ms();
    out_.feature_level = in_.feature_level();
    CommandDecode verdict = ReadGuards();
    if (verdict == CommandDecode::kOk) verdict = ReadOps();
    if (verdict == CommandDecode::kOk && strings_.left() > 0) {
      verdict = Malformed(absl::StrCat(strings_.left(), " bytes belong to nothing"));
    }
    if (verdict != CommandDecode::kOk) {
      out_.guards.clear();
      out_.ops.clear();
      if (problem != nullptr) *problem = std::move(problem_);
    }
    return verdict;
  }

 private:
  CommandDecode Malformed(std::string problem) {
    problem_ = std::move(problem);
    return CommandDecode::kMalformed;
  }

  CommandDecode Unsupported(std::string problem) {
    problem_ = std::move(problem);
    return CommandDecode::kUnsupported;
  }

  CommandDecode ReadGuards() {
    const uoffset_t count = in_.guards() == nullptr ? 0 : in_.guards()->size();
    if (!IsAligned(in_.guards())) return Malformed("the guards are not aligned");
    if (count > kv::kMaxGuards) {
      return Malformed(absl::StrCat(count, " guards, the limit is ", kv::kMaxGuards));
    }
    out_.guards.reserve(count);
    for (uoffset_t i = 0; i < count; ++i) {
      const fb::GuardHead& head = *in_.guards()->Get(i);
      if (head.kind() > Number(kv::Guard::kLastKind) || head.reserved() != 0) {
        return Unsupported(absl::StrCat("guard ", i, " has unknown kind ", head.kind()));
      }
      kv::Guard& guard = out_.guards.emplace_back();
      guard.kind = static_cast<kv::Guard::Kind>(head.kind());
      guard.version = head.version();
      if (!strings_.Cut(head.key_size(), &guard.key) ||
          !strings_.Cut(head.value_size(), &guard.value)) {
        return Malformed(absl::StrCat("guard ", i, " claims more bytes than there are"));
      }
    }
    return CommandDecode::kOk;
  }

  CommandDecode ReadOps() {
    const uoffset_t count = in_.ops() == nullptr ? 0 : in_.ops()->size();
    const uoffset_t extras = in_.extras() == nullptr ? 0 : in_.extras()->size();
    if (!IsAligned(in_.extras())) return Malformed("the extras are not aligned");
    if (count > kv::kMaxOps) {
      return Malformed(absl::StrCat(count, " operations, the limit is ", kv::kMaxOps));
    }
    out_.ops.reserve(count);
    uoffset_t extras_used = 0;
    for (uoffset_t i = 0; i < count; ++i) {
      const fb::OpHead& head = *in_.ops()->Get(i);
      if (head.kind() > Number(kv::kLastOpKind) || head.condition() > Number(kv::kLastCondition) ||
          (head.flags() & ~kKnownFlags) != 0 || head.reserved() != 0) {
        return Unsupported(absl::StrCat("operation ", i, " has unknown kind ", head.kind(),
                                        ", condition ", head.condition(), " or flags ",
                                        head.flags()));
      }
      kv::Op& op = out_.ops.emplace_back();
      op.kind = static_cast<kv::OpKind>(head.kind());
      op.condition = static_cast<kv::Condition>(head.condition());
      op.keys_only = (head.flags() & kKeysOnly) != 0;
      bool all_there =
          strings_.Cut(head.key_size(), &op.key) && strings_.Cut(head.value_size(), &op.value);
      if ((head.flags() & kHasExtra) != 0) {
        if (extras_used == extras) {
          return Malformed(absl::StrCat("operation ", i, " misses its extra"));
        }
        const fb::OpExtra& extra = *in_.extras()->Get(extras_used++);
        if (extra.reserved() != 0) {
          return Unsupported(absl::StrCat("operation ", i, " has an unknown extra"));
        }
        op.delta = extra.delta();
        op.version = extra.version();
        op.limit = extra.limit();
        all_there = all_there && strings_.Cut(extra.end_size(), &op.end) &&
                    strings_.Cut(extra.cursor_size(), &op.cursor);
        if (all_there && !NeedsExtra(op)) {
          return Malformed(absl::StrCat("operation ", i, " has an empty extra"));
        }
      }
      if (!all_there) {
        return Malformed(absl::StrCat("operation ", i, " claims more bytes than there are"));
      }
    }
    if (extras_used != extras) {
      return Malformed(absl::StrCat(extras - extras_used, " extras belong to no operation"));
    }
    return CommandDecode::kOk;
  }

  const fb::Command& in_;
  kv::Command& out_;
  StringCutter strings_;
  std::string problem_;
};

}  // namespace

class CommandEncoder::Impl {
 public:
  absl::string_view Encode(const kv::Command& command) {
    RAFTKV_CHECK(command.ops.size() <= kv::kMaxOps && command.guards.size() <= kv::kMaxGuards);
    if (builder_.GetSize() > kKeepBuilder) {
      builder_.Reset();
    } else {
      builder_.Clear();
    }
    builder_.Align(sizeof(uint64_t));  // makes Finish pad the whole to this
    const auto bytes = WriteStrings(command);
    const auto extras = WriteExtras(command);
    const auto ops = WriteOps(command);
    const auto guards = WriteGuards(command);
    fb::FinishCommandBuffer(
        builder_,
        fb::CreateCommand(builder_, command.session, command.sequence, command.acknowledged,
                          command.time_ms, command.feature_level, guards, ops, extras, bytes));
    RAFTKV_CHECK(builder_.GetSize() <= kMaxCommandBytes);
    return {reinterpret_cast<const char*>(builder_.GetBufferPointer()), builder_.GetSize()};
  }

 private:
  template <typename T>
  using Structs = flatbuffers::Offset<flatbuffers::Vector<const T*>>;

  flatbuffers::Offset<flatbuffers::Vector<uint8_t>> WriteStrings(const kv::Command& command) {
    size_t total = 0;
    ForEachString(command, [&](absl::string_view string) { total += string.size(); });
    RAFTKV_CHECK(total <= kv::kMaxRequestBytes);
    if (total == 0) return 0;
    uint8_t* next = nullptr;
    const auto vector = builder_.CreateUninitializedVector<uint8_t>(total, &next);
    ForEachString(command, [&](absl::string_view string) {
      if (string.empty()) return;
      std::memcpy(next, string.data(), string.size());
      next += string.size();
    });
    return vector;
  }

  Structs<fb::GuardHead> WriteGuards(const kv::Command& command) {
    return WriteStructs<fb::GuardHead>(
        builder_, command.guards.size(), [next = command.guards.begin()]() mutable {
          const kv::Guard& guard = *next++;
          return fb::GuardHead(guard.version, Size(guard.key), Size(guard.value),
                               Number(guard.kind), /*reserved=*/0);
        });
  }

  Structs<fb::OpHead> WriteOps(const kv::Command& command) {
    return WriteStructs<fb::OpHead>(
        builder_, command.ops.size(), [next = command.ops.begin()]() mutable {
          const kv::Op& op = *next++;
          const int flags = (op.keys_only ? kKeysOnly : 0) | (NeedsExtra(op) ? kHasExtra : 0);
          return fb::OpHead(Size(op.key), Size(op.value), Number(op.kind), Number(op.condition),
                            static_cast<uint8_t>(flags), /*reserved=*/0);
        });
  }

  Structs<fb::OpExtra> WriteExtras(const kv::Command& command) {
    const auto count = std::count_if(command.ops.begin(), command.ops.end(), NeedsExtra);
    return WriteStructs<fb::OpExtra>(
        builder_, static_cast<size_t>(count), [next = command.ops.begin()]() mutable {
          while (!NeedsExtra(*next)) ++next;
          const kv::Op& op = *next++;
          return fb::OpExtra(op.delta, op.version, Size(op.end), Size(op.cursor), op.limit,
                             /*reserved=*/0);
        });
  }

  flatbuffers::FlatBufferBuilder builder_;
};

CommandEncoder::CommandEncoder() : impl_(std::make_unique<Impl>()) {}
CommandEncoder::~CommandEncoder() = default;
CommandEncoder::CommandEncoder(CommandEncoder&&) noexcept = default;
CommandEncoder& CommandEncoder::operator=(CommandEncoder&&) noexcept = default;

absl::string_view CommandEncoder::Encode(const kv::Command& command) {
  return impl_->Encode(command);
}

raft::Payload CommandEncoder::EncodePayload(const kv::Command& command) {
  return raft::Payload::Copy(Encode(command));
}

CommandDecode DecodeCommand(absl::string_view bytes, kv::Command* command, std::string* problem) {
  const auto refuse = [&](CommandDecode verdict, std::string text) {
    if (problem != nullptr) *problem = std::move(text);
    return verdict;
  };
  *command = kv::Command();
  if (bytes.size() > kMaxCommandBytes) {
    return refuse(
        CommandDecode::kMalformed,
        absl::StrCat("command of ", bytes.size(), " bytes, the limit is ", kMaxCommandBytes));
  }
  if (bytes.size() % sizeof(uint64_t) != 0) {
    return refuse(CommandDecode::kMalformed,
                  absl::StrCat("command of ", bytes.size(), " bytes, no multiple of 8"));
  }
  if (!IsAligned(bytes)) return refuse(CommandDecode::kMalformed, "command bytes are not aligned");
  // The identifier is at offset 4; all layouts share its first three characters.
  const absl::string_view identifier = bytes.substr(std::min<size_t>(bytes.size(), 4), 4);
  if (identifier.size() < 4 || identifier.substr(0, 3) != "RKC") {
    return refuse(CommandDecode::kMalformed, "no command: identifier missing");
  }
  if (identifier != fb::CommandIdentifier()) {
    return refuse(CommandDecode::kUnsupported,
                  absl::StrCat("command in unknown layout \"", absl::CHexEscape(identifier), "\""));
  }
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(),
                                 /*max_depth=*/1, /*max_tables=*/1);
  if (!fb::VerifyCommandBuffer(verifier)) {
    return refuse(CommandDecode::kMalformed, "command without a valid structure");
  }
  return Reader(*fb::GetCommand(bytes.data()), command).Read(problem);
}

}  // namespace raftkv::wire
