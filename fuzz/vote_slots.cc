// The file of term and vote: docs/formats/vote.md.
#include <cstdint>
#include <optional>
#include <string>

#include "fuzz/slot_oracle.h"
#include "storage/records.h"

namespace raftkv::storage {
namespace {

constexpr ClusterId kCluster{0x0123456789abcdef, 0xfedcba9876543210};

std::string MakeVote(FuzzInput& input) {
  VoteRecord record;
  record.hard_state = {1 + uint64_t{input.U16()}, input.U8() % uint64_t{6}};
  record.node = 1 + input.U8() % 5;
  record.incarnation = 1 + input.U8() % 2;
  return EncodeVote(record);
}

std::optional<std::string> EncodeAgain(absl::string_view payload) {
  const std::optional<VoteRecord> record = DecodeVote(payload);
  if (!record) return std::nullopt;
  return EncodeVote(*record);
}

}  // namespace
}  // namespace raftkv::storage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace raftkv::storage;
  raftkv::FuzzInput input(data, size);
  const RecordKind kind{VoteFile(kCluster), MakeVote, EncodeAgain};
  const FoundSlots found = FindSlots(kind, input);
  CheckTwoCopies(kind, found, input);
  return 0;
}
