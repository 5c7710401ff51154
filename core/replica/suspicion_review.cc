#include "core/replica/suspicion_review.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace raftkv::replica {
namespace {

using Evidence = raft::Suspicion::Evidence;
// As elections compare logs: the later term, then the longer log.
using Position = std::pair<raft::Term, raft::Index>;

std::string Name(const raft::Suspicion& suspicion) {
  return absl::StrCat("entry (", suspicion.index, ", term ", suspicion.term, ")");
}

}  // namespace

bool SuspicionReview::Tick(const raft::Suspicion& suspicion, raft::Index last, raft::Term last_term,
                           std::vector<raft::NodeId> peers) {
  if (suspicion != suspicion_ || last != last_ || last_term != last_term_ || peers != peers_) {
    suspicion_ = suspicion;
    last_ = last;
    last_term_ = last_term;
    peers_ = std::move(peers);
    extents_.clear();
    ticks_ = 0;
    first_round_ = round_ + 1;
  }
  // A tick in which nobody is asked is one in which the answers are looked at.
  if (ticks_++ % std::max(patience_ticks_, 2u) != 0) return false;
  ++round_;
  return true;
}

void SuspicionReview::OnAnswer(raft::NodeId from, const wire::EntryAnswer& answer) {
  if (answer.round <= before_ || answer.round > round_) return;
  if (std::find(peers_.begin(), peers_.end(), from) == peers_.end()) return;
  // Whatever this node had, it had before it asked: the first answer says enough, and later ones
  // only more.
  if (answer.extent.leads > led_) {
    led_ = answer.extent.leads;
    led_last_ = answer.extent.last_index;
  }
  if (answer.round < first_round_) return;
  extents_[from] = answer.extent;
}

std::optional<raft::Suspicion> SuspicionReview::BoundByItsLeader(
    const raft::Suspicion& suspicion) const {
  if (led_ != suspicion.term || led_last_ >= suspicion.index) return std::nullopt;
  return raft::Suspicion{led_last_, suspicion.term, suspicion.evidence};
}

std::optional<raft::NodeId> SuspicionReview::NextToAskForEnd() {
  // The rest may be here already, on its way to the disk; and an older log may be a longer one.
  const bool lacks_it = last_ < suspicion_.index && last_term_ <= suspicion_.term;
  if (!lacks_it || asked_round_ == round_) return std::nullopt;
  std::vector<raft::NodeId> keepers;
  std::vector<raft::NodeId> ahead;
  for (const auto& [peer, extent] : extents_) {
    if (extent.base > last_) continue;  // it has a snapshot in place of what comes next
    if (raft::UpToDate(extent.last_index, extent.last_term, suspicion_)) keepers.push_back(peer);
    if (extent.commit > last_) ahead.push_back(peer);
  }
  // Nobody who has all of it can send it: what is committed tells who the members are, at least.
  if (keepers.empty()) keepers = std::move(ahead);
  if (keepers.empty()) return std::nullopt;
  asked_round_ = round_;
  asked_ = keepers[round_ % keepers.size()];
  return asked_;
}

bool SuspicionReview::BringsEnd(raft::NodeId from, const wire::EntryAnswer& answer,
                                raft::Index last, raft::Term last_term) const {
  return from == asked_ && answer.round == asked_round_ && last == last_ &&
         last_term == last_term_ && !answer.entries.empty();
}

SuspicionReview::Verdict SuspicionReview::Review() const {
  if (suspicion_.evidence != Evidence::kBlank) {
    return {{}, absl::StrCat(Name(suspicion_), " or a leader behind it: it may have been durable")};
  }
  std::vector<raft::NodeId> silent;
  Position kept{last_term_, last_};
  raft::NodeId keeper = raft::kNoNode;
  Evidence evidence = Evidence::kBlank;
  std::vector<std::pair<raft::NodeId, const raft::Suspicion*>> lost;
  for (const raft::NodeId peer : peers_) {
    const auto it = extents_.find(peer);
    if (it == extents_.end()) {
      silent.push_back(peer);
      continue;
    }
    const wire::LogExtent& extent = it->second;
    const Position has{extent.last_term, extent.last_index};
    if (has > kept) {
      kept = has;
      keeper = peer;
      evidence = Evidence::kBlank;
    }
    if (!extent.lost || extent.lost->evidence == Evidence::kBlank) continue;
    lost.emplace_back(peer, &*extent.lost);
  }
  // What somebody has really is of a log, so what another log has of an earlier term behind it is
  // not committed. A loss is two bounds, and may be of one entry in front and another behind.
  const Position real = kept;
  for (const auto& [peer, bound] : lost) {
    if (Position(bound->term, bound->index) <= real) continue;
    kept = {std::max(kept.first, bound->term), std::max(kept.second, bound->index)};
    keeper = peer;
    evidence = bound->evidence;
  }
  if (!silent.empty()) {
    return {{},
            absl::StrCat("a word about ", Name(suspicion_), " from ",
                         silent.size() == 1 ? "node " : "nodes ", absl::StrJoin(silent, ", "))};
  }
  if (kept >= Position(suspicion_.term, suspicion_.index)) {
    if (evidence == Evidence::kBlank) {
      return {{}, absl::StrCat(Name(suspicion_), ", or more, from node ", keeper, " or a leader")};
    }
    return {{},
            absl::StrCat("a leader with ", Name(suspicion_),
                         ", which may have been durable on node ", keeper)};
  }
  if (kept == Position(last_term_, last_)) return {raft::Suspicion{}, {}};
  return {raft::Suspicion{kept.second, kept.first, suspicion_.evidence}, {}};
}

}  // namespace raftkv::replica
