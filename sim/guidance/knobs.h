// Settings of a run that may be changed without making it another test: how many nodes, how bad the
// network, how often which fault. What an oracle's patience depends on is not among them, nor what
// leases rest on.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "sim/run/settings.h"

namespace raftkv::sim {

struct Knob {
  std::string name;
  uint64_t least;
  uint64_t most;
  bool even;  // any value is as good as another; otherwise they are as far apart as they are large
  std::optional<Fault> fault;  // its share is set
  std::function<uint64_t(const RunSettings&)> get;
  std::function<void(uint64_t, RunSettings*)> set;
};

// In a fixed order.
const std::vector<Knob>& AllKnobs();
const Knob* FindKnob(absl::string_view name);  // null: there is none

}  // namespace raftkv::sim
