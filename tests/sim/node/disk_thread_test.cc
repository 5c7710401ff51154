#include "sim/node/disk_thread.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

class DiskThreadTest : public ::testing::Test {
 protected:
  DiskThreadTest() {
    storage::Founding founding;
    founding.meta = {1, 1, {{1}, {}, {}, {}, false}};
    EXPECT_TRUE(storage::Storage::Init(disk_, {{1, 2}, 1, 1, 0, 0}, founding).ok());
    Start();
  }

  void Start() {
    storage_.reset();
    auto opened = storage::Storage::Open(disk_, {});
    ASSERT_TRUE(opened.ok()) << opened.status();
    storage_ = *std::move(opened);
    thread_.Start(storage_.get());
  }
  void Enqueue(uint64_t id) { thread_.Enqueue({id, replica::CompactLog{}}); }
  void RunTo(Time end) {
    while (scheduler_.RunOne(end)) {
    }
  }

  SimDisk disk_{SimDisk::Options()};
  std::unique_ptr<storage::Storage> storage_;
  Scheduler scheduler_;
  std::vector<uint64_t> done_;
  Decisions decisions_;
  DiskThread thread_{
      1,
      &scheduler_,
      &decisions_,
      Delay{Delay::Shape::kUniform, 100, 0},
      Random(1),
      [this](const replica::Job& job, const replica::JobResult&) { done_.push_back(job.id); }};
};

TEST_F(DiskThreadTest, AHungDiskAnswersWhenItIsReleased) {
  thread_.Hang();
  Enqueue(1);
  Enqueue(2);
  RunTo(kSecond);
  EXPECT_EQ(done_, std::vector<uint64_t>());
  EXPECT_EQ(thread_.hung_jobs(), 1u);
  thread_.Release();
  RunTo(2 * kSecond);
  EXPECT_EQ(done_, (std::vector<uint64_t>{1, 2}));
}

TEST_F(DiskThreadTest, AJobThatIsNotDueTakesItsTime) {
  thread_.Hang();
  Enqueue(1);
  thread_.Release();
  EXPECT_EQ(thread_.hung_jobs(), 0u);
  RunTo(kSecond);
  EXPECT_EQ(done_, std::vector<uint64_t>{1});
}

TEST_F(DiskThreadTest, WhoeverDiesHasNoAnswer) {
  thread_.Hang();
  Enqueue(1);
  RunTo(kSecond);
  thread_.Stop(&disk_, std::nullopt);
  thread_.Release();
  disk_.ProcessCrash();
  Start();
  Enqueue(2);
  RunTo(2 * kSecond);
  EXPECT_EQ(done_, std::vector<uint64_t>{2});
}

}  // namespace
}  // namespace raftkv::sim
