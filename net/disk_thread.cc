#include "net/disk_thread.h"

#include <chrono>
#include <utility>

#include "core/raft/check.h"

namespace raftkv::net {

DiskThread::DiskThread(uv_loop_t* loop, Run run, Done done)
    : run_(std::move(run)), done_(std::move(done)), wake_(new uv_async_t) {
  RAFTKV_CHECK(uv_async_init(loop, wake_, [](uv_async_t* async) {
                 auto* self = static_cast<DiskThread*>(async->data);
                 if (self != nullptr) self->TakeResults();
               }) == 0);
  wake_->data = this;
  thread_ = std::thread([this] { Loop(); });
}

DiskThread::~DiskThread() { RAFTKV_CHECK(stopped_); }

void DiskThread::Submit(replica::Job job) {
  RAFTKV_CHECK(!stopped_);
  const uint64_t id = job.id;
  auto [it, fresh] = jobs_.emplace(id, std::make_unique<const replica::Job>(std::move(job)));
  RAFTKV_CHECK(fresh);
  const replica::Job* lent = it->second.get();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    (lent->is_persist() ? persists_ : others_).push_back(lent);
  }
  changed_.notify_all();
}

void DiskThread::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || !persists_.empty() || !others_.empty(); });
    if (stop_) break;
    std::deque<const replica::Job*>& queue = persists_.empty() ? others_ : persists_;
    const replica::Job* job = queue.front();
    queue.pop_front();
    lock.unlock();
    replica::JobResult result = run_(*job);
    lock.lock();
    results_.push_back(std::move(result));
    if (!stop_) uv_async_send(wake_);
  }
  gone_ = true;
  changed_.notify_all();
}

void DiskThread::TakeResults() {
  std::vector<replica::JobResult> results;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    results.swap(results_);
  }
  for (replica::JobResult& result : results) {
    const auto job = jobs_.find(result.id);
    RAFTKV_CHECK(job != jobs_.end());
    // The replica releases what the job borrowed only after it has the result.
    const std::unique_ptr<const replica::Job> finished = std::move(job->second);
    jobs_.erase(job);
    done_(std::move(result));
  }
}

bool DiskThread::Stop(uint64_t patience_ms) {
  if (stopped_) return true;
  bool gone = false;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    stop_ = true;
    changed_.notify_all();
    gone =
        changed_.wait_for(lock, std::chrono::milliseconds(patience_ms), [this] { return gone_; });
  }
  if (!gone) return false;
  stopped_ = true;
  thread_.join();
  wake_->data = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(wake_),
           [](uv_handle_t* closed) { delete reinterpret_cast<uv_async_t*>(closed); });
  jobs_.clear();
  return true;
}

}  // namespace raftkv::net
