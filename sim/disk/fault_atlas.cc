#include "sim/disk/fault_atlas.h"

#include <algorithm>
#include <memory>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"

namespace raftkv::sim {

bool FaultAtlas::Holding::Has(raft::Index index, raft::Term term) const {
  if (!starts) return false;
  if (index <= snapshot) return true;
  const auto at = intact.find(index);
  return at != intact.end() && at->second == term;
}

bool FaultAtlas::Holding::Promises(raft::Index index, raft::Term term) const {
  // A log that ends at or behind it refuses every log that does not reach it, if the terms are at
  // least as late.
  return Has(index, term) ||
         (starts && promised >= index && promised_term >= term && !intact.contains(index));
}

FaultAtlas::FaultAtlas(std::map<raft::NodeId, const SimDisk*> members,
                       const storage::Options& options)
    : members_(std::move(members)), options_(options) {}

namespace {

// Every byte of it: a recovery looks at its ends only.
bool SnapshotIsWhole(storage::Storage& storage, const storage::Recovered& found) {
  if (found.snapshot_damaged) return false;
  const storage::SnapshotInfo& snapshot = found.snapshot;
  for (uint64_t at = 0; at < snapshot.size; at += storage::kMaxSnapshotChunk) {
    if (!storage.ReadSnapshot(snapshot.meta.index, at, storage::kMaxSnapshotChunk).ok())
      return false;
  }
  return true;
}

}  // namespace

FaultAtlas::Holding FaultAtlas::Survey(SimDisk& disk) const {
  Holding holding;
  disk.ProcessCrash();
  const auto opened = storage::Storage::Open(disk, options_);
  if (!opened.ok()) return holding;
  const storage::Recovered found = (*opened)->TakeRecovered();
  holding.starts = true;
  holding.hard_state = found.hard_state;
  const bool snapshot = SnapshotIsWhole(**opened, found);
  holding.snapshot = snapshot ? found.snapshot.meta.index : 0;
  holding.whole = !found.suspicion && !found.damage && snapshot;
  holding.promised = found.snapshot.meta.index;
  holding.promised_term = found.snapshot.meta.term;
  const auto keep = [&holding](const raft::Entries& entries) {
    for (const raft::Entry& entry : entries) holding.intact[entry.index] = entry.term;
  };
  keep(found.entries);
  if (found.damage.has_value()) keep(found.damage->intact);
  const auto promise = [&holding](raft::Term term, raft::Index index) {
    std::tie(holding.promised_term, holding.promised) =
        std::max(std::tuple(holding.promised_term, holding.promised), std::tuple(term, index));
  };
  if (!holding.intact.empty()) {
    promise(holding.intact.rbegin()->second, holding.intact.rbegin()->first);
  }
  if (found.suspicion.has_value()) promise(found.suspicion->term, found.suspicion->index);
  if (found.damage.has_value()) promise(found.damage->last.term, found.damage->last.index);
  return holding;
}

absl::Status FaultAtlas::MayInject(raft::NodeId node, const DiskFault& fault) const {
  const std::unique_ptr<SimDisk> after = members_.at(node)->Clone();
  if (!after->Inject(fault)) {
    return absl::FailedPreconditionError(absl::StrCat(Describe(fault), " would have no effect"));
  }
  return Judge(node, *after);
}

absl::Status FaultAtlas::MayForget(raft::NodeId node) const {
  const std::unique_ptr<SimDisk> after = members_.at(node)->Clone();
  after->DropCache();
  return Judge(node, *after);
}

bool FaultAtlas::MayTear(const std::vector<raft::NodeId>& nodes) const {
  return nodes.size() < Majority();
}

bool FaultAtlas::SomebodyCanLead(const std::vector<Holding>& members) const {
  return std::any_of(members.begin(), members.end(), [&](const Holding& candidate) {
    if (!candidate.whole) return false;
    const auto votes =
        std::count_if(members.begin(), members.end(), [&candidate](const Holding& voter) {
          return voter.starts && std::tie(candidate.promised_term, candidate.promised) >=
                                     std::tie(voter.promised_term, voter.promised);
        });
    return static_cast<size_t>(votes) >= Majority();
  });
}

absl::Status FaultAtlas::Judge(raft::NodeId node, SimDisk& changed) const {
  const Holding before = Survey(*members_.at(node)->Clone());
  const Holding after = Survey(changed);
  std::vector<Holding> others;
  for (const auto& [id, disk] : members_) {
    if (id == node) continue;
    // Lies that are not out yet count as if they were.
    const std::unique_ptr<SimDisk> truth = disk->Clone();
    truth->DropCache();
    others.push_back(Survey(*truth));
  }
  const auto count = [&others](const auto& is) {
    return static_cast<size_t>(std::count_if(others.begin(), others.end(), is));
  };
  const auto refuse = [node](const auto&... reason) {
    return absl::FailedPreconditionError(absl::StrCat("node ", node, " ", reason...));
  };

  const size_t starting = count([](const Holding& other) { return other.starts; });
  if (starting + (after.starts ? 1 : 0) < Majority()) {
    return refuse("is needed for a majority that starts");
  }
  const bool knows = !after.starts || std::tie(after.promised_term, after.promised) >=
                                          std::tie(before.promised_term, before.promised);
  const auto taken = [&](raft::Index index, raft::Term term) -> absl::Status {
    if (after.Has(index, term)) return absl::OkStatus();
    const size_t copies = count([&](const Holding& other) { return other.Has(index, term); });
    const size_t promises =
        count([&](const Holding& other) { return other.Promises(index, term); });
    if (copies == 0 && (promises > 0 || Majority() == 1))
      return refuse("has the last copy of entry ", index);
    if (!knows && promises < Majority()) {
      return refuse("would forget entry ", index, ", which no majority of the others promises");
    }
    return absl::OkStatus();
  };
  for (const auto& [index, term] : before.intact) {
    if (absl::Status status = taken(index, term); !status.ok()) return status;
  }
  if (before.snapshot > after.snapshot) {
    const size_t copies = count([&](const Holding& other) {
      return other.starts && other.snapshot > 0 && other.snapshot >= before.snapshot;
    });
    if (copies == 0) return refuse("has the last snapshot at ", before.snapshot);
    if (!knows && copies < Majority()) return refuse("would forget snapshot ", before.snapshot);
  }

  const raft::HardState& was = before.hard_state;
  const raft::HardState& is = after.hard_state;
  if (after.starts && (is.term < was.term || (is.term == was.term && is.vote != was.vote))) {
    std::map<raft::NodeId, size_t> voted;
    size_t later = 0;
    for (const Holding& other : others) {
      if (other.hard_state.term > was.term) ++later;
      if (other.hard_state.term == was.term && other.hard_state.vote != raft::kNoNode &&
          other.hard_state.vote != node) {
        ++voted[other.hard_state.vote];
      }
    }
    size_t most = 0;
    for (const auto& [candidate, votes] : voted) most = std::max(most, votes);
    if (later + most < Majority()) return refuse("would forget its vote in term ", was.term);
  }
  std::vector<Holding> members = others;
  members.push_back(after);
  if (!SomebodyCanLead(members)) return refuse("would leave nobody whom a majority can elect");
  return absl::OkStatus();
}

}  // namespace raftkv::sim
