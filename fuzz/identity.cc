// The file that says whose directory it is: docs/formats/identity.md. It is the only one that is
// read before anything else is known.
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "fuzz/slot_oracle.h"
#include "storage/inspect.h"
#include "storage/records.h"
#include "storage/storage.h"

namespace raftkv::storage {
namespace {

std::string MakeIdentity(FuzzInput& input) {
  Identity identity;
  identity.cluster = {input.U8(), 1 + uint64_t{input.U8()}};
  identity.node = 1 + input.U8();
  identity.incarnation = 1 + input.U8();
  identity.created_ms = input.U16();
  return EncodeIdentity(identity);
}

std::optional<std::string> EncodeAgain(absl::string_view payload) {
  const std::optional<Identity> identity = DecodeIdentity(payload);
  if (!identity) return std::nullopt;
  // Nothing else is an identity of anybody.
  RAFTKV_CHECK(!identity->cluster.empty() && identity->node != raft::kNoNode);
  RAFTKV_CHECK(identity->incarnation != 0);
  RAFTKV_CHECK(ParseClusterId(ToHex(identity->cluster)) == identity->cluster);
  return EncodeIdentity(*identity);
}

// Alone in a directory it starts nothing, and a start writes nothing before it knows whose it is.
void CheckAlone(const FoundSlots& found, const ExpectedIdentity& expected) {
  sim::SimDisk disk{sim::SimDisk::Options{}};
  PutFile(disk, "identity", found.bytes);
  const uint64_t content = disk.ContentHash();
  const absl::StatusOr<Inspection> inspection = InspectIdentity(disk);
  RAFTKV_CHECK(inspection.ok() || absl::IsNotFound(inspection.status()));
  RAFTKV_CHECK(disk.ContentHash() == content);

  const absl::Status status = Storage::Open(disk, Options{}, expected).status();
  RAFTKV_CHECK(absl::StartsWith(status.message(), disk.Describe()));
  if (!inspection.ok()) {
    RAFTKV_CHECK(absl::IsDataLoss(status) || absl::IsUnimplemented(status));
    RAFTKV_CHECK(absl::StrContains(status.message(), "/identity: "));
    RAFTKV_CHECK(disk.ContentHash() == content);
    return;
  }
  std::optional<uint64_t> node;
  std::string cluster;
  for (const auto& [name, value] : inspection->items.back().fields) {
    if (name == "node") node = std::get<uint64_t>(value);
    if (name == "cluster") cluster = std::get<std::string>(value);
  }
  const bool mine = (!expected.cluster || ToHex(*expected.cluster) == cluster) &&
                    (!expected.node || *expected.node == node);
  RAFTKV_CHECK(mine || disk.ContentHash() == content);
  RAFTKV_CHECK(absl::IsFailedPrecondition(status) == !mine);
  RAFTKV_CHECK(!mine ||
               (absl::IsDataLoss(status) && absl::StrContains(status.message(), "/vote: missing")));
}

}  // namespace
}  // namespace raftkv::storage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace raftkv::storage;
  raftkv::FuzzInput input(data, size);
  ExpectedIdentity expected;
  const uint8_t flags = input.U8();
  if ((flags & 1) != 0) expected.cluster = ClusterId{uint64_t{flags} >> 2, 1};
  if ((flags & 2) != 0) expected.node = 1 + (flags >> 2) % 4;
  const RecordKind kind{IdentityFile(), MakeIdentity, EncodeAgain};
  const FoundSlots found = FindSlots(kind, input);
  CheckTwoCopies(kind, found, input);
  CheckAlone(found, expected);
  return 0;
}
