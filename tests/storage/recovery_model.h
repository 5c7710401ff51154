// What a correct storage may come back with after a crash, kept by a model that knows nothing of
// formats, and a workload that drives a Storage and the model side by side.
//
// The law (recovery refinement): after an operation that returned OK its effect is there, whatever
// happens next; after one that did not, the state is that before it or one of the steps its
// contract names; nothing else, ever. And a recovery that completed has decided: what it reported
// is there after every later crash.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/raft/random.h"
#include "sim/crash_points/durable_state.h"
#include "sim/disk/sim_disk.h"
#include "storage/storage.h"

namespace raftkv::storage {

inline Identity TestIdentity() { return {{0x0123456789abcdef, 0xfedcba9876543210}, 3, 1, 0, 1700}; }

inline Options SmallOptions() {
  Options options;
  options.segment_bytes = 16384;
  options.block_bytes = 512;
  options.snapshot_chunk_bytes = 256;
  options.snapshot_sync_bytes = 1024;
  return options;
}

inline raft::Entry MakeEntry(raft::Term term, raft::Index index, absl::string_view payload,
                             raft::EntryType type = raft::EntryType::kCommand) {
  return {term, index, raft::Payload::Copy(payload), type};
}

using sim::Describe;
using sim::DurableState;
using sim::Matches;

// One node's life: operations, faults, crashes, recoveries. Every random choice comes from one
// seed.
class Life {
 public:
  // `disk` is what the storage writes through; it ends in `platter`, which crashes.
  Life(Disk& disk, sim::SimDisk& platter, uint64_t seed)
      : disk_(disk), platter_(platter), random_(seed) {
    // A block must not be smaller than what the device tears.
    options_.block_bytes = platter.options().sector_bytes;
    options_.zero_ahead_bytes = random_.Below(3) * 2048;
  }

  // nullopt, or what went wrong.
  std::optional<std::string> Start() {
    const absl::Status status =
        Storage::Init(disk_, TestIdentity(), {{1, 1, FoundingConf()}, "founding"});
    if (!status.ok()) return absl::StrCat("init: ", status.ToString());
    DurableState founding;
    founding.hard_state.term = 1;
    founding.snapshot = {1, 1, FoundingConf()};
    founding.commit = 1;
    founding.snapshot_bytes = "founding";
    candidates_ = {founding};
    return Recover();
  }

  // `cycles` times: some operations, then a crash at a random point of them, then recovery.
  std::optional<std::string> Run(int cycles) {
    std::optional<std::string> problem = Start();
    for (int i = 0; i < cycles && !problem; ++i) problem = Cycle();
    return problem;
  }

  std::optional<std::string> Cycle() {
    const bool power_fails = random_.Chance(3, 4);
    if (power_fails) platter_.SetOperationBudget(random_.Below(random_.Chance(1, 2) ? 25 : 120));
    if (random_.Chance(1, 4)) {
      const auto operation =
          random_.Chance(1, 2) ? sim::SimDisk::Operation::kSync : sim::SimDisk::Operation::kWrite;
      platter_.InjectFault(operation, random_.Below(30));
    }
    const uint64_t steps = random_.Between(1, 25);
    for (uint64_t i = 0; i < steps && storage_->health().ok(); ++i) {
      std::optional<std::string> problem = Step();
      if (problem) return problem;
      if (platter_.powered_off()) break;
    }
    return CrashAndRecover();
  }

  // A crash of a random kind, and recoveries (which may be hit by further crashes) until one
  // succeeds.
  std::optional<std::string> CrashAndRecover() {
    for (;;) {
      storage_.reset();
      if (platter_.powered_off() || random_.Chance(1, 2)) {
        platter_.Crash(random_);
      } else {
        platter_.ProcessCrash();
      }
      if (random_.Chance(1, 3)) platter_.SetOperationBudget(random_.Below(20));
      if (random_.Chance(1, 8)) {
        platter_.InjectFault(sim::SimDisk::Operation::kSync, random_.Below(6));
      }
      std::optional<std::string> problem = Recover();
      platter_.SetOperationBudget(std::nullopt);
      if (problem || storage_ != nullptr) return problem;
    }
  }

  std::optional<std::string> Step() {
    switch (random_.Below(12)) {
      case 0:
        return ChangeHardState();
      case 1:
        return TakeSnapshot();
      case 2:
        return random_.Chance(1, 3) ? ReceiveSnapshot() : std::nullopt;
      case 3:
        return Compact();
      default:
        return Append();
    }
  }

  std::optional<std::string> Append() {
    raft::PersistJob job;
    DurableState next = now();
    if (random_.Chance(1, 8)) job.hard_state = NextHardState(&next);
    job.writes_log = true;
    job.keep_through = now().last_index();
    if (random_.Chance(1, 4)) job.keep_through = random_.Between(floor(), now().last_index());
    // The log after the term and vote were written, before the entries were.
    DurableState half = next;
    next.entries.resize(job.keep_through - now().snapshot.index);
    const uint64_t count = random_.Below(5);
    for (uint64_t i = 1; i <= count; ++i) {
      job.entries.push_back(RandomEntry(job.keep_through + i, next.hard_state.term));
      next.entries.push_back(job.entries.back());
    }
    job.commit = random_.Between(floor(), next.last_index() + 2);
    std::vector<DurableState> between = {half};
    if (job.keep_through != now().last_index() || count > 0) {
      DurableState before = now();
      before.hard_state = next.hard_state;
      for (DurableState& state : sim::WhileWriting(before, job.keep_through, job.entries)) {
        between.push_back(std::move(state));
      }
      next.commit = std::max(next.commit, job.commit);
    }
    sim::EndSuspicion(&next);
    const absl::Status status = storage_->Persist(job);
    if (status.ok()) committed_ = std::max(committed_, std::min(job.commit, next.last_index()));
    return Done(status, std::move(between), next, "persist");
  }

  std::optional<std::string> ChangeHardState() {
    raft::PersistJob job;
    DurableState next = now();
    job.hard_state = NextHardState(&next);
    return Done(storage_->Persist(job), {}, next, "persist term and vote");
  }

  std::optional<std::string> TakeSnapshot() {
    const raft::Index top = std::min(committed_, now().last_index());
    if (top <= now().snapshot.index) return std::nullopt;
    DurableState next = now();
    const raft::Index index = random_.Between(now().snapshot.index + 1, top);
    const auto cut = static_cast<ptrdiff_t>(index - now().snapshot.index);
    next.snapshot = {index, now().entries[static_cast<size_t>(cut - 1)].term, RandomConf()};
    next.entries.erase(next.entries.begin(), next.entries.begin() + cut);
    next.snapshot_bytes = RandomBytes(random_.Below(2000));
    std::optional<std::string> problem = WriteSnapshot(SnapshotSource::kLocal, next);
    if (problem || !finished_) return problem;
    return Done(storage_->SwitchSnapshot(next.snapshot), {}, next, "switch snapshot");
  }

  std::optional<std::string> ReceiveSnapshot() {
    DurableState next = now();
    next.hard_state = now().hard_state;
    next.snapshot = {now().last_index() + random_.Between(1, 20), next.hard_state.term,
                     RandomConf()};
    next.snapshot_bytes = RandomBytes(random_.Below(2000));
    next.entries.clear();
    std::optional<std::string> problem = WriteSnapshot(SnapshotSource::kReceived, next);
    if (problem || !finished_) return problem;
    raft::PersistJob job;
    DurableState half = now();
    if (random_.Chance(1, 3)) {
      job.hard_state = NextHardState(&next);
      half.hard_state = next.hard_state;
    }
    job.snapshot = next.snapshot;
    job.commit = next.snapshot.index;
    job.keep_through = next.snapshot.index;
    const uint64_t count = random_.Below(3);
    job.writes_log = count > 0;
    for (uint64_t i = 1; i <= count; ++i) {
      job.entries.push_back(RandomEntry(job.keep_through + i, next.hard_state.term));
      next.entries.push_back(job.entries.back());
    }
    next.commit = std::max(next.commit, job.commit);
    sim::EndSuspicion(&next);
    const absl::Status status = storage_->Persist(job);
    if (status.ok()) committed_ = next.snapshot.index;
    return Done(status, {half}, next, "install snapshot");
  }

  std::optional<std::string> Compact() {
    const DurableState same = now();
    return Done(storage_->CompactLog(random_.Below(same.last_index() + 1)), {}, same, "compact");
  }

  // Opens; on success the recovered state must be one of the candidates and becomes the only one.
  std::optional<std::string> Recover() {
    absl::StatusOr<std::unique_ptr<Storage>> opened = Storage::Open(disk_, options_);
    if (!opened.ok()) {
      if (sim::IsCrash(opened.status()) ||
          absl::StrContains(opened.status().message(), "injected")) {
        return std::nullopt;
      }
      return absl::StrCat("open: ", opened.status().ToString());
    }
    storage_ = *std::move(opened);
    absl::StatusOr<DurableState> read = sim::WhatWasFound(*storage_);
    if (!read.ok()) {
      storage_.reset();
      if (sim::IsCrash(read.status()) || absl::StrContains(read.status().message(), "injected")) {
        return std::nullopt;
      }
      return absl::StrCat("recovered: ", read.status().ToString());
    }
    const DurableState& found = *read;
    for (const DurableState& candidate : candidates_) {
      if (!Matches(candidate, found)) continue;
      // What recovery reported is what holds from now on; commit may only be higher than promised.
      candidates_ = {found};
      candidates_.front()
          .behind.clear();  // the repair is done, and what was behind the hole is gone
      committed_ = found.commit;
      ++recoveries_;
      return std::nullopt;
    }
    std::string text = absl::StrCat("recovered ", Describe(found), "\nwanted one of");
    for (const DurableState& candidate : candidates_) {
      absl::StrAppend(&text, "\n  ", Describe(candidate));
    }
    return text;
  }

  Storage& storage() { return *storage_; }
  const DurableState& now() const { return candidates_.front(); }
  int recoveries() const { return recoveries_; }

 private:
  static raft::ConfState FoundingConf() { return {{1, 2, 3}, {}, {}, {}, false}; }

  raft::Index floor() const { return std::max(committed_, now().snapshot.index); }

  std::optional<std::string> Done(const absl::Status& status, std::vector<DurableState> between,
                                  const DurableState& next, absl::string_view what) {
    if (status.ok()) {
      candidates_ = {next};
      return std::nullopt;
    }
    if (!sim::IsCrash(status) && !absl::StrContains(status.message(), "injected")) {
      return absl::StrCat(what, ": ", status.ToString());
    }
    if (storage_->health().ok()) return absl::StrCat(what, ": failed and not poisoned");
    for (DurableState& state : between) candidates_.push_back(std::move(state));
    candidates_.push_back(next);
    return std::nullopt;
  }

  // finished_ tells whether it got to the end.
  std::optional<std::string> WriteSnapshot(SnapshotSource source, const DurableState& next) {
    finished_ = false;
    const DurableState same = now();
    absl::Status status = storage_->BeginSnapshot(source, next.snapshot);
    absl::string_view rest = next.snapshot_bytes;
    while (status.ok() && !rest.empty()) {
      const absl::string_view piece = rest.substr(0, random_.Between(1, 700));
      status = storage_->AppendSnapshot(source, *storage_->SnapshotOffset(source), piece);
      rest.remove_prefix(piece.size());
    }
    if (status.ok() && random_.Chance(1, 8)) {
      return Done(storage_->AbortSnapshot(source), {}, same, "abort snapshot");
    }
    while (status.ok() && !finished_) {
      absl::StatusOr<std::optional<SnapshotInfo>> step = storage_->FinishSnapshot(source);
      status = step.status();
      finished_ = status.ok() && step->has_value();
    }
    return Done(status, {}, same, "write snapshot");
  }

  raft::HardState NextHardState(DurableState* next) {
    if (next->hard_state.vote == raft::kNoNode && next->hard_state.term > 0 &&
        random_.Chance(1, 2)) {
      next->hard_state.vote = random_.Between(1, 5);
    } else {
      next->hard_state = {next->hard_state.term + random_.Between(1, 3), random_.Below(6)};
    }
    return next->hard_state;
  }

  raft::Entry RandomEntry(raft::Index index, raft::Term term) {
    const uint64_t length = random_.Chance(1, 10) ? random_.Below(5000) : random_.Below(100);
    const auto type =
        random_.Chance(1, 10) ? raft::EntryType::kMembership : raft::EntryType::kCommand;
    return MakeEntry(term, index, RandomBytes(length), type);
  }

  std::string RandomBytes(uint64_t length) {
    std::string bytes(length, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random_.Next() & 0xff);
    return bytes;
  }

  raft::ConfState RandomConf() {
    raft::ConfState conf = FoundingConf();
    if (random_.Chance(1, 2)) conf.learners = {random_.Between(10, 20)};
    conf.auto_leave = random_.Chance(1, 4);
    return conf;
  }

  Disk& disk_;
  sim::SimDisk& platter_;
  Random random_;
  Options options_ = SmallOptions();
  std::unique_ptr<Storage> storage_;
  std::vector<DurableState> candidates_;  // the first is the state the node believes in
  raft::Index committed_ = 1;             // nothing at or below is ever cut
  bool finished_ = false;
  int recoveries_ = 0;
};

}  // namespace raftkv::storage
