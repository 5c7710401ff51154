// Membership changes: the payload of a membership entry, and what applying it does to a
// configuration.
//
// Single-server changes and joint consensus (thesis, sections 4.1 and 4.3). A change takes effect
// when its entry is *applied* (not when it is appended), and at most one unapplied change is in the
// log.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/raft/types.h"

namespace raftkv::raft {

struct MemberChange {
  enum class Kind : uint8_t { kAddVoter = 0, kRemove = 1, kUpdate = 2, kAddLearner = 3 };
  Kind kind = Kind::kAddVoter;
  NodeId node = kNoNode;
  friend bool operator==(const MemberChange&, const MemberChange&) = default;
};

struct MembershipChange {
  enum class Transition : uint8_t {
    kAuto = 0,           // simple when one voter changes, otherwise joint and left automatically
    kJointImplicit = 1,  // joint, left automatically
    kJointExplicit = 2,  // joint, left by an empty change
  };
  Transition transition = Transition::kAuto;
  std::vector<MemberChange> changes;  // empty: leave the joint configuration
  std::string context;                // opaque to the core (addresses, incarnations)

  bool leaves_joint() const { return changes.empty() && transition == Transition::kAuto; }
  friend bool operator==(const MembershipChange&, const MembershipChange&) = default;
};

// Limits of the encoding; more is refused when proposed and when decoded.
inline constexpr size_t kMaxMemberChanges = 64;
inline constexpr size_t kMaxMembershipContext = 64 * 1024;

// Little-endian and self-describing: version byte, transition, counted changes, context. The empty
// string is the empty change.
std::string EncodeMembershipChange(const MembershipChange& change);
// nullopt for anything EncodeMembershipChange cannot have written. Total: any bytes are safe.
std::optional<MembershipChange> DecodeMembershipChange(absl::string_view bytes);

}  // namespace raftkv::raft
