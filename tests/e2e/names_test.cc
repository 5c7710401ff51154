// Nodes that know each other by names: names with several addresses, and names that nobody answers
// for.
//
// Names come from a hosts file that only this test and its children see.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/strace.h"

namespace raftkv::e2e {
namespace {

constexpr char kHosts[] = "/etc/hosts";

class Names : public testing::Test {
 protected:
  void SetUp() override {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      GTEST_SKIP() << "no file may be mounted here: " << std::strerror(errno);
    }
  }

  void TearDown() override { umount2(kHosts, MNT_DETACH); }

  void Are(const std::string& hosts) {
    WriteFile(File(), hosts);
    ASSERT_EQ(mount(File().c_str(), kHosts, nullptr, MS_BIND, nullptr), 0) << std::strerror(errno);
  }
  std::string File() const { return directory_.path() + "/hosts"; }

  TemporaryDirectory directory_;
};

// The first is the nearest, and nobody listens there.
TEST_F(Names, EachAddressIsTried) {
  Are("127.0.0.1 one.test\n127.0.0.2 one.test\n");
  Cluster cluster(1);
  Cluster::Node& one = cluster.node(1);
  Command command;
  command.output = one.log;
  command.arguments = {NodeProgram(),
                       "--data",
                       one.data,
                       "--listen-client",
                       "127.0.0.2:0",
                       "--listen-peer",
                       absl::StrCat("127.0.0.2:", one.peer_port)};
  one.process = std::make_unique<Process>(command);
  cluster.InitJoiner(2);
  cluster.node(2).flags = {"--peer", absl::StrCat("1=one.test:", one.peer_port)};
  cluster.Start(2);
  EXPECT_TRUE(Eventually([&] {
    return absl::StrContains(ReadFile(cluster.node(2).log), "event=\"peer connected\" peer=1");
  })) << ReadFile(cluster.node(2).log);
}

// As a name server that is silent lets it wait.
TEST_F(Names, ANodeThatLooksOneUpStopsWhenItIsTold) {
  if (const std::string why = WhyNoStrace(); !why.empty()) GTEST_SKIP() << why;
  Are("127.0.0.1 localhost\n");
  Cluster cluster(1, {"--peer", "2=nobody.test:7401"});
  cluster.StartAll();
  ASSERT_EQ(cluster.Ask(1, {"SET", "key", "value"}), "OK");
  const std::string log = directory_.path() + "/strace";
  std::optional<Strace> strace;
  strace.emplace(cluster.node(1).process->pid(),
                 std::vector<std::string>{"-P", kHosts, "-e", "trace=openat", "-e",
                                          "inject=openat:delay_enter=600000000"},
                 log);
  ASSERT_TRUE(strace->attached());
  ASSERT_TRUE(Eventually([&] { return absl::StrContains(ReadFile(log), kHosts); }))
      << "it looks the name up again and again";
  cluster.node(1).process->Signal(SIGTERM);
  EXPECT_TRUE(Eventually([&] {
    return absl::StrContains(ReadFile(cluster.node(1).log), "event=stopped code=0");
  })) << ReadFile(cluster.node(1).log);
  strace.reset();  // it does not let go of a thread that dies in a call
  EXPECT_EQ(cluster.node(1).process->Wait(), 0);
}

}  // namespace
}  // namespace raftkv::e2e
