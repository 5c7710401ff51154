#include "storage/slots.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "storage/checksum.h"
#include "storage/encoding.h"
#include "storage/log_format.h"
#include "storage/storage.h"

namespace raftkv::storage {
namespace {

constexpr uint32_t kSlotVersion = 1;
constexpr size_t kHeaderBytes = 32;

absl::StatusOr<SlotsRead> ReadBoth(const Disk& disk, File& handle, const SlotFile& file) {
  SlotsRead read;
  std::optional<Slot> slots[2];
  for (uint64_t number : {uint64_t{0}, uint64_t{1}}) {
    const uint64_t offset = number * kSlotBytes;
    const absl::StatusOr<Bytes> bytes = handle.ReadBytes(offset, kSlotBytes);
    if (absl::IsAborted(bytes.status())) return bytes.status();
    // A block that the device cannot read is as bad as one with a wrong checksum; the other copy
    // decides.
    absl::StatusOr<Slot> slot =
        bytes.ok() ? DecodeSlot(file, offset, *bytes) : absl::StatusOr<Slot>(bytes.status());
    if (absl::IsUnimplemented(slot.status())) {
      return absl::UnimplementedError(
          absl::StrCat(disk.Describe(), "/", file.name, ": ", slot.status().message()));
    }
    read.bad[number] = !slot.ok();
    if (slot.ok()) slots[number] = *std::move(slot);
  }
  if (!slots[0] && !slots[1]) {
    return absl::DataLossError(absl::StrCat(disk.Describe(), "/", file.name,
                                            ": both copies of the record are unreadable"));
  }
  if (slots[0] && slots[1]) {
    read.equal = slots[0]->generation == slots[1]->generation;
    if (read.equal && slots[0]->payload != slots[1]->payload) {
      return absl::DataLossError(absl::StrCat(disk.Describe(), "/", file.name,
                                              ": the two copies of generation ",
                                              slots[0]->generation, " differ"));
    }
  }
  const bool second = !slots[0] || (slots[1] && slots[1]->generation > slots[0]->generation);
  read.from = second ? 1 : 0;
  read.slot = *std::move(slots[read.from]);
  if (read.slot.generation > kMaxGeneration / 2) {
    return absl::DataLossError(absl::StrCat(disk.Describe(), "/", file.name, ": generation ",
                                            read.slot.generation, ", which none gets to"));
  }
  return read;
}

}  // namespace

std::string EncodeSlot(const SlotFile& file, uint64_t offset, const Slot& slot) {
  RAFTKV_CHECK(file.magic.size() == 8 && slot.payload.size() <= kMaxSlotPayload);
  SmallRecord<kHeaderBytes> header;
  header.Bytes(file.magic).U32(kSlotVersion);
  header.U32(0);  // features
  header.U64(slot.generation).U32(static_cast<uint32_t>(slot.payload.size())).U32(0);
  const size_t size = RoundUp(kSlotOverhead + slot.payload.size(), kSectorBytes);
  std::string bytes;
  bytes.reserve(size);
  bytes.append(header.view().data(), kHeaderBytes);
  bytes.append(slot.payload);
  PutU64(bytes, Checksum(bytes, file.seed + offset));
  bytes.resize(size, '\0');
  return bytes;
}

absl::StatusOr<Slot> DecodeSlot(const SlotFile& file, uint64_t offset, absl::string_view bytes) {
  Reader header(bytes.substr(0, kHeaderBytes));
  const absl::string_view magic = header.Bytes(8);
  const uint32_t version = header.U32();
  const uint32_t features = header.U32();
  Slot slot;
  slot.generation = header.U64();
  const uint32_t length = header.U32();
  const uint32_t reserved = header.U32();
  if (!header.ok() || magic != file.magic) return absl::DataLossError("no record here");
  if (length > kMaxSlotPayload || bytes.size() < kSlotOverhead + length) {
    return absl::DataLossError("impossible length");
  }
  Reader sum(bytes.substr(kHeaderBytes + length, 8));
  if (sum.U64() != Checksum(bytes.substr(0, kHeaderBytes + length), file.seed + offset)) {
    return absl::DataLossError("checksum mismatch");
  }
  // Only now: version and features of an intact record are worth believing.
  if (version != kSlotVersion || features != 0) {
    return absl::UnimplementedError(absl::StrCat("format version ", version, " with features ",
                                                 features, " is newer than this program"));
  }
  if (reserved != 0 || slot.generation == 0 || slot.generation > kMaxGeneration) {
    return absl::DataLossError("impossible values");
  }
  slot.payload = std::string(bytes.substr(kHeaderBytes, length));
  return slot;
}

absl::Status CreateSlotFile(Disk& disk, const SlotFile& file, absl::string_view payload) {
  const std::string temporary = absl::StrCat(file.name, ".tmp");
  absl::Status status = disk.Remove(temporary);
  if (!status.ok() && !absl::IsNotFound(status)) return status;
  absl::StatusOr<std::unique_ptr<File>> handle = disk.Create(temporary);
  if (!handle.ok()) return handle.status();
  status = (*handle)->Allocate(2 * kSlotBytes);
  if (!status.ok()) return status;
  for (uint64_t offset : {uint64_t{0}, kSlotBytes}) {
    status = (*handle)->Write(offset, EncodeSlot(file, offset, {1, std::string(payload)}));
    if (!status.ok()) return status;
  }
  status = (*handle)->Sync();
  if (!status.ok()) return status;
  return disk.Rename(temporary, file.name);
}

absl::StatusOr<SlotsRead> ReadSlots(Disk& disk, const SlotFile& file) {
  absl::StatusOr<std::unique_ptr<File>> handle = disk.Open(file.name, Disk::Mode::kRead);
  if (!handle.ok()) return handle.status();
  return ReadBoth(disk, **handle, file);
}

SlotPair::SlotPair(SlotFile file, std::unique_ptr<File> handle, Slot current)
    : file_(std::move(file)), handle_(std::move(handle)), current_(std::move(current)) {}

absl::StatusOr<SlotPair> SlotPair::Open(Disk& disk, const SlotFile& file,
                                        std::vector<RecoveryEvent>* events) {
  absl::StatusOr<std::unique_ptr<File>> handle = disk.Open(file.name, Disk::Mode::kReadWrite);
  if (!handle.ok()) return handle.status();
  absl::StatusOr<SlotsRead> read = ReadBoth(disk, **handle, file);
  if (!read.ok()) return read.status();
  SlotPair pair(file, *std::move(handle), std::move(read->slot));
  if (!read->equal) {
    const uint64_t number = 1 - read->from;
    events->push_back(
        {RecoveryEvent::Kind::kSlotRepaired, file.name, number * kSlotBytes, kSlotBytes,
         absl::StrCat(read->bad[number] ? "unreadable" : "old",
                      " copy of the record written again, generation ", pair.current_.generation)});
  }
  // The order never overwrites the only slot that is certain: a bad slot 1 goes first, because slot
  // 0 was synced before it was begun; otherwise slot 0, whose newer generation may exist in the
  // cache only while slot 1 is durable.
  std::vector<uint64_t> order = {1};
  if (read->bad[1]) order = {1, 0};
  if (!read->equal && !read->bad[1]) order = {0, 1};
  for (uint64_t number : order) {
    absl::Status status = pair.WriteSlot(number);
    if (!status.ok()) return status;
  }
  return pair;
}

absl::Status SlotPair::Write(absl::string_view payload) {
  ++current_.generation;
  current_.payload = std::string(payload);
  absl::Status status = WriteSlot(0);
  if (!status.ok()) return status;
  return WriteSlot(1);
}

absl::StatusOr<std::vector<SlotPair::BadCopy>> SlotPair::Scrub() {
  std::vector<BadCopy> bad;
  handle_->Forget(0, 2 * kSlotBytes);
  for (const uint64_t number : {uint64_t{0}, uint64_t{1}}) {
    const uint64_t offset = number * kSlotBytes;
    const absl::StatusOr<Bytes> bytes = handle_->ReadBytes(offset, kSlotBytes);
    if (!bytes.ok() && !absl::IsDataLoss(bytes.status())) return bytes.status();
    const absl::StatusOr<Slot> slot =
        bytes.ok() ? DecodeSlot(file_, offset, *bytes) : absl::StatusOr<Slot>(bytes.status());
    if (slot.ok() && *slot == current_) continue;
    BadCopy copy{number, handle_->Write(offset, EncodeSlot(file_, offset, current_))};
    // A file that has been cut is made longer by it: the disk may be full.
    if (!copy.written.ok() && !absl::IsDataLoss(copy.written) &&
        !absl::IsResourceExhausted(copy.written)) {
      return copy.written;
    }
    if (absl::Status status = handle_->Sync(); !status.ok()) return status;
    bad.push_back(std::move(copy));
  }
  return bad;
}

absl::Status SlotPair::WriteSlot(uint64_t number) {
  const uint64_t offset = number * kSlotBytes;
  // All of it: what is in a sector that cannot be read is made good as a whole or not at all.
  std::string bytes = EncodeSlot(file_, offset, current_);
  bytes.resize(kSlotBytes, '\0');
  absl::Status status = handle_->Write(offset, bytes);
  if (!status.ok()) return status;
  return handle_->Sync();
}

}  // namespace raftkv::storage
