#include "tests/raft/cluster_oracle.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/raft/script_text.h"

namespace raftkv::raft {
namespace {

// nullopt: that part of the log was compacted, or never was there.
std::optional<Term> TermOnDisk(const MemoryDisk& disk, Index index) {
  const SnapshotMeta& base = disk.snapshot.meta;
  if (index == base.index) return base.term;
  if (index < base.index || index > disk.last()) return std::nullopt;
  return disk.entries[index - base.index - 1].term;
}

bool OnDisk(const MemoryDisk& disk, Index index, std::optional<Term> term) {
  return index < disk.snapshot.meta.index || TermOnDisk(disk, index) == term;
}

// On the disk, or lost from it and still promised.
bool Promised(const MemoryDisk& disk, Index index, std::optional<Term> term) {
  const auto same = [&](const Entry& entry) { return entry.index == index && entry.term == term; };
  return OnDisk(disk, index, term) || std::any_of(disk.lost.begin(), disk.lost.end(), same);
}

}  // namespace

std::string ClusterOracle::Check(const MemoryNode& node, DiskOf disk_of) {
  const Raft& raft = node.raft();
  const auto about = [&](absl::string_view what) {
    return absl::StrCat("node ", raft.id(), ": ", what);
  };
  if (const absl::string_view broken = BrokenInvariant(raft); !broken.empty()) return about(broken);

  const auto place = seen_.find(raft.id());
  const Seen* before = place == seen_.end() ? nullptr : &place->second;
  if (before != nullptr) {
    const absl::string_view broken = before->invariants.Broken(raft);
    if (!broken.empty()) return about(broken);
  }
  Term led = before == nullptr ? 0 : before->led;
  if (honest_) {
    const TermRuns& log = raft.log().terms();
    const Index known = before == nullptr ? log.base() : TermRuns::CommonPrefix(before->log, log);
    if (std::string wrong = CheckLog(raft, known + 1); !wrong.empty()) return about(wrong);
    const size_t applied = before == nullptr ? 0 : before->applied;
    if (std::string wrong = CheckApplied(node, applied); !wrong.empty()) return about(wrong);
    if (raft.is_leader()) {
      if (raft.term() > led) {
        led = raft.term();
        if (std::string wrong = CheckNewLeader(node); !wrong.empty()) return about(wrong);
      }
      if (std::string wrong = CheckCommit(node, before, disk_of); !wrong.empty())
        return about(wrong);
      if (std::string wrong = CheckMatches(raft, disk_of); !wrong.empty()) return about(wrong);
    }
  }
  Seen now{StepInvariants(raft), node.applied().size(), led, raft.is_leader(), raft.commit(),
           raft.conf(),          raft.log().terms()};
  if (before == nullptr) {
    seen_.emplace(raft.id(), std::move(now));
  } else {
    place->second = std::move(now);
  }
  return {};
}

std::string ClusterOracle::Check(const MemoryNode& sender, const Message& sent) {
  NodeId candidate = kNoNode;  // who has the sender's vote, if the message says so
  if (const auto* response = std::get_if<VoteResponse>(&sent.body)) {
    if (!response->pre_vote && !response->rejected) candidate = sent.to;
  } else if (const auto* request = std::get_if<VoteRequest>(&sent.body)) {
    if (!request->pre_vote) candidate = sent.from;
  }
  if (candidate != kNoNode) {
    const auto [place, first] = votes_.emplace(std::make_pair(sent.from, sent.term), candidate);
    if (!first && place->second != candidate) {
      return absl::StrCat("node ", sent.from, ": voted for ", place->second, " and for ", candidate,
                          " in term ", sent.term);
    }
    const HardState& durable = sender.disk().hard_state;
    if (durable.term < sent.term || (durable.term == sent.term && durable.vote != candidate)) {
      return absl::StrCat("node ", sent.from, ": its vote for ", candidate, " in term ", sent.term,
                          " is sent before it is durable");
    }
  }
  return CheckOnDisk(sender, sent);
}

// A message that leaves is true of the disk of who sends it. Not asked: heartbeat answers, which
// wait for nothing and promise nothing that a crash could take back; pre-votes, whose term is only
// talked about; forwarded requests, which have none.
std::string ClusterOracle::CheckOnDisk(const MemoryNode& sender, const Message& sent) {
  const MemoryDisk& disk = sender.disk();
  const auto* vote = std::get_if<VoteResponse>(&sent.body);
  const auto* ask = std::get_if<VoteRequest>(&sent.body);
  const bool talk = std::holds_alternative<HeartbeatResponse>(sent.body) ||
                    std::holds_alternative<ReadIndexResponse>(sent.body) ||
                    (vote != nullptr && vote->pre_vote && !vote->rejected) ||
                    (ask != nullptr && ask->pre_vote);
  // Votes that were given before they were asked for make a leader whose own is still being
  // written.
  const bool leads = std::holds_alternative<AppendRequest>(sent.body) ||
                     std::holds_alternative<Heartbeat>(sent.body) ||
                     std::holds_alternative<InstallSnapshot>(sent.body) ||
                     std::holds_alternative<TimeoutNow>(sent.body);
  if (!talk && (honest_ || !leads) && disk.hard_state.term < sent.term) {
    return absl::StrCat("node ", sent.from, ": sends ", DescribeMessageType(sent.body), " in term ",
                        sent.term, ", its disk holds term ", disk.hard_state.term);
  }
  const auto* ack = std::get_if<AppendResponse>(&sent.body);
  if (!honest_ || ack == nullptr || ack->rejected || disk.hard_state.term > sent.term) return {};
  if (ack->index > disk.last()) {
    return absl::StrCat("node ", sent.from, ": acknowledges ", ack->index, ", its disk ends at ",
                        disk.last());
  }
  const auto leader = seen_.find(sent.to);
  if (leader == seen_.end() || !leader->second.leads || leader->second.led != sent.term) return {};
  const std::optional<Term> term = leader->second.log.At(ack->index);
  if (term && !OnDisk(disk, ack->index, term)) {
    return absl::StrCat("node ", sent.from, ": acknowledges ", ack->index,
                        ", where its disk holds another entry than the leader has");
  }
  return {};
}

std::string ClusterOracle::CheckStarted(const MemoryNode& node) {
  const Raft& raft = node.raft();
  const MemoryDisk& disk = node.disk();
  absl::string_view wrong;
  if (raft.hard_state() != disk.hard_state) wrong = "another term or vote";
  if (raft.log().last() != disk.last()) wrong = "another log";
  if (raft.commit() < std::min(disk.commit, disk.last())) wrong = "a lower commit index";
  if (raft.suspicion() != disk.suspicion) wrong = "another suspicion";
  if (wrong.empty()) return {};
  return absl::StrCat("node ", raft.id(), ": starts with ", wrong, " than its disk holds");
}

std::string ClusterOracle::CheckLog(const Raft& raft, Index from) {
  const Log& log = raft.log();
  for (Index index = std::max(from, log.first()); index <= log.last(); ++index) {
    const Entry& entry = log.At(index);
    const std::optional<Term> before = log.TermAt(index - 1);
    const auto [place, first] =
        logged_.try_emplace(std::make_pair(index, entry.term), Logged{entry, before});
    if (first) continue;
    if (place->second.entry != entry) {
      return absl::StrCat("has ", DescribeEntry(entry), " where another log had ",
                          DescribeEntry(place->second.entry));
    }
    if (place->second.before != before) {
      return absl::StrCat("has ", DescribeEntry(entry), " after another entry than other logs");
    }
  }
  return {};
}

std::string ClusterOracle::CheckNewLeader(const MemoryNode& node) {
  const Raft& raft = node.raft();
  const auto [place, first] = leaders_.emplace(raft.term(), raft.id());
  if (!first && place->second != raft.id()) {
    return absl::StrCat("leads term ", raft.term(), ", as node ", place->second, " does");
  }
  for (const auto& [index, applied] : applied_) {
    if (applied.entry.term >= raft.term()) continue;
    if (index <= raft.log().base() || raft.log().Has(index, applied.entry.term)) continue;
    return absl::StrCat("became leader of term ", raft.term(), " without ",
                        DescribeEntry(applied.entry), ", which was applied");
  }
  return {};
}

std::string ClusterOracle::CheckApplied(const MemoryNode& node, size_t from) {
  for (size_t i = from; i < node.applied().size(); ++i) {
    const Entry& entry = node.applied()[i];
    const MemorySnapshot& after = node.snapshots().at(entry.index);
    const auto [place, first] =
        applied_.try_emplace(entry.index, Applied{entry, after.meta.conf, after.state});
    if (first) continue;
    const Applied& known = place->second;
    if (known.entry != entry) {
      return absl::StrCat("applied ", DescribeEntry(entry), " where ", DescribeEntry(known.entry),
                          " was applied");
    }
    if (known.state != after.state) {
      return absl::StrCat("is in state \"", after.state, "\" after ", entry.index,
                          ", another node was in \"", known.state, "\"");
    }
    // A snapshot that is being installed has brought its own configuration already.
    if (known.conf != after.meta.conf && !node.raft().installing_snapshot()) {
      return absl::StrCat("has configuration ", DescribeConfiguration(after.meta.conf), " after ",
                          entry.index, ", another node had ", DescribeConfiguration(known.conf));
    }
  }
  return {};
}

// By the configuration from before the step, from after it, or any between: a step may commit and
// apply several membership changes.
std::string ClusterOracle::CheckCommit(const MemoryNode& leader, const Seen* before,
                                       DiskOf disk_of) {
  const Raft& raft = leader.raft();
  const Index index = raft.commit();
  if (before != nullptr && index <= before->commit) return {};
  const std::optional<Term> term = raft.log().TermAt(index);
  // At the start of a leadership what it commits may have been learned before.
  if (before != nullptr && before->leads && term != raft.term()) {
    return absl::StrCat("committed ", index, " of an earlier term as leader of term ", raft.term(),
                        " (paper, section 5.4.2)");
  }
  const auto durable = [&](NodeId id) -> Index {
    const MemoryDisk* disk = disk_of(id);
    return disk != nullptr && Promised(*disk, index, term) ? index : 0;
  };
  const auto agreed = [&](const ConfState& conf) { return JointIndex(conf, durable) >= index; };
  if (agreed(raft.conf())) return {};
  if (before != nullptr) {
    if (agreed(before->conf)) return {};
    for (size_t i = before->applied; i < leader.applied().size(); ++i) {
      if (agreed(leader.snapshots().at(leader.applied()[i].index).meta.conf)) return {};
    }
  }
  return absl::StrCat("committed ", index, " as leader of term ", raft.term(),
                      ", which is not on the disks of a quorum, nor promised there");
}

std::string ClusterOracle::CheckMatches(const Raft& leader, DiskOf disk_of) {
  for (const Progress& peer : *leader.progress()) {
    const MemoryDisk* disk = disk_of(peer.id);
    // A later leader may have had it replaced.
    if (disk == nullptr || peer.match == 0 || disk->hard_state.term > leader.term()) continue;
    const std::optional<Term> term = leader.log().TermAt(peer.match);
    if (!term || Promised(*disk, peer.match, term)) continue;
    return absl::StrCat("takes ", peer.match, " for replicated to node ", peer.id,
                        ", whose disk does not have it");
  }
  return {};
}

std::string ClusterOracle::CheckLogs(const Raft& a, const Raft& b) {
  const Index first = std::max(a.log().first(), b.log().first());
  Index index = std::min(a.log().last(), b.log().last());
  while (index >= first && a.log().TermAt(index) != b.log().TermAt(index)) --index;
  for (; index >= first; --index) {
    if (a.log().At(index) == b.log().At(index)) continue;
    return absl::StrCat("nodes ", a.id(), " and ", b.id(), ": ", DescribeEntry(a.log().At(index)),
                        " and ", DescribeEntry(b.log().At(index)), " below a common entry");
  }
  return {};
}

}  // namespace raftkv::raft
