// A recording made by hand, small enough to know everything about: three nodes, and one of them
// votes twice in a term, because it has forgotten its vote.
#pragma once

#include <cstddef>
#include <string>

#include "sim/picture/page.h"
#include "sim/picture/recording.h"

namespace raftkv::sim {

inline constexpr size_t kEverything = 1'000;

// Bytes that would end a script or an attribute if they were let through.
inline constexpr char kHostile[] = "SET \"</script><!--\" \"&\\\"\xff\"";

inline NodeView ExampleView(raft::Term term, raft::NodeId vote) {
  NodeView view;
  view.run = RunState::kUp;
  view.term = term;
  view.vote = vote;
  view.commit = view.applied = view.durable = view.snapshot = view.base = 1;
  view.conf = "voters 1 2 3";
  return view;
}

// Keeps the last `most` events.
inline Recording ExampleRecording(size_t most = kEverything) {
  Recording recording(most);
  Time now = 1'000'000;
  const auto add = [&](Time wait, EventKind kind, raft::NodeId node, uint64_t subject = 0,
                       std::string text = {}, NodeChange change = {}) {
    now += wait;
    recording.Add({now, kind, node, subject, std::move(text), std::move(change)});
  };
  const auto send = [&](uint64_t number, raft::NodeId from, raft::NodeId to, MessageKind kind,
                        raft::Term term, std::string text) {
    PictureMessage message;
    message.from = from;
    message.to = to;
    message.sent = now;
    message.kind = kind;
    message.term = term;
    message.text = std::move(text);
    recording.AddMessage(number, message);
    add(0, EventKind::kSent, from, number);
  };
  const auto change = [](auto... set) {
    NodeChange made;
    (set(made), ...);
    return made;
  };
  const auto role = [](raft::RoleName value) { return [=](NodeChange& c) { c.role = value; }; };
  const auto term = [](raft::Term value) { return [=](NodeChange& c) { c.term = value; }; };
  const auto vote = [](raft::NodeId value) { return [=](NodeChange& c) { c.vote = value; }; };

  for (raft::NodeId node = 1; node <= 3; ++node) {
    NodeChange start = FieldsThatDiffer(NodeView(), ExampleView(1, raft::kNoNode));
    start.log = NodeChange::Log{1, 1, {}};
    add(0, EventKind::kStarted, node, 0, "starts", start);
  }
  recording.AddOperation(0, {"c1", kHostile, {"k"}, now, now + 9'000, true, "ok @2"});
  add(500, EventKind::kInvoked, raft::kNoNode, 0);
  add(10'000, EventKind::kTurn, 1, 0, "",
      change(role(raft::RoleName::kCandidate), term(2), vote(1)));
  send(1, 1, 2, MessageKind::kVote, 2, "vote request, last (1, term 1), term 2");
  send(2, 1, 3, MessageKind::kVote, 2, "vote request, last (1, term 1), term 2");
  add(0, EventKind::kLost, raft::kNoNode, 2);
  add(700, EventKind::kArrived, 2, 1, "", change(term(2), vote(1)));
  send(3, 2, 1, MessageKind::kVoteAnswer, 2, "vote granted, term 2");
  add(600, EventKind::kArrived, 1, 3, "", change(role(raft::RoleName::kLeader)));
  const EntryNumber entry = recording.Number({2, 2, kHostile}, 7);
  add(100, EventKind::kTurn, 1, 0, "", change([&](NodeChange& c) {
        c.log = NodeChange::Log{1, 1, {entry}};
      }));
  send(4, 1, 2, MessageKind::kAppend, 2, "append (1, term 1)+1 commit 1, term 2");
  add(0, EventKind::kDoubled, raft::kNoNode, 4);
  recording.AddFault(1, {"kills", "node 2 is down", {2}, {}, now, std::nullopt});
  add(300, EventKind::kPowerLoss, 2, 0, "", change([](NodeChange& c) { c.run = RunState::kDown; }));
  add(0, EventKind::kFault, raft::kNoNode, 1);
  add(400, EventKind::kIgnored, 2, 4);
  add(100, EventKind::kReset, raft::kNoNode, 4);
  recording.fault(1).end = now + 5'000;
  add(5'000, EventKind::kFaultOver, raft::kNoNode, 1);
  add(0, EventKind::kStarted, 2, 0, "starts",
      change(vote(raft::kNoNode), [](NodeChange& c) { c.run = RunState::kUp; }));
  send(5, 1, 2, MessageKind::kHeartbeat, 2, "heartbeat commit 1 round 1, term 2");
  add(300, EventKind::kReturned, raft::kNoNode, 0);
  add(9'000, EventKind::kTurn, 3, 0, "",
      change(role(raft::RoleName::kCandidate), term(2), vote(3)));
  send(6, 3, 2, MessageKind::kVote, 2, "vote request, last (1, term 1), term 2");
  add(800, EventKind::kArrived, 2, 6, "", change(vote(3)));
  add(0, EventKind::kViolation, 2, 0, "node 2 votes for node 3 in term 2 and has voted for node 1");
  send(7, 2, 3, MessageKind::kVoteAnswer, 2, "vote granted, term 2");
  return recording;
}

inline Caption ExampleCaption() {
  Caption caption;
  caption.seed = 4711;
  caption.profile = "everything";
  caption.about = "3 nodes, 1 client\n";
  caption.replay = "raftkv-sim run --profile everything --seed 4711 --html seed-4711.html";
  caption.violation = Violation{Oracle::kPromises, 1'028'000,
                                "node 2 votes for node 3 in term 2 and has voted for node 1"};
  return caption;
}

}  // namespace raftkv::sim
