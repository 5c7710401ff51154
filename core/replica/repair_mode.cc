#include "core/replica/repair_mode.h"

#include <algorithm>

#include "core/raft/check.h"
#include "core/raft/configuration.h"

namespace raftkv::replica {

RepairMode::RepairMode(raft::NodeId self, const raft::Log& log, Findings findings,
                       const Options& options)
    : self_(self), log_(log), findings_(std::move(findings)), options_(options) {
  RepairStarted started;
  if (findings_.snapshot_damaged) started.snapshot = findings_.snapshot.meta.index;
  if (findings_.damage) {
    started.bad_entries = findings_.damage->bad.size();
    started.first = findings_.damage->bad.front().index;
    started.last = findings_.damage->bad.back().index;
    AskForEntries();
    peers_ = repair_->peers();
  } else {
    raft::Entries entries;
    log_.CopyTo(log_.first(), log_.last(), ~uint64_t{0}, entries);
    for (const raft::ConfState& conf :
         ConfigurationsBehind(findings_.snapshot.meta.conf, log_.base(), entries)) {
      for (const raft::NodeId id : raft::AllMembers(conf)) {
        if (id != self) peers_.push_back(id);
      }
    }
    std::sort(peers_.begin(), peers_.end());
    peers_.erase(std::unique(peers_.begin(), peers_.end()), peers_.end());
  }
  output_.events.emplace_back(started);
  Advance();
}

void RepairMode::AskForEntries() {
  repair_.emplace(self_, log_, findings_.snapshot.meta.conf, findings_.commit, *findings_.damage,
                  options_.log);
}

bool RepairMode::hopeless() const { return peers_.empty() && stage_ != Stage::kSettling; }

void RepairMode::Tick() {
  if (repair_ && stage_ == Stage::kAsking) repair_->Tick();
  if (fetch_ && stage_ == Stage::kFetching) fetch_->Tick();
  if (repair_ && stage_ == Stage::kFetching && fetch_->fruitless()) {
    // Whoever had a snapshot that stands for the entry is gone, and the entry may have turned up.
    stage_ = Stage::kAsking;
    fetch_.reset();
    AskForEntries();
  }
  Advance();
  if (no_space_ && ticks_ % options_.log.patience_ticks == 0) {
    no_space_ = false;
    IssueLastJob();
  }
  // Answers that are under way would only be noise in a log.
  if (++ticks_ % (2 * options_.log.patience_ticks + 1) != 0) return;
  if (std::string waits = WaitsFor(); !waits.empty() && waits != said_) {
    said_ = waits;
    output_.events.emplace_back(RepairWaiting{std::move(waits)});
  }
}

void RepairMode::OnAnswer(raft::NodeId from, const wire::EntryAnswer& answer) {
  if (!repair_ || stage_ != Stage::kAsking) return;
  repair_->OnAnswer(from, answer);
  Advance();
}

void RepairMode::OnPiece(raft::NodeId from, const wire::SnapshotPiece& piece) {
  if (!fetch_ || stage_ != Stage::kFetching) return;
  fetch_->OnPiece(from, piece);
  Advance();
}

void RepairMode::OnJob(const JobResult& result) {
  if (stage_ == Stage::kFetching) {
    health_ = fetch_->OnJob(result);
    return Advance();
  }
  if (absl::IsResourceExhausted(result.status)) {
    no_space_ = true;  // nothing was written; tried again
    return;
  }
  health_ = result.status;
  if (!health_.ok()) return;
  switch (stage_) {
    case Stage::kSettling:
      stage_ = Stage::kDone;
      return Close(0, settled_.suspicion,
                   settled_.entries.empty() ? log_.last() : settled_.entries.back().index);
    case Stage::kRestoring:
      stage_ = Stage::kDone;
      return Close(fetch_->meta().index, std::nullopt, std::max(fetch_->meta().index, log_.last()));
    case Stage::kAsking:
    case Stage::kFetching:
    case Stage::kDone:
      RAFTKV_CHECK(false);  // no job is out in these
  }
}

void RepairMode::Advance() {
  if (stage_ == Stage::kAsking && !repair_) {
    stage_ = Stage::kFetching;
    fetch_.emplace(peers_, findings_.snapshot, options_.snapshot);
  }
  if (stage_ == Stage::kAsking && repair_->decision()) {
    if (const auto* settled = std::get_if<Settled>(&*repair_->decision())) {
      stage_ = Stage::kSettling;
      settled_ = *settled;
      IssueLastJob();
    } else {
      stage_ = Stage::kFetching;
      const auto& needs = std::get<NeedsSnapshot>(*repair_->decision());
      fetch_.emplace(peers_, needs.at_least, options_.snapshot);
    }
  }
  if (stage_ != Stage::kFetching || !health_.ok()) return;
  if (fetch_->done()) {
    // The storage knows which entries behind it follow from it, and keeps those.
    stage_ = Stage::kRestoring;
    IssueLastJob();
  } else if (std::optional<JobBody> job = fetch_->TakeJob()) {
    output_.job = std::move(job);
  }
}

// The one that makes what was got part of the disk's truth.
void RepairMode::IssueLastJob() {
  if (stage_ == Stage::kSettling) {
    output_.job = SettleLog{settled_.entries, settled_.suspicion};
  } else {
    output_.job = RestoreSnapshot{fetch_->meta()};
  }
}

void RepairMode::Close(raft::Index snapshot, const std::optional<raft::Suspicion>& suspicion,
                       raft::Index last) {
  output_.events.emplace_back(
      RepairClosed{.fetched_entries = repair_ ? repair_->fetched() : 0,
                   .fetched_snapshot_bytes = fetch_ ? fetch_->fetched_bytes() : 0,
                   .last = last,
                   .snapshot = snapshot,
                   .suspicion = suspicion});
  output_.restart = true;
}

RepairMode::Output RepairMode::TakeOutput() {
  if (repair_) {
    for (auto& [to, query] : repair_->TakeQueries()) output_.messages.emplace_back(to, query);
  }
  if (fetch_) {
    for (auto& [to, pull] : fetch_->TakePulls()) output_.messages.emplace_back(to, pull);
  }
  return std::exchange(output_, {});
}

std::string RepairMode::WaitsFor() const {
  switch (stage_) {
    case Stage::kAsking:
      return repair_->WaitsFor();
    case Stage::kFetching:
      return fetch_->WaitsFor();
    case Stage::kSettling:
    case Stage::kRestoring:
      return no_space_ ? "space on the disk" : "the disk";
    case Stage::kDone:
      break;
  }
  return "its restart";
}

}  // namespace raftkv::replica
