#include "sim/crash_points/crash_points.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "core/raft/random.h"
#include "sim/crash_points/durable_state.h"
#include "storage/storage.h"

namespace raftkv::sim {
namespace {

using storage::SnapshotSource;
using storage::Storage;

constexpr uint32_t kSector = 512;

storage::Identity Owner() { return {{0x0123456789abcdef, 0xfedcba9876543210}, 3, 1, 0, 1700}; }

storage::Options SmallOptions() {
  storage::Options options;
  options.segment_bytes = 8 * kSector;
  options.block_bytes = kSector;
  options.zero_ahead_bytes = 2 * kSector;
  options.snapshot_chunk_bytes = 256;
  options.snapshot_sync_bytes = 1024;
  return options;
}

raft::Entry Entry(raft::Term term, raft::Index index, size_t bytes) {
  std::string payload = absl::StrCat("entry ", index, " of term ", term, " ");
  while (payload.size() < bytes) payload += static_cast<char>('a' + payload.size() % 26);
  payload.resize(bytes);
  return {term, index, raft::Payload::Copy(payload), raft::EntryType::kCommand};
}

// A storage on a disk, what it is known to hold, and what a crash at this moment may leave.
class Scene {
 public:
  explicit Scene(const CrashPointOptions& options)
      : platter_({.sector_bytes = kSector}),
        disk_(options.wrap ? options.wrap(platter_) : nullptr) {
    now_.hard_state.term = 1;
    now_.snapshot = {1, 1, {{1, 2, 3}, {}, {}, {}, false}};
    now_.commit = 1;
    now_.snapshot_bytes = "founding";
    may_be_empty_ = true;
  }

  SimDisk& platter() { return platter_; }
  const DurableState& now() const { return now_; }
  const std::vector<DurableState>& allowed() const { return allowed_; }
  bool may_be_empty() const { return may_be_empty_; }

  // --- Operations. Each says first what a crash in it may leave, and then what it has left.

  absl::Status Init() {
    allowed_ = {now_};
    absl::Status status = Storage::Init(disk(), Owner(), {now_.snapshot, now_.snapshot_bytes});
    if (status.ok()) may_be_empty_ = false;
    return status;
  }

  absl::Status Open() {
    absl::StatusOr<std::unique_ptr<Storage>> opened = Storage::Open(disk(), SmallOptions());
    if (!opened.ok()) return opened.status();
    storage_ = *std::move(opened);
    absl::StatusOr<DurableState> found = WhatWasFound(*storage_);
    if (!found.ok()) return found.status();
    if (std::none_of(allowed_.begin(), allowed_.end(),
                     [&](const DurableState& wanted) { return Matches(wanted, *found); })) {
      return absl::InternalError(absl::StrCat("recovered ", Describe(*found)));
    }
    now_ = *std::move(found);
    now_.behind.clear();
    allowed_ = {now_};
    return absl::OkStatus();
  }

  // Opens a log with a hole, and does not settle it yet.
  absl::Status OpenDamaged() {
    absl::StatusOr<std::unique_ptr<Storage>> opened = Storage::Open(disk(), SmallOptions());
    if (!opened.ok()) return opened.status();
    storage_ = *std::move(opened);
    storage::Recovered recovered = storage_->TakeRecovered();
    if (!recovered.damage) return absl::InternalError("no damage was found");
    whole_ = now_;
    now_.entries = std::move(recovered.entries);
    now_.behind = std::move(recovered.damage->intact);
    now_.suspicion = recovered.damage->last;
    allowed_ = {now_};
    return absl::OkStatus();
  }

  // The device spoils one byte of a file whose name begins with `prefix`, the last of them.
  absl::Status Rot(absl::string_view prefix, uint64_t offset) {
    std::string found;
    const std::vector<std::string> names = *platter_.List();
    for (const std::string& name : names) {
      if (absl::StartsWith(name, prefix)) found = name;
    }
    if (platter_.Corrupt(found, offset, 0x10)) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("no byte ", offset, " in ", prefix));
  }

  // As if peers had sent what was bad.
  absl::Status Settle(bool repaired) {
    DurableState next = repaired ? whole_ : now_;
    next.behind.clear();
    next.commit = std::max(next.snapshot.index, next.commit);
    allowed_ = {now_, next};
    raft::Entries entries;
    for (const raft::Entry& entry : next.entries) {
      if (entry.index > now_.last_index()) entries.push_back(entry);
    }
    return Done(storage_->Settle(entries, next.suspicion), next);
  }

  absl::Status RestoreSnapshot(const raft::SnapshotMeta& meta, const std::string& bytes,
                               const DurableState& next) {
    absl::Status status = WriteSnapshot(SnapshotSource::kReceived, meta, bytes);
    // Once it is finished it may have taken the place of the bad file.
    allowed_ = {now_, next};
    if (!status.ok()) return status;
    return Done(storage_->RestoreSnapshot(meta), next);
  }

  // The bytes of the current snapshot, which are lost, again.
  absl::Status RefetchSnapshot() {
    DurableState next = now_;
    next.snapshot_lost = false;
    next.snapshot_bytes = lost_snapshot_;
    return RestoreSnapshot(next.snapshot, next.snapshot_bytes, next);
  }
  absl::Status LoseSnapshot() {
    Close();
    absl::Status status = Rot("snapshot-", 50);
    if (!status.ok()) return status;
    lost_snapshot_ = now_.snapshot_bytes;
    now_.snapshot_bytes.clear();
    now_.snapshot_lost = true;
    allowed_ = {now_};
    return Open();
  }

  // A snapshot that covers the hole: the rest of the log stays if it goes on behind it.
  absl::Status CoverHole(raft::Index index, bool continues) {
    DurableState next = whole_;
    const raft::Term term = continues ? whole_.hard_state.term : whole_.hard_state.term - 1;
    next.snapshot = {index, term, {{1, 2, 3}, {}, {8}, {}, false}};
    next.snapshot_bytes = std::string(900, 'r');
    next.commit = index;
    next.entries.clear();
    if (continues) {
      for (const raft::Entry& entry : whole_.entries) {
        if (entry.index > index) next.entries.push_back(entry);
      }
    } else {
      next.suspicion = now_.suspicion;
    }
    absl::Status status = RestoreSnapshot(next.snapshot, next.snapshot_bytes, next);
    if (!status.ok() || !continues) return status;
    return storage_->Settle(next.entries, {});
  }

  // The process ends, nothing is lost.
  void Close() {
    storage_.reset();
    platter_.ProcessCrash();
  }
  // The power fails; of what is undecided every other thing survives.
  void LoseHalf() {
    storage_.reset();
    platter_.PowerOff();
    std::vector<SimDisk::Fate> fates(platter_.WhatIsUndecided().size(), SimDisk::Fate::kOld);
    for (size_t i = 0; i < fates.size(); i += 2) fates[i] = SimDisk::Fate::kNew;
    platter_.CrashAs(fates);
  }

  absl::Status Persist(std::optional<raft::HardState> hard_state, raft::Index keep_through,
                       raft::Entries entries, raft::Index commit) {
    raft::PersistJob job;
    DurableState next = now_;
    allowed_ = {now_};
    if (hard_state) {
      job.hard_state = hard_state;
      next.hard_state = *hard_state;
      allowed_.push_back(next);
    }
    job.keep_through = keep_through;
    job.writes_log = keep_through < now_.last_index() || !entries.empty();
    job.commit = commit;
    next.entries.resize(keep_through - now_.snapshot.index);
    next.entries.insert(next.entries.end(), entries.begin(), entries.end());
    if (job.writes_log) {
      next.commit = std::max(next.commit, commit);
      const std::vector<DurableState> torn = WhileWriting(allowed_.back(), keep_through, entries);
      allowed_.insert(allowed_.end(), torn.begin(), torn.end());
    }
    job.entries = std::move(entries);
    EndSuspicion(&next);
    allowed_.push_back(next);
    return Done(storage_->Persist(job), next);
  }

  absl::Status Append(int count, size_t bytes) {
    raft::Entries entries;
    for (int i = 1; i <= count; ++i) {
      entries.push_back(
          Entry(now_.hard_state.term, now_.last_index() + static_cast<uint64_t>(i), bytes));
    }
    return Persist({}, now_.last_index(), std::move(entries), now_.last_index());
  }

  absl::Status Vote(raft::Term term, raft::NodeId vote) {
    return Persist(raft::HardState{term, vote}, now_.last_index(), {}, now_.commit);
  }

  // Writes a snapshot; it changes nothing until it is switched to.
  absl::Status WriteSnapshot(SnapshotSource source, const raft::SnapshotMeta& meta,
                             const std::string& bytes) {
    allowed_ = {now_};
    absl::Status status = storage_->BeginSnapshot(source, meta);
    for (size_t at = 0; status.ok() && at < bytes.size(); at += 400) {
      status = storage_->AppendSnapshot(source, at, absl::string_view(bytes).substr(at, 400));
    }
    while (status.ok()) {
      const auto step = storage_->FinishSnapshot(source);
      status = step.status();
      if (status.ok() && step->has_value()) break;
    }
    return status;
  }

  absl::Status TakeSnapshot(raft::Index index, size_t bytes) {
    const raft::Entry& last = now_.entries[index - now_.snapshot.index - 1];
    DurableState next = now_;
    next.snapshot = {index, last.term, {{1, 2, 3}, {}, {7}, {}, false}};
    next.snapshot_bytes = std::string(bytes, 's');
    next.entries.erase(next.entries.begin(),
                       next.entries.begin() + static_cast<ptrdiff_t>(index - now_.snapshot.index));
    absl::Status status = WriteSnapshot(SnapshotSource::kLocal, next.snapshot, next.snapshot_bytes);
    if (!status.ok()) return status;
    allowed_ = {now_, next};
    return Done(storage_->SwitchSnapshot(next.snapshot), next);
  }

  absl::Status InstallSnapshot(raft::Index index, size_t bytes, std::optional<raft::HardState> hard,
                               int entries_behind) {
    DurableState next = now_;
    next.snapshot = {index, now_.hard_state.term, {{2, 3, 4}, {}, {}, {}, false}};
    next.snapshot_bytes = std::string(bytes, 'i');
    next.entries.clear();
    next.commit = index;
    absl::Status status =
        WriteSnapshot(SnapshotSource::kReceived, next.snapshot, next.snapshot_bytes);
    if (!status.ok()) return status;
    allowed_ = {now_};
    raft::PersistJob job;
    if (hard) {
      job.hard_state = hard;
      DurableState half = now_;
      half.hard_state = next.hard_state = *hard;
      allowed_.push_back(half);
    }
    job.snapshot = next.snapshot;
    job.keep_through = job.commit = index;
    for (int i = 1; i <= entries_behind; ++i) {
      job.entries.push_back(Entry(next.hard_state.term, index + static_cast<uint64_t>(i), 300));
    }
    job.writes_log = !job.entries.empty();
    next.entries = job.entries;
    EndSuspicion(&next);
    allowed_.push_back(next);
    return Done(storage_->Persist(job), next);
  }

  absl::Status Compact(raft::Index index) {
    allowed_ = {now_};
    return storage_->CompactLog(index);
  }

 private:
  storage::Disk& disk() {
    if (disk_ != nullptr) return *disk_;
    return platter_;
  }

  absl::Status Done(absl::Status status, const DurableState& next) {
    if (status.ok()) {
      now_ = next;
      allowed_ = {next};
    }
    return status;
  }

  SimDisk platter_;
  std::unique_ptr<storage::Disk> disk_;
  std::unique_ptr<Storage> storage_;
  DurableState now_;
  DurableState whole_;  // before a hole was found
  std::string lost_snapshot_;
  std::vector<DurableState> allowed_;
  bool may_be_empty_ = false;
};

// `prepare` runs undisturbed, `run` is cut.
struct Job {
  const char* name;
  std::function<absl::Status(Scene&)> prepare;
  std::function<absl::Status(Scene&)> run;
};

absl::Status Nothing(Scene&) { return absl::OkStatus(); }

// The first error ends it.
template <typename... Steps>
std::function<absl::Status(Scene&)> InTurn(Steps... steps) {
  return [=](Scene& scene) {
    absl::Status status;
    (void)((status = steps(scene), status.ok()) && ...);
    return status;
  };
}

absl::Status InitAndOpen(Scene& scene);

// Batches of a sector each, the second of which rots while the process is down.
absl::Status WithAHole(Scene& scene, int batches) {
  absl::Status status = InitAndOpen(scene);
  if (status.ok()) status = scene.Vote(3, 0);
  for (int i = 0; i < batches && status.ok(); ++i) status = scene.Append(1, 200);
  if (!status.ok()) return status;
  scene.Close();
  // Two headers and a batch in front; a byte of the payload. The segment is the first that was
  // begun after the initialisation.
  status = scene.Rot("log-0000000000000002", 3 * kSector + 300);
  return status.ok() ? scene.OpenDamaged() : status;
}
absl::Status WithAHole(Scene& scene) { return WithAHole(scene, 4); }

absl::Status InitAndOpen(Scene& scene) {
  absl::Status status = scene.Init();
  return status.ok() ? scene.Open() : status;
}

auto Append(int count, size_t bytes) {
  return [=](Scene& scene) { return scene.Append(count, bytes); };
}

const std::vector<Job>& Jobs() {
  static const std::vector<Job>* const jobs = new std::vector<Job>{
      {"create", Nothing, [](Scene& s) { return s.Init(); }},
      {"first start", [](Scene& s) { return s.Init(); }, [](Scene& s) { return s.Open(); }},
      {"append", InTurn(InitAndOpen, Append(2, 100)), Append(3, 200)},
      {"append blocks", InTurn(InitAndOpen, Append(1, 100)), Append(2, 900)},
      {"append twice", InTurn(InitAndOpen, Append(1, 100)), InTurn(Append(1, 700), Append(1, 700))},
      {"roll", InTurn(InitAndOpen, Append(4, 400)), InTurn(Append(3, 500), Append(1, 100))},
      {"append larger than a segment", InTurn(InitAndOpen, Append(1, 100)), Append(1, 5'000)},
      {"truncate", InTurn(InitAndOpen, Append(5, 150)),
       [](Scene& s) { return s.Persist({}, s.now().last_index() - 3, {}, 3); }},
      {"truncate and append", InTurn(InitAndOpen, Append(5, 150)),
       [](Scene& s) {
         const raft::Index keep = s.now().last_index() - 3;
         return s.Persist(raft::HardState{2, 0}, keep, {Entry(2, keep + 1, 600)}, 3);
       }},
      {"vote", InTurn(InitAndOpen, Append(1, 100)), [](Scene& s) { return s.Vote(2, 3); }},
      {"votes", InitAndOpen,
       InTurn([](Scene& s) { return s.Vote(2, 0); }, [](Scene& s) { return s.Vote(2, 1); },
              [](Scene& s) { return s.Vote(5, 2); })},
      {"vote and append", InTurn(InitAndOpen, Append(1, 100)),
       [](Scene& s) {
         const raft::Index last = s.now().last_index();
         return s.Persist(raft::HardState{3, 2}, last, {Entry(3, last + 1, 300)}, last);
       }},
      {"snapshot", InTurn(InitAndOpen, Append(4, 200)),
       [](Scene& s) { return s.TakeSnapshot(3, 1'500); }},
      {"second snapshot",
       InTurn(InitAndOpen, Append(4, 200), [](Scene& s) { return s.TakeSnapshot(2, 700); }),
       [](Scene& s) { return s.TakeSnapshot(4, 900); }},
      {"install", InTurn(InitAndOpen, Append(3, 200)),
       [](Scene& s) { return s.InstallSnapshot(20, 1'300, {}, 0); }},
      {"install with term and entries", InTurn(InitAndOpen, Append(3, 200)),
       [](Scene& s) { return s.InstallSnapshot(20, 600, raft::HardState{4, 0}, 2); }},
      {"compact",
       InTurn(InitAndOpen, Append(4, 500), Append(4, 500), Append(4, 500),
              [](Scene& s) { return s.TakeSnapshot(10, 300); }),
       [](Scene& s) { return s.Compact(10); }},
      // The caller says more than the snapshot covers.
      {"compact too much",
       InTurn(InitAndOpen, Append(4, 500), Append(4, 500), Append(4, 500),
              [](Scene& s) { return s.TakeSnapshot(3, 300); }),
       [](Scene& s) { return s.Compact(s.now().last_index()); }},
      {"repair", [](Scene& s) { return WithAHole(s); }, [](Scene& s) { return s.Settle(true); }},
      {"repair without the entry", [](Scene& s) { return WithAHole(s); },
       [](Scene& s) { return s.Settle(false); }},
      {"repair across segments", [](Scene& s) { return WithAHole(s, 9); },
       [](Scene& s) { return s.Settle(true); }},
      {"restore a snapshot",
       InTurn(
           InitAndOpen, Append(4, 200), [](Scene& s) { return s.TakeSnapshot(3, 900); },
           [](Scene& s) { return s.LoseSnapshot(); }),
       [](Scene& s) { return s.RefetchSnapshot(); }},
      {"restore a received snapshot",
       InTurn(
           InitAndOpen, Append(3, 200), [](Scene& s) { return s.InstallSnapshot(20, 900, {}, 1); },
           [](Scene& s) { return s.LoseSnapshot(); }),
       [](Scene& s) { return s.RefetchSnapshot(); }},
      {"restore over a hole", [](Scene& s) { return WithAHole(s); },
       [](Scene& s) { return s.CoverHole(4, true); }},
      {"restore instead of a log", [](Scene& s) { return WithAHole(s); },
       [](Scene& s) { return s.CoverHole(4, false); }},
      {"start after a kill",
       InTurn(InitAndOpen, Append(3, 300),
              [](Scene& s) {
                s.Close();
                return absl::OkStatus();
              }),
       [](Scene& s) { return s.Open(); }},
      {"start after a torn write",
       [](Scene& s) {
         absl::Status status = InitAndOpen(s);
         if (status.ok()) status = s.Append(2, 200);
         if (!status.ok()) return status;
         s.platter().SetOperationBudget(0);
         status = s.Append(2, 900);  // in flight when the power fails
         if (!IsCrash(status)) return absl::InternalError("the write was not interrupted");
         s.LoseHalf();
         return absl::OkStatus();
       },
       [](Scene& s) { return s.Open(); }},
      {"start after a torn roll",
       [](Scene& s) {
         absl::Status status = InitAndOpen(s);
         if (status.ok()) status = s.Append(4, 500);
         if (!status.ok()) return status;
         s.platter().SetOperationBudget(4);
         status = s.Append(3, 600);
         if (!IsCrash(status)) return absl::InternalError("the write was not interrupted");
         s.LoseHalf();
         return absl::OkStatus();
       },
       [](Scene& s) { return s.Open(); }},
  };
  return *jobs;
}

using Fates = std::vector<SimDisk::Fate>;

// Which combinations to try for `count` undecided things, each old or new.
class Combinations {
 public:
  Combinations(size_t count, const CrashPointOptions& options, Random random)
      : count_(count), random_(random), exhaustive_(count <= options.exhaustive) {
    total_ = exhaustive_ ? uint64_t{1} << count : 2 + 2 * count + options.samples;
  }

  bool exhaustive() const { return exhaustive_; }
  uint64_t total() const { return total_; }

  Fates Get(uint64_t number) {
    Fates fates(count_, SimDisk::Fate::kOld);
    const auto keep = [&fates](size_t i, bool kept) {
      fates[i] = kept ? SimDisk::Fate::kNew : SimDisk::Fate::kOld;
    };
    for (size_t i = 0; i < count_; ++i) {
      if (exhaustive_) {
        keep(i, (number >> i & 1) != 0);
      } else if (number < 2 + 2 * count_) {
        // All, none; then each alone, and all but each.
        const bool odd_one = number >= 2 && (number - 2) / 2 == i;
        keep(i, (number % 2 == 1) != odd_one);
      } else {
        keep(i, random_.Chance(1, 2));
      }
    }
    return fates;
  }

 private:
  size_t count_;
  Random random_;
  bool exhaustive_;
  uint64_t total_;
};

std::string DescribeChoice(const std::vector<SimDisk::Undecided>& undecided, const Fates& fates) {
  constexpr const char* kFates[] = {"lost", "kept", "half", "garbage", "zeros"};
  std::string text;
  for (size_t i = 0; i < fates.size(); ++i) {
    const SimDisk::Undecided& what = undecided[i];
    absl::StrAppend(&text, "\n    ", kFates[static_cast<size_t>(fates[i])], ": ", what.file);
    switch (what.kind) {
      case SimDisk::Undecided::Kind::kSector:
        absl::StrAppend(&text, ", sector ", what.sector);
        break;
      case SimDisk::Undecided::Kind::kSize:
        absl::StrAppend(&text, ", its size");
        break;
      case SimDisk::Undecided::Kind::kName:
        absl::StrAppend(&text, ", its name");
        break;
    }
  }
  return text;
}

// Empty, or what is wrong with what a recovery makes of `disk`.
std::string RecoveryFault(SimDisk& disk, const Scene& scene) {
  absl::StatusOr<std::unique_ptr<Storage>> opened = Storage::Open(disk, SmallOptions());
  if (!opened.ok()) {
    if (scene.may_be_empty() && absl::IsNotFound(opened.status())) return {};
    return absl::StrCat("it does not open: ", opened.status().ToString());
  }
  absl::StatusOr<DurableState> found = WhatWasFound(**opened);
  if (!found.ok()) return found.status().ToString();
  const bool allowed =
      std::any_of(scene.allowed().begin(), scene.allowed().end(),
                  [&](const DurableState& wanted) { return Matches(wanted, *found); });
  if (!allowed) {
    std::string text = absl::StrCat("recovered ", Describe(*found), "\n  allowed");
    for (const DurableState& wanted : scene.allowed()) {
      absl::StrAppend(&text, "\n    ", Describe(wanted));
    }
    return text;
  }
  found->behind.clear();
  // What it has decided holds, even if nothing it did not sync survives.
  opened->reset();
  const std::unique_ptr<SimDisk> image = disk.DurableImage();
  opened = Storage::Open(*image, SmallOptions());
  if (!opened.ok()) {
    return absl::StrCat("after one more crash it does not open: ", opened.status().ToString());
  }
  absl::StatusOr<DurableState> again = WhatWasFound(**opened);
  if (!again.ok()) return absl::StrCat("after one more crash: ", again.status().ToString());
  if (!Matches(*found, *again)) {
    return absl::StrCat("recovered ", Describe(*found), "\n  and after one more crash ",
                        Describe(*again));
  }
  return {};
}

// One cut: the job is stopped after `operations` of the disk. True if it came to its end.
bool Cut(const Job& job, uint64_t operations, const CrashPointOptions& options,
         CrashPointResult* result) {
  Scene scene(options);
  absl::Status status = job.prepare(scene);
  if (!status.ok()) {
    result->failure = absl::StrCat(job.name, " cannot be prepared: ", status.ToString());
    return true;
  }
  scene.platter().SetOperationBudget(operations);
  status = job.run(scene);
  const bool finished = status.ok();
  if (!finished && !IsCrash(status)) {
    result->failure = absl::StrCat(job.name, ": ", status.ToString());
    return true;
  }
  scene.platter().PowerOff();
  ++result->cuts;

  const std::vector<SimDisk::Undecided> undecided = scene.platter().WhatIsUndecided();
  result->most_undecided = std::max<uint64_t>(result->most_undecided, undecided.size());
  Combinations combinations(undecided.size(), options,
                            Random::Stream(operations, absl::StrCat("cut of ", job.name)));
  if (!combinations.exhaustive()) ++result->sampled_cuts;
  // False after a failure.
  const auto check = [&](const Fates& fates) {
    const std::unique_ptr<SimDisk> disk = scene.platter().Clone();
    disk->CrashAs(fates);
    ++result->states;
    const std::string fault = RecoveryFault(*disk, scene);
    if (fault.empty()) return true;
    const std::string when =
        finished ? "finished" : absl::StrCat("cut after operation ", operations);
    result->failure = absl::StrCat(job.name, ", ", when, ", then the power failed: ", fault,
                                   "\n  of what was not synced", DescribeChoice(undecided, fates));
    return false;
  };
  for (uint64_t number = 0; number < combinations.total(); ++number) {
    Fates fates = combinations.Get(number);
    if (!check(fates)) return true;
    if (!options.tear) continue;
    for (size_t i = 0; i < fates.size(); ++i) {
      if (undecided[i].kind != SimDisk::Undecided::Kind::kSector) continue;
      if (fates[i] == SimDisk::Fate::kOld) continue;
      for (const SimDisk::Fate torn :
           {SimDisk::Fate::kHalf, SimDisk::Fate::kGarbage, SimDisk::Fate::kZeros}) {
        fates[i] = torn;
        if (!check(fates)) return true;
      }
      fates[i] = SimDisk::Fate::kNew;
    }
  }
  return finished;
}

}  // namespace

std::vector<std::string> CrashPointJobs() {
  std::vector<std::string> names;
  for (const Job& job : Jobs()) names.emplace_back(job.name);
  return names;
}

CrashPointResult ExploreCrashPoints(const std::string& name, const CrashPointOptions& options) {
  const auto job = std::find_if(Jobs().begin(), Jobs().end(),
                                [&](const Job& candidate) { return name == candidate.name; });
  RAFTKV_CHECK(job != Jobs().end());
  CrashPointResult result;
  result.job = name;
  for (uint64_t operations = 0; !Cut(*job, operations, options, &result); ++operations) {
  }
  return result;
}

}  // namespace raftkv::sim
