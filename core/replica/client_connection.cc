#include "core/replica/client_connection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"

namespace raftkv::replica {
namespace {

constexpr size_t kFirstSlots = 16;
constexpr size_t kKeptSlots = 256;   // a ring larger than this is given back when it is empty
constexpr size_t kKeptText = 1024;   // and so is a slot's text
constexpr uint64_t kOwedFactor = 8;  // of max_output_bytes

}  // namespace

ClientConnection::ClientConnection(ClientId id, const Limits& limits) : limits_(limits) {
  state_.id = id;
}

void ClientConnection::Feed(absl::string_view bytes) {
  if (last_ || bytes.empty()) return;
  reader_.Feed(bytes);
  exhausted_ = false;
}

void ClientConnection::Finish() {
  finished_ = true;
  exhausted_ = false;
}

bool ClientConnection::Next(Request* request, uint64_t* slot) {
  while (has_input()) {
    const auto outcome = reader_.Next(&words_);
    if (outcome == wire::RespRequestReader::Outcome::kNeedMore) {
      exhausted_ = true;
      std::string nothing;
      if (finished_) AnswerText(&nothing, /*close=*/true);
      return false;
    }
    if (outcome == wire::RespRequestReader::Outcome::kError) {
      std::string reply;
      wire::RespWriter(&reply, state_.version).Error(absl::StrCat("ERR ", reader_.error()));
      AnswerText(&reply, /*close=*/true);
      return false;
    }
    ParseCommand(words_, &state_, request);
    if (Answered* answered = std::get_if<Answered>(request)) {
      AnswerText(&answered->reply, answered->close);
      continue;
    }
    *slot = Open();
    return true;
  }
  return false;
}

bool ClientConnection::has_input() const { return !exhausted_ && !paused_ && !last_ && !closing_; }

bool ClientConnection::wants_pause() const { return paused_ || last_ || closing_; }

void ClientConnection::Complete(uint64_t slot, ReplyShape shape, const kv::Result& result) {
  Slot* answered = Unanswered(slot);
  if (answered == nullptr) return;
  if (IsNext(slot)) {
    const size_t before = out_.size();
    wire::RespWriter writer(&out_, answered->version);
    WriteResult(shape, result, &writer);
    CountOutput(before);
    Leave(*answered);
    Flush();
    return;
  }
  answered->kind = Slot::Kind::kResult;
  answered->shape = shape;
  answered->result = result;
  Park(*answered, ReplyBytes(result));
}

void ClientConnection::Fail(uint64_t slot, absl::string_view error) {
  Answer(slot, [error](wire::RespWriter* writer) { writer->Error(error); });
}

void ClientConnection::Ok(uint64_t slot) {
  Answer(slot, [](wire::RespWriter* writer) { writer->Ok(); });
}

void ClientConnection::Status(uint64_t slot, StatusRequest what, const NodeStatus& status) {
  Answer(slot, [&](wire::RespWriter* writer) { WriteStatus(what, status, writer); });
}

std::string ClientConnection::TakeOutput() { return std::exchange(out_, std::string()); }

void ClientConnection::Written(uint64_t bytes) {
  RAFTKV_CHECK(bytes <= unwritten_ - out_.size());
  if (bytes == 0) return;
  unwritten_ -= bytes;
  if (closing_) return;
  Flush();
  UpdatePause();
}

uint64_t ClientConnection::Open() {
  if (unanswered() == ring_.size()) Grow();
  const uint64_t slot = next_++;
  Slot& opened = At(slot);
  opened.kind = Slot::Kind::kOpen;
  opened.close = false;
  opened.version = state_.version;
  UpdatePause();
  return slot;
}

void ClientConnection::Grow() {
  std::vector<Slot> grown(std::max(kFirstSlots, 2 * ring_.size()));
  for (uint64_t slot = front_; slot != next_; ++slot) {
    grown[slot & (grown.size() - 1)] = std::move(At(slot));
  }
  ring_ = std::move(grown);
}

ClientConnection::Slot* ClientConnection::Unanswered(uint64_t slot) {
  if (closing_) return nullptr;
  RAFTKV_CHECK(slot >= front_ && slot < next_ && At(slot).kind == Slot::Kind::kOpen);
  return &At(slot);
}

template <typename Write>
void ClientConnection::Answer(uint64_t slot, const Write& write) {
  Slot* answered = Unanswered(slot);
  if (answered == nullptr) return;
  if (IsNext(slot)) {
    const size_t before = out_.size();
    wire::RespWriter writer(&out_, answered->version);
    write(&writer);
    CountOutput(before);
    Leave(*answered);
    Flush();
    return;
  }
  answered->kind = Slot::Kind::kText;
  wire::RespWriter writer(&answered->text, answered->version);
  write(&writer);
  Park(*answered, answered->text.size());
}

// A reply of the connection's own: often nothing is ahead of it, and it needs no slot.
void ClientConnection::AnswerText(std::string* reply, bool close) {
  last_ = last_ || close;
  if (unanswered() == 0 && HasRoom()) {
    const size_t before = out_.size();
    out_ += *reply;
    CountOutput(before);
    closing_ = closing_ || close;
    UpdatePause();
    return;
  }
  Slot& slot = At(Open());
  slot.kind = Slot::Kind::kText;
  slot.close = close;
  slot.text.swap(*reply);
  Park(slot, slot.text.size());
}

void ClientConnection::Park(Slot& slot, uint64_t owed) {
  slot.owed = owed;
  parked_ += owed;
  if (parked_ + unwritten_ > kOwedFactor * limits_.max_output_bytes) return Drop();
}

void ClientConnection::Leave(Slot& slot) {
  slot.kind = Slot::Kind::kOpen;
  ++front_;
  if (slot.close) closing_ = true;
}

// Writes what waited for the slot that has just left, or for room.
void ClientConnection::Flush() {
  while (front_ != next_ && !closing_ && HasRoom()) {
    Slot& slot = At(front_);
    if (slot.kind == Slot::Kind::kOpen) break;
    const size_t before = out_.size();
    if (slot.kind == Slot::Kind::kText) {
      out_ += slot.text;
      slot.text.clear();
      if (slot.text.capacity() > kKeptText) slot.text.shrink_to_fit();
    } else {
      wire::RespWriter writer(&out_, slot.version);
      WriteResult(slot.shape, slot.result, &writer);
      slot.result.ops.clear();  // what it shared with the store
    }
    parked_ -= slot.owed;
    CountOutput(before);
    Leave(slot);
  }
  if (front_ == next_ && ring_.size() > kKeptSlots) ring_ = {};
  UpdatePause();
}

void ClientConnection::CountOutput(size_t before) { unwritten_ += out_.size() - before; }

void ClientConnection::UpdatePause() {
  if (unanswered() >= limits_.max_pipeline || !HasRoom()) {
    paused_ = true;
  } else if (unanswered() <= limits_.max_pipeline / 2) {
    paused_ = false;
  }
}

// The client does not read: nothing that it has not been sent is of use to it.
void ClientConnection::Drop() {
  unwritten_ -= out_.size();
  out_ = {};
  ring_ = {};
  front_ = next_;
  parked_ = 0;
  last_ = closing_ = true;
}

}  // namespace raftkv::replica
