#include "sim/disk/fault_atlas.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "core/raft/configuration.h"
#include "core/raft/raft.h"
#include "storage/log_format.h"
#include "storage/reserve.h"
#include "storage/snapshot_store.h"

namespace raftkv::sim {

bool FaultAtlas::Holding::Has(raft::Index index, raft::Term term) const {
  if (!starts.ok()) return false;
  if (index <= snapshot) return true;
  const auto at = intact.find(index);
  return at != intact.end() && at->second == term;
}

bool FaultAtlas::Holding::Promises(raft::Index index, raft::Term term) const {
  // A log that ends at or behind it refuses every log that does not reach it, if the terms are at
  // least as late.
  return Has(index, term) ||
         (starts.ok() && promised >= index && promised_term >= term && !intact.contains(index));
}

// What a fault makes of one member, and who else is there.
class FaultAtlas::Change {
 public:
  // Another node; its disk is read when somebody asks.
  struct Other {
    raft::NodeId id;
    const SimDisk* disk;
    Found found = nullptr;
  };

  Change(const FaultAtlas& atlas, raft::NodeId changed, const Holding& was, const Holding& is)
      : node(changed), before(was), after(is), atlas_(atlas) {
    for (const auto& [id, disk] : atlas.members_) {
      if (id != node) others_.push_back({id, disk});
    }
    for (const auto& [id, disk] : atlas.bystanders_) {
      if (id != node) bystanders_.push_back({id, disk});
    }
  }

  const raft::NodeId node;
  const Holding& before;
  const Holding& after;

  // It keeps the promise of every entry it had, because it knows what it lost or has lost nothing.
  // A suspicion of a later term and a smaller index is not enough: a snapshot of that index ends
  // it. Nor is a log of a later term with other entries: it is as good in elections, but who counts
  // on what was there before is not contradicted.
  bool KnowsEntries() const {
    return !after.starts.ok() ||
           (after.promised_term >= before.promised_term && after.promised >= before.promised &&
            !(after.whole && HasOthers()));
  }
  // An entry of which it had another one.
  bool HasOthers() const {
    return std::any_of(before.intact.begin(), before.intact.end(), [this](const auto& had) {
      const auto at = after.intact.find(had.first);
      return at != after.intact.end() && at->second != had.second;
    });
  }
  bool KnowsVote() const {
    return !after.starts.ok() || after.hard_state == before.hard_state ||
           after.hard_state.term > before.hard_state.term;
  }
  // What is left of the log is the beginning of what there was.
  bool IsPrefix(size_t majority) const {
    if (after.snapshot > before.snapshot) return false;
    if (after.intact.empty()) return true;
    const auto behind = after.intact.upper_bound(before.snapshot);
    if (behind == after.intact.end()) {
      // The snapshot does not tell the terms of what it stands for. It is committed, so a majority
      // has it, and if a majority has this entry they are the same.
      const raft::Index index = after.intact.rbegin()->first;
      const raft::Term term = after.intact.rbegin()->second;
      if (index == before.snapshot && term == before.snapshot_term) return true;
      return AtLeast(majority, [index, term](const Holding& other) {
        const auto at = other.intact.find(index);
        return at != other.intact.end() && at->second == term;
      });
    }
    return std::all_of(behind, after.intact.end(),
                       [this](const auto& entry) { return before.Has(entry.first, entry.second); });
  }
  // So many of the other members are. Who is known already is asked first, and no more are asked
  // than it takes.
  template <typename Is>
  bool AtLeast(size_t count, const Is& is) const {
    size_t unknown = 0;
    for (const Other& other : others_) {
      if (count == 0) return true;
      if (other.found == nullptr) {
        ++unknown;
      } else if (is(*other.found)) {
        --count;
      }
    }
    for (Other& other : others_) {
      if (count == 0 || unknown < count) break;
      if (other.found != nullptr) continue;
      --unknown;
      if (is(Look(other))) --count;
    }
    return count == 0;
  }
  // The first of all other nodes, members first, who is; or nobody.
  template <typename Is>
  std::optional<raft::NodeId> First(const Is& is) const {
    for (auto* nodes : {&others_, &bystanders_}) {
      for (Other& other : *nodes) {
        if (is(other.id, Look(other))) return other.id;
      }
    }
    return std::nullopt;
  }
  template <typename... Reason>
  absl::Status Refuse(const Reason&... reason) const {
    return absl::FailedPreconditionError(absl::StrCat("node ", node, " ", reason...));
  }

 private:
  const Holding& Look(Other& other) const {
    if (other.found == nullptr) {
      other.found = other.disk == nullptr ? SurveyWiped() : atlas_.SurveyOther(*other.disk);
    }
    return *other.found;
  }

  const FaultAtlas& atlas_;
  mutable std::vector<Other> others_;
  mutable std::vector<Other> bystanders_;
};

FaultAtlas::FaultAtlas(Disks members, const storage::Options& options, Disks bystanders,
                       Memory* memory)
    : members_(std::move(members)),
      options_(options),
      bystanders_(std::move(bystanders)),
      memory_(memory) {}

namespace {

// Enough for every member's disk as it is and as it would be.
constexpr size_t kRemembered = 32;

// Off, and with all the space there may be: a full disk holds what it holds, although no recovery
// gets through on it.
void MakeReadable(SimDisk& disk) {
  disk.ProcessCrash();
  disk.set_options({.sector_bytes = disk.options().sector_bytes});
}

// Whether the core takes what a recovery has found, or would take it after its repair.
absl::Status CoreStarts(const storage::Recovered& found) {
  if (found.damage && found.damage->last.term > found.hard_state.term) {
    return absl::DataLossError(absl::StrCat("what is lost is of term ", found.damage->last.term,
                                            ", above the node's own, ", found.hard_state.term));
  }
  // A repair needs somebody to ask, and an old snapshot may know of nobody.
  const std::vector<raft::NodeId> known = raft::AllMembers(found.snapshot.meta.conf);
  const bool alone = std::all_of(known.begin(), known.end(),
                                 [&found](raft::NodeId id) { return id == found.identity.node; });
  if (alone && (found.damage || found.snapshot_damaged)) {
    return absl::DataLossError("something is lost, and nobody is known who may have it");
  }
  raft::Options options;
  options.id = found.identity.node;
  raft::Recovered recovered;
  recovered.hard_state = found.hard_state;
  recovered.snapshot = found.snapshot.meta;
  recovered.entries = found.entries;
  recovered.commit = found.commit;
  recovered.suspicion = found.suspicion;
  return raft::Raft::Create(options, std::move(recovered), /*seed=*/0).status();
}

// Every byte of it: a recovery looks at its ends only. `read` reads so much of it from an offset
// on.
template <typename Read>
bool SnapshotIsWhole(const storage::Recovered& found, const Read& read) {
  if (found.snapshot_damaged) return false;
  for (uint64_t at = 0; at < found.snapshot.size; at += storage::kMaxSnapshotChunk) {
    if (!read(at, storage::kMaxSnapshotChunk).ok()) return false;
  }
  return true;
}

bool SnapshotIsWhole(SimDisk& disk, const storage::Recovered& found) {
  const storage::SnapshotInfo& snapshot = found.snapshot;
  const absl::StatusOr<storage::SnapshotFile> file = storage::SnapshotFile::Open(
      disk, storage::SnapshotName(snapshot.meta.index, snapshot.source), found.identity.cluster);
  return SnapshotIsWhole(found, [&file](uint64_t offset, uint64_t length) {
    return file.ok() ? file->Read(offset, length).status() : file.status();
  });
}

// A bad sector of the reserve is no loss before a full disk makes a segment of it: behind the end
// of the log it may then be a batch that cannot be read.
bool ReserveIsBlank(SimDisk& disk) {
  const auto file = disk.Open(storage::kReserveName, storage::Disk::Mode::kRead);
  if (!file.ok()) return true;
  const absl::StatusOr<storage::Bytes> bytes = (*file)->ReadBytes(0, *(*file)->Size());
  return bytes.ok() && storage::DirtyEnd(*bytes) == 0;
}

}  // namespace

FaultAtlas::Found FaultAtlas::Survey(const SimDisk& disk) const {
  if (memory_ != nullptr) {
    for (const Memory::Survey& survey : memory_->surveys) {
      if (disk.ReadsLike(*survey.disk)) return survey.found;
    }
  }
  std::unique_ptr<SimDisk> copy = disk.Clone();
  auto found = std::make_shared<Holding>(Read(*copy));
  if (memory_ != nullptr) {
    memory_->surveys.push_front({std::move(copy), found});
    if (memory_->surveys.size() > kRemembered) memory_->surveys.pop_back();
  }
  return found;
}

FaultAtlas::Found FaultAtlas::SurveyMember(raft::NodeId node) const {
  const SimDisk* disk = members_.at(node);
  return disk == nullptr ? SurveyWiped() : Survey(*disk);
}

FaultAtlas::Found FaultAtlas::SurveyOther(const SimDisk& disk) const {
  const Found certain = Survey(*disk.DurableImage());
  const Found read = Survey(disk);
  if (certain == read) return certain;
  auto both = std::make_shared<Holding>(*certain);
  both->starts.Update(read->starts);
  both->promised = std::max(both->promised, read->promised);
  both->promised_term = std::max(both->promised_term, read->promised_term);
  both->asks_with = std::min(both->asks_with, read->asks_with);
  both->whole = both->whole && read->whole;
  both->reserve = both->reserve && read->reserve;
  return both;
}

FaultAtlas::Found FaultAtlas::SurveyWiped() {
  return std::make_shared<Holding>(Refused(absl::NotFoundError("its disk was wiped")));
}

FaultAtlas::Holding FaultAtlas::Read(SimDisk& disk) const {
  MakeReadable(disk);
  const bool reserve = ReserveIsBlank(disk);
  const absl::StatusOr<storage::Recovered> found = storage::Storage::Explain(disk, options_);
  Holding holding =
      found.ok() ? HoldingOf(*found, SnapshotIsWhole(disk, *found)) : Refused(found.status());
  holding.reserve = reserve;
  return holding;
}

FaultAtlas::Holding FaultAtlas::RecoverMisled(SimDisk& disk, const MisdirectedRead& lie) const {
  MakeReadable(disk);
  const bool reserve = ReserveIsBlank(disk);
  disk.Inject(lie);
  const auto opened = storage::Storage::Open(disk, options_);
  Holding holding = Refused(opened.status());
  if (opened.ok()) {
    const storage::Recovered found = (*opened)->TakeRecovered();
    holding = HoldingOf(
        found, SnapshotIsWhole(found, [&](uint64_t offset, uint64_t length) {
          return (*opened)->ReadSnapshot(found.snapshot.meta.index, offset, length).status();
        }));
  }
  holding.reserve = reserve;
  return holding;
}

FaultAtlas::Holding FaultAtlas::Refused(const absl::Status& reason) {
  Holding holding;
  holding.starts = reason;
  return holding;
}

FaultAtlas::Holding FaultAtlas::HoldingOf(const storage::Recovered& found, bool snapshot) {
  Holding holding;
  holding.blanks =
      !found.damage && !found.snapshot_damaged &&
      (!found.suspicion || found.suspicion->evidence == raft::Suspicion::Evidence::kBlank);
  holding.starts = CoreStarts(found);
  if (!holding.starts.ok()) return holding;
  holding.hard_state = found.hard_state;
  holding.snapshot = snapshot ? found.snapshot.meta.index : 0;
  holding.snapshot_term = found.snapshot.meta.term;
  holding.conf = found.snapshot.meta.conf;
  holding.commit = found.commit;
  holding.whole = !found.suspicion && !found.damage && snapshot;
  holding.promised = found.snapshot.meta.index;
  holding.promised_term = found.snapshot.meta.term;
  const auto keep = [&holding](const raft::Entries& entries) {
    for (const raft::Entry& entry : entries) {
      holding.intact[entry.index] = entry.term;
      if (entry.type == raft::EntryType::kMembership) holding.changes.insert(entry.index);
    }
  };
  keep(found.entries);
  if (found.damage.has_value()) keep(found.damage->intact);
  const auto promise = [&holding](raft::Term term, raft::Index index) {
    holding.promised_term = std::max(holding.promised_term, term);
    holding.promised = std::max(holding.promised, index);
  };
  if (!holding.intact.empty()) {
    promise(holding.intact.rbegin()->second, holding.intact.rbegin()->first);
  }
  if (found.suspicion.has_value()) promise(found.suspicion->term, found.suspicion->index);
  if (found.damage.has_value()) promise(found.damage->last.term, found.damage->last.index);
  holding.asks_with = {holding.promised_term, holding.promised};
  return holding;
}

absl::Status FaultAtlas::Starts(SimDisk& disk, const storage::Options& options) {
  MakeReadable(disk);
  const auto opened = storage::Storage::Open(disk, options);
  if (!opened.ok()) return opened.status();
  return CoreStarts((*opened)->TakeRecovered());
}

bool FaultAtlas::HasLostNothingButBlanks(const SimDisk& disk, const storage::Options& options,
                                         Memory* memory) {
  return FaultAtlas({}, options, {}, memory).Survey(disk)->blanks;
}

absl::Status FaultAtlas::MayInject(raft::NodeId node, const DiskFault& fault, Node then) const {
  if (members_.at(node) == nullptr) return SurveyWiped()->starts;
  const std::unique_ptr<SimDisk> after = members_.at(node)->Clone();
  if (!after->Inject(fault)) {
    return absl::FailedPreconditionError(absl::StrCat(Describe(fault), " would have no effect"));
  }
  return MayBecome(node, *members_.at(node), *after, then);
}

absl::Status FaultAtlas::MayBecome(raft::NodeId node, const SimDisk& before, const SimDisk& after,
                                   Node then) const {
  const auto judge = [&](const SimDisk& was, const SimDisk& is) {
    const Found left = Survey(is);
    if (then == Node::kMustStart && !left->starts.ok()) return left->starts;
    return Judge(node, *Survey(was), *left);
  };
  const absl::Status status = judge(before, after);
  return status.ok() ? judge(*before.DurableImage(), *after.DurableImage()) : status;
}

absl::Status FaultAtlas::MayWipe(raft::NodeId node) const {
  if (members_.at(node) == nullptr) return absl::FailedPreconditionError("it was wiped already");
  return Judge(node, *SurveyMember(node), *SurveyWiped());
}

absl::Status FaultAtlas::MayForget(raft::NodeId node) const {
  const std::unique_ptr<SimDisk> after = members_.at(node)->Clone();
  after->DropCache();
  const std::unique_ptr<SimDisk> before = members_.at(node)->Clone();
  before->ComeClean();
  return MayBecome(node, *before, *after, Node::kMayFail);
}

absl::Status FaultAtlas::MayForget(raft::NodeId node, const SimDisk& kept, const SimDisk& left,
                                   Node then) const {
  return MayBecome(node, kept, left, then);
}

absl::Status FaultAtlas::MayMisread(raft::NodeId node, const MisdirectedRead& lie) const {
  const std::unique_ptr<SimDisk> after = members_.at(node)->Clone();
  const Holding holding = RecoverMisled(*after, lie);
  if (after->effects()[DiskFault(lie).index()] == 0) {
    return absl::FailedPreconditionError(absl::StrCat(Describe(lie), " would have no effect"));
  }
  const Found before = SurveyMember(node);
  if (!holding.starts.ok()) {
    return absl::FailedPreconditionError(absl::StrCat("node ", node, " would not start"));
  }
  return Judge(node, *before, holding);
}

absl::Status FaultAtlas::IsWhole(raft::NodeId node) const {
  const Found found = SurveyMember(node);
  if (!found->starts.ok()) return found->starts;
  if (!found->whole || !found->reserve)
    return absl::FailedPreconditionError("it has lost something");
  return absl::OkStatus();
}

raft::Index FaultAtlas::LastChange(raft::NodeId node) const {
  const Found found = SurveyMember(node);
  return found->changes.empty() ? 0 : *found->changes.rbegin();
}

raft::Index FaultAtlas::FirstLost(const SimDisk& disk) const {
  const Found found = Survey(disk);
  raft::Index lost = found->snapshot + 1;
  while (found->intact.contains(lost)) ++lost;
  return lost;
}

raft::Index FaultAtlas::KnownCommitted(raft::NodeId node) const {
  const SimDisk* disk = members_.at(node);
  return disk == nullptr ? 0 : Survey(*disk->DurableImage())->commit;
}

bool FaultAtlas::WouldElect(raft::NodeId candidate, raft::NodeId voter) const {
  const Found asks = SurveyMember(candidate);
  const Found gives = SurveyMember(voter);
  return asks->starts.ok() && asks->whole && gives->starts.ok() &&
         asks->asks_with >= std::pair(gives->promised_term, gives->promised);
}

bool FaultAtlas::SomebodyCanLead(const Change& change) const {
  const auto wins = [&](const Holding& candidate) {
    if (!candidate.whole || !candidate.reserve) return false;
    // Who does not know that a change is committed asks the voters of the configuration before it.
    const bool knows_voters =
        candidate.changes.empty() || *candidate.changes.rbegin() <= candidate.commit;
    if (!knows_voters) return false;
    const auto votes = [&candidate](const Holding& voter) {
      return voter.starts.ok() && voter.reserve &&
             candidate.asks_with >= std::pair(voter.promised_term, voter.promised);
    };
    return change.AtLeast(Majority() - (votes(change.after) ? 1 : 0), votes);
  };
  return wins(change.after) || change.AtLeast(1, wins);
}

absl::Status FaultAtlas::JudgeEntries(const Change& change) const {
  const Holding& before = change.before;
  const Holding& after = change.after;
  const bool knows = change.KnowsEntries();
  const auto dead = [&](raft::Index index) {
    return change.AtLeast(1, [&](const Holding& other) {
      return other.starts.ok() && std::any_of(other.intact.begin(), other.intact.upper_bound(index),
                                              [&before](const auto& entry) {
                                                return entry.second > before.hard_state.term;
                                              });
    });
  };
  for (const auto& [at, of] : before.intact) {
    const raft::Index index = at;
    const raft::Term term = of;
    if (after.Has(index, term)) continue;
    const auto has = [&](const Holding& other) { return other.Has(index, term); };
    const auto promises = [&](const Holding& other) { return other.Promises(index, term); };
    if (!change.AtLeast(1, has) && (Majority() == 1 || change.AtLeast(1, promises))) {
      return change.Refuse("has the last copy of entry ", index);
    }
    if (!knows && !change.AtLeast(Majority(), has) && !dead(index)) {
      return change.Refuse("would forget entry ", index, ", which no majority of the others has");
    }
  }
  // What it has lost already, and would not even know any more: entries from `lost` on, of which
  // only the last promise is known. Whoever has that has them all.
  raft::Index lost = before.snapshot + 1;
  while (before.intact.contains(lost)) ++lost;
  const auto keeps = [&](const Holding& other) {
    return other.Has(before.promised, before.promised_term);
  };
  if (!knows && lost <= before.promised && !change.AtLeast(Majority(), keeps) && !dead(lost)) {
    return change.Refuse("would forget that it has lost entry ", lost);
  }
  if (before.snapshot <= after.snapshot) return absl::OkStatus();
  // An older one, and the log behind it: what is missing comes with the entries of the others. No
  // whole one: it takes the bytes of another.
  const bool older = after.starts.ok() && after.snapshot > 0;
  const bool copied = change.AtLeast(1, [&](const Holding& other) {
    return other.starts.ok() && other.snapshot > 0 &&
           (other.snapshot >= before.snapshot ||
            (older && other.Has(before.snapshot, before.snapshot_term)));
  });
  if (!copied) return change.Refuse("has the last snapshot at ", before.snapshot);
  if (!knows && !change.AtLeast(Majority(), [&](const Holding& other) {
        return other.Has(before.snapshot, before.snapshot_term);
      })) {
    return change.Refuse("would forget snapshot ", before.snapshot);
  }
  return absl::OkStatus();
}

absl::Status FaultAtlas::JudgeVote(const Change& change) const {
  if (change.KnowsVote()) return absl::OkStatus();
  const raft::Term last = change.before.hard_state.term;
  const bool closed = change.AtLeast(Majority(), [&](const Holding& other) {
    const raft::HardState& hard = other.hard_state;
    return hard.term > last ||
           (hard.term == last && hard.vote != raft::kNoNode && hard.vote != change.node);
  });
  if (closed) return absl::OkStatus();
  return change.Refuse("would forget its vote in term ", last);
}

absl::Status FaultAtlas::JudgeLeaders(const Change& change) const {
  const bool vote_forgotten = !change.KnowsVote();
  if (!vote_forgotten && change.KnowsEntries()) return absl::OkStatus();
  const raft::HardState& was = change.before.hard_state;
  const bool prefix = change.KnowsEntries() || change.IsPrefix(Majority());
  raft::Term term = 0;
  const std::optional<raft::NodeId> leader =
      change.First([&](raft::NodeId id, const Holding& other) {
        const raft::HardState& hard = other.hard_state;
        if (!other.starts.ok() || hard.vote != id) return false;  // no candidate in its term
        if (hard.term < change.after.hard_state.term || hard.term > was.term) return false;
        term = hard.term;
        const bool its_voter = !vote_forgotten || was.vote == id || was.vote == raft::kNoNode;
        return !(hard.term == was.term && its_voter && prefix);
      });
  if (!leader.has_value()) return absl::OkStatus();
  return change.Refuse("would forget what it promised in term ", term, ", which node ", *leader,
                       " may lead");
}

absl::Status FaultAtlas::JudgeConfiguration(const Change& change) const {
  const Holding& before = change.before;
  const Holding& after = change.after;
  if (change.KnowsEntries()) return absl::OkStatus();
  for (const raft::Index index : before.changes) {
    if (!after.Has(index, before.intact.at(index))) {
      return change.Refuse("would forget a change of the configuration at ", index);
    }
  }
  const auto behind = after.changes.upper_bound(after.snapshot);
  if (before.snapshot != after.snapshot &&
      (before.conf != after.conf || behind != after.changes.end())) {
    return change.Refuse("would forget a configuration at ", before.snapshot);
  }
  return absl::OkStatus();
}

absl::Status FaultAtlas::Judge(raft::NodeId node, const Holding& before,
                               const Holding& after) const {
  const Change change(*this, node, before, after);
  if (!change.AtLeast(Majority() - (after.starts.ok() ? 1 : 0),
                      [](const Holding& other) { return other.starts.ok(); })) {
    return change.Refuse("is needed for a majority that starts");
  }
  for (const auto judge : {&FaultAtlas::JudgeEntries, &FaultAtlas::JudgeVote,
                           &FaultAtlas::JudgeLeaders, &FaultAtlas::JudgeConfiguration}) {
    if (absl::Status status = (this->*judge)(change); !status.ok()) return status;
  }
  if (!SomebodyCanLead(change))
    return change.Refuse("would leave nobody whom a majority can elect");
  return absl::OkStatus();
}

}  // namespace raftkv::sim
