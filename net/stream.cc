#include "net/stream.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"

namespace raftkv::net {
namespace {

// libuv asks for a buffer right before it reads into it and hands it back in the next call, so all
// connections of a loop's thread share one, and an idle connection holds no memory.
constexpr size_t kReadBuffer = 64 << 10;
thread_local char read_buffer[kReadBuffer];

constexpr int kBacklog = 1024;
// A host that vanished without a word is noticed after so long.
constexpr unsigned int kUnacknowledgedMs = 10'000;
constexpr unsigned int kKeepAliveS = 30;

std::string NumericName(const sockaddr_storage& address) {
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (getnameinfo(reinterpret_cast<const sockaddr*>(&address), sizeof(address), host, sizeof(host),
                  port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "";
  }
  uint32_t number = 0;
  for (const char* c = port; *c != '\0'; ++c)
    number = 10 * number + static_cast<uint32_t>(*c - '0');
  return ToString(Endpoint{host, static_cast<uint16_t>(number)});
}

}  // namespace

// ---- Stream

Stream* Stream::Create(uv_loop_t* loop, uint64_t id, StreamOwner* owner) {
  auto* stream = new Stream(id, owner);
  RAFTKV_CHECK(uv_tcp_init(loop, &stream->handle_) == 0);
  stream->handle_.data = stream;
  stream->connect_.data = stream;
  stream->write_.data = stream;
  return stream;
}

void Stream::SetUp() {
  uv_tcp_nodelay(&handle_, 1);
  uv_tcp_keepalive(&handle_, 1, kKeepAliveS);
  uv_os_fd_t descriptor = -1;
  if (uv_fileno(reinterpret_cast<uv_handle_t*>(&handle_), &descriptor) == 0) {
    setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnacknowledgedMs,
               sizeof(kUnacknowledgedMs));
  }
}

absl::Status Stream::Accept(uv_tcp_t* listener) {
  const int error =
      uv_accept(reinterpret_cast<uv_stream_t*>(listener), reinterpret_cast<uv_stream_t*>(&handle_));
  if (error != 0) return absl::UnavailableError(uv_strerror(error));
  SetUp();
  return absl::OkStatus();
}

absl::Status Stream::Connect(const sockaddr* address) {
  const int error = uv_tcp_connect(&connect_, &handle_, address, OnConnect);
  return error == 0 ? absl::OkStatus() : absl::UnavailableError(uv_strerror(error));
}

void Stream::OnConnect(uv_connect_t* request, int status) {
  auto* self = static_cast<Stream*>(request->data);
  if (self->owner_ == nullptr) return;
  if (status != 0) return self->End(uv_strerror(status));
  self->SetUp();
  self->Read();
  self->owner_->StreamConnected(self->id_);
}

void Stream::Read() {
  if (reading_ || owner_ == nullptr || closing_when_written_) return;
  const int error = uv_read_start(reinterpret_cast<uv_stream_t*>(&handle_), OnAllocate, OnRead);
  reading_ = error == 0;
}

void Stream::Pause() {
  if (!reading_) return;
  uv_read_stop(reinterpret_cast<uv_stream_t*>(&handle_));
  reading_ = false;
}

void Stream::OnAllocate(uv_handle_t*, size_t, uv_buf_t* buffer) {
  *buffer = uv_buf_init(read_buffer, kReadBuffer);
}

void Stream::OnRead(uv_stream_t* handle, ssize_t size, const uv_buf_t* buffer) {
  auto* self = static_cast<Stream*>(handle->data);
  if (self->owner_ == nullptr) return;
  if (size > 0) {
    self->owner_->StreamBytes(self->id_, {buffer->base, static_cast<size_t>(size)});
  } else if (size == UV_EOF) {
    self->Pause();
    self->owner_->StreamFinished(self->id_);
  } else if (size < 0) {
    self->End(uv_strerror(static_cast<int>(size)));
  }
}

void Stream::Write(std::string bytes) {
  if (owner_ == nullptr || bytes.empty()) return;
  unwritten_ += bytes.size();
  queue_.push_back(std::move(bytes));
  Flush();
}

unsigned int Stream::Gather(uv_buf_t* buffers) const {
  unsigned int count = 0;
  size_t skip = front_written_, room = kMaxWrite;
  for (auto it = queue_.begin(); it != queue_.end() && count < kMaxBuffers && room > 0; ++it) {
    const size_t size = std::min(it->size() - skip, room);
    buffers[count++] =
        uv_buf_init(const_cast<char*>(it->data()) + skip, static_cast<unsigned int>(size));
    room -= size;
    skip = 0;
  }
  return count;
}

void Stream::Flush() {
  if (in_flight_ > 0) return;
  auto* stream = reinterpret_cast<uv_stream_t*>(&handle_);
  uv_buf_t buffers[kMaxBuffers];
  while (owner_ != nullptr && unwritten_ > 0) {
    const unsigned int count = Gather(buffers);
    const int written = uv_try_write(stream, buffers, count);
    if (written > 0) {
      Consume(static_cast<size_t>(written));
      continue;
    }
    // What is wrong, if anything, comes back to OnWrite: the owner is in the middle of something.
    const int error = uv_write(&write_, stream, buffers, count, OnWrite);
    if (error == 0) {
      for (unsigned int i = 0; i < count; ++i) in_flight_ += buffers[i].len;
    } else {
      // Not connected any more; reading says so too.
      queue_.clear();
      unwritten_ = front_written_ = 0;
      Read();
    }
    return;
  }
}

void Stream::Consume(size_t bytes) {
  unwritten_ -= bytes;
  for (size_t left = bytes; left > 0;) {
    const size_t rest = queue_.front().size() - front_written_;
    if (left < rest) {
      front_written_ += left;
      break;
    }
    left -= rest;
    front_written_ = 0;
    queue_.pop_front();
  }
  if (owner_ != nullptr) owner_->StreamWritten(id_, bytes);
}

void Stream::OnWrite(uv_write_t* request, int status) {
  auto* self = static_cast<Stream*>(request->data);
  const size_t written = std::exchange(self->in_flight_, 0);
  if (self->owner_ == nullptr) return;
  if (status != 0) return self->End(uv_strerror(status));
  self->Consume(written);
  self->Flush();
  if (self->closing_when_written_ && self->owner_ != nullptr && self->unwritten_ == 0) {
    self->End("done");
  }
}

void Stream::Close() {
  owner_ = nullptr;
  CloseHandle();
}

void Stream::CloseWhenWritten() {
  if (owner_ == nullptr) return;
  Pause();
  closing_when_written_ = true;
  if (unwritten_ == 0) End("done");
}

void Stream::End(absl::string_view reason) {
  StreamOwner* owner = std::exchange(owner_, nullptr);
  const uint64_t id = id_;
  CloseHandle();
  owner->StreamEnded(id, reason);
}

void Stream::CloseHandle() {
  auto* handle = reinterpret_cast<uv_handle_t*>(&handle_);
  if (uv_is_closing(handle)) return;
  uv_close(handle, [](uv_handle_t* closed) { delete static_cast<Stream*>(closed->data); });
}

std::string Stream::RemoteAddress() const {
  sockaddr_storage address;
  int size = sizeof(address);
  if (uv_tcp_getpeername(&handle_, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  return NumericName(address);
}

// ---- Listener

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(uv_loop_t* loop, const Endpoint& endpoint,
                                                         Owner* owner) {
  absl::StatusOr<sockaddr_storage> address = ResolveNow(loop, endpoint);
  if (!address.ok()) return address.status();
  std::unique_ptr<Listener> listener(new Listener(endpoint, owner));
  RAFTKV_CHECK(uv_tcp_init(loop, listener->handle_) == 0);
  listener->handle_->data = listener.get();
  int error = uv_tcp_bind(listener->handle_, reinterpret_cast<const sockaddr*>(&*address), 0);
  if (error == 0) {
    error = uv_listen(reinterpret_cast<uv_stream_t*>(listener->handle_), kBacklog,
                      [](uv_stream_t* handle, int status) {
                        auto* self = static_cast<Listener*>(handle->data);
                        if (self == nullptr) return;
                        if (status == 0) {
                          self->owner_->ConnectionWaiting(self->handle_);
                        } else {
                          self->owner_->AcceptFailed(uv_strerror(status));
                        }
                      });
  }
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", ToString(endpoint), ": ", uv_strerror(error)));
  }
  sockaddr_storage bound;
  int size = sizeof(bound);
  if (uv_tcp_getsockname(listener->handle_, reinterpret_cast<sockaddr*>(&bound), &size) == 0) {
    listener->endpoint_.port = bound.ss_family == AF_INET6
                                   ? ntohs(reinterpret_cast<const sockaddr_in6&>(bound).sin6_port)
                                   : ntohs(reinterpret_cast<const sockaddr_in&>(bound).sin_port);
  }
  return listener;
}

Listener::~Listener() {
  handle_->data = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(handle_),
           [](uv_handle_t* closed) { delete reinterpret_cast<uv_tcp_t*>(closed); });
}

// ---- Addresses

bool ParseNumeric(const Endpoint& endpoint, sockaddr_storage* address) {
  std::memset(address, 0, sizeof(*address));
  return uv_ip4_addr(endpoint.host.c_str(), endpoint.port,
                     reinterpret_cast<sockaddr_in*>(address)) == 0 ||
         uv_ip6_addr(endpoint.host.c_str(), endpoint.port,
                     reinterpret_cast<sockaddr_in6*>(address)) == 0;
}

absl::StatusOr<sockaddr_storage> ResolveNow(uv_loop_t* loop, const Endpoint& endpoint) {
  sockaddr_storage address;
  if (ParseNumeric(endpoint, &address)) return address;
  uv_getaddrinfo_t request;
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  const int error = uv_getaddrinfo(loop, &request, nullptr, endpoint.host.c_str(),
                                   absl::StrCat(endpoint.port).c_str(), &hints);
  if (error != 0 || request.addrinfo == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("host '", endpoint.host, "' cannot be found: ", uv_strerror(error)));
  }
  std::memcpy(&address, request.addrinfo->ai_addr, request.addrinfo->ai_addrlen);
  uv_freeaddrinfo(request.addrinfo);
  return address;
}

}  // namespace raftkv::net
