#include "fuzz/cluster_run_program.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/fuzz_input.h"
#include "sim/coverage/surveyor.h"
#include "sim/guidance/knobs.h"
#include "sim/run/run.h"

namespace raftkv {
namespace {

using sim::Fault;

constexpr sim::Profile kProfiles[] = {sim::Profile::kMembership, sim::Profile::kNetwork,
                                      sim::Profile::kCrashes};
// What a program can ask for by itself, whatever the profile has.
constexpr Fault kFaults[] = {Fault::kPartition, Fault::kIsolation, Fault::kOneWay,
                             Fault::kClog,      Fault::kPowerLoss, Fault::kKill,
                             Fault::kPause,     Fault::kSlowDisk,  Fault::kSyncError,
                             Fault::kClockJump, Fault::kTransfer,  Fault::kMembership};
constexpr sim::Time kLongest = 2 * sim::kSecond;
constexpr size_t kMostInstructions = 40;

sim::Time ReadTime(FuzzInput& input) {
  return input.U16() * kLongest / 0xffff / sim::kMillisecond * sim::kMillisecond;
}

// Links between the nodes of a set of bits and all others.
sim::Links LinksOf(uint8_t group, bool there, bool back) {
  sim::Links links;
  for (raft::NodeId a = 1; a <= 7; ++a) {
    for (raft::NodeId b = 1; b <= 7; ++b) {
      if ((group >> a & 1) == 0 || (group >> b & 1) != 0) continue;
      if (there) links.emplace_back(a, b);
      if (back) links.emplace_back(b, a);
    }
  }
  return links;
}

sim::CuedFault ReadFault(FuzzInput& input) {
  sim::CuedFault fault;
  fault.cue.at = ReadTime(input);
  sim::FaultCommand& command = fault.command;
  command.fault = kFaults[input.U8() % std::size(kFaults)];
  const uint8_t aim = input.U8();
  const raft::NodeId node = 1 + aim % 7;
  command.lasts = std::max(ReadTime(input), 10 * sim::kMillisecond);
  switch (command.fault) {
    case Fault::kPartition:
    case Fault::kClog:
      command.links = LinksOf(aim, true, true);
      break;
    case Fault::kIsolation:
      command.links = LinksOf(static_cast<uint8_t>(1 << node), true, true);
      break;
    case Fault::kOneWay:
      command.links = LinksOf(aim, (aim & 1) != 0, (aim & 1) == 0);
      break;
    case Fault::kTransfer:
      command.nodes = {node};
      command.words = {"KV.TRANSFER", std::to_string(1 + aim / 7 % 7)};
      break;
    case Fault::kMembership: {
      const std::string other = std::to_string(1 + aim / 7 % 7);
      command.nodes = {node};
      switch (aim / 49 % 3) {
        case 0:
          command.words = {"KV.MEMBER", "REMOVE", other};
          break;
        case 1:
          command.words = {"KV.MEMBER", "PROMOTE", other};
          break;
        default:
          command.words = {"KV.MEMBER",
                           "ADD",
                           other,
                           sim::PeerAddress(1 + aim / 7 % 7),
                           sim::ClientAddress(1 + aim / 7 % 7),
                           "1"};
          break;
      }
      break;
    }
    default:
      command.nodes = {node};
      command.number = 1 + aim / 7;
      break;
  }
  return fault;
}

}  // namespace

sim::Recipe RecipeOf(absl::string_view bytes) {
  FuzzInput input(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  sim::Recipe recipe;
  recipe.attacks = false;
  recipe.seed = 1 + input.U16();
  recipe.profile = kProfiles[input.U8() % std::size(kProfiles)];
  std::vector<sim::CuedFault> faults;
  for (size_t i = 0; i < kMostInstructions && !input.empty(); ++i) {
    switch (input.U8() % 4) {
      case 0: {
        const sim::Knob& knob = sim::AllKnobs()[input.U8() % sim::AllKnobs().size()];
        const uint64_t value = input.U16();
        if (knob.fault.has_value() && !sim::HasFault(recipe.profile, *knob.fault)) break;
        recipe.knobs[knob.name] = knob.least + value * (knob.most - knob.least) / 0xffff;
        break;
      }
      case 1:
        recipe.turns.push_back({ReadTime(input), input.U16()});
        break;
      case 2:
        recipe.changed.push_back({uint64_t{input.U16()} + 1, input.U16()});
        break;
      default:
        faults.push_back(ReadFault(input));
        break;
    }
  }
  std::stable_sort(recipe.turns.begin(), recipe.turns.end(),
                   [](const auto& a, const auto& b) { return a.at < b.at; });
  std::stable_sort(recipe.changed.begin(), recipe.changed.end(),
                   [](const auto& a, const auto& b) { return a.number < b.number; });
  recipe.changed.erase(
      std::unique(recipe.changed.begin(), recipe.changed.end(),
                  [](const auto& a, const auto& b) { return a.number == b.number; }),
      recipe.changed.end());
  std::stable_sort(faults.begin(), faults.end(),
                   [](const auto& a, const auto& b) { return a.cue.at < b.cue.at; });
  if (!faults.empty()) {
    recipe.faults = std::move(faults);
    recipe.draws_from = 0;
  }
  return recipe;
}

std::string PlayRecipe(const sim::Recipe& recipe, const std::function<void(uint64_t)>& reached) {
  sim::RunSettings settings = sim::SettingsOf(recipe);
  settings.chaos = std::min(settings.chaos, kLongest);
  settings.calm = std::min(settings.calm, 200 * sim::kMillisecond);
  sim::Surveyor surveyor;
  sim::Audience audience;
  audience.surveyor = &surveyor;
  const sim::RunReport report = sim::Simulate(settings, audience);
  for (const sim::Surveyor::Reached& state : surveyor.reached()) reached(state.state);
  return report.violation.has_value() ? sim::FormatViolation(*report.violation) : "";
}

}  // namespace raftkv
