// Immutable bytes shared between the log, messages and the disk job, so that a command is stored
// once and never copied.
//
// The reference count is not atomic: a Payload is copied and destroyed on its owner's thread only.
// A disk thread may *read* the bytes of a job it was lent, and the owner keeps the job alive until
// the ticket is back (CORE contract, "Payload references").
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/string_view.h"

namespace raftkv::raft {

class Payload {
 public:
  Payload() = default;  // no bytes
  static Payload Copy(absl::string_view bytes);

  Payload(const Payload& other) : block_(other.block_) {
    if (block_ != nullptr) ++block_->references;
  }
  Payload(Payload&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Payload& operator=(Payload other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Payload() { Release(); }

  // Valid while any copy of this payload lives.
  absl::string_view view() const {
    return block_ == nullptr
               ? absl::string_view()
               : absl::string_view(reinterpret_cast<const char*>(block_ + 1), block_->size);
  }
  size_t size() const { return block_ == nullptr ? 0 : block_->size; }
  bool empty() const { return size() == 0; }

  friend bool operator==(const Payload& a, const Payload& b) {
    return a.block_ == b.block_ || a.view() == b.view();
  }

 private:
  // The bytes follow the block; 16 bytes keep them aligned for in-place readers of structured data.
  struct alignas(16) Block {
    size_t size;
    uint64_t references;
  };

  void Release();

  Block* block_ = nullptr;
};

}  // namespace raftkv::raft
