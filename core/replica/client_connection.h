// One client's connection without its socket: bytes to requests, replies to bytes in the order of
// the requests.
//
// Requests are answered in any order (a read may be ready before the write ahead of it) but leave
// in the order they came. Bounded:
//  * a client with max_pipeline unanswered requests, or max_output_bytes of replies that it has not
//    read, is not read from until half of the requests are answered and the output has shrunk;
//  * replies beyond max_output_bytes stay results (which share their bytes with the store) until
//    there is room again, so that a burst of large replies to a client that does read is nothing
//    special, and the output buffer holds max_output_bytes and one reply at most;
//  * a client to which more than 8 * max_output_bytes are owed does not read its replies: it is
//    closed and what it did not read is dropped.
// A client that reads nothing and asks for little stays below all this; the driver, which knows
// time, closes it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/kv/result.h"
#include "core/replica/commands.h"
#include "core/wire/resp.h"

namespace raftkv::replica {

using ClientId = uint64_t;

class ClientConnection {
 public:
  struct Limits {
    uint64_t max_output_bytes = 8 << 20;
    uint32_t max_pipeline = 4'096;
  };
  ClientConnection(ClientId id, const Limits& limits);

  void Feed(absl::string_view bytes);  // ignored after the last request that will be served
  // Nothing more will be fed: the connection closes when what was asked is answered.
  void Finish();

  // The next request that the connection cannot answer alone, with the slot to answer it by; false
  // when there is none (all bytes are parsed, too many requests are unanswered, or the connection
  // is closing). The request's views are valid until the next call of Feed or Next. Giving the same
  // `request` again saves allocations.
  bool Next(Request* request, uint64_t* slot);

  // Answers the request of `slot`, once. Nothing happens when the connection is closing.
  void Complete(uint64_t slot, ReplyShape shape, const kv::Result& result);
  void Fail(uint64_t slot, absl::string_view error);  // "NOTAPPLIED no leader"
  void Ok(uint64_t slot);
  void Status(uint64_t slot, StatusRequest what, const NodeStatus& status);

  // Replies that may leave now: everything up to the first unanswered request. Empty when there are
  // none.
  std::string TakeOutput();
  // So many bytes of what TakeOutput gave have left. Afterwards both TakeOutput and Next may have
  // more.
  void Written(uint64_t bytes);

  bool wants_pause() const;  // stop reading: too many unanswered requests or unread replies
  // After TakeOutput is written, close: QUIT, a protocol error, the end of what was asked, or
  // output above the limit.
  bool closing() const { return closing_; }
  bool has_input() const;                                 // Next may give something
  uint64_t unanswered() const { return next_ - front_; }  // or answered and waiting for room
  const ConnectionState& state() const { return state_; }

 private:
  struct Slot {
    enum class Kind : uint8_t { kOpen, kText, kResult };
    Kind kind = Kind::kOpen;
    wire::RespVersion version = wire::RespVersion::k2;  // when it was asked
    bool close = false;                                 // after this reply
    ReplyShape shape = ReplyShape::kOk;
    std::string text;   // kText: the reply
    kv::Result result;  // kResult
    uint64_t owed = 0;  // size of the reply, for kResult about
  };

  Slot& At(uint64_t slot) { return ring_[slot & (ring_.size() - 1)]; }
  uint64_t Open();
  void Grow();
  // True, with the writer's place in `out_`, when the reply of `slot` can be written at once.
  bool IsNext(uint64_t slot) const { return slot == front_ && HasRoom(); }
  bool HasRoom() const { return unwritten_ < limits_.max_output_bytes; }
  // The slot to answer; nullptr when the connection is closing.
  Slot* Unanswered(uint64_t slot);
  template <typename Write>
  void Answer(uint64_t slot, const Write& write);
  void AnswerText(std::string* reply, bool close);
  void Park(Slot& slot, uint64_t owed);
  void Leave(Slot& slot);  // the front slot, whose reply is in `out_`
  void Flush();
  void CountOutput(size_t before);
  void UpdatePause();
  void Drop();

  ConnectionState state_;
  Limits limits_;
  wire::RespRequestReader reader_;
  std::vector<absl::string_view> words_;
  bool exhausted_ = true;  // the reader wants more bytes
  bool finished_ = false;  // and will not get them
  bool last_ = false;      // no request after this one is served
  bool paused_ = false;
  bool closing_ = false;

  // Slots front_ (the oldest without its reply in out_) up to next_, in a ring whose size is a
  // power of two.
  std::vector<Slot> ring_;
  uint64_t front_ = 0;
  uint64_t next_ = 0;
  uint64_t parked_ = 0;  // bytes of replies in slots

  std::string out_;
  uint64_t unwritten_ = 0;  // of out_ and of what TakeOutput gave
};

}  // namespace raftkv::replica
