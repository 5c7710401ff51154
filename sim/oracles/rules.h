// What a node does in one turn, against what Raft tells it to do then (paper, figure 2; thesis,
// sections 3.10, 4.2.3, 6.4). Other oracles see what comes of a broken rule when luck is bad
// enough; this one sees the rule broken.
//
// One for each node. Not for nodes that repair their disk, or that have stopped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/raft/invariants.h"
#include "core/raft/raft.h"

namespace raftkv::sim {

// A turn begins with the time that has passed: at most so many ticks, however long it was.
inline constexpr uint32_t kTicksInATurn = 2;

inline bool Campaigns(raft::RoleName role) {
  return role == raft::RoleName::kPreCandidate || role == raft::RoleName::kCandidate;
}

// The first change of the members that is committed and that the node has not applied; 0: none.
raft::Index UnappliedChange(const raft::Raft& raft);

class Rules {
 public:
  // What is wrong, without saying of whom. Mostly nothing is, and that should cost nothing.
  using Wrong = std::optional<std::string>;

  // The node is up again; what it owed it owes no more.
  void Restarted() { *this = Rules(); }

  void BeforeTurn(const raft::Raft& raft);
  // The message that this turn is about, if any, which lives until AfterTurn or AnotherInput, but
  // for its entries.
  void Hears(const raft::Message& message);
  // The turn is about more than what it has heard so far: which of them it does something for is
  // not asked.
  void AnotherInput();
  void Says(const raft::Message& message);
  // `before`: as it was before the turn, and `moved`: it is not of `raft` any more. `refused`: what
  // it heard was not for it. `persists`: a write was handed out.
  Wrong AfterTurn(const raft::Raft& raft, const raft::StepInvariants& before, bool moved,
                  bool refused, bool persists);

 private:
  enum class Answer : uint8_t { kNone, kToAppend, kToHeartbeat, kToVoteRequest };
  // An answer that is still to be given.
  struct Debt {
    raft::NodeId to;
    Answer answer;
    uint32_t writes;  // handed out since
  };
  struct Read {
    raft::NodeId from;
    uint64_t context;
  };
  struct Append {
    raft::Term term;
    raft::Index prev_index;
    raft::Term prev_term;
    raft::Index last;
  };
  struct Row {
    raft::NodeId id;
    raft::Index next;
    raft::Index match;
    raft::ProgressState state;
    uint64_t read_round;
    uint64_t try_again_at;
    uint64_t losses;
  };

  // A turn that is over.
  struct Turn {
    const raft::Raft& raft;
    const raft::StepInvariants& before;
    bool led;           // one term, from its beginning to its end
    bool reconfigured;  // its configuration is another one than before
    raft::Term term_before() const { return before.hard_state().term; }
    bool IsMember(raft::NodeId node) const;  // as far as it knows, all the time
  };

  const Row* RowBefore(raft::NodeId node) const;
  // The ticks of the turn may have ended its election timeout. Then its timer starts again by
  // itself, whether it campaigns or may not: a change of the members may be committed and not
  // applied.
  bool MayHaveBeenTime(const raft::Raft& raft) const;
  static Answer AnswerOf(const raft::MessageBody& body);
  void Owe(Answer answer);

  // What the turn has done with the message.
  Wrong Heeds(const Turn& turn, const raft::AppendRequest& request);
  Wrong Heeds(const Turn& turn, const raft::AppendResponse& response);
  Wrong Heeds(const Turn& turn, const raft::Heartbeat& heartbeat);
  Wrong Heeds(const Turn& turn, const raft::VoteRequest& request);
  Wrong Heeds(const Turn& turn, const raft::VoteResponse& response);
  Wrong Heeds(const Turn& turn, const raft::HeartbeatResponse& response);
  Wrong Heeds(const Turn& turn, const raft::InstallSnapshot& install);
  Wrong Heeds(const Turn& turn, const raft::TimeoutNow& order);
  Wrong Heeds(const Turn& turn, const raft::ReadIndexRequest& request);
  template <typename Body>
  Wrong Heeds(const Turn& /*turn*/, const Body& /*body*/) {
    return {};
  }
  Wrong HeedsLeader(const Turn& turn) const;
  void Agree(const raft::Raft& raft);
  Wrong Loyalty(const Turn& turn) const;

  Wrong Campaign(const raft::Raft& raft) const;
  Wrong Configuration(const Turn& turn) const;
  bool SomebodyLost(const raft::Raft& raft) const;
  Wrong Agreement(const Turn& turn) const;
  Wrong Leadership(const Turn& turn);
  Wrong Debts(const raft::Raft& raft, bool persists);
  Wrong Reads(const Turn& turn);

  // Before the turn, what StepInvariants does not know.
  uint32_t silence_ = 0;  // ticks since it heard of a leader, voted or campaigned
  uint64_t ticks_ = 0;
  bool loyal_ = false;  // hears a leader, so that nobody else is to move it
  raft::Index commit_ = 0;
  raft::Index applied_ = 0;
  raft::Index base_ = 0;  // of the log
  uint64_t confirmed_round_ = 0;
  raft::Index offered_snapshot_ = 0;
  raft::NodeId transfer_target_ = raft::kNoNode;
  uint64_t transfer_began_ = 0;
  std::vector<Row> rows_;  // of a leader

  const raft::Message* heard_ = nullptr;  // null also when it is one of several inputs
  std::vector<Append> appends_;           // that it has heard
  bool alone_ = true;                     // there was one input
  // Appends of this term have shown that the log agrees with its leader's up to here.
  raft::Index agreed_ = 0;
  // What it said in this turn, and what was wrong with that.
  std::vector<Debt> answered_;
  std::vector<Read> answered_reads_;
  Wrong said_;
  bool hides_loss_ = false;  // refuses, and does not say that it has lost entries
  std::vector<Debt> debts_;
  std::vector<Read> reads_;      // asked of it as a leader, by others
  raft::Term handed_over_ = 0;   // it campaigns in this term because it was asked to
  uint64_t transfer_ticks_ = 0;  // that it has lived through since its transfer began
};

}  // namespace raftkv::sim
