#include "sim/crash_points/crash_points.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/storage/lying_disk.h"

namespace raftkv::sim {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;

TEST(CrashPointsTest, NoCrashLosesAnything) {
  uint64_t states = 0;
  CrashPointOptions options;
  options.exhaustive = 10;
  options.samples = 200;
  for (const std::string& job : CrashPointJobs()) {
    const CrashPointResult result = ExploreCrashPoints(job, options);
    EXPECT_EQ(result.failure, "");
    EXPECT_GT(result.cuts, 1u) << job;
    states += result.states;
  }
  EXPECT_GT(states, 5'000u);
}

// The jobs in which it shows that some syncs are not made.
std::vector<std::string> NoticedBy(const std::string& prefix, bool directory) {
  std::vector<std::string> jobs;
  CrashPointOptions options;
  options.exhaustive = 8;
  options.samples = 20;
  options.tear = false;
  options.wrap = [&](SimDisk& disk) {
    return std::make_unique<storage::LyingDisk>(disk, prefix, directory);
  };
  for (const std::string& job : CrashPointJobs()) {
    if (!ExploreCrashPoints(job, options).failure.empty()) jobs.push_back(job);
  }
  return jobs;
}

TEST(CrashPointsTest, AMissingSyncIsNoticed) {
  EXPECT_THAT(NoticedBy("nothing", false), IsEmpty());
  EXPECT_THAT(NoticedBy("log-", false), IsSupersetOf({"append", "roll", "truncate"}));
  EXPECT_THAT(NoticedBy("vote", false), IsSupersetOf({"vote", "votes", "vote and append"}));
  EXPECT_THAT(NoticedBy("manifest", false), IsSupersetOf({"snapshot", "install"}));
  EXPECT_THAT(NoticedBy("snapshot-", false), IsSupersetOf({"snapshot", "install"}));
  EXPECT_THAT(NoticedBy("identity", false), Contains("create"));
  EXPECT_THAT(NoticedBy("", true), IsSupersetOf({"create", "roll", "snapshot", "install"}));
}

}  // namespace
}  // namespace raftkv::sim
