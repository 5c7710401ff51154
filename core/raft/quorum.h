// Quorum arithmetic over majority and joint configurations (paper, sections 5.2 and 5.3; thesis,
// section 4.3). Nothing here allocates for configurations of up to 64 voters.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "core/raft/types.h"

namespace raftkv::raft {

// What a configuration without voters agrees on: everything. It makes the outgoing half of a simple
// configuration neutral.
inline constexpr Index kEverything = std::numeric_limits<Index>::max();

enum class VoteResult : uint8_t { kPending, kLost, kWon };

constexpr size_t MajoritySize(size_t voters) { return voters / 2 + 1; }

// The highest index that a majority of `voters` has reached; `reached(id)` gives one voter's index
// (0 when it has none).
template <typename Reached>
Index MajorityIndex(absl::Span<const NodeId> voters, Reached reached) {
  if (voters.empty()) return kEverything;
  constexpr size_t kOnStack = 64;
  std::array<Index, kOnStack> stack;
  std::vector<Index> heap;
  Index* indexes = stack.data();
  if (voters.size() > kOnStack) [[unlikely]] {
    heap.resize(voters.size());
    indexes = heap.data();
  }
  // Sorted in while they are asked, descending: there are few.
  for (size_t known = 0; known < voters.size(); ++known) {
    const Index index = reached(voters[known]);
    size_t place = known;
    for (; place > 0 && indexes[place - 1] < index; --place) indexes[place] = indexes[place - 1];
    indexes[place] = index;
  }
  // The one at position MajoritySize - 1 is reached by exactly a majority.
  return indexes[MajoritySize(voters.size()) - 1];
}

// `vote(id)` is nullopt while a voter has not answered.
template <typename Vote>
VoteResult MajorityVote(absl::Span<const NodeId> voters, Vote vote) {
  if (voters.empty()) return VoteResult::kWon;
  size_t granted = 0;
  size_t missing = 0;
  for (const NodeId id : voters) {
    const std::optional<bool> answer = vote(id);
    if (!answer.has_value()) {
      ++missing;
    } else if (*answer) {
      ++granted;
    }
  }
  const size_t needed = MajoritySize(voters.size());
  if (granted >= needed) return VoteResult::kWon;
  return granted + missing >= needed ? VoteResult::kPending : VoteResult::kLost;
}

// A joint configuration decides only what both halves decide.
template <typename Reached>
Index JointIndex(const ConfState& conf, Reached reached) {
  return std::min(MajorityIndex(conf.voters, reached),
                  MajorityIndex(conf.voters_outgoing, reached));
}

template <typename Vote>
VoteResult JointVote(const ConfState& conf, Vote vote) {
  const VoteResult incoming = MajorityVote(conf.voters, vote);
  const VoteResult outgoing = MajorityVote(conf.voters_outgoing, vote);
  if (incoming == outgoing) return incoming;
  if (incoming == VoteResult::kLost || outgoing == VoteResult::kLost) return VoteResult::kLost;
  return VoteResult::kPending;
}

}  // namespace raftkv::raft
