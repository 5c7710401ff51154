// Two processes run a seed: does the sweep see when they do not do the same, and where they part?
//
// The simulator itself is deterministic, so something that is not is put into its runs: at five
// seconds of virtual time they look at what the process has and the seed has not given. This
// program is the second process, too: see main.
#include "cmd/sim/twice.h"

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cmd/sim/sweep.h"
#include "cmd/sim/worker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr Time kWhen = 5 * kSecond;
int object_with_an_address = 0;

// The run of the seed, in which `look` happens once.
RunReport SimulateWith(RunSettings settings, const Audience& audience,
                       const std::function<void(Cluster&)>& look) {
  settings.script = [look](Cluster& cluster) {
    cluster.scheduler().At(kWhen, Actor::kScript, [look, &cluster] { look(cluster); });
  };
  return Simulate(settings, audience);
}

void Observe(Cluster& cluster, uint64_t what) {
  cluster.trace().Add(99, what);
  cluster.trace().Say(absl::StrCat("a node decides by ", what));
}

// `second`: this is the process that was executed.
RunReport SimulateTest(const std::string& hook, bool second, const RunSettings& settings,
                       const Audience& audience) {
  return SimulateWith(settings, audience, [&hook, second](Cluster& cluster) {
    if (hook == "address") {
      Observe(cluster,
              static_cast<uint64_t>(reinterpret_cast<uintptr_t>(&object_with_an_address) >> 12));
    } else if (hook == "unwritten") {
      const std::unique_ptr<volatile unsigned char, void (*)(volatile unsigned char*)> memory(
          static_cast<volatile unsigned char*>(operator new(400)),
          [](volatile unsigned char* at) { operator delete(const_cast<unsigned char*>(at)); });
      Observe(cluster, memory.get()[300]);
    } else if (hook == "second" && second) {
      Observe(cluster, 2);
    } else if (hook == "silent") {
      cluster.trace().Add(99, second ? 1 : 2);
    } else if (hook == "delay") {
      // Nothing is folded into the hash here: only what comes of it differs.
      cluster.scheduler().After(second ? 1 : 2, Actor::kNode,
                                [&cluster] { cluster.trace().Say("a timer ends"); });
    } else if (hook == "crash" && second) {
      std::abort();
    } else if (hook == "nothing") {
      Observe(cluster, 1);
    }
  });
}

SweepResult SweepWith(const std::string& hook, SeedRange seeds, uint32_t jobs = 1) {
  SweepOptions options;
  options.seeds = seeds;
  options.jobs = jobs;
  options.keep_going = true;
  options.twice = true;
  options.first.simulate = [hook](const RunSettings& settings, const Audience& audience) {
    return SimulateTest(hook, false, settings, audience);
  };
  options.second = SecondProcess("/proc/self/exe");
  options.second.program.push_back(hook);
  return Sweep(options);
}

SeedResult RunWith(const std::string& hook, uint64_t seed = 3) {
  const SweepResult result = SweepWith(hook, {seed, seed});
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.seeds.size(), 1u);
  return result.seeds.at(0);
}

void ExpectFoundAtFiveSeconds(const SeedResult& result) {
  EXPECT_EQ(result.violation_id, "twice");
  EXPECT_EQ(result.violation_name, "determinism");
  EXPECT_THAT(result.violation, StartsWith("VIOLATION twice determinism at 5.000 s: event "));
}

// The lines of a story that begin with this word, without the hash of the whole run.
std::vector<std::string> Side(const SeedResult& result, absl::string_view who) {
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(result.story, '\n')) {
    if (absl::StartsWith(line, absl::StrCat("  ", who)) && !absl::StrContains(line, " hash ")) {
      lines.emplace_back(line);
    }
  }
  return lines;
}

TEST(TwiceTest, TheSameRunIsNoViolation) {
  for (const char* hook : {"nothing", "none"}) {
    const SweepResult result = SweepWith(hook, {1, 6}, 2);
    ASSERT_TRUE(result.status.ok());
    ASSERT_EQ(result.seeds.size(), 6u);
    for (const SeedResult& seed : result.seeds) {
      EXPECT_THAT(seed.violation, IsEmpty());
      EXPECT_THAT(seed.story, IsEmpty());
      EXPECT_TRUE(seed.twice);
    }
  }
}

TEST(TwiceTest, ADecisionByAnAddressIsFoundAndNamed) {
  std::string randomised;
  if (FILE* file = std::fopen("/proc/sys/kernel/randomize_va_space", "r")) {
    char mode = '0';
    if (std::fread(&mode, 1, 1, file) == 1) randomised = mode;
    std::fclose(file);
  }
  if (randomised == "0") GTEST_SKIP() << "this system gives every process the same addresses";
  const SeedResult result = RunWith("address");
  ExpectFoundAtFiveSeconds(result);
  ASSERT_FALSE(Side(result, "first").empty());
  ASSERT_FALSE(Side(result, "second").empty());
  EXPECT_THAT(Side(result, "first")[0], HasSubstr("5.000000  a node decides by "));
  EXPECT_THAT(Side(result, "second")[0], HasSubstr("5.000000  a node decides by "));
  EXPECT_THAT(result.story, Not(HasSubstr("did not do what it had done before")));
  EXPECT_EQ(Side(result, "both").size(), 3u);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(TwiceTest, MemoryThatNobodyHasWrittenToIsFound) {
  const SeedResult result = RunWith("unwritten");
  ExpectFoundAtFiveSeconds(result);
  ASSERT_FALSE(Side(result, "second").empty());
  EXPECT_THAT(Side(result, "second")[0], HasSubstr("a node decides by 165"));  // 255 - 165
}
#endif

TEST(TwiceTest, AnEventInOneProcessOnlyIsShownBesideWhatTheOtherDid) {
  const SeedResult result = RunWith("second");
  ExpectFoundAtFiveSeconds(result);
  ASSERT_FALSE(Side(result, "first").empty());
  EXPECT_THAT(Side(result, "first")[0], Not(HasSubstr("decides")));
  ASSERT_FALSE(Side(result, "second").empty());
  EXPECT_THAT(Side(result, "second")[0], HasSubstr("a node decides by 2"));
}

TEST(TwiceTest, WhatTheTraceDoesNotSayIsFoundToo) {
  const SeedResult result = RunWith("silent");
  ExpectFoundAtFiveSeconds(result);
  EXPECT_THAT(result.story, HasSubstr("in bytes that it does not show"));
}

TEST(TwiceTest, TimeIsPartOfARun) {
  const SeedResult result = RunWith("delay");
  ExpectFoundAtFiveSeconds(result);
  ASSERT_FALSE(Side(result, "first").empty());
  EXPECT_THAT(result.story, HasSubstr("5.000001  a timer ends"));
}

TEST(TwiceTest, AProcessThatDiesAloneIsFound) {
  const SeedResult result = RunWith("crash");
  EXPECT_EQ(result.violation_id, "twice");
  EXPECT_THAT(result.violation, HasSubstr("no violation, and VIOLATION I24 crash-free: the process "
                                          "ended by signal 6"));
}

// The number of the event is the same whatever ran before in the process.
TEST(TwiceTest, TheEventHasTheSameNumberAgain) {
  const std::string once = RunWith("second").violation;
  const SweepResult result = SweepWith("second", {1, 4}, 2);
  ASSERT_EQ(result.seeds.size(), 4u);
  EXPECT_EQ(result.seeds[2].violation, once);
  for (const SeedResult& seed : result.seeds) EXPECT_EQ(seed.violation_id, "twice");
}

TEST(TwiceTest, AProgramThatIsNotThereIsSaid) {
  SweepOptions options;
  options.twice = true;
  options.second = SecondProcess("/no/such/program");
  const SweepResult result = Sweep(options);
  ASSERT_EQ(result.seeds.size(), 1u);
  EXPECT_THAT(result.seeds[0].violation, HasSubstr("cannot execute /no/such/program"));
}

}  // namespace
}  // namespace raftkv::sim

// TEST_PROGRAM worker HOOK: answers requests for seeds.
int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "worker") == 0) {
    const std::string hook = argv[2];
    raftkv::sim::ServeSeeds(
        STDIN_FILENO, STDOUT_FILENO,
        [&hook](const raftkv::sim::RunSettings& settings, const raftkv::sim::Audience& audience) {
          return raftkv::sim::SimulateTest(hook, true, settings, audience);
        });
    return 0;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
