// A run written down: a cluster, what its clients ask, what goes wrong and when, and what comes of
// it. One grammar for what was shrunk from a seed and what somebody wrote (docs/formats/scenario.md
// has it with examples).
//
//   raftkv scenario 1
//   # what it is about
//   seed 17
//   set founders 3
//   client 1
//   client 2 session patience 500ms
//   at 120ms c1: SET r0 v1 | GET r0
//   when 2 leads term 3 + 5ms: kill 2 for 300ms
//   append 1>3 term 2 #4: lost = 1
//   reach 2 leads term 3
//   expect I5 state-machine safety
//
// Nothing in it is left to chance but the timeouts that nodes draw and the details of faults, which
// follow from the seed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sim/oracles/judge.h"
#include "sim/run/run.h"
#include "sim/run/settings.h"

namespace raftkv::sim {

struct Scenario {
  std::vector<std::string> story;  // lines of comments at the top, without the mark
  RunSettings settings;            // with scripts and answers; `reach` is what it has to come to
  std::optional<Oracle> expect;    // broken by the bug that it is about

  // Faults, operations and unusual answers: what somebody has to think about who wants to
  // understand it.
  size_t decisions() const;
};

std::string FormatScenario(const Scenario& scenario);
// InvalidArgument names the line and what is wrong with it. `name`: of the file.
absl::StatusOr<Scenario> ParseScenario(absl::string_view name, absl::string_view text);

}  // namespace raftkv::sim
