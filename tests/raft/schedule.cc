#include "tests/raft/schedule.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/raft/script_text.h"
#include "tests/raft/test_nodes.h"

namespace raftkv::raft {

void ScheduleCounts::Add(const ScheduleCounts& other) {
  elections += other.elections;
  applied += other.applied;
  crashes += other.crashes;
  full_disks += other.full_disks;
  truncations += other.truncations;
  snapshots_installed += other.snapshots_installed;
  membership_changes += other.membership_changes;
  reads += other.reads;
  lost += other.lost;
  repeated += other.repeated;
}

// Every seed has its own constants: a fault that is always there hides what its absence would show.
Schedule::Schedule(uint64_t seed, std::ostream* trace)
    : trace_(trace), random_(Random::Stream(seed, "schedule")) {
  shared_.election_ticks = static_cast<uint32_t>(random_.Between(4, 12));
  shared_.heartbeat_ticks = static_cast<uint32_t>(random_.Between(1, 3));
  shared_.pre_vote = random_.Chance(1, 2);
  // With neither, a learner may stay cut off (options.h).
  shared_.check_quorum = !shared_.pre_vote || random_.Chance(1, 2);
  shared_.step_down_on_removal = random_.Chance(1, 2);
  shared_.step_down_on_hung_disk = random_.Chance(1, 2);
  shared_.merge_messages = random_.Chance(1, 2);
  shared_.forward_proposals = random_.Chance(1, 2);
  shared_.max_append_bytes = random_.Chance(1, 2) ? 1 << 20 : random_.Between(1, 80);
  shared_.max_committed_bytes = random_.Chance(1, 2) ? 1 << 20 : random_.Between(1, 80);
  shared_.max_inflight_messages = random_.Between(1, 8);
  shared_.max_inflight_bytes = 0;
  shared_.max_uncommitted_bytes = random_.Chance(1, 2) ? 1 << 20 : random_.Between(1, 80);
  loss_per_mille_ = random_.Chance(1, 3) ? 0 : random_.Between(1, 200);
  repeat_per_mille_ = random_.Chance(1, 3) ? 0 : random_.Between(1, 200);
  crash_per_mille_ = random_.Chance(1, 3) ? 0 : random_.Between(1, 50);
  full_per_mille_ = random_.Chance(1, 2) ? 0 : random_.Between(1, 500);
  tick_per_mille_ = random_.Between(50, 300);
  cut_per_mille_ = random_.Chance(1, 4) ? 0 : random_.Between(1, 8);

  const uint64_t voters = random_.Between(1, 5);
  const uint64_t nodes = random_.Between(std::max<uint64_t>(voters, 3), 5);
  MemoryDisk founding;
  founding.hard_state.term = 1;
  founding.snapshot.meta.index = 1;
  founding.snapshot.meta.term = 1;
  for (NodeId id = 1; id <= voters; ++id) founding.snapshot.meta.conf.voters.push_back(id);
  for (NodeId id = 1; id <= nodes; ++id) {
    Member member;
    member.options = shared_;
    member.options.id = id;
    Start(member, id <= voters ? founding : MemoryDisk());
    members_.push_back(std::move(member));
  }
}

std::string Schedule::Run(int events) {
  for (int i = 0; i < events && failure_.empty(); ++i) {
    Event();
    if (!failure_.empty()) failure_ = absl::StrCat("event ", i, ": ", failure_);
  }
  if (failure_.empty()) Fail(ComeToRest());
  counts_.elections = oracle_.leaders().size();
  counts_.applied = oracle_.highest_applied();
  return failure_;
}

void Schedule::Event() {
  const uint64_t what = random_.Below(1000);
  if (what < tick_per_mille_) {
    if (Member* member = Pick()) {
      member->node->raft().Tick();
      Check(*member);
    }
  } else if (what < 400) {
    DriveOne();
  } else if (what < 500) {
    AskOne();
  } else if (what < 500 + cut_per_mille_) {
    // Mostly a leader, so that it goes on appending what will be replaced.
    const Member* member = random_.Chance(2, 3) ? PickLeader() : Pick();
    cut_off_ = member == nullptr || random_.Chance(1, 3) ? kNoNode : member->options.id;
  } else if (what < 600) {
    if (random_.PerMille(crash_per_mille_)) CrashOrRestart();
  } else {
    DeliverOne();
  }
}

Schedule::Member* Schedule::Pick() {
  Member& member = members_[random_.Below(members_.size())];
  return member.node ? &member : nullptr;
}

// Any that leads, if only in its own opinion; else any.
Schedule::Member* Schedule::PickLeader() {
  const size_t start = random_.Below(members_.size());
  for (size_t i = 0; i < members_.size(); ++i) {
    Member& member = members_[(start + i) % members_.size()];
    if (member.node && member.node->raft().is_leader()) return &member;
  }
  return Pick();
}

void Schedule::Start(Member& member, MemoryDisk disk) {
  member.node.emplace(member.options, std::move(disk), random_.Next());
  if (std::string wrong = ClusterOracle::CheckStarted(*member.node); !wrong.empty()) Fail(wrong);
  Trace(member, "starts");
}

void Schedule::Trace(const Member& member, absl::string_view what) const {
  if (trace_ == nullptr) return;
  *trace_ << member.options.id << " " << what;
  if (member.node) {
    const Raft& raft = member.node->raft();
    *trace_ << "  [" << DescribeRole(raft.role()) << " term " << raft.term() << " commit "
            << raft.commit() << " applied " << raft.applied() << " durable " << raft.durable()
            << " last " << raft.log().last() << " " << DescribeConfiguration(raft.conf()) << "]";
  }
  *trace_ << "\n";
}

// ---- The network

void Schedule::DeliverOne() {
  if (messages_.empty()) return;
  // Mostly the oldest, so that there is progress; sometimes any.
  const size_t position = random_.Chance(1, 2) ? 0 : random_.Below(messages_.size());
  const Envelope envelope = messages_[position];
  if (random_.PerMille(repeat_per_mille_)) {
    ++counts_.repeated;
  } else {
    messages_.erase(messages_.begin() + static_cast<std::ptrdiff_t>(position));
  }
  const Message& message = envelope.message;
  Member& to = members_.at(message.to - 1);
  const bool lost =
      !to.node || CutOff(message.to) || CutOff(message.from) || random_.PerMille(loss_per_mille_);
  // Whoever streams a snapshot notices how that ended.
  Member& from = members_[message.from - 1];
  if (std::holds_alternative<InstallSnapshot>(message.body) && from.node) {
    from.node->raft().ReportSnapshot(message.to, !lost);
  }
  if (lost) {
    ++counts_.lost;
    return;
  }
  const TermRuns log = to.node->raft().log().terms();
  const Outcome outcome = to.node->Step(envelope);
  Trace(to, DescribeMessage(message));
  if (outcome == Outcome::kMalformed) {
    Fail(
        absl::StrCat("node ", message.to, " calls a message of node ", message.from, " malformed"));
  }
  if (TermRuns::CommonPrefix(log, to.node->raft().log().terms()) < log.last()) {
    ++counts_.truncations;
  }
  Check(to);
}

void Schedule::Post(std::vector<Envelope>& sent) {
  for (Envelope& envelope : sent) {
    const MemoryNode& sender = *members_[envelope.message.from - 1].node;
    if (std::string wrong = oracle_.Check(sender, envelope.message); !wrong.empty()) Fail(wrong);
    messages_.push_back(std::move(envelope));
  }
  sent.clear();
}

// ---- The nodes

void Schedule::DriveOne() {
  Member* member = Pick();
  if (member == nullptr) return;
  if (random_.Chance(1, 8)) member->node->raft().RetryLog();
  if (member->node->writing() && random_.Chance(1, 2)) {
    Finish(*member);
  } else if (member->node->raft().HasReady()) {
    Begin(*member);
  }
}

void Schedule::Begin(Member& member) {
  std::vector<Envelope> sent;
  const Ready ready = member.node->Begin(sent);
  for (const Entry& entry : ready.committed) {
    counts_.membership_changes += entry.type == EntryType::kMembership;
  }
  CheckReads(member.options.id, ready);
  Trace(member, ready.persist ? "takes a Ready and begins to write" : "takes a Ready");
  Post(sent);
  Check(member);
}

void Schedule::Finish(Member& member) {
  std::vector<Envelope> sent;
  const bool installing = member.node->raft().installing_snapshot();
  if (member.node->writes_log() && random_.PerMille(full_per_mille_)) {
    member.node->FinishWithoutSpace(sent);
    Trace(member, "finds its disk full");
    ++counts_.full_disks;
  } else {
    member.node->FinishWrite(sent);
    Trace(member, "has written");
  }
  counts_.snapshots_installed += installing && !member.node->raft().installing_snapshot();
  Post(sent);
  Check(member);
}

void Schedule::CrashOrRestart() {
  Member& member = members_[random_.Below(members_.size())];
  if (!member.node) {
    Start(member, std::exchange(member.disk, {}));
    return;
  }
  const uint64_t written = random_.Below(3);
  Trace(member, absl::StrCat("crashes, written ", written));
  member.disk = member.node->Crash(static_cast<MemoryNode::Written>(written));
  member.node.reset();
  oracle_.Restarted(member.options.id);
  std::erase_if(reads_, [&](const auto& read) { return read.second.node == member.options.id; });
  ++counts_.crashes;
}

void Schedule::AskOne() {
  Member* member = random_.Chance(1, 2) ? PickLeader() : Pick();
  if (member == nullptr) return;
  Raft& raft = member->node->raft();
  const NodeId someone = random_.Between(1, members_.size());
  switch (random_.Below(16)) {
    case 0: {
      constexpr MemberChange::Kind kKinds[] = {MemberChange::Kind::kAddVoter,
                                               MemberChange::Kind::kAddLearner,
                                               MemberChange::Kind::kRemove};
      MembershipChange change = OneChange(kKinds[random_.Below(3)], someone);
      if (random_.Chance(1, 3)) {
        change.changes.push_back({kKinds[random_.Below(3)], random_.Between(1, members_.size())});
      }
      raft.ProposeMembership(change);
      Trace(*member, "is asked to change the membership");
      break;
    }
    case 1:
      raft.TransferLeadership(someone);
      break;
    case 2:
      raft.ReportUnreachable(someone);
      break;
    case 3:
      raft.ForgetLeader();
      break;
    case 4:
      raft.Campaign();
      break;
    case 5: {
      const Index through =
          std::min(raft.applied(), raft.offered_snapshot().index) - random_.Below(3);
      if (through <= raft.applied() && !member->node->writing()) member->node->Compact(through);
      break;
    }
    case 6:
    case 7: {
      const uint64_t context = next_context_++;
      reads_[context] = Read{raft.id(), committed_};
      const Outcome outcome = raft.RequestRead(context);
      if (outcome != Outcome::kOk && outcome != Outcome::kForwarded) reads_.erase(context);
      break;
    }
    default:
      raft.Propose(Payload::Copy(absl::StrCat(next_command_++, ";")));
      break;
  }
  Check(*member);
}

// ---- What is looked at

void Schedule::Check(Member& member) {
  const auto disk_of = [this](NodeId id) -> const MemoryDisk* {
    const Member& peer = members_[id - 1];
    return peer.node ? &peer.node->disk() : &peer.disk;
  };
  if (std::string wrong = oracle_.Check(*member.node, disk_of); !wrong.empty()) return Fail(wrong);
  committed_ = std::max(committed_, member.node->raft().commit());
}

void Schedule::CheckReads(NodeId node, const Ready& ready) {
  for (const ReadPoint& point : ready.reads) {
    const auto read = reads_.find(point.context);
    if (read == reads_.end()) continue;  // answered twice, or of an earlier life
    if (point.index < read->second.floor) {
      Fail(absl::StrCat("node ", node, ": a read may be served at ", point.index, " although ",
                        read->second.floor, " was committed when it was asked"));
    }
    reads_.erase(read);
    ++counts_.reads;
  }
}

// With every node up, nothing lost and time passing, somebody leads and all apply the same.
std::string Schedule::ComeToRest() {
  cut_off_ = kNoNode;
  loss_per_mille_ = repeat_per_mille_ = full_per_mille_ = 0;
  for (Member& member : members_) {
    if (!member.node) Start(member, std::exchange(member.disk, {}));
  }
  NodeId leader = kNoNode;
  bool proposed = false;
  for (int round = 0; round < 2000 && failure_.empty(); ++round) {
    for (Member& member : members_) {
      if (member.node->writing()) Finish(member);
      member.node->raft().RetryLog();
      if (member.node->raft().HasReady()) Begin(member);
      if (member.node->writing()) Finish(member);
      if (round % 4 == 0) {
        member.node->raft().Tick();
        Check(member);
      }
    }
    while (!messages_.empty() && failure_.empty()) DeliverOne();
    leader = kNoNode;  // of the newest term; a removed one may go on leading an older
    Term newest = 0;
    for (Member& member : members_) {
      const Raft& raft = member.node->raft();
      if (!raft.is_leader() || raft.term() < newest) continue;
      leader = raft.id();
      newest = raft.term();
    }
    if (leader == kNoNode) continue;
    Raft& raft = members_[leader - 1].node->raft();
    // Without step-down on removal, handing over is the driver's business.
    if (!IsVoter(raft.conf(), leader)) {
      raft.TransferLeadership(raft.conf().voters.front());
      continue;
    }
    if (!proposed && round > 200) {
      proposed = raft.Propose(Payload::Copy("end;")).outcome == Outcome::kOk;
    }
    if (!proposed || IsJoint(raft.conf())) continue;
    bool equal = true;
    for (const NodeId id : AllMembers(raft.conf())) {
      const MemoryNode& node = *members_[id - 1].node;
      equal = equal && node.raft().applied() == raft.log().last() &&
              node.state() == members_[leader - 1].node->state();
    }
    if (equal) return {};
  }
  if (!failure_.empty()) return {};
  std::string text = absl::StrCat("did not come to rest", proposed ? "" : ", no proposal accepted");
  for (const Member& member : members_) {
    const Raft& raft = member.node->raft();
    absl::StrAppend(&text, "\n  ", raft.id(), ": ", DescribeRole(raft.role()), " term ",
                    raft.term(), " leader ", raft.leader(), " applied ", raft.applied(), " commit ",
                    raft.commit(), " last ", raft.log().last(), " ",
                    DescribeConfiguration(raft.conf()));
    if (raft.progress() == nullptr) continue;
    for (const Progress& peer : *raft.progress()) {
      absl::StrAppend(&text, "\n    ", peer.id, ": ",
                      DescribeProgress(peer, peer.id == raft.id(), false));
    }
  }
  return text;
}

}  // namespace raftkv::raft
