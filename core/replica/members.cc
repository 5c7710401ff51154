#include "core/replica/members.h"

#include "core/raft/configuration.h"

namespace raftkv::replica {
namespace {

constexpr uint8_t kFormatVersion = 1;

void Put(std::string& out, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

bool Take(absl::string_view& in, size_t bytes, uint64_t& value) {
  if (in.size() < bytes) return false;
  value = 0;
  for (size_t i = 0; i < bytes; ++i) value |= uint64_t{static_cast<uint8_t>(in[i])} << (8 * i);
  in.remove_prefix(bytes);
  return true;
}

bool TakeAddress(absl::string_view& in, std::string& address) {
  uint64_t size = 0;
  if (!Take(in, 1, size) || in.size() < size) return false;
  address = std::string(in.substr(0, size));
  in.remove_prefix(size);
  return true;
}

}  // namespace

const Member* Members::Find(raft::NodeId id) const {
  const auto it = members_.find(id);
  return it == members_.end() ? nullptr : &it->second;
}

void Members::Retain(const raft::ConfState& conf) {
  std::erase_if(members_, [&](const auto& member) { return !raft::IsMember(conf, member.first); });
}

std::string Members::Encode() const {
  std::string out;
  Put(out, kFormatVersion, 1);
  Put(out, members_.size(), 2);
  for (const auto& [id, member] : members_) {
    Put(out, id, 8);
    Put(out, member.incarnation, 8);
    for (const std::string* address : {&member.peer_address, &member.client_address}) {
      Put(out, address->size(), 1);
      out += *address;
    }
  }
  return out;
}

std::optional<Members> Members::Decode(absl::string_view bytes) {
  uint64_t version = 0;
  uint64_t count = 0;
  if (!Take(bytes, 1, version) || version != kFormatVersion || !Take(bytes, 2, count))
    return std::nullopt;
  Members members;
  raft::NodeId previous = raft::kNoNode;
  for (uint64_t i = 0; i < count; ++i) {
    raft::NodeId id = raft::kNoNode;
    Member member;
    if (!Take(bytes, 8, id) || id <= previous) return std::nullopt;
    if (!Take(bytes, 8, member.incarnation) || member.incarnation == 0) return std::nullopt;
    if (!TakeAddress(bytes, member.peer_address) || !TakeAddress(bytes, member.client_address))
      return std::nullopt;
    members.Set(id, std::move(member));
    previous = id;
  }
  if (!bytes.empty()) return std::nullopt;
  return members;
}

}  // namespace raftkv::replica
