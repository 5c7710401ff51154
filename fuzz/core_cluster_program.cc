#include "fuzz/core_cluster_program.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"
#include "fuzz/core_runner.h"
#include "tests/raft/script_text.h"

namespace raftkv::raft {
namespace {

constexpr size_t kMaxUnderWay = 64;    // messages; the oldest is lost when there are more
constexpr uint64_t kMaxCommands = 96;  // proposed in a program
constexpr int kRestRounds = 600;       // ticks in which a healed cluster must come to rest
constexpr int kWaitRounds = 100;       // ticks after which it may say that it waits

constexpr NodeId kAny = kNoNode;

template <typename T, size_t N>
T Choose(const T (&choices)[N], unsigned which) {
  return choices[which % N];
}

MembershipChange ChangeOf(uint8_t what, size_t nodes) {
  using Kind = MemberChange::Kind;
  using Transition = MembershipChange::Transition;
  const unsigned which = what >> 3;
  const NodeId x = which % nodes + 1;
  const NodeId y = which / nodes % nodes + 1;
  MembershipChange change;
  switch (what & 7) {
    case 0:
    case 1:
      change.changes = {{Kind::kAddVoter, x}};
      break;
    case 2:
      change.changes = {{Kind::kAddLearner, x}};
      break;
    case 3:
      change.changes = {{Kind::kRemove, x}};
      break;
    case 4:
      break;  // leave
    case 5:
      change.transition = Transition::kJointImplicit;
      change.changes = {{Kind::kAddVoter, x}, {Kind::kRemove, y}};
      break;
    case 6:
      change.transition = Transition::kJointExplicit;
      change.changes = {{Kind::kRemove, x}, {Kind::kAddLearner, y}};
      break;
    default:
      change.changes = {{Kind::kAddVoter, x}, {Kind::kAddVoter, y}};
      break;
  }
  return change;
}

std::string DescribeChange(const MembershipChange& change) {
  if (change.leaves_joint()) return "leave joint";
  static constexpr const char* kKinds[] = {"voter", "remove", "update", "learner"};
  static constexpr const char* kTransitions[] = {"", " auto-leave", " explicit"};
  std::string text;
  for (const MemberChange& one : change.changes) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", kKinds[static_cast<int>(one.kind)], " ",
                    one.node);
  }
  return absl::StrCat(text, kTransitions[static_cast<int>(change.transition)]);
}

std::string OneLine(const Message& message) {
  std::string text = DescribeMessage(message);
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  return text;
}

void Bend(uint64_t& value, unsigned how) {
  switch (how & 7) {
    case 0:
      ++value;
      break;
    case 1:
      --value;
      break;
    case 2:
      value = 0;
      break;
    case 3:
      value += 2;
      break;
    case 4:
      value *= 2;
      break;
    case 5:
      value = 1;
      break;
    case 6:
      value += uint64_t{1} << 40;
      break;
    default:
      value = std::numeric_limits<uint64_t>::max();
      break;
  }
}

struct Bender {
  unsigned field;
  unsigned how;

  template <typename... Fields>
  void Any(Fields&... fields) {
    unsigned at = 0;
    ((at++ == field % sizeof...(fields) ? One(fields) : void()), ...);
  }
  void One(uint64_t& value) { Bend(value, how); }
  void One(bool& value) { value = !value; }
  void One(std::vector<NodeId>& ids) {
    if (ids.empty()) return ids.push_back(how + 1);
    Bend(ids[how % ids.size()], how);
  }
  void One(Entries& entries) {
    if (entries.empty()) {
      entries.emplace_back();
    } else if (how & 1) {
      entries.pop_back();
    } else {
      Bend(entries.back().term, how >> 1);
    }
  }

  void operator()(AppendRequest& body) {
    Any(body.prev_index, body.prev_term, body.commit, body.entries);
    Index index = body.prev_index;
    for (Entry& entry : body.entries) entry.index = ++index;
  }
  void operator()(AppendResponse& body) {
    Any(body.index, body.rejected, body.hint_index, body.hint_term, body.lost);
  }
  void operator()(VoteRequest& body) {
    Any(body.last_index, body.last_term, body.pre_vote, body.transfer, body.commit,
        body.commit_term);
  }
  void operator()(VoteResponse& body) {
    Any(body.rejected, body.pre_vote, body.commit, body.commit_term);
  }
  void operator()(Heartbeat& body) { Any(body.commit, body.read_round); }
  void operator()(HeartbeatResponse& body) { Any(body.read_round); }
  void operator()(InstallSnapshot& body) {
    Any(body.meta.index, body.meta.term, body.meta.conf.voters, body.meta.conf.learners,
        body.meta.conf.voters_outgoing, body.meta.conf.learners_next, body.meta.conf.auto_leave);
  }
  void operator()(TimeoutNow&) {}
  void operator()(ForwardedProposal& body) { Any(body.entries); }
  void operator()(ForwardedTransfer& body) { Any(body.target); }
  void operator()(ReadIndexRequest& body) { Any(body.context); }
  void operator()(ReadIndexResponse& body) { Any(body.context, body.index, body.rejected); }
};

// A lie reaches a core only if the wire lets it through, and as the wire hands it over.
bool ThroughTheWire(Message& message) {
  wire::PeerEncoder encoder;
  const wire::Envelope envelope{0, message.from, 1, message.to, 1};
  absl::StatusOr<wire::PeerMessage> read =
      wire::DecodePeer(encoder.Encode(envelope, message).substr(wire::kFrameHeaderSize));
  if (!read.ok()) return false;
  message = std::get<Message>(std::move(read->body));
  return true;
}

}  // namespace

// ---- What happened

void ClusterCounts::Add(const ClusterCounts& other) {
  programs += other.programs;
  instructions += other.instructions;
  delivered += other.delivered;
  lost += other.lost;
  repeated += other.repeated;
  lies += other.lies;
  crashes += other.crashes;
  crashes_writing += other.crashes_writing;
  losses += other.losses;
  regained += other.regained;
  torn += other.torn;
  waits += other.waits;
  elections += other.elections;
  commits += other.commits;
  truncations += other.truncations;
  membership += other.membership;
  joint += other.joint;
  snapshots += other.snapshots;
  compactions += other.compactions;
  transfers += other.transfers;
  reads += other.reads;
  rest_rounds += other.rest_rounds;
  with_election += other.with_election;
  with_commit += other.with_commit;
  with_crash += other.with_crash;
  with_loss += other.with_loss;
  with_truncation += other.with_truncation;
  with_membership += other.with_membership;
  with_snapshot += other.with_snapshot;
  with_read += other.with_read;
}

std::string ClusterCounts::Describe() const {
  const double all = static_cast<double>(std::max<uint64_t>(programs, 1));
  std::string text = absl::StrCat(programs, " programs\n");
  const auto row = [&](absl::string_view what, uint64_t count,
                       std::optional<uint64_t> with = std::nullopt) {
    absl::StrAppendFormat(&text, "  %-22s %9.2f per program", what,
                          static_cast<double>(count) / all);
    if (with)
      absl::StrAppendFormat(&text, ", in %5.1f %%", 100.0 * static_cast<double>(*with) / all);
    text += '\n';
  };
  row("instructions", instructions);
  row("delivered", delivered);
  row("lost", lost);
  row("repeated", repeated);
  row("lies", lies);
  row("elections", elections, with_election);
  row("entries committed", commits, with_commit);
  row("logs truncated", truncations, with_truncation);
  row("crashes", crashes, with_crash);
  row("  while writing", crashes_writing);
  row("logs lost their end", losses, with_loss);
  row("  or were torn", torn);
  row("  taken from others", regained);
  row("  and must wait", waits);
  row("memberships applied", membership, with_membership);
  row("  joint", joint);
  row("compactions", compactions);
  row("snapshots installed", snapshots, with_snapshot);
  row("transfers", transfers);
  row("read points", reads, with_read);
  row("ticks to come to rest", rest_rounds);
  return text;
}

// ---- The program

ClusterProgram::ClusterProgram(absl::string_view bytes, std::ostream* text)
    : bytes_(bytes), text_(text) {}

uint8_t ClusterProgram::Take() {
  return next_ < bytes_.size() ? static_cast<uint8_t>(bytes_[next_++]) : 0;
}

template <typename... Parts>
void ClusterProgram::Say(const Parts&... parts) {
  if (text_ != nullptr) *text_ << absl::StrCat(parts...) << std::endl;
}

template <typename... Parts>
void ClusterProgram::Became(const Parts&... parts) {
  if (text_ != nullptr) *text_ << "        " << absl::StrCat(parts...) << std::endl;
}

void ClusterProgram::Found() {
  const unsigned shape = Take();
  const unsigned flags = Take();
  const unsigned limits = Take();
  const unsigned times = Take();
  const unsigned start = Take();

  Options shared;
  shared.pre_vote = !(flags & 1);
  shared.check_quorum = !shared.pre_vote || !(flags & 2);  // options.h: one of the two
  shared.step_down_on_removal = !(flags & 4);
  shared.step_down_on_hung_disk = !(flags & 8);
  shared.merge_messages = !(flags & 16);
  shared.forward_proposals = flags & 32;
  lockstep_ = (flags & 0xc0) == 0x40;
  lying_ = (flags & 0xc0) == 0xc0;
  shared.max_append_bytes =
      Choose({uint64_t{1} << 20, uint64_t{1}, uint64_t{40}, uint64_t{80}}, limits);
  shared.max_inflight_messages =
      Choose({uint64_t{256}, uint64_t{1}, uint64_t{2}, uint64_t{4}}, limits >> 2);
  shared.max_committed_bytes =
      Choose({uint64_t{1} << 20, uint64_t{1}, uint64_t{40}, uint64_t{80}}, limits >> 4);
  shared.max_uncommitted_bytes =
      Choose({uint64_t{1} << 20, uint64_t{1} << 20, uint64_t{1}, uint64_t{12}}, limits >> 6);
  shared.max_inflight_bytes = times & 1 ? std::max<uint64_t>(shared.max_append_bytes, 60) : 0;
  shared.election_ticks = 3 + (times >> 1) % 8;
  shared.heartbeat_ticks = 1;
  shared.lease_drift_ticks = 0;
  if (lockstep_) {
    shared.check_quorum = true;
    shared.read_mode = ReadMode::kLease;
  }
  seed_ = times >> 4;
  oracle_ = ClusterOracle(lying_ ? ClusterOracle::Peers::kLying : ClusterOracle::Peers::kHonest);

  const NodeId nodes = 3 + shape % 3;
  const NodeId voters =
      Choose({nodes, nodes, nodes - 1, NodeId{3}, NodeId{2}, NodeId{1}}, shape / 3);
  const bool learner = voters < nodes && (shape & 0x80);
  MemoryDisk founding;
  founding.hard_state.term = 1;
  founding.snapshot.meta = SnapshotMeta{1, 1, {}};
  for (NodeId id = 1; id <= voters; ++id) founding.snapshot.meta.conf.voters.push_back(id);
  if (learner) founding.snapshot.meta.conf.learners.push_back(voters + 1);

  Say("cluster of ", nodes, ": ", DescribeConfiguration(founding.snapshot.meta.conf),
      shared.pre_vote ? ", pre-vote" : "", shared.check_quorum ? ", check-quorum" : "",
      shared.step_down_on_removal ? ", step-down-on-removal" : "",
      shared.step_down_on_hung_disk ? ", step-down-on-hung-disk" : "",
      shared.merge_messages ? ", merge-messages" : "",
      shared.forward_proposals ? ", forward-proposals" : "",
      lockstep_ ? ", lease reads (clocks in step)" : "", lying_ ? ", lying peers" : "");
  Say("election ", shared.election_ticks, " ticks, append ", shared.max_append_bytes,
      " B, in flight ", shared.max_inflight_messages, " messages ", shared.max_inflight_bytes,
      " B, committed ", shared.max_committed_bytes, " B, uncommitted ",
      shared.max_uncommitted_bytes, " B");
  members_.resize(nodes);
  blocked_.resize(nodes);
  for (NodeId id = 1; id <= nodes; ++id) {
    At(id).options = shared;
    At(id).options.id = id;
    Start(At(id), IsMember(founding.snapshot.meta.conf, id) ? founding : MemoryDisk());
  }
  if (start & 0x20) {
    Say("node 1 campaigns");
    // Who may have confirmed a lease in an earlier life votes only after an election timeout.
    for (uint32_t i = 0; lockstep_ && i < shared.election_ticks; ++i) TickEverywhere();
    At(1).node->raft().Campaign();
    RunRounds(4);
  }
  for (NodeId id = 1; id <= nodes; ++id) {
    At(id).slow = (start >> (id - 1)) & 1;
    if (At(id).slow) Say("the disk of ", id, " is slow");
  }
}

std::string ClusterProgram::Run() {
  Found();
  while (next_ < bytes_.size() && counts_.instructions < kMaxInstructions && failure_.empty()) {
    ++counts_.instructions;
    Execute();
  }
  counts_.programs = 1;
  counts_.elections = oracle_.leaders().size();
  counts_.commits = committed_ > 1 ? committed_ - 1 : 0;
  counts_.with_election = counts_.elections > 0;
  counts_.with_commit = counts_.commits > 1;
  counts_.with_crash = counts_.crashes > 0;
  counts_.with_loss = counts_.losses > 0;
  counts_.with_truncation = counts_.truncations > 0;
  counts_.with_membership = counts_.membership > 0;
  counts_.with_snapshot = counts_.snapshots > 0;
  counts_.with_read = counts_.reads > 0;
  if (lying_) counts_.commits = 0;
  if (failure_.empty() && !lying_) ComeToRest();
  return failure_;
}

void ClusterProgram::Execute() {
  const uint8_t byte = Take();
  const unsigned argument = byte & 7;
  const NodeId id = Named(argument);
  const size_t under_way = messages_.size();
  const size_t front = under_way == 0 ? 0 : argument % under_way;
  const auto is_for = [id](const Envelope& envelope) { return envelope.message.to == id; };
  const auto number = [&] { return absl::StrCat(counts_.instructions, "  "); };
  switch (static_cast<Op>(byte >> 3)) {
    case Op::kDeliverOldest: {
      const auto at = std::find_if(messages_.begin(), messages_.end(), is_for);
      if (at == messages_.end()) break;
      Say(number(), "deliver the oldest to ", id);
      Deliver(static_cast<size_t>(at - messages_.begin()));
      break;
    }
    case Op::kDeliverNewest: {
      const auto at = std::find_if(messages_.rbegin(), messages_.rend(), is_for);
      if (at == messages_.rend()) break;
      Say(number(), "deliver the newest to ", id);
      Deliver(static_cast<size_t>(messages_.rend() - at) - 1);
      break;
    }
    case Op::kDeliverFront:
      if (under_way == 0) break;
      Say(number(), "deliver message ", front, " of ", under_way);
      Deliver(front);
      break;
    case Op::kLate: {
      if (late_.empty()) break;
      const size_t place = argument % late_.size();
      Say(number(), "deliver message ", place, " of ", late_.size(), " put aside");
      messages_.insert(messages_.begin(), std::move(late_[place]));
      late_.erase(late_.begin() + static_cast<std::ptrdiff_t>(place));
      Deliver(0, How::kLate);
      break;
    }
    case Op::kDeliverTo:
      Say(number(), "deliver everything to ", id);
      DeliverAll(kAny, id);
      break;
    case Op::kDeliverFrom:
      Say(number(), "deliver everything from ", id);
      DeliverAll(id, kAny);
      break;
    case Op::kRun:
      Say(number(), "run ", argument + 1, " rounds");
      RunRounds(argument + 1);
      break;
    case Op::kDrop: {
      if (under_way == 0) break;
      const size_t place = (argument & 3) % under_way;
      if (argument < 4) {
        Say(number(), "drop message ", place, " of ", under_way);
        Drop(place);
      } else {
        Say(number(), "put aside message ", place, " of ", under_way);
        PutAside(messages_[place]);
        messages_.erase(messages_.begin() + static_cast<std::ptrdiff_t>(place));
      }
      break;
    }
    case Op::kDropTo:
      Say(number(), "drop everything to ", id);
      for (size_t place = 0; place < messages_.size();) {
        if (is_for(messages_[place])) {
          Drop(place);
        } else {
          ++place;
        }
      }
      break;
    case Op::kRepeat: {
      if (under_way == 0) break;
      const size_t place = (argument & 3) % under_way;
      ++counts_.repeated;
      if (argument < 4) {
        Say(number(), "deliver message ", place, " of ", under_way, " and keep it");
        Deliver(place, How::kKeep);
      } else {
        Say(number(), "put aside a copy of message ", place, " of ", under_way);
        PutAside(messages_[place]);
      }
      break;
    }
    case Op::kLie: {
      const uint8_t how = Take();
      if (under_way == 0) break;
      Message bent = messages_[front].message;
      if (lying_ && Lie(bent, how)) {
        ++counts_.lies;
        messages_[front].message = std::move(bent);
        Say(number(), "lie ", static_cast<int>(how), " in message ", front, " of ", under_way);
      } else {
        Say(number(), "deliver message ", front, " of ", under_way);
      }
      Deliver(front);
      break;
    }
    case Op::kTick:
      Say(number(), "tick ", lockstep_ ? "all" : absl::StrCat(id));
      Tick(id);
      break;
    case Op::kTickToElection:
      Say(number(), "tick ", id, " until something changes");
      TickToElection(id);
      break;
    case Op::kElect:
      Say(number(), "elect ", id);
      Elect(id);
      break;
    case Op::kTickAll:
      Say(number(), "tick all ", argument + 1, " times");
      for (unsigned i = 0; i <= argument; ++i) TickEverywhere();
      break;
    case Op::kBegin:
      Say(number(), "take a Ready at ", id);
      Begin(id);
      break;
    case Op::kFinish:
      Say(number(), "finish writing at ", id);
      Finish(id);
      break;
    case Op::kDrive:
      Say(number(), "drive ", id);
      Drive(id);
      break;
    case Op::kDriveAll:
      Say(number(), "drive all");
      DriveAll(argument);
      break;
    case Op::kCrash:
      Say(number(), "crash ", id, ", nothing written");
      Crash(id, MemoryNode::Written::kNothing);
      break;
    case Op::kCrashWritten:
      Say(number(), "crash ", id, ", all written");
      Crash(id, MemoryNode::Written::kAll);
      break;
    case Op::kRestart:
      Say(number(), "restart ", id, " or the next crashed one");
      for (NodeId other = 0; other < members_.size(); ++other) {
        const NodeId next = (id - 1 + other) % members_.size() + 1;
        if (At(next).node) continue;
        Restart(next);
        break;
      }
      break;
    case Op::kPropose:
      Say(number(), "propose at ", id);
      Propose(id);
      break;
    case Op::kProposeMany:
      Say(number(), "propose ", argument + 1, " at ", NewestLeader());
      for (unsigned i = 0; i <= argument; ++i) Propose(NewestLeader());
      break;
    case Op::kMembership: {
      const uint8_t what = Take();
      Say(number(), "change membership at ", id, ": ",
          DescribeChange(ChangeOf(what, members_.size())));
      ChangeMembership(id, what);
      break;
    }
    case Op::kTransfer: {
      const NodeId leader = NewestLeader();
      const NodeId target = argument % members_.size() + 1;
      if (leader == kNoNode) break;
      Say(number(), "transfer leadership from ", leader, " to ", target);
      const Outcome outcome = At(leader).node->raft().TransferLeadership(target);
      counts_.transfers += outcome == Outcome::kOk;
      Became(OutcomeText(outcome));
      Check(leader);
      break;
    }
    case Op::kRead:
      Say(number(), "read at ", id);
      AskRead(id);
      break;
    case Op::kCampaign:
      if (!At(id).node) break;
      Say(number(), "campaign at ", id);
      Became(OutcomeText(At(id).node->raft().Campaign()));
      Check(id);
      break;
    case Op::kCompact:
      Say(number(), "compact ", id);
      Compact(id, 0);
      break;
    case Op::kCut: {
      const bool cut = !Blocked(id, id % members_.size() + 1);
      Say(number(), cut ? "cut " : "reconnect ", id);
      for (NodeId other = 1; other <= members_.size(); ++other) {
        Block(id, other, cut);
        Block(other, id, cut);
      }
      break;
    }
    case Op::kPartition:
      Say(number(), argument == 0 ? "heal the network" : "partition ", argument);
      for (NodeId a = 1; a <= members_.size(); ++a) {
        for (NodeId b = 1; b <= members_.size(); ++b) {
          const auto side = [argument](NodeId node) { return (argument >> (node - 1)) & 1; };
          Block(a, b, side(a) != side(b));
        }
      }
      break;
    case Op::kOther: {
      const uint8_t which = Take();
      Say(number(), "other ", which & 7, " ", which >> 3);
      Other(which);
      break;
    }
  }
  if (id != kNoNode) touched_ = id;
}

void ClusterProgram::Other(uint8_t which) {
  const unsigned rest = which >> 3;
  const NodeId x = rest % members_.size() + 1;
  const NodeId y = rest / members_.size() % members_.size() + 1;
  const NodeId leader = NewestLeader();
  NodeId asked = leader;
  Outcome outcome = Outcome::kIgnored;
  switch (which & 7) {
    case 0:
      Became("forget the leader at ", x);
      if (At(asked = x).node) outcome = At(x).node->raft().ForgetLeader();
      break;
    case 1:
      Became(x, " is unreachable for ", leader);
      if (leader != kNoNode) outcome = At(leader).node->raft().ReportUnreachable(x);
      break;
    case 3:
      if (rest >= members_.size()) {
        Became(x, " asks ", y, " for what it has lost");
        outcome = Regain(x, y, /*most=*/1 + rest % 3);
        asked = x;
        break;
      }
      Became("crash ", x, ", term and vote written");
      return Crash(x, MemoryNode::Written::kTermAndVote);
    case 2: {
      const bool delivered = rest >= 16;
      Became("snapshot from ", leader, " to ", x, delivered ? " was delivered" : " failed");
      if (leader != kNoNode) outcome = At(leader).node->raft().ReportSnapshot(x, delivered);
      break;
    }
    case 4:
      Block(x, y, !Blocked(x, y));
      Became(x, Blocked(x, y) ? " does not reach " : " reaches ", y);
      return;
    case 5: {
      const uint64_t entries = rest / members_.size();
      if (entries > 0) return LoseEnd(x, entries);
      if (!At(x).node) return;
      Became("crash ", x, ", its write is torn");
      Crash(x, MemoryNode::Written::kTorn);
      ++counts_.torn;
      return Restart(x);
    }
    case 6:
      Became("transfer leadership to ", y, ", asked at ", x);
      if (At(asked = x).node) outcome = At(x).node->raft().TransferLeadership(y);
      counts_.transfers += outcome == Outcome::kOk;
      break;
    default:
      if (rest & 1) {
        At(x).slow = !At(x).slow;
        Became("the disk of ", x, At(x).slow ? " is slow" : " is fast");
      } else {
        Became("compact ", x, " but for ", y);
        Compact(x, y);
      }
      return;
  }
  Became(OutcomeText(outcome));
  if (asked != kNoNode) Check(asked);
}

// Changes one field of a message to something the wire lets through. False when it would not.
bool ClusterProgram::Lie(Message& message, uint8_t how) const {
  const unsigned field = how & 7;
  if (field == 7) {
    Bend(message.term, how >> 3);
  } else if (field == 6) {
    message.from = (message.from + (how >> 3)) % members_.size() + 1;
  } else {
    std::visit(Bender{field, static_cast<unsigned>(how >> 3)}, message.body);
  }
  if (message.from == message.to) return false;
  return ThroughTheWire(message);
}

// ---- The nodes

NodeId ClusterProgram::NewestLeader() const {
  NodeId leader = kNoNode;
  Term newest = 0;
  for (NodeId id = 1; id <= members_.size(); ++id) {
    const auto& node = members_[id - 1].node;
    if (!node || !node->raft().is_leader() || node->raft().term() < newest) continue;
    leader = id;
    newest = node->raft().term();
  }
  return leader;
}

NodeId ClusterProgram::Named(unsigned argument) const {
  if (argument == 7) return touched_;
  if (argument < 5) return argument % members_.size() + 1;
  const NodeId leader = NewestLeader();
  if (argument == 5) return leader == kNoNode ? 1 : leader;
  for (NodeId id = 1; id <= members_.size(); ++id) {
    const auto& node = members_[id - 1].node;
    if (id != leader && node && node->raft().is_leader()) return id;
  }
  return leader % members_.size() + 1;
}

void ClusterProgram::Start(Member& member, MemoryDisk disk) {
  member.node.emplace(member.options, std::move(disk), ++seed_);
  if (std::string wrong = ClusterOracle::CheckStarted(*member.node); !wrong.empty()) Fail(wrong);
  Check(member.options.id);
}

void ClusterProgram::Crash(NodeId id, MemoryNode::Written written) {
  Member& member = At(id);
  if (!member.node) return Restart(id);
  ++counts_.crashes;
  counts_.crashes_writing += member.node->writing();
  member.disk = member.node->Crash(written);
  member.node.reset();
  oracle_.Restarted(id);
  std::erase_if(reads_, [id](const auto& read) { return read.second.node == id; });
}

// Crashes, loses the last entries of its log, all of it from five on, and restarts; of a crashed
// node the same without the crash.
void ClusterProgram::LoseEnd(NodeId id, uint64_t entries) {
  Member& member = At(id);
  Became("crash ", id, ", it loses ", entries < 5 ? absl::StrCat("the last ", entries) : "all");
  if (member.node) Crash(id, MemoryNode::Written::kAll);
  const MemoryDisk intact = member.disk;
  const uint64_t there = intact.entries.size();
  member.disk.Lose(intact.last() - (entries < 5 ? std::min(entries, there) : there),
                   Suspicion::Evidence::kProven);
  // A single voter has nobody to ask, and no protocol survives this.
  if (!MemoryNode::CanStart(member.options, member.disk).ok()) member.disk = intact;
  counts_.losses += member.disk.last() < intact.last();
  Restart(id);
}

// As the replica does for a node that knows no leader: what follows its log in that of `from`, if
// that one has what was lost.
Outcome ClusterProgram::Regain(NodeId id, NodeId from, uint64_t most) {
  if (id == from || !At(id).node || !At(from).node) return Outcome::kIgnored;
  Raft& raft = At(id).node->raft();
  const Log& log = raft.log();
  const Log& other = At(from).node->raft().log();
  const std::optional<Suspicion>& lost = raft.suspicion();
  if (!lost || log.last() >= lost->index || !other.Has(log.last(), log.last_term()) ||
      !other.Has(lost->index, lost->term)) {
    return Outcome::kIgnored;
  }
  Entries entries;
  other.CopyTo(log.last() + 1, std::min(lost->index, log.last() + most), kNoLimit, entries);
  const Outcome outcome = raft.RegainLostEnd(std::move(entries));
  counts_.regained += outcome == Outcome::kOk;
  return outcome;
}

void ClusterProgram::Restart(NodeId id) {
  if (const absl::Status status = MemoryNode::CanStart(At(id).options, At(id).disk); !status.ok()) {
    return Became(id, " does not start: ", status.message());
  }
  Start(At(id), std::exchange(At(id).disk, {}));
  Became(DescribeNode(id));
}

void ClusterProgram::Tick(NodeId id) {
  if (lockstep_) return TickEverywhere();
  if (!At(id).node) return;
  At(id).node->raft().Tick();
  Check(id);
}

void ClusterProgram::TickEverywhere() {
  for (Member& member : members_) {
    if (!member.node) continue;
    member.node->raft().Tick();
    Check(member.options.id);
  }
}

void ClusterProgram::TickToElection(NodeId id) {
  if (!At(id).node) return;
  Raft& raft = At(id).node->raft();
  const RoleName role = raft.role();
  const Term term = raft.term();
  const uint32_t most = 2 * At(id).options.election_ticks;
  for (uint32_t i = 0; i < most && raft.role() == role && raft.term() == term; ++i) {
    if (lockstep_) {
      TickEverywhere();
    } else {
      raft.Tick();
    }
  }
  Check(id);
}

// Followers are loyal to a leader they have heard within an election timeout.
void ClusterProgram::Elect(NodeId id) {
  for (uint32_t i = 0; !lockstep_ && i < At(id).options.election_ticks; ++i) {
    for (NodeId other = 1; other <= members_.size(); ++other) {
      const bool leads = At(other).node && At(other).node->raft().is_leader();
      if (!leads && other != id) Tick(other);
    }
  }
  TickToElection(id);
  RunRounds(4);
}

void ClusterProgram::RunRounds(unsigned rounds) {
  for (unsigned round = 0; round < rounds && failure_.empty(); ++round) {
    DriveAll(round);
    DeliverAll(kAny, kAny);
  }
}

void ClusterProgram::Begin(NodeId id) {
  Member& member = At(id);
  if (!member.node || !member.node->raft().HasReady()) return;
  std::vector<Envelope> sent;
  const Ready ready = member.node->Begin(sent);
  for (const Entry& entry : ready.committed) {
    if (entry.type != EntryType::kMembership || entry.index <= configured_) continue;
    configured_ = entry.index;
    ++counts_.membership;
    const auto change = DecodeMembershipChange(entry.payload.view());
    counts_.joint += change && change->changes.size() > 1;
  }
  CheckReads(id, ready);
  if (ready.persist) Became(id, " begins to write");
  Post(id, sent);
  Check(id);
}

void ClusterProgram::Finish(NodeId id) {
  Member& member = At(id);
  if (!member.node || !member.node->writing()) return;
  std::vector<Envelope> sent;
  const bool installing = member.node->raft().installing_snapshot();
  member.node->FinishWrite(sent);
  counts_.snapshots += installing && !member.node->raft().installing_snapshot();
  Became(id, " has written");
  Post(id, sent);
  Check(id);
}

void ClusterProgram::Drive(NodeId id) {
  for (int i = 0; i < 8 && failure_.empty(); ++i) {
    const Member& member = At(id);
    if (!member.node || (!member.node->writing() && !member.node->raft().HasReady())) return;
    Finish(id);
    Begin(id);
    if (member.slow) return;
  }
}

void ClusterProgram::DriveAll(unsigned first) {
  for (NodeId i = 0; i < members_.size() && failure_.empty(); ++i) {
    Drive((first + i) % members_.size() + 1);
  }
}

void ClusterProgram::Propose(NodeId id) {
  if (id == kNoNode || !At(id).node || commands_ >= kMaxCommands) return;
  const Proposed proposed =
      At(id).node->raft().Propose(Payload::Copy(absl::StrCat(++commands_, ";")));
  Became(OutcomeText(proposed.outcome));
  Check(id);
}

void ClusterProgram::ChangeMembership(NodeId id, uint8_t what) {
  if (!At(id).node || commands_ >= kMaxCommands) return;
  ++commands_;
  const Proposed proposed = At(id).node->raft().ProposeMembership(ChangeOf(what, members_.size()));
  Became(OutcomeText(proposed.outcome));
  Check(id);
}

void ClusterProgram::AskRead(NodeId id) {
  if (!At(id).node) return;
  const uint64_t context = ++contexts_;
  reads_[context] = Read{id, committed_};
  const Outcome outcome = At(id).node->raft().RequestRead(context);
  if (outcome != Outcome::kOk && outcome != Outcome::kForwarded) reads_.erase(context);
  Became(OutcomeText(outcome), ", must see ", committed_);
  Check(id);
}

void ClusterProgram::Compact(NodeId id, Index keep) {
  Member& member = At(id);
  // The disk is not rewritten under a job that is being written.
  if (!member.node || member.node->writing()) return;
  const Raft& raft = member.node->raft();
  const Index most = std::min(raft.applied(), raft.offered_snapshot().index);
  if (most <= keep || most - keep <= raft.log().base()) return;
  ++counts_.compactions;
  member.node->Compact(most - keep);
  Check(id);
}

// ---- The network

void ClusterProgram::Block(NodeId from, NodeId to, bool blocked) {
  const unsigned bit = 1u << (to - 1);
  if (blocked && from != to) {
    blocked_[from - 1] |= bit;
  } else {
    blocked_[from - 1] &= ~bit;
  }
}

void ClusterProgram::Lose(const Envelope& envelope) {
  ++counts_.lost;
  // Whoever streams a snapshot notices how that ended.
  Member& from = At(envelope.message.from);
  if (std::holds_alternative<InstallSnapshot>(envelope.message.body) && from.node) {
    from.node->raft().ReportSnapshot(envelope.message.to, false);
    Check(from.options.id);
  }
}

void ClusterProgram::Drop(size_t place) {
  const Envelope envelope = std::move(messages_[place]);
  messages_.erase(messages_.begin() + static_cast<std::ptrdiff_t>(place));
  if (text_ != nullptr) Became("lost: ", OneLine(envelope.message));
  Lose(envelope);
}

void ClusterProgram::PutAside(const Envelope& envelope) {
  if (text_ != nullptr) Became("for later: ", OneLine(envelope.message));
  if (late_.size() == kMaxUnderWay) late_.erase(late_.begin());
  late_.push_back(envelope);
}

void ClusterProgram::Deliver(size_t place, How how) {
  const bool keep = how == How::kKeep;
  const Envelope envelope = keep ? messages_[place] : std::move(messages_[place]);
  if (!keep) messages_.erase(messages_.begin() + static_cast<std::ptrdiff_t>(place));
  const Message& message = envelope.message;
  const NodeId id = message.to;
  Member& to = At(id);
  if (!to.node || (how != How::kLate && Blocked(message.from, id))) {
    if (text_ != nullptr) Became("lost: ", OneLine(message));
    return Lose(envelope);
  }
  if (text_ != nullptr) Became(OneLine(message));
  ++counts_.delivered;
  touched_ = id;
  Member& from = At(message.from);
  if (std::holds_alternative<InstallSnapshot>(message.body) && from.node) {
    from.node->raft().ReportSnapshot(id, true);
    Check(message.from);
  }
  const Index last = to.node->raft().log().last();
  const Term last_term = to.node->raft().log().last_term();
  const Outcome outcome = to.node->Step(envelope);
  const Log& log = to.node->raft().log();
  counts_.truncations += log.last() < last || (log.last() > log.base() && last > log.base() &&
                                               log.TermAt(last) != last_term);
  if (outcome != Outcome::kOk) Became("        ", OutcomeText(outcome));
  if (outcome == Outcome::kMalformed && !lying_) {
    Fail(absl::StrCat("node ", id, " calls a message of node ", message.from, " malformed"));
  }
  Check(id);
}

void ClusterProgram::DeliverAll(NodeId from, NodeId to) {
  std::vector<Envelope> chosen;
  std::vector<Envelope> others;
  for (Envelope& envelope : messages_) {
    const bool is_chosen = (from == kAny || envelope.message.from == from) &&
                           (to == kAny || envelope.message.to == to);
    (is_chosen ? chosen : others).push_back(std::move(envelope));
  }
  // Handed over one by one: what a delivery causes is sent only when its node is driven.
  messages_.swap(chosen);
  for (size_t i = messages_.size(); i > 0 && failure_.empty(); --i) Deliver(0);
  messages_ = std::move(others);
}

void ClusterProgram::Post(NodeId sender, std::vector<Envelope>& sent) {
  for (Envelope& envelope : sent) {
    std::string wrong = oracle_.Check(*At(sender).node, envelope.message);
    if (!wrong.empty()) Fail(std::move(wrong));
    if (text_ != nullptr) Became("    sends ", OneLine(envelope.message));
    const NodeId to = envelope.message.to;
    if (to < 1 || to > members_.size()) continue;  // a lie made it a member
    messages_.push_back(std::move(envelope));
  }
  while (messages_.size() > kMaxUnderWay) Drop(0);
}

// ---- What is looked at

void ClusterProgram::Check(NodeId id) {
  if (!failure_.empty() || !At(id).node) return;
  const auto disk_of = [this](NodeId peer) -> const MemoryDisk* {
    if (peer < 1 || peer > members_.size()) return nullptr;
    const Member& member = members_[peer - 1];
    return member.node ? &member.node->disk() : &member.disk;
  };
  const MemoryNode& node = *At(id).node;
  Fail(oracle_.Check(node, disk_of));
  if (text_ != nullptr) Became("    ", DescribeNode(id));
  committed_ = std::max(committed_, node.raft().commit());
}

void ClusterProgram::CheckReads(NodeId id, const Ready& ready) {
  for (const FailedRead& failed : ready.failed_reads) {
    reads_.erase(failed.context);
    if (failed.context == rest_read_) rest_read_ = 0;
  }
  for (const ReadPoint& point : ready.reads) {
    const auto read = reads_.find(point.context);
    if (read == reads_.end() || lying_) continue;  // answered twice, or of an earlier life
    Became(id, " may read at ", point.index);
    if (point.index < read->second.floor) {
      Fail(absl::StrCat("node ", id, ": a read may be served at ", point.index, " although ",
                        read->second.floor, " was committed when it was asked"));
    }
    if (point.context == rest_read_) rest_read_done_ = true;
    reads_.erase(read);
    ++counts_.reads;
  }
}

// With every node up, nothing lost and time passing, somebody leads, a proposal commits, a read is
// answered, a joint configuration is left, and all members apply the same.
void ClusterProgram::ComeToRest() {
  Say("everything is healed");
  for (Envelope& envelope : late_) messages_.push_back(std::move(envelope));
  late_.clear();
  std::fill(blocked_.begin(), blocked_.end(), 0);
  for (NodeId id = 1; id <= members_.size(); ++id) {
    if (!At(id).node) Restart(id);
    if (!At(id).node) {  // became the only voter before it had everything again
      ++counts_.waits;
      return;
    }
    At(id).slow = false;
    // A report of a snapshot that the program withheld.
    Raft& raft = At(id).node->raft();
    if (!raft.is_leader()) continue;
    for (NodeId peer = 1; peer <= members_.size(); ++peer) {
      const Progress* progress = raft.progress()->Find(peer);
      if (progress == nullptr || progress->state != ProgressState::kSnapshot) continue;
      raft.ReportSnapshot(peer, false);
    }
    Check(id);
  }
  for (int round = 1; round <= kRestRounds && failure_.empty(); ++round) {
    ++counts_.rest_rounds;
    TickEverywhere();
    for (int turn = 0; turn < 4 && failure_.empty(); ++turn) {
      DriveAll(0);
      if (messages_.empty()) break;
      DeliverAll(kAny, kAny);
    }
    const NodeId leader = NewestLeader();
    if (leader != kNoNode && AtRest(leader)) return;
    if (leader == kNoNode && round >= kWaitRounds && Waits()) return;
  }
  Fail(absl::StrCat("did not come to rest within ", kRestRounds, " ticks", Describe()));
}

bool ClusterProgram::AtRest(NodeId id) {
  const MemoryNode& leader = *At(id).node;
  Raft& raft = At(id).node->raft();
  const ConfState& conf = raft.conf();
  // Without step-down on removal, handing over is the driver's business; so is leaving a joint
  // configuration that is not left automatically.
  if (!IsVoter(conf, id)) {
    raft.TransferLeadership(conf.voters.front());
    return false;
  }
  if (IsJoint(conf)) {
    if (!conf.auto_leave) raft.ProposeMembership(MembershipChange());
    return false;
  }
  if (rest_index_ == 0 || raft.log().last() < rest_index_) {
    const Proposed proposed = raft.Propose(Payload::Copy("end;"));
    if (proposed.outcome == Outcome::kOk) rest_index_ = proposed.index;
    Check(id);
    return false;
  }
  const auto equal = [&](NodeId member) {
    const MemoryNode& node = *At(member).node;
    return node.raft().applied() == raft.log().last() && node.state() == leader.state() &&
           node.raft().conf() == conf && !node.raft().suspicion();
  };
  const std::vector<NodeId> members = AllMembers(conf);
  if (!std::all_of(members.begin(), members.end(), equal)) return false;
  if (rest_read_done_) return true;
  if (rest_read_ == 0 || !reads_.contains(rest_read_)) {
    AskRead(id);
    rest_read_ = reads_.contains(contexts_) ? contexts_ : 0;
  }
  return false;
}

// Nobody leads. True when nobody can: whoever may campaign lacks what a majority may have had. What
// somebody still has is then taken from there, and what is blank is given up first; here it was
// never written.
bool ClusterProgram::Waits() {
  for (const Member& member : members_) {
    const Raft& raft = member.node->raft();
    for (const Member& other : members_) {
      if (Regain(raft.id(), other.options.id, kMaxInstructions) != Outcome::kOk) continue;
      Say("node ", raft.id(), " takes what it has lost from node ", other.options.id);
      Check(raft.id());
      return false;
    }
  }
  bool given_up = false;
  for (Member& member : members_) {
    const std::optional<Suspicion>& suspicion = member.node->raft().suspicion();
    if (!suspicion || suspicion->evidence != Suspicion::Evidence::kBlank) continue;
    Say("node ", member.options.id, " gives up", DescribeSuspicion(suspicion));
    member.node->DropSuspicion();
    given_up = true;
    Check(member.options.id);
  }
  if (given_up) return false;
  bool suspicious = false;
  for (const Member& candidate : members_) {
    const Raft& raft = candidate.node->raft();
    suspicious = suspicious || raft.suspicion().has_value();
    const Index last = raft.log().last();
    const Term last_term = raft.log().last_term();
    const auto grants = [&](NodeId id) -> std::optional<bool> {
      const Raft& voter = At(id).node->raft();
      return UpToDate(last, last_term, Suspicion{voter.log().last(), voter.log().last_term()}) &&
             (!voter.suspicion() || UpToDate(last, last_term, *voter.suspicion()));
    };
    if (!raft.suspicion() && IsVoter(raft.conf(), raft.id()) &&
        JointVote(raft.conf(), grants) == VoteResult::kWon) {
      return false;
    }
  }
  counts_.waits += suspicious;
  return suspicious;
}

std::string ClusterProgram::DescribeNode(NodeId id) const {
  const Member& member = members_[id - 1];
  if (!member.node) return absl::StrCat(id, ": down");
  const Raft& raft = member.node->raft();
  return absl::StrCat(id, ": ", DescribeRole(raft.role()), " term ", raft.term(), " vote ",
                      raft.vote(), " leader ", raft.leader(), " applied ", raft.applied(),
                      " commit ", raft.commit(), " durable ", raft.durable(), " last ",
                      raft.log().last(), "/", raft.log().last_term(), " base ", raft.log().base(),
                      " ", DescribeConfiguration(raft.conf()), DescribeSuspicion(raft.suspicion()));
}

std::string ClusterProgram::Describe() const {
  std::string text;
  for (NodeId id = 1; id <= members_.size(); ++id) {
    absl::StrAppend(&text, "\n  ", DescribeNode(id));
    const auto& node = members_[id - 1].node;
    if (!node || node->raft().progress() == nullptr) continue;
    for (const Progress& peer : *node->raft().progress()) {
      absl::StrAppend(
          &text, "\n    ", peer.id, ": ",
          DescribeProgress(peer, peer.id == id, IsLearner(node->raft().conf(), peer.id)));
    }
  }
  return text;
}

void RunClusterProgram(absl::string_view bytes, ClusterCounts* counts) {
  RunProgram(bytes, [counts](absl::string_view program_bytes, std::ostream* text) {
    ClusterProgram program(program_bytes, text);
    std::string wrong = program.Run();
    if (counts != nullptr) counts->Add(program.counts());
    return wrong;
  });
}

}  // namespace raftkv::raft
