// Rare states: what has to come about before certain bugs can show. A sweep counts in how many
// seeds each was seen, so that nobody believes in a sweep that never got there.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace raftkv::sim {

enum class RareState : uint8_t {
  kTwoLeaders,             // somebody is elected while a leader of an earlier term does not know it
  kSplitVote,              // two nodes vote for themselves in one term
  kOldTermOnMajority,      // a leader has an entry of an older term on a majority, not committed
  kCommittedAlong,         // an entry of an older term is committed by one of the leader's own
  kCommittedBeforeLeader,  // an entry is committed that is not on its leader's disk yet
  kReplaced,               // entries on a disk are replaced by others
  kDeposedWithEntries,     // a leader steps down with entries that are not known to be committed
  kLeaderNoMember,         // a leader is no member of its own configuration any more
  kElectedWithLosses,      // an election while some disk has lost what its node still promises
  kRegained,               // a node without a leader gets what its disk has lost from another
  kJoint,                  // a leader decides by two configurations at once
  kWiped,                  // a node is started again that has lost all it had, or who it is
  kHeardForOld,    // a node that was initialised again refuses what is meant for the one it was
  kWipedReplaced,  // it is no member any more, and a new one is there instead
};
inline constexpr size_t kRareStates = static_cast<size_t>(RareState::kWipedReplaced) + 1;

absl::string_view Name(RareState state);

using RareStateCounters = std::array<uint64_t, kRareStates>;

}  // namespace raftkv::sim
