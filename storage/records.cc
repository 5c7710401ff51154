#include "storage/records.h"

#include "storage/checksum.h"
#include "storage/encoding.h"

namespace raftkv::storage {
namespace {

constexpr absl::string_view kIdentityMagic("RKVIDEN\n", 8);
constexpr absl::string_view kVoteMagic("RKVVOTE\n", 8);

}  // namespace

// Whoever reads an identity does not know the cluster yet: its checksums are seeded with none.
SlotFile IdentityFile() {
  return {"identity", kIdentityMagic, FileSeed(ClusterId{}, FileKind::kIdentity, 0)};
}

std::string EncodeIdentity(const Identity& identity) {
  std::string payload;
  PutU64(payload, identity.cluster.high);
  PutU64(payload, identity.cluster.low);
  PutU64(payload, identity.node);
  PutU64(payload, identity.incarnation);
  PutU64(payload, identity.group);
  PutU64(payload, identity.created_ms);
  return payload;
}

std::optional<Identity> DecodeIdentity(absl::string_view payload) {
  Reader reader(payload);
  Identity identity;
  identity.cluster.high = reader.U64();
  identity.cluster.low = reader.U64();
  identity.node = reader.U64();
  identity.incarnation = reader.U64();
  identity.group = reader.U64();
  identity.created_ms = reader.U64();
  if (!reader.done() || identity.cluster.empty() || identity.node == raft::kNoNode ||
      identity.incarnation == 0) {
    return std::nullopt;
  }
  return identity;
}

SlotFile VoteFile(const ClusterId& cluster) {
  return {"vote", kVoteMagic, FileSeed(cluster, FileKind::kVote, 0)};
}

std::string EncodeVote(const VoteRecord& record) {
  std::string payload;
  PutU64(payload, record.hard_state.term);
  PutU64(payload, record.hard_state.vote);
  PutU64(payload, record.node);
  PutU64(payload, record.incarnation);
  PutU64(payload, record.group);
  return payload;
}

std::optional<VoteRecord> DecodeVote(absl::string_view payload) {
  Reader reader(payload);
  VoteRecord record;
  record.hard_state.term = reader.U64();
  record.hard_state.vote = reader.U64();
  record.node = reader.U64();
  record.incarnation = reader.U64();
  record.group = reader.U64();
  if (!reader.done() || record.hard_state.term > raft::kMaxTermOrIndex) return std::nullopt;
  return record;
}

}  // namespace raftkv::storage
