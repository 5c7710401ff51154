// Everything about a run that is not code: drawn from the seed, so that a seed is a run.
//
// Constants are tiny on purpose. With segments of a few KiB, snapshots every few dozen entries,
// windows of one message and sessions for fewer clients than there are, every wrap-around and every
// eviction of the real node happens many times in seconds.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "sim/clients/client.h"
#include "sim/cluster/cluster.h"
#include "sim/decisions/decisions.h"
#include "sim/nemesis/nemesis.h"

namespace raftkv::sim {

// Which faults a run may have.
enum class Profile : uint8_t {
  kEverything,
  kQuiet,       // none
  kNetwork,     // partitions, clogs, storms
  kCrashes,     // power losses, kills, pauses, failing and slow disks, clocks
  kMembership,  // members come and go, leadership is handed over, nodes crash
  kDisk,        // rot, read errors, lying, failing, full, slow and hanging disks; nodes crash
};

struct ProfileInfo {
  Profile profile;
  absl::string_view name;
  absl::string_view about;
};
absl::Span<const ProfileInfo> AllProfiles();
absl::string_view Name(Profile profile);

// From the first event at or behind `at` on, chance draws anew (Decisions::Turn).
struct ChanceTurn {
  Time at = 0;
  uint64_t salt = 0;
  friend bool operator==(const ChanceTurn&, const ChanceTurn&) = default;
};

struct RunSettings {
  uint64_t seed = 1;
  Profile profile = Profile::kEverything;
  ClusterSettings cluster;
  WorkloadOptions workload;
  std::vector<ClientSettings> clients;
  Time visit_every = 0;  // a visitor comes (sim/clients/visitor.h); 0: nobody
  NemesisSettings nemesis;
  Time chaos = 10 * kSecond;      // while there are faults
  bool heals_core = false;        // a core of the nodes is healed before the others, if there is one
  Time calm = kSecond;            // after healing, with clients going on
  NetworkOptions healed_network;  // from healing on
  // Nothing is drawn where decisions can be given: the clients and the nemesis have scripts, and
  // this is all that is unusual about the rest.
  std::optional<Decisions::Answers> answers;
  // What steers a run that is drawn away from what its seed would do.
  std::vector<ChanceTurn> turns;  // ascending
  std::vector<ChangedDecision> changed;
  std::vector<Situation> reach;  // RunReport::reached says of each whether it ever held
  // Called when the clients and the nemesis have begun; may schedule what it likes. Empty: nothing.
  std::function<void(Cluster&)> script;
};

RunSettings DrawSettings(uint64_t seed, Profile profile);
bool HasFault(Profile profile, Fault fault);  // whether seeds of the profile may draw it
// None of the attacks of the nemesis; everything else is as drawn.
void LeaveOutAttacks(RunSettings* settings);

// A cluster as a user would run it, nothing drawn but the order of things, for measuring how fast
// time passes: five nodes, heartbeats every 100 ms, elections after 1 s, 20 operations a second,
// no faults for a minute.
RunSettings SteadySettings(uint64_t seed);

// A few lines for a person who looks at one run.
std::string DescribeSettings(const RunSettings& settings);

}  // namespace raftkv::sim
