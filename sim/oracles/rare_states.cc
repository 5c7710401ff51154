#include "sim/oracles/rare_states.h"

#include <iterator>

namespace raftkv::sim {
namespace {

constexpr absl::string_view kNames[] = {
    "two leaders",
    "split votes",
    "old terms on a majority",
    "old entries committed along",
    "commits before the leader's disk",
    "entries replaced",
    "leaders deposed with entries",
    "leaders that are no members",
    "elections with losses promised",
    "losses taken from others",
    "joint configurations",
    "nodes wiped",
    "messages for a wiped node refused",
    "wiped nodes replaced",
};
static_assert(std::size(kNames) == kRareStates);

}  // namespace

absl::string_view Name(RareState state) { return kNames[static_cast<size_t>(state)]; }

}  // namespace raftkv::sim
