// What became of an input. A refusal is a value with its reason, never a silent drop.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace raftkv::raft {

enum class Outcome : uint8_t {
  kOk,
  kForwarded,  // passed on to the leader; what became of it there is told there
  kIgnored,    // legal but without effect now: late, repeated, or of an old term
  // messages
  kNotForMe,     // addressed to another node
  kUnknownPeer,  // an answer from, or a request about, a node outside the configuration
  kMalformed,    // contradicts itself or what is committed; only a broken or lying peer sends it
  // proposals, reads, transfers
  kNoLeader,       // no leader is known
  kNotLeader,      // a leader is known, it is not this node, and forwarding is off
  kNotMember,      // this node leads but is removed from the configuration
  kTransferring,   // leadership is being handed over
  kQuotaExceeded,  // too many bytes are proposed and not yet applied
  kTooManyReads,   // too many reads wait for confirmation
  kLearner,        // the target is a learner
  kAlreadyLeader,  // the target, or the node asked to campaign, leads already
  // membership changes
  kMembershipPending,   // an earlier change may not be applied yet
  kMembershipJoint,     // the joint configuration must be left first
  kMembershipNotJoint,  // there is no joint configuration to leave
  kMembershipInvalid,   // the configuration does not allow it, for instance removing the last voter
  // campaigns
  kNotPromotable,        // not a voter
  kMembershipUnapplied,  // a committed membership change is not applied yet
  kSnapshotPending,      // a snapshot is being installed
  kSuspicious,           // the disk lost the end of the log: see Recovered::suspicion
  // campaigns, forgetting the leader
  kLeaseReads,  // would break the lease
};

// A short English phrase, for logs and replies.
absl::string_view OutcomeText(Outcome outcome);

}  // namespace raftkv::raft
