#include "core/raft/membership.h"

#include <cstring>

#include "core/raft/check.h"

namespace raftkv::raft {
namespace {

constexpr uint8_t kFormatVersion = 1;

void PutU32(std::string& out, uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(value >> shift));
}

void PutU64(std::string& out, uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) out.push_back(static_cast<char>(value >> shift));
}

// Takes `bytes` little-endian bytes off the front; nullopt when there are fewer.
std::optional<uint64_t> Take(absl::string_view& in, size_t bytes) {
  if (in.size() < bytes) return std::nullopt;
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value |= uint64_t{static_cast<uint8_t>(in[i])} << (8 * i);
  in.remove_prefix(bytes);
  return value;
}

}  // namespace

std::string EncodeMembershipChange(const MembershipChange& change) {
  std::string out;
  if (change == MembershipChange()) return out;
  RAFTKV_CHECK(change.changes.size() <= kMaxMemberChanges);
  RAFTKV_CHECK(change.context.size() <= kMaxMembershipContext);
  out.push_back(static_cast<char>(kFormatVersion));
  out.push_back(static_cast<char>(change.transition));
  out.push_back(static_cast<char>(change.changes.size()));
  for (const MemberChange& member : change.changes) {
    out.push_back(static_cast<char>(member.kind));
    PutU64(out, member.node);
  }
  PutU32(out, static_cast<uint32_t>(change.context.size()));
  out += change.context;
  return out;
}

std::optional<MembershipChange> DecodeMembershipChange(absl::string_view bytes) {
  MembershipChange change;
  if (bytes.empty()) return change;
  const std::optional<uint64_t> version = Take(bytes, 1);
  const std::optional<uint64_t> transition = Take(bytes, 1);
  const std::optional<uint64_t> count = Take(bytes, 1);
  if (version != kFormatVersion || !transition || !count) return std::nullopt;
  if (*transition > static_cast<uint64_t>(MembershipChange::Transition::kJointExplicit))
    return std::nullopt;
  if (*count > kMaxMemberChanges) return std::nullopt;
  change.transition = static_cast<MembershipChange::Transition>(*transition);
  for (uint64_t i = 0; i < *count; ++i) {
    const std::optional<uint64_t> kind = Take(bytes, 1);
    const std::optional<uint64_t> node = Take(bytes, 8);
    if (!kind || !node || *kind > static_cast<uint64_t>(MemberChange::Kind::kAddLearner))
      return std::nullopt;
    change.changes.push_back(MemberChange{static_cast<MemberChange::Kind>(*kind), *node});
  }
  const std::optional<uint64_t> context = Take(bytes, 4);
  if (!context || *context > kMaxMembershipContext || *context != bytes.size()) return std::nullopt;
  change.context = std::string(bytes);
  if (change == MembershipChange()) return std::nullopt;  // has a shorter encoding
  return change;
}

}  // namespace raftkv::raft
