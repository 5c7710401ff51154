// Replies as text, in the two ways that users of redis-cli know.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "core/wire/resp.h"

namespace raftkv::cli {

// For people: types are visible, bytes are quoted, elements are numbered. Ends with a newline.
// `colours`: errors are red.
std::string FormatTyped(const wire::RespValue& value, bool colours);

// For programs: the bytes as they are, elements a line each. Ends with a newline.
std::string FormatRaw(const wire::RespValue& value);

// "\"a\\n\"": what a shell or the prompt of raftkv-cli reads back.
std::string Quote(absl::string_view bytes);

}  // namespace raftkv::cli
