#include "sim/disk_table/disk_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"

namespace raftkv::sim {
namespace {

DiskFault Inflicted(TableFault fault, const DiskPlace& record, uint64_t seed) {
  switch (fault) {
    case TableFault::kRot:
      return BitRot{record, record.length, seed};
    case TableFault::kGarbage:
      return Garbage{record, seed};
    case TableFault::kZeros:
      return Zeros{record};
    case TableFault::kReadError:
      return ReadError{record};
  }
  return Zeros{record};
}

}  // namespace

absl::string_view Name(TableFault fault) {
  switch (fault) {
    case TableFault::kRot:
      return "rot";
    case TableFault::kGarbage:
      return "garbage";
    case TableFault::kZeros:
      return "zeros";
    case TableFault::kReadError:
      return "read-error";
  }
  return "?";
}

uint64_t DiskTable::combinations() const {
  return uint64_t{1} << (specimen_.options().nodes * specimen_.options().entries);
}

bool DiskTable::Damaged(uint64_t combination, raft::NodeId node, uint32_t entry) const {
  return (combination >> ((node - 1) * specimen_.options().entries + entry) & 1) != 0;
}

bool DiskTable::Recoverable(uint64_t combination) const {
  for (uint32_t entry = 0; entry < specimen_.options().entries; ++entry) {
    bool intact = false;
    for (raft::NodeId node = 1; node <= specimen_.options().nodes; ++node) {
      intact |= !Damaged(combination, node, entry);
    }
    if (!intact) return false;
  }
  return true;
}

SceneVerdict DiskTable::Try(uint64_t combination, const Trace::Sink& told) const {
  Scene scene;
  scene.seed = combination;
  for (raft::NodeId node = 1; node <= specimen_.options().nodes; ++node) {
    std::unique_ptr<SimDisk> disk = specimen_.Disk(node);
    for (uint32_t entry = 0; entry < specimen_.options().entries; ++entry) {
      if (!Damaged(combination, node, entry)) continue;
      const uint64_t seed = MixHash(combination * 1'000 + node * 100 + entry);
      RAFTKV_CHECK(disk->Inject(Inflicted(fault_, specimen_.Record(node, entry), seed)));
      scene.damaged.insert(node);
    }
    scene.disks[node] = std::move(disk);
  }
  return Play(specimen_, std::move(scene), told);
}

std::string DiskTable::Describe(uint64_t combination) const {
  std::string text;
  for (raft::NodeId node = 1; node <= specimen_.options().nodes; ++node) {
    absl::StrAppend(&text, node == 1 ? "" : ", ", "node ", node, " ");
    for (uint32_t entry = 0; entry < specimen_.options().entries; ++entry) {
      text.push_back(Damaged(combination, node, entry) ? 'x' : '.');
    }
  }
  return text;
}

}  // namespace raftkv::sim
