// Log entries and messages in words, for violations and traces.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
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

// What kind it is, and of which term: "append", "vote answer". "frame" for what is not a message
// between cores.
struct PeerBodyName {
  absl::string_view kind;
  raft::Term term = 0;  // 0: bound to none
};
PeerBodyName NameOf(const wire::PeerBody& body);

}  // namespace raftkv::sim
