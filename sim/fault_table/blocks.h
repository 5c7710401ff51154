// Every kind of thing that a data directory holds, and where on a disk it is.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "sim/disk/sim_disk.h"

namespace raftkv::sim {

enum class Block : uint8_t {
  kIdentity0,  // the two copies of each small record
  kIdentity1,
  kVote0,
  kVote1,
  kManifest0,
  kManifest1,
  kMarks0,
  kMarks1,
  kHeader0,  // of the newest segment
  kHeader1,
  kOldHeader0,  // of the segment before it
  kOldHeader1,
  kFirstBatch,  // of the newest segment
  kMiddleBatch,
  kLastBatch,
  kFoot,
  kOldBatch,  // the last one of the segment before
  kSnapshotHeader,
  kSnapshotChunk,
  kSnapshotTrailer,
  kReserve,
};
absl::Span<const Block> AllBlocks();  // in the order of the enumeration
absl::string_view Name(Block block);

// Where it is, as the production readers see it; nullopt when there is none now: fewer than three
// batches in the newest segment, a snapshot without bytes.
std::optional<DiskPlace> Locate(const SimDisk& disk, Block block);
// Where the next one of its kind will be written: in the files whose name begins with `file`. Of
// what is never written again, the place itself.
DiskPlace WrittenNext(Block block, DiskPlace place);

}  // namespace raftkv::sim
