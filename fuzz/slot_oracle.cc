#include "fuzz/slot_oracle.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "core/raft/random.h"
#include "fuzz/allocations.h"
#include "fuzz/seals.h"
#include "storage/storage.h"

namespace raftkv::storage {
namespace {

constexpr uint64_t kMode = 3;

std::string Padded(std::string bytes, size_t size) {
  bytes.resize(size, '\0');
  return bytes;
}

// Two slots of the fuzzer's bytes; the second may end early, or not be there.
std::string AnyFile(FuzzInput& input) {
  const size_t first = input.U16();
  std::string bytes(input.Bytes(std::min<size_t>(first, kSlotBytes)));
  const absl::string_view second = input.Rest();
  if (second.empty()) return bytes;
  return Padded(std::move(bytes), kSlotBytes) + std::string(second.substr(0, kSlotBytes));
}

// Two records of following generations, in each of the states that the table of slots.h has.
std::string WrittenFile(const RecordKind& kind, FuzzInput& input, Slot* first, Slot* second) {
  const uint64_t generation = 1 + input.U8();
  const uint8_t state = input.U8();
  const Slot older{generation, kind.make(input)};
  const Slot newer{generation + 1, kind.make(input)};
  *first = state % 4 < 2 ? newer : older;
  *second = state % 2 == 0 ? newer : older;
  return Padded(EncodeSlot(kind.file, 0, *first), kSlotBytes) +
         Padded(EncodeSlot(kind.file, kSlotBytes, *second), kSlotBytes);
}

// Decodes the slot at `offset` and compares with its encoding.
std::optional<Slot> FindSlot(const RecordKind& kind, uint64_t offset, absl::string_view bytes,
                             bool* newer_version) {
  bytes = bytes.substr(std::min<size_t>(offset, bytes.size()), kSlotBytes);
  const AllocationWatch watch;
  absl::StatusOr<Slot> slot = DecodeSlot(kind.file, offset, bytes);
  RAFTKV_CHECK(watch.largest() <= bytes.size() + 512);
  if (!slot.ok()) {
    RAFTKV_CHECK(!slot.status().message().empty());
    RAFTKV_CHECK(absl::IsDataLoss(slot.status()) || absl::IsUnimplemented(slot.status()));
    *newer_version |= absl::IsUnimplemented(slot.status());
    return std::nullopt;
  }
  const std::string again = EncodeSlot(kind.file, offset, *slot);
  const size_t length = kSlotOverhead + slot->payload.size();
  RAFTKV_CHECK(again.substr(0, length) == bytes.substr(0, length));
  const std::optional<std::string> payload = kind.encode_again(slot->payload);
  RAFTKV_CHECK(!payload || *payload == slot->payload);
  return *std::move(slot);
}

// The model of the table in slots.h.
const Slot* WhatCounts(const FoundSlots& found) {
  const std::optional<Slot>& first = found.slots[0];
  const std::optional<Slot>& second = found.slots[1];
  if (!first || !second) return first ? &*first : second ? &*second : nullptr;
  if (first->generation == second->generation) return *first == *second ? &*first : nullptr;
  return first->generation > second->generation ? &*first : &*second;
}

void CheckEvents(const RecordKind& kind, const FoundSlots& found,
                 const std::vector<RecoveryEvent>& events) {
  const bool equal = found.slots[0] && found.slots[1] && *found.slots[0] == *found.slots[1];
  RAFTKV_CHECK(events.size() == (equal ? 0u : 1u));
  for (const RecoveryEvent& event : events) {
    RAFTKV_CHECK(event.kind == RecoveryEvent::Kind::kSlotRepaired && event.file == kind.file.name);
    RAFTKV_CHECK(event.bytes == kSlotBytes && !event.text.empty());
    const std::optional<Slot>& named = found.slots[event.offset / kSlotBytes];
    RAFTKV_CHECK(event.offset % kSlotBytes == 0 && (!named || *named != *WhatCounts(found)));
  }
}

Slot ReadBack(sim::SimDisk& disk, const RecordKind& kind) {
  absl::StatusOr<SlotsRead> read = ReadSlots(disk, kind.file);
  RAFTKV_CHECK(read.ok());
  return std::move(read->slot);
}

// Opens with power for so many operations, and loses what a power loss can lose: never the only
// slot there is, and never one whose change was acknowledged. A newer slot 0 beside an intact slot
// 1 was not, and either will do.
void CheckCutOpen(const RecordKind& kind, const FoundSlots& found, const sim::SimDisk& disk,
                  const Slot& counts, FuzzInput& input) {
  std::unique_ptr<sim::SimDisk> cut = disk.Clone();
  cut->SetOperationBudget(input.U8() % 8);
  std::vector<RecoveryEvent> events;
  (void)SlotPair::Open(*cut, kind.file, &events).ok();
  Random chance(input.U8());
  cut->Crash(chance);
  const Slot kept = ReadBack(*cut, kind);
  const bool either = found.slots[0] && found.slots[1] && *found.slots[0] == counts;
  RAFTKV_CHECK(kept == counts || (either && kept == *found.slots[1]));
}

}  // namespace

FoundSlots FindSlots(const RecordKind& kind, FuzzInput& input) {
  const uint64_t mode = input.U8() % kMode;
  FoundSlots found;
  Slot written[2];
  std::string before;
  if (mode == 2) {
    before = WrittenFile(kind, input, &written[0], &written[1]);
    found.bytes = before;
    while (Edit(input, &found.bytes)) {
    }
  } else {
    found.bytes = AnyFile(input);
    if (mode == 1) SealSlots(kind.file, &found.bytes);
  }
  for (const uint64_t number : {uint64_t{0}, uint64_t{1}}) {
    const uint64_t offset = number * kSlotBytes;
    found.slots[number] = FindSlot(kind, offset, found.bytes, &found.newer_version);
    if (mode != 2) continue;
    const size_t length = kSlotOverhead + written[number].payload.size();
    const bool touched = found.bytes.size() < offset + length ||
                         found.bytes.compare(offset, length, before, offset, length) != 0;
    RAFTKV_CHECK(found.slots[number].has_value() == !touched);
    RAFTKV_CHECK(!found.slots[number] || *found.slots[number] == written[number]);
    RAFTKV_CHECK(!found.slots[number] || kind.encode_again(found.slots[number]->payload));
  }
  return found;
}

void PutFile(sim::SimDisk& disk, absl::string_view name, absl::string_view bytes) {
  absl::StatusOr<std::unique_ptr<File>> file = disk.Create(name);
  RAFTKV_CHECK(file.ok() && (*file)->Write(0, bytes).ok() && (*file)->Sync().ok());
  RAFTKV_CHECK(disk.SyncDir().ok());
}

void CheckTwoCopies(const RecordKind& kind, const FoundSlots& found, FuzzInput& input) {
  sim::SimDisk disk{sim::SimDisk::Options{}};
  PutFile(disk, kind.file.name, found.bytes);
  const Slot* counts = found.newer_version ? nullptr : WhatCounts(found);
  if (counts != nullptr && counts->generation > kMaxGeneration / 2) counts = nullptr;

  absl::StatusOr<SlotsRead> read = ReadSlots(disk, kind.file);
  RAFTKV_CHECK(read.ok() == (counts != nullptr));
  std::vector<RecoveryEvent> events;
  if (counts == nullptr) {
    RAFTKV_CHECK(absl::IsUnimplemented(read.status()) == found.newer_version);
    RAFTKV_CHECK(found.newer_version || absl::IsDataLoss(read.status()));
    RAFTKV_CHECK(absl::StrContains(read.status().message(),
                                   absl::StrCat(disk.Describe(), "/", kind.file.name, ": ")));
    const uint64_t content = disk.ContentHash();
    RAFTKV_CHECK(SlotPair::Open(disk, kind.file, &events).status() == read.status());
    RAFTKV_CHECK(events.empty() && disk.ContentHash() == content);
    return;
  }
  RAFTKV_CHECK(read->slot == *counts);
  RAFTKV_CHECK(read->bad[0] == !found.slots[0] && read->bad[1] == !found.slots[1]);
  CheckCutOpen(kind, found, disk, *counts, input);

  absl::StatusOr<SlotPair> pair = SlotPair::Open(disk, kind.file, &events);
  RAFTKV_CHECK(pair.ok() && pair->payload() == counts->payload);
  CheckEvents(kind, found, events);
  std::unique_ptr<sim::SimDisk> durable = disk.DurableImage();
  read = ReadSlots(*durable, kind.file);
  RAFTKV_CHECK(read.ok() && read->equal && read->slot == *counts);
  events.clear();
  RAFTKV_CHECK(SlotPair::Open(disk, kind.file, &events).ok() && events.empty());

  const std::string next = kind.make(input);
  disk.SetOperationBudget(input.U8() % 6);
  const bool written = pair->Write(next).ok();
  Random chance(input.U8());
  disk.Crash(chance);
  const std::string kept = ReadBack(disk, kind).payload;
  RAFTKV_CHECK(kept == next || (!written && kept == counts->payload));
}

}  // namespace raftkv::storage
