// A recording as text with one column for each node, to be read from top to bottom.
//
//      time s |1 node 1                                |2 node 2                     |
//    9.107265 |L to 2: append (11, term 4)+1 ...       |F                            |
//    9.108001 |L                                       |F from 1: append (11, ...    |
//
// Each row is one event, in the column of the node where it happens; what is nobody's (clients,
// faults) is in the last one. The letter before each cell is what the node is at that moment:
// L leader, C candidate, P pre-candidate, F follower, R repairing, = paused, x down.
#pragma once

#include <string>

#include "sim/picture/page.h"
#include "sim/picture/recording.h"

namespace raftkv::sim {

std::string WriteColumns(const Recording& recording, const Caption& caption);

}  // namespace raftkv::sim
