#include "core/raft/options.h"

namespace raftkv::raft {

absl::Status ValidateOptions(const Options& options) {
  if (options.id == kNoNode) return absl::InvalidArgumentError("id: must not be 0");
  if (options.heartbeat_ticks == 0)
    return absl::InvalidArgumentError("heartbeat_ticks: must be at least 1");
  if (options.election_ticks <= options.heartbeat_ticks) {
    return absl::InvalidArgumentError("election_ticks: must be greater than heartbeat_ticks");
  }
  if (options.election_ticks > (uint32_t{1} << 24))
    return absl::InvalidArgumentError("election_ticks: must be at most 2^24");
  if (options.election_rank > kMaxElectionRank)
    return absl::InvalidArgumentError("election_rank: must be at most 100");
  if (options.max_append_bytes == 0)
    return absl::InvalidArgumentError("max_append_bytes: must be at least 1");
  if (options.max_committed_bytes == 0)
    return absl::InvalidArgumentError("max_committed_bytes: must be at least 1");
  if (options.max_inflight_messages == 0)
    return absl::InvalidArgumentError("max_inflight_messages: must be at least 1");
  if (options.max_inflight_bytes != 0 && options.max_inflight_bytes < options.max_append_bytes) {
    return absl::InvalidArgumentError(
        "max_inflight_bytes: must be 0 (no limit) or at least max_append_bytes");
  }
  if (options.max_uncommitted_bytes == 0)
    return absl::InvalidArgumentError("max_uncommitted_bytes: must be at least 1");
  if (options.max_pending_reads == 0)
    return absl::InvalidArgumentError("max_pending_reads: must be at least 1");
  if (options.read_mode == ReadMode::kLease) {
    if (!options.check_quorum)
      return absl::InvalidArgumentError("read_mode: lease reads need check_quorum");
    if (options.lease_drift_ticks >= options.election_ticks) {
      return absl::InvalidArgumentError("lease_drift_ticks: must be less than election_ticks");
    }
  }
  return absl::OkStatus();
}

}  // namespace raftkv::raft
