// The marks of what is known to be durable: docs/formats/log.md. Losing one is no error; what they
// must never do is say more than was written.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "core/raft/random.h"
#include "core/raft/types.h"
#include "fuzz/slot_oracle.h"
#include "storage/checksum.h"
#include "storage/encoding.h"
#include "storage/log.h"

namespace raftkv::storage {
namespace {

constexpr ClusterId kCluster{0x0123456789abcdef, 0xfedcba9876543210};

std::string Encode(const Mark& mark) {
  std::string payload;
  for (const uint64_t value :
       {mark.sequence, mark.last_index, mark.last_term, mark.segment, mark.end}) {
    PutU64(payload, value);
  }
  return payload;
}

Mark MakeMark(FuzzInput& input) {
  return {1 + uint64_t{input.U16()}, input.U16(), 1 + uint64_t{input.U8()},
          1 + uint64_t{input.U8()}, input.U16()};
}

// The layout as the page says it: marks have no decoder that others may call.
std::optional<std::string> EncodeAgain(absl::string_view payload) {
  if (payload.size() != 40) return std::nullopt;
  Reader reader(payload);
  for (int i = 0; i < 5; ++i) {
    if (reader.U64() > raft::kMaxTermOrIndex) return std::nullopt;
  }
  return std::string(payload);
}

void CheckMarks(const FoundSlots& found, FuzzInput& input) {
  sim::SimDisk disk{sim::SimDisk::Options{}};
  PutFile(disk, "marks", found.bytes);
  const Slot* newest = nullptr;
  for (const std::optional<Slot>& slot : found.slots) {
    if (!slot || !EncodeAgain(slot->payload) || slot->generation > kMaxGeneration / 2) continue;
    if (newest == nullptr || slot->generation > newest->generation) newest = &*slot;
  }
  absl::StatusOr<Marks::Found> read = Marks::Read(disk, kCluster);
  if (found.newer_version) {
    RAFTKV_CHECK(absl::IsUnimplemented(read.status()));
    RAFTKV_CHECK(
        absl::StartsWith(read.status().message(), absl::StrCat(disk.Describe(), "/marks: ")));
    return;
  }
  RAFTKV_CHECK(read.ok() && read->generation == (newest == nullptr ? 0 : newest->generation));
  if (newest != nullptr) RAFTKV_CHECK(Encode(read->newest) == newest->payload);
  RAFTKV_CHECK(newest != nullptr || Encode(read->newest) == Encode(Mark{}));

  std::vector<RecoveryEvent> events;
  absl::StatusOr<Marks> marks = Marks::Open(disk, kCluster, &events);
  RAFTKV_CHECK(marks.ok() && Encode(marks->newest()) == Encode(read->newest));
  RAFTKV_CHECK(events.size() == (newest == nullptr ? 1u : 0u));
  for (const RecoveryEvent& event : events) {
    RAFTKV_CHECK(event.kind == RecoveryEvent::Kind::kMarksLost && event.file == "marks");
  }
  // Each one that is written is read again; when the power fails, one of the last two is.
  RAFTKV_CHECK(disk.SyncDir().ok());
  Mark before = read->newest;
  for (int i = 0; i < 3; ++i) {
    const Mark next = MakeMark(input);
    RAFTKV_CHECK(marks->Write(next).ok());
    read = Marks::Read(disk, kCluster);
    RAFTKV_CHECK(read.ok() && Encode(read->newest) == Encode(next));
    // The system writes the file back when it likes: here, before the last one.
    if (i == 1) RAFTKV_CHECK((*disk.Open("marks", Disk::Mode::kReadWrite))->Sync().ok());
    if (i < 2) before = next;
  }
  const std::string last = Encode(read->newest);
  Random chance(input.U8());
  disk.Crash(chance);
  read = Marks::Read(disk, kCluster);
  RAFTKV_CHECK(read.ok());
  RAFTKV_CHECK(Encode(read->newest) == last || Encode(read->newest) == Encode(before));
}

}  // namespace
}  // namespace raftkv::storage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace raftkv::storage;
  raftkv::FuzzInput input(data, size);
  const SlotFile file{"marks", absl::string_view("RKVMARK\n", 8),
                      FileSeed(kCluster, FileKind::kMarks, 0)};
  const RecordKind kind{file, [](raftkv::FuzzInput& in) { return Encode(MakeMark(in)); },
                        EncodeAgain};
  const FoundSlots found = FindSlots(kind, input);
  CheckMarks(found, input);
  return 0;
}
