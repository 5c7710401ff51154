// What is judged, and the first thing found wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "sim/scheduler/scheduler.h"

namespace raftkv::sim {

enum class Oracle : uint8_t {
  kElectionSafety,
  kLogMatching,
  kLeaderCompleteness,
  kStateMachineSafety,
  kCommitOnQuorum,
  kNodeInvariants,
  kPromises,
  kRules,
  kPersistBeforeSend,
  kProgress,
  kMembership,
  kSnapshots,
  kRecovery,
  kLinearizability,
  kExactlyOnce,
  kAtomicity,
  kLiveness,
  kConvergence,
  kStability,
  kBounds,
  kCrashFree,
  kReplicaIdentity,
  kAddressing,
};

struct OracleInfo {
  Oracle oracle;
  absl::string_view id;  // as the literature of this project numbers them: I1, I3, ...
  absl::string_view name;
  absl::string_view sentence;  // what holds, in one sentence
};

absl::Span<const OracleInfo> AllOracles();  // in the order of the enumeration
const OracleInfo& InfoOf(Oracle oracle);

struct Violation {
  Oracle oracle;
  Time time;
  std::string text;  // who, what, and what it contradicts
};

// "VIOLATION I5 state-machine safety at 81.204 s: node 3 applied ..."
std::string FormatViolation(const Violation& violation);

// Keeps the first violation; what follows from it is noise.
class Judge {
 public:
  explicit Judge(const Scheduler* scheduler) : scheduler_(scheduler) {}

  void Fail(Oracle oracle, absl::string_view text);
  bool failed() const { return violation_.has_value(); }
  const std::optional<Violation>& violation() const { return violation_; }

 private:
  const Scheduler* scheduler_;
  std::optional<Violation> violation_;
};

}  // namespace raftkv::sim
