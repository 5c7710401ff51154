// What most tests of the core begin with: one node whose peers are made up, or a few real ones.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/raft/check.h"
#include "core/raft/raft.h"
#include "tests/raft/memory_node.h"

namespace raftkv::raft {

// Small times, no chance in sight: elections happen when a test says so.
inline Options TestOptions() {
  Options options;
  options.id = 1;
  options.election_ticks = 10;
  options.heartbeat_ticks = 1;
  options.pre_vote = false;
  options.check_quorum = false;
  return options;
}

inline MemoryDisk FoundingDisk(std::vector<NodeId> voters, std::vector<NodeId> learners = {}) {
  MemoryDisk disk;
  disk.snapshot.meta.conf.voters = std::move(voters);
  disk.snapshot.meta.conf.learners = std::move(learners);
  return disk;
}

inline Entry Command(Term term, Index index, absl::string_view text = "x") {
  return Entry{term, index, Payload::Copy(text), EntryType::kCommand};
}

// Entries of these terms, the first at `first`.
inline Entries Commands(Index first, const std::vector<Term>& terms) {
  Entries entries;
  for (const Term term : terms) entries.push_back(Command(term, first + entries.size()));
  return entries;
}

inline MembershipChange OneChange(MemberChange::Kind kind, NodeId node) {
  MembershipChange change;
  change.changes.push_back(MemberChange{kind, node});
  return change;
}

inline Entry Membership(Term term, Index index, const MembershipChange& change) {
  return Entry{term, index, Payload::Copy(EncodeMembershipChange(change)), EntryType::kMembership};
}

// Node 1, and whatever the test makes its peers say.
class Solo {
 public:
  explicit Solo(MemoryDisk disk, const Options& options = TestOptions())
      : node_(options, std::move(disk), /*seed=*/1) {}

  MemoryNode& node() { return node_; }
  Raft& raft() { return node_.raft(); }
  Raft* operator->() { return &node_.raft(); }

  Outcome Hear(NodeId from, Term term, MessageBody body, absl::string_view snapshot = "") {
    return node_.Step(
        Envelope{Message{from, node_.raft().id(), term, std::move(body)}, std::string(snapshot)});
  }
  void Ticks(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) node_.raft().Tick();
  }

  // Carries out Readies until there is none, and drops what they send.
  void Settle() {
    std::vector<Envelope> dropped;
    if (node_.writing()) node_.FinishWrite(dropped);
    while (node_.raft().HasReady()) {
      node_.Begin(dropped);
      if (node_.writing()) node_.FinishWrite(dropped);
    }
  }
  // The next Ready, everything done but its write.
  Ready Begin() {
    std::vector<Envelope> dropped;
    return node_.Begin(dropped);
  }
  // The write that is out; what waited for it.
  Messages Finish() {
    std::vector<Envelope> sent;
    node_.FinishWrite(sent);
    Messages messages;
    for (Envelope& envelope : sent) messages.push_back(std::move(envelope.message));
    return messages;
  }
  // The same when the disk is full.
  Messages FindNoSpace() {
    std::vector<Envelope> sent;
    node_.FinishWithoutSpace(sent);
    Messages messages;
    for (Envelope& envelope : sent) messages.push_back(std::move(envelope.message));
    return messages;
  }
  // Everything that is sent until nothing moves any more.
  Messages Sent() {
    std::vector<Envelope> sent;
    if (node_.writing()) node_.FinishWrite(sent);
    while (node_.raft().HasReady()) {
      node_.Begin(sent);
      if (node_.writing()) node_.FinishWrite(sent);
    }
    Messages messages;
    for (Envelope& envelope : sent) messages.push_back(std::move(envelope.message));
    return messages;
  }

  // Wins an election with these votes; its first entry is on its disk, and nowhere else.
  void BecomeLeader(const std::vector<NodeId>& granting) {
    RAFTKV_CHECK(raft().Campaign() == Outcome::kOk);
    Settle();
    if (raft().role() == RoleName::kPreCandidate) {
      for (const NodeId id : granting) Hear(id, raft().term() + 1, VoteResponse{.pre_vote = true});
      Settle();
    }
    for (const NodeId id : granting) Hear(id, raft().term(), VoteResponse{});
    RAFTKV_CHECK(raft().is_leader());
    Settle();
  }
  void Accept(NodeId from, Index index) {
    Hear(from, raft().term(), AppendResponse{.index = index});
  }

 private:
  MemoryNode node_;
};

// The messages with this body, in order.
template <typename Body>
Messages Only(const Messages& messages) {
  Messages found;
  for (const Message& message : messages) {
    if (std::holds_alternative<Body>(message.body)) found.push_back(message);
  }
  return found;
}

template <typename Body>
const Body& As(const Message& message) {
  return std::get<Body>(message.body);
}

}  // namespace raftkv::raft
