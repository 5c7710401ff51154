#include "core/replica/machine.h"

#include "absl/strings/str_format.h"
#include "core/raft/random.h"

namespace raftkv::replica {
namespace {

constexpr absl::string_view kMagic = "RKSTATE1";
constexpr size_t kHeadBytes = 8 + 4;
// More than 64 members with the longest addresses need.
constexpr size_t kMaxMembersBytes = 64 << 10;

}  // namespace

std::string Machine::Digest() const {
  return absl::StrFormat("%016x", MixHash(store_.Digest()) ^ HashBytes(members_.Encode()));
}

void Machine::Install(Machine fresh) {
  store_.Install(std::move(fresh.store_));
  members_ = std::move(fresh.members_);
}

void Machine::Discard(MachineSnapshotReader reader) { store_.Discard(reader.Abandon()); }

MachineSnapshotWriter::MachineSnapshotWriter(const Machine& machine)
    : store_(machine.store().View()) {
  const std::string members = machine.members().Encode();
  head_ = std::string(kMagic);
  for (int shift = 0; shift < 32; shift += 8)
    head_.push_back(static_cast<char>(members.size() >> shift));
  head_ += members;
}

std::string MachineSnapshotWriter::Next(size_t max_bytes) {
  std::string bytes;
  if (!head_.empty()) {
    bytes = head_.substr(0, max_bytes);
    head_.erase(0, bytes.size());
  }
  if (bytes.size() < max_bytes) store_.Next(max_bytes - bytes.size(), &bytes);
  return bytes;
}

MachineSnapshotReader::MachineSnapshotReader(const kv::StoreOptions& options) : store_(options) {}

absl::Status MachineSnapshotReader::Feed(absl::string_view bytes) {
  const auto take = [&](size_t until) {
    const size_t taken = std::min(bytes.size(), until - std::min(until, head_.size()));
    head_ += std::string(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    return head_.size() >= until;
  };
  if (!members_) {
    if (!take(kHeadBytes)) return absl::OkStatus();
    if (head_.compare(0, kMagic.size(), kMagic.data(), kMagic.size()) != 0) {
      return absl::InvalidArgumentError("state: these bytes are not a snapshot of this format");
    }
    size_t size = 0;
    for (size_t i = 0; i < 4; ++i)
      size |= size_t{static_cast<uint8_t>(head_[kMagic.size() + i])} << (8 * i);
    if (size > kMaxMembersBytes)
      return absl::InvalidArgumentError("state: the table of members is too large");
    if (!take(kHeadBytes + size)) return absl::OkStatus();
    members_ = Members::Decode(absl::string_view(head_).substr(kHeadBytes));
    if (!members_) return absl::InvalidArgumentError("state: the table of members does not decode");
  }
  return bytes.empty() ? absl::OkStatus() : store_.Add(bytes);
}

absl::StatusOr<Machine> MachineSnapshotReader::Finish() {
  absl::StatusOr<kv::Store> store = store_.Finish();
  if (!store.ok()) return store.status();
  return Machine(*std::move(store), *std::move(members_));
}

}  // namespace raftkv::replica
