// When a node may stop to stand by what its disk has lost: everybody lost it the same way.
// docs/adr/0007-a-lost-entry-is-still-promised.md
//
// After a power failure of a whole cluster each node may have a torn tail that no node can repair.
// A node whose own loss is blank (most likely never written, so never acknowledged) asks all
// members how far their logs go. What lies above everything that any of them has, or may have lost
// in another way, has no copy anywhere and a good explanation: it is given up.
//
// A loss of which nothing but the node's term T is known may be thought to be much longer than it
// was, and the node would refuse its vote to a log that has all there is, for as long as nobody
// leads a later term. The leader of T knows better: every entry of T was made by it and is in its
// log, at most at its end; so is every earlier one that counts.
//
// Who has what was lost may be nobody that can lead: a learner, or a node that waits itself. As
// long as there is no leader, the node asks such a one for what is behind its own end.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/raft/damage.h"
#include "core/raft/types.h"
#include "core/wire/peer.h"

namespace raftkv::replica {

class SuspicionReview {
 public:
  // `before`: rounds are counted from there. No other life of the node may use the same numbers: an
  // answer to it may still be on its way.
  SuspicionReview(uint32_t patience_ticks, uint64_t before)
      : patience_ticks_(patience_ticks), round_(before), before_(before) {}

  // The suspicion in force, where the log ends and who else is a member, with each tick. Answers
  // given before any of these changed do not count any more. True: all members are to be asked for
  // their extents now, with the number of round().
  bool Tick(const raft::Suspicion& suspicion, raft::Index last, raft::Term last_term,
            std::vector<raft::NodeId> peers);
  void OnAnswer(raft::NodeId from, const wire::EntryAnswer& answer);
  uint64_t round() const { return round_; }

  // Who is to be asked for what is behind the end of this node's log now: a member that may have
  // the last of what was lost. Each round another one, if there are several.
  std::optional<raft::NodeId> NextToAskForEnd();
  // The entries of this answer are what was asked for, if the log still ends like this.
  bool BringsEnd(raft::NodeId from, const wire::EntryAnswer& answer, raft::Index last,
                 raft::Term last_term) const;

  struct Verdict {
    // What is still promised, if that is less than before; no index: nothing at all.
    std::optional<raft::Suspicion> keep;
    std::string waits_for;  // empty if `keep` is set
  };
  Verdict Review() const;
  // What is left of `suspicion`, by the word of who leads its term; nullopt if that is no less.
  std::optional<raft::Suspicion> BoundByItsLeader(const raft::Suspicion& suspicion) const;

 private:
  uint32_t patience_ticks_;
  uint32_t ticks_ = 0;
  uint64_t round_;
  uint64_t before_;
  uint64_t first_round_ = 0;  // answers to earlier ones are about another state
  raft::Suspicion suspicion_;
  raft::Index last_ = 0;
  raft::Term last_term_ = 0;
  std::vector<raft::NodeId> peers_;
  std::map<raft::NodeId, wire::LogExtent> extents_;
  // Who was asked for the end, and in which round.
  raft::NodeId asked_ = raft::kNoNode;
  uint64_t asked_round_ = 0;
  raft::Term led_ = 0;        // the newest term whose leader has answered in this life,
  raft::Index led_last_ = 0;  // and where its log ended then, at first
};

}  // namespace raftkv::replica
