#include "sim/guidance/knobs.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace raftkv::sim {
namespace {

std::vector<Knob> MakeKnobs() {
  std::vector<Knob> knobs;
  // `of` gives a reference to the setting, of a RunSettings that may be constant or not.
  const auto add = [&knobs](std::string name, uint64_t least, uint64_t most, bool even, auto of) {
    knobs.push_back({std::move(name), least, most, even, std::nullopt,
                     [of](const RunSettings& run) {
                       RunSettings& any = const_cast<RunSettings&>(run);  // is only read
                       return static_cast<uint64_t>(of(any));
                     },
                     [of](uint64_t value, RunSettings* run) {
                       auto& setting = of(*run);
                       setting = static_cast<std::decay_t<decltype(setting)>>(value);
                     }});
  };
  add(
      "founders", 1, 7, true, [](RunSettings & run) -> auto& { return run.cluster.founders; });
  add(
      "chaos-us", 4 * kSecond, 12 * kSecond, true,
      [](RunSettings & run) -> auto& { return run.chaos; });
  add(
      "loss", 0, 100, false,
      [](RunSettings & run) -> auto& { return run.cluster.network.loss_per_mille; });
  add(
      "doubled", 0, 200, false,
      [](RunSettings & run) -> auto& { return run.cluster.network.duplicate_per_mille; });
  add(
      "delay-spread-us", 100, 100 * kMillisecond, false,
      [](RunSettings & run) -> auto& { return run.cluster.network.delay.spread; });
  add(
      "delay-tails", 0, 100, false,
      [](RunSettings & run) -> auto& { return run.cluster.network.delay.tail_per_mille; });
  add(
      "delay-tail-us", 10 * kMillisecond, 300 * kMillisecond, false,
      [](RunSettings & run) -> auto& { return run.cluster.network.delay.tail; });
  add(
      "in-order", 0, 1, true,
      [](RunSettings & run) -> auto& { return run.cluster.network.in_order; });
  add(
      "disk-spread-us", 50, 8 * kMillisecond, false,
      [](RunSettings & run) -> auto& { return run.cluster.disk_delay.spread; });
  add(
      "append-bytes", 1, 1 << 20, false,
      [](RunSettings & run) -> auto& { return run.cluster.replica.raft.max_append_bytes; });
  add(
      "window", 1, 16, false,
      [](RunSettings & run) -> auto& { return run.cluster.replica.raft.max_inflight_messages; });
  add(
      "snapshot-bytes", 300, 50'000, false,
      [](RunSettings & run) -> auto& { return run.cluster.replica.snapshots.minimum_bytes; });
  add(
      "trailing-bytes", 0, 1 << 20, false,
      [](RunSettings & run) -> auto& { return run.cluster.replica.trailing_log_bytes; });
  add(
      "sent-chunk-bytes", 64, 4'096, false,
      [](RunSettings & run) -> auto& { return run.cluster.replica.snapshot_chunk_bytes; });
  add(
      "pre-vote", 0, 1, true,
      [](RunSettings & run) -> auto& { return run.cluster.replica.raft.pre_vote; });
  add(
      "between-faults-us", 100 * kMillisecond, 2 * kSecond, false,
      [](RunSettings & run) -> auto& { return run.nemesis.between.spread; });
  add(
      "between-disk-faults-us", 200 * kMillisecond, 4 * kSecond, false,
      [](RunSettings & run) -> auto& { return run.nemesis.between_disk_faults.spread; });
  add(
      "faults-last-us", 50 * kMillisecond, 2 * kSecond, false,
      [](RunSettings & run) -> auto& { return run.nemesis.lasts.spread; });
  add(
      "at-leader", 0, 100, true,
      [](RunSettings & run) -> auto& { return run.nemesis.at_leader_percent; });
  for (size_t kind = 0; kind < kFaultKinds; ++kind) {
    add(
        absl::StrCat("share-of-",
                     absl::StrReplaceAll(Name(static_cast<Fault>(kind)), {{" ", "-"}})),
        0, 8, true, [kind](RunSettings & run) -> auto& { return run.nemesis.shares[kind]; });
    knobs.back().fault = static_cast<Fault>(kind);
  }
  knobs.push_back(
      {"think-us", 5 * kMillisecond, 300 * kMillisecond, false, std::nullopt,
       [](const RunSettings& run) { return run.clients.empty() ? 0 : run.clients[0].think.spread; },
       [](uint64_t value, RunSettings* run) {
         for (ClientSettings& client : run->clients) client.think.spread = value;
       }});
  return knobs;
}

}  // namespace

const std::vector<Knob>& AllKnobs() {
  static const auto* const knobs = new std::vector<Knob>(MakeKnobs());
  return *knobs;
}

const Knob* FindKnob(absl::string_view name) {
  const auto it = std::find_if(AllKnobs().begin(), AllKnobs().end(),
                               [&](const Knob& knob) { return knob.name == name; });
  return it == AllKnobs().end() ? nullptr : &*it;
}

}  // namespace raftkv::sim
