// The first process of the machine whose power scripts/powercut cuts: a User-Mode Linux whose root
// is the host's, read only, and whose only disk holds the data directories of all nodes.
//
// Each boot: mount the disk, start the nodes, read everything that the ledger says was acknowledged
// in earlier boots, and then write and say so until the power goes. What is said goes to the first
// serial line, which is a file of the host: a line is written by one system call after the answer
// has come, and counts when it has arrived there. "# ..." says how far this boot is, "! ..." what
// is wrong, the rest is the ledger (powercut_ledger.h). The nodes' logs go to the console.
//
// From the environment, which is where the kernel puts what it does not know on its command line:
//   POWERCUT_PROGRAM  the node             POWERCUT_NODES  how many
//   POWERCUT_BOOT     0: initialise the data directories; the ledger has the boots below it
//   POWERCUT_LEDGER   where the host keeps the lines of boot N: LEDGER.N
//   POWERCUT_LAST     only read
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/raft/random.h"
#include "tests/e2e/connection.h"
#include "tests/e2e/powercut_ledger.h"

extern char** environ;

namespace raftkv::e2e {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kData[] = "/run/data";
constexpr uint64_t kClients = 16;
constexpr int kReplyMs = 7'000;  // longer than the node's own patience
constexpr int kReadTogether = 256;
constexpr auto kPatience = std::chrono::seconds(90);
constexpr unsigned kPatienceWithHostSeconds = 600;
constexpr size_t kLossesShown = 20;
// Small, so that segments and snapshots come and go all the time.
constexpr const char* kNodeFlags[] = {
    "--segment-bytes", "512KiB", "--snapshot-log-bytes", "1MiB", "--trailing-log-bytes", "256KiB"};

// The line to the host.
class Line {
 public:
  void Open() {
    descriptor_ = open("/dev/ttyS0", O_WRONLY | O_NOCTTY | O_CLOEXEC);
    termios settings;
    if (descriptor_ < 0 || tcgetattr(descriptor_, &settings) != 0) return;
    cfmakeraw(&settings);
    tcsetattr(descriptor_, TCSANOW, &settings);
  }

  void Write(absl::string_view lines) {
    std::lock_guard<std::mutex> lock(mutex_);
    while (!lines.empty()) {
      const ssize_t put = write(descriptor_, lines.data(), lines.size());
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) return;  // it has not arrived, so it does not count
      lines.remove_prefix(static_cast<size_t>(put));
    }
  }

  void Progress(absl::string_view text) { Write(absl::StrCat("# ", text, "\n")); }
  void Wrong(absl::string_view text) { Write(absl::StrCat("! ", text, "\n")); }

 private:
  std::mutex mutex_;
  int descriptor_ = -1;
};

Line line;

// The host cuts the power when it has read what it waits for. If it is there no more, the machine
// ends by itself.
[[noreturn]] void AwaitTheCut() {
  sleep(kPatienceWithHostSeconds);
  reboot(RB_POWER_OFF);
  for (;;) pause();
}

[[noreturn]] void Stop(absl::string_view last) {
  line.Progress(last);
  AwaitTheCut();
}

[[noreturn]] void Give(absl::string_view what) {
  line.Wrong(what);
  Stop("stopped");
}

[[noreturn]] void GiveErrno(absl::string_view doing) {
  Give(absl::StrCat("the machine: ", doing, ": ", std::strerror(errno)));
}

std::string Environment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) Give(absl::StrCat("the machine: ", name, " is not set"));
  return text;
}

uint64_t EnvironmentNumber(const char* name) {
  uint64_t number = 0;
  if (!absl::SimpleAtoi(Environment(name), &number)) Give(absl::StrCat("the machine: ", name));
  return number;
}

uint16_t ClientPort(uint64_t node) { return static_cast<uint16_t>(7390 + 10 * node); }

void SwitchLoopbackOn() {
  const int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request = {};
  std::strcpy(request.ifr_name, "lo");
  if (descriptor < 0 || ioctl(descriptor, SIOCGIFFLAGS, &request) != 0) GiveErrno("loopback");
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP | IFF_RUNNING);
  if (ioctl(descriptor, SIOCSIFFLAGS, &request) != 0) GiveErrno("loopback");
  close(descriptor);
}

void Mount() {
  if (mount("proc", "/proc", "proc", 0, "") != 0) GiveErrno("mount /proc");
  if (mount("run", "/run", "tmpfs", 0, "") != 0) GiveErrno("mount /run");
  if (mkdir(kData, 0755) != 0) GiveErrno(kData);
  // Recovers the journal. Otherwise ext4 as everybody has it.
  if (mount("/dev/ubda", kData, "ext4", 0, "data=ordered") != 0) GiveErrno("mount the disk");
}

pid_t Start(const std::vector<std::string>& arguments) {
  std::vector<char*> words;
  for (const std::string& argument : arguments)
    words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  pid_t child = -1;
  const int error = posix_spawn(&child, words[0], nullptr, nullptr, words.data(), environ);
  if (error != 0) Give(absl::StrCat("the machine: ", arguments[0], ": ", std::strerror(error)));
  return child;
}

std::string HowItEnded(int status) {
  return WIFEXITED(status) ? absl::StrCat("exit code ", WEXITSTATUS(status))
                           : absl::StrCat("signal ", WTERMSIG(status));
}

void Initialise(const std::string& program, uint64_t nodes) {
  std::vector<std::string> members;
  for (uint64_t node = 1; node <= nodes; ++node) {
    members.push_back(absl::StrCat(node, "=127.0.0.1:", ClientPort(node) + 1));
  }
  for (uint64_t node = 1; node <= nodes; ++node) {
    int status = 0;
    waitpid(
        Start({program, "init", "--data", absl::StrCat(kData, "/", node), "--node-id",
               absl::StrCat(node), "--cluster-id", "c0", "--members", absl::StrJoin(members, ",")}),
        &status, 0);
    if (status != 0) Give(absl::StrCat("raftkv init of node ", node, ": ", HowItEnded(status)));
  }
  if (umount(kData) != 0) GiveErrno("umount the disk");
  Stop("initialised");
}

// A node that ends has found something that it cannot go on with; which is wrong on a disk that
// has only lost what was not synced.
void Watch(const std::map<pid_t, uint64_t>& node_of) {
  for (;;) {
    int status = 0;
    const pid_t ended = wait(&status);
    if (ended < 0) return;
    const auto found = node_of.find(ended);
    if (found == node_of.end()) continue;
    line.Wrong(absl::StrCat("node ", found->second, " has ended with ", HowItEnded(status)));
  }
}

// A client of one node that keeps trying.
class Reader {
 public:
  explicit Reader(uint64_t node) : node_(node) {}

  // The values of these keys, in their order. Every read is linearizable, so it does not matter
  // through which node.
  std::vector<std::optional<std::string>> Read(const std::vector<std::string>& keys) {
    std::vector<std::optional<std::string>> values;
    const Clock::time_point deadline = Clock::now() + kPatience;
    while (values.size() < keys.size()) {
      if (Clock::now() > deadline) {
        Give(absl::StrCat("node ", node_, " does not answer: ", last_error_));
      }
      if (client_ == nullptr) client_ = RedisClient::Open(ClientPort(node_), 1'000);
      if (client_ == nullptr) {
        last_error_ = "no connection";
        usleep(20'000);
        continue;
      }
      std::string requests;
      for (size_t i = values.size(); i < keys.size(); ++i)
        client_->Request({"GET", keys[i]}, &requests);
      bool alright = client_->connection().Send(requests, kReplyMs);
      while (alright && values.size() < keys.size()) {
        const std::optional<wire::RespValue> reply = client_->NextReply(kReplyMs);
        alright = reply && !reply->is_error();
        if (alright && reply->type == wire::RespValue::Type::kNull) {
          values.push_back(std::nullopt);
        } else if (alright) {
          values.push_back(reply->text);
        } else {
          last_error_ = Show(reply);
        }
      }
      if (!alright) {
        client_.reset();
        usleep(20'000);
      }
    }
    return values;
  }

  // KV.STATUS; empty when there is no answer.
  std::map<std::string, std::string> Status() {
    std::map<std::string, std::string> fields;
    if (client_ == nullptr) client_ = RedisClient::Open(ClientPort(node_), 1'000);
    if (client_ == nullptr) return fields;
    const std::optional<wire::RespValue> reply = client_->Call({"KV.STATUS"}, kReplyMs);
    if (!reply || reply->is_error()) {
      client_.reset();
      return fields;
    }
    for (size_t i = 0; i + 1 < reply->items.size(); i += 2) {
      const wire::RespValue& value = reply->items[i + 1];
      fields[reply->items[i].text] =
          value.type == wire::RespValue::Type::kInteger ? absl::StrCat(value.integer) : value.text;
    }
    return fields;
  }

 private:
  uint64_t node_;
  std::unique_ptr<RedisClient> client_;
  std::string last_error_;
};

PowercutLedger ReadLedger(const std::string& path, uint64_t boots) {
  PowercutLedger ledger;
  for (uint64_t boot = 1; boot < boots; ++boot) {
    const std::string name = absl::StrCat(path, ".", boot);
    std::ifstream file(name);
    const std::string lines{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file || !ledger.Add(lines)) Give(absl::StrCat("the machine: ", name, " is not a ledger"));
  }
  return ledger;
}

// How many keys have lost something.
size_t Judge(const PowercutLedger& ledger, std::vector<Reader>& readers) {
  const std::vector<std::string> keys = ledger.keys();
  size_t losses = 0;
  for (size_t at = 0; at < keys.size(); at += kReadTogether) {
    const std::vector<std::string> part(
        keys.begin() + static_cast<ptrdiff_t>(at),
        keys.begin() + static_cast<ptrdiff_t>(std::min(keys.size(), at + kReadTogether)));
    const size_t through = at / kReadTogether % readers.size();
    const std::vector<std::optional<std::string>> values = readers[through].Read(part);
    std::string seen;
    for (size_t i = 0; i < part.size(); ++i) {
      const PowercutLedger::Judgement judgement = ledger.Judge(part[i], values[i]);
      seen += judgement.seen;
      if (judgement.lost.empty()) continue;
      if (++losses > kLossesShown) continue;
      line.Wrong(absl::StrCat("LOST ", judgement.lost, "; read through node ", through + 1));
    }
    line.Write(seen);
  }
  return losses;
}

// All nodes at one index with one digest; and what each says of itself.
bool Agree(std::vector<Reader>& readers, std::string* said) {
  bool equal = true;
  std::map<std::string, std::string> first;
  said->clear();
  for (size_t i = 0; i < readers.size(); ++i) {
    std::map<std::string, std::string> status = readers[i].Status();
    absl::StrAppend(said, i == 0 ? "" : ", ", "node ", i + 1, " ", status["role"], " term ",
                    status["term"], " applied ", status["applied"], " snapshot ",
                    status["snapshot"], " digest ", status["digest"]);
    if (i == 0) first = status;
    equal = equal && !status["digest"].empty() && status["digest"] == first["digest"] &&
            status["applied"] == first["applied"];
  }
  return equal;
}

class Client {
 public:
  Client(uint64_t boot, uint64_t number, uint64_t nodes)
      : nodes_(nodes),
        random_(Random::Stream(boot, absl::StrCat("client ", number))),
        write_{boot, number, 1, 0} {}

  [[noreturn]] void Run() {
    for (;;) {
      if (client_ == nullptr)
        client_ = RedisClient::Open(ClientPort(1 + random_.Below(nodes_)), 1'000);
      if (client_ == nullptr) {
        usleep(5'000);
        continue;
      }
      ++write_.number;
      const std::optional<wire::RespValue> reply = client_->Call(write_.command(), kReplyMs);
      if (reply && !reply->is_error()) {
        line.Write(write_.Acknowledged(write_.kind() == PowercutWrite::Kind::kCount
                                           ? static_cast<uint64_t>(reply->integer)
                                           : 0));
        continue;
      }
      if (reply && absl::StartsWith(reply->text, "NOTAPPLIED")) continue;
      if (reply && !absl::StartsWith(reply->text, "UNKNOWN")) line.Wrong(Show(reply));
      client_.reset();
      ++write_.life;
      write_.number = 0;
    }
  }

 private:
  uint64_t nodes_;
  Random random_;
  PowercutWrite write_;
  std::unique_ptr<RedisClient> client_;
};

[[noreturn]] void Run() {
  line.Open();
  const uint64_t boot = EnvironmentNumber("POWERCUT_BOOT");
  const uint64_t nodes = EnvironmentNumber("POWERCUT_NODES");
  const std::string program = Environment("POWERCUT_PROGRAM");
  line.Progress("booted");
  Mount();
  SwitchLoopbackOn();
  if (boot == 0) Initialise(program, nodes);

  std::map<pid_t, uint64_t> node_of;
  std::vector<Reader> readers;
  for (uint64_t node = 1; node <= nodes; ++node) {
    std::vector<std::string> arguments = {program,
                                          "--data",
                                          absl::StrCat(kData, "/", node),
                                          "--listen-client",
                                          absl::StrCat("127.0.0.1:", ClientPort(node)),
                                          "--listen-peer",
                                          absl::StrCat("127.0.0.1:", ClientPort(node) + 1)};
    arguments.insert(arguments.end(), std::begin(kNodeFlags), std::end(kNodeFlags));
    node_of[Start(arguments)] = node;
    readers.emplace_back(node);
  }
  std::thread(Watch, node_of).detach();

  const PowercutLedger ledger = ReadLedger(Environment("POWERCUT_LEDGER"), boot);
  // Each node serves again, whether or not there is something to be read.
  for (Reader& reader : readers) reader.Read({"any"});
  line.Progress("answering");
  const size_t losses = Judge(ledger, readers);
  std::string said;
  const Clock::time_point deadline = Clock::now() + kPatience;
  while (!Agree(readers, &said)) {
    if (Clock::now() > deadline) Give(absl::StrCat("the nodes do not agree: ", said));
    usleep(20'000);
  }
  line.Progress(said);
  if (losses > 0) {
    Give(absl::StrCat(losses, " of ", ledger.keys().size(), " keys have lost acknowledged writes"));
  }
  line.Progress(absl::StrCat("verified ", ledger.keys().size(), " keys"));
  if (std::getenv("POWERCUT_LAST") != nullptr) Stop("done");

  line.Progress("load");
  std::vector<std::thread> threads;
  for (uint64_t number = 1; number <= kClients; ++number) {
    threads.emplace_back([=] { Client(boot, number, nodes).Run(); });
  }
  AwaitTheCut();
}

}  // namespace
}  // namespace raftkv::e2e

int main() { raftkv::e2e::Run(); }
