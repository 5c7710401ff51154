// TCP on the loop: listening sockets and connections, in the little that the ports need of libuv.
//
// Lifetimes are libuv's: a handle lives until its close callback. So a Stream deletes itself, its
// owner keeps a plain pointer until it calls Close or hears StreamEnded, and after either nothing
// is ever called for that stream again.
#pragma once

#include <sys/socket.h>
#include <uv.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "net/endpoint.h"

namespace raftkv::net {

class Stream;

class StreamOwner {
 public:
  virtual ~StreamOwner() = default;

  virtual void StreamConnected(uint64_t id) = 0;  // after Connect only
  // Valid during the call.
  virtual void StreamBytes(uint64_t id, absl::string_view bytes) = 0;
  virtual void StreamWritten(uint64_t id, size_t bytes) = 0;
  // The other side sends no more. The stream can still be written to.
  virtual void StreamFinished(uint64_t id) = 0;
  // Broken, could not connect, or closed after CloseWhenWritten. The stream is gone.
  virtual void StreamEnded(uint64_t id, absl::string_view reason) = 0;
};

class Stream {
 public:
  static Stream* Create(uv_loop_t* loop, uint64_t id, StreamOwner* owner);

  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // One of the two, first.
  absl::Status Accept(uv_tcp_t* listener);
  absl::Status Connect(const sockaddr* address);

  // Begins to deliver bytes; done by itself after Connect.
  void Read();
  void Pause();

  // Writes at once what the kernel takes and the rest when it takes more. StreamWritten may be
  // called before this returns; StreamEnded never is.
  void Write(std::string bytes);
  size_t unwritten() const { return unwritten_; }

  // Forgets what is unwritten. No call of the owner follows.
  void Close();
  // Closes when everything is written; until then nothing is read. StreamEnded follows.
  void CloseWhenWritten();

  uint64_t id() const { return id_; }
  // "10.0.0.7:51234"; empty when the connection is gone already.
  std::string RemoteAddress() const;

 private:
  // A write handed to libuv is reported only when all of it is done: small enough to see progress.
  static constexpr size_t kMaxWrite = 256 << 10;
  static constexpr size_t kMaxBuffers = 16;

  Stream(uint64_t id, StreamOwner* owner) : id_(id), owner_(owner) {}
  ~Stream() = default;

  void SetUp();
  // Fills `buffers` with the first unwritten bytes, at most kMaxWrite of them.
  unsigned int Gather(uv_buf_t* buffers) const;
  void Flush();
  void Consume(size_t bytes);
  void EndSoon(int error);
  void End(absl::string_view reason);
  void CloseHandle();

  static void OnConnect(uv_connect_t* request, int status);
  static void OnAllocate(uv_handle_t* handle, size_t suggested, uv_buf_t* buffer);
  static void OnRead(uv_stream_t* handle, ssize_t size, const uv_buf_t* buffer);
  static void OnWrite(uv_write_t* request, int status);

  uv_tcp_t handle_;
  uv_connect_t connect_;
  uv_write_t write_;
  uint64_t id_;
  StreamOwner* owner_;  // null once closed
  std::deque<std::string> queue_;
  size_t front_written_ = 0;  // bytes of queue_.front() that have left
  size_t in_flight_ = 0;      // bytes of the queue that libuv is writing
  size_t unwritten_ = 0;
  bool reading_ = false;
  bool closing_when_written_ = false;
};

// A listening socket.
class Listener {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // A connection waits to be accepted from `listener`, by a Stream.
    virtual void ConnectionWaiting(uv_tcp_t* listener) = 0;
    // One could not be accepted, for example because no descriptor is free. It has been dropped:
    // libuv keeps a descriptor in reserve for that, so the loop does not spin.
    virtual void AcceptFailed(absl::string_view reason) = 0;
  };

  // Unavailable, with the address, when it cannot be listened on.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(uv_loop_t* loop, const Endpoint& endpoint,
                                                        Owner* owner);
  // The loop must run once more afterwards.
  ~Listener();

  const Endpoint& endpoint() const { return endpoint_; }  // the real port, if 0 was asked for

 private:
  Listener(Endpoint endpoint, Owner* owner)
      : handle_(new uv_tcp_t), endpoint_(std::move(endpoint)), owner_(owner) {}

  uv_tcp_t* handle_;  // deleted by its close callback
  Endpoint endpoint_;
  Owner* owner_;
};

// Looks a name up, blocking; addresses in numbers need no look-up.
absl::StatusOr<sockaddr_storage> ResolveNow(uv_loop_t* loop, const Endpoint& endpoint);
// True and the address, when `endpoint` is written in numbers.
bool ParseNumeric(const Endpoint& endpoint, sockaddr_storage* address);

}  // namespace raftkv::net
