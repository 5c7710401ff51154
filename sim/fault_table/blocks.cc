#include "sim/fault_table/blocks.h"

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/log.h"
#include "storage/log_format.h"
#include "storage/records.h"
#include "storage/reserve.h"
#include "storage/slots.h"
#include "storage/snapshot_store.h"

namespace raftkv::sim {
namespace {

constexpr std::array kBlocks = {
    Block::kIdentity0,  Block::kIdentity1,      Block::kVote0,         Block::kVote1,
    Block::kManifest0,  Block::kManifest1,      Block::kMarks0,        Block::kMarks1,
    Block::kHeader0,    Block::kHeader1,        Block::kOldHeader0,    Block::kOldHeader1,
    Block::kFirstBatch, Block::kMiddleBatch,    Block::kLastBatch,     Block::kFoot,
    Block::kOldBatch,   Block::kSnapshotHeader, Block::kSnapshotChunk, Block::kSnapshotTrailer,
    Block::kReserve,
};
constexpr std::array<absl::string_view, kBlocks.size()> kNames = {
    "identity, copy 1",
    "identity, copy 2",
    "vote, copy 1",
    "vote, copy 2",
    "manifest, copy 1",
    "manifest, copy 2",
    "marks, slot 1",
    "marks, slot 2",
    "segment header, copy 1",
    "segment header, copy 2",
    "older header, copy 1",
    "older header, copy 2",
    "first batch",
    "middle batch",
    "last batch",
    "foot",
    "batch of older segment",
    "snapshot header",
    "snapshot chunk",
    "snapshot trailer",
    "reserve",
};

constexpr uint64_t kChunkHeaderBytes = 32;
constexpr uint64_t kTrailerBytes = 48;

DiskPlace SlotOf(absl::string_view file, uint64_t number) {
  return {std::string(file), number * storage::kSlotBytes, storage::kSlotBytes};
}

// The newest segment of the log, or the one before it.
std::optional<storage::LoadedSegment> Segment(SimDisk& disk, bool newest) {
  std::vector<uint64_t> ids;
  const std::vector<std::string> names = *disk.List();
  for (const std::string& name : names) {
    const std::optional<uint64_t> id = storage::ParseSegmentName(name);
    if (id && storage::SegmentName(*id) == name) ids.push_back(*id);
  }
  if (ids.size() < 2) return std::nullopt;
  auto loaded = storage::LoadSegment(disk, ids[ids.size() - (newest ? 1 : 2)]);
  if (!loaded.ok()) return std::nullopt;
  return *std::move(loaded);
}

std::optional<DiskPlace> Header(SimDisk& disk, bool newest, uint64_t copy) {
  const auto segment = Segment(disk, newest);
  if (!segment) return std::nullopt;
  const uint64_t block = segment->header.block_bytes;
  return DiskPlace{storage::SegmentName(segment->header.segment), copy * block, block};
}

std::optional<DiskPlace> Batch(SimDisk& disk, Block which) {
  const auto segment = Segment(disk, which != Block::kOldBatch);
  if (!segment) return std::nullopt;
  const std::string name = storage::SegmentName(segment->header.segment);
  storage::SegmentReader reader(segment->bytes, segment->header, segment->size);
  std::vector<DiskPlace> batches;
  while (reader.Next() == storage::SegmentReader::Step::kBatch) {
    batches.push_back({name, reader.begin(), reader.offset() - reader.begin()});
  }
  if (batches.size() < (which == Block::kOldBatch ? 1u : 3u)) return std::nullopt;
  const DiskPlace& last = batches.back();
  switch (which) {
    case Block::kFirstBatch:
      return batches.front();
    case Block::kMiddleBatch:
      return batches[batches.size() / 2];
    case Block::kFoot: {
      const uint64_t end = last.offset + last.length;
      if (end >= segment->bytes.size()) return std::nullopt;
      return DiskPlace{name, end, segment->header.block_bytes};
    }
    default:
      return last;
  }
}

std::optional<DiskPlace> PartOfSnapshot(SimDisk& disk, Block which) {
  const auto owner = storage::ReadSlots(disk, storage::IdentityFile());
  if (!owner.ok()) return std::nullopt;
  const auto identity = storage::DecodeIdentity(owner->slot.payload);
  if (!identity) return std::nullopt;
  const auto slots = storage::ReadSlots(disk, storage::ManifestFile(identity->cluster));
  if (!slots.ok()) return std::nullopt;
  const auto manifest = storage::DecodeManifest(slots->slot.payload);
  if (!manifest) return std::nullopt;
  const storage::SnapshotInfo& info = manifest->snapshot;
  const std::string name = storage::SnapshotName(info.meta.index, info.source);
  const auto file = storage::SnapshotFile::Open(disk, name, identity->cluster);
  if (!file.ok() || file->chunks() == 0) return std::nullopt;
  const uint64_t chunk = kChunkHeaderBytes + file->header().chunk_bytes;
  if (which == Block::kSnapshotHeader) return DiskPlace{name, 0, storage::kSnapshotHeaderBytes};
  if (which == Block::kSnapshotChunk) {
    const uint64_t begin = storage::kSnapshotHeaderBytes + file->chunks() / 2 * chunk;
    return DiskPlace{name, begin, chunk};
  }
  const uint64_t chunks = kChunkHeaderBytes * file->chunks() + info.size;
  return DiskPlace{name, storage::kSnapshotHeaderBytes + chunks, kTrailerBytes};
}

}  // namespace

absl::Span<const Block> AllBlocks() { return absl::MakeConstSpan(kBlocks); }

absl::string_view Name(Block block) { return kNames[static_cast<size_t>(block)]; }

std::optional<DiskPlace> Locate(const SimDisk& disk, Block block) {
  const std::unique_ptr<SimDisk> copy = disk.Clone();
  copy->ProcessCrash();
  switch (block) {
    case Block::kIdentity0:
      return SlotOf("identity", 0);
    case Block::kIdentity1:
      return SlotOf("identity", 1);
    case Block::kVote0:
      return SlotOf("vote", 0);
    case Block::kVote1:
      return SlotOf("vote", 1);
    case Block::kManifest0:
      return SlotOf("manifest", 0);
    case Block::kManifest1:
      return SlotOf("manifest", 1);
    case Block::kMarks0:
      return SlotOf("marks", 0);
    case Block::kMarks1:
      return SlotOf("marks", 1);
    case Block::kHeader0:
      return Header(*copy, /*newest=*/true, 0);
    case Block::kHeader1:
      return Header(*copy, /*newest=*/true, 1);
    case Block::kOldHeader0:
      return Header(*copy, /*newest=*/false, 0);
    case Block::kOldHeader1:
      return Header(*copy, /*newest=*/false, 1);
    case Block::kFirstBatch:
    case Block::kMiddleBatch:
    case Block::kLastBatch:
    case Block::kFoot:
    case Block::kOldBatch:
      return Batch(*copy, block);
    case Block::kSnapshotHeader:
    case Block::kSnapshotChunk:
    case Block::kSnapshotTrailer:
      return PartOfSnapshot(*copy, block);
    case Block::kReserve:
      if (!copy->Open(storage::kReserveName, storage::Disk::Mode::kRead).ok()) return std::nullopt;
      return DiskPlace{storage::kReserveName};
  }
  return std::nullopt;
}

DiskPlace WrittenNext(Block block, DiskPlace place) {
  switch (block) {
    case Block::kHeader0:
    case Block::kHeader1:
    case Block::kFirstBatch:
    case Block::kMiddleBatch:
    case Block::kLastBatch:
    case Block::kFoot:
      place.file = "log-";
      break;
    case Block::kSnapshotHeader:
    case Block::kSnapshotChunk:
    case Block::kSnapshotTrailer:
      place.file = "snapshot-";
      break;
    default:
      break;
  }
  return place;
}

}  // namespace raftkv::sim
