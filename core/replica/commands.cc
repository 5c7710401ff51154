#include "core/replica/commands.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "core/kv/limits.h"
#include "core/replica/command_table.h"

namespace raftkv::replica {
namespace {

// What is too large, and as which argument of the client's command: position 1 follows the name.
std::string TooLarge(Words words, absl::string_view what, absl::string_view bytes, size_t limit) {
  std::string where;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i].data() == bytes.data()) where = absl::StrCat("argument ", i, ": ");
  }
  return absl::StrCat(where, what, " is ", bytes.size(), " bytes, the limit is ", limit);
}

// Nothing if the command may be proposed, otherwise which limit it breaks.
std::optional<std::string> BrokenLimit(Words words, const kv::Command& command) {
  std::optional<std::string> broken = kv::Validate(command);
  if (!broken.has_value()) return std::nullopt;
  // A client knows arguments, not operations.
  for (const kv::Op& op : command.ops) {
    if (op.key.size() > kv::kMaxKeyBytes) return TooLarge(words, "key", op.key, kv::kMaxKeyBytes);
    if (op.end.size() > kv::kMaxKeyBytes) return TooLarge(words, "end", op.end, kv::kMaxKeyBytes);
    if (op.cursor.size() > kv::kMaxKeyBytes) {
      return TooLarge(words, "cursor", op.cursor, kv::kMaxKeyBytes);
    }
    if (op.value.size() > kv::kMaxValueBytes) {
      return TooLarge(words, "value", op.value, kv::kMaxValueBytes);
    }
  }
  return broken;
}

}  // namespace

void ParseCommand(Words words, ConnectionState* connection, Request* request) {
  Call call{words, connection, request};
  if (!Resolve(&call)) return;
  call.spec->handler(call);
  if (const DataRequest* data = std::get_if<DataRequest>(request)) {
    if (const auto broken = BrokenLimit(words, data->command)) {
      Refuse(call, absl::StrCat("ERR '", FullName(call.container, *call.spec), "' ", *broken));
    }
  }
}

Request ParseCommand(Words words, ConnectionState* connection) {
  Request request;
  ParseCommand(words, connection, &request);
  return request;
}

}  // namespace raftkv::replica
