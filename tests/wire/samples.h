// One named example of every message and command kind, and random ones: for golden bytes, round
// trips and fuzz seeds.
#pragma once

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "core/kv/command.h"
#include "core/raft/random.h"
#include "core/wire/peer.h"

namespace raftkv::wire {

template <typename T>
using Named = std::vector<std::pair<std::string, T>>;

Named<PeerMessage> PeerSamples();
Named<kv::Command> CommandSamples();  // strings are literals
// Whole client conversations, bytes as they arrive.
Named<std::string> RespSamples();

// Every kind comes up, each valid. `kind` selects one of kPeerKinds.
inline constexpr size_t kPeerKinds = 21;
PeerMessage RandomPeerMessage(size_t kind, Random* random);

// Keys and values live in `strings`.
kv::Command RandomCommand(Random* random, std::deque<std::string>* strings);

std::string RandomBytes(size_t max_size, Random* random);

}  // namespace raftkv::wire
