#include "sim/oracles/judge.h"

#include "absl/strings/str_format.h"

namespace raftkv::sim {
namespace {

constexpr OracleInfo kOracles[] = {
    {Oracle::kElectionSafety, "I1", "election safety",
     "A term has at most one leader, for whom a quorum of voters has voted in that term."},
    {Oracle::kLogMatching, "I3", "log matching",
     "Entries with the same index and term are equal and follow the same entry, on all disks."},
    {Oracle::kLeaderCompleteness, "I4", "leader completeness",
     "A new leader's log holds every entry that was committed in an earlier term."},
    {Oracle::kStateMachineSafety, "I5", "state-machine safety",
     "All nodes commit and apply the same entry at an index, one after the other."},
    {Oracle::kCommitOnQuorum, "I6", "commit on quorum",
     "When an index is first committed, its entry is of the leader's own term and is durable on a "
     "majority of every active half of the configuration."},
    {Oracle::kNodeInvariants, "I2/I7/I11/I12", "node invariants",
     "Terms, votes, commit and applied indexes never go back, committed entries are never "
     "rewritten, leaders only append, and a node's indexes stand in their order."},
    {Oracle::kPromises, "I8", "promise memory",
     "No crash makes a node contradict a vote it gave or an entry it acknowledged."},
    {Oracle::kRules, "figure 2", "rules",
     "A node answers, heeds and does what Raft tells it to, at once."},
    {Oracle::kPersistBeforeSend, "I9", "persist before send",
     "What a message asserts (term, vote, log up to an index), and what a node applies, is on its "
     "disk."},
    {Oracle::kProgress, "I10", "progress",
     "What a leader believes a follower has is on that follower's disk, and a follower "
     "acknowledges "
     "no more than it was told."},
    {Oracle::kMembership, "I13/I14", "membership",
     "All nodes agree on the configuration at an index, and consecutive ones share quorums."},
    {Oracle::kSnapshots, "I15", "snapshots",
     "Snapshots at the same index are equal bytes, and the last two of a node can be read."},
    {Oracle::kRecovery, "I16", "recovery",
     "A restarted node finds all that was synced, and nothing that was never written."},
    {Oracle::kLinearizability, "I17/I19", "linearizability",
     "Some order of the operations, each between its call and its reply, explains every reply."},
    {Oracle::kExactlyOnce, "I18", "exactly once",
     "A command with a session runs once, however often it is sent."},
    {Oracle::kAtomicity, "I17", "atomicity",
     "No replica ever holds, and no reader ever sees, half of an MSET."},
    {Oracle::kLiveness, "I20", "liveness",
     "When all faults are over there is soon a leader, and every operation completes."},
    {Oracle::kConvergence, "I21", "convergence",
     "When all faults are over all members come to the same log, state and configuration."},
    {Oracle::kStability, "I22", "stability",
     "Only voters campaign, not while they hear a leader, and where they ask first, nobody without "
     "the consent of a quorum; who hears a leader votes for nobody else; nobody leads while "
     "another "
     "node has a lease; a healthy cluster keeps its leader."},
    {Oracle::kBounds, "I23", "bounds",
     "Who has nothing to do sends heartbeats and their answers, and little else."},
    {Oracle::kCrashFree, "I24", "crash-free", "No check of the code's own logic fails."},
    {Oracle::kReplicaIdentity, "I26", "replica identity",
     "Nodes that have applied the same index hold the same state."},
    {Oracle::kAddressing, "I28", "addressing",
     "Messages are for the node, incarnation and group that they reach, and decode."},
};

}  // namespace

absl::Span<const OracleInfo> AllOracles() { return absl::MakeConstSpan(kOracles); }

const OracleInfo& InfoOf(Oracle oracle) { return kOracles[static_cast<size_t>(oracle)]; }

std::string FormatViolation(const Violation& violation) {
  const OracleInfo& info = InfoOf(violation.oracle);
  return absl::StrFormat("VIOLATION %s %s at %d.%03d s: %s", info.id, info.name,
                         violation.time / kSecond, violation.time % kSecond / kMillisecond,
                         violation.text);
}

void Judge::Fail(Oracle oracle, absl::string_view text) {
  if (violation_.has_value()) return;
  violation_ = Violation{oracle, scheduler_->now(), std::string(text)};
}

}  // namespace raftkv::sim
