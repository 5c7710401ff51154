// When something of a script is to happen: at a time, or when the cluster has come to something.
//
// A script that says "crash node 2 when it leads term 3" goes on meaning that when timeouts, the
// network or the code change; one that says "crash node 2 at 3.204 s" means something else soon.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/raft/types.h"
#include "sim/scheduler/scheduler.h"

namespace raftkv::sim {

// Something that is true of a node at one instant or another. Of a node that is down only kDown.
struct Situation {
  enum class Kind : uint8_t {
    kLeads,      // of term `number`; 0: of any
    kCampaigns,  // is candidate, or asks whether it may be, in term `number`; 0: in any
    kInTerm,     // is in term `number` or a later one
    kHas,        // its log goes to index `number` or further
    kCommits,    // knows that the entries up to index `number` are committed
    kApplies,    // has applied them
    kDown,       // does not run
    kUp,         // runs
  };
  Kind kind = Kind::kUp;
  raft::NodeId node = raft::kNoNode;
  uint64_t number = 0;

  friend auto operator<=>(const Situation&, const Situation&) = default;
};

// "2 leads term 3", "1 commits 7", "3 down".
std::string FormatSituation(const Situation& situation);
// InvalidArgument says what is wrong with the text.
absl::StatusOr<Situation> ParseSituation(absl::string_view text);

// The first time that the condition holds, and then so much later; without one the time itself.
struct Cue {
  std::optional<Situation> when;
  Time at = 0;
  friend bool operator==(const Cue&, const Cue&) = default;
};

// "250us", "3ms", "1.2s": as short as it can be without loss.
std::string FormatTime(Time time);
absl::StatusOr<Time> ParseTime(absl::string_view text);

}  // namespace raftkv::sim
