// A store as bytes, and back.
//
// Equal stores give equal bytes, whatever their histories: entries are in key order and every
// number has one encoding. Nothing depends on when or in what slices the bytes are made.
//
// Format 1, of which docs/formats/store.md has a page with every byte of an example. Fixed-width
// numbers are little-endian; "varint" and "bytes" (length as varint, then the bytes) are those of
// varint.h.
//
//   snapshot := header entry*(entry count) session*(session entry count) end
//   header   := "RKVSTATE" format:u32 (1) feature bits:u32 (0; others are refused)
//               log time in ms:u64 cluster feature level:u64
//               max sessions:u64 results kept:u64 kept result bytes:u64 session idle ms:u64
//               entry count:u64 session entry count:u64
//   entry    := 0x01 key:bytes version:varint value:bytes
//   session  := 0x02 key:bytes version:varint value:bytes
//   end      := 0x7f StoreView::Digest:u64
//
// Keys ascend strictly, those of entries and those of sessions (sessions.h has the layout of their
// keys and values); versions are 1 to raft::kMaxTermOrIndex.
//
// The digest at the end is computed anew by the reader from what it has read: it finds damage and
// disagreement alike. Which log index and configuration the state belongs to, and checksums per
// chunk, are the business of whoever stores the bytes.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/kv/store.h"
#include "core/kv/varint.h"

namespace raftkv::kv {

// Writes the view a slice at a time, so that a large store never holds up the thread that owns it.
// The store may change meanwhile.
class SnapshotWriter {
 public:
  explicit SnapshotWriter(StoreView view);

  // Appends the next bytes to `*out`: exactly `max_bytes` of them except at the end. Work is
  // bounded by max_bytes. Returns how many; 0 for max_bytes > 0 only when done().
  size_t Next(size_t max_bytes, std::string* out);
  bool done() const { return stage_ == Stage::kDone && pending() == 0; }

  uint64_t bytes_written() const { return bytes_written_; }

 private:
  enum class Stage : uint8_t { kEntries, kSessions, kEnd, kDone };

  size_t pending() const { return head_.size() - head_used_ + value_.size(); }
  void Advance();
  void StageEntry(uint8_t tag);

  StoreView view_;
  TreeCursor cursor_;
  Stage stage_ = Stage::kEntries;
  // What is being written: everything of an entry but its value, then the value, which stays in the
  // view.
  std::string head_;
  size_t head_used_ = 0;
  absl::string_view value_;
  uint64_t bytes_written_ = 0;
};

// Builds a store from a snapshot that arrives in pieces of any size. Total: hostile bytes give an
// error, never more memory than a small multiple of what was fed. The first error is final.
class SnapshotReader {
 public:
  // `expected` are this replica's own options: a snapshot of a cluster with others is
  // FailedPrecondition.
  explicit SnapshotReader(const StoreOptions& expected);

  // InvalidArgument for bytes that are no snapshot of this format, DataLoss for a digest that does
  // not match, FailedPrecondition for options or feature levels this replica cannot take over.
  // Messages say at which byte.
  absl::Status Add(absl::string_view bytes);

  // The store, if the snapshot was complete. Call once.
  absl::StatusOr<Store> Finish();
  // What has been built so far, only to be discarded. Instead of Finish.
  Store Abandon() { return std::move(store_); }

 private:
  enum class Stage : uint8_t { kHeader, kEntries, kEnd, kDone };

  absl::Status Parse(absl::string_view* bytes);
  absl::Status ParseHeader(absl::string_view header);
  absl::Status ParseEntry(ByteReader& in);
  absl::Status ParseEnd(absl::string_view end);
  absl::Status Wrong(absl::string_view what) const;

  Store store_;
  Stage stage_ = Stage::kHeader;
  uint64_t entries_left_ = 0;
  uint64_t session_entries_left_ = 0;
  std::string last_key_;
  bool has_last_key_ = false;
  std::string partial_;    // received, but not yet a whole item
  uint64_t consumed_ = 0;  // bytes before `partial_`
  absl::Status status_;
};

}  // namespace raftkv::kv
