// What a disk does besides forgetting at a crash (sim_disk.h): it rots, refuses, lies, and returns
// what was true once.
//
// A fault is a value, says what it is in one line, and is injected with one call
// (SimDisk::Inject). It takes place at once, or is armed and strikes at a later read or write. Only
// what changed something is counted (SimDisk::effects): rot in a place that no file reaches, or a
// lost write of the bytes that were there already, is no fault.
//
// Places are a file, an offset and a length in bytes; a length of kToTheEnd means the rest of the
// file. Read errors are of whole sectors: those that the place touches. What the faults of places
// and files do, they do to the platter and to the page cache, as if the cache had just been
// dropped; so they strike bytes that were synced and bytes that were not.
//
// Faults of places
//   ReadError         a latent error of neighbouring sectors: a read that touches one of them gives
//                     DataLoss, others work. A write that covers a sector makes it good again; one
//                     that covers a part of it would have to read the rest, and gives DataLoss. A
//                     power loss that undoes the write brings the error back
//   BitRot            some bits are flipped
//   Garbage, Zeros    every byte of the place
//
// Faults of files: not errors of a device but of whoever copies, restores and deletes
//   MissingFile       the name is gone
//   TruncatedFile     the file ends early
//   ExtendedFile      bytes, zeros or garbage, behind its end
//   StaleFile         the file is back as it was when SimDisk::Remember was called, also when it
//                     has been removed since
//   Amnesia           the whole disk is back as it was then. The node must be down: files that are
//                     open are dead, as after a power loss
//
// Lies. Each strikes once, at the `after`th (0: the next) read or write of a file whose name begins
// with `file`, and is forgotten when the node's disk restarts before that
//   LostWrite         the write and its sync say OK, reads show the new bytes, the platter has the
//                     old ones; so do reads after a power loss, or once the cache is dropped.
//                     Writing the sectors again helps
//   MisdirectedWrite  as LostWrite; and the platter has the new bytes in another place, where reads
//                     do not show them either until then
//   MisdirectedRead   one read returns the bytes of another place
//
// Errors that calls report (EIO, ENOSPC) are in SimDisk::InjectFault; slow and hung disks are in
// sim/node/disk_thread.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>

#include "absl/strings/string_view.h"

namespace raftkv::sim {

inline constexpr uint64_t kToTheEnd = UINT64_MAX;

struct DiskPlace {
  std::string file;
  uint64_t offset = 0;
  uint64_t length = kToTheEnd;
  friend bool operator==(const DiskPlace&, const DiskPlace&) = default;
};

struct ReadError {
  DiskPlace at;
  friend bool operator==(const ReadError&, const ReadError&) = default;
};
struct BitRot {
  DiskPlace at;
  uint64_t bits = 1;  // flipped, not necessarily different ones
  uint64_t seed = 0;  // which ones
  friend bool operator==(const BitRot&, const BitRot&) = default;
};
struct Garbage {
  DiskPlace at;
  uint64_t seed = 0;
  friend bool operator==(const Garbage&, const Garbage&) = default;
};
struct Zeros {
  DiskPlace at;
  friend bool operator==(const Zeros&, const Zeros&) = default;
};

struct MissingFile {
  std::string file;
  friend bool operator==(const MissingFile&, const MissingFile&) = default;
};
struct TruncatedFile {
  std::string file;
  uint64_t size = 0;  // shorter than it is
  friend bool operator==(const TruncatedFile&, const TruncatedFile&) = default;
};
struct ExtendedFile {
  std::string file;
  uint64_t bytes = 0;
  bool garbage = false;
  uint64_t seed = 0;
  friend bool operator==(const ExtendedFile&, const ExtendedFile&) = default;
};
struct StaleFile {
  std::string file;
  friend bool operator==(const StaleFile&, const StaleFile&) = default;
};
struct Amnesia {
  friend bool operator==(const Amnesia&, const Amnesia&) = default;
};

struct LostWrite {
  std::string file;
  uint64_t after = 0;
  friend bool operator==(const LostWrite&, const LostWrite&) = default;
};
struct MisdirectedWrite {
  std::string file;
  uint64_t after = 0;
  std::string to_file;     // by its whole name; nothing but the loss happens when there is none
  uint64_t to_offset = 0;  // rounded down to a sector
  friend bool operator==(const MisdirectedWrite&, const MisdirectedWrite&) = default;
};
struct MisdirectedRead {
  std::string file;
  uint64_t after = 0;
  std::string from_file;
  uint64_t from_offset = 0;  // rounded down to a sector
  friend bool operator==(const MisdirectedRead&, const MisdirectedRead&) = default;
};

using DiskFault =
    std::variant<ReadError, BitRot, Garbage, Zeros, MissingFile, TruncatedFile, ExtendedFile,
                 StaleFile, Amnesia, LostWrite, MisdirectedWrite, MisdirectedRead>;
inline constexpr size_t kDiskFaultKinds = std::variant_size_v<DiskFault>;

// "bit rot, 3 bits in log-1 at 512..1024".
std::string Describe(const DiskFault& fault);
// Of all faults of a kind, plural: "read errors". `kind` is a DiskFault's index().
absl::string_view NameOfKind(size_t kind);

// How many faults of each kind had an effect.
using DiskFaultCounters = std::array<uint64_t, kDiskFaultKinds>;

}  // namespace raftkv::sim
