#include "sim/scenario/fields.h"

#include <type_traits>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/replica/options.h"
#include "core/wire/peer.h"
#include "sim/cues/cue.h"

namespace raftkv::sim {
namespace {

// In microseconds, as a number with a unit.
struct Duration {
  Time* time;
};

// Calls `visit` with the name of each setting and a reference to it.
template <typename Visit>
void ForEachField(RunSettings& run, const Visit& visit) {
  ClusterSettings& cluster = run.cluster;
  raft::Options& raft = cluster.replica.raft;
  replica::Options& replica = cluster.replica;
  kv::SessionOptions& sessions = replica.store.sessions;
  visit("founders", cluster.founders);
  visit("founding-learners", cluster.founding_learners);
  visit("chaos", Duration{&run.chaos});
  visit("heals-core", run.heals_core);
  visit("calm", Duration{&run.calm});

  visit("tick", Duration{&replica.tick_us});
  visit("election-ticks", raft.election_ticks);
  visit("heartbeat-ticks", raft.heartbeat_ticks);
  visit("most-election-rank", cluster.most_election_rank);
  visit("pre-vote", raft.pre_vote);
  visit("check-quorum", raft.check_quorum);
  visit("step-down-on-removal", raft.step_down_on_removal);
  visit("step-down-on-hung-disk", raft.step_down_on_hung_disk);
  visit("merge-messages", raft.merge_messages);
  visit("max-append-bytes", raft.max_append_bytes);
  visit("max-committed-bytes", raft.max_committed_bytes);
  visit("max-inflight-messages", raft.max_inflight_messages);
  visit("max-inflight-bytes", raft.max_inflight_bytes);
  visit("max-uncommitted-bytes", raft.max_uncommitted_bytes);
  visit("max-pending-reads", raft.max_pending_reads);
  visit("read-mode", raft.read_mode);
  visit("lease-drift-ticks", raft.lease_drift_ticks);

  visit("request-timeout-ms", replica.request_timeout_ms);
  visit("read-retry-ms", replica.read_retry_ms);
  visit("snapshot-minimum-bytes", replica.snapshots.minimum_bytes);
  visit("snapshot-state-percent", replica.snapshots.state_percent);
  visit("trailing-log-bytes", replica.trailing_log_bytes);
  visit("sent-chunk-bytes", replica.snapshot_chunk_bytes);
  visit("snapshot-resend-ms", replica.snapshot_resend_ms);
  visit("snapshot-resends", replica.snapshot_resends);
  visit("snapshot-bytes-per-s", replica.snapshot_bytes_per_s);
  visit("scrub-bytes-per-s", replica.scrub_bytes_per_s);
  visit("scrub-pause-ms", replica.scrub_pause_ms);
  visit("max-client-pipeline", replica.max_client_pipeline);
  visit("max-sessions", sessions.max_sessions);
  visit("results-kept", sessions.results_kept);
  visit("kept-result-bytes", sessions.kept_result_bytes);
  visit("session-idle-ms", sessions.idle_ms);

  visit("block-bytes", cluster.storage.block_bytes);
  visit("segment-bytes", cluster.storage.segment_bytes);
  visit("zero-ahead-bytes", cluster.storage.zero_ahead_bytes);
  visit("stored-chunk-bytes", cluster.storage.snapshot_chunk_bytes);
  visit("snapshot-sync-bytes", cluster.storage.snapshot_sync_bytes);
  visit("sector-bytes", cluster.disk.sector_bytes);
  visit("ordered-directory", cluster.disk.ordered_directory);
  visit("disk-delay", cluster.disk_delay);
  visit("turn", Duration{&cluster.turn});

  visit("network-delay", cluster.network.delay);
  visit("network-in-order", cluster.network.in_order);
  visit("healed-network-delay", run.healed_network.delay);
  visit("healed-network-in-order", run.healed_network.in_order);
  visit("streams", cluster.streams);
  visit("hello-timeout", Duration{&cluster.links.hello_timeout_us});
  visit("stall-timeout", Duration{&cluster.links.stall_timeout_us});
  visit("least-back-off", Duration{&cluster.links.min_backoff_us});
  visit("most-back-off", Duration{&cluster.links.max_backoff_us});
  visit("most-outbox-bytes", cluster.links.max_outbox_bytes);
  visit("most-handed-over-bytes", cluster.links.max_handed_over_bytes);
  visit("port-delay", cluster.ports.delay);

  visit("most-drift-ppm", cluster.most_drift_ppm);
  visit("most-wall-skew-ms", cluster.most_wall_skew_ms);
  visit("uptime", Duration{&cluster.uptime_us});
  visit("restart-delay", Duration{&cluster.restart_delay});
  visit("pairs", run.workload.pairs);
  visit("visit-every", Duration{&run.visit_every});
  visit("fault-mean", run.nemesis.lasts);
}

std::string Format(Duration value) { return FormatTime(*value.time); }
std::string Format(bool value) { return value ? "on" : "off"; }
std::string Format(raft::ReadMode value) {
  return value == raft::ReadMode::kLease ? "lease" : "quorum";
}
template <typename Number>
requires std::is_integral_v<Number> std::string Format(Number value) { return absl::StrCat(value); }
// "uniform 300us 5ms", "exponential 1ms 20ms tail 5 40ms". Where decisions are given, all that
// matters is the mean.
std::string Format(const Delay& value) {
  std::string text = value.shape == Delay::Shape::kUniform ? "uniform " : "exponential ";
  absl::StrAppend(&text, FormatTime(value.least), " ", FormatTime(value.spread));
  if (value.tail_per_mille > 0) {
    absl::StrAppend(&text, " tail ", value.tail_per_mille, " ", FormatTime(value.tail));
  }
  return text;
}

absl::Status Wrong(absl::string_view why) { return absl::InvalidArgumentError(why); }

absl::Status Parse(absl::string_view text, Duration value) {
  const absl::StatusOr<Time> time = ParseTime(text);
  if (time.ok()) *value.time = *time;
  return time.status();
}
absl::Status Parse(absl::string_view text, bool& value) {
  if (text != "on" && text != "off") return Wrong("neither on nor off");
  value = text == "on";
  return absl::OkStatus();
}
absl::Status Parse(absl::string_view text, raft::ReadMode& value) {
  if (text != "quorum" && text != "lease") return Wrong("neither quorum nor lease");
  value = text == "lease" ? raft::ReadMode::kLease : raft::ReadMode::kQuorum;
  return absl::OkStatus();
}
template <typename Number>
requires std::is_integral_v<Number> absl::Status Parse(absl::string_view text, Number& value) {
  if (absl::SimpleAtoi(text, &value)) return absl::OkStatus();
  return Wrong(absl::StrCat("'", text, "' is not a number of this size"));
}
absl::Status Parse(absl::string_view text, Delay& value) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ', absl::SkipEmpty());
  if ((words.size() != 3 && words.size() != 6) ||
      (words[0] != "uniform" && words[0] != "exponential") ||
      (words.size() == 6 && words[3] != "tail")) {
    return Wrong(
        "not 'uniform' or 'exponential' and two times, then perhaps 'tail', a number of "
        "1000 and a time");
  }
  Delay delay;
  delay.shape = words[0] == "uniform" ? Delay::Shape::kUniform : Delay::Shape::kExponential;
  if (absl::Status s = Parse(words[1], Duration{&delay.least}); !s.ok()) return s;
  if (absl::Status s = Parse(words[2], Duration{&delay.spread}); !s.ok()) return s;
  if (words.size() == 6) {
    if (absl::Status s = Parse(words[4], delay.tail_per_mille); !s.ok()) return s;
    if (absl::Status s = Parse(words[5], Duration{&delay.tail}); !s.ok()) return s;
  }
  value = delay;
  return absl::OkStatus();
}

}  // namespace

RunSettings PlainSettings() {
  RunSettings run;
  const Delay millisecond = {Delay::Shape::kUniform, kMillisecond, 0, 0, 0};
  ClusterSettings& cluster = run.cluster;
  raft::Options& raft = cluster.replica.raft;
  raft.election_ticks = 10;
  raft.heartbeat_ticks = 2;
  raft.max_inflight_messages = 16;
  cluster.replica.request_timeout_ms = 500;
  cluster.replica.read_retry_ms = 50;
  cluster.replica.snapshots.minimum_bytes = 50'000;
  cluster.replica.snapshot_resend_ms = 200;
  cluster.storage.segment_bytes = 65'536;
  cluster.disk_delay = cluster.network.delay = cluster.ports.delay = millisecond;
  run.healed_network.delay = millisecond;
  run.nemesis.lasts = {Delay::Shape::kUniform, 300 * kMillisecond, 0, 0, 0};
  run.nemesis.script.emplace();
  run.answers.emplace();
  run.chaos = 5 * kSecond;
  return run;
}

std::vector<std::pair<std::string, std::string>> UnplainFields(const RunSettings& settings) {
  std::vector<std::pair<std::string, std::string>> plain, fields;
  const auto list = [](RunSettings run, auto* into) {
    ForEachField(run, [into](absl::string_view name, const auto& value) {
      into->emplace_back(std::string(name), Format(value));
    });
  };
  list(PlainSettings(), &plain);
  list(settings, &fields);
  std::vector<std::pair<std::string, std::string>> unplain;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (fields[i] != plain[i]) unplain.push_back(std::move(fields[i]));
  }
  return unplain;
}

absl::Status SetField(absl::string_view name, absl::string_view value, RunSettings* settings) {
  absl::Status result = absl::NotFoundError(absl::StrCat("there is no setting '", name, "'"));
  ForEachField(*settings, [&](absl::string_view field, auto&& current) {
    if (field == name) result = Parse(value, current);
  });
  return result;
}

absl::Status ValidateSettings(const RunSettings& settings) {
  const ClusterSettings& cluster = settings.cluster;
  if (cluster.founders < 1 || cluster.founders > wire::kMaxMembers) {
    return Wrong(
        absl::StrCat("founders: ", cluster.founders, " nodes, want 1 to ", wire::kMaxMembers));
  }
  if (cluster.founding_learners >= cluster.founders) {
    return Wrong(absl::StrCat("founding-learners: ", cluster.founding_learners, " of ",
                              cluster.founders, " founders, want one voter at least"));
  }
  constexpr uint64_t kCentury = uint64_t{100} * 366 * 86'400 * kSecond;
  if (cluster.uptime_us > kCentury) return Wrong("uptime: more than a hundred years");
  if (cluster.links.min_backoff_us == 0 ||
      cluster.links.min_backoff_us > cluster.links.max_backoff_us) {
    return Wrong("least-back-off: not from 1us to most-back-off");
  }
  if (cluster.links.hello_timeout_us == 0 || cluster.links.stall_timeout_us == 0) {
    return Wrong("hello-timeout, stall-timeout: want 1us at least");
  }
  if (cluster.disk.sector_bytes != 512 && cluster.disk.sector_bytes != 4'096) {
    return Wrong("sector-bytes: neither 512 nor 4096");
  }
  if (cluster.most_drift_ppm < 0 || cluster.most_drift_ppm >= 1'000'000) {
    return Wrong("most-drift-ppm: not from 0 to 999999");
  }
  if (absl::Status status = cluster.storage.Validate(); !status.ok()) return status;
  replica::Options options = cluster.replica;
  options.raft.id = 1;
  options.incarnation = 1;
  options.cluster = {1, 1};
  options.raft.election_rank = cluster.most_election_rank;
  return replica::ValidateOptions(options);
}

void MakePlain(absl::string_view name, RunSettings* settings) {
  RunSettings plain = PlainSettings();
  std::string value;
  ForEachField(plain, [&](absl::string_view field, const auto& current) {
    if (field == name) value = Format(current);
  });
  (void)SetField(name, value, settings);  // it is a value that it had
}

}  // namespace raftkv::sim
