// What a node acknowledges of a snapshot that it is sent, against what it was sent: each piece
// once, in the order of their offsets, and nothing that it has not heard. A snapshot that is put
// together in another way does not match its digest in the end, so that all that shows is a
// transfer that begins again.
//
// One for each node. The transfers of a snapshot may follow each other: the node goes on where it
// was.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/wire/peer.h"

namespace raftkv::sim {

class Receipts {
 public:
  // The node is up again, and has forgotten what it was being sent.
  void Restarted() { *this = Receipts(); }

  // The node is given this piece, and may still refuse it.
  void Hears(const wire::SnapshotChunk& chunk);
  // Returns what is wrong with it, without saying of whom, or nothing.
  std::string Says(const wire::SnapshotAck& ack);

 private:
  // Of one snapshot, in bytes from its beginning.
  struct Receipt {
    raft::Index index = 0;
    uint64_t size = 0;
    uint64_t digest = 0;
    std::vector<uint64_t> transfers;     // that bring it, by their numbers
    std::map<uint64_t, uint64_t> heard;  // the end of each piece, by its beginning
    uint64_t acknowledged = 0;
  };

  std::vector<Receipt> receipts_;  // of the latest snapshots; a few
};

}  // namespace raftkv::sim
