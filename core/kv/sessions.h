// Exactly-once: which commands of which session have run, and what they answered (Raft paper,
// section 8; thesis, section 6.3).
//
// A session is opened by a command in the log and named by that command's index, so a name is never
// used twice and an old session can never be mistaken for a new one. Within a session every command
// has a sequence; the table remembers the result of each sequence it has executed that is above the
// session's *floor*, and never executes one at or below it. The floor is the larger of what the
// client has acknowledged and the highest sequence seen less `results_kept`. So for any sequence
// the table knows exactly one of: not executed (execute it now), executed (here is its result), or
// stale (nobody knows any more: refuse). Sequences may arrive in any order above the floor; a
// client never sees "stale" that begins a command only when all those are answered whose sequence
// is `results_kept` or more below its own.
//
// The table is bounded: opening one session too many evicts the one whose last command is oldest in
// the log. With an idle limit, a session ends that much log time after its last command. Both
// depend on the log alone. A session that has ended answers "unknown", for ever.
//
// Sessions are kept in a Tree of their own (snapshots and digest come from there):
//   session id, 8 bytes big-endian
//       -> last use in log time, highest sequence, floor: 3 x 8 bytes little-endian;
//          version: index of its last command
//   session id, then sequence, 8 bytes big-endian each
//       -> the encoded Result; version: the index where it ran
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/strings/string_view.h"
#include "core/kv/result.h"
#include "core/kv/tree.h"
#include "core/raft/types.h"

namespace raftkv::kv {

// Part of the replicated state: every replica of a cluster must be constructed with the same
// values.
struct SessionOptions {
  uint32_t max_sessions = 10'000;        // 1 ..
  uint32_t results_kept = 64;            // per session, 1 .. 4096
  uint32_t kept_result_bytes = 4 << 10;  // a larger result is remembered as "ran, reply not kept"
  uint64_t idle_ms = 0;                  // of log time; 0: sessions do not expire

  friend bool operator==(const SessionOptions&, const SessionOptions&) = default;
};

class Sessions {
 public:
  explicit Sessions(const SessionOptions& options) : options_(options) {}

  // Ends some sessions that have been idle for too long; a bounded number, so that a jump of log
  // time does not stall one command. Those left over already count as ended.
  void ExpireIdle(uint64_t now_ms);

  // Opens the session named `index`, evicting the least recently used one if the table is full.
  void Open(raft::Index index, uint64_t now_ms);

  // False if there is no such session.
  bool Close(uint64_t id, uint64_t now_ms);

  enum class Verdict : uint8_t { kExecute, kRetry, kStale, kUnknown };

  // Decides about the command at `index`. On kExecute the caller runs it and hands the result to
  // Remember, in the same step. On kRetry
  // `*kept` is the first result.
  Verdict Admit(raft::Index index, uint64_t id, uint64_t sequence, uint64_t acknowledged,
                uint64_t now_ms, Result* kept);
  void Remember(uint64_t id, uint64_t sequence, const Result& result);

  size_t size() const { return by_last_use_.size(); }
  const TreeView& view() const { return tree_.view(); }
  const SessionOptions& options() const { return options_; }

  // Takes one entry of another table's view, in ascending order of keys. False if no table with
  // these options could hold it there.
  bool Restore(absl::string_view key, absl::string_view value, Version version);

  void Replace(Sessions fresh);
  void Discard(Sessions other) { tree_.Discard(std::move(other.tree_)); }
  size_t ReleaseSome(size_t budget) { return tree_.ReleaseSome(budget); }

 private:
  struct Session {
    uint64_t last_use_ms = 0;
    uint64_t highest = 0;  // largest sequence admitted
    uint64_t floor = 0;    // sequences up to this are never executed again
    raft::Index last_use = 0;
  };
  struct LastUse {
    uint64_t id;
    uint64_t time_ms;
  };

  std::optional<Session> Find(uint64_t id, uint64_t now_ms) const;
  void Store(uint64_t id, const Session& session);
  bool Idle(uint64_t last_use_ms, uint64_t now_ms) const;
  void Forget(uint64_t id, uint64_t up_to);
  void Remove(uint64_t id, raft::Index last_use);

  SessionOptions options_;
  Tree tree_;
  // Derived from the tree: sessions by the index of their last command. Indices are unique because
  // a command is of one session.
  absl::btree_map<raft::Index, LastUse> by_last_use_;
  uint64_t restoring_id_ = 0;  // the session whose results Restore expects next
};

}  // namespace raftkv::kv
