// Looking for rot before anybody needs what it has spoilt (storage/scrub.h reads, this decides).
//
// What a restart would have repaired by peers is repaired by a restart, in the same process: its
// recovery names what is lost, and repair_mode.h closes it. Until then the memory of this node has
// everything, so leadership is handed over and what was accepted is answered first. There is one
// restart at most for each pass, and a pause before each pass: what cannot be repaired that way is
// said again, and costs no more.
#include <algorithm>
#include <utility>

#include "core/raft/configuration.h"
#include "core/replica/replica.h"

namespace raftkv::replica {

void Replica::TickScrub() {
  if (options_.scrub_bytes_per_s == 0 || rot_to_repair_) return;
  if (next_scrub_us_ == 0) next_scrub_us_ = now_us_ + options_.scrub_pause_ms * 1000;
  // Whatever else is to be done goes first. Log batches do anyway: they never wait for more than
  // the step that is under way.
  const bool busy = std::any_of(jobs_.begin(), jobs_.end(), [](const auto& job) {
    return job.second.kind != JobKind::kPersist;
  });
  if (busy || scrub_out_ || stopping_ || now_us_ < next_scrub_us_) return;
  scrub_out_ = true;
  StartJob({JobKind::kScrub}, Scrub{});
}

void Replica::ScrubStep(const JobResult& result) {
  scrub_out_ = false;
  const Scrubbed& step = result.scrubbed;
  next_scrub_us_ =
      now_us_ + std::max<uint64_t>(step.bytes * 1'000'000 / options_.scrub_bytes_per_s, 1);
  if (absl::IsUnavailable(result.status)) return;
  if (!result.status.ok()) return Fail(result.status);
  scrubbed_.bytes += step.bytes;
  scrubbed_.findings += step.found.size();
  for (const Rot& rot : step.found) work_.events.push_back(RotFound{rot});
  if (!step.pass_finished) return;
  ++scrubbed_.passes;
  next_scrub_us_ = now_us_ + options_.scrub_pause_ms * 1000;
  const std::vector<raft::NodeId> voters = raft::AllVoters(raft_.conf());
  const bool others = std::any_of(voters.begin(), voters.end(),
                                  [this](raft::NodeId id) { return id != raft_.id(); });
  if (!step.repairable || !others) return;
  rot_to_repair_ = true;
  work_.events.push_back(RotToRepair{});
}

void Replica::GoToRepair() {
  // What is accepted is answered first.
  if (Stopped()) {
    work_.restart = true;
    return;
  }
  if (!raft_.is_leader()) return StopServing();
  // When it does not succeed, it is not tried all the time: proposals are refused meanwhile.
  constexpr uint64_t kEveryUs = 5'000'000;
  if (now_us_ < next_hand_over_us_ || raft_.transfer_target() != raft::kNoNode) return;
  const raft::Progress* best = BestSuccessor();
  if (best == nullptr || raft_.TransferLeadership(best->id) != raft::Outcome::kOk) return;
  next_hand_over_us_ = now_us_ + kEveryUs;
}

}  // namespace raftkv::replica
