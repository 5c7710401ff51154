// Received bytes that are not parsed yet: the common ground of the incremental readers (frames,
// RESP requests, RESP replies).
//
// Memory follows what really arrived, never what a length field claims: the block grows by doubling
// as bytes are appended and is given back when it is empty again, so an idle connection costs
// nothing. The first unread byte starts 16-byte aligned and stays aligned to whatever power of two
// (up to 16) divides every Consume.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>

#include "absl/strings/string_view.h"

namespace raftkv::wire {

class InputBuffer {
 public:
  // `limit`: bytes of the longest message; doubling stops there.
  explicit InputBuffer(size_t limit) : limit_(limit) {}

  // Moves unread bytes: every view handed out before is invalid afterwards.
  void Append(absl::string_view bytes) {
    if (bytes.empty()) return;
    if (begin_ == end_) begin_ = end_ = 0;
    if (capacity_ - end_ < bytes.size()) MakeRoom(bytes.size());
    std::memcpy(block_.get() + end_, bytes.data(), bytes.size());
    end_ += bytes.size();
  }

  absl::string_view unread() const { return {block_.get() + begin_, end_ - begin_}; }
  char* data() { return block_.get() + begin_; }
  size_t size() const { return end_ - begin_; }
  size_t capacity() const { return capacity_; }

  void Consume(size_t bytes) { begin_ += bytes; }

  // A block that a large message needed is not kept for the life of the connection. Views handed
  // out before are invalid afterwards.
  void ReleaseIfEmpty() {
    if (begin_ != end_ || capacity_ <= kKeep) return;
    block_.reset();
    begin_ = end_ = capacity_ = 0;
  }

 private:
  static constexpr size_t kKeep = 16 * 1024;

  void MakeRoom(size_t bytes) {
    const size_t unread_size = size();
    if (capacity_ - unread_size >= bytes && begin_ >= capacity_ / 2) {
      std::memmove(block_.get(), block_.get() + begin_, unread_size);
    } else {
      const size_t grown =
          std::max({unread_size + bytes, std::min(2 * unread_size, limit_), size_t{512}});
      std::unique_ptr<char[]> block(new char[grown]);  // operator new aligns this to 16 bytes
      if (unread_size > 0) std::memcpy(block.get(), block_.get() + begin_, unread_size);
      block_ = std::move(block);
      capacity_ = grown;
    }
    begin_ = 0;
    end_ = unread_size;
  }

  size_t limit_;
  std::unique_ptr<char[]> block_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace raftkv::wire
