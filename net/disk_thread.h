// The one thread that may wait for the disk. Jobs go in from the loop's thread and results come
// back on it.
//
// Jobs are run one at a time: a Persist before every waiting job of another kind, otherwise in
// order (core/replica/jobs.h). The thread only reads a job; it is made and destroyed on the loop's
// thread, because the reference counts of its payloads are not atomic.
#pragma once

#include <uv.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/replica/jobs.h"

namespace raftkv::net {

class DiskThread {
 public:
  using Run = std::function<replica::JobResult(const replica::Job&)>;  // on the disk thread
  using Done = std::function<void(replica::JobResult)>;                // on the loop's thread

  DiskThread(uv_loop_t* loop, Run run, Done done);
  // Stop first.
  ~DiskThread();
  DiskThread(const DiskThread&) = delete;
  DiskThread& operator=(const DiskThread&) = delete;

  void Submit(replica::Job job);

  // Waits for the job that is being run, at most `patience_ms`, and drops those that wait. False
  // when the disk did not come back: the thread is still in there, and only the end of the process
  // ends it. No result is delivered afterwards.
  bool Stop(uint64_t patience_ms);

  size_t jobs_out() const { return jobs_.size(); }

 private:
  void Loop();
  void TakeResults();

  const Run run_;
  const Done done_;
  uv_async_t* wake_;  // deleted by its close callback

  // The loop's thread only.
  std::map<uint64_t, std::unique_ptr<const replica::Job>> jobs_;
  bool stopped_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<const replica::Job*> persists_;  // guarded by mutex_, like all that follows
  std::deque<const replica::Job*> others_;
  std::vector<replica::JobResult> results_;
  bool stop_ = false;
  bool gone_ = false;  // the thread has left Loop

  std::thread thread_;
};

}  // namespace raftkv::net
