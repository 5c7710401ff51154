// Faults as text: what a scenario says about them.
//
//   partition 1>2 2>1 for 300ms        isolate, cut and clog: the same
//   storm lost 300 doubled 200 for 1s  of 1000 each
//   power-loss 2 for 300ms             again: it loses power once more while it recovers
//   kill 2 for 300ms                   again: the same
//   power-loss-of-all 1 2 3 for 1s
//   pause 2 for 300ms                  hang-disk, full-disk: the same
//   slow-disk 2 times 50 for 1s
//   sync-error 2 after 1 for 1s
//   clock-jump 2 by 3400               milliseconds; back: the other way
//   rot 2 draw 77 for 300ms            read-errors, lost-writes, misdirected-writes,
//                                      misdirected-reads, stale-files, amnesia: the same
//   rot 2 bits 3 seed 9 in log-0000000000000002 from 1024 to 1536 for 300ms    in this place of
//   this
//                                      file; the end is behind the last byte, or `end`. garbage
//                                      seed 9, zeros: the same. With `again` it is killed once more
//                                      while it recovers, with a draw what else it might have been
//                                      is looked at, too. It strikes a node that is down as well,
//                                      which is started when that is over
//   rot 2 cut in vote from 512 for 300ms       the file ends there
//   read-errors 2 in marks from 0 to end for 300ms
//   wipe 2 empty for 300ms             all is gone. joiner, founder: and it is initialised as one;
//                                      no-identity: that alone is gone; in-use: nothing is. To
//                                      initialise these two is tried, and must be refused
//   leader-in-minority 1 1>2 2>1 for 1s    one-way-leader: the same. The leader, then the links
//   withheld-answers 1 2 3 for 1s      what these nodes answer to the first of them
//   figure-8 1 2 after-ms 20 for 1s    the leader, and the one follower that hears of its entries
//   sent-not-persisted 2 for 1s        persisted-not-said, outlived-lease: the same
//   doubled-snapshots 2 after-ms 300 for 1s    what node 2 sends
//   old-messages 2 after-ms 300 for 1s         what is sent to node 2
//   overtaken-appends 1 2 times 20 for 1s      of node 1 to node 2, whose disk is slow then
//   reused-address 2 3 for 1s          what is sent to node 2 reaches node 3
//   transfer 1 KV.TRANSFER 2           what the operator asks node 1
//   member 1 KV.MEMBER REMOVE 3
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sim/nemesis/nemesis.h"

namespace raftkv::sim {

std::string FormatFault(const FaultCommand& command);
// InvalidArgument says what is wrong with the text.
absl::StatusOr<FaultCommand> ParseFault(absl::string_view text);

}  // namespace raftkv::sim
