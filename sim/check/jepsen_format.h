// Histories as Jepsen, Knossos and Porcupine write them; formats.h says what they mean.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sim/check/history.h"

namespace raftkv::sim {

absl::StatusOr<History> ReadJepsenLog(absl::string_view name, absl::string_view text);
absl::StatusOr<History> ReadEdnHistory(absl::string_view name, absl::string_view text);

}  // namespace raftkv::sim
