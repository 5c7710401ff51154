#include "tests/raft/script_interaction.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/raft/script_tables.h"
#include "tests/raft/script_text.h"

namespace raftkv::raft {
namespace {

// The names by which the recorded scripts know two of our outcomes.
constexpr absl::string_view kProposalDropped = "raft proposal dropped";
constexpr absl::string_view kPeerNotFound = "raft: cannot step as peer not found";

constexpr uint32_t kElectionTicks = 3;
constexpr uint32_t kHeartbeatTicks = 1;

// Far more than any script needs to come to rest.
constexpr int kMostRounds = 1000;

bool Accepted(Outcome outcome) { return outcome == Outcome::kOk || outcome == Outcome::kForwarded; }

bool IsVoteRequest(const Envelope& envelope) {
  return std::holds_alternative<VoteRequest>(envelope.message.body);
}

// What leaves at once, then vote requests, then answers.
std::vector<Envelope> InRecordedOrder(std::vector<Envelope> sent, size_t at_once) {
  std::vector<Envelope> ordered;
  for (size_t i = 0; i < at_once; ++i) ordered.push_back(std::move(sent[i]));
  for (const bool requests : {true, false}) {
    for (size_t i = at_once; i < sent.size(); ++i) {
      if (IsVoteRequest(sent[i]) == requests) ordered.push_back(sent[i]);
    }
  }
  return ordered;
}

Options OptionsFrom(const ScriptCommand& command, bool merge_messages) {
  Options options;
  options.election_ticks = kElectionTicks;
  options.heartbeat_ticks = kHeartbeatTicks;
  options.lease_drift_ticks = 1;
  options.pre_vote = command.Flag("prevote");
  options.check_quorum = command.Flag("checkquorum");
  options.step_down_on_removal = command.Flag("step-down-on-removal");
  options.validate_membership = !command.Flag("disable-conf-change-validation");
  options.step_down_on_hung_disk = command.Flag("step-down-on-hung-disk");
  options.merge_messages = merge_messages;
  options.forward_proposals = true;
  options.max_append_bytes = command.Number("max-append-bytes").value_or(kNoLimit);
  options.max_committed_bytes = command.Number("max-committed-size-per-ready").value_or(kNoLimit);
  options.max_uncommitted_bytes = command.Number("max-uncommitted-bytes").value_or(kNoLimit);
  options.max_inflight_messages =
      command.Number("inflight").value_or(std::numeric_limits<int32_t>::max());
  options.max_inflight_bytes = command.Number("inflight-bytes").value_or(0);
  if (command.Value("read-only") == "lease-based") options.read_mode = ReadMode::kLease;
  return options;
}

// Entries of these terms, after the snapshot; each says which it is.
Entries EntriesOfTerms(Index after, const std::vector<uint64_t>& terms) {
  Entries entries;
  for (const Term term : terms) {
    const Index index = after + entries.size() + 1;
    entries.push_back(Entry{term, index, Payload::Copy(absl::StrCat("t", term, "i", index)),
                            EntryType::kCommand});
  }
  return entries;
}

std::string DescribeReady(const Ready& ready) {
  std::string text;
  if (!ready.reads.empty()) {
    absl::StrAppend(&text, "Reads:\n");
    for (const ReadPoint& read : ready.reads) {
      absl::StrAppend(&text, "context ", read.context, " at ", read.index, "\n");
    }
  }
  if (!ready.failed_reads.empty()) {
    absl::StrAppend(&text, "FailedReads:\n");
    for (const FailedRead& read : ready.failed_reads) {
      absl::StrAppend(&text, "context ", read.context,
                      read.reason == ReadFailure::kLostLeadership ? " lost leadership\n"
                                                                  : " refused by leader\n");
    }
  }
  if (ready.persist && !ready.persist->entries.empty()) {
    absl::StrAppend(&text, "Entries:\n", DescribeEntries(ready.persist->entries));
  }
  if (ready.persist && ready.persist->snapshot) {
    absl::StrAppend(&text, "Snapshot ", DescribeSnapshot(*ready.persist->snapshot), "\n");
  }
  if (!ready.committed.empty()) {
    absl::StrAppend(&text, "CommittedEntries:\n", DescribeEntries(ready.committed));
  }
  return text;
}

}  // namespace

const std::map<std::string, InteractionScript::Handler>& InteractionScript::Handlers() {
  using S = InteractionScript;
  static const auto* const handlers = new std::map<std::string, Handler>{
      {"add-nodes", &S::AddNodes},
      {"campaign", &S::Campaign},
      {"compact", &S::CompactLog},
      {"crash", &S::Crash},
      {"deliver-msgs", &S::DeliverMessages},
      {"drop-suspicion", &S::DropSuspicion},
      {"explain", &S::Explain},
      {"forget-leader", &S::ForgetLeader},
      {"log-level", &S::LogLevel},
      {"node-state", &S::NodeState},
      {"persist", &S::Persist},
      {"process-ready", &S::ProcessReady},
      {"propose", &S::Propose},
      {"propose-conf-change", &S::ProposeMembership},
      {"raft-log", &S::RaftLog},
      {"raft-state", &S::RaftState},
      {"read-index", &S::ReadIndex},
      {"regain", &S::RegainLostEnd},
      {"report-snapshot", &S::ReportSnapshot},
      {"report-unreachable", &S::ReportUnreachable},
      {"restart", &S::Restart},
      {"send-snapshot", &S::SendSnapshot},
      {"set-randomized-election-timeout", &S::SetElectionTimeout},
      {"stabilize", &S::Stabilize},
      {"status", &S::Status},
      {"take-ready", &S::TakeReady},
      {"tick", &S::Tick},
      {"tick-election", &S::TickElection},
      {"tick-heartbeat", &S::TickHeartbeat},
      {"transfer-leadership", &S::TransferLeadership},
  };
  return *handlers;
}

std::string InteractionScript::Run(const ScriptCommand& command) {
  output_.clear();
  error_.clear();
  const auto handler = Handlers().find(command.name);
  if (handler == Handlers().end()) {
    Fail("unknown command");
  } else {
    (this->*handler->second)(command);
  }
  Judge();
  // With output turned off errors still show.
  std::string text = quiet_ ? error_ : absl::StrCat(output_, error_);
  if (!text.empty() && text.back() != '\n') text.push_back('\n');
  return text;
}

std::string InteractionScript::FinalState() {
  quiet_ = true;
  for (int round = 0; round < 4; ++round) {
    StabilizeNodes({});
    for (Member& member : members_) {
      if (member.node && member.node->raft().is_leader()) member.node->raft().Tick();
    }
  }
  StabilizeNodes({});
  Judge();
  quiet_ = false;
  output_.clear();
  RaftState({});
  for (const Member& member : members_) {
    if (member.node) PrintLog(*member.node);
  }
  return output_;
}

// ---- The cluster as a whole

void InteractionScript::Judge() {
  const auto disk_of = [this](NodeId id) -> const MemoryDisk* {
    if (id == kNoNode || id > members_.size()) return nullptr;
    const Member& member = members_[id - 1];
    return member.node ? &member.node->disk() : &member.disk;
  };
  for (const Member& member : members_) {
    if (!violation_.empty()) return;
    if (member.node) violation_ = oracle_.Check(*member.node, disk_of);
  }
  for (const Member& a : members_) {
    for (const Member& b : members_) {
      if (!violation_.empty()) return;
      if (a.node && b.node && a.options.id < b.options.id) {
        violation_ = ClusterOracle::CheckLogs(a.node->raft(), b.node->raft());
      }
    }
  }
}

MemoryNode* InteractionScript::Living(uint64_t id) {
  if (id >= 1 && id <= members_.size() && members_[id - 1].node) return &*members_[id - 1].node;
  Fail(absl::StrCat("no node ", id));
  return nullptr;
}

MemoryNode* InteractionScript::First(const ScriptCommand& command) {
  const std::vector<uint64_t> ids = command.Ids();
  return Living(ids.empty() ? 0 : ids.front());
}

void InteractionScript::Start(Member& member, MemoryDisk disk) {
  member.node.emplace(member.options, std::move(disk), /*seed=*/member.options.id);
  member.node->OfferEverySnapshot(member.offer_every_snapshot);
  const Raft& raft = member.node->raft();
  member.hard = {raft.hard_state(), raft.commit()};
  member.soft = {raft.leader(), raft.role()};
}

void InteractionScript::AddNodes(const ScriptCommand& command) {
  MemorySnapshot snapshot;
  snapshot.meta.conf.voters = command.Numbers("voters");
  snapshot.meta.conf.learners = command.Numbers("learners");
  snapshot.meta.index = command.Number("index").value_or(0);
  snapshot.state = std::string(command.Value("content"));
  const bool founded = snapshot.meta != SnapshotMeta() || !snapshot.state.empty();
  const bool own_log = command.Find("terms") != nullptr;
  if (founded && !own_log && snapshot.meta.index <= 1) {
    return Fail("index must be specified as > 1 due to bootstrap");
  }
  if (snapshot.meta.index > 0) snapshot.meta.term = 1;

  MemoryDisk disk;
  disk.snapshot = snapshot;
  disk.commit = std::max(snapshot.meta.index, command.Number("commit").value_or(0));
  disk.entries = EntriesOfTerms(snapshot.meta.index, command.Numbers("terms"));
  if (!disk.entries.empty()) disk.hard_state.term = disk.entries.back().term;
  disk.hard_state.term = command.Number("term").value_or(disk.hard_state.term);

  const std::vector<uint64_t> count = command.Ids();
  for (uint64_t i = 0; i < (count.empty() ? 0 : count.front()); ++i) {
    Member member;
    member.options = OptionsFrom(command, settings_.merge_messages);
    member.options.id = members_.size() + 1;
    member.offer_every_snapshot = command.Value("snapshots") != "by-compact";
    if (absl::Status status = ValidateOptions(member.options); !status.ok()) {
      return Fail(std::string(status.message()));
    }
    Start(member, disk);
    members_.push_back(std::move(member));
  }
}

void InteractionScript::Crash(const ScriptCommand& command) {
  const std::vector<uint64_t> ids = command.Ids();
  MemoryNode* node = First(command);
  if (node == nullptr) return;
  const absl::string_view written = command.Value("written", "nothing");
  Member& member = members_[ids.front() - 1];
  member.disk = node->Crash(written == "all"    ? MemoryNode::Written::kAll
                            : written == "term" ? MemoryNode::Written::kTermAndVote
                            : written == "torn" ? MemoryNode::Written::kTorn
                                                : MemoryNode::Written::kNothing);
  member.node.reset();
  oracle_.Restarted(member.options.id);
}

void InteractionScript::Restart(const ScriptCommand& command) {
  const std::vector<uint64_t> ids = command.Ids();
  if (ids.empty() || ids.front() == 0 || ids.front() > members_.size() ||
      members_[ids.front() - 1].node) {
    return Fail("only a crashed node can be restarted");
  }
  Member& member = members_[ids.front() - 1];
  if (const std::optional<uint64_t> keep = command.Number("lose-after")) {
    using Evidence = Suspicion::Evidence;
    if (*keep < member.disk.snapshot.meta.index) return Fail("a snapshot is not lost");
    const absl::string_view evidence = command.Value("evidence", "spoilt");
    member.disk.Lose(*keep, evidence == "blank"    ? Evidence::kBlank
                            : evidence == "proven" ? Evidence::kProven
                                                   : Evidence::kSpoilt);
  }
  const absl::Status status = MemoryNode::CanStart(member.options, member.disk);
  if (!status.ok()) return Write(absl::StrCat(status.message(), "\n"));
  Start(member, std::exchange(member.disk, {}));
}

void InteractionScript::DropSuspicion(const ScriptCommand& command) {
  for (const uint64_t id : command.Ids()) {
    if (MemoryNode* node = Living(id)) node->DropSuspicion();
  }
}

// What follows its log in that of another node, as far as what was lost went. That the other one
// has the lost entry itself is not looked at here, as it should be, so that the core has to.
void InteractionScript::RegainLostEnd(const ScriptCommand& command) {
  MemoryNode* node = First(command);
  const std::optional<uint64_t> from = command.Number("from");
  MemoryNode* other = from ? Living(*from) : nullptr;
  if (node == nullptr || other == nullptr) return Fail("it needs two living nodes");
  const std::optional<Suspicion> lost = node->raft().suspicion();
  const Log& own = node->raft().log();
  const Log& log = other->raft().log();
  if (!lost || own.last() >= lost->index) return Write("nothing is lost\n");
  if (!log.Has(own.last(), own.last_term()) || log.last() == own.last())
    return Write("does not go on from there\n");
  Entries entries;
  log.CopyTo(own.last() + 1, std::min(lost->index, log.last()), kNoLimit, entries);
  const Outcome outcome = node->raft().RegainLostEnd(std::move(entries));
  if (outcome != Outcome::kOk) Write(absl::StrCat(OutcomeText(outcome), "\n"));
}

// ---- Messages

bool InteractionScript::Delivery::Takes(const Envelope& envelope, uint64_t to) const {
  return envelope.message.to == meant_for.value_or(to) &&
         (!type || *type == DescribeMessageType(envelope.message.body)) &&
         (!from || *from == envelope.message.from);
}

void InteractionScript::DeliverMessages(const ScriptCommand& command) {
  Delivery delivery;
  if (const auto* type = command.Find("type")) delivery.type = type->front();
  delivery.from = command.Number("from");
  delivery.meant_for = command.Number("meant-for");
  delivery.count = command.Number("count").value_or(delivery.count);
  size_t handled = 0;
  for (const ScriptArgument& argument : command.arguments) {
    uint64_t id = 0;
    delivery.drop = argument.key == "drop";
    delivery.keep = !delivery.drop && command.Flag("keep");
    if (argument.values.empty() && absl::SimpleAtoi(argument.key, &id)) {
      handled += Deliver(id, delivery);
    }
    if (!delivery.drop) continue;
    for (const std::string& value : argument.values) {
      if (absl::SimpleAtoi(value, &id)) handled += Deliver(id, delivery);
    }
  }
  if (handled == 0) Write("no messages\n");
}

size_t InteractionScript::Deliver(uint64_t to, const Delivery& delivery) {
  std::vector<Envelope> mine;
  std::vector<Envelope> others;
  for (Envelope& envelope : messages_) {
    const bool taken = mine.size() < delivery.count && delivery.Takes(envelope, to);
    if (taken) mine.push_back(envelope);
    if (!taken || delivery.keep) others.push_back(std::move(envelope));
  }
  messages_ = std::move(others);
  for (const Envelope& envelope : mine) {
    const absl::string_view drop = delivery.drop ? "dropped: " : "";
    Write(absl::StrCat(drop, DescribeMessage(envelope.message), "\n"));
    if (delivery.drop) continue;
    MemoryNode* node = Living(to);
    if (node == nullptr) break;
    const Outcome outcome = node->Step(envelope);
    if (outcome == Outcome::kUnknownPeer) {
      Write(absl::StrCat(kPeerNotFound, "\n"));
    } else if (std::holds_alternative<ForwardedProposal>(envelope.message.body)) {
      if (!Accepted(outcome)) Write(absl::StrCat(kProposalDropped, "\n"));
    } else if (outcome == Outcome::kMalformed || outcome == Outcome::kNotForMe) {
      Write(absl::StrCat(OutcomeText(outcome), "\n"));
    }
  }
  return mine.size();
}

void InteractionScript::SendSnapshot(const ScriptCommand& command) {
  const std::vector<uint64_t> ids = command.Ids();
  if (ids.size() != 2) return Fail("needs two nodes");
  MemoryNode* node = Living(ids[0]);
  if (node == nullptr) return;
  const MemorySnapshot& snapshot = node->snapshots().rbegin()->second;
  messages_.push_back(
      Envelope{Message{ids[0], ids[1], node->raft().term(), InstallSnapshot{snapshot.meta}},
               snapshot.state});
  Write(DescribeMessage(messages_.back().message));
}

// ---- Ready

bool InteractionScript::HasReady(const Member& member) const {
  const Raft& raft = member.node->raft();
  return raft.HasReady() || member.hard != HardStateShown{raft.hard_state(), raft.commit()} ||
         member.soft != SoftStateShown{raft.leader(), raft.role()};
}

std::string InteractionScript::DescribeStates(Member& member) {
  const Raft& raft = member.node->raft();
  std::string text;
  const SoftStateShown soft{raft.leader(), raft.role()};
  if (soft != member.soft) {
    absl::StrAppend(&text, "Lead:", soft.leader, " State:", DescribeRole(soft.role), "\n");
  }
  const HardStateShown hard{raft.hard_state(), raft.commit()};
  if (hard != member.hard) {
    absl::StrAppend(&text, "HardState Term:", hard.state.term);
    if (hard.state.vote != kNoNode) absl::StrAppend(&text, " Vote:", hard.state.vote);
    absl::StrAppend(&text, " Commit:", hard.commit, "\n");
  }
  member.soft = soft;
  member.hard = hard;
  return text;
}

// Prints a Ready and carries it out, without the write when `finish_write` is false.
void InteractionScript::HandleReady(Member& member, bool finish_write) {
  MemoryNode& node = *member.node;
  std::vector<Envelope> sent;
  std::string text = DescribeStates(member);  // as they are before anything is applied
  const Ready ready = node.Begin(sent);
  absl::StrAppend(&text, DescribeReady(ready));
  const bool must_sync =
      ready.persist && (ready.persist->hard_state || !ready.persist->entries.empty());
  if (node.writing() && finish_write) node.FinishWrite(sent);
  sent = InRecordedOrder(std::move(sent), ready.send_now.size());
  if (!sent.empty()) absl::StrAppend(&text, "Messages:\n");
  for (const Envelope& envelope : sent) {
    absl::StrAppend(&text, DescribeMessage(envelope.message), "\n");
  }
  if (node.writing()) {
    absl::StrAppend(&text, ready.send_after_persist.empty() ? "Writing\n" : "Writing, then:\n");
    for (const Message& message : ready.send_after_persist) {
      absl::StrAppend(&text, DescribeMessage(message), "\n");
    }
  }
  if (text.empty()) {
    Write("<empty Ready>");
  } else {
    Write(absl::StrCat(must_sync ? "Ready MustSync=true:\n" : "Ready MustSync=false:\n", text));
  }
  Post(node, std::move(sent));
}

void InteractionScript::ProcessReady(const ScriptCommand& command) {
  const std::vector<uint64_t> ids = command.Ids();
  for (const uint64_t id : ids) {
    if (Living(id) == nullptr) return;
    const auto handle = [&] { HandleReady(members_[id - 1], /*finish_write=*/true); };
    if (ids.size() == 1) {
      handle();
    } else {
      Write(absl::StrCat("> ", id, " handling Ready\n"));
      Indented(handle);
    }
  }
}

void InteractionScript::TakeReady(const ScriptCommand& command) {
  if (First(command) == nullptr) return;
  HandleReady(members_[command.Ids().front() - 1], /*finish_write=*/false);
}

void InteractionScript::Persist(const ScriptCommand& command) {
  MemoryNode* node = First(command);
  if (node == nullptr) return;
  if (!node->writing()) return Fail("nothing is being written");
  std::vector<Envelope> sent;
  node->FinishWrite(sent);
  for (const Envelope& envelope : sent) {
    Write(absl::StrCat(DescribeMessage(envelope.message), "\n"));
  }
  Post(*node, std::move(sent));
}

void InteractionScript::Post(const MemoryNode& sender, std::vector<Envelope> sent) {
  for (Envelope& envelope : sent) {
    if (violation_.empty()) violation_ = oracle_.Check(sender, envelope.message);
    messages_.push_back(std::move(envelope));
  }
}

void InteractionScript::Stabilize(const ScriptCommand& command) {
  const bool was_quiet = quiet_;
  if (command.Find("log-level") != nullptr) {
    quiet_ = absl::EqualsIgnoreCase(command.Value("log-level"), "none");
  }
  StabilizeNodes(command.Ids());
  quiet_ = was_quiet;
}

void InteractionScript::StabilizeNodes(const std::vector<uint64_t>& ids) {
  std::vector<uint64_t> chosen = ids;
  if (chosen.empty()) {
    for (const Member& member : members_) {
      if (member.node) chosen.push_back(member.options.id);
    }
  }
  int rounds = 0;
  for (bool moved = true; moved && error_.empty();) {
    if (++rounds > kMostRounds) return Fail("does not come to rest");
    moved = false;
    for (const uint64_t id : chosen) {
      if (Living(id) == nullptr) return;
      Member& member = members_[id - 1];
      if (!HasReady(member)) continue;
      moved = true;
      Write(absl::StrCat("> ", id, " handling Ready\n"));
      Indented([&] { HandleReady(member, /*finish_write=*/true); });
    }
    for (const uint64_t id : chosen) {
      const auto mine = [id](const Envelope& envelope) { return envelope.message.to == id; };
      if (std::none_of(messages_.begin(), messages_.end(), mine)) continue;
      moved = true;
      Write(absl::StrCat("> ", id, " receiving messages\n"));
      Indented([&] { Deliver(id, Delivery()); });
    }
  }
}

// ---- Inputs

void InteractionScript::Refused(Outcome outcome) {
  if (explain_ && !Accepted(outcome)) Write(absl::StrCat(OutcomeText(outcome), "\n"));
}

void InteractionScript::Campaign(const ScriptCommand& command) {
  if (MemoryNode* node = First(command)) Refused(node->raft().Campaign());
}

void InteractionScript::ForgetLeader(const ScriptCommand& command) {
  if (MemoryNode* node = First(command)) Refused(node->raft().ForgetLeader());
}

void InteractionScript::TransferLeadership(const ScriptCommand& command) {
  MemoryNode* node = Living(command.Number("from").value_or(0));
  if (node != nullptr) {
    Refused(node->raft().TransferLeadership(command.Number("to").value_or(kNoNode)));
  }
}

void InteractionScript::Propose(const ScriptCommand& command) {
  MemoryNode* node = First(command);
  if (node == nullptr) return;
  if (command.arguments.size() != 2) return Fail("needs a node and a word");
  const Outcome outcome = node->raft().Propose(Payload::Copy(command.arguments[1].key)).outcome;
  if (Accepted(outcome)) return;
  Refused(outcome);
  if (!explain_) Fail(std::string(kProposalDropped));
}

void InteractionScript::ProposeMembership(const ScriptCommand& command) {
  MemoryNode* node = First(command);
  if (node == nullptr) return;
  const absl::StatusOr<std::vector<MemberChange>> changes = ParseMemberChanges(command.input);
  if (!changes.ok()) return Fail(std::string(changes.status().message()));
  MembershipChange change;
  change.changes = *changes;
  const absl::string_view transition = command.Value("transition", "auto");
  if (transition == "implicit") change.transition = MembershipChange::Transition::kJointImplicit;
  if (transition == "explicit") change.transition = MembershipChange::Transition::kJointExplicit;
  if (command.Flag("v1")) change.context = std::string(kOldFormMembership);

  const Outcome outcome = node->raft().ProposeMembership(change).outcome;
  if (Accepted(outcome)) return;
  if (explain_) return Refused(outcome);
  switch (outcome) {
    case Outcome::kMembershipPending:
    case Outcome::kMembershipJoint:
    case Outcome::kMembershipNotJoint:
    case Outcome::kMembershipInvalid:
      // The recorded library puts an empty entry in its place.
      if (Accepted(node->raft().Propose(Payload()).outcome)) return;
      break;
    default:
      break;
  }
  Fail(std::string(kProposalDropped));
}

void InteractionScript::ReadIndex(const ScriptCommand& command) {
  MemoryNode* node = First(command);
  if (node != nullptr) {
    Refused(node->raft().RequestRead(command.Number("context").value_or(0)));
  }
}

void InteractionScript::ReportUnreachable(const ScriptCommand& command) {
  const std::vector<uint64_t> ids = command.Ids();
  if (ids.size() != 2) return Fail("needs two nodes");
  if (MemoryNode* node = Living(ids[0])) Refused(node->raft().ReportUnreachable(ids[1]));
}

void InteractionScript::ReportSnapshot(const ScriptCommand& command) {
  const std::vector<uint64_t> ids = command.Ids();
  if (ids.size() != 2) return Fail("needs two nodes");
  if (MemoryNode* node = Living(ids[0])) {
    Refused(node->raft().ReportSnapshot(ids[1], !command.Flag("failed")));
  }
}

void InteractionScript::CompactLog(const ScriptCommand& command) {
  const std::vector<uint64_t> numbers = command.Ids();
  if (numbers.size() != 2) return Fail("needs a node and an index");
  MemoryNode* node = Living(numbers[0]);
  if (node == nullptr) return;
  node->Compact(numbers[1]);
  PrintLog(*node);
}

void InteractionScript::SetElectionTimeout(const ScriptCommand& command) {
  MemoryNode* node = First(command);
  if (node == nullptr) return;
  const std::optional<uint64_t> timeout = command.Number("timeout");
  if (!timeout) return Fail("needs a timeout");
  node->raft().SetElectionTimeout(static_cast<uint32_t>(*timeout));
}

void InteractionScript::Tick(const ScriptCommand& command) {
  MemoryNode* node = First(command);
  const uint64_t count = command.Number("count").value_or(1);
  for (uint64_t i = 0; node != nullptr && i < count; ++i) node->raft().Tick();
}

void InteractionScript::TickElection(const ScriptCommand& command) {
  MemoryNode* node = First(command);
  for (uint32_t i = 0; node != nullptr && i < kElectionTicks; ++i) node->raft().Tick();
}

void InteractionScript::TickHeartbeat(const ScriptCommand& command) {
  MemoryNode* node = First(command);
  for (uint32_t i = 0; node != nullptr && i < kHeartbeatTicks; ++i) node->raft().Tick();
}

// ---- Output

void InteractionScript::LogLevel(const ScriptCommand& command) {
  quiet_ = !command.arguments.empty() && absl::EqualsIgnoreCase(command.arguments[0].key, "none");
}

void InteractionScript::Explain(const ScriptCommand&) { explain_ = true; }

void InteractionScript::RaftState(const ScriptCommand&) {
  for (const Member& member : members_) {
    if (!member.node) {
      Write(absl::StrCat(member.options.id, ": crashed\n"));
      continue;
    }
    const Raft& raft = member.node->raft();
    Write(absl::StrCat(raft.id(), ": ", DescribeRole(raft.role()),
                       IsVoter(raft.conf(), raft.id()) ? " (Voter)" : " (Non-Voter)",
                       " Term:", raft.term(), " Lead:", raft.leader(), "\n"));
  }
}

void InteractionScript::NodeState(const ScriptCommand& command) {
  const MemoryNode* node = First(command);
  if (node == nullptr) return;
  const Raft& raft = node->raft();
  Write(absl::StrCat("Vote:", raft.vote(), " Commit:", raft.commit(), " Applied:", raft.applied(),
                     " Durable:", raft.durable(), " Last:", raft.log().last(), " ",
                     DescribeConfiguration(raft.conf()), " state=\"", absl::CEscape(node->state()),
                     "\"", DescribeSuspicion(raft.suspicion()), "\n"));
}

void InteractionScript::Status(const ScriptCommand& command) {
  const MemoryNode* node = First(command);
  if (node == nullptr || node->raft().progress() == nullptr) return;
  const Raft& raft = node->raft();
  for (const Progress& peer : *raft.progress()) {
    Write(absl::StrCat(
        peer.id, ": ",
        DescribeProgress(peer, peer.id == raft.id(), IsLearner(raft.conf(), peer.id)), "\n"));
  }
}

void InteractionScript::RaftLog(const ScriptCommand& command) {
  if (const MemoryNode* node = First(command)) PrintLog(*node);
}

void InteractionScript::PrintLog(const MemoryNode& node) {
  const MemoryDisk& disk = node.disk();
  if (disk.entries.empty()) {
    Write(absl::StrCat("log is empty: first index=", disk.snapshot.meta.index + 1,
                       ", last index=", disk.last(), "\n"));
  } else {
    Write(DescribeEntries(disk.entries));
  }
}

void InteractionScript::Write(absl::string_view text) {
  if (!quiet_) absl::StrAppend(&output_, text);
}

template <typename Body>
void InteractionScript::Indented(Body body) {
  std::string outside = std::exchange(output_, {});
  body();
  const std::string inside = std::exchange(output_, std::move(outside));
  for (const absl::string_view line :
       absl::StrSplit(absl::StripSuffix(inside, "\n"), '\n', absl::SkipEmpty())) {
    Write(absl::StrCat("  ", line, "\n"));
  }
}

}  // namespace raftkv::raft
