#include "sim/oracles/rules.h"

#include <algorithm>
#include <variant>

#include "absl/strings/str_cat.h"
#include "core/raft/configuration.h"
#include "core/raft/quorum.h"

namespace raftkv::sim {

namespace {

// Its term is that of its sender, and counts (paper, figure 2, all servers).
bool MovesTheTerm(const raft::Message& message) {
  const auto* vote = std::get_if<raft::VoteResponse>(&message.body);
  if (vote != nullptr) return !vote->pre_vote || vote->rejected;
  return std::holds_alternative<raft::AppendRequest>(message.body) ||
         std::holds_alternative<raft::AppendResponse>(message.body) ||
         std::holds_alternative<raft::Heartbeat>(message.body) ||
         std::holds_alternative<raft::HeartbeatResponse>(message.body);
}

}  // namespace

raft::Index UnappliedChange(const raft::Raft& raft) {
  const raft::Log& log = raft.log();
  for (raft::Index i = std::max(raft.applied(), log.base()) + 1; i <= raft.commit(); ++i) {
    if (log.At(i).type == raft::EntryType::kMembership) return i;
  }
  return 0;
}

void Rules::BeforeTurn(const raft::Raft& raft) {
  heard_ = nullptr;
  appends_.clear();
  alone_ = true;
  said_.reset();
  hides_loss_ = false;
  answered_.clear();
  answered_reads_.clear();
  silence_ = raft.election_elapsed();
  ticks_ = raft.ticks();
  loyal_ = raft.options().check_quorum && raft.role() == raft::RoleName::kFollower &&
           raft.leader() != raft::kNoNode && silence_ < raft.options().election_ticks;
  commit_ = raft.commit();
  applied_ = raft.applied();
  base_ = raft.log().base();
  confirmed_round_ = raft.confirmed_round();
  offered_snapshot_ = raft.offered_snapshot().index;
  transfer_target_ = raft.transfer_target();
  transfer_began_ = raft.transfer_began();
  rows_.clear();
  if (raft.progress() == nullptr) return;
  for (const raft::Progress& peer : *raft.progress()) {
    rows_.push_back({peer.id, peer.next, peer.match, peer.state, peer.read_round, peer.try_again_at,
                     peer.losses});
  }
}

const Rules::Row* Rules::RowBefore(raft::NodeId node) const {
  const auto row =
      std::find_if(rows_.begin(), rows_.end(), [node](const Row& one) { return one.id == node; });
  return row == rows_.end() ? nullptr : &*row;
}

bool Rules::Turn::IsMember(raft::NodeId node) const {
  return raft::IsMember(before.conf(), node) && raft::IsMember(raft.conf(), node);
}

void Rules::Hears(const raft::Message& message) {
  if (alone_) heard_ = &message;
  if (const auto* append = std::get_if<raft::AppendRequest>(&message.body)) {
    appends_.push_back({message.term, append->prev_index, append->prev_term,
                        append->prev_index + append->entries.size()});
  }
}

void Rules::AnotherInput() {
  heard_ = nullptr;
  alone_ = false;
}

void Rules::Says(const raft::Message& message) {
  const auto* response = std::get_if<raft::AppendResponse>(&message.body);
  if (response != nullptr && response->rejected && !response->lost) hides_loss_ = true;
  if (const Answer answer = AnswerOf(message.body); answer != Answer::kNone) {
    answered_.push_back({message.to, answer, 0});
  }
  if (const auto* read = std::get_if<raft::ReadIndexResponse>(&message.body)) {
    answered_reads_.push_back({message.to, read->context});
  }
  const auto* request = std::get_if<raft::VoteRequest>(&message.body);
  if (request != nullptr && !request->pre_vote && message.term == handed_over_ &&
      !request->transfer) {
    said_ = absl::StrCat("campaigns in term ", message.term,
                         " because the leader asked it to, and does not tell node ", message.to,
                         " so, which may be loyal to that leader");
  }
}

bool Rules::MayHaveBeenTime(const raft::Raft& raft) const {
  return silence_ + raft.ticks() - ticks_ >= raft.options().election_ticks;
}

Rules::Answer Rules::AnswerOf(const raft::MessageBody& body) {
  if (std::holds_alternative<raft::AppendResponse>(body)) return Answer::kToAppend;
  if (std::holds_alternative<raft::HeartbeatResponse>(body)) return Answer::kToHeartbeat;
  if (std::holds_alternative<raft::VoteResponse>(body)) return Answer::kToVoteRequest;
  return Answer::kNone;
}

void Rules::Owe(Answer answer) {
  // One answer does for all: the last one says most.
  for (const Debt& debt : debts_) {
    if (debt.to == heard_->from && debt.answer == answer) return;
  }
  debts_.push_back({heard_->from, answer, 0});
}

Rules::Wrong Rules::AfterTurn(const raft::Raft& raft, const raft::StepInvariants& before,
                              bool moved, bool refused, bool persists) {
  const bool led = before.role() == raft::RoleName::kLeader && raft.is_leader() &&
                   raft.term() == before.hard_state().term;
  const Turn turn{raft, before, led, moved && raft.conf() != before.conf()};
  if (said_) return said_;
  if (hides_loss_ && raft.suspicion()) {
    return absl::StrCat("refuses an append and does not say that its disk has lost entries up to ",
                        raft.suspicion()->index);
  }
  if (raft.term() != turn.term_before()) agreed_ = 0;
  if (!refused || !alone_) Agree(raft);
  if (heard_ != nullptr && !refused) {
    if (Wrong wrong = Loyalty(turn)) return wrong;
    if (heard_->term > raft.term() && MovesTheTerm(*heard_) && turn.IsMember(heard_->from) &&
        !loyal_) {
      return absl::StrCat("hears of term ", heard_->term, " from node ", heard_->from,
                          " and stays in term ", raft.term());
    }
    if (Wrong wrong = std::visit([&](const auto& body) { return Heeds(turn, body); }, heard_->body))
      return wrong;
  }
  if (Wrong wrong = Campaign(raft)) return wrong;
  if (turn.reconfigured) {
    if (Wrong wrong = Configuration(turn)) return wrong;
  }
  if (Wrong wrong = Agreement(turn)) return wrong;
  if (Wrong wrong = Leadership(turn)) return wrong;
  if (!debts_.empty()) {
    if (Wrong wrong = Debts(raft, persists)) return wrong;
  }
  return reads_.empty() ? Wrong() : Reads(turn);
}

// --- What it heard

Rules::Wrong Rules::HeedsLeader(const Turn& turn) const {
  const raft::Raft& raft = turn.raft;
  if (raft.role() != raft::RoleName::kFollower) return {};
  if (heard_->term == raft.term()) {
    if (raft.election_elapsed() == 0) return {};
    return absl::StrCat("hears the leader of its term, node ", heard_->from,
                        ", and its election timer goes on");
  }
  // A leader of an earlier term is none.
  if (raft.term() != turn.term_before() || turn.before.role() != raft::RoleName::kFollower) {
    return {};
  }
  if (raft.election_elapsed() >= silence_ || MayHaveBeenTime(raft)) return {};
  return absl::StrCat("in term ", raft.term(), " lets a leader of term ", heard_->term, ", node ",
                      heard_->from, ", start its election timer again");
}

void Rules::Agree(const raft::Raft& raft) {
  for (const Append& append : appends_) {
    if (append.term == raft.term() && raft.log().Has(append.prev_index, append.prev_term)) {
      agreed_ = std::max(agreed_, append.last);
    }
  }
}

Rules::Wrong Rules::Heeds(const Turn& turn, const raft::AppendRequest& /*request*/) {
  const raft::Index last = appends_.back().last;
  if (heard_->term == turn.raft.term()) Owe(Answer::kToAppend);
  // What is behind these entries may be of another log.
  if (turn.raft.commit() > std::max(commit_, last)) {
    return absl::StrCat("takes from an append of node ", heard_->from, " up to entry ", last,
                        " that entry ", turn.raft.commit(), " is committed");
  }
  return HeedsLeader(turn);
}

// A refusal of what was accepted since is late, and news of nothing.
Rules::Wrong Rules::Heeds(const Turn& turn, const raft::AppendResponse& response) {
  const raft::Raft& raft = turn.raft;
  if (!turn.led || !response.rejected || response.lost || raft.ticks() != ticks_) return {};
  const raft::Progress* peer = raft.progress()->Find(heard_->from);
  const Row* before = RowBefore(heard_->from);
  if (peer == nullptr || before == nullptr || response.index > before->match ||
      before->state != raft::ProgressState::kReplicate ||
      peer->state != raft::ProgressState::kProbe) {
    return {};
  }
  return absl::StrCat("probes for where node ", heard_->from,
                      " agrees with it, because that one refused entry ", response.index,
                      " once, and it has acknowledged entry ", before->match, " since");
}

// A leader tells what the node has acknowledged. If that may be lost, something else may stand
// there.
Rules::Wrong Rules::Heeds(const Turn& turn, const raft::Heartbeat& /*heartbeat*/) {
  if (heard_->term == turn.raft.term()) Owe(Answer::kToHeartbeat);
  if (turn.before.suspicion() && turn.raft.commit() > std::max(commit_, agreed_)) {
    return absl::StrCat("may have lost entries up to ", turn.before.suspicion()->index,
                        ", and takes from a heartbeat of node ", heard_->from, " that entry ",
                        turn.raft.commit(), " is committed, and the leader of term ",
                        turn.raft.term(), " has shown it none behind ", agreed_);
  }
  return HeedsLeader(turn);
}

Rules::Wrong Rules::Heeds(const Turn& turn, const raft::VoteRequest& request) {
  const raft::Raft& raft = turn.raft;
  // Of a higher term it may keep silent: it hears a leader.
  if (heard_->term > raft.term()) return {};
  Owe(Answer::kToVoteRequest);
  const bool gave = heard_->term == raft.term() && raft.vote() == heard_->from;
  const std::optional<raft::Suspicion>& lost = raft.suspicion();
  if (gave && raft.hard_state() != turn.before.hard_state() && lost &&
      !raft::UpToDate(request.last_index, request.last_term, *lost)) {
    return absl::StrCat("may have lost entries up to (", lost->index, ", term ", lost->term,
                        "), and votes for node ", heard_->from, ", whose log ends with (",
                        request.last_index, ", term ", request.last_term, ")");
  }
  if (!gave && !MayHaveBeenTime(raft) && turn.before.role() == raft::RoleName::kFollower &&
      raft.role() == raft::RoleName::kFollower && raft.leader() == raft::kNoNode &&
      raft.election_elapsed() < silence_) {
    return absl::StrCat("gives node ", heard_->from,
                        " no vote, and lets it start its election timer again");
  }
  // With lease reads a node gives no vote for a while after it has started.
  if (request.pre_vote || heard_->term < raft.term() || raft.vote() != raft::kNoNode ||
      raft.leader() != raft::kNoNode || raft.suspicion().has_value() ||
      raft.options().read_mode == raft::ReadMode::kLease) {
    return {};
  }
  const raft::Log& log = raft.log();
  if (request.last_term < log.last_term() ||
      (request.last_term == log.last_term() && request.last_index < log.last())) {
    return {};
  }
  return absl::StrCat("has voted for nobody in term ", raft.term(), " and refuses node ",
                      heard_->from, ", whose log (", request.last_index, ", term ",
                      request.last_term, ") is as good as its own (", log.last(), ", term ",
                      log.last_term(), ")");
}

// Or two nodes of different configurations refuse each other for ever.
Rules::Wrong Rules::Heeds(const Turn& turn, const raft::VoteResponse& response) {
  const raft::Raft& raft = turn.raft;
  // Who hears a leader learns it from that one, and goes to no later term for an answer.
  if (loyal_ && heard_->term > turn.term_before()) return {};
  // The answers of who is no member count for nothing.
  const raft::Index known = std::min(response.commit, raft.log().last());
  if (!response.rejected || raft.is_leader() || known <= raft.commit() ||
      !turn.IsMember(heard_->from) || !raft.log().Has(known, response.commit_term)) {
    return {};
  }
  return absl::StrCat("is refused a vote by node ", heard_->from, ", which has entry ",
                      response.commit, " committed, has it up to ", known, ", and still takes ",
                      raft.commit(), " for the last that is committed");
}

Rules::Wrong Rules::Heeds(const Turn& turn, const raft::HeartbeatResponse& response) {
  const raft::Raft& raft = turn.raft;
  if (!turn.led) return {};
  const raft::Progress* peer = raft.progress()->Find(heard_->from);
  const Row* before = RowBefore(heard_->from);
  if (peer == nullptr || before == nullptr) return {};
  // What was said to a leader of an earlier term is not said to this one, and its rounds were other
  // rounds.
  const bool ours = heard_->term == raft.term();
  if (peer->read_round > std::max(before->read_round, ours ? response.read_round : 0)) {
    return absl::StrCat("in term ", raft.term(), " counts the answer of node ", heard_->from,
                        " to round ", response.read_round, " of term ", heard_->term,
                        " as one to round ", peer->read_round);
  }
  // With the last entry compacted away as well there is no entry to ask about.
  if (ours && peer->state == raft::ProgressState::kProbe && !peer->flow_paused &&
      raft.ticks() >= before->try_again_at && !raft.log().TermAt(peer->next - 1).has_value() &&
      raft.offered_snapshot().index >= raft.log().base()) {
    return absl::StrCat("hears from node ", heard_->from, ", which needs a snapshot, and offers ",
                        "none, although it has that of entry ", raft.offered_snapshot().index);
  }
  return {};
}

// Late, or a second time.
Rules::Wrong Rules::Heeds(const Turn& turn, const raft::InstallSnapshot& install) {
  const raft::Log& log = turn.raft.log();
  if (install.meta.index > commit_ || log.base() >= base_) return {};
  return absl::StrCat("installs the snapshot of entry ", install.meta.index,
                      ", and has committed entry ", commit_);
}

Rules::Wrong Rules::Heeds(const Turn& turn, const raft::TimeoutNow& /*order*/) {
  const raft::Raft& raft = turn.raft;
  const raft::Term term = turn.term_before();
  const bool may_be_time = silence_ + kTicksInATurn >= raft.options().election_ticks;
  if (raft.role() != raft::RoleName::kCandidate || may_be_time) return {};
  if (heard_->term < term && raft.term() == term + 1 && !Campaigns(turn.before.role())) {
    return absl::StrCat("in term ", term, " campaigns because a leader of term ", heard_->term,
                        ", node ", heard_->from, ", asks it to");
  }
  if (raft.term() == heard_->term + 1 && raft.term() > term) handed_over_ = raft.term();
  return {};
}

Rules::Wrong Rules::Heeds(const Turn& turn, const raft::ReadIndexRequest& request) {
  if (turn.led) reads_.push_back({heard_->from, request.context});
  return {};
}

// Its leader may count on it until an election timeout has passed (thesis, section 4.2.3).
Rules::Wrong Rules::Loyalty(const Turn& turn) const {
  const raft::Raft& raft = turn.raft;
  const bool may_be_time = silence_ + kTicksInATurn >= raft.options().election_ticks;
  if (!loyal_ || may_be_time || raft.term() <= turn.term_before() || raft.term() != heard_->term) {
    return {};
  }
  const auto* request = std::get_if<raft::VoteRequest>(&heard_->body);
  const bool handed_over = request != nullptr && request->transfer;
  if (handed_over || std::holds_alternative<raft::AppendRequest>(heard_->body) ||
      std::holds_alternative<raft::Heartbeat>(heard_->body) ||
      std::holds_alternative<raft::InstallSnapshot>(heard_->body) ||
      std::holds_alternative<raft::TimeoutNow>(heard_->body)) {
    return {};
  }
  return absl::StrCat("hears the leader of term ", turn.term_before(), ", and goes to term ",
                      raft.term(), " for what node ", heard_->from, " says, which leads nobody");
}

// --- What it did

Rules::Wrong Rules::Campaign(const raft::Raft& raft) const {
  if (!Campaigns(raft.role())) return {};
  if (raft.installing_snapshot()) return "campaigns while it installs a snapshot";
  const raft::Index change = UnappliedChange(raft);
  if (change == 0) return {};
  return absl::StrCat("campaigns in a configuration that is history: entry ", change,
                      " is committed and not applied");
}

// It is that of the last change that was applied, or of the snapshot that was installed.
Rules::Wrong Rules::Configuration(const Turn& turn) const {
  const raft::Raft& raft = turn.raft;
  if (raft.conf().voters.empty()) return "leaves its configuration without voters";
  if (raft.is_leader() && raft.options().step_down_on_removal &&
      !raft::IsVoter(raft.conf(), raft.id())) {
    return absl::StrCat("applies its own removal and goes on leading term ", raft.term());
  }
  if (raft.applied() != applied_ || raft.log().base() != base_) return {};
  return "changes its configuration and has applied nothing";
}

// What counted before is not known any more.
bool Rules::SomebodyLost(const raft::Raft& raft) const {
  return std::any_of(raft.progress()->begin(), raft.progress()->end(),
                     [this](const raft::Progress& peer) {
                       const Row* before = RowBefore(peer.id);
                       return before != nullptr && before->losses != peer.losses;
                     });
}

// What a leader takes for agreed, a majority has said, or two while the configuration is joint.
Rules::Wrong Rules::Agreement(const Turn& turn) const {
  const raft::Raft& raft = turn.raft;
  if (!turn.led) return {};
  if (raft.holds_lease() && raft.ticks() - raft.lease_start() + raft.options().lease_drift_ticks >=
                                raft.options().election_ticks) {
    return absl::StrCat("holds a lease that began ", raft.ticks() - raft.lease_start(),
                        " ticks ago; others may elect after ", raft.options().election_ticks,
                        ", and their clocks may be fast by ", raft.options().lease_drift_ticks);
  }
  if (raft.commit() == commit_ && raft.confirmed_round() == confirmed_round_) return {};
  // In a turn that applies several changes it may have been by one that has come and gone.
  int changes = 0;
  for (raft::Index i = std::max(applied_, raft.log().base()) + 1; i <= raft.applied(); ++i) {
    if (raft.log().At(i).type == raft::EntryType::kMembership) ++changes;
  }
  if (changes > 1 || raft.log().base() > applied_) return {};
  if (!alone_ && (turn.reconfigured || SomebodyLost(raft))) return {};
  // Who has been removed in this turn has no row any more; what it said in this turn counted
  // before.
  const auto said = [&](raft::NodeId id) -> const raft::MessageBody* {
    const bool ours = heard_ != nullptr && heard_->from == id && heard_->term == raft.term();
    return ours ? &heard_->body : nullptr;
  };
  const auto agreed = [&](const auto& reached) {
    const auto by_now = raft::JointIndex(raft.conf(), reached);
    if (!turn.reconfigured) return by_now;
    return std::max(by_now, raft::JointIndex(turn.before.conf(), reached));
  };
  const raft::Index committed = agreed([&](raft::NodeId id) -> raft::Index {
    if (const raft::Progress* peer = raft.progress()->Find(id)) return peer->match;
    if (id == raft.id()) return raft.durable();
    const auto* answer = said(id) ? std::get_if<raft::AppendResponse>(said(id)) : nullptr;
    const Row* before = RowBefore(id);
    return std::max(before == nullptr ? 0 : before->match,
                    answer == nullptr || answer->rejected ? 0 : answer->index);
  });
  if (raft.commit() > std::max(commit_, committed)) {
    return absl::StrCat("leads term ", raft.term(), " and commits entry ", raft.commit(),
                        "; its voters have shown to have no more than entry ", committed);
  }
  const uint64_t confirmed = agreed([&](raft::NodeId id) -> uint64_t {
    if (const raft::Progress* peer = raft.progress()->Find(id)) return peer->read_round;
    if (id == raft.id()) return raft.confirmed_round();
    const auto* answer = said(id) ? std::get_if<raft::HeartbeatResponse>(said(id)) : nullptr;
    const Row* before = RowBefore(id);
    return std::max(before == nullptr ? 0 : before->read_round,
                    answer == nullptr ? 0 : answer->read_round);
  });
  if (raft.confirmed_round() > std::max(confirmed_round_, confirmed)) {
    return absl::StrCat("leads term ", raft.term(), " and takes round ", raft.confirmed_round(),
                        " of its heartbeats for answered; its voters have answered round ",
                        confirmed);
  }
  return {};
}

Rules::Wrong Rules::Leadership(const Turn& turn) {
  const raft::Raft& raft = turn.raft;
  if (raft.offered_snapshot().index < offered_snapshot_) {
    return absl::StrCat("offers the snapshot of entry ", raft.offered_snapshot().index,
                        " after that of entry ", offered_snapshot_);
  }
  if (raft.is_leader() && !turn.led && raft.election_elapsed() > 0) {
    return absl::StrCat("leads term ", raft.term(),
                        " and gives the others less than an election timeout to answer");
  }
  // The same as before the turn, not the next one to the same node.
  const bool hands_over = turn.led && transfer_target_ != raft::kNoNode &&
                          raft.transfer_target() == transfer_target_ &&
                          raft.transfer_began() == transfer_began_;
  if (!hands_over) transfer_ticks_ = 0;
  if (!turn.led) return {};
  if (hands_over) {
    transfer_ticks_ += std::min<uint64_t>(raft.ticks() - ticks_, kTicksInATurn);
    if (transfer_ticks_ > raft.options().election_ticks + kTicksInATurn) {
      return absl::StrCat("hands over to node ", transfer_target_, " for ", transfer_ticks_,
                          " ticks; an election timeout is ", raft.options().election_ticks);
    }
    if (alone_ && raft.log().last() > turn.before.log().last()) {
      return absl::StrCat("appends entry ", raft.log().last(), " while it hands over to node ",
                          transfer_target_);
    }
  }
  auto before = rows_.begin();
  for (const raft::Progress& peer : *raft.progress()) {
    while (before != rows_.end() && before->id < peer.id) ++before;
    const bool known = before != rows_.end() && before->id == peer.id;
    if (alone_ && known && before->state == raft::ProgressState::kProbe &&
        peer.state == raft::ProgressState::kProbe && peer.match == before->match &&
        peer.next > before->next) {
      return absl::StrCat("had come back to entry ", before->next, " in its search for where node ",
                          peer.id, " agrees with it, and goes on at entry ", peer.next);
    }
    if (peer.state == raft::ProgressState::kSnapshot && peer.match >= raft.log().base()) {
      return absl::StrCat("sends node ", peer.id, " nothing but a snapshot, although that one has ",
                          "acknowledged entry ", peer.match, " and the log goes on behind it");
    }
    if (peer.id != raft.id() && peer.state == raft::ProgressState::kReplicate &&
        peer.inflights.count() == 0 && peer.next <= raft.log().last()) {
      return absl::StrCat("has told node ", peer.id, " nothing of entry ", peer.next,
                          " and waits for nothing");
    }
  }
  return {};
}

// An answer may wait for the write that is out, and for the next one, which it speaks of.
Rules::Wrong Rules::Debts(const raft::Raft& raft, bool persists) {
  constexpr uint32_t kMostWrites = 2;
  if (raft.log_refused()) {
    std::erase_if(debts_, [](const Debt& debt) { return debt.answer == Answer::kToAppend; });
  }
  std::erase_if(debts_, [&](const Debt& debt) {
    return std::any_of(answered_.begin(), answered_.end(), [&debt](const Debt& said) {
      return said.to == debt.to && said.answer == debt.answer;
    });
  });
  for (Debt& debt : debts_) {
    if (persists) ++debt.writes;
    if (raft.ticket_out() && debt.writes <= kMostWrites) continue;
    const absl::string_view what = debt.answer == Answer::kToVoteRequest ? "request for a vote"
                                   : debt.answer == Answer::kToAppend    ? "append"
                                                                         : "heartbeat";
    return absl::StrCat("does not answer the ", what, " of node ", debt.to);
  }
  return {};
}

Rules::Wrong Rules::Reads(const Turn& turn) {
  std::erase_if(reads_, [&](const Read& read) {
    return std::any_of(answered_reads_.begin(), answered_reads_.end(), [&read](const Read& said) {
      return said.from == read.from && said.context == read.context;
    });
  });
  if (turn.led) return {};
  for (const Read& read : reads_) {
    if (!turn.IsMember(read.from)) continue;
    return absl::StrCat("leads term ", turn.term_before(), " no more and has not told node ",
                        read.from, " that its read ", read.context, " is not answered");
  }
  reads_.clear();
  return {};
}

}  // namespace raftkv::sim
