// How scripts print what the core says: the recorded scripts of etcd-io/raft fix every blank.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/raft/configuration.h"
#include "core/raft/message.h"
#include "core/raft/progress.h"
#include "core/raft/raft.h"

namespace raftkv::raft {

// Membership entries that were proposed in the old, one-change form carry this context, so that
// they can be printed as what they were.
inline constexpr absl::string_view kOldFormMembership = "v1";

std::string DescribeRole(RoleName role);                       // "StateLeader"
std::string DescribeEntry(const Entry& entry);                 // "1/12 EntryNormal \"text\""
std::string DescribeEntries(absl::Span<const Entry> entries);  // one line each
std::string DescribeMessageType(const MessageBody& body);      // "MsgApp"
// May span several lines; no newline at the end.
std::string DescribeMessage(const Message& message);
// " lost up to 2/7"; empty when there is none.
std::string DescribeSuspicion(const std::optional<Suspicion>& suspicion);
std::string DescribeSnapshot(const SnapshotMeta& meta);
// "StateReplicate match=14 next=15 paused inflight=2[full]"
std::string DescribeProgress(const Progress& progress, bool is_self, bool is_learner);

}  // namespace raftkv::raft
