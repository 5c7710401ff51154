#include "core/raft/payload.h"

#include <cstring>
#include <new>

#include "core/raft/block_pool.h"

namespace raftkv::raft {

Payload Payload::Copy(absl::string_view bytes) {
  Payload payload;
  if (bytes.empty()) return payload;
  void* memory = BlockPool::Take(sizeof(Block) + bytes.size());
  payload.block_ = new (memory) Block{bytes.size(), 1};
  std::memcpy(payload.block_ + 1, bytes.data(), bytes.size());
  return payload;
}

void Payload::Release() {
  if (block_ == nullptr || --block_->references > 0) return;
  BlockPool::Return(block_, sizeof(Block) + block_->size);
}

}  // namespace raftkv::raft
