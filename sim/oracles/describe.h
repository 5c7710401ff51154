// Log entries and messages in words, for violations and traces.
#pragma once

#include <cstdint>
#include <string>

#include "core/raft/types.h"
#include "core/wire/peer.h"

namespace raftkv::sim {

// As replica::EntryApplied counts it.
uint64_t HashEntry(const raft::Entry& entry);

// `(12, term 4) = SET "k7" "v"`
std::string DescribeEntry(const raft::Entry& entry);

// `SET "k7" "v"`
std::string DescribePayload(const raft::Entry& entry);

// `append (3, term 2)+2 commit 3, term 4`
std::string DescribePeerBody(const wire::PeerBody& body);

}  // namespace raftkv::sim
