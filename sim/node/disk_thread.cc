#include "sim/node/disk_thread.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "storage/run_job.h"

namespace raftkv::sim {
namespace {

// However slow the disk: a job that began in a slow time must not outlast the healing by much.
constexpr Time kLongestJob = 2 * kSecond;

}  // namespace

void DiskThread::Start(storage::Storage* storage) {
  RAFTKV_CHECK(storage_ == nullptr);
  storage_ = storage;
}

void DiskThread::Enqueue(replica::Job job) {
  if (!running_.has_value() && queue_.empty()) return Run(std::move(job));
  queue_.push_back(std::move(job));
  StartNext();
}

void DiskThread::StartNext() {
  if (running_.has_value() || queue_.empty()) return;
  // A log batch goes before everything else that waits.
  auto next = std::find_if(queue_.begin(), queue_.end(),
                           [](const replica::Job& job) { return job.is_persist(); });
  if (next == queue_.end()) next = queue_.begin();
  replica::Job job = std::move(*next);
  queue_.erase(next);
  Run(std::move(job));
}

void DiskThread::Run(replica::Job job) {
  running_ = std::move(job);
  const std::string name = decisions_->Name([this] { return absl::StrCat("disk ", node_); });
  const Time normal =
      decisions_->Decide(name, "takes", Usual(delay_), [this] { return Draw(delay_, random_); });
  const Time takes = std::min(normal * slowness_, kLongestJob);
  scheduler_->After(takes, Actor::kDisk, [this, life = life_] {
    if (life == life_) Finish();
  });
}

void DiskThread::Finish() {
  if (hung_) {
    overdue_ = true;
    ++hung_jobs_;
    return;
  }
  replica::JobResult result = storage::RunJob(*storage_, *running_);
  const replica::Job job = *std::exchange(running_, std::nullopt);
  const uint64_t life = life_;
  done_(job, std::move(result));
  if (life == life_) StartNext();
}

void DiskThread::Release() {
  hung_ = false;
  if (!std::exchange(overdue_, false)) return;
  scheduler_->After(0, Actor::kDisk, [this, life = life_] {
    if (life == life_) Finish();
  });
}

void DiskThread::Stop(SimDisk* disk, std::optional<uint64_t> budget) {
  if (running_.has_value() && budget.has_value()) {
    disk->SetOperationBudget(*budget);
    (void)storage::RunJob(*storage_, *running_);  // nobody is left to hear how it ended
  }
  ++life_;
  storage_ = nullptr;
  running_.reset();
  overdue_ = false;
  queue_.clear();
}

}  // namespace raftkv::sim
