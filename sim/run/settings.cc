#include "sim/run/settings.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace raftkv::sim {
namespace {

constexpr ProfileInfo kProfiles[] = {
    {Profile::kEverything, "everything", "each seed its own subset of all faults"},
    {Profile::kQuiet, "quiet", "no faults at all"},
    {Profile::kNetwork, "network", "partitions, clogged links, storms"},
    {Profile::kCrashes, "crashes", "power losses, kills, pauses, bad disks, jumping clocks"},
    {Profile::kMembership, "membership", "members come and go, leaders hand over, nodes crash"},
    {Profile::kDisk, "disk",
     "rot, read errors, lying, failing, full, slow and hanging disks, crashes"},
};

uint64_t OneOf(Random& random, std::initializer_list<uint64_t> values) {
  return values.begin()[random.Below(values.size())];
}

bool Allowed(Profile profile, Fault fault) {
  switch (fault) {
    case Fault::kPartition:
    case Fault::kIsolation:
    case Fault::kOneWay:
    case Fault::kClog:
    case Fault::kStorm:
      return profile == Profile::kEverything || profile == Profile::kNetwork;
    case Fault::kPowerLoss:
    case Fault::kKill:
      return profile != Profile::kQuiet && profile != Profile::kNetwork;
    case Fault::kSlowDisk:
    case Fault::kSyncError:
    case Fault::kFullDisk:
      return profile == Profile::kEverything || profile == Profile::kCrashes ||
             profile == Profile::kDisk;
    case Fault::kRot:
    case Fault::kReadErrors:
    case Fault::kHungDisk:
    case Fault::kLostWrites:
    case Fault::kMisdirectedWrites:
    case Fault::kMisdirectedReads:
    case Fault::kStaleFiles:
    case Fault::kAmnesia:
      return profile == Profile::kEverything || profile == Profile::kDisk;
    case Fault::kPowerLossOfAll:
    case Fault::kPause:
    case Fault::kClockJump:
    case Fault::kSlowNode:
    case Fault::kRestartStorms:
    case Fault::kRollingRestarts:
      return profile == Profile::kEverything || profile == Profile::kCrashes;
    case Fault::kWipe:
      return profile == Profile::kEverything || profile == Profile::kCrashes ||
             profile == Profile::kMembership || profile == Profile::kDisk;
    case Fault::kTransfer:
    case Fault::kMembership:
      return profile == Profile::kEverything || profile == Profile::kMembership;
    case Fault::kLeaderInMinority:
    case Fault::kOneWayLeader:
    case Fault::kWithheldAnswers:
    case Fault::kOldMessages:
    case Fault::kDoubledSnapshots:
    case Fault::kReusedAddresses:
    case Fault::kOvertakenAppends:
      return profile == Profile::kEverything || profile == Profile::kNetwork;
    case Fault::kFigure8:
    case Fault::kSentNotPersisted:
    case Fault::kPersistedNotSaid:
    case Fault::kOutlivedLease:
      return profile == Profile::kEverything || profile == Profile::kCrashes;
    case Fault::kStuckChanges:
      return profile == Profile::kEverything || profile == Profile::kMembership;
  }
  return false;
}

uint32_t Weight(Fault fault) {
  switch (fault) {
    case Fault::kPowerLoss:
    case Fault::kPartition:
      return 4;
    case Fault::kIsolation:
    case Fault::kPause:
    case Fault::kMembership:
      return 3;
    case Fault::kPowerLossOfAll:
    case Fault::kSyncError:
    case Fault::kFullDisk:
    case Fault::kRestartStorms:
    case Fault::kRollingRestarts:
      return 1;
    default:
      return 2;
  }
}

Delay Around(Random& random, Time least, Time most_spread) {
  Delay delay;
  delay.shape = random.Chance(1, 2) ? Delay::Shape::kUniform : Delay::Shape::kExponential;
  delay.least = random.Between(least / 2, least);
  delay.spread = random.Between(most_spread / 10, most_spread);
  return delay;
}

void DrawReplica(Random random, replica::Options* options) {
  raft::Options& raft = options->raft;
  raft.election_ticks = static_cast<uint32_t>(random.Between(10, 30));
  raft.heartbeat_ticks = static_cast<uint32_t>(random.Between(1, 5));
  raft.pre_vote = random.Chance(2, 3);
  raft.check_quorum = random.Chance(4, 5);
  raft.step_down_on_removal = random.Chance(9, 10);
  raft.step_down_on_hung_disk = random.Chance(4, 5);
  raft.merge_messages = random.Chance(3, 4);
  raft.max_append_bytes = OneOf(random, {1, 100, 300, 2'000, 1 << 20});
  raft.max_committed_bytes = OneOf(random, {1, 200, 2'000, 16 << 20});
  raft.max_inflight_messages = OneOf(random, {1, 2, 8, 64, 256});
  raft.max_inflight_bytes = random.Chance(1, 2) ? 0 : raft.max_append_bytes * 4;
  raft.max_uncommitted_bytes = OneOf(random, {1'000, 16'000, 256 << 20});
  raft.max_pending_reads = OneOf(random, {4, 64, 65'536});

  options->tick_us = OneOf(random, {5'000, 10'000, 10'000, 20'000});
  // Few ticks and long ones: what is off by one tick is off by a lot.
  if (random.Chance(1, 4)) {
    raft.election_ticks = static_cast<uint32_t>(random.Between(3, 10));
    raft.heartbeat_ticks = static_cast<uint32_t>(random.Between(1, 2));
    options->tick_us = random.Between(30, 60) * kMillisecond;
  }
  options->request_timeout_ms = OneOf(random, {200, 500, 1'000, 3'000});
  options->read_retry_ms = OneOf(random, {20, 50, 100});
  options->snapshots.minimum_bytes = OneOf(random, {300, 1'000, 3'000, 10'000, 50'000});
  options->snapshots.state_percent = static_cast<uint32_t>(OneOf(random, {0, 25, 100}));
  options->trailing_log_bytes = OneOf(random, {0, 500, 5'000, 1 << 20});
  options->snapshot_chunk_bytes = static_cast<uint32_t>(OneOf(random, {64, 500, 4'096}));
  options->snapshot_resend_ms = OneOf(random, {50, 200, 1'000});
  options->snapshot_resends = static_cast<uint32_t>(random.Between(2, 10));
  options->max_client_pipeline = static_cast<uint32_t>(OneOf(random, {1, 2, 64}));

  kv::SessionOptions& sessions = options->store.sessions;
  sessions.max_sessions = static_cast<uint32_t>(OneOf(random, {2, 3, 4, 8, 100}));
  sessions.results_kept = static_cast<uint32_t>(OneOf(random, {4, 16, 64}));
  sessions.kept_result_bytes = static_cast<uint32_t>(OneOf(random, {64, 4'096}));
  sessions.idle_ms = OneOf(random, {0, 0, 700, 5'000});
}

void DrawDisk(Random random, ClusterSettings* cluster) {
  cluster->storage.block_bytes = static_cast<uint32_t>(OneOf(random, {512, 1'024, 4'096}));
  cluster->storage.segment_bytes =
      std::max<uint64_t>(OneOf(random, {2'048, 8'192, 65'536}), 2 * cluster->storage.block_bytes);
  cluster->storage.zero_ahead_bytes = OneOf(random, {0, 512, 4'096, 1 << 20});
  cluster->storage.snapshot_chunk_bytes = static_cast<uint32_t>(OneOf(random, {64, 512, 4'096}));
  cluster->storage.snapshot_sync_bytes = OneOf(random, {1, 1'000, 100'000});
  cluster->disk.sector_bytes =
      cluster->storage.block_bytes == 4'096 && random.Chance(1, 2) ? 4'096 : 512;
  cluster->disk.ordered_directory = random.Chance(1, 4);
  cluster->disk_delay = Around(random, 200, random.Between(500, 8'000));
  cluster->disk_delay.tail_per_mille = static_cast<uint32_t>(OneOf(random, {0, 5, 20}));
  cluster->disk_delay.tail = random.Between(10, 60) * kMillisecond;
}

void DrawNetwork(Random random, RunSettings* run) {
  NetworkOptions network;
  network.delay = Around(random, 300, random.Between(500, 6'000));
  network.in_order = random.Chance(1, 4);
  network.loss_noticed_per_mille = static_cast<uint32_t>(OneOf(random, {0, 500, 1'000}));
  run->healed_network = network;
  if (run->profile != Profile::kQuiet) {
    network.loss_per_mille = static_cast<uint32_t>(OneOf(random, {0, 5, 20, 50}));
    network.duplicate_per_mille = static_cast<uint32_t>(OneOf(random, {0, 5, 20, 100}));
    network.delay.tail_per_mille = static_cast<uint32_t>(OneOf(random, {0, 10, 50}));
    network.delay.tail = random.Between(10, 200) * kMillisecond;
    // Now and then a network as slow as patience is short: elections overlap, and answers come when
    // nobody asks any more.
    const replica::Options& replica = run->cluster.replica;
    const Time patience = replica.raft.election_ticks * replica.tick_us;
    if (random.Chance(1, 8)) {
      network.delay.shape = Delay::Shape::kExponential;
      network.delay.spread = random.Between(patience / 10, patience / 2);
    }
  }
  run->cluster.network = network;
  // Where frames overtake each other, a lost one makes a refusal of each that was sent behind it,
  // and each refusal may start the window again: the square of a large window is all that would
  // happen.
  if (!network.in_order) {
    uint64_t& window = run->cluster.replica.raft.max_inflight_messages;
    window = std::min<uint64_t>(window, 16);
  }

  run->cluster.ports.delay = Around(random, 200, 1'500);
  run->cluster.ports.split_per_mille = static_cast<uint32_t>(OneOf(random, {0, 50, 500}));
  if (run->profile != Profile::kQuiet) {
    run->cluster.ports.reset_per_mille = static_cast<uint32_t>(OneOf(random, {0, 0, 5}));
  }
}

// Connections with the production code at both ends, in one run of four.
void DrawStreams(Random random, RunSettings* run) {
  ClusterSettings& cluster = run->cluster;
  cluster.streams = random.Chance(1, 4);
  replica::PeerLinkOptions& links = cluster.links;
  links.hello_timeout_us = OneOf(random, {50, 300, 5'000}) * kMillisecond;
  links.stall_timeout_us = OneOf(random, {100, 1'000, 10'000}) * kMillisecond;
  links.min_backoff_us = random.Between(1, 50) * kMillisecond;
  links.max_backoff_us = links.min_backoff_us * random.Between(1, 10);
  links.max_outbox_bytes = OneOf(random, {4'000, 50'000, 64 << 20});
  links.max_handed_over_bytes = OneOf(random, {1'500, 10'000, 1 << 20});
  cluster.stream.split_per_mille = static_cast<uint32_t>(OneOf(random, {0, 50, 500}));
  if (run->profile != Profile::kQuiet) {
    cluster.stream.break_per_mille = static_cast<uint32_t>(OneOf(random, {0, 0, 2, 10}));
  }
  if (!cluster.streams) return;
  // A stream brings nothing twice, nothing in another order, and nothing of an old connection
  // behind a new one.
  for (const Fault fault :
       {Fault::kDoubledSnapshots, Fault::kOldMessages, Fault::kOvertakenAppends}) {
    run->nemesis.shares[static_cast<size_t>(fault)] = 0;
  }
}

void DrawClients(Random random, RunSettings* run) {
  WorkloadOptions& workload = run->workload;
  workload.registers = static_cast<uint32_t>(random.Between(1, 4));
  workload.counters = static_cast<uint32_t>(random.Between(1, 2));
  workload.pairs = static_cast<uint32_t>(random.Between(1, 3));
  workload.register_share = static_cast<uint32_t>(random.Between(1, 6));
  workload.counter_share = static_cast<uint32_t>(random.Between(1, 3));
  workload.pair_share = static_cast<uint32_t>(random.Between(1, 6));
  workload.read_percent = static_cast<uint32_t>(random.Between(20, 70));
  workload.large_value_per_mille = static_cast<uint32_t>(OneOf(random, {0, 10, 50}));
  workload.large_value_bytes = static_cast<uint32_t>(OneOf(random, {300, 3'000}));

  const uint64_t count = random.Between(3, 7);
  for (uint64_t number = 1; number <= count; ++number) {
    ClientSettings client;
    client.number = number;
    client.in_session = random.Chance(2, 5);
    client.most_at_once = static_cast<uint32_t>(OneOf(random, {1, 1, 1, 3}));
    client.think = {Delay::Shape::kExponential, 1'000, random.Between(20, 100) * kMillisecond};
    client.patience = random.Between(200, 1'500) * kMillisecond;
    client.before_retry = {Delay::Shape::kUniform, 5 * kMillisecond, 50 * kMillisecond};
    run->clients.push_back(client);
  }
}

void DrawNemesis(Random random, RunSettings* run) {
  NemesisSettings& nemesis = run->nemesis;
  for (size_t kind = 0; kind < kFirstDiskFault; ++kind) {
    const auto fault = static_cast<Fault>(kind);
    const bool drawn = random.Chance(3, 5);  // drawn for all, so that profiles share the rest
    if (drawn && Allowed(run->profile, fault)) nemesis.shares[kind] = Weight(fault);
  }
  nemesis.between = {Delay::Shape::kExponential, 50 * kMillisecond,
                     random.Between(300, 1'500) * kMillisecond};
  nemesis.lasts = {Delay::Shape::kExponential, 20 * kMillisecond,
                   random.Between(100, 1'200) * kMillisecond};
  nemesis.at_leader_percent = static_cast<uint32_t>(random.Between(20, 80));
}

void DrawDiskFaults(Random random, RunSettings* run) {
  for (size_t kind = kFirstDiskFault; kind < kFirstLie; ++kind) {
    const auto fault = static_cast<Fault>(kind);
    // Rarer where there is everything else, so that the other faults have runs without these.
    const bool drawn = random.Chance(run->profile == Profile::kDisk ? 4 : 2, 5);
    if (drawn && Allowed(run->profile, fault)) run->nemesis.shares[kind] = Weight(fault);
  }
  run->nemesis.between_disk_faults = {Delay::Shape::kExponential, 100 * kMillisecond,
                                      random.Between(300, 2'000) * kMillisecond};
}

void DrawLies(Random random, RunSettings* run) {
  for (size_t kind = kFirstLie; kind < kFirstWipe; ++kind) {
    const auto fault = static_cast<Fault>(kind);
    // Rarer still: what a lie takes is judged by reading all disks.
    const bool drawn = random.Chance(run->profile == Profile::kDisk ? 3 : 1, 5);
    if (drawn && Allowed(run->profile, fault)) run->nemesis.shares[kind] = Weight(fault);
  }
  run->nemesis.between_lies = {Delay::Shape::kExponential, 100 * kMillisecond,
                               random.Between(300, 2'000) * kMillisecond};
}

void DrawWipes(Random random, RunSettings* run) {
  // Rarer where there is everything else: what is lost for good keeps other faults away until
  // somebody else is there instead.
  const bool drawn = random.Chance(run->profile == Profile::kEverything ? 3 : 6, 15);
  const Time most = random.Between(500, 4'000) * kMillisecond;
  if (drawn && Allowed(run->profile, Fault::kWipe)) {
    run->nemesis.shares[kFirstWipe] = Weight(Fault::kWipe);
  }
  run->nemesis.between_wipes = {Delay::Shape::kExponential, 300 * kMillisecond, most};
}

void DrawAttacks(Random random, RunSettings* run) {
  for (size_t kind = kFirstAttack; kind < kFaultKinds; ++kind) {
    const auto fault = static_cast<Fault>(kind);
    const bool drawn = random.Chance(2, 5);
    if (drawn && Allowed(run->profile, fault)) run->nemesis.shares[kind] = Weight(fault);
  }
  run->nemesis.between_attacks = {Delay::Shape::kExponential, 100 * kMillisecond,
                                  random.Between(300, 2'000) * kMillisecond};
}

// Lease reads, now and then. They are right only if the allowance for clocks covers the drift there
// is: a slow leader's lease must end before a fast follower's loyalty does, a tick on each side for
// the rounding.
void DrawLease(Random random, ClusterSettings* cluster) {
  raft::Options& raft = cluster->replica.raft;
  if (!random.Chance(1, 4) || !raft.check_quorum) return;
  const int64_t drift = cluster->most_drift_ppm;
  const int64_t lost_per_million =
      1'000'000 - (1'000'000 - drift) * 1'000'000 / (1'000'000 + drift);
  const auto allowance = static_cast<uint32_t>(
      2 + (int64_t{raft.election_ticks} * lost_per_million + 999'999) / 1'000'000);
  if (allowance >= raft.election_ticks) return;  // nothing would be left of it
  raft.read_mode = raft::ReadMode::kLease;
  raft.lease_drift_ticks = allowance;
}

// Now and then some of the founders have no vote.
void DrawLearners(Random random, ClusterSettings* cluster) {
  if (!random.Chance(1, 6) || cluster->founders < 4) return;
  cluster->founding_learners = static_cast<uint32_t>(random.Between(1, cluster->founders - 3));
}

uint32_t DrawFounders(Random random) {
  const uint64_t draw = random.Below(100);
  if (draw < 5) return 1;
  if (draw < 9) return 2;
  if (draw < 52) return 3;
  if (draw < 60) return 4;
  if (draw < 95) return 5;
  return 7;
}

}  // namespace

absl::Span<const ProfileInfo> AllProfiles() { return absl::MakeConstSpan(kProfiles); }

absl::string_view Name(Profile profile) { return kProfiles[static_cast<size_t>(profile)].name; }

RunSettings DrawSettings(uint64_t seed, Profile profile) {
  // A stream for each room: a new option in one does not change what the others draw.
  const Random random = Random::Stream(seed, "settings");
  RunSettings run;
  run.seed = seed;
  run.profile = profile;
  run.cluster.founders = DrawFounders(random.Split("founders"));
  DrawLearners(random.Split("learners"), &run.cluster);
  DrawReplica(random.Split("replica"), &run.cluster.replica);
  DrawDisk(random.Split("disk"), &run.cluster);
  run.cluster.inits_are_cut_off = Allowed(profile, Fault::kPowerLoss);
  DrawNetwork(random.Split("network"), &run);
  DrawClients(random.Split("clients"), &run);
  if (Random visits = random.Split("visits"); visits.Chance(1, 3)) {
    run.visit_every = visits.Between(50, 500) * kMillisecond;
  }
  DrawNemesis(random.Split("nemesis"), &run);
  run.nemesis.joint = random.Split("joint").Chance(1, 2);
  DrawDiskFaults(random.Split("disk faults"), &run);
  DrawLies(random.Split("lies"), &run);
  DrawWipes(random.Split("wipes"), &run);
  DrawAttacks(random.Split("attacks"), &run);
  DrawStreams(random.Split("streams"), &run);
  Random clocks = random.Split("clocks");
  run.cluster.most_drift_ppm = static_cast<int64_t>(OneOf(clocks, {0, 1'000, 100'000}));
  run.cluster.most_wall_skew_ms = OneOf(clocks, {0, 100, 60'000});
  // Where counters of microseconds or milliseconds in 31 or 32 bits would come to their end.
  run.cluster.uptime_us =
      OneOf(clocks, {0, 0, (uint64_t{1} << 31) - 5 * kSecond, (uint64_t{1} << 32) - 5 * kSecond,
                     (uint64_t{1} << 31) * kMillisecond - 5 * kSecond,
                     (uint64_t{1} << 32) * kMillisecond - 5 * kSecond});
  DrawLease(random.Split("lease"), &run.cluster);
  Random ranks = random.Split("ranks");
  run.cluster.most_election_rank = static_cast<uint32_t>(OneOf(ranks, {0, 0, 0, 0, 1, 2}));
  Random scrub = random.Split("scrub");
  run.cluster.replica.scrub_bytes_per_s = OneOf(scrub, {0, 20'000, 500'000, 4 << 20});
  run.cluster.replica.scrub_pause_ms = OneOf(scrub, {20, 300, 2'000});
  run.cluster.replica.snapshot_bytes_per_s = OneOf(scrub, {0, 100'000, 64 << 20});
  // Nodes that hear several things at a time.
  if (Random turns = random.Split("turns"); turns.Chance(1, 4)) {
    const Time most = run.cluster.replica.tick_us / 4;
    run.cluster.turn = std::min<Time>(OneOf(turns, {50, 300, 1'000, 3'000}), most);
  }
  Random core = random.Split("core");
  run.heals_core = profile != Profile::kQuiet && core.Chance(2, 3);
  Random length = random.Split("length");
  run.chaos = length.Between(6, 12) * kSecond;
  return run;
}

bool HasFault(Profile profile, Fault fault) { return Allowed(profile, fault); }

void LeaveOutAttacks(RunSettings* settings) {
  std::fill(settings->nemesis.shares.begin() + kFirstAttack, settings->nemesis.shares.end(), 0);
}

RunSettings SteadySettings(uint64_t seed) {
  RunSettings run;
  run.seed = seed;
  run.profile = Profile::kQuiet;
  run.cluster.founders = 5;
  replica::Options& replica = run.cluster.replica;
  replica.tick_us = 100 * kMillisecond;
  replica.raft.heartbeat_ticks = 1;
  replica.raft.election_ticks = 10;
  run.cluster.storage.segment_bytes = 1 << 20;
  run.cluster.storage.zero_ahead_bytes = 16 << 10;
  run.cluster.disk.sector_bytes = 4'096;
  run.cluster.disk_delay = {Delay::Shape::kExponential, 200, 500};
  run.cluster.network.delay = {Delay::Shape::kExponential, 200, 300};
  run.healed_network = run.cluster.network;
  run.cluster.ports.delay = {Delay::Shape::kExponential, 200, 300};
  // Ten clients that ask every half second: what an answer takes is little of that.
  for (uint64_t number = 1; number <= 10; ++number) {
    ClientSettings client;
    client.number = number;
    client.in_session = number % 2 == 0;
    client.think = {Delay::Shape::kUniform, 450 * kMillisecond, 90 * kMillisecond};
    client.patience = kSecond;
    client.before_retry = {Delay::Shape::kUniform, 5 * kMillisecond, 50 * kMillisecond};
    run.clients.push_back(client);
  }
  run.chaos = 60 * kSecond;
  return run;
}

std::string DescribeSettings(const RunSettings& run) {
  const raft::Options& raft = run.cluster.replica.raft;
  std::string faults;
  for (size_t kind = 0; kind < kFaultKinds; ++kind) {
    if (run.nemesis.shares[kind] == 0) continue;
    absl::StrAppend(&faults, faults.empty() ? "" : ", ", Name(static_cast<Fault>(kind)));
  }
  return absl::StrFormat(
      "%d nodes, %d clients, %d s with faults: %s\n"
      "tick %d ms, election %d ticks, heartbeat %d, pre-vote %s, check-quorum %s, reads by %s, "
      "append %d bytes, window %d\n"
      "snapshots every %d bytes, segments %d, blocks %d, sectors %d, loss %d/1000, doubled "
      "%d/1000%s\n",
      run.cluster.founders, run.clients.size(), run.chaos / kSecond,
      faults.empty() ? "none" : faults, run.cluster.replica.tick_us / 1'000, raft.election_ticks,
      raft.heartbeat_ticks, raft.pre_vote ? "on" : "off", raft.check_quorum ? "on" : "off",
      raft.read_mode == raft::ReadMode::kLease ? "lease" : "quorum", raft.max_append_bytes,
      raft.max_inflight_messages, run.cluster.replica.snapshots.minimum_bytes,
      run.cluster.storage.segment_bytes, run.cluster.storage.block_bytes,
      run.cluster.disk.sector_bytes, run.cluster.network.loss_per_mille,
      run.cluster.network.duplicate_per_mille, run.cluster.network.in_order ? ", in order" : "");
}

}  // namespace raftkv::sim
