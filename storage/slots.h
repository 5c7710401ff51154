// A small record kept twice: identity, vote, manifest; and the durable marks, which use the same
// slots in their own way.
//
// The file has two slots, 4 KiB apart so that no device block holds both. A change writes slot 0,
// syncs, writes slot 1, syncs, and only then is acknowledged. Hence at any moment at least one slot
// holds the last acknowledged record or a newer one:
//
//   slot 0 | slot 1 | what happened                                    | what counts
//   g      | g      | nothing                                          | g
//   g + 1  | g      | crash between the syncs, g + 1 never acknowledged | g + 1, either would do
//   bad    | g      | torn while g + 1 was written, or rot after g     | g
//   g      | bad    | torn while g was written (slot 0 was synced      | g
//          |        | before, so it is durable), or rot after g        |
//   bad    | bad    | two faults                                       | nothing: refuse to start
//
// One fault never costs an acknowledged record, at the price of a second sync per change. Term and
// vote change rarely.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/disk.h"

namespace raftkv::storage {

struct RecoveryEvent;

inline constexpr uint64_t kSlotBytes = 4096;
inline constexpr size_t kSlotOverhead = 40;  // header and checksum
inline constexpr size_t kMaxSlotPayload = kSlotBytes - kSlotOverhead;
// Nobody writes one as often. A file that is half as far is not gone on with, so the next
// generation always is a larger number that is believed.
inline constexpr uint64_t kMaxGeneration = uint64_t{1} << 62;

// What a slot file is: its name, its magic (8 bytes) and the seed of its checksums.
struct SlotFile {
  std::string name;
  absl::string_view magic;
  uint64_t seed;
};

struct Slot {
  uint64_t generation = 0;
  std::string payload;

  friend bool operator==(const Slot&, const Slot&) = default;
};

// The bytes of one slot, a multiple of 512 long.
std::string EncodeSlot(const SlotFile& file, uint64_t offset, const Slot& slot);
// `bytes` are the kSlotBytes at `offset`, or what there is of them. Unimplemented: intact, but of a
// newer version. DataLoss: not a slot.
absl::StatusOr<Slot> DecodeSlot(const SlotFile& file, uint64_t offset, absl::string_view bytes);

// Writes a new file with both slots, synced, under its final name; the directory is not synced.
// Replaces a file of that name.
absl::Status CreateSlotFile(Disk& disk, const SlotFile& file, absl::string_view payload);

// What the two slots say, without writing. The second value: both were intact and equal.
struct SlotsRead {
  Slot slot;
  bool bad[2] = {false, false};
  bool equal = false;
  uint64_t from = 0;  // number of the slot that counts; 0 when they are equal
};
absl::StatusOr<SlotsRead> ReadSlots(Disk& disk, const SlotFile& file);

class SlotPair {
 public:
  // Reads, and writes again every slot that cannot be vouched for: a bad or old one, and always
  // slot 1, which reads may show although its last sync failed.
  static absl::StatusOr<SlotPair> Open(Disk& disk, const SlotFile& file,
                                       std::vector<RecoveryEvent>* events);

  const std::string& payload() const { return current_.payload; }
  // Durable in both slots on return. After an error the file holds the old or the new record and
  // this object must not be used again.
  absl::Status Write(absl::string_view payload);

  // Reads both copies from the device. One that is not what was written is written again, from
  // memory: the other copy, or the memory alone, holds all of it meanwhile.
  struct BadCopy {
    uint64_t number = 0;
    absl::Status written;  // DataLoss: the device takes it no more, and it stays bad
  };
  // An error is a failed sync.
  absl::StatusOr<std::vector<BadCopy>> Scrub();
  const std::string& name() const { return file_.name; }

 private:
  SlotPair(SlotFile file, std::unique_ptr<File> handle, Slot current);
  absl::Status WriteSlot(uint64_t number);

  SlotFile file_;
  std::unique_ptr<File> handle_;
  Slot current_;
};

}  // namespace raftkv::storage
