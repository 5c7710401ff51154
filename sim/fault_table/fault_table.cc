#include "sim/fault_table/fault_table.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sim/cluster/cluster.h"
#include "sim/run/run.h"
#include "sim/run/settings.h"

namespace raftkv::sim {
namespace {

constexpr Time kFirstTry = 1'500 * kMillisecond;  // some snapshots and segments later
constexpr Time kTryAgain = 3 * kMillisecond;
constexpr Time kLastTry = 4 * kSecond;
constexpr Time kInPlace = 1'500 * kMillisecond;  // long enough for an election and some writes
constexpr Time kRestartAfter = 1 * kMillisecond;
constexpr Time kChaos = 6 * kSecond;
static_assert(kLastTry + kInPlace < kChaos);

bool AtRest(BlockFault fault) { return fault < BlockFault::kWriteError; }

DiskFault Inflicted(BlockFault fault, const DiskPlace& place, uint64_t seed) {
  if (fault == BlockFault::kZeros) return Zeros{place};
  if (fault == BlockFault::kGarbage) return Garbage{place, seed};
  return ReadError{place};
}

// Waits for the block to be there, strikes once, and takes back what can be.
class Script {
 public:
  Script(const FaultCell& cell, uint64_t seed, Cluster* cluster)
      : cell_(cell), seed_(seed), cluster_(cluster) {}

  void Start() {
    cluster_->scheduler().At(kFirstTry, Actor::kScript, [this] { Try(); });
  }

  bool effect() const { return effect_; }
  const std::optional<Time>& struck() const { return struck_; }

 private:
  Process* Victim() {
    Process* leader = cluster_->Leader();
    if (leader == nullptr || cell_.leader) return leader;
    for (const raft::NodeId node : cluster_->Up()) {
      if (node != leader->id()) return cluster_->Find(node);
    }
    return nullptr;
  }

  void Try() {
    Process* victim = Victim();
    if (victim != nullptr && Locate(victim->disk(), cell_.block)) {
      if (AtRest(cell_.fault)) {
        Spoil(*victim);
      } else {
        Refuse(*victim);
      }
    }
    if (struck_ || cluster_->scheduler().now() >= kLastTry) return;
    cluster_->scheduler().After(kTryAgain, Actor::kScript, [this] { Try(); });
  }

  void Say(const Process& victim, absl::string_view what) {
    if (!cluster_->trace().reading()) return;
    cluster_->trace().Say(absl::StrCat("fault on node ", victim.id(), ": ", what));
  }

  void Restart(raft::NodeId node) {
    cluster_->Die(node, Process::Death::kKilled);
    cluster_->Restart(node, kRestartAfter, /*die_in_recovery=*/false);
  }

  // The job that is cut off may still write, so the block is looked for again.
  void Spoil(Process& victim) {
    Restart(victim.id());
    const std::optional<DiskPlace> place = Locate(victim.disk(), cell_.block);
    if (!place) return;
    const DiskFault fault = Inflicted(cell_.fault, *place, seed_);
    struck_ = cluster_->scheduler().now();
    effect_ = victim.disk().Inject(fault);
    Say(victim, Describe(fault));
  }

  void Refuse(Process& victim) {
    const DiskPlace place = WrittenNext(cell_.block, *Locate(victim.disk(), cell_.block));
    using Kind = SimDisk::Refusal::Kind;
    const bool full = cell_.fault == BlockFault::kNoSpace;
    victim.disk().Refuse(SimDisk::Refusal{full ? Kind::kFull : Kind::kError, place});
    Say(victim,
        absl::StrCat(full ? "no space for " : "no writes to ", place.file, " from ", place.offset));
    struck_ = cluster_->scheduler().now();
    const uint64_t before = Errors(victim.disk());
    cluster_->scheduler().After(kInPlace, Actor::kScript, [this, &victim, before] {
      effect_ = Errors(victim.disk()) > before;
      victim.disk().Refuse(std::nullopt);
      Say(victim, "is over");
    });
    // These are written seldom: by a recovery, and by an election.
    if (cell_.block <= Block::kIdentity1) Restart(victim.id());
    if (cell_.block == Block::kVote0 || cell_.block == Block::kVote1) {
      Restart(cluster_->Leader()->id());
    }
  }

  static uint64_t Errors(const SimDisk& disk) {
    return disk.counters().injected_write_errors + disk.counters().full_errors;
  }

  FaultCell cell_;
  uint64_t seed_;
  Cluster* cluster_;
  std::optional<Time> struck_;
  bool effect_ = false;
};

RunSettings SettingsOf(uint64_t seed) {
  RunSettings run = DrawSettings(seed, Profile::kQuiet);
  ClusterSettings& cluster = run.cluster;
  cluster.founders = 3;
  // Blocks as large as sectors, of both sizes; some segments behind each snapshot.
  const uint32_t block = seed % 2 == 0 ? 4'096 : 512;
  cluster.storage.block_bytes = cluster.disk.sector_bytes = block;
  cluster.storage.segment_bytes = 16 * block;
  cluster.replica.snapshots.minimum_bytes = 3'000;
  cluster.replica.trailing_log_bytes = 20'000;
  for (ClientSettings& client : run.clients) client.think.spread = 20 * kMillisecond;
  run.chaos = kChaos;
  return run;
}

uint64_t WritesBetween(const History& history, Time begin, Time end) {
  const auto writes = [&](const Operation& operation) {
    const Time at = static_cast<Time>(operation.invoke_time_us);
    const auto returned = static_cast<Time>(operation.return_time_us);
    return operation.outcome == Outcome::kOk && !operation.aborted && at >= begin &&
           returned <= end &&
           std::any_of(operation.commands.begin(), operation.commands.end(),
                       [](const Command& command) { return command.verb >= Verb::kSet; });
  };
  return static_cast<uint64_t>(
      std::count_if(history.operations.begin(), history.operations.end(), writes));
}

}  // namespace

absl::string_view Name(BlockFault fault) {
  switch (fault) {
    case BlockFault::kZeros:
      return "zeros";
    case BlockFault::kGarbage:
      return "garbage";
    case BlockFault::kReadError:
      return "EIO read";
    case BlockFault::kWriteError:
      return "EIO write";
    case BlockFault::kNoSpace:
      return "ENOSPC";
  }
  return "?";
}

CellVerdict TryCell(const FaultCell& cell, uint64_t seed, const Trace::Sink& told) {
  RunSettings settings = SettingsOf(seed);
  std::unique_ptr<Script> script;
  settings.script = [&](Cluster& cluster) {
    script = std::make_unique<Script>(cell, seed, &cluster);
    script->Start();
  };
  const RunReport report = Simulate(settings, told);
  CellVerdict verdict;
  verdict.effect = script->effect();
  if (report.violation) {
    verdict.wrong = FormatViolation(*report.violation);
  } else if (!script->struck()) {
    verdict.wrong = "no such block came up";
  } else {
    const Time at = *script->struck();
    verdict.writes = WritesBetween(report.history, at, at + kInPlace);
    if (verdict.writes == 0) verdict.wrong = "no write was acknowledged while it was in place";
  }
  return verdict;
}

}  // namespace raftkv::sim
