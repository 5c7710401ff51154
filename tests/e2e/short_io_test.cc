// A node whose every read and write of a file is cut short must not notice.
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/e2e/cluster.h"

namespace raftkv::e2e {
namespace {

TEST(ShortIo, WhatIsReadAndWrittenInPartsIsWhole) {
  Cluster cluster(1, {"--snapshot-log-bytes", "100000"});
  Cluster::Node& node = cluster.node(1);
  node.environment = {{"LD_PRELOAD", SHORT_IO}, {"ASAN_OPTIONS", "verify_asan_link_order=0"}};
  cluster.Start(1);
  ASSERT_EQ(cluster.WaitForLeader(), 1u);
  const std::string maps = ReadFile(absl::StrCat("/proc/", node.process->pid(), "/maps"));
  ASSERT_TRUE(absl::StrContains(maps, SHORT_IO)) << "nothing is cut short";
  const std::string value(10'000, 'v');
  const auto key = [](int i) { return absl::StrCat("key", i); };
  for (int life = 0; life < 2; ++life) {
    for (int i = 0; i < 20; ++i) {
      ASSERT_EQ(cluster.Ask(1, {"SET", key(20 * life + i), absl::StrCat(i, value)}), "OK");
    }
    cluster.Kill(1);
    cluster.Start(1);
    for (int i = 0; i < 20 * (life + 1); ++i) {
      ASSERT_EQ(cluster.Ask(1, {"GET", key(i)}), absl::StrCat(i % 20, value)) << key(i);
    }
    EXPECT_EQ(cluster.Status(1, "repair"), "");
  }
}

}  // namespace
}  // namespace raftkv::e2e
