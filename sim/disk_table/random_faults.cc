#include "sim/disk_table/random_faults.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace raftkv::sim {
namespace {

constexpr Time kLatest = 300 * kMillisecond;

uint64_t SizeOf(SimDisk& disk, absl::string_view name) {
  const auto file = disk.Open(name, storage::Disk::Mode::kRead);
  return file.ok() ? *(*file)->Size() : 0;
}

bool Inflict(raft::NodeId node, const DiskFault& fault, Scene* scene, FaultTrial* trial) {
  if (!scene->disks.at(node)->Inject(fault)) return false;
  scene->damaged.insert(node);
  absl::StrAppend(&trial->faults, trial->faults.empty() ? "" : "; ", "node ", node, " ",
                  Describe(fault));
  return true;
}

// A part of the file, or all of it.
DiskPlace SomeOf(SimDisk& disk, const std::string& file, Random& random) {
  const uint64_t size = SizeOf(disk, file);
  if (size < 2 || random.Chance(1, 3)) return {file};
  const uint64_t offset = random.Below(size);
  return {file, offset, random.Between(1, size - offset)};
}

DiskFault SomeDamage(SimDisk& disk, const std::string& file, Random& random) {
  switch (random.Below(7)) {
    case 0:
      return BitRot{SomeOf(disk, file, random), random.Between(1, 8), random.Next()};
    case 1:
      return Garbage{SomeOf(disk, file, random), random.Next()};
    case 2:
      return Zeros{SomeOf(disk, file, random)};
    case 3:
      return ReadError{SomeOf(disk, file, random)};
    case 4:
      return MissingFile{file};
    case 5:
      return TruncatedFile{file, random.Below(SizeOf(disk, file) + 1)};
    default:
      return ExtendedFile{file, random.Between(1, 2'000), random.Chance(1, 2), random.Next()};
  }
}

}  // namespace

absl::string_view Name(FaultSuite suite) {
  switch (suite) {
    case FaultSuite::kRecords:
      return "records";
    case FaultSuite::kSnapshots:
      return "snapshots";
    case FaultSuite::kFiles:
      return "files";
  }
  return "?";
}

RandomFaults::RandomFaults(FaultSuite suite, uint32_t nodes, uint32_t entries)
    : suite_(suite),
      with_marks_({nodes, entries, /*marks=*/true}),
      without_marks_({nodes, entries, /*marks=*/false}) {}

FaultTrial RandomFaults::Try(uint64_t seed, const Trace::Sink& told) const {
  Scene scene;
  FaultTrial trial;
  const Specimen& specimen = Prepare(seed, &scene, &trial);
  trial.verdict = Play(specimen, std::move(scene), told);
  return trial;
}

FaultTrial RandomFaults::Plan(uint64_t seed) const {
  Scene scene;
  FaultTrial trial;
  Prepare(seed, &scene, &trial);
  return trial;
}

const Specimen& RandomFaults::Prepare(uint64_t seed, Scene* prepared, FaultTrial* plan) const {
  Scene& scene = *prepared;
  FaultTrial& trial = *plan;
  Random random = Random::Stream(seed, Name(suite_));
  const bool marks = random.Chance(1, 2);
  const Specimen& specimen = marks ? with_marks_ : without_marks_;
  scene.seed = seed;
  for (raft::NodeId node = 1; node <= specimen.options().nodes; ++node) {
    scene.disks[node] = specimen.Disk(node);
  }
  switch (suite_) {
    case FaultSuite::kRecords:
      DamageRecords(specimen, random.Split("records"), &scene, &trial);
      break;
    case FaultSuite::kSnapshots:
      DamageSnapshots(random.Split("snapshots"), &scene, &trial);
      break;
    case FaultSuite::kFiles:
      DamageFile(random.Split("file"), &scene, &trial);
      break;
  }
  for (raft::NodeId node = 1; node <= specimen.options().nodes; ++node) {
    if (!random.Chance(1, 4)) continue;
    scene.late[node] = random.Between(1, kLatest);
    absl::StrAppend(&trial.faults, "; node ", node, " comes late");
  }
  // One at most: what a power loss tears on a majority may be lost for ever.
  if (random.Chance(1, 3)) {
    const raft::NodeId node = random.Between(1, specimen.options().nodes);
    scene.power_loss[node] = random.Between(1, kLatest);
    absl::StrAppend(&trial.faults, "; node ", node, " loses power");
  }
  if (!marks) absl::StrAppend(&trial.faults, "; without marks");
  return specimen;
}

void RandomFaults::DamageRecords(const Specimen& specimen, Random random, Scene* scene,
                                 FaultTrial* trial) const {
  const uint32_t nodes = specimen.options().nodes;
  const uint32_t entries = specimen.options().entries;
  // A minority lags: what is committed is on the others.
  std::vector<uint32_t> has(nodes + 1, entries);
  for (uint64_t lagging = random.Below((nodes - 1) / 2 + 1); lagging > 0; --lagging) {
    const raft::NodeId node = random.Between(1, nodes);
    has[node] = static_cast<uint32_t>(random.Below(entries));
    scene->disks[node] = specimen.LaggingDisk(node, has[node]);
    absl::StrAppend(&trial->faults, trial->faults.empty() ? "" : "; ", "node ", node, " lags by ",
                    entries - has[node]);
  }
  const uint64_t percent = random.Between(5, 60);
  std::vector<bool> intact(entries, false);
  for (raft::NodeId node = 1; node <= nodes; ++node) {
    for (uint32_t entry = 0; entry < has[node]; ++entry) {
      if (!random.Chance(percent, 100)) {
        intact[entry] = true;
        continue;
      }
      const DiskPlace& record = specimen.Record(node, entry);
      const DiskFault rot = BitRot{record, random.Between(1, record.length), random.Next()};
      Inflict(node, random.Chance(1, 2) ? rot : ReadError{record}, scene, trial);
    }
  }
  trial->recoverable = std::find(intact.begin(), intact.end(), false) == intact.end();
}

void RandomFaults::DamageSnapshots(Random random, Scene* scene, FaultTrial* trial) const {
  const auto nodes = static_cast<uint32_t>(scene->disks.size());
  const raft::NodeId spared = random.Between(1, nodes);
  for (raft::NodeId node = 1; node <= nodes; ++node) {
    if (node == spared || !random.Chance(2, 3)) continue;
    SimDisk& disk = *scene->disks.at(node);
    std::vector<std::string> files = *disk.List();
    std::erase_if(files, [](const std::string& name) { return !absl::StartsWith(name, "snap"); });
    if (files.empty()) continue;
    Inflict(node, SomeDamage(disk, files[random.Below(files.size())], random), scene, trial);
  }
  trial->recoverable = true;
}

void RandomFaults::DamageFile(Random random, Scene* scene, FaultTrial* trial) const {
  const raft::NodeId node = random.Between(1, scene->disks.size());
  SimDisk& disk = *scene->disks.at(node);
  const std::vector<std::string> files = *disk.List();
  const std::string& file = files[random.Below(files.size())];
  Inflict(node, SomeDamage(disk, file, random), scene, trial);
  // Nobody else knows who it is, what it has promised, or where its log begins.
  if (file == "identity" || file == "vote" || file == "manifest") scene->may_refuse.insert(node);
  trial->recoverable = true;
}

}  // namespace raftkv::sim
