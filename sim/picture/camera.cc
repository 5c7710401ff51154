#include "sim/picture/camera.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/raft/configuration.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"
#include "sim/check/text_format.h"
#include "sim/oracles/describe.h"

namespace raftkv::sim {
namespace {

// A value may be long, and a picture is looked at.
constexpr size_t kMostText = 200;

std::string Clip(std::string text) {
  if (text.size() > kMostText) text.replace(kMostText, std::string::npos, "...");
  return text;
}

template <typename... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <typename... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

void Classify(const raft::MessageBody& body, PictureMessage* picture) {
  std::visit(
      Overloaded{
          [&](const raft::AppendRequest& m) {
            picture->kind = MessageKind::kAppend;
            if (m.entries.empty()) return;
            picture->first = m.prev_index + 1;
            picture->last = m.prev_index + m.entries.size();
          },
          [&](const raft::AppendResponse& m) {
            picture->kind = MessageKind::kAppendAnswer;
            picture->refusal = m.rejected;
            picture->first = picture->last = m.index;
          },
          [&](const raft::VoteRequest& m) {
            picture->kind = m.pre_vote ? MessageKind::kPreVote : MessageKind::kVote;
          },
          [&](const raft::VoteResponse& m) {
            picture->kind = m.pre_vote ? MessageKind::kPreVoteAnswer : MessageKind::kVoteAnswer;
            picture->refusal = m.rejected;
          },
          [&](const raft::Heartbeat&) { picture->kind = MessageKind::kHeartbeat; },
          [&](const raft::HeartbeatResponse&) { picture->kind = MessageKind::kHeartbeatAnswer; },
          [&](const raft::InstallSnapshot& m) {
            picture->kind = MessageKind::kSnapshot;
            picture->last = m.meta.index;
          },
          [&](const raft::TimeoutNow&) { picture->kind = MessageKind::kTransfer; },
          [&](const raft::ForwardedProposal&) { picture->kind = MessageKind::kForward; },
          [&](const raft::ForwardedTransfer&) { picture->kind = MessageKind::kTransfer; },
          [&](const raft::ReadIndexRequest&) { picture->kind = MessageKind::kRead; },
          [&](const raft::ReadIndexResponse& m) {
            picture->kind = MessageKind::kRead;
            picture->refusal = m.rejected;
          },
      },
      body);
}

void Classify(const wire::PeerBody& body, PictureMessage* picture) {
  std::visit(Overloaded{
                 [&](const wire::Hello&) { picture->kind = MessageKind::kForward; },
                 [&](const raft::Message& m) {
                   picture->term = m.term;
                   Classify(m.body, picture);
                 },
                 [&](const wire::ForwardRequest& m) {
                   picture->kind = MessageKind::kForward;
                   picture->term = m.term;
                 },
                 [&](const wire::ForwardReply& m) {
                   picture->kind = MessageKind::kForward;
                   picture->refusal = m.outcome != wire::ForwardOutcome::kApplied;
                 },
                 [&](const wire::SnapshotChunk& m) {
                   picture->kind = MessageKind::kSnapshot;
                   picture->term = m.term;
                   picture->last = m.meta.index;
                 },
                 [&](const wire::SnapshotAck&) { picture->kind = MessageKind::kSnapshot; },
                 [&](const auto&) { picture->kind = MessageKind::kRepair; },
             },
             body);
}

std::string DescribePersist(const raft::PersistJob& job) {
  std::string text;
  const auto add = [&text](const auto&... pieces) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", pieces...);
  };
  if (job.hard_state.has_value()) {
    add("term ", job.hard_state->term);
    if (job.hard_state->vote != raft::kNoNode) add("vote for node ", job.hard_state->vote);
  }
  if (job.snapshot.has_value()) add("snapshot ", job.snapshot->index, " in place of its log");
  if (!job.entries.empty()) {
    add(job.entries.size() == 1 ? "entry " : "entries ", job.entries.front().index);
    if (job.entries.size() > 1) absl::StrAppend(&text, " to ", job.entries.back().index);
  } else if (job.writes_log) {
    add("log cut behind ", job.keep_through);
  }
  return text.empty() ? "nothing to write" : absl::StrCat("has written ", text);
}

// Empty: not worth an event.
std::string DescribeJob(const replica::JobBody& body) {
  return std::visit(Overloaded{
                        [](const raft::PersistJob& job) { return DescribePersist(job); },
                        [](const replica::SwitchSnapshot& job) {
                          return absl::StrCat("snapshot ", job.meta.index, " is the current one");
                        },
                        [](const replica::RestoreSnapshot& job) {
                          return absl::StrCat("snapshot ", job.meta.index, " is restored");
                        },
                        [](const replica::CompactLog& job) {
                          return absl::StrCat("log compacted up to ", job.through);
                        },
                        [](const replica::SettleLog& job) {
                          return absl::StrCat("repaired log is written, with ", job.entries.size(),
                                              " entries");
                        },
                        [](const replica::FinishSnapshot& job) {
                          return std::string(job.origin == replica::SnapshotOrigin::kReceived
                                                 ? "received snapshot is synced"
                                                 : "own snapshot is synced");
                        },
                        [](const auto&) { return std::string(); },
                    },
                    body);
}

std::string DescribeEvent(const replica::Event& event) {
  return std::visit(
      Overloaded{
          [](const replica::SnapshotInstalled& e) {
            return absl::StrCat("has installed snapshot ", e.index);
          },
          [](const replica::PeerRefused& e) {
            return absl::StrCat("refuses a message of node ", e.from, ": ", e.reason);
          },
          [](const replica::DiskSpace& e) {
            return std::string(e.full ? "finds its disk full" : "finds space on its disk again");
          },
          [](const replica::RotFound& e) { return absl::StrCat("finds rot: ", e.rot.text); },
          [](const replica::RepairStarted& e) {
            return e.bad_entries == 0
                       ? absl::StrCat("cannot read its snapshot ", e.snapshot)
                       : absl::StrCat("cannot read ", e.bad_entries, " entries from ", e.first,
                                      " to ", e.last, ", and takes part in nothing");
          },
          [](const replica::RepairWaiting& e) { return absl::StrCat("waits for ", e.what); },
          [](const replica::RepairClosed& e) {
            return absl::StrCat("is repaired, with ", e.fetched_entries, " entries of others");
          },
          [](const replica::SuspicionWaiting& e) {
            return absl::StrCat("may have lost entries up to ", e.suspicion.index,
                                ", and waits for ", e.what);
          },
          [](const replica::SuspicionDropped& e) {
            return e.rest
                       ? absl::StrCat("has lost nothing behind ", e.rest->index)
                       : absl::StrCat("gives up what it may have lost up to ", e.suspicion.index);
          },
          [](const replica::LostEndFetched& e) {
            return absl::StrCat("takes lost entries ", e.first, " to ", e.last, " from node ",
                                e.from);
          },
          [](const auto&) { return std::string(); },
      },
      event);
}

}  // namespace

void Camera::Add(EventKind kind, raft::NodeId node, uint64_t subject, absl::string_view text,
                 NodeChange change) {
  recording_->Add({scheduler_->now(), kind, node, subject, std::string(text), std::move(change)});
}

void Camera::Remark(absl::string_view text) { Add(EventKind::kRemark, raft::kNoNode, 0, text); }

void Camera::NoticeVerdict(raft::NodeId node) {
  if (noticed_ || !judge_->failed()) return;
  noticed_ = true;
  Add(EventKind::kViolation, node, 0, judge_->violation()->text);
}

// --- Nodes

NodeChange Camera::LookAtRun(raft::NodeId node, RunState run) {
  Node& known = nodes_[node];
  NodeView after = known.view;
  after.run = run;
  if (run == RunState::kDown) {
    // What a process knows and does not write down goes with it.
    after.role = raft::RoleName::kFollower;
    after.leader = raft::kNoNode;
    after.match.clear();
  }
  NodeChange change = FieldsThatDiffer(known.view, after);
  known.view = std::move(after);
  return change;
}

NodeChange::Log Camera::CompareLogs(const raft::Log& log, const Node& node) {
  NodeChange::Log change;
  change.base = log.base();
  change.keep = log.base();
  const NodeView& view = node.view;
  if (log.base() >= view.base && log.base() <= view.last()) {
    const raft::Index common = raft::TermRuns::CommonPrefix(node.terms, log.terms());
    change.keep = std::clamp(common, log.base(), view.last());
  }
  for (raft::Index i = change.keep + 1; i <= log.last(); ++i) {
    const raft::Entry& entry = log.At(i);
    change.appended.push_back(
        recording_->Number({entry.index, entry.term, DescribePayload(entry)}, HashEntry(entry)));
  }
  return change;
}

NodeChange Camera::Look(const raft::Raft& raft, RunState run) {
  Node& known = nodes_[raft.id()];
  NodeView after;
  after.run = run;
  after.role = raft.role();
  after.term = raft.term();
  after.vote = raft.vote();
  after.leader = raft.leader();
  after.commit = raft.commit();
  after.applied = raft.applied();
  after.durable = raft.durable();
  after.snapshot = std::max(raft.offered_snapshot().index, raft.log().base());
  if (raft.suspicion().has_value()) after.promised = raft.suspicion()->index;
  if (raft.progress() != nullptr) {
    for (const raft::Progress& peer : *raft.progress()) {
      after.match.emplace_back(peer.id, peer.match);
    }
  }
  after.conf =
      raft.conf() == known.conf ? known.view.conf : raft::DescribeConfiguration(raft.conf());
  known.conf = raft.conf();

  NodeChange change = FieldsThatDiffer(known.view, after);
  NodeChange::Log log = CompareLogs(raft.log(), known);
  const bool same =
      log.appended.empty() && log.base == known.view.base && log.keep == known.view.last();
  if (!same) {
    change.log = std::move(log);
    known.terms = raft.log().terms();
  }
  Apply(change, &known.view);
  return change;
}

void Camera::Started(const replica::Replica& replica, RunState run, absl::string_view text) {
  nodes_[replica.raft().id()].repairing = run == RunState::kRepairing;
  Add(EventKind::kStarted, replica.raft().id(), 0, text, Look(replica.raft(), run));
}

void Camera::Damaged(const replica::Replica& replica) {
  Started(replica, RunState::kRepairing,
          "starts with a damaged disk, to be repaired by the others");
  next_->Damaged(replica);
  NoticeVerdict(replica.raft().id());
}

void Camera::Recovered(const replica::Replica& replica, const raft::Recovered& recovered) {
  const bool repaired = nodes_[replica.raft().id()].view.run == RunState::kRepairing;
  Started(replica, RunState::kUp, repaired ? "is repaired" : "starts");
  next_->Recovered(replica, recovered);
  NoticeVerdict(replica.raft().id());
}

void Camera::RecoveryRefused(raft::NodeId node, const absl::Status& reason) {
  Say(node, absl::StrCat("does not start again: ", reason.ToString()));
  next_->RecoveryRefused(node, reason);
  NoticeVerdict(node);
}

void Camera::Ended(raft::NodeId node, const absl::Status& reason, bool disk_failed) {
  Say(node, absl::StrCat("ends by itself: ", reason.ToString()));
  next_->Ended(node, reason, disk_failed);
  NoticeVerdict(node);
}

void Camera::BeforeTurn(const replica::Replica& replica) { next_->BeforeTurn(replica); }

void Camera::Hears(const replica::Replica& replica, const wire::PeerMessage* message,
                   bool connected) {
  next_->Hears(replica, message, connected);
}

void Camera::AfterTurn(const replica::Replica& replica, const replica::Work& work) {
  const raft::NodeId id = replica.raft().id();
  NodeChange change = Look(replica.raft(), RunState::kUp);
  if (!change.empty() && !recording_->ChangeByLast(scheduler_->now(), id, &change)) {
    Add(EventKind::kTurn, id, 0, {}, std::move(change));
  }
  for (const replica::Event& event : work.events) {
    if (const std::string text = DescribeEvent(event); !text.empty()) Say(id, text);
  }
  next_->AfterTurn(replica, work);
  NoticeVerdict(id);
}

void Camera::JobDone(raft::NodeId node, const replica::Job& job, const replica::JobResult& result) {
  std::string text = DescribeJob(job.body);
  const bool hopeless = !result.status.ok() && !absl::IsUnavailable(result.status);
  if (hopeless) text = absl::StrCat("error: ", result.status.ToString());
  if (!text.empty()) Add(EventKind::kDisk, node, 0, text);
  next_->JobDone(node, job, result);
  NoticeVerdict(node);
}

void Camera::Died(raft::NodeId node, bool lost_power) {
  Add(lost_power ? EventKind::kPowerLoss : EventKind::kKilled, node, 0, {},
      LookAtRun(node, RunState::kDown));
  next_->Died(node, lost_power);
}

void Camera::DiedInRecovery(raft::NodeId node) {
  Add(EventKind::kPowerLoss, node, 0, "while it recovers", LookAtRun(node, RunState::kDown));
  next_->DiedInRecovery(node);
}

void Camera::Paused(raft::NodeId node) {
  Add(EventKind::kPaused, node, 0, {}, LookAtRun(node, RunState::kPaused));
  next_->Paused(node);
}

void Camera::Resumed(raft::NodeId node) {
  Add(EventKind::kResumed, node, 0, {},
      LookAtRun(node, nodes_[node].repairing ? RunState::kRepairing : RunState::kUp));
  next_->Resumed(node);
}

void Camera::RecoverySays(raft::NodeId node, const std::string& text) {
  Say(node, absl::StrCat("recovery: ", text));
  next_->RecoverySays(node, text);
}

// --- Frames

void Camera::FrameSent(uint64_t number, raft::NodeId from, raft::NodeId to,
                       const std::string& frame) {
  PictureMessage picture;
  picture.from = from;
  picture.to = to;
  picture.sent = scheduler_->now();
  const absl::StatusOr<wire::PeerMessage> message =
      wire::DecodePeer(absl::string_view(frame).substr(wire::kFrameHeaderSize));
  if (message.ok()) {
    Classify(message->body, &picture);
    picture.text = DescribePeerBody(message->body);
  } else {
    picture.text = "does not decode";
  }
  recording_->AddMessage(number, std::move(picture));
  Add(EventKind::kSent, from, number);
}

void Camera::FrameDoubled(uint64_t number) { Add(EventKind::kDoubled, raft::kNoNode, number); }

void Camera::FrameMet(uint64_t number, Network::Fate fate) {
  const auto message = recording_->messages().find(number);
  if (message == recording_->messages().end()) return;  // under way for longer than we remember
  switch (fate) {
    case Network::Fate::kArrived: {
      const raft::NodeId to = message->second.to;
      const RunState run = nodes_[to].view.run;
      const bool there = run == RunState::kUp || run == RunState::kRepairing;
      return Add(there                      ? EventKind::kArrived
                 : run == RunState::kPaused ? EventKind::kWaits
                                            : EventKind::kIgnored,
                 to, number);
    }
    case Network::Fate::kLost:
      return Add(EventKind::kLost, raft::kNoNode, number);
    case Network::Fate::kCut:
      return Add(EventKind::kCut, raft::kNoNode, number);
    case Network::Fate::kHeld:
      return Add(EventKind::kHeld, raft::kNoNode, number);
    case Network::Fate::kReset:
      return Add(EventKind::kReset, raft::kNoNode, number);
  }
}

// --- Faults

void Camera::FaultBegan(uint64_t id, Fault fault, const Nemesis::Aim& aim) {
  recording_->AddFault(id, {std::string(Name(fault)), aim.text, aim.nodes, aim.links,
                            scheduler_->now(), std::nullopt});
  Add(EventKind::kFault, raft::kNoNode, id);
}

void Camera::FaultOver(uint64_t id) {
  recording_->fault(id).end = scheduler_->now();
  Add(EventKind::kFaultOver, raft::kNoNode, id);
}

void Camera::NemesisSays(absl::string_view text) { Remark(absl::StrCat("nemesis ", text)); }

// --- Clients

void Camera::Invoked(Recorder::Id id, const Operation& operation) {
  PictureOperation picture;
  picture.client = operation.process;
  picture.text = Clip(DescribeCommands(operation));
  for (const Guard& guard : operation.guards) picture.keys.push_back(absl::CHexEscape(guard.key));
  for (const Command& command : operation.commands) {
    if (command.verb != Verb::kSize) picture.keys.push_back(absl::CHexEscape(command.key));
  }
  picture.begin = scheduler_->now();
  recording_->AddOperation(id, std::move(picture));
  Add(EventKind::kInvoked, raft::kNoNode, id);
}

void Camera::Asked(Recorder::Id id, raft::NodeId node) { Add(EventKind::kAsked, node, id); }

void Camera::Returned(Recorder::Id id, const Operation& operation) {
  PictureOperation& picture = recording_->operation(id);
  picture.end = scheduler_->now();
  picture.acknowledged = operation.outcome == Outcome::kOk;
  picture.outcome = Clip(DescribeOutcome(operation));
  Add(EventKind::kReturned, raft::kNoNode, id);
}

}  // namespace raftkv::sim
