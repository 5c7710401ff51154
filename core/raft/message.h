// What nodes say to each other. A message is a complete value: it owns references to the entries it
// carries, so it stays valid however the sender's role, term or log change afterwards. A field
// exists only in the bodies where it means something.
#pragma once

#include <utility>
#include <variant>
#include <vector>

#include "core/raft/types.h"

namespace raftkv::raft {

// AppendEntries (paper, figure 2). Without entries it still tells the commit index.
struct AppendRequest {
  Index prev_index = 0;
  Term prev_term = 0;
  Index commit = 0;  // leader's commit index; may be above the last entry carried
  Entries entries;
  friend bool operator==(const AppendRequest&, const AppendRequest&) = default;
};

struct AppendResponse {
  // Accepted: the follower's log equals the leader's up to `index`. Rejected: `index` echoes the
  // refused prev_index.
  Index index = 0;
  bool rejected = false;
  // Only when rejected: the follower's last entry that might match, at most prev_index, and its
  // term (paper, end of section 5.3).
  Index hint_index = 0;
  Term hint_term = 0;
  // Only when rejected: the follower's disk lost entries (damage.h), so it may have acknowledged
  // more than the hint. What it acknowledged behind that does not count any more. Also sent when a
  // heartbeat speaks of entries that are not here, whether this node knows that it lost some or
  // not: `index` is then the commit index it told.
  bool lost = false;
  friend bool operator==(const AppendResponse&, const AppendResponse&) = default;
};

// RequestVote. For a pre-vote (thesis, section 9.6) the message's term is the term the sender
// *would* campaign in.
struct VoteRequest {
  bool pre_vote = false;
  // Sent because the leader asked for it: leader stickiness does not apply (thesis, section 3.10).
  bool transfer = false;
  Index last_index = 0;
  Term last_term = 0;
  Index commit = 0;  // the candidate's commit index and its entry's term: see VoteResponse
  Term commit_term = 0;
  friend bool operator==(const VoteRequest&, const VoteRequest&) = default;
};

// A granted pre-vote carries the term of the request, a rejection the responder's own term.
struct VoteResponse {
  bool pre_vote = false;
  bool rejected = false;
  // Only when rejected: the responder's commit index and the term of its entry there. A membership
  // change takes effect when it is applied, so a node that does not know it committed may ask a
  // quorum that will never agree; who refuses it tells it what is committed. True in any term.
  Index commit = 0;
  Term commit_term = 0;
  friend bool operator==(const VoteResponse&, const VoteResponse&) = default;
};

struct Heartbeat {
  Index commit = 0;  // never above what the receiver is known to have
  // Newest read round the leader wants confirmed; 0 for none (thesis, section 6.4).
  uint64_t read_round = 0;
  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};

struct HeartbeatResponse {
  uint64_t read_round = 0;  // echo
  friend bool operator==(const HeartbeatResponse&, const HeartbeatResponse&) = default;
};

// Leader to follower: you need a snapshot. From a leader's core it is an *offer*: the driver
// streams the named snapshot. Into a follower's core it goes only after the driver has written,
// synced and verified every byte.
struct InstallSnapshot {
  SnapshotMeta meta;
  friend bool operator==(const InstallSnapshot&, const InstallSnapshot&) = default;
};

// Leadership transfer: campaign at once, without a pre-vote.
struct TimeoutNow {
  friend bool operator==(const TimeoutNow&, const TimeoutNow&) = default;
};

// A follower passes a proposal on to the leader it knows (only when forwarding in the core is
// enabled).
struct ForwardedProposal {
  Entries entries;  // term and index unset
  friend bool operator==(const ForwardedProposal&, const ForwardedProposal&) = default;
};

// A follower passes on a request to transfer leadership.
struct ForwardedTransfer {
  NodeId target = kNoNode;
  friend bool operator==(const ForwardedTransfer&, const ForwardedTransfer&) = default;
};

// A follower asks for a linearizable read point; `context` is the follower's own number and comes
// back in the answer.
struct ReadIndexRequest {
  uint64_t context = 0;
  friend bool operator==(const ReadIndexRequest&, const ReadIndexRequest&) = default;
};

struct ReadIndexResponse {
  uint64_t context = 0;
  Index index = 0;  // serve the read once this index is applied
  // Not leader any more, or nothing committed in the leader's term yet: ask again.
  bool rejected = false;
  friend bool operator==(const ReadIndexResponse&, const ReadIndexResponse&) = default;
};

using MessageBody =
    std::variant<AppendRequest, AppendResponse, VoteRequest, VoteResponse, Heartbeat,
                 HeartbeatResponse, InstallSnapshot, TimeoutNow, ForwardedProposal,
                 ForwardedTransfer, ReadIndexRequest, ReadIndexResponse>;

struct Message {
  // Written out, so that no more is set than has a value: else 150 bytes are zeroed first.
  Message() {}  // NOLINT(modernize-use-equals-default)
  Message(NodeId sender, NodeId receiver, Term its_term, MessageBody its_body)
      : from(sender), to(receiver), term(its_term), body(std::move(its_body)) {}
  // With an empty body of that kind, to be filled in.
  template <typename Body>
  Message(NodeId sender, NodeId receiver, Term its_term, std::in_place_type_t<Body> kind)
      : from(sender), to(receiver), term(its_term), body(kind) {}

  NodeId from = kNoNode;
  NodeId to = kNoNode;
  // 0 only in forwarded requests, which are not bound to a term, and in the refusal of a pre-vote
  // by a node that has never heard of one.
  Term term = 0;
  MessageBody body;
  friend bool operator==(const Message&, const Message&) = default;
};

using Messages = std::vector<Message, PoolAllocator<Message>>;

}  // namespace raftkv::raft
