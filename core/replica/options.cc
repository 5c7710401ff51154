#include "core/replica/options.h"

#include "absl/strings/str_cat.h"
#include "core/kv/limits.h"

namespace raftkv::replica {

absl::Status ValidateOptions(const Options& options) {
  if (absl::Status status = raft::ValidateOptions(options.raft); !status.ok()) return status;
  const auto at_least = [](absl::string_view field, uint64_t value, uint64_t least) {
    return value >= least ? absl::OkStatus()
                          : absl::InvalidArgumentError(
                                absl::StrCat(field, ": must be at least ", least, ", is ", value));
  };
  if (absl::Status status = kv::Validate(options.store); !status.ok()) return status;
  absl::Status status = at_least("incarnation", options.incarnation, 1);
  status.Update(at_least("tick_us", options.tick_us, 100));
  status.Update(at_least("snapshots.minimum_bytes", options.snapshots.minimum_bytes, 1));
  status.Update(at_least("request_timeout_ms", options.request_timeout_ms, 1));
  status.Update(at_least("full_disk_retry_ms", options.full_disk_retry_ms, 1));
  status.Update(at_least("read_retry_ms", options.read_retry_ms, 1));
  status.Update(at_least("snapshot_chunk_bytes", options.snapshot_chunk_bytes, 64));
  status.Update(at_least("snapshot_resend_ms", options.snapshot_resend_ms, 1));
  status.Update(at_least("scrub_pause_ms", options.scrub_pause_ms, 1));
  status.Update(at_least("repair_patience_ticks", options.repair_patience_ticks, 1));
  status.Update(at_least("max_store_bytes", options.max_store_bytes, 1));
  status.Update(at_least("max_waiting_bytes", options.max_waiting_bytes, 1));
  status.Update(at_least("max_clients", options.max_clients, 1));
  status.Update(at_least("max_client_output_bytes", options.max_client_output_bytes, 1));
  status.Update(at_least("max_client_pipeline", options.max_client_pipeline, 1));
  if (!status.ok()) return status;
  if (options.snapshot_chunk_bytes > (256u << 10)) {
    return absl::InvalidArgumentError("snapshot_chunk_bytes: must be at most 262144");
  }
  if (options.repair_answer_bytes > (16u << 20)) {
    return absl::InvalidArgumentError("repair_answer_bytes: must be at most 16777216");
  }
  // One command always fits an append, and so a frame.
  if (options.raft.max_append_bytes > (16u << 20)) {
    return absl::InvalidArgumentError(
        "raft.max_append_bytes: must be at most 16777216, the size of a peer frame");
  }
  return absl::OkStatus();
}

}  // namespace raftkv::replica
