#include "sim/disk_table/specimen.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/kv/command.h"
#include "core/raft/check.h"
#include "core/wire/command.h"
#include "storage/storage.h"

namespace raftkv::sim {
namespace {

constexpr raft::Term kTerm = 2;    // of everything in the log
constexpr raft::Index kFirst = 2;  // behind the founding snapshot; opens the term
constexpr absl::string_view kMarks = "marks";

raft::Payload SetCommand(wire::CommandEncoder& encoder, absl::string_view key,
                         absl::string_view value) {
  kv::Command command;
  command.ops.push_back({});
  command.ops.back().kind = kv::OpKind::kSet;
  command.ops.back().key = key;
  command.ops.back().value = value;
  return encoder.EncodePayload(command);
}

std::string Bytes(SimDisk& disk, absl::string_view name) {
  const auto file = disk.Open(name, storage::Disk::Mode::kRead);
  RAFTKV_CHECK(file.ok());
  std::string bytes(*(*file)->Size(), '\0');
  bytes.resize(*(*file)->Read(0, bytes.data(), bytes.size()));
  return bytes;
}

std::string NewestSegment(SimDisk& disk) {
  std::string newest;
  const std::vector<std::string> names = *disk.List();
  for (const std::string& name : names) {
    if (absl::StartsWith(name, "log-")) newest = name;
  }
  return newest;
}

// Where the new bytes first differ from the old ones, in whole blocks.
uint64_t FirstChange(const std::string& old, const std::string& fresh, uint64_t block) {
  uint64_t at = 0;
  while (at < fresh.size() && fresh[at] == (at < old.size() ? old[at] : '\0')) ++at;
  return at / block * block;
}

}  // namespace

ClusterSettings HastySettings(uint32_t nodes) {
  ClusterSettings settings;
  settings.founders = nodes;
  settings.replica.tick_us = 2 * kMillisecond;
  settings.replica.raft.election_ticks = 10;
  settings.replica.raft.heartbeat_ticks = 2;
  settings.storage.segment_bytes = 16'384;
  settings.storage.block_bytes = 512;
  settings.storage.zero_ahead_bytes = 2'048;
  settings.storage.snapshot_chunk_bytes = 256;
  settings.disk_delay = {Delay::Shape::kUniform, 50, 50};
  settings.network.delay = {Delay::Shape::kUniform, 100, 100};
  settings.network.in_order = true;
  settings.ports.delay = {Delay::Shape::kUniform, 50, 50};
  settings.restart_delay = 20 * kMillisecond;
  return settings;
}

Specimen::Specimen(const SpecimenOptions& options)
    : options_(options), settings_(HastySettings(options.nodes)) {
  wire::CommandEncoder encoder;
  committed_.push_back({kTerm, kFirst, {}, raft::EntryType::kCommand});
  for (uint32_t i = 1; i <= options.entries; ++i) {
    committed_.push_back({kTerm, kFirst + i,
                          SetCommand(encoder, absl::StrCat("key-", i), absl::StrCat("value-", i)),
                          raft::EntryType::kCommand});
  }
  Scheduler scheduler;
  Trace trace(&scheduler);
  Decisions decisions;
  Cluster cluster(settings_, &scheduler, &decisions, &trace, /*witness=*/nullptr, Random(0));
  cluster.MakeFounders();
  for (const auto& [id, process] : cluster.processes()) Write(process->disk(), &nodes_[id]);
}

void Specimen::Write(SimDisk& disk, Node* node) {
  const auto opened = storage::Storage::Open(disk, settings_.storage);
  RAFTKV_CHECK(opened.ok());
  storage::Storage& storage = **opened;
  (void)storage.TakeRecovered();
  const auto persist = [&](const raft::Entry& entry, storage::Storage& into) {
    raft::PersistJob job;
    if (entry.index == kFirst) job.hard_state = raft::HardState{kTerm, 1};
    job.writes_log = true;
    job.keep_through = entry.index - 1;
    job.entries.push_back(entry);
    job.commit = entry.index - 1;
    RAFTKV_CHECK(into.Persist(job).ok());
  };
  persist(committed_.front(), storage);
  RAFTKV_CHECK(disk.SyncDir().ok());
  const uint64_t block = settings_.storage.block_bytes;
  const std::string segment = NewestSegment(disk);
  disk.Remember();
  std::vector<uint64_t> begins;
  std::string before = Bytes(disk, segment);
  node->disks.push_back(disk.Clone());
  for (size_t i = 1; i < committed_.size(); ++i) {
    persist(committed_[i], storage);
    std::string after = Bytes(disk, segment);
    begins.push_back(FirstChange(before, after, block));
    before = std::move(after);
    node->disks.push_back(disk.Clone());
  }
  RAFTKV_CHECK(NewestSegment(disk) == segment);
  // One entry more tells where the last one ends.
  raft::Entry another = committed_.back();
  ++another.index;
  persist(another, storage);
  begins.push_back(FirstChange(before, Bytes(disk, segment), block));
  for (size_t i = 0; i + 1 < begins.size(); ++i) {
    uint64_t end = begins[i + 1];
    while (end > begins[i] + 1 && before[end - 1] == '\0') --end;
    node->records.push_back({segment, begins[i], end - begins[i]});
  }
  for (const std::unique_ptr<SimDisk>& each : node->disks) {
    if (!options_.marks) each->Inject(StaleFile{std::string(kMarks)});
  }
}

std::unique_ptr<SimDisk> Specimen::Disk(raft::NodeId node) const {
  return LaggingDisk(node, options_.entries);
}

std::unique_ptr<SimDisk> Specimen::LaggingDisk(raft::NodeId node, uint32_t entries) const {
  return nodes_.at(node).disks.at(entries)->Clone();
}

const DiskPlace& Specimen::Record(raft::NodeId node, uint32_t nth) const {
  return nodes_.at(node).records.at(nth);
}

}  // namespace raftkv::sim
