// The vocabulary of the storage tests: one node on one simulated disk.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "sim/disk/sim_disk.h"
#include "storage/log.h"
#include "storage/storage.h"
#include "tests/storage/recovery_model.h"

namespace raftkv::storage {

class StorageTest : public ::testing::Test {
 protected:
  void Init() {
    const absl::Status status =
        Storage::Init(disk_, TestIdentity(), {{0, 0, {{1, 2, 3}, {}, {}, {}, false}}, "founding"});
    ASSERT_TRUE(status.ok()) << status;
  }

  absl::Status TryOpen(const ExpectedIdentity& expected = {}) {
    storage_.reset();
    absl::StatusOr<std::unique_ptr<Storage>> opened = Storage::Open(disk_, options_, expected);
    if (!opened.ok()) return opened.status();
    storage_ = *std::move(opened);
    recovered_ = storage_->TakeRecovered();
    return absl::OkStatus();
  }
  void Open() {
    const absl::Status status = TryOpen();
    ASSERT_TRUE(status.ok()) << status;
  }
  void Start() {
    Init();
    Open();
  }
  // The process dies, the page cache lives.
  void Kill() {
    storage_.reset();
    disk_.ProcessCrash();
  }
  // The power fails: whatever was not synced is lost.
  void Crash() {
    storage_.reset();
    disk_ = std::move(*disk_.DurableImage());
  }

  // Cuts behind `keep_through` and appends `count` entries of `term`, each with `payload`.
  absl::Status Write(raft::Index keep_through, raft::Term term, uint64_t count,
                     absl::string_view payload = "payload", raft::Index commit = 0) {
    raft::PersistJob job;
    job.writes_log = true;
    job.keep_through = keep_through;
    job.commit = commit;
    for (uint64_t i = 1; i <= count; ++i) {
      job.entries.push_back(MakeEntry(term, keep_through + i, payload));
    }
    return storage_->Persist(job);
  }
  void Append(raft::Term term, uint64_t count, absl::string_view payload = "payload",
              raft::Index commit = 0) {
    const absl::Status status = Write(storage_->last_index(), term, count, payload, commit);
    ASSERT_TRUE(status.ok()) << status;
  }
  absl::Status Vote(raft::Term term, raft::NodeId vote) {
    raft::PersistJob job;
    job.hard_state = raft::HardState{term, vote};
    return storage_->Persist(job);
  }

  // A whole snapshot, finished; current only after a switch.
  SnapshotInfo WriteSnapshot(SnapshotSource source, raft::Index index, raft::Term term,
                             absl::string_view bytes) {
    const raft::SnapshotMeta meta{index, term, {{1, 2, 3}, {}, {4}, {}, false}};
    absl::Status status = storage_->BeginSnapshot(source, meta);
    EXPECT_TRUE(status.ok()) << status;
    for (size_t at = 0; at < bytes.size(); at += 100) {
      status = storage_->AppendSnapshot(source, at, bytes.substr(at, 100));
      EXPECT_TRUE(status.ok()) << status;
    }
    return Finish(source);
  }
  SnapshotInfo Finish(SnapshotSource source) {
    for (;;) {
      absl::StatusOr<std::optional<SnapshotInfo>> step = storage_->FinishSnapshot(source);
      EXPECT_TRUE(step.ok()) << step.status();
      if (!step.ok()) return {};
      if (step->has_value()) return **step;
    }
  }
  void TakeSnapshot(raft::Index index, raft::Term term, absl::string_view bytes) {
    const SnapshotInfo info = WriteSnapshot(SnapshotSource::kLocal, index, term, bytes);
    const absl::Status status = storage_->SwitchSnapshot(info.meta);
    ASSERT_TRUE(status.ok()) << status;
  }
  // The sizes of all files that have a name, whether it is synced or not.
  uint64_t NamedBytes() {
    uint64_t bytes = 0;
    const std::vector<std::string> names = disk_.List().value();
    for (const std::string& name : names)
      bytes += disk_.Open(name, Disk::Mode::kRead).value()->Size().value();
    return bytes;
  }
  std::string SnapshotBytes(raft::Index index) {
    absl::StatusOr<std::string> bytes = storage_->ReadSnapshot(index, 0, kMaxSnapshotChunk);
    return bytes.ok() ? *bytes : bytes.status().ToString();
  }

  // "4@2 5@2": index and term of what was recovered.
  std::string Log() const {
    std::vector<std::string> words;
    for (const raft::Entry& entry : recovered_.entries) {
      words.push_back(absl::StrCat(entry.index, "@", entry.term));
    }
    return absl::StrJoin(words, " ");
  }
  bool Saw(RecoveryEvent::Kind kind) const {
    for (const RecoveryEvent& event : recovered_.events) {
      if (event.kind == kind) return true;
    }
    return false;
  }

  std::vector<std::string> Names(absl::string_view prefix) {
    std::vector<std::string> names;
    const std::vector<std::string> all = *disk_.List();
    for (const std::string& name : all) {
      if (absl::StartsWith(name, prefix)) names.push_back(name);
    }
    return names;
  }
  std::string NewestSegment() { return Names("log-").back(); }
  std::string FileBytes(absl::string_view name) {
    std::unique_ptr<File> file = *disk_.Open(name, Disk::Mode::kRead);
    std::string bytes(*file->Size(), '\0');
    bytes.resize(*file->Read(0, bytes.data(), bytes.size()));
    return bytes;
  }
  // Overwrites, behind everybody's back, and durably.
  void Put(absl::string_view name, uint64_t offset, absl::string_view bytes) {
    std::unique_ptr<File> file = *disk_.Open(name, Disk::Mode::kReadWrite);
    ASSERT_TRUE(file->Write(offset, bytes).ok());
    ASSERT_TRUE(file->Sync().ok());
  }
  void Shrink(absl::string_view name, uint64_t size) {
    std::unique_ptr<File> file = *disk_.Open(name, Disk::Mode::kReadWrite);
    ASSERT_TRUE(file->Truncate(size).ok());
    ASSERT_TRUE(file->Sync().ok());
  }
  void Flip(absl::string_view name, uint64_t offset) {
    ASSERT_TRUE(disk_.Corrupt(name, offset, 0x40)) << name << " has no byte " << offset;
  }
  // As if the machine had never noted what was durable.
  void LoseMarks() {
    storage_.reset();
    ASSERT_TRUE(disk_.Remove("marks").ok());
  }

  sim::SimDisk disk_{sim::SimDisk::Options{}};
  Options options_ = SmallOptions();
  std::unique_ptr<Storage> storage_;
  Recovered recovered_;
};

}  // namespace raftkv::storage
