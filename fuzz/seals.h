// Makes the checksums of storage files right, wherever the lengths in them lead, so that a mutated
// length, count or number reaches the code behind the checksum. docs/formats has the offsets.
//
// They know the layouts on their own account, and use nothing of the decoders they are for.
#pragma once

#include <cstdint>
#include <string>

#include "storage/slots.h"

namespace raftkv::storage {

void SealSlots(const SlotFile& file, std::string* bytes);
// Cluster, segment id and block size are those that the bytes say.
void SealSegment(std::string* bytes);
// Header, trailer and chunks; the digest of the trailer too, when all chunks are there.
void SealSnapshot(std::string* bytes);

}  // namespace raftkv::storage
