// The bytes of a store, as they come from a snapshot's file or from a peer: docs/formats/store.md.
//
//   mode 0  the fuzzer's bytes
//   mode 1  the same with the digest that their content has
//   mode 2  what a store of the fuzzer's commands writes, with damage
//
// What is accepted is written again as the same bytes, however they were cut into pieces, and is a
// store that works.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "core/kv/snapshot.h"
#include "core/kv/store.h"
#include "core/raft/check.h"
#include "fuzz/allocations.h"
#include "fuzz/fuzz_input.h"

namespace raftkv::kv {
namespace {

constexpr size_t kEndBytes = 9;

// Few, so that limits are met.
StoreOptions SmallStore() {
  StoreOptions options;
  options.sessions.max_sessions = 3;
  options.sessions.results_kept = 2;
  options.sessions.kept_result_bytes = 64;
  options.sessions.idle_ms = 50;
  return options;
}

// The log goes on behind everything that the store has seen.
raft::Index NextIndex(const Store& store) {
  const StoreView view = store.View();
  raft::Index last = 0;
  for (const TreeView& tree : {view.data, view.sessions}) {
    for (TreeCursor at = tree.Seek(""); at.valid(); at.Next()) {
      last = std::max(last, at.entry().version);
    }
  }
  RAFTKV_CHECK(last <= raft::kMaxTermOrIndex);
  return last + 1;
}

// Commands of the fuzzer's choice; nothing that a store was read from may make it break.
void Use(Store* store, FuzzInput& input) {
  raft::Index index = NextIndex(*store);
  uint64_t time = 0;
  for (int i = 0; i < 24 && !input.empty(); ++i) {
    const uint8_t what = input.U8();
    Command command;
    time += what / 64;
    command.time_ms = time;
    const std::string key(1 + what / 8 % 2, static_cast<char>('a' + what / 16 % 4));
    Op op;
    op.key = key;
    const absl::string_view value = input.Bytes(what % 8 == 1 ? what / 8 : 0);
    op.value = value;
    constexpr OpKind kKinds[] = {OpKind::kOpenSession, OpKind::kSet,    OpKind::kDelete,
                                 OpKind::kIncrBy,      OpKind::kAppend, OpKind::kGet,
                                 OpKind::kPrefix,      OpKind::kSet};
    op.kind = kKinds[what % 8];
    if (what % 8 >= 3) {
      // In a session: one that a snapshot may have, and a sequence that it may remember.
      command.session = input.U8() % 8;
      command.sequence = command.session == 0 ? 0 : 1 + input.U8() % 6;
    }
    command.ops = {op};
    if (index > raft::kMaxTermOrIndex) return;
    store->Apply(index, command);
    ++index;
  }
}

uint64_t Number(absl::string_view bytes, bool big_endian) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) {
    value = value << 8 | static_cast<uint8_t>(bytes[big_endian ? i : 7 - i]);
  }
  return value;
}

// The rules of docs/formats/store.md about sessions, on their own account.
void CheckSessions(const Store& store) {
  const StoreView view = store.View();
  uint64_t id = 0;
  uint64_t highest = 0;
  uint64_t floor = 0;
  Version last_use = 0;
  std::set<Version> last_uses;
  for (TreeCursor at = view.sessions.Seek(""); at.valid(); at.Next()) {
    const TreeEntry entry = at.entry();
    const absl::string_view value = entry.value->view();
    RAFTKV_CHECK(entry.key.size() == 8 || entry.key.size() == 16);
    if (entry.key.size() == 8) {
      RAFTKV_CHECK(value.size() == 24);
      id = Number(entry.key, true);
      highest = Number(value.substr(8), false);
      floor = Number(value.substr(16), false);
      last_use = entry.version;
      RAFTKV_CHECK(id != 0 && id <= last_use && last_uses.insert(last_use).second);
      RAFTKV_CHECK(floor <= highest && highest - floor <= SmallStore().sessions.results_kept);
      continue;
    }
    const uint64_t sequence = Number(entry.key.substr(8), true);
    const std::optional<Result> result = DecodeResult(value);
    RAFTKV_CHECK(id != 0 && Number(entry.key, true) == id && result.has_value());
    RAFTKV_CHECK(sequence > floor && sequence <= highest);
    RAFTKV_CHECK(result->index == entry.version && entry.version <= last_use);
    RAFTKV_CHECK(value.size() <= SmallStore().sessions.kept_result_bytes);
  }
  RAFTKV_CHECK(last_uses.size() == store.session_count());
  RAFTKV_CHECK(last_uses.size() <= SmallStore().sessions.max_sessions);
}

std::string BytesOf(const Store& store, size_t slice) {
  SnapshotWriter writer(store.View());
  std::string bytes;
  while (!writer.done()) writer.Next(slice, &bytes);
  return bytes;
}

absl::StatusOr<Store> Read(absl::string_view bytes, size_t piece) {
  SnapshotReader reader(SmallStore());
  for (size_t at = 0; at < bytes.size(); at += piece) {
    if (absl::Status status = reader.Add(bytes.substr(at, piece)); !status.ok()) {
      RAFTKV_CHECK(reader.Add(bytes) == status && reader.Finish().status() == status);
      return status;
    }
  }
  return reader.Finish();
}

// Puts down the digest that the content has; the reader says which that is.
void Seal(std::string* bytes) {
  if (bytes->size() < kEndBytes) return;
  const absl::Status status = Read(*bytes, bytes->size()).status();
  constexpr absl::string_view kHas = "its content has ";
  const size_t at = status.message().find(kHas);
  if (!absl::IsDataLoss(status) || at == absl::string_view::npos) return;
  uint64_t digest = 0;
  RAFTKV_CHECK(absl::SimpleHexAtoi(status.message().substr(at + kHas.size(), 16), &digest));
  for (size_t i = 0; i < 8; ++i) {
    (*bytes)[bytes->size() - 8 + i] = static_cast<char>(digest >> (8 * i));
  }
}

}  // namespace
}  // namespace raftkv::kv

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace raftkv::kv;
  raftkv::FuzzInput input(data, size);
  const uint8_t mode = input.U8() % 3;
  const size_t piece = 1 + input.U8();
  const std::string later(input.Bytes(16));
  std::string written;
  std::string bytes;
  if (mode == 2) {
    Store store(SmallStore());
    raftkv::FuzzInput commands(data, 0);
    const size_t length = input.U8();
    const absl::string_view program = input.Bytes(length);
    commands = raftkv::FuzzInput(reinterpret_cast<const uint8_t*>(program.data()), program.size());
    Use(&store, commands);
    bytes = written = BytesOf(store, piece);
    while (raftkv::Edit(input, &bytes)) {
    }
  } else {
    bytes = std::string(input.Rest());
    if (mode == 1) Seal(&bytes);
  }
  const raftkv::AllocationWatch watch;
  absl::StatusOr<Store> store = Read(bytes, std::max<size_t>(1, bytes.size()));
  // A node of the tree has room for some entries from the start.
  RAFTKV_CHECK(watch.largest() <= 4 * bytes.size() + 4096);
  const absl::StatusOr<Store> in_pieces = Read(bytes, piece);
  RAFTKV_CHECK(in_pieces.status() == store.status());
  if (mode == 2) RAFTKV_CHECK(store.ok() == (bytes == written));
  if (!store.ok()) {
    RAFTKV_CHECK(absl::StartsWith(store.status().message(), "snapshot: "));
    return 0;
  }
  CheckSessions(*store);
  RAFTKV_CHECK(BytesOf(*store, piece) == bytes && in_pieces->Digest() == store->Digest());
  raftkv::FuzzInput commands(reinterpret_cast<const uint8_t*>(later.data()), later.size());
  Use(&*store, commands);
  const absl::StatusOr<Store> again = Read(BytesOf(*store, piece), piece);
  RAFTKV_CHECK(again.ok() && again->Digest() == store->Digest());
  return 0;
}
