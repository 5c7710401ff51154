#include "core/kv/snapshot.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/kv/limits.h"
#include "core/kv/varint.h"
#include "core/raft/check.h"

namespace raftkv::kv {
namespace {

constexpr absl::string_view kMagic = "RKVSTATE";
constexpr uint32_t kFormat = 1;
constexpr size_t kHeaderBytes = 8 + 4 + 4 + 8 * 8;
constexpr size_t kEndBytes = 1 + 8;

constexpr uint8_t kEntryTag = 0x01;
constexpr uint8_t kSessionTag = 0x02;
constexpr uint8_t kEndTag = 0x7f;

void PutFixed(uint64_t value, size_t bytes, std::string* out) {
  for (size_t i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

uint64_t TakeFixed(size_t bytes, absl::string_view* in) {
  uint64_t value = 0;
  for (size_t i = bytes; i > 0; --i) value = value << 8 | static_cast<uint8_t>((*in)[i - 1]);
  in->remove_prefix(bytes);
  return value;
}

std::string Header(const StoreView& view) {
  const SessionOptions& sessions = view.options.sessions;
  std::string header(kMagic);
  PutFixed(kFormat, 4, &header);
  PutFixed(0, 4, &header);
  for (const uint64_t value :
       {view.log_time_ms, uint64_t{view.feature_level}, uint64_t{sessions.max_sessions},
        uint64_t{sessions.results_kept}, uint64_t{sessions.kept_result_bytes}, sessions.idle_ms,
        uint64_t{view.data.size()}, uint64_t{view.sessions.size()}}) {
    PutFixed(value, 8, &header);
  }
  return header;
}

}  // namespace

// ---- SnapshotWriter ----

SnapshotWriter::SnapshotWriter(StoreView view)
    : view_(std::move(view)), cursor_(view_.data.Seek("")), head_(Header(view_)) {}

void SnapshotWriter::StageEntry(uint8_t tag) {
  const TreeEntry entry = cursor_.entry();
  head_.push_back(static_cast<char>(tag));
  PutBytes(entry.key, &head_);
  PutVarint(entry.version, &head_);
  PutVarint(entry.value->size(), &head_);
  value_ = entry.value->view();
  cursor_.Next();
}

// Stages the next item once the last one is out.
void SnapshotWriter::Advance() {
  head_.clear();
  head_used_ = 0;
  if (stage_ == Stage::kEntries) {
    if (cursor_.valid()) return StageEntry(kEntryTag);
    stage_ = Stage::kSessions;
    cursor_ = view_.sessions.Seek("");
  }
  if (stage_ == Stage::kSessions) {
    if (cursor_.valid()) return StageEntry(kSessionTag);
    stage_ = Stage::kEnd;
  }
  if (stage_ == Stage::kEnd) {
    head_.push_back(static_cast<char>(kEndTag));
    PutFixed(view_.Digest(), 8, &head_);
    stage_ = Stage::kDone;
  }
}

size_t SnapshotWriter::Next(size_t max_bytes, std::string* out) {
  size_t room = max_bytes;
  while (room > 0 && !done()) {
    if (pending() == 0) Advance();
    const size_t from_head = std::min(room, head_.size() - head_used_);
    out->append(head_, head_used_, from_head);
    head_used_ += from_head;
    room -= from_head;
    const size_t from_value = std::min(room, value_.size());
    out->append(value_.data(), from_value);
    value_.remove_prefix(from_value);
    room -= from_value;
  }
  bytes_written_ += max_bytes - room;
  return max_bytes - room;
}

// ---- SnapshotReader ----

SnapshotReader::SnapshotReader(const StoreOptions& expected) : store_(expected) {}

absl::Status SnapshotReader::Wrong(absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat("snapshot: at byte ", consumed_, ": ", what));
}

absl::Status SnapshotReader::Add(absl::string_view bytes) {
  if (!status_.ok()) return status_;
  // Whole items are parsed where they are; only the rest of a piece is kept until the next one
  // comes.
  const bool continues = !partial_.empty();
  if (continues) partial_.append(bytes.data(), bytes.size());
  absl::string_view rest = continues ? absl::string_view(partial_) : bytes;
  status_ = Parse(&rest);
  if (!status_.ok()) return status_;
  if (continues) {
    partial_.erase(0, partial_.size() - rest.size());
  } else {
    partial_.assign(rest.data(), rest.size());
  }
  return status_;
}

// Consumes all whole items at the front of `*bytes`.
absl::Status SnapshotReader::Parse(absl::string_view* bytes) {
  while (!bytes->empty()) {
    absl::string_view rest = *bytes;
    absl::Status status;
    switch (stage_) {
      case Stage::kHeader:
        if (rest.size() < kHeaderBytes) return absl::OkStatus();
        status = ParseHeader(rest.substr(0, kHeaderBytes));
        rest.remove_prefix(kHeaderBytes);
        break;
      case Stage::kEntries: {
        ByteReader in(rest);
        status = ParseEntry(in);
        if (in.truncated()) return absl::OkStatus();
        rest = in.rest();
        break;
      }
      case Stage::kEnd:
        if (rest.size() < kEndBytes) return absl::OkStatus();
        status = ParseEnd(rest.substr(0, kEndBytes));
        rest.remove_prefix(kEndBytes);
        break;
      case Stage::kDone:
        return Wrong("bytes after the end");
    }
    if (!status.ok()) return status;
    if (stage_ == Stage::kEntries && entries_left_ == 0 && session_entries_left_ == 0)
      stage_ = Stage::kEnd;
    consumed_ += bytes->size() - rest.size();
    *bytes = rest;
  }
  return absl::OkStatus();
}

absl::Status SnapshotReader::ParseHeader(absl::string_view header) {
  if (header.substr(0, kMagic.size()) != kMagic) return Wrong("not a snapshot (bad magic)");
  header.remove_prefix(kMagic.size());
  const uint64_t format = TakeFixed(4, &header);
  if (format != kFormat)
    return Wrong(absl::StrCat("format ", format, ", this program reads format ", kFormat));
  const uint64_t features = TakeFixed(4, &header);
  if (features != 0) return Wrong(absl::StrCat("unknown feature bits ", features));
  store_.log_time_ms_ = TakeFixed(8, &header);
  const uint64_t level = TakeFixed(8, &header);
  if (level > kSupportedFeatureLevel) {
    return absl::FailedPreconditionError(absl::StrCat("snapshot: the cluster is at feature level ",
                                                      level, ", this program knows levels up to ",
                                                      kSupportedFeatureLevel));
  }
  store_.feature_level_ = static_cast<uint32_t>(level);
  const SessionOptions& own = store_.options_.sessions;
  const std::pair<absl::string_view, uint64_t> expected[] = {
      {"max_sessions", own.max_sessions},
      {"results_kept", own.results_kept},
      {"kept_result_bytes", own.kept_result_bytes},
      {"idle_ms", own.idle_ms}};
  for (const auto& [name, value] : expected) {
    const uint64_t found = TakeFixed(8, &header);
    if (found != value) {
      return absl::FailedPreconditionError(
          absl::StrCat("snapshot: made with ", name, " = ", found, ", this replica has ", value));
    }
  }
  entries_left_ = TakeFixed(8, &header);
  session_entries_left_ = TakeFixed(8, &header);
  stage_ = Stage::kEntries;
  return absl::OkStatus();
}

absl::Status SnapshotReader::ParseEntry(ByteReader& in) {
  const bool is_session = entries_left_ == 0;
  uint8_t tag = 0;
  absl::string_view key;
  uint64_t version = 0;
  absl::string_view value;
  if (!in.ReadByte(&tag)) return absl::OkStatus();
  if (tag != (is_session ? kSessionTag : kEntryTag))
    return Wrong(absl::StrCat("unexpected tag ", tag));
  in.ReadBytes(kMaxKeyBytes, &key);
  in.ReadVarint(&version);
  in.ReadBytes(is_session ? store_.options_.sessions.kept_result_bytes : kMaxValueBytes, &value);
  if (in.truncated()) return absl::OkStatus();
  if (!in.ok()) return Wrong("a key, version or value is not well formed or too large");
  if (has_last_key_ && key <= last_key_) return Wrong("keys do not ascend");
  if (version == 0) return Wrong("version 0");
  if (version > raft::kMaxTermOrIndex) return Wrong("a version that no log gets to");
  last_key_.assign(key.data(), key.size());
  has_last_key_ = true;
  if (is_session) {
    if (!store_.sessions_.Restore(key, value, version)) return Wrong("not a valid session entry");
    --session_entries_left_;
  } else {
    store_.data_.Set(key, raft::Payload::Copy(value), version);
    if (--entries_left_ == 0) has_last_key_ = false;  // the sessions' keys start anew
  }
  return absl::OkStatus();
}

absl::Status SnapshotReader::ParseEnd(absl::string_view end) {
  if (static_cast<uint8_t>(end.front()) != kEndTag)
    return Wrong("no end where the counts say it is");
  end.remove_prefix(1);
  const uint64_t digest = TakeFixed(8, &end);
  if (digest != store_.Digest()) {
    return absl::DataLossError(
        absl::StrCat("snapshot: its digest is ", absl::Hex(digest, absl::kZeroPad16),
                     ", its content has ", absl::Hex(store_.Digest(), absl::kZeroPad16)));
  }
  stage_ = Stage::kDone;
  return absl::OkStatus();
}

absl::StatusOr<Store> SnapshotReader::Finish() {
  if (!status_.ok()) return status_;
  if (stage_ != Stage::kDone) {
    return absl::InvalidArgumentError(
        absl::StrCat("snapshot: ends early, after ", consumed_ + partial_.size(), " bytes"));
  }
  return std::move(store_);
}

}  // namespace raftkv::kv
