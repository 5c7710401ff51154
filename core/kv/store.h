// The replicated state machine: an ordered map of keys, the session table, the log's time and the
// cluster's feature level.
//
// Apply is a function of the store's content and the command, nothing else: replicas that apply the
// same commands at the same indices hold equal content, answer equally, and report equal digests
// and byte counts. It is total: whatever a log entry decodes to has an outcome. A key's version is
// the log index of the command that last wrote it.
//
// One thread owns a store, its views and the values in the results it returns (reference counts are
// not atomic).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "core/kv/command.h"
#include "core/kv/limits.h"
#include "core/kv/result.h"
#include "core/kv/sessions.h"
#include "core/kv/tree.h"
#include "core/raft/types.h"

namespace raftkv::kv {

// Part of the replicated state: equal on every replica of a cluster. They are in the digest and in
// snapshots, so that a replica started with others is found out.
struct StoreOptions {
  SessionOptions sessions;

  friend bool operator==(const StoreOptions&, const StoreOptions&) = default;
};

// InvalidArgument naming the option that is out of range.
absl::Status Validate(const StoreOptions& options);

// The feature level of a cluster that was never raised: everything in command.h.
inline constexpr uint32_t kFirstFeatureLevel = 1;

// The whole content at one log index. Taking one costs the same at any size; later writes do not
// touch it. It may outlive its store.
struct StoreView {
  StoreOptions options;
  TreeView data;
  TreeView sessions;  // layout: sessions.h
  uint64_t log_time_ms = 0;
  uint32_t feature_level = kFirstFeatureLevel;

  // 64 bits over everything above, kept up to date by each write: reading it is O(1). Content
  // decides, not history: two stores have the same digest if they hold the same keys, values,
  // versions, sessions, log time, level and options, and practically only then.
  uint64_t Digest() const;
};

class Store {
 public:
  explicit Store(const StoreOptions& options);  // checks Validate(options)
  Store(Store&&) noexcept = default;

  // Executes the command of the log entry at `index`; indices must ascend. The command's bytes are
  // not needed afterwards.
  Result Apply(raft::Index index, const Command& command);

  // Answers a read-only command from the current content; the caller has made sure that this is
  // recent enough. Session, sequence and time are ignored. A command that writes is kMalformed.
  Result Read(const Command& command) const;

  // False once the log has raised the cluster above kSupportedFeatureLevel: this binary must not
  // apply anything more.
  bool Supported() const { return feature_level_ <= kSupportedFeatureLevel; }

  StoreView View() const;
  uint64_t Digest() const;  // of View()
  // The keys, as they are until the next Apply: for those who look and keep nothing.
  const TreeView& data() const { return data_.view(); }

  size_t size() const { return data_.view().size(); }  // keys
  size_t session_count() const { return sessions_.size(); }
  uint64_t log_time_ms() const { return log_time_ms_; }
  uint32_t feature_level() const { return feature_level_; }
  const StoreOptions& options() const { return options_; }

  // Content of keys and sessions as tree.h counts it: equal on all replicas, near what the
  // allocator holds, without what views keep alive. The limit on the store's memory is checked
  // against this at admission, never at apply.
  uint64_t memory_bytes() const { return data_.view().bytes() + sessions_.view().bytes(); }

  // Takes over the content of `fresh` (a snapshot that was read); what this store held is left to
  // ReleaseSome.
  void Install(Store fresh);

  // The content of a store that is not needed is left to ReleaseSome, too.
  void Discard(Store other);

  // Frees old versions nobody looks at any more: about `budget` entries and nodes. Returns how
  // many; 0 when nothing is left.
  size_t ReleaseSome(size_t budget);

  // For tests and metrics, dead versions included.
  size_t live_entries() const { return data_.live_entries(); }
  size_t live_nodes() const { return data_.live_nodes(); }

 private:
  friend class SnapshotReader;

  Result ApplyInSession(raft::Index index, const Command& command);
  Result Execute(raft::Index index, const Command& command);
  OpResult Write(raft::Index index, const Op& op);
  OpResult Append(raft::Index index, const Op& op, const std::optional<TreeEntry>& old);
  OpResult IncrBy(raft::Index index, const Op& op, const std::optional<TreeEntry>& old);
  OpResult RaiseFeatureLevel(const Op& op);

  StoreOptions options_;
  Tree data_;
  Sessions sessions_;
  uint64_t log_time_ms_ = 0;
  uint32_t feature_level_ = kFirstFeatureLevel;
};

}  // namespace raftkv::kv
