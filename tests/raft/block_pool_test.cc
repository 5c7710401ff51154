#include "core/raft/block_pool.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/raft/test_nodes.h"

namespace {
// Of this thread; the replaced operators below count.
thread_local uint64_t allocations = 0;
}  // namespace

void* operator new(size_t bytes) {
  ++allocations;
  void* block = std::malloc(bytes == 0 ? 1 : bytes);
  if (block == nullptr) std::abort();
  return block;
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }

namespace raftkv::raft {
namespace {

// False in builds with sanitizers, where nothing is kept.
bool Keeps() {
  BlockPool::Return(BlockPool::Take(100), 100);
  return BlockPool::KeptBytes() > 0;
}

TEST(BlockPoolTest, EverySizeIsAlignedAndItsOwn) {
  std::vector<std::pair<char*, size_t>> blocks;
  for (size_t bytes = 0; bytes < 3'000; ++bytes) blocks.push_back({nullptr, bytes});
  for (const size_t near : {size_t{4'096}, BlockPool::kMaxPooledBytes}) {
    for (size_t bytes = near - 2; bytes <= near + 2; ++bytes) blocks.push_back({nullptr, bytes});
  }
  for (int round = 0; round < 2; ++round) {  // the second time from what was kept
    for (auto& [block, bytes] : blocks) {
      block = static_cast<char*>(BlockPool::Take(bytes));
      ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % 16, 0u) << bytes;
      std::memset(block, static_cast<int>(bytes % 251), bytes);
    }
    for (const auto& [block, bytes] : blocks) {
      for (size_t i = 0; i < bytes; i += 13) {
        ASSERT_EQ(static_cast<unsigned char>(block[i]), bytes % 251) << bytes;
      }
    }
    for (const auto& [block, bytes] : blocks) BlockPool::Return(block, bytes);
  }
}

TEST(BlockPoolTest, WhatIsKeptIsBounded) {
  const size_t before = BlockPool::KeptBytes();
  std::vector<void*> blocks;
  for (int i = 0; i < 1'000; ++i) blocks.push_back(BlockPool::Take(60'000));
  for (void* block : blocks) BlockPool::Return(block, 60'000);
  const size_t kept = BlockPool::KeptBytes() - before;
  EXPECT_LE(kept, BlockPool::kMaxKeptBytes);
  if (Keeps()) {
    EXPECT_GT(kept, BlockPool::kMaxKeptBytes / 2);
  }
}

TEST(BlockPoolTest, BlocksMayChangeTheirThread) {
  void* here = BlockPool::Take(200);
  void* there = nullptr;
  std::thread([&] {
    EXPECT_EQ(BlockPool::KeptBytes(), 0u);
    there = BlockPool::Take(300);
    BlockPool::Return(here, 200);
  }).join();
  BlockPool::Return(there, 300);
}

// What core/raft promises for its hot path, here for three nodes whose messages are handed over;
// bench/raft_bench does it for millions.
TEST(BlockPoolTest, ProposalsAllocateNothing) {
  if (!Keeps()) GTEST_SKIP() << "a promise of builds without sanitizers";
  std::vector<Raft> nodes;
  SnapshotMeta founding{1, 1, {{1, 2, 3}, {}, {}, {}, false}};
  for (NodeId id = 1; id <= 3; ++id) {
    Options options;
    options.id = id;
    Recovered recovered;
    recovered.snapshot = founding;
    nodes.push_back(*Raft::Create(options, std::move(recovered), id));
  }
  const auto drain = [&] {
    const auto deliver = [&](Messages& messages) {
      for (Message& message : messages) nodes[message.to - 1].Step(std::move(message));
    };
    for (bool busy = true; busy;) {
      busy = false;
      for (Raft& node : nodes) {
        if (!node.HasReady()) continue;
        busy = true;
        Ready ready = node.TakeReady();
        deliver(ready.send_now);
        if (ready.persist) node.Persisted(ready.persist->ticket);
        deliver(ready.send_after_persist);
        if (ready.committed.empty()) continue;
        node.Applied(ready.committed.back().index);
        if (node.applied() < node.log().base() + 500) continue;
        founding.index = node.applied();
        founding.term = node.term();
        node.SnapshotAvailable(founding);
        node.Compact(node.applied());
      }
    }
  };
  ASSERT_EQ(nodes[0].Campaign(), Outcome::kOk);
  drain();
  const std::string command(116, 'c');
  uint64_t after_warm_up = 0;
  for (int round = 0; round < 3'000; ++round) {
    if (round == 1'000) after_warm_up = allocations;
    for (int i = 0; i <= round % 7; ++i) {
      ASSERT_EQ(nodes[0].Propose(Payload::Copy(command)).outcome, Outcome::kOk);
    }
    if (round % 10 == 0) {
      for (Raft& node : nodes) node.Tick();
      ASSERT_EQ(nodes[0].RequestRead(static_cast<uint64_t>(round) + 1), Outcome::kOk);
    }
    drain();
  }
  EXPECT_GT(nodes[2].applied(), 10'000u);
  EXPECT_EQ(allocations, after_warm_up);
}

}  // namespace
}  // namespace raftkv::raft
