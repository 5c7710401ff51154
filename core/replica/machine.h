// The replicated state machine: the store with its sessions, and who is in the cluster. Its
// snapshot is one stream of bytes, equal on every replica at equal indexes:
//
//   8 bytes "RKSTATE1", u32 length of the members table, the table (members.h), then the store's
//   own snapshot (core/kv/snapshot.h)
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/kv/snapshot.h"
#include "core/kv/snapshot_points.h"
#include "core/kv/store.h"
#include "core/replica/members.h"

namespace raftkv::replica {

class MachineSnapshotReader;

class Machine {
 public:
  explicit Machine(const kv::StoreOptions& options) : store_(options) {}
  Machine(kv::Store store, Members members)
      : store_(std::move(store)), members_(std::move(members)) {}

  // The next command in log order.
  kv::Result Apply(raft::Index index, const kv::Command& command) {
    return store_.Apply(index, command);
  }
  kv::Result Read(const kv::Command& command) const { return store_.Read(command); }

  const kv::Store& store() const { return store_; }
  Members& members() { return members_; }
  const Members& members() const { return members_; }

  // Equal for equal states, and practically only then: 16 hexadecimal digits.
  std::string Digest() const;

  // Takes over the state of `fresh`. What this machine held is freed in slices by ReleaseSome, as
  // are old versions nobody looks at any more.
  void Install(Machine fresh);
  // What a reader has built of a snapshot that is not needed, likewise.
  void Discard(MachineSnapshotReader reader);
  void ReleaseSome(size_t budget) { store_.ReleaseSome(budget); }

 private:
  kv::Store store_;
  Members members_;
};

// Writes the snapshot of a machine as it was when the writer was made. Making one takes constant
// time.
class MachineSnapshotWriter {
 public:
  explicit MachineSnapshotWriter(const Machine& machine);

  // The next bytes, at most about `max_bytes`; empty when there are no more.
  std::string Next(size_t max_bytes);

 private:
  std::string head_;
  kv::SnapshotWriter store_;
};

// Reads what MachineSnapshotWriter wrote, in pieces of any size.
class MachineSnapshotReader {
 public:
  explicit MachineSnapshotReader(const kv::StoreOptions& options);

  absl::Status Feed(absl::string_view bytes);
  absl::StatusOr<Machine> Finish();                 // once, after the last byte
  kv::Store Abandon() { return store_.Abandon(); }  // see kv::SnapshotReader
  // The table of members, which comes first; not set before all of it was fed.
  const std::optional<Members>& members() const { return members_; }

 private:
  std::string head_;  // received of the part before the store's snapshot
  std::optional<Members> members_;
  kv::SnapshotReader store_;
};

}  // namespace raftkv::replica
