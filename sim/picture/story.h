// Which events led to a violation: a short story out of thousands of events.
//
// A violation names nodes, entries, terms, clients or keys. What changed these is what somebody
// would look for by hand: who campaigned in that term and who voted, how the entry came onto each
// log and left it, who committed it, which node of these went down and what it came back with.
// Everything else is left out. That is a guess, made of words, and never a proof.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/raft/types.h"
#include "sim/picture/recording.h"

namespace raftkv::sim {

// What the text of a violation speaks of.
struct Clues {
  std::set<raft::NodeId> nodes;
  std::set<raft::Index> indexes;
  std::set<raft::Term> terms;
  std::set<std::string> clients;
  std::set<std::string> keys;  // as PictureOperation::keys
};
Clues FindClues(absl::string_view violation);

// The most events that a story has.
inline constexpr size_t kMostSteps = 24;

// Places in recording.events(), ascending; the last is the violation's. Empty when there was none,
// or when it is not among the events that were kept. `explanation` is what the checker of histories
// has to say (FormatReport), if that found it: then the operations are told that it names.
std::vector<size_t> TellStory(const Recording& recording, absl::string_view explanation = {});

}  // namespace raftkv::sim
