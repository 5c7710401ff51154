#include "storage/run_job.h"

#include <optional>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"

namespace raftkv::storage {
namespace {

SnapshotSource SourceOf(replica::SnapshotOrigin origin) {
  return origin == replica::SnapshotOrigin::kLocal ? SnapshotSource::kLocal
                                                   : SnapshotSource::kReceived;
}

class JobRunner {
 public:
  JobRunner(Storage& storage, replica::JobResult& result) : storage_(storage), result_(result) {}

  absl::Status operator()(const raft::PersistJob& job) {
    // Such a ticket only orders the core's answers to itself.
    return job.nothing_to_write() ? storage_.health() : storage_.Persist(job);
  }

  absl::Status operator()(const replica::BeginSnapshot& job) {
    return storage_.BeginSnapshot(SourceOf(job.origin), job.meta);
  }

  absl::Status operator()(const replica::AppendSnapshot& job) {
    return storage_.AppendSnapshot(SourceOf(job.origin), job.offset, job.bytes);
  }

  absl::Status operator()(const replica::FinishSnapshot& job) {
    const absl::StatusOr<std::optional<SnapshotInfo>> info =
        storage_.FinishSnapshot(SourceOf(job.origin), job.digest);
    if (!info.ok()) return info.status();
    if (info->has_value()) {
      result_.finished = replica::FinishedSnapshot{(*info)->size, (*info)->digest};
    }
    return absl::OkStatus();
  }

  absl::Status operator()(const replica::AbortSnapshot& job) {
    return storage_.AbortSnapshot(SourceOf(job.origin));
  }

  absl::Status operator()(const replica::SwitchSnapshot& job) {
    return storage_.SwitchSnapshot(job.meta);
  }

  absl::Status operator()(const replica::RestoreSnapshot& job) {
    return storage_.RestoreSnapshot(job.meta);
  }

  absl::Status operator()(const replica::ReadSnapshot& job) {
    absl::StatusOr<std::string> bytes = storage_.ReadSnapshot(job.index, job.offset, job.length);
    if (!bytes.ok()) return bytes.status();
    result_.bytes = *std::move(bytes);
    return absl::OkStatus();
  }

  absl::Status operator()(const replica::CompactLog& job) {
    return storage_.CompactLog(job.through);
  }

  absl::Status operator()(const replica::ReserveSpace&) { return storage_.ReserveSpace(); }

  absl::Status operator()(const replica::SettleLog& job) {
    return storage_.Settle(job.entries, job.suspicion);
  }

  absl::Status operator()(const replica::Scrub&) {
    absl::StatusOr<ScrubStep> step = storage_.Scrub();
    if (!step.ok()) return step.status();
    replica::Scrubbed& scrubbed = result_.scrubbed;
    scrubbed.bytes = step->bytes;
    scrubbed.pass_finished = step->finished;
    scrubbed.repairable = step->repairable;
    for (ScrubFinding& finding : step->findings) {
      scrubbed.found.push_back(
          {std::move(finding.file), finding.offset, finding.index, std::move(finding.text)});
    }
    return absl::OkStatus();
  }

 private:
  Storage& storage_;
  replica::JobResult& result_;
};

}  // namespace

replica::JobResult RunJob(Storage& storage, const replica::Job& job) {
  replica::JobResult result;
  result.id = job.id;
  result.status = std::visit(JobRunner(storage, result), job.body);
  result.short_of_space = storage.short_of_space();
  return result;
}

}  // namespace raftkv::storage
