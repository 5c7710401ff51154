// The disks of a cluster that has committed a few entries, made by the production storage, and
// where on them each entry is.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/raft/types.h"
#include "sim/cluster/cluster.h"
#include "sim/disk/sim_disk.h"

namespace raftkv::sim {

// A cluster in a hurry: short ticks, a quick network and quick disks, so that little happens
// besides what is looked at.
ClusterSettings HastySettings(uint32_t nodes);

struct SpecimenOptions {
  uint32_t nodes = 3;    // 1 to 9
  uint32_t entries = 4;  // 1 to 16, each a batch of its own, the last ones of the log
  // The lazily written file of durable marks knows of these entries, or is as it was before them.
  bool marks = true;
};

class Specimen {
 public:
  explicit Specimen(const SpecimenOptions& options);

  const SpecimenOptions& options() const { return options_; }
  const ClusterSettings& settings() const { return settings_; }

  // A copy of a node's disk, and the bytes of its nth entry (0: the first) in it: the record, not
  // the rest of its last block.
  std::unique_ptr<SimDisk> Disk(raft::NodeId node) const;
  // As the disk was when it had the first `entries` of them only.
  std::unique_ptr<SimDisk> LaggingDisk(raft::NodeId node, uint32_t entries) const;
  const DiskPlace& Record(raft::NodeId node, uint32_t nth) const;

  // What is committed: everything in the log, the entries of the table last.
  const raft::Entries& committed() const { return committed_; }
  raft::Index last() const { return committed_.back().index; }

 private:
  struct Node {
    std::vector<std::unique_ptr<SimDisk>> disks;  // with none of the entries, with one, ...
    std::vector<DiskPlace> records;
  };
  void Write(SimDisk& disk, Node* node);

  SpecimenOptions options_;
  ClusterSettings settings_;
  raft::Entries committed_;
  std::map<raft::NodeId, Node> nodes_;
};

}  // namespace raftkv::sim
