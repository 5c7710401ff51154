// What follows from what peers say about the holes of a log.
#include "core/replica/repair.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/raft/membership.h"
#include "core/replica/inquiry.h"

namespace raftkv::replica {
namespace {

using raft::DamagedEntry;
using raft::Suspicion;
using Evidence = raft::Suspicion::Evidence;

raft::Entry EntryAt(raft::Index index, raft::Term term) {
  return {term, index, raft::Payload::Copy(absl::StrCat(index, ".", term)),
          raft::EntryType::kCommand};
}

// A log with holes, written as "1 1 ? 2 x2": the terms of entries 2, 3, ... ; "x2" is an entry of
// term 2 that cannot be read, "?" one of which nothing is known. The snapshot is (1, term 1).
struct Disk {
  raft::Log log;
  raft::LogDamage damage;

  explicit Disk(const std::vector<std::string>& terms, std::optional<Suspicion> last = {}) {
    log.Reset(1, 1);
    raft::Index index = 1;
    raft::Term term = 1;
    for (const std::string& word : terms) {
      ++index;
      if (word == "?") {
        damage.bad.push_back({index, 0});
        continue;
      }
      const bool bad = word[0] == 'x';
      term = static_cast<raft::Term>(std::stoi(word.substr(bad ? 1 : 0)));
      if (bad) {
        damage.bad.push_back({index, term});
      } else if (damage.bad.empty()) {
        log.Append(EntryAt(index, term));
      } else {
        damage.intact.push_back(EntryAt(index, term));
      }
    }
    damage.last = last.value_or(Suspicion{index, term, Evidence::kSpoilt});
  }
};

raft::ConfState Voters(std::vector<raft::NodeId> voters) {
  return {std::move(voters), {}, {}, {}, false};
}

// Node 1 repairs `disk`; peers answer from their own.
class Case {
 public:
  explicit Case(Disk disk, raft::ConfState conf = Voters({1, 2, 3}), raft::Index commit = 1)
      : disk_(std::move(disk)), repair_(1, disk_.log, conf, commit, disk_.damage, {}) {}

  // `commit` is what the peer knows to be committed.
  Case& Hear(raft::NodeId peer, const Disk& disk, raft::Index commit = 1) {
    return Hear(peer,
                Holdings{disk.log, commit, disk.damage.bad.empty() ? nullptr : &disk.damage,
                         disk.damage.bad.empty() ? std::optional<Suspicion>() : disk.damage.last});
  }
  // With a log that ends early: a suspicion about what was behind.
  Case& HearSuspicious(raft::NodeId peer, const Disk& disk, const Suspicion& suspicion) {
    return Hear(peer, Holdings{disk.log, 1, nullptr, suspicion});
  }
  Case& Hear(raft::NodeId peer, const Holdings& holdings) {
    Collect();
    const auto query = queries_.find(peer);
    EXPECT_NE(query, queries_.end()) << "node " << peer << " was not asked";
    if (query != queries_.end())
      repair_.OnAnswer(peer, AnswerQuery(holdings, query->second, 1 << 20));
    return *this;
  }
  Case& Patience() {
    for (int i = 0; i < 50; ++i) repair_.Tick();
    return *this;
  }

  // "1 2 | suspicion (5, 2)": the terms that follow the log; or what is waited for.
  std::string Outcome() {
    if (!repair_.decision()) return absl::StrCat("waits for ", repair_.WaitsFor());
    if (const auto* needs = std::get_if<NeedsSnapshot>(&*repair_.decision()))
      return absl::StrCat("snapshot at ", needs->at_least);
    const Settled& settled = std::get<Settled>(*repair_.decision());
    std::string text = "settled";
    raft::Index index = disk_.log.last();
    for (const raft::Entry& entry : settled.entries) {
      EXPECT_EQ(entry.index, ++index);
      EXPECT_EQ(entry, EntryAt(entry.index, entry.term));
      absl::StrAppend(&text, " ", entry.term);
    }
    if (settled.suspicion) {
      absl::StrAppend(&text, ", suspicion (", settled.suspicion->index, ", ",
                      settled.suspicion->term, ")");
    }
    return text;
  }

  size_t wanted(raft::NodeId peer) {
    Collect();
    return queries_.at(peer).wanted.size();
  }

 private:
  void Collect() {
    for (auto& [peer, query] : repair_.TakeQueries()) queries_[peer] = query;
  }

  const Disk disk_;
  Repair repair_;
  std::map<raft::NodeId, wire::EntryQuery> queries_;
};

TEST(RepairTest, ACopyOfAnyPeerClosesAHole) {
  EXPECT_EQ(Case(Disk({"1", "x1", "2"})).Outcome(), "waits for entry (3, term 1) from nodes 2, 3");
  EXPECT_EQ(Case(Disk({"1", "x1", "2"})).Hear(3, Disk({"1", "1"})).Outcome(), "settled 1 2");
  EXPECT_EQ(Case(Disk({"x1", "1", "x2", "2"})).Hear(2, Disk({"1", "x1", "2"})).Outcome(),
            "settled 1 1 2 2");
}

TEST(RepairTest, EachHoleMayBeClosedBySomebodyElse) {
  Case repair(Disk({"x1", "x1", "2"}));
  EXPECT_EQ(repair.Hear(2, Disk({"1", "x1"})).Outcome(),
            "waits for entry (3, term 1) from node 3, lost by node 2 too");
  EXPECT_EQ(repair.Hear(3, Disk({"x1", "1"})).Outcome(), "settled 1 1 2");
}

// Each is nearer to the hole in front of it than the entry that the peer was asked about.
TEST(RepairTest, WhatIsFoundDoesNotMakeAnAnswerOneAboutAnotherEntry) {
  const Disk whole({"1", "2", "3", "4"});
  EXPECT_EQ(Case(Disk({"?", "?", "?", "4"})).Hear(2, whole, 5).Outcome(), "settled 1 2 3 4");
}

TEST(RepairTest, WhoeverLostItTooMayBeRepairedMeanwhile) {
  Case repair(Disk({"x1", "2"}));
  repair.Hear(2, Disk({"x1", "2"})).Hear(3, Disk({"x1", "2"}));
  EXPECT_EQ(repair.Outcome(), "waits for entry (2, term 1), lost by nodes 2, 3 too");
  EXPECT_EQ(repair.Patience().Hear(2, Disk({"1", "2"})).Outcome(), "settled 1 2");
}

TEST(RepairTest, TheLostEndOfALogIsKeptAsASuspicion) {
  EXPECT_EQ(Case(Disk({"1", "x1"})).Outcome(), "settled, suspicion (3, 1)");
  EXPECT_EQ(Case(Disk({"x1", "1", "x1", "?"}, Suspicion{9, 2, Evidence::kProven}))
                .Hear(2, Disk({"1", "1"}))
                .Outcome(),
            "settled 1 1, suspicion (9, 2)")
      << "the hole is closed, what is behind the last readable entry is not waited for";
}

TEST(RepairTest, MoreMayHaveBeenThereThanIsKnown) {
  EXPECT_EQ(
      Case(Disk({"x1", "1"}, Suspicion{9, 2, Evidence::kSpoilt})).Hear(2, Disk({"1"})).Outcome(),
      "settled 1 1, suspicion (9, 2)");
}

TEST(RepairTest, AnotherEntryThatIsCommittedEndsTheLog) {
  Case repair(Disk({"1", "x1", "1", "1"}));
  EXPECT_EQ(repair.Hear(2, Disk({"1", "2", "2"}), 2).Outcome(), "settled")
      << "a later term than any of ours: whoever led it did not have ours";
  EXPECT_EQ(Case(Disk({"1", "x3", "3"})).Hear(2, Disk({"1", "2", "2"}), 2).Outcome(),
            "waits for entry (3, term 3) from node 3")
      << "of an earlier term, and not known to be committed";
  EXPECT_EQ(Case(Disk({"1", "x3", "3"})).Hear(2, Disk({"1", "2", "2"}), 3).Outcome(), "settled");
}

// The log was 1 1 1 1 and may have been cut behind the first of them and begun anew in term 2: what
// was acknowledged of that may be what is committed now, with this node's help.
TEST(RepairTest, WhatReplacedAnEarlierLogIsStillPromised) {
  const Suspicion replaced{4, 2, Evidence::kProven};
  EXPECT_EQ(Case(Disk({"1", "x1", "1"}, replaced)).Hear(2, Disk({"2", "2", "2"}), 4).Outcome(),
            "settled, suspicion (4, 2)")
      << "another entry than the one that is read is committed";
  EXPECT_EQ(Case(Disk({"1", "x1", "1"}, replaced)).Hear(2, Disk({"2", "3"}), 1).Outcome(),
            "settled, suspicion (4, 2)")
      << "whoever led term 3 did not have (3, term 1), and may have had (2, term 2) from here";
  const Suspicion shorter{2, 2, Evidence::kProven};
  EXPECT_EQ(Case(Disk({"1", "x1", "1"}, shorter)).Hear(2, Disk({"2", "3"}), 1).Outcome(),
            "settled, suspicion (2, 2)");
  EXPECT_EQ(Case(Disk({"1", "x1", "1"})).Hear(2, Disk({"2", "3"}), 1).Outcome(), "settled")
      << "nothing can have replaced it";
}

// Figure 8 of the paper: (3, term 2) is replaced by (3, term 3) on one node, survives on others,
// and the leader of term 4 commits it.
TEST(RepairTest, AnEntryOfALaterTermAloneDoesNotRefuteOurs) {
  EXPECT_EQ(Case(Disk({"1", "x2", "4"})).Hear(3, Disk({"1", "3"})).Outcome(),
            "waits for entry (3, term 2) from node 2");
  EXPECT_EQ(Case(Disk({"1", "x2", "2"})).Hear(3, Disk({"1", "3"})).Outcome(), "settled");
}

// Nobody has entry 5, and nobody will: but node 3 has lost so much that it may have had it, and
// waiting for it would be for ever.
TEST(RepairTest, ALogOfALaterTermThatEndsInFrontRefutesOurs) {
  const auto outcome = [](const std::string& last) {
    return Case(Disk({"1", "1", "1", "x1", "1"}))
        .HearSuspicious(3, Disk({}), Suspicion{53, 3, Evidence::kProven})
        .Hear(2, Disk({"1", last}))
        .Outcome();
  };
  EXPECT_EQ(outcome("2"), "settled");
  EXPECT_EQ(outcome("1"), "waits for entry (5, term 1), lost by node 3 too");
}

TEST(RepairTest, WhatIsInFrontOfACommittedOtherEntryIsStillNeeded) {
  Case repair(Disk({"x1", "1", "x1", "1"}));
  EXPECT_EQ(repair.Hear(2, Disk({"x1", "1", "2"}), 4).Outcome(),
            "waits for entry (2, term 1) from node 3, lost by node 2 too, and 1 more");
  EXPECT_EQ(repair.Hear(3, Disk({"1"})).Outcome(), "settled 1 1");
}

TEST(RepairTest, AReadableEntryThatIsRefutedHoldsNothingBack) {
  // Ours at 3 is of an unknown term; at 4 another entry than ours is committed.
  Case repair(Disk({"1", "?", "3"}));
  EXPECT_EQ(repair.Hear(2, Disk({"1", "2", "2"}), 3).Outcome(),
            "waits for entry (3, term 1 to 3) from node 3");
  EXPECT_EQ(repair.Patience().Hear(2, Disk({"1", "2", "2"}), 4).Outcome(),
            "settled, suspicion (4, 3)");
}

TEST(RepairTest, WhatNoQuorumCanHaveHadIsGivenUp) {
  Case repair(Disk({"1", "x1", "1"}));
  EXPECT_EQ(repair.Hear(2, Disk({"1"})).Outcome(), "waits for entry (3, term 1) from node 3");
  EXPECT_EQ(repair.Hear(3, Disk({"1"})).Outcome(), "settled, suspicion (4, 1)");
  EXPECT_EQ(Case(Disk({"1", "x2", "2"})).Hear(2, Disk({"1", "1"})).Hear(3, Disk({"1"})).Outcome(),
            "settled, suspicion (4, 2)")
      << "another entry of an earlier term is not ours either";
}

TEST(RepairTest, WhoeverLostTheEndOfItsLogMayHaveHadIt) {
  Case repair(Disk({"1", "x2", "2"}));
  repair.Hear(2, Disk({"1"}));
  EXPECT_EQ(repair.HearSuspicious(3, Disk({"1"}), {3, 2, Evidence::kBlank}).Outcome(),
            "waits for entry (3, term 2), lost by node 3 too");
  Case earlier(Disk({"1", "x2", "2"}));
  earlier.Hear(2, Disk({"1"}));
  EXPECT_EQ(earlier.HearSuspicious(3, Disk({"1"}), {9, 1, Evidence::kSpoilt}).Outcome(),
            "settled, suspicion (4, 2)")
      << "of what it lost, nothing was of so late a term";
  Case shorter(Disk({"1", "1", "x2", "2"}));
  shorter.Hear(2, Disk({"1"}));
  EXPECT_EQ(shorter.HearSuspicious(3, Disk({"1"}), {3, 2, Evidence::kSpoilt}).Outcome(),
            "settled, suspicion (5, 2)");
}

TEST(RepairTest, AJointConfigurationNeedsBothHalvesToCommit) {
  const raft::ConfState joint{{1, 2, 3}, {1, 4, 5}, {}, {}, false};
  Case repair(Disk({"1", "x1", "1"}), joint);
  repair.Hear(2, Disk({"1"})).Hear(4, Disk({"1"}));
  EXPECT_EQ(repair.Outcome(), "waits for entry (3, term 1) from nodes 3, 5");
  EXPECT_EQ(repair.Hear(5, Disk({"1"})).Outcome(), "settled, suspicion (4, 1)");
}

TEST(RepairTest, LearnersHaveCopiesAndNoSay) {
  const raft::ConfState conf{{1, 2, 3}, {}, {4, 5}, {}, false};
  Case repair(Disk({"1", "x1", "1"}), conf);
  repair.Hear(4, Disk({"1"})).Hear(5, Disk({"1"}));
  EXPECT_EQ(repair.Outcome(), "waits for entry (3, term 1) from nodes 2, 3");
  EXPECT_EQ(Case(Disk({"1", "x1", "1"}), conf).Hear(5, Disk({"1", "1"})).Outcome(), "settled 1 1");
}

TEST(RepairTest, EveryConfigurationThatMayHaveDecidedIsAsked) {
  raft::MembershipChange remove;
  remove.changes = {{raft::MemberChange::Kind::kRemove, 3}};
  const auto disk = [&] {
    Disk own({"1", "x1", "1"});
    own.log.TruncateAfter(1);
    own.log.Append({1, 2, raft::Payload::Copy(raft::EncodeMembershipChange(remove)),
                    raft::EntryType::kMembership});
    return own;
  };
  EXPECT_EQ(Case(disk()).Hear(2, Disk({"1"})).Outcome(), "waits for entry (3, term 1) from node 3")
      << "the removal may not have been in force";
  EXPECT_EQ(Case(disk(), Voters({1, 2, 3}), 2).Hear(2, Disk({"1"})).Outcome(),
            "settled, suspicion (4, 1)");
}

TEST(RepairTest, ASnapshotStandsForWhatNoLogHas) {
  Disk compacted({});
  compacted.log.Reset(7, 1);
  Case repair(Disk({"x1", "1"}));
  EXPECT_EQ(repair.Hear(2, compacted).Outcome(), "waits for entry (2, term 1) from node 3");
  EXPECT_EQ(repair.Hear(3, compacted).Outcome(), "snapshot at 2");
  Case silent(Disk({"x1", "1"}));
  silent.Hear(2, compacted);
  EXPECT_EQ(silent.Outcome(), "waits for entry (2, term 1) from node 3");
  EXPECT_EQ(silent.Patience().Outcome(), "snapshot at 2") << "node 3 had its chance";
  EXPECT_EQ(Case(Disk({"x1", "1"})).Hear(2, compacted).Hear(3, Disk({"1"})).Outcome(),
            "settled 1 1")
      << "a copy is cheaper";
}

TEST(RepairTest, AnUnknownTermIsFixedByTheNeighbours) {
  EXPECT_EQ(Case(Disk({"2", "?", "2"})).Hear(2, Disk({"2", "2"})).Outcome(), "settled 2 2")
      << "between two entries of one term there is no other";
  EXPECT_EQ(Case(Disk({"1", "?", "3"})).Hear(2, Disk({"1", "3"})).Outcome(), "settled 3 3")
      << "the leader of term 3 has only one entry there";
  EXPECT_EQ(Case(Disk({"1", "?", "3"})).Hear(2, Disk({"1", "2"})).Outcome(),
            "waits for entry (3, term 1 to 3) from node 3")
      << "may be another than ours";
  EXPECT_EQ(Case(Disk({"1", "?", "3"})).Hear(2, Disk({"1", "2", "3"})).Outcome(), "settled 2 3")
      << "what is behind is ours, so this is";
}

TEST(RepairTest, AnUnknownTermDoesNotCountAsNeverHad) {
  Case repair(Disk({"1", "?", "3"}));
  repair.Hear(2, Disk({"1", "2"})).Hear(3, Disk({"1"}));
  EXPECT_EQ(repair.Outcome(), "waits for entry (3, term 1 to 3), which nobody has");
}

TEST(RepairTest, QuestionsAndAnswersAreBounded) {
  std::vector<std::string> holes, whole;
  for (int i = 0; i < 1000; ++i) {
    holes.push_back("x1");
    whole.push_back("1");
  }
  holes.push_back("1");
  Case repair{Disk(holes)};
  EXPECT_EQ(repair.wanted(2), 256u);
  const Disk peer(whole);
  const Holdings holdings{peer.log, 1, nullptr, {}};
  int answers = 0;
  for (; answers < 10 && repair.Outcome().substr(0, 5) == "waits"; ++answers)
    repair.Hear(2, holdings);
  EXPECT_EQ(answers, 4);
  EXPECT_EQ(repair.Outcome().substr(0, 9), "settled 1");

  const wire::EntryQuery query{1, {{2, 1, 0, 0}, {3, 1, 0, 0}, {4, 1, 0, 0}}};
  EXPECT_EQ(AnswerQuery(holdings, query, 1).verdicts.size(), 1u) << "one always has room";
  EXPECT_EQ(AnswerQuery(holdings, query, 40).verdicts.size(), 2u);
}

TEST(InquiryTest, TheEndOfALogIsThatOfOneWithWhatWasLost) {
  const Disk disk({"1", "2", "2", "3"});  // entries 2 to 5 behind a snapshot of entry 1, term 1
  const Holdings holdings{disk.log, 1, nullptr, {}};
  const auto terms = [&](raft::Index next, raft::Term prev_term, raft::Index through,
                         raft::Term through_term, uint64_t bytes = 1 << 20) {
    const wire::EntryQuery query{7, {}, next, prev_term, through, through_term};
    const wire::EntryAnswer answer = AnswerQuery(holdings, query, bytes);
    EXPECT_EQ(answer.round, 7u);
    EXPECT_EQ(answer.extent.last_index, 5u);
    EXPECT_EQ(answer.verdicts.size(), answer.entries.size());
    std::string text;
    for (const raft::Entry& entry : answer.entries) {
      EXPECT_EQ(entry, EntryAt(next + text.size(), entry.term));
      absl::StrAppend(&text, entry.term);
    }
    return text;
  };
  EXPECT_EQ(terms(2, 1, 5, 3), "1223") << "behind the snapshot";
  EXPECT_EQ(terms(2, 1, 4, 2), "122") << "no more than was lost";
  EXPECT_EQ(terms(4, 2, 5, 3), "23");
  EXPECT_EQ(terms(5, 2, 5, 3), "3");
  EXPECT_EQ(terms(4, 1, 5, 3), "") << "another log";
  EXPECT_EQ(terms(4, 2, 5, 2), "") << "what was lost is not there, though the log is a later one";
  EXPECT_EQ(terms(4, 2, 6, 3), "");
  EXPECT_EQ(terms(1, 0, 5, 3), "") << "compacted";
  EXPECT_EQ(terms(2, 1, 5, 3, 1), "1") << "one always has room";

  // Of another log, what is committed: every log that counts has that.
  const auto committed = [&](raft::Index commit, raft::Index next, raft::Term prev_term,
                             raft::Index through, raft::Term through_term) {
    const wire::EntryQuery query{7, {}, next, prev_term, through, through_term};
    return AnswerQuery({disk.log, commit, nullptr, {}}, query, 1 << 20).entries.size();
  };
  EXPECT_EQ(committed(4, 2, 1, 9, 3), 3u);
  EXPECT_EQ(committed(4, 2, 1, 3, 3), 2u) << "no more than was lost";
  EXPECT_EQ(committed(4, 2, 1, 5, 3), 4u) << "this log has all of it";
  EXPECT_EQ(committed(5, 2, 1, 9, 2), 3u) << "nothing of a later term";
  EXPECT_EQ(committed(9, 2, 1, 9, 3), 4u) << "known to be committed, and not here";
  EXPECT_EQ(committed(4, 4, 1, 9, 3), 0u) << "another log";
  EXPECT_EQ(committed(3, 4, 2, 9, 3), 0u) << "nothing new";

  const std::vector<std::string> many(2000, "1");
  const Disk longer(many);
  EXPECT_EQ(
      AnswerQuery({longer.log, 1, nullptr, {}}, {1, {}, 2, 1, 2001, 1}, 1 << 20).verdicts.size(),
      wire::kMaxWantedEntries);
}

TEST(RepairTest, StrangersAndLateAnswersChangeNothing) {
  const Disk disk({"1", "x1", "1"});
  Repair direct(1, disk.log, Voters({1, 2, 3}), 1, disk.damage, {});
  const Disk peer({"1", "1"});
  const wire::EntryAnswer answer =
      AnswerQuery({peer.log, 1, nullptr, {}}, {1, {{3, 1, 4, 1}}}, 1000);
  direct.OnAnswer(9, answer);
  EXPECT_FALSE(direct.decision());
  direct.OnAnswer(2, answer);
  EXPECT_TRUE(direct.decision());
  direct.OnAnswer(3, answer);
  EXPECT_EQ(direct.fetched(), 1u);
}

}  // namespace
}  // namespace raftkv::replica
