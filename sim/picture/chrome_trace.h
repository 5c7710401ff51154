// A recording in the Trace Event Format, which Perfetto (ui.perfetto.dev) and chrome://tracing
// open: nodes and clients are threads, roles with their terms and operations are slices, messages
// are arrows, faults are stretches of time above, crashes and violations are instants.
#pragma once

#include <string>

#include "sim/picture/page.h"
#include "sim/picture/recording.h"

namespace raftkv::sim {

std::string WriteChromeTrace(const Recording& recording, const Caption& caption);

}  // namespace raftkv::sim
