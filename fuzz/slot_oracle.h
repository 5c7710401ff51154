// What must hold for every file of two slots (storage/slots.h), whatever it holds inside: the part
// that the targets of identity, vote, manifest and marks share.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "fuzz/fuzz_input.h"
#include "sim/disk/sim_disk.h"
#include "storage/slots.h"

namespace raftkv::storage {

// The record in the slots.
struct RecordKind {
  SlotFile file;
  // A payload as the program writes it, of the fuzzer's choice.
  std::function<std::string(FuzzInput&)> make;
  // Decodes and encodes again; nullopt if it does not decode.
  std::function<std::optional<std::string>(absl::string_view)> encode_again;
};

// A file as it is found, and what a model of its own makes of it.
struct FoundSlots {
  std::string bytes;
  std::optional<Slot> slots[2];
  bool newer_version = false;  // one is intact, and of a newer program
};

// Reads the fuzzer's program: the file is
//   mode 0  the fuzzer's bytes
//   mode 1  the same with right checksums
//   mode 2  what a crash can leave of two records that were written, with damage
// and checks each slot: what decodes is what was written (mode 2), or at least encodes to the same
// bytes, slot and record; what was not touched decodes; nobody allocates by what a length claims.
FoundSlots FindSlots(const RecordKind& kind, FuzzInput& input);

// The file on a disk, synced.
void PutFile(sim::SimDisk& disk, absl::string_view name, absl::string_view bytes);

// For a file whose two slots say the same (all but marks): which record counts, that opening it
// makes both slots right and loses nothing whenever the power fails, and that a record written then
// is there afterwards, or the one before.
void CheckTwoCopies(const RecordKind& kind, const FoundSlots& found, FuzzInput& input);

}  // namespace raftkv::storage
