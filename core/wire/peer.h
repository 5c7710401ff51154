// What nodes say to each other, as values and as bytes.
//
// A connection starts with a Hello in both directions; every later frame repeats in its envelope
// who sent it and for whom, down to the incarnation (one life of a node's disk). A node that finds
// itself wrongly addressed drops the message: the address may have had another owner, or the sender
// may be answering a node that has lost its disk since.
//
// Decoding is total and bounded: any bytes give a message whose every field is in the range said
// here, or an error that names the sender, the kind and the field. The core may rely on these
// ranges; it never sees a message that its own kind could not have written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/raft/damage.h"
#include "core/raft/message.h"
#include "core/raft/payload.h"
#include "core/raft/types.h"

namespace raftkv::wire {

using raft::NodeId;

// Limits; above them a message is neither written nor accepted.
inline constexpr size_t kMaxMembers = 64;  // in each list of a configuration
inline constexpr size_t kMaxAddress = 255;
inline constexpr size_t kMaxSnapshotChunk = 1024 * 1024;

// The versions of the peer protocol that this code speaks.
inline constexpr uint32_t kProtocolMin = 1;
inline constexpr uint32_t kProtocolMax = 1;

struct ClusterId {
  uint64_t high = 0;
  uint64_t low = 0;
  friend bool operator==(const ClusterId&, const ClusterId&) = default;
};

struct Envelope {
  uint64_t group = 0;  // which consensus group of the node; 0 is the only one today
  NodeId from = raft::kNoNode;
  uint64_t from_incarnation = 0;  // never 0 in a message
  NodeId to = raft::kNoNode;    // may be kNoNode in a Hello only: the first contact with an address
  uint64_t to_incarnation = 0;  // 0: the sender does not know
  friend bool operator==(const Envelope&, const Envelope&) = default;
};

// First frame in both directions. Node id, incarnation and group are those of the envelope.
struct Hello {
  ClusterId cluster;
  uint32_t protocol_min = kProtocolMin;  // 1 <= protocol_min <= protocol_max
  uint32_t protocol_max = kProtocolMax;
  uint64_t features = 0;  // bits; unknown ones are ignored
  std::string
      address;  // where peers reach the sender, "host:port"; printable ASCII; empty when not said
  friend bool operator==(const Hello&, const Hello&) = default;
};

// The version two nodes speak with each other: the highest that both know, or 0 if there is none.
uint32_t AgreedProtocol(const Hello& a, const Hello& b);

// A client's request on its way from the node that took it to the leader. (from, from_incarnation,
// id) names it; the answer echoes the id.
enum class ForwardKind : uint8_t {
  kCommand = 0,     // `command` is an encoded kv command (wire/command.h)
  kMembership = 1,  // `command` is raft::EncodeMembershipChange
};
struct ForwardRequest {
  uint64_t id = 0;
  // Only the leader of this term may accept it, and only while it leads: so a late copy can do
  // nothing that the leader's memory of the term does not catch. Never 0.
  raft::Term term = 0;
  ForwardKind kind = ForwardKind::kCommand;
  raft::Payload command;  // a payload, because the leader appends it to its log as it is
  // Sent before under this id, and it or its answer may be lost: the leader answers once more, if
  // it has answered already. Only of a command within a session, which can be run again for that.
  bool repeated = false;
  // The least id of those that the sender still waits for, at most `id`; 0: not said. Older ones
  // will not be sent again, and nobody wants their answers.
  uint64_t oldest = 0;
  friend bool operator==(const ForwardRequest&, const ForwardRequest&) = default;
};

enum class ForwardOutcome : uint8_t {
  kApplied = 0,     // committed and applied; the reason is kNone
  kNotApplied = 1,  // definitely not, now or later: a retry cannot do it twice
  kUnknown = 2,     // may have been or may still be applied
};
enum class ForwardReason : uint8_t {
  kNone = 0,
  kNotLeader = 1,  // see `leader`
  kBusy = 2,       // too much is waiting
  kTooLarge = 3,   // the command is above a limit
  kStoreFull = 4,  // memory limit of the store
  kDiskFull = 5,
  kMalformed = 6,       // the command does not decode
  kUnsupported = 7,     // the command needs a later feature level
  kStopping = 8,        // the leader is shutting down
  kLostLeadership = 9,  // it was in the log of a leader that is one no more
  kTransferring = 10,   // leadership is being handed over: try the next leader
  kRefused = 11,        // the core refused it, for example a second membership change at once
  kTimeout = 12,        // patience ended before it was decided
};
inline constexpr ForwardReason kLastForwardReason = ForwardReason::kTimeout;
inline constexpr size_t kMaxForwardText = 255;
struct ForwardReply {
  uint64_t id = 0;
  ForwardOutcome outcome = ForwardOutcome::kUnknown;
  ForwardReason reason = ForwardReason::kNone;  // kNone exactly when applied
  NodeId leader = raft::kNoNode;  // whom the replier believes to lead; kNoNode: it does not know
  raft::Index index = 0;          // where it was applied; 0 unless applied
  std::string result;             // encoded kv result (wire/command.h); empty unless applied
  std::string text;  // for a person, when there is more to say than the reason does; at most
                     // kMaxForwardText bytes
  friend bool operator==(const ForwardReply&, const ForwardReply&) = default;
};

// A piece of a snapshot, leader to follower. Pieces of one transfer are sent in the order of their
// offsets, each answered by an ack. Everything needed to start receiving is in every piece, so that
// a follower that restarted may answer "from 0, please".
struct SnapshotChunk {
  raft::Term term = 0;  // of the sending leader, never 0
  raft::SnapshotMeta meta;
  uint64_t transfer = 0;    // the leader's number for this stream
  uint64_t offset = 0;      // of the first byte
  uint64_t total_size = 0;  // of the whole snapshot, in bytes
  uint64_t digest = 0;      // of the whole snapshot, as its manifest says
  std::string bytes;        // up to kMaxSnapshotChunk; empty only in an empty snapshot
  bool last() const { return offset + bytes.size() == total_size; }
  friend bool operator==(const SnapshotChunk&, const SnapshotChunk&) = default;
};

enum class SnapshotAckStatus : uint8_t {
  kContinue = 0,  // send from next_offset
  kDone = 1,      // every byte is written, synced and verified
  kRefused = 2,   // not wanted any more; stop
  kFailed = 3,  // disk trouble or a digest that does not match; the transfer is over, a new one may
                // follow
};
struct SnapshotAck {
  uint64_t transfer = 0;
  SnapshotAckStatus status = SnapshotAckStatus::kContinue;
  uint64_t next_offset = 0;
  friend bool operator==(const SnapshotAck&, const SnapshotAck&) = default;
};

// ---- Repair (docs/adr/0007-a-lost-entry-is-still-promised.md) ----
//
// Questions about what is on a log, from a node whose disk has lost something, to any member. They
// are not bound to a term and change nothing at the node that answers.

inline constexpr size_t kMaxWantedEntries = 1024;  // in one query

// One entry that the sender cannot read. `known` names the next entry behind it of the same log
// whose index and term are known: a log that holds that one holds the wanted one, too.
struct WantedEntry {
  raft::Index index = 0;        // not 0
  raft::Term term = 0;          // not 0; when it is not known, the highest that it can be
  raft::Index known_index = 0;  // above `index`; 0: nothing is known behind it
  raft::Term known_term = 0;    // 0 exactly if known_index is
  friend bool operator==(const WantedEntry&, const WantedEntry&) = default;
};

struct EntryQuery {
  uint64_t round = 0;               // the answer repeats it
  std::vector<WantedEntry> wanted;  // ascending; may be empty: only the extent is asked for
  // Instead of `wanted`, the lost end of a log: the entries from `next_index` to `through_index`,
  // of a log that has the one in front of them and the last of them with these terms; or, of one
  // that has not the last of them, those that it knows to be committed. All 0: none.
  raft::Index next_index = 0;
  raft::Term prev_term = 0;  // 0 exactly if `next_index` is at most 1
  raft::Index through_index = 0;
  raft::Term through_term = 0;
  friend bool operator==(const EntryQuery&, const EntryQuery&) = default;
};

struct EntryVerdict {
  enum class Kind : uint8_t {
    kHave = 0,       // it is in EntryAnswer::entries
    kOther = 1,      // the entry at this index, readable or not, is of another term: `term`
    kNever = 2,      // the log ends before, and of what was lost nothing was at this index
    kLost = 3,       // may have been here, and cannot be read here either
    kCompacted = 4,  // a snapshot stands for this index
  };
  raft::Index index = 0;
  Kind kind = Kind::kNever;
  raft::Term term = 0;        // of the entry here: kHave and kOther, otherwise 0
  raft::Term known_term = 0;  // of the entry here at WantedEntry::known_index; 0: none or unknown
  friend bool operator==(const EntryVerdict&, const EntryVerdict&) = default;
};

// How far the sender's log goes, and what of it is lost.
struct LogExtent {
  raft::Index base = 0;        // the snapshot's index: the entries begin behind it
  raft::Index last_index = 0;  // the last readable entry, or the snapshot
  raft::Term last_term = 0;
  raft::Index commit = 0;  // known to be committed
  std::optional<raft::Suspicion> lost;
  // The term that the sender leads; 0: it leads none, or is older than this field. Then its log has
  // every entry that there is of that term.
  raft::Term leads = 0;
  friend bool operator==(const LogExtent&, const LogExtent&) = default;
};

// As many verdicts as have room, in the order asked; the others are asked for again. On the end of
// a log: kHave and the entry for each, or nothing if this is not a log that was asked for.
struct EntryAnswer {
  uint64_t round = 0;
  LogExtent extent;
  std::vector<EntryVerdict> verdicts;  // ascending
  raft::Entries entries;               // exactly those of the verdicts kHave, in their order
  friend bool operator==(const EntryAnswer&, const EntryAnswer&) = default;
};

// A piece of a snapshot, asked for by whoever needs it; the sender remembers nothing.
struct SnapshotPull {
  raft::Index index = 0;  // 0: the newest
  uint64_t offset = 0;
  uint64_t length = 0;  // 1 to kMaxSnapshotChunk
  friend bool operator==(const SnapshotPull&, const SnapshotPull&) = default;
};
struct SnapshotPiece {
  raft::Index asked_index = 0;  // as in the question
  uint64_t offset = 0;          // the same
  // None: the sender does not have that snapshot, or cannot read this piece of it. Then what
  // follows is empty.
  std::optional<raft::SnapshotMeta> meta;
  uint64_t size = 0;    // of the whole
  uint64_t digest = 0;  // of the whole
  std::string bytes;    // empty only in an empty snapshot
  friend bool operator==(const SnapshotPiece&, const SnapshotPiece&) = default;
};

using PeerBody = std::variant<Hello, raft::Message, ForwardRequest, ForwardReply, SnapshotChunk,
                              SnapshotAck, EntryQuery, EntryAnswer, SnapshotPull, SnapshotPiece>;

// For a raft::Message, `from` and `to` equal the envelope's; they travel once.
struct PeerMessage {
  Envelope envelope;
  PeerBody body;
  friend bool operator==(const PeerMessage&, const PeerMessage&) = default;
};

// Values to frames. One encoder per connection or per replica: it keeps its memory from message to
// message.
//
// The caller hands in messages that keep the ranges of this header (they come from our own core);
// entries have the indexes prev_index + 1, prev_index + 2, ... A message too large for a frame is a
// bug of whoever built the batch. Both are checked.
class PeerEncoder {
 public:
  PeerEncoder();
  ~PeerEncoder();
  PeerEncoder(PeerEncoder&&) noexcept;
  PeerEncoder& operator=(PeerEncoder&&) noexcept;

  // A complete frame, header included, 8-byte aligned; valid until the next call.
  absl::string_view Encode(const PeerMessage& message);
  absl::string_view Encode(const Envelope& envelope, const raft::Message& message);

  // Appends the frame to `out`.
  void AppendTo(const PeerMessage& message, std::string* out);
  void AppendTo(const Envelope& envelope, const raft::Message& message, std::string* out);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// A frame's body (FrameReader::Next) to a value that owns all its bytes. InvalidArgument says what
// is wrong and where.
absl::StatusOr<PeerMessage> DecodePeer(absl::string_view body);
// The same without moving the message; after an error `message` holds anything.
absl::Status DecodePeer(absl::string_view body, PeerMessage* message);

// "AppendRequest", "Hello", ...: for traces and error texts.
absl::string_view KindName(const PeerBody& body);

}  // namespace raftkv::wire
