// Events in words, where a recording becomes text.
#pragma once

#include <string>

#include "sim/picture/recording.h"

namespace raftkv::sim {

// `becomes leader, term 4, log up to 13, commit 12`; empty when nothing changed that has a word.
std::string DescribeChange(const Recording& recording, const NodeChange& change);

// Without its change: `to 3: append (3, term 2)+2 commit 3, term 4`.
std::string DescribeEvent(const Recording& recording, const PictureEvent& event);

// Where an event about a message happens: at its sender, or at its receiver.
raft::NodeId NodeOf(const Recording& recording, const PictureEvent& event);

absl::string_view Name(raft::RoleName role);  // "leader"

}  // namespace raftkv::sim
