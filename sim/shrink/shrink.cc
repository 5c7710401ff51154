#include "sim/shrink/shrink.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "sim/nemesis/fault_text.h"
#include "sim/scenario/fields.h"

namespace raftkv::sim {
namespace {

// Of the time that there is, in hundredths: for what comes behind.
constexpr uint32_t kLeftBehindRolling = 55;
constexpr uint32_t kLeftBehindRemoving = 20;

Delay Steady(const Delay& delay) { return {Delay::Shape::kUniform, Usual(delay), 0, 0, 0}; }

using Gentler = std::function<bool(RunSettings*)>;  // false: nothing to do

Gentler WithoutFaults(std::set<Fault> faults) {
  return [faults = std::move(faults)](RunSettings* run) {
    bool changed = false;
    for (const Fault fault : faults) {
      uint32_t& share = run->nemesis.shares[static_cast<size_t>(fault)];
      changed = changed || share > 0;
      share = 0;
    }
    return changed;
  };
}

std::vector<Gentler> GentlerSettings() {
  std::vector<Gentler> list;
  std::set<Fault> all, lies, disks, links, attacks;
  for (size_t kind = 0; kind < kFaultKinds; ++kind) {
    const auto fault = static_cast<Fault>(kind);
    all.insert(fault);
    if (kind >= kFirstAttack) attacks.insert(fault);
    if (kind >= kFirstLie && kind < kFirstWipe) lies.insert(fault);
    if (kind >= kFirstDiskFault && kind < kFirstLie) disks.insert(fault);
    if (fault <= Fault::kStorm) links.insert(fault);
  }
  list.push_back(WithoutFaults(all));
  list.push_back(WithoutFaults(attacks));
  list.push_back(WithoutFaults(lies));
  list.push_back(WithoutFaults(disks));
  list.push_back([](RunSettings* run) {
    if (run->cluster.founders <= 3) return false;
    run->cluster.founders = 3;
    return true;
  });
  list.push_back(WithoutFaults({Fault::kMembership, Fault::kTransfer}));
  list.push_back([](RunSettings* run) {  // a steady network that loses nothing
    NetworkOptions& network = run->cluster.network;
    network.loss_per_mille = network.duplicate_per_mille = 0;
    network.delay = Steady(network.delay);
    run->healed_network.delay = Steady(run->healed_network.delay);
    run->cluster.ports.delay = Steady(run->cluster.ports.delay);
    run->cluster.ports.split_per_mille = run->cluster.ports.reset_per_mille = 0;
    return true;
  });
  list.push_back([](RunSettings* run) {
    run->cluster.disk_delay = Steady(run->cluster.disk_delay);
    return true;
  });
  list.push_back([](RunSettings* run) {
    if (run->clients.size() <= 1) return false;
    run->clients.resize(1);
    run->clients[0].most_at_once = 1;
    return true;
  });
  list.push_back([](RunSettings* run) {
    if (run->clients.size() <= 2) return false;
    run->clients.resize(2);
    for (ClientSettings& client : run->clients) client.most_at_once = 1;
    return true;
  });
  list.push_back([](RunSettings* run) {
    if (run->cluster.most_drift_ppm == 0 && run->cluster.most_wall_skew_ms == 0) return false;
    run->cluster.most_drift_ppm = 0;
    run->cluster.most_wall_skew_ms = 0;
    return true;
  });
  list.push_back(WithoutFaults(links));
  for (size_t kind = 0; kind < kFaultKinds; ++kind) {
    list.push_back(WithoutFaults({static_cast<Fault>(kind)}));
  }
  list.push_back([](RunSettings* run) {
    if (run->cluster.founders <= 3) return false;
    run->cluster.founders = 3;
    return true;
  });
  list.push_back([](RunSettings* run) {  // fewer operations
    for (ClientSettings& client : run->clients) client.think.spread *= 4;
    return true;
  });
  list.push_back([](RunSettings* run) {
    run->nemesis.between.spread *= 2;
    run->nemesis.between_disk_faults.spread *= 2;
    run->nemesis.between_lies.spread *= 2;
    run->nemesis.between_wipes.spread *= 2;
    run->nemesis.between_attacks.spread *= 2;
    return true;
  });
  return list;
}

// The names of the nodes that a fault is about.
std::set<raft::NodeId> NodesOf(const FaultCommand& command) {
  std::set<raft::NodeId> nodes(command.nodes.begin(), command.nodes.end());
  for (const auto& [from, to] : command.links) {
    nodes.insert(from);
    nodes.insert(to);
  }
  return nodes;
}

// What is wrong, without which node, entry or time: the first words without their numbers.
std::string GistOf(const Violation& violation) {
  constexpr size_t kEnough = 40;
  std::string gist;
  for (const char c : violation.text) {
    if (gist.size() == kEnough) break;
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) gist += c;
  }
  return gist;
}

// The next round time that is not less, among 1, 2, 5, 10, ... milliseconds.
Time RoundUp(Time time) {
  for (Time decade = kMillisecond;; decade *= 10) {
    for (const Time factor : {Time{1}, Time{2}, Time{5}}) {
      if (factor * decade >= time) return factor * decade;
    }
  }
}

}  // namespace

bool Shrinker::Breaks(const TrialResult& result) const {
  return result.violation.has_value() && result.violation->oracle == oracle_ &&
         GistOf(*result.violation) == gist_;
}

// Settings that no node accepts are not played: they break something else.
std::vector<TrialResult> Shrinker::Play(const std::vector<Trial>& trials) {
  std::vector<Trial> playable;
  for (const Trial& trial : trials) {
    if (ValidateSettings(trial.settings).ok()) playable.push_back(trial);
  }
  trials_ += playable.size();
  std::vector<TrialResult> played = play_(playable);
  if (playable.size() == trials.size()) return played;
  std::vector<TrialResult> results(trials.size());
  for (size_t i = 0, next = 0; i < trials.size(); ++i) {
    if (ValidateSettings(trials[i].settings).ok()) results[i] = std::move(played[next++]);
  }
  return results;
}

absl::StatusOr<Scenario> Shrinker::Shrink(const RunSettings& settings) {
  drawn_ = settings;
  std::vector<TrialResult> first = Play({{settings, false, false}});
  if (!first[0].unplayed.empty()) return absl::UnavailableError(first[0].unplayed);
  if (!first[0].violation.has_value()) {
    return absl::FailedPreconditionError("nothing is broken in this run");
  }
  oracle_ = first[0].violation->oracle;
  gist_ = GistOf(*first[0].violation);
  last_ = std::move(first[0]);
  if (!settings.answers.has_value()) Roll();
  if (absl::Status status = Record(); !status.ok()) return status;
  RemoveKinds();
  size_t least = std::max<size_t>(items_.size() / 2, 1);
  while (least > 0 && MayGoOn(kLeftBehindRemoving)) {
    RemoveChunks(least);
    least = std::min(least / 2, items_.size());
  }
  Simplify();
  PinDown();
  return Finish();
}

// --- While there is chance

void Shrinker::Roll() {
  const uint64_t first_seed = drawn_.seed;
  for (const Gentler& gentler : GentlerSettings()) {
    if (!MayGoOn(kLeftBehindRolling)) return;
    Tell("gentler settings");
    RunSettings settings = drawn_;
    if (gentler(&settings)) RollTo(settings);
    // So seldom that every attempt costs more than it is worth.
    if (trials_ > 8 * options_.seeds && drawn_.seed == first_seed) return;
  }
  // Of many that are alike, the shortest.
  Tell("a shorter run");
  const RunSettings settings = drawn_;
  for (int round = 0; round < 3 && MayGoOn(kLeftBehindRolling); ++round) {
    RunSettings next = settings;
    next.seed = settings.seed + static_cast<uint64_t>(round) * options_.seeds * 2 + 1;
    RollTo(next);
  }
}

// Keeps the settings if they break the oracle with one of the seeds: of those that were tried at
// once, with the one that does it first.
bool Shrinker::RollTo(const RunSettings& gentler) {
  const bool same_settings = gentler.nemesis.shares == drawn_.nemesis.shares &&
                             gentler.cluster.founders == drawn_.cluster.founders &&
                             gentler.clients.size() == drawn_.clients.size();
  for (size_t tried = 0; tried < options_.seeds; tried += options_.at_once) {
    if (!MayGoOn(kLeftBehindRolling)) return false;
    std::vector<Trial> trials;
    for (size_t i = 0; i < options_.at_once; ++i) {
      trials.push_back({gentler, false, false});
      trials.back().settings.seed += tried + i;
    }
    const std::vector<TrialResult> results = Play(trials);
    const TrialResult* best = nullptr;
    size_t at = 0;
    for (size_t i = 0; i < results.size(); ++i) {
      if (!Breaks(results[i]) || (best != nullptr && best->events <= results[i].events)) continue;
      best = &results[i];
      at = i;
    }
    if (best == nullptr) continue;
    if (same_settings && best->events >= last_.events) continue;  // nothing is gained
    drawn_ = trials[at].settings;
    last_ = *best;
    return true;
  }
  return false;
}

// --- Without it

absl::Status Shrinker::Record() {
  Tell("recording");
  const bool has_script = drawn_.answers.has_value();
  TrialResult result = Play({{drawn_, !has_script, false}})[0];
  if (!Breaks(result)) return absl::FailedPreconditionError("the run is not the same again");
  const RunSettings given = has_script ? drawn_ : PlayedAgain(drawn_, result.record);
  base_ = given;
  items_.clear();
  for (const CuedFault& fault : *given.nemesis.script) {
    // What a storm did to each frame is among the answers.
    if (fault.command.fault == Fault::kStorm) continue;
    if (!fault.cue.when.has_value() && fault.cue.at > result.violation->time) continue;
    Item item;
    item.kind = Item::Kind::kFault;
    item.fault = fault;
    items_.push_back(std::move(item));
  }
  for (size_t client = 0; client < given.clients.size(); ++client) {
    const std::vector<AskedGroup>& script = *given.clients[client].script;
    for (size_t group = 0; group < script.size(); ++group) {
      for (const std::vector<std::string>& words : script[group].operations) {
        Item item;
        item.kind = Item::Kind::kOperation;
        item.client = client;
        item.group = group;
        item.cue = script[group].cue;
        item.words = words;
        items_.push_back(std::move(item));
      }
    }
  }
  for (const auto& [name, answer] : *given.answers) {
    Item item;
    item.name = name;
    item.answer = answer;
    items_.push_back(std::move(item));
  }
  result = Play({{Build(base_, items_), false, false}})[0];
  if (!Breaks(result)) {
    return absl::FailedPreconditionError("what was recorded of the run does not break it again");
  }
  last_ = std::move(result);
  return absl::OkStatus();
}

RunSettings Shrinker::Build(const RunSettings& base, const Items& items) const {
  RunSettings run = base;
  run.answers.emplace();
  run.nemesis.script.emplace();
  std::vector<std::map<size_t, AskedGroup>> groups(run.clients.size());
  for (const Item& item : items) {
    switch (item.kind) {
      case Item::Kind::kFault:
        run.nemesis.script->push_back(item.fault);
        break;
      case Item::Kind::kOperation: {
        AskedGroup& group = groups[item.client][item.group];
        group.cue = item.cue;
        group.operations.push_back(item.words);
        break;
      }
      case Item::Kind::kAnswer:
        run.answers->emplace(item.name, item.answer);
        break;
    }
  }
  for (size_t client = 0; client < run.clients.size(); ++client) {
    run.clients[client].script.emplace();
    for (auto& [number, group] : groups[client]) {
      run.clients[client].script->push_back(std::move(group));
    }
  }
  return run;
}

std::string Shrinker::KindOf(const Item& item) {
  switch (item.kind) {
    case Item::Kind::kFault:
      return absl::StrCat("fault ", Name(item.fault.command.fault));
    case Item::Kind::kOperation:
      return absl::StrCat("client ", item.client);
    case Item::Kind::kAnswer:
      break;
  }
  const absl::string_view name = item.name;
  const absl::string_view aspect = name.substr(name.rfind(": ") + 2);
  return absl::StrCat(absl::StartsWith(name, "disk ") ? "disk " : "", aspect);
}

bool Shrinker::RemoveSets(const std::vector<std::vector<bool>>& removed_sets) {
  const auto without = [&](const std::vector<bool>& removed) {
    Items items;
    for (size_t i = 0; i < items_.size(); ++i) {
      if (!removed[i]) items.push_back(items_[i]);
    }
    return items;
  };
  std::vector<Trial> trials;
  for (const std::vector<bool>& removed : removed_sets) {
    trials.push_back({Build(base_, without(removed)), false, false});
  }
  const std::vector<TrialResult> results = Play(trials);
  std::vector<bool> all(items_.size());
  size_t hits = 0, first = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    if (!Breaks(results[i])) continue;
    if (hits++ == 0) first = i;
    for (size_t item = 0; item < all.size(); ++item) all[item] = all[item] || removed_sets[i][item];
  }
  if (hits == 0) return false;
  if (hits > 1) {
    TrialResult together = Play({{Build(base_, without(all)), false, false}})[0];
    if (Breaks(together)) {
      items_ = without(all);
      last_ = std::move(together);
      return true;
    }
  }
  items_ = without(removed_sets[first]);
  last_ = results[first];
  return true;
}

void Shrinker::RemoveKinds() {
  // Again while it helps: what one kind was needed for may go with another.
  for (bool removed = true; removed && MayGoOn(kLeftBehindRemoving);) {
    removed = false;
    std::map<std::string, size_t> sizes;
    for (const Item& item : items_) ++sizes[KindOf(item)];
    std::vector<std::string> kinds;
    for (const auto& [kind, size] : sizes) kinds.push_back(kind);
    for (size_t begin = 0; begin < kinds.size() && MayGoOn(kLeftBehindRemoving);
         begin += options_.at_once) {
      Tell("kinds of decisions");
      std::vector<std::vector<bool>> sets;
      for (size_t i = begin; i < std::min(begin + options_.at_once, kinds.size()); ++i) {
        std::vector<bool> set;
        for (const Item& item : items_) set.push_back(KindOf(item) == kinds[i]);
        if (std::find(set.begin(), set.end(), true) != set.end()) sets.push_back(std::move(set));
      }
      removed = (!sets.empty() && RemoveSets(sets)) || removed;
    }
  }
}

// From the end: what is late depends on what is early, and seldom the other way.
bool Shrinker::RemoveChunks(size_t size) {
  bool removed_any = false;
  size_t end = items_.size();
  while (end > 0 && MayGoOn(kLeftBehindRemoving)) {
    Tell("decisions");
    std::vector<std::vector<bool>> sets;
    size_t next = end;
    for (size_t i = 0; i < options_.at_once && next > 0; ++i) {
      const size_t begin = next > size ? next - size : 0;
      std::vector<bool> set(items_.size());
      std::fill(set.begin() + static_cast<ptrdiff_t>(begin),
                set.begin() + static_cast<ptrdiff_t>(next), true);
      sets.push_back(std::move(set));
      next = begin;
    }
    removed_any = RemoveSets(sets) || removed_any;
    end = std::min(next, items_.size());
  }
  return removed_any;
}

// --- What is left, in a simpler form

bool Shrinker::TakeFirst(const std::vector<std::pair<RunSettings, Items>>& candidates) {
  for (size_t begin = 0; begin < candidates.size(); begin += options_.at_once) {
    std::vector<Trial> trials;
    const size_t end = std::min(begin + options_.at_once, candidates.size());
    for (size_t i = begin; i < end; ++i) {
      trials.push_back({Build(candidates[i].first, candidates[i].second), false, false});
    }
    const std::vector<TrialResult> results = Play(trials);
    for (size_t i = 0; i < results.size(); ++i) {
      if (!Breaks(results[i])) continue;
      base_ = candidates[begin + i].first;
      items_ = candidates[begin + i].second;
      last_ = results[i];
      return true;
    }
  }
  return false;
}

void Shrinker::Simplify() {
  if (!MayGoOn(0)) return;
  MakeSettingsPlain();
  // What the settings needed may be needed no more.
  for (size_t size = 4; size > 0 && MayGoOn(5); size /= 2) RemoveChunks(size);
  while (MayGoOn(5) && RemoveChunks(1)) {
  }
  RoundTimes();
  GiveCues();
}

void Shrinker::MakeSettingsPlain() {
  // Clients that ask nothing.
  Tell("clients");
  std::vector<bool> asks(base_.clients.size());
  for (const Item& item : items_) {
    if (item.kind == Item::Kind::kOperation) asks[item.client] = true;
  }
  RunSettings fewer = base_;
  fewer.clients.clear();
  std::vector<size_t> places(base_.clients.size());
  for (size_t i = 0; i < base_.clients.size(); ++i) {
    places[i] = fewer.clients.size();
    if (asks[i]) fewer.clients.push_back(base_.clients[i]);
  }
  Items items = items_;
  for (Item& item : items) item.client = places.empty() ? 0 : places[item.client];
  TakeFirst({{fewer, items}});

  // All at once, then one by one.
  std::vector<std::string> names;
  for (const auto& [name, value] : UnplainFields(base_)) names.push_back(name);
  RunSettings plain = base_;
  for (const std::string& name : names) {
    if (name != "founders" && name != "chaos") MakePlain(name, &plain);
  }
  Tell("plain settings");
  if (TakeFirst({{plain, items_}})) return;
  for (const std::string& name : names) {
    if (!MayGoOn(10)) return;
    Tell("plain settings");
    RunSettings simpler = base_;
    MakePlain(name, &simpler);
    TakeFirst({{simpler, items_}});
  }
}

void Shrinker::RoundTimes() {
  for (size_t i = 0; i < items_.size() && MayGoOn(2); ++i) {
    Tell("round times");
    std::vector<std::pair<RunSettings, Items>> candidates;
    const auto offer = [&](const std::function<void(Item*)>& change) {
      candidates.emplace_back(base_, items_);
      change(&candidates.back().second[i]);
    };
    const Item& item = items_[i];
    if (item.kind == Item::Kind::kFault) {
      if (item.fault.command.again) {
        offer([](Item* it) { it->fault.command.again = false; });
      }
      if (const Time round = RoundUp(item.fault.command.lasts); round != item.fault.command.lasts) {
        offer([round](Item* it) { it->fault.command.lasts = round; });
      }
    } else if (item.kind == Item::Kind::kAnswer && item.answer > kMillisecond) {
      if (absl::EndsWith(item.name, "takes") || absl::EndsWith(item.name, "after")) {
        if (const Time round = RoundUp(item.answer); round != item.answer) {
          offer([round](Item* it) { it->answer = round; });
        }
      }
    }
    TakeFirst(candidates);
  }
}

// A time becomes a condition: what had last become true then, of a node that it is about, or of
// any.
void Shrinker::GiveCues() {
  for (size_t i = 0; i < items_.size() && MayGoOn(0); ++i) {
    const Item& item = items_[i];
    if (item.kind == Item::Kind::kAnswer) continue;
    const Cue& cue = item.kind == Item::Kind::kFault ? item.fault.cue : item.cue;
    if (cue.when.has_value()) continue;
    Tell("what it waits for");
    const std::vector<Milestone> milestones =
        Play({{Build(base_, items_), false, true}})[0].milestones;
    const std::set<raft::NodeId> about =
        item.kind == Item::Kind::kFault ? NodesOf(item.fault.command) : std::set<raft::NodeId>{};
    std::vector<std::pair<RunSettings, Items>> candidates;
    // The same for all that is asked together.
    const auto offer = [&](const Cue& instead) {
      candidates.emplace_back(base_, items_);
      for (Item& other : candidates.back().second) {
        if (other.kind == Item::Kind::kOperation && item.kind == other.kind &&
            other.client == item.client && other.group == item.group) {
          other.cue = instead;
        }
      }
      Item& same = candidates.back().second[i];
      (item.kind == Item::Kind::kFault ? same.fault.cue : same.cue) = instead;
    };
    size_t offered = 0;
    for (auto at = milestones.rbegin(); at != milestones.rend() && offered < 3; ++at) {
      if (at->time > cue.at || (!about.empty() && !about.contains(at->situation.node))) continue;
      const Time after = cue.at - at->time;
      offer({at->situation, 0});
      if (after > kMillisecond) offer({at->situation, RoundUp(after)});
      if (after > 0) offer({at->situation, after});
      ++offered;
    }
    TakeFirst(candidates);
  }
}

// What rotted becomes that place of that file: a draw means another one as soon as a later version
// writes its files otherwise.
void Shrinker::PinDown() {
  Tell("what rotted");
  Items pinned = items_;
  bool any = false;
  const TrialResult as_it_is = Play({{Build(base_, items_), false, false}})[0];
  for (const FaultCommand& spoilt : as_it_is.spoilt) {
    FaultCommand drawn = spoilt;
    drawn.damage.reset();
    drawn.again = false;
    for (Item& item : pinned) {
      if (item.kind == Item::Kind::kFault && item.fault.command == drawn) {
        item.fault.command = spoilt;
        any = true;
      }
    }
  }
  if (!any) return;
  // What else it might have been is hardly ever what was broken, and one start is mostly enough.
  Items alone = pinned;
  for (Item& item : alone) {
    if (item.kind == Item::Kind::kFault && item.fault.command.damage) item.fault.command.draw = 0;
  }
  Items once = alone;
  for (Item& item : once) {
    if (item.kind == Item::Kind::kFault && item.fault.command.damage) {
      item.fault.command.again = false;
    }
  }
  TakeFirst({{base_, once}, {base_, alone}, {base_, pinned}});
}

Scenario Shrinker::Finish() {
  Tell("done");
  Scenario scenario;
  scenario.settings = Build(base_, items_);
  scenario.expect = oracle_;
  TrialResult last = Play({{scenario.settings, false, true}})[0];
  // When the system lets it down, what the last one said is as true, and nothing has to be reached.
  if (!last.violation.has_value()) last = last_;
  scenario.story.push_back(last.violation->text);
  // What it has come to before the last thing that it does: without that it is about nothing.
  Time last_cue = 0;
  for (const Item& item : items_) {
    const Cue& cue = item.kind == Item::Kind::kFault ? item.fault.cue : item.cue;
    if (item.kind == Item::Kind::kAnswer) continue;
    Time at = cue.at;
    if (cue.when.has_value()) {
      for (const Milestone& milestone : last.milestones) {
        if (milestone.situation == *cue.when) at += milestone.time;
      }
    }
    last_cue = std::max(last_cue, at);
  }
  for (const Milestone& milestone : last.milestones) {
    if (milestone.situation.kind != Situation::Kind::kLeads || milestone.time > last_cue) continue;
    // A scenario that is shrunk further names some already.
    auto& reach = scenario.settings.reach;
    if (std::find(reach.begin(), reach.end(), milestone.situation) == reach.end()) {
      reach.push_back(milestone.situation);
    }
  }
  return scenario;
}

}  // namespace raftkv::sim
