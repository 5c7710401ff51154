// What a follower does with its leader's messages: AppendEntries (paper, section 5.3), heartbeats,
// snapshots (paper, section 7).
#include <algorithm>

#include "core/raft/check.h"
#include "core/raft/raft.h"

namespace raftkv::raft {

Outcome Raft::On(const Message& message, AppendRequest& request) {
  if (!HearFromLeader(message)) return Outcome::kMalformed;
  // What the disk has no space for must not fill the memory instead.
  if (log_refused_) return Outcome::kIgnored;
  return AcceptAppend(message.from, request);
}

Outcome Raft::AcceptAppend(NodeId leader, AppendRequest& request) {
  if (request.prev_term > hard_.term ||
      !MayFollow(request.prev_index, request.prev_term, request.entries)) {
    return Outcome::kMalformed;
  }

  if (request.prev_index < commit_) {
    // Old news: what is committed here matches any leader's log, so say how far that goes.
    AnswerAppend(leader, {.index = commit_});
    return Outcome::kIgnored;
  }
  if (!log_.Has(request.prev_index, request.prev_term)) {
    // The hint skips every entry of ours that cannot match: those of terms above prev_term.
    const Index hint =
        log_.terms().LastAtMost(std::min(request.prev_index, log_.last()), request.prev_term);
    AnswerAppend(leader, {.index = request.prev_index,
                          .rejected = true,
                          .hint_index = hint,
                          .hint_term = log_.TermAt(hint).value_or(0),
                          .lost = suspicion_.has_value()});
    return Outcome::kOk;
  }
  // Keep every entry we have already: a late, shorter append must not cut what a newer one brought.
  // Only a conflict cuts.
  const Index last_new = request.prev_index + request.entries.size();
  for (Entry& entry : request.entries) {
    if (log_.Has(entry.index, entry.term)) continue;
    if (entry.index <= commit_) return Outcome::kMalformed;  // would rewrite what is committed
    if (entry.index <= log_.last()) TruncateLog(entry.index - 1);
    log_.Append(std::move(entry));
  }
  matched_ = std::max(matched_, last_new);
  // Not log_.last(): a tail that this leader has not spoken about may conflict with its log.
  commit_ = std::max(commit_, std::min(request.commit, last_new));
  AnswerAppend(leader, {.index = last_new});
  return Outcome::kOk;
}

// While a disk hangs no answer leaves, and a leader that hears none asks again and again.
void Raft::AnswerAppend(NodeId leader, const AppendResponse& answer) {
  if (options_.merge_messages && !send_after_persist_.empty()) {
    Message& last = send_after_persist_.back();
    auto* queued = std::get_if<AppendResponse>(&last.body);
    if (queued != nullptr && last.to == leader && last.term == hard_.term) {
      if (*queued == answer) return;
      if (!queued->rejected && !answer.rejected) {
        queued->index = std::max(queued->index, answer.index);
        return;
      }
    }
  }
  SendAfterPersist(leader, hard_.term, answer);
}

// Whether a log that has (index, term) may go on like this, as far as this node's term goes.
bool Raft::MayFollow(Index index, Term term, const Entries& entries) const {
  for (const Entry& entry : entries) {
    if (entry.index != ++index || entry.term < term || entry.term > hard_.term) return false;
    term = entry.term;
  }
  return true;
}

// Not an acknowledgement: to the others this node is as it was, with a log that it is already bound
// to vote like. A log that is merely as up to date would not do. What this node has acknowledged, a
// leader of a later term may have committed, and it may have told so; and another log may have an
// entry of a term between these two in its place. Nothing is cut either: what is here may be
// committed.
Outcome Raft::RegainLostEnd(Entries&& entries) {
  if (!suspicion_ || leader_ != kNoNode || log_refused_ || installing_ || entries.empty() ||
      entries.front().index != log_.last() + 1) {
    return Outcome::kIgnored;
  }
  if (!MayFollow(log_.last(), log_.last_term(), entries) ||
      entries.back().index > suspicion_->index || entries.back().term > suspicion_->term) {
    return Outcome::kMalformed;
  }
  for (Entry& entry : entries) log_.Append(std::move(entry));
  InferCommit();
  return Outcome::kOk;
}

void Raft::TruncateLog(Index after) {
  RAFTKV_CHECK(after >= commit_);
  log_.TruncateAfter(after);
  written_ = std::min(written_, after);
  durable_ = std::min(durable_, after);
}

Outcome Raft::On(const Message& message, const Heartbeat& heartbeat) {
  if (!HearFromLeader(message)) return Outcome::kMalformed;
  Outcome outcome = Outcome::kOk;
  // A leader tells only what this node has acknowledged, but what was acknowledged may be lost.
  const Index vouched = suspicion_ ? std::max(commit_, matched_) : log_.last();
  if (heartbeat.commit <= vouched) {
    commit_ = std::max(commit_, heartbeat.commit);
  } else {
    // What this node has acknowledged is not here: its disk has lost entries, whether it knows
    // (damage.h) or not, as after somebody has put an older copy of it back. Committing more than
    // is here would be wrong, and a leader with nothing to send would never hear it otherwise.
    AnswerAppend(message.from, {.index = heartbeat.commit,
                                .rejected = true,
                                .hint_index = vouched,
                                .hint_term = log_.TermAt(vouched).value_or(0),
                                .lost = true});
    outcome = Outcome::kIgnored;
  }
  // The answer does not wait for the disk, and confirms a lease. Who would not keep quiet after a
  // restart, because its disk is still empty, confirms none.
  const bool confirms = options_.read_mode != ReadMode::kLease || knows_restarts_;
  Send(message.from, HeartbeatResponse{confirms ? heartbeat.read_round : 0});
  return outcome;
}

Outcome Raft::On(const Message& message, const InstallSnapshot& install) {
  if (!ConfStateFault(install.meta.conf).empty() || install.meta.index == 0 ||
      install.meta.index > kMaxTermOrIndex || install.meta.term == 0 ||
      install.meta.term > message.term) {
    return Outcome::kMalformed;
  }
  if (!HearFromLeader(message)) return Outcome::kMalformed;
  const bool restored = Restore(install.meta);
  AnswerAppend(message.from, {.index = restored ? log_.last() : commit_});
  return restored ? Outcome::kOk : Outcome::kIgnored;
}

bool Raft::Restore(const SnapshotMeta& meta) {
  if (meta.index <= commit_) return false;
  // The node need not be in the snapshot's configuration: one that joins is sent the newest
  // snapshot there is, which may be older than the entry that adds it.
  if (log_.Has(meta.index, meta.term)) {
    // Everything is here already; the snapshot only proves that it is committed.
    commit_ = meta.index;
    return false;
  }
  log_.Reset(meta.index, meta.term);
  durable_ = written_ = std::min(durable_, commit_);  // what older tickets vouch for ends there
  commit_ = handed_out_ = meta.index;
  conf_ = meta.conf;
  offer_ = meta;
  installing_ = Installing{meta};
  return true;
}

}  // namespace raftkv::raft
