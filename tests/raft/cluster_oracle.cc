#include "tests/raft/cluster_oracle.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/raft/script_text.h"

namespace raftkv::raft {

std::string ClusterOracle::Check(const MemoryNode& node) {
  const Raft& raft = node.raft();
  const auto about = [&](absl::string_view what) {
    return absl::StrCat("node ", raft.id(), ": ", what);
  };
  if (const absl::string_view broken = BrokenInvariant(raft); !broken.empty()) return about(broken);

  const auto seen = seen_.find(raft.id());
  size_t applied_before = 0;
  Term led = 0;
  if (seen != seen_.end()) {
    applied_before = seen->second.applied;
    led = seen->second.led;
    const absl::string_view broken = seen->second.invariants.Broken(raft);
    if (!broken.empty()) return about(broken);
  }
  if (std::string wrong = CheckApplied(node, applied_before); !wrong.empty()) return about(wrong);
  if (raft.is_leader() && raft.term() > led) {
    led = raft.term();
    if (std::string wrong = CheckLeader(node); !wrong.empty()) return about(wrong);
  }
  seen_.insert_or_assign(raft.id(), Seen{StepInvariants(raft), node.applied().size(), led});
  return {};
}

std::string ClusterOracle::Check(const Message& sent) {
  const auto* vote = std::get_if<VoteResponse>(&sent.body);
  if (vote == nullptr || vote->pre_vote || vote->rejected) return {};
  const auto [place, first] = votes_.emplace(std::make_pair(sent.from, sent.term), sent.to);
  if (first || place->second == sent.to) return {};
  return absl::StrCat("node ", sent.from, ": voted for ", place->second, " and for ", sent.to,
                      " in term ", sent.term);
}

std::string ClusterOracle::CheckLeader(const MemoryNode& node) {
  const Raft& raft = node.raft();
  const auto [place, first] = leaders_.emplace(raft.term(), raft.id());
  if (!first && place->second != raft.id()) {
    return absl::StrCat("leads term ", raft.term(), ", as node ", place->second, " does");
  }
  for (const auto& [index, entry] : applied_) {
    if (entry.term >= raft.term()) continue;
    if (index <= raft.log().base() || raft.log().Has(index, entry.term)) continue;
    return absl::StrCat("became leader of term ", raft.term(), " without ", DescribeEntry(entry),
                        ", which was applied");
  }
  return {};
}

std::string ClusterOracle::CheckApplied(const MemoryNode& node, size_t from) {
  for (size_t i = from; i < node.applied().size(); ++i) {
    const Entry& entry = node.applied()[i];
    const auto [place, first] = applied_.emplace(entry.index, entry);
    if (!first && place->second != entry) {
      return absl::StrCat("applied ", DescribeEntry(entry), " where ", DescribeEntry(place->second),
                          " was applied");
    }
  }
  return {};
}

std::string ClusterOracle::CheckLogs(const Raft& a, const Raft& b) {
  const Index first = std::max(a.log().first(), b.log().first());
  Index index = std::min(a.log().last(), b.log().last());
  while (index >= first && a.log().TermAt(index) != b.log().TermAt(index)) --index;
  for (; index >= first; --index) {
    if (a.log().At(index) == b.log().At(index)) continue;
    return absl::StrCat("nodes ", a.id(), " and ", b.id(), ": ", DescribeEntry(a.log().At(index)),
                        " and ", DescribeEntry(b.log().At(index)), " below a common entry");
  }
  return {};
}

}  // namespace raftkv::raft
