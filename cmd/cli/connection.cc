#include "cmd/cli/connection.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"

namespace raftkv::cli {
namespace {

// Connects one socket. 0, or what errno said.
int ConnectWithin(int fd, const addrinfo& address, int timeout_ms) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return errno;
  if (connect(fd, address.ai_addr, address.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return errno;
    pollfd waiting{fd, POLLOUT, 0};
    int ready;
    do {
      ready = poll(&waiting, 1, timeout_ms);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) return ETIMEDOUT;
    if (ready < 0) return errno;
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
    if (error != 0) return error;
  }
  if (fcntl(fd, F_SETFL, flags) < 0) return errno;
  const timeval timeout{timeout_ms / 1000, (timeout_ms % 1000) * 1000};
  const int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0 ||
      setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) {
    return errno;
  }
  return 0;
}

}  // namespace

absl::StatusOr<Connection> Connection::Open(const Endpoint& endpoint, int timeout_ms) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed =
      getaddrinfo(endpoint.host.c_str(), absl::StrCat(endpoint.port).c_str(), &hints, &found);
  if (failed != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot find ", endpoint.ToString(), ": ", gai_strerror(failed)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
  int error = EADDRNOTAVAIL;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    const int fd =
        socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol);
    if (fd < 0) {
      error = errno;
      continue;
    }
    error = ConnectWithin(fd, *address, timeout_ms);
    if (error == 0) return Connection(endpoint, fd);
    close(fd);
  }
  return absl::UnavailableError(
      absl::StrCat("cannot connect to ", endpoint.ToString(), ": ", std::strerror(error)));
}

Connection::Connection(Connection&& other) noexcept
    : endpoint_(std::move(other.endpoint_)),
      socket_(std::exchange(other.socket_, -1)),
      reader_(std::move(other.reader_)) {}

Connection& Connection::operator=(Connection&& other) noexcept {
  std::swap(endpoint_, other.endpoint_);
  std::swap(socket_, other.socket_);
  std::swap(reader_, other.reader_);
  return *this;
}

Connection::~Connection() {
  if (socket_ >= 0) close(socket_);
}

absl::StatusOr<wire::RespValue> Connection::Call(absl::Span<const absl::string_view> words) {
  std::string request;
  wire::WriteRespRequest(words, &request);
  for (size_t sent = 0; sent < request.size();) {
    const ssize_t n = send(socket_, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Lost(std::strerror(errno));
    sent += static_cast<size_t>(n);
  }
  wire::RespValue reply;
  while (true) {
    switch (reader_.Next(&reply)) {
      case wire::RespReplyReader::Outcome::kReply:
        if (reply.type == wire::RespValue::Type::kPush) continue;  // not what was asked for
        return reply;
      case wire::RespReplyReader::Outcome::kError:
        return Lost(absl::StrCat("what it says is not the Redis protocol: ", reader_.error()));
      case wire::RespReplyReader::Outcome::kNeedMore:
        break;
    }
    char bytes[16 * 1024];
    const ssize_t n = recv(socket_, bytes, sizeof(bytes), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) return Lost("it closed the connection");
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Lost("no answer in time");
    if (n < 0) return Lost(std::strerror(errno));
    reader_.Feed({bytes, static_cast<size_t>(n)});
  }
}

absl::Status Connection::Lost(absl::string_view what) const {
  return absl::UnavailableError(absl::StrCat("connection to ", endpoint_.ToString(),
                                             " lost: ", what,
                                             "; the command may or may not have been executed"));
}

}  // namespace raftkv::cli
