// What a node does in one turn, against what Raft tells it to do then (paper, figure 2; thesis,
// sections 3.10, 4.2.3, 6.4). Other oracles see what comes of a broken rule when luck is bad
// enough; this one sees the rule broken.
//
// One for each node. Not for nodes that repair their disk, or that have stopped.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/raft/raft.h"

namespace raftkv::sim {

class Rules {
 public:
  // The node is up again; what it owed it owes no more.
  void Restarted() { *this = Rules(); }

  void BeforeTurn(const raft::Raft& raft);
  // The message that this turn is about, if any, which lives until AfterTurn.
  void Hears(const raft::Message& message) { heard_ = &message; }
  void Says(const raft::Message& message);
  // `refused`: what it heard was not for it. `conf`: before the turn. `persists`: a write was
  // handed out. Returns what is wrong, without saying of whom, or nothing.
  std::string AfterTurn(const raft::Raft& raft, bool refused, const raft::ConfState& conf,
                        bool persists);

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
  struct Row {
    raft::NodeId id;
    raft::Index next;
    raft::Index match;
    raft::ProgressState state;
  };

  static Answer AnswerOf(const raft::MessageBody& body);
  void Owe(Answer answer);
  bool Led(const raft::Raft& raft) const;

  // What the turn has done with the message.
  std::string Heeds(const raft::Raft& raft, const raft::AppendRequest& request);
  std::string Heeds(const raft::Raft& raft, const raft::Heartbeat& heartbeat);
  std::string Heeds(const raft::Raft& raft, const raft::VoteRequest& request);
  std::string Heeds(const raft::Raft& raft, const raft::VoteResponse& response);
  std::string Heeds(const raft::Raft& raft, const raft::TimeoutNow& order);
  std::string Heeds(const raft::Raft& raft, const raft::ReadIndexRequest& request);
  template <typename Body>
  std::string Heeds(const raft::Raft& /*raft*/, const Body& /*body*/) {
    return {};
  }
  std::string HeedsLeader(const raft::Raft& raft) const;

  std::string Campaign(const raft::Raft& raft) const;
  std::string Leadership(const raft::Raft& raft);
  std::string Debts(const raft::Raft& raft, bool persists);
  std::string Reads(const raft::Raft& raft, const raft::ConfState& conf);

  // Before the turn.
  raft::Term term_ = 0;
  raft::RoleName role_ = raft::RoleName::kFollower;
  uint32_t silence_ = 0;  // ticks since it heard of a leader, voted or campaigned
  uint64_t ticks_ = 0;
  raft::Index last_ = 0;
  raft::Index offered_snapshot_ = 0;
  raft::NodeId transfer_target_ = raft::kNoNode;
  std::vector<Row> rows_;  // of a leader

  const raft::Message* heard_ = nullptr;
  // What it said in this turn, and what was wrong with that.
  std::vector<Debt> answered_;
  std::vector<Read> answered_reads_;
  std::string said_;
  std::vector<Debt> debts_;
  std::vector<Read> reads_;      // asked of it as the leader of term_, by others
  raft::Term handed_over_ = 0;   // it campaigns in this term because it was asked to
  uint64_t transfer_ticks_ = 0;  // that it has lived through since its transfer began
};

}  // namespace raftkv::sim
