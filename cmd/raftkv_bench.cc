// raftkv-bench: load for any server that speaks the Redis protocol, and what it does to the
// latencies.
//
// Closed loop: every connection keeps `pipeline` requests unanswered and sends the next when an
// answer arrives. Open loop (--rate): requests are due at fixed times whatever becomes of those
// before, and a latency counts from the time the request was due. One thread and one epoll set, so
// that on a small machine the load generator takes as little as it can from the servers it
// measures.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cmd/parse_error.h"
#include "cmd/standard_files.h"
#include "core/raft/random.h"
#include "core/wire/resp.h"

namespace raftkv {
namespace {

uint64_t NowNs() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

// Latencies in nanoseconds, in buckets that are at most 1/64 wide of what they hold.
class Histogram {
 public:
  void Add(uint64_t value) {
    ++counts_[Bucket(value)];
    ++total_;
    max_ = std::max(max_, value);
  }
  uint64_t total() const { return total_; }
  uint64_t max() const { return max_; }
  // The value that `permille10` ten-thousandths of all are at or below.
  uint64_t Percentile(uint64_t ten_thousandths) const {
    const uint64_t wanted = (total_ * ten_thousandths + 9'999) / 10'000;
    uint64_t seen = 0;
    for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
      seen += counts_[bucket];
      if (seen >= wanted && seen > 0) return std::min(Upper(bucket), max_);
    }
    return max_;
  }

 private:
  static constexpr int kBits = 6;
  static size_t Bucket(uint64_t value) {
    if (value < (uint64_t{1} << kBits)) return value;
    const int shift = 63 - std::countl_zero(value) - kBits;
    return (static_cast<size_t>(shift + 1) << kBits) + ((value >> shift) & ((1 << kBits) - 1));
  }
  static uint64_t Upper(size_t bucket) {
    if (bucket < (size_t{1} << kBits)) return bucket;
    const size_t shift = (bucket >> kBits) - 1;
    return (((bucket & ((1 << kBits) - 1)) | (uint64_t{1} << kBits)) << shift) +
           ((uint64_t{1} << shift) - 1);
  }

  std::array<uint64_t, 64 << kBits> counts_{};
  uint64_t total_ = 0;
  uint64_t max_ = 0;
};

struct Settings {
  std::string endpoints = "127.0.0.1:7400";
  std::string test = "set";
  uint32_t connections = 50;
  uint32_t pipeline = 1;
  uint64_t requests = 0;  // in all; 0: as many as fit in `seconds`
  double rate = 0;        // requests per second in all; 0: closed loop
  double seconds = 5;
  double warmup_seconds = 1;
  uint64_t keys = 100'000;
  uint32_t key_bytes = 16;
  uint32_t value_bytes = 100;
  uint32_t read_percent = 80;
  bool in_order = false;
  uint64_t seed = 1;
  std::string samples;
  bool csv = false;
};

struct Endpoint {
  std::string name;
  sockaddr_in address{};
};

struct Connection {
  int fd = -1;
  const Endpoint* endpoint = nullptr;
  std::string output;
  size_t written = 0;
  bool wants_write = false;
  wire::RespReplyReader replies;
  std::deque<uint64_t> sent;  // when, oldest first
};

class Bench {
 public:
  Bench(const Settings& settings, std::vector<Endpoint> endpoints)
      : settings_(settings),
        endpoints_(std::move(endpoints)),
        random_(Random::Stream(settings.seed, "bench")) {
    value_.assign(settings_.value_bytes, 'x');
  }

  // 0, or 1 after an error that was printed.
  int Run() {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) return Fail("epoll_create1", errno);
    for (uint32_t i = 0; i < settings_.connections; ++i) {
      if (!Connect(endpoints_[i % endpoints_.size()])) return 1;
    }
    const uint64_t begin = NowNs();
    measure_from_ = begin + static_cast<uint64_t>(settings_.warmup_seconds * 1e9);
    stop_at_ = measure_from_ + static_cast<uint64_t>(settings_.seconds * 1e9);
    if (settings_.requests != 0) {
      measure_from_ = begin;
      stop_at_ = ~uint64_t{0} - kAnswerPatienceNs;
    }
    if (!settings_.samples.empty() && !OpenSamples()) return 1;
    next_due_ = begin_ = begin;
    for (auto& connection : connections_) {
      const uint32_t ahead = open_loop() ? 0 : settings_.pipeline;
      for (uint32_t i = 0; i < ahead; ++i) Request(*connection, NowNs());
      if (!Flush(*connection)) return 1;
    }
    std::array<epoll_event, 256> events;
    for (;;) {
      const uint64_t now = NowNs();
      if (open_loop() && !RequestWhatIsDue(now)) return 1;
      const bool more_comes = open_loop() && next_due_ < stop_at_;
      // Give the last answers a moment, but not for ever.
      if ((unanswered_ == 0 && !more_comes) || now > stop_at_ + kAnswerPatienceNs) break;
      const uint64_t patience =
          more_comes ? next_due_ - std::min(next_due_, now) : uint64_t{100'000'000};
      const timespec timeout{static_cast<time_t>(patience / 1'000'000'000),
                             static_cast<long>(patience % 1'000'000'000)};
      const int count =
          epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
      if (count < 0 && errno != EINTR) return Fail("epoll_wait", errno);
      for (int i = 0; i < count; ++i) {
        auto& connection = *static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr);
        if (!Read(connection) || !Flush(connection)) return 1;
      }
    }
    if (samples_ != nullptr && std::fclose(samples_) != 0) return Fail("--samples", errno);
    Report();
    return errors_ == 0 && latencies_.total() > 0 ? 0 : 1;
  }

 private:
  static constexpr uint64_t kAnswerPatienceNs = 5'000'000'000;

  bool open_loop() const { return settings_.rate > 0; }

  bool OpenSamples() {
    samples_ = std::fopen(settings_.samples.c_str(), "w");
    if (samples_ == nullptr) {
      Fail(absl::StrCat("--samples: ", settings_.samples).c_str(), errno);
      return false;
    }
    std::setvbuf(samples_, nullptr, _IOLBF, 1 << 16);  // whoever ends us early has whole lines
    const auto wall = std::chrono::system_clock::now().time_since_epoch();
    const auto wall_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(wall).count();
    wall_offset_ = static_cast<uint64_t>(wall_ns) - NowNs();
    return true;
  }

  bool RequestWhatIsDue(uint64_t now) {
    while (next_due_ <= now && next_due_ < stop_at_) {
      Connection& connection = *connections_[due_ % connections_.size()];
      Request(connection, next_due_);
      if (!Flush(connection)) return false;
      ++due_;
      next_due_ = begin_ + static_cast<uint64_t>(static_cast<double>(due_) / settings_.rate * 1e9);
    }
    return true;
  }

  int Fail(const char* what, int error) {
    std::fprintf(stderr, "raftkv-bench: %s: %s\n", what, std::strerror(error));
    return 1;
  }

  bool Connect(const Endpoint& endpoint) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      Fail("socket", errno);
      return false;
    }
    if (connect(fd, reinterpret_cast<const sockaddr*>(&endpoint.address),
                sizeof(endpoint.address)) != 0) {
      Fail(absl::StrCat("connect to ", endpoint.name).c_str(), errno);
      close(fd);
      return false;
    }
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    auto connection = std::make_unique<Connection>();
    connection->fd = fd;
    connection->endpoint = &endpoint;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = connection.get();
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
      Fail("epoll_ctl", errno);
      return false;
    }
    connections_.push_back(std::move(connection));
    return true;
  }

  void Request(Connection& connection, uint64_t now) {
    if (now >= stop_at_) return;
    if (settings_.requests != 0 && requested_ == settings_.requests) stop_at_ = now;
    if (now >= stop_at_) return;
    const uint64_t number =
        settings_.in_order ? requested_ % settings_.keys : random_.Below(settings_.keys);
    ++requested_;
    key_ = absl::StrCat("key:", number);
    key_.insert(4, settings_.key_bytes > key_.size() ? settings_.key_bytes - key_.size() : 0, '0');
    const std::string& test = settings_.test;
    if (test == "get" || (test == "mixed" && random_.Below(100) < settings_.read_percent)) {
      wire::WriteRespRequest({"GET", key_}, &connection.output);
    } else if (test == "incr") {
      wire::WriteRespRequest({"INCR", absl::StrCat("counter:", number)}, &connection.output);
    } else if (test == "ping") {
      wire::WriteRespRequest({"PING"}, &connection.output);
    } else {
      wire::WriteRespRequest({"SET", key_, value_}, &connection.output);
    }
    connection.sent.push_back(now);
    ++unanswered_;
  }

  bool Flush(Connection& connection) {
    while (connection.written < connection.output.size()) {
      const ssize_t count = send(connection.fd, connection.output.data() + connection.written,
                                 connection.output.size() - connection.written, MSG_NOSIGNAL);
      if (count < 0) {
        if (errno == EAGAIN || errno == EINTR) break;
        Fail(absl::StrCat("send to ", connection.endpoint->name).c_str(), errno);
        return false;
      }
      connection.written += static_cast<size_t>(count);
    }
    if (connection.written == connection.output.size()) {
      connection.output.clear();
      connection.written = 0;
    }
    const bool wants_write = !connection.output.empty();
    if (wants_write != connection.wants_write) {
      connection.wants_write = wants_write;
      epoll_event event{};
      event.events = wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN;
      event.data.ptr = &connection;
      epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
    }
    return true;
  }

  bool Read(Connection& connection) {
    static char buffer[256 << 10];
    const ssize_t count = recv(connection.fd, buffer, sizeof(buffer), 0);
    if (count < 0) {
      if (errno == EAGAIN || errno == EINTR) return true;
      Fail(absl::StrCat("receive from ", connection.endpoint->name).c_str(), errno);
      return false;
    }
    if (count == 0) {
      std::fprintf(stderr, "raftkv-bench: %s closed the connection\n",
                   connection.endpoint->name.c_str());
      return false;
    }
    connection.replies.Feed(absl::string_view(buffer, static_cast<size_t>(count)));
    const uint64_t now = NowNs();
    wire::RespValue reply;
    wire::RespReplyReader::Outcome outcome;
    while ((outcome = connection.replies.Next(&reply)) == wire::RespReplyReader::Outcome::kReply) {
      if (connection.sent.empty()) {  // a server that has no room for us says so and hangs up
        std::fprintf(stderr, "raftkv-bench: %s: %s\n", connection.endpoint->name.c_str(),
                     reply.is_error() ? reply.text.c_str() : "a reply that nobody asked for");
        return false;
      }
      const uint64_t sent = connection.sent.front();
      connection.sent.pop_front();
      --unanswered_;
      if (reply.is_error()) {
        if (errors_++ == 0) first_error_ = reply.text;
      } else if (sent >= measure_from_ && (settings_.requests != 0 || now <= stop_at_)) {
        latencies_.Add(now - sent);
        last_answer_ = now;
        if (samples_ != nullptr) {
          std::fprintf(samples_, "%" PRIu64 " %" PRIu64 "\n", (sent + wall_offset_) / 1'000,
                       (now - sent) / 1'000);
        }
      }
      if (!open_loop()) Request(connection, now);
    }
    if (outcome == wire::RespReplyReader::Outcome::kError) {
      std::fprintf(stderr, "raftkv-bench: %s: %s\n", connection.endpoint->name.c_str(),
                   connection.replies.error().c_str());
      return false;
    }
    return true;
  }

  void Report() {
    const double seconds = settings_.requests == 0
                               ? settings_.seconds
                               : static_cast<double>(last_answer_ - measure_from_) / 1e9;
    const double rate = static_cast<double>(latencies_.total()) / seconds;
    const auto ms = [&](uint64_t ten_thousandths) {
      return static_cast<double>(latencies_.Percentile(ten_thousandths)) / 1e6;
    };
    if (settings_.csv) {
      std::printf("%s,%u,%u,%.0f,%.3f,%.3f,%.3f,%.3f,%" PRIu64 "\n", settings_.test.c_str(),
                  settings_.connections, settings_.pipeline, rate, ms(5'000), ms(9'900), ms(9'990),
                  static_cast<double>(latencies_.max()) / 1e6, errors_);
    } else {
      std::printf(
          "%-6s %4u connections, %3u deep   %10.0f op/s   p50 %.3f  p99 %.3f  p99.9 %.3f  max %.3f "
          "ms\n",
          settings_.test.c_str(), settings_.connections, settings_.pipeline, rate, ms(5'000),
          ms(9'900), ms(9'990), static_cast<double>(latencies_.max()) / 1e6);
    }
    if (errors_ > 0) {
      std::fprintf(stderr, "raftkv-bench: %" PRIu64 " error replies, the first: %s\n", errors_,
                   first_error_.c_str());
    }
  }

  const Settings& settings_;
  const std::vector<Endpoint> endpoints_;
  Random random_;
  int epoll_ = -1;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::string key_;
  std::string value_;
  uint64_t begin_ = 0;
  uint64_t measure_from_ = 0;
  uint64_t stop_at_ = 0;
  uint64_t last_answer_ = 0;
  uint64_t next_due_ = 0;  // of an open loop
  uint64_t due_ = 0;       // requests of an open loop so far
  uint64_t requested_ = 0;
  uint64_t unanswered_ = 0;
  uint64_t errors_ = 0;
  std::string first_error_;
  Histogram latencies_;
  std::FILE* samples_ = nullptr;
  uint64_t wall_offset_ = 0;  // of the Unix epoch's nanoseconds
};

// "host:port", IPv4 or a name that resolves to it.
bool Resolve(const std::string& text, Endpoint* endpoint) {
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(text.substr(colon + 1), &port) || port == 0 ||
      port > 65'535) {
    std::fprintf(stderr, "raftkv-bench: --endpoints: '%s' is not host:port\n", text.c_str());
    return false;
  }
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(text.substr(0, colon).c_str(), nullptr, &hints, &found);
      error != 0) {
    std::fprintf(stderr, "raftkv-bench: --endpoints: '%s': %s\n", text.c_str(),
                 gai_strerror(error));
    return false;
  }
  endpoint->name = text;
  std::memcpy(&endpoint->address, found->ai_addr, sizeof(endpoint->address));
  endpoint->address.sin_port = htons(static_cast<uint16_t>(port));
  freeaddrinfo(found);
  return true;
}

int Main(int argc, char** argv) {
  Settings settings;
  CLI::App app(
      "Load for a server that speaks the Redis protocol, in a closed loop or at a fixed rate.\n"
      "Prints operations per second and latencies; exit status 1 if any reply was an error.");
  app.add_option("--endpoints", settings.endpoints,
                 "host:port[,host:port...]; connections are dealt out in turn")
      ->capture_default_str();
  app.add_option("-t,--test", settings.test, "what to send")
      ->check(CLI::IsMember({"set", "get", "mixed", "incr", "ping"}))
      ->capture_default_str();
  app.add_option("-c,--connections", settings.connections, "connections")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  app.add_option("-P,--pipeline", settings.pipeline, "unanswered requests per connection")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  app.add_option("--requests", settings.requests,
                 "so many in all, and measured from the first; 0: as many as --seconds allow")
      ->capture_default_str();
  app.add_option("--rate", settings.rate,
                 "requests per second in all, due at fixed times: latencies count from then; 0: "
                 "each answer brings the next request")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  app.add_option("--seconds", settings.seconds, "measured time")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  app.add_option("--warmup", settings.warmup_seconds, "seconds before it")
      ->check(CLI::Range(0.0, 600.0))
      ->capture_default_str();
  app.add_option("--keys", settings.keys, "different keys")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--key-bytes", settings.key_bytes, "size of a key")
      ->check(CLI::Range(8, 65'536))
      ->capture_default_str();
  app.add_option("--value-bytes", settings.value_bytes, "size of a value")
      ->check(CLI::Range(0, 8 << 20))
      ->capture_default_str();
  app.add_option("--read-percent", settings.read_percent, "share of reads in 'mixed'")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  app.add_flag("--in-order", settings.in_order, "one key after the other, not at random");
  app.add_option("--samples", settings.samples,
                 "file for a line per measured request: when it was due (us of the Unix epoch), "
                 "latency (us)");
  app.add_option("--seed", settings.seed, "decides which keys are used in which order")
      ->capture_default_str();
  app.add_flag("--csv", settings.csv, "test,connections,pipeline,rate,p50,p99,p99.9,max,errors");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return raftkv::EndOfParsing(app, error, "raftkv-bench", 2);
  }

  std::vector<Endpoint> endpoints;
  for (const auto text : absl::StrSplit(settings.endpoints, ',')) {
    Endpoint endpoint;
    if (!Resolve(std::string(text), &endpoint)) return 2;
    endpoints.push_back(std::move(endpoint));
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  return Bench(settings, std::move(endpoints)).Run();
}

}  // namespace
}  // namespace raftkv

int main(int argc, char** argv) {
  raftkv::KeepStandardFiles();
  return raftkv::Main(argc, argv);
}
