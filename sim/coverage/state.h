// What a cluster looks like to somebody who does not care about names and numbers: an abstract
// state. Runs are compared by the abstract states that they come to.
//
// Of each node a few properties are kept, each of a few values: not its term, but whether there is
// a higher one; not its log, but how it ends compared with the leader's. The states of the nodes
// are sorted, so that it does not matter which node is which. docs/SIMULATOR.md has the list. It
// is frozen: figures of different days and builds can be compared only while a state has the same
// hash, which a test with some of them makes sure of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace raftkv::sim {

struct AbstractNode {
  enum class Run : uint8_t { kUp, kPaused, kRepairing, kDown };
  enum class Role : uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };
  // Compared with the highest of any node that runs.
  enum class Term : uint8_t { kHighest, kOneBehind, kBehind };
  // How the log ends, compared with that of the leader of the highest term that is led, or, when
  // nobody leads, with the one that ends best: first by the term of the last entry, then by its
  // index.
  enum class Log : uint8_t {
    kSame,
    kShorter,      // of the same last term
    kLonger,       // of the same last term
    kOlder,        // of an older last term, and not longer
    kOlderLonger,  // of an older last term, and longer
    kNewer,        // of a newer last term
    kCutOff,       // ends before the first entry that the other log still has
  };
  // Compared with the highest of any node that runs.
  enum class Commit : uint8_t { kHighest, kOneBehind, kBehind };
  // By the newest configuration that any node has applied.
  enum class Member : uint8_t { kVoter, kLearner, kNotYet, kRemoved };
  // Changes of the configuration that are in its log and that it has not applied.
  enum class Pending : uint8_t { kNone, kOne, kMore };
  enum class Snapshot : uint8_t { kNone, kTaking, kSending, kInstalling };
  // What is on its way to this node. Of the whole cluster only whether there is any counts, and not
  // of entries and append answers, which there always are (HashOfCodes).
  enum Message : uint8_t {
    kVote = 1,          // also a pre-vote
    kVoteAnswer = 2,    // the same
    kEntries = 4,       // appends with entries, not those without
    kAppendAnswer = 8,  // also refusals
    kSnapshotPiece = 16,
    kHandOver = 32,  // "campaign now"
    kOld = 64,       // one of these is of an older term than the node's
  };

  Run run = Run::kUp;
  Role role = Role::kFollower;
  Term term = Term::kHighest;
  Log log = Log::kSame;
  Commit commit = Commit::kHighest;
  Member member = Member::kVoter;
  Pending pending = Pending::kNone;
  bool outdated = false;  // the configuration that it has applied is not the newest
  Snapshot snapshot = Snapshot::kNone;
  bool writing = false;    // something is being written that is not synced yet
  bool suspicion = false;  // it knows that its disk has lost what it may have promised
  uint8_t messages = 0;    // of Message

  friend bool operator==(const AbstractNode&, const AbstractNode&) = default;
};

// The node in bits. Of one that is down or repairing its disk there is nothing but `member` and, if
// it repairs, `messages`.
uint32_t CodeOf(const AbstractNode& node);

// The same for every order of the nodes. `joint`: the newest configuration is.
uint64_t HashOfState(bool joint, const std::vector<AbstractNode>& nodes);
// `codes` of CodeOf, sorted.
uint64_t HashOfCodes(bool joint, const std::vector<uint32_t>& codes);

// What is left of a state when of each node that runs only its role, its term, its place in the
// configuration and the changes that it has not applied count, and not how many nodes are alike:
// who leads whom, and who knows of which members. A state has one outline; most have one with many.
uint64_t OutlineOfCodes(bool joint, const std::vector<uint32_t>& codes);

// A node in words, for people and tests: "leader", "follower, log shorter, entries on the way".
// What is usual is left out.
std::string FormatNode(const AbstractNode& node);
// InvalidArgument names the words that are not understood.
absl::StatusOr<AbstractNode> ParseNode(absl::string_view text);

}  // namespace raftkv::sim
