// How the holes of a damaged log are closed: what is asked, and what follows from the answers.
// docs/adr/0007-a-lost-entry-is-still-promised.md
//
// The node that runs this does nothing else: it does not vote, acknowledge, or write its log. So
// what its log may have contributed to a commit is fixed, and answers of different times go
// together. Pure: no I/O, no clock, no randomness.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/raft/damage.h"
#include "core/raft/log.h"
#include "core/raft/types.h"
#include "core/wire/peer.h"

namespace raftkv::replica {

// The configurations that may have decided about entries behind `applied`, oldest first: `conf`,
// which is in force at `applied`, and what each membership entry behind makes of it.
std::vector<raft::ConfState> ConfigurationsBehind(const raft::ConfState& conf, raft::Index applied,
                                                  const raft::Entries& entries);

// The log is what is in front of the first bad entry, then `entries`.
struct Settled {
  raft::Entries entries;
  std::optional<raft::Suspicion> suspicion;
};
// No log has the entry at `at_least` any more: the peers' snapshots stand for it.
struct NeedsSnapshot {
  raft::Index at_least = 0;
};

class Repair {
 public:
  struct Options {
    uint32_t patience_ticks = 50;      // what is still wanted is asked again after this
    uint32_t entries_per_query = 256;  // at most wire::kMaxWantedEntries
  };

  // `log` is what is in front of the first hole and must outlive this; `conf` is in force at
  // `log.base()`; `commit` is the highest index known to be committed.
  Repair(raft::NodeId self, const raft::Log& log, const raft::ConfState& conf, raft::Index commit,
         raft::LogDamage damage, const Options& options);

  void Tick();
  void OnAnswer(raft::NodeId from, const wire::EntryAnswer& answer);
  // What is to be sent now.
  std::vector<std::pair<raft::NodeId, wire::EntryQuery>> TakeQueries();

  // How it ends, once that is known; final.
  using Decision = std::variant<Settled, NeedsSnapshot>;
  const std::optional<Decision>& decision() const { return decision_; }

  // "entry (5, term 2) from nodes 2, 3", and more if there is more to say.
  std::string WaitsFor() const;

  const raft::LogDamage& damage() const { return damage_; }
  // Everybody who may have a copy, without this node.
  const std::vector<raft::NodeId>& peers() const { return peers_; }
  uint64_t fetched() const { return fetched_; }  // entries got from peers
  size_t open() const;                           // entries still missing

 private:
  // What one peer says about one entry, with what else counted when it said so.
  struct Said {
    wire::EntryVerdict verdict;
    raft::Index commit = 0;
    raft::Term last_term = 0;
    std::optional<raft::Suspicion> lost;
  };
  struct Hole {
    raft::Index index = 0;
    // Our entry's term is one of these.
    raft::Term lowest = 0, highest = 0;
    // The next entry behind it whose term is known; 0: none.
    raft::Index known_index = 0;
    raft::Term known_term = 0;
    std::optional<raft::Entry> found;
    std::map<raft::NodeId, Said> said;
  };

  void Bound();
  void Take(Hole& hole, const wire::EntryVerdict& verdict, const raft::Entry* entry);
  void Decide();
  raft::Index EndByProof() const;
  raft::Index EndByProof(const Hole& hole) const;
  bool MayHaveHad(const Hole& hole, raft::NodeId peer) const;
  bool NoQuorumCanHaveHad(const Hole& hole) const;
  bool StandsInSnapshot(const Hole& hole) const;
  bool MoreWasLost() const;
  void Settle(raft::Index end, bool proven);
  void Ask(raft::NodeId peer);
  const Hole* FirstOpen() const;

  raft::NodeId self_;
  const raft::Log& log_;
  raft::ConfState conf_;
  raft::Index commit_;
  raft::LogDamage damage_;
  Options options_;
  raft::Entries memberships_;  // the membership entries of the log

  std::vector<Hole> holes_;  // by index, as in damage_.bad
  bool asked_ = false;       // known_index of every hole is chosen
  std::vector<raft::NodeId> peers_;
  uint64_t round_ = 0;  // of questions to all
  uint32_t ticks_ = 0;  // in this round
  uint64_t fetched_ = 0;
  std::vector<std::pair<raft::NodeId, wire::EntryQuery>> queries_;
  std::optional<Decision> decision_;
};

}  // namespace raftkv::replica
