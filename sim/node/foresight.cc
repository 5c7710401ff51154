#include "sim/node/foresight.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "storage/log.h"

namespace raftkv::sim {

bool MayBeFound(storage::RecoveryEvent::Kind kind, bool idle) {
  using Kind = storage::RecoveryEvent::Kind;
  switch (kind) {
    case Kind::kTailRewritten:
    case Kind::kMarksLost:
    case Kind::kLeftoverRemoved:
      return true;
    case Kind::kTornTail:
    case Kind::kSlotRepaired:
      return !idle;
    case Kind::kTailLost:
    case Kind::kHole:
    case Kind::kSegmentLost:
    case Kind::kUnreadable:
    case Kind::kDamagePassed:
    case Kind::kSnapshotLost:
      return false;
  }
  RAFTKV_CHECK(false);
}

raft::Recovered TakeFor(storage::Recovered* found) {
  raft::Recovered recovered;
  recovered.hard_state = found->hard_state;
  recovered.snapshot = found->snapshot.meta;
  recovered.entries = std::move(found->entries);
  recovered.commit = found->commit;
  recovered.suspicion = found->suspicion;
  return recovered;
}

namespace {

void CrashSomehow(SimDisk& disk, Random* chance) {
  disk.Crash(*chance,
             chance->Chance(1, 2) ? SimDisk::Tearing::kNothingKept : SimDisk::Tearing::kWhole);
  disk.set_options({.sector_bytes = disk.options().sector_bytes});
}

// Files that only the process that writes them knows: after a start there is no such process.
std::string UnfinishedFile(SimDisk& disk) {
  const absl::StatusOr<std::vector<std::string>> names = disk.List();
  RAFTKV_CHECK(names.ok());
  for (const std::string& name : *names) {
    if (absl::EndsWith(name, ".tmp")) return name;
  }
  return {};
}

// What is kept back is as large as a segment. If one write was larger, so is its segment, and what
// has to be written again needs as much: there is nothing kept back for that.
uint64_t LargerThanASegment(SimDisk& disk, const storage::Options& options) {
  uint64_t larger = 0;
  const absl::StatusOr<std::vector<std::string>> names = disk.List();
  RAFTKV_CHECK(names.ok());
  for (const std::string& name : *names) {
    if (!storage::ParseSegmentName(name)) continue;
    const auto file = disk.Open(name, storage::Disk::Mode::kRead);
    RAFTKV_CHECK(file.ok());
    const uint64_t size = (*file)->Size().value();
    if (size > options.segment_bytes) larger = std::max(larger, size);
  }
  return larger;
}

}  // namespace

Foresight Foresee(const SimDisk& disk, const storage::Options& options,
                  const storage::ExpectedIdentity& identity, bool mid_job, bool full,
                  Random* chance) {
  const std::unique_ptr<SimDisk> copy = disk.Clone();
  CrashSomehow(*copy, chance);
  if (full) {
    copy->set_options({.sector_bytes = disk.options().sector_bytes,
                       .capacity_bytes = copy->used_bytes() + LargerThanASegment(*copy, options)});
  }
  Foresight foresight;
  absl::StatusOr<std::unique_ptr<storage::Storage>> opened =
      storage::Storage::Open(*copy, options, identity);
  if (!opened.ok()) {
    foresight.wrong = absl::StrCat("it does not start again", full ? " on a full disk" : "", ": ",
                                   opened.status().ToString());
    return foresight;
  }
  storage::Recovered found = (*opened)->TakeRecovered();
  for (const storage::RecoveryEvent& event : found.events) {
    if (MayBeFound(event.kind, !mid_job)) continue;
    foresight.wrong = absl::StrCat("it finds damage in ", event.file, ": ", event.text);
    return foresight;
  }
  if (const std::string name = UnfinishedFile(*copy); !name.empty()) {
    foresight.wrong = absl::StrCat("it keeps ", name, ", which nobody will ever finish");
  }
  foresight.found = TakeFor(&found);
  return foresight;
}

namespace {

bool Has(const storage::Recovered& found, const raft::Entry& entry) {
  if (entry.index <= found.snapshot.meta.index) return true;
  const auto in = [&entry](const raft::Entries& entries) {
    return std::find(entries.begin(), entries.end(), entry) != entries.end();
  };
  return in(found.entries) || (found.damage && in(found.damage->intact));
}

}  // namespace

Readable Readable::Of(const storage::Recovered& found, const SimDisk& disk,
                      const storage::Options& options) {
  Readable readable;
  readable.first_bad = found.damage->bad.front().index;
  const auto durable = storage::Storage::Explain(*disk.DurableImage(), options);
  if (!durable.ok()) return readable;
  bool all_durable = true;
  for (const raft::Entries* entries : {&found.entries, &found.damage->intact}) {
    for (const raft::Entry& entry : *entries) {
      const bool has = Has(*durable, entry);
      all_durable = all_durable && has;
      if (has) readable.entries.push_back(entry);
    }
  }
  // Of a write that is not durable something may be left, and not enough to tell what it replaced.
  if (!all_durable) {
    std::erase_if(readable.entries,
                  [&durable](const raft::Entry& entry) { return entry.index > durable->commit; });
  }
  return readable;
}

std::string ForeseeInRepair(const SimDisk& disk, const storage::Options& options,
                            const Readable& readable, const replica::SettleLog& settle,
                            Random* chance) {
  const std::unique_ptr<SimDisk> copy = disk.Clone();
  CrashSomehow(*copy, chance);
  const auto opened = storage::Storage::Open(*copy, options);
  if (!opened.ok()) {
    return absl::StrCat("it does not start again: ", opened.status().ToString());
  }
  const storage::Recovered found = (*opened)->TakeRecovered();
  const auto has = [&found](const raft::Entry& entry) { return Has(found, entry); };
  const auto missing = std::find_if_not(readable.entries.begin(), readable.entries.end(), has);
  if (missing == readable.entries.end()) return {};
  const bool settled = !found.damage && missing->index >= readable.first_bad &&
                       std::all_of(settle.entries.begin(), settle.entries.end(), has);
  if (settled) return {};
  return absl::StrCat("its repair is not done, and entry (", missing->index, ", term ",
                      missing->term, ") cannot be read any more");
}

std::optional<raft::Recovered> ForeseeDamage(const SimDisk& disk, const DiskFault& damage,
                                             const storage::Options& options) {
  const std::unique_ptr<SimDisk> copy = disk.Clone();
  copy->set_options({.sector_bytes = disk.options().sector_bytes});
  if (!copy->Inject(damage)) return std::nullopt;
  const auto opened = storage::Storage::Open(*copy, options);
  if (!opened.ok()) return std::nullopt;
  storage::Recovered found = (*opened)->TakeRecovered();
  if (found.damage || found.snapshot_damaged) return std::nullopt;
  return TakeFor(&found);
}

}  // namespace raftkv::sim
