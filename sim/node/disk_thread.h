// The one thread of a node that waits for its disk: runs jobs in the order the contract gives them,
// each at one virtual instant after a delay.
//
// A job does all its work at the moment it completes. What a crash in the middle of it leaves
// behind is the same job run with a smaller budget of disk operations.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>

#include "core/raft/types.h"
#include "core/replica/jobs.h"
#include "sim/decisions/decisions.h"
#include "sim/disk/sim_disk.h"
#include "sim/network/delay.h"
#include "sim/scheduler/scheduler.h"
#include "storage/storage.h"

namespace raftkv::sim {

class DiskThread {
 public:
  using Done = std::function<void(const replica::Job& job, replica::JobResult result)>;

  DiskThread(raft::NodeId node, Scheduler* scheduler, Decisions* decisions, const Delay& delay,
             Random random, Done done)
      : node_(node),
        scheduler_(scheduler),
        decisions_(decisions),
        delay_(delay),
        random_(random),
        done_(std::move(done)) {
    decisions_->Own(&random_);
  }

  // `storage` must live until Stop.
  void Start(storage::Storage* storage);
  void Enqueue(replica::Job job);

  // Forgets all jobs. With a budget, the job that was running does so many disk operations first
  // and then finds the power gone (or is done, if it needs fewer).
  void Stop(SimDisk* disk, std::optional<uint64_t> budget);
  bool busy() const { return running_.has_value(); }
  // Null: none.
  const replica::Job* running() const { return running_.has_value() ? &*running_ : nullptr; }

  // Everything takes so many times as long, from the next job on.
  void set_slowness(uint64_t factor) { slowness_ = factor; }
  // Answers nothing any more: a job that would be done by now is done, and heard of, only when the
  // disk is released. A node that restarts meanwhile recovers, and its first job hangs.
  void Hang() { hung_ = true; }
  void Release();
  uint64_t hung_jobs() const { return hung_jobs_; }  // jobs that a hanging disk has kept waiting

 private:
  void StartNext();
  void Run(replica::Job job);  // nothing else runs
  void Finish();

  raft::NodeId node_;
  Scheduler* scheduler_;
  Decisions* decisions_;
  Delay delay_;
  Random random_;
  Done done_;
  uint64_t slowness_ = 1;
  bool hung_ = false;
  bool overdue_ = false;  // the job that runs would be done if the disk did not hang
  uint64_t hung_jobs_ = 0;
  uint64_t life_ = 0;
  storage::Storage* storage_ = nullptr;
  std::deque<replica::Job> queue_;
  std::optional<replica::Job> running_;
};

}  // namespace raftkv::sim
