#include "core/kv/sessions.h"

#include <algorithm>
#include <array>
#include <string>

#include "core/raft/check.h"

namespace raftkv::kv {
namespace {

constexpr int kExpiredPerCommand = 4;
constexpr size_t kIdBytes = 8;
constexpr size_t kSessionBytes = 24;

// The tree's key of a session (without a sequence) or of one of its results.
class TreeKey {
 public:
  explicit TreeKey(uint64_t id) : size_(kIdBytes) { Put(0, id); }
  TreeKey(uint64_t id, uint64_t sequence) : size_(2 * kIdBytes) {
    Put(0, id);
    Put(kIdBytes, sequence);
  }
  absl::string_view view() const { return {bytes_.data(), size_}; }

 private:
  void Put(size_t at, uint64_t value) {
    for (size_t i = 0; i < 8; ++i) bytes_[at + i] = static_cast<char>(value >> (56 - 8 * i));
  }

  std::array<char, 2 * kIdBytes> bytes_;
  size_t size_;
};

uint64_t BigEndian(absl::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

void PutLittleEndian(uint64_t value, char* out) {
  for (size_t i = 0; i < 8; ++i) out[i] = static_cast<char>(value >> (8 * i));
}

uint64_t LittleEndian(absl::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = 8; i > 0; --i) value = value << 8 | static_cast<uint8_t>(bytes[i - 1]);
  return value;
}

}  // namespace

bool Sessions::Idle(uint64_t last_use_ms, uint64_t now_ms) const {
  return options_.idle_ms > 0 && now_ms > last_use_ms && now_ms - last_use_ms >= options_.idle_ms;
}

std::optional<Sessions::Session> Sessions::Find(uint64_t id, uint64_t now_ms) const {
  const auto entry = tree_.view().Find(TreeKey(id).view());
  if (!entry) return std::nullopt;
  const absl::string_view bytes = entry->value->view();
  const Session session{LittleEndian(bytes), LittleEndian(bytes.substr(8)),
                        LittleEndian(bytes.substr(16)), entry->version};
  if (Idle(session.last_use_ms, now_ms)) return std::nullopt;
  return session;
}

void Sessions::Store(uint64_t id, const Session& session) {
  std::array<char, kSessionBytes> bytes;
  PutLittleEndian(session.last_use_ms, bytes.data());
  PutLittleEndian(session.highest, bytes.data() + 8);
  PutLittleEndian(session.floor, bytes.data() + 16);
  tree_.Set(TreeKey(id).view(), raft::Payload::Copy({bytes.data(), bytes.size()}),
            session.last_use);
}

// Drops the results of sequences up to and including `up_to`.
void Sessions::Forget(uint64_t id, uint64_t up_to) {
  const TreeKey first(id, 0);
  for (;;) {
    const TreeCursor cursor = tree_.view().Seek(first.view());
    if (!cursor.valid()) return;
    const absl::string_view key = cursor.entry().key;
    if (key.size() != 2 * kIdBytes || BigEndian(key) != id) return;
    const uint64_t sequence = BigEndian(key.substr(kIdBytes));
    if (sequence > up_to) return;
    tree_.Erase(TreeKey(id, sequence).view());
    if (sequence == up_to) return;
  }
}

void Sessions::Remove(uint64_t id, raft::Index last_use) {
  Forget(id, UINT64_MAX);
  tree_.Erase(TreeKey(id).view());
  by_last_use_.erase(last_use);
}

void Sessions::ExpireIdle(uint64_t now_ms) {
  for (int i = 0; i < kExpiredPerCommand && !by_last_use_.empty(); ++i) {
    const auto& [last_use, session] = *by_last_use_.begin();
    if (!Idle(session.time_ms, now_ms)) return;
    Remove(session.id, last_use);
  }
}

void Sessions::Open(raft::Index index, uint64_t now_ms) {
  if (by_last_use_.size() >= options_.max_sessions) {
    const auto [last_use, oldest] = *by_last_use_.begin();
    Remove(oldest.id, last_use);
  }
  Store(index, {now_ms, 0, 0, index});
  by_last_use_.insert({index, {index, now_ms}});
}

bool Sessions::Close(uint64_t id, uint64_t now_ms) {
  const auto session = Find(id, now_ms);
  if (!session) return false;
  Remove(id, session->last_use);
  return true;
}

Sessions::Verdict Sessions::Admit(raft::Index index, uint64_t id, uint64_t sequence,
                                  uint64_t acknowledged, uint64_t now_ms, Result* kept) {
  auto session = Find(id, now_ms);
  if (!session) return Verdict::kUnknown;

  by_last_use_.erase(session->last_use);
  by_last_use_.insert({index, {id, now_ms}});
  session->last_use = index;
  session->last_use_ms = now_ms;
  const uint64_t old_floor = session->floor;
  // A client cannot have the answer to what it is asking: a larger number is not believed.
  session->floor = std::max(session->floor, std::min(acknowledged, sequence - 1));

  Verdict verdict = Verdict::kExecute;
  if (sequence <= session->floor) {
    verdict = Verdict::kStale;
  } else if (const auto entry = tree_.view().Find(TreeKey(id, sequence).view())) {
    auto result = DecodeResult(entry->value->view());
    RAFTKV_CHECK(result.has_value());  // we encoded it, or Restore has checked it
    *kept = *std::move(result);
    verdict = Verdict::kRetry;
  } else if (sequence > session->highest) {
    session->highest = sequence;
    if (sequence > options_.results_kept) {
      session->floor = std::max(session->floor, sequence - options_.results_kept);
    }
  }
  if (session->floor > old_floor) Forget(id, session->floor);
  Store(id, *session);
  return verdict;
}

void Sessions::Remember(uint64_t id, uint64_t sequence, const Result& result) {
  std::string bytes = EncodeResult(result);
  if (bytes.size() > options_.kept_result_bytes) {
    Result summary;
    summary.outcome = Outcome::kReplyNotKept;
    summary.index = result.index;
    bytes = EncodeResult(summary);
  }
  tree_.Set(TreeKey(id, sequence).view(), raft::Payload::Copy(bytes), result.index);
}

bool Sessions::Restore(absl::string_view key, absl::string_view value, Version version) {
  if (key.size() == kIdBytes) {
    const uint64_t id = BigEndian(key);
    if (value.size() != kSessionBytes || id == 0 || version < id) return false;
    const uint64_t last_use_ms = LittleEndian(value);
    const uint64_t highest = LittleEndian(value.substr(8));
    const uint64_t floor = LittleEndian(value.substr(16));
    if (floor > highest || highest - floor > options_.results_kept) return false;
    if (by_last_use_.size() >= options_.max_sessions) return false;
    if (!by_last_use_.insert({version, {id, last_use_ms}}).second) return false;
    restoring_id_ = id;
  } else if (key.size() == 2 * kIdBytes) {
    const uint64_t id = BigEndian(key);
    const uint64_t sequence = BigEndian(key.substr(kIdBytes));
    if (id == 0 || id != restoring_id_) return false;
    const auto session = Find(id, 0);
    if (!session || sequence <= session->floor || sequence > session->highest) return false;
    const auto result = DecodeResult(value);
    if (!result || result->index != version || version > session->last_use) return false;
  } else {
    return false;
  }
  tree_.Set(key, raft::Payload::Copy(value), version);
  return true;
}

void Sessions::Replace(Sessions fresh) {
  options_ = fresh.options_;
  tree_.Replace(std::move(fresh.tree_));
  by_last_use_ = std::move(fresh.by_last_use_);
  restoring_id_ = 0;
}

}  // namespace raftkv::kv
