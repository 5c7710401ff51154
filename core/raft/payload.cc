#include "core/raft/payload.h"

#include <cstring>
#include <new>

namespace raftkv::raft {

Payload Payload::Copy(absl::string_view bytes) {
  Payload payload;
  if (bytes.empty()) return payload;
  void* memory = ::operator new (sizeof(Block) + bytes.size(), std::align_val_t{alignof(Block)});
  payload.block_ = new (memory) Block{bytes.size(), 1};
  std::memcpy(payload.block_ + 1, bytes.data(), bytes.size());
  return payload;
}

void Payload::Release() {
  if (block_ == nullptr || --block_->references > 0) return;
  ::operator delete (block_, std::align_val_t{alignof(Block)});
}

}  // namespace raftkv::raft
