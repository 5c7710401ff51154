// How one consensus node behaves. Times are in ticks; the driver decides what a tick is (10 ms in
// the shipped node).
#pragma once

#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "core/raft/types.h"

namespace raftkv::raft {

inline constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

inline constexpr uint32_t kMaxElectionRank = 100;

enum class ReadMode : uint8_t {
  kQuorum,  // each read point is confirmed by a round of heartbeats (thesis, section 6.4)
  // The leader answers from its lease (thesis, section 6.4.1). Needs check_quorum, and clocks whose
  // rates differ by less than lease_drift_ticks per election timeout.
  kLease,
};

struct Options {
  NodeId id = kNoNode;

  // Each election timeout is drawn from [election_ticks, 2 * election_ticks).
  uint32_t election_ticks = 30;
  uint32_t heartbeat_ticks = 5;  // less than election_ticks
  // Election priority: when its leader falls silent, a node waits another election_ticks for each
  // step of its rank, so that nodes of rank 0 campaign first. Once somebody has campaigned all are
  // equal: a node of rank 0 that cannot win must not keep the others from it.
  uint32_t election_rank = 0;  // at most kMaxElectionRank

  // Ask before disturbing (thesis, section 9.6).
  bool pre_vote = true;
  // A leader that hears no quorum for an election timeout steps down, and followers are loyal to a
  // leader they hear (thesis, sections 6.2 and 4.2.3). With neither this nor pre_vote nobody
  // answers a leader of an older term, and a learner that is in a newer one stays cut off.
  bool check_quorum = true;
  // A leader that applies its own removal becomes follower at once.
  bool step_down_on_removal = true;
  // Refuse a change while another is unapplied, and changes the configuration does not allow.
  bool validate_membership = true;
  // A leader whose ticket has been out for an election timeout steps down.
  bool step_down_on_hung_disk = true;
  // An append or heartbeat still queued for a peer is extended instead of sending another, and so
  // are an acknowledgement that waits for the disk, and a leader's answers to itself for one
  // ticket.
  bool merge_messages = true;
  // A follower sends proposals to the leader itself (a driver that forwards commands does not want
  // this).
  bool forward_proposals = false;

  // Where bytes are counted, an entry counts EntryBytes (log.h).
  uint64_t max_append_bytes = 256 << 10;    // per append message; one entry always fits
  uint64_t max_committed_bytes = 16 << 20;  // handed out and not yet applied; one entry always fits
  // Appends sent ahead to one follower: how many, and their bytes, which are at least
  // max_append_bytes; 0: no limit in bytes.
  uint64_t max_inflight_messages = 256;
  uint64_t max_inflight_bytes = 2 << 20;
  // Payload a leader holds that is not yet applied; one proposal always fits.
  uint64_t max_uncommitted_bytes = 256 << 20;
  uint64_t max_pending_reads = 65536;  // waiting for confirmation

  ReadMode read_mode = ReadMode::kQuorum;
  uint32_t lease_drift_ticks = 3;  // less than election_ticks; only with kLease
};

// InvalidArgument naming the field that is out of range.
absl::Status ValidateOptions(const Options& options);

}  // namespace raftkv::raft
