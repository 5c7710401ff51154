// The settings of a run by name, for scenarios.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "sim/run/settings.h"

namespace raftkv::sim {

// What a scenario begins with: three nodes that wait a hundred milliseconds for their leader, in a
// network and with disks that take a millisecond for everything, and no clients.
RunSettings PlainSettings();

// Every setting that differs from those of PlainSettings, as name and value, in a fixed order.
// Clients, scripts and decisions are no settings.
std::vector<std::pair<std::string, std::string>> UnplainFields(const RunSettings& settings);

// NotFound if there is no such setting, InvalidArgument if it cannot have this value.
absl::Status SetField(absl::string_view name, absl::string_view value, RunSettings* settings);
// InvalidArgument, with the reason, if no cluster can run with these settings.
absl::Status ValidateSettings(const RunSettings& settings);

// Makes it what it is in PlainSettings. The name is one of those above.
void MakePlain(absl::string_view name, RunSettings* settings);

}  // namespace raftkv::sim
