#include "sim/coverage/surveyor.h"

#include <algorithm>
#include <variant>

#include "core/raft/configuration.h"
#include "core/replica/jobs.h"
#include "core/wire/frame.h"

namespace raftkv::sim {
namespace {

using raft::Index;
using raft::Term;

constexpr uint8_t kIgnored = 0xff;

// An index of OfTerm::counts, and the term.
std::pair<uint8_t, Term> KindOf(const wire::PeerBody& body) {
  if (const auto* chunk = std::get_if<wire::SnapshotChunk>(&body)) return {4, chunk->term};
  const auto* message = std::get_if<raft::Message>(&body);
  if (message == nullptr) return {kIgnored, 0};
  const raft::MessageBody& what = message->body;
  uint8_t kind = kIgnored;
  if (std::holds_alternative<raft::VoteRequest>(what)) kind = 0;
  if (std::holds_alternative<raft::VoteResponse>(what)) kind = 1;
  if (const auto* append = std::get_if<raft::AppendRequest>(&what)) {
    kind = append->entries.empty() ? kIgnored : 2;
  }
  if (std::holds_alternative<raft::AppendResponse>(what)) kind = 3;
  if (std::holds_alternative<raft::TimeoutNow>(what)) kind = 5;
  return {kind, message->term};
}

AbstractNode::Snapshot PhaseOf(const replica::JobBody& job) {
  using Phase = AbstractNode::Snapshot;
  const auto by_origin = [](replica::SnapshotOrigin origin) {
    return origin == replica::SnapshotOrigin::kLocal ? Phase::kTaking : Phase::kInstalling;
  };
  if (const auto* begin = std::get_if<replica::BeginSnapshot>(&job))
    return by_origin(begin->origin);
  if (const auto* append = std::get_if<replica::AppendSnapshot>(&job)) {
    return by_origin(append->origin);
  }
  if (const auto* finish = std::get_if<replica::FinishSnapshot>(&job)) {
    return by_origin(finish->origin);
  }
  if (std::holds_alternative<replica::SwitchSnapshot>(job)) return Phase::kTaking;
  if (std::holds_alternative<replica::RestoreSnapshot>(job)) return Phase::kInstalling;
  if (std::holds_alternative<replica::ReadSnapshot>(job)) return Phase::kSending;
  return Phase::kNone;
}

}  // namespace

void Surveyor::Watch(const Scheduler* scheduler, const Cluster* cluster, const Decisions* decisions,
                     Network::Watcher* next) {
  scheduler_ = scheduler;
  cluster_ = cluster;
  decisions_ = decisions;
  next_ = next;
}

void Surveyor::Look(const raft::ConfState& newest) {
  const bool new_configuration = newest != newest_;
  if (new_configuration) newest_ = newest;
  bool more_nodes = false;
  for (const auto& [id, process] : cluster_->processes()) {
    Node& node = NodeOf(id);
    const bool in_use = !cluster_->retired(id);
    if (in_use != node.in_use) {
      node.in_use = in_use;
      more_nodes = changed_ = true;
    }
    if (!in_use) continue;
    const Facts facts = FactsOf(*process);
    if (facts == node.facts && !new_configuration) continue;
    changed_ = true;
    const bool runs = process->replica() != nullptr;
    if (facts.applied != node.facts.applied || facts.last != node.facts.last ||
        facts.last_term != node.facts.last_term || facts.run != node.facts.run) {
      node.pending = runs ? FindPending(process->replica()->raft()) : AbstractNode::Pending::kNone;
    }
    node.outdated = runs && process->replica()->raft().conf() != newest_;
    node.facts = facts;
  }
  if (new_configuration || more_nodes) SortMembers(newest_);
  if (changed_) Note();
}

Surveyor::Facts Surveyor::FactsOf(const Process& process) {
  Facts facts;
  const replica::Replica* replica = process.replica();
  if (replica == nullptr) return facts;
  if (replica->repairing()) {
    facts.run = AbstractNode::Run::kRepairing;
    return facts;
  }
  const raft::Raft& raft = replica->raft();
  facts.run = process.state() == Process::State::kPaused ? AbstractNode::Run::kPaused
                                                         : AbstractNode::Run::kUp;
  facts.role = raft.role();
  facts.term = raft.term();
  facts.last_term = raft.log().last_term();
  facts.first = raft.log().first();
  facts.last = raft.log().last();
  facts.commit = raft.commit();
  facts.applied = raft.applied();
  facts.writing = raft.ticket_out();
  facts.suspicion = raft.suspicion().has_value();
  if (raft.installing_snapshot()) {
    facts.snapshot = AbstractNode::Snapshot::kInstalling;
  } else if (const replica::Job* job = process.disk_thread().running()) {
    facts.snapshot = PhaseOf(job->body);
  }
  if (facts.snapshot == AbstractNode::Snapshot::kNone && raft.progress() != nullptr) {
    for (const raft::Progress& peer : *raft.progress()) {
      if (peer.state != raft::ProgressState::kSnapshot) continue;
      facts.snapshot = AbstractNode::Snapshot::kSending;
    }
  }
  return facts;
}

AbstractNode::Pending Surveyor::FindPending(const raft::Raft& raft) {
  using Pending = AbstractNode::Pending;
  const raft::Log& log = raft.log();
  Pending pending = Pending::kNone;
  for (Index i = std::max(raft.applied() + 1, log.first()); i <= log.last(); ++i) {
    if (log.At(i).type != raft::EntryType::kMembership) continue;
    if (pending == Pending::kOne) return Pending::kMore;
    pending = Pending::kOne;
  }
  return pending;
}

void Surveyor::SortMembers(const raft::ConfState& newest) {
  for (raft::NodeId id = 0; id < nodes_.size(); ++id) {
    Node& node = nodes_[id];
    if (raft::IsVoter(newest, id)) {
      node.member = AbstractNode::Member::kVoter;
    } else if (raft::IsMember(newest, id)) {
      node.member = AbstractNode::Member::kLearner;
    } else {
      node.member =
          node.was_member ? AbstractNode::Member::kRemoved : AbstractNode::Member::kNotYet;
    }
    node.was_member = node.was_member || raft::IsMember(newest, id);
  }
}

// --- Messages

void Surveyor::FrameSent(uint64_t number, raft::NodeId from, raft::NodeId to,
                         const std::string& frame) {
  if (next_ != nullptr) next_->FrameSent(number, from, to, frame);
  Flight flight;
  if (wire::DecodePeer(absl::string_view(frame).substr(wire::kFrameHeaderSize), &decoded_).ok()) {
    const auto [kind, term] = KindOf(decoded_.body);
    if (kind != kIgnored) flight = {to, term, kind, 1};
  }
  if (flights_.empty()) first_flight_ = number;
  flights_.push_back(flight);
  if (flight.copies > 0) Count(flight, /*more=*/true);
}

void Surveyor::FrameDoubled(uint64_t number) {
  if (next_ != nullptr) next_->FrameDoubled(number);
  Flight& flight = flights_[number - first_flight_];
  if (flight.copies == 0) return;
  ++flight.copies;
  Count(flight, /*more=*/true);
}

void Surveyor::FrameMet(uint64_t number, Network::Fate fate) {
  if (next_ != nullptr) next_->FrameMet(number, fate);
  if (fate == Network::Fate::kHeld || number < first_flight_) return;
  Flight& flight = flights_[number - first_flight_];
  if (flight.copies > 0) {
    Count(flight, /*more=*/false);
    --flight.copies;
  }
  while (!flights_.empty() && flights_.front().copies == 0) {
    flights_.pop_front();
    ++first_flight_;
  }
}

void Surveyor::Count(const Flight& flight, bool more) {
  Node& node = NodeOf(flight.to);
  auto of_term = std::find_if(node.messages.begin(), node.messages.end(),
                              [&](const OfTerm& each) { return each.term == flight.term; });
  if (of_term == node.messages.end()) {
    node.messages.push_back({flight.term, {}});
    of_term = node.messages.end() - 1;
  }
  uint32_t& count = of_term->counts[flight.kind];
  const bool there = count > 0;
  count += more ? 1u : ~0u;
  if (there == (count > 0)) return;
  changed_ = true;
  if (std::all_of(std::begin(of_term->counts), std::end(of_term->counts),
                  [](uint32_t each) { return each == 0; })) {
    node.messages.erase(of_term);
  }
}

uint8_t Surveyor::MessagesTo(const Node& node) {
  uint32_t messages = 0;
  for (const OfTerm& of_term : node.messages) {
    for (size_t kind = 0; kind < std::size(of_term.counts); ++kind) {
      if (of_term.counts[kind] > 0) messages |= 1u << kind;
    }
    if (of_term.term < node.facts.term) messages |= AbstractNode::kOld;
  }
  return static_cast<uint8_t>(messages);
}

// --- The state

void Surveyor::Note() {
  changed_ = false;
  using Run = AbstractNode::Run;
  const auto takes_part = [](const Node& node) {
    return node.in_use && (node.facts.run == Run::kUp || node.facts.run == Run::kPaused);
  };
  Term highest = 0;
  Index commit = 0;
  const Facts* leader = nullptr;
  const Facts* best = nullptr;
  for (const Node& node : nodes_) {
    if (!takes_part(node)) continue;
    const Facts& facts = node.facts;
    highest = std::max(highest, facts.term);
    commit = std::max(commit, facts.commit);
    if (facts.role == raft::RoleName::kLeader && (leader == nullptr || facts.term > leader->term)) {
      leader = &facts;
    }
    if (best == nullptr || facts.last_term > best->last_term ||
        (facts.last_term == best->last_term && facts.last > best->last)) {
      best = &facts;
    }
  }
  const Facts* other = leader != nullptr ? leader : best;
  codes_.clear();
  for (const Node& node : nodes_) {
    if (!node.in_use) continue;
    const Facts& facts = node.facts;
    AbstractNode is;
    is.run = facts.run;
    is.member = node.member;
    is.messages = MessagesTo(node);
    if (takes_part(node)) {
      is.role = static_cast<AbstractNode::Role>(facts.role);
      is.term = facts.term == highest       ? AbstractNode::Term::kHighest
                : facts.term + 1 == highest ? AbstractNode::Term::kOneBehind
                                            : AbstractNode::Term::kBehind;
      is.commit = facts.commit == commit       ? AbstractNode::Commit::kHighest
                  : facts.commit + 1 == commit ? AbstractNode::Commit::kOneBehind
                                               : AbstractNode::Commit::kBehind;
      if (facts.last + 1 < other->first) {
        is.log = AbstractNode::Log::kCutOff;
      } else if (facts.last_term > other->last_term) {
        is.log = AbstractNode::Log::kNewer;
      } else if (facts.last_term < other->last_term) {
        is.log =
            facts.last > other->last ? AbstractNode::Log::kOlderLonger : AbstractNode::Log::kOlder;
      } else if (facts.last != other->last) {
        is.log =
            facts.last < other->last ? AbstractNode::Log::kShorter : AbstractNode::Log::kLonger;
      }
      is.pending = node.pending;
      is.outdated = node.outdated;
      is.snapshot = facts.snapshot;
      is.writing = facts.writing;
      is.suspicion = facts.suspicion;
    }
    codes_.push_back(CodeOf(is));
  }
  const bool joint = raft::IsJoint(newest_);
  const uint64_t state = HashOfCodes(joint, codes_);
  if (seen_.insert(state).second) {
    reached_.push_back(
        {state, OutlineOfCodes(joint, codes_), scheduler_->now(), decisions_->made()});
  }
}

}  // namespace raftkv::sim
