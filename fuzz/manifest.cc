// The file that says which snapshot is current and where the log begins: docs/formats/snapshot.md.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/raft/check.h"
#include "fuzz/allocations.h"
#include "fuzz/slot_oracle.h"
#include "storage/snapshot_store.h"

namespace raftkv::storage {
namespace {

constexpr ClusterId kCluster{0x0123456789abcdef, 0xfedcba9876543210};

std::vector<raft::NodeId> MakeNodes(FuzzInput& input) {
  // Up to the most that fit into a slot, and sometimes none.
  std::vector<raft::NodeId> nodes(input.U8() % 16);
  for (raft::NodeId& node : nodes) node = 1 + input.U8();
  return nodes;
}

std::string MakeManifest(FuzzInput& input) {
  Manifest manifest;
  manifest.first_segment = 1 + input.U8();
  SnapshotInfo& snapshot = manifest.snapshot;
  snapshot.meta.index = input.U16();
  snapshot.meta.term = 1 + input.U8();
  snapshot.size = input.U16();
  snapshot.digest = input.U16();
  const uint8_t flags = input.U8();
  snapshot.source = (flags & 1) != 0 ? SnapshotSource::kReceived : SnapshotSource::kLocal;
  snapshot.meta.conf.auto_leave = (flags & 2) != 0;
  snapshot.meta.conf.voters = MakeNodes(input);
  snapshot.meta.conf.voters_outgoing = MakeNodes(input);
  snapshot.meta.conf.learners = MakeNodes(input);
  snapshot.meta.conf.learners_next = MakeNodes(input);
  const std::optional<std::string> payload = EncodeManifest(manifest);
  RAFTKV_CHECK(payload.has_value() && DecodeManifest(*payload) == manifest);
  return *payload;
}

std::optional<std::string> EncodeAgain(absl::string_view payload) {
  const AllocationWatch watch;
  const std::optional<Manifest> manifest = DecodeManifest(payload);
  // A vector grows to at most twice what it was shown.
  RAFTKV_CHECK(watch.largest() <= 2 * payload.size() + 512);
  if (!manifest) return std::nullopt;
  const raft::ConfState& conf = manifest->snapshot.meta.conf;
  RAFTKV_CHECK(8 * (conf.voters.size() + conf.voters_outgoing.size() + conf.learners.size() +
                    conf.learners_next.size()) <=
               payload.size());
  for (const auto* members :
       {&conf.voters, &conf.voters_outgoing, &conf.learners, &conf.learners_next}) {
    RAFTKV_CHECK(members->size() <= 256);
  }
  RAFTKV_CHECK(manifest->first_segment != 0);
  return EncodeManifest(*manifest);
}

}  // namespace
}  // namespace raftkv::storage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace raftkv::storage;
  raftkv::FuzzInput input(data, size);
  const RecordKind kind{ManifestFile(kCluster), MakeManifest, EncodeAgain};
  const FoundSlots found = FindSlots(kind, input);
  CheckTwoCopies(kind, found, input);
  return 0;
}
