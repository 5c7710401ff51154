#include "tests/e2e/connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"

namespace raftkv::e2e {

std::unique_ptr<Connection> Connection::Open(uint16_t port, int timeout_ms) {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return nullptr;
  std::unique_ptr<Connection> connection(new Connection(descriptor));
  const int on = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    int error = errno;
    socklen_t size = sizeof(error);
    if (error != EINPROGRESS || !connection->WaitFor(POLLOUT, timeout_ms) ||
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
      return nullptr;
    }
  }
  return connection;
}

Connection::~Connection() { close(descriptor_); }

bool Connection::WaitFor(short events, int timeout_ms) {
  pollfd waited{descriptor_, events, 0};
  int ready = 0;
  do {
    ready = poll(&waited, 1, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

size_t Connection::SendSome(absl::string_view bytes) {
  const ssize_t sent = send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  return sent > 0 ? static_cast<size_t>(sent) : 0;
}

bool Connection::Send(absl::string_view bytes, int timeout_ms) {
  while (!bytes.empty()) {
    const ssize_t sent = send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      return false;
    } else if (!WaitFor(POLLOUT, timeout_ms)) {
      return false;
    }
  }
  return true;
}

std::optional<std::string> Connection::Receive(int timeout_ms) {
  for (;;) {
    char buffer[64 << 10];
    const ssize_t size = recv(descriptor_, buffer, sizeof(buffer), 0);
    if (size > 0) return std::string(buffer, static_cast<size_t>(size));
    if (size == 0 || (errno != EAGAIN && errno != EINTR)) return std::string();
    if (!WaitFor(POLLIN, timeout_ms)) return std::nullopt;
  }
}

void Connection::FinishSending() { shutdown(descriptor_, SHUT_WR); }

bool Connection::Closed() {
  for (;;) {
    const std::optional<std::string> bytes = Receive(0);
    if (!bytes) return false;
    if (bytes->empty()) return true;
  }
}

std::unique_ptr<RedisClient> RedisClient::Open(uint16_t port, int timeout_ms) {
  auto client = std::make_unique<RedisClient>();
  client->connection_ = Connection::Open(port, timeout_ms);
  return client->connection_ == nullptr ? nullptr : std::move(client);
}

void RedisClient::Request(const std::vector<std::string>& words, std::string* bytes) {
  std::vector<absl::string_view> views(words.begin(), words.end());
  wire::WriteRespRequest(views, bytes);
}

std::optional<wire::RespValue> RedisClient::Call(const std::vector<std::string>& words,
                                                 int timeout_ms) {
  std::string bytes;
  Request(words, &bytes);
  if (!connection_->Send(bytes, timeout_ms)) return std::nullopt;
  return NextReply(timeout_ms);
}

std::optional<wire::RespValue> RedisClient::NextReply(int timeout_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    wire::RespValue reply;
    const auto outcome = reader_.Next(&reply);
    if (outcome == wire::RespReplyReader::Outcome::kReply) return reply;
    if (outcome == wire::RespReplyReader::Outcome::kError) return std::nullopt;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return std::nullopt;
    const std::optional<std::string> bytes = connection_->Receive(static_cast<int>(left.count()));
    if (!bytes || bytes->empty()) return std::nullopt;
    reader_.Feed(*bytes);
  }
}

std::string Show(const std::optional<wire::RespValue>& value) {
  if (!value) return std::string(kNoReply);
  using Type = wire::RespValue::Type;
  switch (value->type) {
    case Type::kNull:
      return "(nil)";
    case Type::kInteger:
    case Type::kBool:
      return absl::StrCat(value->integer);
    case Type::kError:
      return absl::StrCat("-", value->text);
    case Type::kArray:
    case Type::kMap:
    case Type::kSet:
    case Type::kPush: {
      std::string text = "[";
      for (const wire::RespValue& item : value->items) {
        absl::StrAppend(&text, text.size() > 1 ? " " : "", Show(item));
      }
      return text + "]";
    }
    default:
      return value->text;
  }
}

}  // namespace raftkv::e2e
