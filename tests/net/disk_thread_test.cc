#include "net/disk_thread.h"

#include <semaphore>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftkv::net {
namespace {

using testing::ElementsAre;

replica::Job Persist(uint64_t id) { return {id, raft::PersistJob{}}; }
replica::Job Other(uint64_t id) { return {id, replica::CompactLog{}}; }

// A disk that works only when it is let.
class DiskThreadTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(uv_loop_init(&loop_), 0); }
  void TearDown() override {
    // Every handle must be closed by now.
    uv_run(&loop_, UV_RUN_DEFAULT);
    EXPECT_EQ(uv_loop_close(&loop_), 0);
  }

  replica::JobResult Work(const replica::Job& job) {
    started_.release();
    allowed_.acquire();
    ran_.push_back(job.id);
    replica::JobResult result;
    result.id = job.id;
    return result;
  }

  void RunUntil(size_t results) {
    while (done_.size() < results) uv_run(&loop_, UV_RUN_ONCE);
  }

  uv_loop_t loop_;
  std::counting_semaphore<100> started_{0};
  std::counting_semaphore<100> allowed_{0};
  std::vector<uint64_t> ran_;   // the disk thread's; read when it has stopped or is known to wait
  std::vector<uint64_t> done_;  // results, on the loop
  std::vector<replica::Job> more_;
};

TEST_F(DiskThreadTest, APersistGoesBeforeWhatWaitsAndNothingElseIsReordered) {
  DiskThread disk(
      &loop_, [this](const replica::Job& job) { return Work(job); },
      [this](replica::JobResult result) { done_.push_back(result.id); });
  disk.Submit(Other(1));
  started_.acquire();  // it is being run: too late to be overtaken
  disk.Submit(Other(2));
  disk.Submit(Other(3));
  disk.Submit(Persist(4));
  disk.Submit(Other(5));
  disk.Submit(Persist(6));
  EXPECT_EQ(disk.jobs_out(), 6u);
  allowed_.release(6);
  RunUntil(6);
  EXPECT_THAT(done_, ElementsAre(1, 4, 6, 2, 3, 5));
  EXPECT_EQ(disk.jobs_out(), 0u);
  EXPECT_TRUE(disk.Stop(10'000));
}

TEST_F(DiskThreadTest, AResultMayBringTheNextJob) {
  DiskThread* pointer = nullptr;
  DiskThread disk(
      &loop_, [this](const replica::Job& job) { return Work(job); },
      [&](replica::JobResult result) {
        done_.push_back(result.id);
        if (result.id < 5) pointer->Submit(Persist(result.id + 1));
      });
  pointer = &disk;
  allowed_.release(5);
  disk.Submit(Persist(1));
  RunUntil(5);
  EXPECT_THAT(done_, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_TRUE(disk.Stop(10'000));
}

TEST_F(DiskThreadTest, StopFinishesWhatRunsAndDropsWhatWaits) {
  DiskThread disk(
      &loop_, [this](const replica::Job& job) { return Work(job); },
      [this](replica::JobResult result) { done_.push_back(result.id); });
  disk.Submit(Persist(1));
  disk.Submit(Persist(2));
  started_.acquire();
  // The disk hangs.
  EXPECT_FALSE(disk.Stop(1));
  // It comes back.
  allowed_.release(2);
  EXPECT_TRUE(disk.Stop(10'000));
  EXPECT_THAT(ran_, ElementsAre(1));
  EXPECT_THAT(done_, ElementsAre());
}

}  // namespace
}  // namespace raftkv::net
