// Damaged disks: this node's, which makes it do nothing but mend (repair_mode.h), and those of
// peers, whose questions it answers in every state. Also what becomes of a suspicion that nobody
// can lift (suspicion_review.h).
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/configuration.h"
#include "core/raft/membership.h"
#include "core/replica/inquiry.h"
#include "core/replica/replica.h"

namespace raftkv::replica {
namespace {

// For each peer: what it gets, it asks for one after the other.
constexpr size_t kPiecesOut = 2;
constexpr uint64_t kMaxPiece = 256 << 10;

// So that whoever may have a copy can be reached: also members whose entries are not applied.
void AddMembersOf(const raft::Entry& entry, Members* members) {
  if (entry.type != raft::EntryType::kMembership) return;
  const std::optional<raft::MembershipChange> change =
      raft::DecodeMembershipChange(entry.payload.view());
  const std::optional<Members> added =
      change ? Members::Decode(change->context) : std::optional<Members>();
  if (!added) return;
  for (const auto& [id, member] : added->all()) members->Set(id, member);
}

// The members that may have to do with what is lost: of the configuration in force and of those
// that entries of the log would make.
std::vector<raft::NodeId> OtherMembers(const raft::Raft& raft) {
  raft::Entries entries;
  if (raft.applied() < raft.log().last()) {
    raft.log().CopyTo(std::max(raft.applied() + 1, raft.log().first()), raft.log().last(),
                      ~uint64_t{0}, entries);
  }
  std::vector<raft::NodeId> others;
  for (const raft::ConfState& conf : ConfigurationsBehind(raft.conf(), raft.applied(), entries)) {
    for (const raft::NodeId id : raft::AllMembers(conf)) {
      if (id != raft.id()) others.push_back(id);
    }
  }
  std::sort(others.begin(), others.end());
  others.erase(std::unique(others.begin(), others.end()), others.end());
  return others;
}

}  // namespace

// ---- This node's disk ----

// False when bytes of the snapshot cannot be read: `machine` then has at most the members.
absl::StatusOr<bool> Replica::LoadAtStart(const Options& options, const Boot& boot,
                                          Machine* machine) {
  if (boot.recovered.snapshot.index == 0) return true;
  MachineSnapshotReader reader(options.store);
  for (uint64_t offset = 0; offset < boot.snapshot_size;) {
    const absl::StatusOr<std::string> piece =
        boot.read_snapshot(offset, options.snapshot_chunk_bytes);
    if (absl::IsDataLoss(piece.status()) || (piece.ok() && piece->empty())) {
      if (reader.members()) machine->members() = *reader.members();
      return false;
    }
    if (!piece.ok()) return piece.status();
    if (absl::Status status = reader.Feed(*piece); !status.ok()) return status;
    offset += piece->size();
  }
  absl::StatusOr<Machine> loaded = reader.Finish();
  if (!loaded.ok()) return loaded.status();
  machine->Install(*std::move(loaded));
  return !boot.snapshot_damaged;
}

absl::Status Replica::EnterRepair(std::optional<raft::LogDamage> damage, bool snapshot_damaged) {
  const raft::Log& log = raft_.log();
  for (raft::Index i = log.first(); i <= log.last(); ++i)
    AddMembersOf(log.At(i), &machine_.members());
  if (damage) {
    for (const raft::Entry& entry : damage->intact) AddMembersOf(entry, &machine_.members());
  }
  RepairMode::Options mode;
  mode.log.patience_ticks = mode.snapshot.patience_ticks = options_.repair_patience_ticks;
  mode.snapshot.piece_bytes = options_.snapshot_chunk_bytes;
  repair_mode_ = std::make_unique<RepairMode>(
      raft_.id(), log,
      RepairMode::Findings{
          .commit = raft_.commit(),
          .damage = std::move(damage),
          .snapshot = {raft_.offered_snapshot(), current_snapshot_.size, current_snapshot_.digest},
          .snapshot_damaged = snapshot_damaged},
      mode);
  if (!repair_mode_->hopeless()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("durable data cannot be read and no other member has a copy: ",
                   snapshot_damaged ? "snapshot " : "", repair_mode_->WaitsFor()));
}

void Replica::Mend() {
  RepairMode::Output output = repair_mode_->TakeOutput();
  for (auto& [to, message] : output.messages) SendFrame(to, std::move(message));
  for (RepairEvent& event : output.events) {
    std::visit([this](auto& each) { work_.events.emplace_back(std::move(each)); }, event);
  }
  if (output.job) StartJob({JobKind::kRepair}, *std::move(output.job));
  work_.restart = output.restart;
}

std::string Replica::RepairText() const {
  if (repairing()) return absl::StrCat("repairing: waits for ", repair_mode_->WaitsFor());
  if (!raft_.suspicion()) return {};
  const raft::Suspicion& suspicion = *raft_.suspicion();
  std::string text = absl::StrCat("suspicion: entries up to (", suspicion.index, ", term ",
                                  suspicion.term, ") may be lost");
  if (!suspicion_waits_for_.empty()) absl::StrAppend(&text, "; waits for ", suspicion_waits_for_);
  return text;
}

// ---- The disks of others ----

void Replica::OnEntryQuery(raft::NodeId from, const wire::EntryQuery& query) {
  Holdings holdings{raft_.log(), raft_.commit(), nullptr, raft_.suspicion(),
                    raft_.is_leader() ? raft_.term() : 0};
  if (repairing() && repair_mode_->damage() != nullptr) {
    holdings.damage = repair_mode_->damage();
    holdings.lost = holdings.damage->last;
  }
  SendFrame(from, AnswerQuery(holdings, query, options_.repair_answer_bytes));
}

void Replica::OnEntryAnswer(raft::NodeId from, wire::EntryAnswer& answer) {
  if (repairing()) return repair_mode_->OnAnswer(from, answer);
  if (!raft_.suspicion()) return;
  suspicion_review_.OnAnswer(from, answer);
  const raft::Index last = raft_.log().last();
  if (!suspicion_review_.BringsEnd(from, answer, last, raft_.log().last_term())) return;
  if (raft_.RegainLostEnd(std::move(answer.entries)) == raft::Outcome::kOk)
    work_.events.push_back(LostEndFetched{from, last + 1, raft_.log().last()});
}

void Replica::OnSnapshotPull(raft::NodeId from, const wire::SnapshotPull& pull) {
  SnapshotFetch::Target have{raft_.offered_snapshot(), current_snapshot_.size,
                             current_snapshot_.digest};
  if (pull.index != 0 && pull.index == previous_snapshot_.meta.index) have = previous_snapshot_;
  const bool switching = raft_.installing_snapshot();
  const bool wanted = pull.index == 0 || pull.index == have.meta.index;
  wire::SnapshotPiece piece;
  piece.asked_index = pull.index;
  piece.offset = pull.offset;
  if (have.meta.index == 0 || switching || !wanted || pull.offset > have.size) {
    return SendFrame(from, std::move(piece));
  }
  const auto out = std::count_if(serving_.begin(), serving_.end(),
                                 [&](const auto& row) { return row.second.peer == from; });
  if (static_cast<size_t>(out) >= kPiecesOut) return;  // asked again
  const uint64_t number = NewId();
  const uint64_t length = std::min({pull.length, kMaxPiece, have.size - pull.offset});
  piece.meta = have.meta;
  piece.size = have.size;
  piece.digest = have.digest;
  serving_[number] = Serving{from, std::move(piece)};
  StartJob({JobKind::kServePiece, from, number},
           ReadSnapshot{have.meta.index, pull.offset, length});
}

void Replica::PieceRead(uint64_t number, const JobResult& result) {
  const auto it = serving_.find(number);
  Serving serving = std::move(it->second);
  serving_.erase(it);
  wire::SnapshotPiece& piece = serving.piece;
  if (result.status.ok() && result.bytes.empty() == (piece.size == 0)) {
    piece.bytes = result.bytes;
  } else {
    piece.meta.reset();
    piece.size = piece.digest = 0;
  }
  SendFrame(serving.peer, std::move(piece));
}

// ---- What everybody may have lost ----

void Replica::ReviewSuspicion() {
  if (!raft_.suspicion()) return suspicion_waits_for_.clear();
  const raft::Suspicion suspicion = *raft_.suspicion();
  const std::vector<raft::NodeId> others = OtherMembers(raft_);
  if (const std::optional<raft::Suspicion> rest = suspicion_review_.BoundByItsLeader(suspicion)) {
    raft_.LowerSuspicion(*rest);
    work_.events.push_back(SuspicionDropped{suspicion, rest});
    return;
  }
  if (suspicion_review_.Tick(suspicion, raft_.log().last(), raft_.log().last_term(), others)) {
    for (const raft::NodeId peer : others)
      SendFrame(peer, wire::EntryQuery{suspicion_review_.round(), {}});
    return;
  }
  if (raft_.leader() == raft::kNoNode) {
    if (const std::optional<raft::NodeId> keeper = suspicion_review_.NextToAskForEnd()) {
      wire::EntryQuery query{suspicion_review_.round(), {}};
      query.next_index = raft_.log().last() + 1;
      query.prev_term = raft_.log().last_term();
      query.through_index = suspicion.index;
      query.through_term = suspicion.term;
      SendFrame(*keeper, std::move(query));
    }
  }
  SuspicionReview::Verdict verdict = suspicion_review_.Review();
  if (!verdict.keep) {
    if (verdict.waits_for == suspicion_waits_for_) return;
    suspicion_waits_for_ = std::move(verdict.waits_for);
    work_.events.push_back(SuspicionWaiting{suspicion, suspicion_waits_for_});
    return;
  }
  suspicion_waits_for_.clear();
  if (verdict.keep->index == 0) {
    raft_.DropSuspicion();
    work_.events.push_back(SuspicionDropped{suspicion, std::nullopt});
  } else {
    raft_.LowerSuspicion(*verdict.keep);
    work_.events.push_back(SuspicionDropped{suspicion, verdict.keep});
  }
}

}  // namespace raftkv::replica
