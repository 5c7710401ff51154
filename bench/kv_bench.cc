// Micro-benchmarks of the store's tree at a million keys of 16 bytes with values of 100, and of
// whole commands on top of it.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <string>

#include "absl/strings/string_view.h"
#include "core/kv/snapshot.h"
#include "core/kv/store.h"
#include "core/kv/tree.h"
#include "core/raft/random.h"

namespace raftkv::kv {
namespace {

constexpr uint64_t kKeys = 1'000'000;
constexpr size_t kValueBytes = 100;

// "key:" and 12 digits: the long common prefix that clients really use.
struct KeyName {
  explicit KeyName(uint64_t number) {
    for (size_t i = 16; i > 4; --i, number /= 10)
      text[i - 1] = static_cast<char>('0' + number % 10);
  }
  absl::string_view view() const { return {text, 16}; }
  char text[16] = {'k', 'e', 'y', ':'};
};

Tree Load(bool shuffled) {
  Tree tree;
  const std::string value(kValueBytes, 'v');
  for (uint64_t i = 0; i < kKeys; ++i) {
    // 700,001 has no factor in common with the number of keys: every key once, scattered.
    const uint64_t number = shuffled ? i * 700'001 % kKeys : i;
    tree.Set(KeyName(number).view(), raft::Payload::Copy(value), i + 1);
  }
  return tree;
}

void BM_Load(benchmark::State& state) {
  for (auto _ : state) {
    const auto before = mallinfo2();
    Tree tree = Load(state.range(0) != 0);
    const auto after = mallinfo2();
    state.counters["bytes_per_key"] =
        static_cast<double>(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) /
        kKeys;
    state.counters["accounted"] = static_cast<double>(tree.view().bytes()) / kKeys;
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kKeys));
}
BENCHMARK(BM_Load)->ArgName("shuffled")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

void BM_Get(benchmark::State& state) {
  const Tree tree = Load(true);
  Random random(1);
  uint64_t found = 0;
  for (auto _ : state) {
    found += tree.view().Find(KeyName(random.Below(kKeys)).view())->value->size();
  }
  benchmark::DoNotOptimize(found);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Get);

void BM_Overwrite(benchmark::State& state) {
  Tree tree = Load(true);
  Random random(1);
  const std::string value(kValueBytes, 'w');
  uint64_t version = kKeys;
  for (auto _ : state) {
    tree.Set(KeyName(random.Below(kKeys)).view(), raft::Payload::Copy(value), ++version);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Overwrite);

// The dearest case: a view was just taken, so that nearly every write copies a path.
void BM_OverwriteUnderView(benchmark::State& state) {
  Tree tree = Load(true);
  Random random(1);
  const std::string value(kValueBytes, 'w');
  uint64_t version = kKeys;
  TreeView view;
  for (auto _ : state) {
    if (version++ % 20'000 == 0) view = tree.view();
    tree.Set(KeyName(random.Below(kKeys)).view(), raft::Payload::Copy(value), version);
    tree.ReleaseSome(16);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_OverwriteUnderView);

void BM_Scan(benchmark::State& state) {
  const Tree tree = Load(true);
  uint64_t bytes = 0;
  for (auto _ : state) {
    for (TreeCursor cursor = tree.view().Seek(""); cursor.valid(); cursor.Next()) {
      bytes += cursor.entry().key.size();
    }
  }
  benchmark::DoNotOptimize(bytes);
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kKeys));
}
BENCHMARK(BM_Scan)->Unit(benchmark::kMillisecond);

// SET through Apply, alone (0) or exactly-once in one of a thousand sessions (1).
void BM_Apply(benchmark::State& state) {
  Store store((StoreOptions()));
  constexpr uint64_t kSessions = 1000;
  raft::Index index = 0;
  Command open;
  open.ops.resize(1);
  open.ops[0].kind = OpKind::kOpenSession;
  for (uint64_t i = 0; i < kSessions; ++i) store.Apply(++index, open);
  Random random(1);
  const std::string value(kValueBytes, 'v');
  Command command;
  command.ops.resize(1);
  command.ops[0].kind = OpKind::kSet;
  command.ops[0].value = value;
  for (auto _ : state) {
    const KeyName key(random.Below(kKeys));
    command.ops[0].key = key.view();
    if (state.range(0) != 0) {
      command.session = index % kSessions + 1;
      command.sequence = index / kSessions;
    }
    benchmark::DoNotOptimize(store.Apply(++index, command).outcome);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Apply)->ArgName("session")->Arg(0)->Arg(1);

void BM_SnapshotRoundTrip(benchmark::State& state) {
  Store store((StoreOptions()));
  const std::string value(kValueBytes, 'v');
  Command command;
  command.ops.resize(1);
  command.ops[0].kind = OpKind::kSet;
  command.ops[0].value = value;
  for (uint64_t i = 0; i < kKeys; ++i) {
    const KeyName key(i);
    command.ops[0].key = key.view();
    store.Apply(i + 1, command);
  }
  int64_t bytes = 0;
  for (auto _ : state) {
    SnapshotWriter writer(store.View());
    SnapshotReader reader(store.options());
    while (!writer.done()) {
      std::string chunk;
      bytes += static_cast<int64_t>(writer.Next(256 << 10, &chunk));
      benchmark::DoNotOptimize(reader.Add(chunk).ok());
    }
    benchmark::DoNotOptimize(reader.Finish().ok());
  }
  state.SetBytesProcessed(bytes);
}
BENCHMARK(BM_SnapshotRoundTrip)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace raftkv::kv

BENCHMARK_MAIN();
