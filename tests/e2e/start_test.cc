// Every way to start a node wrongly: one line that names what is wrong and where, an exit code of
// its own, and nothing changed on the disk.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cmd/cluster_flags.h"
#include "cmd/exit_codes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/cluster.h"

namespace raftkv::e2e {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kMembers[] = "1=127.0.0.1:7401,2=127.0.0.1:7411,3=127.0.0.1:7421";

// The complaint is the last line, and the only one that is not a line of the log.
void ExpectComplaint(const Finished& run, int code, const std::string& text) {
  EXPECT_EQ(run.code, code) << run.output;
  const size_t start = run.output.find("raftkv: ");
  ASSERT_NE(start, std::string::npos) << run.output;
  const std::string complaint = run.output.substr(start);
  EXPECT_THAT(complaint, HasSubstr(text));
  EXPECT_EQ(std::count(complaint.begin(), complaint.end(), '\n'), 1) << complaint;
}

// A node with ports of its own, so that a start that should have failed is seen to succeed.
Finished Start(const std::string& data, std::vector<std::string> flags = {}) {
  std::vector<std::string> arguments = {NodeProgram(),
                                        "--data",
                                        data,
                                        "--listen-client",
                                        absl::StrCat("127.0.0.1:", FreePort()),
                                        "--listen-peer",
                                        absl::StrCat("127.0.0.1:", FreePort())};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  return RunToEnd(arguments);
}

Finished Init(const std::string& data, std::vector<std::string> flags) {
  std::vector<std::string> arguments = {NodeProgram(), "init", "--data", data};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  return RunToEnd(arguments);
}

// ---- The command line

struct WrongFlags {
  const char* name;
  std::vector<std::string> flags;
  const char* complaint;
};

std::string NameOf(const testing::TestParamInfo<WrongFlags>& wrong) { return wrong.param.name; }

class WrongCommandLine : public testing::TestWithParam<WrongFlags> {};

TEST_P(WrongCommandLine, IsSaidInOneLine) {
  TemporaryDirectory directory;
  ExpectComplaint(Start(directory.path(), GetParam().flags), kExitUsage, GetParam().complaint);
}

INSTANTIATE_TEST_SUITE_P(
    Node, WrongCommandLine,
    testing::Values(
        WrongFlags{"UnknownFlag", {"--frobnicate"}, "--frobnicate"},
        WrongFlags{"StrayWord", {"start"}, "start"},
        WrongFlags{"NotANumber", {"--max-clients", "many"}, "--max-clients"},
        WrongFlags{"Negative", {"--max-clients", "-1"}, "--max-clients"},
        WrongFlags{"TooLargeANumber",
                   {"--request-timeout-ms", "99999999999999999999999"},
                   "--request-timeout-ms"},
        WrongFlags{
            "UnknownUnit", {"--max-client-output-bytes", "5 parsecs"}, "--max-client-output-bytes"},
        WrongFlags{"NeverEnding", {"--request-timeout-ms", "86400001"}, "--request-timeout-ms"},
        WrongFlags{"TooLargeASize",
                   {"--max-store-bytes", "17179869184GiB"},
                   "--max-store-bytes: '17179869184GiB' is too large"},
        WrongFlags{"NotAChoice", {"--log-level", "loud"}, "--log-level"},
        WrongFlags{"ElectionBeforeHeartbeat",
                   {"--heartbeat-ms", "300", "--election-ms", "300"},
                   "--heartbeat-ms (300) must be less than --election-ms (300)"},
        WrongFlags{"NoMultipleOfTheTick",
                   {"--tick-ms", "20", "--heartbeat-ms", "50"},
                   "--heartbeat-ms: 50 ms is no multiple of --tick-ms (20 ms)"},
        WrongFlags{"LeaseLongerThanElection",
                   {"--reads", "lease", "--lease-drift-ms", "300"},
                   "--lease-drift-ms (300) must be less than --election-ms (300)"},
        WrongFlags{"NoClients", {"--max-clients", "0"}, "max_clients"},
        WrongFlags{"TinySegment", {"--segment-bytes", "1"}, "segment_bytes"},
        WrongFlags{"AddressWithoutPort", {"--listen-client", "localhost"}, "--listen-client"},
        WrongFlags{"PortTooLarge", {"--listen-peer", "127.0.0.1:65536"}, "--listen-peer"},
        WrongFlags{"PeerWithoutId", {"--peer", "127.0.0.1:7401"}, "--peer"},
        WrongFlags{"PeerNobody", {"--peer", "0=127.0.0.1:7401"}, "--peer"},
        WrongFlags{"PeerTwice",
                   {"--peer", "1=127.0.0.1:7401", "--peer", "1=127.0.0.1:7411"},
                   "--peer: node 1 is there twice"},
        WrongFlags{"ClusterIdOfOtherLetters", {"--cluster-id", "xyz"}, "--cluster-id"},
        WrongFlags{"NoSuchConfiguration", {"--config", "/nowhere/raftkv.toml"}, "/nowhere"}),
    NameOf);

class WrongInit : public testing::TestWithParam<WrongFlags> {};

TEST_P(WrongInit, IsSaidInOneLineAndLeavesNothing) {
  TemporaryDirectory directory;
  const std::string data = directory.path() + "/data";
  ExpectComplaint(Init(data, GetParam().flags), kExitUsage, GetParam().complaint);
  EXPECT_FALSE(std::filesystem::exists(data));
}

INSTANTIATE_TEST_SUITE_P(
    Node, WrongInit,
    testing::Values(
        WrongFlags{"NoNode", {"--members", kMembers}, "--node-id"},
        WrongFlags{"NodeZero", {"--node-id", "0", "--members", kMembers}, "--node-id"},
        WrongFlags{"NoMembers", {"--node-id", "1"}, "--members: the list names nobody"},
        WrongFlags{"EmptyMembers",
                   {"--node-id", "1", "--members", " "},
                   "--members: the list names nobody"},
        WrongFlags{"SameIdTwice",
                   {"--node-id", "1", "--members", "1=a:7401,1=b:7401"},
                   "--members: node 1 is there twice"},
        WrongFlags{"SameAddressTwice",
                   {"--node-id", "1", "--members", "1=a:7401,2=a:7401"},
                   "the address a:7401 is there twice"},
        WrongFlags{"ClientPortIsAnothersPeerPort",
                   {"--node-id", "1", "--members", "1=a:7401,2=a:7402"},
                   "the address a:7401 is there twice"},
        WrongFlags{"NotInTheList", {"--node-id", "4", "--members", kMembers}, "node 4"},
        WrongFlags{"NoAddress", {"--node-id", "1", "--members", "1="}, "--members"},
        WrongFlags{"TenVoters",
                   {"--node-id", "1", "--members",
                    "1=a:1001,2=b:1001,3=c:1001,4=d:1001,5=e:1001,6=f:1001,7=g:1001,8=h:1001,"
                    "9=i:1001,10=j:1001"},
                   "10 founding members, the limit is 9"},
        WrongFlags{"ClusterIdZero",
                   {"--node-id", "1", "--cluster-id", "000", "--members", kMembers},
                   "--cluster-id"},
        WrongFlags{"ClusterIdTooLong",
                   {"--node-id", "1", "--cluster-id", "123456789012345678901234567890123",
                    "--members", kMembers},
                   "--cluster-id"},
        WrongFlags{"JoinWithoutCluster", {"--node-id", "1", "--join"}, "--cluster-id"},
        WrongFlags{"JoinAndFound",
                   {"--node-id", "1", "--join", "--cluster-id", "7", "--members", kMembers},
                   "--members"}),
    NameOf);

TEST(CommandLine, WithoutDataNothingStarts) {
  ExpectComplaint(RunToEnd({NodeProgram()}), kExitUsage, "--data is required");
}

// And not only that something is missing, which is there under another name.
TEST(CommandLine, ASlipInTheNameOfAFlagIsSaid) {
  ExpectComplaint(RunToEnd({NodeProgram(), "init", "--data", "/none", "--node_id", "1"}),
                  kExitUsage, "--node_id is not known, and --node-id is required");
}

TEST(CommandLine, OneAddressForBothPorts) {
  ExpectComplaint(RunToEnd({NodeProgram(), "--data", "/none", "--listen-client", "127.0.0.1:9",
                            "--listen-peer", "127.0.0.1:9"}),
                  kExitUsage, "--listen-client and --listen-peer: both are 127.0.0.1:9");
}

TEST(CommandLine, HelpNamesEveryExitCodeAndDefault) {
  const Finished help = RunToEnd({NodeProgram(), "--help"});
  EXPECT_EQ(help.code, kExitOk);
  for (int code = kExitOk; code <= kExitLost; ++code) {
    EXPECT_THAT(help.output, HasSubstr(absl::StrCat("\n  ", code < 10 ? " " : "", code, "  ")));
  }
  for (const char* fragment :
       {"127.0.0.1:7400", "127.0.0.1:7401", "8MiB", "4GiB", "10000", "RAFTKV_MAX_CLIENTS"}) {
    EXPECT_THAT(help.output, HasSubstr(fragment));
  }
}

TEST(CommandLine, EnvironmentAndFileMeanTheSameAsFlags) {
  TemporaryDirectory directory;
  const std::string file = directory.path() + "/raftkv.toml";
  WriteFile(file, "heartbeat-ms = 900\n");
  const std::string clash = "--heartbeat-ms (900) must be less than --election-ms (300)";
  ExpectComplaint(Start(directory.path(), {"--config", file}), kExitUsage, clash);
  ExpectComplaint(
      RunToEnd({NodeProgram(), "--data", directory.path()}, {{"RAFTKV_HEARTBEAT_MS", "900"}}),
      kExitUsage, clash);
  // The command line wins.
  ExpectComplaint(Start(directory.path() + "/none", {"--config", file, "--heartbeat-ms", "50"}),
                  kExitNotInitialised, "/none");
  WriteFile(file, "heartbeat = 900\n");
  ExpectComplaint(Start(directory.path(), {"--config", file}), kExitUsage, "heartbeat");
}

// ---- The data directory

class DataDirectory : public testing::Test {
 protected:
  void SetUp() override {
    data_ = directory_.path() + "/data";
    const Finished init =
        Init(data_, {"--node-id", "1", "--cluster-id", "c1", "--members", kMembers});
    ASSERT_EQ(init.code, kExitOk) << init.output;
  }

  TemporaryDirectory directory_;
  std::string data_;
};

// Whoever starts it so, what it says is in no file of the data.
TEST(CommandLine, WithoutStandardFiles) {
  Cluster cluster(1);
  Cluster::Node& node = cluster.node(1);
  Command command;
  command.output = node.log;
  command.arguments = {"/bin/bash",
                       "-c",
                       "exec \"$0\" \"$@\" <&- >&- 2>&-",
                       NodeProgram(),
                       "--data",
                       node.data,
                       "--log-level",
                       "trace",
                       "--listen-client",
                       absl::StrCat("127.0.0.1:", node.client_port),
                       "--listen-peer",
                       absl::StrCat("127.0.0.1:", node.peer_port)};
  node.process = std::make_unique<Process>(command);
  EXPECT_EQ(cluster.Ask(1, {"SET", "key", "value"}), "OK");
  node.process->Signal(SIGTERM);
  EXPECT_EQ(node.process->Wait(), 0);
  for (const auto& file : std::filesystem::directory_iterator(node.data)) {
    EXPECT_THAT(ReadFile(file.path()), testing::Not(HasSubstr("level="))) << file.path();
  }
  cluster.Start(1);
  EXPECT_EQ(cluster.Ask(1, {"GET", "key"}), "value");
}

TEST_F(DataDirectory, ThatDoesNotExist) {
  const std::string missing = directory_.path() + "/missing";
  ExpectComplaint(Start(missing), kExitNotInitialised, missing);
  EXPECT_FALSE(std::filesystem::exists(missing));
}

TEST_F(DataDirectory, ThatWasNeverInitialised) {
  const std::string empty = directory_.path() + "/empty";
  std::filesystem::create_directory(empty);
  ExpectComplaint(Start(empty), kExitNotInitialised, "never initialised");
  EXPECT_TRUE(std::filesystem::is_empty(empty));
}

TEST_F(DataDirectory, ThatIsAFile) {
  const std::string file = directory_.path() + "/file";
  WriteFile(file, "text");
  ExpectComplaint(Start(file), kExitDamaged, file);
  EXPECT_EQ(ReadFile(file), "text");
}

TEST_F(DataDirectory, ThatHoldsSomethingElse) {
  const std::string other = directory_.path() + "/other";
  std::filesystem::create_directory(other);
  WriteFile(other + "/thesis.tex", "text");
  ExpectComplaint(Start(other), kExitDamaged, "thesis.tex");
  ExpectComplaint(Init(other, {"--node-id", "1", "--members", kMembers}), kExitDamaged,
                  "thesis.tex");
  EXPECT_EQ(ReadFile(other + "/thesis.tex"), "text");
}

TEST_F(DataDirectory, FullOfGarbage) {
  for (const auto& entry : std::filesystem::directory_iterator(data_)) {
    std::string bytes = ReadFile(entry.path().string());
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 37 + 11);
    WriteFile(entry.path().string(), bytes);
  }
  ExpectComplaint(Start(data_), kExitDamaged, data_);
}

TEST_F(DataDirectory, OfAnotherNode) {
  ExpectComplaint(Start(data_, {"--node-id", "2"}), kExitNotOurs, "belongs to node 1, not 2");
}

TEST_F(DataDirectory, OfAnotherCluster) {
  ExpectComplaint(Start(data_, {"--cluster-id", "c2"}), kExitNotOurs, "belongs to cluster");
}

TEST_F(DataDirectory, ThatIsInitialisedAlready) {
  ExpectComplaint(Init(data_, {"--node-id", "1", "--members", kMembers}), kExitInitialised, data_);
}

TEST_F(DataDirectory, ThatAnotherProcessHasOpen) {
  Cluster cluster(1);
  cluster.StartAll();
  ASSERT_EQ(cluster.Ask(1, {"SET", "key", "value"}), "OK");
  ExpectComplaint(Start(cluster.node(1).data), kExitInUse, cluster.node(1).data);
  EXPECT_EQ(cluster.Ask(1, {"GET", "key"}), "value");
}

TEST_F(DataDirectory, WithoutTheRightToWrite) {
  if (geteuid() != 0) GTEST_SKIP() << "needs another user to give up rights to";
  // The program may lie where nobody but root gets to.
  const std::string program = directory_.path() + "/raftkv";
  std::filesystem::copy_file(NodeProgram(), program);
  std::filesystem::permissions(program, std::filesystem::perms(0755));
  std::filesystem::permissions(data_, std::filesystem::perms(0555));
  for (const auto& entry : std::filesystem::directory_iterator(data_)) {
    std::filesystem::permissions(entry.path(), std::filesystem::perms(0444));
  }
  ExpectComplaint(RunToEnd({program, "--data", data_}, {}, /*as_nobody=*/true), kExitNotWritable,
                  data_);
}

TEST_F(DataDirectory, WithAnAddressThatIsTaken) {
  Cluster cluster(1);
  cluster.StartAll();
  ASSERT_EQ(cluster.Ask(1, {"SET", "key", "value"}), "OK");
  for (const char* flag : {"--listen-client", "--listen-peer"}) {
    const std::string address = absl::StrCat("127.0.0.1:", cluster.node(1).client_port);
    const std::string other =
        std::string(flag) == "--listen-peer" ? "--listen-client" : "--listen-peer";
    ExpectComplaint(RunToEnd({NodeProgram(), "--data", data_, flag, address, other,
                              absl::StrCat("127.0.0.1:", FreePort())}),
                    kExitCannotListen, address);
  }
}

// ---- Identities

TEST(Init, FoundingNodesComeToTheSameTableAlone) {
  const auto cluster = ParseClusterIdFlag("abc");
  ASSERT_TRUE(cluster.ok());
  EXPECT_EQ(FoundingIncarnation(*cluster, 1), FoundingIncarnation(*cluster, 1));
  EXPECT_NE(FoundingIncarnation(*cluster, 1), FoundingIncarnation(*cluster, 2));
  EXPECT_NE(FoundingIncarnation(*cluster, 1), FoundingIncarnation(*ParseClusterIdFlag("abd"), 1));
  // Nodes of any version must agree for ever.
  EXPECT_EQ(FoundingIncarnation(*cluster, 1), 11156966669617093763u);
}

TEST(Init, WithoutAClusterIdOneIsDrawnAndTold) {
  TemporaryDirectory directory;
  const Finished a = Init(directory.path() + "/a", {"--node-id", "1", "--members", kMembers});
  const Finished b = Init(directory.path() + "/b", {"--node-id", "1", "--members", kMembers});
  EXPECT_THAT(a.output, HasSubstr("--cluster-id "));
  const auto id = [](const std::string& text) { return text.substr(text.find("--cluster-id ")); };
  EXPECT_NE(id(a.output), id(b.output));
}

TEST(Init, AJoinerIsToldHowItBecomesAMember) {
  TemporaryDirectory directory;
  const Finished init =
      Init(directory.path() + "/4", {"--join", "--node-id", "4", "--cluster-id", "abc", "--address",
                                     "db4:7401", "--incarnation", "99"});
  EXPECT_EQ(init.code, kExitOk);
  EXPECT_THAT(init.output, HasSubstr("raftkv-cli member add 4 db4:7401 db4:7400 99"));
}

}  // namespace
}  // namespace raftkv::e2e
