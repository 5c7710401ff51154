#include "cmd/sim/profiles.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sim/run/settings.h"

namespace raftkv::sim {
namespace {

// The least and the most of something.
struct Extent {
  uint64_t least = std::numeric_limits<uint64_t>::max();
  uint64_t most = 0;
  void Add(uint64_t value) {
    least = std::min(least, value);
    most = std::max(most, value);
  }
  std::string InWords() const {
    return least == most ? absl::StrCat(least) : absl::StrCat(least, " to ", most);
  }
};

struct Drawn {
  const ProfileInfo* info;
  Extent nodes, clients, seconds, segment_bytes, snapshot_bytes, election_ms;
  std::array<uint64_t, kFaultKinds> faults = {};  // seeds that may have it
  Extent kinds;                                   // of faults in one seed
};

Drawn Draw(const ProfileInfo& info, uint64_t seeds) {
  Drawn drawn;
  drawn.info = &info;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    const RunSettings run = DrawSettings(seed, info.profile);
    const replica::Options& replica = run.cluster.replica;
    drawn.nodes.Add(run.cluster.founders);
    drawn.clients.Add(run.clients.size());
    drawn.seconds.Add(run.chaos / kSecond);
    drawn.segment_bytes.Add(run.cluster.storage.segment_bytes);
    drawn.snapshot_bytes.Add(replica.snapshots.minimum_bytes);
    drawn.election_ms.Add(replica.raft.election_ticks * replica.tick_us / kMillisecond);
    uint64_t kinds = 0;
    for (size_t kind = 0; kind < kFaultKinds; ++kind) {
      if (run.nemesis.shares[kind] == 0) continue;
      ++drawn.faults[kind];
      ++kinds;
    }
    drawn.kinds.Add(kinds);
  }
  return drawn;
}

// The first row and the first column are heads; the other columns are to the right.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows, bool colours) {
  std::vector<size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    const bool head = &row == &rows.front();
    std::string line = absl::StrFormat("%-*s", static_cast<int>(widths[0]), row[0]);
    for (size_t i = 1; i < row.size(); ++i) {
      absl::StrAppendFormat(&line, "  %*s", static_cast<int>(widths[i]), row[i]);
    }
    absl::StrAppend(&out, colours && head ? "\x1b[1m" : "", line, colours && head ? "\x1b[0m" : "",
                    "\n");
  }
  return out;
}

}  // namespace

std::string FormatProfiles(bool colours, uint64_t seeds) {
  std::vector<Drawn> profiles;
  size_t width = 0;
  for (const ProfileInfo& info : AllProfiles()) {
    profiles.push_back(Draw(info, seeds));
    width = std::max(width, info.name.size());
  }
  const absl::string_view bold = colours ? "\x1b[1m" : "";
  const absl::string_view plain = colours ? "\x1b[0m" : "";
  std::string out;
  for (const Drawn& drawn : profiles) {
    absl::StrAppend(&out, bold, absl::StrFormat("%-*s", static_cast<int>(width), drawn.info->name),
                    plain, "  ", drawn.info->about, "\n");
  }

  std::vector<std::vector<std::string>> sizes = {{"one run"}};
  std::vector<std::vector<std::string>> faults = {{"seeds in a hundred that may have"}};
  for (const Drawn& drawn : profiles) {
    sizes.front().push_back(std::string(drawn.info->name));
    faults.front().push_back(std::string(drawn.info->name));
  }
  const auto size = [&](const char* name, Extent Drawn::*extent) {
    sizes.push_back({name});
    for (const Drawn& drawn : profiles) sizes.back().push_back((drawn.*extent).InWords());
  };
  size("founders", &Drawn::nodes);
  size("clients", &Drawn::clients);
  size("seconds with faults", &Drawn::seconds);
  size("election timeout from, ms", &Drawn::election_ms);
  size("segment of the log, bytes", &Drawn::segment_bytes);
  size("log between snapshots, bytes", &Drawn::snapshot_bytes);
  size("kinds of faults", &Drawn::kinds);
  for (size_t kind = 0; kind < kFaultKinds; ++kind) {
    faults.push_back({std::string(Name(static_cast<Fault>(kind)))});
    for (const Drawn& drawn : profiles) {
      const uint64_t count = drawn.faults[kind];
      faults.back().push_back(count == 0 ? "-" : absl::StrCat((count * 100 + seeds / 2) / seeds));
    }
  }
  absl::StrAppend(&out, "\n", FormatTable(sizes, colours), "\n", FormatTable(faults, colours));
  absl::StrAppend(&out, "\nCounted over what seeds 1 to ", seeds,
                  " draw. Loss, duplication and delay of messages are drawn apart from these.\n");
  return out;
}

}  // namespace raftkv::sim
